"""CheXpert (Stanford AIMI, registered) with the test set of CheXlocalize: 14 findings of chest studies.

``CheXpert-v1.0[-small]/{train,valid}.csv``: Path, Sex, Age, Frontal/Lateral, AP/PA and the 14 findings as 1.0, 0.0, -1.0
(uncertain) or empty; ``{train,valid}/patient00001/study1/view1_frontal.jpg``. Test: ``CheXpert/test_labels.csv`` (Path and
the 14, a row a picture) and ``CheXpert/test/`` of CheXlocalize, where ``val_labels.csv`` and ``val/`` lie likewise, and
``groundtruth.csv`` (Study and the 14, a row a study) of rajpurkarlab/cheXpert-test-set-labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

from radbench.tasks.readers.chest_names import CHEXPERT_14, patient_context
from radbench.tasks.readers.files import column, csv_rows, hash_files, require

from radbench.errors import ConfigError, DataError, shown
from radbench.records import Image, Labels, Sample

ACCESS = "registered"
_ROOTS = ("", "CheXpert-v1.0", "CheXpert-v1.0-small", "CheXpert", "CheXlocalize/CheXpert", "chexlocalize/CheXpert")
_TABLES = {
    "train": ("train.csv",),
    "val": ("valid.csv", "val_labels.csv"),
    "test": ("test_labels.csv", "groundtruth.csv"),
}
_GENDERS = {"Female": "F", "Male": "M"}
_FOLDERS = {"valid": ("valid", "val"), "val": ("val", "valid")}


class _Row(NamedTuple):
    """A row of a table: a picture of a study, or a study alone (``picture`` is empty)."""

    line: int
    folder: str
    patient: str
    study: str
    picture: str
    values: dict[str, str]


class CheXpert:
    """Splits train, val (CheXpert's valid) and test; a sample a study or a picture (``level``). Cluster: the patient.

    ``mapping`` renames findings, such as ``{"Edema": "pulmonary edema/hazy opacity"}``, and leaves out those it does not
    name; how MedVersa's classes map to CheXpert's is not published. ``uncertain`` (-1) findings are left out of a
    sample's choices (``ignore``) or count as ``positive`` or ``negative``. An empty value is negative. The 14 labels of
    a study are those of its first row; of a test study those of ``groundtruth.csv`` where that is there.
    """

    def __init__(
        self,
        root: Path,
        *,
        mapping: Mapping[str, str] | None = None,
        level: Literal["study", "image"] = "study",
        uncertain: Literal["ignore", "positive", "negative"] = "ignore",
    ) -> None:
        if level not in ("study", "image") or uncertain not in ("ignore", "positive", "negative"):
            raise ConfigError(
                f"level is {level!r}, expected study or image; uncertain is {uncertain!r}, expected ignore, positive or negative"
            )
        if unknown := [name for name in mapping or () if name not in CHEXPERT_14]:
            raise ConfigError(f"mapping names '{unknown[0]}', expected {', '.join(CHEXPERT_14)}")
        self._root, self._level, self._uncertain = root, level, uncertain
        self._names = {n: n for n in CHEXPERT_14} if mapping is None else dict(mapping)

    def samples(self, split: str) -> Iterator[Sample]:
        path = self._table(split)
        rows = _rows(path)
        if self._level == "image":
            for row in rows:
                if not row.picture:
                    raise DataError(f"{path}: labels by study, expected test_labels.csv for level='image'")
                yield self._sample(path, row, [row], f"{row.folder}/{row.patient}/{row.study}/{row.picture}")
            return
        for _, group in groupby(rows, key=lambda row: (row.patient, row.study)):
            studied = list(group)
            row = studied[0]
            if not row.picture:
                studied = [row._replace(picture=name) for name in self._listed(row)]
            yield self._sample(path, row, studied, f"{row.folder}/{row.patient}/{row.study}")

    def _table(self, split: str) -> Path:
        if split not in _TABLES:
            raise DataError(f"CheXpert has no split '{split}' but {', '.join(_TABLES)}")
        names = _TABLES[split][:: -1 if self._level == "study" and split == "test" else 1]
        found = (self._root / folder / name for name in names for folder in _ROOTS)
        return next((p for p in found if p.exists()), None) or require(self._root / names[0], " or ".join(names))

    def _listed(self, row: _Row) -> list[str]:
        """The pictures of a study that its table does not list; a made-up name where there are none, to fail when asked."""
        folder = picture_folder(self._root, row.folder) / row.patient / row.study
        found = sorted(p.name for p in folder.glob("view*.*")) if folder.is_dir() else []
        return found or ["view1_frontal.jpg"]

    def _sample(self, path: Path, first: _Row, rows: list[_Row], identifier: str) -> Sample:
        positive, left_out = set(), set()
        for name, ours in self._names.items():
            value = _value(first, name, path)
            if value == 1 or (value == -1 and self._uncertain == "positive"):
                positive.add(ours)
            elif value == -1 and self._uncertain == "ignore":
                left_out.add(ours)
        choices = tuple(n for n in dict.fromkeys(self._names.values()) if n in positive or n not in left_out)
        gender = _GENDERS.get(first.values.get("Sex", "").strip(), "")
        age = first.values.get("Age", "").removesuffix(".0")
        views = [_view(row.values) or ("Lateral" if "lateral" in row.picture else "Frontal") for row in rows]
        strata = {"view": views[0]} if self._level == "image" else {"n_images": str(len(rows))}
        return Sample(
            id=identifier,
            cluster=first.patient,
            targets={"answer": Labels(tuple(n for n in choices if n in positive))},
            images=tuple(self._image(row, view) for row, view in zip(rows, views, strict=True)),
            slots={"age": age, "gender": gender, "context": patient_context(age, gender)},
            choices=choices,
            strata={**strata, "gender": gender or "unknown"},
        )

    def _image(self, row: _Row, view: str) -> Image:
        folder = picture_folder(self._root, row.folder)
        return Image(str(folder / row.patient / row.study / row.picture), view=view, study=f"{row.patient}/{row.study}")

    def fingerprint(self) -> str:
        tables = {self._root / f / name for names in _TABLES.values() for name in names for f in _ROOTS}
        options = (self._level, self._uncertain, self._names)
        found = hash_files(sorted(p for p in tables if p.exists()))
        return sha256(f"{found} {options!r}".encode()).hexdigest()[:16]


@lru_cache(maxsize=32)
def picture_folder(root: Path, folder: str) -> Path:
    """The folder of train, valid or test pictures, wherever it lies below a CheXpert root."""
    known = [root / base / name for base in _ROOTS for name in _FOLDERS.get(folder, (folder,))]
    return next((p for p in known if p.is_dir()), known[0])


def _rows(path: Path) -> Iterator[_Row]:
    for line, values in csv_rows(path):
        name = "Path" if "Path" in values else "Study"
        listed = column(values, name, path, line)
        parts = listed.split("/")
        at = next((i for i, part in enumerate(parts) if part.startswith("patient")), -1)
        if at < 1 or len(parts) != at + (3 if name == "Path" else 2):
            raise DataError(
                f"{path}, line {line}: {name} {shown(listed, ACCESS)}, expected [CheXpert-v1.0/]split/patient.../study..."
                + ("/view....jpg" if name == "Path" else "")
            )
        picture = parts[at + 2] if name == "Path" else ""
        yield _Row(line, parts[at - 1], parts[at], parts[at + 1], picture, values)


def _value(row: _Row, name: str, path: Path) -> int:
    """1, 0 or -1; an empty value is 0."""
    text = column(row.values, name, path, row.line).strip()
    known = {"": 0, "nan": 0, "0": 0, "0.0": 0, "1": 1, "1.0": 1, "-1": -1, "-1.0": -1}
    if text not in known:
        raise DataError(f"{path}, line {row.line}: {name} is {shown(text, ACCESS)}, expected 1, 0, -1 or nothing")
    return known[text]


def _view(values: dict[str, str]) -> str:
    """AP, PA or Lateral; empty where the table does not tell."""
    side = values.get("Frontal/Lateral", "")
    return values.get("AP/PA", "").strip() or "Frontal" if side == "Frontal" else side
