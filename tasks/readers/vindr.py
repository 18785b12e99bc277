"""What the four VinDr sets of PhysioNet share: where a download nests, pictures, 0/1 columns, boxes, votes of readers.

Access needs an account and an agreement: no value of theirs stands in a message.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from radbench.tasks.readers.files import below, column, csv_rows, visible

from radbench.errors import DataError, nearest, shown
from radbench.records import Access, Box, Boxes, Image, Labels, Sample, Target

ACCESS: Access = "credentialed"
NO_FINDING = "No finding"
_FLAGS = {"0": False, "0.0": False, "1": True, "1.0": True}


def base(root: Path, name: str, tables: Sequence[str]) -> Path:
    """The folder that holds one of the tables: ``root``, or below it as PhysioNet's archives and wget nest it."""
    nested = (Path(), Path("1.0.0"), Path(name, "1.0.0"), Path("physionet.org", "files", name, "1.0.0"))
    return next((root / n for n in nested if any((root / n / table).exists() for table in tables)), root)


def first_there(folder: Path, *names: str) -> Path:
    """The first of some alternative names that exists below a folder, else the first of all."""
    return next((folder / n for n in names if (folder / n).exists()), folder / names[0])


def known_split(split: str, name: str, splits: Sequence[str] = ("train", "test")) -> str:
    if split not in splits:
        raise DataError(f"{name} has no split '{split}' but {' and '.join(splits)}")
    return split


SUFFIX = ".dicom"


def stored_suffix(folder: Path, suffix: str) -> str:
    """``suffix``; for ``.dicom``, as distributed, ``.dcm`` where the folder, or the first one in it, has that alone."""
    if suffix != SUFFIX or not folder.is_dir():
        return suffix
    there = sorted(filter(visible, folder.iterdir()))
    inside = next((p for p in there if p.is_dir()), None)
    there += filter(visible, inside.iterdir()) if inside is not None else ()
    found = {p.suffix for p in there} & {SUFFIX, SUFFIX.upper(), ".dcm", ".DCM"}
    return suffix if suffix in found or not found else max(found)


def radiograph(folder: Path, image: str, suffix: str, **fields: str | None) -> Image:
    return Image(str(below(folder, f"{image}{suffix}")), **fields)  # type: ignore[arg-type]


def flag(value: str, name: str, path: Path, line: int) -> bool:
    """A 0/1 column, written as an integer or as a float. Raises :class:`DataError`."""
    try:
        return _FLAGS[value.strip()]
    except KeyError:
        raise DataError(f"{path}, line {line}: column '{name}' holds {shown(value, ACCESS)}, expected 0 or 1") from None


def box(row: Mapping[str, str], names: Sequence[str], label: str, path: Path, line: int) -> Box | None:
    """The box of a row in pixels of the stored picture, None where its four columns are empty. Raises :class:`DataError`."""
    cells = [str(column(dict(row), name, path, line)).strip() for name in names]
    if not any(cells):
        return None
    try:
        x0, y0, x1, y1 = map(float, cells)
    except ValueError:
        raise DataError(
            f"{path}, line {line}: {', '.join(names)} are not four numbers", remedy="or all empty"
        ) from None
    if not (math.isfinite(x0 + y0 + x1 + y1) and x0 <= x1 and y0 <= y1):
        raise DataError(f"{path}, line {line}: {', '.join(names)} are no box: a minimum exceeds its maximum")
    return Box(label, x0, y0, x1, y1)


def boxes_by_image(path: Path) -> dict[str, list[Box]]:
    """Boxes of an ``image_id, class_name, x_min, y_min, x_max, y_max`` table, of all readers; rows without a box are skipped."""
    found: dict[str, list[Box]] = {}
    for line, row in csv_rows(path):
        label = str(column(row, "class_name", path, line))
        placed = box(row, ("x_min", "y_min", "x_max", "y_max"), label, path, line)
        if placed is not None:
            found.setdefault(str(column(row, "image_id", path, line)), []).append(placed)
    return found


def majority(path: Path, labels: Sequence[str], aliases: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """``(image, labels)`` that more than half of an image's rows say, one row a reader; images as first met.

    ``aliases`` gives for a label another spelling of its column. Raises :class:`DataError`.
    """
    votes: dict[str, list[int]] = {}
    headers: list[str] = []
    for line, row in csv_rows(path):
        headers = headers or [_header(row, label, aliases.get(label), path) for label in labels]
        said = votes.setdefault(str(column(row, "image_id", path, line)), [0] * (len(labels) + 1))
        said[-1] += 1
        for i, name in enumerate(headers):
            said[i] += flag(row[name], name, path, line)
    for image, (*counts, readers) in votes.items():
        yield image, tuple(label for label, count in zip(labels, counts, strict=True) if 2 * count > readers)


def _header(row: Mapping[str, str], label: str, alias: str | None, path: Path) -> str:
    """The column of a label; blanks around a name in the header are forgiven."""
    stripped = {name.strip(): name for name in row}
    for name in (label, alias):
        if name in stripped:
            return stripped[name]
    raise DataError(
        f"{path}: no column '{label}'", remedy="labels are looked up by name", found=nearest(label, stripped)
    )


def labelled(
    image: Image, name: str, labels: tuple[str, ...], choices: tuple[str, ...], boxes: Sequence[Box] | None
) -> Sample:
    """A multi-label sample whose image is its own cluster."""
    targets: dict[str, Target] = {"answer": Labels(labels)}
    if boxes is not None:
        targets["boxes"] = Boxes(tuple(boxes))
    return Sample(name, name, targets, (image,), choices=choices, strata={"findings": findings(labels)})


def findings(labels: Sequence[str]) -> str:
    """The stratum of an image: ``present`` or ``none``."""
    return "present" if any(n.lower() != NO_FINDING.lower() for n in labels) else "none"
