"""Which concepts of a report are denied: cues, their scope, and what ends it.

After NegEx (Chapman et al., J Biomed Inform 34, 2001): a cue before or after a concept in the same sentence negates it,
unless a word such as "but" stands between. The cue lists are our own, written for radiology reports. A cue's scope is
bounded by ``REACH`` tokens, longer than NegEx's five since reports deny in lists ("no effusion, pneumothorax or edema").
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal

from radbench.metrics.concepts.normal import TOKEN
from radbench.metrics.concepts.search import Match

Negation = Literal["ignore", "drop", "mark"]
VERSION = 1
REACH = 16  # tokens between a cue and the concept it denies


def _any(*phrases: str) -> re.Pattern[str]:
    longest_first = sorted(phrases, key=len, reverse=True)
    return re.compile(r"\b(?:" + "|".join(p.replace(" ", r"\s+") for p in longest_first) + r")\b", re.IGNORECASE)


# These hold a cue's word and deny nothing, or deny a change and no finding.
_NOT_A_CUE = _any(
    "no change", "no changes", "no (?:significant |interval |appreciable |relevant |substantial )+change",
    "no (?:significant |interval )*(?:increase|decrease|worsening|improvement|progression)", "not only", "no longer than",
    "without (?:any |significant |interval )*changes?", "not necessarily", "not (?:be )?excluded", "not ruled out",
    "no further", "no prior", "no previous", "no priors", "no comparison", "not significantly changed", "not changed",
    "not certain whether", "no doubt",
)  # fmt: skip
_BEFORE = _any(
    "no", "not", "without", "absence of", "absent", "negative for", "free of", "clear of", "denies", "denied", "lack of",
    "never", "none of", "neither", "nor", "rules out", "ruled out", "rule out", "exclude", "excludes", "fails to show",
    "resolution of", "interval resolution of", "non", "cannot see", "unremarkable for", "devoid of",
)  # fmt: skip
_AFTER = _any(
    "(?:is|are|was|were) (?:absent|negative|excluded|ruled out|not (?:seen|identified|present|evident|visualized"
    "|visualised|detected|demonstrated|appreciated|noted|found|shown|visible|apparent|observed))",
    "(?:is|are|was|were) no longer (?:seen|identified|present|evident|visualized|visible|apparent)",
    "(?:has|have) (?:completely |fully |now )?(?:resolved|cleared)", "not (?:seen|identified|visualized|detected)",
    "absent", "negative", "none",
)  # fmt: skip
_END = _any(
    "but", "however", "although", "though", "except", "except for", "apart from", "aside from", "other than", "yet",
    "nevertheless", "still", "which", "that", "there (?:is|are)", "with", "secondary to", "due to", "remains?", "because",
    "consistent with", "suggesting", "suggests?", "stable", "unchanged",
)  # fmt: skip
_SENTENCE = re.compile(r"(?<!\d)\.|\.(?!\d)|[;!?]|\n\s*\n")


def negated(text: str, matches: Sequence[Match]) -> list[bool]:
    """Whether each match is denied. Matches must be in the order of the text.

    >>> from radbench.metrics.concepts.search import Match
    >>> negated("No effusion. Nodule.", [Match(3, 11, "effusion", "", ""), Match(13, 19, "Nodule", "", "")])
    [True, False]
    """
    ends = [m.end() for m in _SENTENCE.finditer(text)]
    bounds = [0, *ends, len(text)]
    found: dict[int, list[tuple[int, int]]] = {}
    denied = []
    for match in matches:
        sentence = bisect_right(ends, match.start)
        if sentence not in found:
            found[sentence] = _scopes(text, bounds[sentence], bounds[sentence + 1])
        denied.append(any(start <= match.start and match.end <= end for start, end in found[sentence]))
    return denied


def _scopes(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The stretches of a sentence that are denied."""
    spurious = [m.span() for m in _NOT_A_CUE.finditer(text, start, end)]

    def cues(pattern: re.Pattern[str]) -> list[tuple[int, int]]:
        spans = (m.span() for m in pattern.finditer(text, start, end))
        return [(a, b) for a, b in spans if not any(s <= a and b <= e for s, e in spurious)]

    stops = cues(_END)
    scopes = []
    for _, after in cues(_BEFORE):
        stop = min((a for a, _ in stops if a >= after), default=end)
        scopes.append((after, _reach(text, after, stop)))
    for before, _ in cues(_AFTER):
        stop = max((b for _, b in stops if b <= before), default=start)
        scopes.append((_reach_back(text, stop, before), before))
    return scopes


def _reach(text: str, start: int, stop: int) -> int:
    """Where a scope that runs from ``start`` ends: at ``stop``, or after ``REACH`` tokens."""
    for count, token in enumerate(TOKEN.finditer(text, start, stop), 1):
        if count == REACH:
            return token.end()
    return stop


def _reach_back(text: str, stop: int, start: int) -> int:
    starts = [token.start() for token in TOKEN.finditer(text, stop, start)]
    return starts[-REACH] if len(starts) > REACH else stop


def apply(text: str, matches: Sequence[Match], negation: Negation) -> list[Match]:
    """``ignore`` returns the matches as they are, ``drop`` without those denied, ``mark`` with ``negated`` set."""
    if negation == "ignore" or not matches:
        return list(matches)
    flags = negated(text, matches)
    if negation == "drop":
        return [m for m, denied in zip(matches, flags, strict=True) if not denied]
    return [m._replace(negated=denied) for m, denied in zip(matches, flags, strict=True)]
