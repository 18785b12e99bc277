"""Batches of similar requests from a lazy stream, and batches halved when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Generic, TypeVar

from radbench.options import whole
from radbench.records import Request

log = logging.getLogger("radbench")

WINDOW = 4  # batches that are drawn at once and sorted
Cost = tuple[int, ...]
T = TypeVar("T")
R = TypeVar("R")


def cost_of(request: Request) -> Cost:
    """What sorts requests of like size together: volumes, pictures, characters."""
    images = request.images
    return sum(i.kind != "2d" for i in images), len(images), len(request.text)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch, CUDA or an allocator says that memory ran out."""
    return type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError)
        and any(sign in str(error).lower() for sign in ("out of memory", "not enough memory", "can't allocate memory"))
    )


class Batches(Generic[T]):
    """Batches of at most ``size`` items of one ``group`` each, the costly ones of a window first.

    ``cost`` sorts the items, so that a batch is padded little; ``group`` keeps apart what cannot be asked together. A
    window of four batches is drawn at a time, of volumes (first number of the cost) one batch. What ran out of memory
    once is not tried again at that size: later batches that cost as much are made smaller from the start.
    """

    def __init__(self, size: int, cost: Callable[[T], Cost], group: Callable[[T], Hashable] = lambda _: None) -> None:
        whole("batch", size)
        self._size, self._cost, self._group = size, cost, group
        self._learned: list[tuple[Cost, int]] = []

    def of(self, items: Iterable[T]) -> Iterator[list[T]]:
        """The items in batches, each once; drawn from the calling thread, a window at a time."""
        window: list[T] = []
        for item in items:
            window.append(item)
            if len(window) >= self._size * (1 if self._cost(item)[0] else WINDOW):
                yield from self._sorted(window)
                window = []
        yield from self._sorted(window)

    def _sorted(self, window: Sequence[T]) -> Iterator[list[T]]:
        # Groups in order of first appearance: a hash of strings would differ between processes.
        order: dict[Hashable, int] = {}
        places = [order.setdefault(self._group(item), len(order)) for item in window]
        keyed = sorted(zip(places, window, strict=True), key=lambda p: (p[0], *(-c for c in self._cost(p[1]))))
        for _, group in groupby(keyed, key=lambda p: p[0]):
            rest = [item for _, item in group]
            while rest:
                size = self._fitting(rest[0])
                yield rest[:size]
                rest = rest[size:]

    def _fitting(self, item: T) -> int:
        """How many items like the costliest one fit, as far as is known."""
        cost = self._cost(item)
        return min([size for met, size in self._learned if cost >= met], default=self._size)

    def ask(self, batch: list[T], ask: Callable[[list[T]], list[R]], give_up: Callable[[T], R]) -> Iterator[R]:
        """What ``ask`` gives for a batch, in halves where memory runs out; ``give_up`` answers an item that fails alone."""
        todo = [batch]
        while todo:
            part = todo.pop(0)
            if len(part) > (size := self._fitting(part[0])):
                todo[:0] = [part[:size], part[size:]]
                continue
            try:
                found = ask(part)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                found = None
            if found is not None:
                yield from found
                continue
            release_memory()  # after the handler: the error's frames hold the tensors
            if len(part) == 1:
                yield give_up(part[0])
                continue
            half = (len(part) + 1) // 2
            self._learned.append((self._cost(part[0]), half))
            log.warning("memory ran out on a batch of %d: going on with %d", len(part), half)
            todo.insert(0, part)


def release_memory() -> None:
    """Hand what torch keeps cached on the accelerator back to it."""
    import gc
    import sys

    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
