"""Box IoU, matching and mean average precision: against MONAI, brute force and pycocotools."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.vision.boxes import METRICS as BOXES
from radbench.metrics.vision.boxes import BoxMatches, MeanIoU, box_iou, iou_matrix, match_counts, matched_ious
from radbench.metrics.vision.detection import METRICS as RANKED
from radbench.metrics.vision.detection import MeanAP, iou_thresholds

from radbench.errors import DataError
from radbench.records import Box, Boxes, Failure, Prediction, Text
from radbench.statistics import Clusters, Measure, draw, point, resample_counts

LABELS = ("consolidation", "effusion", "nodule")
FAILED = Prediction(None, Failure("unparsable"))
coordinates = st.integers(0, 12).map(float)
boxes = st.builds(
    lambda label, x, y, w, h, score: Box(label, x, y, x + w, y + h, score),
    st.sampled_from(LABELS), coordinates, coordinates, coordinates, coordinates, st.sampled_from((0.2, 0.5, 0.9, 1.0)),
)  # fmt: skip
images = st.lists(st.tuples(st.lists(boxes, max_size=5), st.lists(boxes, max_size=4)), min_size=1, max_size=6)


def measure(metric: Any, pairs: Any) -> Measure:
    """The pairs are (predicted boxes, true boxes) of each image; None for a failed answer."""
    targets = [Boxes(tuple(truth)) for _, truth in pairs]
    state = metric.fit(targets, LABELS)
    predictions = [FAILED if said is None else Prediction(tuple(said)) for said, _ in pairs]
    return Measure(metric, state, metric.rows(predictions, targets, state))


def value(metric: Any, pairs: Any) -> float:
    return point(measure(metric, pairs))


# --- IoU and matching ---


def test_box_iou_equals_monai_on_random_boxes() -> None:
    monai = pytest.importorskip("monai.data.box_utils")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 400, (2, 500, 2)) / 4  # exact in float32
    first, second = (np.concatenate([c, c + rng.integers(0, 240, (500, 2)) / 4], axis=1) for c in corners)
    theirs = monai.box_iou(torch.tensor(first), torch.tensor(second)).numpy()
    ours = iou_matrix([Box("a", *b) for b in first], [Box("a", *b) for b in second])
    assert (ours > 0).any()
    assert np.abs(ours - theirs).max() < 1e-6


def test_unusual_boxes_have_no_overlap() -> None:
    usual, huge = Box("a", 0, 0, 10, 10), Box("a", -1.7e308, 0, 1.7e308, 0)
    assert box_iou(Box("a", 10, 10, 0, 0), usual) == 0
    assert box_iou(Box("a", 3, 3, 3, 3), usual) == 0
    assert box_iou(huge, usual) == box_iou(Box("a", -1e300, -1e300, 1e300, 1e300), usual) == 0
    assert iou_matrix([], [usual]).shape == (0, 1)


def test_structures_are_matched_one_to_one_within_their_label() -> None:
    left, right = Box("left lung", 0, 0, 10, 10), Box("right lung", 20, 0, 30, 10)
    assert matched_ious([right, left], [left, right]) == [1.0, 1.0]
    assert matched_ious([left, left], [left, right]) == [1.0, 0.0]
    twins = [Box("nodule", 0, 0, 10, 10), Box("nodule", 0, 0, 10, 9)]
    assert matched_ious([Box("nodule", 0, 0, 10, 9)], twins) == [0.0, 1.0]
    assert measure(MeanIoU(), [(None, [left, right])]).rows.tolist() == [[0.0, 2.0]]


def test_the_hungarian_matching_gives_up_the_best_pair_for_a_better_sum() -> None:
    truth = [Box("a", 0, 0, 10, 10), Box("a", 2, 0, 12, 10)]
    said = [Box("a", 1, 0, 11, 10), Box("a", -5, 0, 5, 10)]
    assert matched_ious(said, truth) == pytest.approx([9 / 11, 3 / 17])
    assert matched_ious(said, truth, match="hungarian") == pytest.approx([5 / 15, 9 / 11])


def brute_force(said: list[Box], truth: list[Box], score: Any) -> float:
    """The largest summed ``score(iou)`` of any one-to-one matching within labels, by trying all."""
    total = 0.0
    for label in LABELS:
        p, t = ([b for b in side if b.label == label] for side in (said, truth))
        small, large = sorted((p, t), key=len)
        total += max(
            sum(score(box_iou(a, b)) for a, b in zip(small, order, strict=True))
            for order in permutations(large, len(small))
        )
    return total


@given(st.lists(boxes, max_size=5), st.lists(boxes, max_size=4), st.sampled_from((0.3, 0.5, 1.0)))
def test_matchings_are_the_best_of_all(said: list[Box], truth: list[Box], iou: float) -> None:
    tp, fp, fn = match_counts(said, truth, iou)
    assert tp == brute_force(said, truth, lambda x: x >= iou)
    assert (tp + fp, tp + fn) == (len(said), len(truth))
    assert sum(matched_ious(said, truth, match="hungarian")) == pytest.approx(brute_force(said, truth, float))


def test_mean_iou_per_class_is_the_mean_of_class_means() -> None:
    half = Box("effusion", 0, 0, 10, 5)
    pairs = [
        ([Box("nodule", 0, 0, 4, 4)], [Box("nodule", 0, 0, 4, 4), Box("effusion", 0, 0, 10, 10)]),
        ([half], [Box("effusion", 0, 0, 10, 10)]),
    ]
    assert value(MeanIoU(average="class"), pairs) == pytest.approx((1 + 0.25) / 2)  # no consolidation: left out
    assert value(MeanIoU(), pairs) == pytest.approx((1 + 0 + 0.5) / 3)


def test_precision_recall_and_f1_count_all_boxes() -> None:
    good, far = Box("nodule", 0, 0, 4, 4), Box("nodule", 50, 50, 54, 54)
    pairs = [([good, far], [good]), ([], [good, far]), (None, [good])]
    found = {name: value(factory(), pairs) for name, factory in BOXES.items() if name != "box-iou"}
    assert found == pytest.approx({"box-precision": 1 / 2, "box-recall": 1 / 4, "box-f1": 2 / 6})
    assert value(BoxMatches("precision"), [(None, [good])]) == 0
    assert np.isnan(value(BoxMatches("precision"), [([], [])]))
    assert value(BoxMatches("f1", iou=0.3), [([Box("nodule", 0, 0, 4, 2)], [good])]) == 1
    assert value(BoxMatches("f1"), [([replace(good, label="effusion")], [good])]) == 0


# --- mean average precision ---


def pycoco(pairs: Any, iou: float | None = None) -> float:
    """mAP of pycocotools: images in the order given."""
    coco = pytest.importorskip("pycocotools.coco").COCO
    evaluation = pytest.importorskip("pycocotools.cocoeval").COCOeval
    xywh = lambda b: [b.x0, b.y0, b.x1 - b.x0, b.y1 - b.y0]  # noqa: E731
    category = {label: k + 1 for k, label in enumerate(LABELS)}
    truth = [
        {"image_id": i, "category_id": category[b.label], "bbox": xywh(b), "area": 1.0, "iscrowd": 0}
        for i, (_, true) in enumerate(pairs)
        for b in true
    ]
    said = [
        {"image_id": i, "category_id": category[b.label], "bbox": xywh(b), "score": b.score}
        for i, (predicted, _) in enumerate(pairs)
        for b in predicted or ()
    ]
    with redirect_stdout(io.StringIO()):
        gt = coco()
        gt.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(len(pairs))],
            "categories": [{"id": k, "name": label} for label, k in category.items()],
            "annotations": [{**a, "id": j + 1} for j, a in enumerate(truth)],
        }
        gt.createIndex()
        run = evaluation(gt, gt.loadRes(said), "bbox")
        if iou is not None:
            run.params.iouThrs = np.array([iou])
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][..., 0, -1]  # all areas, 100 detections
    return float(precision[precision > -1].mean())


def detections(rng: np.random.Generator, n: int, scores: Any) -> list[tuple[list[Box], list[Box]]]:
    """``n`` images: jittered copies of the true boxes among false ones, on whole pixels."""
    pairs = []
    for _ in range(n):
        corner = rng.integers(0, 200, (rng.integers(0, 5), 2))
        size = rng.integers(8, 60, corner.shape)
        labels = rng.choice(LABELS, len(corner))
        truth = [Box(str(c), *map(float, (*a, *(a + s)))) for c, a, s in zip(labels, corner, size, strict=True)]
        said = []
        for box in truth:
            for _ in range(rng.integers(0, 3)):
                d = rng.integers(-6, 7, 4)
                label = box.label if rng.random() < 0.8 else str(rng.choice(LABELS))
                moved = (box.x0 + d[0], box.y0 + d[1], box.x1 + d[2] + 6, box.y1 + d[3] + 6)
                said.append(Box(label, *map(float, moved), score=scores(rng)))
        pairs.append((said, truth))
    return pairs


def graded(rng: np.random.Generator) -> float:
    return float(rng.random())


def tied(rng: np.random.Generator) -> float:
    return float(rng.integers(1, 4)) / 4


@pytest.mark.parametrize("scores", [graded, tied, lambda rng: 1.0], ids=["graded", "tied", "all 1"])
def test_map_equals_pycocotools(scores: Any) -> None:
    rng = np.random.default_rng(7)
    for n in (500, 3, 17, 40):
        pairs = detections(rng, n, scores)
        assert value(MeanAP(), pairs) == pytest.approx(pycoco(pairs), abs=1e-9)
        assert value(RANKED["map50"](), pairs) == pytest.approx(pycoco(pairs, 0.5), abs=1e-9)
        assert value(RANKED["map75"](), pairs) == pytest.approx(pycoco(pairs, 0.75), abs=1e-9)


def test_more_than_a_hundred_boxes_of_a_class_are_cut_as_pycocotools_does() -> None:
    rng = np.random.default_rng(3)
    corner = rng.integers(0, 300, (130, 2)).astype(float)
    truth = [Box("nodule", x, y, x + 9, y + 9) for x, y in corner]
    said = [replace(b, score=float(rng.random())) for b in truth]
    pairs = [(said, truth), ([replace(truth[0], score=0.5)], truth[:2])]
    assert value(MeanAP(slots=150), pairs) == pytest.approx(pycoco(pairs), abs=1e-9)
    assert value(MeanAP(max_dets=150, slots=150), pairs) > value(MeanAP(), pairs)


def test_a_resample_equals_pycocotools_on_repeated_images() -> None:
    rng = np.random.default_rng(5)
    pairs = detections(rng, 30, graded)
    own = measure(MeanAP(), pairs)
    draws = draw([own], Clusters(np.arange(30), 30, ((0, 30),)), 4, seed=2)[0]
    for drawn, counts in zip(
        draws, next(resample_counts(Clusters(np.arange(30), 30, ((0, 30),)), 4, 2))[1], strict=True
    ):
        again = [pairs[i] for i in np.repeat(np.arange(30), counts.astype(int))]
        assert drawn == pytest.approx(pycoco(again), abs=1e-9)


@given(images, st.data())
def test_whole_weights_equal_repeated_images(pairs: Any, data: Any) -> None:
    metric = MeanAP(slots=8, ties="together")
    own = measure(metric, pairs)
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs))))
    repeated = Measure(metric, own.state, np.repeat(own.rows, weights, axis=0))
    weighted = metric.value(own.rows, weights[None, :].astype(float), own.state)[0]
    assert weighted == pytest.approx(point(repeated), abs=1e-12, nan_ok=True)


@given(images, st.randoms(use_true_random=False))
def test_order_and_batches_change_nothing(pairs: Any, random: Any) -> None:
    metrics = [
        MeanIoU(), MeanIoU(match="hungarian", average="class"), BoxMatches(), MeanAP(slots=8, ties="together")
    ]  # fmt: skip
    shuffled = random.sample(pairs, len(pairs))
    cut = random.randrange(len(pairs) + 1)
    for metric in metrics:
        whole = measure(metric, pairs)
        assert point(whole) == pytest.approx(value(metric, shuffled), abs=1e-12, nan_ok=True)
        parts = [measure(metric, part).rows for part in (pairs[:cut], pairs[cut:])]
        assert (np.concatenate(parts) == whole.rows).all()


def test_no_samples_give_no_value() -> None:
    assert np.isnan(MeanAP().value(np.zeros((0, 1)), np.zeros((3, 0)), LABELS)).all()


def test_map_of_the_truth_is_one_and_of_nothing_zero() -> None:
    pairs = detections(np.random.default_rng(0), 20, graded)
    truths = [(truth, truth) for _, truth in pairs]
    assert value(MeanAP(), truths) == 1
    assert value(MeanAP(), [(None, truth) for _, truth in pairs]) == 0
    assert value(MeanAP(), [([], truth) for _, truth in pairs]) == 0
    assert np.isnan(value(MeanAP(), [([Box("nodule", 0, 0, 1, 1)], [])]))


def test_rows_and_state_survive_their_file() -> None:
    own = measure(MeanAP(), detections(np.random.default_rng(1), 20, tied))
    buffer = io.BytesIO()
    np.savez(buffer, rows=own.rows)
    state = tuple(json.loads(json.dumps(own.state)))
    buffer.seek(0)
    assert point(Measure(MeanAP(), state, np.load(buffer)["rows"])) == point(own)


def test_boxes_of_other_labels_are_left_aside_and_ties_may_enter_together() -> None:
    true, false = Box("nodule", 0, 0, 9, 9), Box("nodule", 40, 40, 49, 49)
    stranger = Box("pacemaker", 40, 40, 49, 49)
    assert value(MeanAP(), [([stranger, true], [true])]) == 1
    orders = [[([false, true], [true])], [([true, false], [true])]]
    assert [value(MeanAP(), o) for o in orders] == pytest.approx([0.5, 1.0])
    assert [value(MeanAP(ties="together"), o) for o in orders] == pytest.approx([0.5, 0.5])


def test_signatures_hold_every_option() -> None:
    assert MeanIoU().signature(()) == "box-iou|avg:structure|match:greedy-label|box:continuous|failed:0|v:1"
    seen = [MeanAP(), MeanAP(0.5), MeanAP(max_dets=10), MeanAP(slots=10), MeanAP(ties="together")]
    assert len({m.signature(LABELS) for m in seen}) == 5
    assert len({BoxMatches(v, i).signature(()) for v in ("f1", "precision", "recall") for i in (0.5, 0.75)}) == 6  # type: ignore[arg-type]
    assert iou_thresholds("0.5:0.95")[-1] == 0.95


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: MeanAP("high"), "iou is 'high'"),
        (lambda: MeanAP(1.5), "iou is 1.5"),
        (lambda: MeanAP(slots=0), "slots is 0"),
        (lambda: MeanAP(ties="random"), "ties is 'random'"),  # type: ignore[arg-type]
        (lambda: BoxMatches(iou=0), "iou is 0"),
        (lambda: MeanIoU(match="best"), "match is 'best'"),  # type: ignore[arg-type]
    ],
)
def test_wrong_options_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_wrong_targets_are_refused() -> None:
    with pytest.raises(TypeError, match="expected a Boxes target, got Text"):
        MeanIoU().rows([FAILED], [Text(("a",))], ())
    for metric in (MeanAP(), MeanIoU(average="class")):
        with pytest.raises(DataError, match="'pacemaker', none of consolidation"):
            metric.rows([FAILED], [Boxes((Box("pacemaker", 0, 0, 1, 1),))], LABELS)
