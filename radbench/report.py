"""Results as people read them: a table of values with intervals, counts and failures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from radbench.caution import caution_lines
from radbench.errors import OPEN_ACCESS, DataError
from radbench.folder import RESULTS, RunFolder, mapping_of

ARROWS = {"higher": "↑", "lower": "↓"}
SMALL_SUBGROUP = 30


def load_results(path: Path) -> dict[str, Any]:
    """results.json of a run. Raises :class:`DataError` where the run is not scored."""
    try:
        return mapping_of(
            path / RESULTS, ("model", "tasks", "groups", "level", "seed", "resamples", "complete", "partial")
        )
    except ValueError as error:
        raise DataError(f"{path / RESULTS}: damaged ({error})", remedy=f"radbench score {path}") from None
    except (FileNotFoundError, NotADirectoryError):
        RunFolder(path).manifest  # noqa: B018 - says so where this is no run at all
        raise DataError(
            f"{path} has no {RESULTS} yet", remedy=f"radbench resume {path}, or radbench score {path}"
        ) from None


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def span(entry: Mapping[str, Any]) -> str:
    return "-" if entry["low"] is None else f"[{entry['low']:.4f}, {entry['high']:.4f}]"


def table(results: Mapping[str, Any]) -> str:
    """Tasks and groups, one line a metric, with what a reader must know below."""
    percent = f"{results['level'] * 100:g} % interval"
    rows = []
    for name, task in results["tasks"].items():
        failed = sum(task["failures"].values())
        for metric, entry in task["metrics"].items():
            marks = "" if task["clustered"] else " *"
            rows.append(
                [
                    name,
                    f"{metric} {ARROWS[entry['better']]}",
                    number(entry["value"]),
                    span(entry) + marks,
                    str(entry["n"]),
                    str(failed),
                ]
            )
    for name, group in results["groups"].items():
        for metric, entry in group["metrics"].items():
            label = f"{metric} {ARROWS[entry['better']]} ({group['how']})"
            marks = "" if group["clustered"] else " *"
            rows.append([f"{name} (group)", label, number(entry["value"]), span(entry) + marks, str(group["n"]), ""])
    lines = [clean(f"model: {results['model'].get('name', '?')}{regime_of(results)}"), ""]
    lines.append(aligned(["task", "metric", "value", percent, "n", "failed"], rows, right={2, 4, 5}))
    lines += ["", *map(clean, notes(results))]
    return "\n".join(lines).rstrip() + "\n"


def regime_of(results: Mapping[str, Any]) -> str:
    """`` (few-shot:4)`` where the model says a regime of its own, other than the tasks'; else nothing."""
    regime = results["model"].get("regime")
    return f" ({regime})" if regime and {regime} != {t.get("regime") for t in results["tasks"].values()} else ""


def notes(results: Mapping[str, Any]) -> list[str]:
    """What qualifies the table: partial runs, unclustered intervals, failures by kind, classes."""
    out = []
    if results["partial"]:
        why = (
            "limited to the first samples"
            if results["complete"]
            else "answers are missing or are to be asked again (resume the run), or a metric failed"
        )
        out.append(f"PARTIAL: {why}. Not to be ranked.")
    if any(not t["clustered"] for t in results["tasks"].values()):
        out.append("* unclustered: the dataset names no patients, so the interval may be too narrow.")
    for name, task in results["tasks"].items():
        if task["failures"]:
            kinds = ", ".join(f"{count} {kind}" for kind, count in task["failures"].items())
            out.append(f"{name}: failed answers score worst: {kinds}.")
        for metric, reason in task.get("broken", {}).items():
            out.append(f"{name}: {metric} FAILED and has no value: {reason}")
        if task.get("collapse") and sum(task["failures"].values()) < task["n"]:
            out.append(f"{name}: the answers look alike: {task['collapse']}.")
        if task["unanswered"]:
            out.append(f"{name}: {task['unanswered']} samples have no answer yet.")
        if task["unscorable"]:
            out.append(
                f"{name}: {task['unscorable']} samples left out, their reference masks cannot be read (run.log)."
            )
        if task["classes"] and len(task["classes"]) <= 20:
            out.append(f"{name}: n by class: {_class_counts(task)}.")
    for name, reason in results.get("unreadable", {}).items():
        out.append(f"{name}: STOPPED, its data cannot be read on: {reason}".replace("\n", " "))
    out += _unavailable(results["tasks"])
    out += caution_lines(results)
    if skipped := results.get("skipped"):
        out.append(f"Not run for want of data: {', '.join(skipped)}. What each needs: radbench describe NAME.")
        out += _incomplete_groups(results["tasks"], skipped)
    return out


def _class_counts(task: Mapping[str, Any]) -> str:
    """How many samples each class has; what classes restricted data know is not told."""
    counts = task["classes"]
    if task["access"] not in OPEN_ACCESS:
        return f"{len(counts)} classes of {min(counts.values())} to {max(counts.values())} ({task['access']} data)"
    return ", ".join(f"{label} {count}" for label, count in counts.items())


def _incomplete_groups(tasks: Mapping[str, Any], skipped: Mapping[str, Any]) -> list[str]:
    """Groups of which a part was run."""
    from radbench.registry import all_groups

    lines = []
    for group in all_groups():
        absent = [m for m in group.members if m in skipped]
        if absent and any(m in tasks for m in group.members):
            lines.append(f"{group.name}: not computed, it lacks {', '.join(absent)}.")
    return lines


def _unavailable(tasks: Mapping[str, Any]) -> list[str]:
    """One line a reason: many tasks lack the same weights."""
    by_reason: dict[str, dict[str, list[str]]] = {}
    for name, task in tasks.items():
        for metric, reason in task.get("unavailable", {}).items():
            by_reason.setdefault(reason, {}).setdefault(metric, []).append(name)
    lines = []
    for reason, metrics in by_reason.items():
        where = {tuple(names) for names in metrics.values()}
        shown = ", ".join(sorted({name for names in where for name in names}))
        lines.append(f"{shown}: {', '.join(metrics)} unavailable: {reason}.")
    return lines


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]], right: set[int]) -> str:
    """Columns of text, control characters made visible, the same on every terminal."""
    cells = [list(header), *([clean(c) for c in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    cells.insert(1, ["-" * w for w in widths])
    return "\n".join(
        "  ".join(
            c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def clean(text: str) -> str:
    """Text from data or models with control characters escaped, so that it cannot steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
