"""``radbench compare`` on real runs: what is compared, what is said beside it, and the three ways of printing it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import radbench
from radbench.analysis.compare import compare
from radbench.analysis.compare_metrics import Setting, _mean_scores, metrics_of, sample_counts
from radbench.analysis.compare_notes import _other_counts
from radbench.analysis.compare_strata import strata_of
from radbench.analysis.compare_text import as_markdown, as_text
from radbench.analysis.pairing import ScoredRun, pair
from radbench.analysis.subgroups import subgroup_results
from radbench.bundle.export import export_run
from radbench.cli import compare as command
from radbench.cli import work
from radbench.errors import ConfigError, DataError, RadbenchError, ResumeError
from radbench.records import Answer, Request
from radbench.registry import find_metric
from radbench.statfiles import TaskStatistics
from radbench.statistics import Measure, clusters_of

TaskWriter = Callable[..., Path]


class Skilled:
    """Answers the yes/no questions of ``text_task``, right with a probability; ``more`` goes into its fingerprint."""

    capabilities = frozenset({"text"})

    def __init__(self, skill: float, seed: int = 0, **more: str) -> None:
        self.skill, self.more = skill, {"seed": str(seed), **more}
        self.rng = np.random.default_rng(seed)

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "test", "name": f"skilled-{self.skill}", **self.more}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            truth = "yes" if int(request.sample[1:]) % 3 else "no"
            wrong = "no" if truth == "yes" else "yes"
            yield request, Answer(text=truth if self.rng.random() < self.skill else wrong)


class Marked:
    """Says the same of every even question and something else of every odd one."""

    capabilities = frozenset({"text"})

    def __init__(self, name: str) -> None:
        self.name = name

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "test", "name": self.name}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            number = int(request.sample[1:])
            yield request, Answer(text=f"said {number}" if number % 2 else "no")


Runs = Callable[..., list[Path]]


@pytest.fixture
def runs(text_task: TaskWriter, tmp_path: Path) -> Runs:
    """Folders a, b, c ... of one task, one for each model."""

    def make(*models: Any, n: int = 60, metrics: tuple[str, ...] = ("exact-match",), **options: Any) -> list[Path]:
        task = str(text_task(n, metrics=list(metrics)))
        paths = [tmp_path / name for name, _ in zip("abcdefgh", models, strict=False)]
        for path, model in zip(paths, models, strict=True):
            radbench.evaluate(model, task, out=path, **{"resamples": 200, **options})
        return paths

    return make


def only_metric(found: Mapping[str, Any], metric: str = "exact-match") -> Any:
    return found["tasks"]["test/toy"]["metrics"][metric]


def test_two_runs(runs: Runs) -> None:
    paths = runs(Skilled(0.9), Skilled(0.4, 1))
    found = compare(paths)
    task, entry = found["tasks"]["test/toy"], only_metric(found)
    (one,) = entry["pairs"]
    stored = [
        json.loads((p / "results.json").read_text())["tasks"]["test/toy"]["metrics"]["exact-match"] for p in paths
    ]
    for own, expected in zip(entry["runs"].values(), stored, strict=True):
        assert [own[k] for k in ("value", "low", "high")] == [expected[k] for k in ("value", "low", "high")]
    assert one["difference"] == pytest.approx(stored[0]["value"] - stored[1]["value"])
    assert one["low"] < one["difference"] < one["high"]
    assert one["p"] == one["p_holm"] < 0.05
    assert (task["n"], task["rows"], task["clusters"], task["left_out"]) == (60, 60, 30, {"a": 0, "b": 0})
    assert one["wins"] + one["ties"] + one["losses"] == 60
    assert (one["only_a"], one["only_b"]) == (one["wins"], one["losses"])
    assert one["both_right"] + one["both_wrong"] == one["ties"]
    assert one["both_right"] + one["only_a"] == pytest.approx(60 * stored[0]["value"])
    assert task["labels"] == []
    assert not any("REGIMES" in note or "PARTIAL" in note for note in found["notes"])


def test_the_other_way_round_is_the_same_with_the_other_sign(runs: Runs) -> None:
    a, b = runs(Skilled(0.7), Skilled(0.5, 1))
    (one,), (other,) = (only_metric(compare(paths))["pairs"] for paths in ([a, b], [b, a]))
    assert (other["difference"], other["low"], other["high"]) == (-one["difference"], -one["high"], -one["low"])
    assert (other["p"], other["wins"], other["only_b"]) == (one["p"], one["losses"], one["only_a"])


def test_identical_answers(runs: Runs) -> None:
    found = compare(runs("constant:yes", Skilled(1.0), "constant:YES"))
    by_pair = {one["a"] + one["b"]: one for one in only_metric(found)["pairs"]}
    one = by_pair["ac"]
    assert (one["difference"], one["low"], one["high"], one["p"], one["ties"]) == (0, 0, 0, 1, 60)
    assert [pair["identical"] for pair in by_pair.values()] == [False, True, False]
    assert "test/toy: a and c are identical on all 60 common samples (exact-match)." in found["notes"]


def test_only_common_samples_are_compared_and_the_others_told(text_task: TaskWriter, tmp_path: Path) -> None:
    for name, n, skill in (("a", 60, 0.9), ("b", 50, 0.5)):
        radbench.evaluate(Skilled(skill), str(text_task(n, folder=f"task-{name}")), out=tmp_path / name, resamples=50)
    found = compare([tmp_path / "a", tmp_path / "b"])
    task = found["tasks"]["test/toy"]
    assert (task["n"], task["left_out"]) == (50, {"a": 10, "b": 0})
    assert task["labels"] == ["other data"]
    assert any("left out: 10 of a; 50 are compared" in note for note in found["notes"])
    assert any("read different data" in note for note in found["notes"])
    value = json.loads((tmp_path / "b" / "results.json").read_text())["tasks"]["test/toy"]["metrics"]["exact-match"]
    assert only_metric(found)["runs"]["b"]["value"] == value["value"]


def test_holm_is_over_the_metrics_of_a_task(runs: Runs) -> None:
    found = compare(runs(Skilled(0.7), Skilled(0.5, 3), metrics=("exact-match", "token-f1", "rouge-1")))
    pairs = [entry["pairs"][0] for entry in found["tasks"]["test/toy"]["metrics"].values()]
    assert found["tasks"]["test/toy"]["comparisons"] == 3
    assert min(p["p_holm"] for p in pairs) == pytest.approx(min(1, 3 * min(p["p"] for p in pairs)))
    few = compare([Path(run["path"]) for run in found["runs"]], metrics=["token-f1"])
    assert list(few["tasks"]["test/toy"]["metrics"]) == ["token-f1"]
    assert only_metric(few, "token-f1")["pairs"][0]["p_holm"] == only_metric(few, "token-f1")["pairs"][0]["p"]


def test_three_runs_have_ranks(runs: Runs) -> None:
    found = compare(runs(Skilled(0.5, 1), Skilled(0.95, 2), Skilled(0.9, 3)))
    own = only_metric(found)["runs"]
    assert [own[run]["rank_group"] for run in "abc"] == [3, 1, 1]
    assert own["a"]["rank"] == 3
    assert (own["a"]["rank_low"], own["a"]["rank_high"]) == (3, 3)
    assert {own["b"]["rank"], own["c"]["rank"]} == {1, 2}
    assert [(one["a"], one["b"]) for one in only_metric(found)["pairs"]] == [("a", "b"), ("a", "c"), ("b", "c")]
    lines = as_text(found).splitlines()
    shown = [line.split()[3] for line in lines if line.startswith("test/toy  ")]
    assert shown == sorted("abc", key=lambda run: -own[run]["value"])


def test_pairs_of_many_runs_are_those_of_two(runs: Runs) -> None:
    paths = runs(Skilled(0.5, 1), Skilled(0.8, 2), Skilled(0.9, 3))
    several = {(one["a"], one["b"]): one for one in only_metric(compare(paths))["pairs"]}
    (two,) = only_metric(compare(paths[1:]))["pairs"]
    for key in ("difference", "low", "high", "p", "wins", "both_wrong"):
        assert several["b", "c"][key] == two[key]


def test_intervals_at_the_ends_of_the_scale_are_those_of_the_report(runs: Runs) -> None:
    paths = runs(Skilled(1.0), Skilled(0.0))
    found = compare(paths)
    for path, own in zip(paths, only_metric(found)["runs"].values(), strict=True):
        stored = json.loads((path / "results.json").read_text())["tasks"]["test/toy"]["metrics"]["exact-match"]
        assert {key: stored[key] for key in own} == own
        assert own["method"] == "wilson"
    (one,) = only_metric(found)["pairs"]
    assert (one["difference"], one["low"], one["high"], one["only_a"]) == (1, 1, 1, 60)
    assert any("an interval without width says nothing" in note for note in found["notes"])
    assert any("Wilson" in note and "exact-match of a" in note for note in found["notes"])


# --- not like with like ---


def test_other_regimes_are_compared_under_a_label(runs: Runs) -> None:
    found = compare(runs(Skilled(0.9, regime="few-shot"), Skilled(0.5, 1), Skilled(0.5, 2), n=40))
    assert found["tasks"]["test/toy"]["regimes"] == {"a": "few-shot", "b": "zero-shot", "c": "zero-shot"}
    assert any("REGIMES DIFFER (a few-shot, b zero-shot, c zero-shot)" in note for note in found["notes"])
    lines = [line for line in as_text(found).splitlines() if line.startswith("test/toy  ")]
    assert sorted(line.split("regimes differ: ")[1] for line in lines) == ["few-shot", "zero-shot", "zero-shot"]


def test_a_fitted_model_is_another_regime(text_task: TaskWriter, tmp_path: Path) -> None:
    task = str(text_task(40, support="leave-one-cluster-out"))
    for name, model in (("a", "majority"), ("b", "constant:yes")):
        radbench.evaluate(model, task, out=tmp_path / name, resamples=50)
    found = compare([tmp_path / "a", tmp_path / "b"])
    task_entry = found["tasks"]["test/toy"]
    assert task_entry["regimes"] == {"a": "fitted on leave-one-cluster-out", "b": "zero-shot"}
    assert task_entry["labels"] == ["regimes differ"]
    (note,) = (note for note in found["notes"] if "REGIMES DIFFER" in note)
    assert "not like with like" in note
    for text in (as_text(found), as_markdown(found)):
        (line,) = (line for line in text.splitlines() if line.lstrip("| ").startswith("test/toy "))
        assert "regimes differ" in line


def test_a_partial_run_is_labelled(runs: Runs, tmp_path: Path, text_task: TaskWriter) -> None:
    (a,) = runs(Skilled(0.9))
    radbench.evaluate(Skilled(0.5), str(text_task(60)), out=tmp_path / "b", resamples=200, limit=20)
    found = compare([a, tmp_path / "b"])
    assert found["tasks"]["test/toy"]["labels"] == ["partial: b"]
    assert found["tasks"]["test/toy"]["n"] == 20
    assert any(note.startswith("b is PARTIAL (only the first 20 samples") for note in found["notes"])
    assert "b (model skilled-0.5, PARTIAL)" in as_text(found)
    (line,) = (line for line in as_text(found).splitlines() if line.startswith("test/toy "))
    assert line.endswith("partial: b")


def test_other_prompts_and_unclustered_tasks_are_labelled(text_task: TaskWriter, tmp_path: Path) -> None:
    table = {"table": "samples.jsonl", "access": "open"}  # no patients
    for name, prompt in (("a", "{question}"), ("b", "Please: {question}")):
        task = text_task(30, folder=f"task-{name}", prompt=prompt, data=table)
        radbench.evaluate(Skilled(0.8), str(task), out=tmp_path / name, resamples=50)
    found = compare([tmp_path / "a", tmp_path / "b"])
    assert "other prompts" in found["tasks"]["test/toy"]["labels"]
    assert not found["tasks"]["test/toy"]["clustered"]
    assert any("* unclustered" in note for note in found["notes"])
    assert re.search(r"\] \*", as_text(found))


def test_other_draws_and_seeds_are_told(text_task: TaskWriter, tmp_path: Path) -> None:
    task = str(text_task(30))
    radbench.evaluate(Skilled(0.9), task, out=tmp_path / "a", resamples=50, draws=2)
    radbench.evaluate(Skilled(0.5), task, out=tmp_path / "b", resamples=70, draws=3, seed=1)
    found = compare([tmp_path / "a", tmp_path / "b"])
    entry = found["tasks"]["test/toy"]
    assert (found["resamples"], found["seed"]) == (50, 0)
    assert (entry["n"], entry["rows"], only_metric(found)["n"]) == (30, 180, 30)
    one = only_metric(found)["pairs"][0]
    means = []
    for name, many in (("a", 2), ("b", 3)):
        with np.load(tmp_path / name / "stats" / "test" / "toy" / "exact-match.npz") as archive:
            means.append(archive["scores"].reshape(30, many).mean(axis=1).round(9))
    expected = [int((means[0] > means[1]).sum()), int((means[0] == means[1]).sum()), int((means[0] < means[1]).sum())]
    assert [one[key] for key in ("wins", "ties", "losses")] == expected
    assert sum(expected) == 30
    assert any("a 2, b 3" in note for note in found["notes"])
    assert any("seed 0, 50 resamples" in note for note in found["notes"])


def test_too_few_resamples_for_so_many_comparisons(runs: Runs) -> None:
    paths = runs(Skilled(0.9), Skilled(0.5), metrics=("exact-match", "token-f1"), resamples=39)
    (note,) = (note for note in compare(paths)["notes"] if "resamples no p falls below" in note)
    assert "no p falls below 1/40, so that 2 comparisons can never reach 0.05" in note
    assert "40 resamples could" in note  # 2 / 41 is below .05
    assert not any("no p falls below" in note for note in compare(paths, metrics=["exact-match"])["notes"])


def test_one_patient_tells_nothing(text_task: TaskWriter, tmp_path: Path) -> None:
    task = text_task(40)
    table = task.parent / "samples.jsonl"
    table.write_text(re.sub(r'"patient": "p\d+"', '"patient": "p"', table.read_text()))
    for name, skill in (("a", 1.0), ("b", 0.5), ("c", 0.0)):
        radbench.evaluate(Skilled(skill), str(task), out=tmp_path / name, resamples=100)
    found = compare([tmp_path / name for name in "abc"])
    entry = only_metric(found)
    assert found["tasks"]["test/toy"]["clusters"] == 1
    assert {one["p"] for one in entry["pairs"]} == {1.0}
    assert {own["rank_group"] for own in entry["runs"].values()} == {1}
    assert any(
        "of 1 cluster no p falls below 1, so that 2 comparisons can never reach 0.05" in n for n in found["notes"]
    )


def test_the_order_of_rows_and_runs_changes_no_number(text_task: TaskWriter, tmp_path: Path) -> None:
    for name, skill in (("a", 0.8), ("b", 0.5)):
        task = text_task(60, folder=f"task-{name}", metrics=["exact-match", "token-f1", "bleu-1"])
        table = task.parent / "samples.jsonl"
        lines = table.read_text().splitlines(keepends=True)
        order = np.random.default_rng(1).permutation(60) if name == "b" else range(60)
        table.write_text("".join(lines[i] for i in order))
        radbench.evaluate(Skilled(skill, 3), str(task), out=tmp_path / name, resamples=100)
    there, back = (compare([tmp_path / x for x in order], axes=["sex"])["tasks"]["test/toy"] for order in ("ab", "ba"))
    groups = [(there, back), *zip(*(t["strata"]["sex"]["groups"].values() for t in (there, back)), strict=True)]
    for one, other in groups:
        for metric in ("exact-match", "token-f1", "bleu-1"):
            assert one["metrics"][metric]["runs"] == other["metrics"][metric]["runs"]
            (p,), (q,) = (x["metrics"][metric]["pairs"] for x in (one, other))
            assert (p["difference"], p["low"], p["high"]) == (-q["difference"], -q["high"], -q["low"])
            assert (p["p"], p["p_holm"]) == (q["p"], q["p_holm"])


def test_other_patients_and_lacking_draws_are_told(text_task: TaskWriter, tmp_path: Path) -> None:
    for name in "ab":
        task = text_task(40, folder=f"task-{name}")
        if name == "b":
            table = task.parent / "samples.jsonl"
            table.write_text(re.sub(r'"patient": "p(\d)\d*"', r'"patient": "p\1"', table.read_text()))
        radbench.evaluate(Skilled(0.7, ord(name)), str(task), out=tmp_path / name, resamples=50, draws=2)
    file = tmp_path / "a" / "answers" / "1-of-1.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for i, line in enumerate(lines) if i != 7))
    work.score(str(tmp_path / "a"), None, None, None, None, True)
    found = compare([tmp_path / "a", tmp_path / "b"])
    task_entry = found["tasks"]["test/toy"]
    assert task_entry["clusters_differ"]
    assert (task_entry["n"], task_entry["rows"]) == (39, 78)
    assert (task_entry["left_out"], task_entry["lacking"]) == ({"a": 1, "b": 1}, {"a": 1, "b": 0})
    assert any(
        "name other patients for the same samples; intervals and p are by those of a" in n for n in found["notes"]
    )
    assert any("lack a draw which the run's others have, and are left out: 1 of a" in n for n in found["notes"])


def test_cautions_do_not_depend_on_the_order_of_runs(text_task: TaskWriter, tmp_path: Path) -> None:
    fields = {"kind": "classification", "choices": ["yes", "no"], "metrics": ["f1-macro"], "prompt": "{question}"}
    for name, n in (("a", 90), ("b", 45)):  # 30 and 15 of class "no"
        task = text_task(n, folder=f"task-{name}", **fields)
        radbench.evaluate(Skilled(0.7), str(task), out=tmp_path / name, resamples=50)
    cautions = []
    for order in ("ab", "ba"):
        (line,) = (n for n in compare([tmp_path / x for x in order])["notes"] if "classes of fewer than 20" in n)
        cautions.append(line)
    assert cautions[0] == cautions[1]
    assert "no 15" in cautions[0]


def test_samples_that_count_in_all_runs() -> None:
    """A metric that leaves samples out by the answers: n and its note are the same whichever run is first."""
    metric, rng = find_metric("dice:empty=drop-both"), np.random.default_rng(0)
    ids = np.array([f"s{i}".encode() for i in range(60)])

    def run(counted: Any) -> TaskStatistics:
        rows = np.stack([np.where(counted, rng.random(60), 0.0), counted], axis=1)
        return TaskStatistics(ids, ids, {"g": np.array(["x"] * 35 + ["y"] * 25)}, {"dice": Measure(metric, (), rows)})

    a, b = run(np.arange(60) < 50), run((np.arange(60) < 20) | (np.arange(60) >= 45))
    for runs, labels in (((a, b), ("a", "b")), ((b, a), ("b", "a"))):
        paired, setting = pair(runs, ["dice"]), Setting(labels, 100, 0, 0.95)
        entry = metrics_of(paired, ["dice"], setting)["dice"]
        assert entry["n"] == 25
        assert {label: own["n"] for label, own in entry["runs"].items()} == {"a": 50, "b": 35}
        groups = strata_of(paired, {"x": paired.axes["g"] == "x"}, {"dice": entry}, setting)["groups"]
        assert (groups["x"]["n"], groups["x"]["metrics"]["dice"]["n"]) == (35, 20)
        assert groups["x"]["metrics"]["dice"]["small"]
        (note,) = _other_counts({"metrics": {"dice": entry}})
        assert "a 50" in note and "b 35" in note and note.endswith("count in all: 25")


def test_scores_of_draws_are_averaged_where_there_are_some() -> None:
    metric = find_metric("dice:empty=drop-both")
    rows = np.array([[0.5, 1], [1.0, 1], [0.0, 0], [0.25, 1], [0.0, 0], [0.0, 0]])
    scores = _mean_scores(Measure(metric, (), rows), clusters_of(["x", "x", "y", "y", "z", "z"]))
    assert scores == pytest.approx([0.75, 0.25, np.nan], nan_ok=True)


# --- strata ---


def test_strata_and_the_worst_group(runs: Runs) -> None:
    found = compare(runs(Skilled(0.9), Skilled(0.5, 1), n=100), axes=["sex"])
    axis = found["tasks"]["test/toy"]["strata"]["sex"]
    assert {group: own["n"] for group, own in axis["groups"].items()} == {"F": 50, "M": 50}
    entries = {group: own["metrics"]["exact-match"] for group, own in axis["groups"].items()}
    differences = {group: entry["pairs"][0]["difference"] for group, entry in entries.items()}
    worst = axis["worst"]["exact-match"]
    (pair,) = worst["pairs"]
    assert pair["group"] == min(differences, key=differences.__getitem__)
    assert pair["difference"] == differences[pair["group"]]
    for run in "ab":
        values = {group: entry["runs"][run]["value"] for group, entry in entries.items()}
        assert worst["runs"][run]["value"] == min(values.values())
        overall = only_metric(found)["runs"][run]["value"]
        assert worst["runs"][run]["gap"] == pytest.approx(overall - min(values.values()))
        assert worst["runs"][run]["gap"] > 0
        stored = json.loads((Path(found["runs"]["ab".index(run)]["path"]) / "results.json").read_text())
        assert values["F"] == stored["tasks"]["test/toy"]["subgroups"]["sex"]["F"]["metrics"]["exact-match"]["value"]
        assert (
            entries["F"]["runs"][run]["low"]
            == (stored["tasks"]["test/toy"]["subgroups"]["sex"]["F"]["metrics"]["exact-match"]["low"])
        )
    assert "Worst groups" in as_text(found)


def test_the_gap_is_positive_where_lower_is_better_too(runs: Runs) -> None:
    by_sex = [Marked(f"model {i}") for i in range(2)]
    found = compare(runs(*by_sex, n=80, metrics=("same-report-pairs",)), axes=["sex"])
    overall = only_metric(found, "same-report-pairs")["runs"]["a"]["value"]
    worst = found["tasks"]["test/toy"]["strata"]["sex"]["worst"]["same-report-pairs"]["runs"]["a"]
    assert worst["group"] == "F"
    assert worst["gap"] == pytest.approx(1 - overall) and worst["gap"] > 0
    assert "worse than all by" in as_text(found)


def test_a_group_of_few_patients_is_small_too(text_task: TaskWriter, tmp_path: Path) -> None:
    task = text_task(160, strata=["site"])
    rows = [json.loads(line) for line in (task.parent / "samples.jsonl").read_text().splitlines()]
    for i, row in enumerate(rows):
        row |= {"patient": f"p{i % 9}" if i < 80 else f"p{i}", "site": "a" if i < 80 else "b"}
    (task.parent / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    paths = [tmp_path / name for name in "abc"]
    for path, skill in zip(paths, (0.9, 0.5, 0.4), strict=True):
        radbench.evaluate(Skilled(skill), str(task), out=path, resamples=50)
    axis = compare(paths, axes=["site"])["tasks"]["test/toy"]["strata"]["site"]
    few, many = (axis["groups"][label]["metrics"]["exact-match"] for label in "ab")
    assert (few["n"], few["small"], many["small"]) == (80, True, False)
    assert axis["groups"]["a"]["clusters"] == 9
    assert {one[key] for one in few["pairs"] for key in ("p", "p_holm")} == {None}
    assert {own["rank_group"] for own in few["runs"].values()} == {None}
    assert axis["comparisons"] == 3
    assert axis["worst"]["exact-match"]["runs"]["a"] is None
    assert [group["metrics"]["exact-match"]["small"] for group in subgroups_of(paths[0], "site").values()] == [
        True,
        False,
    ]


def subgroups_of(path: Path, axis: str) -> Any:
    return subgroup_results(ScoredRun(path), specs=[axis])["tasks"]["test/toy"]["axes"][axis]["groups"]


def test_a_small_group_is_bracketed_and_never_the_worst(runs: Runs) -> None:
    found = compare(runs(Skilled(0.9), Skilled(0.5, 1), n=40), axes=["sex"])
    axis = found["tasks"]["test/toy"]["strata"]["sex"]
    one = axis["groups"]["F"]["metrics"]["exact-match"]
    assert one["small"]
    assert one["pairs"][0]["p_holm"] is None
    assert axis["comparisons"] == 0
    assert axis["worst"]["exact-match"] == {"runs": {"a": None, "b": None}, "pairs": []}
    text = as_text(found)
    assert re.search(r"sex +F +exact-match ↑ +\(\d\.\d+\)", text)
    assert "Worst groups" not in text


def test_three_runs_by_stratum(runs: Runs) -> None:
    found = compare(runs(Skilled(0.9), Skilled(0.5, 1), Skilled(0.7, 2), n=80), axes=["sex"])
    worst = found["tasks"]["test/toy"]["strata"]["sex"]["worst"]["exact-match"]
    assert set(worst["runs"]) == set("abc")
    assert len(worst["pairs"]) == 3
    assert as_text(found).count("\ntest/toy  sex   F ") == 3


def test_subgroups_of_restricted_data_do_not_enter_markdown(text_task: TaskWriter, tmp_path: Path) -> None:
    data = {"table": "samples.jsonl", "access": "credentialed", "columns": {"cluster": "patient", "sex": "sex"}}
    rows = [
        {"id": f"q{i}", "question": "?", "answer": "no", "patient": f"p{i}", "site": f"ward-{i % 2}"} for i in range(80)
    ]
    task = text_task(1, strata=["site"], data={k: v for k, v in data.items() if k != "columns"})
    (task.parent / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, skill in (("a", 0.9), ("b", 0.5)):
        radbench.evaluate(Skilled(skill), str(task), out=tmp_path / name, resamples=50)
    found = compare([tmp_path / "a", tmp_path / "b"], axes=["site"])
    assert found["tasks"]["test/toy"]["access"] == "credentialed"
    assert "ward-1" in as_text(found)
    assert "ward" not in as_markdown(found)
    assert "Subgroups" not in as_markdown(found)


# --- printing ---


def test_a_bundle_is_no_run_to_compare(runs: Runs, tmp_path: Path) -> None:
    one, other = runs(Skilled(0.9), Skilled(0.5, 1))
    export_run(one, tmp_path / "bundle", bytes(32))
    with pytest.raises(ResumeError, match="is a bundle of radbench export, expected a run"):
        compare([tmp_path / "bundle", other])


def test_the_command_prints_text_markdown_or_json(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(p) for p in runs(Skilled(0.9), Skilled(0.5, 1))]
    assert command.run(paths, [], [], [], "text", False) == 0
    assert "right: both/A/B/none" in capsys.readouterr().out
    assert command.run(paths, ["test/*"], ["exact-match"], ["sex"], "md", False) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines[:3]}) == 1
    assert command.run(paths, [], [], ["sex,n_images"], "text", True) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["tasks"]["test/toy"]["strata"]) == {"sex", "n_images"}
    with pytest.raises(ConfigError, match="--format html"):
        command.run(paths, [], [], [], "html", False)


def test_names_of_data_and_models_are_no_markup(text_task: TaskWriter, tmp_path: Path) -> None:
    rows = [{"id": f"q{i}", "question": "?", "answer": "no", "site": "<b>|@team\x1b[31m"} for i in range(40)]
    task = text_task(1, strata=["site"], data={"table": "samples.jsonl", "access": "open"})
    (task.parent / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, model in (("a", "constant:[no](https://x)"), ("b", "constant:no")):
        radbench.evaluate(model, str(task), out=tmp_path / name, resamples=50)
    found = compare([tmp_path / "a", tmp_path / "b"], axes=["site"])
    shown = as_markdown(found)
    assert not re.search(r"<b>|@team|\x1b|(?<!\\)\]\(|https://", shown)
    assert len({line.count("|") for line in shown.splitlines() if line.startswith("| test/toy")}) == 2  # two tables
    assert "\x1b" not in as_text(found)


# --- sample counts ---


def test_counts_of_wins_follow_what_is_better() -> None:
    a, b = np.array([1, 2, 3, np.nan, np.inf, np.inf]), np.array([1 + 1e-13, 1, 5, 1, np.inf, 2.0])
    higher, lower = sample_counts(a, b, "higher"), sample_counts(a, b, "lower")
    assert [higher[k] for k in ("wins", "ties", "losses", "unscored")] == [2, 2, 1, 1]
    assert [lower[k] for k in ("wins", "ties", "losses", "unscored")] == [1, 2, 2, 1]
    assert higher["both_right"] is None
    assert set(sample_counts(None, None, "higher").values()) == {None}


def test_right_and_wrong_of_scores_of_0_and_1() -> None:
    a, b = np.array([1.0, 1, 0, 0, 0]), np.array([1.0, 0, 1, 0, 0])
    names = ("both_right", "both_wrong", "only_a", "only_b")
    assert [sample_counts(a, b, "higher")[k] for k in names] == [1, 2, 1, 1]
    assert [sample_counts(a, b, "lower")[k] for k in names] == [2, 1, 1, 1]  # errors: 0 is right
    assert sample_counts(a, b + 0.5, "higher")["both_right"] is None


# --- mistakes ---

MISTAKES: dict[str, tuple[Callable[[list[Path]], Any], str]] = {
    "one run": (lambda p: compare(p[:1]), "1 run given, expected two or more"),
    "a run twice": (lambda p: compare([p[0], p[1], p[0].parent / "b" / ".." / "a"]), "is given twice"),
    "unknown task": (lambda p: compare(p, tasks=["test/toi"]), "did you mean 'test/toy'"),
    "unknown metric": (lambda p: compare(p, metrics=["exact-mach"]), "did you mean 'exact-match'"),
    "unknown axis": (lambda p: compare(p, axes=["sec"]), "did you mean 'sex'"),
    "edges of words": (lambda p: compare(p, axes=["sex:1/2"]), "--by sex:1/2"),
    "no run": (lambda p: compare([p[0], p[0].parent / "nowhere"]), "nowhere is no run folder"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_message(mistake: str, runs: Runs) -> None:
    call, message = MISTAKES[mistake]
    paths = runs("constant:yes", "constant:no", n=6)
    with pytest.raises(RadbenchError, match=re.escape(message)) as caught:
        call(paths)
    assert caught.value.remedy


def test_a_run_that_is_not_scored(runs: Runs) -> None:
    paths = runs("constant:yes", "constant:no", n=6)
    (paths[1] / "results.json").unlink()
    with pytest.raises(DataError, match=r"b has no results\.json yet") as caught:
        compare(paths)
    assert "radbench score" in caught.value.remedy


@pytest.mark.parametrize("name", ["samples", "exact-match"])
def test_damaged_statistics(name: str, runs: Runs) -> None:
    paths = runs("constant:yes", "constant:no", n=6)
    (paths[1] / "stats" / "test/toy" / f"{name}.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="statistics are missing or damaged") as caught:
        compare(paths)
    assert str(paths[1]) in caught.value.remedy


def test_nothing_in_common(text_task: TaskWriter, tmp_path: Path) -> None:
    def run(folder: str, **fields: Any) -> Path:
        task = text_task(6, folder=folder, **fields)
        if folder == "ids":
            file = task.parent / "samples.jsonl"
            file.write_text(file.read_text().replace('"id": "q', '"id": "9'))
        radbench.evaluate("constant:yes", str(task), out=tmp_path / f"run-{folder}", resamples=10)
        return tmp_path / f"run-{folder}"

    a = run("a")
    with pytest.raises(DataError, match="have no task in common"):
        compare([a, run("name", name="test/other")])
    with pytest.raises(DataError, match="test/toy: the runs have no sample in common"):
        compare([a, run("ids")])
    with pytest.raises(DataError, match=r"test/toy: .* has no value of it"):
        compare([a, run("metric", metrics=["token-f1"])])


def test_a_task_that_is_not_common_is_told_or_refused(text_task: TaskWriter, tmp_path: Path) -> None:
    one, other = str(text_task(6, folder="one")), str(text_task(6, folder="other", name="test/other"))
    radbench.evaluate("constant:yes", [one, other], out=tmp_path / "a", resamples=10)
    radbench.evaluate("constant:no", one, out=tmp_path / "b", resamples=10)
    found = compare([tmp_path / "a", tmp_path / "b"])
    assert found["tasks_left_out"] == {"test/other": "not in b"}
    assert "test/other: not compared: not in b." in found["notes"]
    assert compare([tmp_path / "a", tmp_path / "b"], tasks=["test/toy"])["tasks_left_out"] == {}
    with pytest.raises(DataError, match="'test/other' cannot be compared: not in b"):
        compare([tmp_path / "a", tmp_path / "b"], tasks=["test/other"])
