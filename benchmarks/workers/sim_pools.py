"""Finite populations of cases answered by two made-up models, and samples of patients drawn from them.

A population is a few thousand (prediction, reference) pairs; its rows come from the metric itself, so its value, the
truth that intervals should cover, is known exactly. A patient's case is, with probability sqrt(ICC), the patient's own
case and else a fresh one: any function of a case then has the intra-cluster correlation ICC, exactly.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from typing import Any, TypeVar

import numpy as np
from radbench.metrics.labels.classification import F1, Accuracy
from radbench.metrics.text.bleu import Bleu
from radbench.metrics.vision.boxes import MeanIoU
from radbench.metrics.vision.masks import Dice, MaskIoU

from radbench.records import Box, Boxes, Failure, Labels, Mask, Prediction, Target, Text
from radbench.statistics import Clusters, Floats, Measure

ICC = 0.3
CASES = 4000
TOGETHER = 10  # simulations under one stream of resamples
CellT = TypeVar("CellT")
FAILED = Prediction(None, Failure("empty", "no answer"))
Pair = tuple[list[Prediction], list[Prediction], Sequence[Target]]


@dataclass(frozen=True, slots=True)
class Population:
    """Rows (cases, k) of two models on the same cases; ``a`` is the better one."""

    metric: Any
    state: Any
    a: Floats
    b: Floats

    def value(self, rows: Floats) -> float:
        return float(self.metric.reduce(rows.sum(axis=0)[None, :], self.state)[0])

    @property
    def truth(self) -> float:
        return self.value(self.a)

    @property
    def drop(self) -> float:
        """How much better ``a`` is."""
        return self.value(self.a) - self.value(self.b)

    def equal(self) -> Population:
        """Each case also with the models' answers exchanged: two models that are equally good."""
        return Population(self.metric, self.state, np.concatenate([self.a, self.b]), np.concatenate([self.b, self.a]))

    def exchanged(self) -> Population:
        return Population(self.metric, self.state, self.b, self.a)

    def sample(
        self, rng: np.random.Generator, clusters: int, size: int = 1, icc: float = ICC
    ) -> tuple[Measure, Measure, Clusters]:
        """Both models on ``clusters`` patients of ``size`` cases."""
        drawn = rng.integers(len(self.a), size=(clusters, size))
        if size > 1:
            own = rng.integers(len(self.a), size=(clusters, 1))
            drawn = np.where(rng.random((clusters, size)) < np.sqrt(icc), own, drawn)
        cases = drawn.ravel()
        a, b = Measure(self.metric, self.state, self.a[cases]), Measure(self.metric, self.state, self.b[cases])
        return a, b, Clusters(np.repeat(np.arange(clusters), size), clusters, ((0, clusters),))


def alone(clusters: Clusters) -> Clusters:
    """Every sample its own cluster: what an unclustered interval assumes."""
    n = len(clusters.codes)
    return Clusters(np.arange(n), n, ((0, n),))


def measured(metric: Any, pair: Pair, choices: Sequence[str] = ()) -> Population:
    """The population of a metric, its rows computed from predictions and targets."""
    a, b, targets = pair
    state = metric.fit(targets, choices)
    return Population(metric, state, metric.rows(a, targets, state), metric.rows(b, targets, state))


def labelled(shares: Sequence[float], right: float, drop: float = 0.04, seed: int = 0) -> Pair:
    """Single-label cases, ``shares`` by class; model a is right ``right`` of the time, b ``drop`` less; the harder a
    case, the likelier both are wrong."""
    rng = np.random.default_rng([1, seed])
    names = [f"class {i}" for i in range(len(shares))]
    truth = np.repeat(np.arange(len(shares)), np.round(np.array(shares) * CASES).astype(int))
    ease = rng.beta(2 * right, 2 * (1 - right), len(truth))
    models = []
    for lost in (0.0, drop):
        is_right = rng.random(len(truth)) < ease * (1 - lost / right)
        wrong = (truth + rng.integers(1, len(shares), len(truth))) % len(shares)
        models.append([Prediction((names[i],)) for i in np.where(is_right, truth, wrong)])
    return models[0], models[1], [Labels((names[i],)) for i in truth]


_PLACES = ("right lower lobe", "left lower lobe", "right upper lobe", "left base", "lingula", "both lung bases")
_SIGNS = ("patchy opacity", "linear atelectasis", "small effusion", "calcified nodule", "mild edema", "consolidation")
_FIXED = (
    "the heart size is within normal limits .", "no pneumothorax is seen .", "the mediastinal contours are stable .",
    "osseous structures are intact .", "there is no focal consolidation .", "the tip of the tube projects over the carina .",
)  # fmt: skip


def _sentence(rng: np.random.Generator) -> str:
    if rng.random() < 0.5:
        return str(rng.choice(_FIXED))
    return f"there is a {rng.choice(_SIGNS)} in the {rng.choice(_PLACES)} , {rng.choice(('new', 'unchanged', 'improved'))} ."


def _retold(rng: np.random.Generator, report: Sequence[str], skill: float) -> str:
    """The report with some sentences told otherwise, cut or replaced."""
    told = []
    for sentence in report:
        luck = rng.random()
        if luck < skill:
            told.append(sentence)
        elif luck < skill + 0.5 * (1 - skill):
            told.append(" ".join(word for word in sentence.split() if rng.random() < 0.8))
        elif luck < skill + 0.9 * (1 - skill):
            told.append(_sentence(rng))
    return " ".join(told)


def reported(drop: float = 0.06, seed: int = 0) -> Pair:
    """Made-up reports of two to eight sentences; how well one is retold depends on the report and the model."""
    rng = np.random.default_rng([2, seed])
    models: tuple[list[Prediction], list[Prediction]] = ([], [])
    targets = []
    for _ in range(CASES):
        report = [_sentence(rng) for _ in range(rng.integers(2, 9))]
        ease = rng.beta(1.2, 2.0)
        for lost, told in zip((0.0, drop), models, strict=True):
            told.append(Prediction(_retold(rng, report, max(ease - lost, 0.0))))
        targets.append(Text((" ".join(report),)))
    return *models, targets


def outlined(drop: float = 0.4, seed: int = 0) -> Pair:
    """Discs on 32 x 32 pixels, found displaced and too large or too small; one in twenty is not answered."""
    rng = np.random.default_rng([3, seed])
    y, x = np.mgrid[:32, :32]
    models: tuple[list[Prediction], list[Prediction]] = ([], [])
    targets = []
    for _ in range(CASES):
        row, column, radius = rng.uniform((10, 10, 3), (22, 22, 9)).tolist()
        targets.append(Mask((y - row) ** 2 + (x - column) ** 2 <= radius**2))
        spread = rng.gamma(2.0, 0.8)
        for lost, found in zip((0.0, drop), models, strict=True):
            dy, dx, dr = rng.normal(0, spread + lost, 3)
            disc = (y - row - dy) ** 2 + (x - column - dx) ** 2 <= max(radius + 0.7 * dr, 1) ** 2
            found.append(FAILED if rng.random() < 0.05 else Prediction(disc))
    return *models, targets


def boxed(drop: float = 0.02, seed: int = 0) -> Pair:
    """One to four boxes of three structures a picture, found displaced; one in ten is missed."""
    rng = np.random.default_rng([4, seed])
    models: tuple[list[Prediction], list[Prediction]] = ([], [])
    targets = []
    for _ in range(CASES):
        truth, found = [], ([], [])  # type: tuple[list[Box], tuple[list[Box], list[Box]]]
        spread = rng.gamma(2.0, 0.02)
        for label in rng.choice(("heart", "left lung", "right lung"), rng.integers(1, 5)):
            x0, y0 = rng.uniform(0.1, 0.5, 2)
            x1, y1 = x0 + rng.uniform(0.1, 0.4), y0 + rng.uniform(0.1, 0.4)
            truth.append(Box(str(label), x0, y0, x1, y1))
            for lost, said in zip((0.0, drop), found, strict=True):
                edges = np.array([x0, y0, x1, y1]) + rng.normal(0, spread + lost, 4)
                if rng.random() > 0.1:
                    said.append(Box(str(label), *edges.tolist()))
        for said, model in zip(found, models, strict=True):
            model.append(Prediction(tuple(said)))
        targets.append(Boxes(tuple(truth)))
    return *models, targets


_EVEN = (0.25,) * 4


def rare(share: float) -> Callable[[], Population]:
    rest = (1 - share) / 3
    return lambda: measured(F1(), labelled((share, rest, rest, rest), 0.75))


POPULATIONS: dict[str, Callable[[], Population]] = {
    "accuracy .70": lambda: measured(Accuracy(), labelled(_EVEN, 0.7)),
    "accuracy .90": lambda: measured(Accuracy(), labelled(_EVEN, 0.9)),
    "accuracy .95": lambda: measured(Accuracy(), labelled(_EVEN, 0.95, 0.02)),
    "accuracy .98": lambda: measured(Accuracy(), labelled(_EVEN, 0.98, 0.01)),
    "macro-F1, 4 classes": lambda: measured(F1(), labelled(_EVEN, 0.75)),
    "macro-F1, rare class .20": rare(0.20),
    "macro-F1, rare class .10": rare(0.10),
    "macro-F1, rare class .05": rare(0.05),
    "macro-F1, rare class .03": rare(0.03),
    "corpus BLEU-4": lambda: measured(Bleu(4), reported()),
    "Dice": lambda: measured(Dice(), outlined()),
    "mask IoU": lambda: measured(MaskIoU(), outlined()),
    "mean box IoU": lambda: measured(MeanIoU(), boxed()),
}


@cache
def population(name: str) -> Population:
    return POPULATIONS[name]()


def by_cell(
    batch: Callable[[CellT, int], tuple[float, ...]], cells: Sequence[CellT], simulations: int
) -> Iterator[tuple[CellT, int, Floats]]:
    """``(cell, simulations, sums)``: what ``batch(cell, number)`` counts over :data:`TOGETHER` simulations, summed."""
    batches = -(-simulations // TOGETHER)
    tasks = [(batch, cell, number) for cell in cells for number in range(batches)]
    with get_context("fork").Pool(min(2, os.cpu_count() or 1)) as processes:
        done = processes.imap(_one, tasks, chunksize=4)
        for cell in cells:
            yield cell, batches * TOGETHER, np.sum([next(done) for _ in range(batches)], axis=0, dtype=np.float64)


def _one(task: tuple[Callable[[Any, int], tuple[float, ...]], Any, int]) -> tuple[float, ...]:
    batch, cell, number = task
    return batch(cell, number)
