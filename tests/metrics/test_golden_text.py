"""BLEU and ROUGE-1 against the values of the original implementations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from radbench.metrics.text import Bleu, ExactMatch, Rouge1, tokens_13a, tokens_rouge

from radbench.records import Failure, Prediction, Text
from radbench.statistics import Measure, point

Golden = Callable[[str], Any]

# our options -> key of text_golden.json, tolerance; aggregates compare the corpus value
CORPUS = [
    (Bleu(n=1), "sacrebleu_bleu1", 1e-9),
    (Bleu(n=1), "evaluate_bleu1", 1e-9),
    (Bleu(n=2), "evaluate_bleu2", 1e-9),
    (Bleu(n=4), "evaluate_bleu4", 1e-9),
]


@pytest.fixture(scope="module")
def pairs(golden: Golden) -> dict[str, tuple[str, str]]:
    return {p["id"]: (p["hyp"], p["ref"]) for p in golden("pairs")}


def value(metric: Any, ids: list[str], pairs: dict[str, tuple[str, str]]) -> float:
    rows = metric.rows([Prediction(pairs[i][0]) for i in ids], [Text((pairs[i][1],)) for i in ids], ())
    return point(Measure(metric, (), rows))


@pytest.mark.parametrize(("metric", "key", "tolerance"), CORPUS, ids=[f"{m.signature(())}-{k}" for m, k, _ in CORPUS])
def test_corpus_bleu_equals_its_original(metric: Bleu, key: str, tolerance: float, golden: Golden, pairs: Any) -> None:
    original = golden("text_golden")
    for subset, expected in original["metrics"][key]["aggregate"].items():
        if isinstance(expected, float):
            assert value(metric, original["subsets"][subset], pairs) == pytest.approx(expected, abs=tolerance), subset
    compared = {i: e for i, e in original["metrics"][key]["per_pair"].items() if isinstance(e, float)}
    assert len(compared) >= 50
    for pair, expected in compared.items():
        assert value(metric, [pair], pairs) == pytest.approx(expected, abs=tolerance), pair


@pytest.mark.parametrize("n", [1, 2, 4])
def test_sample_bleu_on_split_equals_torchmetrics(n: int, golden: Golden, pairs: Any) -> None:
    original = golden("text_golden")
    expected = original["metrics"][f"torchmetrics_bleu{n}"]
    metric = Bleu(n=n, tok="split", avg="sample")
    for pair, score in expected["per_pair"].items():
        assert value(metric, [pair], pairs) == pytest.approx(score, abs=1e-6), pair
    for subset in ("report", "vqa_closed", "vqa_open", "all", "nonempty"):
        ids = original["subsets"][subset]
        assert value(metric, ids, pairs) == pytest.approx(expected["aggregate"][f"{subset}_mean"], abs=1e-6)
        corpus = Bleu(n=n, tok="split")
        assert value(corpus, ids, pairs) == pytest.approx(expected["aggregate"][f"{subset}_corpus"], abs=1e-6)


def test_split_corpus_bleu1_equals_nltk_where_no_answer_is_empty(golden: Golden, pairs: Any) -> None:
    """nltk counts an empty hypothesis as one possible n-gram; the subset without empty texts is free of that."""
    expected = golden("text_golden")["metrics"]["nltk_bleu1_split"]["aggregate"]
    subset = golden("text_golden")["subsets"]["report"]
    assert value(Bleu(n=1, tok="split"), subset, pairs) == pytest.approx(expected["report"], abs=1e-9)
    lower = golden("text_golden")["metrics"]["nltk_bleu1_lowersplit"]["aggregate"]["report"]
    assert value(Bleu(n=1, tok="split", case="lower"), subset, pairs) == pytest.approx(lower, abs=1e-9)


def test_rouge1_equals_rouge_score_and_torchmetrics(golden: Golden, pairs: Any) -> None:
    original = golden("text_golden")
    for pair, scores in original["metrics"]["rouge_score"]["per_pair"].items():
        assert value(Rouge1(), [pair], pairs) == pytest.approx(scores["rouge1"][2], abs=1e-9), pair
    for pair, scores in original["metrics"]["torchmetrics_rouge"]["per_pair"].items():
        assert value(Rouge1(), [pair], pairs) == pytest.approx(scores["rouge1_fmeasure"], abs=1e-6), pair


def test_tokens_equal_the_originals(golden: Golden, pairs: Any) -> None:
    original = golden("text_golden")["metrics"]
    for key, tokenise in (("tok_13a", tokens_13a), ("tok_rouge", tokens_rouge)):
        for pair, (ref, hyp) in original[key]["per_pair"].items():
            assert [list(tokenise(pairs[pair][1])), list(tokenise(pairs[pair][0]))] == [ref, hyp], (key, pair)


def test_bleu_agrees_with_the_installed_sacrebleu_on_random_texts() -> None:
    from sacrebleu.metrics import BLEU

    rng = np.random.default_rng(0)
    words = np.array(
        ["lung", "lungs,", "3.5", "cm.", "L4-L5", "no", "effusion;", "&amp;", "(left)", "x-ray", "5-6", "é"]
    )
    texts = [" ".join(rng.choice(words, rng.integers(1, 30))) for _ in range(400)]
    hyps, refs = texts[:200], texts[200:]
    ours = Bleu(n=4)
    rows = ours.rows([Prediction(h) for h in hyps], [Text((r,)) for r in refs], ())
    theirs = BLEU(smooth_method="none").corpus_score(hyps, [refs]).score / 100
    assert point(Measure(ours, (), rows)) == pytest.approx(theirs, abs=1e-9)


def test_several_references_use_the_closest_length_and_the_most_generous_counts() -> None:
    from sacrebleu.metrics import BLEU

    hyps = ["the lungs are clear today", "no effusion is seen"]
    refs = [["lungs are clear", "no pleural effusion"], ["the lungs are all clear", "no effusion seen here at all"]]
    ours = Bleu(n=2)
    targets = [Text((refs[0][i], refs[1][i])) for i in range(2)]
    rows = ours.rows([Prediction(h) for h in hyps], targets, ())
    theirs = BLEU(max_ngram_order=2, smooth_method="none").corpus_score(hyps, refs).score / 100
    assert point(Measure(ours, (), rows)) == pytest.approx(theirs, abs=1e-9)


def test_a_failed_answer_counts_as_an_empty_text() -> None:
    failed = [Prediction(None, Failure("empty"))]
    target = [Text(("no effusion",))]
    for metric in (Bleu(n=1), Rouge1(), ExactMatch()):
        assert (metric.rows(failed, target, ()) == metric.rows([Prediction("")], target, ())).all()
        assert point(Measure(metric, (), metric.rows(failed, target, ()))) == 0.0


def test_an_empty_text_matches_an_empty_reference_only_when_it_was_answered() -> None:
    assert ExactMatch().score(Prediction(""), Text(("",))) == 1.0
    assert ExactMatch().score(Prediction(None), Text(("",))) == 0.0
