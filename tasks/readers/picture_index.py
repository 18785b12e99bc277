"""Pictures of a folder found by the paths that somebody else's list gives them.

Released lists carry their authors' absolute paths. The end of such a path is compared with what lies below the user's
folder: the file name must agree, and among files of one name as many parent folders as tell them apart.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from radbench.errors import ConfigError

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".dicom", ".dcm", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".nii.gz", ".nii", ".npy", ".npz",
)  # fmt: skip


class PictureIndex:
    """The pictures below ``root``, listed once when first needed, by name alone.

    ``path_map`` is ``old=new``, several joined by ``;``: a path that begins with ``old`` is first looked for with ``new``
    in its place (absolute, or below ``root``). Raises :class:`radbench.errors.ConfigError` for another form.
    """

    def __init__(self, root: Path, suffixes: Sequence[str] = SUFFIXES, path_map: str = "") -> None:
        self._root, self._suffixes = root, tuple(s.lower() for s in suffixes)
        self._longest_first = sorted(self._suffixes, key=len, reverse=True)
        self._by_end: dict[tuple[str, str], tuple[int, dict[tuple[str, ...], str]]] = {}
        self._map = [_pair(part) for part in path_map.split(";") if part.strip()]

    def find(self, authors_path: str) -> Path | None:
        """The file meant by a path, or None where there is none or where several could be meant.

        A picture saved in another format under the same name counts where none of that name has the path's own suffix.
        """
        path = authors_path.strip().replace("\\", "/")
        for old, new in self._map:
            if path == old or path.startswith(old if old.endswith("/") else f"{old}/"):
                path = f"{new.rstrip('/')}/{path[len(old) :].lstrip('/')}"
                if (mapped := self._root / path).is_file():
                    return mapped
                break
        wanted = self._steps(path)
        if not wanted:
            return None
        stem, suffix = wanted[-1], self._split(path)[1]
        for kind in (suffix, *self._suffixes):
            if (stem, kind) in self._listed:
                depth, by_end = self._ends(stem, kind)
                found = by_end.get(wanted[-depth:])
                return None if found is None else self._root / found
        return None

    def path(self, authors_path: str) -> Path:
        """:meth:`find`, or where nothing is found the file name below the root: a picture that fails when it is loaded."""
        return self.find(authors_path) or self._root / (authors_path.replace("\\", "/").rpartition("/")[2] or "unnamed")

    def _ends(self, stem: str, kind: str) -> tuple[int, dict[tuple[str, ...], str]]:
        """How many steps from the end name a picture, and the pictures of one name by that end."""
        if (stem, kind) not in self._by_end:
            steps = {self._steps(path): path for path in self._listed[stem, kind]}
            depth = max(_telling_depth(steps), self._depths.get((_pattern(stem), kind), 1))
            self._by_end[stem, kind] = depth, {s[-depth:]: path for s, path in steps.items()}
        return self._by_end[stem, kind]

    def _steps(self, path: str) -> tuple[str, ...]:
        return tuple(step for step in self._split(path)[0].split("/") if step not in ("", "."))

    def _split(self, path: str) -> tuple[str, str]:
        lower = path.lower()
        for suffix in self._longest_first:
            if lower.endswith(suffix):
                return path[: -len(suffix)], suffix
        return path, ""

    @cached_property
    def _listed(self) -> dict[tuple[str, str], list[str]]:
        """Paths below the root by file name and suffix."""
        listed: dict[tuple[str, str], list[str]] = defaultdict(list)
        for path in _files(self._root):
            stem, suffix = self._split(path)
            if suffix:
                listed[stem.rpartition("/")[2], suffix].append(path)
        return dict(listed)

    @cached_property
    def _depths(self) -> dict[tuple[str, str], int]:
        """How many path steps name a picture, for names alike but for their digits where most of them repeat.

        Where every patient has a ``view1_frontal.jpg``, the only ``view7_frontal.jpg`` there is may still be another
        patient's than the list means.
        """
        groups: dict[tuple[str, str], list[list[str]]] = defaultdict(list)
        for (stem, kind), paths in self._listed.items():
            groups[_pattern(stem), kind].append(paths)
        depths = {}
        for group, names in groups.items():
            repeated = [paths for paths in names if len(paths) > 1]
            if sum(map(len, repeated)) * 2 > sum(map(len, names)):
                depths[group] = max(_telling_depth({self._steps(p) for p in paths}) for paths in repeated)
        return depths


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
