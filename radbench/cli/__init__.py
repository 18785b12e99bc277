"""The command line: ``radbench run``, ``resume``, ``score``, ``report``, ``list``, ``describe``, ``doctor``, ``fetch``, ``init``.

Only typer and the standard library are imported here; every command imports its work when it is called.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Annotated, ParamSpec

import typer

from radbench.errors import ConfigError, RadbenchError

P = ParamSpec("P")

app = typer.Typer(
    name="radbench",
    help="Evaluate radiology vision-language models on RadBench, RadVLBench, MedInterp and MedDr's evaluation.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Model = Annotated[str | None, typer.Option("--model", "-m", help="model spec, e.g. knn:k=5, or module:function")]
Tasks = Annotated[
    list[str] | None, typer.Option("--tasks", "-t", help="task name, suite/* or task.yaml; repeat or join by commas")
]
Data = Annotated[
    list[str] | None, typer.Option("--data", "-d", help="folder that holds your datasets, or NAME=FOLDER; repeat")
]
Json = Annotated[bool, typer.Option("--json", help="print JSON on standard output, nothing else")]
RunPath = Annotated[str, typer.Argument(help="a run folder", metavar="RUN")]
Shard = Annotated[str | None, typer.Option(help="this worker's part, such as 2/8")]


def _guarded(function: Callable[P, int | None]) -> Callable[P, None]:
    """Errors people can act on go to standard error with their exit code, without a traceback."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = function(*args, **kwargs)
        except RadbenchError as error:
            print(f"radbench: {error}", file=sys.stderr)
            raise typer.Exit(int(error.exit_code)) from None
        except OSError as error:  # a path of the user's that is no file, no folder, not allowed, full
            if isinstance(error, BrokenPipeError):  # the reader of our output has gone, as `| head` does
                sys.stderr.close()
                raise typer.Exit(0) from None
            print(f"radbench: {error.filename or 'input/output'}: {error.strerror or error}", file=sys.stderr)
            raise typer.Exit(1) from None
        raise typer.Exit(int(code or 0))

    return wrapper


@app.command("run")
@_guarded
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

    options = work.RunOptions(config, model, tasks, data, out, seed, limit, draws, resamples, like)
    if dry_run:
        return work.dry_run(options, as_json)
    return work.run(options, shard, allow_failures, as_json)


@app.command("resume")
@_guarded
def resume_command(path: RunPath, shard: Shard = None, as_json: Json = False) -> int:
    """Go on with an interrupted run, from its manifest."""
    from radbench.cli import work

    return work.resume(path, shard, as_json)


@app.command("score")
@_guarded
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


@app.command("report")
@_guarded
def report_command(
    path: RunPath,
    subgroups: Annotated[bool, typer.Option("--subgroups", help="values by stratum")] = False,
    as_json: Json = False,
) -> int:
    """Print a run's table or its subgroups."""
    from radbench.cli import work

    return work.report(path, subgroups, as_json)


@app.command("list")
@_guarded
def list_command(
    what: Annotated[str, typer.Argument(help="tasks, metrics, models or suites")] = "tasks", as_json: Json = False
) -> int:
    """List what is installed."""
    from radbench.cli import catalogue

    return catalogue.list_things(what, as_json)


@app.command("describe")
@_guarded
def describe_command(
    name: Annotated[list[str], typer.Argument(help="a task, metric or model", metavar="[task|metric|model] NAME")],
    data: Data = None,
    as_json: Json = False,
) -> int:
    """Explain a task (prompts, metrics, access, published numbers), a metric or a model."""
    from radbench.cli import catalogue

    return catalogue.describe(name, data, as_json)


@app.command("doctor")
@_guarded
def doctor_command(data: Data = None, as_json: Json = False) -> int:
    """Show what is installed, which datasets are ready, and the command that makes the rest ready."""
    from radbench.cli import catalogue

    return catalogue.doctor(data, as_json)


@app.command("fetch")
@_guarded
def fetch_command(
    what: Annotated[str, typer.Argument(help="weights, umls or nltk")],
    names: Annotated[list[str] | None, typer.Argument(help="of weights: which; without, they are listed")] = None,
    out: Annotated[
        str, typer.Option("--out", "-o", help="folder; default below ~/.cache/radbench, ~/nltk_data for nltk")
    ] = "",
    mrconso: Annotated[str | None, typer.Option(help="umls: MRCONSO.RRF of your licensed release")] = None,
    mrsty: Annotated[str | None, typer.Option(help="umls: MRSTY.RRF of the same release")] = None,
) -> int:
    """Bring what a metric needs: checkpoints, a dictionary from your UMLS release, NLTK's data."""
    from radbench.cli import fetch

    return fetch.run(what, names or [], out, mrconso, mrsty)


data_app = typer.Typer(
    name="data",
    help="Where datasets come from, what is found of them, and fetching the open ones.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app)


@data_app.command("list")
@_guarded
def data_list_command(as_json: Json = False) -> int:
    """Every dataset a task reads: access, licence, where to get it."""
    from radbench.cli import data

    return data.list_datasets(as_json)


@data_app.command("check")
@_guarded
def data_check_command(
    names: Annotated[list[str] | None, typer.Argument(help="datasets; without, which are there")] = None,
    tasks: Tasks = None,
    data: Data = None,
    pictures: Annotated[int, typer.Option(min=0, help="pictures looked at for headers and text in the pixels")] = 200,
    leak_pictures: Annotated[int, typer.Option(min=0, help="pictures compared a split; 0: all")] = 5000,
    seed: Annotated[int, typer.Option(min=0, help="seed of both choices")] = 0,
    manifest: Annotated[
        str | None, typer.Option(help="the manifest's file; default below ~/.cache/radbench", metavar="FILE")
    ] = None,
    write_manifest: Annotated[bool, typer.Option("--write-manifest", help="hash every file and write it")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="hash every file and compare with the manifest")] = False,
    as_json: Json = False,
) -> int:
    """Splits against the papers, missing pictures, leakage, changed files, what should not leave the machine."""
    from pathlib import Path

    from radbench.care.checkup import CheckOptions
    from radbench.cli import data as command

    if write_manifest and verify:
        raise ConfigError("--write-manifest and --verify do not go together", remedy="verify first, then write")
    file = Path(manifest).expanduser() if manifest else None
    options = CheckOptions(pictures, leak_pictures, seed, file, write_manifest, verify)
    return command.check(names or [], tasks or [], data or [], options, as_json)


@data_app.command("fetch")
@_guarded
def data_fetch_command(
    names: Annotated[list[str], typer.Argument(help="open datasets with a hub copy: radbench data list")],
    out: Annotated[str, typer.Option("--out", "-o", help="data root; each dataset gets its folder there")] = "data",
    hub: Annotated[str | None, typer.Option(help="another hub copy", metavar="OWNER/NAME")] = None,
) -> int:
    """Bring open datasets from the Hugging Face hub. Restricted ones are never fetched."""
    from radbench.cli import data

    return data.fetch(names, out, hub)


@app.command("init")
@_guarded
def init_command(name: Annotated[str, typer.Argument(help="file name without .yaml")] = "my_task") -> int:
    """Write a commented task file for your own dataset."""
    from radbench.cli import work

    return work.init(name)


def _version(value: bool) -> None:
    if value:
        from radbench import __version__

        print(f"radbench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="show the version and exit", is_eager=True, callback=_version)
    ] = False,
) -> None:
    pass


def run_cli() -> None:
    """Run the command line and exit; SIGTERM (a scheduler's preemption) ends a run as Ctrl-C does."""
    import signal

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(prog_name="radbench")
