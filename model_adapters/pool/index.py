"""Nearest pool pictures by cosine, from an index that is kept on disk; shared by ``knn`` and ``rag``.

A request's pictures embed as the mean of their embeddings, scaled to length 1 (MedDr, arXiv 2404.15127, section 3.3).
"""

from __future__ import annotations

import io
import logging
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from radbench.model_adapters.pool.embedding import Embedder, is_flat

from radbench.caches import cache_root
from radbench.errors import ConfigError, DataError, ImageError, RadbenchError, shown
from radbench.folder import write_whole
from radbench.images import warm
from radbench.records import Image

if TYPE_CHECKING:
    from radbench.task import Support, Task

log = logging.getLogger("radbench")

LARGE = 50_000  # embeddings from which faiss is used where it is installed
_BATCH = 32  # support samples embedded together
_MARGIN = 1e-5  # what float32 products of two libraries may differ by, and more
_DIGITS = 6  # of a cosine: what lies closer is in the pool's order, whoever searches
TIE = 1.5e-6  # cosines of embeddings this close are of one picture


class Index:
    """Embeddings of a pool, searched by cosine; the same order whether numpy or faiss searches.

    ``vectors``: (n, d) float32. ``kept``: the pool position of each row.
    """

    def __init__(self, vectors: np.ndarray, kept: np.ndarray) -> None:
        self._vectors, self._kept = _unit(vectors), kept
        self._faiss = _faiss_index(self._vectors) if len(vectors) >= LARGE else None

    @property
    def width(self) -> int:
        return int(self._vectors.shape[1])

    def ranked(self, query: np.ndarray) -> Iterator[tuple[int, float]]:
        """Pool positions and cosines, nearest first, of equal ones the earlier in the pool; found as they are asked for."""
        query, given, count = _unit(query[None])[0], 0, 16
        while given < len(self._vectors):
            rows, scores = self._nearest(query, min(count, len(self._vectors)))
            yield from zip(self._kept[rows[given:]].tolist(), scores[given:].tolist(), strict=True)
            given, count = len(rows), count * 4

    def _nearest(self, query: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The first ``count`` rows in order. Close ones are compared again in float64, so that libraries agree."""
        rows = self._faiss_rows(query, count) if self._faiss is not None else self._numpy_rows(query, count)
        scores = np.round(self._vectors[rows].astype(np.float64) @ query.astype(np.float64), _DIGITS)
        order = np.lexsort((rows, -scores))[:count]
        return rows[order], scores[order]

    def _numpy_rows(self, query: np.ndarray, count: int) -> np.ndarray:
        near = self._vectors @ query
        last = np.partition(near, len(near) - count)[len(near) - count]
        return np.flatnonzero(near >= last - _MARGIN)

    def _faiss_rows(self, query: np.ndarray, count: int) -> np.ndarray:
        wanted, total = count, len(self._vectors)
        while True:
            wanted = min(wanted * 2, total)
            near, rows = (found[0] for found in self._faiss.search(query[None], wanted))  # type: ignore[union-attr]
            if wanted == total or near[-1] < near[count - 1] - _MARGIN:
                return np.sort(rows[near >= near[count - 1] - _MARGIN])


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(norms > 0, norms, 1), np.float32)


def _faiss_index(vectors: np.ndarray) -> Any:
    """A flat inner-product index; None where faiss is not installed."""
    try:
        import faiss
    except ImportError:
        log.info(
            "%d embeddings are searched by numpy; faiss is faster: pip install 'radbench[retrieval]'", len(vectors)
        )
        return None
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return index


def index_of(made_by: Embedder, task: Task, support: Support) -> Index:
    """The support split's index: read from the user's cache, else made and kept there.

    Unreadable pictures are left out, logged. Raises :class:`ConfigError` where no picture is left.
    """
    pool, flat = [r.asked_images for r in support.requests], is_flat(support)
    file = _place(made_by, pool, flat)
    found = _read(file, len(pool)) if file else None
    if found is None:
        found = _embed_pool(made_by, task, pool, flat)
        if file:
            _keep(file, *found)
    return Index(*found)


def _embed_pool(
    made_by: Embedder, task: Task, pool: Sequence[tuple[Image, ...]], flat: bool
) -> tuple[np.ndarray, np.ndarray]:
    log.info("task %s: %d support pictures are embedded by %s", task.name, len(pool), made_by.said)
    vectors, kept = list[np.ndarray](), list[int]()
    for start in range(0, len(pool), _BATCH):
        for image in (i for images in pool[start : start + 2 * _BATCH] for i in images if i.kind == "2d"):
            warm(image)
        for position, found in enumerate(made_by.vectors(pool[start : start + _BATCH], flat), start):
            if isinstance(found, ImageError):
                said = shown(found.message, task.access, 300)
                log.warning("task %s: a support picture is left out: %s", task.name, said)
                continue
            vectors.append(found)
            kept.append(position)
    if not kept:
        raise ConfigError(f"task '{task.name}': no usable picture in the support split '{task.support}'")
    return np.stack(vectors).astype(np.float32), np.array(kept, np.int64)


def _place(made_by: Embedder, pool: Sequence[Sequence[Image]], flat: bool) -> Path | None:
    """The file of an index: named by who embeds and what identifies the pictures. None where nobody is at home."""
    digest = sha256(f"index-1|{made_by.said}|{flat}\0".encode("utf-8", "surrogatepass"))
    for images in pool:
        digest.update("\1".join([*(i.key() for i in images), "\n"]).encode("utf-8", "surrogatepass"))
    try:
        return cache_root() / "index" / f"{digest.hexdigest()[:32]}.npz"
    except DataError:
        return None


def _read(file: Path, pool: int) -> tuple[np.ndarray, np.ndarray] | None:
    """A kept index; None where there is none or it is damaged."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            vectors, kept = archive["vectors"], archive["kept"]
        if (
            vectors.dtype != np.float32
            or vectors.ndim != 2
            or kept.dtype != np.int64
            or kept.shape != vectors.shape[:1]
        ):
            raise ValueError(f"arrays of shape {vectors.shape} and {kept.shape}")
        if not len(kept) or kept.min() < 0 or kept.max() >= pool or not np.isfinite(vectors).all():
            raise ValueError("values out of range")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        log.warning("a kept index is damaged and made again: %s (%s)", file, type(error).__name__)
        return None
    return vectors, kept


def _keep(file: Path, vectors: np.ndarray, kept: np.ndarray) -> None:
    """Write an index for this user's eyes alone; a full or read-only disk only costs making it again."""
    content = io.BytesIO()
    np.savez(content, vectors=vectors, kept=kept)
    try:
        write_whole(file, content.getvalue(), 0o600)
    except RadbenchError as error:
        log.warning("the index is not kept: %s", error.message)


def alike(a: str, b: str) -> float:
    """How alike two questions are, from 0 to 1."""
    return SequenceMatcher(None, a, b).ratio()
