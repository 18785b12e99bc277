"""Option letters, yes or no, and MultiMedEval's BLEU matching: readings of a closed-set answer beside difflib.

Every reading is ``(text, options) -> index | None``, None where it cannot tell. The BLEU matching is that of PyPI
multimedeval 1.0.0 (qa.py, mnist.py, image_classification.py); letters and yes/no are ours, since no paper states its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from radbench.metrics.vqa.multimedeval import bleu_1, clean_str

# --- MultiMedEval 1.0.0 ---


def option_bleus(text: str, options: Sequence[str]) -> list[float]:
    """BLEU-1 of the cleaned text against each cleaned option, 0 to 1, rounded to float32 as the original's."""
    said = clean_str(text).split()
    return [float(np.float32(bleu_1(said, clean_str(option).split()))) for option in options]


def multimedeval_option(text: str, options: Sequence[str]) -> int | None:
    """The option of highest BLEU-1, the first of several; None where all are 0 ("Invalid answer").

    The original writes the options as ``a: text.`` (MedMCQA), ``A text`` (MedQA) or ``A. text.`` (MMLU). The colon stays
    in ``a:``, so a bare letter never finds a MedMCQA option, and "a" is dropped as an article everywhere.
    """
    scores = option_bleus(text, options)
    best = max(scores, default=0.0)
    return scores.index(best) if best > 0 else None


def multimedeval_label(text: str, options: Sequence[str]) -> int | None:
    """The same for image classification, which knows no invalid answer: where all are 0, and for no text, option 0."""
    return multimedeval_option(text, options) or 0 if options else None


def multimedeval_medmnist(text: str, options: Sequence[str]) -> int | None:
    """:func:`multimedeval_label` of the MedMNIST sets, whose options are numbered from 1: ``1: label``."""
    return multimedeval_label(text, [f"{number}: {option}" for number, option in enumerate(options, 1)])


def multimedeval_labels(text: str, options: Sequence[str]) -> tuple[int, ...]:
    """The multilabel reading: every option whose BLEU-1 exceeds 0.5."""
    return tuple(index for index, score in enumerate(option_bleus(text, options)) if score > 0.5)


def multimedeval_vote(text: str, options: Sequence[str] = ("yes", "no", "maybe")) -> int | None:
    """PubMedQA's reading: the option that occurs most often as a token of the cleaned text; None where none does."""
    words = clean_str(text).split()
    votes = [words.count(option) for option in options]
    best = max(votes, default=0)
    return votes.index(best) if best else None


# --- option letters ---

_WRAP = r"[\s\"'“”‘’*_`#(\[{<]{0,8}"  # quotation marks, brackets and markdown before a letter
_END = r"(?![\w'’-])"  # "C-spine", "T2" and "I'm" hold no letter
_KIND = r"(?:option|choice|letter)"
_ALONE = re.compile(rf"{_WRAP}(?:{_KIND}\s{{1,4}})?([a-z])[\s\"'“”’*_`)\]}}>.:,;!]*", re.I)
_ANSWER = re.compile(
    rf"\banswer(?:\s{_KIND})?{_WRAP}(?:(?:is|would be|should be|must be|=|:|-){_WRAP}){{0,3}}(?:{_KIND}{_WRAP})?([a-z]){_END}",
    re.I,
)
_NAMED = re.compile(rf"(?<!not )\b{_KIND}{_WRAP}(?:(is|:){_WRAP}:?\s?)?([a-z]){_END}", re.I)
_CORRECT = re.compile(rf"(?<![\w'’-])([A-Z]){_END}[)*\s]{{1,4}}is (?:the )?(?:correct|right|best|most likely|answer)")
_LEADING = re.compile(r"\s*[*_\"'“]*(?:[(\[]([a-z])[)\]]|([a-z])\s?[).:](?=\s|\*|$))", re.I)
_BRACKETED = re.compile(r"\(([A-Z])\)")
_WORDS = frozenset("ai")  # letters that are English words: an article, a pronoun
# What shows that such a letter was meant as a letter: the answer ends, or gives its reason.
_FINAL = re.compile(r"[\s\"'”’*_`]{0,8}(?:[).:,;!\]]|$|(?:because|since|as|based|due)\b)")


def option_letter(text: str, options: Sequence[str]) -> int | None:
    """The option whose letter the answer gives: "B", "(b)", "B.", "The answer is B", "Answer: C) effusion", "option D".

    Read in this order: the whole answer is one option's text, or one letter; the last "answer is X"; a leading "X)",
    "X." or "(X)"; "option X" or "X is correct", then "(X)", where one letter alone is named so. A letter beyond the
    options does not count, nor does the article of "a small effusion". None where no letter is given.
    """
    plain = _plain(text)
    whole = [i for i, option in enumerate(options) if plain and _plain(option) == plain]
    if whole:
        return whole[0] if len(whole) == 1 else None
    if alone := _ALONE.fullmatch(text):
        return _index(alone.group(1), options)
    announced = [_index(m.group(1), options) for m in _ANSWER.finditer(text) if _is_letter(m.group(1), text[m.end() :])]
    if valid := [i for i in announced if i is not None]:
        return valid[-1]
    leading = _LEADING.match(text)
    if leading and (first := _index(leading.group(1) or leading.group(2), options)) is not None:
        return first
    named = [m.group(2) for m in _NAMED.finditer(text) if not m.group(1) or _is_letter(m.group(2), text[m.end() :])]
    for letters in (named + _CORRECT.findall(text), _BRACKETED.findall(text)):
        if indices := {_index(letter, options) for letter in letters} - {None}:
            return indices.pop() if len(indices) == 1 else None
    return None


def _plain(text: str) -> str:
    return text.strip().strip(".").casefold()


def _is_letter(letter: str, rest: str) -> bool:
    """Whether "a" or "i" after "the answer is" is a letter: then no word follows, but a reason may; others always are."""
    return letter.lower() not in _WORDS or _FINAL.match(rest) is not None


def _index(letter: str, options: Sequence[str]) -> int | None:
    index = ord(letter.lower()) - ord("a")
    return index if 0 <= index < len(options) else None


# --- yes or no ---

_YES_OPTIONS = ("yes", "true", "present", "positive")
_NO_OPTIONS = ("no", "false", "absent", "negative")
_BOTH = re.compile(r"\b(?:yes\W+(?:or|and)\W+no|no\W+(?:or|and)\W+yes|yes\s*/\s*no)\b", re.I)
_LEADS_YES = re.compile(r"\W*(?:yes|yeah|yep|true|correct|positive|affirmative|y\W*$)(?!\w)", re.I)
_LEADS_NO = re.compile(r"\W*(?:no|nope|none|false|incorrect|negative|n\W*$)(?!\w)", re.I)
_UNSURE = re.compile(
    r"\b(?:not (?:sure|certain|clear)|uncertain|unclear|unable|unsure|cannot (?:be )?(?:tell|say|determined?|assess(?:ed)?|"
    r"exclude[d]?|rule[d]? out)|can not (?:be )?(?:excluded|ruled out|determined)|can't (?:tell|say|determine|exclude|rule)|"
    r"(?:do not|don't|does not|doesn't) know|not (?:be )?(?:excluded|ruled out)|indeterminate|equivocal|maybe|perhaps|"
    r"insufficient)\b",
    re.I,
)
_ANSWER_IS = re.compile(r"\banswer(?:\s+is|\s*:)\W*(yes|no)\b", re.I)
_SAYS_NO = re.compile(
    r"\b(?:no|not|cannot|without|absent|absence|neither|never|none|negative for|free of|denies|lacks?|false)\b|n['’]t\b",
    re.I,
)
_SAYS_YES = re.compile(
    r"\b(?:yes|present|seen|visible|visuali[sz]ed|evident|identified|there (?:is|are)|shows?|demonstrates?|indicates?|"
    r"suggests?|reveals?|consistent with|positive for|true)\b",
    re.I,
)


def polarity(text: str) -> bool | None:
    """Whether an answer affirms (True) or denies (False); None where it does neither, or both.

    Read in this order: "yes or no" is undecided; the leading word; the last "the answer is yes"; "not sure", "cannot be
    excluded" and the like are undecided; a standing "yes" without "no"; a negation such as "not", "no", "absent",
    "without"; an affirmation such as "present", "seen", "there is".
    """
    if _BOTH.search(text):
        return None
    if _LEADS_YES.match(text):
        return True
    if _LEADS_NO.match(text):
        return False
    if said := _ANSWER_IS.findall(text):
        return str(said[-1]).lower() == "yes"
    if _UNSURE.search(text):
        return None
    words = set(re.findall(r"\w+", text.lower()))
    if "yes" in words:
        return None if "no" in words else True
    if _SAYS_NO.search(text):
        return False
    return True if _SAYS_YES.search(text) else None


def yes_no(text: str, options: Sequence[str]) -> int | None:
    """The option an affirming or denying answer means (:func:`polarity`); None where the options are no yes and no.

    An option counts as yes if it is yes, true, present or positive, as no if it is no, false, absent or negative.
    """
    lowered = [option.strip().lower() for option in options]
    yes = next((i for i, option in enumerate(lowered) if option in _YES_OPTIONS), None)
    no = next((i for i, option in enumerate(lowered) if option in _NO_OPTIONS), None)
    if yes is None or no is None:
        return None
    if (plain := _plain(text)) in lowered:  # a third option such as "maybe"
        return lowered.index(plain)
    affirmed = polarity(text)
    return None if affirmed is None else (yes if affirmed else no)
