"""The command line's application, the guard around every command, and the options that several commands share.

Only typer and the standard library are imported here; every command imports its work when it is called.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from typing import Annotated, ParamSpec

import typer

from radbench.errors import RadbenchError

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
Engine = Annotated[str, typer.Option(help="local, or ray: workers on the GPUs and machines of a Ray cluster")]
Workers = Annotated[int | None, typer.Option(min=1, help="ray: model replicas; default one a GPU, or two without")]
Gpus = Annotated[float | None, typer.Option(min=0, help="ray: GPUs of each worker; default 1 where there are any")]
Address = Annotated[str | None, typer.Option(help="ray: a running cluster's address, or auto; default this machine")]


def guarded(function: Callable[P, int | None]) -> Callable[P, None]:
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


def prints_elsewhere(as_json: bool) -> AbstractContextManager[object]:
    """With ``--json`` what models, metrics and libraries print goes to standard error."""
    return redirect_stdout(sys.stderr) if as_json else nullcontext()


def split_names(values: Iterable[str]) -> list[str]:
    """``["bleu:n=1,tok=split,rouge-l"]`` to two names: a comma followed by ``key=`` belongs to the name before it."""
    names: list[str] = []
    for text in values:
        for position, part in enumerate(filter(None, (p.strip() for p in text.split(",")))):
            if position and "=" in part and ":" not in part.partition("=")[0]:
                names[-1] += f",{part}"
            else:
                names.append(part)
    return list(dict.fromkeys(names))
