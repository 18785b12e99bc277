"""The digest that names the weights of a metric in its signature: by content, wherever the files are."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from radbench.metrics.clinical.weights import home

_FILES = {"config.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer_config.json", "tokenizer.json"}


def present(folder: Path, *names: str) -> list[Path]:
    """The files of a model folder that decide its numbers; ``names`` are further ones beside config and vocabulary."""
    return sorted(p for n in {*_FILES, *names} if (p := folder / n).is_file())


def fingerprint(files: Sequence[Path]) -> str:
    """12 hexadecimal digits of the SHA-256 over the names and full SHA-256 digests of files: weights by content."""
    joined = "".join(f"{p.name}:{_digest(p)}\n" for p in sorted(files, key=lambda p: p.name))
    return hashlib.sha256(joined.encode()).hexdigest()[:12]


def _digest(path: Path) -> str:
    status = path.stat()
    return _content_digest(str(path.resolve()), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _content_digest(path: str, size: int, mtime: int) -> str:
    """SHA-256 of a file, remembered across processes by path, size and time: a checkpoint takes seconds to read."""
    memory = home() / "digests.json"
    key = f"{path}|{size}|{mtime}"
    remembered = _remembered(memory)
    if isinstance(remembered.get(key), str):
        return str(remembered[key])
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if size > 10_000_000:
        _remember(memory, {**remembered, key: digest})
    return digest


def _remembered(memory: Path) -> dict[str, object]:
    """What the file of digests says: nothing where it is absent or damaged, so that the next digest writes it anew."""
    try:
        found = json.loads(memory.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(memory: Path, digests: dict[str, object]) -> None:
    draft = memory.with_name(f"{memory.name}.{os.getpid()}")
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(digests))
        draft.replace(memory)
    except OSError:  # a home that cannot be written only costs the seconds again
        return
