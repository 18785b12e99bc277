"""Names that may leave the machine: what remains of a model's or metric's name without folders, addresses and passwords.

Only the text decides: never what files the present folder happens to hold.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from radbench.errors import OPEN_ACCESS
from radbench.registry import all_tasks
from radbench.specs import parse_spec

URL = "(url)"
SECRET = "(secret)"
_MOST = 2000  # characters: names of strangers are read, and what the patterns take grows as the square

_URL = re.compile(r"(?<![a-z0-9+.-])[a-z0-9+.-]+:[/\\]{2}(?:.*@)?.*?(?=,\w+=|\Z)", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"[^@]*:[^@]*@.*|[\w.-]+:\d{2,5}", re.DOTALL)  # user:password@host, host:port
_SCHEME = re.compile(r"[a-z](:(?![/\\])|[\w+.-]+:)", re.IGNORECASE)  # a letter before a separator is a drive
_KEY = re.compile(r"(\w+)=")
_SECRETS = re.compile(r"(api_?)?key|(\w+_)?token|(\w+_)?secret|password", re.IGNORECASE)
_HUB_SCHEMES = frozenset({"hf"})
_HUB_KEYS = frozenset({"model"})
_HUB_NAME = re.compile(r"[a-z0-9][\w.-]*/[a-z0-9][\w.-]*(@[\w.-]+)?", re.IGNORECASE)
_NUMBERS = re.compile(r"\w+:\d*\.\d+(/\d*\.\d+)*")
_FILE = re.compile(r".*\.(bin|ckpt|gguf|h5|jsonl?|onnx|pkl|pth?|safetensors|tar|ya?ml|zip)", re.IGNORECASE)


def public_name(text: str) -> str:
    """A model's name, ``scheme:value,key=value``, whose values keep of a path the last part and of a URL nothing.

    ``owner/name`` stays behind ``hf:`` and ``model=``, as hubs have it, unless it ends like a file. Applied twice it
    changes nothing more. Longer texts than 2,000 characters are cut.
    """
    text = text[:_MOST]
    while (told := _without_places(text)) != text:  # what a folder's end is cut to may be read anew: k=~name
        text = told
    return text


def public_signature(signature: str) -> str:
    """A metric's signature, fields between ``|`` and ``;``, each a list of numbers or as :func:`public_name` has it."""
    fields = re.split(r"([|;])", signature)
    return "".join(field if _NUMBERS.fullmatch(field) else public_name(field) for field in fields)


def public_spec(spec: str, hidden: Collection[str] = ()) -> str | None:
    """A metric's spec without options that are paths; None where an option is one of the ``hidden`` names."""
    name, arguments, options = parse_spec(spec)
    named = [str(options["label"])] if "label" in options else []
    texts = (value for value in options.values() if isinstance(value, str))
    if any(str(value) in hidden for value in (*named, *arguments, *texts)):
        return None
    parts = spec.partition(":")[2].split(",")
    kept = [part for part in parts if part and public_name(f"{name}:{part}") == f"{name}:{part}"]
    return f"{name}:{','.join(kept)}" if kept else name


def _without_places(text: str) -> str:
    text = _URL.sub(URL, text)
    found = _SCHEME.match(text)
    scheme = found[0] if found else ""
    parts = re.split(r",(?=\w+=)", text[len(scheme) :])
    return scheme + ",".join(_public_part(part, scheme[:-1].lower()) for part in parts)


def told_spec(spec: str, task: str, entry: Mapping[str, Any]) -> str:
    """A metric's spec for what is published of a task's ``entry`` in results.json.

    An option that names a class of restricted data is not told, unless the suite's own definition of the task has it.
    """
    if entry["access"] in OPEN_ACCESS or not entry["classes"]:
        return spec
    known = all_tasks().get(task)
    if known is not None and spec in known.metrics:
        return spec
    return public_spec(spec, entry["classes"]) or f"{spec.partition(':')[0]}:(class not told)"


def _public_part(part: str, scheme: str) -> str:
    key = _KEY.match(part)
    start, value = (key[0], part[key.end() :]) if key else ("", part)
    name = key[1].lower() if key else ""
    if _SECRETS.fullmatch(name):
        return start + SECRET
    is_hub = name in _HUB_KEYS or (scheme in _HUB_SCHEMES | _HUB_KEYS and not name)
    return start + (
        value if is_hub and _HUB_NAME.fullmatch(value) and not _FILE.fullmatch(value) else _last_part(value)
    )


def _last_part(value: str) -> str:
    """What follows the last separator; of the names of users and hosts nothing."""
    last = re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    if _HOST.fullmatch(last):
        return URL
    return "~" if last.startswith("~") else last
