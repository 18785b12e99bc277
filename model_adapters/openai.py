"""Any server that speaks the OpenAI chat protocol: vLLM, SGLang, Ollama, llama.cpp, ``transformers serve``, commercial ones.

    openai:http://127.0.0.1:8000/v1,model=NAME,concurrency=64

Restricted data go to loopback addresses only, unless the base URL is given as ``--allow-restricted-endpoint``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from radbench.model_adapters.identity import of_path
from radbench.model_adapters.messages import MultiImage, Pictures
from radbench.model_adapters.server.address import authorization, base_url, key_variable, proxy_url
from radbench.model_adapters.server.asking import Asking
from radbench.model_adapters.server.client import Client
from radbench.model_adapters.server.limits import Budget, Gate, Persistence
from radbench.model_adapters.server.messages import Messages, json_object

from radbench.errors import ConfigError, ImageError
from radbench.records import Answer, Failure, Request

log = logging.getLogger("radbench")


class OpenAI:
    """``openai:BASE_URL,model=NAME``: each request is one POST to BASE_URL/chat/completions.

    ``key`` names the environment variable that holds the key (none: no key is sent; a missing one is fine on loopback).
    ``proxy`` is the URL of a proxy for a server elsewhere; those of the environment (HTTPS_PROXY) are never used.
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

    capabilities = frozenset({"text", "multi_image", "volumes"})  # and logprobs where asked for
    paths = ("extra",)

    def __init__(
        self,
        url: str,
        *,
        model: str,
        key: str = "OPENAI_API_KEY",
        proxy: str | None = None,
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
        self._key, self.endpoint, self._model = key_variable(key), base_url(url), str(model)
        if find_spec("httpx") is None:
            raise ConfigError("openai: the package httpx is missing", remedy="pip install 'radbench[api]'")
        pictures = Pictures(multi_image, slices, window, longest)
        self._messages = Messages(pictures, detail)
        self.budget, self.gate = Budget(max_tokens_total, max_cost, price_in, price_out), Gate(concurrency)
        effort = {"reasoning_effort": reasoning_effort} if reasoning_effort else {}
        self._asking = Asking(
            self._model, self.budget, json_object("openai: extra", extra) | effort, max_new_tokens, token_field,
            temperature, seed, logprobs, choices, cut_off,
        )  # fmt: skip
        self._said = {"pictures": pictures.said(), "detail": detail, **self._asking.said()}
        self._client = Client(
            f"openai:{self._model}", f"{self.endpoint}/chat/completions", self.gate,
            Persistence(timeout, retries, backoff), self.budget, proxy_url(proxy, self.endpoint),
        )  # fmt: skip
        if self._asking.scores:
            self.capabilities |= {"logprobs"}

    @property
    def budgeted(self) -> bool:
        """Whether it stops at a budget. It counts what it spends itself: several copies would spend that much each."""
        return self.budget.capped

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
        """Raises :class:`ConfigError` where the key is missing, else as :meth:`Client.run`."""
        client, headers = self._client, authorization(self._key, self.endpoint)
        if client.proxy:
            log.info("%s: requests go through the proxy %s", client.name, client.proxy)
        try:
            yield from client.run(requests, self._prepared, self._messages.quick, self._asking.ask, headers)
        finally:
            spent = self.budget
            cost = f", cost {spent.cost:.4f}" if spent.has_prices else ""
            log.info(
                "%s: %d attempts, %d of them repeated, %.0f tokens in and %.0f out%s, at least %d at a time",
                client.name, client.attempts, client.retried, spent.tokens_in, spent.tokens_out, cost,
                int(self.gate.lowest),
            )  # fmt: skip

    def _prepared(self, request: Request) -> bytes | Answer:
        try:
            return self._messages.as_json(request)
        except ImageError as error:
            return Answer(failure=Failure("input", error.message))
