"""Writing a cohort: pictures, label maps and ``cases.jsonl``, from the specifications alone."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from radbench.tasks.phantom import angiography, ct, mammography, mri, pet, ultrasound, xray, xray_spine
from radbench.tasks.phantom.files import (
    grey8,
    stored_volume,
    write_nifti,
    write_png,
    write_radiograph,
    write_series,
    write_slice,
)
from radbench.tasks.phantom.geometry import Array
from radbench.tasks.phantom.rendered import Box, Rendered
from radbench.tasks.phantom.sampling import sample_cohort
from radbench.tasks.phantom.spec import GENERATOR_VERSION, Case, Picture

from radbench.errors import DataError

XRAYS = {"chest": xray, "spine": xray_spine, "breast": mammography}
RENDERERS = {"CT": ct, "MRI": mri, "Ultrasound": ultrasound, "PET": pet, "angiography": angiography}
SEEN = 3  # pixels or voxels that a finding must cover to count as shown


def render(case: Case, size: int) -> list[Rendered]:
    """Every picture of a case, before it is a file."""
    module = XRAYS[case.region] if case.modality == "X-ray" else RENDERERS[case.modality]
    return list(module.render(case, size))


def write_cohort(
    folder: Path,
    *,
    seed: int = 0,
    cases: int = 240,
    size: int = 128,
    difficulty: float = 0.3,
    hazards: bool = False,
) -> None:
    """Write a cohort to ``folder``, which must not exist yet (or be empty).

    Layout: ``cases.jsonl`` (one :meth:`Case.to_json` a line), ``cohort.json`` (the arguments), ``pictures/`` and
    ``labels/``; ``hazards.json`` where they are asked for. The same arguments and generator version give the same
    bytes. ``size`` is the side of a picture in pixels; volumes are ``size/2, size/2, 3 size/8``. The folder appears
    when it is complete.

    Raises:
        DataError: ``folder`` holds something already.
        ValueError: fewer cases than kinds, or a difficulty outside 0 to 1.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: is not empty", remedy="write the cohort to a new folder")
    if size % 8 or size < 32:
        raise ValueError(f"size {size} is not a multiple of 8 from 32 up")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        (partial / "pictures").mkdir()
        (partial / "labels").mkdir()
        done = [write_case(partial, case, size) for case in sample_cohort(seed, cases, size, difficulty)]
        if hazards:
            from radbench.tasks.phantom.hazards import plant

            done = plant(partial, done, size)
        arguments = {"seed": seed, "cases": cases, "size": size, "difficulty": difficulty, "hazards": hazards}
        (partial / "cohort.json").write_text(json.dumps({"generator_version": GENERATOR_VERSION, **arguments}) + "\n")
        lines = "".join(json.dumps(case.to_json()) + "\n" for case in done)
        (partial / "cases.jsonl").write_text(lines, encoding="utf-8", newline="\n")
        partial.chmod(0o755)  # temporary folders are private
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write_case(folder: Path, case: Case, size: int) -> Case:
    """Write the pictures of a case below ``folder``; the case with its pictures, and only findings that they show."""
    pictures = tuple(_write(folder, case, r) for r in render(case, size))
    shown = {name for p in pictures for name in p.visible}
    return replace(case, pictures=pictures, findings=tuple(f for f in case.findings if f.name in shown))


def _write(folder: Path, case: Case, r: Rendered) -> Picture:
    stem = f"{case.id}-{r.view.lower().replace(' ', '-')}"
    path = _write_pixels(folder, case, r, f"pictures/{stem}")
    suffix = ".png" if case.kind == "2d" else ".nii.gz"
    flat = [(name, masks[0] if len(masks) == 1 else np.logical_or.reduce(masks)) for name, masks in r.findings.items()]
    structures = _label_map(r.pixels.shape, r.structures.items())
    findings = _label_map(r.pixels.shape, sorted(flat, key=lambda item: -int(item[1].sum())))
    boxes: dict[str, tuple[Box, ...]] = {n: (box,) for n, mask in r.outlines.items() if (box := box_of(mask))}
    boxes |= {name: found for name, value in structures[1].items() if (found := _parts(name, structures[0] == value))}
    visible = []
    for name, masks in r.findings.items():
        found = tuple(box for mask in masks if mask.sum() >= SEEN and (box := box_of(mask)))
        if found:
            boxes[name] = found
            visible.append(name)
    names: list[str | None] = [None, None]
    for i, (kind, (labels, values)) in enumerate((("anatomy", structures), ("findings", findings))):
        if values:
            names[i] = f"labels/{stem}-{kind}{suffix}"
            _write_labels(folder / str(names[i]), labels, r)
    return Picture(
        path, case.kind, r.view, tuple(r.pixels.shape), tuple(round(float(s), 6) for s in r.spacing), boxes,
        names[0], structures[1], tuple(visible), names[1], findings[1],
    )  # fmt: skip


def _write_pixels(folder: Path, case: Case, r: Rendered, stem: str) -> str:
    turn = case.seed // 8 % 4
    if case.kind == "volume":
        write_nifti(folder / f"{stem}.nii.gz", stored_volume(case, r.pixels), r.spacing, r.origin)
        return f"{stem}.nii.gz"
    if case.kind == "series":
        write_series(folder / stem, case, r)
        return stem
    if case.modality == "X-ray" and (case.region != "chest" or turn < 2):
        write_radiograph(folder / f"{stem}.dcm", case, r, inverted=turn == 1 and case.region == "chest")
        return f"{stem}.dcm"
    if case.modality in ("CT", "MRI") and turn < 2:
        write_slice(folder / f"{stem}.dcm", case, r)
        return f"{stem}.dcm"
    write_png(folder / f"{stem}.png", grey8(r))
    return f"{stem}.png"


def _write_labels(path: Path, labels: Array, r: Rendered) -> None:
    if labels.ndim == 2:
        write_png(path, labels)
    else:
        write_nifti(path, labels, r.spacing, r.origin)


def _label_map(shape: tuple[int, ...], masks: Iterable[tuple[str, Array]]) -> tuple[Array, Mapping[str, int]]:
    """One value a label; where masks overlap the later one wins. Labels that end up with nothing are left out."""
    labels = np.zeros(shape, np.uint8)
    values: dict[str, int] = {}
    for value, (name, mask) in enumerate(masks, 1):
        labels[mask] = value
        values[name] = value
    held = set(np.unique(labels).tolist())
    return labels, {name: value for name, value in values.items() if value in held}


def _parts(name: str, mask: Array) -> tuple[Box, ...]:
    """One box, or for kidneys and ventricles one for each half of the picture that holds some."""
    if name == "kidney":
        middle = _split(mask)
        halves = [mask.copy(), mask.copy()]
        if mask.ndim == 2:
            halves[0][:, middle:], halves[1][:, :middle] = False, False
        else:
            halves[0][middle:], halves[1][:middle] = False, False
        return tuple(box for half in halves if (box := box_of(half)))
    box = box_of(mask)
    return (box,) if box else ()


def _split(mask: Array) -> int:
    """The column without the organ that is nearest the middle, or the end where the organ is in one piece."""
    columns = np.any(mask, axis=0) if mask.ndim == 2 else np.any(mask, axis=(1, 2))
    used = np.flatnonzero(columns)
    if not len(used):
        return len(columns)
    gaps = [i for i in range(used[0], used[-1]) if not columns[i]]
    return min(gaps, key=lambda i: abs(i - len(columns) / 2)) if gaps else len(columns)


def box_of(mask: Array) -> Box | None:
    """The extent of a mask as displayed, (x0, y0, x1, y1) with x1 = last column + 1; of a volume over all axial slices."""
    flat: Array = np.any(mask, axis=2).T if mask.ndim == 3 else mask
    rows, columns = np.flatnonzero(np.any(flat, axis=1)), np.flatnonzero(np.any(flat, axis=0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
