"""Pictures as vectors: by their own pixels or a model's vision encoder; shared by ``knn`` and ``rag``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from radbench.care.similar import SIDE
from radbench.errors import ConfigError, ImageError, ModelError
from radbench.images import Picture
from radbench.records import Embeds, Image, Model, Remote, Request

if TYPE_CHECKING:
    from radbench.task import Support

_SIDE_3D = 16
_ASKED = 16  # requests embedded together; the runner has so many decoded


class Embedder(Protocol):
    """Embeds the pictures of requests. ``said`` is what a fingerprint says of it."""

    @property
    def said(self) -> str: ...

    def vectors(self, asked: Sequence[Sequence[Image]], flat: bool) -> list[np.ndarray | ImageError]:
        """For each tuple of pictures their mean embedding, (d,) float32, or why there is none.

        ``flat``: volumes stand among pictures and embed by their middle axial slice, where the embedder tells them apart.
        """
        ...


class Pixels:
    """A picture as its own 32 x 32 grey levels, a volume as 16 x 16 x 16: no weights."""

    said = f"pixels-{SIDE}"

    def vectors(self, asked: Sequence[Sequence[Image]], flat: bool) -> list[np.ndarray | ImageError]:
        return [_tried(images, flat) for images in asked]


def _tried(images: Sequence[Image], flat: bool) -> np.ndarray | ImageError:
    try:
        return pixels(images, flat)
    except ImageError as error:
        return error


def pixels(images: Iterable[Image], flat: bool = False) -> np.ndarray:
    """The mean pixel embedding of a request's pictures, float32. Raises :class:`ImageError`.

    Volumes embed as volumes; beside pictures, or with ``flat``, by their middle axial slice.
    """
    pictures = [image.load() for image in images]
    if not pictures:
        raise ImageError("a request without pictures has no pixel embedding")
    if flat or not all(p.is_volume for p in pictures):
        return np.mean([_flat(p).vector(SIDE) for p in pictures], axis=0)
    return np.mean([p.vector(_SIDE_3D) for p in pictures], axis=0)


def _flat(picture: Picture) -> Picture:
    return Picture(np.asarray(picture.pil().convert("L")), picture.sha256) if picture.is_volume else picture


class Encoder:
    """The vision encoder of a model that has ``embed``."""

    def __init__(self, model: Embeds, said: str = "") -> None:
        self._model, self._said = model, said

    @property
    def said(self) -> str:
        """Its name and a digest of its fingerprint."""
        if not self._said:
            found = {str(k): str(v) for k, v in self._model.fingerprint().items()}  # type: ignore[attr-defined]
            digest = sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]
            self._said = f"{found.get('name', type(self._model).__name__)} {digest}"
        return self._said

    def vectors(self, asked: Sequence[Sequence[Image]], flat: bool) -> list[np.ndarray | ImageError]:
        """All pictures in one call; where one cannot be read, request by request. Raises :class:`ModelError`."""
        try:
            rows = self._rows([image for images in asked for image in images])
        except ImageError as error:
            if len(asked) == 1:
                return [error]
            return [found for images in asked for found in self.vectors([images], flat)]
        found, at = list[np.ndarray | ImageError](), 0
        for images in asked:
            mine, at = rows[at : at + len(images)], at + len(images)
            found.append(mine.mean(axis=0) if len(mine) else ImageError("a request without pictures has no embedding"))
        return found

    def _rows(self, images: list[Image]) -> np.ndarray:
        if not images:
            return np.zeros((0, 0), np.float32)
        rows = np.asarray(self._model.embed(images), np.float32)
        if rows.ndim != 2 or len(rows) != len(images):
            raise ModelError(f"embed gave an array of shape {rows.shape} for {len(images)} pictures, expected (n, d)")
        if not np.isfinite(rows).all():
            raise ModelError("an embedding is not finite", remedy="another dtype, such as float32")
        return rows


def embedder(embed: str | Model, model: Model | None = None) -> Embedder:
    """``pixels``, ``own`` (the model's) or another model, by object or spec; a spec with commas stands in parentheses.

    Raises :class:`ConfigError` where the model has no embeddings, or a server would be asked for them.
    """
    if embed == "pixels":
        return Pixels()
    if embed == "own":
        if model is None:
            raise ConfigError("embed is 'own', and there is no model around which this stands", remedy="embed=pixels")
        found: Any = model
        name = _name(model)
    elif isinstance(embed, str):
        from radbench.registry import find_model

        name = embed[1:-1] if embed.startswith("(") and embed.endswith(")") else embed
        found = find_model(name)
    else:
        found, name = embed, _name(embed)
    if not isinstance(found, Embeds):
        raise ConfigError(
            f"'{name}' gives no embeddings of pictures",
            remedy="embed=pixels, or embed=SPEC of a model that has a vision encoder here, such as hf:ID",
        )
    if embed != "own" and isinstance(found, Remote):
        raise ConfigError(f"'{name}' is a server: embeddings are made on this machine", remedy="embed=pixels or hf:ID")
    return Encoder(found)


def _name(model: Any) -> str:
    """What a model calls itself, without a look at its weights."""
    return str(getattr(model, "name", type(model).__name__))


def is_flat(support: Support) -> bool:
    """Whether pictures stand among the support split, so that volumes must be compared as pictures."""
    return any(i.kind == "2d" for request in support.requests for i in request.images)


def embedded(
    made_by: Embedder, requests: Iterable[Request], flat: dict[str, bool]
) -> Iterator[tuple[Request, np.ndarray | ImageError]]:
    """Requests with the embedding of what they ask about, embedded some at a time. ``flat``: by task name."""
    batch: list[Request] = []
    for request in requests:
        batch.append(request)
        if len(batch) == _ASKED or any(i.kind != "2d" for i in request.images):  # decoded volumes are large
            yield from _embed_batch(made_by, batch, flat)
            batch = []
    yield from _embed_batch(made_by, batch, flat)


def _embed_batch(
    made_by: Embedder, batch: list[Request], flat: dict[str, bool]
) -> Iterator[tuple[Request, np.ndarray | ImageError]]:
    if batch:  # requests of one task: a model is asked task by task
        found = made_by.vectors([r.asked_images for r in batch], flat[batch[0].task])
        yield from zip(batch, found, strict=True)
