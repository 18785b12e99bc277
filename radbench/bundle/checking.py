"""One verification of a bundle under way: what may be read, what was computed, and the faults found."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from radbench.bundle.files import Fault
from radbench.bundle.schema import Results
from radbench.errors import ConfigError, RadbenchError
from radbench.folder import MANIFEST, RESULTS, RunFolder
from radbench.metrics.base import Metric
from radbench.npz import NpzError, read_npz
from radbench.public import public_spec
from radbench.registry import find_metric
from radbench.scoring import rounded
from radbench.statfiles import stats_file
from radbench.statistics import Clusters, Measure

T = TypeVar("T")
MOST_WORK = 4_000_000_000_000  # resamples x samples x metrics of tasks and subgroups: an hour or so
SORTED = 100  # what a metric that is no function of sums takes, in additive ones


def local_metric(spec: str) -> Metric:
    """An installed metric, of a spec that names no file of this machine. Raises :class:`ConfigError`."""
    if public_spec(spec) != spec:
        raise ConfigError(f"the metric '{spec}' names a path")
    return find_metric(spec)


@dataclass(frozen=True, slots=True)
class Rows:
    """The statistics of an open task."""

    names: np.ndarray
    clusters: Clusters
    axes: Mapping[str, tuple[list[str], np.ndarray]]
    measures: Mapping[str, Measure]


@dataclass(slots=True)
class Check:
    """One verification under way: ``readable`` files may be opened, ``used`` ones belong to a result.

    ``values`` counts the numbers computed anew, ``from_totals`` those of restricted data among them; ``stated`` the
    metrics of restricted data that nothing in the bundle allows to compute. ``work`` counts what resampling touches.
    """

    folder: Path
    readable: set[str]
    results: Results
    faults: list[Fault] = field(default_factory=list)
    values: int = 0
    from_totals: int = 0
    stated: int = 0
    work: int = 0
    used: set[str] = field(default_factory=lambda: {MANIFEST, RESULTS})
    rows: dict[str, Rows] = field(default_factory=dict)

    def arrays(self, name: str, task: str, metric: str = "") -> dict[str, np.ndarray] | None:
        """The arrays of a file; None with a fault where it is not there or cannot be read."""
        self.used.add(name)
        if name not in self.readable:
            self.faults.append(Fault(name, "is missing", task, metric))
            return None
        try:
            return read_npz(self.folder / name)
        except NpzError as error:
            self.faults.append(Fault(name, str(error), task, metric))
            return None

    def metric_file(self, task: str, metric: str) -> str:
        """The name in the bundle of a metric's file."""
        return stats_file(RunFolder(self.folder), task, metric).relative_to(self.folder).as_posix()

    def equal(self, task: str, metric: str, stored: Mapping[str, Any], computed: Mapping[str, Any]) -> None:
        """A fault for every field of an entry that is not what was computed, or that nothing computes."""
        for name, value in rounded(dict(computed)).items():
            self.values += isinstance(value, float)
            if not same(stored.get(name), value):
                self.faults.append(Fault(RESULTS, f"{name} is another", task, metric, stored.get(name), value))
        for name in stored.keys() - computed.keys():
            self.faults.append(
                Fault(RESULTS, f"{name[:80]!r} is nothing that follows from the statistics", task, metric)
            )

    def affordable(self, task: str, samples: int, measures: Iterable[Measure]) -> bool:
        """Whether resampling so much more ends in sensible time; a fault where it does not."""
        weight = sum(1 if measure.metric.additive else SORTED for measure in measures)
        self.work += self.results.resamples * samples * (1 + weight)
        if self.work > MOST_WORK:
            self.faults.append(Fault(RESULTS, f"not computed: more than {MOST_WORK:.0e} resampled scores", task))
        return self.work <= MOST_WORK

    def tried(self, file: str, task: str, metric: str, call: Callable[[], T]) -> T | None:
        """Run a metric, ours or a plug-in's, on numbers of a stranger: whatever it raises becomes a fault."""
        try:
            with np.errstate(all="ignore"):
                return call()
        except RadbenchError as error:
            self.faults.append(Fault(file, f"cannot be computed here: {error.message}", task, metric))
        except Exception as error:  # noqa: BLE001 - whatever a stranger's numbers provoke is a fault of the bundle
            self.faults.append(Fault(file, f"cannot be computed: {type(error).__name__}: {error}", task, metric))
        return None


def same(stored: Any, computed: Any) -> bool:
    """Equality to nine significant digits of numbers, exact of anything else."""
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (stored, computed))
    if numbers and (isinstance(stored, float) or isinstance(computed, float)):
        return math.isclose(stored, computed, rel_tol=1e-9, abs_tol=1e-12)
    return type(stored) is type(computed) and bool(stored == computed)
