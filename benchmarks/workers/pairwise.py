"""20 models on tasks of 10,000 samples, 4 metrics of 3 columns: all pairs compared beside drawing the resamples."""

from __future__ import annotations

import json
import os
import resource
import sys
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported: the figure is for one thread

import numpy as np

from radbench.analysis.inference import pairwise
from radbench.analysis.pairing import Paired, paired_draws
from radbench.statistics import Clusters, Measure, point

N, MODELS, METRICS, RESAMPLES = 10_000, 20, 4, 1000


class Three:
    """A ratio of sums over three columns of real numbers: nothing about the rows can be summarised beforehand."""

    additive = True

    def reduce(self, sums: np.ndarray, state: object) -> np.ndarray:
        return (sums[..., 0] + sums[..., 1]) / sums[..., 2]

    def value(self, rows: np.ndarray, weights: np.ndarray, state: object) -> np.ndarray:
        return self.reduce(weights @ rows, state)

    def scale(self) -> None:
        return None


def one_task(rng: np.random.Generator) -> Paired:
    measures = tuple(
        {str(name): Measure(Three(), (), rng.random((N, 3))) for name in range(METRICS)} for _ in range(MODELS)
    )
    clusters = Clusters(np.arange(N), N, ((0, N),))
    return Paired(np.arange(N).astype(bytes), clusters, {}, measures, (0,) * MODELS, (0,) * MODELS, False)


def compared(paired: Paired, seed: int) -> int:
    """All pairs of every metric, as ``radbench compare`` makes them; how many comparisons they are."""
    draws = paired_draws(paired, RESAMPLES, seed)
    count, pairs = 0, MODELS * (MODELS - 1) // 2
    for name in paired.measures[0]:
        values = np.array([point(own[name]) for own in paired.measures])
        count += len(pairwise(values, np.stack([own[name] for own in draws]), clusters=[N] * pairs).p)
    return count


def main() -> None:
    tasks = int(sys.argv[1])
    rng = np.random.default_rng(0)
    integers_seconds = compare_seconds = 0.0
    comparisons = 0
    for task in range(tasks):
        drawing = np.random.default_rng(task)
        start = time.process_time()
        for _ in range(RESAMPLES):
            drawing.integers(N, size=N)
        integers_seconds += time.process_time() - start
        paired = one_task(rng)
        start = time.process_time()
        comparisons += compared(paired, task)
        compare_seconds += time.process_time() - start
    print(
        json.dumps(
            {
                "tasks": tasks,
                "models": MODELS,
                "samples": N,
                "columns": METRICS * 3,
                "comparisons": comparisons,
                "integers_seconds": integers_seconds,
                "compare_seconds": compare_seconds,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


main()
