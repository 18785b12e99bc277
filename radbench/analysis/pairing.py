"""Scored runs side by side: what each holds of a task, and their rows on the samples they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import lcm
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radbench.errors import DataError
from radbench.folder import RunFolder
from radbench.report import load_results
from radbench.statfiles import TaskStatistics, load_statistics
from radbench.statistics import Clusters, Floats, Measure, clusters_of, draw


class ScoredRun:
    """A run folder that has results. Statistics are read task by task, when asked for. ``label``: what tables call it."""

    def __init__(self, path: Path, label: str = "") -> None:
        self.path = path
        self.label = label or path.resolve().name
        self.results: Mapping[str, Any] = load_results(path)

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        return RunFolder(self.path).manifest

    def statistics(self, task: str) -> TaskStatistics:
        """Ids, clusters, axes and measures of a task, from ``stats/``. Raises :class:`DataError`."""
        found = load_statistics(RunFolder(self.path), task, tuple(self.results["tasks"][task]["metrics"]))
        lengths = {len(found.ids), len(found.clusters), *map(len, found.axes.values())}
        if len(lengths | {len(m.rows) for m in found.measures.values()}) > 1:
            raise DataError(
                f"{self.path / 'stats' / task}: statistics are damaged, its files differ in their number of rows",
                remedy=f"radbench score {self.path}",
            )
        return found

    def regime(self, task: str) -> str:
        """Under what the task was answered: what the model says of itself, what it was fitted on, or the task's regime."""
        identity = self.manifest["identity"]
        if regime := identity["model"].get("regime"):
            return str(regime)
        own = identity["tasks"].get(task, {})
        if own.get("support_digest"):
            return f"fitted on {own['support']}"
        return str(self.results["tasks"][task]["regime"])


def open_runs(paths: Sequence[Path]) -> tuple[ScoredRun, ...]:
    """Runs called by their folder's name, or by the whole path where two folders have one name. Raises :class:`DataError`."""
    names = [path.resolve().name for path in paths]
    return tuple(ScoredRun(p, str(p) if names.count(n) > 1 else n) for p, n in zip(paths, names, strict=True))


@dataclass(frozen=True, slots=True)
class Paired:
    """Several runs of one task on the samples they share, rows in the order of the first run.

    ``measures`` has a mapping from metric to measure for each run, all with the same metrics and (n,) rows;
    ``left_out`` counts each run's samples that not all others have.
    """

    ids: NDArray[np.bytes_]
    clusters: Clusters
    axes: Mapping[str, NDArray[np.str_]]
    measures: tuple[Mapping[str, Measure], ...]
    left_out: tuple[int, ...]

    @property
    def n(self) -> int:
        """Rows: samples, each as often as draws were asked for."""
        return len(self.ids)


def pair(runs: Sequence[TaskStatistics], metrics: Sequence[str]) -> Paired:
    """The rows of ``metrics`` of every run on their common samples.

    Where runs asked for several draws a sample, draws meet in their order; a run with fewer repeats its own, so that
    every draw weighs the same.
    """
    numbered = [_occurrences(run.ids) for run in runs]
    common = set(numbered[0])
    for positions in numbered[1:]:
        common &= positions.keys()
    ids = [sample for sample in numbered[0] if sample in common]
    draws = [lcm(*(len(positions[sample]) for positions in numbered)) for sample in ids]
    rows = [
        np.array([p[s][k % len(p[s])] for s, many in zip(ids, draws, strict=True) for k in range(many)], np.intp)
        for p in numbered
    ]
    first, here = runs[0], rows[0]
    return Paired(
        first.ids[here],
        clusters_of(first.clusters[here]),
        {axis: values[here] for axis, values in first.axes.items()},
        tuple(
            {name: Measure((m := run.measures[name]).metric, m.state, m.rows[own]) for name in metrics}
            for run, own in zip(runs, rows, strict=True)
        ),
        tuple(len(positions) - len(ids) for positions in numbered),
    )


def paired_draws(paired: Paired, resamples: int, seed: int) -> tuple[dict[str, Floats], ...]:
    """Each run's (resamples,) bootstrap values of every metric, all runs under the same resamples."""
    flat = [measure for own in paired.measures for measure in own.values()]
    draws = iter(draw(flat, paired.clusters, resamples, seed))
    return tuple({name: next(draws) for name in own} for own in paired.measures)


def _occurrences(ids: NDArray[np.bytes_]) -> dict[bytes, list[int]]:
    """Where each sample stands, in the order of its draws."""
    where: dict[bytes, list[int]] = {}
    for position, sample in enumerate(ids.tolist()):
        where.setdefault(sample, []).append(position)
    return where


def comparable_metrics(runs: Sequence[ScoredRun], task: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The metrics all runs have with one signature, and why each other is not compared."""
    entries = [run.results["tasks"][task]["metrics"] for run in runs]
    names = list(dict.fromkeys(name for entry in entries for name in entry))
    shared, reasons = [], {}
    for name in names:
        signatures = {
            run.label: entry[name]["signature"] for run, entry in zip(runs, entries, strict=True) if name in entry
        }
        if len(signatures) < len(runs) and len(set(map(id, runs))) == len(runs):
            missing = ", ".join(run.label for run, entry in zip(runs, entries, strict=True) if name not in entry)
            reasons[name] = f"{missing} has no value of it"
        elif len(set(signatures.values())) > 1:
            reasons[name] = "other signatures: " + "; ".join(f"{k} {v}" for k, v in signatures.items())
        else:
            shared.append(name)
    return tuple(shared), reasons


def common_tasks(runs: Sequence[ScoredRun]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The tasks all runs have in one version, and why each other is not compared. Raises :class:`DataError` without any."""
    names = list(dict.fromkeys(name for run in runs for name in run.results["tasks"]))
    shared, reasons = [], {}
    for name in names:
        missing = [run.label for run in runs if name not in run.results["tasks"]]
        versions = {run.results["tasks"][name]["version"] for run in runs if name in run.results["tasks"]}
        if missing:
            reasons[name] = f"not in {', '.join(missing)}"
        elif len(versions) > 1:
            reasons[name] = f"versions differ: {', '.join(map(str, sorted(versions)))}"
        else:
            shared.append(name)
    if not shared:
        raise DataError(
            f"{' and '.join(str(run.path) for run in runs)} have no task in common",
            remedy="radbench report RUN lists the tasks of a run",
        )
    return tuple(shared), reasons
