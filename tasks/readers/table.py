"""A CSV or JSON-lines table with a folder of pictures: any data one brings.

Columns: ``id``, ``image`` (or ``images``), ``question`` / ``prompt``, ``answer`` (text, label, list), ``options``, ``mask``,
``boxes``, ``cluster``, ``split``; ``columns`` maps these names to the table's own. All other columns can be prompt slots
and strata. Tables stream: a million rows never sit in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
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
_PLAIN = (".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG")
_NO_COLUMN = object()
_VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr")


class Table:
    """Rows of a split as samples; see :class:`radbench.taskfile.TaskFile` for the options.

    Without a split column every row belongs to the default split; ``needs_split`` refuses that where the task names a split
    or a support split, since it would then learn from what it is evaluated on.
    """

    def __init__(
        self,
        table: str,
        images: str,
        columns: Mapping[str, str],
        kind: str,
        choices: Sequence[str] = (),
        strata: Sequence[str] = (),
        access: str = "private",
        window: str | None = None,
        needs_split: bool = False,
    ) -> None:
        self._table = require(Path(table), "the task's table")
        suffix = self._table.suffix.lower()
        if suffix not in (".csv", ".jsonl") or not self._table.is_file():
            raise DataError(
                f"{self._table}: expected a .csv or .jsonl file", remedy="save the table as CSV or JSON lines"
            )
        self._rows = csv_rows if suffix == ".csv" else json_lines
        self._texts = kind in ("vqa", "report")
        self._images_below = os.path.join(images, "")
        self._images, self._columns, self._kind, self._window = images, dict(columns), kind, window
        self._choices, self._strata, self._access = frozenset(choices), tuple(strata), access
        self._needs_split = needs_split
        self._split_column = self._columns.get("split", "split")
        # What a row means, besides the table's own bytes; not where the folder lies on this machine.
        self._options = repr((sorted(self._columns.items()), kind, sorted(choices), self._strata, window))

    def samples(self, split: str) -> Iterator[Sample]:
        renamed = [(ours, theirs) for ours, theirs in self._columns.items() if ours != theirs]
        checked = False
        one_renamed = renamed[0] if len(renamed) == 1 else None
        split_column, make = self._split_column, self._sample
        for line, row in self._rows(self._table):
            if not checked:
                self._check_columns(row)
                checked = True
            if split_column in row:
                if str(row[split_column]) != split:
                    continue
            elif self._needs_split:
                raise DataError(
                    f"{self._table}, line {line}: no column '{split_column}', but the task asks for the split '{split}'",
                    remedy="add the column, or use support: leave-one-cluster-out",
                )
            try:
                if one_renamed:
                    row[one_renamed[0]] = row[one_renamed[1]]  # prompts may use either name
                elif renamed:
                    row.update([(ours, row[theirs]) for ours, theirs in renamed])
                sample = make(row, line)
            except KeyError as missing:
                raise DataError(
                    f"{self._table}, line {line}: no column {missing}, which the first row has; it has {', '.join(row)}"
                ) from None
            yield sample

    def _check_columns(self, first: Mapping[str, Any]) -> None:
        """Raise :class:`DataError` naming what the first row lacks."""
        wrong = [f"{ours} -> '{theirs}'" for ours, theirs in self._columns.items() if theirs not in first]
        there = first.keys() | self._columns.keys()
        if "prompt" in there:
            there = there | {"question"}
        missing = [c for c in _REQUIRED[self._kind] if c not in there] + [
            f"strata {a}" for a in self._strata if a not in first
        ]
        if wrong or missing:
            known = {*self._columns, *self._columns.values(), *_REQUIRED[self._kind], "id", "image", "images", "split"}
            there_are = f"it has {', '.join(map(str, first))}"
            if known.isdisjoint(first):  # no header at all? then this is a patient's row
                there_are = f"none of its {len(first)} columns is known, so that it may lack its header line"
            raise DataError(
                f"{self._table}: a {self._kind} table needs the columns {', '.join(wrong + missing)}; {there_are}",
                remedy="name them under data: columns: in the task file (a CSV is separated by commas)",
            )

    def _sample(self, row: dict[str, Any], line: int) -> Sample:
        get = row.get
        if self._kind == "vqa":
            if "question" not in row:
                row["question"] = row["prompt"]
            question = row["question"]
            if not question or not isinstance(question, str):
                raise self._bad(line, "question", question, "a text")
        options, cluster, name, answer = get("options"), get("cluster"), get("id"), get("answer")
        text = Text((answer,)) if self._texts and type(answer) is str and answer else None
        value = get("image") if "image" in row else get("images", _NO_COLUMN)
        return Sample(
            name if type(name) is str else f"line-{line}" if name is None else str(name),
            cluster if type(cluster) is str and cluster else None if cluster in (None, "") else str(cluster),
            {"answer": text or self._target(row, line)},
            () if value is _NO_COLUMN else self._pictures(value, line),
            row,
            tuple(map(str, _list(options, line, self._table))) if options else (),
            {axis: str(row[axis]) for axis in self._strata if get(axis) not in (None, "")} if self._strata else EMPTY,
        )

    def _bad(self, line: int, column: str, value: Any, expected: str) -> DataError:
        return DataError(f"{self._table}, line {line}: {column} is {shown(value, self._access)}, expected {expected}")

    def _pictures(self, value: Any, line: int) -> tuple[Image, ...]:
        if type(value) is str and value.endswith(_PLAIN) and not ("#" in value or ";" in value or value[0] in " /"):
            return (
                Image(self._images_below + value, None, None, "2d", self._window),
            )  # nearly all rows of large tables
        paths = [str(p).strip() for p in (value if isinstance(value, list) else str(value or "").split(";"))]
        if not any(paths):
            raise self._bad(line, "image", value, "a path (leave the column out where questions have no picture)")
        return tuple(self._picture(p) for p in paths if p)

    def _picture(self, name: str) -> Image:
        """A path below the image folder; ``file.npz#member`` or ``file.npz#member#index`` for arrays."""
        name, _, member = name.partition("#")
        member, _, index = member.partition("#")
        path = os.path.join(self._images, name)
        frame = int(index) if index.isdigit() else None
        if name.lower().endswith(_VOLUME_SUFFIXES):
            return Image(path, kind="volume", window=self._window)
        if "\0" not in path and os.path.isdir(path):
            return Image(path, kind="series", window=self._window)
        return Image(path, member or None, frame, window=self._window)

    def _target(self, row: dict[str, Any], line: int) -> Target:
        kind = self._kind
        if kind == "segmentation":
            return self._mask(row["mask"], line)
        if kind == "detection":
            return Boxes(tuple(self._box(item, line) for item in _list(row["boxes"], line, self._table)))
        value = row["answer"]
        if kind == "multilabel":
            items = value if isinstance(value, list) else str(value or "").split(";")
            return Labels(tuple(self._label(str(v).strip(), line) for v in items if str(v).strip()))
        if value is None or value == "" or value == []:
            raise DataError(f"{self._table}, line {line}: the answer is empty", remedy="remove the row or fill it in")
        if isinstance(value, dict):
            raise self._bad(line, "answer", value, "a text, a number or a list of texts")
        if kind == "classification":
            return Labels((self._label(str(value), line),))
        return Text(tuple(map(str, value)) if isinstance(value, list) else (str(value),))

    def _mask(self, value: Any, line: int) -> Mask:
        image = self._picture(str(value)) if value else None
        if image is None or image.kind == "series" or "missing" in image.key():
            raise self._bad(line, "mask", value, "the path of a mask file that exists, below the image folder")
        return Mask(image=image._replace(window=None))

    def _label(self, label: str, line: int) -> str:
        if self._choices and label not in self._choices:
            raise DataError(
                f"{self._table}, line {line}: label {shown(label, self._access)} is not one of the choices"
                f" {', '.join(sorted(self._choices))}"
            )
        return label

    def _box(self, item: Any, line: int) -> Box:
        expected = '{"label": name, "box": [x0, y0, x1, y1]} with x0 < x1 and y0 < y1, in pixels'
        try:
            x0, y0, x1, y1 = (float(c) for c in item["box"])
            label = self._label(str(item["label"]), line)
        except (TypeError, KeyError, ValueError):
            raise self._bad(line, "boxes", item, expected) from None
        if not (x0 < x1 and y0 < y1):
            raise self._bad(line, "boxes", item, expected)
        return Box(label, x0, y0, x1, y1)

    def fingerprint(self) -> str:
        return sha256(f"{hash_files([self._table])} {self._options}".encode()).hexdigest()[:16]


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
