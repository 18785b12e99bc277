"""``radbench report RUN --by AXIS,...``: a run's metrics in the groups of its samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from radbench.analysis.pairing import ScoredRun
from radbench.analysis.subgroups import subgroup_results
from radbench.caution import FEWEST_CLUSTERS
from radbench.cli.base import split_names
from radbench.report import ARROWS, aligned, clean, number, span

_MARKS = {  # behind an interval
    "*": "unclustered: the dataset names no patients, so the interval may be too narrow",
    "~": f"fewer than {FEWEST_CLUSTERS} clusters: the interval is rough, often too narrow",
    "^": "all at one end of the scale, where resampling shows no spread: Wilson's interval",
    "=": "all resamples are equal, the interval has no width and says nothing",
}


def run(
    path: str, specs: Sequence[str], tasks: Sequence[str] = (), metrics: Sequence[str] = (), as_json: bool = False
) -> int:
    """Print the tables of subgroups. Lists may hold names joined by commas; no ``specs``: each task's own axes."""
    asked = split_names(specs)
    found = subgroup_results(ScoredRun(Path(path)), split_names(tasks), split_names(metrics), asked or ["defaults"])
    print(json.dumps(found) if as_json else tables(found))
    return 0


def tables(found: Mapping[str, Any]) -> str:
    """One table an axis and task, with the worst groups below and what a reader must know at the end."""
    parts = [f"model: {clean(found['model'].get('name', '?'))}"]
    for name, task in found["tasks"].items():
        for axis, entry in task["axes"].items():
            stated = f", {entry['not_stated']} without a value" if entry["not_stated"] else ""
            heading = f"{name} by {axis}: {task['n']} samples in {task['clusters']} clusters{stated}"
            lines = [clean(heading), "", _table(found, task, entry), *_worst_lines(found, entry)]
            parts.append("\n".join(lines))
    if not any(task["axes"] for task in found["tasks"].values()):
        parts.append("no subgroups: the tasks name no strata")
    return "\n\n".join([*parts, "\n".join(_notes(found))]).rstrip()


def _table(found: Mapping[str, Any], task: Mapping[str, Any], axis: Mapping[str, Any]) -> str:
    rows = []
    for metric, whole in task["metrics"].items():
        cells = [f"{metric} {ARROWS[whole['better']]}", "all", number(whole["value"])]
        rows.append([*cells, _span(whole, task, task["clusters"]), str(whole["n"]), str(task["clusters"])])
        for label, group in axis["groups"].items():
            entry = group["metrics"][metric]
            value = f"({number(entry['value'])})" if entry["small"] else number(entry["value"])
            interval = _span(entry, task, group["clusters"])
            rows.append(["", f"  {label}", value, interval, str(entry["n"]), str(group["clusters"])])
    percent = f"{found['level'] * 100:g} % interval"
    return aligned(["metric", "group", "value", percent, "n", "clusters"], rows, right={2, 4, 5})


def _span(entry: Mapping[str, Any], task: Mapping[str, Any], clusters: int) -> str:
    return f"{span(entry)} {_marks(entry, task, clusters)}".rstrip()


def _marks(entry: Mapping[str, Any], task: Mapping[str, Any], clusters: int) -> str:
    if entry["low"] is None:
        return ""
    own = {"wilson": "^", "constant": "="}.get(entry.get("method", ""), "")
    return ("" if task["clustered"] else "*") + ("~" if clusters < FEWEST_CLUSTERS else "") + own


def _worst_lines(found: Mapping[str, Any], axis: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    for metric, worst in axis["worst"].items():
        if worst is None:
            few = (
                f"fewer than two groups of {found['small']} samples and {found['small_clusters']} clusters with a value"
            )
            yield f"{metric}: no worst group, {few}"
        else:
            gap, spread = worst["gap"], worst["spread"]
            yield clean(
                f"{metric}: worst of {worst['of']} groups {worst['group']!r}, {number(gap['value'])} {span(gap)} worse"
                f" than all, {number(spread['value'])} {span(spread)} worse than {worst['best']!r}"
            )


def _notes(found: Mapping[str, Any]) -> Iterator[str]:
    tasks = [task for task in found["tasks"].values() if task["axes"]]
    axes = [(task, axis) for task in tasks for axis in task["axes"].values()]
    groups = [(task, group) for task, axis in axes for group in axis["groups"].values()] + [(t, t) for t in tasks]
    if found["partial"]:
        yield "PARTIAL: not all samples are answered and scored (radbench report RUN says why). Not to be ranked."
    if any(entry.get("small") for _, group in groups for entry in group["metrics"].values()):
        few = f"fewer than {found['small']} samples or {found['small_clusters']} clusters"
        yield f"(in brackets: {few}, not compared with others)"
    if any(worst for _, axis in axes for worst in axis["worst"].values()):
        yield "The worst of several groups is worst by chance too, the more so the more groups there are: its interval"
        yield "does not account for the choice. See on new samples whether it stays behind."
    used = {m for task, group in groups for e in group["metrics"].values() for m in _marks(e, task, group["clusters"])}
    yield from (f"{mark} {text}." for mark, text in _MARKS.items() if mark in used)
    for name, task in found["tasks"].items():
        for axis, why in task["left_out"].items():
            yield clean(f"{name}: not by {axis}: {why}.")
