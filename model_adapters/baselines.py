"""Models without a network: what every score should be read beside.

``constant`` and ``random`` look at nothing, ``majority`` knows the support split's answers, ``oracle`` is told the truth
and so proves that parsing and scoring can reach the top.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from radbench.errors import ImageError, shown
from radbench.options import one_of, whole
from radbench.records import Answer, Box, Boxes, Failure, Labels, Mask, Request, Sample, Target, Text

if TYPE_CHECKING:
    from radbench.task import Support, Task

log = logging.getLogger("radbench")

_GRID = 256  # masks are averaged on a grid of this many points an axis


class Constant:
    """The same text for every request: ``constant:normal``.

    Pictures are decoded all the same, so that its run is also a check of the data.
    """

    capabilities = frozenset({"text", "multi_image", "volumes"})
    raw_argument = True

    def __init__(self, text: str) -> None:
        self._text = text
        self._answer = Answer(text=text)

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "constant", "name": f"constant:{self._text}"}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        answer = self._answer
        for request in requests:
            yield request, answer


class Random:
    """One of the request's choices, uniformly, by seed and sample; no text where there are no choices."""

    capabilities = frozenset({"text", "blind", "by_sample", "multi_image", "volumes"})

    def __init__(self, seed: int = 0) -> None:
        whole("seed", seed, 0)
        self._seed = seed

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "random", "name": "random", "seed": str(self._seed)}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            if not request.choices:
                yield request, Answer(text="")
                continue
            name = f"{request.task}|{request.sample}|{request.draw}".encode("utf-8", "surrogatepass")
            draw = np.random.default_rng([self._seed, zlib.crc32(name)])
            yield request, Answer(text=request.choices[int(draw.integers(len(request.choices)))])


class Majority:
    """The most frequent answer of the support split; masks: pixel-wise majority; boxes: each label's mean box.

    Masks and boxes are averaged in relative coordinates and scaled to the asked picture.
    """

    capabilities = frozenset({"text", "boxes", "mask2d", "mask3d", "multi_image", "volumes"})

    def __init__(self) -> None:
        self._pools: dict[str, _MajorityPool] = {}

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "majority", "name": "majority", "revision": "1"}

    def fit(self, task: Task, support: Support) -> None:
        self._pools[task.name] = _MajorityPool(task, support)

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            yield request, self._pools[request.task].answer(request)


class _MajorityPool:
    """Summaries of one task's support targets, with each cluster's share kept so that it can be left out."""

    def __init__(self, task: Task, support: Support) -> None:
        self._held_out = support.held_out
        self._clusters = [support.cluster_of(i) for i in range(len(support.samples))]
        self._targets = [_learned(s, task) for s in support.samples]
        self._cache: dict[str | None, Answer | np.ndarray] = {}

    def answer(self, request: Request) -> Answer:
        left_out = self._held_out[request.sample] if self._held_out else None
        if left_out not in self._cache:
            rest = [t for t, c in zip(self._targets, self._clusters, strict=True) if c != left_out and t is not None]
            self._cache[left_out] = self._summary(rest)
        summary = self._cache[left_out]
        if isinstance(summary, np.ndarray):
            return Answer(mask=resample_nearest(summary, request.asked_images[0].load().size) >= 0.5)
        if summary.boxes is not None:
            height, width = request.asked_images[0].load().size[:2]
            return Answer(boxes=tuple(scale_box(b, width, height) for b in summary.boxes))
        return summary

    def _summary(self, targets: Sequence[Target]) -> Answer | np.ndarray:
        if not targets:
            return Answer(text="")
        if isinstance(targets[0], Mask):
            masks = [t.load() for t in targets if isinstance(t, Mask)]
            return np.mean([resample_nearest(m, (_GRID,) * m.ndim) for m in masks], axis=0)
        if isinstance(targets[0], Boxes):
            return Answer(boxes=_mean_boxes([t for t in targets if isinstance(t, Boxes)]))
        return Answer(text=Counter(target_text(t) for t in targets).most_common(1)[0][0])


def _learned(sample: Sample, task: Task) -> Target | None:
    """A support sample's target, boxes in fractions; None, logged, where its mask or picture cannot be read."""
    target = sample.targets[task.target]
    if not isinstance(target, Boxes):
        return target if usable(target, task) else None
    try:
        return in_fractions(target, sample)
    except ImageError as error:
        log.warning("task %s: support boxes are left out: %s", task.name, shown(error.message, task.access, 300))
        return None


def _mean_boxes(targets: Sequence[Boxes]) -> tuple[Box, ...]:
    corners: dict[str, list[tuple[float, ...]]] = {}
    for b in (b for target in targets for b in target.boxes):
        corners.setdefault(b.label, []).append((b.x0, b.y0, b.x1, b.y1))
    return tuple(Box(label, *(float(c) for c in np.mean(c4, axis=0))) for label, c4 in sorted(corners.items()))


class Oracle:
    """Answers with the target itself, in the form the task's parser reads.

    ``form=text`` writes boxes as text, as a model without a detection head must: it proves that the text form is read.
    """

    capabilities = frozenset({"text", "boxes", "mask2d", "mask3d", "multi_image", "volumes", "by_sample", "blind"})

    def __init__(self, form: Literal["native", "text"] = "native") -> None:
        one_of("form", form, ("native", "text"))
        self._form = form
        self._truth: dict[tuple[str, str], Target | Answer] = {}
        if form == "text":
            self.capabilities = self.capabilities - {"boxes"}

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "oracle", "name": "oracle"} | ({} if self._form == "native" else {"form": self._form})

    def tell(self, task: Task, samples: Iterable[Sample]) -> None:
        unit = task.parser.options.get("unit", "pixels")
        for sample in samples:
            target = sample.targets[task.target]
            written = self._form == "text" and isinstance(target, Boxes)
            self._truth[task.name, sample.id] = _boxes_as_text(target, sample, unit) if written else target

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            truth = self._truth[request.task, request.sample]
            try:
                yield request, truth if isinstance(truth, Answer) else target_answer(truth)
            except ImageError as error:
                yield request, Answer(failure=Failure("input", error.message))


def _boxes_as_text(target: Target, sample: Sample, unit: str) -> Answer:
    """Boxes in the text form of a task whose parser reads that unit."""
    assert isinstance(target, Boxes)
    if unit == "fraction":
        try:
            target = in_fractions(target, sample)
        except ImageError as error:
            return Answer(failure=Failure("input", error.message))
    return Answer(text=target_text(target))


def target_text(target: Target) -> str:
    """A target as a model would write it: a text's first alternative, labels joined by comma, boxes as JSON."""
    if isinstance(target, Text):
        return target.first
    if isinstance(target, Labels):
        return ", ".join(target.names) or "none"
    if isinstance(target, Boxes):
        return json.dumps([{"label": b.label, "box": [b.x0, b.y0, b.x1, b.y1]} for b in target.boxes])
    raise TypeError("a mask has no text form")


def usable(target: Target, task: Task) -> bool:
    """Whether a support target can be learned from; an unreadable mask is logged and left out."""
    if isinstance(target, Mask):
        try:
            target.load()
        except ImageError as error:
            log.warning("task %s: a support mask is left out: %s", task.name, shown(error.message, task.access, 300))
            return False
    return True


def in_fractions(target: Boxes, sample: Sample) -> Boxes:
    """Boxes in fractions of what they were drawn on: their frame where the dataset tells, else the sample's picture.

    Raises :class:`ImageError`.
    """
    if not sample.images:
        raise ImageError("boxes without a picture")
    height, width = sample.images[0].load().size[:2] if target.frame is None else target.frame[::-1]
    return Boxes(tuple(scale_box(b, 1 / width, 1 / height) for b in target.boxes))


def target_answer(target: Target) -> Answer:
    """A target as an answer in its own form."""
    if isinstance(target, Mask):
        return Answer(mask=target.load())
    if isinstance(target, Boxes):
        return Answer(boxes=target.boxes)
    return Answer(text=target_text(target))


def resample_nearest(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """``array`` on a grid of another shape by nearest neighbour of pixel centres; dtype kept."""
    picks = [((np.arange(new) + 0.5) * old / new).astype(int) for old, new in zip(array.shape, shape, strict=True)]
    return array[np.ix_(*picks)]


def scale_box(box: Box, x: float, y: float) -> Box:
    return Box(box.label, box.x0 * x, box.y0 * y, box.x1 * x, box.y1 * y, box.score)
