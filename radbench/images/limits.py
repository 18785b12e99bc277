"""What is refused before anything is allocated, and values no model should see."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from radbench.errors import ImageError

# A mammogram has 12 to 20 million pixels, a whole-body CT 400 million voxels; a file that declares more than these
# is refused before anything is allocated.
MAX_PIXELS = 120_000_000
MAX_VOXELS = 600_000_000
MAX_FILE_BYTES = 4 << 30


def check_pixels(path: Path, *shape: int) -> None:
    total = int(np.prod([int(s) for s in shape], dtype=object))
    if total > MAX_PIXELS:
        raise ImageError(
            f"{path}: declares {total:,} pixels, more than the limit of {MAX_PIXELS:,} (a decompression bomb?)"
        )


def check_voxels(path: Path, *shape: int) -> None:
    total = int(np.prod([int(s) for s in shape], dtype=object))
    if total > MAX_VOXELS:
        raise ImageError(
            f"{path}: declares {total:,} voxels, more than the limit of {MAX_VOXELS:,} (a decompression bomb?)"
        )
    if total == 0:
        raise ImageError(f"{path}: the volume is empty, shape {tuple(shape)}")


def check_finite(path: Path, array: np.ndarray) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int(np.size(array) - np.isfinite(array).sum())
        raise ImageError(
            f"{path}: {bad:,} of {array.size:,} values are NaN or infinite",
            remedy="replace them before evaluation; radbench does not guess a value",
        )
