"""CT: tissues in Hounsfield units, with or without contrast medium, noise and a little texture."""

from __future__ import annotations

import numpy as np
from radbench.tasks.phantom.abdomen_scene import abdomen_scene
from radbench.tasks.phantom.body_scenes import chest_scene, neck_scene
from radbench.tasks.phantom.geometry import (
    Array,
    Grid,
    Point,
    blur,
    plane_grid,
    smooth_noise,
    stream,
    volume_grid,
    wavy,
)
from radbench.tasks.phantom.head_scene import head_scene
from radbench.tasks.phantom.rendered import Rendered
from radbench.tasks.phantom.scene import Scene, shade
from radbench.tasks.phantom.spec import Case

SCENES = {"chest": chest_scene, "abdomen": abdomen_scene, "head": head_scene, "neck": neck_scene}
VIEWS: dict[str, tuple[float, Point, Point]] = {  # mm: a slice's width, a volume's extent, the middle
    "chest": (352.0, (370.0, 370.0, 300.0), (0.0, 0.0, 5.0)),
    "abdomen": (380.0, (380.0, 380.0, 240.0), (0.0, 0.0, 15.0)),
    "head": (210.0, (210.0, 210.0, 160.0), (0.0, 0.0, 0.0)),
    "neck": (150.0, (150.0, 150.0, 110.0), (0.0, 0.0, 0.0)),
}
WINDOWS = {"chest": (40, 400), "abdomen": (50, 350), "head": (40, 80), "neck": (50, 350)}
LUNG_WINDOW = (-600, 1500)
PLAIN = {
    "air": -1000, "fat": -100, "muscle": 55, "bone": 560, "marrow": 190, "fluid": 8, "lung": -860, "lung vessel": -250,
    "emphysema": -985, "lesion": 35, "ground glass": -480, "heart muscle": 45, "vessel": 42, "vein": 42, "liver": 58,
    "spleen": 50, "pancreas": 42, "kidney": 34, "medulla": 32, "stomach": 15, "bile": 8, "bowel": 22,
    "liver vessel": 45,
    "liver lesion": 38, "necrosis": 26, "liver cyst": 6, "pancreatic cyst": 8, "stone": 700,
    "scalp": 5, "skull": 1000, "diploe": 550, "csf": 6, "grey matter": 39, "white matter": 28, "oedema": 17,
    "infarct": 16,
    "tumour rim": 42, "tumour core": 22, "blood": 68, "meningioma": 50, "plaque": 22,
    "neck fat": -85, "thyroid": 105, "cartilage": 90, "thyroid nodule": 48, "thyroid calcification": 600,
    "cervical lymphadenopathy": 40,
}  # fmt: skip
CONTRAST = {
    "vessel": 240, "vein": 170, "heart muscle": 110, "liver": 112, "spleen": 132, "pancreas": 100, "kidney": 195,
    "medulla": 150,
    "liver vessel": 165, "liver lesion": 60, "necrosis": 34, "muscle": 62, "thyroid": 165, "thyroid nodule": 78,
    "cervical lymphadenopathy": 96, "tumour rim": 82, "grey matter": 44, "white matter": 33, "blood": 70,
    "meningioma": 85,
}  # fmt: skip
LESIONS = {  # what difficulty pulls towards the tissue it lies in
    "liver lesion": "liver", "necrosis": "liver", "pancreatic cyst": "pancreas", "infarct": "white matter",
    "tumour rim": "white matter",
    "tumour core": "white matter", "blood": "grey matter", "oedema": "white matter", "thyroid nodule": "thyroid",
    "cervical lymphadenopathy": "neck fat", "ground glass": "lung", "emphysema": "lung",
}  # fmt: skip


def grey_levels(case: Case) -> dict[str, float]:
    """Hounsfield units of every tissue; difficulty brings lesions closer to what surrounds them."""
    values: dict[str, float] = {**PLAIN, **(CONTRAST if case.sequence == "with contrast" else {})}
    for lesion, tissue in LESIONS.items():
        values[lesion] += (values[tissue] - values[lesion]) * 0.5 * case.difficulty
    return values


def region_grid(case: Case, size: int) -> tuple[Grid, Point]:
    """The grid of the case's slice or volume, and the patient position of its first voxel."""
    width, extent, middle = VIEWS[case.region]
    rng = stream(case.seed, "pose")
    dx, dy = (float(v) for v in rng.uniform(-2.5, 2.5, 2))
    angle = float(rng.uniform(-0.03, 0.03))
    if case.kind == "2d":
        grid = plane_grid(case.plane, size, width, middle, case.level, (angle, 1.0, dx, dy))
        return grid, tuple(float(grid.axis(i).mean()) for i in range(3))  # type: ignore[return-value]
    middle = (middle[0] + dx, middle[1] + dy, middle[2])
    grid = volume_grid((size // 2, size // 2, size * 3 // 8), extent, middle)
    return grid, (float(grid.x.flat[0]), float(grid.y.flat[0]), float(grid.z.flat[0]))


def scene_of(case: Case, grid: Grid) -> Scene:
    """The layers of a case on a grid, organs bent a little so that none is a perfect ellipsoid."""
    bent = wavy(grid, stream(case.seed // 8, "bend"), {"head": 1.0, "neck": 1.0}.get(case.region, 2.5), 150.0)
    return SCENES[case.region](case, bent)


def oriented(grid: Grid, out: Rendered) -> Rendered:
    """The picture of a slice with the directions of its columns and rows."""
    if grid.plane:
        steps = []
        for at in ((0, -1), (-1, 0)):
            way = np.array(
                [float((np.broadcast_to(a, grid.shape)[at] - a.flat[0]).item()) for a in (grid.x, grid.y, grid.z)]
            )
            steps.append(way / np.linalg.norm(way))
        out.across, out.down = (tuple(float(v) for v in step) for step in steps)  # type: ignore[assignment]
    return out


def render(case: Case, size: int) -> list[Rendered]:
    """The pictures of a case, ``size`` pixels wide."""
    grid, origin = region_grid(case, size)
    scene = scene_of(case, grid)
    values = shade(scene, grey_levels(case), -1000.0)
    values = _degraded(case, values)
    inside = {f.name for f in case.findings} & {"lung nodule", "consolidation", "pneumothorax", "emphysema"}
    lung = case.region == "chest" and (inside or (not case.findings and case.seed // 8 % 2))
    out = oriented(
        grid,
        Rendered(
            values,
            case.plane,
            grid.spacing,
            scene.structures,
            {},
            scene.findings,
            LUNG_WINDOW if lung else WINDOWS[case.region],
            origin,
        ),
    )
    return [out]


def _degraded(case: Case, values: Array) -> Array:
    """Blur of the system, and noise whose grain is coarser than a pixel."""
    rng = stream(case.seed, "noise")
    level = {"head": 3.0, "neck": 9.0}.get(case.region, 11.0) * (0.5 + 1.4 * case.difficulty)
    soft = blur(values, 0.55)
    grain = 0.8 * smooth_noise(rng, values.shape, 0.7) + 0.4 * smooth_noise(rng, values.shape, 3.0)
    return (soft + level * grain).astype("float32")
