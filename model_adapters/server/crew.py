"""The background thread of ``openai:``: slots that take requests, ask, and hand answers back.

One coroutine a slot, each with an HTTP connection of its own: httpx looks through a shared pool anew for every request,
which at 64 connections costs more than the request. Requests are drawn by the calling thread, a few more than have a slot,
so that no more pictures are encoded at once than there are slots.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from radbench.model_adapters.server.faults import Fault

from radbench.errors import RadbenchError
from radbench.records import Answer, Request

if TYPE_CHECKING:
    import httpx
    from radbench.model_adapters.server.client import Client

_BATCH, _PAUSE = 8, 0.005  # requests handed to the loop together, and the seconds one waits for others at most


class Reply(NamedTuple):
    """A server's JSON object and the seconds it took, without the attempts before it."""

    payload: dict[str, Any]
    seconds: float


Post = Callable[[bytes], Awaitable[Reply]]  # one JSON body, with retries; raises Fault
Prepare = Callable[[Request], bytes | Answer]
Ask = Callable[[Request, bytes, Post], Awaitable[Answer]]
_Done = tuple[Request, Answer | None]


class Crew:
    """The background thread: a coroutine a slot takes requests, asks and hands answers back."""

    def __init__(self, client: Client, prepare: Prepare, quick: Callable[[Request], bool], ask: Ask) -> None:
        self._client, self._prepare, self._quick, self._ask = client, prepare, quick, ask
        self.open = 0  # requests submitted and not taken back; the calling thread's
        self.stopped = False  # the budget is spent
        # Both threads share one interpreter lock, so that each wake-up of the other costs: they exchange in batches.
        self._outgoing: list[Request] = []
        self._since = 0.0
        self._incoming: list[_Done] = []
        self._taken: deque[_Done] = deque()
        self._answers: SimpleQueue[list[_Done] | BaseException] = SimpleQueue()
        self._requests: asyncio.Queue[Request] = asyncio.Queue()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="radbench-openai", daemon=True)
        self._thread.start()
        self._ready.wait()

    @property
    def answered(self) -> bool:
        """Whether an answer can be taken without waiting."""
        return bool(self._taken) or not self._answers.empty()

    def submit(self, request: Request) -> None:
        """Accept a request; it goes to the loop at once where a slot may be free, else with others."""
        now = time.monotonic()
        if not self._outgoing:
            self._since = now
        self.open += 1
        self._outgoing.append(request)
        free = self.open <= self._client.gate.bound
        if free or len(self._outgoing) >= _BATCH or now - self._since > _PAUSE:
            self.hand_over()

    def hand_over(self) -> None:
        """Everything accepted goes to the loop now."""
        if self._outgoing:
            requests, self._outgoing = self._outgoing, []
            with suppress(RuntimeError):  # the loop has ended with an error, which take() raises
                self._loop.call_soon_threadsafe(self._put, requests)

    def take(self) -> _Done:
        """The next answer; None for a request that was not asked. Raises what ended the thread."""
        if not self._taken:
            got = self._answers.get()
            if isinstance(got, BaseException):
                raise got
            self._taken.extend(got)
        self.open -= 1
        return self._taken.popleft()

    def _put(self, requests: list[Request]) -> None:
        for request in requests:
            self._requests.put_nowait(request)

    def _give(self, done: _Done) -> None:
        """Hand an answer back with those of the same turn of the loop."""
        if not self._incoming:
            self._loop.call_soon(self._flush)
        self._incoming.append(done)

    def _flush(self) -> None:
        if self._incoming:
            done, self._incoming = self._incoming, []
            self._answers.put(done)

    def close(self) -> None:
        """Cancel what is under way and wait for the connections to close."""
        with suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._end)
        self._thread.join(10)

    def _main(self) -> None:
        try:
            asyncio.run(self._work())
        except asyncio.CancelledError:
            pass
        except BaseExceptionGroup as group:
            self._flush()
            self._answers.put(_first(group))
        except BaseException as error:  # noqa: BLE001 - it is raised again in the calling thread
            self._flush()
            self._answers.put(error)
        finally:
            self._ready.set()

    async def _work(self) -> None:
        self._loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._end = task.cancel
        self._first = asyncio.Lock()
        self._pool = ThreadPoolExecutor(thread_name_prefix="radbench-encode")
        self._ready.set()
        try:
            async with asyncio.TaskGroup() as slots:
                for _ in range(self._client.gate.bound):
                    slots.create_task(self._slot())
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _slot(self) -> None:
        request = await self._requests.get()  # a connection is made for a slot that is needed
        async with self._client.connection() as connection:
            while True:
                if self._client.budget.spent:
                    self.stopped = True
                    self._give((request, None))
                elif (answer := await self._one(request, connection)) is None:
                    self._requests.put_nowait(request)
                else:
                    self._give((request, answer))
                request = await self._requests.get()

    async def _one(self, request: Request, connection: httpx.AsyncHTTPTransport) -> Answer | None:
        """Until the server has answered once, one request at a time: a wrong key is then told once, not 64 times."""
        if not self._client.reached:
            async with self._first:
                if not self._client.reached:
                    return await self._answer(request, connection)
        return await self._answer(request, connection)

    async def _answer(self, request: Request, connection: httpx.AsyncHTTPTransport) -> Answer | None:
        if self._quick(request):
            prepared = self._prepare(request)
        else:
            prepared = await self._loop.run_in_executor(self._pool, self._prepare, request)
        if isinstance(prepared, Answer):
            return prepared

        def post(body: bytes) -> Awaitable[Reply]:
            return self._client.post(connection, body, request.text)

        try:
            return await self._ask(request, prepared, post)
        except Fault as fault:
            return self._client.verdict(fault)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a group of coroutines: one of ours before any other."""
    errors = [_first(e) if isinstance(e, BaseExceptionGroup) else e for e in group.exceptions]
    return next((e for e in errors if isinstance(e, RadbenchError)), errors[0])
