"""MRI: tissues by sequence, an uneven coil, and Rician noise."""

from __future__ import annotations

import numpy as np
from radbench.tasks.phantom.ct import oriented, region_grid, scene_of
from radbench.tasks.phantom.geometry import Array, blur, smooth_noise, stream
from radbench.tasks.phantom.rendered import Rendered
from radbench.tasks.phantom.scene import shade
from radbench.tasks.phantom.spec import Case

COLUMNS = ("T1", "T2", "FLAIR", "DWI", "T1 with contrast")
SIGNAL: dict[str, tuple[float, float, float, float, float]] = {
    "scalp": (0.92, 0.72, 0.66, 0.08, 0.92), "skull": (0.05, 0.05, 0.05, 0.02, 0.05),
    "diploe": (0.42, 0.30, 0.26, 0.05, 0.45),
    "csf": (0.13, 0.96, 0.08, 0.07, 0.13), "grey matter": (0.46, 0.56, 0.52, 0.42, 0.48),
    "white matter": (0.66, 0.38, 0.40, 0.34, 0.66),
    "oedema": (0.40, 0.76, 0.80, 0.40, 0.42), "infarct": (0.40, 0.74, 0.78, 0.96, 0.42),
    "tumour rim": (0.42, 0.64, 0.66, 0.52, 0.98),
    "tumour core": (0.26, 0.86, 0.58, 0.26, 0.27), "blood": (0.84, 0.14, 0.22, 0.12, 0.86),
    "meningioma": (0.50, 0.60, 0.66, 0.52, 0.96),
    "plaque": (0.42, 0.80, 0.92, 0.46, 0.42),
    "fat": (0.86, 0.62, 0.6, 0.1, 0.86), "muscle": (0.32, 0.20, 0.25, 0.2, 0.36),
    "bone": (0.10, 0.08, 0.1, 0.05, 0.1), "marrow": (0.50, 0.36, 0.4, 0.2, 0.5),
    "fluid": (0.12, 0.97, 0.1, 0.1, 0.12), "liver": (0.58, 0.33, 0.4, 0.3, 0.65),
    "spleen": (0.40, 0.52, 0.5, 0.5, 0.6), "pancreas": (0.64, 0.42, 0.4, 0.3, 0.6),
    "kidney": (0.54, 0.58, 0.5, 0.5, 0.8), "medulla": (0.42, 0.68, 0.5, 0.5, 0.6),
    "stomach": (0.22, 0.74, 0.3, 0.2, 0.2), "bile": (0.2, 0.95, 0.2, 0.1, 0.2),
    "bowel": (0.34, 0.58, 0.3, 0.2, 0.3), "air": (0.02, 0.02, 0.02, 0.02, 0.02),
    "vessel": (0.1, 0.07, 0.1, 0.1, 0.9), "vein": (0.16, 0.12, 0.1, 0.1, 0.8),
    "lung": (0.05, 0.06, 0.05, 0.05, 0.05), "heart muscle": (0.4, 0.42, 0.4, 0.3, 0.5),
    "liver vessel": (0.40, 0.2, 0.3, 0.3, 0.8), "liver lesion": (0.34, 0.62, 0.6, 0.6, 0.4),
    "necrosis": (0.26, 0.74, 0.5, 0.3, 0.25),
    "liver cyst": (0.14, 0.97, 0.1, 0.1, 0.14), "pancreatic cyst": (0.14, 0.97, 0.1, 0.1, 0.14),
    "stone": (0.03, 0.03, 0.03, 0.03, 0.03),
}  # fmt: skip
LESIONS = {
    "oedema": "white matter", "infarct": "grey matter", "tumour rim": "white matter", "tumour core": "white matter",
    "blood": "grey matter",
    "meningioma": "grey matter", "plaque": "white matter", "liver lesion": "liver", "necrosis": "liver",
    "liver cyst": "liver",
    "pancreatic cyst": "pancreas",
}  # fmt: skip


def render(case: Case, size: int) -> list[Rendered]:
    """The pictures of a case, ``size`` pixels wide."""
    grid, origin = region_grid(case, size)
    scene = scene_of(case, grid)
    column = COLUMNS.index(case.sequence)
    values = {tissue: row[column] for tissue, row in SIGNAL.items()}
    for lesion, tissue in LESIONS.items():
        values[lesion] += (values[tissue] - values[lesion]) * 0.45 * case.difficulty
    pixels = _acquired(case, shade(scene, values, 0.0))
    return [
        oriented(grid, Rendered(pixels, case.plane, grid.spacing, scene.structures, {}, scene.findings, None, origin))
    ]


def _acquired(case: Case, signal: Array) -> Array:
    """Coil sensitivity, point spread, and the magnitude of complex noise."""
    rng = stream(case.seed, "acquisition")
    n = min(signal.shape)
    bias = 1 + 0.10 * smooth_noise(rng, signal.shape, n / 3)
    texture = 1 + 0.03 * smooth_noise(rng, signal.shape, 1.2)
    clean = blur(signal * texture, 0.55) * np.clip(bias, 0.7, 1.3)
    level = 0.016 + 0.04 * case.difficulty
    real, imaginary = rng.normal(0, level, signal.shape), rng.normal(0, level, signal.shape)
    return np.clip(np.sqrt((clean + real) ** 2 + imaginary**2), 0, 1).astype(np.float32)
