"""Mean average precision of ranked boxes, as COCO defines it, under any sample weights.

Reference: pycocotools 2.0.11 ``COCOeval`` (bbox, area all, no crowd): Lin et al. 2014, "Microsoft COCO: Common Objects in
Context". Boxes are matched image by image and class by class, the highest score first, each to the free true box with
the best IoU of at least the threshold. Precision is read from its upper envelope at 101 recalls and averaged over
recalls, IoU thresholds and the classes that have true boxes.

Boxes rank by ``Box.score``. Boxes read from a text all score 1: they tie. COCO takes ties in the order given, image by
image, so that the value depends on the order of the samples; ``ties="together"`` lets tied boxes enter as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from radbench.metrics.base import Card, Metric, State, one_of, ratio, whole
from radbench.metrics.labels.classification import class_number
from radbench.metrics.vision.boxes import box_labels, by_label, iou_matrix, true_boxes

from radbench.records import Box, Boxes, Prediction, Target
from radbench.statistics import Floats

Bools = NDArray[np.bool_]
RECALLS: Floats = np.linspace(0.0, 1.0, 101)
COCO = ".5:.95"
_BLOCK = 1 << 21  # weights of ranked boxes at a time, 16 MiB


def iou_thresholds(iou: float | str = COCO) -> Floats:
    """(T,) thresholds: ``.5:.95`` is .5, .55, ... .95, else the number given. Raises ValueError outside 0 to 1."""
    if str(iou) in (COCO, "0.5:0.95"):
        return np.linspace(0.5, 0.95, 10)
    try:
        threshold = float(iou)
    except ValueError:
        threshold = np.nan
    if not 0 < threshold <= 1:
        raise ValueError(f"iou is {iou!r}, expected {COCO} or a number above 0 and at most 1")
    return np.array([threshold])


def matched(predicted: Sequence[Box], truth: Sequence[Box], thresholds: Floats) -> Bools:
    """(n, T) whether each of n boxes, highest score first, finds a free true box at each IoU threshold.

    All boxes are of one class and image. Of equal overlaps the later true box is taken, as pycocotools does.
    """
    hits = np.zeros((len(predicted), len(thresholds)), bool)
    if not truth:
        return hits
    free = np.ones((len(thresholds), len(truth)), bool)
    at = np.arange(len(thresholds))
    lowest = np.minimum(thresholds, 1 - 1e-10)
    for i, ious in enumerate(iou_matrix(predicted, truth)):
        open_ious = np.where(free, ious, -1.0)
        best = len(truth) - 1 - np.argmax(open_ious[:, ::-1], axis=1)
        hits[i] = open_ious[at, best] >= lowest
        free[at[hits[i]], best[hits[i]]] = False
    return hits


def average_precision(
    scores: Floats, hits: Bools, weights: Floats, positives: Floats, together: bool = False
) -> Floats:
    """(B, T) average precision of one class, nan where it has no true box.

    ``scores`` (D,) falling, ``hits`` (D, T), ``weights`` (B, D) of each box's image, ``positives`` (B,) weighted true
    boxes. ``together`` lets boxes of one score enter as one.
    """
    out = np.where(positives > 0, 0.0, np.nan)[:, None].repeat(hits.shape[1], axis=1)
    if len(scores) == 0:
        return out
    ends = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    everything = np.cumsum(weights, axis=1)
    for t in range(hits.shape[1]):
        # The envelope peaks, and recall rises, only where a box hits: the curve is read there.
        at = ends if together else np.flatnonzero(hits[:, t])
        found = np.cumsum(weights * hits[:, t], axis=1)[:, at]
        precision = ratio(found, everything[:, at], undefined=0.0)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = ratio(found, np.broadcast_to(positives[:, None], found.shape), undefined=0.0)
        for b in np.flatnonzero(positives > 0):
            where = np.searchsorted(recall[b], RECALLS)
            out[b, t] = envelope[b, where[where < len(at)]].sum() / len(RECALLS)
    return out


def _score(box: Box) -> float:
    return -np.inf if np.isnan(box.score) else box.score


class MeanAP(Metric):
    """COCO's mean average precision over classes and IoU thresholds.

    ``iou``: ``.5:.95`` or one threshold. ``max_dets``: boxes that count of a class in an image, the best-scored first
    (COCO: 100). ``slots``: boxes that are kept of an image, of all its classes; the value is COCO's where no image has
    more. ``ties``: ``order`` as COCO or ``together``. Boxes of a label that the task does not have are left aside, as
    COCO does.

    Rows are (n, K + 2 slots): true boxes of each class, then score and match code of each kept box. A code holds the
    box's class and one bit an IoU threshold; -1 is an empty slot.
    """

    accepts = (Boxes,)

    def __init__(
        self,
        iou: float | str = COCO,
        max_dets: int = 100,
        slots: int = 100,
        ties: Literal["order", "together"] = "order",
    ) -> None:
        one_of("ties", ties, ("order", "together"))
        self.thresholds = iou_thresholds(iou)
        self.max_dets, self.slots = whole("max_dets", max_dets, 1, 100_000), whole("slots", slots, 1, 100_000)
        self.ties = ties
        self.iou = COCO if len(self.thresholds) > 1 else f"{self.thresholds[0]:g}"
        self.card = Card(
            f"mAP@[{self.iou}]",
            "area under the interpolated precision-recall curve at 101 recalls, mean over IoU thresholds and classes",
            "0 to 1, higher is better",
            "pycocotools 2.0.11 COCOeval (bbox, area all); Lin et al. 2014",
            failed="every structure of a failed answer is missed",
        )

    def fit(self, targets: Iterable[Target], choices: Sequence[str]) -> State:
        """The class list: the task's closed set, else the labels of the true boxes, sorted."""
        return box_labels(targets, choices)

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        index = {label: i for i, label in enumerate(state)}
        out = np.zeros((len(targets), len(state) + 2 * self.slots))
        out[:, len(state) + 1 :: 2] = -1.0
        for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
            truth = true_boxes(target)
            for box in truth:
                out[i, class_number(index, box.label)] += 1
            kept = self._ranked(prediction.value or (), truth, index)
            out[i, len(state) : len(state) + 2 * len(kept)] = np.array(kept, np.float64).ravel()
        return out

    def _ranked(self, predicted: Sequence[Box], truth: Sequence[Box], index: dict[str, int]) -> list[tuple[float, int]]:
        """(score, code) of the boxes of one image that are kept, highest score first within a class."""
        bits = 1 << np.arange(len(self.thresholds))
        kept: list[tuple[float, int, int]] = []
        for label, true, said in by_label(predicted, truth):
            if label in index:
                ranked = sorted(said, key=lambda j: -_score(predicted[j]))[: self.max_dets]
                hits = matched([predicted[j] for j in ranked], [truth[i] for i in true], self.thresholds)
                code = (index[label] << len(bits)) + hits @ bits
                kept.extend((-_score(predicted[j]), j, int(c)) for j, c in zip(ranked, code, strict=True))
        return [(-score, code) for score, _, code in sorted(kept)[: self.slots]]

    def value(self, rows: Floats, weights: Floats, state: State) -> Floats:
        if len(rows) == 0:
            return np.full(len(weights), np.nan)
        slots = rows[:, len(state) :].reshape(len(rows), -1, 2)
        image, slot = np.nonzero(slots[..., 1] >= 0)
        scores, code = slots[image, slot, 0], slots[image, slot, 1].astype(np.int64)
        hits = (code[:, None] >> np.arange(len(self.thresholds))) & 1 > 0
        classes = code >> len(self.thresholds)
        order = np.argsort(-scores, kind="stable")
        positives = weights @ rows[:, : len(state)]
        out = np.full((len(weights), len(state)), np.nan)
        height = max(1, _BLOCK // max(len(order), 1))
        for k in range(len(state)):
            own = order[classes[order] == k]
            for first in range(0, len(weights), height):
                block = slice(first, first + height)
                found = average_precision(
                    scores[own], hits[own], weights[block][:, image[own]], positives[block, k], self.ties == "together"
                )
                out[block, k] = found.mean(axis=1)
        defined = ~np.isnan(out)
        return ratio(np.where(defined, out, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))

    def signature(self, state: State) -> str:
        kept = f"max_dets:{self.max_dets}|slots:{self.slots}|ties:{self.ties}"
        return f"map|iou:{self.iou}|interp:101|{kept}|avg:class|classes:{len(state)}|failed:missed|v:1"


METRICS = {"map": MeanAP, "map50": partial(MeanAP, 0.5), "map75": partial(MeanAP, 0.75)}
