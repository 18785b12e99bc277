"""``radbench report``: the table of a run for the terminal, or the paper's table of several as a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from radbench.cli.base import split_names
from radbench.errors import ConfigError, nearest
from radbench.folder import write_whole
from radbench.report import clean, load_results, table

MOST_DIGITS = 12  # what results.json holds


def run(
    paths: Sequence[str],
    form: str | None = None,
    out: str | None = None,
    metrics: Sequence[str] = (),
    tasks: Sequence[str] = (),
    digits: int | None = None,
    as_json: bool = False,
) -> int:
    """Print or write (``out``) the table of scored runs in a format; without one, each run's table as text.

    ``as_json`` prints the ``results.json`` of one run. ``metrics`` and ``tasks`` may be joined by commas. Raises
    :class:`ConfigError` on options that do not go together, :class:`DataError` on a run that is not scored.
    """
    text = _text(paths, form, split_names(metrics), split_names(tasks), digits, as_json)
    if out in (None, "-"):
        sys.stdout.write(text)
    else:
        write_whole(target := Path(str(out)).expanduser(), text)
        print(f"wrote {target}", file=sys.stderr)
    return 0


def _text(
    paths: Sequence[str],
    form: str | None,
    metrics: Sequence[str],
    tasks: Sequence[str],
    digits: int | None,
    as_json: bool,
) -> str:
    if as_json:
        if form or metrics or tasks or digits is not None or len(paths) > 1:
            raise ConfigError("--json prints the results.json of one run", remedy="for a table: --format json")
        return json.dumps(load_results(Path(paths[0]))) + "\n"
    if form in (None, "text"):
        from radbench.paper.rows import select

        if digits is not None:
            raise ConfigError(
                "--digits goes with --format md, html or latex", remedy="radbench report RUN --format md --digits 3"
            )
        found = select([load_results(Path(path)) for path in paths], metrics, tasks)
        several = [f"run: {clean(str(path))}\n" if len(paths) > 1 else "" for path in paths]
        return "\n".join(head + table(results) for head, results in zip(several, found, strict=True))
    return _formatted(paths, str(form), metrics, tasks, digits)


def _formatted(
    paths: Sequence[str], form: str, metrics: Sequence[str], tasks: Sequence[str], digits: int | None
) -> str:
    from radbench.analysis.pairing import open_runs
    from radbench.paper.formats import DIGITS, FORMATS, write
    from radbench.paper.table import paper_table

    if form not in FORMATS:
        raise ConfigError(
            f"unknown format '{form}': {nearest(form, FORMATS)}", remedy=f"one of text, {', '.join(FORMATS)}"
        )
    if digits is not None and form in ("csv", "json"):
        raise ConfigError(f"--digits does not go with {form}, which holds all digits", remedy="leave it out")
    if digits is not None and not 0 <= digits <= MOST_DIGITS:
        raise ConfigError(f"--digits is {digits}, expected 0 to {MOST_DIGITS}", remedy="radbench report --help")
    runs = open_runs([Path(path) for path in paths])
    return write(paper_table(runs, metrics, tasks), form, DIGITS if digits is None else digits)
