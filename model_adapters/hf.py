"""``hf:ID_OR_FOLDER``: any image-text-to-text model of transformers (4.57 and 5), by its own chat template.

MedGemma, Lingshu, Qwen-VL, InternVL (``-hf`` repositories), LLaVA, Gemma 3, Idefics and others. A hub id is looked up in
the local cache, never downloaded: ``radbench fetch model ID`` does that. Reading starts at :meth:`HuggingFace.answer`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from radbench.model_adapters.batching import Batches, Cost, cost_of, out_of_memory
from radbench.model_adapters.huggingface.loading import (
    Loading,
    check_template,
    find,
    find_adapter,
    generation_config,
    said,
)
from radbench.model_adapters.messages import MultiImage, Pictures, Turn, split_reasoning

from radbench.errors import ConfigError, ImageError, ModelError, RadbenchError
from radbench.records import Answer, Failure, Generation, Image, Request

if TYPE_CHECKING:
    from radbench.model_adapters.huggingface.network import Network
    from radbench.model_adapters.huggingface.processor import Conversation, Prompts

_NO_MEMORY = Failure("model", "memory ran out on this sample alone: use longest=, slices= or a smaller dtype")

_BROKEN = 16  # samples that fail in a row end the run


class _Asked(NamedTuple):
    """A request ready to be asked."""

    request: Request
    conversation: Conversation


class HuggingFace:
    """A vision-language model of transformers, in this process.

    ``model``: a hub id in the local cache (``revision``: branch, tag or commit) or a folder. ``adapter``: a LoRA folder or
    id (peft). ``dtype``, ``device``, ``device_map``, ``quantization`` (4bit: nf4 | 8bit; bitsandbytes) and ``attn`` are
    passed through. ``batch`` is the largest number of samples asked together; it is halved where memory runs out.
    ``choices=rank`` answers a closed set with its most likely option, ``generate`` lets the model write.
    ``cut_off=fail`` counts an answer that met ``max_new_tokens`` (the task's where not given) as failed. ``system``
    replaces the task's system prompt. ``template``: a Jinja file, or ``plain`` (pictures and texts alone) for base models;
    ``enable_thinking`` is handed to the template. ``max_length``: most tokens of prompt and answer, else what the model's
    configuration says; a longer prompt fails, counted, and nothing is ever truncated. ``multi_image``, ``slices``,
    ``window``, ``longest``: see :class:`radbench.model_adapters.messages.Pictures`.

    Decoding is greedy unless the task sets a temperature; then each sample draws with a seed made of its key, so that its
    answer does not depend on its batch. In float32 batches of any make-up give the tokens of a batch of one; in 16-bit
    types a sum may round otherwise and a near tie fall differently: ``batch=1`` rules that out.
    """

    capabilities = frozenset({"text", "logprobs", "embed", "multi_image", "volumes"})
    has_paths = True

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        device: str | None = None,
        device_map: Any = None,
        batch: int = 8,
        adapter: str | None = None,
        quantization: str | None = None,
        attn: str | None = None,
        trust_remote_code: bool = False,
        max_new_tokens: int | None = None,
        max_length: int | None = None,
        repetition_penalty: float = 1.0,
        system: str | None = None,
        template: str | None = None,
        enable_thinking: bool | None = None,
        choices: Literal["generate", "rank"] = "generate",
        cut_off: Literal["fail", "keep"] = "fail",
        multi_image: MultiImage = "all",
        slices: int = 8,
        window: str | None = None,
        longest: int | None = None,
    ) -> None:
        _among("choices", choices, ("generate", "rank"))
        _among("cut_off", cut_off, ("fail", "keep"))
        _among("enable_thinking", enable_thinking, (None, True, False))
        for name, value in {"max_new_tokens": max_new_tokens, "max_length": max_length}.items():
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ConfigError(f"{name} is {value!r}, expected a whole number of at least 1")
        if not isinstance(repetition_penalty, int | float) or repetition_penalty <= 0:
            raise ConfigError(
                f"repetition_penalty is {repetition_penalty!r}, expected a number above 0; 1 changes nothing"
            )
        self._loading = Loading(dtype, device, device_map, quantization, attn, trust_remote_code)
        self._pictures = Pictures(multi_image, slices, window, longest)
        self._batches = Batches[Request](batch, self._cost, self._group)
        self._size = batch
        self._source = find(str(model), None if revision is None else str(revision))
        self._adapter = find_adapter(adapter)
        check_template(self._source, template)
        self._template, self._system = template, None if system is None else str(system)
        self._template_options = {} if enable_thinking is None else {"enable_thinking": enable_thinking}
        self._limit, self._max_length = max_new_tokens, max_length
        self._penalty = float(repetition_penalty)
        self._rank, self._keeps_cut_off = choices == "rank", cut_off == "keep"
        self._loaded: tuple[Prompts | None, Network | None] = (None, None)
        self._failed = 0  # samples in a row

    def fingerprint(self) -> Mapping[str, str]:
        """Reads configuration files, no weights. Raises :class:`ConfigError` on a type of model that transformers lacks."""
        config = generation_config(self._source, self._loading.trust_remote_code, self._penalty)
        options = {
            "adapter_weights": self._adapter and self._adapter.identity,
            "max_new_tokens": self._limit,
            "max_length": self._max_length,
            "system": self._system,
            "template": self._template and self._template_identity(),
            **self._template_options,
        }
        return {
            "adapter": "hf",
            "name": f"hf:{self._source.name}" + (f"+{self._adapter.name}" if self._adapter else ""),
            "revision": self._source.identity,
            **self._loading.said(self._source.folder),
            "pictures": self._pictures.said(),
            "generation": said(config),
            "choices": "rank" if self._rank else "generate",
            "cut_off": "keep" if self._keeps_cut_off else "fail",
            **{k: str(v) for k, v in options.items() if v is not None},
        }

    def _template_identity(self) -> str:
        if self._template == "plain":
            return "plain"
        return sha256(Path(str(self._template)).expanduser().read_bytes()).hexdigest()[:16]

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for batch in self._batches.of(requests):
            yield from self._batches.ask(batch, self._ask, lambda r: (r, Answer(failure=_NO_MEMORY)))

    def loglikelihood(self, requests: Sequence[Request], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """Of each request's continuations the summed log-probability (natural logarithm) after its prompt.

        A continuation is taken as it is: whether it starts with a space is the caller's choice. Right to the rounding of
        the dtype whatever else is in the batch. Raises :class:`ImageError` where a picture cannot be decoded, and
        :class:`ModelError` where memory runs out on one request alone.
        """

        def scored(batch: list[int]) -> list[tuple[int, list[float]]]:
            rows = [_Asked(requests[i], self._conversation(requests[i])) for i in batch]
            return list(zip(batch, self._scored(rows, [continuations[i] for i in batch]), strict=True))

        def give_up(i: int) -> tuple[int, list[float]]:
            raise ModelError(f"request {i + 1} of {len(requests)}: {_NO_MEMORY.message}")

        batches = Batches[int](self._size, lambda i: self._cost(requests[i]), lambda i: self._group(requests[i]))
        found = dict(p for batch in batches.of(range(len(requests))) for p in batches.ask(batch, scored, give_up))
        return [found[i] for i in range(len(requests))]

    def embed(self, images: Sequence[Image]) -> np.ndarray:
        """Mean of the visual tokens that the model's own vision encoder and projector hand to its language model.

        (n, d) float32, d the width of the language model; not normalised. Of a picture shown as several tiles the mean over
        all their tokens, of a volume the mean over its slices. So for LLaVA, Gemma 3, InternVL, Qwen-VL, Idefics 2 and 3;
        for another family the mean of what its ``get_image_features`` gives. Raises :class:`ImageError`, and
        :class:`ModelError` for a model without that.
        """
        prompts, network = self._prompts(), self._network()
        vectors = []
        for image in images:
            shown = [prompts.pixels(picture) for picture in self._pictures.of(image)]
            vectors.append(np.mean([network.features(pixels) for pixels in shown], axis=0, dtype=np.float64))
        return np.array(vectors, np.float32)

    def shown(self, request: Request) -> str:
        """The prompt as sent, special tokens included; a picture is its token and how often it stands there."""
        return self._prompts().shown(self._conversation(request))

    def _cost(self, request: Request) -> Cost:
        volumes, pictures, letters = cost_of(request)
        if self._pictures.multi_image == "all":
            pictures += volumes * (self._pictures.slices - 1)
        return volumes, pictures, letters

    def _group(self, request: Request) -> tuple[Any, ...]:
        """What cannot share a batch. Several processors refuse text alone beside pictures."""
        return bool(request.images), self._ranks(request), self._generation(request)

    def _ranks(self, request: Request) -> bool:
        return self._rank and bool(request.choices)

    def _generation(self, request: Request) -> Generation:
        limit = self._limit or request.generation.max_new_tokens
        return replace(request.generation, max_new_tokens=limit, seed=0)  # seeds are a row's own

    def _prompts(self) -> Prompts:
        from radbench.model_adapters.huggingface.processor import Prompts

        prompts, network = self._loaded
        if prompts is None:
            trust = self._loading.trust_remote_code
            prompts = Prompts(self._source, trust, self._template, self._template_options)
            self._loaded = (prompts, network)
        return prompts

    def _network(self) -> Network:
        from radbench.model_adapters.huggingface.network import Network

        prompts, network = self._prompts(), self._loaded[1]
        if network is None:
            config = generation_config(self._source, self._loading.trust_remote_code, self._penalty)
            model = self._loading.model(self._source, self._adapter)
            network = Network(model, config, prompts.pad, prompts.tokenizer.eos_token_id)
            self._loaded = (prompts, network)
        return network

    def _conversation(self, request: Request) -> Conversation:
        turns = self._pictures.turns(request)
        if self._system is not None:
            turns = [Turn("system", (self._system,)), *(t for t in turns if t.role != "system")]
        return self._prompts().conversation(turns)

    def _ask(self, batch: list[Request]) -> list[tuple[Request, Answer]]:
        """The answers of one batch; what cannot be decoded or does not fit fails alone. Raises where memory runs out."""
        start = time.perf_counter()
        answered: list[tuple[Request, Answer]] = []
        rows: list[_Asked] = []
        for request in batch:
            try:
                rows.append(_Asked(request, self._conversation(request)))
            except ImageError as error:
                answered.append((request, Answer(failure=Failure("input", error.message))))
        answered += self._answers(rows) if rows else []
        seconds = (time.perf_counter() - start) / len(batch)
        return [(request, replace(answer, seconds=seconds)) for request, answer in answered]

    def _answers(self, rows: list[_Asked]) -> list[tuple[Request, Answer]]:
        try:
            inputs = self._prompts().inputs([r.conversation for r in rows])
        except RadbenchError:
            raise
        except Exception as error:  # noqa: BLE001 - templates and processors raise anything at what one sample holds
            return self._apart(rows, error, "input")
        lengths = [int(n) for n in inputs["attention_mask"].sum(1)]
        limits = [self._room(r, n) for r, n in zip(rows, lengths, strict=True)]
        if min(limits) < 1 or len(set(limits)) > 1:  # seldom: prompts near the model's positions
            if len(rows) > 1:
                return [pair for row in rows for pair in self._answers([row])]
            return [(rows[0].request, Answer(failure=Failure("input", self._too_long(lengths[0]))))]
        try:
            found = (
                self._ranked(rows, lengths) if self._ranks(rows[0].request) else self._written(rows, inputs, limits[0])
            )
        except (ValueError, IndexError, RuntimeError, KeyError) as error:
            self._failed += len(rows) == 1 and not out_of_memory(error)
            if self._failed >= _BROKEN or "CUDA error" in str(error):
                raise  # the model is broken, not the sample
            return self._apart(rows, error, "model")
        self._failed = 0
        return [(r.request, answer) for r, answer in zip(rows, found, strict=True)]

    def _apart(
        self, rows: list[_Asked], error: Exception, kind: Literal["input", "model"]
    ) -> list[tuple[Request, Answer]]:
        """Each row alone, so that the one at fault fails by itself."""
        if out_of_memory(error):
            raise error
        if len(rows) > 1:
            return [pair for row in rows for pair in self._answers([row])]
        return [(rows[0].request, Answer(failure=Failure(kind, f"{type(error).__name__}: {error}"[:300])))]

    def _positions(self) -> int | None:
        return self._max_length or self._network().positions

    def _room(self, row: _Asked, length: int) -> int:
        """How many tokens a row may write: what the model's positions leave of the limit."""
        limit, positions = self._generation(row.request).max_new_tokens, self._positions()
        return limit if positions is None else min(limit, positions - length)

    def _too_long(self, length: int) -> str:
        return f"the prompt has {length} tokens and the model {self._positions()} positions: nothing is truncated"

    def _written(self, rows: list[_Asked], inputs: Mapping[str, Any], limit: int) -> list[Answer]:
        prompts, generation = self._prompts(), self._generation(rows[0].request)
        seeds = [_seed(r.request) for r in rows]
        written = self._network().generate(inputs, limit, generation, seeds, prompts.tokenizer)
        lengths = inputs["attention_mask"].sum(1).tolist()
        answers = []
        for length, (tokens, ended) in zip(lengths, written, strict=True):
            text = str(prompts.tokenizer.decode(tokens, skip_special_tokens=True))
            stops = [at for stop in generation.stop if (at := text.find(stop)) >= 0]
            text, reasoning = split_reasoning(text[: min(stops)] if stops else text)
            cut = not ended and not stops and not self._keeps_cut_off
            failure = Failure("cut_off", f"no end within {limit} tokens") if cut else None
            usage = {"input_tokens": float(length), "output_tokens": float(len(tokens) + ended)}
            answers.append(Answer(text, failure=failure, usage=usage, reasoning=reasoning))
        return answers

    def _ranked(self, rows: list[_Asked], lengths: Sequence[int]) -> list[Answer]:
        from radbench.model_adapters.huggingface.ranking import probabilities

        prompts, answers = self._prompts(), []
        leads = [prompts.lead(prompts.text(r.conversation)) for r in rows]
        options = [[lead + choice for choice in r.request.choices] for lead, r in zip(leads, rows, strict=True)]
        for row, length, values in zip(rows, lengths, self._scored(rows, options), strict=True):
            choices = row.request.choices
            best, scores = choices[values.index(max(values))], probabilities(choices, values)
            answers.append(Answer(best, scores=scores, usage={"input_tokens": float(length)}))
        return answers

    def _scored(self, rows: list[_Asked], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        from radbench.model_adapters.huggingface.ranking import loglikelihoods

        conversations = [r.conversation for r in rows]
        return loglikelihoods(self._prompts(), self._network(), conversations, continuations, self._size)


def _seed(request: Request) -> int:
    """A sample's own seed: of its key where it has one, else of what it says."""
    what = request.key or request.text.encode("utf-8", "surrogatepass")
    said = f"{request.generation.seed}|{request.draw}|".encode() + what
    return int.from_bytes(sha256(said).digest()[:8], "big") >> 1


def _among(name: str, value: object, allowed: Sequence[object]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}, expected {', '.join(map(str, allowed))}")
