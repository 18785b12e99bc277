"""Two models of one's own. From this folder: ``radbench run --model my_model:brighter_half --tasks own_data/vqa.yaml``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from radbench import Answer, Request


def brighter_half(request: Request) -> str:
    """The simplest form: a function of one request that returns its answer."""
    grey = request.images[0].load().grey()
    middle = grey.shape[1] // 2
    return "left" if grey[:, :middle].sum() > grey[:, middle:].sum() else "right"


class BrighterHalf:
    """The full form: it names itself, says what it can do, and streams answers (here in batches of eight)."""

    capabilities = frozenset({"text"})

    def __init__(self, batch: int = 8) -> None:
        self._batch = batch

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "example", "name": "brighter-half", "revision": "1"}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        waiting: list[Request] = []
        for request in requests:
            waiting.append(request)
            if len(waiting) == self._batch:
                yield from self._answer_batch(waiting)
                waiting = []
        yield from self._answer_batch(waiting)

    def _answer_batch(self, batch: list[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in batch:
            yield request, Answer(text=brighter_half(request))
