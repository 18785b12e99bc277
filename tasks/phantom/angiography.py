"""Digital subtraction angiography of one carotid territory, from the front: vessels dark on grey."""

from __future__ import annotations

import numpy as np
from radbench.tasks.phantom.geometry import Array, Grid, blur, plane_grid, smooth_noise, stream, tube
from radbench.tasks.phantom.rendered import Rendered
from radbench.tasks.phantom.spec import Case, Finding
from radbench.tasks.phantom.trees import Branch, arteries, curve

WIDTH = 172.0
NARROW = {"mild": 0.5, "moderate": 0.3, "severe": 0.12}


def injected(case: Case) -> str:
    """The side whose carotid artery is filled."""
    return next((f.side for f in case.findings), ("right", "left")[case.seed // 8 % 2])


def render(case: Case, size: int) -> list[Rendered]:
    """The pictures of a case, ``size`` pixels wide."""
    rng = stream(case.seed, "pose")
    turn = (float(rng.uniform(-0.03, 0.03)), 1.0, float(rng.uniform(-2, 2)), float(rng.uniform(-3, 3)))
    grid = plane_grid("frontal", size, WIDTH, (0.0, 0.0, -2.0), 0.0, turn)
    out = Rendered(np.zeros(0), f"{injected(case)} internal carotid", grid.spacing)
    tree = arteries(case.seed // 8, injected(case))
    filled = _drawn(grid, tree)
    for f in case.findings:
        filled = _finding(case, f, grid, tree, filled, out)
    out.pixels = _subtracted(case, grid, filled)
    return [out]


def _drawn(grid: Grid, tree: list[Branch]) -> Array:
    """Thickness of contrast medium in mm."""
    step, thick = grid.spacing[0], np.zeros(grid.shape)
    for b in tree:
        thick = np.maximum(thick, tube(grid.shape, grid.pixels(b.points), b.radii / step) * step)
    return thick


def _finding(case: Case, f: Finding, grid: Grid, tree: list[Branch], normal: Array, out: Rendered) -> Array:
    if f.name in ("stenosis", "vasospasm", "occlusion"):
        changed = _drawn(grid, _altered(case, f, tree))
        out.add(f.name, _where(f, grid, tree, normal, changed))
        return changed
    x, y = grid.pixels([f.centre])[0]
    rows, columns = np.arange(grid.shape[0])[:, None] + 0.5, np.arange(grid.shape[1])[None, :] + 0.5
    away = np.hypot(columns - x, rows - y) * grid.spacing[0]
    r = f.size_mm / 2
    rng = stream(case.seed // 8, "detail")
    if f.name == "aneurysm":
        sac = 2 * np.sqrt(np.clip(r * r - away**2, 0, None))
        out.add(f.name, away < r)
        return np.maximum(normal, sac * 0.8)
    if f.name == "extravasation":
        cloud = np.exp(-((away / (0.72 * r)) ** 2)) * np.clip(
            1 + 0.35 * smooth_noise(rng, grid.shape, 2.5 / grid.spacing[0]), 0, 2
        )
        out.add(f.name, away < r)
        return normal + 3.4 * (1 - 0.5 * case.difficulty) * cloud
    tangle = np.zeros(grid.shape)
    for _ in range(10):  # the nidus: loops within a disc, fed and drained by larger vessels
        steps = np.cumsum(rng.normal(0, 0.9, 14))
        angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0.25, 0.35, 14))
        radius = r * np.clip(0.55 + 0.12 * steps, 0.05, 0.92)
        loop = np.stack(
            [x + radius * np.cos(angle) / grid.spacing[0], y + radius * np.sin(angle) / grid.spacing[0]], axis=1
        )
        tangle = np.maximum(tangle, tube(grid.shape, loop, np.full(14, 1.05 / grid.spacing[0])) * grid.spacing[0])
    out.add(f.name, away < r)
    sign = 1 if f.side == "left" else -1
    feeder = [tree[1].points[-1], np.array(f.centre) - np.array([sign * 0.5 * r, 0, 0.6 * r])]
    x0, _, z0 = f.centre
    vein = curve([(x0, z0), (sign * 47, 0.5 * z0 + 28), (sign * 40, 58), (sign * 22, 69), (sign * 3, 74)], 24)
    for line, thick in ((feeder, 1.9), (vein, 2.1)):
        n = len(line)
        tangle = np.maximum(
            tangle, tube(grid.shape, grid.pixels(line), np.full(n, thick / grid.spacing[0])) * grid.spacing[0]
        )
    return np.maximum(normal, tangle)


def _altered(case: Case, f: Finding, tree: list[Branch]) -> list[Branch]:
    out = []
    for b in tree:
        radii = b.radii.copy()
        near = np.sqrt(((b.points - np.array(f.centre)) ** 2).sum(axis=1))
        if f.name == "stenosis" and b.name in ("ICA", "M1"):
            radii = radii * (1 - (1 - NARROW[f.severity]) * np.exp(-((near / 4.5) ** 2)))
        elif f.name == "vasospasm" and b.name in ("M1", "A1", "M2"):
            degree = {"mild": 0.58, "moderate": 0.45, "severe": 0.32}[f.severity]
            radii = (
                radii * (degree + 0.12 * np.sin(np.arange(len(radii)) * 1.9))
                if b.name != "M2"
                else radii * (degree + 0.3)
            )
        elif f.name == "occlusion" and b.name == "M1":
            keep = max(int(np.argmin(near)), 2)
            out.append(Branch(b.name, b.points[:keep], radii[:keep]))
            continue
        elif f.name == "occlusion" and b.name == "M2":
            continue
        out.append(Branch(b.name, b.points, radii))
    return out


def _where(f: Finding, grid: Grid, tree: list[Branch], normal: Array, changed: Array) -> Array:
    """The narrowed or missing piece of the main vessel, with a margin so that it has an area at any size."""
    step = grid.spacing[0]
    names = ("M1", "A1") if f.name == "vasospasm" else ("M1",) if f.name == "occlusion" else ("ICA", "M1")
    shown = np.zeros(grid.shape, bool)
    for b in tree:
        if b.name not in names:
            continue
        near = np.sqrt(((b.points - np.array(f.centre)) ** 2).sum(axis=1))
        keep = near < 7.5 if f.name == "stenosis" else np.ones(len(near), bool)
        if f.name == "occlusion":
            keep[: max(int(np.argmin(near)) - 1, 0)] = False
        if keep.sum() > 1:
            shown |= tube(grid.shape, grid.pixels(b.points[keep]), (b.radii[keep] + 1.0) / step) > 0
    return shown


def _subtracted(case: Case, grid: Grid, thick: Array) -> Array:
    """Absorption of the contrast medium over the remains of an imperfect subtraction."""
    rng = stream(case.seed, "noise")
    q = np.sqrt((grid.x / 76) ** 2 + ((grid.z + 4) / 84) ** 2)
    skull = np.exp(-(((q - 0.96) / 0.035) ** 2))
    rest = 0.05 * np.clip(1.04 - q, -0.3, 0.3) + 0.035 * skull + 0.02 * smooth_noise(rng, grid.shape, 7.0)
    blush = (
        0.07
        * np.clip(1 - np.hypot((np.abs(grid.x) - 34) / 40, (grid.z - 14) / 48), 0, 1)
        * (np.sign(grid.x) == (1 if injected(case) == "left" else -1))
    )
    contrast = 0.23 * (1 - 0.35 * case.difficulty)
    film = 0.74 * np.exp(-contrast * blur(thick, 0.5)) - rest - blush
    level = 0.012 + 0.035 * case.difficulty
    return np.clip(film + level * rng.standard_normal(grid.shape), 0, 1)
