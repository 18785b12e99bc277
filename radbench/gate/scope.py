"""What a run and its baseline can be compared on: tasks and metrics both have, what is missing, stale or new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from radbench.analysis.naming import chosen
from radbench.analysis.pairing import ScoredRun
from radbench.errors import ConfigError, DataError
from radbench.gate.baseline_file import Baseline
from radbench.gate.margins import Margins
from radbench.registry import find_metric


@dataclass(frozen=True, slots=True)
class Scope:
    """What is to be checked: of each task the metrics both sides have, and what is missing or merely new."""

    metrics: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    frozen_apart: frozenset[tuple[str, str]]  # a limited run froze other constants: no comparison is fair


def scope_of(run: ScoredRun, held: Baseline, metrics: Sequence[str], tasks: Sequence[str]) -> Scope:
    """What is to be checked. Raises :class:`DataError` on a stale baseline, :class:`ConfigError` where nothing is."""
    own, known = run.results["tasks"], names_of(run, held)
    names = chosen(metrics, (m for found in known.values() for m in found), "metric")
    picked = chosen(tasks, known, "task")
    found: dict[str, tuple[str, ...]] = {}
    missing, notes = list[str](), list[str]()
    apart: set[tuple[str, str]] = set()
    if new := [t for t in own if t in picked and t not in held.tasks and names & own[t]["metrics"].keys()]:
        notes.append(f"New, not in the baseline: {', '.join(new)}.")
    for name, task in held.tasks.items():
        gated = [m for m in task.metrics if m in names]
        if name not in picked or not gated:
            continue
        if name not in own:
            missing.append(f"The run lacks the task {name}{_why_absent(run, name)}.")
            continue
        entry = own[name]
        if entry["version"] != task.version:
            raise _stale(run, held, f"task '{name}' has version {entry['version']}, in the baseline {task.version}")
        found[name] = tuple(m for m in gated if m in entry["metrics"])
        for metric in gated:
            if metric not in found[name]:
                missing.append(f"The run lacks {metric} of {name}: {_why_no_value(entry, metric)}.")
            elif (now := entry["metrics"][metric]["signature"]) != (then := task.metrics[metric].signature):
                if not (run.results["partial"] or held.partial):
                    raise _stale(run, held, f"{name}: {metric} is {now}, in the baseline {then}")
                apart.add((name, metric))
        if extra := [m for m in entry["metrics"] if m in names and m not in task.metrics]:
            notes.append(f"New, not in the baseline: {', '.join(extra)} of {name}.")
    if not found and not missing:
        raise ConfigError(
            f"nothing to check: the baseline {held.label} has none of these tasks and metrics",
            remedy=f"radbench baseline {run.path} -o FILE makes one with them",
        )
    if not run.results["complete"]:
        missing.append("Answers are missing or are to be asked again, or a metric failed: radbench resume RUN goes on.")
        notes.append("Until then the verdicts are provisional: a sample to be asked again counts as failed.")
    notes += _of_the_whole(run, held)
    return Scope({t: m for t, m in found.items() if m}, tuple(missing), tuple(notes), frozenset(apart))


def names_of(run: ScoredRun, held: Baseline) -> dict[str, list[str]]:
    """Every task of either side with every metric of it on either side."""
    found = {name: list(task.metrics) for name, task in held.tasks.items()}
    for name, entry in run.results["tasks"].items():
        found[name] = list(dict.fromkeys([*found.get(name, ()), *entry["metrics"]]))
    return found


def _why_absent(run: ScoredRun, task: str) -> str:
    """Kept short: what a reader of data says may name files of theirs."""
    if task in run.results["unreadable"]:
        return ": its data could not be read on"
    return ": its data were absent" if task in run.results["skipped"] else ""


def _why_no_value(entry: Mapping[str, Any], metric: str) -> str:
    """The reasons themselves may name folders of the machine; the run's report has them."""
    if metric in entry["unavailable"]:
        return "it was unavailable on that machine, radbench report RUN names the command that brings it"
    return "it failed on these data" if metric in entry["broken"] else "the task names it no longer"


def _stale(run: ScoredRun, held: Baseline, what: str) -> DataError:
    return DataError(
        f"the baseline {held.label} is stale: {what}",
        remedy=f"radbench baseline RUN -o FILE with a run of today's task; {run.path} if it is good",
    )


def _of_the_whole(run: ScoredRun, held: Baseline) -> list[str]:
    notes = []
    results = run.results
    if (results["seed"], results["resamples"]) != (held.seed, held.resamples):
        notes.append(
            f"Drawn with the run's seed {results['seed']} and {results['resamples']} resamples; the baseline was made"
            f" with seed {held.seed} and {held.resamples}."
        )
    if results["complete"] and results["partial"]:
        notes.append("The run is partial: limited to the first samples.")
    if held.partial:
        notes.append("The baseline is of a limited run.")
    if held.local_only:
        notes.append("The baseline holds rows of restricted data and stays on this machine.")
    return notes


def check_gated(scope: Scope, margins: Margins) -> None:
    """Raise :class:`ConfigError` where metrics are there and none has a margin."""
    pairs = [(t, m) for t, names in scope.metrics.items() for m in names]
    if pairs and all(margins.of(t, m, find_metric(m)) is None for t, m in pairs):
        names = list(dict.fromkeys(m for _, m in pairs))
        raise ConfigError(
            f"nothing to gate: {', '.join(names)} have no known bounds within -1 to 1 and no margin of their own",
            remedy=f"give --margin {names[0]}=VALUE, in the metric's units",
        )
