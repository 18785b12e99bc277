"""The process-wide picture cache: bounded by bytes, filled by threads ahead of the model."""

from __future__ import annotations

import math
import os
import threading
import zipfile
import zlib
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from radbench.errors import ImageError
from radbench.images.decode import decode, decode_labels, file_sha256
from radbench.images.limits import MAX_FILE_BYTES
from radbench.images.picture import Picture
from radbench.records import Image, Mask

CACHE_BYTES = 512 << 20
MAX_RATIO = 200  # unpacked to packed bytes of an array
_SMALL_BYTES = 1 << 30  # an array of less is not measured by its ratio: an empty mask of a whole-body CT has 400 MB
DECODE_THREADS = 4


class _Cache:
    """Least recently used pictures, by reference. One decode per reference even when several threads ask at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._entries: OrderedDict[Image, Future[Picture]] = OrderedDict()
        self._sizes: dict[Image, int] = {}
        self._total = 0
        self._pool: ThreadPoolExecutor | None = None

    def future(self, image: Image, ahead: bool) -> Future[Picture]:
        with self._lock:
            if image in self._entries:
                self._entries.move_to_end(image)
                return self._entries[image]
            if ahead:
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="radbench-decode")
                future = self._pool.submit(decode, image)
                self._entries[image] = future
            else:
                future = Future()
                self._entries[image] = future
        if ahead:
            future.add_done_callback(lambda f: self._done(image, f))
        else:
            try:
                future.set_result(decode(image))
            except BaseException as error:
                future.set_exception(error)  # whoever waits for the same picture must not wait for ever
                raise
            finally:
                self._done(image, future)
        return future

    def _done(self, image: Image, future: Future[Picture]) -> None:
        with self._lock:
            if future.cancelled() or future.exception() is not None:
                self._entries.pop(image, None)  # a failure is not kept: the file may be mended
                return
            if image not in self._entries:
                return  # cleared meanwhile
            self._sizes[image] = future.result().array.nbytes + 1024  # the records around the pixels
            self._total += self._sizes[image]
            while self._total > self._limit and len(self._entries) > 1:
                oldest = next(iter(self._entries))
                if oldest not in self._sizes or oldest == image:
                    break  # still being decoded: it is needed soon
                del self._entries[oldest]
                self._total -= self._sizes.pop(oldest)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._sizes.clear()
            self._total = 0


_cache = _Cache(CACHE_BYTES)


def load(image: Image) -> Picture:
    """Decoded pixels of a reference, from the cache or decoded now. Raises :class:`ImageError`."""
    return _cache.future(image, ahead=False).result()


def warm(image: Image) -> Future[Picture]:
    """Start decoding in a thread; the future raises :class:`ImageError` where it fails."""
    return _cache.future(image, ahead=True)


def cache_clear() -> None:
    """Forget every decoded picture (tests, and between tasks of different datasets)."""
    _cache.clear()
    _npz_array.cache_clear()


def npz_array(path: str, member: str) -> tuple[np.ndarray, str]:
    """A whole array of an npz file and the file's sha256. Object arrays (pickles) are refused."""
    try:
        state = os.stat(path)
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from error
    return _npz_array(path, member, (state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=4)
def _npz_array(path: str, member: str, state: tuple[int, int]) -> tuple[np.ndarray, str]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            if member not in archive.files:
                raise ImageError(f"{path}: no array '{member}'; it holds {', '.join(archive.files) or 'nothing'}")
            _check_header(path, member)
            return archive[member], file_sha256(path)
    except (ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError, OSError, EOFError) as error:
        raise ImageError(
            f"{path}: array '{member}' cannot be read ({error})", remedy="expected an npz file without Python objects"
        ) from error


def _check_header(path: str, member: str) -> None:
    """What the array's header declares, before anything is unpacked. Raises :class:`ImageError` and what zip files raise.

    A file holds all pictures of a set (MedMNIST at 224 pixels: 4 GB), so that the limit of a volume is none of a file's;
    but pictures do not shrink as blank arrays do.
    """
    with zipfile.ZipFile(path) as archive:
        inside = archive.getinfo(f"{member}.npy" if f"{member}.npy" in archive.namelist() else member)
        with archive.open(inside) as stream:
            # version 3 differs from 2 in the encoding of field names alone, which no picture has
            version = np.lib.format.read_magic(stream)
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = reader(stream)
    values = math.prod(shape)
    size = max(values * dtype.itemsize, inside.file_size)
    if size > MAX_FILE_BYTES:
        raise ImageError(f"{path}: array '{member}' declares {size:,} bytes, more than {MAX_FILE_BYTES:,}")
    if size > _SMALL_BYTES and size > MAX_RATIO * inside.compress_size:
        raise ImageError(
            f"{path}: array '{member}' declares {values:,} values in {size:,} bytes, packed to {inside.compress_size:,}"
            " (a decompression bomb?)"
        )


def load_mask(mask: Mask) -> np.ndarray:
    """The foreground of a label map as a bool array, in image orientation (2D) or RAS (3D). Raises :class:`ImageError`."""
    if mask.image is None:
        raise ImageError("a mask has neither pixels nor a file")
    values = decode_labels(mask.image)
    return np.isin(values, mask.values) if mask.values else values != 0
