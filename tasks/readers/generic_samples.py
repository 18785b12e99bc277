"""``samples.jsonl``, the plain form for private or converted data: one object a line, no task file needed.

Keys: ``id, images`` (list of paths relative to the file), ``question`` or ``prompt``, ``options``, ``answer`` (string or
list), ``context``, ``box`` (``[x_min, y_min, x_max, y_max]`` in pixels), ``mask`` (path), ``labels`` (list), ``subgroups``
(object), ``split``, and ``cluster`` where patients are known. All but ``id`` are optional. Specification B.32.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from radbench.tasks.readers.files import column, hash_files, json_lines, require

from radbench.errors import DataError, shown
from radbench.records import Access, Box, Boxes, Image, Labels, Mask, Sample, Target, Text

_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr")


class Samples:
    """Rows of a split; rows without ``split`` belong to ``test``. Cluster: ``cluster``, else None.

    Targets, as far as a row has them: ``answer`` (alternatives as a list), ``choice`` (the answer where it is one of the
    options), ``labels``, ``boxes`` (the one box, named by a single label, else "region"), ``mask``. Slots: ``question``,
    ``context`` (empty where missing), ``box``. Strata: ``subgroups``. ``window`` is that of CT volumes. Raises
    :class:`radbench.errors.DataError` for a value of another shape or a row without any target.
    """

    def __init__(self, root: Path, *, access: Access = "private", window: str | None = None) -> None:
        self._table = require(
            root / "samples.jsonl" if root.is_dir() else root, "JSON lines with id, images, answer ..."
        )
        self._access, self._window = access, window

    def samples(self, split: str) -> Iterator[Sample]:
        others: set[str] = set()
        found = False
        for line, row in json_lines(self._table):
            own = str(row.get("split") or "test")
            if own == split:
                found = True
                yield self._sample(row, line)
            else:
                others.add(own)
        if not found:
            raise DataError(f"{self._table}: no row of split '{split}', but of {shown(sorted(others), self._access)}")

    def _sample(self, row: dict[str, Any], line: int) -> Sample:
        targets = self._targets(row, line)
        if not targets:
            raise DataError(f"{self._table}, line {line}: no answer, labels, box or mask to compare with")
        slots = {"context": str(row.get("context") or "")}
        if question := row.get("question") or row.get("prompt"):
            slots["question"] = str(question)
        if row.get("box") is not None:
            slots["box"] = ", ".join(f"{c:g}" for c in self._corners(row["box"], line))
        groups = row.get("subgroups") or {}
        if not isinstance(groups, dict):
            raise self._bad(line, "subgroups", groups, "an object of axis: value")
        cluster = row.get("cluster")
        return Sample(
            id=str(column(row, "id", self._table, line)),
            cluster=None if cluster in (None, "") else str(cluster),
            targets=targets,
            images=tuple(self._image(name) for name in self._texts(row, "images", line)),
            slots=slots,
            choices=self._texts(row, "options", line),
            strata={str(axis): str(value) for axis, value in groups.items() if value not in (None, "")},
        )

    def _targets(self, row: dict[str, Any], line: int) -> dict[str, Target]:
        targets: dict[str, Target] = {}
        answer = row.get("answer")
        if answer not in (None, "", []):
            texts = self._texts(row, "answer", line)
            targets["answer"] = Text(texts)
            if texts[0] in self._texts(row, "options", line):
                targets["choice"] = Labels((texts[0],))
        labels = self._texts(row, "labels", line)
        if row.get("labels") is not None:
            targets["labels"] = Labels(labels)
        if row.get("box") is not None:
            corners = self._corners(row["box"], line)
            targets["boxes"] = Boxes((Box(labels[0] if len(labels) == 1 else "region", *corners),))
        if row.get("mask"):
            path = str(self._table.parent / str(row["mask"]))
            targets["mask"] = Mask(image=Image(path, kind="volume" if path.lower().endswith(_VOLUMES) else "2d"))
        return targets

    def _texts(self, row: dict[str, Any], name: str, line: int) -> tuple[str, ...]:
        value = row.get(name)
        items = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(item, str | int | float) for item in items):
            raise self._bad(line, name, value, "a text or a list of texts")
        return tuple(str(item) for item in items)

    def _corners(self, value: Any, line: int) -> tuple[float, float, float, float]:
        expected = "[x_min, y_min, x_max, y_max] with x_min < x_max and y_min < y_max, in pixels"
        try:
            x0, y0, x1, y1 = (float(c) for c in value)
        except (TypeError, ValueError):
            raise self._bad(line, "box", value, expected) from None
        if not (x0 < x1 and y0 < y1):
            raise self._bad(line, "box", value, expected)
        return x0, y0, x1, y1

    def _image(self, name: str) -> Image:
        path = self._table.parent / name
        if name.lower().endswith(_VOLUMES):
            return Image(str(path), kind="volume", window=self._window)
        return Image(str(path), kind="series" if path.is_dir() else "2d", window=self._window)

    def _bad(self, line: int, name: str, value: Any, expected: str) -> DataError:
        return DataError(f"{self._table}, line {line}: {name} is {shown(value, self._access)}, expected {expected}")

    def fingerprint(self) -> str:
        return sha256(f"{hash_files([self._table])} {self._window}".encode()).hexdigest()[:16]
