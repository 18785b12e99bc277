"""What a model could look up: the same patient, picture, question or report in its pool and in the test split.

A pool is what :class:`radbench.task.Task` calls ``support``: retrieval voting and few-shot examples come from it. Where
the pool is the test split itself (leave-one-cluster-out), samples of different clusters are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from radbench.care.inventory import strictest
from radbench.care.similar import COSINE, Looks, chosen, look, near, reference
from radbench.dataset import Reader
from radbench.errors import OPEN_ACCESS
from radbench.records import Image, Labels, Sample, Text
from radbench.task import LEAVE_ONE_CLUSTER_OUT, Task

Source = Callable[[], Iterable[Sample]]  # samples that can be streamed more than once
LONG_REPORT = 100  # characters from which an identical reference text says more than a template phrase
EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Leak:
    """One way of finding test samples in the pool: how many, of how many that could be compared.

    Kinds: ``same patient or paper`` (the samples' cluster), ``same picture`` (equal pixels), ``nearly same picture``
    (cosine of 32 x 32 grey levels of at least 0.99), ``same question`` (with the same answer on the same picture),
    ``same report`` (a reference text of 100 characters or more, but for case and spaces).
    ``examples`` read ``test id <- pool id``; there are none of restricted data.
    """

    kind: str
    affected: int
    compared: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leakage:
    """What was found between a pool and a test split. Picture counts are of distinct pictures: looked at, and all."""

    pool: int
    test: int
    leaks: tuple[Leak, ...]
    pool_pictures: tuple[int, int]
    test_pictures: tuple[int, int]
    unreadable: int

    @property
    def found(self) -> tuple[Leak, ...]:
        return tuple(leak for leak in self.leaks if leak.affected)


def task_leakage(task: Task, reader: Reader, limit: int = 0, seed: int = 0) -> Leakage | None:
    """Leakage between a task's support split and its test split; None where the task has no support.

    At most ``limit`` distinct pictures a side are decoded (0: all). Raises :class:`radbench.errors.DataError`.
    """

    support, access = task.support, strictest(task.dataset)
    if support is None:
        return None

    def test() -> Iterable[Sample]:
        return reader.samples(task.split)

    def pool() -> Iterable[Sample]:
        return reader.samples(support)

    return leakage(test, None if support == LEAVE_ONE_CLUSTER_OUT else pool, access, limit, seed)


def leakage(
    test: Source, pool: Source | None, access: str, limit: int = 0, seed: int = 0, cosine: float = COSINE
) -> Leakage:
    """Compare a test split with a pool, or (``pool`` None) the clusters of a split with each other."""
    apart = pool is None
    here = _Side(access)
    rows = list(here.rows(test(), apart))
    clusters = _Index((row.cluster for row in rows), apart)
    reports = _Index((row.report for row in rows), apart)
    there = here if pool is None else _Side(access)
    for row in rows if pool is None else there.rows(pool(), apart):
        clusters.add(row.cluster, row)
        reports.add(row.report, row)
    looked, looked_there = _look_at(here, there, limit, seed)
    content = {**_content(there, looked_there), **_content(here, looked)}
    pictures = _Index((content[r] for row in rows for r in row.pictures), apart)
    questions = _Index((_asked(row, content) for row in rows), apart)
    for row in rows if pool is None else there.rows(pool(), apart):
        for picture in row.pictures:
            pictures.add(content[picture], row)
        questions.add(_asked(row, content), row)
    leaks = [
        _leak("same picture", rows, lambda row: [content[r] for r in row.pictures], pictures),
        _near_leak(rows, here, there, looked, looked_there, cosine, apart),
        _leak("same question", rows, lambda row: [_asked(row, content)], questions),
        _leak("same report", rows, lambda row: [row.report], reports),
    ]
    if not apart:
        leaks.insert(0, _leak("same patient or paper", rows, lambda row: [row.cluster], clusters))
    unreadable = looked.looks.unreadable + (0 if apart else looked_there.looks.unreadable)
    return Leakage(
        len(rows) if apart else there.count,
        len(rows),
        tuple(leaks),
        (len(looked_there.positions), len(there.images)),
        (len(looked.positions), len(here.images)),
        unreadable,
    )


# --- samples ---


@dataclass(frozen=True, slots=True)
class _Row:
    """What is compared of a sample. ``shown`` is its id where it may be shown, else empty."""

    shown: str
    cluster: str | None
    pictures: tuple[Hashable, ...]
    question: bytes | None
    report: bytes | None


@dataclass(slots=True)
class _Side:
    """One side of the comparison: its distinct pictures, each with the row that has it first."""

    access: str
    count: int = 0
    images: list[Image] = field(default_factory=list)
    owners: list[_Row] = field(default_factory=list)
    _known: dict[Hashable, int] = field(default_factory=dict)

    def rows(self, samples: Iterable[Sample], apart: bool) -> Iterator[_Row]:
        self.count = 0
        for sample in samples:
            self.count += 1
            row = _row(sample, self.access, apart)
            for image, key in zip(sample.images, row.pictures, strict=True):
                if key not in self._known:
                    self._known[key] = len(self.images)
                    self.images.append(image)
                    self.owners.append(row)
            yield row


def _row(sample: Sample, access: str, apart: bool) -> _Row:
    answers, reports = [], []
    for name, target in sorted(sample.targets.items()):
        if isinstance(target, Text | Labels):
            words = target.alternatives if isinstance(target, Text) else target.names
            answers.append(f"{name}\1{_plain(' '.join(words))}")
        if isinstance(target, Text) and len(text := _plain(target.first)) >= LONG_REPORT:
            reports.append(text)
    asked = sample.slots.get("question") or " ".join(str(v) for _, v in sorted(sample.slots.items()))
    return _Row(
        sample.id if (sample.access or access) in OPEN_ACCESS else "",
        sample.cluster if sample.cluster is not None or not apart else sample.id,
        tuple(reference(image) for image in sample.images),
        _digest("\0".join([_plain(str(asked)), *answers])) if asked and answers else None,
        _digest("\0".join(reports)) if reports else None,
    )


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


# --- comparing ---


class _Index:
    """Pool rows by a key, only keys the test split has; two rows of different clusters a key at most."""

    def __init__(self, wanted: Iterable[Hashable | None], apart: bool) -> None:
        self._rows: dict[Hashable, list[_Row]] = {key: [] for key in wanted if key is not None}
        self._apart = apart

    def add(self, key: Hashable | None, row: _Row) -> None:
        rows = self._rows.get(key)
        if rows is not None and (not rows or (len(rows) == 1 and rows[0].cluster != row.cluster)):
            rows.append(row)

    def match(self, key: Hashable | None, row: _Row) -> _Row | None:
        rows = self._rows.get(key, ())
        return next((other for other in rows if not self._apart or other.cluster != row.cluster), None)


def _leak(kind: str, rows: Sequence[_Row], keys: Callable[[_Row], list[Hashable | None]], index: _Index) -> Leak:
    affected = compared = 0
    examples: list[str] = []
    for row in rows:
        present = [key for key in keys(row) if key is not None]
        compared += bool(present)
        other = next((found for key in present if (found := index.match(key, row))), None)
        if other is not None:
            affected += 1
            _example(examples, row, other)
    return Leak(kind, affected, compared, tuple(examples))


def _example(examples: list[str], row: _Row, other: _Row) -> None:
    if len(examples) < EXAMPLES and row.shown and other.shown:
        examples.append(f"{row.shown} <- {other.shown}")


def _asked(row: _Row, content: dict[Hashable, Hashable]) -> Hashable | None:
    """Question and answer on these pictures; None without either."""
    if row.question is None or not row.pictures:
        return None
    return (frozenset(content[r] for r in row.pictures), row.question)


# --- pictures ---


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """The pictures of a side that were decoded: their positions in it and what they look like."""

    positions: list[int]
    looks: Looks


def _look_at(here: _Side, there: _Side, limit: int, seed: int) -> tuple[_Looked, _Looked]:
    def looked(side: _Side) -> _Looked:
        positions = chosen(side.images, limit, seed)
        return _Looked(positions, look([side.images[p] for p in positions]))

    ours = looked(here)
    return ours, ours if there is here else looked(there)


def _content(side: _Side, looked: _Looked) -> dict[Hashable, Hashable]:
    """What identifies the content of each reference: the digest of its pixels where they were seen, else itself."""
    found: dict[Hashable, Hashable] = {reference(image): reference(image) for image in side.images}
    for position, digest in zip(looked.positions, looked.looks.digests.tolist(), strict=True):
        if digest:
            found[reference(side.images[position])] = digest
    return found


def _near_leak(
    rows: Sequence[_Row], here: _Side, there: _Side, ours: _Looked, theirs: _Looked, cosine: float, apart: bool
) -> Leak:
    groups = None
    if apart:
        numbers: dict[str | None, int] = {}
        codes = np.array([numbers.setdefault(here.owners[p].cluster, len(numbers)) for p in ours.positions], int)
        groups = (codes, codes)
    twin: dict[Hashable, _Row] = {}
    for i, j in near(ours.looks, theirs.looks, cosine, groups):
        twin[reference(here.images[ours.positions[i]])] = there.owners[theirs.positions[j]]
    seen = {reference(here.images[p]) for p in ours.positions}
    affected = compared = 0
    examples: list[str] = []
    for row in rows:
        compared += any(r in seen for r in row.pictures)
        other = next((twin[r] for r in row.pictures if r in twin), None)
        if other is not None:
            affected += 1
            _example(examples, row, other)
    return Leak("nearly same picture", affected, compared, tuple(examples))
