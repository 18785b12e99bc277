"""What of a dataset lies on disk: splits, samples, patients, pictures. Nothing is decoded, nothing is changed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from radbench.dataset import DataLocations, Dataset, Reader
from radbench.errors import OPEN_ACCESS, DataError
from radbench.records import Access, Image, Labels, Mask, Sample, Target, Text
from radbench.task import LEAVE_ONE_CLUSTER_OUT, Task

NAMED = 5  # missing files that are named, of open data


@dataclass(frozen=True, slots=True)
class Split:
    """What a reader finds in one split.

    ``clusters``: distinct patients, studies or papers; None where no sample names one. ``missing``: picture and mask
    files that are not there, of ``files`` distinct ones; a few are named where the data are open. ``answers`` counts the
    options of closed sets, yes and no above all. ``fault``: why the split could not be read (to its end).
    """

    name: str
    samples: int = 0
    clusters: int | None = None
    files: int = 0
    missing: int = 0
    missing_names: tuple[str, ...] = ()
    answers: Mapping[str, int] = field(default_factory=dict)
    expected: int | None = None
    needed: bool = True  # evaluated by a task; others are pools, or only have a stated size
    fault: str = ""

    @property
    def warning(self) -> str:
        """How its size differs from the one expected, if it does."""
        if self.expected is None or self.fault or self.samples == self.expected:
            return ""
        return f"split {self.name}: expected about {self.expected:,} samples, found {self.samples:,}"


@dataclass(frozen=True, slots=True)
class Form:
    """One way in which tasks read a dataset: its reader with options, the tasks, the splits."""

    dataset: Dataset
    tasks: tuple[Task, ...]

    @property
    def sizes(self) -> Mapping[str, int]:
        """The sizes stated for the dataset, where it is read as its own reader does: not as questions on its pictures,
        pictures of its studies or a part of it."""
        from radbench.tasks import sources

        own = [d.reader for d in vars(sources).values() if isinstance(d, Dataset) and d.name == self.dataset.name]
        return self.dataset.sizes if not own or self.dataset.reader in own else {}

    @property
    def splits(self) -> dict[str, bool]:
        """Split names, as stated and as used; whether a task evaluates each."""
        pools = [t.support for t in self.tasks if t.support and t.support != LEAVE_ONE_CLUSTER_OUT]
        evaluated = dict.fromkeys((t.split for t in self.tasks), True)
        return {**dict.fromkeys((*self.sizes, *pools), False), **evaluated}

    @property
    def pools(self) -> list[tuple[str, Task]]:
        """Distinct pools and a task that has each: ``(pool, task)``."""
        found = {(t.split, t.support): t for t in reversed(self.tasks) if t.support}
        return [(str(support), task) for (_, support), task in reversed(found.items())]


def variants(tasks: Iterable[Task]) -> list[Task]:
    """The tasks, and each again for every option that makes it read another dataset."""
    found = []
    for task in tasks:
        found.append(task)
        for option in task.options:
            for value, fields in option.changes.items():
                if "dataset" in fields and fields["dataset"].name != task.dataset.name:
                    found.append(task.with_options({option.name: value}))
    return found


def forms(tasks: Iterable[Task], name: str) -> list[Form]:
    """The ways in which tasks read the dataset called ``name``."""
    found: list[tuple[Dataset, list[Task]]] = []
    for task in tasks:
        if task.dataset.name == name:
            group = next((g for d, g in found if d == task.dataset), None)
            if group is None:
                found.append((task.dataset, [task]))
            else:
                group.append(task)
    return [Form(dataset, tuple(group)) for dataset, group in found]


def datasets(tasks: Iterable[Task]) -> dict[str, Dataset]:
    """Every dataset that tasks read, and those whose pictures they need, by name in order."""
    found: dict[str, Dataset] = {}

    def add(dataset: Dataset) -> None:
        found.setdefault(dataset.name, dataset)
        for companion in dataset.companions.values():
            add(companion)

    for task in tasks:
        add(task.dataset)
    return dict(sorted(found.items()))


def strictest(dataset: Dataset) -> Access:
    """The access that rules what may be printed: the dataset's own, or that of pictures it borrows."""
    asked = [dataset.access, *(d.access for d in dataset.companions.values())]
    return next((a for a in asked if a not in OPEN_ACCESS), dataset.access)


def place(dataset: Dataset, locations: DataLocations) -> Path | None:
    """Where a dataset lies; None where it ships in a package. Raises :class:`DataError` where it is absent."""
    if dataset.folder is None and dataset.name not in locations.named:
        return None
    return locations.find(dataset)


def splits(form: Form, reader: Reader, root: Path | None) -> list[Split]:
    """Each split of a form, counted."""
    found = []
    for name, needed in form.splits.items():
        tasks = [t for t in form.tasks if name in (t.split, t.support)]
        found.append(_counted(reader, name, needed, form, tasks, root))
    return found


def _counted(reader: Reader, name: str, needed: bool, form: Form, tasks: Sequence[Task], root: Path | None) -> Split:
    """One pass over a split; sets of hashes, so that a million samples fit."""
    clusters: set[int] = set()
    seen: set[int] = set()
    missing: list[str] = []
    answers: Counter[str] = Counter()
    options = {"yes", "no", *(c for t in tasks for c in t.choices)}
    targets = {t.target for t in tasks} or {"answer"}
    count = absent = 0
    access = strictest(form.dataset)
    fault = ""
    try:
        for sample in reader.samples(name):
            count += 1
            if sample.cluster is not None:
                clusters.add(hash(sample.cluster))
            for image in pictures(sample):
                key = hash((image.path, image.kind))
                if key in seen:
                    continue
                seen.add(key)
                if not is_there(image):
                    absent += 1
                    if len(missing) < NAMED and (sample.access or access) in OPEN_ACCESS:
                        missing.append(os.path.relpath(image.path, root) if root else Path(image.path).name)
            answers.update(answer for t in targets for answer in _answers(sample.targets.get(t), options))
    except DataError as error:
        fault = str(error).replace("\n", " ")
    return Split(
        name, count, len(clusters) or None, len(seen), absent, tuple(missing), dict(answers.most_common()),
        form.sizes.get(name), needed, fault,
    )  # fmt: skip


def pictures(sample: Sample) -> Iterator[Image]:
    """The files of a sample: its pictures and its masks."""
    yield from sample.images
    for target in sample.targets.values():
        if isinstance(target, Mask) and target.image is not None:
            yield target.image


def is_there(image: Image) -> bool:
    """Whether a picture's file is there, of a series a folder with something in it."""
    try:
        if image.kind == "series":
            with os.scandir(image.path) as entries:
                return next(entries, None) is not None
        return os.path.exists(image.path)
    except (OSError, ValueError):
        return False


def _answers(target: Target | None, options: set[str]) -> Iterator[str]:
    if isinstance(target, Labels):
        yield from (n for n in target.names if n in options)
    elif isinstance(target, Text) and target.alternatives and (word := target.first.strip().lower()) in options:
        yield word
