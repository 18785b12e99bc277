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
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from radbench.metrics.clinical.dygie_heads import Entity, Heads, Relation
from radbench.metrics.clinical.encoders import load_state
from radbench.metrics.clinical.radgraph_checkpoint import Checkpoint, unreadable
from radbench.metrics.clinical.subwords import load_tokens, read_json

from radbench.errors import ConfigError

if TYPE_CHECKING:
    import torch

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


def batches(rows: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Indices of rows, longest first, in batches of at most ``size`` ids after padding."""
    order = iter(sorted(range(len(rows)), key=lambda i: -len(rows[i])))
    while (longest := next(order, None)) is not None:
        yield [longest, *islice(order, max(1, size // max(1, len(rows[longest]))) - 1)]


class Dygie:
    """A loaded checkpoint. :meth:`extract` is the whole interface.

    ``device`` is any torch device; float32 throughout. Raises ConfigError where files are missing or do not fit.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        import torch

        folder, self.settings = checkpoint.folder, checkpoint.settings
        self.device = torch.device(device)
        vocabulary = load_tokens(checkpoint.tokenizer)  # tells what is wrong with one, as transformers does not
        config, self._tokenizer = _encoder_files(checkpoint)
        self._pieces: dict[str, list[int]] = {}
        self._first, self._last = self._special()
        # What the original calls to wrap a window does nothing in tokenisers without a class of their own.
        self._wrapped = config.model_type != "modernbert"
        weights = load_state(folder / "weights.th")
        self._encoder = _encoder(config, weights, checkpoint)
        vocabulary.require_rows(len(self._encoder.get_input_embeddings().weight))
        self._encoder.to(self.device).eval()
        self._heads = Heads(weights, self.settings, folder, self.device, int(config.hidden_size))

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


def _encoder_files(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """The encoder's configuration and tokeniser, as transformers reads them. Raises ConfigError where a file is damaged."""
    from transformers import AutoConfig, AutoTokenizer

    read_json(checkpoint.encoder / "config.json")
    read_json(checkpoint.tokenizer / "tokenizer.json")
    try:
        config = AutoConfig.from_pretrained(str(checkpoint.encoder), local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(str(checkpoint.tokenizer), use_fast=True, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        why = f"transformers cannot read its encoder in {checkpoint.encoder} ({type(error).__name__})"
        raise unreadable(checkpoint.folder, why) from error
    return config, tokenizer


def _encoder(config: Any, weights: Mapping[str, torch.Tensor], checkpoint: Checkpoint) -> Any:
    """The encoder of a configuration with the weights of a checkpoint. Raises ConfigError where they do not fit."""
    import torch
    from transformers import AutoModel

    own = {k.removeprefix(_ENCODER): v for k, v in weights.items() if k.startswith(_ENCODER)}
    own.pop("embeddings.position_ids", None)  # of transformers before 4.31
    try:
        with torch.random.fork_rng(devices=[]):  # building it draws weights that are then replaced
            encoder = AutoModel.from_config(config).float()
        encoder.load_state_dict(own)
    except (RuntimeError, ValueError, TypeError) as error:
        *_, why = str(error).splitlines()[:2] or [type(error).__name__]
        raise unreadable(
            checkpoint.folder, f"its encoder is not the one of {checkpoint.encoder}: {why.strip()}"
        ) from None
    return encoder
