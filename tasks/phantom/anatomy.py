"""Organs as ellipsoids, one table a region, each patient a little different, and what findings do to whole organs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from radbench.tasks.phantom.geometry import Ellipsoid, Point, stream
from radbench.tasks.phantom.spec import Finding

Anatomy = dict[str, Ellipsoid]
E = Ellipsoid

# Centre and radii in mm. A pair of organs is written once, for the patient's right, and mirrored ("right X" and "left X").
LONG = 400.0
TABLES: dict[str, tuple[Anatomy, Anatomy]] = {  # region -> (single organs, right ones that have a mirror image)
    "chest": (
        {
            "body": E((0, 0, -20), (162, 108, 300), 2.5),
            "heart": E((18, -22, -42), (60, 46, 50)),
            "aortic arch": E((25, 14, 62), (19, 32, 20)),
            "aorta": E((22, 40, -20), (12, 12, 100)),
            "vena cava": E((-18, -5, 50), (12, 12, 70)),
            "mediastinum": E((0, 2, 20), (30, 62, 140), 2.5),
            "trachea": E((0, 2, 108), (9, 9, 62), 4),
            "left lung": E((68, 0, 12), (55, 88, 132), 2.5),
            "left dome": E((66, 5, -158), (78, 95, 75)),
            "right dome": E((-70, 0, -148), (80, 100, 76)),
            "right lung": E((-70, 0, 10), (58, 88, 132), 2.5),
            "spine": E((0, 62, 0), (18, 18, LONG), 2.5),
            "canal": E((0, 86, 0), (9, 8, LONG)),
            "sternum": E((0, -92, 20), (17, 6, 80), 3),
        },
        {"muscle": E((-42, 84, 0), (30, 15, LONG)), "hilum": E((-30, 5, 15), (17, 20, 24))},
    ),
    "abdomen": (
        {
            "body": E((0, 0, 0), (168, 114, LONG), 2.5),
            "liver": E((-66, -10, 30), (82, 78, 80), 2.5),
            "liver lobe": E((-2, -55, 42), (64, 30, 42)),
            "spleen": E((102, 42, 38), (29, 42, 54)),
            "pancreas": E((20, 2, 16), (58, 12, 24), 2.0, 0.3),
            "stomach": E((72, -46, 45), (48, 34, 46)),
            "gallbladder": E((-46, -56, -2), (15, 20, 30)),
            "aorta": E((11, 38, 0), (11, 11, LONG)),
            "vena cava": E((-17, 37, 0), (13, 10, LONG)),
            "spine": E((0, 70, 0), (22, 18, LONG), 2.5),
            "canal": E((0, 96, 0), (9, 8, LONG)),
            "left kidney": E((64, 48, 12), (28, 27, 56)),
            "right kidney": E((-62, 52, 4), (28, 27, 56)),
        },
        {"muscle": E((-40, 90, 0), (32, 17, LONG)), "psoas": E((-34, 66, -20), (14, 15, LONG))},
    ),
    "head": (
        {
            "brain": E((0, 0, 0), (65, 83, 64), 2.0),
            "third ventricle": E((0, 4, -2), (2.6, 11, 12)),
            "cerebellum": E((0, 44, -44), (46, 26, 17)),
            "brain stem": E((0, 16, -46), (12, 13, 34)),
            "corpus callosum": E((0, -2, 24), (12, 36, 5)),
        },
        {
            "frontal horn": E((-10, -24, 8), (6, 19, 13), 2.0, 0.30),
            "atrium": E((-17, 24, 6), (7, 22, 14), 2.0, -0.28),
            "basal ganglia": E((-24, -6, 2), (9, 18, 14), 2.0, 0.2),
            "thalamus": E((-10, 12, 0), (8, 13, 11), 2.0, -0.3),
        },
    ),
    "neck": (
        {
            "body": E((0, 0, 0), (63, 60, LONG), 2.5),
            "trachea": E((0, -18, 0), (9.5, 10, LONG), 2.5),
            "isthmus": E((0, -31, -3), (15, 4.5, 10)),
            "oesophagus": E((4, 1, 0), (7, 5, LONG)),
            "spine": E((0, 22, 0), (16, 12, LONG), 2.5),
            "canal": E((0, 41, 0), (10, 7, LONG)),
        },
        {
            "thyroid": E((-20, -17, 0), (11.5, 14, 27)),
            "carotid": E((-33, -5, 0), (4.8, 4.8, LONG)),
            "jugular": E((-42, -11, 0), (7.5, 5.5, LONG)),
            "muscle": E((-45, -24, 0), (14, 6.5, LONG), 2.0, -0.7),
            "back muscle": E((-26, 42, 0), (24, 14, LONG)),
        },
    ),
    "torso": (  # PET, from the skull's vertex to the thighs
        {
            "head": E((0, 0, 280), (74, 90, 105)),
            "brain": E((0, 0, 300), (62, 78, 55)),
            "neck": E((0, 0, 190), (55, 55, 60), 3),
            "body": E((0, 0, -50), (160, 105, 240), 3),
            "heart": E((28, -25, 50), (36, 34, 34)),
            "heart cavity": E((28, -25, 52), (20, 18, 20)),
            "liver": E((-60, -5, -55), (75, 70, 55), 2.5),
            "spleen": E((88, 40, -50), (26, 34, 42)),
            "bladder": E((0, -10, -262), (30, 28, 22)),
            "spine": E((0, 62, -40), (14, 14, 210), 3),
            "pelvis": E((0, 30, -230), (95, 40, 42), 3),
        },
        {
            "lung": E((-66, 0, 70), (52, 78, 95), 2.5),
            "kidney": E((-58, 48, -110), (25, 24, 46)),
            "leg": E((-75, 0, -330), (58, 60, 110), 3),
            "adrenal": E((-34, 38, -58), (8, 8, 10)),
            "supraclavicular": E((-62, 0, 172), (24, 14, 11)),
            "hilum": E((-28, 5, 72), (14, 16, 22)),
        },
    ),
    "breast": (
        {},
        {"breast": E((-95, 0, 0), (68, 82, 66), 2.5), "pectoral": E((-95, 22, 45), (60, 20, 60))},
    ),
    "liver scan": (  # ultrasound, depth below the probe along y
        {
            "liver": E((0, 72, 5), (90, 62, 78), 2.5),
            "gallbladder": E((0, 84, -24), (16, 17, 32)),
            "portal vein": E((0, 92, 24), (8, 6, 24)),
            "hepatic vein": E((0, 60, 34), (5, 5, 22)),
            "right kidney": E((0, 118, -52), (28, 22, 46)),
        },
        {},
    ),
    "kidney scan": ({"kidney": E((0, 76, 0), (30, 30, 56), 2.5), "neighbour": E((0, 52, 62), (60, 52, 46))}, {}),
    "thyroid scan": (
        {
            "trachea": E((0, 30, 0), (11, 11, LONG)),
            "isthmus": E((0, 16, 0), (16, 4, 10)),
        },
        {
            "thyroid": E((-19, 22, 0), (11, 9.5, 27)),
            "carotid": E((-37, 24, 0), (4.4, 4.4, LONG)),
            "muscle": E((-24, 10, 0), (21, 3.6, LONG)),
            "long muscle": E((-22, 41, 0), (18, 6, LONG)),
        },
    ),
}
GROWTH = {"mild": 1.22, "moderate": 1.36, "severe": 1.5}
BESIDE_VENTRICLES = 27.0  # mm from the middle, where white matter lesions begin
SHIFTS = {"mild": 7.0, "moderate": 10.0, "severe": 13.0}
VENTRICLES = ("right frontal horn", "left frontal horn", "right atrium", "left atrium", "third ventricle")


def mirrored(e: Ellipsoid) -> Ellipsoid:
    """The same organ of the other side."""
    x, y, z = e.centre
    return Ellipsoid((-x, y, z), e.radii, e.power, -e.tilt)


def anatomy(region: str, seed: int, sex: str = "") -> Anatomy:
    """The organs of one patient. Centres move by up to 3 mm and radii vary by about 5 %, the same in every study."""
    single, paired = TABLES[region]
    table = dict(single)
    for name, organ in paired.items():
        table[f"right {name}"], table[f"left {name}"] = organ, mirrored(organ)
    rng = stream(seed, f"anatomy {region}")
    small = min(1.0, max(max(min(e.radii[0], e.radii[1]) for e in table.values()) / 60, 0.25))
    build = rng.uniform(0.95, 1.04) * (0.97 if sex == "female" else 1.0)
    out = {}
    for name, e in table.items():
        shift = rng.uniform(-3, 3, 3) * small
        factor = np.clip(rng.normal(1, 0.05, 3), 0.9, 1.1) * build
        factor = 1 + (factor - 1) * (
            0.4 if e.centre[0] == 0 else 1.0
        )  # what lies in the middle holds the rest together
        centre = tuple(float(c * build + s * (abs(c) > 1)) for c, s in zip(e.centre, shift, strict=True))
        radii = tuple(float(r * f) for r, f in zip(e.radii, factor, strict=True))
        out[name] = Ellipsoid(centre, radii, e.power, e.tilt)  # type: ignore[arg-type]
    return out


def altered(organs: Anatomy, findings: Iterable[Finding]) -> Anatomy:
    """Organs as the findings change them: enlarged, or pushed aside."""
    out = dict(organs)
    for f in findings:
        g = GROWTH.get(f.severity, 1.3)
        if f.name == "cardiomegaly":
            out["heart"] = out["heart"].scaled((g, 1 + (g - 1) * 0.7, 1 + (g - 1) * 0.5)).moved(3 * (g - 1), 0, -4)
        elif f.name == "splenomegaly":
            spleen = out["spleen"]
            grow = (1 + (g - 1) * 0.9, g, g)
            out["spleen"] = spleen.scaled(grow).moved(-0.25 * spleen.radii[0], -6, -6)
        elif f.name == "goiter":
            for side in ("right", "left"):
                lobe = out[f"{side} thyroid"]
                outward = (0.6 if side == "left" else -0.6) * lobe.radii[0] * (g - 1)
                out[f"{side} thyroid"] = lobe.scaled((g, 1 + (g - 1) * 0.8, g)).moved(outward)
            out["isthmus"] = out["isthmus"].scaled((1.1, 1 + (g - 1), g))
        elif f.name == "hydrocephalus":
            for name in VENTRICLES:
                x = out[name].centre[0]
                wide = 1 + 2.1 * (g - 1)
                out[name] = (
                    out[name].scaled((wide, 1 + (g - 1) * 0.6, wide)).moved(np.sign(x) * 4 * (g - 1) if x else 0)
                )
        elif f.name == "midline shift":
            push = shift_of(f)
            for name in (*VENTRICLES, "right thalamus", "left thalamus"):
                out[name] = out[name].moved(push)
    return out


def shift_of(f: Finding) -> float:
    """Millimetres, towards the left positive."""
    return SHIFTS.get(f.severity, 9.0) * (1.0 if f.side == "left" else -1.0)


def satellites(f: Finding, organ: Ellipsoid, seed: int, keep: int | None = None) -> list[Point]:
    """Centres of all ``f.count`` lesions of a finding in their organ; patient axis ``keep`` stays that of the first."""
    rng = stream(seed, f"satellites {f.name}")
    centres = [f.centre]
    reach = [max(r * 0.85 - max(f.radii), r * 0.2) for r in organ.radii]
    for _ in range(200 * f.count):
        if len(centres) >= f.count:
            break
        u = rng.uniform(-1, 1, 3)
        if (u**2).sum() > 1:
            continue
        p = [c + v * r for c, v, r in zip(organ.centre, u, reach, strict=True)]
        if f.name == "white matter lesions" and abs(p[0]) < BESIDE_VENTRICLES:
            continue
        if keep is not None:
            p[keep] = f.centre[keep]
        shown = [i for i in range(3) if i != keep]
        gap = min(sum((p[i] - c[i]) ** 2 for i in shown) ** 0.5 for c in centres)
        if gap > 2.3 * max(f.radii) + 4:
            centres.append((float(p[0]), float(p[1]), float(p[2])))
    return centres
