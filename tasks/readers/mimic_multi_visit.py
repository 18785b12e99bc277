"""MIMIC-CXR reports of patients with several visits, in RadVLBench's four settings.

The set is not public and its construction is not described; this one is ours, after the paper's text: studies of a patient
in order of StudyDate, then StudyTime; every study with an earlier one is asked about; ``visits`` earlier studies, by default
the latest one, are the previous ones. The four settings ask about the same studies and differ in what is shown of the
previous ones: nothing, their reports, their pictures, both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Literal

from radbench.tasks.readers.files import hash_files, require
from radbench.tasks.readers.mimic_cxr import mimic_split, ordered_pictures, study_images
from radbench.tasks.readers.mimic_reports import find_reports
from radbench.tasks.readers.mimic_tables import Study, Tree
from radbench.tasks.readers.report_samples import (
    MODALITY,
    context,
    length_stratum,
    one_of,
    report_targets,
    view_stratum,
    wanted_section,
)
from radbench.tasks.readers.sectioning import Sections, one_line

from radbench.errors import ConfigError, DataError
from radbench.records import Image, Sample

SETTINGS = ("none", "prev_reports", "prev_images", "both")
Visit = tuple[Study, Sections]


class MultiVisit:
    """Studies with earlier studies of the same patient.

    Layout, splits, ``images``, ``reports``, ``method``, ``section``, ``max_images`` (a study): as
    :class:`radbench.tasks.readers.mimic_cxr.Studies`; the metadata table is needed for the dates. An earlier study is one with
    an earlier date and time. Cluster: the patient. Sample id: the study. Pictures of the current study come first, those of
    previous ones after, the latest visit first, with role ``prior``, their study and the days before. Slot ``previous``: the
    findings and impression of the previous reports, oldest first, a line each; empty where nothing is shown. Targets and
    other slots as there, without age and gender. Strata: n_previous (all earlier studies, not only those shown), view,
    report_length. Raises :class:`radbench.errors.DataError`.
    """

    def __init__(
        self,
        root: Path,
        *,
        images: Path | None = None,
        reports: Path | None = None,
        setting: Literal["none", "prev_reports", "prev_images", "both"] = "none",
        visits: int = 1,
        section: str = "report",
        method: str = "mit",
        max_images: int = 5,
    ) -> None:
        if visits < 1:
            raise ConfigError(f"visits is {visits}, expected 1 or more earlier studies")
        self._tree = Tree(root, images)
        if self._tree.metadata is None:
            require(self._tree.base / "mimic-cxr-2.0.0-metadata.csv", "the table with StudyDate and StudyTime")
        self._reports = find_reports(self._tree.base, reports, method)
        self._section, self._visits, self._max_images = wanted_section(section), visits, max_images
        one_of(setting, SETTINGS, "multi-visit setting")
        self._show_reports = setting in ("prev_reports", "both")
        self._show_images = setting in ("prev_images", "both")
        self._options = repr((method, self._section, visits, setting, max_images))

    def samples(self, split: str) -> Iterator[Sample]:
        word = mimic_split(split)
        reports = self._reports.start()
        for _, group in groupby(self._tree.studies(), key=lambda s: s.subject):
            studies = list(group)
            asked = studies[0].split == word and len(studies) > 1
            visits = [(study, reports.of(study, asked)) for study in studies]
            if asked:
                visits.sort(key=lambda v: _when(v[0]))
                yield from self._of_patient(visits)

    def _of_patient(self, visits: Sequence[Visit]) -> Iterator[Sample]:
        for study, report in visits:
            earlier = [v for v in visits if _when(v[0]) < _when(study)]
            targets = report_targets(report.findings, report.impression, self._section)
            if not earlier or targets is None:
                continue
            pictures = ordered_pictures(study)[: self._max_images]
            indication, comparison = one_line(report.indication), one_line(report.comparison)
            shown = earlier[-self._visits :]
            yield Sample(
                id=f"s{study.study}",
                cluster=study.subject,
                targets=targets,
                images=study_images(self._tree, study, pictures) + self._prior_images(study, shown),
                slots={
                    "modality": MODALITY,
                    "views": ", ".join(p.view for p in pictures if p.view),
                    "indication": indication,
                    "comparison": comparison,
                    "history": one_line(report.history),
                    "context": context(indication, comparison),
                    "previous": "\n".join(filter(None, map(_text, shown))) if self._show_reports else "",
                },
                strata={
                    "n_previous": str(len(earlier)) if len(earlier) < 4 else "4 or more",
                    "view": view_stratum(tuple(p.view for p in pictures)),
                    "report_length": length_stratum(targets),
                },
            )

    def _prior_images(self, study: Study, shown: Sequence[Visit]) -> tuple[Image, ...]:
        if not self._show_images:
            return ()
        images: list[Image] = []
        for prior, _ in reversed(shown):
            days = (_day(study) - _day(prior)).days
            pictures = ordered_pictures(prior)[: self._max_images]
            images += (i._replace(role="prior", days_before=days) for i in study_images(self._tree, prior, pictures))
        return tuple(images)

    def fingerprint(self) -> str:
        parts = f"{hash_files(self._tree.tables())} {self._reports.fingerprint()} {self._options}"
        return sha256(parts.encode()).hexdigest()[:16]


def _when(study: Study) -> tuple[str, str]:
    _day(study)
    return study.date, study.time


def _day(study: Study) -> date:
    try:
        return date(int(study.date[:4]), int(study.date[4:6]), int(study.date[6:]))
    except ValueError:
        raise DataError(
            f"the metadata table has no StudyDate YYYYMMDD for the study in line {study.line} of the split table",
            remedy="use the metadata table of the same release as the split table",
        ) from None


def _text(visit: Visit) -> str:
    report = visit[1]
    return one_line(f"{report.findings} {report.impression}") or one_line(report.last_paragraph)
