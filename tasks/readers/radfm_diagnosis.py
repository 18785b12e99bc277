"""RadFM's released lists of yes/no questions (hub dataset ``chaoyi-wu/RadFM_data_csv``, Apache-2.0; the lists, no pictures).

``chestxray_balance_*``, ``pcxr_balance_*``, ``mammo_balance_*`` and ``spinexr_balance_*``: ``image_path, disease, label``
(0 or 1). Paths are the authors' own and are matched with what lies below the user's folder. There is no list for
RAD-ChestCT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from radbench.tasks.readers.files import column, csv_rows, hash_files, require
from radbench.tasks.readers.picture_index import PictureIndex
from radbench.tasks.readers.vqa_rows import nested
from radbench.tasks.readers.yes_no import YES_NO, readable

from radbench.errors import DataError, shown
from radbench.records import Image, Labels, Sample

FOLDER = "RadFM_data_csv"
_ACCESS = "credentialed"  # of most pictures that the lists name
_SPLITS = ("train", "test")
_LABELS = {"1": YES_NO[0], "1.0": YES_NO[0], "0": YES_NO[1], "0.0": YES_NO[1]}
_CHEXPERT = re.compile(r"(?:^|/)(patient\d+)/")
_NIH = re.compile(r"(?:^|/)(\d{8})_\d{3}\.[^/]*$")


class BalancedList:
    """One released list. Slot and stratum: disease; answer yes or no. Splits: train, test, a file each.

    ``lists`` is the folder of the lists, absolute or below ``root``, or one around it; by default ``root/RadFM_data_csv`` or
    ``root``. ``table`` is one of its files or what their names begin with: ``pcxr_balance`` for ``pcxr_balance_test.csv`` and
    ``pcxr_balance_train.csv``; one that ends in ``_new`` is preferred.
    ``path_map`` is that of :class:`PictureIndex`. A picture that is not found counts as a failed input; where none of a
    list is found, that is a :class:`DataError`. Cluster: the patient where the path tells (CheXpert, NIH), else
    the picture.
    """

    def __init__(self, root: Path, *, lists: Path | str | None = None, table: str, path_map: str = "") -> None:
        self._lists = _folder(root, lists)
        self._root, self._table, self._map = root, re.sub(r"_(train|test)(_new)?\.csv$", "", table), path_map
        self._pictures = PictureIndex(root, path_map=path_map)

    def samples(self, split: str) -> Iterator[Sample]:
        path = require(self._file(split), f"RadFM's released list {self._table}_{split}.csv")
        self._pictures.require_some((str(column(r, "image_path", path, n)) for n, r in csv_rows(path)), path)
        for number, (line, row) in enumerate(csv_rows(path), 1):
            yield self._sample(f"{split}-{number}", row, path, line)

    def fingerprint(self) -> str:
        return f"{hash_files(f for f in map(self._file, _SPLITS) if f.exists())}-{self._map}"

    def _sample(self, number: str, row: dict[str, str], path: Path, line: int) -> Sample:
        picture, disease, label = (str(column(row, c, path, line)).strip() for c in ("image_path", "disease", "label"))
        if label not in _LABELS:
            raise DataError(f"{path}, line {line}: label is {shown(label, _ACCESS)}, expected 0 or 1")
        if not picture or not disease:
            raise DataError(f"{path}, line {line}: image_path or disease is empty")
        asked = readable(disease)
        return Sample(
            id=f"{number}|{_name(picture)}|{asked}",
            cluster=_cluster(picture),
            targets={"answer": Labels((_LABELS[label],))},
            images=(Image(str(self._pictures.path(picture))),),
            slots={"disease": asked},
            choices=YES_NO,
            strata={"disease": asked},
        )

    def _file(self, split: str) -> Path:
        if split not in _SPLITS:
            raise DataError(f"RadFM's list '{self._table}' has no split '{split}' but train and test")
        names = [f"{self._table}_{split}{newer}.csv" for newer in ("_new", "")]
        return nested(self._lists, names) or self._lists / names[-1]


def _folder(root: Path, lists: Path | str | None) -> Path:
    if lists is not None:
        return root / lists if (root / lists).exists() else Path(lists)
    return root / FOLDER if (root / FOLDER).is_dir() else root


def _name(picture: str) -> str:
    return picture.replace("\\", "/").rpartition("/")[2]


def _cluster(picture: str) -> str:
    path = picture.replace("\\", "/")
    found = _CHEXPERT.search(path) or _NIH.search(path)
    return found[1] if found else _name(path)
