"""Small real picture files for made-up datasets: noise around a disc, different for every seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def grey(seed: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """uint8 (H, W): a bright disc somewhere on noise."""
    draw = np.random.default_rng(seed)
    rows, columns = np.indices(size)
    centre = draw.uniform(0.3, 0.7, 2) * size
    disc = np.hypot(rows - centre[0], columns - centre[1]) < min(size) / 4
    return (draw.integers(0, 80, size) + 150 * disc).astype(np.uint8)


def png(path: Path, seed: int, size: tuple[int, int] = (48, 64), mode: str = "L") -> Path:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey(seed, size)).convert(mode).save(path)
    return path


def jpg(path: Path, seed: int, size: tuple[int, int] = (48, 64), mode: str = "L") -> Path:
    return png(path, seed, size, "RGB" if mode == "RGBA" else mode)


def dicom(
    path: Path,
    seed: int,
    size: tuple[int, int] = (48, 64),
    photometric: str = "MONOCHROME2",
    patient: str = "",
    burned_in: str | None = None,
    modality: str = "DX",
    **tags: Any,
) -> Path:
    """A 16-bit grey DICOM object; ``tags`` are further keywords, e.g. ``StudyDate="20200101"``."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    values = grey(seed, size).astype(np.uint16) * 16
    dataset = pydicom.Dataset()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(seed)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PatientID, dataset.PatientName = modality, patient, ""
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = photometric, 1
    dataset.Rows, dataset.Columns = size
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    if burned_in is not None:
        dataset.BurnedInAnnotation = burned_in
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = values.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def nifti(path: Path, array: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Path:
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([*spacing, 1.0])), path)
    return path


def volume(seed: int, shape: tuple[int, int, int] = (24, 20, 12)) -> np.ndarray:
    """int16 (X, Y, Z), HU-like: a ball of 60 in air."""
    draw = np.random.default_rng(seed)
    grid = np.indices(shape) - (np.array(shape) / 2).reshape(3, 1, 1, 1)
    ball = np.sqrt((grid**2).sum(axis=0)) < min(shape) / 3
    return (np.where(ball, 60, -900) + draw.integers(-20, 20, shape)).astype(np.int16)
