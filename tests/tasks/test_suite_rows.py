"""All 75 rows of the four papers' tables on made-up official layouts: each reads, renders, parses and scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from miniatures import SUITE_ROWS, data_for
from radbench.tasks.published import suite_rows

import radbench
from radbench.dataset import DataLocations
from radbench.prompting import Renderer
from radbench.records import Image
from radbench.registry import all_tasks, find_metric, find_model
from radbench.task import Task

ROWS = {row["row_id"]: row for row in suite_rows()}
SUITES = ("radbench", "radvlbench", "medinterp", "meddr")
TASKS = {n: t for n, t in all_tasks().items() if n.partition("/")[0] in SUITES}
TABLE: dict[str, list[str]] = {}


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("official")


@pytest.fixture(scope="module", autouse=True)
def _table(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    request.config.stash[SUITE_ROWS] = TABLE


def tasks_of(row: str) -> list[Task]:
    return [t for t in TASKS.values() if row in t.published]


def test_every_row_has_its_task_and_every_task_its_row() -> None:
    assert len(ROWS) == 75
    assert all(tasks_of(row) for row in ROWS)
    assert all(set(t.published) <= ROWS.keys() and t.published for t in TASKS.values())
    assert all(t.access == ROWS[t.published[0]]["access_level"] for t in TASKS.values())


@pytest.mark.parametrize("row", sorted(ROWS))
def test_a_row_reads_renders_parses_and_scores(row: str, official: Path, tmp_path: Path) -> None:
    for task in tasks_of(row):
        data = data_for(official, task)
        reader = task.dataset.open(DataLocations.parse(data))
        samples = list(reader.samples(task.split))
        requests = [Renderer(task, 0, b"").render(s) for s in samples]
        assert samples
        assert all(r.text.strip() for r in requests), "every request asks something"
        shown = [sum(isinstance(p, Image) for m in r.messages for p in m.content) for r in requests]
        assert shown == [len(s.images) for s in samples], "every picture is shown once"
        evaluation = radbench.evaluate("oracle:form=text", task.spec, data=data, out=tmp_path / task.name, resamples=20)
        entry = evaluation.results["tasks"][task.name]  # type: ignore[index]
        assert entry["n"] == len(samples)
        assert not entry["failures"], entry["failures"]
        assert not entry["broken"], entry["broken"]
        assert set(entry["metrics"]) | set(entry["unavailable"]) == set(task.metrics)
        undefined = {name.partition(":")[0] for name, metric in entry["metrics"].items() if metric["value"] is None}
        # No yes/no question or no medical term among a dozen made-up answers: nothing to average.
        assert undefined <= {
            "vqa-closed-accuracy",
            "vqa-open-recall",
            "vqa-open-accuracy",
            "umls-precision",
            "umls-recall",
        }
        _record(row, task, len(samples), entry)


def _record(row: str, task: Task, n: int, entry: dict[str, Any]) -> None:
    scored = f"{len(entry['metrics'])} of {len(task.metrics)}"
    if entry["unavailable"]:
        scored += " (others need weights, Java or WordNet)"
    TABLE[f"{row} {task.name}"] = [f"{n} samples", "yes", "yes", scored]


def test_scores_of_the_truth_are_the_best_there_are(official: Path, tmp_path: Path) -> None:
    """Accuracies, F1, IoU and Dice of the truth itself are 1, on every row that has them."""
    perfect = ("accuracy", "exact-match", "token-f1", "set-accuracy", "box-iou", "dice", "rouge-1", "letter")
    seen = set()
    for task in TASKS.values():
        names = [m for m in task.metrics if m.partition(":")[0] in perfect]
        if task.parser.target.endswith("bleu_labels"):
            continue  # MultiMedEval's rule does not find every name in a list of several: its own loss
        if not names:
            continue
        results = radbench.evaluate(
            "oracle", task.spec, data=data_for(official, task), out=tmp_path / task.name, resamples=5
        )
        for name in names:
            value = results.results["tasks"][task.name]["metrics"][name]["value"]  # type: ignore[index]
            assert value == pytest.approx(1, abs=1e-9), (task.name, name)
            seen.add(name)
    assert {"accuracy", "exact-match", "box-iou", "dice", "rouge-1"} <= seen


@pytest.mark.parametrize("row", sorted(r for r, facts in ROWS.items() if facts["task_kind"].startswith("rag_")))
def test_voting_runs_and_the_retrieval_prompt_tells_the_neighbours(row: str, official: Path, tmp_path: Path) -> None:
    from radbench.prompting import retrieved, support_of

    for task in tasks_of(row):
        data = data_for(official, task)
        k = 5 if ROWS[row]["task_kind"] == "rag_classification" else 1
        run = radbench.evaluate(f"knn:k={k}", task.spec, data=data, out=tmp_path / "run", resamples=5)
        assert not run.results["tasks"][task.name]["failures"]  # type: ignore[index]
        support = support_of(task, task.dataset.open(DataLocations.parse(data)), 0)
        text = retrieved(task, support.samples[:k])
        target = support.samples[0].targets[task.target]
        assert target[0][0] in text and "{" not in text  # type: ignore[index]


def test_options_are_those_of_reader_and_parser(official: Path) -> None:
    """Every option of every task can be set to each value it names; defaults are what the task does without it."""
    import inspect

    for task in TASKS.values():
        for option in task.options:
            if option.to == "names":
                continue  # a file: has a test of its own
            if option.to != "task":
                target = task.dataset.reader if option.to == "reader" else task.parser
                signature = inspect.signature(target.resolve())
                default = target.options.get(option.name, signature.parameters[option.name].default)
                assert default == option.default, (task.name, option.name)
            for value in option.values:
                changed = task.with_options({option.name: value})
                assert changed.chosen == ({} if value == option.default else {option.name: value})
                if option.name == "size":
                    continue  # a file of its own for each size
                next(
                    iter(changed.dataset.open(DataLocations.parse(data_for(official, changed))).samples(changed.split)),
                    None,
                )
            assert option.reason


def test_metrics_and_parsers_of_every_task_exist() -> None:
    for task in TASKS.values():
        task.parse()
        for metric in task.metrics:
            find_metric(metric)
    assert find_model("oracle:form=text").fingerprint()["form"] == "text"


def test_a_file_of_names_is_the_closed_set(official: Path, tmp_path: Path) -> None:
    """MedInterp scores 33 of the findings without naming them: one gives the list."""
    names = tmp_path / "names.txt"
    names.write_text("lung opacity\npleural effusion\n\n", encoding="utf-8")
    for name in ("classification/chest-imagenome", "detection/pathology"):
        task = TASKS[f"medinterp/{name}"].with_options({"names": str(names)})
        assert task.choices == ("lung opacity", "pleural effusion")
        data = data_for(official, task)
        run = radbench.evaluate("oracle:form=text", f"{task.name}:names={names}", data=data, out=tmp_path / name)
        entry = run.results["tasks"][task.name]  # type: ignore[index]
        assert entry["metrics"][task.metrics[0]]["value"] == pytest.approx(1)
    with pytest.raises(radbench.RadbenchError, match="no file of names"):
        TASKS["medinterp/detection/pathology"].with_options({"names": str(tmp_path / "none.txt")})


@pytest.mark.parametrize(
    "name", sorted(n for n, t in TASKS.items() if any("metrics" in c for o in t.options for c in o.changes.values()))
)
def test_other_metrics_of_an_option_score_too(name: str, official: Path, tmp_path: Path) -> None:
    for option in TASKS[name].options:
        for value, changes in option.changes.items():
            if "metrics" in changes:
                task = TASKS[name].with_options({option.name: value})
                run = radbench.evaluate(
                    "oracle", task.spec, data=data_for(official, task), out=tmp_path / option.name, resamples=5
                )
                entry = run.results["tasks"][name]  # type: ignore[index]
                assert not entry["broken"] and entry["metrics"], entry["broken"]


def test_one_unreadable_task_does_not_stop_the_others(official: Path, tmp_path: Path) -> None:
    """A row that is wrong far down in one table: the other tasks are answered and scored, the run is incomplete."""
    import shutil

    data = tmp_path / "data"
    for name in ("vqa-rad", "slake", "pmc-vqa"):
        task = TASKS[f"radbench/vqa/{name}"]
        shutil.copytree(Path(data_for(official, task)[0].partition("=")[2]), data / name)
    table = data / "pmc-vqa" / "test.csv"
    table.write_text(table.read_text(encoding="utf-8") + "too,few\n", encoding="utf-8")
    for model in ("constant:yes", "oracle"):
        run = radbench.evaluate(model, "radbench/vqa/*", data=data, out=tmp_path / model.partition(":")[0])
        results = run.results
        assert results is not None
        assert {"radbench/vqa/slake", "radbench/vqa/vqa-rad"} == results["tasks"].keys()
        told = {**results["unreadable"], **results["skipped"]}["radbench/vqa/pmc-vqa"]
        assert "test.csv, line" in told and "2 columns" in told
    assert not radbench.evaluate("constant:yes", "radbench/vqa/*", data=data, out=tmp_path / "constant").results[
        "complete"
    ]  # type: ignore[index]


def test_a_model_that_learns_passes_over_tasks_without_support(official: Path, tmp_path: Path) -> None:
    external, own = TASKS["medinterp/vqa/iux-ray"], TASKS["medinterp/vqa/medical-diff-vqa"]
    data = [*data_for(official, external), *data_for(official, own)]
    run = radbench.evaluate("knn:k=1", "medinterp/vqa/*", data=data, out=tmp_path / "run", resamples=5)
    assert run.results is not None and list(run.results["tasks"]) == [own.name]
    assert "no support split" in run.results["skipped"][external.name]
    with pytest.raises(radbench.RadbenchError, match="no support split"):
        radbench.evaluate("knn:k=1", external.name, data=data, out=tmp_path / "named")


def test_pictures_and_volumes_of_one_row_are_compared_as_pictures(official: Path, tmp_path: Path) -> None:
    task = TASKS["radbench/vqa/rad3d"]
    kinds = {
        i.kind
        for s in task.dataset.open(DataLocations.parse(data_for(official, task))).samples("train")
        for i in s.images
    }
    assert kinds == {"2d", "volume"}
    run = radbench.evaluate("knn:k=1", task.name, data=data_for(official, task), out=tmp_path / "run", resamples=5)
    assert run.results is not None and not run.results["tasks"][task.name]["failures"]
