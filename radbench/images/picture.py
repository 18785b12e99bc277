"""Decoded pixels and how models usually want them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from radbench.images.windows import apply_window, preset, to_uint8

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Decoded pixels of one :class:`radbench.records.Image`.

    2D: ``array`` is (H, W) or (H, W, 3), uint8, ready for display (windowed, MONOCHROME1 inverted). Volume: (X, Y, Z)
    float32 in RAS+ orientation, in stored units (CT: Hounsfield); ``spacing`` in mm per axis and ``affine`` (4, 4) voxel
    to RAS mm. ``sha256`` is of the file's bytes (series: of the sorted files'). ``steps`` records what was done to the
    stored values.
    """

    array: np.ndarray
    sha256: str
    spacing: tuple[float, ...] = ()
    affine: np.ndarray | None = None
    steps: tuple[str, ...] = ()
    window: str | None = None

    @property
    def is_volume(self) -> bool:
        return self.array.ndim == 3 and self.affine is not None

    @property
    def size(self) -> tuple[int, ...]:
        """(H, W) of a picture, (X, Y, Z) of a volume."""
        return self.array.shape if self.is_volume else self.array.shape[:2]

    def grey(self) -> np.ndarray:
        """uint8 grey levels, (H, W) or (X, Y, Z). Colour by ITU-R 601 luma; a volume by its window or its range."""
        if self.is_volume:
            return apply_window(self.array, *preset(self.window)) if self.window else to_uint8(self.array)
        if self.array.ndim == 2:
            return self.array
        return (self.array @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)

    def vector(self, side: int) -> np.ndarray:
        """Grey levels on a ``side`` x ``side`` (x ``side``) grid, mean removed, length 1; float32, flat.

        Two vectors' dot product is a cosine similarity: near 1 for re-encodings and near-duplicates.
        """
        from PIL import Image as PIL

        grey = self.grey()
        if self.is_volume:
            picks = [((np.arange(side) + 0.5) * n / side).astype(int) for n in grey.shape]
            small = grey[np.ix_(*picks)]
        else:
            small = np.asarray(PIL.fromarray(grey).resize((side, side), PIL.Resampling.BOX))
        centred = small.astype(np.float32).ravel() - small.mean(dtype=np.float32)
        norm = float(np.linalg.norm(centred))
        return (centred / norm if norm > 0 else centred).astype(np.float32)

    def pil(self) -> PILImage:
        """A Pillow RGB image; of a volume the middle axial slice, anterior up and the patient's right on the left."""
        from PIL import Image as PIL

        if self.is_volume:
            return self.slices(1)[0]
        return PIL.fromarray(self.array).convert("RGB")

    def slices(self, count: int) -> list[PILImage]:
        """``count`` axial slices of a volume, evenly spaced from inferior to superior, as Pillow RGB images."""
        from PIL import Image as PIL

        grey = self.grey()
        positions = np.linspace(0, grey.shape[2] - 1, count + 2)[1:-1].round().astype(int)
        return [PIL.fromarray(np.ascontiguousarray(grey[::-1, ::-1, z].T)).convert("RGB") for z in positions]
