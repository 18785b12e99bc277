"""``radbench compare``: several scored runs on the samples they share, every difference under the same resamples.

What :func:`compare` returns, JSON-able, numbers rounded, None where undefined::

    runs      [{label, path, model, partial, seed, draws}] in the order given
    level, resamples, seed                       of the first run, used for all
    tasks_left_out  {task: why}                  not in all runs, other versions, no common sample
    notes     [text]                             what a reader must know, in plain words
    tasks     {task: {
      access, regimes {run: regime}, labels [text], clustered, n (common samples), rows (n x draws), clusters,
      left_out {run: samples not compared}, lacking {run: those of them with fewer draws than the run's others},
      clusters_differ (a run divides the samples into other clusters than the first),
      metrics_left_out {metric: why}, comparisons (Holm's family),
      metrics {metric: {shown (what tables call it), better, signature, n (samples that enter the scores of all runs),
        runs  {run: {value, low, high, defined, n (samples that enter its score), method where not percentile;
               of three and more runs also rank, rank_group, rank_low, rank_high}},
        pairs [{a, b, difference (a minus b), low, high, p, p_holm, defined, identical,
                wins, ties, losses, unscored, both_right, both_wrong, only_a, only_b}]}},
      strata  {spec: {comparisons, groups {group: {n, clusters, metrics {metric: {n, small, runs, pairs}}}},
                      worst {metric: {runs {run: {group, value, gap, n}}, pairs [{a, b, group, difference, n}]}}}},
      strata_left_out {spec: why}}}

``wins`` are samples that a scores better than b, ``ties`` those whose scores differ by at most 1e-12, ``unscored`` those
without a score in one of the two; a sample's score is the mean of its draws'. All None where the metric has no score of a
single sample. ``both_right`` and the like are None unless every score of both runs is 0 or 1.

A group is ``small`` where fewer than 30 samples or 10 clusters enter a score of both runs: not tested (p, p_holm and
rank_group None) and never the worst. ``gap`` is how much worse the worst group is than all samples, positive where worse
whichever way the metric points.

``p_holm`` is corrected over all comparisons of the task (metrics x pairs; in strata over those of the axis, small groups
left out). ``rank_group`` is 1 + the number of runs significantly better on the metric, Holm over the run's own
comparisons. p is a test of its own (:func:`radbench.analysis.inference.paired_p`), at least ``2 ** (1 - clusters)``:
beside a percentile interval it may fall on the other side of 0.05.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from radbench.analysis.compare_metrics import Entry, Setting, correct, metrics_of
from radbench.analysis.compare_notes import labels_of, notes_of
from radbench.analysis.compare_strata import NO_AXIS, groups_along, strata_of
from radbench.analysis.naming import chosen
from radbench.analysis.pairing import ScoredRun, common_tasks, comparable_metrics, open_runs, pair
from radbench.errors import ConfigError, DataError, nearest
from radbench.public import public_name, told_spec
from radbench.scoring import STRICTER, rounded


def compare(
    paths: Sequence[str | Path],
    tasks: Sequence[str] = (),
    metrics: Sequence[str] = (),
    axes: Sequence[str] = (),
) -> Entry:
    """Compare scored runs on their common tasks, metrics and samples; see the module for what is returned.

    ``tasks`` are names or patterns such as ``phantom/*``, ``metrics`` specs; all where none is named. ``axes`` are subgroup axes,
    with edges or without (``age:18/40/65``). Raises :class:`ConfigError` for unknown names, fewer than two runs and a
    run given twice, :class:`DataError` where a run is not scored, its statistics are damaged or nothing is common.
    """
    runs = _opened([Path(path) for path in paths])
    shared, left_out = common_tasks(runs)
    names = _chosen_tasks(tasks, shared, left_out)
    known = {metric for run in runs for task in names for metric in run.results["tasks"][task]["metrics"]}
    wanted = frozenset(chosen(metrics, known, "metric"))
    _check_axes(axes, runs, names)
    first = runs[0].results
    setting = Setting(tuple(r.label for r in runs), first["resamples"], first["seed"], first["level"])
    found: dict[str, Entry] = {}
    for name in names:
        entry = _task(runs, name, wanted, axes, setting)
        if isinstance(entry, str):
            left_out[name] = entry
        else:
            found[name] = entry
    if not found:
        reasons = "; ".join(f"{name}: {left_out[name]}" for name in names[:3])
        raise DataError(f"nothing to compare: {reasons}", remedy="radbench report RUN shows what a run holds")
    _check_cut(axes, found)
    out: Entry = {
        "runs": [_run_entry(run) for run in runs],
        "level": setting.level,
        "resamples": setting.resamples,
        "seed": setting.seed,
        "tasks_left_out": {k: v for k, v in left_out.items() if not tasks or k in names},
        "tasks": found,
    }
    out["notes"] = notes_of(out, runs)
    result: Entry = rounded(out)
    return result


# --- what is asked for ---


def _opened(paths: Sequence[Path]) -> tuple[ScoredRun, ...]:
    if len(paths) < 2:
        raise ConfigError(f"{len(paths)} run given, expected two or more", remedy="radbench compare RUN_A RUN_B")
    places = [path.resolve() for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise ConfigError(f"{path} is given twice: a run does not differ from itself", remedy="name each run once")
    runs = open_runs(paths)
    for run in runs:
        run.manifest  # noqa: B018 - a bundle, whose ids are keyed, says so here
    return runs


def _chosen_tasks(asked: Sequence[str], shared: Sequence[str], left_out: Mapping[str, str]) -> list[str]:
    for name in asked:
        if name in left_out:
            raise DataError(f"task '{name}' cannot be compared: {left_out[name]}", remedy="choose another with --tasks")
    wanted = chosen(asked, shared, "common task")
    return [name for name in shared if name in wanted]


def _check_axes(specs: Sequence[str], runs: Sequence[ScoredRun], tasks: Sequence[str]) -> None:
    """Raise :class:`ConfigError` for an axis that no task has, before anything is computed."""
    if not specs:
        return
    known = {axis for task in tasks for axis in runs[0].axes(task)}
    for spec in specs:
        axis = spec.partition(":")[0]
        if axis not in known:
            raise ConfigError(
                f"--by: no task has an axis '{axis}': {nearest(axis, known)}",
                remedy="an axis is one of the task's strata, or question_length, reference_length, n_images",
            )


def _check_cut(specs: Sequence[str], tasks: Mapping[str, Entry]) -> None:
    """Raise :class:`ConfigError` for an axis along which no task could be divided."""
    for spec in specs:
        reasons = [task["strata_left_out"].get(spec) for task in tasks.values()]
        if all(reasons):
            told = next((why for why in reasons if why != NO_AXIS), NO_AXIS)
            raise ConfigError(f"--by {spec}: {told}", remedy="choose another axis or other edges")


# --- a run, a task ---


def _run_entry(run: ScoredRun) -> Entry:
    identity = run.manifest["identity"]
    return {
        "label": run.label,
        "path": str(run.path),
        "model": public_name(str(run.results["model"].get("name", "?"))),
        "partial": run.results["partial"],
        "seed": run.results["seed"],
        "draws": identity.get("draws", 1),
    }


def _task(
    runs: Sequence[ScoredRun], name: str, wanted: frozenset[str], axes: Sequence[str], setting: Setting
) -> Entry | str:
    """All comparisons of a task, or why there are none."""
    shared, left_out = comparable_metrics(runs, name)
    measured = [metric for metric in shared if metric in wanted]
    if not measured:
        other = {m: why for m, why in left_out.items() if m in wanted}
        return "; ".join(f"{m}: {why}" for m, why in other.items()) or "it has none of the metrics asked for"
    paired = pair([run.statistics(name) for run in runs], measured)
    if paired.n == 0:
        return "the runs have no sample in common"
    results = [run.results["tasks"][name] for run in runs]
    regimes = {run.label: run.regime(name) for run in runs}
    entry: Entry = {
        "access": max((r["access"] for r in results), key=STRICTER.index),
        "regimes": regimes,
        "labels": labels_of(runs, name),
        "clustered": all(r["clustered"] for r in results),
        "n": paired.samples.count,
        "rows": paired.n,
        "clusters": paired.clusters.count,
        "left_out": dict(zip(setting.labels, paired.left_out, strict=True)),
        "lacking": dict(zip(setting.labels, paired.lacking, strict=True)),
        "clusters_differ": paired.clusters_differ,
        "metrics_left_out": left_out,
        "metrics": metrics_of(paired, measured, setting),
        "strata": {},
        "strata_left_out": {},
    }
    for metric, own in entry["metrics"].items():
        own["shown"] = told_spec(metric, name, results[0])
    entry["comparisons"] = correct(entry["metrics"].values())
    for spec in axes:
        groups = groups_along(paired, spec)
        if isinstance(groups, str):
            entry["strata_left_out"][spec] = groups
        else:
            entry["strata"][spec] = strata_of(paired, groups, entry["metrics"], setting)
    return entry
