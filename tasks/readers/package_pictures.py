"""Real pictures that ship inside Python packages: pydicom and pydicom-data, and nilearn's MNI152 template.

Of the files there, most are re-encodings of one picture, test patterns, segmentations or smaller than 64 pixels. Those
listed are one file a distinct picture, each of another patient. Left out: 693_* (a slice of CQ500, CC BY-NC-SA), the bone
scan (nuclear medicine is no class of RadBench).
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from radbench.errors import DataError
from radbench.records import Image, Labels, Sample

PICTURES = (
    "CT_small.dcm", "bad_sequence.dcm", "explicit_VR-UN.dcm", "eCT_Supplemental.dcm", "J2K_pixelrep_mismatch.dcm",
    "MR_small.dcm", "MR2_UNCR.dcm", "MR-SIEMENS-DICOM-WithOverlays.dcm", "emri_small.dcm",
    "JPGLosslessP14SV1_1s_1f_8b.dcm", "OBXXXX1A.dcm", "US1_UNCR.dcm", "color3d_jpeg_baseline.dcm",
    "gdcm-US-ALOKA-16.dcm", "color-pl.dcm",
    "RG1_UNCR.dcm", "RG3_UNCR.dcm",
)  # fmt: skip
MODALITIES = {
    "CT": "CT",
    "MR": "MRI",
    "US": "Ultrasound",
    "CR": "X-ray",
    "DX": "X-ray",
    "PT": "PET",
    "XA": "angiography",
}
_REMEDY = "pip install 'radbench[demo]'"


class PydicomPictures:
    """The listed DICOM files; truth is the header's Modality (0008,0060), which never reaches the model."""

    def samples(self, split: str) -> Iterator[Sample]:
        import pydicom

        for name in PICTURES:
            path = _pydicom_file(name)
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality"])
            label = MODALITIES[str(header.Modality)]
            yield Sample(Path(name).stem, Path(name).stem, {"answer": Labels((label,))}, (Image(path),))

    def count(self, split: str) -> int:
        return len(PICTURES)

    def fingerprint(self) -> str:
        return sha256("\n".join(f"{n} {Path(_pydicom_file(n)).stat().st_size}" for n in PICTURES).encode()).hexdigest()[
            :16
        ]


def _pydicom_file(name: str) -> str:
    from pydicom.data import get_testdata_file

    path = get_testdata_file(name, download=False)
    if path is None:
        raise DataError(f"the picture {name} is not installed: it ships in the package pydicom-data", remedy=_REMEDY)
    return str(path)


class Mni152:
    """nilearn's MNI152 T1 template (ICBM 2009a, nonlinear symmetric), 197 x 233 x 189 voxels of 1 mm, RAS."""

    def samples(self, split: str) -> Iterator[Sample]:
        image = Image(str(self._path()), kind="volume")
        yield Sample("mni152-t1", "mni152-t1", {"answer": Labels(("MRI",))}, (image,))

    def count(self, split: str) -> int:
        return 1

    def _path(self) -> Path:
        spec = find_spec("nilearn")  # without importing it: nilearn pulls scikit-learn and pandas
        folder = Path(next(iter(spec.submodule_search_locations or []), "")) if spec else Path()
        path = folder / "datasets" / "data" / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
        if not path.is_file():
            raise DataError("the MNI152 volume is not installed: it ships in the package nilearn", remedy=_REMEDY)
        return path

    def fingerprint(self) -> str:
        return f"{self._path().name} {self._path().stat().st_size}"
