"""Scores printed in the papers, with their doubts: ``data/published_results.csv``, read from the papers' tables and prose."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Printed:
    """One printed score. ``value`` is None where the paper prints N/A; ``scale`` says how it is printed.

    ``row`` is the row of the suite's table (RB-01 ...), empty where the paper pools datasets of a task. ``direction`` is
    ``higher`` or ``lower``. ``doubt`` is what looks wrong in the paper.
    """

    id: str
    row: str
    suite: str
    paper: str
    task: str
    dataset: str
    setting: str
    model: str
    metric: str
    canonical: str  # the metric's name without the paper's spelling
    value: float | None
    scale: str
    interval: tuple[float, float] | None
    source: str
    direction: str
    doubt: str

    def __str__(self) -> str:
        value = "N/A" if self.value is None else f"{self.value:g}"
        interval = f" [{self.interval[0]:g}, {self.interval[1]:g}]" if self.interval else ""
        setting = f", {self.setting}" if self.setting else ""
        doubt = f" (doubt: {self.doubt})" if self.doubt else ""
        return (
            f"{self.model}{setting}: {self.metric} {value}{interval} ({self.scale}), {self.paper} {self.source}{doubt}"
        )


@cache
def printed_scores() -> tuple[Printed, ...]:
    """Every printed score. Counts, gains, bounds and repetitions of the text are not scores and left out."""
    text = files("radbench.tasks.data").joinpath("published_results.csv").read_text(encoding="utf-8")
    return tuple(_printed(row) for row in csv.DictReader(text.splitlines()) if row["kind"] == "absolute")


def printed_for(keys: Iterable[str]) -> Iterator[Printed]:
    """The scores of rows (``MI-01``) and of pooled tasks (``RadBench/Medical VQA``)."""
    wanted = set(keys)
    for score in printed_scores():
        if score.row in wanted or f"{score.suite}/{score.task}" in wanted:
            yield score


@cache
def suite_rows() -> tuple[dict[str, str], ...]:
    """The papers' tables as one: a row each suite, task, dataset and setting (``data/suite_rows.csv``)."""
    text = files("radbench.tasks.data").joinpath("suite_rows.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def _printed(row: dict[str, str]) -> Printed:
    low, high = row["ci_low"], row["ci_high"]
    return Printed(
        id=row["id"],
        row=row["row_id"],
        suite=row["suite"],
        paper=row["paper"],
        task=row["task"],
        dataset=row["dataset"],
        setting=row["setting"],
        model=row["model"],
        metric=row["metric"],
        canonical=row["metric_canonical"],
        value=float(row["value"]) if row["value"] else None,
        scale=row["scale"],
        interval=(float(low), float(high)) if low and high else None,
        source=row["source"],
        direction=row["direction"],
        doubt=row["note"],
    )
