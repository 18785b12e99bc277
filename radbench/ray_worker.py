"""What runs in each process of a Ray cluster. Only configuration, counts and errors travel through Ray; data never do.

Answers and statistics go into the run folder, which every machine must see at the same path.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from traceback import format_tb
from typing import Any

from radbench import errors
from radbench.errors import OPEN_ACCESS, ConfigError, ModelError, RadbenchError, ResumeError
from radbench.folder import MANIFEST, RunFolder, Shard
from radbench.plan import Plan, RunConfig, make_plan, scoring_plan
from radbench.progress import Silent

log = logging.getLogger("radbench")

LOCK_SECONDS = 60.0  # how long the answers file of a worker that died may stay locked, on its own machine or another
POLL_SECONDS = 0.25  # between looks for the stop file
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
    access: str  # the strictest of the tasks
    scoring: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """How a job ended: a count, or an error of the work itself. (An exception would go into Ray's own logs.)"""

    count: int = 0
    complete: bool = True
    access: Mapping[str, str] = field(default_factory=dict)  # as in Outcome
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
        self._order = order
        return self._reply(self._prepare)

    def answer(self, index: int, count: int) -> Reply:
        """Ask what shard ``index`` of ``count`` has no answer to yet; ``count`` of the reply is the shard's size."""
        return self._reply(lambda: self._answer(Shard(index, count)))

    def score(self, task: str) -> Reply:
        """Score one task: ``stats/<task>/`` and its entry of the results beside it."""
        return self._reply(lambda: self._score(task))

    def end(self) -> None:
        """End this process, with the model gone before: its temporary files and its own processes end with it."""
        import ray

        self.__dict__.clear()
        gc.collect()
        ray.actor.exit_actor()

    def _prepare(self) -> Reply:
        order = self._order
        self._folder = RunFolder(Path(order.run))
        log.addHandler(logging.NullHandler())  # the plan's warnings are the driver's to tell
        log.propagate = False
        log.setLevel(logging.ERROR)
        if os.path.isdir(order.folder):
            os.chdir(order.folder)
        sys.path += [p for p in order.paths if p not in sys.path and os.path.isdir(p)]
        if digest_of(self._folder) != order.manifest:
            raise ConfigError(
                f"a worker on {os.uname().nodename} does not see the run folder {order.run}",
                remedy="a cluster needs one folder for runs and one for data that all machines mount at the same path",
            )
        _write_to(self._folder.path / "run.log")  # before any code of the model's or the data's runs
        config = RunConfig.from_dict(order.config)
        if order.scoring:
            self._plan = scoring_plan({**self._folder.manifest, "config": config.as_dict()})
        else:
            self._plan = make_plan(config)
        self._folder.check(self._plan.identity())
        log.setLevel(logging.INFO)
        return Reply()

    def _answer(self, shard: Shard) -> Reply:
        from radbench.runner import answer_all

        _await_lock(self._folder, shard)
        outcome = answer_all(self._plan, self._folder, shard, Silent())
        return Reply(outcome.asked + outcome.reused, access=outcome.access)

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
            with _ended_by(self._order.stop):
                return work()
        except KeyboardInterrupt:
            return Reply(error="Interrupted", message="a worker was interrupted")
        except RadbenchError as error:
            kind = next(c.__name__ for c in type(error).__mro__ if getattr(errors, c.__name__, None) is c)
            told = error.discreet(self._order.access) if isinstance(error, ModelError) else error
            return Reply(error=kind, message=told.message, remedy=told.remedy)
        except Exception as error:
            if self._order.access in OPEN_ACCESS:
                log.exception("a worker stopped")
            else:  # where, without what it said
                log.error("a worker stopped: %s\n%s", type(error).__name__, "".join(format_tb(error.__traceback__)))
            return Reply(
                error="RadbenchError",
                message=f"a worker on {os.uname().nodename} stopped: {type(error).__name__}",
                remedy=f"{self._order.run}/run.log has the traceback; the answers so far are safe",
            )


@contextmanager
def _ended_by(stop: str) -> Iterator[None]:
    """Raises KeyboardInterrupt in this, the main thread soon after the file ``stop`` was made, also while a model works.

    SIGINT would do the same, but Ray blocks it.
    """
    over, lock, main = threading.Event(), threading.Lock(), threading.get_ident()

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            if os.path.exists(stop):
                with lock:
                    if not over.is_set():
                        signal.pthread_kill(main, signal.SIGUSR1)
                return

    signal.signal(signal.SIGUSR1, signal.default_int_handler)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        with lock:
            over.set()


def digest_of(folder: RunFolder) -> str:
    """Of the manifest: the same on every machine that sees this run; empty where there is none."""
    try:
        return sha256((folder.path / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return ""


def _await_lock(folder: RunFolder, shard: Shard) -> None:
    """Wait for the worker that had the shard before: the system gives its lock back once it is really gone."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            with folder.writer(shard):
                return
        except ResumeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _write_to(path: Path) -> None:
    """What a worker logs and what its model prints goes into the run's log, not into files of Ray's."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s worker {os.getpid()}: %(message)s"))
    log.addHandler(handler)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    file = os.open(path, os.O_WRONLY | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    os.close(file)
