"""Changing a task's prompt, parser or data rule without raising its version fails here.

After raising a version: ``PYTHONPATH=tests python tests/tasks/test_versions.py SHARED`` writes the new hashes.
"""

from __future__ import annotations

import json
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest
from miniatures import data_for
from radbench.tasks.phantom.cohort import write_cohort

from radbench.dataset import DataLocations
from radbench.prompting import Renderer
from radbench.registry import all_tasks
from radbench.task import Task

STORED = Path(__file__).with_name("task_hashes.json")


def rendered_hash(task: Task, locations: DataLocations) -> str:
    """A hash of the first three rendered requests, pictures by file name, and of parser, metrics and targets."""
    reader = task.dataset.open(locations)
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


def locations_of(task: Task, made: Path, shared: Path | None) -> DataLocations:
    """Where a task's data are: suites on made-up official layouts, the open sets on the real files."""
    if task.name.startswith("phantom/"):
        if not (made / "phantom").exists():
            write_cohort(made / "phantom", cases=60, size=48)
        return DataLocations(named={"phantom": made / "phantom"})
    if task.published and not task.name.startswith("open/"):
        return DataLocations.parse(data_for(made, task))
    return DataLocations(shared or Path())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("versions")


@pytest.mark.parametrize("name", sorted(all_tasks()))
def test_a_task_is_what_its_version_says(name: str, made: Path, request: pytest.FixtureRequest) -> None:
    task = all_tasks()[name]
    shared = request.getfixturevalue("shared") if name.startswith("open/") else None
    stored = json.loads(STORED.read_text())
    found = rendered_hash(task, locations_of(task, made, shared))
    assert stored.get(name) == found, f"raise the version of '{name}', then write the new hash"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        root, real = Path(folder), Path(sys.argv[1]) / "data"
        hashes = {n: rendered_hash(t, locations_of(t, root, real)) for n, t in sorted(all_tasks().items())}
    STORED.write_text(json.dumps(hashes, indent=1) + "\n")
