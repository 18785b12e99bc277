"""Decoding one reference into a :class:`Picture`. Every failure is an :class:`ImageError` that names the file."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import numpy as np

from radbench.errors import ImageError
from radbench.images.picture import Picture
from radbench.images.windows import apply_window, preset, to_uint8
from radbench.records import Image

# A mammogram has 12 to 20 million pixels, a whole-body CT 400 million voxels; a file that declares more than these
# is refused before anything is allocated.
MAX_PIXELS = 120_000_000
MAX_VOXELS = 600_000_000
MAX_FILE_BYTES = 4 << 30

_DICOM_SUFFIXES = (".dcm", ".dicom")
_NIFTI_SUFFIXES = (".nii", ".nii.gz")
_NRRD_SUFFIXES = (".nrrd", ".nhdr")


def decode(image: Image) -> Picture:
    """Decode a reference. Raises :class:`ImageError` naming file, fault and remedy."""
    path = Path(image.path)
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
        return _dicom_series
    if name.endswith(".npz"):
        return _npz_member
    if name.endswith(_NIFTI_SUFFIXES):
        return _nifti
    if name.endswith(_NRRD_SUFFIXES):
        return _nrrd
    return _dicom_file if name.endswith(_DICOM_SUFFIXES) or _has_dicom_magic(path) else _raster


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


def _has_dicom_magic(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as f:
        return f.read(132)[128:] == b"DICM"


def _check_pixels(path: Path, *shape: int) -> None:
    total = int(np.prod([int(s) for s in shape], dtype=object))
    if total > MAX_PIXELS:
        raise ImageError(
            f"{path}: declares {total:,} pixels, more than the limit of {MAX_PIXELS:,} (a decompression bomb?)"
        )


def _check_voxels(path: Path, *shape: int) -> None:
    total = int(np.prod([int(s) for s in shape], dtype=object))
    if total > MAX_VOXELS:
        raise ImageError(
            f"{path}: declares {total:,} voxels, more than the limit of {MAX_VOXELS:,} (a decompression bomb?)"
        )
    if total == 0:
        raise ImageError(f"{path}: the volume is empty, shape {tuple(shape)}")


def _check_finite(path: Path, array: np.ndarray) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int(np.size(array) - np.isfinite(array).sum())
        raise ImageError(
            f"{path}: {bad:,} of {array.size:,} values are NaN or infinite",
            remedy="replace them before evaluation; radbench does not guess a value",
        )


# --- PNG, JPEG, TIFF and whatever else Pillow reads ---


def _raster(image: Image, path: Path) -> Picture:
    from PIL import Image as PIL

    data = path.read_bytes()
    try:
        opened = PIL.open(io.BytesIO(data))
    except PIL.DecompressionBombError as error:  # Pillow's own limit is near ours
        raise ImageError(f"{path}: a decompression bomb? {error}") from error
    with opened as picture:
        _check_pixels(path, *picture.size)
        if image.frame:
            picture.seek(image.frame)
        picture.load()
        mode, steps = picture.mode, []
        if mode in ("I;16", "I;16B", "I;16L", "I", "F"):
            array = np.asarray(picture)
            _check_finite(path, array)
            array = _window_2d(array, image.window)
            steps.append("windowed" if image.window else "16-bit: smallest value to 0, largest to 255")
        elif mode in ("L", "1"):
            array = np.asarray(picture.convert("L"))
        else:
            array = np.asarray(picture.convert("RGB"))
    return Picture(array, sha256(data).hexdigest(), steps=tuple(steps))


def _window_2d(values: np.ndarray, window: str | None) -> np.ndarray:
    return apply_window(values.astype(np.float32), *preset(window)) if window else to_uint8(values)


# --- npz members ---


def _npz_member(image: Image, path: Path) -> Picture:
    from radbench.images.cache import npz_array

    array, digest = npz_array(str(path), image.member or "")
    if image.frame is not None:
        array = array[image.frame]
    if image.kind == "volume":
        _check_voxels(path, *array.shape)
        _check_finite(path, array)
        return Picture(array.astype(np.float32), digest, (1.0, 1.0, 1.0), np.eye(4), window=image.window)
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ImageError(f"{path}: member '{image.member}' has shape {array.shape}, expected (H, W) or (H, W, 3)")
    _check_pixels(path, *array.shape[:2])
    _check_finite(path, array)
    return Picture(_window_2d(array, image.window), digest)


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
            _check_pixels(path, *picture.size)
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
    from radbench.folder import read_mask

    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        names = archive.files
    if image.member is None and {"bits", "shape"} <= set(names):
        return read_mask(path)
    member = image.member or ("mask" if "mask" in names else names[0] if len(names) == 1 else "")
    from radbench.images.cache import npz_array

    array, _ = npz_array(str(path), member)
    return array if image.frame is None else array[image.frame]


# --- DICOM ---


def _dicom_file(image: Image, path: Path) -> Picture:
    import pydicom

    data = path.read_bytes()
    dataset = pydicom.dcmread(io.BytesIO(data))
    digest = sha256(data).hexdigest()
    frames = int(dataset.get("NumberOfFrames") or 1)
    if "Rows" not in dataset or "Columns" not in dataset:
        raise ImageError(f"{path}: a DICOM object without pixels ({dataset.get('Modality', 'no modality')})")
    if image.kind == "volume":
        _check_voxels(path, frames, dataset.Rows, dataset.Columns)
    else:
        _check_pixels(path, dataset.Rows, dataset.Columns)
    if not any(tag in dataset for tag in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise ImageError(f"{path}: a DICOM object without pixels ({dataset.get('Modality', 'no modality')})")
    if image.kind == "volume":
        return _multi_frame_volume(image, path, dataset, digest)
    index = image.frame or 0
    if index >= frames:
        raise ImageError(f"{path}: frame {index} asked for, the object has {frames}")
    array, steps = _dicom_values(dataset, index if frames > 1 else None)
    if array.ndim == 3:
        return Picture(_colour_uint8(array), digest, steps=tuple(steps))
    shown, more = _display(dataset, array, image.window)
    return Picture(shown, digest, steps=(*steps, *more))


def _dicom_values(dataset: Any, index: int | None) -> tuple[np.ndarray, list[str]]:
    """Stored values of one frame (or all) with colour decoded and the modality LUT or rescale applied."""
    from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array

    stored = pixel_array(dataset) if index is None else pixel_array(dataset, index=index)
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        return apply_color_lut(stored, dataset), ["palette to RGB"]
    if dataset.get("SamplesPerPixel", 1) == 3:
        return stored, ["RGB"]
    shared = _functional_group(dataset, index or 0, "PixelValueTransformationSequence")
    if shared is not None:
        return stored * float(shared.RescaleSlope) + float(shared.RescaleIntercept), ["rescale"]
    steps = ["modality LUT"] if "ModalityLUTSequence" in dataset else ["rescale"] if "RescaleSlope" in dataset else []
    return apply_modality_lut(stored, dataset), steps


def _functional_group(dataset: Any, index: int, name: str) -> Any | None:
    """An item of an enhanced object's per-frame or shared functional groups."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    for groups in (*per_frame[index : index + 1], *(dataset.get("SharedFunctionalGroupsSequence") or [])):
        if name in groups:
            return groups[name].value[0]
    return None


def _display(dataset: Any, values: np.ndarray, window: str | None) -> tuple[np.ndarray, list[str]]:
    """Display grey levels: our window if asked, else the object's VOI LUT or window, else its range; then MONOCHROME1."""
    from pydicom.pixels import apply_voi

    if window:
        shown, steps = apply_window(values.astype(np.float32), *preset(window)), [f"window {window}"]
    elif dataset.get("VOILUTSequence"):
        levels = apply_voi(values, dataset)
        highest = 2 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
        shown, steps = (levels / highest * 255).round().astype(np.uint8), ["VOI LUT"]
    elif dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        shown, steps = _header_window(dataset, values), ["window of the header"]
    else:
        shown, steps = to_uint8(values), ["range"]
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        return 255 - shown, [*steps, "MONOCHROME1 inverted"]
    return shown, steps


def _header_window(dataset: Any, values: np.ndarray) -> np.ndarray:
    """The object's first window on 0..255, by its VOI LUT function (DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    centre, width = (
        float(v[0] if isinstance(v, list | tuple) or hasattr(v, "append") else v)
        for v in (dataset.WindowCenter, dataset.WindowWidth)
    )
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    x = values.astype(np.float64)
    if function == "SIGMOID":
        return (255 / (1 + np.exp(-4 * (x - centre) / width))).round().astype(np.uint8)
    if function == "LINEAR_EXACT":
        return apply_window(x, centre, width)
    if width <= 1:
        return np.where(x > centre - 0.5, 255, 0).astype(np.uint8)
    return apply_window(x, centre - 0.5, width - 1)


def _colour_uint8(values: np.ndarray) -> np.ndarray:
    """Colour samples as 8 bits: the high byte of wider ones that use it."""
    if values.dtype.itemsize == 1 or int(values.max(initial=0)) <= 255:
        return values.astype(np.uint8)
    return (values >> (8 * (values.dtype.itemsize - 1))).astype(np.uint8)


def _multi_frame_volume(image: Image, path: Path, dataset: Any, digest: str) -> Picture:
    frames = int(dataset.get("NumberOfFrames") or 1)
    planes, positions, axes, spacing = [], [], None, (1.0, 1.0)
    for index in range(frames):
        values, _ = _dicom_values(dataset, index if frames > 1 else None)
        if values.ndim != 2:
            raise ImageError(f"{path}: frames have shape {values.shape}; a colour cine is not a volume")
        planes.append(values.astype(np.float32))
        place = _functional_group(dataset, index, "PlanePositionSequence")
        turn = _functional_group(dataset, index, "PlaneOrientationSequence")
        measure = _functional_group(dataset, index, "PixelMeasuresSequence")
        if place is not None and turn is not None and measure is not None:
            positions.append([float(v) for v in place.ImagePositionPatient])
            axes = [float(v) for v in turn.ImageOrientationPatient]
            spacing = (float(measure.PixelSpacing[0]), float(measure.PixelSpacing[1]))
    if axes is None or len(positions) != frames:  # a classic multi-frame object: spacing at best, no position
        depth = float(dataset.get("SpacingBetweenSlices") or dataset.get("SliceThickness") or 1.0)
        axes, positions = [1.0, 0, 0, 0, 1.0, 0], [[0.0, 0.0, depth * i] for i in range(frames)]
        if dataset.get("PixelSpacing"):
            spacing = (float(dataset.PixelSpacing[0]), float(dataset.PixelSpacing[1]))
    return _stack(image, path, planes, positions, axes, spacing, digest)


def _dicom_series(image: Image, path: Path) -> Picture:
    import pydicom

    digest = sha256()
    slices = []
    for file in sorted(p for p in path.iterdir() if p.is_file() and _has_dicom_magic(p)):
        data = file.read_bytes()
        digest.update(data)
        dataset = pydicom.dcmread(io.BytesIO(data))
        if "PixelData" in dataset and "ImagePositionPatient" in dataset:
            slices.append((file, dataset))
    if not slices:
        raise ImageError(f"{path}: no DICOM slice with pixels and a position in this folder")
    series = {str(d.get("SeriesInstanceUID")) for _, d in slices}
    if len(series) > 1:
        raise ImageError(f"{path}: holds {len(series)} series, expected one", remedy="one folder a series")
    first = slices[0][1]
    _check_voxels(path, len(slices), first.Rows, first.Columns)
    for file, d in slices:
        if (d.Rows, d.Columns) != (first.Rows, first.Columns):
            raise ImageError(f"{file}: {d.Rows} x {d.Columns} pixels, the series has {first.Rows} x {first.Columns}")
        if not np.allclose(d.ImageOrientationPatient, first.ImageOrientationPatient, atol=1e-3):
            raise ImageError(f"{file}: its orientation differs from the rest of the series (a localizer?)")
    planes = [_dicom_values(d, None)[0].astype(np.float32) for _, d in slices]
    positions = [[float(v) for v in d.ImagePositionPatient] for _, d in slices]
    axes = [float(v) for v in first.ImageOrientationPatient]
    row, column = (float(v) for v in first.PixelSpacing)
    return _stack(image, path, planes, positions, axes, (row, column), digest.hexdigest())


def _stack(
    image: Image,
    path: Path,
    planes: list[np.ndarray],
    positions: list[list[float]],
    axes: list[float],
    spacing: tuple[float, float],
    digest: str,
) -> Picture:
    """Slices with their patient positions (LPS mm) to a RAS+ volume. ``spacing`` is row, column (DICOM order)."""
    across, down = np.array(axes[:3]), np.array(axes[3:])
    normal = np.cross(across, down)
    order = np.argsort([float(np.dot(p, normal)) for p in positions], kind="stable")
    placed = np.array(positions)[order]
    steps = np.diff(placed @ normal)
    if len(steps) and (steps < 1e-4).any():
        raise ImageError(f"{path}: two slices lie at the same position (several phases or a duplicate)")
    if len(steps) and steps.max() > 1.5 * steps.min():
        raise ImageError(f"{path}: slices are {steps.min():.2f} to {steps.max():.2f} mm apart; one is missing")
    depth = float(steps.mean()) if len(steps) else 1.0
    affine = np.eye(4)
    affine[:3, 0] = across * spacing[1]
    affine[:3, 1] = down * spacing[0]
    affine[:3, 2] = (placed[-1] - placed[0]) / (len(placed) - 1) if len(placed) > 1 else normal * depth
    affine[:3, 3] = placed[0]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # LPS to RAS
    volume = np.stack([planes[i].T for i in order], axis=-1)  # (column, row, slice)
    return _to_ras(image, path, volume, affine, digest)


# --- NIfTI and NRRD ---


def _to_ras(image: Image, path: Path, volume: np.ndarray, affine: np.ndarray, digest: str) -> Picture:
    """Reorient (flips and axis swaps only, no resampling) so that axes point right, anterior, superior."""
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    _check_finite(path, volume)
    turn = io_orientation(affine)
    if np.isnan(turn).any():
        raise ImageError(f"{path}: the affine is degenerate, an axis has no direction")
    turned = np.ascontiguousarray(apply_orientation(volume, turn), dtype=np.float32)
    new_affine = affine @ inv_ornt_aff(turn, volume.shape)
    spacing = tuple(float(s) for s in np.sqrt((new_affine[:3, :3] ** 2).sum(axis=0)))
    return Picture(turned, digest, spacing, new_affine, ("RAS",), image.window)


def _single_volume(image: Image, path: Path, array: np.ndarray) -> np.ndarray:
    """The 3D array of a 3D file, or the chosen frame of a 4D one."""
    if array.ndim == 4:
        index = image.frame or 0
        if index >= array.shape[3]:
            raise ImageError(f"{path}: frame {index} asked for, the file has {array.shape[3]}")
        return array[..., index]
    if array.ndim != 3:
        raise ImageError(f"{path}: {array.ndim} dimensions, expected 3 (or 4 with a frame)")
    return array


def _nifti(image: Image, path: Path) -> Picture:
    import nibabel

    data = path.read_bytes()
    loaded = nibabel.load(path)
    _check_voxels(path, *loaded.shape)
    if path.name.lower().endswith(".gz"):
        wanted = int(loaded.dataobj.offset) + int(np.prod(loaded.shape)) * loaded.dataobj.dtype.itemsize
        loaded = type(loaded).from_bytes(_gunzip(path, io.BytesIO(data), wanted))
    array = _single_volume(image, path, np.asanyarray(loaded.dataobj))
    return _to_ras(image, path, array, np.asarray(loaded.affine, float), sha256(data).hexdigest())


def _gunzip(path: Path, file: IO[bytes], wanted: int) -> bytes:
    """The declared bytes of a gzip stream, and no more in memory; its checksum is verified where the stream ends there.

    nibabel and pynrrd stop before the checksum and would hand damaged voxels on.
    """
    with gzip.GzipFile(fileobj=file) as unpacked:
        raw = unpacked.read(wanted)
        unpacked.read(1 << 16)  # reaching the end raises BadGzipFile on a wrong checksum
    if len(raw) < wanted:
        raise ImageError(f"{path}: {len(raw)} bytes after unpacking, the header declares {wanted}")
    return raw


def _nrrd(image: Image, path: Path) -> Picture:
    import nrrd

    with path.open("rb") as f:
        header = nrrd.read_header(f)
        start = f.tell()
    _check_voxels(path, *header["sizes"])
    attached = "data file" not in header and "datafile" not in header
    if attached and str(header.get("encoding")) in ("gzip", "gz"):
        array = _nrrd_gzip(path, header, start)  # reads no more than the header declares
    else:
        array, _ = nrrd.read(str(path))
    directions = header.get("space directions")
    if array.ndim == 4 and directions is not None:  # the axis without a direction counts frames; it goes last
        lists = [i for i, d in enumerate(directions) if d is None or np.isnan(np.asarray(d, float)).any()]
        array = np.moveaxis(array, lists[0], -1) if lists else array
    affine = _nrrd_affine(header)
    with path.open("rb") as f:
        digest = sha256(f.read()).hexdigest()
    return _to_ras(image, path, _single_volume(image, path, array), affine, digest)


def _nrrd_gzip(path: Path, header: Any, start: int) -> np.ndarray:
    import nrrd.reader

    dtype = np.dtype(nrrd.reader._determine_datatype(header))
    sizes = [int(s) for s in header["sizes"]]
    wanted = int(np.prod(sizes)) * dtype.itemsize
    with path.open("rb") as f:
        f.seek(start)
        raw = _gunzip(path, f, wanted)
    return np.frombuffer(raw, dtype).reshape(sizes, order="F")


def _nrrd_affine(header: Any) -> np.ndarray:
    """Voxel to RAS mm, from space directions and origin (space left-posterior-superior unless said otherwise)."""
    affine = np.eye(4)
    directions = header.get("space directions")
    if directions is not None:
        rows = [np.asarray(d, float) for d in directions if d is not None and not np.isnan(np.asarray(d, float)).any()]
        if len(rows) == 3:
            affine[:3, :3] = np.stack(rows, axis=1)
    elif "spacings" in header:
        affine[:3, :3] = np.diag([float(s) for s in header["spacings"][:3]])
    if "space origin" in header:
        affine[:3, 3] = np.asarray(header["space origin"], float)
    space = str(header.get("space", "left-posterior-superior")).lower()
    if space in ("left-posterior-superior", "lps"):
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    if space in ("left-anterior-superior", "las"):
        return np.diag([-1.0, 1.0, 1.0, 1.0]) @ affine
    return affine


def file_sha256(path: str | os.PathLike[str]) -> str:
    """sha256 of a file's bytes, hex, read in blocks."""
    digest = sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
