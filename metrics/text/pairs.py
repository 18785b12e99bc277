"""The texts of a batch, encoded and counted once for every metric that asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from radbench.metrics.base import references, said
from radbench.metrics.batches import already, shared
from radbench.metrics.text.ngrams import clipped_count, clipped_matches
from radbench.metrics.text.tokens import LEXICON, Case, Tokeniser

from radbench.records import Prediction, Target
from radbench.statistics import Floats


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
        shared(predictions, targets, "lexicon", LEXICON.begin_batch)
        write = LEXICON.encoder(tokeniser, case).encode
        alternatives = list(map(references, targets))
        hypotheses = [write(said(p)) for p in predictions]
        written = [write(text) for texts in alternatives for text in texts]
        if len(written) == len(alternatives):
            return Encoded(hypotheses, written, np.arange(len(written)))
        counts = np.fromiter(map(len, alternatives), np.int64, len(alternatives))
        repeated = [h for h, count in zip(hypotheses, counts.tolist(), strict=True) for _ in range(count)]
        return Encoded(repeated, written, np.cumsum(counts) - counts)

    return shared(predictions, targets, ("encoded", tokeniser, case), encode)


def matches(
    predictions: Sequence[Prediction], targets: Sequence[Target], tokeniser: Tokeniser, case: Case, orders: int
) -> Floats:
    """(pairs, at least ``orders``) clipped n-gram matches of each pair, counted once a batch."""
    orders = 1 if orders == 1 else max(4, orders)

    def count() -> Floats:
        pairs = encoded(predictions, targets, tokeniser, case)
        return clipped_matches(pairs.hypotheses, pairs.references, orders)

    if orders == 1 and (counted := already(predictions, targets, ("matches", tokeniser, case, 4))) is not None:
        found: Floats = counted
        return found
    return shared(predictions, targets, ("matches", tokeniser, case, orders), count)


def of_best(rank: Floats, chosen: Floats, start: np.ndarray) -> Floats:
    """(n,) of each sample's pairs the value of ``chosen`` where ``rank`` is highest, the first on a tie."""
    if len(start) == len(rank):
        return chosen
    ends = np.append(start[1:], len(rank))
    return np.array([chosen[a + int(np.argmax(rank[a:b]))] for a, b in zip(start, ends, strict=True)])


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
