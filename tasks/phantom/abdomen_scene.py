"""Tissue layers of the abdomen."""

from __future__ import annotations

import numpy as np
from radbench.tasks.phantom.anatomy import Anatomy, altered
from radbench.tasks.phantom.body_scenes import SIDES, lesions
from radbench.tasks.phantom.geometry import Array, Ellipsoid, Grid, cover, level_set, stream
from radbench.tasks.phantom.places import organs_of
from radbench.tasks.phantom.scene import Scene
from radbench.tasks.phantom.spec import Case


def abdomen_scene(case: Case, grid: Grid) -> Scene:
    """The upper abdomen with the lung bases."""
    organs = altered(organs_of(case), case.findings)
    s = Scene(grid, case.seed)
    inner = _wall(s, organs)
    cavity = cover(inner, grid) * np.clip((58 - grid.y) / max(grid.spacing), 0, 1)
    fluid = None
    for f in case.findings:
        if f.name == "ascites":
            thick = {"mild": 0.86, "moderate": 0.78, "severe": 0.68}[f.severity]
            fluid = cavity * (1 - cover(inner.scaled((thick, thick, 1)).moved(dy=6), grid))
            s.paint(fluid, "fluid")
    _bowel(s, cavity)
    before = len(s.layers)
    _viscera(s, organs, cavity, cover(inner, grid), fluid)
    _kidneys(case, s, organs)
    s.organ(organs["spine"], "bone")
    s.organ(organs["spine"].scaled((0.86, 0.84, 1)), "marrow")
    s.organ(Ellipsoid((0, 99, 0), (22, 5, 400)), "bone")
    s.organ(organs["canal"], "fluid")
    if fluid is not None:
        covered = np.maximum.reduce([weight for weight, _ in s.layers[before:]])
        s.mark("ascites", (fluid > 0.5) & (covered < 0.5))
    _liver_vessels(s, organs)
    _masses(case, s, organs)
    return s


def _wall(s: Scene, organs: Anatomy) -> Ellipsoid:
    """Skin, muscle, lower ribs and lung bases; the ellipsoid inside them."""
    body, z, y = organs["body"], s.grid.z, s.grid.y
    s.organ(body, "fat")
    s.organ(body.scaled((0.93, 0.9, 1)), "muscle")
    inner = body.scaled((0.87, 0.81, 1)).moved(dy=-3)
    ribs = np.clip(3 * np.sin(2 * np.pi * (z + 0.62 * y - 0.12 * np.abs(s.grid.x)) / 23.0), 0, 1)
    s.paint(cover(inner.scaled((1.06, 1.08, 1)), s.grid) * ribs * np.clip((z - 14 - 0.4 * y) / 8, 0, 1), "bone")
    s.organ(inner, "fat")
    _lung_bases(s, inner)
    for side in SIDES:
        s.organ(organs[f"{side} muscle"], "muscle")
        s.organ(organs[f"{side} psoas"], "muscle")
    return inner


def _viscera(s: Scene, organs: Anatomy, cavity: Array, inside: Array, fluid: Array | None) -> None:
    """Stomach, liver, gallbladder, spleen, pancreas and the great vessels; fluid pushes the liver inwards."""
    grid, stomach = s.grid, organs["stomach"]
    s.organ(stomach, "muscle", within=cavity)
    s.organ(stomach.scaled(0.88), "stomach", within=cavity)
    gas = np.clip((stomach.centre[1] - 14 - grid.y) / max(grid.spacing), 0, 1)
    s.paint(cover(stomach.scaled(0.86), grid) * gas, "air")
    free = inside if fluid is None else inside * (1 - 0.9 * (fluid > 0.5) * (np.abs(grid.x) > 40))
    for name in ("liver", "liver lobe"):
        s.organ(organs[name], "liver", "liver", free)
    s.organ(organs["gallbladder"], "bile")
    s.structures["liver"] = s.structures["liver"] & (cover(organs["gallbladder"], grid) < 0.5)
    s.organ(organs["spleen"], "spleen", "spleen", inside)
    s.organ(organs["pancreas"], "pancreas", "pancreas")
    s.organ(organs["aorta"], "vessel")
    s.organ(organs["vena cava"], "vein")


def _masses(case: Case, s: Scene, organs: Anatomy) -> None:
    for f in case.findings:
        if f.name in ("liver lesion", "liver cyst", "pancreatic cyst"):
            for e in lesions(case, f, organs):
                weight, q = s.lesion(e, 0.22 if f.attributes.get("margin") in ("irregular", "lobulated") else 0.0)
                s.finding(f.name, weight, f.name, q < 1)
                if f.name == "liver lesion":
                    s.paint(weight * np.clip((0.62 - q) * 4, 0, 1), "necrosis")
        elif f.name == "splenomegaly" and s.structures["spleen"].any():
            s.mark(f.name, s.structures["spleen"])


def _lung_bases(s: Scene, inner: Ellipsoid) -> None:
    """Air above the two domes of the diaphragm."""
    chest = cover(inner.scaled((0.97, 0.97, 1)), s.grid) * np.clip((s.grid.z - 45) / 10, 0, 1)
    below = np.maximum(
        cover(Ellipsoid((-64, -6, 0), (92, 98, 122)), s.grid), cover(Ellipsoid((72, 0, 0), (84, 98, 110)), s.grid)
    )
    middle = np.clip(1.5 - np.abs(s.grid.x - 8) / 26, 0, 1)
    s.paint(chest * (1 - below) * (1 - middle), "lung")
    s.paint(chest * (1 - below) * middle, "heart muscle")


def _bowel(s: Scene, cavity: Array) -> None:
    rng = stream(s.seed // 8, "bowel")
    for _ in range(17):
        c = (float(rng.uniform(-95, 105)), float(rng.uniform(-68, 30)), float(rng.uniform(-150, 8)))
        e = Ellipsoid(c, (float(rng.uniform(11, 20)), float(rng.uniform(10, 17)), float(rng.uniform(12, 26))))
        wall = cover(e, s.grid) * cavity
        if wall.max() > 0:
            s.paint(wall, "muscle")
            s.paint(cover(e.scaled(0.75), s.grid) * cavity, "air" if rng.random() < 0.35 else "bowel")


def _liver_vessels(s: Scene, organs: Anatomy) -> None:
    liver = cover(organs["liver"].scaled(0.86), s.grid) * s.structures["liver"]
    lines = np.clip(1.5 - np.abs(s.noise("liver vessels", 13.0)) * 13, 0, 1) * np.clip(
        s.noise("liver vessels 2", 16.0) + 0.2, 0, 1
    )
    s.paint(liver * np.minimum(lines, 1), "liver vessel")


def _kidneys(case: Case, s: Scene, organs: Anatomy) -> None:
    for side in SIDES:
        kidney = organs[f"{side} kidney"]
        inward = -np.sign(kidney.centre[0])
        whole = s.organ(kidney, "kidney", "kidney")
        s.organ(kidney.scaled(0.66), "medulla")
        sinus = kidney.scaled((0.42, 0.3, 0.42)).moved(inward * 0.42 * kidney.radii[0], -2)
        s.organ(sinus, "fat")
        for f in case.findings:
            if f.name == "hydronephrosis" and f.side == side:
                g = {"mild": 0.46, "moderate": 0.58, "severe": 0.72}[f.severity]
                pelvis = kidney.scaled((g * 1.05, g, g)).moved(inward * 0.25 * kidney.radii[0])
                lobes = np.clip(1.15 - 0.25 * np.cos(_angle(s.grid, pelvis) * 6), 0, 2)
                weight = np.clip((1 - level_set(pelvis, s.grid) * lobes) * 8 + 0.5, 0, 1) * np.maximum(whole, 0.0)
                s.finding(f.name, np.broadcast_to(weight, s.grid.shape), "fluid")
            elif f.name == "renal stone" and f.side == side:
                for e in lesions(case, f, organs):
                    weight, q = s.lesion(e)
                    s.finding(f.name, weight, "stone", np.broadcast_to(q < 1, s.grid.shape))


def _angle(grid: Grid, e: Ellipsoid) -> Array:
    return np.asarray(np.arctan2(grid.y - e.centre[1] + 0.6 * (grid.z - e.centre[2]), grid.x - e.centre[0]))
