"""FDG PET: a frontal projection of the trunk (dark is active), or a volume."""

from __future__ import annotations

import numpy as np
from radbench.tasks.phantom.anatomy import Anatomy
from radbench.tasks.phantom.body_scenes import lesions
from radbench.tasks.phantom.geometry import (
    Array,
    Ellipsoid,
    blur,
    chord,
    cover,
    level_set,
    overlap,
    plane_grid,
    stream,
    volume_grid,
)
from radbench.tasks.phantom.places import organs_of
from radbench.tasks.phantom.rendered import Rendered
from radbench.tasks.phantom.spec import Case, Finding

SIDES = ("right", "left")
HEIGHT = 720.0
MIDDLE = (0.0, 0.0, 20.0)
UPTAKE = {  # relative to blood; organs that overlap the body add to it
    "head": 0.5, "neck": 0.7, "body": 0.75, "brain": 7.0, "heart": 4.5, "heart cavity": -4.0, "liver": 1.5, "spleen": 1.0,
    "bladder": 9.0, "spine": 0.8, "pelvis": 0.5, "right leg": 0.55, "left leg": 0.55, "right lung": -0.45, "left lung": -0.45,
    "right kidney": 4.2, "left kidney": 4.2,
}  # fmt: skip


def spots(case: Case, organs: Anatomy) -> list[tuple[Finding, Ellipsoid]]:
    """Every focus of a case with its ellipsoid."""
    out = []
    for f in case.findings:
        if f.name == "brown fat uptake":
            grow = {"mild": 0.75, "moderate": 0.95, "severe": 1.15}[f.severity]
            out += [(f, organs[f"{side} supraclavicular"].scaled(grow)) for side in SIDES]
        else:
            out += [(f, e) for e in lesions(case, f, organs)]
    return out


def render(case: Case, size: int) -> list[Rendered]:
    """The pictures of a case, ``size`` pixels wide."""
    organs = organs_of(case)
    return [_volume(case, size, organs) if case.kind == "volume" else _projection(case, size, organs)]


def _strength(case: Case, f: Finding) -> float:
    """Uptake of a focus over its surroundings."""
    return {"mild": 4.5, "moderate": 6.0, "severe": 8.0}.get(f.severity, 8.5) * (1 - 0.5 * case.difficulty)


def _projection(case: Case, size: int, organs: Anatomy) -> Rendered:
    """Between a maximum and a mean along the ray: what is small and hot stays visible."""
    rng = stream(case.seed, "pose")
    turn = (float(rng.uniform(-0.02, 0.02)), 1.0, float(rng.uniform(-5, 5)), float(rng.uniform(-8, 8)))
    grid = plane_grid("frontal", size, HEIGHT, MIDDLE, 0.0, turn)
    activity = np.zeros(grid.shape)
    for name, value in UPTAKE.items():
        e = organs[name]
        thick = overlap(chord(e, grid, 1)) / (2 * e.radii[1])
        depth = min(e.radii[1] / 45, 1.6)
        activity = activity + value * depth * thick
    out = Rendered(np.zeros(0), "frontal", grid.spacing)
    for f, e in spots(case, organs):
        thick = overlap(chord(e, grid, 1)) / (2 * e.radii[1])
        activity = activity + _strength(case, f) * np.sqrt(thick)
        out.add(f.name, thick > 0)
    for name in ("brain", "heart", "liver", "bladder"):
        out.structures[name] = overlap(chord(organs[name], grid, 1)) > 0
    kidneys = [overlap(chord(organs[f"{s} kidney"], grid, 1)) > 0 for s in SIDES]
    out.structures["kidney"] = (kidneys[0] | kidneys[1]) & ~out.structures["liver"]
    seen = blur(np.clip(activity, 0, None), 6.0 / grid.spacing[0])
    counts = 45 / (0.35 + 2.2 * case.difficulty)
    seen = np.clip(blur(rng.poisson(np.clip(seen, 0, None) * counts) / counts, 0.6), 0, None)
    out.pixels = np.clip(1 - (seen / 9.0) ** 0.85, 0, 1)
    return out


def _volume(case: Case, size: int, organs: Anatomy) -> Rendered:
    """Uptake itself (not inverted), trunk only."""
    rng = stream(case.seed, "pose")
    shape = (size // 2, size // 2, size * 3 // 8)
    grid = volume_grid(shape, (400.0, 400.0, 560.0), (float(rng.uniform(-4, 4)), 0.0, -60.0))
    activity = np.zeros(shape)
    for name, value in UPTAKE.items():
        activity += value * cover(organs[name], grid)
    origin = (float(grid.x.flat[0]), float(grid.y.flat[0]), float(grid.z.flat[0]))
    out = Rendered(np.zeros(0), "axial", grid.spacing, origin=origin)
    for f, e in spots(case, organs):
        q = level_set(e, grid)
        activity += _strength(case, f) * np.clip((1 - q) * max(e.radii) / max(grid.spacing) + 0.5, 0, 1)
        out.add(f.name, _at_least_one(np.broadcast_to(q < 1, shape), q))
    for name in ("liver", "heart"):
        out.structures[name] = cover(organs[name], grid) > 0.5
    counts = 60 / (0.35 + 2.2 * case.difficulty)
    seen = blur(np.clip(activity, 0, None), tuple(5.0 / s for s in grid.spacing))
    out.pixels = (rng.poisson(np.clip(seen, 0, None) * counts) / counts / 10).astype(np.float32)
    return out


def _at_least_one(mask: Array, q: Array) -> Array:
    return mask if mask.any() else q == q.min()
