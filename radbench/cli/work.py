"""The commands that do work: run, resume, score, report, init."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from radbench import api
from radbench.answers import encode_answer
from radbench.care.inventory import strictest
from radbench.cli.base import prints_elsewhere, split_names
from radbench.errors import OPEN_ACCESS, ConfigError, DataError, ImageError, ResumeError, shown
from radbench.folder import RunFolder, Shard
from radbench.model_adapters.wrapping import Wrapper
from radbench.plan import Plan, RunConfig, make_plan
from radbench.progress import progress_for
from radbench.records import Answer, Image, Model, Request
from radbench.registry import find_model
from radbench.report import clean, table


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of ``radbench run`` as given, None where not."""

    config: str | None
    model: str | None
    tasks: list[str] | None
    data: list[str] | None
    out: str | None
    seed: int | None
    limit: int | None
    draws: int | None
    resamples: int | None
    like: str | None
    shots: int | None = None
    allow_restricted_endpoint: str | None = None

    def resolve(self) -> tuple[RunConfig, Path]:
        """The configuration and run folder: a run file or an earlier run first, options over it."""
        base = RunConfig(model="", tasks=())
        out = self.out
        if self.like is not None:
            out = out or f"{self.like.rstrip('/')}-again"
            base = RunConfig.from_dict(RunFolder(Path(self.like)).manifest["config"])
            base = replace(base, allow_restricted_endpoint=None)  # consent was given for that run
        if self.config is not None:
            from radbench.taskfile import load_run_file

            file = load_run_file(self.config)
            out = out or file.out
            base = RunConfig(
                file.model,
                tuple(file.tasks),
                tuple(file.data),
                file.seed,
                file.limit,
                file.draws,
                file.resamples,
                file.level,
            )
        given: dict[str, Any] = {
            name: value
            for name in ("model", "seed", "limit", "draws", "resamples", "allow_restricted_endpoint")
            if (value := getattr(self, name)) is not None
        }
        if self.tasks:
            given["tasks"] = tuple(split_names(self.tasks))
        if self.data:
            given["data"] = tuple(self.data)
        config = replace(base, **given)
        if self.shots is not None and config.model.startswith("shots("):
            raise ConfigError(
                f"model '{config.model}' is given shots already", remedy="leave out --shots, or give --model"
            )
        if self.shots is not None and config.model:
            config = replace(config, model=f"shots({config.model},k={self.shots},seed={config.seed})")
        if not config.model:
            raise ConfigError("no model given", remedy="radbench run --model NAME --tasks NAME; radbench list models")
        if not config.tasks:
            raise ConfigError("no task given", remedy="radbench run --model NAME --tasks NAME; radbench list tasks")
        return config, Path(out) if out else api.default_folder(config)


def _shard(text: str | None) -> Shard:
    return Shard.parse(text) if text else Shard()


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The options that say where a run computes; they change no result."""

    engine: str = "local"
    workers: int | None = None
    gpus: float | None = None
    address: str | None = None

    def engine_of(self, shard: str | None) -> api.Engine:
        """The engine asked for. Raises :class:`ConfigError`."""
        if self.engine == "local":
            if (self.workers, self.gpus, self.address) != (None, None, None):
                raise ConfigError("--workers, --gpus and --address go with --engine ray", remedy="--engine ray")
            return api.LOCAL
        if self.engine != "ray":
            raise ConfigError(f"engine is '{self.engine}', expected local or ray", remedy="--engine ray")
        if shard is not None:
            raise ConfigError("--shard goes with --engine local: Ray makes its own shards", remedy="leave one out")
        from radbench.ray_engine import ray_engine

        return ray_engine(self.workers, self.gpus, self.address)


def run(options: RunOptions, engine: EngineOptions, shard: str | None, allow_failures: float, as_json: bool) -> int:
    config, out = options.resolve()
    with prints_elsewhere(as_json):
        _warn_of_shards(config.model, _shard(shard))
        evaluation = api.run(config, out, _shard(shard), progress_for(quiet=as_json), engine=engine.engine_of(shard))
    return _finish(evaluation, allow_failures, as_json)


def _warn_of_shards(model: str, shard: Shard) -> None:
    """A cap on cost or tokens holds in one process."""
    if shard.count > 1 and getattr(find_model(model), "budgeted", False):
        print(
            f"radbench: each of the {shard.count} shards has the whole cap on cost or tokens to itself", file=sys.stderr
        )


def resume(path: str, engine: EngineOptions, shard: str | None, as_json: bool) -> int:
    config = RunConfig.from_dict(RunFolder(Path(path)).manifest["config"])
    if config.model.startswith("python:"):
        raise ResumeError(
            f"{path} was made with a Python object as its model ({config.model})",
            remedy="call radbench.evaluate with the same model and out again",
        )
    try:
        progress = progress_for(quiet=as_json)
        with prints_elsewhere(as_json):
            _warn_of_shards(config.model, _shard(shard))
            evaluation = api.run(config, Path(path), _shard(shard), progress, engine=engine.engine_of(shard))
    except DataError as error:
        raise _moved(error, path, config.data) from None
    return _finish(evaluation, 1.0, as_json)


def _moved(error: DataError, path: str, data: Sequence[str]) -> DataError:
    """A run's pictures are known by their paths: data that were moved must be found where they were."""
    places = ", ".join(data) or "the packages installed"
    return DataError(
        error.message, remedy=f"{path} was made with {places}: put the data back there, or link them there"
    )


def _finish(evaluation: api.Evaluation, allow_failures: float, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"run": str(evaluation.path), "waiting": evaluation.waiting, "results": evaluation.results}))
    else:
        print(evaluation.table())
        asked, had = evaluation.outcome.asked, evaluation.outcome.reused
        print(f"run: {evaluation.path} ({asked} asked now, {had} answered before)")
        _print_reasons(evaluation)
    return int(evaluation.exit_code(allow_failures))


def _print_reasons(evaluation: api.Evaluation) -> None:
    """The first message of each kind of failure of this session; of restricted data only its length."""
    access = evaluation.outcome.access
    for (task, kind), message in evaluation.outcome.reasons.items():
        text = shown(message, access.get(task, "private"), 300)
        if access.get(task) in OPEN_ACCESS:
            text = clean(message.replace("\n", " "))[:300]
        print(f"radbench: {task}: first '{kind}' failure: {text}", file=sys.stderr)


def score(
    path: str | None,
    predictions: str | None,
    tasks: list[str] | None,
    data: list[str] | None,
    out: str | None,
    as_json: bool,
) -> int:
    if (path is None) == (predictions is None):
        raise ConfigError("give either a run folder or --predictions FILE", remedy="radbench score --help")
    if path is not None:
        if tasks or data or out:
            raise ConfigError("--tasks, --data and --out go with --predictions", remedy=f"radbench score {path}")
        return _score_again(RunFolder(Path(path)), as_json)
    if not tasks:
        raise ConfigError("--predictions needs --tasks", remedy="name the tasks the predictions are for")
    from radbench.model_adapters.replay import Replay

    replay = Replay(str(predictions))
    config = RunConfig(f"replay:{predictions}", tuple(split_names(tasks)), tuple(data or ()))
    target = Path(out) if out else Path("runs") / f"scored-{Path(str(predictions)).stem}"
    with prints_elsewhere(as_json):
        evaluation = api.run(config, target, Shard(), progress_for(quiet=as_json), replay)
    if evaluation.outcome.asked and not replay.used:
        raise ConfigError(
            f"no prediction of {predictions} matches a sample of {', '.join(config.tasks)}",
            remedy="'task' and 'sample' must be those of: radbench run --dry-run",
        )
    if evaluation.outcome.asked and (unused := replay.unused):
        print(f"radbench: {len(unused)} predictions match no sample of these tasks", file=sys.stderr)
    return _finish(evaluation, 1.0, as_json)


def _score_again(folder: RunFolder, as_json: bool) -> int:
    from radbench.plan import scoring_plan
    from radbench.scoring import score as score_run

    try:
        plan = scoring_plan(folder.manifest)
    except DataError as error:
        raise _moved(error, str(folder.path), folder.manifest["config"]["data"]) from None
    folder.check(plan.identity())
    with prints_elsewhere(as_json):
        results = score_run(plan, folder)
    print(json.dumps(results) if as_json else table(results))
    return 0 if results["complete"] else 5


def init(name: str) -> int:
    from radbench.taskfile import TEMPLATE

    path = Path(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    if not Path(name).name:
        raise ConfigError(f"'{name}' is no file name", remedy="radbench init my_task")
    if path.exists():
        raise ConfigError(f"{path} exists already", remedy="radbench init OTHER_NAME")
    path.write_text(TEMPLATE.format(name=path.stem), encoding="utf-8")
    print(f"wrote {path}; edit it, then: radbench run --model constant:yes --tasks {path} --dry-run")
    return 0


# --- dry run ---


def dry_run(options: RunOptions, as_json: bool) -> int:
    """Counts, three rendered requests, size and time; nothing is asked and no folder made."""
    config, out = options.resolve()
    with prints_elsewhere(as_json):
        plan = make_plan(config)
        tasks = [_dry_task(plan, position) for position in range(len(plan.tasks))]
    if as_json:
        print(json.dumps({"out": str(out), "model": dict(plan.model_fingerprint), "tasks": tasks}))
        return 0
    for task in tasks:
        print(
            f"{task['task']}: {task['samples']} samples, {task['requests']} distinct requests, {task['images']} pictures"
        )
        print(
            f"  answers: about {task['bytes'] / 1e6:.1f} MB; harness: about {task['harness_seconds']:.0f} s without the model;"
        )
        print(
            f"  with the model at 1 s an answer: about {task['requests'] / 3600 + task['harness_seconds'] / 3600:.2f} h"
        )
        if task["broken"]:
            print(f"  {task['broken']} pictures of the first requests cannot be read; they would count as failures")
        for example in task["examples"]:
            print(f"  --- {clean(example['sample'])}")
            print("\n".join(f"  {clean(line)}" for line in example["content"]))
    print(f"nothing was asked; the run would go to {out}")
    return 0


def _dry_task(plan: Plan, position: int) -> dict[str, Any]:
    task_plan = plan.tasks[position]
    task = task_plan.task
    keys: set[bytes] = set()
    images, count, examples = 0, 0, list[tuple[Request, Request, str]]()
    started = time.perf_counter()
    for sample in task_plan.samples():
        for draw in range(task_plan.renderer.draws):
            request = task_plan.renderer.render(sample, draw)
            if request.key not in keys and len(examples) < 3:
                asked = _as_asked(plan.model, request)
                access = sample.access or task.access
                if asked is not request and access in OPEN_ACCESS:  # it may hold samples of the support split
                    access = strictest(task.dataset)
                examples.append((request, asked, access))
            keys.add(request.key)
        count += 1
        images += len(sample.images)
    listing = time.perf_counter() - started
    # A wrapper adds pictures or takes some away: as many to each request as to these, about.
    pictures = sum(len(asked.images) for _, asked, _ in examples)
    more = pictures - sum(len(request.images) for request, _, _ in examples)
    images += round(count * more / max(len(examples), 1))
    started = time.perf_counter()
    broken = 0
    for _, asked, _ in examples:
        for image in asked.images:
            try:
                image.load()
            except ImageError:
                broken += 1
    decoding = (time.perf_counter() - started) / max(pictures, 1)
    line = max((len(encode_answer(e, Answer(text="x" * 100))) for e, _, _ in examples), default=0)
    return {
        "task": task.name,
        "samples": count,
        "requests": len(keys),
        "images": images,
        "broken": broken,
        "bytes": line * len(keys),
        "harness_seconds": 2 * listing + decoding * images,
        "examples": [_shown_request(asked, access) for _, asked, access in examples],
    }


def _as_asked(model: Model | None, request: Request) -> Request:
    """The request as the innermost model gets it; itself where a picture that decides on that cannot be read."""
    try:
        changed = request
        while isinstance(model, Wrapper):
            changed, model = model.change(changed), model.inner
    except ImageError:
        return request
    return changed


def _shown_request(request: Request, access: str) -> dict[str, Any]:
    """A request for people's eyes; of restricted data only types and lengths."""
    is_open = access in OPEN_ACCESS

    def part(content: str | Image) -> str:
        if isinstance(content, Image):
            return f"<image {Path(content.path).name if is_open else ''} {content.kind}>"
        return content if is_open else f"<text of {len(content)} characters, not shown: {access} data>"

    return {
        "sample": request.sample if is_open else "<id not shown>",
        "form": request.form,
        "content": [f"{m.role}: {part(c)}" for m in request.messages for c in m.content],
    }
