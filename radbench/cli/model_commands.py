"""``radbench models check`` and ``radbench worker``."""

from __future__ import annotations

from typing import Annotated

import typer

from radbench.cli.base import Json, app, guarded

models_app = typer.Typer(
    name="models",
    help="What a model does before a long evaluation.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(models_app)


@models_app.command("check")
@guarded
def models_check_command(
    spec: Annotated[str, typer.Argument(help="model spec, e.g. hf:FOLDER,dtype=bfloat16, or module:function")],
    keep: Annotated[
        str | None, typer.Option(help="keep the made-up cases' files in this new folder", metavar="FOLDER")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="longest answer to a case")] = 128,
    as_json: Json = False,
) -> int:
    """Load a model and ask it a picture, two pictures and a volume: prompt as sent, answer, tokens, speed, memory.

    Exit 1 where it does not load, a case fails, or a run would count every answer as a failure, as where all are cut off.
    """
    from radbench.cli import models

    return models.check(spec, keep, max_new_tokens, as_json)


@app.command("worker")
@guarded
def worker_command(
    target: Annotated[str, typer.Argument(help="FILE.py:Class, or the name of a hosted model such as radfm")],
    options: Annotated[
        list[str] | None, typer.Argument(help="options of the class", metavar="[OPTION=VALUE]...")
    ] = None,
    checkout: Annotated[str | None, typer.Option(help="folder of code for the import path", metavar="FOLDER")] = None,
) -> int:
    """Serve a hosted model of this environment: JSON lines on standard input and output."""
    from radbench.cli import worker

    return worker.run(target, options or [], checkout)
