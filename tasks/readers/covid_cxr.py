"""Chest radiographs with human lung masks: a per-image-licensed subset of the covid-chestxray-dataset.

``index.jsonl`` with one object an image (id, image, width, height, patient, view, finding, license; ``lung_mask`` and
``lung_boxes_from_mask_xywh`` where there is one), ``images/`` and ``masks/``. Images: ieee8023/covid-chestxray-dataset (Cohen,
Morrison, Dao, arXiv 2003.11597); masks: V7 Labs (CC BY 4.0). The metadata table is CC BY-NC-SA 4.0.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from radbench.tasks.readers.files import column, hash_files, json_lines, require

from radbench.errors import DataError
from radbench.records import Box, Boxes, Image, Mask, Sample, Target


class CovidCxr:
    """Images with a lung mask; ``pool`` and ``test`` split the *patients* in halves by a hash of the patient."""

    def __init__(self, root: Path) -> None:
        self._root = root / "cc_by" if (root / "cc_by").is_dir() else root
        self._index = require(self._root / "index.jsonl", "one JSON object an image")

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in ("pool", "test"):
            raise DataError(f"covid_cxr has no split '{split}' but pool and test")
        for line, row in json_lines(self._index):
            patient = str(column(row, "patient", self._index, line))
            if "lung_mask" not in row or ("pool", "test")[zlib.crc32(patient.encode()) & 1] != split:
                continue
            yield Sample(
                id=row["id"],
                cluster=patient,
                targets=self._targets(row),
                images=(Image(str(self._root / row["image"]), view=row.get("view")),),
                slots={"target": "the lungs"},
                strata={"view": row.get("view") or "unknown", "finding": row.get("finding") or "unknown"},
            )

    def _targets(self, row: dict[str, Any]) -> dict[str, Target]:
        mask = Mask(image=Image(str(self._root / row["lung_mask"])))
        # Displayed as usual, the patient's right is on the viewer's left.
        boxes = sorted(row["lung_boxes_from_mask_xywh"], key=lambda b: b[0] + b[2] / 2)
        named = zip(("right lung", "left lung"), boxes, strict=False)
        return {"mask": mask, "boxes": Boxes(tuple(Box(n, x, y, x + w, y + h) for n, (x, y, w, h) in named))}

    def fingerprint(self) -> str:
        return hash_files([self._index])
