"""Pictures that are the same or nearly so, which a few-shot example or a retrieved neighbour should not be unnoticed."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from radbench.care.similar import COSINE, SIDE, grey_vector, reference
from radbench.errors import ImageError
from radbench.records import Image, Request

if TYPE_CHECKING:
    from radbench.task import Support


class Twins:
    """Whether a pool sample shows a picture that is asked about, or nearly the same one.

    As :mod:`radbench.care.similar` has it: the cosine of 32 x 32 grey levels is at least 0.99; a volume by its middle
    axial slice. A uniform picture is nearly the same as none but itself.
    """

    def __init__(self, support: Support) -> None:
        self._support = support
        self._pool = lru_cache(maxsize=20_000)(self._look)
        self._asked = lru_cache(maxsize=16)(_looks)

    def near(self, request: Request, position: int) -> bool:
        """Raises :class:`ImageError` where a picture of the pool sample or of the request cannot be decoded."""
        ours, theirs = request.asked_images, self._support.requests[position].asked_images
        if not ours or not theirs:
            return False
        if {reference(i) for i in ours} & {reference(i) for i in theirs}:
            return True
        return bool((self._asked(ours) @ self._pool(position).T >= COSINE).any())

    def readable(self, position: int) -> bool:
        """Whether every picture of a pool sample can be decoded."""
        try:
            self._pool(position)
        except ImageError:
            return False
        return True

    def _look(self, position: int) -> np.ndarray:
        return _looks(self._support.requests[position].asked_images)


def _looks(images: tuple[Image, ...]) -> np.ndarray:
    """(n, 1024) float32, rows of length 1 or, of uniform pictures, 0."""
    rows = [grey_vector(image.load()) for image in images]
    return np.stack(rows) if rows else np.zeros((0, SIDE * SIDE), np.float32)
