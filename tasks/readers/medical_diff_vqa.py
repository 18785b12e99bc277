"""Medical-Diff-VQA (PhysioNet medical-diff-vqa 1.0.0 and 1.0.1, credentialed) and sets made by its generator.

``mimic_pair_questions.csv``: study_id, subject_id, ref_id, question_type, question, answer, split. ``ref_id`` is an
earlier study of the patient, filled for every question. ``mimic_all.csv``: one picture a study with dicom_id, view and
study_date. Pictures lie in MIMIC-CXR-JPG. Layout: Holipori/MIMIC-Diff-VQA.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

from radbench.tasks.readers.files import column, csv_rows, hash_files, require
from radbench.tasks.readers.mimic_paths import (
    ACCESS,
    SPLITS,
    bare,
    picture_path,
    split_table,
    study_pictures,
)
from radbench.tasks.readers.side_table import SideTable

from radbench.errors import ConfigError, DataError, shown
from radbench.records import Image, Sample, Text

DIFFERENCE = "difference"


class Question(NamedTuple):
    """A row of the question table; ``reference`` is empty where there is none."""

    number: int
    line: int
    study: str
    subject: str
    reference: str
    kind: str
    question: str
    answer: str
    split: str


class _Study(NamedTuple):
    subject: str
    dicom: str
    view: str
    taken: date | None


class DiffVqa:
    """Splits train, val, test (MIMIC's); cluster: the patient.

    ``kind``: every question, the ``difference`` questions or the ``other`` types. ``both``: the current picture and the
    reference study's for every question, as RadVLBench's two images; None leaves the reference out for ``kind="other"``.
    ``reference="difference"``: of them only the difference questions come with the reference, the others, which are about
    the current picture, without it.
    ``study_images="all"`` takes up to ``most`` pictures of each study from the split table of MIMIC-CXR-JPG, the one
    the question was made from first (five in MedVersa's released code); ``one`` takes that one alone.

    Slots: question and question_lower, which MedVersa's prompt takes.
    """

    def __init__(
        self,
        root: Path,
        *,
        images: Path,
        kind: Literal["all", "difference", "other"] = "all",
        study_images: Literal["one", "all"] = "one",
        both: bool | None = None,
        reference: Literal["all", "difference"] = "all",
        most: int = 5,
    ) -> None:
        _known("kind", kind, ("all", "difference", "other"))
        _known("reference", reference, ("all", "difference"))
        _known("study_images", study_images, ("one", "all"))
        self._table = require(root / "mimic_pair_questions.csv", "the questions of Medical-Diff-VQA")
        self._studies_path = require(root / "mimic_all.csv", "the studies of Medical-Diff-VQA")
        self._images, self._kind, self._all, self._most = images, kind, study_images == "all", most
        self._both = kind != "other" if both is None else both
        self._reference = reference

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in ("train", "val", "test"):
            raise DataError(f"Medical-Diff-VQA has no split '{split}' but train, val and test")
        for row in questions(self._table):
            if row.split == split and self._kind in ("all", DIFFERENCE if row.kind == DIFFERENCE else "other"):
                yield _sample(row, row.subject, self._pictures(row))

    def _pictures(self, row: Question) -> list[Image]:
        current = self._study(row.study, "study_id", row.line)
        pictures = [Image(path, view=view, study=row.study) for path, view in self._files(row.study, current)]
        if self._both and row.reference and (self._reference == "all" or row.kind == DIFFERENCE):
            prior = self._study(row.reference, "ref_id", row.line)
            known = current.taken is not None and prior.taken is not None
            days = (current.taken - prior.taken).days if known else None  # type: ignore[operator]
            pictures += [
                Image(path, view=view, study=row.reference, role="prior", days_before=days)
                for path, view in self._files(row.reference, prior)
            ]
        return pictures

    def _study(self, study: str, name: str, line: int) -> _Study:
        found = self._studies.get(study)
        if found is None:
            raise DataError(f"{self._table}, line {line}: {name} {shown(study, ACCESS)} is not in {self._studies_path}")
        subject, dicom, view, taken = found
        return _Study(subject, dicom, view, _date(taken))

    def _files(self, study: str, row: _Study) -> list[tuple[str, str | None]]:
        """The pictures of a study with their views, where known."""
        views = {row.dicom: row.view or None}
        if self._all:
            views.update((dicom, None) for (dicom,) in self._pictures_of.all(study) if dicom != row.dicom)
        files = [(picture_path(self._images, row.subject, study, dicom), view) for dicom, view in views.items()]
        return files[: self._most]

    @cached_property
    def _studies(self) -> SideTable:
        return SideTable(self._study_rows())

    def _study_rows(self) -> Iterator[tuple[str, ...]]:
        path = self._studies_path
        for line, row in csv_rows(path):
            study, subject, dicom, view, taken = (
                column(row, c, path, line) for c in ("study_id", "subject_id", "dicom_id", "view", "study_date")
            )
            try:
                _date(taken)
            except ValueError:
                raise DataError(f"{path}, line {line}: study_date {shown(taken, ACCESS)}, expected YYYYMMDD") from None
            yield bare(study), bare(subject), dicom, view, taken

    @cached_property
    def _pictures_of(self) -> SideTable:
        return study_pictures(self._images)

    def fingerprint(self) -> str:
        tables = [self._table, self._studies_path, *([split_table(self._images)] if self._all else [])]
        options = (self._kind, self._both, self._reference, self._all, self._most)
        return sha256(f"{hash_files(tables)} {options!r}".encode()).hexdigest()[:16]


class IuxVqa:
    """IU-Xray questions from the same generator, in a table of the same columns; ``study_id`` is the uid.

    ``root`` is that CSV file or a folder with no other CSV; ``images`` is the Kaggle copy of IU-Xray
    (``indiana_projections.csv``, ``images/images_normalized/``). A question is about the study's first frontal picture,
    its first picture where none is frontal. Splits: ``all``, and what the column ``split`` says. Cluster: the study,
    since patients are not named. The questions that MedVersa was tested on are not released.
    """

    def __init__(self, root: Path, *, images: Path) -> None:
        found = sorted(root.glob("*.csv")) if root.is_dir() else [require(root, "a question table")]
        if len(found) != 1:
            raise DataError(f"{root}: {len(found)} CSV files, expected one table of questions")
        self._table = found[0]
        self._projections = require(images / "indiana_projections.csv", "the projections of the Kaggle copy of IU-Xray")
        folders = (images / "images" / "images_normalized", images / "images_normalized", images / "images")
        self._folder = next((f for f in folders if f.is_dir()), folders[0])

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in ("all", "train", "val", "test"):
            raise DataError(f"IU-Xray questions have no split '{split}' but all, train, val and test")
        for row in questions(self._table):
            if split in ("all", row.split):
                if row.study not in self._frontal:
                    uid = shown(row.study, "on-request")
                    raise DataError(f"{self._table}, line {row.line}: uid {uid} is not in {self._projections}")
                name, view = self._frontal[row.study]
                yield _sample(row, row.study, [Image(str(self._folder / name), view=view, study=row.study)])

    @cached_property
    def _frontal(self) -> dict[str, tuple[str, str]]:
        path, found = self._projections, dict[str, tuple[str, str]]()
        for line, row in csv_rows(path):
            uid, name, view = (column(row, c, path, line) for c in ("uid", "filename", "projection"))
            if uid not in found or (view == "Frontal" and found[uid][1] != "Frontal"):
                found[uid] = name, view
        return found

    def fingerprint(self) -> str:
        return hash_files([self._table, self._projections])


def questions(path: Path) -> Iterator[Question]:
    """The rows of a question table, numbered from 1. Raises :class:`DataError`."""
    names = ("study_id", "subject_id", "ref_id", "question_type", "question", "answer", "split")
    for number, (line, row) in enumerate(csv_rows(path), 1):
        study, subject, reference, kind, question, answer, split = (column(row, c, path, line) for c in names)
        if split not in SPLITS:
            raise DataError(f"{path}, line {line}: split {shown(split, ACCESS)}, expected train, val or test")
        yield Question(
            number, line, bare(study), bare(subject), bare(reference), kind, question.strip(), answer.strip(), SPLITS[split]
        )  # fmt: skip


def _sample(row: Question, cluster: str, pictures: list[Image]) -> Sample:
    return Sample(
        id=f"{row.study}-{row.number}",
        cluster=cluster,
        targets={"answer": Text((row.answer,))},
        images=tuple(pictures),
        slots={"question": row.question, "question_lower": row.question.lower(), "modality": "Chest X-Ray"},
        strata={"question_type": row.kind, "n_images": str(len(pictures))},
    )


def _date(text: str) -> date | None:
    """``YYYYMMDD``, also with dashes, a time of day or pandas' ``.0``; None where it is empty. Raises ValueError."""
    digits = text.strip().removesuffix(".0")[:10].replace("-", "").strip()
    return datetime.strptime(digits, "%Y%m%d").date() if digits else None


def _known(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{option} is {value!r}, expected {', '.join(known)}")
