"""How many patients it takes to see a difference, from the variance and clustering of runs that are there.

A metric's bootstrap standard error ``se`` over ``m`` clusters gives the variance a cluster adds, ``sigma² = m se²``; with
more clusters of the same kind the standard error falls to ``sigma / sqrt(clusters)``. By the normal approximation
(Chow, Shao, Wang, "Sample Size Calculations in Clinical Research", 2nd ed. 2008, chapter 3)

- a two-sided paired test at ``alpha`` sees a true difference ``d`` with the power asked from
  ``(z(1 - alpha/2) + z(power))² sigma² / d²`` clusters on;
- ``radbench check`` passes a run that truly did not change with the power asked from
  ``(z(1 - (1 - level)/2) + z(power))² sigma² / margin²`` clusters on.

``sigma²`` is that of the *difference* of two runs. Two runs measure it on their common samples. One run alone measures
its own; for the difference with an equally variable run whose errors correlate by ``R`` it is ``2 sigma² (1 - R)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, isfinite, nan
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from radbench.analysis.naming import chosen
from radbench.analysis.pairing import Paired, ScoredRun, common_tasks, comparable_metrics, open_runs, pair, paired_draws
from radbench.analysis.sizes import common_size, entering_of
from radbench.caution import FEWEST_CLUSTERS
from radbench.errors import ConfigError
from radbench.registry import find_metric
from radbench.scoring import rounded
from radbench.statistics import LEVEL, Floats, point

_FLAT = 1e-12  # of the values: draws closer together than this differ by rounding only


@dataclass(frozen=True, slots=True)
class Aim:
    """What a comparison should be able to tell. Raises :class:`ConfigError` where a number makes no sense.

    ``difference`` and ``margin`` are in the metric's units, above 0; ``power`` and ``alpha`` between 0 and 1;
    ``correlation`` of two runs' errors, -1 to below 1, plays a part where one run is given.
    """

    difference: float
    power: float = 0.8
    alpha: float = 0.05
    margin: float | None = None
    correlation: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("difference", self.difference), ("margin", self.margin)):
            if value is not None and not (isfinite(value) and value > 0):
                raise ConfigError(
                    f"--{name} is {value}, expected a number above 0", remedy=f"--{name} 0.02, in the metric's units"
                )
        for name, value, usual in (("power", self.power, "0.8"), ("alpha", self.alpha, "0.05")):
            if not 0 < value < 1:
                raise ConfigError(f"--{name} is {value}, expected a number between 0 and 1", remedy=f"--{name} {usual}")
        if self.power <= self.alpha:
            raise ConfigError(
                f"--power is {self.power} and --alpha {self.alpha}: less power than by chance", remedy="--power 0.8"
            )
        if not -1 <= self.correlation < 1:
            raise ConfigError(
                f"--correlation is {self.correlation}, expected -1 to below 1",
                remedy="0 for independent errors, or --against RUN2 to measure it",
            )


@dataclass(frozen=True, slots=True)
class Needed:
    """So many clusters, and samples where clusters are as large as those seen."""

    clusters: int
    samples: int


@dataclass(frozen=True, slots=True)
class Power:
    """One task and metric. ``n`` samples, a sample once however many draws were asked for, in ``clusters``.

    ``value`` and ``standard_error`` are the run's, ``against`` the other run's value. ``correlation`` of the two runs'
    values over resamples: measured, or the one assumed. ``difference_error``: standard error of the difference with the
    present clusters; ``detectable``: the smallest difference seen with the power asked. nan and None where no variance
    was seen.
    """

    task: str
    metric: str
    better: Literal["higher", "lower"]
    n: int
    clusters: int
    value: float
    standard_error: float
    against: float | None
    correlation: float
    difference_error: float
    detectable: float
    needed: Needed | None
    for_margin: Needed | None

    @property
    def samples_a_cluster(self) -> float:
        return self.n / self.clusters


@dataclass(frozen=True, slots=True)
class PowerReport:
    """``run`` and ``against`` are names for people, never paths; ``notes`` are plain sentences."""

    run: str
    against: str | None
    aim: Aim
    level: float
    entries: tuple[Power, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: numbers rounded, nan as None."""
        found = asdict(self)
        for entry, own in zip(found["entries"], self.entries, strict=True):
            entry["samples_a_cluster"] = own.samples_a_cluster
        answer: dict[str, Any] = rounded(found)
        return answer


# --- closed forms ---


def spread(draws: Floats) -> float:
    """Standard deviation of (resamples,) draws, the bootstrap standard error; nan where fewer than two are defined."""
    defined = draws[~np.isnan(draws)]
    return float(defined.std()) if len(defined) > 1 else nan


def reach(alpha: float, power: float) -> float:
    """How many standard errors a difference must have: z(1 - alpha/2) + z(power)."""
    normal = NormalDist()
    return normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)


def clusters_needed(variance: float, difference: float, alpha: float, power: float) -> int:
    """Clusters from which a two-sided test at ``alpha`` sees ``difference``; ``variance`` a cluster, sigma²."""
    return max(2, ceil(reach(alpha, power) ** 2 * variance / difference**2 - 1e-9))


def variance_of_difference(variance: float, correlation: float) -> float:
    """Variance of the difference of two equally variable runs whose errors correlate."""
    return 2 * variance * (1 - correlation)


# --- runs ---


def power(
    run: str | Path, aim: Aim, against: str | Path | None = None, metrics: Sequence[str] = (), tasks: Sequence[str] = ()
) -> PowerReport:
    """What the samples of a run, or of two runs, can tell, and what it takes to tell ``aim.difference``.

    ``metrics`` and ``tasks`` restrict, by name, ``pattern*`` or suite. Raises :class:`DataError` where a run is not
    scored or two share no task, :class:`ConfigError` on unknown names.
    """
    run, against = Path(run), None if against is None else Path(against)
    if against is not None and run.resolve() == against.resolve():
        raise ConfigError(f"--against is {against}, the run itself", remedy="name another run, or none")
    runs = open_runs([run] if against is None else [run, against])
    names, notes = _wanted(runs, metrics, tasks)
    entries: list[Power] = []
    _check_scales(aim, names)
    for task, shown in names.items():
        paired = pair([r.statistics(task) for r in runs], shown)
        if paired.n == 0:
            notes.append(f"{task}: the runs share no sample." if against else f"{task}: no sample is scored.")
            continue
        if any(paired.left_out):
            left = ", ".join(f"{n} of {r.label}" for n, r in zip(paired.left_out, runs, strict=True) if n)
            notes.append(f"{task}: samples that are not common, or lack a draw, are left out: {left}.")
        if paired.clusters_differ:
            notes.append(f"{task}: the runs name other patients for the same samples; those of {runs[0].label} count.")
        entries += _entries(task, paired, runs[0].results, aim)
    notes += _qualified(runs, entries)
    return PowerReport(runs[0].label, runs[1].label if against else None, aim, LEVEL, tuple(entries), tuple(notes))


def _wanted(
    runs: Sequence[ScoredRun], metrics: Sequence[str], tasks: Sequence[str]
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The metrics asked for of each task asked for, and what is left out and why."""
    common, reasons = common_tasks(runs)
    picked = chosen(tasks, {*common, *reasons}, "task")
    notes = [f"{task} is left out: {why}." for task, why in reasons.items() if task in picked]
    known = {m for r in runs for t in r.results["tasks"].values() for m in t["metrics"]}
    asked = chosen(metrics, known, "metric")
    names = {}
    for task in (t for t in common if t in picked):
        shared, why_not = comparable_metrics(runs, task)
        notes += [f"{task}: {m} is left out: {why}." for m, why in why_not.items() if m in asked]
        if own := tuple(m for m in shared if m in asked):
            names[task] = own
    if not names:
        raise ConfigError(
            "nothing is left to look at: the tasks asked for have none of these metrics in common",
            remedy=f"radbench report {runs[0].path} lists tasks and metrics",
        )
    return names, notes


def _check_scales(aim: Aim, names: Mapping[str, Sequence[str]]) -> None:
    """Raise :class:`ConfigError` where a difference is as large as every metric's whole range: points for a fraction, say."""
    scales = {metric: find_metric(metric).scale() for own in names.values() for metric in own}
    widths = {metric: scale[1] - scale[0] for metric, scale in scales.items() if scale}
    for what, value in (("--difference", aim.difference), ("--margin", aim.margin)):
        if value is not None and len(widths) == len(scales) and value >= max(widths.values()):
            metric = max(widths, key=lambda m: widths[m])
            raise ConfigError(
                f"{what} is {value:g}, but {metric} has a range of {widths[metric]:g}",
                remedy="give it in the metric's units, 0.05 say",
            )


def _entries(task: str, paired: Paired, results: Mapping[str, Any], aim: Aim) -> Iterator[Power]:
    draws = paired_draws(paired, results["resamples"], results["seed"])
    for name, measure in paired.measures[0].items():
        own = draws[0][name]
        if len(draws) > 1:
            other = draws[1][name]
            against, error, correlation = point(paired.measures[1][name]), _varied(own - other, own), _alike(own, other)
        else:
            against, correlation = None, aim.correlation
            error = variance_of_difference(_varied(own, own) ** 2, correlation) ** 0.5
        better = results["tasks"][task]["metrics"][name]["better"]
        own_rows = [measures[name] for measures in paired.measures]
        size = common_size(
            [entering_of(m, paired.samples, paired.clusters) for m in own_rows], paired.samples, paired.clusters
        )
        yield _entry(
            task, name, better, (size.n, size.clusters), point(measure), spread(own), against, correlation, error, aim
        )


def _entry(
    task: str,
    metric: str,
    better: Literal["higher", "lower"],
    counts: tuple[int, int],
    value: float,
    own_error: float,
    against: float | None,
    correlation: float,
    error: float,
    aim: Aim,
) -> Power:
    n, clusters = counts
    needed = for_margin = None
    if not np.isnan(error) and clusters:
        needed = _needed(clusters_needed(clusters * error**2, aim.difference, aim.alpha, aim.power), n, clusters)
        if aim.margin is not None:
            least = clusters_needed(clusters * error**2, aim.margin, 1 - LEVEL, aim.power)
            for_margin = _needed(least, n, clusters)
    detectable = reach(aim.alpha, aim.power) * error
    return Power(
        task, metric, better, n, clusters, value, own_error, against, correlation, error, detectable, needed, for_margin
    )


def _needed(least: int, n: int, clusters: int) -> Needed:
    return Needed(least, -(-least * n // clusters))


def _varied(draws: Floats, values: Floats) -> float:
    """The spread of draws, nan where they differ by no more than rounding; ``values`` says on which scale."""
    found = spread(draws)
    scale = np.abs(values[~np.isnan(values)]).max(initial=0.0)
    return nan if np.isnan(found) or found <= _FLAT * scale else found


def _alike(a: Floats, b: Floats) -> float:
    """Correlation of two runs' draws; nan where one does not vary."""
    both = ~np.isnan(a) & ~np.isnan(b)
    if both.sum() < 2 or np.isnan(_varied(a[both], a)) or np.isnan(_varied(b[both], b)):
        return nan
    return float(np.corrcoef(a[both], b[both])[0, 1])


def _qualified(runs: Sequence[ScoredRun], entries: Sequence[Power]) -> Iterator[str]:
    """What a reader must know about the variance."""
    for run in runs:
        if run.results["partial"]:
            yield f"{run.label} is PARTIAL: its samples may not be like those that are missing."
    names = {e.task for e in entries}
    if loose := [t for t in runs[0].results["tasks"] if t in names and not runs[0].results["tasks"][t]["clustered"]]:
        yield f"Unclustered, so that more may be needed than is said: {', '.join(loose)} (the data name no patients)."
    for entry in entries:
        if np.isnan(entry.difference_error):
            yield f"{entry.task}: no variance of {entry.metric} was seen, so nothing can be said of what it needs."
    few = {e.task: e.clusters for e in entries if e.clusters < FEWEST_CLUSTERS}
    if few:
        least = min(few.values())
        yield (
            f"{len(few)} of {len(names)} tasks have fewer than {FEWEST_CLUSTERS} clusters, the smallest {least}: their"
            f" variance, and with it every count, is rough (a standard error of about {100 * (2 / max(least, 2)) ** 0.5:.0f} %"
            f" with {least})."
        )
    counts = [c.clusters for e in entries for c in (e.needed, e.for_margin) if c]
    if counts and min(counts) < FEWEST_CLUSTERS:
        yield (
            f"Below {FEWEST_CLUSTERS} clusters tests and intervals are less sure than they say; take at least so many where"
            " fewer are named."
        )
