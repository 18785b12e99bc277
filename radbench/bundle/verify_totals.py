"""Restricted data of a bundle: values and intervals computed anew from totals in resamples, and that no more is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from radbench.bundle.checking import Check, local_metric
from radbench.bundle.disclosure import FLOOR, estimate_of_draws, spread, value_and_draws, without_paths
from radbench.bundle.files import Fault
from radbench.bundle.schema import TaskResults
from radbench.errors import OPEN_ACCESS
from radbench.folder import RESULTS
from radbench.scoring import as_entry
from radbench.statistics import Estimate

_ENOUGH = 100  # resamples that show where the value lies
_FAR = 1  # standard error of a total; their mean strays a tenth of it at most


def check_restricted(check: Check, task: str, entry: TaskResults) -> None:
    """Add a fault for everything a restricted task states that its totals do not say, or that it should not say."""
    if entry.access in OPEN_ACCESS:
        check.faults.append(Fault(RESULTS, f"totals in place of rows, of {entry.access} data", task))
    told = entry.classes or entry.subgroups or entry.collapse is not None or entry.title != task
    if told or not FLOOR <= entry.clusters <= entry.n:
        check.faults.append(Fault(RESULTS, "tells more of restricted data than a bundle may", task))
    for name, stored in entry.metrics.items():
        file = check.metric_file(task, name)
        arrays = check.arrays(file, task, name)
        if arrays is None:
            continue
        if reason := _misshapen(arrays, check.results.resamples):
            check.faults.append(Fault(file, reason, task, name))
            continue
        computed = check.tried(file, task, name, partial(_from_totals, name, arrays, check.results.level))
        if computed is None:
            continue
        before, count = check.values, stored.get("n")
        check.equal(task, name, {key: value for key, value in stored.items() if key != "n"}, computed)
        check.from_totals += check.values - before
        sizes = isinstance(count, int) and FLOOR <= count <= entry.n
        if not sizes or not FLOOR <= computed["clusters"] <= entry.clusters:
            check.faults.append(Fault(RESULTS, f"n or clusters are not between {FLOOR} and the task's", task, name))


def _misshapen(arrays: Mapping[str, np.ndarray], resamples: int) -> str | None:
    """Why arrays are not what is told of a metric on restricted data."""
    names = arrays.keys() - {"signature", "clusters", "state"}
    if names == {"totals", "point"} and "state" in arrays:
        told, point, shape = arrays["totals"], arrays["point"], (resamples, *arrays["point"].shape)
    elif names == {"values", "value"}:
        told, point, shape = arrays["values"], arrays["value"], (resamples,)
    else:
        return "holds something else than totals or values of resamples"
    if told.shape != shape or told.ndim - point.ndim != 1 or {told.dtype, point.dtype} != {np.dtype(np.float64)}:
        return f"expected float64 numbers of {resamples} resamples, and of all samples"
    return _improbable(told, point) if "totals" in names else None


def _improbable(totals: np.ndarray, point: np.ndarray) -> str | None:
    """Why totals of resamples are not those of the samples whose total is stated: their mean estimates it without bias."""
    if not np.isfinite(totals).all():
        return "a total is not finite"
    if len(totals) < _ENOUGH:
        return None
    far = np.abs(point - totals.mean(axis=0)) > _FAR * totals.std(axis=0) + 1e-6 * np.maximum(1.0, np.abs(point))
    return "the total of all samples lies far from those of the resamples" if far.any() else None


def _from_totals(spec: str, arrays: Mapping[str, np.ndarray], level: float) -> dict[str, Any]:
    metric = local_metric(spec)
    value, draws = value_and_draws(metric, arrays)
    counted = int(arrays["clusters"])
    found: Estimate = estimate_of_draws(metric, value, draws, counted, level)
    known = "state" in arrays
    signature = metric.signature(tuple(json.loads(str(arrays["state"])))) if known else str(arrays["signature"])
    return {
        **as_entry(found),
        **spread(draws),
        "clusters": counted,
        "better": metric.better,
        "signature": without_paths(signature),
        "resampled": True,
        "from": "totals" if "totals" in arrays else "values",
    }
