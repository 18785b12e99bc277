"""A task of one's own: YAML over a CSV or JSON-lines table and a folder of pictures, no code.

``radbench init`` writes a commented example. Everything is checked here, at the edge, and reported with the file and
the field.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from radbench.errors import ConfigError, nearest
from radbench.records import Access, Generation
from radbench.task import Dataset, Lazy, Task, lazy

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
        "prompt": "Which of these does the image show: {choices}? Answer with all that apply, separated by commas.",
    },
    "detection": {
        "parser": "boxes",
        "metrics": ("box-iou",),
        "form": "boxes",
        "prompt": 'Locate {choices}. Answer with a JSON list of {{"label": name, "box": [x0, y0, x1, y1]}} in pixels.',
    },
    "segmentation": {"parser": "mask", "metrics": ("dice",), "form": "mask", "prompt": "Segment the target."},
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSection(_Strict):
    """``data:`` where the table and the pictures lie, and which column means what."""

    table: str
    images: str = "."
    columns: dict[str, str] = Field(default_factory=dict)
    access: Access = "private"
    licence: str = "not stated"
    source: str = "your own"


class TaskFile(_Strict):
    """The fields of a task file."""

    name: Annotated[str, Field(pattern=r"^[\w.+-]+(/[\w.+-]+)*$")]
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
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None


Parsed = TypeVar("Parsed", bound=BaseModel)


def validated(model: type[Parsed], content: Any, path: str | Path) -> Parsed:
    """``content`` as a checked record. Raises :class:`ConfigError` naming each wrong field."""
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected fields with values, found {type(content).__name__}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = []
        for fault in error.errors():
            field = ".".join(str(part) for part in fault["loc"])
            hint = ""
            if fault["type"] == "extra_forbidden":
                hint = f" ({nearest(str(fault['loc'][-1]), model.model_fields)})"
            faults.append(f"{field}: {fault['msg']}{hint}")
        raise ConfigError(f"{path}:\n    " + "\n    ".join(faults), remedy="radbench init shows every field") from None


def load_task_file(path: str | Path) -> Task:
    """The task of a YAML file. Raises :class:`ConfigError`; the data are opened when the task runs."""
    file = validated(TaskFile, read_yaml(path), path)
    defaults = _DEFAULTS[file.kind]
    if file.kind in ("classification", "multilabel") and not file.choices:
        raise ConfigError(f"{path}: choices: a {file.kind} task needs its labels")
    prompts = [file.prompt] if isinstance(file.prompt, str) else file.prompt or [defaults["prompt"]]
    root = Path(path).resolve().parent
    reader = lazy(
        "radbench.tasks.readers.table:Table",
        table=str(root / file.data.table),
        images=str(root / file.data.images),
        columns=dict(file.data.columns),
        kind=file.kind,
        choices=tuple(file.choices),
        strata=tuple(file.strata),
        access=file.data.access,
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


class RunFile(_Strict):
    """The fields of ``radbench run config.yaml``."""

    model: str
    tasks: list[str]
    data: list[str] = Field(default_factory=list)
    out: str | None = None
    seed: int = 0
    limit: Annotated[int, Field(ge=1)] | None = None
    draws: Annotated[int, Field(ge=1)] = 1
    resamples: Annotated[int, Field(ge=1)] = 1000
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95


def load_run_file(path: str | Path) -> RunFile:
    """A run configuration. Paths of task files in it are relative to the file. Raises :class:`ConfigError`."""
    file = validated(RunFile, read_yaml(path), path)
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
  access: private       # open, open-noncommercial, registered, credentialed, on-request, private
  licence: not stated
  columns:              # our field: your column. Only what differs or is wanted:
    id: id              # unique per row; without it the line number is used
    image: image        # path; several in one cell joined by ; or as a JSON list
    question: question
    answer: answer      # report: the text; classification: the label; multilabel: labels joined by ; or a list
    # cluster: patient  # unit of resampling; without it intervals are marked unclustered
    # split: split      # rows of other splits are left out
    # mask: mask        # segmentation: path of a PNG, NIfTI or npz mask
    # boxes: boxes      # detection: JSON list of {{"label": ..., "box": [x0, y0, x1, y1]}}, in pixels
split: test
# support: train        # split that knn and majority learn from, or: leave-one-cluster-out
prompt: "{{question}}"    # slots are columns; several prompts may be listed, one is drawn per sample
# choices: [normal, abnormal]
# metrics: [vqa-f1, "bleu:n=1,tok=split,avg=sample"]
# strata: [sex, scanner]   # columns to report subgroups by
"""
