"""The paper's table of scored runs: what stands in its rows, columns and footnotes, whatever it is written as.

A row is a metric of a task or group (:mod:`radbench.paper.rows`). Its columns are the runs, then the models whose
scores the suite's paper prints for that row. The tables are the papers' own: one for each part of a suite that has printed
scores (``meddr/vqa``, ``meddr/report``), one for the rest of it.

Of restricted data a table tells what ``radbench report`` prints: names of tasks, values, counts; never names of classes,
and of no data the text of an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from radbench.analysis.pairing import ScoredRun
from radbench.folder import MANIFEST
from radbench.paper.rows import Results, Row, asked_for, block_of, row_names, select
from radbench.public import public_name
from radbench.registry import all_tasks
from radbench.report import notes as report_notes
from radbench.report import regime_of

_TELLS = "radbench report RUN tells why"


@dataclass(frozen=True, slots=True)
class Section:
    """One table: its rows, task by task, and the sentences that qualify them."""

    name: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A run: what its column is called, and what its ``results.json`` says of it as a whole."""

    label: str
    run: str
    model: str
    partial: bool
    level: float
    resamples: int
    seed: int
    radbench: str


@dataclass(frozen=True, slots=True)
class PaperTable:
    """All tables of the runs. ``notes``: what concerns none of them in particular, such as datasets not run."""

    columns: tuple[Column, ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...]


def paper_table(runs: Sequence[ScoredRun], metrics: Sequence[str] = (), tasks: Sequence[str] = ()) -> PaperTable:
    """The tables of the runs, of all metrics and tasks unless some are named (see :func:`select`)."""
    results = [run.results for run in runs]
    found, full = select(results, metrics, tasks), select(results, (), tasks)
    labels = _labels(runs)
    options = [_options(run) for run in runs]
    rows = [[row for row in block_of(name, full) if asked_for(row, metrics)] for name in row_names(full)]
    blocks = [block for block in rows if block]
    sections = []
    for name, own in _parted(blocks).items():
        here = [block[0].task for block in own]
        notes = (
            *_told(labels, [_notes_of(r, here) for r in found]),
            *_told(labels, [_chosen(o, here) for o in options]),
        )
        sections.append(Section(name, tuple(row for block in own for row in block), (*notes, *_caveats(found, here))))
    columns = tuple(_column(run, label) for run, label in zip(runs, labels, strict=True))
    return PaperTable(columns, tuple(sections), tuple(_told(labels, [_notes_of(r, None) for r in found])))


def _parted(blocks: Sequence[list[Row]]) -> dict[str, list[list[Row]]]:
    """The blocks by table: a part of a suite with printed scores is one, all else of a suite another."""
    printed = {_part(block) for block in blocks if any(row.published for row in block)}
    tables: dict[str, list[list[Row]]] = {}
    for block in blocks:
        part = _part(block)
        tables.setdefault(part if part in printed else part.partition("/")[0], []).append(block)
    return tables


def _part(block: Sequence[Row]) -> str:
    """``meddr/vqa`` of ``meddr/vqa/slake``; the suite of a group, whose name has two parts."""
    return block[0].task.rpartition("/")[0] or block[0].task


# --- columns ---


def _labels(runs: Sequence[ScoredRun]) -> list[str]:
    """Runs are called by their model and its own regime, by their folder too where two have the same, by a number where
    that is not enough."""
    models = [public_name(str(run.results["model"].get("name", "?"))) + regime_of(run.results) for run in runs]
    folders = [run.path.resolve().name for run in runs]
    labels = [f"{m} ({f})" if models.count(m) > 1 else m for m, f in zip(models, folders, strict=True)]
    return [
        f"{label} #{labels[: i + 1].count(label)}" if labels.count(label) > 1 else label
        for i, label in enumerate(labels)
    ]


def _column(run: ScoredRun, label: str) -> Column:
    r = run.results
    folder = run.path.resolve().name
    return Column(
        label,
        folder,
        public_name(str(r["model"].get("name", "?"))),
        r["partial"],
        r["level"],
        r["resamples"],
        r["seed"],
        r["radbench"],
    )


# --- footnotes ---


def _notes_of(results: Results, tasks: Sequence[str] | None) -> list[str]:
    """The notes of ``radbench report`` on some tasks and groups, or (None) on what has no row. What a published table must
    not or need not tell is left out: texts of errors, paths of what is missing."""
    if tasks is None:
        apart = {
            "tasks": {},
            "groups": {},
            "partial": False,
            "unreadable": dict.fromkeys(results.get("unreadable", {}), _TELLS),
        }
        return report_notes({**results, **apart})
    entries = {
        name: {**task, **{part: dict.fromkeys(task.get(part, {}), _TELLS) for part in ("broken", "unavailable")}}
        for name, task in results["tasks"].items()
        if name in tasks
    }
    groups = {name: group for name, group in results["groups"].items() if name in tasks}
    return report_notes({**results, "tasks": entries, "groups": groups, "skipped": {}, "unreadable": {}})


def _told(labels: Sequence[str], notes: Sequence[Sequence[str]]) -> list[str]:
    """Each run's notes with its name before them, where not all runs have the same."""
    said: dict[str, list[str]] = {}
    for label, own in zip(labels, notes, strict=True):
        for note in own:
            said.setdefault(note, []).append(label)
    return [note if len(by) == len(labels) else f"{', '.join(by)}: {note}" for note, by in said.items()]


def _caveats(found: Sequence[Results], tasks: Sequence[str]) -> list[str]:
    """What keeps runs or papers from being compared: other samples, other regimes, other counts of resamples."""
    notes = []
    regimes: dict[str, list[str]] = {}
    for name in tasks:
        entries = [r["tasks"][name] for r in found if name in r["tasks"]]
        if len({e["n"] for e in entries}) > 1:
            notes.append(f"{name}: the runs differ in n, so they are not on the same samples.")
        for regime in sorted({e["regime"] for e in entries} - {"zero-shot"}):
            regimes.setdefault(regime, []).append(name)
    notes += [f"Regime the suite states, {regime}: {', '.join(names)}." for regime, names in regimes.items()]
    if len({(r["level"], r["resamples"]) for r in found}) > 1:
        notes.append("The runs differ in level or number of resamples.")
    return notes


def _options(run: ScoredRun) -> dict[str, str]:
    """The options that each task of a run was asked with, as one writes them; the value of a free one may be a path."""
    if not (run.path / MANIFEST).exists():
        return {}
    told = {}
    for name, identity in run.manifest.get("identity", {}).get("tasks", {}).items():
        declared = all_tasks().get(name)
        closed = {o.name for o in declared.options if o.values} if declared else set()
        options = identity.get("options", {})
        if options:
            told[name] = ", ".join(f"{o}={v}" if o in closed else o for o, v in options.items())
    return told


def _chosen(options: Mapping[str, str], tasks: Sequence[str]) -> list[str]:
    """One note on the tasks that were asked with other options than the suite's own."""
    by_options: dict[str, list[str]] = {}
    for name in tasks:
        if name in options:
            by_options.setdefault(options[name], []).append(name)
    return [f"With options set ({told}): {', '.join(names)}." for told, names in by_options.items()]
