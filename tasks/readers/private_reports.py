"""A hospital's own studies and reports, such as R2Chest, R2Mammo and R2Thyroid.

``reports.csv`` in ``root``: study_id, images (paths below ``root``, joined by ``;``; a NIfTI or NRRD file or a folder of DICOM
slices for 3D), findings, impression, split; and, where known, patient_id, views (joined by ``;``, one an image), indication,
comparison, history. RadFound's three sets are not public; nothing of them is known but that each study has its pictures and a
report.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from radbench.tasks.readers.files import column, csv_rows, hash_files, require
from radbench.tasks.readers.report_samples import context, length_stratum, report_targets, wanted_section
from radbench.tasks.readers.sectioning import one_line

from radbench.errors import DataError, shown
from radbench.records import Image, Sample

_ACCESS = "private"
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validate": "val", "validation": "val", "test": "test"}
_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr")


class Reports:
    """One table of studies.

    ``section`` is findings, impression or report: findings followed by impression, or the one there is. ``modality`` fills the
    slot of that name, ``window`` names the display window of volumes and series. Splits train, val, test, as the column says.
    Cluster: patient_id, else the study. Sample id: the study. Targets ``findings``, ``impression``, ``report``, ``answer``, as
    far as they are there; studies without the section are left out. Slots: modality, views, indication, comparison, history,
    context. Strata: n_images, report_length. Messages show nothing of the table. Raises :class:`radbench.errors.DataError`.
    """

    def __init__(
        self,
        root: Path,
        *,
        images: Path | None = None,
        table: str = "reports.csv",
        section: str = "report",
        modality: str = "",
        window: str | None = None,
    ) -> None:
        self._table = require(root / table, "a table with study_id, images, findings, impression, split")
        self._images, self._modality, self._window = images or root, modality, window
        self._section = wanted_section(section)

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in _SPLITS.values():
            raise DataError(f"{self._table}: no split '{split}' but train, val, test")
        seen: set[str] = set()
        for line, row in csv_rows(self._table):
            word, study = (column(row, c, self._table, line).strip() for c in ("split", "study_id"))
            if word.lower() not in _SPLITS:
                raise self._bad(line, "split", word, "train, val or test")
            if not study or study in seen:
                raise self._bad(line, "study_id", study, "an id that stands in no earlier line")
            seen.add(study)
            if _SPLITS[word.lower()] == split and (sample := self._sample(study, row, line)) is not None:
                yield sample

    def _sample(self, study: str, row: dict[str, str], line: int) -> Sample | None:
        findings, impression = (column(row, c, self._table, line) for c in ("findings", "impression"))
        section = self._section
        if section == "report" and not (findings.strip() and impression.strip()):
            section = "findings" if findings.strip() else "impression"
        targets = report_targets(findings, impression, section)
        if targets is None:
            return None
        if self._section == "report":
            targets["report"] = targets["answer"]
        pictures = self._pictures(study, row, line)
        indication, comparison, history = (one_line(row.get(c, "")) for c in ("indication", "comparison", "history"))
        return Sample(
            id=study,
            cluster=row.get("patient_id", "").strip() or study,
            targets=targets,
            images=pictures,
            slots={
                "modality": self._modality,
                "views": ", ".join(p.view for p in pictures if p.view),
                "indication": indication,
                "comparison": comparison,
                "history": history,
                "context": context(indication, comparison),
            },
            strata={"n_images": str(len(pictures)), "report_length": length_stratum(targets)},
        )

    def _pictures(self, study: str, row: dict[str, str], line: int) -> tuple[Image, ...]:
        listed = column(row, "images", self._table, line)
        paths = [p.strip() for p in listed.split(";") if p.strip()]
        if not paths:
            raise self._bad(line, "images", listed, "paths joined by ';'")
        views = (
            [v.strip() for v in row.get("views", "").split(";")] if row.get("views", "").strip() else [""] * len(paths)
        )
        if len(views) != len(paths):
            raise self._bad(line, "views", row["views"], f"{len(paths)} views joined by ';', one an image")
        return tuple(self._picture(path, view or None, study) for path, view in zip(paths, views, strict=True))

    def _picture(self, name: str, view: str | None, study: str) -> Image:
        path = os.path.join(self._images, name)
        if name.lower().endswith(_VOLUMES):
            return Image(path, kind="volume", window=self._window, view=view, study=study)
        if "\0" not in path and os.path.isdir(path):
            return Image(path, kind="series", window=self._window, view=view, study=study)
        return Image(path, view=view, study=study)

    def _bad(self, line: int, name: str, value: str, expected: str) -> DataError:
        return DataError(f"{self._table}, line {line}: {name} is {shown(value, _ACCESS)}, expected {expected}")

    def fingerprint(self) -> str:
        options = (self._section, self._modality, self._window)
        return sha256(f"{hash_files([self._table])} {options!r}".encode()).hexdigest()[:16]
