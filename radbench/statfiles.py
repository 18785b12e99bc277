"""``stats/<task>/``: what scoring leaves behind for reports, comparisons and later scorings. Delete and score again at will."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radbench.errors import DataError, RadbenchError
from radbench.folder import RunFolder
from radbench.measuring import ScoredMetric
from radbench.registry import find_metric
from radbench.statistics import Measure

SAMPLES = "samples"


@dataclass(frozen=True, slots=True)
class TaskStatistics:
    """What a scored run holds of a task, a row a sample and draw: (n,) ids and clusters, the value of each axis of
    subgroups ("" where a sample has none), and its measures."""

    ids: NDArray[np.bytes_]
    clusters: NDArray[np.bytes_]
    axes: Mapping[str, NDArray[np.str_]]
    measures: Mapping[str, Measure]


def stats_file(folder: RunFolder, task: str, metric: str) -> Path:
    """Where a metric's rows lie; specs that a file cannot be called by carry a digest, so that no two share a file."""
    plain = re.sub(r"[^\w.-]", "_", metric)
    if plain != metric or metric == SAMPLES:
        plain += "-" + sha256(metric.encode()).hexdigest()[:8]
    return folder.path / "stats" / task / f"{plain}.npz"


def _samples_file(folder: RunFolder, task: str) -> Path:
    return folder.path / "stats" / task / f"{SAMPLES}.npz"


def save_statistics(
    folder: RunFolder,
    task: str,
    ids: np.ndarray,
    clusters: np.ndarray,
    axes: Mapping[str, tuple[Sequence[str], np.ndarray]],
    metrics: Sequence[ScoredMetric],
) -> None:
    """``samples.npz`` ((n,) ids, clusters, codes of each axis and its values) and one file of rows, state and signature
    a metric."""
    path = _samples_file(folder, task)
    coded = {f"codes.{axis}": codes for axis, (_, codes) in axes.items()}
    coded |= {f"values.{axis}": np.array(values, str) for axis, (values, _) in axes.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, ids=ids, clusters=clusters, **coded)  # type: ignore[arg-type]
        for m in metrics:
            arrays = {"rows": m.rows, "state": np.array(json.dumps(m.metric.stored(m.state)))}
            arrays["signature"] = np.array(m.metric.signature(m.state))
            if (scores := m.metric.sample_scores(m.rows, m.state)) is not None:
                arrays["scores"] = scores
            np.savez(stats_file(folder, task, m.name), **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise RadbenchError(
            f"{path.parent}: cannot write ({error.strerror}); the answers are safe",
            remedy=f"radbench score {folder.path}",
        ) from error


def load_statistics(folder: RunFolder, task: str, metrics: Sequence[str]) -> TaskStatistics:
    """What ``stats/`` holds of a scored task. Raises :class:`DataError` where it is missing or damaged."""
    try:
        with np.load(_samples_file(folder, task), allow_pickle=False) as archive:
            ids, clusters = archive["ids"], archive["clusters"]
            names = [name.removeprefix("codes.") for name in archive.files if name.startswith("codes.")]
            axes = {name: np.append(archive[f"values.{name}"], "")[archive[f"codes.{name}"]] for name in names}
        measures = {}
        for name in metrics:
            with np.load(stats_file(folder, task, name), allow_pickle=False) as archive:
                state = json.loads(str(archive["state"]))
                measures[name] = Measure(find_metric(name), tuple(state), archive["rows"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{folder.path / 'stats' / task}: statistics are missing or damaged ({error})",
            remedy=f"radbench score {folder.path}",
        ) from None
    return TaskStatistics(ids, clusters, axes, measures)
