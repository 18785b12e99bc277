"""One scene graph of Chest ImaGenome: regions with boxes, findings by region, sentences by region.

``objects``: bbox_name, a box in the 224 x 224 frame (x1, y1, x2, y2, width, height) and the same in pixels of the
original (``original_*``). ``attributes``: by region lists of ``category|yes or no|name``, one a sentence, with ``phrases``
and ``phrase_IDs``. The frame is the picture scaled to 224 on its long side, the rest padded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any, Literal

from radbench.tasks.readers.box_text import clipped

from radbench.errors import DataError
from radbench.records import Box

FRAME = 224
_CORNERS = ("x1", "y1", "x2", "y2")


class SceneGraph:
    """A parsed file. ``where`` says in errors which file it is; ``faults`` counts boxes clipped and dropped."""

    def __init__(self, document: Any, where: str, faults: Counter[str]) -> None:
        self._where, self._faults = where, faults
        if not isinstance(document, dict):
            raise DataError(f"{where}: expected an object, found {type(document).__name__}")
        self.header: Mapping[str, Any] = document
        self._objects = self._list("objects")
        self._attributes = self._list("attributes")

    def _list(self, key: str) -> list[dict[str, Any]]:
        items = self.header.get(key)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise DataError(f"{self._where}: '{key}' is no list of objects")
        return items

    def text(self, key: str) -> str:
        """A header field as text; empty where it is missing or null."""
        value = self.header.get(key)
        return "" if value is None else str(value).strip()

    def boxes(self, frame: Literal["original", "padded"], size: tuple[int, int]) -> dict[str, Box]:
        """Region -> box, kept inside a picture of (height, width); boxes without area are left out. Counts both."""
        prefix = "original_" if frame == "original" else ""
        found: dict[str, Box] = {}
        for item in self._objects:
            box = Box(str(item.get("bbox_name")), *(self._number(item, prefix + c) for c in _CORNERS))
            inside = clipped(box, size[1], size[0])
            if inside is None:
                self._faults["dropped"] += 1
                continue
            self._faults["clipped"] += inside != box
            found.setdefault(box.label, inside)
        return found

    def original_size(self) -> tuple[int, int]:
        """(height, width) of the original, from how its boxes were scaled and shifted into the frame.

        To within a few pixels, where the padding is the same on both sides; padded on one side alone, the picture is
        taken for a square.
        """
        scaled = [o for o in self._objects if self._number(o, "width") > 0 and self._number(o, "original_width") > 0]
        if not scaled:
            return FRAME, FRAME
        scale = median(self._number(o, "original_width") / self._number(o, "width") for o in scaled)
        pads = (
            max(0.0, median(self._number(o, axis) * scale - self._number(o, f"original_{axis}") for o in scaled))
            for axis in ("y1", "x1")
        )
        height, width = (max(1, round(FRAME * scale - 2 * pad)) for pad in pads)
        return height, width

    def findings(self) -> Iterator[tuple[str, str, bool]]:
        """``(region, finding, present)`` of every statement, in file order."""
        for item in self._attributes:
            sentences = item.get("attributes") or []
            if not isinstance(sentences, list) or not all(isinstance(s, list) for s in sentences):
                raise DataError(f"{self._where}: a region's 'attributes' is no list of lists")
            for statement in (s for sentence in sentences for s in sentence):
                parts = str(statement).split("|")
                if len(parts) != 3 or parts[1] not in ("yes", "no"):
                    raise DataError(f"{self._where}: an attribute is not category|yes or no|name")
                yield str(item.get("bbox_name")), parts[2].strip().lower(), parts[1] == "yes"

    def sentences(self) -> Iterator[tuple[str, str]]:
        """``(region, its sentences in report order)``, for regions that have any."""
        found: dict[str, list[str]] = {}
        for item in self._attributes:
            found.setdefault(str(item.get("bbox_name")), []).extend(p for p in self._phrases(item) if p)
        return ((region, " ".join(phrases)) for region, phrases in found.items() if phrases)

    def _phrases(self, item: Mapping[str, Any]) -> list[str]:
        phrases, identifiers = item.get("phrases") or [], item.get("phrase_IDs") or []
        if not isinstance(phrases, list) or not isinstance(identifiers, list):
            raise DataError(f"{self._where}: a region's 'phrases' or 'phrase_IDs' is no list")
        phrases = [str(p).strip() for p in phrases]
        numbers = [str(i).rpartition("|")[2] for i in identifiers]
        if len(numbers) != len(phrases) or not all(n.isdecimal() for n in numbers):
            return phrases
        return [p for _, p in sorted(zip(map(int, numbers), phrases, strict=True), key=lambda pair: pair[0])]

    def _number(self, item: Mapping[str, Any], key: str) -> float:
        value = item.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
            raise DataError(f"{self._where}: an object's '{key}' is no number")
        return float(value)
