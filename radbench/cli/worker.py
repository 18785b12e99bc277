"""The command ``radbench worker``: a hosted model of this environment, answering JSON lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import cast

from radbench.errors import ConfigError, nearest
from radbench.registry import model_factory, model_names
from radbench.specs import parse_spec


def run(target: str, options: Sequence[str], checkout: str | None) -> int:
    """Serve ``FILE.py:Class``, or an installed hosted model by name, until the input ends. Raises :class:`ConfigError`."""
    from radbench.model_adapters.hosting import worker
    from radbench.model_adapters.hosting.code import Code

    if target.partition(":")[0].endswith(".py"):
        code = Code.in_file(target)
    else:
        factory = model_factory(target) if target in model_names() else None
        if not getattr(factory, "hosted", False):
            raise ConfigError(f"'{target}' is no hosted model: {nearest(target, _hosted())}", remedy="or FILE.py:Class")
        code = Code.of_class(cast(type, factory))
    _, arguments, given = parse_spec(f":{','.join(options)}")
    _, call = code.bound(arguments, given, "none here")
    checkout = checkout or call.arguments.get("checkout")
    return worker.serve(code.target, {"arguments": call.args, "options": call.kwargs, "checkout": checkout})


def _hosted() -> Iterator[str]:
    for name in model_names():
        with suppress(ConfigError):  # a broken plug-in
            if getattr(model_factory(name), "hosted", False):
                yield name
