"""``radbench power``: closed forms, scaling laws, statsmodels, clustering, real runs and what the command says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from radbench.metrics.labels.classification import Accuracy

import radbench
from radbench.analysis.power import (
    Aim,
    clusters_needed,
    power,
    reach,
    spread,
    variance_of_difference,
)
from radbench.cli.power import run as power_command
from radbench.errors import ConfigError, RadbenchError
from radbench.records import Answer, Request
from radbench.statistics import Clusters, Measure, draw

TaskWriter = Callable[..., Path]
variances = st.floats(0.01, 4.0)
differences = st.floats(0.005, 0.5)
powers = st.floats(0.5, 0.99)
alphas = st.floats(0.001, 0.2)


class Says:
    """Answers "yes" but to every ``step``-th question, counted over patients of two."""

    capabilities = frozenset({"text"})

    def __init__(self, step: int, by_patient: bool = False) -> None:
        self.step, self.by_patient = step, by_patient

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "test", "name": f"says-{self.step}-{self.by_patient}"}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            number = int(request.sample.removeprefix("q"))
            number = number // 2 if self.by_patient else number
            yield request, Answer(text="no" if number % self.step == 0 else "yes")


def scored(model: Any, task: Path, out: Path, resamples: int = 1000) -> Path:
    radbench.evaluate(model, str(task), out=out, resamples=resamples)
    return out


def rate_draws(right: np.ndarray, codes: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    rows = np.stack([right.astype(float), np.ones(len(right))], axis=1)
    return draw([Measure(Accuracy(), (), rows)], Clusters(codes, count, ((0, count),)), 4000, seed)[0]


# --- closed forms ---


def test_the_variance_a_cluster_of_a_rate_is_p_times_1_minus_p() -> None:
    right = np.arange(1000) % 10 < 7
    sigma2 = 1000 * spread(rate_draws(right, np.arange(1000), 1000)) ** 2
    assert sigma2 == pytest.approx(0.7 * 0.3, rel=0.07)  # three standard errors of a variance of 4,000 draws


def test_clusters_that_agree_count_once() -> None:
    """Kish's design effect 1 + (m - 1) ICC is m where all m samples of a cluster agree."""
    right = np.arange(1000) % 10 < 7
    together = 1000 * spread(rate_draws(np.repeat(right, 4), np.repeat(np.arange(1000), 4), 1000)) ** 2
    alone = 4000 * spread(rate_draws(np.repeat(right, 4), np.arange(4000), 4000)) ** 2
    assert together == pytest.approx(alone, rel=0.1)  # so as many clusters are needed as samples would be alone
    assert clusters_needed(together, 0.05, 0.05, 0.8) == pytest.approx(clusters_needed(alone, 0.05, 0.05, 0.8), rel=0.1)


@given(variances, differences, alphas, powers)
def test_the_count_is_that_of_statsmodels(variance: float, difference: float, alpha: float, asked: float) -> None:
    from statsmodels.stats.power import NormalIndPower

    assume(asked > 2 * alpha)
    ours = clusters_needed(variance, difference, alpha, asked)
    exact = (reach(alpha, asked) * variance**0.5 / difference) ** 2
    assume(exact > 2)
    # ratio 0: one sample, which the paired differences are. One-sided at alpha / 2: its two-sided power also counts what
    # is significant in the wrong direction.
    effect = difference / variance**0.5
    theirs = NormalIndPower().solve_power(effect, alpha=alpha / 2, power=asked, ratio=0, alternative="larger")
    assert ours == pytest.approx(float(theirs), abs=1, rel=1e-3)


@given(variances, differences, alphas, powers, st.floats(1.1, 4.0))
def test_counts_scale_as_variance_over_squared_difference(
    variance: float, difference: float, alpha: float, asked: float, factor: float
) -> None:
    assume(asked > alpha)
    base = reach(alpha, asked) ** 2 * variance / difference**2
    assume(base > 3)
    assert clusters_needed(variance, difference / factor, alpha, asked) == pytest.approx(base * factor**2, abs=1.01)
    assert clusters_needed(variance * factor, difference, alpha, asked) == pytest.approx(base * factor, abs=1.01)


@given(variances, differences, st.floats(-1, 0.99), st.floats(-1, 0.99))
def test_more_correlation_never_needs_more(variance: float, difference: float, one: float, other: float) -> None:
    less, more = sorted((one, other))
    needed = [clusters_needed(variance_of_difference(variance, r), difference, 0.05, 0.8) for r in (less, more)]
    assert needed[0] >= needed[1]


@given(variances, differences, alphas, powers)
def test_more_power_and_a_smaller_alpha_never_need_less(
    variance: float, difference: float, alpha: float, asked: float
) -> None:
    base = clusters_needed(variance, difference, alpha, asked)
    assert clusters_needed(variance, difference, alpha, min(0.999, asked + 0.005)) >= base
    assert clusters_needed(variance, difference, alpha / 2, asked) >= base


# --- real runs ---


def test_one_run_assumes_independent_errors(text_task: TaskWriter, tmp_path: Path) -> None:
    found = power(scored(Says(4), text_task(240), tmp_path / "run"), Aim(0.05)).entries[0]
    assert (found.metric, found.n, found.clusters, found.samples_a_cluster) == ("exact-match", 240, 120, 2.0)
    assert found.difference_error == pytest.approx(found.standard_error * 2**0.5)
    assert found.detectable == pytest.approx(reach(0.05, 0.8) * found.difference_error)
    assert found.needed is not None
    assert found.needed.samples == 2 * found.needed.clusters
    assert found.needed.clusters == pytest.approx(120 * (found.detectable / 0.05) ** 2, abs=1)
    half = power(tmp_path / "run", Aim(0.05, correlation=0.5)).entries[0]
    assert half.difference_error == pytest.approx(found.standard_error)


def test_the_standard_error_is_that_of_the_cluster_means(text_task: TaskWriter, tmp_path: Path) -> None:
    run = scored(Says(3, by_patient=True), text_task(240), tmp_path / "run", 4000)
    with np.load(run / "stats" / "test" / "toy" / "exact-match.npz") as archive:
        means = archive["rows"][:, 0].reshape(-1, 2).mean(axis=1)
    found = power(run, Aim(0.05)).entries[0]
    assert found.standard_error == pytest.approx(means.std() / len(means) ** 0.5, rel=0.05)


def test_two_runs_measure_the_variance_of_their_difference(text_task: TaskWriter, tmp_path: Path) -> None:
    task = text_task(240)
    a, b = scored(Says(4), task, tmp_path / "a"), scored(Says(5), task, tmp_path / "b")
    found = power(a, Aim(0.05, margin=0.05), b).entries[0]
    alone = power(a, Aim(0.05)).entries[0]
    assert found.against is not None
    assert -1 < found.correlation < 1
    other = power(b, Aim(0.05)).entries[0].standard_error
    cross = 2 * found.correlation * found.standard_error * other
    assert found.difference_error**2 == pytest.approx(found.standard_error**2 + other**2 - cross)
    assert found.for_margin == found.needed  # the two-sided .05 and the level .95 have one quantile
    assert alone.for_margin is None


def test_the_margin_takes_its_own_count(text_task: TaskWriter, tmp_path: Path) -> None:
    run = scored(Says(4), text_task(120), tmp_path / "run")
    found = power(run, Aim(0.05, alpha=0.01, margin=0.1)).entries[0]
    assert found.for_margin is not None
    assert found.for_margin.clusters == clusters_needed(120 / 2 * found.difference_error**2, 0.1, 0.05, 0.8)


def test_without_variance_no_number_is_given(text_task: TaskWriter, tmp_path: Path) -> None:
    class Right(Says):
        def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
            for request in requests:
                yield request, Answer(text="yes" if int(request.sample.removeprefix("q")) % 3 else "no")

    run = scored(Right(1), text_task(60), tmp_path / "run", 100)
    report = power(run, Aim(0.05, margin=0.05))
    found = report.as_dict()["entries"][0]
    assert found["value"] == 1.0
    assert [found[key] for key in ("detectable", "needed", "for_margin", "difference_error")] == [None] * 4
    assert any("no variance of exact-match was seen" in note for note in report.notes)


def test_corpus_metrics_have_power_too(text_task: TaskWriter, tmp_path: Path) -> None:
    task = text_task(200, metrics=["bleu-1", "token-f1", "exact-match"])
    report = power(scored(Says(4), task, tmp_path / "run", 200), Aim(0.05))
    assert {e.metric for e in report.entries} == {"bleu-1", "token-f1", "exact-match"}
    assert all(e.needed is not None and e.needed.clusters > 2 for e in report.entries)


def test_few_clusters_and_partial_runs_are_said(text_task: TaskWriter, tmp_path: Path) -> None:
    radbench.evaluate(Says(4), str(text_task(60)), out=tmp_path / "run", resamples=100, limit=20)
    notes = " ".join(power(tmp_path / "run", Aim(0.3)).notes)
    assert "PARTIAL" in notes
    assert "the smallest 10" in notes
    assert "take at least so many" in notes


def test_draws_of_a_sample_are_not_samples(text_task: TaskWriter, tmp_path: Path) -> None:
    task = text_task(120)
    one = power(scored(Says(4), task, tmp_path / "once", 200), Aim(0.05, margin=0.05)).entries[0]
    radbench.evaluate(Says(4), str(task), out=tmp_path / "thrice", resamples=200, draws=3)
    three = power(tmp_path / "thrice", Aim(0.05, margin=0.05)).entries[0]
    assert (three.n, three.clusters, three.samples_a_cluster) == (120, 60, 2.0)
    assert (three.needed, three.for_margin) == (one.needed, one.for_margin)  # a model that says the same each time
    radbench.evaluate(Says(5), str(task), out=tmp_path / "twice", resamples=200, draws=2)
    both = power(tmp_path / "thrice", Aim(0.05), tmp_path / "twice").entries[0]
    assert (both.n, both.samples_a_cluster) == (120, 2.0)
    assert both.needed is not None
    assert both.needed.samples == 2 * both.needed.clusters


# --- the command ---


def command(path: Path, **given: Any) -> int:
    options: dict[str, Any] = {
        "against": None, "difference": 0.05, "asked_power": 0.8, "alpha": 0.05, "margin": None, "correlation": 0.0,
        "metrics": [], "tasks": [], "as_json": False,
    }  # fmt: skip
    return power_command(str(path), **{**options, **given})


def test_the_command_prints_a_table_or_json(
    text_task: TaskWriter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = text_task(240)
    a, b = scored(Says(4), task, tmp_path / "a", 200), scored(Says(5), task, tmp_path / "b", 200)
    assert command(a, margin=0.02) == 0
    shown = capsys.readouterr().out
    assert "clusters for 0.05" in shown
    assert "correlate by 0 (independent, the cautious end)" in shown
    assert "so that radbench check passes 80 % of runs" in shown
    assert command(a, against=str(b), as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["run"], found["against"], found["aim"]["difference"]) == ("a", "b", 0.05)
    assert found["entries"][0]["needed"]["clusters"] > 2
    assert str(tmp_path) not in json.dumps(found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"difference": 0.0}, "--difference is 0.0, expected a number above 0"),
        ({"difference": float("nan")}, "--difference is nan"),
        ({"difference": float("inf")}, "--difference is inf"),
        ({"margin": -0.01}, "--margin is -0.01"),
        ({"difference": 5.0}, "--difference is 5, but exact-match has a range of 1"),
        ({"margin": 2.0}, "--margin is 2, but exact-match has a range of 1"),
        ({"asked_power": 1.0}, "--power is 1.0"),
        ({"asked_power": 0.01}, "less power than by chance"),
        ({"alpha": 0.0}, "--alpha is 0.0"),
        ({"correlation": 1.0}, "--correlation is 1.0"),
        ({"correlation": float("nan")}, "--correlation is nan"),
        ({"metrics": ["exact-mach"]}, "did you mean 'exact-match'"),
        ({"tasks": ["test/toi"]}, "did you mean 'test/toy'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    given: dict[str, Any], message: str, text_task: TaskWriter, tmp_path: Path
) -> None:
    run = scored(Says(4), text_task(20), tmp_path / "run", 20)
    with pytest.raises(ConfigError, match=message.replace("(", "\\(")):
        command(run, **given)


def test_correlation_and_another_run_exclude_each_other(text_task: TaskWriter, tmp_path: Path) -> None:
    run = scored(Says(4), text_task(20), tmp_path / "run", 20)
    with pytest.raises(ConfigError, match="--against measures it"):
        command(run, against=str(run), correlation=0.5)
    with pytest.raises(ConfigError, match="the run itself"):
        command(run, against=str(run))


def test_a_run_without_results_is_refused(text_task: TaskWriter, tmp_path: Path) -> None:
    with pytest.raises(RadbenchError, match="is no run folder"):
        command(tmp_path / "nothing")
    run = scored(Says(4), text_task(20), tmp_path / "run", 20)
    (run / "results.json").unlink()
    with pytest.raises(RadbenchError, match=r"has no results\.json yet"):
        command(run)
