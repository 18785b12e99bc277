"""A cluster of Ray: begun on this machine or joined, and how many workers it takes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger("radbench")

WORKERS = 2  # where there is no GPU
OBJECT_STORE = 80 * 2**20  # bytes, near Ray's least: nothing of ours goes through it


def start_here(ray: Any, workers: int | None) -> None:
    """A Ray of this machine alone: no dashboard, no worker's output on the terminal."""
    ray.init(
        "local",
        num_cpus=max(os.cpu_count() or 1, workers or WORKERS),  # workers that wait for a server need no core
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=OBJECT_STORE,
    )
    address = ray.nodes()[0]["NodeManagerAddress"]
    if not address.startswith("127."):
        log.warning("Ray was imported before this run and listens on %s, not on this machine alone", address)


@contextmanager
def loopback_and_silent(here: bool) -> Iterator[None]:
    """Ray's own switches while it starts, and the environment as it was afterwards.

    It sends no usage statistics, and a cluster of one machine listens on 127.0.0.1 (as it does by default on macOS).
    """
    switches = {"RAY_USAGE_STATS_ENABLED": "0"} | ({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if here else {})
    before = {name: os.environ.get(name) for name in switches}
    os.environ.update(switches)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def own_paths() -> tuple[str, ...]:
    """The entries of the import path that are not the interpreter's own: where the user's modules lie."""
    return tuple(p for p in map(os.path.abspath, sys.path) if not p.startswith((sys.prefix, sys.base_prefix)))
