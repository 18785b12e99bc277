"""Contradictions of a report with its reference, counted by the rule labeler: flips, invented and missed findings.

A text overlap rewards "no pleural effusion" for "pleural effusion" and left for right; these counts are about nothing else.
All are per report, over the 13 observations besides No Finding, and lower is better. They inherit what the labeler
(:mod:`radbench.metrics.findings.rules`) gets wrong: read them beside its evaluation in ``benchmarks/chexpert_rules.py``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from radbench.metrics.base import Card, Mean, State, one_of
from radbench.metrics.findings.chexpert_rules import Codes, LabelledPairs, labelled_pairs
from radbench.metrics.findings.observations import (
    BLANK,
    NEGATIVE,
    NO_FINDING,
    OBSERVATIONS,
    POSITIVE,
    SUPPORT_DEVICES,
    UNCERTAIN,
)
from radbench.metrics.findings.rules import LABELER, affirmed_sides, label

from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats

Bools = NDArray[np.bool_]
Uncertain = Literal["neither", "positive", "negative"]
_LEFT, _RIGHT = 1, 2  # bits of a side; both are 3
_VALID = "chest radiographs, English"
_SOURCE = "radbench; labels by its own rules (radbench.metrics.findings.rules)"


def negation_flips(predicted: Codes, true: Codes) -> Bools:
    """Where one text affirms and the other denies, (..., 14). A hedge or silence contradicts nothing."""
    denied = ((predicted == POSITIVE) & (true == NEGATIVE)) | ((predicted == NEGATIVE) & (true == POSITIVE))
    return _without(denied, NO_FINDING)


def laterality_flips(predicted_sides: Codes, true_sides: Codes) -> Bools:
    """Where both texts affirm a finding, one on the left side only and the other on the right only, (..., 14)."""
    return ((predicted_sides == _LEFT) & (true_sides == _RIGHT)) | ((predicted_sides == _RIGHT) & (true_sides == _LEFT))


def invented(predicted: Codes, true: Codes, uncertain: Uncertain = "neither", devices: bool = True) -> Bools:
    """Where ``predicted`` is positive and ``true`` is not, (..., 14); swap the arguments for what is missed.

    ``uncertain``: a hedge counts as ``positive`` on both sides, as ``negative`` on both, or ``neither``: a hedged prediction
    invents nothing and a hedged reference excuses a firm prediction.
    """
    claims = predicted == POSITIVE if uncertain != "positive" else (predicted == POSITIVE) | (predicted == UNCERTAIN)
    allows = true == POSITIVE if uncertain == "negative" else (true == POSITIVE) | (true == UNCERTAIN)
    found = _without(claims & ~allows, NO_FINDING)
    return found if devices else _without(found, SUPPORT_DEVICES)


def contradictions(prediction: str, reference: str) -> dict[str, tuple[str, ...]]:
    """The observations behind each count of one pair: negation-flips, laterality-flips, hallucinated-, missed-findings."""
    said, true = (np.array(label(t), np.int8) for t in (prediction, reference))
    left, right = (np.array(affirmed_sides(t), np.int8) for t in (prediction, reference))
    found = {
        "negation-flips": negation_flips(said, true),
        "laterality-flips": laterality_flips(left, right),
        "hallucinated-findings": invented(said, true),
        "missed-findings": invented(true, said),
    }
    return {name: tuple(OBSERVATIONS[i] for i in np.flatnonzero(where)) for name, where in found.items()}


def _without(found: Bools, observation: int) -> Bools:
    kept = found.copy()
    kept[..., observation] = False
    return kept


class _Count(Mean):
    """A count of observations per report; of several references the one with the lowest count counts.

    A failed or empty answer is charged with the worst, by the reference with the highest: silence never does better than a
    real answer.
    """

    better: ClassVar[Literal["higher", "lower"]] = "lower"
    accepts = (Text,)

    @abstractmethod
    def found(self, pairs: LabelledPairs) -> Bools:
        """(N, 14) which observations of each pair count."""

    @abstractmethod
    def worst(self, pairs: LabelledPairs) -> Bools:
        """(N, 14) what a failed or empty answer is charged with: all that any answer could be."""

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        if not len(targets):
            return np.zeros(0)
        pairs = labelled_pairs(predictions, targets)
        counts = np.minimum.reduceat(self.found(pairs).sum(axis=1), pairs.first)
        worst = np.maximum.reduceat(self.worst(pairs).sum(axis=1), pairs.first)
        return np.where(pairs.silent, worst, counts).astype(np.float64)


class NegationFlips(_Count):
    """Observations a report that one text affirms and the other denies, averaged over reports."""

    card = Card(
        "Negation flips per report",
        "observations that the reference affirms and the prediction denies, or the reverse, averaged over reports",
        "0 to 13, lower is better",
        _SOURCE,
        valid_for=_VALID,
        failed="a failed or empty answer is charged with every observation that its reference affirms or denies",
    )

    def found(self, pairs: LabelledPairs) -> Bools:
        return negation_flips(pairs.predicted, pairs.true)

    def worst(self, pairs: LabelledPairs) -> Bools:
        return _without((pairs.true == POSITIVE) | (pairs.true == NEGATIVE), NO_FINDING)

    def signature(self, state: State) -> str:
        return f"negation-flips|uncertain:no-flip|refs:min|failed:all-asserted|labeler:{LABELER}|v:1"


class LateralityFlips(_Count):
    """Observations a report that both texts affirm, on opposite sides, averaged over reports."""

    card = Card(
        "Laterality flips per report",
        "observations affirmed by both texts, in one on the left only and in the other on the right only, averaged over reports",
        "0 to 11, lower is better",
        _SOURCE,
        valid_for=_VALID,
        failed="a failed or empty answer is charged with every observation that its reference affirms on one side only",
    )

    def found(self, pairs: LabelledPairs) -> Bools:
        return laterality_flips(pairs.predicted_sides, pairs.true_sides)

    def worst(self, pairs: LabelledPairs) -> Bools:
        return (pairs.true_sides == _LEFT) | (pairs.true_sides == _RIGHT)

    def signature(self, state: State) -> str:
        return f"laterality-flips|bilateral:no-flip|refs:min|failed:all-sided|labeler:{LABELER}|v:1"


class _Findings(_Count):
    """What hallucinated and missed findings share: their options."""

    name: ClassVar[str]
    failed: ClassVar[str]

    def __init__(self, uncertain: Uncertain = "neither", devices: Literal["count", "ignore"] = "count") -> None:
        one_of("uncertain", uncertain, ("neither", "positive", "negative"))
        one_of("devices", devices, ("count", "ignore"))
        self.uncertain, self.devices = uncertain, devices

    def options(self) -> dict[str, Any]:
        return {"uncertain": self.uncertain, "devices": self.devices == "count"}

    def signature(self, state: State) -> str:
        return (
            f"{self.name}|uncertain:{self.uncertain}|devices:{self.devices}|refs:min|failed:{self.failed}"
            f"|labeler:{LABELER}|v:1"
        )


class HallucinatedFindings(_Findings):
    """Observations a report that the prediction affirms and the reference does not, averaged over reports."""

    name = "hallucinated-findings"
    failed = "all-absent"
    card = Card(
        "Hallucinated findings per report",
        "observations positive in the prediction and blank or negative in the reference, averaged over reports",
        "0 to 13, lower is better",
        _SOURCE,
        valid_for=_VALID,
        failed="a failed or empty answer is charged with every observation that its reference does not have, as if it named all",
    )

    def found(self, pairs: LabelledPairs) -> Bools:
        return invented(pairs.predicted, pairs.true, **self.options())

    def worst(self, pairs: LabelledPairs) -> Bools:
        return invented(np.full_like(pairs.true, POSITIVE), pairs.true, **self.options())


class MissedFindings(_Findings):
    """Observations a report that the reference affirms and the prediction does not, averaged over reports."""

    name = "missed-findings"
    failed = "all-positive"
    card = Card(
        "Missed findings per report",
        "observations positive in the reference and blank or negative in the prediction, averaged over reports",
        "0 to 13, lower is better",
        _SOURCE,
        valid_for=_VALID,
        failed="a failed or empty answer misses every positive observation of its reference",
    )

    def found(self, pairs: LabelledPairs) -> Bools:
        return invented(pairs.true, pairs.predicted, **self.options())

    def worst(self, pairs: LabelledPairs) -> Bools:
        return invented(pairs.true, np.full_like(pairs.true, BLANK), **self.options())


METRICS = {
    "negation-flips": NegationFlips,
    "laterality-flips": LateralityFlips,
    "hallucinated-findings": HallucinatedFindings,
    "missed-findings": MissedFindings,
}
