"""Controls: whether a model looks at its pictures at all, and what its answers rest on without them.

A model that looks should fall to chance; one that keeps its score answers from the question and the split's habits. A
control stands inside few-shot and retrieval, ``shots(blank(MODEL),k=4)``: examples and neighbours are then chosen, and kept
from being the asked picture, by the pictures themselves, and the model sees none of them (shuffled: the examples').
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from hashlib import blake2b, sha256
from io import BytesIO
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from radbench.model_adapters.baselines import resample_nearest, scale_box
from radbench.model_adapters.wrapping import Wrapper, with_images

from radbench.caches import cache_root
from radbench.care.similar import reference
from radbench.errors import ConfigError, DataError, ImageError, RadbenchError
from radbench.folder import write_whole
from radbench.images import Picture
from radbench.options import whole
from radbench.records import Answer, Image, Model, Request, Sample, Told

if TYPE_CHECKING:
    from radbench.task import Task


class _Control(Wrapper):
    """A control never stands around few-shot or retrieval. Raises :class:`ConfigError`."""

    def __init__(self, model: Model, options: Mapping[str, object] | None = None) -> None:
        inner: object = model
        while isinstance(inner, Wrapper):
            if "examples" in type(inner).capabilities:
                raise ConfigError(
                    f"{self.name} stands around {inner.name}, which would then choose by changed pictures",
                    remedy=f"the other way round: {inner.name}({self.name}(MODEL))",
                )
            inner = inner.inner
        super().__init__(model, options)


class Blank(_Control):
    """``blank(MODEL)``: every picture is replaced by a uniform one of its size, black unless ``grey`` (0 to 255) is given.

    A volume is replaced by zeros in stored units, with its shape and affine. What is recorded of an answer are the
    original pictures; the uniform ones lie in the user's cache, one a size.
    """

    name = "blank"

    def __init__(self, model: Model, grey: int = 0) -> None:
        whole("grey", grey, 0)
        if grey > 255:
            raise ConfigError(f"grey is {grey}, expected 0 (black) to 255 (white)")
        super().__init__(model, {"grey": grey})
        self._grey = grey
        try:
            self._folder = cache_root() / "blank"
        except DataError as error:
            raise ConfigError(error.message, remedy=error.remedy) from None

    def change(self, request: Request) -> Request:
        return with_images(request, lambda image: (self._blank(image),))

    def _blank(self, image: Image) -> Image:
        picture = image.load()
        file = self._folder / self._called(picture)
        if not file.exists():
            try:
                write_whole(file, self._content(picture), 0o600)
            except RadbenchError as error:
                if not file.exists():  # else another process was first
                    raise ImageError(error.message, remedy=error.remedy) from error
        kind: Literal["volume", "2d"] = "volume" if picture.is_volume else "2d"
        return image._replace(path=str(file), member=None, frame=None, kind=kind, axes=None)

    def _called(self, picture: Picture) -> str:
        size = "x".join(map(str, picture.array.shape))
        if not picture.is_volume:
            return f"{size}-{self._grey}.png"
        return f"{size}-{sha256(np.asarray(picture.affine, np.float64).tobytes()).hexdigest()[:16]}.nii.gz"

    def _content(self, picture: Picture) -> bytes:
        if picture.is_volume:
            import gzip

            import nibabel

            volume = nibabel.Nifti1Image(np.zeros(picture.array.shape, np.uint8), picture.affine)
            return gzip.compress(volume.to_bytes(), mtime=0)
        from PIL import Image as PIL

        content = BytesIO()
        PIL.fromarray(np.full(picture.array.shape, self._grey, np.uint8)).save(content, "PNG")
        return content.getvalue()


class QuestionOnly(_Control):
    """``question_only(MODEL)``: the pictures are taken out, every word of the prompt stays.

    A mask, or boxes of a model that gives coordinates itself, has no frame without a picture: counted as failed.
    """

    name = "question_only"

    def change(self, request: Request) -> Request:
        if request.form == "mask" or (request.form == "boxes" and "boxes" in self.capabilities):
            raise ImageError(f"{request.form} cannot be given without the picture")
        return with_images(request, lambda image: ())

    def __init__(self, model: Model) -> None:
        super().__init__(model)


class ShuffledImages(_Control):
    """``shuffled_images(MODEL,seed=0)``: every sample is asked with the pictures of another sample of its task.

    Of another cluster, with as many pictures of the same kinds and roles, none of them its own; the same for every model,
    shard and resumed run: the samples stand in an order drawn by ``seed``, and each takes from the next that fits. A
    sample for which there is none, or only an unreadable one, fails, counted. Masks and boxes are answered on the other
    picture and scaled back; boxes a model writes as text where pixels are read cannot be: such samples fail unless both
    pictures have one size.
    """

    name = "shuffled_images"
    capabilities = frozenset({"by_sample"})

    def __init__(self, model: Model, seed: int = 0) -> None:
        whole("seed", seed, 0)
        super().__init__(model, {"seed": seed})
        self._seed = seed
        self._tasks: dict[str, _Ring] = {}
        self._in_pixels: set[str] = set()  # tasks whose boxes the model writes in pixels

    def tell(self, task: Task, samples: Iterable[Sample]) -> None:
        """Take the samples' pictures; their truth goes no further than to a model that is told it anyway."""
        samples = list(samples) if isinstance(self.inner, Told) else samples
        self._tasks[task.name] = _Ring(
            (_Owner(s.id, s.cluster, s.images) for s in samples), f"{self._seed}|{task.name}"
        )
        in_pixels = task.parser.options.get("unit", "pixels") == "pixels"
        if task.form == "boxes" and in_pixels and "boxes" not in self.capabilities:
            self._in_pixels.add(task.name)
        if isinstance(self.inner, Told):
            self.inner.tell(task, samples)

    def change(self, request: Request) -> Request:
        swap = self._tasks[request.task].swap(request.sample)
        changed = with_images(request, lambda image: (swap.get(image, image),))
        shown = [image.load().size for image in changed.asked_images]  # as in every run, a model gets what decodes
        if request.task in self._in_pixels and shown and shown[0] != request.asked_images[0].load().size:
            raise ImageError("boxes written in pixels of a picture of another size cannot be scaled back")
        return changed

    def restore(self, request: Request, changed: Request, answer: Answer) -> Answer:
        if (answer.mask is None and answer.boxes is None) or not request.asked_images or "blind" in self.capabilities:
            return answer
        ours, theirs = request.asked_images[0].load().size, changed.asked_images[0].load().size
        if answer.mask is not None and answer.mask.shape == theirs and len(ours) == len(theirs):
            answer = replace(answer, mask=resample_nearest(answer.mask, ours))
        if answer.boxes is not None:
            x, y = ours[1] / theirs[1], ours[0] / theirs[0]
            answer = replace(answer, boxes=tuple(scale_box(b, x, y) for b in answer.boxes))
        return answer


class _Owner(NamedTuple):
    sample: str
    cluster: str | None
    images: tuple[Image, ...]

    @property
    def kinds(self) -> tuple[tuple[bool, str], ...]:
        return tuple((image.kind == "2d", image.role) for image in self.images)

    @property
    def pictures(self) -> frozenset[Hashable]:
        return frozenset(reference(image) for image in self.images)


class _Ring:
    """A task's samples by the kinds of their pictures, in an order drawn by a text."""

    def __init__(self, owners: Iterable[_Owner], drawn: str) -> None:
        def draw(owner: _Owner) -> bytes:
            return blake2b(f"{drawn}|{owner.sample}".encode("utf-8", "surrogatepass"), digest_size=16).digest()

        self._rings: dict[tuple[tuple[bool, str], ...], list[_Owner]] = {}
        for owner in sorted(owners, key=draw):
            self._rings.setdefault(owner.kinds, []).append(owner)
        self._places = {o.sample: (kinds, i) for kinds, ring in self._rings.items() for i, o in enumerate(ring)}

    def swap(self, sample: str) -> dict[Image, Image]:
        """The sample's pictures, each with the one shown instead. Raises :class:`ImageError` where no other sample fits."""
        kinds, place = self._places[sample]
        ring = self._rings[kinds]
        own = ring[place]
        if not own.images:
            return {}
        for other in (ring[(place + i) % len(ring)] for i in range(1, len(ring))):
            foreign = own.cluster is None or own.cluster != other.cluster
            if foreign and own.pictures.isdisjoint(other.pictures):
                return dict(zip(own.images, other.images, strict=True))
        raise ImageError("no other sample has as many pictures of these kinds")
