"""Answers on disk: one JSON line each, found again by key without parsing the others.

A line starts with the key and the status at fixed places, so that resuming a million answers parses none of them::

    {"key":"<32 hex>","status":"ok","task":...,"sample":...,"text":...}
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radbench.errors import ResumeError
from radbench.records import Answer, Box, Failure, Request

if TYPE_CHECKING:
    import numpy as np

    from radbench.folder import RunFolder

_PREFIX = b'{"key":"'
_STATUS = b'","status":"'
_KEY_END = len(_PREFIX) + 32
_STATUS_START = _KEY_END + len(_STATUS)
RETRIED = frozenset({"transport", "model"})  # asked again on resume: the fault was not in the answer
_RETRIED_BYTES = tuple(f'{kind}"'.encode() for kind in RETRIED)

_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode


def encode_answer(request: Request, answer: Answer, images: tuple[str, ...] = (), mask: str | None = None) -> str:
    """One line of an answers file. Lone surrogates and NUL survive: everything beyond ASCII is escaped."""
    record: dict[str, Any] = {"task": request.task, "sample": request.sample}
    if request.draw:
        record["draw"] = request.draw
    status = "ok"
    if answer.failure is not None:
        status = answer.failure.kind
        record["message"] = answer.failure.message
    if answer.text is not None:
        record["text"] = answer.text
    if answer.boxes is not None:
        record["boxes"] = [[b.label, b.x0, b.y0, b.x1, b.y1, b.score] for b in answer.boxes]
    if mask is not None:
        record["mask"] = mask
    if answer.seconds is not None:
        record["seconds"] = round(answer.seconds, 4)
    if answer.usage:
        record["usage"] = dict(answer.usage)
    if answer.scores is not None:
        record["scores"] = dict(answer.scores)
    if answer.reasoning is not None:
        record["reasoning"] = answer.reasoning
    if images:
        record["images"] = list(images)
    return f'{{"key":"{request.key.hex()}","status":"{status}",{_encode(record)[1:]}\n'


def decode_answer(line: bytes, folder: Path) -> Answer:
    """The answer of one line; masks are read from beside it."""
    record = _scan(line.decode("ascii"), 0)[0]
    status = record["status"]
    if status == "ok" and "text" in record and len(record) == 5:
        return Answer(record["text"])  # the usual line: key, status, task, sample, text
    failure = None if status == "ok" else Failure(status, record.get("message", ""))
    boxes = record.get("boxes")
    mask = record.get("mask")
    return Answer(
        text=record.get("text"),
        boxes=None if boxes is None else tuple(Box(*b) for b in boxes),
        mask=None if mask is None else read_mask(folder / "answers" / mask),
        failure=failure,
        seconds=record.get("seconds"),
        usage=record.get("usage", {}),
        scores=record.get("scores"),
        reasoning=record.get("reasoning"),
    )


def write_mask(path: Path, mask: np.ndarray) -> None:
    """A bool mask, bit-packed, with its shape; written whole or not at all."""
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as f:
        np.savez_compressed(f, bits=np.packbits(mask.astype(bool).ravel()), shape=np.array(mask.shape, np.int64))
    os.replace(partial, path)


def read_mask(path: Path) -> np.ndarray:
    """A mask written by :func:`write_mask`, or an npz with an array ``mask``."""
    import numpy as np

    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        if "mask" in archive.files:
            return archive["mask"].astype(bool)
        shape = tuple(int(s) for s in archive["shape"])
        return np.unpackbits(archive["bits"], count=int(np.prod(shape))).reshape(shape).astype(bool)


def scan(files: list[Path]) -> Iterator[tuple[bytes, bool, int, int, int]]:
    """``(key, final, file, offset, length)`` of every whole line. Raises :class:`ResumeError` on a foreign line."""
    for index, path in enumerate(files):
        offset = 0
        with path.open("rb") as f:
            for number, line in enumerate(f, 1):
                length = len(line)
                if line[-1:] != b"\n":
                    break  # being written, or cut short
                if line[:8] != _PREFIX or line[_KEY_END:_STATUS_START] != _STATUS:
                    raise ResumeError(
                        f"{path}, line {number}: not an answer line of radbench",
                        remedy="remove the line, or score foreign predictions with: radbench score --predictions FILE",
                    )
                final = not line.startswith(_RETRIED_BYTES, _STATUS_START)
                yield bytes.fromhex(line[8:_KEY_END].decode("ascii")), final, index, offset, length
                offset += length


class DoneKeys:
    """The keys already answered, 16 bytes each: a sorted array for those on disk, a set for this session's."""

    def __init__(self, files: list[Path], final_only: bool = True) -> None:
        """With ``final_only=False`` failures that are asked again count as answered too."""
        import numpy as np

        packed = bytearray()
        for key, final, *_ in scan(files):
            if final or not final_only:
                packed += key
        self._written = np.sort(_as_keys(packed))
        self._new: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._written) + len(self._new)

    def missing(self, keys: list[bytes]) -> list[bool]:
        """Which of a batch of keys have no answer; each is then counted as asked."""
        found = _look_up(self._written, keys)[1].tolist() if len(self._written) and keys else None
        out = []
        for i, key in enumerate(keys):
            new = key not in self._new and not (found is not None and found[i])
            if new:
                self._new.add(key)
            out.append(new)
        return out


class AnswerIndex:
    """Sorted key -> place of its last final answer (else its last one); reads one line at a time."""

    def __init__(self, folder: RunFolder) -> None:
        import numpy as np

        self._folder = folder
        self._files = folder.answer_files()
        packed = bytearray()
        finals, files, offsets, lengths = bytearray(), array("H"), array("q"), array("I")
        for key, final, file, offset, length in scan(self._files):
            packed += key
            finals.append(final)
            files.append(file)
            offsets.append(offset)
            lengths.append(length)
        keys = _as_keys(packed)
        # By key, then final last, then order of writing: the last line of a key is the one that counts.
        order = np.lexsort((np.asarray(finals), keys)) if not all(finals) else np.argsort(keys, kind="stable")
        if len(order):
            ordered = keys[order]
            order = order[np.append(ordered[1:] != ordered[:-1], True)]
        self._keys = keys[order]
        self._file, self._offset, self._length = (np.asarray(a)[order] for a in (files, offsets, lengths))
        self._handles = [os.open(p, os.O_RDONLY) for p in self._files]

    def __enter__(self) -> AnswerIndex:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            os.close(handle)

    def __len__(self) -> int:
        return len(self._keys)

    def answers(self, keys: list[bytes]) -> list[Answer | None]:
        """The answer of each key, None where there is none yet. Raises :class:`ResumeError` on a damaged line."""
        if not len(self._keys) or not keys:
            return [None] * len(keys)
        at, found = _look_up(self._keys, keys)
        files, offsets, lengths = self._file[at].tolist(), self._offset[at].tolist(), self._length[at].tolist()
        return [
            self._answer(file, offset, length) if hit else None
            for hit, file, offset, length in zip(found.tolist(), files, offsets, lengths, strict=True)
        ]

    def _answer(self, file: int, offset: int, length: int) -> Answer:
        line = os.pread(self._handles[file], length, offset)
        try:
            return decode_answer(line, self._folder.path)
        except (StopIteration, ValueError, KeyError, TypeError, OSError) as error:
            raise ResumeError(
                f"{self._files[file]}, byte {offset}: a damaged answer line ({type(error).__name__})",
                remedy="remove the line; its request is then asked again by: radbench resume",
            ) from error


def _as_keys(packed: bytes | bytearray) -> np.ndarray:
    """16-byte keys as an array that sorts and compares bytewise (NUL-padded strings of a fixed length do)."""
    import numpy as np

    return np.frombuffer(packed, "S16") if packed else np.zeros(0, "S16")


def _look_up(table: np.ndarray, keys: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Where keys lie in a sorted, non-empty table, and whether they are there."""
    import numpy as np

    wanted = _as_keys(b"".join(keys))
    at = np.minimum(np.searchsorted(table, wanted), len(table) - 1)
    return at, table[at] == wanted
