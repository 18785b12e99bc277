"""Commands on scored runs: ``radbench report``, ``compare``, ``check``, ``baseline``, ``repeat``, ``power``, ``export``,
``verify``."""

from __future__ import annotations

from typing import Annotated

import typer

from radbench.cli.base import Json, RunPath, app, guarded
from radbench.errors import ConfigError

TaskNames = Annotated[
    list[str] | None, typer.Option("--tasks", "-t", help="task names, suites or patterns; repeat or join by commas")
]
Metrics = Annotated[list[str] | None, typer.Option("--metric", help="metric specs; repeat or join by commas")]
By = Annotated[
    list[str] | None,
    typer.Option("--by", help="in groups of samples: axes such as modality,organ,age:18/40/65", metavar="AXIS,..."),
]


@app.command("report")
@guarded
def report_command(
    paths: Annotated[
        list[str], typer.Argument(help="run folders; with --format several side by side", metavar="RUN...")
    ],
    form: Annotated[
        str | None,
        typer.Option("--format", "-f", help="the paper's table: md, html, latex, csv or json; default text"),
    ] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", help="with --format: file to write")] = None,
    metrics: Metrics = None,
    tasks: TaskNames = None,
    digits: Annotated[
        int | None, typer.Option(help="with --format md, html or latex: digits after the point; default 3")
    ] = None,
    by: By = None,
    subgroups: Annotated[bool, typer.Option("--subgroups", help="each task's own axes, as --by defaults")] = False,
    as_json: Json = False,
) -> int:
    """Print a run's table, its subgroups, or the paper's table of several runs beside published scores."""
    if by or subgroups:
        if form or out or digits is not None or len(paths) != 1:
            raise ConfigError("--by and --subgroups take one run and no --format, --out or --digits")
        from radbench.cli import subgroups as groups

        return groups.run(paths[0], by or ["defaults"], tasks or [], metrics or [], as_json)
    from radbench.cli import report

    return report.run(paths, form, out, metrics or [], tasks or [], digits, as_json)


@app.command("compare")
@guarded
def compare_command(
    paths: Annotated[list[str], typer.Argument(help="two or more scored run folders", metavar="A B [C ...]")],
    tasks: TaskNames = None,
    metrics: Metrics = None,
    by: By = None,
    form: Annotated[str, typer.Option("--format", "-f", help="text or md")] = "text",
    as_json: Json = False,
) -> int:
    """Compare runs on their common samples: differences, intervals, p, wins, ranks, subgroups."""
    from radbench.cli import compare

    return compare.run(paths, tasks or [], metrics or [], by or [], form, as_json)


@app.command("check")
@guarded
def check_command(
    path: RunPath,
    baseline: Annotated[
        str, typer.Option("--baseline", "-b", help="a run folder, or a file of radbench baseline", metavar="RUN|FILE")
    ],
    margins: Annotated[
        list[str] | None,
        typer.Option(
            "--margin",
            help="how much worse is no regression: 0.01 for every metric within -1 to 1 (the default),"
            " METRIC=VALUE or TASK:METRIC=VALUE for one; repeat",
        ),
    ] = None,
    metrics: Metrics = None,
    tasks: TaskNames = None,
    level: Annotated[float, typer.Option(help="of the two-sided interval, 0.5 to below 1")] = 0.95,
    junit: Annotated[str | None, typer.Option(help="also write JUnit XML", metavar="FILE")] = None,
    markdown: Annotated[
        str | None, typer.Option(help="also write Markdown, for a pull request or step summary", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> int:
    """Is a run worse than its baseline? Exit 0: no; 3: regression; 4: too few samples to tell; 5: incomplete."""
    from radbench.cli import gate

    return gate.check(path, baseline, margins or (), metrics or (), tasks or (), level, junit, markdown, as_json)


@app.command("baseline")
@guarded
def baseline_command(
    path: RunPath,
    out: Annotated[str, typer.Option("--out", "-o", help="the file, made to be committed", metavar="FILE")],
    noise: Annotated[
        str | None,
        typer.Option(help="a run of radbench repeat: noise its draws share widens intervals", metavar="REPEAT_RUN"),
    ] = None,
    metrics: Metrics = None,
    tasks: TaskNames = None,
    local_only: Annotated[
        bool,
        typer.Option("--local-only", help="also tasks on restricted data; the file must then never leave this machine"),
    ] = False,
    as_json: Json = False,
) -> int:
    """Write a run's statistics as one small file that radbench check holds later runs against."""
    from radbench.cli import gate

    return gate.baseline(path, out, noise, metrics or (), tasks or (), local_only, as_json)


@app.command("repeat")
@guarded
def repeat_command(
    path: RunPath,
    times: Annotated[int, typer.Option(min=2, help="draws of every request")] = 5,
    out: Annotated[str | None, typer.Option("--out", "-o", help="run folder of the draws; default RUN-repeat")] = None,
    as_json: Json = False,
) -> int:
    """Ask a run's requests again several times and show how much its scores move between the draws."""
    from radbench.cli import repeat

    return repeat.run(path, times, out, as_json)


@app.command("power")
@guarded
def power_command(
    path: RunPath,
    difference: Annotated[
        float, typer.Option("--difference", "-d", help="the difference to be seen, in the metric's units")
    ],
    against: Annotated[
        str | None, typer.Option(help="a second run: the variance is that of their difference", metavar="RUN")
    ] = None,
    power: Annotated[float, typer.Option(help="how often it shall be seen, 0 to 1")] = 0.8,
    alpha: Annotated[float, typer.Option(help="of the two-sided test")] = 0.05,
    margin: Annotated[float | None, typer.Option(help="also what radbench check needs to pass at no change")] = None,
    correlation: Annotated[
        float, typer.Option(help="of two runs' errors, where only one run is given; 0 is the cautious end")
    ] = 0.0,
    metrics: Metrics = None,
    tasks: TaskNames = None,
    as_json: Json = False,
) -> int:
    """How many samples it takes to see a difference, from a run's own variance and clustering."""
    from radbench.cli import power as command

    return command.run(
        path, against, difference, power, alpha, margin, correlation, metrics or [], tasks or [], as_json
    )


@app.command("export")
@guarded
def export_command(
    path: RunPath,
    out: Annotated[
        str, typer.Option("--out", "-o", help="the bundle: a folder, new or an earlier bundle", metavar="BUNDLE")
    ],
    key: Annotated[
        str | None,
        typer.Option(
            help="key of the sample ids, 32 bytes; default ~/.config/radbench/export.key, made on first use",
            metavar="FILE",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Write a publishable bundle: rows under keyed ids for open data, totals only for restricted data."""
    from radbench.cli import bundle

    return bundle.export(path, out, key, as_json)


@app.command("verify")
@guarded
def verify_command(
    path: Annotated[str, typer.Argument(help="a bundle that radbench export wrote", metavar="BUNDLE")],
    digest: Annotated[
        str | None, typer.Option(help="the digest that a paper or board states", metavar="sha256:...")
    ] = None,
    as_json: Json = False,
) -> int:
    """Compute everything a bundle states anew; exit 1 with a line for each fault."""
    from radbench.cli import bundle

    return bundle.verify(path, digest, as_json)
