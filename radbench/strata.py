"""The axes of subgroups while scoring: what readers say of a sample, and the sizes that every sample has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from radbench.records import Sample, Target, Text


def sizes_of(sample: Sample, target: Target) -> dict[str, str]:
    """RadVLBench's axes of size: words of the question and of the reference, pictures."""
    found = {"n_images": str(len(sample.images))}
    if question := sample.slots.get("question"):
        found["question_length"] = str(len(question.split()))
    if isinstance(target, Text):
        found["reference_length"] = str(len(target.first.split()))
    return found


class Strata:
    """Collects subgroup codes sample by sample."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, int]] = {}
        self._codes: dict[str, list[np.ndarray]] = {}
        self._n = 0

    def add(self, strata: Sequence[Mapping[str, str]]) -> None:
        axes = {axis for own in strata for axis in own} | self._values.keys()
        for axis in axes:
            values = self._values.setdefault(axis, {})
            codes = self._codes.setdefault(axis, [np.full(self._n, -1)] if self._n else [])
            codes.append(np.array([values.setdefault(own[axis], len(values)) if axis in own else -1 for own in strata]))
        self._n += len(strata)

    def finish(self) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        return {a: (tuple(self._values[a]), np.concatenate(self._codes[a])) for a in sorted(self._values)}
