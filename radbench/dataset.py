"""Datasets: where they come from, where they lie, and the reader of each, named and imported when it is opened."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from radbench.errors import OPEN_ACCESS, ConfigError, DataError
from radbench.records import (
    Access,
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
