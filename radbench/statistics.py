"""The statistics engine: one cluster bootstrap for every metric, model, subgroup and group.

A metric turns predictions into *rows*; the engine resamples clusters (patients) with replacement, weights the rows by
how often their cluster was drawn and asks the metric for its value under those weights. Because the counts depend on
seed and clusters only, the same resamples serve every metric, subgroup and model: differences are paired, intervals
joint.

The integer stream is ``default_rng(seed).integers(clusters, size=clusters)`` per resample, so an interval of a mean
equals ``scipy.stats.bootstrap(..., method="percentile", rng=default_rng(seed))``. Percentiles are linear, 2.5 and 97.5
by default, of 1,000 resamples as in MedVersa's paper (Zhou et al. 2024, "A Generalist Learner for Multifaceted Medical
Image Interpretation").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = 0.95
_BLOCK_BYTES = 64 << 20  # of resample counts at a time
_SUMS_BYTES = 128 << 20  # of cluster sums of all measures at a time

Floats = NDArray[np.float64]


class Reducer(Protocol):
    """What the engine needs of a metric: a value under weights, and whether weighted sums suffice for it."""

    additive: ClassVar[bool]

    def reduce(self, sums: Floats, state: Any) -> Floats:
        """(..., k) weighted sums of rows to (...) values; nan where undefined. Additive metrics only."""
        ...

    def value(self, rows: Floats, weights: Floats, state: Any) -> Floats:
        """(n, k) rows under (B, n) weights to (B,) values; nan where undefined."""
        ...


@dataclass(frozen=True, slots=True)
class Measure:
    """One number to estimate: a metric over rows, restricted to the samples of ``keep`` (None: all)."""

    metric: Reducer
    state: Any
    rows: Floats
    keep: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its percentile interval. ``defined`` counts the resamples in which the metric has a value."""

    value: float
    low: float
    high: float
    defined: int


@dataclass(frozen=True, slots=True)
class Clusters:
    """The unit of resampling of each sample: ``codes`` (n,) index into ``count`` clusters, numbered by first sight.

    ``parts`` splits the clusters into independently resampled datasets: (first, last+1) per dataset.
    """

    codes: NDArray[np.intp]
    count: int
    parts: tuple[tuple[int, int], ...]


def clusters_of(names: Sequence[str] | NDArray[Any], datasets: Sequence[str] | None = None) -> Clusters:
    """Number the clusters by first appearance; with ``datasets`` (one per sample) each dataset is resampled on its own."""
    labels = np.asarray(names)
    if datasets is not None:
        order = {d: i for i, d in enumerate(dict.fromkeys(datasets))}
        part_of = np.array([order[d] for d in datasets], np.intp)
    else:
        part_of = np.zeros(len(labels), np.intp)
    codes = np.empty(len(labels), np.intp)
    parts, start = [], 0
    for part in range(int(part_of.max()) + 1 if len(part_of) else 0):
        here = np.flatnonzero(part_of == part)
        _, first, inverse = np.unique(labels[here], return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.intp)
        rank[np.argsort(first)] = np.arange(len(first))
        codes[here] = rank[inverse.ravel()] + start
        parts.append((start, start + len(first)))
        start += len(first)
    return Clusters(codes, start, tuple(parts))


def resample_counts(
    clusters: Clusters, resamples: int, seed: int, groups: NDArray[np.intp] | None = None, width: int = 0
) -> Iterator[tuple[int, Floats]]:
    """``(first, counts)`` blocks, counts (b, clusters): how often each cluster is drawn in resamples first..first+b.

    With ``groups`` (clusters,) in 0..width the counts are summed within groups, (b, width), without ever being held by
    cluster. The array is reused by the next block.
    """
    parts = clusters.parts
    generators = [np.random.default_rng(seed if len(parts) == 1 else [seed, part]) for part in range(len(parts))]
    columns = clusters.count if groups is None else width
    height = int(np.clip(_BLOCK_BYTES // (8 * max(columns, 1)), 4, 128))
    block = np.empty((min(height, resamples), columns))
    for first in range(0, resamples, height):
        rows = min(height, resamples - first)
        if groups is not None:
            block[:] = 0
        for (start, stop), generator in zip(parts, generators, strict=True):
            size = stop - start
            for row in range(rows):
                drawn = generator.integers(size, size=size)
                if groups is None:
                    block[row, start:stop] = np.bincount(drawn, minlength=size)
                else:
                    block[row] += np.bincount(groups[start:stop][drawn], minlength=width)
        yield first, block[:rows]


def distinct_rows(sums: Floats) -> tuple[NDArray[np.intp], Floats] | None:
    """``(codes, rows)`` with ``rows[codes] == sums`` where few rows differ, as counts of right and wrong do; else None.

    Resampling then counts a handful of groups instead of multiplying by every cluster.
    """
    n = len(sums)
    probe = sums[:: max(1, n // 512)]
    if n < 256 or len(np.unique(probe, axis=0)) > len(probe) // 4:
        return None
    rows, codes = np.unique(sums, axis=0, return_inverse=True)
    return (codes.ravel(), rows) if len(rows) <= n // 8 else None


def cluster_sums(rows: Floats, clusters: Clusters, keep: NDArray[np.bool_] | None = None) -> Floats:
    """(n, k) rows summed within clusters to (clusters, k), in sample order."""
    codes = clusters.codes
    if keep is not None:
        rows, codes = rows[keep], codes[keep]
    if keep is None and clusters.count == len(rows):
        return rows  # one sample a cluster, numbered by first sight: already in order
    sums = np.empty((clusters.count, rows.shape[1]))
    for column in range(rows.shape[1]):
        sums[:, column] = np.bincount(codes, weights=rows[:, column], minlength=clusters.count)
    return sums


def draw(measures: Sequence[Measure], clusters: Clusters, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """(measures, resamples) bootstrap values of all measures under the same resamples; nan where undefined.

    Measures whose cluster sums would not fit into memory together are taken in turns, each turn drawing the same
    resamples again.
    """
    draws = np.full((len(measures), resamples), np.nan)
    if clusters.count == 0:
        return draws
    turn: list[int] = []
    size = 0
    for position, measure in enumerate(measures):
        width = 8 * clusters.count * measure.rows.shape[1]
        if turn and size + width > _SUMS_BYTES:
            draws[turn] = _draw_together([measures[i] for i in turn], clusters, resamples, seed)
            turn, size = [], 0
        turn.append(position)
        size += width
    draws[turn] = _draw_together([measures[i] for i in turn], clusters, resamples, seed)
    return draws


def _draw_together(measures: Sequence[Measure], clusters: Clusters, resamples: int, seed: int) -> Floats:
    draws = np.full((len(measures), resamples), np.nan)
    additive = [i for i, m in enumerate(measures) if m.metric.additive]
    sums = [cluster_sums(measures[i].rows, clusters, measures[i].keep) for i in additive]
    widths = np.cumsum([0, *(s.shape[1] for s in sums)])
    stacked = np.concatenate(sums, axis=1) if sums else np.empty((clusters.count, 0))
    del sums
    compact = distinct_rows(stacked) if len(additive) == len(measures) else None
    groups, stacked = compact or (None, stacked)
    for first, counts in resample_counts(clusters, resamples, seed, groups, len(stacked)):
        span = slice(first, first + len(counts))
        totals = counts @ stacked
        for i, left, right in zip(additive, widths[:-1], widths[1:], strict=True):
            draws[i, span] = measures[i].metric.reduce(totals[:, left:right], measures[i].state)
        for i, measure in enumerate(measures):
            if not measure.metric.additive:
                weights = counts[:, clusters.codes]
                if measure.keep is not None:
                    weights = weights * measure.keep
                draws[i, span] = measure.metric.value(measure.rows, weights, measure.state)
    return draws


def point(measure: Measure) -> float:
    """The metric's value on the samples themselves."""
    rows = measure.rows if measure.keep is None else measure.rows[measure.keep]
    if len(rows) == 0:
        return float("nan")
    if measure.metric.additive:
        return float(measure.metric.reduce(rows.sum(axis=0)[None, :], measure.state)[0])
    return float(measure.metric.value(rows, np.ones((1, len(rows))), measure.state)[0])


def interval(draws: Floats, level: float = LEVEL) -> tuple[float, float, int]:
    """Linear percentiles of (resamples,) draws: low, high, and in how many resamples the value was defined."""
    defined = draws[~np.isnan(draws)]
    if len(defined) == 0:
        return float("nan"), float("nan"), 0
    tail = (1 - level) / 2 * 100
    low, high = np.percentile(defined, [tail, 100 - tail])
    return float(low), float(high), len(defined)


def estimate(
    measures: Mapping[Any, Measure], clusters: Clusters, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> dict[Any, Estimate]:
    """Value and interval of every measure, all under the same resamples."""
    draws = draw(list(measures.values()), clusters, resamples, seed)
    return {
        key: Estimate(point(measure), *interval(draws[i], level)) for i, (key, measure) in enumerate(measures.items())
    }


def macro(
    members: Sequence[tuple[Measure, Clusters]], resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> Estimate:
    """The unweighted mean of members' values, each member resampled on its own (independent datasets)."""
    draws = np.stack([draw([m], c, resamples, seed + i)[0] for i, (m, c) in enumerate(members)])
    return Estimate(float(np.mean([point(m) for m, _ in members])), *interval(draws.mean(axis=0), level))


def pool(members: Sequence[tuple[Measure, Sequence[str]]]) -> Measure:
    """One measure over all samples of the members. Columns are aligned by name, absent ones count zero.

    Raises ValueError where the members' metrics are not the same additive metric.
    """
    first = members[0][0]
    names = list(dict.fromkeys(name for _, columns in members for name in columns))
    where = {name: i for i, name in enumerate(names)}
    blocks = []
    for measure, columns in members:
        if not measure.metric.additive:
            raise ValueError("only additive metrics are pooled")
        block = np.zeros((len(measure.rows), len(names)))
        block[:, [where[c] for c in columns]] = measure.rows
        blocks.append(block)
    return Measure(first.metric, tuple(names), np.concatenate(blocks))
