"""What RadFM's lists of Radiopaedia cases have in common: tables, fields, and the arrays of their scans.

Arrays are [scans, 3, rows, columns, slices], one picture a scan. No orientation is stated. The authors' conversion
(chaoyi-wu/RadFM jpg2nii_data_convert.py, nii2npy_for_radiopaedio.py) stacks pictures as displayed, so rows run downwards and
columns to the viewer's right; the axes ``PLS`` show every slice as it was stored, whatever its plane. Specification B.10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from radbench.tasks.readers.files import column, hash_files, require, unwrapped
from radbench.tasks.readers.picture_index import PictureIndex

from radbench.errors import DataError, shown
from radbench.records import Access, Image, Sample, Target

ACCESS: Access = "on-request"
SPLITS = ("train", "test")
AXES = "PLS"
SUFFIXES = (".nii.gz", ".nii", ".npy", ".png", ".jpg", ".jpeg")
CASES, ARTICLES = "radiology_article_npy_{}.json", "articles_resave.json"


def case_sample(
    split: str,
    row: dict[str, Any],
    table: Path,
    position: int,
    targets: Mapping[str, Target],
    images: tuple[Image, ...],
    slots: Mapping[str, str],
    strata: Mapping[str, str] | None = None,
) -> Sample:
    modalities = row.get("image_modality")
    names = {str(m) for m in modalities} if isinstance(modalities, list) else {str(modalities)} if modalities else set()
    modality = {"modality": names.pop() if len(names) == 1 else "several"} if names else {}
    case = str(column(row, "npy_path", table, position))
    return Sample(f"{split}-{position}", case, targets, images, slots, strata={**modality, **(strata or {})})


def case_images(index: PictureIndex, most: int, row: dict[str, Any], table: Path, position: int) -> tuple[Image, ...]:
    size = row.get("image_size")
    if size is not None and not (isinstance(size, list) and len(size) == 5 and all(isinstance(n, int) for n in size)):
        raise DataError(
            f"{table}, item {position}: image_size is {shown(size, ACCESS)}, expected [scans, 3, rows, columns, slices]"
        )
    return scans(index.path(str(column(row, "npy_path", table, position))), size, most)


def scans(path: Path, size: Sequence[int] | None, most: int) -> tuple[Image, ...]:
    """One picture for each of the first scans of an array; where its shape is not known, one that fails when loaded.

    Depth 1 is a 2D picture; so is depth 3, in which the authors' conversion leaves the channels of a colour picture.
    """
    shape = tuple(size) if size else _shape(path)
    kind: Literal["2d", "volume"] = "2d" if not shape or len(shape) < 4 or shape[-1] in (1, 3) else "volume"
    axes = AXES if kind == "volume" else None
    if len(shape) != 5:
        return (Image(str(path), kind=kind, axes=axes),)
    return tuple(Image(str(path), frame=i, kind=kind, axes=axes) for i in range(min(shape[0], most)))


def _shape(path: Path) -> tuple[int, ...]:
    """The shape in an array's header; empty where it cannot be read."""
    import numpy as np

    try:
        return tuple(int(n) for n in np.load(path, mmap_mode="r", allow_pickle=False).shape)
    except (OSError, ValueError, EOFError):
        return ()


def base(root: Path) -> Path:
    """The folder of the lists, seen through one around it."""
    return unwrapped(root, "radio*_*.csv", "radiology_*.json")


def table_of(root: Path, name: str, split: str) -> Path:
    if split not in SPLITS:
        raise DataError(f"Rad3D has no split '{split}' but {', '.join(SPLITS)}")
    return require(root / name.format(split), f"RadFM's list {name.format(split)}")


def case_of(authors_path: str) -> str:
    """The case's folder in ``<case>/<number>/<file>``, both numbers; else the path as it is."""
    parts = authors_path.replace("\\", "/").split("/")
    return parts[-3] if len(parts) > 2 and parts[-3].isdigit() and parts[-2].isdigit() else authors_path


def text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def texts(row: dict[str, Any], name: str, table: Path, position: int) -> list[str]:
    value = column(row, name, table, position)
    if not isinstance(value, list):
        raise DataError(f"{table}, item {position}: {name} is {shown(value, ACCESS)}, expected a list of texts")
    return [str(item).strip() for item in value]


def context(row: dict[str, Any], table: Path, position: int) -> str:
    parts = [text(column(row, c, table, position)) for c in ("pat", "pre")]
    return "".join(f"{part} " for part in parts if part)


def fingerprint_of(root: Path, by_split: Sequence[str], others: Sequence[str], options: tuple[Any, ...]) -> str:
    names = [name.format(split) for name in by_split for split in SPLITS] + list(others)
    tables = [root / name for name in names if (root / name).is_file()]
    return sha256(f"{hash_files(tables)} {options!r}".encode()).hexdigest()[:16]
