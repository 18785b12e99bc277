"""ReXrank's study-level files of MIMIC-CXR and IU-Xray, and MedEvalKit's ``test.json``.

::

    ReXRank_IUXray_test.json, ReXRank_IUXray_valid.json, ReXRank_MIMICCXR_test.json
        {study: {"key_image_path", "image_path": [...], "frontal_lateral": [...], "section_findings", "section_impression",
                 "report", "context", "split", (MIMIC-CXR:) "subject_id"}, ...}
    test.json    [{"id", "image": [...], "findings", "impression"}, ...]      (MedEvalKit; pictures under images/)

in ``root`` or in ``iu_xray``, ``mimic-cxr``, ``data/iu_xray``, ``data/mimic-cxr`` below it. Sources: rajpurkarlab/ReXrank data/;
alibaba-damo-academy/MedEvalKit utils/IU_XRAY. The text of MIMIC-CXR is credentialed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from radbench.tasks.readers.files import column, hash_files, require
from radbench.tasks.readers.json_stream import json_list, json_members
from radbench.tasks.readers.r2gen import cluster_of, find_table, image_folder
from radbench.tasks.readers.report_samples import (
    MODALITY,
    length_stratum,
    one_of,
    report_targets,
    view_kind,
    view_stratum,
    wanted_section,
)
from radbench.tasks.readers.sectioning import one_line

from radbench.errors import DataError, shown
from radbench.records import Access, Image, Sample, Text

_WORDS = {"test": "test", "val": "valid"}
_FOLDERS = {"IUXray": ("iu_xray", "data/iu_xray"), "MIMICCXR": ("mimic-cxr", "data/mimic-cxr", "mimic_cxr")}
_ACCESS: dict[str, Access] = {"IUXray": "open-noncommercial", "MIMICCXR": "credentialed"}


class ReXrank:
    """One of ReXrank's files.

    ``dataset`` is IUXray or MIMICCXR; ``images`` the folder that the listed paths begin in, by default ``images`` beside the
    file; for MIMIC-CXR a MIMIC-CXR-JPG tree. The key image, a frontal one, comes first. Splits test and val (the file
    ``_valid``). Cluster: subject_id; for IU-Xray the report's number. Sample id: the study. Targets ``findings``,
    ``impression``, ``report`` (findings followed by impression, where there are both), ``answer`` (the one of ``section``)
    and ``headed`` (the file's own ``report``: "Findings: ... Impression: ..."). Slots: modality, views, context; indication,
    comparison and history, empty. Strata: view, n_images, report_length. Studies without the section are left out.
    """

    def __init__(
        self,
        root: Path,
        *,
        images: Path | None = None,
        dataset: Literal["IUXray", "MIMICCXR"] = "IUXray",
        section: str = "report",
    ) -> None:
        self._root, self._name, self._images = root, one_of(dataset, _ACCESS, "ReXrank dataset"), images
        self._access, self._section = _ACCESS[dataset], wanted_section(section)

    def _path(self, split: str) -> Path:
        if split not in _WORDS:
            raise DataError(f"ReXrank has no split '{split}' but {', '.join(_WORDS)}")
        name = f"ReXRank_{self._name}_{_WORDS[split]}.json"
        places = [self._root, *(self._root / f for f in _FOLDERS[self._name])]
        found = next((p / name for p in places if (p / name).is_file()), None)
        return found or require(self._root / name, "ReXrank's file of studies")

    def samples(self, split: str) -> Iterator[Sample]:
        path = self._path(split)
        images = image_folder(self._images or path.parent)
        for number, (study, item) in enumerate(json_members(path), 1):
            if not isinstance(item, dict):
                raise DataError(f"{path}, item {number}: expected an object, found {type(item).__name__}")
            sample = self._sample(study, item, path, number, images)
            if sample is not None:
                yield sample

    def _sample(self, study: str, item: dict[str, Any], path: Path, number: int, images: Path) -> Sample | None:
        texts = [
            _text(item, k, path, number, self._access)
            for k in ("section_findings", "section_impression", "report", "context")
        ]
        findings, impression, report, context = map(one_line, texts)
        targets = report_targets(findings, impression, self._section)
        if targets is None:
            return None
        if report:
            targets["headed"] = Text((report,))
        pictures = self._pictures(item, path, number, images, study)
        views = tuple(p.view for p in pictures)
        subject = item.get("subject_id")
        return Sample(
            id=study,
            cluster=cluster_of(study) if subject is None else str(subject),
            targets=targets,
            images=pictures,
            slots={
                "modality": MODALITY, "views": ", ".join(v for v in views if v), "context": f"{context}\n" if context else "",
                "indication": "", "comparison": "", "history": "",
            },
            strata={
                "view": view_stratum(views), "n_images": str(len(pictures)), "report_length": length_stratum(targets)
            },
        )  # fmt: skip

    def _pictures(self, item: dict[str, Any], path: Path, number: int, images: Path, study: str) -> tuple[Image, ...]:
        paths = column(item, "image_path", path, number)
        views = item.get("frontal_lateral") or [None] * (len(paths) if isinstance(paths, list) else 0)
        key = item.get("key_image_path")
        if not (isinstance(paths, list) and isinstance(views, list) and paths and len(views) == len(paths)):
            raise DataError(
                f"{path}, item {number}: image_path is {shown(paths, self._access)} and frontal_lateral"
                f" {shown(views, self._access)}, expected two lists of one length"
            )
        listed = sorted(
            zip(map(str, paths), views, strict=True), key=lambda p: (p[0] != key, view_kind(p[1]) != "frontal")
        )
        return tuple(Image(f"{images}/{p.lstrip('/')}", view=v or None, study=study) for p, v in listed)

    def fingerprint(self) -> str:
        tables = [p for s in _WORDS if (p := self._found(s)) is not None]
        return sha256(f"{hash_files(tables)} {self._name} {self._section}".encode()).hexdigest()[:16]

    def _found(self, split: str) -> Path | None:
        try:
            return self._path(split)
        except DataError:
            return None


class MedEvalKit:
    """MedEvalKit's ``test.json`` of IU-Xray. One split, test; items with neither section are left out.

    Its own reference is "Findings: ... Impression: ..." with what is there: target ``headed``, and ``answer`` by default
    (``section="headed"``). Targets ``findings``, ``impression`` and ``report`` as in :class:`ReXrank`. Cluster: the report's
    number where the id is ``CXR<n>_...``, else the id. Slots and strata as there; views are not told.
    """

    def __init__(
        self, root: Path, *, images: Path | None = None, section: str = "headed", access: Access = "open-noncommercial"
    ) -> None:
        self._path = find_table(root, "test.json", "MedEvalKit's test.json")
        self._images = image_folder(images or self._path.parent)
        self._section = section if section == "headed" else wanted_section(section)
        self._access = access

    def samples(self, split: str) -> Iterator[Sample]:
        if split != "test":
            raise DataError(f"MedEvalKit's IU-Xray has no split '{split}' but test")
        for number, item in json_list(self._path):
            sample = self._sample(item, number)
            if sample is not None:
                yield sample

    def _sample(self, item: Mapping[str, Any], number: int) -> Sample | None:
        path, row = self._path, dict(item)
        findings, impression = (one_line(_text(row, k, path, number, self._access)) for k in ("findings", "impression"))
        name, paths = str(column(row, "id", path, number)), column(row, "image", path, number)
        paths = [paths] if isinstance(paths, str) else paths
        if not (isinstance(paths, list) and paths):
            raise DataError(f"{path}, item {number}: image is {shown(paths, self._access)}, expected a list of paths")
        headed = [f"{head}: {text}" for head, text in (("Findings", findings), ("Impression", impression)) if text]
        if not headed:
            return None
        targets = report_targets(findings, impression, "findings" if findings else "impression") or {}
        targets["headed"] = Text((" ".join(headed),))
        if self._section not in targets:
            return None
        targets["answer"] = targets[self._section]
        return Sample(
            id=name,
            cluster=cluster_of(name),
            targets=targets,
            images=tuple(
                Image(f"{self._images}/{str(p).removeprefix('images/').lstrip('/')}", study=name) for p in paths
            ),
            slots={"modality": MODALITY, "views": "", "indication": "", "comparison": "", "history": "", "context": ""},
            strata={"n_images": str(len(paths)), "report_length": length_stratum(targets)},
        )

    def fingerprint(self) -> str:
        return sha256(f"{hash_files([self._path])} {self._section}".encode()).hexdigest()[:16]


def _text(item: dict[str, Any], key: str, path: Path, number: int, access: Access) -> str:
    """A text; null and a missing context count as empty. Raises :class:`radbench.errors.DataError`."""
    value = item.get(key) if key == "context" else column(item, key, path, number)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{path}, item {number}: {key} is {shown(value, access)}, expected a text")
    return value
