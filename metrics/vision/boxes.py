"""IoU of axis-aligned boxes, its mean over structures or classes, and precision, recall and F1 of matched boxes.

Reference: the textbook definition on continuous coordinates, which MONAI 1.6.1 ``box_iou`` equals. MedVersa (Zhou et al.
2024, "A Generalist Learner for Multifaceted Medical Image Interpretation") reports the mean IoU over ground-truth
structures and describes no matching; ours is one to one within a label. For ranked boxes see
:mod:`radbench.metrics.vision.detection`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Literal

import numpy as np
from radbench.metrics.base import Additive, Card, State, one_of, ratio
from radbench.metrics.labels.classification import class_number

from radbench.records import Box, Boxes, Prediction, Target
from radbench.statistics import Floats

Convention = Literal["continuous", "inclusive"]
Match = Literal["greedy", "hungarian"]
CONVENTIONS = ("continuous", "inclusive")


def scipy_missing() -> str | None:
    """None where scipy is installed, else what to do."""
    return None if find_spec("scipy") else "scipy is not installed: pip install 'radbench[vision]'"


def true_boxes(target: Target) -> tuple[Box, ...]:
    """The boxes of a target. Raises TypeError where it is no Boxes."""
    if not isinstance(target, Boxes):
        raise TypeError(f"expected a Boxes target, got {type(target).__name__}")
    return target.boxes


def box_labels(targets: Iterable[Target], choices: Sequence[str]) -> tuple[str, ...]:
    """The classes of a detection task: its closed set, else the labels of the true boxes, sorted."""
    return tuple(choices) or tuple(sorted({box.label for target in targets for box in true_boxes(target)}))


def iou_matrix(a: Sequence[Box], b: Sequence[Box], convention: Convention = "continuous") -> Floats:
    """(n, m) intersection over union of n and m boxes, 0 to 1; 0 where a box is inverted or has no area.

    ``inclusive`` counts the pixels on both edges (+1 on widths and heights), as older detection code does.
    """
    plus = 1.0 if convention == "inclusive" else 0.0
    first, second = (np.array([(x.x0, x.y0, x.x1, x.y1) for x in boxes], np.float64).reshape(-1, 4) for boxes in (a, b))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a model may say 1e300
        areas = [np.prod(np.maximum(0.0, x[:, 2:] - x[:, :2] + plus), axis=1) for x in (first, second)]
        low = np.maximum(first[:, None, :2], second[None, :, :2])
        sides = np.minimum(first[:, None, 2:], second[None, :, 2:]) - low + plus
        overlap = sides[..., 0] * sides[..., 1]
        iou = overlap / (areas[0][:, None] + areas[1][None, :] - overlap)
    usable = (sides > 0).all(axis=2) & (areas[0] > 0)[:, None] & (areas[1] > 0)[None, :] & ~np.isnan(iou)
    return np.where(usable, iou, 0.0)


def box_iou(a: Box, b: Box, convention: Convention = "continuous") -> float:
    """Intersection over union of two boxes, 0 to 1 (see :func:`iou_matrix`)."""
    return float(iou_matrix((a,), (b,), convention)[0, 0])


def by_label(predicted: Sequence[Box], truth: Sequence[Box]) -> Iterator[tuple[str, list[int], list[int]]]:
    """Each label with the indices of its true and of its predicted boxes, in the order given; sorted by label."""
    for label in sorted({box.label for box in (*truth, *predicted)}):
        yield (
            label,
            [i for i, box in enumerate(truth) if box.label == label],
            [j for j, box in enumerate(predicted) if box.label == label],
        )


def matched_ious(
    predicted: Sequence[Box], truth: Sequence[Box], convention: Convention = "continuous", match: Match = "greedy"
) -> list[float]:
    """The IoU of each true box with the predicted box of its label matched to it, 0 where none is left.

    ``greedy`` takes the best overlap first, on a tie the earlier true box, then the earlier prediction; ``hungarian``
    the one-to-one matching with the largest summed IoU, which is unique as a sum (needs scipy).
    """
    ious = [0.0] * len(truth)
    for _, true, said in by_label(predicted, truth):
        if not true or not said:
            continue
        matrix = iou_matrix([truth[i] for i in true], [predicted[j] for j in said], convention)
        for i, j in _best_first(matrix) if match == "greedy" else _assignment(matrix):
            ious[true[i]] = float(matrix[i, j])
    return ious


def _best_first(matrix: Floats) -> Iterator[tuple[int, int]]:
    rows, columns = set(range(matrix.shape[0])), set(range(matrix.shape[1]))
    for flat in np.argsort(-matrix, axis=None, kind="stable"):
        i, j = divmod(int(flat), matrix.shape[1])
        if i in rows and j in columns:
            rows.remove(i)
            columns.remove(j)
            yield i, j


def _assignment(matrix: Floats) -> Iterator[tuple[int, int]]:
    from scipy.optimize import linear_sum_assignment

    yield from zip(*(index.tolist() for index in linear_sum_assignment(matrix, maximize=True)), strict=True)


def match_counts(
    predicted: Sequence[Box], truth: Sequence[Box], iou: float = 0.5, convention: Convention = "continuous"
) -> tuple[int, int, int]:
    """True positives, false positives and false negatives of one image's boxes, matched one to one within a label.

    Only pairs with an IoU of at least ``iou`` may match; among all matchings the one with the most pairs counts, so that
    no tie and no order of the boxes decides the counts (needs scipy).
    """
    hits = 0
    for _, true, said in by_label(predicted, truth):
        if true and said:
            near = iou_matrix([truth[i] for i in true], [predicted[j] for j in said], convention) >= iou
            hits += sum(bool(near[i, j]) for i, j in _assignment(near.astype(np.float64)))
    return hits, len(predicted) - hits, len(truth) - hits


class MeanIoU(Additive):
    """Mean IoU of matched boxes.

    ``average``: over ground-truth structures (``structure``: a sample with three weighs three) or over the classes'
    means over their structures (``class``). ``match``: ``greedy`` or ``hungarian`` (see :func:`matched_ious`).
    """

    accepts = (Boxes,)

    def __init__(
        self,
        convention: Convention = "continuous",
        match: Match = "greedy",
        average: Literal["structure", "class"] = "structure",
    ) -> None:
        one_of("convention", convention, CONVENTIONS)
        one_of("match", match, ("greedy", "hungarian"))
        one_of("average", average, ("structure", "class"))
        self.convention, self.match, self.average = convention, match, average
        self.card = Card(
            "Mean box IoU" if average == "structure" else "Mean box IoU per class",
            "sum of IoU over true boxes / number of true boxes, matched one to one within a label"
            + ("; the mean of that over classes" if average == "class" else ""),
            "0 to 1, higher is better",
            "MONAI 1.6.1 box_iou; MedVersa (Zhou et al. 2024) for the mean over structures",
            failed="every structure of a failed answer scores 0",
        )

    def fit(self, targets: Iterable[Target], choices: Sequence[str]) -> State:
        return box_labels(targets, choices) if self.average == "class" else ()

    def columns(self, state: State) -> tuple[str, ...]:
        if self.average == "structure":
            return ("iou", "structures")
        return tuple(f"{kind}:{label}" for label in state for kind in ("iou", "structures"))

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        index = {label: i for i, label in enumerate(state)}
        out = np.zeros((len(targets), len(state) if self.average == "class" else 1, 2))
        for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
            truth = true_boxes(target)
            ious = matched_ious(prediction.value or (), truth, self.convention, self.match)
            for box, iou in zip(truth, ious, strict=True):
                out[i, class_number(index, box.label) if index else 0] += iou, 1
        return out.reshape(len(targets), 2 * out.shape[1])

    def reduce(self, sums: Floats, state: State) -> Floats:
        structures = sums[..., 1::2]
        present = (structures > 0).sum(axis=-1).astype(np.float64)
        return ratio(ratio(sums[..., 0::2], structures, undefined=0.0).sum(axis=-1), present)

    def unavailable(self) -> str | None:
        return scipy_missing() if self.match == "hungarian" else None

    def signature(self, state: State) -> str:
        classes = f"|classes:{len(state)}" if self.average == "class" else ""
        return f"box-iou|avg:{self.average}{classes}|match:{self.match}-label|box:{self.convention}|failed:0|v:1"


class BoxMatches(Additive):
    """Precision, recall or F1 of boxes matched at an IoU threshold, over all boxes of all samples.

    The matching is the largest one (see :func:`match_counts`): scores play no part. A value whose denominator is 0 is 0
    where the other side has boxes and undefined where there are none at all.
    """

    accepts = (Boxes,)

    def __init__(
        self,
        value: Literal["f1", "precision", "recall"] = "f1",
        iou: float = 0.5,
        convention: Convention = "continuous",
    ) -> None:
        one_of("value", value, ("f1", "precision", "recall"))
        one_of("convention", convention, CONVENTIONS)
        if not 0 < float(iou) <= 1:
            raise ValueError(f"iou is {iou}, expected above 0 and at most 1")
        self.kind, self.iou, self.convention = value, float(iou), convention
        formula = {"f1": "2 TP / (2 TP + FP + FN)", "precision": "TP / (TP + FP)", "recall": "TP / (TP + FN)"}[value]
        self.card = Card(
            f"Box {value} at IoU {self.iou:g}",
            f"{formula}; TP: the most pairs of one label that match one to one with IoU >= {self.iou:g}",
            "0 to 1, higher is better",
            "Kuhn 1955 (assignment); scipy linear_sum_assignment",
            failed="every structure of a failed answer is a false negative",
        )

    def columns(self, state: State) -> tuple[str, ...]:
        return ("tp", "fp", "fn")

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        pairs = zip(predictions, targets, strict=True)
        counts = [match_counts(p.value or (), true_boxes(t), self.iou, self.convention) for p, t in pairs]
        return np.array(counts, np.float64).reshape(-1, 3)

    def reduce(self, sums: Floats, state: State) -> Floats:
        tp, fp, fn = sums[..., 0], sums[..., 1], sums[..., 2]
        top, bottom = {"f1": (2 * tp, 2 * tp + fp + fn), "precision": (tp, tp + fp), "recall": (tp, tp + fn)}[self.kind]
        return np.where(tp + fp + fn > 0, ratio(top, bottom, undefined=0.0), np.nan)

    def unavailable(self) -> str | None:
        return scipy_missing()

    def signature(self, state: State) -> str:
        return f"box-{self.kind}|iou:{self.iou:g}|match:most-pairs-label|box:{self.convention}|avg:micro|failed:fn|v:1"


METRICS = {
    "box-iou": MeanIoU,
    "box-f1": partial(BoxMatches, "f1"),
    "box-precision": partial(BoxMatches, "precision"),
    "box-recall": partial(BoxMatches, "recall"),
}
