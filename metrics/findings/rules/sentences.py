"""Cutting a report into sentences, and a sentence into clauses."""

from __future__ import annotations

import re
from collections.abc import Iterator

# What was asked, compared or done is no finding.
_HISTORY = (
    r"(?:indications?|(?:clinical |patient )?(?:history|information)|comparisons?|technique|reason for (?:exam|study)\w*|"
    r"exam(?:ination)?|procedure)\s*:"
)
_FINDINGS = r"(?:findings?|impressions?|conclusions?)\s*:"
_NEW_SECTION = r"\n\s*\n|\n(?=\s*[a-z][a-z /]{2,30}:)"
# A sentence ends at . ! ? or ; before white space (not after "vs", "dr" ... nor inside 1.5), at an empty line, where a line
# begins with a bullet, a number or a heading, and before "findings:" anywhere. A single line break is only a wrapped line.
_SENTENCE_END = (
    r"(?:[.!;]|(?<=\S)\?)+(?<!\bvs\.)(?<!\bdr\.)(?<!\bapprox\.)(?<!\bi\.e\.)(?<!\be\.g\.)(?=\s|$|[\"')\]]|\d+\.\s)"
    rf"|{_NEW_SECTION}|\n(?=\s*(?:[-*•]\s|\d+[.)]\s))|(?<!\s)\s+(?={_FINDINGS})"
)
_END = re.compile(_SENTENCE_END)
_NOT_A_FINDING = re.compile(rf"\s*{_HISTORY}(?P<alone>[^\S\n]*(?=\n))?")
# A history section of one line ends with its sentence, its line (unless that breaks off: "evaluate for") or at the next heading
# in that line; one whose heading stands alone on a line ends at an empty line or at the next heading.
_NOT_BROKEN_OFF = r"(?<!,)(?<!\bfor)(?<!\bof)(?<!\bwith)(?<!\band)(?<!\bor)(?<!\bto)(?<!\bthe)(?<!\ba)"
_LINE_END = re.compile(rf"{_SENTENCE_END}|{_NOT_BROKEN_OFF}\n|(?<!\s)\s+(?={_HISTORY})")
_SECTION_END = re.compile(_NEW_SECTION)


def lowered(text: str) -> str:
    """Lower case of the same length: characters whose lower case is longer stay as they are."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(c if len(c.lower()) != 1 else c.lower() for c in text)


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """(offset, sentence) of lower-cased text, white space as written, in order; those of a history section left out."""
    start = 0
    while start < len(text):
        heading = _NOT_A_FINDING.match(text, start)
        if heading is None:
            end = _end(_END, text, start)
            if not text[start:end].isspace():
                yield start, text[start:end]
        else:
            end = _end(_LINE_END if heading["alone"] is None else _SECTION_END, text, heading.end())
        start = end


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.search(text, start)
    return found.end() if found else len(text)


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
# "No effusion with the ET tube in place": a device is named because it is there.
_DEVICE = (
    r"(?:(?!(?:or|nor|and)\b)[\w-]+ ){0,4}(?:tubes?|lines?|catheters?|piccs?|pacemakers?|pacers?|leads?|ports?|drains?|stents?|"
    r"ett|ngt|ogt|aicd|icd|devices?|hardware|wires?|clips?)"
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
    rf"|(?:,\s*(?:and )?|\band )?\bwith (?={_DEVICE}\b)"
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
