"""A comparison as people read it: aligned text for a terminal, Markdown for a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from radbench.analysis.sizes import SMALL_CLUSTERS
from radbench.errors import OPEN_ACCESS
from radbench.paper.escapes import markdown_text
from radbench.report import ARROWS, SMALL_SUBGROUP, aligned, clean, number, span

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as plain text; ``right`` are the columns of numbers, which no text of data or models ever enters."""

    title: str
    header: tuple[str, ...]
    rows: list[list[str]]
    right: frozenset[int]


def as_text(found: Entry) -> str:
    """For a terminal; control characters are escaped."""
    parts = ["\n".join(clean(line) for line in _legend(found))]
    for table in map(_without_empty, _tables(found, discreet=False)):
        parts.append(
            (f"{table.title}\n\n" if table.title else "") + aligned(table.header, table.rows, set(table.right))
        )
    if found["notes"]:
        parts.append("\n".join(clean(note) for note in found["notes"]))
    return "\n\n".join(parts) + "\n"


def as_markdown(found: Entry) -> str:
    """For a document or a pull request: without subgroups of restricted data, and nothing renders as markup."""
    from tabulate import tabulate

    parts = ["\n".join(f"- {markdown_text(line)}" for line in _legend(found))]
    for table in map(_without_empty, _tables(found, discreet=True)):
        sides = ["right" if i in table.right else "left" for i in range(len(table.header))]
        cells = [[c if i in table.right else markdown_text(c) for i, c in enumerate(row)] for row in table.rows]
        body = tabulate(cells, table.header, "pipe", colalign=sides, disable_numparse=True)
        parts.append((f"### {table.title}\n\n" if table.title else "") + body)
    if found["notes"]:
        parts.append("\n".join(f"- {markdown_text(note)}" for note in found["notes"]))
    return "\n\n".join(parts) + "\n"


def _without_empty(table: Table) -> Table:
    """The table without columns that say nothing in any row."""
    kept = [i for i in range(len(table.header)) if any(row[i] not in ("", "-") for row in table.rows)]
    rows = [[row[i] for i in kept] for row in table.rows]
    return Table(
        table.title, tuple(table.header[i] for i in kept), rows, frozenset(map(kept.index, table.right & set(kept)))
    )


def _legend(found: Entry) -> list[str]:
    runs = found["runs"]
    letters = [f"{letter} = " for letter in "AB"] if len(runs) == 2 else [""] * len(runs)
    lines = [
        f"{letter}{run['label']} (model {run['model']}{', PARTIAL' if run['partial'] else ''})"
        for letter, run in zip(letters, runs, strict=True)
    ]
    if len(runs) == 2:
        lines.append("A - B in the metric's own units; ↑ higher is better, ↓ lower is better; wins are A's")
    else:
        lines.append("sorted by value, best first; rank group: 1 + the runs that are significantly better (Holm)")
    return lines


def _tables(found: Entry, discreet: bool) -> Iterator[Table]:
    two = len(found["runs"]) == 2
    yield _pair_table(found) if two else _rank_table(found)
    if any(_strata(found, discreet)):
        yield _group_table(found, discreet) if two else _group_values(found, discreet)
        worst = _worst_table(found, discreet)
        if worst.rows:
            yield worst


def _arrowed(task: Entry, metric: str) -> str:
    entry = task["metrics"][metric]
    return f"{entry['shown']} {ARROWS[entry['better']]}"


def _labels(task: Entry) -> str:
    return "; ".join(task["labels"])


def _percent(found: Entry) -> str:
    return f"{found['level'] * 100:g} % interval"


def _marked(task: Entry, entry: Entry) -> str:
    return span(entry) + ("" if task["clustered"] else " *")


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value >= 0.001 else "<0.001"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def _counts(one: Entry, names: Sequence[str]) -> str:
    return "-" if one[names[0]] is None else "/".join(str(one[name]) for name in names)


def _pair_table(found: Entry) -> Table:
    header = (
        "task", "metric", "A", "B", "A - B", _percent(found), "p", "p (Holm)", "wins/ties/losses",
        "right: both/A/B/none", "n", "label",
    )  # fmt: skip
    rows = []
    for name, task in found["tasks"].items():
        for metric, entry in task["metrics"].items():
            (one,) = entry["pairs"]
            a, b = entry["runs"].values()
            rows.append([
                name, _arrowed(task, metric), number(a["value"]), number(b["value"]), _signed(one["difference"]),
                _marked(task, one), _p(one["p"]), _p(one["p_holm"]), _counts(one, ("wins", "ties", "losses")),
                _counts(one, ("both_right", "only_a", "only_b", "both_wrong")), str(entry["n"]), _labels(task),
            ])  # fmt: skip
    return Table("", header, rows, frozenset({2, 3, 4, 6, 7, 8, 9, 10}))


def _rank_table(found: Entry) -> Table:
    header = (
        "task", "metric", "run", "value", _percent(found), "rank group", "rank interval", "n", "label",
    )  # fmt: skip
    rows = []
    for name, task in found["tasks"].items():
        for metric, entry in task["metrics"].items():
            for run, own in _by_value(entry):
                low, high = own["rank_low"], own["rank_high"]
                ranks = "-" if low is None else str(low) if low == high else f"{low}-{high}"
                group = "-" if own["rank_group"] is None else str(own["rank_group"])
                rows.append([
                    name, _arrowed(task, metric), run, number(own["value"]), _marked(task, own), group, ranks,
                    str(entry["n"]), _run_label(task, run),
                ])  # fmt: skip
    return Table("", header, rows, frozenset({3, 5, 6, 7}))


def _by_value(entry: Entry) -> list[tuple[str, Entry]]:
    sign = -1 if entry["better"] == "higher" else 1
    return sorted(entry["runs"].items(), key=lambda r: (r[1]["value"] is None, sign * (r[1]["value"] or 0.0)))


def _run_label(task: Entry, run: str) -> str:
    """The task's labels; where regimes differ also the run's own."""
    own = task["regimes"][run]
    return "; ".join(f"{label}: {own}" if label == "regimes differ" else label for label in task["labels"])


def _strata(found: Entry, discreet: bool) -> Iterator[tuple[str, Entry, str, Entry]]:
    """Task, its entry, axis and the axis' entry; a group of restricted data may be one patient and is not published."""
    for name, task in found["tasks"].items():
        if not (discreet and task["access"] not in OPEN_ACCESS):
            for spec, axis in task["strata"].items():
                yield name, task, spec, axis


def _group_table(found: Entry, discreet: bool) -> Table:
    header = ("task", "axis", "group", "metric", "A", "B", "A - B", _percent(found), "p (Holm)", "n", "label")
    rows = []
    for name, task, spec, axis in _strata(found, discreet):
        for group, own in axis["groups"].items():
            for metric, entry in own["metrics"].items():
                (one,) = entry["pairs"]
                a, b = entry["runs"].values()
                cells = [number(a["value"]), number(b["value"]), _signed(one["difference"])]
                if entry["small"]:
                    cells = [f"({cell})" for cell in cells]
                rows.append([
                    name, spec, group, _arrowed(task, metric), *cells, _marked(task, one), _p(one["p_holm"]),
                    str(entry["n"]), _labels(task),
                ])  # fmt: skip
    return Table(_GROUPS, header, rows, frozenset({4, 5, 6, 8, 9}))


def _group_values(found: Entry, discreet: bool) -> Table:
    header = ("task", "axis", "group", "metric", "run", "value", _percent(found), "rank group", "n", "label")
    rows = []
    for name, task, spec, axis in _strata(found, discreet):
        for group, own in axis["groups"].items():
            for metric, entry in own["metrics"].items():
                better = task["metrics"][metric]["better"]
                for run, one in _by_value({**entry, "better": better}):
                    value = f"({number(one['value'])})" if entry["small"] else number(one["value"])
                    rank = "-" if one["rank_group"] is None else str(one["rank_group"])
                    rows.append([
                        name, spec, group, _arrowed(task, metric), run, value, _marked(task, one), rank,
                        str(entry["n"]), _run_label(task, run),
                    ])  # fmt: skip
    return Table(_GROUPS, header, rows, frozenset({5, 7, 8}))


_GROUPS = (
    f"Subgroups (in brackets: fewer than {SMALL_SUBGROUP} samples or {SMALL_CLUSTERS} clusters, which are not tested and take"
    " no part in the worst group)"
)


def _worst_table(found: Entry, discreet: bool) -> Table:
    header = ("task", "axis", "metric", "of", "worst group", "value", "worse than all by", "n", "label")
    rows = []
    for name, task, spec, axis in _strata(found, discreet):
        for metric, worst in axis["worst"].items():
            shown = _arrowed(task, metric)
            for run, own in worst["runs"].items():
                if own is not None:
                    cells = [own["group"], number(own["value"]), _signed(own["gap"]), str(own["n"])]
                    rows.append([name, spec, shown, run, *cells, _run_label(task, run)])
            for one in worst["pairs"] if len(found["runs"]) == 2 else ():
                cells = [one["group"], _signed(one["difference"]), "", str(one["n"])]
                rows.append([name, spec, shown, "A - B", *cells, _labels(task)])
    least = f"{SMALL_SUBGROUP} samples and {SMALL_CLUSTERS} clusters"
    title = f"Worst groups (of two or more with at least {least}; A - B: where A does worst against B)"
    return Table(title, header, rows, frozenset({5, 6, 7}))
