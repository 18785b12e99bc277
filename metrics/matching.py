"""Reading a closed-set answer: which of the options did the model mean?

Original: find_most_similar_index of xiaoman-zhang/PMC-VQA, src/MedVInT_TD/test_SLAKE.py, by the group of RadFM, whose
paper (arXiv 2308.02463) names difflib.SequenceMatcher for modality recognition and disease diagnosis without code.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Literal

Case = Literal["lower", "mixed"]


SHORT = 4096  # characters: longer texts are not kept in caches


def _most_similar(text: str, options: tuple[str, ...], case: Case) -> int | None:
    if case == "lower":
        text, options = text.lower(), tuple(o.lower() for o in options)
    best, best_ratio = None, 0.0
    for index, option in enumerate(options):
        similarity = SequenceMatcher(None, option, text).ratio()
        if similarity > best_ratio:
            best, best_ratio = index, similarity
    return best


_most_similar_short = lru_cache(maxsize=65536)(_most_similar)


def most_similar_option(text: str, options: Sequence[str], case: Case = "lower") -> int | None:
    """Index of the option most similar to ``text`` by ``difflib``, or None where every ratio is 0.

    The option is the first argument of SequenceMatcher (the ratio is not symmetric) and the first best option wins.
    ``case="mixed"`` is the original; ``"lower"``, our default, lower-cases both, since the original reads
    "Yes, there is evidence of pneumonia." as "no".
    """
    search = _most_similar_short if len(text) <= SHORT else _most_similar
    return search(text, tuple(options), case)
