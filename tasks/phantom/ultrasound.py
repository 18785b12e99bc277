"""Ultrasound: speckle in a sector (abdomen) or a rectangle (neck), attenuation, shadows and enhancement."""

from __future__ import annotations

import numpy as np
from radbench.tasks.phantom.anatomy import Anatomy, altered
from radbench.tasks.phantom.body_scenes import lesions
from radbench.tasks.phantom.geometry import (
    Array,
    Ellipsoid,
    Grid,
    blur,
    cover,
    level_set,
    plane_grid,
    smooth_noise,
    stream,
)
from radbench.tasks.phantom.places import organs_of, scan_side
from radbench.tasks.phantom.rendered import Rendered
from radbench.tasks.phantom.scene import Scene, shade
from radbench.tasks.phantom.spec import Case, Finding

ECHO = {  # reflectivity before compression, 0 to 1
    "liver": 0.46, "fat": 0.62, "fluid": 0.02, "wall": 0.8, "vessel": 0.05, "kidney": 0.33, "sinus": 0.8, "diaphragm": 1.0,
    "muscle": 0.24, "bright line": 0.9, "stone": 1.6, "air": 0.12, "thyroid": 0.6, "deep": 0.24, "spleen": 0.44,
    "hypoechoic": 0.22, "hyperechoic": 1.05, "liver fatty": 1.0,
}  # fmt: skip
DEPTH = {"abdomen": 165.0, "neck": 82.0}


def render(case: Case, size: int) -> list[Rendered]:
    """The pictures of a case, ``size`` pixels wide."""
    width = DEPTH[case.region] * 1.04
    rng = stream(case.seed, "pose")
    turn = (float(rng.uniform(-0.04, 0.04)), 1.0, float(rng.uniform(-2, 2)) * width / 165, 0.0)
    middle = (0.0, width / 2, 0.0)
    plane = "axial" if case.region == "neck" else "longitudinal"
    grid = _scan_grid(plane, size, width, middle, turn)
    organs = altered(organs_of(case), case.findings)
    s = Scene(grid, case.seed)
    if case.region == "neck":
        view, sector = "transverse", np.ones(grid.shape, bool)
        _thyroid(case, s, organs)
    else:
        side = scan_side(case)
        view, sector = (f"{side} kidney" if side else "liver"), _sector(size)
        (_kidney if side else _liver)(case, s, organs)
    echo, through = _findings(case, s, organs)
    pixels = _speckled(case, grid, echo, through, size) * sector
    shown = {name: [m & sector for m in masks] for name, masks in s.findings.items()}
    out = Rendered(pixels, view, grid.spacing, {k: m & sector for k, m in s.structures.items()})
    out.findings = {name: [m for m in masks if m.any()] for name, masks in shown.items() if any(m.any() for m in masks)}
    return [out]


def _scan_grid(
    plane: str, size: int, width: float, middle: tuple[float, float, float], turn: tuple[float, float, float, float]
) -> Grid:
    """A long-axis scan shows the head on the left and depth downwards."""
    if plane == "axial":
        return plane_grid(plane, size, width, middle, 0.0, turn)
    step = width / size
    ticks = (np.arange(size) + 0.5 - size / 2) * step
    angle, _, da, db = turn
    u, v = -ticks[None, :], ticks[:, None]
    z = u * np.cos(angle) - v * np.sin(angle) + da
    y = u * np.sin(angle) + v * np.cos(angle) + middle[1] + db
    return Grid(np.zeros((1, 1)), y, z, (size, size), (step, step), plane)


def _sector(size: int) -> Array:
    """A curved probe: apex above the picture, 66 degrees wide."""
    u = (np.arange(size) + 0.5)[None, :] / size - 0.5
    v = (np.arange(size) + 0.5)[:, None] / size + 0.28
    r = np.hypot(u, v)
    return np.asarray((np.abs(np.arctan2(u, v)) < 0.57) & (r > 0.34) & (r < 1.25))


def _skin(s: Scene, thick: float) -> None:
    y = np.broadcast_to(s.grid.y, s.grid.shape)
    for i, tissue in enumerate(("fat", "muscle", "bright line")):
        top = thick * (0.35 * i)
        s.paint(((y > top) & (y < thick)).astype(float), tissue)


def _liver(case: Case, s: Scene, organs: Anatomy) -> None:
    grid = s.grid
    fatty = next((f for f in case.findings if f.name == "fatty liver"), None)
    s.paint(np.ones(grid.shape), "deep")
    liver = cover(organs["liver"], grid)
    s.organ(Ellipsoid(organs["liver"].centre, tuple(r + 2.5 for r in organs["liver"].radii), 2.5), "diaphragm")  # type: ignore[arg-type]
    _ascites(case, s, organs["liver"])
    s.organ(organs["liver"], "liver", "liver")
    if fatty:
        s.finding(
            "fatty liver",
            liver * {"mild": 0.5, "moderate": 0.75, "severe": 1.0}[fatty.severity],
            "liver fatty",
            liver > 0.5,
        )
    s.organ(organs["right kidney"], "kidney", "kidney")
    s.organ(organs["right kidney"].scaled((1, 0.4, 0.6)), "sinus")
    s.structures["liver"] = s.structures["liver"] & ~s.structures["kidney"]
    for name, tissue in (("portal vein", "vessel"), ("hepatic vein", "vessel")):
        if name == "portal vein":
            s.organ(organs[name].scaled(1.35), "wall", within=liver)
        s.organ(organs[name], tissue, within=liver)
    gallbladder = organs["gallbladder"]
    s.organ(gallbladder.scaled(1.14), "wall")
    s.organ(gallbladder, "fluid", "gallbladder")
    s.structures["liver"] = s.structures["liver"] & ~s.structures["gallbladder"]
    _skin(s, 14.0)


def _ascites(case: Case, s: Scene, organ: Ellipsoid) -> None:
    for f in case.findings:
        if f.name == "ascites":
            thick = {"mild": 8.0, "moderate": 14.0, "severe": 22.0}[f.severity]
            around = Ellipsoid(organ.centre, tuple(r + thick for r in organ.radii), organ.power)  # type: ignore[arg-type]
            fluid = cover(around, s.grid)
            s.finding(f.name, fluid, "fluid", (fluid > 0.5) & (cover(organ, s.grid) < 0.5) & (s.grid.y > 15))


def _kidney(case: Case, s: Scene, organs: Anatomy) -> None:
    side = scan_side(case)
    s.paint(np.ones(s.grid.shape), "deep")
    s.organ(organs["neighbour"], "liver" if side == "right" else "spleen", "liver" if side == "right" else "spleen")
    kidney = organs["kidney"]
    _ascites(case, s, kidney)
    s.organ(Ellipsoid(kidney.centre, tuple(r + 3.5 for r in kidney.radii), 2.5), "fat")  # type: ignore[arg-type]
    s.organ(kidney, "kidney", "kidney")
    for name in ("liver", "spleen"):
        if name in s.structures:
            s.structures[name] = s.structures[name] & ~s.structures["kidney"]
    s.organ(kidney.scaled((1, 0.42, 0.62)), "sinus")
    _skin(s, 14.0)


def _thyroid(case: Case, s: Scene, organs: Anatomy) -> None:
    s.paint(np.ones(s.grid.shape), "deep")
    for side in ("right", "left"):
        s.organ(organs[f"{side} long muscle"], "muscle")
        s.organ(organs[f"{side} muscle"], "muscle")
    for name in ("isthmus", "right thyroid", "left thyroid"):
        s.organ(organs[name], "thyroid", "thyroid")
    s.organ(organs["trachea"].scaled((1.12, 1.12, 1)), "wall")
    s.organ(organs["trachea"], "air")
    s.structures["thyroid"] = s.structures["thyroid"] & (cover(organs["trachea"].scaled((1.12, 1.12, 1)), s.grid) < 0.5)
    for side in ("right", "left"):
        s.organ(organs[f"{side} carotid"].scaled((1.2, 1.2, 1)), "wall")
        s.organ(organs[f"{side} carotid"], "vessel")
    _skin(s, 5.0)


def _findings(case: Case, s: Scene, organs: Anatomy) -> tuple[Array, Array]:
    """Reflectivity with the findings, and what they let through to what lies behind (below) them."""
    grid = s.grid
    behind = np.ones(grid.shape)
    for f in case.findings:
        if f.name == "hydronephrosis":
            kidney = organs["kidney"]
            g = {"mild": 0.32, "moderate": 0.45, "severe": 0.6}[f.severity]
            angle = np.arctan2(grid.y - kidney.centre[1], grid.z - kidney.centre[2])
            q = level_set(kidney.scaled((1, g, g * 1.15)), grid) * (1.1 - 0.22 * np.cos(5 * angle))
            weight = np.clip((1 - q) * 9 + 0.5, 0, 1)
            s.finding(f.name, weight, "fluid")
            behind = behind * _below(weight, 1.25)
        elif f.name == "goiter":
            s.mark(f.name, s.structures["thyroid"])
        elif f.size_mm:
            for e in lesions(case, f, organs):
                behind = behind * _lesion(s, f, e)
    return shade(s, ECHO, 0.05), behind


def _lesion(s: Scene, f: Finding, e: Ellipsoid) -> Array:
    weight, q = s.lesion(e, 0.25 if f.attributes.get("margin") == "irregular" else 0.0)
    inside = np.broadcast_to(q < 1, s.grid.shape)
    if f.name in ("gallstone", "renal stone"):
        front = np.clip((e.centre[1] + 0.2 * e.radii[1] - s.grid.y) / 1.5, 0.25, 1)
        s.finding(f.name, weight * front, "stone", inside)
        return _below(weight, 0.06)
    if "cyst" in f.name:
        s.paint(np.clip((1.12 - q) * 8, 0, 1), "wall")
        s.finding(f.name, weight, "fluid", inside)
        return _below(weight, 1.5)
    s.paint(np.clip((1.1 - q) * 8, 0, 1) * 0.6, "vessel")
    s.finding(f.name, weight, f.attributes["echogenicity"], inside)
    return np.ones(s.grid.shape)


def _below(weight: Array, factor: float) -> Array:
    """``factor`` for every pixel under a covered one (beams run down the columns)."""
    hidden = np.maximum.accumulate(np.broadcast_to(weight, weight.shape), axis=0)
    return np.asarray(1 + (factor - 1) * hidden * (1 - weight))


def _speckled(case: Case, grid: Grid, echo: Array, behind: Array, size: int) -> Array:
    rng = stream(case.seed, "speckle")
    grain = (0.5 + size / 400, 0.7 + size / 160)  # finer along the beam than across
    real = blur(rng.standard_normal(grid.shape), grain)
    imaginary = blur(rng.standard_normal(grid.shape), grain)
    rayleigh = np.hypot(real, imaginary)
    rayleigh = rayleigh / rayleigh.mean()
    y = np.broadcast_to(grid.y, grid.shape) / DEPTH[case.region]
    fatty = 1.5 if any(f.name == "fatty liver" for f in case.findings) else 0.75
    fall = np.exp(-fatty * np.clip(y, 0, None) ** 1.3)
    strength = 0.45 + 0.5 * case.difficulty
    amplitude = blur(echo, 0.6) * behind * fall * (1 - strength + strength * rayleigh)
    amplitude = amplitude + 0.012 * rayleigh + 0.02 * np.abs(smooth_noise(rng, grid.shape, 5.0)) * fall
    return np.clip(np.log1p(6 * np.clip(amplitude, 0, None)) / np.log(13.0) - 0.02, 0, 1)
