"""What a run is held against by ``radbench check``: another run folder, or one small file made from it to be committed.

The file is an npz without objects. Its ``header`` is JSON: format, radbench, model name, seed, resamples, level, and for
each task version, access, data fingerprint, n, clusters and for each metric signature, value, state and noise. Beside it
lie, for each task, 8-byte BLAKE2b digests of the sample ids and the (n, k) rows of each metric. It holds no path, text or
cluster name, and the same run always gives the same bytes.

Restricted data: rows of statistics per sample are derived labels, short ids can be guessed back from a digest, and
bootstrap values under a known seed are equations that can be solved for the rows. Nothing smaller than the rows allows a
paired interval, so a baseline of restricted data that could be shared does not exist. Such tasks are left out, and a run
on them is checked against the earlier run's folder, which stays on the machine; or, where asked for, a file is written
that only its owner can read and whose header says that it must not leave the machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path

from radbench.analysis.naming import chosen
from radbench.analysis.pairing import ScoredRun
from radbench.errors import OPEN_ACCESS, ConfigError, DataError
from radbench.folder import write_whole
from radbench.gate.baseline_file import (
    Baseline,
    BaselineMetric,
    BaselineTask,
    check_target,
    digests,
    number_of,
    packed,
    read_file,
)
from radbench.public import public_name
from radbench.statfiles import TaskStatistics


@dataclass(frozen=True, slots=True)
class Written:
    """A baseline file: its size, what is in it, and why each other task is not."""

    path: Path
    size: int
    metrics: Mapping[str, tuple[str, ...]]  # of each task
    left_out: Mapping[str, str]
    local_only: bool


# --- reading ---


def open_baseline(path: Path) -> Baseline:
    """The baseline in a run folder or a file. Raises :class:`DataError`."""
    if path.is_dir():
        return _of_folder(path)
    if not path.exists():
        raise DataError(
            f"{path}: no such baseline", remedy="a run folder, or a file that radbench baseline RUN -o FILE wrote"
        )
    return read_file(path)


def _of_folder(path: Path) -> Baseline:
    run = ScoredRun(path)
    results = run.results
    if not results["complete"]:
        raise DataError(f"{path} is incomplete and cannot be a baseline", remedy=f"radbench resume {path}")
    data = run.manifest["identity"]["tasks"]

    def rows(task: str, metrics: Sequence[str]) -> TaskStatistics:
        found = run.statistics(task)
        return replace(found, ids=digests(found.ids))

    return Baseline(
        run.label,
        public_name(results["model"].get("name", "?")),
        results["seed"],
        results["resamples"],
        results["level"],
        results["partial"],
        any(task["access"] not in OPEN_ACCESS for task in results["tasks"].values()),
        {
            name: BaselineTask(
                task["version"],
                task["access"],
                data[name]["data"],
                task["n"],
                task["clusters"],
                {m: BaselineMetric(e["signature"], number_of(e["value"])) for m, e in task["metrics"].items()},
            )
            for name, task in results["tasks"].items()
        },
        rows,
    )


# --- writing ---


def write_baseline(
    run: Path,
    out: Path,
    *,
    noise: Path | None = None,
    metrics: Sequence[str] = (),
    tasks: Sequence[str] = (),
    local_only: bool = False,
) -> Written:
    """Write the baseline of a complete run to ``out``, whole or not at all.

    ``noise`` is a run of ``radbench repeat``; ``metrics`` and ``tasks`` restrict. ``local_only`` also writes tasks on
    restricted data, to a file with mode 0600 that must stay on the machine. Raises :class:`DataError` where the run is
    incomplete or nothing may be written, :class:`ConfigError` on unknown names or where ``out`` is some other file.
    """
    check_target(out)
    source = _of_folder(run)
    wanted = chosen(tasks, source.tasks, "task")
    names = chosen(metrics, (m for t in wanted for m in source.tasks[t].metrics), "metric")
    left_out = {}
    if not local_only:
        left_out = {t: source.tasks[t].access for t in wanted if source.tasks[t].access not in OPEN_ACCESS}
    kept = {
        name: replace(task, metrics={m: e for m, e in task.metrics.items() if m in names})
        for name, task in source.tasks.items()
        if name in wanted and name not in left_out
    }
    kept = {name: task for name, task in kept.items() if task.metrics}
    if not kept:
        why = f"its data are {' or '.join(sorted(set(left_out.values())))}" if left_out else "it has no such metric"
        raise DataError(
            f"{run}: no baseline file can be made: {why}",
            remedy=f"check against the folder itself: radbench check RUN --baseline {run}; or --local-only"
            if left_out
            else f"radbench report {run}",
        )
    if noise is not None:
        kept = _with_noise(kept, noise)
    stays = any(task.access not in OPEN_ACCESS for task in kept.values())
    content = packed(replace(source, tasks=kept, local_only=stays))
    write_whole(out, content, 0o600 if stays else 0o666)
    return Written(out, len(content), {n: tuple(t.metrics) for n, t in kept.items()}, left_out, stays)


def _with_noise(tasks: Mapping[str, BaselineTask], path: Path) -> dict[str, BaselineTask]:
    from radbench.analysis.repeat import rerun_noise

    measured = rerun_noise(path)
    found = {
        name: {
            m: float(e["shared"])
            for m, e in measured.get(name, {}).items()
            if m in task.metrics and not isnan(e["shared"])
        }
        for name, task in tasks.items()
    }
    if not any(found.values()):
        raise ConfigError(
            f"{path} measured the noise of no metric of this baseline: it has {', '.join(measured) or 'no task'}",
            remedy="radbench repeat RUN makes one",
        )
    return {
        name: replace(task, metrics={m: replace(e, noise=found[name].get(m)) for m, e in task.metrics.items()})
        for name, task in tasks.items()
    }
