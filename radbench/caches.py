"""Where this user's caches lie."""

from __future__ import annotations

import os
from pathlib import Path

from radbench.errors import DataError


def cache_root() -> Path:
    """Where radbench keeps what it makes and fetches. Raises :class:`DataError` where nobody is at home."""
    return user_caches() / "radbench"


def user_caches() -> Path:
    """``$XDG_CACHE_HOME``, else ``~/.cache``. Raises :class:`DataError` where nobody is at home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # no HOME, and the user is not in the system's list
        raise DataError("this user has no home folder to keep files in", remedy="set XDG_CACHE_HOME") from None
