"""MedPix in RadFM's tables: MPx-Single, MPx-Multi and the question bank (on request; no official bulk release).

``MedPix_single_{train,test}.csv`` (``name, type, context``; closed questions in ``MedPix_single_test_close.csv``),
``MedPix_multi_{train,test}.csv`` (also spelt ``MedPix_muli_*``; several names joined by commas, and ``history``),
``MedPix_questions_{train,test}.csv`` (``name, question, answer, explanation``); pictures in ``images/``. Rules:
chaoyi-wu/RadFM src/Dataset/dataset/MedPix_dataset.py. Specification B.9.1. The splits are train and test. Rows without a
reference are left out and counted in the log. RadFM keeps ten pictures of a case at random, here the first ten stay.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

from radbench.tasks.readers.files import below, column, csv_rows, hash_files, require, unwrapped

from radbench.errors import ConfigError, DataError, nearest
from radbench.records import Image, Sample, Text

log = logging.getLogger("radbench")

SPLITS = ("train", "test")
SINGLE_KINDS = ("modality", "plane", "caption")
MULTI_KINDS = ("txFollowup", "ddx", "dxHow", "diagnosis", "findings", "exam", "discussion")
MOST_IMAGES = 10
_SIZE = re.compile(r"\d+(?:\.\d+)?\s*(?:mm|cm|x\d+\s*cm)")
_BULLET = "\u2022 "
_CASE = re.compile(r"(MPX\d+)_")


class Single:
    """One sample a row: a picture's modality, plane or caption as text, open vocabularies read from the file.

    ``kinds`` are the types wanted, by default captions alone (MPx-Single as report generation): other types need other
    prompts. ``closed`` reads the test split from ``MedPix_single_test_close.csv``. Cluster: the case where the file is named
    after one (``MPX1000_...``), else the image. Target ``answer``; slot and stratum ``type``.
    """

    def __init__(self, root: Path, *, kinds: Sequence[str] = ("caption",), closed: bool = False) -> None:
        self._root, self._kinds, self._closed = _base(root), _known(kinds, SINGLE_KINDS), closed

    def samples(self, split: str) -> Iterator[Sample]:
        empty = 0
        table = self._table(split)
        for number, (line, row) in enumerate(csv_rows(table), 1):
            kind = column(row, "type", table, line)
            name = column(row, "name", table, line).strip()
            answer = column(row, "context", table, line).strip()
            if kind not in self._kinds:
                continue
            if not answer:
                empty += 1
                continue
            yield Sample(
                id=f"{split}-{number}",
                cluster=_case(name),
                targets={"answer": Text((answer,))},
                images=(Image(str(below(self._root / "images", name))),),
                slots={"type": kind},
                strata={"type": kind},
            )
        _tell(table, empty)

    def _table(self, split: str) -> Path:
        close = "_close" if self._closed and split == "test" else ""
        return _table(self._root, ("MedPix_single",), split, close)

    def fingerprint(self) -> str:
        return _fingerprint(_existing(self._table), (self._kinds, self._closed))


class Multi:
    """One sample a row: text on a case with several pictures. Bullets are removed, from findings also sizes in mm and cm.

    ``kinds`` are the types wanted, by default the findings (MPx-Multi as report generation). ``history``: the patient's
    history stands in the slot ``context`` (with a blank behind it) of a seeded half of the samples, as RadFM does
    (``half``), ``always`` or ``never``; else the slot is empty. Cluster: the case where files are named after one, else the
    pictures. Target ``answer``; slot and stratum ``type``; stratum ``history``.
    """

    def __init__(
        self,
        root: Path,
        *,
        kinds: Sequence[str] = ("findings",),
        history: Literal["half", "always", "never"] = "half",
        seed: int = 0,
    ) -> None:
        if history not in ("half", "always", "never"):
            raise ConfigError(f"MPx-Multi: history is '{history}', expected half, always or never")
        self._root, self._kinds, self._history, self._seed = _base(root), _known(kinds, MULTI_KINDS), history, seed

    def samples(self, split: str) -> Iterator[Sample]:
        empty = 0
        table = self._table(split)
        for number, (line, row) in enumerate(csv_rows(table), 1):
            kind = column(row, "type", table, line)
            names = column(row, "name", table, line)
            answer = _reference(column(row, "context", table, line), kind)
            history = column(row, "history", table, line).strip()
            if kind not in self._kinds:
                continue
            if not answer:
                empty += 1
                continue
            shown = history if self._shows(f"{split}-{number}") else ""
            yield Sample(
                id=f"{split}-{number}",
                cluster=_case(names),
                targets={"answer": Text((answer,))},
                images=_images(self._root, names),
                slots={"type": kind, "context": f"{shown} " if shown else ""},
                strata={"type": kind, "history": "given" if shown else "not given"},
            )
        _tell(table, empty)

    def _shows(self, name: str) -> bool:
        if self._history == "half":
            return random.Random(f"{self._seed}|{name}").random() < 0.5
        return self._history == "always"

    def _table(self, split: str) -> Path:
        return _table(self._root, ("MedPix_multi", "MedPix_muli"), split)

    def fingerprint(self) -> str:
        options = (self._kinds, self._history, self._seed)
        return _fingerprint(_existing(self._table), options)


class Questions:
    """The question bank: the reference is the answer, a full stop, a blank and the explanation.

    Targets ``answer`` (so joined) and ``short`` (the answer alone). Slot ``question``. Cluster: the case where the file is
    named after one, else the image.
    """

    def __init__(self, root: Path) -> None:
        self._root = _base(root)

    def samples(self, split: str) -> Iterator[Sample]:
        empty = 0
        table = self._table(split)
        for number, (line, row) in enumerate(csv_rows(table), 1):
            names, question, answer, why = (
                column(row, c, table, line).strip() for c in ("name", "question", "answer", "explanation")
            )
            if not question or not answer:
                empty += 1
                continue
            yield Sample(
                id=f"{split}-{number}",
                cluster=_case(names) if names else None,
                targets={"answer": Text((f"{answer}. {why}" if why else answer,)), "short": Text((answer,))},
                images=_images(self._root, names),
                slots={"question": question},
            )
        _tell(table, empty)

    def _table(self, split: str) -> Path:
        return _table(self._root, ("MedPix_questions",), split)

    def fingerprint(self) -> str:
        return _fingerprint(_existing(self._table), ())


def _base(root: Path) -> Path:
    return unwrapped(root, "MedPix_*.csv")


def _known(kinds: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    for kind in kinds:
        if kind not in known:
            raise ConfigError(f"MedPix has no type '{kind}': {nearest(kind, known)}")
    return tuple(kinds)


def _table(root: Path, spellings: Sequence[str], split: str, suffix: str = "") -> Path:
    if split not in SPLITS:
        raise DataError(f"MedPix as RadFM tabulates it has no split '{split}' but {', '.join(SPLITS)}")
    names = [f"{spelling}_{split}{suffix}.csv" for spelling in spellings]
    found = next((root / name for name in names if (root / name).is_file()), None)
    return found or require(root / names[0], f"RadFM's table {' or '.join(names)}")


def _existing(table: Callable[[str], Path]) -> list[Path]:
    found = []
    for split in SPLITS:
        try:
            found.append(table(split))
        except DataError:
            continue
    return found


def _reference(text: str, kind: str) -> str:
    text = text.replace(_BULLET, "")
    return (_SIZE.sub("", text) if kind == "findings" else text).strip()


def _case(names: str) -> str:
    """What the pictures of one case share: its number in their names, else all the names."""
    case = _CASE.match(names.strip())
    return case[1] if case else names.strip()


def _images(root: Path, names: str) -> tuple[Image, ...]:
    listed = [name.strip() for name in names.split(",") if name.strip()]
    return tuple(Image(str(below(root / "images", name))) for name in listed[:MOST_IMAGES])


def _tell(table: Path, empty: int) -> None:
    if empty:
        log.info("%s: %d rows without a reference are left out", table, empty)


def _fingerprint(tables: Sequence[Path], options: tuple[object, ...]) -> str:
    return sha256(f"{hash_files(tables)} {options!r}".encode()).hexdigest()[:16]
