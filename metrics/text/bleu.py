"""BLEU (Papineni et al. 2002) in the variants the papers' code uses.

Every variant is counts of clipped n-gram matches, a smoothing and a brevity penalty. Equal to their originals:
``smooth:none`` corpus on ``13a`` - Hugging Face evaluate (tensorflow/nmt compute_bleu), sacreBLEU 2.6.0 smooth_method none;
``exp`` - sacreBLEU's default, with ``order=effective`` its sentence_bleu; ``add1`` - evaluate's smooth=True; ``nltk`` and
``nltk1 nltk3 nltk4 nltk7`` - NLTK 3.10 without and with SmoothingFunction().method1 ...; ``pycoco`` - pycocoevalcap 1.2 and
RadEval @e0a3909; ``tok:split avg:sample`` - torchmetrics 1.9 BLEUScore a pair, which MultiMedEval averages; ``tok:cxr
smooth:nltk1 n:2`` - the BLEU-2 of CXR-Report-Metric @9c9ecad.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from radbench.metrics.base import Additive, Card, State, one_of, ratio, whole
from radbench.metrics.text.pairs import encoded, joint_matches, matches
from radbench.metrics.text.tokens import TOKENISERS, Case, Tokeniser, unavailable

from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats

Smoothing = Literal["none", "exp", "add1", "nltk", "nltk1", "nltk3", "nltk4", "nltk7", "pycoco"]


def _logs(precision: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log(precision)


# Each smoothing: (match (..., n), total (..., n), hypothesis length (...)) -> log precision (..., n).


def _none(match: Floats, total: Floats, length: Floats) -> Floats:
    return _logs(ratio(match, total, undefined=0.0))


def _exp(match: Floats, total: Floats, length: Floats) -> Floats:
    """The k-th order without a match counts 1 / 2^k matches, as mteval-v13a.pl."""
    missed = np.cumsum((match == 0) & (total > 0), axis=-1)
    smoothed = ratio(np.where(match > 0, match, 0.5**missed), total, undefined=0.0)
    return _logs(np.where(match[..., :1] > 0, smoothed, 0.0))


def _add1(match: Floats, total: Floats, length: Floats) -> Floats:
    return _logs((match + 1) / (total + 1))


def _nltk(match: Floats, total: Floats, length: Floats) -> Floats:
    """NLTK puts the smallest float for a precision of 0: scores of 1e-231 and the like."""
    return _logs(np.where(match > 0, match / total, np.finfo(np.float64).tiny))


def _nltk1(match: Floats, total: Floats, length: Floats) -> Floats:
    return _logs(np.where(match > 0, match, 0.1) / total)


def _nltk3(match: Floats, total: Floats, length: Floats) -> Floats:
    return _logs(np.where(match > 0, match, 0.5 ** np.cumsum(match == 0, axis=-1)) / total)


def _nltk4_precision(match: Floats, total: Floats, length: Floats) -> Floats:
    missed = np.cumsum(match == 0, axis=-1)
    counts = np.log(np.maximum(length, 1.0))[..., None] / (5 * 2.0**missed)
    return np.where(match > 0, match, counts) / total


def _nltk4(match: Floats, total: Floats, length: Floats) -> Floats:
    precision = _nltk4_precision(match, total, length)
    return np.where(
        precision > 0, _logs(precision), 0.0
    )  # of a text of one word, NLTK skips the orders without a match


def _nltk7(match: Floats, total: Floats, length: Floats) -> Floats:
    """Methods 4 and 5: each precision averaged with its neighbours, the one before already averaged."""
    beyond = match[..., 4:] / total[..., 4:]  # order 5, unsmoothed
    following = np.concatenate([_nltk4_precision(match[..., :4], total[..., :4], length), beyond], axis=-1)
    before, out = following[..., 0] + 1, []
    for i in range(4):
        before = (before + following[..., i] + following[..., i + 1]) / 3
        out.append(before)
    return _logs(np.stack(out, axis=-1))


_TINY, _SMALL = 1e-15, 1e-9  # pycocoevalcap's guards against 0


def _pycoco(match: Floats, total: Floats, length: Floats) -> Floats:
    return np.log((match + _TINY) / (total + _SMALL))


_SMOOTHINGS: dict[Smoothing, Callable[[Floats, Floats, Floats], Floats]] = {
    "none": _none, "exp": _exp, "add1": _add1, "nltk": _nltk, "nltk1": _nltk1, "nltk3": _nltk3, "nltk4": _nltk4,
    "nltk7": _nltk7, "pycoco": _pycoco,
}  # fmt: skip


class Bleu(Additive):
    """BLEU of order ``n``: geometric mean of clipped 1..n-gram precisions times the brevity penalty.

    ``avg``: ``corpus`` sums the counts over samples first; ``sample`` averages per-sample BLEU. ``smooth`` decides what an
    order without a match counts (see the module). ``order=effective`` leaves orders out that the answers are too short
    for (sacreBLEU's sentence_bleu). ``ref``: of several references the length of the ``closest``, the shorter on a tie, or of
    the ``shortest``. An empty answer has no match and adds its reference's length.
    """

    accepts = (Text,)

    def __init__(
        self,
        n: int = 4,
        tok: Tokeniser = "13a",
        case: Case = "mixed",
        avg: Literal["corpus", "sample"] = "corpus",
        smooth: Smoothing = "none",
        order: Literal["full", "effective"] = "full",
        ref: Literal["closest", "shortest"] = "closest",
    ) -> None:
        n = whole("n", n, 1, 9)
        one_of("tok", tok, TOKENISERS)
        one_of("case", case, ("mixed", "lower"))
        one_of("avg", avg, ("corpus", "sample"))
        one_of("smooth", smooth, tuple(_SMOOTHINGS))
        one_of("order", order, ("full", "effective"))
        one_of("ref", ref, ("closest", "shortest"))
        if smooth == "nltk7" and (n != 4 or avg != "sample"):
            raise ValueError("smooth=nltk7 is defined for n=4 and avg=sample")
        if order == "effective" and smooth not in ("none", "exp"):
            raise ValueError(f"order=effective goes with smooth=none or exp, not {smooth}")
        self.n, self.tok, self.case, self.avg = n, tok, case, avg
        self.smooth, self.order, self.ref = smooth, order, ref
        self._nltk = smooth.startswith("nltk")
        self._counted = 5 if smooth == "nltk7" else self.n  # orders in the rows
        self.card = Card(
            f"BLEU-{n}",
            "brevity penalty x geometric mean of the clipped n-gram precisions of order 1 to n;"
            " BP = 1 where the answers are longer than the references, else exp(1 - reference length / answer length)",
            "0 to 1, higher is better",
            "Papineni et al. 2002; sacreBLEU 2.6.0, evaluate, torchmetrics 1.9.0, NLTK 3.10, pycocoevalcap 1.2, CXR-Report-Metric"
            " @9c9ecad by option",
            valid_for="any modality; rewards wording, not clinical content",
            failed="a failed answer counts as an empty text",
        )

    def columns(self, state: State) -> tuple[str, ...]:
        if self.avg == "sample":
            return ("sum", "n")
        orders = range(1, self._counted + 1)
        return (*(f"match{i}" for i in orders), *(f"total{i}" for i in orders), "hyp_len", "ref_len")

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        pairs, k = encoded(predictions, targets, self.tok, self.case), self._counted
        if pairs.single:
            match = matches(predictions, targets, self.tok, self.case, k)[:, :k]
        else:
            match = joint_matches(pairs, k)
        length = np.array([len(pairs.hypotheses[i]) for i in pairs.start], dtype=np.float64)
        total = np.maximum(length[:, None] - np.arange(k), 1.0 if self._nltk else 0.0)
        out = np.column_stack([match, total, length, self._reference_length(pairs.references, pairs.start, length)])
        if self.avg == "corpus":
            return out
        return np.stack([self._bleu(out), np.ones(len(out))], axis=1)

    def _reference_length(self, references: Sequence[str], start: np.ndarray, length: Floats) -> Floats:
        lengths = np.array([len(r) for r in references], dtype=np.float64)
        if len(lengths) == len(start):
            return lengths
        ends = np.append(start[1:], len(references))
        closest = self.ref == "closest"
        return np.array(
            [
                min((abs(r - h) if closest else 0.0, r) for r in lengths[a:b])[1]
                for a, b, h in zip(start, ends, length, strict=True)
            ]
        )

    def _bleu(self, sums: Floats) -> Floats:
        k = self._counted
        match, total, hyp, ref = sums[..., :k], sums[..., k : 2 * k], sums[..., -2], sums[..., -1]
        logs = _SMOOTHINGS[self.smooth](match, total, hyp)
        if self.order == "effective":
            used = total > 0
            mean = ratio(np.where(used, logs, 0.0).sum(axis=-1), used.sum(axis=-1), undefined=-np.inf)
        else:
            mean = logs.mean(axis=-1)
        if self.smooth == "pycoco":
            return np.exp(mean + np.minimum(0.0, 1 - (ref + _SMALL) / (hyp + _TINY)))
        score = np.exp(mean + np.minimum(0.0, 1 - ratio(ref, hyp, undefined=np.inf)))
        some = match[..., 0] > 0 if self._nltk else np.isfinite(mean)
        return np.where(some & (hyp > 0), score, 0.0)

    def reduce(self, sums: Floats, state: State) -> Floats:
        return self._bleu(sums) if self.avg == "corpus" else ratio(sums[..., 0], sums[..., 1])

    def signature(self, state: State) -> str:
        rare = f"|order:{self.order}" if self.smooth == "exp" or self.order != "full" else ""
        rare += f"|ref:{self.ref}" if self.ref != "closest" else ""
        return f"bleu|n:{self.n}|tok:{self.tok}|case:{self.case}|avg:{self.avg}|smooth:{self.smooth}{rare}|v:1"

    def unavailable(self) -> str | None:
        return unavailable(self.tok)


METRICS = {
    "bleu": Bleu,
    **{f"bleu-{n}": partial(Bleu, n) for n in (1, 2, 3, 4)},
    "bleu-2-cxr": lambda: Bleu(n=2, tok="cxr", avg="sample", smooth="nltk1"),
}
