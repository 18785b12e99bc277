"""MIMIC-CXR-VQA, the picture questions of EHRXQA (PhysioNet mimic-ext-mimic-cxr-vqa 1.0.0, credentialed).

``dataset/{train,valid,test}.json``, lists of questions with the answers that the dataset's own builder adds, and
``ans2idx.json`` with the answer vocabulary. Pictures lie in MIMIC-CXR-JPG. Layout: baeseongsu/mimic-cxr-vqa.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from radbench.tasks.readers.files import column, hash_files, require
from radbench.tasks.readers.json_stream import json_document, json_list
from radbench.tasks.readers.mimic_paths import ACCESS, bare, listed_path, picture_path

from radbench.errors import DataError, shown
from radbench.records import Image, Labels, Sample, Text

_FILES = {"train": "train.json", "val": "valid.json", "test": "test.json"}


class MimicCxrVqa:
    """Splits train, val, test; cluster: the patient.

    An answer is a set of names. ``answer`` holds it as labels, for set accuracy and set F1: the dataset states no score,
    and RadFound does not say how it computed accuracy and F1. ``text`` holds the names joined by commas, ``none`` for
    the empty set. ``closed`` gives every sample the vocabulary of ``ans2idx.json`` as its choices.
    """

    def __init__(self, root: Path, *, images: Path, closed: bool = False) -> None:
        self._folder = root / "dataset" if (root / "dataset").is_dir() else root
        self._root, self._images, self._closed = root, images, closed

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in _FILES:
            raise DataError(f"MIMIC-CXR-VQA has no split '{split}' but {', '.join(_FILES)}")
        path = require(self._folder / _FILES[split], f"the MIMIC-CXR-VQA list dataset/{_FILES[split]}")
        choices = self._vocabulary if self._closed else ()
        for position, row in json_list(path):
            yield self._sample(row, path, position, split, choices)

    def _sample(self, row: dict[str, Any], path: Path, position: int, split: str, choices: tuple[str, ...]) -> Sample:
        idx, question, content, semantic = (
            column(row, c, path, position) for c in ("idx", "question", "content_type", "semantic_type")
        )
        subject, study = (bare(str(column(row, c, path, position))) for c in ("subject_id", "study_id"))
        picture = (
            listed_path(self._images, str(row["image_path"]))
            if row.get("image_path")
            else picture_path(self._images, subject, study, str(column(row, "image_id", path, position)))
        )
        names = _names(row, path, position)
        return Sample(
            id=f"{split}-{idx}",
            cluster=subject,
            targets={"answer": Labels(names), "text": Text((", ".join(names) or "none",))},
            images=(Image(picture, study=study),),
            slots={"question": str(question).strip(), "modality": "Chest X-Ray"},
            choices=choices,
            strata={"content_type": str(content), "semantic_type": str(semantic)},
        )

    @cached_property
    def _vocabulary(self) -> tuple[str, ...]:
        path = self._vocabulary_file
        known = json_document(path)
        if not isinstance(known, dict) or not known:
            raise DataError(f"{path}: expected an object of answers, found {type(known).__name__}")
        return tuple(sorted(known))

    @property
    def _vocabulary_file(self) -> Path:
        beside = self._root / "ans2idx.json"
        return beside if beside.exists() else require(self._folder / "ans2idx.json", "the answer vocabulary")

    def fingerprint(self) -> str:
        tables = [p for name in _FILES.values() if (p := self._folder / name).exists()]
        return hash_files([*tables, *([self._vocabulary_file] if self._closed else [])])


def _names(row: dict[str, Any], path: Path, position: int) -> tuple[str, ...]:
    """The sorted names of an answer: a list, or one text with commas, as the dataset's description has it."""
    if "answer" not in row:
        raise DataError(
            f"{path}, item {position}: no answer, as in the public copy of the questions",
            remedy="run the dataset's own builder with MIMIC-CXR-JPG, Chest ImaGenome and MIMIC-IV, then point here",
        )
    answer = row["answer"]
    names = answer.split(",") if isinstance(answer, str) else answer
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}, item {position}: answer {shown(answer, ACCESS)}, expected a list of names or a text")
    return tuple(sorted({name.strip().lower() for name in names} - {""}))
