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
    """One line a task and metric: mean, standard deviation with its parts, and extremes of its value over the draws."""
    rows = [
        [
            task,
            f"{name} {ARROWS[better[task, name]]}",
            _number(entry["mean"]),
            _number(entry["sd"]),
            _number(entry["independent"]),
            _number(entry["shared"]),
            f"[{_number(entry['low'])}, {_number(entry['high'])}]",
            str(entry["draws"]),
            str(entry["n"]),
        ]
        for task, metrics in noise.items()
        for name, entry in metrics.items()
    ]
    header = ["task", "metric", "mean", "sd", "of its own", "shared", "range", "draws", "n"]
    lines = [aligned(header, rows, right={2, 3, 4, 5, 7, 8}), ""]
    for task, metrics in noise.items():
        first = next(iter(metrics.values()), None)
        if first is not None and first["left_out"]:
            lines.append(f"{task}: {first['left_out']} samples left out, a draw of theirs has no answer.")
    sds = [entry["sd"] for metrics in noise.values() for entry in metrics.values()]
    if sds and not any(sds):
        lines.append(
            "Every draw scores the same: the model is deterministic, or its server gave an earlier answer again."
        )
    elif sds:
        lines += [
            "sd: between draws of the same samples. Of its own: the part that goes from sample to sample, which shrinks with",
            "more samples and which intervals of compare and check hold already. Shared: what all answers of a draw have in",
            "common, which they do not hold; radbench baseline --noise keeps it, and radbench check adds it.",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.4f}"
