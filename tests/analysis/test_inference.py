"""Differences, p values, Holm's correction and ranks, against independent implementations and against recomputing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.base import Mean
from radbench.metrics.text.bleu import Bleu

from radbench.analysis.inference import difference, holm, pairwise, rank_groups, rank_intervals, ranks_of
from radbench.records import Prediction, Text
from radbench.statistics import Clusters, Floats, Measure, draw, point


class Score(Mean):
    """The mean of given numbers."""

    def signature(self, state: Any) -> str:
        return "score"


def means(scores: Floats) -> Measure:
    return Measure(Score(), (), np.stack([scores, np.ones(len(scores))], axis=1))


def alone(n: int) -> Clusters:
    return Clusters(np.arange(n), n, ((0, n),))


@pytest.mark.parametrize(("n", "seed", "level"), [(40, 0, 0.95), (333, 7, 0.9), (12, 3, 0.95)])
def test_the_interval_of_a_difference_equals_scipys_paired_bootstrap(n: int, seed: int, level: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(seed + 100)
    a, b = rng.random(n), rng.normal(0.3, 1, n)
    measures = [means(a), means(b)]
    draws = draw(measures, alone(n), 1000, seed)
    ours = difference(point(measures[0]), point(measures[1]), *draws, level)
    theirs = stats.bootstrap(
        (a, b), lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis), n_resamples=1000, paired=True,
        method="percentile", confidence_level=level, rng=np.random.default_rng(seed),
    )  # fmt: skip
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=1e-12)
    assert draws[0] - draws[1] == pytest.approx(theirs.bootstrap_distribution, abs=1e-12)  # the same resamples


P_VALUES = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.01, 0.02, 0.5, 1.0])), min_size=1, max_size=12)


@given(P_VALUES)
def test_holm_equals_statsmodels(p_values: list[float]) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    assert holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1], abs=1e-15)


@given(P_VALUES, st.integers(0, 12))
def test_an_undefined_p_counts_for_nothing_in_holm(p_values: list[float], place: int) -> None:
    place = min(place, len(p_values))
    adjusted = holm([*p_values[:place], float("nan"), *p_values[place:]])
    assert np.isnan(adjusted.pop(place))
    assert adjusted == holm(p_values)


def corpus(n: int, seed: int) -> tuple[list[str], list[str], list[str]]:
    """References and two systems that drop or replace words, the second more of them."""
    rng = np.random.default_rng(seed)
    words = "no acute pleural effusion pneumothorax the heart size is normal lungs are clear mild left right".split()
    references = [" ".join(rng.choice(words, rng.integers(6, 25))) for _ in range(n)]

    def worsened(rate: float) -> list[str]:
        return [" ".join(w if rng.random() > rate else str(rng.choice(words)) for w in r.split()) for r in references]

    return references, worsened(0.25), worsened(0.28)


@pytest.mark.parametrize("seed", [1, 12345])
def test_resamples_and_scores_equal_sacrebleus_paired_bootstrap(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """sacreBLEU holds its statistics as float32: scores of 0 to 100 agree within 1e-4, its p value to the last bit.

    Its p counts one tail, so that it is what our draws give under its formula; ours of the same draws is larger.
    """
    significance = pytest.importorskip("sacrebleu.significance")
    from sacrebleu.metrics import BLEU

    n, resamples = 60, 400
    references, a, b = corpus(n, seed)
    monkeypatch.setenv("SACREBLEU_SEED", str(seed))
    test = significance.PairedTest([("a", a), ("b", b)], {"BLEU": BLEU()}, [references], "bs", resamples)
    theirs = test()[1]["BLEU"]
    metric = Bleu(4, smooth="exp")
    targets = [Text((r,)) for r in references]
    measures = [Measure(metric, (), metric.rows([Prediction(t) for t in texts], targets, ())) for texts in (a, b)]
    draws = draw(measures, alone(n), resamples, seed)
    values = [point(m) for m in measures]
    edge = resamples // 40  # sacreBLEU's interval is half the width between these order statistics
    for result, value, own in zip(theirs, values, np.sort(draws, axis=1), strict=True):
        assert 100 * value == pytest.approx(result.score, abs=1e-4)
        assert 100 * own.mean() == pytest.approx(result.mean, abs=1e-4)
        assert 50 * (own[-edge - 1] - own[edge]) == pytest.approx(result.ci, abs=1e-4)
    strayed = np.abs(draws[0] - draws[1])
    beyond = int((strayed - strayed.mean() > abs(values[0] - values[1])).sum())
    assert 0.002 < theirs[1].p_value < 0.5  # neither floor nor ceiling: resamples decide
    assert (beyond + 1) / (resamples + 1) == theirs[1].p_value
    assert difference(*values, *draws).p >= theirs[1].p_value


def test_equal_systems_differ_significantly_as_often_as_alpha_says() -> None:
    """Differences of equal systems and their bootstrap distributions, both normal: 5 % of 4,000 lie below .05."""
    rng = np.random.default_rng(0)
    observed = rng.normal(size=4000)
    p = [difference(d, 0.0, d + rng.normal(size=500), np.zeros(500)).p for d in observed]
    assert 0.04 < np.mean(np.array(p) < 0.05) < 0.06
    assert 0.45 < np.mean(np.array(p) < 0.5) < 0.55


@pytest.mark.parametrize(("clusters", "floor"), [(1, 1.0), (2, 0.5), (6, 1 / 32), (40, 1 / 1001)])
def test_p_of_few_clusters_is_not_below_a_sign_tests(clusters: int, floor: float) -> None:
    """One run better by 1 in every cluster: no resample strays."""
    stats = pytest.importorskip("scipy.stats")
    measures = [means(np.ones(clusters)), means(np.zeros(clusters))]
    draws = draw(measures, alone(clusters), 1000, 0)
    assert difference(1.0, 0.0, *draws).p == 1 / 1001
    found = difference(1.0, 0.0, *draws, clusters=clusters).p
    assert found == floor
    assert found >= stats.binomtest(clusters, clusters).pvalue
    (one,) = pairwise(np.array([1.0, 0.0]), draws, clusters=[clusters])
    assert one.p == floor
    assert (rank_groups(pairwise(np.array([1.0, 0.0]), draws, clusters=[clusters]), 2, "higher") == [1, 2]) is (
        clusters >= 6
    )


@pytest.mark.parametrize("clusters", [1, 2, 3, 4, 5])
def test_equal_systems_on_few_clusters_are_never_called_different(clusters: int) -> None:
    rng = np.random.default_rng(clusters)
    for _ in range(50):
        a, b = means(rng.random(clusters)), means(rng.random(clusters))
        found = difference(point(a), point(b), *draw([a, b], alone(clusters), 200, 0), clusters=clusters)
        assert found.p >= 0.05


@given(
    st.integers(2, 6), st.sampled_from([1, 2, 39, 40, 41, 200]), st.sampled_from([0.5, 0.9, 0.95]), st.integers(0, 99)
)
def test_all_pairs_at_once_equal_one_by_one_to_the_last_bit(k: int, resamples: int, level: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    draws = np.round(rng.normal(size=(k, resamples)), int(rng.integers(0, 9)))  # ties too
    draws[rng.random(draws.shape) < rng.choice([0, 0, 0.2])] = np.nan
    draws[0] = draws[-1] if rng.random() < 0.3 else draws[0]
    values = np.where(rng.random(k) < 0.1, np.nan, rng.normal(size=k))
    clusters = rng.integers(1, 12, k * (k - 1) // 2).tolist() if seed % 2 else [None] * (k * (k - 1) // 2)
    found = pairwise(values, draws, level, clusters if seed % 2 else None)
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == pairs
    for one, (i, j), count in zip(found, pairs, clusters, strict=True):
        expected = difference(values[i], values[j], draws[i], draws[j], level, count)
        for field in ("value", "low", "high", "p", "defined"):
            assert np.array_equal(getattr(one, field), getattr(expected, field), equal_nan=True), field


def test_equal_runs_do_not_differ() -> None:
    draws = np.random.default_rng(0).random(500)
    (one,) = pairwise(np.array([0.4, 0.4]), np.stack([draws, draws]))
    assert (one.value, one.low, one.high, one.p, one.defined) == (0, 0, 0, 1, 500)


def test_p_never_falls_below_its_floor() -> None:
    draws = np.random.default_rng(0).normal([[1.0], [0.0]], 1e-3, (2, 99))
    assert difference(1.0, 0.0, *draws).p == 1 / 100


@given(st.integers(1, 6), st.integers(0, 99), st.sampled_from(["higher", "lower"]))
def test_ranks_equal_scipys(k: int, seed: int, better: str) -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(seed).integers(0, 4, (k, 9)).astype(float)
    expected = stats.rankdata(-values if better == "higher" else values, method="min", axis=0)
    assert np.array_equal(ranks_of(values, better), expected)


def test_rank_intervals_are_ranks_that_occurred() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal([[0.0], [0.05], [5.0]], 0.1, (3, 1000))
    draws[1, :10] = np.nan  # resamples in which a run has no value say nothing of ranks
    assert rank_intervals(draws, "higher") == [(2, 3), (2, 3), (1, 1)]
    assert rank_intervals(draws, "lower") == [(1, 2), (1, 2), (3, 3)]
    assert rank_intervals(np.full((2, 5), np.nan), "higher") == [None, None]


def test_a_run_without_any_value_has_no_rank_and_takes_none_away() -> None:
    draws = np.random.default_rng(0).normal([[0.0], [0.05], [5.0]], 0.1, (3, 1000))
    more = np.insert(draws, 1, np.nan, axis=0)
    expected = rank_intervals(draws, "higher")
    assert rank_intervals(more, "higher") == [expected[0], None, *expected[1:]]


@pytest.mark.parametrize(("better", "expected"), [("higher", [1, 1, 3]), ("lower", [2, 2, 1])])
def test_a_rank_group_counts_the_runs_that_are_significantly_better(better: str, expected: list[int]) -> None:
    rng = np.random.default_rng(1)
    values = np.array([0.80, 0.79, 0.20])
    draws = values[:, None] + rng.normal(0, 0.05, (3, 1000))
    assert rank_groups(pairwise(values, draws), 3, better) == expected
    assert rank_groups(pairwise(values, draws), 3, better, alpha=1e-9) == [1, 1, 1]
