"""Accuracy and F1 over closed label sets, single- and multi-label.

References: scikit-learn 1.7 ``accuracy_score`` and ``f1_score`` (macro over the labels in truth or prediction, micro),
which torchmetrics 1.9 macro F1 equals. A failed answer predicts no label: it is wrong, a false negative of its true
labels and nobody's false positive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from radbench.metrics.base import Additive, Card, Mean, State, one_of, ratio

from radbench.records import Labels, Prediction, Target
from radbench.statistics import Floats


def _names(target: Target) -> tuple[str, ...]:
    if not isinstance(target, Labels):
        raise TypeError(f"expected a Labels target, got {type(target).__name__}")
    return target.names


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
        names = _names(target)
        return float(value == names or set(value) == set(names))

    def signature(self, state: State) -> str:
        return "accuracy|match:exact-set|failed:wrong|v:1"


class F1(Additive):
    """F1 from per-class true positives, false positives and false negatives.

    ``average``: ``macro`` or ``micro``. ``over``: macro over the labels ``present`` in truth or prediction
    (scikit-learn for one label a sample; for several, its ``zero_division=nan``) or over all labels, ``fixed``, an absent
    one counting 0 (scikit-learn for several labels a sample).
    """

    accepts = (Labels,)

    def __init__(
        self, average: Literal["macro", "micro"] = "macro", over: Literal["present", "fixed"] = "present"
    ) -> None:
        one_of("average", average, ("macro", "micro"))
        one_of("over", over, ("present", "fixed"))
        self.average, self.over = average, over
        self.card = Card(
            f"{average}-averaged F1",
            "per class 2 TP / (2 TP + FP + FN); macro: mean over classes; micro: of the summed counts",
            "0 to 1, higher is better",
            "scikit-learn f1_score",
            failed="a failed answer is a false negative of its true labels",
        )

    def fit(self, targets: Iterable[Target], choices: Sequence[str]) -> State:
        """The class list: the task's closed set, else the labels in the targets, sorted."""
        return tuple(choices) or tuple(sorted({name for t in targets for name in _names(t)}))

    def columns(self, state: State) -> tuple[str, ...]:
        # Three adjacent columns a class, so that pooling tasks of different classes keeps them together.
        return tuple(f"{kind}:{label}" for label in state for kind in ("tp", "fp", "fn"))

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        index = {label: i for i, label in enumerate(state)}
        width = len(state)
        truth = np.zeros((len(targets), width), bool)
        said = np.zeros((len(targets), width), bool)
        for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
            for name in _names(target):
                truth[i, index[name]] = True
            for name in prediction.value or ():
                if name in index:  # an option of this sample alone, outside the task's classes: a miss
                    said[i, index[name]] = True
        return (
            np.stack([truth & said, ~truth & said, truth & ~said], axis=2).reshape(len(targets), -1).astype(np.float64)
        )

    def reduce(self, sums: Floats, state: State) -> Floats:
        tp, fp, fn = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
        if self.average == "micro":
            tp, fp, fn = tp.sum(axis=-1), fp.sum(axis=-1), fn.sum(axis=-1)
            return ratio(2 * tp, 2 * tp + fp + fn)
        present = (tp + fp + fn) > 0
        per_class = ratio(2 * tp, 2 * tp + fp + fn, undefined=0.0)
        if self.over == "fixed":
            return per_class.mean(axis=-1)
        return ratio(per_class.sum(axis=-1), present.sum(axis=-1).astype(np.float64))

    def sample_scores(self, rows: Floats, state: State) -> Floats | None:
        return None  # the F1 of one sample is only its correctness

    def signature(self, state: State) -> str:
        over = f"|over:{self.over}" if self.average == "macro" else ""
        return f"f1|avg:{self.average}{over}|classes:{len(state)}|zero:0|failed:fn|v:1"


METRICS = {
    "accuracy": Accuracy,
    "f1": F1,
    "f1-macro": F1,
    "f1-micro": lambda: F1(average="micro"),
}
