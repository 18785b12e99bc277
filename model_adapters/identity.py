"""What identifies weights and code on disk, for a model's fingerprint."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

_WHOLE = 64 << 20  # a file up to this size is hashed whole
_SAMPLE = 1 << 20  # of a larger one this much at its beginning, middle and end


def of_path(path: str | Path) -> str:
    """16 hex digits for a file or folder: names, sizes and contents, of large files a sample of the contents.

    Hidden entries, compiled Python files and what is no file are left out; where a folder lies does not count. Raises OSError.
    """
    root = Path(path)
    digest = sha256()
    for file in [root] if root.is_file() else sorted(_files(root)):
        name = "" if file == root else file.relative_to(root).as_posix()
        digest.update(f"{name}\0{file.stat().st_size}\0".encode("utf-8", "surrogatepass"))
        for block in _blocks(file):
            digest.update(block)
    return digest.hexdigest()[:16]


def _files(root: Path) -> list[Path]:
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__pycache__")
        found += [Path(folder, n) for n in names if not n.startswith(".") and not n.endswith(".pyc")]
    return [file for file in found if file.is_file()]


def _blocks(file: Path) -> Iterator[bytes]:
    size = file.stat().st_size
    starts = range(0, size, _SAMPLE) if size <= _WHOLE else (0, size // 2, size - _SAMPLE)
    with file.open("rb") as f:
        for start in starts:
            f.seek(start)
            yield f.read(_SAMPLE)
