"""The regression gate: is a run worse than its baseline by more than a margin?

Run and baseline are compared on their common samples under the same resamples of clusters. For each task and metric the
*change* is run minus baseline, the *gain* the change oriented so that up is better. With the two-sided percentile
interval of the gain (level .95: 2.5 % on each side) and a margin ``m``

- **pass**: the lower bound is above ``-m`` (a non-inferiority test at 2.5 %);
- **regression**: the upper bound is below ``-m``;
- **inconclusive**: neither; a bound exactly at ``-m`` tells nothing.

Two things move the bounds outward first.

*One discordant cluster each way takes part in the resampling*: a made-up cluster that went wholly the one way and
another that went wholly the other way. Each is drawn into a resample as often as any other, Poisson(1) times, so every
resampled gain is ``gain + step (Poisson(1) - Poisson(1))``; all combinations count by their chance, none is drawn. Where
few clusters changed, percentiles of the clusters seen alone are too narrow: no loss in n is compatible with a loss rate
of 3 / n (the rule of three; Hanley and Lippman-Hand 1983, "If nothing goes wrong, is everything all right?"), and equal
answers give an interval of 3 steps either way, ``widened`` from none. A *step* is how far
one cluster can move the metric: its range times the largest cluster's share of the samples, or, of averages over classes
and areas under curves, what one cluster of the rarest class moves (``Metric.reach``), whichever is more. A metric without
bounds takes the range of the sample scores seen in both runs; where there is none an interval of no width tells nothing.
Of metrics that are functions of sums the clusters seen say more: where k of them moved the value by more than a tenth of
that, the step is multiplied by ``1 - (k / 20)²``. From 20 on the interval is that of ``radbench compare``.

Where the baseline holds the *noise* ``s``, the standard deviation of what all answers of a rerun of its model have in
common (:mod:`radbench.analysis.repeat`), either half ``h`` of the interval becomes ``sqrt(h² + (z sqrt(2) s)²)`` with the
level's normal quantile ``z``: run and baseline are one draw each.

A check whose change is undefined in more than 5 % of the resamples (a class so rare that many lack it) is inconclusive.

The run's verdict is the worst of its checks: incomplete (exit 5) where answers, a task or a metric of the baseline are
missing, else regression (3), inconclusive (4), passed (0). That all checks must pass needs no correction for their
number. Margins of 0 to 1 mean nothing to a metric in millimetres: one whose values are not known to lie within -1 to 1
is gated only with a margin of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from radbench.analysis.pairing import Paired, ScoredRun, pair, paired_draws
from radbench.caution import FEWEST_CLUSTERS
from radbench.errors import ConfigError, DataError, Exit
from radbench.folder import MANIFEST, RESULTS
from radbench.gate.baseline import open_baseline
from radbench.gate.baseline_file import Baseline, digests
from radbench.gate.margins import Margins
from radbench.gate.rule import Verdict, gain_of, more_clusters, reason_of, shown, verdict_of
from radbench.gate.scope import check_gated, names_of, scope_of
from radbench.public import told_spec
from radbench.registry import find_metric
from radbench.scoring import rounded
from radbench.statistics import LEVEL, point


@dataclass(frozen=True, slots=True)
class Check:
    """One task and metric. ``change``, ``low`` and ``high`` are run minus baseline in the metric's own units, ``gain_low``
    and ``gain_high`` the same oriented so that up is better; nan where undefined. ``reason`` says the verdict in plain words."""

    task: str
    metric: str
    better: Literal["higher", "lower"]
    verdict: Verdict
    baseline: float
    value: float
    change: float
    low: float
    high: float
    gain_low: float
    gain_high: float
    margin: float | None  # None: not gated
    n: int  # common samples, each once however often it was asked
    clusters: int
    widened: bool  # of no width without the discordant cluster each way
    noise: float | None  # standard deviation of what all answers of a rerun have in common; None where not measured
    more_clusters: int | None  # about so many more would tell, where inconclusive and it can be said
    reason: str


@dataclass(frozen=True, slots=True)
class GateResult:
    """All checks of a run against a baseline; ``exit`` is the command's, ``headline`` one plain sentence."""

    run: str  # names for people, never paths
    baseline: str
    level: float
    exit: Exit
    headline: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...]  # partial, new tasks, why incomplete, other data, not gated ...

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: numbers rounded, nan as None, ``exit`` its number."""
        found: dict[str, Any] = rounded({**asdict(self), "exit": int(self.exit)})
        return found


def check(
    run: str | Path,
    baseline: str | Path,
    margins: Margins | float | None = None,
    metrics: Sequence[str] = (),
    tasks: Sequence[str] = (),
    level: float = LEVEL,
) -> GateResult:
    """Hold a run against a baseline, a run folder or a file of ``radbench baseline``; see the module's text for the rule.

    ``margins`` is one for all metrics, or :class:`Margins`; ``metrics`` and ``tasks`` restrict. Raises :class:`DataError`
    where the baseline is stale or shares no sample with the run, :class:`ConfigError` on unknown names, on margins that are
    none and where nothing is left to be gated.
    """
    if not 0.5 <= level < 1:
        raise ConfigError(f"level is {level}, expected 0.5 to below 1", remedy="--level 0.95")
    run, baseline = Path(run), Path(baseline)
    margins = margins if isinstance(margins, Margins) else Margins() if margins is None else Margins(margins)
    held = open_baseline(baseline)
    if (run / MANIFEST).is_file() and not (run / RESULTS).exists():
        return _unscored(run, held, level)
    scored = ScoredRun(run)
    scope = scope_of(scored, held, metrics, tasks)
    margins.check_names(names_of(scored, held))
    check_gated(scope, margins)
    checks: list[Check] = []
    notes = [*scope.missing, *scope.notes]
    for task, names in scope.metrics.items():
        paired = _paired(scored, held, task, names)
        if paired.n == 0 and scored.results["complete"]:
            raise DataError(
                f"task '{task}': {run} and {baseline} share no sample",
                remedy=f"was the data replaced? then: radbench baseline {run} -o FILE",
            )
        if paired.n == 0:
            notes.append(f"{task}: no sample of the baseline is answered.")
            continue
        notes += _notes_of(task, paired, scored, held)
        checks += _checks(task, paired, scored, held, margins, level, scope.frozen_apart)
    return _result(scored, held, level, bool(scope.missing), checks, notes + _few_clusters(checks))


def _unscored(run: Path, held: Baseline, level: float) -> GateResult:
    note = f"The run has no results yet: radbench resume {run.resolve().name} goes on with it."
    headline = "Incomplete: the run is not scored, so nothing was checked."
    return GateResult(run.resolve().name, held.label, level, Exit.INCOMPLETE, headline, (), (note,))


def _paired(run: ScoredRun, held: Baseline, task: str, names: Sequence[str]) -> Paired:
    own = run.statistics(task)
    return pair([replace(own, ids=digests(own.ids)), held.statistics(task, names)], names)


# --- verdicts ---

_APART = (
    "a limited run freezes what the metric takes from all references on fewer of them, so that it is another metric; run"
    " without --limit"
)


def _checks(
    task: str,
    paired: Paired,
    run: ScoredRun,
    held: Baseline,
    margins: Margins,
    level: float,
    apart: frozenset[tuple[str, str]],
) -> list[Check]:
    own_draws, base_draws = paired_draws(paired, run.results["resamples"], run.results["seed"])
    n, clusters = paired.samples.count, paired.clusters.count
    found = []
    for name, measure in paired.measures[0].items():
        base, metric, noise = paired.measures[1][name], find_metric(name), held.tasks[task].metrics[name].noise
        draws = own_draws[name], base_draws[name]
        gain = gain_of(measure, base, metric.better, draws, paired.clusters, level, noise)
        margin, more = margins.of(task, name, metric), None
        verdict: Verdict = "not gated"
        if margin is not None:
            verdict = "inconclusive" if (task, name) in apart else verdict_of(gain, margin)
        if verdict == "inconclusive" and margin is not None and (task, name) not in apart:
            more = more_clusters(gain, margin, clusters)
        told = told_spec(name, task, run.results["tasks"][task])
        reason = reason_of(told, verdict, gain, margin, metric.better, n, clusters, more)
        if (task, name) in apart:
            reason = _APART
        low, high = (gain.low, gain.high) if metric.better == "higher" else (-gain.high, -gain.low)
        value, before = point(measure), point(base)
        found.append(
            Check(
                task, told, metric.better, verdict, before, value, value - before, low, high, gain.low, gain.high, margin,
                n, clusters, gain.widened, noise, more, reason,
            )
        )  # fmt: skip
    return found


def _notes_of(task: str, paired: Paired, run: ScoredRun, held: Baseline) -> list[str]:
    """What a reader must know of a task: samples not compared, other data."""
    notes = []
    common = paired.samples.count
    only_run, only_base = paired.left_out
    if only_base:
        label = "partial, " if run.results["partial"] else ""
        notes.append(f"{task}: {label}{common} of {common + only_base} samples of the baseline.")
    if only_run:
        notes.append(
            f"{task}: {only_run} of the run's {common + only_run} samples are not in the baseline, or lack a draw."
        )
    if any(paired.lacking):
        run_lacks, base_lacks = paired.lacking
        notes.append(
            f"{task}: samples that lack a draw which the others have are left out: {run_lacks} of the run,"
            f" {base_lacks} of the baseline."
        )
    if paired.clusters_differ:
        notes.append(f"{task}: the baseline names other patients for the same samples; those of the run count.")
    if run.manifest["identity"]["tasks"][task]["data"] != held.tasks[task].data:
        notes.append(f"{task}: the data are not those of the baseline; samples with the same id are compared.")
    return notes


def _few_clusters(checks: Sequence[Check]) -> list[str]:
    few = {c.task: c.clusters for c in checks if c.clusters < FEWEST_CLUSTERS}
    if not few:
        return []
    listed = ", ".join(f"{task} {count}" for task, count in few.items())
    return [f"Fewer than {FEWEST_CLUSTERS} clusters, the intervals may be too narrow: {listed}."]


def _result(
    run: ScoredRun, held: Baseline, level: float, incomplete: bool, checks: Sequence[Check], notes: Sequence[str]
) -> GateResult:
    verdicts = {c.verdict for c in checks}
    if incomplete:
        code = Exit.INCOMPLETE
    elif "regression" in verdicts:
        code = Exit.REGRESSION
    else:
        code = Exit.INCONCLUSIVE if "inconclusive" in verdicts else Exit.OK
    headline = _headline(code, checks, notes)
    return GateResult(run.path.resolve().name, held.label, level, code, headline, tuple(checks), tuple(notes))


def _headline(code: Exit, checks: Sequence[Check], notes: Sequence[str]) -> str:
    if code is Exit.INCOMPLETE:
        return f"Incomplete: {notes[0][0].lower()}{notes[0][1:]}" if notes else "Incomplete."
    gated = [c for c in checks if c.verdict != "not gated"]
    if code is Exit.OK:
        what = f"{_count(len(gated), 'check')} of {_count(len({c.task for c in gated}), 'task')}"
        margins = {c.margin for c in gated}
        return f"Passed: {what}, none worse by its margin{f' of {margins.pop():g}' if len(margins) == 1 else ''}."
    word: Verdict = "regression" if code is Exit.REGRESSION else "inconclusive"
    first, *rest = [c for c in gated if c.verdict == word]
    also = f", and {len(rest)} more" if rest else ""
    if code is Exit.REGRESSION:
        where = f"{first.task} {first.metric} changed by {shown(first.change)} (margin {first.margin:g})"
        return f"Regression: {where}{also}."
    return f"Cannot tell whether it regressed: {first.task} {first.metric}{also}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
