"""Tissue layers of the chest and the neck."""

from __future__ import annotations

import numpy as np
from radbench.tasks.phantom.anatomy import Anatomy, altered, satellites
from radbench.tasks.phantom.geometry import Array, Ellipsoid, Grid, cover, level_set
from radbench.tasks.phantom.places import host, organs_of, slice_axis
from radbench.tasks.phantom.scene import Scene
from radbench.tasks.phantom.spec import Case, Finding

SIDES = ("right", "left")


def sides_of(f: Finding) -> tuple[str, ...]:
    """The sides of a finding, both where it is bilateral."""
    return SIDES if f.side == "bilateral" else (f.side,)


def lesions(case: Case, f: Finding, organs: Anatomy) -> list[Ellipsoid]:
    """Every lesion of a finding as an ellipsoid."""
    centres = satellites(f, host(case, f, organs), case.seed // 8, slice_axis(case))
    return [Ellipsoid(c, f.radii) for c in centres]


def chest_scene(case: Case, grid: Grid) -> Scene:
    """The chest, arms up, the patient lying on the back."""
    normal = organs_of(case)
    organs = altered(normal, case.findings)
    s = Scene(grid, case.seed)
    body = organs["body"]
    s.organ(body, "fat")
    s.organ(body.scaled((0.94, 0.9, 1)), "muscle")
    for side in SIDES:
        s.organ(organs[f"{side} muscle"], "muscle")
    wall = Ellipsoid((0, 2, -20), (body.radii[0] * 0.86, body.radii[1] * 0.87, 300), 2.5)
    inner = cover(wall.scaled((0.945, 0.925, 1)), grid)
    ring = cover(wall, grid) * (1 - inner)
    ribs = np.clip(3 * np.sin(2 * np.pi * (grid.z + 0.62 * grid.y - 0.12 * np.abs(grid.x)) / 23.0), 0, 1)
    s.paint(ring * ribs, "bone")
    s.paint(inner, "fat")
    _lungs(case, s, organs, normal)
    for name, tissue in (("vena cava", "vein"), ("aorta", "vessel"), ("aortic arch", "vessel")):
        s.organ(organs[name], tissue)
    s.organ(organs["heart"], "heart muscle", "heart")
    heart = organs["heart"]
    s.organ(Ellipsoid((heart.centre[0] + 12, heart.centre[1] + 4, heart.centre[2]), (22, 19, 30)), "vessel")
    s.organ(Ellipsoid((heart.centre[0] - 26, heart.centre[1] - 2, heart.centre[2]), (18, 20, 30)), "vein")
    s.organ(organs["trachea"], "air")
    s.organ(organs["spine"], "bone")
    s.organ(organs["spine"].scaled((0.82, 0.8, 1)), "marrow")
    s.organ(Ellipsoid((0, 92, 0), (9, 16, 400)), "bone")
    s.organ(organs["canal"], "fluid")
    s.organ(organs["sternum"], "bone")
    return s


def _lungs(case: Case, s: Scene, organs: Anatomy, normal: Anatomy) -> None:
    grid, heart = s.grid, cover(organs["heart"], s.grid)
    vessels = np.clip(1.8 * (s.noise("lung vessels", 2.6) - 1.25), 0, 1)
    for side in SIDES:
        lung, dome = organs[f"{side} lung"], cover(organs[f"{side} dome"], grid)
        weight = cover(lung, grid)
        s.paint(weight * dome, "liver" if side == "right" else "spleen")
        air = weight * (1 - dome)
        s.structures[f"{side} lung"] = air * (1 - heart) > 0.5
        s.paint(air, "lung")
        near = np.clip(1.15 - level_set(organs[f"{side} hilum"].scaled(4.2), grid), 0.12, 1)
        s.paint(air * np.minimum(vessels * (0.4 + near), 1), "lung vessel")
        s.organ(organs[f"{side} hilum"].scaled(0.62), "vein", within=cover(lung.scaled(1.1), grid))
    for f in case.findings:
        _lung_finding(case, s, organs, normal, f, heart)


def _lung_finding(case: Case, s: Scene, organs: Anatomy, normal: Anatomy, f: Finding, heart: Array) -> None:
    grid = s.grid
    grade = {"mild": 0, "moderate": 1, "severe": 2}.get(f.severity, 1)
    aerated = {side: s.structures[f"{side} lung"] * (1 - heart) for side in SIDES}
    if f.name == "pleural effusion":
        for side in sides_of(f):
            lung = organs[f"{side} lung"]
            back = lung.centre[1] + lung.radii[1]
            line = (
                back
                - (24, 42, 62)[grade]
                - 0.0035 * (grid.x - lung.centre[0]) ** 2
                + 0.25 * np.clip(grid.z + 20, 0, None)
            )
            s.finding(f.name, aerated[side] * np.clip((grid.y - line) / max(grid.spacing) + 0.5, 0, 1), "fluid")
    elif f.name == "pneumothorax":
        lung = organs[f"{f.side} lung"]
        shrink, back = (0.9, 0.84, 0.76)[grade], (12, 20, 30)[grade]
        rest = cover(lung.scaled((shrink, shrink, shrink)).moved(-np.sign(lung.centre[0]) * 4, back, -8), grid)
        s.finding(f.name, aerated[f.side] * (1 - rest), "air")
    elif f.name == "emphysema":
        holes = np.clip(2.2 * (s.noise("emphysema", 5.0) + (0.1, 0.5, 0.9)[grade]), 0, 1)
        for side in SIDES:
            s.paint(aerated[side] * holes, "emphysema")
            s.mark(f.name, s.structures[f"{side} lung"])
    elif f.name == "pericardial effusion":
        thick = (8, 13, 19)[grade]
        e = organs["heart"]
        outer = Ellipsoid(e.centre, (e.radii[0] + thick, e.radii[1] + thick, e.radii[2] + thick))
        s.finding(f.name, cover(outer, grid) * (1 - heart), "fluid")
    elif f.name in ("lung nodule", "consolidation"):
        for e in lesions(case, f, organs):
            patchy = f.name == "consolidation"
            weight, q = s.lesion(e, 0.35 if f.attributes.get("margin") == "spiculated" else 0.0, 1.6 if patchy else 1.0)
            weight = weight * aerated[f.side]
            mask = (q < 1) & (aerated[f.side] > 0.5)
            if patchy:
                gaps = 0.8 if f.attributes["density"] == "air bronchograms" else 0.2
                weight = weight * np.clip(1 - gaps * np.clip(s.noise("bronchi", 3.0) - 0.6, 0, 1), 0, 1)
            s.finding(
                f.name, weight, "ground glass" if f.attributes.get("density") == "ground-glass" else "lesion", mask
            )


def neck_scene(case: Case, grid: Grid) -> Scene:
    """The neck at the height of the thyroid."""
    organs = altered(organs_of(case), case.findings)
    s = Scene(grid, case.seed)
    body = organs["body"]
    s.organ(body, "fat")
    s.organ(body.scaled((0.9, 0.9, 1)).moved(dy=2), "neck fat")
    s.organ(Ellipsoid((0, 34, 0), (40, 22, 400), 2.5), "muscle")
    for side in SIDES:
        s.organ(organs[f"{side} back muscle"], "muscle")
        s.organ(organs[f"{side} muscle"], "muscle")
    s.organ(organs["isthmus"], "thyroid", "thyroid")
    for side in SIDES:
        s.organ(organs[f"{side} thyroid"], "thyroid", "thyroid")
    for side in SIDES:
        s.organ(organs[f"{side} carotid"], "vessel")
        s.organ(organs[f"{side} jugular"], "vein")
    s.organ(organs["oesophagus"], "muscle")
    s.organ(organs["trachea"].scaled((1.25, 1.25, 1)), "cartilage")
    s.organ(organs["trachea"], "air")
    s.structures["thyroid"] = s.structures["thyroid"] & (cover(organs["trachea"].scaled((1.25, 1.25, 1)), grid) < 0.5)
    s.organ(organs["spine"], "bone")
    s.organ(organs["spine"].scaled((0.84, 0.8, 1)), "marrow")
    s.organ(Ellipsoid((0, 44, 0), (15, 12, 400)), "bone")
    s.organ(organs["canal"], "fluid")
    for f in case.findings:
        if f.name == "goiter":
            if s.structures["thyroid"].any():
                s.mark(f.name, s.structures["thyroid"])
            continue
        for e in lesions(case, f, organs):
            weight, q = s.lesion(e)
            s.finding(f.name, weight, f.name, np.broadcast_to(q < 1, grid.shape))
    return s
