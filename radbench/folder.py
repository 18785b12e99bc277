"""The run folder: manifest, append-only answers, and nothing that cannot be read with an editor.

``answers/<i>-of-<n>.jsonl`` holds one line a finished request, written by one worker. A line starts with the key and
the status at fixed places, so that resuming a million answers parses none of them::

    {"key":"<32 hex>","status":"ok","task":...,"sample":...,"text":...}
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from radbench.errors import ConfigError, RadbenchError, ResumeError
from radbench.records import Answer, Box, Failure, Request

if TYPE_CHECKING:
    import numpy as np

_PREFIX = b'{"key":"'
_STATUS = b'","status":"'
_KEY_END = len(_PREFIX) + 32
_STATUS_START = _KEY_END + len(_STATUS)
RETRIED = frozenset({"transport", "model"})  # asked again on resume: the fault was not in the answer
_RETRIED_BYTES = tuple(f'{kind}"'.encode() for kind in RETRIED)

_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode

MANIFEST = "manifest.json"
RESULTS = "results.json"


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


@dataclass(frozen=True, slots=True)
class Shard:
    """Worker ``index`` of ``count``, numbered from 0."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``i/n`` with 1 <= i <= n, as people count."""
        i, slash, n = text.partition("/")
        if not (slash and i.isdigit() and n.isdigit() and 1 <= int(i) <= int(n)):
            raise ConfigError(
                f"shard '{text}' is not i/n with 1 <= i <= n", remedy="--shard 2/8 is the second of eight workers"
            )
        return cls(int(i) - 1, int(n))

    def owns(self, key: bytes) -> bool:
        """Whether this worker asks the request: by key, so that identical requests meet in one worker."""
        return self.count == 1 or int.from_bytes(key[:8], "big") % self.count == self.index

    @property
    def stem(self) -> str:
        return f"{self.index + 1}-of-{self.count}"


class RunFolder:
    """A run on disk. Reading needs nothing but the files; appending goes through :meth:`writer`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers = path / "answers"

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest. Raises :class:`ResumeError` where the folder is no run."""
        file = self.path / MANIFEST
        try:
            return json.loads(file.read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise ResumeError(
                f"{self.path} is no run folder: it has no {MANIFEST}",
                remedy="radbench run --model NAME --tasks NAME makes one",
            ) from None
        except json.JSONDecodeError as error:
            raise ResumeError(
                f"{file}: not valid JSON ({error})", remedy="restore it: it is written once, never changed"
            ) from None

    def claim(self, manifest: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
        """Create the folder for this work, or check that it already holds this work.

        ``identity`` is the part of the manifest that must not differ between sessions. Raises :class:`ResumeError`
        with the difference.
        """
        file = self.path / MANIFEST
        try:
            if self.path.is_dir() and not file.exists() and next(self.path.iterdir(), None) is not None:
                raise ResumeError(
                    f"{self.path} holds other files and no run", remedy="choose an empty or new folder with --out"
                )
            self.answers.mkdir(parents=True, exist_ok=True)
            self._claim(file, manifest, identity)
        except OSError as error:
            raise RadbenchError(
                f"{self.path}: the run folder cannot be made ({error.strerror or error})",
                remedy="choose another folder with --out, or free space",
            ) from error

    def check(self, identity: Mapping[str, Any]) -> None:
        """Raise :class:`ResumeError` with the difference where the folder holds other work."""
        differences = list(
            _differences(self.manifest.get("identity", {}), json.loads(json.dumps(identity, default=str)))
        )
        if differences:
            raise ResumeError(
                f"{self.path} holds another run; it differs in\n    " + "\n    ".join(differences),
                remedy="choose another --out, or use the same arguments, data and model to go on with it",
            ) from None

    def _claim(self, file: Path, manifest: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
        text = json.dumps({**manifest, "identity": identity}, indent=1, sort_keys=True, default=str)
        partial = self.answers / f".manifest.{os.getpid()}"
        try:
            partial.write_text(text + "\n")
            os.link(partial, file)  # fails where another worker was first: exactly one manifest, written whole
        except FileExistsError:
            self.check(identity)
        finally:
            partial.unlink(missing_ok=True)

    def answer_files(self) -> list[Path]:
        return sorted(self.answers.glob("*.jsonl")) if self.answers.exists() else []

    def writer(self, shard: Shard) -> AnswerWriter:
        return AnswerWriter(self, shard)

    def write_atomically(self, name: str, text: str) -> Path:
        """Write a file whole or not at all."""
        path = self.path / name
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            partial.write_text(text)
            os.replace(partial, path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise _disk_error(path, error) from error
        return path


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"{path}: the folder has {old!r}, now {new!r}"


def _disk_error(path: Path, error: OSError) -> RadbenchError:
    return RadbenchError(
        f"{path}: cannot write ({error.strerror or error}). Every answer written so far is safe.",
        remedy=f"free space or check permissions, then: radbench resume {path.parent.parent}",
    )


class AnswerWriter:
    """Appends answers of one worker: whole lines, one write and flush a batch, at most 0.2 s behind.

    A process killed at any moment loses at most the lines not yet flushed; a line cut short is removed on the next
    opening. One process a file: a second one is refused.
    """

    BATCH = 256
    SECONDS = 0.2

    def __init__(self, folder: RunFolder, shard: Shard) -> None:
        self._path = folder.answers / f"{shard.stem}.jsonl"
        self._folder = folder
        self._lines: list[str] = []
        self._lock = threading.Lock()
        self._error: RadbenchError | None = None
        self._stop = threading.Event()
        self._timer = threading.Thread(target=self._flush_often, daemon=True, name="radbench-flush")
        self._file: IO[bytes]

    def __enter__(self) -> AnswerWriter:
        self._file = open(self._path, "ab", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ResumeError(
                f"another process is writing {self._path}",
                remedy="wait for it, or give each process its own --shard i/n",
            ) from None
        self._drop_cut_line()
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._timer.join()
        try:
            if self._error is None:
                self.flush()
                os.fsync(self._file.fileno())
            elif kind is None:
                raise self._error  # the timer's flush failed after the last append
        finally:
            self._file.close()  # also gives the lock back

    def append(self, line: str) -> None:
        """Queue one line. Raises :class:`RadbenchError` where an earlier write failed."""
        if self._error is not None:
            raise self._error
        with self._lock:
            self._lines.append(line)
            full = len(self._lines) >= self.BATCH
        if full:
            self.flush()

    def mask_file(self, request: Request) -> str:
        """Where the mask of a request goes, relative to ``answers/``."""
        return f"masks/{request.key.hex()}.npz"

    def add_mask(self, request: Request, mask: np.ndarray) -> str:
        name = self.mask_file(request)
        try:
            write_mask(self._folder.answers / name, mask)
        except OSError as error:
            raise _disk_error(self._folder.answers / name, error) from error
        return name

    def flush(self) -> None:
        """Write what is queued. On failure the file is cut back to whole lines and the error kept and raised."""
        with self._lock:
            if not self._lines:
                return
            data = "".join(self._lines).encode("ascii")
            end = os.fstat(self._file.fileno()).st_size
            try:
                written = 0
                while written < len(data):
                    written += self._file.write(data[written:]) or 0
            except OSError as error:
                os.ftruncate(self._file.fileno(), end)
                self._error = _disk_error(self._path, error)
                raise self._error from error
            self._lines.clear()

    def _flush_often(self) -> None:
        while not self._stop.wait(self.SECONDS):
            try:
                self.flush()
            except RadbenchError:
                return  # kept in self._error; the next append raises it

    def _drop_cut_line(self) -> None:
        """Remove the part of a line that a killed process left behind."""
        size = os.fstat(self._file.fileno()).st_size
        with open(self._path, "rb") as f:
            position = size
            while position > 0:
                start = max(0, position - 65536)
                f.seek(start)
                newline = f.read(position - start).rfind(b"\n")
                if newline >= 0:
                    position = start + newline + 1
                    break
                position = start
        if position < size:
            os.ftruncate(self._file.fileno(), position)


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
