"""DICOM: single and multi-frame objects, and a folder of slices as one volume."""

from __future__ import annotations

import io
import warnings
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from radbench.errors import ImageError
from radbench.images.limits import check_pixels, check_voxels
from radbench.images.picture import Picture
from radbench.images.volumes import to_ras
from radbench.images.windows import apply_window, preset, to_uint8
from radbench.records import Image


def has_dicom_magic(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as f:
        return f.read(132)[128:] == b"DICM"


@cache
def _silence() -> None:
    """pydicom's warnings quote header values, which are people's names and numbers: none is shown, in any thread."""
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")


def read_dicom(image: Image, path: Path) -> Picture:
    import pydicom

    _silence()
    data = path.read_bytes()
    dataset = pydicom.dcmread(io.BytesIO(data))
    digest = sha256(data).hexdigest()
    frames = int(dataset.get("NumberOfFrames") or 1)
    if "Rows" not in dataset or "Columns" not in dataset:
        raise ImageError(f"{path}: a DICOM object without pixels ({dataset.get('Modality', 'no modality')})")
    if image.kind == "volume":
        check_voxels(path, frames, dataset.Rows, dataset.Columns)
    else:
        check_pixels(path, dataset.Rows, dataset.Columns)
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


def read_dicom_series(image: Image, path: Path) -> Picture:
    import pydicom

    _silence()
    digest = sha256()
    slices = []
    for file in sorted(p for p in path.iterdir() if p.is_file() and has_dicom_magic(p)):
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
    check_voxels(path, len(slices), first.Rows, first.Columns)
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
    return to_ras(image, path, volume, affine, digest)
