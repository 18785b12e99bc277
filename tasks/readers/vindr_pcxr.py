"""VinDr-PCXR 1.0.0, chest radiographs of children (PhysioNet ``vindr-pcxr``, restricted; doi:10.13026/k8qc-na36).

Layout::

    train/<image_id>.dicom    test/<image_id>.dicom
    image_labels_{train,test}.csv    image_id[, rad_ID], 15 columns of 0/1 (or 0.0/1.0)
    annotations_{train,test}.csv     image_id[, rad_ID], class_name, x_min, y_min, x_max, y_max (local findings)

Columns are looked up by name, spelt as in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from radbench.tasks.readers.files import hash_files, require
from radbench.tasks.readers.vindr import (
    NO_FINDING,
    SUFFIX,
    base,
    boxes_by_image,
    first_there,
    known_split,
    labelled,
    majority,
    radiograph,
    stored_suffix,
)

from radbench.records import Sample

LABELS = (
    NO_FINDING, "Bronchitis", "Brocho-pneumonia", "Other disease", "Bronchiolitis", "Situs inversus", "Pneumonia",
    "Pleuro-pneumonia", "Diagphramatic hernia", "Tuberculosis", "Congenital emphysema", "CPAM", "Hyaline membrane disease",
    "Mediastinal tumor", "Lung tumor",
)  # fmt: skip
_ALIASES = {"Other disease": "Other diseases"}
_TABLES = ("image_labels_train.csv", "image_labels_test.csv")


class VinDrPCXR:
    """15 diagnoses an image; boxes of local findings where the annotation table lies beside. Splits: train, test.

    The boxes' classes are local findings, not the 15 diagnoses. Should an image have several rows, the majority counts.
    Cluster: the image, since patients are not named. Stratum: findings (present or none). ``images`` is the folder that
    holds train/ and test/, ``suffix`` that of the pictures: ``.dicom`` is also found as ``.dcm``.
    """

    def __init__(self, root: Path, *, images: Path | None = None, suffix: str = SUFFIX) -> None:
        self._root = base(root, "vindr-pcxr", _TABLES)
        self._images, self._suffix = images or self._root, suffix

    def samples(self, split: str) -> Iterator[Sample]:
        table = require(self._table("image_labels", split), f"the VinDr-PCXR labels of the split '{split}'")
        annotations = self._table("annotations", split)
        boxes = boxes_by_image(annotations) if annotations.exists() else None
        folder = first_there(self._images, split, f"{split}_images")
        suffix = stored_suffix(folder, self._suffix)
        for name, labels in majority(table, LABELS, _ALIASES):
            placed = None if boxes is None else boxes.get(name, [])
            yield labelled(radiograph(folder, name, suffix), name, labels, LABELS, placed)

    def fingerprint(self) -> str:
        tables = (self._table(kind, split) for kind in ("image_labels", "annotations") for split in ("train", "test"))
        return hash_files(table for table in tables if table.exists())

    def _table(self, kind: str, split: str) -> Path:
        name = f"{kind}_{known_split(split, 'VinDr-PCXR')}.csv"
        return first_there(self._root, name, f"annotations/{name}")
