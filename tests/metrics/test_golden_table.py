"""Every value of the original implementations, reproduced: one test a variant, a table of all at the end of the run.

A key of ``tests/golden/*.json`` without a row, and not left out for a stated reason, fails.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from importlib import import_module

import pytest
from golden_rows import TABLE, Row
from golden_rows.keys import PATTERNS, keys_of

FAMILIES = ("text", "vqa", "umls", "clinical", "radgraph", "vision")
ROWS: list[Row] = [row for family in FAMILIES for row in import_module(f"golden_rows.{family}").ROWS]

# (file, key pattern) -> why no row reproduces it
LEFT_OUT = {
    (
        "published_real_weight_values",
        "*",
    ): "needs the real CheXbert, RadGraph and distilroberta weights, which a user brings",
    (
        "vision_stats_golden",
        "box_iou/torchmetrics",
    ): "null: torchmetrics box IoU needs torchvision, which has no CPU build here",
}
MOST_LEFT_OUT = 0.05


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_original_values_are_reproduced(row: Row, pytestconfig: pytest.Config) -> None:
    differences = list(row.differences())
    assert differences, "nothing was compared"
    largest = max(differences)
    table = pytestconfig.stash.setdefault(TABLE, [])
    table.append((row.ours, row.original, ", ".join(row.keys)[:60], str(len(differences)), f"{largest:.1e}"))
    assert all(difference <= row.tolerance for difference in differences)  # no nan passes


def test_no_key_is_forgotten() -> None:
    keys = {(file, key) for file in PATTERNS for key in keys_of(file)}
    covered = {(row.file, key) for row in ROWS for key in row.keys}
    assert covered <= keys, "a row names a key that is none"
    missing = keys - covered
    unexplained = [k for k in missing if not any(f == k[0] and fnmatchcase(k[1], p) for f, p in LEFT_OUT)]
    assert not unexplained, sorted(unexplained)
    assert len(missing) <= MOST_LEFT_OUT * len(keys)
    assert all(row.tolerance <= 1e-6 for row in ROWS)


def test_the_reasons_are_needed() -> None:
    covered = {(row.file, key) for row in ROWS for key in row.keys}
    for file, pattern in LEFT_OUT:
        assert [k for k in keys_of(file) if fnmatchcase(k, pattern) and (file, k) not in covered]
