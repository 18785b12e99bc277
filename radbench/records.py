"""The nouns every room speaks: images, targets, samples, requests, answers, predictions.

Immutable records without behaviour beyond what their own fields determine. Those a reader makes for every row are named
tuples, which Python builds four times faster than frozen dataclasses: change one with ``_replace``. Nothing here imports
numpy at module level, so that listing tasks stays cheap.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from radbench.images.picture import Picture
    from radbench.task import Support, Task

Access = Literal["open", "open-noncommercial", "registered", "credentialed", "on-request", "private"]
AnswerForm = Literal["text", "boxes", "mask"]
EMPTY: Mapping[str, Any] = MappingProxyType({})


class Image(NamedTuple):
    """A reference to a picture or volume, never pixels.

    ``member`` names an array inside an npz file and ``frame`` the index along its first axis (or the frame of a
    multi-frame DICOM); in a parquet or Arrow file they are column and row. ``kind`` is ``2d``, ``volume`` (one NIfTI,
    NRRD or multi-frame file) or ``series`` (a folder of DICOM slices). ``window`` names a preset of
    :data:`radbench.images.windows.PRESETS`. ``role`` and ``days_before`` place a study in time: days before the current
    study, positive for a prior. ``axes`` says for an array without a header where its axes point, e.g. ``IPL``:
    inferior, posterior, left.
    """

    path: str
    member: str | None = None
    frame: int | None = None
    kind: Literal["2d", "series", "volume"] = "2d"
    window: str | None = None
    view: str | None = None
    study: str | None = None
    role: Literal["current", "prior"] = "current"
    days_before: int | None = None
    axes: str | None = None

    def load(self) -> Picture:
        """Decoded pixels, through the process-wide bounded cache. Raises :class:`radbench.errors.ImageError`."""
        from radbench.images import load

        return load(self)

    def key(self) -> str:
        """What identifies the pixels without decoding them: path, member, frame, window, size and mtime.

        A file that is not there keys as ``missing``: putting it there gives the request a new key.
        """
        try:
            if self.kind == "series":
                stats = [(e.name, e.stat()) for e in os.scandir(self.path)]
                state = ";".join(f"{name}:{s.st_size}:{s.st_mtime_ns}" for name, s in sorted(stats, key=lambda p: p[0]))
            else:
                s = os.stat(self.path)
                state = f"{s.st_size}:{s.st_mtime_ns}"
        except (OSError, ValueError):  # ValueError: a NUL or lone surrogate in the path
            state = "missing"
        axes = f"|{self.axes}" if self.axes else ""
        return f"{self.path}|{self.member}|{self.frame}|{self.kind}|{self.window}|{state}{axes}"


class Text(NamedTuple):
    """A reference text, or several that count as equally right."""

    alternatives: tuple[str, ...]

    @property
    def first(self) -> str:
        return self.alternatives[0]


class Labels(NamedTuple):
    """One label, or the set of labels of a multi-label target."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box in pixels of the image as stored: ``x0 <= x1`` to the right, ``y0 <= y1`` downwards.

    Continuous coordinates: the width is ``x1 - x0``, without the +1 of pixel-inclusive boxes.
    """

    label: str
    x0: float
    y0: float
    x1: float
    y1: float
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes of a picture. ``frame`` is the (width, height) they were drawn on, where the dataset tells."""

    boxes: tuple[Box, ...]
    frame: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A binary mask, either in memory (``array``, bool, image or volume shape) or a reference to be loaded.

    ``image`` refers to a label map on disk; ``values`` are the labels that count as foreground (empty: every non-zero).
    ``rle`` is run-length text for a mask of ``shape`` (H, W): pairs of start (from 1, row by row) and length.
    """

    array: np.ndarray | None = None
    image: Image | None = None
    values: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    rle: str | None = None
    shape: tuple[int, ...] = ()

    def load(self) -> np.ndarray:
        """The mask as a bool array, (H, W) or (X, Y, Z). Raises :class:`radbench.errors.ImageError`."""
        if self.array is not None:
            return self.array
        if self.rle is not None:
            from radbench.images.rle import decode

            return decode(self.rle, *self.shape)
        from radbench.images import load_mask

        return load_mask(self)

    def voxel_size(self) -> tuple[float, ...]:
        """mm along each axis of :meth:`load`: ``spacing``, else what a volume's file says; empty where nothing does."""
        if self.spacing or self.image is None or self.image.kind == "2d":
            return self.spacing
        return self.image.load().spacing


Target = Text | Labels | Boxes | Mask


class Sample(NamedTuple):
    """One item of a task.

    ``cluster`` is the patient or paper, the unit of resampling; None where the dataset does not tell (intervals are
    then marked unclustered). ``slots`` fill the task's prompt template (numbers as
    Python prints them). ``strata`` name the sample's subgroup on each
    axis. ``access`` overrides the dataset's where a set mixes licences.
    """

    id: str
    cluster: str | None
    targets: Mapping[str, Target]
    images: tuple[Image, ...] = ()
    slots: Mapping[str, Any] = EMPTY
    choices: tuple[str, ...] = ()
    strata: Mapping[str, str] = EMPTY
    access: Access | None = None


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: tuple[str | Image, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """How a model is asked to generate. Greedy by default, 512 new tokens at most."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """What a model sees: the rendered messages, the form its answer should take and how to generate.

    ``task`` and ``sample`` say where the request came from. A model must not answer by ``sample`` unless it declares
    the capability ``by_sample`` (oracle, replay), which also puts both into the key. ``draw`` numbers repeated draws of
    the same request. ``key`` is the 16-byte hash under which the answer is filed.
    """

    task: str
    sample: str
    messages: tuple[Message, ...]
    form: AnswerForm = "text"
    choices: tuple[str, ...] = ()
    generation: Generation = Generation()
    draw: int = 0
    key: bytes = b""

    @property
    def text(self) -> str:
        """All text of the request, in order, without the images."""
        return "\n".join(p for m in self.messages for p in m.content if isinstance(p, str))

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(p for m in self.messages for p in m.content if isinstance(p, Image))

    @property
    def asked_text(self) -> str:
        """The text of the last user message: the question itself, without examples before it."""
        return "\n".join(p for p in self._asked if isinstance(p, str))

    @property
    def asked_images(self) -> tuple[Image, ...]:
        """The pictures of the last user message, which boxes and masks are answered on."""
        return tuple(p for p in self._asked if isinstance(p, Image))

    @property
    def _asked(self) -> tuple[str | Image, ...]:
        return next((m.content for m in reversed(self.messages) if m.role == "user"), ())


FailureKind = Literal["transport", "input", "model", "refused", "empty", "cut_off", "unparsable"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no usable answer.

    ``transport`` (server, timeout: asked again on resume), ``input`` (a picture could not be decoded), ``model`` (the
    adapter raised), ``refused``, ``empty``, ``cut_off``, ``unparsable``.
    """

    kind: FailureKind
    message: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, as received. ``boxes`` and ``mask`` are set by models that answer in that form.

    ``scores`` are a model's probabilities (or log-likelihoods) of the options of a closed set, for ranking metrics.
    ``reasoning`` is what a reasoning model wrote before its answer: kept, never scored.
    """

    text: str | None = None
    boxes: tuple[Box, ...] | None = None
    mask: np.ndarray | None = None
    failure: Failure | None = None
    seconds: float | None = None
    usage: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, float] | None = None
    reasoning: str | None = None


Value = Any
"""A parsed answer in the target's shape: text, labels, boxes, or a bool array (a mask)."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer parsed by the task (``value``), or a counted failure (``value`` is None).

    ``scores`` ranks the options of a closed set where the model gave them: higher means more likely.
    """

    value: Value | None
    failure: Failure | None = None
    scores: Mapping[str, float] | None = None


@runtime_checkable
class Model(Protocol):
    """Anything that answers requests. See ``model_adapters/`` for one file per way of reaching a model."""

    capabilities: frozenset[str]

    def fingerprint(self) -> Mapping[str, str]:
        """What makes two models the same: name, revision, dtype, server, pool hash. Part of every answer's key."""
        ...

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        """Yield every request with its answer, in any order. Draw requests lazily: the runner decodes ahead."""
        ...


@runtime_checkable
class Fitted(Protocol):
    """A model that learns from a task's support split before it answers (retrieval, majority)."""

    def fit(self, task: Task, support: Support) -> None: ...


@runtime_checkable
class Embeds(Protocol):
    """A model whose vision encoder can be asked for embeddings (capability ``embed``)."""

    def embed(self, images: Sequence[Image]) -> np.ndarray:
        """One embedding a picture, (n, d) float32, not normalised. Raises :class:`radbench.errors.ImageError`."""
        ...


@runtime_checkable
class Ranks(Protocol):
    """A model that can say how likely given answers are (capability ``logprobs``)."""

    def loglikelihood(self, requests: Sequence[Request], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """For each request the summed log-probability (natural logarithm) of each of its continuations."""
        ...


@runtime_checkable
class Shows(Protocol):
    """A model that can show its prompt as sent, special tokens included and pictures as placeholders."""

    def shown(self, request: Request) -> str: ...


@runtime_checkable
class Remote(Protocol):
    """A model that sends requests to a server. ``endpoint`` is its base URL; restricted data go to loopback only."""

    endpoint: str


@runtime_checkable
class Told(Protocol):
    """A model that is told the truth: the oracle, which proves parsing and scoring."""

    def tell(self, task: Task, samples: Iterable[Sample]) -> None: ...
