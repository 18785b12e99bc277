"""Exact match and token precision, recall and F1 of free answers.

Token F1 is that of SQuAD (Rajpurkar et al. 2016) without its own normalisation: which tokens, and whether they count as a
set or as often as they occur, are options.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
from radbench.metrics.base import Card, Mean, State, one_of, ratio, references, said
from radbench.metrics.text.pairs import encoded, matches, of_best
from radbench.metrics.text.tokens import TOKENISERS, Case, Tokeniser, unavailable

from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats

Part = Literal["f1", "precision", "recall"]


class ExactMatch(Mean):
    """Share of answers equal to a reference after stripping white space and lower-casing."""

    accepts = (Text,)

    card = Card(
        "Exact match",
        "share of lower-cased, stripped answers that equal a reference",
        "0 to 1, higher is better",
        "radbench",
    )

    def score(self, prediction: Prediction, target: Target) -> float:
        text = said(prediction).strip().lower()
        return float(prediction.value is not None and any(text == r.strip().lower() for r in references(target)))

    def signature(self, state: State) -> str:
        return "exact-match|case:lower|strip:yes|avg:sample|v:1"


class TokenOverlap(Mean):
    """Overlap of answer and reference tokens; of several references the one with the highest F1, averaged over samples.

    Two texts without a token score 1, one alone without 0.
    """

    accepts = (Text,)

    def __init__(
        self,
        part: Part = "f1",
        tok: Tokeniser = "13a",
        case: Case = "lower",
        count: Literal["multiset", "set"] = "multiset",
    ) -> None:
        one_of("part", part, ("f1", "precision", "recall"))
        one_of("tok", tok, TOKENISERS)
        one_of("case", case, ("mixed", "lower"))
        one_of("count", count, ("multiset", "set"))
        self.part, self.tok, self.case, self.count = part, tok, case, count
        self.card = Card(
            f"Token {part}",
            "P = common tokens / answer tokens, R = common tokens / reference tokens, F1 = 2 P R / (P + R)",
            "0 to 1, higher is better",
            "Rajpurkar et al. 2016 (SQuAD) for the form",
            valid_for="any modality; short answers",
            failed="a failed answer counts as an empty text",
        )

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        pairs = encoded(predictions, targets, self.tok, self.case)
        if self.count == "set":
            sets = [(set(h), set(r)) for h, r in zip(pairs.hypotheses, pairs.references, strict=True)]
            counts = np.array([(len(h & r), len(h), len(r)) for h, r in sets], dtype=np.float64).reshape(-1, 3)
            common, hyp, ref = counts.T
        else:
            common = matches(predictions, targets, self.tok, self.case, 1)[:, 0]
            hyp = np.array([len(h) for h in pairs.hypotheses], dtype=np.float64)
            ref = np.array([len(r) for r in pairs.references], dtype=np.float64)
        empty = ((hyp == 0) & (ref == 0)).astype(np.float64)
        f1 = ratio(2 * common, hyp + ref, undefined=0.0) + empty
        if self.part == "f1":
            return pairs.best(f1)
        chosen = ratio(common, hyp if self.part == "precision" else ref, undefined=0.0) + empty
        return of_best(f1, chosen, pairs.start)

    def unavailable(self) -> str | None:
        return unavailable(self.tok)

    def signature(self, state: State) -> str:
        return f"token-{self.part}|tok:{self.tok}|case:{self.case}|count:{self.count}|empty:one|avg:sample|v:1"


METRICS = {
    "exact-match": ExactMatch,
    **{f"token-{part}": partial(TokenOverlap, part) for part in ("precision", "recall", "f1")},
}
