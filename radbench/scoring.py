"""The scoring pass: answers to statistics, statistics to ``results.json``. It needs no model."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard, get_args

import numpy as np

from radbench import __version__
from radbench.answers import RETRIED, AnswerIndex
from radbench.errors import DataError, ImageError, shown
from radbench.folder import RESULTS, RunFolder
from radbench.measuring import Measuring, ScoredMetric
from radbench.metrics.base import Additive
from radbench.metrics.base import said as said_text
from radbench.metrics.findings.diversity import CollapseWatch
from radbench.plan import Plan, TaskPlan
from radbench.records import Access, Answer, Labels, Mask, Prediction, Sample, Target, Text
from radbench.registry import find_metric
from radbench.runner import BATCH, sample_batches
from radbench.statfiles import load_statistics, save_statistics, stats_file
from radbench.statistics import Clusters, Estimate, Measure, clusters_of, estimate, macro, pool
from radbench.strata import Strata, sizes_of
from radbench.task import Group, Task

log = logging.getLogger("radbench")

MASK_BATCH = 4  # a volume's mask may take a hundred megabytes
REPORT_WORDS = 8  # a shorter reference is an answer, and answers may well be alike
STRICTER: tuple[str, ...] = get_args(Access)  # from open to private
SUBGROUP_VALUES = 60  # an axis with more values than this is a listing, not a subgroup analysis


@dataclass(frozen=True, slots=True)
class Measured:
    """The rows of one task's samples: what a group needs of its members."""

    plan: TaskPlan
    ids: np.ndarray  # (n,) bytes
    clusters: np.ndarray | None  # (n,) bytes, None where every sample stands alone
    metrics: tuple[ScoredMetric, ...]

    @property
    def n(self) -> int:
        return len(self.ids)

    def resampling(self) -> Clusters:
        if self.clusters is None:
            return Clusters(np.arange(self.n), self.n, ((0, self.n),))
        return clusters_of(self.clusters)


@dataclass(frozen=True, slots=True)
class ScoredTask(Measured):
    """The statistics of one task: what ``stats/<task>/`` holds."""

    strata: Mapping[str, tuple[tuple[str, ...], np.ndarray]]  # axis -> values, (n,) codes, -1 where absent
    sizes: Mapping[str, tuple[tuple[str, ...], np.ndarray]]  # axes every sample has: how long, how many pictures
    access: str
    classes: Mapping[str, int]
    failures: Counter[str]
    unanswered: int
    unscorable: int  # samples whose own reference cannot be read
    unavailable: Mapping[str, str]  # metric -> what it lacks and the command that brings it
    broken: Mapping[str, str]  # metric -> how it failed on these data
    collapse: str | None  # what suggests that the model writes one template

    @property
    def complete(self) -> bool:
        """Whether every sample is answered and every metric that could be computed was."""
        settled = self.unanswered == 0 and self.unscorable == 0 and not any(self.failures[kind] for kind in RETRIED)
        return settled and not self.broken


@dataclass(frozen=True, slots=True)
class TaskResult:
    """A scored task: its entry in ``results.json``, whether nothing is missing, and its rows for its groups."""

    entry: dict[str, Any]
    complete: bool
    rows: Callable[[], Measured]  # only groups ask for them: they may lie on disk


TaskResults = Callable[[Plan, RunFolder], Iterable[TaskResult | DataError]]


def results_here(plan: Plan, folder: RunFolder) -> Iterator[TaskResult | DataError]:
    """Each task of the plan scored in this process, in order; an error where its data cannot be read."""
    with AnswerIndex(folder) as index:
        for task_plan in plan.tasks:
            try:
                yield scored_result(plan, task_plan, folder, index)
            except DataError as error:
                yield error


def scored_result(plan: Plan, task_plan: TaskPlan, folder: RunFolder, index: AnswerIndex) -> TaskResult:
    """Score one task and write its ``stats/``. Raises :class:`DataError` where its data cannot be read."""
    task = score_task(task_plan, index)
    _save(folder, task)
    entry = summarise(task, plan.config.resamples, plan.config.seed, plan.config.level)
    return TaskResult(entry, task.complete, lambda: task)


def measured_again(plan: TaskPlan, folder: RunFolder, metrics: Sequence[str]) -> Measured:
    """The rows of a task that another process scored, read from its ``stats/``."""
    found = load_statistics(folder, plan.task.name, metrics)
    alone = plan.renderer.draws == 1 and np.array_equal(found.ids, found.clusters)
    scored = tuple(ScoredMetric(name, find_metric(name), m.state, m.rows) for name, m in found.measures.items())
    return Measured(plan, found.ids, None if alone else found.clusters, scored)


def score(plan: Plan, folder: RunFolder, task_results: TaskResults = results_here) -> dict[str, Any]:
    """Score every task, write ``stats/`` and ``results.json``, return the results.

    ``task_results`` scores the plan's tasks, here or elsewhere, and gives them in the plan's order.
    """
    tasks: dict[str, Any] = {}
    rows: dict[str, Callable[[], Measured]] = {}
    unreadable: dict[str, str] = {}
    complete = True
    for task_plan, result in zip(plan.tasks, task_results(plan, folder), strict=True):
        name = task_plan.task.name
        if isinstance(result, DataError):
            if len(plan.tasks) == 1:
                raise result
            unreadable[name] = str(result)
            complete = False
            continue
        tasks[name] = result.entry
        complete &= result.complete
        if any(name in g.members for g in plan.groups):
            rows[name] = result.rows
    results = {
        "radbench": __version__,
        "model": dict(plan.model_fingerprint),
        "seed": plan.config.seed,
        "resamples": plan.config.resamples,
        "level": plan.config.level,
        "complete": complete,
        "partial": not complete or plan.config.limit is not None,
        "skipped": dict(plan.skipped),
        "unreadable": unreadable,
        "tasks": tasks,
        "groups": {g.name: _group(g, rows, plan) for g in plan.groups if rows.keys() >= set(g.members)},
    }
    results = rounded(results)
    _warn_of_lost_values(folder, tasks)
    folder.write_atomically(RESULTS, json.dumps(results, indent=1, sort_keys=True) + "\n")
    _remember(folder, plan, results)
    return results


def _warn_of_lost_values(folder: RunFolder, tasks: Mapping[str, Any]) -> None:
    """Say so where an earlier scoring had a value that this one cannot compute, for want of weights for instance."""
    try:
        earlier = json.loads((folder.path / RESULTS).read_text())["tasks"]
    except (OSError, ValueError, KeyError):
        return
    for name, entry in tasks.items():
        had = earlier.get(name, {}).get("metrics", {})
        for metric in (*entry["unavailable"], *entry["broken"]):
            if metric in had:
                file = stats_file(folder, name, metric)
                log.warning(
                    "task %s: %s had the value %s before; its rows are still in %s",
                    name,
                    metric,
                    had[metric]["value"],
                    file,
                )


def score_task(plan: TaskPlan, index: AnswerIndex) -> ScoredTask:
    """Statistics of one task from its answers; samples without an answer are left out and counted."""
    task = plan.task
    metrics = Measuring(task.metrics, lambda: _targets(plan), task.choices, f"task {task.name}", task.access)
    ids: list[np.ndarray] = []
    clusters: list[np.ndarray] = []
    own_cluster = plan.renderer.draws == 1  # several draws of a sample are one cluster
    strata, sizes = Strata(), Strata()
    access: set[str] = set()
    classes: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    unanswered = unscorable = 0
    collapse = CollapseWatch()
    for samples, answers in _answers(plan, index):
        kept = [(s, a) for s, a in zip(samples, answers, strict=True) if a is not None]
        unanswered += len(samples) - len(kept)
        readable = [(s, a) for s, a in kept if _readable(s, task)]
        unscorable += len(kept) - len(readable)
        if not readable:
            continue
        answered, said = [s for s, _ in readable], [_parse(plan, a, s) for s, a in readable]
        failures.update(p.failure.kind for p in said if p.failure is not None)
        targets = [_target(s, task) for s in answered]
        classes.update(name for t in targets if isinstance(t, Labels) for name in t.names)
        metrics.add(said, targets)
        reports = [(said_text(p), t.first) for p, t in zip(said, targets, strict=True) if _is_report(t)]
        if reports:
            collapse.add(*zip(*reports, strict=True))
        ids.append(_as_bytes([s.id for s in answered]))
        own_cluster &= all(s.cluster is None or s.cluster == s.id for s in answered)
        clusters.append(_as_bytes([s.cluster or s.id for s in answered]))
        strata.add([s.strata for s in answered])
        sizes.add([sizes_of(s, t) for s, t in zip(answered, targets, strict=True)])
        access.update(s.access or task.access for s in answered)
    empty = np.array([], "S1")
    return ScoredTask(
        plan,
        np.concatenate(ids) if ids else empty,
        None if own_cluster else np.concatenate(clusters),
        metrics.finish(),
        strata.finish(),
        sizes.finish(),
        max(access, key=STRICTER.index, default=task.access),
        dict(sorted(classes.items())),
        failures,
        unanswered,
        unscorable,
        metrics.unavailable,
        metrics.failed,
        collapse.warning(),
    )


def _is_report(target: Target) -> TypeGuard[Text]:
    return isinstance(target, Text) and target.first.count(" ") >= REPORT_WORDS - 1


def _targets(plan: TaskPlan) -> Iterator[Target]:
    return (_target(s, plan.task) for s in plan.samples())


def _target(sample: Sample, task: Task) -> Target:
    try:
        return sample.targets[task.target]
    except KeyError:
        raise DataError(
            f"task '{task.name}': sample {shown(sample.id, task.access)} has no target '{task.target}'"
            f" but {', '.join(sorted(sample.targets))}"
        ) from None


def _readable(sample: Sample, task: Task) -> bool:
    """Whether the sample's reference can be read; a mask that cannot is logged and the sample left out, counted."""
    target = _target(sample, task)
    if isinstance(target, Mask):
        try:
            target.load()
        except ImageError as error:
            log.warning("task %s: a reference mask is unusable: %s", task.name, shown(error.message, task.access, 300))
            return False
    return True


def _as_bytes(texts: Sequence[str]) -> np.ndarray:
    return np.array([t.encode("utf-8", "surrogatepass") for t in texts])


def _answers(plan: TaskPlan, index: AnswerIndex) -> Iterator[tuple[list[Sample], list[Answer | None]]]:
    """Batches of samples (each ``draws`` times) with their answers, None where there is none."""
    key, draws = plan.renderer.key, range(plan.renderer.draws)
    for batch in sample_batches(plan, MASK_BATCH if plan.task.form == "mask" else BATCH):
        samples = batch if len(draws) == 1 else [s for s in batch for _ in draws]
        yield samples, index.answers([key(s, d) for s in batch for d in draws])


def _parse(plan: TaskPlan, answer: Answer, sample: Sample) -> Prediction:
    if answer.failure is not None:
        return Prediction(None, answer.failure)
    return plan.parser(answer, sample, plan.task)


def summarise(task: ScoredTask, resamples: int, seed: int, level: float) -> dict[str, Any]:
    """The entry of one task in ``results.json``: values, intervals, counts, subgroups."""
    clusters = task.resampling()
    measures: dict[tuple[str, str, str], Measure] = {}
    counts: dict[tuple[str, str], int] = {}
    for m in task.metrics:
        measures["", "", m.name] = m.measure
    for axis, (values, codes) in task.strata.items():
        if len(values) > SUBGROUP_VALUES:
            continue
        for code, value in enumerate(values):
            keep = codes == code
            counts[axis, value] = int(keep.sum())
            for m in task.metrics:
                measures[axis, value, m.name] = Measure(m.metric, m.state, m.rows, keep)
    estimates = estimate(measures, clusters, resamples, seed, level)

    def entry(axis: str, value: str, m: ScoredMetric) -> dict[str, Any]:
        return {
            **as_entry(estimates[axis, value, m.name]),
            "n": m.metric.counted(m.rows),
            "better": m.metric.better,
            "signature": m.metric.signature(m.state),
        }

    subgroups: dict[str, Any] = {}
    for axis, value in counts:
        subgroups.setdefault(axis, {})[value] = {
            "n": counts[axis, value],
            "metrics": {m.name: as_entry(estimates[axis, value, m.name]) for m in task.metrics},
        }
    return {
        "version": task.plan.task.version,
        "title": task.plan.task.title,
        "access": task.access,
        "regime": task.plan.task.regime,
        "n": task.n,
        "unanswered": task.unanswered,
        "unscorable": task.unscorable,
        "clusters": clusters.count,
        "clustered": task.plan.task.clustered,
        "failures": dict(sorted(task.failures.items())),
        "classes": dict(task.classes),
        "metrics": {m.name: entry("", "", m) for m in task.metrics},
        "unavailable": dict(task.unavailable),
        "broken": dict(task.broken),
        "collapse": task.collapse,
        "subgroups": subgroups,
    }


def as_entry(e: Estimate) -> dict[str, Any]:
    """An estimate as ``results.json`` has it; ``method`` is left out where it is the usual percentile interval."""
    entry = {"value": e.value, "low": e.low, "high": e.high, "defined": e.defined}
    return entry if e.method == "percentile" else {**entry, "method": e.method}


def _group(group: Group, rows: Mapping[str, Callable[[], Measured]], plan: Plan) -> dict[str, Any]:
    members = [rows[name]() for name in group.members]
    out: dict[str, Any] = {
        "clustered": all(m.plan.task.clustered for m in members),
        "how": group.how,
        "members": list(group.members),
        "n": sum(m.n for m in members),
        "metrics": {},
    }
    c = plan.config
    for name in group.metrics:
        scored = [m for task in members for m in task.metrics if m.name == name]
        if len(scored) < len(members):
            continue  # unavailable for a member: a group's value is over all of them
        if group.how == "macro":
            value = macro([(m.measure, t.resampling()) for m, t in zip(scored, members, strict=True)],
                          c.resamples, c.seed, c.level)  # fmt: skip
        else:
            value = _pooled(scored, members, plan)
        out["metrics"][name] = {**as_entry(value), "better": scored[0].metric.better}
    return out


def _pooled(scored: Sequence[ScoredMetric], members: Sequence[Measured], plan: Plan) -> Estimate:
    """All samples of the members together; patients that two tasks of one dataset share stay one cluster."""
    parts = []
    for m in scored:
        if not isinstance(m.metric, Additive):
            raise DataError(f"metric '{m.name}' cannot be pooled over tasks; use a macro group")
        parts.append((m.measure, m.metric.columns(m.state)))
    names = np.concatenate([t.ids if t.clusters is None else t.clusters for t in members])
    datasets = [t.plan.task.dataset.name for t in members for _ in range(t.n)]
    c = plan.config
    return estimate({0: pool(parts)}, clusters_of(names, datasets), c.resamples, c.seed, c.level)[0]


def rounded(value: Any) -> Any:
    """Twelve significant digits: beyond the metrics' 1e-9, short of what a changed summation order could touch."""
    if isinstance(value, float):
        return None if value != value else float(f"{value:.12g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return value


def _save(folder: RunFolder, task: ScoredTask) -> None:
    clusters = task.ids if task.clusters is None else task.clusters
    axes = {**task.sizes, **task.strata}
    save_statistics(folder, task.plan.task.name, task.ids, clusters, axes, task.metrics)


# --- what a finished run need not do again ---


def _answers_state(folder: RunFolder) -> dict[str, list[int]]:
    return {p.name: [(s := p.stat()).st_size, s.st_mtime_ns] for p in folder.answer_files()}


def _state(folder: RunFolder, plan: Plan) -> dict[str, Any]:
    """What results depend on besides the run's identity."""
    return {
        "radbench": __version__,
        "answers": _answers_state(folder),
        "resamples": plan.config.resamples,
        "level": plan.config.level,
        "metrics": {p.task.name: {m: find_metric(m).unavailable() for m in p.task.metrics} for p in plan.tasks},
    }


def _remember(folder: RunFolder, plan: Plan, results: Mapping[str, Any]) -> None:
    state = {**_state(folder, plan), "complete": results["complete"]}
    folder.write_atomically("stats/state.json", json.dumps(state) + "\n")


def settled_results(folder: RunFolder, plan: Plan) -> dict[str, Any] | None:
    """The results of a complete run whose answers and scoring are as they were, else None."""
    try:
        state = json.loads((folder.path / "stats" / "state.json").read_text())
        results: dict[str, Any] = json.loads((folder.path / RESULTS).read_text())
    except (OSError, json.JSONDecodeError):
        return None
    return results if state == {**_state(folder, plan), "complete": True} else None
