"""Samples about places in a picture: region captions, boxes, masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from radbench.tasks.phantom.grammar import listed, shuffled
from radbench.tasks.phantom.questions import overlap
from radbench.tasks.phantom.spec import ABNORMALITIES, ANATOMY, DEVICES, Case, Modality, Picture, Region
from radbench.tasks.phantom.study import CHEST, Study, flat, main_picture, text, volumes
from radbench.tasks.phantom.texts import holds
from radbench.tasks.phantom.texts import region_caption as describe

from radbench.records import Box, Boxes, Image, Mask, Sample

NINE = 9  # class names a detection query has at most (MedVersa)


def _fractions(box: Sequence[float], picture: Picture) -> str:
    """``[x_min, y_min, x_max, y_max]`` of the picture's width and height, two decimals, as MedVersa writes boxes."""
    height, width = picture.size[:2]
    return "[" + ", ".join(f"{c / s:.2f}" for c, s in zip(box, (width, height) * 2, strict=True)) + "]"


def region_caption(study: Study) -> Iterator[Sample]:
    picture = main_picture(study.case)
    if picture is None:
        return
    for number, (label, box) in enumerate(_regions(study.case, picture)):
        said = text(describe(study.case, picture, label))
        where = _fractions(box, picture)
        yield study.sample(number, (picture,), said, strata={"label": label}, target=where, label=label)


def _regions(case: Case, picture: Picture) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Boxes of findings, and up to two of anatomy that no finding touches; labels with one box only."""
    named = {f.name for f in case.findings}
    single = {label: boxes[0] for label, boxes in picture.boxes.items() if len(boxes) == 1}
    touched = [box for label in named for box in picture.boxes.get(label, ())]
    yield from ((label, box) for label, box in single.items() if label in named)
    free = [
        (label, box)
        for label, box in single.items()
        if label not in named
        and not any(holds(label, f) for f in case.findings)
        and not any(overlap(box, other) for other in touched)
    ]
    yield from shuffled(case, "regions", free)[:2]


def _detection(study: Study, names: Sequence[str], queries: int) -> Iterator[Sample]:
    """Up to nine class names a query; those without a box in the picture are absent."""
    picture = main_picture(study.case)
    if study.key != CHEST or picture is None:
        return
    frame = float(picture.size[1]), float(picture.size[0])
    for number in range(queries):
        asked = tuple(shuffled(study.case, f"classes {number}", names)[:NINE])
        boxes = tuple(Box(name, *box) for name in asked for box in picture.boxes.get(name, ()))
        strata = {"boxes": str(len(boxes))}
        yield study.sample(
            number, (picture,), Boxes(boxes, frame), name="boxes", choices=asked, strata=strata, target=listed(asked)
        )


def detection_anatomy(study: Study) -> Iterator[Sample]:
    return _detection(study, ANATOMY[CHEST], 1)


def detection_pathology(study: Study) -> Iterator[Sample]:
    return _detection(study, ABNORMALITIES[CHEST] + DEVICES[CHEST], 1)


def _masks(study: Study, pictures: Sequence[Picture], names: Sequence[str]) -> Iterator[Sample]:
    number = 0
    for picture in pictures:
        for name in names:
            if picture.labels is None or name not in picture.masks:
                continue
            label_map = Image(str(study.root / picture.labels), kind="2d" if picture.kind == "2d" else "volume")
            mask = Mask(image=label_map, values=(picture.masks[name],))
            yield study.sample(number, (picture,), mask, name="mask", strata={"label": name}, target=name)
            number += 1


def segmentation_2d(study: Study) -> Iterator[Sample]:
    pictures = flat(study.case)[:1]
    return _masks(study, pictures if study.key == CHEST else (), ("left lung", "right lung", "heart"))


def segmentation_3d(study: Study) -> Iterator[Sample]:
    key: tuple[Modality, Region] = ("CT", "abdomen")
    return _masks(study, volumes(study.case) if study.key == key else (), ANATOMY[key])
