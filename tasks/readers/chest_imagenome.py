"""Chest ImaGenome 1.0.0 (PhysioNet chest-imagenome, credentialed): regions, findings and sentences of MIMIC-CXR pictures.

``silver_dataset/scene_graph/<dicom_id>_SceneGraph.json`` (or one ``scene_graph`` folder deeper) and
``silver_dataset/splits/{train,valid,test,images_to_avoid}.csv``. Pictures and MIMIC's official split, which MedInterp
follows, lie in MIMIC-CXR-JPG. Layout: ttanida/rgrg. Rules: a finding is positive where any region states it, and its
boxes are those regions' boxes (Zhou et al. 2024, MedVersa).
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

from radbench.tasks.readers.box_text import box_text
from radbench.tasks.readers.chest_names import FINDINGS, REGIONS, patient_context
from radbench.tasks.readers.files import column, csv_rows, hash_files, require
from radbench.tasks.readers.mimic_paths import (
    bare,
    mimic_table,
    picture_path,
    picture_sizes,
    size_of,
    split_rows,
    split_table,
)
from radbench.tasks.readers.scene_graph import FRAME, SceneGraph

from radbench.errors import ConfigError, DataError
from radbench.records import Box, Boxes, Image, Labels, Sample, Text

TASKS = ("classification", "anatomy", "pathology", "captions")
_OWN = {"train": "train.csv", "val": "valid.csv", "test": "test.csv"}


class _Picture(NamedTuple):
    """A picture of a split with its scene graph; ``size`` is (height, width) of the frame its boxes are given in.

    ``told``: the size is known, not guessed from the boxes.
    """

    dicom: str
    subject: str
    image: Image
    graph: SceneGraph
    size: tuple[int, int]
    told: bool


class SceneGraphs:
    """Splits train, val, test, of MIMIC or (``split_from="imagenome"``) of the set's own lists; cluster: the patient.

    ``task``: ``classification``, the positive findings of a picture. A second target, ``mentioned``, holds the names that
    its report speaks of at all (``unmentioned="negative"``: all names); it is no part of the request, since it would give
    the report away. Pictures that mention none of the names are left out. What of ``names`` is not mentioned is left out
    of the score only where the task's parser or metric looks at ``mentioned``: a metric that sees the target alone takes
    it for absent. ``anatomy`` and ``pathology``,
    boxes of up to ``per_query`` names a sample, present and absent alike, in the order of ``names`` or, with ``seed``,
    in an order drawn for every picture. ``captions``, a region's sentences; the slot ``target`` is its box.

    ``names`` are the 36 regions or 41 findings unless given (the 33 of MedVersa's paper are not published).
    ``frame="padded"`` gives boxes in the 224 x 224 frame, for pictures that were padded and resized so. ``avoid`` leaves
    the pictures of the gold set out. ``faults`` counts the boxes clipped to their picture and those dropped.
    """

    def __init__(
        self,
        root: Path,
        *,
        images: Path,
        task: Literal["classification", "anatomy", "pathology", "captions"] = "classification",
        names: Sequence[str] | None = None,
        per_query: int = 9,
        seed: int | None = None,
        frame: Literal["original", "padded"] = "original",
        split_from: Literal["mimic", "imagenome"] = "mimic",
        unmentioned: Literal["left-out", "negative"] = "left-out",
        avoid: bool = True,
    ) -> None:
        silver = root / "silver_dataset" if (root / "silver_dataset").is_dir() else root
        graphs = silver / "scene_graph"
        self._graphs = require(
            graphs / "scene_graph" if (graphs / "scene_graph").is_dir() else graphs, "the unpacked scene graphs"
        )
        for option, value, known in (
            ("task", task, TASKS), ("frame", frame, ("original", "padded")), ("split_from", split_from, ("mimic", "imagenome")),
            ("unmentioned", unmentioned, ("left-out", "negative")),
        ):  # fmt: skip
            if value not in known:
                raise ConfigError(f"{option} is {value!r}, expected {', '.join(known)}")
        if per_query < 1:
            raise ConfigError(f"per_query is {per_query}, expected at least 1")
        self._lists, self._images, self._task, self._frame = silver / "splits", images, task, frame
        self._names = tuple(names or (REGIONS if task == "anatomy" else FINDINGS))
        self._per_query, self._seed, self._own = per_query, seed, split_from == "imagenome"
        self._negative, self._avoid = unmentioned == "negative", avoid
        self.faults: Counter[str] = Counter()

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in _OWN:
            raise DataError(f"Chest ImaGenome has no split '{split}' but {', '.join(_OWN)}")
        self.faults.clear()
        make = {"classification": self._labelled, "captions": self._captions}.get(self._task, self._queries)
        for picture in self._pictures(split):
            yield from make(picture)

    def _pictures(self, split: str) -> Iterator[_Picture]:
        sizes = picture_sizes(self._images) if self._frame == "original" else None
        listed = found = 0
        for where, dicom, subject, study in self._listed(split):
            path = self._graphs / f"{dicom}_SceneGraph.json"
            listed += 1
            if not path.exists():
                continue  # the split names lateral pictures too, which have no scene graph
            found += 1
            if dicom in self._avoided:
                continue
            try:
                document = json.loads(path.read_bytes())
            except (ValueError, RecursionError) as error:
                raise DataError(f"{where}, its scene graph: not JSON ({type(error).__name__})") from None
            except OSError as error:  # whose own message has the path, and so the picture's id
                raise DataError(f"{where}, its scene graph: cannot be read ({error.strerror})") from None
            graph = SceneGraph(document, f"{where}, its scene graph", self.faults)
            image = Image(
                picture_path(self._images, subject, study, dicom), view=graph.text("viewpoint") or None, study=study
            )
            told = (FRAME, FRAME) if self._frame == "padded" else size_of(sizes, dicom)
            yield _Picture(dicom, subject, image, graph, told or graph.original_size(), told is not None)
        if listed and not found:
            raise DataError(
                f"{self._graphs}: no scene graph of the {listed} pictures in split '{split}'",
                remedy="unpack scene_graph.zip there: <dicom_id>_SceneGraph.json",
            )

    def _listed(self, split: str) -> Iterator[tuple[str, str, str, str]]:
        """``(where, dicom, subject, study)`` of a split's pictures, in the order of its list."""
        if not self._own:
            path = split_table(self._images)
            for line, dicom, subject, study, name in split_rows(path):
                if name == split:
                    yield f"{path}, line {line}", dicom, subject, study
            return
        path = require(self._lists / _OWN[split], f"the list silver_dataset/splits/{_OWN[split]}")
        for line, row in csv_rows(path):
            dicom, subject, study = (column(row, c, path, line) for c in ("dicom_id", "subject_id", "study_id"))
            yield f"{path}, line {line}", dicom, bare(subject), bare(study)

    @cached_property
    def _avoided(self) -> frozenset[str]:
        if not self._avoid:
            return frozenset()
        path = require(self._lists / "images_to_avoid.csv", "the list of the gold set's pictures (or avoid=False)")
        return frozenset(column(row, "dicom_id", path, line) for line, row in csv_rows(path))

    # --- the tasks ---

    def _labelled(self, picture: _Picture) -> Iterator[Sample]:
        stated: dict[str, bool] = {}
        for _, name, present in picture.graph.findings():
            stated[name] = stated.get(name, False) or present
        mentioned = tuple(name for name in self._names if self._negative or name in stated)
        if mentioned:
            positive = tuple(name for name in mentioned if stated.get(name))
            sample = self._sample(picture, picture.dicom, Labels(positive), {}, (), {"findings": str(len(positive))})
            yield sample._replace(targets={**sample.targets, "mentioned": Labels(mentioned)})

    def _queries(self, picture: _Picture) -> Iterator[Sample]:
        regions = picture.graph.boxes(self._frame, picture.size)
        if self._task == "anatomy":
            boxes = list(regions.values())
        else:
            pairs = dict.fromkeys((name, region) for region, name, present in picture.graph.findings() if present)
            found = [(name, regions[region]) for name, region in pairs if region in regions]
            boxes = [Box(name, box.x0, box.y0, box.x1, box.y1) for name, box in found]
        frame = (float(picture.size[1]), float(picture.size[0])) if picture.told else None
        names = list(self._names)
        if self._seed is not None:
            random.Random(f"{self._seed}|{picture.dicom}").shuffle(names)
        for number, start in enumerate(range(0, len(names), self._per_query), 1):
            asked = tuple(names[start : start + self._per_query])
            true = Boxes(tuple(box for box in boxes if box.label in asked), frame)
            yield self._sample(
                picture, f"{picture.dicom}|{number}", true, {"target": ", ".join(asked)}, asked, {"query": str(number)}
            )

    def _captions(self, picture: _Picture) -> Iterator[Sample]:
        regions = picture.graph.boxes(self._frame, picture.size)
        positive = Counter(
            region for region, name, present in picture.graph.findings() if present and name in self._names
        )
        for region, text in picture.graph.sentences():
            if region not in regions:
                continue
            box, count = regions[region], positive[region]
            slots = {"target": box_text(box, picture.size[1], picture.size[0]), "region": region}
            strata = {"region": region, "findings": str(count) if count < 3 else "3 or more"}
            yield self._sample(picture, f"{picture.dicom}|{region}", Text((text,)), slots, (), strata)

    def _sample(
        self,
        picture: _Picture,
        identifier: str,
        target: Labels | Boxes | Text,
        slots: dict[str, str],
        choices: tuple[str, ...],
        strata: dict[str, str],
    ) -> Sample:
        age, gender = picture.graph.text("age_decile"), picture.graph.text("gender")
        return Sample(
            id=identifier,
            cluster=picture.subject,
            targets={"boxes" if isinstance(target, Boxes) else "answer": target},
            images=(picture.image,),
            slots={**slots, "age": age, "gender": gender, "context": patient_context(age, gender)},
            choices=choices,
            strata={
                "view": picture.image.view or "unknown", "gender": gender or "unknown", "age": age or "unknown", **strata
            },
        )  # fmt: skip

    def fingerprint(self) -> str:
        """The lists, the names and sizes of the scene graphs, and the options."""
        lists = [p for p in (self._lists / n for n in (*_OWN.values(), "images_to_avoid.csv")) if p.exists()]
        if not self._own:
            lists.append(split_table(self._images))
        if metadata := mimic_table(self._images, "metadata"):
            lists.append(metadata)
        with os.scandir(self._graphs) as entries:
            listing = sorted(f"{e.name}\0{e.stat().st_size}" for e in entries if e.name.endswith(".json"))
        options = (
            self._task, self._names, self._per_query, self._seed, self._frame, self._own, self._negative, self._avoid
        )  # fmt: skip
        text = f"{hash_files(lists)}\n{options!r}\n" + "\n".join(listing)
        return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
