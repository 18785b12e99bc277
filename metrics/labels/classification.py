"""Accuracy and F1 over closed label sets, single- and multi-label.

References: scikit-learn 1.7 ``accuracy_score`` and ``f1_score``, which torchmetrics 1.9 F1 equals. A failed answer
predicts no label: it is wrong, a false negative of its true labels and nobody's false positive.

F1 is a function of each class's true positives, false positives and false negatives: rows are three columns a class,
whatever the average. For Matthews correlation and its kin see :mod:`radbench.metrics.labels.agreement`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from radbench.metrics.base import Additive, Card, Mean, State, finite, one_of, ratio

from radbench.errors import DataError
from radbench.records import Labels, Prediction, Target
from radbench.statistics import Clusters, Floats, cluster_sums

ZeroDivision = float | Literal["nan"]
Average = Literal["macro", "micro", "weighted"]
Over = Literal["present", "truth", "fixed"]


def true_names(target: Target) -> tuple[str, ...]:
    """The labels of a target. Raises TypeError where it is no Labels."""
    if not isinstance(target, Labels):
        raise TypeError(f"expected a Labels target, got {type(target).__name__}")
    return target.names


def label_classes(targets: Iterable[Target], choices: Sequence[str]) -> tuple[str, ...]:
    """The task's closed set, else the labels in the targets, sorted."""
    return tuple(choices) or tuple(sorted({name for target in targets for name in true_names(target)}))


def class_number(index: Mapping[str, int], name: str) -> int:
    """The number of a target's class. Raises :class:`DataError` where the closed set lacks it."""
    try:
        return index[name]
    except KeyError:
        known = ", ".join(index)
        raise DataError(
            f"a target has the label '{name}', none of {known}", remedy="add it to the task's choices"
        ) from None


def checked_label(label: str | int | None, classes: tuple[str, ...]) -> tuple[str, ...]:
    """``classes``, once ``label`` is known to be one of them. Raises :class:`DataError`: classes may stem from the data."""
    if label is not None and str(label) not in classes:
        raise DataError(f"label is '{label}', none of the classes {', '.join(classes)}", remedy="name one of them")
    return classes


def named(prediction: Prediction, threshold: float | None = None) -> tuple[str, ...] | None:
    """The predicted labels: those whose score reaches ``threshold`` where both are there, else the parsed ones.

    None for a failed answer.
    """
    if threshold is not None and prediction.scores is not None and prediction.failure is None:
        return tuple(name for name, score in prediction.scores.items() if score >= threshold)
    return None if prediction.value is None else tuple(prediction.value)


def f1_of_counts(
    tp: Floats, fp: Floats, fn: Floats, average: Average = "macro", over: Over = "present", undefined: float = 0.0
) -> Floats:
    """(..., K) counts of each class to (...) averaged F1; options as :class:`F1` has them, nan where undefined."""
    if average == "micro":
        tp, fp, fn = tp.sum(axis=-1), fp.sum(axis=-1), fn.sum(axis=-1)
        return ratio(2 * tp, 2 * tp + fp + fn)
    counted = (tp + fp + fn) > 0
    per_class = ratio(2 * tp, 2 * tp + fp + fn, undefined=undefined)
    if average == "weighted":
        return ratio((np.where(counted, per_class, 0.0) * (tp + fn)).sum(axis=-1), (tp + fn).sum(axis=-1))
    if over == "fixed" and not np.isnan(undefined):
        return per_class.mean(axis=-1)
    if over == "truth":
        counted = (tp + fn) > 0
    total = np.where(counted, per_class, 0.0).sum(axis=-1)
    return ratio(total, counted.sum(axis=-1).astype(np.float64))


def _undefined(zero_division: Any) -> float:
    if str(zero_division) not in ("0", "1", "nan", "0.0", "1.0"):
        raise ValueError(f"zero_division is {zero_division!r}, expected 0, 1 or nan")
    return float(zero_division)


class Accuracy(Mean):
    """Share of samples whose label set is predicted exactly (single-label: the right label)."""

    accepts = (Labels,)

    card = Card(
        "Accuracy",
        "correct / n; multi-label: the whole set must match",
        "0 to 1, higher is better",
        "scikit-learn accuracy_score",
    )

    def score(self, prediction: Prediction, target: Target) -> float:
        value = prediction.value
        if value is None:
            return 0.0
        names = true_names(target)
        return float(value == names or set(value) == set(names))

    def signature(self, state: State) -> str:
        return "accuracy|match:exact-set|failed:wrong|v:1"


class LabelAccuracy(Mean):
    """Share of yes/no decisions, one a class of the closed set, that are right: 1 minus the Hamming loss."""

    accepts = (Labels,)
    card = Card(
        "Accuracy by label",
        "share of the classes on which prediction and truth agree (named by both or by neither), mean over samples",
        "0 to 1, higher is better; naming nothing scores high where labels are rare",
        "scikit-learn 1.7: 1 - hamming_loss",
        failed="a failed answer scores 0",
    )

    def fit(self, targets: Iterable[Target], choices: Sequence[str]) -> State:
        """The class list: the task's closed set, else the labels in the targets, sorted."""
        return label_classes(targets, choices)

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        classes = set(state)
        out = np.zeros(len(targets))
        for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
            if prediction.value is not None:
                out[i] = 1 - len(classes & set(prediction.value) ^ classes & set(true_names(target))) / len(state)
        return out

    def signature(self, state: State) -> str:
        return f"label-accuracy|classes:{len(state)}|failed:0|v:1"


class ClassCounts(Additive):
    """True positives, false positives and false negatives of each class; the state is the class list."""

    accepts = (Labels,)
    threshold: float | None = None

    def fit(self, targets: Iterable[Target], choices: Sequence[str]) -> State:
        """The class list: the task's closed set, else the labels in the targets, sorted."""
        return label_classes(targets, choices)

    def columns(self, state: State) -> tuple[str, ...]:
        # Three adjacent columns a class, so that pooling tasks of different classes keeps them together.
        return tuple(f"{kind}:{label}" for label in state for kind in ("tp", "fp", "fn"))

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        index = {label: i for i, label in enumerate(state)}
        truth = np.zeros((len(targets), len(state)), bool)
        said = np.zeros((len(targets), len(state)), bool)
        for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
            for name in true_names(target):
                truth[i, class_number(index, name)] = True
            for name in named(prediction, self.threshold) or ():
                if name in index:  # an option of this sample alone, outside the task's classes: a miss
                    said[i, index[name]] = True
        counts = np.stack([truth & said, ~truth & said, truth & ~said], axis=2)
        return counts.reshape(len(targets), 3 * len(state)).astype(np.float64)

    def sample_scores(self, rows: Floats, state: State) -> Floats | None:
        return None  # the score of one sample is only its correctness

    @abstractmethod
    def by_class(self) -> bool:
        """Whether a class counts as much as any other, however rare."""

    def classes_of(self, rows: Floats, state: State) -> NDArray[np.bool_] | None:
        return rows[:, 0::3] + rows[:, 2::3] > 0 if self.by_class() else None

    def reach(self, rows: Floats, state: State, clusters: Clusters) -> float | None:
        return reach_of_counts(self, rows, state, clusters)


def reach_of_counts(metric: Additive, rows: Floats, state: State, clusters: Clusters) -> float:
    """:meth:`Metric.reach` of a metric of each class's true positives, false positives and false negatives."""
    counts = cluster_sums(rows, clusters)
    others = counts.sum(axis=0) - counts
    right, failed = np.zeros_like(counts), np.zeros_like(counts)
    right[:, 0::3] = failed[:, 2::3] = counts[:, 0::3] + counts[:, 2::3]
    moved = np.abs(metric.reduce(others + right, state) - metric.reduce(others + failed, state))
    return float(np.nan_to_num(moved).max(initial=0.0))


class F1(ClassCounts):
    """F1 from per-class true positives, false positives and false negatives.

    ``average``: ``macro``, ``micro`` or ``weighted`` by the number of true samples. ``over``: macro over the labels
    ``present`` in truth or prediction (scikit-learn for one label a sample; for several, its ``zero_division=nan``), over
    those in the ``truth``, or over all labels, ``fixed``, an absent one counting ``zero_division`` (0, 1 or nan: left
    out; scikit-learn for several labels a sample). ``label``: the F1 of that class alone, as for a binary task.
    ``threshold``: where the model gave scores, labels whose score reaches it are predicted.
    """

    def __init__(
        self,
        average: Average = "macro",
        over: Over = "present",
        zero_division: ZeroDivision = 0,
        label: str | int | None = None,
        threshold: float | None = None,
    ) -> None:
        one_of("average", average, ("macro", "micro", "weighted"))
        one_of("over", over, ("present", "truth", "fixed"))
        self.average, self.over, self.undefined = average, over, _undefined(zero_division)
        if self.undefined != 0 and over != "fixed" and label is None:
            raise ValueError(
                f"zero_division is {zero_division}, which needs over=fixed: elsewhere no class is undefined"
            )
        self.label = None if label is None else str(label)
        self.threshold = None if threshold is None else finite("threshold", threshold)
        self.card = Card(
            f"F1 of '{self.label}'" if label is not None else f"{average}-averaged F1",
            "per class 2 TP / (2 TP + FP + FN); macro: mean over classes; micro: of the summed counts; weighted: mean"
            " weighted by true samples",
            "0 to 1, higher is better",
            "scikit-learn f1_score",
            failed="a failed answer is a false negative of its true labels",
        )

    def columns(self, state: State) -> tuple[str, ...]:
        columns = super().columns(state)
        return columns if self.label is None else columns[:3]

    def fit(self, targets: Iterable[Target], choices: Sequence[str]) -> State:
        """The class list; with ``label`` that class first. Raises :class:`DataError` where it is none of them."""
        classes = checked_label(self.label, label_classes(targets, choices))
        return tuple(sorted(classes, key=lambda name: name != self.label)) if self.label is not None else classes

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        rows = super().rows(predictions, targets, state)
        return rows if self.label is None else rows[:, :3]

    def reduce(self, sums: Floats, state: State) -> Floats:
        tp, fp, fn = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
        if self.label is not None:
            return ratio(2 * tp, 2 * tp + fp + fn, undefined=self.undefined)[..., 0]
        return f1_of_counts(tp, fp, fn, self.average, self.over, self.undefined)

    def by_class(self) -> bool:
        return self.average == "macro" and self.label is None

    def signature(self, state: State) -> str:
        over = f"|over:{self.over}" if self.average == "macro" else ""
        average = f"|avg:{self.average}{over}" if self.label is None else f"|label:{self.label}"
        threshold = "" if self.threshold is None else f"|threshold:{self.threshold:g}"
        return f"f1{average}|classes:{len(state)}|zero:{self.undefined:g}{threshold}|failed:fn|v:1"


class SampleF1(Mean):
    """Mean over samples of the F1 of the predicted against the true label set (scikit-learn ``average="samples"``).

    ``zero_division`` (0, 1 or nan: left out) is the score of a sample whose two sets are empty; a failed answer scores 0.
    """

    accepts = (Labels,)
    card = Card(
        "F1 per sample",
        "2 |P ∩ T| / (|P| + |T|) of the label sets, averaged over samples",
        "0 to 1, higher is better",
        "scikit-learn f1_score(average='samples')",
    )

    def __init__(self, zero_division: ZeroDivision = 0, threshold: float | None = None) -> None:
        self.undefined = _undefined(zero_division)
        self.threshold = None if threshold is None else finite("threshold", threshold)

    def fit(self, targets: Iterable[Target], choices: Sequence[str]) -> State:
        """The class list: the task's closed set, else the labels in the targets, sorted."""
        return label_classes(targets, choices)

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        classes = set(state)
        return np.array([self._f1(p, t, classes) for p, t in zip(predictions, targets, strict=True)], np.float64)

    def _f1(self, prediction: Prediction, target: Target, classes: set[str]) -> float:
        names, true = named(prediction, self.threshold), set(true_names(target))
        if names is None:
            return 0.0
        said = classes.intersection(names)
        return 2 * len(said & true) / (len(said) + len(true)) if said or true else self.undefined

    def signature(self, state: State) -> str:
        threshold = "" if self.threshold is None else f"|threshold:{self.threshold:g}"
        return f"f1|avg:samples|zero:{self.undefined:g}{threshold}|failed:0|v:1"


METRICS = {
    "accuracy": Accuracy,
    "label-accuracy": LabelAccuracy,
    "f1": F1,
    "f1-macro": F1,
    "f1-micro": partial(F1, "micro"),
    "f1-weighted": partial(F1, "weighted"),
    "f1-samples": SampleF1,
}
