"""``stats/<task>/``: what scoring leaves behind for reports, comparisons and later scorings. Delete and score again at will."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from radbench.errors import DataError, RadbenchError
from radbench.folder import RunFolder
from radbench.measuring import ScoredMetric
from radbench.registry import find_metric
from radbench.statistics import Measure

SAMPLES = "samples"


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
    strata: Mapping[str, np.ndarray],
    metrics: Sequence[ScoredMetric],
) -> None:
    """``samples.npz`` ((n,) ids, clusters, strata codes) and one file of rows, state and signature a metric."""
    path = _samples_file(folder, task)
    axes = {f"stratum.{axis}": codes for axis, codes in strata.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, ids=ids, clusters=clusters, **axes)  # type: ignore[arg-type]
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


def load_measures(
    folder: RunFolder, task: str, metrics: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, dict[str, Measure]]:
    """Ids, clusters and measures of a scored task, from ``stats/``."""
    try:
        with np.load(_samples_file(folder, task), allow_pickle=False) as archive:
            ids, clusters = archive["ids"], archive["clusters"]
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
    return ids, clusters, measures
