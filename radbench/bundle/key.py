"""The key of exported sample ids: 32 random bytes in a file that never leaves this machine."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radbench.errors import ConfigError, DataError, RadbenchError

SIZE = 32


def default_key_file() -> Path:
    """``~/.config/radbench/export.key``. Raises :class:`DataError` where nobody is at home."""
    try:
        return Path.home() / ".config" / "radbench" / "export.key"
    except RuntimeError:
        raise DataError("this user has no home folder to keep a key in", remedy="give one with --key FILE") from None


def load_or_make_key(path: Path) -> tuple[bytes, bool]:
    """The key of a file, and whether it was made just now, readable by its owner alone.

    Raises :class:`ConfigError` where the file is no key or others may read it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return _checked(path), False
        key = secrets.token_bytes(SIZE)
        with open(descriptor, "wb") as file:
            file.write(key)
    except OSError as error:
        raise RadbenchError(
            f"{path}: the export key cannot be kept there ({error.strerror or error})",
            remedy="name another file with --key FILE",
        ) from error
    return key, True


def _checked(path: Path) -> bytes:
    if not path.is_file() or path.stat().st_size != SIZE:
        raise ConfigError(
            f"{path} is no export key: expected a file of {SIZE} bytes",
            remedy="name a file that does not exist yet, and a key is made",
        )
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"{path}: others than its owner may read the export key", remedy=f"chmod 600 {path}")
    return path.read_bytes()


def keyed_id(key: bytes, text: bytes) -> str:
    """HMAC-SHA256 of a sample's or cluster's name, its first 16 bytes in hex."""
    return hmac.digest(key, b"radbench id\0" + text, "sha256")[:16].hex()


def keyed_ids(key: bytes, names: Iterable[bytes]) -> NDArray[np.bytes_]:
    """(n,) :func:`keyed_id` of (n,) names; equal names have equal ones."""
    known: dict[bytes, str] = {}
    found = [known.get(name) or known.setdefault(name, keyed_id(key, name)) for name in names]
    return np.array(found, "S32")


def keyed_digest(key: bytes, what: str, digest: str) -> str:
    """HMAC-SHA256 of a digest of restricted data: equal for equal data, and nothing to test a guess against."""
    return hmac.digest(key, f"radbench {what}\0{digest}".encode(), "sha256")[:16].hex()
