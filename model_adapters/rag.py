"""MedDr's retrieval-augmented diagnosis (arXiv 2404.15127, sections 3.3 and 4.5) around any model."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from radbench.model_adapters.pool.embedding import Embedder, embedded, embedder, is_flat
from radbench.model_adapters.pool.index import TIE, alike, index_of
from radbench.model_adapters.pool.twins import Twins
from radbench.model_adapters.wrapping import Wrapper, question

from radbench.errors import ConfigError, ImageError
from radbench.options import one_of, whole
from radbench.prompting import retrieved
from radbench.records import Answer, Fitted, Labels, Message, Model, Request, Sample, Text

if TYPE_CHECKING:
    from radbench.task import Support, Task

log = logging.getLogger("radbench")

# The paper prints no words. A task's own come first (MedDr's rows have them); these are for tasks that have none.
_LABELS = "The diagnoses of the most similar cases are {retrieved}."
_ANSWER = "The most similar case was asked: {question} Its annotation is: {retrieved}."
_TEXT = "The annotation of the most similar case is: {retrieved}"


class Rag(Wrapper):
    """``rag(MODEL,k=5)``: what is known of the nearest support pictures is told at the end of the question.

    Nearest by cosine of the L2-normalised mean embedding of a request's pictures. Of labels those of the ``k`` nearest
    are told, nearest first (the paper: 5); of texts the nearest picture's annotation, whatever ``k`` is, among several of
    one picture the one whose question is most alike. ``embed``: the model's ``own`` vision encoder, ``pixels``, or another
    model by spec, ``embed=(hf:ID,dtype=float32)`` where it has commas. Where the pool is the evaluated split
    (leave-one-cluster-out) none is of the asked sample's own cluster; of a split of its own a patient who is in both is not
    left out, but counted by the leakage check before the run. Pictures nearly the same as the asked one are kept, as in
    the paper, or with ``near_duplicates=leave-out`` passed over, and counted in the log.
    """

    name = "rag"
    capabilities = frozenset({"examples"})
    told = ("k",)

    def __init__(
        self,
        model: Model,
        k: int = 5,
        embed: str | Model = "own",
        near_duplicates: Literal["keep", "leave-out"] = "keep",
    ) -> None:
        whole("k", k, 1)
        one_of("near_duplicates", near_duplicates, ("keep", "leave-out"))
        self._embedder = embedder(embed, model)
        self._own = isinstance(embed, str) and embed == "own"
        said = embed if isinstance(embed, str) else self._embedder.said.rpartition(" ")[0]
        super().__init__(model, {"k": k, "embed": said, "near_duplicates": near_duplicates}, f"retrieval:{k}")
        self._k, self._leave_out = k, near_duplicates == "leave-out"
        self._pools: dict[str, _Pool] = {}
        self._queries: dict[bytes, np.ndarray | ImageError] = {}

    def fingerprint(self) -> Mapping[str, str]:
        return {**super().fingerprint(), "embedding": "own" if self._own else self._embedder.said, "retrieval": "1"}

    def fit(self, task: Task, support: Support) -> None:
        """Embed the support split, or read its index. Raises :class:`ConfigError` where nothing of it can be told."""
        if isinstance(self.inner, Fitted):
            self.inner.fit(task, support)
        self._pools[task.name] = _Pool(task, support, self._k, self._embedder, self._leave_out)

    def change(self, request: Request) -> Request:
        query = self._queries.pop(request.key, None)
        if query is None:
            query = self._embedder.vectors([request.asked_images], self._pools[request.task].flat)[0]
        if isinstance(query, ImageError):
            raise query
        words = self._pools[request.task].words(request, query)
        if not words:
            return request
        at, messages = question(request), request.messages
        *before, last = messages[at].content
        content = (*before, f"{last}\n{words}") if isinstance(last, str) else (*before, last, words)
        told = Message("user", content)
        return replace(request, messages=(*messages[:at], told, *messages[at + 1 :]))

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        try:
            yield from super().answer(self._embedded(requests))
        finally:
            for pool in self._pools.values():
                pool.log_counts()

    def _embedded(self, requests: Iterable[Request]) -> Iterator[Request]:
        flat = {name: pool.flat for name, pool in self._pools.items()}
        for request, query in embedded(self._embedder, requests, flat):
            self._queries[request.key] = query
            yield request


class _Pool:
    """The indexed support split of one task."""

    def __init__(self, task: Task, support: Support, k: int, made_by: Embedder, leave_out: bool) -> None:
        targets = [s.targets[task.target] for s in support.samples]
        if not all(isinstance(t, Labels | Text) for t in targets):
            raise ConfigError(
                f"task '{task.name}': retrieved masks and boxes have no words", remedy="knn answers with them"
            )
        self._labels = isinstance(targets[0], Labels)
        words = task.retrieval or (
            _LABELS if self._labels else _ANSWER if "question" in support.samples[0].slots else _TEXT
        )
        self._task, self._support = replace(task, retrieval=words), support
        self._k, self._leave_out = k, leave_out
        self.flat = is_flat(support)
        self._index, self._twins = index_of(made_by, task, support), Twins(support)
        self._near = self._samples = 0

    def words(self, request: Request, query: np.ndarray) -> str:
        """What is told; empty where nothing may be. Raises :class:`ImageError`."""
        if len(query) != self._index.width:
            raise ImageError("a picture among volumes")
        neighbours = self._neighbours(request, query)
        return retrieved(self._task, neighbours) if neighbours else ""

    def _neighbours(self, request: Request, query: np.ndarray) -> list[Sample]:
        held_out = self._support.held_out
        own = None if held_out is None else held_out[request.sample]
        found, near = list[tuple[int, float]](), 0
        for position, score in self._index.ranked(query):
            if own == self._support.cluster_of(position):
                continue
            if len(found) == self._k if self._labels else found and found[0][1] - score >= TIE:
                break
            if self._twins.near(request, position):
                near += 1
                if self._leave_out:
                    continue
            found.append((position, score))
        self._near += near
        self._samples += near > 0
        positions = [position for position, _ in found]
        if not self._labels and len(positions) > 1:
            positions = [self._most_alike(positions, request.asked_text)]
        return [self._support.samples[p] for p in positions]

    def _most_alike(self, positions: Sequence[int], asked: str) -> int:
        """Of several annotations of one picture the one whose question is most like the asked one, else the first."""
        questions = [str(self._support.samples[p].slots.get("question", "")) for p in positions]
        for position, text in zip(positions, questions, strict=True):
            before, found, after = self._support.requests[position].asked_text.partition(text)
            if text and found and asked.startswith(before) and asked.endswith(after):  # the same template
                asked = asked[len(before) : len(asked) - len(after)]
                break
        return max(zip(positions, questions, strict=True), key=lambda pair: alike(pair[1], asked))[0]

    def log_counts(self) -> None:
        """Say once what was counted since the last time."""
        if self._near:
            log.info(
                "task %s: %d retrieved pictures are the asked one or nearly so and were %s, for %d samples",
                self._task.name, self._near, "passed over" if self._leave_out else "kept", self._samples,
            )  # fmt: skip
        self._near = self._samples = 0
