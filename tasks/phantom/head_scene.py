"""Tissue layers of the head."""

from __future__ import annotations

import numpy as np
from radbench.tasks.phantom.anatomy import VENTRICLES, Anatomy, altered, shift_of
from radbench.tasks.phantom.body_scenes import lesions
from radbench.tasks.phantom.geometry import Array, Ellipsoid, Grid, cover, level_set
from radbench.tasks.phantom.places import organs_of
from radbench.tasks.phantom.scene import Scene
from radbench.tasks.phantom.spec import Case, Finding


def grown(e: Ellipsoid, mm: float) -> Ellipsoid:
    """An ellipsoid thicker by so many millimetres all round."""
    return Ellipsoid(e.centre, (e.radii[0] + mm, e.radii[1] + mm, e.radii[2] + mm), e.power, e.tilt)


def head_scene(case: Case, grid: Grid) -> Scene:
    """The head above the skull base."""
    organs = altered(organs_of(case), case.findings)
    s = Scene(grid, case.seed)
    brain = organs["brain"]
    s.organ(grown(brain, 15), "scalp")
    s.organ(grown(brain, 9), "skull")
    s.organ(grown(brain, 6.8), "diploe")
    s.organ(grown(brain, 5), "skull")
    inside = s.organ(grown(brain, 2.5), "csf")
    push = sum(shift_of(f) for f in case.findings if f.name == "midline shift")
    bowed = grid.x - push * np.cos(np.clip(grid.y / brain.radii[1], -1, 1) * np.pi / 2)
    _cortex(s, brain, bowed)
    s.organ(organs["corpus callosum"], "white matter", within=inside)
    s.organ(grown(organs["cerebellum"], 2.5), "csf", within=cover(brain, grid))
    folia = np.clip(0.5 + 0.9 * np.sin(2 * np.pi * (grid.z + 0.35 * np.abs(grid.x)) / 7.0), 0, 1)
    lobes = s.organ(organs["cerebellum"], "white matter", within=cover(brain, grid))
    s.paint(lobes * folia, "grey matter")
    s.organ(organs["brain stem"], "white matter", within=inside)
    for side in ("right", "left"):
        s.organ(organs[f"{side} basal ganglia"], "grey matter")
        s.organ(organs[f"{side} thalamus"], "grey matter")
    mass = [f for f in case.findings if f.name in ("brain tumor", "intracerebral hemorrhage")]
    _ventricles(case, s, organs, mass)
    for f in case.findings:
        _head_finding(case, s, organs, f, inside, bowed)
    return s


def _cortex(s: Scene, brain: Ellipsoid, bowed: Array) -> None:
    """White matter, a folded grey ribbon, sulci and the cleft between the halves."""
    q = level_set(brain, s.grid)
    inside = s.organ(brain, "grey matter", "brain")
    folds = s.noise("folds", 5.0)
    s.paint(np.clip((0.86 + 0.055 * folds - q) * 14 + 0.5, 0, 1) * inside, "white matter")
    cleft = np.clip(1.5 - np.abs(bowed) / 2.4, 0, 1) * np.clip((np.abs(s.grid.y) - 30 + 0.6 * s.grid.z) / 6, 0, 1)
    medial = np.clip(1.5 - np.abs(bowed) / 7.5, 0, 1) * np.clip((np.abs(s.grid.y) - 34 + 0.6 * s.grid.z) / 6, 0, 1)
    s.paint(np.broadcast_to(medial, s.grid.shape) * inside, "grey matter")
    sulci = np.clip(2.2 - np.abs(folds) * 9, 0, 1) * np.clip((q - 0.84) * 16, 0, 0.85)
    s.paint(sulci * inside, "csf")
    s.paint(np.broadcast_to(cleft, s.grid.shape) * inside * 0.8, "csf")
    for sign in (-1, 1):
        s.organ(Ellipsoid((sign * 54, -14, 0), (13, 3.2, 14), 2.0, sign * 0.45), "csf", within=inside)


def _ventricles(case: Case, s: Scene, organs: Anatomy, masses: list[Finding]) -> None:
    for name in VENTRICLES:
        e = organs[name]
        for f in masses:  # a mass presses on the ventricle of its side
            if e.centre[0] * f.centre[0] > 0:
                e = e.scaled((0.72, 0.85, 0.85)).moved(-np.sign(f.centre[0]) * min(3.0, f.size_mm / 12))
        s.organ(e, "csf", "ventricles")
    for f in case.findings:
        if f.name in ("hydrocephalus", "midline shift") and s.structures["ventricles"].any():
            s.mark(f.name, s.structures["ventricles"])


def _head_finding(case: Case, s: Scene, organs: Anatomy, f: Finding, inside: Array, bowed: Array) -> None:
    grid, brain = s.grid, cover(organs["brain"], s.grid)
    half = np.clip(np.sign(f.centre[0]) * grid.x / 2 + 0.5, 0, 1) * brain
    if f.name == "brain tumor":
        (e,) = lesions(case, f, organs)
        q = level_set(e, grid)
        fingers = 1.55 + 0.28 * s.noise("oedema", 9.0)
        s.paint(np.clip((fingers - q) * 4, 0, 1) * half, "oedema")
        weight, q = s.lesion(e, 0.16)
        s.finding(f.name, weight, "tumour rim", np.broadcast_to(q < 1, grid.shape))
        s.paint(weight * np.clip((0.7 - q) * 7, 0, 1), "tumour core")
    elif f.name == "intracerebral hemorrhage":
        (e,) = lesions(case, f, organs)
        q = level_set(e, grid)
        s.paint(np.clip((1.3 - q) * 6, 0, 1) * half, "oedema")
        weight, q = s.lesion(e, 0.14)
        s.finding(f.name, weight, "blood", np.broadcast_to(q < 1, grid.shape))
    elif f.name == "infarct":
        x, y, z = f.centre
        depth = np.sign(x) * grid.x  # a wedge: narrow inside, wide at the surface
        wide = np.clip((depth - abs(x) + 26) / 26, 0.08, 1)
        q = np.sqrt(((grid.y - y) / f.radii[1]) ** 2 + ((grid.z - z) / f.radii[2]) ** 2) / wide
        q = np.maximum(q, (abs(x) - 24 - depth) / 4 + 1)
        weight = np.clip((1 - q) * 9 + 0.5, 0, 1) * brain * (1 - 0.999 * s.structures["ventricles"])
        s.finding(f.name, np.broadcast_to(weight, grid.shape), "infarct")
    elif f.name == "meningioma":
        (e,) = lesions(case, f, organs)
        q = level_set(e, grid)
        s.paint(np.clip((1.16 - q) * 9, 0, 1) * brain, "csf")
        weight, _ = s.lesion(e)
        s.finding(f.name, weight * inside, "meningioma")
    elif f.name == "white matter lesions":
        for e in lesions(case, f, organs):
            weight, q = s.lesion(e)
            s.finding(f.name, weight, "plaque", np.broadcast_to(q < 1, grid.shape))
    elif f.name == "subdural hematoma":
        sign = 1 if f.side == "left" else -1
        thick = {"mild": 9.0, "moderate": 13.0, "severe": 18.0}[f.severity]
        e = grown(organs["brain"], 2.5)
        rest = Ellipsoid((e.centre[0] - sign * thick, e.centre[1] + 4, e.centre[2] - 3), e.radii, e.power)
        weight = inside * (1 - cover(rest, grid)) * np.clip((sign * grid.x - 10) / 6, 0, 1)
        s.finding(f.name, weight, "blood")
