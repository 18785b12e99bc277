"""The VQA scores of MultiMedEval (PyPI multimedeval, task_families.VQA and utils.clean_str); MedDr uses version 1.0.0.

Its oddities are kept, because published numbers contain them: punctuation next to a space anywhere in the text is
removed everywhere instead of becoming a space; only the first 32 periods are dropped; F1 has 1e-8 in its denominator, so
a perfect match scores 0.999999995; a question is closed when its *cleaned reference* is yes or no; "yes or no" is correct
for both. Version 0.1.0 reads answers differently: see :mod:`radbench.metrics.vqa.multimedeval_0_1_0`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from math import exp
from typing import Literal

import numpy as np
from radbench.metrics.base import Additive, Card, State, one_of, ratio, references, said
from radbench.metrics.text.wordnet import VERSION as WORDNET
from radbench.metrics.text.wordnet import unavailable as wordnet_unavailable
from radbench.metrics.vqa.multimedeval_0_1_0 import clean_str as clean_str_0_1_0
from radbench.metrics.vqa.multimedeval_0_1_0 import token_set

from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats

SHORT = 4096  # characters: longer texts are not kept in caches
_PUNCTUATION = (*';/[]"{}()=+\\_-><@`,?!',)
_DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
_PERIOD_BEFORE_NON_DIGIT = re.compile(r"\.(?!\d)")
_PERIODS_DROPPED = 32  # the original passes re.UNICODE, which is 32, as the count of re.sub
_NUMBERS = {w: str(i) for i, w in enumerate("zero one two three four five six seven eight nine ten".split())} | {
    "none": "0"
}
_ARTICLES = frozenset({"a", "an", "the"})
_CONTRACTED = """ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd
he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't
not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're
there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all
y'all'll y'all'd've you'd you'd've you'll you're you've""".split()


def _spellings(word: str) -> list[str]:
    """A contraction with exactly one of its apostrophes left out, each in turn: the misspellings the original mends."""
    return [word[:i] + word[i + 1 :] for i, character in enumerate(word) if character == "'"]


# The original maps "somebody'd" the other way round.
_CONTRACTIONS = {s: word for word in _CONTRACTED for s in _spellings(word)} | {"somebody'd": "somebodyd"}


def clean_str(text: str) -> str:
    """Normalise an answer as MultiMedEval 1.0.0 does (after the VQA-v2 evaluation)."""
    return _clean_short(text) if len(text) <= SHORT else _clean(text)


def _clean(text: str) -> str:
    lowered = text.lower()
    cleaned = lowered
    digit_comma = _DIGIT_COMMA_DIGIT.search(lowered) is not None
    for mark in _PUNCTUATION:
        if mark in cleaned:
            beside_space = f"{mark} " in lowered or f" {mark}" in lowered
            cleaned = cleaned.replace(mark, "" if digit_comma or beside_space else " ")
    cleaned = _PERIOD_BEFORE_NON_DIGIT.sub("", cleaned, count=_PERIODS_DROPPED)
    words = [_NUMBERS.get(w, w) for w in cleaned.split()]
    return " ".join(_CONTRACTIONS.get(w, w) for w in words if w not in _ARTICLES).replace(",", "")


_clean_short = lru_cache(maxsize=65536)(_clean)

Part = Literal["bleu-1", "f1", "recall", "closed-accuracy", "open-recall", "open-accuracy"]
Version = Literal["1.0.0", "0.1.0"]
# part -> (column summed, column counted)
_PARTS: dict[Part, tuple[str, str]] = {
    "bleu-1": ("bleu1", "n"),
    "f1": ("f1", "n"),
    "recall": ("recall", "n"),
    "closed-accuracy": ("closed_correct", "closed"),
    "open-recall": ("open_recall", "open"),
    "open-accuracy": ("open_correct", "open"),
}
_TITLES = {
    "bleu-1": "mean BLEU-1 of the cleaned texts (torchmetrics BLEUScore, n_gram=1)",
    "f1": "mean F1 of the sets of cleaned tokens",
    "recall": "mean recall of the sets of cleaned tokens",
    "closed-accuracy": "share of yes/no questions with token recall >= 0.4 ('not' counts for 'no')",
    "open-recall": "mean token recall of the other questions",
    "open-accuracy": "share of the other questions with token recall >= 0.75",
}
# version -> (cleaning, tokens of a cleaned text, what the signature says of its oddities)
_READINGS: dict[str, tuple[Callable[[str], str], Callable[[str], set[str]], str]] = {
    "1.0.0": (clean_str, lambda cleaned: set(cleaned.split()), "clean:1.0.0|tokens:set|not:closed-only"),
    "0.1.0": (
        clean_str_0_1_0,
        token_set,
        f"clean:0.1.0|tokens:lemma-set|wordnet:{WORDNET}|not:all-scores|blank:token",
    ),
}


def bleu_1(prediction: Sequence[str], reference: Sequence[str]) -> float:
    """BLEU-1 of two token lists, 0 to 1: clipped unigram precision times the brevity penalty; 0 without a match.

    Equals torchmetrics BLEUScore(n_gram=1), which computes in float32.
    """
    left = Counter(reference)
    matches = sum(min(count, left[token]) for token, count in Counter(prediction).items() if token in left)
    if not matches:
        return 0.0
    brevity = min(0.0, 1.0 - len(reference) / len(prediction))
    return matches / len(prediction) * exp(brevity)


def pair_statistics(prediction: str, reference: str, version: Version = "1.0.0") -> dict[str, float]:
    """The statistics of one answer: bleu1, f1, recall, closed(_correct), open(_recall, _correct), n."""
    clean, tokens, _ = _READINGS[version]
    said_text, true_text = clean(prediction), clean(reference)
    said, true = tokens(said_text), tokens(true_text)
    accepted = true | {"not"} if true == {"no"} else true
    scored = accepted if version == "0.1.0" else true
    common = len(said & scored)
    precision = common / len(said) if said else 0.0
    recall = common / len(scored) if scored else 0.0
    closed = true_text in ("yes", "no")
    return {
        "bleu1": bleu_1(said_text.split(), true_text.split()),
        "f1": 2 * precision * recall / (precision + recall + 1e-8),
        "recall": recall,
        "closed": float(closed),
        "closed_correct": float(closed and len(said & accepted) / len(accepted) >= 0.4),
        "open": float(not closed),
        "open_recall": 0.0 if closed else recall,
        "open_correct": float(not closed and recall >= 0.75),
        "n": 1.0,
    }


_short_pair = lru_cache(maxsize=8192)(pair_statistics)


def _pair_statistics(prediction: str, reference: str, version: Version) -> dict[str, float]:
    """The six scores of one pass share each pair; long ones are computed anew rather than held in memory."""
    short = len(prediction) + len(reference) <= SHORT
    return (_short_pair if short else pair_statistics)(prediction, reference, version)


class MultiMedEvalVQA(Additive):
    """One of the six VQA scores of MultiMedEval. A failed answer counts as an empty text.

    ``version``: ``1.0.0``, which MedDr's rows use, or ``0.1.0``, which needs WordNet. Where a task has no closed (or no
    open) question their scores are nan; the original has 0 there (0.1.0 stops with a division by zero).
    """

    accepts = (Text,)

    def __init__(self, part: Part, version: Literal["1.0.0", "0.1.0"] = "1.0.0") -> None:
        one_of("part", part, tuple(_PARTS))
        one_of("version", version, tuple(_READINGS))
        self.part, self.version = part, version
        used = "; used by MedDr (arXiv 2404.15127)" if version == "1.0.0" else ", taskFamilies.VQA and utils.cleanStr"
        self.card = Card(
            f"VQA {part} (MultiMedEval {version})",
            _TITLES[part] if version == "1.0.0" else f"{_TITLES[part]}; tokens are noun lemmas",
            "0 to 1, higher is better",
            f"PyPI multimedeval {version}{used}",
            failed="a failed answer counts as an empty text",
        )

    def columns(self, state: State) -> tuple[str, ...]:
        return _PARTS[self.part]

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        total, count = _PARTS[self.part]
        out = np.empty((len(targets), 2))
        for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
            # The original knows one reference; of several we take the one with the highest F1.
            options = [_pair_statistics(said(prediction), one, self.version) for one in references(target)]
            best = max(options, key=lambda s: s["f1"])
            out[i] = best[total], best[count]
        return out

    def reduce(self, sums: Floats, state: State) -> Floats:
        return ratio(sums[..., 0], sums[..., 1])

    def counted(self, rows: Floats) -> int:
        return int(rows[:, 1].sum())

    def signature(self, state: State) -> str:
        oddities = _READINGS[self.version][2]
        return f"multimedeval-vqa|part:{self.part}|version:{self.version}|{oddities}|empty:nan|v:1"

    def unavailable(self) -> str | None:
        return wordnet_unavailable() if self.version == "0.1.0" else None


METRICS = {f"vqa-{part}": partial(MultiMedEvalVQA, part) for part in _PARTS}
