"""What is compared with the original implementations: one row a metric variant, gathered by family.

``tests/metrics/test_golden_table.py`` runs every row, prints the table and holds that no key of ``tests/golden/*.json`` is
forgotten. A key is the path to one thing the original computed: a metric of a file, with all its pairs and aggregates.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

TABLE = pytest.StashKey[list[tuple[str, ...]]]()  # what the comparisons gave, printed at the end of the run
GOLDEN = Path(__file__).parent.parent / "golden"


@dataclass(frozen=True)
class Row:
    """One comparison: ``differences`` yields |ours - original| of every compared value, at least one."""

    file: str
    keys: tuple[str, ...]
    ours: str
    original: str
    tolerance: float
    differences: Callable[[], Iterable[float]]

    def __str__(self) -> str:
        return f"{self.file}:{','.join(self.keys)}:{self.ours}".replace(" ", "")


@cache
def load(file: str) -> Any:
    """The content of ``tests/golden/<file>.json``."""
    return json.loads((GOLDEN / f"{file}.json").read_text())


@cache
def pairs() -> dict[str, tuple[str, str]]:
    """id -> (hypothesis, reference) of the 57 text pairs."""
    return {p["id"]: (p["hyp"], p["ref"]) for p in load("pairs")}


def equal(ours: object, theirs: object) -> float:
    """0.0 where two values of any kind are equal, else infinity: for texts, tokens, indices."""
    return 0.0 if ours == theirs else float("inf")
