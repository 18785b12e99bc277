"""Subgroups of a task's samples, one axis at a time, and what a run's metrics are in each.

Axes are those of RadVLBench's figures (modality, kind of question, organ, words of question and reference, number of
pictures), those that a dataset tells (sex, age, view) and those of the user's own table.

What :func:`subgroup_results` returns, JSON-able, numbers rounded, None where undefined::

    run, model, partial, level, resamples, seed            as the run was scored
    small, small_clusters                                  a group of fewer samples or clusters is small
    tasks  {task: {
      access, clustered, n (samples), clusters,
      metrics  {metric: {better, signature, n (samples that enter the score), value, low, high, defined}},
      axes     {axis as asked for: {
        not_stated (samples in no group),
        groups {group: {n, clusters, metrics {metric: {n, small, value, low, high, defined}}}},
        worst  {metric: {group, of (groups compared), gap, spread}}}}
      left_out {axis as asked for: why}}}

``gap`` is how much worse the worst group is than all samples together, ``spread`` than the ``best`` group; each has value,
low and high, positive where the worst group is worse whichever way the metric points. Groups of which fewer than 30
samples or 10 clusters enter the score are ``small`` and are not compared. A sample counts once, however many draws it
has. The worst of many groups is worst by chance too, and the interval of its gap does not account for the choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from radbench.analysis.grouping import Bools, groups_of, parsed_spec
from radbench.analysis.naming import chosen
from radbench.analysis.pairing import ScoredRun
from radbench.analysis.sizes import SMALL_CLUSTERS, Size, common_size, entering_of
from radbench.errors import ConfigError
from radbench.metrics.base import Metric
from radbench.report import SMALL_SUBGROUP
from radbench.scoring import as_entry, rounded
from radbench.statfiles import TaskStatistics
from radbench.statistics import (
    Clusters,
    Estimate,
    Floats,
    Measure,
    added_errors,
    clusters_of,
    draw,
    estimate_of,
    interval,
)

DEFAULTS = "defaults"  # stands for a task's own axes
SIZES = ("question_length", "n_images", "reference_length")  # axes that every task has
RADVLBENCH = ("modality", "content_type", "question_type", "organ", *SIZES)  # in the order of its figures

Entry = dict[str, Any]


def subgroup_results(
    run: ScoredRun, tasks: Sequence[str] = (), metrics: Sequence[str] = (), specs: Sequence[str] = (DEFAULTS,)
) -> Entry:
    """Every metric in every group along the axes of ``specs``; see the module for what is returned.

    ``tasks`` and ``metrics`` are names or patterns, all where none is given. ``specs`` are axes as :func:`groups_of` takes
    them, or ``defaults``: the axes the task's dataset tells, and sizes that differ between samples. Tasks without any
    axis asked for have no ``axes``. Raises :class:`ConfigError` for unknown names and for an axis that no task can be
    divided by, :class:`radbench.errors.DataError` where statistics are missing.
    """
    results = run.results
    wanted = chosen(tasks, results["tasks"], "task")
    scored = {name: entry["metrics"].keys() for name, entry in results["tasks"].items() if name in wanted}
    measured = chosen(metrics, {metric for own in scored.values() for metric in own}, "metric")
    names = [name for name, own in scored.items() if own & measured]
    specs = list(dict.fromkeys(specs))
    _check_axes(run, names, specs)
    return cast(Entry, rounded({
        "run": run.label,
        "model": dict(results["model"]),
        "partial": results["partial"],
        "level": results["level"],
        "resamples": results["resamples"],
        "seed": results["seed"],
        "small": SMALL_SUBGROUP,
        "small_clusters": SMALL_CLUSTERS,
        "tasks": {name: _task(run, name, measured, specs) for name in names},
    }))  # fmt: skip


def _check_axes(run: ScoredRun, tasks: Sequence[str], specs: Sequence[str]) -> None:
    """Raise the :class:`ConfigError` of an axis that divides no task, before anything is resampled."""
    here: dict[str, NDArray[np.str_]] = {}
    why: dict[str, ConfigError] = {}
    asked = [spec for spec in specs if spec != DEFAULTS]
    useful: set[str] = set()
    for task in tasks:
        axes = run.axes(task)
        here |= axes
        for spec in asked:
            if spec in axes or spec.partition(":")[0] in axes:
                try:
                    groups_of(axes, spec)
                    useful.add(spec)
                except ConfigError as error:
                    why.setdefault(spec, error)
    for spec in asked:
        if spec not in useful:
            parsed_spec(here, spec)
            raise why[spec]


def _task(run: ScoredRun, task: str, metrics: set[str], specs: Sequence[str]) -> Entry:
    results, held = run.results["tasks"][task], run.statistics(task)
    axes, left_out = _axes_of(held, results["subgroups"], specs)
    measures = {name: measure for name, measure in held.measures.items() if name in metrics}
    samples, clusters = clusters_of(held.ids), clusters_of(held.clusters)
    keeps = [None, *(keep for groups in axes.values() for keep in groups.values())]
    all_measures = [Measure(m.metric, m.state, m.rows, keep) for keep in keeps for m in measures.values()]
    draws = draw(all_measures, clusters, run.results["resamples"], run.results["seed"])
    level = run.results["level"]
    found = (
        _Found(m, estimate_of(m, clusters, own, level), own, _size(m, samples, clusters))
        for m, own in zip(all_measures, draws, strict=True)
    )
    overall = {name: next(found) for name in measures}
    out: Entry = {
        "access": results["access"],
        "clustered": results["clustered"],
        "n": samples.count,
        "clusters": clusters.count,
        "metrics": {
            name: {k: results["metrics"][name][k] for k in ("better", "signature")} | one.entry()
            for name, one in overall.items()
        },
        "axes": {},
        "left_out": left_out,
    }
    for spec, groups in axes.items():
        own = {label: {name: next(found) for name in measures} for label in groups}
        out["axes"][spec] = _axis(samples, clusters, groups, own, overall, level)
    return out


def _axes_of(
    held: TaskStatistics, told: Mapping[str, Any], specs: Sequence[str]
) -> tuple[dict[str, dict[str, Bools]], dict[str, str]]:
    """The groups along each axis the task has, and why it has not the others. ``told``: axes the dataset tells."""
    found: dict[str, dict[str, Bools]] = {}
    left_out: dict[str, str] = {}
    for spec in _expanded(held.axes, specs):
        if spec not in held.axes and spec.partition(":")[0] not in held.axes:
            left_out[spec] = "the task has no such axis"
            continue
        try:
            groups = groups_of(held.axes, spec)
        except ConfigError as error:
            left_out[spec] = error.message
            continue
        if not groups:
            left_out[spec] = "no sample has a value"
        elif spec in specs or spec in told or spec not in SIZES or len(groups) > 1:
            found[spec] = groups
    return found, left_out


def _expanded(axes: Mapping[str, Any], specs: Sequence[str]) -> Iterator[str]:
    """The specs with ``defaults`` replaced by all axes, RadVLBench's first."""
    own = sorted(axes, key=lambda axis: (RADVLBENCH.index(axis) if axis in RADVLBENCH else len(RADVLBENCH), axis))
    return iter(dict.fromkeys(name for spec in specs for name in (own if spec == DEFAULTS else (spec,))))


@dataclass(frozen=True, slots=True)
class _Found:
    """A measure, its estimate, its (resamples,) draws, and what enters it."""

    measure: Measure
    estimate: Estimate
    draws: Floats
    size: Size

    @property
    def metric(self) -> Metric:
        return cast(Metric, self.measure.metric)

    @property
    def sign(self) -> int:
        """Of the value, so that more is better."""
        return 1 if self.metric.better == "higher" else -1

    def entry(self) -> Entry:
        return {"n": self.size.n, **as_entry(self.estimate)}


def _size(measure: Measure, samples: Clusters, clusters: Clusters) -> Size:
    return common_size([entering_of(measure, samples, clusters)], samples, clusters)


def _axis(
    samples: Clusters,
    clusters: Clusters,
    groups: Mapping[str, Bools],
    own: Mapping[str, Mapping[str, _Found]],
    overall: Mapping[str, _Found],
    level: float,
) -> Entry:
    """One axis: ``own`` are the metrics of each group. ``samples`` numbers the rows' samples, of several draws each."""
    stated = np.any(list(groups.values()), axis=0)
    out: Entry = {"not_stated": _distinct(samples, ~stated), "groups": {}, "worst": {}}
    for label, keep in groups.items():
        metrics = {name: one.entry() | {"small": one.size.small} for name, one in own[label].items()}
        counts = {"n": _distinct(samples, keep), "clusters": _distinct(clusters, keep)}
        out["groups"][label] = {**counts, "metrics": metrics}
    for name, whole in overall.items():
        large = {k: own[k][name] for k, group in out["groups"].items() if not group["metrics"][name]["small"]}
        out["worst"][name] = _worst(large, whole, level)
    return out


def _distinct(numbered: Clusters, keep: Bools) -> int:
    return int(np.count_nonzero(np.bincount(numbered.codes[keep], minlength=1)))


def _worst(groups: Mapping[str, _Found], whole: _Found, level: float) -> Entry | None:
    """The worst of the groups against all samples and against the best; None where fewer than two can be compared."""
    values = {label: g.sign * g.estimate.value for label, g in groups.items() if not np.isnan(g.estimate.value)}
    if len(values) < 2:
        return None
    worst, best = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    return {
        "group": worst,
        "of": len(values),
        "gap": _shortfall(groups[worst], whole, level),
        "best": best,
        "spread": _shortfall(groups[worst], groups[best], level),
    }


def _shortfall(low: _Found, high: _Found, level: float) -> Entry:
    """How much better ``high`` is, with the percentiles of the joint draws.

    A group at an end of the scale (all right, all wrong) is the same in every resample. As in
    :func:`radbench.statistics.macro` the distance its Wilson interval reaches is added by root of sum of squares.
    """
    sign = high.sign
    value = sign * (high.estimate.value - low.estimate.value)
    least, most, defined = interval(sign * (high.draws - low.draws), level)
    down, up = [value - least], [most - value]
    for one, side in ((high.estimate, sign), (low.estimate, -sign)):
        if one.method == "wilson":
            reach = (one.value - one.low, one.high - one.value)
            down.append(reach[side < 0])
            up.append(reach[side > 0])
    if len(down) > 1 and defined:
        least, most = value - added_errors(down), value + added_errors(up)
    return {"value": value, "low": least, "high": most, "defined": defined}
