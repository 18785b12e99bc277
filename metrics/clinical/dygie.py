"""DyGIE++ (Wadden et al. 2019), the span and relation extractor behind RadGraph: the forward pass alone.

What radgraph 0.1.18 computes through its vendored AllenNLP, for any checkpoint folder of its layout (``config.json``,
``vocabulary/``, ``weights.th``), on transformers 4.57 and 5. The steps, for the tokens of one report:

1. each token is cut into word pieces on its own; an encoder such as BERT embeds the pieces, in windows of ``max_length``;
   a token's vector is the mean of its pieces';
2. a span of up to ``max_span_width`` tokens is its first vector, its last vector and an embedding of its width;
3. a span is the entity of the highest score, or none where no score is above 0;
4. the ``spans_per_word`` x tokens spans with the best mention scores are paired: a pair is the relation of the highest
   score (of the pair plus both mention scores), or none where none is above 0.

Coreference and event heads are in the checkpoints but take no part in the annotation; ``coref_prop`` above 0 would.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from radbench.metrics.clinical.radgraph_checkpoint import Settings, unreadable

from radbench.errors import ConfigError

if TYPE_CHECKING:
    import torch

Entity = tuple[int, int, str]  # first token, last token (inclusive), label
Relation = tuple[int, int, str]  # indices of two entities, label
Place = tuple[int, int]  # row and column of a piece among the encoder's inputs

PIECES_A_BATCH = {"cpu": 256, "cuda": 16_384}  # after padding; more is no faster on a CPU
_ENCODER = "_embedder.token_embedder_bert._matched_embedder.transformer_model."


def fold(
    words: Sequence[Sequence[int]], first: int, last: int, limit: int | None, wrapped: bool
) -> tuple[list[list[int]], list[list[Place]]]:
    """The encoder's input rows for the word pieces of one text, and where the pieces of each word lie in them.

    With a ``limit``, pieces are cut into windows of ``limit - 2``, each ``wrapped`` by the ids ``first`` and ``last``; what
    is longer than the limit becomes several rows. Places count from a leading ``first`` even where windows are not
    wrapped, so that words then take the vector of the piece after theirs, as the original does.
    """
    pieces = [piece for word in words for piece in word]
    if limit is None:
        flat = [first, *pieces, last]
    else:
        windows = [pieces[i : i + limit - 2] for i in range(0, len(pieces), limit - 2)]
        flat = [piece for window in windows for piece in ([first, *window, last] if wrapped else window)]
    if limit is None or len(flat) <= limit:
        rows, positions = [flat], list(range(len(flat)))
    else:
        rows, positions = [flat[i : i + limit] for i in range(0, len(flat), limit)], _unfolded(len(flat), limit)
    places: list[list[Place]] = []
    start = 1
    for word in words:
        columns = positions[start : start + len(word)]
        places.append([divmod(p, limit) if limit else (0, p) for p in columns])
        start += len(word)
    return (rows if flat else []), places


def _unfolded(length: int, limit: int) -> list[int]:
    """Positions that remain of ``length`` folded ones once the inner rows' first and last are dropped."""
    rows = math.ceil(length / limit)
    inner = [row * limit + column for row in range(rows) for column in range(1, limit - 1)]
    inner[length - 2 * rows :] = [length - 1]
    return [0, *inner][: length - 2 * (rows - 1)]


def span_grid(n: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last tokens of all spans of up to ``width`` of ``n`` tokens, by first and then last: two (m,) int arrays."""
    starts, ends = np.divmod(np.arange(n * width), width)
    ends = starts + ends
    inside = ends < n
    return starts[inside], ends[inside]


def batches(rows: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Indices of rows, longest first, in batches of at most ``size`` ids after padding."""
    order = iter(sorted(range(len(rows)), key=lambda i: -len(rows[i])))
    while (longest := next(order, None)) is not None:
        yield [longest, *islice(order, max(1, size // max(1, len(rows[longest]))) - 1)]


class Dygie:
    """A loaded checkpoint. :meth:`extract` is the whole interface.

    ``device`` is any torch device; float32 throughout. Raises ConfigError where files are missing or do not fit.
    """

    def __init__(self, folder: Path, dataset: str, encoder: Path, tokenizer: Path, device: str = "cpu") -> None:
        import torch
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        self.settings = Settings.read(folder, dataset)
        self.device = torch.device(device)
        self._tokenizer = AutoTokenizer.from_pretrained(str(tokenizer), use_fast=True, local_files_only=True)
        self._pieces: dict[str, list[int]] = {}
        self._first, self._last = self._special()
        config = AutoConfig.from_pretrained(str(encoder), local_files_only=True)
        # What the original calls to wrap a window does nothing in tokenisers without a class of their own.
        self._wrapped = config.model_type != "modernbert"
        weights = _load(folder)
        with torch.random.fork_rng(devices=[]):  # building it draws weights that are then replaced
            self._encoder = AutoModel.from_config(config).float()
        own = {k.removeprefix(_ENCODER): v for k, v in weights.items() if k.startswith(_ENCODER)}
        own.pop("embeddings.position_ids", None)  # of transformers before 4.31
        try:
            self._encoder.load_state_dict(own)
        except RuntimeError as error:
            why = f"its encoder is not the one of {encoder}: {str(error).splitlines()[1].strip()}"
            raise unreadable(folder, why) from None
        self._encoder.to(self.device).eval()
        self._heads = _Heads(weights, self.settings, folder, self.device)

    def extract(self, texts: Sequence[Sequence[str]]) -> list[tuple[list[Entity], list[Relation]]]:
        """Entities in reading order, and relations between them, of tokenised texts."""
        import torch

        with torch.inference_mode():
            return [self._heads(vectors) if len(vectors) else ([], []) for vectors in self._word_vectors(texts)]

    def _word_vectors(self, texts: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """(n, hidden) vectors of each text's tokens; a token without pieces has zeros."""
        folded = [
            fold(words, self._first, self._last, self.settings.max_pieces, self._wrapped) for words in self._cut(texts)
        ]
        rows = [row for text_rows, _ in folded for row in text_rows]
        embedded = self._embed(rows)
        vectors = []
        taken = 0
        for text_rows, places in folded:
            vectors.append(self._pool(embedded[taken : taken + len(text_rows)], places))
            taken += len(text_rows)
        return vectors

    def _pool(self, rows: Sequence[torch.Tensor], places: Sequence[Sequence[Place]]) -> torch.Tensor:
        import torch

        out = torch.zeros(len(places), self._encoder.config.hidden_size, device=self.device)
        if not rows:
            return out
        starts = np.cumsum([0, *(len(row) for row in rows)])
        source = torch.tensor([int(starts[r]) + c for word in places for r, c in word], device=self.device)
        counts = torch.tensor([len(word) for word in places], device=self.device)
        owner = torch.repeat_interleave(torch.arange(len(places), device=self.device), counts)
        out.index_add_(0, owner, torch.cat(list(rows))[source.long()])
        return out / counts.clamp(min=1)[:, None]

    def _embed(self, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """(length, hidden) last hidden states of each row, padded together with rows of like length."""
        import torch

        out: list[torch.Tensor] = [torch.empty(0)] * len(rows)
        for batch in batches(rows, PIECES_A_BATCH.get(self.device.type, 256)):
            ids = torch.zeros(len(batch), len(rows[batch[0]]), dtype=torch.long)
            mask = torch.zeros_like(ids)
            for k, i in enumerate(batch):
                ids[k, : len(rows[i])] = torch.tensor(rows[i])
                mask[k, : len(rows[i])] = 1
            hidden = self._encoder(input_ids=ids.to(self.device), attention_mask=mask.to(self.device))[0]
            for k, i in enumerate(batch):
                out[i] = hidden[k, : len(rows[i])]
        return out

    def _cut(self, texts: Sequence[Sequence[str]]) -> list[list[list[int]]]:
        """Word pieces of each token, cut on its own; what was cut before is looked up."""
        if len(self._pieces) > 200_000:
            self._pieces.clear()
        new = list(dict.fromkeys(w for text in texts for w in text if w not in self._pieces))
        if new:
            cut = self._tokenizer([w[1:] if w in ("/.", "/?") else w for w in new], add_special_tokens=False)
            self._pieces.update(zip(new, cut["input_ids"], strict=True))
        return [[self._pieces[w] for w in text] for text in texts]

    def _special(self) -> tuple[int, int]:
        ids = self._tokenizer("a")["input_ids"]
        if len(ids) != 2 + len(self._tokenizer("a", add_special_tokens=False)["input_ids"]):
            raise ConfigError(f"the tokeniser {self.settings.tokenizer} does not wrap a text in two special tokens")
        return ids[0], ids[-1]


def _load(folder: Path) -> Mapping[str, torch.Tensor]:
    """The tensors of ``weights.th``, mapped where its format allows."""
    import torch

    file = folder / "weights.th"
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file) or None)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise unreadable(folder, f"weights.th is damaged: {type(error).__name__}") from None


class _Heads:
    """The entity and relation scorers over the vectors of one text's tokens."""

    def __init__(
        self, weights: Mapping[str, torch.Tensor], settings: Settings, folder: Path, device: torch.device
    ) -> None:
        self.settings = settings
        ner, relation = (f"{settings.dataset}__{kind}_labels" for kind in ("ner", "relation"))

        def tensor(name: str) -> torch.Tensor:  # a copy: weights may be a mapped file
            return weights[name].float().to(device, copy=True)

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
        sizes = len(self.entity[-1][1]), len(self.relation[-1][1])
        if sizes != (len(settings.entities), len(settings.relations)):
            raise unreadable(folder, f"weights.th scores {sizes} labels, vocabulary/ names other numbers")

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
