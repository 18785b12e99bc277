"""Dice and IoU of binary masks, 2D and 3D.

References: MONAI 1.6.1 ``compute_dice`` and ``compute_iou`` (float32), surface-distance 0.1 ``compute_dice_coefficient``,
torchmetrics 1.9 ``DiceScore`` and ``MeanIoU``, scikit-learn F1 of flat masks. They differ only where a mask is empty:
that policy is an option. One task scores one structure a mask. For distances between outlines see
:mod:`radbench.metrics.vision.surfaces`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from radbench.metrics.base import Card, Mean, State, one_of
from radbench.metrics.batches import shared

from radbench.records import Mask, Prediction, Target
from radbench.statistics import Floats

EmptyPolicy = Literal["one", "drop", "drop-both", "zero"]
EMPTY_POLICIES = ("one", "drop", "drop-both", "zero")


def overlap(prediction: np.ndarray, truth: np.ndarray) -> tuple[int, int, int]:
    """|P ∩ T|, |P| and |T| in pixels of two bool arrays of one shape. Raises ValueError where the shapes differ."""
    if prediction.shape != truth.shape:
        raise ValueError(f"a mask of shape {prediction.shape} cannot be compared with one of {truth.shape}")
    return int(np.count_nonzero(prediction & truth)), int(np.count_nonzero(prediction)), int(np.count_nonzero(truth))


def of_empty_truth(said: int, empty: EmptyPolicy) -> float:
    """What an empty truth scores, given the size of the prediction.

    ``one``: 1 when the prediction is empty too, else 0 (MONAI ignore_empty=False); ``drop``: nan, left out of means
    (ignore_empty=True); ``drop-both``: nan where both are empty, else 0 (torchmetrics); ``zero``: 0 (MultiMedEval).
    """
    if empty == "drop" or (empty == "drop-both" and said == 0):
        return float("nan")
    return float(empty == "one" and said == 0)


def dice(prediction: np.ndarray, truth: np.ndarray, empty: EmptyPolicy = "one") -> float:
    """2 |P ∩ T| / (|P| + |T|) of two bool arrays of one shape, 0 to 1; ``empty`` as in :func:`of_empty_truth`.

    Raises ValueError where the shapes differ.
    """
    both, said, true = overlap(prediction, truth)
    return 2 * both / (said + true) if true else of_empty_truth(said, empty)


def mask_iou(prediction: np.ndarray, truth: np.ndarray, empty: EmptyPolicy = "one") -> float:
    """|P ∩ T| / |P ∪ T| of two bool arrays of one shape, 0 to 1; ``empty`` as in :func:`of_empty_truth`.

    Raises ValueError where the shapes differ.
    """
    both, said, true = overlap(prediction, truth)
    return both / (said + true - both) if true else of_empty_truth(said, empty)


def true_mask(target: Target) -> Mask:
    """The target as a Mask. Raises TypeError where it is none."""
    if not isinstance(target, Mask):
        raise TypeError(f"expected a Mask target, got {type(target).__name__}")
    return target


def _overlaps(predictions: Sequence[Prediction], targets: Sequence[Target]) -> list[tuple[int, int, int] | None]:
    """The overlap of each pair, None for a failed answer."""
    return [
        None if p.value is None else overlap(np.asarray(p.value, bool), true_mask(t).load())
        for p, t in zip(predictions, targets, strict=True)
    ]


class _Overlap(Mean):
    """The mean over samples of a score of |P ∩ T|, |P| and |T|; masks are counted once a batch for all of them."""

    accepts = (Mask,)
    name: ClassVar[str]

    def __init__(self, empty: EmptyPolicy = "one") -> None:
        one_of("empty", empty, EMPTY_POLICIES)
        self.empty = empty

    @abstractmethod
    def of_counts(self, both: int, said: int, true: int) -> float:
        """The score of two masks, the true one not empty."""

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        counts = shared(predictions, targets, "mask-overlap", lambda: _overlaps(predictions, targets))
        return np.array([self._score(c) for c in counts], np.float64)

    def _score(self, counts: tuple[int, int, int] | None) -> float:
        if counts is None:
            return 0.0
        both, said, true = counts
        return self.of_counts(both, said, true) if true else of_empty_truth(said, self.empty)

    def signature(self, state: State) -> str:
        return f"{self.name}|avg:sample|empty:{self.empty}|failed:0|v:1"


class Dice(_Overlap):
    """Mean Dice over samples. ``empty`` is the policy for an empty truth; a failed answer scores 0."""

    name = "dice"
    card = Card(
        "Dice",
        "2 |P ∩ T| / (|P| + |T|), averaged over samples",
        "0 to 1, higher is better",
        "MONAI 1.6.1 compute_dice; MedVersa (Zhou et al. 2024) reports the mean",
    )

    def of_counts(self, both: int, said: int, true: int) -> float:
        return 2 * both / (said + true)


class MaskIoU(_Overlap):
    """Mean IoU (Jaccard index) over samples. ``empty`` is the policy for an empty truth; a failed answer scores 0."""

    name = "mask-iou"
    card = Card(
        "Mask IoU",
        "|P ∩ T| / |P ∪ T|, averaged over samples",
        "0 to 1, higher is better",
        "MONAI 1.6.1 compute_iou; torchmetrics 1.9.0 MeanIoU (empty: drop-both)",
    )

    def of_counts(self, both: int, said: int, true: int) -> float:
        return both / (said + true - both)


METRICS = {"dice": Dice, "mask-iou": MaskIoU}
