"""What a bundle tells of a metric on restricted data: totals in resamples that no row can be read from, or only its result.

Totals under a run's public seed are rows in disguise: who knows seed and number of clusters draws the same counts, and a
thousand equations give every cluster's row. So restricted data are resampled here under a seed that nobody keeps, each
metric on its own, and what is told is coarse. ``docs/bundles.md`` has the whole argument.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from math import e, pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radbench.public import public_signature
from radbench.registry import find_metric
from radbench.scoring import as_entry, rounded
from radbench.statistics import (
    Clusters,
    Estimate,
    Floats,
    Measure,
    Reducer,
    cluster_sums,
    counted_clusters,
    draw,
    edge_interval,
    estimate_of,
    interval,
    method_of,
    resample_counts,
)

FLOOR = 11  # patients: counts of 1 to 10 are what the US Medicare agency (CMS) suppresses
MOST_TOLD = 1000  # resamples: with each more, one that holds few of the rare patients is likelier
_GRID = 256  # steps of what is told in a standard error, at most


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of a metric on restricted data: its entry in the results, and the arrays of its file, where it has one."""

    entry: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


def told_of(spec: str, measure: Measure, clusters: Clusters, resamples: int, seed: int, level: float) -> Told | str:
    """A metric's totals in resamples under a secret seed, where they hide the rows (:func:`_hidden`); else its result only.

    A reason where not even that is told.
    """
    metric, counted = find_metric(spec), counted_clusters(measure, clusters)
    n, state = metric.counted(measure.rows), nameless(measure.state)
    if min(counted, n) < FLOOR:
        return f"fewer than {FLOOR} patients or samples enter it"
    try:
        signature = public_signature(metric.signature(state))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "its signature cannot be told without the names of classes"
    common = {"n": n, "clusters": counted, "better": metric.better, "signature": signature}
    totals = _totals(measure, clusters, min(resamples, MOST_TOLD), state)
    if totals is not None:
        arrays = {**totals, "state": np.array(json.dumps(state)), "clusters": np.array(counted)}
        return Told(rounded({**from_totals(metric, arrays, level), **common}), arrays)
    stated = _stated(measure, clusters, counted, resamples, seed, level)
    if stated is None:
        return f"fewer than {FLOOR} patients differ from the others, and its scale is not known"
    return Told(rounded({**stated, **common}), {})


def nameless(state: Any) -> Any:
    """A metric's state with its texts, which stem from the data, replaced by numbers: ``#1``, ``#2`` ..., equal ones alike."""
    known: dict[str, str] = {}

    def replaced(value: Any) -> Any:
        if isinstance(value, str):
            return known.setdefault(value, f"#{len(known) + 1}")
        return tuple(map(replaced, value)) if isinstance(value, list | tuple) else value

    return replaced(state)


# --- totals ---


def from_totals(metric: Reducer, arrays: Mapping[str, np.ndarray], level: float) -> dict[str, Any]:
    """Value, interval, mean and standard error of the resamples, computed from the arrays of a :class:`Told`.

    As :func:`radbench.statistics.estimate_of`, where the rows are not there but the number of clusters that enter is. Mean
    and standard error are told since, unlike percentiles, they change with every single resample.
    """
    state = tuple(json.loads(str(arrays["state"])))
    value = float(metric.reduce(arrays["point"][None, :], state)[0])
    draws = metric.reduce(arrays["totals"], state)
    low, high, defined = interval(draws, level)
    bounds = metric.scale()
    method = method_of(value, low, high, defined, bounds)
    if method == "wilson" and bounds is not None:
        low, high = edge_interval(value, int(arrays["clusters"]), bounds, level)
    kept = draws[~np.isnan(draws)]
    spread = (
        {"mean": float(kept.mean()), "se": float(kept.std())} if len(kept) else dict.fromkeys(("mean", "se"), np.nan)
    )
    return {**as_entry(Estimate(value, low, high, defined, method)), **spread, "from": "totals"}


def _totals(measure: Measure, clusters: Clusters, resamples: int, state: Any) -> dict[str, np.ndarray] | None:
    """``totals`` (resamples, k) and ``point`` (k), coarse; None where they would tell too much, or not give the value."""
    if not measure.metric.additive or not all(isinstance(name, str) for name in state):
        return None
    sums = cluster_sums(measure.rows, clusters)
    if not np.isfinite(sums).all():
        return None
    totals = np.empty((resamples, sums.shape[1]))
    for first, counts in resample_counts(clusters, resamples, secrets.randbits(128)):
        totals[first : first + len(counts)] = counts @ sums
    errors = totals.std(axis=0)
    steps = _steps(errors, sums.sum(axis=0), (sums == np.round(sums)).all(axis=0))
    if not _hidden(sums, errors / steps):
        return None
    totals, sums = np.round(totals / steps) * steps, np.round(sums.sum(axis=0) / steps) * steps
    try:
        named, unnamed = (measure.metric.reduce(totals, s) for s in (measure.state, state))
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return {"totals": totals, "point": sums} if np.array_equal(named, unnamed, equal_nan=True) else None


def _steps(errors: Floats, point: Floats, whole: Any) -> Floats:
    """The grid of each column: a power of two, 1/256 to 1/128 of its standard error, at least 1 of counts.

    Where nothing varies, four digits of the value.
    """
    varies = errors > 1e-9 * np.maximum(1.0, np.abs(point))
    scale = np.where(varies, errors / _GRID, np.where(point == 0, 1.0, np.abs(point) / 1e4))
    steps = 2.0 ** np.ceil(np.log2(scale))
    return np.where(whole, np.maximum(steps, 1.0), steps)


def _hidden(sums: Floats, errors: Floats) -> bool:
    """Whether (clusters, k) rows stay hidden behind their totals in resamples whose counts nobody knows.

    Either each distinct row is shared by FLOOR clusters. Or no column varies for fewer than 2 FLOOR clusters, so that
    hardly a resample is without most of them, and the totals of a resample, with these ``errors`` in steps, hold at most
    half the information that its unknown counts have, so that many counts, and so many rows, fit them equally well.
    """
    shared = np.unique(sums, axis=0, return_counts=True)[1]
    if shared.min() >= FLOOR:
        return True
    if _fewest(sums) < 2 * FLOOR:
        return False
    hidden = _bits(shared).sum() - _bits(np.array([len(sums)])).sum()
    return bool(_bits(errors[errors > 1e-9] ** 2).sum() <= hidden / 2)


def _fewest(rows: Floats) -> int:
    """Of the columns that vary, the least number of rows that differ there from the commonest row; all where none does."""
    differ = _differ(rows, _usual(rows)).sum(axis=0)
    return int(differ[differ > 0].min(initial=len(rows)))


def _usual(rows: Floats) -> Floats:
    kinds, many = np.unique(rows, axis=0, return_counts=True)
    return np.asarray(kinds[many.argmax()])


def _differ(rows: Floats, usual: Floats) -> NDArray[np.bool_]:
    both_absent: NDArray[np.bool_] = np.isnan(rows) & np.isnan(usual)
    return np.not_equal(rows, usual) & ~both_absent


def _bits(variances: Any) -> Floats:
    """Entropy of normal variables rounded to whole numbers, and nearly that of Poisson variables."""
    return np.maximum(0.0, np.log2(2 * pi * e * np.asarray(variances, np.float64)) / 2)


# --- results alone ---


def _stated(
    measure: Measure, clusters: Clusters, counted: int, resamples: int, seed: int, level: float
) -> dict[str, Any] | None:
    """The run's own value, interval and standard error, coarse: nothing in the bundle shows how they came about.

    To a power of two, 1/256 to 1/128 of the standard error. Where fewer than FLOOR clusters differ from the commonest row,
    value and error are all but theirs: then to one cluster's share of the scale, so that counts stay exact and scores of
    single patients do not show. None where the scale is not known.
    """
    draws = draw([measure], clusters, resamples, seed)[0]
    found = estimate_of(measure, clusters, draws, level)
    kept = draws[~np.isnan(draws)]
    error = float(kept.std()) if len(kept) else float("nan")
    step = float(_steps(np.array([error]), np.array([found.value]), np.array([False]))[0]) if error == error else 1.0
    if _few_differ(measure, clusters):
        bounds = measure.metric.scale()
        if bounds is None:
            return None
        step = max(step, (bounds[1] - bounds[0]) / counted)
    numbers = {"value": found.value, "low": found.low, "high": found.high, "se": error}
    return {
        **as_entry(found),
        **{k: round(v / step) * step if v == v else v for k, v in numbers.items()},
        "from": "stated",
    }


def _few_differ(measure: Measure, clusters: Clusters) -> bool:
    if measure.metric.additive:
        return _fewest(cluster_sums(measure.rows, clusters)) < FLOOR
    usual = _usual(measure.rows)
    return len(np.unique(clusters.codes[_differ(measure.rows, usual).any(axis=1)])) < FLOOR
