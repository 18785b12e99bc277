"""How samples are divided along an axis: by category, by quartile bins, or by edges that the user names."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from radbench.errors import ConfigError, nearest

MOST_GROUPS = 60  # an axis with more values than this is a listing, not a subgroup analysis
FEW_NUMBERS = 6  # up to this many different numbers each is a group of its own
QUARTILES = (0.25, 0.5, 0.75)
UNKNOWN = "unknown"  # what readers write for a field the source leaves empty: a group beside those of numbers

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)
_DICOM_AGE = re.compile(r"(\d{1,3})([YMWD])", re.ASCII)
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}

Bools = NDArray[np.bool_]


def groups_of(axes: Mapping[str, NDArray[np.str_]], spec: str) -> dict[str, Bools]:
    """The (n,) masks of the groups along one axis, by label and in order: disjoint, none empty.

    ``spec`` is the name of an axis, or ``axis:18/40/65`` with edges. A number below the first edge is in the first
    group, an edge itself in the group above it. Without edges more than 6 different numbers (DICOM ages such as 045Y
    count in years) are cut between the two values that come nearest to each quartile, so that equal numbers stay
    together; anything else is a group a value. "unknown" beside numbers is a group of its own. Samples without a value
    are in no group. Raises :class:`ConfigError` for an unknown axis, for edges that are no ascending numbers or of an
    axis that is no number, and above 60 groups.
    """
    axis, edges = parsed_spec(axes, spec)
    values, codes, counts = np.unique(axes[axis], return_inverse=True, return_counts=True)
    sizes = dict(zip(values.tolist(), counts.tolist(), strict=True))
    sizes.pop("", None)
    numbers = {value: x for value in sizes if (x := number_of(value)) is not None}
    if numbers and sizes.keys() - numbers.keys() <= {UNKNOWN}:
        labels = _by_number(numbers, sizes, edges)
        if UNKNOWN in sizes:
            labels[UNKNOWN] = UNKNOWN
    elif edges:
        raise ConfigError(
            f"'{spec}': axis '{axis}' is no number, so edges cannot cut it", remedy=f"'{axis}' alone: a group a value"
        )
    else:
        labels = {value: value for value in sorted(sizes, key=_natural)}
    order = {label: position for position, label in enumerate(dict.fromkeys(labels.values()))}
    if len(order) > MOST_GROUPS:
        raise ConfigError(
            f"axis '{axis}' makes {len(order)} groups, more than {MOST_GROUPS}",
            remedy=f"where it is a number name edges, as in {axis}:10/20/50; else choose another axis",
        )
    own = np.array([order[labels[v]] if v in labels else -1 for v in values.tolist()], np.intp)[codes.ravel()]
    return {label: own == position for label, position in order.items()}


def parsed_spec(axes: Mapping[str, NDArray[np.str_]], spec: str) -> tuple[str, tuple[float, ...]]:
    """Axis and edges of ``axis`` or ``axis:18/40/65``. Raises :class:`ConfigError`, see :func:`groups_of`."""
    axis, colon, listed = (spec, "", "") if spec in axes else spec.partition(":")
    if axis not in axes:
        raise ConfigError(
            f"no axis '{axis}'; {nearest(axis, axes)}",
            remedy=f"the axes there are: {', '.join(sorted(axes)) or 'none'}",
        )
    edges = [number_of(part.strip()) for part in listed.split("/")] if colon else []
    found = tuple(edge for edge in edges if edge is not None)
    if len(found) < len(edges) or any(a >= b for a, b in pairwise(found)):
        raise ConfigError(f"'{spec}': edges are ascending numbers", remedy=f"between slashes, as in {axis}:18/40/65")
    return axis, found


def number_of(value: str) -> float | None:
    """A finite number or a DICOM age in years (AS, ``nnnD``, ``nnnW``, ``nnnM``, ``nnnY``; PS3.5, 6.2), else None."""
    if _NUMBER.fullmatch(value) and np.isfinite(x := float(value)):
        return x
    age = _DICOM_AGE.fullmatch(value)
    return int(age[1]) * _YEARS[age[2]] if age else None


def _by_number(numbers: Mapping[str, float], sizes: Mapping[str, int], edges: Sequence[float]) -> dict[str, str]:
    """Label of each value's group, in ascending order of the values."""
    ordered = sorted(numbers, key=lambda value: (numbers[value], value))
    different: dict[float, int] = {}
    for value in ordered:
        different[numbers[value]] = different.get(numbers[value], 0) + sizes[value]
    if not edges and len(different) <= FEW_NUMBERS:
        first: dict[float, str] = {}
        return {value: first.setdefault(numbers[value], value) for value in ordered}
    cuts = list(edges) or _quartile_cuts(list(different), list(different.values()))
    whole = all(x.is_integer() and abs(x) < 1e15 for x in (*different, *cuts))
    names = _bin_names(cuts, None if edges else next(iter(different)), whole)
    return {value: names[bisect_right(cuts, numbers[value])] for value in ordered}


def _quartile_cuts(different: Sequence[float], counts: Sequence[int]) -> list[float]:
    """Each a number that begins a new group: where the share of samples below it comes nearest to a quartile."""
    below = np.cumsum(counts)[:-1] / sum(counts)
    places = {int(np.abs(below - quartile).argmin()) + 1 for quartile in QUARTILES}
    return [different[place] for place in sorted(places)]


def _bin_names(cuts: Sequence[float], lowest: float | None, whole: bool) -> list[str]:
    """One name a group; ``lowest`` is the smallest number where the first group may be named by it."""
    texts = _number_texts(cuts, whole)
    last = f"{texts[-1]} or more"
    if not whole:
        return [f"below {texts[0]}", *(f"[{a}, {b})" for a, b in pairwise(texts)), last]
    dash = "-" if (cuts[0] if lowest is None else lowest) >= 0 else " to "
    starts = [int(x) for x in ((lowest, *cuts) if lowest is not None else cuts)]
    spans = [str(a) if a == b - 1 else f"{a}{dash}{b - 1}" for a, b in pairwise(starts)]
    return [*([f"below {texts[0]}"] if lowest is None else []), *spans, last]


def _number_texts(numbers: Sequence[float], whole: bool) -> list[str]:
    """As short as tells them apart."""
    if whole:
        return [str(int(x)) for x in numbers]
    digits = next((d for d in range(6, 17) if len({f"{x:.{d}g}" for x in numbers}) == len(numbers)), 17)
    return [f"{x:.{digits}g}" for x in numbers]


def _natural(value: str) -> tuple[list[tuple[bool, int, str]], str]:
    """Sorts "2" before "10" and "x2" before "x10"."""
    parts = re.split(r"(\d{1,18})", value.casefold(), flags=re.ASCII)
    return [(not _ascii_digits(part), int(part) if _ascii_digits(part) else 0, part) for part in parts if part], value


def _ascii_digits(text: str) -> bool:
    return text.isascii() and text.isdecimal()
