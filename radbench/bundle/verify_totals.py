"""Restricted data of a bundle: values and intervals computed anew from totals in resamples, and that no more is told."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from radbench.bundle.checking import Check, local_metric
from radbench.bundle.disclosure import FLOOR, MOST_TOLD, from_totals
from radbench.bundle.files import Fault
from radbench.bundle.schema import TaskResults
from radbench.errors import OPEN_ACCESS
from radbench.folder import RESULTS
from radbench.metrics.base import Mean
from radbench.public import public_signature

_ENOUGH = 30  # resamples that show where the value lies
_FAR = 6  # standard errors of a mean over resamples: by chance in 1 of 500 million columns
_ROUNDING = 1 / 256  # standard errors: half a step of what is told
_STATED = frozenset({"value", "low", "high", "defined", "se", "n", "clusters", "better", "signature", "from"})


def check_restricted(check: Check, task: str, entry: TaskResults) -> None:
    """Add a fault for everything a restricted task states that its totals do not say, or that it should not say."""
    if entry.access in OPEN_ACCESS:
        check.faults.append(Fault(RESULTS, f"totals in place of rows, of {entry.access} data", task))
    told = entry.classes or entry.subgroups or entry.collapse is not None or entry.title != task
    if told or not FLOOR <= entry.clusters <= entry.n:
        check.faults.append(Fault(RESULTS, "tells more of restricted data than a bundle may", task))
    for name, stored in entry.metrics.items():
        sizes = (stored.get("clusters"), entry.clusters), (stored.get("n"), entry.n)
        if not all(isinstance(count, int) and FLOOR <= count <= most for count, most in sizes):
            check.faults.append(Fault(RESULTS, f"n or clusters are not between {FLOOR} and the task's", task, name))
        elif stored.get("from") == "stated":
            check.stated += 1
            check.tried(RESULTS, task, name, partial(_check_stated, check, task, name, stored))
        else:
            _check_totals(check, task, name, stored)


def _check_stated(check: Check, task: str, name: str, stored: Mapping[str, Any]) -> None:
    """Fields and order of what nothing in the bundle allows to compute."""
    metric = local_metric(name)
    numbers = [stored.get(key) for key in ("low", "value", "high", "se", "defined")]
    is_shaped = stored.keys() - {"method"} == _STATED and stored["better"] == metric.better
    if not is_shaped or not all(v is None or (isinstance(v, int | float) and math.isfinite(v)) for v in numbers):
        check.faults.append(Fault(RESULTS, "is not stated as a bundle states a result", task, name))


def _check_totals(check: Check, task: str, name: str, stored: Mapping[str, Any]) -> None:
    file = check.metric_file(task, name)
    arrays = check.arrays(file, task, name)
    if arrays is None:
        return
    if reason := _misshapen(arrays, min(check.results.resamples, MOST_TOLD)):
        check.faults.append(Fault(file, reason, task, name))
        return
    computed = check.tried(file, task, name, partial(_computed, name, arrays, check.results.level))
    if computed is not None:
        before = check.values
        check.equal(task, name, stored, {"n": stored["n"], **computed})
        check.from_totals += check.values - before


def _misshapen(arrays: Mapping[str, np.ndarray], resamples: int) -> str | None:
    """Why arrays are not what is told of a metric on restricted data."""
    if arrays.keys() != {"totals", "point", "state", "clusters"}:
        return "holds something else than totals of resamples"
    totals, point = arrays["totals"], arrays["point"]
    if (
        totals.ndim != 2
        or totals.shape != (resamples, *point.shape)
        or {totals.dtype, point.dtype} != {np.dtype(float)}
    ):
        return f"expected float64 numbers of {resamples} resamples, and of all samples"
    return _improbable(totals, point)


def _improbable(totals: np.ndarray, point: np.ndarray) -> str | None:
    """Why totals of resamples are not those of the samples whose total is stated: their mean estimates it without bias.

    That holds of the totals of every metric, however bent the value is that is made of them.
    """
    if not (np.isfinite(totals).all() and np.isfinite(point).all()):
        return "a total is not finite"
    if len(totals) < _ENOUGH:
        return None
    error = totals.std(axis=0)
    allowed = (_FAR / len(totals) ** 0.5 + _ROUNDING) * error + 1e-9 * np.maximum(1.0, np.abs(point))
    far = np.abs(point - totals.mean(axis=0)) > allowed
    return "the total of all samples lies far from those of the resamples" if far.any() else None


def _computed(spec: str, arrays: Mapping[str, np.ndarray], level: float) -> dict[str, Any]:
    metric = local_metric(spec)
    counted = {"n": metric.counted(arrays["point"][None, :])} if isinstance(metric, Mean) else {}
    signature = public_signature(metric.signature(tuple(json.loads(str(arrays["state"])))))
    sizes = {"clusters": int(arrays["clusters"]), "better": metric.better, "signature": signature}
    return {**from_totals(metric, arrays, level), **sizes, **counted}
