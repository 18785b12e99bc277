"""A plain Python function as a model: one request in, one answer out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

from radbench.errors import ConfigError
from radbench.records import Answer, Box, Failure, Request


class FunctionModel:
    """``function(request) -> str | Answer | list[Box] | bool array``.

    Its fingerprint hashes the file that defines it and the plain values it carries (closure, defaults, attributes), so that
    an edited model never reuses old answers; files it imports are not seen. An exception becomes a counted failure of that
    sample (kind ``model``, asked again on resume), not the end of the run.
    """

    capabilities = frozenset({"text", "boxes", "mask2d", "mask3d", "multi_image", "volumes"})

    def __init__(self, function: Callable[[Request], Any], spec: str) -> None:
        self._function, self._spec = function, spec

    def fingerprint(self) -> Mapping[str, str]:
        function = self._function
        defined = function if inspect.isroutine(function) else type(function)
        try:
            source = inspect.getsourcefile(defined) or ""
            with open(source, "rb") as f:
                code = sha256(f.read()).hexdigest()[:16]
        except (TypeError, OSError):
            code = "unknown"  # a built-in, or typed at a prompt
        compiled = getattr(function, "__code__", None)
        carried = [
            getattr(function, "__qualname__", ""),
            getattr(function, "__defaults__", None),
            getattr(function, "__dict__", {}),
        ]
        carried += [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
        carried += [compiled.co_code, compiled.co_consts] if compiled else []
        carried += [getattr(function, name, None) for name in ("args", "keywords", "func")]  # of a functools.partial
        carried += [getattr(getattr(function, "__self__", None), "__dict__", {})]  # of a bound method
        state = sha256(repr(_plain(carried)).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return {"adapter": "function", "name": self._spec, "source": code, "state": state}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            try:
                yield request, as_answer(self._function(request))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise anything; it is counted
                yield request, Answer(failure=Failure("model", f"{type(error).__name__}: {error}"[:500]))


def _plain(value: Any) -> Any:
    """The parts of a value that mean the same in another process; of anything else only the type's name."""
    if isinstance(value, str | bytes | int | float | bool | None):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        parts = [_plain(v) for v in value]
        return sorted(parts, key=repr) if isinstance(value, set | frozenset) else parts
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in sorted(value.items(), key=lambda item: str(item[0]))}
    return type(value).__qualname__


def as_answer(value: Any) -> Answer:
    """What a function may return, as an :class:`Answer`. Raises :class:`ConfigError` on anything else."""
    if isinstance(value, Answer):
        return value
    if isinstance(value, str):
        return Answer(text=value)
    if isinstance(value, list | tuple) and all(isinstance(b, Box) for b in value):
        return Answer(boxes=tuple(value))
    if hasattr(value, "shape") and hasattr(value, "astype"):
        return Answer(mask=value.astype(bool))
    raise ConfigError(f"a model returned {type(value).__name__}; expected str, Answer, a list of Box or a bool array")
