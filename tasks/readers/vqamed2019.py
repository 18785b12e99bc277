"""VQA-Med 2019 (ImageCLEF; CC BY 4.0; Zenodo record 10499039, test set also in abachaa/VQA-Med-2019).

Two forms. The official text layout, ``|``-separated::

    ImageClef-2019-VQA-Med-Training/All_QA_Pairs_train.txt    image_id|question|answer    Train_images/<image_id>.jpg
    ImageClef-2019-VQA-Med-Validation/All_QA_Pairs_val.txt    image_id|question|answer    Val_images/<image_id>.jpg
    VQAMed2019Test/VQAMed2019_Test_Questions_w_Ref_Answers.txt   image_id|category|question|answer
                   VQAMed2019_Test_Images/<image_id>.jpg

and JSON lines ``{"image", "question", "answer", "category", "split"}`` in ``with_images.jsonl``. A table may also lie at
the root. Answers may hold alternatives joined by ``#``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from radbench.tasks.readers.files import column, hash_files, json_lines, require

from radbench.errors import DataError
from radbench.records import Image, Sample, Text

_SPLITS = {  # split -> folder, table, image folder
    "train": ("ImageClef-2019-VQA-Med-Training", "All_QA_Pairs_train.txt", "Train_images"),
    "val": ("ImageClef-2019-VQA-Med-Validation", "All_QA_Pairs_val.txt", "Val_images"),
    "test": ("VQAMed2019Test", "VQAMed2019_Test_Questions_w_Ref_Answers.txt", "VQAMed2019_Test_Images"),
}
_CATEGORIES = frozenset({"modality", "plane", "organ", "abnormality"})


class OfficialText:
    """The official text layout. Cluster: the image, since patients are not named."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _table(self, split: str) -> tuple[Path, Path]:
        if split not in _SPLITS:
            raise DataError(f"VQA-Med 2019 has no split '{split}' but {', '.join(_SPLITS)}")
        folder, table, images = _SPLITS[split]
        base = self._root if (self._root / table).exists() else self._root / folder
        return require(base / table, f"the VQA-Med 2019 table {folder}/{table}"), base / images

    def samples(self, split: str) -> Iterator[Sample]:
        path, images = self._table(split)
        numbers: Counter[str] = Counter()
        with path.open(encoding="utf-8-sig") as f:
            for line, text in enumerate(f, 1):
                if not text.strip():
                    continue
                fields = text.rstrip("\r\n").split("|")
                if len(fields) not in (3, 4) or (len(fields) == 4 and fields[1] not in _CATEGORIES):
                    raise DataError(
                        f"{path}, line {line}: {len(fields)} fields between '|', expected image|question|answer"
                        " or image|category|question|answer"
                    )
                name, category, question, answer = fields if len(fields) == 4 else (fields[0], "", *fields[1:])
                image = Image(str(images / f"{name}.jpg"))
                yield _sample(name, image, question, answer, category, numbers)

    def fingerprint(self) -> str:
        return hash_files(self._table(split)[0] for split in _SPLITS if self._has(split))

    def _has(self, split: str) -> bool:
        folder, table, _ = _SPLITS[split]
        return (self._root / table).exists() or (self._root / folder / table).exists()


class JsonLines:
    """``with_images.jsonl``: all its questions are the split ``all``; ``train``, ``val`` and ``test`` by its own field."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = require(root / "with_images.jsonl", "JSON lines with image, question, answer")

    def samples(self, split: str) -> Iterator[Sample]:
        numbers: Counter[str] = Counter()
        for line, row in json_lines(self._path):
            image, question, answer = (column(row, c, self._path, line) for c in ("image", "question", "answer"))
            sample = _sample(
                Path(image).stem, Image(str(self._root / image)), question, answer, row.get("category", ""), numbers
            )
            if split in ("all", row.get("split")):
                yield sample

    def fingerprint(self) -> str:
        return hash_files([self._path])


def _sample(name: str, image: Image, question: str, answer: str, category: str, numbers: Counter[str]) -> Sample:
    numbers[name] += 1
    alternatives = tuple(a.strip() for a in answer.split("#") if a.strip()) or (answer,)
    return Sample(
        id=f"{name}-{numbers[name]}",
        cluster=name,
        targets={"answer": Text(alternatives)},
        images=(image,),
        slots={"question": question.strip()},
        strata={"category": category} if category else {},
    )
