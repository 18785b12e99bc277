"""A look at pictures before they leave the machine: headers that identify, text in the pixels.

Warnings, no guarantee: text that the heuristic of :mod:`radbench.care.burned_in` misses, or a face in a head scan, is
not found here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from radbench.care.burned_in import text_lines
from radbench.care.headers import header_findings, quiet
from radbench.errors import ImageError
from radbench.images.decode import decode
from radbench.images.windows import apply_window, preset, to_uint8
from radbench.records import Image

if TYPE_CHECKING:
    import numpy as np

    from radbench.images import Picture

TEXT = "text in the pixels"
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Concern:
    """One reason to look at a picture before sending it. Printing it shows names and lengths, no value and no path."""

    image: Image
    kind: str  # identifying header, private tags, overlay, declared in the header, metadata, TEXT or UNREADABLE
    name: str
    length: int  # characters (of text in the pixels: about how many), elements where they are counted

    def __str__(self) -> str:
        return f"{self.kind}: {self.name} ({self.length})"


def outgoing_check(images: Iterable[Image]) -> list[Concern]:
    """What speaks against sending these pictures; empty where nothing was found. Each file's header is read once."""
    concerns: list[Concern] = []
    seen: set[tuple[str, str | None, int | None]] = set()
    for image in images:
        embedded = image.path.endswith((".parquet", ".arrow"))  # there every row is a file of its own
        key = (image.path, image.member if embedded else None, image.frame if embedded else None)
        try:
            with quiet():
                if key not in seen:
                    seen.add(key)
                    concerns += _headers(image)
                concerns += _pixels(image)
        except ImageError:
            concerns.append(Concern(image, UNREADABLE, "cannot be decoded", 0))
    return concerns


def middle_grey(picture: Picture) -> np.ndarray:
    """uint8 grey levels (H, W) of a picture, of a volume those of its middle axial slice as it is shown."""
    if not picture.is_volume:
        return picture.grey()
    plane = picture.array[::-1, ::-1, picture.array.shape[2] // 2].T
    return apply_window(plane, *preset(picture.window)) if picture.window else to_uint8(plane)


def _headers(image: Image) -> list[Concern]:
    try:
        return [Concern(image, *finding) for finding in header_findings(image)]
    except _damaged() as error:
        raise ImageError(f"the header cannot be read ({type(error).__name__})") from error


def _pixels(image: Image) -> list[Concern]:
    lines = text_lines(middle_grey(decode(image)))
    total = sum(line.characters for line in lines)
    return [Concern(image, TEXT, f"{len(lines)} line{'s' * (len(lines) > 1)}", total)] if lines else []


def _damaged() -> tuple[type[Exception], ...]:
    """What header readers raise on damaged files."""
    import struct

    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nrrd import NRRDError
    from PIL.Image import DecompressionBombError
    from pydicom.errors import BytesLengthException, InvalidDicomError

    return (
        AttributeError, BytesLengthException, DecompressionBombError, EOFError, HeaderDataError, ImageFileError,
        InvalidDicomError, LookupError, NotImplementedError, NRRDError, OSError, RuntimeError, SyntaxError, TypeError,
        ValueError, struct.error,
    )  # fmt: skip
