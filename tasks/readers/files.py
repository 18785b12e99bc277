"""What several readers need: tables by column name, paths below a root, hashes of files."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
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
        f"{path}: not found; expected {expected}; {found}",
        remedy="compare with the layout the dataset is distributed in",
    )


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
            header = next(reader, None)
            if header is None:
                raise DataError(f"{path}: empty, expected a header line")
            if twice := [name for i, name in enumerate(header) if name in header[:i]]:
                raise DataError(f"{path}: the column '{twice[0]}' stands twice in the header")
            width = len(header)
            for row in reader:
                if len(row) != width:
                    if not row:
                        continue  # a blank line
                    raise DataError(f"{path}, line {reader.line_num}: {len(row)} columns, the header has {len(header)}")
                yield reader.line_num, dict(zip(header, row))  # noqa: B905  # as many as columns
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}") from None
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 (byte {error.start})", remedy="save it as UTF-8") from None
        except (gzip.BadGzipFile, EOFError) as error:
            raise DataError(f"{path}: damaged gzip ({error})", remedy="download the file again") from None


def column(row: dict[str, Any], name: str, path: Path, line: int) -> Any:
    """A row's value by column name. Raises :class:`DataError` naming the columns there are."""
    try:
        return row[name]
    except KeyError:
        raise DataError(
            f"{path}, line {line}: no column '{name}'; it has {', '.join(map(str, row))} ({nearest(name, map(str, row))})"
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
