"""Commands on scored runs: ``radbench report``."""

from __future__ import annotations

from typing import Annotated

import typer

from radbench.cli.base import Json, RunPath, app, guarded


@app.command("report")
@guarded
def report_command(
    path: RunPath,
    subgroups: Annotated[bool, typer.Option("--subgroups", help="values by stratum")] = False,
    as_json: Json = False,
) -> int:
    """Print a run's table or its subgroups."""
    from radbench.cli import work

    return work.report(path, subgroups, as_json)
