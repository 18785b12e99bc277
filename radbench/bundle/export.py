"""``radbench export``: a scored run as a folder that can be published and verified by anybody.

Everything in it is named here, field by field: what a run folder holds besides never gets in. ``docs/bundles.md`` says what
is told of open and of restricted data, and why no more.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from radbench import __version__
from radbench.analysis.pairing import ScoredRun
from radbench.bundle.disclosure import FLOOR, told_of
from radbench.bundle.files import is_bundle, seal, stats_name, write_arrays, write_json
from radbench.bundle.key import keyed_ids
from radbench.bundle.manifest import public_manifest, some
from radbench.errors import OPEN_ACCESS, ConfigError, DataError, RadbenchError
from radbench.folder import MANIFEST, RESULTS, RunFolder
from radbench.public import public_name, public_signature, public_spec
from radbench.statfiles import SAMPLES, TaskStatistics, stats_file
from radbench.statistics import Estimate, clusters_of

UNSAID = "not stated in a bundle"
_ESTIMATE = tuple(field.name for field in fields(Estimate))
_ENTRY = (*_ESTIMATE, "n", "better", "signature")
_COUNTS = ("version", "access", "regime", "n", "unanswered", "unscorable", "clusters", "clustered", "failures")
_OPEN = ("title", "classes", "collapse")


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle just written. ``left_out``: task, ``task: metric`` or group -> why it is not inside."""

    path: Path
    digest: str
    tasks: tuple[str, ...]
    restricted: tuple[str, ...]
    left_out: Mapping[str, str]
    partial: bool


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is collected while the files of the tasks are written."""

    run: ScoredRun
    folder: Path
    key: bytes
    left_out: dict[str, str]


def export_run(run: Path, out: Path, key: bytes) -> Exported:
    """Write the bundle of a scored run, whole or not at all, and verify it.

    Raises :class:`ConfigError` where ``out`` is something else than a bundle, :class:`DataError` where the results of the
    run do not follow from its statistics.
    """
    from radbench.bundle.verify import verify

    if is_bundle(run):
        raise ConfigError(f"{run} is a bundle already", remedy="export the run that it was made of")
    scored = ScoredRun(run)
    _check_target(out)
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        parts = _Parts(scored, partial, key, {})
        try:
            results = _results(parts)
            manifest = public_manifest(scored.manifest, results, key)
        except KeyError as error:
            raise DataError(
                f"{run} lacks {error}: it was scored by an earlier radbench", remedy=f"radbench score {run}"
            ) from None
        write_json(partial / MANIFEST, manifest)
        write_json(partial / RESULTS, results)
        digest = seal(partial, __version__)
        if faults := verify(partial).faults:
            raise DataError(
                f"{run}: the results do not follow from the statistics ({len(faults)} differ; first: {faults[0].line()})",
                remedy=f"radbench score {run}",
            )
        _replace(partial, out)
    except OSError as error:
        raise RadbenchError(f"{out}: the bundle cannot be written ({error.strerror or error})",
                            remedy="choose another place with -o, or free space") from error  # fmt: skip
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    restricted = tuple(name for name, task in results["tasks"].items() if task["restricted"])
    return Exported(out, digest, tuple(results["tasks"]), restricted, parts.left_out, results["partial"])


def _check_target(out: Path) -> None:
    empty = out.is_dir() and not out.is_symlink() and not any(out.iterdir())
    if out.is_symlink() or (out.exists() and not empty and not is_bundle(out)):
        raise ConfigError(f"{out} exists and is no bundle, or holds other files beside one", remedy="choose another -o")
    if not out.name:
        raise ConfigError(f"{out} is no name for a folder", remedy="choose another -o")


def _replace(partial: Path, out: Path) -> None:
    """Put the new folder in the place of an earlier bundle, which stays until the new one is there."""
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    if out.exists():
        os.replace(out, old)
    try:
        os.replace(partial, out)
    except OSError:
        if old.exists():
            os.replace(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _results(parts: _Parts) -> dict[str, Any]:
    results, left_out = parts.run.results, parts.left_out
    limited = parts.run.manifest["identity"]["limit"] is not None
    tasks = {}
    for name, entry in results["tasks"].items():
        if entry["access"] in OPEN_ACCESS:
            tasks[name] = _open_task(parts, name, entry)
        elif entry["clusters"] < FLOOR:
            left_out[name] = f"{entry['access']} data of fewer than {FLOOR} patients"
        elif limited or entry["unanswered"]:
            left_out[name] = (
                f"{entry['access']} data of a part of the samples: beside more of them, their difference tells"
            )
        else:
            tasks[name] = _restricted_task(parts, name, entry)
    groups = {}
    for name, group in results["groups"].items():
        closed = [m for m in group["members"] if m not in tasks or tasks[m]["restricted"]]
        if closed:
            left_out[name] = f"a group with restricted members: {', '.join(closed)}"
        else:
            groups[name] = {key: group[key] for key in ("clustered", "how", "members", "n")}
            groups[name]["metrics"] = {m: some(e, (*_ESTIMATE, "better")) for m, e in group["metrics"].items()}
    return {
        "radbench": results["radbench"],
        "model": {public_name(k): public_name(str(v)) for k, v in results["model"].items()},
        **{key: results[key] for key in ("seed", "resamples", "level", "complete", "partial")},
        "skipped": dict.fromkeys(results["skipped"], UNSAID),
        "unreadable": dict.fromkeys(results["unreadable"], UNSAID),
        "tasks": tasks,
        "groups": groups,
        "left_out": dict(left_out),
    }


def _open_task(parts: _Parts, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Rows, axes and keyed ids into the folder; the task's entry as the run has it."""
    found = parts.run.statistics(name)
    if missing := entry["subgroups"].keys() - found.axes.keys():
        raise KeyError(f"stats/{name}: the axis {min(missing)}")
    arrays = {
        "ids": keyed_ids(parts.key, found.ids.tolist()),
        "clusters": keyed_ids(parts.key, found.clusters.tolist()),
    }
    axes = _coded({axis: found.axes[axis] for axis in entry["subgroups"]})
    write_arrays(parts.folder / stats_name(name, f"{SAMPLES}.npz"), {**arrays, **axes})
    public = _public_metrics(parts, name, found, frozenset())
    for metric, spec in public.items():
        measure = found.measures[metric]
        file = stats_file(RunFolder(parts.folder), name, spec)
        state = np.array(json.dumps(measure.state))
        signature = np.array(public_signature(entry["metrics"][metric]["signature"]))
        write_arrays(file, {"rows": measure.rows, "state": state, "signature": signature})
    return {
        **{key: entry[key] for key in (*_COUNTS, *_OPEN)},
        "restricted": False,
        "metrics": {spec: _public_entry(entry["metrics"][metric]) for metric, spec in public.items()},
        "unavailable": {public_spec(m) or m: UNSAID for m in entry["unavailable"]},
        "broken": {public_spec(m) or m: UNSAID for m in entry["broken"]},
        "subgroups": {
            axis: {value: _subgroup(group, public) for value, group in values.items()}
            for axis, values in entry["subgroups"].items()
        },
    }


def _public_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**some(entry, _ENTRY), "signature": public_signature(entry["signature"])}


def _subgroup(group: Mapping[str, Any], public: Mapping[str, str]) -> dict[str, Any]:
    metrics = {spec: some(group["metrics"][metric], _ESTIMATE) for metric, spec in public.items()}
    return {"n": group["n"], "metrics": metrics}


def _coded(axes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The axes as ``radbench.statfiles`` keeps them: codes, -1 where a sample has no value, and the values."""
    coded: dict[str, np.ndarray] = {}
    for axis, values in axes.items():
        names, codes = np.unique(values, return_inverse=True)
        absent = int(len(names) > 0 and names[0] == "")
        coded[f"values.{axis}"], coded[f"codes.{axis}"] = names[absent:], codes.ravel() - absent
    return coded


def _public_metrics(parts: _Parts, task: str, found: TaskStatistics, hidden: frozenset[str]) -> dict[str, str]:
    """The metrics that can be told: name in the run -> name in the bundle."""
    public: dict[str, str] = {}
    for name in found.measures:
        spec = public_spec(name, hidden)
        base = name.partition(":")[0]
        if spec is None:
            parts.left_out[f"{task}: {base} of one class"] = "its options name a class"
        elif spec in public.values():
            parts.left_out[f"{task}: {base}"] = "it differs from another metric by a path only"
        else:
            public[name] = spec
    return public


def _texts_in(value: Any) -> set[str]:
    """Every text in nested lists and mappings."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, Mapping):
        return set().union(*(_texts_in(part) for pair in value.items() for part in pair))
    return set().union(*map(_texts_in, value)) if isinstance(value, list | tuple) else set()


def _restricted_task(parts: _Parts, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Totals of metrics into the folder; counts and intervals as the task's entry, no name of anything in the data."""
    results = parts.run.results
    found = parts.run.statistics(name)
    described = parts.run.manifest["identity"]["tasks"][name]
    states = [measure.state for measure in found.measures.values()]
    hidden = frozenset(_texts_in([states, list(entry["classes"]), described["choices"]]))
    clusters = clusters_of(found.clusters)
    metrics: dict[str, Any] = {}
    for metric, spec in _public_metrics(parts, name, found, hidden).items():
        told = told_of(spec, found.measures[metric], clusters, results["resamples"], results["seed"], results["level"])
        if isinstance(told, str):
            parts.left_out[f"{name}: {spec}"] = told
            continue
        metrics[spec] = dict(told.entry)
        if told.arrays:
            write_arrays(stats_file(RunFolder(parts.folder), name, spec), told.arrays)
    return {
        **{key: entry[key] for key in _COUNTS},
        "restricted": True,
        "title": name,
        "classes": {},
        "class_count": len(entry["classes"]),
        "small_classes": sum(n < FLOOR for n in entry["classes"].values()),
        "collapse": None,
        "metrics": metrics,
        "unavailable": {m.partition(":")[0]: UNSAID for m in entry["unavailable"]},
        "broken": {m.partition(":")[0]: UNSAID for m in entry["broken"]},
        "subgroups": {},
    }
