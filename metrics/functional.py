"""Metrics as plain functions over lists, without a task: what ``radbench.metrics.bleu(predictions, references)`` calls.

Values are what people have at hand. Text metrics take a string a prediction and a string, or a list of equally right ones, a
reference; label metrics a label or a list of labels; box metrics a list of :class:`radbench.Box` or of ``(label, x0, y0, x1,
y1[, score])``; mask metrics bool arrays. A prediction of None is a failed answer and scores the metric's stated worst.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
from radbench.metrics.base import Metric

from radbench.errors import ConfigError, DataError
from radbench.measuring import Measuring
from radbench.records import Box, Boxes, Failure, Labels, Mask, Prediction, Target, Text
from radbench.registry import construct, find_metric
from radbench.specs import parse_spec
from radbench.statistics import LEVEL, RESAMPLES, Clusters, Estimate, Measure, clusters_of, estimate, point

BATCH = 256
_FAILED = Prediction(None, Failure("empty"))


@dataclass(frozen=True, slots=True)
class Score:
    """A metric's value over a set of pairs with its percentile interval; ``unavailable`` says why there is none."""

    value: float
    low: float
    high: float
    n: int
    better: str
    signature: str
    unavailable: str | None = None


class PairError(DataError):
    """A value of one pair is of the wrong kind; ``index`` counts pairs from 0, ``side`` is prediction or reference."""

    def __init__(self, index: int, side: str, message: str) -> None:
        super().__init__(f"pair {index}: a {side} is {message}")
        self.index, self.side, self.what = index, side, message


def target_of(metric: Metric, value: Any) -> Target:
    """A reference in the shape the metric scores. Raises TypeError, saying what it is and what is expected."""
    if isinstance(value, Text | Labels | Boxes | Mask):
        if not isinstance(value, metric.accepts):
            raise TypeError(f"{type(value).__name__}, which the metric does not score")
        return value
    if Text in metric.accepts:
        texts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
        if texts and all(isinstance(t, str) for t in texts):
            return Text(texts)
        raise TypeError(f"{_shown(value)}, expected a text or a list of texts")
    if Labels in metric.accepts:
        return Labels(_labels(value))
    return Boxes(_boxes(value)) if Boxes in metric.accepts else Mask(_mask(value))


def prediction_of(metric: Metric, value: Any) -> Prediction:
    """A prediction in the shape the metric scores; None is a failed answer. Raises TypeError as :func:`target_of`."""
    if value is None:
        return _FAILED
    if isinstance(value, Prediction):
        return value
    if Text in metric.accepts:
        if not isinstance(value, str):
            raise TypeError(f"{_shown(value)}, expected a text")
        return Prediction(value)
    if Labels in metric.accepts:
        if isinstance(value, Mapping):
            scores = {str(label): float(score) for label, score in value.items()}
            if not scores or not all(map(math.isfinite, scores.values())):
                raise TypeError("a mapping, expected finite scores by label")
            return Prediction((max(scores, key=scores.__getitem__),), scores=scores)
        return Prediction(_labels(value))
    return Prediction(_boxes(value) if Boxes in metric.accepts else _mask(value))


def _labels(value: Any) -> tuple[str, ...]:
    if isinstance(value, str | int | np.integer | np.bool_):
        return (str(value),)
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return tuple(str(v) for v in value)
    raise TypeError(f"{_shown(value)}, expected a label, a list of labels or scores by label")


def _boxes(value: Any) -> tuple[Box, ...]:
    expected = "expected a list of (label, x0, y0, x1, y1) with finite numbers"
    try:
        boxes = tuple(b if isinstance(b, Box) else Box(str(b[0]), *(float(x) for x in b[1:])) for b in value)
    except (TypeError, ValueError, IndexError, KeyError):
        raise TypeError(f"{_shown(value)}, {expected}") from None
    if not all(math.isfinite(x) for b in boxes for x in (b.x0, b.y0, b.x1, b.y1, b.score)):
        raise TypeError(f"a list of boxes with a coordinate that is not finite, {expected}")
    return boxes


def _mask(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim < 2 or array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise TypeError(f"{_shown(value)}, expected a 2D or 3D array of 0 and 1")
    return array.astype(bool)


def _shown(value: Any) -> str:
    """Type and length only: a function cannot know whether its texts are restricted."""
    return f"{type(value).__name__} of length {len(value)}" if isinstance(value, Sized) else type(value).__name__


def compute(
    metric: str | Metric,
    predictions: Sequence[Any],
    references: Sequence[Any],
    *,
    choices: Sequence[str] = (),
    **options: Any,
) -> float:
    """The metric's value over pairs; ``metric`` is a spec such as ``bleu:n=1,tok=split`` or a name with ``options``.

    Raises :class:`DataError` where the lists differ in length or a value has the wrong type, :class:`ConfigError` on unknown
    metrics and options and where the metric is unavailable.
    """
    found = _resolve(metric, options)
    if (reason := found.unavailable()) is not None:
        raise ConfigError(f"metric '{metric}' is unavailable: {reason}")
    said, targets = _pairs(found, predictions, references)
    state = found.fit(targets, choices or _labels_of(said, targets))
    rows = [found.rows(said[i : i + BATCH], targets[i : i + BATCH], state) for i in range(0, max(len(said), 1), BATCH)]
    return point(Measure(found, state, np.concatenate(rows)))


def _resolve(metric: str | Metric, options: Mapping[str, Any]) -> Metric:
    if not isinstance(metric, str):
        return metric
    if not options:
        return find_metric(metric)
    from radbench.registry import all_metrics

    name, arguments, given = parse_spec(metric)
    find_metric(name)  # says so where there is no such metric
    return construct(all_metrics()[name], f"metric '{name}'", arguments, {**given, **options})


def _labels_of(said: Sequence[Prediction], targets: Sequence[Target]) -> tuple[str, ...]:
    """The closed set where none is given: every label of truth and prediction, as scikit-learn takes it."""
    names: set[str] = set()
    for prediction, target in zip(said, targets, strict=True):
        if not isinstance(target, Labels):
            return ()
        names.update(target.names, prediction.value or (), prediction.scores or ())
    return tuple(sorted(names))


def _pairs(
    metric: Metric, predictions: Sequence[Any], references: Sequence[Any]
) -> tuple[list[Prediction], list[Target]]:
    if isinstance(predictions, str) or isinstance(references, str):
        raise DataError("predictions and references are lists, one entry a sample; a single text was given")
    if len(predictions) != len(references):
        raise DataError(f"{len(predictions)} predictions but {len(references)} references")
    if Text in metric.accepts and all(type(t) is str for side in (predictions, references) for t in side):
        return [Prediction(p) for p in predictions], [Text((r,)) for r in references]
    said, targets = list[Prediction](), list[Target]()
    for number, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        side = "prediction"
        try:
            said.append(prediction_of(metric, prediction))
            side = "reference"
            targets.append(target_of(metric, reference))
        except TypeError as error:
            raise PairError(number, side, str(error)) from None
        true = targets[-1]
        if isinstance(true, Mask) and said[-1].value is not None and said[-1].value.shape != true.load().shape:
            raise PairError(
                number, "prediction", f"a mask of shape {said[-1].value.shape}, its reference {true.load().shape}"
            )
    return said, targets


def score(
    metrics: Sequence[str],
    predictions: Sequence[Any],
    references: Sequence[Any],
    *,
    clusters: Sequence[str] | None = None,
    choices: Sequence[str] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, Score]:
    """Several metrics over the same pairs, with intervals under the same resamples.

    ``clusters`` names the patient of each pair. A metric whose weights or dictionary are absent, or that fails on these
    pairs, comes back with ``unavailable`` set. Raises as :func:`compute`.
    """
    if clusters is not None and len(clusters) != len(references):
        raise DataError(f"{len(clusters)} clusters but {len(references)} references")
    n = len(references)
    kinds: dict[tuple[type, ...], list[str]] = {}
    for spec in metrics:
        kinds.setdefault(find_metric(spec).accepts, []).append(spec)
    measures: dict[str, Measure] = {}
    missing: dict[str, str] = {}
    for specs in kinds.values():
        said, targets = _pairs(find_metric(specs[0]), predictions, references)
        given = choices or _labels_of(said, targets)
        measuring = Measuring(specs, lambda targets=targets: targets, given, "")  # type: ignore[misc]
        for first in range(0, n, BATCH):
            measuring.add(said[first : first + BATCH], targets[first : first + BATCH])
        measures |= {m.name: m.measure for m in measuring.finish()}
        missing |= measuring.unavailable | {spec: f"it failed: {why}" for spec, why in measuring.failed.items()}
    units = Clusters(np.arange(n), n, ((0, n),)) if clusters is None else clusters_of([str(c) for c in clusters])
    estimates = estimate(measures, units, resamples, seed, level)
    return {spec: _score(spec, measures.get(spec), estimates.get(spec), missing.get(spec)) for spec in metrics}


def _score(spec: str, measure: Measure | None, found: Estimate | None, missing: str | None) -> Score:
    metric = find_metric(spec)
    if measure is None or found is None:
        nan = float("nan")
        return Score(nan, nan, nan, 0, metric.better, metric.signature(()), missing)
    signature = metric.signature(measure.state)
    return Score(found.value, found.low, found.high, metric.counted(measure.rows), metric.better, signature)


def function_of(name: str) -> Callable[..., float]:
    """The plain function of an installed metric, ``radbench.metrics.<name>``."""

    def function(
        predictions: Sequence[Any], references: Sequence[Any], *, choices: Sequence[str] = (), **options: Any
    ) -> float:
        return compute(name, predictions, references, choices=choices, **options)

    metric = find_metric(name)
    function.__name__ = function.__qualname__ = name.replace("-", "_")
    function.__doc__ = (
        f"{metric.card.title}: {metric.card.formula}. {metric.card.range}.\n\nSource: {metric.card.source}."
    )
    return function
