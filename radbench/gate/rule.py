"""The numbers behind the gate: the interval of a gain, its verdict, how many more clusters would tell.

The rule itself stands in :mod:`radbench.gate.check`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from radbench.caution import FEWEST_OF_CLASS, LEAST_DEFINED
from radbench.metrics.base import Metric
from radbench.statistics import LEVEL, Clusters, Floats, Measure, cluster_sums, interval, point

Verdict = Literal["pass", "regression", "inconclusive", "not gated"]
Better = Literal["higher", "lower"]

_EQUAL = 1e-12  # of the values: a smaller difference is a matter of summation order
_MOST_CLUSTERS = 10_000_000  # more is no advice
_DISCORDANT = 0.1  # of what one cluster can move: a cluster that moves less did not change
_UNSEEN = 3  # steps of an interval without discordant clusters, at the usual level
_DRAWN = np.array([math.exp(-1) / math.factorial(times) for times in range(10)])  # Poisson's law of mean 1
_TIMES = np.arange(-9.0, 10.0)  # one made-up cluster less the other
_CHANCES = np.convolve(_DRAWN, _DRAWN[::-1]) / _DRAWN.sum() ** 2


@dataclass(frozen=True, slots=True)
class Gain:
    """Run minus baseline of a metric, oriented so that up is better, with its interval.

    ``step`` is how far one discordant cluster moves it, nan where nothing says so; ``widened`` says that without the two
    made-up clusters the interval had no width. ``rerun`` is the half-width of rerun noise alone. ``tolerance``: closer
    numbers are equal.
    """

    value: float
    low: float
    high: float
    defined: int
    resamples: int
    step: float
    rerun: float
    tolerance: float
    widened: bool = False

    @property
    def known(self) -> bool:
        """Whether there is a value with an interval."""
        return not (math.isnan(self.value) or math.isnan(self.low) or math.isnan(self.high))

    @property
    def defined_enough(self) -> bool:
        """Whether the resamples without a value are too few to matter."""
        return self.defined >= LEAST_DEFINED * self.resamples


def gain_of(
    run: Measure,
    base: Measure,
    better: Better,
    draws: tuple[Floats, Floats],
    clusters: Clusters,
    level: float = LEVEL,
    noise: float | None = None,
) -> Gain:
    """The gain of ``run`` over ``base``, rows of the same samples, from the (resamples,) draws of both."""
    own, before = point(run), point(base)
    sign = 1 if better == "higher" else -1
    value, gains = sign * (own - before), sign * (draws[0] - draws[1])
    low, high, defined = interval(gains, level)
    tolerance = _EQUAL * max(1.0, abs(own), abs(before)) if value == value else _EQUAL
    flat, step = high - low <= tolerance, _one_cluster(run, base, clusters)
    if not flat:
        step = _step(run, base, clusters, step)
    if defined and (flat or step > 0):
        low, high = _with_discordant(gains[~np.isnan(gains)], step, level)
    rerun = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(2) * (noise or 0.0)
    if rerun > 0:
        low = min(low, value - math.hypot(max(value - low, 0.0), rerun))
        high = max(high, value + math.hypot(max(high - value, 0.0), rerun))
    if (bounds := run.metric.scale()) is not None:  # no change is larger than the scale; nan stays nan
        low, high = max(low, bounds[0] - bounds[1]), min(high, bounds[1] - bounds[0])
    return Gain(value, low, high, defined, len(gains), step, rerun, tolerance, flat and not math.isnan(step))


def _with_discordant(gains: Floats, step: float, level: float) -> tuple[float, float]:
    """Percentiles of resampled gains with two clusters more, one that went wholly the one way and one the other.

    Each is drawn into a resample as often as any other cluster, Poisson(1) times. Every number of times takes part by its
    chance, so nothing is drawn here.
    """
    moved = np.add.outer(gains, step * _TIMES).ravel()
    chances = np.tile(_CHANCES / len(gains), len(gains))
    return _lowest(moved, chances, (1 - level) / 2), -_lowest(-moved, chances, (1 - level) / 2)


def _lowest(values: Floats, chances: Floats, share: float) -> float:
    """The least value that a ``share`` of the values does not exceed."""
    order = np.argsort(values, kind="stable")
    return float(values[order[np.searchsorted(np.cumsum(chances[order]), share - _EQUAL)]])


def _step(run: Measure, base: Measure, clusters: Clusters, most: float) -> float:
    """What remains of the step ``most`` of a made-up discordant cluster beside those that the answers show: all of it
    beside none, nothing from 20 on."""
    if not run.metric.additive or math.isnan(most):
        return most
    before = cluster_sums(base.rows, clusters)
    whole = before.sum(axis=0)
    exchanged = run.metric.reduce(whole - before + cluster_sums(run.rows, clusters), run.state)
    moved = np.abs(exchanged - run.metric.reduce(whole[None], run.state))
    seen = int((moved > _DISCORDANT * most).sum())
    return most * max(0.0, 1 - (seen / FEWEST_OF_CLASS) ** 2)


def _one_cluster(run: Measure, base: Measure, clusters: Clusters) -> float:
    """How far one cluster can move a metric: its range times the largest cluster's share of what is counted, or
    what the metric itself says (:meth:`Metric.reach`), whichever is more."""
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
    if not (width > 0 and sizes.sum() > 0):
        return math.nan
    reaches = [r for m in (run, base) if (r := metric.reach(m.rows, m.state, clusters)) is not None]
    return max([width * float(sizes.max() / sizes.sum()), *reaches])


def verdict_of(gain: Gain, margin: float) -> Verdict:
    """``pass``, ``regression`` or ``inconclusive``; a bound that equals the margin tells nothing."""
    if not gain.known or not gain.defined_enough:
        return "inconclusive"
    if gain.low + margin > gain.tolerance:
        return "pass"
    if gain.high + margin < -gain.tolerance:
        return "regression"
    return "inconclusive"


def more_clusters(gain: Gain, margin: float, clusters: int) -> int | None:
    """About how many more clusters would tell, were the gain as it is now; None where none would or it cannot be said.

    Of the squared half-width the part of unseen discordant clusters, three steps, shrinks with the square of the number of
    clusters, the rest with the number itself, rerun noise not at all.
    """
    room = gain.value + margin
    if not gain.known or not gain.defined_enough or abs(room) <= max(gain.tolerance, gain.rerun):
        return None
    target = room**2 - gain.rerun**2
    half = gain.value - gain.low if room > 0 else gain.high - gain.value
    whole = half**2 - gain.rerun**2
    unseen = 0.0 if math.isnan(gain.step) else min((_UNSEEN * gain.step) ** 2, whole)
    rest = whole - unseen
    # unseen / factor² + rest / factor = target
    factor = (rest + math.sqrt(rest**2 + 4 * unseen * target)) / (2 * target)
    more = max(1, math.floor(clusters * factor + _EQUAL) + 1 - clusters)  # a bound that equals the margin tells nothing
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
    if gain.defined == 0:
        return "no resample has a value"
    if not gain.known:
        return "every resample gives the same value, and nothing says how far one patient could move it"
    if not gain.defined_enough and verdict == "inconclusive":
        return f"only {gain.defined} of {gain.resamples} resamples have a value, too few to tell"
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
        return "all answers of a rerun of the baseline's model move together by more than that, which more samples do not change"
    of = f" of {clusters} clusters" if clusters != n else ""
    text = f"1 sample{of} is too few to tell" if n == 1 else f"{n} samples{of} are too few to tell"
    if more is None:
        return text
    return f"{text}; about {more} more cluster{'s' if more > 1 else ''} would, were the change as it is now"


def _qualified(gain: Gain) -> str:
    text = ""
    if gain.widened:
        unseen = f"the interval allows for discordant clusters that were not seen, {shown(gain.step, '')} each"
        text += f" (every resample gives the same change; {unseen})"
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
