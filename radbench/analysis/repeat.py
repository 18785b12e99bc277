"""How much a score moves when the same model is asked the same again: a run repeated with several draws a request.

A sampling model, or a server that batches requests as they come, gives other answers on other days. The standard
deviation between draws says how large a difference of two runs is nothing at all; the interval of a single run, which is
about the choice of patients, does not hold it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radbench import api
from radbench.analysis.pairing import ScoredRun
from radbench.errors import ConfigError, DataError, ResumeError
from radbench.folder import RunFolder, Shard
from radbench.plan import RunConfig
from radbench.progress import Silent
from radbench.runner import Progress
from radbench.statistics import Floats, Measure, point


def default_out(path: Path) -> Path:
    """Where the repetition of a run goes: ``RUN-repeat`` beside it."""
    place = path if path.name not in ("", "..") else path.resolve()
    return place.with_name(f"{place.name}-repeat")


def repeat(path: Path, times: int, out: Path | None = None, progress: Progress | None = None) -> api.Evaluation:
    """Run a run's configuration again with ``times`` draws of every request, into ``out`` (default ``RUN-repeat``).

    The number of a draw is part of a request's key, so each is really asked again; a repetition that was interrupted goes
    on. Raises :class:`ConfigError` where the run's model cannot be made from its manifest or gives what a file holds, and
    :class:`ResumeError` where model, data or task versions are no longer those of the run.
    """
    if times < 2:
        raise ConfigError(f"--times is {times}: a spread needs at least 2 draws", remedy="--times 5")
    folder = RunFolder(path)
    config = RunConfig.from_dict(folder.manifest["config"])
    if config.model.startswith("python:"):
        raise ConfigError(
            f"{path} was made with a Python object as its model ({config.model}), which its manifest cannot bring back",
            remedy=f"call radbench.evaluate with the same model, draws={times} and another out, then"
            " radbench.analysis.repeat.rerun_noise(out)",
        )
    if config.model.startswith("replay:"):
        raise ConfigError(
            f"{path} holds predictions of a file ({config.model}): asking the file again gives the same ones",
            remedy="repeat the model that wrote them; predictions with a 'draw' run with: radbench run --draws N",
        )
    target = default_out(path) if out is None else out
    evaluation = api.run(replace(config, draws=times), target, Shard(), progress or Silent())
    _check_same(folder, RunFolder(target))
    return evaluation


def _check_same(run: RunFolder, again: RunFolder) -> None:
    """Raise :class:`ResumeError` where the repetition is of other work: its spread would say nothing about the run.

    The digest of the support split also holds where its pictures lie, so the run's own is taken: the data have theirs.
    """
    before, now = run.manifest["identity"], again.manifest["identity"]
    tasks = {
        name: {**task, "support_digest": before["tasks"].get(name, {}).get("support_digest")}
        for name, task in now["tasks"].items()
    }
    try:
        run.check({**now, "tasks": tasks, "draws": before["draws"]})
    except ResumeError as error:
        raise ResumeError(
            f"{again.path} is no repetition: {error.message}",
            remedy=f"bring back model, data and radbench of {run.path}, or make that run anew and repeat the new one",
        ) from None


def rerun_noise(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Task -> metric -> how its value moves between the draws of a run that was made with at least two.

    Each entry has ``values`` (the value of the first draw of every sample, of the second ...), their ``mean``, ``sd``
    (standard deviation with n - 1, in the metric's units), ``low`` and ``high`` (the extremes), ``draws`` (how many), ``n``
    (samples) and ``left_out`` (samples of which a draw has no answer: those do not count). nan where a draw has no value.
    Raises :class:`DataError` where the run has a single draw or no sample with all of them.
    """
    run = ScoredRun(path)
    draws = int(run.manifest["config"]["draws"])
    if draws < 2:
        raise DataError(
            f"{path} asked every request once: it says nothing about reruns", remedy=f"radbench repeat {path} --times 5"
        )
    found = {}
    for task in run.results["tasks"]:
        statistics = run.statistics(task)
        positions, left_out = by_draw(statistics.ids, draws)
        if not len(positions):
            raise DataError(
                f"{path}: no sample of task '{task}' has all {draws} draws answered", remedy=f"radbench resume {path}"
            )
        found[task] = {
            name: _spread(measure, positions) | {"left_out": left_out} for name, measure in statistics.measures.items()
        }
    return found


def by_draw(ids: NDArray[np.bytes_], draws: int) -> tuple[NDArray[np.intp], int]:
    """(samples, draws) rows of the samples that have every draw, and how many samples lack one.

    Rows lie in the order of draws; where one is missing, it cannot be told which, so the sample is left out.
    """
    names, first, codes = np.unique(ids, return_index=True, return_inverse=True)
    whole = np.bincount(codes.ravel(), minlength=len(names)) == draws
    order = np.argsort(codes.ravel(), kind="stable")
    positions = order[whole[codes.ravel()[order]]].reshape(-1, draws)
    return positions[np.argsort(first[whole], kind="stable")], int((~whole).sum())


def _spread(measure: Measure, positions: NDArray[np.intp]) -> dict[str, Any]:
    values = np.array([point(Measure(measure.metric, measure.state, measure.rows[own])) for own in positions.T])
    return {
        "values": values.tolist(),
        "mean": _mean(values),
        "sd": _sd(values),
        "low": float(values.min()),
        "high": float(values.max()),
        "draws": positions.shape[1],
        "n": len(positions),
    }


def _mean(values: Floats) -> float:
    """Equal values are their own mean, which a sum may miss by the last digit."""
    return float(values[0] if np.ptp(values) == 0 else values.mean())


def _sd(values: Floats) -> float:
    return 0.0 if np.ptp(values) == 0 else float(values.std(ddof=1))
