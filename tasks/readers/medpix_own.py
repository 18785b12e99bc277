"""MedpixQA and MedpixCap in our own layout: RadVLBench released neither, and no layout of theirs is known.

``medpixqa.csv``: ``question_id, image, question, option_a .. option_e, answer`` (a letter), ``explanation, organ, split``;
``medpixcap.csv``: ``image, caption, organ, modality, plane, split``. Pictures are relative to the folder, or to its
``images/``. The splits are train, val and test. Specification B.9.3, subgroups A.2.3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from radbench.tasks.readers.files import below, column, csv_rows, hash_files, require, unwrapped

from radbench.errors import DataError, shown
from radbench.records import Access, Image, Labels, Sample, Text

SPLITS = ("train", "val", "test")
ACCESS: Access = "on-request"
LETTERS = "ABCDE"
_AXES = ("organ", "modality", "plane")


def words_bin(text: str) -> str:
    """The subgroup of a text by its length in words; bounds are ours, the paper plots none in print."""
    words = len(text.split())
    return next((name for name, most in (("1-10", 10), ("11-20", 20), ("21-40", 40)) if words <= most), "over 40")


class Questions:
    """Exam questions with two to five options. Cluster: the image, else (a question without one) the question.

    Targets ``answer`` (the right option's text) and ``letter``; choices are the options' texts; slots ``question`` and
    ``options``, one a line ("A. ..."). Letters are closed up where an option is left blank. Strata organ, modality, plane
    where the table has them, question_words. Raises
    :class:`radbench.errors.DataError` where options are fewer than two or alike, or the answer is no letter of one.
    """

    def __init__(self, root: Path) -> None:
        self._root = unwrapped(root, "medpixqa.csv")
        self._table = require(self._root / "medpixqa.csv", "the table of MedpixQA in radbench's own layout")

    def samples(self, split: str) -> Iterator[Sample]:
        for line, row in _rows(self._table, split):
            options = self._options(row, line)
            said = str(column(row, "answer", self._table, line)).strip()
            there = list(options)
            if said.rstrip(".)").upper() not in options:
                raise self._fault(line, f"answer is {shown(said, ACCESS)}, expected one of {', '.join(there)}")
            answer = there.index(said.rstrip(".)").upper())
            texts = tuple(options.values())
            question = str(column(row, "question", self._table, line)).strip()
            name = str(column(row, "question_id", self._table, line))
            picture = str(column(row, "image", self._table, line)).strip()
            yield Sample(
                id=name,
                cluster=picture or name,
                targets={"answer": Labels((texts[answer],)), "letter": Labels((LETTERS[answer],))},
                images=(_image(self._root, picture),) if picture else (),
                slots={"question": question, "options": "\n".join(f"{LETTERS[i]}. {t}" for i, t in enumerate(texts))},
                choices=texts,
                strata={**_strata(row), "question_words": words_bin(question)},
            )

    def _options(self, row: dict[str, str], line: int) -> dict[str, str]:
        texts = {letter: row.get(f"option_{letter.lower()}", "").strip() for letter in LETTERS}
        options = {letter: text for letter, text in texts.items() if text}
        if len(options) < 2:
            raise self._fault(line, f"{len(options)} options, expected two or more under option_a to option_e")
        if len({text.casefold() for text in options.values()}) < len(options):
            raise self._fault(line, "two options are alike")
        return options

    def _fault(self, line: int, what: str) -> DataError:
        return DataError(f"{self._table}, line {line}: {what}")

    def fingerprint(self) -> str:
        return hash_files([self._table])


class Captions:
    """Captions of single pictures. Cluster: the image. Target ``answer``; strata organ, modality, plane, caption_words.

    Slots ``modality`` and ``plane`` are empty where the table does not tell: RadFound writes both before the picture, whose
    view is the plane.
    Raises :class:`radbench.errors.DataError` where a caption is empty.
    """

    def __init__(self, root: Path) -> None:
        self._root = unwrapped(root, "medpixcap.csv")
        self._table = require(self._root / "medpixcap.csv", "the table of MedpixCap in radbench's own layout")

    def samples(self, split: str) -> Iterator[Sample]:
        seen: Counter[str] = Counter()
        for line, row in _rows(self._table, split):
            picture = str(column(row, "image", self._table, line)).strip()
            caption = str(column(row, "caption", self._table, line)).strip()
            if not picture or not caption:
                raise DataError(f"{self._table}, line {line}: image or caption is empty")
            seen[picture] += 1
            modality, plane = (row.get(axis, "").strip() for axis in ("modality", "plane"))
            yield Sample(
                id=picture if seen[picture] == 1 else f"{picture}-{seen[picture]}",
                cluster=picture,
                targets={"answer": Text((caption,))},
                images=(_image(self._root, picture)._replace(view=plane or None),),
                slots={"modality": modality, "plane": plane},
                strata={**_strata(row), "caption_words": words_bin(caption)},
            )

    def fingerprint(self) -> str:
        return hash_files([self._table])


def _rows(table: Path, split: str) -> Iterator[tuple[int, dict[str, str]]]:
    if split not in SPLITS:
        raise DataError(f"{table.name} has no split '{split}' but {', '.join(SPLITS)}")
    for line, row in csv_rows(table):
        named = str(column(row, "split", table, line)).strip()
        if named not in SPLITS:
            raise DataError(f"{table}, line {line}: split is {shown(named, ACCESS)}, expected {', '.join(SPLITS)}")
        if named == split:
            yield line, row


def _image(root: Path, name: str) -> Image:
    beside = below(root / "images", name)
    return Image(str(beside if beside.is_file() else below(root, name)))


def _strata(row: dict[str, str]) -> dict[str, str]:
    return {axis: row[axis].strip() for axis in _AXES if row.get(axis, "").strip()}
