"""The statistics engine against recomputing, and against the floor of drawing the resamples.

    python benchmarks/bootstrap.py [--shared ../shared]

Reports are the findings of Open-i where the shared folder has them, else made-up words of the same lengths.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from run import machine, worker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    options = parser.parse_args()
    print(machine(), "- one BLAS thread")
    bleu = worker(sys.executable, "bootstrap_bleu.py", options.shared)
    print(f"\ncorpus BLEU-4, {bleu['reports']:,} {bleu['source']}, 1,000 resamples")
    naive = bleu["naive_seconds"] * 1000
    print(f"  recomputing with sacreBLEU: {naive / 1000:.2f} s a resample (mean of 20), so {naive:.0f} s")
    print(f"  radbench, from its rows: {bleu['engine_seconds']:.4f} s -> {naive / bleu['engine_seconds']:,.0f}x")
    whole = bleu["engine_seconds"] + bleu["rows_seconds"]
    print(f"  with the rows computed once ({bleu['rows_seconds']:.2f} s): {bleu['naive_seconds'] * 1000 / whole:,.0f}x")
    print(f"  largest difference of a value over the 20 resamples: {bleu['difference']:.1e}")
    wide = worker(sys.executable, "bootstrap_wide.py")
    print(f"\n{wide['samples']:,} samples x 10 metrics (90 columns), 1,000 resamples")
    print(f"  rng.integers drawing them: {wide['integers_seconds']:.3f} s; radbench: {wide['engine_seconds']:.3f} s"
          f" = {wide['engine_seconds'] / wide['integers_seconds']:.2f}x; peak {wide['peak_mib']:.0f} MiB")  # fmt: skip
    print(json.dumps({"bleu": bleu, "wide": wide}), file=sys.stderr)


main()
