"""What a metric is: rows of statistics per sample, a reducer, a signature and a card."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from radbench.records import Boxes, Labels, Mask, Prediction, Target, Text
from radbench.statistics import Clusters, Floats

State = Any
_BOUNDS = re.compile(r"(-?\d*\.?\d+) to (-?\d*\.?\d+)(?=[,;:]|$)")


@dataclass(frozen=True, slots=True)
class Card:
    """What a reader of a score needs to know about its metric."""

    title: str
    formula: str
    range: str  # "LOW to HIGH, ..." where no value lies outside: see bounds()
    source: str  # paper, package version or repository + commit
    valid_for: str = "any modality"
    failed: str = "a failed answer counts 0"
    notes: tuple[str, ...] = ()  # what a newcomer to the metric should know, a sentence each

    def bounds(self) -> tuple[float, float] | None:
        """Least and greatest possible value, read from ``range`` ("0 to 1, higher is better"); None where it names no two
        numbers or holds "in practice" only."""
        found = _BOUNDS.match(self.range)
        return (float(found[1]), float(found[2])) if found else None


class Metric(ABC):
    """A score over (prediction, target) pairs.

    ``fit`` freezes what depends on the whole reference set, once per task version; ``rows`` turns pairs into an
    (n, k) array; ``value`` scores rows under weights. A failed prediction has ``value`` None and gets the row of the
    stated worst; it is never dropped.
    """

    better: ClassVar[Literal["higher", "lower"]] = "higher"
    additive: ClassVar[bool] = False
    requires: tuple[str, ...] = ()  # specs of the metrics it is computed from (:class:`Composite`)
    accepts: ClassVar[tuple[type, ...]] = (Text, Labels, Boxes, Mask)  # the kinds of target it can score
    card: Card = Card("a metric without a card", "not stated", "not stated", "not stated")

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

    def classes_of(self, rows: Floats, state: State) -> NDArray[np.bool_] | None:
        """(n, m) whether each row is of each of m classes that count alike, however rare; None where rows count alike."""
        return None

    def reach(self, rows: Floats, state: State, clusters: Clusters) -> float | None:
        """How far one cluster at most moves the value, from all of its answers right to all failed; None where that cannot
        be told, or is the scale times the cluster's share of the samples as for a mean."""
        return None

    def scale(self) -> tuple[float, float] | None:
        """Least and greatest possible value, as the card states them; None where it does not."""
        return self.card.bounds()

    def unavailable(self) -> str | None:
        """None, or what is missing and the command that brings it."""
        return None

    def stored(self, state: State) -> Any:
        """What of the state ``value`` and ``signature`` need once the rows are there: JSON, kept beside the rows."""
        return state


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

    def score(self, prediction: Prediction, target: Target) -> float:
        """The score of one pair; nan leaves the sample out of the mean. Write this or :meth:`scores`."""
        raise NotImplementedError(f"{type(self).__name__} defines neither score nor scores")

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        """(n,) scores of n pairs at once, nan where a sample is left out of the mean."""
        return np.array([self.score(p, t) for p, t in zip(predictions, targets, strict=True)], dtype=np.float64)

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        scores = self.scores(predictions, targets, state)
        counted = ~np.isnan(scores)
        return np.stack([np.where(counted, scores, 0.0), counted.astype(np.float64)], axis=1)


class Composite(Mean):
    """The mean of a score computed from other metrics' sample scores, such as RadCliQ.

    ``requires`` names them by spec; their states are frozen with this one's and their cards explain the inputs. What
    they compute for a batch is shared with the same metrics asked for beside it (see :mod:`radbench.metrics.batches`).
    """

    def inputs(self) -> tuple[Metric, ...]:
        """The required metrics, in the order of ``requires``."""
        from radbench.registry import find_metric

        return tuple(find_metric(spec) for spec in self.requires)

    def fit(self, targets: Iterable[Target], choices: Sequence[str]) -> State:
        targets = list(targets)
        return tuple(metric.fit(targets, choices) for metric in self.inputs())

    def stored(self, state: State) -> Any:
        return tuple(metric.stored(s) for metric, s in zip(self.inputs(), state, strict=True))

    @abstractmethod
    def combine(self, inputs: Sequence[Floats]) -> Floats:
        """(n,) scores from the (n,) scores of each required metric."""

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        from radbench.metrics.batches import shared_rows

        columns = []
        for metric, own in zip(self.inputs(), state, strict=True):
            scores = metric.sample_scores(shared_rows(metric, predictions, targets, own), own)
            if scores is None:
                raise TypeError(
                    f"{type(metric).__name__} has no score of a single sample, which {self.card.title} needs"
                )
            columns.append(scores)
        return self.combine(columns)

    def unavailable(self) -> str | None:
        reasons = dict.fromkeys(reason for metric in self.inputs() if (reason := metric.unavailable()))
        return "; ".join(reasons) or None


def said(prediction: Prediction) -> str:
    """The predicted text; a failed answer counts as an empty one."""
    return prediction.value or ""


def references(target: Target) -> tuple[str, ...]:
    """The reference texts of a target. Raises TypeError where it is no Text."""
    if not isinstance(target, Text):
        raise TypeError(f"expected a Text target, got {type(target).__name__}")
    return target.alternatives


def one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    """Check an option. Raises ValueError naming what is allowed."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(allowed)}")


def whole(name: str, value: float, least: int, most: int) -> int:
    """Check an option that is a whole number. Raises ValueError naming the range."""
    if isinstance(value, bool) or value != int(value) or not least <= value <= most:
        raise ValueError(f"{name} is {value}, expected a whole number from {least} to {most}")
    return int(value)


def finite(name: str, value: float) -> float:
    """Check an option that is a number. Raises ValueError where it is infinite or none."""
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(f"{name} is {value}, expected a finite number")
    return number


def ratio(numerator: Floats, denominator: Floats, undefined: float = float("nan")) -> Floats:
    """``numerator / denominator`` with ``undefined`` where the denominator is 0."""
    out = np.full(np.broadcast(numerator, denominator).shape, undefined)
    return np.divide(numerator, denominator, out=out, where=denominator != 0)
