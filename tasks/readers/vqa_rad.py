"""VQA-RAD (OSF record 89kps, CC0; SUITES_AND_FORMATS B.1; Lau et al., Sci Data 2018, doi:10.1038/sdata.2018.251).

Three forms, also nested in a folder::

    VQA_RAD Dataset Public.json    VQA_RAD Image Folder/synpic<N>.jpg       the official release: one list of both splits
    trainset.json  testset.json    images/ (or VQA_RAD Image Folder/)       MEVF and followers
    data/{train,test}-*.parquet                                             hub copies: flaviagiammarino/vqa-rad, OctoMed/VQA-RAD
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from radbench.tasks.readers import arrow
from radbench.tasks.readers.files import Names, hash_files, require
from radbench.tasks.readers.json_stream import json_list
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

from radbench.errors import DataError, shown
from radbench.records import Image, Sample, Text

_OFFICIAL = "VQA_RAD Dataset Public.json"
_DERIVED = {"train": "trainset.json", "test": "testset.json"}
_IMAGES = ("VQA_RAD Image Folder", "images", "imgs")
_PHRASES = ("freeform", "para", "test_freeform", "test_para")
_TYPES = ("PRES", "ABN", "MODALITY", "ORGAN", "POS", "SIZE", "PLANE", "COUNT", "COLOR", "ATTRIB", "OTHER")


class VqaRad:
    """Splits train and test; test is the official one, the rows whose ``phrase_type`` starts with ``test_``.

    Cluster: the MedPix case where its address is given (official form), else the picture, which hub copies without
    names tell by its bytes; patients are not named. ``paraphrases`` adds to the official form's train split every
    ``question_rephrase`` as a question of its own (3,064 in all); the derived layout and OctoMed's copy hold them
    anyway. Strata: answer_type (closed and open, by the answer where the copy does not say), question_type (spelling
    mended; several joined), organ, phrase_type. Rows without question or answer are left out: ``removed``. Names of
    pictures are found whatever case their suffix is in.
    """

    def __init__(self, root: Path, *, images: Path | None = None, paraphrases: bool = False) -> None:
        self.removed: set[str] = set()
        self._root, self._images, self._paraphrases = root, images, paraphrases
        self._official = nested(root, (_OFFICIAL,))
        found = {split: nested(root, (name,)) for split, name in _DERIVED.items()} if self._official is None else {}
        self._derived = {split: path for split, path in found.items() if path is not None}
        if not self._official and not self._derived and not arrow.is_arrow_folder(root):
            require(root / _OFFICIAL, "it, or trainset.json and testset.json, or a hub copy in parquet files")

    def samples(self, split: str) -> Iterator[Sample]:
        if self._official is not None:
            samples, there = self._from_official(self._official, split), tuple(_DERIVED)
        elif self._derived:
            samples, there = self._from_derived(split), tuple(self._derived)
        else:
            samples, there = self._from_hub(split), tuple(arrow.splits(self._root))
        if split not in there:
            raise no_split(self._root, split, there)
        yield from answered(samples, self.removed)

    def _from_official(self, path: Path, split: str) -> Iterator[Sample]:
        seen: Counter[str] = Counter()
        pictures = Names(self._images or picture_folder(path.parent, _IMAGES))
        for position, row in json_list(path):
            place = f"{path}, item {position}"
            phrase = text(row, ("phrase_type",), place).lower()
            if phrase not in _PHRASES:
                raise DataError(f"{place}: phrase_type is {shown(phrase)}, expected {', '.join(_PHRASES)}")
            if phrase.startswith("test_") != (split == "test"):
                continue
            name = text(row, ("image_name",), place)
            case = optional(row, "image_case_url", place)
            sample = _sample(unique(text(row, ("qid",), place), seen), case or name, pictures.path(name), row, place)
            yield sample
            rephrased = optional(row, "question_rephrase", place)
            if self._paraphrases and split == "train" and rephrased.upper() not in ("", "NULL"):
                strata = {**sample.strata, "phrase_type": "para"}
                yield sample._replace(id=f"{sample.id}-rephrased", slots={"question": rephrased}, strata=strata)

    def _from_derived(self, split: str) -> Iterator[Sample]:
        seen: Counter[str] = Counter()
        path = self._derived[split]
        pictures = Names(self._images or picture_folder(path.parent, _IMAGES))
        for position, row in json_list(path):
            place = f"{path}, item {position}"
            if "image_organ" not in row:
                raise DataError(
                    f"{place}: no 'image_organ', which VQA-RAD's lists have; it has {', '.join(row)}",
                    remedy="VQA-Med 2019 is also passed round as trainset.json and testset.json: keep it in its own folder",
                )
            name = text(row, ("image_name",), place)
            yield _sample(unique(text(row, ("qid",), place), seen), name, pictures.path(name), row, place)

    def _from_hub(self, split: str) -> Iterator[Sample]:
        seen: Counter[str] = Counter()
        for number, (place, image, digest, row) in enumerate(hub_rows(self._root, split), 1):
            name = optional(row, "qid", place) or f"{split}-{number}"
            cluster = optional(row, "image_name", place) or digest
            yield _sample(unique(name, seen), cluster, image, row, place)

    def fingerprint(self) -> str:
        if self._official is not None:
            return with_options(hash_files([self._official]), self._paraphrases)
        return hash_files(self._derived.values()) if self._derived else arrow.fingerprint(self._root)


def _sample(name: str, cluster: str, image: Image | Path, row: Mapping[str, Any], place: str) -> Sample:
    answer = text(row, ("answer",), place)
    return Sample(
        id=name,
        cluster=cluster,
        targets={"answer": Text((answer,))},
        images=(image if isinstance(image, Image) else Image(str(image)),),
        slots={"question": text(row, ("question",), place)},
        strata=present(
            answer_type=optional(row, "answer_type", place).lower() or answer_type(answer),
            question_type=question_type(optional(row, "question_type", place)),
            organ=optional(row, "image_organ", place).upper(),
            phrase_type=optional(row, "phrase_type", place).lower().removeprefix("test_"),
        ),
    )


def question_type(types: str) -> str:
    """The known types in a fixed order, joined by a comma; a misspelt one is the known one most like it."""
    said = [part.strip().upper() for part in types.split(",") if part.strip()]
    known = {(get_close_matches(part, _TYPES, 1, 0.75) or [part])[0] for part in said}
    return ", ".join(sorted(known, key=lambda t: (_TYPES.index(t) if t in _TYPES else len(_TYPES), t)))
