"""The curated colon dataset of wireless capsule and other endoscopy (WCE), open on Kaggle.

``{train,val,test}/{0_normal,1_ulcerative_colitis,2_polyps,3_esophagitis}/*.jpg``, names with blanks and brackets such as
``test_normal_ (1).jpg``. Source: Kaggle francismon/curated-colon-dataset-for-deep-learning; specification B.29.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from radbench.tasks.readers.files import hash_listing, require, visible
from radbench.tasks.readers.label_names import COLON

from radbench.errors import DataError
from radbench.records import Image, Labels, Sample

SPLITS = ("train", "val", "test")
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


class Wce:
    """Pictures by folder. Splits train, val, test; target ``answer``. No patients are named: samples have no cluster.

    A folder around the splits is seen through. Raises :class:`radbench.errors.DataError` where a class folder of the split
    asked for is missing, or another one lies beside them. Hidden files and folders are ignored.
    """

    def __init__(self, root: Path) -> None:
        below = {p.parent for s in SPLITS for p in root.glob(f"*/{s}/") if p.is_dir()} if root.is_dir() else set()
        around = sorted(filter(visible, below))
        self._root = around[0] if around and not any((root / s).is_dir() for s in SPLITS) else root

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in SPLITS:
            raise DataError(f"WCE has no split '{split}' but {', '.join(SPLITS)}")
        folder = require(self._root / split, f"the folder {split} of WCE, with a folder for each class")
        others = sorted(p.name for p in folder.iterdir() if p.is_dir() and visible(p) and p.name not in COLON)
        if others:
            raise DataError(f"{folder}: unknown class folder '{others[0]}', expected {', '.join(COLON)}")
        for name, label in COLON.items():
            require(folder / name, f"the class folder {split}/{name} of WCE")
            for path in _pictures(folder / name):
                answer = Labels((label,))
                yield Sample(f"{split}/{name}/{path.name}", None, {"answer": answer}, (Image(str(path)),))

    def fingerprint(self) -> str:
        folders = (self._root / split / name for split in SPLITS for name in COLON)
        return hash_listing(self._root, [p for f in folders if f.is_dir() for p in _pictures(f)])


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and visible(p))
