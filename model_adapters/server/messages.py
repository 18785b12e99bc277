"""Requests as chat messages in the OpenAI form, which servers and vLLM's offline engine read alike."""

from __future__ import annotations

import base64
import json
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from radbench.model_adapters.messages import Pictures

from radbench.errors import ConfigError, ImageError
from radbench.records import Image, Request

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

LARGEST = 20_000_000  # bytes of one encoded picture: what the large commercial servers take at most
_MARK = "\x00picture\x00"  # stands for a URL while the rest is written as JSON
_MARK_JSON = json.dumps(_MARK)[1:-1]
_KEPT = 64 << 20  # bytes of encodings kept: few-shot examples come again with every request


class Encoded(NamedTuple):
    """A picture as a ``data:`` URL of a PNG."""

    url: str
    width: int
    height: int
    size: int

    def __str__(self) -> str:
        return f"<image {self.width}x{self.height}, {self.size} bytes>"


def png(picture: PILImage) -> bytes:
    """A lossless 8-bit PNG: grey where the three channels of every pixel agree, else RGB.

    Written here because zlib lets other threads run meanwhile, and Pillow's encoder does not: a large radiograph would
    hold up all answers for a tenth of a second. Each row is filtered by the one above it (filter 2, "up"), PNG
    specification, section 9.
    """
    pixels = np.asarray(picture.convert("RGB"))
    grey = bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all())
    rows = pixels[..., 0] if grey else pixels.reshape(len(pixels), -1)
    filtered = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])  # modulo 256, as the filter wants
    # Runs of equal bytes only: what noise leaves to find after the filter, in half the time of matching strings.
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 8, zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 0 if grey else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packer.compress(filtered.data) + packer.flush()), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
        for name, data in chunks
    )


def encode(picture: PILImage) -> Encoded:
    """A picture as it is sent. Raises :class:`ImageError` where it is larger than servers take."""
    data = png(picture)
    if len(data) > LARGEST:
        raise ImageError(
            f"a picture of {picture.width}x{picture.height} has {len(data):,} bytes as PNG, more than {LARGEST:,}",
            remedy="reduce pictures with the model's option longest, such as longest=2048",
        )
    url = "data:image/png;base64," + base64.b64encode(data).decode("ascii")
    return Encoded(url, picture.width, picture.height, len(data))


class Messages:
    """Builds chat messages. Encoded pictures are kept by file, size and time of change, up to 64 MiB of them.

    ``detail`` is the OpenAI hint for the resolution to look at: low, high or auto. Safe to use from several threads.
    """

    def __init__(self, pictures: Pictures, detail: str | None = None) -> None:
        self._pictures, self._detail = pictures, detail
        self._kept: OrderedDict[str, list[Encoded]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def of(self, request: Request) -> list[dict[str, Any]]:
        """The messages with their pictures. Raises :class:`ImageError`."""
        return [self._message(role, parts, lambda e: e.url) for role, parts in self._turns(request)]

    def quick(self, request: Request) -> bool:
        """Whether nothing is to be decoded or encoded for a request, so that a thread for it costs more than it saves."""
        return self._pictures.multi_image == "all" and all(image.key() in self._kept for image in request.images)

    def as_json(self, request: Request) -> bytes:
        """The messages as JSON. URLs are put in afterwards: they need no escaping, and looking for that takes longest.

        Raises :class:`ImageError`.
        """
        urls: list[str] = []

        def mark(picture: Encoded) -> str:
            urls.append(picture.url)
            return _MARK

        messages = [self._message(role, parts, mark) for role, parts in self._turns(request)]
        pieces = json.dumps(messages, separators=(",", ":")).split(_MARK_JSON)
        if len(pieces) != len(urls) + 1:  # a prompt that holds the mark
            return json.dumps(self.of(request), separators=(",", ":")).encode()
        return "".join(p + u for p, u in zip(pieces, [*urls, ""], strict=True)).encode()

    def shown(self, request: Request) -> str:
        """The messages as JSON with ``<image WxH, N bytes>`` for every picture. Raises :class:`ImageError`."""
        messages = [self._message(role, parts, str) for role, parts in self._turns(request)]
        return json.dumps(messages, indent=1, ensure_ascii=False)

    def _turns(self, request: Request) -> list[tuple[str, list[str | Encoded]]]:
        if self._pictures.multi_image == "all":  # a picture's encoding does not depend on the others
            return [(m.role, self._parts(m.content)) for m in request.messages]
        turns = self._pictures.turns(request)
        return [(t.role, [p if isinstance(p, str) else encode(p) for p in t.parts]) for t in turns]

    def _parts(self, content: Sequence[str | Image]) -> list[str | Encoded]:
        parts: list[str | Encoded] = []
        for part in content:
            parts.extend([part] if isinstance(part, str) else self._encoded(part))
        return parts

    def _encoded(self, image: Image) -> list[Encoded]:
        key = image.key()
        with self._lock:
            if (found := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return found
        fresh = [encode(p) for p in self._pictures.of(image)]
        with self._lock:
            if key not in self._kept:
                self._kept[key] = fresh
                self._bytes += sum(len(e.url) for e in fresh)
            while self._bytes > _KEPT:
                self._bytes -= sum(len(e.url) for e in self._kept.popitem(last=False)[1])
        return fresh

    def _message(self, role: str, parts: list[str | Encoded], as_url: Callable[[Encoded], str]) -> dict[str, Any]:
        if all(isinstance(p, str) for p in parts):  # plain text, which servers of text models insist on
            return {"role": role, "content": "\n".join(map(str, parts))}
        hint = {"detail": self._detail} if self._detail else {}
        content = [
            {"type": "text", "text": p}
            if isinstance(p, str)
            else {"type": "image_url", "image_url": {"url": as_url(p), **hint}}
            for p in parts
        ]
        return {"role": role, "content": content}


def json_object(what: str, value: object) -> dict[str, Any]:
    """A mapping, from JSON or the path of a JSON file where it is a text. Raises :class:`ConfigError`."""
    if value is None or isinstance(value, Mapping):
        return dict(value or {})
    text = str(value)
    try:
        found = json.loads(text if text.lstrip().startswith("{") else Path(text).expanduser().read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{what} is {text!r}: {error}", remedy='{"top_k":1} or FILE.json') from None
    if not isinstance(found, dict):
        raise ConfigError(f"{what} is {type(found).__name__}, expected a JSON object")
    return found
