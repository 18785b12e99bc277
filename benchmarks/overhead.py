"""CPU and memory a text sample costs in radbench, lm-eval and inspect-ai, side by side.

A one-line question, a constant model, exact match, answers and scores on disk. Ratios hold between figures of one run
of this script; seconds depend on the machine. `make bench-peers` installs the peers in `.venv-peers`.

    python benchmarks/overhead.py            # 10,000 samples against the peers, then 1,000,000 of ours
    python benchmarks/overhead.py --no-million
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from run import machine, need_peers, worker

N = 10_000
MILLION = 1_000_000


def ours(folder: Path, n: int, fresh: bool = True) -> dict[str, float]:
    if fresh:
        shutil.rmtree(folder / f"run-{n}", ignore_errors=True)
    return worker(sys.executable, "ours.py", folder, n)


def show(name: str, figures: dict[str, float], n: int) -> None:
    call, whole = figures["call_seconds"], figures["tree_seconds"]
    print(
        f"{name:28} {call / n * 1e6:10.1f} {whole / n * 1e6:12.1f} {figures['peak_mib']:10.0f} {figures['value']:8.3f}"
    )


def against_peers(folder: Path) -> None:
    python = need_peers()
    worker(sys.executable, "ours.py", folder, N, "prepare")
    lm_eval = worker(python, "lm_eval_peer.py", folder, N)
    runs = [ours(folder, N) for _ in range(3)]
    inspect = worker(python, "inspect_peer.py", folder, N)
    runs += [ours(folder, N) for _ in range(2)]
    median = sorted(runs, key=lambda r: r["tree_seconds"])[len(runs) // 2]
    print(f"{N:,} samples              CPU us/sample: call, whole process   peak MiB    value")
    show("radbench (median of 5)", median, N)
    show("lm-eval 0.4.13", lm_eval, N)
    show("inspect-ai (no realtime log)", inspect, N)
    ours_call = statistics.median(r["call_seconds"] for r in runs)
    print(f"radbench: CPU a sample of the call {min(r['call_seconds'] for r in runs) / N * 1e6:.1f} to "
          f"{max(r['call_seconds'] for r in runs) / N * 1e6:.1f} us")  # fmt: skip
    print(f"lm-eval / radbench, call: {lm_eval['call_seconds'] / ours_call:.1f}x "
          f"(without saving its samples: {lm_eval['unsaved_seconds'] / ours_call:.1f}x)")  # fmt: skip
    print(f"inspect-ai / radbench, call: {inspect['call_seconds'] / ours_call:.1f}x")
    print(f"whole process: {lm_eval['tree_seconds'] / median['tree_seconds']:.1f}x and "
          f"{inspect['tree_seconds'] / median['tree_seconds']:.1f}x")  # fmt: skip


def a_million(folder: Path) -> None:
    worker(sys.executable, "ours.py", folder, MILLION, "prepare")
    first = ours(folder, MILLION)
    again = ours(folder, MILLION, fresh=False)
    print(f"\n{MILLION:,} samples: {first['call_seconds']:.1f} s CPU, peak {first['peak_mib']:.0f} MiB")
    print(f"resume: {again['asked']} asked, {again['call_seconds']:.1f} s CPU = "
          f"{again['call_seconds'] / first['call_seconds'] * 100:.1f} % of it, peak {again['peak_mib']:.0f} MiB")  # fmt: skip
    # A run killed after its last answer was written but before it was scored: keys are checked, then everything scored.
    (folder / f"run-{MILLION}" / "stats" / "state.json").unlink()
    scoring = ours(folder, MILLION, fresh=False)
    print(f"resume of a run that was not scored yet: {scoring['asked']} asked, {scoring['call_seconds']:.1f} s CPU, "
          f"of which the answer pass {scoring['answer_pass_seconds']:.1f} s = "
          f"{scoring['answer_pass_seconds'] / first['call_seconds'] * 100:.1f} % of the run")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--no-million", action="store_true")
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="radbench-overhead-") as name:
        if not options.no_peers:
            against_peers(Path(name))
        if not options.no_million:
            a_million(Path(name))


main()
