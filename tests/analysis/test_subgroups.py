"""Groups of samples, and a run's metrics in them: laws of binning, brute force, guards, the suites' axes, the command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from miniatures import data_for
from numpy.typing import NDArray

import radbench
from radbench.analysis.compare import compare
from radbench.analysis.grouping import groups_of
from radbench.analysis.pairing import ScoredRun
from radbench.analysis.sizes import clusters_of_pairs, common_size, entering_of
from radbench.analysis.subgroups import DEFAULTS, subgroup_results
from radbench.cli.subgroups import run as command
from radbench.errors import ConfigError, DataError
from radbench.records import Answer, Request
from radbench.registry import all_tasks, find_metric
from radbench.statistics import Measure, clusters_of, interval, wilson

TaskWriter = Callable[..., Path]
Groups = Mapping[str, NDArray[np.bool_]]


def sizes(values: Sequence[str], spec: str = "a") -> dict[str, int]:
    return {label: int(keep.sum()) for label, keep in groups_of({"a": np.array(values, str)}, spec).items()}


# --- dividing by numbers ---

numbers = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.integers(0, 40).map(str),
    st.floats(-1e3, 1e3, allow_nan=False).map(repr),
    st.tuples(st.integers(0, 999), st.sampled_from("YMWD")).map(lambda a: f"{a[0]:03d}{a[1]}"),
)
tables = st.lists(st.one_of(numbers, st.sampled_from(["", "unknown", "7", "7.0"])), min_size=1, max_size=60)


def years(value: str) -> float:
    """An independent reading of the values above."""
    per_year = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}
    return int(value[:-1]) / per_year[value[-1]] if value[-1] in per_year else float(value)


def check_cover(values: Sequence[str], groups: Groups) -> None:
    kept = np.array(list(groups.values())).reshape(len(groups), len(values))
    assert kept.any(axis=1).all(), "no group is empty"
    assert (kept.sum(axis=0) == [value != "" for value in values]).all(), "one group a value, none without"


@given(tables)
def test_quartile_bins_cover_every_value_once_in_ascending_order(values: list[str]) -> None:
    groups = groups_of({"a": np.array(values, str)}, "a")
    check_cover(values, groups)
    spans = [
        sorted(years(v) for v, kept in zip(values, keep, strict=True) if kept)
        for label, keep in groups.items()
        if label != "unknown"
    ]
    for before, after in pairwise(spans):
        assert before[-1] < after[0] or before[-1] == pytest.approx(after[0])
    different = len({years(v) for v in values if v not in ("", "unknown")})
    assert len(spans) == different if different <= 6 else 2 <= len(spans) <= 4


@given(tables, st.randoms())
def test_groups_do_not_depend_on_the_order_of_samples(values: list[str], random: Any) -> None:
    order = list(range(len(values)))
    random.shuffle(order)
    groups = groups_of({"a": np.array(values, str)}, "a")
    shuffled = groups_of({"a": np.array(values, str)[order]}, "a")
    assert list(groups) == list(shuffled)
    assert all((groups[label][order] == shuffled[label]).all() for label in groups)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=60))
def test_equal_numbers_stay_together_however_they_are_written(values: list[int]) -> None:
    for label, keep in groups_of({"a": np.array([*map(str, values), *(f"{v}.0" for v in values)])}, "a").items():
        assert (keep[: len(values)] == keep[len(values) :]).all(), label


@given(st.lists(st.integers(-20, 120), min_size=1, max_size=60), st.sets(st.integers(-10, 100), min_size=1, max_size=5))
def test_edges_belong_to_the_group_above(values: list[int], cuts: set[int]) -> None:
    edges = sorted(cuts)
    words = [str(v) for v in values]
    groups = groups_of({"a": np.array(words)}, "a:" + "/".join(map(str, edges)))
    check_cover(words, groups)
    expected = [sum(v >= edge for edge in edges) for v in values]  # an independent numbering of the groups
    own = [next(i for i, keep in enumerate(groups.values()) if keep[j]) for j in range(len(values))]
    assert [sorted(set(expected)).index(e) for e in expected] == own


@given(st.integers(1, 20))
def test_quartiles_of_evenly_spread_numbers_are_quarters(k: int) -> None:
    assume(4 * k > 6)
    assert list(sizes([str(i) for i in range(4 * k)]).values()) == [k] * 4


def test_labels_say_what_is_inside() -> None:
    assert sizes([str(i) for i in range(1, 17)]) == {"1-4": 4, "5-8": 4, "9-12": 4, "13 or more": 4}
    assert sizes(["1"] * 90 + [str(i) for i in range(2, 12)]) == {"1": 90, "2 or more": 10}
    assert sizes(["9"] * 90 + [str(i) for i in range(2, 9)]) == {"2-8": 7, "9 or more": 90}
    assert sizes([str(i - 8) for i in range(16)]) == {"-8 to -5": 4, "-4 to -1": 4, "0 to 3": 4, "4 or more": 4}
    assert list(sizes([f"{i / 10}" for i in range(8)])) == ["below 0.2", "[0.2, 0.4)", "[0.4, 0.6)", "0.6 or more"]
    ages = ["017Y", "018Y", "039Y", "040Y", "064Y", "065Y", "unknown", ""]
    edges = {"below 18": 1, "18-39": 2, "40-64": 2, "65 or more": 1, "unknown": 1}
    assert sizes(ages, "a:18/40/65") == edges
    assert sizes(["3", "30"], "a:10/20") == {"below 10": 1, "20 or more": 1}, "no group is empty"
    assert sizes(["1", "2", "3"], "a:2") == {"below 2": 1, "2 or more": 2}
    assert list(sizes(["1", "2"], "a:1.5")) == ["below 1.5", "1.5 or more"]
    close = [f"{1 + i / 1e9:.9f}" for i in range(8)]
    assert len(sizes(close)) == 4, "labels tell close bounds apart"


def test_categories_are_ordered_as_people_count() -> None:
    assert list(sizes(["10", "9", "1"])) == ["1", "9", "10"]
    assert list(sizes(["over 40", "11-20", "1-10", "21-40"])) == ["1-10", "11-20", "21-40", "over 40"]
    assert list(sizes(["view10", "view9", "M", "F"])) == ["F", "M", "view9", "view10"]
    assert list(sizes(["unknown", "F"])) == ["F", "unknown"]
    assert sizes(["", ""]) == {}
    assert sizes([]) == {}
    assert sizes(["inf", "nan", "1_0", "٣", "1e999"]) == dict.fromkeys(["1_0", "1e999", "inf", "nan", "٣"], 1)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("age:18/40", "no axis 'age'"),
        ("aa", "did you mean 'a'"),
        ("a:40/18", "ascending"),
        ("a:18/18", "ascending"),
        ("a:", "ascending numbers"),
        ("a:18//40", "ascending numbers"),
        ("a:old/young", "ascending numbers"),
        ("a:nan", "ascending numbers"),
        ("sex:1/2", "axis 'sex' is no number"),
        ("site", "makes 61 groups, more than 60"),
    ],
)
def test_what_cannot_be_divided_is_said(spec: str, message: str) -> None:
    names = {"a": [str(i) for i in range(61)], "sex": ["F"] * 61, "site": [f"secret{i}" for i in range(61)]}
    axes = {axis: np.array(values) for axis, values in names.items()}
    with pytest.raises(ConfigError) as caught:
        groups_of(axes, spec)
    assert message in str(caught.value)
    assert caught.value.remedy
    assert "secret" not in str(caught.value), "values may be restricted data"


def test_an_axis_may_have_a_colon_in_its_name() -> None:
    assert list(groups_of({"a:1": np.array(["x"])}, "a:1")) == ["x"]


# --- a run's metrics in groups ---


class Says:
    """Answers "yes" but to every third question."""

    capabilities = frozenset({"text"})

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "test", "name": "says"}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            number = int(request.sample.removeprefix("q").partition("-")[0])
            yield request, Answer(text="yes" if number % 3 else "no")


METRICS = ("exact-match", "bleu-1", "same-report-pairs")  # a mean; a corpus value; no function of sums, lower is better


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    rows = [
        {
            "id": f"q{i}",
            "question": "Is there " + "a " * (i % 9) + "mass?",
            "answer": "yes" if i % 5 else "no",
            "patient": f"p{i // 2}",
            "sex": "" if i % 16 == 15 else "FM"[i % 7 > 3],
            "age": f"{20 + i % 60:03d}Y",
            "site": "rare" if i < 40 and i % 3 == 0 and i % 5 else "ABC"[i % 3],  # answered wrong throughout
            "right": "no" if (i % 3 == 0) == (i % 5 == 0) else "yes",
        }
        for i in range(240)
    ]
    write_task(root, "toy", rows, ["sex", "age", "site", "right"])
    write_task(root, "plain", rows[:40], [])
    tasks = [str(root / "toy.yaml"), str(root / "plain.yaml")]
    radbench.evaluate(Says(), tasks, out=root / "run", resamples=60, seed=3)
    return root / "run"


def write_task(root: Path, name: str, rows: Sequence[Mapping[str, Any]], strata: Sequence[str]) -> None:
    (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"table": f"{name}.jsonl", "access": "open", "columns": {"cluster": "patient"}}
    task = {"name": f"test/{name}", "kind": "vqa", "metrics": METRICS, "strata": strata, "data": data}
    (root / f"{name}.yaml").write_text(json.dumps(task))


def toy(path: Path, *specs: str) -> Any:
    return subgroup_results(ScoredRun(path), ["test/toy"], [], specs or (DEFAULTS,))["tasks"]["test/toy"]


SPECS = ("sex", "site", "age:40/60", "question_length", "reference_length", "right")


def redrawn(path: Path, keep: NDArray[np.bool_], metric: str) -> list[float]:
    """Values of the resamples, each made up sample by sample."""
    held = ScoredRun(path).statistics("test/toy")
    measure, clusters = held.measures[metric], clusters_of(held.clusters)
    random = np.random.default_rng(3)
    values = []
    for _ in range(60):
        drawn = random.integers(clusters.count, size=clusters.count)
        rows = np.array([i for c in drawn for i in np.flatnonzero((clusters.codes == c) & keep)], np.intp)
        ones = np.ones((1, len(rows)))
        values.append(float(measure.metric.value(measure.rows[rows], ones, measure.state)[0]) if len(rows) else np.nan)
    return values


@pytest.mark.parametrize("spec", SPECS)
def test_a_group_is_the_metric_of_its_samples_alone(spec: str, scored: Path) -> None:
    held = ScoredRun(scored).statistics("test/toy")
    groups = groups_of(held.axes, spec)
    found = toy(scored, spec)["axes"][spec]
    assert list(found["groups"]) == list(groups)
    for label, keep in groups.items():
        group = found["groups"][label]
        assert (group["n"], group["clusters"]) == (keep.sum(), len(set(held.clusters[keep].tolist())))
        for name, measure in held.measures.items():
            alone = measure.metric.value(measure.rows[keep], np.ones((1, keep.sum())), measure.state)[0]
            assert group["metrics"][name]["value"] == pytest.approx(alone, nan_ok=True)


@pytest.mark.parametrize("metric", ["exact-match", "bleu-1"])
@pytest.mark.parametrize("spec", ["sex", "age:40/60"])
def test_intervals_and_gaps_come_from_the_same_resamples(spec: str, metric: str, scored: Path) -> None:
    task = toy(scored, spec)
    groups = groups_of(ScoredRun(scored).statistics("test/toy").axes, spec)
    draws = {label: np.array(redrawn(scored, keep, metric)) for label, keep in groups.items()}
    draws["all"] = np.array(redrawn(scored, np.ones(240, bool), metric))
    entries = {label: group["metrics"][metric] for label, group in task["axes"][spec]["groups"].items()}
    entries["all"] = task["metrics"][metric]
    for label, entry in entries.items():
        assert (entry["low"], entry["high"]) == pytest.approx(interval(draws[label])[:2])
    worst = task["axes"][spec]["worst"][metric]
    ranked = sorted(groups, key=lambda label: entries[label]["value"])
    assert (worst["group"], worst["best"], worst["of"]) == (ranked[0], ranked[-1], len(groups))
    for kind, other in (("gap", "all"), ("spread", ranked[-1])):
        apart = interval(draws[other] - draws[ranked[0]])
        assert worst[kind]["value"] == pytest.approx(entries[other]["value"] - entries[ranked[0]]["value"])
        assert (worst[kind]["low"], worst[kind]["high"]) == pytest.approx(apart[:2])


def test_where_lower_is_better_the_worst_group_has_the_highest_value(scored: Path) -> None:
    task = toy(scored, "site")
    worst = task["axes"]["site"]["worst"]["same-report-pairs"]
    values = {label: g["metrics"]["same-report-pairs"]["value"] for label, g in task["axes"]["site"]["groups"].items()}
    del values["rare"]
    assert worst["group"] == max(values, key=values.__getitem__)
    assert worst["best"] == min(values, key=values.__getitem__)
    whole = task["metrics"]["same-report-pairs"]["value"]
    assert worst["gap"]["value"] == pytest.approx(values[worst["group"]] - whole)
    assert worst["gap"]["value"] > 0
    assert worst["spread"]["value"] == pytest.approx(max(values.values()) - min(values.values()))


def test_small_groups_are_marked_and_take_no_part(scored: Path) -> None:
    site = toy(scored, "site")["axes"]["site"]
    assert {label: g["n"] for label, g in site["groups"].items()} == {"A": 69, "B": 80, "C": 80, "rare": 11}
    entries = {label: g["metrics"]["exact-match"] for label, g in site["groups"].items()}
    assert {label: entry["small"] for label, entry in entries.items()} == dict.fromkeys("ABC", False) | {"rare": True}
    assert entries["rare"]["value"] == 0, "the worst of all"
    assert site["worst"]["exact-match"]["group"] == "A"
    assert site["worst"]["exact-match"]["of"] == 3
    assert toy(scored, "age:21")["axes"]["age:21"]["worst"]["exact-match"] is None, "one group is left: none to compare"


def test_groups_all_right_and_all_wrong_keep_an_interval(scored: Path) -> None:
    right = toy(scored, "right")["axes"]["right"]
    entries = {label: group["metrics"]["exact-match"] for label, group in right["groups"].items()}
    assert {label: entry["value"] for label, entry in entries.items()} == {"no": 1.0, "yes": 0.0}
    spread = right["worst"]["exact-match"]["spread"]
    reach = [1 - wilson(g["clusters"], g["clusters"])[0] for g in right["groups"].values()]
    assert (spread["value"], spread["high"]) == (1.0, 1.0)
    assert spread["low"] == pytest.approx(1 - np.hypot(*reach))
    gap, whole = right["worst"]["exact-match"]["gap"], toy(scored, "right")["metrics"]["exact-match"]
    assert gap["value"] == pytest.approx(whole["value"])
    assert gap["low"] < whole["low"]
    assert gap["high"] == pytest.approx(whole["high"])


def test_samples_without_a_value_are_counted(scored: Path) -> None:
    sex = toy(scored, "sex")["axes"]["sex"]
    assert sex["not_stated"] == 15
    assert sum(group["n"] for group in sex["groups"].values()) == 225


def test_draws_of_a_sample_are_not_samples(text_task: TaskWriter, tmp_path: Path) -> None:
    radbench.evaluate(Says(), str(text_task(20)), out=tmp_path / "run", resamples=20, draws=4)
    task = subgroup_results(ScoredRun(tmp_path / "run"), specs=["sex"])["tasks"]["test/toy"]
    women = task["axes"]["sex"]["groups"]["F"]
    assert (task["n"], women["n"], women["metrics"]["exact-match"]["n"]) == (20, 10, 10)
    assert task["metrics"]["exact-match"]["n"] == 20
    assert women["metrics"]["exact-match"]["small"]


def test_a_group_of_few_patients_is_small_whatever_its_samples(text_task: TaskWriter, tmp_path: Path) -> None:
    rows = [
        {"id": f"q{i}", "question": "?", "answer": "no", "patient": f"p{i % 9 if i < 80 else i}", "site": "ab"[i // 80]}
        for i in range(160)
    ]
    write_task(tmp_path, "few", rows, ["site"])
    radbench.evaluate(Says(), str(tmp_path / "few.yaml"), out=tmp_path / "run", resamples=20)
    site = subgroup_results(ScoredRun(tmp_path / "run"), specs=["site"])["tasks"]["test/few"]["axes"]["site"]
    found = {k: (g["n"], g["clusters"], g["metrics"]["exact-match"]["small"]) for k, g in site["groups"].items()}
    assert found == {"a": (80, 9, True), "b": (80, 80, False)}
    assert site["worst"]["exact-match"] is None


def test_what_subgroups_call_small_compare_does_too(tmp_path: Path) -> None:
    """Groups of 0 to 40 samples of 1 to 15 patients, three draws each, of which a metric counts some."""
    metric, rng = find_metric("dice:empty=drop-both"), np.random.default_rng(0)
    for trial in range(40):
        n = int(rng.integers(1, 41))
        counted = np.repeat(rng.random(n) < (1.0 if trial % 2 else 0.9), 3)
        rows = np.stack([np.where(counted, rng.random(3 * n), 0.0), counted], axis=1)
        samples = clusters_of(np.repeat(np.arange(n), 3))
        clusters = clusters_of(np.repeat(np.arange(n) % int(rng.integers(1, 16)), 3))
        measure = Measure(metric, (), rows)
        entering = entering_of(measure, samples, clusters)
        size = common_size([entering] * 3, samples, clusters)
        patients = {c for c, ok in zip(clusters.codes.tolist(), counted, strict=True) if ok}
        assert (size.n, size.clusters) == (counted.sum() // 3, len(patients))
        assert size.small == (counted.sum() // 3 < 30 or len(patients) < 10)
        assert common_size([entering], samples, clusters) == size
        assert clusters_of_pairs([entering, entering]) == [len(patients)]


def test_statistics_of_an_older_radbench_ask_for_scoring_again(scored: Path, tmp_path: Path) -> None:
    copytree(scored, tmp_path / "old")
    for file in (tmp_path / "old" / "stats").rglob("samples.npz"):
        with np.load(file) as archive:
            kept = {k: archive[k] for k in ("ids", "clusters")}
        np.savez(file, **kept)
    for specs in (["sex"], []):
        with pytest.raises(DataError, match="score the run again") as caught:
            command(str(tmp_path / "old"), specs)
        assert caught.value.remedy == f"radbench score {tmp_path / 'old'}"
    with pytest.raises(DataError, match="score the run again"):
        compare([tmp_path / "old", scored], axes=["sex"])
    assert compare([tmp_path / "old", scored], ["test/toy"])["tasks"]


def test_defaults_are_the_datasets_axes_and_the_sizes_that_differ(scored: Path) -> None:
    results = ScoredRun(scored).results
    tasks = subgroup_results(ScoredRun(scored))["tasks"]
    assert list(tasks["test/toy"]["axes"]) == ["question_length", "age", "right", "sex", "site"]
    assert list(tasks["test/plain"]["axes"]) == ["question_length"]
    for axis in ("right", "sex", "site"):  # as results.json has them
        for label, group in results["tasks"]["test/toy"]["subgroups"][axis].items():
            own = tasks["test/toy"]["axes"][axis]["groups"][label]
            for metric, entry in group["metrics"].items():
                assert {k: own["metrics"][metric][k] for k in entry} == entry


def test_an_axis_does_not_depend_on_those_asked_for_beside(scored: Path) -> None:
    first, second = (subgroup_results(ScoredRun(scored), specs=specs) for specs in (["sex"], ["site", "sex"]))
    assert first["tasks"]["test/toy"]["axes"]["sex"] == second["tasks"]["test/toy"]["axes"]["sex"]


# --- RadVLBench's figures ---

AXES = {
    "radvlbench/vqa/slake": {"modality", "content_type"},
    "radvlbench/vqa/medpixqa": {"organ", "question_length"},
    "radvlbench/vqa/medical-diff-vqa": {"n_images"},
    "radvlbench/caption/medpixcap": {"organ", "reference_length"},
}
WRITTEN = {name for name in all_tasks() if name.startswith("radvlbench/") and not name.startswith("radvlbench/vqa/")}


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("official")


@pytest.mark.parametrize("name", sorted({*AXES, *WRITTEN}))
def test_radvlbench_tasks_have_the_axes_of_its_figures(
    name: str, official: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = all_tasks()[name]
    monkeypatch.setattr("radbench.metrics.text.meteor_java.MeteorJava.unavailable", lambda self: "slow to load")
    radbench.evaluate("constant:normal", task.spec, data=data_for(official, task), out=tmp_path / "run", resamples=3)
    axes = sorted(AXES.get(name, {"reference_length"}))
    found = subgroup_results(ScoredRun(tmp_path / "run"), specs=axes)["tasks"][name]
    assert not found["left_out"]
    for axis in axes:
        assert found["axes"][axis]["not_stated"] == 0
        assert sum(group["n"] for group in found["axes"][axis]["groups"].values()) == found["n"]


# --- the command ---


def test_the_command_prints_a_table_an_axis(scored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(str(scored), ["sex,site"], ["test/*"], ["exact-match", "same-report-pairs"]) == 0
    out = capsys.readouterr().out
    task = toy(scored, "sex", "site")
    assert "test/toy by sex: 240 samples in 120 clusters, 15 without a value" in out
    assert "test/toy by site: 240 samples in 120 clusters\n" in out
    rare = task["axes"]["site"]["groups"]["rare"]["metrics"]["exact-match"]["value"]
    assert f"  rare  ({rare:.4f})  [0.0000, " in out
    worst = task["axes"]["site"]["worst"]["exact-match"]
    gap, spread = worst["gap"], worst["spread"]
    assert (
        f"exact-match: worst of 3 groups '{worst['group']}', {gap['value']:.4f} [{gap['low']:.4f}, {gap['high']:.4f}]"
        f" worse than all, {spread['value']:.4f} [{spread['low']:.4f}, {spread['high']:.4f}]"
        f" worse than '{worst['best']}'"
    ) in out
    assert "exact-match ↑" in out
    assert "same-report-pairs ↓" in out
    assert "bleu-1" not in out
    assert "(in brackets: fewer than 30 samples or 10 clusters, not compared with others)" in out
    assert "worst by chance too" in out
    assert "~ fewer than 100 clusters" in out
    assert "^ all at one end of the scale" in out
    assert "* unclustered" not in out
    assert "test/plain: not by site: the task has no such axis." in out


def test_the_command_prints_one_json_document(scored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command(str(scored), ["age:40/60", "question_length"], as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(json.dumps(subgroup_results(ScoredRun(scored), specs=["age:40/60", "question_length"])))
    assert (found["seed"], found["resamples"], found["small"]) == (3, 60, 30)
    assert list(found["tasks"]["test/toy"]["axes"]["age:40/60"]["groups"]) == ["below 40", "40-59", "60 or more"]
    assert found["tasks"]["test/plain"]["left_out"] == {"age:40/60": "the task has no such axis"}


def test_the_command_without_axes_takes_the_defaults(scored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command(str(scored), [])
    out = capsys.readouterr().out
    assert "test/toy by sex" in out
    assert "test/plain by question_length" in out


def test_the_command_says_where_there_are_no_subgroups(
    text_task: TaskWriter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    radbench.evaluate(Says(), str(text_task(1, strata=[])), out=tmp_path / "run", resamples=5, limit=1)
    command(str(tmp_path / "run"), [DEFAULTS])
    out = capsys.readouterr().out
    assert "no subgroups: the tasks name no strata" in out
    assert "PARTIAL" in out


def test_text_of_the_data_cannot_steer_a_terminal(
    text_task: TaskWriter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = text_task(80)
    table = task.parent / "samples.jsonl"
    table.write_text(table.read_text().replace('"sex": "F"', '"sex": "F\\u001b[31m"'))
    radbench.evaluate(Says(), str(task), out=tmp_path / "run", resamples=5)
    command(str(tmp_path / "run"), ["sex"])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "F\\x1b[31m" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["sexe"],), "no axis 'sexe'; did you mean 'sex'"),
        ((["sex:1/2"],), "axis 'sex' is no number"),
        ((["age:60/40"],), "edges are ascending numbers"),
        ((["sex"], ["test/toys"]), "unknown task 'test/toys'"),
        ((["sex"], [], ["exact"]), "unknown metric 'exact'"),
        ((["sex"], ["test/plain"]), "no axis 'sex'"),
    ],
)
def test_the_command_names_what_is_wrong(arguments: tuple[Any, ...], message: str, scored: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        command(str(scored), *arguments)
    assert message in str(caught.value)


def test_lost_statistics_are_an_error(text_task: TaskWriter, tmp_path: Path) -> None:
    radbench.evaluate(Says(), str(text_task(8)), out=tmp_path / "run", resamples=5)
    (tmp_path / "run" / "stats" / "test" / "toy" / "samples.npz").unlink()
    with pytest.raises(DataError, match="missing or damaged"):
        command(str(tmp_path / "run"), ["sex"])
