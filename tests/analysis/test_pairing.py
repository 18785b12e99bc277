"""Common samples of several runs, and differences against scoring every resample anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.labels.classification import METRICS as CLASSIFICATION
from radbench.metrics.labels.ranking import Ranking

import radbench
from radbench.analysis.inference import difference, paired_p
from radbench.analysis.pairing import common_tasks, comparable_metrics, open_runs, pair, paired_draws
from radbench.errors import DataError
from radbench.records import Labels, Prediction
from radbench.statfiles import TaskStatistics
from radbench.statistics import Measure, point

TaskWriter = Callable[..., Path]
CLASSES = ("edema", "nodule")
METRICS = {"accuracy": CLASSIFICATION["accuracy"](), "auroc": Ranking("auroc", label="edema")}
TRUTH = {f"s{i}": CLASSES[i % 3 > 0] for i in range(60)}


def answers_of(samples: Sequence[str], skill: float, seed: int) -> list[tuple[str, Prediction]]:
    """An answer a sample, samples as often as draws are asked for."""
    rng = np.random.default_rng(seed)
    found = []
    for sample in samples:
        edema = float(np.clip(rng.normal(0.5 + skill * (0.5 if TRUTH[sample] == "edema" else -0.5), 0.4), 0, 1))
        label = "edema" if edema > 0.5 else "nodule"
        found.append((sample, Prediction((label,), scores={"edema": round(edema, 1), "nodule": 1 - round(edema, 1)})))
    return found


def rows_of(metric: Any, answers: Sequence[tuple[str, Prediction]]) -> Measure:
    targets = [Labels((TRUTH[sample],)) for sample, _ in answers]
    state = metric.fit([Labels((c,)) for c in CLASSES], CLASSES)
    return Measure(metric, state, metric.rows([p for _, p in answers], targets, state))


def statistics_of(answers: Sequence[tuple[str, Prediction]], per_cluster: int = 1) -> TaskStatistics:
    samples = [sample for sample, _ in answers]
    return TaskStatistics(
        np.array([s.encode() for s in samples]),
        np.array([f"p{int(s[1:]) // per_cluster}".encode() for s in samples]),
        {"half": np.array(["first" if int(s[1:]) < 30 else "second" for s in samples])},
        {name: rows_of(metric, answers) for name, metric in METRICS.items()},
    )


def recomputed(
    runs: Sequence[Sequence[tuple[str, Prediction]]], per_cluster: int, resamples: int, seed: int
) -> Mapping[str, list[list[float]]]:
    """Each metric's value for every resample and run, from the answers of the patients drawn, one by one."""
    asked = [Counter(s for s, _ in run) for run in runs]
    common = [s for s in asked[0] if all(own[s] == max(own.values()) for own in asked)]
    patients = list(dict.fromkeys(int(s[1:]) // per_cluster for s in common))
    rng = np.random.default_rng(seed)
    values: dict[str, list[list[float]]] = {name: [] for name in METRICS}
    for _ in range(resamples):
        drawn = [patients[i] for i in rng.integers(len(patients), size=len(patients))]
        samples = [s for patient in drawn for s in common if int(s[1:]) // per_cluster == patient]
        for name, metric in METRICS.items():
            row = []
            for run in runs:
                # six answers a sample whatever the run asked for (1, 2 or 3): every answer of a run weighs the same
                own = [a for s in samples for a in [x for x in run if x[0] == s] * (6 // sum(x[0] == s for x in run))]
                row.append(point(rows_of(metric, own)))
            values[name].append(row)
    return values


@pytest.mark.parametrize(("per_cluster", "draws"), [(1, (1, 1)), (3, (1, 1)), (3, (2, 3)), (2, (1, 3, 2))])
def test_differences_equal_scoring_every_resample_anew(per_cluster: int, draws: tuple[int, ...]) -> None:
    runs = []
    for i, many in enumerate(draws):
        samples = [f"s{k}" for k in range(4 * i, 40 + 3 * i) for _ in range(many)]  # each lacks some of the others
        runs.append(answers_of(samples, 0.7 - 0.3 * i, i))
    resamples, seed = 60, 11
    paired = pair([statistics_of(run, per_cluster) for run in runs], tuple(METRICS))
    found = paired_draws(paired, resamples, seed)
    expected = recomputed(runs, per_cluster, resamples, seed)
    for name in METRICS:
        own, theirs = np.stack([d[name] for d in found]), np.array(expected[name]).T
        assert own == pytest.approx(theirs, abs=1e-12, nan_ok=True)
        a, b = (point(measures[name]) for measures in paired.measures[:2])
        assert difference(a, b, own[0], own[1]).low == pytest.approx(
            np.nanpercentile(theirs[0] - theirs[1], 2.5), abs=1e-12
        )


@pytest.mark.parametrize("draws", [(2, 3), (3, 1, 2)])
def test_a_sample_that_lacks_a_draw_is_left_out(draws: tuple[int, ...]) -> None:
    """Against every resample scored anew from the samples that have all draws in all runs."""
    runs, lost = [], []
    for i, many in enumerate(draws):
        answers = answers_of([f"s{k}" for k in range(30) for _ in range(many)], 0.7 - 0.3 * i, i)
        gone = {f"s{k}": None for k in range(i, 30, 7)} if many > 1 else {}
        first = {s: next(n for n, (t, _) in enumerate(answers) if t == s) for s in gone}
        runs.append([answer for n, answer in enumerate(answers) if n not in first.values()])
        lost.append(set(gone))
    paired = pair([statistics_of(run, 3) for run in runs], tuple(METRICS))
    assert paired.lacking == tuple(len(own) for own in lost)
    assert paired.left_out == (len(set.union(*lost)),) * len(runs)
    assert set(Counter(paired.ids.tolist()).values()) == {6}
    expected = recomputed(runs, 3, 40, 5)
    for name in METRICS:
        own = np.stack([d[name] for d in paired_draws(paired, 40, 5)])
        assert own == pytest.approx(np.array(expected[name]).T, abs=1e-12, nan_ok=True)


@given(st.lists(st.lists(st.sampled_from(list(TRUTH)[:8]), min_size=1, max_size=12), min_size=2, max_size=4))
def test_every_run_has_each_common_sample_equally_often(samples: list[list[str]]) -> None:
    runs = [statistics_of(answers_of(own, 0.5, i)) for i, own in enumerate(samples)]
    paired = pair(runs, ("accuracy",))
    whole = [[s for s in dict.fromkeys(own) if own.count(s) == max(Counter(own).values())] for own in samples]
    common = set.intersection(*(set(own) for own in whole))
    assert {sample.decode() for sample in paired.ids} == common
    assert len(set(Counter(paired.ids.tolist()).values())) <= 1
    assert paired.left_out == tuple(len(set(own) - common) for own in samples)
    assert paired.lacking == tuple(len(set(own)) - len(kept) for own, kept in zip(samples, whole, strict=True))
    orders = [[s for s in own if s in common] for own in whole]
    expected = orders[0] if all(own == orders[0] for own in orders) else sorted(common)
    assert list(dict.fromkeys(sample.decode() for sample in paired.ids)) == expected
    for run, own, measures in zip(runs, samples, paired.measures, strict=True):
        assert len(measures["accuracy"].rows) == paired.n
        for sample in common:
            here = measures["accuracy"].rows[paired.ids == sample.encode()]
            asked = run.measures["accuracy"].rows[np.array(own) == sample]
            assert here.mean(axis=0) == pytest.approx(asked.mean(axis=0))
    assert paired.clusters.count == len(common)


@pytest.mark.parametrize("per_cluster", [1, 3])
def test_the_order_of_runs_and_of_their_samples_does_not_matter(per_cluster: int) -> None:
    a, b = (answers_of([f"s{i}" for i in range(30)], skill, i) for i, skill in enumerate((0.8, 0.2)))
    shuffled = [b[i] for i in np.random.default_rng(0).permutation(30)]
    runs = [statistics_of(run, per_cluster) for run in (a, shuffled)]
    there, back = (pair(order, tuple(METRICS)) for order in (runs, runs[::-1]))
    draws, mirrored = (paired_draws(paired, 100, 3) for paired in (there, back))
    assert not there.clusters_differ
    assert np.array_equal(there.axes["half"], back.axes["half"])
    for name in METRICS:
        for run in (0, 1):
            assert np.array_equal(there.measures[run][name].rows, back.measures[1 - run][name].rows)
            assert np.array_equal(draws[run][name], mirrored[1 - run][name], equal_nan=True)


def test_other_clusters_of_the_same_samples_are_told() -> None:
    answers = answers_of([f"s{i}" for i in range(30)], 0.5, 0)
    one, other = statistics_of(answers), statistics_of(answers, 3)
    assert pair([one, other], ()).clusters_differ and pair([other, one], ()).clusters_differ
    renamed = replace(other, clusters=np.array([b"x" + name for name in other.clusters.tolist()]))
    unnamed = replace(other, clusters=np.zeros(30, "S1"))  # as baseline files have them
    few = replace(statistics_of(answers[:9]), clusters=other.clusters[:9])
    assert not any(pair([other, x], ()).clusters_differ for x in (other, renamed, unnamed, few))


def test_a_resample_without_a_class_is_left_out_of_both() -> None:
    runs = [answers_of([f"s{i}" for i in range(4)], skill, i) for i, skill in enumerate((0.9, 0.1))]
    paired = pair([statistics_of(run) for run in runs], ("auroc",))
    a, b = (own["auroc"] for own in paired_draws(paired, 200, 0))
    found = difference(*(point(m["auroc"]) for m in paired.measures), a, b)
    assert 0 < found.defined < 200
    assert found.defined == int((~np.isnan(a)).sum())
    assert paired_p(0.5, 0.5, a, b) == 1


# --- runs on disk ---


def test_what_runs_share_is_told_and_so_is_what_they_do_not(text_task: TaskWriter, tmp_path: Path) -> None:
    two = ["exact-match", "token-f1"]
    one = str(text_task(6, folder="one", metrics=two))
    other = str(text_task(6, folder="other", name="test/other"))
    again = str(text_task(6, folder="again", version=2))
    radbench.evaluate("constant:yes", [one, other], out=tmp_path / "a", resamples=10)
    radbench.evaluate("constant:no", str(text_task(6)), out=tmp_path / "b", resamples=10)
    radbench.evaluate("constant:no", [again, other], out=tmp_path / "c", resamples=10)
    a, b, c = open_runs([tmp_path / "a", tmp_path / "b", tmp_path / "c"])
    assert common_tasks([a, b]) == (("test/toy",), {"test/other": "not in b"})
    assert common_tasks([a, c]) == (("test/other",), {"test/toy": "versions differ: 1, 2"})
    assert comparable_metrics([a, b], "test/toy") == (("exact-match",), {"token-f1": "b has no value of it"})
    with pytest.raises(DataError, match="have no task in common"):
        common_tasks([b, c])


def test_runs_of_one_name_are_called_by_their_paths(text_task: TaskWriter, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        radbench.evaluate("constant:yes", str(text_task(4)), out=tmp_path / folder / "run", resamples=10)
    labels = [run.label for run in open_runs([tmp_path / "x" / "run", tmp_path / "y" / "run"])]
    assert labels == [str(tmp_path / "x" / "run"), str(tmp_path / "y" / "run")]


def test_statistics_of_different_lengths_are_damaged(text_task: TaskWriter, tmp_path: Path) -> None:
    radbench.evaluate("constant:yes", str(text_task(8)), out=tmp_path / "a", resamples=10)
    file = tmp_path / "a" / "stats" / "test/toy" / "exact-match.npz"
    with np.load(file) as archive:
        arrays = {**archive, "rows": archive["rows"][:-1]}
    np.savez(file, **arrays)
    with pytest.raises(DataError, match="differ in their number of rows"):
        open_runs([tmp_path / "a"])[0].statistics("test/toy")
