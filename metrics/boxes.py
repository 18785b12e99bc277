"""IoU of axis-aligned boxes.

Reference: the textbook definition on continuous coordinates, which MONAI 1.6.1 ``box_iou`` equals. MedVersa (Zhou et al.
2024, "A Generalist Learner for Multifaceted Medical Image Interpretation") reports the mean IoU over ground-truth
structures and describes no matching; ours is one to one within a label, best overlap first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from radbench.metrics.base import Additive, Card, State, one_of, ratio

from radbench.records import Box, Boxes, Prediction, Target
from radbench.statistics import Floats

Convention = Literal["continuous", "inclusive"]


def box_iou(a: Box, b: Box, convention: Convention = "continuous") -> float:
    """Intersection over union, 0 to 1; 0 where either box is inverted or has no area.

    ``inclusive`` counts the pixels on both edges (+1 on widths and heights), as older detection code does.
    """
    plus = 1.0 if convention == "inclusive" else 0.0
    width = min(a.x1, b.x1) - max(a.x0, b.x0) + plus
    height = min(a.y1, b.y1) - max(a.y0, b.y0) + plus
    area_a, area_b = (max(0.0, x.x1 - x.x0 + plus) * max(0.0, x.y1 - x.y0 + plus) for x in (a, b))
    if width <= 0 or height <= 0 or area_a == 0 or area_b == 0:
        return 0.0
    overlap = width * height
    return overlap / (area_a + area_b - overlap)


def matched_ious(predicted: Sequence[Box], truth: Sequence[Box], convention: Convention = "continuous") -> list[float]:
    """The IoU of each true box with the predicted box of its label matched to it, 0 where none is left."""
    pairs = sorted(
        (
            (box_iou(p, t, convention), i, j)
            for i, t in enumerate(truth)
            for j, p in enumerate(predicted)
            if p.label == t.label
        ),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    ious, used = [0.0] * len(truth), set[int]()
    done = set[int]()
    for iou, i, j in pairs:
        if i not in done and j not in used:
            ious[i] = iou
            done.add(i)
            used.add(j)
    return ious


class MeanIoU(Additive):
    """Mean IoU over ground-truth structures (a sample with three structures weighs three)."""

    accepts = (Boxes,)

    def __init__(self, convention: Convention = "continuous") -> None:
        one_of("convention", convention, ("continuous", "inclusive"))
        self.convention = convention
        self.card = Card(
            "Mean box IoU",
            "sum of IoU over true boxes / number of true boxes, matched one to one within a label",
            "0 to 1, higher is better",
            "MONAI 1.6.1 box_iou; MedVersa (Zhou et al. 2024) for the mean over structures",
            failed="every structure of a failed answer scores 0",
        )

    def columns(self, state: State) -> tuple[str, ...]:
        return ("iou", "structures")

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        out = np.zeros((len(targets), 2))
        for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
            if not isinstance(target, Boxes):
                raise TypeError(f"expected a Boxes target, got {type(target).__name__}")
            out[i, 0] = sum(matched_ious(prediction.value or (), target.boxes, self.convention))
            out[i, 1] = len(target.boxes)
        return out

    def reduce(self, sums: Floats, state: State) -> Floats:
        return ratio(sums[..., 0], sums[..., 1])

    def signature(self, state: State) -> str:
        return f"box-iou|avg:structure|match:greedy-label|box:{self.convention}|failed:0|v:1"


METRICS = {"box-iou": MeanIoU}
