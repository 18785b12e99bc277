"""Changing a task's prompt, parser or data rule without raising its version fails here.

After raising a version: ``python tests/tasks/test_versions.py SHARED`` writes the new hashes.
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from radbench.registry import all_tasks
from radbench.task import DataLocations, Renderer, Task

STORED = Path(__file__).with_name("task_hashes.json")


def rendered_hash(task: Task, shared: Path) -> str:
    """A hash of the first three rendered requests, pictures by file name, and of parser, metrics and targets."""
    reader = task.dataset.open(DataLocations(shared))
    renderer = Renderer(task, 0, b"")
    digest = sha256(f"{task.version} {task.describe()}".encode())
    for _, sample in zip(range(3), reader.samples(task.split), strict=False):
        request = renderer.render(sample)
        parts = [
            p if isinstance(p, str) else f"{Path(p.path).name} {p.member} {p.frame}"
            for m in request.messages
            for p in m.content
        ]
        target = sample.targets[task.target]
        shown = "mask" if task.form == "mask" else str(target)
        digest.update(json.dumps([sample.id, sample.cluster, parts, request.choices, shown]).encode())
    return f"{task.version}:{digest.hexdigest()[:16]}"


@pytest.mark.parametrize("name", sorted(all_tasks()))
def test_a_task_is_what_its_version_says(name: str, request: pytest.FixtureRequest) -> None:
    task = all_tasks()[name]
    folder = request.getfixturevalue("shared") if task.dataset.folder else Path()
    stored = json.loads(STORED.read_text())
    assert stored.get(name) == rendered_hash(task, folder), f"raise the version of '{name}', then write the new hash"


if __name__ == "__main__":
    STORED.write_text(
        json.dumps({n: rendered_hash(t, Path(sys.argv[1]) / "data") for n, t in sorted(all_tasks().items())}, indent=1)
        + "\n"
    )
