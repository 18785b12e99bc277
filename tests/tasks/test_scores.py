"""Answers that are scores of the options: read by the parsers, stored, replayed, ranked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from radbench.tasks import parsers

import radbench
from radbench.cli.work import table
from radbench.records import Answer, Sample
from radbench.registry import find_tasks

SAMPLE = Sample("1", None, {}, choices=("yes", "no"))


def test_the_likeliest_option_is_the_answer() -> None:
    task = find_tasks(["demo/modality"])[0]
    for parse in (parsers.closed_choice, parsers.choice):
        assert parse(Answer(scores={"no": 0.7, "yes": 0.3, "maybe": 0.9}), SAMPLE, task).value == ("no",)
        assert parse(Answer("yes", scores={"no": 0.7, "yes": 0.3}), SAMPLE, task).value == ("yes",)
        assert parse(Answer(scores={"other": 1.0}), SAMPLE, task).value is None
    assert parsers.labels(Answer(scores={"no": 0.7, "yes": 0.5}), SAMPLE, task).value == ("yes", "no")
    assert parsers.labels(Answer(scores={"no": 0.1}), SAMPLE, task).value == ()


def test_scores_of_a_predictions_file_are_ranked(text_task: Callable[..., Path], tmp_path: Path) -> None:
    task = text_task(8, kind="classification", choices=["yes", "no"], metrics=["accuracy", "auroc", "auprc"])
    lines = [
        {"task": "test/toy", "sample": f"q{i}", "scores": {"yes": 0.9 if i % 3 else 0.2, "no": 0.1 if i % 3 else 0.8}}
        for i in range(8)
    ]
    path = tmp_path / "scores.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    evaluation = radbench.evaluate(f"replay:{path}", str(task), out=tmp_path / "run", resamples=20)
    assert evaluation.results is not None
    metrics = evaluation.results["tasks"]["test/toy"]["metrics"]
    assert [metrics[name]["value"] for name in ("accuracy", "auroc", "auprc")] == [1.0, 1.0, 1.0]
    assert "auroc" in table(evaluation.results)
    answers = (tmp_path / "run" / "answers").glob("*.jsonl")
    assert all('"scores":{"yes"' in line for file in answers for line in file.read_text().splitlines())


@pytest.mark.parametrize("scores", ['{"yes": NaN}', '{"yes": "high"}', "[1, 2]"])
def test_scores_that_are_no_numbers_fail_that_answer_alone(
    scores: str, text_task: Callable[..., Path], tmp_path: Path
) -> None:
    task = text_task(2, kind="classification", choices=["yes", "no"], metrics=["accuracy"])
    path = tmp_path / "scores.jsonl"
    path.write_text(
        f'{{"task": "test/toy", "sample": "q0", "scores": {scores}}}\n{{"task": "test/toy", "sample": "q1", "text": "yes"}}\n'
    )
    evaluation = radbench.evaluate(f"replay:{path}", str(task), out=tmp_path / "run", resamples=20)
    assert evaluation.results is not None
    assert evaluation.results["tasks"]["test/toy"]["failures"] == {"unparsable": 1}
    assert evaluation.results["tasks"]["test/toy"]["metrics"]["accuracy"]["value"] == 0.5
