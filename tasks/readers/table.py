"""A CSV or JSON-lines table with a folder of pictures: any data one brings.

Columns: ``id``, ``image`` (or ``images``), ``question`` / ``prompt``, ``answer`` (text, label, list), ``options``, ``mask``,
``boxes``, ``cluster``, ``split``; ``columns`` maps these names to the table's own. All other columns can be prompt slots
and strata. Tables stream: a million rows never sit in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from radbench.tasks.readers.files import csv_rows, hash_files, json_lines, require

from radbench.errors import DataError, shown
from radbench.records import EMPTY, Box, Boxes, Image, Labels, Mask, Sample, Target, Text

_REQUIRED = {
    "vqa": ("question", "answer"),
    "report": ("answer",),
    "classification": ("answer",),
    "multilabel": ("answer",),
    "detection": ("boxes",),
    "segmentation": ("mask",),
}
_VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr")


class Table:
    """``split`` selects rows whose split column has that value; without such a column every row belongs to every split."""

    def __init__(
        self,
        table: str,
        images: str,
        columns: Mapping[str, str],
        kind: str,
        choices: Sequence[str] = (),
        strata: Sequence[str] = (),
        access: str = "private",
    ) -> None:
        self._table = require(Path(table), "the task's table")
        self._images, self._columns, self._kind = images, dict(columns), kind
        self._choices, self._strata, self._access = frozenset(choices), tuple(strata), access
        rows = csv_rows if self._table.suffix.lower() == ".csv" else json_lines
        self._rows = rows

    def samples(self, split: str) -> Iterator[Sample]:
        names: dict[str, str] | None = None
        renamed: list[tuple[str, str]] = []
        split_column = self._columns.get("split", "split")
        for line, row in self._rows(self._table):
            if names is None:
                names = self._resolve(row)
                renamed = [(ours, theirs) for ours, theirs in names.items() if ours != theirs]
            if split_column in row and str(row[split_column]) != split:
                continue
            try:
                for ours, theirs in renamed:
                    row[ours] = row[theirs]  # prompts may name a column either way
                sample = self._sample(row, line, names)
            except KeyError as missing:
                raise DataError(
                    f"{self._table}, line {line}: no column {missing}, which the first row has; it has {', '.join(row)}"
                ) from None
            yield sample

    def _resolve(self, first: Mapping[str, Any]) -> dict[str, str]:
        """Our fields that the table has, with its names. Raises :class:`DataError` naming what is missing."""
        wrong = {ours: theirs for ours, theirs in self._columns.items() if theirs not in first}
        ours = ("id", "image", "images", "question", "prompt", "answer", "options", "mask", "boxes", "cluster")
        names = {o: self._columns.get(o, o) for o in ours if self._columns.get(o, o) in first}
        if "question" not in names and "prompt" in names:
            names["question"] = names["prompt"]
        missing = [c for c in _REQUIRED[self._kind] if c not in names] + [
            f"strata {a}" for a in self._strata if a not in first
        ]
        if wrong or missing:
            what = [f"{ours} -> '{theirs}'" for ours, theirs in wrong.items()] + missing
            raise DataError(
                f"{self._table}: a {self._kind} table needs the columns {', '.join(what)}; it has {', '.join(map(str, first))}",
                remedy="name them under data: columns: in the task file",
            )
        return names

    def _sample(self, row: dict[str, Any], line: int, names: Mapping[str, str]) -> Sample:
        options = row.get("options") if "options" in names else None
        return Sample(
            str(row["id"]) if "id" in names else f"line-{line}",
            str(row["cluster"]) if "cluster" in names else None,
            {"answer": self._target(row, line)},
            self._pictures(row) if "image" in names or "images" in names else (),
            row,
            tuple(_list(options, line, self._table)) if options else (),
            {axis: str(row[axis]) for axis in self._strata if row.get(axis) not in (None, "")}
            if self._strata
            else EMPTY,
        )

    def _pictures(self, row: dict[str, Any]) -> tuple[Image, ...]:
        value = row.get("image") or row.get("images")
        if not value:
            return ()
        paths = value if isinstance(value, list) else str(value).split(";")
        return tuple(self._picture(str(p).strip()) for p in paths)

    def _picture(self, name: str) -> Image:
        path = os.path.join(self._images, name)
        if name.lower().endswith(_VOLUME_SUFFIXES):
            return Image(path, kind="volume")
        return Image(path, kind="series") if os.path.isdir(path) else Image(path)

    def _target(self, row: dict[str, Any], line: int) -> Target:
        kind = self._kind
        if kind == "segmentation":
            return Mask(image=self._picture(str(row["mask"])))
        if kind == "detection":
            return Boxes(tuple(self._box(item, line) for item in _list(row["boxes"], line, self._table)))
        value = row["answer"]
        if value is None or value == "":
            raise DataError(f"{self._table}, line {line}: the answer is empty", remedy="remove the row or fill it in")
        if kind == "classification":
            return Labels((self._label(str(value), line),))
        if kind == "multilabel":
            items = value if isinstance(value, list) else str(value).split(";")
            return Labels(tuple(self._label(str(v).strip(), line) for v in items if str(v).strip()))
        return Text(tuple(map(str, value)) if isinstance(value, list) else (str(value),))

    def _label(self, label: str, line: int) -> str:
        if self._choices and label not in self._choices:
            raise DataError(
                f"{self._table}, line {line}: label {shown(label, self._access)} is not one of the choices"
                f" {', '.join(sorted(self._choices))}"
            )
        return label

    def _box(self, item: Any, line: int) -> Box:
        try:
            x0, y0, x1, y1 = (float(c) for c in item["box"])
            return Box(str(item["label"]), x0, y0, x1, y1)
        except (TypeError, KeyError, ValueError):
            raise DataError(
                f"{self._table}, line {line}: box {shown(item, self._access)}, expected"
                ' {"label": name, "box": [x0, y0, x1, y1]}'
            ) from None

    def fingerprint(self) -> str:
        return hash_files([self._table])


def _list(value: Any, line: int, path: Path) -> list[Any]:
    """A list as JSON gives it, or a CSV cell that holds JSON or items joined by ``;``."""
    if isinstance(value, list):
        return value
    text = str(value)
    if not text.startswith("["):
        return [part.strip() for part in text.split(";")]
    try:
        return list(json.loads(text))
    except ValueError as error:
        raise DataError(f"{path}, line {line}: a list that is not JSON ({error})") from None
