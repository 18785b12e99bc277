"""Rad3D-Modality, -VQA, -Caption and -Rationale: RadFM's lists of Radiopaedia cases (on request).

``radio_modality_{train,test}.csv`` (``image_path, answer``), ``modality_set.json``; ``radiology_vqa_{train,test}.csv``
(``image_path, question, answer``); ``radiology_article_npy_{train,test}.json`` (cases with ``npy_path, image_size, pat, pre,
finding, impression, title, articles, radiographic_features``); ``articles_resave.json`` (keyed by article). The test files are
the split: the paper's Table 3 says random, its text cases from 2023 on. Paths are the authors' own: pictures are found below
the root by the end of their path, or by ``path_map``. Specification B.10.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from radbench.tasks.prompts import paper_prompts
from radbench.tasks.readers.files import column, csv_rows, require
from radbench.tasks.readers.json_stream import json_document, json_list, json_members
from radbench.tasks.readers.label_names import MODALITIES, RELEASED_MODALITIES
from radbench.tasks.readers.picture_index import PictureIndex
from radbench.tasks.readers.rad3d_lists import (
    ARTICLES,
    CASES,
    SUFFIXES,
    base,
    case_images,
    case_of,
    case_sample,
    context,
    fingerprint_of,
    scans,
    table_of,
    text,
    texts,
)

from radbench.errors import ConfigError, DataError
from radbench.records import Image, Labels, Sample, Target, Text

log = logging.getLogger("radbench")

# Ours: the authors' mapping is unknown. Mammography, fluoroscopy and barium studies are made with X-rays; an annotated image
# may be any modality; nuclear medicine is PET only where the auxiliary name says so.
TO_PAPER: Mapping[str, str] = {
    "CT": "CT",
    "MRI": "MRI",
    "X-ray": "X-ray",
    "Ultrasound": "Ultrasound",
    "DSA (angiography)": "angiography",
    "DSA": "angiography",
    "angiography": "angiography",
    "PET": "PET",
    "Mammography": "X-ray",
    "Fluoroscopy": "X-ray",
    "Barium": "X-ray",
}
_FEATURES = "The Radiographic features can be summarized as follows."


class Modality:
    """Which modality a scan is of. Cluster: the case, by the authors' paths ``<case>/<number>/<file>``; else the path.

    ``answers="paper"``: the answer ``main,auxiliary`` is mapped to one of ``MODALITIES`` by its main name, with
    ``names`` (default :data:`TO_PAPER`); answers without a place among the six are left out, counted in the log.
    ``answers="released"``: the choices are modality_set.json, or ``RELEASED_MODALITIES`` where it is missing. Target
    ``answer``, stratum ``modality`` (the released main name). ``axes`` says where the axes of a NIfTI array point: the
    authors' headers hold no geometry (slices, columns, rows); None trusts the header.
    """

    def __init__(
        self,
        root: Path,
        *,
        answers: Literal["paper", "released"] = "paper",
        names: Mapping[str, str] | None = None,
        path_map: str = "",
        axes: str | None = "SLP",
    ) -> None:
        if answers not in ("paper", "released"):
            raise ConfigError(f"Rad3D-Modality: answers is '{answers}', expected paper or released")
        root = base(root)
        self._root, self._answers, self._axes = root, answers, axes
        self._names = {name.casefold(): ours for name, ours in (TO_PAPER if names is None else names).items()}
        self._index = PictureIndex(root, SUFFIXES, path_map)
        if unknown := sorted(set(self._names.values()) - set(MODALITIES)):
            raise ConfigError(f"Rad3D-Modality: '{unknown[0]}' is none of {', '.join(MODALITIES)}")

    def samples(self, split: str) -> Iterator[Sample]:
        table, left_out = table_of(self._root, "radio_modality_{}.csv", split), 0
        choices = MODALITIES if self._answers == "paper" else self._released
        for number, (line, row) in enumerate(csv_rows(table), 1):
            path, answer = (column(row, c, table, line).strip() for c in ("image_path", "answer"))
            label = self._paper(answer) if self._answers == "paper" else self._as_released(answer)
            if label is None:
                left_out += 1
                continue
            yield Sample(
                id=f"{split}-{number}",
                cluster=case_of(path),
                targets={"answer": Labels((label,))},
                images=self._images(path),
                choices=choices,
                strata={"modality": answer.partition(",")[0].strip()},
            )
        if left_out:
            log.info("%s: %d answers are none of the %d choices and left out", table, left_out, len(choices))

    def _paper(self, answer: str) -> str | None:
        main, _, auxiliary = answer.partition(",")
        name = main.strip().casefold()
        if name == "nuclear medicine" and name not in self._names and re.search(r"\bPET\b", auxiliary):
            name = "pet"
        return self._names.get(name)

    def _as_released(self, answer: str) -> str | None:
        main = answer.partition(",")[0].strip()
        return next((name for name in (answer, main) if name in self._released), None)

    @cached_property
    def _released(self) -> tuple[str, ...]:
        path = self._root / "modality_set.json"
        if not path.is_file():
            return RELEASED_MODALITIES
        document = json_document(path)
        names = document.get("modality") if isinstance(document, dict) else None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise DataError(f'{path}: expected {{"modality": [names]}}')
        return tuple(names)

    def _images(self, authors_path: str) -> tuple[Image, ...]:
        path = self._index.path(authors_path)
        if path.name.lower().endswith((".nii", ".nii.gz")):
            return (Image(str(path), kind="volume", axes=self._axes),)
        return scans(path, None, 1) if path.suffix == ".npy" else (Image(str(path)),)

    def fingerprint(self) -> str:
        options = (self._answers, sorted(self._names.items()), self._axes)
        return fingerprint_of(self._root, ("radio_modality_{}.csv",), ("modality_set.json",), options)


class Vqa:
    """Questions on a case. Cluster: the array, one a case. Target ``answer``, slot ``question``.

    At most ``most_images`` scans of a case are shown, the first ones (the release keeps eight at random).
    """

    def __init__(self, root: Path, *, path_map: str = "", most_images: int = 8) -> None:
        root = base(root)
        self._root, self._most, self._index = root, most_images, PictureIndex(root, SUFFIXES, path_map)

    def samples(self, split: str) -> Iterator[Sample]:
        table, empty = table_of(self._root, "radiology_vqa_{}.csv", split), 0
        for number, (line, row) in enumerate(csv_rows(table), 1):
            path, question, answer = (column(row, c, table, line).strip() for c in ("image_path", "question", "answer"))
            if not question or not answer:
                empty += 1
                continue
            yield Sample(
                id=f"{split}-{number}",
                cluster=path,
                targets={"answer": Text((answer,))},
                images=scans(self._index.path(path), None, self._most),
                slots={"question": question},
            )
        if empty:
            log.info("%s: %d rows without question or answer are left out", table, empty)

    def fingerprint(self) -> str:
        return fingerprint_of(self._root, ("radiology_vqa_{}.csv",), (), (self._most,))


class Caption:
    """Reports of cases. Cluster: the case, by its array. Target ``answer``: "Finding: ...Impression: ...".

    Slot ``context``: ``pat`` and ``pre``, a blank behind them, to stand before the prompt. Stratum ``modality``, "several"
    where the case has more than one. Cases without finding and impression are left out and counted in the log.
    """

    def __init__(self, root: Path, *, path_map: str = "", most_images: int = 8) -> None:
        root = base(root)
        self._root, self._most, self._index = root, most_images, PictureIndex(root, SUFFIXES, path_map)

    def samples(self, split: str) -> Iterator[Sample]:
        table, empty = table_of(self._root, CASES, split), 0
        for position, row in json_list(table):
            finding, impression = (text(column(row, c, table, position)) for c in ("finding", "impression"))
            if not finding and not impression:
                empty += 1
                continue
            answer = Text((f"Finding: {finding}Impression: {impression}",))
            images = case_images(self._index, self._most, row, table, position)
            slots = {"context": context(row, table, position)}
            yield case_sample(split, row, table, position, {"answer": answer}, images, slots)
        if empty:
            log.info("%s: %d cases without finding and impression are left out", table, empty)

    def fingerprint(self) -> str:
        return fingerprint_of(self._root, (CASES,), (), (self._most,))


class Rationale:
    """Features and diagnosis of cases. Cluster: the case, by its array. Cases as in :class:`Caption`.

    ``form="open"``: target ``answer`` is the articles, then "The Radiographic features can be summarized as follows." and the
    features. ``"yes-no"``: target ``answer`` ("yes" or "no", and as a label under ``label``) to a disease, the case's title
    or, in a seeded half, another article's name: not the title and, unlike the release, none of the case's own articles.
    ``"both"``: a seeded half of each. Slots ``context``, ``disease`` (empty in the open form) and ``question``: one of the
    paper's prompts for the form, drawn with the seed. Stratum ``form``.
    """

    def __init__(
        self,
        root: Path,
        *,
        form: Literal["open", "yes-no", "both"] = "open",
        seed: int = 0,
        path_map: str = "",
        most_images: int = 8,
    ) -> None:
        if form not in ("open", "yes-no", "both"):
            raise ConfigError(f"Rad3D-Rationale: form is '{form}', expected open, yes-no or both")
        root = base(root)
        self._root, self._form, self._seed, self._most = root, form, seed, most_images
        self._index = PictureIndex(root, SUFFIXES, path_map)

    def samples(self, split: str) -> Iterator[Sample]:
        table, empty = table_of(self._root, CASES, split), 0
        for position, row in json_list(table):
            draw = random.Random(f"{self._seed}|{column(row, 'npy_path', table, position)}")
            is_open = draw.random() < 0.5 if self._form == "both" else self._form == "open"
            disease, targets = "", _open_answer(row, table, position)
            if not is_open:
                disease, targets = self._disease(row, table, position, draw)
            if not targets:
                empty += 1
                continue
            question = draw.choice(_prompts(is_open)).replace("{disease}", disease)
            slots = {"context": context(row, table, position), "disease": disease, "question": question}
            images = case_images(self._index, self._most, row, table, position)
            strata = {"form": "open" if is_open else "yes-no"}
            yield case_sample(split, row, table, position, targets, images, slots, strata)
        if empty:
            log.info("%s: %d cases without articles and features are left out", table, empty)

    def _disease(
        self, row: dict[str, Any], table: Path, position: int, draw: random.Random
    ) -> tuple[str, dict[str, Target]]:
        title = text(column(row, "title", table, position))
        own = {name.casefold() for name in (title, *texts(row, "articles", table, position))}
        asked, answer = title, "yes"
        if draw.random() < 0.5:
            others = draw.sample(self._articles, min(len(own) + 1, len(self._articles)))
            other = next((name for name in others if name.casefold() not in own), None)
            if other is None:
                raise DataError(f"{self._root / ARTICLES}: no article besides those of item {position} of {table.name}")
            asked, answer = other, "no"
        return asked, {"answer": Text((answer,)), "label": Labels((answer,))}

    @cached_property
    def _articles(self) -> list[str]:
        path = require(self._root / ARTICLES, "RadFM's articles, an object keyed by article name")
        by_name = {name.casefold(): name for name, _ in json_members(path)}
        return sorted(by_name.values())

    def fingerprint(self) -> str:
        return fingerprint_of(self._root, (CASES,), (ARTICLES,), (self._form, self._seed, self._most))


def _open_answer(row: dict[str, Any], table: Path, position: int) -> dict[str, Target]:
    articles, features = (" ".join(texts(row, c, table, position)) for c in ("articles", "radiographic_features"))
    return {"answer": Text((f"{articles}{_FEATURES}{features}",))} if articles or features else {}


def _prompts(is_open: bool) -> list[str]:
    """The paper's prompts of a form; pictures stand before the text, so their places in it are dropped."""
    prompts = (p for p in paper_prompts("RadBench/prompts/rationale_diagnosis") if ("{disease}" in p) != is_open)
    return [p.replace("{image-1}", "").replace("{image-2}", "").strip() for p in prompts]
