"""A radiology report cut into its sections, without losing a character.

Three ways. ``mit`` and ``cxr-repair`` are the published ones; ``lenient`` is ours, for reports written otherwise
(lower-case headers, headers within a line, no colon, misspellings of any kind).

- ``mit``: a line that begins with a space and an upper-case header with a colon opens a section, but not the line right
  below a header that stands alone (its colon ends the line). A header's name is, in this order: a known header or one of
  the misspellings met in the data; impression, findings, history, comparison or addendum where it holds that word; findings
  where it holds words about the film, as "CHEST, TWO VIEWS" does; else itself. Of several sections of a name the last that
  is not empty counts. Where a report has neither findings nor impression, ``last_paragraph`` is what follows the first
  paragraph of its last section. The few studies that the authors sectioned by hand are in their
  ``mimic_cxr_sectioned.csv`` only. Wider than theirs: a header may be the first line or end the text, a blank line may
  hold any white space, and a text of one paragraph without headers is its last paragraph. (MIT-LCP/mimic-cxr,
  txt/section_parser.py.)
- ``cxr-repair``: the impression is everything from the first line that starts with " IMPRESSION", else with
  " FINDINGS AND IMPRESSION:", to the end of the report, addenda included. (rajpurkarlab/CXR-RePaiR,
  extract_impressions.py.) That MedVersa found findings, indication and comparison in the same manner is said in its paper,
  its code is not published: here such a section runs from the first line that starts with its name to the next header.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from radbench.errors import ConfigError, nearest

NAMES = (
    "findings", "impression", "indication", "comparison", "history", "technique", "examination", "addendum",
    "last_paragraph",
)  # fmt: skip
_ALIASES = {
    "findings": "finding",
    "impression": "impressions|conclusion|conclusions|findings and impression|findings/impression|findings and impressions"
    "|impression and findings|impression/findings|findings and conclusion",
    "indication": "indications|clinical indication|clinical indications|reason for exam|reason for the exam"
    "|reason for examination|reason for the examination|reason for study|reason for the study|indication for exam"
    "|indication for study|reason|clinical question",
    "comparison": "comparisons|comparison study|comparison studies|comparison exam|comparison exams|comparison film"
    "|reference exam",
    "history": "clinical history|medical history|patient history|clinical information|clinical data|clinical background",
    "technique": "techniques",
    "examination": "exam|exams|examinations|type of exam|type of examination|exam type|examination type|exam name",
    "addendum": "addenda|addendum report",
}  # fmt: skip
_BY_ALIAS = {a: name for name, aliases in _ALIASES.items() for a in (name, *aliases.split("|"))}
_FILM = frozenset(
    "a abdomen ap and bedside chest cxr decubitus erect exam film films for frontal in lat lateral laterals left line of one"
    " pa placement plain port portable position radiograph radiographs ribs right semi-erect semi-upright semierect semiupright"
    " series single study supine the three two upright view views with x-ray xray xrays x-rays".split()
)
_FILM_NOUNS = frozenset(
    "ap chest cxr film films frontal lateral pa portable radiograph radiographs ribs view views x-ray x-rays xray xrays".split()
)
_MAIN = (
    "impression",
    "findings",
    "history",
    "indication",
    "comparison",
    "technique",
    "addendum",
)  # one of several words


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the report: its header as written (may be empty), its section's name (None: no section) and text."""

    name: str | None
    header: str
    text: str


@dataclass(frozen=True, slots=True)
class Sections:
    """A report in parts, in order: their headers and texts joined are the report, to the character."""

    parts: tuple[Part, ...]

    def get(self, name: str) -> str:
        """The text of a section, stripped: the last of that name which is not empty, else an empty text."""
        return self._chosen.get(name, Part(None, "", "")).text.strip()

    @property
    def _chosen(self) -> dict[str, Part]:
        return {p.name: p for p in self.parts if p.name and p.text.strip()}

    @property
    def findings(self) -> str:
        return self.get("findings")

    @property
    def impression(self) -> str:
        return self.get("impression")

    @property
    def indication(self) -> str:
        return self.get("indication")

    @property
    def comparison(self) -> str:
        return self.get("comparison")

    @property
    def history(self) -> str:
        return self.get("history")

    @property
    def technique(self) -> str:
        return self.get("technique")

    @property
    def examination(self) -> str:
        return self.get("examination")

    @property
    def addendum(self) -> str:
        return self.get("addendum")

    @property
    def last_paragraph(self) -> str:
        return self.get("last_paragraph")

    @property
    def rest(self) -> str:
        """All that no section of :data:`NAMES` holds, stripped: banners, unknown headers with their text, earlier sections."""
        chosen = {id(p) for name, p in self._chosen.items() if name in NAMES}
        left = (p.header + p.text for p in self.parts if id(p) not in chosen)
        return "".join(t if t.endswith("\n") else f"{t}\n" for t in left if t.strip()).strip()

    @property
    def report(self) -> str:
        """The whole text as it came."""
        return "".join(p.header + p.text for p in self.parts)


def sections(text: str, method: str = "mit") -> Sections:
    """A report's sections. Raises :class:`radbench.errors.ConfigError` for an unknown method; no text is an error."""
    if method not in METHODS:
        raise ConfigError(f"no sectioning method '{method}': {nearest(method, METHODS)}")
    return Sections(tuple(METHODS[method](text)))


def one_line(text: str) -> str:
    """Text with all white space, line breaks included, as single spaces."""
    return " ".join(text.split())


@lru_cache(4096)
def section_name(header: str) -> str:
    """The one name of a header: of :data:`NAMES` where it is known or a misspelling, else the header in lower case.

    As ``lenient`` reads it; ``mit`` has rules of its own (:func:`mit_name`).
    """
    name = one_line(header.lower().strip(" :.-*#\t"))
    bare = one_line(re.sub(r"\(.*?\)", " ", name)) or name
    for form in (name, bare):
        if known := _BY_ALIAS.get(form):
            return known
    words = re.findall(r"[a-z-]+", name)
    if main := next((m for m in _MAIN if m in words), None):
        return main
    if words and _FILM.issuperset(words) and _FILM_NOUNS.intersection(words):
        return "findings"
    close = get_close_matches(bare, [a for a in _BY_ALIAS if len(a) >= 7], n=1, cutoff=0.86)
    return _BY_ALIAS[close[0]] if close else name


# What the MIT parser knows by the whole header and would not find by a word in it. 'ndication' is theirs.
_MIT_WHOLE = {
    header: name
    for name, headers in {
        "impression": "conclusion|impresson|imprression|imoression|impressoin|imprssion|impresion|imperssion|impession"
        "|mpression|ndication",
        "findings": "finding|findins|findindgs|findgings|findngs|findnings|finidngs",
        "comparison": "reference exam|comparision|comparisions|comparsion|comparrison",
        "indication": "indication|idication|clinical indication|reason for exam|reason for examination",
        "history": "clinical information|pfi",
        "technique": "technique",
        "examination": "examination|exam|type of examination",
    }.items()
    for header in headers.split("|")
}
_MIT_WORDS = ("impression", "findings", "history", "comparison", "addendum")
_MIT_FILM = (
    "chest", "portable", "ribs", "bone window", "one view", "two views", "frontal view", "lateral view", "pa view", "ap view",
    "frontal upright", "frontal semi-upright", "frontal and", "pa and lat", "lateral and pa", "ap and lateral", "lateral and ap",
)  # fmt: skip


def mit_name(header: str) -> str:
    """The one name of a header by the rules of the MIT parser: the whole header, a main word in it, a word about the film."""
    name = header.lower().strip()
    if known := _MIT_WHOLE.get(name):
        return known
    if main := next((word for word in _MIT_WORDS if word in name), None):
        return main
    return "findings" if any(words in name for words in _MIT_FILM) else name


_MIT_HEADER = re.compile(r"^ (?P<name>[A-Z ()/,-]+):(?=\s|\Z)", re.MULTILINE)
_REPAIR_HEADER = re.compile(
    r"^ (?P<name>FINDINGS|INDICATION|COMPARISON|HISTORY|CLINICAL HISTORY|REASON FOR EXAM(?:INATION)?|TECHNIQUE|EXAMINATION)\b:?"
    rf"|{_MIT_HEADER.pattern.replace('name', 'other')}",
    re.MULTILINE,
)
_NAMELESS = ("banner", "other")  # a header that ends the section before it and opens none
_LONGEST_FIRST = sorted(_BY_ALIAS, key=len, reverse=True)
_ANY_CASE = "(?i:" + "|".join(a.replace(" ", r"[ \t]+") for a in _LONGEST_FIRST) + ")"
_CAPITALS = "|".join(a.upper().replace(" ", r"[ \t]+") for a in _LONGEST_FIRST)
_TITLED = "|".join(n.title() for n in NAMES[:-1])
_BLANK = r"[^\S\n]*+"
_LENIENT_HEADER = re.compile(
    "|".join(
        (
            rf"^{_BLANK}[*#]*+{_BLANK}(?P<known>{_ANY_CASE}){_BLANK}(?:\([^)\n]*\))?[*]*{_BLANK}[:\uff1a][*]*",
            rf"^{_BLANK}(?P<upper>[A-Z(][A-Z ()/,-]+):(?=\s|\Z)",
            rf"^{_BLANK}(?P<alone>{_CAPITALS}|{_TITLED}){_BLANK}[_.-]*{_BLANK}$",
            rf"^{_BLANK}(?P<no_colon>{_CAPITALS})[^\S\n]+(?:[-\u2013\u2014][^\S\n]*)?(?=[A-Z0-9][a-z.\s])",
            rf"(?<=[.!?;_)\]])[^\S\n]+(?P<within>{_CAPITALS}|{_TITLED}):",
            rf"^{_BLANK}(?P<banner>FINAL REPORT|WET READ|PRELIMINARY REPORT){_BLANK}$",
        )
    ),
    re.MULTILINE,
)


def _mit(text: str) -> Iterator[Part]:
    parts = list(_cut(text, _mit_headers(text), mit_name))
    told = ("findings", "impression")
    if any(p.name in told and p.text.strip() for p in parts):
        yield from parts
        return
    last = max((i for i, p in enumerate(parts) if p.name not in told), default=len(parts) - 1)
    yield from parts[:last]
    yield from _last_paragraph(parts[last], alone=len(parts) == 1)
    yield from parts[last + 1 :]


def _mit_headers(text: str) -> Iterator[re.Match[str]]:
    """The headers, without those on the line below a header that its colon ends: the search goes on a line later."""
    start = 0
    while match := _MIT_HEADER.search(text, start):
        yield match
        alone = re.compile(r"\r?\n").match(text, match.end())
        start = text.find("\n", alone.end() if alone else match.end()) + 1
        if not start:
            return


def _last_paragraph(part: Part, alone: bool) -> Iterator[Part]:
    """A part cut after its first paragraph, as the original does; a headless report of one paragraph is the last one."""
    if paragraphs := re.search(r"\S[^\S\n]*\n[^\S\n]*\n(?=\s*\S)", part.text):
        yield Part(part.name, part.header, part.text[: paragraphs.end()])
        yield Part("last_paragraph", "", part.text[paragraphs.end() :])
    else:
        yield Part("last_paragraph", "", part.text) if alone and not part.header else part


def _cxr_repair(text: str) -> Iterator[Part]:
    start = re.search(r"^ IMPRESSION:?", text, re.MULTILINE) or re.search(
        r"^ FINDINGS AND IMPRESSION:", text, re.MULTILINE
    )
    before = text[: start.start()] if start else text
    seen: set[str] = set()
    for part in _cut(before, _REPAIR_HEADER.finditer(before)):
        first = part.name not in seen  # the first line that starts with the name counts
        yield part if first else Part(None, part.header, part.text)
        seen.add(part.name or "")
    if start:
        yield Part("impression", start.group(), text[start.end() :])


def _lenient(text: str) -> Iterator[Part]:
    return _cut(text, _LENIENT_HEADER.finditer(text))


def _cut(text: str, headers: Iterable[re.Match[str]], name_of: Callable[[str], str] = section_name) -> Iterator[Part]:
    """The text before the first header, and every header with the text up to the next."""
    header, name, begin = "", None, 0
    for match in headers:
        if begin or match.start():
            yield Part(name, header, text[begin : match.start()])
        header, begin = match.group(), match.end()
        name = None if match.lastgroup in _NAMELESS else name_of(match.group(match.lastgroup or 0))
    yield Part(name, header, text[begin:])


METHODS: dict[str, Callable[[str], Iterator[Part]]] = {"mit": _mit, "cxr-repair": _cxr_repair, "lenient": _lenient}
