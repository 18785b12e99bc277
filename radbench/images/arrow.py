"""Pictures embedded in the rows of parquet and Arrow files, as the Hugging Face hub and `datasets` keep them."""

from __future__ import annotations

import bisect
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from radbench.errors import ImageError

SUFFIXES = (".parquet", ".arrow")


def embedded_bytes(path: Path, column: str, row: int) -> bytes:
    """The encoded picture (PNG, JPEG ...) of a row: a binary column, or the struct of bytes and path that `datasets` writes.

    Raises :class:`ImageError` where the row holds none, or pyarrow is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise ImageError(f"{path}: reading it needs pyarrow", remedy="pip install 'radbench[data]'") from None
    state = os.stat(path)
    read = _parquet_cell if path.suffix == ".parquet" else _arrow_cell
    try:
        cell = read(str(path), column, row, (state.st_size, state.st_mtime_ns))
    except (pyarrow.ArrowException, KeyError, IndexError) as error:
        raise ImageError(f"{path}: row {row}, column '{column}': {error}") from None
    if isinstance(cell, dict):
        if cell.get("bytes") is None and cell.get("path"):
            return (path.parent / Path(cell["path"]).name).read_bytes()
        cell = cell.get("bytes")
    if not isinstance(cell, bytes):
        raise ImageError(f"{path}: row {row} holds no picture in column '{column}'")
    return cell


def _parquet_cell(path: str, column: str, row: int, state: tuple[int, int]) -> Any:
    starts = _row_groups(path, state)
    group = bisect.bisect_right(starts, row) - 1
    return _group(path, column, group, state)[row - starts[group]].as_py()


@lru_cache(maxsize=64)
def _row_groups(path: str, state: tuple[int, int]) -> list[int]:
    """The first row of every row group."""
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(path) as file:
        starts, total = [], 0
        for i in range(file.metadata.num_row_groups):
            starts.append(total)
            total += file.metadata.row_group(i).num_rows
    return starts


@lru_cache(maxsize=8)
def _group(path: str, column: str, group: int, state: tuple[int, int]) -> Any:
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(path) as file:
        return file.read_row_group(group, columns=[column]).column(column)


def _arrow_cell(path: str, column: str, row: int, state: tuple[int, int]) -> Any:
    return _arrow_table(path, state).column(column)[row].as_py()


@lru_cache(maxsize=8)
def _arrow_table(path: str, state: tuple[int, int]) -> Any:
    """Mapped, not read: `datasets` writes the stream format, other tools the file format."""
    import pyarrow

    source = pyarrow.memory_map(path)
    try:
        return pyarrow.ipc.open_stream(source).read_all()
    except pyarrow.ArrowInvalid:
        return pyarrow.ipc.open_file(source).read_all()
