"""The small members of CXR-Mix (RadFM, arXiv 2308.02463): one disease each, all open.

Every sample names what the image shows in the target ``answer``, an empty set where its only possible label is absent.
Sets that come without a labelled test split are split here by a hash of the patient or image, ``test_share`` of them
test: that split is ours. RSNA took its radiographs from NIH ChestX-ray14 and COVIDx took some from RSNA: a picture may
stand in several members.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from radbench.tasks.readers.files import (
    below,
    column,
    csv_rows,
    hash_files,
    hash_listing,
    require,
    text_lines,
    unwrapped,
    visible,
)
from radbench.tasks.readers.picture_index import PictureIndex
from radbench.tasks.readers.split_rules import by_hash

from radbench.errors import DataError
from radbench.records import Box, Boxes, Image, Labels, Sample, Target


class CovidxCxr2:
    """COVIDx CXR-2 (Kaggle ``andyczhao/covidx-cxr2``): label COVID-19.

    ``{train,val,test}.txt``, lines ``patient_id filename class source`` separated by blanks, class positive or negative;
    pictures in a folder of the split's name. Cluster: the patient. Stratum: source.
    """

    def __init__(self, root: Path) -> None:
        self._root = unwrapped(root, "train.txt", "val.txt", "test.txt")

    def samples(self, split: str) -> Iterator[Sample]:
        path = require(self._root / f"{_known(split, 'COVIDx CXR-2', 'train', 'val', 'test')}.txt", "a COVIDx list")
        for line, text in text_lines(path):
            if not text.strip():
                continue
            patient, *name, label, source = text.split() if len(text.split()) >= 4 else ("", "", "", "")
            if label not in ("positive", "negative"):
                raise DataError(
                    f"{path}, line {line}: expected 'patient_id filename class source' with the class positive or negative",
                    found=f"found {text.strip()[:60]!r}",
                )
            picture = below(self._root / split, " ".join(name))
            present = ("COVID-19",) if label == "positive" else ()
            yield _labelled(" ".join(name), patient, present, "COVID-19", picture, {"source": source})

    def fingerprint(self) -> str:
        tables = (self._root / f"{split}.txt" for split in ("train", "val", "test"))
        return hash_files(t for t in tables if t.exists())


class NlmTb:
    """NLM's tuberculosis sets of Montgomery and Shenzhen (Jaeger et al. 2014): label tuberculosis.

    ``MontgomerySet/CXR_png/*.png`` and ``ChinaSet_AllFiles/CXR_png/*.png``; the last digit of a name tells, 1 is
    tuberculosis. Splits: train, test (ours). Cluster: the image, one a patient. Stratum: hospital.
    """

    _PARTS = ("MontgomerySet", "ChinaSet_AllFiles")

    def __init__(self, root: Path, *, test_share: float = 0.2, seed: int = 0) -> None:
        self._root, self._share, self._seed = unwrapped(root, *self._PARTS), test_share, seed

    def samples(self, split: str) -> Iterator[Sample]:
        _known(split, "NLM-TB", "train", "test")
        for path in self._pictures:
            name, digit = path.stem, path.stem[-1:]
            if digit not in ("0", "1"):
                raise DataError(f"{path}: expected a name that ends in 0 or 1 (tuberculosis)")
            if by_hash(name, self._seed, self._share) == split:
                present = ("tuberculosis",) if digit == "1" else ()
                yield _labelled(name, name, present, "tuberculosis", path, {"hospital": path.parent.parent.name})

    def fingerprint(self) -> str:
        return f"{hash_listing(self._root, self._pictures)}-{self._share}-{self._seed}"

    @cached_property
    def _pictures(self) -> list[Path]:
        folders = [self._root / part / "CXR_png" for part in self._PARTS]
        there = (p for f in folders if f.is_dir() for p in sorted(f.iterdir()))
        found = [p for p in there if p.suffix.lower() == ".png" and visible(p)]
        if not found:
            require(self._root / self._PARTS[0] / "CXR_png", f"PNG files in {' or '.join(self._PARTS)}, below CXR_png")
            raise DataError(f"{self._root}: no PNG file in {' or '.join(self._PARTS)}, below CXR_png")
        return found


class ObjectCxr:
    """Object-CXR (MIDL 2020 challenge): label foreign object.

    ``train.csv`` and ``dev.csv``: ``image_name, annotation``, the annotation empty where there is no foreign object; pictures
    in ``train/`` and ``dev/``. Splits: train, val (dev); the challenge's test labels are not read. Cluster: the image.
    """

    _FILES: Mapping[str, str] = {"train": "train", "val": "dev"}

    def __init__(self, root: Path) -> None:
        self._root = unwrapped(root, *(f"{name}.csv" for name in self._FILES.values()))

    def samples(self, split: str) -> Iterator[Sample]:
        name = self._FILES[_known(split, "Object-CXR", *self._FILES)]
        path = require(self._root / f"{name}.csv", "a table of Object-CXR")
        for line, row in csv_rows(path):
            image, shapes = (str(column(row, c, path, line)).strip() for c in ("image_name", "annotation"))
            present = ("foreign object",) if shapes else ()
            yield _labelled(image, image, present, "foreign object", below(self._root / name, image))

    def fingerprint(self) -> str:
        return hash_files(t for t in (self._root / f"{n}.csv" for n in self._FILES.values()) if t.exists())


class RsnaPneumonia:
    """RSNA Pneumonia Detection Challenge (Kaggle): label pneumonia, boxes of opacities in pixels.

    ``stage_2_train_labels.csv``: ``patientId, x, y, width, height, Target``, several rows an image;
    ``stage_2_train_images/<patientId>.dcm``; ``stage_2_detailed_class_info.csv`` (optional): ``patientId, class``.
    Splits: train, test (ours, of the labelled images). Cluster: the patient. Stratum: class, where known.
    """

    def __init__(self, root: Path, *, test_share: float = 0.2, seed: int = 0) -> None:
        root = unwrapped(root, "stage_2_train_labels.csv")
        self._root, self._share, self._seed = root, test_share, seed
        self._labels, self._classes = root / "stage_2_train_labels.csv", root / "stage_2_detailed_class_info.csv"

    def samples(self, split: str) -> Iterator[Sample]:
        _known(split, "RSNA Pneumonia", "train", "test")
        classes = self._detailed()
        for patient, boxes in self._images().items():
            if by_hash(patient, self._seed, self._share) == split:
                picture = below(self._root / "stage_2_train_images", f"{patient}.dcm")
                strata = {"class": classes[patient]} if patient in classes else {}
                present = () if boxes is None else ("pneumonia",)
                yield _labelled(patient, patient, present, "pneumonia", picture, strata, Boxes(tuple(boxes or ())))

    def fingerprint(self) -> str:
        return f"{hash_files(t for t in (self._labels, self._classes) if t.exists())}-{self._share}-{self._seed}"

    def _images(self) -> dict[str, list[Box] | None]:
        """Boxes by image, None where the target is 0."""
        path = require(self._labels, "the labels of RSNA Pneumonia")
        images: dict[str, list[Box] | None] = {}
        for line, row in csv_rows(path):
            patient, target = (str(column(row, c, path, line)).strip() for c in ("patientId", "Target"))
            if target not in ("0", "1") or (patient in images and (images[patient] is None) != (target == "0")):
                raise DataError(
                    f"{path}, line {line}: Target is {target!r}, expected 0 or 1, the same for all rows of an image"
                )
            if target == "0":
                images[patient] = None
                continue
            try:
                x, y, w, h = (float(column(row, c, path, line)) for c in ("x", "y", "width", "height"))
            except ValueError:
                raise DataError(f"{path}, line {line}: x, y, width, height are not four numbers") from None
            images[patient] = [*(images.get(patient) or ()), Box("pneumonia", x, y, x + w, y + h)]
        return images

    def _detailed(self) -> dict[str, str]:
        if not self._classes.exists():
            return {}
        path = self._classes
        return {str(column(r, "patientId", path, n)): str(column(r, "class", path, n)) for n, r in csv_rows(path)}


class SiimAcr:
    """SIIM-ACR Pneumothorax Segmentation (Kaggle): label pneumothorax; masks are not read.

    ``train-rle.csv``: ``ImageId`` and ``EncodedPixels`` (that header may begin with a blank), ``-1`` where there is none, several
    rows an image; pictures ``<ImageId>.dcm`` (or .png) anywhere below the root. Splits: train, test (ours). Cluster: the image.
    """

    def __init__(self, root: Path, *, test_share: float = 0.2, seed: int = 0) -> None:
        root = unwrapped(root, "train-rle.csv")
        self._root, self._share, self._seed = root, test_share, seed
        self._table, self._pictures = root / "train-rle.csv", PictureIndex(root)

    def samples(self, split: str) -> Iterator[Sample]:
        _known(split, "SIIM-ACR", "train", "test")
        path = require(self._table, "the masks of SIIM-ACR")
        present: dict[str, bool] = {}
        for line, cells in csv_rows(path):
            row = {name.strip(): value.strip() for name, value in cells.items()}
            image, mask = (str(column(row, c, path, line)) for c in ("ImageId", "EncodedPixels"))
            if mask != "-1" and not mask.replace(" ", "").isdigit():
                raise DataError(f"{path}, line {line}: EncodedPixels is {mask[:40]!r}, expected -1 or run lengths")
            present[image] = present.get(image, False) or mask != "-1"
        for image, seen in present.items():
            if by_hash(image, self._seed, self._share) == split:
                picture = self._pictures.path(f"{image}.dcm")
                yield _labelled(image, image, ("pneumothorax",) if seen else (), "pneumothorax", picture)

    def fingerprint(self) -> str:
        return f"{hash_files(t for t in (self._table,) if t.exists())}-{self._share}-{self._seed}"


def _known(split: str, name: str, *splits: str) -> str:
    if split not in splits:
        raise DataError(f"{name} has no split '{split}' but {', '.join(splits)}")
    return split


def _labelled(
    name: str,
    cluster: str,
    present: Iterable[str],
    possible: str,
    picture: Path,
    strata: Mapping[str, str] | None = None,
    boxes: Boxes | None = None,
) -> Sample:
    targets: dict[str, Target] = {"answer": Labels(tuple(present))}
    if boxes is not None:
        targets["boxes"] = boxes
    return Sample(name, cluster, targets, (Image(str(picture)),), choices=(possible,), strata=strata or {})
