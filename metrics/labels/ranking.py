"""Ranking of labels by a model's scores: area under the ROC curve and average precision (AUPRC).

References: scikit-learn 1.7 ``roc_auc_score`` and ``average_precision_score`` with ``sample_weight``. Fawcett 2006, "An
introduction to ROC analysis"; average precision is the step-wise area without interpolation. Scores come from models
that give them (``Prediction.scores``: probabilities or log-likelihoods of the options); only their order counts.

A sample or label without a score is never dropped: it ranks worst, below all others where the label is true and above
all others where it is false. Where no sample has a score the value is undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from radbench.metrics.base import Card, Metric, State, one_of, ratio
from radbench.metrics.labels.classification import checked_label, class_number, label_classes, true_names

from radbench.records import Labels, Prediction, Target
from radbench.statistics import Clusters, Floats, cluster_sums

_BLOCK = 1 << 22  # weights sorted at a time, 32 MiB
Curve = Callable[[Floats, Floats], Floats]


def auroc(scores: Floats, truth: NDArray[np.bool_], weights: Floats) -> Floats:
    """(B,) area under the ROC curve of (n,) scores of (n,) outcomes under (B, n) weights, 0 to 1, ties count half.

    nan where an outcome has no weight. Source: scikit-learn ``roc_auc_score``.
    """
    return _under_weights(_roc_area, scores, truth, weights)


def average_precision(scores: Floats, truth: NDArray[np.bool_], weights: Floats) -> Floats:
    """(B,) Σ (recall step x precision) over the distinct (n,) scores, falling, under (B, n) weights, 0 to 1.

    nan where an outcome has no weight. Source: scikit-learn ``average_precision_score``.
    """
    return _under_weights(_precision_area, scores, truth, weights)


def _roc_area(positive: Floats, negative: Floats) -> Floats:
    """From the cumulated positive and negative weight at each distinct score, falling: (B, g) to (B,)."""
    above = positive - np.diff(positive, axis=1, prepend=0.0) / 2
    area = (np.diff(negative, axis=1, prepend=0.0) * above).sum(axis=1)
    return ratio(area, positive[:, -1] * negative[:, -1])


def _precision_area(positive: Floats, negative: Floats) -> Floats:
    precision = ratio(positive, positive + negative, undefined=0.0)
    area = (np.diff(positive, axis=1, prepend=0.0) * precision).sum(axis=1)
    return np.where(negative[:, -1] > 0, ratio(area, positive[:, -1]), np.nan)


def _under_weights(
    curve: Curve, scores: Floats, truth: NDArray[np.bool_], weights: Floats, sample: NDArray[np.intp] | None = None
) -> Floats:
    """The area of a curve; ``sample`` names the column of ``weights`` of each score where that is not its own."""
    out = np.full(len(weights), np.nan)
    if len(scores) == 0:
        return out
    order = np.argsort(-scores, kind="stable")
    column = order if sample is None else sample[order]
    falling = scores[order]
    ends = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(order) - 1)  # the last of each run of ties
    is_true = truth[order]
    for block in _blocks(len(weights), len(order)):
        weight = weights[block][:, column]
        everything = np.cumsum(weight, axis=1)[:, ends]
        positive = np.cumsum(weight * is_true, axis=1)[:, ends]
        out[block] = curve(positive, everything - positive)
    return out


def _blocks(rows: int, width: int) -> Iterator[slice]:
    height = max(1, _BLOCK // max(width, 1))
    for first in range(0, rows, height):
        yield slice(first, first + height)


class Ranking(Metric):
    """AUROC or AUPRC of the labels of a closed set, one label against the rest.

    ``average``: ``macro`` over the classes that are true of some samples and false of others, or ``micro`` over all
    (sample, class) cells. ``label``: that class alone. Single- and multi-label targets.
    """

    accepts = (Labels,)

    def __init__(
        self,
        value: Literal["auroc", "auprc"],
        average: Literal["macro", "micro"] = "macro",
        label: str | int | None = None,
    ) -> None:
        one_of("value", value, ("auroc", "auprc"))
        one_of("average", average, ("macro", "micro"))
        self.kind, self.average = value, average
        self.curve: Curve = _roc_area if value == "auroc" else _precision_area
        self.label = None if label is None else str(label)
        formula, source = {
            "auroc": ("P(score of a true label > score of a false one), ties count half", "roc_auc_score"),
            "auprc": ("Σ (recall step x precision) over falling scores", "average_precision_score"),
        }[value]
        self.card = Card(
            "Area under the ROC curve" if value == "auroc" else "Average precision",
            f"{formula}; {f'of {self.label!r}' if label is not None else average}; undefined where no sample has scores",
            "0 to 1, higher is better",
            f"scikit-learn 1.7 {source}",
            failed="a label without a score ranks last where it is true, first where it is false",
        )

    def fit(self, targets: Iterable[Target], choices: Sequence[str]) -> State:
        """The class list. Raises :class:`DataError` where ``label`` is none of it."""
        return checked_label(self.label, label_classes(targets, choices))

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        """(n, 2 K): each class's score, nan where there is none, then whether it is true."""
        index = {label: i for i, label in enumerate(state)}
        scores = np.full((len(targets), len(state)), np.nan)
        truth = np.zeros((len(targets), len(state)))
        for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
            for name in true_names(target):
                truth[i, class_number(index, name)] = 1.0
            if prediction.failure is None and prediction.scores is not None:
                for name, score in prediction.scores.items():
                    if name in index:
                        scores[i, index[name]] = score
        return np.concatenate([scores, truth], axis=1)

    def value(self, rows: Floats, weights: Floats, state: State) -> Floats:
        if len(rows) == 0 or len(state) == 0:
            return np.full(len(weights), np.nan)
        scores, truth = rows[:, : len(state)], self._truth(rows)
        given = weights @ (~np.isnan(scores)).any(axis=1) > 0
        ranked = np.where(np.isnan(scores), np.where(truth, -np.inf, np.inf), scores)
        if self.label is not None:
            k = tuple(state).index(self.label)
            values = _under_weights(self.curve, ranked[:, k], truth[:, k], weights)
        elif self.average == "micro":
            sample = np.repeat(np.arange(len(rows)), len(state))
            values = _under_weights(self.curve, ranked.ravel(), truth.ravel(), weights, sample)
        else:
            each = np.stack(
                [_under_weights(self.curve, ranked[:, k], truth[:, k], weights) for k in range(len(state))], axis=1
            )
            defined = ~np.isnan(each)
            values = ratio(np.where(defined, each, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))
        return np.where(given, values, np.nan)

    @staticmethod
    def _truth(rows: Floats) -> NDArray[np.bool_]:
        return rows[:, rows.shape[1] // 2 :] > 0

    def _ranked(self, truth: Floats, state: State) -> Floats:
        """Of (n, K) numbers a class those of each curve, (n, curves)."""
        if self.label is not None:
            k = tuple(state).index(self.label)
            return truth[:, k : k + 1]
        return truth.sum(axis=1, keepdims=True) if self.average == "micro" else truth

    def classes_of(self, rows: Floats, state: State) -> NDArray[np.bool_] | None:
        """True of a class, and false of it, for each class that has both."""
        truth = self._truth(rows)
        sides = [self._ranked(side.astype(np.float64), state) > 0 for side in (truth, ~truth)]
        both = sides[0].any(axis=0) & sides[1].any(axis=0)
        return np.concatenate([side[:, both] for side in sides], axis=1)

    def reach(self, rows: Floats, state: State, clusters: Clusters) -> float | None:
        """The share of the (true, false) pairs of a class that one cluster takes part in, averaged as the value is: for
        AUROC all of them are won or lost, for average precision it is about as much."""
        truth = self._truth(rows)
        true, false = (cluster_sums(self._ranked(side.astype(np.float64), state), clusters) for side in (truth, ~truth))
        in_true, in_false = (ratio(own, own.sum(axis=0), undefined=np.nan) for own in (true, false))
        pairs = in_true + in_false - in_true * in_false
        pairs = pairs[:, ~np.isnan(pairs).any(axis=0)]
        return float(pairs.mean(axis=1).max()) if pairs.size else None

    def signature(self, state: State) -> str:
        over = f"avg:{self.average}" if self.label is None else f"label:{self.label}"
        return f"{self.kind}|{over}|classes:{len(state)}|ties:half|no-score:worst|v:1"


METRICS = {"auroc": partial(Ranking, "auroc"), "auprc": partial(Ranking, "auprc")}
