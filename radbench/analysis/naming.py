"""Tasks and metrics of scored runs as people name them on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from radbench.errors import ConfigError, nearest


def chosen(given: Sequence[str], known: Iterable[str], what: str) -> set[str]:
    """The known names that ``given`` asks for, all where nothing is given.

    A task is asked for by name, suite (``phantom``) or pattern (``phantom/*``), a metric by spec, pattern or the name before
    its options. Raises :class:`ConfigError` on one that is not known.
    """
    names = set(known)
    found = set() if given else names
    for asked in given:
        matches = {n for n in names if asks_for(asked, n)}
        if not matches:
            raise ConfigError(
                f"unknown {what} '{asked}': {nearest(asked, names)}",
                remedy="radbench report RUN lists the tasks and metrics of a run",
            )
        found |= matches
    return found


def asks_for(asked: str, name: str) -> bool:
    """Whether a task or metric is meant."""
    return asked in (name, name.partition(":")[0]) or name.startswith(f"{asked}/") or fnmatchcase(name, asked)
