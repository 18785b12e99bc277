"""Any server that speaks the OpenAI chat protocol: vLLM, SGLang, Ollama, llama.cpp, ``transformers serve``, commercial ones.

    openai:http://127.0.0.1:8000/v1,model=NAME,concurrency=64

Restricted data go to loopback addresses only, unless the base URL is given as ``--allow-restricted-endpoint``.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from radbench.model_adapters.identity import of_path
from radbench.model_adapters.messages import MultiImage, Pictures
from radbench.model_adapters.server.client import Client
from radbench.model_adapters.server.crew import Post, Reply
from radbench.model_adapters.server.faults import Fault
from radbench.model_adapters.server.limits import Budget, Gate, Persistence
from radbench.model_adapters.server.messages import Messages, json_object
from radbench.model_adapters.server.replies import first_tokens, names_one, option_scores, read_reply

from radbench.endpoints import is_loopback
from radbench.errors import ConfigError, ImageError, ModelError
from radbench.records import Answer, Failure, Request

log = logging.getLogger("radbench")

_RANKED = 20  # first tokens asked for when options are ranked: the most that most servers give


class OpenAI:
    """``openai:BASE_URL,model=NAME``: each request is one POST to BASE_URL/chat/completions.

    ``key`` names the environment variable that holds the key (none: no key is sent; a missing one is fine on loopback).
    ``concurrency`` is the most requests at once: half after 429, 503 or a timeout, one more after as many successes.
    ``timeout`` is in seconds for a whole attempt; up to ``retries`` more follow, the first after about ``backoff`` seconds,
    each pause twice the last, or as Retry-After says. ``temperature=omit`` and ``seed=omit`` leave those fields out;
    the seed sent is the request's plus the number of the draw. ``token_field`` changes by itself where the server asks for
    the other one. ``logprobs=N`` asks for the N likeliest tokens, and gives scores where an answer is one of the
    request's options; ``choices=rank`` answers such requests by the likeliest first token, in full where that does not tell
    the options apart. ``extra`` is JSON, or the path of a JSON file, merged into each request. ``price_in`` and ``price_out``
    are per million tokens. ``max_cost`` and ``max_tokens_total`` end a session once spent (exit code 5; those under way are
    waited for). ``cut_off=keep`` scores answers cut off at the token limit. Pictures: see
    :class:`radbench.model_adapters.messages.Pictures`; sent as lossless 8-bit PNG.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str,
        key: str = "OPENAI_API_KEY",
        concurrency: int = 64,
        timeout: float = 300.0,
        retries: int = 5,
        backoff: float = 0.5,
        max_new_tokens: int | None = None,
        token_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
        temperature: Literal["send", "omit"] = "send",
        seed: Literal["send", "omit"] = "send",
        logprobs: int | None = None,
        choices: Literal["generate", "rank"] = "generate",
        cut_off: Literal["fail", "keep"] = "fail",
        reasoning_effort: str | None = None,
        extra: str | Mapping[str, Any] | None = None,
        detail: str | None = None,
        price_in: float | None = None,
        price_out: float | None = None,
        max_cost: float | None = None,
        max_tokens_total: float | None = None,
        multi_image: MultiImage = "all",
        slices: int = 8,
        window: str | None = None,
        longest: int | None = None,
    ) -> None:
        _among("token_field", token_field, "max_tokens", "max_completion_tokens")
        _among("temperature", temperature, "send", "omit")
        _among("seed", seed, "send", "omit")
        _among("choices", choices, "generate", "rank")
        _among("cut_off", cut_off, "fail", "keep")
        for name, least, value in (
            ("concurrency", 1, concurrency), ("retries", 0, retries), ("max_new_tokens", 1, max_new_tokens),
            ("logprobs", 1, logprobs),
        ):  # fmt: skip
            _at_least(name, value, least, whole=True)
        for name, amount in {"price_in": price_in, "price_out": price_out, "backoff": backoff}.items():
            _at_least(name, amount, 0)
        for name, amount in {"timeout": timeout, "max_cost": max_cost, "max_tokens_total": max_tokens_total}.items():
            _at_least(name, amount, 0, more=True)
        if max_cost is not None and (price_in is None or price_out is None):
            raise ConfigError("openai: max_cost needs price_in and price_out", remedy="prices are per million tokens")
        self.endpoint = _base_url(url)
        self._key, self._model = str(key), str(model)
        self._pictures = Pictures(multi_image, slices, window, longest)
        self._messages = Messages(self._pictures, detail)
        self._priced = price_in is not None or price_out is not None
        self._client = Client(
            f"openai:{self._model}",
            f"{self.endpoint}/chat/completions",
            Gate(concurrency),
            Persistence(float(timeout), retries, float(backoff)),
            Budget(max_tokens_total, max_cost, price_in or 0.0, price_out or 0.0),
        )
        self._token_field, self._max_new_tokens = token_field, max_new_tokens
        self._temperature, self._seed = temperature == "send", seed == "send"
        self._logprobs, self._rank, self._keep = logprobs, choices == "rank", cut_off == "keep"
        self._extra = json_object("openai: extra", extra) | (
            {"reasoning_effort": reasoning_effort} if reasoning_effort else {}
        )
        self._said = {
            "pictures": self._pictures.said(), "temperature": temperature, "seed": seed, "choices": choices,
            "cut_off": cut_off, "max_new_tokens": max_new_tokens, "logprobs": logprobs, "detail": detail,
            "extra": json.dumps(self._extra, sort_keys=True) if self._extra else None,
        }  # fmt: skip
        scores = {"logprobs"} if logprobs is not None or self._rank else set()
        self.capabilities = frozenset({"text", "multi_image", "volumes"} | scores)

    @property
    def budget(self) -> Budget:
        """What this object has spent, all attempts counted."""
        return self._client.budget

    @property
    def gate(self) -> Gate:
        """The concurrency as it stands."""
        return self._client.gate

    def fingerprint(self) -> Mapping[str, str]:
        server, path = urlsplit(self.endpoint), Path(self._model)
        # A server of a local folder goes by the folder's path, which differs between machines.
        local = path.is_absolute() and path.exists()
        model = path.name if local else self._model
        weights = {"weights": of_path(path)} if local else {}
        said = {k: str(v) for k, v in self._said.items() if v is not None}
        where = f"{server.netloc.lower()}{server.path}"
        return {"adapter": "openai", "name": f"openai:{model}", "server": where, "model": model, **weights, **said}

    def shown(self, request: Request) -> str:
        """The messages as JSON, pictures as ``<image WxH, N bytes>``. Raises :class:`ImageError`."""
        return self._messages.shown(request)

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        client = self._client
        try:
            yield from client.run(requests, self._prepared, self._messages.quick, self._ask, self._headers())
        finally:
            spent, cost = client.budget, f", cost {client.budget.cost:.4f}" if self._priced else ""
            log.info(
                "%s: %d attempts, %d of them repeated, %.0f tokens in and %.0f out%s, at least %d at a time",
                client.name, client.attempts, client.retried, spent.tokens_in, spent.tokens_out, cost,
                int(client.gate.lowest),
            )  # fmt: skip

    def _headers(self) -> dict[str, str]:
        """Raises :class:`ConfigError` where the key is missing or cannot be sent, :class:`ModelError` without httpx."""
        try:
            import httpx  # noqa: F401
        except ImportError:
            raise ModelError("openai: the package httpx is missing", remedy="pip install 'radbench[api]'") from None
        key = "" if self._key in ("", "none", "None") else os.environ.get(self._key, "").strip()
        if not key:
            if self._key in ("", "none", "None") or is_loopback(self.endpoint):
                return {}
            raise ConfigError(
                f"openai: the environment variable {self._key} holds no key for {self.endpoint}",
                remedy=f"export {self._key}=..., or name another variable with key=NAME, or key=none",
            )
        if not (key.isascii() and key.isprintable()):  # httpx would quote it in its error
            raise ConfigError(f"openai: the environment variable {self._key} holds more than printable ASCII")
        return {"Authorization": f"Bearer {key}"}

    def _prepared(self, request: Request) -> bytes | Answer:
        try:
            return self._messages.as_json(request)
        except ImageError as error:
            return Answer(failure=Failure("input", error.message))

    async def _ask(self, request: Request, messages: bytes, post: Post) -> Answer:
        if self._rank and len(request.choices) > 1 and request.form == "text":
            reply = await self._reply(request, messages, post, rank=True)
            tokens = first_tokens(reply.payload)
            if tokens is None:
                raise ModelError(
                    "openai: the server gives no logprobs, so options cannot be ranked", remedy="choices=generate"
                )
            if scores := option_scores(tokens, request.choices):
                usage = self._usage(read_reply(reply.payload).usage)
                return Answer(max(scores, key=scores.__getitem__), scores=scores, usage=usage, seconds=reply.seconds)
        reply = await self._reply(request, messages, post)
        answer = read_reply(reply.payload, self._keep)
        answer = replace(answer, seconds=reply.seconds, usage=self._usage(answer.usage))
        if self._logprobs is None or answer.failure or answer.reasoning or not answer.text:
            return answer
        tokens = first_tokens(reply.payload)
        scores = option_scores(tokens, request.choices) if tokens and names_one(answer.text, request.choices) else None
        return replace(answer, scores=scores)

    async def _reply(self, request: Request, messages: bytes, post: Post, rank: bool = False) -> Reply:
        """One reply, its usage counted. A server that wants the other token field is asked again, with that one."""
        field = self._token_field
        try:
            reply = await post(self._body(request, messages, field, rank))
        except Fault as fault:
            other = "max_tokens" if field == "max_completion_tokens" else "max_completion_tokens"
            if fault.kind != "input" or other not in fault.words:
                raise
            self._token_field = other  # type: ignore[assignment]
            reply = await post(self._body(request, messages, other, rank))
        self._client.budget.spend(read_reply(reply.payload).usage)
        return reply

    def _body(self, request: Request, messages: bytes, token_field: str, rank: bool) -> bytes:
        generation = request.generation
        options: dict[str, Any] = {"model": self._model}
        options[token_field] = 1 if rank else self._max_new_tokens or generation.max_new_tokens
        if self._temperature:
            options["temperature"] = generation.temperature
        if self._seed:
            options["seed"] = generation.seed + request.draw
        if generation.top_p != 1:
            options["top_p"] = generation.top_p
        if generation.stop:
            options["stop"] = list(generation.stop)
        if top := self._logprobs or (_RANKED if rank else None):
            options |= {"logprobs": True, "top_logprobs": top}
        return b'{"messages":' + messages + b"," + json.dumps(options | self._extra).encode()[1:]

    def _usage(self, usage: Mapping[str, float]) -> dict[str, float]:
        if not self._priced or not usage:
            return dict(usage)
        cost = self._client.budget.cost_of(usage.get("input_tokens", 0.0), usage.get("output_tokens", 0.0))
        return {**usage, "cost": cost}


def _among(name: str, value: object, *allowed: str) -> None:
    if value not in allowed:
        raise ConfigError(f"openai: {name} is {value!r}, expected {' or '.join(allowed)}")


def _at_least(name: str, value: object, least: float, whole: bool = False, more: bool = False) -> None:
    kind = int if whole else int | float
    if value is None:
        return
    if not isinstance(value, kind) or isinstance(value, bool) or value < least or (more and value == least):
        what = f"{'a whole' if whole else 'a'} number {'above' if more else 'of at least'} {least:g}"
        raise ConfigError(f"openai: {name} is {value!r}, expected {what}")


def _base_url(url: object) -> str:
    """A checked base URL without a slash at its end. Raises :class:`ConfigError`, which never quotes a password."""
    remedy = "openai:http://127.0.0.1:8000/v1,model=NAME"
    text = str(url).rstrip("/")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ConfigError("openai: the base URL cannot be read", remedy=remedy) from None
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError(
            "openai: the base URL holds a user, a password, a query or a fragment",
            remedy="put the key into an environment variable and name that with key=NAME",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigError(f"openai: {text!r} is no base URL", remedy=remedy)
    if parts.path.endswith("/chat/completions"):
        raise ConfigError(
            f"openai: {text} ends in /chat/completions", remedy=f"give {text[: -len('/chat/completions')]}"
        )
    return text
