"""Pictures of a folder found by the paths that somebody else's list gives them.

Released lists carry their authors' absolute paths. The end of such a path is compared with what lies below the user's
folder: the file name must agree, and among files of one name as many parent folders as tell them apart. Identical copies
of a picture count as one.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from radbench.errors import ConfigError, DataError

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".dicom", ".dcm", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".nii.gz", ".nii", ".npy", ".npz",
)  # fmt: skip
_MOST_COPIES = 8
_PIECE = 4096  # bytes of a file that are compared at each of three places
_Name = tuple[str, str]  # of a file: its stem and its suffix


class PictureIndex:
    """The pictures below ``root``, listed once when first needed, by name alone.

    ``path_map`` is ``old=new``, several joined by ``;``: a path that begins with ``old`` is first looked for with ``new``
    in its place (absolute, or below ``root``). Raises :class:`radbench.errors.ConfigError` for another form.
    """

    def __init__(self, root: Path, suffixes: Sequence[str] = SUFFIXES, path_map: str = "") -> None:
        self._root, self._suffixes = root, tuple(s.lower() for s in suffixes)
        self._longest_first = sorted(self._suffixes, key=len, reverse=True)
        self._map = [_pair(part) for part in path_map.split(";") if part.strip()]

    def find(self, authors_path: str) -> Path | None:
        """The file meant by a path, or None where there is none or where several could be meant.

        A picture saved in another format under the same name counts where none of that name has the path's own suffix. Of
        identical copies that could be meant it is the first by name.
        """
        return self._find(authors_path)[0]

    def path(self, authors_path: str) -> Path:
        """:meth:`find`, or where nothing is found the file name below the root: a picture that fails when it is loaded."""
        return self.find(authors_path) or self._root / (authors_path.replace("\\", "/").rpartition("/")[2] or "unnamed")

    def require_some(self, listed: Iterable[str], table: Path) -> None:
        """Raise :class:`DataError` where none of a list's pictures is found; the first that is ends the search."""
        count = ambiguous = 0
        for authors_path in listed:
            found, several = self._find(authors_path)
            if found is not None:
                return
            count += 1
            ambiguous += several
        if count:
            raise DataError(
                f"{table}: none of its {count} pictures lies below {self._root}"
                + (f" ({ambiguous} have a name that several different files there have)" if ambiguous else ""),
                remedy="give the folder that holds the pictures of the source dataset: --data NAME=FOLDER",
            )

    def _find(self, authors_path: str) -> tuple[Path | None, bool]:
        """The file meant, and where there is none whether several could be meant."""
        path = authors_path.strip().replace("\\", "/")
        for old, new in self._map:
            if path == old or path.startswith(old if old.endswith("/") else f"{old}/"):
                path = f"{new.rstrip('/')}/{path[len(old) :].lstrip('/')}"
                if (mapped := self._root / path).is_file():
                    return mapped, False
                break
        stem, suffix = self._split(path)
        wanted = _steps(stem)
        names = [(wanted[-1], kind) for kind in (suffix, *self._suffixes)] if wanted else []
        name = next((n for n in names if n in self._all.listed), None)
        if name is None:
            return None, False
        found = self._all.find(name, wanted) or self._without_copies.find(name, wanted)
        return (None, len(self._without_copies.listed[name]) > 1) if found is None else (self._root / found, False)

    def _split(self, path: str) -> tuple[str, str]:
        lower = path.lower()
        for suffix in self._longest_first:
            if lower.endswith(suffix):
                return path[: -len(suffix)], suffix
        return path, ""

    @cached_property
    def _all(self) -> _Ends:
        listed: dict[_Name, list[str]] = defaultdict(list)
        for path in _files(self._root):
            stem, suffix = self._split(path)
            if suffix:
                listed[stem.rpartition("/")[2], suffix].append(path)
        return _Ends(dict(listed))

    @cached_property
    def _without_copies(self) -> _Ends:
        """Of few files of one name those that differ; among many they are patients' rather than copies."""
        listed = self._all.listed
        return _Ends({n: _different(self._root, p) if 1 < len(p) <= _MOST_COPIES else p for n, p in listed.items()})


class _Ends:
    """Paths by file name, told apart by as many of their last steps as needed."""

    def __init__(self, listed: Mapping[_Name, list[str]]) -> None:
        self.listed = listed
        self._by_end: dict[_Name, tuple[int, dict[tuple[str, ...], str]]] = {}

    def find(self, name: _Name, wanted: tuple[str, ...]) -> str | None:
        """The path of that name that ends like the one wanted."""
        if name not in self._by_end:
            steps = {_steps(path[: -len(name[1])]): path for path in self.listed[name]}
            depth = max(_telling_depth(steps), self._depths.get((_pattern(name[0]), name[1]), 1))
            self._by_end[name] = depth, {s[-depth:]: path for s, path in steps.items()}
        depth, by_end = self._by_end[name]
        return by_end.get(wanted[-depth:])

    @cached_property
    def _depths(self) -> dict[_Name, int]:
        """How many path steps name a picture, for names alike but for their digits where most of them repeat.

        Where every patient has a ``view1_frontal.jpg``, the only ``view7_frontal.jpg`` there is may still be another
        patient's than the list means.
        """
        groups: dict[_Name, list[list[str]]] = defaultdict(list)
        for (stem, kind), paths in self.listed.items():
            groups[_pattern(stem), kind].append(paths)
        depths = {}
        for group, names in groups.items():
            repeated = [paths for paths in names if len(paths) > 1]
            if sum(map(len, repeated)) * 2 > sum(map(len, names)):
                depths[group] = max(_telling_depth({_steps(p[: -len(group[1])]) for p in paths}) for paths in repeated)
        return depths


def _steps(path: str) -> tuple[str, ...]:
    return tuple(step for step in path.split("/") if step not in ("", "."))


def _different(root: Path, paths: Sequence[str]) -> list[str]:
    """One path of every content, the first by name: compared are sizes, then three pieces of files of one size."""
    by_content: dict[tuple[int, bytes], str] = {}
    try:
        sizes = [(root / path).stat().st_size for path in paths]
        for size, path in sorted(zip(sizes, paths, strict=True)):
            pieces = _pieces(root / path, size) if sizes.count(size) > 1 else b""
            by_content.setdefault((size, pieces), path)
    except OSError:  # such as a link to nowhere
        return list(paths)
    return sorted(by_content.values())


def _pieces(path: Path, size: int) -> bytes:
    """The start, the middle and the end of a file."""
    with path.open("rb") as file:
        parts = []
        for start in (0, (size - _PIECE) // 2, size - _PIECE):
            file.seek(max(start, 0))
            parts.append(file.read(_PIECE))
    return b"".join(parts)


def _pair(part: str) -> tuple[str, str]:
    old, equals, new = part.strip().partition("=")
    if not equals or not old:
        raise ConfigError(f"path_map '{part}': expected old=new, the authors' folder and yours")
    return old, new


def _pattern(stem: str) -> str:
    return re.sub(r"\d+", "#", stem)


def _telling_depth(paths: Collection[tuple[str, ...]]) -> int:
    """From how many steps on the ends of different paths all differ."""
    depth = 1
    while len({p[-depth:] for p in paths}) < len(paths):
        depth += 1
    return depth


def _files(root: Path) -> Iterator[str]:
    """Paths of all files below a folder, with ``/``; links are followed, a folder is entered once."""
    entered: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        state = os.stat(folder)
        if (state.st_dev, state.st_ino) in entered:
            folders.clear()
            continue
        entered.add((state.st_dev, state.st_ino))
        folders.sort()
        yield from _below(root, folder, names)


def _below(root: Path, folder: str, names: Iterable[str]) -> Iterator[str]:
    prefix = Path(folder).relative_to(root).as_posix()
    yield from (name if prefix == "." else f"{prefix}/{name}" for name in names)
