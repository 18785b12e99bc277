"""The command ``radbench worker``: a hosted model of this environment, answering JSON lines."""

from __future__ import annotations

from collections.abc import Sequence

from radbench.errors import ConfigError, nearest
from radbench.registry import model_factory, model_names, parse_spec


def run(target: str, options: Sequence[str], checkout: str | None) -> int:
    """Serve ``FILE.py:Class``, or an installed hosted model by name, until the input ends. Raises :class:`ConfigError`."""
    from radbench.model_adapters.hosting import worker
    from radbench.model_adapters.hosting.code import Code

    if target.partition(":")[0].endswith(".py"):
        code = Code.in_file(target)
    else:
        factory = model_factory(target) if target in model_names() else None
        if factory is None or not getattr(factory, "hosted", False):
            raise ConfigError(
                f"'{target}' is no hosted model: {nearest(target, model_names())}", remedy="or FILE.py:Class"
            )
        code = Code.of_class(factory)
    _, arguments, given = parse_spec(f":{','.join(options)}")
    code.bound(arguments, given, "none here")
    return worker.serve(code.target, {"arguments": arguments, "options": given, "checkout": checkout})
