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
from dataclasses import dataclass
from pathlib import Path

from radbench.tasks.readers.files import csv_rows, hash_files, require
from radbench.tasks.readers.vqa_rows import answered, nested, no_split, with_options

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

    def __init__(self, root: Path, *, images: Path | None = None, version: int | str = 1, clean: bool = False) -> None:
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
        # With one folder nothing is looked up: a missing picture is found out when it is loaded.
        only = str(folders[0]) if len(folders) == 1 else None
        columns: _Columns | None = None
        stem = path.stem
        for number, (line, row) in enumerate(csv_rows(path), 1):
            if columns is None:
                columns = _Columns.of(row, f"{path}, line {line}")
            figure = row[columns.figure].strip()
            folder = only or next((str(f) for f in folders if (f / figure).is_file()), str(folders[0]))
            yield columns.sample(f"{stem}-{number}", f"{folder}/{figure}", figure, row, path, line)

    def _picture_folders(self, base: Path) -> list[Path]:
        if self._images is not None:
            return [self._images]
        names = _FOLDERS[self._version]
        tried = [base / name / inner for name in names for inner in (*names, "")]
        return [folder for folder in tried if folder.is_dir()] or [base / names[0]]

    def fingerprint(self) -> str:
        tables = [path for name in self._names.values() if (path := nested(self._root, (name,), 1))]
        return with_options(hash_files(tables), self._version)


@dataclass(frozen=True, slots=True)
class _Columns:
    """What the columns of one table are called. ``label`` is None in version 2, where ``answer`` is the letter."""

    figure: str
    question: str
    answer: str
    label: str | None
    choices: tuple[tuple[str, str], ...]  # letter, column

    @classmethod
    def of(cls, row: Mapping[str, str], place: str) -> _Columns:
        """From a first row. Raises :class:`DataError` where a column is missing."""
        there = {name.strip(): name for name in row}

        def name(*spellings: str) -> str:
            found = next((there[s] for s in spellings if s in there), None)
            if found is None:
                raise DataError(f"{place}: no '{spellings[0]}'", found=f"it has {', '.join(there)}")
            return found

        return cls(
            name("Figure_path"),
            name("Question"),
            name("Answer", "Anwser"),
            next((there[s] for s in _LABEL if s in there), None),
            tuple((letter, name(f"Choice {letter}")) for letter in _LETTERS),
        )

    def sample(self, name: str, picture: str, figure: str, row: Mapping[str, str], path: Path, line: int) -> Sample:
        """A row as a sample. Raises :class:`DataError` where the right option is no letter of one."""
        choices = tuple([choice_text(row[column], letter) for letter, column in self.choices])
        said = row[self.answer].strip()
        letter = (said if self.label is None else row[self.label].strip()).rstrip(".:").upper()
        if letter not in _LETTERS:
            raise DataError(f"{path}, line {line}: the right option is {shown(letter)}, expected A, B, C or D")
        chosen = choices[_LETTERS.index(letter)]
        answer = choice_text(said, letter) if said and self.label is not None else chosen
        paper = _PAPER.match(figure.rpartition("/")[2])
        a, b, c, d = choices
        return Sample(
            name,
            paper.group().upper() if paper else figure,
            {"answer": Text((answer,)), "choice": Labels((chosen,)), "letter": Labels((letter,))},
            (Image(picture),),
            {"question": row[self.question].strip(), "options": f"A: {a}\nB: {b}\nC: {c}\nD: {d}"},
            choices,
            {"answer": letter},
        )


def choice_text(cell: str, letter: str) -> str:
    """The text of a choice cell without its leading ``A:``."""
    cell = cell.strip()
    if not cell.startswith(letter):
        return cell
    rest = cell[1:].lstrip()
    return rest[1:].lstrip() if rest.startswith(":") else cell
