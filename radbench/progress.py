"""Showing progress: a bar on a terminal, a line now and then elsewhere, nothing when output is for a program."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from radbench.runner import Progress


class Silent:
    """Shows nothing."""

    def start(self, task: str, total: Callable[[], int]) -> None:
        pass

    def advance(self, count: int) -> None:
        pass

    def finish(self) -> None:
        pass


class Lines:
    """One line a task and every ten seconds: answered, rate, time left."""

    SECONDS = 10.0

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._task, self._total, self._count = "", 0, 0
        self._started = self._shown = 0.0

    def start(self, task: str, total: Callable[[], int]) -> None:
        self._task, self._total, self._count = task, total(), 0
        self._started = self._shown = time.monotonic()

    def advance(self, count: int) -> None:
        self._count += count
        now = time.monotonic()
        if now - self._shown >= self.SECONDS:
            self._shown = now
            self._print(now)

    def finish(self) -> None:
        self._print(time.monotonic())

    def _print(self, now: float) -> None:
        rate = self._count / max(now - self._started, 1e-9)
        rest = max(self._total - self._count, 0)
        left = f", {rest / rate:.0f} s left" if rest and rate else ""
        print(f"{self._task}: {self._count}/{self._total} answers, {rate:.1f}/s{left}", file=self._stream, flush=True)


class Bar:
    """A rich progress bar with rate and remaining time."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        rate = TextColumn("{task.fields[rate]}")
        self._bar: RichProgress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn(),
            console=Console(stderr=True),
        )  # fmt: skip
        self._id: TaskID | None = None
        self._started, self._count = 0.0, 0

    def start(self, task: str, total: Callable[[], int]) -> None:
        count = total()
        self._bar.start()
        self._started, self._count = time.monotonic(), 0
        self._id = self._bar.add_task(task, total=count, rate="")

    def advance(self, count: int) -> None:
        if self._id is not None:
            self._count += count
            rate = self._count / max(time.monotonic() - self._started, 1e-9)
            self._bar.update(self._id, advance=count, rate=f"{rate:.1f}/s")

    def finish(self) -> None:
        self._bar.stop()


def progress_for(stream: IO[str] | None = None, quiet: bool = False) -> Progress:
    """The right kind of progress for a stream, by default standard error as it is now."""
    if quiet:
        return Silent()
    stream = stream or sys.stderr
    return Bar() if stream.isatty() else Lines(stream)
