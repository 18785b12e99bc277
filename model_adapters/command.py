"""Any program as a model: it reads the requests of a file and writes the answers into another."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from radbench.model_adapters.hosting import worker
from radbench.model_adapters.hosting.code import CAPABILITIES
from radbench.model_adapters.hosting.wire import (
    answer_of,
    checked,
    end_group,
    ended,
    fields_of,
    last_lines,
    pack,
    turns_of,
)
from radbench.model_adapters.identity import of_path
from radbench.model_adapters.messages import Pictures

from radbench.errors import ConfigError, ImageError, ModelError
from radbench.records import Answer, Failure, Request

_OPTION = re.compile(r",(batch|timeout|capabilities)=([^,\s]+)$")
_MOST = 2 << 30  # bytes of pictures and volumes that wait on disk
_KEPT = 8000  # bytes of what the program printed


class Command:
    """A program of your own: command:PROGRAM ARGUMENTS, called with in.json and out.json behind its arguments.

    in.json: ``{"version": 1, "requests": [{"id", "turns", "choices", "form", "generation"}]}`` with turns as in worker.py.
    out.json: ``{"answers": [{"id", "text" | "boxes" | "mask" | "scores" | "usage"}]}``, or such answers one a line;
    ``mask`` is the path of a ``.npy`` file. Behind the command may stand ``,batch=100`` (requests a call),
    ``,timeout=3600`` (seconds a call) and ``,capabilities=text+boxes`` (default all). There is no shell: no pipes, no
    variables. Where radbench is killed (SIGKILL) the program goes on to its end, and the folder with its pictures stays in
    the system's temporary folder.
    """

    raw_argument: ClassVar[bool] = True
    capabilities = frozenset(CAPABILITIES)

    def __init__(self, command: str) -> None:
        """Raise :class:`ConfigError` on a program that is not there or an option out of range; nothing is run."""
        options: dict[str, str] = {}
        while found := _OPTION.search(command):
            options.setdefault(found[1], found[2])
            command = command[: found.start()]
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise ConfigError(f"command: {error}: {command}") from None
        if not self._words:
            raise ConfigError("command: no program is named", remedy="command:python my_infer.py")
        if shutil.which(self._words[0]) is None:
            raise ConfigError(
                f"command: there is no program '{self._words[0]}'", remedy="a program of the PATH, or its path"
            )
        self._batch = int(_number("batch", options.get("batch", "100"), whole=True))
        self._timeout = _number("timeout", options.get("timeout", "3600"))
        self.capabilities = frozenset(options.get("capabilities", "+".join(CAPABILITIES)).split("+"))
        if unknown := self.capabilities - set(CAPABILITIES):
            raise ConfigError(
                f"command: capabilities={'+'.join(sorted(unknown))}", remedy=f"some of {'+'.join(CAPABILITIES)}"
            )

    def fingerprint(self) -> Mapping[str, str]:
        """The command line, with the contents of the files and folders it names instead of where they lie."""
        said = [_said(word, program=position == 0) for position, word in enumerate(self._words)]
        shown = " ".join(word.partition("#")[0] for word in said)
        return {
            "adapter": "command",
            "name": f"command:{shown}",
            "command": shlex.join(said),
            "capabilities": "+".join(sorted(self.capabilities)),
        }

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        """Raises :class:`ModelError` where the program ends well and its answers are not what was agreed."""
        left = iter(requests)
        while True:
            with tempfile.TemporaryDirectory(prefix="radbench-command-") as folder:  # of mode 0700
                batch, packed, failed = self._packed(left, Path(folder))
                yield from failed
                if batch:
                    yield from self._run(batch, packed, Path(folder))
                elif not failed:
                    return

    def _packed(
        self, left: Iterator[Request], folder: Path
    ) -> tuple[dict[str, Request], list[dict[str, Any]], list[tuple[Request, Answer]]]:
        """The next requests by their id, as in in.json, and those whose picture cannot be shown."""
        batch: dict[str, Request] = {}
        packed: list[dict[str, Any]] = []
        failed: list[tuple[Request, Answer]] = []
        pictures, size = Pictures(), 0
        for request in islice(left, self._batch):
            name = str(len(batch))
            try:
                turns, files = pack(
                    turns_of(request, pictures, "volumes" in self.capabilities), folder, name, plain=True
                )
            except ImageError as error:
                failed.append((request, Answer(failure=Failure("input", error.message))))
                continue
            batch[name] = request
            packed.append({"id": name, "turns": turns, **fields_of(request)})
            size += sum(file.stat().st_size for file in files)
            if size > _MOST:
                break
        return batch, packed, failed

    def _run(
        self, batch: Mapping[str, Request], packed: list[dict[str, Any]], folder: Path
    ) -> Iterator[tuple[Request, Answer]]:
        given, made, said = folder / "in.json", folder / "out.json", folder / "said.txt"
        given.write_text(json.dumps({"version": worker.PROTOCOL, "requests": packed}))
        with said.open("wb") as stream:
            process = subprocess.Popen(
                [*self._words, str(given), str(made)],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
            how = ""
            try:
                if code := process.wait(self._timeout):
                    how = f"the program {ended(code)}"
            except subprocess.TimeoutExpired:
                how = f"the program had not ended after {self._timeout:g} s: timeout=, or a smaller batch="
            finally:
                end_group(process)
        if how:
            how += _last_words(said)  # it may repeat a request: a failure's message stays with the answers
            yield from ((request, Answer(failure=Failure("model", how))) for request in batch.values())
            return
        replies = _read(made, batch)
        for name, request in batch.items():
            missing = Answer(failure=Failure("empty", "out.json has no answer to the request"))
            yield request, _answer(replies[name], folder) if name in replies else missing


def _number(name: str, text: str, whole: bool = False) -> float:
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        number = 0
    if not number > 0:
        raise ConfigError(f"command: {name}={text}, expected a {'whole ' if whole else ''}number above 0")
    return number


def _said(word: str, program: bool) -> str:
    """A word of the command line; a path by its last part and its contents, unless the working directory lies in it."""
    key, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    path = Path(value).expanduser()
    if value and path.exists() and not (program and os.sep not in value):
        inside = path.resolve() in (Path.cwd(), *Path.cwd().parents)
        return f"{key}{equals}{path.name}" + ("" if inside else f"#{of_path(path)}")
    return f"{key}{equals}{path.name}" if value.startswith("/") else word


def _last_words(said: Path) -> str:
    with said.open("rb") as stream:
        stream.seek(max(0, said.stat().st_size - _KEPT))
        return last_lines(stream.read())


def _read(made: Path, batch: Mapping[str, Request]) -> dict[str, Mapping[str, Any]]:
    """The program's answers by id. Raises :class:`ModelError` on what is no answer, or an answer to nothing."""
    try:
        text = made.read_text(encoding="utf-8")
    except OSError:
        raise ModelError("the program ended well and wrote no out.json", remedy="its last argument is where") from None
    except UnicodeDecodeError as error:
        raise ModelError(
            f"out.json is no UTF-8, at byte {error.start}", remedy="encoding='utf-8' where it is written"
        ) from None
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    try:
        if isinstance(whole, dict) and "answers" in whole:
            found = whole["answers"]
        else:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise ModelError("out.json is neither JSON nor JSON lines", said=str(error)) from None
    if not isinstance(found, list) or not all(isinstance(f, dict) and "id" in f for f in found):
        raise ModelError("out.json: expected {'answers': [{'id', 'text'}, ...]}, or such answers one a line")
    replies = {str(f["id"]): f for f in found}
    if len(replies) < len(found):
        raise ModelError("out.json answers a request twice")
    if extra := len(replies.keys() - batch.keys()):
        raise ModelError(f"out.json has {extra} answers to ids that in.json does not have")
    return replies


def _answer(reply: Mapping[str, Any], folder: Path) -> Answer:
    """One answer, checked as a hosted model's is; what cannot be used is a failure of its sample."""
    value = {key: item for key, item in reply.items() if key not in ("id", "mask")}
    try:
        mask = None if reply.get("mask") is None else folder / reply["mask"]
        return answer_of(checked({"answer": value}, mask))
    except (OSError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
        return answer_of({"error": {**worker.told(error), "frames": []}})
