"""What metrics of one scoring pass share: the rows of a metric that another one requires, encoded texts, extracted concepts.

Scoring hands every metric of a task the same two lists; what was computed for them is kept until other lists come.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import chain
from operator import is_
from threading import local
from typing import Any, TypeVar

from radbench.metrics.base import Metric, State

from radbench.records import Prediction, Target
from radbench.statistics import Floats

T = TypeVar("T")


class _Last(local):
    """The lists of the batch at hand, what they held, and what was made of them."""

    def __init__(self) -> None:
        self.predictions: Sequence[Prediction] | None = None
        self.targets: Sequence[Target] | None = None
        self.held: tuple[object, ...] = ()
        self.made: dict[Hashable, Any] = {}

    def is_for(self, predictions: Sequence[Prediction], targets: Sequence[Target]) -> bool:
        """Whether these are the same list objects and hold the same objects still."""
        if self.predictions is not predictions or self.targets is not targets:
            return False
        if len(self.held) != len(predictions) + len(targets):
            return False
        return all(map(is_, self.held, chain(predictions, targets)))


_last = _Last()


def shared(predictions: Sequence[Prediction], targets: Sequence[Target], key: Hashable, make: Callable[[], T]) -> T:
    """``make()``, or what it gave earlier for the same two lists under the same key."""
    if not _last.is_for(predictions, targets):
        _last.predictions, _last.targets = predictions, targets
        _last.held, _last.made = (*predictions, *targets), {}
    made = _last.made
    if key not in made:
        made[key] = make()
    result: T = made[key]
    return result


def already(predictions: Sequence[Prediction], targets: Sequence[Target], key: Hashable) -> Any | None:
    """What was made for the same two lists under a key, or None."""
    return _last.made.get(key) if _last.is_for(predictions, targets) else None


def forget() -> None:
    """Let go of the last batch, once a pass is over."""
    _last.__init__()  # type: ignore[misc]


def shared_rows(metric: Metric, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
    """``metric.rows(...)``, computed once a batch and state however many metrics need it."""
    _, _, rows = shared(
        predictions,
        targets,
        ("rows", id(metric), id(state)),
        lambda: (
            metric,
            state,
            metric.rows(predictions, targets, state),
        ),  # kept, so that no other object gets their ids
    )
    return rows
