"""Distinctness and length of a model's texts, and the warning of template collapse."""

from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.base import Metric
from radbench.metrics.findings.diversity import (
    METRICS,
    CollapseWatch,
    DistinctReports,
    LengthAgreement,
    MostFrequentShare,
    SameReportPairs,
    collapse_warning,
    length_ratio,
    text_hash,
)

from radbench.records import Failure, Prediction, Text
from radbench.statistics import Measure, clusters_of, estimate

some_texts = st.lists(st.sampled_from(["a", "b", "c c", "d d d", "", "e\nf"]), min_size=1, max_size=30)
metrics = pytest.mark.parametrize("metric", [factory() for factory in METRICS.values()], ids=METRICS)


def rows(metric: Metric, texts: list[str], reference: str = "x y") -> np.ndarray:
    return metric.rows([Prediction(t) for t in texts], [Text((reference,)) for _ in texts], ())


def score(metric: Metric, texts: list[str], reference: str = "x y") -> float:
    found = rows(metric, texts, reference)
    return float(metric.value(found, np.ones((1, len(found))), ())[0])


@given(some_texts)
def test_values_are_what_counting_gives(texts: list[str]) -> None:
    counts, n = Counter(texts), len(texts)
    assert score(DistinctReports(), texts) == pytest.approx(len(counts) / n)
    assert score(MostFrequentShare(), texts) == pytest.approx(max(counts.values()) / n)
    if n > 1:
        pairs = sum(c * (c - 1) for c in counts.values()) / (n * (n - 1))
        assert score(SameReportPairs(), texts) == pytest.approx(pairs)
    else:
        assert np.isnan(score(SameReportPairs(), texts))


@given(st.lists(st.text(), min_size=1, max_size=30))
def test_any_text_scores(texts: list[str]) -> None:
    assert 0 < score(DistinctReports(), texts) <= 1
    assert 0 < score(MostFrequentShare(), texts) <= 1
    assert 0 <= score(LengthAgreement(), texts) <= 1


def test_case_and_white_space_make_no_difference() -> None:
    assert text_hash("No  acute\nfinding. ") == text_hash("no acute finding.")
    assert text_hash("no acute finding.") != text_hash("no acute findings.")
    assert float(text_hash("x")).is_integer()
    assert text_hash("x") < 2**53
    assert text_hash("\ud800") != text_hash("\ud801")  # lone surrogates are texts too


def test_failed_answers_count_as_one_text() -> None:
    metric = DistinctReports()
    found = metric.rows([Prediction(None, Failure("empty"))] * 3 + [Prediction("a")], [Text(("x",))] * 4, ())
    assert metric.value(found, np.ones((1, 4)), ())[0] == pytest.approx(0.5)


@metrics
@given(texts=some_texts, cut=st.integers(0, 30))
def test_batches_and_order_change_nothing(metric: Metric, texts: list[str], cut: int) -> None:
    parts = np.concatenate([rows(metric, texts[:cut]), rows(metric, texts[cut:])])
    assert np.array_equal(rows(metric, texts), parts)
    assert score(metric, texts[::-1]) == pytest.approx(score(metric, texts), nan_ok=True)


@metrics
@given(texts=some_texts, seed=st.integers(0, 99))
def test_one_resample_does_not_see_another(metric: Metric, texts: list[str], seed: int) -> None:
    found = rows(metric, texts)
    weights = np.random.default_rng(seed).integers(0, 3, (5, len(texts))).astype(float)
    together = metric.value(found, weights, ())
    alone = [metric.value(found, w[None, :], ())[0] for w in weights]
    assert np.allclose(together, alone, equal_nan=True)


@metrics
@given(texts=some_texts, seed=st.integers(0, 99))
def test_samples_of_weight_zero_are_not_there(metric: Metric, texts: list[str], seed: int) -> None:
    found = rows(metric, texts)
    keep = np.random.default_rng(seed).random(len(texts)) < 0.5
    masked = metric.value(found, keep[None, :].astype(float), ())[0]
    if isinstance(metric, DistinctReports | MostFrequentShare) and not keep.all():
        assert np.isnan(masked)  # the engine hands a subgroup's own rows over instead
        return
    alone = metric.value(found[keep], np.ones((1, int(keep.sum()))), ())[0]
    assert masked == pytest.approx(alone, nan_ok=True)


def test_drawing_a_sample_twice_repeats_no_text() -> None:
    found = rows(SameReportPairs(), [str(i) for i in range(50)])
    weights = np.random.default_rng(0).multinomial(50, [1 / 50] * 50, 20).astype(float)
    assert np.allclose(SameReportPairs().value(found, weights, ()), 0.0)


@pytest.mark.parametrize(
    "texts", [[f"triple {i // 3}" for i in range(300)], [f"template {i % 10}" for i in range(300)]]
)
def test_a_distinct_count_and_a_maximum_have_no_interval(texts: list[str]) -> None:
    measures = {name: Measure(METRICS[name](), (), rows(METRICS[name](), texts)) for name in METRICS}
    found = estimate(measures, clusters_of([str(i) for i in range(300)]), resamples=200)
    counts = Counter(texts)
    for name, value in (
        ("distinct-reports", len(counts) / 300),
        ("most-frequent-share", max(counts.values()) / 300),
    ):
        assert found[name].value == pytest.approx(value)
        assert found[name].defined == 0
        assert np.isnan([found[name].low, found[name].high]).all()
        assert METRICS[name]().card.notes
    pairs = found["same-report-pairs"]
    assert pairs.defined == 200
    assert pairs.low <= pairs.value <= pairs.high


@pytest.mark.parametrize("metric", [DistinctReports(), MostFrequentShare()], ids=["distinct", "most frequent"])
@pytest.mark.parametrize("odd", [2.0, 0.5, np.nan])
def test_other_weights_than_one_give_nan(metric: Metric, odd: float) -> None:
    found = rows(metric, ["a", "a", "b"])
    values = metric.value(found, np.array([[1, 1, 1], [0, 1, 1], [odd, 1, 0], [0, 0, 0]]), ())
    assert values[0] == pytest.approx(2 / 3)
    assert np.isnan(values[1:]).all()


@pytest.mark.parametrize("metric", [DistinctReports(), MostFrequentShare()], ids=["distinct", "most frequent"])
def test_a_subgroup_has_a_value_and_no_interval(metric: Metric) -> None:
    keep = np.arange(300) < 10
    measure = Measure(metric, (), rows(metric, [f"triple {i // 3}" for i in range(300)]), keep)
    found = estimate({"m": measure}, clusters_of([str(i) for i in range(300)]), resamples=1000)["m"]
    assert found.value == pytest.approx(0.4 if isinstance(metric, DistinctReports) else 0.3)
    assert found.defined == 0


def test_same_pairs_are_unbiased_under_resampling() -> None:
    texts = [f"pair {i // 2}" for i in range(400)]
    found = rows(SameReportPairs(), texts)
    weights = np.random.default_rng(1).multinomial(400, [1 / 400] * 400, 2000).astype(float)
    draws = SameReportPairs().value(found, weights, ())
    assert draws.mean() == pytest.approx(score(SameReportPairs(), texts), rel=0.02)


@pytest.mark.parametrize(
    ("said", "reference", "agreement", "ratio"),
    [("a b", "x y", 1.0, 1.0), ("a", "x y", 0.5, 0.5), ("a b c d", "x y", 0.5, 2.0), ("", "x y", 0.0, 0.0)],
)
def test_length(said: str, reference: str, agreement: float, ratio: float) -> None:
    assert score(LengthAgreement(), [said] * 3, reference) == pytest.approx(agreement)
    assert length_ratio([said] * 3, [reference] * 3) == pytest.approx(ratio)


def test_length_takes_the_closest_reference_and_sums_before_dividing() -> None:
    metric = LengthAgreement()
    found = metric.rows([Prediction("a b c")], [Text(("x", "x y", "x y z v"))], ())
    assert found.tolist() == [[3.0, 2.0]]  # two and four are as close: the shorter
    both = np.concatenate([rows(metric, ["a"], "x y z"), rows(metric, ["a b c d e"], "x y z")])
    assert metric.value(both, np.ones((1, 2)), ())[0] == pytest.approx(1.0)
    assert np.isnan(length_ratio(["a"], [""]))


def test_nothing_to_score_is_nan() -> None:
    for metric in (factory() for factory in METRICS.values()):
        empty = metric.rows([], [], ())
        assert np.isnan(metric.value(empty, np.ones((2, 0)), ())).all()


def _reports(n: int, distinct: int) -> list[str]:
    return [f"report {i % distinct} of the chest" for i in range(n)]


def test_real_variety_raises_no_warning() -> None:
    assert collapse_warning(_reports(200, 150), _reports(200, 180)) is None
    assert collapse_warning(_reports(200, 90), _reports(200, 90)) is None  # references repeat themselves as much


def test_collapse_is_named() -> None:
    references = _reports(200, 180)
    assert "distinct" in str(collapse_warning(_reports(200, 5), references))
    half_the_same = ["No acute finding in the chest"] * 60 + _reports(140, 140)
    assert "the same text, of their references" in str(collapse_warning(half_the_same, references))
    assert "tokens" in str(collapse_warning([f"{i}" for i in range(200)], references))
    assert "tokens" in str(collapse_warning([t * 3 + " and" * 8 for t in references], references))


def test_a_warning_quotes_no_text() -> None:
    secret = "Jane Doe has zyxwv"
    for predictions in ([secret] * 200, [secret] * 80 + _reports(120, 120), [f"{secret} {i} " * 9 for i in range(200)]):
        warning = collapse_warning(predictions, _reports(200, 180))
        assert warning
        assert not any(word.lower() in warning.lower() for word in ("Jane", "Doe", "zyxwv"))


@pytest.mark.parametrize("predictions", [_reports(250, 5), ["same text"] * 90 + _reports(160, 160), _reports(250, 250)])
def test_a_watch_says_the_same_however_the_texts_come(predictions: list[str]) -> None:
    references = _reports(250, 240)
    watch = CollapseWatch()
    assert watch.warning() is None
    for i in (0, 64, 128, 192):
        watch.add(iter(predictions[i : i + 64]), iter(references[i : i + 64]))
    assert watch.warning() == collapse_warning(predictions, references)
    with pytest.raises(ValueError, match="1 predictions, 0 references"):
        watch.add(["a"], [])


def test_a_watch_keeps_eight_bytes_a_text() -> None:
    watch = CollapseWatch()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for i in range(100):
            watch.add([f"{i} {j}" * 50 for j in range(50)], [f"{i} {j}" * 50 for j in range(50)])
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2 * 5000 * 12


def test_references_without_words_are_no_reason_to_warn_of_length() -> None:
    assert collapse_warning([""] * 200, [""] * 200) is None


def test_a_hundred_pairs_are_needed() -> None:
    assert collapse_warning(["same"] * 99, _reports(99, 99)) is None
    assert collapse_warning(["same"] * 100, _reports(100, 100)) is not None
    with pytest.raises(ValueError, match="2 predictions, 1 references"):
        collapse_warning(["a", "b"], ["a"])


@metrics
def test_cards_and_signatures(metric: Metric) -> None:
    name = next(n for n, f in METRICS.items() if f is type(metric))
    assert metric.signature(()).startswith(f"{name}|")
    assert metric.card.range.startswith(("0 to 1", "1/n to 1"))
    assert f"{metric.better} is better" in metric.card.range
