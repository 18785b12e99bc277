"""``openai:`` against a real server: ``transformers serve`` with a tiny LLaVA of random weights, pictures included."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from radbench.tasks.phantom.cohort import write_cohort

import radbench

NEEDED = ("httpx", "torch", "transformers", "fastapi", "uvicorn", "openai", "pydantic")
missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"a real server needs {', '.join(missing)}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from miniatures.vlm import tiny_vlm

    path = tmp_path_factory.mktemp("served") / "tiny-llava"
    tiny_vlm("llava", path)
    return path


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of ``transformers serve`` in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    commands = "commands.transformers_cli"
    if importlib.util.find_spec("transformers.commands") is None:  # transformers 5
        commands = "cli.transformers"
    # A torchvision built for a GPU cannot read pictures beside a torch for the processor; without one Pillow reads them.
    start = (
        "import importlib.util as u, sys; find = u.find_spec;"
        "u.find_spec = lambda name, *a: None if name == 'torchvision' else find(name, *a);"
        f"sys.argv[0] = 'transformers'; from transformers.{commands} import main; main()"
    )
    command = [sys.executable, "-c", start, "serve"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    output = tmp_path_factory.mktemp("log") / "serve.log"
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with output.open("w") as log:
        process = subprocess.Popen([*command, *options], stdout=log, stderr=log, env=environment)
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        if process.poll() is not None:
            pytest.skip(f"transformers serve does not start here: {output.read_text().strip().splitlines()[-1][:200]}")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Phantom radiographs and scans, a few."""
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    write_cohort(folder, seed=11, cases=48, size=64)
    return f"phantom={folder}"


def lines(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "answers" / "1-of-1.jsonl").read_text().splitlines()]


def test_a_real_server_answers_real_tasks_with_pictures(server: str, folder: Path, cohort: str, tmp_path: Path) -> None:
    spec = f"openai:{server},model={folder},concurrency=2,max_new_tokens=8,cut_off=keep"
    task = "phantom/diagnosis"
    evaluation = radbench.evaluate(spec, task, out=tmp_path / "run", limit=6, resamples=50, data=cohort)
    found = lines(tmp_path / "run")
    assert len(found) == 6
    assert {x["status"] for x in found} <= {"ok", "empty"}
    assert any(x.get("text") for x in found)
    assert all(x["images"] for x in found)
    assert evaluation.results is not None and evaluation.results["complete"]
    again = radbench.evaluate(spec, task, out=tmp_path / "run", limit=6, resamples=50, data=cohort)
    assert (again.outcome.asked, again.outcome.reused) == (0, 6)


def test_a_real_servers_greedy_answers_are_the_same_twice_and_look_at_the_picture(
    server: str, folder: Path, cohort: str, tmp_path: Path
) -> None:
    spec = f"openai:{server},model={folder},concurrency=2,max_new_tokens=8,cut_off=keep"
    texts = []
    for name, model in (("a", spec), ("b", spec), ("blank", f"blank({spec})")):
        radbench.evaluate(model, "phantom/diagnosis", out=tmp_path / name, limit=4, resamples=50, data=cohort)
        texts.append({x["sample"]: x.get("text") for x in lines(tmp_path / name)})
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_a_wrong_model_name_stops_the_run_with_the_servers_answer(server: str, cohort: str, tmp_path: Path) -> None:
    spec = f"openai:{server},model=there/is-none,retries=0,backoff=0.01"
    with pytest.raises(radbench.RadbenchError, match=r"openai:there/is-none: nothing has been answered, HTTP \d+"):
        radbench.evaluate(spec, "phantom/diagnosis", out=tmp_path / "run", limit=6, data=cohort)
