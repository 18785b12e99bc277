"""112,256 samples x 10 metrics of 9 columns: the engine beside drawing the same resamples with rng.integers."""

from __future__ import annotations

import json
import os
import resource
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported: the figure is for one thread

import numpy as np

from radbench.statistics import Clusters, Measure, draw

N, METRICS, RESAMPLES = 112_256, 10, 1000  # RadBench's disease diagnosis is that large


class Nine:
    """A ratio of sums over nine columns of real numbers: nothing about the rows can be summarised beforehand."""

    additive = True

    def reduce(self, sums: np.ndarray, state: object) -> np.ndarray:
        return sums[..., :8].sum(axis=-1) / sums[..., 8]

    def value(self, rows: np.ndarray, weights: np.ndarray, state: object) -> np.ndarray:
        return self.reduce(weights @ rows, state)


def main() -> None:
    rng = np.random.default_rng(0)
    start = time.process_time()
    for _ in range(RESAMPLES):
        rng.integers(N, size=N)
    integers_seconds = time.process_time() - start
    clusters = Clusters(np.arange(N), N, ((0, N),))
    measures = [Measure(Nine(), (), rng.random((N, 9))) for _ in range(METRICS)]
    start = time.process_time()
    draw(measures, clusters, RESAMPLES, 0)
    engine_seconds = time.process_time() - start
    print(
        json.dumps(
            {
                "samples": N,
                "columns": METRICS * 9,
                "integers_seconds": integers_seconds,
                "engine_seconds": engine_seconds,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


main()
