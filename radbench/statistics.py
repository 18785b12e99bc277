"""The statistics engine: one cluster bootstrap for every metric, model, subgroup and group.

A metric turns predictions into *rows*; the engine resamples clusters (patients) with replacement, weights the rows by
how often their cluster was drawn and asks the metric for its value under those weights. Because the counts depend on
seed and clusters only, the same resamples serve every metric, subgroup and model: differences are paired, intervals
joint.

The integer stream is ``default_rng(seed).integers(clusters, size=clusters)`` per resample, so an interval of a mean
equals ``scipy.stats.bootstrap(..., method="percentile", rng=default_rng(seed))``. Percentiles are linear, 2.5 and 97.5
by default, of 1,000 resamples as in MedVersa's paper (Zhou et al. 2024, "A Generalist Learner for Multifaceted Medical
Image Interpretation").

At the ends of a metric's scale (all right, all wrong) the percentile interval has no width although the truth may lie
elsewhere. There it is Wilson's score interval of as many trials as clusters count, all successes or all failures, scaled
to the metric's bounds (Wilson 1927): of 100 patients all right, [.963, 1]. Where classes count alike however rare they are
(averages over classes, areas under curves), the trials are the clusters of the rarest of them. A mean over clusters of one
size falls short of the end by no more than the share of clusters that fall short at all, so for means it errs on the wide
side; for other metrics it is a stated convention. Of intervals without width, a true rate just outside is missed in 2.3 % of
samples of 100 by Wilson's, 2.5 % by Clopper and Pearson's, which needs beta quantiles for the same [.964, 1], and 8.2 % by
Jeffreys' [.975, 1]. Where all resamples agree elsewhere on the scale the interval stays without width: ``constant``.
With a few clusters wrong the percentile interval stands and is somewhat narrow (true rate .96, 100 patients: 91 % coverage).

A class that a resample lacks is treated as the metric treats any samples without that class. Averages over the classes
present leave it out (F1, accuracy-macro, balanced accuracy, box IoU and average precision of classes; AUROC wants samples
of and outside the class), averages over a fixed list count their stated value for it (F1 with ``over=fixed``, CheXbert).
Where no class is left the resample has no value; ``defined`` counts those that have one, and the percentiles are theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = 0.95
_BLOCK_BYTES = 64 << 20  # of resample counts at a time
_SUMS_BYTES = 128 << 20  # of cluster sums of all measures at a time

_FLAT = 1e-9  # of the scale: a narrower interval has no width

Floats = NDArray[np.float64]
Bounds = tuple[float, float]  # least and greatest possible value
Method = Literal["percentile", "wilson", "combined", "constant", "none"]  # how an interval came about, see Estimate


class Reducer(Protocol):
    """What the engine needs of a metric: a value under weights, whether weighted sums suffice for it, and its bounds."""

    additive: ClassVar[bool]

    def reduce(self, sums: Floats, state: Any) -> Floats:
        """(..., k) weighted sums of rows to (...) values; nan where undefined. Additive metrics only."""
        ...

    def value(self, rows: Floats, weights: Floats, state: Any) -> Floats:
        """(n, k) rows under (B, n) weights to (B,) values; nan where undefined."""
        ...

    def scale(self) -> Bounds | None:
        """Least and greatest possible value; None where there is none."""
        ...

    def classes_of(self, rows: Floats, state: Any) -> NDArray[np.bool_] | None:
        """(n, m) whether each row is of each of m classes that count alike, however rare; None where rows count alike."""
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
    """A value with its interval. ``defined`` counts the resamples in which the metric has a value.

    ``method``: ``percentile``; ``wilson`` at an end of the scale; ``combined`` for a mean of several tasks, one of them at
    an end (:func:`macro`); ``constant`` where all resamples agree elsewhere; ``none`` where no resample has a value.
    """

    value: float
    low: float
    high: float
    defined: int
    method: Method = "percentile"


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
    if keep is None and clusters.count == len(rows) and (codes[1:] > codes[:-1]).all():
        return rows  # one sample a cluster, already in order
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


def wilson(successes: float, trials: float, level: float = LEVEL) -> Bounds:
    """Wilson's score interval of a rate, 0 to 1; the whole range without trials. Wilson 1927, "Probable Inference"."""
    if trials <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate = successes / trials
    middle = (rate + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * float(np.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)))
    return (0.0 if successes == 0 else middle - half), (1.0 if successes == trials else middle + half)


def method_of(value: float, low: float, high: float, defined: int, bounds: Bounds | None) -> Method:
    """How the interval of a value is to be made, from its percentiles."""
    if defined == 0 or np.isnan(value):
        return "none" if defined == 0 else "percentile"
    scale = bounds[1] - bounds[0] if bounds else max(1.0, abs(value))
    if high - low > _FLAT * scale:
        return "percentile"
    at_end = bounds is not None and any(max(abs(low - end), abs(value - end)) <= _FLAT * scale for end in bounds)
    return "wilson" if at_end else "constant"


def edge_interval(value: float, trials: int, bounds: Bounds, level: float = LEVEL) -> Bounds:
    """Wilson's interval of ``trials`` clusters that are all at the end of ``bounds`` where ``value`` lies."""
    least, most = bounds
    low, high = wilson(0 if abs(value - least) < abs(value - most) else trials, trials, level)
    return least + low * (most - least), least + high * (most - least)


def counted_clusters(measure: Measure, clusters: Clusters) -> int:
    """How many clusters enter a measure: those with a kept sample and, for additive metrics, a sum that is not 0."""
    if not measure.metric.additive:
        return len(np.unique(clusters.codes if measure.keep is None else clusters.codes[measure.keep]))
    return int((cluster_sums(measure.rows, clusters, measure.keep) != 0).any(axis=1).sum())


def trials_of(measure: Measure, clusters: Clusters) -> int:
    """How many trials a value at an end of its scale stands for: the clusters that count, or those of the rarest of classes
    that count alike."""
    keep = slice(None) if measure.keep is None else measure.keep
    classes, codes = measure.metric.classes_of(measure.rows[keep], measure.state), clusters.codes[keep]
    of_each = [] if classes is None else [len(np.unique(codes[one])) for one in classes.T if one.any()]
    return min(of_each, default=counted_clusters(measure, clusters))


def estimate_of(measure: Measure, clusters: Clusters, draws: Floats, level: float = LEVEL) -> Estimate:
    """Value and interval of a measure from its (resamples,) draws."""
    value, bounds = point(measure), measure.metric.scale()
    low, high, defined = interval(draws, level)
    method = method_of(value, low, high, defined, bounds)
    if method == "wilson" and bounds is not None:
        low, high = edge_interval(value, trials_of(measure, clusters), bounds, level)
    return Estimate(value, low, high, defined, method)


def estimate(
    measures: Mapping[Any, Measure], clusters: Clusters, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> dict[Any, Estimate]:
    """Value and interval of every measure, all under the same resamples."""
    draws = draw(list(measures.values()), clusters, resamples, seed)
    return {key: estimate_of(measure, clusters, draws[i], level) for i, (key, measure) in enumerate(measures.items())}


def macro(
    members: Sequence[tuple[Measure, Clusters]], resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> Estimate:
    """The unweighted mean of members' values, each member resampled on its own (independent datasets).

    A member at an end of its scale does not vary between resamples; the distance its Wilson interval reaches is added to
    the others' as independent errors add, by root of sum of squares (Zou and Donner 2008, "Construction of confidence
    limits about effect measures").
    """
    draws = np.stack([draw([m], c, resamples, seed + i)[0] for i, (m, c) in enumerate(members)])
    own = [estimate_of(m, c, draws[i], level) for i, (m, c) in enumerate(members)]
    value = float(np.mean([e.value for e in own]))
    low, high, defined = interval(draws.mean(axis=0), level)
    edges = [e for e in own if e.method == "wilson"]
    if edges and defined and not np.isnan(value):
        low = value - added_errors([value - low, *((e.value - e.low) / len(own) for e in edges)])
        high = value + added_errors([high - value, *((e.high - e.value) / len(own) for e in edges)])
        return Estimate(value, low, high, defined, "combined")
    return Estimate(value, low, high, defined, method_of(value, low, high, defined, None))


def added_errors(errors: Sequence[float]) -> float:
    return float(np.sqrt(np.square(np.maximum(errors, 0.0)).sum()))


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
