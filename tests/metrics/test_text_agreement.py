"""Text metrics beside the installed originals on 500 random pairs, and what must hold for any texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radbench.metrics.base import Metric
from radbench.metrics.text.tokens import LEXICON, tokens

from radbench.records import Failure, Prediction, Text
from radbench.registry import find_metric
from radbench.statistics import Measure, point

N = 500
PHRASES = [
    "no pleural effusion", "the lungs are clear.", "there is a 3.5 cm mass in the right upper lobe", "heart size is normal,",
    "cannot exclude pneumonia", "L4-L5 disc space narrowing;", "patient's prior study (dated 2011)", "it's",
    "No acute cardiopulmonary abnormality", "Dr. Smith was notified at 5:30 p.m. ", "mild, bibasilar atelectasis",
    '"stable" appearance', "5-6 mm nodules", "improving edema & effusions", "e.g. granuloma", "x-ray/CT: unremarkable!",
    "opacité du lobe inférieur", "&amp; scarring &lt;1 cm", "IMPRESSION: 1. Cardiomegaly. 2. Edema.", "seen on\nthe lateral view",
    "without pneumothorax...", "T2-weighted images\tshow", "the osteophytes were showing", "enlarging masses",
    "hyperinflated lungs, flattened diaphragms",
]  # fmt: skip


@cache
def random_pairs() -> tuple[list[str], list[str]]:
    """Hypotheses and references: phrases joined, half of the hypotheses a changed copy of their reference."""
    rng = np.random.default_rng(3)

    def text() -> str:
        separators = rng.choice([" ", ". ", ", ", "\n", " - "], 8)
        parts = rng.choice(PHRASES, rng.integers(1, 8))
        return "".join(p + s for p, s in zip(parts, separators, strict=False))

    references = [text() for _ in range(N)]
    hypotheses = []
    for i, reference in enumerate(references):
        words = reference.split(" ")
        for _ in range(len(words) // 4):
            words[rng.integers(len(words))] = str(rng.choice(["normal", "left", "12", "opacities", "Effusion.", "is"]))
        hypotheses.append(" ".join(words) if i % 2 else text())
    return hypotheses, references


def sample_scores(spec: str, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
    metric = find_metric(spec)
    if (reason := metric.unavailable()) is not None:
        pytest.skip(reason)
    targets = [Text((r,)) for r in references]
    state = metric.fit(targets, ())
    rows = metric.rows([Prediction(h) for h in hypotheses], targets, state)
    scores = metric.sample_scores(rows, state)
    assert scores is not None
    return scores


def corpus_value(spec: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    metric = find_metric(spec)
    targets = [Text(tuple(r)) for r in references]
    return point(Measure(metric, (), metric.rows([Prediction(h) for h in hypotheses], targets, ())))


def agree(ours: np.ndarray, theirs: Sequence[float], tolerance: float = 1e-9) -> None:
    assert len(ours) == len(theirs) == N
    assert np.abs(ours - np.array(theirs, dtype=float)).max() <= tolerance


@pytest.mark.parametrize("smooth", ["none", "exp"])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("n", [1, 2, 4, 5])
def test_corpus_bleu_is_sacrebleus(smooth: str, lower: bool, n: int) -> None:
    from sacrebleu.metrics import BLEU

    hypotheses, references = random_pairs()
    theirs = BLEU(smooth_method=smooth, lowercase=lower, max_ngram_order=n).corpus_score(hypotheses, [references])
    ours = corpus_value(
        f"bleu:n={n},smooth={smooth},case={'lower' if lower else 'mixed'}", hypotheses, [[r] for r in references]
    )
    assert ours == pytest.approx(theirs.score / 100, abs=1e-9)


def test_sentence_bleu_is_sacrebleus() -> None:
    from sacrebleu.metrics import BLEU

    hypotheses, references = random_pairs()
    scorer = BLEU(effective_order=True)
    theirs = [scorer.sentence_score(h, [r]).score / 100 for h, r in zip(hypotheses, references, strict=True)]
    agree(sample_scores("bleu:smooth=exp,order=effective,avg=sample", hypotheses, references), theirs)


def test_bleu_of_several_references_is_sacrebleus() -> None:
    from sacrebleu.metrics import BLEU

    hypotheses, references = random_pairs()
    others = references[1:] + references[:1]
    theirs = BLEU(smooth_method="none").corpus_score(hypotheses, [references, others]).score / 100
    assert corpus_value("bleu", hypotheses, list(zip(references, others, strict=True))) == pytest.approx(
        theirs, abs=1e-9
    )


@pytest.mark.parametrize("k", [1, 3, 4, 7])
def test_smoothed_sentence_bleu_is_nltks(k: int) -> None:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    hypotheses, references = random_pairs()
    smooth = getattr(SmoothingFunction(), f"method{k}")
    theirs = [
        sentence_bleu([r.split()], h.split(), smoothing_function=smooth)
        for h, r in zip(hypotheses, references, strict=True)
    ]
    agree(sample_scores(f"bleu:tok=split,avg=sample,smooth=nltk{k}", hypotheses, references), theirs)


def test_bleu_2_of_the_cxr_report_metric_is_nltks_method_1() -> None:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    hypotheses, references = random_pairs()
    prepared = [[t for t in text.lower().replace(".", " .").split(" ") if t] for text in (*hypotheses, *references)]
    smooth = SmoothingFunction(epsilon=0.1).method1
    theirs = [sentence_bleu([r], h, (0.5, 0.5), smooth) for h, r in zip(prepared[:N], prepared[N:], strict=True)]
    agree(sample_scores("bleu-2-cxr", hypotheses, references), theirs)


def test_bleu_and_rouge_are_torchmetrics() -> None:
    text = pytest.importorskip("torchmetrics.functional.text")
    hypotheses, references = (
        [" ".join(t.split(" ")[:8]) for t in side] for side in random_pairs()
    )  # it takes its time
    for n in (1, 4):
        theirs = [float(text.bleu_score([h], [[r]], n)) for h, r in zip(hypotheses, references, strict=True)]
        assert np.abs(sample_scores(f"bleu:n={n},tok=split,avg=sample", hypotheses, references) - theirs).max() <= 1e-6
    keys = ("rouge1", "rougeL")
    scores = [text.rouge_score(h, r, rouge_keys=keys) for h, r in zip(hypotheses, references, strict=True)]
    for spec, key in (("rouge-1", "rouge1_fmeasure"), ("rouge-l", "rougeL_fmeasure")):
        theirs = [float(s[key]) for s in scores]
        assert np.abs(sample_scores(spec, hypotheses, references) - theirs).max() <= 1e-6


@pytest.mark.parametrize("stem", [False, True])
def test_rouge_is_rouge_scores(stem: bool) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    hypotheses, references = random_pairs()
    ours = {"rouge1": "rouge-1", "rouge2": "rouge-2", "rougeL": "rouge-l", "rougeLsum": "rouge-lsum"}
    scorer = RougeScorer(list(ours), use_stemmer=stem)
    scores = [scorer.score(r, h) for h, r in zip(hypotheses, references, strict=True)]
    tok = "rouge-stem" if stem else "rouge"
    for key, name in ours.items():
        for part, field in (("f", "fmeasure"), ("precision", "precision"), ("recall", "recall")):
            agree(
                sample_scores(f"{name}:tok={tok},part={part}", hypotheses, references),
                [getattr(s[key], field) for s in scores],
            )


def test_several_references_are_rouge_scores_best() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    hypotheses, references = random_pairs()
    others = references[1:] + references[:1]
    scorer = RougeScorer(["rouge2", "rougeL"])
    theirs = [scorer.score_multi([a, b], h) for h, a, b in zip(hypotheses, references, others, strict=True)]
    both = [Text(pair) for pair in zip(references, others, strict=True)]
    for name, key in (("rouge-2", "rouge2"), ("rouge-l", "rougeL")):
        for part, field in (("f", "fmeasure"), ("recall", "recall")):
            rows = find_metric(f"{name}:part={part}").rows([Prediction(h) for h in hypotheses], both, ())
            agree(rows[:, 0], [getattr(s[key], field) for s in theirs])


def test_bleu_rouge_l_and_cider_are_pycocoevalcaps() -> None:
    pytest.importorskip("pycocoevalcap")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    hypotheses, references = random_pairs()
    other = references[1:] + references[:1]
    res = {i: [h] for i, h in enumerate(hypotheses)}
    for gts in (
        {i: [r] for i, r in enumerate(references)},
        {i: list(p) for i, p in enumerate(zip(references, other, strict=True))},
    ):
        predictions, targets = [Prediction(h) for h in hypotheses], [Text(tuple(g)) for g in gts.values()]
        bleu, per_pair = Bleu(4).compute_score(gts, res, verbose=0)
        for n in (1, 2, 3, 4):
            metric = find_metric(f"bleu:n={n},tok=split,smooth=pycoco")
            rows = metric.rows(predictions, targets, ())
            assert point(Measure(metric, (), rows)) == pytest.approx(bleu[n - 1], abs=1e-9)
            agree(metric.sample_scores(rows, ()), per_pair[n - 1])
        rows = find_metric("rouge-l:tok=space,beta=1.2").rows(predictions, targets, ())
        agree(rows[:, 0], Rouge().compute_score(gts, res)[1])
        metric = find_metric("cider")
        agree(metric.rows(predictions, targets, metric.fit(targets, ()))[:, 0], Cider().compute_score(gts, res)[1])


def test_words_are_nltks() -> None:
    import nltk

    if (reason := find_metric("bleu:tok=punkt").unavailable()) is not None:
        pytest.skip(reason)
    for text in (*random_pairs()[0], *random_pairs()[1]):
        assert tokens(text, "punkt") == nltk.word_tokenize(text)


def test_meteor_is_nltks(nltk_wordnet: object) -> None:
    from nltk.translate.meteor_score import meteor_score

    hypotheses, references = random_pairs()
    theirs = [
        meteor_score([r.split()], h.split(), wordnet=nltk_wordnet) for h, r in zip(hypotheses, references, strict=True)
    ]
    agree(sample_scores("meteor:tok=split", hypotheses, references), theirs)


# --- what holds for any texts ---

SPECS = [
    "bleu", "bleu:n=2,tok=split,avg=sample", "bleu:smooth=exp", "bleu:smooth=add1", "bleu:tok=split,smooth=nltk1,avg=sample",
    "bleu:tok=split,smooth=nltk7,avg=sample", "bleu:tok=split,smooth=pycoco", "bleu-2-cxr", "rouge-1", "rouge-2", "rouge-l",
    "rouge-l:tok=space,beta=1.2", "rouge-lsum", "cider", "exact-match", "token-f1", "token-recall:count=set",
    "meteor:tok=split",
]  # fmt: skip
TEXTS = st.lists(
    st.tuples(
        st.text(alphabet=st.sampled_from("ab. ,-3\n"), max_size=25) | st.text(max_size=12),
        st.text(alphabet=st.sampled_from("ab. ,-3\n"), max_size=25),
    ),
    min_size=1,
    max_size=8,
)


def measured(metric: Metric, pairs: Sequence[tuple[str | None, str]], batches: Callable[[int], list[slice]]) -> float:
    targets = [Text((r,)) for _, r in pairs]
    said = [Prediction(h) if h is not None else Prediction(None, Failure("empty")) for h, _ in pairs]
    state = metric.fit(targets, ())
    rows = np.concatenate([metric.rows(said[s], targets[s], state) for s in batches(len(pairs))])
    return point(Measure(metric, state, rows))


def whole(n: int) -> list[slice]:
    return [slice(0, n)]


def available(spec: str) -> Metric:
    metric = find_metric(spec)
    if (reason := metric.unavailable()) is not None:
        pytest.skip(reason)
    return metric


@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=30)
@given(pairs=TEXTS, seed=st.integers(0, 99))
def test_order_and_batches_change_nothing(spec: str, pairs: list[tuple[str, str]], seed: int) -> None:
    metric = available(spec)
    value = measured(metric, pairs, whole)
    order = np.random.default_rng(seed).permutation(len(pairs))
    assert measured(metric, [pairs[i] for i in order], whole) == pytest.approx(value, abs=1e-12)
    cut = seed % len(pairs)
    assert measured(metric, pairs, lambda n: [slice(0, cut), slice(cut, n)][cut == 0 :]) == pytest.approx(
        value, abs=1e-12
    )
    top = 10 if spec == "cider" else 1
    assert -1e-12 <= value <= top + 1e-9


@pytest.mark.parametrize("spec", SPECS)
def test_a_failed_answer_is_an_empty_text_and_never_raises(spec: str) -> None:
    metric = available(spec)
    for references in (["no effusion", ""], ["", ""], ["lungs", "clear"]):
        failed = measured(metric, [(None, r) for r in references], whole)
        if spec != "exact-match":
            assert failed == measured(metric, [("", r) for r in references], whole)
    assert measured(metric, [(None, "no effusion")], whole) == pytest.approx(0, abs=1e-9)


def test_exact_match_of_an_empty_answer() -> None:
    metric = find_metric("exact-match")
    assert measured(metric, [("", "")], whole) == 1.0
    assert measured(metric, [(None, "")], whole) == 0.0


@pytest.mark.parametrize(
    ("spec", "alone", "identical"),
    [
        ("bleu-2-cxr", 0.1**0.5, 1.0),  # one word has no bigram: NLTK's method 1 counts a tenth
        ("bleu", 0.0, 1.0),
        ("bleu:tok=split,smooth=pycoco", (1e-15 / 1e-9) ** 0.75, 1.0),
        ("meteor:tok=split", 0.5, 1 - 0.5 / 5**3),
        ("rouge-l", 1.0, 1.0),
        ("token-f1", 1.0, 1.0),
    ],
)
def test_an_identical_text_scores_what_the_original_gives_it(spec: str, alone: float, identical: float) -> None:
    metric = available(spec)
    assert measured(metric, [("normal", "normal")], whole) == pytest.approx(alone, abs=1e-8)
    five = "there is no pleural effusion"
    assert measured(metric, [(five, five)], whole) == pytest.approx(identical, abs=1e-8)


def test_the_lexicon_starts_anew_when_it_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radbench.metrics.text.tokens._FORGET", 50)
    texts = [f"word{i} shared {i % 7}" for i in range(200)]
    for spec in ("bleu:n=2", "rouge-1", "cider", "token-f1"):
        metric = available(spec)
        pairs = list(zip(texts, texts[3:] + texts[:3], strict=True))
        small = measured(metric, pairs, lambda n: [slice(i, i + 10) for i in range(0, n, 10)])
        assert len(LEXICON.vocabulary) < 200
        assert small == pytest.approx(measured(metric, pairs, whole), abs=1e-12)


def test_a_vocabulary_beyond_63_bits_is_counted_all_the_same() -> None:
    long = " ".join(f"w{i}" for i in range(40_000))
    short = " ".join(f"w{i}" for i in range(0, 40_000, 2))
    assert sample_scores("rouge-1", [short], [long])[0] == pytest.approx(2 * 0.5 / 1.5)
    assert corpus_value("bleu:n=4", [long, "a b c d e"], [[long], ["a b c d e"]]) == 1.0


def test_cider_states_what_its_frequencies_came_from() -> None:
    metric = find_metric("cider")
    state = metric.fit([Text(("no effusion",)), Text(("no effusion here",))], ())
    assert "references-2-" in metric.signature(state)
    assert metric.signature(tuple(json.loads(json.dumps(metric.stored(state))))) == metric.signature(state)


def test_rouge_lsum_alone_keeps_the_lexicon_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radbench.metrics.text.tokens._FORGET", 50)
    metric = find_metric("rouge-lsum")
    for i in range(20):
        metric.rows([Prediction(f"w{i}a w{i}b\nw{i}c")] * 2, [Text((f"w{i}c w{i}d {i}",))] * 2, ())
    assert len(LEXICON.vocabulary) < 100


def test_a_dash_at_the_end_is_read_as_sacrebleu_does() -> None:
    from sacrebleu.metrics import BLEU

    for text in ("right lower lobe-\n", "right lower-\nlobe", "a -\n"):
        theirs = (
            BLEU(smooth_method="none", max_ngram_order=1).corpus_score([text], [["right lower lobe -"]]).score / 100
        )
        assert corpus_value("bleu-1", [text], [["right lower lobe -"]]) == pytest.approx(theirs)
