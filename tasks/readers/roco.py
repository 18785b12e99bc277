"""ROCO, captioned figures of PubMed Central (github.com/razorx89/roco-dataset; Pelka et al., LABELS 2018).

The repository after ``scripts/fetch.py``: ``data/{train,validation,test}/{radiology,non-radiology}/`` with
``captions.txt`` (``ROCO_00001<TAB> caption``), ``licences.txt`` (``ROCO_ID,PMC_ID,CC`` where PMC_ID is the paper, an
underscore and the file name), ``dlinks.txt``, and ``images/ROCO_00001.jpg``. Or a hub copy (mdwiratathya/ROCO-radiology,
eltorio/ROCO-radiology): parquet with ``image, image_id, caption``. ROCOv2 is another data set. Specification B.20.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from radbench.tasks.readers import arrow
from radbench.tasks.readers.files import Names, column, csv_rows, hash_files, require, text_lines, unwrapped
from radbench.tasks.readers.medpix_own import words_bin
from radbench.tasks.readers.side_table import SideTable

from radbench.errors import ConfigError, DataError
from radbench.records import Access, Image, Sample, Text

log = logging.getLogger("radbench")

SPLITS = {"train": "train", "val": "validation", "test": "test"}
_OPEN = frozenset({"CC BY", "CC BY-SA", "CC BY-ND", "CC0"})
_PAPER = re.compile(r"PMC\d+")


class Roco:
    """One sample a figure. Cluster: the paper, by licences.txt or dlinks.txt; else (and in hub copies) the image.

    ``subset`` is radiology or non-radiology; hub copies hold the former alone. Target ``answer``; strata caption_words and
    licence. A figure's access is open-noncommercial where its licence is not one of CC0, CC BY, BY-SA, BY-ND. Figures without
    a caption are left out (``removed``) and counted in the log. Raises :class:`radbench.errors.DataError` for a line without
    a tab or a split that is not there.
    """

    def __init__(self, root: Path, *, subset: Literal["radiology", "non-radiology"] = "radiology") -> None:
        if subset not in ("radiology", "non-radiology"):
            raise ConfigError(f"ROCO has no subset '{subset}' but radiology and non-radiology")
        self.removed: set[str] = set()
        self._subset = subset
        root = unwrapped(root, *SPLITS.values(), "data")
        trees = [f for f in (root, root / "data") if any((f / s / subset).is_dir() for s in SPLITS.values())]
        self._root = trees[0] if trees else root
        self._hub = not trees and arrow.is_arrow_folder(root)
        if self._hub and subset != "radiology":
            raise ConfigError("a hub copy of ROCO holds the subset 'radiology' alone")

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in SPLITS:
            raise DataError(f"ROCO has no split '{split}' but {', '.join(SPLITS)}")
        left_out = 0
        for sample in self._embedded(split) if self._hub else self._listed(split):
            if sample.targets["answer"] == Text(("",)):
                self.removed.add(sample.id)
                left_out += 1
            else:
                yield sample
        if left_out:
            log.info("%s: %d figures of split %s without a caption are left out", self._root, left_out, split)

    def _listed(self, split: str) -> Iterator[Sample]:
        folder = self._root / SPLITS[split] / self._subset
        table = require(folder / "captions.txt", f"the captions of ROCO's split {SPLITS[split]}")
        sources, images = _sources(folder), Names(folder / "images")
        for line, name, caption in _captions(table):
            paper, licence = sources.get(name) or (name, "")
            access: Access | None = None
            if licence:
                access = "open" if licence in _OPEN else "open-noncommercial"
            image = Image(str(images.path(f"{name}.jpg")))
            yield _sample(name, paper, caption, image, licence, access, f"{table}, line {line}")

    def _embedded(self, split: str) -> Iterator[Sample]:
        for file, row, values in arrow.rows(self._root, split):
            name = str(column(values, "image_id", file, row))
            caption = str(column(values, "caption", file, row) or "").strip()
            yield _sample(name, name, caption, arrow.image(file, row), "", None, f"{file}, row {row}")

    def fingerprint(self) -> str:
        if self._hub:
            return arrow.fingerprint(self._root)
        folders = [self._root / folder / self._subset for folder in SPLITS.values()]
        tables = (f / name for f in folders for name in ("captions.txt", "licences.txt", "dlinks.txt"))
        return hash_files(t for t in tables if t.is_file())


def _sample(
    name: str, paper: str, caption: str, image: Image, licence: str, access: Access | None, place: str
) -> Sample:
    if not name:
        raise DataError(f"{place}: the image's name is empty")
    strata = {"caption_words": words_bin(caption)}
    if licence:
        strata["licence"] = licence
    return Sample(name, paper, {"answer": Text((caption,))}, (image,), strata=strata, access=access)


def _captions(table: Path) -> Iterator[tuple[int, str, str]]:
    for line, text in text_lines(table, newline="\n"):
        if not text.strip():
            continue
        name, tab, caption = text.partition("\t")
        if not tab:
            raise DataError(f"{table}, line {line}: no tab, expected the image's name, a tab and the caption")
        yield line, name.strip(), caption.strip()


def _sources(folder: Path) -> SideTable:
    """Paper and licence of every image."""
    licences, links = folder / "licences.txt", folder / "dlinks.txt"
    if licences.is_file():
        return SideTable(_licensed(licences))
    return SideTable(_linked(links) if links.is_file() else ())


def _licensed(table: Path) -> Iterator[tuple[str, ...]]:
    for line, row in csv_rows(table):
        figure = column(row, "PMC_ID", table, line)
        yield column(row, "ROCO_ID", table, line), figure.partition("_")[0], column(row, "CC", table, line).strip()


def _linked(table: Path) -> Iterator[tuple[str, ...]]:
    """``dlinks.txt``: name, a download command whose archive is named after the paper, file name."""
    for _, text in text_lines(table):
        name, _, rest = text.partition("\t")
        if paper := _PAPER.search(rest):
            yield name.strip(), paper[0], ""
