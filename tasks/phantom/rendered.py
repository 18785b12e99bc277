"""What a renderer hands over: pixels, and the mask of every structure and finding it drew."""

from __future__ import annotations

from dataclasses import dataclass, field

from radbench.tasks.phantom.geometry import Array, Point

Box = tuple[float, float, float, float]


@dataclass(slots=True)
class Rendered:
    """Pixels of one picture before they become a file.

    ``pixels``: CT in Hounsfield units, everything else 0 to 1 as displayed; (rows, columns), or a volume in patient
    order. ``structures`` have masks, ``outlines`` only boxes (they overlap). ``findings`` maps a name to one mask for
    each separate one.
    """

    pixels: Array
    view: str
    spacing: tuple[float, ...]
    structures: dict[str, Array] = field(default_factory=dict)
    outlines: dict[str, Array] = field(default_factory=dict)
    findings: dict[str, list[Array]] = field(default_factory=dict)
    window: tuple[float, float] | None = None
    origin: Point = (0.0, 0.0, 0.0)  # patient mm: of a volume's first voxel, of a slice's middle
    across: Point = (1.0, 0.0, 0.0)  # direction of a slice's columns, and of its rows
    down: Point = (0.0, 1.0, 0.0)
    laterality: str = ""

    def add(self, name: str, mask: Array) -> None:
        self.findings.setdefault(name, []).append(mask)
