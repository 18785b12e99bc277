"""Metrics as plain functions over lists, without a task: what ``radbench.metrics.bleu(predictions, references)`` calls.

Values are what people have at hand. Text metrics take a string a prediction and a string, or a list of equally right ones, a
reference; label metrics a label or a list of labels; box metrics a list of :class:`radbench.Box` or of ``(label, x0, y0, x1,
y1[, score])``; mask metrics bool arrays. A prediction of None is a failed answer and scores the metric's stated worst.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from radbench.metrics.base import Metric, State
from radbench.metrics.batches import shared_rows

from radbench.errors import ConfigError, DataError
from radbench.records import Box, Boxes, Failure, Labels, Mask, Prediction, Target, Text
from radbench.registry import construct, find_metric, parse_spec
from radbench.statistics import LEVEL, RESAMPLES, Clusters, Floats, Measure, clusters_of, estimate, point

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


def target_of(metric: Metric, value: Any) -> Target:
    """A reference in the shape the metric scores. Raises :class:`DataError` on another kind of value."""
    if isinstance(value, Text | Labels | Boxes | Mask):
        if not isinstance(value, metric.accepts):
            raise DataError(f"a reference is {type(value).__name__}, which the metric does not score")
        return value
    kind = next((k for k in (Text, Labels, Boxes, Mask) if k in metric.accepts), Text)
    if kind is Text:
        texts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
        if texts and all(isinstance(t, str) for t in texts):
            return Text(texts)
        raise DataError(f"a reference is {_shown(value)}, expected a text or a list of texts")
    if kind is Labels:
        return Labels(_labels(value))
    if kind is Boxes:
        return Boxes(_boxes(value))
    return Mask(np.asarray(value, dtype=bool))


def prediction_of(metric: Metric, value: Any, scores: Mapping[str, float] | None = None) -> Prediction:
    """A prediction in the shape the metric scores; None is a failed answer. Raises :class:`DataError`."""
    if value is None and scores is None:
        return _FAILED
    if isinstance(value, Prediction):
        return value
    kind = next((k for k in (Text, Labels, Boxes, Mask) if k in metric.accepts), Text)
    if kind is Text:
        if not isinstance(value, str):
            raise DataError(f"a prediction is {_shown(value)}, expected a text")
        return Prediction(value)
    if kind is Labels:
        return Prediction(None if value is None else _labels(value), scores=scores)
    if kind is Boxes:
        return Prediction(_boxes(value))
    return Prediction(np.asarray(value, dtype=bool))


def _labels(value: Any) -> tuple[str, ...]:
    if isinstance(value, str | int):
        return (str(value),)
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(str(v) for v in value)
    raise DataError(f"a value is {_shown(value)}, expected a label or a list of labels")


def _boxes(value: Any) -> tuple[Box, ...]:
    try:
        return tuple(b if isinstance(b, Box) else Box(str(b[0]), *(float(x) for x in b[1:])) for b in value)
    except (TypeError, ValueError, IndexError, KeyError):
        raise DataError(f"a value is {_shown(value)}, expected a list of (label, x0, y0, x1, y1)") from None


def _shown(value: Any) -> str:
    """Type and length only: a function cannot know whether its texts are restricted."""
    return f"{type(value).__name__} of length {len(value)}" if hasattr(value, "__len__") else type(value).__name__


def rows_of(
    metric: Metric, predictions: Sequence[Prediction], targets: Sequence[Target], choices: Sequence[str] = ()
) -> tuple[Floats, State]:
    """(n, k) rows of any number of pairs, in batches, and the state they were made under."""
    state = metric.fit(targets, choices)
    rows = [
        shared_rows(metric, predictions[i : i + BATCH], targets[i : i + BATCH], state)
        for i in range(0, max(len(targets), 1), BATCH)
    ]
    return np.concatenate(rows), state


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
    rows, state = rows_of(found, said, targets, choices or _labels_of(said, targets))
    return point(Measure(found, state, rows))


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
    said, targets = [], []
    for number, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        try:
            said.append(prediction_of(metric, prediction))
            targets.append(target_of(metric, reference))
        except DataError as error:
            raise DataError(f"pair {number}: {error.message}") from None
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

    ``clusters`` names the patient of each pair. A metric whose weights or dictionary are absent comes back *unavailable*.
    Raises as :func:`compute`.
    """
    if clusters is not None and len(clusters) != len(references):
        raise DataError(f"{len(clusters)} clusters but {len(references)} references")
    found = {spec: find_metric(spec) for spec in metrics}
    missing = {spec: reason for spec, m in found.items() if (reason := m.unavailable()) is not None}
    usable = {spec: m for spec, m in found.items() if spec not in missing}
    kinds = {m.accepts: m for m in usable.values()}
    pairs = {accepted: _pairs(m, predictions, references) for accepted, m in kinds.items()}
    sets = {accepted: choices or _labels_of(*both) for accepted, both in pairs.items()}
    fitted = {spec: m.fit(pairs[m.accepts][1], sets[m.accepts]) for spec, m in usable.items()}
    rows = _rows_together(usable, pairs, fitted, len(references))
    n = len(references)
    units = Clusters(np.arange(n), n, ((0, n),)) if clusters is None else clusters_of([str(c) for c in clusters])
    measures = {spec: Measure(m, fitted[spec], rows[spec]) for spec, m in usable.items()}
    estimates = estimate(measures, units, resamples, seed, level)
    out = {}
    for spec, metric in found.items():
        if spec in missing:
            nan = float("nan")
            out[spec] = Score(nan, nan, nan, 0, metric.better, metric.signature(()), missing[spec])
            continue
        e = estimates[spec]
        out[spec] = Score(
            e.value, e.low, e.high, metric.counted(rows[spec]), metric.better, metric.signature(fitted[spec])
        )
    return out


def _rows_together(
    metrics: Mapping[str, Metric],
    pairs: Mapping[tuple[type, ...], tuple[list[Prediction], list[Target]]],
    states: Mapping[str, State],
    n: int,
) -> dict[str, Floats]:
    """Rows of every metric, batch by batch, so that metrics of one kind of target share what they make of a batch."""
    collected: dict[str, list[Floats]] = {spec: [] for spec in metrics}
    for first in range(0, max(n, 1), BATCH):
        here = slice(first, first + BATCH)
        batches = {accepted: (said[here], targets[here]) for accepted, (said, targets) in pairs.items()}
        for spec, metric in metrics.items():
            collected[spec].append(shared_rows(metric, *batches[metric.accepts], states[spec]))
    return {spec: np.concatenate(rows) for spec, rows in collected.items()}


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
