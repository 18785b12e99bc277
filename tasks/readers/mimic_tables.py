"""The tables of MIMIC-CXR(-JPG) study by study, with the sections of every study's report.

Layout below ``root``, which may be the release's folder or one that holds it (``mimic-cxr-jpg/2.1.0``,
``physionet.org/files/mimic-cxr-jpg/2.1.0``); all tables plain or gzipped::

    mimic-cxr-2.*-split.csv       dicom_id, study_id, subject_id, split
    mimic-cxr-2.*-metadata.csv    dicom_id, ..., ViewPosition, StudyDate, StudyTime
    files/p10/p10000000/s50000000/<dicom_id>.jpg (or .dcm, .png)
    mimic-cxr-reports/files/p10/p10000000/s50000000.txt     or mimic_cxr_sectioned.csv

Reports may lie beside ``root`` as well. Source: MIT-LCP/mimic-cxr; PhysioNet mimic-cxr and mimic-cxr-jpg, credentialed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Generic, TypeVar

from radbench.tasks.readers.files import column, csv_rows, require

from radbench.errors import DataError, shown

ACCESS = "credentialed"
SPLITS = {"train": "train", "val": "validate", "test": "test"}
_NESTS = (
    "",
    "2.*",
    "mimic-cxr-jpg",
    "mimic-cxr-jpg/2.*",
    "files/mimic-cxr-jpg/2.*",
    "physionet.org/files/mimic-cxr-jpg/2.*",
)
_SUFFIXES = (".jpg", ".dcm", ".png")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Picture:
    dicom: str
    view: str


@dataclass(frozen=True, slots=True)
class Study:
    """A study with its pictures in the order of the table. ``date`` YYYYMMDD and ``time`` HHMMSS.fff, empty if unknown."""

    subject: str
    study: str
    split: str
    date: str
    time: str
    pictures: tuple[Picture, ...]
    line: int

    @property
    def folder(self) -> str:
        return f"p{self.subject[:2]}/p{self.subject}"


class Tree:
    """A copy of MIMIC-CXR-JPG. ``images`` is where the pictures lie if not in ``root``: a folder with ``files``, or it."""

    def __init__(self, root: Path, images: Path | None = None) -> None:
        self.base = _base(root)
        found = table_at(self.base, "split")
        self.split_table = found or require(
            self.base / "mimic-cxr-2.0.0-split.csv", "the MIMIC-CXR-JPG table mimic-cxr-2.*-split.csv(.gz)"
        )
        self.metadata = table_at(self.base, "metadata")
        self.files = _files_below(images or self.base)

    def studies(self) -> Iterator[Study]:
        """All studies of all splits: as the split table has them if its studies are in order of patient, else sorted."""
        rows: Iterable[tuple[str, str, str, str, int, tuple[str, str, str]]] = self._rows()
        if not self._in_order:
            rows = sorted(rows, key=lambda r: (int(r[0]), int(r[1])))
        for (subject, study), group in groupby(rows, key=itemgetter(0, 1)):
            members = list(group)
            _, _, _, split, line, (_, date, time) = members[0]
            pictures = tuple(Picture(dicom, view) for _, _, dicom, _, _, (view, _, _) in members)
            yield Study(subject, study, split, date, time, pictures, line)

    def path(self, study: Study, picture: Picture) -> str:
        return f"{self.files}/{study.folder}/s{study.study}/{picture.dicom}{self._suffix}"

    def tables(self) -> list[Path]:
        return [self.split_table, *([self.metadata] if self.metadata else [])]

    def _rows(self) -> Iterator[tuple[str, str, str, str, int, tuple[str, str, str]]]:
        views = InStep(_metadata(self.metadata)) if self.metadata else None
        for line, row in csv_rows(self.split_table):
            dicom, study, subject, split = (
                column(row, c, self.split_table, line) for c in ("dicom_id", "study_id", "subject_id", "split")
            )
            if split not in SPLITS.values():
                raise DataError(
                    f"{self.split_table}, line {line}: split is {shown(split, ACCESS)}, expected train, validate or test"
                )
            subject, study = _digits(subject, "p", self.split_table, line), _digits(study, "s", self.split_table, line)
            about = views.take(dicom) if views else None
            yield subject, study, dicom, split, line, about or ("", "", "")

    @cached_property
    def _in_order(self) -> bool:
        """Whether the rows of a study, and the studies of a patient, follow each other: no need to keep them then."""
        before = (0, 0)
        for line, row in csv_rows(self.split_table):
            subject, study = (column(row, c, self.split_table, line) for c in ("subject_id", "study_id"))
            here = (
                int(_digits(subject, "p", self.split_table, line)),
                int(_digits(study, "s", self.split_table, line)),
            )
            if here < before:
                return False
            before = here
        return True

    @cached_property
    def _suffix(self) -> str:
        """The format of the pictures: of the first one that is there."""
        there = (p.suffix for p in self.files.glob("p[0-9][0-9]/p*/s*/*.*"))
        return next((s for s in there if s in _SUFFIXES), _SUFFIXES[0])


class InStep(Generic[_Value]):
    """Values of a second table by key. Rows passed over are kept until asked for: none, where both have one order."""

    def __init__(self, rows: Iterator[tuple[str, _Value]]) -> None:
        self._rows, self._passed = rows, dict[str, _Value]()

    def take(self, key: str) -> _Value | None:
        """The value of a key, once. None where the table does not have it."""
        if key in self._passed:
            return self._passed.pop(key)
        for other, value in self._rows:
            if other == key:
                return value
            self._passed[other] = value
        return None


def table_at(base: Path, kind: str) -> Path | None:
    """The table of a kind (split, metadata), of the newest release where several lie there."""
    found = sorted(base.glob(f"mimic-cxr-2.*-{kind}.csv")) or sorted(base.glob(f"mimic-cxr-2.*-{kind}.csv.gz"))
    return found[-1] if found else None


def _base(root: Path) -> Path:
    for nest in _NESTS:
        for folder in sorted(root.glob(nest), reverse=True) if nest else [root]:
            if table_at(folder, "split"):
                return folder
    return root.parent if root.name == "files" and table_at(root.parent, "split") else root


def _files_below(folder: Path) -> Path:
    return folder / "files" if (folder / "files").is_dir() else folder


def _metadata(path: Path) -> Iterator[tuple[str, tuple[str, str, str]]]:
    for line, row in csv_rows(path):
        dicom, view, date, time = (
            column(row, c, path, line) for c in ("dicom_id", "ViewPosition", "StudyDate", "StudyTime")
        )
        yield dicom, (view.strip(), date.strip(), padded_time(time))


def padded_time(time: str) -> str:
    """StudyTime as HHMMSS.fff: the table has it as a number, without its leading zeros."""
    whole, point, fraction = time.strip().partition(".")
    return f"{whole.zfill(6)}{point}{fraction}" if whole or fraction else ""


def _digits(value: str, letter: str, path: Path, line: int) -> str:
    number = value.strip().removeprefix(letter).removesuffix(".0")  # pandas writes ids as 50000000.0 beside gaps
    if not (number.isascii() and number.isdigit()):
        raise DataError(f"{path}, line {line}: an id is {shown(value, ACCESS)}, expected a number")
    return number
