"""A contact sheet of a cohort: every kind of picture with its findings boxed, for people to look at."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from radbench.tasks.phantom.spec import Case, Picture

from radbench.records import Image

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

COLUMNS, TILE, CAPTION = 8, 176, 24
COLOURS = ("#ff5050", "#50c8ff", "#ffd24a", "#7dff7d", "#ff8cf0")


def contact_sheet(folder: Path, out: Path) -> None:
    """Write one PNG: a row (or more) for each modality, region and view, different findings first."""
    from PIL import Image as PIL

    rows: dict[tuple[str, str, str], list[tuple[Case, Picture]]] = defaultdict(list)
    for line in (folder / "cases.jsonl").read_text(encoding="utf-8").splitlines():
        case = Case.from_json(json.loads(line))
        for p in case.pictures:
            view = p.view.split()[-1] if case.region == "breast" else "volume" if p.kind != "2d" else p.view
            view = "frontal" if case.modality == "angiography" else view
            rows[case.modality, case.region, view].append((case, p))
    tiles: list[PILImage] = []
    for _, members in sorted(rows.items()):
        chosen = _varied(members)
        tiles += [_tile(folder, case, p) for case, p in chosen]
        tiles += [PIL.new("RGB", (TILE, TILE + CAPTION))] * (-len(chosen) % COLUMNS)
    sheet = PIL.new("RGB", (COLUMNS * TILE, len(tiles) // COLUMNS * (TILE + CAPTION)))
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (i % COLUMNS * TILE, i // COLUMNS * (TILE + CAPTION)))
    sheet.save(out, format="PNG")


def _varied(members: list[tuple[Case, Picture]]) -> list[tuple[Case, Picture]]:
    """Up to one row of pictures that show as many different findings as there are."""
    seen: set[str] = set()
    first = []
    for member in members:
        if set(member[1].visible) - seen:
            seen.update(member[1].visible)
            first.append(member)
    rest = [m for m in members if m not in first]
    return (first + rest)[:COLUMNS]


def _tile(folder: Path, case: Case, p: Picture) -> PILImage:
    from PIL import Image as PIL
    from PIL import ImageDraw

    window = (
        {"head": "brain", "chest": "lung"}.get(case.region, "abdomen")
        if case.modality == "CT" and p.kind != "2d"
        else None
    )
    loaded = Image(str(folder / p.path), kind=p.kind, window=window).load()
    tile = PIL.new("RGB", (TILE, TILE + CAPTION))
    picture = loaded.pil()
    tile.paste(picture.resize((TILE, TILE), PIL.Resampling.BICUBIC))
    draw = ImageDraw.Draw(tile)
    fx, fy = TILE / picture.width, TILE / picture.height
    for i, name in enumerate(p.visible):
        for x0, y0, x1, y1 in p.boxes[name]:
            draw.rectangle((x0 * fx, y0 * fy, x1 * fx - 1, y1 * fy - 1), outline=COLOURS[i % len(COLOURS)])
    draw.text((2, TILE), f"{case.modality} {case.region} {p.view} {case.sequence}"[:34], fill="white")
    draw.text((2, TILE + 11), (", ".join(p.visible) or "-")[:34], fill="white")
    return tile
