"""Ray as the engine: the same bytes as the local one, also where workers are killed, and nothing of the data in Ray."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import radbench
from radbench import ray_cluster
from radbench import ray_engine as engine_module
from radbench.errors import ConfigError, DataError, Exit, Interrupted, ModelError, RadbenchError, ResumeError
from radbench.folder import RunFolder
from radbench.plan import scoring_plan
from radbench.ray_engine import RayEngine, ray_engine
from radbench.runner import Progress
from radbench.task import Group

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason='Ray is not installed: pip install "radbench[ray]"'
    ),
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning"
    ),  # Ray's own: it leaves its processes and files to the collector
]
TaskWriter = Callable[..., Path]

MODEL = """
import os, tempfile, time
from pathlib import Path
from radbench.records import Answer, Failure

class Model:
    capabilities = frozenset({"text"})

    def __init__(self, seconds=0.0, fail=""):
        self.seconds, self.fail = seconds, fail
        self.loaded = False

    def fingerprint(self):
        return {"adapter": "test", "name": "scripted"}

    def answer(self, requests):
        if not self.loaded:
            self.loaded = True
            self.scratch = tempfile.TemporaryDirectory(prefix="held-", dir=".")
            with open("loaded.log", "a") as f:
                f.write(f"{os.getpid()}\\n")
        print("PRINTED BY THE MODEL", flush=True)
        for request in requests:
            time.sleep(self.seconds)
            number = int(request.sample[1:])
            if self.fail == "raise" and number == 7:
                raise ValueError(f"cannot say anything about {request.sample}")
            if self.fail == "die" and number == 7:
                os.kill(os.getpid(), 9)
            if self.fail == "hang" and number == 7:
                with tempfile.TemporaryDirectory(prefix="asking-", dir="."):
                    Path("hangs.log").touch()
                    time.sleep(60)
            with open("asked.log", "a") as f:
                f.write(request.sample + "\\n")
            if number == 5:
                yield request, Answer(failure=Failure("refused", f"not about {request.sample}"))
            else:
                yield request, Answer(text="yes" if number % 2 else "no opacity is seen")
"""

LEARNS = """
class Learner(Model):
    def tell(self, task, samples):
        if "DRIVER" not in os.environ:
            question = next(iter(samples)).slots["question"]
            print("PRINTED:", question, flush=True)
            raise KeyError(question)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One Ray of this machine for all tests of the file."""
    with ray_cluster.loopback_and_silent(True):
        import ray

        ray_cluster.start_here(ray, 2)
    yield ray
    ray.shutdown()


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The scripted model as a module in the working directory; its spec. A name a test: the driver imports it too."""
    name = f"scripted_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"{name}:Model"


@pytest.fixture
def engine(cluster: Any) -> RayEngine:
    return ray_engine(workers=2, gpus=0)


@pytest.fixture
def lone(cluster: Any) -> RayEngine:
    """One worker: quicker to start where the number does not matter."""
    return ray_engine(workers=1, gpus=0)


def results_bytes(path: Path) -> bytes:
    return (path / "results.json").read_bytes()


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.02)


def session(ray: Any) -> Path:
    """Where this Ray keeps its files."""
    return Path(ray.nodes()[0]["RayletSocketName"]).parents[1]


class Shown:
    """Progress that remembers."""

    def __init__(self, during: Callable[[int], None] = lambda count: None) -> None:
        self.total, self.count, self.during = 0, 0, during

    def start(self, task: str, total: Callable[[], int]) -> None:
        self.total = total()

    def advance(self, count: int) -> None:
        self.count += count
        self.during(self.count)

    def finish(self) -> None:
        pass


def test_everything_listens_on_this_machine_alone_and_sends_no_statistics(cluster: Any) -> None:
    assert cluster.nodes()[0]["NodeManagerAddress"] == "127.0.0.1"
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ
    told = session(cluster) / "logs" / "dashboard.log"
    wait_for(lambda: "Usage reporting is disabled" in told.read_text())


def test_two_workers_and_a_killed_one_give_the_bytes_of_the_local_engine(
    engine: RayEngine, beside: str, text_task: TaskWriter, tmp_path: Path
) -> None:
    task = str(text_task(120))
    local = radbench.evaluate(beside, task, out=tmp_path / "local")
    for log in ("loaded.log", "asked.log"):
        (tmp_path / log).unlink()
    killed: list[int] = []

    def kill_one(count: int) -> None:
        pids = lines(tmp_path / "loaded.log")
        if not killed and len(pids) >= 2 and len(lines(tmp_path / "asked.log")) > 30:
            killed.append(int(pids[0]))
            os.kill(killed[0], signal.SIGKILL)

    progress = Shown(kill_one)
    slow = f"{beside}:seconds=0.03"
    evaluation = radbench.evaluate(slow, task, out=tmp_path / "ray", engine=engine, progress=progress)
    assert killed
    assert results_bytes(tmp_path / "ray") == results_bytes(tmp_path / "local")
    assert evaluation.outcome.asked + evaluation.outcome.reused == 120 == progress.total == progress.count
    assert evaluation.outcome.failures == local.outcome.failures == {"refused": 1}
    assert evaluation.outcome.reasons == local.outcome.reasons
    assert evaluation.outcome.access == local.outcome.access == {"test/toy": "open"}
    assert len(set(lines(tmp_path / "asked.log"))) == 120
    assert len(lines(tmp_path / "asked.log")) < 120 + 0.2 / 0.03 + 2  # nothing flushed is asked again
    assert "a worker died (shard" in (tmp_path / "ray" / "run.log").read_text()
    assert not list((tmp_path / "ray" / "answers").glob(".stop*"))
    assert len(list(tmp_path.glob("held-*"))) == 1  # of the one that was killed: the others tidied up


def test_a_run_goes_on_with_either_engine_and_any_number_of_shards(
    engine: RayEngine, lone: RayEngine, beside: str, text_task: TaskWriter, tmp_path: Path
) -> None:
    task = str(text_task(60))
    radbench.evaluate(beside, task, out=tmp_path / "one")
    (tmp_path / "asked.log").unlink()
    radbench.evaluate(beside, task, out=tmp_path / "run", shard="2/3")
    second = radbench.evaluate(beside, task, out=tmp_path / "run", engine=engine)
    assert second.outcome.reused == 60 - second.outcome.asked > 0
    file = tmp_path / "run" / "answers" / "2-of-16.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])  # as a killed worker leaves it
    lost = whole.count(b"\n") - file.read_bytes().count(b"\n")
    (tmp_path / "run" / "stats" / "state.json").unlink()
    third = radbench.evaluate(beside, task, out=tmp_path / "run", engine=lone)
    assert (third.outcome.asked, third.outcome.reused) == (lost, 60 - lost)
    assert len(lines(tmp_path / "asked.log")) == 60 + lost
    assert results_bytes(tmp_path / "run") == results_bytes(tmp_path / "one")
    assert {p.stem.split("-")[-1] for p in (tmp_path / "run" / "answers").glob("*.jsonl")} == {"3", "16"}


def test_tasks_are_scored_side_by_side_and_groups_read_their_statistics(
    engine: RayEngine,
    lone: RayEngine,
    beside: str,
    text_task: TaskWriter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pooled and macro groups, several draws, a metric whose state comes from the references: the same bytes."""
    metrics = ["exact-match", "bleu-1", "cider"]
    members = ("test/a", "test/b")
    tasks = [
        str(text_task(40, "a", name="test/a", metrics=metrics)),
        str(text_task(30, "b", name="test/b", metrics=metrics)),
    ]
    table = tmp_path / "b" / "samples.jsonl"
    table.write_text(table.read_text().replace('"patient"', '"ward"'))  # every sample stands alone
    task = json.loads(Path(tasks[1]).read_text())
    task["data"].pop("columns")
    Path(tasks[1]).write_text(json.dumps(task))
    groups = (
        Group("pooled", members, "pool", ("exact-match", "cider")),
        Group("mean", members, "macro", ("bleu-1", "cider")),
    )
    monkeypatch.setattr("radbench.plan.all_groups", lambda: groups)
    for draws in (1, 2):
        local, ray = tmp_path / f"local-{draws}", tmp_path / f"ray-{draws}"
        radbench.evaluate(beside, tasks, out=local, draws=draws)
        shutil.copytree(local, ray, ignore=shutil.ignore_patterns("stats", "results.json"))
        folder = RunFolder(ray)
        results = (lone if draws == 1 else engine).score(scoring_plan(folder.manifest), folder)
        assert set(results["groups"]) == {"pooled", "mean"}
        assert results_bytes(ray) == results_bytes(local)
        for file in (local / "stats").rglob("*.npz"):
            with np.load(file) as ours, np.load(ray / file.relative_to(local)) as theirs:
                assert ours.files == theirs.files
                for name in ours.files:  # a sum over words may come in another order in another process
                    same = np.allclose(ours[name], theirs[name], 1e-14, 0) if ours[name].dtype.kind == "f" else None
                    assert same or np.array_equal(ours[name], theirs[name])
        assert not list((ray / "stats").rglob("entry.json"))


def test_a_model_that_raises_is_told_as_by_the_local_engine_and_the_run_goes_on(
    lone: RayEngine, beside: str, text_task: TaskWriter, tmp_path: Path
) -> None:
    task = str(text_task(40))
    told = "the model stopped on task 'test/toy': ValueError: cannot say anything about q7"
    with pytest.raises(ModelError, match=told):
        radbench.evaluate(f"{beside}:fail=raise", task, out=tmp_path / "run", engine=lone)
    log = (tmp_path / "run" / "run.log").read_text()
    assert "Traceback" in log
    assert "PRINTED BY THE MODEL" in log
    mended = radbench.evaluate(beside, task, out=tmp_path / "run")
    assert mended.outcome.reused == 40 - mended.outcome.asked
    radbench.evaluate(beside, task, out=tmp_path / "local")
    assert results_bytes(tmp_path / "run") == results_bytes(tmp_path / "local")


def test_a_request_that_kills_every_worker_ends_in_one_clear_error(
    lone: RayEngine, beside: str, text_task: TaskWriter, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"shard \d+/8: 3 workers died one after the other; the last: ActorDiedError"):
        radbench.evaluate(f"{beside}:fail=die", str(text_task(20)), out=tmp_path / "run", engine=lone)
    assert len(lines(tmp_path / "asked.log")) > 0


def test_restricted_data_are_in_no_error_and_in_no_file_of_ray(
    cluster: Any, lone: RayEngine, beside: str, text_task: TaskWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = text_task(40)
    task.write_text(task.read_text().replace('"access": "open"', '"access": "credentialed"'))
    table = task.parent / "samples.jsonl"
    table.write_text(table.read_text().replace("Question", "Secretword"))
    (tmp_path / "restricted.py").write_text(
        MODEL.replace('f"cannot say anything about {request.sample}"', "str(request.messages)")
    )
    (tmp_path / "learner.py").write_text(MODEL + LEARNS)
    with pytest.raises(ModelError) as caught:
        radbench.evaluate("restricted:Model:fail=raise", str(task), out=tmp_path / "run", engine=lone)
    assert "Secretword" not in str(caught.value)
    assert "the model stopped on task 'test/toy': ValueError; what it said is not shown: credentialed" in str(
        caught.value
    )
    monkeypatch.setenv("DRIVER", "here")  # the cluster's processes were begun without
    with pytest.raises(RadbenchError, match=r"a worker on .* stopped: KeyError\n"):
        radbench.evaluate("learner:Learner", str(task), out=tmp_path / "learnt", engine=lone)
    log = (tmp_path / "learnt" / "run.log").read_text()
    assert "PRINTED: " in log
    assert 'learner.py", line' in log
    assert "Secretword" not in log.replace("PRINTED: Secretword", "")
    files = [f for f in (session(cluster) / "logs").rglob("*") if f.is_file()]
    assert any(f.name.startswith("worker-") for f in files)
    for content in (f.read_bytes() for f in files):
        assert b"Secretword" not in content
        assert b"PRINTED BY THE MODEL" not in content


def test_an_unknown_module_and_a_python_object_are_refused(
    lone: RayEngine, beside: str, text_task: TaskWriter, tmp_path: Path
) -> None:
    task = str(text_task(5))
    with pytest.raises(ConfigError, match="unknown model 'nowhere_to_be_found:Model'"):
        radbench.evaluate("nowhere_to_be_found:Model", task, out=tmp_path / "run", engine=lone)
    with pytest.raises(ConfigError, match=r"Python object \(python:<lambda>\).*\n.*module:function"):
        radbench.evaluate(lambda request: "yes", task, out=tmp_path / "run", engine=lone)
    assert not (tmp_path / "run").exists()


def test_what_only_the_driver_can_import_is_told_as_itself(
    lone: RayEngine, beside: str, text_task: TaskWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone.py").write_text(MODEL)
    real = engine_module._shard_count

    def forgets(*arguments: Any) -> int:
        (tmp_path / "gone.py").unlink()
        return real(*arguments)

    monkeypatch.setattr(engine_module, "_shard_count", forgets)
    with pytest.raises(ConfigError, match="unknown model 'gone:Model'"):
        radbench.evaluate("gone:Model", str(text_task(5)), out=tmp_path / "run", engine=lone)


def test_a_worker_that_sees_another_folder_or_other_data_says_so(
    lone: RayEngine, beside: str, text_task: TaskWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = str(text_task(5))
    monkeypatch.setattr(engine_module, "digest_of", lambda folder: "another")
    with pytest.raises(ConfigError, match=r"does not see the run folder .*\n.*all machines mount at the same path"):
        radbench.evaluate(beside, task, out=tmp_path / "run", engine=lone)
    monkeypatch.undo()
    real = engine_module._shard_count

    def changes(*arguments: Any) -> int:
        table = tmp_path / "task" / "samples.jsonl"
        table.write_text(table.read_text().replace("yes", "no"))
        return real(*arguments)

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(engine_module, "_shard_count", changes)
    with pytest.raises(ResumeError, match=r"data: the folder has"):
        radbench.evaluate(beside, task, out=tmp_path / "run", engine=lone)


def test_data_that_cannot_be_read_are_told_as_themselves(
    lone: RayEngine, beside: str, text_task: TaskWriter, tmp_path: Path
) -> None:
    task = text_task(5)
    table = task.parent / "samples.jsonl"
    table.write_text(table.read_text() + table.read_text().splitlines()[1] + "\n")
    with pytest.raises(DataError, match="sample 6 has the id 'q1' of sample 2"):
        radbench.evaluate(beside, str(task), out=tmp_path / "run", engine=lone)


def test_a_cap_on_cost_is_not_multiplied_by_workers(beside: str, text_task: TaskWriter, tmp_path: Path) -> None:
    module = tmp_path / f"{beside.partition(':')[0]}.py"
    module.write_text(MODEL.replace("    def fingerprint", "    budgeted = True\n\n    def fingerprint"))
    for workers in (None, 2):
        with pytest.raises(ConfigError, match=r"the cap on cost or tokens is a process's.*\n.*--workers 1"):
            radbench.evaluate(beside, str(text_task(5)), out=tmp_path / "run", engine=ray_engine(workers=workers))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus": 2.0}, "no machine of the cluster has a GPU"),
        ({"workers": 999}, r"999 workers with 0 GPUs each do not fit: the cluster takes \d+"),
    ],
)
def test_what_the_cluster_cannot_give_is_refused_at_once(
    cluster: Any, beside: str, text_task: TaskWriter, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        radbench.evaluate(beside, str(text_task(5)), out=tmp_path / "run", engine=ray_engine(**options))


def test_ctrl_c_in_the_driver_stops_the_workers_with_everything_written(
    engine: RayEngine, beside: str, text_task: TaskWriter, tmp_path: Path
) -> None:
    def interrupt(count: int) -> None:
        if len(lines(tmp_path / "asked.log")) > 10 and (tmp_path / "hangs.log").exists():
            raise KeyboardInterrupt

    progress: Progress = Shown(interrupt)
    task = str(text_task(100))
    with pytest.raises(Interrupted, match=r"interrupted: \d+ answers of this session are in .*\n.*radbench resume"):
        slow = f"{beside}:seconds=0.05,fail=hang"
        radbench.evaluate(slow, task, out=tmp_path / "run", engine=engine, progress=progress)
    assert not list(tmp_path.glob("held-*"))
    assert not list(tmp_path.glob("asking-*"))  # a worker that is busy with an answer ends by itself too
    asked = lines(tmp_path / "asked.log")
    assert 10 < len(asked) < 100
    answered = sum(len(lines(p)) for p in (tmp_path / "run" / "answers").glob("*.jsonl"))
    assert answered == len(asked)  # stopped between two answers, all of them flushed
    time.sleep(0.3)
    assert lines(tmp_path / "asked.log") == asked  # nobody goes on
    radbench.evaluate(beside, task, out=tmp_path / "run")
    assert len(lines(tmp_path / "asked.log")) == 100
    radbench.evaluate(beside, task, out=tmp_path / "local")
    assert results_bytes(tmp_path / "run") == results_bytes(tmp_path / "local")


def test_the_command_line_starts_and_ends_its_own_ray_and_ctrl_c_ends_with_exit_5(
    beside: str, text_task: TaskWriter, tmp_path: Path
) -> None:
    """Ctrl-C as a terminal sends it: to the whole group of processes."""
    task = str(text_task(400))
    command = [sys.executable, "-m", "radbench", "run", "-m", f"{beside}:seconds=0.05", "-t", task, "-o", "run"]
    process = subprocess.Popen(
        [*command, "--engine", "ray", "--workers", "1"], cwd=tmp_path, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: len(lines(tmp_path / "asked.log")) > 10)
    os.killpg(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == Exit.INCOMPLETE, error
    assert "interrupted:" in error
    assert "radbench resume run" in error
    assert "Traceback" not in out + error
    assert "PRINTED BY THE MODEL" not in out + error
    worker = int(lines(tmp_path / "loaded.log")[0])
    wait_for(lambda: not Path(f"/proc/{worker}").exists())


def test_without_ray_the_command_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'(?s)needs the package ray.*pip install "radbench\[ray\]"'):
        ray_engine()
