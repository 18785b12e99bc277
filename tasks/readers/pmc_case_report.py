"""PMC-CaseReport (hub chaoyi-wu/PMC-CaseReport and PMC-CaseReport_original; SUITES_AND_FORMATS B.5; RadFM, arXiv 2308.02463).

Columns ``PMC_id, context, question, answer, inline, img_ref`` in any case, as parquet files
(``data/test-*.parquet``) or as RadFM's CSV tables (``(filtered_)case_report_<split>.csv``). ``img_ref`` is a Python list of
figure names as text. The pictures come apart, in the authors' archive of figures: ``<PMC_id>_<figure>.jpg``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from radbench.tasks.readers import arrow
from radbench.tasks.readers.files import below, csv_rows, hash_files, require
from radbench.tasks.readers.vqa_rows import Places, answer_type, answered, nested, no_split, picture_folder, text

from radbench.errors import DataError, shown
from radbench.records import Image, Sample, Text

_TABLES = ("filtered_case_report", "case_report", "filtered_casa_report", "casa_report")
_SPLITS = ("train", "test")
_SENTENCE_END = re.compile(r"[.!?](?:\s+|(?=[A-Z]))")
_KEPT_LAST = 4


class PmcCaseReport:
    """Splits train and test. Cluster: the paper (PMC_id). Pictures lie in ``images``, else in figures/, images/ or the root.

    Slots: question, context. A context of more than five sentences is cut to the first and the last four, as in RadFM,
    which takes every full stop for an end, those of decimals too; here an end stands before white space or a capital
    letter. ``Q:`` and ``A:`` are removed. Strata: answer_type (closed: yes or no), pictures (none, one, several). Rows
    without question or answer are left out: ``removed``. Questions whose pictures are missing stay and are counted as
    failed.
    """

    def __init__(self, root: Path, *, images: Path | None = None) -> None:
        self.removed: set[str] = set()
        self._root = root
        self._figures = images or figures_folder(root)
        found = {
            split: nested(root, [f"{name}_{split}.csv" for name in _TABLES] + [f"{split}.csv"]) for split in _SPLITS
        }
        self._tables = {split: path for split, path in found.items() if path is not None}
        if not self._tables and not arrow.is_arrow_folder(root):
            require(root / "data", "the parquet files data/test-*.parquet, or case_report_test.csv, of PMC-CaseReport")

    def samples(self, split: str) -> Iterator[Sample]:
        there = tuple(self._tables or arrow.splits(self._root))
        if split not in there:
            raise no_split(self._root, split, there)
        rows = table_rows(self._tables[split]) if self._tables else self._hub_rows(split)
        yield from answered(case_samples(rows, split, self._figures), self.removed)

    def _hub_rows(self, split: str) -> Places:
        for file, row, values in arrow.rows(self._root, split):
            yield f"{file}, row {row}", values

    def fingerprint(self) -> str:
        return hash_files(self._tables.values()) if self._tables else arrow.fingerprint(self._root)


def table_rows(path: Path) -> Places:
    for line, row in csv_rows(path):
        yield f"{path}, line {line}", row


def case_samples(rows: Places, split: str, figures: Path) -> Iterator[Sample]:
    """The rows of either form as samples, numbered in their order."""
    for number, (place, named) in enumerate(rows, 1):
        row = {str(name).strip().lower(): value for name, value in named.items()}
        paper = text(row, ("pmc_id",), place)
        answer = _without("A", text(row, ("answer",), place))
        images = tuple(Image(str(below(figures, f"{paper}_{figure}.jpg"))) for figure in figure_names(row, place))
        yield Sample(
            id=f"{split}-{number}",
            cluster=paper,
            targets={"answer": Text((answer,))},
            images=images,
            slots={
                "question": _without("Q", text(row, ("question",), place)),
                "context": shortened(text(row, ("context",), place)),
            },
            strata={"answer_type": answer_type(answer), "pictures": ("none", "one", "several")[min(len(images), 2)]},
        )


def figure_names(row: Mapping[str, Any], place: str) -> list[str]:
    """``img_ref``: a list, or a Python list written as text. Raises :class:`DataError`."""
    value = row["img_ref"] if isinstance(row.get("img_ref"), list) else text(row, ("img_ref",), place)
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value) if value else []
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise DataError(f"{place}: img_ref is {shown(value)}, expected a list such as ['fig1', 'fig2']") from None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise DataError(f"{place}: img_ref is {shown(value)}, expected a list such as ['fig1', 'fig2']")
    return [name.strip() for name in value]


def shortened(context: str) -> str:
    """A context of more than five sentences cut to the first and the last four."""
    ends = [*_SENTENCE_END.finditer(context)]
    if len(ends) <= _KEPT_LAST:
        return context
    return f"{context[: ends[0].start() + 1]} {context[ends[-_KEPT_LAST].end() :]}"


def _without(mark: str, said: str) -> str:
    """A text without the marks ``Q:`` or ``A:`` that stand alone: those of ``DNA:`` stay."""
    return re.sub(rf"(?<!\w){mark}:\s*", "", said).strip()


def figures_folder(root: Path) -> Path:
    """``figures/`` or ``images/`` below the root, else the root itself."""
    folder = picture_folder(root, ("figures", "images"))
    return folder if folder.is_dir() else root
