"""One metric's fault costs that metric alone; what is told of it depends on the data's access."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from radbench.metrics.base import Card, Mean, State
from radbench.metrics.batches import shared, shared_rows
from radbench.metrics.text.cider import Cider

import radbench
from radbench.errors import ConfigError, DataError
from radbench.folder import RunFolder
from radbench.measuring import Measuring
from radbench.records import Prediction, Text
from radbench.registry import find_metric
from radbench.statfiles import load_statistics, stats_file
from radbench.statistics import point

SAID, TRUE = [Prediction("a"), Prediction("b")], [Text(("a",)), Text(("c",))]


class Faulty(Mean):
    accepts = (Text,)
    card = Card("Faulty", "-", "-", "-")

    def __init__(self, error: Exception) -> None:
        self.error = error

    def score(self, prediction: Prediction, target: Any) -> float:
        raise self.error

    def signature(self, state: State) -> str:
        return "faulty"


@pytest.fixture
def with_faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Exception], None]]:
    def install(error: Exception) -> None:
        faulty = Faulty(error)
        monkeypatch.setattr("radbench.measuring.find_metric", lambda n: faulty if n == "faulty" else find_metric(n))

    yield install


def measured(access: str = "open") -> Measuring:
    measuring = Measuring(["faulty", "exact-match"], lambda: TRUE, (), "test", access)
    measuring.add(SAID, TRUE)
    return measuring


@pytest.mark.parametrize("error", [ValueError("lungs are clear"), DataError("lungs are clear"), ZeroDivisionError("x")])
def test_the_others_go_on(error: Exception, with_faulty: Callable[[Exception], None]) -> None:
    with_faulty(error)
    measuring = measured()
    assert [m.name for m in measuring.finish()] == ["exact-match"]
    assert str(error) in measuring.failed["faulty"]


def test_restricted_text_is_not_told(
    with_faulty: Callable[[Exception], None], caplog: pytest.LogCaptureFixture
) -> None:
    with_faulty(ValueError("lungs are clear"))
    assert "lungs" not in measured("credentialed").failed["faulty"]
    assert "lungs" not in caplog.text
    with_faulty(ConfigError("no weights in /folder"))
    assert "/folder" in measured("credentialed").failed["faulty"]


def test_a_run_with_a_broken_metric_is_incomplete_and_scored_again(
    text_task: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = text_task(6, metrics=["exact-match", "rouge-1"])
    broken = find_metric("rouge-1")
    monkeypatch.setattr(broken, "scores", lambda *a: 1 / 0)
    first = radbench.evaluate("constant:yes", str(task), out=tmp_path / "run", resamples=10)
    assert first.results is not None
    entry = first.results["tasks"]["test/toy"]
    assert "ZeroDivisionError" in entry["broken"]["rouge-1"]
    assert list(entry["metrics"]) == ["exact-match"]
    assert not first.results["complete"]
    assert "rouge-1 FAILED" in first.table()
    assert first.exit_code() == 5
    monkeypatch.undo()
    again = radbench.evaluate("constant:yes", str(task), out=tmp_path / "run", resamples=10)
    assert again.results is not None
    assert again.results["complete"]
    assert again.outcome.asked == 0


def test_a_task_without_any_answer_is_scored(text_task: Callable[..., Path], tmp_path: Path) -> None:
    task = text_task(4, metrics=["exact-match", "bleu-4", "cider", "vqa-f1"])
    radbench.evaluate("constant:yes", str(task), out=tmp_path / "run", resamples=10)
    for file in (tmp_path / "run" / "answers").glob("*.jsonl"):
        file.write_text("")
    from radbench.plan import scoring_plan
    from radbench.scoring import score

    folder = RunFolder(tmp_path / "run")
    results = score(scoring_plan(folder.manifest), folder)
    assert results["tasks"]["test/toy"]["unanswered"] == 4
    assert results["tasks"]["test/toy"]["metrics"]["bleu-4"]["value"] is None


def test_no_two_metrics_share_a_file(text_task: Callable[..., Path], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    specs = ["f1:label=<5", "f1:label=>5", "f1_label__5", "samples", "bleu-4"]
    assert len({stats_file(folder, "t", s) for s in specs}) == len(specs)
    assert stats_file(folder, "t", "bleu-4").name == "bleu-4.npz"
    specs = ["f1:label=a b", "f1:label=a_b"]
    task = text_task(9, kind="classification", choices=["yes", "no"], metrics=["f1:label=yes", "f1:label=no"])
    radbench.evaluate("constant:yes", str(task), out=tmp_path / "run", resamples=10)
    measures = load_statistics(RunFolder(tmp_path / "run"), "test/toy", ("f1:label=yes", "f1:label=no")).measures
    assert point(measures["f1:label=yes"]) == pytest.approx(0.8)
    assert point(measures["f1:label=no"]) == 0.0


def test_what_is_shared_is_of_the_same_objects_and_state() -> None:
    metric = Cider()
    one, other = metric.fit(TRUE, ()), metric.fit([*TRUE, Text(("a b c",)), Text(("a",))], ())
    said, true = list(SAID), list(TRUE)
    first = shared_rows(metric, said, true, one)
    assert shared_rows(metric, said, true, one) is first
    assert shared_rows(metric, said, true, other) is not first
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    assert shared(said, true, "key", make) == shared(said, true, "key", make) == 1
    said[0] = Prediction("c")
    assert shared(said, true, "key", make) == 2


def test_rows_follow_lists_changed_in_place() -> None:
    for spec in ("bleu:n=1", "rouge-l", "umls-f1:dictionary=radiology", "chexpert-rules-f1"):
        metric = find_metric(spec)
        said, true = [Prediction("no effusion")], [Text(("pleural effusion and edema",))]
        state = metric.fit(true, ())
        before = metric.rows(said, true, state)
        said[0] = Prediction("pleural effusion and edema")
        assert not np.array_equal(before, metric.rows(said, true, state)), spec


def test_scores_that_are_no_finite_numbers_fail_their_answer(text_task: Callable[..., Path], tmp_path: Path) -> None:
    given: Sequence[Any] = [np.float32(0.5), float("nan"), "high", 0.25]

    class Model:
        capabilities = frozenset({"text", "by_sample"})

        def fingerprint(self) -> dict[str, str]:
            return {"name": "scores"}

        def answer(self, requests: Any) -> Any:
            for request in requests:
                value = given[int(request.sample[1:])]
                yield request, radbench.Answer("yes", scores={"yes": value, "no": 0.1})

    task = text_task(4, kind="classification", choices=["yes", "no"], metrics=["accuracy"])
    evaluation = radbench.evaluate(Model(), str(task), out=tmp_path / "run", resamples=10)
    assert evaluation.results is not None
    assert evaluation.results["tasks"]["test/toy"]["failures"] == {"model": 1, "unparsable": 1}
    lines = [
        json.loads(line) for f in (tmp_path / "run" / "answers").glob("*.jsonl") for line in f.read_text().splitlines()
    ]
    assert sorted(line["scores"]["yes"] for line in lines if "scores" in line) == [0.25, 0.5]


def test_a_value_that_is_lost_is_told(
    text_task: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    task = text_task(4, metrics=["exact-match", "rouge-1"])
    radbench.evaluate("constant:yes", str(task), out=tmp_path / "run", resamples=10)
    monkeypatch.setattr(find_metric("rouge-1"), "unavailable", lambda: "no weights: fetch them")
    again = radbench.evaluate("constant:yes", str(task), out=tmp_path / "run", resamples=10)
    assert again.results is not None
    assert again.results["tasks"]["test/toy"]["unavailable"] == {"rouge-1": "no weights: fetch them"}
    assert again.results["complete"]
    assert "rouge-1 had the value" in caplog.text


@pytest.mark.parametrize(
    ("answer", "told"), [("constant:the heart is of normal size and the lungs are clear", True), ("oracle", False)]
)
def test_a_template_for_every_image_is_told(answer: str, told: bool, tmp_path: Path) -> None:
    rows = (
        {
            "id": f"s{i}",
            "question": f"Report {i}?",
            "answer": f"finding {i} in segment {i % 7}, otherwise the chest is normal",
        }
        for i in range(120)
    )
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    task = {
        "name": "test/reports",
        "kind": "report",
        "metrics": ["rouge-l"],
        "data": {"table": "samples.jsonl", "access": "open"},
    }
    (tmp_path / "reports.yaml").write_text(json.dumps(task))
    evaluation = radbench.evaluate(answer, str(tmp_path / "reports.yaml"), out=tmp_path / "run", resamples=10)
    assert ("the answers look alike" in evaluation.table()) == told
