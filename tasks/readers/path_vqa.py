"""PathVQA (MIT on the hub copy; SUITES_AND_FORMATS B.3; He et al., arXiv 2003.10286). Pathology, asked by MedDr.

Forms::

    data/{train,validation,test}-*.parquet                    the hub copy flaviagiammarino/path-vqa (duplicates removed)
    pvqa/images/{train,val,test}/<img_id>.jpg                 the original tree, its questions converted to JSON or JSON
    pvqa/qas/[<split>/]<split>_{qa,vqa}.{json,jsonl}          lines: image, question, answer, or the keys of *_vqa.pkl

The original questions are Python pickles. Reading a pickle runs code that it holds, so they are never opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from radbench.tasks.readers import arrow
from radbench.tasks.readers.files import below, hash_files, json_lines, require
from radbench.tasks.readers.json_stream import json_list
from radbench.tasks.readers.vqa_rows import (
    Places,
    answer_type,
    answered,
    hub_rows,
    nested,
    no_split,
    optional,
    present,
    text,
    unique,
)

from radbench.errors import DataError, shown
from radbench.records import Image, Sample, Text

_SPLITS = ("train", "val", "test")
_SUFFIXES = (".jpg", ".jpeg", ".png")
_FIRST_WORDS = frozenset(
    "what where when who whose which why how is are was were does do did has have had can could".split()
)


class PathVqa:
    """Splits train, val and test. Cluster: the picture (in the hub copy, which names none, by its bytes).

    Strata: answer_type (closed: the answer is yes or no), question_type (the first word, ``other`` for rare ones). Rows
    without question or answer are left out: ``removed``.
    """

    def __init__(self, root: Path, *, images: Path | None = None) -> None:
        self.removed: set[str] = set()
        self._root, self._images = root, images
        found = {split: nested(root, _names(split), depth=1) for split in _SPLITS}
        self._tables = {split: path for split, path in found.items() if path is not None}
        if not self._tables and not arrow.is_arrow_folder(root):
            _refuse_pickles(root)
            require(root / "data", "the parquet copy of PathVQA: data/test-*.parquet")

    def samples(self, split: str) -> Iterator[Sample]:
        there = tuple(self._tables or arrow.splits(self._root))
        if split not in there:
            _refuse_pickles(self._root, f"{split}_")
            raise no_split(self._root, split, there)
        yield from answered(self._from_table(split) if self._tables else self._from_hub(split), self.removed)

    def _from_table(self, split: str) -> Iterator[Sample]:
        seen: Counter[str] = Counter()
        folder = self._images or nested(self._root, ("images", "pvqa/images"), depth=1) or self._root
        folder = folder / split if (folder / split).is_dir() else folder
        for number, (place, row) in enumerate(_rows(self._tables[split]), 1):
            picture = text(row, ("image", "img_id", "image_name"), place)
            file = picture if picture.lower().endswith(_SUFFIXES) else f"{picture}.jpg"
            name = unique(optional(row, "question_id", place) or f"{split}-{number}", seen)
            yield _sample(name, picture, Image(str(below(folder, file))), row, place)

    def _from_hub(self, split: str) -> Iterator[Sample]:
        for number, (place, image, digest, row) in enumerate(hub_rows(self._root, split), 1):
            yield _sample(f"{split}-{number}", digest, image, row, place)

    def fingerprint(self) -> str:
        return hash_files(self._tables.values()) if self._tables else arrow.fingerprint(self._root)


def _names(split: str) -> list[str]:
    folders = ("", "qas/", f"qas/{split}/", f"pvqa/qas/{split}/")
    return [
        f"{folder}{split}_{form}" for folder in folders for form in ("qa.json", "qa.jsonl", "vqa.json", "vqa.jsonl")
    ]


def _refuse_pickles(root: Path, start: str = "") -> None:
    """Raise :class:`DataError` where questions lie as pickles alone."""
    for path in islice(sorted(root.rglob(f"{start}*qa.pkl")), 1):
        raise DataError(
            f"{path}: the questions are a Python pickle, which can run code when it is opened, so it is not",
            remedy="use the parquet copy flaviagiammarino/path-vqa, or convert the list to JSON elsewhere",
        )


def _rows(path: Path) -> Places:
    lines = path.suffix == ".jsonl"
    for position, row in json_lines(path) if lines else json_list(path):
        yield f"{path}, {'line' if lines else 'item'} {position}", row


def _sample(name: str, cluster: str, image: Image, row: Mapping[str, Any], place: str) -> Sample:
    question, answers = text(row, ("question", "sent"), place), _answers(row, place)
    first_word = question.split(maxsplit=1)[0].lower().strip("?,.'\"") if question else ""
    return Sample(
        id=name,
        cluster=cluster,
        targets={"answer": Text(answers)},
        images=(image,),
        slots={"question": question},
        strata=present(
            answer_type=answer_type(answers[0]),
            question_type=first_word if first_word in _FIRST_WORDS else "other",
        ),
    )


def _answers(row: Mapping[str, Any], place: str) -> tuple[str, ...]:
    """``answer``, or the keys of ``label``, e.g. ``{"yes": 1}``."""
    if "answer" in row or "label" not in row:
        return (text(row, ("answer",), place),)
    label = row["label"]
    if not isinstance(label, dict):
        raise DataError(f"{place}: label is {shown(label)}, expected an object whose keys are the answers")
    return tuple(str(key).strip() for key in label) or ("",)
