"""``radbench run``, ``resume``, ``score``, ``list``, ``describe``, ``doctor``, ``fetch``, ``init``."""

from __future__ import annotations

from typing import Annotated

import typer

from radbench.cli.base import Address, Data, Engine, Gpus, Json, Model, RunPath, Shard, Tasks, Workers, app, guarded
from radbench.errors import ConfigError


@app.command("run")
@guarded
def run_command(
    config: Annotated[
        str | None, typer.Argument(help="a run file (YAML); options override it", metavar="[CONFIG.yaml]")
    ] = None,
    model: Model = None,
    tasks: Tasks = None,
    data: Data = None,
    out: Annotated[str | None, typer.Option("--out", "-o", help="run folder; default runs/<model>-<tasks>")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="seed of prompts and resamples")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="first N samples of each task; marks the run partial")
    ] = None,
    draws: Annotated[int | None, typer.Option(min=1, help="answers asked for each sample")] = None,
    resamples: Annotated[int | None, typer.Option(min=1, help="bootstrap resamples")] = None,
    shard: Shard = None,
    like: Annotated[str | None, typer.Option(help="repeat the configuration of an earlier run", metavar="RUN")] = None,
    shots: Annotated[
        int | None, typer.Option(min=0, help="examples from the support split before each request")
    ] = None,
    engine: Engine = "local",
    workers: Workers = None,
    gpus: Gpus = None,
    address: Address = None,
    allow_restricted_endpoint: Annotated[
        str | None, typer.Option(help="the one server elsewhere that may get restricted data; recorded", metavar="URL")
    ] = None,
    allow_failures: Annotated[
        float, typer.Option(min=0, max=1, help="share of failed answers above which to exit 5")
    ] = 1.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="count, show three requests, estimate; ask nothing")
    ] = False,
    as_json: Json = False,
) -> int:
    """Evaluate a model on tasks. Run again with the same arguments to go on with an interrupted run."""
    from radbench.cli import work

    options = work.RunOptions(
        config, model, tasks, data, out, seed, limit, draws, resamples, like, shots, allow_restricted_endpoint
    )
    if dry_run:
        return work.dry_run(options, as_json)
    where = work.EngineOptions(engine, workers, gpus, address)
    return work.run(options, where, shard, allow_failures, as_json)


@app.command("resume")
@guarded
def resume_command(
    path: RunPath,
    shard: Shard = None,
    engine: Engine = "local",
    workers: Workers = None,
    gpus: Gpus = None,
    address: Address = None,
    as_json: Json = False,
) -> int:
    """Go on with an interrupted run, from its manifest."""
    from radbench.cli import work

    return work.resume(path, work.EngineOptions(engine, workers, gpus, address), shard, as_json)


@app.command("score")
@guarded
def score_command(
    path: Annotated[str | None, typer.Argument(help="a run folder to score again", metavar="[RUN]")] = None,
    predictions: Annotated[
        str | None,
        typer.Option(help="JSON lines of {task, sample, text|scores|boxes|mask}; with --references a file of texts"),
    ] = None,
    references: Annotated[
        str | None, typer.Option(help="score without a task: a .txt, .jsonl, .json, .csv or .tsv file of references")
    ] = None,
    metrics: Annotated[
        list[str] | None, typer.Option("--metrics", help="with --references: metric specs; repeat or join by commas")
    ] = None,
    choices: Annotated[str | None, typer.Option(help="with --references: the closed set, joined by commas")] = None,
    tasks: Tasks = None,
    data: Data = None,
    out: Annotated[str | None, typer.Option("--out", "-o", help="run folder for scored predictions")] = None,
    seed: Annotated[int, typer.Option(min=0, help="with --references: seed of the resamples")] = 0,
    resamples: Annotated[int, typer.Option(min=1, help="with --references: bootstrap resamples")] = 1000,
    as_json: Json = False,
) -> int:
    """Score a run again, predictions made with anything, or two files of texts."""
    if references is not None:
        from radbench.cli import pairs

        if path is not None or tasks or data or out or predictions is None:
            raise ConfigError(
                "--references goes with --predictions and --metrics alone", remedy="radbench score --help"
            )
        options = [c.strip() for c in (choices or "").split(",") if c.strip()]
        return pairs.run(predictions, references, metrics or [], options, seed, resamples, as_json)
    if metrics or choices:
        raise ConfigError(
            "--metrics and --choices go with --references: a task names its own", remedy="radbench score --help"
        )
    from radbench.cli import work

    return work.score(path, predictions, tasks, data, out, as_json)


@app.command("list")
@guarded
def list_command(
    what: Annotated[str, typer.Argument(help="tasks, metrics, models or suites")] = "tasks", as_json: Json = False
) -> int:
    """List what is installed."""
    from radbench.cli import catalogue

    return catalogue.list_things(what, as_json)


@app.command("describe")
@guarded
def describe_command(
    name: Annotated[list[str], typer.Argument(help="a task, metric or model", metavar="[task|metric|model] NAME")],
    data: Data = None,
    as_json: Json = False,
) -> int:
    """Explain a task (prompts, metrics, access, published numbers), a metric or a model."""
    from radbench.cli import catalogue

    return catalogue.describe(name, data, as_json)


@app.command("doctor")
@guarded
def doctor_command(data: Data = None, as_json: Json = False) -> int:
    """Show what is installed, which datasets are ready, and the command that makes the rest ready."""
    from radbench.cli import catalogue

    return catalogue.doctor(data, as_json)


@app.command("fetch")
@guarded
def fetch_command(
    what: Annotated[str, typer.Argument(help="weights, umls, nltk or model")],
    names: Annotated[
        list[str] | None, typer.Argument(help="weights: which, without they are listed; model: its id on the hub")
    ] = None,
    out: Annotated[
        str, typer.Option("--out", "-o", help="folder; default below ~/.cache/radbench, ~/nltk_data for nltk")
    ] = "",
    mrconso: Annotated[str | None, typer.Option(help="umls: MRCONSO.RRF of your licensed release")] = None,
    mrsty: Annotated[str | None, typer.Option(help="umls: MRSTY.RRF of the same release")] = None,
    revision: Annotated[str | None, typer.Option(help="model: branch, tag or commit")] = None,
    code: Annotated[
        bool, typer.Option("--code", help="model: its Python files too, for trust_remote_code=True")
    ] = False,
    include: Annotated[
        list[str] | None,
        typer.Option(help="model: a pickled checkpoint by name, e.g. checkpoint.pt; repeat", metavar="FILE"),
    ] = None,
) -> int:
    """Bring a model of the hub, metrics' checkpoints, NLTK's data, or a dictionary from your UMLS release.

    radbench fetch model OWNER/NAME brings safetensors, configuration and tokenizer into the hub's cache, where
    hf:OWNER/NAME looks.
    """
    from radbench.cli import fetch

    return fetch.run(what, names or [], out, mrconso, mrsty, revision, code, include or [])


@app.command("init")
@guarded
def init_command(name: Annotated[str, typer.Argument(help="file name without .yaml")] = "my_task") -> int:
    """Write a commented task file for your own dataset."""
    from radbench.cli import work

    return work.init(name)
