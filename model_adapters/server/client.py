"""Posting JSON to a server: retries, faults told apart, and an end where going on makes no sense."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from radbench.model_adapters.server.crew import Ask, Crew, Prepare, Reply
from radbench.model_adapters.server.faults import Fault, fault_of
from radbench.model_adapters.server.limits import Budget, Gate, Persistence
from radbench.model_adapters.server.replies import LARGEST, read_completion, unpacked

from radbench import __version__
from radbench.errors import Interrupted, ModelError
from radbench.records import Answer, Failure, Request

if TYPE_CHECKING:
    import ssl

    import httpx

log = logging.getLogger("radbench")

_AHEAD = 32  # requests drawn beyond those that have a slot
_STRIKES = 3  # first requests that may fail before the server has answered once
_PATIENCE = 2.5  # seconds of waiting for a server that has never been there


class Client:
    """Asks one URL, through ``proxy`` where one is given. Building it sends nothing; ``run`` opens connections and closes
    them.
    """

    def __init__(
        self, name: str, url: str, gate: Gate, persistence: Persistence, budget: Budget, proxy: str | None = None
    ) -> None:
        self.name, self.url, self.proxy = name, url, proxy
        self.gate, self.persistence, self.budget = gate, persistence, budget
        self.attempts = self.retried = 0
        self.reached = False  # the server has answered once: address, key and model name are right
        self._strikes = 0
        self._streak = 0  # requests in a row that failed for want of a server
        self._ssl: ssl.SSLContext | None = None
        self._headers: dict[str, str] = {}

    def run(
        self,
        requests: Iterable[Request],
        prepare: Prepare,
        quick: Callable[[Request], bool],
        ask: Ask,
        headers: Mapping[str, str],
    ) -> Iterator[tuple[Request, Answer]]:
        """Answers as they come, in any order; ``prepare`` runs in a thread of its own unless it is ``quick``.

        Raises :class:`ModelError` where going on makes no sense and :class:`Interrupted` once the budget is spent; what is
        yielded before is complete.
        """
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"radbench/{__version__}",
            **headers,
        }
        self._ssl = _ssl_context(self.url)
        crew = Crew(self, prepare, quick, ask)
        drawn, more, unasked = iter(requests), True, 0
        try:
            while True:
                while more and not crew.stopped and crew.open < self.gate.bound + _AHEAD and not crew.answered:
                    if (request := next(drawn, None)) is None:
                        more = False
                    else:
                        crew.submit(request)
                crew.hand_over()
                if not crew.open:
                    break
                request, answer = crew.take()
                if answer is None:
                    unasked += 1
                else:
                    yield request, answer
        finally:
            crew.close()
        if (spent := self.budget.spent) and (unasked or (more and next(drawn, None) is not None)):
            raise Interrupted(
                f"{self.name}: the budget is spent, {spent}: no more is asked; every answer so far is kept",
                remedy="radbench resume FOLDER asks the rest with the same budget once more",
            )

    def connection(self) -> httpx.AsyncHTTPTransport:
        """A connection of its own for one slot: httpx without its client, which would follow redirects and keep cookies.

        The environment's proxies do not count: nothing goes by a host that nobody named.
        """
        import httpx

        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        return httpx.AsyncHTTPTransport(verify=self._ssl or True, proxy=self.proxy, limits=limits, trust_env=False)

    async def post(self, connection: httpx.AsyncHTTPTransport, body: bytes, prompt: str) -> Reply:
        """One answer, with retries. Raises :class:`Fault` when they are used up or would not help."""
        attempt, waited = 0, 0.0
        while True:
            try:
                return await self._attempt(connection, body, prompt)
            except Fault as fault:
                wait = self.persistence.wait(attempt, fault.wait)
                absent = fault.wrong and not self.reached and waited + wait > _PATIENCE
                if not fault.retry or attempt >= self.persistence.retries or absent:
                    raise
                if not self.reached:  # else a server that hangs from the first keeps everyone waiting without a word
                    log.warning("%s: %s; asking again in %.1f s", self.name, fault.what, wait)
            attempt += 1
            waited += wait
            self.retried += 1
            await asyncio.sleep(wait)

    async def _attempt(self, connection: httpx.AsyncHTTPTransport, body: bytes, prompt: str) -> Reply:
        import httpx

        async with self.gate.slot():
            self.attempts += 1
            sent = time.monotonic()
            try:
                request = httpx.Request("POST", self.url, headers=self._headers, content=body)
                async with asyncio.timeout(self.persistence.timeout):
                    response = await connection.handle_async_request(request)
                    try:
                        content = await _content(response)
                    finally:
                        await response.aclose()
                if response.status_code != 200:
                    raise fault_of(response, content, prompt)
                reply = Reply(_payload(response, content), time.monotonic() - sent)
            except TimeoutError:
                self.gate.overwhelmed(sent)
                raise Fault(f"no answer within {self.persistence.timeout:g} s", retry=True) from None
            except (httpx.ConnectError, httpx.ProxyError) as error:
                # The text is the operating system's: connection refused, name not known. Others may quote a header.
                what = f"the proxy {self.proxy}" if self.proxy else f"the server at {urlsplit(self.url).netloc}"
                remedy = f"is {what} running?"
                raise Fault(f"cannot connect: {error}"[:200], retry=True, wrong=True, remedy=remedy) from None
            except httpx.RequestError as error:
                raise Fault(f"the connection broke: {type(error).__name__}", retry=True) from None
            except Fault as fault:
                if fault.busy:
                    self.gate.overwhelmed(sent)
                raise
            self.gate.succeeded()
            self.reached, self._streak = True, 0
            return reply

    def verdict(self, fault: Fault) -> Answer | None:
        """What a fault means for its request: a counted failure, or None: ask again later, nothing ever worked yet.

        Raises :class:`ModelError` where every other request would fail the same way.
        """
        if fault.kind == "refused":  # by a filter, which read the prompt: the server is there
            self.reached = True
        if not self.reached:
            self._strikes += 1
            if fault.wrong or self._strikes >= _STRIKES:
                raise ModelError(
                    f"{self.name}: nothing has been answered, {fault.what}",
                    said=fault.said,
                    remedy=fault.remedy
                    or "check the base URL (it usually ends in /v1), the model's name and the key's variable",
                )
            return None
        if fault.kind == "transport":
            self._streak += 1
            if self._streak >= max(20, 2 * self.gate.bound):
                raise ModelError(
                    f"{self.name}: {self._streak} requests in a row failed, the last one: {fault.what}",
                    said=fault.said,
                    remedy="see to the server, then radbench resume; every answer so far is kept",
                )
        return Answer(failure=Failure(fault.kind, fault.message))


def _ssl_context(url: str) -> ssl.SSLContext:
    """One for all connections, since reading the certificates takes longer than a short answer."""
    import ssl

    import httpx

    return httpx.create_ssl_context() if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def _content(response: httpx.Response) -> bytes:
    """A response's body, of no more than LARGEST bytes. Raises :class:`Fault`."""
    raw = bytearray()
    async for part in response.aiter_raw():
        raw += part
        if len(raw) > LARGEST:
            raise Fault(f"HTTP {response.status_code} with more than {LARGEST >> 20} MiB")
    try:
        return unpacked(bytes(raw), response.headers.get("Content-Encoding", ""))
    except ValueError as error:
        raise Fault(f"HTTP {response.status_code} with {len(raw)} bytes: {error}") from None


def _payload(response: httpx.Response, content: bytes) -> dict[str, Any]:
    """A response of status 200 as a completion. Raises :class:`Fault` on anything else."""
    try:
        return read_completion(content, response.headers.get("Content-Type", ""))
    except ValueError as error:
        raise Fault(f"HTTP 200 with {len(content)} bytes: {error}", retry=True) from None
