"""The CheXbert model: the official checkpoint over our encoder, read into classes and an embedding of each report.

Preprocessing as the package f1chexbert 0.0.2: white space collapsed, bert-base-uncased word pieces, a text beyond 512 of them
cut to 511 and [SEP]; the last hidden state of [CLS] goes through 13 four-way heads and a two-way one. No transformers model is
involved, see :mod:`radbench.metrics.clinical.encoders`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from radbench.metrics.base import ratio
from radbench.metrics.clinical.encoders import Encoder, load_state, on_device
from radbench.metrics.clinical.fingerprints import fingerprint, present
from radbench.metrics.clinical.kept import Kept
from radbench.metrics.clinical.subwords import load_tokens, read_json
from radbench.metrics.clinical.weights import BERT_VOCABULARY, find, required
from radbench.metrics.findings.observations import CLASSES, OBSERVATIONS

from radbench.errors import ConfigError
from radbench.statistics import Floats

if TYPE_CHECKING:
    import torch

CHECKPOINT = (("chexbert.pth",),)
_KEPT_BYTES = 256 << 20


def cosines(a: np.ndarray, b: np.ndarray) -> Floats:
    """Cosine of each row of (n, d) with its partner, float64; 0 where one is all zero."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return ratio((a * b).sum(axis=1), np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1)), undefined=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What CheXbert says about one report: 14 classes (int8) and the [CLS] embedding (float32, 768 wide)."""

    classes: np.ndarray
    embedding: np.ndarray


class Labeler:
    """The official checkpoint ``chexbert.pth``. Raises :class:`ConfigError` where its files are absent or damaged.

    ``folder``: where they are (default: the places of :mod:`radbench.metrics.clinical.weights`). ``dtype="bfloat16"`` is
    faster on machines with bf16 units and may change a label near a tie. ``device``: ``cpu``, ``cuda`` or ``auto``.
    """

    def __init__(self, folder: str = "", dtype: str = "float32", device: str = "auto") -> None:
        checkpoint = required("chexbert", CHECKPOINT, folder) / "chexbert.pth"
        vocabulary = vocabulary_folder(folder) or required("bert-base-uncased", BERT_VOCABULARY, folder)
        self._tokens = load_tokens(vocabulary)
        state = load_state(checkpoint).get("model_state_dict")
        if not isinstance(state, dict):
            raise ConfigError(f"{checkpoint} has no 'model_state_dict'", remedy="radbench fetch weights chexbert")
        config = read_json(vocabulary / "config.json")
        self._encoder = Encoder(state, config, dtype=dtype, device=on_device(device), source=str(checkpoint))
        self._encoder.require(self._tokens)
        self._heads = _heads(state, self._encoder.width, checkpoint)
        self._kept: Kept[Reading] = Kept(lambda r: r.embedding.nbytes + 300, _KEPT_BYTES)

    def tokens(self, text: str) -> tuple[int, ...]:
        """Word pieces of a report as f1chexbert feeds them: white space collapsed, at most 512 with [CLS] and [SEP]."""
        return self._tokens.framed(" ".join(text.split()))

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Classes and embedding of each text; equal texts and texts seen before are computed once."""
        return self._kept.get(texts, self._read)

    def _read(self, texts: list[str]) -> list[Reading]:
        import torch

        hidden = torch.stack(self._encoder([self.tokens(t) for t in texts], first_only=True))
        classes = torch.stack([(hidden @ w.T + b).argmax(dim=1) for w, b in self._heads], dim=1)
        return [Reading(c, h.copy()) for c, h in zip(classes.numpy().astype(np.int8), hidden.numpy(), strict=True)]

    def classes(self, texts: Sequence[str]) -> np.ndarray:
        """(n, 14) int8: 0 blank, 1 positive, 2 negative, 3 uncertain."""
        return np.array([r.classes for r in self.read(texts)], np.int8).reshape(len(texts), len(OBSERVATIONS))

    def embeddings(self, texts: Sequence[str]) -> np.ndarray:
        """(n, 768) float32: the last hidden state of [CLS], before dropout and heads."""
        return np.array([r.embedding for r in self.read(texts)], np.float32)


def vocabulary_folder(folder: str) -> Path | None:
    """The folder of bert-base-uncased's word pieces: in or beside the given one, else where it usually is."""
    return (
        find("bert-base-uncased", BERT_VOCABULARY, folder)
        or find("chexbert", (*CHECKPOINT, *BERT_VOCABULARY), folder)
        or find("bert-base-uncased", BERT_VOCABULARY)
    )


def _heads(state: Mapping[str, object], width: int, checkpoint: Path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weight and bias of each observation's classifier: four classes, two of the last."""
    import torch

    named = {name.replace("module.", ""): tensor for name, tensor in state.items()}

    def tensor(name: str, *shape: int) -> torch.Tensor:
        found = named.get(name)
        if not isinstance(found, torch.Tensor) or found.shape != shape:
            has = f"'{name}' of the shape {tuple(found.shape)}" if isinstance(found, torch.Tensor) else f"no '{name}'"
            raise ConfigError(f"{checkpoint} has {has}, expected {shape}", remedy="radbench fetch weights chexbert")
        return found.float()

    sizes = [len(CLASSES)] * (len(OBSERVATIONS) - 1) + [2]
    return [
        (tensor(f"linear_heads.{i}.weight", size, width), tensor(f"linear_heads.{i}.bias", size))
        for i, size in enumerate(sizes)
    ]


def weights_mark(folder: str = "") -> str:
    """The fingerprint of checkpoint and vocabulary, ``absent`` where one is."""
    checkpoint, vocabulary = find("chexbert", CHECKPOINT, folder), vocabulary_folder(folder)
    if checkpoint is None or vocabulary is None:
        return "absent"
    return fingerprint([checkpoint / "chexbert.pth", *present(vocabulary)])


def labeler(folder: str = "", dtype: str = "float32", device: str = "auto") -> Labeler:
    """The labeler of a folder, loaded once a process, and again where its files have changed."""
    return _labeler(folder, dtype, device, weights_mark(folder))


@lru_cache(maxsize=2)
def _labeler(folder: str, dtype: str, device: str, mark: str) -> Labeler:
    return Labeler(folder, dtype, device)
