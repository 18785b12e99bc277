"""Binary masks as run-length text.

Two dialects. CheXmask (:func:`decode`, :func:`encode`): pairs "start length", starts count from 1, pixels row by row
(ngaggion/CheXmask-Database). SIIM-ACR (:func:`decode_relative`): pairs "offset length", each offset counted from the end
of the run before, pixels column by column, ``-1`` for no mask (as mlmed/torchxrayvision reads it).
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from radbench.errors import ImageError
from radbench.images.limits import MAX_PIXELS

_NUMBERS = re.compile(r"\s*(?:\d{1,12}(?:\s+|\Z))*", re.ASCII)


def decode(rle: str, height: int, width: int) -> NDArray[np.bool_]:
    """The bool mask (height, width) of absolute runs, row by row; an empty text is an empty mask.

    Raises :class:`ImageError` where the text is not pairs of numbers, a run is empty, out of order, overlaps the one
    before or leaves the picture.
    """
    starts, lengths = _pairs(rle)
    return _filled(starts - 1, lengths, height, width).reshape(height, width)


def decode_relative(rle: str, height: int, width: int) -> NDArray[np.bool_]:
    """The bool mask (height, width) of runs with relative offsets, column by column; ``-1`` is an empty mask.

    Raises :class:`ImageError` as :func:`decode` does.
    """
    offsets, lengths = _pairs("" if rle.strip() == "-1" else rle)
    starts = np.cumsum(offsets + lengths) - lengths
    return _filled(starts, lengths, height, width).reshape(width, height).T


def encode(mask: NDArray[np.bool_]) -> str:
    """The text that :func:`decode` reads back: the longest runs, in order."""
    flat = np.zeros(mask.size + 2, np.int8)
    flat[1:-1] = np.asarray(mask, bool).reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + 1
    edges[1::2] -= edges[::2]
    return " ".join(map(str, edges.tolist()))


def _pairs(rle: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if not _NUMBERS.fullmatch(rle):
        raise ImageError("a run-length mask is no list of whole numbers between blanks")
    numbers = np.array(rle.split(), np.int64) if rle and not rle.isspace() else np.empty(0, np.int64)
    if len(numbers) % 2:
        raise ImageError(f"a run-length mask has {len(numbers)} numbers, expected pairs of start and length")
    return numbers[::2], numbers[1::2]


def _filled(starts: NDArray[np.int64], lengths: NDArray[np.int64], height: int, width: int) -> NDArray[np.bool_]:
    """(height * width,) with runs from 0-based starts."""
    total = height * width
    if height < 1 or width < 1 or total > MAX_PIXELS:
        raise ImageError(f"a run-length mask of {height} x {width} pixels, expected 1 to {MAX_PIXELS:,}")
    ends = starts + lengths
    gaps = np.diff(starts, prepend=0) - np.concatenate(([0], lengths[:-1])) if len(starts) else starts
    if (lengths < 1).any():
        raise ImageError("a run-length mask has a run of length 0")
    if (gaps < 0).any():
        raise ImageError("a run-length mask has a run that starts before the first pixel or before the last run's end")
    if len(ends) and ends[-1] > total:
        raise ImageError(
            f"a run-length mask ends at pixel {ends[-1]:,}, the picture of {height} x {width} has {total:,}"
        )
    runs = np.empty(2 * len(starts) + 1, np.int64)
    runs[:-1:2], runs[1::2], runs[-1] = gaps, lengths, total - (ends[-1] if len(ends) else 0)
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)
