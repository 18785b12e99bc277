"""Agreement of single-label answers with the truth: balanced and macro accuracy, Matthews correlation, Cohen's kappa.

References: scikit-learn 1.7 ``balanced_accuracy_score``, ``matthews_corrcoef`` and ``cohen_kappa_score``; torchmetrics 1.9
macro ``Accuracy``, which MultiMedEval reports. All are functions of each class's true positives, false positives and
false negatives: no K x K table is needed, whatever the number of classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
from radbench.metrics.base import Card, State, one_of, ratio
from radbench.metrics.labels.classification import ClassCounts, named, true_names

from radbench.errors import DataError
from radbench.records import Prediction, Target
from radbench.statistics import Floats

Kind = Literal["balanced-accuracy", "accuracy-macro", "mcc", "kappa"]
_AGREEMENT: dict[Kind, tuple[str, str, str, str]] = {
    "balanced-accuracy": ("Balanced accuracy", "mean recall over the classes in the truth", "0 to 1, higher is better",
                          "scikit-learn balanced_accuracy_score"),
    "accuracy-macro": ("Macro accuracy", "mean recall over the classes in truth or prediction: one that is only"
                       " predicted counts 0", "0 to 1, higher is better",
                       "torchmetrics 1.9.0 macro Accuracy, as in MultiMedEval"),
    "mcc": ("Matthews correlation", "(c n - Σ t p) / sqrt((n² - Σ p²) (n² - Σ t²)) with c correct of n samples, t true and"
            " p predicted of each class; 0 where undefined", "-1 to 1, higher is better",
            "Gorodkin 2004; scikit-learn matthews_corrcoef"),
    "kappa": ("Cohen's kappa", "(a - e) / (1 - e) with a the agreement, e = Σ t p / n² the one expected by chance",
              "-1 to 1, higher is better", "Cohen 1960; scikit-learn cohen_kappa_score"),
}  # fmt: skip


def agreement_of_counts(kind: Kind, tp: Floats, fp: Floats, fn: Floats) -> Floats:
    """(..., K) counts of each class of single-label answers to (...) values of an :class:`Agreement`."""
    said, true = tp + fp, tp + fn
    if kind in ("balanced-accuracy", "accuracy-macro"):
        counted = true > 0 if kind == "balanced-accuracy" else (true > 0) | (said > 0)
        return ratio(ratio(tp, true, undefined=0.0).sum(axis=-1), counted.sum(axis=-1).astype(np.float64))
    n = true.sum(axis=-1)
    none = n - said.sum(axis=-1)
    hits, chance = tp.sum(axis=-1), (true * said).sum(axis=-1)
    if kind == "kappa":
        return ratio(hits * n - chance, n * n - chance)
    spread = (n * n - (said * said).sum(axis=-1) - none * none) * (n * n - (true * true).sum(axis=-1))
    return np.where(n > 0, ratio(hits * n - chance, np.sqrt(np.maximum(spread, 0.0)), undefined=0.0), np.nan)


class Agreement(ClassCounts):
    """Balanced or macro accuracy, Matthews correlation or Cohen's kappa of single-label answers.

    An answer that names none of the classes, or several, is a prediction of none: for Matthews correlation and kappa a
    further class that is never true.
    """

    def __init__(self, value: Kind) -> None:
        one_of("value", value, tuple(_AGREEMENT))
        self.kind = value
        self.card = Card(*_AGREEMENT[value], failed="a failed answer predicts none of the classes")

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        for target in targets:
            if len(true_names(target)) != 1:
                raise DataError(
                    f"a target has {len(true_names(target))} labels, {self.card.title} needs one a sample",
                    remedy="use f1-macro, f1-samples or accuracy for several labels a sample",
                )
        single = [p if len(named(p) or ()) == 1 else Prediction(None) for p in predictions]
        return super().rows(single, targets, state)

    def reduce(self, sums: Floats, state: State) -> Floats:
        return agreement_of_counts(self.kind, sums[..., 0::3], sums[..., 1::3], sums[..., 2::3])

    def by_class(self) -> bool:
        return self.kind in ("balanced-accuracy", "accuracy-macro")

    def signature(self, state: State) -> str:
        return f"{self.kind}|classes:{len(state)}|failed:none|v:1"


METRICS = {name: partial(Agreement, name) for name in _AGREEMENT}
