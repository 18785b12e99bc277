"""The bounds that cards state: which metrics have none, and that no value lies outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from radbench.metrics.base import Card, Metric

from radbench.measuring import Measuring
from radbench.records import Box, Boxes, Failure, Labels, Mask, Prediction, Target, Text
from radbench.registry import all_metrics, find_metric
from radbench.statistics import Measure, draw, point
from radbench.statistics import clusters_of as clusters

UNBOUNDED = {"bertscore", "hd95", "most-frequent-share", "radcliq-v0", "radcliq-v0-nobleu", "radcliq-v1"}
FAILED = Prediction(None, Failure("empty"))
GRADES = ("0", "1", "2", "3")
WORDS = ("no", "left", "right", "pleural", "effusion", "pneumothorax", "heart", "is", "enlarged", "clear", "lungs", ".")
N = 24


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 to 1, higher is better", (0, 1)),
        ("-1 to 1", (-1, 1)),
        ("-1.5 to .25; more", (-1.5, 0.25)),
        ("0 to 10, higher is better", (0, 10)),
        ("0 to 1 in practice, higher is better", None),
        ("0 to the picture's diagonal, lower is better", None),
        ("5.516 with all inputs 0 to -0.242 with all inputs 1", None),
        ("1/n to 1, lower is better", None),
        ("not stated", None),
    ],
)
def test_bounds_are_read_from_the_range(text: str, expected: tuple[float, float] | None) -> None:
    assert Card("a metric", "", text, "").bounds() == expected


def test_every_metric_has_bounds_but_these() -> None:
    bounds = {name: find_metric(name).card.bounds() for name in all_metrics()}
    assert {name for name, found in bounds.items() if found is None} == UNBOUNDED
    assert all(found is None or found[0] < found[1] for found in bounds.values())
    assert all(find_metric(name).scale() == found for name, found in bounds.items())


def pairs(metric: Metric, rng: np.random.Generator) -> tuple[list[Prediction], list[Target]]:
    """Random pairs of a kind the metric scores: a failed answer, right ones, wrong ones."""
    predictions: list[Prediction] = [FAILED]
    targets: list[Target] = []
    for i in range(N):
        said, true = (_value(metric, rng) for _ in range(2))
        targets.append(_target(metric, true))
        if i:
            predictions.append(Prediction(true if i % 3 == 0 else said, scores=_scores(metric, rng)))
    return predictions, targets


def _value(metric: Metric, rng: np.random.Generator) -> Any:
    if Text in metric.accepts:
        if rng.random() < 0.2:
            return str(rng.choice(["yes", "no"]))  # closed questions are scored on their own
        return " ".join(rng.choice(WORDS, rng.integers(1, 15)))
    if Labels in metric.accepts:
        return (str(rng.choice(GRADES)),)
    if Boxes in metric.accepts:
        corners = rng.random((rng.integers(1, 4), 2)) * 20
        return tuple(Box("nodule", x, y, x + 15, y + 15, float(rng.random())) for x, y in corners)
    return rng.random((12, 12)) < 0.4


def _target(metric: Metric, value: Any) -> Target:
    if Text in metric.accepts:
        return Text((value,))
    if Labels in metric.accepts:
        return Labels(value)
    return Boxes(value) if Boxes in metric.accepts else Mask(value)


def _scores(metric: Metric, rng: np.random.Generator) -> dict[str, float] | None:
    return dict(zip(GRADES, rng.random(len(GRADES)).tolist(), strict=True)) if Labels in metric.accepts else None


@pytest.mark.parametrize("name", sorted(all_metrics().keys() - {"meteor-java"}))  # a Java machine a value: slow
def test_no_value_lies_outside_the_bounds(name: str) -> None:
    metric = find_metric(name)
    bounds = metric.card.bounds()
    if bounds is None:
        assert name in UNBOUNDED
        return
    rng = np.random.default_rng(7)
    predictions, targets = pairs(metric, rng)
    choices: Sequence[str] = GRADES if Labels in metric.accepts else ()
    measuring = Measuring([name], lambda: targets, choices, "")
    if reason := measuring.unavailable.get(name):
        pytest.skip(f"unavailable: {reason}")
    measuring.add(predictions, targets)
    assert measuring.failed == {}
    scored = measuring.finish()[0]
    measure: Measure = scored.measure
    values = [point(measure), *draw([measure], clusters([str(i) for i in range(N)]), 40, 0)[0]]
    single = metric.sample_scores(scored.rows, scored.state)
    values = np.array([*values, *(single if single is not None else ())])
    values = values[~np.isnan(values)]
    assert len(values)
    assert values.min() >= bounds[0] - 1e-9
    assert values.max() <= bounds[1] + 1e-9
