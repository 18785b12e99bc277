"""Differences of two runs under the same resamples: interval, p value, Holm's correction, rank intervals.

The p value is the one of sacreBLEU's paired bootstrap (Koehn 2004, "Statistical Significance Tests for Machine
Translation Evaluation"): how often the resampled absolute difference strays from its mean by at least the difference
observed. It cannot fall below ``1 / (resamples + 1)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from radbench.statistics import LEVEL, Floats, interval


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference with its percentile interval, two-sided p and the resamples in which both values are defined."""

    value: float
    low: float
    high: float
    p: float
    defined: int

    @property
    def width(self) -> float:
        return self.high - self.low

    def widened(self, step: float) -> Difference:
        """With ``step`` added on each side."""
        return replace(self, low=self.low - step, high=self.high + step)

    def reversed(self) -> Difference:
        """The difference the other way round."""
        return replace(self, value=-self.value, low=-self.high, high=-self.low)


def difference(a: float, b: float, a_draws: Floats, b_draws: Floats, level: float = LEVEL) -> Difference:
    """``a - b`` of two values and their (resamples,) draws under the same resamples. nan throughout where undefined."""
    draws = a_draws - b_draws
    return Difference(
        a - b, *interval(draws, level)[:2], paired_p(a, b, a_draws, b_draws), int((~np.isnan(draws)).sum())
    )


def paired_p(a: float, b: float, a_draws: Floats, b_draws: Floats) -> float:
    """Two-sided p of no difference, 1 / (resamples + 1) to 1; nan where no resample defines both.

    Unlike sacreBLEU, a resample that strays exactly as far as observed counts, so that equal systems have p = 1.
    """
    strayed = np.abs(a_draws - b_draws)
    strayed = strayed[~np.isnan(strayed)]
    if len(strayed) == 0 or np.isnan(a - b):
        return float("nan")
    beyond = int((np.abs(strayed - strayed.mean()) >= abs(a - b)).sum())
    return (beyond + 1) / (len(strayed) + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given; nan stays nan and counts for nothing. Holm 1979."""
    p = np.asarray(p_values, np.float64)
    adjusted = np.full(len(p), np.nan)
    order = [int(i) for i in np.argsort(p, kind="stable") if not np.isnan(p[i])]
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, float(p[i]) * (len(order) - rank)))
        adjusted[i] = highest
    return adjusted.tolist()
