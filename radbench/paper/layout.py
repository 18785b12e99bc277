"""The paper's table laid out for people: columns, rounded cells and numbered footnotes, whatever markup they are written in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from radbench.paper.rows import Published, Result, Row
from radbench.paper.table import PaperTable, Section
from radbench.report import ARROWS

DAGGER, NONE = "†", "–"
_UNCLUSTERED = "* unclustered"  # how the note begins that explains a star


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell, and the marks of its footnotes."""

    text: str
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A row as people read it: the task it belongs to, its metric, and a cell each column."""

    title: str
    task: str
    metric: Cell
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """One table laid out. ``runs`` and ``published`` are heads of columns; n and failed stand between them."""

    name: str
    caption: str
    runs: tuple[Cell, ...]
    published: tuple[Cell, ...]
    lines: tuple[Line, ...]
    notes: tuple[tuple[str, str], ...]  # mark, "" where it concerns all, and text

    @property
    def heads(self) -> tuple[Cell, ...]:
        return (*self.runs, Cell("n"), Cell("failed"), *self.published)


class _Footnotes:
    """Numbers footnotes by first use."""

    def __init__(self) -> None:
        self._numbers: dict[str, str] = {}

    def mark(self, text: str) -> str:
        return self._numbers.setdefault(text, str(len(self._numbers) + 1))

    @property
    def notes(self) -> list[tuple[str, str]]:
        return [(number, text) for text, number in self._numbers.items()]


def layout(section: Section, table: PaperTable, digits: int) -> Grid:
    """A section's columns, cells and footnotes. ``digits`` is for our values; a printed score keeps those of its paper."""
    printed = [p for row in section.rows for p in row.published]
    models = list(dict.fromkeys((p.paper, p.model) for p in printed))
    names = [model for _, model in models]
    heads = tuple(Cell(f"{m} ({p})" if names.count(m) > 1 else m, (DAGGER,)) for p, m in models)
    sources = list(dict.fromkeys((p.paper, p.source) for p in printed))
    footnotes = _Footnotes()
    reasons = _reasons(section.rows)
    several = {(row.task, row.metric) for row in section.rows if _twice(row, section.rows)}
    lines = []
    for row in section.rows:
        marks = [footnotes.mark(reasons[row.published[0].reason])] if row.as_printed else []
        if (row.task, row.metric) in several and not row.as_printed:
            marks.append(footnotes.mark(_definition(row)))
        cells = [Cell("") if row.as_printed else _value(result, digits) for result in row.results]
        cells += [
            Cell(_joined([None if r is None else str(r.n) for r in row.results])),
            Cell(_joined([_failed(r) for r in row.results])),
        ]
        for key in models:
            found = next((p for p in row.published if (p.paper, p.model) == key), None)
            cells.append(_printed(found, footnotes, len(sources) > 1) if found else Cell(""))
        lines.append(Line(row.title, row.task, Cell(_metric(row), tuple(marks)), tuple(cells)))
    runs = tuple(Cell(column.label) for column in table.columns)
    first = table.columns[0]
    caption = f"{section.name}: value with its {first.level * 100:g} % interval, {first.resamples:,} resamples"
    notes: list[tuple[str, str]] = [(DAGGER, _citations(printed, sources))] if printed else []
    notes += [(DAGGER, note) for note in _scales(printed)]
    notes += footnotes.notes
    notes += [("*", n.removeprefix("* ")) if n.startswith(_UNCLUSTERED) else ("", n) for n in section.notes]
    return Grid(section.name, caption, runs, heads, tuple(lines), tuple(notes))


def _twice(row: Row, rows: Sequence[Row]) -> bool:
    return sum((r.task, r.metric, r.as_printed) == (row.task, row.metric, False) for r in rows) > 1


def _definition(row: Row) -> str:
    return f"version {row.version} of the task; {row.signature or 'no value'}"


def _metric(row: Row) -> str:
    arrow = f" {ARROWS[row.better]}" if row.better in ARROWS else ""
    how = ", as printed" if row.as_printed else f" ({row.how})" if row.how else ""
    return f"{row.metric}{arrow}{how}"


def _value(result: Result | None, digits: int) -> Cell:
    if result is None or result.value is None:
        return Cell(NONE)
    text = f"{_fixed(result.value, digits)}{_span(result.low, result.high, digits)}"
    return Cell(text, () if result.clustered else ("*",))


def _printed(score: Published, footnotes: _Footnotes, sources: bool) -> Cell:
    """A printed score, its mark, and those of its source (where the table has several) and of its doubt."""
    marks = [DAGGER]
    if sources:
        marks.append(footnotes.mark(f"{score.paper}, {score.source}."))
    if score.doubt:
        marks.append(footnotes.mark(f"{score.paper}: {score.doubt}."))
    if score.value is None:
        return Cell("N/A", tuple(marks))
    span = _span(score.low, score.high, score.decimals)
    return Cell(f"{_fixed(score.value, score.decimals)}{span}", tuple(marks))


def _fixed(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _span(low: float | None, high: float | None, digits: int) -> str:
    return "" if low is None or high is None else f" [{_fixed(low, digits)}, {_fixed(high, digits)}]"


def _failed(result: Result | None) -> str | None:
    return None if result is None or result.failed is None else str(result.failed)


def _joined(counts: Sequence[str | None]) -> str:
    """One count where the runs agree, else one a run."""
    known = set(filter(None, counts))
    if len(known) == 1 and None not in counts:
        return known.pop()
    return " / ".join(c or NONE for c in counts) if known else ""


def _reasons(rows: Sequence[Row]) -> dict[str, str]:
    """For each thing that papers leave open, the footnote on the printed metrics it concerns."""
    pairs: dict[str, dict[tuple[str, str | None], None]] = {}
    for row in rows:
        if row.as_printed:
            pairs.setdefault(row.published[0].reason, {})[row.metric, row.published[0].nearest] = None
    told = {}
    for reason, found in pairs.items():
        nearest = ", ".join(dict.fromkeys(n for _, n in found if n)) or "any of ours in this row"
        printed = ", ".join(dict.fromkeys(metric for metric, _ in found))
        told[reason] = f"{printed}: not known to be the same metric as {nearest}, so in a row of its own: {reason}."
    return told


def _citations(printed: Sequence[Published], sources: Sequence[tuple[str, str]]) -> str:
    from radbench.tasks.published import PAPERS

    papers = dict.fromkeys(p.paper for p in printed)
    where = f", {sources[0][1]}" if len(sources) == 1 else ""
    cited = "; ".join(f"{paper}{where} ({PAPERS[paper]})" if paper in PAPERS else f"{paper}{where}" for paper in papers)
    return f"published: printed in the paper, not run here. {cited}."


def _scales(printed: Sequence[Published]) -> list[str]:
    from radbench.tasks.published import SCALES

    words = {"percent": "in percent", "x100": "times 100"}
    metrics: dict[tuple[str, str], dict[str, None]] = {}
    for p in printed:
        if SCALES.get(p.unit):
            metrics.setdefault((p.paper, p.unit), {})[p.metric] = None
    return [
        f"{paper} prints {', '.join(names)} {words[unit]}; divided by {10 ** SCALES[unit]} here."
        for (paper, unit), names in metrics.items()
    ]


def apart(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines by task, in order."""
    blocks: list[list[Line]] = []
    for line in lines:
        if not blocks or blocks[-1][0].task != line.task:
            blocks.append([])
        blocks[-1].append(line)
    return blocks
