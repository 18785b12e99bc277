"""How much worse a run may be, metric by metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from radbench.errors import ConfigError, nearest
from radbench.metrics.base import Metric

MARGIN = 0.01


@dataclass(frozen=True, slots=True)
class Margins:
    """How much worse a metric may be, in its own units.

    ``default`` holds for metrics whose values lie within -1 to 1; ``own`` for a ``METRIC`` or ``TASK:METRIC``, the latter
    first.
    """

    default: float = MARGIN
    own: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Margins:
        """From ``0.02``, ``METRIC=0.5`` and ``TASK:METRIC=0.5``. Raises :class:`ConfigError`."""
        default: float | None = None
        own: dict[str, float] = {}
        for text in texts:
            name, _, value = text.rpartition("=")
            margin = _margin(text, value)
            if not name and default is not None:
                raise ConfigError("--margin is given twice for all metrics", remedy="once, and METRIC=VALUE for one")
            if name in own:
                raise ConfigError(f"--margin {name} is given twice", remedy="give each once")
            if name:
                own[name] = margin
            else:
                default = margin
        return cls(MARGIN if default is None else default, own)

    def __post_init__(self) -> None:
        if self.default >= 1:
            raise ConfigError(
                f"--margin {self.default:g} is no loss of a metric within -1 to 1", remedy="0.05, say, is five points"
            )
        for name, value in {"": self.default, **self.own}.items():
            _margin(f"{name}={value}" if name else str(value), value)

    def of(self, task: str, name: str, metric: Metric) -> float | None:
        """The margin of a metric, None where it is not gated."""
        bounds = metric.scale()
        known = bounds is not None and bounds[0] >= -1 and bounds[1] <= 1
        return self.own.get(f"{task}:{name}", self.own.get(name, self.default if known else None))

    def check_names(self, tasks: Mapping[str, Sequence[str]]) -> None:
        """Raise :class:`ConfigError` where a margin names no metric of ``tasks`` (task -> metrics)."""
        metrics = {m for names in tasks.values() for m in names}
        known = metrics | {f"{task}:{m}" for task, names in tasks.items() for m in names}
        for name in self.own:
            if name not in known:
                raise ConfigError(
                    f"--margin {name}=...: no such metric here: {nearest(name, metrics)}",
                    remedy="METRIC=VALUE or TASK:METRIC=VALUE; radbench report RUN lists them",
                )


def _margin(text: str, value: str | float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ConfigError(
            f"--margin {text}: expected a number from 0", remedy="--margin 0.01, or --margin METRIC=0.01 for one metric"
        )
    return number
