"""Hub copies: a folder of parquet or Arrow files, one or several a split.

What is read: a repository as downloaded (``data/test-00000-of-00001.parquet``), the hub's converted form
(``default/test/0000.parquet``), ``datasets.save_to_disk`` (``test/data-00000-of-00001.arrow``) and the cache that
``datasets.load_dataset`` leaves (``name-test.arrow``). Rows stream; embedded pictures are referred to, never copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from radbench.tasks.readers.files import hash_listing, visible

from radbench.errors import DataError
from radbench.records import Image

_SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validate": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_BATCH = 1024


def is_arrow_folder(folder: Path) -> bool:
    return next(_files(folder), None) is not None


def splits(folder: Path) -> dict[str, list[Path]]:
    """The files of every split, by our names train, val and test."""
    found: dict[str, list[Path]] = {}
    files = sorted(_files(folder))
    parquet = [f for f in files if f.suffix == ".parquet"]
    for file in parquet or files:
        split = split_of(str(file.relative_to(folder)))
        if split is not None:
            found.setdefault(split, []).append(file)
    return found


def split_of(name: str) -> str | None:
    """The split a path names, its last telling word first: ``data/test-00000-of-00001.parquet`` is ``test``."""
    words = re.split(r"[/\\_.\-]+", name.lower())
    return next((_SPLITS[w] for w in reversed(words) if w in _SPLITS), None)


def rows(folder: Path, split: str) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """``(file, row in the file, values without pictures)`` of a split, streamed. Raises :class:`DataError`."""
    for file in _files_of(folder, split):
        row = 0
        with reading(file):
            for batch in _batches(file):
                for values in batch.to_pylist():
                    yield file, row, values
                    row += 1


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """What goes wrong in a file, as a :class:`DataError`."""
    try:
        import pyarrow
    except ImportError:
        raise DataError(f"{file}: reading a hub copy needs pyarrow", remedy="pip install 'radbench[data]'") from None
    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"{file}: cannot be read ({said})", remedy="download the file again") from None


def image(file: Path, row: int, column: str = "image") -> Image:
    """A reference to the picture embedded in a row."""
    return Image(str(file), member=column, frame=row)


def columns(folder: Path, split: str) -> list[str]:
    """Column names of a split, pictures included. Raises :class:`DataError`."""
    first = _files_of(folder, split)[0]
    with reading(first):
        return list(_schema(first).names)


def fingerprint(folder: Path) -> str:
    """Names and sizes of the files."""
    return hash_listing(folder, [f for files in splits(folder).values() for f in files])


def _files_of(folder: Path, split: str) -> list[Path]:
    known = splits(folder)
    if split not in known:
        raise DataError(f"{folder}: no parquet or Arrow file of split '{split}'; found {', '.join(known) or 'none'}")
    return known[split]


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for suffix in ("*.parquet", "*.arrow"):
        for path in folder.rglob(suffix):
            steps = path.relative_to(folder).parts
            if not path.name.startswith("cache-") and all(map(visible, map(Path, steps))):
                yield path


def _schema(file: Path) -> Any:
    if file.suffix == ".parquet":
        import pyarrow.parquet as parquet

        return parquet.read_schema(file)
    with _arrow_reader(file) as reader:
        return reader.schema


def _batches(file: Path) -> Iterator[Any]:
    """Record batches without the columns that embed pictures."""
    kept = [f.name for f in _schema(file) if not _embeds(f.type)]
    if file.suffix == ".parquet":
        import pyarrow.parquet as parquet

        with parquet.ParquetFile(file) as opened:
            yield from opened.iter_batches(_BATCH, columns=kept)
        return
    with _arrow_reader(file) as reader:
        for batch in _arrow_batches(reader):
            yield batch.select(kept)


def _embeds(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_list(kind) or types.is_large_list(kind):
        return _embeds(kind.value_type)
    if types.is_struct(kind):
        return any(_embeds(field.type) for field in kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _arrow_reader(file: Path) -> Any:
    import pyarrow

    source = pyarrow.memory_map(str(file))
    try:
        return pyarrow.ipc.open_stream(source)
    except pyarrow.ArrowInvalid:
        return pyarrow.ipc.open_file(source)


def _arrow_batches(reader: Any) -> Iterator[Any]:
    if hasattr(reader, "num_record_batches"):
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
    else:
        yield from reader
