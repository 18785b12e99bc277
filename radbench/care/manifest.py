"""A list of a dataset's files with their sha256, and what has changed since it was written.

The manifest is a local record: it holds names relative to the dataset's folder, which in restricted sets can themselves
identify (MIMIC-CXR's folders are subject and study numbers). Do not publish one of restricted data.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from radbench.caches import cache_root
from radbench.errors import DataError
from radbench.images.decode import file_sha256

FORMAT = 1
FILE = "radbench-manifest.json"
THREADS = 4
_NOTE = "a local record; file names of restricted data can identify people: keep it where the data are allowed"
_AT_ONCE = 256  # files handed to the threads at a time


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as it was: bytes, modification time in ns, and sha256 of its bytes in hex."""

    size: int
    mtime: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    dataset: str
    access: str
    created: str
    files: Mapping[str, Entry]  # by path relative to the dataset's folder, / between its parts
    root: str = ""  # the folder it was written of; empty where an earlier version wrote it


@dataclass(frozen=True, slots=True)
class Difference:
    """How a folder differs from its manifest: relative names, sorted. ``how`` says what was compared.

    ``touched``: same size, another modification time; without hashing nobody knows whether the content changed.
    """

    how: Literal["sha256", "size and time"]
    files: int
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        return not (self.changed or self.missing or self.new)


def default_path(dataset: str) -> Path:
    """Where a dataset's manifest is kept: in the user's cache, never in the dataset."""
    return cache_root() / "manifests" / dataset.replace("/", "_") / FILE


def write(root: Path, path: Path, dataset: str, access: str) -> Manifest:
    """Hash every file below ``root`` and write the manifest to ``path``, whole or not at all.

    Raises :class:`DataError` where it cannot be written, before anything is hashed; OSError where a file cannot be read.
    """
    from datetime import UTC, datetime

    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.touch()
        draft.unlink()
    manifest = _made(root, path, dataset, access, datetime.now(UTC).isoformat(timespec="seconds"))
    with _writing(path):
        try:
            draft.write_text(_as_text(manifest), encoding="ascii")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return manifest


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"the manifest cannot be written to {path} ({error.strerror or error})",
            remedy="set XDG_CACHE_HOME to a folder you can write to, or name a file: --manifest FILE",
        ) from error


def _made(root: Path, path: Path, dataset: str, access: str, created: str) -> Manifest:
    present = _listed(root, path)
    hashes = _hashed(root, present)
    files = {name: Entry(entry.size, entry.mtime, hashes[name]) for name, entry in sorted(present.items())}
    return Manifest(dataset, access, created, files, str(root.resolve()))


def _as_text(manifest: Manifest) -> str:
    """JSON with a file a line."""
    known = {"dataset": manifest.dataset, "root": manifest.root, "access": manifest.access, "created": manifest.created}
    head = json.dumps({"format": FORMAT, **known, "note": _NOTE})
    lines = ",\n".join(
        f"{json.dumps(name)}: {json.dumps([e.size, e.mtime, e.sha256])}" for name, e in manifest.files.items()
    )
    return f'{head[:-1]}, "files": {{\n{lines}\n}}}}\n'


def load(path: Path) -> Manifest:
    """A manifest written by :func:`write`. Raises :class:`DataError` where it is damaged."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise DataError(f"{path}: manifest format {content['format']!r}, expected {FORMAT}")
        files = {name: Entry(int(size), int(mtime), str(sha)) for name, (size, mtime, sha) in content["files"].items()}
        dataset, access, created = (str(content[key]) for key in ("dataset", "access", "created"))
        return Manifest(dataset, access, created, files, str(content.get("root", "")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: not a manifest of radbench ({type(error).__name__})", remedy="write it again: --write-manifest"
        ) from None


def compare(root: Path, path: Path, manifest: Manifest, hashing: bool) -> Difference:
    """What differs below ``root``: by sha256 of every file, or by size and modification time alone."""
    present = _listed(root, path)
    common = {name: entry for name, entry in present.items() if name in manifest.files}
    other_size = {n for n, e in common.items() if e.size != manifest.files[n].size}
    touched = {n for n, e in common.items() if e.mtime != manifest.files[n].mtime} - other_size
    changed = other_size
    if hashing:
        hashes = _hashed(root, common.keys() - other_size)
        changed = other_size | {name for name, sha in hashes.items() if sha != manifest.files[name].sha256}
        touched = set()
    return Difference(
        "sha256" if hashing else "size and time",
        len(present),
        tuple(sorted(changed)),
        tuple(sorted(manifest.files.keys() - present.keys())),
        tuple(sorted(present.keys() - manifest.files.keys())),
        tuple(sorted(touched)),
    )


# --- files ---


def _listed(root: Path, apart: Path) -> dict[str, Entry]:
    """Every regular file below ``root`` but the manifest itself, by relative name."""
    files = dict(_walk(root))
    if apart.resolve().is_relative_to(root.resolve()):
        files.pop(apart.resolve().relative_to(root.resolve()).as_posix(), None)
    return files


def _walk(root: Path) -> Iterator[tuple[str, Entry]]:
    """Files in folders and behind links. Each folder is entered once, links last: a loop of links ends."""
    if (single := _entry(root)) is not None:
        yield root.name, single
        return
    seen: set[tuple[int, int]] = set()
    folders, links = [root], list[Path]()
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        state = folder.stat()
        if (state.st_dev, state.st_ino) in seen:
            continue
        seen.add((state.st_dev, state.st_ino))
        with os.scandir(folder) as entries:
            for item in sorted(entries, key=lambda e: e.name):
                path = folder / item.name
                if path.is_dir() if item.is_symlink() else item.is_dir():
                    (links if item.is_symlink() else folders).append(path)
                elif (entry := _entry(path)) is not None:
                    yield path.relative_to(root).as_posix(), entry
        links.sort()


def _entry(path: Path) -> Entry | None:
    """Size and time of a regular file; None of a broken link, a pipe, a socket."""
    try:
        state = path.stat()
    except OSError:
        return None
    return Entry(state.st_size, state.st_mtime_ns) if stat.S_ISREG(state.st_mode) else None


def _hashed(root: Path, names: Iterable[str]) -> dict[str, str]:
    """sha256 of files, read in threads. Raises OSError where one cannot be read."""
    folder = root.parent if root.is_file() else root
    hashes: dict[str, str] = {}
    queue = iter(sorted(names))
    with ThreadPoolExecutor(THREADS, thread_name_prefix="radbench-sha256") as pool:
        while batch := list(islice(queue, _AT_ONCE)):
            hashes.update(zip(batch, pool.map(lambda name: file_sha256(folder / name), batch), strict=True))
    return hashes
