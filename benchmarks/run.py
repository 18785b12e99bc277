"""What the benchmarks share: running a worker as a process, machine facts, medians."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"


def need_peers() -> Path:
    if not PEERS.exists():
        sys.exit("the peers are not installed; run: make bench-peers")
    return PEERS


def machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"


def worker(python: Path | str, script: str, *arguments: object) -> dict[str, Any]:
    """Run a worker and return the JSON object it prints last. CPU of the whole process tree is added as ``tree_seconds``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [str(python), str(HERE / "workers" / script), *map(str, arguments)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}  # the peers' own switches
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        sys.exit(f"{script} failed:\n{done.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    tree = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else {}
    return {**found, "tree_seconds": tree}


def command_seconds(command: list[str]) -> tuple[float, float]:
    """CPU (user + system, children included) and wall seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall
