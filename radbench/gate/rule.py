"""The numbers behind the gate: margins, the interval of a gain, its verdict, how many more clusters would tell.

The rule itself stands in :mod:`radbench.gate.check`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

import numpy as np

from radbench.analysis.inference import difference
from radbench.errors import ConfigError, nearest
from radbench.metrics.base import Metric
from radbench.statistics import LEVEL, Clusters, Floats, Measure, point

Verdict = Literal["pass", "regression", "inconclusive", "not gated"]
Better = Literal["higher", "lower"]

MARGIN = 0.01
_EQUAL = 1e-12  # of the values: a smaller difference is a matter of summation order
_MOST_CLUSTERS = 10_000_000  # more is no advice


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


@dataclass(frozen=True, slots=True)
class Gain:
    """Run minus baseline of a metric, oriented so that up is better, with its interval.

    ``step`` is what a zero-width interval was widened by on each side: None where it had a width, nan where nothing says
    how far one cluster could move it. ``rerun`` is the half-width of rerun noise alone. ``tolerance``: closer numbers are equal.
    """

    value: float
    low: float
    high: float
    defined: int
    resamples: int
    step: float | None
    rerun: float
    tolerance: float

    @property
    def widened(self) -> bool:
        return self.step is not None and not math.isnan(self.step)

    @property
    def known(self) -> bool:
        """Whether there is a value with an interval."""
        return not (math.isnan(self.value) or math.isnan(self.low) or math.isnan(self.high))


def gain_of(
    run: Measure,
    base: Measure,
    better: Better,
    draws: tuple[Floats, Floats],
    clusters: Clusters,
    level: float = LEVEL,
    noise: float | None = None,
) -> Gain:
    """The gain of ``run`` over ``base``, (n,) rows of the same samples, from the (resamples,) draws of both."""
    own, before = point(run), point(base)
    found = difference(own, before, *draws, level)
    if better == "lower":
        found = found.reversed()
    tolerance = _EQUAL * max(1.0, abs(own), abs(before)) if found.value == found.value else _EQUAL
    step = None
    if found.width <= tolerance:
        step = _one_cluster(run, base, clusters)
        found = found.widened(step)
    rerun = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(2) * (noise or 0.0)
    low, high = found.low, found.high
    if rerun > 0:
        low = min(low, found.value - math.hypot(max(found.value - low, 0.0), rerun))
        high = max(high, found.value + math.hypot(max(high - found.value, 0.0), rerun))
    return Gain(found.value, low, high, found.defined, len(draws[0]), step, rerun, tolerance)


def _one_cluster(run: Measure, base: Measure, clusters: Clusters) -> float:
    """How far one discordant cluster moves a metric: its range times the largest cluster's share of what is counted."""
    metric = run.metric
    assert isinstance(metric, Metric)
    bounds = metric.scale()
    if bounds is None:
        scores = [s for m in (run, base) if (s := metric.sample_scores(m.rows, m.state)) is not None]
        seen = np.concatenate([s[np.isfinite(s)] for s in scores]) if scores else np.zeros(0)
        width = float(np.ptp(seen)) if len(seen) else 0.0
    else:
        width = bounds[1] - bounds[0]
    counted = np.ones(len(run.rows))
    if metric.counted(run.rows) != len(run.rows):
        counted = np.array([metric.counted(row[None]) for row in run.rows], np.float64)
    sizes = np.bincount(clusters.codes, counted, clusters.count)
    return width * float(sizes.max() / sizes.sum()) if width > 0 and sizes.sum() > 0 else math.nan


def verdict_of(gain: Gain, margin: float) -> Verdict:
    """``pass``, ``regression`` or ``inconclusive``; a bound that equals the margin tells nothing."""
    if not gain.known:
        return "inconclusive"
    if gain.low + margin > gain.tolerance:
        return "pass"
    if gain.high + margin < -gain.tolerance:
        return "regression"
    return "inconclusive"


def clusters_needed(gain: Gain, margin: float, clusters: int) -> int | None:
    """About how many more clusters would tell, were the gain as it is now; None where none would or it cannot be said.

    Half-widths shrink with the square root of the number of clusters, the step of a widened interval with the number
    itself, rerun noise not at all.
    """
    room = gain.value + margin
    if not gain.known or abs(room) <= max(gain.tolerance, gain.rerun):
        return None
    target = math.sqrt(room**2 - gain.rerun**2)
    if gain.widened:
        assert gain.step is not None
        factor = gain.step / target
    else:
        half = gain.value - gain.low if room > 0 else gain.high - gain.value
        factor = (half**2 - gain.rerun**2) / target**2
    more = max(1, math.floor(clusters * factor) + 1 - clusters)  # rounding at a bound that equals the margin
    return more if more <= _MOST_CLUSTERS else None


def reason_of(
    name: str,
    verdict: Verdict,
    gain: Gain,
    margin: float | None,
    better: Better,
    n: int,
    clusters: int,
    more: int | None,
) -> str:
    """The verdict in plain words, in the metric's own units."""
    if margin is None:
        return f"not gated: its values are not known to lie within -1 to 1; give --margin {name}=VALUE in its own units"
    if math.isnan(gain.value):
        return f"it has no value on these {n} samples"
    if not gain.known:
        if gain.step is None:
            return "no resample has a value"
        return "every resample gives the same value, and nothing says how far one patient could move it"
    sign = 1 if better == "higher" else -1
    worst, best = shown(sign * gain.low), shown(sign * gain.high)
    if verdict == "pass":
        text = f"the true change is at worst {worst}, the margin is {margin:g}"
    elif verdict == "regression":
        text = f"the true change is at best {best}, which is worse than the margin of {margin:g}"
    else:
        text = (
            f"the true change may be as bad as {worst} and as good as {best}, the margin is {margin:g}: "
            f"{_too_few(gain, margin, n, clusters, more)}"
        )
    return text + _qualified(gain)


def _too_few(gain: Gain, margin: float, n: int, clusters: int, more: int | None) -> str:
    if gain.rerun > 0 and abs(gain.value + margin) <= gain.rerun:
        return "reruns of the baseline's model differ by more than that, whatever the number of samples"
    of = f" of {clusters} clusters" if clusters != n else ""
    text = f"1 sample{of} is too few to tell" if n == 1 else f"{n} samples{of} are too few to tell"
    if more is None:
        return text
    return f"{text}; about {more} more cluster{'s' if more > 1 else ''} would, were the change as it is now"


def _qualified(gain: Gain) -> str:
    text = ""
    if gain.widened:
        assert gain.step is not None
        text += f" (every resample gives the same change, widened by one discordant cluster, {shown(gain.step, '')})"
    if gain.rerun > 0:
        text += f" (with {shown(gain.rerun, '')} for the noise between reruns)"
    if gain.defined < gain.resamples:
        text += f" ({gain.resamples - gain.defined} of {gain.resamples} resamples have no value)"
    return text


def shown(value: float, sign: str = "+") -> str:
    """Four decimals, or as many digits as a small number needs; never ``-0.0000``."""
    if value != 0 and abs(value) < 0.001:
        return format(value, f"{sign}.2g")
    return format(value + 0.0, f"{sign}.4f")
