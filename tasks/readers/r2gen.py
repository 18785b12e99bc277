"""Report generation in R2Gen's form: MIMIC-CXR and IU-Xray, one report and its pictures an item.

::

    annotation.json   {"train": [...], "val": [...], "test": [{"id", "report", "image_path": [...], "split"}, ...]}
                      MIMIC-CXR items have study_id and subject_id too
    images/           CXR2384_IM-0942/0.png (IU-Xray), p10/p10000000/s50000000/<dicom>.jpg (MIMIC-CXR)
    iu_mrg_meta.jsonl {"id", "split", "image", "text", "question_id", "answer"} (MedDr; images/<study>/0.png)

in ``root`` or in one folder of it. The report of IU-Xray is the findings alone. Sources: zhjohnchan/R2Gen modules/datasets.py,
modules/tokenizers.py; sunanhe/MedDr data/iu_mrg_meta.jsonl. Pictures: Open-i; MIMIC-CXR-JPG (credentialed).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from radbench.tasks.readers.files import column, hash_files, json_lines, require
from radbench.tasks.readers.json_stream import json_lists
from radbench.tasks.readers.report_samples import MODALITY, length_stratum, one_of
from radbench.tasks.readers.sectioning import one_line

from radbench.errors import DataError, shown
from radbench.records import Access, Image, Sample, Target, Text

_SPLITS = ("train", "val", "test")
_SLOTS = {"modality": MODALITY, "views": "", "indication": "", "comparison": "", "history": "", "context": ""}
_PUNCTUATION = re.compile(r"""[.,?;*!%^&_+():<=>@\[\]{}"'/\\]""")


class R2Gen:
    """``annotation.json`` with its pictures.

    ``per="image"`` makes a sample of every picture, as MedDr does. ``clean`` is R2Gen's own cleaning of the references, which
    it scores on; off by default, since MedDr does not say that it cleans and other papers do not. ``images`` is the folder of
    the pictures, by default ``images`` beside the file; a MIMIC-CXR-JPG tree will do. ``access`` is the dataset's: nothing of
    credentialed reports gets into messages. Splits train, val, test. Cluster: subject_id; for IU-Xray the report's number
    ("CXR2384"). Sample id: the item's, with ``-0``, ``-1`` per image. Targets ``answer`` and ``report``. Slots: modality, and
    context and its parts, which are empty. Strata: n_images, report_length. Items without a report are left out.
    """

    def __init__(
        self,
        root: Path,
        *,
        images: Path | None = None,
        per: Literal["study", "image"] = "study",
        clean: bool = False,
        access: Access = "credentialed",
    ) -> None:
        self._path = find_table(root, "annotation.json", "R2Gen's annotation.json")
        self._images = image_folder(images or self._path.parent)
        self._per, self._clean, self._access = one_of(per, ("study", "image"), "per"), clean, access

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in _SPLITS:
            raise DataError(f"R2Gen's annotation has no split '{split}' but {', '.join(_SPLITS)}")
        for position, item in json_lists(self._path, split):
            sample = self._sample(item, position)
            if sample is not None and self._per == "study":
                yield sample
            elif sample is not None:
                yield from one_by_one(sample)

    def _sample(self, item: dict[str, Any], position: int) -> Sample | None:
        name, report, paths = (column(item, k, self._path, position) for k in ("id", "report", "image_path"))
        if not (
            isinstance(report, str) and isinstance(paths, list) and paths and all(isinstance(p, str) for p in paths)
        ):
            raise DataError(
                f"{self._path}, item {position}: report is {shown(report, self._access)} and image_path"
                f" {shown(paths, self._access)}, expected a text and a list of paths"
            )
        text = cleaned(report) if self._clean else one_line(report)
        images = tuple(Image(f"{self._images}/{p.lstrip('/')}") for p in paths)
        subject = item.get("subject_id")
        return report_sample(str(name), text, images, "" if subject is None else str(subject))

    def fingerprint(self) -> str:
        return sha256(f"{hash_files([self._path])} {self._per} {self._clean}".encode()).hexdigest()[:16]


class MedDrMeta:
    """MedDr's ``iu_mrg_meta.jsonl``: IU-Xray's test studies, one line a picture, the findings as answer.

    Split test (others where lines say so). Cluster: the report's number ("CXR2384"). Sample id: the study and the picture.
    Targets, slots and strata as :class:`R2Gen`. ``images`` is the folder that holds ``images``, by default the file's.
    """

    def __init__(self, root: Path, *, images: Path | None = None, clean: bool = False) -> None:
        self._path = find_table(root, "iu_mrg_meta.jsonl", "MedDr's iu_mrg_meta.jsonl")
        self._images, self._clean = images or self._path.parent, clean

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in _SPLITS:
            raise DataError(f"iu_mrg_meta.jsonl has no split '{split}' but {', '.join(_SPLITS)}")
        for line, row in json_lines(self._path):
            image, answer, its = (column(row, c, self._path, line) for c in ("image", "answer", "split"))
            if not isinstance(image, str) or not isinstance(answer, str):
                raise DataError(f"{self._path}, line {line}: image {shown(image)} or answer {shown(answer)} is no text")
            picture = Path(image)
            sample = report_sample(
                f"{picture.parent.name}-{picture.stem}",
                cleaned(answer) if self._clean else one_line(answer),
                (Image(f"{self._images}/{image.lstrip('/')}"),),
                cluster_of(picture.parent.name),
            )
            if its == split and sample is not None:
                yield sample

    def fingerprint(self) -> str:
        return sha256(f"{hash_files([self._path])} {self._clean}".encode()).hexdigest()[:16]


def report_sample(name: str, text: str, images: tuple[Image, ...], cluster: str = "") -> Sample | None:
    """A sample whose report has no sections; None where it is empty."""
    if not text:
        return None
    targets: dict[str, Target] = {"answer": Text((text,)), "report": Text((text,))}
    strata = {"n_images": str(len(images)), "report_length": length_stratum(targets)}
    return Sample(name, cluster or cluster_of(name), targets, images, _SLOTS, strata=strata)


def one_by_one(sample: Sample) -> Iterator[Sample]:
    """A sample for every picture of a sample."""
    strata = {**sample.strata, "n_images": "1"}
    for number, image in enumerate(sample.images):
        yield sample._replace(id=f"{sample.id}-{number}", images=(image,), strata=strata)


def cluster_of(name: str) -> str:
    """IU-Xray's report number out of a study id: ``CXR2384`` of ``CXR2384_IM-0942``; other names as they are."""
    number, underscore, _ = name.partition("_")
    return number if underscore and number.startswith("CXR") else name


def cleaned(report: str) -> str:
    """A report as R2Gen scores it: lower-case sentences without punctuation and list numbers, joined by `` . ``.

    A sentence that ends with a number ("at T11. ") keeps it, where R2Gen takes its end for a list number.
    """
    text = re.sub(r"_+", "_", one_line(report))
    text = re.sub(r"\.{2,}", ".", re.sub(r" +", " ", text))
    text = re.sub(r"(?:^|(?<= ))1\. ", "", text)
    text = re.sub(r"(?:^|(?<=\. ))[2-5]\. ", "", text)
    text = re.sub(r" [2-5]\. ", ". ", text)
    sentences = (one_line(_PUNCTUATION.sub("", s)) for s in text.strip().lower().split(". "))
    return one_line(" . ".join(sentences) + " .")  # an empty sentence leaves its full stop, as in the original


def find_table(root: Path, name: str, what: str) -> Path:
    """A file in a folder, or in the one folder below it that has it. Raises :class:`radbench.errors.DataError`."""
    if root.is_file():
        return root
    found = (
        [root / name] if (root / name).is_file() else sorted(root.glob(f"*/{name}")) or sorted(root.glob(f"*/*/{name}"))
    )
    if len(found) > 1:
        raise DataError(
            f"{root}: several {name}: {', '.join(str(p.relative_to(root)) for p in found)}",
            remedy="give the folder of one of them",
        )
    return found[0] if found else require(root / name, what)


def image_folder(folder: Path) -> Path:
    """The folder that pictures are listed below: ``images`` or ``files`` in a folder, or itself."""
    return next((folder / n for n in ("images", "files") if (folder / n).is_dir()), folder)
