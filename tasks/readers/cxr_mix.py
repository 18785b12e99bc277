"""CXR-Mix of RadBench (RadFM, arXiv 2308.02463): chest radiographs of nine sets, yes/no questions on diseases.

Which members, classes and how many make up the released list is not published. Two forms: the released list
(``chestxray_balance_*.csv``), the only faithful one, and a balanced list of our own from the members that lie below the
root, each in its folder::

    vindr-cxr/  nih/  chexpert/  covidx-cxr2/  nlm-tb/  object-cxr/  openi/  rsna/  siim-acr/
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from radbench.tasks.readers.files import visible
from radbench.tasks.readers.radfm_diagnosis import BalancedList
from radbench.tasks.readers.yes_no import BalancedQuestions

from radbench.errors import ConfigError, DataError, nearest
from radbench.records import Access, Sample

log = logging.getLogger("radbench")

_SPLITS = ("train", "test")


@dataclass(frozen=True, slots=True)
class Member:
    """A set of labelled images: its reader, and which of its splits serve as train and test."""

    reader: str
    access: Access
    options: Mapping[str, Any] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=lambda: {"train": "train", "test": "test"})


_HERE = "radbench.tasks.readers"
_VAL_AS_TEST = {"train": "train", "test": "val"}
MEMBERS: Mapping[str, Member] = {
    "vindr-cxr": Member(f"{_HERE}.vindr_cxr:VinDrCxr", "credentialed"),
    "nih": Member(f"{_HERE}.nih_chestxray:NihLabels", "open"),
    "chexpert": Member(f"{_HERE}.chexpert:CheXpert", "registered", {"level": "image"}, _VAL_AS_TEST),
    "covidx-cxr2": Member(f"{_HERE}.cxr_members:CovidxCxr2", "open"),
    "nlm-tb": Member(f"{_HERE}.cxr_members:NlmTb", "open"),
    "object-cxr": Member(f"{_HERE}.cxr_members:ObjectCxr", "open", splits=_VAL_AS_TEST),
    "openi": Member(f"{_HERE}.openi_headings:OpenIHeadings", "open"),
    "rsna": Member(f"{_HERE}.cxr_members:RsnaPneumonia", "open"),
    "siim-acr": Member(f"{_HERE}.cxr_members:SiimAcr", "open"),
}


class CxrMix:
    """Yes/no questions, balanced within every member and disease. Splits: train, test. Cluster: the member's own.

    With ``lists`` (a folder, absolute or below the root) the released list ``table`` is read instead. ``members`` limits the
    members; those whose folder is missing or empty are left out, told in the log, and where all are that is a
    :class:`DataError`. The names of folders may be in any case. The test split is
    a member's official one, of CheXpert and Object-CXR the validation split, of sets without one a share drawn by hash.
    Diseases are asked only of members that label them. Slot: disease. Strata: disease, member. ``per_image`` and
    ``seed`` as in :class:`BalancedQuestions`.
    """

    def __init__(
        self,
        root: Path,
        *,
        lists: Path | str | None = None,
        table: str = "chestxray_balance",
        path_map: str = "",
        members: Collection[str] = tuple(MEMBERS),
        per_image: int | None = None,
        seed: int = 0,
    ) -> None:
        for name in members:
            if name not in MEMBERS:
                raise ConfigError(f"CXR-Mix has no member '{name}': {nearest(name, MEMBERS)}")
        self._root, self._asked, self._per_image, self._seed = root, members, per_image, seed
        self._released = None if lists is None else BalancedList(root, lists=lists, table=table, path_map=path_map)

    def samples(self, split: str) -> Iterator[Sample]:
        if self._released is not None:
            yield from self._released.samples(split)
            return
        if split not in _SPLITS:
            raise DataError(f"CXR-Mix has no split '{split}' but train and test")
        for name, questions in self._present.items():
            member = MEMBERS[name]
            for sample in questions.samples(member.splits[split]):
                yield sample._replace(
                    id=f"{name}/{sample.id}",
                    cluster=f"{name}/{sample.cluster}",
                    strata={"disease": sample.strata["disease"], "member": name},
                    access=member.access,
                )

    def fingerprint(self) -> str:
        if self._released is not None:
            return self._released.fingerprint()
        tables = "\n".join(f"{name} {questions.fingerprint()}" for name, questions in self._present.items())
        return sha256(tables.encode()).hexdigest()[:16]

    @cached_property
    def _present(self) -> dict[str, BalancedQuestions]:
        asked = [name for name in MEMBERS if name in self._asked]
        folders = _folders(self._root, asked)
        there = {
            name: BalancedQuestions(
                folder,
                source=MEMBERS[name].reader,
                options=MEMBERS[name].options,
                per_image=self._per_image,
                seed=self._seed,
            )
            for name, folder in folders.items()
        }
        without = ", ".join(name for name in asked if name not in there)
        log.info(
            "%s: members of CXR-Mix read: %s; not there: %s", self._root, ", ".join(there) or "none", without or "none"
        )
        if not there:
            raise DataError(
                f"{self._root}: no member of CXR-Mix lies here; expected a folder {', '.join(sorted(self._asked))}",
                remedy="one member is enough; for the released list give 'lists'",
            )
        return there


def _folders(root: Path, members: Collection[str]) -> dict[str, Path]:
    """The folders of members that hold anything; a name in other letters, such as ``NIH``, where there is none as ours."""
    below = {p.name.casefold(): p for p in sorted(root.iterdir(), reverse=True) if p.is_dir()} if root.is_dir() else {}
    found = {}
    for name in members:
        folder = root / name if (root / name).is_dir() else below.get(name)
        if folder is not None and any(map(visible, folder.iterdir())):
            found[name] = folder
    return found
