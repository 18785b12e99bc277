"""How phantom texts are built: seeded draws, noun phrases of findings, sentences whose verb agrees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import TypeVar

from radbench.tasks.phantom.lexicon import ATTRIBUTES, SIDE_BEHIND, SIDE_IMPLIED, WORDS
from radbench.tasks.phantom.spec import ABNORMALITIES, DEVICES, Case, Finding, Picture

T = TypeVar("T")

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_MANY_WORDS = (" of ", " in ")  # names that take their side behind them


# --- what there is to say ---


def seen_in(case: Case, pictures: Iterable[Picture]) -> tuple[Finding, ...]:
    """The findings that at least one of the pictures shows, in the case's order; without a side where none tells it."""
    pictures = tuple(pictures)
    visible = {name for picture in pictures for name in picture.visible}
    seen = tuple(f for f in case.findings if f.name in visible)
    return seen if any(tells_side(case, p) for p in pictures) else tuple(replace(f, side="") for f in seen)


def tells_side(case: Case, picture: Picture) -> bool:
    """Whether left and right can be told apart: not from the side, nor in a scan of one abdominal organ."""
    return picture.view not in ("lateral", "sagittal") and (case.modality, case.region) != ("Ultrasound", "abdomen")


def vocabulary(case: Case) -> tuple[str, ...]:
    """Everything that can be found in studies of the case's modality and region: abnormalities, then devices."""
    key = (case.modality, case.region)
    return ABNORMALITIES.get(key, ()) + DEVICES.get(key, ())


def absent(case: Case) -> tuple[str, ...]:
    """The names of the vocabulary that the case does not have at all."""
    there = {f.name for f in case.findings}
    return tuple(name for name in vocabulary(case) if name not in there)


def is_device(case: Case, finding: Finding) -> bool:
    """Whether the finding is a tube, line or implant rather than a disease."""
    return finding.name in DEVICES.get((case.modality, case.region), ())


# --- words ---


def draw(case: Case, purpose: str, options: Sequence[T], wording: int = 0) -> T:
    """One of the options by case and purpose; another wording takes the next option, so the two never agree."""
    return options[(Random(f"{case.id}|{purpose}").randrange(len(options)) + wording) % len(options)]


def shuffled(case: Case, purpose: str, items: Iterable[T]) -> list[T]:
    """The items in an order that case and purpose decide."""
    out = list(items)
    Random(f"{case.id}|{purpose}").shuffle(out)
    return out


def listed(parts: Sequence[str], last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def millimetres(size: float) -> str:
    """A size as reports give it, in whole millimetres."""
    return f"{max(1, round(size))} mm"


def short_name(case: Case, finding: Finding, wording: int = 0) -> str:
    """The finding with its side, as in ``left lung nodule`` or ``calcifications of the thyroid on the right``."""
    word = WORDS[finding.name]
    index = draw(case, f"name {finding.name}", range(len(word.names)), wording)
    name = word.plural(index) if finding.count > 1 else word.names[index]
    side = said_side(finding)
    if not side:
        return name
    if finding.name in SIDE_BEHIND:
        return f"{name} {SIDE_BEHIND[finding.name].format(side)}"
    behind = any(part in name for part in _MANY_WORDS)
    if behind or draw(case, f"side {finding.name}", (0, 1, 2), wording) == 0:
        return f"{name} {'on both sides' if side == 'bilateral' else f'on the {side}'}"
    return f"{side} {name}"


def said_side(finding: Finding) -> str:
    """The side as texts name it: nothing where it goes without saying."""
    return "" if finding.side == "midline" or finding.name in SIDE_IMPLIED else finding.side


def phrase(case: Case, finding: Finding, wording: int = 0, article: bool = True) -> str:
    """The finding as a noun phrase with all its facts: number, severity, side, zone, size, attributes."""
    number = WORDS[finding.name].number
    head = short_name(case, finding, wording)
    if finding.severity:
        head = f"{finding.severity} {head}"
    if number != "mass" and finding.count > 1:
        head = f"{_NUMBERS[finding.count] if finding.count < len(_NUMBERS) else finding.count} {head}"
    elif number == "count" and article:
        head = f"{_article(head)} {head}"
    tail = [head]
    if finding.zone:
        place = draw(case, f"zone {finding.name}", ("in the {} zone", "in the {} third"), wording)
        tail.append(place.format(finding.zone))
    said = {k: v for k, v in finding.attributes.items() if k != "vessel" or "artery" not in finding.attributes}
    tail += [_attribute(key, value) for key, value in said.items()]
    if finding.size_mm:
        measure = draw(case, f"size {finding.name}", ("measuring {}", "{} in diameter", "of {}"), wording)
        tail.append(("the largest measuring {}" if finding.count > 1 else measure).format(millimetres(finding.size_mm)))
    return " ".join(tail)


def _attribute(key: str, value: str) -> str:
    form = ATTRIBUTES.get(f"{key} {value}") or ATTRIBUTES.get(key)
    return form.format(value) if form else f"with {value} {key}"


def _article(head: str) -> str:
    return "an" if head[0] in "aeio" or head.startswith("FDG") else "a"


def many(finding: Finding) -> bool:
    """Whether its verb is plural."""
    number = WORDS[finding.name].number
    return number == "plural" or (number == "count" and finding.count > 1)


def sentence(form: str, plural: bool = False, **words: str) -> str:
    """A form filled, its verb agreeing and its first letter a capital."""
    said = form.format(**{"is": "are" if plural else "is", "has": "have" if plural else "has", **words})
    return said[:1].upper() + said[1:]
