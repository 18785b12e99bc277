"""BLEU and ROUGE-1.

BLEU: Papineni et al. 2002. ``tok:13a`` corpus values equal sacreBLEU 2.6.0 without smoothing and Hugging Face evaluate's
bleu (mteval-v13a tokens); ``tok:split`` per-sample values equal torchmetrics 1.9 BLEUScore, which MultiMedEval averages.
ROUGE-1: rouge_score 0.1.2 without stemmer (Lin 2004), F measure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from radbench.metrics.base import Additive, Card, Mean, State, one_of, ratio

from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats

Tokeniser = Literal["13a", "split"]
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
# mteval-v13a: symbols stand alone; a period or comma unless digits are on both sides; a dash after a digit.
_SYMBOL = re.compile("([" + re.escape(' !"#$%&()*+/:;<=>?@[\\]^_`{|}~') + "])")
_POINT_AFTER_NONDIGIT = re.compile(r"([^0-9])([\.,])")
_POINT_BEFORE_NONDIGIT = re.compile(r"([\.,])([^0-9])")
_DASH_AFTER_DIGIT = re.compile(r"([0-9])(-)")
_ROUGE_SPLIT = re.compile(r"[^a-z0-9]+")


def tokens_13a(text: str) -> tuple[str, ...]:
    """mteval-v13a tokens, case kept. Source: the NIST script's rules as sacreBLEU 2.6.0 applies them."""
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    if "&" in text:
        for entity, character in _ENTITIES:
            text = text.replace(entity, character)
    text = _SYMBOL.sub(r" \1 ", f" {text} ")
    text = _POINT_AFTER_NONDIGIT.sub(r"\1 \2 ", text)
    text = _POINT_BEFORE_NONDIGIT.sub(r" \1 \2", text)
    return tuple(_DASH_AFTER_DIGIT.sub(r"\1 \2 ", text).split())


def tokens_rouge(text: str) -> tuple[str, ...]:
    """rouge_score's default tokens: lower-case runs of a-z and 0-9; every other character separates."""
    return tuple(t for t in _ROUGE_SPLIT.split(text.lower()) if t)


def ngram_matches(hypothesis: Sequence[str], references: Sequence[Sequence[str]], n: int) -> int:
    """Clipped n-gram matches: each hypothesis n-gram counts at most as often as in the reference that has most."""
    if len(hypothesis) < n:
        return 0
    counts = _ngrams(hypothesis, n)
    best: Counter[tuple[str, ...]] = Counter()
    for reference in references:
        best |= _ngrams(reference, n)
    return (counts & best).total()


def _ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


def _references(target: Target) -> tuple[str, ...]:
    if not isinstance(target, Text):
        raise TypeError(f"expected a Text target, got {type(target).__name__}")
    return target.alternatives


class Bleu(Additive):
    """BLEU of order ``n``: geometric mean of clipped 1..n-gram precisions times the brevity penalty, unsmoothed.

    ``avg``: ``corpus`` sums the counts over samples first; ``sample`` averages per-sample BLEU. The reference length is
    the closest reference's, the shorter on a tie. An empty answer has no match and adds its reference's length.
    """

    accepts = (Text,)

    def __init__(
        self,
        n: int = 4,
        tok: Tokeniser = "13a",
        case: Literal["mixed", "lower"] = "mixed",
        avg: Literal["corpus", "sample"] = "corpus",
    ) -> None:
        if not 1 <= int(n) <= 9:
            raise ValueError(f"n is {n}, expected 1 to 9")
        one_of("tok", tok, ("13a", "split"))
        one_of("case", case, ("mixed", "lower"))
        one_of("avg", avg, ("corpus", "sample"))
        self.n, self.tok, self.case, self.avg = int(n), tok, case, avg
        self.card = Card(
            f"BLEU-{n}",
            "brevity penalty x geometric mean of the clipped n-gram precisions of order 1 to n",
            "0 to 1, higher is better",
            "sacreBLEU 2.6.0 (tok 13a, corpus), torchmetrics 1.9.0 (tok split, sample)",
            failed="a failed answer counts as an empty text",
        )

    def tokens(self, text: str) -> Sequence[str]:
        text = text.lower() if self.case == "lower" else text
        return tokens_13a(text) if self.tok == "13a" else text.split()

    def columns(self, state: State) -> tuple[str, ...]:
        if self.avg == "sample":
            return ("sum", "n")
        orders = range(1, self.n + 1)
        return (*(f"match{i}" for i in orders), *(f"total{i}" for i in orders), "hyp_len", "ref_len")

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        out = np.zeros((len(targets), 2 * self.n + 2))
        for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
            hypothesis = self.tokens(prediction.value or "")
            references = [self.tokens(t) for t in _references(target)]
            length = len(hypothesis)
            for order in range(1, self.n + 1):
                out[i, order - 1] = ngram_matches(hypothesis, references, order)
                out[i, self.n + order - 1] = max(0, length - order + 1)
            out[i, -2] = length
            out[i, -1] = min((abs(len(r) - length), len(r)) for r in references)[1]
        if self.avg == "corpus":
            return out
        return np.stack([self._bleu(out), np.ones(len(out))], axis=1)

    def _bleu(self, sums: Floats) -> Floats:
        n = self.n
        match, total, hyp, ref = sums[..., :n], sums[..., n : 2 * n], sums[..., -2], sums[..., -1]
        precision = ratio(match, total, undefined=0.0)
        with np.errstate(divide="ignore"):
            geometric = np.exp(np.log(precision).mean(axis=-1))
            penalty = np.exp(np.minimum(0.0, 1 - ratio(ref, hyp, undefined=np.inf)))
        return np.where(precision.all(axis=-1), penalty * geometric, 0.0)

    def reduce(self, sums: Floats, state: State) -> Floats:
        return self._bleu(sums) if self.avg == "corpus" else ratio(sums[..., 0], sums[..., 1])

    def signature(self, state: State) -> str:
        return f"bleu|n:{self.n}|tok:{self.tok}|case:{self.case}|avg:{self.avg}|smooth:none|v:1"


class Rouge1(Mean):
    """ROUGE-1 F: unigram overlap of prediction and reference, the best over alternatives, averaged over samples."""

    accepts = (Text,)

    card = Card(
        "ROUGE-1 F",
        "2 P R / (P + R) with P, R the clipped unigram matches over prediction and reference length",
        "0 to 1, higher is better",
        "rouge_score 0.1.2, use_stemmer=False",
        valid_for="Latin script only: its tokens are a-z and 0-9",
    )

    def score(self, prediction: Prediction, target: Target) -> float:
        hypothesis = tokens_rouge(prediction.value or "")
        return max(_rouge1(hypothesis, tokens_rouge(r)) for r in _references(target))

    def signature(self, state: State) -> str:
        return "rouge1|f|tok:rouge_score|stem:no|avg:sample|v:1"


def _rouge1(hypothesis: Sequence[str], reference: Sequence[str]) -> float:
    matches = ngram_matches(hypothesis, [reference], 1)
    if not matches:
        return 0.0
    precision, recall = matches / len(hypothesis), matches / len(reference)
    return 2 * precision * recall / (precision + recall)


class ExactMatch(Mean):
    """Share of answers equal to a reference after stripping white space and lower-casing."""

    accepts = (Text,)

    card = Card(
        "Exact match",
        "share of lower-cased, stripped answers that equal a reference",
        "0 to 1, higher is better",
        "radbench",
    )

    def score(self, prediction: Prediction, target: Target) -> float:
        said = (prediction.value or "").strip().lower()
        return float(prediction.value is not None and any(said == r.strip().lower() for r in _references(target)))

    def signature(self, state: State) -> str:
        return "exact-match|case:lower|strip:yes|avg:sample|v:1"


METRICS = {
    "bleu": Bleu,
    "bleu-1": lambda: Bleu(n=1),
    "bleu-4": lambda: Bleu(n=4),
    "rouge-1": Rouge1,
    "exact-match": ExactMatch,
}
