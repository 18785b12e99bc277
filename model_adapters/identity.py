"""What identifies weights and code on disk, for a model's fingerprint."""

from __future__ import annotations

import logging
import os
from hashlib import blake2b, file_digest, sha256
from pathlib import Path

from radbench.caches import cache_root
from radbench.folder import write_whole

log = logging.getLogger("radbench")

_DIGEST = 32
_LARGE = 256 << 20  # the hash of a file from this size on is kept


def of_path(path: str | Path) -> str:
    """16 hex digits for a file or folder: names, sizes and contents.

    Hidden entries, compiled Python files and what is no file are left out; where a folder lies does not count. Raises OSError.
    """
    root = Path(path)
    digest = sha256()
    for file in [root] if root.is_file() else sorted(_files(root)):
        name = "" if file == root else file.relative_to(root).as_posix()
        digest.update(f"{name}\0{file.stat().st_size}\0".encode("utf-8", "surrogatepass"))
        digest.update(_content(file))
    return digest.hexdigest()[:16]


def _files(root: Path) -> list[Path]:
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__pycache__")
        found += [Path(folder, n) for n in names if not n.startswith(".") and not n.endswith(".pyc")]
    return [file for file in found if file.is_file()]


def _content(file: Path) -> bytes:
    """A file's hash; a large one's is read from the user's cache where neither its size nor its time has changed."""
    state = file.stat()
    kept = None
    if state.st_size >= _LARGE:
        known = sha256(f"{file.resolve()}\0{state.st_size}\0{state.st_mtime_ns}".encode("utf-8", "surrogatepass"))
        kept = cache_root() / "hashes" / known.hexdigest()
        if kept.is_file() and len(content := kept.read_bytes()) == _DIGEST:
            return content
        log.info("hashing %s, %.1f GB, once", file.name, state.st_size / 1e9)
    with file.open("rb") as f:
        content = file_digest(f, lambda: blake2b(digest_size=_DIGEST)).digest()
    if kept is not None:
        write_whole(kept, content)
    return content
