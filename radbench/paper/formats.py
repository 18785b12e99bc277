"""The paper's table written as Markdown, HTML, LaTeX, CSV or JSON. Text of data and models is text in each, never markup.

Markdown, HTML and LaTeX are for people: values are rounded, footnotes carry what qualifies them. CSV and JSON are for
programs: full precision, a line or an entry each number. LaTeX needs the package booktabs alone and is plain ASCII.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from radbench.paper.escapes import csv_text, html_text, latex_text, markdown_text
from radbench.paper.layout import DAGGER, Cell, Grid, Line, apart, layout
from radbench.paper.rows import Row
from radbench.paper.table import PaperTable
from radbench.scoring import rounded

DIGITS = 3
_LATEX_LINES = 40  # rows of a tabular before it is continued in another: what a page holds


def write(table: PaperTable, form: str, digits: int = DIGITS) -> str:
    """The table in one of :data:`FORMATS`, with ``digits`` after the point where people read. Raises KeyError on another."""
    return FORMATS[form](table, digits)


# --- Markdown ---

_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_NUMBERS = re.compile(r"[-\d., \[\]]*")


def markdown(table: PaperTable, digits: int) -> str:
    """Tables as GitHub reads them, a caption above and footnotes below each."""
    parts = [part for section in table.sections for part in _markdown_table(layout(section, table, digits))]
    if table.notes:
        parts += ["**of all tables**", "\n".join(f"- {markdown_text(note)}" for note in table.notes)]
    return "\n\n".join(parts) + "\n"


def _markdown_table(grid: Grid) -> list[str]:
    from tabulate import tabulate

    head = ["task", "metric", *map(_markdown_cell, grid.heads)]
    rows = [
        [_markdown_task(line) if i == 0 else "", _markdown_cell(line.metric), *map(_markdown_cell, line.cells)]
        for block in apart(grid.lines)
        for i, line in enumerate(block)
    ]
    notes = [f"- {_markdown_marks((mark,))} {markdown_text(note)}" if mark else f"- {markdown_text(note)}"
             for mark, note in grid.notes]  # fmt: skip
    body = tabulate(rows, head, tablefmt="github", disable_numparse=True)
    return [f"**{markdown_text(grid.caption)}**", body, *(["\n".join(notes)] if notes else [])]


def _markdown_task(line: Line) -> str:
    name = markdown_text(line.task)
    return f"{markdown_text(line.title)} ({name})" if line.title else name


def _markdown_cell(cell: Cell) -> str:
    """Numbers stay as they read."""
    text = cell.text if _NUMBERS.fullmatch(cell.text) else markdown_text(cell.text)
    return f"{text} {_markdown_marks(cell.marks)}".strip()


def _markdown_marks(marks: Sequence[str]) -> str:
    """Marks set high with Unicode's digits, a space between two numbers."""
    text = "".join(f" {mark}" if mark.isdigit() and i else mark for i, mark in enumerate(marks))
    return text.replace("*", "\\*").replace(f"{DAGGER} ", DAGGER).translate(_SUPERSCRIPT)


# --- HTML ---

_STYLE = (
    "body{font:15px/1.4 system-ui,sans-serif;margin:2em;color:#222;background:#fff}"
    "table{border-collapse:collapse;margin:.6em 0;border-top:2px solid;border-bottom:2px solid}"
    "caption{text-align:left;font-weight:600;padding:.4em 0}thead{border-bottom:1px solid}"
    "th,td{padding:.25em .7em;text-align:left;vertical-align:top;font-weight:400;white-space:nowrap}"
    "thead th{font-weight:600}td{font-variant-numeric:tabular-nums}tbody{border-top:1px solid #ccc}"
    "tbody th:first-child[rowspan]{white-space:normal;max-width:18em}small{color:#666}"
    ".published{background:#f3f3f3}ul{padding:0;list-style:none;font-size:.85em;max-width:70em}div{overflow-x:auto}"
)


def html_page(table: PaperTable, digits: int) -> str:
    title = html_text("radbench: " + ", ".join(column.label for column in table.columns))
    out = [
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">',
        '<meta name="viewport" content="width=device-width">', f"<title>{title}</title>", f"<style>{_STYLE}</style>",
        "</head>", "<body>", f"<h1>{title}</h1>",
    ]  # fmt: skip
    for section in table.sections:
        out += _html_table(layout(section, table, digits))
    if table.notes:
        out += ["<p>of all tables</p>", *_html_notes([("", note) for note in table.notes])]
    return "\n".join([*out, "</body>", "</html>", ""])


def _html_table(grid: Grid) -> list[str]:
    first = len(grid.heads) - len(grid.published)
    shades = [' class="published"' if i >= first else "" for i in range(len(grid.heads))]
    heads = "".join(f'<th scope="col"{s}>{_html_cell(c)}</th>' for c, s in zip(grid.heads, shades, strict=True))
    out = [
        "<div>", "<table>", f"<caption>{html_text(grid.caption)}</caption>",
        f'<thead><tr><th scope="col">task</th><th scope="col">metric</th>{heads}</tr></thead>',
    ]  # fmt: skip
    for block in apart(grid.lines):
        out.append("<tbody>")
        for i, line in enumerate(block):
            title = f"{html_text(line.title)}<br>" if line.title else ""
            name = f"{title}<small>{html_text(line.task)}</small>"
            task = f'<th scope="rowgroup" rowspan="{len(block)}">{name}</th>' if i == 0 else ""
            cells = "".join(f"<td{s}>{_html_cell(c)}</td>" for c, s in zip(line.cells, shades, strict=True))
            out.append(f'<tr>{task}<th scope="row">{_html_cell(line.metric)}</th>{cells}</tr>')
        out.append("</tbody>")
    return [*out, "</table>", "</div>", *_html_notes(grid.notes)]


def _html_cell(cell: Cell) -> str:
    marks = f"<sup>{html_text(','.join(cell.marks))}</sup>" if cell.marks else ""
    return html_text(cell.text) + marks


def _html_notes(notes: Sequence[tuple[str, str]]) -> list[str]:
    items = [f"<li>{f'<sup>{html_text(mark)}</sup> ' if mark else ''}{html_text(note)}</li>" for mark, note in notes]
    return ["<ul>", *items, "</ul>"] if items else []


# --- LaTeX ---


def latex(table: PaperTable, digits: int) -> str:
    models = ", ".join(column.label for column in table.columns)
    out = [r"% Needs \usepackage{booktabs}."]
    for section in table.sections:
        grid = layout(section, table, digits)
        parts = _pages(grid.lines)
        for number, lines in enumerate(parts, 1):
            continued = f" ({number} of {len(parts)})" if len(parts) > 1 else ""
            label = re.sub("[^a-z0-9]+", "-", grid.name.lower()).strip("-") + (f"-{number}" if len(parts) > 1 else "")
            out += _latex_table(grid, lines, f"{models} on {grid.caption}{continued}.", f"tab:radbench-{label}")
    out += [f"% {latex_text(note)}" for note in table.notes]
    return "\n".join(out) + "\n"


def _pages(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines in tables that a page holds, tasks kept together."""
    pages: list[list[Line]] = []
    for block in apart(lines):
        if not pages or len(pages[-1]) + len(block) > _LATEX_LINES:
            pages.append([])
        pages[-1] += block
    return pages


def _latex_table(grid: Grid, lines: Sequence[Line], caption: str, label: str) -> list[str]:
    heads = [Cell("metric"), *grid.heads]
    out = [
        "", r"\begin{table}[tp]", r"\centering", r"\footnotesize", rf"\caption{{{latex_text(caption)}}}",
        rf"\label{{{label}}}", rf"\begin{{tabular}}{{l{'c' * len(grid.runs)}rr{'c' * len(grid.published)}}}",
        r"\toprule", _latex_row(heads), r"\midrule",
    ]  # fmt: skip
    for i, block in enumerate(apart(lines)):
        first = block[0]
        name = rf"\textit{{{latex_text(first.title)}}} " if first.title else ""
        task = rf"{name}(\texttt{{{latex_text(first.task)}}})" if name else rf"\texttt{{{latex_text(first.task)}}}"
        out += [r"\addlinespace"] if i else []
        out += [rf"\multicolumn{{{len(heads)}}}{{l}}{{{task}}} \\"]
        out += [_latex_row([line.metric, *line.cells]) for line in block]
    out += [r"\bottomrule", r"\end{tabular}"]
    if grid.notes:
        notes = [f"{_latex_marks((mark,)) if mark else ''}{latex_text(note)}" for mark, note in grid.notes]
        out += [r"\par\smallskip", r"\parbox{\linewidth}{\scriptsize\raggedright", "\\par\n".join(notes), "}"]
    return [*out, r"\end{table}"]


def _latex_row(cells: Sequence[Cell]) -> str:
    return " & ".join(latex_text(c.text) + _latex_marks(c.marks) for c in cells) + r" \\"


def _latex_marks(marks: Sequence[str]) -> str:
    if not marks:
        return ""
    return "$^{" + ",".join({DAGGER: r"\dagger", "*": "*"}.get(mark, mark) for mark in marks) + "}$"


# --- for programs ---

CSV_FIELDS = (
    "task", "title", "suite", "metric", "signature", "run", "model", "value", "low", "high", "level", "n", "clusters",
    "failed", "partial", "published_value", "published_low", "published_high", "published_model", "published_source",
    "version", "group", "better", "clustered", "method", "published_metric", "published_same", "published_reason",
    "published_doubt", "published_unit",
)  # fmt: skip


def csv_lines(table: PaperTable, digits: int) -> str:
    """A line each task, metric and run; then one each printed score of the row, with ``run``, ``model`` and ``value`` empty.

    ``metric`` of a printed score is ours where ``published_same`` is true, else the nearest of ours, empty without any.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_FIELDS, lineterminator="\n", restval="")
    writer.writeheader()
    for record in (record for section in table.sections for row in section.rows for record in _records(row, table)):
        writer.writerow({k: csv_text(v) if isinstance(v, str) else _plain(v) for k, v in record.items()})
    return out.getvalue()


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else rounded(value)


def _records(row: Row, table: PaperTable) -> Iterable[dict[str, Any]]:
    common = {"task": row.task, "title": row.title, "suite": row.task.partition("/")[0], "version": row.version,
              "group": row.how, "better": row.better}  # fmt: skip
    if not row.as_printed:
        for column, result in zip(table.columns, row.results, strict=True):
            if result is not None:
                yield {
                    **common, **asdict(result), "metric": row.metric, "signature": row.signature, "run": column.run,
                    "model": column.model, "level": column.level, "partial": column.partial,
                }  # fmt: skip
    for p in row.published:
        yield {
            **common, "metric": p.nearest, "signature": "" if p.reason else row.signature, "published_value": p.value,
            "published_low": p.low, "published_high": p.high, "published_model": p.model,
            "published_source": f"{p.paper} {p.source}", "published_metric": p.metric, "published_same": not p.reason,
            "published_reason": p.reason, "published_doubt": p.doubt, "published_unit": p.unit,
        }  # fmt: skip


def json_document(table: PaperTable, digits: int) -> str:
    """One document: ``format`` 1; ``runs`` (:class:`Column`); ``tables``, each with ``name``, ``notes`` and ``rows``; ``notes``.

    A row has the fields of :class:`Row`; ``results`` has an entry or null each run, ``published`` an entry each printed
    score with ``same`` true where its metric is known to be the row's. Full precision, undefined values null.
    """
    tables = [
        {"name": s.name, "notes": list(s.notes), "rows": [_json_row(row) for row in s.rows]} for s in table.sections
    ]
    document = {
        "format": 1, "runs": [asdict(c) for c in table.columns], "tables": tables, "notes": list(table.notes),
    }  # fmt: skip
    return json.dumps(rounded(document), indent=1) + "\n"


def _json_row(row: Row) -> dict[str, Any]:
    published = [{**asdict(p), "same": not p.reason} for p in row.published]
    return {**asdict(row), "published": published}


FORMATS: dict[str, Callable[[PaperTable, int], str]] = {
    "md": markdown,
    "html": html_page,
    "latex": latex,
    "csv": csv_lines,
    "json": json_document,
}
