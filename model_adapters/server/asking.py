"""One request as one or two POSTs, and the replies as its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from radbench.model_adapters.server.crew import Post, Reply
from radbench.model_adapters.server.faults import Fault
from radbench.model_adapters.server.limits import Budget
from radbench.model_adapters.server.replies import first_tokens, option_scores, read_reply, written_scores

from radbench.errors import ModelError
from radbench.options import one_of, whole
from radbench.records import Answer, Request

_RANKED = 20  # first tokens asked for when options are ranked: the most that most servers give
_OTHER = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


@dataclass(slots=True)
class Asking:
    """What is sent beside the messages: options of :class:`radbench.model_adapters.openai.OpenAI` of the same names."""

    model: str
    budget: Budget
    extra: Mapping[str, Any]
    max_new_tokens: int | None
    token_field: str
    temperature: str
    seed: str
    logprobs: int | None
    choices: str
    cut_off: str

    def __post_init__(self) -> None:
        """Raise :class:`ConfigError` on a value out of range."""
        one_of("token_field", self.token_field, tuple(_OTHER))
        one_of("temperature", self.temperature, ("send", "omit"))
        one_of("seed", self.seed, ("send", "omit"))
        one_of("choices", self.choices, ("generate", "rank"))
        one_of("cut_off", self.cut_off, ("fail", "keep"))
        whole("max_new_tokens", self.max_new_tokens, optional=True)
        whole("logprobs", self.logprobs, optional=True)

    @property
    def scores(self) -> bool:
        """Whether answers may come with probabilities of the options."""
        return self.logprobs is not None or self.choices == "rank"

    def said(self) -> dict[str, object]:
        """What of it changes answers, as the fingerprint has it."""
        names = ("temperature", "seed", "choices", "cut_off", "max_new_tokens", "logprobs")
        extra = json.dumps(dict(self.extra), sort_keys=True) if self.extra else None
        return {**{name: getattr(self, name) for name in names}, "extra": extra}

    async def ask(self, request: Request, messages: bytes, post: Post) -> Answer:
        """The answer to messages that are JSON already. Raises :class:`Fault` and :class:`ModelError`."""
        if self.choices == "rank" and len(request.choices) > 1 and request.form == "text":
            reply = await self._reply(request, messages, post, rank=True)
            tokens = first_tokens(reply.payload)
            if tokens is None:
                raise ModelError(
                    "openai: the server gives no logprobs, so options cannot be ranked", remedy="choices=generate"
                )
            if scores := option_scores(tokens, request.choices):
                usage = self.budget.priced(read_reply(reply.payload).usage)
                return Answer(max(scores, key=scores.__getitem__), scores=scores, usage=usage, seconds=reply.seconds)
        reply = await self._reply(request, messages, post)
        answer = read_reply(reply.payload, self.cut_off == "keep")
        answer = replace(answer, seconds=reply.seconds, usage=self.budget.priced(answer.usage))
        if self.logprobs is None or answer.failure or answer.reasoning or not answer.text:
            return answer
        return replace(answer, scores=written_scores(answer.text, first_tokens(reply.payload), request.choices))

    async def _reply(self, request: Request, messages: bytes, post: Post, rank: bool = False) -> Reply:
        """One reply, its usage counted. A server that wants the other token field is asked again, with that one."""
        field = self.token_field
        try:
            reply = await post(self._body(request, messages, field, rank))
        except Fault as fault:
            if fault.kind != "input" or _OTHER[field] not in fault.words:
                raise
            self.token_field = _OTHER[field]
            reply = await post(self._body(request, messages, self.token_field, rank))
        self.budget.spend(read_reply(reply.payload).usage)
        return reply

    def _body(self, request: Request, messages: bytes, token_field: str, rank: bool) -> bytes:
        generation = request.generation
        options: dict[str, Any] = {"model": self.model}
        options[token_field] = 1 if rank else self.max_new_tokens or generation.max_new_tokens
        if self.temperature == "send":
            options["temperature"] = generation.temperature
        if self.seed == "send":
            options["seed"] = generation.seed + request.draw
        if generation.top_p != 1:
            options["top_p"] = generation.top_p
        if generation.stop:
            options["stop"] = list(generation.stop)
        if top := self.logprobs or (_RANKED if rank else None):
            options |= {"logprobs": True, "top_logprobs": top}
        return b'{"messages":' + messages + b"," + json.dumps(options | dict(self.extra)).encode()[1:]
