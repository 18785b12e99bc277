"""Rerun variance: every draw is really asked, its spread is that of the draws, and only whole samples count."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import radbench
from radbench.analysis.pairing import by_draw
from radbench.analysis.repeat import _spread, default_out, repeat, rerun_noise
from radbench.cli import repeat as command
from radbench.cli import work
from radbench.errors import ConfigError, DataError, Exit, ResumeError
from radbench.folder import RunFolder
from radbench.records import Labels, Prediction, Request
from radbench.registry import find_metric
from radbench.statistics import Measure

TaskWriter = Callable[..., Path]

MODEL = """
import random

class Coin:
    '''Right three times in four, anew at each draw.'''
    capabilities = frozenset({"text", "by_sample"})
    def fingerprint(self):
        return {"adapter": "test", "name": "coin", "revision": "1"}
    def answer(self, requests):
        from radbench import Answer
        for request in requests:
            toss = random.Random(f"{request.sample}|{request.draw}").random()
            yield request, Answer(text="yes" if toss < 0.75 else "no")
"""


@pytest.fixture
def coin(text_task: TaskWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scored run of a model that answers otherwise each time it is asked."""
    (tmp_path / "coin_model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("coin_model", None)
    radbench.evaluate("coin_model:Coin", str(text_task(40)), out=tmp_path / "run", resamples=100)
    return tmp_path / "run"


def test_each_draw_is_asked_and_scored_as_a_run_of_its_own(coin: Path, tmp_path: Path) -> None:
    evaluation = repeat(coin, 4)
    assert evaluation.path == tmp_path / "run-repeat"
    assert evaluation.outcome.asked == 160
    entry = rerun_noise(evaluation.path)["test/toy"]["exact-match"]
    right: dict[int, list[bool]] = {}
    for line in (evaluation.path / "answers" / "1-of-1.jsonl").read_text().splitlines():
        answer = json.loads(line)
        truth = "yes" if int(answer["sample"][1:]) % 3 else "no"
        right.setdefault(answer.get("draw", 0), []).append(answer["text"] == truth)
    by_hand = [float(np.mean(right[draw])) for draw in range(4)]
    assert entry["values"] == pytest.approx(by_hand)
    assert len(set(by_hand)) > 1
    assert entry["sd"] == pytest.approx(np.std(by_hand, ddof=1))
    assert (entry["mean"], entry["low"], entry["high"]) == pytest.approx((np.mean(by_hand), min(by_hand), max(by_hand)))
    assert (entry["draws"], entry["n"], entry["left_out"]) == (4, 40, 0)


def test_the_first_draw_is_the_run_that_was_repeated(coin: Path) -> None:
    first = json.loads((coin / "results.json").read_text())["tasks"]["test/toy"]["metrics"]["exact-match"]["value"]
    repeat(coin, 2)
    assert rerun_noise(default_out(coin))["test/toy"]["exact-match"]["values"][0] == pytest.approx(first)


def test_a_repetition_goes_on_where_it_stopped(coin: Path) -> None:
    repeat(coin, 3)
    again = repeat(coin, 3)
    assert (again.outcome.asked, rerun_noise(again.path)["test/toy"]["exact-match"]["draws"]) == (0, 3)
    with pytest.raises(ResumeError, match="draws"):
        repeat(coin, 5)


def test_a_deterministic_model_has_no_noise_to_the_last_bit(text_task: TaskWriter, tmp_path: Path) -> None:
    task = str(text_task(33, metrics=["exact-match", "bleu-1", "token-f1"]))
    radbench.evaluate("constant:yes", task, out=tmp_path / "run", resamples=50)
    evaluation = repeat(tmp_path / "run", 3, tmp_path / "again")
    assert evaluation.outcome.asked > 0
    for entry in rerun_noise(tmp_path / "again")["test/toy"].values():
        assert (
            entry["sd"] == entry["independent"] == entry["shared"] == 0.0
            and entry["low"] == entry["mean"] == entry["high"]
        )


def test_a_sample_without_all_its_draws_does_not_count(coin: Path) -> None:
    path = repeat(coin, 3).path
    file = path / "answers" / "1-of-1.jsonl"
    lines = file.read_text().splitlines()
    gone = next(i for i, line in enumerate(lines) if json.loads(line)["sample"] == "q7")
    file.write_text("\n".join(lines[:gone] + lines[gone + 1 :]) + "\n")
    assert work.score(str(path), None, None, None, None, True) == Exit.INCOMPLETE
    entry = rerun_noise(path)["test/toy"]["exact-match"]
    assert (entry["n"], entry["left_out"]) == (39, 1)
    kept = [json.loads(line) for line in lines if json.loads(line)["sample"] != "q7"]
    right = [a for a in kept if a.get("draw", 0) == 2 and (a["text"] == "yes") == bool(int(a["sample"][1:]) % 3)]
    assert entry["values"][2] == pytest.approx(len(right) / 39)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), max_size=30))
def test_by_draw_keeps_whole_samples_in_their_order(drawn: list[tuple[int, int]]) -> None:
    rows = sorted(set(drawn))  # as scoring writes them: samples in order, each with its draws in order
    ids = np.array([b"s%d" % sample for sample, _ in rows], "S4")
    positions, left_out = by_draw(ids, 4)
    whole = [s for s in range(9) if sum(sample == s for sample, _ in rows) == 4]
    assert [[rows[i] for i in own] for own in positions.tolist()] == [[(s, d) for d in range(4)] for s in whole]
    assert left_out == len({s for s, _ in rows}) - len(whole)


def coins(n: int, draws: int, moved: float, seed: int) -> dict[str, Any]:
    """Answers right three times in five, the chance of all answers of a draw moved by normal numbers."""
    rng = np.random.default_rng(seed)
    right = rng.random((n, draws)) < 0.6 + moved * rng.standard_normal(draws)
    rows = np.stack([right.ravel(), np.ones(n * draws)], axis=1).astype(float)
    positions, _ = by_draw(np.repeat([f"s{i}".encode() for i in range(n)], draws), draws)
    return _spread(Measure(find_metric("accuracy"), (), rows), positions)


def test_noise_of_each_sample_alone_is_not_shared() -> None:
    found = [coins(200, 5, 0.0, seed) for seed in range(60)]
    whole = np.mean([entry["sd"] ** 2 for entry in found])
    assert np.mean([entry["independent"] ** 2 for entry in found]) == pytest.approx(0.6 * 0.4 / 200, rel=0.05)
    assert np.mean([entry["sd"] ** 2 - entry["independent"] ** 2 for entry in found]) == pytest.approx(
        0, abs=0.2 * whole
    )
    assert np.median([entry["shared"] for entry in found]) < 0.5 * whole**0.5


def test_noise_of_all_answers_of_a_draw_is_shared() -> None:
    found = [coins(400, 10, 0.06, seed) for seed in range(60)]
    assert np.mean([entry["shared"] ** 2 for entry in found]) == pytest.approx(0.06**2, rel=0.25)
    assert np.mean([entry["independent"] ** 2 for entry in found]) == pytest.approx(0.6 * 0.4 / 400, rel=0.1)
    for entry in found:
        assert 0 <= entry["shared"] <= entry["sd"]
        assert entry["shared"] ** 2 == pytest.approx(max(0.0, entry["sd"] ** 2 - entry["independent"] ** 2))


def test_the_parts_of_a_metric_that_is_no_mean() -> None:
    """Draws that each shift all scores alike, and draws whose samples go their own ways, by F1 and by AUROC."""
    rng, n, draws = np.random.default_rng(0), 150, 6
    truth = rng.choice(["a", "b"], n).tolist()
    targets = [Labels((k,)) for k in truth for _ in range(draws)]
    for shared in (True, False):
        size = (1, draws) if shared else (n, draws)
        right = rng.random((n, draws)) < (np.linspace(0.5, 0.95, draws) if shared else np.full(size, 0.7))
        said = [k if ok else "ab"[k == "a"] for k, own in zip(truth, right, strict=True) for ok in own]
        answers = [Prediction((k,), scores={"a": float(k == "a"), "b": float(k == "b")}) for k in said]
        for name in ("f1-macro", "auroc"):
            metric = find_metric(name)
            state = metric.fit([Labels((k,)) for k in truth], ("a", "b"))
            measure = Measure(metric, state, metric.rows(answers, targets, state))
            entry = _spread(measure, np.arange(n * draws).reshape(n, draws))
            assert entry["independent"] > 0
            assert (entry["shared"] > 2 * entry["independent"]) is shared


def test_a_run_of_one_draw_says_nothing(coin: Path) -> None:
    with pytest.raises(DataError, match="asked every request once"):
        rerun_noise(coin)


def test_what_cannot_be_repeated_says_why(text_task: TaskWriter, tmp_path: Path) -> None:
    def yes(request: Request) -> str:
        return "yes"

    task = str(text_task(6))
    radbench.evaluate(yes, task, out=tmp_path / "object", resamples=10)
    with pytest.raises(ConfigError, match="Python object as its model") as caught:
        repeat(tmp_path / "object", 3)
    assert "draws=3" in caught.value.remedy
    (tmp_path / "said.jsonl").write_text('{"task": "test/toy", "sample": "q1", "text": "yes"}\n')
    radbench.evaluate(f"replay:{tmp_path / 'said.jsonl'}", task, out=tmp_path / "file", resamples=10)
    with pytest.raises(ConfigError, match="gives the same ones"):
        repeat(tmp_path / "file", 3)
    with pytest.raises(ConfigError, match="at least 2"):
        repeat(tmp_path / "file", 1)
    assert not (tmp_path / "object-repeat").exists() and not (tmp_path / "file-repeat").exists()


def test_another_model_under_the_same_name_is_no_repetition(coin: Path, tmp_path: Path) -> None:
    (tmp_path / "coin_model.py").write_text(MODEL.replace('"revision": "1"', '"revision": "2"'))
    sys.modules.pop("coin_model")
    with pytest.raises(ResumeError, match="no repetition") as caught:
        repeat(coin, 2)
    assert "model.revision: the folder has '1', now '2'" in caught.value.message
    assert RunFolder(coin).manifest["identity"]["model"]["revision"] == "1"


def test_the_command_prints_a_table_or_json(coin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(str(coin), 3, None, False) == Exit.OK
    shown = capsys.readouterr().out
    assert "exact-match ↑" in shown and "range" in shown and "120 asked now" in shown
    assert re.search(r"sd +of its own +shared +range", shown)
    assert "which intervals of compare and check hold already" in shown and "radbench check adds it" in shown
    assert f"radbench baseline {coin} --noise {default_out(coin)} -o FILE" in shown
    assert "deterministic" not in shown
    assert command.run(str(coin), 3, None, True) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    entry = found["tasks"]["test/toy"]["exact-match"]
    assert found["draws"] == 3 and entry["sd"] > 0
    assert entry["shared"] ** 2 == pytest.approx(max(0, entry["sd"] ** 2 - entry["independent"] ** 2), abs=1e-9)


def test_the_command_on_a_model_that_never_changes(
    text_task: TaskWriter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    radbench.evaluate("constant:yes", str(text_task(12)), out=tmp_path / "run", resamples=20)
    assert command.run(str(tmp_path / "run"), 2, str(tmp_path / "again"), False) == Exit.OK
    assert "0.0000" in (shown := capsys.readouterr().out) and "Every draw scores the same" in shown
