"""The recipes of examples/cluster as a cluster runs them: their own scripts in bash, the same results as one process."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import radbench

RECIPES = Path(__file__).parents[2] / "examples" / "cluster"
TaskWriter = Callable[..., Path]

MODEL = """
import os, time
from radbench.records import Answer

class Model:
    capabilities = frozenset({"text"})

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def fingerprint(self):
        return {"adapter": "test", "name": "scripted"}

    def answer(self, requests):
        for request in requests:
            time.sleep(self.seconds)
            with open("asked.log", "a") as f:
                f.write(f"{request.sample} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
            yield request, Answer(text="yes" if int(request.sample[1:]) % 2 else "no")
"""

COMMANDS = {
    "radbench": "radbench",
    "torchrun": "torch.distributed.run",
    "accelerate": "accelerate.commands.accelerate_cli",
}
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torchrun comes with torch, which is not installed"
)


def recipe(name: str, place: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start a script of examples/cluster with this interpreter's own commands first on the path."""
    (place / "tools").mkdir(exist_ok=True)
    for command, module in COMMANDS.items():
        tool = place / "tools" / command
        if not tool.exists():  # another element may be running it
            tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
            tool.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "CUDA_"))}
    environment |= {"PATH": f"{place / 'tools'}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(
        ["bash", str(RECIPES / name), *arguments], cwd=place, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def said(process: subprocess.Popen[str], code: int = 0) -> str:
    """What a process printed, once it has ended with ``code``."""
    out, error = process.communicate(timeout=100)
    assert process.returncode == code, error
    return out


def one_process(task: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The results of a run without shards."""
    (place / "scripted.py").write_text(MODEL)
    monkeypatch.chdir(place)
    radbench.evaluate("scripted:Model", task, out=place / "one")
    (place / "asked.log").unlink()
    return results_bytes(place / "one")


def results_bytes(run: Path) -> bytes:
    return (run / "results.json").read_bytes()


def asked(place: Path) -> list[list[str]]:
    """Sample and visible GPU of every question."""
    file = place / "asked.log"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def test_a_slurm_array_gives_one_run_and_a_dead_element_is_submitted_again(
    text_task: TaskWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL in the middle of an element; the others leave the scoring to whoever ends last."""
    task = str(text_task(90))
    whole = one_process(task, tmp_path, monkeypatch)
    arguments = ("--tasks", task, "--out", "run")

    def element(number: int, model: str = "scripted:Model", count: str = "3") -> subprocess.Popen[str]:
        variables = {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_TASK_COUNT": count}
        return recipe("slurm.sh", tmp_path, "3", "--model", model, *arguments, **variables)

    dying = element(2, "scripted:Model:seconds=0.05")
    deadline = time.monotonic() + 60
    while len(asked(tmp_path)) < 8 and time.monotonic() < deadline:
        time.sleep(0.02)
    dying.send_signal(signal.SIGKILL)
    dying.communicate()
    others = [element(1), element(3)]
    assert all("left to other shards; nothing is scored yet" in said(process) for process in others)
    assert not (tmp_path / "run" / "results.json").exists()
    assert "exact-match" in said(element(2, count="1"))  # sbatch --array=2: SLURM counts one element now
    assert results_bytes(tmp_path / "run") == whole
    samples = [sample for sample, _ in asked(tmp_path)]
    assert len(set(samples)) == 90
    assert len(samples) < 90 + 0.2 / 0.05 + 2  # at most what was not yet flushed is asked again
    assert sorted(p.name for p in (tmp_path / "run" / "answers").glob("*.jsonl")) == [
        f"{i}-of-3.jsonl" for i in (1, 2, 3)
    ]


@needs_torch
def test_torchrun_gives_each_process_its_shard_and_one_of_the_jobs_gpus(
    text_task: TaskWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = str(text_task(60))
    whole = one_process(task, tmp_path, monkeypatch)
    arguments = ("2", "--model", "scripted:Model", "--tasks", task, "--out", "run")
    out = said(recipe("torchrun.sh", tmp_path, *arguments, CUDA_VISIBLE_DEVICES="5,7"))
    assert "exact-match" in out  # the one that ended last has scored
    assert results_bytes(tmp_path / "run") == whole
    assert len(asked(tmp_path)) == 60
    assert {gpu for _, gpu in asked(tmp_path)} == {"5", "7"}


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="accelerate is not installed")
def test_accelerate_launch_does_the_same_and_counts_gpus_itself(
    text_task: TaskWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = str(text_task(60))
    whole = one_process(task, tmp_path, monkeypatch)
    said(recipe("accelerate.sh", tmp_path, "2", "--model", "scripted:Model", "--tasks", task, "--out", "run"))
    assert results_bytes(tmp_path / "run") == whole
    assert {gpu for _, gpu in asked(tmp_path)} == {"0", "1"}


def test_a_cap_on_cost_is_each_shards_own(
    text_task: TaskWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from radbench.cli import work

    (tmp_path / "capped.py").write_text(MODEL.replace("    def __init__", "    budgeted = True\n\n    def __init__"))
    (tmp_path / "free.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    task = str(text_task(4))
    for model, shard, warned in (("capped", "1/2", True), ("capped", None, False), ("free", "1/2", False)):
        options = work.RunOptions(
            None, f"{model}:Model", [task], None, f"{model}-{bool(shard)}", None, None, None, None, None
        )
        work.run(options, work.EngineOptions(), shard, 1.0, False)
        assert ("each of the 2 shards has the whole cap" in capsys.readouterr().err) is warned
