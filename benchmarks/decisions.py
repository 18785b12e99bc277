"""How often decisions are wrong: ``radbench compare`` on equal models, ``radbench check`` at its margin, and the power
that ``radbench power`` promises.

    python benchmarks/decisions.py [--simulations 5000] [--only WORDS]

Two made-up models answer the same simulated patients (workers/sim_pools.py); the true difference of their metrics is
known exactly. The metrics, the resampling, the test, the gate's rule and the sample sizes are radbench's own. Ten
simulations share a stream of resamples; where a pilot decides the sample size, also the pilot.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported: two processes, two cores

import numpy as np
from radbench.metrics.labels.classification import Accuracy

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "workers"))
from run import machine
from sim_pools import CASES, POPULATIONS, TOGETHER, Population, by_cell, population

from radbench.analysis.inference import difference
from radbench.analysis.power import clusters_needed, spread, variance_of_difference
from radbench.gate.rule import gain_of, verdict_of
from radbench.statistics import LEVEL, Clusters, Floats, Measure, draw, point

METRICS = ("accuracy .70", "macro-F1, 4 classes", "corpus BLEU-4")
CHANGED = {  # shares of the answers that were lost and won
    "1 % lost": (0.01, 0.0),
    "1.25 % lost, .25 won": (0.0125, 0.0025),
    "2 % lost, 1 won": (0.02, 0.01),
    "5 % lost, 4 won": (0.05, 0.04),
}
PILOT = 200
ALPHA, POWER = 0.05, 0.8


@dataclass(frozen=True, slots=True)
class Cell:
    """``run`` against ``base`` on ``clusters`` patients of ``size`` cases; 0 clusters: as many as a pilot asks for."""

    population: str
    clusters: int
    size: int = 1
    truth: Literal["equal", "worse"] = "equal"
    margin: float = 0.0  # of the true drop, or the margin itself where the models are equal
    alone: bool = False  # the pilot is one run, the correlation of errors is given


DESIGNS = ((100, 1), (200, 1), (100, 4), (200, 4))
FEW_CHANGED = [Cell(name, n, 1, "worse", 1.0) for name in CHANGED for n in (20, 105, 200, 301, 1000)]
FALSE_POSITIVES = [Cell(name, *design) for name in METRICS for design in DESIGNS]
AT_MARGIN = [Cell(name, *d, "worse", 1.0) for name in METRICS for d in DESIGNS]
TWICE = [Cell(name, *d, "worse", 0.5) for name in METRICS for d in ((400, 1), (1000, 1), (200, 4), (400, 4))]
TOO_FEW = [Cell(name, *d, "worse", 0.5) for name in METRICS for d in ((100, 1), (200, 1))]
UNCHANGED = [Cell(name, 0, size, "equal", 0.04) for name in METRICS for size in (1, 4)]
PLANTED = [
    *(Cell(name, 0, size, "worse") for name in METRICS for size in (1, 4)),
    Cell("accuracy .70", 0, 1, "worse", alone=True),
    Cell("accuracy .70", 0, 4, "worse", alone=True),
]


@cache
def models(cell: Cell) -> Population:
    """Row ``a`` of the population is the run, row ``b`` the baseline."""
    if cell.population in CHANGED:
        return changed(*CHANGED[cell.population])
    found = population(cell.population)
    return found.equal() if cell.truth == "equal" else found.exchanged()


def changed(lost: float, won: float) -> Population:
    """A run that lost these shares of its baseline's right answers, and won others: all else is right as before."""
    run, base = np.ones((CASES, 2)), np.ones((CASES, 2))
    losses, wins = round(lost * CASES), round(won * CASES)
    run[:losses, 0] = base[losses : losses + wins, 0] = 0.0
    return Population(Accuracy(), (), run, base)


def simulated(cell: Cell, number: int, clusters: int) -> tuple[list[tuple[Measure, Measure]], Clusters, Floats]:
    """Ten samples of patients: both models' measures, the clusters, (20, resamples) draws."""
    drawn = models(cell)
    samples = [drawn.sample(np.random.default_rng([1, number, i]), clusters, cell.size) for i in range(TOGETHER)]
    pairs = [(a, b) for a, b, _ in samples]
    return pairs, samples[0][2], draw([m for both in pairs for m in both], samples[0][2], seed=number)


def asked_for(cell: Cell, number: int) -> int:
    """Clusters that ``radbench power`` asks for after a pilot of 200."""
    drawn = models(cell)
    a, b, clusters = drawn.sample(np.random.default_rng([2, number]), PILOT, cell.size)
    own, other = draw([a, b], clusters, seed=number)
    if cell.alone:
        variance = variance_of_difference(PILOT * spread(own) ** 2, errors_alike(cell.population))
    else:
        variance = PILOT * spread(own - other) ** 2
    if cell.truth == "equal":
        return clusters_needed(variance, cell.margin, 1 - LEVEL, POWER)
    return clusters_needed(variance, drawn.drop, ALPHA, POWER)


@cache
def errors_alike(name: str) -> float:
    """Correlation of the two models' errors over all cases."""
    found = population(name)
    return float(np.corrcoef(found.a[:, 0], found.b[:, 0])[0, 1])


def compared(cell: Cell, number: int) -> tuple[float, ...]:
    """Ten comparisons: how many p below alpha, how many intervals without 0, clusters."""
    clusters = cell.clusters or asked_for(cell, number)
    pairs, _, draws = simulated(cell, number, clusters)
    found = [difference(point(a), point(b), *draws[2 * i : 2 * i + 2]) for i, (a, b) in enumerate(pairs)]
    return sum(f.p < ALPHA for f in found), sum(not f.low <= 0 <= f.high for f in found), clusters * TOGETHER


def checked(cell: Cell, number: int) -> tuple[float, ...]:
    """Ten checks: how many pass, how many are regressions, clusters."""
    clusters = cell.clusters or asked_for(cell, number)
    margin = cell.margin if cell.truth == "equal" else cell.margin * -models(cell).drop
    pairs, codes, draws = simulated(cell, number, clusters)
    verdicts = []
    for i, (run, base) in enumerate(pairs):
        gain = gain_of(run, base, "higher", (draws[2 * i], draws[2 * i + 1]), codes)
        verdicts.append(verdict_of(gain, margin))
    return verdicts.count("pass"), verdicts.count("regression"), clusters * TOGETHER


def shares(first: float, second: float, n: int) -> str:
    rate = first / n
    return f"{100 * rate:6.2f} ± {100 * float(np.sqrt(rate * (1 - rate) / n)):.2f}      {100 * second / n:6.2f}    "


Batch = Callable[[Cell, int], tuple[float, ...]]
SECTIONS: dict[str, tuple[Batch, list[Cell], tuple[str, str], tuple[float, float]]] = {
    "compare on equal models: 4 to 6 % of p below .05": (
        compared, FALSE_POSITIVES, ("p < .05 %", "interval without 0 %"), (4.0, 6.0)),
    "check at a true change of exactly -margin: 2 to 6 % pass": (
        checked, AT_MARGIN, ("pass %", "regression %"), (2.0, 6.0)),
    "the same where few answers change, margin .01: at most 6 % pass": (
        checked, FEW_CHANGED, ("pass %", "regression %"), (0.0, 6.0)),
    "check at twice the margin: at most 1 % pass": (checked, TWICE, ("pass %", "regression %"), (0.0, 1.0)),
    "the same with so few patients that the margin is a fraction of the standard error: below 2.5 % pass": (
        checked, TOO_FEW, ("pass %", "regression %"), (0.0, 2.5)),
    "check of an unchanged model, margin .04, as many patients as radbench power --margin says for 80 %": (
        checked, UNCHANGED, ("pass %", "regression %"), (76.0, 84.0)),
    "compare with a planted drop, as many patients as radbench power says for 80 %": (
        compared, PLANTED, ("p < .05 %", "interval without 0 %"), (76.0, 84.0)),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--simulations", type=int, default=4000, help="a cell; 4,000 or more for the record")
    parser.add_argument("--only", default="", help="cells whose population has these words")
    options = parser.parse_args()
    print(
        machine(),
        f"- {options.simulations:,} simulations a cell, of equal models 3 times as many, 1,000 resamples each",
    )
    for name in POPULATIONS:
        if options.only in name and name in METRICS:
            population(name)  # once, before the processes are forked
    for title, (batch, cells, heads, (least, most)) in SECTIONS.items():
        chosen = [cell for cell in cells if options.only in cell.population]
        print(f"\n{title}\n  {'population':<22}patients x n   drop   {heads[0]:<18}{heads[1]:<22}in {least:g}-{most:g}")
        simulations = options.simulations * (3 if cells is FALSE_POSITIVES else 1)  # a narrow band
        for cell, n, (first, second, clusters) in by_cell(batch, chosen, simulations):
            inside = least <= 100 * first / n <= most
            drop = 0.0 if cell.truth == "equal" else -models(cell).drop
            one = " from one run, correlation given" if cell.alone else ""
            print(
                f"  {cell.population:<22}{clusters / n:>6.0f} x {cell.size}  {drop:6.3f}  {shares(first, second, n)}"
                f"      {'yes' if inside else 'NO'}{one}",
                flush=True,
            )


if __name__ == "__main__":
    main()
