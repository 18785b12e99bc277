"""What a metric is: rows of statistics per sample, a reducer, a signature and a card."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from radbench.records import Boxes, Labels, Mask, Prediction, Target, Text
from radbench.statistics import Floats

State = Any


@dataclass(frozen=True, slots=True)
class Card:
    """What a reader of a score needs to know about its metric."""

    title: str
    formula: str
    range: str
    source: str  # paper, package version or repository + commit
    valid_for: str = "any modality"
    failed: str = "a failed answer counts 0"


class Metric(ABC):
    """A score over (prediction, target) pairs.

    ``fit`` freezes what depends on the whole reference set, once per task version; ``rows`` turns pairs into an
    (n, k) array; ``value`` scores rows under weights. A failed prediction has ``value`` None and gets the row of the
    stated worst; it is never dropped.
    """

    better: ClassVar[Literal["higher", "lower"]] = "higher"
    additive: ClassVar[bool] = False
    requires: ClassVar[tuple[str, ...]] = ()
    accepts: ClassVar[tuple[type, ...]] = (Text, Labels, Boxes, Mask)  # the kinds of target it can score
    card: Card

    def fit(self, targets: Iterable[Target], choices: Sequence[str]) -> State:
        """State frozen for a task version, from all targets and the task's closed set (both may be ignored)."""
        return ()

    @abstractmethod
    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        """(n, k) statistics of n pairs, float64."""

    @abstractmethod
    def value(self, rows: Floats, weights: Floats, state: State) -> Floats:
        """Values (B,) of (n, k) rows under (B, n) weights; nan where undefined."""

    def reduce(self, sums: Floats, state: State) -> Floats:
        """Values of weighted sums of rows, where sums suffice (:class:`Additive`). Raises TypeError elsewhere."""
        raise TypeError(f"{type(self).__name__} is no function of sums; use value()")

    @abstractmethod
    def signature(self, state: State) -> str:
        """Everything that decides the number, e.g. ``bleu|n:4|tok:13a|case:mixed|avg:corpus|smooth:none|v:1``."""

    def sample_scores(self, rows: Floats, state: State) -> Floats | None:
        """(n,) score of each sample alone, or None where a single sample has none."""
        return None

    def counted(self, rows: Floats) -> int:
        """How many samples enter the score (open questions, say, or masks that are not left out)."""
        return len(rows)

    def unavailable(self) -> str | None:
        """None, or what is missing and the command that brings it."""
        return None


class Additive(Metric):
    """A metric that is a function of weighted sums of its rows: the bootstrap is one matrix product."""

    additive: ClassVar[bool] = True

    @abstractmethod
    def columns(self, state: State) -> tuple[str, ...]:
        """Names of the k columns; pooling aligns tasks by them."""

    @abstractmethod
    def reduce(self, sums: Floats, state: State) -> Floats:
        """(..., k) sums to (...) values; nan where undefined."""

    def value(self, rows: Floats, weights: Floats, state: State) -> Floats:
        return self.reduce(weights @ rows, state)

    def sample_scores(self, rows: Floats, state: State) -> Floats | None:
        return self.reduce(rows, state)


class Mean(Additive):
    """The mean of a per-sample score: columns (sum, n)."""

    def columns(self, state: State) -> tuple[str, ...]:
        return ("sum", "n")

    def reduce(self, sums: Floats, state: State) -> Floats:
        return ratio(sums[..., 0], sums[..., 1])

    def counted(self, rows: Floats) -> int:
        return int(rows[:, 1].sum())

    @abstractmethod
    def score(self, prediction: Prediction, target: Target) -> float:
        """The score of one pair; nan leaves the sample out of the mean."""

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        scores = np.array([self.score(p, t) for p, t in zip(predictions, targets, strict=True)], dtype=np.float64)
        counted = ~np.isnan(scores)
        return np.stack([np.where(counted, scores, 0.0), counted.astype(np.float64)], axis=1)


def one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    """Check an option. Raises ValueError naming what is allowed."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(allowed)}")


def ratio(numerator: Floats, denominator: Floats, undefined: float = float("nan")) -> Floats:
    """``numerator / denominator`` with ``undefined`` where the denominator is 0."""
    out = np.full(np.broadcast(numerator, denominator).shape, undefined)
    return np.divide(numerator, denominator, out=out, where=denominator != 0)
