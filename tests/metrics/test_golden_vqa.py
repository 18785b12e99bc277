"""MedDr's VQA protocol against PyPI multimedeval 1.0.0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.vqa.multimedeval import _PARTS, MultiMedEvalVQA, clean_str, pair_statistics

from radbench.records import Prediction, Text
from radbench.statistics import Measure, point

THEIR_NAMES = {
    "bleu-1": ("bleu", 1e-6),  # torchmetrics computes BLEU in float32
    "f1": ("F1", 1e-9),
    "recall": ("recall", 1e-9),
    "closed-accuracy": ("closedQuestionsAccuracy", 1e-9),
    "open-recall": ("openQuestionsRecall", 1e-9),
    "open-accuracy": ("openQuestionsAccuracy", 1e-9),
}


def test_clean_str_equals_the_original(golden: Callable[[str], Any]) -> None:
    table = golden("multimedeval_1.0.0_golden")["out"]["clean_str"]
    assert len(table) == 29
    assert {text: clean_str(text) for text in table} == table


def test_only_the_first_32_periods_are_dropped() -> None:
    assert clean_str("a." * 40 + "b").count(".") == 8


@pytest.mark.parametrize("subset", ["VQA_vqa", "VQA_vqa_and_edge", "VQA_all"])
def test_six_scores_equal_the_original(subset: str, golden: Callable[[str], Any]) -> None:
    original = golden("multimedeval_1.0.0_golden")["out"][subset]
    rows = list(original["rows"].values())
    predictions = [Prediction(r["predicted"]) for r in rows]
    targets = [Text((r["correct"],)) for r in rows]
    for part in _PARTS:
        name, tolerance = THEIR_NAMES[part]
        metric = MultiMedEvalVQA(part)
        got = point(Measure(metric, (), metric.rows(predictions, targets, ())))
        assert got == pytest.approx(original["metrics"][name], abs=tolerance), part


def test_rows_equal_the_original(golden: Callable[[str], Any]) -> None:
    for row in golden("multimedeval_1.0.0_golden")["out"]["VQA_all"]["rows"].values():
        ours = pair_statistics(row["predicted"], row["correct"])
        assert ours["f1"] == pytest.approx(row["F1"], abs=1e-9)
        assert ours["recall"] == pytest.approx(row["recall"], abs=1e-9)
        assert ours["bleu1"] == pytest.approx(row["BLEU"], abs=1e-6)
        assert clean_str(row["predicted"]) == row["clean_predicted"]
        assert clean_str(row["correct"]) == row["clean_correct"]


def test_contractions_are_mended() -> None:
    assert clean_str("dont") == "don't"
    assert clean_str("hadntve") == "hadntve"  # one apostrophe at a time, as the original's table
    assert clean_str("hadnt've") == "hadn't've"


@given(st.text(), st.text())
def test_any_pair_scores_between_0_and_1_and_never_raises(prediction: str, reference: str) -> None:
    for name, score in pair_statistics(prediction, reference).items():
        assert 0.0 <= score <= 1.0, name
