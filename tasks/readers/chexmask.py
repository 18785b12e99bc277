"""CheXmask (PhysioNet chexmask-cxr-segmentation-data 0.1 to 1.0.0, open; masks only): lungs and heart.

``OriginalResolution/{MIMIC-CXR-JPG,CheXpert}.csv``: an id column (dicom_id, or Path such as
``valid/patient90001/study1/view1_frontal.jpg``), Dice RCA (Mean), Dice RCA (Max), Landmarks, Left Lung, Right Lung,
Heart, Height, Width. Masks are run-length text (see :mod:`radbench.images.rle`) and are decoded when scored. Pictures lie
in MIMIC-CXR-JPG or CheXpert. Layout: ngaggion/CheXmask-Database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Literal

from radbench.tasks.readers.chexpert import picture_folder
from radbench.tasks.readers.files import column, csv_rows, hash_files, require
from radbench.tasks.readers.mimic_paths import ACCESS, picture_path, picture_sizes, places, size_of, split_table
from radbench.tasks.readers.side_table import SideTable

from radbench.errors import ConfigError, DataError, shown
from radbench.records import Image, Mask, Sample

_ORGANS = {"left lung": "Left Lung", "right lung": "Right Lung", "heart": "Heart"}
_QUALITY, _HEIGHT, _WIDTH = "Dice RCA (Mean)", "Height", "Width"
_KNOWN = frozenset({_QUALITY, "Dice RCA (Max)", "Landmarks", _HEIGHT, _WIDTH, *_ORGANS.values(), "", "Unnamed: 0"})


class CheXmask:
    """One sample a picture and organ. Cluster: the patient.

    ``source="MIMIC-CXR-JPG"``: splits train, val, test of MIMIC. ``source="CheXpert"``: train, and val, CheXpert's
    validation pictures, which ``test`` names too, since MedInterp's external row uses them. Rows with a mean Dice RCA
    below ``min_dice_rca`` are left out, as the set's README advises (MedVersa does not say whether it did).

    Height and width are swapped where the picture has them the other way round; raises :class:`DataError` where neither
    fits. The picture's size comes from MIMIC's metadata, else from the header of its file; where neither tells it and the
    mask is not square, :class:`DataError` too.
    """

    def __init__(
        self,
        root: Path,
        *,
        images: Path,
        source: Literal["MIMIC-CXR-JPG", "CheXpert"] = "MIMIC-CXR-JPG",
        organs: Sequence[str] = ("left lung", "right lung", "heart"),
        min_dice_rca: float = 0.7,
        folder: Literal["OriginalResolution", "Preprocessed"] = "OriginalResolution",
    ) -> None:
        if unknown := [organ for organ in organs if organ not in _ORGANS]:
            raise ConfigError(f"CheXmask has no organ '{unknown[0]}' but {', '.join(_ORGANS)}")
        if source not in ("MIMIC-CXR-JPG", "CheXpert"):
            raise ConfigError(f"source is {source!r}, expected MIMIC-CXR-JPG or CheXpert")
        inner = root / folder if (root / folder).is_dir() else root
        self._table = require(inner / f"{source}.csv", f"the CheXmask table {folder}/{source}.csv")
        self._images, self._mimic, self._organs = images, source == "MIMIC-CXR-JPG", tuple(organs)
        self._least = min_dice_rca

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in ("train", "val", "test"):
            raise DataError(f"CheXmask has no split '{split}' but train, val and test")
        key = ""
        for line, row in csv_rows(self._table):
            key = key or self._id_column(row, line)
            found = self._mimic_picture(row[key], line) if self._mimic else self._chexpert_picture(row[key], line)
            image, patient, own = found
            if own == ("val" if split == "test" and not self._mimic else split) and self._good(row, line):
                shape = self._shape(row, line, row[key], image.path)
                for organ in self._organs:
                    mask = Mask(rle=_runs(column(row, _ORGANS[organ], self._table, line)), shape=shape)
                    yield Sample(
                        f"{row[key]}|{organ}",
                        patient,
                        {"mask": mask},
                        (image,),
                        {"target": organ},
                        (),
                        {"organ": organ},
                    )

    def _id_column(self, row: dict[str, str], line: int) -> str:
        name = next((name for name in row if name not in _KNOWN), None)
        if name is None:
            raise DataError(f"{self._table}, line {line}: no id column beside {', '.join(row)}")
        return name

    def _mimic_picture(self, dicom: str, line: int) -> tuple[Image, str, str]:
        found = self._places.get(dicom)
        if found is None:
            raise DataError(
                f"{self._table}, line {line}: dicom_id {shown(dicom, ACCESS)} is not in {split_table(self._images)}"
            )
        subject, study, split = found
        return Image(picture_path(self._images, subject, study, dicom), study=study), subject, split

    def _chexpert_picture(self, path: str, line: int) -> tuple[Image, str, str]:
        parts = path.split("/")
        if len(parts) != 4 or parts[0] not in ("train", "valid"):
            raise DataError(
                f"{self._table}, line {line}: Path {shown(path, 'registered')}, expected"
                " train|valid/patient.../study.../view....jpg"
            )
        folder = picture_folder(self._images, parts[0])
        image = Image(str(folder.joinpath(*parts[1:])), study="/".join(parts[1:3]))
        return image, parts[1], "train" if parts[0] == "train" else "val"

    def _good(self, row: dict[str, str], line: int) -> bool:
        text = column(row, _QUALITY, self._table, line)
        try:
            return float(text) >= self._least
        except ValueError:
            raise DataError(
                f"{self._table}, line {line}: {_QUALITY} {shown(text, ACCESS)}, expected a number"
            ) from None

    def _shape(self, row: dict[str, str], line: int, key: str, path: str) -> tuple[int, int]:
        """(height, width) of the masks."""
        texts = [column(row, name, self._table, line).removesuffix(".0") for name in (_HEIGHT, _WIDTH)]
        if not all(text.isdecimal() and int(text) for text in texts):
            raise DataError(
                f"{self._table}, line {line}: Height x Width is {' x '.join(texts)}, expected whole numbers"
            )
        height, width = (int(text) for text in texts)
        size = (size_of(self._sizes, key) if self._mimic else None) or _header_size(path)
        if size == (height, width) or (size is None and height == width):
            return height, width
        if size is None:
            raise DataError(
                f"{self._table}, line {line}: nothing tells whether the mask is {height} x {width} or {width} x {height}",
                remedy=f"put {'the metadata table or ' if self._mimic else ''}the pictures into {self._images}",
            )
        if size == (width, height):
            return size
        raise DataError(
            f"{self._table}, line {line}: a mask of {height} x {width}, its picture has {size[0]} x {size[1]}",
            remedy="the masks of OriginalResolution need pictures that were not resized",
        )

    @cached_property
    def _places(self) -> SideTable:
        return places(self._images)

    @cached_property
    def _sizes(self) -> SideTable | None:
        return picture_sizes(self._images)

    def fingerprint(self) -> str:
        tables = [self._table, *([split_table(self._images)] if self._mimic else [])]
        return sha256(f"{hash_files(tables)} {self._organs!r} {self._least}".encode()).hexdigest()[:16]


def _runs(text: str) -> str:
    return "" if text.strip().lower() == "nan" else text.strip()


def _header_size(path: str) -> tuple[int, int] | None:
    """(height, width) by the file's header; None where it cannot be read: the picture then fails where it is asked."""
    if path.endswith(".dcm"):
        return _dicom_size(path)
    from PIL import Image as PIL

    try:
        with PIL.open(path) as picture:
            return picture.height, picture.width
    except (OSError, SyntaxError, ValueError, PIL.DecompressionBombError):
        return None


def _dicom_size(path: str) -> tuple[int, int] | None:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
        return int(header.Rows), int(header.Columns)
    except (OSError, EOFError, InvalidDicomError, AttributeError, TypeError, ValueError):
        return None
