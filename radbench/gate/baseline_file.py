"""The baseline file: an npz without objects, read with suspicion and written whole, the same bytes for the same run.

What it holds, and why there is none for restricted data, stands in :mod:`radbench.gate.baseline`.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radbench import __version__
from radbench.errors import OPEN_ACCESS, ConfigError, DataError
from radbench.metrics.base import Additive
from radbench.npz import NpzError, read_npz
from radbench.registry import find_metric
from radbench.scoring import rounded
from radbench.statfiles import TaskStatistics
from radbench.statistics import Measure, point

FORMAT = 1
_DIGEST = 8
_REMEDY = "radbench baseline RUN -o FILE makes it anew"
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError)


@dataclass(frozen=True, slots=True)
class BaselineMetric:
    """A metric of a baseline. ``noise``: standard deviation of what all answers of a rerun share."""

    signature: str
    value: float
    noise: float | None = None


@dataclass(frozen=True, slots=True)
class BaselineTask:
    """A task of a baseline: ``n`` rows of samples and draws, ``data`` the fingerprint of its dataset."""

    version: int
    access: str
    data: str
    n: int
    clusters: int
    metrics: Mapping[str, BaselineMetric]


@dataclass(frozen=True, slots=True)
class Baseline:
    """A run to be held against, from its folder or a file. ``local_only``: it may not leave the machine."""

    label: str
    model: str
    seed: int
    resamples: int
    level: float
    partial: bool
    local_only: bool
    tasks: Mapping[str, BaselineTask]
    rows: Callable[[str, Sequence[str]], TaskStatistics]

    def statistics(self, task: str, metrics: Sequence[str]) -> TaskStatistics:
        """Rows of the metrics; ids are :func:`digests`, clusters and axes may be absent. Raises :class:`DataError`."""
        return self.rows(task, metrics)


def digests(ids: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    """(n,) 8-byte digests of sample ids: by them a baseline's samples are found again."""
    return np.array([blake2b(i, digest_size=_DIGEST).digest() for i in ids.tolist()], f"S{_DIGEST}")


def read_file(path: Path) -> Baseline:
    """The baseline in a file; rows are read task by task. Raises :class:`DataError` on any file that is not one, whole."""
    try:
        header = _header(path)
        tasks = {name: _task_of(entry) for name, entry in header["tasks"].items()}
        states = {
            (name, metric): tuple(entry["metrics"][metric]["state"])
            for name, entry in header["tasks"].items()
            for metric in entry["metrics"]
        }
        model, local_only, partial = str(header["model"]), bool(header["local_only"]), bool(header["partial"])
        seed, resamples, level = int(header["seed"]), int(header["resamples"]), float(header["level"])
    except _BROKEN as error:
        raise _damaged(path, error) from None
    closed = [name for name, task in tasks.items() if task.access not in OPEN_ACCESS]
    if closed and not local_only:
        raise DataError(
            f"{path}: holds rows of {tasks[closed[0]].access} data ({closed[0]}) and does not say that it stays local",
            remedy="radbench baseline RUN -o FILE --local-only makes one that does",
        )
    where = {name: i for i, name in enumerate(tasks)}

    def rows(task: str, metrics: Sequence[str]) -> TaskStatistics:
        here, names = where[task], list(tasks[task].metrics)
        found = {m: find_metric(m) for m in metrics}
        try:
            arrays = read_npz(path, [f"{here}.ids", *(f"{here}.rows.{names.index(m)}" for m in metrics)])
            ids, *scores = arrays.values()
            if ids.dtype != f"S{_DIGEST}" or ids.shape != (tasks[task].n,):
                raise ValueError("ids do not fit the header")
            if any(a.dtype != np.float64 or a.ndim != 2 or len(a) != len(ids) for a in scores):
                raise ValueError("rows do not fit the header")
            measures = {
                m: Measure(found[m], states[task, m], np.ascontiguousarray(a))
                for m, a in zip(metrics, scores, strict=True)
            }
            for m, measure in measures.items():
                check_value(m, measure, tasks[task].metrics[m].value)
        except _BROKEN as error:
            raise _damaged(path, error) from None
        return TaskStatistics(ids, np.zeros(len(ids), "S1"), {}, measures)

    return Baseline(path.name, model, seed, resamples, level, partial, local_only, tasks, rows)


def check_value(name: str, measure: Measure, stated: float) -> None:
    """Raise ValueError where rows are not the metric's own or do not give the value stated, to nine digits.

    Rows of additive metrics are finite and have the metric's columns. Others may hold nan and infinity (scores of boxes and
    classes that a model did not give): there the value decides.
    """
    if isinstance(measure.metric, Additive):
        columns = len(measure.metric.columns(measure.state))
        if measure.rows.shape[1] != columns or not np.isfinite(measure.rows).all():
            raise ValueError(f"rows of {name} are not {columns} columns of finite numbers")
    with np.errstate(all="ignore"):
        value = point(measure)
    same = math.isclose(value, stated, rel_tol=1e-9, abs_tol=1e-12) or (math.isnan(value) and math.isnan(stated))
    if not same:
        raise ValueError(f"{name} is {stated:.12g} in the header, {value:.12g} by its rows")


def _header(path: Path) -> dict[str, Any]:
    """The JSON of a baseline file. Raises :class:`DataError` where it is another kind of file or of a later radbench."""
    try:
        text = read_npz(path, ["header"])["header"].astype(np.uint8, casting="no").tobytes()
        header = json.loads(text)
        version = header["radbench_baseline"]
    except (NpzError, KeyError):
        raise DataError(f"{path} is no baseline file, or is cut short", remedy=_REMEDY) from None
    if version != FORMAT:
        raise DataError(
            f"{path}: format {str(version)[:20]}, this radbench ({__version__}) reads {FORMAT}",
            remedy=f"install the radbench that wrote it, or {_REMEDY}",
        )
    return dict(header)


def _damaged(path: Path, error: BaseException) -> DataError:
    reason = getattr(error, "strerror", None) or str(error)[:200] or type(error).__name__
    return DataError(f"{path}: damaged baseline file ({reason})", remedy=_REMEDY)


def _task_of(entry: Mapping[str, Any]) -> BaselineTask:
    metrics = {
        str(name): BaselineMetric(
            str(m["signature"]), number_of(m["value"]), None if m["noise"] is None else _deviation(m["noise"])
        )
        for name, m in entry["metrics"].items()
    }
    return BaselineTask(
        int(entry["version"]),
        str(entry["access"]),
        str(entry["data"]),
        int(entry["n"]),
        int(entry["clusters"]),
        metrics,
    )


def number_of(value: float | None) -> float:
    """A value of results.json, where None stands for nan."""
    return float("nan") if value is None else float(value)


def _deviation(value: Any) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"noise is {value}, expected a standard deviation")
    return float(value)


# --- writing ---


def packed(source: Baseline) -> bytes:
    """The content of a baseline file; the same for the same run. Raises :class:`DataError` where values do not follow."""
    arrays: dict[str, NDArray[Any]] = {}
    entries = {}
    for i, (name, task) in enumerate(source.tasks.items()):
        found = source.statistics(name, tuple(task.metrics))
        arrays[f"{i}.ids"] = found.ids
        metrics = {}
        for j, (metric, entry) in enumerate(task.metrics.items()):
            try:
                check_value(metric, found.measures[metric], entry.value)
            except _BROKEN as error:
                raise DataError(
                    f"{source.label}: {name}: the results do not follow from the statistics ({error})",
                    remedy="radbench score RUN computes them anew",
                ) from None
            # a column of counts packs far better by itself than between others
            arrays[f"{i}.rows.{j}"] = np.asfortranarray(found.measures[metric].rows, np.float64)
            metrics[metric] = {
                "better": find_metric(metric).better,
                "noise": entry.noise,
                "signature": entry.signature,
                "state": found.measures[metric].state,
                "value": rounded(entry.value),
            }
        entries[name] = {
            "access": task.access, "clusters": task.clusters, "data": task.data, "metrics": metrics, "n": len(found.ids),
            "version": task.version,
        }  # fmt: skip
    header = {
        "radbench_baseline": FORMAT,
        "radbench": __version__,
        "model": source.model,
        "seed": source.seed,
        "resamples": source.resamples,
        "level": source.level,
        "partial": source.partial,
        "local_only": source.local_only,
        "tasks": entries,
    }
    everything = {"header": np.frombuffer(json.dumps(header).encode("ascii"), np.uint8), **arrays}
    file = io.BytesIO()
    np.savez_compressed(file, **everything)  # type: ignore[arg-type]
    return file.getvalue()


def check_target(out: Path) -> None:
    """Raise :class:`ConfigError` where ``out`` is a folder or a file of another kind, which is not to be replaced."""
    if out.is_dir():
        raise ConfigError(f"{out} is a folder", remedy="name a file: -o baseline.npz")
    if out.exists():
        try:
            read_npz(out, ["header"])
        except NpzError:
            raise ConfigError(
                f"{out} exists and is no baseline file", remedy="choose another -o; only baselines are replaced"
            ) from None
