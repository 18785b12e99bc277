"""``radbench power RUN --difference D``: what the samples can tell, and how many it takes to tell more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from radbench.analysis.power import Aim, Needed, Power, PowerReport, power
from radbench.cli.base import split_names
from radbench.errors import ConfigError
from radbench.report import ARROWS, aligned, number


def run(
    path: str,
    against: str | None,
    difference: float,
    asked_power: float,
    alpha: float,
    margin: float | None,
    correlation: float,
    metrics: Sequence[str],
    tasks: Sequence[str],
    as_json: bool,
) -> int:
    if against is not None and correlation:
        raise ConfigError(
            "--correlation goes with one run alone: --against measures it", remedy="leave out one of the two"
        )
    aim = Aim(difference, asked_power, alpha, margin, correlation)
    other = None if against is None else Path(against)
    found = power(Path(path), aim, other, split_names(metrics), split_names(tasks))
    print(json.dumps(found.as_dict()) if as_json else text(found), end="\n" if as_json else "")
    return 0


def text(report: PowerReport) -> str:
    """One line a task and metric, and below it what the numbers mean."""
    aim = report.aim
    header = ["task", "metric", "value", "std. error", "clusters", "n", "n a cluster"]
    header += ["detectable", f"clusters for {aim.difference:g}", "n for it"]
    if report.against is not None:
        header.insert(3, "against")
    if aim.margin is not None:
        header += [f"clusters for margin {aim.margin:g}", "n for it"]
    rows = [_row(entry, report) for entry in report.entries]
    lines = [f"run: {report.run}" + (f", against: {report.against}" if report.against else ""), ""]
    lines.append(aligned(header, rows, right=set(range(2, len(header)))))
    return "\n".join([*lines, "", *explained(report), *report.notes]) + "\n"


def _row(entry: Power, report: PowerReport) -> list[str]:
    cells = [entry.task, f"{entry.metric} {ARROWS[entry.better]}", _number(entry.value)]
    if report.against is not None:
        cells.append(_number(entry.against))
    cells += [_number(entry.standard_error), f"{entry.clusters:,}", f"{entry.n:,}", f"{entry.samples_a_cluster:.1f}"]
    cells += [_number(entry.detectable), *_counts(entry.needed)]
    return cells if report.aim.margin is None else [*cells, *_counts(entry.for_margin)]


def _number(value: float | None) -> str:
    return number(None if value is None or value != value else value)


def _counts(needed: Needed | None) -> tuple[str, str]:
    return ("-", "-") if needed is None else (f"{needed.clusters:,}", f"{needed.samples:,}")


def explained(report: PowerReport) -> list[str]:
    """What was computed, in sentences."""
    aim = report.aim
    lines = [
        f"detectable: the smallest true difference that radbench compare finds significant in {100 * aim.power:g} % of"
        f" comparisons on the present samples, at two-sided alpha {aim.alpha:g}.",
        f"clusters for {aim.difference:g}: patients it takes to find a difference of {aim.difference:g} as often; n for it:"
        " samples, at as many a patient as here.",
        "One metric alone: Holm's correction over several metrics or runs takes more.",
    ]
    if report.against is not None:
        lines.append("The variance is that of the difference of the two runs on their common samples.")
    else:
        lines.append(
            f"One run alone does not show how a second one differs: taken to be as variable, with errors that correlate by"
            f" {aim.correlation:g}"
            + (" (independent, the cautious end)" if aim.correlation == 0 else "")
            + "; two runs on the same samples mostly correlate and need fewer. --against RUN2 measures it."
        )
    if aim.margin is not None:
        lines.append(
            f"clusters for margin {aim.margin:g}: so that radbench check passes {100 * aim.power:g} % of runs that truly did"
            f" not change ({100 * report.level:g} % interval, lower bound above -{aim.margin:g})."
        )
    return lines
