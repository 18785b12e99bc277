"""A task of one's own: YAML over a CSV or JSON-lines table and a folder of pictures, no code.

``radbench init`` writes a commented example. Everything is checked here, at the edge, and reported with the file and
the field.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from radbench.dataset import Dataset, Lazy, lazy
from radbench.errors import ConfigError, nearest
from radbench.images.windows import preset
from radbench.records import Access, Generation
from radbench.task import LEAVE_ONE_CLUSTER_OUT, Task

Kind = Literal["vqa", "report", "classification", "multilabel", "detection", "segmentation"]

_DEFAULTS: dict[Kind, dict[str, Any]] = {
    "vqa": {
        "parser": "free_text",
        "metrics": ("vqa-closed-accuracy", "vqa-open-recall", "vqa-f1"),
        "prompt": "{question}",
    },
    "report": {"parser": "free_text", "metrics": ("bleu-4", "rouge-1"), "prompt": "Write the report of this study."},
    "classification": {
        "parser": "closed_choice",
        "metrics": ("accuracy", "f1-macro"),
        "prompt": "Which of these does the image show: {choices}?",
    },
    "multilabel": {
        "parser": "labels",
        "metrics": ("accuracy", "f1:over=fixed", "f1-micro"),
        "prompt": "Which of these does the image show: {choices}? Answer with all that apply, separated by commas, or none.",
    },
    "detection": {
        "parser": "boxes",
        "metrics": ("box-iou",),
        "form": "boxes",
        "prompt": 'Locate {choices}. Answer with a JSON list of {{"label": name, "box": [x0, y0, x1, y1]}} in pixels.',
    },
    "segmentation": {"parser": "mask", "metrics": ("dice",), "form": "mask", "prompt": "Segment the target."},
}


Column = Literal[
    "id", "image", "images", "question", "prompt", "answer", "options", "mask", "boxes", "cluster", "split"
]  # fmt: skip


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSection(_Strict):
    """``data:`` where the table and the pictures lie, and which column means what."""

    table: str
    images: str = "."
    columns: dict[Column, str] = Field(default_factory=dict)
    window: str | None = None
    access: Access = "private"
    licence: str = "not stated"
    source: str = "your own"


class TaskFile(_Strict):
    """The fields of a task file."""

    name: Annotated[str, Field(pattern=r"^[\w+-][\w.+-]*(/[\w+-][\w.+-]*)*$", max_length=120)]
    kind: Kind
    data: DataSection
    version: Annotated[int, Field(ge=1)] = 1
    title: str = ""
    split: str = "test"
    support: str | None = None
    prompt: str | list[str] | None = None
    system: str = ""
    choices: list[str] = Field(default_factory=list)
    metrics: list[str] = Field(default_factory=list)
    strata: list[str] = Field(default_factory=list)
    max_new_tokens: Annotated[int, Field(ge=1)] = 512
    note: str = ""


def read_yaml(path: str | Path) -> Any:
    """The content of a YAML file. Raises :class:`ConfigError` naming file and line."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder, expected a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None


Parsed = TypeVar("Parsed", bound=BaseModel)


def validated(model: type[Parsed], content: Any, path: str | Path) -> Parsed:
    """``content`` as a checked record. Raises :class:`ConfigError` naming each wrong field."""
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise ConfigError(
            f"{path}: expected fields with values, found {found}", remedy="radbench init shows every field"
        )
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            field = ".".join(str(part) for part in fault["loc"])
            hint = ""
            if fault["type"] == "string_type" and isinstance(fault["input"], bool):
                hint = ' (YAML reads yes, no, on and off as true or false: write them in quotes, "yes")'
            if fault["type"] == "extra_forbidden":
                hint = f" ({nearest(str(fault['loc'][-1]), model.model_fields)})"
            faults.append(f"{field}: {fault['msg']}{hint}")
        fields = ", ".join(model.model_fields)
        raise ConfigError(f"{path}:\n    " + "\n    ".join(faults), remedy=f"its fields are: {fields}") from None


def load_task_file(path: str | Path) -> Task:
    """The task of a YAML file. Raises :class:`ConfigError`; the data are opened when the task runs."""
    file = validated(TaskFile, read_yaml(path), path)
    defaults = _DEFAULTS[file.kind]
    if file.kind in ("classification", "multilabel") and not file.choices:
        raise ConfigError(f"{path}: choices: a {file.kind} task needs its labels")
    prompts = [file.prompt] if isinstance(file.prompt, str) else file.prompt or [defaults["prompt"]]
    if not all(p.strip() for p in prompts):
        raise ConfigError(f"{path}: prompt: a prompt is empty")
    if len(set(file.choices)) != len(file.choices):
        raise ConfigError(f"{path}: choices: one stands twice")
    if file.data.window is not None:
        preset(file.data.window)
    named_support = file.support not in (None, LEAVE_ONE_CLUSTER_OUT)
    root = Path(path).resolve().parent
    reader = lazy(
        "radbench.tasks.readers.table:Table",
        table=str(root / file.data.table),
        images=os.path.normpath(root / file.data.images),
        columns=dict(file.data.columns),
        kind=file.kind,
        choices=tuple(file.choices),
        strata=tuple(file.strata),
        access=file.data.access,
        window=file.data.window,
        needs_split=named_support or "split" in file.model_fields_set,
    )
    return Task(
        name=file.name,
        version=file.version,
        title=file.title or file.name,
        dataset=Dataset(file.name, reader, file.data.access, file.data.licence, file.data.source),
        split=file.split,
        support=file.support,
        prompts=tuple(prompts),
        system=file.system,
        choices=tuple(file.choices),
        form=defaults.get("form", "text"),
        parser=Lazy(f"radbench.tasks.parsers:{defaults['parser']}"),
        metrics=tuple(file.metrics) or defaults["metrics"],
        generation=Generation(max_new_tokens=file.max_new_tokens),
        clustered="cluster" in file.data.columns,
        note=file.note,
    )


def _listed(value: Any) -> Any:
    """One name where a list is expected."""
    return [value] if isinstance(value, str) else value


class RunFile(_Strict):
    """The fields of ``radbench run config.yaml``."""

    model: str
    tasks: Annotated[list[str], BeforeValidator(_listed)]
    data: Annotated[list[str], BeforeValidator(_listed)] = Field(default_factory=list)
    out: str | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1)] | None = None
    draws: Annotated[int, Field(ge=1)] = 1
    resamples: Annotated[int, Field(ge=1)] = 1000
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95


def load_run_file(path: str | Path) -> RunFile:
    """A run configuration. Paths of task files in it are relative to the file. Raises :class:`ConfigError`."""
    content = read_yaml(path)
    if isinstance(content, dict) and "kind" in content:
        raise ConfigError(f"{path} is a task file, not a run file", remedy=f"radbench run --model NAME --tasks {path}")
    file = validated(RunFile, content, path)
    base = Path(path).parent
    tasks = [str(base / t) if t.endswith((".yaml", ".yml")) and not Path(t).is_absolute() else t for t in file.tasks]
    return file.model_copy(update={"tasks": tasks})


TEMPLATE = """\
# A radbench task over your own data. Run it:  radbench run --model knn --tasks {name}.yaml
name: my/{name}
version: 1              # raise it whenever prompt, choices or data rule change
kind: vqa               # vqa, report, classification, multilabel, detection, segmentation
title: Questions on our own images
data:
  table: samples.jsonl  # .jsonl or .csv, beside this file
  images: images        # folder the image column is relative to
  # window: lung        # CT window of the pictures: a preset, or CENTRE/WIDTH
  access: private       # open, open-noncommercial, registered, credentialed, on-request, private
  licence: not stated
  columns:              # our field: your column. Only what differs or is wanted:
    id: id              # unique per row; without it the line number is used
    image: image        # path; several joined by ; or as a JSON list; arrays as file.npz#array#index
    question: question
    answer: answer      # report: the text; classification: the label; multilabel: labels joined by ; or a list
    # cluster: patient  # unit of resampling; without it intervals are marked unclustered
    # split: split      # rows of other splits are left out
    # mask: mask        # segmentation: path of a PNG, NIfTI or npz mask
    # boxes: boxes      # detection: JSON list of {{"label": ..., "box": [x0, y0, x1, y1]}}, in pixels
# split: test           # with a split column: the rows to evaluate
# support: train        # split that knn and majority learn from, or: leave-one-cluster-out
prompt: "{{question}}"    # slots are columns; several prompts may be listed, one is drawn per sample
# choices: [normal, abnormal]
# metrics: [vqa-f1, "bleu:n=1,tok=split,avg=sample"]
# strata: [sex, scanner]   # columns to report subgroups by
"""
