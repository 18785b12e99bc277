"""Accuracy, F1 and agreement against scikit-learn and torchmetrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.labels import agreement, classification
from radbench.metrics.labels.agreement import Agreement
from radbench.metrics.labels.classification import F1, Accuracy, LabelAccuracy, SampleF1

from radbench.errors import DataError
from radbench.records import Failure, Labels, Mask, Prediction
from radbench.registry import construct, options_of
from radbench.statistics import Measure, point, pool

METRICS = {**classification.METRICS, **agreement.METRICS}
CLASSES = ("abscess", "edema", "fracture", "nodule", "tumour")
NONE = "none of them"  # how the original is told of a failed answer
FAILED = Prediction(None, Failure("unparsable"))
one = st.sampled_from(CLASSES)
some = st.sets(one, max_size=3).map(lambda s: tuple(sorted(s)))


def measure(metric: Any, said: Any, truth: Any, classes: Any = CLASSES) -> Measure:
    """``said`` and ``truth`` hold label tuples; None for a failed answer."""
    targets = [Labels(t) for t in truth]
    state = metric.fit(targets, classes)
    predictions = [FAILED if s is None else Prediction(s) for s in said]
    return Measure(metric, state, metric.rows(predictions, targets, state))


def value(metric: Any, said: Any, truth: Any, classes: Any = CLASSES) -> float:
    return point(measure(metric, said, truth, classes))


def singles(n: int, seed: int, failures: float = 0.0) -> tuple[list[Any], list[Any]]:
    """Answers and truths of one label a sample, half of them right; the last class is said, never true."""
    rng = np.random.default_rng(seed)
    truth = [(str(c),) for c in rng.choice(CLASSES[:4], n, p=(0.5, 0.3, 0.15, 0.05))]
    said: list[Any] = [t if rng.random() < 0.5 else (str(rng.choice(CLASSES)),) for t in truth]
    return [None if rng.random() < failures else s for s in said], truth


def several(n: int, seed: int) -> tuple[list[Any], list[Any]]:
    rng = np.random.default_rng(seed)
    chances = np.array([0.5, 0.3, 0.2, 0.05, 0.0])
    truth = rng.random((n, 5)) < chances
    said = np.where(rng.random((n, 5)) < 0.2, ~truth, truth) & (chances > 0)
    return tuple([tuple(c for c, v in zip(CLASSES, row, strict=True) if v) for row in side] for side in (said, truth))  # type: ignore[return-value]


def binary(side: list[Any]) -> np.ndarray:
    return np.array([[c in names for c in CLASSES] for names in side], int)


@pytest.mark.parametrize("seed", range(4))
def test_single_label_scores_equal_scikit_learn_with_failed_answers(seed: int) -> None:
    sk = pytest.importorskip("sklearn.metrics")
    said, truth = singles(500 if seed else 7, seed, failures=0.1 * seed)
    y_true, y_pred = [t[0] for t in truth], [NONE if s is None else s[0] for s in said]
    present = sorted({*y_true, *y_pred} - {NONE})
    expected = {
        "accuracy": sk.accuracy_score(y_true, y_pred),
        "f1-macro": sk.f1_score(y_true, y_pred, average="macro", labels=present),
        "f1-micro": sk.f1_score(y_true, y_pred, average="micro", labels=list(CLASSES)),
        "f1-weighted": sk.f1_score(y_true, y_pred, average="weighted"),
        "balanced-accuracy": np.mean(sk.recall_score(y_true, y_pred, average=None, labels=sorted(set(y_true)))),
        "accuracy-macro": np.mean(sk.recall_score(y_true, y_pred, average=None, labels=present, zero_division=0)),
        "mcc": sk.matthews_corrcoef(y_true, y_pred),
        "kappa": sk.cohen_kappa_score(y_true, y_pred),
    }
    for name, theirs in expected.items():
        assert value(METRICS[name](), said, truth) == pytest.approx(theirs, abs=1e-9), name
    for label in CLASSES:
        theirs = sk.f1_score(y_true, y_pred, labels=[label], average="macro", zero_division=0)
        assert value(F1(label=label), said, truth) == pytest.approx(theirs, abs=1e-9)
    in_truth = sk.f1_score(y_true, y_pred, average="macro", labels=sorted(set(y_true)))
    assert value(F1(over="truth"), said, truth) == pytest.approx(in_truth, abs=1e-9)


def test_macro_accuracy_and_f1_equal_torchmetrics() -> None:
    functional = pytest.importorskip("torchmetrics.functional")
    torch = pytest.importorskip("torch")
    said, truth = singles(500, 11)
    y_true, y_pred = (torch.tensor([CLASSES.index(s[0]) for s in side]) for side in (truth, said))
    options = {"task": "multiclass", "num_classes": 5}
    for ours, theirs in (
        (Agreement("accuracy-macro"), functional.accuracy(y_pred, y_true, average="macro", **options)),
        (Accuracy(), functional.accuracy(y_pred, y_true, average="micro", **options)),
        (F1(), functional.f1_score(y_pred, y_true, average="macro", **options)),
        (F1("weighted"), functional.f1_score(y_pred, y_true, average="weighted", **options)),
        (Agreement("mcc"), functional.matthews_corrcoef(y_pred, y_true, **options)),
        (Agreement("kappa"), functional.cohen_kappa(y_pred, y_true, **options)),
    ):
        assert value(ours, said, truth) == pytest.approx(float(theirs), abs=1e-6), ours.signature(CLASSES)


@pytest.mark.parametrize(("n", "seed"), [(500, 0), (6, 1), (40, 2)])
def test_multilabel_scores_equal_scikit_learn(n: int, seed: int) -> None:
    f1_score = pytest.importorskip("sklearn.metrics").f1_score
    said, truth = several(n, seed)
    y_true, y_pred = binary(truth), binary(said)
    hamming_loss = pytest.importorskip("sklearn.metrics").hamming_loss
    assert value(LabelAccuracy(), said, truth) == pytest.approx(1 - hamming_loss(y_true, y_pred), abs=1e-9)
    assert value(LabelAccuracy(), [None], [()]) == 0
    assert value(F1("micro"), said, truth) == pytest.approx(f1_score(y_true, y_pred, average="micro"), abs=1e-9)
    weighted = f1_score(y_true, y_pred, average="weighted", zero_division=0)
    assert value(F1("weighted"), said, truth) == pytest.approx(weighted, abs=1e-9)
    for zero in (0, 1, np.nan):
        macro = f1_score(y_true, y_pred, average="macro", zero_division=zero)
        assert value(F1(over="fixed", zero_division=zero), said, truth) == pytest.approx(macro, abs=1e-9)
        samples = f1_score(y_true, y_pred, average="samples", zero_division=zero)
        assert value(SampleF1(zero), said, truth) == pytest.approx(samples, abs=1e-9)
        each = f1_score(y_true, y_pred, average=None, zero_division=zero)
        ours = [value(F1(label=c, zero_division=zero), said, truth) for c in CLASSES]
        assert ours == pytest.approx(each, abs=1e-9, nan_ok=True)


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(st.lists(st.tuples(one, one), min_size=1, max_size=40))
def test_any_single_labels_agree_with_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    from sklearn.metrics import cohen_kappa_score, f1_score, matthews_corrcoef

    truth, said = [p[0] for p in pairs], [p[1] for p in pairs]
    ours = {name: value(METRICS[name](), [(s,) for s in said], [(t,) for t in truth]) for name in METRICS}
    for average in ("macro", "micro", "weighted"):
        theirs = f1_score(truth, said, average=average, zero_division=0)
        assert ours[f"f1-{average}"] == pytest.approx(theirs, abs=1e-12)
    assert ours["mcc"] == pytest.approx(matthews_corrcoef(truth, said), abs=1e-12)
    if len({*truth, *said}) > 1:  # 0 / 0 in the original
        assert ours["kappa"] == pytest.approx(cohen_kappa_score(truth, said), abs=1e-12)
    else:
        assert np.isnan(ours["kappa"])
    assert ours["accuracy"] == pytest.approx(ours["f1-samples"])


def test_a_failed_answer_is_a_miss_and_nobodys_false_alarm() -> None:
    metric = F1()
    own = measure(metric, [None, ("b",)], [("a",), ("b",)], ())
    assert dict(zip(metric.columns(own.state), own.rows.sum(axis=0), strict=True)) == {
        "tp:a": 0, "tp:b": 1, "fp:a": 0, "fp:b": 0, "fn:a": 1, "fn:b": 0,
    }  # fmt: skip
    assert Accuracy().score(FAILED, Labels(("a",))) == 0.0
    assert value(SampleF1(zero_division=1), [None], [()]) == 0.0
    assert value(SampleF1(zero_division=1), [()], [()]) == 1.0


def test_several_labels_in_a_single_label_task_are_none_of_the_classes() -> None:
    truth = [("edema",), ("nodule",), ("edema",)]
    for name in ("balanced-accuracy", "mcc", "kappa"):
        metric = METRICS[name]()
        several_said = value(metric, [("edema", "nodule"), ("nodule",), ("edema",)], truth)
        assert several_said == value(metric, [None, ("nodule",), ("edema",)], truth) < 1


def test_labels_whose_score_reaches_the_threshold_are_predicted() -> None:
    scores = {"edema": 0.5, "nodule": 0.49, "unknown": 0.9}
    predictions = [
        Prediction(("nodule",), scores=scores),
        Prediction(("nodule",)),
        Prediction(None, Failure("refused"), scores),
    ]
    targets = [Labels(("edema",)), Labels(("nodule",)), Labels(("edema",))]
    metric = F1("micro", threshold=0.5)
    rows = metric.rows(predictions, targets, CLASSES)
    assert rows.sum(axis=0).reshape(5, 3).tolist()[1] == [1, 0, 1]
    assert rows.sum(axis=0).reshape(5, 3).tolist()[3] == [1, 0, 0]
    assert SampleF1(threshold=0.5).scores(predictions, targets, CLASSES).tolist() == [1, 1, 0]
    assert SampleF1().scores(predictions, targets, CLASSES).tolist() == [0, 1, 0]


@given(st.lists(st.tuples(st.none() | some, some), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_order_and_batches_change_nothing(pairs: Any, random: Any) -> None:
    shuffled, cut = random.sample(pairs, len(pairs)), random.randrange(len(pairs) + 1)
    for metric in (
        Accuracy(),
        F1(),
        F1("weighted"),
        F1(over="fixed", zero_division=1),
        F1(label="edema"),
        SampleF1(),
        LabelAccuracy(),
    ):
        whole = measure(metric, *zip(*pairs, strict=True))
        assert point(whole) == pytest.approx(value(metric, *zip(*shuffled, strict=True)), abs=1e-12, nan_ok=True)
        parts = [
            measure(metric, [p for p, _ in part], [t for _, t in part]).rows for part in (pairs[:cut], pairs[cut:])
        ]
        assert (np.concatenate(parts) == whole.rows).all()


@given(st.lists(one, min_size=2, max_size=20))
def test_the_truth_itself_scores_one(truth: list[str]) -> None:
    answers = [(t,) for t in truth]
    for name, factory in METRICS.items():
        if name != "kappa" or len(set(truth)) > 1:
            assert value(factory(), answers, answers) == (0 if name == "mcc" and len(set(truth)) == 1 else 1), name


def test_pooled_tasks_of_different_classes_equal_one_task() -> None:
    for metric in (Agreement("mcc"), Agreement("kappa"), Agreement("balanced-accuracy"), F1("weighted"), F1(label="b")):
        first = measure(metric, [("a",), ("b",), ("a",)], [("a",), ("b",), ("b",)], ("a", "b"))
        second = measure(metric, [("c",), ("b",)], [("b",), ("b",)], ("b", "c"))
        pooled = pool([(m, metric.columns(m.state)) for m in (first, second)])
        together = value(metric, [("a",), ("b",), ("a",), ("c",), ("b",)], [("a",), *[("b",)] * 4], ("a", "b", "c"))
        assert point(pooled) == pytest.approx(together, abs=1e-12)


def test_signatures_of_the_first_tasks_stay() -> None:
    assert Accuracy().signature(()) == "accuracy|match:exact-set|failed:wrong|v:1"
    assert F1().signature(CLASSES) == "f1|avg:macro|over:present|classes:5|zero:0|failed:fn|v:1"
    assert F1("micro").signature(CLASSES) == "f1|avg:micro|classes:5|zero:0|failed:fn|v:1"
    options = [{}, {"average": "weighted"}, {"over": "truth"}, {"over": "fixed"}, {"label": "edema"}, {"threshold": 0.5},
               {"over": "fixed", "zero_division": 1}, {"over": "fixed", "zero_division": "nan"}]  # fmt: skip
    assert len({F1(**o).signature(CLASSES) for o in options}) == len(options)  # type: ignore[arg-type]


def test_specs_take_options_and_name_them() -> None:
    metric = construct(METRICS["f1"], "f1", [], {"over": "fixed", "zero_division": "nan"})
    assert "zero:nan" in metric.signature(CLASSES)
    assert "average" not in options_of(METRICS["kappa"])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: F1("mean"), "average is 'mean', expected one of macro, micro, weighted"),  # type: ignore[arg-type]
        (lambda: F1(over="fixed", zero_division=2), "zero_division is 2, expected 0, 1 or nan"),
        (lambda: F1(zero_division=1), "needs over=fixed"),
    ],
)
def test_wrong_options_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_wrong_targets_are_refused() -> None:
    with pytest.raises(TypeError, match="expected a Labels target, got Mask"):
        Accuracy().score(Prediction(("a",)), Mask())
    with pytest.raises(DataError, match="label 'flu', none of abscess"):
        F1().rows([FAILED], [Labels(("flu",))], CLASSES)
    with pytest.raises(DataError, match="label is 'flu', none of the classes abscess"):
        F1(label="flu").fit([], CLASSES)
    with pytest.raises(DataError, match="2 labels, Cohen's kappa needs one"):
        Agreement("kappa").rows([FAILED], [Labels(("edema", "nodule"))], CLASSES)
