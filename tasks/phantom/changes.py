"""What has happened since the prior study: the changes of a case, their sentences, questions on two studies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from radbench.tasks.phantom.grammar import draw, many, phrase, sentence, short_name, shuffled
from radbench.tasks.phantom.questions import Question, yes_no
from radbench.tasks.phantom.spec import Case, Finding

Change = Literal["new", "larger", "smaller", "unchanged", "resolved"]

CHANGED: dict[Change, tuple[str, ...]] = {
    "new": ("There {is} new {phrase}.", "New {phrase} since the prior study.", "Interval development of {phrase}."),
    "larger": (
        "The {name} {has} increased.",
        "Interval increase of the {name}.",
        "The {name} {is} larger than before.",
    ),
    "smaller": (
        "The {name} {has} decreased.",
        "Interval decrease of the {name}.",
        "The {name} {is} smaller than before.",
    ),
    "unchanged": ("The {name} {is} unchanged.", "The {name} {is} stable.", "No interval change of the {name}."),
    "resolved": ("The {name} {has} resolved.", "The {name} {is} no longer seen.", "Interval resolution of the {name}."),
}
SAME = ("No change since the prior study.", "Nothing has changed.", "Stable examination.")


def changes(case: Case, prior: Case) -> tuple[tuple[Change, Finding], ...]:
    """What happened to each finding since the prior study; a resolved finding is the prior's record."""
    now: list[tuple[Change, Finding]] = [(f.change, f) for f in case.findings if f.change]
    going_on = [(f.name, f.side) for f in case.findings if f.change != "new"]
    for old in prior.findings:
        if (old.name, old.side) in going_on:
            going_on.remove((old.name, old.side))
        else:
            now.append(("resolved", old))
    return tuple(now)


def difference(case: Case, prior: Case, wording: int = 0) -> str:
    """What has changed since the prior study, a sentence a finding."""
    said = [changed(case, change, finding, wording) for change, finding in changes(case, prior)]
    return " ".join(shuffled(case, f"changes {wording}", said)) or draw(case, "same", SAME, wording)


def changed(case: Case, change: Change, finding: Finding, wording: int = 0) -> str:
    """A sentence on one finding's change."""
    form = draw(case, f"{change} {finding.name} {finding.side}", CHANGED[change], wording)
    name = short_name(case, finding, wording)
    if change == "new":
        return sentence(form, many(finding), phrase=phrase(case, finding, wording, article=False))
    return sentence(form, many(finding), name=name)


def on_changes(case: Case, prior: Case) -> Iterator[Question]:
    """Questions on two studies: what has changed, and how each finding has."""
    forms = ("What has changed compared to the prior study?", "What is different from the prior study?")
    yield Question("difference", draw(case, "difference", forms), difference(case, prior))
    history = changes(case, prior)
    names = [f.name for _, f in history]
    for change, finding in history:
        if names.count(finding.name) > 1:
            continue
        name, plural = short_name(case, finding), many(finding)
        asked = draw(case, f"asked change {name}", (change, draw(case, f"other {name}", _OTHER_CHANGES[change])))
        yield Question("change", sentence(_IS_CHANGE[asked], plural, x=name), yes_no(asked == change))
        yield Question(
            "comparison", f"How {'do' if plural else 'does'} the {name} compare with the prior study?", change
        )


_IS_CHANGE = {
    "new": "{is} the {x} new?",
    "larger": "{has} the {x} become larger?",
    "smaller": "{has} the {x} become smaller?",
    "unchanged": "{is} the {x} unchanged?",
    "resolved": "{has} the {x} resolved?",
}
_OTHER_CHANGES = {change: tuple(c for c in _IS_CHANGE if c != change) for change in _IS_CHANGE}
