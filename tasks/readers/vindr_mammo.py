"""VinDr-Mammo 1.0.0 (PhysioNet ``vindr-mammo``, restricted: login and agreement; doi:10.13026/br2v-7517).

Layout::

    images/<study_id>/<image_id>.dicom
    breast-level_annotations.csv    study_id, series_id, image_id, laterality, view_position, height, width,
                                    breast_birads, breast_density, split (training/test)
    finding_annotations.csv         the same and finding_categories (a Python list in a string), finding_birads,
                                    xmin, ymin, xmax, ymax (empty for "No Finding"); a row a finding
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from radbench.tasks.readers.files import below, column, csv_rows, hash_files, require
from radbench.tasks.readers.vindr import ACCESS, SUFFIX, base, box, known_split, radiograph, stored_suffix

from radbench.errors import ConfigError, DataError, nearest, shown
from radbench.records import Box, Boxes, Labels, Sample

NO_FINDING = "No Finding"  # spelt so in this set
FINDINGS = (
    "Mass", "Suspicious Calcification", "Asymmetry", "Focal Asymmetry", "Global Asymmetry", "Architectural Distortion",
    "Skin Thickening", "Skin Retraction", "Nipple Retraction", "Suspicious Lymph Node", NO_FINDING,
)  # fmt: skip
CHOICES = {
    "findings": FINDINGS,
    "birads": tuple(f"BI-RADS {i}" for i in range(1, 6)),
    "density": tuple(f"DENSITY {c}" for c in "ABCD"),
}
_COLUMNS = {"birads": "breast_birads", "density": "breast_density"}
_SPLITS = {"training": "train", "test": "test"}
_BREASTS, _FINDINGS = "breast-level_annotations.csv", "finding_annotations.csv"


@dataclass(slots=True)
class _Marked:
    """What the findings table says of an image."""

    names: set[str]
    boxes: list[Box]


class VinDrMammo:
    """One sample an image. Splits: train, test (the column ``split``). Cluster: the study, four views of one exam.

    ``labels``: ``findings`` (several an image), ``birads`` or ``density`` (the breast's, one an image). Boxes of the
    findings are the target ``boxes``; a finding of two categories gives two boxes. Strata: view, laterality, birads, density.
    ``images`` is the folder ``images``, ``suffix`` that of the pictures: ``.dicom`` is also found as ``.dcm``.
    """

    def __init__(
        self, root: Path, *, images: Path | None = None, labels: str = "findings", suffix: str = SUFFIX
    ) -> None:
        if labels not in CHOICES:
            raise ConfigError(f"VinDr-Mammo: labels '{labels}': {nearest(labels, CHOICES)}")
        self._root = base(root, "vindr-mammo", (_BREASTS, _FINDINGS))
        self._images, self._labels, self._suffix = images or self._root / "images", labels, suffix

    def samples(self, split: str) -> Iterator[Sample]:
        known_split(split, "VinDr-Mammo")
        path = require(self._root / _BREASTS, "the table of images of VinDr-Mammo")
        marked = self._marked()
        suffix = stored_suffix(self._images, self._suffix)
        for line, row in csv_rows(path):
            if self._split(row, path, line) == split:
                yield self._sample(row, path, line, marked, suffix)

    def fingerprint(self) -> str:
        tables = (self._root / _BREASTS, self._root / _FINDINGS)
        return f"{hash_files(t for t in tables if t.exists())}-{self._labels}"

    def _sample(self, row: dict[str, str], path: Path, line: int, marked: dict[str, _Marked], suffix: str) -> Sample:
        study, image, side, view = (
            str(column(row, c, path, line)) for c in ("study_id", "image_id", "laterality", "view_position")
        )
        breast = {k: str(column(row, c, path, line)).strip() for k, c in _COLUMNS.items()}
        for kind, value in breast.items():
            if value not in CHOICES[kind]:
                raise DataError(
                    f"{path}, line {line}: {_COLUMNS[kind]} is {shown(value, ACCESS)}, expected one of"
                    f" {', '.join(CHOICES[kind])}"
                )
        if image not in marked:
            raise DataError(
                f"{path}, line {line}: its image has no row in {_FINDINGS}",
                remedy="both tables of one release are needed",
            )
        said = marked[image]
        names = said.names if self._labels == "findings" else {breast[self._labels]}
        choices = CHOICES[self._labels]
        return Sample(
            id=image,
            cluster=study,
            targets={"answer": Labels(tuple(n for n in choices if n in names)), "boxes": Boxes(tuple(said.boxes))},
            images=(radiograph(below(self._images, study), image, suffix, view=view, study=study),),
            choices=choices,
            strata={"view": view, "laterality": side, **breast},
        )

    def _marked(self) -> dict[str, _Marked]:
        path = require(self._root / _FINDINGS, "the table of findings of VinDr-Mammo")
        marked: dict[str, _Marked] = {}
        for line, row in csv_rows(path):
            image = marked.setdefault(str(column(row, "image_id", path, line)), _Marked(set(), []))
            for name in _categories(str(column(row, "finding_categories", path, line)), path, line):
                placed = box(row, ("xmin", "ymin", "xmax", "ymax"), name, path, line)
                image.names.add(name)
                if placed is not None:
                    image.boxes.append(placed)
        for image in marked.values():
            if len(image.names) > 1:
                image.names.discard(NO_FINDING)
        return marked

    @staticmethod
    def _split(row: dict[str, str], path: Path, line: int) -> str:
        value = str(column(row, "split", path, line)).strip()
        if value not in _SPLITS:
            raise DataError(f"{path}, line {line}: split is {shown(value, ACCESS)}, expected training or test")
        return _SPLITS[value]


def _categories(text: str, path: Path, line: int) -> list[str]:
    """The names in a string that holds a Python list. Raises :class:`DataError`."""
    try:
        names = ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        names = None
    if not isinstance(names, list) or not names or not all(n in FINDINGS for n in names):
        raise DataError(
            f"{path}, line {line}: finding_categories is {shown(text, ACCESS)}, expected a Python list of finding names",
            remedy=f"known names: {', '.join(FINDINGS)}",
        )
    return names
