"""Window presets for CT, in Hounsfield units.

Centre and width as printed in radiology teaching material; DICOM PS3.3 C.11.2.1.2.1 gives the linear function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from radbench.errors import ConfigError, nearest

if TYPE_CHECKING:
    import numpy as np

PRESETS: dict[str, tuple[float, float]] = {  # name -> (centre, width)
    "abdomen": (40, 400),
    "angio": (300, 600),
    "bone": (400, 1800),
    "brain": (40, 80),
    "liver": (60, 160),
    "lung": (-600, 1500),
    "mediastinum": (40, 400),
    "soft-tissue": (50, 350),
    "spine": (50, 250),
    "stroke": (40, 40),
    "subdural": (75, 215),
}


def preset(name: str) -> tuple[float, float]:
    """Centre and width of a named preset, or of ``C/W`` such as ``40/400``. Raises :class:`ConfigError`."""
    if name in PRESETS:
        return PRESETS[name]
    centre, slash, width = name.partition("/")
    try:
        pair = (float(centre), float(width))
    except ValueError:
        slash = ""
        pair = (0.0, 0.0)
    if not slash or pair[1] <= 0:
        raise ConfigError(
            f"unknown window '{name}': {nearest(name, PRESETS)}", remedy="or give CENTRE/WIDTH, e.g. 40/400"
        )
    return pair


def apply_window(values: np.ndarray, centre: float, width: float) -> np.ndarray:
    """Map ``centre ± width / 2`` linearly onto 0..255, clipped; uint8 of the same shape."""
    import numpy as np

    low = centre - width / 2
    return (np.clip((values - low) / width, 0, 1) * 255).round().astype(np.uint8)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Map the smallest value to 0 and the largest to 255 (a constant picture becomes 0); uint8 of the same shape."""
    import numpy as np

    if values.dtype == np.uint8:
        return values
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    return apply_window(values.astype(np.float32), (low + high) / 2, high - low)
