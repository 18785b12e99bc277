"""Chest X-rays: closed-form thickness of every organ along the rays, attenuation, scatter and noise; frontal and lateral."""

from __future__ import annotations

import numpy as np
from radbench.tasks.phantom.anatomy import Anatomy, altered
from radbench.tasks.phantom.geometry import (
    Array,
    Ellipsoid,
    Grid,
    blur,
    chord,
    overlap,
    plane_grid,
    smooth_noise,
    stream,
    tube,
)
from radbench.tasks.phantom.places import organs_of
from radbench.tasks.phantom.rendered import Rendered
from radbench.tasks.phantom.spec import Case, Finding
from radbench.tasks.phantom.trees import ribs
from radbench.tasks.phantom.xray_findings import devices, lung_findings

SIDES = ("right", "left")
WIDTHS = {"PA": 370.0, "lateral": 320.0}
SOFT, BONE = 0.0125, 0.024  # attenuation per mm of soft tissue, and what bone and metal add
METAL = 0.5


def exposed(case: Case, path: Array, view: str, low: float, high: float) -> Array:
    """Attenuation lengths to grey levels: Beer-Lambert, scatter, quantum noise, logarithm, and a window."""
    rng = stream(case.seed, f"exposure {view}")
    exposure = float(rng.uniform(0.94, 1.06))
    through = np.exp(-path * exposure)
    scatter = 0.22 * blur(through, path.shape[0] / 16) + 0.004
    level = 0.010 + 0.028 * case.difficulty
    grain = rng.standard_normal(path.shape) * 0.8 + 0.5 * smooth_noise(rng, path.shape, 0.9)
    detected = (blur(through, 0.45) + scatter) * (1 + level * grain)
    film = -np.log(np.clip(detected, 1e-5, None)) / exposure
    grey = np.clip((film - low) / (high - low), 0, None)
    return np.asarray(np.clip(1.42 * grey / (1 + 0.42 * grey), 0, 1))  # the shoulder of the film curve


def chest(case: Case, size: int, view: str) -> Rendered:
    """One view, PA or lateral: the same organs seen along y or along x."""
    plane, ray = ("frontal", 1) if view == "PA" else ("lateral", 0)
    rng = stream(case.seed, f"pose {view}")
    turn = (
        float(rng.uniform(-0.03, 0.03)),
        float(rng.uniform(0.98, 1.03)),
        float(rng.uniform(-4, 4)),
        float(rng.uniform(-6, 6)),
    )
    grid = plane_grid(plane, size, WIDTHS[view], (0.0, 8.0, 0.0 if view == "PA" else -8.0), 0.0, turn)
    normal = organs_of(case)
    organs = altered(normal, case.findings)
    out = Rendered(np.zeros(0), view, grid.spacing)
    cut = {name: chord(e, grid, ray) for name, e in organs.items()}
    air, aerated = _aerated(case, grid, organs, cut)
    _structures(out, grid, organs, cut, aerated, view)
    density = lung_findings(case, grid, organs, ray, view, out, aerated)
    lung_path = np.zeros(grid.shape)
    texture = _markings(case, grid, organs)
    for side in SIDES:
        filled = np.clip(density[side], 0, 1)
        lung_path = lung_path + air[side] * (0.78 * (1 - filled)) * (
            1 - texture * (1 - filled) * (density["free"] == 0)
        )
        lung_path = lung_path + air[side] * 0.12 * density["free"]
    path = SOFT * (_outline(grid, organs, ray) - lung_path)
    path = path + SOFT * 0.13 * (
        overlap(cut["heart"]) + 2.2 * overlap(cut["aortic arch"]) + 0.7 * overlap(cut["aorta"])
    )
    path = (
        path
        + SOFT * 0.12 * (overlap(cut["right dome"]) + overlap(cut["left dome"]))
        - SOFT * 0.8 * overlap(cut["trachea"])
    )
    path = path + SOFT * sum(0.4 * overlap(cut[f"{s} hilum"]) for s in SIDES) + SOFT * density["extra"]
    path = path + BONE * _bones(case, grid, organs, cut, view, out) + METAL * devices(case, grid, organs, out)
    low, high = (0.42, 3.2) if view == "PA" else (0.6, 4.0)
    out.pixels = exposed(case, path, view, low, high)
    return out


def _outline(grid: Grid, organs: Anatomy, ray: int) -> Array:
    """Soft tissue of the trunk, the shoulders and the neck along the rays."""
    body = organs["body"]
    neck = overlap(chord(Ellipsoid((0, 14, 190), (54, 56, 130)), grid, ray))
    trunk = overlap(chord(Ellipsoid((0, 0, -105), (body.radii[0] * 1.03, body.radii[1], 310), 3.0), grid, ray))
    if ray == 0:
        return np.maximum(trunk, neck) * 0.9
    shoulders = np.maximum.reduce(
        [overlap(chord(Ellipsoid((s * 122, 10, 88), (150, 56, 70)), grid, ray)) for s in (-1, 1)]
    )
    return np.sqrt(np.sqrt(trunk**4 + (0.85 * shoulders) ** 4 + neck**4))


def _aerated(
    case: Case, grid: Grid, organs: Anatomy, cut: dict[str, tuple[Array, Array]]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Length of air in each lung (organs in the way taken off), and where it is seen."""
    length, seen = {}, {}
    for side in SIDES:
        lung = cut[f"{side} lung"]
        whole = overlap(lung)
        without = (
            overlap(lung, cut[f"{side} dome"]) + overlap(lung, cut["heart"]) + overlap(lung, cut["mediastinum"]) * 0.8
        )
        length[side] = np.clip(whole - without, 0, None)
        seen[side] = (length[side] > 9) & (whole > 0)
    return length, seen


def _structures(
    out: Rendered, grid: Grid, organs: Anatomy, cut: dict[str, tuple[Array, Array]], seen: dict[str, Array], view: str
) -> None:
    """Lungs end at the heart and at the diaphragm, as readers outline them: the heart wins over the lungs."""
    ray = 1 if view == "PA" else 0
    heart = overlap(cut["heart"]) > 0
    for side in SIDES:
        under = overlap(cut[f"{side} lung"], cut[f"{side} dome"]) / np.maximum(overlap(cut[f"{side} lung"]), 1e-6)
        out.structures[f"{side} lung"] = (overlap(cut[f"{side} lung"]) > 0) & (under < 0.62) & ~heart & seen[side]
        dome, lung = organs[f"{side} dome"], organs[f"{side} lung"]
        edge = (overlap(chord(dome.scaled(1.06), grid, ray)) > 0) & ~(overlap(chord(dome.scaled(0.97), grid, ray)) > 0)
        near = np.abs(grid.axis(1 - ray if ray == 1 else 1) - lung.centre[1 - ray if ray == 1 else 1])
        reach = lung.radii[1 - ray if ray == 1 else 1] * 0.9
        out.outlines[f"{side} hemidiaphragm"] = edge & (near < reach) & (grid.z > dome.centre[2] + 0.35 * dome.radii[2])
    out.structures["heart"] = heart & ~(
        (overlap(cut["heart"], cut["left dome"]) + overlap(cut["heart"], cut["right dome"]))
        > 0.8 * overlap(cut["heart"])
    )
    out.outlines["trachea"] = overlap(cut["trachea"]) > 0
    out.outlines["aortic arch"] = overlap(cut["aortic arch"]) > 0
    out.outlines["spine"] = overlap(cut["spine"]) > 0


def _markings(case: Case, grid: Grid, organs: Anatomy) -> Array:
    """Vessels and fine interstitial texture as a share of the air they take."""
    rng = stream(case.seed // 8, "markings")
    sharp = smooth_noise(rng, grid.shape, 7.0 / grid.spacing[0])
    fine = smooth_noise(rng, grid.shape, 2.4 / grid.spacing[0])
    lines = np.clip(1 - np.abs(sharp) * 4.0, 0, 1) * np.clip(fine + 0.4, 0, 1)
    if grid.plane != "frontal":
        return 0.10 * lines
    near = sum(
        np.exp(-(((grid.x - organs[f"{s} hilum"].centre[0]) / 42) ** 2) - ((grid.z - 14) / 62) ** 2) for s in SIDES
    )
    return (0.04 + 0.24 * near) * lines + 0.02 * np.clip(fine, 0, 1)


def _bones(
    case: Case, grid: Grid, organs: Anatomy, cut: dict[str, tuple[Array, Array]], view: str, out: Rendered
) -> Array:
    """Millimetres of bone along the rays: spine with discs, ribs, clavicles, sternum, shoulder blades."""
    step = grid.spacing[0]
    discs = 0.62 + 0.38 * np.clip(np.cos(2 * np.pi * (grid.z + case.seed % 17) / 25) * 3 + 1.6, 0, 1)
    bone = 0.36 * overlap(cut["spine"]) * discs + 0.12 * overlap(cut["sternum"])
    callus = Ellipsoid((0.0, 0.0, 0.0), (7.0, 7.0, 6.0))
    fracture = next((f for f in case.findings if f.name == "rib fracture"), None)
    for side in SIDES:
        for number, points in enumerate(ribs(case.seed // 8, side)):
            broken = fracture is not None and fracture.side == side and fracture.attributes["rib"] == str(number + 1)
            pieces = _broken(points, fracture, out, grid, view) if broken and fracture else [points]
            if broken and fracture and view == "PA":
                bone = bone + 0.45 * overlap(chord(callus.moved(*fracture.centre).moved(dz=-4), grid, 1))
            for piece in pieces:
                p = grid.pixels(piece)
                if len(p) > 1:
                    r = max(5.0 / step, 0.5)
                    whole = tube(grid.shape, p, np.full(len(p), r))
                    marrow = 2 * np.sqrt(
                        np.clip((whole / 2) ** 2 - 0.5 * r * r, 0, None)
                    )  # the hollow of the same tube
                    bone = bone + (whole - 0.75 * marrow) * step * (0.75 if view == "PA" else 0.42)
        sign = 1.0 if side == "left" else -1.0
        if view == "PA":
            t = np.linspace(0, 1, 24)
            line = np.stack(
                [sign * (12 + 122 * t), np.full(24, -70.0), 106 + 16 * t + 7 * np.sin(2 * np.pi * t)], axis=1
            )
            collar = tube(grid.shape, grid.pixels(line), np.full(24, 6.0 / step))
            out.outlines[f"{side} clavicle"] = collar > 0
            bone = bone + 0.8 * (collar - 0.55 * tube(grid.shape, grid.pixels(line), np.full(24, 4.0 / step))) * step
            blade = np.array([[sign * 128, 80, 120], [sign * 112, 80, 60], [sign * 122, 80, 5]])
            bone = bone + 0.5 * tube(grid.shape, grid.pixels(blade), np.array([11.0, 5.0, 3.0]) / step) * step * 0.5
    return bone


def _broken(points: Array, f: Finding, out: Rendered, grid: Grid, view: str) -> list[Array]:
    """A rib in two pieces with a step; seen from the front only."""
    if view != "PA":
        return [points]
    at = int(np.argmin(((points - np.array(f.centre)) ** 2).sum(axis=1)))
    far = points[at:].copy()  # the ends overlap
    far[:, 2] -= 11.0
    spot = Ellipsoid(f.centre, (12.0, 12.0, 13.0)).moved(0, 0, -5)
    out.add(f.name, overlap(chord(spot, grid, 1)) > 0)
    return [points[: at + 1], far]


def render(case: Case, size: int) -> list[Rendered]:
    """The pictures of a case, ``size`` pixels wide."""
    return [chest(case, size, "PA"), chest(case, size, "lateral")]
