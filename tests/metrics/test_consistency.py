"""Flips, invented and missed findings, on pairs made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.base import Metric
from radbench.metrics.findings.consistency import (
    METRICS,
    HallucinatedFindings,
    LateralityFlips,
    MissedFindings,
    NegationFlips,
    contradictions,
)

from radbench.records import Failure, Prediction, Text

FAILED = Prediction(None, Failure("empty"))
PHRASES = [
    "Small left pleural effusion.",
    "Small right pleural effusion.",
    "No pleural effusion or pneumothorax.",
    "Bilateral pleural effusions.",
    "Right lower lobe opacity may represent pneumonia.",
    "The lungs are clear.",
    "Mild cardiomegaly.",
    "The heart is normal in size.",
    "Left PICC in place.",
    "No acute cardiopulmonary abnormality.",
    "Possible edema.",
    "",
]
texts = st.lists(st.sampled_from(PHRASES), max_size=5).map(" ".join)
metrics = pytest.mark.parametrize("metric", [factory() for factory in METRICS.values()], ids=METRICS)


def scores(metric: Metric, pairs: list[tuple[Prediction | str, str | tuple[str, ...]]]) -> list[float]:
    predictions = [p if isinstance(p, Prediction) else Prediction(p) for p, _ in pairs]
    targets = [Text((r,) if isinstance(r, str) else r) for _, r in pairs]
    found = metric.sample_scores(metric.rows(predictions, targets, ()), ())
    assert found is not None
    return [float(x) for x in found]


@pytest.mark.parametrize(
    ("prediction", "reference", "flips"),
    [
        ("No pleural effusion.", "Small pleural effusion.", {"Pleural Effusion"}),
        ("Small pleural effusion.", "No pleural effusion.", {"Pleural Effusion"}),
        ("The lungs are clear.", "Left base opacity.", {"Lung Opacity"}),
        ("The heart is enlarged. No edema.", "Normal heart size. Pulmonary edema.", {"Cardiomegaly", "Edema"}),
        ("Possible pleural effusion.", "No pleural effusion.", set()),  # a hedge contradicts nothing
        ("Pneumothorax.", "Small pleural effusion.", set()),  # nor does silence
        ("No effusion.", "No effusion.", set()),
        ("No acute abnormality.", "Left effusion.", set()),  # No Finding is no observation of its own here
    ],
)
def test_negation_flips(prediction: str, reference: str, flips: set[str]) -> None:
    assert set(contradictions(prediction, reference)["negation-flips"]) == flips
    assert scores(NegationFlips(), [(prediction, reference)]) == [len(flips)]


@pytest.mark.parametrize(
    ("prediction", "reference", "flips"),
    [
        ("Left pleural effusion.", "Right pleural effusion.", {"Pleural Effusion"}),
        ("Right pleural effusion.", "Left pleural effusion.", {"Pleural Effusion"}),
        ("Lingular opacity.", "Right middle lobe opacity.", {"Lung Opacity"}),
        ("Bilateral pleural effusions.", "Left pleural effusion.", set()),
        ("Left effusion. Right effusion.", "Right effusion.", set()),
        ("Pleural effusion.", "Left pleural effusion.", set()),  # a side left out is no wrong side
        ("No left effusion.", "Right effusion.", set()),  # only what both affirm
        ("Left effusion.", "Right pneumothorax.", set()),
        (
            "Left effusion and right pneumothorax.",
            "Right effusion and left pneumothorax.",
            {"Pleural Effusion", "Pneumothorax"},
        ),
    ],
)
def test_laterality_flips(prediction: str, reference: str, flips: set[str]) -> None:
    assert set(contradictions(prediction, reference)["laterality-flips"]) == flips
    assert scores(LateralityFlips(), [(prediction, reference)]) == [len(flips)]


@pytest.mark.parametrize(
    ("prediction", "reference", "invented", "missed"),
    [
        ("Left effusion.", "The lungs are clear.", 1, 0),
        ("The lungs are clear.", "Left effusion. Cardiomegaly.", 0, 2),
        ("Left effusion.", "No effusion.", 1, 0),
        ("Left effusion.", "Possible effusion.", 0, 0),
        ("Possible effusion.", "No effusion.", 0, 0),
        ("Edema.", "Pneumonia.", 1, 1),
        ("Left PICC.", "Normal chest.", 1, 0),
        ("Normal chest.", "Normal chest.", 0, 0),
        ("Normal chest.", "Scoliosis.", 0, 0),
    ],
)
def test_invented_and_missed(prediction: str, reference: str, invented: int, missed: int) -> None:
    assert scores(HallucinatedFindings(), [(prediction, reference)]) == [invented]
    assert scores(MissedFindings(), [(prediction, reference)]) == [missed]


@pytest.mark.parametrize(
    ("uncertain", "prediction", "reference", "invented", "missed"),
    [
        ("neither", "Possible edema.", "No edema.", 0, 0),
        ("positive", "Possible edema.", "No edema.", 1, 0),
        ("negative", "Possible edema.", "No edema.", 0, 0),
        ("neither", "Edema.", "Possible edema.", 0, 0),
        ("positive", "Edema.", "Possible edema.", 0, 0),
        ("negative", "Edema.", "Possible edema.", 1, 0),
        ("neither", "No edema.", "Possible edema.", 0, 0),
        ("positive", "No edema.", "Possible edema.", 0, 1),
        ("negative", "Possible edema.", "Edema.", 0, 1),
        ("neither", "Possible edema.", "Edema.", 0, 0),
    ],
)
def test_the_policy_for_hedges(uncertain: str, prediction: str, reference: str, invented: int, missed: int) -> None:
    assert scores(HallucinatedFindings(uncertain), [(prediction, reference)]) == [invented]  # type: ignore[arg-type]
    assert scores(MissedFindings(uncertain), [(prediction, reference)]) == [missed]  # type: ignore[arg-type]


def test_devices_can_be_left_out() -> None:
    assert scores(HallucinatedFindings(devices="ignore"), [("Left PICC. Edema.", "Clear lungs.")]) == [1]
    assert scores(HallucinatedFindings(), [("Left PICC. Edema.", "Clear lungs.")]) == [2]


def test_a_failed_answer_gets_what_its_card_says() -> None:
    reference = "Left effusion. Right opacity. Bilateral atelectasis. No pneumothorax. Possible edema. Scoliosis."
    for answer in (FAILED, "", " \n"):
        assert scores(NegationFlips(), [(answer, reference)]) == [4]  # three affirmed, one denied
        assert scores(LateralityFlips(), [(answer, reference)]) == [2]  # two on one side only
        assert scores(MissedFindings(), [(answer, reference)]) == [3]
        assert scores(HallucinatedFindings(), [(answer, reference)]) == [9]  # 13 less three affirmed and one hedged
        assert scores(HallucinatedFindings("negative", "ignore"), [(answer, reference)]) == [9]  # 12 less three


def test_failing_every_time_is_the_worst_of_all() -> None:
    pairs = [("Left effusion. Edema.", "Edema."), ("No effusion.", "Left effusion.")]
    for factory in METRICS.values():
        failed = scores(factory(), [(FAILED, reference) for _, reference in pairs])
        assert all(f >= real for f, real in zip(failed, scores(factory(), pairs), strict=True))
    assert scores(HallucinatedFindings(), [(FAILED, "Edema."), (FAILED, "The lungs are clear.")]) == [12, 13]
    assert "failed:all-absent" in HallucinatedFindings().signature(())


@given(texts, st.lists(texts, min_size=1, max_size=3).map(tuple))
def test_no_answer_does_worse_than_a_failed_one(prediction: str, alternatives: tuple[str, ...]) -> None:
    options = [(u, d) for u in ("neither", "positive", "negative") for d in ("count", "ignore")]
    findings = [factory(u, d) for factory in (HallucinatedFindings, MissedFindings) for u, d in options]
    for metric in (NegationFlips(), LateralityFlips(), *findings):
        real, failed = scores(metric, [(prediction, alternatives), (FAILED, alternatives)])
        assert real <= failed


@given(texts)
def test_an_identical_pair_has_none(text: str) -> None:
    assert not any(contradictions(text, text).values())
    if text.strip():
        assert all(scores(factory(), [(text, text)]) == [0] for factory in METRICS.values())


@given(texts, texts)
def test_what_one_misses_the_other_invents(one: str, other: str) -> None:
    there, back = contradictions(one, other), contradictions(other, one)
    assert there["hallucinated-findings"] == back["missed-findings"]
    assert there["negation-flips"] == back["negation-flips"]
    assert there["laterality-flips"] == back["laterality-flips"]


def test_the_best_of_several_references_counts() -> None:
    both = ("Left effusion.", "Right effusion.")
    assert scores(LateralityFlips(), [("Left effusion.", both)]) == [0]
    assert scores(MissedFindings(), [("Normal chest.", ("Edema. Effusion.", "Edema."))]) == [1]


@metrics
@given(pairs=st.lists(st.tuples(texts, texts), min_size=1, max_size=12), cut=st.integers(0, 12))
def test_batches_change_nothing(metric: Metric, pairs: list[tuple[str, str]], cut: int) -> None:
    predictions, targets = [Prediction(p) for p, _ in pairs], [Text((r,)) for _, r in pairs]
    parts = [metric.rows(predictions[part], targets[part], ()) for part in (slice(cut), slice(cut, None))]
    assert np.array_equal(metric.rows(predictions, targets, ()), np.concatenate(parts))


@metrics
@given(prediction=st.text(), reference=st.text())
def test_any_text_scores(metric: Metric, prediction: str, reference: str) -> None:
    (score,) = scores(metric, [(prediction, reference)])
    assert 0 <= score <= 13


@metrics
def test_lower_is_better_and_the_mean_is_over_all_reports(metric: Metric) -> None:
    assert metric.better == "lower"
    pairs = [("No effusion.", "Left effusion."), ("Left effusion.", "Left effusion."), (FAILED, "Left effusion.")]
    each = scores(metric, pairs)
    rows = metric.rows(
        [p if isinstance(p, Prediction) else Prediction(p) for p, _ in pairs], [Text((r,)) for _, r in pairs], ()
    )
    assert metric.counted(rows) == 3
    assert metric.value(rows, np.ones((1, 3)), ())[0] == pytest.approx(sum(each) / 3)
    assert metric.signature(()).startswith(next(n for n, f in METRICS.items() if f is type(metric)))


@pytest.mark.parametrize("option", [{"uncertain": "maybe"}, {"devices": "some"}])
def test_a_wrong_option_is_named(option: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        MissedFindings(**option)  # type: ignore[arg-type]
