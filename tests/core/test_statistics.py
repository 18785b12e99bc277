"""The statistics engine against scipy, brute force and the golden bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.base import Card, Mean, Metric
from radbench.metrics.findings.diversity import SameReportPairs
from radbench.metrics.labels.agreement import METRICS as AGREEMENT
from radbench.metrics.labels.classification import F1
from radbench.metrics.labels.correlation import PairedColumns
from radbench.metrics.labels.ranking import Ranking
from radbench.metrics.text.bleu import Bleu
from radbench.metrics.vision.boxes import MeanIoU
from radbench.metrics.vision.detection import MeanAP

from radbench.records import Box, Boxes, Labels, Prediction, Target, Text
from radbench.registry import find_metric
from radbench.statistics import (
    Clusters,
    Measure,
    cluster_sums,
    clusters_of,
    counted_clusters,
    distinct_rows,
    draw,
    edge_interval,
    estimate,
    estimate_of,
    interval,
    macro,
    point,
    pool,
    resample_counts,
    trials_of,
    wilson,
)


class MeanOf(Mean):
    """The plain mean, for feeding numbers."""

    def score(self, prediction: Any, target: Any) -> float:
        return float(prediction.value)

    def signature(self, state: Any) -> str:
        return "mean"


class ShareOf(MeanOf):
    """A mean of numbers from 0 to 1."""

    card = Card("share", "mean", "0 to 1, higher is better", "this test")


class SignedMeanOf(MeanOf):
    """A mean of numbers from -1 to 1."""

    card = Card("signed", "mean", "-1 to 1, higher is better", "this test")


def mean_measure(values: Any, metric: Metric | None = None) -> Measure:
    rows = np.stack([np.nan_to_num(np.asarray(values, float)), ~np.isnan(np.asarray(values, float))], axis=1)
    return Measure(metric or MeanOf(), (), rows)


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


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["one", "two", "three"])), min_size=1, max_size=30))
def test_sums_of_clusters_are_those_of_their_rows_whatever_the_order_of_datasets(rows: list[tuple[str, str]]) -> None:
    names, datasets = (list(column) for column in zip(*rows, strict=True))
    found = clusters_of(names, datasets)
    values = np.stack([np.arange(1.0, len(rows) + 1), np.ones(len(rows))], axis=1)
    expected = np.zeros((found.count, 2))
    for row, code in zip(values, found.codes, strict=True):
        expected[code] += row
    assert (cluster_sums(values, found) == expected).all()


def test_interleaved_datasets_are_resampled_as_done_by_hand() -> None:
    """A group with members of the datasets a, b and a again: codes are not in the order of samples."""
    values = np.concatenate([np.zeros(5), np.arange(30) % 2, np.ones(20)])
    found = clusters_of([f"p{i}" for i in range(55)], ["a"] * 5 + ["b"] * 30 + ["a"] * 20)
    of_a, of_b = np.concatenate([values[:5], values[35:]]), values[5:35]
    generators = [np.random.default_rng([4, part]) for part in (0, 1)]
    expected = [
        sum(own[g.integers(len(own), size=len(own))].sum() for own, g in zip((of_a, of_b), generators, strict=True))
        / 55
        for _ in range(50)
    ]
    assert draw([mean_measure(values)], found, 50, 4)[0] == pytest.approx(expected, abs=1e-12)


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


# --- the ends of the scale ---


@given(st.integers(0, 400), st.integers(1, 400), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_wilson_equals_statsmodels(successes: int, trials: int, level: float) -> None:
    proportion_confint = pytest.importorskip("statsmodels.stats.proportion").proportion_confint
    successes = min(successes, trials)
    expected = proportion_confint(successes, trials, alpha=1 - level, method="wilson")
    assert wilson(successes, trials, level) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("end", [0.0, 1.0])
@pytest.mark.parametrize("metric", [ShareOf(), SignedMeanOf()])
def test_all_right_and_all_wrong_have_wilsons_interval_of_the_clusters(end: float, metric: Metric) -> None:
    values = np.full(120, end if isinstance(metric, ShareOf) else 2 * end - 1)
    patients = [f"p{i // 3}" for i in range(120)]
    found = estimate({0: mean_measure(values, metric)}, clusters_of(patients), 200)[0]
    low, high = wilson(40 * end, 40)
    if isinstance(metric, SignedMeanOf):
        low, high = 2 * low - 1, 2 * high - 1
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert (found.value in (found.low, found.high), found.method, found.defined) == (True, "wilson", 200)


def test_other_intervals_stay_as_they_are_and_say_how_they_were_made() -> None:
    def one(values: Any, metric: Metric | None = None) -> Any:
        found = estimate({0: mean_measure(values, metric)}, alone(len(values)), 200)[0]
        return found.method, found.low, found.high

    assert one([0.5] * 30, ShareOf()) == ("constant", 0.5, 0.5)
    assert one([1.0] * 30) == ("constant", 1, 1)  # its card states no bounds
    assert one([np.nan] * 3, ShareOf())[0] == "none"
    method, low, high = one([1.0] * 29 + [0.0], ShareOf())
    assert (method, high) == ("percentile", 1.0)
    assert low < 29 / 30


def test_only_clusters_that_count_are_trials() -> None:
    """Those of the subgroup that have a row of their own: a nan row is left out of a mean and changes no sum."""
    values = np.array([1.0, 1, np.nan, 1, 1, 1, np.nan, np.nan])
    patients = clusters_of(["a", "a", "a", "b", "c", "c", "d", "d"])
    measure = mean_measure(values, ShareOf())
    keep = np.array([True] * 4 + [False] * 4)
    kept = Measure(measure.metric, (), measure.rows, keep)
    assert (counted_clusters(measure, patients), counted_clusters(kept, patients)) == (3, 2)
    ranks = Measure(PairedColumns("spearman"), (), np.ones((8, 2)), keep)
    assert counted_clusters(ranks, patients) == 2
    found = estimate({"all": measure, "kept": kept}, patients, 100)
    assert found["all"].low == pytest.approx(wilson(3, 3)[0])
    assert found["kept"].low == pytest.approx(wilson(2, 2)[0])
    assert edge_interval(1.0, 0, (0.0, 1.0)) == (0.0, 1.0)  # nothing known


def test_pooled_members_at_the_end_are_trials_of_one_interval_and_macro_members_add_as_errors() -> None:
    one, two = mean_measure([1.0] * 30, ShareOf()), mean_measure([1.0] * 60, ShareOf())
    pooled = pool([(one, ("sum", "n")), (two, ("sum", "n"))])
    both = clusters_of([f"p{i}" for i in range(90)], ["one"] * 30 + ["two"] * 60)
    assert estimate({0: pooled}, both, 100)[0].low == pytest.approx(wilson(90, 90)[0])
    found = macro([(one, alone(30)), (two, alone(60))], 100)
    reach = np.hypot(1 - wilson(30, 30)[0], 1 - wilson(60, 60)[0]) / 2
    assert (found.low, found.high, found.method) == (pytest.approx(1 - reach), 1.0, "combined")
    varied = mean_measure(np.arange(50) % 2, ShareOf())
    alone_varied = macro([(varied, alone(50)), (varied, alone(50))], 300)
    assert alone_varied.method == "percentile"
    mixed = macro([(varied, alone(50)), (one, alone(30))], 300)
    half = estimate({0: varied}, alone(50), 300)[0]
    expected = mixed.value - np.hypot(half.value - half.low, 1 - wilson(30, 30)[0]) / 2
    assert (mixed.low, mixed.method) == (pytest.approx(expected), "combined")
    assert mixed.high == pytest.approx(mixed.value + (half.high - half.value) / 2)


@pytest.mark.parametrize(
    ("spec", "trials"),
    [("balanced-accuracy", 3), ("f1-macro", 3), ("f1:over=truth", 3), ("accuracy-macro", 3), ("auroc", 3), ("auprc:label=b", 3),
     ("accuracy", 100), ("f1-micro", 100), ("auroc:average=micro", 100)],
)  # fmt: skip
def test_where_classes_count_alike_the_rarest_is_what_an_end_of_the_scale_rests_on(spec: str, trials: int) -> None:
    names = ["a"] * 194 + ["b"] * 6
    metric = find_metric(spec)
    targets: list[Target] = [Labels((name,)) for name in names]
    state = metric.fit(targets, ("a", "b", "never"))
    said = [Prediction((n,), scores={"a": float(n == "a"), "b": float(n == "b"), "never": 0.0}) for n in names]
    measure = Measure(metric, state, metric.rows(said, targets, state))
    patients = clusters_of([f"p{i // 2}" for i in range(200)])
    assert trials_of(measure, patients) == trials
    found = estimate_of(measure, patients, np.ones(10))
    assert (found.value, found.method) == (pytest.approx(1), "wilson")
    assert found.low == pytest.approx(wilson(trials, trials)[0])
    kept = Measure(metric, state, measure.rows, np.arange(200) < 196)  # one patient of b
    assert trials_of(kept, patients) == (1 if trials == 3 else 98)


@pytest.mark.parametrize(
    ("rate", "n", "percentiles_alone"), [(0.99, 50, 0.40), (0.99, 100, 0.64), (0.995, 50, 0.23), (0.995, 100, 0.40)]
)
def test_the_interval_of_a_rate_near_one_covers_it(rate: float, n: int, percentiles_alone: float) -> None:
    """Exact coverage: with one sample a cluster the interval depends on the number of right ones only, a binomial."""
    covered = alone_covered = 0.0
    for right in range(n - 12, n + 1):  # fewer are rarer than 1e-9
        values = np.arange(n) < right
        found = estimate({0: mean_measure(values, ShareOf())}, alone(n), 1000, seed=right)[0]
        chance = comb(n, right) * rate**right * (1 - rate) ** (n - right)
        assert (found.method == "wilson") == (right == n)
        if found.low - 1e-12 <= rate <= found.high + 1e-12:
            covered += chance
            alone_covered += chance * (right < n)
    assert covered >= 0.95
    assert alone_covered < percentiles_alone


# --- a class that a resample lacks ---

THREE = ("a", "b", "c")
TRUE = ["a", "a", "a", "b", "b", "c"]
SAID = ["a", "a", "b", "b", "b", "c"]
F1_A, F1_B = 4 / 5, 4 / 5


def labels_measure(metric: Metric) -> Measure:
    targets = [Labels((t,)) for t in TRUE]
    state = metric.fit(targets, THREE)
    said = [Prediction((s,), scores={c: float(c == s) + 0.1 * i for c in THREE}) for i, s in enumerate(SAID)]
    return Measure(metric, state, metric.rows(said, targets, state))


def boxes_measure(metric: Metric) -> Measure:
    truth = [Boxes((Box(t, 0, 0, 10, 10),)) for t in TRUE]
    said = [Prediction((Box(s, 0, 0, 10, 10, 0.9 - i / 10),)) for i, s in enumerate(SAID)]
    state = metric.fit(truth, THREE)
    return Measure(metric, state, metric.rows(said, truth, state))


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (labels_measure(F1()), (F1_A + F1_B) / 2),  # over the classes present in truth or prediction
        (labels_measure(F1(over="truth")), (F1_A + F1_B) / 2),
        (labels_measure(F1(over="fixed")), (F1_A + F1_B) / 3),  # the absent class counts 0
        (labels_measure(F1(over="fixed", zero_division=1)), (F1_A + F1_B + 1) / 3),
        (labels_measure(F1(over="fixed", zero_division="nan")), (F1_A + F1_B) / 2),
        (labels_measure(F1(label="c")), 0.0),
        (labels_measure(F1(label="c", zero_division="nan")), np.nan),
        (labels_measure(AGREEMENT["balanced-accuracy"]()), (2 / 3 + 1) / 2),
        (labels_measure(AGREEMENT["accuracy-macro"]()), (2 / 3 + 1) / 2),
        (labels_measure(Ranking("auroc", label="c")), np.nan),
        (labels_measure(Ranking("auprc", label="c")), np.nan),
        (boxes_measure(MeanIoU(average="class")), (2 / 3 + 1) / 2),
    ],
)
def test_a_class_without_weight_counts_as_each_metric_says(measure: Measure, expected: float) -> None:
    """Sample 5, the only one of class c, is not drawn."""
    weights = np.array([[1.0, 1, 1, 1, 1, 0]])
    found = measure.metric.value(measure.rows, weights, measure.state)[0]
    assert found == pytest.approx(expected, nan_ok=True)
    own = estimate({0: measure}, alone(6), 400, 3)[0]
    missed = np.concatenate([counts[:, 5] == 0 for _, counts in resample_counts(alone(6), 400, 3)])
    if np.isnan(expected):
        assert own.defined <= (~missed).sum() < 400
    else:
        assert own.defined == 400


@pytest.mark.parametrize("measure", [labels_measure(Ranking("auroc")), boxes_measure(MeanAP())])
def test_macro_auroc_and_map_leave_an_absent_class_out(measure: Measure) -> None:
    weights = np.array([[1.0, 1, 1, 1, 1, 0]])
    found = measure.metric.value(measure.rows, weights, measure.state)[0]
    assert found == pytest.approx(measure.metric.value(measure.rows[:5], weights[:, :5], measure.state)[0])
    assert 0 < found < 1


@given(st.integers(0, 2**31))
def test_whole_weights_repeat_samples_for_every_metric_that_is_no_function_of_sums(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 12
    weights = rng.integers(0, 4, n)
    true = rng.choice(THREE, n)
    targets = [Labels((t,)) for t in true]
    scored = [Prediction((t,), scores=dict(zip(THREE, rng.random(3).round(1).tolist(), strict=True))) for t in true]
    measures = []
    for metric in (Ranking("auroc"), Ranking("auprc"), Ranking("auroc", "micro"), Ranking("auprc", label="b")):
        measures.append(Measure(metric, THREE, metric.rows(scored, targets, THREE)))
    truth = [Boxes((Box(t, 0, 0, 10, 10),)) for t in true]
    # Scores differ from sample to sample: boxes of one score stand in COCO's order, in which copies would take turns.
    ranks = rng.permutation(n) / n
    found = [
        Prediction((Box("a", 0, 0, 10, 8 + k % 4, ranks[k]), Box("b", 0, 0, 9, 10, ranks[k] - 1))) for k in range(n)
    ]
    for metric in (MeanAP(), MeanAP(0.9, ties="together")):
        measures.append(Measure(metric, THREE, metric.rows(found, truth, THREE)))
    for kind in ("kendall", "spearman", "pearson"):
        measures.append(Measure(PairedColumns(kind), (), rng.integers(0, 5, (n, 2)).astype(float)))  # type: ignore[arg-type]
    for m in measures:
        again = Measure(m.metric, m.state, np.repeat(m.rows, weights, axis=0))
        weighted = m.metric.value(m.rows, weights[None].astype(float), m.state)[0]
        assert weighted == pytest.approx(point(again), abs=1e-12, nan_ok=True)


def test_a_text_drawn_twice_is_no_repetition_of_itself() -> None:
    """The one metric for which a weight of 2 is not the sample twice: pairs are of different samples."""
    metric = SameReportPairs()
    rows = metric.rows([Prediction("one"), Prediction("one"), Prediction("two")], [Text(("x",))] * 3, ())
    assert metric.value(rows, np.array([[1.0, 1, 1], [2, 0, 1]]), ()) == pytest.approx([1 / 3, 0])
