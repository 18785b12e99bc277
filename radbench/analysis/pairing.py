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

    def axes(self, task: str) -> Mapping[str, NDArray[np.str_]]:
        """The value of each row on each axis of subgroups. Raises :class:`DataError` where an older radbench kept none."""
        found = load_statistics(RunFolder(self.path), task, ())
        if len(found.ids) and not found.axes:
            raise DataError(
                f"{self.path}: the statistics of '{task}' say nothing of subgroups, an older radbench wrote them;"
                " score the run again",
                remedy=f"radbench score {self.path}",
            )
        return found.axes

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
    """Several runs of one task on the samples they share.

    Rows are in the order of the first run where all runs have the common samples in one order, else by id, so that the
    order in which runs are named changes no number. ``measures`` has a mapping from metric to measure for each run, all
    with the same metrics and (n,) rows. ``left_out`` counts each run's samples that are not compared, ``lacking`` those
    of them that have fewer draws than the run's others. Clusters and axes are the first run's; ``clusters_differ``: another
    run divides the common samples into other clusters, so that intervals depend on which run is first.
    """

    ids: NDArray[np.bytes_]
    clusters: Clusters
    axes: Mapping[str, NDArray[np.str_]]
    measures: tuple[Mapping[str, Measure], ...]
    left_out: tuple[int, ...]
    lacking: tuple[int, ...]
    clusters_differ: bool

    @property
    def n(self) -> int:
        """Rows: samples, each as often as draws were asked for."""
        return len(self.ids)

    @property
    def samples(self) -> Clusters:
        """The sample of each row, numbered by first sight."""
        return clusters_of(self.ids)


def pair(runs: Sequence[TaskStatistics], metrics: Sequence[str]) -> Paired:
    """The rows of ``metrics`` of every run on their common samples.

    Where runs asked for several draws a sample, draws meet in their order; a run with fewer repeats its own. A sample
    with fewer draws than the run's others is left out: so every sample weighs the same, and every draw of a run.
    """
    usual = [_most_draws(run.ids) for run in runs]
    whole = [by_draw(run.ids, draws) for run, draws in zip(runs, usual, strict=True)]
    names = [run.ids[positions[:, 0]] for run, (positions, _) in zip(runs, whole, strict=True)]
    common, places = _common(names)
    times = lcm(*(draws for draws in usual if draws))
    rows = [
        positions[place][:, np.arange(times) % max(draws, 1)].ravel()
        for (positions, _), place, draws in zip(whole, places, usual, strict=True)
    ]
    first, here = runs[0], rows[0]
    clusters = clusters_of(first.clusters[here])
    return Paired(
        first.ids[here],
        clusters,
        {axis: values[here] for axis, values in first.axes.items()},
        tuple(
            {name: Measure((m := run.measures[name]).metric, m.state, m.rows[own]) for name in metrics}
            for run, own in zip(runs, rows, strict=True)
        ),
        tuple(len(own) + lacking - common for own, (_, lacking) in zip(names, whole, strict=True)),
        tuple(lacking for _, lacking in whole),
        any(_otherwise_divided(clusters, run.clusters[own]) for run, own in zip(runs[1:], rows[1:], strict=True)),
    )


def by_draw(ids: NDArray[np.bytes_], draws: int) -> tuple[NDArray[np.intp], int]:
    """(samples, draws) rows of the samples that have every draw, and how many samples lack one.

    Rows lie in the order of draws; where one is missing, it cannot be told which, so the sample is left out.
    """
    names, first, codes = np.unique(ids, return_index=True, return_inverse=True)
    whole = np.bincount(codes.ravel(), minlength=len(names)) == draws
    order = np.argsort(codes.ravel(), kind="stable")
    positions = order[whole[codes.ravel()[order]]].reshape(-1, max(draws, 1))
    return positions[np.argsort(first[whole], kind="stable")], int((~whole).sum())


def _most_draws(ids: NDArray[np.bytes_]) -> int:
    return int(np.unique(ids, return_counts=True)[1].max(initial=0))


def _common(names: Sequence[NDArray[np.bytes_]]) -> tuple[int, list[NDArray[np.intp]]]:
    """How many of each run's different names all runs have, and where these stand in each, in one order."""
    shared = names[0]
    for own in names[1:]:
        shared = shared[np.isin(shared, own)]
    kept = [np.flatnonzero(np.isin(own, shared)) for own in names]
    if all(np.array_equal(own[place], shared) for own, place in zip(names, kept, strict=True)):
        return len(shared), kept
    return len(shared), [place[np.argsort(own[place])] for own, place in zip(names, kept, strict=True)]


def _otherwise_divided(clusters: Clusters, names: NDArray[np.bytes_]) -> bool:
    """Whether the names divide the rows otherwise; a baseline file has none, which tells nothing."""
    return bool((names != b"").any()) and not np.array_equal(clusters_of(names).codes, clusters.codes)


def paired_draws(paired: Paired, resamples: int, seed: int) -> tuple[dict[str, Floats], ...]:
    """Each run's (resamples,) bootstrap values of every metric, all runs under the same resamples."""
    flat = [measure for own in paired.measures for measure in own.values()]
    draws = iter(draw(flat, paired.clusters, resamples, seed))
    return tuple({name: next(draws) for name in own} for own in paired.measures)


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
