"""Ray as the engine: model replicas on the GPUs and machines of a cluster, shards handed to whichever is free.

The shards are those of ``--shard i/n``, so that the run folder is the same as any other, and a run begun here goes on
anywhere. A worker or machine that dies loses at most 0.2 s of answers: its shard goes back into the queue. Counts come
from the answer files themselves; through Ray go configuration, counts and errors alone.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from secrets import token_hex
from typing import Any

from radbench.care.inventory import strictest
from radbench.errors import OPEN_ACCESS, ConfigError, Interrupted
from radbench.folder import RunFolder, Shard
from radbench.plan import Plan
from radbench.ray_cluster import WORKERS, loopback_and_silent, own_paths, start_here
from radbench.ray_jobs import ShardJob, Tail, TaskJob, Watched
from radbench.ray_pool import Pool
from radbench.ray_worker import ENTRY, Order, digest_of
from radbench.runner import Outcome, Progress

log = logging.getLogger("radbench")

SHARDS = 8  # a worker: few enough to walk through the data rarely, enough that none waits long for the last one


def ray_engine(workers: int | None = None, gpus: float | None = None, address: str | None = None) -> RayEngine:
    """An engine of ``workers`` model replicas with ``gpus`` GPUs each on the cluster at ``address``, or on this machine.

    By default one worker a GPU, or two where there is none. Raises :class:`ConfigError`.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError("--engine ray needs the package ray", remedy='pip install "radbench[ray]"')
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}, expected at least 1")
    if gpus is not None and gpus < 0:
        raise ConfigError(f"gpus is {gpus}, expected 0 or more")
    return RayEngine(workers, gpus, address)


@dataclass(slots=True)
class RayEngine:
    """See :func:`ray_engine`. A Ray that the calling program started itself is used and left running."""

    workers: int | None
    gpus: float | None
    address: str | None
    _ours: ExitStack = field(default_factory=ExitStack, init=False, repr=False)  # what this engine began, and so ends

    def check(self, plan: Plan) -> None:
        """Raise :class:`ConfigError` where the plan's model cannot be asked by several processes."""
        if plan.config.model.startswith("python:"):
            raise ConfigError(
                f"the model is a Python object ({plan.config.model}): workers in other processes cannot be given it",
                remedy="name it as module:function or module:Class",
            )
        if self.workers != 1 and getattr(plan.model, "budgeted", False):
            raise ConfigError(
                "the cap on cost or tokens is a process's: each worker would spend it anew",
                remedy="--workers 1, or --engine local",
            )

    def answer_all(self, plan: Plan, folder: RunFolder, shard: Shard, progress: Progress) -> Outcome:
        """Ask whatever has no answer yet. Raises what the work raises, and :class:`ModelError` where workers keep dying."""
        if shard.count > 1:
            raise ConfigError("Ray makes its own shards", remedy="leave --shard or --engine ray out")
        with self._pool(plan, folder) as pool:
            count = _shard_count(folder, pool.size)
            log.info("Ray: %d workers, %d shards", pool.size, count)
            jobs = [
                ShardJob(Shard(i, count), Tail(folder.answers / f"{Shard(i, count).stem}.jsonl")) for i in range(count)
            ]
            watch = Watched(jobs, progress)
            name = plan.tasks[0].task.name if len(plan.tasks) == 1 else f"{len(plan.tasks)} tasks"
            progress.start(name, lambda: sum(t.size() for t in plan.tasks))
            try:
                pool.work(jobs, watch.tick)
            except KeyboardInterrupt:
                pool.stop()
                raise Interrupted(
                    f"interrupted: {watch.outcome().asked} answers of this session are in {folder.path}",
                    remedy=f"radbench resume {folder.path}",
                ) from None
            finally:
                progress.finish()
            return watch.outcome()

    def score(self, plan: Plan, folder: RunFolder) -> dict[str, Any]:
        """Score the tasks on the workers, side by side; results as from any engine."""
        from radbench.scoring import results_here, score

        alone = len(plan.tasks) == 1 and self.address is None
        return score(plan, folder, results_here if alone else self._results)

    def close(self) -> None:
        """Leave the cluster; end it where it is this machine's own."""
        self._ours.close()

    def _results(self, plan: Plan, folder: RunFolder) -> Iterator[Any]:
        """Of each task in order: its entry, read from beside the statistics that a worker wrote."""
        from radbench.scoring import TaskResult, measured_again

        jobs = [TaskJob(p.task.name) for p in plan.tasks]
        with self._pool(plan, folder, scoring=True, most=len(jobs)) as pool:
            pool.work(jobs, lambda: None)
        for job, task in zip(jobs, plan.tasks, strict=True):
            reply = job.reply
            if reply.error:
                yield reply.raised()
                continue
            file = folder.path / "stats" / job.task / ENTRY
            entry = json.loads(file.read_text())
            file.unlink()
            rows = partial(measured_again, task, folder, tuple(entry["metrics"]))
            yield TaskResult(entry, reply.complete, rows)

    @contextmanager
    def _pool(self, plan: Plan, folder: RunFolder, scoring: bool = False, most: int | None = None) -> Iterator[Pool]:
        """Workers for this plan; they have ended when it is left."""
        ray = self._connected()
        size, resources = self._share(ray)
        stop = folder.answers.resolve() / f".stop-{token_hex(8)}"
        order = Order(
            str(folder.path.resolve()), digest_of(folder), plan.config.as_dict(), os.getcwd(), own_paths(), str(stop),
            next((a for p in plan.tasks if (a := strictest(p.task.dataset)) not in OPEN_ACCESS), "open"), scoring,
        )  # fmt: skip
        pool = Pool(ray, order, min(size, most or size), resources)
        try:
            yield pool
        finally:
            pool.stop()
            stop.unlink(missing_ok=True)

    def _connected(self) -> Any:
        """Ray, connected to its cluster. Raises :class:`ConfigError`."""
        with loopback_and_silent(self.address is None):
            import ray

            if not ray.is_initialized():
                handler = signal.getsignal(signal.SIGTERM)
                self._ours.callback(ray.shutdown)
                try:
                    if self.address is None:
                        start_here(ray, self.workers)
                    else:
                        ray.init(self.address, log_to_driver=False, logging_level=logging.ERROR)
                except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
                    where = f"the Ray cluster at '{self.address}'" if self.address else "Ray on this machine"
                    raise ConfigError(
                        f"{where} cannot be reached or started: {' '.join(str(error).split())[:300]}",
                        remedy="ray start --head on one machine, then --address HOST:6379 or auto; ray status",
                    ) from None
                finally:
                    if threading.current_thread() is threading.main_thread():
                        signal.signal(signal.SIGTERM, handler)  # Ray puts its own there
        return ray

    def _share(self, ray: Any) -> tuple[int, dict[str, float]]:
        """How many workers, and what each is given. Raises :class:`ConfigError` where they do not fit."""
        nodes = [n["Resources"] for n in ray.nodes() if n["Alive"]]
        has = any(n.get("GPU") for n in nodes)
        gpus = self.gpus if self.gpus is not None else float(has)
        if gpus and not has:
            raise ConfigError(f"--gpus {gpus:g}: no machine of the cluster has a GPU", remedy="--gpus 0")
        if gpus:
            resources = {"num_gpus": gpus, "num_cpus": 0}
            fit = sum(int(n.get("GPU", 0) // gpus) for n in nodes)
        else:
            fit = sum(int(n.get("CPU", 0)) for n in nodes)
            resources = {"num_gpus": 0, "num_cpus": 1}
        size = self.workers or (fit if gpus else min(WORKERS, fit))
        if size > fit or not size:
            raise ConfigError(
                f"{size} workers with {gpus:g} GPUs each do not fit: the cluster takes {fit}",
                remedy="fewer --workers, a smaller --gpus share such as 0.5, or more machines",
            )
        if self.address is None:  # Ray limits a worker's threads to its CPUs
            resources["num_cpus"] = int(sum(n.get("CPU", 0) for n in nodes)) // size
        return size, resources


def _shard_count(folder: RunFolder, workers: int) -> int:
    """The number of shards: that of an earlier session where it suits, so that a run keeps few files."""
    found = (re.fullmatch(r"\d+-of-(\d+)", p.stem) for p in folder.answer_files())
    counts = {int(m[1]) for m in found if m}
    return max((n for n in counts if 2 * workers <= n <= 4 * SHARDS * workers), default=SHARDS * workers)
