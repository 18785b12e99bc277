"""AUROC and average precision under weights, against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.labels import ranking
from radbench.metrics.labels.ranking import METRICS, Ranking, auroc, average_precision

from radbench.errors import DataError
from radbench.records import Failure, Labels, Prediction
from radbench.statistics import Clusters, Measure, draw, point, resample_counts

CLASSES = ("edema", "fracture", "nodule")
FAILED = Prediction(None, Failure("unparsable"))


def measure(metric: Ranking, scores: Any, truth: Any, classes: Any = CLASSES) -> Measure:
    """``scores`` (n, K) with nan where the model gave none, ``truth`` (n, K)."""
    predictions = [
        Prediction(
            ("edema",), scores={c: float(s) for c, s in zip(classes, row, strict=True) if not np.isnan(s)} or None
        )
        for row in scores
    ]
    targets = [Labels(tuple(c for c, t in zip(classes, row, strict=True) if t)) for row in truth]
    state = metric.fit(targets, classes)
    return Measure(metric, state, metric.rows(predictions, targets, state))


def random_case(n: int, seed: int, levels: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties and outcomes that they tell in part."""
    rng = np.random.default_rng(seed)
    truth = rng.random((n, 3)) < (0.4, 0.2, 0.6)
    return np.round((truth + rng.normal(size=(n, 3))) * levels) / levels, truth


@pytest.mark.parametrize(
    ("function", "original"), [(auroc, "roc_auc_score"), (average_precision, "average_precision_score")]
)
def test_areas_equal_scikit_learn_under_weights(function: Any, original: str) -> None:
    theirs = getattr(pytest.importorskip("sklearn.metrics"), original)
    rng = np.random.default_rng(0)
    for seed, n in enumerate((500, 60, 9)):
        scores, truth = (x[:, 0] for x in random_case(n, seed, levels=3))
        weights = np.concatenate([np.ones((1, n)), rng.integers(0, 4, (10, n)), rng.random((10, n))])
        expected = [theirs(truth, scores, sample_weight=w) for w in weights]
        assert function(scores, truth, weights) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("kind", ["auroc", "auprc"])
def test_averages_equal_scikit_learn(kind: Any) -> None:
    sk = pytest.importorskip("sklearn.metrics")
    theirs = {"auroc": sk.roc_auc_score, "auprc": sk.average_precision_score}[kind]
    scores, truth = random_case(500, 3)
    for average in ("macro", "micro"):
        found = point(measure(Ranking(kind, average), scores, truth))
        assert found == pytest.approx(theirs(truth, scores, average=average), abs=1e-9)
    assert point(measure(Ranking(kind, label="nodule"), scores, truth)) == pytest.approx(
        theirs(truth[:, 2], scores[:, 2])
    )


def test_draws_equal_scikit_learn_on_each_resample(monkeypatch: pytest.MonkeyPatch) -> None:
    sk = pytest.importorskip("sklearn.metrics")
    monkeypatch.setattr(ranking, "_BLOCK", 150)  # several blocks of resamples
    scores, truth = random_case(50, 4)
    alone = Clusters(np.arange(50), 50, ((0, 50),))
    for kind, theirs in (("auroc", sk.roc_auc_score), ("auprc", sk.average_precision_score)):
        for average in ("macro", "micro"):
            draws = draw([measure(Ranking(kind, average), scores, truth)], alone, 8, 0)[0]  # type: ignore[arg-type]
            for drawn, counts in zip(draws, next(resample_counts(alone, 8, 0))[1], strict=True):
                chosen = np.repeat(np.arange(50), counts.astype(int))
                assert drawn == pytest.approx(theirs(truth[chosen], scores[chosen], average=average), abs=1e-9)


def test_classes_without_both_outcomes_are_left_out() -> None:
    scores, truth = random_case(40, 5)
    truth[:, 1], truth[:, 2] = True, False
    for name in METRICS:
        assert point(measure(METRICS[name](), scores, truth)) == point(
            measure(METRICS[name](label="edema"), scores, truth)
        )
        assert np.isnan(point(measure(METRICS[name](label="fracture"), scores, truth)))


def test_a_sample_without_scores_ranks_worst_and_none_with_scores_is_undefined() -> None:
    truth = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 1]], bool)
    perfect = truth.astype(float)
    missing = perfect.copy()
    missing[0] = np.nan
    for name in METRICS:
        metric = METRICS[name]()
        assert point(measure(metric, perfect, truth)) == 1
        assert point(measure(metric, missing, truth)) < 1
        assert np.isnan(point(measure(metric, np.full((4, 3), np.nan), truth)))
        assert np.isnan(metric.value(np.zeros((0, 1)), np.zeros((2, 0)), CLASSES)).all()
    # Edema is true of samples 0 (no score: below all) and 2 (score 1), false of 1 and 3 (score 0): half the pairs.
    assert point(measure(Ranking("auroc", label="edema"), missing, truth)) == 0.5
    rows = Ranking("auroc").rows(
        [FAILED, Prediction(None, Failure("refused"), {"edema": 1.0})], [Labels(("edema",))] * 2, CLASSES
    )
    assert np.isnan(rows[:, :3]).all()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 3)), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_weights_repeat_samples_and_order_and_scale_change_nothing(cells: Any, random: Any) -> None:
    def columns(chosen: Any) -> Any:
        scores, truth, weights = (np.array(c) for c in zip(*chosen, strict=True))
        return scores.astype(float), truth.astype(bool), weights.astype(float)

    scores, truth, weights = columns(cells)
    for function in (auroc, average_precision):
        own = function(scores, truth, weights[None])
        repeated = np.repeat(np.arange(len(cells)), weights.astype(int))
        same = [
            function(scores[repeated], truth[repeated], np.ones((1, len(repeated)))),
            function(np.exp(scores), truth, weights[None] * 2),
        ]
        shuffled = columns(random.sample(cells, len(cells)))
        same.append(function(shuffled[0], shuffled[1], shuffled[2][None]))
        for other in same:
            assert own == pytest.approx(other, abs=1e-12, nan_ok=True)
        assert np.isnan(own[0]) == (weights[truth].sum() == 0 or weights[~truth].sum() == 0)


def test_signatures_and_errors() -> None:
    assert METRICS["auroc"]().signature(CLASSES) == "auroc|avg:macro|classes:3|ties:half|no-score:worst|v:1"
    assert METRICS["auprc"](label="edema").signature(CLASSES).startswith("auprc|label:edema|")
    with pytest.raises(ValueError, match="average is 'weighted', expected one of macro, micro"):
        METRICS["auroc"]("weighted")  # type: ignore[call-arg]
    with pytest.raises(DataError, match="label is 'flu', none of the classes edema"):
        METRICS["auroc"](label="flu").fit([], CLASSES)
    with pytest.raises(DataError, match="label 'flu'"):
        METRICS["auroc"]().rows([FAILED], [Labels(("flu",))], CLASSES)
