"""How tasks, metrics and models are named with their options: ``name:argument,key=value``."""

from __future__ import annotations

import ast
from typing import Any


def parse_spec(spec: str) -> tuple[str, list[Any], dict[str, Any]]:
    """``name:a,k=v`` to name, arguments and options; values are Python literals where they parse, else text.

    A value with commas stands in parentheses, such as the spec of another model.
    """
    name, _, rest = spec.partition(":")
    arguments: list[Any] = []
    options: dict[str, Any] = {}
    for part in filter(None, top_level(rest)):
        key, equals, value = part.partition("=")
        if equals and key.isidentifier():
            options[key] = literal(value)
        else:
            arguments.append(literal(part))
    return name, arguments, options


def top_level(text: str) -> list[str]:
    """Parts between the commas that stand in no parenthesis."""
    parts, depth = [""], 0
    for letter in text:
        depth = max(depth + (letter == "(") - (letter == ")"), 0)
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def literal(text: str) -> Any:
    """What a value means in Python, ``5`` or ``None``; else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
