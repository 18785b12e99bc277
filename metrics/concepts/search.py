"""Finding the terms of a dictionary in a text: longest match, as a walk through the dictionary's trie."""

from __future__ import annotations

import re
from collections.abc import Iterable
from operator import itemgetter
from typing import NamedTuple

from radbench.metrics.concepts.index import Concept, Index
from radbench.metrics.concepts.normal import TOKEN, TokenHashes, extend

# A term does not reach over a comma, a bracket or the end of a sentence; blanks, hyphens and apostrophes are inside it.
# It reaches over a line's end, as reports come hard-wrapped, unless a blank line, a dash or a number follows.
SEGMENT = re.compile(r"[^\W_](?:[\w \t\-'’\u2010-\u2015]+|\r?\n(?![ \t]*(?:\r?\n|[-*\d])))*")
CACHED_SEGMENTS = 1 << 16
CACHED_STEPS = 1 << 19

# QuickUMLS 1.4.2 accepts these 27 of the UMLS semantic types by default: disorders, findings, body parts, procedures,
# devices, drugs, tests. Qualities (T080: "normal") and places (T082: "left") are not among them.
QUICKUMLS_TYPES = frozenset(
    "T023 T029 T031 T033 T034 T037 T039 T040 T041 T046 T047 T048 T058 T059 T060 T061 T067 T074 T121 T130 T170 T184 T191 "
    "T195 T200 T201 T203".split()
)


class Match(NamedTuple):
    """A concept found: characters ``start`` to ``end`` of the text, which read ``text``, are the dictionary's ``term``.

    ``similarity`` is below 1 only where an extractor compares strings approximately.
    """

    start: int
    end: int
    text: str
    term: str
    cui: str
    types: tuple[str, ...] = ()
    similarity: float = 1.0
    negated: bool = False


_Span = tuple[int, int, str, Concept]  # start, end, what stands there, concept; characters of a segment
_LENGTH_AND_START, _START = itemgetter(0, 1), itemgetter(0)


class _Step(dict[str, "_Step | None"]):
    """A node of the trie as far as texts have walked it: token as written -> next node, or None where no term goes on."""

    __slots__ = ("concept", "longer", "owner", "sequence")

    def __init__(self, owner: Search, sequence: int, concept: Concept | None, longer: bool) -> None:
        super().__init__()
        self.owner, self.sequence, self.concept, self.longer = owner, sequence, concept, longer

    def __missing__(self, token: str) -> _Step | None:
        self[token] = found = self.owner.step(self, token)
        return found


class Search:
    """Longest-match search over a dictionary.

    ``window`` is the most tokens a match may have and ``min_length`` its fewest characters. Of a term's concepts the first
    with one of ``types`` is found (one without semantic types is always accepted; None accepts all). Overlapping matches
    are resolved by the longest, then the leftmost. Results of segments (what stands between commas and full stops) are
    kept, as reports repeat them.
    """

    def __init__(
        self, index: Index, window: int = 5, min_length: int = 3, types: Iterable[str] | None = QUICKUMLS_TYPES
    ) -> None:
        if not 1 <= window <= index.meta.max_tokens:
            raise ValueError(f"window is {window}, expected 1 to {index.meta.max_tokens} tokens")
        if min_length < 1:
            raise ValueError(f"min_length is {min_length}, expected at least 1 character")
        self.index, self.window, self.min_length = index, window, min_length
        self.types = None if types is None else frozenset(types)
        self._forget()

    def _forget(self) -> None:
        self._steps = 0
        self._root = _Step(self, 0, None, True)
        self._hashes = TokenHashes()
        self._segments: dict[str, tuple[_Span, ...]] = {}

    def __call__(self, text: str) -> list[Match]:
        """The matches in a text, in its order; they do not overlap."""
        found = []
        segments, new = self._segments, tuple.__new__  # twice as fast as Match(...), which is called for every match
        for segment in SEGMENT.finditer(text):
            key = segment.group()
            spans = segments.get(key)
            if spans is None:
                spans = self._spans(key)
                segments = self._segments
            if spans:
                at = segment.start()
                found += [
                    new(Match, (at + start, at + end, said, *concept, 1.0, False))
                    for start, end, said, concept in spans
                ]
        return found

    def step(self, at: _Step, token: str) -> _Step | None:
        """The node after ``at``, read from the dictionary."""
        self._steps += 1
        token_hash = self._hashes[token]
        if not token_hash:  # "the"
            return at if at.sequence else None
        if not at.longer:
            return None
        sequence = extend(at.sequence, token_hash)
        node = self.index.node(sequence)
        return None if node < 0 else _Step(self, sequence, self._accepted(node), self.index.goes_on(node))

    def _accepted(self, node: int) -> Concept | None:
        """The first concept of the term that ends at a node whose semantic types are accepted."""
        for concept in self.index.concepts_at(node):
            if self.types is None or not concept.types or not self.types.isdisjoint(concept.types):
                return concept
        return None

    def _spans(self, segment: str) -> tuple[_Span, ...]:
        if len(self._segments) >= CACHED_SEGMENTS or self._steps >= CACHED_STEPS:
            self._forget()
        at = [m.span() for m in TOKEN.finditer(segment)]
        tokens = [segment[start:end] for start, end in at]
        root, window, min_length = self._root, self.window, self.min_length
        candidates = []
        for i, token in enumerate(tokens):
            step = root[token]
            if step is None:
                continue
            start, j, beyond = at[i][0], i, min(len(at), i + window)
            while True:
                if step.concept is not None and at[j][1] - start >= min_length:
                    candidates.append((start - at[j][1], start, step.concept))
                before = step
                j += 1
                # A skipped word leaves the walk where it is.
                while j < beyond and (step := before[tokens[j]]) is before:
                    j += 1
                if j >= beyond or step is None:
                    break
        found = _longest(segment, candidates) if candidates else ()
        self._segments[segment] = found
        return found


def _longest(segment: str, candidates: list[tuple[int, int, Concept]]) -> tuple[_Span, ...]:
    """The candidates (minus length, start, concept) that stay: the longest first, then the leftmost."""
    if len(candidates) > 1:
        candidates.sort(key=_LENGTH_AND_START)
    kept: list[_Span] = []
    for length, start, concept in candidates:
        end = start - length
        for s, e, _, _ in kept:
            if start < e and s < end:
                break
        else:
            kept.append((start, end, segment[start:end], concept))
    kept.sort(key=_START)
    return tuple(kept)
