"""``radbench check`` and ``radbench baseline``: the regression gate on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from radbench.cli.base import split_names
from radbench.folder import write_whole
from radbench.gate.baseline import write_baseline
from radbench.gate.check import Check, GateResult
from radbench.gate.check import check as check_run
from radbench.gate.margins import Margins
from radbench.gate.rule import shown
from radbench.report import ARROWS, aligned, clean


def check(
    run: str,
    baseline: str,
    margins: Sequence[str] = (),
    metrics: Sequence[str] = (),
    tasks: Sequence[str] = (),
    level: float = 0.95,
    junit: str | None = None,
    markdown: str | None = None,
    as_json: bool = False,
) -> int:
    """Print the verdict, write the reports asked for, return the exit code: 0, 3, 4 or 5."""
    result = check_run(
        Path(run), Path(baseline), Margins.parse(margins), split_names(metrics), split_names(tasks), level
    )
    from radbench.gate import reports as gate_reports

    if junit is not None:
        write_whole(Path(junit), gate_reports.junit(result))
    if markdown is not None:
        write_whole(Path(markdown), gate_reports.markdown(result))
    print(json.dumps(result.as_dict()) if as_json else table(result))
    return int(result.exit)


def baseline(
    run: str,
    out: str,
    noise: str | None = None,
    metrics: Sequence[str] = (),
    tasks: Sequence[str] = (),
    local_only: bool = False,
    as_json: bool = False,
) -> int:
    """Write the baseline file of a run and say what is in it."""
    written = write_baseline(
        Path(run),
        Path(out),
        noise=Path(noise) if noise is not None else None,
        metrics=split_names(metrics),
        tasks=split_names(tasks),
        local_only=local_only,
    )
    for task, access in written.left_out.items():
        print(
            f"radbench: {task} is left out: its data are {access} and a baseline holds rows per sample;"
            f" check it against the folder: radbench check RUN --baseline {run}",
            file=sys.stderr,
        )
    if written.local_only:
        print(f"radbench: {out} holds rows of restricted data: never commit, copy or send it", file=sys.stderr)
    if as_json:
        print(
            json.dumps(
                {
                    "file": str(written.path),
                    "bytes": written.size,
                    "tasks": {task: list(names) for task, names in written.metrics.items()},
                    "left_out": dict(written.left_out),
                    "local_only": written.local_only,
                }
            )
        )
        return 0
    count = sum(len(names) for names in written.metrics.values())
    print(
        f"wrote {out}: {count} metrics of {len(written.metrics)} tasks, {written.size / 1000:.0f} kB\n"
        f"next: radbench check RUN --baseline {out}"
    )
    return 0


def table(result: GateResult) -> str:
    """The headline, a line a check, a reason for each that did not pass, and what qualifies them."""
    rows = [_row(c) for c in result.checks]
    header = [
        "task",
        "metric",
        "baseline",
        "run",
        "change",
        f"{result.level * 100:g} % interval",
        "margin",
        "n",
        "verdict",
    ]
    lines = [clean(result.headline), ""]
    if rows:
        lines += [aligned(header, rows, right={2, 3, 4, 6, 7}), ""]
    lines += [
        clean(f"{c.verdict.upper()}: {c.task} {c.metric}: {c.reason}.")
        for c in result.checks
        if c.verdict in ("regression", "inconclusive")
    ]
    lines += [clean(f"{c.task} {c.metric}: {c.reason}.") for c in result.checks if c.verdict == "not gated"]
    if any(c.widened for c in result.checks):
        lines.append(
            "w: every resample gave the same change; the interval is that of one made-up discordant cluster each way"
            " (where none of n got worse, 3 in n still may)."
        )
    lines += [clean(note) for note in result.notes]
    return "\n".join(lines).rstrip()


def _row(c: Check) -> list[str]:
    undefined = c.low != c.low
    return [
        c.task,
        f"{c.metric} {ARROWS[c.better]}",
        _cell(c.baseline),
        _cell(c.value),
        _cell(c.change, "+"),
        "-" if undefined else f"[{shown(c.low)}, {shown(c.high)}]{' w' if c.widened else ''}",
        "-" if c.margin is None else f"{c.margin:g}",
        str(c.n),
        c.verdict,
    ]


def _cell(value: float, sign: str = "") -> str:
    return "-" if value != value else shown(value, sign)
