"""Whole runs on text: resume, shards, deduplication, failures, interruption, kill -9."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

import radbench
from radbench.errors import DataError, Exit, Interrupted, ResumeError
from radbench.records import Answer, Failure, Request

TaskWriter = Callable[..., Path]


class Counting:
    """Answers "yes" and remembers what it was asked."""

    capabilities = frozenset({"text"})

    def __init__(self, stop_after: int | None = None) -> None:
        self.asked: list[str] = []
        self.stop_after = stop_after

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "test", "name": "counting"}

    def reply(self, request: Request) -> Answer:
        return Answer(text="yes")

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            if self.stop_after is not None and len(self.asked) >= self.stop_after:
                raise KeyboardInterrupt
            self.asked.append(request.sample)
            yield request, self.reply(request)


def results_bytes(path: Path) -> bytes:
    return (path / "results.json").read_bytes()


def test_a_run_answers_scores_and_counts(text_task: TaskWriter, tmp_path: Path) -> None:
    evaluation = radbench.evaluate(Counting(), str(text_task(30)), out=tmp_path / "run")
    assert evaluation.results is not None
    task = evaluation.results["tasks"]["test/toy"]
    assert task["metrics"]["exact-match"]["value"] == pytest.approx(20 / 30)
    assert (task["n"], task["clusters"], task["clustered"]) == (30, 15, True)
    assert {v: g["n"] for v, g in task["subgroups"]["sex"].items()} == {"F": 15, "M": 15}
    assert "exact-match ↑" in evaluation.table()
    assert evaluation.exit_code() == Exit.OK


def test_running_again_asks_nothing_and_changes_no_byte(text_task: TaskWriter, tmp_path: Path) -> None:
    task = str(text_task(30))
    radbench.evaluate(Counting(), task, out=tmp_path / "run")
    before = results_bytes(tmp_path / "run")
    second = Counting()
    radbench.evaluate(second, task, out=tmp_path / "run")
    (tmp_path / "run" / "stats" / "state.json").unlink()  # also when everything is scored anew
    radbench.evaluate(second, task, out=tmp_path / "run")
    assert second.asked == []
    assert results_bytes(tmp_path / "run") == before


def test_an_interrupted_run_goes_on_and_ends_the_same(text_task: TaskWriter, tmp_path: Path) -> None:
    task = str(text_task(50))
    radbench.evaluate(Counting(), task, out=tmp_path / "whole")
    first = Counting(stop_after=17)
    with pytest.raises(Interrupted, match="17 answers"):
        radbench.evaluate(first, task, out=tmp_path / "broken")
    second = Counting()
    evaluation = radbench.evaluate(second, task, out=tmp_path / "broken")
    assert len(first.asked) == 17
    assert sorted(first.asked + second.asked) == sorted(f"q{i}" for i in range(50))
    assert (evaluation.outcome.asked, evaluation.outcome.reused) == (33, 17)
    assert results_bytes(tmp_path / "broken") == results_bytes(tmp_path / "whole")


@pytest.mark.parametrize("count", [2, 3, 7])
def test_shards_together_equal_one_worker(count: int, text_task: TaskWriter, tmp_path: Path) -> None:
    task = str(text_task(60))
    radbench.evaluate(Counting(), task, out=tmp_path / "one")
    asked: list[str] = []
    for i in range(count, 0, -1):
        model = Counting()
        evaluation = radbench.evaluate(model, task, out=tmp_path / "many", shard=f"{i}/{count}")
        asked += model.asked
        assert (evaluation.results is None) == (i > 1)
    assert sorted(asked) == sorted(f"q{i}" for i in range(60))
    assert results_bytes(tmp_path / "many") == results_bytes(tmp_path / "one")
    assert len(list((tmp_path / "many" / "answers").glob("*.jsonl"))) == count


def test_identical_requests_are_asked_once(tmp_path: Path) -> None:
    rows = [{"id": i, "question": "Is there an effusion?", "answer": "yes" if i else "no"} for i in range(10)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "t.yaml").write_text(
        "{name: t, kind: vqa, metrics: [exact-match], data: {table: t.jsonl, access: open}}"
    )
    model = Counting()
    evaluation = radbench.evaluate(model, str(tmp_path / "t.yaml"), out=tmp_path / "run")
    assert len(model.asked) == 1
    assert evaluation.results is not None
    assert evaluation.results["tasks"]["t"]["n"] == 10
    assert evaluation.results["tasks"]["t"]["metrics"]["exact-match"]["value"] == pytest.approx(0.9)


def test_draws_are_asked_separately_and_stay_in_their_cluster(text_task: TaskWriter, tmp_path: Path) -> None:
    model = Counting()
    evaluation = radbench.evaluate(model, str(text_task(10)), out=tmp_path / "run", draws=3)
    assert len(model.asked) == 30
    assert evaluation.results is not None
    task = evaluation.results["tasks"]["test/toy"]
    assert (task["n"], task["clusters"]) == (30, 5)


def test_a_limited_run_is_marked_partial(text_task: TaskWriter, tmp_path: Path) -> None:
    evaluation = radbench.evaluate(Counting(), str(text_task(30)), out=tmp_path / "run", limit=7)
    assert evaluation.results is not None
    assert evaluation.results["partial"]
    assert evaluation.results["tasks"]["test/toy"]["n"] == 7
    assert "PARTIAL" in evaluation.table()


def test_other_seed_task_or_model_is_refused_with_the_difference(text_task: TaskWriter, tmp_path: Path) -> None:
    task = text_task(10)
    radbench.evaluate(Counting(), str(task), out=tmp_path / "run")
    with pytest.raises(ResumeError, match="seed: the folder has 0, now 1"):
        radbench.evaluate(Counting(), str(task), out=tmp_path / "run", seed=1)
    with pytest.raises(ResumeError, match=r"model\.name"):
        radbench.evaluate("constant:yes", str(task), out=tmp_path / "run")
    task.write_text(task.read_text().replace('"kind"', '"version": 2, "kind"'))
    with pytest.raises(ResumeError, match=r"version: the folder has 1, now 2"):
        radbench.evaluate(Counting(), str(task), out=tmp_path / "run")
    changed = task.parent / "samples.jsonl"
    changed.write_text(changed.read_text().replace("yes", "no"))
    task.write_text(task.read_text().replace('"version": 2, ', ""))
    with pytest.raises(ResumeError, match=r"data: the folder has"):
        radbench.evaluate(Counting(), str(task), out=tmp_path / "run")


class Flaky(Counting):
    """Fails in transport, refuses, says nothing: one of each."""

    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.broken = broken

    def reply(self, request: Request) -> Answer:
        number = int(request.sample[1:])
        if self.broken and number < 3:
            return Answer(failure=Failure("transport", "timeout"))
        if number == 4:
            return Answer(failure=Failure("refused", "I cannot help with that"))
        return Answer(text="" if number == 5 else "yes")


def test_failures_score_worst_are_counted_and_only_transport_is_asked_again(
    text_task: TaskWriter, tmp_path: Path
) -> None:
    task = str(text_task(12))
    evaluation = radbench.evaluate(Flaky(True), task, out=tmp_path / "run")
    assert evaluation.results is not None
    found = evaluation.results["tasks"]["test/toy"]
    assert found["failures"] == {"empty": 1, "refused": 1, "transport": 3}
    assert found["n"] == 12
    assert found["metrics"]["exact-match"]["value"] == pytest.approx(4 / 12)  # q7, q8, q10, q11
    assert evaluation.exit_code() == Exit.INCOMPLETE
    again = Flaky(False)
    mended = radbench.evaluate(again, task, out=tmp_path / "run")
    assert again.asked == ["q0", "q1", "q2"]
    assert mended.exit_code() == Exit.OK
    assert mended.exit_code(allowed_failures=0.1) == Exit.INCOMPLETE
    assert mended.results is not None
    assert mended.results["tasks"]["test/toy"]["failures"] == {"empty": 1, "refused": 1}


def test_a_function_is_a_model_and_its_exceptions_are_counted(text_task: TaskWriter, tmp_path: Path) -> None:
    def answer(request: Request) -> str:
        if request.sample == "q3":
            raise ValueError("no such thing")
        return "yes"

    evaluation = radbench.evaluate(answer, str(text_task(6)), out=tmp_path / "run")
    assert evaluation.results is not None
    assert evaluation.results["tasks"]["test/toy"]["failures"] == {"model": 1}
    assert evaluation.exit_code() == Exit.INCOMPLETE


def test_duplicate_ids_and_empty_data_end_in_one_clear_error(tmp_path: Path, text_task: TaskWriter) -> None:
    task = text_task(5)
    table = task.parent / "samples.jsonl"
    table.write_text(table.read_text() + table.read_text().splitlines()[1] + "\n")
    with pytest.raises(DataError, match=r"sample 6 has the id 'q1' of sample 2"):
        radbench.evaluate(Counting(), str(task), out=tmp_path / "run")
    table.write_text("")
    with pytest.raises(DataError, match="no sample in split 'test'"):
        radbench.evaluate(Counting(), str(task), out=tmp_path / "run2")


def test_restricted_ids_are_not_in_the_error(tmp_path: Path, text_task: TaskWriter) -> None:
    task = text_task(5)
    task.write_text(task.read_text().replace('"access": "open"', '"access": "credentialed"'))
    table = task.parent / "samples.jsonl"
    table.write_text(table.read_text() + table.read_text().splitlines()[1] + "\n")
    with pytest.raises(DataError) as caught:
        radbench.evaluate(Counting(), str(task), out=tmp_path / "run")
    assert "q1" not in str(caught.value)
    assert "length 2" in str(caught.value)


# --- kill -9 ---

SLOW_MODEL = """
import time
from radbench.records import Answer

class Slow:
    capabilities = frozenset({"text"})
    def fingerprint(self):
        return {"adapter": "test", "name": "slow"}
    def answer(self, requests):
        for request in requests:
            with open("asked.log", "a") as f:
                f.write(request.key.hex() + "\\n")
            if int(request.sample[1:]) % 25 == 0:
                time.sleep(0.004)
            yield request, Answer(text="yes")
"""


def flushed_keys(run: Path) -> set[str]:
    """Keys of whole lines on disk."""
    return {
        line[8:40]
        for p in (run / "answers").glob("*.jsonl")
        for line in p.read_text().splitlines(keepends=True)
        if line.endswith("\n")
    }


def test_thirty_kills_at_random_moments_lose_nothing(text_task: TaskWriter, tmp_path: Path) -> None:
    """SIGKILL at 30 moments: no flushed answer is lost or asked again, and the results are those of a quiet run."""
    task = text_task(4000)
    (tmp_path / "slow_model.py").write_text(SLOW_MODEL)
    command = [sys.executable, "-m", "radbench", "run", "-m", "slow_model:Slow", "-t", str(task), "-o"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def go(out: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*command, out], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    quiet = go("quiet")
    assert quiet.wait(timeout=120) == 0
    asked_log = tmp_path / "asked.log"
    asked_log.unlink()
    moments = random.Random(0)
    kills, finished = 0, False
    asked_before = 0
    while kills < 30:
        before = flushed_keys(tmp_path / "killed") if (tmp_path / "killed").exists() else set()
        process = go("killed")
        waited = moments.uniform(0.05, 1.4)
        time.sleep(waited)
        finished = process.poll() is not None
        process.kill()
        process.wait()
        kills += not finished  # only a kill that hit a living run counts
        log = asked_log.read_text().split("\n")[:-1] if asked_log.exists() else []
        asked_again = set(log[asked_before:]) & before
        assert not asked_again, f"kill {kills}: {len(asked_again)} flushed answers were asked again"
        asked_before = len(log)
        assert before <= (flushed_keys(tmp_path / "killed") if (tmp_path / "killed").exists() else set())
        if finished:  # begin anew, so that all thirty kills hit a living run
            assert results_bytes(tmp_path / "killed") == results_bytes(tmp_path / "quiet")
            (tmp_path / "killed").rename(tmp_path / f"done-{kills}")
    last = go("killed")
    assert last.wait(timeout=120) == 0
    assert len(flushed_keys(tmp_path / "killed")) == 4000
    assert results_bytes(tmp_path / "killed") == results_bytes(tmp_path / "quiet")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_with_a_message_and_exit_5(number: int, text_task: TaskWriter, tmp_path: Path) -> None:
    task = text_task(3000)
    (tmp_path / "slow_model.py").write_text(SLOW_MODEL.replace("0.004", "0.05"))
    process = subprocess.Popen(
        [sys.executable, "-m", "radbench", "run", "-m", "slow_model:Slow", "-t", str(task), "-o", "run"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / "asked.log").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == Exit.INCOMPLETE, error
    assert "interrupted:" in error
    assert "radbench resume run" in error
    assert "Traceback" not in error
