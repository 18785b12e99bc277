"""PMC-VQA (hub xmcmic/PMC-VQA, mirror RadGenome/PMC-VQA; SUITES_AND_FORMATS B.4; Zhang et al., arXiv 2305.10415).

::

    train.csv  test.csv  test_clean.csv   images/ or figures/                    version 1
    train_2.csv  test_2.csv               images_2/, images/ or figures/         version 2

Columns of version 1: ``Figure_path, Question, Answer, Choice A, ..., Choice D, Answer_label`` (an early revision spells
``Anwser``); of version 2: ``index, Figure_path, Caption, Question, Choice A, ..., Choice D, Answer, split``, where
``Answer`` is the letter. Their order varies. Choices look like ``" A:Chest X-ray"``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from radbench.tasks.readers.files import csv_rows, hash_files, require
from radbench.tasks.readers.vqa_rows import answered, nested, no_split, present, text, with_options

from radbench.errors import ConfigError, DataError, shown
from radbench.records import Image, Labels, Sample, Text

_LETTERS = ("A", "B", "C", "D")
_TABLES = {
    ("1", False): {"train": "train.csv", "test": "test.csv"},
    ("1", True): {"train": "train.csv", "test": "test_clean.csv"},
    ("2", False): {"train": "train_2.csv", "test": "test_2.csv"},
}
_FOLDERS = {"1": ("images", "figures"), "2": ("images_2", "figures_2", "images", "figures")}
_LABEL = ("Answer_label", "Anwser_label")
_PAPER = re.compile(r"PMC\d+", re.I)


class PmcVqa:
    """Splits train and test; with ``clean`` test is the manually checked ``test_clean.csv`` (version 1 alone has it).

    Targets: ``answer`` (the text), ``choice`` (one of the four texts, which are the sample's choices) and ``letter``
    (A to D). Slots: question, options (four lines ``A: ...``). Cluster: the paper, the PMC number in the file name. Strata:
    answer (the letter), which shows a preference for a position. Rows without question or answer are left out: ``removed``.
    """

    def __init__(self, root: Path, *, images: Path | None = None, version: str = "1", clean: bool = False) -> None:
        version = str(version)
        if (version, clean) not in _TABLES:
            raise ConfigError(
                f"PMC-VQA has no version '{version}'{' with a clean test set' if clean else ''}",
                remedy="version 1 (clean or not) or 2",
            )
        self.removed: set[str] = set()
        self._root, self._images, self._version, self._names = root, images, version, _TABLES[version, clean]

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in self._names:
            raise no_split("PMC-VQA", split, tuple(self._names))
        yield from answered(self._rows(self._table(split)), self.removed)

    def _table(self, split: str) -> Path:
        name = self._names[split]
        return nested(self._root, (name,), 1) or require(
            self._root / name, f"a table of PMC-VQA version {self._version}"
        )

    def _rows(self, path: Path) -> Iterator[Sample]:
        folders = self._picture_folders(path.parent)
        for number, (line, row) in enumerate(csv_rows(path), 1):
            place = f"{path}, line {line}"
            row = {name.strip(): value for name, value in row.items()}
            figure = text(row, ("Figure_path",), place)
            # With one folder nothing is looked up: a missing picture is found out when it is loaded.
            folder = (
                next((f for f in folders if (f / figure).is_file()), folders[0]) if len(folders) > 1 else folders[0]
            )
            yield _sample(f"{path.stem}-{number}", Image(str(folder / figure)), figure, row, place)

    def _picture_folders(self, base: Path) -> list[Path]:
        if self._images is not None:
            return [self._images]
        names = _FOLDERS[self._version]
        tried = [base / name / inner for name in names for inner in (*names, "")]
        return [folder for folder in tried if folder.is_dir()] or [base / names[0]]

    def fingerprint(self) -> str:
        tables = [path for name in self._names.values() if (path := nested(self._root, (name,), 1))]
        return with_options(hash_files(tables), self._version)


def _sample(name: str, image: Image, figure: str, row: Mapping[str, Any], place: str) -> Sample:
    choices = tuple(choice_text(text(row, (f"Choice {letter}",), place), letter) for letter in _LETTERS)
    answer, letter = _answer(row, choices, place)
    paper = _PAPER.match(Path(figure).name)
    return Sample(
        id=name,
        cluster=paper.group().upper() if paper else figure,
        targets={
            "answer": Text((answer,)),
            "choice": Labels((choices[_LETTERS.index(letter)],)),
            "letter": Labels((letter,)),
        },
        images=(image,),
        slots={
            "question": text(row, ("Question",), place),
            "options": "\n".join(f"{letter}: {choice}" for letter, choice in zip(_LETTERS, choices, strict=True)),
        },
        choices=choices,
        strata=present(answer=letter),
    )


def _answer(row: Mapping[str, Any], choices: tuple[str, ...], place: str) -> tuple[str, str]:
    """Text and letter: version 1 has columns for both, in version 2 ``Answer`` is the letter."""
    said = text(row, ("Answer", "Anwser"), place)
    labelled = any(name in row for name in _LABEL)
    letter = (text(row, _LABEL, place) if labelled else said).rstrip(".:").upper()
    if letter not in _LETTERS:
        raise DataError(f"{place}: the right option is {shown(letter)}, expected A, B, C or D")
    chosen = choices[_LETTERS.index(letter)]
    return (choice_text(said, letter) if labelled and said else chosen), letter


def choice_text(cell: str, letter: str) -> str:
    """The text of a choice cell without its leading ``A:``."""
    return re.sub(rf"^\s*{letter}\s*:\s*", "", cell).strip()
