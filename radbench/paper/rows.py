"""The rows of the paper's table: our metrics with a result a run, and the scores that the suites' papers print for them.

A printed score stands in the row of one of our metrics only where the paper says enough to know that it is the same
metric; else it has a row of its own under the paper's name, with what the paper leaves open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from radbench.analysis.naming import asks_for, chosen
from radbench.errors import OPEN_ACCESS
from radbench.public import told_spec
from radbench.registry import all_groups, all_tasks

if TYPE_CHECKING:
    from radbench.task import Group, Task
    from radbench.tasks.published import Printed

Results = Mapping[str, Any]
_VALUES = ("metrics", "unavailable", "broken")


@dataclass(frozen=True, slots=True)
class Result:
    """A run's value in a row; None where a value or an interval is undefined. ``failed`` and ``clusters``: None for groups."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int | None
    failed: int | None
    clustered: bool
    method: str  # how the interval was made


@dataclass(frozen=True, slots=True)
class Published:
    """A score as a paper prints it, on our scale. ``value`` is None where it prints N/A, ``decimals`` how exact it is.

    ``model`` has the setting with it where the paper prints a model under several. ``nearest`` is our metric, None without
    any; ``reason`` is "" where both are the same, else why that is not known. ``unit`` says how the paper prints it.
    """

    paper: str
    source: str
    model: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    decimals: int
    unit: str
    nearest: str | None
    reason: str
    doubt: str
    direction: str


@dataclass(frozen=True, slots=True)
class Row:
    """A metric of a task (or of a group: ``how`` is "pool" or "macro"), a result a run, None where a run has none.

    ``metric`` is our spec; of a row ``as_printed`` it is the paper's name, and ``results`` are all None.
    """

    task: str
    title: str
    how: str
    version: int | None
    metric: str
    signature: str
    better: str
    as_printed: bool
    results: tuple[Result | None, ...]
    published: tuple[Published, ...]


# --- what was asked for ---


def select(results: Sequence[Results], metrics: Sequence[str] = (), tasks: Sequence[str] = ()) -> list[Results]:
    """The results with the tasks and metrics that are named, all unless some are.

    A task or group is named by its name, its suite or a pattern, a metric by its spec or the name before its options.
    Raises :class:`ConfigError` where a name is found in no run.
    """
    known_tasks = {n for r in results for part in ("tasks", "groups", "skipped", "unreadable") for n in r.get(part, ())}
    entries = [e for r in results for part in ("tasks", "groups") for e in r[part].values()]
    known_metrics = {m for e in entries for part in _VALUES for m in e.get(part, ())}
    wanted = chosen(tasks, known_tasks, "task"), chosen(metrics, known_metrics, "metric")
    return [_selected(r, *wanted) for r in results]


def _selected(results: Results, tasks: Collection[str], metrics: Collection[str]) -> Results:
    def cut(entry: Results) -> Results:
        kept = {part: {m: v for m, v in entry[part].items() if m in metrics} for part in _VALUES if part in entry}
        return {**entry, **kept}

    parts = {part: {n: cut(e) for n, e in results[part].items() if n in tasks} for part in ("tasks", "groups")}
    parts = {part: {n: e for n, e in own.items() if any(map(e.get, _VALUES))} for part, own in parts.items()}
    rest = {part: {n: e for n, e in results.get(part, {}).items() if n in tasks} for part in ("skipped", "unreadable")}
    return {**results, **parts, **rest}


# --- rows ---


def row_names(found: Sequence[Results]) -> list[str]:
    """Tasks, then groups, in the order of their suites; those of no suite last, as the runs have them."""
    order = {name: i for i, name in enumerate((*all_tasks(), *(g.name for g in all_groups())))}
    names = dict.fromkeys(name for part in ("tasks", "groups") for r in found for name in r[part])
    return sorted(names, key=lambda name: order.get(name, len(order)))


def block_of(name: str, found: Sequence[Results]) -> list[Row]:
    """The rows of a task or group, our metrics in the suite's order, printed scores in them or right below."""
    declared: Task | Group | None = all_tasks().get(name) or next((g for g in all_groups() if g.name == name), None)
    order = {metric: i for i, metric in enumerate(declared.metrics if declared else ())}
    own = sorted(_own_rows(name, found), key=lambda row: order.get(row.metric, len(order)))
    if not own:
        return []
    beside = _printed_beside(declared.published, {row.metric for row in own}) if declared else []
    below: dict[tuple[str, str, str], list[Published]] = {}
    for p in beside:
        if p.reason:
            below.setdefault((p.paper, p.metric, p.reason), []).append(p)
    out: list[Row] = []
    seen: set[str] = set()
    for row in own:
        if row.metric in seen:  # the same metric under another signature or version: the printed score is told once
            out.append(row)
            continue
        seen.add(row.metric)
        out.append(replace(row, published=tuple(p for p in beside if not p.reason and p.nearest == row.metric)))
        out += [_as_printed(row, scores) for scores in below.values() if scores[0].nearest == row.metric]
    return out + [_as_printed(own[0], scores) for scores in below.values() if scores[0].nearest is None]


def asked_for(row: Row, metrics: Sequence[str]) -> bool:
    """Whether a row is of one of the metrics, or has a printed score that comes nearest to it; every row without any."""
    name = row.published[0].nearest if row.as_printed else row.metric
    return not metrics or (name is not None and any(asks_for(spec, name) for spec in metrics))


def _own_rows(name: str, found: Sequence[Results]) -> Iterable[Row]:
    """A row for each metric, version and signature that a run has of a task or group; one with no value has a row too."""
    entries = [r["tasks"].get(name) or r["groups"].get(name) for r in found]
    keys: dict[tuple[str, int | None, str], None] = {}
    for entry in filter(None, entries):
        for metric, value in entry["metrics"].items():
            keys[metric, entry.get("version"), value.get("signature", "")] = None
    valued = {metric for metric, _, _ in keys}
    for entry in filter(None, entries):
        for metric in (*entry.get("unavailable", ()), *entry.get("broken", ())):
            if metric not in valued:
                keys[metric, entry.get("version"), ""] = None
    for metric, version, signature in keys:
        cells = [_result(e, metric, version, signature) if e else None for e in entries]
        held: Results = next((e["metrics"][metric] for e in entries if e and metric in e["metrics"]), {})
        entry = next(e for e in entries if e and e.get("version") == version)
        told = entry.get("access", "open") in OPEN_ACCESS or name in all_tasks()  # a suite's titles are no data
        title = str(entry.get("title") or "") if told else ""
        better = str(held.get("better", ""))
        shown = told_spec(metric, name, entry) if "access" in entry else metric  # groups are the suites' own
        signed = signature if shown == metric else ""
        yield Row(name, title, entry.get("how", ""), version, shown, signed, better, False, tuple(cells), ())


def _result(entry: Results, metric: str, version: int | None, signature: str) -> Result | None:
    value = entry["metrics"].get(metric)
    if value is None or entry.get("version") != version or value.get("signature", "") != signature:
        return None
    failed = sum(entry["failures"].values()) if "failures" in entry else None
    return Result(
        value["value"],
        value["low"],
        value["high"],
        value.get("n", entry["n"]),
        entry.get("clusters"),
        failed,
        entry["clustered"],
        value.get("method", "percentile"),
    )


def _as_printed(row: Row, published: Sequence[Published]) -> Row:
    first = published[0]
    none = (None,) * len(row.results)
    return replace(row, metric=first.metric, signature="", better=first.direction, as_printed=True, results=none,
                   published=tuple(published))  # fmt: skip


def _printed_beside(keys: Iterable[str], metrics: Collection[str]) -> list[Published]:
    """The printed scores of a row of a suite; the setting is told where a model is printed under several."""
    from radbench.tasks.published import printed_for

    scores = list(printed_for(keys))
    settings: dict[tuple[str, str], set[str]] = {}
    for score in scores:
        settings.setdefault((score.paper, score.row), set()).add(score.setting)
    several = {key for key, found in settings.items() if len(found) > 1}
    return [_published(score, metrics, (score.paper, score.row) in several) for score in scores]


def _published(score: Printed, metrics: Collection[str], with_setting: bool) -> Published:
    from radbench.tasks.published import match, on_our_scale

    matched, converted = match(score, metrics), on_our_scale(score)
    reason = matched.reason
    if converted is None:  # of no scale of ours: told as it is printed, beside nothing
        reason = reason or f"it is printed as {score.scale}"
        value, interval, decimals = score.value, score.interval, score.decimals
    else:
        value, interval, decimals = converted.value, converted.interval, converted.decimals
    low, high = interval or (None, None)
    model = f"{score.model}, {score.setting}" if with_setting and score.setting else score.model
    return Published(
        score.paper, score.source, model, score.metric, value, low, high, decimals, score.scale, matched.metric, reason,
        score.doubt, score.direction,
    )  # fmt: skip
