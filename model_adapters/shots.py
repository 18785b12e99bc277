"""Few-shot: examples of a task's support split before the question, for every model that takes several turns."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

from radbench.model_adapters.baselines import in_fractions, target_text
from radbench.model_adapters.pool.twins import Twins
from radbench.model_adapters.wrapping import Wrapper, question

from radbench.errors import ConfigError
from radbench.options import flag, one_of, whole
from radbench.prompting import Template
from radbench.records import Answer, Boxes, Fitted, Labels, Mask, Message, Model, Request, Sample

if TYPE_CHECKING:
    from radbench.task import Support, Task

log = logging.getLogger("radbench")


class Shots(Wrapper):
    """``shots(MODEL,k=4)``: k examples as turns of user and assistant, drawn from the task's support split.

    Drawn by a hash of ``seed``, task and sample, so that every model, shard and resumed run gets the same; with
    ``draw=task`` of ``seed`` alone, so that all samples, and all tasks of one pool, get the same. Where the pool is the
    evaluated split (leave-one-cluster-out) none is of the asked sample's own cluster; of a split of its own a patient who
    is in both is not left out, but counted by the leakage check before the run. None shows the asked picture or nearly the
    same one (:class:`~radbench.model_adapters.pool.twins.Twins`): such are passed over, or with ``near_duplicates=keep``
    kept, and counted in the log. ``balance=True`` takes the labels of a closed set in turn. ``k=0`` asks as the model
    itself does. Masks have no text form: :class:`ConfigError`.
    """

    name = "shots"
    capabilities = frozenset({"examples"})
    told = ("k",)

    def __init__(
        self,
        model: Model,
        k: int = 4,
        seed: int = 0,
        draw: Literal["sample", "task"] = "sample",
        near_duplicates: Literal["leave-out", "keep"] = "leave-out",
        balance: bool = False,
    ) -> None:
        whole("k", k, 0)
        whole("seed", seed, 0)
        one_of("draw", draw, ("sample", "task"))
        one_of("near_duplicates", near_duplicates, ("leave-out", "keep"))
        flag("balance", balance)
        said = {"k": k, "seed": seed, "draw": draw, "near_duplicates": near_duplicates, "balance": balance}
        super().__init__(model, said, f"few-shot:{k}")
        if draw == "sample":
            self.capabilities |= {"by_sample"}
        self._k, self._seed, self._draw, self._balance = k, seed, draw, balance
        self._leave_out = near_duplicates == "leave-out"
        self._pools: dict[str, _Examples] = {}

    def fit(self, task: Task, support: Support) -> None:
        """Take the support split's examples. Raises :class:`ConfigError` where they cannot be shown to the model."""
        if isinstance(self.inner, Fitted):
            self.inner.fit(task, support)
        if self._k and "multi_image" not in self.inner.capabilities and any(r.images for r in support.requests):
            raise ConfigError(
                f"task '{task.name}': examples have pictures, and the model takes one picture",
                remedy="k=0, or a model that takes several ('multi_image' among its capabilities)",
            )
        text_form = task.text_form if task.form not in self.capabilities else ""
        self._pools[task.name] = _Examples(task, support, self._k, text_form, self._balance)

    def change(self, request: Request) -> Request:
        pool = self._pools[request.task]
        # Without the task's name tasks of one pool share their examples, as they share the keys of equal requests.
        drawn = f"{self._seed}|{request.task}|{request.sample}" if self._draw == "sample" else f"{self._seed}"
        at, messages = question(request), request.messages
        examples = pool.examples(request, drawn, self._leave_out)
        return replace(request, messages=(*messages[:at], *examples, *messages[at:]))

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        try:
            yield from super().answer(requests)
        finally:
            for pool in self._pools.values():
                pool.log_counts("passed over" if self._leave_out else "kept")


@dataclass(slots=True)
class _Counts:
    near: int = 0  # examples that nearly show the asked picture
    samples: int = 0  # for so many samples
    short: int = 0  # samples with fewer than k examples
    unreadable: int = 0


class _Examples:
    """The support split of one task as turns."""

    def __init__(self, task: Task, support: Support, k: int, text_form: str, balance: bool) -> None:
        targets = [s.targets[task.target] for s in support.samples]
        if any(isinstance(t, Mask) for t in targets):
            raise ConfigError(
                f"task '{task.name}': an example's mask has no text form", remedy="a task that is not one of masks"
            )
        if balance and not all(isinstance(t, Labels) for t in targets):
            raise ConfigError(f"task '{task.name}': its answers are no labels to balance", remedy="balance=False")
        if len(targets) < k:
            raise ConfigError(f"task '{task.name}': {k} examples asked for, the support split has {len(targets)}")
        self._task, self._support, self._k = task, support, k
        self._form = Template(text_form) if text_form else None
        self._twins = Twins(support)
        self._labels = dict[str, list[int]]()
        if balance:
            for position, target in enumerate(targets):
                self._labels.setdefault(target_text(target), []).append(position)
        self._counts = _Counts()

    def examples(self, request: Request, drawn: str, leave_out: bool) -> list[Message]:
        """The turns of k examples, fewer where no more may be shown. Raises :class:`ImageError`."""
        held_out = self._support.held_out
        own = None if held_out is None else held_out[request.sample]
        chosen, near = list[int](), 0
        order = self._order(drawn)
        while len(chosen) < self._k and (position := next(order, None)) is not None:
            if own == self._support.cluster_of(position):
                continue
            if not self._twins.readable(position):
                self._counts.unreadable += 1
                continue
            if self._twins.near(request, position):
                near += 1
                if leave_out:
                    continue
            chosen.append(position)
        self._counts.near += near
        self._counts.samples += near > 0
        self._counts.short += len(chosen) < self._k
        return [turn for position in chosen for turn in self._turns(position)]

    def _order(self, drawn: str) -> Iterator[int]:
        """Every position once, as drawn; balanced: of each label in turn, the labels in an order that is drawn too."""
        if not self._labels:
            yield from _shuffled(range(len(self._support.samples)), drawn)
            return
        labels = sorted(self._labels)
        queues = [_shuffled(self._labels[labels[i]], f"{drawn}|{i}") for i in _shuffled(range(len(labels)), drawn)]
        while queues:
            for queue in list(queues):
                if (position := next(queue, None)) is None:
                    queues.remove(queue)
                else:
                    yield position

    def _turns(self, position: int) -> tuple[Message, Message]:
        sample, asked = self._support.samples[position], self._support.requests[position]
        content = asked.messages[question(asked)].content
        if self._form is not None:
            content = (*content, "\n" + self._form.text(sample, sample.choices or self._task.choices))
        return Message("user", content), Message("assistant", (_written(self._task, sample),))

    def log_counts(self, what: str) -> None:
        """Say once what was counted since the last time."""
        counts, self._counts = self._counts, _Counts()
        if counts.near:
            log.info(
                "task %s: %d examples that show the asked picture or nearly so were %s, for %d samples",
                self._task.name, counts.near, what, counts.samples,
            )  # fmt: skip
        if counts.unreadable:
            log.warning("task %s: unreadable examples were passed over %d times", self._task.name, counts.unreadable)
        if counts.short:
            log.warning("task %s: %d samples had fewer than %d examples", self._task.name, counts.short, self._k)


def _shuffled(positions: Sequence[int], drawn: str) -> Iterator[int]:
    """All ``positions`` in an order that a text decides (Fisher and Yates), the same on every machine; found lazily."""
    moved: dict[int, int] = {}
    for i in range(len(positions)):
        digest = blake2b(f"{drawn}|{i}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        j = i + int.from_bytes(digest, "big") % (len(positions) - i)
        yield positions[moved.get(j, j)]
        moved[j] = moved.get(i, i)


def _written(task: Task, sample: Sample) -> str:
    """A sample's target as a model should have written it; boxes in the unit the task's parser reads."""
    target = sample.targets[task.target]
    if isinstance(target, Boxes) and task.parser.options.get("unit") == "fraction":
        target = in_fractions(target, sample)
    return target_text(target)
