"""A chat-completion server on loopback that fails as it is told to: one reaction for each attempt of each prompt."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reaction:
    """What one attempt is met with: ``body`` after ``delay`` seconds; ``half`` of it, then the connection is closed."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    half: bool = False


Script = Callable[[str, int], Reaction]  # (text of the last message, attempt from 0)


def completion(content: Any = "yes", finish: str = "stop", tokens: tuple[int, int] = (10, 2), **message: Any) -> bytes:
    said = {"role": "assistant", "content": content, **message}
    return json.dumps(
        {
            "choices": [{"index": 0, "message": said, "finish_reason": finish}],
            "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
        }
    ).encode()


def ok(content: Any = "yes", delay: float = 0.0, **fields: Any) -> Reaction:
    return Reaction(completion(content, **fields), delay=delay)


def error(status: int, message: str = "", code: str | None = None, delay: float = 0.0, **headers: str) -> Reaction:
    body = json.dumps({"error": {"message": message, "type": "test_error", "code": code}}).encode()
    return Reaction(body, status, {k.replace("_", "-"): v for k, v in headers.items()}, delay)


def hang(seconds: float = 0.3) -> Reaction:
    return Reaction(completion("too late"), delay=seconds)


def half_a_body() -> Reaction:
    return Reaction(completion("yes" * 50), half=True)


class FaultServer:
    """``with FaultServer(script) as server``: listens on ``server.url``, counts attempts a prompt and those at once."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.attempts: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: dict[str, list[float]] = {}
        self.at_once = self.most_at_once = self.bytes_read = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def __enter__(self) -> FaultServer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 24, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.transport.abort()  # else what is not yet sent keeps it open
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        raw = await reader.readexactly(int(headers["content-length"]))
        self.bytes_read += len(raw)
        body = json.loads(raw)
        prompt = _text_of(body["messages"][-1]["content"])
        attempt = self.attempts[prompt]
        self.attempts[prompt] += 1
        self.bodies.append(body)
        self.headers.append({"path": head[0].split(" ")[1], **headers})
        self.times.setdefault(prompt, []).append(time.monotonic())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            reaction = self._script(prompt, attempt)
            if reaction.delay:
                await asyncio.sleep(reaction.delay)
        finally:
            self.at_once -= 1
        fields = {"content-type": "application/json", "content-length": len(reaction.body), **reaction.headers}
        head_out = "".join(f"{k}: {v}\r\n" for k, v in fields.items())
        sent = reaction.body[: len(reaction.body) // 2] if reaction.half else reaction.body
        writer.write(f"HTTP/1.1 {reaction.status} X\r\n{head_out}\r\n".encode() + sent)
        await writer.drain()
        return not reaction.half


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(p["text"] for p in content if p["type"] == "text")
