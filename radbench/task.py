"""Tasks and groups: what is asked, how the answer is read, what it is scored with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from radbench.dataset import Dataset, Lazy
from radbench.errors import ConfigError, nearest
from radbench.records import (
    Access,
    AnswerForm,
    Generation,
    Prediction,
    Request,
    Sample,
)


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
