"""What a run is made of: its configuration, the resolved tasks and model, and what identifies it."""

from __future__ import annotations

import json
import logging
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from radbench import __version__
from radbench.dataset import DataLocations, Reader
from radbench.endpoints import check_endpoint
from radbench.errors import ConfigError, DataError, nearest
from radbench.prompting import Renderer, support_of
from radbench.records import Fitted, Model, Sample, Told
from radbench.registry import all_groups, all_tasks, anchored_model, find_metric, find_model, find_tasks, is_pattern
from radbench.task import Group, Parser, Task

log = logging.getLogger("radbench")

LEAK_PICTURES = 2000
_RECORDED_PACKAGES = (
    "numpy",
    "pillow",
    "pydicom",
    "nibabel",
    "pynrrd",
    "torch",
    "torchvision",
    "transformers",
    "accelerate",
    "peft",
    "vllm",
)


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything ``radbench run`` takes; stored in the manifest so that ``resume`` and ``--like`` repeat it."""

    model: str
    tasks: tuple[str, ...]
    data: tuple[str, ...] = ()
    seed: int = 0
    limit: int | None = None
    draws: int = 1
    resamples: int = 1000
    level: float = 0.95
    allow_restricted_endpoint: str | None = None

    def __post_init__(self) -> None:
        """Raise :class:`ConfigError` on a number out of range."""
        whole = {"seed": (self.seed, 0), "draws": (self.draws, 1), "resamples": (self.resamples, 1)}
        if self.limit is not None:
            whole["limit"] = (self.limit, 1)
        for name, (value, least) in whole.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"{name} is {value!r}, expected a whole number of at least {least}")
        if not 0 < self.level < 1:
            raise ConfigError(f"level is {self.level!r}, expected a number between 0 and 1, such as 0.95")

    def anchored(self) -> RunConfig:
        """With absolute paths of model, data and task files, so that a run goes on from any working directory."""
        tasks = tuple(str(Path(t).resolve()) if t.endswith((".yaml", ".yml")) else t for t in self.tasks)
        return replace(
            self, model=anchored_model(self.model), tasks=tasks, data=tuple(DataLocations.parse(self.data).as_options())
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        return cls(**{**values, "tasks": tuple(values["tasks"]), "data": tuple(values["data"])})


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One task of a run with its reader opened and its renderer keyed to the model.

    ``support`` is the digest of what a fitted model learned from, None for other models; ``pictures`` whether the first
    sample has any.
    """

    task: Task
    reader: Reader
    renderer: Renderer
    parser: Parser
    limit: int | None
    support: str | None
    by_sample: bool
    text_form: bool
    pictures: bool

    def samples(self) -> Iterator[Sample]:
        """The samples of the run, in the task's order; the limit applied."""
        return islice(self.reader.samples(self.task.split), self.limit)

    def size(self) -> int:
        """How many answers the task takes: from the reader where it knows, else by listing the samples."""
        count = getattr(self.reader, "count", None)
        if count is None:
            return sum(1 for _ in self.samples()) * self.renderer.draws
        total: int = count(self.task.split)
        return min(total, self.limit or total) * self.renderer.draws

    def identity(self) -> dict[str, Any]:
        """What must be equal for answers of the task to belong together."""
        return {
            **self.task.describe(),
            "data": self.reader.fingerprint(),
            "support_digest": self.support,
            "by_sample": self.by_sample,
        } | ({"text_form": True} if self.text_form else {})


@dataclass(frozen=True, slots=True)
class Plan:
    """A run ready to start, or to be scored: then ``model`` is None and its fingerprint the manifest's."""

    config: RunConfig
    model: Model | None
    tasks: tuple[TaskPlan, ...]
    groups: tuple[Group, ...]
    model_fingerprint: Mapping[str, str]
    skipped: Mapping[str, str] = field(default_factory=dict)  # task of a pattern -> why its data cannot be read

    def identity(self) -> dict[str, Any]:
        """What must be equal for answers to belong together."""
        return {
            "model": dict(self.model_fingerprint),
            "tasks": {p.task.name: p.identity() for p in self.tasks},
            "seed": self.config.seed,
            "limit": self.config.limit,
            "draws": self.config.draws,
        }

    def leakage(self) -> dict[str, dict[str, int]]:
        """For a model that looks at a support split: what of it is in the test split too, by task; each find is logged.

        A seeded choice of at most :data:`LEAK_PICTURES` distinct pictures a side is compared.
        """
        if self.model is None or "examples" not in self.model.capabilities:
            return {}
        from radbench.care.leakage import task_leakage

        found: dict[str, dict[str, int]] = {}
        for plan in self.tasks:
            leakage = task_leakage(plan.task, plan.reader, LEAK_PICTURES, self.config.seed)
            for leak in leakage.found if leakage else ():
                found.setdefault(plan.task.name, {})[leak.kind] = leak.affected
                shown = f", such as {leak.examples[0]}" if leak.examples else ""
                log.warning(
                    "task %s: %s in the support split and the test split: %d of %d samples compared%s",
                    plan.task.name, leak.kind, leak.affected, leak.compared, shown,
                )  # fmt: skip
        return found

    def manifest(self) -> dict[str, Any]:
        """Provenance: configuration, versions, machine, the state of the working directory's git repository."""
        from datetime import datetime

        return {
            "radbench": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "config": self.config.as_dict(),
            "access": {p.task.name: p.task.access for p in self.tasks},
            "skipped": dict(self.skipped),
            "leakage": self.leakage(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": _package_versions(),
            "git": _git_state(),
        }


def make_plan(config: RunConfig, model: Model | Callable[..., Any] | None = None) -> Plan:
    """Resolve names, open readers, fit the model where it learns from a support split.

    ``model`` overrides the configuration's spec with a Python object. Raises :class:`ConfigError` on unknown names and
    :class:`DataError` where a dataset is missing or empty.
    """
    tasks = _resolve_tasks(config)
    resolved = find_model(config.model if model is None else model)
    fingerprint = resolved.fingerprint()
    if not isinstance(fingerprint, Mapping):
        raise ConfigError(
            f"model '{config.model}': fingerprint() gave {type(fingerprint).__name__}, expected a mapping of texts"
        )
    fingerprint = {str(k): str(v) for k, v in fingerprint.items()}
    readers, skipped = _opened(tasks, config)
    named = _asked_by_name(config) if len(tasks) > 1 else {t.name for t in tasks}
    plans = []
    for opened in readers:
        task = opened.task
        try:
            plans.append(_plan_for_model(opened, resolved, fingerprint, config))
        except (ConfigError, DataError) as error:  # no support split to learn from, or one that cannot be read
            if task.name in named:
                raise
            skipped[task.name] = str(error)
            log.warning("%s is not run: %s", task.name, error.message)
    if not plans:
        raise ConfigError(f"model '{config.model}' can run none of the tasks; {next(iter(skipped.values()))}")
    run = [plan.task for plan in plans]
    config = replace(config, tasks=_specs(config.tasks, run))
    return Plan(config, resolved, tuple(plans), _groups_of(run), fingerprint, skipped)


def _plan_for_model(opened: Opened, model: Model, fingerprint: Mapping[str, str], config: RunConfig) -> TaskPlan:
    """A task's plan, the model fitted to its support split or told its truth where it asks for that."""
    task, reader, _ = opened
    check_endpoint(model, task, reader, config.allow_restricted_endpoint)
    digest, held_out = None, False
    if isinstance(model, Fitted):
        support = support_of(task, reader, config.seed)
        model.fit(task, support)
        digest, held_out = support.digest, support.held_out is not None
    if isinstance(model, Told):
        model.tell(task, reader.samples(task.split))
    by_sample = held_out or "by_sample" in model.capabilities
    text_form = bool(task.text_form) and task.form not in model.capabilities
    return _plan_task(opened, fingerprint, digest, by_sample, text_form, config)


def _specs(asked: tuple[str, ...], opened: list[Task]) -> tuple[str, ...]:
    """The tasks by name and path, patterns replaced by the tasks they found: a later session has the same ones."""
    files = tuple(a for a in asked if a.endswith((".yaml", ".yml")))
    known = all_tasks()
    return (*(t.spec for t in opened if t.name in known), *files)


def scoring_plan(manifest: Mapping[str, Any]) -> Plan:
    """The plan of a run that only needs scoring: tasks and data from its manifest, no model."""
    config = RunConfig.from_dict(manifest["config"])
    tasks = _resolve_tasks(config)
    identity = manifest["identity"]
    fingerprint = identity["model"]
    plans = []
    for opened in _opened(tasks, config)[0]:
        stored = identity["tasks"].get(opened.task.name, {})
        by_sample, text_form = bool(stored.get("by_sample")), bool(stored.get("text_form"))
        plans.append(_plan_task(opened, fingerprint, stored.get("support_digest"), by_sample, text_form, config))
    return Plan(config, None, tuple(plans), _groups_of(tasks), fingerprint, manifest.get("skipped", {}))


def _resolve_tasks(config: RunConfig) -> list[Task]:
    tasks = find_tasks(config.tasks)
    if not tasks:
        raise ConfigError("no task given", remedy="radbench list tasks")
    for task in tasks:
        for name in task.metrics:
            find_metric(name)  # a misspelt metric is known before a single question is asked
    return tasks


class Opened(NamedTuple):
    """A task whose data are there. ``first`` is kept, since some readers look at a whole table for it."""

    task: Task
    reader: Reader
    first: Sample


def _opened(tasks: list[Task], config: RunConfig) -> tuple[list[Opened], dict[str, str]]:
    """Every task with its reader: all datasets are there before anything is asked.

    A task that only a pattern asks for is passed over where its data cannot be read, and why is kept.
    """
    locations = DataLocations.parse(config.data)
    _check_data_names(locations, tasks)
    named = _asked_by_name(config)
    opened: list[Opened] = []
    skipped: dict[str, str] = {}
    for task in tasks:
        try:
            reader = task.dataset.open(locations)
            first = next(iter(reader.samples(task.split)), None)
            if first is None:
                place = f" at {locations.find(task.dataset)}" if task.dataset.folder else ""
                raise DataError(
                    f"dataset '{task.dataset.name}'{place} has no sample in split '{task.split}'",
                    remedy=f"radbench describe {task.name}",
                )
            opened.append(Opened(task, reader, first))
        except DataError as error:
            if task.name in named or len(tasks) == 1:
                raise
            skipped[task.name] = str(error)
            log.info("%s is not run: %s", task.name, error)
    if skipped and opened:
        log.warning(
            "%d of %d tasks are not run, their data cannot be read: %s", len(skipped), len(tasks), ", ".join(skipped)
        )
    if not opened:
        raise DataError(
            f"none of the {len(tasks)} tasks has its data; the first, {tasks[0].name}: {skipped[tasks[0].name]}",
            remedy="radbench doctor --data DIR, or radbench data list",
        )
    return opened, skipped


def _asked_by_name(config: RunConfig) -> set[str]:
    """Tasks asked for by their own name or file: what is wrong with one of them ends the run."""
    return {t.name for t in find_tasks(s for s in config.tasks if not is_pattern(s))}


def _check_data_names(locations: DataLocations, tasks: list[Task]) -> None:
    """Raise :class:`ConfigError` where --data names a dataset that no task has."""
    known: set[str] = set()
    for task in (*all_tasks().values(), *tasks):
        others = [c["dataset"] for o in task.options for c in o.changes.values() if "dataset" in c]
        for dataset in (task.dataset, *others):
            known.update((dataset.name, *(d.name for d in dataset.companions.values())))
    for name in locations.named:
        if name not in known:
            raise ConfigError(
                f"--data {name}=...: no dataset is called '{name}': {nearest(name, known)}", remedy="radbench data list"
            )


def _groups_of(tasks: list[Task]) -> tuple[Group, ...]:
    names = {t.name for t in tasks}
    return tuple(g for g in all_groups() if names.issuperset(g.members))


def _plan_task(
    opened: Opened,
    fingerprint: Mapping[str, str],
    support: str | None,
    by_sample: bool,
    text_form: bool,
    config: RunConfig,
) -> TaskPlan:
    task, reader, first = opened
    _check_metrics(task, first)
    base = json.dumps([dict(fingerprint), support], sort_keys=True).encode()
    renderer = Renderer(task, config.seed, base, by_sample, config.draws, text_form)
    pictures = bool(first.images)
    return TaskPlan(task, reader, renderer, task.parse(), config.limit, support, by_sample, text_form, pictures)


def _check_metrics(task: Task, first: Sample) -> None:
    """Raise :class:`ConfigError` where a metric cannot score the task's kind of target."""
    target = first.targets[task.target]
    for name in task.metrics:
        accepted = find_metric(name).accepts
        if not isinstance(target, accepted):
            kinds = " or ".join(t.__name__ for t in accepted)
            raise ConfigError(
                f"metric '{name}' scores {kinds} targets; task '{task.name}' has {type(target).__name__}",
                remedy="radbench list metrics",
            )


def _package_versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in _RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git_state() -> dict[str, Any] | None:
    """Commit and dirtiness of the working directory's repository; None outside one or without git."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True)
        status = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit.stdout.strip(), "dirty": bool(status.stdout.strip()), "folder": Path.cwd().name}
