"""How many samples and clusters a score rests on, and which groups of them are too small to be held against others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import cast

import numpy as np
from numpy.typing import NDArray

from radbench.metrics.base import Metric
from radbench.report import SMALL_SUBGROUP
from radbench.statistics import Clusters, Floats, Measure

# Resampling so few clusters shows far less spread than there is: equal models would be called different much too often.
SMALL_CLUSTERS = 10

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Entering:
    """Which samples and clusters enter a score, (samples,) and (clusters,), and how many samples do."""

    samples: Bools
    clusters: Bools
    n: int


@dataclass(frozen=True, slots=True)
class Size:
    """Different samples, however many draws each has, and their clusters."""

    n: int
    clusters: int

    @property
    def small(self) -> bool:
        """Whether a group of this size is bracketed, not tested and never the worst: below 30 samples or 10 clusters."""
        return self.n < SMALL_SUBGROUP or self.clusters < SMALL_CLUSTERS


def entering_of(measure: Measure, samples: Clusters, clusters: Clusters) -> Entering:
    """What of the kept rows enters a measure: a sample does where one of its draws does.

    ``samples`` and ``clusters`` number the sample and the cluster of each row. Where a metric's rows do not tell which of
    them enter, all do, and ``n`` is the metric's own count in samples.
    """
    metric, keep = cast(Metric, measure.metric), measure.keep
    rows, of_sample, of_cluster = measure.rows, samples.codes, clusters.codes
    if keep is not None:
        rows, of_sample, of_cluster = rows[keep], of_sample[keep], of_cluster[keep]
    told = _told(metric, rows)
    here = np.ones(len(rows), np.bool_) if told is None else told
    own, around = np.zeros(samples.count, np.bool_), np.zeros(clusters.count, np.bool_)
    own[of_sample[here]] = True
    around[of_cluster[here]] = True
    n = int(own.sum())
    return Entering(own, around, n if told is not None else round(metric.counted(rows) * n / max(len(rows), 1)))


def _told(metric: Metric, rows: Floats) -> Bools | None:
    """(n,) whether each row enters the score; None where single rows do not tell."""
    total = metric.counted(rows)
    if total in (0, len(rows)):
        return np.full(len(rows), total > 0)
    counts = np.array([metric.counted(row[None]) for row in rows])
    return counts > 0 if counts.max() <= 1 and counts.sum() == total else None


def common_size(entering: Sequence[Entering], samples: Clusters, clusters: Clusters) -> Size:
    """The samples that enter the scores of all runs, and their clusters; the smallest count where rows do not tell."""
    own = np.logical_and.reduce([one.samples for one in entering])
    around = len(np.unique(clusters.codes[own[samples.codes]]))
    return Size(min(int(own.sum()), *(one.n for one in entering)), around)


def clusters_of_pairs(entering: Iterable[Entering]) -> list[int]:
    """For each pair of runs, in order, the clusters that enter the score of either."""
    return [int((a.clusters | b.clusters).sum()) for a, b in combinations(entering, 2)]
