"""What the workers of a Ray cluster are told to do, and what the answer files show of it meanwhile."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from radbench.errors import DataError
from radbench.folder import Shard
from radbench.ray_worker import Reply
from radbench.runner import Outcome, Progress


class Tail:
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
class Job:
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
class ShardJob(Job):
    shard: Shard
    tail: Tail
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
        Job.done(self, reply)
        self.finished = True


@dataclass(slots=True)
class TaskJob(Job):
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
class Watched:
    """What the answer files show so far."""

    jobs: Sequence[ShardJob]
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
    def _count(job: ShardJob) -> int:
        return job.reply.count if job.finished else job.tail.asked

    def outcome(self) -> Outcome:
        found = Outcome()
        for job in self.jobs:
            job.tail.read()
            found.asked += job.tail.asked
            found.reused += max(0, job.reply.count - job.tail.asked)
            found.failures.update(job.tail.failures)
            found.reasons = job.tail.reasons | found.reasons
            found.access |= job.reply.access
        return found
