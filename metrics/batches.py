"""What metrics of one scoring pass share: the rows of a metric that another one requires, encoded texts, extracted concepts.

Scoring hands every metric of a task the same two lists; what was computed for them is kept until other lists come.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from threading import local
from typing import Any, TypeVar

from radbench.metrics.base import Metric, State

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


def shared(predictions: Sequence[Prediction], targets: Sequence[Target], key: Hashable, make: Callable[[], T]) -> T:
    """``make()``, or what it gave earlier for the same two list objects under the same key."""
    if _last.predictions is not predictions or _last.targets is not targets:
        _last.predictions, _last.targets, _last.made = predictions, targets, {}
    made = _last.made
    if key not in made:
        made[key] = make()
    result: T = made[key]
    return result


def already(predictions: Sequence[Prediction], targets: Sequence[Target], key: Hashable) -> Any | None:
    """What was made for the same two list objects under a key, or None."""
    return _last.made.get(key) if _last.predictions is predictions and _last.targets is targets else None


def shared_rows(metric: Metric, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
    """``metric.rows(...)``, computed once a batch however many metrics need it."""
    return shared(predictions, targets, ("rows", id(metric)), lambda: metric.rows(predictions, targets, state))
