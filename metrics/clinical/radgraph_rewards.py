"""What RadGraph F1 compares: the rewards over the annotations of two reports.

``simple``, ``partial`` and ``complete``: Delbrouck et al. 2022 (Findings of EMNLP), as radgraph 0.1.18 computes them.
``combined``: Yu et al. 2023, CXR-Report-Metric @9c9ecad, the RadGraph input of RadCliQ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypedDict

Reward = Literal["simple", "partial", "complete", "combined"]


class Entity(TypedDict):
    """An entity as the radgraph package writes it; relations are pairs [name, key of the other entity]."""

    tokens: str
    label: str
    start_ix: int
    end_ix: int
    relations: list[list[str]]


Entities = Mapping[str, Entity]
"""The entities of one report by number: ``{"1": {...}, "2": {...}}``, in reading order."""


def set_f1(hypothesis: Iterable[object], reference: Iterable[object]) -> float:
    """2 P R / (P + R) of two sets, 0 to 1; 0 where either is empty, both included. Duplicates count once."""
    a, b = set(hypothesis), set(reference)
    common = len(a & b)
    if not common:
        return 0.0
    precision, recall = common / len(a), common / len(b)
    return 2 * precision * recall / (precision + recall)


def simple_f1(hypothesis: Entities, reference: Entities) -> float:
    """F1 of (tokens, label): RG_E. Case counts."""
    return set_f1(*([(e["tokens"], e["label"]) for e in side.values()] for side in (hypothesis, reference)))


entity_f1 = simple_f1  # CXR-Report-Metric's entity F1 is the same set


def partial_f1(hypothesis: Entities, reference: Entities) -> float:
    """F1 of (tokens, label, whether it has any relation): RG_ER, the usual "RadGraph F1".

    MultiMedEval leaves out the package's guard (0 where a report has no entity); the value is 0 there either way.
    """
    return set_f1(
        *([(e["tokens"], e["label"], bool(e["relations"])) for e in s.values()] for s in (hypothesis, reference))
    )


def complete_f1(hypothesis: Entities, reference: Entities) -> float:
    """F1 of (tokens, label) of entities without relation and (tokens, label, relation, target's tokens) of the others.

    Only the latter are lower-cased, as in the original. RG_ER-bar.
    """
    return set_f1(_complete(hypothesis), _complete(reference))


def _complete(entities: Entities) -> Iterable[tuple[str, ...]]:
    for e in entities.values():
        if not e["relations"]:
            yield e["tokens"], e["label"]
        for name, target in e["relations"]:
            yield e["tokens"].lower(), e["label"], name, entities[target]["tokens"].lower()


def relation_f1(hypothesis: Entities, reference: Entities) -> float:
    """F1 of ((tokens, label), (tokens, label), relation), case kept: CXR-Report-Metric's relation F1."""
    return set_f1(_relations(hypothesis), _relations(reference))


def _relations(entities: Entities) -> Iterable[tuple[object, ...]]:
    for e in entities.values():
        for name, target in e["relations"]:
            other = entities[target]
            yield (e["tokens"], e["label"]), (other["tokens"], other["label"]), name


def combined_f1(hypothesis: Entities, reference: Entities) -> float:
    """(entity F1 + relation F1) / 2; identical reports without relations have 0.5."""
    return (entity_f1(hypothesis, reference) + relation_f1(hypothesis, reference)) / 2


REWARDS: Mapping[Reward, Callable[[Entities, Entities], float]] = {
    "simple": simple_f1,
    "partial": partial_f1,
    "complete": complete_f1,
    "combined": combined_f1,
}
