"""What runs in each process of a Ray cluster. Only configuration, counts and errors travel through Ray; data never do.

Answers and statistics go into the run folder, which every machine must see at the same path.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from radbench import errors
from radbench.errors import OPEN_ACCESS, ConfigError, ModelError, RadbenchError, ResumeError, shown
from radbench.folder import MANIFEST, RunFolder, Shard
from radbench.plan import Plan, RunConfig, make_plan, scoring_plan
from radbench.progress import Silent

log = logging.getLogger("radbench")

LOCK_SECONDS = 60.0  # how long the answers file of a worker that died may stay locked, on its own machine or another
ENTRY = "entry.json"  # a scored task's part of results.json, beside its statistics until the driver has read it


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told before it gets work: paths, the configuration and the digest of the manifest."""

    run: str
    manifest: str
    config: Mapping[str, Any]
    folder: str  # the driver's working directory, where modules beside the data lie
    paths: tuple[str, ...]  # its import path
    stop: str  # as soon as this file is there, work ends
    scoring: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """How a job ended: a count, or an error of the work itself. (An exception would go into Ray's own logs.)"""

    count: int = 0
    complete: bool = True
    error: str = ""  # name of the error's class
    message: str = ""
    remedy: str = ""

    def raised(self) -> RadbenchError:
        """The error as it was raised."""
        kind = getattr(errors, self.error, RadbenchError)
        found: RadbenchError = kind(self.message, remedy=self.remedy)
        return found


class Worker:
    """One process with its own copy of the plan, and so of the model, which loads once."""

    def __init__(self) -> None:
        self._order: Order
        self._plan: Plan
        self._folder: RunFolder

    def here(self) -> int:
        """The process id. The first call: whoever answers it has been given its resources."""
        return os.getpid()

    def prepare(self, order: Order) -> Reply:
        """Make the plan and check that it is the run's own."""
        return self._reply(lambda: self._prepare(order))

    def answer(self, index: int, count: int) -> Reply:
        """Ask what shard ``index`` of ``count`` has no answer to yet; ``count`` of the reply is the shard's size."""
        return self._reply(lambda: self._answer(Shard(index, count)))

    def score(self, task: str) -> Reply:
        """Score one task: ``stats/<task>/`` and its entry of the results beside it."""
        return self._reply(lambda: self._score(task))

    def _prepare(self, order: Order) -> Reply:
        self._order, self._folder = order, RunFolder(Path(order.run))
        log.addHandler(logging.NullHandler())  # the plan's warnings are the driver's to tell
        log.propagate = False
        if os.path.isdir(order.folder):
            os.chdir(order.folder)
        sys.path += [p for p in order.paths if p not in sys.path and os.path.isdir(p)]
        if digest_of(self._folder) != order.manifest:
            raise ConfigError(
                f"a worker on {os.uname().nodename} does not see the run folder {order.run}",
                remedy="a cluster needs one folder for runs and one for data that all machines mount at the same path",
            )
        config = RunConfig.from_dict(order.config)
        if order.scoring:
            self._plan = scoring_plan({**self._folder.manifest, "config": config.as_dict()})
        else:
            self._plan = make_plan(config)
        self._folder.check(self._plan.identity())
        _write_to(self._folder.path / "run.log")
        return Reply()

    def _answer(self, shard: Shard) -> Reply:
        from radbench.runner import answer_all

        _await_lock(self._folder, shard, self._order.stop)
        outcome = answer_all(self._plan, self._folder, shard, _Watch(self._order.stop))
        return Reply(outcome.asked + outcome.reused)

    def _score(self, task: str) -> Reply:
        from radbench.answers import AnswerIndex
        from radbench.scoring import scored_result

        plan = next(p for p in self._plan.tasks if p.task.name == task)
        with AnswerIndex(self._folder) as index:
            result = scored_result(self._plan, plan, self._folder, index)
        self._folder.write_atomically(f"stats/{task}/{ENTRY}", json.dumps(result.entry))
        return Reply(complete=result.complete)

    def _reply(self, work: Callable[[], Reply]) -> Reply:
        try:
            return work()
        except KeyboardInterrupt:
            return Reply(error="Interrupted", message="a worker was interrupted")
        except RadbenchError as error:
            kind = next(c.__name__ for c in type(error).__mro__ if getattr(errors, c.__name__, None) is c)
            return Reply(error=kind, message=self._discreet(error), remedy=error.remedy)
        except Exception as error:
            log.exception("a worker stopped")
            return Reply(
                error="RadbenchError",
                message=f"a worker on {os.uname().nodename} stopped: {type(error).__name__}",
                remedy=f"{self._order.run}/run.log has the traceback; the answers so far are safe",
            )

    def _discreet(self, error: RadbenchError) -> str:
        """The message; what a model's own code said about restricted data stays in run.log."""
        plan: Plan | None = getattr(self, "_plan", None)
        access = (
            next((p.task.access for p in plan.tasks if p.task.access not in OPEN_ACCESS), "open") if plan else "open"
        )
        said = str(error.__cause__ or "")
        if isinstance(error, ModelError) and said and access not in OPEN_ACCESS:
            return error.message.replace(said, shown(said, access))
        return error.message


class _Watch(Silent):
    """Ends the answer pass, as Ctrl-C would, once the driver has made the stop file."""

    SECONDS = 0.25

    def __init__(self, stop: str) -> None:
        self._stop, self._looked = stop, 0.0

    def advance(self, count: int) -> None:
        now = time.monotonic()
        if now - self._looked >= self.SECONDS:
            self._looked = now
            if os.path.exists(self._stop):
                raise KeyboardInterrupt


def digest_of(folder: RunFolder) -> str:
    """Of the manifest: the same on every machine that sees this run; empty where there is none."""
    try:
        return sha256((folder.path / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return ""


def _await_lock(folder: RunFolder, shard: Shard, stop: str) -> None:
    """Wait for the worker that had the shard before: the system gives its lock back once it is really gone."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            with folder.writer(shard):
                return
        except ResumeError:
            if time.monotonic() > deadline or os.path.exists(stop):
                raise
            time.sleep(0.5)


def _write_to(path: Path) -> None:
    """What a worker logs and what its model prints goes into the run's log, not into files of Ray's."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s worker {os.getpid()}: %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    file = os.open(path, os.O_WRONLY | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    os.close(file)
