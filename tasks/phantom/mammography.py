"""Mammograms: both breasts, craniocaudal and mediolateral oblique."""

from __future__ import annotations

import numpy as np
from radbench.tasks.phantom.anatomy import Anatomy
from radbench.tasks.phantom.geometry import Array, blur, smooth_noise, stream
from radbench.tasks.phantom.places import organs_of
from radbench.tasks.phantom.rendered import Rendered
from radbench.tasks.phantom.spec import Case, Finding

WIDTH = 158.0
VIEWS = (("right", "CC"), ("left", "CC"), ("right", "MLO"), ("left", "MLO"))


def picture(case: Case, size: int, side: str, view: str) -> Rendered:
    """Columns run from the nipple to the chest wall on the right breast and back on the left; the outer (CC) or upper
    (MLO) part is on top. The oblique is taken at 45 degrees.
    """
    organs: Anatomy = organs_of(case)
    breast = organs[f"{side} breast"]
    step = WIDTH / size
    ticks = (np.arange(size) + 0.5) * step
    rng = stream(case.seed, f"pose {side} {view}")
    wall = 4.0 + float(rng.uniform(0, 4))
    depth = ticks[::-1] - wall if side == "right" else ticks - wall  # mm in front of the chest wall
    depth = np.broadcast_to(depth[None, :], (size, size))
    across = np.broadcast_to((WIDTH / 2 - ticks + float(rng.uniform(-4, 4)))[:, None], (size, size))  # towards the top
    length = breast.radii[1] * 1.22
    half = breast.radii[0] * (0.98 if view == "CC" else 1.02)
    shape = (np.abs(across - (0 if view == "CC" else -10 + 0.12 * depth)) / half) ** 2.3 + (
        np.clip(depth, 0, None) / length
    ) ** 2.1
    edge = 1 - shape
    thick = np.where(depth > -wall, np.clip(edge, 0, 1) ** 0.32, 0)
    skin = (edge > 0) & (edge < 0.06)
    glands = _glands(case, side, edge, across, depth, half, length, step)
    film = 0.21 * thick + 0.46 * glands * (edge > 0.03) + 0.14 * skin
    if view == "MLO":
        muscle = np.clip((across - 12 - 1.45 * depth) / 5 + 0.5, 0, 1) * (edge > 0)
        film = np.maximum(film, muscle * (0.62 + 0.04 * smooth_noise(rng, film.shape, 6)))
    out = Rendered(film, f"{side[0].upper()} {view}", (step, step), laterality=side[0].upper())
    out.outlines["breast"] = edge > 0
    for f in case.findings:
        if f.side == side:
            film = _finding(case, f, film, out, _project(f, breast.centre, side, view, across, depth), step)
    level = 0.012 + 0.03 * case.difficulty
    grain = smooth_noise(rng, film.shape, 0.8)
    out.pixels = np.clip((blur(film, 0.4) + level * grain * (0.3 + film)) * (edge > -0.02), 0, 1)
    return out


def _glands(
    case: Case, side: str, edge: Array, across: Array, depth: Array, half: float, length: float, step: float
) -> Array:
    """Fibroglandular tissue: strands that converge on the nipple."""
    rng = stream(case.seed // 8, f"glands {side}")
    density = float(stream(case.seed // 8, "density").uniform(0.35, 0.95))
    cloud = smooth_noise(rng, edge.shape, 9 / step)
    strands = smooth_noise(rng, edge.shape, 2.6 / step)
    core = np.clip(1.25 - np.sqrt((across / (0.72 * half)) ** 2 + ((depth - 0.5 * length) / (0.5 * length)) ** 2), 0, 1)
    lines = np.clip(1 - 3.5 * np.abs(strands), 0, 1)
    return (
        np.clip(core * (0.7 + 0.45 * cloud + 0.2 * strands) + 0.25 * lines * np.clip(core + 0.25, 0, 0.6), 0, 1.3)
        * density
    )


def _project(
    f: Finding, centre: tuple[float, float, float], side: str, view: str, across: Array, depth: Array
) -> Array:
    """Distance (in-plane mm, two components) from the finding."""
    outward = (f.centre[0] - centre[0]) * (1 if side == "left" else -1)
    up = outward if view == "CC" else (outward + f.centre[2] - centre[2]) / np.sqrt(2)
    return np.stack([across - up, depth + f.centre[1]])


def _finding(case: Case, f: Finding, film: Array, out: Rendered, away: Array, step: float) -> Array:
    """``film`` with the finding; ``away`` is the offset from its centre."""
    fade = 1 - 0.55 * case.difficulty
    r = f.radii[0]
    q = np.hypot(away[0], away[1]) / r
    angle = np.arctan2(away[0], away[1])
    rng = stream(case.seed // 8, f"detail {f.name}")
    if f.name == "breast mass":
        spiky = f.attributes["margin"] == "spiculated"
        body = np.clip((1 - q * (1.25 if spiky else 1.0)) * 5 + 0.4, 0, 1)
        if spiky:
            body = np.maximum(body, np.clip((1.6 - q) * 1.2, 0, 0.8) * np.clip(np.cos(9 * angle + 1) * 2.4 - 1.0, 0, 1))
        film = film + (0.42 if f.attributes["density"] == "high" else 0.3) * fade * body
    elif f.name == "breast calcifications":
        for _ in range(14):
            a, d = rng.uniform(0, 2 * np.pi), r * 0.9 * np.sqrt(rng.uniform())
            dot = np.hypot(away[0] - d * np.sin(a), away[1] - d * np.cos(a))
            film = film + 0.75 * fade * np.clip(1.15 - dot / max(float(rng.uniform(0.8, 1.3)), 0.6 * step), 0, 1)
    elif f.name == "focal asymmetry":
        cloud = 0.8 + 0.25 * smooth_noise(rng, film.shape, 4 / step)
        film = film + 0.34 * fade * np.exp(-((q * 1.25) ** 2)) * cloud
    else:  # architectural distortion: strands drawn together, nothing in the middle
        rays = np.clip(np.cos(11 * angle + 0.6 * np.sin(3 * angle)) * 2 - 0.7, 0, 1)
        film = film + fade * (
            0.36 * rays * np.clip(1.1 - q, 0, 1) * np.clip(q * 5, 0, 1) - 0.06 * np.exp(-((q * 3) ** 2))
        )
    out.add(f.name, q <= 1)
    return film


def render(case: Case, size: int) -> list[Rendered]:
    """The pictures of a case, ``size`` pixels wide."""
    return [picture(case, size, side, view) for side, view in VIEWS]
