"""How much a score moves when the same model is asked the same again: a run repeated with several draws a request.

A sampling model, or a server that batches requests as they come, gives other answers on other days. The standard
deviation between draws says how large a difference of two runs on the same samples is nothing at all. It has two parts:

- what each sample's answer does on its own. It shrinks with the number of samples, and intervals and tests of
  ``radbench compare`` and ``radbench check``, which draw patients anew, hold it already;
- what all answers of a draw have in common: another version behind the same name, another day's server. No number of
  samples shows it to a bootstrap, so ``radbench check`` adds it.

To tell them apart the draws of every sample are permuted: that leaves each sample's own noise and takes apart what was
common to a draw. The variance that is left, on average over permutations, is the first part, the rest the second. The rest
is an estimate from few draws: without anything in common it is 0 in about half of the cases, else some share of the whole.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radbench import api
from radbench.analysis.pairing import ScoredRun, by_draw
from radbench.errors import ConfigError, DataError, ResumeError
from radbench.folder import RunFolder, Shard
from radbench.plan import RunConfig
from radbench.progress import Silent
from radbench.runner import Progress
from radbench.statistics import Floats, Measure, point

PERMUTATIONS = 100


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
    (standard deviation with n - 1, in the metric's units), its parts ``independent`` (from sample to sample) and ``shared``
    (by all answers of a draw), both 0 or more, ``low`` and ``high`` (the extremes), ``draws`` (how many), ``n`` (samples)
    and ``left_out`` (samples of which a draw has no answer: those do not count). nan where a draw has no value.
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


def _spread(measure: Measure, positions: NDArray[np.intp]) -> dict[str, Any]:
    values = _values(measure, positions)
    sd, independent = _sd(values), _independent(measure, positions)
    return {
        "values": values.tolist(),
        "mean": _mean(values),
        "sd": sd,
        "independent": independent,
        "shared": float(np.sqrt(np.maximum(0.0, sd**2 - independent**2))),
        "low": float(values.min()),
        "high": float(values.max()),
        "draws": positions.shape[1],
        "n": len(positions),
    }


def _values(measure: Measure, positions: NDArray[np.intp]) -> Floats:
    """(draws,) values of (samples, draws) rows."""
    return np.array([point(Measure(measure.metric, measure.state, measure.rows[own])) for own in positions.T])


def _independent(measure: Measure, positions: NDArray[np.intp]) -> float:
    """Standard deviation between draws once those of every sample are permuted, root of the mean variance."""
    if all(np.array_equal(measure.rows[own], measure.rows[positions[:, 0]], equal_nan=True) for own in positions.T):
        return 0.0
    rng = np.random.default_rng(0)
    permuted = (_values(measure, rng.permuted(positions, axis=1)) for _ in range(PERMUTATIONS))
    variances = np.array([_sd(values) ** 2 for values in permuted])
    defined = variances[~np.isnan(variances)]
    return float(np.sqrt(defined.mean())) if len(defined) else float("nan")


def _mean(values: Floats) -> float:
    """Equal values are their own mean, which a sum may miss by the last digit."""
    return float(values[0] if np.ptp(values) == 0 else values.mean())


def _sd(values: Floats) -> float:
    return 0.0 if np.ptp(values) == 0 else float(values.std(ddof=1))
