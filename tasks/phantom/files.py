"""Writing pictures as they come from a hospital: PNG, DICOM objects and series, NIfTI. The same input gives the same bytes."""

from __future__ import annotations

import gzip
import io
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from radbench.tasks.phantom.geometry import Array
from radbench.tasks.phantom.rendered import Rendered
from radbench.tasks.phantom.spec import Case

FIRST_DAY = date(2001, 1, 1)
BODY_PARTS = {
    "chest": "CHEST",
    "abdomen": "ABDOMEN",
    "head": "HEAD",
    "neck": "NECK",
    "spine": "LSPINE",
    "breast": "BREAST",
}
POSITIONS = {"PA": "PA", "lateral": "LL", "frontal": "AP"}


def write_png(path: Path, pixels: Array) -> None:
    """8-bit grey levels."""
    from PIL import Image

    Image.fromarray(pixels).save(path, format="PNG", compress_level=4)


def uid(*parts: object) -> str:
    """A DICOM unique identifier that follows from ``parts`` (a UUID-derived one, root 2.25)."""
    return f"2.25.{int.from_bytes(sha256('|'.join(map(str, parts)).encode()).digest()[:15], 'big')}"


def grey8(r: Rendered) -> Array:
    """The picture as displayed."""
    values = r.pixels if r.window is None else (r.pixels - r.window[0]) / r.window[1] + 0.5
    return np.asarray((np.clip(values, 0, 1) * 255).round().astype(np.uint8))


def _header(case: Case, modality: str, sop_class: str, name: str) -> Any:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid(case.id, case.seed, name)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid("radbench phantom")
    d = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    d.SOPClassUID, d.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    d.StudyInstanceUID = uid(case.id, case.seed, "study")
    d.SeriesInstanceUID = uid(case.id, case.seed, "series", modality)
    d.FrameOfReferenceUID = uid(case.id, case.seed, "frame")
    d.Modality = modality
    d.Manufacturer = "radbench phantom"
    d.PatientName, d.PatientID, d.PatientIdentityRemoved = "", case.patient, "YES"
    d.PatientBirthDate, d.PatientSex, d.PatientAge = "", case.sex[0].upper(), f"{case.age:03d}Y"
    day = FIRST_DAY + timedelta(days=case.seed // 8 % 3000 + case.days_before)
    d.StudyDate, d.StudyTime, d.AccessionNumber, d.StudyID, d.ReferringPhysicianName = (
        f"{day:%Y%m%d}",
        "080000",
        "",
        case.id[-16:],
        "",
    )
    d.SeriesNumber, d.InstanceNumber = 1, 1
    d.BodyPartExamined = BODY_PARTS.get(case.region, "")
    d.BurnedInAnnotation = "NO"
    return d


def _pixels(d: Any, stored: Array, photometric: str = "MONOCHROME2") -> None:
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, photometric
    d.Rows, d.Columns = stored.shape
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 12, 11, 0
    d.PixelData = np.ascontiguousarray(stored, dtype="<u2").tobytes()


def _save(path: Path, d: Any) -> None:
    import pydicom

    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, d, enforce_file_format=True)
    path.write_bytes(buffer.getvalue())


def write_radiograph(path: Path, case: Case, r: Rendered, inverted: bool = False, patient_name: str = "") -> None:
    """A DX, CR or MG object, 12 bits; ``inverted`` stores MONOCHROME1."""
    from pydicom import uid as classes

    if case.region == "breast":
        modality, sop_class = "MG", classes.DigitalMammographyXRayImageStorageForPresentation
    elif case.region == "spine":
        modality, sop_class = "CR", classes.ComputedRadiographyImageStorage
    else:
        modality, sop_class = "DX", classes.DigitalXRayImageStorageForPresentation
    d = _header(case, modality, sop_class, r.view)
    if patient_name:
        d.PatientName, d.PatientIdentityRemoved = patient_name, "NO"
    d.ViewPosition = r.view.split()[-1] if modality == "MG" else POSITIONS[r.view]
    if modality == "MG":
        d.ImageLaterality, d.BreastImplantPresent = r.laterality, "NO"
    d.ImagerPixelSpacing = [f"{s:.6g}" for s in r.spacing]
    if modality != "CR":
        d.PresentationIntentType, d.PixelIntensityRelationshipSign = "FOR PRESENTATION", 1
    stored = (np.clip(r.pixels, 0, 1) * 4095).round().astype(np.uint16)
    d.WindowCenter, d.WindowWidth, d.RescaleIntercept, d.RescaleSlope, d.RescaleType = 2048, 4096, 0, 1, "US"
    d.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    _pixels(d, 4095 - stored if inverted else stored, "MONOCHROME1" if inverted else "MONOCHROME2")
    _save(path, d)


def write_slice(path: Path, case: Case, r: Rendered) -> None:
    """One CT or MR slice, its window in the header."""
    d = _section(case, r.view)
    d.ImageOrientationPatient = [f"{v:.6g}" for v in (*r.across, *r.down)]
    rows, columns = (s * (n - 1) / 2 for s, n in zip(r.spacing, r.pixels.shape, strict=True))
    corner = (m - a * columns - b * rows for m, a, b in zip(r.origin, r.across, r.down, strict=True))
    d.ImagePositionPatient = [f"{v:.6g}" for v in corner]
    d.PixelSpacing, d.SliceThickness = [f"{s:.6g}" for s in r.spacing], 5
    _measured(d, case, r.pixels, r.window)
    _save(path, d)


def write_series(folder: Path, case: Case, r: Rendered) -> None:
    """A folder of axial slices, feet first."""
    folder.mkdir(parents=True)
    for k in range(r.pixels.shape[2]):
        d = _section(case, f"slice {k}")
        d.InstanceNumber = k + 1
        d.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        d.ImagePositionPatient = [f"{v:.6g}" for v in (r.origin[0], r.origin[1], r.origin[2] + k * r.spacing[2])]
        d.PixelSpacing = [f"{r.spacing[1]:.6g}", f"{r.spacing[0]:.6g}"]
        d.SliceThickness = d.SpacingBetweenSlices = f"{r.spacing[2]:.6g}"
        _measured(d, case, r.pixels[:, :, k].T, r.window)
        _save(folder / f"{k + 1:04d}.dcm", d)


def _section(case: Case, name: str) -> Any:
    from pydicom import uid as classes

    ct = case.modality == "CT"
    d = _header(case, "CT" if ct else "MR", classes.CTImageStorage if ct else classes.MRImageStorage, name)
    if ct:
        d.KVP = 120
        if case.sequence == "with contrast":
            d.ContrastBolusAgent = "iodinated"
    else:
        d.ScanningSequence, d.SequenceVariant, d.MRAcquisitionType = "SE", "NONE", "2D"
    d.SeriesDescription = f"{case.plane} {case.sequence}".strip()
    return d


def _measured(d: Any, case: Case, values: Array, window: tuple[float, float] | None) -> None:
    if case.modality == "CT":
        d.RescaleIntercept, d.RescaleSlope, d.RescaleType = -1024, 1, "HU"
        d.WindowCenter, d.WindowWidth = window or (40, 400)
        _pixels(d, np.clip(values.round() + 1024, 0, 4095).astype(np.uint16))
    else:
        d.WindowCenter, d.WindowWidth = 500, 1001
        _pixels(d, (np.clip(values, 0, 1) * 1000).round().astype(np.uint16))


def write_nifti(path: Path, values: Array, spacing: tuple[float, ...], origin: tuple[float, float, float]) -> None:
    """A volume in patient order (right to left, anterior to posterior, feet to head), gzip without a date."""
    import nibabel

    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = -origin[0], -origin[1], origin[2]
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=3, mtime=0))


def stored_volume(case: Case, values: Array) -> Array:
    """CT in Hounsfield units; MRI and PET in thousandths."""
    return np.asarray((values if case.modality == "CT" else values * 1000).round().clip(-32000, 32000).astype(np.int16))
