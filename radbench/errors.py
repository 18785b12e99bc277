"""Errors people read, and the exit codes of the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum

OPEN_ACCESS = frozenset({"open", "open-noncommercial"})


class Exit(IntEnum):
    """Exit codes of ``radbench``."""

    OK = 0  # complete and passed
    FAILED = 1  # the work failed: data, configuration, disk
    USAGE = 2  # click's own
    REGRESSION = 3
    INCONCLUSIVE = 4
    INCOMPLETE = 5  # interrupted, or more failures than allowed


class RadbenchError(Exception):
    """An error a user can act on: what is wrong, where, and the remedy."""

    exit_code = Exit.FAILED

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.remedy}" if self.remedy else self.message


class DataError(RadbenchError):
    """A dataset file is missing, malformed or not what the task expects.

    ``found`` is what the data themselves say: column names, which are a first row where a header is missing, or names of
    files. Of restricted data it is not told (:meth:`discreet`).
    """

    def __init__(self, message: str, *, remedy: str = "", found: str = "") -> None:
        super().__init__(f"{message}; {found}" if found else message, remedy=remedy)
        self._bare, self._found = message, found

    def discreet(self, access: str) -> DataError:
        """The error without what was found."""
        if not self._found:
            return self
        return DataError(f"{self._bare}; what is there instead is not shown: {access} data", remedy=self.remedy)


class ImageError(RadbenchError):
    """A picture or volume cannot be decoded; the sample that needs it is counted as failed."""


class ConfigError(RadbenchError):
    """A task file, run configuration or argument is wrong."""


class ModelError(RadbenchError):
    """A model broke its contract or stopped; the answers so far are on disk.

    ``said`` is what the model's own code said. It may repeat what it was asked, so of restricted data it is not told
    (:meth:`discreet`).
    """

    def __init__(self, message: str, *, remedy: str = "", said: str = "") -> None:
        super().__init__(f"{message}: {said}" if said else message, remedy=remedy)
        self._bare, self._said = message, said

    def discreet(self, access: str) -> ModelError:
        """The error without what the model said, where the data are restricted."""
        if not self._said or access in OPEN_ACCESS:
            return self
        return ModelError(f"{self._bare}; what it said is not shown: {access} data", remedy=self.remedy)


class ResumeError(RadbenchError):
    """A run folder belongs to other work, or is in use."""


class Interrupted(RadbenchError):
    """The run was stopped from outside; everything answered so far is on disk."""

    exit_code = Exit.INCOMPLETE


def shown(value: object, access: str = "open", limit: int = 80) -> str:
    """``value`` for an error message: itself where the data are open, else only its type and length."""
    if access not in OPEN_ACCESS:
        size = f" of length {len(value)}" if hasattr(value, "__len__") else ""
        return f"<{type(value).__name__}{size}, not shown: {access} data>"
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """A hint such as ``did you mean 'bleu-1', 'bleu-4'?``, or the list of what exists."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=count, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known names: {listed}" if names else "none is installed"
