"""Ellipsoids in patient millimetres, the grids they are seen on, and the smooth noise that gives them texture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Point = tuple[float, float, float]

# Columns and rows of a plane as displayed: (patient axis, sign). Patient axes: 0 right to left, 1 anterior to posterior,
# 2 feet to head. The patient's right is on the viewer's left, the front faces left in a lateral view.
PLANES: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "axial": ((0, 1), (1, 1)),
    "coronal": ((0, 1), (2, -1)),
    "frontal": ((0, 1), (2, -1)),
    "sagittal": ((1, 1), (2, -1)),
    "lateral": ((1, 1), (2, -1)),
}


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one purpose, so that drawing more for another purpose changes nothing here."""
    return np.random.default_rng([seed, crc32(name.encode())])


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """``sum |(p - centre) / radii| ** power <= 1``, turned by ``tilt`` radians about the head-foot axis."""

    centre: Point
    radii: Point
    power: float = 2.0
    tilt: float = 0.0

    def scaled(self, factor: float | Point) -> Ellipsoid:
        f = factor if isinstance(factor, tuple) else (factor,) * 3
        (a, b, c), (x, y, z) = self.radii, f
        return replace(self, radii=(float(a * x), float(b * y), float(c * z)))

    def moved(self, dx: float = 0.0, dy: float = 0.0, dz: float = 0.0) -> Ellipsoid:
        x, y, z = self.centre
        return replace(self, centre=(float(x + dx), float(y + dy), float(z + dz)))


@dataclass(frozen=True, slots=True)
class Grid:
    """Patient coordinates of every pixel or voxel; arrays broadcast to ``shape``. ``spacing`` is mm, in its order."""

    x: Array
    y: Array
    z: Array
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    plane: str = ""
    turn: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 0.0)  # angle, scale, shift along columns and rows
    middle: tuple[float, float] = (0.0, 0.0)
    bounds: tuple[tuple[Array, Array], ...] = ()  # of a volume: lowest and highest coordinate along each axis

    def axis(self, index: int) -> Array:
        return (self.x, self.y, self.z)[index]

    def pixels(self, points: Any) -> Array:
        """(n, 3) patient points as (n, 2) pixel coordinates (column, row) of this plane."""
        p = np.asarray(points, float).reshape(-1, 3)
        (ca, cs), (ra, rs) = PLANES[self.plane]
        angle, scale, da, db = self.turn
        a, b = p[:, ca] - self.middle[0] - da, p[:, ra] - self.middle[1] - db
        u = (a * np.cos(angle) + b * np.sin(angle)) / scale
        v = (-a * np.sin(angle) + b * np.cos(angle)) / scale
        h, w = self.shape
        return np.stack([cs * u / self.spacing[1] + w / 2, rs * v / self.spacing[0] + h / 2], axis=1)


def plane_grid(
    plane: str,
    size: int,
    view: float,
    middle: Point,
    level: float = 0.0,
    turn: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 0.0),
) -> Grid:
    """A square picture of ``size`` pixels over ``view`` mm about ``middle``; ``level`` is the remaining coordinate."""
    (ca, cs), (ra, rs) = PLANES[plane]
    step = view / size
    ticks = ((np.arange(size) + 0.5 - size / 2) * step).astype(np.float32)
    u, v = (cs * ticks)[None, :], (rs * ticks)[:, None]
    angle, scale, da, db = turn
    centre = (middle[ca], middle[ra])
    a = scale * (u * math.cos(angle) - v * math.sin(angle)) + (centre[0] + da)
    b = scale * (u * math.sin(angle) + v * math.cos(angle)) + (centre[1] + db)
    where: list[Array] = [np.full((1, 1), level, np.float32)] * 3
    where[ca], where[ra] = a, b
    return Grid(where[0], where[1], where[2], (size, size), (step, step), plane, turn, centre)


def volume_grid(shape: tuple[int, int, int], view: Point, middle: Point) -> Grid:
    """Voxels in patient order (right to left, anterior to posterior, feet to head)."""
    step = tuple(v / n for v, n in zip(view, shape, strict=True))
    ticks = [
        ((np.arange(n) + 0.5 - n / 2) * s + m).astype(np.float32) for n, s, m in zip(shape, step, middle, strict=True)
    ]
    bounds = tuple((t, t) for t in ticks)
    return Grid(ticks[0][:, None, None], ticks[1][None, :, None], ticks[2][None, None, :], shape, step, bounds=bounds)


def wavy(grid: Grid, rng: np.random.Generator, amount: float, length: float) -> Grid:
    """The grid with coordinates bent smoothly, so that organs are not perfect ellipsoids."""
    phase = [float(v) for v in rng.uniform(0, 2 * np.pi, 6)]
    k = 2 * math.pi / length
    dx = amount * (np.sin(k * grid.y + phase[0]) + np.sin(k * grid.z + phase[1])) / 2
    dy = amount * (np.sin(k * grid.x + phase[2]) + np.sin(k * grid.z + phase[3])) / 2
    dz = amount * (np.sin(k * grid.x + phase[4]) + np.sin(k * grid.y + phase[5])) / 2
    bounds = tuple((low - amount, high + amount) for low, high in grid.bounds)
    return replace(grid, x=grid.x + dx, y=grid.y + dy, z=grid.z + dz, bounds=bounds)


def power(values: Array, p: float) -> Array:
    """``values ** p`` of what is not negative; the exponents of the tables without a logarithm."""
    if p == 2.0:
        return np.square(values)
    if p == 2.5:
        return np.square(values) * np.sqrt(values)
    if p == 3.0:
        return np.square(values) * values
    if p == 4.0:
        return np.square(np.square(values))
    return np.asarray(values**p)


def level_set(e: Ellipsoid, grid: Grid) -> Array:
    """0 at the centre, 1 on the surface, above 1 outside."""
    dx, dy, dz = grid.x - e.centre[0], grid.y - e.centre[1], grid.z - e.centre[2]
    if e.tilt:
        cosine, sine = math.cos(e.tilt), math.sin(e.tilt)
        dx, dy = cosine * dx + sine * dy, cosine * dy - sine * dx
    if e.power == 2.0:
        return np.sqrt(np.square(dx / e.radii[0]) + np.square(dy / e.radii[1]) + np.square(dz / e.radii[2]))
    a, b, c = (power(np.abs(d / r), e.power) for d, r in zip((dx, dy, dz), e.radii, strict=True))
    total = a + b + c
    return np.sqrt(np.sqrt(total)) if e.power == 4.0 else np.asarray(total ** np.float32(1 / e.power))


def window_of(e: Ellipsoid, grid: Grid, margin: float) -> tuple[tuple[slice, ...], Grid]:
    """The part of a volume that an ellipsoid can reach."""
    wide = max(e.radii[0], e.radii[1]) if e.tilt else 0.0
    reach = (max(e.radii[0], wide), max(e.radii[1], wide), e.radii[2])
    part = []
    for (low, high), c, r in zip(grid.bounds, e.centre, reach, strict=True):
        inside = np.flatnonzero((low <= c + r + margin) & (high >= c - r - margin))
        part.append(slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0))
    where = tuple(part)
    x, y, z = (
        a[tuple(s if n > 1 else slice(None) for s, n in zip(where, a.shape, strict=True))]
        for a in (grid.x, grid.y, grid.z)
    )
    return where, replace(grid, x=x, y=y, z=z, shape=tuple(s.stop - s.start for s in where), bounds=())


def cover(e: Ellipsoid, grid: Grid, soft: float = 1.0) -> Array:
    """How much of each pixel lies inside, 0 to 1; ``soft`` widens the edge (in pixels)."""
    if grid.bounds:
        out = np.zeros(grid.shape, np.float32)
        where, part = window_of(e, grid, max(grid.spacing) * soft * max(e.radii) / min(e.radii))
        if all(part.shape):
            out[where] = cover(e, part, soft)
        return out
    edge = min(e.radii) / (max(grid.spacing) * soft)
    return np.broadcast_to(np.clip((1 - level_set(e, grid)) * edge + 0.5, 0, 1), grid.shape)


def chord(e: Ellipsoid, grid: Grid, ray: int) -> tuple[Array, Array]:
    """Where rays along patient axis ``ray`` enter and leave, mm; equal where they miss."""
    u = sum(power(np.abs((grid.axis(i) - e.centre[i]) / e.radii[i]), e.power) for i in range(3) if i != ray)
    inside = np.maximum(1 - u, 0)
    half = e.radii[ray] * (np.sqrt(inside) if e.power == 2.0 else inside ** np.float32(1 / e.power))
    return e.centre[ray] - half, e.centre[ray] + half


def overlap(*chords: tuple[Array, Array]) -> Array:
    """Length that all the chords share."""
    low, high = chords[0]
    for a, b in chords[1:]:
        low, high = np.maximum(low, a), np.minimum(high, b)
    return np.maximum(high - low, 0)


def tube(shape: tuple[int, ...], points: Array, radii: Array) -> Array:
    """Thickness (in pixels) of a tube through pixel points (column, row), each segment in its own small window."""
    out = np.zeros(shape, np.float32)
    for (x0, y0), (x1, y1), r0, r1 in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
        reach = max(r0, r1, 0.5) + 1
        left, right = int(max(min(x0, x1) - reach, 0)), int(min(max(x0, x1) + reach + 1, shape[1]))
        top, bottom = int(max(min(y0, y1) - reach, 0)), int(min(max(y0, y1) + reach + 1, shape[0]))
        if left >= right or top >= bottom:
            continue
        u, v = np.arange(left, right)[None, :] + 0.5 - x0, np.arange(top, bottom)[:, None] + 0.5 - y0
        dx, dy = x1 - x0, y1 - y0
        long = dx * dx + dy * dy + 1e-9
        t = np.minimum(np.maximum(u * (dx / long) + v * (dy / long), 0), 1)
        d2 = (u - t * dx) ** 2 + (v - t * dy) ** 2
        r = r0 if r0 == r1 else r0 + t * (r1 - r0)
        wide = np.maximum(r, 0.5)  # thinner than a pixel: fainter, not absent
        thick = 2 * np.sqrt(np.maximum(wide * wide - d2, 0)) * np.minimum(r / wide, 1)
        window = out[top:bottom, left:right]
        np.maximum(window, thick, out=window)
    return out


def _kernel(shape: tuple[int, ...], sigma: tuple[float, ...]) -> Array:
    kernel = np.ones(1)
    for i, (n, s) in enumerate(zip(shape, sigma, strict=True)):
        f = np.fft.rfftfreq(n) if i == len(shape) - 1 else np.fft.fftfreq(n)
        view = [1] * len(shape)
        view[i] = len(f)
        kernel = kernel * np.exp(-2 * (np.pi * s * f) ** 2).reshape(view)
    return kernel


def blur(values: Array, sigma: float | tuple[float, ...]) -> Array:
    """Gaussian blur (sigma in pixels), edges continued outwards."""
    s = sigma if isinstance(sigma, tuple) else (sigma,) * values.ndim
    pad = [(int(3 * v + 1),) * 2 for v in s]
    padded = np.pad(values, pad, mode="edge")
    out = np.fft.irfftn(np.fft.rfftn(padded) * _kernel(padded.shape, s), padded.shape, axes=range(padded.ndim))
    return np.asarray(out[tuple(slice(p[0], n - p[1]) for p, n in zip(pad, padded.shape, strict=True))])


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> Array:
    """Noise of mean 0 and standard deviation 1 with a correlation length of about ``sigma`` pixels."""
    white = rng.standard_normal(shape)
    field = np.fft.irfftn(np.fft.rfftn(white) * _kernel(shape, (sigma,) * len(shape)), shape, axes=range(len(shape)))
    return np.asarray((field - field.mean()) / (field.std() + 1e-9))
