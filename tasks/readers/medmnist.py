"""MedMNIST v2 npz files, as on Zenodo record 10519652 (CC BY 4.0 for the subsets listed).

``<flag>.npz`` (28 px) or ``<flag>_<size>.npz`` with ``<split>_images`` uint8 (N, H, W[, 3]) and ``<split>_labels``
(N, 1), or (N, 14) multi-label, for the splits train, val and test. Source: MedMNIST/MedMNIST.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from radbench.tasks.readers.files import require

from radbench.errors import DataError, ImageError
from radbench.images.cache import npz_array
from radbench.images.decode import file_sha256
from radbench.records import Image, Labels, Sample

LABELS = {
    "pneumoniamnist": ("normal", "pneumonia"),
    "breastmnist": ("malignant", "normal, benign"),
    "octmnist": ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
}


class MedMNIST:
    """One flag of MedMNIST. The files name no patients: samples have no cluster."""

    def __init__(self, root: Path, flag: str, size: int = 28) -> None:
        name = f"{flag}.npz" if size == 28 else f"{flag}_{size}.npz"
        self._path = require(root / name if root.is_dir() else root, f"the MedMNIST file {name}")
        self._labels = LABELS[flag]

    def samples(self, split: str) -> Iterator[Sample]:
        labels = self._split_labels(split)
        for i, row in enumerate(labels):
            if not 0 <= int(row[0]) < len(self._labels):
                raise DataError(
                    f"{self._path}: {split}_labels[{i}] is {int(row[0])}, expected 0 to {len(self._labels) - 1}"
                )
            image = Image(str(self._path), member=f"{split}_images", frame=i)
            yield Sample(f"{split}-{i}", None, {"answer": Labels((self._labels[int(row[0])],))}, (image,))

    def count(self, split: str) -> int:
        return len(self._split_labels(split))

    def _split_labels(self, split: str) -> np.ndarray:
        try:
            images, _ = npz_array(str(self._path), f"{split}_images")
            labels, _ = npz_array(str(self._path), f"{split}_labels")
        except ImageError as error:
            raise DataError(error.message, remedy=error.remedy) from None
        if labels.ndim != 2 or len(images) != len(labels):
            raise DataError(f"{self._path}: {len(images)} images and labels of shape {labels.shape} in split '{split}'")
        return labels

    @cached_property
    def _digest(self) -> str:
        return file_sha256(self._path)[:16]

    def fingerprint(self) -> str:
        return self._digest
