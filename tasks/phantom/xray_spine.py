"""X-rays of the lumbar spine, frontal and lateral."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from radbench.tasks.phantom.findings import LEVELS
from radbench.tasks.phantom.geometry import (
    Array,
    Ellipsoid,
    Grid,
    chord,
    overlap,
    plane_grid,
    smooth_noise,
    stream,
    tube,
)
from radbench.tasks.phantom.rendered import Rendered
from radbench.tasks.phantom.spec import Case
from radbench.tasks.phantom.trees import vertebrae
from radbench.tasks.phantom.xray import BONE, METAL, SOFT, exposed

WIDTH = 270.0
CURVES = {"mild": 18.0, "moderate": 28.0, "severe": 40.0}  # sideways displacement at the apex, mm
CRUSHED = {"mild": 0.74, "moderate": 0.58, "severe": 0.42}  # height that is left
NARROWED = {"mild": 3.4, "moderate": 5.2, "severe": 6.6}  # mm taken from the disc


def bodies(case: Case) -> list[Ellipsoid]:
    """Vertebrae as the findings leave them."""
    chain = vertebrae(case.seed // 8)
    for f in case.findings:
        level = f.attributes.get("level", "").split("-")[0]
        at = LEVELS.index(level) if level else -1
        if f.name == "scoliosis":
            sign = 1.0 if f.side == "left" else -1.0
            bend = [CURVES[f.severity] * np.cos((v.centre[2] - 20) / 120 * np.pi / 2 * 1.1) for v in chain]
            chain = [v.moved(sign * b * 0.8) for v, b in zip(chain, bend, strict=True)]
        elif f.name == "vertebral compression fracture":
            left = CRUSHED[f.severity]
            sunk = chain[at].radii[2] * (1 - left)
            chain = [
                v.moved(dz=-2 * sunk)
                if i < at
                else replace(v.scaled((1.04, 1.04, left)).moved(dz=-sunk), power=3.0)
                if i == at
                else v
                for i, v in enumerate(chain)
            ]
        elif f.name == "disc space narrowing":
            chain = [v.moved(dz=-NARROWED[f.severity]) if i <= at else v for i, v in enumerate(chain)]
    return chain


def picture(case: Case, size: int, view: str) -> Rendered:
    """One view, frontal or lateral."""
    plane, ray = ("frontal", 1) if view == "frontal" else ("lateral", 0)
    rng = stream(case.seed, f"pose {view}")
    turn = (float(rng.uniform(-0.02, 0.02)), 1.0, float(rng.uniform(-3, 3)), float(rng.uniform(-4, 4)))
    grid = plane_grid(plane, size, WIDTH, (0.0, 12.0, 2.0), 0.0, turn)
    out = Rendered(np.zeros(0), view, grid.spacing)
    chain = bodies(case)
    step = grid.spacing[0]
    soft = overlap(chord(Ellipsoid((0, -6, 0), (152, 112, 600), 2.5), grid, ray))
    gas = np.clip(smooth_noise(stream(case.seed, f"gas {view}"), grid.shape, 11 / step) - 0.9, 0, 1)
    front = np.exp(-(((grid.y + 45) / 35) ** 2)) if ray == 0 else 1.0
    bone = sum((_vertebra(v, grid, ray) for v in chain), np.zeros(grid.shape))
    bone = bone + _pelvis(grid, ray) + _last_ribs(case, grid)
    psoas = (
        sum(overlap(chord(Ellipsoid((s * 44, 24, -60), (20, 20, 110)), grid, ray)) for s in (-1, 1))
        if ray == 1
        else 0.0
    )
    metal = _implant(case, grid, chain, out)
    path = SOFT * (0.62 * soft - 20 * gas * front + 0.16 * psoas) + BONE * bone + METAL * metal
    _mark(case, out, chain, grid, ray)
    out.outlines["spine"] = np.logical_or.reduce([overlap(chord(v, grid, ray)) > 0 for v in chain])
    low, high = (0.5, 3.0) if view == "frontal" else (0.9, 4.3)
    out.pixels = exposed(case, path, view, low, high)
    return out


def _vertebra(v: Ellipsoid, grid: Grid, ray: int) -> Array:
    """A body with a dense rim, and its arch: pedicles and the spinous process."""
    body = 0.9 * overlap(chord(v, grid, ray)) - 0.45 * overlap(chord(v.scaled((0.86, 0.86, 0.82)), grid, ray))
    x, y, z = v.centre
    w, d, h = v.radii
    parts = [Ellipsoid((x + s * 0.62 * w, y + d + 5, z + 0.3 * h), (4.2, 8, 5.5)) for s in (-1, 1)]
    parts.append(Ellipsoid((x, y + d + 27, z - 0.75 * h), (3.4, 15, 8)))
    parts += [Ellipsoid((x + s * (w + 14), y + d + 8, z + 0.2 * h), (15, 4, 3.6)) for s in (-1, 1)]
    return np.asarray(1.25 * body + sum(0.8 * overlap(chord(p, grid, ray)) for p in parts))


def _pelvis(grid: Grid, ray: int) -> Array:
    sacrum = Ellipsoid((0, 42, -138), (44, 22, 30), 2.5)
    wings = [Ellipsoid((s * 92, 34, -128), (46, 24, 40), 2.5) for s in (-1, 1)]
    return np.asarray(0.35 * overlap(chord(sacrum, grid, ray)) + sum(0.3 * overlap(chord(w, grid, ray)) for w in wings))


def _last_ribs(case: Case, grid: Grid) -> Array:
    """The two lowest ribs of each side, from the front only."""
    if grid.plane != "frontal":
        return np.zeros(grid.shape)
    step, out = grid.spacing[0], np.zeros(grid.shape)
    for v in vertebrae(case.seed // 8)[:2]:
        for s in (-1, 1):
            z = v.centre[2]
            line = [(s * 24, 40, z + 4), (s * 55, 50, z - 6), (s * 85, 50, z - 26), (s * 104, 40, z - 52)]
            out = out + 0.5 * step * tube(grid.shape, grid.pixels(line), np.linspace(4.4, 3.2, 4) / step)
    return out


def _implant(case: Case, grid: Grid, chain: list[Ellipsoid], out: Rendered) -> Array:
    step, metal = grid.spacing[0], np.zeros(grid.shape)
    for f in case.findings:
        if f.name != "surgical implant":
            continue
        at = LEVELS.index(f.attributes["level"].split("-")[0])
        held = chain[at : at + 3]
        for s in (-1, 1):
            back = [(v.centre[0] + s * 0.72 * v.radii[0], v.centre[1] + v.radii[1] + 14, v.centre[2] + 3) for v in held]
            metal = np.maximum(metal, tube(grid.shape, grid.pixels(back), np.full(len(back), 2.5 / step)) * step)
            for v, head in zip(held, back, strict=True):
                tip = (v.centre[0] + s * 0.42 * v.radii[0], v.centre[1] - 0.35 * v.radii[1], v.centre[2] + 1)
                screw = tube(grid.shape, grid.pixels([head, tip]), np.array([3.2, 2.0]) / step) * step
                metal = np.maximum(metal, screw)
        out.add(f.name, metal > 0.5)
    return np.clip(metal, 0, 6) * 0.4


def _mark(case: Case, out: Rendered, chain: list[Ellipsoid], grid: Grid, ray: int) -> None:
    for f in case.findings:
        level = f.attributes.get("level", "").split("-")[0]
        at = LEVELS.index(level) if level else -1
        if f.name == "scoliosis" and ray == 1:
            out.add(f.name, np.logical_or.reduce([overlap(chord(v, grid, ray)) > 0 for v in chain]))
        elif f.name == "vertebral compression fracture":
            out.add(f.name, overlap(chord(chain[at], grid, ray)) > 0)
        elif f.name == "disc space narrowing":
            upper, lower = chain[at], chain[at + 1]
            mid = tuple((a + b) / 2 for a, b in zip(upper.centre, lower.centre, strict=True))
            gap = (upper.centre[2] - upper.radii[2] - lower.centre[2] - lower.radii[2]) / 2
            disc = Ellipsoid(mid, (upper.radii[0], upper.radii[1], max(gap + 3.0, 4.5)), 4.0)  # type: ignore[arg-type]
            out.add(f.name, overlap(chord(disc, grid, ray)) > 0)


def render(case: Case, size: int) -> list[Rendered]:
    """The pictures of a case, ``size`` pixels wide."""
    return [picture(case, size, "frontal"), picture(case, size, "lateral")]
