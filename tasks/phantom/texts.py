"""Texts of a case: findings, impression, caption, rationale, region captions.

A grammar of synonymous sentences, drawn by case id: the same case always reads the same. ``wording`` 1 states the same
facts as ``wording`` 0 in other sentences, as a second radiologist would, so that the two score like two human reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from radbench.tasks.phantom.grammar import (
    absent,
    draw,
    is_device,
    listed,
    many,
    phrase,
    seen_in,
    sentence,
    short_name,
    shuffled,
    tells_side,
)
from radbench.tasks.phantom.lexicon import EXAMINATION, FEATURES, NORMAL_ORGAN, NORMAL_STUDY, WORDS
from radbench.tasks.phantom.spec import Case, Finding, Picture

PRESENT = (
    "There {is} {phrase}.", "{phrase} {is} seen.", "{phrase} {is} present.", "{phrase} {is} noted.",
    "The study shows {phrase}.", "The pictures demonstrate {phrase}.",
)  # fmt: skip
HEDGED = (
    "Findings suggest {phrase}.", "Appearances are suspicious for {phrase}.", "There {is} probably {phrase}.",
    "{phrase} {is} suspected.",
)  # fmt: skip
ABSENT = ("No {names} {is} seen.", "There {is} no {names}.", "No evidence of {names}.", "Negative for {names}.")
CONCLUSION = ("{phrase}.", "Findings are consistent with {phrase}.", "Appearances are in keeping with {phrase}.")
CAPTION = (
    "{exam} showing {phrases}.",
    "{exam} with {phrases}.",
    "{exam} demonstrates {phrases}.",
    "{exam}: {phrases}.",
)
CAPTION_NORMAL = (
    "Normal {exam}.",
    "{exam} without abnormality.",
    "Unremarkable {exam}.",
    "{exam} showing no abnormality.",
)
RATIONALE = "The radiographic features can be summarized as follows. {features} {end}"
_HEDGED_SHARE = 0.15


def present(case: Case, finding: Finding, wording: int = 0) -> str:
    """A sentence that states the finding with all its facts, hedged now and then."""
    hedged = Random(f"{case.id}|hedge {finding.name} {finding.side}").random() < _HEDGED_SHARE and not is_device(
        case, finding
    )
    form = draw(case, f"present {finding.name} {finding.side}", HEDGED if hedged else PRESENT, wording)
    return sentence(form, many(finding), phrase=phrase(case, finding, wording))


def denied(case: Case, names: Sequence[str], wording: int = 0) -> str:
    """A sentence that denies the names."""
    words = [WORDS[n].names[draw(case, f"denied {n}", range(len(WORDS[n].names)), wording)] for n in names]
    plural = WORDS[names[0]].number == "plural"
    return sentence(draw(case, f"absent {names[0]}", ABSENT, wording), plural, names=listed(words, "or"))


def normal_study(case: Case, wording: int = 0) -> str:
    return draw(case, "normal", NORMAL_STUDY, wording)


def findings(case: Case, pictures: Iterable[Picture], wording: int = 0) -> str:
    """The findings section: every finding the pictures show, some of what is absent, in an order of its own."""
    seen = seen_in(case, pictures)
    said = [present(case, f, wording) for f in seen]
    gone = shuffled(case, "which absent", absent(case))[: 3 if seen else 4]
    cut = len(gone) // 2
    said += [denied(case, names, wording) for names in (gone[:cut], gone[cut:]) if names]
    if not seen:
        said.append(normal_study(case, wording))
    return " ".join(shuffled(case, f"order {wording}", said))


def impression(case: Case, pictures: Iterable[Picture], wording: int = 0) -> str:
    """The impression: the abnormalities without their measures; devices are left to the findings."""
    main = [f for f in seen_in(case, pictures) if not is_device(case, f)]
    if not main:
        return normal_study(case, wording + 1)
    forms = [draw(case, f"conclusion {f.name}", CONCLUSION, wording) for f in main]
    words = [_brief(case, f, wording) for f in main]
    return " ".join(sentence(form, phrase=said) for form, said in zip(forms, words, strict=True))


def _brief(case: Case, finding: Finding, wording: int) -> str:
    name = short_name(case, finding, wording)
    return f"{finding.severity} {name}" if finding.severity else name


def report(case: Case, pictures: Sequence[Picture], wording: int = 0) -> str:
    """Findings, then impression."""
    return f"{findings(case, pictures, wording)} {impression(case, pictures, wording)}"


def examination(case: Case, picture: Picture) -> str:
    """What the picture is: ``axial T2 MRI of the head``, ``PA chest radiograph``."""
    exam = EXAMINATION[case.modality, case.region]
    before, with_, contrast = case.sequence.partition("with")
    behind = f" {with_}{contrast}" if with_ else ""
    view = picture.view if tells_side(case, picture) else picture.view.removeprefix("left ").removeprefix("right ")
    return " ".join(part for part in (view, before.strip(), exam) if part) + behind


def caption(case: Case, picture: Picture, wording: int = 0) -> str:
    """One sentence on one picture."""
    seen = seen_in(case, (picture,))
    exam = examination(case, picture)
    if not seen:
        return sentence(draw(case, "caption normal", CAPTION_NORMAL, wording), exam=exam)
    phrases = listed([phrase(case, f, wording) for f in seen])
    return sentence(draw(case, "caption", CAPTION, wording), exam=exam, phrases=phrases)


def rationale(case: Case, seen: Sequence[Finding]) -> str:
    """The features of the findings, then the diagnosis. Raises IndexError where there are none."""
    return RATIONALE.format(
        features=" ".join(_features(case, seen)), end=f"The diagnosis is {listed([f.name for f in seen])}."
    )


def rationale_of(case: Case, seen: Sequence[Finding], disease: str) -> str:
    """The yes/no form: what is to be seen, then whether it is the disease asked for."""
    features = _features(case, seen) or [normal_study(case)]
    answer = "Yes" if any(f.name == disease for f in seen) else "No"
    return RATIONALE.format(features=" ".join(features), end=f"The answer is {answer}.")


def _features(case: Case, seen: Sequence[Finding]) -> list[str]:
    looks = [FEATURES[name] for name in dict.fromkeys(f.name for f in seen)]
    return [sentence(by.get(case.modality) or by[""]) + "." for by in looks]


def region_caption(case: Case, picture: Picture, label: str, wording: int = 0) -> str:
    """What the region of a label shows: the finding of that name, or the findings of that anatomy, or that it is normal."""
    seen = seen_in(case, (picture,))
    held = [f for f in seen if f.name == label or holds(label, f)]
    if held:
        return " ".join(present(case, f, wording) for f in held)
    plural = label.endswith("s") and label != "pancreas"
    return sentence(draw(case, f"normal {label}", NORMAL_ORGAN, wording), plural, organ=label)


def holds(label: str, finding: Finding) -> bool:
    """Whether the anatomy of that label holds the finding: ``left lung`` a finding of the lung on the left or both."""
    whole = finding.side not in ("left", "right")
    return finding.organ in label and (whole or finding.side in label or not {"left", "right"} & set(label.split()))
