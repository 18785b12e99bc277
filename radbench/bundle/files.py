"""The files of a bundle: sealed with their hashes when written, read with suspicion when they come from elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from radbench.errors import DataError
from radbench.folder import MANIFEST, RESULTS

BUNDLE = "bundle.json"
FORMAT = "radbench-bundle"
VERSION = 1
_JSON_BYTES = 64 << 20
_FILES = 100_000

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a bundle, and where. ``stored`` and ``computed`` are the two values that should be equal."""

    file: str
    message: str
    task: str = ""
    metric: str = ""
    stored: Any = None
    computed: Any = None

    def line(self) -> str:
        place = ": ".join(part for part in (self.file, self.task, self.metric) if part)
        values = f": stored {self.stored!r}, computed {self.computed!r}" if self.stored != self.computed else ""
        return f"{place}: {self.message}{values}"


class Unreadable(Exception):
    """A file that is not what a bundle holds; the reason, without the file's name."""


def stats_name(task: str, file: str) -> str:
    """The name in a bundle of one of a task's files. Raises :class:`DataError` on a task that would leave the folder."""
    name = f"stats/{task}/{file}"
    if not _inside(name):
        raise DataError(f"task '{task}': no folder can be called so", remedy="rename the task and run it again")
    return name


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def write_arrays(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def seal(folder: Path, radbench: str) -> str:
    """Write ``bundle.json`` over every file of the folder; the digest of the bundle."""
    files = {name: file_digest(folder / name) for name in sorted(present(folder)[0])}
    write_json(folder / BUNDLE, {"format": FORMAT, "version": VERSION, "radbench": radbench, "files": files})
    return f"sha256:{file_digest(folder / BUNDLE)}"


def file_digest(path: Path) -> str:
    """sha256 of a file, hex."""
    digest = sha256()
    with path.open("rb") as file:
        for block in iter(partial(file.read, 1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def present(folder: Path) -> tuple[set[str], set[str]]:
    """Names of the plain files of a folder, with ``/`` between folders, and of everything else in it: links, devices."""
    plain: set[str] = set()
    other: set[str] = set()
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        (plain if path.is_file() and not path.is_symlink() else other).add(name)
    return plain, other


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        yield from (Path(root) / name for name in files)
        yield from (path for name in folders if (path := Path(root) / name).is_symlink())


def is_bundle(folder: Path) -> bool:
    """Whether a folder is a bundle and nothing else: what an export may replace."""
    try:
        listed = set(read_json(folder / BUNDLE)["files"])
    except (Unreadable, KeyError, TypeError):
        return False
    plain, other = present(folder)
    return not other and plain <= {*listed, BUNDLE}


# --- reading what others wrote ---


def check_files(folder: Path) -> tuple[list[Fault], set[str]]:
    """Faults of the list of files and of their hashes, and the files that may be read."""
    try:
        index = read_json(folder / BUNDLE)
    except Unreadable as error:
        return [Fault(BUNDLE, str(error))], set()
    listed = index.get("files") if isinstance(index, dict) else None
    if not isinstance(listed, dict) or index.get("format") != FORMAT:
        return [Fault(BUNDLE, f"is no list of files of a {FORMAT}")], set()
    if index.get("version") != VERSION:
        return [Fault(BUNDLE, "of a format this radbench cannot read", "", "", index.get("version"), VERSION)], set()
    if len(listed) > _FILES:
        return [Fault(BUNDLE, f"lists more than {_FILES:,} files")], set()
    plain, other = present(folder)
    faults = [Fault(name, "is a link or a device, which a bundle never holds") for name in sorted(other)]
    faults += [Fault(name, "is not listed in bundle.json") for name in sorted(plain - listed.keys() - {BUNDLE})]
    readable = set()
    for name in sorted(listed):
        if not _inside(name) or name == BUNDLE:
            faults.append(Fault(BUNDLE, f"lists {name[:200]!r}, which is no file of a bundle"))
        elif name not in plain:
            faults.append(Fault(name, "is listed in bundle.json and is not there"))
        else:
            readable.add(name)
            if (digest := file_digest(folder / name)) != listed[name]:
                faults.append(Fault(name, "was changed after the export", "", "", listed[name], digest))
    faults += [Fault(name, "is missing") for name in (MANIFEST, RESULTS) if name not in listed]
    return faults, readable


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    plain = str(path) == name and not path.is_absolute() and ".." not in path.parts and "\\" not in name
    return plain and name.isprintable() and len(name) < 1000


def read_json(path: Path) -> Any:
    """JSON of bounded size, without NaN and without a key that stands twice. Raises :class:`Unreadable`."""
    try:
        if path.is_symlink() or not path.is_file():
            raise Unreadable("is missing")
        if path.stat().st_size > _JSON_BYTES:
            raise Unreadable(f"is larger than {_JSON_BYTES >> 20} MiB")
        return json.loads(path.read_bytes().decode(), parse_constant=_refused, object_pairs_hook=_unique)
    except (OSError, ValueError) as error:
        raise Unreadable(f"is no JSON ({error})") from None
    except RecursionError:
        raise Unreadable("is nested too deeply") from None


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found
