"""BERT, RoBERTa and DistilBERT encoders on the CPU or a GPU, fed without padding.

The forward pass is written out (Devlin et al. 2019; checkpoints as transformers stores them), so the values do not
depend on the version of transformers. Texts are sorted by length and packed one behind the other: linear layers see one
(tokens, width) matrix, attention sees the texts of equal length together, and no row is spent on padding.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radbench.metrics.clinical.subwords import AGAIN, Tokens, number

from radbench.errors import ConfigError

if TYPE_CHECKING:
    import torch

PACK_TOKENS = 1024  # rows of a packed batch: enough for full-speed matrix products, small enough for the caches


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a .safetensors file, or of a torch file without objects. Raises :class:`ConfigError`."""
    import pickle

    import torch
    from safetensors import SafetensorError

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        # Only the newer zip form can be mapped instead of read.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path) or None)
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        # torch's own text goes on for lines and advises to load it unsafely.
        why = type(error).__name__
        raise ConfigError(f"{path} is no checkpoint that can be loaded safely: {why}", remedy=AGAIN) from None
    if not isinstance(state, Mapping):
        raise ConfigError(f"{path} holds a {type(state).__name__}, expected a mapping of tensors", remedy=AGAIN)
    return dict(state)


def model_file(folder: Path) -> Path:
    """The weights of a model folder, ``model.safetensors`` before ``pytorch_model.bin``."""
    return next(p for n in ("model.safetensors", "pytorch_model.bin") if (p := folder / n).exists())


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
    ``source``: what an error calls the checkpoint. Raises :class:`ConfigError` where a tensor is missing or of another shape,
    or the architecture is another.
    """

    def __init__(
        self,
        state: Mapping[str, torch.Tensor],
        config: Mapping[str, Any],
        layers: int | None = None,
        dtype: str = "float32",
        device: str = "cpu",
        source: str = "the checkpoint",
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
        self._tensors, self._source = _named(state), source
        self.words = self._float("embeddings.word_embeddings.weight", -1, -1)
        self.width = width = self.words.shape[1]
        heads = "n_heads" if kind == "distilbert" else "num_attention_heads"
        self.heads = int(number(config, heads, max(1, width // 64)))
        if width % self.heads:
            raise ConfigError(
                f"{self.heads} attention heads do not divide the {width} columns of {source}", remedy=AGAIN
            )
        self.eps = float(number(config, "layer_norm_eps", 1e-12, 0))
        self.padding = int(number(config, "pad_token_id", 1, 0)) if kind == "roberta" else None
        self.positions = self._float("embeddings.position_embeddings.weight", -1, width)
        if kind != "distilbert":  # every token is of the first type
            self.positions = self.positions + self._float("embeddings.token_type_embeddings.weight", -1, width)[0]
        self.norm = self._pair("embeddings.LayerNorm", width)
        count = (
            1 + max((int(n.split(".")[2]) for n in self._tensors if ".layer." in n), default=0)
            if layers is None
            else layers
        )
        self.layers = [self._layer(kind, i) for i in range(count)]
        self._tensors = {}

    def require(self, tokens: Tokens) -> None:
        """Raises :class:`ConfigError` where a tokenizer can give ids or positions that the checkpoint has not."""
        tokens.require_rows(len(self.words))
        room = len(self.positions) - (0 if self.padding is None else self.padding + 1)
        if tokens.limit > room:
            raise ConfigError(
                f"{self._source} has positions for {room} tokens, but config.json beside {tokens.file} lets texts have "
                f"{tokens.limit}",
                remedy=AGAIN,
            )

    def _float(self, name: str, *shape: int) -> torch.Tensor:
        """A tensor of the checkpoint in float32; -1 in ``shape`` is any size."""
        import torch

        tensor = self._tensors.get(name)
        if not isinstance(tensor, torch.Tensor):
            raise ConfigError(f"{self._source} has no tensor '{name}'", remedy=AGAIN)
        if tensor.ndim != len(shape) or any(e not in (-1, n) for e, n in zip(shape, tensor.shape, strict=True)):
            expected = ", ".join("any" if e < 0 else str(e) for e in shape)
            raise ConfigError(
                f"{self._source}: '{name}' has the shape {tuple(tensor.shape)}, expected ({expected})", remedy=AGAIN
            )
        # A copy: a checkpoint that is rewritten while its pages are mapped would end the process.
        return tensor.to(self.device, torch.float32, copy=True)

    def _pair(self, name: str, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias; the bias has as many elements as the weight has rows."""
        weight = self._float(f"{name}.weight", *shape)
        return weight, self._float(f"{name}.bias", len(weight))

    def _layer(self, kind: str, i: int) -> Layer:
        start, parts = ("transformer", _DISTILBERT_PARTS) if kind == "distilbert" else ("encoder", _BERT_PARTS)
        inner, out, norm, up, down, last = parts
        at, width = f"{start}.layer.{i}", self.width
        import torch

        def matrix(name: str, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
            weight, bias = self._pair(f"{at}.{name}", *shape)
            return weight.to(self.dtype), bias.to(self.dtype)

        qkv = [matrix(name, width, width) for name in inner]
        wide = matrix(str(up), -1, width)
        return Layer(
            torch.cat([w for w, _ in qkv]),
            torch.cat([b for _, b in qkv]),
            *matrix(str(out), width, width),
            self._pair(f"{at}.{norm}", width),
            *wide,
            *matrix(str(down), width, len(wide[1])),
            self._pair(f"{at}.{last}", width),
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
        places = torch.cat([self._places(t) for t in texts]).to(self.device)
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

    def _places(self, text: Sequence[int]) -> torch.Tensor:
        """Positions of a text's tokens. RoBERTa counts from behind its padding id, which itself is not counted."""
        import torch

        if self.padding is None:
            return torch.arange(len(text))
        counted = torch.tensor(text) != self.padding
        return counted.cumsum(0) * counted + self.padding

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
