"""VinDr-CXR 1.0.0 (PhysioNet ``vindr-cxr``, credentialed; doi:10.13026/3akn-b287; arXiv 2012.15029).

Layout::

    train/<image_id>.dicom    test/<image_id>.dicom
    annotations/image_labels_train.csv    image_id, rad_id, 28 columns of 0/1, a row a reader
    annotations/image_labels_test.csv     the same without rad_id: a consensus
    annotations/annotations_{train,test}.csv    image_id[, rad_id], class_name, x_min, y_min, x_max, y_max

Columns are looked up by name, "Other disease" or "Other diseases". Tables may also lie at the root.
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
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation", "Edema",
    "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity", "Lung cavity", "Lung cyst", "Mediastinal shift",
    "Nodule/Mass", "Pleural effusion", "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture",
    "Other lesion", "COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other diseases", NO_FINDING,
)  # fmt: skip
_ALIASES = {"Other diseases": "Other disease", "Other lesion": "Other lesions"}
_TABLES = tuple(f"{folder}image_labels_{split}.csv" for folder in ("annotations/", "") for split in ("train", "test"))


class VinDrCxr:
    """28 labels an image, and boxes where the annotation table lies beside. Splits: train, test.

    A train image was read by three of 17 radiologists: its labels are those of the majority, perhaps none, and its boxes
    all readers' boxes of these labels, not merged. Cluster: the image, since patients are not named. Stratum: findings
    (present or none). ``images`` is the folder that holds train/ and test/, ``suffix`` that of the
    pictures: ``.dicom`` is also found as ``.dcm``.
    """

    def __init__(self, root: Path, *, images: Path | None = None, suffix: str = SUFFIX) -> None:
        self._root = base(root, "vindr-cxr", _TABLES)
        self._images, self._suffix = images or self._root, suffix

    def samples(self, split: str) -> Iterator[Sample]:
        table = require(self._table("image_labels", split), f"the VinDr-CXR labels of the split '{split}'")
        annotations = self._table("annotations", split)
        boxes = boxes_by_image(annotations) if annotations.exists() else None
        folder = first_there(self._images, split, f"{split}_images")
        suffix = stored_suffix(folder, self._suffix)
        for name, labels in majority(table, LABELS, _ALIASES):
            picture = radiograph(folder, name, suffix)
            kept = None if boxes is None else [b for b in boxes.get(name, ()) if _canonical(b.label) in labels]
            yield labelled(picture, name, labels, LABELS, kept)

    def fingerprint(self) -> str:
        tables = (self._table(kind, split) for kind in ("image_labels", "annotations") for split in ("train", "test"))
        return hash_files(table for table in tables if table.exists())

    def _table(self, kind: str, split: str) -> Path:
        name = f"{kind}_{known_split(split, 'VinDr-CXR')}.csv"
        return first_there(self._root, f"annotations/{name}", name)


def _canonical(label: str) -> str:
    return next((ours for ours, theirs in _ALIASES.items() if theirs == label), label)
