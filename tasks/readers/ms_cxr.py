"""MS-CXR (PhysioNet ms-cxr 0.1 and 1.1.0, credentialed): sentences with boxes on MIMIC-CXR pictures.

``MS_CXR_Local_Alignment_v*.csv``: dicom_id, category_name, label_text, path, x, y, w, h, image_width, image_height, from
1.1.0 on split; or its twin ``.json`` in COCO's form. Boxes are in pixels of the original picture. Pictures lie in
MIMIC-CXR-JPG.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from radbench.tasks.readers.box_text import box_text, clipped
from radbench.tasks.readers.files import column, csv_rows, hash_files
from radbench.tasks.readers.json_stream import json_document
from radbench.tasks.readers.mimic_paths import ACCESS, SPLITS, listed_path

from radbench.errors import ConfigError, DataError, shown
from radbench.records import Box, Boxes, Image, Sample, Text


class _Row(NamedTuple):
    where: str
    category: str
    sentence: str
    path: str
    box: tuple[Any, Any, Any, Any]  # x, y, width, height
    size: tuple[Any, Any]  # width, height
    split: str


class MsCxr:
    """One sample a box. Splits: ``all``; train, val, test where the files have a split (1.1.0), else all is test.

    Cluster: the patient. ``answer`` is the sentence, ``boxes`` its box, the slot ``target`` the box as a prompt says it.
    ``form`` picks one of the twins; by default the CSV file where there is one.
    """

    def __init__(self, root: Path, *, images: Path, form: Literal["csv", "json"] | None = None) -> None:
        if form not in (None, "csv", "json"):
            raise ConfigError(f"form is {form!r}, expected csv or json")
        forms = [form] if form else ["csv", "json"]
        found = [p for f in forms for p in sorted(root.glob(f"MS_CXR_Local_Alignment_v*.{f}"))[-1:]]
        if not found:
            raise DataError(f"{root}: no MS_CXR_Local_Alignment_v*.{' or .'.join(forms)}")
        self._path, self._images = found[0], images

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in ("all", "train", "val", "test"):
            raise DataError(f"MS-CXR has no split '{split}' but all, train, val and test")
        numbers: Counter[str] = Counter()
        for row in _from_csv(self._path) if self._path.suffix == ".csv" else _from_json(self._path):
            numbers[row.path] += 1
            if split == "all" or split == self._split(row):
                yield self._sample(row, numbers[row.path])

    @staticmethod
    def _split(row: _Row) -> str:
        if row.split and row.split not in SPLITS:
            raise DataError(f"{row.where}: split {shown(row.split, ACCESS)}, expected train, val or test")
        return SPLITS[row.split or "test"]

    def _sample(self, row: _Row, number: int) -> Sample:
        parts = Path(row.path).with_suffix("").parts[-3:]
        if len(parts) != 3 or parts[0][:1] != "p" or parts[1][:1] != "s":
            raise DataError(
                f"{row.where}: path {shown(row.path, ACCESS)}, expected files/p1x/p<subject>/s<study>/<dicom>.jpg"
            )
        subject, study, dicom = parts[0][1:], parts[1][1:], parts[2]
        box, width, height = _box(row)
        return Sample(
            id=f"{dicom}|{number}",
            cluster=subject,
            targets={"answer": Text((row.sentence.strip(),)), "boxes": Boxes((box,))},
            images=(Image(listed_path(self._images, row.path), study=study),),
            slots={"target": box_text(box, width, height)},
            strata={"category": row.category},
        )

    def fingerprint(self) -> str:
        return hash_files([self._path])


def _box(row: _Row) -> tuple[Box, float, float]:
    try:
        x, y, w, h, width, height = (float(value) for value in (*row.box, *row.size))
    except (TypeError, ValueError):
        raise DataError(f"{row.where}: box or picture size is no number") from None
    inside = clipped(Box(row.category, x, y, x + w, y + h), width, height)
    if inside is None:
        raise DataError(f"{row.where}: the box has no area inside its picture")
    return inside, width, height


def _from_csv(path: Path) -> Iterator[_Row]:
    names = ("category_name", "label_text", "path", "x", "y", "w", "h", "image_width", "image_height")
    for line, row in csv_rows(path):
        category, sentence, picture, x, y, w, h, width, height = (column(row, c, path, line) for c in names)
        where = f"{path}, line {line}"
        yield _Row(where, category, sentence, picture, (x, y, w, h), (width, height), row.get("split", ""))


def _from_json(path: Path) -> Iterator[_Row]:
    document = json_document(path)
    try:
        pictures = {item["id"]: item for item in document["images"]}
        categories = {item["id"]: str(item["name"]) for item in document["categories"]}
        annotations = list(document["annotations"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: expected COCO's images, categories and annotations ({error!r} fails)") from None
    for number, item in enumerate(annotations, 1):
        where = f"{path}, annotation {number}"
        try:
            picture = pictures[item["image_id"]]
            x, y, w, h = item["bbox"]
            size = picture["width"], picture["height"]
            split = str(item.get("split") or picture.get("split") or "")
            yield _Row(
                where, categories[item["category_id"]], str(item["label_text"]), str(picture["path"]), (x, y, w, h), size, split
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DataError(
                f"{where}: expected image_id and category_id that exist, label_text and bbox [x, y, w, h],"
                " and path, width and height of its picture"
            ) from None
