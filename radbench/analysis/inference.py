"""Differences of two runs under the same resamples: interval, p value, Holm's correction, rank intervals.

The p value is the bootstrap test of a difference with its null imposed by centring (Efron and Tibshirani 1993, "An
Introduction to the Bootstrap", chapter 16; MacKinnon 2009, "Bootstrap Hypothesis Testing"): how often the resampled
difference strays from its mean, either way, by at least the difference observed. It cannot fall below
``1 / (resamples + 1)``, nor below ``2 ** (1 - m)`` with ``m`` clusters: a run better in every one of them wins all of as
many fair coin tosses, and a two-sided sign test of those has that p (of one cluster 1, of six .03). A bootstrap of a few
clusters does not see this: of a single one every resample is the same.

sacreBLEU's paired bootstrap (after Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation") takes
absolute values before it centres, which counts one tail: of the same resamples its p is about half as large, and equal
systems fall below .05 about twice as often as they should.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radbench.statistics import LEVEL, Floats, interval


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference with its percentile interval, two-sided p and the resamples in which both values are defined."""

    value: float
    low: float
    high: float
    p: float
    defined: int


def difference(
    a: float, b: float, a_draws: Floats, b_draws: Floats, level: float = LEVEL, clusters: int | None = None
) -> Difference:
    """``a - b`` of two values and their (resamples,) draws under the same resamples. nan throughout where undefined.

    ``clusters``: see :func:`paired_p`.
    """
    draws = a_draws - b_draws
    p = paired_p(a, b, a_draws, b_draws, clusters)
    return Difference(a - b, *interval(draws, level)[:2], p, int((~np.isnan(draws)).sum()))


def paired_p(a: float, b: float, a_draws: Floats, b_draws: Floats, clusters: int | None = None) -> float:
    """Two-sided p of no difference, 1 / (resamples + 1) to 1; nan where no resample defines both.

    ``clusters`` is how many enter the two values: p is at least ``2 ** (1 - clusters)``; None where it plays no part. A
    resample that strays exactly as far as observed counts, so that equal systems have p = 1.
    """
    draws = a_draws - b_draws
    draws = draws[~np.isnan(draws)]
    if len(draws) == 0 or np.isnan(a - b):
        return float("nan")
    beyond = int((np.abs(draws - draws.mean()) >= abs(a - b)).sum())
    return max((beyond + 1) / (len(draws) + 1), _least_p(clusters))


def _least_p(clusters: int | None) -> float:
    return 0.0 if clusters is None else min(1.0, 2.0 ** (1 - clusters))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given; nan stays nan and counts for nothing. Holm 1979."""
    p = np.asarray(p_values, np.float64)
    adjusted = np.full(len(p), np.nan)
    order = [int(i) for i in np.argsort(p, kind="stable") if not np.isnan(p[i])]
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, float(p[i]) * (len(order) - rank)))
        adjusted[i] = highest
    return adjusted.tolist()


@dataclass(frozen=True, slots=True)
class Pairwise:
    """Every pair of k runs on one metric, arrays of (k * (k - 1) / 2,): run ``first`` minus run ``second``.

    ``first < second`` throughout. Iterating gives each pair's :class:`Difference`.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    value: Floats
    low: Floats
    high: Floats
    p: Floats
    defined: NDArray[np.intp]

    def __iter__(self) -> Iterator[Difference]:
        columns = (self.value, self.low, self.high, self.p, self.defined)
        return (Difference(*row) for row in zip(*(column.tolist() for column in columns), strict=True))


def pairwise(values: Floats, draws: Floats, level: float = LEVEL, clusters: Sequence[int] | None = None) -> Pairwise:
    """All differences of (k,) values and their (k, resamples) draws: each pair's :func:`difference`, to the last bit.

    ``clusters`` has one number a pair, in the pairs' order.
    """
    first, second = np.triu_indices(len(values), 1)
    value = values[first] - values[second]
    apart = draws[first] - draws[second]
    resamples = apart.shape[1]
    strayed = apart - apart.mean(axis=1, keepdims=True)
    np.abs(strayed, out=strayed)
    beyond = np.count_nonzero(strayed >= np.abs(value)[:, None], axis=1)
    apart.sort(axis=1)  # nan comes last
    tail = (1 - level) / 2 * 100
    low, high = (_percentile(apart, q) for q in (tail, 100 - tail))
    counts: Sequence[int | None] = [None] * len(first) if clusters is None else clusters
    p = np.maximum((beyond + 1) / (resamples + 1), [_least_p(count) for count in counts])
    found = Pairwise(first, second, value, low, high, p, np.full(len(first), resamples))
    for i in np.flatnonzero(np.isnan(apart[:, -1]) | np.isnan(value)):
        a, b = first[i], second[i]
        one = difference(values[a], values[b], draws[a], draws[b], level, counts[int(i)])
        found.low[i], found.high[i], found.p[i], found.defined[i] = one.low, one.high, one.p, one.defined
    return found


def _percentile(ordered: Floats, q: float) -> Floats:
    """Linear percentile of each row, values ascending: numpy's own steps, without its copies and partitions."""
    place = (ordered.shape[1] - 1) * (q / 100)
    at = int(place)
    below, above, share = ordered[:, at], ordered[:, min(at + 1, ordered.shape[1] - 1)], place - at
    gap = above - below
    return above - gap * (1 - share) if share >= 0.5 else below + gap * share


def rank_intervals(draws: Floats, better: str, level: float = LEVEL) -> list[tuple[int, int] | None]:
    """Lowest and highest rank of each run of (k, resamples) draws, 1 the best, in the resamples that define all runs.

    A run without any value takes no part and has None; all have None where no resample defines the others together.
    Equal runs share the better rank. Percentiles are ranks that occurred: the next one outwards where one falls between.
    """
    found: list[tuple[int, int] | None] = [None] * len(draws)
    valued = np.flatnonzero(~np.isnan(draws).all(axis=1))
    draws = draws[valued]
    draws = draws[:, ~np.isnan(draws).any(axis=0)]
    if draws.size == 0:
        return found
    ranks = ranks_of(draws, better)
    tail = (1 - level) / 2 * 100
    low = np.percentile(ranks, tail, axis=1, method="lower")
    high = np.percentile(ranks, 100 - tail, axis=1, method="higher")
    for run, a, b in zip(valued.tolist(), low.tolist(), high.tolist(), strict=True):
        found[run] = (int(a), int(b))
    return found


def ranks_of(values: Floats, better: str) -> NDArray[np.int_]:
    """Rank 1 + number of better runs along the first axis of (k, ...) values; ``better`` is higher or lower."""
    gains = values if better == "higher" else -values
    return 1 + np.stack([(gains > own).sum(axis=0) for own in gains])


def rank_groups(pairs: Pairwise, runs: int, better: str, alpha: float = 1 - LEVEL) -> list[int]:
    """1 + the number of runs that are significantly better, for each run; Holm over its comparisons with the others."""
    sign = 1 if better == "higher" else -1
    groups = []
    for run in range(runs):
        own = np.flatnonzero((pairs.first == run) | (pairs.second == run))
        behind = np.where(pairs.first[own] == run, -sign, sign) * pairs.value[own] > 0
        adjusted = np.array(holm(pairs.p[own].tolist()))
        groups.append(1 + int((behind & (adjusted < alpha)).sum()))
    return groups
