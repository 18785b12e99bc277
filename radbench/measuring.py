"""Rows of several metrics, batch by batch: one that lacks something or breaks leaves the others to go on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from radbench.errors import OPEN_ACCESS, ConfigError, RadbenchError, shown
from radbench.metrics.base import Metric
from radbench.metrics.batches import forget, shared_rows
from radbench.records import Prediction, Target
from radbench.registry import find_metric
from radbench.statistics import Floats, Measure

log = logging.getLogger("radbench")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ScoredMetric:
    """A metric's rows over all samples of a pass, and the state they were made under."""

    name: str
    metric: Metric
    state: Any
    rows: Floats  # (n, k)

    @property
    def measure(self) -> Measure:
        return Measure(self.metric, self.state, self.rows)


class Measuring:
    """Collects rows. ``unavailable`` says which metrics lack what, ``failed`` which broke on these data and how.

    ``targets`` gives all references anew at each call: what metrics freeze their state from. ``where`` names the task in
    the log, nothing is logged where it is empty; of restricted data only types and lengths are told.
    """

    def __init__(
        self,
        names: Sequence[str],
        targets: Callable[[], Iterable[Target]],
        choices: Sequence[str],
        where: str,
        access: str = "open",
    ) -> None:
        self.unavailable: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self._where, self._access = where, access
        self._metrics: dict[str, tuple[Metric, Any]] = {}
        self._rows: dict[str, list[Floats]] = {}
        for name in names:
            metric = find_metric(name)
            if (reason := self._guarded(name, metric.unavailable)) is not None:
                self._drop(self.unavailable, name, "is unavailable", reason)
            elif name not in self.failed:
                state = self._guarded(name, partial(_fitted, metric, targets, choices))
                if name not in self.failed:
                    self._metrics[name], self._rows[name] = (metric, state), []

    def add(self, said: Sequence[Prediction], targets: Sequence[Target]) -> None:
        """Rows of one batch for every metric that still stands."""
        for name, (metric, state) in list(self._metrics.items()):
            rows = self._guarded(name, partial(shared_rows, metric, said, targets, state))
            if rows is None:
                del self._metrics[name], self._rows[name]
            else:
                self._rows[name].append(rows)

    def finish(self) -> tuple[ScoredMetric, ...]:
        """What was collected, in the order asked for."""
        forget()
        found = []
        for name, (metric, state) in self._metrics.items():
            batches = self._rows.pop(name)
            rows = np.concatenate(batches) if batches else metric.rows([], [], state)
            found.append(ScoredMetric(name, metric, state, rows))
        return tuple(found)

    def _guarded(self, name: str, call: Callable[[], T]) -> T | None:
        """Run a metric's code, ours or a plug-in's; whatever it raises is noted and costs this metric alone."""
        try:
            return call()
        except ConfigError as error:  # weights, dictionaries, options: never a sample's text
            self._drop(self.failed, name, "failed", str(error))
        except RadbenchError as error:
            self._drop(self.failed, name, "failed", shown_text(str(error), self._access))
        except Exception as error:
            told = f"{type(error).__name__}: {shown_text(str(error), self._access)}"
            self._drop(self.failed, name, "failed", told)
            if self._where and self._access in OPEN_ACCESS:
                log.exception("metric '%s'", name)
        return None

    def _drop(self, reasons: dict[str, str], name: str, what: str, reason: str) -> None:
        reasons[name] = " ".join(reason.split())
        if self._where:
            log.warning("%s: metric '%s' %s: %s", self._where, name, what, reasons[name])


def _fitted(metric: Metric, targets: Callable[[], Iterable[Target]], choices: Sequence[str]) -> Any:
    return metric.fit(targets(), choices)


def shown_text(text: str, access: str) -> str:
    """A message for people's eyes, of restricted data its length alone."""
    return text if access in OPEN_ACCESS else shown(text, access)
