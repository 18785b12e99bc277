"""MIMIC-CXR report generation: the official tree, and the list that RadFM released.

Sources: PhysioNet mimic-cxr and mimic-cxr-jpg 2.0.0 / 2.1.0 (credentialed), MIT-LCP/mimic-cxr; MedVersa's paper, section on
MIMIC-CXR, and its released loader; chaoyi-wu/RadFM_data_csv. Ages and sexes: patients.csv of MIMIC-IV.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Literal

from radbench.tasks.readers.files import column, csv_rows, hash_files, require
from radbench.tasks.readers.mimic_reports import find_reports
from radbench.tasks.readers.mimic_tables import ACCESS, SPLITS, Picture, Study, Tree
from radbench.tasks.readers.picture_index import PictureIndex
from radbench.tasks.readers.report_samples import (
    MODALITY,
    context,
    length_stratum,
    one_of,
    report_targets,
    view_kind,
    view_stratum,
    wanted_section,
)
from radbench.tasks.readers.sectioning import Sections, one_line

from radbench.errors import DataError, shown
from radbench.records import Image, Sample, Target, Text


class Studies:
    """Studies with their pictures and the section asked for; studies whose report lacks it are left out.

    Layout: see :mod:`radbench.tasks.readers.mimic_tables`. Splits train, val (the file's validate) and test. Cluster: the
    patient. Sample id: the study, or the picture with ``per="image"``. Targets ``findings``, ``impression``, ``report`` (both,
    where both are there) and ``answer``, the one of ``section``: ``target`` is MedInterp's word for ``report``. Slots:
    modality, views, indication, comparison, history, context, with a table of patients age and gender too. Strata: view,
    n_images, report_length.

    ``images`` and ``reports`` say where pictures and reports lie if not in or beside ``root``; ``method`` is one of
    :mod:`radbench.tasks.readers.sectioning` and means nothing to ``mimic_cxr_sectioned.csv``, which has no indication and no
    history. ``views="frontal"`` takes frontal pictures only and leaves out studies without. Frontal pictures come first; of
    more than ``max_images`` the first are kept, 5 as in MedVersa's released code. ``patients`` is MIMIC-IV's patients.csv, by
    default the one in ``root`` if there is one. Raises :class:`radbench.errors.DataError`.
    """

    def __init__(
        self,
        root: Path,
        *,
        images: Path | None = None,
        reports: Path | None = None,
        patients: Path | None = None,
        method: str = "mit",
        section: str = "target",
        per: Literal["study", "image"] = "study",
        views: Literal["all", "frontal"] = "all",
        max_images: int = 5,
    ) -> None:
        self._tree = Tree(root, images)
        self._reports = find_reports(self._tree.base, reports, method)
        self._section = wanted_section(section)
        self._per, self._max_images = one_of(per, ("study", "image"), "per"), max_images
        self._frontal_only = one_of(views, ("all", "frontal"), "views") == "frontal"
        self._patients_table = _patients_at(self._tree.base, patients)
        self._options = repr((method, self._section, per, views, max_images))

    def samples(self, split: str) -> Iterator[Sample]:
        word = mimic_split(split)
        reports = self._reports.start()
        for study in self._tree.studies():
            asked = study.split == word
            report = reports.of(study, asked)
            if not asked:
                continue
            targets = report_targets(report.findings, report.impression, self._section)
            pictures = ordered_pictures(study, self._frontal_only)
            if targets is None or not pictures:
                continue
            if self._per == "study":
                yield self._sample(f"s{study.study}", study, report, targets, pictures[: self._max_images])
            else:
                for picture in pictures:
                    yield self._sample(picture.dicom, study, report, targets, [picture])

    def _sample(
        self, name: str, study: Study, report: Sections, targets: dict[str, Target], pictures: Sequence[Picture]
    ) -> Sample:
        age, gender = self._person(study)
        indication, comparison = one_line(report.indication), one_line(report.comparison)
        slots = {
            "modality": MODALITY,
            "views": ", ".join(p.view for p in pictures if p.view),
            "indication": indication,
            "comparison": comparison,
            "history": one_line(report.history),
            "context": context(indication, comparison, age, gender),
            **({} if age is None else {"age": age}),
            **({"gender": gender} if gender else {}),
        }
        return Sample(
            id=name,
            cluster=study.subject,
            targets=targets,
            images=study_images(self._tree, study, pictures),
            slots=slots,
            strata={
                "view": view_stratum(tuple(p.view for p in pictures)),
                "n_images": str(len(pictures)),
                "report_length": length_stratum(targets),
            },
        )

    def _person(self, study: Study) -> tuple[int | None, str]:
        gender, born = self._patients.get(study.subject, ("", 0))
        return (int(study.date[:4]) - born if born and study.date[:4].isdigit() else None), gender

    @cached_property
    def _patients(self) -> dict[str, tuple[str, int]]:
        """Sex and year of birth, both of MIMIC's shifted time, by patient."""
        path = self._patients_table
        if path is None:
            return {}
        people: dict[str, tuple[str, int]] = {}
        kept: dict[tuple[str, int], tuple[str, int]] = {}  # a few hundred pairs, shared by all patients
        for line, row in csv_rows(path):
            subject, gender, age, year = (
                column(row, c, path, line) for c in ("subject_id", "gender", "anchor_age", "anchor_year")
            )
            if not (age.strip().isdigit() and year.strip().isdigit()):
                raise DataError(f"{path}, line {line}: anchor_age or anchor_year is not a number")
            person = (gender.strip(), int(year) - int(age))
            people[subject.strip()] = kept.setdefault(person, person)
        return people

    def fingerprint(self) -> str:
        tables = [*self._tree.tables(), *([self._patients_table] if self._patients_table else [])]
        parts = f"{hash_files(tables)} {self._reports.fingerprint()} {self._options}"
        return sha256(parts.encode()).hexdigest()[:16]


class CaptionList:
    """RadFM's ``mimic_caption_test.csv`` (image_path, label), whose label is report text of a section it does not name.

    ``lists`` is the folder of RadFM's lists, ``table`` the name of the test list; the training list is named alike. Pictures
    are found below ``root``, a MIMIC-CXR-JPG tree, by the end of the authors' paths (``path_map``: see
    :class:`radbench.tasks.readers.picture_index.PictureIndex`). Splits train and test. Cluster: the patient, else the study,
    if the path names it, else the file. Targets ``answer`` and ``report``. Slots modality, context and the like, empty.
    Stratum report_length. Rows without a label are left out.
    """

    def __init__(self, root: Path, *, lists: Path, table: str = "mimic_caption_test.csv", path_map: str = "") -> None:
        self._lists, self._table = lists, table
        self._pictures = PictureIndex(root, path_map=path_map)
        self._options = repr((table, path_map))

    def _path(self, split: str) -> Path:
        if split not in ("train", "test"):
            raise DataError(f"RadFM's list of MIMIC-CXR has no split '{split}' but train, test")
        name = self._table if split == "test" else self._table.replace("test", "train")
        return require(self._lists / name, "RadFM's list of MIMIC-CXR pictures (image_path, label)")

    def samples(self, split: str) -> Iterator[Sample]:
        path = self._path(split)
        for line, row in csv_rows(path):
            listed, label = (column(row, c, path, line).strip() for c in ("image_path", "label"))
            if not listed:
                raise DataError(f"{path}, line {line}: image_path is {shown(listed, ACCESS)}, expected a path")
            if not label:
                continue
            text = Text((one_line(label),))
            targets: dict[str, Target] = {"answer": text, "report": text}
            named = re.search(r"(?:^|/)p(\d{8})/", listed) or re.search(r"(?:^|/)(s\d{8})/", listed)
            yield Sample(
                id=f"{split}-{line}",
                cluster=named.group(1) if named else Path(listed).stem,
                targets=targets,
                images=(Image(str(self._pictures.path(listed))),),
                slots={
                    "modality": MODALITY,
                    "views": "",
                    "indication": "",
                    "comparison": "",
                    "history": "",
                    "context": "",
                },
                strata={"report_length": length_stratum(targets)},
            )

    def fingerprint(self) -> str:
        known = [self._lists / self._table, self._lists / self._table.replace("test", "train")]
        tables = sorted({p for p in known if p.is_file()})
        return sha256(f"{hash_files(tables)} {self._options}".encode()).hexdigest()[:16]


def mimic_split(split: str) -> str:
    """The split table's own word. Raises :class:`radbench.errors.DataError`."""
    if split not in SPLITS:
        raise DataError(f"MIMIC-CXR has no split '{split}' but {', '.join(SPLITS)}")
    return SPLITS[split]


def ordered_pictures(study: Study, frontal_only: bool = False) -> list[Picture]:
    """Frontal pictures first, otherwise in the order of the table."""
    kinds = [(p, view_kind(p.view)) for p in study.pictures]
    return [p for p, k in kinds if k == "frontal"] + ([] if frontal_only else [p for p, k in kinds if k != "frontal"])


def study_images(tree: Tree, study: Study, pictures: Sequence[Picture]) -> tuple[Image, ...]:
    return tuple(Image(tree.path(study, p), view=p.view or None, study=f"s{study.study}") for p in pictures)


def _patients_at(base: Path, patients: Path | None) -> Path | None:
    if patients is not None:
        return require(patients, "MIMIC-IV's patients.csv")
    return next((p for p in (base / "patients.csv", base / "patients.csv.gz") if p.is_file()), None)
