"""A task, a metric and a model that radbench finds by name once this package is installed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from radbench.metrics.base import Card, Mean

from radbench.dataset import Dataset, lazy
from radbench.records import Answer, Prediction, Request, Sample, Target, Text
from radbench.task import Task


class SameFirstWord(Mean):
    """Share of answers whose first word is the reference's."""

    card = Card(
        "Same first word", "share of equal first words, lower-cased", "0 to 1, higher is better", "this package"
    )

    def score(self, prediction: Prediction, target: Target) -> float:
        assert isinstance(target, Text)
        return float((prediction.value or " ").split()[:1] == target.first.split()[:1])

    def signature(self, state: Any) -> str:
        return "same-first-word|v:1"


class Echo:
    """Answers with the last word of the prompt."""

    capabilities = frozenset({"text", "blind"})

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "echo", "name": "echo"}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            yield request, Answer(text=request.text.split()[-1])


class Words:
    """A reader: three samples."""

    def samples(self, split: str) -> Iterator[Sample]:
        for word in ("effusion", "pneumothorax", "edema"):
            yield Sample(word, None, {"answer": Text((word,))}, slots={"question": f"Repeat: {word}"})

    def fingerprint(self) -> str:
        return "1"


TASKS = (
    Task(
        name="example/repeat",
        version=1,
        title="Repeat a word",
        dataset=Dataset("words", lazy("radbench_example:Words"), "open", "CC0", "this package"),
        split="test",
        prompts=("{question}",),
        metrics=("same-first-word",),
        clustered=False,
    ),
)
METRICS = {"same-first-word": SameFirstWord}
