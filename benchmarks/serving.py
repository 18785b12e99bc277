"""Requests a second of ``openai:`` beside bare httpx clients, 64 at a time, against one server in the same run.

The server is a process of its own that answers every request after 20 ms. A bare client is ``asyncio.gather`` over
``httpx.AsyncClient.post``: once with one client for all requests behind ``Semaphore(64)``, as most scripts have it, and once
with one client for each of the 64, which httpx serves several times faster. Payloads are the same. Those of text, and of
pictures whose encodings are kept, are made before the clock starts, for the bare clients wholly; with fresh pictures
every way reads and encodes each of them while the clock runs. ``end to end`` is ``radbench.evaluate`` with answers and scores
on disk. Repetitions alternate; medians count.

    python benchmarks/serving.py            # exits 1 where the adapter is below 90 % of the bare client
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image as PIL

sys.path.insert(0, str(Path(__file__).parent))
from radbench.model_adapters.messages import Pictures
from radbench.model_adapters.openai import OpenAI
from radbench.model_adapters.server.messages import Messages
from run import machine

import radbench
from radbench.images import cache_clear
from radbench.records import Image, Message, Request

AT_ONCE = 64
LATENCY = 0.020
SIDE = 512  # pixels of a picture; as many distinct ones as requests, as in a dataset
LEAST = 0.90
JSON = {"Content-Type": "application/json"}
Bodies = list[Callable[[], bytes]]


class Answering(asyncio.Protocol):
    """Reads a request by its Content-Length and answers it after the latency."""

    body = b'{"choices":[{"message":{"content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1}}'
    response = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body

    def connection_made(self, transport: Any) -> None:
        self._transport, self._read, self._due = transport, bytearray(), 0

    def data_received(self, data: bytes) -> None:
        self._read += data
        if not self._due and (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._read[:end]).lower()
            self._due = end + 4 + int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        if self._due and len(self._read) >= self._due:
            del self._read[: self._due]
            self._due = 0
            asyncio.get_running_loop().call_later(LATENCY, self._transport.write, self.response)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def one_client(url: str, bodies: Bodies) -> int:
    slots = asyncio.Semaphore(AT_ONCE)
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(limits=limits, trust_env=False, headers=JSON) as client:

        async def ask(body: Callable[[], bytes]) -> bool:
            async with slots:
                reply = await client.post(url, content=body())
                return bool(reply.json()["choices"][0]["message"]["content"] == "yes")

        return sum(await asyncio.gather(*map(ask, bodies)))


async def client_each(url: str, bodies: Bodies) -> int:
    left, context = iter(bodies), httpx.create_ssl_context()

    async def work() -> int:
        right = 0
        async with httpx.AsyncClient(verify=context, trust_env=False, headers=JSON) as client:
            for body in left:
                reply = await client.post(url, content=body())
                right += reply.json()["choices"][0]["message"]["content"] == "yes"
        return right

    return sum(await asyncio.gather(*(work() for _ in range(AT_ONCE))))


def requests_of(n: int, images: list[Image]) -> list[Request]:
    shown = [(image,) for image in images] or [()] * n
    return [
        Request("bench", f"q{i}", (Message("user", (*shown[i], f"Question {i}?")),), key=i.to_bytes(16, "big"))
        for i in range(n)
    ]


def pictures(folder: Path, n: int) -> list[Image]:
    """Distinct radiograph-like grey pictures: a smooth field with a little noise, as PNG files."""
    rng, made = np.random.default_rng(0), []
    for i in range(n):
        coarse = PIL.fromarray(rng.integers(0, 256, (8, 8)).astype(np.uint8)).resize(
            (SIDE, SIDE), PIL.Resampling.BICUBIC
        )
        noisy = np.asarray(coarse).astype(np.int16) + rng.integers(-3, 4, (SIDE, SIDE))
        PIL.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
        made.append(Image(str(folder / f"{i}.png")))
    return made


def task_file(folder: Path, n: int, images: list[Image]) -> str:
    rows = [
        {"id": f"q{i}", "question": f"Question {i}?", "answer": "yes"}
        | ({"image": Path(images[i].path).name} if images else {})
        for i in range(n)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    task = {
        "name": "bench",
        "kind": "vqa",
        "metrics": ["exact-match"],
        "data": {"table": "rows.jsonl", "access": "open"},
    }
    (folder / "bench.yaml").write_text(json.dumps(task))
    return str(folder / "bench.yaml")


def compare(title: str, url: str, folder: Path, n: int, images: list[Image], repeats: int, fresh: bool = False) -> bool:
    """Prints the medians and their ratios; whether the adapter alone reaches the least ratio to the bare client."""
    requests, post = requests_of(n, images), f"{url}/chat/completions"
    options = {"model": "m", "max_tokens": 512, "temperature": 0.0, "seed": 0}

    def body(request: Request) -> bytes:  # nothing is kept: each call reads and encodes
        return json.dumps({"messages": Messages(Pictures()).of(request), **options}).encode()

    ready = [body(r) for r in requests]
    bodies: Bodies = [(lambda r=r: body(r)) if fresh else (lambda b=b: b) for r, b in zip(requests, ready, strict=True)]  # type: ignore[misc]
    task, runs = task_file(folder, n, images), iter(range(1000))
    kept = OpenAI(url, model="m", concurrency=AT_ONCE)
    list(kept.answer(iter(requests)))

    def adapter() -> int:
        model = OpenAI(url, model="m", concurrency=AT_ONCE) if fresh else kept
        return sum(a.text == "yes" for _, a in model.answer(iter(requests)))

    def end_to_end() -> int:
        spec = f"openai:{url},model=m,concurrency={AT_ONCE}"
        results = radbench.evaluate(spec, task, out=folder / f"run-{next(runs)}", resamples=10).results
        return round(results["tasks"]["bench"]["metrics"]["exact-match"]["value"] * n) if results else 0

    ways: dict[str, Callable[[], int]] = {
        "bare httpx, one client": lambda: asyncio.run(one_client(post, bodies)),
        "bare httpx, 64 clients": lambda: asyncio.run(client_each(post, bodies)),
        "adapter": adapter,
    }
    if fresh or not images:
        ways["end to end"] = end_to_end
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            cache_clear()
            started = time.perf_counter()
            right = way()
            seconds[name].append(time.perf_counter() - started)
            if right != n:
                sys.exit(f"{name}: {right} of {n} answers are right")
    rates = {name: n / statistics.median(s) for name, s in seconds.items()}
    print(f"\n{title}: {n:,} requests of {len(ready[0]):,} bytes, {AT_ONCE} at once, median of {repeats}")
    peers = list(rates)[:2]
    print(f"{'':26}{'requests/s':>11}{'/ one client':>14}{'/ 64 clients':>14}")
    for name, rate in rates.items():
        print(f"{name:26}{rate:11.0f}" + "".join(f"{rate / rates[peer]:14.2f}" for peer in peers))
    return rates["adapter"] >= LEAST * rates[peers[0]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-n", type=int, default=2000, help="requests of text; of pictures a fifth, 250 at most")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    print(machine())
    with (
        subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as server,
        tempfile.TemporaryDirectory(prefix="radbench-serving-") as name,
    ):
        try:
            assert server.stdout is not None
            url, folder = f"http://127.0.0.1:{int(server.stdout.readline())}/v1", Path(name)
            for part in ("text", "pictures"):
                (folder / part).mkdir()
            held = [compare("text", url, folder / "text", options.n, [], options.repeats)]
            few = folder / "pictures"
            images = pictures(few, min(options.n // 5, 250))  # as many as are kept encoded
            again = images * 4
            held.append(compare("pictures, encodings kept", url, few, len(again), again, options.repeats))
            held.append(compare("pictures, fresh", url, few, len(images), images, options.repeats, fresh=True))
        finally:
            server.terminate()
    print(f"\nadapter at {LEAST:.0%} or more of the bare client: {'yes' if all(held) else 'NO'}")
    sys.exit(not all(held))


main()
