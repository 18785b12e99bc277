"""RadFM's released question lists over the user's own pictures (hub chaoyi-wu/RadFM_data_csv; SUITES_AND_FORMATS B.11).

::

    pmcvqa_{train,test}.csv  vqarad_{train,test}.csv  slakevqa_{train,test}.csv    img_root_dir, Figure_path, Question, Answer
    (filtered_)case_report_{train,test}.csv (the card: casa_report)                PMC_id, img_ref, context, question, answer

``img_root_dir`` is a folder of the authors' machines: pictures are matched by the end of their paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from radbench.tasks.readers.files import csv_rows, hash_files, require
from radbench.tasks.readers.picture_index import PictureIndex
from radbench.tasks.readers.pmc_case_report import case_samples, figures_folder, table_rows
from radbench.tasks.readers.vqa_rows import answer_type, answered, nested, no_split, optional, text

from radbench.errors import ConfigError, DataError, nearest
from radbench.records import Image, Sample, Text

_CASES = {
    "case_report": ("case_report", "casa_report"),
    "filtered_case_report": ("filtered_case_report", "filtered_casa_report"),
}
_TABLES = {**{name: (name,) for name in ("pmcvqa", "vqarad", "slakevqa")}, **_CASES}
_SPLITS = ("train", "test")
_PAPER = re.compile(r"PMC\d+", re.I)


class VqaList:
    """One list of the folder ``lists``, its pictures below ``root``; splits train and test.

    ``table`` is pmcvqa, vqarad, slakevqa, case_report or filtered_case_report, or the name of one of its files, such as
    ``pmcvqa_test.csv``: the split asked for decides which of the two is read. ``path_map`` is ``old=new`` as in
    :class:`radbench.tasks.readers.picture_index.PictureIndex`. Cluster: the paper (PMC number), else the picture. Slots: question
    (and context for case reports). Strata: answer_type (closed: yes or no). A picture that is not found counts as a failed
    input; where none of a list is found, that is a :class:`radbench.errors.DataError`. Rows without question or answer are
    left out: ``removed``.
    """

    def __init__(self, root: Path, *, lists: Path, table: str = "pmcvqa", path_map: str = "") -> None:
        table = re.sub(r"(?:_(?:train|test))?(?:\.csv)?$", "", table)
        if table not in _TABLES:
            raise ConfigError(f"RadFM's lists have no question table '{table}': {nearest(table, _TABLES)}")
        self.removed: set[str] = set()
        self._root, self._lists, self._table = root, lists, table
        self._pictures = PictureIndex(root, path_map=path_map)

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in _SPLITS:
            raise no_split("RadFM's lists", split, _SPLITS)
        path = self._path(split) or require(self._lists / f"{self._table}_{split}.csv", "a list of RadFM_data_csv")
        if self._table in _CASES:
            figures = figures_folder(self._root)
            _require_figures(case_samples(table_rows(path), split, figures), figures, path)
            rows = case_samples(table_rows(path), split, figures)
        else:
            self._pictures.require_some((_authors_path(row, f"{path}, line {n}") for n, row in csv_rows(path)), path)
            rows = self._rows(path, split)
        yield from answered(rows, self.removed)

    def _path(self, split: str) -> Path | None:
        return nested(self._lists, [f"{name}_{split}.csv" for name in _TABLES[self._table]])

    def _rows(self, path: Path, split: str) -> Iterator[Sample]:
        for number, (line, row) in enumerate(csv_rows(path), 1):
            place = f"{path}, line {line}"
            figure = text(row, ("Figure_path",), place)
            picture = self._pictures.find(_authors_path(row, place))
            answer = text(row, ("Answer",), place)
            paper = _PAPER.match(Path(figure).name)
            yield Sample(
                id=f"{split}-{number}",
                cluster=paper.group().upper() if paper else figure,
                targets={"answer": Text((answer,))},
                images=(Image(str(picture or self._root / figure.lstrip("/"))),),
                slots={"question": text(row, ("Question",), place)},
                strata={"answer_type": answer_type(answer)},
            )

    def fingerprint(self) -> str:
        return hash_files(path for split in _SPLITS if (path := self._path(split)))


def _authors_path(row: dict[str, str], place: str) -> str:
    return f"{optional(row, 'img_root_dir', place)}/{text(row, ('Figure_path',), place)}"


def _require_figures(samples: Iterator[Sample], figures: Path, table: Path) -> None:
    """Raise :class:`DataError` where none of a table's figures is there; the first that is ends the search."""
    count = 0
    for image in (image for sample in samples for image in sample.images):
        if Path(image.path).is_file():
            return
        count += 1
    if count:
        raise DataError(
            f"{table}: none of its {count} pictures lies in {figures}",
            remedy="give the folder that holds the figures, named PMC..._fig1.jpg: --data NAME=FOLDER",
        )
