"""The network's side of a Hugging Face model: greedy or seeded answers, log-likelihoods and picture features of a batch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from radbench.errors import ModelError
from radbench.records import Generation

if TYPE_CHECKING:
    import numpy as np


class Written(NamedTuple):
    """One answer's new tokens, without the one that ended it; ``ended`` is False where the limit came first."""

    tokens: list[int]
    ended: bool


class Network:
    """A model in evaluation mode. ``ends`` are the tokens of which each ends an answer."""

    def __init__(self, model: Any, config: Any, pad: int, default_end: int | None) -> None:
        ends = config.eos_token_id if config.eos_token_id is not None else default_end
        self.ends = frozenset([ends] if isinstance(ends, int) else ends or ())
        config.pad_token_id = pad
        config.eos_token_id = sorted(self.ends) or None
        self.model = model
        self._base = model.get_base_model() if hasattr(model, "get_base_model") else model
        # Not handed to generate(): there, values equal to the default would give way to the checkpoint's own.
        self._base.generation_config = config
        self.positions: int | None = None  # what prompt and answer share; an encoder-decoder shares nothing
        if not self._base.config.is_encoder_decoder:
            self.positions = getattr(self._base.config.get_text_config(), "max_position_embeddings", None)

    def placed(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Tensors on the network's device, floating ones in its dtype."""
        device, dtype = self._base.device, self._base.dtype
        return {
            k: v if not hasattr(v, "to") else v.to(device, dtype) if v.is_floating_point() else v.to(device)
            for k, v in inputs.items()
        }

    def generate(
        self, inputs: Mapping[str, Any], limit: int, generation: Generation, seeds: Sequence[int], tokenizer: Any
    ) -> list[Written]:
        """One answer a row of at most ``limit`` tokens. With a temperature each row draws with its own seed."""
        import torch

        how: dict[str, Any] = {"max_new_tokens": limit}
        if generation.stop:
            how |= {"stop_strings": list(generation.stop), "tokenizer": tokenizer}
        if generation.temperature > 0:
            from transformers import LogitsProcessorList

            how["logits_processor"] = LogitsProcessorList([_Draws(generation.temperature, generation.top_p, seeds)])
        prompt = inputs["input_ids"]
        with torch.inference_mode():
            rows = self.model.generate(**self.placed(inputs), **how).cpu()
        length = prompt.shape[1]
        if rows.shape[1] >= length and bool((rows[:, :length] == prompt).all()):  # an encoder-decoder repeats no prompt
            rows = rows[:, length:]
        return [self._written(row, limit) for row in rows.tolist()]

    def _written(self, row: list[int], limit: int) -> Written:
        end = next((i for i, token in enumerate(row) if token in self.ends), None)
        if end is not None:
            return Written(row[:end], True)
        pad = self._base.generation_config.pad_token_id
        while row and row[-1] == pad:  # a stop string ended it before the others of the batch
            row.pop()
        return Written(row, len(row) < limit)

    def loglikelihood(self, inputs: Mapping[str, Any], tails: Sequence[Sequence[Sequence[int]]]) -> list[list[float]]:
        """Summed natural log-probabilities of each row's tails. All tails of a row share all but their last token."""
        import torch

        if self._base.config.is_encoder_decoder:
            raise ModelError("log-likelihoods of encoder-decoder models are not supported", remedy="choices=generate")
        extended, starts = _extended(inputs, [row[0][:-1] for row in tails])
        wanted = sorted({s + k for s, row in zip(starts, tails, strict=True) for k in range(len(row[0]))})
        how: dict[str, Any] = {"use_cache": False}
        if "logits_to_keep" in inspect.signature(self._base.forward).parameters:
            how["logits_to_keep"] = wanted  # a list: a tensor would lie on one device of several
        with torch.inference_mode():
            logits = self.model(**self.placed(extended), **how).logits
            if "logits_to_keep" not in how:
                logits = logits[:, wanted]
            place = {position: k for k, position in enumerate(wanted)}
            found = []
            for i, (start, row) in enumerate(zip(starts, tails, strict=True)):
                first = place[start]
                logs = logits[i, first : first + len(row[0])].to(torch.promote_types(logits.dtype, torch.float32))
                logs = logs.log_softmax(-1)
                found.append([sum(float(logs[k, token]) for k, token in enumerate(tail)) for tail in row])
        return found

    def features(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """The mean over the tokens that the language model would see of the pictures in ``inputs``, (d,) float32."""
        import torch

        encode = getattr(self._base, "get_image_features", None)
        if encode is None:
            raise ModelError(f"{type(self._base).__name__} has no get_image_features: it gives no embeddings")
        known = inspect.signature(encode).parameters
        with torch.inference_mode():
            found = encode(**{k: v for k, v in self.placed(inputs).items() if k in known})
            found = getattr(found, "pooler_output", found)  # transformers 5
            tiles = found if isinstance(found, list | tuple) else [found]
            tokens = torch.cat([t.reshape(-1, t.shape[-1]) for t in tiles]).double()
            result: np.ndarray = tokens.mean(0).float().cpu().numpy()
        return result


def _extended(inputs: Mapping[str, Any], heads: Sequence[Sequence[int]]) -> tuple[dict[str, Any], list[int]]:
    """A batch padded on the right whose prompts are followed by ``heads``, and the place of each prompt's last token.

    A plain forward pass counts positions from the left, so that only padding on the right leaves them as they are.
    """
    import torch

    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    lengths = mask.sum(1).tolist()
    width = max(n + len(h) for n, h in zip(lengths, heads, strict=True))
    extended = dict(inputs)
    for name, values in inputs.items():
        if getattr(values, "shape", None) != ids.shape:
            continue  # pictures: not a value a token
        rows = values.new_zeros((len(heads), width))
        for i, (length, head) in enumerate(zip(lengths, heads, strict=True)):
            rows[i, :length] = values[i, ids.shape[1] - length :]
            if name == "input_ids":
                rows[i, length : length + len(head)] = torch.tensor(head, dtype=rows.dtype)
            elif name == "attention_mask":
                rows[i, length : length + len(head)] = 1
        extended[name] = rows
    return extended, [n - 1 for n in lengths]


class _Draws:
    """Sampling as arg max of tempered logits plus Gumbel noise, so that a row depends on its seed, not on its batch."""

    def __init__(self, temperature: float, top_p: float, seeds: Sequence[int]) -> None:
        from transformers import TemperatureLogitsWarper, TopPLogitsWarper

        self._warpers: list[Any] = [TemperatureLogitsWarper(float(temperature))]
        if top_p < 1:
            self._warpers.append(TopPLogitsWarper(top_p))
        self._seeds = seeds
        self._generators: list[Any] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        if not self._generators:
            self._generators = [torch.Generator(scores.device).manual_seed(s) for s in self._seeds]
        for warper in self._warpers:
            scores = warper(input_ids, scores)
        noise = torch.empty_like(scores, dtype=torch.float64)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores.double() - noise.log()
