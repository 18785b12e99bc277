"""Retrieval voting, the non-parametric baseline of MedDr (arXiv 2404.15127, section 3.3): nearest pool pictures answer.

MedDr takes cosine similarity of its own vision encoder; here a picture embeds as its own pixels (32 x 32 grey levels,
mean removed, length 1), so the baseline needs no weights. Diagnosis: majority of the k nearest labels (k = 5); text:
the nearest picture's annotation, among several of one picture the one whose question is most alike; masks and boxes:
the nearest picture's, scaled.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import numpy as np
from radbench.model_adapters.baselines import resample_nearest, scale_box, target_answer, target_text, usable

from radbench.errors import ConfigError, ImageError, shown
from radbench.images import Picture, warm
from radbench.records import Answer, Boxes, Failure, Image, Labels, Mask, Request

if TYPE_CHECKING:
    from radbench.task import Support, Task

_SIDE = 32
_SIDE_3D = 16
_SAME = 1e-6  # similarities closer than this are a tie: several annotations of one picture

log = logging.getLogger("radbench")


def embed(images: Iterable[Image], flat: bool = False) -> np.ndarray:
    """The mean pixel embedding of a request's pictures, float32. Raises :class:`ImageError`.

    Volumes embed as volumes; beside pictures, or with ``flat``, by their middle axial slice.
    """
    pictures = [image.load() for image in images]
    if not pictures:
        raise ImageError("a request without pictures has no pixel embedding")
    if flat or not all(p.is_volume for p in pictures):
        return np.mean([_flat(p).vector(_SIDE) for p in pictures], axis=0)
    return np.mean([p.vector(_SIDE_3D) for p in pictures], axis=0)


def _flat(picture: Picture) -> Picture:
    return Picture(np.asarray(picture.pil().convert("L")), picture.sha256) if picture.is_volume else picture


class Knn:
    """``knn`` or ``knn:k=5``: fits on the task's support split, never votes with the asked sample's own cluster."""

    capabilities = frozenset({"text", "boxes", "mask2d", "mask3d", "multi_image", "volumes"})

    def __init__(self, k: int = 5) -> None:
        if int(k) < 1:
            raise ValueError(f"k is {k}, expected 1 or more")
        self._k = int(k)
        self._pools: dict[str, _Pool] = {}

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "knn", "name": f"knn:k={self._k}", "embedding": f"pixels-{_SIDE}", "revision": "1"}

    def fit(self, task: Task, support: Support) -> None:
        """Embed the support split. Raises :class:`ConfigError` where no picture of it can be used."""
        self._pools[task.name] = _Pool(task, support, self._k)

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            try:
                pool = self._pools[request.task]
                query = embed(request.images, pool.flat)
            except ImageError as error:
                yield request, Answer(failure=Failure("input", error.message))
                continue
            yield request, pool.answer(request, query)


class _Pool:
    """The embedded support split of one task."""

    def __init__(self, task: Task, support: Support, k: int) -> None:
        self._k = k
        self._held_out = support.held_out
        for request in support.requests:
            for image in request.images:
                warm(image)
        # A split with pictures and volumes is compared as pictures.
        self.flat = any(i.kind == "2d" for request in support.requests for i in request.images)
        vectors, kept = [], []
        for position, request in enumerate(support.requests):
            if not usable(support.samples[position].targets[task.target], task):
                continue
            try:
                vectors.append(embed(request.images, self.flat))
                kept.append(position)
            except ImageError as error:
                log.warning(
                    "task %s: a support picture is left out: %s", task.name, shown(error.message, task.access, 300)
                )
        if not kept:
            raise ConfigError(f"task '{task.name}': no usable picture in the support split '{task.support}'")
        self._vectors = np.stack(vectors)
        self._clusters = np.array([support.cluster_of(p) for p in kept])
        self._targets = [support.samples[p].targets[task.target] for p in kept]
        self._texts = [support.requests[p].text for p in kept]
        self._images = [support.requests[p].images for p in kept]

    def answer(self, request: Request, query: np.ndarray) -> Answer:
        if len(query) != self._vectors.shape[1]:
            return Answer(failure=Failure("input", "a picture among volumes"))
        similarity = self._vectors @ query
        if self._held_out is not None:
            similarity = np.where(self._clusters == self._held_out[request.sample], -np.inf, similarity)
        order = [int(i) for i in np.argsort(-similarity, kind="stable") if np.isfinite(similarity[i])]
        if not order:
            return Answer(text="")
        nearest = order[0]
        target = self._targets[nearest]
        if isinstance(target, Labels):
            votes = Counter(target_text(self._targets[i]) for i in order[: self._k])
            return Answer(text=votes.most_common(1)[0][0])  # of equal counts the one met first, the nearest
        if isinstance(target, Mask):
            return Answer(mask=resample_nearest(target.load(), request.images[0].load().size))
        if isinstance(target, Boxes):
            height, width = request.images[0].load().size[:2]
            pool_height, pool_width = self._images[nearest][0].load().size[:2]
            return Answer(boxes=tuple(scale_box(b, width / pool_width, height / pool_height) for b in target.boxes))
        same_picture = [i for i in order if similarity[nearest] - similarity[i] < _SAME]
        return target_answer(self._targets[max(same_picture, key=lambda i: _alike(self._texts[i], request.text))])


def _alike(a: str, b: str) -> float:
    return SequenceMatcher(None, a, b).ratio()
