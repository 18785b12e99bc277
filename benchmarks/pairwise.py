"""All pairs of many models compared, against the floor of drawing the resamples.

python benchmarks/pairwise.py [--tasks 50]
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
    parser.add_argument("--tasks", type=int, default=50)
    options = parser.parse_args()
    print(machine(), "- one BLAS thread, CPU time")
    found = worker(sys.executable, "pairwise.py", options.tasks)
    models = found["models"]
    size = f"{found['samples']:,} samples, {found['columns']} columns a task and model"
    print(f"\n{models} models x {found['tasks']} tasks x {size}, 1,000 resamples")
    print(f"  {models * (models - 1) // 2} pairs, {found['comparisons']:,} intervals and p values")
    drawn, compared = found["integers_seconds"], found["compare_seconds"]
    print(f"  rng.integers drawing the resamples: {drawn:.2f} s; all pairs compared: {compared:.2f} s"
          f" = {compared / drawn:.2f}x; peak {found['peak_mib']:.0f} MiB")  # fmt: skip
    print(json.dumps(found), file=sys.stderr)


main()
