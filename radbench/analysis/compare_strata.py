"""A comparison in every group of a stratum, and the group where a run does worst."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from radbench.analysis.compare_metrics import Entry, Setting, compared, correct
from radbench.analysis.grouping import groups_of
from radbench.analysis.pairing import Paired, paired_draws
from radbench.errors import ConfigError
from radbench.statistics import Measure

NO_AXIS = "the task has no such axis"


def groups_along(paired: Paired, spec: str) -> Mapping[str, NDArray[np.bool_]] | str:
    """The rows of each group along an axis, or why the task has none."""
    if spec.partition(":")[0] not in paired.axes:
        return NO_AXIS
    try:
        return groups_of(paired.axes, spec) or "no common sample has a value"
    except ConfigError as error:
        return error.message


def strata_of(
    paired: Paired, groups: Mapping[str, NDArray[np.bool_]], overall: Mapping[str, Entry], setting: Setting
) -> Entry:
    """Every metric in every group, group by group under the same resamples, and where each run does worst."""
    out: dict[str, Entry] = {}
    samples = paired.samples
    for label, keep in groups.items():
        own = replace(
            paired,
            measures=tuple(
                {name: Measure(m.metric, m.state, m.rows, keep) for name, m in measures.items()}
                for measures in paired.measures
            ),
        )
        draws = paired_draws(own, setting.resamples, setting.seed)
        metrics: dict[str, Entry] = {}
        for name, entry in overall.items():
            measures = [run[name] for run in own.measures]
            values = np.stack([d[name] for d in draws])
            size, found = compared(measures, samples, paired.clusters, values, entry["better"], setting)
            metrics[name] = {"n": size.n, "small": size.small, **found}
        n, clusters = (len(np.unique(numbered.codes[keep])) for numbered in (samples, paired.clusters))
        out[label] = {"n": n, "clusters": clusters, "metrics": metrics}
    comparisons = correct([metric for group in out.values() for metric in group["metrics"].values()])
    return {
        "comparisons": comparisons,
        "groups": out,
        "worst": {name: _worst(out, name, entry) for name, entry in overall.items()},
    }


def _worst(groups: Mapping[str, Entry], metric: str, overall: Entry) -> Entry:
    """The group in which each run scores worst, and that in which a of each pair loses most against b.

    Small groups take no part. ``gap`` is how much worse the group is than the overall value: positive where it is worse,
    whichever way the metric points.
    """
    sign = 1 if overall["better"] == "higher" else -1
    large = {label: g["metrics"][metric] for label, g in groups.items() if not g["metrics"][metric]["small"]}

    def lowest(values: Mapping[str, float]) -> Entry | None:
        """The group of the smallest gain, if two have a value."""
        defined = {label: value for label, value in values.items() if value == value}
        if len(defined) < 2:
            return None
        group = min(defined, key=lambda label: sign * defined[label])
        return {"group": group, "value": defined[group], "n": large[group]["n"]}

    runs: dict[str, Entry | None] = {}
    for run, whole in overall["runs"].items():
        found = lowest({label: entry["runs"][run]["value"] for label, entry in large.items()})
        runs[run] = found and {**found, "gap": sign * (whole["value"] - found["value"])}
    pairs = []
    for i, one in enumerate(overall["pairs"]):
        if found := lowest({label: entry["pairs"][i]["difference"] for label, entry in large.items()}):
            pair = {"a": one["a"], "b": one["b"], "group": found["group"]}
            pairs.append({**pair, "difference": found["value"], "n": found["n"]})
    return {"runs": runs, "pairs": pairs}
