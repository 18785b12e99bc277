"""The benchmark of comparisons still runs: its figures are not looked at here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

WORKER = Path(__file__).parents[2] / "benchmarks" / "workers" / "pairwise.py"


def test_one_task_of_twenty_models_is_compared() -> None:
    done = subprocess.run([sys.executable, str(WORKER), "1"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["comparisons"] == 190 * 4
