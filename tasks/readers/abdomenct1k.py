"""AbdomenCT-1K: abdominal CT with liver, kidneys, spleen and pancreas (Zenodo 5903099, 5903846, 5903769).

Volumes ``Case_00001_0000.nii.gz`` and masks ``Case_00001.nii.gz``, anywhere below the root: the Zenodo parts
``AbdomenCT-1K-ImagePart1/`` to ``3/``, nested once more or not, with the folder of ``Mask.7z``; or an nnU-Net copy
with ``imagesTr/``, ``imagesTs/`` and ``labels/``. Labels: 1 liver, 2 kidney (both sides), 3 spleen, 4 pancreas; the order
is documented, the numbers are recalled. Specification B.23; MedInterp's rule A.3.2.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from radbench.tasks.readers.files import hash_listing

from radbench.errors import ConfigError, DataError, nearest
from radbench.records import Image, Mask, Sample

log = logging.getLogger("radbench")

ORGANS = {"liver": 1, "kidney": 2, "spleen": 3, "pancreas": 4}
WINDOW = "50/500"  # MedInterp clips to [-200, 300] HU
_NAME = re.compile(r"Case_(\d{5})(_0000)?\.nii(?:\.gz)?")


class AbdomenCT1K:
    """One sample a volume and organ. Cluster: the case; the files name no patients.

    Splits train and test by a seeded draw of cases, 9 to 1: the paper's draw is not known. Volumes without a mask are left
    out and counted in the log, as are masks without a volume. Target ``mask`` on the grid of the label map; slot ``target``
    and stratum ``organ`` name the organ. Raises :class:`radbench.errors.DataError` where no pair is found or a case number
    comes twice.
    """

    def __init__(
        self,
        root: Path,
        *,
        seed: int = 0,
        organs: Sequence[str] = tuple(ORGANS),
        window: str = WINDOW,
        test_share: float = 0.1,
    ) -> None:
        for organ in organs:
            if organ not in ORGANS:
                raise ConfigError(f"AbdomenCT-1K has no organ '{organ}': {nearest(organ, ORGANS)}")
        if not 0 < test_share < 1:
            raise ConfigError(f"AbdomenCT-1K: test_share is {test_share}, expected a share between 0 and 1")
        self._root, self._seed, self._organs, self._window = root, seed, tuple(organs), window
        self._share = test_share

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in ("train", "test"):
            raise DataError(f"AbdomenCT-1K has no split '{split}' but train and test (drawn with the seed)")
        for case, (volume, mask) in self._pairs.items():
            if (case in self._test) != (split == "test"):
                continue
            for organ in self._organs:
                label_map = Image(str(mask), kind="volume")
                yield Sample(
                    id=f"Case_{case}-{organ}",
                    cluster=f"Case_{case}",
                    targets={"mask": Mask(image=label_map, values=(ORGANS[organ],))},
                    images=(Image(str(volume), kind="volume", window=self._window),),
                    slots={"target": organ},
                    strata={"organ": organ},
                )

    @cached_property
    def _pairs(self) -> dict[str, tuple[Path, Path]]:
        """Volume and mask by the five digits of the case, in order."""
        volumes: dict[str, Path] = {}
        masks: dict[str, Path] = {}
        for path in _files(self._root):
            if (name := _NAME.fullmatch(path.name)) is None:
                continue
            found = volumes if name[2] else masks
            if name[1] in found:
                raise DataError(
                    f"{path}: {found[name[1]]} has the same case number",
                    remedy="keep one copy of the data set below the folder",
                )
            found[name[1]] = path
        cases = sorted(volumes.keys() & masks.keys())
        if not cases:
            raise DataError(
                f"{self._root}: {len(volumes)} volumes Case_#####_0000.nii.gz, {len(masks)} masks Case_#####.nii.gz, no pair",
                remedy="unpack the image parts and Mask.7z below this folder",
            )
        if unpaired := len(volumes.keys() ^ masks.keys()):
            log.info("%s: %d volumes or masks without their other half are left out", self._root, unpaired)
        return {case: (volumes[case], masks[case]) for case in cases}

    @cached_property
    def _test(self) -> frozenset[str]:
        """By a hash of seed and case, so that a case more or less moves few others."""
        order = sorted(self._pairs, key=lambda case: sha256(f"{self._seed}|{case}".encode()).digest())
        return frozenset(order[: max(1, round(len(order) * self._share))])

    def fingerprint(self) -> str:
        listing = hash_listing(self._root, [p for pair in self._pairs.values() for p in pair])
        return sha256(f"{listing} {self._seed} {self._share} {self._organs} {self._window}".encode()).hexdigest()[:16]


def _files(root: Path) -> Iterator[Path]:
    """All files below a folder, in order; links to folders are followed."""
    for folder, folders, names in os.walk(root, followlinks=True):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))
