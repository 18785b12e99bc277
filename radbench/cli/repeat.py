"""The command ``radbench repeat``: a run asked again several times, and how much its scores move."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radbench.analysis.repeat import repeat, rerun_noise
from radbench.progress import progress_for
from radbench.report import ARROWS, aligned
from radbench.scoring import rounded


def run(path: str, times: int, out: str | None, as_json: bool) -> int:
    evaluation = repeat(Path(path), times, Path(out).expanduser() if out else None, progress_for(quiet=as_json))
    assert evaluation.results is not None  # one worker: nothing is left to another shard
    noise = rerun_noise(evaluation.path)
    if as_json:
        print(json.dumps(rounded({"run": path, "repeat": str(evaluation.path), "draws": times, "tasks": noise})))
    else:
        better = {
            (task, name): metric["better"]
            for task, entry in evaluation.results["tasks"].items()
            for name, metric in entry["metrics"].items()
        }
        print(table(noise, better))
        asked, had = evaluation.outcome.asked, evaluation.outcome.reused
        print(f"repeat: {evaluation.path} ({asked} asked now, {had} answered before)")
        print(f"to keep it with a baseline: radbench baseline {path} --noise {evaluation.path} -o FILE")
    code = int(evaluation.exit_code())
    if code:
        print(
            f"radbench: {evaluation.path} is incomplete: answers are missing or to be asked again\n"
            f"  -> radbench resume {evaluation.path}, or this command again",
            file=sys.stderr,
        )
    return code


def table(noise: Mapping[str, Mapping[str, Mapping[str, Any]]], better: Mapping[tuple[str, str], str]) -> str:
    """One line a task and metric: mean, standard deviation and extremes of its value over the draws."""
    rows = [
        [
            task,
            f"{name} {ARROWS[better[task, name]]}",
            _number(entry["mean"]),
            _number(entry["sd"]),
            f"[{_number(entry['low'])}, {_number(entry['high'])}]",
            str(entry["draws"]),
            str(entry["n"]),
        ]
        for task, metrics in noise.items()
        for name, entry in metrics.items()
    ]
    lines = [aligned(["task", "metric", "mean", "sd", "range", "draws", "n"], rows, right={2, 3, 5, 6}), ""]
    for task, metrics in noise.items():
        first = next(iter(metrics.values()), None)
        if first is not None and first["left_out"]:
            lines.append(f"{task}: {first['left_out']} samples left out, a draw of theirs has no answer.")
    sds = [entry["sd"] for metrics in noise.values() for entry in metrics.values()]
    if sds and not any(sds):
        lines.append(
            "Every draw scores the same: the model is deterministic, or its server gave an earlier answer again."
        )
    return "\n".join(lines).rstrip() + "\n"


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.4f}"
