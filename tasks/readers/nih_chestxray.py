"""NIH ChestX-ray14 (open): 112,120 chest radiographs, 14 findings by picture, boxes for 880 pictures.

``images_001/images/*.png`` to ``images_012``, or all in ``images/``; ``Data_Entry_2017*.csv``, ``BBox_List_2017.csv`` (both
also ``.gz``), ``train_val_list.txt``, ``test_list.txt``. The headers of both tables hold commas inside names: they are read
by position. Boxes are x, y, width, height in the 1024 x 1024 picture. Source: Wang et al., CVPR 2017.
"""

from __future__ import annotations

import csv
import gzip
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from radbench.tasks.readers.box_text import clipped
from radbench.tasks.readers.chest_names import NIH_14, NIH_BOXED_4, patient_context
from radbench.tasks.readers.files import hash_files, opened, require

from radbench.errors import ConfigError, DataError, shown
from radbench.records import Box, Boxes, Image, Labels, Sample

_BOXED = (*NIH_BOXED_4, "Infiltrate", "Mass", "Nodule", "Pneumonia")
_LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}
_AGE = re.compile(r"0*(\d+)([YMD]?)")


class NihBoxes:
    """Hand-drawn boxes, one sample a picture that has any of ``labels``. Split: test. Cluster: the patient.

    ``labels``: the four that MedInterp evaluates unless given, of the eight there are (``Infiltrate``, not Infiltration);
    ``names`` renames them. ``size`` is the side of the pictures at hand, where they were resized.
    """

    def __init__(
        self,
        root: Path,
        *,
        labels: Sequence[str] = NIH_BOXED_4,
        names: Mapping[str, str] | None = None,
        size: int = 1024,
    ) -> None:
        if unknown := [label for label in (*labels, *(names or ())) if label not in _BOXED]:
            raise ConfigError(f"there are no boxes of '{unknown[0]}' but of {', '.join(_BOXED)}")
        plain = root / "BBox_List_2017.csv"
        packed = root / "BBox_List_2017.csv.gz"
        self._table = packed if packed.exists() and not plain.exists() else require(plain, "the box list")
        self._names = {label: (names or {}).get(label, label) for label in labels}
        self._size, self._pictures = size, _Pictures(root)

    def samples(self, split: str) -> Iterator[Sample]:
        if split != "test":
            raise DataError(f"NIH boxes have no split '{split}' but test: every picture with a box is in the test list")
        choices = tuple(dict.fromkeys(self._names.values()))
        for name, boxes in self._by_picture().items():
            yield Sample(
                id=Path(name).stem,
                cluster=_patient(name),
                targets={"boxes": Boxes(tuple(boxes), (float(self._size), float(self._size)))},
                images=(Image(self._pictures.path(name)),),
                slots={"target": ", ".join(choices)},
                choices=choices,
                strata={"n_boxes": str(len(boxes))},
            )

    def _by_picture(self) -> dict[str, list[Box]]:
        found: dict[str, list[Box]] = {}
        scale = self._size / 1024
        for line, row in _positions(self._table, 6):
            name, label, *numbers = row
            if label not in _BOXED:
                raise DataError(f"{self._table}, line {line}: label {shown(label)}, expected {', '.join(_BOXED)}")
            try:
                x, y, width, height = (float(number) * scale for number in numbers)
            except ValueError:
                raise DataError(f"{self._table}, line {line}: box {shown(numbers)}, expected four numbers") from None
            box = Box(self._names.get(label, label), x, y, x + width, y + height)
            inside = clipped(box, self._size, self._size)
            if inside is None:
                raise DataError(f"{self._table}, line {line}: box {shown(numbers)} has no area in 1024 x 1024")
            if label in self._names:
                found.setdefault(name, []).append(inside)
        return found

    def fingerprint(self) -> str:
        return sha256(f"{hash_files([self._table])} {self._names!r} {self._size}".encode()).hexdigest()[:16]


class NihLabels:
    """The 14 findings a picture. Splits: train (the official train and validation list) and test. Cluster: the patient.

    ``No Finding`` is the empty set.
    """

    def __init__(self, root: Path) -> None:
        found = [p for p in root.glob("Data_Entry_2017*.csv*") if p.name.endswith((".csv", ".csv.gz"))]
        self._table = max(found, key=lambda p: p.name.removesuffix(".gz"), default=root / "Data_Entry_2017.csv")
        require(self._table, "the NIH ChestX-ray14 labels")
        self._root, self._pictures = root, _Pictures(root)

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in _LISTS:
            raise DataError(f"NIH ChestX-ray14 has no split '{split}' but {', '.join(_LISTS)}")
        path = require(self._root / _LISTS[split], "the official list")
        listed = frozenset(path.read_text(encoding="utf-8-sig").split())
        for line, row in _positions(self._table, 7):
            if row[0] in listed:
                yield self._sample(row, line)

    def _sample(self, row: list[str], line: int) -> Sample:
        name, joined, _, patient, age, gender, view = row
        labels = [label for label in joined.split("|") if label != "No Finding"]
        if unknown := [label for label in labels if label not in NIH_14]:
            raise DataError(f"{self._table}, line {line}: label {shown(unknown[0])}, expected {', '.join(NIH_14)}")
        age = self._age(age, line)
        return Sample(
            id=Path(name).stem,
            cluster=_patient(name) or patient,
            targets={"answer": Labels(tuple(label for label in NIH_14 if label in labels))},
            images=(Image(self._pictures.path(name), view=view or None),),
            slots={"age": age, "gender": gender, "context": patient_context(age, gender)},
            choices=NIH_14,
            strata={"view": view or "unknown", "gender": gender or "unknown"},
        )

    def _age(self, text: str, line: int) -> str:
        """``58`` for ``58`` and ``058Y``; ``13 months``, ``5 days`` for ``013M``, ``005D``."""
        match = _AGE.fullmatch(text.strip())
        if match is None:
            raise DataError(f"{self._table}, line {line}: age {shown(text)}, expected a number, or such as 058Y")
        return match[1] + {"M": " months", "D": " days"}.get(match[2], "")

    def fingerprint(self) -> str:
        return hash_files([self._table, *(p for n in _LISTS.values() if (p := self._root / n).exists())])


class _Pictures:
    """Which of the folders a picture lies in."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def _folders(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for folder in sorted(self._root.glob("images_*/images")):
            found.update(dict.fromkeys(os.listdir(folder), str(folder)))
        return found

    def path(self, name: str) -> str:
        return f"{self._folders.get(name, self._root / 'images')}/{name}"


def _patient(name: str) -> str:
    return name.partition("_")[0]


def _positions(path: Path, count: int) -> Iterator[tuple[int, list[str]]]:
    """``(line, the first so many fields)`` behind the header; what follows them must be empty."""
    with opened(path) as f:
        reader = csv.reader(f, strict=True)
        try:
            next(reader, None)
            for row in reader:
                if not row:
                    continue
                if len(row) < count or (count == 6 and any(row[6:])):
                    raise DataError(f"{path}, line {reader.line_num}: {len(row)} fields, expected {count}")
                yield reader.line_num, row[:count]
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}") from None
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not UTF-8 (byte {error.start})", remedy="save it as UTF-8") from None
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise DataError(f"{path}: damaged gzip ({error})", remedy="download the file again") from None
