"""Distances between the outlines of binary masks, 2D and 3D: Hausdorff percentile (HD95) and surface Dice (NSD).

References: MONAI 1.6.1 ``compute_hausdorff_distance(percentile=95)`` and ``compute_surface_dice`` (without subvoxels),
float32. HD95: Huttenlocher et al. 1993, "Comparing images using the Hausdorff distance", at the 95th percentile; surface
Dice: Nikolov et al. 2021, "Clinically applicable segmentation of head and neck anatomy". A mask's outline is its pixels
with a neighbour across an edge (2D) or a face (3D) outside it; beyond the picture is outside. Distances run between
pixel centres, in mm where the target has a ``spacing`` or is a volume file that has one, else in pixels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import numpy as np
from radbench.metrics.base import Card, Mean, State, one_of
from radbench.metrics.batches import shared
from radbench.metrics.vision.boxes import scipy_missing
from radbench.metrics.vision.masks import true_mask

from radbench.errors import DataError
from radbench.records import Mask, Prediction, Target
from radbench.statistics import Floats

EmptySurface = Literal["best", "drop", "drop-both", "worst"]
EMPTY_SURFACES = ("best", "drop", "drop-both", "worst")
Distances = tuple[Floats, Floats]


def checked_spacing(spacing: Sequence[float], shape: tuple[int, ...]) -> Floats:
    """The size of a pixel along each axis, 1 where there is no spacing. Raises :class:`DataError` where it does not fit."""
    sizes = np.asarray(spacing if len(spacing) else (1.0,) * len(shape), np.float64)
    if sizes.shape != (len(shape),) or not (np.isfinite(sizes) & (sizes > 0)).all():
        raise DataError(
            f"a mask's spacing is {tuple(spacing)}, expected {len(shape)} positive numbers for its shape {shape}",
            remedy="give the size of a pixel along each axis in mm, or none",
        )
    return sizes


def diagonal(shape: tuple[int, ...], spacing: Sequence[float] = ()) -> float:
    """The diagonal of the picture: no two outlines are further apart. In mm, or pixels without a spacing."""
    return float(np.linalg.norm(np.array(shape) * checked_spacing(spacing, shape)))


def surface_distances(prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float] = ()) -> Distances:
    """From each outline pixel of P to the nearest of T, and from each of T to the nearest of P: (p,) and (t,) distances.

    All inf towards an empty mask; no distances from one. Raises ValueError where the shapes differ.
    """
    from scipy.spatial import KDTree

    if prediction.shape != truth.shape:
        raise ValueError(f"a mask of shape {prediction.shape} cannot be compared with one of {truth.shape}")
    sizes = checked_spacing(spacing, truth.shape)
    said, true = (_outline(mask) * sizes for mask in (prediction, truth))
    if len(said) == 0 or len(true) == 0:
        return np.full(len(said), np.inf), np.full(len(true), np.inf)
    return KDTree(true).query(said)[0], KDTree(said).query(true)[0]


def _outline(mask: np.ndarray) -> Floats:
    """(n, dims) indices of the outline pixels."""
    from scipy.ndimage import binary_erosion, find_objects

    found = find_objects(mask.astype(np.uint8))  # the rest of a volume holds no outline
    if not found or found[0] is None:
        return np.zeros((0, mask.ndim))
    inside = mask[found[0]]
    corner = [part.start for part in found[0]]
    return (np.argwhere(inside & ~binary_erosion(inside)) + corner).astype(np.float64)


def hausdorff_of(distances: Distances, percentile: float = 95.0) -> float:
    """The larger of the two directions' linear percentiles of non-empty ``distances``."""
    return max(float(np.percentile(d, percentile)) for d in distances)


def surface_dice_of(distances: Distances, tolerance: float = 1.0) -> float:
    """The share of all outline pixels within ``tolerance`` of the other outline."""
    # In float32 as MONAI compares: 3 pixels of 0.1 mm lie within 0.3 mm.
    near = sum(int(np.count_nonzero(d.astype(np.float32) <= np.float32(tolerance))) for d in distances)
    return near / sum(len(d) for d in distances)


def hausdorff(
    prediction: np.ndarray,
    truth: np.ndarray,
    spacing: Sequence[float] = (),
    percentile: float = 95.0,
    empty: EmptySurface = "best",
) -> float:
    """Hausdorff distance at a percentile, 0 to the picture's diagonal, lower is better; ``empty`` as in :class:`HD95`."""
    distances, worst = surface_distances(prediction, truth, spacing), diagonal(truth.shape, spacing)
    if len(distances[0]) and len(distances[1]):
        return hausdorff_of(distances, percentile)
    return _of_empty(distances, empty, 0.0, worst)


def surface_dice(
    prediction: np.ndarray,
    truth: np.ndarray,
    spacing: Sequence[float] = (),
    tolerance: float = 1.0,
    empty: EmptySurface = "best",
) -> float:
    """Surface Dice at a tolerance (mm, or pixels without a spacing), 0 to 1; ``empty`` as in :class:`SurfaceDice`."""
    distances = surface_distances(prediction, truth, spacing)
    if len(distances[0]) and len(distances[1]):
        return surface_dice_of(distances, tolerance)
    return _of_empty(distances, empty, 1.0, 0.0)


def _of_empty(distances: Distances, empty: EmptySurface, best: float, worst: float) -> float:
    said, true = len(distances[0]) > 0, len(distances[1]) > 0
    if true:
        return worst  # nothing is predicted
    if empty == "drop" or (empty == "drop-both" and not said):
        return float("nan")
    return best if empty == "best" and not said else worst


def _distances(predictions: Sequence[Prediction], targets: Sequence[Target]) -> list[tuple[Distances | None, float]]:
    """The distances of each pair (None for a failed answer) and the picture's diagonal."""
    out: list[tuple[Distances | None, float]] = []
    for prediction, target in zip(predictions, targets, strict=True):
        mask = true_mask(target)
        truth, said = mask.load(), prediction.value
        size = mask.voxel_size()
        found = None if said is None else surface_distances(np.asarray(said, bool), truth, size)
        out.append((found, diagonal(truth.shape, size)))
    return out


class _Surface(Mean):
    """The mean over samples of a score of outline distances, which are computed once a batch for all of them.

    ``empty`` decides what an empty truth scores: ``best`` the best value where the prediction is empty too, else the
    worst; ``drop`` nan, left out; ``drop-both`` nan only where both are empty (MONAI's surface Dice); ``worst`` the worst.
    A prediction that is empty alone, and a failed answer, score the worst: a number, where MONAI's distance is nan or inf.
    """

    accepts = (Mask,)

    def __init__(self, empty: EmptySurface) -> None:
        one_of("empty", empty, EMPTY_SURFACES)
        self.empty = empty

    @abstractmethod
    def of_distances(self, distances: Distances) -> float:
        """The score of two outlines."""

    @abstractmethod
    def bounds(self, diagonal: float) -> tuple[float, float]:
        """Best and worst value in a picture of this diagonal."""

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        found = shared(predictions, targets, "surface-distances", lambda: _distances(predictions, targets))
        return np.array([self._score(d, diagonal) for d, diagonal in found], np.float64)

    def _score(self, distances: Distances | None, diagonal: float) -> float:
        best, worst = self.bounds(diagonal)
        if distances is None:
            return worst
        if len(distances[0]) and len(distances[1]):
            return self.of_distances(distances)
        return _of_empty(distances, self.empty, best, worst)

    def unavailable(self) -> str | None:
        return scipy_missing()


class HD95(_Surface):
    """Mean Hausdorff distance at a ``percentile`` over samples; the worst value is the picture's diagonal."""

    better = "lower"

    def __init__(self, percentile: float = 95.0, empty: EmptySurface = "best") -> None:
        super().__init__(empty)
        if not 0 < float(percentile) <= 100:
            raise ValueError(f"percentile is {percentile}, expected above 0 and at most 100")
        self.percentile = float(percentile)
        self.card = Card(
            f"Hausdorff distance, {self.percentile:g}th percentile",
            "the larger of the two percentiles of distances from one outline to the other, averaged over samples",
            "0 to the picture's diagonal, lower is better; in mm, in pixels where the masks have no spacing",
            "Huttenlocher et al. 1993; MONAI 1.6.1 compute_hausdorff_distance",
            failed="a failed answer, or an empty one alone, counts the picture's diagonal",
        )

    def of_distances(self, distances: Distances) -> float:
        return hausdorff_of(distances, self.percentile)

    def bounds(self, diagonal: float) -> tuple[float, float]:
        return 0.0, diagonal

    def signature(self, state: State) -> str:
        return f"hausdorff|percentile:{self.percentile:g}|avg:sample|empty:{self.empty}|failed:diagonal|v:1"


class SurfaceDice(_Surface):
    """Mean surface Dice over samples at a ``tolerance`` in mm (pixels without a spacing)."""

    def __init__(self, tolerance: float = 1.0, empty: EmptySurface = "best") -> None:
        super().__init__(empty)
        if not 0 <= float(tolerance) < float("inf"):
            raise ValueError(f"tolerance is {tolerance}, expected a finite distance of 0 or more")
        self.tolerance = float(tolerance)
        self.card = Card(
            f"Surface Dice at {self.tolerance:g} mm",
            "outline pixels of both masks within the tolerance of the other outline / all outline pixels,"
            " averaged over samples; the tolerance is in pixels where the masks have no spacing",
            "0 to 1, higher is better",
            "Nikolov et al. 2021; MONAI 1.6.1 compute_surface_dice without subvoxels",
        )

    def of_distances(self, distances: Distances) -> float:
        return surface_dice_of(distances, self.tolerance)

    def bounds(self, diagonal: float) -> tuple[float, float]:
        return 1.0, 0.0

    def signature(self, state: State) -> str:
        return f"surface-dice|tolerance:{self.tolerance:g}|avg:sample|empty:{self.empty}|failed:0|v:1"


METRICS = {"hd95": HD95, "surface-dice": SurfaceDice}
