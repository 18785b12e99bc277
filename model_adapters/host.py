"""Models written for another library: one class, loaded in this process or by a worker in an environment of its own."""

from __future__ import annotations

import functools
import inspect
import logging
import shutil
import sys
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from radbench.model_adapters.hosting import worker
from radbench.model_adapters.hosting.code import Code, anchored
from radbench.model_adapters.hosting.wire import Lost, WorkerProcess, answer_of, error_text, fields_of, turns_of
from radbench.model_adapters.messages import MultiImage, Pictures

from radbench.errors import ConfigError, ImageError, ModelError
from radbench.records import Answer, Failure, Request

log = logging.getLogger("radbench")

_IN_A_ROW = 3  # losses of a worker without an answer between them, after which the run stops


class Hosted:
    """A hosted class as a model: in this process, or with ``python=`` in a worker of another environment.

    ``python`` is an interpreter or the folder of its environment; ``workers`` how many processes answer side by side.
    A request may take ``timeout`` seconds and loading ``start_timeout``. ``multi_image``, ``slices`` and ``window``
    say how pictures reach it, as for every model; by default several pictures are an error where the class does not
    declare ``multi_image``. All other options are the class's own. It needs ``answer(turns, choices, form,
    generation) -> str | dict`` and the attribute ``capabilities``; docs/models.md shows one.
    """

    capabilities: frozenset[str] = frozenset()

    def __init__(
        self,
        factory: type | Code,
        *arguments: object,
        python: str | None = None,
        workers: int = 1,
        timeout: float = 600.0,
        start_timeout: float = 1800.0,
        multi_image: MultiImage | None = None,
        slices: int = 8,
        window: str | None = None,
        **options: object,
    ) -> None:
        """Raise :class:`ConfigError` on a wrong option; nothing is loaded."""
        self._code = code = factory if isinstance(factory, Code) else Code.of_class(factory)
        for name, value in {"timeout": timeout, "start_timeout": start_timeout}.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise ConfigError(f"{name} is {value!r}, expected seconds")
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise ConfigError(f"workers is {workers!r}, expected a whole number of at least 1")
        self.capabilities = code.capabilities
        self._pictures, theirs = _policy(code, {"multi_image": multi_image, "slices": slices, "window": window})
        names = [*code.signature.parameters, *("" for _ in arguments)]
        self._arguments = [anchored(name, a) for name, a in zip(names, arguments, strict=False)]
        self._options = {k: anchored(k, v) for k, v in (options | theirs).items()}
        self._bound = code.bound(self._arguments, self._options, HOSTED_OPTIONS)
        self._loaded: Any = None
        self._printed: Mapping[str, str] | None = None
        self._told: set[str] = set()  # types of errors whose place is in the log
        self._workers: list[WorkerProcess] = []
        if python is not None or workers > 1:
            interpreter = sys.executable if python is None else _interpreter(python)
            setup = {"arguments": self._arguments, "options": self._options, "checkout": code.checkout}
            self._workers = [
                WorkerProcess(interpreter, code.target, setup, float(timeout), float(start_timeout))
                for _ in range(workers)
            ]
            weakref.finalize(self, _close_all, self._workers)  # also at the interpreter's exit
        if (prompt := _pure_prompt(code.factory)) is not None:
            # Not a method: a model that refers to itself would keep its worker until some later collection.
            self.shown = functools.partial(_shown, prompt, self._bound, self._pictures, self.capabilities)

    def fingerprint(self) -> Mapping[str, str]:
        """Name, options, and the contents of what the options name on disk. In process and in a worker it is the same."""
        if self._printed is None:
            self._printed = {**self._code.fingerprint(self._bound), "pictures": self._pictures.said()}
        return self._printed

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        """Raises :class:`ModelError` where the model cannot be loaded, or its worker is lost three times in a row."""
        return self._by_workers(requests) if self._workers else self._here(requests)

    def _turns(self, request: Request) -> list[Any]:
        return turns_of(request, self._pictures, "volumes" in self.capabilities)

    def _here(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            try:
                turns = [(turn[0], list(turn[1])) for turn in self._turns(request)]
            except ImageError as error:
                yield request, Answer(failure=Failure("input", error.message))
                continue
            fields = fields_of(request)
            reply = worker.ask(self._model(), turns, fields["choices"], fields["form"], fields["generation"])
            yield request, self._answer(reply, request)
            if _cuda_is_gone(reply):
                raise ModelError(
                    f"model '{self._code.name}': after a CUDA error nothing works in this process",
                    remedy="radbench resume; with python=INTERPRETER a worker starts again by itself",
                )

    def _model(self) -> Any:
        if self._loaded is None:
            factory = self._code.factory
            assert factory is not None
            try:
                self._loaded = factory(*self._arguments, **self._options)
            except (Exception, SystemExit) as error:
                log.exception("model '%s' cannot be loaded", self._code.name)
                remedy = "run.log has the traceback"
                if isinstance(error, ImportError):
                    remedy = "install what it needs, or name an environment that has it: python=INTERPRETER"
                what = error_text(worker.told(error))
                raise ModelError(f"model '{self._code.name}' cannot be loaded: {what}", remedy=remedy) from error
        return self._loaded

    def _answer(self, reply: Mapping[str, Any], request: Request) -> Answer:
        error = reply.get("error")
        if error and error["type"] not in self._told:  # where, never what: a message may repeat a text
            self._told.add(error["type"])
            where = " < ".join(error["frames"][::-1]) or "what it returned"
            log.warning("model '%s' raised %s at %s", self._code.name, error["type"], where)
        return answer_of(reply, _texts(request))

    def _by_workers(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        free: SimpleQueue[WorkerProcess] = SimpleQueue()
        for process in self._workers:
            process.stopped = False
            free.put(process)
        waiting: dict[Future[Answer | str], Request] = {}
        in_a_row, finished = 0, False
        pool = ThreadPoolExecutor(len(self._workers), thread_name_prefix="radbench-worker")
        try:
            for request in _and_none(requests):
                if request is not None:
                    waiting[pool.submit(self._ask, request, free)] = request
                while waiting and (request is None or len(waiting) > len(self._workers)):
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        answer = future.result()
                        in_a_row = in_a_row + 1 if isinstance(answer, str) else 0
                        if isinstance(answer, str) and in_a_row >= _IN_A_ROW:
                            raise ModelError(
                                f"model '{self._code.name}': {in_a_row} requests in a row lost their worker: it {answer}",
                                remedy="the answers so far are safe: mend the model, then radbench resume",
                            )
                        lost = f"the worker {answer}".partition("\n")[0]
                        yield waiting.pop(future), answer if isinstance(answer, Answer) else _failed(lost)
            finished = True
        finally:
            if not finished:
                for process in self._workers:
                    process.stop()
            pool.shutdown(cancel_futures=True)

    def _ask(self, request: Request, free: SimpleQueue[WorkerProcess]) -> Answer | str:
        """The answer, or how the worker was lost."""
        process = free.get()
        try:
            turns = self._turns(request)
            if not process.alive:
                self._greeted(process.start())
            reply = process.ask(turns, fields_of(request))
            if _cuda_is_gone(reply):
                process.close()
        except ImageError as error:
            return Answer(failure=Failure("input", error.message))
        except Lost as lost:
            return f"{lost}{process.last_words(_texts(request))}"
        finally:
            free.put(process)
        return self._answer(reply, request)

    def _greeted(self, hello: Mapping[str, Any]) -> None:
        said = frozenset(hello["capabilities"])
        if said != self.capabilities:
            here, there = ", ".join(sorted(self.capabilities)), ", ".join(sorted(said))
            raise ModelError(f"model '{self._code.name}' has the capabilities {there} in its worker, here {here}")
        packages = ", ".join(f"{name} {version}" for name, version in hello["packages"].items())
        log.info(
            "model '%s' runs in Python %s with %s", self._code.name, hello["python"], packages or "no package known"
        )


class Worker(Hosted):
    """A class of any file as a model, in a worker of its own environment: worker:FILE.py:Class,python=/env/bin/python.

    The file is not imported here. ``checkout`` is a folder its imports come from; all options but those of every
    hosted model (``python``, ``workers``, ``timeout``, ``start_timeout``, ``multi_image``, ``slices``, ``window``) go to
    the class, ``checkout`` too where it asks for one.
    """

    capabilities = frozenset({"text", "boxes", "mask2d", "mask3d", "multi_image", "volumes"})
    has_paths = True

    def __init__(
        self, target: str, *arguments: object, python: str | None = None, checkout: str | None = None, **options: Any
    ) -> None:
        code = Code.in_file(str(target))
        if checkout is not None:
            folder = Path(checkout).expanduser().absolute()
            if not folder.is_dir():
                raise ConfigError(f"checkout: {checkout} is no folder")
            code = replace(code, checkout=str(folder))
            if "checkout" in code.signature.parameters:
                options["checkout"] = str(folder)
        super().__init__(code, *arguments, python=python or sys.executable, **options)


_DEFAULTS = {name: p.default for name, p in inspect.signature(Hosted).parameters.items() if p.kind is p.KEYWORD_ONLY}
HOSTED_OPTIONS = ", ".join(f"{name}={value}" for name, value in _DEFAULTS.items())


def _interpreter(python: str) -> str:
    """The interpreter a user means: a file, a program of the PATH, or an environment's folder. Raises ConfigError."""
    path = Path(python).expanduser()
    if path.is_dir():
        path = path / "bin" / "python"
    found = shutil.which(str(path))
    if found is None:
        raise ConfigError(f"python={python}: no such interpreter", remedy="python=/path/of/environment/bin/python")
    return str(Path(found).absolute())  # not resolved: a link is what makes a virtual environment


def _policy(code: Code, given: dict[str, Any]) -> tuple[Pictures, dict[str, Any]]:
    """How pictures reach the class, and those of the options that it has itself: they are its own business."""
    own = given.keys() & code.signature.parameters.keys()
    theirs = {name: given[name] for name in own if given[name] != _DEFAULTS[name]}
    ours = {name: _DEFAULTS[name] if name in own else value for name, value in given.items()}
    if ours["multi_image"] is None:
        ours["multi_image"] = "all" if "multi_image" in code.capabilities | own else "error"
    return Pictures(**ours), theirs


def _shown(
    prompt: Callable[..., str], bound: Mapping[str, Any], pictures: Pictures, able: Collection[str], request: Request
) -> str:
    fields, asked = fields_of(request), list(inspect.signature(prompt).parameters)[3:]
    options = {name: bound[name] for name in asked if name in bound}
    return prompt(turns_of(request, pictures, "volumes" in able), fields["choices"], fields["form"], **options)


def _pure_prompt(factory: Any) -> Callable[..., str] | None:
    """The class's static method ``shown`` or ``prompt``: (turns, choices, form, options of the class by their names)."""
    for name in ("shown", "prompt"):
        if isinstance(inspect.getattr_static(factory, name, None), staticmethod | classmethod):
            return getattr(factory, name)
    return None


def _cuda_is_gone(reply: Mapping[str, Any]) -> bool:
    """Whether the model met an error after which nothing works in its process."""
    return "CUDA error" in reply.get("error", {}).get("message", "")


def _texts(request: Request) -> list[str]:
    return [part for message in request.messages for part in message.content if isinstance(part, str)]


def _failed(how: str) -> Answer:
    return Answer(failure=Failure("model", how))


def _and_none(requests: Iterable[Request]) -> Iterator[Request | None]:
    yield from requests
    yield None


def _close_all(workers: Sequence[WorkerProcess]) -> None:
    for process in workers:
        process.close()
