"""The command line: one module of commands a subject, registered on one application.

Commands import their work when they are called: start-up loads typer and the standard library alone.
"""

from __future__ import annotations

from typing import Annotated

import typer

from radbench.cli import commands, data_commands, model_commands, result_commands
from radbench.cli.base import app

__all__ = ["app", "commands", "data_commands", "model_commands", "result_commands", "run_cli"]


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
    """Run the command line and exit; SIGTERM (a scheduler's preemption) and a closed terminal end a run as Ctrl-C does."""
    import signal

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    app(prog_name="radbench")
