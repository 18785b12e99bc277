"""Retrieval voting, the non-parametric baseline of MedDr (arXiv 2404.15127, section 3.3): nearest pool pictures answer.

MedDr takes cosine similarity of its own vision encoder. By default a picture embeds as its own pixels (32 x 32 grey
levels, mean removed, length 1), so the baseline needs no weights; ``embed=hf:ID`` takes a model's encoder. Diagnosis:
majority of the k nearest labels (k = 5); text: the nearest picture's annotation, among several of one picture the one
whose question is most alike; masks and boxes: the nearest picture's, scaled.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from radbench.model_adapters.baselines import (
    in_fractions,
    resample_nearest,
    scale_box,
    target_answer,
    target_text,
    usable,
)
from radbench.model_adapters.pool.embedding import Embedder, Pixels, embedded, embedder, is_flat, pixels
from radbench.model_adapters.pool.index import TIE, alike, index_of

from radbench.errors import ConfigError, ImageError, shown
from radbench.images import warm
from radbench.options import whole
from radbench.records import Answer, Boxes, Failure, Labels, Mask, Model, Request

if TYPE_CHECKING:
    from radbench.task import Support, Task

log = logging.getLogger("radbench")


class Knn:
    """``knn`` or ``knn:k=5,embed=pixels``: fits on the support split, never votes with the asked sample's own cluster.

    ``embed``: ``pixels``, or the spec of a model with a vision encoder; one with commas stands in parentheses,
    ``embed=(hf:ID,dtype=float32)``. Such an index is kept in the user's cache.
    """

    capabilities = frozenset({"text", "boxes", "mask2d", "mask3d", "multi_image", "volumes", "examples"})

    def __init__(self, k: int = 5, embed: str | Model = "pixels") -> None:
        whole("k", k, 1)
        self._k = k
        self._embedder = embedder(embed)
        self._pools: dict[str, _Pool] = {}

    def fingerprint(self) -> Mapping[str, str]:
        said = self._embedder.said
        name = f"knn:k={self._k}" + ("" if isinstance(self._embedder, Pixels) else f",embed={said.rpartition(' ')[0]}")
        return {"adapter": "knn", "name": name, "embedding": said, "revision": "1"}

    def fit(self, task: Task, support: Support) -> None:
        """Embed the support split. Raises :class:`ConfigError` where no picture of it can be used."""
        nearest = _Pixelwise if isinstance(self._embedder, Pixels) else _Indexed
        self._pools[task.name] = nearest(task, support, self._k, self._embedder)

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        flat = {name: pool.flat for name, pool in self._pools.items()}
        for request, query in embedded(self._embedder, requests, flat):
            if isinstance(query, ImageError):
                yield request, Answer(failure=Failure("input", query.message))
            else:
                yield request, self._pools[request.task].answer(request, query)


class _Pool:
    """The support split of one task, and how what lies nearest answers.

    ``width`` is that of an embedding; similarities closer than ``same`` are a tie: several annotations of one picture.
    """

    width: int
    same: float

    def __init__(self, task: Task, support: Support, k: int) -> None:
        self._k, self._support = k, support
        self.flat = is_flat(support)
        self._targets = [s.targets[task.target] for s in support.samples]

    def nearest(self, query: np.ndarray, held_out: str | None) -> list[tuple[int, float]]:
        """Pool positions and similarities, nearest first, without a cluster: k, and all as near as the first, or more."""
        raise NotImplementedError

    def answer(self, request: Request, query: np.ndarray) -> Answer:
        if len(query) != self.width:
            return Answer(failure=Failure("input", "a picture among volumes"))
        held_out = self._support.held_out
        found = self.nearest(query, None if held_out is None else held_out[request.sample])
        if not found:
            return Answer(text="")
        nearest, first = found[0]
        target = self._targets[nearest]
        if isinstance(target, Labels):
            votes = Counter(target_text(self._targets[i]) for i, _ in found[: self._k])
            return Answer(text=votes.most_common(1)[0][0])  # of equal counts the one met first, the nearest
        if isinstance(target, Mask):
            return Answer(mask=resample_nearest(target.load(), request.asked_images[0].load().size))
        if isinstance(target, Boxes):
            drawn = in_fractions(target, self._support.samples[nearest])
            height, width = request.asked_images[0].load().size[:2]
            return Answer(boxes=tuple(scale_box(b, width, height) for b in drawn.boxes))
        same_picture = [i for i, similarity in found if first - similarity < self.same]
        pool, asked = self._support.requests, request.asked_text
        return target_answer(self._targets[max(same_picture, key=lambda i: alike(pool[i].asked_text, asked))])


class _Pixelwise(_Pool):
    """Pixel embeddings as they are: of several pictures the mean, not scaled again."""

    same = 1e-6

    def __init__(self, task: Task, support: Support, k: int, made_by: Embedder) -> None:
        super().__init__(task, support, k)
        for request in support.requests:
            for image in request.images:
                warm(image)
        vectors, kept = [], []
        for position, request in enumerate(support.requests):
            if not usable(self._targets[position], task):
                continue
            try:
                vectors.append(pixels(request.images, self.flat))
                kept.append(position)
            except ImageError as error:
                log.warning(
                    "task %s: a support picture is left out: %s", task.name, shown(error.message, task.access, 300)
                )
        if not kept:
            raise ConfigError(f"task '{task.name}': no usable picture in the support split '{task.support}'")
        self._vectors, self._kept = np.stack(vectors), kept
        self._clusters = np.array([support.cluster_of(p) for p in kept])
        self.width = self._vectors.shape[1]

    def nearest(self, query: np.ndarray, held_out: str | None) -> list[tuple[int, float]]:
        similarity = self._vectors @ query
        if held_out is not None:
            similarity = np.where(self._clusters == held_out, -np.inf, similarity)
        order = np.argsort(-similarity, kind="stable")
        return [(self._kept[i], float(similarity[i])) for i in order.tolist() if np.isfinite(similarity[i])]


class _Indexed(_Pool):
    """Embeddings of an encoder in an index that is kept on disk."""

    same = TIE

    def __init__(self, task: Task, support: Support, k: int, made_by: Embedder) -> None:
        super().__init__(task, support, k)
        self._index = index_of(made_by, task, support)
        self._usable = [usable(target, task) for target in self._targets]
        self.width = self._index.width

    def nearest(self, query: np.ndarray, held_out: str | None) -> list[tuple[int, float]]:
        found: list[tuple[int, float]] = []
        for position, similarity in self._index.ranked(query):
            if not self._usable[position] or held_out == self._support.cluster_of(position):
                continue
            if len(found) >= self._k and found[0][1] - similarity >= self.same:
                break
            found.append((position, similarity))
        return found
