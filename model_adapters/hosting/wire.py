"""Requests as files and JSON for programs of other environments, and one such program: a worker process.

Pictures go as PNG, volumes and masks as ``.npy`` without objects, in a folder of the user's alone. Ids are numbers of our
own: a program learns nothing of the sample but what the request shows.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from queue import Empty, Queue
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from radbench.model_adapters.hosting import worker
from radbench.model_adapters.messages import Pictures, Turn, split_reasoning

from radbench.errors import ModelError
from radbench.records import Answer, Box, Failure, Image, Request

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

GRACE = 3.0  # seconds a worker gets to end by itself
_KEPT = 8000  # bytes of standard error
_LINES = 8
_BAD_REPLY = (OSError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError)
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")  # of our environment, wrong in another


def turns_of(request: Request, pictures: Pictures, volumes: bool) -> list[Turn | tuple[str, tuple[Any, ...]]]:
    """The request's turns; volumes whole where ``volumes``, else as slices. Raises :class:`ImageError`."""
    if not volumes or all(image.kind == "2d" for image in request.images):
        return list(pictures.turns(request))
    return [(m.role, tuple(p for part in m.content for p in _parts(part, pictures))) for m in request.messages]


def _parts(part: str | Image, pictures: Pictures) -> Sequence[Any]:
    if isinstance(part, str):
        return [part]
    picture = part.load()
    if not picture.is_volume:
        return pictures.of(part)
    return [worker.Volume(np.array(picture.array, np.float32), picture.spacing)]  # a copy: ours is shared


def fields_of(request: Request) -> dict[str, Any]:
    """Choices, form and generation as the protocol has them. Each draw has a seed of its own."""
    generation = {**asdict(request.generation), "stop": list(request.generation.stop)}
    generation["seed"] += request.draw
    return {"choices": list(request.choices), "form": request.form, "generation": generation}


def pack(
    turns: Iterable[tuple[str, Sequence[Any]]], folder: Path, name: str, plain: bool = False
) -> tuple[list[dict[str, Any]], list[Path]]:
    """Turns as JSON, and the files written for them.

    Pictures are written as our own worker reads them soonest, or ``plain``: RGB and compressed, for programs of others.
    """
    files: list[Path] = []

    def packed(part: Any) -> dict[str, Any]:
        if isinstance(part, str):
            return {"text": part}
        is_volume = hasattr(part, "spacing")
        files.append(folder / f"{name}-{len(files)}.{'npy' if is_volume else 'png'}")
        if is_volume:
            np.save(files[-1], part.array, allow_pickle=False)
            return {"volume": str(files[-1]), "spacing": [float(mm) for mm in part.spacing]}
        (part if plain else _small(part)).save(files[-1], compress_level=int(plain))
        return {"image": str(files[-1])}

    return [{"role": role, "parts": [packed(p) for p in parts]} for role, parts in turns], files


def _small(picture: PILImage) -> PILImage:
    """A picture whose three bands are equal as one band: the reader's ``convert("RGB")`` gives them back."""
    red, *others = picture.split()
    return red if all(band.tobytes() == red.tobytes() for band in others) else picture


def answer_of(reply: Mapping[str, Any]) -> Answer:
    """A reply of :func:`worker.ask` as an Answer. A failure's message may repeat the request: it stays with the answers."""
    if "error" in reply:
        return Answer(failure=Failure("model", f"{type_and_place(reply['error'])}: {reply['error']['message']}"))
    told, boxes = reply["answer"], reply["answer"].get("boxes")
    text, reasoning = split_reasoning(told["text"]) if "text" in told else (None, None)
    cut = told.get("finish") == "length"
    return Answer(
        text=text,
        boxes=None if boxes is None else tuple(Box(*box) for box in boxes),
        mask=reply.get("mask"),
        failure=Failure("cut_off", "no end within the token limit") if cut else None,
        seconds=reply.get("seconds"),
        usage=told.get("usage", {}),
        scores=told.get("scores"),
        reasoning=reasoning,
    )


def checked(reply: Mapping[str, Any], mask: Path | None) -> dict[str, Any]:
    """What another program replied, as :func:`worker.ask` would have, with the mask of a file.

    Nothing it says is believed: raises TypeError, ValueError or others of ``_BAD_REPLY`` on what is no reply.
    """
    if "error" in reply:
        error = reply["error"]
        told = {"type": str(error["type"]), "message": str(error["message"])}
        return {"error": {**told, "frames": [str(frame) for frame in error.get("frames", ())]}}
    answer, drawn = worker.plain({**reply["answer"], **({} if mask is None else {"mask": read_mask(mask)})})
    seconds = reply.get("seconds")
    found = {"answer": answer, "seconds": None if seconds is None else float(seconds)}
    return found if drawn is None else {**found, "mask": drawn}


def read_mask(file: Path) -> Any:
    """The array of a ``.npy`` file. Raises ValueError where it is something else."""
    try:
        return np.lib.format.open_memmap(file, mode="r")
    except FileNotFoundError:
        raise ValueError("mask: the file it names is not there") from None
    except (OSError, ValueError):
        raise ValueError("mask: expected the path of a .npy file with a bool array") from None


def type_and_place(error: Mapping[str, Any]) -> str:
    """What model code raised and where, without its message."""
    return error["type"] + (f" ({error['frames'][-1]})" if error.get("frames") else "")


def not_loaded(name: str, error: Mapping[str, Any], python: str | None, words: str = "") -> ModelError:
    """That a model cannot be loaded, in this process or by the interpreter ``python``."""
    what = f"model '{name}' cannot be loaded{f' in {python}' if python else ''}, {type_and_place(error)}"
    remedy = "radbench models check tells what it said, without any data"
    if error["type"] in ("ImportError", "ModuleNotFoundError"):
        remedy = "install what it needs, or name an environment that has it: python=INTERPRETER"
        remedy = f"install what it needs there: {python} -m pip" if python else remedy
    elif error["type"] in ("LocalEntryNotFoundError", "OfflineModeIsEnabled") or "HF_HUB_OFFLINE" in error["message"]:
        remedy = "nothing is downloaded in a run: radbench fetch model ID, for what it names"
    return ModelError(what, said=error["message"] + words, remedy=remedy)


def last_lines(said: bytes) -> str:
    """The last lines that a program printed, each behind a bar on a line of its own."""
    lines = said.decode("utf-8", "replace").replace("\r", "\n").splitlines()
    return "".join(f"\n  | {line.rstrip()[:200]}" for line in [line for line in lines if line.strip()][-_LINES:])


def ended(code: int) -> str:
    """How a process ended, for people."""
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), as the system does where memory runs out"
    return f"ended by signal {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def end_group(process: subprocess.Popen[Any], grace: float = 0.0) -> None:
    """End a process that leads its own session, and whatever it started."""
    with suppress(subprocess.TimeoutExpired):
        if grace:
            process.wait(grace)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def environment() -> dict[str, str]:
    """Our environment without what belongs to our interpreter alone."""
    return {name: value for name, value in os.environ.items() if name not in _FOREIGN}


class Lost(Exception):
    """A worker ended, or did not answer in time, or answered nonsense."""


class WorkerProcess:
    """One worker: started at the first question, again after it was lost, and never left behind."""

    def __init__(
        self, python: str, name: str, target: str, setup: Mapping[str, Any], timeout: float, start_timeout: float
    ) -> None:
        self._command, self._name = [python, str(Path(worker.__file__).resolve()), target], name
        self._setup, self._timeout, self._start_timeout = setup, timeout, start_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = 0
        self._lock = threading.Lock()
        self.stopped = False

    def start(self) -> Mapping[str, Any]:
        """What the worker says of itself. Raises :class:`ModelError` where it cannot be started or load its model."""
        process = self._launched()
        try:
            hello = self._reply(process, self._start_timeout)
        except Lost as lost:
            raise ModelError(f"the worker {lost} before its model was loaded", said=self.last_words()) from None
        if "error" in hello:
            self.close()
            raise not_loaded(self._name, checked(hello, None)["error"], self._command[0], self.last_words())
        if hello.get("protocol") != worker.PROTOCOL:
            self.close(0)
            said = repr(hello.get("protocol"))
            raise ModelError(f"the worker does not speak protocol {worker.PROTOCOL}", said=said)
        return hello

    def _launched(self) -> subprocess.Popen[bytes]:
        """A new process with its streams being read. Raises :class:`ModelError`, and :class:`Lost` after a stop."""
        with self._lock:
            if self.stopped:
                raise Lost("was stopped")
            self.folder = Path(tempfile.mkdtemp(prefix="radbench-worker-"))  # of mode 0700
            command = [*self._command, json.dumps({**self._setup, "folder": str(self.folder)})]
            pipe = subprocess.PIPE
            try:
                self._process = process = subprocess.Popen(
                    command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment(), start_new_session=True
                )
            except OSError as error:
                shutil.rmtree(self.folder, ignore_errors=True)
                raise ModelError(
                    f"{self._command[0]} cannot be started: {error.strerror}", remedy="python=INTERPRETER"
                ) from None
            assert process.stdout is not None
            assert process.stderr is not None
            self._said, self._lines = b"", Queue[bytes | None]()
            self._threads = [
                threading.Thread(target=self._read_lines, args=(process.stdout, self._lines), daemon=True),
                threading.Thread(target=self._read_said, args=(process.stderr,), daemon=True),
            ]
            for thread in self._threads:
                thread.start()
        return process

    # The threads close what they read: a program that the worker left behind may hold the other end for long.
    @staticmethod
    def _read_lines(stream: IO[bytes], lines: Queue[bytes | None]) -> None:
        with stream:
            begun = b""
            while block := os.read(stream.fileno(), 65536):
                *whole, begun = (begun + block).split(b"\n")
                for line in whole:
                    lines.put(line)
            if begun:
                lines.put(begun)
        lines.put(None)

    def _read_said(self, stream: IO[bytes]) -> None:
        with stream:
            while said := os.read(stream.fileno(), 65536):
                self._said = (self._said + said)[-_KEPT:]

    def last_words(self) -> str:
        """The last lines of standard error since the last question; they may repeat it."""
        return last_lines(self._said)

    def ask(self, turns: Iterable[tuple[str, Sequence[Any]]], fields: Mapping[str, Any]) -> dict[str, Any]:
        """The reply to one request, its mask loaded. Raises :class:`Lost`; the next question starts a new worker."""
        process = self._process
        if process is None or process.stdin is None:
            raise Lost("was stopped")
        self._asked += 1
        try:
            packed, files = pack(turns, self.folder, str(self._asked))
        except FileNotFoundError:  # the worker took its folder along
            self.close()
            raise Lost(ended(process.wait())) from None
        line = json.dumps({"id": self._asked, "turns": packed, **fields}).encode() + b"\n"
        self._said = b""
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except (OSError, ValueError):  # it has ended, or been stopped: the reply says how
            pass
        reply = self._reply(process, self._timeout)
        try:
            if reply.get("id") != self._asked or not {"answer", "error"} & reply.keys():
                raise ValueError("another request's")
            if "mask" in reply:
                files.append(self.folder / Path(reply["mask"]).name)
            found = checked(reply, files[-1] if "mask" in reply else None)
        except _BAD_REPLY:
            self.close(0)
            raise Lost("sent a line that is no answer to the request") from None
        for file in files:
            file.unlink(missing_ok=True)
        return found

    def _reply(self, process: subprocess.Popen[bytes], timeout: float) -> dict[str, Any]:
        line, end = self._line(process, timeout)
        if end:
            raise Lost(end)
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            self.close(0)
            raise Lost("sent a line that is no JSON object")
        return reply

    def _line(self, process: subprocess.Popen[bytes], timeout: float) -> tuple[bytes, str]:
        """The next line, or how the worker was lost. Its output may stay open after its end, where it left a program behind."""
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            over = process.poll() is not None
            try:
                line = self._lines.get(timeout=min(1.0, left))
            except Empty:
                if not over:
                    continue
                line = None
            if line is not None:
                return line, ""
            self.close()
            return b"", ended(process.wait())
        self.close(0)
        return b"", f"gave no answer within {timeout:g} s"

    @property
    def alive(self) -> bool:
        return self._process is not None

    def stop(self) -> None:
        """End the worker now and start none until ``stopped`` is taken back."""
        with self._lock:
            self.stopped = True
        self.close(0)

    def close(self, grace: float = GRACE) -> None:
        """End the worker and remove its files."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            if process.stdin:
                process.stdin.close()
        end_group(process, grace)
        for thread in self._threads:
            thread.join(1.0)
        shutil.rmtree(self.folder, ignore_errors=True)
