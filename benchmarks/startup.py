"""CPU of `radbench --help`, `--version` and `list` beside lm-eval's `--help` and `ls tasks`.

python benchmarks/startup.py             # needs `make bench-peers`; runs the installed `radbench` of this Python
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from run import command_seconds, machine, need_peers


def median(command: list[str], runs: int) -> float:
    command_seconds(command)  # warm the file cache
    return statistics.median(command_seconds(command)[0] for _ in range(runs))


def main() -> None:
    peer = need_peers().parent / "lm-eval"
    radbench = Path(sys.executable).parent / "radbench"
    print(machine())
    peer_help = median([str(peer), "--help"], 5)
    peer_list = median([str(peer), "ls", "tasks"], 1)
    rows = [
        ("--help", peer_help, "lm-eval --help"),
        ("--version", peer_help, "lm-eval --help"),
        ("list", peer_list, "lm-eval ls tasks"),
    ]
    for argument, peer_seconds, name in rows:
        ours = median([str(radbench), argument], 9)
        print(
            f"radbench {argument:10} {ours * 1000:7.0f} ms CPU; {name} {peer_seconds:6.2f} s: {peer_seconds / ours:6.1f}x"
        )


main()
