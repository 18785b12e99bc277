"""Rank and linear correlation under weights, and the agreement of grades on an ordered scale.

References: scipy 1.17 ``kendalltau`` (tau-b), ``spearmanr`` and ``pearsonr``; scikit-learn 1.7
``cohen_kappa_score(weights="quadratic")``. Kendall 1945, "The treatment of ties in ranking problems"; Cohen 1968,
"Weighted kappa". Under whole weights the value is that of the sample with each observation repeated as often.

The functions take plain arrays, so that they serve metrics against readers as well; :func:`correlation_measure` makes of
two arrays what the statistics engine resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import isqrt
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from radbench.metrics.base import Additive, Card, State, one_of, ratio
from radbench.metrics.labels.classification import class_number, true_names

from radbench.errors import ConfigError, DataError
from radbench.records import Labels, Prediction, Target
from radbench.statistics import Floats, Measure

_BLOCK = 1 << 20  # weights of observations at a time, 8 MiB
_MOST_GRADES = 30  # rows hold a table of grades squared

Codes = NDArray[np.intp]
Kind = Literal["kendall", "spearman", "pearson"]
Grading = Literal["kendall-tau", "spearman", "kappa-quadratic"]


def kendall_tau_b(x: ArrayLike, y: ArrayLike, weights: Floats) -> Floats:
    """(B,) Kendall's tau-b of (n,) ``x`` and ``y`` under (B, n) weights, -1 to 1; nan where a variable is constant.

    (concordant - discordant) / sqrt(pairs not tied in x * pairs not tied in y), pairs weighted by the product of their
    weights. Time n log(n) B. Raises ValueError where lengths differ or a value is not finite.
    """
    return _blockwise(_kendall, *_codes(x, y), weights)


def spearman(x: ArrayLike, y: ArrayLike, weights: Floats) -> Floats:
    """(B,) Spearman's rho: the correlation of midranks, each resample ranked anew. Otherwise as :func:`kendall_tau_b`."""
    return _blockwise(_spearman, *_codes(x, y), weights)


def pearson(x: ArrayLike, y: ArrayLike, weights: Floats) -> Floats:
    """(B,) Pearson's r. Otherwise as :func:`kendall_tau_b`."""
    return _blockwise(_pearson, *_checked(x, y), weights)


def _checked(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"x has shape {a.shape} and y {b.shape}, expected (n,) each")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("x or y has a value that is not finite")
    return a, b


def _codes(x: ArrayLike, y: ArrayLike) -> tuple[Codes, Codes]:
    """Only the order of the values counts."""
    a, b = (np.unique(v, return_inverse=True)[1].ravel() for v in _checked(x, y))
    return a, b


def _blockwise(of: Callable[[Any, Any, Floats], Floats], x: Any, y: Any, weights: Floats) -> Floats:
    """The values of ``of`` under a few weights at a time, which it gets as (cells, b): one cell a distinct observation,
    sorted by x, then y."""
    if weights.ndim != 2 or weights.shape[1] != len(x):
        raise ValueError(f"weights have shape {weights.shape}, expected (B, {len(x)})")
    out = np.full(len(weights), np.nan)
    if len(x) == 0:
        return out
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    starts = np.flatnonzero(np.append(True, (x[1:] != x[:-1]) | (y[1:] != y[:-1])))
    height = max(1, _BLOCK // len(order))
    for first in range(0, len(weights), height):
        cells = weights[first : first + height].T[order]
        out[first : first + height] = of(x[starts], y[starts], np.add.reduceat(cells, starts, axis=0))
    return out


def _summed(codes: Codes, cells: Floats) -> Floats:
    """(g, b) weight of each of the g values that ``codes`` number without gaps."""
    order = np.argsort(codes, kind="stable")
    return np.asarray(np.add.reduceat(cells[order], np.flatnonzero(np.diff(codes[order], prepend=-1)), axis=0))


def _vary(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """(b,) whether at least two values of either variable have weight, from (g, b) weights of each."""
    return np.asarray(((x > 0).sum(axis=0) > 1) & ((y > 0).sum(axis=0) > 1))


def _kendall(x: Codes, y: Codes, cells: Floats) -> Floats:
    in_x, in_y = _summed(x, cells), _summed(y, cells)
    pairs = cells.sum(axis=0) ** 2
    tied_x, tied_y, tied_both = ((w**2).sum(axis=0) for w in (in_x, in_y, cells))
    # Pairs tied in x stand in ascending order of y: they were counted, and are no concordant pairs.
    score = 2 * _ascents(y, cells) - (tied_x - tied_both)
    tau = ratio(score, np.sqrt((pairs - tied_x) * (pairs - tied_y)))
    return np.where(_vary(in_x, in_y), np.clip(tau, -1.0, 1.0), np.nan)


def _ascents(y: Codes, cells: Floats) -> Floats:
    """(b,) weight of the pairs i < j with y[i] < y[j], less that of those with y[i] > y[j]: a merge sort that counts.

    What is merged with what depends on y alone; only the weights differ between resamples.
    """
    n = len(y)
    total = np.zeros(cells.shape[1])
    position = np.arange(n)
    width = 1
    while width < n:
        half = position // width
        order = np.lexsort((y, half // 2))
        key = (half // 2) * n + y[order]
        is_right = half[order] % 2 == 1
        left = np.zeros((n + 1, cells.shape[1]))
        np.cumsum(np.where(is_right[:, None], 0.0, cells[order]), axis=0, out=left[1:])
        right = np.flatnonzero(is_right)
        lower, higher = np.searchsorted(key, key[right], "left"), np.searchsorted(key, key[right], "right")
        start = half[right] // 2 * (2 * width)
        below_less_above = left[lower] + left[higher] - left[start] - left[np.minimum(start + 2 * width, n)]
        total += np.einsum("ib,ib->b", cells[order[right]], below_less_above)
        width *= 2
    return total


def _spearman(x: Codes, y: Codes, cells: Floats) -> Floats:
    in_x, in_y = _summed(x, cells), _summed(y, cells)
    rank_x, rank_y = (_midranks(w)[codes] for w, codes in ((in_x, x), (in_y, y)))
    return np.where(_vary(in_x, in_y), _moments(rank_x, rank_y, cells), np.nan)


def _midranks(values: Floats) -> Floats:
    """(g, b) weights of rising values to their mean ranks, about 0."""
    upto = np.cumsum(values, axis=0)
    return upto - values / 2 - upto[-1] / 2


def _pearson(x: Floats, y: Floats, cells: Floats) -> Floats:
    codes_x, codes_y = (np.unique(v, return_inverse=True)[1].ravel() for v in (x, y))
    total = cells.sum(axis=0)
    near_x, near_y = (v[:, None] - ratio(v @ cells, total) for v in (x, y))
    return np.where(_vary(_summed(codes_x, cells), _summed(codes_y, cells)), _moments(near_x, near_y, cells), np.nan)


def _moments(x: Floats, y: Floats, cells: Floats) -> Floats:
    """(b,) Σ w x y / sqrt(Σ w x² Σ w y²) of deviations from the mean, (cells, b)."""
    both, own_x, own_y = ((cells * a * b).sum(axis=0) for a, b in ((x, y), (x, x), (y, y)))
    return np.clip(ratio(both, np.sqrt(own_x) * np.sqrt(own_y)), -1.0, 1.0)


_CORRELATIONS: dict[Kind, Callable[[ArrayLike, ArrayLike, Floats], Floats]] = {
    "kendall": kendall_tau_b,
    "spearman": spearman,
    "pearson": pearson,
}


class PairedColumns:
    """A correlation as the statistics engine takes it: rows are (x, y)."""

    additive: ClassVar[bool] = False

    def __init__(self, kind: Kind) -> None:
        one_of("kind", kind, tuple(_CORRELATIONS))
        self.kind = kind

    def value(self, rows: Floats, weights: Floats, state: State) -> Floats:
        return _CORRELATIONS[self.kind](rows[:, 0], rows[:, 1], weights)

    def reduce(self, sums: Floats, state: State) -> Floats:
        raise TypeError("a correlation is no function of sums; use value()")

    def scale(self) -> tuple[float, float]:
        return -1.0, 1.0

    def classes_of(self, rows: Floats, state: State) -> None:
        return None


def correlation_measure(kind: Kind, x: ArrayLike, y: ArrayLike) -> Measure:
    """The correlation of two (n,) arrays, a metric's scores and a reader's grades for instance, for the engine."""
    return Measure(PairedColumns(kind), (), np.stack(_checked(x, y), axis=1))


# --- grades ---


_GRADES: dict[Grading, tuple[str, str, str]] = {
    "kendall-tau": ("Kendall's tau-b", "(concordant - discordant pairs of samples) / sqrt(pairs not tied in truth x pairs"
                    " not tied in prediction)", "Kendall 1945; scipy 1.17 kendalltau"),
    "spearman": ("Spearman's rank correlation", "correlation of the midranks of predicted and true grades",
                 "Spearman 1904; scipy 1.17 spearmanr"),
    "kappa-quadratic": ("Quadratically weighted kappa", "1 - Σ (t - p)² / its expectation with truth and prediction"
                        " independent, grades numbered in the order of the task's choices",
                        "Cohen 1968; scikit-learn 1.7 cohen_kappa_score(weights='quadratic')"),
}  # fmt: skip


class Grades(Additive):
    """Agreement in order of predicted and true grades: BI-RADS, Kellgren-Lawrence, any closed set whose choices rise.

    One label a sample. A failed answer, one that names several grades or none of the scale takes the worst grade for its
    truth: for kappa the one farthest from it, for a rank correlation the end of the scale that contradicts the order of
    most other references (see :func:`worst_grades`). A model that always says one grade has value 0; undefined where the
    truth is one grade only. Rows are a table of grades, true by predicted, with a single 1; the state is each grade with
    its worst.
    """

    accepts = (Labels,)

    def __init__(self, value: Grading) -> None:
        one_of("value", value, tuple(_GRADES))
        self.kind = value
        title, formula, source = _GRADES[value]
        self.card = Card(
            title,
            formula + "; 0 where all predictions are one grade, undefined where all true grades are one",
            "-1 to 1, higher is better",
            source,
            failed="a failed answer, and one that names no single grade of the scale, is the grade "
            + (
                "farthest from the truth"
                if value == "kappa-quadratic"
                else "most at odds with the order of the references"
            ),
            notes=("The order of the grades is the order of the task's choices.",),
        )

    def fit(self, targets: Iterable[Target], choices: Sequence[str]) -> State:
        """The grades, lowest first: the task's closed set. Raises :class:`ConfigError` without one."""
        if not 2 <= len(choices) <= _MOST_GRADES:
            raise ConfigError(
                f"{self.card.title} needs a scale of 2 to {_MOST_GRADES} grades, the task has {len(choices)} choices",
                remedy="give the task's choices in their order, the lowest first",
            )
        index = {grade: i for i, grade in enumerate(choices)}
        numbers = [class_number(index, name) for target in targets for name in true_names(target)]
        counts = np.bincount(np.array(numbers, np.intp), minlength=len(index))
        worst = worst_grades(counts if self.kind != "kappa-quadratic" else np.zeros_like(counts))
        return tuple((grade, choices[w]) for grade, w in zip(choices, worst, strict=True))

    def columns(self, state: State) -> tuple[str, ...]:
        # The scale is part of each name: tables of other scales must not be added to one another.
        scale = "|".join(grade for grade, _ in state)
        return tuple(f"{scale}#{t},{p}" for t in range(len(state)) for p in range(len(state)))

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        index = {grade: i for i, (grade, _) in enumerate(state)}
        table = np.zeros((len(targets), len(state), len(state)))
        for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
            names, said = true_names(target), tuple(prediction.value or ())
            if len(names) != 1:
                raise DataError(f"a target has {len(names)} labels, {self.card.title} needs one a sample")
            true = class_number(index, names[0])
            worst = index[state[true][1]]
            table[i, true, index.get(said[0], worst) if len(said) == 1 else worst] = 1.0
        return table.reshape(len(targets), -1)

    def reduce(self, sums: Floats, state: State) -> Floats:
        count = isqrt(sums.shape[-1])
        if len(state) == sums.shape[-1] and len({name.rpartition("#")[0] for name in state}) > 1:
            raise DataError("tasks of different scales of grades cannot be pooled", remedy="use a macro group")
        table = sums.reshape(-1, count * count)
        true, said = (grade.ravel() for grade in np.indices((count, count)))
        if self.kind == "kappa-quadratic":
            values = _quadratic_kappa(true, said, table)
        else:
            values = (kendall_tau_b if self.kind == "kendall-tau" else spearman)(true, said, table)
        grid = table.reshape(-1, count, count)
        graded, answered = ((grid.sum(axis=axis) > 0).sum(axis=1) for axis in (2, 1))
        values = np.where((graded > 1) & (answered == 1), 0.0, np.where(graded > 1, values, np.nan))
        return values.reshape(sums.shape[:-1])

    def sample_scores(self, rows: Floats, state: State) -> Floats | None:
        return None  # a single sample has no order

    def signature(self, state: State) -> str:
        failed = "farthest" if self.kind == "kappa-quadratic" else "against-order"
        if failed == "against-order" and state and not isinstance(state[0], str):
            # Frozen from the references: the lowest or the highest grade, for each grade.
            failed += ":" + "".join("l" if worst == state[0][0] else "h" for _, worst in state)
        return f"{self.kind}|grades:{len(state)}|failed:{failed}|constant:0|v:1"


def worst_grades(counts: NDArray[np.integer[Any]]) -> Codes:
    """(K,) what a failed answer counts as for each true grade, from the (K,) number of references of each.

    Of the two ends of the scale the one that puts it out of order with more of the other references; where both do so
    equally, or there are no references, the one farther from the truth, of two the lowest. The farthest alone would do a
    model a favour: where most references have the lowest grades, calling a middle one the highest is the right order.
    """
    grade, top = np.arange(len(counts)), len(counts) - 1
    below = np.cumsum(counts) - counts
    above = counts.sum() - below - counts
    if_lowest = (
        above - below + np.where(grade > 0, counts[0], 0)
    )  # concordant less discordant; equal grades are neither
    if_highest = below - above + np.where(grade < top, counts[-1], 0)
    lowest = np.where(if_lowest == if_highest, grade >= top - grade, if_lowest < if_highest)
    return np.where(lowest, 0, top)


def _quadratic_kappa(true: Codes, said: Codes, table: Floats) -> Floats:
    """(B,) from (B, K²) tables: the expectation needs the first two moments of either side only."""
    n = table.sum(axis=1)
    seen = table @ (true - said) ** 2
    expected = n * (table @ (true**2 + said**2)) - 2 * (table @ true) * (table @ said)
    return 1 - ratio(seen * n, expected)


METRICS = {name: partial(Grades, name) for name in _GRADES}
