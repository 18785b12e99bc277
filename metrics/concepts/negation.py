"""Which concepts of a report are denied.

Cues, clauses and hedges are those of the rule labeler (:mod:`radbench.metrics.findings.rules`): a hedged concept ("cannot
exclude") and one that is only asked for ("evaluate for") are not denied. Its clauses know the chest; what is added here
ends a denial before a statement about anything else.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Literal

from radbench.metrics.concepts.search import Match
from radbench.metrics.findings.observations import NEGATIVE
from radbench.metrics.findings.rules.negation import polarity
from radbench.metrics.findings.rules.sentences import clauses, lowered, sentences

Negation = Literal["ignore", "drop", "mark"]
VERSION = 2  # of these rules and of the labeler's: raised when either changes what is denied
REACH = (
    400  # characters on each side of a concept in which its cues stand; a text that never ends a sentence stays fast
)

# A line break ends a statement where the next line starts with a capitalised word, unless the line cannot end there.
_LINE = re.compile(
    r"(?P<goes_on>(?:,|(?i:\b(?:a|acute|an|and|any|as|by|evidence|focal|for|from|in|is|are|no|nor|not|of|on|or|the|to|with|"
    r"without)))[ \t]*)?\r?\n(?=[ \t]*[A-Z][a-z])"
)
_VERB = r"(?:is|are|was|were|has|have|appears?|remains?|demonstrates?|shows?)"
# After these verbs the subject still belongs to the list of what is denied: "no effusion, and edema is not seen".
_STILL_DENIED = (
    r"(?: [a-z]+)? (?:not|no|seen|identified|visuali[sz]ed|evident|present|demonstrated|detected|noted|appreciated|observed|"
    r"apparent|found|visible|suspected|suggested|absent|negative|excluded|ruled|resolved|cleared|removed|unlikely)\b"
)
_STATEMENT = re.compile(
    r",\s*(?=(?:an? )?(?:large|new|severe|marked|extensive|massive)\b(?!.{0,200}\b(?:and|or|nor)\b))"
    rf"|(?:,\s*(?:and )?|\band )(?=(?:(?!(?:and|or|nor|no|not|neither|that|which|with|{_VERB})\b)[\w-]+ ){{1,5}}{_VERB}\b"
    rf"(?!{_STILL_DENIED}))"
)
# What denies nothing here. To the labeler, who is asked about findings, "is normal" denies; of an organ or a device it
# says that it is there.
_NO_CUE = re.compile(
    r"\b(?:within (?:the )?(?:limits of normal|normal limits?)|normal|unremarkable"
    r"|no (?:significant |definite |appreciable |substantial )?interval changes? of)\b"
)


def negated(text: str, matches: Sequence[Match]) -> list[bool]:
    """Whether each match is denied, as :func:`radbench.metrics.findings.rules.negation.polarity` has it.

    >>> from radbench.metrics.concepts.search import Match
    >>> negated("No effusion. Nodule.", [Match(3, 11, "effusion", "", ""), Match(13, 19, "Nodule", "", "")])
    [True, False]
    """
    plain = _NO_CUE.sub(lambda m: "x" * len(m.group()), re.sub(r"\s", " ", lowered(text)))
    starts = list(_starts(text, plain))
    ends = [*starts[1:], len(text)]

    def denied(match: Match) -> bool:
        i = bisect_right(starts, match.start) - 1
        before = _near(plain[max(starts[i], match.start - REACH - 1) : match.start][::-1])[::-1]
        after = _near(plain[match.end : min(ends[i], match.end + REACH + 1)])
        clause = before + plain[match.start : match.end] + after
        return polarity(clause, len(before), len(clause) - len(after)) == NEGATIVE

    return [denied(match) for match in matches]


def _near(side: str) -> str:
    """At most ``REACH`` characters of what stands on one side of a concept, in whole words: the "no" of "piano" is none."""
    return side if len(side) <= REACH else side[: side.rfind(" ", 0, REACH + 1) + 1]


def _starts(text: str, plain: str) -> Iterator[int]:
    """Where the clauses of a text begin, in order; the first is 0."""
    cuts = {0}
    for start, sentence in sentences(lowered(text)):
        cuts |= {start, start + len(sentence)}
    cuts |= {m.end() for m in _LINE.finditer(text) if m["goes_on"] is None}
    ordered = sorted(cuts)
    for start, end in zip(ordered, [*ordered[1:], len(text)], strict=True):
        sentence = plain[start:end]
        inner = {start, *(start + a for a, _ in clauses(sentence))}
        yield from sorted(inner | {start + m.end() for m in _STATEMENT.finditer(sentence)})


def apply(text: str, matches: Sequence[Match], negation: Negation) -> list[Match]:
    """``ignore`` returns the matches as they are, ``drop`` without those denied, ``mark`` with ``negated`` set."""
    if negation == "ignore" or not matches:
        return list(matches)
    flags = negated(text, matches)
    if negation == "drop":
        return [m for m, denied in zip(matches, flags, strict=True) if not denied]
    return [m._replace(negated=denied) for m, denied in zip(matches, flags, strict=True)]
