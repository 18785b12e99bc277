"""What makes an interval less sure than it looks: few patients, rare classes, values at an end of the scale.

The limits are those below which simulated 95 % intervals cover the truth too rarely (``benchmarks/coverage.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from radbench.errors import OPEN_ACCESS

FEWEST_CLUSTERS = 100
FEWEST_OF_CLASS = 20
LEAST_DEFINED = 0.95  # of the resamples
_NAMED = 6  # tasks or classes in a line; more are counted

_HEADINGS = {
    "clusters": f"fewer than {FEWEST_CLUSTERS} patients or independent samples, intervals are too narrow and p values too"
    " small now and then (docs/statistics.md)",
    "classes": f"classes of fewer than {FEWEST_OF_CLASS} samples, averages over classes are less sure than their intervals",
    "rates": f"fewer than {FEWEST_OF_CLASS} samples right, or wrong, intervals cover less often than they say",
    "defined": "undefined in more than 5 % of the resamples, the interval is of the others",
    "none": "no interval, no resample defines the value",
    "wilson": "all at one end of the scale, where resampling shows no spread: Wilson's interval",
    "combined": "with tasks all at one end of the scale, whose Wilson's intervals are added to the spread of the others",
    "constant": "all resamples are equal, the interval has no width and says nothing",
}
_RATES = {  # shares of samples that are right or wrong, by the name before their options
    "accuracy", "exact-match", "set-accuracy", "vqa-closed-accuracy", "vqa-open-accuracy", "vqamed-accuracy",
}  # fmt: skip
_CLASS_AVERAGES = {"avg:macro", "avg:class", "balanced-accuracy", "accuracy-macro"}  # parts of signatures


@dataclass(frozen=True, slots=True)
class Caution:
    """One warning of one task or group: its kind and what it concerns there."""

    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.detail}: {_HEADINGS[self.kind]}"


def cautions(entry: Mapping[str, Any], resamples: int) -> list[Caution]:
    """The warnings of a task's or group's entry in ``results.json``. Names of restricted classes are not told."""
    found = []
    if 0 < entry.get("clusters", 0) < FEWEST_CLUSTERS:
        found.append(Caution("clusters", _many(entry["clusters"], "patient" if entry["clustered"] else "sample")))
    if rare := _rare_classes(entry):
        found.append(Caution("classes", _told(rare, entry["access"] in OPEN_ACCESS)))
    of_kind: dict[str, list[str]] = {}
    for metric, result in entry["metrics"].items():
        kind = _kind(metric, result, resamples)
        if kind == "defined":
            metric += f" {100 * (1 - result['defined'] / resamples):.0f} %"
        if kind == "rates":
            metric += f" {_rarer(result)}"
        if kind is not None:
            of_kind.setdefault(kind, []).append(metric)
    return found + [Caution(kind, ", ".join(of_kind[kind])) for kind in _HEADINGS if kind in of_kind]


def caution_lines(results: Mapping[str, Any]) -> list[str]:
    """One line a kind of warning, naming the tasks and groups it concerns; where they are many, the first of them."""
    where: dict[str, list[str]] = {}
    for name, entry in _entries(results):
        for caution in cautions(entry, results["resamples"]):
            where.setdefault(caution.kind, []).append(f"{name} ({caution.detail})")
    return [f"Caution, {_HEADINGS[kind]}: {_listed(where[kind], '; ')}." for kind in _HEADINGS if kind in where]


def _entries(results: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from results["tasks"].items()
    for name, group in results["groups"].items():
        yield f"{name} (group)", group


def _kind(metric: str, result: Mapping[str, Any], resamples: int) -> str | None:
    if result["value"] is None:
        return None
    method: str = result.get("method", "percentile")
    if method != "percentile":
        return method
    if result["defined"] < LEAST_DEFINED * resamples:
        return "defined"
    return "rates" if metric.partition(":")[0] in _RATES and _rarer(result) < FEWEST_OF_CLASS else None


def _rarer(result: Mapping[str, Any]) -> int:
    """Of a rate, how many samples are right or wrong, whichever are fewer."""
    return round(min(result["value"], 1 - result["value"]) * result.get("n", 0))


def _rare_classes(entry: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Classes of few samples, rarest first, where a metric averages over classes or is of one of them alone."""
    parts = {part for result in entry["metrics"].values() for part in result.get("signature", "").split("|")}
    averaged = not parts.isdisjoint(_CLASS_AVERAGES)
    rare = [
        (name, count)
        for name, count in entry.get("classes", {}).items()
        if count < FEWEST_OF_CLASS and (averaged or f"label:{name}" in parts)
    ]
    return sorted(rare, key=lambda item: (item[1], item[0]))


def _told(rare: Sequence[tuple[str, int]], named: bool) -> str:
    if named:
        return _listed([f"{name} {count}" for name, count in rare], ", ")
    return f"{_many(len(rare), 'class', 'classes')}, the smallest of {_many(rare[0][1], 'sample')}"


def _listed(items: Sequence[str], between: str) -> str:
    shown = between.join(items[:_NAMED])
    return shown + (f"{between}{len(items) - _NAMED} more" if len(items) > _NAMED else "")


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"
