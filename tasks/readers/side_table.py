"""Large tables that are looked up by key: sorted byte arrays, as wide as their longest value and no wider."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

_BLOCK = 1 << 15


class SideTable:
    """Rows ``(key, value, value ...)`` of text, all of one length; a key may stand in several rows."""

    def __init__(self, rows: Iterable[tuple[str, ...]]) -> None:
        blocks = list(_blocks(rows))
        columns = [np.concatenate(parts) for parts in zip(*blocks, strict=True)] if blocks else [np.empty(0, "S1")]
        order = np.argsort(columns[0], kind="stable")
        self._keys, *self._values = (column[order] for column in columns)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return (key.decode() for key in self._keys)

    def get(self, key: str) -> tuple[str, ...] | None:
        """The values of the first row of a key; None where there is none."""
        low, high = self._span(key)
        return self._row(low) if low < high else None

    def all(self, key: str) -> list[tuple[str, ...]]:
        """The values of every row of a key, in the order they were given."""
        return [self._row(i) for i in range(*self._span(key))]

    def _span(self, key: str) -> tuple[int, int]:
        sought = key.encode()
        if len(sought) > self._keys.itemsize:  # a wider needle would make numpy copy the whole column
            return 0, 0
        return int(np.searchsorted(self._keys, sought)), int(np.searchsorted(self._keys, sought, "right"))

    def _row(self, i: int) -> tuple[str, ...]:
        return tuple(column[i].decode() for column in self._values)


def _blocks(rows: Iterable[tuple[str, ...]]) -> Iterator[list[np.ndarray]]:
    rows = iter(rows)
    while block := list(islice(rows, _BLOCK)):
        yield [np.array([text.encode() for text in column], "S") for column in zip(*block, strict=True)]
