"""The regression gate: each verdict with real runs, the rule's laws, what it says and what it refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from radbench.metrics.base import Card, Mean

import radbench
from radbench.cli import gate as command
from radbench.errors import ConfigError, DataError, Exit
from radbench.gate.check import GateResult, check
from radbench.gate.margins import Margins
from radbench.gate.rule import Gain, gain_of, more_clusters, reason_of, verdict_of
from radbench.records import Answer, Failure, Labels, Prediction, Request, Target
from radbench.registry import find_metric
from radbench.statistics import Clusters, Measure, clusters_of, draw, point, resample_counts

TaskWriter = Callable[..., Path]


class Wrong:
    """Right on a task of ``text_task`` except where told; may fail in transport."""

    capabilities = frozenset({"text"})

    def __init__(self, wrong: Sequence[int] = (), lost: Sequence[int] = ()) -> None:
        self.wrong, self.lost = set(wrong), set(lost)

    def fingerprint(self) -> dict[str, str]:
        return {"adapter": "test", "name": "wrong"}

    def answer(self, requests: Any) -> Any:
        for request in requests:
            yield request, self.reply(request)

    def reply(self, request: Request) -> Answer:
        number = int(request.sample[1:])
        if number in self.lost:
            return Answer(failure=Failure("transport", "timeout"))
        right = "yes" if number % 3 else "no"
        return Answer(text="unsure" if number in self.wrong else right)


@pytest.fixture
def make(text_task: TaskWriter, tmp_path: Path) -> Callable[..., Path]:
    """Writes a run of ``Wrong`` over 400 samples of 200 patients, or another model, and returns its folder."""
    task = text_task(400)

    def run(name: str, wrong: Sequence[int] = (), *, model: Any = None, tasks: Any = None, **options: Any) -> Path:
        lost = options.pop("lost", ())
        options = {"resamples": 200, **options}
        radbench.evaluate(model or Wrong(wrong, lost), tasks or str(task), out=tmp_path / name, **options)
        return tmp_path / name

    return run


def only(result: GateResult) -> Any:
    (found,) = result.checks
    return found


# --- verdicts with real runs ---


def test_a_better_run_passes(make: Callable[..., Path]) -> None:
    result = check(make("run", range(40)), make("base", range(120)), Margins(0.01))
    found = only(result)
    assert (result.exit, found.verdict) == (Exit.OK, "pass")
    assert found.change == pytest.approx(0.2)
    assert (found.baseline, found.value) == (pytest.approx(0.7), pytest.approx(0.9))
    assert (found.n, found.clusters, found.widened, found.noise, found.more_clusters) == (400, 200, False, None, None)
    assert result.headline == "Passed: 1 check of 1 task, none worse by its margin of 0.01."
    assert result.notes == ()


def test_a_worse_run_is_a_regression(make: Callable[..., Path]) -> None:
    result = check(make("run", range(100)), make("base"), Margins(0.05))
    found = only(result)
    assert (result.exit, found.verdict) == (Exit.REGRESSION, "regression")
    assert found.high < -0.05
    assert found.reason == f"the true change is at best {found.high:+.4f}, which is worse than the margin of 0.05"
    assert result.headline == "Regression: test/toy exact-match changed by -0.2500 (margin 0.05)."


def test_the_baselines_constant_answer_against_others(make: Callable[..., Path]) -> None:
    """``constant:no`` is right on a third of the samples, ``constant:yes`` on two thirds."""
    yes, no = make("yes", model="constant:yes"), make("no", model="constant:no")
    assert check(yes, no).exit == Exit.OK
    assert check(no, yes).exit == Exit.REGRESSION


def test_the_same_answers_pass_only_with_enough_patients(make: Callable[..., Path]) -> None:
    base = make("base", [5])
    found = only(check(make("run", [5]), base, Margins(0.016)))
    assert (found.verdict, found.widened) == ("pass", True)
    # Three patients of two pictures: none lost of 200 may be a loss of 3 in 200.
    assert (found.low, found.high) == pytest.approx((-3 / 200, 3 / 200))
    tight = only(check(make("run", [5]), base, Margins(0.01)))
    assert tight.verdict == "inconclusive"
    assert tight.more_clusters == 101  # 3 / 301 < .01
    assert tight.reason.endswith(
        "(every resample gives the same change; the interval allows for discordant clusters that were not seen, 0.0050 each)"
    )
    exact = only(check(make("run", [5]), base, Margins(3 / 200)))
    assert exact.verdict == "inconclusive"  # the bound is exactly the margin


def test_twenty_samples_are_too_few_to_tell(make: Callable[..., Path]) -> None:
    run, base = make("run", [1, 5, 7], limit=20), make("base", [2, 3])
    result = check(run, base, Margins(0.01))
    found = only(result)
    assert (result.exit, found.verdict, found.n, found.clusters) == (Exit.INCONCLUSIVE, "inconclusive", 20, 10)
    assert f"the true change may be as bad as {found.low:+.4f}" in found.reason
    assert "the margin is 0.01: 20 samples of 10 clusters are too few to tell" in found.reason
    assert result.notes[:2] == (
        "The run is partial: limited to the first samples.",
        "test/toy: partial, 20 of 400 samples of the baseline.",
    )
    assert any("Fewer than 100 clusters" in note and "test/toy 10" in note for note in result.notes)


def test_a_limited_baseline_is_said(make: Callable[..., Path]) -> None:
    result = check(make("run"), make("base", limit=300), Margins(0.01))
    assert only(result).n == 300
    assert "The baseline is of a limited run." in result.notes
    assert "test/toy: 100 of the run's 400 samples are not in the baseline, or lack a draw." in result.notes


def test_an_incomplete_run_is_incomplete_whatever_its_values(make: Callable[..., Path]) -> None:
    result = check(make("run", lost=[7]), make("base", range(100)), Margins(0.01))
    assert only(result).verdict == "pass"
    assert result.exit == Exit.INCOMPLETE
    assert result.headline.startswith("Incomplete: answers are missing or are to be asked again")
    worse = check(make("worse", range(200), lost=[250]), make("good"), Margins(0.01))
    assert (only(worse).verdict, worse.exit) == ("regression", Exit.INCOMPLETE)


def test_a_run_without_results_is_incomplete(make: Callable[..., Path]) -> None:
    run, base = make("run"), make("base")
    (run / "results.json").unlink()
    result = check(run, base)
    assert (result.exit, result.checks) == (Exit.INCOMPLETE, ())
    with pytest.raises(radbench.RadbenchError, match="no run folder"):
        check(run / "answers", base)


def test_a_run_that_lacks_a_task_of_the_baseline_is_incomplete(
    make: Callable[..., Path], text_task: TaskWriter
) -> None:
    first = str(text_task(40))
    second = str(text_task(40, folder="second", name="test/second"))
    both, one = make("both", tasks=[first, second]), make("one", tasks=first)
    result = check(one, both, Margins(0.2))
    assert result.exit == Exit.INCOMPLETE
    assert result.headline == "Incomplete: the run lacks the task test/second."
    assert [c.task for c in result.checks] == ["test/toy"]
    restricted = check(one, both, Margins(0.2), tasks=["test/toy"])
    assert restricted.exit == Exit.OK
    other_way = check(both, one, Margins(0.2))
    assert other_way.exit == Exit.OK
    assert "New, not in the baseline: test/second." in other_way.notes


def test_a_run_that_lacks_a_metric_of_the_baseline_is_incomplete(
    make: Callable[..., Path], text_task: TaskWriter
) -> None:
    two = make("two", tasks=str(text_task(40, metrics=["exact-match", "token-f1"])))
    one = make("one", tasks=str(text_task(40, metrics=["exact-match"])))
    result = check(one, two, Margins(0.2))
    assert result.exit == Exit.INCOMPLETE
    assert result.headline == "Incomplete: the run lacks token-f1 of test/toy: the task names it no longer."
    assert check(one, two, Margins(0.2), metrics=["exact-match"]).exit == Exit.OK
    other_way = check(two, one, Margins(0.2))
    assert other_way.exit == Exit.OK
    assert "New, not in the baseline: token-f1 of test/toy." in other_way.notes


def test_an_incomplete_run_cannot_be_a_baseline(make: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="incomplete and cannot be a baseline"):
        check(make("run"), make("base", lost=[3]))


# --- what is refused, what is said ---


def test_another_version_is_a_stale_baseline(make: Callable[..., Path], text_task: TaskWriter) -> None:
    base = make("base", tasks=str(text_task(40)))
    run = make("run", tasks=str(text_task(40, version=2)))
    with pytest.raises(DataError, match=r"stale: task 'test/toy' has version 2, in the baseline 1") as error:
        check(run, base)
    assert "radbench baseline RUN -o FILE" in error.value.remedy


def test_another_signature_is_a_stale_baseline(make: Callable[..., Path]) -> None:
    run, base = make("run"), make("base")
    results = json.loads((base / "results.json").read_text())
    results["tasks"]["test/toy"]["metrics"]["exact-match"]["signature"] = "exact-match|old|v:0"
    (base / "results.json").write_text(json.dumps(results))
    with pytest.raises(DataError, match=r"stale: test/toy: exact-match is .*, in the baseline exact-match\|old\|v:0"):
        check(run, base)


def test_a_limited_run_with_constants_of_fewer_references_cannot_tell(
    make: Callable[..., Path], text_task: TaskWriter
) -> None:
    task = str(text_task(40, metrics=["exact-match", "cider"]))
    result = check(make("run", tasks=task, limit=30), make("base", tasks=task), Margins(0.5))
    verdicts = {c.metric: (c.verdict, c.reason) for c in result.checks}
    assert verdicts["exact-match"][0] == "pass"
    assert verdicts["cider"][0] == "not gated"  # 0 to 10
    gated = check(make("run", tasks=task, limit=30), make("base", tasks=task), Margins(0.5, {"cider": 9.0}))
    assert {c.metric: c.verdict for c in gated.checks} == {"exact-match": "pass", "cider": "inconclusive"}
    assert "a limited run freezes" in next(c.reason for c in gated.checks if c.metric == "cider")


def test_other_data_with_the_same_ids_are_said(make: Callable[..., Path], text_task: TaskWriter) -> None:
    task = text_task(40)
    base = make("base", tasks=str(task))
    rows = task.parent / "samples.jsonl"
    rows.write_text(rows.read_text().replace("Question 3?", "Question three?"))
    result = check(make("run", tasks=str(task)), base, Margins(0.2))
    assert result.exit == Exit.OK
    assert any("the data are not those of the baseline" in note for note in result.notes)


def test_no_common_sample_is_an_error(make: Callable[..., Path], text_task: TaskWriter) -> None:
    task = text_task(40)
    base = make("base", tasks=str(task))
    rows = task.parent / "samples.jsonl"
    rows.write_text(rows.read_text().replace('"id": "q', '"id": "q9'))
    with pytest.raises(DataError, match="share no sample"):
        check(make("run", tasks=str(task)), base)


def test_names_are_checked(make: Callable[..., Path]) -> None:
    run, base, wide = make("run"), make("base"), Margins(0.05)
    with pytest.raises(ConfigError, match="unknown metric 'exact-mach': did you mean 'exact-match'"):
        check(run, base, metrics=["exact-mach"])
    with pytest.raises(ConfigError, match="unknown task 'test/toi'"):
        check(run, base, tasks=["test/toi"])
    with pytest.raises(ConfigError, match="no such metric here: did you mean 'exact-match'"):
        check(run, base, Margins(0.1, {"exact-mach": 0.1}))
    with pytest.raises(ConfigError, match="level is 1"):
        check(run, base, level=1.0)
    assert check(run, base, wide, tasks=["test/*"]).exit == check(run, base, wide, tasks=["test"]).exit == Exit.OK
    with pytest.raises(DataError, match="no such baseline"):
        check(run, base / "nothing.npz")


def test_only_metrics_without_margin_leave_nothing_to_gate(make: Callable[..., Path], text_task: TaskWriter) -> None:
    task = str(text_task(40, metrics=["cider"]))
    run, base = make("run", tasks=task), make("base", tasks=task)
    with pytest.raises(ConfigError, match="nothing to gate: cider") as error:
        check(run, base, Margins(0.01))
    assert "--margin cider=VALUE" in error.value.remedy
    assert only(check(run, base, Margins(0.01, {"cider": 3.0}))).margin == 3.0
    assert only(check(run, base, Margins(0.01, {"test/toy:cider": 3.0}))).margin == 3.0


def test_other_resamples_are_said_and_the_runs_are_taken(make: Callable[..., Path]) -> None:
    result = check(make("run", [1]), make("base", [2], resamples=100, seed=3), Margins(0.1))
    assert any(
        "the run's seed 0 and 200 resamples; the baseline was made with seed 3 and 100" in n for n in result.notes
    )


def test_several_draws_against_one(make: Callable[..., Path]) -> None:
    result = check(make("run", [1, 2], draws=3), make("base", [1, 2]), Margins(0.02))
    assert (only(result).n, only(result).clusters, only(result).change) == (400, 200, 0)
    tight = only(check(make("run", [1, 2], draws=3), make("base", [1, 2]), Margins(0.001)))
    assert "400 samples of 200 clusters are too few to tell" in tight.reason


def test_numbers_are_those_of_the_bootstrap_done_by_hand(make: Callable[..., Path]) -> None:
    run, base = set(range(0, 90, 2)), set(range(60, 160))
    found = only(check(make("run", sorted(run)), make("base", sorted(base)), Margins(0.1)))
    gain = np.array([(i not in run) * 1.0 - (i not in base) for i in range(400)]).reshape(200, 2).sum(axis=1)
    random = np.random.default_rng(0)
    drawn = [gain[random.integers(200, size=200)].sum() / 400 for _ in range(200)]
    assert np.count_nonzero(gain) >= 20  # so many discordant patients need no made-up ones
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=1e-12)


# --- the rule ---


def with_discordant(gains: Sequence[float], step: float) -> tuple[float, float]:
    """Percentiles of the gains plus a Skellam variable times the step, from scipy's law and numpy's weights."""
    times = np.arange(-9, 10)
    values = np.array([gain + step * k for gain in gains for k in times])
    chances = np.tile(pytest.importorskip("scipy.stats").skellam.pmf(times, 1, 1), len(gains))
    low, high = (np.percentile(v, 2.5, weights=chances, method="inverted_cdf") for v in (values, -values))
    return float(low), -float(high)


class Millimetres(Mean):
    """A metric without bounds where less is better."""

    better: ClassVar[Literal["higher", "lower"]] = "lower"
    card = Card("a distance", "-", "0 to the picture's diagonal, lower is better", "made up")

    def score(self, prediction: Prediction, target: Target) -> float:
        raise NotImplementedError

    def signature(self, state: Any) -> str:
        return "mm"


class Share(Millimetres):
    """One with bounds."""

    card = Card("a share of wrong answers", "-", "0 to 1, lower is better", "made up")


def rows(values: Sequence[float]) -> np.ndarray:
    return np.stack([np.array(values, float), np.ones(len(values))], axis=1)


def gain_between(
    run: Sequence[float],
    base: Sequence[float],
    metric: Mean,
    clusters: Clusters | None = None,
    noise: float | None = None,
) -> Gain:
    a, b = Measure(metric, (), rows(run)), Measure(metric, (), rows(base))
    clusters = clusters or clusters_of([str(i) for i in range(len(run))])
    draws = draw([a, b], clusters, 200)
    return gain_of(a, b, metric.better, (draws[0], draws[1]), clusters, noise=noise)


scores = st.lists(st.floats(0, 1, width=16), min_size=6, max_size=20)


@given(scores, st.data())
def test_lower_is_better_mirrors_higher_is_better(base: list[float], data: st.DataObject) -> None:
    run = data.draw(st.lists(st.floats(0, 1, width=16), min_size=len(base), max_size=len(base)))
    up = gain_between(run, base, find_metric("exact-match"))  # type: ignore[arg-type]
    down = gain_between(run, base, Share())
    assert (down.value, down.low, down.high) == pytest.approx((-up.value, -up.high, -up.low), abs=1e-12)


@given(scores, st.data())
def test_run_and_baseline_exchanged_mirror_the_interval(base: list[float], data: st.DataObject) -> None:
    run = data.draw(st.lists(st.floats(0, 1, width=16), min_size=len(base), max_size=len(base)))
    noise = data.draw(st.none() | st.floats(0, 1))
    metric = find_metric("exact-match")
    there, back = gain_between(run, base, metric, noise=noise), gain_between(base, run, metric, noise=noise)  # type: ignore[arg-type]
    assert back.value == -there.value
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-12)
    assert there.low <= there.value <= there.high or not there.widened


@given(scores, st.data())
def test_the_made_up_clusters_are_drawn_as_any_other(base: list[float], data: st.DataObject) -> None:
    run = data.draw(st.lists(st.floats(0, 1, width=16), min_size=len(base), max_size=len(base)))
    metric, n = find_metric("exact-match"), len(base)
    found = gain_between(run, base, metric)  # type: ignore[arg-type]
    measures = [Measure(metric, (), rows(values)) for values in (run, base)]
    own, before = draw(measures, clusters_of([str(i) for i in range(n)]), 200)
    seen = int((np.abs(np.array(run) - base) > 0.1).sum())
    assert found.step == pytest.approx((1 if found.widened else 1 - (seen / 20) ** 2) / n)
    low, high = with_discordant((own - before).tolist(), found.step)
    if seen == 20:
        low, high = np.percentile(own - before, [2.5, 97.5])
    assert (found.low, found.high) == pytest.approx((max(low, -1), min(high, 1)), abs=1e-9)


@pytest.mark.parametrize(
    ("discordant", "size", "step"),
    [(0, 0.5, 1), (6, 0.5, 0.91), (10, 1, 0.75), (20, 0.5, 0), (60, 0.05, 1), (60, 1, 0)],
)
def test_the_made_up_clusters_fade_as_discordant_ones_are_seen(discordant: int, size: float, step: float) -> None:
    """Changes of hardly anything say nothing of how far one may go."""
    base = [0.0] * 100
    run = [size * (-1) ** i if i < discordant else 0.0 for i in range(100)]
    gain = gain_between(run, base, find_metric("exact-match"))  # type: ignore[arg-type]
    assert gain.step == pytest.approx(step / 100)


@pytest.mark.parametrize("wins", [0, 1, 2])
def test_a_few_wins_of_few_samples_are_no_pass(wins: int) -> None:
    """Percentiles alone would be [0, .15] with one win of 20: a pass, though identical answers are none."""
    base = [0.0] * 10 + [1.0] * 10
    gain = gain_between([1.0] * wins + base[wins:], base, find_metric("exact-match"))  # type: ignore[arg-type]
    assert gain.low < -1 / 20
    assert verdict_of(gain, 0.01) == "inconclusive"


@pytest.mark.parametrize(
    ("n", "lost", "won"),
    [(105, 0.01, 0.0), (150, 0.0125, 0.0025), (200, 0.01, 0.0), (301, 0.015, 0.005), (1000, 0.02, 0.01)],
)
def test_a_loss_of_the_margin_seldom_passes(n: int, lost: float, won: float) -> None:
    """Exact chance of a pass over all numbers of lost and won samples, but for those rarer than 1e-4."""
    multinomial = pytest.importorskip("scipy.stats").multinomial
    counts = np.concatenate([c.copy() for _, c in resample_counts(clusters_of([str(i) for i in range(n)]), 400, 1)])
    chance = dict.fromkeys((0.01, 0.005), 0.0)
    for losses in range(45):
        for wins in range(30):
            likely = multinomial.pmf([losses, wins, n - losses - wins], n, [lost, won, 1 - lost - won])
            if likely < 1e-4:
                continue
            values = np.zeros(n)
            values[:losses], values[losses : losses + wins] = -1, 1
            measures = [Measure(find_metric("exact-match"), (), rows(v)) for v in (values > 0, values < 0)]
            drawn = counts @ (values > 0) / n, counts @ (values < 0) / n
            gain = gain_of(measures[0], measures[1], "higher", drawn, clusters_of([str(i) for i in range(n)]))
            for margin in chance:
                chance[margin] += likely * (verdict_of(gain, margin) == "pass")
    assert chance[0.01] <= 0.06  # the loss is the margin
    assert chance[0.005] <= 0.01  # twice the margin


@pytest.mark.parametrize(
    ("spec", "step"),
    [
        ("balanced-accuracy", 1 / 6),
        ("f1-macro", (1 - 4 / 5) / 2),
        ("auroc", 1 / 3),
        ("auprc", 1 / 3),
        ("f1-micro", 1 / 200),
    ],
)
def test_a_step_is_what_one_sample_of_a_rare_class_moves(spec: str, step: float) -> None:
    names = ["a"] * 197 + ["b"] * 3
    targets: list[Target] = [Labels((name,)) for name in names]
    metric = find_metric(spec)
    state = metric.fit(targets, ("a", "b"))

    def measure(answers: Sequence[str]) -> Measure:
        said = [Prediction((a,), scores={"a": float(a == "a"), "b": float(a == "b")}) for a in answers]
        return Measure(metric, state, metric.rows(said, targets, state))

    good, bad = measure(names), measure([*names[:-1], "a"])
    clusters = clusters_of([str(i) for i in range(200)])
    draws = draw([good, bad], clusters, 100)
    gain = gain_of(good, good, "higher", (draws[0], draws[0]), clusters)
    assert gain.step == pytest.approx(step, rel=0.02)
    assert verdict_of(gain, 0.01) == "inconclusive"
    if spec != "f1-micro":
        assert gain.step >= 0.9 * (point(good) - point(bad))
        assert gain.low <= -2 * gain.step


@pytest.mark.parametrize("spec", ["f1-macro", "balanced-accuracy", "accuracy-macro", "mcc", "kappa", "f1:over=truth"])
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3)), min_size=2, max_size=12))
def test_reach_is_the_largest_change_of_one_cluster_done_by_hand(spec: str, cases: list[tuple[int, int, int]]) -> None:
    metric, classes = find_metric(spec), ("0", "1", "2")
    targets: list[Target] = [Labels((str(true),)) for true, _, _ in cases]
    clusters = clusters_of([str(patient) for *_, patient in cases])

    def value(of: int, *, right: bool) -> float:
        said = [
            Prediction((str(said),)) if code != of else Prediction((str(true),) if right else None)
            for (true, said, _), code in zip(cases, clusters.codes, strict=True)
        ]
        return point(Measure(metric, classes, metric.rows(said, targets, classes)))

    moved = np.nan_to_num([abs(value(c, right=True) - value(c, right=False)) for c in range(clusters.count)])
    said = [Prediction((str(said),)) for _, said, _ in cases]
    found = metric.reach(metric.rows(said, targets, classes), classes, clusters)
    assert found == pytest.approx(moved.max(), abs=1e-12)


@pytest.mark.parametrize("spec", ["auroc", "auroc:average=micro", "auroc:label=1"])
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=2, max_size=12))
def test_reach_of_auroc_is_all_pairs_of_one_cluster_won_or_lost(spec: str, cases: list[tuple[int, int]]) -> None:
    metric, classes = find_metric(spec), ("0", "1", "2")
    targets: list[Target] = [Labels((str(true),)) for true, _ in cases]
    clusters = clusters_of([str(patient) for *_, patient in cases])

    def value(of: int, *, right: bool) -> float:
        said = []
        for (true, _), code in zip(cases, clusters.codes, strict=True):
            sign = (1 if right else -1) * (code == of)
            said.append(Prediction((), scores={c: (1 if c == str(true) else -1) * sign for c in classes}))
        return point(Measure(metric, classes, metric.rows(said, targets, classes)))

    moved = [value(c, right=True) - value(c, right=False) for c in range(clusters.count)]
    found = metric.reach(metric.rows([Prediction(None)] * len(cases), targets, classes), classes, clusters)
    if found is None:
        assert np.isnan(moved).all()
    else:
        assert found == pytest.approx(max(moved), abs=1e-12)


def test_a_change_that_many_resamples_leave_undefined_cannot_be_told() -> None:
    for defined, verdict in ((940, "inconclusive"), (950, "pass")):
        gain = Gain(0.7, 0.6, 0.8, defined, 1000, 0.005, 0.0, 1e-12)
        assert verdict_of(gain, 0.01) == verdict
        more = more_clusters(gain, 0.01, 200)
        reason = reason_of("auroc", verdict, gain, 0.01, "higher", 200, 200, more)  # type: ignore[arg-type]
        assert ("only 940 of 1000 resamples have a value, too few to tell" in reason) == (defined == 940)
        assert more is None or defined == 950


gains = st.builds(
    lambda value, below, above: Gain(value, value - below, value + above, 100, 100, math.nan, 0.0, 1e-12),
    st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1),
)  # fmt: skip


@given(gains, st.floats(0, 2), st.floats(0, 2))
def test_a_wider_margin_never_worsens_the_verdict(gain: Gain, one: float, other: float) -> None:
    order = ["regression", "inconclusive", "pass"]
    strict, wide = sorted((one, other))
    assert order.index(verdict_of(gain, strict)) <= order.index(verdict_of(gain, wide))


@given(gains, st.floats(0, 2), st.floats(0, 1))
def test_a_better_run_never_has_a_worse_verdict(gain: Gain, margin: float, more: float) -> None:
    order = ["regression", "inconclusive", "pass"]
    better = Gain(gain.value + more, gain.low + more, gain.high + more, 100, 100, math.nan, 0.0, 1e-12)
    assert order.index(verdict_of(gain, margin)) <= order.index(verdict_of(better, margin))


@given(scores, st.floats(0, 1), st.floats(0, 1))
def test_more_noise_never_narrows(values: list[float], one: float, other: float) -> None:
    base = [0.5] * len(values)
    metric = find_metric("exact-match")
    little, much = (gain_between(values, base, metric, noise=n) for n in sorted((one, other)))  # type: ignore[arg-type]
    assert much.low <= little.low + 1e-12
    assert much.high >= little.high - 1e-12


def test_a_bound_at_the_margin_tells_nothing() -> None:
    low = 0.6 - 0.65  # -0.050000000000000044
    for margin in (0.05, 0.05 + 1e-15, 0.05 - 1e-15):
        assert verdict_of(Gain(0.0, low, 0.1, 9, 9, math.nan, 0.0, 1e-12), margin) == "inconclusive"
        assert verdict_of(Gain(-0.1, -0.2, low, 9, 9, math.nan, 0.0, 1e-12), margin) == "inconclusive"
    assert verdict_of(Gain(0.0, low, 0.1, 9, 9, math.nan, 0.0, 1e-12), 0.0501) == "pass"
    assert verdict_of(Gain(-0.1, -0.2, low, 9, 9, math.nan, 0.0, 1e-12), 0.0499) == "regression"


def test_noise_is_added_as_independent_errors_are() -> None:
    values, base = [0.0, 1.0, 1.0, 0.5, 0.0, 1.0, 0.2, 0.9], [0.5] * 8
    metric = find_metric("exact-match")
    without, with_noise = gain_between(values, base, metric), gain_between(values, base, metric, noise=0.03)  # type: ignore[arg-type]
    moved = NormalDist().inv_cdf(0.975) * math.sqrt(2) * 0.03
    assert with_noise.value - with_noise.low == pytest.approx(math.hypot(without.value - without.low, moved))
    assert with_noise.high - with_noise.value == pytest.approx(math.hypot(without.high - without.value, moved))
    assert gain_between(values, base, metric, noise=0.0) == without  # type: ignore[arg-type]


def test_unbounded_metrics_widen_by_the_range_seen() -> None:
    clusters = clusters_of(["a", "a", "a", "b", "c"])
    gain = gain_between([1, 4, 2, 9, 2], [1, 4, 2, 9, 2], Millimetres(), clusters)
    assert (gain.step, gain.low, gain.high) == pytest.approx((8 * 3 / 5, -14.4, 14.4))
    flat = gain_between([3, 3], [3, 3], Millimetres())
    assert not flat.widened
    assert not flat.known
    assert verdict_of(flat, 100.0) == "inconclusive"
    assert "nothing says how far one patient could move it" in reason_of(
        "hd95", "inconclusive", flat, 100.0, "lower", 2, 2, None
    )


def test_samples_that_are_not_counted_have_no_share() -> None:
    metric = find_metric("exact-match")
    left = rows([1, 1, 1, 0, 0, 0])
    left[3:, 1] = 0  # as a closed accuracy leaves open questions out
    measure, clusters = Measure(metric, (), left), clusters_of(["a", "b", "b", "c", "c", "c"])
    draws = draw([measure], clusters, 50)[0]
    assert gain_of(measure, measure, "higher", (draws, draws), clusters).step == pytest.approx(2 / 3)


def test_where_less_is_better_the_reason_speaks_the_metrics_units() -> None:
    gain = Gain(-2.0, -3.0, -1.5, 9, 9, math.nan, 0.0, 1e-12)  # mm worse
    assert reason_of("hd95", "regression", gain, 1.0, "lower", 9, 9, None) == (
        "the true change is at best +1.5000, which is worse than the margin of 1"
    )


@given(
    st.floats(-0.2, 0.2), st.floats(0.001, 0.3), st.floats(0, 0.1), st.floats(0.001, 0.1), st.integers(10, 500)
)  # fmt: skip
def test_the_clusters_asked_for_would_tell(
    value: float, half: float, step: float, margin: float, clusters: int
) -> None:
    def told_by(number: int) -> bool:
        of = clusters / number
        shrunk = math.sqrt((min(3 * step, half) * of) ** 2 + (half**2 - min(3 * step, half) ** 2) * of)
        return verdict_of(Gain(value, value - shrunk, value + shrunk, 9, 9, step, 0.0, 1e-12), margin) != "inconclusive"

    assume(not told_by(clusters) and abs(value + margin) > 5e-3)
    more = more_clusters(Gain(value, value - half, value + half, 9, 9, step, 0.0, 1e-12), margin, clusters)
    assert more is not None
    assert told_by(clusters + more + 1)
    assert more <= 2 or not told_by(clusters + more - 2)


def test_no_number_of_clusters_beats_rerun_noise() -> None:
    gain = Gain(0.0, -0.05, 0.05, 9, 9, math.nan, 0.04, 1e-12)
    assert more_clusters(gain, 0.01, 100) is None
    assert "all answers of a rerun of the baseline's model move together by more" in reason_of(
        "m", "inconclusive", gain, 0.01, "higher", 9, 9, None
    )


def test_margins_are_read_and_checked() -> None:
    margins = Margins.parse(["0.02", "hd95=2", "bleu:n=1=0.5", "test/toy:dice=0.1"])
    assert margins == Margins(0.02, {"hd95": 2.0, "bleu:n=1": 0.5, "test/toy:dice": 0.1})
    dice, distance = find_metric("dice"), Millimetres()
    assert (margins.of("test/toy", "dice", dice), margins.of("other", "dice", dice)) == (0.1, 0.02)
    assert (margins.of("t", "hd95", distance), margins.of("t", "mm", distance)) == (2.0, None)
    assert Margins.parse([]) == Margins(0.01)
    for wrong in ("-0.1", "nan", "inf", "hd95=-1", "hd95=", "much", "hd95"):
        with pytest.raises(ConfigError, match="expected a number from 0"):
            Margins.parse([wrong])
    for twice in (["0.1", "0.2"], ["dice=1", "dice=2"]):
        with pytest.raises(ConfigError, match="given twice"):
            Margins.parse(twice)
    with pytest.raises(ConfigError):
        Margins(float("nan"))


# --- the command ---


def test_the_command_prints_and_returns_the_code(make: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    run, base = make("run", range(100)), make("base")
    assert command.check(str(run), str(base), ["0.05"]) == 3
    said = capsys.readouterr().out
    assert said.startswith("Regression: test/toy exact-match")
    assert "REGRESSION: test/toy exact-match: the true change is at best" in said
    assert command.check(str(base), str(base), ["0.001"], ["exact-match"], ["test/toy"], as_json=True) == 4
    found = json.loads(capsys.readouterr().out)
    assert (found["exit"], found["checks"][0]["verdict"], found["checks"][0]["widened"]) == (4, "inconclusive", True)
    assert found["checks"][0]["low"] == -0.015


def test_undefined_values_are_null_and_inconclusive(
    make: Callable[..., Path], text_task: TaskWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    task = text_task(6, metrics=["exact-match", "vqa-open-accuracy"])  # every question is a closed one
    run = make("run", tasks=str(task))
    assert command.check(str(run), str(run), ["0.9"], as_json=True) == 4
    found = {c["metric"]: c for c in json.loads(capsys.readouterr().out)["checks"]}
    assert found["vqa-open-accuracy"]["change"] is None
    assert found["vqa-open-accuracy"]["reason"] == "it has no value on these 6 samples"


def test_reports_are_written_beside(
    make: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, base = make("run", range(100)), make("base")
    junit, markdown = tmp_path / "out" / "gate.xml", tmp_path / "gate.md"
    assert command.check(str(run), str(base), junit=str(junit), markdown=str(markdown)) == 3
    capsys.readouterr()
    assert "<testsuites" in junit.read_text()
    assert "exact-match" in markdown.read_text()
    assert str(tmp_path) not in junit.read_text() + markdown.read_text()
