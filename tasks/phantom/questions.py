"""Questions about a picture that its record answers: open and closed, multiple choice, with the history.

A question is asked only where the record leaves one right answer: a side or a size, say, only of a finding whose name
occurs once in the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from radbench.tasks.phantom.grammar import (
    absent,
    draw,
    is_device,
    listed,
    many,
    phrase,
    said_side,
    seen_in,
    sentence,
    shuffled,
)
from radbench.tasks.phantom.lexicon import EXAMINATION, WORDS
from radbench.tasks.phantom.spec import ABNORMALITIES, Case, Finding, Picture

MODALITIES = ("CT", "MRI", "Ultrasound", "PET", "X-ray", "angiography")  # as RadBench spells them
PLANES = ("axial", "coronal", "sagittal")
SIDES = ("left", "right", "bilateral")
ZONES = ("upper", "middle", "lower")
SIZES = ("under 10 mm", "10 to 19 mm", "20 to 39 mm", "40 mm or more")
PER_PICTURE = 6


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its one answer. ``options`` is the closed set that a multiple-choice form draws from."""

    kind: (
        str  # presence, side, zone, size, count, modality, plane, view, region, device, sequence, severity, change ...
    )
    text: str
    answer: str
    options: tuple[str, ...] = ()

    @property
    def closed(self) -> bool:
        return self.answer in ("yes", "no")


FORMS: Mapping[str, tuple[str, ...]] = {
    "modality": ("What imaging modality was used?", "How was this image acquired?", "Which modality is shown?"),
    "modality-yes-no": ("Is this image acquired by {x}?", "Was {x} used to take this image?"),
    "plane": ("In which plane is the image?", "What is the plane of this image?"),
    "view": ("Which view is this?", "In which view was the image taken?"),
    "region": ("Which part of the body is imaged?", "What body region does the image show?"),
    "sequence": ("Which MR sequence is this?", "What is the sequence of this MRI?"),
    "contrast": ("Was contrast medium given?", "Is this a study with contrast?"),
    "presence": ("Is there evidence of {x}?", "Does the image show {x}?", "Is there any {x}?"),
    "abnormality": ("What abnormality is seen?", "What is the abnormal finding in this image?"),
    "side": ("On which side {is} the {x}?", "Which side {is} the {x} on?"),
    "zone": ("In which zone {is} the {x}?", "Which zone {is} the {x} in?"),
    "size": ("What is the size of the {x}?", "How large {is} the {x}?"),
    "count": ("How many {x} are seen?", "What is the number of {x}?"),
    "severity": ("How severe {is} the {x}?", "What is the degree of the {x}?"),
    "device": ("Which device is visible?", "What device does the image show?"),
}


def size_bin(millimetres: float) -> str:
    return SIZES[sum(round(millimetres) >= edge for edge in (10, 20, 40))]


def _ask(
    case: Case, kind: str, answer: str, options: Sequence[str] = (), x: str = "", plural: bool = False
) -> Question:
    form = draw(case, f"ask {kind} {x}", FORMS[kind])
    return Question(kind.removesuffix("-yes-no"), sentence(form, plural, x=x), answer, tuple(options))


# --- about one picture ---


def questions(case: Case, picture: Picture) -> list[Question]:
    """Every question on the picture that the record answers, those on findings first."""
    return [*_on_findings(case, picture), *_on_acquisition(case, picture)]


def selected(case: Case, picture: Picture, most: int = PER_PICTURE) -> list[Question]:
    """At most ``most`` of them, drawn by case; no kind twice before every kind was asked once."""
    left = shuffled(case, f"questions {picture.path}", questions(case, picture))
    chosen: list[Question] = []
    while left and len(chosen) < most:
        asked = [sum(c.kind == q.kind for c in chosen) for q in left]
        chosen.append(left.pop(asked.index(min(asked))))
    return chosen


def _on_acquisition(case: Case, picture: Picture) -> Iterator[Question]:
    yield _ask(case, "modality", case.modality, MODALITIES)
    guess = draw(case, "guessed modality", (case.modality, draw(case, "other modality", _others(case))))
    yield _ask(case, "modality-yes-no", yes_no(guess == case.modality), x=guess)
    if picture.view in PLANES:
        yield _ask(case, "plane", picture.view, PLANES)
    elif picture.view and case.modality != "Ultrasound":  # where it names an organ
        yield _ask(case, "view", picture.view)
    if case.modality != "PET":  # which shows more than one region
        yield _ask(case, "region", case.region, sorted({region for _, region in EXAMINATION}))
    if case.modality == "MRI" and case.sequence:
        yield _ask(case, "sequence", case.sequence)
    elif case.sequence in ("with contrast", "without contrast"):
        yield _ask(case, "contrast", yes_no(case.sequence == "with contrast"))


def _others(case: Case) -> tuple[str, ...]:
    """The modalities that it is not; angiography is taken with X-rays, so neither is asked of the other."""
    kin = ("X-ray", "angiography")
    return tuple(m for m in MODALITIES if m != case.modality and not (m in kin and case.modality in kin))


def yes_no(true: bool) -> str:
    return "yes" if true else "no"


def _on_findings(case: Case, picture: Picture) -> Iterator[Question]:
    seen = seen_in(case, (picture,))
    names = tuple(dict.fromkeys(f.name for f in seen))
    gone = absent(case)
    if names:
        yield _ask(case, "presence", "yes", x=draw(case, "asked present", names))
    if gone:
        yield _ask(case, "presence", "no", x=draw(case, "asked absent", gone))
    diseases = tuple(dict.fromkeys(f.name for f in seen if not is_device(case, f)))
    if diseases:
        yield _ask(case, "abnormality", listed(diseases), abnormalities(case) if len(diseases) == 1 else ())
    devices = tuple(dict.fromkeys(f.name for f in seen if is_device(case, f)))
    if len(devices) == 1:
        yield _ask(case, "device", devices[0])
    for finding in seen:
        if sum(f.name == finding.name for f in case.findings) == 1:
            yield from _on_finding(case, picture, finding)


def abnormalities(case: Case) -> tuple[str, ...]:
    return ABNORMALITIES.get((case.modality, case.region), ())


def _on_finding(case: Case, picture: Picture, finding: Finding) -> Iterator[Question]:
    name, word = finding.name, WORDS[finding.name]
    x = word.plural(0) if finding.count > 1 else name
    plural = many(finding)
    if side := said_side(finding):
        yield _ask(case, "side", side, SIDES, x, plural)
    if finding.zone:
        yield _ask(case, "zone", finding.zone, ZONES, x, plural)
    if finding.size_mm and finding.count == 1:
        yield _ask(case, "size", size_bin(finding.size_mm), SIZES, x, plural)
    countable = (
        word.number == "count" and finding.size_mm and not is_device(case, finding)
    )  # what has no size has no pieces
    if countable and _can_be_counted(picture.boxes.get(name, ()), finding.count):
        options = ("1", "2", "3", "4", "5") if finding.count < 6 else ()
        yield _ask(case, "count", str(finding.count), options, word.plural(0))
    if finding.severity:
        yield _ask(case, "severity", finding.severity, ("mild", "moderate", "severe"), x, plural)


def _can_be_counted(boxes: Sequence[Sequence[float]], count: int) -> bool:
    """The picture shows as many, each apart: a slice may miss some, in a projection one may lie before another."""
    wider = [(x0 - 1, y0 - 1, x1 + 1, y1 + 1) for x0, y0, x1, y1 in boxes]  # two pixels between them
    return len(boxes) == count and not any(overlap(a, b) for a, b in combinations(wider, 2))


def overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether two boxes (x0, y0, x1, y1) share an area."""
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


# --- multiple choice ---


def choices_of(case: Case, question: Question, most: int = 4) -> tuple[str, ...]:
    """The right answer among up to three wrong ones, shuffled by case; empty where the question has no closed set."""
    wrong = [o for o in question.options if o != question.answer]
    if len(wrong) < 2:
        return ()
    if question.kind == "abnormality":  # a wrong option must be wrong: only what the case does not have at all
        wrong = [o for o in wrong if o in absent(case)]
    kept = shuffled(case, f"wrong {question.text}", wrong)[: most - 1]
    return tuple(shuffled(case, f"options {question.text}", [question.answer, *kept]))


# --- with the history ---


def background(case: Case) -> str:
    """Age, sex and history, as a request for a study would give them."""
    return f"A {case.age}-year-old {'man' if case.sex == 'male' else 'woman'}. {case.history}".strip()


def contextual(case: Case, picture: Picture) -> Iterator[Question]:
    """Open questions of a case report, answered in words."""
    seen = seen_in(case, (picture,))
    exam = EXAMINATION[case.modality, case.region]
    forms = ("What did the {x} show?", "What was found on the {x}?", "What does the {x} reveal in this patient?")
    shown = listed([phrase(case, f) for f in seen]) if seen else "no abnormality"
    yield Question("finding", draw(case, "context", forms).format(x=exam), f"The {exam} showed {shown}.")
    diseases = tuple(dict.fromkeys(f.name for f in seen if not is_device(case, f)))
    if diseases:
        asked = draw(case, "context diagnosis", ("What is the diagnosis?", "Which diagnosis was made from the {x}?"))
        yield Question("diagnosis", asked.format(x=exam), listed(diseases))
