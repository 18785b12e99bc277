"""``radbench data list``, ``check``, ``fetch``."""

from __future__ import annotations

from typing import Annotated

import typer

from radbench.cli.base import Data, Json, Tasks, app, guarded
from radbench.errors import ConfigError

data_app = typer.Typer(
    name="data",
    help="Where datasets come from, what is found of them, and fetching the open ones.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app)


@data_app.command("list")
@guarded
def data_list_command(as_json: Json = False) -> int:
    """Every dataset a task reads: access, licence, where to get it."""
    from radbench.cli import data

    return data.list_datasets(as_json)


@data_app.command("check")
@guarded
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
@guarded
def data_fetch_command(
    names: Annotated[list[str], typer.Argument(help="open datasets with a hub copy: radbench data list")],
    out: Annotated[str, typer.Option("--out", "-o", help="data root; each dataset gets its folder there")] = "data",
    hub: Annotated[str | None, typer.Option(help="another hub copy", metavar="OWNER/NAME")] = None,
) -> int:
    """Bring open datasets from the Hugging Face hub. Restricted ones are never fetched."""
    from radbench.cli import data

    return data.fetch(names, out, hub)
