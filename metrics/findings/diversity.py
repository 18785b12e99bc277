"""A guard against template collapse: how different a model's texts are from one another, and whether they are long enough.

A report generator that writes the same normal report for every image scores well on overlap where most images are normal.
These numbers show it: the share of distinct texts, the share of the most frequent one, the share of equal pairs, and
the agreement of length. References repeat themselves too (of Open-i's 3,425 findings sections 77 % are distinct, of its
3,921 impressions 47 %): compare with them, as :func:`collapse_warning` does.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from radbench.metrics.base import Additive, Card, Metric, State, ratio, references, said

from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats

_BITS = 53  # what a float64 holds exactly
_LEAST_PAIRS = 100
_LEAST_DISTINCT = 0.5
_MOST_FREQUENT = 0.2
_LENGTHS = (0.5, 2.0)
_NO_INTERVAL = (
    "No interval: a bootstrap repeats samples and with them their texts, so it cannot say how sure a distinct count or a "
    "maximum is; same-report-pairs has an interval."
)
_FAILED = "all failed answers count as one and the same (empty) text"


def normalised(text: str) -> str:
    """Lower case, white space runs as one space: texts equal after this count as the same."""
    return " ".join(text.lower().split())


def text_hash(text: str) -> float:
    """53 bits of a text's BLAKE2 as a float64: in 100,000 texts two distinct ones collide with probability 6e-7."""
    digest = blake2b(normalised(text).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return float(int.from_bytes(digest, "big") >> (64 - _BITS))


def others_with_same_text(hashes: Floats, weights: Floats) -> Floats:
    """(B, n) weight of the *other* samples that have each sample's text, from (n,) hashes and (B, n) weights.

    A sample drawn twice by a resample is no repetition of its text.
    """
    _, codes = np.unique(hashes, return_inverse=True)
    codes = codes.ravel()
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    sums = np.add.reduceat(weights[:, order], starts, axis=1)
    return sums[:, codes] - weights


def length_ratio(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Tokens predicted / tokens of the references (split at white space); nan without reference tokens."""
    predicted, true = _tokens(predictions), _tokens(references)
    return predicted / true if true else float("nan")


def length_agreement(predicted: Floats, true: Floats) -> Floats:
    """exp(-\\|log(predicted / true)\\|) of token counts: 1 for equal, .5 for half as well as for double, 0 for none."""
    return ratio(np.minimum(predicted, true), np.maximum(predicted, true))


def collapse_warning(predictions: Sequence[str], references: Sequence[str]) -> str | None:
    """The :meth:`CollapseWatch.warning` of texts that are all there. Raises ValueError where their numbers differ."""
    watch = CollapseWatch()
    watch.add(predictions, references)
    return watch.warning()


class CollapseWatch:
    """Notices a model's texts that look collapsed beside their references, batch by batch.

    It holds 8 bytes a text (:func:`text_hash`) and two counts, never the texts: what it says can be shown anywhere.
    """

    def __init__(self) -> None:
        self._said, self._true = array("d"), array("d")
        self._said_tokens = self._true_tokens = 0

    def add(self, predictions: Iterable[str], references: Iterable[str]) -> None:
        """Take in some pairs, a failed answer as "". Raises ValueError where there are not as many of each."""
        said_texts, true_texts = list(predictions), list(references)
        if len(said_texts) != len(true_texts):
            raise ValueError(f"{len(said_texts)} predictions, {len(true_texts)} references; expected as many of each")
        self._said.extend(map(text_hash, said_texts))
        self._true.extend(map(text_hash, true_texts))
        self._said_tokens += _tokens(said_texts)
        self._true_tokens += _tokens(true_texts)

    def warning(self) -> str | None:
        """One sentence where the texts so far look collapsed, else None; it quotes none of them.

        It warns where (1) the share of distinct predictions is below half the references' own share, (2) the most frequent
        prediction makes up 20 points more of all than the references' most frequent, or (3) the ratio of lengths is outside
        0.5 to 2. Measured on Open-i, one random set of real reports against another (300 draws each of 100, 200, 500, 1,000
        and 1,500 reports): for findings and for impressions the distinct ratio never fell below .80, the excess of the most
        frequent text never passed 11 points, lengths stayed within 0.62 to 1.66. Below 100 pairs chance comes near these
        limits, and nothing is said.
        """
        n = len(self._said)
        if n < _LEAST_PAIRS:
            return None
        said_counts, true_counts = _counts(self._said), _counts(self._true)
        distinct, expected = len(said_counts) / n, len(true_counts) / n
        if distinct < _LEAST_DISTINCT * expected:
            return f"only {distinct:.1%} of {n:,} predictions are distinct, of their references {expected:.1%}"
        most, usual = said_counts.max() / n, true_counts.max() / n
        if most > usual + _MOST_FREQUENT:
            return f"{most:.1%} of {n:,} predictions are the same text, of their references {usual:.1%}"
        if not self._true_tokens:
            return None
        lengths = self._said_tokens / self._true_tokens
        if not _LENGTHS[0] <= lengths <= _LENGTHS[1]:
            return f"predictions have {lengths:.2f} times the tokens of their references"
        return None


def _counts(hashes: Sequence[float] | Floats) -> NDArray[np.intp]:
    """How often each distinct text occurs."""
    return np.unique(np.array(hashes, np.float64), return_counts=True)[1]


def _tokens(texts: Iterable[str]) -> int:
    return sum(len(t.split()) for t in texts)


class _Texts(Metric):
    """A statistic of which predictions are the same text: one hash a row, so that rows stay small."""

    accepts = (Text,)

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        return np.array([[text_hash(said(p))] for p in predictions], np.float64).reshape(len(predictions), 1)


class _Counted(_Texts):
    """A number read from how often each text occurs. It is defined for the samples themselves: weights that are all 1.

    A resample repeats samples, and a repeated sample repeats its text: the bootstrap distribution of a distinct count or of a
    maximum lies beside the value instead of around it. Under any other weights the value is nan, and no interval is made.
    """

    @abstractmethod
    def of_counts(self, counts: NDArray[np.intp]) -> float:
        """The value, from how often each distinct text occurs (at least one text)."""

    def value(self, rows: Floats, weights: Floats, state: State) -> Floats:
        out = np.full(len(weights), np.nan)
        once = (weights == 1).all(axis=1) & (len(rows) > 0)
        if once.any():
            out[once] = self.of_counts(_counts(rows[:, 0]))
        return out


class DistinctReports(_Counted):
    """Distinct predictions / predictions; without an interval (nan under weights other than 1)."""

    card = Card(
        "Distinct reports",
        "number of distinct predictions / number of predictions, equal after lower-casing and collapsing white space",
        "0 to 1, higher is better; falls with the number of samples: compare with the references, or models on one set",
        "radbench",
        failed=_FAILED,
        notes=(_NO_INTERVAL,),
    )

    def of_counts(self, counts: NDArray[np.intp]) -> float:
        return len(counts) / float(counts.sum())

    def signature(self, state: State) -> str:
        return "distinct-reports|case:lower|space:collapsed|hash:blake2b-53|weights:1|failed:same|v:1"


class MostFrequentShare(_Counted):
    """Share of the samples with the most frequent prediction; without an interval (nan under weights other than 1)."""

    better: ClassVar[Literal["higher", "lower"]] = "lower"
    card = Card(
        "Most frequent report",
        "samples with the most frequent prediction / samples, equal after lower-casing and collapsing white space",
        "1/n to 1, lower is better",
        "radbench",
        failed=_FAILED,
        notes=(_NO_INTERVAL,),
    )

    def of_counts(self, counts: NDArray[np.intp]) -> float:
        return float(counts.max() / counts.sum())

    def signature(self, state: State) -> str:
        return "most-frequent-share|case:lower|space:collapsed|hash:blake2b-53|weights:1|failed:same|v:1"


class SameReportPairs(_Texts):
    """Share of the pairs of samples that have the same prediction: an unbiased statistic whatever the number of samples."""

    better: ClassVar[Literal["higher", "lower"]] = "lower"
    card = Card(
        "Pairs with the same report",
        "pairs of different samples with equal predictions / pairs (Simpson's index without replacement)",
        "0 to 1, lower is better",
        "radbench; Simpson 1949, doi 10.1038/163688a0",
        failed=_FAILED,
    )

    def value(self, rows: Floats, weights: Floats, state: State) -> Floats:
        if not len(rows):
            return np.full(len(weights), np.nan)
        same = (weights * others_with_same_text(rows[:, 0], weights)).sum(axis=1)
        return ratio(same, weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1))

    def signature(self, state: State) -> str:
        return "same-report-pairs|case:lower|space:collapsed|hash:blake2b-53|failed:same|v:1"


class LengthAgreement(Additive):
    """How well the total length of the predictions agrees with the references'; :func:`length_ratio` has the direction."""

    accepts = (Text,)
    card = Card(
        "Length agreement",
        "exp(-|log(r)|), r = tokens of all predictions / tokens of all references, split at white space",
        "0 to 1, higher is better: 1 for equal length, .5 for half and for double",
        "radbench",
        failed="a failed answer has no tokens",
    )

    def columns(self, state: State) -> tuple[str, ...]:
        return ("predicted_tokens", "reference_tokens")

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        out = np.zeros((len(targets), 2))
        for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
            length = len(said(prediction).split())
            out[i] = length, min((len(r.split()) for r in references(target)), key=lambda n: (abs(n - length), n))
        return out

    def reduce(self, sums: Floats, state: State) -> Floats:
        return length_agreement(sums[..., 0], sums[..., 1])

    def signature(self, state: State) -> str:
        return "length-agreement|tok:split|ref:closest|avg:corpus|failed:empty|v:1"


METRICS = {
    "distinct-reports": DistinctReports,
    "most-frequent-share": MostFrequentShare,
    "same-report-pairs": SameReportPairs,
    "length-agreement": LengthAgreement,
}
