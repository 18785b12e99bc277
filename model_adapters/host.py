"""Models written for another library: one class, loaded in this process or by a worker in an environment of its own."""

from __future__ import annotations

import functools
import inspect
import logging
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from radbench.model_adapters.hosting import worker
from radbench.model_adapters.hosting.code import Code
from radbench.model_adapters.hosting.crew import Crew, cuda_is_gone
from radbench.model_adapters.hosting.wire import WorkerProcess, answer_of, fields_of, not_loaded, turns_of
from radbench.model_adapters.messages import MultiImage, Pictures

from radbench.errors import ConfigError, ImageError, ModelError
from radbench.records import Answer, Failure, Request

log = logging.getLogger("radbench")


class Hosted:
    """A hosted class as a model: in this process, or with ``python=`` in a worker of another environment.

    ``python`` is an interpreter or the folder of its environment; ``workers`` how many processes answer side by side.
    A request may take ``timeout`` seconds and loading ``start_timeout``. ``multi_image``, ``slices`` and ``window``
    say how pictures reach it, as for every model; by default several pictures are an error where the class does not
    declare ``multi_image``. All other options are the class's own. It needs ``answer(turns, choices, form,
    generation) -> str | dict`` and the attribute ``capabilities``; docs/models.md shows one. A class that asks a server
    says so by ``endpoint``: restricted data are then refused where that is not this machine.
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
        self._bound, self._call = code.bound(arguments, options | theirs, HOSTED_OPTIONS)
        if endpoint := self._bound.get("endpoint", code.endpoint):
            self.endpoint = str(endpoint)
        self._checkout = code.checkout or self._call.arguments.get("checkout")
        self._loaded: Any = None
        self._printed: Mapping[str, str] | None = None
        self._told: set[str] = set()  # types of errors whose place is in the log
        self._crew: Crew | None = None
        if python is not None or workers > 1:
            interpreter = sys.executable if python is None else _interpreter(python)
            setup = {"arguments": self._call.args, "options": self._call.kwargs, "checkout": self._checkout}
            given = (interpreter, code.name, code.target, setup, float(timeout), float(start_timeout))
            greet = functools.partial(_greeted, code.name, self.capabilities, getattr(self, "endpoint", None))
            self._crew = Crew(code.name, [WorkerProcess(*given) for _ in range(workers)], greet)
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
        return self._here(requests) if self._crew is None else self._crew.answer(requests, self._turns, self._answer)

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
            yield request, self._answer(reply)
            if cuda_is_gone(reply):
                raise ModelError(
                    f"model '{self._code.name}': after a CUDA error nothing works in this process",
                    remedy="radbench resume; with python=INTERPRETER a worker starts again by itself",
                )

    def _model(self) -> Any:
        if self._loaded is None:
            factory = self._code.factory
            assert factory is not None
            try:
                with worker.loading(self._checkout):
                    loaded = factory(*self._call.args, **self._call.kwargs)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a constructor may raise anything; it is told
                told = worker.told(error)
                log.error("model '%s' cannot be loaded: %s at %s", self._code.name, told["type"], _where(told))
                raise not_loaded(self._code.name, told, None) from None
            _check_endpoint(self._code.name, getattr(loaded, "endpoint", None), getattr(self, "endpoint", None))
            self._loaded = loaded
        return self._loaded

    def _answer(self, reply: Mapping[str, Any]) -> Answer:
        error = reply.get("error")
        if error and error["type"] not in self._told:  # where, never what: a message may repeat a text
            self._told.add(error["type"])
            log.warning("model '%s' raised %s at %s", self._code.name, error["type"], _where(error))
        return answer_of(reply)


class Worker(Hosted):
    """A class of any file as a model, in a worker of its own environment: worker:FILE.py:Class,python=/env/bin/python.

    The file is not imported here. ``checkout`` is a folder its imports come from; all options but those of every
    hosted model (``python``, ``workers``, ``timeout``, ``start_timeout``, ``multi_image``, ``slices``, ``window``) go to
    the class, ``checkout`` too where it asks for one.
    """

    capabilities = frozenset({"text", "boxes", "mask2d", "mask3d", "multi_image", "volumes"})
    paths: ClassVar[tuple[str, ...]] = ("target", "python", "checkout", "weights")

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
    """The class's static method ``prompt``: (turns, choices, form, options of the class by their names)."""
    found = isinstance(inspect.getattr_static(factory, "prompt", None), staticmethod | classmethod)
    return factory.prompt if found else None


def _greeted(name: str, able: frozenset[str], endpoint: str | None, hello: Mapping[str, Any]) -> None:
    """Raise :class:`ModelError` where a worker's model is not what its class says here."""
    said = hello.get("capabilities")
    if not isinstance(said, list) or set(map(str, said)) != able:
        here = ", ".join(sorted(able))
        raise ModelError(f"model '{name}' has the capabilities {here} here, others in its worker", said=str(said))
    _check_endpoint(name, hello.get("endpoint"), endpoint)
    found = hello.get("packages")
    packages = ", ".join(f"{k} {v}" for k, v in found.items()) if isinstance(found, dict) else ""
    log.info("model '%s' runs in Python %s with %s", name, hello.get("python"), packages or "no package known")


def _check_endpoint(name: str, loaded: object, declared: str | None) -> None:
    """Restricted data are refused by what the class declares: a loaded model must not turn out to send them elsewhere."""
    if loaded and loaded != declared:
        raise ModelError(
            f"model '{name}' has an endpoint that its class does not declare",
            said=str(loaded),
            remedy="endpoint = 'URL' in the class, or an option of that name",
        )


def _where(error: Mapping[str, Any]) -> str:
    return " < ".join(error["frames"][::-1]) or "what it returned"
