"""Batches of requests asked of a Hugging Face model: written or ranked answers, and what fails alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from radbench.model_adapters.batching import Batches, Cost, cost_of, out_of_memory
from radbench.model_adapters.huggingface.loading import Loading, Source, generation_config
from radbench.model_adapters.huggingface.ranking import loglikelihoods, probabilities
from radbench.model_adapters.messages import Pictures, Turn, split_reasoning

from radbench.errors import ImageError, ModelError, RadbenchError
from radbench.records import Answer, Failure, Generation, Request

if TYPE_CHECKING:
    from radbench.model_adapters.huggingface.network import Network
    from radbench.model_adapters.huggingface.processor import Conversation, Prompts

_NO_MEMORY = Failure("model", "memory ran out on this sample alone: use longest=, slices= or a smaller dtype")
_BROKEN = 16  # samples that fail in a row end the run


@dataclass
class Parts:
    """A model's processor and network, each loaded when it is first needed."""

    source: Source
    adapter: Source | None
    loading: Loading
    template: str | None
    template_options: Mapping[str, Any]
    penalty: float

    @cached_property
    def prompts(self) -> Prompts:
        from radbench.model_adapters.huggingface.processor import Prompts

        return Prompts(self.source, self.loading.trust_remote_code, self.template, self.template_options)

    @cached_property
    def network(self) -> Network:
        from radbench.model_adapters.huggingface.network import Network

        config, prompts = self.generation_config(), self.prompts
        model = self.loading.model(self.source, self.adapter)
        return Network(model, config, prompts.pad, prompts.tokenizer.eos_token_id)

    def generation_config(self) -> Any:
        """The effective one; reads no weights. Raises :class:`ConfigError`."""
        return generation_config(self.source, self.loading.trust_remote_code, self.penalty)


class _Asked(NamedTuple):
    """A request ready to be asked."""

    request: Request
    conversation: Conversation


class Answering:
    """Options of :class:`radbench.model_adapters.hf.HuggingFace` at work on a model's parts."""

    def __init__(
        self,
        parts: Parts,
        pictures: Pictures,
        batch: int,
        *,
        limit: int | None,
        max_length: int | None,
        system: str | None,
        rank: bool,
        keeps_cut_off: bool,
    ) -> None:
        self.parts, self._pictures, self._size = parts, pictures, batch
        self._limit, self._max_length, self._system = limit, max_length, system
        self._rank, self._keeps_cut_off = rank, keeps_cut_off
        self.batches = Batches[Request](batch, self._cost, self._group)
        self._failed = 0  # samples in a row

    def answers(self, batch: list[Request]) -> Iterator[tuple[Request, Answer]]:
        """One batch, in parts where memory runs out."""
        return self.batches.ask(batch, self._ask, lambda r: (r, Answer(failure=_NO_MEMORY)))

    def loglikelihood(self, requests: Sequence[Request], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """See :meth:`radbench.model_adapters.hf.HuggingFace.loglikelihood`."""

        def scored(batch: list[int]) -> list[tuple[int, list[float]]]:
            rows = [_Asked(requests[i], self.conversation(requests[i])) for i in batch]
            return list(zip(batch, self._scored(rows, [continuations[i] for i in batch]), strict=True))

        def give_up(i: int) -> tuple[int, list[float]]:
            raise ModelError(f"request {i + 1} of {len(requests)}: {_NO_MEMORY.message}")

        batches = Batches[int](self._size, lambda i: self._cost(requests[i]), lambda i: self._group(requests[i]))
        found = dict(p for batch in batches.of(range(len(requests))) for p in batches.ask(batch, scored, give_up))
        return [found[i] for i in range(len(requests))]

    def conversation(self, request: Request) -> Conversation:
        """A request's turns as its template wants them. Raises :class:`ImageError`."""
        turns = self._pictures.turns(request)
        if self._system is not None:
            turns = [Turn("system", (self._system,)), *(t for t in turns if t.role != "system")]
        return self.parts.prompts.conversation(turns)

    def _cost(self, request: Request) -> Cost:
        volumes, pictures, letters = cost_of(request)
        if self._pictures.multi_image == "all":
            pictures += volumes * (self._pictures.slices - 1)
        return volumes, pictures, letters

    def _group(self, request: Request) -> tuple[Any, ...]:
        """What cannot share a batch. Several processors refuse text alone beside pictures."""
        return bool(request.images), self._ranks(request), self._generation(request)

    def _ranks(self, request: Request) -> bool:
        return self._rank and bool(request.choices) and request.form == "text"

    def _generation(self, request: Request) -> Generation:
        limit = self._limit or request.generation.max_new_tokens
        return replace(request.generation, max_new_tokens=limit, seed=0)  # seeds are a row's own

    def _ask(self, batch: list[Request]) -> list[tuple[Request, Answer]]:
        """The answers of one batch; what cannot be decoded or does not fit fails alone. Raises where memory runs out."""
        start = time.perf_counter()
        answered: list[tuple[Request, Answer]] = []
        rows: list[_Asked] = []
        for request in batch:
            try:
                rows.append(_Asked(request, self.conversation(request)))
            except ImageError as error:
                answered.append((request, Answer(failure=Failure("input", error.message))))
        answered += self._answers(rows) if rows else []
        seconds = (time.perf_counter() - start) / len(batch)
        return [(request, replace(answer, seconds=seconds)) for request, answer in answered]

    def _answers(self, rows: list[_Asked]) -> list[tuple[Request, Answer]]:
        ranked = self._ranks(rows[0].request)
        try:
            inputs = self.parts.prompts.inputs([r.conversation for r in rows])
            options = [self._options(r) if ranked else {} for r in rows]
        except RadbenchError:
            raise
        except Exception as error:  # noqa: BLE001 - templates and processors raise anything at what one sample holds
            return self._apart(rows, error, "input")
        lengths = [int(n) for n in inputs["attention_mask"].sum(1)]
        limits = [self._room(r, n, o) for r, n, o in zip(rows, lengths, options, strict=True)]
        if min(limits) < 1 or len(set(limits)) > 1:  # seldom: prompts near the model's positions
            if len(rows) > 1:
                return [pair for row in rows for pair in self._answers([row])]
            return [(rows[0].request, Answer(failure=Failure("input", self._too_long(lengths[0], options[0]))))]
        try:
            found = self._ranked(rows, lengths, options) if ranked else self._written(rows, inputs, limits[0])
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
        return self._max_length or self.parts.network.positions

    def _room(self, row: _Asked, length: int, options: Mapping[str, int]) -> int:
        """How many tokens a row may write: what the positions leave of the limit. Of a ranked one 1, 0 where none fits."""
        limit, positions = self._generation(row.request).max_new_tokens, self._positions()
        if options:
            return int(positions is None or length + max(options.values()) <= positions)
        return limit if positions is None else min(limit, positions - length)

    def _too_long(self, length: int, options: Mapping[str, int]) -> str:
        option = f", its longest option {max(options.values())}" if options else ""
        return (
            f"the prompt has {length} tokens{option} and the model {self._positions()} positions: nothing is truncated"
        )

    def _written(self, rows: list[_Asked], inputs: Mapping[str, Any], limit: int) -> list[Answer]:
        tokenizer, generation = self.parts.prompts.tokenizer, self._generation(rows[0].request)
        seeds = [_seed(r.request) for r in rows]
        written = self.parts.network.generate(inputs, limit, generation, seeds, tokenizer)
        lengths = inputs["attention_mask"].sum(1).tolist()
        answers = []
        for length, (tokens, ended) in zip(lengths, written, strict=True):
            text = str(tokenizer.decode(tokens, skip_special_tokens=True))
            stops = [at for stop in generation.stop if (at := text.find(stop)) >= 0]
            text, reasoning = split_reasoning(text[: min(stops)] if stops else text)
            cut = not ended and not stops and not self._keeps_cut_off
            failure = Failure("cut_off", f"no end within {limit} tokens") if cut else None
            usage = {"input_tokens": float(length), "output_tokens": float(len(tokens) + ended)}
            answers.append(Answer(text, failure=failure, usage=usage, reasoning=reasoning))
        return answers

    def _options(self, row: _Asked) -> dict[str, int]:
        """A row's distinct options as they follow its prompt, with their numbers of tokens."""
        prompts = self.parts.prompts
        prompt = prompts.text(row.conversation)
        lead = prompts.lead(prompt)
        return {lead + choice: len(prompts.continued(prompt, lead + choice)) for choice in row.request.choices}

    def _ranked(self, rows: list[_Asked], lengths: Sequence[int], options: Sequence[Mapping[str, int]]) -> list[Answer]:
        """The likeliest option of each row. Where one begins another ("no", "no finding"), all are scored with their end."""
        answers, said = [], [list(o) for o in options]
        nested = [any(a != b and b.startswith(a) for a in o for b in o) for o in said]
        for row, length, values in zip(rows, lengths, self._scored(rows, said, nested), strict=True):
            choices = list(dict.fromkeys(row.request.choices))
            best, scores = choices[values.index(max(values))], probabilities(choices, values)
            answers.append(Answer(best, scores=scores, usage={"input_tokens": float(length)}))
        return answers

    def _scored(
        self, rows: list[_Asked], continuations: Sequence[Sequence[str]], ended: Sequence[bool] = ()
    ) -> list[list[float]]:
        conversations = [r.conversation for r in rows]
        return loglikelihoods(self.parts.prompts, self.parts.network, conversations, continuations, self._size, ended)


def _seed(request: Request) -> int:
    """A sample's own seed: of its key where it has one, else of what it says."""
    what = request.key or request.text.encode("utf-8", "surrogatepass")
    said = f"{request.generation.seed}|{request.draw}|".encode() + what
    return int.from_bytes(sha256(said).digest()[:8], "big") >> 1
