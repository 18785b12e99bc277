"""A slice or volume as layers of tissue, shared by CT and MRI; each gives the tissues its own grey levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from radbench.tasks.phantom.geometry import Array, Ellipsoid, Grid, cover, level_set, smooth_noise, stream


@dataclass(slots=True)
class Scene:
    """Layers in painting order, with the masks of structures and findings they leave."""

    grid: Grid
    seed: int
    layers: list[tuple[Array, str]] = field(default_factory=list)
    structures: dict[str, Array] = field(default_factory=dict)
    findings: dict[str, list[Array]] = field(default_factory=dict)

    def paint(self, weight: Array, tissue: str) -> Array:
        self.layers.append((weight, tissue))
        return weight

    def organ(self, e: Ellipsoid, tissue: str, name: str = "", within: Array | None = None) -> Array:
        """Paint an ellipsoid; with a ``name`` it is a structure with a mask (joined to one of the same name)."""
        weight = cover(e, self.grid)
        weight = weight if within is None else weight * within
        if name:
            mask = weight > 0.5
            self.structures[name] = mask | self.structures[name] if name in self.structures else mask
        return self.paint(weight, tissue)

    def finding(self, name: str, weight: Array, tissue: str, mask: Array | None = None) -> None:
        """Paint a finding and keep its mask (where it covers at least half a pixel, unless given)."""
        self.paint(weight, tissue)
        self.mark(name, weight > 0.5 if mask is None else mask)

    def mark(self, name: str, mask: Array) -> None:
        if mask.any():
            self.findings.setdefault(name, []).append(np.ascontiguousarray(mask))

    def noise(self, name: str, sigma: float) -> Array:
        """Smooth noise of this case; ``sigma`` in mm."""
        return smooth_noise(stream(self.seed, name), self.grid.shape, sigma / min(self.grid.spacing))

    def lesion(self, e: Ellipsoid, wobble: float = 0.0, soft: float = 1.0) -> tuple[Array, Array]:
        """Weight and level set of a lesion; ``wobble`` makes the outline irregular without changing its extent much."""
        q = level_set(e, self.grid)
        if wobble:
            g = self.grid
            angle = np.arctan2(g.y - e.centre[1], g.x - e.centre[0]) + 0.05 * (g.z - e.centre[2])
            phase = float(self.seed // 8 % 7)
            wave = 0.6 * np.cos(3 * angle + phase) + 0.4 * np.cos(7 * angle + 2 * phase)
            q = q * (1 + wobble * (1 - wave) / 2)
        edge = max(e.radii) / (max(self.grid.spacing) * soft)
        return np.broadcast_to(np.clip((1 - q) * edge + 0.5, 0, 1), self.grid.shape), q


def shade(scene: Scene, values: Mapping[str, float], background: float) -> Array:
    """The layers painted over each other with the grey level of each tissue."""
    out = np.full(scene.grid.shape, background, np.float32)
    for weight, tissue in scene.layers:
        out += np.asarray(weight, np.float32) * (np.float32(values[tissue]) - out)
    return out
