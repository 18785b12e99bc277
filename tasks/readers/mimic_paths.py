"""Pictures and official split of MIMIC-CXR-JPG, for the datasets that annotate them.

``files/p10/p10000000/s50000000/<dicom_id>.jpg`` with the tables ``mimic-cxr-2.*-split.csv`` and ``-metadata.csv`` (also
``.gz``) beside ``files``. The folder given may hold ``files`` or ``p10``, or be a mirror of PhysioNet that has the release
further down (``physionet.org/files/mimic-cxr-jpg/2.1.0``). Pictures may be ``.png`` or ``.dcm`` all alike.
Source: physionet.org/content/mimic-cxr-jpg (2.0.0, 2.1.0); layout of MIT-LCP/mimic-cxr.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from radbench.tasks.readers.files import column, csv_rows
from radbench.tasks.readers.side_table import SideTable

from radbench.errors import DataError, shown

ACCESS = "credentialed"
SPLITS = {
    "train": "train", "val": "val", "valid": "val", "validate": "val", "validation": "val", "test": "test"
}  # fmt: skip


_SPLIT_COLUMNS = ("dicom_id", "study_id", "subject_id", "split")


_NESTS = ("", "2.*", "mimic-cxr-jpg/2.*", "files/mimic-cxr-jpg/2.*", "physionet.org/files/mimic-cxr-jpg/2.*")
_SUFFIXES = (".jpg", ".png", ".dcm")


@lru_cache(maxsize=16)
def _release(images: Path) -> Path:
    """The folder that holds ``files`` or ``p10``: the one given, or one below it as a mirror of PhysioNet has it."""
    found = (folder for nest in _NESTS for folder in (sorted(images.glob(nest), reverse=True) if nest else [images]))
    return next((f for f in found if any(f.glob("files/p1?")) or any(f.glob("p1?"))), images)


@lru_cache(maxsize=16)
def _pictures(images: Path) -> tuple[str, str]:
    """The folder that holds ``p10``, and the suffix of the pictures there."""
    release = _release(images)
    root = release / "files" if any(release.glob("files/p1?")) else release
    first = next((p.suffix for p in root.glob("p1?/p*/s*/*") if p.suffix in _SUFFIXES), ".jpg")
    return str(root), first


def picture_path(images: Path, subject: str, study: str, dicom: str) -> str:
    """Where the picture of a ``dicom_id`` lies; ids are bare numbers."""
    root, suffix = _pictures(images)
    return f"{root}/p{subject[:2]}/p{subject}/s{study}/{dicom}{suffix}"


def listed_path(images: Path, listed: str) -> str:
    """Where a path as the tables list it lies: ``files/p10/...`` or ``p10/...``, whatever its suffix."""
    root, suffix = _pictures(images)
    return f"{root}/{listed.removeprefix('files/').rpartition('.')[0] or listed}{suffix}"


def bare(identifier: str) -> str:
    """An id as a bare number: ``50000000`` for ``s50000000``, and for ``50000000.0``, which pandas writes beside gaps."""
    return identifier.strip().lstrip("ps").removesuffix(".0")


def mimic_table(images: Path, kind: str) -> Path | None:
    """``mimic-cxr-2.*-<kind>.csv`` or ``.csv.gz``, of the latest version; beside the pictures or one folder up."""
    for folder in (_release(images), images, images.parent):
        found = [p for p in folder.glob(f"mimic-cxr-2.*-{kind}.csv*") if p.name.endswith((".csv", ".csv.gz"))]
        if found:
            return max(found, key=lambda p: (p.name.removesuffix(".gz"), p.suffix != ".gz"))
    return None


def split_table(images: Path) -> Path:
    """The table of MIMIC's official split. Raises :class:`DataError` where the folder has none."""
    found = mimic_table(images, "split")
    if found is None:
        raise DataError(
            f"{images}: no mimic-cxr-2.*-split.csv or .csv.gz here or one folder up",
            remedy="get it from physionet.org/content/mimic-cxr-jpg and put it beside 'files'",
        )
    return found


def split_rows(path: Path) -> Iterator[tuple[int, str, str, str, str]]:
    """``(line, dicom, subject, study, split)`` of a split table, streamed, in our words train, val and test."""
    for line, row in csv_rows(path):
        dicom, study, subject, split = (column(row, c, path, line) for c in _SPLIT_COLUMNS)
        if split not in SPLITS:
            raise DataError(f"{path}, line {line}: split {shown(split, ACCESS)}, expected train, validate or test")
        yield line, dicom, bare(subject), bare(study), SPLITS[split]


def places(images: Path) -> SideTable:
    """``dicom_id`` -> (subject, study, split). Raises :class:`DataError`."""
    path = split_table(images)
    return _places(path, os.stat(path).st_mtime_ns)


@lru_cache(maxsize=2)
def _places(path: Path, changed: int) -> SideTable:
    return SideTable((dicom, subject, study, split) for _, dicom, subject, study, split in split_rows(path))


def study_pictures(images: Path) -> SideTable:
    """Study -> (dicom_id,), one row a picture, in the order of the split table. Raises :class:`DataError`."""
    return SideTable((study, dicom) for _, dicom, _, study, _ in split_rows(split_table(images)))


def picture_sizes(images: Path) -> SideTable | None:
    """``dicom_id`` -> (Rows, Columns) as text, from the metadata table; None where there is none."""
    path = mimic_table(images, "metadata")
    return None if path is None else _sizes(path, os.stat(path).st_mtime_ns)


@lru_cache(maxsize=2)
def _sizes(path: Path, changed: int) -> SideTable:
    names = ("dicom_id", "Rows", "Columns")
    return SideTable(tuple(column(row, c, path, line) for c in names) for line, row in csv_rows(path))


def size_of(sizes: SideTable | None, dicom: str) -> tuple[int, int] | None:
    """(height, width) of a picture by its metadata; None where they do not tell."""
    found = sizes.get(dicom) if sizes is not None else None
    if found is None or not all(text.removesuffix(".0").isdecimal() for text in found):
        return None
    height, width = (int(text.removesuffix(".0")) for text in found)
    return (height, width) if height and width else None


class _Official(Mapping[str, str]):
    def __init__(self, table: SideTable) -> None:
        self._table = table

    def __getitem__(self, dicom: str) -> str:
        found = self._table.get(dicom)
        if found is None:
            raise KeyError(dicom)
        return found[2]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


def official_split(images: Path) -> Mapping[str, str]:
    """``dicom_id`` -> train, val or test, MIMIC's official split; 25 MB for all of MIMIC. Raises :class:`DataError`."""
    return _Official(places(images))
