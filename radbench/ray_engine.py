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
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

from radbench.errors import ConfigError, DataError, Interrupted, ModelError, RadbenchError
from radbench.folder import RunFolder, Shard
from radbench.plan import Plan
from radbench.ray_worker import ENTRY, Order, Reply, Worker, digest_of
from radbench.runner import Outcome, Progress

log = logging.getLogger("radbench")

SHARDS = 8  # a worker: few enough to walk through the data rarely, enough that none waits long for the last one
TRIES = 3  # workers that may die on one shard, one after the other, without a new answer between them
WORKERS = 2  # where there is no GPU
START_SECONDS = 600.0  # for the first worker to be given its resources
GRACE_SECONDS = 10.0  # for workers to end by themselves
OBJECT_STORE = 80 * 2**20  # bytes, near Ray's least: nothing of ours goes through it


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

    def answer_all(self, plan: Plan, folder: RunFolder, shard: Shard, progress: Progress) -> Outcome:
        """Ask whatever has no answer yet. Raises what the work raises, and :class:`ModelError` where workers keep dying."""
        if plan.config.model.startswith("python:"):
            raise ConfigError(
                f"the model is a Python object ({plan.config.model}): workers in other processes cannot be given it",
                remedy="name it as module:function or module:Class",
            )
        if shard.count > 1:
            raise ConfigError("Ray makes its own shards", remedy="leave --shard or --engine ray out")
        with self._pool(plan, folder) as pool:
            count = _shard_count(folder, pool.size)
            log.info("Ray: %d workers, %d shards", pool.size, count)
            jobs = [
                _ShardJob(Shard(i, count), _Tail(folder.answers / f"{Shard(i, count).stem}.jsonl"))
                for i in range(count)
            ]
            watch = _Progress(jobs, progress)
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

        jobs = [_TaskJob(p.task.name) for p in plan.tasks]
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
    def _pool(self, plan: Plan, folder: RunFolder, scoring: bool = False, most: int | None = None) -> Iterator[_Pool]:
        """Workers for this plan; they have ended when it is left."""
        ray = self._connected()
        size, resources = self._share(ray)
        stop = folder.answers.resolve() / f".stop-{token_hex(8)}"
        order = Order(
            str(folder.path.resolve()), digest_of(folder), plan.config.as_dict(), os.getcwd(), _own_paths(), str(stop), scoring
        )  # fmt: skip
        pool = _Pool(ray, order, min(size, most or size), resources)
        try:
            yield pool
        finally:
            pool.stop()
            stop.unlink(missing_ok=True)

    def _connected(self) -> Any:
        """Ray, connected to its cluster. Raises :class:`ConfigError`."""
        with _loopback_and_silent(self.address is None):
            import ray

            if not ray.is_initialized():
                handler = signal.getsignal(signal.SIGTERM)
                self._ours.callback(ray.shutdown)
                self._ours.enter_context(redirect_stdout(sys.stderr))  # where Ray says that a worker died
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


def start_here(ray: Any, workers: int | None) -> None:
    """A Ray of this machine alone: no dashboard, no worker's output on the terminal."""
    ray.init(
        "local",
        num_cpus=max(os.cpu_count() or 1, workers or WORKERS),  # workers that wait for a server need no core
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=OBJECT_STORE,
    )
    address = ray.nodes()[0]["NodeManagerAddress"]
    if not address.startswith("127."):
        log.warning("Ray was imported before this run and listens on %s, not on this machine alone", address)


@contextmanager
def _loopback_and_silent(here: bool) -> Iterator[None]:
    """Ray's own switches while it starts, and the environment as it was afterwards.

    It sends no usage statistics, and a cluster of one machine listens on 127.0.0.1 (as it does by default on macOS).
    """
    switches = {"RAY_USAGE_STATS_ENABLED": "0"} | ({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if here else {})
    before = {name: os.environ.get(name) for name in switches}
    os.environ.update(switches)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _own_paths() -> tuple[str, ...]:
    """The entries of the import path that are not the interpreter's own: where the user's modules lie."""
    return tuple(p for p in map(os.path.abspath, sys.path) if not p.startswith((sys.prefix, sys.base_prefix)))


def _shard_count(folder: RunFolder, workers: int) -> int:
    """The number of shards: that of an earlier session where it suits, so that a run keeps few files."""
    found = (re.fullmatch(r"\d+-of-(\d+)", p.stem) for p in folder.answer_files())
    counts = {int(m[1]) for m in found if m}
    return max((n for n in counts if 2 * workers <= n <= 4 * SHARDS * workers), default=SHARDS * workers)


class _Tail:
    """Follows one answers file: what was added since this was made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked = 0
        self.failures: Counter[str] = Counter()
        self.reasons: dict[tuple[str, str], str] = {}
        self._offset = sum(map(len, self._lines(0)))

    def read(self) -> None:
        """Look at the whole lines that have come."""
        for line in self._lines(self._offset):
            self._offset += len(line)
            self.asked += 1
            record = json.loads(line)
            if (kind := record["status"]) != "ok":
                self.failures[kind] += 1
                self.reasons.setdefault((record["task"], kind), record.get("message", ""))

    def _lines(self, offset: int) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                yield from (line for line in file if line.endswith(b"\n"))
        except FileNotFoundError:
            return


@dataclass(slots=True)
class _Job:
    """Something a worker is told to do; ``progress`` grows while it is done."""

    reply: Reply = field(default_factory=Reply, init=False)
    begun: bool = field(default=False, init=False)

    @property
    def what(self) -> str:
        raise NotImplementedError

    def call(self, actor: Any) -> Any:
        raise NotImplementedError

    def progress(self) -> int:
        return 0

    def done(self, reply: Reply) -> None:
        """Raises the error of the work itself."""
        if reply.error:
            raise reply.raised()
        self.reply = reply


@dataclass(slots=True)
class _ShardJob(_Job):
    shard: Shard
    tail: _Tail
    finished: bool = False

    @property
    def what(self) -> str:
        return f"shard {self.shard.index + 1}/{self.shard.count}"

    def call(self, actor: Any) -> Any:
        return actor.answer.remote(self.shard.index, self.shard.count)

    def progress(self) -> int:
        self.tail.read()
        return self.tail.asked

    def done(self, reply: Reply) -> None:
        _Job.done(self, reply)
        self.finished = True


@dataclass(slots=True)
class _TaskJob(_Job):
    task: str

    @property
    def what(self) -> str:
        return f"scoring of {self.task}"

    def call(self, actor: Any) -> Any:
        return actor.score.remote(self.task)

    def done(self, reply: Reply) -> None:
        self.reply = reply
        if reply.error and reply.error != DataError.__name__:  # one task's unreadable data leave the others to go on
            raise reply.raised()


@dataclass(slots=True)
class _Progress:
    """What the answer files show so far."""

    jobs: Sequence[_ShardJob]
    progress: Progress
    shown: int = 0

    def tick(self) -> None:
        for job in self.jobs:
            if job.begun and not job.finished:
                job.tail.read()
        counted = sum(self._count(j) for j in self.jobs)
        self.progress.advance(max(0, counted - self.shown))
        self.shown = max(counted, self.shown)

    @staticmethod
    def _count(job: _ShardJob) -> int:
        return job.reply.count if job.finished else job.tail.asked

    def outcome(self) -> Outcome:
        found = Outcome()
        for job in self.jobs:
            job.tail.read()
            found.asked += job.tail.asked
            found.reused += max(0, job.reply.count - job.tail.asked)
            found.failures.update(job.tail.failures)
            found.reasons = job.tail.reasons | found.reasons
        return found


@dataclass(slots=True)
class _Busy:
    """A worker and what it is doing: starting, preparing its plan (``ready`` once it has), or a job."""

    actor: Any
    job: _Job | None = None
    placed: bool = False


class _Pool:
    """Up to ``size`` workers and a queue. A worker that dies is replaced and its job goes back to the front."""

    def __init__(self, ray: Any, order: Order, size: int, resources: dict[str, float]) -> None:
        self._ray, self._order, self.size = ray, order, size
        self._make = ray.remote(Worker).options(**resources).remote
        self._busy: dict[Any, _Busy] = {}
        self._actors: list[Any] = []  # all that were started
        self._deaths: dict[str, tuple[int, int]] = {}  # job -> how many died on it at which progress

    def work(self, jobs: Sequence[_Job], tick: Callable[[], None]) -> None:
        """Have all jobs done. Raises the first error of the work, and :class:`ModelError` where workers keep dying."""
        queue = deque(jobs)
        since = time.monotonic()
        while queue or any(b.job for b in self._busy.values()):
            self._hire(len(queue))
            ready, _ = self._ray.wait(list(self._busy), timeout=0.5)
            for reference in ready:
                self._next(reference, queue)
            tick()
            if any(b.placed for b in self._busy.values()):
                since = time.monotonic()
            elif time.monotonic() - since > START_SECONDS:
                raise RadbenchError(
                    f"the cluster gave no worker its place within {START_SECONDS:.0f} s",
                    remedy="ray status says who holds what",
                )
        tick()

    def stop(self) -> None:
        """End every worker: by itself within the grace, with all answers written; else by force."""
        working = [r for r, b in self._busy.items() if b.job]
        try:
            if working:
                Path(self._order.stop).touch()
                self._ray.wait(working, num_returns=len(working), timeout=GRACE_SECONDS)
        finally:
            for actor in self._actors:
                self._ray.kill(actor)
            self._actors.clear()
            self._busy.clear()

    def _hire(self, queued: int) -> None:
        coming = sum(b.job is None for b in self._busy.values())
        for _ in range(min(self.size - len(self._busy), queued - coming)):
            actor = self._make()
            self._actors.append(actor)
            self._busy[actor.here.remote()] = _Busy(actor)

    def _next(self, reference: Any, queue: deque[_Job]) -> None:
        """Take what a worker brings and give it the next job."""
        busy = self._busy.pop(reference)
        try:
            reply = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:  # the process or its machine has gone
            self._ray.kill(busy.actor)  # it may only be out of reach, and still at work
            self._lost(busy, queue, error)
            return
        if not busy.placed:
            self._busy[busy.actor.prepare.remote(self._order)] = replace(busy, placed=True)
            return
        if busy.job is not None:
            busy.job.done(reply)
        elif reply.error:
            raise reply.raised()
        else:
            self._deaths.pop(_START, None)
        if queue:
            job = queue.popleft()
            job.begun = True
            self._busy[job.call(busy.actor)] = replace(busy, job=job)
        else:
            self._ray.kill(busy.actor)

    def _lost(self, busy: _Busy, queue: deque[_Job], error: Exception) -> None:
        what, progress = (busy.job.what, busy.job.progress()) if busy.job else (_START, 0)
        deaths, at = self._deaths.get(what, (0, progress))
        deaths = deaths + 1 if progress == at else 1
        self._deaths[what] = (deaths, progress)
        told = _reason(error)
        log.warning("a worker died (%s), another takes its place: %s", what, told)
        if deaths >= TRIES:
            raise ModelError(
                f"{what}: {deaths} workers died one after the other; the last: {told}",
                remedy="run.log and the system's log (memory, GPU) say why; the answers so far are safe: radbench resume",
            )
        if busy.job is not None:
            queue.appendleft(busy.job)


_START = "starting a worker"


def _reason(error: Exception) -> str:
    """Ray's own words on a death, which hold nothing of the data: the last of them says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1][:300] if lines else 'no reason given'}"
