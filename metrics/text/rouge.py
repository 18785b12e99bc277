"""ROUGE-N, ROUGE-L and ROUGE-Lsum (Lin 2004).

``tok:rouge`` equals rouge_score 0.1.2 and torchmetrics 1.9 ROUGEScore, ``tok:rouge-stem`` rouge_score's use_stemmer=True;
``rouge-l:tok=space,beta=1.2`` is the ROUGE-L of pycocoevalcap 1.2, which the R2Gen family reports. Hugging Face evaluate's
default is none of them but the median of 1,000 unseeded bootstrap means of rouge_score's F.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Literal

import numpy as np
from radbench.metrics.base import Card, Mean, State, one_of, ratio, references, said, whole
from radbench.metrics.batches import shared
from radbench.metrics.text.pairs import encoded, matches, of_best
from radbench.metrics.text.tokens import LEXICON, TOKENISERS, Tokeniser, unavailable

from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats

Part = Literal["f", "precision", "recall"]


@cache
def lcs_length() -> Callable[[str, str], int]:
    """The function that gives the length of the longest common subsequence of two encoded texts."""
    from rapidfuzz.distance.LCSseq import similarity

    return similarity


class _Rouge(Mean):
    """Overlap over answer length (precision), over reference length (recall), and their F; the mean over samples.

    Of several references the one with the highest F counts.
    """

    accepts = (Text,)
    name = ""
    title = ""
    overlap = ""

    def __init__(self, tok: Tokeniser = "rouge", part: Part = "f", beta: float = 1.0) -> None:
        one_of("tok", tok, TOKENISERS)
        one_of("part", part, ("f", "precision", "recall"))
        if not beta > 0:
            raise ValueError(f"beta is {beta}, expected a positive number")
        self.tok, self.part, self.beta = tok, part, float(beta)
        self.card = Card(
            f"{self.title} {'F' if part == 'f' else part}",
            f"P = {self.overlap} / answer length, R = {self.overlap} / reference length,"
            " F = (1 + beta^2) P R / (R + beta^2 P)",
            "0 to 1, higher is better",
            "Lin 2004; rouge_score 0.1.2 and torchmetrics 1.9.0 (tok rouge), pycocoevalcap 1.2 (rouge-l: tok space, beta 1.2)",
            valid_for="any modality; Latin script only with tok rouge, whose tokens are a-z and 0-9",
            failed="a failed answer counts as an empty text",
        )

    @abstractmethod
    def overlaps(
        self, predictions: Sequence[Prediction], targets: Sequence[Target]
    ) -> tuple[Floats, Floats, Floats, np.ndarray]:
        """Overlap, answer length and reference length of each pair, and where each sample's pairs start."""

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        common, hyp, ref, start = self.overlaps(predictions, targets)
        precision, recall = ratio(common, hyp, undefined=0.0), ratio(common, ref, undefined=0.0)
        squared = self.beta**2
        if self.beta != 1 and len(start) != len(common):  # pycocoevalcap takes the best precision and the best recall
            precision, recall = np.maximum.reduceat(precision, start), np.maximum.reduceat(recall, start)
            start = np.arange(len(start))
        f = ratio((1 + squared) * precision * recall, recall + squared * precision, undefined=0.0)
        chosen = {"f": f, "precision": precision, "recall": recall}[self.part]
        return of_best(f, chosen, start)

    def signature(self, state: State) -> str:
        beta = "" if self.beta == 1 else f"|beta:{self.beta:g}"
        return f"{self.name}|{self.part}|tok:{self.tok}{beta}|avg:sample|v:1"

    def unavailable(self) -> str | None:
        return unavailable(self.tok)


def _lengths(texts: Sequence[str], less: int = 0) -> Floats:
    return np.maximum(np.array([len(t) for t in texts], dtype=np.float64) - less, 0.0)


class RougeN(_Rouge):
    """ROUGE-N: clipped n-gram matches."""

    overlap = "clipped n-gram matches"

    def __init__(self, n: int = 1, tok: Tokeniser = "rouge", part: Part = "f") -> None:
        self.n = whole("n", n, 1, 9)
        self.name, self.title = f"rouge{self.n}", f"ROUGE-{self.n}"
        super().__init__(tok, part)

    def overlaps(
        self, predictions: Sequence[Prediction], targets: Sequence[Target]
    ) -> tuple[Floats, Floats, Floats, np.ndarray]:
        pairs = encoded(predictions, targets, self.tok)
        common = matches(predictions, targets, self.tok, "mixed", self.n)[:, self.n - 1]
        less = self.n - 1
        return common, _lengths(pairs.hypotheses, less), _lengths(pairs.references, less), pairs.start


class RougeL(_Rouge):
    """ROUGE-L: longest common subsequence of the whole texts."""

    name, title, overlap = "rougeL", "ROUGE-L", "longest common subsequence"

    def overlaps(
        self, predictions: Sequence[Prediction], targets: Sequence[Target]
    ) -> tuple[Floats, Floats, Floats, np.ndarray]:
        pairs = encoded(predictions, targets, self.tok)

        def common() -> Floats:
            return np.array(list(map(lcs_length(), pairs.hypotheses, pairs.references)), dtype=np.float64)

        lengths = shared(predictions, targets, ("lcs", self.tok), common)
        return lengths, _lengths(pairs.hypotheses), _lengths(pairs.references), pairs.start


class RougeLsum(_Rouge):
    """ROUGE-Lsum: the union of each reference line's longest common subsequences with the lines of the answer."""

    name, title, overlap = "rougeLsum", "ROUGE-Lsum", "union of line-wise common subsequences"

    def __init__(self, tok: Tokeniser = "rouge", part: Part = "f") -> None:
        super().__init__(tok, part)

    def overlaps(
        self, predictions: Sequence[Prediction], targets: Sequence[Target]
    ) -> tuple[Floats, Floats, Floats, np.ndarray]:
        shared(predictions, targets, "lexicon", LEXICON.begin_batch)
        encode = LEXICON.encoder(self.tok).encode
        found, start = list[tuple[int, int, int]](), list[int]()
        for prediction, target in zip(predictions, targets, strict=True):
            start.append(len(found))
            hypothesis = [encode(line) for line in said(prediction).split("\n")]
            for reference in references(target):
                lines = [encode(line) for line in reference.split("\n")]
                found.append((_union_lcs(hypothesis, lines), sum(map(len, hypothesis)), sum(map(len, lines))))
        columns = np.array(found, dtype=np.float64).reshape(-1, 3).T
        return columns[0], columns[1], columns[2], np.array(start, np.int64)


def _union_lcs(hypothesis: Sequence[str], reference: Sequence[str]) -> int:
    """Tokens of the reference in the union of its lines' subsequences, none counted more often than either side has it."""
    if len(hypothesis) == 1 and len(reference) == 1:
        return lcs_length()(hypothesis[0], reference[0])
    left = Counter("".join(hypothesis)) & Counter("".join(reference))
    others = [(other, set(other)) for other in dict.fromkeys(hypothesis)]
    hits = 0
    for line in reference:
        words = set(line)
        common = (_lcs_positions(line, other) for other, said_words in others if not words.isdisjoint(said_words))
        for i in sorted(set[int]().union(*common)):
            if left[line[i]] > 0:
                left[line[i]] -= 1
                hits += 1
    return hits


@lru_cache(maxsize=4096)
def _lcs_positions(reference: str, candidate: str) -> tuple[int, ...]:
    """Positions in the reference of one longest common subsequence, the one rouge_score traces back."""
    rows, columns = len(reference), len(candidate)
    table = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows):
        for j in range(columns):
            same = reference[i] == candidate[j]
            table[i + 1][j + 1] = table[i][j] + 1 if same else max(table[i][j + 1], table[i + 1][j])
    found, i, j = [], rows, columns
    while i and j:
        if reference[i - 1] == candidate[j - 1]:
            i, j = i - 1, j - 1
            found.append(i)
        elif table[i][j - 1] > table[i - 1][j]:
            j -= 1
        else:
            i -= 1
    return tuple(found)


METRICS = {
    "rouge-1": lambda tok="rouge", part="f": RougeN(1, tok, part),
    "rouge-2": lambda tok="rouge", part="f": RougeN(2, tok, part),
    "rouge-l": RougeL,
    "rouge-lsum": RougeLsum,
}
