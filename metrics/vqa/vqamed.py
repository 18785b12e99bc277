"""Accuracy and BLEU of VQA-Med 2019: exact match and n-gram overlap with the best of several right answers.

VQA-Med joins equally right answers by ``#`` and puts parts that may be left out into parentheses (abachaa/VQA-Med-2019,
README-VQA-Med-2019-TestSet.txt @7975dc4). The organisers lower-case, remove punctuation, and take exact match and BLEU
(abachaa/VQA-Med-2020 README @68d0cc9). The evaluator of 2019 is not in its repository, that of 2020 is (@c64952e).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import exp, log
from string import punctuation
from typing import Literal

from radbench.metrics.base import Card, Mean, State, one_of, references
from radbench.metrics.vqa.multimedeval import SHORT, clean_str

from radbench.records import Prediction, Target, Text

Clean = Literal["plain", "vqa-eval"]
_NO_PUNCTUATION = str.maketrans("", "", punctuation)
_OPTIONAL = re.compile(r"\([^()]*\)")


def vqamed_tokens(text: str, clean: Clean = "plain") -> tuple[str, ...]:
    """The words VQA-Med compares: lower-cased, ASCII punctuation deleted, cut at white space.

    ``vqa-eval`` cleans as the accuracy of the 2020 evaluator does, after VQA-v2: articles dropped, number words to digits,
    contractions mended, punctuation to nothing or a blank.
    """
    if clean == "vqa-eval":
        return tuple(clean_str(text.replace("\n", " ").replace("\t", " ").strip()).split())
    return tuple(text.lower().translate(_NO_PUNCTUATION).split())


def accepted_answers(alternatives: Sequence[str]) -> tuple[str, ...]:
    """Every answer that counts as right: each alternative, and each without its parts in parentheses."""
    whole = [part.strip() for answer in alternatives for part in answer.split("#") if part.strip()]
    short = [_OPTIONAL.sub(" ", answer).strip() for answer in whole]
    return tuple(dict.fromkeys(answer for answer in (*whole, *short) if answer)) or ("",)


def answer_bleu(prediction: Sequence[str], reference: Sequence[str], reweigh: bool = True) -> float:
    """Sentence BLEU-4 of two token lists, unsmoothed, 0 to 1; 1 where both are empty.

    ``reweigh``: a prediction of fewer than four tokens is scored up to its own length (NLTK ``auto_reweigh=True``); without
    it no answer below four tokens scores anything. NLTK 3.10.4 returns 1e-77 or less where we return 0.
    """
    if not prediction:
        return float(not reference)
    orders = min(4, len(prediction)) if reweigh else 4
    logs = 0.0
    for n in range(1, orders + 1):
        grams, known = (Counter(zip(*(words[i:] for i in range(n)), strict=False)) for words in (prediction, reference))
        matches = sum(min(count, known[gram]) for gram, count in grams.items() if gram in known)
        if not matches:
            return 0.0
        logs += log(matches / (len(prediction) - n + 1))
    return exp(logs / orders + min(0.0, 1.0 - len(reference) / len(prediction)))


@lru_cache(maxsize=8192)
def _accepted_tokens(alternatives: tuple[str, ...], clean: Clean) -> tuple[tuple[str, ...], ...]:
    return tuple(dict.fromkeys(vqamed_tokens(answer, clean) for answer in accepted_answers(alternatives)))


def _right_answers(target: Target, clean: Clean) -> tuple[tuple[str, ...], ...]:
    alternatives = references(target)
    short = sum(map(len, alternatives)) <= SHORT
    return (_accepted_tokens if short else _accepted_tokens.__wrapped__)(alternatives, clean)


class VqaMedAccuracy(Mean):
    """Exact match with any accepted answer. ``clean``: see :func:`vqamed_tokens`."""

    accepts = (Text,)

    def __init__(self, clean: Literal["plain", "vqa-eval"] = "plain") -> None:
        one_of("clean", clean, ("plain", "vqa-eval"))
        self.clean: Clean = clean
        self.card = Card(
            "VQA-Med accuracy",
            "share of answers equal to one of the alternatives (#), with or without its optional parts (), after cleaning",
            "0 to 1, higher is better",
            "abachaa/VQA-Med-2019 @7975dc4 (# and ()), VQA-Med-2020 README @68d0cc9 (plain) and evaluator @c64952e (vqa-eval)",
        )

    def score(self, prediction: Prediction, target: Target) -> float:
        right = _right_answers(target, self.clean)
        return 0.0 if prediction.value is None else float(vqamed_tokens(prediction.value, self.clean) in right)

    def signature(self, state: State) -> str:
        return f"vqamed-accuracy|clean:{self.clean}|refs:#|optional:()|v:1"


class VqaMedBleu(Mean):
    """Mean sentence BLEU with the best accepted answer. ``reweigh``: see :func:`answer_bleu`.

    The evaluator of 2020 also removes English stop words and stems (Snowball), which its description does not say; here
    the description is followed.
    """

    accepts = (Text,)

    def __init__(self, reweigh: bool = True) -> None:
        if not isinstance(reweigh, bool):
            raise ValueError(f"reweigh is {reweigh!r}, expected True or False")
        self.reweigh = reweigh
        self.card = Card(
            "VQA-Med BLEU",
            "mean over answers of unsmoothed sentence BLEU-4"
            + (" (of fewer orders for answers below four words)" if reweigh else "")
            + ", the best of the alternatives (#), with or without optional parts (); lower-cased, punctuation deleted",
            "0 to 1, higher is better",
            "abachaa/VQA-Med-2019 @7975dc4 (# and ()), VQA-Med-2020 README @68d0cc9; NLTK 3.10.4 sentence_bleu",
        )

    def score(self, prediction: Prediction, target: Target) -> float:
        right = _right_answers(target, "plain")
        if prediction.value is None:
            return 0.0
        words = vqamed_tokens(prediction.value)
        return max(answer_bleu(words, answer, self.reweigh) for answer in right)

    def signature(self, state: State) -> str:
        reweigh = "yes" if self.reweigh else "no"
        return f"vqamed-bleu|n:4|reweigh:{reweigh}|smooth:none|clean:plain|refs:#-max|optional:()|v:1"


METRICS = {"vqamed-accuracy": VqaMedAccuracy, "vqamed-bleu": VqaMedBleu}
