"""Faults as real collections have them, planted to test that they are noticed. ``hazards.json`` lists them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from radbench.tasks.phantom.files import write_radiograph
from radbench.tasks.phantom.geometry import Array
from radbench.tasks.phantom.spec import Case, Picture

MADE_UP_NAME = "Phantom^Paula"
BURNED_IN = ("PHANTOM PAULA", "01.02.2003")


class Planter:
    """Adds cases to a written cohort and notes what is wrong with each."""

    def __init__(self, folder: Path, cases: list[Case], size: int) -> None:
        self.folder, self.cases, self.size = folder, list(cases), size
        self.originals = tuple(cases)
        self.notes: list[dict[str, Any]] = []

    def source(self, wanted: Callable[[Case], bool], split: str) -> Case:
        """The first original case of a split that fits (or of any split, in a small cohort)."""
        fitting = [c for c in self.originals if wanted(c) and c.findings]
        fitting = fitting or [c for c in self.originals if wanted(c)]
        return next((c for c in fitting if c.split == split), fitting[0])

    def add(self, source: Case, split: str, pictures: Iterable[Picture], **changes: Any) -> Case:
        number = len(self.cases) + 1
        kept: dict[str, Any] = {"patient": f"{source.patient[:4]}9{number:03d}", "prior": None, "days_before": 0}
        findings = tuple(replace(f, change="") for f in source.findings)
        new: dict[str, Any] = {
            "id": f"phantom-{number:04d}",
            "split": split,
            "findings": findings,
            "pictures": tuple(pictures),
        }
        self.cases.append(replace(source, **{**kept, **new, **changes}))
        return self.cases[-1]

    def path(self, hazard: str, suffix: str) -> str:
        return f"pictures/hazard-{hazard.replace(' ', '-')}{suffix}"

    def note(self, hazard: str, case: Case, *others: Case) -> None:
        self.notes.append(
            {"hazard": hazard, "cases": [case.id, *(o.id for o in others)], "pictures": [p.path for p in case.pictures]}
        )


def plant(folder: Path, cases: list[Case], size: int) -> list[Case]:
    """Add the faults to a cohort below ``folder`` and list them in ``hazards.json``. The cases with those added."""
    p = Planter(folder, cases, size)
    _duplicates(p)
    _leaked_patient(p)
    _odd_files(p)
    _identifiers(p)
    (folder / "hazards.json").write_text(json.dumps(p.notes, indent=1) + "\n", encoding="utf-8")
    return p.cases


def _png(case: Case) -> bool:
    return len(case.pictures) == 1 and case.pictures[0].path.endswith(".png")


def _pixels(p: Planter, picture: Picture) -> Array:
    from PIL import Image

    with Image.open(p.folder / picture.path) as opened:
        return np.asarray(opened.convert("L"))


def _duplicates(p: Planter) -> None:
    from PIL import Image

    source = p.source(_png, "train")
    path = p.path("exact duplicate", ".png")
    shutil.copyfile(p.folder / source.pictures[0].path, p.folder / path)
    p.note("exact duplicate", p.add(source, "test", [replace(source.pictures[0], path=path)]), source)
    source = p.source(lambda c: _png(c) and c.modality == "Ultrasound", "train")
    path = p.path("near duplicate", ".png")
    lighter = np.clip(_pixels(p, source.pictures[0]) * 1.03 + 2, 0, 255).astype(np.uint8)
    Image.fromarray(lighter).save(p.folder / path)
    p.note("near duplicate", p.add(source, "test", [replace(source.pictures[0], path=path)]), source)


def _leaked_patient(p: Planter) -> None:
    from radbench.tasks.phantom.cohort import write_case

    source = p.source(lambda c: c.modality == "X-ray" and c.region == "chest" and c.prior is None, "train")
    case = p.add(source, "test", (), patient=source.patient, seed=source.seed + 5)
    p.cases[-1] = write_case(p.folder, case, p.size)
    p.note("patient in train and test", p.cases[-1], source)


def _odd_files(p: Planter) -> None:
    from PIL import Image

    source = p.source(_png, "test")
    picture = source.pictures[0]
    values = _pixels(p, picture)
    damaged = p.path("unreadable file", ".png")
    data = (p.folder / picture.path).read_bytes()
    (p.folder / damaged).write_bytes(data[: len(data) // 3])
    p.note("unreadable file", p.add(source, "test", [replace(picture, path=damaged)]))
    deep = p.path("16-bit picture", ".png")
    Image.fromarray(values.astype(np.uint16) * 16).save(p.folder / deep)
    p.note("16-bit picture", p.add(source, "test", [replace(picture, path=deep)]))
    clear = p.path("RGBA picture", ".png")
    Image.merge("RGBA", [Image.fromarray(values)] * 3 + [Image.new("L", values.shape[::-1], 255)]).save(
        p.folder / clear
    )
    p.note("RGBA picture", p.add(source, "test", [replace(picture, path=clear)]))
    odd = p.path("odd size", ".png")
    height, width = values.shape[0] * 3 // 4 + 1, values.shape[1] * 9 // 8 + 1
    Image.fromarray(values).resize((width, height)).save(p.folder / odd)
    p.note("odd size", p.add(source, "test", [_resized(picture, odd, height, width)]))


def _resized(picture: Picture, path: str, height: int, width: int) -> Picture:
    fy, fx = height / picture.size[0], width / picture.size[1]
    boxes = {n: tuple((a * fx, b * fy, c * fx, d * fy) for a, b, c, d in v) for n, v in picture.boxes.items()}
    spacing = (picture.spacing[0] / fy, picture.spacing[1] / fx)
    return replace(
        picture, path=path, size=(height, width), spacing=spacing, boxes=boxes,
        labels=None, masks={}, finding_labels=None, finding_masks={},
    )  # fmt: skip


def _identifiers(p: Planter) -> None:
    from PIL import Image, ImageDraw
    from radbench.tasks.phantom.cohort import render

    source = p.source(lambda c: c.modality == "Ultrasound" and _png(c), "test")
    canvas = Image.fromarray(_pixels(p, source.pictures[0]))
    ImageDraw.Draw(canvas).multiline_text((2, 2), "\n".join(BURNED_IN), fill=255)
    path = p.path("burned-in text", ".png")
    canvas.save(p.folder / path)
    p.note("burned-in text", p.add(source, "test", [replace(source.pictures[0], path=path)]))
    source = p.source(lambda c: c.modality == "X-ray" and c.region == "chest", "test")
    frontal = render(source, p.size)[0]
    for hazard, inverted, name in (("patient name in header", False, MADE_UP_NAME), ("MONOCHROME1", True, "")):
        path = p.path(hazard, ".dcm")
        case = p.add(source, "test", [replace(source.pictures[0], path=path)])
        write_radiograph(p.folder / path, case, frontal, inverted, name)
        p.note(hazard, case)
