"""What stands in the paper's table: rows, printed scores beside them, footnotes, and what is kept out of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import radbench
from radbench.analysis.pairing import open_runs
from radbench.errors import ConfigError, DataError
from radbench.paper.formats import FORMATS, write
from radbench.paper.rows import Row
from radbench.paper.table import PaperTable, paper_table
from radbench.registry import all_groups, all_tasks

SECRET = "Morbus Teststein"


def entry(value: float | None = 0.5, signature: str = "s|v:1", **fields: Any) -> dict[str, Any]:
    low, high = (None, None) if value is None else (value - 0.1, value + 0.1)
    return {"value": value, "low": low, "high": high, "defined": 1000, "n": 40, "better": "higher",
            "signature": signature, **fields}  # fmt: skip


def task(metrics: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "version": 1, "title": "", "access": "open", "regime": "zero-shot", "n": 40, "unanswered": 0, "unscorable": 0,
        "clusters": 400, "clustered": True, "failures": {}, "classes": {}, "metrics": dict(metrics), "unavailable": {},
        "broken": {}, "collapse": None, "subgroups": {}, **fields,
    }  # fmt: skip


def suite_task(name: str, **fields: Any) -> dict[str, Any]:
    """The entry of a suite's task, every metric at .5."""
    declared = all_tasks()[name]
    return task({metric: entry() for metric in declared.metrics}, title=declared.title, **fields)


class Runs:
    """Writes the results of made-up runs and reads them as a table."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.paths: list[Path] = []

    def add(
        self, tasks: Mapping[str, Any], groups: Mapping[str, Any] | None = None, model: str = "m", **fields: Any
    ) -> Path:
        path = self._root / f"run{len(self.paths)}"
        path.mkdir()
        results = {
            "radbench": "0", "model": {"name": model}, "seed": 0, "resamples": 1000, "level": 0.95, "complete": True,
            "partial": False, "skipped": {}, "unreadable": {}, "tasks": dict(tasks), "groups": dict(groups or {}), **fields,
        }  # fmt: skip
        (path / "results.json").write_text(json.dumps(results, sort_keys=True))
        self.paths.append(path)
        return path

    def table(self, **chosen: Any) -> PaperTable:
        return paper_table(open_runs(self.paths), **chosen)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def rows(table: PaperTable) -> list[Row]:
    return [row for section in table.sections for row in section.rows]


def notes(table: PaperTable) -> str:
    return "\n".join([*(note for section in table.sections for note in section.notes), *table.notes])


def test_a_real_run_has_its_results_in_the_table(text_task: Callable[..., Path], tmp_path: Path) -> None:
    path = text_task(40, title="Toys", metrics=["exact-match", "token-f1"])
    radbench.evaluate("constant:yes", str(path), out=tmp_path / "run", resamples=100)
    results = json.loads((tmp_path / "run" / "results.json").read_text())["tasks"]["test/toy"]
    table = paper_table(open_runs([tmp_path / "run"]))
    assert [(s.name, [r.metric for r in s.rows]) for s in table.sections] == [("test", ["exact-match", "token-f1"])]
    for row in rows(table):
        (result,) = row.results
        assert result is not None
        expected = results["metrics"][row.metric]
        assert (result.value, result.low, result.high, result.n) == tuple(
            expected[k] for k in ("value", "low", "high", "n")
        )
        assert (row.title, row.signature, result.clusters) == ("Toys", expected["signature"], results["clusters"])
        assert not row.published


def test_a_printed_score_of_the_same_metric_stands_in_our_row(runs: Runs) -> None:
    runs.add({"meddr/diagnosis/octmnist": suite_task("meddr/diagnosis/octmnist")})
    own = {row.metric: row for row in rows(runs.table()) if not row.as_printed}
    assert [p.model for p in own["f1-macro"].published] == ["RadFM", "LLaVA-Med", "Med-Flamingo", "InternVL", "MedDr"]
    assert [p.value for p in own["f1-macro"].published] == [
        None,
        0.315,
        0.1,
        0.454,
        0.583,
    ]  # the paper prints N/A first
    assert "N/A" in own["f1-macro"].published[0].doubt
    assert own["accuracy-macro"].published == ()


def test_another_definition_has_a_row_of_its_own_below_the_nearest(runs: Runs) -> None:
    runs.add({"medinterp/report/mimic-cxr-findings": suite_task("medinterp/report/mimic-cxr-findings")})
    found = rows(runs.table())
    assert [(r.metric, r.as_printed) for r in found[:2]] == [("bleu-4", False), ("BLEU-4", True)]
    assert found[1].results == (None,)
    assert found[1].published[-1].model == "MedVersa"
    assert (found[1].published[-1].value, found[1].published[-1].low) == (0.178, 0.172)  # printed times 100
    assert "tokeniser" in found[1].published[-1].reason
    radcliq = next(r for r in found if r.metric == "RadCliQ")
    assert radcliq.published[-1].value == 2.71  # of no unit: as printed


def test_a_group_has_the_papers_pooled_scores(runs: Runs) -> None:
    group = next(g for g in all_groups() if g.name == "radbench/modality-recognition")
    value = {k: v for k, v in entry().items() if k not in ("n", "signature")}
    pooled = {"clustered": True, "how": "pool", "members": list(group.members), "n": 10,
              "metrics": dict.fromkeys(group.metrics, value)}  # fmt: skip
    runs.add({"radbench/modality/rad3d": suite_task("radbench/modality/rad3d")}, {group.name: pooled})
    found = [row for row in rows(runs.table()) if row.task == group.name]
    assert [(row.metric, row.how) for row in found] == [("accuracy", "pool"), ("f1-macro", "pool")]
    assert {p.model: p.value for p in found[0].published}["RadFM"] == 0.9295
    assert found[0].results[0] is not None
    assert (found[0].results[0].n, found[0].results[0].failed) == (10, None)


def test_an_option_that_changes_the_metrics_keeps_the_printed_scores(runs: Runs) -> None:
    """``accuracy=micro`` replaces the task's metrics; the printed accuracy then comes nearest to the one that is there."""
    runs.add({"meddr/diagnosis/octmnist": task({"accuracy": entry(), "f1-macro": entry()})})
    printed = next(row for row in rows(runs.table()) if row.as_printed)
    assert {(p.metric, p.nearest) for p in printed.published} == {("Accuracy", "accuracy")}


def test_a_printed_metric_that_is_none_of_ours_is_shown_all_the_same(runs: Runs) -> None:
    runs.add({"open/vqamed2019": suite_task("open/vqamed2019")})
    last = rows(runs.table())[-1]
    assert (last.metric, last.as_printed, last.published[0].nearest) == ("accuracy", True, None)
    assert "no metric in this row" in last.published[0].reason
    assert all(not row.as_printed for row in rows(runs.table(metrics=["vqa-recall"])))


def test_settings_are_told_where_a_model_is_printed_under_several(runs: Runs) -> None:
    runs.add({name: suite_task(name) for name in ("meddr/rag/breastmnist", "meddr/diagnosis/pneumoniamnist")})
    models = {row.task: {p.model for p in row.published} for row in rows(runs.table()) if row.published}
    assert {"MedDr, w/ RAG", "MedDr, w/o RAG"} <= models["meddr/rag/breastmnist"]
    assert "MedDr" in models["meddr/diagnosis/pneumoniamnist"]


def test_tables_are_the_papers_and_metrics_in_their_order(runs: Runs) -> None:
    names = ["meddr/vqa/slake", "meddr/diagnosis/octmnist", "meddr/vqa/vqa-rad", "medinterp/detection/anatomy",
             "medinterp/segmentation/ham10000", "phantom/vqa"]  # fmt: skip
    runs.add({**{name: suite_task(name) for name in names}, "mine/a/b/c": task({"x": entry()})})
    table = runs.table()
    assert [s.name for s in table.sections] == ["meddr/vqa", "meddr/diagnosis", "medinterp", "phantom", "mine"]
    assert list(dict.fromkeys(r.task for r in table.sections[0].rows)) == ["meddr/vqa/vqa-rad", "meddr/vqa/slake"]
    own = [r.metric for r in table.sections[0].rows if not r.as_printed and r.task == "meddr/vqa/slake"]
    assert own == list(all_tasks()["meddr/vqa/slake"].metrics)


def test_runs_stand_side_by_side(runs: Runs) -> None:
    runs.add({"a/x": task({"p": entry(0.1), "q": entry(0.2)})}, model="one")
    runs.add({"a/x": task({"p": entry(0.3)}, n=20), "a/y": task({"p": entry(0.4)})}, model="two")
    table = runs.table()
    assert [c.label for c in table.columns] == ["one", "two"]
    values = {(r.task, r.metric): [x and x.value for x in r.results] for r in rows(table)}
    assert values == {("a/x", "p"): [0.1, 0.3], ("a/x", "q"): [0.2, None], ("a/y", "p"): [None, 0.4]}
    assert "a/x: the runs differ in n" in notes(table)


def test_other_versions_and_signatures_never_share_a_row(runs: Runs) -> None:
    runs.add({"a/x": task({"p": entry(0.1)})})
    runs.add({"a/x": task({"p": entry(0.2, signature="s|v:2")})})
    runs.add({"a/x": task({"p": entry(0.3)}, version=2)})
    assert [[x and x.value for x in r.results] for r in rows(runs.table())] == [
        [0.1, None, None], [None, 0.2, None], [None, None, 0.3],
    ]  # fmt: skip
    assert "version 2 of the task" in write(runs.table(), "md")


def test_runs_of_one_model_are_told_apart(runs: Runs, tmp_path: Path) -> None:
    path = runs.add({"a/x": task({"p": entry()})})
    runs.add({"a/x": task({"p": entry()})})
    assert [c.label for c in runs.table().columns] == ["m (run0)", "m (run1)"]
    again = paper_table(open_runs([path, path]))
    assert len({c.label for c in again.columns}) == 2


def test_notes_are_those_of_the_report_with_the_run_where_runs_differ(runs: Runs) -> None:
    runs.add({"a/x": task({"p": entry()}, clustered=False, failures={"empty": 3})}, model="one", partial=True)
    runs.add({"a/x": task({"p": entry()}, clustered=False)}, model="two", skipped={"a/z": "absent"})
    told = notes(runs.table())
    assert "one: PARTIAL" in told
    assert "\n* unclustered" in told
    assert "one: a/x: failed answers score worst: 3 empty." in told
    assert "two: Not run for want of data: a/z." in told
    assert runs.table(tasks=["a/x"]).notes == ()


def test_a_metric_without_value_has_a_row_and_a_note_but_no_path(runs: Runs) -> None:
    reason = "chexbert not found in /home/someone/weights; radbench fetch weights chexbert"
    runs.add({"a/x": task({"p": entry()}, unavailable={"chexbert-vector": reason}, broken={"q": SECRET})})
    table = runs.table()
    assert [(r.metric, r.results) for r in rows(table)][1:] == [("chexbert-vector", (None,)), ("q", (None,))]
    assert "a/x: chexbert-vector unavailable" in notes(table)
    assert "a/x: q FAILED" in notes(table)
    for form in FORMATS:
        assert "/home/someone" not in write(table, form)
        assert SECRET not in write(table, form)


def test_of_restricted_data_no_class_error_or_path_is_told(runs: Runs, tmp_path: Path) -> None:
    classes = {f"{SECRET} {i}": i + 1 for i in range(3)}
    metrics = {"f1-macro": entry(signature="f1|avg:macro|v:1"), "p": entry()}
    closed = task(metrics, access="credentialed", classes=classes, broken={"q": SECRET}, failures={"empty": 1})
    unreadable = {"a/y": f"/data/{SECRET}.csv: not readable"}
    path = runs.add({"a/x": closed, "a/open": task(metrics, classes={"told": 300})}, unreadable=unreadable)
    identity = {"tasks": {"a/x": {"options": {"names": f"/data/{SECRET}"}}}}
    (path / "manifest.json").write_text(json.dumps({"identity": identity}))
    table = runs.table()
    for form in FORMATS:
        assert SECRET not in write(table, form)
    assert "a/x: failed answers score worst: 1 empty." in notes(table)
    assert "a/open: n by class: told 300." in notes(table)
    assert "a/y: STOPPED" in notes(table)
    assert "options set (names): a/x" in notes(table)
    assert "classes of fewer than 20 samples" in notes(table)  # counted, not named


def test_options_that_depart_from_the_suite_are_told(runs: Runs) -> None:
    path = runs.add({"meddr/diagnosis/octmnist": suite_task("meddr/diagnosis/octmnist")})
    identity = {"tasks": {"meddr/diagnosis/octmnist": {"options": {"accuracy": "micro", "size": 64}}}}
    (path / "manifest.json").write_text(json.dumps({"identity": identity}))
    assert "options set (accuracy=micro, size=64): meddr/diagnosis/octmnist" in notes(runs.table())


def test_regimes_other_than_zero_shot_are_told(runs: Runs) -> None:
    runs.add({"a/x": task({"p": entry()}, regime="fine-tuned"), "a/y": task({"p": entry()})})
    assert "fine-tuned: a/x." in notes(runs.table())


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"tasks": ["meddr"]}, {"meddr/vqa/slake"}),
        ({"tasks": ["*/vqa"]}, {"phantom/vqa"}),
        ({"tasks": ["a/x", "phantom/vqa"]}, {"a/x", "phantom/vqa"}),
        ({"metrics": ["vqa-recall"]}, {"meddr/vqa/slake", "phantom/vqa"}),
        ({"metrics": ["p"]}, {"a/x"}),
        ({"metrics": ["p:k=1"]}, {"a/x"}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_tasks_and_metrics_are_chosen_by_name(runs: Runs, chosen: dict[str, list[str]], expected: set[str]) -> None:
    runs.add(
        {
            "a/x": task({"p:k=1": entry(), "q": entry()}),
            **{n: suite_task(n) for n in ("meddr/vqa/slake", "phantom/vqa")},
        }
    )
    found = rows(runs.table(**chosen))
    assert {row.task for row in found} == expected
    if "metrics" in chosen:
        assert {row.metric for row in found} <= {"vqa-recall", "Recall", "p:k=1"}


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"tasks": ["a/xx"]}, "unknown task 'a/xx': did you mean 'a/x'"),
        ({"metrics": ["acuracy"]}, "unknown metric 'acuracy'.*'accuracy'"),
    ],
)
def test_a_name_in_no_run_is_an_error_that_tells_the_nearest(runs: Runs, chosen: dict[str, Any], message: str) -> None:
    runs.add({"a/x": task({"accuracy": entry()})})
    with pytest.raises(ConfigError, match=message):
        runs.table(**chosen)


def test_a_folder_without_results_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"identity": {}}')
    with pytest.raises(DataError, match=r"has no results\.json yet"):
        open_runs([tmp_path])
