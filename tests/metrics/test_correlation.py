"""Correlations under weights against scipy, grades on an ordered scale against scipy and scikit-learn."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.labels import correlation
from radbench.metrics.labels.correlation import (
    METRICS,
    Grades,
    correlation_measure,
    kendall_tau_b,
    pearson,
    spearman,
    worst_grades,
)

from radbench.errors import ConfigError, DataError
from radbench.records import Failure, Labels, Prediction
from radbench.statistics import Clusters, Measure, clusters_of, draw, estimate, point, pool, resample_counts

FUNCTIONS = {
    "kendall": (kendall_tau_b, "kendalltau"),
    "spearman": (spearman, "spearmanr"),
    "pearson": (pearson, "pearsonr"),
}
SCALE = ("0", "1", "2", "3", "4")
FAILED = Prediction(None, Failure("unparsable"))


def by_scipy(name: str, x: np.ndarray, y: np.ndarray) -> float:
    """scipy's value, nan (without its warning) where a variable is constant."""
    stats = pytest.importorskip("scipy.stats")
    if len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return float("nan")
    return float(getattr(stats, name)(x, y)[0])


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize("levels", [2, 6, None])
def test_correlations_equal_scipy_on_the_repeated_sample(
    kind: str, levels: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correlation, "_BLOCK", 300)  # several blocks of resamples
    function, original = FUNCTIONS[kind]
    rng = np.random.default_rng(0)
    for n in (2, 3, 8, 33, 100):
        x = rng.normal(size=n)
        y = x + rng.normal(size=n)
        if levels is not None:
            x, y = (np.digitize(v, np.linspace(-1, 1, levels - 1)).astype(float) for v in (x, y))
        weights = np.concatenate([np.ones((1, n)), rng.integers(0, 4, (12, n)).astype(float)])
        expected = []
        for w in weights:
            again = np.repeat(np.arange(n), w.astype(int))
            expected.append(by_scipy(original, x[again], y[again]))
        assert function(x, y, weights) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=14),
    st.randoms(use_true_random=False),
)
def test_weights_repeat_samples_and_order_and_scale_change_nothing(cells: Any, random: Any) -> None:
    def columns(chosen: Any) -> Any:
        return np.array(chosen, np.float64).T

    x, y, weights = columns(cells)
    shuffled = columns(random.sample(cells, len(cells)))
    repeated = np.repeat(np.arange(len(cells)), weights.astype(int))
    for function, _ in FUNCTIONS.values():
        own = function(x, y, weights[None])
        others = [
            function(x[repeated], y[repeated], np.ones((1, len(repeated)))),
            function(shuffled[0], shuffled[1], shuffled[2][None]),
            function(y, x, weights[None]),
            function(3 * x - 7, y, weights[None] * 2.5),
            -function(x, -y, weights[None]),
        ]
        for other in others:
            assert own == pytest.approx(other, abs=1e-12, nan_ok=True)
        constant = len(set(x[weights > 0])) < 2 or len(set(y[weights > 0])) < 2
        assert np.isnan(own[0]) == constant


def test_ranks_ignore_the_distance_and_pearson_does_not_lose_digits() -> None:
    x, y = np.arange(6.0), np.array([0, 1, 2, 3, 4, 1e9])
    weights = np.ones((1, 6))
    assert kendall_tau_b(x, y, weights) == spearman(x, y, weights) == 1
    assert pearson(x, y, weights)[0] < 0.7
    without_outlier = np.array([[1.0, 2, 1, 1, 1, 0]])
    assert pearson(x, y, without_outlier)[0] == pytest.approx(1, abs=1e-12)


def test_a_measure_of_two_arrays_is_resampled_by_patient() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=40)
    y = np.round(x + rng.normal(size=40))
    clusters = clusters_of([f"p{i // 2}" for i in range(40)])
    keep = np.arange(40) < 30
    for kind, (_, original) in FUNCTIONS.items():
        whole = correlation_measure(kind, x, y)  # type: ignore[arg-type]
        part = Measure(whole.metric, whole.state, whole.rows, keep)
        draws = draw([whole, part], clusters, 6, 1)
        assert point(part) == pytest.approx(by_scipy(original, x[:30], y[:30]), abs=1e-12)
        for i, counts in enumerate(next(resample_counts(clusters, 6, 1))[1]):
            chosen = np.repeat(np.arange(40), counts[clusters.codes].astype(int))
            kept = chosen[keep[chosen]]
            assert draws[0, i] == pytest.approx(by_scipy(original, x[chosen], y[chosen]), abs=1e-12)
            assert draws[1, i] == pytest.approx(by_scipy(original, x[kept], y[kept]), abs=1e-12)
    perfect = estimate({0: correlation_measure("kendall", x, x)}, clusters, 50)[0]
    assert (perfect.value, perfect.high, perfect.method) == (1, 1, "wilson")
    assert perfect.low < 0.9


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match=r"x has shape \(3,\) and y \(2,\)"):
        kendall_tau_b([1, 2, 3], [1, 2], np.ones((1, 3)))
    with pytest.raises(ValueError, match="not finite"):
        spearman([1, np.nan], [1, 2], np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"weights have shape \(1, 3\), expected \(B, 2\)"):
        pearson([1, 2], [1, 2], np.ones((1, 3)))
    with pytest.raises(ValueError, match="kind is 'rank'"):
        correlation_measure("rank", [1, 2], [1, 2])  # type: ignore[arg-type]
    assert np.isnan(kendall_tau_b([], [], np.ones((2, 0)))).all()


# --- grades ---


def graded(name: Any, said: Any, true: Any, scale: tuple[str, ...] = SCALE) -> Measure:
    metric = Grades(name)
    targets = [Labels((str(t),)) for t in true]
    state = metric.fit(targets, scale)
    predictions = [p if isinstance(p, Prediction) else Prediction((str(p),)) for p in said]
    return Measure(metric, state, metric.rows(predictions, targets, state))


def original(name: str, said: np.ndarray, true: np.ndarray) -> float:
    if name == "kappa-quadratic":
        kappa = pytest.importorskip("sklearn.metrics").cohen_kappa_score
        return float(kappa(true, said, weights="quadratic", labels=range(5)))
    return by_scipy({"kendall-tau": "kendalltau", "spearman": "spearmanr"}[name], said, true)


@pytest.mark.parametrize("name", METRICS)
def test_grades_equal_the_originals_on_the_samples_and_on_each_resample(name: str) -> None:
    rng = np.random.default_rng(2)
    true = rng.integers(0, 5, 60)
    said = np.clip(true + rng.integers(-2, 3, 60), 0, 4)
    own = graded(name, said, true)
    assert point(own) == pytest.approx(original(name, said, true), abs=1e-12)
    alone = Clusters(np.arange(60), 60, ((0, 60),))
    draws = draw([own], alone, 20, 0)[0]
    for drawn, counts in zip(draws, next(resample_counts(alone, 20, 0))[1], strict=True):
        chosen = np.repeat(np.arange(60), counts.astype(int))
        assert drawn == pytest.approx(original(name, said[chosen], true[chosen]), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
@given(grades=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_a_value_lies_within_its_scale_and_a_failure_never_helps(name: str, grades: list[tuple[int, int]]) -> None:
    said, true = (list(v) for v in zip(*grades, strict=True))
    value = point(graded(name, said, true))
    assert np.isnan(value) == (len(set(true)) == 1)
    assert np.isnan(value) or -1 - 1e-12 <= value <= 1 + 1e-12
    if len(set(true)) > 1:
        assert point(graded(name, true, true)) == pytest.approx(1)
        assert point(graded(name, [FAILED, *true[1:]], true)) < 1
    if len(set(said)) == 1 and len(set(true)) > 1:
        assert value == 0  # a model that says one grade whatever it sees


@pytest.mark.parametrize(("name", "worst"), [("kappa-quadratic", [4, 4, 0, 0, 0]), ("spearman", [4, 0, 0, 0, 0])])
def test_failed_and_unclear_answers_take_the_worst_grade(name: str, worst: list[int]) -> None:
    """Most references are of grade 0: a rank correlation takes any other for the lowest."""
    true = [0, 1, 2, 3, 4, *[0] * 8]
    unclear = [FAILED, Prediction(("0", "1")), Prediction(("benign",)), Prediction(()), FAILED]
    assert (graded(name, [*unclear, *[0] * 8], true).rows == graded(name, [*worst, *[0] * 8], true).rows).all()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.integers(0, 8))
def test_no_answer_is_more_out_of_order_than_a_failed_one(others: list[int], true: int) -> None:
    """Among right answers to the other samples: concordant less discordant pairs with them."""
    true %= 5
    counts = np.bincount([true, *others], minlength=5)
    failed = worst_grades(counts)[true]
    order = [int((np.sign(true - np.array(others)) * np.sign(said - np.array(others))).sum()) for said in range(5)]
    assert order[failed] == min(order)


def test_the_order_is_that_of_the_choices() -> None:
    scale = ("normal", "mild", "severe")  # alphabetically: mild, normal, severe
    true, said = ["normal", "mild", "severe"] * 2, ["normal", "mild", "severe", "mild", "severe", "severe"]
    number = {grade: i for i, grade in enumerate(scale)}
    expected = by_scipy("kendalltau", np.array([number[s] for s in said]), np.array([number[t] for t in true]))
    assert point(graded("kendall-tau", said, true, scale)) == pytest.approx(expected)


def test_tasks_of_one_scale_are_pooled_and_of_others_refused() -> None:
    one, two = graded("spearman", [0, 1, 3], [0, 2, 4]), graded("spearman", [4, 1], [3, 1])
    columns = one.metric.columns(one.state)  # type: ignore[attr-defined]
    expected = point(graded("spearman", [0, 1, 3, 4, 1], [0, 2, 4, 3, 1]))
    assert point(pool([(one, columns), (two, columns)])) == pytest.approx(expected)
    three, four = (
        ("a", "b", "c"),
        ("p", "q", "r", "s"),
    )  # tables of 9 and 16 cells make 25: five grades, were they added
    mixed = [graded("spearman", s[:2], s[:2], s) for s in (three, four)]
    with pytest.raises(DataError, match="different scales"):
        point(pool([(m, m.metric.columns(m.state)) for m in mixed]))  # type: ignore[attr-defined]


def test_signatures_and_errors() -> None:
    assert METRICS["kendall-tau"]().signature(SCALE) == "kendall-tau|grades:5|failed:against-order|constant:0|v:1"
    for references, worst in (("0000012", "hllll"), ("44443322101", "hhhll")):
        for name in ("kendall-tau", "spearman"):  # what a failed answer counts is frozen from the references
            state = METRICS[name]().fit([Labels((grade,)) for grade in references], SCALE)
            found = METRICS[name]().signature(state)
            assert found == f"{name}|grades:5|failed:against-order:{worst}|constant:0|v:1"
            assert METRICS[name]().signature(json.loads(json.dumps(state))) == found
    assert len({METRICS[name]().signature(SCALE) for name in METRICS}) == 3
    assert "failed:farthest" in METRICS["kappa-quadratic"]().signature(SCALE)
    with pytest.raises(ConfigError, match="needs a scale of 2 to 30 grades, the task has 0 choices"):
        METRICS["spearman"]().fit([], ())
    spearmans = METRICS["spearman"]()
    with pytest.raises(DataError, match="a target has 2 labels"):
        spearmans.rows([FAILED], [Labels(("0", "1"))], spearmans.fit([], SCALE))
    with pytest.raises(DataError, match="label '9'"):
        METRICS["spearman"]().fit([Labels(("9",))], SCALE)
    with pytest.raises(ValueError, match="value is 'gamma'"):
        Grades("gamma")  # type: ignore[arg-type]
