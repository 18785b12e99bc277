"""What a bundle may tell: names without paths, and of restricted data totals that no row can be read from.

Totals under a run's public seed are rows in disguise: who knows seed and number of clusters draws the same counts, and a
thousand equations give every cluster's row. So restricted data are resampled here under a seed that nobody keeps, each
metric on its own, and what is told is coarse. ``docs/bundles.md`` has the whole argument.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import ceil, lgamma, log2
from pathlib import Path
from typing import Any

import numpy as np

from radbench.registry import find_metric, parse_spec
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
    interval,
    method_of,
    point,
    resample_counts,
)

FLOOR = 11  # patients: counts of 1 to 10 are what the US Medicare agency (CMS) suppresses
GRID = 256  # steps of what is told in a standard error

_ROOTED = re.compile(r"""(?:^|(?<=[\s:=,;"'(\[]))(?:[A-Za-z]:(?=[\\/])|~[^\\/\s]*|\.{1,2})?[\\/](?:.*[\\/])?""")
_WORD = re.compile(r"""[^\s:=,;"'()\[\]]+""")


def without_paths(text: str) -> str:
    """``text`` with every path in it shortened to its last part; ``owner/name``, as hubs have it, stays."""
    return _WORD.sub(lambda word: _last_part(word[0]), _ROOTED.sub("", text))


def _last_part(word: str) -> str:
    parts = re.split(r"[\\/]", word)
    is_path = len(parts) > 2 or "\\" in word or (len(parts) == 2 and Path(word).exists())
    return (parts[-1] or parts[-2]) if is_path else word


def public_spec(spec: str, hidden: Collection[str] = ()) -> str | None:
    """A metric's spec without options that are paths; None where an option is one of the ``hidden`` names."""
    _, arguments, options = parse_spec(spec)
    named = [str(options["label"])] if "label" in options else []
    if any(
        str(value) in hidden for value in (*named, *arguments, *(v for v in options.values() if isinstance(v, str)))
    ):
        return None
    name, _, rest = spec.partition(":")
    kept = [part for part in rest.split(",") if (value := part.partition("=")[2] or part) == without_paths(value)]
    return f"{name}:{','.join(kept)}" if any(kept) else name


def texts_in(value: Any) -> set[str]:
    """Every text in nested lists and mappings."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, Mapping):
        return set().union(*(texts_in(part) for pair in value.items() for part in pair))
    return set().union(*map(texts_in, value)) if isinstance(value, list | tuple) else set()


def nameless(state: Any) -> Any:
    """A metric's state with its texts, which stem from the data, replaced by numbers: ``#1``, ``#2`` ..., equal ones alike."""
    known: dict[str, str] = {}

    def replaced(value: Any) -> Any:
        if isinstance(value, str):
            return known.setdefault(value, f"#{len(known) + 1}")
        return tuple(map(replaced, value)) if isinstance(value, list | tuple) else value

    return replaced(state)


@dataclass(frozen=True, slots=True)
class Coarse:
    """What is told of a metric on restricted data: the arrays of its file and its entry in the results."""

    arrays: Mapping[str, np.ndarray]
    entry: Mapping[str, Any]


def coarse(spec: str, measure: Measure, clusters: Clusters, resamples: int, level: float) -> Coarse | str:
    """A metric's totals in resamples under a secret seed, or only its values in them; a reason where neither is told.

    Totals are told where they suffice for the value without the names in the state, and hide the rows (:func:`_hidden`).
    """
    counted = counted_clusters(measure, clusters)
    metric = find_metric(spec)
    n = metric.counted(measure.rows)
    if min(counted, n) < FLOOR:
        return f"fewer than {FLOOR} patients or samples enter it"
    state = nameless(measure.state)
    try:
        signature = without_paths(metric.signature(state))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "its signature cannot be told without the names of classes"
    told = _totals(measure, clusters, resamples, state) or _values(measure, clusters, resamples)
    if _harmless(state):
        told["state"] = np.array(json.dumps(state))
    value, draws = value_and_draws(metric, told)
    found = estimate_of_draws(metric, value, draws, counted, level)
    entry = {
        **as_entry(found),
        **spread(draws),
        "n": n,
        "clusters": counted,
        "better": metric.better,
        "signature": signature,
        "resampled": True,
        "from": "totals" if "totals" in told else "values",
    }
    arrays = {**told, "signature": np.array(signature), "clusters": np.array(counted)}
    return Coarse(arrays, rounded(entry))


def value_and_draws(metric: Reducer, told: Mapping[str, np.ndarray]) -> tuple[float, Floats]:
    """The value and its (resamples,) draws, from the arrays of a :class:`Coarse`."""
    if "totals" not in told:
        return float(told["value"]), told["values"]
    state = tuple(json.loads(str(told["state"])))
    return float(metric.reduce(told["point"][None, :], state)[0]), metric.reduce(told["totals"], state)


def estimate_of_draws(metric: Reducer, value: float, draws: Floats, counted: int, level: float) -> Estimate:
    """As :func:`radbench.statistics.estimate_of`, where the rows are not there but the number of clusters that enter is."""
    low, high, defined = interval(draws, level)
    bounds = metric.scale()
    method = method_of(value, low, high, defined, bounds)
    if method == "wilson" and bounds is not None:
        low, high = edge_interval(value, counted, bounds, level)
    return Estimate(value, low, high, defined, method)


def spread(draws: Floats) -> dict[str, float]:
    """Mean and standard error of the draws: unlike percentiles they change with every single one."""
    defined = draws[~np.isnan(draws)]
    if len(defined) == 0:
        return {"mean": float("nan"), "se": float("nan")}
    return {"mean": float(defined.mean()), "se": float(defined.std())}


def _totals(measure: Measure, clusters: Clusters, resamples: int, state: Any) -> dict[str, np.ndarray] | None:
    if not measure.metric.additive or not _harmless(state):
        return None
    sums = cluster_sums(measure.rows, clusters)
    totals = np.empty((resamples, sums.shape[1]))
    for first, counts in resample_counts(clusters, resamples, secrets.randbits(128)):
        totals[first : first + len(counts)] = counts @ sums
    whole = (sums == np.round(sums)).all(axis=0)
    all_sums = sums.sum(axis=0)
    steps = _steps(totals, all_sums, whole)
    if not _hidden(sums, totals, steps):
        return None
    totals, all_sums = np.round(totals / steps) * steps, np.round(all_sums / steps) * steps
    try:
        same = np.array_equal(
            measure.metric.reduce(totals, state), measure.metric.reduce(totals, measure.state), equal_nan=True
        )
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return {"totals": totals, "point": all_sums} if same else None


def _harmless(state: Any) -> bool:
    """Whether a state without its names tells no more than sizes: more than one number in it could be data."""
    flat, numbers = [state], 0
    for value in flat:
        if isinstance(value, list | tuple):
            flat.extend(value)
        elif not isinstance(value, str | None):
            numbers += 1 if isinstance(value, int) else 2
    return numbers <= 1


def _values(measure: Measure, clusters: Clusters, resamples: int) -> dict[str, np.ndarray]:
    draws = draw([measure], clusters, resamples, secrets.randbits(128))[0]
    value = np.array([point(measure)])
    step = _steps(draws[:, None], value, np.array([False]))[0]
    return {"values": np.round(draws / step) * step, "value": np.round(value[0] / step) * step}


def _steps(resampled: Floats, point: Floats, whole: np.ndarray) -> Floats:
    """The grid of each of (resamples, k) columns: a power of two, 1/GRID of a standard error or finer, at least 1 of counts.

    Where nothing varies, four digits of the value.
    """
    steps = np.ones(resampled.shape[1])
    for k, column in enumerate(resampled.T):
        defined = column[~np.isnan(column)]
        error = float(defined.std()) if len(defined) else 0.0
        varies = error > 1e-9 * max(1.0, abs(float(point[k])) if np.isfinite(point[k]) else 1.0)
        scale = error / GRID if varies else abs(float(point[k])) / 1e4
        if np.isfinite(scale) and scale > 0:
            steps[k] = 2.0 ** np.floor(np.log2(scale))
    return np.where(whole, np.maximum(steps, 1.0), steps)


def _hidden(sums: Floats, totals: Floats, steps: Floats) -> bool:
    """Whether (clusters, k) rows stay hidden behind their totals in resamples whose counts nobody knows.

    Yes where one column varies: the totals then say what the values say. Else every column needs FLOOR clusters or none,
    and either each distinct row is shared by FLOOR clusters, or a resample's totals hold at most half the information that
    its counts have, so that many counts, and so many rows, fit them equally well.
    """
    if int((np.ptp(sums, axis=0) > 0).sum()) <= 1:
        return True
    if not all(many == 0 or many >= FLOOR for many in (sums != 0).sum(axis=0)):
        return False
    _, shared = np.unique(sums, axis=0, return_counts=True)
    if shared.min() >= FLOOR:
        return True
    errors = totals.std(axis=0)
    told = sum(max(0.0, log2(4.14 * error / step)) for error, step in zip(errors, steps, strict=True) if error > 0)
    sizes, times = np.unique(shared, return_counts=True)
    drawn = sum(times[i] * _poisson_bits(float(size)) for i, size in enumerate(sizes)) - log2(4.14 * len(sums) ** 0.5)
    return bool(told <= drawn / 2)


def _poisson_bits(mean: float) -> float:
    """Entropy of a Poisson variable: what is not known of how often ``mean`` clusters are drawn."""
    if mean > 100:
        return log2(4.14 * mean**0.5)
    k = np.arange(ceil(mean + 12 * mean**0.5) + 2)
    log = k * np.log(mean) - mean - np.array([lgamma(i + 1) for i in k])
    return float(-(np.exp(log) * log).sum() / np.log(2))
