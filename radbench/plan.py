"""What a run is made of: its configuration, the resolved tasks and model, and what identifies it."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import Any

from radbench import __version__
from radbench.errors import ConfigError, DataError
from radbench.records import Fitted, Model, Sample, Told
from radbench.registry import all_groups, find_metric, find_model, find_tasks
from radbench.task import DataLocations, Group, Parser, Reader, Renderer, Support, Task, support_of

_RECORDED_PACKAGES = ("numpy", "pillow", "pydicom", "nibabel", "pynrrd", "torch", "transformers")


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

    def anchored(self) -> RunConfig:
        """With absolute paths of data and task files, so that a run goes on from any working directory."""
        tasks = tuple(str(Path(t).resolve()) if t.endswith((".yaml", ".yml")) else t for t in self.tasks)
        return replace(self, tasks=tasks, data=tuple(DataLocations.parse(self.data).as_options()))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        return cls(**{**values, "tasks": tuple(values["tasks"]), "data": tuple(values["data"])})


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One task of a run with its reader opened and its renderer keyed to the model."""

    task: Task
    reader: Reader
    renderer: Renderer
    parser: Parser
    support: Support | None
    limit: int | None

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


@dataclass(frozen=True, slots=True)
class Plan:
    """A run ready to start: nothing has been asked yet."""

    config: RunConfig
    model: Model
    tasks: tuple[TaskPlan, ...]
    groups: tuple[Group, ...]
    model_fingerprint: Mapping[str, str] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """What must be equal for answers to belong together."""
        return {
            "model": dict(self.model_fingerprint),
            "tasks": {
                p.task.name: {
                    **p.task.describe(),
                    "data": p.reader.fingerprint(),
                    "support": p.support.digest if p.support else None,
                }
                for p in self.tasks
            },
            "seed": self.config.seed,
            "limit": self.config.limit,
            "draws": self.config.draws,
        }

    def manifest(self) -> dict[str, Any]:
        """Provenance: configuration, versions, machine, the state of the working directory's git repository."""
        from datetime import datetime

        return {
            "radbench": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "config": self.config.as_dict(),
            "access": {p.task.name: p.task.access for p in self.tasks},
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
    tasks = find_tasks(config.tasks)
    if not tasks:
        raise ConfigError("no task given", remedy="radbench list tasks")
    for task in tasks:
        for name in task.metrics:
            find_metric(name)  # a misspelt metric is known before a single question is asked
    resolved = find_model(config.model if model is None else model)
    locations = DataLocations.parse(config.data)
    fingerprint = dict(resolved.fingerprint())
    plans = tuple(_plan_task(task, resolved, fingerprint, locations, config) for task in tasks)
    names = {t.name for t in tasks}
    groups = tuple(g for g in all_groups() if names.issuperset(g.members))
    return Plan(config, resolved, plans, groups, fingerprint)


def _plan_task(
    task: Task, model: Model, fingerprint: Mapping[str, str], locations: DataLocations, config: RunConfig
) -> TaskPlan:
    reader = task.dataset.open(locations)
    if next(iter(reader.samples(task.split)), None) is None:
        raise DataError(
            f"dataset '{task.dataset.name}' has no sample in split '{task.split}'",
            remedy=f"radbench describe {task.name}",
        )
    support = None
    if isinstance(model, Fitted):
        support = support_of(task, reader, config.seed)
        model.fit(task, support)
    if isinstance(model, Told):
        model.tell(task, reader.samples(task.split))
    base = json.dumps([fingerprint, support.digest if support else None], sort_keys=True).encode()
    by_sample = "by_sample" in model.capabilities or (support is not None and support.held_out is not None)
    renderer = Renderer(task, config.seed, base, by_sample, config.draws)
    return TaskPlan(task, reader, renderer, task.parse(), support, config.limit)


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
