"""What the regression gate found, for a pull request (Markdown) and for a CI's list of tests (JUnit XML).

Both hold names of tasks and metrics, numbers and the gate's own sentences: nothing of the data. The same result gives the
same bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from radbench.errors import Exit
from radbench.paper.escapes import markdown_text
from radbench.report import ARROWS, clean

if TYPE_CHECKING:
    from radbench.gate.check import Check, GateResult

ROWS = 100  # of the Markdown: a comment on GitHub holds 65,536 characters

_URGENCY = ("regression", "inconclusive", "pass", "not gated")

_STEPS = {
    Exit.REGRESSION: (
        "See where the answers changed: `radbench compare RUN BASELINE-RUN`.",
        "If the change is meant, make a new baseline and commit it, so that the decision is on record:"
        " `radbench baseline RUN -o FILE`.",
    ),
    Exit.INCONCLUSIVE: (
        "Ask more samples: run without `--limit`, or add tasks and patients; `radbench power RUN -d MARGIN --margin MARGIN`"
        " says how many are needed.",
        "Or state a wider `--margin`, if a drop of that size would be acceptable.",
        "If the change is meant, make a new baseline and commit it: `radbench baseline RUN -o FILE`.",
    ),
    Exit.INCOMPLETE: ("Finish the run, then check again: `radbench resume RUN`.",),
}


def junit(result: GateResult) -> str:
    """JUnit XML: a testsuite a task, a testcase a metric, called by both since GitLab shows a case by its name alone.

    A regression is a ``failure``, an inconclusive metric an ``error`` (the test could not tell), one that is not gated is
    ``skipped``. An incomplete run is an ``error`` of its own in the suite ``radbench check``.
    """
    suites = [_suite(task, checks) for task, checks in _by_task(result.checks)]
    if result.exit is Exit.INCOMPLETE:
        suite = ElementTree.Element("testsuite", name="radbench check")
        case = ElementTree.SubElement(suite, "testcase", classname="radbench check", name="complete", time="0")
        _verdict(case, "error", "incomplete", result.headline, result.headline)
        suites.append(suite)
    root = ElementTree.Element("testsuites", name="radbench check")
    for suite in suites:
        _count([suite], suite)
        root.append(suite)
    _count(suites, root)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _by_task(checks: Iterable[Check]) -> list[tuple[str, list[Check]]]:
    tasks: dict[str, list[Check]] = {}
    for check in checks:
        tasks.setdefault(check.task, []).append(check)
    return list(tasks.items())


def _suite(task: str, checks: Sequence[Check]) -> ElementTree.Element:
    name = clean(task)
    suite = ElementTree.Element("testsuite", name=name)
    for check in checks:
        case = ElementTree.SubElement(suite, "testcase", classname=name, name=f"{name} {clean(check.metric)}", time="0")
        numbers = "\n".join(f"{column}: {value}" for column, value in _numbers(check).items())
        match check.verdict:
            case "regression":
                _verdict(case, "failure", check.verdict, check.reason, numbers)
            case "inconclusive":
                _verdict(case, "error", check.verdict, check.reason, numbers)
            case "not gated":
                ElementTree.SubElement(case, "skipped", message=clean(check.reason))
            case _:
                ElementTree.SubElement(case, "system-out").text = numbers
    return suite


def _verdict(case: ElementTree.Element, tag: str, kind: str, message: str, text: str) -> None:
    """Some CI show the message, some the text: the sentence stands in both."""
    element = ElementTree.SubElement(case, tag, message=clean(message), type=kind)
    element.text = clean(message) if text == message else f"{clean(message)}\n{text}"


def _count(suites: Iterable[ElementTree.Element], into: ElementTree.Element) -> None:
    cases = [case for suite in suites for case in suite.iter("testcase")]
    into.set("tests", str(len(cases)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        into.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
    into.set("time", "0")


def markdown(result: GateResult) -> str:
    """For a comment on a pull request and a CI's step summary: the verdict first, then numbers, reasons and what to do.

    Regressions stand first. Beyond 100 rows the rest is counted, not listed.
    """
    ordered = sorted(result.checks, key=lambda check: _URGENCY.index(check.verdict))
    listed, rest = ordered[:ROWS], ordered[ROWS:]
    parts = [
        f"### {markdown_text(result.headline)}",
        f"Run {code(result.run)} against baseline {code(result.baseline)}.",
    ]
    if listed:
        parts.append(_table(listed))
    if rest:
        counts = Counter[str](check.verdict for check in rest)
        parts.append(f"Not listed: {', '.join(f'{counts[word]} {word}' for word in _URGENCY if counts[word])}.")
    if whys := [check for check in listed if check.verdict in ("regression", "inconclusive")]:
        lines = [f"- {_moved(check)}: {markdown_text(check.reason.removesuffix('.'))}." for check in whys]
        parts.append("\n".join(["**Why**", "", *lines]))
    if steps := _STEPS.get(result.exit):
        parts.append("\n".join(["**What to do**", "", *(f"- {step}" for step in steps)]))
    if result.notes:
        parts.append("\n".join(["**Notes**", "", *(f"- {markdown_text(note)}" for note in result.notes)]))
    parts.append(_explanation(result, listed))
    return "\n\n".join(parts) + "\n"


def _moved(check: Check) -> str:
    """Which metric, and what became of it: ``fell from 0.9467 to 0.3550, a regression``."""
    before, now = _plain(check.baseline), _plain(check.value)
    name = f"{code(check.task)} {code(check.metric)}"
    verdict = "a regression" if check.verdict == "regression" else check.verdict
    if check.change != check.change:
        return f"{name}, {verdict}"
    if before == now:
        return f"{name} stayed at {now}, {verdict}"
    return f"{name} {'fell' if check.change < 0 else 'rose'} from {before} to {now}, {verdict}"


def _table(checks: Sequence[Check]) -> str:
    from tabulate import tabulate

    numbers = [_numbers(check) for check in checks]
    columns = [name for name in numbers[0] if name != "noise" or any(check.noise is not None for check in checks)]
    rows = [
        [
            code(check.task),
            f"{code(check.metric)} {ARROWS.get(check.better, '')}",
            f"**{check.verdict}**" if check.verdict == "regression" else check.verdict,
            *(cells[name] for name in columns),
        ]
        for check, cells in zip(checks, numbers, strict=True)
    ]
    header = ["task", "metric", "verdict", *columns]
    aligned = ["left"] * 3 + ["right"] * len(columns)
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True, colalign=aligned)


def _numbers(check: Check) -> dict[str, str]:
    """The figures of a check as text, by column."""
    interval = f"{_signed(check.low)} to {_signed(check.high)}" + ("*" if check.widened else "")
    return {
        "baseline": _plain(check.baseline),
        "run": _plain(check.value),
        "change": _signed(check.change),
        "interval": "-" if check.low != check.low else interval,
        "margin": "-" if check.margin is None else f"{check.margin:g}",
        "samples": str(check.n),
        "clusters": str(check.clusters),
        "noise": "-" if check.noise is None else _plain(check.noise),
    }


def _plain(value: float) -> str:
    return "-" if value != value else f"{value:.4f}"


def _signed(value: float) -> str:
    """``+0.0000`` for anything that rounds to zero: -0.0000 would look like a loss."""
    return "-" if value != value else f"{round(value, 4) + 0.0:+.4f}"


def _explanation(result: GateResult, listed: Sequence[Check]) -> str:
    text = (
        "Change: run minus baseline on their common samples, in the metric's own units; ↑ higher is better, ↓ lower."
        f" Interval: {result.level * 100:g} %, from resampling clusters (patients); where fewer than 20 changed, two"
        " made-up ones among them that went wholly the one and the other way. A metric passes where the whole interval"
        " lies above a loss of the margin, regresses where the whole interval lies below it, and is inconclusive otherwise."
    )
    if any(check.widened for check in listed):
        text += (
            " \\*: no cluster changed, or all alike, so the interval is that of the made-up clusters alone: none lost of n"
            " may still be a loss of 3 in n."
        )
    if any(check.noise is not None for check in listed):
        text += " Noise, allowed for by the interval: standard deviation of what all answers share when the model is asked again."
    return text


def code(text: str) -> str:
    """A name as a Markdown code span that may stand in a table cell.

    Nothing within it is markup, mention or link. Control characters and line breaks show as escapes, and so backslashes
    are doubled; a pipe keeps the backslash that GitHub's tables ask for.
    """
    shown = clean(text.replace("\\", "\\\\")).replace("|", "\\|") or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"
