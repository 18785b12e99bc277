"""Where in the body findings lie, how a case is looked at, and what its pictures resolve."""

from __future__ import annotations

from radbench.tasks.phantom.anatomy import Anatomy, anatomy
from radbench.tasks.phantom.geometry import Ellipsoid
from radbench.tasks.phantom.plans import PLANS
from radbench.tasks.phantom.spec import Case, Finding

NORMALS = {"axial": 2, "coronal": 1, "sagittal": 0, "longitudinal": 0, "transverse": 2}
ZONES: dict[str, float] = {"upper": 88.0, "middle": 30.0, "lower": -34.0}  # of the lungs, z in mm
WIDEST = {  # mm across a picture, by modality and region
    ("X-ray", "chest"): 370.0, ("X-ray", "breast"): 158.0, ("CT", "chest"): 370.0, ("CT", "abdomen"): 380.0,
    ("CT", "head"): 210.0,
    ("CT", "neck"): 150.0, ("MRI", "head"): 210.0, ("MRI", "abdomen"): 380.0, ("Ultrasound", "abdomen"): 172.0,
    ("Ultrasound", "neck"): 86.0, ("PET", "chest"): 720.0, ("angiography", "vessels"): 172.0,
}  # fmt: skip


def smallest(case: Case, pixels: int) -> float:
    """The diameter in mm that a picture of so many pixels still resolves: about three of them, or two voxels."""
    step = WIDEST.get((case.modality, case.region), 0.0) / pixels
    if case.kind == "2d":
        return 3.0 * step
    return (2.3 * 560.0 / 720.0 * 8 / 3 if case.modality == "PET" else 2.3 * 2) * step


def region_of(case: Case) -> str:
    """The anatomy table that a case's pictures are drawn from."""
    if case.modality == "PET":
        return "torso"
    if case.modality == "Ultrasound":
        if case.region == "neck":
            return "thyroid scan"
        return "kidney scan" if scan_side(case) else "liver scan"
    return {"vessels": "head", "spine": "abdomen"}.get(case.region, case.region)


def scan_side(case: Case) -> str:
    """The kidney that an abdominal ultrasound looks at, "" where it looks at the liver."""
    if case.findings:
        return next((f.side for f in case.findings if f.organ == "kidney"), "")
    return ("", "right", "left")[case.seed // 8 % 3]


def organs_of(case: Case) -> Anatomy:
    """The organs of the case's patient, before findings alter them."""
    return anatomy(region_of(case), case.seed // 8, case.sex)


def slice_axis(case: Case) -> int | None:
    """The patient axis that a single slice is cut across, None for projections and volumes."""
    if case.kind != "2d" or case.modality not in ("CT", "MRI", "Ultrasound"):
        return None
    return NORMALS[case.plane]


def host(case: Case, f: Finding, organs: Anatomy) -> Ellipsoid:
    """The part of the body in which lesions of a finding lie."""
    sign = 1.0 if f.side == "left" else -1.0
    plan = PLANS[(case.modality, case.region)][f.name]
    where = plan.where or f.organ
    if where == "brain":
        return Ellipsoid((sign * (44 if f.name == "infarct" else 33), 2, 12), (24, 46, 30))
    if where == "white matter":
        return Ellipsoid((0, 0, 14), (46, 58, 34))
    if where == "convexity":
        return Ellipsoid((sign * 45, 0, 14), (4, 34, 20))
    if where == "node":
        return Ellipsoid((sign * 44, 6, 0), (7, 18, 30))
    if where == "lung" and case.modality == "PET":
        return Ellipsoid((sign * 72, 0, 78), (30, 45, 55))
    if where == "lung" and case.modality == "X-ray":
        z = ZONES.get(f.zone, 30.0)
        x = {"upper": 66.0, "middle": 78.0}.get(f.zone, 92.0 if f.side == "left" else 82.0)
        return Ellipsoid((sign * x, 4, z), (25, 50, 26))
    if where == "lung":
        return Ellipsoid((sign * 76, 10, 22), (40, 62, 62))
    if where == "kidney":
        whole = organs[f"{f.side} kidney"] if f"{f.side} kidney" in organs else organs["kidney"]
        return whole.scaled(0.5) if f.name == "renal stone" else whole
    if where == "liver" and case.modality == "PET":
        return organs["liver"].scaled(0.85)
    if where == "liver" and "gallbladder" in organs and case.modality == "Ultrasound":
        return Ellipsoid((0, 58, 12), (20, 32, 54))
    if where == "spine" and case.modality == "PET":
        return Ellipsoid((0, 62, -10), (3, 3, 150))
    if where == "breast":
        return organs[f"{f.side} breast"].scaled((0.6, 0.3, 0.55)).moved(dy=-0.42 * organs[f"{f.side} breast"].radii[1])
    return organs.get(
        f"{f.side} {where}", organs.get(where, organs.get(f"right {where}", Ellipsoid((0, 0, 0), (30, 30, 30))))
    )
