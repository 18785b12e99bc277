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

    Its fingerprint is the hash of the file that defines it, so that an edited model never reuses old answers. An
    exception becomes a counted failure of that sample (kind ``model``), not the end of the run.
    """

    capabilities = frozenset({"text", "boxes", "mask2d", "mask3d", "multi_image", "volumes"})

    def __init__(self, function: Callable[[Request], Any], spec: str) -> None:
        self._function, self._spec = function, spec

    def fingerprint(self) -> Mapping[str, str]:
        try:
            source = inspect.getsourcefile(self._function) or ""
            with open(source, "rb") as f:
                code = sha256(f.read()).hexdigest()[:16]
        except (TypeError, OSError):
            code = "unknown"  # a built-in, or typed at a prompt
        return {"adapter": "function", "name": self._spec, "source": code}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            try:
                yield request, as_answer(self._function(request))
            except Exception as error:  # noqa: BLE001 - the user's code may raise anything; it is counted, not hidden
                yield request, Answer(failure=Failure("model", f"{type(error).__name__}: {error}"[:500]))


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
