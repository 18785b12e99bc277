"""UMLS precision, recall and F1: which medical concepts of the reference a prediction names.

RadBench (Wu et al., "Towards generalist foundation model for radiology", arXiv 2308.02463) defines UMLS_Precision as the
overlap over the medical words of the prediction and UMLS_Recall as the overlap over those of the reference, a pair at a
time, then averaged. It publishes no evaluation code and names no extractor, so each choice is an option here and in the
signature: the extractor with its dictionary, what counts as the same (``unit``) and what an empty set scores (``empty``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from radbench.metrics.base import Card, Mean, State, one_of, references, said
from radbench.metrics.batches import shared
from radbench.metrics.concepts.extractors import EXTRACTORS, Extractor, ExtractorName, find_extractor
from radbench.metrics.concepts.negation import Negation
from radbench.metrics.concepts.search import Match

from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats

Unit = Literal["cui-set", "cui-multiset", "surface-set"]
Empty = Literal["zero", "skip", "one", "reference"]
Part = Literal["precision", "recall", "f1"]
PARTS: tuple[Part, ...] = ("precision", "recall", "f1")
UNITS: tuple[Unit, ...] = ("cui-set", "cui-multiset", "surface-set")
NAN = float("nan")
_UNDEFINED: dict[Empty, float] = {"zero": 0.0, "one": 1.0, "skip": NAN, "reference": 0.0}


def units(matches: Sequence[Match], unit: Unit = "cui-set") -> Counter[str]:
    """What of the matches is compared, with its count (1 for the sets).

    ``cui-set`` and ``cui-multiset`` take the concepts' identifiers, ``surface-set`` the lower-cased words of the text. A
    match marked as negated is another thing than the same concept affirmed.
    """
    if unit == "surface-set":
        keys = [("not " if m.negated else "") + m.text.lower() for m in matches]
    else:
        keys = [("-" if m.negated else "") + m.cui for m in matches]
    return Counter(keys) if unit == "cui-multiset" else Counter(dict.fromkeys(keys, 1))


def overlap(predicted: Mapping[str, int], reference: Mapping[str, int]) -> tuple[int, int, int]:
    """(shared, predicted, reference) sizes of two multisets; a set has counts of 1."""
    both = sum(min(n, reference[key]) for key, n in predicted.items() if key in reference)
    return both, sum(predicted.values()), sum(reference.values())


def precision(both: int, predicted: int, reference: int, empty: Empty = "zero") -> float:
    """``both / predicted``, 0 to 1, higher is better; a prediction without concepts scores what ``empty`` says.

    Under ``reference`` it scores 0, and a pair whose reference has none is left out, as recall leaves it out.
    """
    if empty == "reference" and not reference:
        return NAN
    return both / predicted if predicted else _UNDEFINED[empty]


def recall(both: int, predicted: int, reference: int, empty: Empty = "skip") -> float:
    """``both / reference``, 0 to 1, higher is better; a reference without concepts scores what ``empty`` says."""
    return both / reference if reference else _UNDEFINED[empty]


def f1(both: int, predicted: int, reference: int, empty: Empty = "skip") -> float:
    """Harmonic mean of precision and recall, 0 to 1, higher is better; 0 where both are 0.

    Under ``skip`` a reference without concepts leaves the pair out, whatever was predicted, so that every model is scored on
    the same pairs; a prediction without concepts scores 0. Under ``zero`` and ``one`` each of the two takes that value first.
    """
    if empty == "skip":
        return 2 * both / (predicted + reference) if reference else NAN
    p, r = precision(both, predicted, reference, empty), recall(both, predicted, reference, empty)
    return 2 * p * r / (p + r) if p + r else 0.0


_SCORES = {"precision": precision, "recall": recall, "f1": f1}
# A model that says nothing must not gain by it, so its precision is 0. A reference without concepts says nothing about a
# model and is the same for all of them, so it is left out of recall and F1.
DEFAULT_EMPTY: dict[Part, Empty] = {"precision": "zero", "recall": "skip", "f1": "skip"}
_FORMULA = {
    "precision": "|concepts of the prediction and the reference| / |concepts of the prediction|, mean over samples",
    "recall": "|concepts of the prediction and the reference| / |concepts of the reference|, mean over samples",
    "f1": "2 P R / (P + R) of a sample's concept precision and recall, mean over samples",
}


class Umls(Mean):
    """UMLS precision, recall or F1 of texts, a pair at a time, then averaged.

    ``extractor``: ``concepts`` (option ``dictionary``: ``hpo+radiology``, ``hpo``, ``radiology``, ``umls`` for a fetched
    release, or a folder; ``window``, ``min_length``, ``types``), ``quickumls`` (``folder``, ``threshold``, ``window``,
    ``min_length``, ``overlapping``, ``similarity``, ``pipeline``) or ``scispacy`` (``model``). ``unit``: what is compared
    (:func:`units`). ``empty``: what a pair scores whose precision (no concept predicted) or recall (none in the reference) is
    undefined: ``zero``, ``one``, or ``skip``, which leaves it out of the mean; by default zero for precision and skip for
    recall and F1. ``reference`` (of precision) leaves out what recall leaves out, so that both are over the same pairs.
    ``negation``: denied concepts count like others (``ignore``, as QuickUMLS has it), not at all (``drop``), or as
    something else (``mark``).
    A failed answer scores 0. Of several references the best-scoring one counts.
    """

    accepts = (Text,)

    def __init__(
        self,
        part: Part,
        extractor: ExtractorName = "concepts",
        unit: Unit = "cui-set",
        empty: Empty | None = None,
        negation: Negation = "ignore",
        **options: Any,
    ) -> None:
        one_of("part", part, PARTS)
        one_of("extractor", extractor, EXTRACTORS)
        one_of("unit", unit, UNITS)
        one_of("negation", negation, ("ignore", "drop", "mark"))
        self.part: Part = part
        self.unit: Unit = unit
        self.empty: Empty = DEFAULT_EMPTY[part] if empty is None else empty
        one_of("empty", self.empty, tuple(e for e in _UNDEFINED if e != "reference" or part == "precision"))
        self.extractor: Extractor = find_extractor(extractor, negation, tuple(sorted(options.items())))
        self.card = Card(
            f"UMLS {part if part != 'f1' else 'F1'}",
            _FORMULA[part],
            "0 to 1, higher is better",
            "RadBench (arXiv 2308.02463), which publishes no code; arithmetic on QuickUMLS 1.4.2 matches",
            valid_for="any modality, English text",
            failed="a failed answer counts 0 (and is left out where its reference has no concept and empty:skip)",
        )

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        sizes = self._sizes(predictions, targets)
        score = _SCORES[self.part]
        out = np.empty(len(sizes))
        for i, (prediction, options) in enumerate(zip(predictions, sizes, strict=True)):
            values = [score(*option, self.empty) for option in options]
            if prediction.value is None:  # the worst there is, unless the reference leaves the pair out for everyone
                by_reference = self.part != "precision" or self.empty == "reference"
                skipped = by_reference and all(v != v for v in values)
                out[i] = NAN if skipped else 0.0
            else:
                out[i] = max((v for v in values if v == v), default=NAN)
        return out

    def _sizes(self, predictions: Sequence[Prediction], targets: Sequence[Target]) -> list[list[tuple[int, int, int]]]:
        """For each sample, the overlap sizes with each of its references; shared by all three scores of a pass."""

        def make() -> list[list[tuple[int, int, int]]]:
            found: dict[str, Counter[str]] = {}  # of this batch: repeated texts are read once

            def of(text: str) -> Counter[str]:
                if text not in found:
                    found[text] = units(self.extractor.extract(text), self.unit)
                return found[text]

            pairs = zip(predictions, targets, strict=True)
            return [[overlap(of(said(p)), of(reference)) for reference in references(t)] for p, t in pairs]

        return shared(predictions, targets, ("umls", self.extractor, self.unit), make)

    def signature(self, state: State) -> str:
        return f"umls-{self.part}|{self.extractor.signature()}|unit:{self.unit}|empty:{self.empty}|avg:sample|v:1"

    def unavailable(self) -> str | None:
        return self.extractor.unavailable()


METRICS = {f"umls-{part}": partial(Umls, part) for part in PARTS}
