"""Predictions from a file: what ``radbench score --predictions`` and other harnesses' outputs come through.

JSON lines ``{"task", "sample", "text" | "boxes" | "mask"}``: boxes are ``[label, x0, y0, x1, y1(, score)]`` in pixels,
a mask is the path of an npz beside the file. Answer files of radbench have these fields, so they replay too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from radbench.errors import ConfigError, DataError
from radbench.folder import read_mask
from radbench.images.decode import file_sha256
from radbench.records import Answer, Box, Failure, Request


class Replay:
    """``replay:FILE``. A sample the file lacks is an empty answer; ``unused`` lists predictions nobody asked for."""

    capabilities = frozenset({"text", "boxes", "mask2d", "mask3d", "multi_image", "volumes", "by_sample", "blind"})

    raw_argument = True

    def __init__(self, path: str) -> None:
        self._path = Path(str(path))
        if not self._path.is_file():
            raise ConfigError(f"{path}: no such predictions file", remedy="give a JSON-lines file: replay:FILE")
        self._offsets: dict[tuple[str, str], int] = {}
        self._asked: set[tuple[str, str]] = set()
        offset = 0
        with self._path.open("rb") as f:
            for number, line in enumerate(f, 1):
                if line.strip():
                    record = self._record(line, number)
                    key = (record["task"], record["sample"])
                    if key in self._offsets and not record.get("draw"):
                        raise DataError(
                            f"{self._path}, line {number}: a second prediction for sample '{key[1]}' of '{key[0]}'"
                        )
                    self._offsets.setdefault(key, offset)
                offset += len(line)

    def _record(self, line: bytes, number: int) -> dict[str, Any]:
        where = f"{self._path}, line {number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: not JSON ({error})") from None
        if not isinstance(record, dict) or not all(isinstance(record.get(k), str) for k in ("task", "sample")):
            raise DataError(f"{where}: expected an object with the texts 'task' and 'sample'")
        if not any(k in record for k in ("text", "boxes", "mask", "status")):
            raise DataError(f"{where}: it has none of 'text', 'boxes', 'mask'; found {sorted(record)}")
        return record

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "replay", "name": f"replay:{self._path.name}", "sha256": file_sha256(self._path)[:16]}

    @property
    def unused(self) -> list[tuple[str, str]]:
        """(task, sample) of predictions that no task of the run asked for: a wrong id, most often."""
        return [key for key in self._offsets if key not in self._asked]

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        with self._path.open("rb") as f:
            for request in requests:
                key = (request.task, request.sample)
                if key not in self._offsets:
                    yield request, Answer(failure=Failure("empty", f"no prediction in {self._path.name}"))
                    continue
                self._asked.add(key)
                f.seek(self._offsets[key])
                yield request, self._answer(json.loads(f.readline()))

    def _answer(self, record: Mapping[str, Any]) -> Answer:
        status = record.get("status", "ok")
        try:
            boxes = record.get("boxes")
            text = record.get("text")
            return Answer(
                text=text if text is None else str(text),
                boxes=None if boxes is None else tuple(Box(str(b[0]), *(float(c) for c in b[1:])) for b in boxes),
                mask=read_mask(self._path.parent / record["mask"]) if "mask" in record else None,
                failure=None if status == "ok" else Failure(status, record.get("message", "")),
            )
        except (TypeError, ValueError, IndexError, KeyError, OSError) as error:
            return Answer(failure=Failure("unparsable", f"{type(error).__name__}: {error}"[:300]))
