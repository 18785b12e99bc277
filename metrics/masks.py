"""Dice of binary masks, 2D and 3D.

References: MONAI 1.6.1 ``compute_dice`` (float32), surface-distance 0.1 ``compute_dice_coefficient``, scikit-learn F1 of
flat masks.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from radbench.metrics.base import Card, Mean, State, one_of

from radbench.records import Mask, Prediction, Target

EmptyPolicy = Literal["one", "drop", "zero"]


def dice(prediction: np.ndarray, truth: np.ndarray, empty: EmptyPolicy = "one") -> float:
    """2 |P ∩ T| / (|P| + |T|) of two bool arrays of one shape, 0 to 1.

    ``empty`` decides what an empty *truth* scores: ``one`` 1 when the prediction is empty too, else 0 (MONAI
    ignore_empty=False); ``drop`` nan, left out of means (ignore_empty=True); ``zero`` 0 (MultiMedEval).
    Raises ValueError where the shapes differ.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"a mask of shape {prediction.shape} cannot be compared with one of {truth.shape}")
    said, true = int(np.count_nonzero(prediction)), int(np.count_nonzero(truth))
    if true == 0:
        if empty == "drop":
            return float("nan")
        return float(empty == "one" and said == 0)
    return 2 * int(np.count_nonzero(prediction & truth)) / (said + true)


class Dice(Mean):
    """Mean Dice over samples. ``empty`` is the policy for an empty truth; a failed answer scores 0."""

    accepts = (Mask,)

    def __init__(self, empty: EmptyPolicy = "one") -> None:
        one_of("empty", empty, ("one", "drop", "zero"))
        self.empty = empty
        self.card = Card(
            "Dice",
            "2 |P ∩ T| / (|P| + |T|), averaged over samples",
            "0 to 1, higher is better",
            "MONAI 1.6.1 compute_dice; MedVersa (Zhou et al. 2024) reports the mean",
        )

    def score(self, prediction: Prediction, target: Target) -> float:
        if not isinstance(target, Mask):
            raise TypeError(f"expected a Mask target, got {type(target).__name__}")
        said: Any = prediction.value
        if said is None:
            return 0.0
        return dice(np.asarray(said, bool), target.load(), self.empty)

    def signature(self, state: State) -> str:
        return f"dice|avg:sample|empty:{self.empty}|failed:0|v:1"


METRICS = {"dice": Dice}
