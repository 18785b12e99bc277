"""What a file says of a person beside its pixels: DICOM headers, EXIF and text chunks, NIfTI and NRRD headers.

Names and lengths of what was found are returned, never values. DICOM attributes follow the basic confidentiality profile
(PS3.15, table E.1-1) as far as they name people, places and numbers of a hospital; study dates and UIDs are left out,
since de-identified sets carry shifted and replaced ones.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from radbench.images.arrow import SUFFIXES as EMBEDDING_SUFFIXES
from radbench.images.arrow import embedded_bytes
from radbench.images.dicom import has_dicom_magic
from radbench.records import Image

IDENTIFYING = frozenset({
    "PatientName", "PatientID", "PatientBirthDate", "PatientBirthTime", "PatientBirthName", "PatientMotherBirthName",
    "OtherPatientIDs", "OtherPatientNames", "PatientAddress", "PatientTelephoneNumbers", "PatientTelecomInformation",
    "PatientInsurancePlanCodeSequence", "MilitaryRank", "BranchOfService", "MedicalRecordLocator", "IssuerOfPatientID",
    "PatientComments", "AdditionalPatientHistory", "Occupation", "CountryOfResidence", "RegionOfResidence",
    "ResponsiblePerson", "ResponsibleOrganization", "AccessionNumber", "AdmissionID", "InstitutionName",
    "InstitutionAddress", "InstitutionalDepartmentName", "ReferringPhysicianAddress",
    "ReferringPhysicianTelephoneNumbers", "StationName", "DeviceSerialNumber", "RequestingService",
    "CurrentPatientLocation", "PatientInstitutionResidence", "ImageComments", "StudyComments",
})  # fmt: skip
_STAND_IN = re.compile(  # a word of a value that stands for nobody
    r"(?i)anon[a-z]*|de|(de)?id(entified)?|removed|redacted|none|null|unknown|unnamed|nobody|na|x+|0+|"
    r"(patient|name|id|test|phantom|case|subject)?\d{0,3}"
)
_DRY_EXIF = frozenset({
    "Artist", "Copyright", "ImageDescription", "DocumentName", "PageName", "HostComputer", "UserComment",
    "CameraOwnerName", "BodySerialNumber", "XPTitle", "XPComment", "XPAuthor", "XPKeywords", "XPSubject",
})  # fmt: skip
_DRY_TEXT = frozenset({
    "author", "title", "description", "comment", "copyright", "source", "disclaimer", "warning", "subject", "keywords",
    "xmp", "xml:com.adobe.xmp", "raw profile type exif", "raw profile type iptc", "raw profile type xmp",
})  # fmt: skip
_HARMLESS_TEXT = frozenset({"software", "creation time", "date:create", "date:modify", "date:timestamp"})
_TOOL = re.compile(  # what programs write of themselves
    r"(?i)(fsl|spm|afni|ants|itk|freesurfer|nibabel|nilearn|dcm2niix?|mricron?|slicer|mrtrix|c3d)[\d.:v\s_-]*"
    r"((jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[\d\s,:]*|compatible|3d normalized)?"
    r"|\d+\.\d+(\.\d+)?:[0-9a-f]{8}|(\w{1,6}=[\d.;/-]*\s*)+"
)


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of libraries: pydicom's quote values. The filter holds for the whole process while it is open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Finding(NamedTuple):
    """Something a file says: a name that is safe to print, and how many characters stand there."""

    kind: str
    name: str
    length: int


def header_findings(image: Image) -> list[Finding]:
    """What the file of a picture says of a person. Raises OSError or ValueError and their kin on damaged files."""
    path = Path(image.path)
    name = path.name.lower()
    if image.kind == "series":
        files = sorted(p for p in path.iterdir() if p.is_file() and has_dicom_magic(p))
        some = sorted({0, len(files) // 2, len(files) - 1} & set(range(len(files))))
        return sorted({f for i in some for f in _dicom(files[i])})
    if name.endswith((".npz", ".npy")):
        return []
    if name.endswith(EMBEDDING_SUFFIXES):
        return _raster(io.BytesIO(embedded_bytes(path, image.member or "image", image.frame or 0)))
    if name.endswith((".nii", ".nii.gz")):
        return list(_nifti(path))
    if name.endswith((".nrrd", ".nhdr")):
        return list(_nrrd(path))
    if name.endswith((".dcm", ".dicom")) or has_dicom_magic(path):
        return _dicom(path)
    return _raster(path)


# --- DICOM ---


def _dicom(path: Path) -> list[Finding]:
    """Attributes that identify, at any depth; ``PatientID`` unless the object says that identity was removed."""
    import pydicom

    with quiet(), pydicom.config.disable_value_validation():
        return _attributes(pydicom.dcmread(path, stop_before_pixels=True))


def _attributes(dataset: Any) -> list[Finding]:
    removed = str(dataset.get("PatientIdentityRemoved") or "").upper() == "YES"
    lengths: dict[str, int] = {}
    private = overlays = 0
    for element in dataset.iterall():
        if element.tag.is_private:
            private += not element.tag.is_private_creator
        elif element.tag.element == 0x3000 and element.tag.group & 0xFF01 == 0x6000:
            overlays += 1
        elif element.VR == "PN" or element.keyword in IDENTIFYING:
            text = _text(element.value)
            if _tells(text) and not (removed and element.keyword == "PatientID"):
                lengths[element.keyword] = max(len(text), lengths.get(element.keyword, 0))
    found = [Finding("identifying header", keyword, length) for keyword, length in sorted(lengths.items())]
    if private:
        found.append(Finding("private tags", "private elements", private))
    if overlays:
        found.append(Finding("overlay", "overlay planes, which can hold drawn text", overlays))
    for keyword in ("BurnedInAnnotation", "RecognizableVisualFeatures"):
        if str(dataset.get(keyword) or "").strip().upper() == "YES":
            found.append(Finding("declared in the header", f"{keyword} = YES", 3))
    return found


def _tells(text: str) -> bool:
    return not all(_STAND_IN.fullmatch(word) for word in re.split(r"[\W_]+", text) if word)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple) or type(value).__name__ in ("MultiValue", "Sequence"):
        return " ".join(_text(v) for v in value)
    if isinstance(value, bytes):
        return value.decode("latin-1").strip("\0 ")
    return "a sequence" if type(value).__name__ == "Dataset" else str(value).strip()


# --- others ---


def _raster(file: Path | io.BytesIO) -> list[Finding]:
    from PIL import ExifTags
    from PIL import Image as PIL

    found = []
    with PIL.open(file) as picture:
        if picture.format == "PNG":
            picture.load()  # text chunks may follow the pixels
        for key, value in picture.info.items():
            name = str(key).lower()
            chunk = picture.format == "PNG" and isinstance(value, str) and name not in _HARMLESS_TEXT
            if name in _DRY_TEXT or chunk:
                shown = str(key) if name in _DRY_TEXT else "a text chunk"  # the name of a chunk can be anything
                found.append(Finding("metadata", shown, len(value)))
        if isinstance(photoshop := picture.info.get("photoshop"), dict) and 0x0404 in photoshop:
            found.append(Finding("metadata", "IPTC", len(photoshop[0x0404])))
        exif = picture.getexif()
        for tags in (exif, exif.get_ifd(ExifTags.IFD.Exif)):
            for tag, value in tags.items():
                if (name := ExifTags.TAGS.get(tag, "")) in _DRY_EXIF and len(_text(value)):
                    found.append(Finding("metadata", f"EXIF {name}", len(_text(value))))
        if place := exif.get_ifd(ExifTags.IFD.GPSInfo):
            found.append(Finding("metadata", "EXIF GPS position", len(place)))
    return found


def _nifti(path: Path) -> Iterator[Finding]:
    import nibabel

    header: Any = nibabel.load(path).header
    for field in ("descrip", "db_name", "aux_file"):
        if field in header:
            text = bytes(header[field].item()).split(b"\0")[0].decode("latin-1").strip()
            if text and not (field == "descrip" and _TOOL.fullmatch(text)):
                yield Finding("metadata", f"NIfTI {field}", len(text))
    for extension in getattr(header, "extensions", ()):
        kind = {2: "DICOM", 4: "AFNI", 6: "comment"}.get(extension.get_code(), "another")
        yield Finding("metadata", f"NIfTI extension ({kind})", int(extension.get_sizeondisk()))


def _nrrd(path: Path) -> Iterator[Finding]:
    import nrrd

    for key, value in nrrd.read_header(str(path)).items():
        name, length = str(key).lower(), len(_text(value))
        if length and name == "content":
            yield Finding("metadata", "NRRD content", length)
        elif length and any(word in name for word in ("patient", "birth", "institution", "physician", "dicom")):
            yield Finding("metadata", "NRRD field that names a patient, place or physician", length)
