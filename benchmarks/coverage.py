"""How often the 95 % intervals cover the truth: simulated patients, the real metrics, the real engine.

    python benchmarks/coverage.py [--simulations 4000] [--only WORDS]

Populations are made up (workers/sim_pools.py), so the truth is known. Each simulation draws its own patients; ten of
them share a stream of resamples, which saves most of the time. Accuracy of single samples is a step function of few
counts, so that its coverage jumps with the true rate: it is also computed exactly over every rate.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported: two processes, two cores

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "workers"))
from run import machine
from sim_pools import POPULATIONS, TOGETHER, alone, by_cell, population

from radbench.statistics import edge_interval, estimate

METRICS = ("accuracy .70", "macro-F1, 4 classes", "corpus BLEU-4", "Dice", "mask IoU", "mean box IoU")


@dataclass(frozen=True, slots=True)
class Cell:
    """One population sampled in one way: ``clusters`` patients of ``size`` cases."""

    population: str
    clusters: int
    size: int = 1
    ignored: bool = False  # the interval takes every sample for a patient of its own


PROMISED = [
    *(Cell(name, 100) for name in METRICS),
    *(Cell(name, 100, 4) for name in METRICS),
    *(Cell(name, 300) for name in METRICS),
    Cell("accuracy .90", 200),
    Cell("accuracy .90", 100, 4),
    Cell("accuracy .95", 400),
    Cell("macro-F1, rare class .20", 100),
    Cell("macro-F1, rare class .10", 200),
    Cell("macro-F1, rare class .05", 400),
]
UNCLUSTERED = [Cell(name, 100, 4, True) for name in (*METRICS, "accuracy .90")]
SMALL = [
    *(Cell(name, clusters, size) for name in METRICS for clusters in (20, 50) for size in (1, 4)),
    *(Cell("accuracy .90", clusters) for clusters in (20, 50, 100)),
    *(Cell("accuracy .95", clusters) for clusters in (50, 100, 200)),
    *(Cell("accuracy .98", clusters) for clusters in (50, 100, 200)),
    *(Cell(f"macro-F1, rare class .{share}", 100) for share in ("10", "05", "03")),
]
SECTIONS = {
    "at least 100 patients and 20 samples expected of each class, right and wrong: 93 to 97 % are promised": PROMISED,
    "the same patients of 4 cases, ICC .3, taken for 400 independent ones: must fail": UNCLUSTERED,
    "fewer than 100 patients, or than 20 samples of a class, right or wrong": SMALL,
}


def batch(cell: Cell, number: int) -> tuple[float, ...]:
    """Ten simulations: how often the truth lies below and above the interval, the sum of widths."""
    drawn = population(cell.population)
    samples = [drawn.sample(np.random.default_rng([number, i]), cell.clusters, cell.size) for i in range(TOGETHER)]
    clusters = alone(samples[0][2]) if cell.ignored else samples[0][2]
    found = estimate({i: a for i, (a, _, _) in enumerate(samples)}, clusters, seed=number).values()
    below, above = sum(drawn.truth < e.low for e in found), sum(drawn.truth > e.high for e in found)
    return below, above, sum(e.high - e.low for e in found)


def line(cell: Cell, n: int, sums: np.ndarray) -> str:
    below, above, width = sums / n
    covered = 1 - below - above
    error = float(np.sqrt(covered * (1 - covered) / n))
    return (
        f"  {cell.population:<26}{cell.clusters:>5} x {cell.size}  {population(cell.population).truth:6.3f}  {width:.3f}"
        f"  {100 * covered:5.1f} ± {100 * error:.1f}  {100 * below:5.1f} /{100 * above:5.1f}"
        f"  {'yes' if 0.93 <= covered <= 0.97 else 'NO'}"
    )


def exact(n: int) -> str:
    """Coverage of the accuracy of n single samples with infinitely many resamples, over every true rate from .5."""
    from scipy.stats import binom

    right = np.arange(n + 1)
    low, high = (binom.ppf(q, n, right / n) / n for q in (0.025, 0.975))
    for end in (0, n):
        low[end], high[end] = edge_interval(end / n, n, (0.0, 1.0))
    parts = []
    for least, most in ((20, n / 2), (10, 20), (5, 10), (0, 5)):  # expected wrong answers
        rates = 1 - np.linspace(least, most, 202)[1:-1] / n
        covered = np.array([binom.pmf(right, n, p)[(low <= p) & (p <= high)].sum() for p in rates])
        inside = ((covered >= 0.93) & (covered <= 0.97)).mean()
        parts.append(f"{100 * covered.min():5.1f} {100 * covered.mean():5.1f} {100 * inside:4.0f} %")
    return f"  {n:>5}    " + "    ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--simulations", type=int, default=4000, help="a cell; 2,000 or more for the record")
    parser.add_argument("--only", default="", help="cells whose population has these words")
    options = parser.parse_args()
    print(machine(), f"- {options.simulations:,} simulations a cell, 1,000 resamples each, nominal 95 %")
    for name in POPULATIONS:
        if options.only in name:
            population(name)  # once, before the processes are forked
    for title, cells in SECTIONS.items():
        chosen = [cell for cell in cells if options.only in cell.population]
        print(f"\n{title}\n  {'population':<26}patients x n   truth  width  covered %   truth below/above %  93-97")
        for cell, n, sums in by_cell(batch, chosen, options.simulations):
            print(line(cell, n, sums), flush=True)
    print("\naccuracy of n single samples, exact: least and mean coverage %, share of true rates with 93-97 %,")
    print("by expected wrong answers")
    print("      n    20 or more             10 to 20               5 to 10                fewer than 5")
    for n in (100, 200, 300, 500, 1000):
        print(exact(n))


if __name__ == "__main__":
    main()
