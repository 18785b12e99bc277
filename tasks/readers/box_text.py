"""Boxes as they come in annotation files: kept inside their picture, and said in a prompt."""

from __future__ import annotations

from radbench.records import Box


def clipped(box: Box, width: float, height: float) -> Box | None:
    """The part of a box inside its picture; None where nothing is left."""
    x0, x1 = (min(max(x, 0.0), float(width)) for x in (box.x0, box.x1))
    y0, y1 = (min(max(y, 0.0), float(height)) for y in (box.y0, box.y1))
    return Box(box.label, x0, y0, x1, y1, box.score) if x0 < x1 and y0 < y1 else None


def box_text(box: Box, width: float, height: float) -> str:
    """``[0.21, 0.28, 0.46, 0.59]``: x_min, y_min, x_max, y_max as fractions of the picture, two decimals.

    Order and decimals are those of MedVersa's released code; the brackets and the commas are ours.
    """
    return f"[{box.x0 / width:.2f}, {box.y0 / height:.2f}, {box.x1 / width:.2f}, {box.y1 / height:.2f}]"
