"""What goes wrong with datasets on people's disks, done to a copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], None]


def one(root: Path, pattern: str) -> Path:
    return min(root.rglob(pattern))


def edited(pattern: str, old: str, new: str, count: int = 1) -> Damage:
    """Text replaced in a table; the old text must be there."""

    def damage(root: Path) -> None:
        path = one(root, pattern)
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {path.name}"
        path.write_text(text.replace(old, new, count), encoding="utf-8")

    return damage
