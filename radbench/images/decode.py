"""Decoding one reference into a :class:`Picture`. Every failure is an :class:`ImageError` that names the file."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np

from radbench.errors import ImageError
from radbench.images.arrow import SUFFIXES as EMBEDDING_SUFFIXES
from radbench.images.arrow import embedded_bytes
from radbench.images.dicom import has_dicom_magic, read_dicom, read_dicom_series
from radbench.images.limits import MAX_FILE_BYTES, check_finite, check_pixels, check_voxels
from radbench.images.picture import Picture
from radbench.images.volumes import affine_of_axes, read_nifti, read_nrrd, to_ras
from radbench.images.windows import apply_window, preset, to_uint8
from radbench.records import Image

_DICOM_SUFFIXES = (".dcm", ".dicom")
_NIFTI_SUFFIXES = (".nii", ".nii.gz")
_NRRD_SUFFIXES = (".nrrd", ".nhdr")


def decode(image: Image) -> Picture:
    """Decode a reference. Raises :class:`ImageError` naming file, fault and remedy."""
    path = Path(image.path)
    if "/../" in image.path:  # a table's cell, not the user's own path: those are resolved
        raise ImageError(f"{path}: leaves its dataset's folder", remedy="name pictures below the folder of the dataset")
    try:
        if not path.exists():
            raise ImageError(
                f"{path}: no such file", remedy="check the dataset folder; the sample is counted as failed"
            )
        if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
            raise ImageError(f"{path}: {path.stat().st_size} bytes, more than the limit of {MAX_FILE_BYTES}")
        return _reader_for(image, path)(image, path)
    except ImageError:
        raise
    except _decoder_errors() as error:
        remedy = "replace the file; its request then has a new key and is asked on resume"
        if "missing dependencies" in str(error):  # pydicom's words for a compression without its decoder
            remedy = "install a decoder: pip install python-gdcm; then run again"
        raise ImageError(
            f"{path}: cannot be decoded ({type(error).__name__}: {str(error)[:200]})", remedy=remedy
        ) from error


def _reader_for(image: Image, path: Path) -> Callable[[Image, Path], Picture]:
    """By kind, then suffix, then the DICOM prefix; Pillow for the rest."""
    name = path.name.lower()
    if image.kind == "series":
        return read_dicom_series
    if name.endswith(".npz"):
        return _npz_member
    if name.endswith(".npy"):
        return _npy
    if name.endswith(EMBEDDING_SUFFIXES):
        return _embedded
    if name.endswith(_NIFTI_SUFFIXES):
        return read_nifti
    if name.endswith(_NRRD_SUFFIXES):
        return read_nrrd
    return read_dicom if name.endswith(_DICOM_SUFFIXES) or has_dicom_magic(path) else _raster


def _decoder_errors() -> tuple[type[Exception], ...]:
    """What Pillow, pydicom, nibabel, pynrrd and numpy raise on damaged files.

    A bug of ours in a reader surfaces as a counted failure with its message, never as a wrong score.
    """
    import struct
    import zipfile

    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError, ImageDataError
    from nrrd import NRRDError
    from pydicom.errors import BytesLengthException, InvalidDicomError

    return (
        ArithmeticError, AssertionError, AttributeError, BytesLengthException, EOFError, HeaderDataError, ImageDataError,
        ImageFileError, InvalidDicomError, LookupError, MemoryError, NRRDError, OSError, RuntimeError, StopIteration, SyntaxError,
        TypeError, ValueError, struct.error, zipfile.BadZipFile, zlib.error,
    )  # fmt: skip


def _raster(image: Image, path: Path) -> Picture:
    return _encoded(path, path.read_bytes(), image.frame, image.window)


def _embedded(image: Image, path: Path) -> Picture:
    return _encoded(path, embedded_bytes(path, image.member or "image", image.frame or 0), None, image.window)


def _encoded(path: Path, data: bytes, frame: int | None, window: str | None) -> Picture:
    """A picture from the bytes of a PNG, JPEG, TIFF ... file."""
    from PIL import Image as PIL

    try:
        opened = PIL.open(io.BytesIO(data))
    except PIL.DecompressionBombError as error:  # Pillow's own limit is near ours
        raise ImageError(f"{path}: a decompression bomb? {error}") from error
    with opened as picture:
        check_pixels(path, *picture.size)
        if frame:
            picture.seek(frame)
        picture.load()
        mode, steps = picture.mode, []
        if mode in ("I;16", "I;16B", "I;16L", "I", "F"):
            array = np.asarray(picture)
            check_finite(path, array)
            array = _window_2d(array, window)
            steps.append("windowed" if window else "16-bit: smallest value to 0, largest to 255")
        elif mode in ("L", "1"):
            array = np.asarray(picture.convert("L"))
        else:
            array = np.asarray(picture.convert("RGB"))
    return Picture(array, sha256(data).hexdigest(), steps=tuple(steps))


def _window_2d(values: np.ndarray, window: str | None) -> np.ndarray:
    return apply_window(values.astype(np.float32), *preset(window)) if window else to_uint8(values)


def _npz_member(image: Image, path: Path) -> Picture:
    from radbench.images.cache import npz_array

    array, digest = npz_array(str(path), image.member or "")
    if image.frame is not None:
        array = array[image.frame]
    if image.kind == "volume":
        return _array_volume(image, path, array, digest)
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ImageError(f"{path}: member '{image.member}' has shape {array.shape}, expected (H, W) or (H, W, 3)")
    check_pixels(path, *array.shape[:2])
    check_finite(path, array)
    return Picture(_window_2d(array, image.window), digest)


def _npy(image: Image, path: Path) -> Picture:
    """An array on disk, mapped: (H, W), (H, W, 3) or a volume; ``frame`` picks one along the first axis.

    RadFM's arrays are (3, H, W, D): three equal channels for grey, colours for a 2D picture (D 1).
    """
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    array = mapped if image.frame is None else mapped[image.frame]
    digest = sha256(np.ascontiguousarray(array).data).hexdigest()
    if array.ndim == 4 and array.shape[0] == 3:
        array = np.moveaxis(array[..., 0], 0, -1) if array.shape[-1] == 1 else array[0]
    array = np.asarray(array)
    if array.ndim == 3 and (image.kind == "volume" or array.shape[-1] != 3):
        return _array_volume(image, path, array, digest)
    if array.ndim == 3 and (array[..., :1] == array).all():
        array = array[..., 0]
    check_pixels(path, *array.shape[:2])
    check_finite(path, array)
    if array.ndim == 3:
        return Picture(to_uint8(array), digest)
    return Picture(_window_2d(array, image.window), digest)


def _array_volume(image: Image, path: Path, array: np.ndarray, digest: str) -> Picture:
    """A volume without a header, turned to RAS by the ``axes`` that its dataset states; 1 mm voxels."""
    check_voxels(path, *array.shape)
    if array.ndim != 3:
        raise ImageError(f"{path}: an array of shape {array.shape}, expected three dimensions")
    return to_ras(image, path, array, affine_of_axes(image.axes or "RAS", array.shape), digest)


def decode_labels(image: Image) -> np.ndarray:
    """The stored integers of a label map, (H, W) or in RAS (X, Y, Z): no windowing, no palette, no rescaling.

    PNG/TIFF (grey, palette, 1- or 16-bit), NIfTI, NRRD, npz (its array ``mask`` or its only one). Raises
    :class:`ImageError`.
    """
    path = Path(image.path)
    if image.kind != "2d":
        return decode(image).array
    if not path.is_file():
        raise ImageError(f"{path}: no such mask file")
    try:
        if path.name.lower().endswith(".npz"):
            return _npz_labels(image, path)
        from PIL import Image as PIL

        with PIL.open(path) as picture:
            check_pixels(path, *picture.size)
            array = np.asarray(picture)
    except ImageError:
        raise
    except _decoder_errors() as error:
        raise ImageError(f"{path}: the mask cannot be read ({type(error).__name__}: {str(error)[:200]})") from error
    if array.ndim == 3:
        if array.shape[2] != 2 and (array[..., :3] != array[..., :1]).any():
            raise ImageError(f"{path}: a mask in colours; expected grey levels or a palette, one value a label")
        array = array[..., 0]
    return array


def _npz_labels(image: Image, path: Path) -> np.ndarray:
    from radbench.answers import read_mask

    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        names = archive.files
    if image.member is None and {"bits", "shape"} <= set(names):
        return read_mask(path)
    member = image.member or ("mask" if "mask" in names else names[0] if len(names) == 1 else "")
    from radbench.images.cache import npz_array

    array, _ = npz_array(str(path), member)
    return array if image.frame is None else array[image.frame]


def file_sha256(path: str | os.PathLike[str]) -> str:
    """sha256 of a file's bytes, hex, read in blocks."""
    digest = sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
