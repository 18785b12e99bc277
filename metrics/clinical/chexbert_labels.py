"""Scores of CheXbert label matrices: F1, precision, recall, accuracy and the whole classification report.

As f1chexbert 0.0.2 computes them with scikit-learn 1.7 (``classification_report``, zero_division 0). Labels are 0/1 matrices
(n, 14) in the order of :data:`~radbench.metrics.findings.observations.OBSERVATIONS`; five-class scores take its ``FIVE``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from radbench.metrics.findings.label_scores import (
    Average,
    Part,
    binary_labels,
    counts,
    from_counts,
    per_sample,
    score_of,
)
from radbench.metrics.findings.observations import BLANK, FIVE, NEGATIVE, OBSERVATIONS, POSITIVE, UNCERTAIN

from radbench.statistics import Floats

__all__ = [
    "Average",
    "Part",
    "binary_labels",
    "columns",
    "counts",
    "exact_match",
    "from_counts",
    "label_scores",
    "mentions",
    "per_sample",
    "report",
]


def mentions(classes: Sequence[int]) -> list[int | str]:
    """The classes of one report as f1chexbert's mode ``classification`` writes them: 1, 0, -1 (uncertain), '' (blank)."""
    written: dict[int, int | str] = {BLANK: "", POSITIVE: 1, NEGATIVE: 0, UNCERTAIN: -1}
    return [written[int(c)] for c in classes]


def label_scores(
    reference: np.ndarray, predicted: np.ndarray, average: Average = "micro", part: Part = "f1", classes: int = 14
) -> float:
    """F1, precision or recall of 0/1 label matrices (n, 14); ``classes=5`` looks at the five competition classes.

    0 to 1, higher is better. Source: f1chexbert 0.0.2, which prints scikit-learn's classification report.
    """
    rows = counts(columns(reference, classes), columns(predicted, classes))
    if average == "samples":
        return float(per_sample(rows, part).mean())
    return float(from_counts(rows.sum(axis=0), average, part))


def exact_match(reference: np.ndarray, predicted: np.ndarray, classes: int = 5) -> Floats:
    """(n,) 1.0 where all classes of a report agree: f1chexbert's ``pe_accuracy``, whose mean is its ``accuracy``."""
    return (columns(reference, classes) == columns(predicted, classes)).all(axis=1).astype(np.float64)


def report(reference: np.ndarray, predicted: np.ndarray, classes: int = 14) -> dict[str, dict[str, float]]:
    """The whole classification report: precision, recall, f1-score and support by class, then the four averages."""
    parts = {"precision": "precision", "recall": "recall", "f1-score": "f1"}
    rows = counts(columns(reference, classes), columns(predicted, classes))
    sums = rows.sum(axis=0).reshape(-1, 3)
    out = {}
    for name, one in zip(columns(np.array([OBSERVATIONS]), classes)[0], sums, strict=True):
        out[str(name)] = {k: float(score_of(one[0], one[1], one[2], p)) for k, p in parts.items()} | {
            "support": float(one[0] + one[2])
        }
    total = float(sums[:, 0].sum() + sums[:, 2].sum())
    for average in ("micro", "macro", "weighted"):
        scores = {k: float(from_counts(sums.ravel(), average, p)) for k, p in parts.items()}
        out[f"{average} avg"] = scores | {"support": total}
    out["samples avg"] = {k: float(per_sample(rows, p).mean()) for k, p in parts.items()} | {"support": total}
    return out


def columns(labels: np.ndarray, classes: int) -> np.ndarray:
    """The columns of 14 or 5 classes of an (n, 14) array. Raises ValueError for another shape or number."""
    labels = np.asarray(labels)
    if classes not in (5, 14):
        raise ValueError(f"classes is {classes}, expected 14 or 5")
    if labels.ndim != 2 or labels.shape[1] != len(OBSERVATIONS):
        raise ValueError(f"labels of shape {labels.shape}, expected (n, 14) in the order of OBSERVATIONS")
    return labels if classes == 14 else labels[:, FIVE]
