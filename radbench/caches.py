"""Where this user's caches lie."""

from __future__ import annotations

import os
from pathlib import Path

from radbench.errors import DataError


def cache_root() -> Path:
    """``radbench`` below ``$XDG_CACHE_HOME``, else below ``~/.cache``. Raises :class:`DataError` where nobody is at home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "radbench"
    except RuntimeError:  # no HOME, and the user is not in the system's list
        raise DataError("this user has no home folder to keep files in", remedy="set XDG_CACHE_HOME") from None
