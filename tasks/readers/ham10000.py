"""HAM10000 and the ISIC 2018 task 3 test images (Harvard Dataverse doi:10.7910/DVN/DBW86T, CC BY-NC 4.0).

``HAM10000_metadata`` (Dataverse; ``.csv`` in the Kaggle copy, ``.tab``): ``lesion_id, image_id, dx, dx_type, age, sex,
localization[, dataset]``, comma or tab. ``ISIC2018_Task3_Test_GroundTruth.csv`` with the same columns (Dataverse) or one-hot
(ISIC site: ``image, MEL, NV, BCC, AKIEC, BKL, DF, VASC``), at the root or in a folder of its own. Pictures
``ISIC_#######.jpg`` and masks ``ISIC_#######_segmentation.png`` are found by name wherever they lie below the root
(``HAM10000_images_part_1/``, ``ISIC2018_Task3_Test_Images/`` or ``_Input/``, ``HAM10000_segmentations_lesion_tschandl/``).
Specification B.22, MedInterp's rules A.3.2.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Literal

from radbench.tasks.readers.files import below, column, csv_rows, hash_files, hash_listing, opened, require, unwrapped
from radbench.tasks.readers.label_names import SKIN_LESIONS

from radbench.errors import ConfigError, DataError, shown
from radbench.records import Image, Labels, Mask, Sample

log = logging.getLogger("radbench")

_TABLES = {"train": "HAM10000_metadata", "test": "ISIC2018_Task3_Test_GroundTruth"}
_SUFFIXES = (".csv", "", ".tab")
_MASK = "_segmentation"


class _Files:
    """The tables and the pictures below a root, listed once."""

    def __init__(self, root: Path) -> None:
        self.root = unwrapped(root, *(f"{name}*" for name in _TABLES.values()))

    def table(self, split: str) -> Path:
        name = _TABLES[split]
        there = (p / f"{name}{s}" for p in (self.root, self.root / name, self.root / f"{name}.csv") for s in _SUFFIXES)
        found = next((p for p in there if p.is_file()), None)
        return found or require(self.root / f"{name}.csv", f"the table {name}, .csv or .tab or without suffix")

    @cached_property
    def pictures(self) -> dict[str, Path]:
        """By stem; of a picture that lies there twice, as in the Kaggle copy, the first."""
        found: dict[str, Path] = {}
        for folder, folders, names in os.walk(self.root, followlinks=True):
            folders.sort()
            for name in sorted(names):
                stem, dot, suffix = name.rpartition(".")
                if dot and name.startswith("ISIC_") and suffix.lower() in ("jpg", "jpeg", "png"):
                    found.setdefault(stem, Path(folder, name))
        return found

    def image(self, name: str) -> Image:
        return Image(str(self.pictures.get(name, below(self.root, f"{name}.jpg"))))


class Classification:
    """One sample a picture; splits train (HAM10000) and test (ISIC 2018 task 3 test).

    Target ``answer``: one of seven long names. Cluster: the lesion; None where the one-hot table does not tell. Slots age,
    sex, localization (empty where not known) and ``context``, the words MedVersa's released code puts before the
    instruction. Strata sex, localization. A picture of the table that is not there is a counted failure (the ISIC site has
    one more than Dataverse).
    """

    def __init__(self, root: Path) -> None:
        self._files = _Files(root)

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in _TABLES:
            raise DataError(f"HAM10000 has no split '{split}' but {', '.join(_TABLES)}")
        table = self._files.table(split)
        for line, row in csv_rows(table, _delimiter(table)):
            yield self._sample(row, table, line)

    def _sample(self, row: dict[str, str], table: Path, line: int) -> Sample:
        one_hot = "image" in row and "image_id" not in row
        name = column(row, "image" if one_hot else "image_id", table, line)
        label = _one_hot(row, table, line) if one_hot else _diagnosis(row, table, line)
        known = {key: row.get(key, "").strip() for key in ("age", "sex", "localization")}
        return Sample(
            id=name,
            cluster=row.get("lesion_id") or None,
            targets={"answer": Labels((SKIN_LESIONS[label],))},
            images=(self._files.image(name),),
            slots={**known, "context": _context(known)},
            strata={axis: known[axis] for axis in ("sex", "localization") if known[axis]},
        )

    def fingerprint(self) -> str:
        tables = []
        for split in _TABLES:
            try:
                tables.append(self._files.table(split))
            except DataError:
                continue
        return hash_files(tables)


class Segmentation:
    """One sample a picture with a mask; splits train and test by a seeded draw, 9 to 1.

    The paper says random 9:1 without a seed, and not whether pictures or lesions were drawn. ``by="lesion"`` (default)
    keeps the pictures of one lesion together, so that none is tested on a lesion seen in training; ``by="image"`` draws
    pictures. Target ``mask``, slot ``target`` ("skin lesion"), cluster the lesion, strata diagnosis, sex, localization.
    Pictures without a mask are left out and counted in the log. Raises :class:`radbench.errors.DataError` where no mask is
    found.
    """

    def __init__(
        self, root: Path, *, seed: int = 0, by: Literal["lesion", "image"] = "lesion", test_share: float = 0.1
    ) -> None:
        if by not in ("lesion", "image"):
            raise ConfigError(f"HAM10000 segmentation: by is '{by}', expected lesion or image")
        if not 0 < test_share < 1:
            raise ConfigError(f"HAM10000 segmentation: test_share is {test_share}, expected a share between 0 and 1")
        self._files, self._seed, self._by, self._share = _Files(root), seed, by, test_share

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in ("train", "test"):
            raise DataError(f"HAM10000 segmentation has no split '{split}' but train and test (drawn with the seed)")
        for name, row in self._rows:
            if (self._unit(name, row) in self._test) != (split == "test"):
                continue
            label, sex, place = SKIN_LESIONS[row["dx"]], row.get("sex", "").strip(), row.get("localization", "").strip()
            strata = {"diagnosis": label, "sex": sex, "localization": place}
            yield Sample(
                id=name,
                cluster=row["lesion_id"],
                targets={"mask": Mask(image=Image(str(self._files.pictures[name + _MASK])))},
                images=(self._files.image(name),),
                slots={"target": "skin lesion"},
                strata={axis: value for axis, value in strata.items() if value},
            )

    def _unit(self, name: str, row: dict[str, str]) -> str:
        return row["lesion_id"] if self._by == "lesion" else name

    @cached_property
    def _rows(self) -> list[tuple[str, dict[str, str]]]:
        """The rows of the metadata whose picture has a mask."""
        table, rows, without = self._files.table("train"), [], 0
        for line, row in csv_rows(table, _delimiter(table)):
            name, _ = column(row, "image_id", table, line), column(row, "lesion_id", table, line)
            row["dx"] = _diagnosis(row, table, line)
            if name + _MASK in self._files.pictures:
                rows.append((name, row))
            else:
                without += 1
        if not rows:
            raise DataError(
                f"{self._files.root}: no mask <image_id>{_MASK}.png of a picture that {table.name} lists",
                remedy="unpack HAM10000_segmentations_lesion_tschandl.zip below this folder",
            )
        if without:
            log.info("%s: %d pictures without a mask are left out", table, without)
        return rows

    @cached_property
    def _test(self) -> frozenset[str]:
        """By a hash of seed and unit, so that a picture more or less moves few others."""
        units = {self._unit(name, row) for name, row in self._rows}
        order = sorted(units, key=lambda unit: sha256(f"{self._seed}|{unit}".encode()).digest())
        return frozenset(order[: max(1, round(len(order) * self._share))])

    def fingerprint(self) -> str:
        masks = [self._files.pictures[name + _MASK] for name, _ in self._rows]
        parts = (hash_files([self._files.table("train")]), hash_listing(self._files.root, masks))
        return sha256(f"{parts} {self._seed} {self._by} {self._share}".encode()).hexdigest()[:16]


def _delimiter(table: Path) -> str:
    """Tab where the header has one: Dataverse serves either form."""
    with opened(table) as file:
        try:
            return "\t" if "\t" in file.readline() else ","
        except UnicodeDecodeError:
            return ","  # csv_rows tells what is wrong


def _diagnosis(row: dict[str, str], table: Path, line: int) -> str:
    label = str(column(row, "dx", table, line)).strip().lower()
    if label not in SKIN_LESIONS:
        raise DataError(f"{table}, line {line}: dx is {shown(label)}, expected one of {', '.join(SKIN_LESIONS)}")
    return label


def _one_hot(row: dict[str, str], table: Path, line: int) -> str:
    values = {label: str(column(row, label.upper(), table, line)).strip() for label in SKIN_LESIONS}
    held = [label for label, value in values.items() if value in ("1", "1.0")]
    if len(held) != 1 or not set(values.values()) <= {"0", "1", "0.0", "1.0"}:
        raise DataError(f"{table}, line {line}: {shown(list(values.values()))}, expected one 1 among zeros")
    return held[0]


def _context(known: dict[str, str]) -> str:
    words = (("Age", known["age"]), ("Gender", known["sex"]), ("Location", known["localization"]))
    said = "".join(f"{name}:{value}." for name, value in words if value not in ("", "unknown"))
    return f"{said}\n" if said else ""
