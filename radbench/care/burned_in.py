"""Text drawn into the pixels of a picture, found without character recognition.

Written text is made of thin strokes of one brightness that form pieces of one height, side by side on a base line,
each of another shape. Anatomy rarely has all of that at once. A heuristic of our own: it warns, it guarantees nothing.
``tests/core/test_burned_in.py`` measures it and states the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LONGEST_SIDE = 1536  # larger pictures are looked at reduced by a whole factor
STROKE = 9  # pixels: strokes are thinner
CONTRAST = 40  # grey levels of a stroke above or below its surroundings
LOWEST = 6  # pixels of a character's height
TALLEST = 0.08  # of the picture's longest side, and never below 2 * LOWEST pixels
FEWEST = 5  # characters on one line


@dataclass(frozen=True, slots=True)
class TextLine:
    """Where text seems to stand, in pixels of the picture: ``x0 < x1`` to the right, ``y0 < y1`` downwards."""

    x0: int
    y0: int
    x1: int
    y1: int
    characters: int


def text_lines(grey: np.ndarray) -> list[TextLine]:
    """The lines of text that a picture seems to carry. ``grey``: uint8, (H, W)."""
    factor = max(-(-max(grey.shape) // LONGEST_SIDE), 1)
    small = _reduced(grey, factor)
    if min(small.shape) < 2 * STROKE:
        return []
    found = []
    for levels in (small, 255 - small):
        pieces = _pieces(levels)
        found += [_line(pieces[members], factor) for members in _rows(pieces)]
    return sorted(found, key=lambda line: -line.characters)


def _reduced(grey: np.ndarray, factor: int) -> np.ndarray:
    if factor == 1:
        return grey
    height, width = (n // factor * factor for n in grey.shape)
    blocks = grey[:height, :width].reshape(height // factor, factor, width // factor, factor)
    return blocks.mean(axis=(1, 3)).astype(np.uint8)


# --- pieces ---

X0, Y0, X1, Y1, AREA, LEVEL = range(6)


def _pieces(levels: np.ndarray) -> np.ndarray:
    """Bright thin pieces that could be characters: one row (x0, y0, x1, y1, area, brightness) each, by x0."""
    strokes = levels - _opened(levels, STROKE)  # never below 0
    nearby = _dilated(strokes, STROKE)
    runs, piece = _components(strokes > np.maximum(nearby // 2, CONTRAST))
    if not len(runs):
        return np.empty((0, 6))
    y, start, end = runs.T
    out = np.empty((piece.max() + 1, 6))
    out[:, [X0, Y0]] = np.inf
    out[:, [X1, Y1, AREA, LEVEL]] = 0
    np.minimum.at(out[:, X0], piece, start)
    np.minimum.at(out[:, Y0], piece, y)
    np.maximum.at(out[:, X1], piece, end)
    np.maximum.at(out[:, Y1], piece, y + 1)
    np.add.at(out[:, AREA], piece, end - start)
    sums = np.concatenate([np.zeros((len(levels), 1)), np.cumsum(levels, axis=1, dtype=np.int64)], axis=1)
    np.add.at(out[:, LEVEL], piece, sums[y, end] - sums[y, start])
    out[:, LEVEL] /= out[:, AREA]
    height, width = out[:, Y1] - out[:, Y0], out[:, X1] - out[:, X0]
    fill = out[:, AREA] / (height * width)
    tallest = max(TALLEST * max(levels.shape), 2 * LOWEST)
    fits = (height >= LOWEST) & (height <= tallest) & (width <= 1.7 * height)
    fits &= (fill > 0.15) & ((fill < 0.85) | (width < 0.5 * height))
    kept = out[fits]
    return kept[np.argsort(kept[:, X0], kind="stable")]


def _opened(levels: np.ndarray, size: int) -> np.ndarray:
    """Morphological opening with a square: what is thinner than ``size`` is gone."""
    padded = np.pad(levels, size // 2, mode="edge")
    return _dilated(_extreme(_extreme(padded, size, 0, np.minimum), size, 1, np.minimum), size)


def _dilated(levels: np.ndarray, size: int) -> np.ndarray:
    padded = np.pad(levels, size // 2, mode="edge")
    return _extreme(_extreme(padded, size, 0, np.maximum), size, 1, np.maximum)


def _extreme(values: np.ndarray, size: int, axis: int, of: np.ufunc) -> np.ndarray:
    """Smallest or largest of ``size`` neighbours along an axis, by doubling; the axis shrinks by ``size - 1``."""
    length, done = values.shape[axis] - size + 1, 1
    while done < size:
        step = min(done, size - done)
        shorter = values.shape[axis] - step
        values = of(np.take(values, range(shorter), axis), np.take(values, range(step, shorter + step), axis))
        done += step
    assert values.shape[axis] == length
    return values


def _components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """8-connected components as horizontal runs: (y, start, end) of each run, and the number of its component."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    y, start = np.nonzero(edges == 1)
    _, end = np.nonzero(edges == -1)
    if not len(y):
        return np.empty((0, 3), int), np.empty(0, int)
    stride = mask.shape[1] + 2
    first = np.searchsorted(
        (y * stride + end), (y - 1) * stride + start
    )  # above: the first that ends at or after start
    last = np.searchsorted((y * stride + start), (y - 1) * stride + end, side="right")  # and the first beyond the end
    count = np.maximum(last - first, 0)
    below = np.repeat(np.arange(len(y)), count)
    above = np.repeat(first - np.concatenate([[0], np.cumsum(count)[:-1]]), count) + np.arange(count.sum())
    label = np.arange(len(y))
    while True:  # the smallest number spreads along touching runs, by pointer jumping
        lowest = label.copy()
        np.minimum.at(lowest, label[below], label[above])
        np.minimum.at(lowest, label[above], label[below])
        lowest = lowest[lowest[lowest]]
        lowest = np.minimum(lowest, lowest[label])
        if (lowest == label).all():
            break
        label = lowest
    return np.stack([y, start, end], axis=1), np.unique(label, return_inverse=True)[1]


# --- lines ---


def _rows(pieces: np.ndarray) -> list[np.ndarray]:
    """Groups of pieces that stand side by side like the characters of a line."""
    parent = np.arange(len(pieces))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    starts = pieces[:, X0]
    for i, a in enumerate(pieces):
        height = a[Y1] - a[Y0]
        stop = int(np.searchsorted(starts, a[X1] + 1.2 * height, side="right"))
        for j in i + 1 + np.flatnonzero(_beside(a, pieces[i + 1 : stop])):
            parent[root(int(j))] = root(i)
    groups: dict[int, list[int]] = {}
    for i in range(len(pieces)):
        groups.setdefault(root(i), []).append(i)
    return [np.array(g) for g in groups.values() if len(g) >= FEWEST and _written(pieces[g])]


def _beside(a: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which pieces could be the next character after ``a``: alike in height and brightness, on one base line."""
    height, heights = a[Y1] - a[Y0], others[:, Y1] - others[:, Y0]
    taller = np.maximum(height, heights)
    return (
        (np.minimum(height, heights) >= 0.6 * taller)
        & ((np.abs(others[:, Y1] - a[Y1]) <= 0.12 * taller + 1) | (np.abs(others[:, Y0] - a[Y0]) <= 0.12 * taller))
        & (others[:, X0] >= a[X1] - 0.2 * taller)
        & (np.abs(others[:, LEVEL] - a[LEVEL]) <= 24)
    )


def _written(group: np.ndarray) -> bool:
    """Whether a row looks written: not the equal marks of a scale, not overlapping, a line and not a staircase."""
    height = group[:, Y1] - group[:, Y0]
    width = group[:, X1] - group[:, X0]
    density = group[:, AREA] / (height * width)
    varied = np.std(width) > 0.08 * np.mean(width) or np.std(density) > 0.08
    level = np.std(height) <= 0.22 * np.median(height)
    return bool(varied and level and group[:, Y1].max() - group[:, Y0].min() <= 1.7 * np.median(height))


def _line(group: np.ndarray, factor: int) -> TextLine:
    low, high = group.min(axis=0), group.max(axis=0)
    x0, y0, x1, y1 = (int(v) * factor for v in (low[X0], low[Y0], high[X1], high[Y1]))
    return TextLine(x0, y0, x1, y1, len(group))
