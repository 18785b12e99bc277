"""Curves and chains: ribs, vertebrae and the arteries of one side of the head, in patient millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from radbench.tasks.phantom.geometry import Array, Ellipsoid, stream

RIBS = 10
VERTEBRA = 34.0  # height of a lumbar body and its disc, mm


def ribs(seed: int, side: str) -> list[Array]:
    """Ribs 1 to 10 of a side as curves from the spine round to the front, (n, 3) points each."""
    sign = 1.0 if side == "left" else -1.0
    rng = stream(seed, "ribs")
    tilt, gap = rng.uniform(0.9, 1.1), rng.uniform(0.97, 1.03)
    t = np.linspace(0, 1, 13)
    out = []
    for k in range(RIBS):
        width = 142 * (1 - 0.62 * np.exp(-k / 1.9)) * min(1.0, 0.985 + 0.01 * k)
        depth = 84 * (1 - 0.55 * np.exp(-k / 1.6))
        top = 138 - 22.5 * gap * k
        angle = np.pi * t * 0.94  # 0 at the spine, pi in front
        x = sign * (14 + (width - 14) * np.sin(angle) ** 0.85)
        y = 62 - (62 + depth) * (1 - np.cos(angle)) / 2 + 14 * np.sin(angle)
        fall = (26 + 6.5 * k) * tilt
        z = top + 9 * np.sin(np.minimum(angle, 1.2)) - fall * (1 - np.cos(angle)) / 2 - 0.2 * fall * np.sin(angle) ** 2
        out.append(np.stack([x, y, z], axis=1))
    return out


def vertebrae(seed: int) -> list[Ellipsoid]:
    """Bodies of T11 to L5, from the top down."""
    rng = stream(seed, "vertebrae")
    out = []
    z = 98.0
    for k in range(7):
        size = 0.86 + 0.035 * k
        height = 12.2 * size * rng.uniform(0.97, 1.03)
        y = 24 - 12 * np.sin((k - 0.5) / 6 * np.pi) + 2.0 * k  # the lumbar curve
        out.append(Ellipsoid((0.0, float(y), float(z)), (23 * size, 17 * size, float(height)), 4.0))
        z -= VERTEBRA * (0.88 + 0.03 * k)
    return out


@dataclass(frozen=True, slots=True)
class Branch:
    """A piece of artery: its centre line and its radius at each point, mm."""

    name: str
    points: Array
    radii: Array


def curve(knots: list[tuple[float, float]], n: int) -> Array:
    """A smooth line in the frontal plane through knots (Catmull-Rom)."""
    p = np.array([knots[0], *knots, knots[-1]], float)
    out = []
    per = max(n // (len(knots) - 1), 2)
    for i in range(1, len(p) - 2):
        t = np.linspace(0, 1, per, endpoint=i == len(p) - 3)[:, None]
        a, b, c, d = p[i - 1], p[i], p[i + 1], p[i + 2]
        out.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    flat = np.concatenate(out)
    return np.stack([flat[:, 0], np.zeros(len(flat)), flat[:, 1]], axis=1)


def arteries(seed: int, side: str) -> list[Branch]:
    """Internal carotid artery with its middle and anterior cerebral trees, seen from the front."""
    sign = 1.0 if side == "left" else -1.0
    rng = stream(seed, "arteries")
    j = rng.uniform(-2.5, 2.5, 12)
    ica = curve(
        [
            (24 + j[0], -80),
            (23 + j[1], -60),
            (28 + j[2], -44),
            (17 + j[3], -36),
            (13, -28),
            (20 + j[4] / 2, -22),
            (16, -14),
        ],
        36,
    )
    m1 = curve([(16, -14), (26, -17 + j[5]), (36, -14 + j[6]), (44 + j[7], -10)], 16)
    a1 = curve([(16, -14), (10, -9 + j[8] / 2), (5, -7)], 8)
    a2 = curve([(5, -7), (4.5, 8), (6 + j[9] / 2, 24), (5, 42), (8, 58)], 18)
    out = [
        Branch("ICA", ica, np.linspace(3.1, 2.6, len(ica))),
        Branch("M1", m1, np.linspace(2.1, 1.8, len(m1))),
        Branch("A1", a1, np.linspace(1.5, 1.3, len(a1))),
        Branch("A2", a2, np.linspace(1.3, 0.7, len(a2))),
    ]
    end = m1[-1, [0, 2]]
    for heading in (1.35, 0.75, 0.1):
        _grow(rng, out, "M2", end, heading + float(rng.uniform(-0.15, 0.15)), 25.0, 1.35, 3)
    for at in (0.35, 0.6, 0.85):
        start = a2[int(at * (len(a2) - 1)), [0, 2]]
        _grow(rng, out, "A3", start, 0.9 + float(rng.uniform(-0.2, 0.2)), 17.0, 0.75, 1)
    return [Branch(b.name, b.points * np.array([sign, 1, 1]), b.radii) for b in out]


def _grow(
    rng: np.random.Generator,
    out: list[Branch],
    name: str,
    start: Array,
    heading: float,
    length: float,
    radius: float,
    depth: int,
) -> None:
    """A wavering branch and, at its end, two thinner ones."""
    steps = 9
    headings = heading + np.cumsum(rng.normal(0, 0.16, steps))
    line = start + np.cumsum(np.stack([np.cos(headings), np.sin(headings)], 1) * length / steps, axis=0)
    inside = (line[:, 0] / 68) ** 2 + ((line[:, 1] + 2) / 70) ** 2 < 1
    keep = len(line) if inside.all() else int(np.argmin(inside))
    line = np.concatenate([start[None], line[:keep]])
    points = np.stack([line[:, 0], np.zeros(len(line)), line[:, 1]], axis=1)
    out.append(Branch(name, points, np.linspace(radius, radius * 0.75, len(points))))
    if depth and keep == steps:
        for turn in (0.5, -0.5):
            _grow(
                rng, out, name, line[-1], float(headings[-1]) + turn * float(rng.uniform(0.7, 1.3)),
                length * float(rng.uniform(0.65, 0.85)), radius * 0.72, depth - 1,
            )  # fmt: skip
