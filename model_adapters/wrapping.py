"""A model around another model: what shots, retrieval and controls share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ClassVar

from radbench.errors import ImageError
from radbench.records import Answer, Failure, Fitted, Model, Remote, Request, Shows, Told


class Wrapper:
    """Asks the inner model changed requests and files its answers under the original ones.

    Subclasses say in ``change`` how a request changes (its key, task and sample must stay) and give their options to
    ``__init__``: they go into the fingerprint and the name, ``blank(knn:k=5)``. A spec names the inner model first:
    ``name(model,option=value)``.
    """

    wraps: ClassVar[bool] = True
    name: ClassVar[str]
    capabilities: frozenset[str] = frozenset()  # of the class: what it adds to those of the inner model

    def __init__(self, model: Model, options: Mapping[str, object] | None = None, regime: str = "") -> None:
        self.inner = model
        self._options, self._regime = dict(options or {}), regime
        self.capabilities = type(self).capabilities | model.capabilities
        # The runner looks at what a model has: what the inner one lacks must not seem to be there.
        forwarded: dict[type, tuple[str, ...]] = {Fitted: ("fit",), Told: ("tell",), Remote: ("endpoint",)}
        for protocol, names in forwarded.items():
            if isinstance(model, protocol):
                for name in names:
                    if not hasattr(type(self), name):
                        setattr(self, name, getattr(model, name))
        if isinstance(model, Shows):
            self.shown: Callable[[Request], str] = lambda request: model.shown(self.change(request))

    def fingerprint(self) -> Mapping[str, str]:
        inner = self.inner.fingerprint()
        said = ",".join([str(inner["name"]), *(f"{k}={v}" for k, v in self._options.items())])
        name = {"name": f"{self.name}({said})"}
        return {**inner, **name, **({"regime": self._regime} if self._regime else {})}

    def change(self, request: Request) -> Request:
        """The request as the inner model gets it. Raises :class:`ImageError`: the sample then fails, counted."""
        raise NotImplementedError

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        originals: dict[bytes, Request] = {}
        failed: list[tuple[Request, Answer]] = []

        def changed() -> Iterator[Request]:
            for request in requests:
                try:
                    other = self.change(request)
                except ImageError as error:
                    failed.append((request, Answer(failure=Failure("input", error.message))))
                    continue
                originals[request.key] = request
                yield other

        for request, answer in self.inner.answer(changed()):
            yield originals.pop(request.key), answer
            while failed:
                yield failed.pop()
        yield from failed
