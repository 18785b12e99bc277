"""BERT, RoBERTa and DistilBERT encoders on the CPU or a GPU, fed without padding.

The forward pass is written out (Devlin et al. 2019; checkpoints as transformers stores them), so the values do not
depend on the version of transformers. Texts are sorted by length and packed one behind the other: linear layers see one
(tokens, width) matrix, attention sees the texts of equal length together, and no row is spent on padding.
"""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from radbench.errors import ConfigError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
PACK_TOKENS = 1024  # rows of a packed batch: enough for full-speed matrix products, small enough for the caches


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a .safetensors file, or of a torch file without objects. Raises :class:`ConfigError`."""
    import pickle

    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        # Only the newer zip form can be mapped instead of read.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path) or None)
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ConfigError(
            f"{path} is no checkpoint that can be loaded safely: {error}", remedy="fetch it again"
        ) from error
    if not isinstance(state, Mapping):
        raise ConfigError(
            f"{path} holds a {type(state).__name__}, expected a mapping of tensors", remedy="fetch it again"
        )
    return dict(state)


def load_model_state(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a model folder, ``model.safetensors`` before ``pytorch_model.bin``."""
    return load_state(next(p for n in ("model.safetensors", "pytorch_model.bin") if (p := folder / n).exists()))


@dataclass(frozen=True, slots=True)
class Layer:
    """One transformer layer; matrices as torch stores them, (out, in)."""

    qkv: torch.Tensor
    qkv_bias: torch.Tensor
    out: torch.Tensor
    out_bias: torch.Tensor
    norm: tuple[torch.Tensor, torch.Tensor]
    up: torch.Tensor
    up_bias: torch.Tensor
    down: torch.Tensor
    down_bias: torch.Tensor
    last_norm: tuple[torch.Tensor, torch.Tensor]


_BERT_PARTS = (
    ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)
_DISTILBERT_PARTS = (
    ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    "attention.out_lin",
    "sa_layer_norm",
    "ffn.lin1",
    "ffn.lin2",
    "output_layer_norm",
)


class Encoder:
    """The embeddings and the first ``layers`` layers of a BERT, RoBERTa or DistilBERT.

    ``state`` is a state dict with any prefix before ``embeddings.``; ``config`` the folder's config.json (BERT-base where
    a field is absent). ``dtype``: float32, or bfloat16 for the matrix products, sums and norms staying float32.
    Raises :class:`ConfigError` where a tensor is missing or the architecture is another.
    """

    def __init__(
        self,
        state: Mapping[str, torch.Tensor],
        config: Mapping[str, Any],
        layers: int | None = None,
        dtype: str = "float32",
        device: str = "cpu",
    ) -> None:
        import torch

        kind = config.get("model_type", "bert")
        if kind not in ("bert", "roberta", "distilbert"):
            raise ConfigError(
                f"an encoder of type '{kind}' is not supported", remedy="use a BERT, RoBERTa or DistilBERT"
            )
        if config.get("hidden_act", config.get("activation", "gelu")) != "gelu":
            raise ConfigError("only encoders with the exact gelu are supported", remedy="use another checkpoint")
        self.device, self.dtype = torch.device(device), getattr(torch, dtype)
        self._tensors = _named(state)
        words = self._float("embeddings.word_embeddings.weight")
        self.width = words.shape[1]
        self.heads = int(config.get("num_attention_heads", config.get("n_heads", self.width // 64)))
        self.eps = float(config.get("layer_norm_eps", 1e-12))
        self.first_position = int(config.get("pad_token_id", 1)) + 1 if kind == "roberta" else 0
        self.words = words
        self.positions = self._float("embeddings.position_embeddings.weight")
        if kind != "distilbert":  # every token is of the first type
            self.positions = self.positions + self._float("embeddings.token_type_embeddings.weight")[0]
        self.norm = self._pair("embeddings.LayerNorm")
        count = 1 + max(int(n.split(".")[2]) for n in self._tensors if ".layer." in n) if layers is None else layers
        self.layers = [self._layer(kind, i) for i in range(count)]
        self._tensors = {}

    def _float(self, name: str) -> torch.Tensor:
        if name not in self._tensors:
            raise ConfigError(f"the checkpoint has no tensor '{name}'", remedy="fetch the official checkpoint again")
        import torch

        # A copy: a checkpoint that is rewritten while its pages are mapped would end the process.
        return self._tensors[name].to(self.device, torch.float32, copy=True)

    def _pair(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self._float(f"{name}.weight"), self._float(f"{name}.bias")

    def _layer(self, kind: str, i: int) -> Layer:
        start, parts = ("transformer", _DISTILBERT_PARTS) if kind == "distilbert" else ("encoder", _BERT_PARTS)
        inner, out, norm, up, down, last = parts
        at = f"{start}.layer.{i}"
        import torch

        def matrix(name: str) -> tuple[torch.Tensor, torch.Tensor]:
            weight, bias = self._pair(f"{at}.{name}")
            return weight.to(self.dtype), bias.to(self.dtype)

        qkv = [matrix(name) for name in inner]
        return Layer(
            torch.cat([w for w, _ in qkv]),
            torch.cat([b for _, b in qkv]),
            *matrix(str(out)),
            self._pair(f"{at}.{norm}"),
            *matrix(str(up)),
            *matrix(str(down)),
            self._pair(f"{at}.{last}"),
        )

    def __call__(self, texts: Sequence[Sequence[int]], first_only: bool = False) -> list[torch.Tensor]:
        """Hidden states (tokens, width) float32 of each text on the CPU, or (width,) of its first token alone."""
        import torch

        out: list[Any] = [None] * len(texts)
        with torch.inference_mode():
            for pack in packs([len(t) for t in texts]):
                chosen = [texts[i] for i in pack]
                hidden = self._pack(chosen, first_only).float().cpu()
                parts = hidden.unbind(0) if first_only else hidden.split([len(t) for t in chosen])
                for i, part in zip(pack, parts, strict=True):
                    out[i] = part.clone()  # else the whole pack stays alive with it
        return out

    def _pack(self, texts: Sequence[Sequence[int]], first_only: bool) -> torch.Tensor:
        import torch
        from torch.nn.functional import embedding, gelu, layer_norm, linear

        lengths = [len(t) for t in texts]
        ids = torch.tensor([i for t in texts for i in t], device=self.device)
        places = torch.cat([torch.arange(n) for n in lengths]).to(self.device) + self.first_position
        shape = (self.width,)
        h = layer_norm(embedding(ids, self.words) + embedding(places, self.positions), shape, *self.norm, self.eps)
        for i, layer in enumerate(self.layers):
            last = first_only and i == len(self.layers) - 1
            attended = self._attend(linear(h.to(self.dtype), layer.qkv, layer.qkv_bias), lengths, last)
            if last:  # what follows works row by row, so the other rows need not be computed
                h = _first_rows(h, lengths)
            h = layer_norm(h + linear(attended, layer.out, layer.out_bias), shape, *layer.norm, self.eps)
            inner = gelu(linear(h.to(self.dtype), layer.up, layer.up_bias))
            h = layer_norm(h + linear(inner, layer.down, layer.down_bias), shape, *layer.last_norm, self.eps)
        return _first_rows(h, lengths) if first_only and not self.layers else h

    def _attend(self, qkv: torch.Tensor, lengths: Sequence[int], first_only: bool) -> torch.Tensor:
        """Attention within each text: texts of one length go together, so nothing is masked."""
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        done, start = [], 0
        for length, run in groupby(lengths):
            count = len(list(run))
            block = qkv[start : start + count * length].view(count, length, 3, self.heads, self.width // self.heads)
            q, k, v = block.permute(2, 0, 3, 1, 4)
            if first_only:
                q = q[:, :, :1]
            mixed = scaled_dot_product_attention(q, k, v)
            done.append(mixed.transpose(1, 2).reshape(-1, self.width))
            start += count * length
        return torch.cat(done)


def _named(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors by their name from ``embeddings.`` / ``encoder.`` / ``transformer.`` on, with the norms' older names mapped."""
    named = {}
    for name, tensor in state.items():
        for root in ("embeddings.", "encoder.", "transformer."):
            if (at := name.find(root)) >= 0 and (at == 0 or name[at - 1] == "."):
                own = (
                    name[at:].replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
                )
                named[own] = tensor
                break
    return named


def _first_rows(hidden: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    import torch

    ends = torch.tensor(lengths).cumsum(0)
    return hidden[(ends - torch.tensor(lengths)).to(hidden.device)]


def packs(lengths: Sequence[int], budget: int = PACK_TOKENS) -> Iterator[list[int]]:
    """Indices of texts by length, in packs of at most ``budget`` tokens (a longer text is alone)."""
    pack: list[int] = []
    tokens = 0
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if pack and tokens + lengths[i] > budget:
            yield pack
            pack, tokens = [], 0
        pack.append(i)
        tokens += lengths[i]
    if pack:
        yield pack


def on_device(device: str) -> str:
    """``auto`` as the machine has it: cuda, else cpu."""
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


# --- what was computed is kept ---


class Kept(Generic[T]):
    """Results by text, each computed once, the least recently used forgotten beyond ``limit`` bytes (as ``size`` counts)."""

    def __init__(self, size: Callable[[T], int], limit: int) -> None:
        self._size, self._limit, self._held = size, limit, 0
        self._results: OrderedDict[bytes, T] = OrderedDict()
        self._lock = RLock()

    def get(self, texts: Sequence[str], compute: Callable[[list[str]], Sequence[T]]) -> list[T]:
        """The result of each text, ``compute`` being called once with those that are not held."""
        keys = [blake2b(t.encode("utf-8", "surrogatepass"), digest_size=16).digest() for t in texts]
        with self._lock:
            found = {k: self._results[k] for k in keys if k in self._results}
            new = {k: t for k, t in zip(keys, texts, strict=True) if k not in found}
            if new:
                found.update(zip(new, compute(list(new.values())), strict=True))
            for key in new:
                self._results[key] = found[key]
                self._held += self._size(found[key])
            for key in keys:
                self._results.move_to_end(key)
            while self._held > self._limit:
                self._held -= self._size(self._results.popitem(last=False)[1])
        return [found[k] for k in keys]

    def __len__(self) -> int:
        return len(self._results)
