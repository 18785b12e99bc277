"""``chexpert-rules-f1``: F1, precision or recall of the 14 CheXpert observations as our own rule labeler reads them.

The arithmetic is that of CheXbert F1 (:mod:`radbench.metrics.findings.label_scores`), the labels are not: they come from
:mod:`radbench.metrics.findings.rules`, which needs no weights. Numbers of the two are not comparable.

How good the labels are: ``benchmarks/chexpert_rules.py`` compares them with the MeSH headings of the half of Open-i that the
rules were not tuned on. F1 of positive labels: Cardiomegaly .978, Lung Opacity .946, Pneumothorax .941, Atelectasis .913,
Pleural Effusion .894, Support Devices .890, Consolidation .875, Fracture .854, Pleural Other .806, Lung Lesion .794, Edema
.731, Enlarged Cardiomediastinum .381 (7 cases), Pneumonia .368 (recall 1.0; coders left hedged pneumonias out); No Finding
.946. Negative labels could not be measured, nor what is left out of a history section: only findings and impressions were
labelled. Open-i are outpatient reports: expect less on the reports of intensive care.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from radbench.metrics.base import Card, State, one_of, references, said
from radbench.metrics.batches import shared
from radbench.metrics.findings.label_scores import (
    Average,
    LabelScore,
    Part,
    binary_labels,
    fewest_differences,
)
from radbench.metrics.findings.observations import FIVE, OBSERVATIONS
from radbench.metrics.findings.rules import LABELER, affirmed_sides, label

from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats

Codes = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class LabelledPairs:
    """A batch as the labeler reads it: each prediction beside each of its alternative references.

    ``predicted`` and ``true`` are (N, 14) codes of N >= n pairs, ``*_sides`` the sides of affirmed findings (bits: 1 left,
    2 right); ``first`` (n,) is the index of each sample's first pair. ``silent`` (n,) marks failed and empty answers.
    """

    predicted: Codes
    true: Codes
    predicted_sides: Codes
    true_sides: Codes
    first: NDArray[np.intp]
    silent: NDArray[np.bool_]


def labelled_pairs(predictions: Sequence[Prediction], targets: Sequence[Target]) -> LabelledPairs:
    """Label a batch; metrics that are handed the same two lists share the result."""
    return shared(predictions, targets, "chexpert-rules", lambda: _label_pairs(predictions, targets))


def _label_pairs(predictions: Sequence[Prediction], targets: Sequence[Target]) -> LabelledPairs:
    answers: list[str] = []
    truths: list[str] = []
    first: list[int] = []
    for prediction, target in zip(predictions, targets, strict=True):
        first.append(len(answers))
        for reference in references(target):
            answers.append(said(prediction))
            truths.append(reference)
    codes = {text: (label(text), affirmed_sides(text)) for text in {*answers, *truths}}

    def matrix(texts: Sequence[str], which: int) -> Codes:
        return np.array([codes[t][which] for t in texts], np.int8).reshape(len(texts), len(OBSERVATIONS))

    silent = np.array([not said(p).strip() for p in predictions], bool)
    return LabelledPairs(
        matrix(answers, 0), matrix(truths, 0), matrix(answers, 1), matrix(truths, 1), np.array(first, np.intp), silent
    )


class ChexpertRulesF1(LabelScore):
    """F1, precision or recall over the observations of the rule labeler.

    ``classes``: all 14 or the five of the CheXpert competition. ``average``: ``micro`` of the summed counts, ``macro`` over all
    classes (an absent one counts 0), ``weighted`` by the references' positives, or ``samples``, the mean over reports.
    ``uncertain``: whether a hedged finding counts as positive. Of several references the one with fewest differences counts.
    """

    accepts = (Text,)

    def __init__(
        self,
        classes: int = 14,
        average: Average = "micro",
        uncertain: Literal["positive", "negative"] = "positive",
        part: Part = "f1",
    ) -> None:
        one_of("classes", str(classes), ("14", "5"))
        one_of("average", average, ("micro", "macro", "weighted", "samples"))
        one_of("uncertain", uncertain, ("positive", "negative"))
        one_of("part", part, ("f1", "precision", "recall"))
        self.classes, self.average, self.uncertain, self.part = int(classes), average, uncertain, part
        self.indices = list(FIVE) if self.classes == 5 else list(range(len(OBSERVATIONS)))
        self.card = Card(
            f"chexpert-rules {part.capitalize()}, {average}, {classes} classes",
            "per observation TP, FP, FN of the labels that radbench's rule labeler reads in prediction and reference; "
            + {
                "micro": "of the summed counts",
                "macro": "mean over all classes, an absent one counting 0",
                "weighted": "mean over classes weighted by the references' positives",
                "samples": "of each report's own counts, averaged over reports",
            }[average],
            "0 to 1, higher is better",
            "radbench, radbench.metrics.findings.rules; observations: CheXpert (arXiv 1901.07031); arithmetic: scikit-learn "
            "classification_report, zero_division 0, as in f1chexbert 0.0.2. Not comparable with CheXbert F1",
            valid_for="chest radiographs, English",
            failed="a failed answer counts as an empty text: it misses every positive of the reference",
        )

    def names(self) -> Sequence[str]:
        return [OBSERVATIONS[i] for i in self.indices]

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        if not len(targets):
            return np.zeros((0, len(self.columns(state))))
        pairs = labelled_pairs(predictions, targets)
        predicted = binary_labels(pairs.predicted[:, self.indices], self.uncertain)
        true = binary_labels(pairs.true[:, self.indices], self.uncertain)
        best = fewest_differences(true, predicted, pairs.first)
        return self.rows_of(true[best], predicted[best])

    def signature(self, state: State) -> str:
        return (
            f"chexpert-rules-f1|part:{self.part}|classes:{self.classes}|avg:{self.average}|uncertain:{self.uncertain}|zero:0"
            f"|refs:fewest-differences|failed:empty|labeler:{LABELER}|v:1"
        )


METRICS = {
    "chexpert-rules-f1": ChexpertRulesF1,
    "chexpert-rules-f1-5": lambda: ChexpertRulesF1(classes=5),
}
