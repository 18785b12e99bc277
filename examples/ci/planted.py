"""A planted regression, to see that a gate turns red: the k-nearest-neighbour baseline with its answers shuffled.

From this folder: ``radbench run --model planted:Shuffled --tasks phantom/modality --out runs/planted``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from radbench.model_adapters.knn import Knn

from radbench import Answer, Request


class Shuffled(Knn):
    """Gives every question the answer that belongs to another one of its task, by ``seed``."""

    def __init__(self, k: int = 5, seed: int = 0) -> None:
        super().__init__(k)
        self._seed = int(seed)

    def fingerprint(self) -> Mapping[str, str]:
        return {**super().fingerprint(), "adapter": "shuffled-knn", "name": f"shuffled-knn:seed={self._seed}"}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        answered = list(super().answer(requests))
        order = np.random.default_rng(self._seed).permutation(len(answered))
        for here, there in zip(order, np.roll(order, 1), strict=True):  # one cycle through all: nobody keeps their own
            yield answered[here][0], answered[there][1]
