"""Reports to labels: sentences, clauses, mentions, their polarity and side, and what a report says altogether.

A report's code for an observation is the strongest of its mentions: positive, then uncertain, then negative; blank where it
is not mentioned. Observations do not imply one another: consolidation sets no Lung Opacity, cardiomegaly no Enlarged
Cardiomediastinum (CheXpert's hierarchy is left to the reader of the labels).

**No Finding** is positive where no observation but Support Devices is positive or uncertain, no other abnormality is affirmed
or hedged (scoliosis, granuloma, hyperinflation ...), and the text says so at least once: a denied observation or a normal
statement. Else it is blank; a text that says nothing about a chest has no label at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from radbench.metrics.findings.observations import (
    BLANK,
    NEGATIVE,
    NO_FINDING,
    OBSERVATIONS,
    POSITIVE,
    SUPPORT_DEVICES,
    UNCERTAIN,
    Code,
)
from radbench.metrics.findings.rules.laterality import Side, lateralities
from radbench.metrics.findings.rules.negation import polarity
from radbench.metrics.findings.rules.sentences import clauses, lowered, sentences
from radbench.metrics.findings.rules.statements import says_normal, statements
from radbench.metrics.findings.rules.vocabulary import OTHER_TERMS, TERMS, Terms, word_starts

_CACHED_CHARACTERS = 500  # of a sentence: longer ones are parsed anew rather than held
_SIDELESS = frozenset(OBSERVATIONS.index(name) for name in ("Cardiomegaly", "Enlarged Cardiomediastinum"))
_SIDE_BITS = {"left": 1, "right": 2, "bilateral": 3}
_STRENGTH = (0, 3, 1, 2)  # of blank, positive, negative, uncertain


@dataclass(frozen=True, slots=True)
class Mention:
    """An observation named at ``text[start:end]``; ``polarity`` is 1 positive, 2 negative or 3 uncertain."""

    observation: str
    start: int
    end: int
    polarity: Code
    laterality: Side | None = None


@dataclass(frozen=True, slots=True)
class _Sentence:
    """What one sentence says: (observation, start, end, polarity, side), and whether it says that something is normal."""

    found: tuple[tuple[int, int, int, Code, Side | None], ...]
    normal: bool
    other: bool  # an abnormality outside the 14 is affirmed or hedged


def label(text: str) -> tuple[int, ...]:
    """The 14 codes of a report: 0 blank, 1 positive, 2 negative, 3 uncertain, in the order of OBSERVATIONS."""
    codes: list[int] = [BLANK] * len(OBSERVATIONS)
    said = other = False
    for _, sentence in sentences(lowered(text)):
        parsed = _parse(sentence)
        said = said or parsed.normal
        other = other or parsed.other
        for observation, _, _, code, _ in parsed.found:
            if _STRENGTH[code] > _STRENGTH[codes[observation]]:
                codes[observation] = code
    found = [code for i, code in enumerate(codes) if i != SUPPORT_DEVICES]
    if not other and (said or NEGATIVE in found) and POSITIVE not in found and UNCERTAIN not in found:
        codes[NO_FINDING] = POSITIVE
    return tuple(codes)


def label_all(texts: Sequence[str]) -> NDArray[np.int8]:
    """(n, 14) codes of n reports; equal texts are labelled once."""
    known: dict[str, tuple[int, ...]] = {}
    for text in texts:
        if text not in known:
            known[text] = label(text)
    return np.array([known[text] for text in texts], np.int8).reshape(len(texts), len(OBSERVATIONS))


def mentions(text: str) -> list[Mention]:
    """What a report's labels were read from, in order; offsets are into ``text``."""
    out = []
    for offset, sentence in sentences(lowered(text)):
        for observation, start, end, code, side in _parse(sentence).found:
            out.append(Mention(OBSERVATIONS[observation], offset + start, offset + end, code, side))
    return out


def affirmed_sides(text: str) -> tuple[int, ...]:
    """The sides of each observation's positive mentions: 0 none named, 1 left, 2 right, 3 both."""
    sides = [0] * len(OBSERVATIONS)
    for _, sentence in sentences(lowered(text)):
        for observation, _, _, code, side in _parse(sentence).found:
            if code == POSITIVE and side is not None:
                sides[observation] |= _SIDE_BITS[side]
    return tuple(sides)


def clear_cache() -> None:
    """Forget the sentences seen so far (32,768 at most are kept)."""
    _parse_short.cache_clear()


def _parse(sentence: str) -> _Sentence:
    return _parse_short(sentence) if len(sentence) <= _CACHED_CHARACTERS else _parse_sentence(sentence)


def _parse_sentence(written: str) -> _Sentence:
    # Wrapped lines and tabs read as spaces; one character stays one, so that offsets hold.
    sentence = written.translate(_SPACES)
    spans = clauses(sentence)
    found = [(o, s, e, c) for o, s, e, c in statements(sentence)]
    starts = word_starts(sentence)
    for terms in TERMS:
        if not terms.starts.isdisjoint(starts):
            found.extend(_search(terms, sentence, spans))
    other = not OTHER_TERMS.starts.isdisjoint(starts) and any(
        code != NEGATIVE for _, _, _, code in _search(OTHER_TERMS, sentence, spans)
    )
    found.sort(key=lambda f: (f[1], f[2], f[0]))
    sides = lateralities(sentence, [(start, end) for _, start, end, _ in found]) if found else []
    placed = [(*f, None if f[0] in _SIDELESS else side) for f, side in zip(found, sides, strict=True)]
    return _Sentence(tuple(placed), says_normal(sentence), other)


_SPACES = {ord(c): " " for c in "\t\n\r\x0b\x0c\xa0"}
_parse_short = lru_cache(maxsize=32768)(_parse_sentence)


def _search(terms: Terms, sentence: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int, int, Code]]:
    """Where a sentence names an observation as a statement about the image, and how it is meant."""
    out = []
    for match in terms.pattern.finditer(sentence):
        start, end = next((s, e) for s, e in spans if match.start() < e)
        code = polarity(sentence[start:end], max(0, match.start() - start), match.end() - start)
        if code is not None:
            out.append((terms.observation, match.start(), match.end(), code))
    return out
