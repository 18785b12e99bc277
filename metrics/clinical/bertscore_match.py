"""Token embeddings of texts and their greedy matching by cosine, the core of BERTScore, with its document frequencies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from radbench.metrics.clinical.encoders import Encoder, load_state, model_file, on_device
from radbench.metrics.clinical.fingerprints import fingerprint, present
from radbench.metrics.clinical.kept import Kept
from radbench.metrics.clinical.subwords import load_tokens, number, read_json
from radbench.metrics.clinical.weights import MODEL, find, required

from radbench.errors import ConfigError
from radbench.statistics import Floats

_KEPT_BYTES = 512 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Idf:
    """How many of ``documents`` texts hold each token: ``ids`` (k,) ascending, ``counts`` (k,)."""

    documents: int
    ids: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, texts: Iterable[Sequence[int]]) -> Idf:
        """From the framed token ids of each text."""
        seen: Counter[int] = Counter()
        documents = 0
        for tokens in texts:
            seen.update(set(tokens))
            documents += 1
        ids = sorted(seen)
        return cls(documents, np.array(ids, np.int32), np.array([seen[i] for i in ids], np.int64))

    def weights(self, tokens: Sequence[int]) -> np.ndarray:
        """(len,) float32 of log((documents + 1) / (holding + 1)): 0 for what every text has, as the special tokens."""
        wanted = np.asarray(tokens, np.int32)
        at = np.minimum(np.searchsorted(self.ids, wanted), max(len(self.ids) - 1, 0))
        known = self.ids[at] == wanted if len(self.ids) else np.zeros(len(wanted), bool)
        holding = np.where(known, self.counts[at], 0) if len(self.ids) else np.zeros(len(wanted))
        return np.log((self.documents + 1) / (holding + 1)).astype(np.float32)

    def digest(self) -> str:
        """12 hexadecimal digits that tell two tables apart."""
        content = self.ids.tobytes() + self.counts.tobytes() + str(self.documents).encode()
        return sha256(content).hexdigest()[:12]


def match(answer: np.ndarray, reference: np.ndarray, answer_idf: np.ndarray, reference_idf: np.ndarray) -> Floats:
    """(3,) precision, recall, F of unit token embeddings (a, d), (r, d), special tokens first and last, under weights.

    0 where either has special tokens only; F is 0 where it is undefined, P and R are nan where all their weights are 0.
    """
    if len(answer) <= 2 or len(reference) <= 2:
        return np.zeros(3)
    cosine = answer @ reference.T
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = float((cosine.max(axis=1) * (answer_idf / answer_idf.sum())).sum())
        recall = float((cosine.max(axis=0) * (reference_idf / reference_idf.sum())).sum())
    total = precision + recall
    return np.array([precision, recall, 2 * precision * recall / total if total else 0.0 if total == 0 else np.nan])


class Matcher:
    """A model folder and layer that score pairs; embeddings are computed once a text and kept in bounded memory.

    Raises :class:`ConfigError` where the model is absent, damaged or of another architecture.
    """

    def __init__(self, model: str, layer: int, weights: str = "", device: str = "auto") -> None:
        folder = model_folder(model, weights) or required(model, MODEL, weights)
        self._tokens = load_tokens(folder)
        config = read_json(folder / "config.json")
        deepest = int(
            number(config, "n_layers" if config.get("model_type") == "distilbert" else "num_hidden_layers", 12)
        )
        if not 0 <= layer <= deepest:
            raise ConfigError(f"layer is {layer}, but {model} has {deepest}", remedy=f"give layer=0 to {deepest}")
        file = model_file(folder)
        self._encoder = Encoder(load_state(file), config, layers=layer, device=on_device(device), source=str(file))
        self._encoder.require(self._tokens)
        self._kept: Kept[np.ndarray] = Kept(lambda e: int(e.nbytes), _KEPT_BYTES)
        self._ids: Kept[tuple[int, ...]] = Kept(lambda ids: 8 * len(ids) + 100, _KEPT_BYTES // 8)

    def tokens(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The framed token ids of each text."""
        return self._ids.get(texts, lambda new: [self._tokens.framed(t.strip()) for t in new])

    def embeddings(self, texts: Sequence[str]) -> list[np.ndarray]:
        """(tokens, width) float32 of each text, rows of length 1."""
        return self._kept.get(texts, self._embed)

    def _embed(self, texts: list[str]) -> list[np.ndarray]:
        hidden = self._encoder(self.tokens(texts))
        return [(h / h.norm(dim=1, keepdim=True)).numpy() for h in hidden]

    def score(self, answers: Sequence[str], references: Sequence[Sequence[str]], idf: Idf | None) -> Floats:
        """(n, 3) precision, recall, F of answers with their references, each part the best over a pair's references."""
        flat = [*answers, *(r for alternatives in references for r in alternatives)]
        made = dict(zip(flat, zip(self.embeddings(flat), self._weights(flat, idf), strict=True), strict=True))
        out = np.full((len(answers), 3), -np.inf)
        for i, (answer, alternatives) in enumerate(zip(answers, references, strict=True)):
            for reference in alternatives:
                (a, a_idf), (r, r_idf) = made[answer], made[reference]
                out[i] = np.maximum(out[i], match(a, r, a_idf, r_idf))
        return out

    def _weights(self, texts: Sequence[str], idf: Idf | None) -> list[np.ndarray]:
        tokens = self.tokens(texts)
        if idf is not None:
            return [idf.weights(ids) for ids in tokens]
        special = (self._tokens.start, self._tokens.end)
        return [(~np.isin(ids, special)).astype(np.float32) for ids in tokens]

    def idf(self, texts: Iterable[str]) -> Idf:
        """Inverse document frequencies of tokens over texts, repetitions counting each time."""
        return Idf.of(self._tokens.framed(t.strip()) for t in texts)


def matcher(model: str, layer: int, weights: str = "", device: str = "auto") -> Matcher:
    """The matcher of a model and layer, loaded once a process, and again where its files have changed."""
    return _matcher(model, layer, weights, device, weights_mark(model, weights))


@lru_cache(maxsize=2)
def _matcher(model: str, layer: int, weights: str, device: str, mark: str) -> Matcher:
    return Matcher(model, layer, weights, device)


def weights_mark(model: str, weights: str = "") -> str:
    """The fingerprint of a model's folder, ``absent`` where there is none."""
    folder = model_folder(model, weights)
    return fingerprint(present(folder, "model.safetensors", "pytorch_model.bin")) if folder else "absent"


def model_folder(model: str, weights: str = "") -> Path | None:
    """Where a model lies: a folder given as ``model`` itself, below ``weights``, or in the usual places."""
    here = Path(model).expanduser()
    return here if (here / "config.json").is_file() else find(model, MODEL, weights)
