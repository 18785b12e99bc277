"""MedMNIST v2 npz files, as on Zenodo record 10519652 (CC BY 4.0 for the subsets listed).

``<flag>.npz`` (28 px) or ``<flag>_<size>.npz`` (64, 128 or 224 px) with ``<split>_images`` uint8 (N, H, W[, 3]) and
``<split>_labels`` (N, 1), of ChestMNIST (N, 14) with a 1 for every label that holds, for the splits train, val and test.
Source: MedMNIST/MedMNIST.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from radbench.tasks.readers.files import require
from radbench.tasks.readers.label_names import MEDMNIST

from radbench.errors import DataError, ImageError, nearest
from radbench.images.cache import npz_array
from radbench.images.decode import file_sha256
from radbench.records import Image, Labels, Sample

MULTILABEL = frozenset({"chestmnist"})
SIZES = (28, 64, 128, 224)
SPLITS = ("train", "val", "test")


class MedMNIST:
    """One flag of MedMNIST at one size. The files name no patients: samples have no cluster.

    Target ``answer``: the label, of ChestMNIST all labels that hold, maybe none. Raises
    :class:`radbench.errors.DataError` where the flag, the size or the file is not there or does not hold what it should.
    """

    def __init__(self, root: Path, flag: str, size: int = 28) -> None:
        if flag not in MEDMNIST:
            raise DataError(f"MedMNIST flag '{flag}' is not read here: {nearest(flag, MEDMNIST)}")
        if size not in SIZES:
            raise DataError(f"MedMNIST has no size {size} but {', '.join(map(str, SIZES))}")
        name = f"{flag}.npz" if size == 28 else f"{flag}_{size}.npz"
        self._path = require(root / name if root.is_dir() else root, f"the MedMNIST file {name}")
        self._labels, self._many = MEDMNIST[flag], flag in MULTILABEL

    def samples(self, split: str) -> Iterator[Sample]:
        labels = self._split_labels(split)
        for i, row in enumerate(labels):
            names = self._several(row, split, i) if self._many else self._one(row, split, i)
            image = Image(str(self._path), member=f"{split}_images", frame=i)
            yield Sample(f"{split}-{i}", None, {"answer": Labels(names)}, (image,))

    def _one(self, row: np.ndarray, split: str, i: int) -> tuple[str, ...]:
        if not 0 <= int(row[0]) < len(self._labels):
            raise DataError(
                f"{self._path}: {split}_labels[{i}] is {int(row[0])}, expected 0 to {len(self._labels) - 1}"
            )
        return (self._labels[int(row[0])],)

    def _several(self, row: np.ndarray, split: str, i: int) -> tuple[str, ...]:
        if not np.isin(row, (0, 1)).all():
            raise DataError(f"{self._path}: {split}_labels[{i}] is {row.tolist()}, expected a 0 or 1 for every label")
        return tuple(name for name, holds in zip(self._labels, row, strict=True) if holds)

    def count(self, split: str) -> int:
        return len(self._split_labels(split))

    def _split_labels(self, split: str) -> np.ndarray:
        if split not in SPLITS:
            raise DataError(f"MedMNIST has no split '{split}' but {', '.join(SPLITS)}")
        try:
            images, _ = npz_array(str(self._path), f"{split}_images")
            labels, _ = npz_array(str(self._path), f"{split}_labels")
        except ImageError as error:
            raise DataError(error.message, remedy=error.remedy) from None
        columns = len(self._labels) if self._many else 1
        if labels.ndim != 2 or len(images) != len(labels) or labels.shape[1] != columns:
            raise DataError(
                f"{self._path}: {len(images)} images and labels of shape {labels.shape} in split '{split}',"
                f" expected labels of shape ({len(images)}, {columns})"
            )
        return labels

    @cached_property
    def _digest(self) -> str:
        return file_sha256(self._path)[:16]

    def fingerprint(self) -> str:
        return self._digest
