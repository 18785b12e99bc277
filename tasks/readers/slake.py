"""SLAKE (med-vqa.com/slake, CC BY 4.0; SUITES_AND_FORMATS B.2; Liu et al., ISBI 2021, doi:10.1109/ISBI48211.2021.9434010).

Forms, also nested in a folder such as ``Slake1.0``::

    {train,validate,test}.json     imgs/xmlab<N>/{source.jpg,mask.png,detection.json}    the official release
    {train,validation,test}.json   imgs/ from imgs.zip                                   hub: BoKelvin/SLAKE
    data/{train,validation,test}-*.parquet                                               hub: mdwiratathya/SLAKE-vqa-english
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from radbench.tasks.readers import arrow
from radbench.tasks.readers.files import hash_files, hash_listing, require
from radbench.tasks.readers.json_stream import json_document, json_list
from radbench.tasks.readers.vqa_rows import (
    answer_type,
    answered,
    hub_rows,
    nested,
    no_split,
    optional,
    picture_folder,
    present,
    text,
    unique,
    with_options,
)

from radbench.errors import ConfigError, DataError, shown
from radbench.records import Box, Boxes, Image, Sample, Text

_TABLES = {
    "train": ("train.json",),
    "val": ("validate.json", "validation.json", "val.json"),
    "test": ("test.json",),
}
_LANGUAGES = ("en", "zh", "all")


class Slake:
    """Splits train, val and test. Cluster: the image (``img_id``; its bytes in a copy without), patients are not named.

    ``language`` keeps the questions of ``q_lang`` en (the paper suites' choice), zh, or all. With ``boxes`` a sample is an
    image instead of a question, with the organ boxes of its ``detection.json`` as the target ``boxes``; images without
    that file are left out. Strata: modality, content_type, answer_type (open and closed as the file says; closed is
    not the same as yes/no), location, base_type. Rows without question or answer are left out: ``removed``.
    """

    def __init__(self, root: Path, *, images: Path | None = None, language: str = "en", boxes: bool = False) -> None:
        if language not in _LANGUAGES:
            raise ConfigError(f"SLAKE has no language '{language}' but {', '.join(_LANGUAGES)}")
        self.removed: set[str] = set()
        self._root, self._images, self._language, self._boxes = root, images, language, boxes
        found = {split: nested(root, names) for split, names in _TABLES.items()}
        self._tables = {split: path for split, path in found.items() if path is not None}
        if not self._tables and (boxes or not arrow.is_arrow_folder(root)):
            require(
                root / "test.json", "train.json, validate.json and test.json of SLAKE, or a hub copy in parquet files"
            )

    def samples(self, split: str) -> Iterator[Sample]:
        there = tuple(self._tables or arrow.splits(self._root))
        if split not in there:
            raise no_split(self._root, split, there)
        if self._boxes:
            yield from self._detections(split)
        else:
            yield from answered(self._from_table(split) if self._tables else self._from_hub(split), self.removed)

    def _rows(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        path = self._tables[split]
        for position, row in json_list(path):
            place = f"{path}, item {position}"
            if self._language in ("all", text(row, ("q_lang",), place)):
                yield place, row

    def _from_table(self, split: str) -> Iterator[Sample]:
        folder = self._folder(split)
        for place, row in self._rows(split):
            image = Image(f"{folder}/{text(row, ('img_name',), place)}")
            yield _sample(text(row, ("qid",), place), text(row, ("img_id",), place), image, row, place)

    def _from_hub(self, split: str) -> Iterator[Sample]:
        seen: Counter[str] = Counter()
        for number, (place, image, digest, row) in enumerate(hub_rows(self._root, split), 1):
            language = optional(row, "q_lang", place) or "en"
            if self._language not in ("all", language):
                continue
            name = optional(row, "qid", place) or f"{split}-{number}"
            yield _sample(unique(name, seen), optional(row, "img_id", place) or digest, image, row, place)

    def _detections(self, split: str) -> Iterator[Sample]:
        folder = self._folder(split)
        seen: set[str] = set()
        for place, row in self._rows(split):
            name = text(row, ("img_id",), place)
            if name in seen:
                continue
            seen.add(name)
            picture = folder / text(row, ("img_name",), place)
            path = picture.with_name("detection.json")
            if not path.is_file():
                self.removed.add(name)
                continue
            targets = {"boxes": Boxes(tuple(_boxes(path)))}
            yield Sample(
                name, name, targets, (Image(str(picture)),), _slots(row, place), strata=_image_strata(row, place)
            )

    def _folder(self, split: str) -> Path:
        return self._images or picture_folder(self._tables[split].parent, ("imgs", "images"))

    def fingerprint(self) -> str:
        digest = hash_files(self._tables.values()) if self._tables else arrow.fingerprint(self._root)
        if self._boxes:
            for split in self._tables:
                folder = self._folder(split)
                digest += hash_listing(folder, sorted(folder.glob("*/detection.json")))
        return with_options(digest, self._language, self._boxes)


def _sample(name: str, cluster: str, image: Image, row: Mapping[str, Any], place: str) -> Sample:
    answer = text(row, ("answer",), place)
    return Sample(
        id=name,
        cluster=cluster,
        targets={"answer": Text((answer,))},
        images=(image,),
        slots={"question": text(row, ("question",), place), **_slots(row, place)},
        strata={
            **_image_strata(row, place),
            **present(
                content_type=optional(row, "content_type", place),
                answer_type=optional(row, "answer_type", place).lower() or answer_type(answer),
                base_type=optional(row, "base_type", place),
            ),
        },
    )


def _slots(row: Mapping[str, Any], place: str) -> dict[str, str]:
    """RadFound writes the modality into the text; a prompt that does so gives questions on the modality away."""
    return present(modality=optional(row, "modality", place))


def _image_strata(row: Mapping[str, Any], place: str) -> dict[str, str]:
    return present(modality=optional(row, "modality", place), location=optional(row, "location", place))


def _boxes(path: Path) -> Iterator[Box]:
    """``[{"Liver": [x, y, w, h]}, ...]``, in pixels."""
    items = json_document(path)
    if not isinstance(items, list):
        raise DataError(f"{path}: expected a list of objects, found {type(items).__name__}")
    for position, item in enumerate(items, 1):
        expected = f"{path}, item {position}: {shown(item)}, expected one name with [x, y, w, h]"
        if not isinstance(item, dict) or len(item) != 1:
            raise DataError(expected)
        ((label, numbers),) = item.items()
        if not isinstance(numbers, list) or len(numbers) != 4 or not all(type(n) in (int, float) for n in numbers):
            raise DataError(expected)
        x, y, width, height = numbers
        if width <= 0 or height <= 0:
            raise DataError(expected)
        yield Box(label, x, y, x + width, y + height)
