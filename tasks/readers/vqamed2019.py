"""VQA-Med 2019 (ImageCLEF; CC BY 4.0; Zenodo record 10499039, test set also in abachaa/VQA-Med-2019).

Three forms, also nested in further folders. The official text layout, ``|``-separated::

    ImageClef-2019-VQA-Med-Training/All_QA_Pairs_train.txt    image_id|question|answer    Train_images/<image_id>.jpg
    ImageClef-2019-VQA-Med-Validation/All_QA_Pairs_val.txt    image_id|question|answer    Val_images/<image_id>.jpg
    VQAMed2019Test/VQAMed2019_Test_Questions_w_Ref_Answers.txt   image_id|category|question|answer
                   VQAMed2019_Test_Images/<image_id>.jpg

A table may also lie at the root; ``QAPairsByCategory/`` beside a table tells the categories of its questions. MEVF's JSON
lists ``trainset.json`` and ``testset.json`` (the *validation* set), with ``qid, image_name, answer, answer_type, question_type,
question, phrase_type``. And JSON lines ``{"image", "question", "answer", "category", "split"}`` in ``with_images.jsonl``.
Answers may hold alternatives joined by ``#``. SUITES_AND_FORMATS B.6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from radbench.tasks.readers.files import below, column, hash_files, json_lines, require, text_lines
from radbench.tasks.readers.json_stream import json_list
from radbench.tasks.readers.vqa_rows import answered, nested, picture_folder, text

from radbench.errors import DataError, shown
from radbench.records import Image, Sample, Text

_SPLITS = {  # split -> folder, table, image folder
    "train": ("ImageClef-2019-VQA-Med-Training", "All_QA_Pairs_train.txt", "Train_images"),
    "val": ("ImageClef-2019-VQA-Med-Validation", "All_QA_Pairs_val.txt", "Val_images"),
    "test": ("VQAMed2019Test", "VQAMed2019_Test_Questions_w_Ref_Answers.txt", "VQAMed2019_Test_Images"),
}
_CATEGORIES = frozenset({"modality", "plane", "organ", "abnormality"})


_LISTS = {  # MEVF's test set is the validation set
    "train": ("trainset.json", "vqamed2019_train.json"),
    "val": ("testset.json", "vqamed2019_val.json"),
}


class OfficialText:
    """The official text layout. Cluster: the image, since patients are not named. Stratum: category, where it is told.

    Rows without question or answer are left out: ``removed``.
    """

    def __init__(self, root: Path) -> None:
        self.removed: set[str] = set()
        self._root = root

    def _table(self, split: str) -> tuple[Path, Path]:
        if split not in _SPLITS:
            raise DataError(f"VQA-Med 2019 has no split '{split}' but {', '.join(_SPLITS)}")
        folder, table, images = _SPLITS[split]
        path = self._find(split) or require(self._root / folder / table, f"the VQA-Med 2019 table {folder}/{table}")
        return path, picture_folder(path.parent, (images, "images"))

    def samples(self, split: str) -> Iterator[Sample]:
        path, images = self._table(split)
        yield from answered(self._rows(path, images), self.removed)

    def _rows(self, path: Path, images: Path) -> Iterator[Sample]:
        numbers: Counter[str] = Counter()
        categories = dict(_categories(path.parent))
        for line, row in text_lines(path):
            if not row.strip():
                continue
            fields = [field.strip() for field in row.split("|")]
            if len(fields) not in (3, 4) or (len(fields) == 4 and fields[1].lower() not in _CATEGORIES):
                raise DataError(
                    f"{path}, line {line}: {len(fields)} fields between '|', expected image|question|answer"
                    " or image|category|question|answer"
                )
            name, category, question, answer = fields if len(fields) == 4 else (fields[0], "", *fields[1:])
            category = category.lower() or categories.get((name, question), "")
            image = Image(str(below(images, f"{name}.jpg")))
            yield _sample(name, image, question, answer, category, numbers)

    def fingerprint(self) -> str:
        tables = [path for split in _SPLITS if (path := self._find(split))]
        return hash_files([*tables, *(p for table in tables for p in _category_files(table.parent))])

    def has(self, split: str) -> bool:
        return self._find(split) is not None

    def _find(self, split: str) -> Path | None:
        return nested(self._root, (_SPLITS[split][1],), depth=3)


class MevfLists:
    """MEVF's JSON lists; splits train and val. Cluster: the image. Strata: category, answer_type (open, closed).

    Rows without question or answer are left out: ``removed``.
    """

    def __init__(self, root: Path, *, images: Path | None = None) -> None:
        self.removed: set[str] = set()
        self._root, self._images = root, images

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in _LISTS:
            raise DataError(f"the JSON lists of VQA-Med 2019 have no split '{split}' but {', '.join(_LISTS)}")
        path = self._find(split) or require(self._root / _LISTS[split][0], "a list of VQA-Med 2019")
        yield from answered(self._rows(path, split), self.removed)

    def _rows(self, path: Path, split: str) -> Iterator[Sample]:
        images = self._images or picture_folder(path.parent, ("images", _SPLITS[split][2]))
        numbers: Counter[str] = Counter()
        for position, row in json_list(path):
            place = f"{path}, item {position}"
            file, question, answer = (text(row, (name,), place) for name in ("image_name", "question", "answer"))
            said = text(row, ("question_type",), place).lower()
            category = "abnormality" if said == "abn" else said
            if category not in _CATEGORIES:
                raise DataError(
                    f"{place}: question_type is {shown(said)}, expected {', '.join(sorted(_CATEGORIES))} or abn",
                    remedy="VQA-RAD is also passed round as trainset.json and testset.json: keep it in its own folder",
                )
            sample = _sample(Path(file).stem, Image(str(below(images, file))), question, answer, category, numbers)
            kind = text(row, ("answer_type",), place).lower()
            yield sample._replace(strata={**sample.strata, "answer_type": kind})

    def fingerprint(self) -> str:
        return hash_files(path for split in _LISTS if (path := self._find(split)))

    def has(self, split: str) -> bool:
        return split in _LISTS and self._find(split) is not None

    def _find(self, split: str) -> Path | None:
        return nested(self._root, _LISTS[split])


class VqaMed2019:
    """Splits train, val and test, each from the official text or, where that is not there, from MEVF's lists."""

    def __init__(self, root: Path) -> None:
        self._text, self._lists = OfficialText(root), MevfLists(root)

    @property
    def removed(self) -> set[str]:
        """Ids of rows without question or answer, which are left out."""
        return self._text.removed | self._lists.removed

    def samples(self, split: str) -> Iterator[Sample]:
        from_lists = split in _SPLITS and not self._text.has(split) and self._lists.has(split)
        return self._lists.samples(split) if from_lists else self._text.samples(split)

    def fingerprint(self) -> str:
        return f"{self._text.fingerprint()}{self._lists.fingerprint()}"


class JsonLines:
    """``with_images.jsonl``: all its questions are the split ``all``; ``train``, ``val`` and ``test`` by its own field.

    Rows without question or answer are left out: ``removed``.
    """

    def __init__(self, root: Path) -> None:
        self.removed: set[str] = set()
        self._root = root
        self._path = require(root / "with_images.jsonl", "JSON lines with image, question, answer")

    def samples(self, split: str) -> Iterator[Sample]:
        yield from answered(self._rows(split), self.removed)

    def _rows(self, split: str) -> Iterator[Sample]:
        numbers: Counter[str] = Counter()
        for line, row in json_lines(self._path):
            image, question, answer = (column(row, c, self._path, line) for c in ("image", "question", "answer"))
            sample = _sample(
                Path(image).stem,
                Image(str(below(self._root, image))),
                question,
                answer,
                row.get("category", ""),
                numbers,
            )
            if split in ("all", row.get("split")):
                yield sample

    def fingerprint(self) -> str:
        return hash_files([self._path])


def _sample(name: str, image: Image, question: str, answer: str, category: str, numbers: Counter[str]) -> Sample:
    numbers[name] += 1
    alternatives = tuple(a.strip() for a in answer.split("#") if a.strip()) or ("",)
    return Sample(
        id=f"{name}-{numbers[name]}",
        cluster=name,
        targets={"answer": Text(alternatives)},
        images=(image,),
        slots={"question": question.strip()},
        strata={"category": category} if category else {},
    )


def _category_files(folder: Path) -> list[Path]:
    return sorted((folder / "QAPairsByCategory").glob("*.txt"))


def _categories(folder: Path) -> Iterator[tuple[tuple[str, str], str]]:
    """``((image, question), category)`` of the files that hold one category each and name it: ``..._Plane_train.txt``."""
    for path in _category_files(folder):
        category = next((c for c in _CATEGORIES if c in path.name.lower()), None)
        if category is None:
            continue
        for _, row in text_lines(path):
            name, _, rest = row.partition("|")
            yield (name.strip(), rest.partition("|")[0].strip()), category
