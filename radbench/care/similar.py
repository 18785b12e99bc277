"""Pictures that are the same or nearly so: digests of their pixels, and cosines of 32 x 32 grey levels in blocks.

The vectors lie in a temporary file that is mapped, so that memory stays flat however many pictures are compared.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from tempfile import TemporaryFile

import numpy as np

from radbench.care.headers import quiet
from radbench.care.privacy import middle_grey
from radbench.errors import ImageError
from radbench.images import Picture
from radbench.images.decode import decode
from radbench.records import Image

SIDE = 32
COSINE = 0.99
THREADS = 4
_BATCH = 64
_BLOCK = 2048
DEPTH = 20  # a volume takes about as long as so many pictures


def reference(image: Image) -> Hashable:
    """What tells two references apart: the file and the place in it, not how it is windowed."""
    return image.path, image.member, image.frame, image.kind


def chosen(images: Sequence[Image], limit: int, seed: int = 0) -> list[int]:
    """Positions of the pictures to look at: all, or a seeded choice where they are more than ``limit`` (0: no limit).

    The same pictures are chosen from two collections that share them.
    """
    if not limit:
        return list(range(len(images)))

    def draw(position: int) -> bytes:
        text = f"{seed}|{reference(images[position])}".encode("utf-8", "surrogatepass")
        return blake2b(text, digest_size=8).digest()

    left, picked = limit, list[int]()
    for position in sorted(range(len(images)), key=draw):
        left -= 1 if images[position].kind == "2d" else DEPTH
        if left < 0 and picked:
            break
        picked.append(position)
    return sorted(picked)


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What pictures look like: ``digests`` of their pixels (0 where one cannot be decoded) and ``vectors`` of length 1.

    ``vectors``: (n, 1024) float32, mapped; rows of zeros for blank and unreadable pictures.
    """

    digests: np.ndarray
    vectors: np.ndarray

    @property
    def unreadable(self) -> int:
        return int((self.digests == 0).sum())


def look(images: Sequence[Image]) -> Looks:
    """Decode every picture once, in threads, and forget its pixels."""
    digests = np.zeros(len(images), np.uint64)
    with quiet(), TemporaryFile() as file, ThreadPoolExecutor(THREADS, thread_name_prefix="radbench-look") as pool:
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            for offset, (digest, vector) in enumerate(pool.map(_look, batch)):
                digests[start + offset] = digest
                file.write(vector.tobytes())
        file.flush()
        shape = (len(images), SIDE * SIDE)
        return Looks(digests, np.memmap(file, np.float32, "r", shape=shape) if images else np.empty(shape, np.float32))


def _look(image: Image) -> tuple[int, np.ndarray]:
    try:
        picture = decode(image)
    except ImageError:
        return 0, np.zeros(SIDE * SIDE, np.float32)
    pixels = np.ascontiguousarray(picture.array)
    content = blake2b(f"{pixels.dtype}{pixels.shape}".encode(), digest_size=8)
    content.update(pixels.data)
    return int.from_bytes(content.digest(), "big") or 1, grey_vector(picture)


def grey_vector(picture: Picture) -> np.ndarray:
    """(1024,) float32 of length 1, of a uniform picture 0: its grey levels, of a volume those of its middle axial slice."""
    return Picture(middle_grey(picture), "").vector(SIDE)


def near(
    test: Looks, pool: Looks, cosine: float = COSINE, apart: tuple[np.ndarray, np.ndarray] | None = None
) -> Iterator[tuple[int, int]]:
    """``(test, pool)`` positions: for each test picture that has one, a nearly equal pool picture of other pixels.

    ``apart``: cluster numbers of both sides; pictures of one cluster are then not compared.
    """
    for start in range(0, len(test.vectors), _BLOCK):
        rows = slice(start, start + _BLOCK)
        best = np.full(len(test.vectors[rows]), -1)
        for at in range(0, len(pool.vectors), _BLOCK):
            columns = slice(at, at + _BLOCK)
            alike = np.asarray(test.vectors[rows]) @ np.asarray(pool.vectors[columns]).T >= cosine
            alike &= test.digests[rows, None] != pool.digests[None, columns]
            if apart is not None:
                alike &= apart[0][rows, None] != apart[1][None, columns]
            found = (best < 0) & alike.any(axis=1)
            best[found] = at + alike[found].argmax(axis=1)
        for i in np.flatnonzero(best >= 0):
            yield start + int(i), int(best[i])
