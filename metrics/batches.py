"""What metrics of one scoring pass share: the rows of a metric that another one requires, and encoded texts.

The runner hands every metric of a task the same two lists; what was computed for them is kept until other lists come.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from threading import local
from typing import Any, TypeVar

import numpy as np
from radbench.metrics.base import Metric, State, references, said
from radbench.metrics.ngrams import clipped_count, clipped_matches
from radbench.metrics.tokens import LEXICON, Case, Tokeniser

from radbench.records import Prediction, Target
from radbench.statistics import Floats

T = TypeVar("T")


class _Last(local):
    """The lists of the batch at hand, by identity, and what was made of them."""

    def __init__(self) -> None:
        self.predictions: Sequence[Prediction] | None = None
        self.targets: Sequence[Target] | None = None
        self.made: dict[Hashable, Any] = {}


_last = _Last()


def shared(
    predictions: Sequence[Prediction], targets: Sequence[Target], key: Hashable, make: Callable[[], T]
) -> T:
    """``make()``, or what it gave earlier for the same two list objects under the same key."""
    if _last.predictions is not predictions or _last.targets is not targets:
        _last.predictions, _last.targets, _last.made = predictions, targets, {}
        LEXICON.begin_batch()
    made = _last.made
    if key not in made:
        made[key] = make()
    result: T = made[key]
    return result


def shared_rows(metric: Metric, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
    """``metric.rows(...)``, computed once a batch however many metrics need it."""
    return shared(predictions, targets, ("rows", id(metric)), lambda: metric.rows(predictions, targets, state))


@dataclass(frozen=True, slots=True)
class Encoded:
    """A batch as strings of one character a token, each alternative reference a pair of its own.

    ``start`` says where each sample's pairs begin; ``hypotheses`` repeats a sample's for each of its references.
    """

    hypotheses: list[str]
    references: list[str]
    start: np.ndarray  # (n,) int64

    @property
    def single(self) -> bool:
        """Whether every sample has one reference."""
        return len(self.start) == len(self.references)

    def best(self, scores: Floats) -> Floats:
        """(n,) the highest score of each sample's references."""
        return scores if self.single else np.maximum.reduceat(scores, self.start)


def encoded(
    predictions: Sequence[Prediction], targets: Sequence[Target], tokeniser: Tokeniser, case: Case = "mixed"
) -> Encoded:
    """The batch's texts under a tokeniser, encoded once a batch."""

    def encode() -> Encoded:
        write = LEXICON.encoder(tokeniser, case).encode
        hypotheses, written, start = [], [], []
        for prediction, target in zip(predictions, targets, strict=True):
            alternatives = references(target)
            start.append(len(written))
            written.extend(map(write, alternatives))
            hypotheses.extend([write(said(prediction))] * len(alternatives))
        return Encoded(hypotheses, written, np.array(start, np.int64))

    return shared(predictions, targets, ("encoded", tokeniser, case), encode)


def matches(
    predictions: Sequence[Prediction], targets: Sequence[Target], tokeniser: Tokeniser, case: Case, orders: int
) -> Floats:
    """(pairs, at least ``orders``) clipped n-gram matches of each pair, counted once a batch."""
    orders = 1 if orders == 1 else max(4, orders)

    def count() -> Floats:
        pairs = encoded(predictions, targets, tokeniser, case)
        return clipped_matches(pairs.hypotheses, pairs.references, orders)

    made = _last.made if _last.predictions is predictions and _last.targets is targets else {}
    if orders == 1 and (counted := made.get(("matches", tokeniser, case, 4))) is not None:
        found: Floats = counted
        return found
    return shared(predictions, targets, ("matches", tokeniser, case, orders), count)


def joint_matches(pairs: Encoded, orders: int) -> Floats:
    """(n, orders) matches against all references of a sample together: clipped at the one that has most."""
    ends = np.append(pairs.start[1:], len(pairs.references))
    return np.array(
        [
            [clipped_count(pairs.hypotheses[a], pairs.references[a:b], n + 1) for n in range(orders)]
            for a, b in zip(pairs.start, ends, strict=True)
        ],
        dtype=np.float64,
    ).reshape(-1, orders)
