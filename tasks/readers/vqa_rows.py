"""What the readers of question-answer sets share: cells as texts, nested copies, embedded pictures told apart."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from radbench.tasks.readers import arrow

from radbench.errors import DataError, shown
from radbench.records import Image, Sample, Text

log = logging.getLogger("radbench")

_ABSENT = object()
Places = Iterator[tuple[str, dict[str, Any]]]
"""``(file and line for messages, row)``."""


def nested(root: Path, names: Sequence[str], depth: int = 2) -> Path | None:
    """The first of some files at the root or, as archives unpack, up to ``depth`` folders below it."""
    for level in range(depth + 1):
        for name in names:
            if found := min(root.glob(f"{'*/' * level}{name}"), default=None):
                return found
    return None


def picture_folder(base: Path, names: Sequence[str]) -> Path:
    """The first of some picture folders that is there, also one unpacked into a folder of its own name; else the first."""
    candidates = [folder for name in names for folder in (base / name / name, base / name)]
    return next((folder for folder in candidates if folder.is_dir()), base / names[0])


def text(row: Mapping[str, Any], names: Sequence[str], place: str) -> str:
    """The cell of the first column there is of some spellings, stripped; empty where nothing stands in it.

    Raises :class:`DataError` where there is no such column or it holds neither text nor number.
    """
    name = names[0]
    value = row.get(name, _ABSENT)
    if type(value) is str:
        return value.strip()
    if value is _ABSENT:
        name = next((n for n in names if n in row), "")
        if not name:
            raise DataError(f"{place}: no '{names[0]}'", found=f"it has {', '.join(map(str, row))}")
        value = row[name]
    if value is None or value != value:  # NaN, an empty cell in a parquet file
        return ""
    if not isinstance(value, str | int | float):
        raise DataError(f"{place}: {name} is {shown(value)}, expected a text or a number")
    return str(value).strip()


def optional(row: Mapping[str, Any], name: str, place: str) -> str:
    """The cell of a column that need not be there."""
    value = row.get(name, "")
    return value.strip() if type(value) is str else text(row, (name,), place)


def answer_type(answer: str) -> str:
    """``closed`` for yes and no, else ``open``: for copies that do not say."""
    return "closed" if answer.lower().strip(" .") in ("yes", "no") else "open"


def present(**axes: str) -> dict[str, str]:
    """The strata that have a value."""
    return {axis: value for axis, value in axes.items() if value}


def unique(name: str, seen: Counter[str]) -> str:
    """``name``, with a number from its second use on."""
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}-{seen[name]}"


def answered(samples: Iterator[Sample], removed: set[str]) -> Iterator[Sample]:
    """The samples that have a question and an answer; ids of the others are put into ``removed``.

    Released sets hold a few blank cells. A blank reference scores nothing and must not stop the reading of a set; how many
    are left out is told in the log.
    """
    left_out = 0
    for sample in samples:
        answer = sample.targets["answer"]
        if sample.slots["question"] and isinstance(answer, Text) and all(answer.alternatives):
            yield sample
        else:
            removed.add(sample.id)
            left_out += 1
    if left_out:
        log.info("%d questions without a text or an answer are left out", left_out)


def no_split(what: object, split: str, there: Sequence[str]) -> DataError:
    names = [name for name in ("train", "val", "test") if name in there]
    return DataError(f"{what}: no split '{split}' but {', '.join(names) or 'none'}")


def with_options(digest: str, *options: object) -> str:
    """A fingerprint that also tells the reader's options."""
    return sha256(f"{digest} {options!r}".encode()).hexdigest()[:16]


def hub_rows(folder: Path, split: str) -> Iterator[tuple[str, Image, str, dict[str, Any]]]:
    """``(place, picture, digest of its bytes, values)`` of a hub copy with one embedded ``image`` a row.

    Such copies repeat a picture for every question on it and mostly do not name it: equal bytes are one picture.
    """
    columns = arrow.columns(folder, split)
    if "image" not in columns:
        raise DataError(f"{folder}, split '{split}': no column 'image'", found=f"it has {', '.join(columns)}")
    digests: Iterator[str] = iter(())
    for file, row, values in arrow.rows(folder, split):
        if row == 0:
            digests = _digests(file)
        yield f"{file}, row {row}", arrow.image(file, row), next(digests), values


def _digests(file: Path) -> Iterator[str]:
    with arrow.reading(file):
        for batch in _picture_batches(file):
            column = batch.column("image")
            nested_bytes = hasattr(column, "field")
            for i in range(len(column)):
                cell = (column.field("bytes") if nested_bytes else column)[i]
                if cell.is_valid:
                    yield sha256(cell.as_buffer()).hexdigest()[:16]
                else:
                    yield str(column.field("path")[i].as_py() or "") if nested_bytes else ""


def _picture_batches(file: Path) -> Iterator[Any]:
    import pyarrow

    if file.suffix == ".parquet":
        import pyarrow.parquet as parquet

        with parquet.ParquetFile(file) as opened:
            yield from opened.iter_batches(64, columns=["image"])
        return
    source = pyarrow.memory_map(str(file))
    try:
        yield from pyarrow.ipc.open_stream(source)
    except pyarrow.ArrowInvalid:
        reader = pyarrow.ipc.open_file(source)
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
