"""VinDr-SpineXR 1.0.0 (PhysioNet ``vindr-spinexr``, restricted: login and agreement; doi:10.13026/q45h-5h59; arXiv 2106.12930).

Layout::

    train_images/<image_id>.dicom    test_images/<image_id>.dicom
    annotations/{train,test}.csv     study_id, series_id, image_id, rad_id, lesion_type, xmin, ymin, xmax, ymax

The folder of tables may be called ``annotation``; JSON files beside them are not read. One row a box; an image without
a lesion has one row "No finding" with an empty box.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from radbench.tasks.readers.files import column, csv_rows, hash_files, require
from radbench.tasks.readers.vindr import (
    ACCESS,
    NO_FINDING,
    SUFFIX,
    base,
    box,
    findings,
    first_there,
    known_split,
    radiograph,
    stored_suffix,
)

from radbench.errors import ConfigError, DataError, shown
from radbench.records import Box, Boxes, Labels, Sample

# The labels of the published box files, in the order of MedDr's example prompt (sunanhe/MedDr).
FREQUENT = (
    NO_FINDING, "Osteophytes", "Disc space narrowing", "Surgical implant", "Foraminal stenosis", "Other lesions",
    "Vertebral collapse", "Spondylolysthesis",
)  # fmt: skip
_OTHER = "Other lesions"
_BOX = ("xmin", "ymin", "xmax", "ymax")
_SPLITS = ("train", "test")
_TABLES = tuple(f"{folder}/{split}.csv" for folder in ("annotations", "annotation") for split in _SPLITS)


@dataclass(slots=True)
class _Image:
    study: str
    series: str
    names: set[str] = field(default_factory=set)
    boxes: list[Box] = field(default_factory=list)


class VinDrSpineXR:
    """The lesion types an image has, and their boxes. Splits: train, test. Cluster: the study. Stratum: findings.

    ``labels="file"``: the label set is every ``lesion_type`` of the tables there, "No finding" first. ``"frequent"``: the
    eight labels of the published box files; rarer types count as "Other lesions". "No finding" is dropped where
    any lesion is marked. ``images`` is the folder that holds train_images/ and test_images/,
    ``suffix`` that of the pictures: ``.dicom`` is also found as ``.dcm``.
    """

    def __init__(self, root: Path, *, images: Path | None = None, labels: str = "file", suffix: str = SUFFIX) -> None:
        if labels not in ("file", "frequent"):
            raise ConfigError(f"VinDr-SpineXR: labels '{labels}', expected 'file' or 'frequent'")
        self._root = base(root, "vindr-spinexr", _TABLES)
        self._images, self._labels, self._suffix = images or self._root, labels, suffix

    def samples(self, split: str) -> Iterator[Sample]:
        table = require(self._table(split), f"the VinDr-SpineXR boxes of the split '{split}'")
        folder = first_there(self._images, f"{split}_images", split)
        suffix = stored_suffix(folder, self._suffix)
        for name, image in self._read(table).items():
            labels = tuple(n for n in self._choices if n in image.names)
            yield Sample(
                id=name,
                cluster=image.study,
                targets={"answer": Labels(labels), "boxes": Boxes(tuple(image.boxes))},
                images=(radiograph(folder, name, suffix, study=image.study),),
                choices=self._choices,
                strata={"findings": findings(labels)},
            )

    def fingerprint(self) -> str:
        tables = [t for t in map(self._table, _SPLITS) if t.exists()]
        return f"{hash_files(tables)}-{self._labels}"

    def _read(self, table: Path) -> dict[str, _Image]:
        images: dict[str, _Image] = {}
        for line, row in csv_rows(table):
            study, series, name = (str(column(row, c, table, line)) for c in ("study_id", "series_id", "image_id"))
            label = self._label(row, table, line)
            image = images.setdefault(name, _Image(study, series))
            image.names.add(label)
            placed = box(row, _BOX, label, table, line)
            if placed is not None and label != NO_FINDING:
                image.boxes.append(placed)
        for image in images.values():
            if len(image.names) > 1:
                image.names.discard(NO_FINDING)
        return images

    def _label(self, row: dict[str, str], table: Path, line: int) -> str:
        label = str(column(row, "lesion_type", table, line)).strip()
        if not label:
            raise DataError(f"{table}, line {line}: lesion_type is {shown(label, ACCESS)}, expected a name")
        if label.lower() == NO_FINDING.lower():
            return NO_FINDING
        return _OTHER if self._labels == "frequent" and label not in FREQUENT else label

    @cached_property
    def _choices(self) -> tuple[str, ...]:
        if self._labels == "frequent":
            return FREQUENT
        tables = [t for t in map(self._table, _SPLITS) if t.exists()]
        named = {self._label(row, table, line) for table in tables for line, row in csv_rows(table)}
        return (NO_FINDING, *sorted(named - {NO_FINDING}))

    def _table(self, split: str) -> Path:
        name = f"{known_split(split, 'VinDr-SpineXR')}.csv"
        return first_there(self._root, f"annotations/{name}", f"annotation/{name}")
