"""Corpus BLEU-4 of 3,000 reports: 20 resamples recomputed by sacreBLEU, 1,000 by the engine."""

from __future__ import annotations

import json
import os
import random
import sys
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported: the figure is for one thread

from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from openi import findings
from radbench.metrics.text.bleu import Bleu
from sacrebleu.metrics import BLEU

from radbench.records import Prediction, Text
from radbench.statistics import Clusters, Measure, draw, resample_counts

N, NAIVE, SEED = 3000, 20, 0


def main() -> None:
    texts, source = findings(Path(sys.argv[1]))
    references = texts[:N]
    shuffled = references[:]
    random.Random(1).shuffle(shuffled)
    hypotheses = [h if i % 2 else r for i, (h, r) in enumerate(zip(shuffled, references, strict=True))]
    metric = Bleu()
    start = time.process_time()
    rows = metric.rows([Prediction(h) for h in hypotheses], [Text((r,)) for r in references], ())
    rows_seconds = time.process_time() - start
    clusters = Clusters(np.arange(len(rows)), len(rows), ((0, len(rows)),))
    measure = Measure(metric, (), rows)
    draw([measure], clusters, 10, SEED)
    start = time.process_time()
    draws = draw([measure], clusters, 1000, SEED)[0]
    engine_seconds = time.process_time() - start

    original = BLEU(smooth_method="none")
    _, counts = next(resample_counts(clusters, NAIVE, SEED))
    naive, start = [], time.process_time()
    for row in counts:
        chosen = np.repeat(np.arange(len(rows)), row.astype(int))
        naive.append(
            original.corpus_score([hypotheses[i] for i in chosen], [[references[i] for i in chosen]]).score / 100
        )
    naive_seconds = (time.process_time() - start) / NAIVE
    print(
        json.dumps(
            {
                "reports": len(rows),
                "source": source,
                "naive_seconds": naive_seconds,
                "rows_seconds": rows_seconds,
                "engine_seconds": engine_seconds,
                "difference": float(np.abs(draws[:NAIVE] - naive).max()),
            }
        )
    )


main()
