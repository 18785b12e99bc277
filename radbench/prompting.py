"""Samples to requests: prompt templates, their slots for texts and pictures, and the key of each request."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256

from radbench.dataset import Reader
from radbench.errors import ConfigError, shown
from radbench.records import (
    Image,
    Labels,
    Mask,
    Message,
    Request,
    Sample,
    Target,
)
from radbench.task import LEAVE_ONE_CLUSTER_OUT, Support, Task


class Renderer:
    """Turns samples into requests. Prompts are compiled once; the same sample always renders the same."""

    def __init__(
        self, task: Task, seed: int, base: bytes, by_sample: bool = False, draws: int = 1, text_form: bool = False
    ) -> None:
        self._task = task
        self._form = Template(task.text_form) if text_form and task.text_form else None
        self._seed = f"{seed}|".encode()
        self._templates = [Template(p) for p in task.prompts]
        self._system = (Message("system", (task.system,)),) if task.system else ()
        self._generation = task.generation
        if task.generation.temperature > 0:  # another seed of the run draws other answers
            self._generation = replace(task.generation, seed=task.generation.seed + seed)
        self._base = sha256(base)
        self._base.update(f"{task.system}\0{task.form}\0{self._generation}\0".encode("utf-8", "surrogatepass"))
        self._by_sample = by_sample
        self.draws = draws

    def key(self, sample: Sample, draw: int = 0) -> bytes:
        """The key of a sample's request, without building it."""
        return self._key(sample, self._content(sample), draw)

    def render(self, sample: Sample, draw: int = 0) -> Request:
        """The request of a sample. Raises :class:`ConfigError` where the prompt names a slot the sample lacks."""
        task, content = self._task, self._content(sample)
        messages = (*self._system, Message("user", content))
        key = self._key(sample, content, draw)
        choices = sample.choices or task.choices
        return Request(task.name, sample.id, messages, task.form, choices, self._generation, draw, key)

    def _content(self, sample: Sample) -> tuple[str | Image, ...]:
        templates = self._templates
        template = templates[0]
        if len(templates) > 1:
            template = templates[zlib.crc32(self._seed + sample.id.encode("utf-8", "surrogatepass")) % len(templates)]
        try:
            content = template.fill(sample, sample.choices or self._task.choices)
            if self._form is not None:
                content = (*content, "\n" + self._form.text(sample, sample.choices or self._task.choices))
            if template.placed and sample.images and all(isinstance(p, str) for p in content):
                raise ConfigError(
                    f"task '{self._task.name}': the prompt places no picture of a sample that has {len(sample.images)}",
                    remedy="use {images} or {image-1}",
                )
            return content
        except KeyError as missing:
            raise ConfigError(
                f"task '{self._task.name}': the prompt has a slot {missing} that sample"
                f" {shown(sample.id, self._task.access)} lacks (it has {', '.join(sorted(sample.slots))})"
            ) from None

    def _key(self, sample: Sample, content: tuple[str | Image, ...], draw: int) -> bytes:
        parts = [p if type(p) is str else f"\1{p.key()}\1" for p in content]  # type: ignore[union-attr]
        parts.extend(sample.choices or self._task.choices)
        parts.append(f"{draw}|{self._task.name}|{sample.id}" if self._by_sample else str(draw))
        digest = self._base.copy()  # the model, the task's system prompt and generation are hashed once
        digest.update("\0".join(parts).encode("utf-8", "surrogatepass"))
        return digest.digest()[:16]


class Template:
    """A prompt with ``{slot}`` fields; ``{{`` and ``}}`` are literal braces. Raises :class:`ConfigError` when malformed."""

    def __init__(self, text: str) -> None:
        from string import Formatter

        try:
            self._parts = [(literal, name or "") for literal, name, _, _ in Formatter().parse(text)]
        except ValueError as error:
            raise ConfigError(f"prompt {text!r}: {error}", remedy="write a literal brace twice: {{ or }}") from None
        for _, slot in self._parts:
            if slot.startswith("image-") and not slot[len("image-") :].isdigit():
                raise ConfigError(
                    f"prompt {text!r}: {{{slot}}} is no picture", remedy="use {images}, {image-1}, {image-2} ..."
                )
        self.placed = any(slot in _PICTURE_SLOTS or slot.startswith("image-") for _, slot in self._parts)

    def text(self, sample: Sample, choices: tuple[str, ...]) -> str:
        """A template without pictures, filled. Raises KeyError."""
        return "".join([literal + self._slot(slot, sample, choices) for literal, slot in self._parts])

    def fill(self, sample: Sample, choices: tuple[str, ...]) -> tuple[str | Image, ...]:
        """Text and pictures in order; pictures come first where the template places none. Raises KeyError."""
        if not self.placed:
            text = self.text(sample, choices)
            return (*sample.images, text) if text else sample.images
        content: list[str | Image] = []
        text = ""
        for literal, slot in self._parts:
            text += literal
            pictures = self._pictures(slot, sample)
            if pictures is None:
                text += self._slot(slot, sample, choices)
                continue
            for part in pictures:
                if isinstance(part, str):
                    text += part
                    continue
                if text:
                    content.append(text)
                    text = ""
                content.append(part)
        return (*content, text) if text else tuple(content)

    @staticmethod
    def _slot(slot: str, sample: Sample, choices: tuple[str, ...]) -> str:
        if slot == "choices":
            return ", ".join(choices)
        return str(sample.slots[slot]) if slot else ""

    @staticmethod
    def _pictures(slot: str, sample: Sample) -> tuple[str | Image, ...] | None:
        """The pictures a slot stands for; of one the sample does not have, none; None where it is a text slot."""
        if slot == "images":
            return sample.images
        if slot in ("current", "prior"):
            return tuple(image for image in sample.images if image.role == slot)
        if slot.startswith("captioned-"):
            role = slot.removeprefix("captioned-")
            shown = [image for image in sample.images if role in ("images", image.role)]
            return tuple(part for image in shown for part in (_caption(image, sample), image))
        if not slot.startswith("image-"):
            return None
        position = int(slot[len("image-") :])  # checked when the template was read
        return sample.images[position - 1 : position]


_PICTURE_SLOTS = frozenset({"images", "current", "prior", "captioned-images", "captioned-current", "captioned-prior"})


def _caption(image: Image, sample: Sample) -> str:
    """What stands before a picture: when it is of, the modality (the sample's slot of that name) and the view."""
    words = [str(sample.slots.get("modality") or ""), f"{image.view} view" if image.view else ""]
    known = ", ".join(filter(None, words)) or "Image"
    return f"{'Previous ' if image.role == 'prior' else ''}{known}: "


def retrieved(task: Task, neighbours: Iterable[Sample]) -> str:
    """A task's retrieval prompt with the annotations of its nearest support samples, nearest first."""
    annotations, question = [], ""
    for sample in neighbours:
        target = sample.targets[task.target]
        said = ", ".join(target.names) or "none" if isinstance(target, Labels) else target.first  # type: ignore[union-attr]
        annotations.append(said)
        question = question or str(sample.slots.get("question", ""))
    # One pass: an annotation may hold braces of its own.
    words = {"{retrieved}": ", ".join(annotations), "{question}": question}
    return re.sub(r"\{(?:retrieved|question)\}", lambda slot: words[slot.group()], task.retrieval)


def _identity(target: Target) -> str:
    """What tells two targets of a support split apart."""
    if not isinstance(target, Mask):
        return repr(target)
    if target.array is not None:
        return sha256(f"{target.array.shape}".encode() + target.array.tobytes()).hexdigest()
    return target.image.key() if target.image else repr(target)


def support_of(task: Task, reader: Reader, seed: int) -> Support:
    """The task's support set with rendered requests. Raises :class:`ConfigError` where the task has none."""
    if task.support is None:
        raise ConfigError(
            f"task '{task.name}' has no support split, and this model learns from one",
            remedy="set 'support' in the task to a split, or to 'leave-one-cluster-out'",
        )
    leave_one_out = task.support == LEAVE_ONE_CLUSTER_OUT
    samples = tuple(reader.samples(task.split if leave_one_out else task.support))
    renderer = Renderer(task, seed, b"support")
    requests = tuple(renderer.render(s) for s in samples)
    if not samples:
        raise ConfigError(
            f"task '{task.name}': the support split '{task.support}' has no sample",
            remedy="set 'support' to a split the dataset has, or to 'leave-one-cluster-out'",
        )
    if not leave_one_out:
        pool = {s.id for s in samples}
        if shared := next((s.id for s in reader.samples(task.split) if s.id in pool), None):
            raise ConfigError(
                f"task '{task.name}': sample {shown(shared, task.access)} lies in the support split and in '{task.split}'",
                remedy="a model must not learn from what it is evaluated on",
            )
    digest = sha256(task.retrieval.encode())  # with which words a neighbour is told
    for request, sample in zip(requests, samples, strict=True):
        target = sample.targets[task.target]
        truth = _identity(target)
        digest.update(request.key + f"{sample.id}\0{sample.cluster}\0{truth}\n".encode("utf-8", "surrogatepass"))
    held_out = {s.id: s.cluster or s.id for s in samples} if leave_one_out else None
    return Support(samples, requests, digest.hexdigest()[:16], held_out)
