"""One folder of pictures a class, split into seeded halves after near-duplicates are removed.

Public Kaggle collections repeat pictures (re-exports, neighbouring slices); a duplicate in both halves would let a
retrieval baseline look the answer up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
from radbench.tasks.readers.files import hash_listing, visible

from radbench.errors import DataError, ImageError
from radbench.records import Image, Labels, Sample

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})


class ImageFolder:
    """``labels`` maps folder names to class names. Splits ``pool`` and ``test``, each half of every class.

    A picture whose 32 x 32 grey levels correlate above ``duplicate_cosine`` with an earlier one (by name) is left out;
    ``removed`` lists them. Samples have no cluster: such collections name no patients.
    """

    def __init__(self, root: Path, labels: Mapping[str, str], duplicate_cosine: float = 0.99, seed: int = 0) -> None:
        self._root, self._labels = root, dict(labels)
        self._cosine, self._seed = duplicate_cosine, seed
        missing = [name for name in labels if not (root / name).is_dir()]
        if missing:
            raise DataError(f"{root}: no folder {', '.join(missing)}; expected one a class: {', '.join(labels)}")

    @cached_property
    def _files(self) -> list[Path]:
        found = (p for name in self._labels for p in (self._root / name).iterdir())
        return sorted(p for p in found if p.suffix.lower() in _SUFFIXES and visible(p))

    @cached_property
    def _kept(self) -> tuple[list[Path], list[Path]]:
        kept: list[Path] = []
        removed: list[Path] = []
        vectors = np.empty((len(self._files), 32 * 32), np.float32)
        for path in self._files:
            try:
                vector = Image(str(path)).load().vector(32)
            except ImageError:
                vector = np.zeros(32 * 32, np.float32)  # kept: it becomes a counted failure where it is asked
            if len(kept) and float((vectors[: len(kept)] @ vector).max()) > self._cosine:
                removed.append(path)
            else:
                vectors[len(kept)] = vector
                kept.append(path)
        return kept, removed

    @property
    def removed(self) -> list[Path]:
        return self._kept[1]

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in ("pool", "test"):
            raise DataError(f"{self._root} has no split '{split}' but pool and test")
        for folder, label in self._labels.items():
            names = [p for p in self._kept[0] if p.parent.name == folder]
            order = sorted(names, key=lambda p: sha256(f"{self._seed}|{folder}/{p.name}".encode()).digest())
            half = set(order[: len(order) // 2])
            for path in names:
                if (path in half) == (split == "pool"):
                    answer = Labels((label,))
                    yield Sample(f"{folder}/{path.stem}", None, {"answer": answer}, (Image(str(path)),))

    def fingerprint(self) -> str:
        return hash_listing(self._root, self._files)
