"""The run folder: manifest, append-only answers, and nothing that cannot be read with an editor."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from radbench.answers import write_mask
from radbench.errors import ConfigError, RadbenchError, ResumeError
from radbench.records import Request

if TYPE_CHECKING:
    import numpy as np

MANIFEST = "manifest.json"
RESULTS = "results.json"
BUNDLE = "bundle.json"


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
            if (self.path / BUNDLE).exists():
                raise ResumeError(
                    f"{self.path} is a bundle of radbench export, expected a run",
                    remedy="radbench verify or report reads it",
                )
            return mapping_of(file, ("identity",))
        except (FileNotFoundError, NotADirectoryError):
            raise ResumeError(
                f"{self.path} is no run folder: it has no {MANIFEST}",
                remedy="radbench run --model NAME --tasks NAME makes one",
            ) from None
        except ValueError as error:
            raise ResumeError(
                f"{file}: damaged ({error})", remedy="restore it: it is written once, never changed"
            ) from None

    def claim(self, manifest: Callable[[], Mapping[str, Any]], identity: Mapping[str, Any]) -> None:
        """Create the folder for this work, or check that it already holds this work.

        ``identity`` is the part of the manifest that must not differ between sessions; the rest is made only where the
        folder is new. Raises :class:`ResumeError` with the difference.
        """
        file = self.path / MANIFEST
        try:
            if self.path.is_dir() and not file.exists() and any(p != self.answers for p in self.path.iterdir()):
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

    def _claim(self, file: Path, manifest: Callable[[], Mapping[str, Any]], identity: Mapping[str, Any]) -> None:
        if file.exists():
            self.check(identity)
            return
        text = json.dumps({**manifest(), "identity": identity}, indent=1, sort_keys=True, default=str)
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
        try:
            path.parent.mkdir(exist_ok=True)  # stats/ is missing where no task could be scored
            replace_whole(path, text.encode())
        except OSError as error:
            raise _disk_error(path, error) from error
        return path


def mapping_of(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """The JSON object of a file of ours. Raises ValueError where it is none or lacks one of the ``keys``."""
    found: Any = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"it is no object but {type(found).__name__}")
    if missing := [key for key in keys if key not in found]:
        raise ValueError(f"it lacks {', '.join(missing)}")
    return found


def replace_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file whole or not at all, with ``mode`` less the umask; a link's file, not the link. Raises OSError."""
    path = path.resolve()
    if path.exists() and not path.is_file():  # a device or pipe is written to; a folder says so itself
        path.write_bytes(content)
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: str | bytes, mode: int = 0o666) -> None:
    """Write a file that the user asked for, and its folder, whole or not at all. Raises :class:`RadbenchError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_whole(path, content.encode() if isinstance(content, str) else content, mode)
    except OSError as error:
        raise RadbenchError(
            f"{path}: cannot write ({error.strerror or error})",
            remedy="name another file, or see to space and permissions",
        ) from error


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    if path.startswith("tasks.") and path.count(".") == 1 and None in (old, new):
        task = path.removeprefix("tasks.")
        yield f"task {task} is {'new here: its data were absent' if old is None else 'in the folder, its data are absent now'}"
        return
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
