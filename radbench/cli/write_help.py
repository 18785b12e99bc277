"""Writes ``help.txt``: ``python -m radbench.cli.write_help`` after changing a command (a test says when)."""

from __future__ import annotations

from pathlib import Path

HELP = Path(__file__).with_name("help.txt")


def current_help() -> str:
    """The text ``radbench --help`` builds, at 80 columns."""
    from typer.testing import CliRunner

    from radbench.cli import app

    return CliRunner().invoke(app, ["--help"], prog_name="radbench", terminal_width=80, env={"COLUMNS": "80"}).output


if __name__ == "__main__":
    HELP.write_text(current_help(), encoding="utf-8")
