"""Open data of a bundle: values, intervals, subgroups and groups computed anew from the rows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from radbench.bundle.checking import Check, Rows, local_metric
from radbench.bundle.files import Fault, stats_name
from radbench.bundle.schema import GroupResults, TaskManifest, TaskResults
from radbench.errors import OPEN_ACCESS
from radbench.folder import RESULTS
from radbench.metrics.base import Additive, Metric
from radbench.public import public_signature
from radbench.registry import find_metric
from radbench.scoring import as_entry
from radbench.statfiles import SAMPLES
from radbench.statistics import Estimate, Measure, clusters_of, estimate, macro, pool

Key = tuple[str, str, str]  # axis, value, metric


def check_open(check: Check, task: str, entry: TaskResults) -> None:
    """Add a fault for everything an open task states that its rows do not say."""
    if entry.access not in OPEN_ACCESS:
        check.faults.append(Fault(RESULTS, f"rows of {entry.access} data: no such bundle may be published", task))
    rows = _rows(check, task, entry)
    if rows is None:
        return
    check.rows[task] = rows
    counts = {"n": len(rows.names), "clusters": rows.clusters.count}
    check.equal(task, "", {name: getattr(entry, name) for name in counts}, counts)
    measures: dict[Key, Measure] = {("", "", name): measure for name, measure in rows.measures.items()}
    measures |= _subgroups(check, task, entry, rows)
    if not check.affordable(task, len(rows.names), measures.values()):
        return
    c = check.results
    compute = partial(estimate, measures, rows.clusters, c.resamples, c.seed, c.level)
    for (axis, value, name), result in (check.tried(RESULTS, task, "", compute) or {}).items():
        if axis:
            stored = entry.subgroups[axis][value].metrics[name]
            check.equal(task, f"{name} of {axis} {value}", stored, as_entry(result))
        else:
            measure, file = rows.measures[name], check.metric_file(task, name)
            stated = check.tried(file, task, name, partial(_stated, find_metric(name), measure))
            if stated is not None:
                check.equal(task, name, entry.metrics[name], {**as_entry(result), **stated})


def _stated(metric: Metric, measure: Measure) -> dict[str, Any]:
    """What an entry has besides the estimate."""
    return {
        "n": metric.counted(measure.rows),
        "better": metric.better,
        "signature": public_signature(metric.signature(measure.state)),
    }


def _subgroups(check: Check, task: str, entry: TaskResults, rows: Rows) -> dict[Key, Measure]:
    """The measures of every subgroup; faults where subgroups are made up, left away or have other metrics."""
    measures: dict[Key, Measure] = {}
    for axis in sorted(rows.axes.keys() - entry.subgroups.keys()):
        check.faults.append(Fault(RESULTS, f"the subgroups of {axis[:80]!r} are missing", task))
    for axis, values in entry.subgroups.items():
        known, codes = rows.axes.get(axis, ([], np.empty(0)))
        for value in sorted(values.keys() ^ set(known)):
            there = "no sample has it" if value in values else "it is missing"
            check.faults.append(Fault(RESULTS, f"subgroup {value[:80]!r} of {axis[:80]!r}: {there}", task))
        for value in values.keys() & set(known):
            keep = codes == known.index(value)
            check.equal(task, "", {"n": values[value].n}, {"n": int(keep.sum())})
            if values[value].metrics.keys() != entry.metrics.keys():
                check.faults.append(Fault(RESULTS, f"subgroup {value[:80]!r} has other metrics than the task", task))
                continue
            for name, m in rows.measures.items():
                measures[axis, value, name] = Measure(m.metric, m.state, m.rows, keep)
    return measures


def _rows(check: Check, task: str, entry: TaskResults) -> Rows | None:
    """The rows of a task as the engine wants them; None where its samples cannot be read."""
    file = stats_name(task, f"{SAMPLES}.npz")
    arrays = check.arrays(file, task)
    if arrays is None:
        return None
    ids, names = (arrays.pop(name, np.empty(0)) for name in ("ids", "clusters"))
    n = len(ids) if ids.ndim == 1 else -1
    axes = {}
    for axis in [name.removeprefix("codes.") for name in arrays if name.startswith("codes.")]:
        codes, values = arrays.pop(f"codes.{axis}"), arrays.pop(f"values.{axis}", np.empty(0))
        if codes.shape == (n,) and codes.dtype.kind in "iu" and values.ndim == 1 and values.dtype.kind == "U":
            axes[axis] = (values.tolist(), codes)
        else:
            check.faults.append(Fault(file, f"the axis {axis[:80]!r} is not one value a sample", task))
    keyed = all(ids_.shape == (n,) and ids_.dtype == "S32" and _all_hex(ids_) for ids_ in (ids, names))
    if arrays or not keyed:
        check.faults.append(Fault(file, "holds something else than keyed ids, keyed clusters and axes", task))
        return None
    measures = {}
    for metric in entry.metrics:
        if (measure := _measure(check, task, metric, n)) is not None:
            measures[metric] = measure
    return Rows(names, clusters_of(names), axes, measures)


def _all_hex(names: np.ndarray) -> bool:
    return all(re.fullmatch(rb"[0-9a-f]{32}", name) for name in np.unique(names).tolist())


def _measure(check: Check, task: str, metric: str, n: int) -> Measure | None:
    file = check.metric_file(task, metric)
    arrays = check.arrays(file, task, metric)
    if arrays is None:
        return None
    rows = arrays.get("rows", np.empty(0))
    if arrays.keys() != {"rows", "state", "signature"} or rows.ndim != 2 or len(rows) != n or rows.dtype != np.float64:
        check.faults.append(Fault(file, f"expected (n, k) rows of {n} samples, a state and a signature", task, metric))
        return None
    return check.tried(file, task, metric, partial(_loaded, metric, arrays))


def _loaded(metric: str, arrays: Mapping[str, np.ndarray]) -> Measure:
    return Measure(local_metric(metric), tuple(json.loads(str(arrays["state"]))), arrays["rows"])


# --- groups ---


def check_group(check: Check, name: str, group: GroupResults, described: Mapping[str, TaskManifest]) -> None:
    """Pooled or macro values anew; every member is an open task of the bundle."""
    members = [m for m in group.members if m in check.rows]
    if len(members) < len(group.members) or not members:
        check.faults.append(Fault(RESULTS, "a group whose members are not all here with their rows", name))
        return
    tasks = check.results.tasks
    counts = {"n": sum(tasks[m].n for m in members), "clustered": all(tasks[m].clustered for m in members)}
    check.equal(name, "", {key: getattr(group, key) for key in counts}, counts)
    first = check.rows[members[0]].measures
    samples = sum(len(check.rows[m].names) for m in members)
    if not check.affordable(name, samples, [first[metric] for metric in group.metrics if metric in first]):
        return
    for metric, stored in group.metrics.items():
        if any(metric not in check.rows[m].measures for m in members):
            check.faults.append(Fault(RESULTS, "not every member of the group has this metric", name, metric))
            continue
        found = check.tried(RESULTS, name, metric, partial(_group_value, check, metric, group, described))
        if found is not None:
            check.equal(name, metric, stored, {**as_entry(found), "better": find_metric(metric).better})


def _group_value(check: Check, metric: str, group: GroupResults, described: Mapping[str, TaskManifest]) -> Estimate:
    c, rows = check.results, [check.rows[m] for m in group.members]
    measures = [r.measures[metric] for r in rows]
    if group.how == "macro":
        pairs = [(m, r.clusters) for m, r in zip(measures, rows, strict=True)]
        return macro(pairs, c.resamples, c.seed, c.level)
    scorer = find_metric(metric)
    if not isinstance(scorer, Additive):
        raise TypeError("only additive metrics are pooled")
    parts = [(m, scorer.columns(m.state)) for m in measures]
    datasets = [str(described[m].dataset) for m, r in zip(group.members, rows, strict=True) for _ in r.names]
    clusters = clusters_of(np.concatenate([r.names for r in rows]), datasets)
    return estimate({0: pool(parts)}, clusters, c.resamples, c.seed, c.level)[0]
