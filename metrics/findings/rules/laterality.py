"""The side of a mention, from the words around it in its sentence.

Words between two mentions belong to the first up to a comma, a relative or a conjunction, the rest to the second: "opacity
in the right base and small left effusion". A mention without a side of its own takes that of the one it is joined to or
explained by: "left effusion and atelectasis", "left opacity may represent pneumonia". "Lingula" is left and "middle lobe"
right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

Side = Literal["left", "right", "bilateral"]

_SIDE = re.compile(
    r"\b(?:(?P<left>left(?:-sided|sided)?|lingular?|lll|lul)"
    r"|(?P<right>right(?:-sided|sided)?|middle lobe|rll|rul|rml)"
    r"|(?P<bilateral>bilateral(?:ly)?|both|bi-?basilar|bi-?basal|bi-?apical|(?:lung |the )bases|(?:lower|upper) lobes))\b"
    r"(?! (?:atri|ventric|heart|brachiocephalic|aort|main ?stem|paratracheal stripe|"
    r"hemidiaphragm|upper quadrant|clinical|setting|context))"
)
_SHIFT = re.compile(r"\b(?:shift\w*|deviat\w*|displace\w*) (?:\w+ ){0,3}(?:to|towards?) (?:the )?(?:left|right)\b")
# Where the words after a mention stop being about it: the first of these, each list tried in turn.
_ENDS = (
    re.compile(
        r";|,(?! (?:on the |in the )?(?:left|right|greater|more|worse|larger|predominantly)\b(?: side)?"
        r"(?: than| greater| more| worse| larger|,|$))"
    ),
    re.compile(
        r"\b(?:which|that|but|however|although|otherwise|may|might|could|represent\w*|reflect\w*|suggest\w*|compatible|consistent|"
        r"concerning|suspicious|likely|probably|possibly|due to|secondary to|related to|in keeping)\b"
    ),
)
_AND = re.compile(r"\b(?:and|with|without|plus)\b")
_OR = re.compile(r"\b(?:or|versus|vs)\b|/")
_SEPARATE = re.compile(r",|\bwith\b|\bwithout\b")
_JOINED = re.compile(r"[\s,]*(?:(?:and/or|and|or|versus|vs|with|/)\s*)(?:[\w-]+\s+){0,3}")
_SAME_THING = re.compile(
    r"[\s,]*(?:\b(?:which|that|this|may|might|could|most|likely|probably|possibly|also|be|is|are|to|a|an|the|focal) )*"
    r"(?:represent\w*|reflect\w*|suggest\w*(?: of)?|compatible with|consistent with|due to|secondary to|concerning for|"
    r"suspicious for|related to|from|of|in keeping with|favored|indicate|likely|probably|possibly|be|is|are)\b[\w\s-]{0,24}"
)


def sides(text: str) -> Side | None:
    """The side named in a text: ``bilateral`` where both are."""
    if "shift" in text or "deviat" in text or "displac" in text:
        text = _SHIFT.sub(" ", text)
    found = {m.lastgroup for m in _SIDE.finditer(text)}
    if "bilateral" in found or {"left", "right"} <= found:
        return "bilateral"
    return "left" if "left" in found else "right" if "right" in found else None


def lateralities(sentence: str, spans: Sequence[tuple[int, int]]) -> list[Side | None]:
    """The side of each mention of a sentence; ``spans`` are its (start, end), in order of their start."""
    if _SIDE.search(sentence) is None:
        return [None] * len(spans)
    out: list[Side | None] = []
    rest = sentence[: spans[0][0]]  # what stands before a mention and is about it
    for i, (start, end) in enumerate(spans):
        last = i + 1 == len(spans)
        gap = sentence[end : len(sentence) if last else max(end, spans[i + 1][0])]
        cut = _owned(gap, last)
        side = sides(_SEPARATE.split(rest)[-1] + sentence[start:end] + gap[:cut]) or sides(rest)
        joined = i > 0 and (start < spans[i - 1][1] or not rest.strip() or _JOINED.fullmatch(rest) is not None)
        if i and side is None and (joined or _SAME_THING.fullmatch(rest)):
            side = out[-1]
        if joined and out[-1] is None:
            out[-1] = side
        out.append(side)
        rest = gap[cut:]
    return out


def _owned(gap: str, last: bool) -> int:
    """How many characters of the text after a mention, up to the next one, belong to it."""
    for end in _ENDS:
        found = end.search(gap)
        if found:
            return found.start()
    if last:
        return len(gap)
    ands = list(_AND.finditer(gap))
    if ands:
        return ands[-1].start()
    alternative = _OR.search(gap)
    return alternative.start() if alternative else 0
