"""Checks of option values, with one wording: ``NAME is VALUE, expected ...``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from radbench.errors import ConfigError


def whole(name: str, value: object, least: int = 1, *, optional: bool = False) -> None:
    """Raise :class:`ConfigError` unless ``value`` is a whole number of at least ``least``, or None where ``optional``."""
    if value is None and optional:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} is {value!r}, expected a whole number of at least {least}")


def number(name: str, value: object, least: float = 0, *, above: bool = False, optional: bool = False) -> None:
    """Raise :class:`ConfigError` unless ``value`` is finite and at least (``above``: more than) ``least``, or None."""
    if value is None and optional:
        return
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= least
    if not fits or (above and value == least):
        raise ConfigError(f"{name} is {value!r}, expected a number {'above' if above else 'of at least'} {least:g}")


def one_of(name: str, value: object, allowed: Sequence[object]) -> None:
    """Raise :class:`ConfigError` unless ``value`` is one of ``allowed``; 1 is not True."""
    if not any(value is a or (isinstance(value, str) and value == a) for a in allowed):
        *most, last = map(str, allowed)
        raise ConfigError(f"{name} is {value!r}, expected {', '.join(most)} or {last}")


def flag(name: str, value: object) -> None:
    """Raise :class:`ConfigError` unless ``value`` is True or False."""
    one_of(name, value, (True, False))
