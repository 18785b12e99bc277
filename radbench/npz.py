"""Reading npz files that others wrote: sizes and types are looked at before anything is unpacked, objects never loaded."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 4 << 30  # of one file, unpacked
MOST_ARRAYS = 10_000
_KINDS = "fiubSU"
_BROKEN = (OSError, ValueError, EOFError, RuntimeError, OverflowError, MemoryError, NotImplementedError,
           zipfile.BadZipFile, zlib.error)  # fmt: skip


class NpzError(ValueError):
    """A file that holds no such arrays; the reason, without the file's name."""


def read_npz(path: Path, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file, or those named. Raises :class:`NpzError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MOST_ARRAYS or sum(m.file_size for m in members) > MOST_BYTES:
                raise NpzError(f"holds more than {MOST_ARRAYS:,} arrays or {MOST_BYTES >> 20} MiB unpacked")
            if any(m.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for m in members):
                raise NpzError("is compressed in another way than radbench does")
            known = {m.filename.removesuffix(".npy"): m for m in members}
            if len(known) < len(members):
                raise NpzError("holds an array twice")
            wanted = list(known if names is None else names)
            if missing := [name for name in wanted if name not in known]:
                raise NpzError(f"lacks the array {missing[0]!r}")
            return {name: _array(archive, known[name]) for name in wanted}
    except NpzError:
        raise
    except _BROKEN as error:
        raise NpzError(f"is no file of arrays ({type(error).__name__}: {str(error)[:200]})") from None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    data = archive.read(member)
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    readers: dict[tuple[int, int], Callable[..., Any]] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise NpzError(f"holds an array of npy version {version}")
    shape, by_column, dtype = readers[version](file)
    if dtype.hasobject or dtype.kind not in _KINDS or dtype.names:
        raise NpzError(f"holds an array of type {dtype}, expected numbers or texts; objects are never loaded")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise NpzError("holds an array of another size than it claims")
    return np.frombuffer(data, dtype, offset=file.tell()).reshape(shape, order="F" if by_column else "C")
