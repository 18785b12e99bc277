"""VQA scores: both versions of MultiMedEval, VQA-Med, and answers that are sets."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.base import Metric
from radbench.metrics.text.wordnet import unavailable
from radbench.metrics.vqa.answer_sets import SetAccuracy, SetF1, said_names, set_f1
from radbench.metrics.vqa.multimedeval import _PARTS, METRICS, MultiMedEvalVQA, bleu_1, clean_str, pair_statistics
from radbench.metrics.vqa.multimedeval_0_1_0 import clean_str as clean_str_0_1_0
from radbench.metrics.vqa.vqamed import VqaMedAccuracy, VqaMedBleu, accepted_answers, answer_bleu, vqamed_tokens

from radbench.errors import ConfigError
from radbench.records import Failure, Labels, Prediction, Text
from radbench.registry import find_metric
from radbench.statistics import Measure, point

needs_wordnet = pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")
FAILED = Prediction(None, Failure("empty"))
WORDS = """yes no not none the a an heart size is normal. enlarged x-ray CT scan, 3,5 cm don't dont three Pleural effusions
(right) left/lower lobe? pneumothorax! 12.5 v.a. T2 was has does nodes metastases axial: - -- é ß café 左 \u00a0 a.b.""".split(
    " "
)


def random_texts(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    lengths = [0, 1, 1, 2, 3, 6, 12, 40]
    return [rng.choice([" ", " ", "  "]).join(rng.choices(WORDS, k=rng.choice(lengths))) for _ in range(count)]


def value(metric: Metric, predictions: Sequence[Prediction], targets: Sequence[Text | Labels]) -> float:
    return point(Measure(metric, (), metric.rows(predictions, targets, ())))


# --- MultiMedEval ---


def test_bleu_1_equals_torchmetrics_on_500_pairs() -> None:
    bleu = pytest.importorskip("torchmetrics.functional.text").bleu_score
    pytest.importorskip("torch").set_num_threads(1)
    for prediction, reference in zip(random_texts(1, 500), random_texts(2, 500), strict=True):
        theirs = bleu([prediction], [[reference]], n_gram=1).item()
        assert bleu_1(prediction.split(), reference.split()) == pytest.approx(theirs, abs=1e-6), (prediction, reference)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("No.", "no "),  # the blank stays, so a reference "No." is an open question
        ("Yes", "yes"),
        ("  X-ray\nof  the\tchest ", "x ray of the\tchest"),
        ("", ""),
        ("!?", " "),
        ("3,5 cm", "3 5 cm"),
    ],
)
def test_cleaning_of_version_0_1_0(text: str, cleaned: str) -> None:
    assert clean_str_0_1_0(text) == cleaned


@needs_wordnet
def test_oddities_of_version_0_1_0() -> None:
    no = pair_statistics("no", "no", "0.1.0")
    assert (no["recall"], no["closed_correct"]) == (0.5, 1.0)
    assert no["f1"] == pytest.approx(2 / 3, abs=1e-8)
    assert pair_statistics("no", "No.", "0.1.0")["open"] == 1.0
    assert pair_statistics("", "", "0.1.0")["recall"] == 1.0  # one empty token on either side
    assert pair_statistics("nodes", "node", "0.1.0")["recall"] == 1.0  # lemmas
    assert pair_statistics("nodes", "node", "1.0.0")["recall"] == 0.0


def test_oddities_of_version_1_0_0() -> None:
    assert pair_statistics("yes or no", "no")["closed_correct"] == 1.0
    assert pair_statistics("not at all", "No.")["closed_correct"] == 1.0
    assert pair_statistics("none", "no")["closed_correct"] == 0.0  # "none" became "0"
    assert pair_statistics("no", "no")["recall"] == 1.0
    assert pair_statistics("lungs", "lungs")["f1"] == 0.999999995


def test_the_best_of_several_references_counts() -> None:
    target = Text(("axial plane", "axial"))
    assert value(MultiMedEvalVQA("recall"), [Prediction("axial")], [target]) == 1.0


def test_scores_of_absent_kinds_of_question_are_nan() -> None:
    predictions, targets = [Prediction("axial")], [Text(("axial",))]
    assert np.isnan(value(MultiMedEvalVQA("closed-accuracy"), predictions, targets))
    assert np.isnan(value(MultiMedEvalVQA("open-recall"), predictions, [Text(("yes",))]))


def test_a_spec_chooses_the_version_and_the_signature_names_it() -> None:
    assert "version:1.0.0|clean:1.0.0" in find_metric("vqa-f1").signature(())
    old = find_metric("vqa-f1:version=0.1.0").signature(())
    assert "version:0.1.0|clean:0.1.0|tokens:lemma-set|wordnet:3.0|not:all-scores|blank:token" in old
    with pytest.raises(ConfigError, match=r"version is '2', expected one of 1\.0\.0, 0\.1\.0"):
        find_metric("vqa-f1:version='2'")


def test_version_0_1_0_says_that_wordnet_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import radbench.metrics.text.wordnet as wordnet

    monkeypatch.setattr(wordnet, "folders", list)
    assert "wordnet-base" in (MultiMedEvalVQA("f1", "0.1.0").unavailable() or "")
    assert MultiMedEvalVQA("f1").unavailable() is None


def test_signatures_differ_and_every_card_is_filled() -> None:
    metrics: list[Metric] = [METRICS[name](version=v) for name in METRICS for v in ("1.0.0", "0.1.0")]
    metrics += [
        SetAccuracy(),
        SetF1(),
        SetF1("micro"),
        SetF1(empty="skip"),
        VqaMedAccuracy(),
        VqaMedAccuracy("vqa-eval"),
    ]
    metrics += [VqaMedBleu(), VqaMedBleu(False)]
    assert len({m.signature(()) for m in metrics}) == len(metrics)
    for m in metrics:
        assert all((m.card.title, m.card.formula, m.card.source)) and "higher is better" in m.card.range


# --- VQA-Med ---


def test_alternatives_and_optional_parts_are_accepted() -> None:
    target = Text(("(angioinvasive aspergillosis with) septic cerebral emboli", "multi-cystic mass"))
    for answer, right in (
        ("Septic cerebral emboli.", 1.0),
        ("angioinvasive aspergillosis with septic cerebral emboli", 1.0),
        ("Multi-cystic mass", 1.0),
        ("cerebral emboli", 0.0),
        ("", 0.0),
    ):
        assert value(VqaMedAccuracy(), [Prediction(answer)], [target]) == right, answer
    assert accepted_answers(("a#b (c)", "(d)")) == ("a", "b (c)", "(d)", "b")
    assert accepted_answers(("",)) == ("",)


def test_two_ways_of_cleaning() -> None:
    assert vqamed_tokens("The T2-weighted, two.") == ("the", "t2weighted", "two")
    assert vqamed_tokens("The T2-weighted, two.", "vqa-eval") == tuple(clean_str("The T2-weighted, two.").split())
    one = [Prediction("an MRI")], [Text(("mri",))]
    assert (value(VqaMedAccuracy(), *one), value(VqaMedAccuracy("vqa-eval"), *one)) == (0.0, 1.0)
    with pytest.raises(ValueError, match="clean is 'full', expected one of plain, vqa-eval"):
        VqaMedAccuracy("full")  # type: ignore[arg-type]


@pytest.mark.parametrize("reweigh", [True, False])
def test_answer_bleu_equals_nltk_on_500_pairs(reweigh: bool) -> None:
    nltk = pytest.importorskip("nltk.translate.bleu_score")
    answers = [vqamed_tokens(t) for t in random_texts(5, 500)]
    for prediction, reference in zip(answers, [*answers[250:], *answers[:250]], strict=True):
        if not prediction:
            continue  # NLTK scores 0; the evaluator gives 1 where both are empty
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = nltk.sentence_bleu([reference], prediction, auto_reweigh=reweigh)
        assert answer_bleu(prediction, reference, reweigh) == pytest.approx(theirs, abs=1e-9)
        if len(prediction) >= 4 or reweigh:
            assert answer_bleu(prediction, prediction, reweigh) == pytest.approx(1.0, abs=1e-12)
    assert answer_bleu((), (), reweigh) == 1.0


def test_bleu_takes_the_best_alternative() -> None:
    target = Text(("acute appendicitis", "inflamed appendix (with stone)"))
    assert value(VqaMedBleu(), [Prediction("Inflamed appendix")], [target]) == 1.0
    assert value(VqaMedBleu(), [FAILED], [target]) == 0.0


# --- sets ---


def test_set_scores_equal_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    names, rng = ["edema", "mass", "left lung", "yes"], random.Random(6)
    sets = [tuple(n for n in names if rng.random() < 0.4) for _ in range(1000)]
    said, true = sets[:500], sets[500:]
    matrix = [np.array([[n in s for n in names] for s in group], dtype=int) for group in (true, said)]
    predictions, targets = [Prediction(s) for s in said], [Labels(t) for t in true]
    assert value(SetAccuracy(), predictions, targets) == sklearn.accuracy_score(*matrix)
    for metric, options in (
        (SetF1(), {"average": "samples", "zero_division": 1.0}),
        (SetF1(empty="zero"), {"average": "samples", "zero_division": 0.0}),
        (SetF1(empty="skip"), {"average": "samples", "zero_division": np.nan}),
        (SetF1("micro"), {"average": "micro"}),
    ):
        theirs = sklearn.f1_score(*matrix, **options)
        assert value(metric, predictions, targets) == pytest.approx(theirs, abs=1e-12), options


def test_names_are_compared_normalised() -> None:
    assert set_f1((" Left  Lung.",), ("left lung",)) == 1.0
    assert value(SetAccuracy(), [Prediction(("YES",))], [Labels(("yes",))]) == 1.0


def test_a_failed_answer_is_wrong_even_where_nothing_is_true() -> None:
    assert value(SetAccuracy(), [FAILED], [Labels(())]) == 0.0
    assert value(SetAccuracy(), [Prediction(())], [Labels(())]) == 1.0
    assert value(SetF1(), [FAILED], [Labels(())]) == 0.0
    assert value(SetF1(), [Prediction(())], [Labels(())]) == 1.0
    assert np.isnan(value(SetF1(empty="skip"), [Prediction(())], [Labels(())]))
    assert value(SetF1("micro"), [FAILED], [Labels(("edema",))]) == 0.0
    assert np.isnan(value(SetF1("micro"), [FAILED], [Labels(())]))


def test_wrong_options_are_named() -> None:
    with pytest.raises(ValueError, match="average is 'macro', expected one of samples, micro"):
        SetF1("macro")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a Labels target, got Text"):
        value(SetAccuracy(), [Prediction(())], [Text(("yes",))])
    with pytest.raises(TypeError, match="expected a Text target, got Labels"):
        value(MultiMedEvalVQA("f1"), [Prediction("yes")], [Labels(("yes",))])


def test_said_names_tells_nothing_from_no_answer() -> None:
    assert said_names("none") is None
    assert said_names("...") == ()
    assert said_names("wrist", ["edema"]) == ()
    assert said_names("none, edema", ["edema"]) == ("edema",)


# --- what holds for every one of them ---

TEXT_METRICS: list[Metric] = [MultiMedEvalVQA(part) for part in _PARTS] + [VqaMedAccuracy(), VqaMedBleu()]
if unavailable() is None:
    TEXT_METRICS += [MultiMedEvalVQA(part, "0.1.0") for part in _PARTS]
SET_METRICS: list[Metric] = [SetAccuracy(), SetF1(), SetF1("micro"), SetF1(empty="skip")]
answers = st.one_of(st.none(), st.text(max_size=20), st.sampled_from(["yes", "No.", "not seen", "left lung"]))
names = st.lists(st.sampled_from(["edema", "mass", "Left lung", "yes"]), max_size=3, unique=True).map(tuple)
text_pairs = st.lists(st.tuples(answers, st.sampled_from(["yes", "no", "axial", "left (lower) lobe", ""])), min_size=2)
set_pairs = st.lists(st.tuples(st.one_of(st.none(), names), names), min_size=2)


def check_identities(metric: Metric, predictions: list[Prediction], targets: list[Text | Labels]) -> None:
    whole = metric.rows(predictions, targets, ())
    cut = len(targets) // 2
    parts = [metric.rows(predictions[s], targets[s], ()) for s in (slice(cut), slice(cut, None))]
    assert np.array_equal(np.concatenate(parts), whole)
    forward, back = value(metric, predictions, targets), value(metric, predictions[::-1], targets[::-1])
    assert np.isclose(forward, back, equal_nan=True, atol=1e-12)
    assert np.isnan(forward) or 0.0 <= forward <= 1.0


@given(text_pairs)
def test_order_and_batches_change_nothing_in_texts(pairs: list[tuple[str | None, str]]) -> None:
    predictions = [FAILED if answer is None else Prediction(answer) for answer, _ in pairs]
    for metric in TEXT_METRICS:
        check_identities(metric, predictions, [Text((reference,)) for _, reference in pairs])


@given(set_pairs)
def test_order_and_batches_change_nothing_in_sets(pairs: list[tuple[tuple[str, ...] | None, tuple[str, ...]]]) -> None:
    predictions = [FAILED if said is None else Prediction(said) for said, _ in pairs]
    for metric in SET_METRICS:
        check_identities(metric, predictions, [Labels(true) for _, true in pairs])
