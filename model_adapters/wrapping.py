"""A model around another model: what shots, retrieval and controls share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from radbench.errors import ImageError
from radbench.records import Answer, Embeds, Failure, Fitted, Image, Message, Model, Ranks, Remote, Request, Shows, Told


class Wrapper:
    """Asks the inner model changed requests and files its answers under the original ones.

    Subclasses say in ``change`` how a request changes (its key, task and sample must stay) and give all their options to
    ``__init__``: they go into the fingerprint, and those in ``told`` or other than their default into the name,
    ``shots(knn:k=5,k=4)``. A spec names the inner model first: ``name(model,option=value)``. Embeddings are those of the
    inner model, of the pictures as they are.
    """

    wraps: ClassVar[bool] = True
    name: ClassVar[str]
    told: ClassVar[tuple[str, ...]] = ()
    capabilities: frozenset[str] = frozenset()  # of the class: what it adds to those of the inner model

    def __init__(self, model: Model, options: Mapping[str, object] | None = None, regime: str = "") -> None:
        self.inner = model
        self._options, self._regime = dict(options or {}), regime
        self.capabilities = type(self).capabilities | model.capabilities
        # The runner looks at what a model has: what the inner one lacks must not seem to be there.
        forwarded: dict[type, str] = {Fitted: "fit", Told: "tell", Remote: "endpoint", Embeds: "embed"}
        for protocol, name in forwarded.items():
            if isinstance(model, protocol) and not hasattr(type(self), name):
                setattr(self, name, getattr(model, name))
        if isinstance(model, Shows):
            self.shown: Callable[[Request], str] = lambda request: model.shown(self.change(request))
        if isinstance(model, Ranks):
            self.loglikelihood: Callable[[Sequence[Request], Sequence[Sequence[str]]], list[list[float]]] = (
                lambda requests, continuations: model.loglikelihood([self.change(r) for r in requests], continuations)
            )

    @property
    def budgeted(self) -> bool:
        """Whether the inner model stops at a budget that it counts by itself, so that several workers would multiply it."""
        return bool(getattr(self.inner, "budgeted", False))

    def fingerprint(self) -> Mapping[str, str]:
        inner = self.inner.fingerprint()
        defaults = {name: p.default for name, p in inspect.signature(type(self)).parameters.items()}
        said = [f"{k}={v}" for k, v in self._options.items()]
        named = [f"{k}={v}" for k, v in self._options.items() if k in self.told or v != defaults.get(k)]
        name = f"{self.name}({','.join([str(inner.get('name', type(self.inner).__name__)), *named])})"
        regime = "+".join(filter(None, (str(inner.get("regime", "")), self._regime)))
        own = {self.name: ",".join(said), "regime": regime}
        return {**inner, "name": name, **{key: text for key, text in own.items() if text}}

    def change(self, request: Request) -> Request:
        """The request as the inner model gets it. Raises :class:`ImageError`: the sample then fails, counted."""
        raise NotImplementedError

    def restore(self, request: Request, changed: Request, answer: Answer) -> Answer:
        """The inner model's answer to the changed request as one to the original: itself unless the grid differs."""
        return answer

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        asked: dict[bytes, tuple[Request, Request]] = {}
        failed: list[tuple[Request, Answer]] = []

        def changed() -> Iterator[Request]:
            for request in requests:
                try:
                    other = self.change(request)
                except ImageError as error:
                    failed.append((request, Answer(failure=Failure("input", error.message))))
                    continue
                asked[request.key] = request, other
                yield other

        for given, answer in self.inner.answer(changed()):
            # One that was not asked, or twice, is handed on: the runner says so.
            request, other = asked.pop(given.key, (given, given))
            yield request, self.restore(request, other, answer)
            while failed:
                yield failed.pop()
        yield from failed


def question(request: Request) -> int:
    """Where the last user message stands: the question asked, after any examples."""
    return max(i for i, message in enumerate(request.messages) if message.role == "user")


def with_images(request: Request, change: Callable[[Image], Sequence[Image]]) -> Request:
    """The request with each picture replaced by what ``change`` gives for it; a message left empty keeps one empty text."""
    messages = []
    for message in request.messages:
        parts = [part for p in message.content for part in ([p] if isinstance(p, str) else change(p))]
        messages.append(Message(message.role, tuple(parts) or ("",)))
    return replace(request, messages=tuple(messages))
