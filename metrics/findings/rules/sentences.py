"""Cutting a report into sentences, and a sentence into clauses."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A sentence ends at . ! ? or ; before white space (not after "vs", "dr" ... nor inside 1.5), at an empty line, and where a
# line begins with a bullet, a number or a heading. A single line break is only a wrapped line.
_END = re.compile(
    r"(?:[.!;]|(?<=\S)\?)+(?<!\bvs\.)(?<!\bdr\.)(?<!\bapprox\.)(?<!\bi\.e\.)(?<!\be\.g\.)(?=\s|$|[\"')\]]|\d+\.\s)"
    r"|\n\s*\n|\n(?=\s*(?:[-*•]\s|\d+[.)]\s|[a-z][a-z /]{2,30}:))"
)
# What was asked, compared or done is no finding.
_NOT_A_FINDING = re.compile(
    r"\s*(?:indications?|(?:clinical |patient )?(?:history|information)|comparisons?|technique|reason for (?:exam|study)\w*|"
    r"exam(?:ination)?|procedure)\s*:"
)


def lowered(text: str) -> str:
    """Lower case of the same length: characters whose lower case is longer stay as they are."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(c if len(c.lower()) != 1 else c.lower() for c in text)


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """(offset, sentence) of lower-cased text, white space as written, in order; those of a history section left out."""
    start = 0
    for end in _END.finditer(text):
        piece = text[start : end.end()]
        if not piece.isspace() and piece and not _NOT_A_FINDING.match(piece):
            yield start, piece
        start = end.end()
    piece = text[start:]
    if piece and not piece.isspace() and not _NOT_A_FINDING.match(piece):
        yield start, piece


# Words that, after a comma, "and" or "with", begin an assertion of their own: "no effusion, stable cardiomegaly".
_ALWAYS = (
    r"there (?:is|are|has|have|may)|stable|unchanged|persist(?:ent|ing|s)|increas(?:ed|ing)|decreas(?:ed|ing)|improv(?:ed|ing)|"
    r"worsen(?:ed|ing)|possibl[ey]|probabl[ey]|likely|questionable|suspected|may|tortuous|degenerative|again|interval|"
    r"status post|old|healed|healing|residual|known|borderline|appearance|consistent|findings|continued"
)
# As adjectives these also occur inside a list of what is absent ("no small effusion or ..."), so an "or" further on means
# that the list goes on.
_UNLESS_LISTED = (
    r"(?:a |an |some |the )?(?:mild(?:ly)?|moderate(?:ly)?|small|tiny|trace|minimal(?:ly)?|minor|severe|left|right|bilateral|"
    r"bibasilar|basilar|basal|low|patchy|streaky|chronic|calcified|prominent|diffuse|cardiomegaly|mildly|slight(?:ly)?|subtle|"
    r"bi-?apical|retrocardiac|multiple|scattered)"
)
_SUBJECT = (
    r"(?:the )?(?:heart|cardiac|cardiomediastinal|cardio mediastinal|mediastin\w+|lungs?|lung volumes|osseous|bony|bones|it|this|"
    r"these|aorta|patient|right lung|left lung|visuali[sz]ed)"
)
# "Although there is no effusion, ...": the comma ends what the first word began.
_CONCESSION = re.compile(r"\s*(?:although|though|while|whereas|despite|given)\b[^,]*(,)")
_BREAK = re.compile(
    r";|\b(?:but|however|although|though|except|other than|aside from|apart from|with the exception of|while|whereas|otherwise|"
    r"yet|despite|nevertheless|given|in the setting of)\b"
    rf"|(?:,\s*(?:and |with )?|\band |\bwith )(?=(?:{_ALWAYS})\b)"
    rf"|(?:,\s*(?:and |with )?|\band |\bwith )(?=(?:{_UNLESS_LISTED})\b(?!.*\b(?:or|nor)\b))"
    rf"|(?:,\s*(?:and )?|\band )(?={_SUBJECT}\b(?: \w+){{0,3}} (?:is|are|has|have|appears?|remains?|demonstrates?|shows?)\b)"
)


def clauses(sentence: str) -> tuple[tuple[int, int], ...]:
    """(start, end) of the clauses: what a negation or a hedge does not reach across."""
    spans, start = [], 0
    concession = _CONCESSION.match(sentence)
    if concession:
        spans, start = [(0, concession.start(1))], concession.end(1)
    for cut in _BREAK.finditer(sentence, start):
        if cut.start() > start:
            spans.append((start, cut.start()))
        start = cut.end()
    spans.append((start, len(sentence)))
    return tuple(spans)
