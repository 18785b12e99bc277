"""The reports of MIMIC-CXR: one text file a study, or the table of sections that the authors' own code makes.

``mimic-cxr-reports/files/p10/p10000000/s50000000.txt`` (from mimic-cxr-reports.zip; ``files`` may be missing) or
``mimic_cxr_sectioned.csv`` (study, impression, findings, last_paragraph, comparison), plain or gzipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from radbench.tasks.readers.files import column, csv_rows, hash_files
from radbench.tasks.readers.mimic_tables import InStep, Study
from radbench.tasks.readers.sectioning import Part, Sections, sections

from radbench.errors import DataError

_TABLES = ("mimic_cxr_sectioned.csv", "mimic_cxr_sectioned.csv.gz")
_FOLDERS = ("mimic-cxr-reports", "mimic-cxr/2.*/mimic-cxr-reports", "mimic-cxr/2.*", "mimic-cxr", "2.*", "")


class Reports(Protocol):
    """Reports asked for in the order of :meth:`radbench.tasks.readers.mimic_tables.Tree.studies`, each once."""

    def of(self, study: Study, wanted: bool = True) -> Sections:
        """The sections of a study's report. ``wanted`` False passes it over, without reading it if that can be."""
        ...


class ReportFiles:
    """A folder of text files."""

    def __init__(self, files: Path, method: str) -> None:
        sections("", method)  # an unknown method is told of now
        self._files, self._method = files, method

    def start(self) -> Reports:
        return self

    def of(self, study: Study, wanted: bool = True) -> Sections:
        if not wanted:
            return Sections(())
        try:
            data = (self._files / study.folder / f"s{study.study}.txt").read_bytes()
        except FileNotFoundError:
            raise DataError(
                f"{self._files}: the report of the study in line {study.line} of the split table is missing",
                remedy="unpack mimic-cxr-reports.zip completely",
            ) from None
        except OSError as error:  # whose own message has the path, and so the patient
            raise DataError(
                f"{self._files}: the report of the study in line {study.line} of the split table cannot be read"
                f" ({error.strerror})",
                remedy="unpack mimic-cxr-reports.zip again",
            ) from None
        return sections(data.decode("utf-8-sig", errors="replace"), self._method)

    def fingerprint(self) -> str:
        """A hash of names and sizes of all reports."""
        digest = sha256(self._method.encode())
        for group in sorted(_folders(self._files)):
            for patient in sorted(_folders(self._files / group)):
                with os.scandir(self._files / group / patient) as there:
                    texts = sorted(f"{e.name}\0{e.stat().st_size}\n" for e in there if e.name.endswith(".txt"))
                digest.update("".join(texts).encode())
        return digest.hexdigest()[:16]


class SectionTable:
    """``mimic_cxr_sectioned.csv``: sections already cut by ``mit``, hand-made ones among them; no indication, no history."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def start(self) -> Reports:
        return _TableInStep(InStep(self._rows()), self._path)

    def _rows(self) -> Iterator[tuple[str, Sections]]:
        names = ("findings", "impression", "comparison", "last_paragraph")
        for line, row in csv_rows(self._path):
            study = column(row, "study", self._path, line).strip().removeprefix("s")
            texts = [(name, column(row, name, self._path, line)) for name in names]
            yield study, Sections(tuple(Part(name, "", text) for name, text in texts))

    def fingerprint(self) -> str:
        return hash_files([self._path])


class _TableInStep:
    def __init__(self, rows: InStep[Sections], path: Path) -> None:
        self._rows, self._path = rows, path

    def of(self, study: Study, wanted: bool = True) -> Sections:
        found = self._rows.take(study.study)
        if found is None and wanted:
            raise DataError(
                f"{self._path}: no row for the study in line {study.line} of the split table",
                remedy="make the table anew with create_section_files.py, or use the report files",
            )
        return found or Sections(())


def find_reports(base: Path, reports: Path | None, method: str) -> ReportFiles | SectionTable:
    """The reports of a copy: where ``reports`` says, else in ``base`` or beside it; text files before the table.

    Raises :class:`radbench.errors.DataError` where there are none.
    """
    if reports is not None and reports.is_file():
        return SectionTable(reports)
    places = [reports] if reports is not None else [base, base.parent, base.parent.parent]
    for place in places:
        for pattern in _FOLDERS:
            for folder in sorted(place.glob(pattern), reverse=True) if pattern else [place]:
                for files in (folder / "files", folder):
                    if _has_texts(files):
                        return ReportFiles(files, method)
    tables = [place / name for place in places for name in _TABLES if (place / name).is_file()]
    if not tables:
        raise DataError(
            f"{reports or base}: no reports; expected mimic-cxr-reports/files/p10/.../s....txt or mimic_cxr_sectioned.csv",
            remedy="unpack mimic-cxr-reports.zip beside the tables, or pass 'reports'",
        )
    return SectionTable(tables[0])


def _has_texts(files: Path) -> bool:
    """Whether a folder has ``p10/p10000000/s50000000.txt``; not every patient of an image tree is looked at for that."""
    for group in sorted(_folders(files)):
        for _, patient in zip(range(3), _folders(files / group), strict=False):
            if next((files / group / patient).glob("s*.txt"), None):
                return True
    return False


def _folders(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        with os.scandir(folder) as there:
            yield from (e.name for e in there if e.name.startswith("p") and e.name[1:].isdigit() and e.is_dir())
