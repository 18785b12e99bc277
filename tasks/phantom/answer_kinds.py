"""Samples whose answer is a label, a set of labels or a short text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from radbench.tasks.phantom import questions as q
from radbench.tasks.phantom.changes import on_changes
from radbench.tasks.phantom.grammar import seen_in
from radbench.tasks.phantom.sets import listings
from radbench.tasks.phantom.spec import ABNORMALITIES, Picture
from radbench.tasks.phantom.study import CHEST, Study, flat, length, main_picture, text

from radbench.records import Labels, Sample

# --- closed sets ---


def modality(study: Study) -> Iterator[Sample]:
    if picture := main_picture(study.case):
        yield study.sample(0, (picture,), Labels((study.case.modality,)))


def region(study: Study) -> Iterator[Sample]:
    picture = main_picture(study.case)
    if picture and study.case.modality != "PET":  # which shows more than one region
        yield study.sample(0, (picture,), Labels((study.case.region,)))


def diagnosis(study: Study) -> Iterator[Sample]:
    picture = main_picture(study.case)
    for number, (disease, present) in enumerate(study.asked if picture else ()):
        answer = "yes" if present else "no"
        strata = {"finding": disease}
        yield study.sample(number, (picture,), Labels((answer,)), strata=strata, disease=disease)  # type: ignore[arg-type]


def multilabel(study: Study) -> Iterator[Sample]:
    pictures = flat(study.case)
    if study.key == CHEST and pictures:
        seen = {f.name for f in seen_in(study.case, pictures)}
        yield study.sample(0, pictures, Labels(tuple(n for n in ABNORMALITIES[CHEST] if n in seen)))


def multiclass(study: Study) -> Iterator[Sample]:
    """A study with one finding that its main picture shows, or with none: which of its modality and region is it?"""
    case, picture = study.case, main_picture(study.case)
    diseases = ABNORMALITIES.get(study.key, ())
    there = {f.name for f in case.findings}
    if picture and len(there) <= 1 and there <= set(diseases) & set(picture.visible):
        answer = Labels((next(iter(there), "normal"),))
        kind = f"{case.region} {case.modality}"
        yield study.sample(0, (picture,), answer, choices=("normal", *diseases), modality=kind)


def set_answers(study: Study) -> Iterator[Sample]:
    if picture := main_picture(study.case):
        for number, asked in enumerate(listings(study.case, picture)):
            strata = {"question": asked.kind, "length": length(asked.text)}
            yield study.sample(
                number, (picture,), Labels(asked.names), choices=asked.options, strata=strata, question=asked.text
            )


# --- questions ---


def _asked(study: Study, number: int, asked: q.Question, pictures: Sequence[Picture], **more: Any) -> Sample:
    strata = {
        "question": asked.kind,
        "form": "closed" if asked.closed else "open",
        "length": length(asked.text),
    }
    return study.sample(number, pictures, text(asked.answer), strata=strata, question=asked.text, **more)


def vqa(study: Study) -> Iterator[Sample]:
    if picture := main_picture(study.case):
        for number, asked in enumerate(q.selected(study.case, picture)):
            yield _asked(study, number, asked, (picture,))


def vqa_open(study: Study) -> Iterator[Sample]:
    if picture := main_picture(study.case):
        open_ones = [a for a in q.questions(study.case, picture) if not a.closed]
        for number, asked in enumerate(open_ones[: q.PER_PICTURE]):
            yield _asked(study, number, asked, (picture,))


def vqa_context(study: Study) -> Iterator[Sample]:
    if picture := main_picture(study.case):
        for number, asked in enumerate(q.contextual(study.case, picture)):
            yield _asked(study, number, asked, (picture,), context=q.background(study.case))


def vqa_choice(study: Study) -> Iterator[Sample]:
    picture = main_picture(study.case)
    number = 0
    for asked in q.questions(study.case, picture) if picture else ():
        options = q.choices_of(study.case, asked)
        if not options or number == q.PER_PICTURE:
            continue
        lines = "\n".join(f"{letter}. {option}" for letter, option in zip("ABCDE", options, strict=False))
        letter = Labels(("ABCDE"[options.index(asked.answer)],))
        yield study.sample(
            number, (picture,), letter, name="letter", choices=options, question=asked.text, options=lines,  # type: ignore[arg-type]
            strata={"question": asked.kind, "length": length(asked.text)},
        )  # fmt: skip
        number += 1


def vqa_multi_image(study: Study) -> Iterator[Sample]:
    case, prior = study.case, study.prior
    if prior is None or not (flat(case) and flat(prior)):
        return
    now, then = main_picture(case), main_picture(prior)
    if now is None or then is None:
        return
    for number, asked in enumerate(on_changes(case, prior)):
        yield _asked(study, number, asked, (now,), priors=(then,))
