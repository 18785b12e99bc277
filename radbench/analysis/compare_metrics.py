"""All metrics of a task side by side: values, ranks, differences, and whose answers win sample by sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from radbench.analysis.inference import holm, pairwise, rank_groups, rank_intervals, ranks_of
from radbench.analysis.pairing import Paired, paired_draws
from radbench.analysis.sizes import Size, clusters_of_pairs, common_size, entering_of
from radbench.metrics.base import Metric
from radbench.scoring import as_entry
from radbench.statistics import Clusters, Floats, Measure, estimate_of

TIE = 1e-12

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """How all comparisons are made: the first run's seed, resamples and level."""

    labels: tuple[str, ...]
    resamples: int
    seed: int
    level: float

    @property
    def alpha(self) -> float:
        return round(1 - self.level, 12)


def metrics_of(paired: Paired, names: Sequence[str], setting: Setting) -> dict[str, Entry]:
    """Every metric of a task, by name: all runs under one draw, all pairs, and counts of samples where it has them."""
    draws, samples = paired_draws(paired, setting.resamples, setting.seed), paired.samples
    found = {}
    for name in names:
        measures = [own[name] for own in paired.measures]
        metric = cast(Metric, measures[0].metric)
        own = np.stack([one[name] for one in draws])
        size, entry = compared(measures, samples, paired.clusters, own, metric.better, setting)
        scores = [_mean_scores(m, samples) for m in measures]
        for one, (a, b) in zip(entry["pairs"], zip(*np.triu_indices(len(measures), 1), strict=True), strict=True):
            one["identical"] = np.array_equal(measures[a].rows, measures[b].rows, equal_nan=True)
            one |= sample_counts(scores[a], scores[b], metric.better)
        found[name] = {
            "better": metric.better,
            "signature": metric.signature(measures[0].state),
            "n": size.n,
            **entry,
        }
    return found


def _mean_scores(measure: Measure, samples: Clusters) -> Floats | None:
    """(samples,) score of each sample, averaged over those of its draws that have one; None where the metric has none."""
    scores = cast(Metric, measure.metric).sample_scores(measure.rows, measure.state)
    if scores is None:
        return None
    scored = ~np.isnan(scores)
    counts = np.bincount(samples.codes[scored], minlength=samples.count)
    sums = np.bincount(samples.codes[scored], scores[scored], samples.count)
    return np.divide(sums, counts, out=np.full(samples.count, np.nan), where=counts > 0)


def compared(
    measures: Sequence[Measure], samples: Clusters, clusters: Clusters, draws: Floats, better: str, setting: Setting
) -> tuple[Size, Entry]:
    """Values, ranks and differences of one metric, from the (runs, resamples) draws, and what all runs' values rest on."""
    entering = [entering_of(m, samples, clusters) for m in measures]
    estimates = [estimate_of(m, clusters, own, setting.level) for m, own in zip(measures, draws, strict=True)]
    values = np.array([estimate.value for estimate in estimates])
    table = pairwise(values, draws, setting.level, clusters_of_pairs(entering))
    runs: dict[str, Entry] = {
        label: as_entry(estimate) | {"n": one.n}
        for label, estimate, one in zip(setting.labels, estimates, entering, strict=True)
    }
    if len(measures) > 2:
        ranks = ranks_of(values, better).tolist()
        valued = ~np.isnan(values)
        spans = rank_intervals(np.where(valued[:, None], draws, np.nan), better, setting.level)
        groups = rank_groups(table, len(measures), better, setting.alpha)
        for i, label in enumerate(setting.labels):
            rank_low, rank_high = spans[i] or (None, None)
            runs[label] |= {
                "rank": ranks[i] if valued[i] else None,
                "rank_group": groups[i] if valued[i] else None,
                "rank_low": rank_low,
                "rank_high": rank_high,
            }
    names = setting.labels
    pairs = []
    for a, b, d in zip(table.first.tolist(), table.second.tolist(), table, strict=True):
        found = {"difference": d.value, "low": d.low, "high": d.high, "p": d.p, "defined": d.defined}
        pairs.append({"a": names[a], "b": names[b], **found})
    return common_size(entering, samples, clusters), {"runs": runs, "pairs": pairs}


def sample_counts(a: Floats | None, b: Floats | None, better: str) -> Entry:
    """Wins, ties and losses of (n,) scores, and of scores that are 0 or 1 who was right; None where there are none."""
    names = ("wins", "ties", "losses", "unscored", "both_right", "both_wrong", "only_a", "only_b")
    if a is None or b is None:
        return dict.fromkeys(names)
    scored = ~(np.isnan(a) | np.isnan(b))
    a, b = a[scored], b[scored]
    x, y = (a, b) if better == "higher" else (b, a)
    tied = np.isclose(x, y, rtol=0, atol=TIE)  # infinite scores tie with their like
    counts = dict.fromkeys(names) | {
        "wins": int(((x > y) & ~tied).sum()),
        "ties": int(tied.sum()),
        "losses": int(((x < y) & ~tied).sum()),
        "unscored": int((~scored).sum()),
    }
    if len(a) == 0 or not np.isin([a, b], (0.0, 1.0)).all():
        return counts
    right = 1.0 if better == "higher" else 0.0
    x, y = a == right, b == right
    return {
        **counts,
        "both_right": int((x & y).sum()),
        "both_wrong": int((~x & ~y).sum()),
        "only_a": int((x & ~y).sum()),
        "only_b": int((~x & y).sum()),
    }


def correct(metrics: Iterable[Mapping[str, Any]]) -> int:
    """Put Holm's adjusted p beside every pair's p, one family; how many comparisons it has.

    Small subgroups are not tested: theirs are nan, and their runs have no rank group.
    """
    family = []
    for metric in metrics:
        for one in metric["pairs"]:
            one["p_holm"] = float("nan")
            if metric.get("small"):
                one["p"] = float("nan")
            else:
                family.append(one)
        for run in metric["runs"].values() if metric.get("small") else ():
            if "rank_group" in run:
                run["rank_group"] = None
    for one, adjusted in zip(family, holm([one["p"] for one in family]), strict=True):
        one["p_holm"] = adjusted
    return len(family)
