"""Reading a closed-set answer: which of the options did the model mean?

Original: find_most_similar_index of xiaoman-zhang/PMC-VQA, src/MedVInT_TD/test_SLAKE.py, by the group of RadFM, whose
paper (arXiv 2308.02463) names difflib.SequenceMatcher for modality recognition and disease diagnosis without code. It
reads poorly: "This is a CT scan." is Ultrasound, "Yes, there is evidence of pneumonia." is no. :data:`MATCHERS` holds it,
a guarded variant of ours and the readings of :mod:`radbench.metrics.vqa.choices`; :func:`side_by_side` shows them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache
from typing import Literal

from radbench.metrics.vqa.choices import (
    multimedeval_label,
    multimedeval_medmnist,
    multimedeval_option,
    option_letter,
    yes_no,
)
from radbench.metrics.vqa.multimedeval import SHORT

Case = Literal["lower", "mixed"]
Order = Literal["option-first", "text-first"]
Matcher = Callable[[str, Sequence[str]], int | None]


def ratios(text: str, options: Sequence[str], order: Order = "option-first", case: Case = "mixed") -> list[float]:
    """``difflib`` similarity of the text to each option, 0 to 1.

    The ratio is not symmetric: ``order`` says which is the first argument of SequenceMatcher. The original has
    ``option-first`` and ``mixed`` case.
    """
    if case == "lower":
        text, options = text.lower(), [option.lower() for option in options]
    if order == "option-first":
        return [SequenceMatcher(None, option, text).ratio() for option in options]
    return [SequenceMatcher(None, text, option).ratio() for option in options]


def _most_similar(text: str, options: tuple[str, ...], case: Case) -> int | None:
    similar = ratios(text, options, case=case)
    best = max(similar, default=0.0)
    return similar.index(best) if best > 0 else None


_most_similar_short = lru_cache(maxsize=65536)(_most_similar)


def most_similar_option(text: str, options: Sequence[str], case: Case = "lower") -> int | None:
    """Index of the option most similar to ``text`` by ``difflib``, or None where every ratio is 0.

    The option is the first argument of SequenceMatcher (the ratio is not symmetric) and the first best option wins.
    ``case="mixed"`` is the original; ``"lower"``, our default, lower-cases both, since the original reads
    "Yes, there is evidence of pneumonia." as "no".
    """
    search = _most_similar_short if len(text) <= SHORT else _most_similar
    return search(text, tuple(options), case)


def original_option(text: str, options: Sequence[str]) -> int | None:
    """:func:`most_similar_option` with letter case kept: the original."""
    return most_similar_option(text, options, "mixed")


def closest_option(text: str, options: Sequence[str]) -> int | None:
    """``difflib.get_close_matches`` with n=1 and cutoff=0, a common short cut: of equal ratios the option that sorts last
    wins, and an answer that shares nothing with any option still gets one."""
    close = get_close_matches(text, options, n=1, cutoff=0.0)
    return list(options).index(close[0]) if close else None


# --- the guarded variant ---

# A negation reaches at most five words on, not beyond a clause.
_DENIED = re.compile(
    r"(?:\b(?:no|not|without|excludes?|excluded|absence|negative|neither|nor|never|rather than|instead of)|n['’]t)"
    r"(?:\s+(?!but\b)[\w'’/-]+){0,5}\s*$"
)
_REACH = 80  # characters looked at before a word for such a negation


@lru_cache(maxsize=1024)
def _longest_first(options: tuple[str, ...]) -> tuple[tuple[int, re.Pattern[str]], ...]:
    """(index, pattern) of each option as whole words, white space as it comes; the longest option first."""
    words = [(i, option.casefold().split()) for i, option in enumerate(options) if option.strip()]
    words.sort(key=lambda item: -len(" ".join(item[1])))
    return tuple((i, re.compile(r"(?<![\w-])" + r"\s+".join(map(re.escape, said)) + r"(?!\w)")) for i, said in words)


def contained_options(text: str, options: Sequence[str]) -> tuple[list[int], list[int]]:
    """The options that ``text`` contains as whole words, in the order they are first named: affirmed, and only denied.

    Letter case does not count. The longest option is looked for first and what it covers is no longer searched, so
    that "X-ray" is not also "ray" and "no tumor" not also "tumor". A hyphen before an option makes it part of a word.
    """
    plain = rest = text.casefold()
    affirmed: list[tuple[int, int]] = []
    denied: list[int] = []
    for index, pattern in _longest_first(tuple(options)):
        found = list(pattern.finditer(rest))
        if not found:
            continue
        meant = [m.start() for m in found if not _DENIED.search(plain[max(0, m.start() - _REACH) : m.start()])]
        if meant:
            affirmed.append((meant[0], index))
        else:
            denied.append(index)
        rest = pattern.sub(lambda m: "\0" * len(m.group()), rest)
    return [index for _, index in sorted(affirmed)], denied


def guarded_option(text: str, options: Sequence[str]) -> int | None:
    """Whole-word containment first, then ``difflib`` with both sides lower-cased.

    The option that the text contains as whole words wins; of several the one named first ("PET/CT" is PET). An option
    that stands only behind a negation in its clause ("not a CT but", "no pneumonia") does not count, and is struck from
    the difflib matching too, unless all are. Synonyms are not known. None where every ratio is 0.
    """
    affirmed, denied = contained_options(text, options)
    if affirmed:
        return affirmed[0]
    left = [i for i in range(len(options)) if i not in denied] or list(range(len(options)))
    best = most_similar_option(text, [options[i] for i in left])
    return None if best is None else left[best]


def letter_or_guarded(text: str, options: Sequence[str]) -> int | None:
    """The option letter where the answer gives one, else :func:`guarded_option`."""
    index = option_letter(text, options)
    return guarded_option(text, options) if index is None else index


MATCHERS: dict[str, Matcher] = {
    "difflib": most_similar_option,
    "difflib-mixed": original_option,
    "difflib-close-matches": closest_option,
    "guarded": guarded_option,
    "letters": option_letter,
    "letters-then-guarded": letter_or_guarded,
    "yes-no": yes_no,
    "multimedeval-1.0.0": multimedeval_option,
    "multimedeval-1.0.0-image": multimedeval_label,
    "multimedeval-1.0.0-medmnist": multimedeval_medmnist,
}
NEVER_INVALID = frozenset({"multimedeval-1.0.0-image", "multimedeval-1.0.0-medmnist"})  # an empty answer is option 0

_MODALITIES = ("CT", "MRI", "Ultrasound", "PET", "X-ray", "angiography")
_YES_NO = ("yes", "no")
_FINDINGS = ("pneumonia", "pleural effusion", "pneumothorax", "normal")
EXAMPLES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ct", _MODALITIES),
    ("This is a CT scan.", _MODALITIES),
    ("Not a CT but an MRI of the brain.", _MODALITIES),
    ("Yes, there is evidence of pneumonia.", _YES_NO),
    ("There is no pneumothorax.", _YES_NO),
    ("The nodule is not present.", _YES_NO),
    ("B", _FINDINGS),
    ("A small pleural effusion.", _FINDINGS),
    ("The answer is C: pneumothorax", _FINDINGS),
    ("No pneumonia, the lungs are normal.", _FINDINGS),
    ("I do not know.", _FINDINGS),
    ("", _YES_NO),
)


def side_by_side(texts: Sequence[str], options: Sequence[str]) -> list[dict[str, str | None]]:
    """What every matcher makes of each text: ``{"text": text, matcher: the option it chose, or None}``."""
    rows: list[dict[str, str | None]] = []
    for text in texts:
        chosen = {name: matcher(text, options) for name, matcher in MATCHERS.items()}
        rows.append({"text": text, **{name: None if i is None else options[i] for name, i in chosen.items()}})
    return rows


def example_rows() -> list[dict[str, str | None]]:
    """:data:`EXAMPLES`, each with what every matcher makes of it."""
    return [row for text, options in EXAMPLES for row in side_by_side([text], options)]
