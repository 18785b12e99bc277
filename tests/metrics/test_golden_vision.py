"""Dice, box IoU, F1 and accuracy against MONAI, torchmetrics and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.boxes import MeanIoU, box_iou, matched_ious
from radbench.metrics.classification import F1, Accuracy
from radbench.metrics.masks import Dice, dice
from radbench.metrics.matching import most_similar_option

from radbench.records import Box, Boxes, Failure, Labels, Mask, Prediction
from radbench.statistics import Measure, point

Golden = Callable[[str], Any]


def unpacked(runs: list[int], shape: list[int]) -> np.ndarray:
    """A mask from its run lengths, row-major, the first run being zeros."""
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return values.reshape(shape)


def is_nan(value: Any) -> bool:
    return value == "nan"


def test_dice_equals_monai_under_both_empty_policies(golden: Golden) -> None:
    cases = golden("vision_stats_golden")["dice"]["cases"]
    assert len(cases) == 11
    for case in cases:
        p, t = unpacked(case["pred_rle"], case["shape"]), unpacked(case["gt_rle"], case["shape"])
        assert dice(p, t, "one") == pytest.approx(case["monai_compute_dice_ignore_empty_false"], abs=1e-6), case["name"]
        dropped = dice(p, t, "drop")
        if is_nan(case["monai_compute_dice_ignore_empty_true"]):
            assert np.isnan(dropped), case["name"]
        else:
            assert dropped == pytest.approx(case["monai_compute_dice_ignore_empty_true"], abs=1e-6)
        if case["dice_textbook"] is not None:
            assert dice(p, t) == pytest.approx(case["dice_textbook"], abs=1e-9)
        if isinstance(case["surface_distance_dice"], float):
            assert dice(p, t) == pytest.approx(case["surface_distance_dice"], abs=1e-9)
        assert dice(p, t, "zero") == pytest.approx(
            case["torchmetrics_GeneralizedDiceScore_1class_MultiMedEval_args"], abs=1e-6
        )


def test_mean_dice_equals_monai_and_leaves_dropped_samples_out(golden: Golden) -> None:
    original = golden("vision_stats_golden")["dice"]
    cases = [c for c in original["cases"] if c["name"] in original["mean_cases"]]
    metric = Dice("drop")
    rows = metric.rows(
        [Prediction(unpacked(c["pred_rle"], c["shape"])) for c in cases],
        [Mask(unpacked(c["gt_rle"], c["shape"])) for c in cases],
        (),
    )
    assert point(Measure(metric, (), rows)) == pytest.approx(
        original["monai_DiceMetric_mean_over_64x64_cases"], abs=1e-6
    )
    assert metric.counted(rows) < len(cases)


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        dice(np.zeros((2, 2), bool), np.zeros((2, 3), bool))


def test_box_iou_equals_monai_and_the_inclusive_variant(golden: Golden) -> None:
    original = golden("vision_stats_golden")["box_iou"]
    pairs = [(Box("a", *p), Box("a", *t)) for p, t in zip(original["pred"], original["gt"], strict=True)]
    ours = [box_iou(p, t) for p, t in pairs]
    assert ours == pytest.approx(original["textbook"], abs=1e-9)
    compared = [
        (o, m) for o, m in zip(ours, original["monai"], strict=True) if m is not None
    ]  # MONAI refuses inverted boxes
    assert len(compared) == 8
    for got, theirs in compared:
        assert got == pytest.approx(theirs, abs=1e-6)
    inclusive = [box_iou(p, t, "inclusive") for p, t in pairs]
    assert inclusive == pytest.approx(original["inclusive_pixel_plus1"], abs=1e-9)
    metric = MeanIoU()
    rows = metric.rows([Prediction((p,)) for p, _ in pairs], [Boxes((t,)) for _, t in pairs], ())
    assert point(Measure(metric, (), rows)) == pytest.approx(original["mean_textbook"], abs=1e-9)


def test_structures_are_matched_one_to_one_within_their_label() -> None:
    left, right = Box("left lung", 0, 0, 10, 10), Box("right lung", 20, 0, 30, 10)
    assert matched_ious([right, left], [left, right]) == [1.0, 1.0]
    assert matched_ious([left, left], [left, right]) == [1.0, 0.0]
    twins = [Box("nodule", 0, 0, 10, 10), Box("nodule", 0, 0, 10, 9)]
    assert matched_ious([Box("nodule", 0, 0, 10, 9)], twins) == [0.0, 1.0]
    metric = MeanIoU()
    rows = metric.rows([Prediction(None, Failure("empty"))], [Boxes((left, right))], ())
    assert rows.tolist() == [[0.0, 2.0]]


def classification_rows(metric: Any, truth: list[int], said: list[int]) -> Measure:
    names = [str(i) for i in range(6)]
    targets = [Labels((str(t),)) for t in truth]
    state = metric.fit(targets, names)
    return Measure(metric, state, metric.rows([Prediction((str(s),)) for s in said], targets, state))


def test_multiclass_scores_equal_scikit_learn(golden: Golden) -> None:
    original = golden("vision_stats_golden")["multiclass"]
    truth, said = original["y_true"], original["y_pred"]
    assert point(classification_rows(F1(), truth, said)) == pytest.approx(original["sk_macro_f1"], abs=1e-9)
    assert point(classification_rows(F1(over="fixed"), truth, said)) == pytest.approx(
        original["sk_macro_f1_labels0_5"], abs=1e-9
    )
    assert point(classification_rows(F1(), truth, said)) == pytest.approx(original["tm_macro_f1"], abs=1e-6)
    assert point(classification_rows(F1("micro"), truth, said)) == pytest.approx(original["sk_micro_f1"], abs=1e-9)
    assert point(classification_rows(Accuracy(), truth, said)) == pytest.approx(original["sk_accuracy"], abs=1e-9)


def test_multilabel_scores_equal_scikit_learn(golden: Golden) -> None:
    original = golden("vision_stats_golden")["multilabel"]
    as_names = [[tuple(str(i) for i, v in enumerate(row) if v) for row in original[k]] for k in ("y_true", "y_pred")]
    targets = [Labels(names) for names in as_names[0]]
    predictions = [Prediction(names) for names in as_names[1]]
    cases = {
        "sk_macro_f1": F1(over="fixed"),
        "sk_macro_f1_zero_division_nan": F1(over="present"),
        "sk_micro_f1": F1("micro"),
        "sk_exact_match": Accuracy(),
    }
    for key, metric in cases.items():
        state = metric.fit(targets, [str(i) for i in range(7)])
        measure = Measure(metric, state, metric.rows(predictions, targets, state))
        expected = original[key]
        assert point(measure) == pytest.approx(expected, abs=1e-9), key


def test_a_failed_answer_is_a_miss_and_nobodys_false_alarm() -> None:
    metric = F1()
    targets = [Labels(("a",)), Labels(("b",))]
    state = metric.fit(targets, ())
    rows = metric.rows([Prediction(None, Failure("unparsable")), Prediction(("b",))], targets, state)
    assert dict(zip(metric.columns(state), rows.sum(axis=0), strict=True)) == {
        "tp:a": 0, "tp:b": 1, "fp:a": 0, "fp:b": 0, "fn:a": 1, "fn:b": 0,
    }  # fmt: skip
    assert Accuracy().score(Prediction(None, Failure("empty")), targets[0]) == 0.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_f1_agrees_with_scikit_learn_on_any_labels(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import f1_score

    truth, said = [p[0] for p in pairs], [p[1] for p in pairs]
    for average in ("macro", "micro"):
        ours = point(classification_rows(F1(average), truth, said))  # type: ignore[arg-type]
        assert ours == pytest.approx(f1_score(truth, said, average=average, zero_division=0), abs=1e-12)


@pytest.mark.parametrize("closed_set", ["modality", "yes_no"])
def test_option_matching_equals_the_original(closed_set: str, golden: Golden) -> None:
    original = golden("misc_golden")["difflib"][closed_set]
    for text, expected in original["table"].items():
        assert most_similar_option(text, original["options"], case="mixed") == expected["peer_index"], text
        ratios = expected["ratios_lower_opt_first"]
        lower = most_similar_option(text, original["options"])
        assert lower == (expected["argmax_ratios_lower_opt_first"] if max(ratios) > 0 else None), text


def test_lower_casing_reads_yes_as_yes() -> None:
    options = ["yes", "no"]
    assert most_similar_option("Yes, there is evidence of pneumonia.", options, case="mixed") == 1
    assert most_similar_option("Yes, there is evidence of pneumonia.", options) == 0
    assert most_similar_option("", options) is None
