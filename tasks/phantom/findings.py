"""One finding of one case: its side, grade, size, place in the organ, and how it looked some time ago."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from radbench.tasks.phantom.anatomy import BESIDE_VENTRICLES, SHIFTS, Anatomy, satellites
from radbench.tasks.phantom.places import host, organs_of, slice_axis, smallest
from radbench.tasks.phantom.plans import PLANS, Plan
from radbench.tasks.phantom.spec import Case, Finding
from radbench.tasks.phantom.trees import arteries, ribs, vertebrae

GRADES = ("mild", "moderate", "severe")
LUNG_SPACE = ("pleural effusion", "pneumothorax", "lung nodule", "consolidation", "atelectasis")
LEVELS = ("T11", "T12", "L1", "L2", "L3", "L4", "L5")


def sample_finding(
    rng: np.random.Generator,
    case: Case,
    name: str,
    others: tuple[Finding, ...],
    fixed_level: bool = False,
    turn: int | None = None,
    pixels: int = 128,
) -> tuple[Finding | None, Case]:
    """A finding that fits the case and its ``others``, or None; and the case with the level of its slice.

    With ``fixed_level`` the slice already has its level and the finding must lie in it. ``turn`` counts the studies
    about this finding: sides and grades alternate over them, so that a cohort is balanced.
    """
    plan = PLANS[(case.modality, case.region)][name]
    for _ in range(40):
        f = _described(rng, case, name, plan, turn, pixels)
        if _conflict(case, f, others):
            continue
        scanned = replace(case, findings=(*others, f))
        organs = organs_of(scanned)
        placed = _placed(rng, scanned, f, plan, organs, fixed_level)
        if placed is None or _touching(placed, others):
            continue
        axis = slice_axis(case)
        if axis is None or case.modality == "Ultrasound":
            return placed, case
        if not fixed_level:
            case = replace(case, level=_cut(rng, scanned, placed, organs, axis))
        return placed, case
    if not fixed_level:
        raise RuntimeError(f"no room for {name} in {case.modality} {case.region}")
    return None, case


def _described(rng: np.random.Generator, case: Case, name: str, plan: Plan, turn: int | None, pixels: int) -> Finding:
    side = str(rng.choice(plan.sides)) if turn is None else plan.sides[turn % len(plan.sides)]
    attributes = {key: str(rng.choice(values)) for key, values in plan.attributes.items()}
    size, radii, severity, zone = 0.0, (0.0, 0.0, 0.0), "", ""
    if plan.size:
        low, high = plan.size
        size = float(rng.uniform(low, high)) * (1.12 - 0.4 * case.difficulty)
        size = round(max(size, smallest(case, pixels)), 1)
        radii = tuple(round(size / 2 * s / max(plan.shape), 2) for s in plan.shape)  # type: ignore[assignment]
    elif not plan.fixed:
        severity = str(rng.choice(GRADES)) if turn is None else GRADES[(turn + turn // 3) % 3]
    if plan.where == "lung" or plan.organ == "lung":
        zone = (
            str(rng.choice(("upper", "middle", "lower")))
            if plan.size
            else {"pneumothorax": "upper", "pleural effusion": "lower"}.get(name, "")
        )
        if name == "atelectasis":
            zone = "lower"
    if "vessel" in attributes:
        attributes["artery"] = f"{side} {attributes['vessel']}"
    if name == "midline shift":
        attributes["displacement"] = f"{SHIFTS[severity]:.0f} mm"
    if name == "stenosis":
        attributes["narrowing"] = {"mild": "50%", "moderate": "70%", "severe": "90%"}[severity]
    count = int(rng.choice(plan.counts))
    return Finding(name, plan.organ, side, zone, size, severity, count, (0.0, 0.0, 0.0), radii, attributes)  # type: ignore[arg-type]


def _conflict(case: Case, f: Finding, others: tuple[Finding, ...]) -> bool:
    """Findings that would hide each other or cannot be in one picture."""
    for o in others:
        if case.modality == "Ultrasound" and case.region == "abdomen":
            kidneys = [v for v in (f, o) if v.organ == "kidney"]
            if (len(kidneys) == 2 and f.side != o.side) or (
                len(kidneys) == 1 and "peritoneal cavity" not in (f.organ, o.organ)
            ):
                return True
        if case.modality == "Ultrasound" and case.region == "neck" and "goiter" in (f.name, o.name):
            continue
        names = {f.name, o.name}
        same = f.side == o.side or "bilateral" in (f.side, o.side)
        if names <= set(LUNG_SPACE) and same and (f.zone == o.zone or "pneumothorax" in names):
            return True
        if "pulmonary edema" in names and names & {"consolidation", "pneumothorax"}:
            return True
        if case.region == "head" and same and {f.organ, o.organ} <= {"brain", "subdural space", "meninges"}:
            return True  # a mass pushes the middle away, and two lesions of one half overlap
        if "hydrocephalus" in names and names & {"midline shift", "white matter lesions"}:
            return True
        if case.region == "spine" and names != {"scoliosis", "disc space narrowing"}:
            return True
        if (case.region == "breast" and same) or case.region == "vessels":
            return True
        if f.organ == o.organ == "kidney" and same:
            return True
    return False


def _touching(f: Finding, others: tuple[Finding, ...]) -> bool:
    for o in others:
        if f.size_mm and o.size_mm:
            gap = sum((a - b) ** 2 for a, b in zip(f.centre, o.centre, strict=True)) ** 0.5
            if gap < max(f.radii) + max(o.radii) + 4:
                return True
    return False


def _placed(
    rng: np.random.Generator, case: Case, f: Finding, plan: Plan, organs: Anatomy, fixed_level: bool
) -> Finding | None:
    """The finding with its centre, and as many satellites as there is room for."""
    if f.organ in ("spine", "rib") and case.modality == "X-ray":
        return _on_bone(rng, case, f)
    if case.region == "vessels":
        return _on_artery(rng, case, f)
    axis = slice_axis(case)
    place = host(case, f, organs)
    if not plan.size:
        middle = place.centre
        if (
            fixed_level
            and axis is not None
            and case.modality != "Ultrasound"
            and abs(case.level - middle[axis]) > 0.35 * place.radii[axis]
        ):
            return None
        return replace(f, centre=tuple(round(c, 2) for c in middle))  # type: ignore[arg-type]
    reach = [max(0.92 * r - 0.85 * s, 0.08 * r) for r, s in zip(place.radii, f.radii, strict=True)]
    for _ in range(60):
        u = rng.uniform(-1, 1, 3)
        if (u**2).sum() > 1:
            continue
        p = [c + v * r for c, v, r in zip(place.centre, u, reach, strict=True)]
        if f.name == "white matter lesions" and abs(p[0]) < BESIDE_VENTRICLES:
            continue
        if axis is not None and case.modality == "Ultrasound":
            p[axis] = 0.0
        elif axis is not None and fixed_level:
            p[axis] = case.level + float(rng.uniform(-0.2, 0.2)) * f.radii[axis]
            off = (p[axis] - place.centre[axis]) / max(reach[axis], 1e-6)
            if off**2 + sum(float(v) ** 2 for i, v in enumerate(u) if i != axis) > 1.05:
                continue
        f = replace(f, centre=tuple(round(float(c), 2) for c in p))  # type: ignore[arg-type]
        return replace(f, count=len(satellites(f, place, case.seed // 8, axis)))
    return None


def _cut(rng: np.random.Generator, case: Case, f: Finding, organs: Anatomy, axis: int) -> float:
    """A level through the finding."""
    if f.size_mm:
        return round(f.centre[axis] + float(rng.uniform(-0.2, 0.2)) * f.radii[axis], 2)
    if f.organ == "ventricles" or f.name in ("midline shift", "subdural hematoma"):
        middle = {0: 11.0, 1: -14.0, 2: 9.0}[axis]
        return round(middle + float(rng.uniform(-2, 2)), 2)
    if f.name in ("ascites", "pneumothorax", "pleural effusion", "emphysema", "pericardial effusion"):
        middle = {"ascites": 12.0, "pneumothorax": 50.0, "pleural effusion": -38.0, "emphysema": 40.0}.get(
            f.name, -38.0
        )
        return round((middle if axis == 2 else 20.0) + float(rng.uniform(-5, 5)), 2)
    place = host(case, f, organs)
    return round(place.centre[axis] + float(rng.uniform(-0.15, 0.15)) * place.radii[axis], 2)


def _on_bone(rng: np.random.Generator, case: Case, f: Finding) -> Finding:
    if f.organ == "rib":
        number = int(rng.integers(4, 9))
        points = ribs(case.seed // 8, f.side)[number]
        at = points[int(rng.integers(2, 4))]  # behind, where a rib runs across
        attributes = {**f.attributes, "rib": str(number + 1)}
        return replace(f, centre=tuple(round(float(c), 2) for c in at), attributes=attributes)  # type: ignore[arg-type]
    bones = vertebrae(case.seed // 8)
    at_level = int(rng.integers(1, len(bones) - 2))
    name = LEVELS[at_level]
    if f.name == "disc space narrowing":
        name = f"{LEVELS[at_level]}-{LEVELS[at_level + 1]}"
    if f.name == "surgical implant":
        at_level = int(rng.integers(3, len(bones) - 2))
        name = f"{LEVELS[at_level]}-{LEVELS[at_level + 2]}" if at_level + 2 < len(LEVELS) else "L4-L5"
    attributes = dict(f.attributes) if f.name == "scoliosis" else {**f.attributes, "level": name}
    return replace(f, centre=tuple(round(float(c), 2) for c in bones[at_level].centre), attributes=attributes)  # type: ignore[arg-type]


def _on_artery(rng: np.random.Generator, case: Case, f: Finding) -> Finding:
    tree = arteries(case.seed // 8, f.side)
    names = {"internal carotid artery": ("ICA",), "middle cerebral artery": ("M1",)}[f.attributes["vessel"]]
    path = next(b for b in tree if b.name in names)
    points = path.points
    at = points[int(len(points) * rng.uniform(0.45, 0.7))]
    if f.name == "aneurysm":
        at = points[-1]
    elif f.name in ("arteriovenous malformation", "extravasation"):
        sign = 1 if f.side == "left" else -1
        at = np.array([sign * rng.uniform(40, 50), 0.0, rng.uniform(0, 30)])
    return replace(f, centre=tuple(round(float(c), 2) for c in at))  # type: ignore[arg-type]


def step(f: Finding, change: str, floor: float) -> Finding | None:
    """The finding in the prior, given how it changed since; None where it was not there or cannot have changed so.

    Nothing was smaller than ``floor`` mm, so that the prior shows it.
    """
    if change == "unchanged":
        return replace(f)
    if change == "new":
        return None
    if f.size_mm:
        factor = 0.68 if change == "larger" else 1.3
        if f.size_mm * factor < floor:
            return None
        radii = tuple(round(r * factor, 2) for r in f.radii)
        return replace(f, size_mm=round(f.size_mm * factor, 1), radii=radii)  # type: ignore[arg-type]
    at = GRADES.index(f.severity) + (-1 if change == "larger" else 1)
    if not 0 <= at < len(GRADES):
        return None
    attributes = dict(f.attributes)
    if f.name == "midline shift":
        attributes["displacement"] = f"{SHIFTS[GRADES[at]]:.0f} mm"
    return replace(f, severity=GRADES[at], attributes=attributes)  # type: ignore[arg-type]
