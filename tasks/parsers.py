"""From a model's answer to a value in the target's shape, or a counted failure.

Every parser is ``(answer, sample, task, **options) -> Prediction`` and never raises on what a model may say.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from radbench.metrics.vqa.answer_sets import said_names
from radbench.metrics.vqa.choices import multimedeval_labels
from radbench.metrics.vqa.matching import MATCHERS, NEVER_INVALID, Case, most_similar_option

from radbench.errors import ConfigError, ImageError, nearest
from radbench.records import Answer, Box, Failure, Labels, Mask, Prediction, Sample

if TYPE_CHECKING:
    from radbench.task import Task

Unit = Literal["pixels", "fraction"]
_NOTHING = ("none", "normal", "no finding", "no findings", "no abnormality", "no abnormalities", "unremarkable")
_EMPTY = Prediction(None, Failure("empty", "the model returned no text"))


def _unparsable(why: str) -> Prediction:
    return Prediction(None, Failure("unparsable", why))


def _by_scores(answer: Answer, options: Sequence[str]) -> Prediction | None:
    """The likeliest option of an answer that is scores alone, the first on a tie; None where it has text or no scores."""
    known = [o for o in options if o in (answer.scores or {})]
    if (answer.text or "").strip() or answer.scores is None or not known:
        return None
    return Prediction((max(known, key=answer.scores.__getitem__),), scores=answer.scores)


def free_text(answer: Answer, sample: Sample, task: Task) -> Prediction:
    """The text as it is; only white space is empty."""
    if answer.text is None or not answer.text.strip():
        return _EMPTY
    return Prediction(answer.text)


def closed_choice(answer: Answer, sample: Sample, task: Task, case: Case = "lower") -> Prediction:
    """One label: the option most similar by difflib (see :mod:`radbench.metrics.vqa.matching`).

    An answer without text but with ``scores`` means its likeliest option.
    """
    text = answer.text
    options = sample.choices or task.choices
    if text is None or not text.strip():
        return _by_scores(answer, options) or _EMPTY
    index = most_similar_option(text, options, case)
    if index is None:
        return _unparsable("no option shares a character with the answer")
    return Prediction((options[index],), scores=answer.scores)


def choice(answer: Answer, sample: Sample, task: Task, match: str = "guarded") -> Prediction:
    """One label: the option that a reading of :data:`radbench.metrics.vqa.matching.MATCHERS` finds, ``guarded`` by default.

    An answer in which it finds none is unparsable; MultiMedEval's image matching takes the first option then, and for
    an empty text too. An answer without text but with ``scores`` means its likeliest option. Raises
    :class:`radbench.errors.ConfigError` where there is no such reading.
    """
    if match not in MATCHERS:
        raise ConfigError(f"the parser 'choice' has no match '{match}': {nearest(match, MATCHERS)}")
    text = answer.text
    options = sample.choices or task.choices
    if (likeliest := _by_scores(answer, options)) is not None:
        return likeliest
    if text is None or (not text.strip() and match not in NEVER_INVALID):
        return _EMPTY
    index = MATCHERS[match](text, options)
    if index is None:
        return _unparsable(f"no option is meant, as '{match}' reads the answer")
    return Prediction((options[index],), scores=answer.scores)


def labels(answer: Answer, sample: Sample, task: Task, separator: str = ",") -> Prediction:
    """A set of labels: the options named between separators, compared lower-cased; others are ignored.

    ``none``, ``no finding`` or ``normal`` is the empty set. A label that itself holds a separator is found as a whole. An
    answer without text but with ``scores`` names the labels with a score of at least one half.
    """
    options = sample.choices or task.choices
    if answer.text is None or not answer.text.strip():
        if answer.scores is None:
            return _EMPTY
        return Prediction(tuple(o for o in options if answer.scores.get(o, 0.0) >= 0.5), scores=answer.scores)
    said = _parts(answer.text.replace("\n", separator), separator)
    rest, chosen = f"{separator}{separator.join(said)}{separator}", set()
    for option in sorted(options, key=len, reverse=True):
        named = f"{separator}{separator.join(_parts(option, separator))}{separator}"
        if named in rest:
            chosen.add(option)
            rest = rest.replace(named, separator)
    if not chosen and not {"none", "no finding", "normal"} & set(said):
        return _unparsable("none of the labels is named")
    return Prediction(tuple(o for o in options if o in chosen), scores=answer.scores)


def named(answer: Answer, sample: Sample, task: Task, among: str = "") -> Prediction:
    """A set of labels: every option that stands in the answer as whole words, longer ones first, each stretch once.

    Case and punctuation do not count. It does not look at negation: ``no pneumothorax`` names pneumothorax. An answer that
    names none is unparsable unless it says ``none``, ``normal`` or the like; scores are read as in :func:`labels`. ``among``
    names a target of the sample whose labels alone count, for sets that say of each sample which labels are known.
    """
    options = sample.choices or task.choices
    if answer.text is None or not answer.text.strip():
        return labels(answer, sample, task)
    text, chosen = f" {_words(answer.text)} ", set()
    for option in sorted(options, key=len, reverse=True):
        name = f" {_words(option)} "
        if name in text:
            chosen.add(option)
            text = text.replace(name, " | ")
    if not chosen and not any(f" {nothing} " in text for nothing in _NOTHING):
        return _unparsable("none of the labels is named")
    if not chosen:  # a label may itself say that nothing is there
        chosen = {option for option in options if _words(option) in _NOTHING}
    known = sample.targets.get(among)
    if isinstance(known, Labels):
        chosen &= set(known.names)
    return Prediction(tuple(o for o in options if o in chosen), scores=answer.scores)


def letter(answer: Answer, sample: Sample, task: Task, match: str = "letters-then-guarded") -> Prediction:
    """The letter of the option an answer means (A for the first), by letter or wording; ``match`` as in :func:`choice`."""
    options = sample.choices
    read = choice(answer, sample, task, match)
    if read.value is None:
        return read
    return Prediction((chr(ord("A") + options.index(read.value[0])),))


def bleu_labels(answer: Answer, sample: Sample, task: Task, numbered: bool = False) -> Prediction:
    """A set of labels as MultiMedEval 1.0.0 reads it: every option whose BLEU-1 with the answer exceeds 0.5, maybe none.

    An answer that lists two short labels or more names none of them so: that is the rule's. ``numbered``: options are compared
    as ``1: label``, as it does for MedMNIST.
    """
    if answer.text is None:
        return _EMPTY
    options = sample.choices or task.choices
    written = [f"{i}: {option}" for i, option in enumerate(options, 1)] if numbered else options
    chosen = multimedeval_labels(answer.text, written)
    return Prediction(tuple(options[i] for i in chosen), scores=answer.scores)


def answer_set(answer: Answer, sample: Sample, task: Task, separator: str = ",") -> Prediction:
    """A set of names, such as MIMIC-CXR-VQA asks for: the parts between separators, semicolons or lines.

    With a closed set the parts that equal an option are taken and others ignored; without one every part is taken, in
    lower case. ``none``, ``normal`` and the like are the empty set. See :func:`radbench.metrics.vqa.answer_sets.said_names`.
    """
    if answer.text is None or not answer.text.strip():
        return _EMPTY
    options = sample.choices or task.choices
    names = said_names(answer.text, options, separator)
    if names == ():
        return _unparsable("none of the options is named" if options else "the answer names nothing")
    return Prediction(names or (), scores=answer.scores)


def _words(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def _parts(text: str, separator: str) -> list[str]:
    return [part.strip().strip(".").lower() for part in text.split(separator)]


def boxes(answer: Answer, sample: Sample, task: Task, unit: Unit = "pixels") -> Prediction:
    """Boxes as the model gave them, or from text: a JSON list of ``{"label": str, "box": [x0, y0, x1, y1]}``.

    ``unit`` is that of the text: pixels of the picture, or fractions of its width and height. Text around the list is
    ignored; a box that is not four finite numbers, lies the wrong way round, or in fractions goes beyond -0.01 or 1.01
    fails the whole answer.
    """
    frame = getattr(sample.targets.get(task.target), "frame", None)
    if frame is not None and (answer.boxes is not None or unit == "pixels"):
        size = _picture_size(sample)
        if size is not None and size != frame:
            sizes = f"{size[0]:g} x {size[1]:g} pixels, its boxes were drawn on {frame[0]:g} x {frame[1]:g}"
            return Prediction(None, Failure("input", f"the picture has {sizes}: a resized copy?"))
    if answer.boxes is not None:
        return Prediction(answer.boxes)
    if answer.text is None or not answer.text.strip():
        return _EMPTY
    names = {_words(option): option for option in sample.choices or task.choices}
    try:
        items = _items(answer.text)
        scale = (frame or _picture_size(sample)) if unit == "fraction" else (1.0, 1.0)
        if scale is None:
            return Prediction(
                None, Failure("input", "the picture cannot be read, so that fractions of it mean nothing")
            )
        found = tuple(_box(item, scale, 1.01 if unit == "fraction" else math.inf, names) for item in items)
    except (ArithmeticError, ValueError, TypeError, KeyError, RecursionError) as error:
        return _unparsable(f"expected a JSON list of {{'label', 'box': [x0, y0, x1, y1]}}: {type(error).__name__}")
    return Prediction(found)


def _items(text: str) -> list[object]:
    """The first list of objects in a text, or its first object with a box. Raises ValueError where there is none."""
    decoder = json.JSONDecoder()
    for start in (i for i, character in enumerate(text) if character in "[{"):
        try:
            value, _ = decoder.raw_decode(text, start)
        except ValueError:
            continue
        if isinstance(value, dict) and "box" in value:
            return [value]
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return value
    if _words(text) in _NOTHING:
        return []
    raise ValueError("no JSON list")


def _shape(sample: Sample) -> tuple[int, ...] | None:
    """The shape of the sample's first picture as masks have it; None where there is none or it cannot be decoded."""
    try:
        return sample.images[0].load().size if sample.images else None
    except ImageError:
        return None


def _picture_size(sample: Sample) -> tuple[float, float] | None:
    """Width and height of the sample's first picture; None where it cannot be decoded."""
    shape = _shape(sample)
    return None if shape is None else (float(shape[1]), float(shape[0]))


def _box(item: object, scale: tuple[float, float], most: float, names: Mapping[str, str]) -> Box:
    if not isinstance(item, dict):
        raise TypeError("expected an object")
    coordinates = item["box"]
    if not isinstance(coordinates, list) or len(coordinates) != 4:
        raise ValueError("a box has four numbers")
    x0, y0, x1, y1 = (float(c) for c in coordinates)
    if not all(math.isfinite(c) for c in (x0, y0, x1, y1)):
        raise ValueError("a coordinate is not finite")
    if not (x0 <= x1 and y0 <= y1) or max(x1, y1) > most or min(x0, y0) < -most + 1:
        raise ValueError("a box lies the wrong way round or beyond the picture")
    width, height = scale
    label = str(item["label"])
    return Box(names.get(_words(label), label), x0 * width, y0 * height, x1 * width, y1 * height)


def mask(answer: Answer, sample: Sample, task: Task) -> Prediction:
    """A mask in the shape of the target's."""
    if answer.mask is None:
        return _unparsable("the model returned no mask")
    target = sample.targets[task.target]
    if isinstance(target, Mask) and answer.mask.shape != (expected := target.load().shape):
        picture = _shape(sample)
        if picture is not None and picture != expected:  # then no answer could fit
            return Prediction(
                None, Failure("input", f"the reference mask has the shape {expected}, its picture {picture}")
            )
        return _unparsable(f"mask of shape {answer.mask.shape}, the picture has {expected}")
    return Prediction(answer.mask)
