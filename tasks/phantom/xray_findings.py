"""What findings and devices do to a chest X-ray: air replaced, thickness added, metal."""

from __future__ import annotations

import numpy as np
from radbench.tasks.phantom.anatomy import Anatomy
from radbench.tasks.phantom.body_scenes import SIDES, lesions, sides_of
from radbench.tasks.phantom.geometry import Array, Ellipsoid, Grid, Point, chord, overlap, smooth_noise, stream, tube
from radbench.tasks.phantom.rendered import Rendered
from radbench.tasks.phantom.spec import Case, Finding


def lung_findings(
    case: Case, grid: Grid, organs: Anatomy, ray: int, view: str, out: Rendered, seen: dict[str, Array]
) -> dict[str, Array]:
    """How much of each lung's air findings replace, and the thickness that they add."""
    density: dict[str, Array] = {s: np.zeros(grid.shape) for s in (*SIDES, "extra", "free")}
    fade = 1 - 0.5 * case.difficulty
    for f in case.findings:
        if f.name == "pleural effusion":
            for side in sides_of(f):
                _effusion(f, grid, organs[f"{side} lung"], organs[f"{side} dome"], side, view, out, seen, density)
        elif f.name == "pneumothorax":
            _pneumothorax(f, grid, organs[f"{f.side} lung"], ray, out, seen, density)
        elif f.name == "pulmonary edema":
            grade = {"mild": 0.25, "moderate": 0.36, "severe": 0.5}[f.severity]
            haze = 0.75 + 0.22 * smooth_noise(stream(case.seed // 8, "haze"), grid.shape, 9 / grid.spacing[0])
            for side in SIDES:
                hilum, offset = organs[f"{side} hilum"].centre, 22.0 if side == "left" else -22.0
                if view == "PA":
                    wing = np.exp(-(((grid.x - hilum[0] - offset) / 44) ** 2) - ((grid.z - 4) / 72) ** 2)
                else:
                    wing = np.exp(-((grid.y / 60) ** 2) - ((grid.z - 4) / 72) ** 2)
                density[side] = density[side] + grade * (0.2 + wing) * haze
                out.add(f.name, out.structures[f"{side} lung"])
        elif f.name in ("lung nodule", "consolidation", "atelectasis"):
            _opacities(case, f, grid, organs, ray, out, density, fade)
        elif f.name == "cardiomegaly":
            out.add(f.name, out.structures["heart"])
    return density


def _effusion(
    f: Finding,
    grid: Grid,
    lung: Ellipsoid,
    dome: Ellipsoid,
    side: str,
    view: str,
    out: Rendered,
    seen: dict[str, Array],
    density: dict[str, Array],
) -> None:
    height = {"mild": 30.0, "moderate": 62.0, "severe": 105.0}[f.severity]
    if view == "PA":
        outward = np.clip((grid.x - lung.centre[0]) * np.sign(lung.centre[0]) / lung.radii[0], -1, 1)
        meniscus = 26 * np.clip(outward, 0, 1) ** 2.2 + 5 * np.clip(-outward, 0, 1) ** 2
    else:
        meniscus = (
            30 * np.clip((grid.y - 5) / lung.radii[1], 0, 1) ** 2 + 12 * np.clip(-grid.y / lung.radii[1], 0, 1) ** 2
        )
    floor = dome.centre[2] + dome.radii[2] * 0.55
    below = np.clip((floor + height + meniscus - grid.z) / 5 + 0.5, 0, 1)
    density[side] = np.maximum(density[side], 0.96 * below)
    body = chord(lung, grid, 1 if view == "PA" else 0)
    out.add(f.name, (below > 0.5) & (overlap(body) > 12) & (grid.z > floor - 22) & ~out.structures["heart"])


def _pneumothorax(
    f: Finding, grid: Grid, lung: Ellipsoid, ray: int, out: Rendered, seen: dict[str, Array], density: dict[str, Array]
) -> None:
    shrink, drop = {"mild": (0.86, 10.0), "moderate": (0.76, 18.0), "severe": (0.6, 26.0)}[f.severity]
    rest = lung.scaled((shrink, shrink, shrink)).moved(-np.sign(lung.centre[0]) * 6, 0, -drop)
    air, left = overlap(chord(lung, grid, ray)), overlap(chord(rest, grid, ray))
    free = (left <= 0) & seen[f.side] & (grid.z > lung.centre[2] - 45)
    density["free"] = density["free"] + free * (air > 0)
    density[f.side] = density[f.side] + (0.06 + 0.5 * (1 - shrink)) * (left > 0)
    line = (left > 0) & ~(overlap(chord(rest.scaled(0.965), grid, ray)) > 0) & (grid.z > lung.centre[2] - 45)
    density["extra"] = density["extra"] + 14.0 * line
    out.add(f.name, free)


def _opacities(
    case: Case, f: Finding, grid: Grid, organs: Anatomy, ray: int, out: Rendered, density: dict[str, Array], fade: float
) -> None:
    for e in lesions(case, f, organs):
        if f.name == "lung nodule":
            thick = overlap(chord(e, grid, ray))
            dense = 2.6 if f.attributes["density"] == "calcified" else 1.35
            if f.attributes["margin"] == "spiculated":
                a, b = (grid.x, e.centre[0]) if ray == 1 else (grid.y, e.centre[1])
                angle = np.arctan2(grid.z - e.centre[2], a - b)
                halo = overlap(chord(e.scaled(1.45), grid, ray))
                thick = thick * 0.92 + 0.22 * halo * (np.cos(9 * angle) > 0.2)
            density["extra"] = density["extra"] + thick * dense * fade * 1.35
            out.add(f.name, overlap(chord(e, grid, ray)) > 0)
            continue
        q = 1 - (overlap(chord(e, grid, ray)) / (2 * e.radii[ray])) ** 2
        ragged = 0.16 * smooth_noise(stream(case.seed // 8, f"edge {f.name}"), grid.shape, 6 / grid.spacing[0])
        edge = np.clip((1 - q + ragged * (q < 1)) * (1.9 if f.name == "consolidation" else 1.5), 0, 1) * (q < 1)
        if f.name == "consolidation":
            streaks = 0.22 if f.attributes["density"] == "air bronchograms" else 0.06
            edge = edge * (
                1
                - streaks
                * np.clip(smooth_noise(stream(case.seed // 8, "bronchi"), grid.shape, 4 / grid.spacing[0]), 0, 2)
            )
        density[f.side] = density[f.side] + edge * fade * (0.72 if f.name == "consolidation" else 0.6)
        if f.name == "atelectasis":
            density["extra"] = density["extra"] + 11 * edge * fade
        out.add(
            f.name,
            (overlap(chord(e, grid, ray)) > 0)
            & (out.structures[f"{f.side} lung"] | out.structures["heart"] if f.name == "consolidation" else True),
        )


def devices(case: Case, grid: Grid, organs: Anatomy, out: Rendered) -> Array:
    """Lines, tubes and pacemakers: what they add to the rays, in units of metal."""
    metal = np.zeros(grid.shape)
    drawings = {"central venous catheter": _catheter, "endotracheal tube": _airway, "pacemaker": _pacemaker}
    for f in case.findings:
        if f.name in drawings:
            drawn = drawings[f.name](f, grid, organs)
            out.add(f.name, drawn > 0.3)
            metal = metal + np.clip(drawn, 0, 6) * 0.35 * (1 - 0.35 * case.difficulty)
    return metal


def _line(grid: Grid, points: list[Point], radius: float, aside: float = 0.0) -> Array:
    """A wire or catheter through patient points, mm of it along the rays; ``aside`` shifts it on the picture."""
    step = grid.spacing[0]
    return tube(grid.shape, grid.pixels(points) + aside / step, np.full(len(points), radius / step)) * step


def _catheter(f: Finding, grid: Grid, organs: Anatomy) -> Array:
    sign = 1.0 if f.side == "left" else -1.0
    depth = {"superior vena cava": 38.0, "right atrium": -22.0, "right ventricle": -62.0}[f.attributes["tip"]]
    tip = (-14.0, -8.0, depth) if depth > -60 else (20.0, -30.0, depth)
    way = [(sign * 70, -60, 150), (sign * 58, -45, 112), (sign * 30, -25, 96), (-14, -8, 78), (-16, -6, 50)]
    return _line(grid, [*way, tip], 1.7)


def _airway(f: Finding, grid: Grid, organs: Anatomy) -> Array:
    ends: dict[str, Point] = {
        "above the carina": (0, 2, 82), "at the carina": (0, 2, 54), "in the right main bronchus": (-24, 4, 32),
    }  # fmt: skip
    end = ends[f.attributes["tip"]]
    way: list[Point] = [(0, 0, 205), (0, 1, 130), (0, 2, 70) if end[0] else end, end]
    return 0.7 * (0.35 * _line(grid, way, 4.4) + 0.9 * _line(grid, way, 1.3, aside=1.2))  # the wall has a dense stripe


def _pacemaker(f: Finding, grid: Grid, organs: Anatomy) -> Array:
    sign = 1.0 if f.side == "left" else -1.0
    x, _, z = organs["heart"].centre
    can = Ellipsoid((sign * 92, -84, 88), (23, 5, 19), 3.0)
    drawn = 0.45 * overlap(chord(can, grid, 1 if grid.plane == "frontal" else 0))
    ventricle = [(-12, -8, 82), (-20, -8, 10), (0, -25, z - 24), (x + 26, -35, z - 26)]
    atrium = [(-9, -8, 80), (-26, -14, 0), (-28, -26, z + 12)]
    drawn = np.maximum(drawn, _line(grid, [(sign * 84, -80, 100), (sign * 52, -50, 108), *ventricle], 1.5))
    if f.attributes["leads"] == "dual lead":
        drawn = np.maximum(drawn, _line(grid, [(sign * 86, -80, 98), (sign * 54, -50, 104), *atrium], 1.5))
    return drawn
