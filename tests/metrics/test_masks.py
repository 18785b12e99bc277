"""Dice, IoU, Hausdorff distance and surface Dice of masks, against MONAI."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from radbench.metrics.base import Mean
from radbench.metrics.vision.masks import Dice, MaskIoU, dice, mask_iou
from radbench.metrics.vision.surfaces import (
    HD95,
    SurfaceDice,
    diagonal,
    hausdorff,
    surface_dice,
    surface_distances,
)

from radbench.errors import DataError
from radbench.records import Box, Boxes, Failure, Image, Mask, Prediction
from radbench.statistics import Measure, point

METRICS: tuple[Callable[..., Mean], ...] = (Dice, MaskIoU, HD95, SurfaceDice)
FAILED = Prediction(None, Failure("unparsable"))
EMPTY, FULL = np.zeros((3, 4), bool), np.ones((3, 4), bool)
mask_pairs = array_shapes(min_dims=2, max_dims=3, max_side=5).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


def value(metric: Any, pairs: Any, spacing: tuple[float, ...] = ()) -> float:
    predictions = [FAILED if p is None else Prediction(p) for p, _ in pairs]
    targets = [Mask(t, spacing=spacing) for _, t in pairs]
    return point(Measure(metric, (), metric.rows(predictions, targets, ())))


def drawn(rng: np.random.Generator, shape: tuple[int, ...], n: int) -> np.ndarray:
    """(n, *shape) masks: noise, boxes that may touch the border, boxes with noise, nothing."""
    out = np.zeros((n, *shape), bool)
    for i in range(n):
        kind = rng.integers(10)
        if kind >= 2:
            ends = [sorted(rng.integers(0, side + 1, 2)) for side in shape]
            out[(i, *(slice(a, b) for a, b in ends))] = True
        if kind in (1, 2, 3, 4):
            out[i] ^= rng.random(shape) < rng.choice([0.02, 0.2])
    return out


SETS = [((19, 23), 350, (0.7, 1.3)), ((8, 9, 7), 150, (2.5, 0.5, 1.0))]  # 500 pairs


@pytest.mark.parametrize(("shape", "n", "spacing"), SETS, ids=["2d", "3d"])
def test_every_mask_metric_equals_monai_on_random_masks(shape: Any, n: int, spacing: Any) -> None:
    monai = pytest.importorskip("monai.metrics")
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    rng = np.random.default_rng(len(shape))
    truth, said = drawn(rng, shape, n), drawn(rng, shape, n)
    said[::3] = truth[::3] ^ (rng.random((len(truth[::3]), *shape)) < 0.03)  # near the truth
    y, y_pred = (torch.tensor(m[:, None].astype(np.float32)) for m in (truth, said))
    threshold = 1.3  # a distance that occurs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns of empty masks
        theirs = {
            "dice": monai.compute_dice(y_pred, y, ignore_empty=False),
            "iou": monai.compute_iou(y_pred, y, ignore_empty=False),
            "hd": monai.compute_hausdorff_distance(y_pred, y, include_background=True, percentile=95, spacing=spacing),
            "max": monai.compute_hausdorff_distance(y_pred, y, include_background=True, percentile=100),
            "nsd": monai.compute_surface_dice(y_pred, y, [threshold], include_background=True, spacing=spacing),
        }
    pairs = list(zip(said, truth, strict=True))
    ours = {
        "dice": [dice(p, t) for p, t in pairs],
        "iou": [mask_iou(p, t) for p, t in pairs],
        "hd": [hausdorff(p, t, spacing, empty="drop-both") for p, t in pairs],
        "max": [hausdorff(p, t, percentile=100, empty="drop-both") for p, t in pairs],
        "nsd": [surface_dice(p, t, spacing, threshold, empty="drop-both") for p, t in pairs],
    }
    one_empty = np.array([p.any() != t.any() for p, t in pairs])
    assert 10 < one_empty.sum() < n / 3
    for name, tensor in theirs.items():
        expected = tensor.numpy()[:, 0].astype(float)
        if name in ("hd", "max"):  # MONAI says nan or inf; a mean wants a number
            expected[one_empty] = diagonal(shape, spacing if name == "hd" else ())
        # torch.quantile places the percentile between two distances by a float32 rank.
        np.testing.assert_allclose(ours[name], expected, rtol=1e-6, atol=1e-5 if name == "hd" else 1e-6, err_msg=name)
        assert np.isnan(expected).sum() == (0 if name in ("dice", "iou") else sum(not (p | t).any() for p, t in pairs))


def test_masks_of_different_shapes_are_refused() -> None:
    for function in (dice, mask_iou, hausdorff, surface_dice):
        with pytest.raises(ValueError, match="shape"):
            function(np.zeros((2, 2), bool), np.zeros((2, 3), bool))


@pytest.mark.parametrize("empty", ["best", "drop", "drop-both", "worst"])
def test_an_empty_mask_scores_what_its_policy_says(empty: Any) -> None:
    nan, far = float("nan"), 5.0  # the diagonal of 3 x 4 pixels
    both, truth_only = {"best": (True, False), "drop": (nan, nan), "drop-both": (nan, False), "worst": (False, False)}[
        empty
    ]
    overlap_policy = {"best": "one", "worst": "zero"}.get(empty, empty)
    for metric, best, worst in (
        (Dice(overlap_policy), 1.0, 0.0), (MaskIoU(overlap_policy), 1.0, 0.0),
        (HD95(empty=empty), 0.0, far), (SurfaceDice(empty=empty), 1.0, 0.0),
    ):  # fmt: skip
        as_score = {True: best, False: worst}
        found = [value(metric, [pair]) for pair in ((EMPTY, EMPTY), (FULL, EMPTY), (EMPTY, FULL), (None, FULL))]
        expected = [as_score.get(both, nan), as_score.get(truth_only, nan), worst, worst]
        assert found == pytest.approx(expected, nan_ok=True), metric.signature(())


def test_dropped_samples_do_not_enter_the_mean() -> None:
    metric = Dice("drop")
    pairs = [(FULL, FULL), (FULL, EMPTY), (EMPTY, FULL)]
    rows = metric.rows([Prediction(p) for p, _ in pairs], [Mask(t) for _, t in pairs], ())
    assert metric.counted(rows) == 2
    assert point(Measure(metric, (), rows)) == 0.5


def test_distances_are_in_millimetres_where_the_mask_has_a_spacing() -> None:
    truth, said = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    truth[5:10, 5:10], said[7:12, 5:10] = True, True
    assert value(HD95(), [(said, truth)]) == 2
    assert value(HD95(), [(said, truth)], (0.5, 3.0)) == 1
    assert value(SurfaceDice(1), [(said, truth)], (0.5, 3.0)) == 1
    assert value(SurfaceDice(0.9), [(said, truth)], (0.5, 3.0)) < 1
    assert value(HD95(), [(None, truth)], (3.0, 4.0)) == 100


def test_three_pixels_of_a_tenth_lie_within_three_tenths() -> None:
    truth, said = np.zeros((1, 9), bool), np.zeros((1, 9), bool)
    truth[0, 1], said[0, 4] = True, True
    assert surface_distances(said, truth, (1, 0.1))[0] > 0.3
    assert surface_dice(said, truth, (1, 0.1), 0.3) == 1


@given(mask_pairs)
def test_mask_metrics_are_symmetric_bounded_and_best_for_a_mask_itself(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pair
    assert dice(a, a) == mask_iou(a, a) == surface_dice(a, a) == 1
    assert hausdorff(a, a) == 0
    for function in (dice, mask_iou, hausdorff, surface_dice):
        assert function(a, b) == function(b, a)
    assert mask_iou(a, b) == pytest.approx(dice(a, b) / (2 - dice(a, b)))
    assert 0 <= hausdorff(a, b) <= diagonal(a.shape)
    assert 0 <= surface_dice(a, b) <= 1


@given(st.lists(mask_pairs, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_order_and_batches_change_nothing(pairs: Any, random: Any) -> None:
    cut = random.randrange(len(pairs) + 1)
    for factory in METRICS:
        metric = factory()
        parts = [
            metric.rows([Prediction(p) for p, _ in part], [Mask(t) for _, t in part], ())
            for part in (pairs, pairs[:cut], pairs[cut:])
        ]
        assert (parts[0] == np.concatenate(parts[1:])).all()
        assert value(metric, pairs) == pytest.approx(value(metric, random.sample(pairs, len(pairs))), abs=1e-12)


def test_metrics_of_one_batch_share_what_they_count(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    real = Mask.load
    monkeypatch.setattr(Mask, "load", lambda self: loads.append(self) or real(self))
    predictions, targets = [Prediction(FULL)], [Mask(FULL)]
    for metric in (HD95(), SurfaceDice(), SurfaceDice(2), HD95(100)):
        metric.rows(predictions, targets, ())
    assert len(loads) == 1


def test_signatures_hold_every_option_and_hausdorff_is_lower_better() -> None:
    assert Dice().signature(()) == "dice|avg:sample|empty:one|failed:0|v:1"
    assert HD95(empty="drop").signature(()) == "hausdorff|percentile:95|avg:sample|empty:drop|failed:diagonal|v:1"
    assert SurfaceDice(2.5).signature(()) == "surface-dice|tolerance:2.5|avg:sample|empty:best|failed:0|v:1"
    assert HD95.better == "lower"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Dice("none"), "empty is 'none', expected one of one, drop, drop-both, zero"),  # type: ignore[arg-type]
        (lambda: HD95(0), "percentile is 0"),
        (lambda: SurfaceDice(-1), "tolerance is -1"),
    ],
)
def test_wrong_options_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (1.0, float("nan"))])
def test_a_spacing_that_does_not_fit_is_refused(spacing: tuple[float, ...]) -> None:
    for function in (hausdorff, surface_dice):
        with pytest.raises(DataError, match=r"spacing is \(1.0,.*expected 2 positive numbers"):
            function(FULL, FULL, spacing)


def test_wrong_targets_are_refused() -> None:
    for factory in METRICS:
        with pytest.raises(TypeError, match="expected a Mask target, got Boxes"):
            factory().rows([Prediction(FULL)], [Boxes((Box("a", 0, 0, 1, 1),))], ())


def test_distances_in_a_volume_file_are_in_millimetres(tmp_path: Path) -> None:
    import nibabel as nib

    truth = np.zeros((6, 6, 6), np.uint8)
    truth[2:4, 2:4, 2:4] = 1
    path = tmp_path / "label.nii.gz"
    nib.save(nib.Nifti1Image(truth, np.diag([1.0, 1.0, 5.0, 1.0])), path)
    target = Mask(image=Image(str(path), kind="volume"))
    assert target.voxel_size() == (1.0, 1.0, 5.0)
    moved = np.roll(target.load(), 1, axis=2)
    metric = HD95(percentile=100)
    assert metric.scores([Prediction(moved)], [target], ()).tolist() == [5.0]
    assert metric.scores([Prediction(moved)], [Mask(target.load())], ()).tolist() == [1.0]
