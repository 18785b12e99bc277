"""What qualifies a comparison: labels on the lines it touches, and notes in plain words below the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import floor
from typing import Any

from radbench.analysis.pairing import ScoredRun
from radbench.caution import caution_lines

_SHOWN_TASKS = 6


def labels_of(runs: Sequence[ScoredRun], task: str) -> list[str]:
    """Short labels that every line of the task carries where the runs are not like with like."""
    labels = []
    if len({run.regime(task) for run in runs}) > 1:
        labels.append("regimes differ")
    if partial := [run.label for run in runs if run.results["partial"]]:
        labels.append(f"partial: {', '.join(partial)}")
    labels += [
        f"other {name}"
        for name, key in (("data", "data"), ("prompts", "prompts"), ("support", "support"))
        if _differ(runs, task, key)
    ]
    return labels


def _differ(runs: Sequence[ScoredRun], task: str, key: str) -> bool:
    return len({str(run.manifest["identity"]["tasks"].get(task, {}).get(key)) for run in runs}) > 1


def notes_of(found: Mapping[str, Any], runs: Sequence[ScoredRun]) -> list[str]:
    """Everything a reader of the comparison must know, the gravest first; alike tasks share a note."""
    by_text: dict[str, list[str]] = {}
    for name, task in found["tasks"].items():
        for text in _task_notes(name, task, runs, found):
            by_text.setdefault(text, []).append(name)
    notes = [*_run_notes(found["runs"], runs)]
    for text, names in by_text.items():
        more = f" and {len(names) - _SHOWN_TASKS} more" if len(names) > _SHOWN_TASKS else ""
        where = ", ".join(names[:_SHOWN_TASKS]) + more
        if len(names) == len(found["tasks"]) > 1:
            where = f"all {len(names)} tasks"
        notes.append(f"{where}: {text}.")
    notes += _cautions(found, runs)
    notes += [f"{name}: not compared: {why}." for name, why in found["tasks_left_out"].items()]
    return notes


def _run_notes(entries: Sequence[Mapping[str, Any]], runs: Sequence[ScoredRun]) -> Iterator[str]:
    for run in runs:
        if run.results["partial"]:
            limit = run.manifest["identity"].get("limit")
            whys = [f"only the first {limit} samples of a task were asked for"] if limit is not None else []
            if not run.results["complete"]:
                whys.append("answers are missing or are to be asked again, or a metric failed")
            yield (
                f"{run.label} is PARTIAL ({'; '.join(whys)}): what is compared is the part it has, "
                "and the rest may turn out otherwise."
            )
    first = entries[0]
    settings = [(run.results["seed"], run.results["resamples"], run.results["level"]) for run in runs]
    if len(set(settings)) > 1:
        seed, resamples, level = settings[0]
        yield (
            f"the runs were scored with other seeds, resamples or levels; all are compared as {first['label']} was: "
            f"seed {seed}, {resamples} resamples, level {level:g}."
        )
    if len({e["draws"] for e in entries}) > 1:
        draws = ", ".join(f"{e['label']} {e['draws']}" for e in entries)
        yield (
            f"answers asked for a sample: {draws}. Draws meet in their order and are repeated where a run has fewer, "
            "so that every answer of a run weighs the same; wins and losses are of a sample's mean score."
        )


def _task_notes(
    name: str, task: Mapping[str, Any], runs: Sequence[ScoredRun], found: Mapping[str, Any]
) -> Iterator[str]:
    if len(set(task["regimes"].values())) > 1:
        each = ", ".join(f"{run} {regime}" for run, regime in task["regimes"].items())
        yield (
            f"REGIMES DIFFER ({each}), so this is not like with like: a model that was fitted to the task, or shown "
            "examples of it, starts ahead of one that was not"
        )
    if _differ(runs, name, "data"):
        yield "the runs read different data (their fingerprints differ); samples are matched by id alone"
    if _differ(runs, name, "prompts"):
        yield "the runs were asked with different prompts"
    if _differ(runs, name, "support"):
        yield "the runs learnt from different splits"
    if missing := {run: count for run, count in task["left_out"].items() if count}:
        each = ", ".join(f"{count} of {run}" for run, count in missing.items())
        yield f"samples not common to all runs and left out: {each}; {task['n']} are compared"
    if lacking := {run: count for run, count in task["lacking"].items() if count}:
        each = ", ".join(f"{count} of {run}" for run, count in lacking.items())
        yield f"samples that lack a draw which the run's others have, and are left out: {each}"
    if task["clusters_differ"]:
        yield (
            f"the runs name other patients for the same samples; intervals and p are by those of {runs[0].label},"
            " and would be others with another run first"
        )
    yield from _other_counts(task)
    for metric, why in task["metrics_left_out"].items():
        yield f"{metric} is not compared: {why}"
    yield from _identical(task)
    yield from _without_width(task)
    if not task["clustered"]:
        yield "* unclustered: the dataset names no patients, so intervals may be too narrow and p too small"
    yield from _floor_notes(task, found)
    for spec, why in task["strata_left_out"].items():
        yield f"not divided by {spec}: {why}"


def _other_counts(task: Mapping[str, Any]) -> Iterator[str]:
    """Metrics that leave out samples by the answers, so that values of two runs are of different ones."""
    for metric, entry in task["metrics"].items():
        counts = {run: own["n"] for run, own in entry["runs"].items()}
        if len(set(counts.values())) > 1:
            each = ", ".join(f"{run} {n}" for run, n in counts.items())
            yield f"{metric} counts different samples of the runs ({each}); n are those that count in all: {entry['n']}"


def _identical(task: Mapping[str, Any]) -> Iterator[str]:
    alike: dict[tuple[str, str], list[str]] = {}
    for metric, entry in task["metrics"].items():
        for one in entry["pairs"]:
            if one["identical"]:
                alike.setdefault((one["a"], one["b"]), []).append(metric)
    for (a, b), metrics in alike.items():
        yield f"{a} and {b} are identical on all {task['n']} common samples ({', '.join(metrics)})"


def _without_width(task: Mapping[str, Any]) -> Iterator[str]:
    flat = [
        f"{metric} of {one['a']} and {one['b']}"
        for metric, entry in task["metrics"].items()
        for one in entry["pairs"]
        if one["low"] == one["high"] and not one["identical"]
    ]
    if flat:
        yield f"all resamples agree on the difference in {', '.join(flat)}: an interval without width says nothing"


def _cautions(found: Mapping[str, Any], runs: Sequence[ScoredRun]) -> list[str]:
    """What ``radbench report`` warns of beside intervals, of the common samples."""
    tasks = {}
    for name, task in found["tasks"].items():
        values = {
            f"{metric} of {run}": {**own, "signature": entry["signature"]}
            for metric, entry in task["metrics"].items()
            for run, own in entry["runs"].items()
        }
        tasks[name] = {**task, "classes": _fewest_of_class(runs, name), "metrics": values}
    return caution_lines({"tasks": tasks, "groups": {}, "resamples": found["resamples"]})


def _fewest_of_class(runs: Sequence[ScoredRun], task: str) -> dict[str, int]:
    """The smallest count over the runs of each class that all have: the common samples hold no more of it."""
    counts = [run.results["tasks"][task]["classes"] for run in runs]
    return {name: min(own[name] for own in counts) for name in counts[0] if all(name in own for own in counts)}


def _floor_notes(task: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """Where so many comparisons are corrected for that no p could ever become small enough."""
    resamples, alpha = found["resamples"], round(1 - found["level"], 12)
    families = {
        "p (Holm)": task["comparisons"] if len(found["runs"]) == 2 else 0,
        "rank groups": len(found["runs"]) - 1 if len(found["runs"]) > 2 else 0,
        "p (Holm) of the subgroups": max((axis["comparisons"] for axis in task["strata"].values()), default=0),
    }
    for what, count in families.items():
        if count / (resamples + 1) >= alpha:
            yield (
                f"{what}: with {resamples} resamples no p falls below 1/{resamples + 1}, so that {count} comparisons "
                f"can never reach {alpha:g} after Holm's correction; {floor(round(count / alpha, 6))} resamples could "
                "(radbench run --resamples), or fewer metrics, runs or groups"
            )
        elif what != "p (Holm) of the subgroups" and count * 2.0 ** (1 - task["clusters"]) >= alpha:
            yield (
                f"{what}: of {_many(task['clusters'], 'cluster')} no p falls below {2.0 ** (1 - task['clusters']):.2g}, so that"
                f" {_many(count, 'comparison')} can never reach {alpha:g}: more patients could"
            )


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
