"""Results of texts kept in bounded memory, so that a text that comes again is not computed again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from threading import RLock
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Results by text, each computed once, the least recently used forgotten beyond ``limit`` bytes (as ``size`` counts)."""

    def __init__(self, size: Callable[[T], int], limit: int) -> None:
        self._size, self._limit, self._held = size, limit, 0
        self._results: OrderedDict[bytes, T] = OrderedDict()
        self._lock = RLock()

    def get(self, texts: Sequence[str], compute: Callable[[list[str]], Sequence[T]]) -> list[T]:
        """The result of each text, ``compute`` being called once with those that are not held."""
        keys = [blake2b(t.encode("utf-8", "surrogatepass"), digest_size=16).digest() for t in texts]
        with self._lock:
            found = {k: self._results[k] for k in keys if k in self._results}
            new = {k: t for k, t in zip(keys, texts, strict=True) if k not in found}
            if new:
                found.update(zip(new, compute(list(new.values())), strict=True))
            for key in new:
                self._results[key] = found[key]
                self._held += self._size(found[key])
            for key in keys:
                self._results.move_to_end(key)
            while self._held > self._limit:
                self._held -= self._size(self._results.popitem(last=False)[1])
        return [found[k] for k in keys]

    def __len__(self) -> int:
        return len(self._results)
