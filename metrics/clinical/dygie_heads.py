"""The heads of DyGIE++ over the vectors of one text's tokens: entities among its spans, relations among its entities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from radbench.metrics.clinical.radgraph_checkpoint import Settings, unreadable

if TYPE_CHECKING:
    import torch

Entity = tuple[int, int, str]  # first token, last token (inclusive), label
Relation = tuple[int, int, str]  # indices of two entities, label


def span_grid(n: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last tokens of all spans of up to ``width`` of ``n`` tokens, by first and then last: two (m,) int arrays."""
    starts, ends = np.divmod(np.arange(n * width), width)
    ends = starts + ends
    inside = ends < n
    return starts[inside], ends[inside]


class Heads:
    """The entity and relation scorers over the vectors of one text's tokens."""

    def __init__(
        self, weights: Mapping[str, torch.Tensor], settings: Settings, folder: Path, device: torch.device, hidden: int
    ) -> None:
        import torch

        self.settings = settings
        ner, relation = (f"{settings.dataset}__{kind}_labels" for kind in ("ner", "relation"))

        def tensor(name: str) -> torch.Tensor:  # a copy: weights may be a mapped file
            if not isinstance(found := weights[name], torch.Tensor):
                raise KeyError(name)
            return found.float().to(device, copy=True)

        def layers(hidden: str, output: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
            count = sum(k.startswith(f"{hidden}._linear_layers.") and k.endswith(".weight") for k in weights)
            names = [*(f"{hidden}._linear_layers.{i}" for i in range(count)), output]
            return [(tensor(f"{n}.weight"), tensor(f"{n}.bias")) for n in names]

        try:
            self.width = tensor("_endpoint_span_extractor._span_width_embedding.weight")
            at = f"_ner._ner_scorers.{ner}"
            self.entity = layers(f"{at}.0._module", f"{at}.1._module")
            at = f"_relation._mention_pruners.{relation}._scorer"
            self.mention = layers(f"{at}.0._module", f"{at}.1._module")
            at = f"_relation._relation_feedforwards.{relation}"
            self.relation = layers(at, f"_relation._relation_scorers.{relation}")
        except KeyError as error:
            raise unreadable(folder, f"weights.th has no {error}") from None
        sizes = self.entity[-1][1].numel(), self.relation[-1][1].numel()
        if sizes != (len(settings.entities), len(settings.relations)):
            raise unreadable(folder, f"weights.th scores {sizes} labels, vocabulary/ names other numbers")
        span = 2 * hidden + self.width.shape[-1]
        networks = ((self.entity, span), (self.mention, span), (self.relation, 3 * span))
        if self.width.ndim != 2 or self.mention[-1][1].numel() != 1 or not all(_fits(*network) for network in networks):
            raise unreadable(folder, f"the heads in weights.th do not fit an encoder of {hidden} columns")
        if len(self.width) < settings.max_span_width:
            why = f"max_span_width is {settings.max_span_width}, but weights.th has {len(self.width)} widths"
            raise unreadable(folder, why)

    def __call__(self, vectors: torch.Tensor) -> tuple[list[Entity], list[Relation]]:
        import torch

        first, last = span_grid(len(vectors), self.settings.max_span_width)
        starts, ends = (torch.from_numpy(a).to(vectors.device) for a in (first, last))
        spans = torch.cat([vectors[starts], vectors[ends], self.width[ends - starts]], dim=1)
        found = _argmax_or_none(_scores(spans, self.entity))
        at = (found >= 0).nonzero()[:, 0]
        names = [self.settings.entities[i] for i in found[at].tolist()]
        entities = list(zip(starts[at].tolist(), ends[at].tolist(), names, strict=True))
        return entities, self._relations(spans, at, len(vectors))

    def _relations(self, spans: torch.Tensor, entities: torch.Tensor, n: int) -> list[Relation]:
        """Relations among the entities that survive pruning; those of other spans would be dropped anyway."""
        import torch

        mention = _scores(spans, self.mention)[:, 0]
        keep = math.ceil(np.float32(n) * np.float32(self.settings.spans_per_word))
        kept = torch.zeros(len(spans), dtype=torch.bool, device=spans.device)
        kept[mention.topk(min(max(keep, 1), len(spans))).indices] = True
        numbers = kept[entities].nonzero()[:, 0]
        if not len(numbers):
            return []
        a, m = spans[entities[numbers]], mention[entities[numbers]]
        (weight, bias), *rest = self.relation
        left, right, product = weight.split(a.shape[1], dim=1)  # of [a_i, a_j, a_i * a_j], never put together
        hidden = (a @ left.T)[:, None] + (a @ right.T)[None] + (a[:, None] * a[None]) @ product.T + bias
        found = _argmax_or_none(_scores(hidden.relu(), rest) + (m[:, None] + m[None])[..., None])
        pairs = (found >= 0).nonzero()
        of = numbers.tolist()
        return [
            (of[i], of[j], self.settings.relations[label])
            for (i, j), label in zip(pairs.tolist(), found[pairs[:, 0], pairs[:, 1]].tolist(), strict=True)
        ]


def _fits(layers: Sequence[tuple[torch.Tensor, torch.Tensor]], inputs: int) -> bool:
    """Whether each layer takes what the one before it gives."""
    sizes = [inputs, *(bias.numel() for _, bias in layers)]
    shapes = ((outputs, taken) for taken, outputs in pairwise(sizes))
    return all(w.shape == shape and b.ndim == 1 for (w, b), shape in zip(layers, shapes, strict=True))


def _scores(x: torch.Tensor, layers: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Any:
    """A feed-forward network with ReLU between its layers."""
    from torch.nn.functional import linear

    for weight, bias in layers[:-1]:
        x = linear(x, weight, bias).relu()
    return linear(x, *layers[-1])


def _argmax_or_none(scores: torch.Tensor) -> torch.Tensor:
    """Index of the highest score along the last axis, -1 where none is above 0 (the score of "nothing")."""
    best = scores.max(dim=-1)
    return best.indices.where(best.values > 0, -1)
