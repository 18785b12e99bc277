"""Samples whose answer is a report, a caption or another longer text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from radbench.tasks.phantom import texts as t
from radbench.tasks.phantom.changes import difference
from radbench.tasks.phantom.grammar import is_device, seen_in
from radbench.tasks.phantom.questions import background
from radbench.tasks.phantom.spec import Case, Picture
from radbench.tasks.phantom.study import CHEST, Study, flat, main_picture, text, volumes

from radbench.records import Sample


def caption(study: Study) -> Iterator[Sample]:
    if picture := main_picture(study.case):
        yield study.sample(0, (picture,), text(t.caption(study.case, picture)))


def _chest(study: Study, write: Callable[[Case, Sequence[Picture]], str]) -> Iterator[Sample]:
    pictures = flat(study.case)
    if study.key == CHEST and pictures:
        context = background(study.case)
        yield study.sample(0, pictures, text(write(study.case, pictures)), context=context)


def report_findings(study: Study) -> Iterator[Sample]:
    return _chest(study, t.findings)


def report_impression(study: Study) -> Iterator[Sample]:
    return _chest(study, t.impression)


def report(study: Study) -> Iterator[Sample]:
    return _chest(study, t.report)


def report_multiview(study: Study) -> Iterator[Sample]:
    """The four views of a mammogram, the two of a spine; the chest has tasks of its own."""
    pictures = flat(study.case)
    if study.key != CHEST and len(pictures) > 1:
        yield study.sample(0, pictures, text(t.report(study.case, pictures)))


def report_3d(study: Study) -> Iterator[Sample]:
    pictures = volumes(study.case)
    if study.case.modality == "CT" and pictures:
        yield study.sample(0, pictures, text(t.report(study.case, pictures)))


def multi_visit(study: Study, images: bool, reports: bool) -> Iterator[Sample]:
    """A chest radiograph after an earlier one; the report tells findings, changes and impression whatever is given."""
    case, prior = study.case, study.prior
    if study.key != CHEST or prior is None or not (flat(case) and flat(prior)):
        return
    now, then = flat(case), flat(prior)
    told = f"{t.findings(case, now)} {difference(case, prior)} {t.impression(case, now)}"
    given: dict[str, Any] = {"previous": t.report(prior, then)} if reports else {}
    yield study.sample(0, now, text(told), priors=then if images else (), **given)


def comparison(study: Study) -> Iterator[Sample]:
    case, prior = study.case, study.prior
    if prior is not None and flat(case) and flat(prior):
        yield study.sample(0, flat(case), text(difference(case, prior)), priors=flat(prior))


def rationale(study: Study) -> Iterator[Sample]:
    picture = main_picture(study.case)
    if picture is None:
        return
    seen = [f for f in seen_in(study.case, (picture,)) if not is_device(study.case, f)]
    if seen:
        yield study.sample(0, (picture,), text(t.rationale(study.case, seen)))


def rationale_yes_no(study: Study) -> Iterator[Sample]:
    picture = main_picture(study.case)
    if picture is None:
        return
    seen = [f for f in seen_in(study.case, (picture,)) if not is_device(study.case, f)]
    for number, (disease, _) in enumerate(study.asked):
        target = text(t.rationale_of(study.case, seen, disease))
        yield study.sample(number, (picture,), target, strata={"finding": disease}, disease=disease)
