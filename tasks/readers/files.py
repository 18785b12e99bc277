"""What several readers need: tables by column name, paths below a root, hashes of files."""

from __future__ import annotations

import csv
import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import islice
from pathlib import Path, PurePath
from typing import IO, Any

from radbench.errors import DataError, nearest
from radbench.images.decode import file_sha256


def require(path: Path, expected: str) -> Path:
    """``path`` if it exists. Raises :class:`DataError` saying what was expected and what lies there instead."""
    if path.exists():
        return path
    there = sorted(p.name for p in path.parent.iterdir())[:8] if path.parent.is_dir() else []
    found = f"the folder holds {', '.join(there)}" if there else "its folder is missing or empty"
    raise DataError(
        f"{path}: not found; expected {expected}",
        remedy="compare with the layout the dataset is distributed in",
        found=found,
    )


def visible(path: PurePath) -> bool:
    """Whether a file or folder belongs to a dataset: no hidden one, nor what macOS puts into archives (``._x``)."""
    return not path.name.startswith(".") and "__MACOSX" not in path.parts


def unwrapped(root: Path, *markers: str) -> Path:
    """``root``, or the folder below it that an archive was unpacked into, such as ``archive/``.

    Followed down is a folder that is the one visible thing in its own, until one holds a ``marker`` (a name or pattern);
    where none is met it is ``root`` itself.
    """
    folder: Path | None = root
    while folder is not None and folder.is_dir():
        if any(next(folder.glob(marker), None) for marker in markers):
            return folder
        there = list(islice(filter(visible, folder.iterdir()), 2))
        folder = there[0] if len(there) == 1 else None
    return root


def below(folder: Path, name: str) -> Path:
    """A picture that a table names: below its folder, even where the name begins with a slash.

    Names with ``..`` are refused when the picture is loaded (:func:`radbench.images.decode.decode`).
    """
    return folder / name.lstrip("/")


class Names:
    """Files of a folder by name, whatever case their suffixes are in; the folder is listed once, when first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        name = name.lstrip("/")
        plain = _lower_suffix(name)
        if name == plain:
            return self._folder / self._capital.get(name, name)
        exact = self._folder / name
        return exact if exact.is_file() else self._folder / self._capital.get(plain, plain)

    @cached_property
    def _capital(self) -> dict[str, str]:
        """Names whose suffix has capitals, by the name they have without; not those that stand there both ways."""
        names = set(os.listdir(self._folder)) if self._folder.is_dir() else set()
        found = {_lower_suffix(name): name for name in sorted(names)}
        return {plain: name for plain, name in found.items() if plain not in names}


def _lower_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}{dot}{suffix.lower()}" if dot else name


def text_lines(path: Path, newline: str | None = None) -> Iterator[tuple[int, str]]:
    """``(line number, line)`` of a UTF-8 file, its byte order mark removed. Raises :class:`DataError`."""
    with path.open(encoding="utf-8-sig", newline=newline) as f:
        try:
            yield from enumerate(f, 1)
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 (byte {error.start})", remedy="save it as UTF-8") from None


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """``(line number, object)`` of a JSON-lines file. Raises :class:`DataError` with the line of a fault."""
    scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined] # what json.loads runs, without its set-up a call
    number = 0
    with path.open(encoding="utf-8-sig") as f:
        try:
            for number, line in enumerate(f, 1):
                try:
                    row, end = scan(line, 0)
                except StopIteration:
                    if line.isspace():
                        continue
                    row, end = _strict_json(line)
                if type(row) is not dict:
                    raise DataError(f"{path}, line {number}: expected a JSON object, found {type(row).__name__}")
                if end < len(line) - 1 and not line[end:].isspace():
                    _strict_json(line)
                yield number, row
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, line {number}: not JSON ({error.msg} at column {error.colno})") from None
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 (byte {error.start})", remedy="save it as UTF-8") from None


def _strict_json(line: str) -> tuple[Any, int]:
    """A line that is no JSON value from its first character on: padded with white space, or an error."""
    return json.loads(line), len(line)


def opened(path: Path) -> IO[str]:
    """A text file, plain or gzipped (``.gz``), as UTF-8 with or without a byte order mark."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def csv_rows(path: Path, delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """``(line number, row by column name)`` of a CSV file with a header, gzipped or not. Raises :class:`DataError`."""
    with opened(path) as f:
        reader = csv.reader(f, strict=True, delimiter=delimiter)
        try:
            header = [name.strip() for name in next(filter(None, reader), ())]
            if not header:
                raise DataError(f"{path}: empty, expected a header line")
            if twice := [name for i, name in enumerate(header) if name in header[:i]]:
                raise DataError(f"{path}: a column stands twice in the header", found=f"it is '{twice[0]}'")
            width = len(header)
            for row in reader:
                if len(row) != width or not row[0]:
                    if not any(map(str.strip, row)):
                        continue  # a blank line, or one of separators alone, as spreadsheets leave at the end
                    if len(row) != width:
                        raise DataError(f"{path}, line {reader.line_num}: {len(row)} columns, the header has {width}")
                yield reader.line_num, dict(zip(header, row))  # noqa: B905  # as many as columns
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}") from None
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 (byte {error.start})", remedy="save it as UTF-8") from None
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise DataError(f"{path}: damaged gzip ({error})", remedy="download the file again") from None


def column(row: dict[str, Any], name: str, path: Path, line: int) -> Any:
    """A row's value by column name. Raises :class:`DataError` naming the columns there are."""
    try:
        return row[name]
    except KeyError:
        has_header = path.suffix not in (".json", ".jsonl")
        raise DataError(
            f"{path}, line {line}: no column '{name}' among its {len(row)}",
            remedy="is there a header line, and is the separator right?" if has_header else "",
            found=f"it has {', '.join(map(str, row))} ({nearest(name, map(str, row))})",
        ) from None


def hash_files(paths: Iterable[Path]) -> str:
    """One hash of the contents of some tables."""
    digest = sha256()
    for path in paths:
        digest.update(f"{path.name}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()[:16]


def hash_listing(root: Path, paths: Sequence[Path]) -> str:
    """One hash of names and sizes of some files, for datasets whose samples are the files."""
    digest = sha256()
    for path in paths:
        digest.update(f"{path.relative_to(root)}\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]
