"""The workers of a Ray cluster and the queue they take their jobs from."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from radbench.errors import ModelError, RadbenchError
from radbench.ray_jobs import Job
from radbench.ray_worker import Order, Worker

log = logging.getLogger("radbench")

TRIES = 3  # workers that may die on one shard, one after the other, without a new answer between them
START_SECONDS = 600.0  # for the first worker to be given its resources
GRACE_SECONDS = 10.0  # for workers to end by themselves


@dataclass(slots=True)
class _Busy:
    """A worker and what it is doing: starting, preparing its plan (``ready`` once it has), or a job."""

    actor: Any
    job: Job | None = None
    placed: bool = False


class Pool:
    """Up to ``size`` workers and a queue. A worker that dies is replaced and its job goes back to the front."""

    def __init__(self, ray: Any, order: Order, size: int, resources: dict[str, float]) -> None:
        self._ray, self._order, self.size = ray, order, size
        self._make = ray.remote(Worker).options(**resources).remote
        self._busy: dict[Any, _Busy] = {}
        self._actors: list[Any] = []  # all that were started
        self._ending: dict[Any, Any] = {}  # a call to end -> the worker
        self._deaths: dict[str, tuple[int, int]] = {}  # job -> how many died on it at which progress

    def work(self, jobs: Sequence[Job], tick: Callable[[], None]) -> None:
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
        """End every worker: by itself within the grace, with all answers written and its files tidied; else by force."""
        try:
            if any(b.placed for b in self._busy.values()):
                Path(self._order.stop).touch()
            known = [*self._ending.values(), *(b.actor for b in self._busy.values() if not b.placed)]
            for actor in self._actors:
                if actor not in known:
                    self._end(actor)
            if self._ending:
                ended, _ = self._ray.wait(list(self._ending), num_returns=len(self._ending), timeout=GRACE_SECONDS)
                for reference in ended:
                    self._actors.remove(self._ending[reference])
        finally:
            for actor in self._actors:
                self._ray.kill(actor)
            self._actors.clear()
            self._busy.clear()
            self._ending.clear()

    def _end(self, actor: Any) -> None:
        self._ending[actor.end.remote()] = actor

    def _hire(self, queued: int) -> None:
        coming = sum(b.job is None for b in self._busy.values())
        for _ in range(min(self.size - len(self._busy), queued - coming)):
            actor = self._make()
            self._actors.append(actor)
            self._busy[actor.here.remote()] = _Busy(actor)

    def _next(self, reference: Any, queue: deque[Job]) -> None:
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
            self._end(busy.actor)

    def _lost(self, busy: _Busy, queue: deque[Job], error: Exception) -> None:
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
