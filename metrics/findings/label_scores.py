"""F1, precision and recall of label matrices in the CheXpert order, as scikit-learn's classification report computes them.

f1chexbert 0.0.2 prints that report (scikit-learn 1.7, zero_division 0); CheXbert F1 and ``chexpert-rules-f1`` share this
arithmetic. Classes are 0 blank, 1 positive, 2 negative, 3 uncertain; labels are 0/1 matrices (n, k).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from radbench.metrics.base import Additive, State, one_of, ratio
from radbench.metrics.findings.observations import POSITIVE, UNCERTAIN
from radbench.metrics.labels.classification import reach_of_counts

from radbench.statistics import Clusters, Floats

Average = Literal["micro", "macro", "weighted", "samples"]
Part = Literal["f1", "precision", "recall"]


def binary_labels(classes: NDArray[Any], uncertain: str = "positive") -> NDArray[np.int8]:
    """Classes (n, k) to 0/1 (n, k): positive is 1, uncertain as told (``positive``, ``negative``), blank and negative are 0.

    ``uncertain="positive"`` is f1chexbert's mode ``rrg``. Raises ValueError for another ``uncertain``.
    """
    one_of("uncertain", uncertain, ("positive", "negative"))
    said = classes == POSITIVE
    return (said | (classes == UNCERTAIN) if uncertain == "positive" else said).astype(np.int8)


def counts(reference: NDArray[Any], predicted: NDArray[Any]) -> Floats:
    """True positives, false positives, false negatives of 0/1 labels (n, k): (n, 3 k), the three adjacent for a class.

    Raises ValueError where the two differ in shape.
    """
    truth, said = np.asarray(reference, bool), np.asarray(predicted, bool)
    if truth.shape != said.shape or truth.ndim != 2:
        raise ValueError(f"label matrices of shapes {truth.shape} and {said.shape}, expected the same (n, classes)")
    stacked = np.stack([truth & said, ~truth & said, truth & ~said], axis=2)
    return stacked.reshape(len(truth), -1).astype(np.float64)


def score_of(tp: Floats, fp: Floats, fn: Floats, part: str) -> Floats:
    """F1, precision or recall (0 to 1, higher is better) of counts of any shape; 0 where undefined (zero_division 0)."""
    if part == "precision":
        return ratio(tp, tp + fp, undefined=0.0)
    if part == "recall":
        return ratio(tp, tp + fn, undefined=0.0)
    return ratio(2 * tp, 2 * tp + fp + fn, undefined=0.0)


def from_counts(sums: Floats, average: str = "micro", part: str = "f1") -> Floats:
    """Score of summed :func:`counts` (..., 3 k) to (...): ``micro``, ``macro`` or ``weighted`` by the true positives' number.

    Every 0/0 is 0, so a class that neither side has counts 0 in the macro average (scikit-learn, zero_division=0).
    """
    tp, fp, fn = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
    if average == "micro":
        return score_of(tp.sum(axis=-1), fp.sum(axis=-1), fn.sum(axis=-1), part)
    per_class = score_of(tp, fp, fn, part)
    if average == "macro":
        return per_class.mean(axis=-1)
    support = tp + fn
    return ratio((per_class * support).sum(axis=-1), support.sum(axis=-1), undefined=0.0)


def per_sample(rows: Floats, part: str = "f1") -> Floats:
    """Score of each report over its classes, (n, 3 k) counts to (n,); a report without any label on both sides is 0."""
    return from_counts(rows, "micro", part)


class LabelScore(Additive):
    """What metrics over 0/1 labels of named classes share: rows of counts, their reduction, the score of one sample.

    A subclass sets ``average`` and ``part``, names its classes and hands the labels of a batch to :meth:`rows_of`.
    """

    average: Average
    part: Part

    @abstractmethod
    def names(self) -> Sequence[str]:
        """The classes, in the order of the label columns."""

    def columns(self, state: State) -> tuple[str, ...]:
        if self.average == "samples":
            return ("sum", "n")
        return tuple(f"{kind}:{name}" for name in self.names() for kind in ("tp", "fp", "fn"))

    def rows_of(self, true: NDArray[Any], predicted: NDArray[Any]) -> Floats:
        """Rows of the labels (n, k) of n references and predictions."""
        rows = counts(true, predicted)
        if self.average == "samples":
            return np.stack([per_sample(rows, self.part), np.ones(len(rows))], axis=1)
        return rows

    def reduce(self, sums: Floats, state: State) -> Floats:
        if self.average == "samples":
            return ratio(sums[..., 0], sums[..., 1])
        return from_counts(sums, self.average, self.part)

    def classes_of(self, rows: Floats, state: State) -> NDArray[np.bool_] | None:
        return rows[:, 0::3] + rows[:, 2::3] > 0 if self.average == "macro" else None

    def reach(self, rows: Floats, state: State, clusters: Clusters) -> float | None:
        return None if self.average == "samples" else reach_of_counts(self, rows, state, clusters)

    def sample_scores(self, rows: Floats, state: State) -> Floats | None:
        # One report's macro or weighted F1 over classes it does not mention says nothing of the report.
        return self.reduce(rows, state) if self.average in ("micro", "samples") else None


def fewest_differences(reference: NDArray[Any], predicted: NDArray[Any], first: NDArray[np.intp]) -> NDArray[np.intp]:
    """(n,) index of the pair that counts of each sample's alternatives: the first with the fewest differing labels.

    ``reference`` and ``predicted`` are (N, k) labels of N >= n pairs, ``first`` (n,) the index of each sample's first pair.
    """
    differences = (reference != predicted).sum(axis=1)
    owner = np.repeat(np.arange(len(first)), np.diff([*first, len(differences)]))
    order: NDArray[np.intp] = np.lexsort((np.arange(len(differences)), differences, owner))
    return order[first]
