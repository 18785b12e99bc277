"""Predictions from a file: what ``radbench score --predictions`` and other harnesses' outputs come through.

JSON lines ``{"task", "sample", "text" | "scores" | "boxes" | "mask"}``. Scores: an object of option -> probability. Boxes:
a list of ``{"label", "box": [x0, y0, x1, y1]}`` or ``[label, x0, y0, x1, y1(, score)]``, in pixels. Mask: the path, relative
to the file, of a PNG, NIfTI, NRRD or npz (array ``mask``). Answer files of radbench have these fields, so they replay too.
Result files of lmms-eval, VLMEvalKit and ReXrank are told by their form (:mod:`radbench.model_adapters.imports`) and hold
the answers of one task.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from radbench.model_adapters.imports import read_foreign

from radbench.answers import RETRIED
from radbench.errors import ConfigError, DataError, ImageError
from radbench.images import load_mask
from radbench.images.decode import file_sha256
from radbench.records import Answer, Box, Failure, FailureKind, Image, Mask, Request, Sample

if TYPE_CHECKING:
    import numpy as np

    from radbench.task import Task


class Replay:
    """``replay:FILE``. A sample the file lacks is an empty answer; ``unused`` lists predictions nobody asked for."""

    capabilities = frozenset({"text", "boxes", "mask2d", "mask3d", "multi_image", "volumes", "by_sample", "blind"})

    raw_argument = True
    paths = ("path",)

    def __init__(self, path: str) -> None:
        self._path = Path(path).expanduser()
        if not self._path.is_file():
            raise ConfigError(f"{path}: no such predictions file", remedy="give a JSON-lines file: replay:FILE")
        self._offsets: dict[tuple[str, str, int], int] = {}
        self._asked: set[tuple[str, str, int]] = set()
        self._matched: dict[str, Answer] = {}  # of another harness: sample id -> answer
        self._foreign = read_foreign(self._path)
        if self._foreign is not None:
            self.tell = self._match  # ids and places of the samples; references only to check that they are the same
        else:
            self._read_own()

    def _match(self, task: Task, samples: Iterable[Sample]) -> None:
        assert self._foreign is not None
        if self._offsets:
            raise ConfigError(
                f"{self._path}: it holds the answers of one task", remedy="score each task's file by itself"
            )
        self._matched = self._foreign.matched(samples, task.target)
        self._offsets = {(task.name, sample, 0): 0 for sample in self._matched}

    def _read_own(self) -> None:
        offset = 0
        with self._path.open("rb") as f:
            for number, line in enumerate(f, 1):
                if line.strip():
                    record = self._record(line, number)
                    key = (record["task"], record["sample"], int(record.get("draw", 0)))
                    retried = record.get("status") in RETRIED
                    if key in self._offsets and "status" not in record:  # our own files may hold a retried answer
                        raise DataError(
                            f"{self._path}, line {number}: a second prediction for one sample of '{key[0]}'"
                        )
                    if key not in self._offsets or not retried:  # a final answer stays, whatever was tried later
                        self._offsets[key] = offset
                offset += len(line)

    def _record(self, line: bytes, number: int) -> dict[str, Any]:
        where = f"{self._path}, line {number}"
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{where}: not JSON in UTF-8 ({error})") from None
        if not isinstance(record, dict) or not all(isinstance(record.get(k), str) for k in ("task", "sample")):
            raise DataError(f"{where}: expected an object with the texts 'task' and 'sample'")
        if not isinstance(record.get("text", ""), str):
            raise DataError(f"{where}: 'text' is {type(record['text']).__name__}, expected a text")
        if not any(k in record for k in ("text", "scores", "boxes", "mask", "status")):
            raise DataError(f"{where}: it has none of 'text', 'scores', 'boxes', 'mask'; found {sorted(record)}")
        return record

    def fingerprint(self) -> Mapping[str, str]:
        harness = {"harness": self._foreign.harness} if self._foreign else {}
        return {
            "adapter": "replay", "name": f"replay:{self._path.name}", "sha256": file_sha256(self._path)[:16], **harness
        }  # fmt: skip

    @property
    def unused(self) -> list[tuple[str, str]]:
        """(task, sample) of predictions that no task of the run asked for: a wrong id, most often."""
        strangers = len(self._foreign.rows) - len(self._matched) if self._foreign else 0
        return [key[:2] for key in self._offsets if key not in self._asked] + [("", "")] * strangers

    @property
    def used(self) -> int:
        """How many predictions a sample asked for."""
        return len(self._asked)

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        with self._path.open("rb") as f:
            for request in requests:
                key = (request.task, request.sample, request.draw)
                if key not in self._offsets:
                    yield request, Answer(failure=Failure("empty", f"no prediction in {self._path.name}"))
                    continue
                self._asked.add(key)
                if self._foreign is not None:
                    yield request, self._matched[request.sample]
                    continue
                f.seek(self._offsets[key])
                yield request, self._answer(json.loads(f.readline()))

    def _answer(self, record: Mapping[str, Any]) -> Answer:
        status = record.get("status", "ok")
        failure = Failure(status, record.get("message", "")) if status in get_args(FailureKind) else None
        try:
            return Answer(
                text=record.get("text"),
                boxes=tuple(_box(b) for b in record["boxes"]) if "boxes" in record else None,
                mask=self._mask(str(record["mask"])) if "mask" in record else None,
                failure=failure,
                scores=_scores(record["scores"]) if "scores" in record else None,
            )
        except (AttributeError, TypeError, ValueError, IndexError, KeyError) as error:
            return Answer(failure=Failure("unparsable", f"{type(error).__name__}: {error}"[:300]))
        except ImageError as error:
            return Answer(failure=Failure("input", error.message))

    def _mask(self, name: str) -> np.ndarray:
        volume = name.lower().endswith((".nii", ".nii.gz", ".nrrd", ".nhdr"))
        return load_mask(Mask(image=Image(str(self._path.parent / name), kind="volume" if volume else "2d")))


def _scores(item: Any) -> dict[str, float]:
    scores = {str(option): float(score) for option, score in item.items()}
    if not all(map(math.isfinite, scores.values())):
        raise ValueError("a score is not finite")
    return scores


def _box(item: Any) -> Box:
    if isinstance(item, dict):
        x0, y0, x1, y1 = (float(c) for c in item["box"])
        return Box(str(item["label"]), x0, y0, x1, y1, float(item.get("score", 1.0)))
    label, *numbers = item
    return Box(str(label), *(float(c) for c in numbers))
