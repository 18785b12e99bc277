"""The statistics engine against scipy, brute force and the golden bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.base import Mean
from radbench.metrics.labels.classification import F1
from radbench.metrics.text.bleu import Bleu

from radbench.records import Labels, Prediction, Text
from radbench.statistics import (
    Clusters,
    Measure,
    cluster_sums,
    clusters_of,
    distinct_rows,
    draw,
    estimate,
    interval,
    macro,
    point,
    pool,
    resample_counts,
)


class MeanOf(Mean):
    """The plain mean, for feeding numbers."""

    def score(self, prediction: Any, target: Any) -> float:
        return float(prediction.value)

    def signature(self, state: Any) -> str:
        return "mean"


def mean_measure(values: Any) -> Measure:
    return Measure(MeanOf(), (), np.stack([np.asarray(values, float), np.ones(len(values))], axis=1))


def alone(n: int) -> Clusters:
    return Clusters(np.arange(n), n, ((0, n),))


def test_the_interval_of_a_mean_equals_scipy(golden: Callable[[str], Any]) -> None:
    from scipy.stats import bootstrap

    values = np.array(golden("vision_stats_golden")["bootstrap"]["values"])
    ours = estimate({0: mean_measure(values)}, alone(len(values)), 1000, seed=42)[0]
    theirs = bootstrap((values,), np.mean, n_resamples=1000, method="percentile", rng=np.random.default_rng(42))
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=1e-12)
    stored = golden("vision_stats_golden")["bootstrap"]["scipy_bootstrap_percentile_rng42"]
    assert (ours.low, ours.high) == pytest.approx((stored["lo"], stored["hi"]), abs=1e-9)
    assert ours.value == pytest.approx(golden("vision_stats_golden")["bootstrap"]["mean"], abs=1e-12)


def test_the_macro_f1_bootstrap_equals_the_golden_draws(golden: Callable[[str], Any]) -> None:
    data, expected = (
        golden("vision_stats_golden")["multiclass"],
        golden("vision_stats_golden")["bootstrap"]["macro_f1_multiclass_above"],
    )
    metric = F1(over="fixed")
    targets = [Labels((str(t),)) for t in data["y_true"]]
    state = metric.fit(targets, [str(i) for i in range(6)])
    rows = metric.rows([Prediction((str(p),)) for p in data["y_pred"]], targets, state)
    draws = draw([Measure(metric, state, rows)], alone(len(rows)), 1000, seed=42)[0]
    assert draws[:5] == pytest.approx(expected["first5"], abs=1e-9)
    assert interval(draws)[:2] == pytest.approx(expected["lo_hi_linear"], abs=1e-9)


def test_draws_equal_recomputing_the_metric_on_each_resample() -> None:
    rng = np.random.default_rng(1)
    words = np.array(["no", "effusion", "lungs", "are", "clear", "heart", "size", "normal"])
    hyps = [" ".join(rng.choice(words, 6)) for _ in range(40)]
    refs = [" ".join(rng.choice(words, 7)) for _ in range(40)]
    patients = [f"p{i // 3}" for i in range(40)]
    metric = Bleu(n=2)
    rows = metric.rows([Prediction(h) for h in hyps], [Text((r,)) for r in refs], ())
    clusters = clusters_of(patients)
    draws = draw([Measure(metric, (), rows)], clusters, 50, seed=3)[0]
    for i, counts in enumerate(next(resample_counts(clusters, 50, 3))[1]):
        chosen = np.repeat(np.arange(40), counts[clusters.codes].astype(int))
        again = metric.rows([Prediction(hyps[j]) for j in chosen], [Text((refs[j],)) for j in chosen], ())
        assert draws[i] == pytest.approx(point(Measure(metric, (), again)), abs=1e-12)


def test_whole_clusters_are_drawn() -> None:
    """With every patient's samples equal, clustering widens the interval by about the root of the cluster size."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(100), 9)
    values = rng.normal(size=100)[patients]
    clustered = estimate({0: mean_measure(values)}, clusters_of(patients), 1000, 0)[0]
    naive = estimate({0: mean_measure(values)}, alone(900), 1000, 0)[0]
    assert (clustered.high - clustered.low) / (naive.high - naive.low) == pytest.approx(3, rel=0.15)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=50), st.integers(0, 1000))
def test_counting_groups_equals_counting_clusters(codes: list[int], seed: int) -> None:
    groups = np.array(codes)
    clusters = alone(len(codes))
    full = next(resample_counts(clusters, 4, seed))[1].copy()
    grouped = next(resample_counts(clusters, 4, seed, groups, 7))[1]
    for row, counts in zip(full, grouped, strict=True):
        assert (np.bincount(groups, weights=row, minlength=7) == counts).all()
        assert counts.sum() == len(codes)


def test_the_shortcut_for_few_distinct_rows_changes_no_value() -> None:
    rng = np.random.default_rng(0)
    values = (rng.random(2000) < 0.3).astype(float)
    measure = mean_measure(values)
    assert distinct_rows(measure.rows) is not None
    fast = draw([measure], alone(2000), 100, 5)[0]
    slow = np.concatenate([c @ values / 2000 for _, c in resample_counts(alone(2000), 100, 5)])
    assert fast == pytest.approx(slow, abs=1e-15)


@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=40))
def test_clusters_are_numbered_by_first_sight(names: list[str]) -> None:
    found = clusters_of(names)
    order = list(dict.fromkeys(names))
    assert found.count == len(order)
    assert [order[c] for c in found.codes] == names
    assert cluster_sums(np.ones((len(names), 1)), found)[:, 0].tolist() == [names.count(o) for o in order]


def test_datasets_are_resampled_each_on_its_own() -> None:
    found = clusters_of(["x", "y", "x", "z"], ["one", "one", "two", "two"])
    assert found.count == 4  # patient x of another dataset is another patient
    for _, counts in resample_counts(found, 20, 0):
        assert (counts[:, :2].sum(axis=1) == 2).all()
        assert (counts[:, 2:].sum(axis=1) == 2).all()


def test_a_subgroup_uses_the_same_resamples_and_reports_where_it_is_undefined() -> None:
    values = np.arange(10.0)
    keep = np.zeros(10, bool)
    keep[0] = True
    m = mean_measure(values)
    found = estimate({0: Measure(m.metric, (), m.rows, keep)}, alone(10), 1000, 0)[0]
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)
    assert found.defined == pytest.approx(1000 * (1 - 0.9**10), rel=0.1)  # resamples in which sample 0 comes


def test_macro_is_the_mean_of_values_and_pool_the_value_of_all_samples() -> None:
    one, two = mean_measure([1.0, 0.0]), mean_measure([1.0] * 8)
    assert macro([(one, alone(2)), (two, alone(8))]).value == pytest.approx(0.75)
    pooled = pool([(one, ("sum", "n")), (two, ("sum", "n"))])
    assert point(pooled) == pytest.approx(0.9)


def test_pooling_aligns_classes_by_name() -> None:
    metric = F1()
    first, second = [Labels(("a",)), Labels(("b",))], [Labels(("c",)), Labels(("a",))]
    parts = []
    for targets, said in ((first, ["a", "a"]), (second, ["c", "c"])):
        state = metric.fit(targets, ())
        rows = metric.rows([Prediction((s,)) for s in said], targets, state)
        parts.append((Measure(metric, state, rows), metric.columns(state)))
    from sklearn.metrics import f1_score

    assert point(pool(parts)) == pytest.approx(f1_score(["a", "b", "c", "a"], ["a", "a", "c", "c"], average="macro"))


@given(st.integers(0, 2**31), st.permutations(list(range(12))))
def test_the_order_of_samples_within_equal_clusters_changes_no_point_value(seed: int, order: list[int]) -> None:
    values = np.random.default_rng(seed).random(12)
    assert point(mean_measure(values)) == pytest.approx(point(mean_measure(values[order])), abs=1e-14)


def test_no_samples_give_no_value() -> None:
    found = estimate({0: Measure(MeanOf(), (), np.zeros((0, 2)))}, alone(0), 10, 0)[0]
    assert np.isnan(found.value)
    assert np.isnan(found.low)
    assert found.defined == 0
