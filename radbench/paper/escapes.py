"""Text of data and models as text in Markdown, HTML, LaTeX and CSV: it reads as itself and is never markup or a formula.

Control characters, line breaks and marks that reverse the direction of text are spelt out first (``radbench.report.clean``).
"""

from __future__ import annotations

import html
import re
import unicodedata

from radbench.report import clean

# --- Markdown: CommonMark and GitHub's tables, mentions, references to issues, links and formulas ---

_MARKDOWN = {
    **{c: f"\\{c}" for c in "\\`*_[]~$"},
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "|": "&#124;",
    "://": "&#58;//",
    **{c: f"{c}&#8203;" for c in "@#"},  # a space of no width, so that nobody is called and no issue linked
}
_MARKDOWN_SPECIAL = re.compile("://|[" + re.escape("".join(c for c in _MARKDOWN if len(c) == 1)) + "]")


def markdown_text(text: str) -> str:
    """Text within a cell of a table, a line or an item of a list, without the blanks around it."""
    escaped = _MARKDOWN_SPECIAL.sub(lambda found: _MARKDOWN[found[0]], clean(text).strip())
    escaped = re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", escaped)  # no list within, no line below a heading
    return re.sub(r"(www)\.", r"\1&#46;", escaped, flags=re.IGNORECASE)


# --- HTML ---


def html_text(text: str) -> str:
    """Text of an element or of a quoted attribute."""
    return html.escape(clean(text))


# --- LaTeX: plain ASCII that any engine sets, with no package ---

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$", '"': "{''}", "`": "{`}",
    "–": r"\textendash{}", "—": r"\textemdash{}", "†": r"$\dagger$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
    "→": r"$\rightarrow$", "←": r"$\leftarrow$", "↔": r"$\leftrightarrow$", "⇒": r"$\Rightarrow$", "±": r"$\pm$",
    "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$", "µ": r"$\mu$", "μ": r"$\mu$", "‘": "{`}", "’": "{'}",
    "“": "{``}", "”": "{''}", "…": r"\ldots{}", "ß": r"\ss{}", "ø": r"\o{}", "Ø": r"\O{}", "æ": r"\ae{}",
    "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ł": r"\l{}", "Ł": r"\L{}",
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip
_LIGATURE = re.compile("([-',])(?=\\1)")  # two of these become another sign


def latex_text(text: str) -> str:
    """Text anywhere outside of mathematics; a character that LaTeX has no sign for shows as [U+4E2D]."""
    parts = _LIGATURE.sub("\\1\0", clean(text))
    out = "".join("{}" if c == "\0" else _latex_character(c) for c in parts)
    # What follows \\ in square brackets is an option of it, a star makes it another command.
    return f"{{{out[0]}}}{out[1:]}" if out[:1] in ("[", "*") else out


def _latex_character(c: str) -> str:
    if c in _LATEX:
        return _LATEX[c]
    if c.isascii():
        return c
    base, accent = unicodedata.normalize("NFD", c)[:1], unicodedata.normalize("NFD", c)[1:]
    if accent in _ACCENTS and base.isascii() and base.isalpha():
        return rf"\{_ACCENTS[accent]}{{{base}}}"
    return f"[U+{ord(c):04X}]"


# --- CSV ---

_FORMULA = tuple("=+-@＝＋－＠")


def csv_text(text: str) -> str:
    """Text of a cell: what a spreadsheet would take for a formula gets an apostrophe before it."""
    plain = clean(text)
    return f"'{plain}" if plain.lstrip().startswith(_FORMULA) else plain
