"""Tasks and groups: what is asked, how the answer is read, what it is scored with."""

from __future__ import annotations

import importlib
import inspect
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Protocol

from radbench.errors import OPEN_ACCESS, ConfigError, DataError, nearest, shown
from radbench.records import (
    Access,
    AnswerForm,
    Generation,
    Image,
    Labels,
    Mask,
    Message,
    Prediction,
    Request,
    Sample,
)


class Reader(Protocol):
    """One dataset distribution on disk. Readers never download and never decode pixels unless they must."""

    def samples(self, split: str) -> Iterator[Sample]:
        """The samples of a split, streamed, always in the same order. Raises :class:`radbench.errors.DataError`."""
        ...

    def fingerprint(self) -> str:
        """A hash of what determines the samples: tables and file lists, not the pictures (those key requests)."""
        ...


@dataclass(frozen=True, slots=True)
class Lazy:
    """A reader or parser named, not imported: ``Lazy("radbench.tasks.readers.medmnist:MedMNIST", flag="...")``."""

    target: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def resolve(self) -> Any:
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)


def lazy(target: str, **options: Any) -> Lazy:
    return Lazy(target, options)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Where samples come from: a name, the folder a user keeps it in, its licence and access, its reader.

    ``companions`` maps a reader's keyword to the dataset whose folder it needs too (pictures that are distributed apart).
    """

    name: str
    reader: Lazy
    access: Access
    licence: str
    source: str  # where to get it, for people
    folder: str | None = None  # below the data root; None: the dataset ships inside packages, or is made by one
    homepage: str = ""
    hub: tuple[str, ...] = ()  # copies on the Hugging Face hub, the one to fetch first
    tree: str = ""  # what the folder holds as distributed
    sizes: Mapping[str, int] = field(default_factory=dict)  # split -> samples, as its paper or card states
    companions: Mapping[str, Dataset] = field(default_factory=dict)
    note: str = ""

    def open(self, locations: DataLocations) -> Reader:
        """The reader over the user's copy. Raises :class:`DataError` where there is none."""
        root = () if self.folder is None and self.name not in locations.named else (locations.find(self),)
        others = {keyword: locations.find(dataset) for keyword, dataset in self.companions.items()}
        reader = self.reader.resolve()
        try:
            inspect.signature(reader).bind(*root, **others, **self.reader.options)
        except TypeError as error:
            raise ConfigError(
                f"dataset '{self.name}', read by {self.reader.target.rpartition(':')[2]}: {error}",
                remedy="options of the task that do not go together?",
            ) from None
        if self.access in OPEN_ACCESS or self.reader.target in _KNOWS_ITS_ACCESS:
            opened: Reader = reader(*root, **others, **self.reader.options)
            return opened
        try:
            return _Discreet(reader(*root, **others, **self.reader.options), self.access)
        except DataError as error:
            raise error.discreet(self.access) from None

    def reading(self, **options: Any) -> Dataset:
        """The same dataset with further options of its reader."""
        return replace(self, reader=Lazy(self.reader.target, {**self.reader.options, **options}))

    def by(self, target: str, **options: Any) -> Dataset:
        """The same folder through another reader."""
        return replace(self, reader=Lazy(target, options))


_KNOWS_ITS_ACCESS = frozenset({"radbench.tasks.readers.table:Table"})


class _Discreet:
    """A reader of restricted data whose errors do not tell what they found in them."""

    def __init__(self, reader: Reader, access: Access) -> None:
        self._reader, self._access = reader, access

    def samples(self, split: str) -> Iterator[Sample]:
        try:
            yield from self._reader.samples(split)
        except DataError as error:
            raise error.discreet(self._access) from None

    def fingerprint(self) -> str:
        try:
            return self._reader.fingerprint()
        except DataError as error:
            raise error.discreet(self._access) from None

    def __getattr__(self, name: str) -> Any:  # count, removed ... as far as the reader has them
        return getattr(self._reader, name)


@dataclass(frozen=True, slots=True)
class DataLocations:
    """Where the user's datasets lie: one root with a folder each, and exceptions by name."""

    root: Path = Path("data")
    named: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def parse(cls, values: Iterable[str]) -> DataLocations:
        """From ``--data DIR`` and ``--data NAME=DIR`` options."""
        roots: list[Path] = []
        named: dict[str, Path] = {}
        for value in values:
            name, equals, path = value.partition("=")
            if equals and "/" not in name and not Path(value).is_dir():
                named[name] = Path(path).expanduser()
            else:
                roots.append(Path(value).expanduser())
        if len({r.absolute() for r in roots}) > 1:
            raise ConfigError(
                f"--data names two roots, {roots[0]} and {roots[1]}", remedy="one root, the others as --data NAME=PATH"
            )
        return cls(roots[0] if roots else Path("data"), named)

    def find(self, dataset: Dataset) -> Path:
        """The folder of a dataset. Raises :class:`DataError` where it is not."""
        path = self.named.get(dataset.name, self.root / str(dataset.folder))
        if _is_hub(path):
            return _hub_folder(dataset.name, str(path).removeprefix(_HUB))
        if not path.exists():
            page = f" ({dataset.homepage})" if dataset.homepage else ""
            raise DataError(
                f"dataset '{dataset.name}' is not at {path}",
                remedy=f"from: {dataset.source}{page}; then pass --data DIR (a folder that holds '{dataset.folder}')"
                f" or --data {dataset.name}=PATH",
            )
        return path

    def as_options(self) -> list[str]:
        named = ((k, v if _is_hub(v) else v.resolve()) for k, v in sorted(self.named.items()))
        return [str(self.root.resolve()), *(f"{k}={v}" for k, v in named)]


_HUB = "hub:"


def _is_hub(path: Path) -> bool:
    return str(path).startswith(_HUB)


def _hub_folder(name: str, repository: str) -> Path:
    """The local cache of a hub dataset, as ``huggingface_hub`` or ``datasets`` left it. Nothing is downloaded."""
    try:
        from huggingface_hub import constants, snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError:
        raise DataError(f"--data {name}=hub:... needs huggingface_hub", remedy="pip install 'radbench[data]'") from None
    try:
        return Path(snapshot_download(repository, repo_type="dataset", local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        made = Path(constants.HF_HOME) / "datasets" / repository.replace("/", "___")
        if repository and made.is_dir():
            return made
        raise DataError(
            f"dataset '{name}': no copy of '{repository}' in the hub cache",
            remedy=f"radbench data fetch {name}; a run itself downloads nothing",
        ) from None


@dataclass(frozen=True, slots=True)
class Support:
    """What a fitted model may learn from: samples, their rendered requests, and a digest of both.

    ``held_out`` is None where the pool is a split of its own. Else the pool *is* the evaluated samples and
    ``held_out`` maps each sample id to its cluster: a model must leave that cluster's pool items out when asked.
    """

    samples: tuple[Sample, ...]
    requests: tuple[Request, ...]
    digest: str
    held_out: Mapping[str, str] | None = None

    def cluster_of(self, position: int) -> str:
        sample = self.samples[position]
        return sample.cluster or sample.id


@dataclass(frozen=True, slots=True)
class Option:
    """A choice that the paper leaves open: ours by default, another with ``TASK:name=value``, recorded in the run.

    It goes to the reader or the parser under its name, (``to="task"``) replaces fields of the task, or (``to="names"``) is
    a file with a name a line: the task's choices, which the reader is given too. ``values`` are
    those allowed, any where empty. A spec gives numbers and quoted texts as Python writes them.
    """

    name: str
    default: Any
    reason: str
    to: Literal["reader", "parser", "task", "names"] = "reader"
    values: tuple[Any, ...] = ()
    changes: Mapping[Any, Mapping[str, Any]] = field(default_factory=dict)  # to="task": value -> fields


LEAVE_ONE_CLUSTER_OUT = "leave-one-cluster-out"
Parser = Callable[..., Prediction]  # (Answer, Sample, Task) and the options of the task file


@dataclass(frozen=True, slots=True)
class Task:
    """One row of a suite.

    ``prompts`` are templates; one is drawn per sample by a hash of seed and sample id. Slots in braces are filled from
    the sample; ``{images}`` or ``{image-1}`` place pictures, which otherwise come first. ``support`` names the split a
    fitted model may learn from, or :data:`LEAVE_ONE_CLUSTER_OUT`. Raise ``version`` whenever prompt, parser or data
    rule changes: answers of different versions never mix.
    """

    name: str
    version: int
    title: str
    dataset: Dataset
    split: str
    prompts: tuple[str, ...]
    metrics: tuple[str, ...]
    target: str = "answer"
    form: AnswerForm = "text"
    parser: Lazy = Lazy("radbench.tasks.parsers:free_text")
    choices: tuple[str, ...] = ()
    system: str = ""
    generation: Generation = Generation()
    support: str | None = None
    clustered: bool = True
    regime: Literal["zero-shot", "few-shot", "fine-tuned"] = "zero-shot"
    published: tuple[str, ...] = ()  # row_id of published_results.csv
    note: str = ""
    text_form: str = ""  # added to the prompt of a model that answers only in text, where ``form`` is not text
    retrieval: str = ""  # how the annotations of retrieved examples are told, with the slot {retrieved}
    options: tuple[Option, ...] = ()
    chosen: Mapping[str, Any] = field(default_factory=dict)  # options that differ from their default

    @property
    def access(self) -> Access:
        return self.dataset.access

    @property
    def spec(self) -> str:
        """The name with the options chosen, as one writes it."""
        chosen = ",".join(f"{name}={value}" for name, value in self.chosen.items())
        return f"{self.name}:{chosen}" if chosen else self.name

    def with_options(self, given: Mapping[str, Any]) -> Task:
        """The task with options set. Raises :class:`ConfigError` on an option or value it does not have."""
        task, known = self, {o.name: o for o in self.options}
        for name, value in given.items():
            if name not in known:
                raise ConfigError(
                    f"task '{self.name}' has no option '{name}': {nearest(name, known)}",
                    remedy=f"radbench describe {self.name}",
                )
            option = known[name]
            if option.values and value not in option.values:
                raise ConfigError(
                    f"task '{self.name}': {name} is {value!r}, expected one of {', '.join(map(str, option.values))}",
                    remedy=f"radbench describe {self.name}",
                )
            if value != option.default:
                task = replace(task._set(option, value), chosen={**task.chosen, name: value})
        return task

    def _set(self, option: Option, value: Any) -> Task:
        if option.to == "reader":
            return replace(self, dataset=self.dataset.reading(**{option.name: value}))
        if option.to == "names":
            names = _names_of(Path(str(value)).expanduser())
            return replace(self, choices=names, dataset=self.dataset.reading(**{option.name: names}))
        if option.to == "parser":
            return replace(self, parser=Lazy(self.parser.target, {**self.parser.options, option.name: value}))
        return replace(self, **option.changes[value])

    def parse(self) -> Parser:
        """The parser, its options bound."""
        function = self.parser.resolve()
        if not self.parser.options:
            return function
        from functools import partial

        return partial(function, **self.parser.options)

    def describe(self) -> dict[str, Any]:
        """What the manifest records of the task: everything that decides its requests and how answers are read.

        Metrics are left out: a run may be scored with others at any time.
        """
        return {
            "version": self.version,
            "split": self.split,
            "support": self.support,
            "target": self.target,
            "form": self.form,
            "choices": list(self.choices),
            "prompts": sha256("\0".join((self.system, *self.prompts)).encode()).hexdigest()[:16],
            "parser": f"{self.parser.target} {dict(self.parser.options)}",
            "generation": str(self.generation),
        } | ({"options": dict(self.chosen)} if self.chosen else {})


def _names_of(path: Path) -> tuple[str, ...]:
    """The names of a file, one a line. Raises :class:`ConfigError`."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no file of names ({error})", remedy="a text file, one name a line") from None
    names = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not names:
        raise ConfigError(f"{path}: holds no name", remedy="a text file, one name a line")
    return names


@dataclass(frozen=True, slots=True)
class Group:
    """A number over several tasks: ``pool`` their samples (RadFM's Table 4) or average their values (``macro``)."""

    name: str
    members: tuple[str, ...]
    how: Literal["pool", "macro"]
    metrics: tuple[str, ...]
    published: tuple[str, ...] = ()


class Renderer:
    """Turns samples into requests. Prompts are compiled once; the same sample always renders the same."""

    def __init__(
        self, task: Task, seed: int, base: bytes, by_sample: bool = False, draws: int = 1, text_form: bool = False
    ) -> None:
        self._task = task
        self._form = Template(task.text_form) if text_form and task.text_form else None
        self._seed = f"{seed}|".encode()
        self._templates = [Template(p) for p in task.prompts]
        self._system = (Message("system", (task.system,)),) if task.system else ()
        self._base = sha256(base)
        self._base.update(f"{task.system}\0{task.form}\0{task.generation}\0".encode("utf-8", "surrogatepass"))
        self._by_sample = by_sample
        self.draws = draws

    def key(self, sample: Sample, draw: int = 0) -> bytes:
        """The key of a sample's request, without building it."""
        return self._key(sample, self._content(sample), draw)

    def render(self, sample: Sample, draw: int = 0) -> Request:
        """The request of a sample. Raises :class:`ConfigError` where the prompt names a slot the sample lacks."""
        task, content = self._task, self._content(sample)
        messages = (*self._system, Message("user", content))
        key = self._key(sample, content, draw)
        choices = sample.choices or task.choices
        return Request(task.name, sample.id, messages, task.form, choices, task.generation, draw, key)

    def _content(self, sample: Sample) -> tuple[str | Image, ...]:
        templates = self._templates
        template = templates[0]
        if len(templates) > 1:
            template = templates[zlib.crc32(self._seed + sample.id.encode("utf-8", "surrogatepass")) % len(templates)]
        try:
            content = template.fill(sample, sample.choices or self._task.choices)
            if self._form is not None:
                content = (*content, "\n" + self._form.text(sample, sample.choices or self._task.choices))
            if template.placed and sample.images and all(isinstance(p, str) for p in content):
                raise ConfigError(
                    f"task '{self._task.name}': the prompt places no picture of a sample that has {len(sample.images)}",
                    remedy="use {images} or {image-1}",
                )
            return content
        except KeyError as missing:
            raise ConfigError(
                f"task '{self._task.name}': the prompt has a slot {missing} that sample"
                f" {shown(sample.id, self._task.access)} lacks (it has {', '.join(sorted(sample.slots))})"
            ) from None

    def _key(self, sample: Sample, content: tuple[str | Image, ...], draw: int) -> bytes:
        parts = [p if type(p) is str else f"\1{p.key()}\1" for p in content]  # type: ignore[union-attr]
        parts.extend(sample.choices or self._task.choices)
        parts.append(f"{draw}|{self._task.name}|{sample.id}" if self._by_sample else str(draw))
        digest = self._base.copy()  # the model, the task's system prompt and generation are hashed once
        digest.update("\0".join(parts).encode("utf-8", "surrogatepass"))
        return digest.digest()[:16]


class Template:
    """A prompt with ``{slot}`` fields; ``{{`` and ``}}`` are literal braces. Raises :class:`ConfigError` when malformed."""

    def __init__(self, text: str) -> None:
        from string import Formatter

        try:
            self._parts = [(literal, name or "") for literal, name, _, _ in Formatter().parse(text)]
        except ValueError as error:
            raise ConfigError(f"prompt {text!r}: {error}", remedy="write a literal brace twice: {{ or }}") from None
        for _, slot in self._parts:
            if slot.startswith("image-") and not slot[len("image-") :].isdigit():
                raise ConfigError(
                    f"prompt {text!r}: {{{slot}}} is no picture", remedy="use {images}, {image-1}, {image-2} ..."
                )
        self.placed = any(slot in _PICTURE_SLOTS or slot.startswith("image-") for _, slot in self._parts)

    def text(self, sample: Sample, choices: tuple[str, ...]) -> str:
        """A template without pictures, filled. Raises KeyError."""
        return "".join([literal + self._slot(slot, sample, choices) for literal, slot in self._parts])

    def fill(self, sample: Sample, choices: tuple[str, ...]) -> tuple[str | Image, ...]:
        """Text and pictures in order; pictures come first where the template places none. Raises KeyError."""
        if not self.placed:
            text = self.text(sample, choices)
            return (*sample.images, text) if text else sample.images
        content: list[str | Image] = []
        text = ""
        for literal, slot in self._parts:
            text += literal
            pictures = self._pictures(slot, sample)
            if pictures is None:
                text += self._slot(slot, sample, choices)
                continue
            for part in pictures:
                if isinstance(part, str):
                    text += part
                    continue
                if text:
                    content.append(text)
                    text = ""
                content.append(part)
        return (*content, text) if text else tuple(content)

    @staticmethod
    def _slot(slot: str, sample: Sample, choices: tuple[str, ...]) -> str:
        if slot == "choices":
            return ", ".join(choices)
        return str(sample.slots[slot]) if slot else ""

    @staticmethod
    def _pictures(slot: str, sample: Sample) -> tuple[str | Image, ...] | None:
        """The pictures a slot stands for; of one the sample does not have, none; None where it is a text slot."""
        if slot == "images":
            return sample.images
        if slot in ("current", "prior"):
            return tuple(image for image in sample.images if image.role == slot)
        if slot.startswith("captioned-"):
            role = slot.removeprefix("captioned-")
            shown = [image for image in sample.images if role in ("images", image.role)]
            return tuple(part for image in shown for part in (_caption(image, sample), image))
        if not slot.startswith("image-"):
            return None
        position = int(slot[len("image-") :])  # checked when the template was read
        return sample.images[position - 1 : position]


_PICTURE_SLOTS = frozenset({"images", "current", "prior", "captioned-images", "captioned-current", "captioned-prior"})


def _caption(image: Image, sample: Sample) -> str:
    """What stands before a picture: when it is of, the modality (the sample's slot of that name) and the view."""
    words = [str(sample.slots.get("modality") or ""), f"{image.view} view" if image.view else ""]
    known = ", ".join(filter(None, words)) or "Image"
    return f"{'Previous ' if image.role == 'prior' else ''}{known}: "


def retrieved(task: Task, neighbours: Iterable[Sample]) -> str:
    """A task's retrieval prompt with the annotations of its nearest support samples, nearest first."""
    annotations, question = [], ""
    for sample in neighbours:
        target = sample.targets[task.target]
        annotations.append(", ".join(target.names) if isinstance(target, Labels) else target.first)  # type: ignore[union-attr]
        question = question or str(sample.slots.get("question", ""))
    # One pass: an annotation may hold braces of its own.
    said = {"{retrieved}": ", ".join(annotations), "{question}": question}
    return re.sub(r"\{(?:retrieved|question)\}", lambda slot: said[slot.group()], task.retrieval)


def support_of(task: Task, reader: Reader, seed: int) -> Support:
    """The task's support set with rendered requests. Raises :class:`ConfigError` where the task has none."""
    if task.support is None:
        raise ConfigError(
            f"task '{task.name}' has no support split, and this model learns from one",
            remedy="set 'support' in the task to a split, or to 'leave-one-cluster-out'",
        )
    leave_one_out = task.support == LEAVE_ONE_CLUSTER_OUT
    samples = tuple(reader.samples(task.split if leave_one_out else task.support))
    renderer = Renderer(task, seed, b"support")
    requests = tuple(renderer.render(s) for s in samples)
    if not samples:
        raise ConfigError(
            f"task '{task.name}': the support split '{task.support}' has no sample",
            remedy="set 'support' to a split the dataset has, or to 'leave-one-cluster-out'",
        )
    if not leave_one_out:
        pool = {s.id for s in samples}
        if shared := next((s.id for s in reader.samples(task.split) if s.id in pool), None):
            raise ConfigError(
                f"task '{task.name}': sample {shown(shared, task.access)} lies in the support split and in '{task.split}'",
                remedy="a model must not learn from what it is evaluated on",
            )
    digest = sha256()
    for request, sample in zip(requests, samples, strict=True):
        target = sample.targets[task.target]
        truth = target.image.key() if isinstance(target, Mask) and target.image else repr(target)
        digest.update(request.key + f"{sample.id}\0{sample.cluster}\0{truth}\n".encode("utf-8", "surrogatepass"))
    held_out = {s.id: s.cluster or s.id for s in samples} if leave_one_out else None
    return Support(samples, requests, digest.hexdigest()[:16], held_out)
