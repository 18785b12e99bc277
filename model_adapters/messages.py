"""Requests as turns of text and Pillow pictures, and answers without their reasoning: what every text model shares."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from radbench.errors import ImageError
from radbench.images.windows import preset
from radbench.options import one_of, whole
from radbench.records import Image, Request

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

MultiImage = Literal["all", "first", "tile", "error"]


class Turn(NamedTuple):
    """One message: few-shot examples come as pairs of a user's and an assistant's turn before the last user turn."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | PILImage, ...]


@dataclass(frozen=True, slots=True)
class Pictures:
    """How pictures reach a model that takes 8-bit RGB pictures.

    ``multi_image``: what is done with a turn of several pictures: ``all`` are sent, the ``first`` alone, one ``tile`` of
    all side by side, or ``error`` (the sample fails, counted). ``slices``: axial slices a volume is shown as, evenly
    spaced from inferior to superior. ``window``: the CT window of volumes whose task names none (else a volume is shown
    by its range). ``longest``: larger pictures are reduced to this many pixels on their longest side.
    """

    multi_image: MultiImage = "all"
    slices: int = 8
    window: str | None = None
    longest: int | None = None

    def __post_init__(self) -> None:
        """Raise :class:`ConfigError` on a value out of range."""
        one_of("multi_image", self.multi_image, get_args(MultiImage))
        whole("slices", self.slices)
        whole("longest", self.longest, optional=True)
        if self.window is not None:
            preset(self.window)

    def said(self) -> str:
        """The policy as a model's fingerprint has it."""
        return f"multi_image={self.multi_image},slices={self.slices},window={self.window},longest={self.longest}"

    def of(self, image: Image) -> list[PILImage]:
        """The RGB pictures one reference is shown as: one, or the slices of a volume. Raises :class:`ImageError`."""
        if self.window is not None and image.window is None and image.kind != "2d":
            image = image._replace(window=self.window)
        picture = image.load()
        found = picture.slices(self.slices) if picture.is_volume else [picture.pil()]
        return [self._reduced(p) for p in found]

    def _reduced(self, picture: PILImage) -> PILImage:
        if self.longest is None or max(picture.size) <= self.longest:
            return picture
        scale = self.longest / max(picture.size)
        return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))

    def turns(self, request: Request) -> list[Turn]:
        """The request's messages with their pictures decoded. Raises :class:`ImageError`."""
        return [Turn(m.role, self._parts(m.content)) for m in request.messages]

    def _parts(self, content: Sequence[str | Image]) -> tuple[str | PILImage, ...]:
        parts: list[str | PILImage] = []
        for part in content:
            parts.extend([part] if isinstance(part, str) else self.of(part))
        shown = [p for p in parts if not isinstance(p, str)]
        if len(shown) < 2 or self.multi_image == "all":
            return tuple(parts)
        if self.multi_image == "error":
            raise ImageError(f"{len(shown)} pictures for a model of one", remedy="multi_image=first, tile or all")
        one = _tiled(shown) if self.multi_image == "tile" else shown[0]
        at = next(i for i, p in enumerate(parts) if not isinstance(p, str))
        rest = [p for p in parts[at + 1 :] if isinstance(p, str)]
        return (*parts[:at], one, *rest)


def _tiled(pictures: Sequence[PILImage]) -> PILImage:
    """Pictures in a near-square grid, row by row, each in a cell of the largest width and height; black around."""
    from PIL import Image as PIL

    columns = math.ceil(math.sqrt(len(pictures)))
    width, height = max(p.width for p in pictures), max(p.height for p in pictures)
    rows = math.ceil(len(pictures) / columns)
    sheet = PIL.new("RGB", (columns * width, rows * height))
    for position, picture in enumerate(pictures):
        row, column = divmod(position, columns)
        sheet.paste(picture, (column * width, row * height))
    return sheet


_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_OPEN = re.compile(r"<(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_CLOSE = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)


def split_reasoning(text: str) -> tuple[str, str | None]:
    """An answer and what was thought before it (None where nothing was).

    A template may have opened the thought already, so that only its end is in the text; a thought that never ends was cut
    off, and the answer is empty.
    """
    thoughts = [m.group(2) for m in _THOUGHT.finditer(text)]
    rest = _THOUGHT.sub("", text)
    if ends := list(_CLOSE.finditer(rest)):
        thoughts.insert(0, _CLOSE.sub("", rest[: ends[-1].start()]))
        rest = rest[ends[-1].end() :]
    if start := _OPEN.search(rest):
        thoughts.append(rest[start.end() :])
        rest = rest[: start.start()]
    return (rest.strip(), "\n".join(t.strip() for t in thoughts)) if thoughts else (text, None)
