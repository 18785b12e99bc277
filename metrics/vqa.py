"""MedDr's VQA scores: the protocol of MultiMedEval 1.0.0 (PyPI multimedeval, task_families.VQA and utils.clean_str).

Kept as they are, because published numbers contain them: punctuation next to a space anywhere in the text is removed
everywhere instead of becoming a space; only the first 32 periods are dropped; F1 has 1e-8 in its denominator, so a
perfect match scores 0.999999995; a question is closed when its *cleaned reference* is yes or no; "yes or no" is correct
for both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from radbench.metrics.base import Additive, Card, State, ratio
from radbench.metrics.matching import SHORT
from radbench.metrics.text import Bleu

from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats

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
_BLEU1 = Bleu(n=1, tok="split", avg="sample")


def pair_statistics(prediction: str, reference: str) -> dict[str, float]:
    """The statistics of one answer: bleu1, f1, recall, closed(_correct), open(_recall, _correct), n."""
    said_text, true_text = clean_str(prediction), clean_str(reference)
    said, true = set(said_text.split()), set(true_text.split())
    common = len(said & true)
    precision = common / len(said) if said else 0.0
    recall = common / len(true) if true else 0.0
    closed = true_text in ("yes", "no")
    if closed:
        accepted = true | {"not"} if true_text == "no" else true
        closed_correct = len(said & accepted) / len(accepted) >= 0.4
    else:
        closed_correct = False
    bleu1 = _BLEU1.rows([Prediction(said_text)], [Text((true_text,))], ())[0, 0]
    return {
        "bleu1": float(bleu1),
        "f1": 2 * precision * recall / (precision + recall + 1e-8),
        "recall": recall,
        "closed": float(closed),
        "closed_correct": float(closed_correct),
        "open": float(not closed),
        "open_recall": 0.0 if closed else recall,
        "open_correct": float(not closed and recall >= 0.75),
        "n": 1.0,
    }


_short_pair = lru_cache(maxsize=8192)(pair_statistics)


def _pair_statistics(prediction: str, reference: str) -> dict[str, float]:
    """The six scores of one pass share each pair; long ones are computed anew rather than held in memory."""
    short = len(prediction) + len(reference) <= SHORT
    return _short_pair(prediction, reference) if short else pair_statistics(prediction, reference)


class MultiMedEvalVQA(Additive):
    """One of the six VQA scores of MultiMedEval 1.0.0. A failed answer counts as an empty text."""

    accepts = (Text,)

    def __init__(self, part: Part) -> None:
        self.part = part
        self.card = Card(
            f"VQA {part} (MultiMedEval)",
            _TITLES[part],
            "0 to 1, higher is better",
            "PyPI multimedeval 1.0.0, task_families.VQA; used by MedDr (arXiv 2404.15127)",
            failed="a failed answer counts as an empty text",
        )

    def columns(self, state: State) -> tuple[str, ...]:
        return _PARTS[self.part]

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        total, count = _PARTS[self.part]
        out = np.empty((len(targets), 2))
        for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
            if not isinstance(target, Text):
                raise TypeError(f"expected a Text target, got {type(target).__name__}")
            # The original knows one reference; of several we take the one with the highest F1.
            options = [_pair_statistics(prediction.value or "", reference) for reference in target.alternatives]
            best = max(options, key=lambda s: s["f1"])
            out[i] = best[total], best[count]
        return out

    def reduce(self, sums: Floats, state: State) -> Floats:
        return ratio(sums[..., 0], sums[..., 1])

    def counted(self, rows: Floats) -> int:
        return int(rows[:, 1].sum())

    def signature(self, state: State) -> str:
        return f"multimedeval-vqa|part:{self.part}|version:1.0.0|clean:1.0.0|empty:nan|v:1"


METRICS = {f"vqa-{part}": (lambda part=part: MultiMedEvalVQA(part)) for part in _PARTS}
