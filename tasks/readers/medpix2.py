"""MedPix 2.0, CT and MR cases of MedPix (github.com/CHILab1/MedPix-2.0).

``Descriptions.json`` (older: ``Description.json``) and ``Case_topic.json``, lists of all pictures and cases;
``splitted_dataset/{descriptions,data}_{train,dev,test}.jsonl`` with the same objects by split, of train also two halves
``_train_1`` and ``_train_2``; ``images/<image>.png``. All below the root or below ``MedPix-2-0/``. Specification B.9.2.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from radbench.tasks.readers.files import below, column, hash_files, json_lines, require, unwrapped
from radbench.tasks.readers.json_stream import json_list

from radbench.errors import DataError
from radbench.records import Image, Sample, Text

log = logging.getLogger("radbench")

SPLITS = {"train": "train", "val": "dev", "test": "test"}
_UNKNOWN = frozenset({"", "N/A", "None", "nan"})


class Captions:
    """One sample a picture. Splits train, val (their dev), test, and ``all`` by the list of all pictures.

    Cluster: the case, ``U_id``. Target ``answer`` (Description.Caption); strata modality (CT, MR), plane, location
    (its category), sex where known. Pictures without a caption are left out and counted in the log.
    """

    def __init__(self, root: Path) -> None:
        self._root = _base(root)

    def samples(self, split: str) -> Iterator[Sample]:
        empty = 0
        for path, position, row in _rows(self._root, "descriptions", split):
            name, case, about = (column(row, c, path, position) for c in ("image", "U_id", "Description"))
            if not isinstance(about, dict):
                raise DataError(f"{path}, item {position}: Description is no object")
            caption = _text(column(about, "Caption", path, position))
            if not caption:
                empty += 1
                continue
            yield Sample(
                id=str(name),
                cluster=str(case),
                targets={"answer": Text((caption,))},
                images=(_image(self._root, name),),
                strata=_strata(row, about),
            )
        if empty:
            log.info("%s: %d pictures of split %s without a caption are left out", self._root, empty, split)

    def fingerprint(self) -> str:
        return _fingerprint(self._root, "descriptions")


class Cases:
    """One sample a case: its findings, from all its CT and MR pictures and the history. Splits as in :class:`Captions`.

    Cluster: the case. Targets ``answer`` (Findings) and ``diagnosis``; slot ``context``: the history with a blank behind it,
    or empty. At most ``most_images`` pictures, the first ones, CT before MR. Cases without findings or without pictures
    are left out and counted in the log.
    """

    def __init__(self, root: Path, *, most_images: int = 10) -> None:
        self._root, self._most = _base(root), most_images

    def samples(self, split: str) -> Iterator[Sample]:
        empty = 0
        for path, position, row in _rows(self._root, "data", split):
            name, case = column(row, "U_id", path, position), column(row, "Case", path, position)
            if not isinstance(case, dict):
                raise DataError(f"{path}, item {position}: Case is no object")
            pictures = [n for c in ("TAC", "MRI") for n in column(row, c, path, position) or ()]
            findings, history = _text(case.get("Findings")), _text(case.get("History"))
            if not findings or not pictures:
                empty += 1
                continue
            diagnosis = _text(case.get("Case Diagnosis")) or _text(case.get("Title"))
            yield Sample(
                id=str(name),
                cluster=str(name),
                targets={"answer": Text((findings,)), **({"diagnosis": Text((diagnosis,))} if diagnosis else {})},
                images=tuple(_image(self._root, n) for n in pictures[: self._most]),
                slots={"context": f"{history} " if history else ""},
            )
        if empty:
            log.info("%s: %d cases of split %s without findings or pictures are left out", self._root, empty, split)

    def fingerprint(self) -> str:
        return sha256(f"{_fingerprint(self._root, 'data')} {self._most}".encode()).hexdigest()[:16]


def _base(root: Path) -> Path:
    root = unwrapped(root, "MedPix-2-0", "splitted_dataset", "Description*.json", "Case_topic.json")
    return root / "MedPix-2-0" if (root / "MedPix-2-0").is_dir() else root


def _tables(root: Path, what: str, split: str) -> list[Path]:
    """The files of a split: one, or the halves of train."""
    if split == "all":
        names = ("Descriptions.json", "Description.json") if what == "descriptions" else ("Case_topic.json",)
        found = [root / name for name in names if (root / name).is_file()]
        return found[:1] or [require(root / names[0], f"MedPix 2.0's list {names[0]}")]
    if split not in SPLITS:
        raise DataError(f"MedPix 2.0 has no split '{split}' but {', '.join(SPLITS)} and all")
    whole = root / "splitted_dataset" / f"{what}_{SPLITS[split]}.jsonl"
    halves = [whole.with_name(f"{whole.stem}_{n}.jsonl") for n in (1, 2)]
    if not whole.is_file() and all(half.is_file() for half in halves):
        return halves
    return [require(whole, f"MedPix 2.0's splitted_dataset/{whole.name}")]


def _rows(root: Path, what: str, split: str) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    for path in _tables(root, what, split):
        items = json_list(path) if path.suffix == ".json" else json_lines(path)
        for position, row in items:
            yield path, position, row


def _fingerprint(root: Path, what: str) -> str:
    found: list[Path] = []
    for split in (*SPLITS, "all"):
        try:
            found += _tables(root, what, split)
        except DataError:
            continue
    return hash_files(found)


def _image(root: Path, name: Any) -> Image:
    return Image(str(below(root / "images", f"{name}.png")))


def _text(value: Any) -> str:
    text = "" if value is None else str(value).strip()
    return "" if text in _UNKNOWN else text


def _strata(row: dict[str, Any], about: dict[str, Any]) -> dict[str, str]:
    values = {
        "modality": row.get("Type"),
        "plane": about.get("Plane"),
        "location": row.get("Location Category"),
        "sex": about.get("Sex"),
    }
    return {axis: _text(value) for axis, value in values.items() if _text(value)}
