"""CheXbert: 14 observations of a chest X-ray report, F1 over them, and the cosine of report embeddings.

Smit et al. 2020 (EMNLP, arXiv 2004.09167), scored as the package f1chexbert 0.0.2 does. The model is in
:mod:`radbench.metrics.clinical.chexbert_model`, the scores of labels in :mod:`radbench.metrics.clinical.chexbert_labels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np
from radbench.metrics.base import Card, Mean, State, one_of, references
from radbench.metrics.batches import shared
from radbench.metrics.clinical.chexbert_labels import (
    Average,
    Part,
    binary_labels,
    columns,
    report,
)
from radbench.metrics.clinical.chexbert_model import (
    CHECKPOINT,
    Labeler,
    Reading,
    cosines,
    labeler,
    vocabulary_folder,
    weights_mark,
)
from radbench.metrics.clinical.weights import BERT_VOCABULARY, absent_packages, find, missing
from radbench.metrics.findings.label_scores import LabelScore
from radbench.metrics.findings.observations import OBSERVATIONS

from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats

__all__ = [
    "METRICS",
    "ChexbertAccuracy",
    "ChexbertF1",
    "ChexbertVector",
    "Labeler",
    "chexbert_report",
    "chexbert_vector",
]

_SOURCE = "f1chexbert 0.0.2 and scikit-learn 1.7 classification_report; CheXbert: Smit et al. 2020, arXiv 2004.09167"
_CHEST = "chest X-ray reports in English"


def chexbert_report(
    predictions: Sequence[str],
    references: Sequence[str],
    classes: int = 14,
    uncertain: str = "positive",
    weights: str = "",
) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support by observation and averaged, of texts; see :func:`chexbert_labels.report`."""
    found = binary_labels(labeler(weights).classes([*predictions, *references]), uncertain)
    return report(found[len(predictions) :], found[: len(predictions)], classes)


def chexbert_vector(predictions: Sequence[str], references: Sequence[str], weights: str = "") -> Floats:
    """(n,) cosines of the report embeddings of texts, -1 to 1, higher is better."""
    read = labeler(weights).embeddings([*predictions, *references])
    return cosines(read[: len(predictions)], read[len(predictions) :])


# --- metrics ---


class _Chexbert:
    """What the three metrics share: the options of the labeler, and reading a batch of pairs."""

    accepts: ClassVar[tuple[type, ...]] = (Text,)

    def __init__(self, weights: str, dtype: str, device: str) -> None:
        one_of("dtype", dtype, ("float32", "bfloat16"))
        one_of("device", device, ("auto", "cpu", "cuda"))
        self.weights, self.dtype, self.device = str(weights), dtype, device

    def unavailable(self) -> str | None:
        if absent := absent_packages("torch", "tokenizers", "safetensors"):
            return absent
        if find("chexbert", CHECKPOINT, self.weights) is None:
            return missing("chexbert", CHECKPOINT, self.weights)
        return None if vocabulary_folder(self.weights) else missing("bert-base-uncased", BERT_VOCABULARY, self.weights)

    def made_with(self) -> str:
        """The end of a signature: which weights and which arithmetic."""
        return f"weights:{weights_mark(self.weights)}|dtype:{self.dtype}"

    def pairs(
        self, predictions: Sequence[Prediction], targets: Sequence[Target]
    ) -> list[tuple[Reading | None, list[Reading]]]:
        """Readings of each answer (None where it failed) and of its reference's alternatives."""
        key = f"chexbert|{self.weights}|{self.dtype}|{self.device}"
        return shared(predictions, targets, key, lambda: self._read(predictions, targets))

    def _read(
        self, predictions: Sequence[Prediction], targets: Sequence[Target]
    ) -> list[tuple[Reading | None, list[Reading]]]:
        answers = [p.value for p in predictions if p.value is not None]
        alternatives = [references(t) for t in targets]
        read = labeler(self.weights, self.dtype, self.device).read([*answers, *(a for t in alternatives for a in t)])
        said, true = iter(read[: len(answers)]), iter(read[len(answers) :])
        return [
            (None if p.value is None else next(said), [next(true) for _ in t])
            for p, t in zip(predictions, alternatives, strict=True)
        ]


class _Labels(_Chexbert):
    """The options of the metrics that compare labels."""

    def __init__(self, classes: int, uncertain: str, weights: str, dtype: str, device: str) -> None:
        super().__init__(weights, dtype, device)
        one_of("classes", str(classes), ("14", "5"))
        one_of("uncertain", uncertain, ("positive", "negative"))
        self.classes, self.uncertain = int(classes), uncertain

    def labels(
        self, predictions: Sequence[Prediction], targets: Sequence[Target]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """0/1 labels (n, classes) of references and answers, and (n,) whether an answer is there.

        Of several references, the first of those that agree with the answer in most classes.
        """
        nothing = np.zeros(len(OBSERVATIONS), np.int8)
        true, said, there = [], [], []
        for answer, alternatives in self.pairs(predictions, targets):
            classes = np.stack([nothing if answer is None else answer.classes, *(a.classes for a in alternatives)])
            own, *others = columns(binary_labels(classes, self.uncertain), self.classes)
            said.append(own)
            true.append(max(others, key=lambda other: int((other == own).sum())))
            there.append(answer is not None)
        return np.array(true), np.array(said), np.array(there)


class ChexbertF1(_Labels, LabelScore):
    """F1, precision or recall of the observations that CheXbert finds in answer and reference; of one with ``label``."""

    def __init__(
        self,
        classes: int = 14,
        average: Average = "micro",
        uncertain: str = "positive",
        part: Part = "f1",
        label: str | None = None,
        weights: str = "",
        dtype: str = "float32",
        device: str = "auto",
    ) -> None:
        super().__init__(classes, uncertain, weights, dtype, device)
        one_of("average", average, ("micro", "macro", "weighted", "samples"))
        one_of("part", part, ("f1", "precision", "recall"))
        if label is not None:
            one_of("label", label, OBSERVATIONS)
            one_of("classes, beside a label", str(classes), ("14",))
        self.average, self.part, self.label = average, part, label
        formula = {
            "f1": "2 TP / (2 TP + FP + FN)",
            "precision": "TP / (TP + FP)",
            "recall": "TP / (TP + FN)",
        }[part]
        over = {
            "micro": "of the counts summed over classes and reports",
            "macro": "per class, then the mean over all classes (one absent from both sides counts 0)",
            "weighted": "per class, then the mean weighted by how many references have the class",
            "samples": "per report over its classes, then the mean over reports (no label on both sides counts 0)",
        }[average]
        self.card = Card(
            f"CheXbert {part if part != 'f1' else 'F1'}, " + (label or f"{classes} observations, {average} average"),
            f"{formula} {'of the counts summed over reports' if label else over}; "
            f"uncertain counts as {uncertain}, blank as negative",
            "0 to 1, higher is better",
            _SOURCE,
            valid_for=_CHEST,
            failed="a failed answer has no observation: a false negative of each that its reference has",
        )

    def names(self) -> Sequence[str]:
        known = [str(name) for name in columns(np.array([OBSERVATIONS]), self.classes)[0]]
        return known if self.label is None else [self.label]

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        true, said, _ = self.labels(predictions, targets)
        if self.label is not None:
            at = OBSERVATIONS.index(self.label)
            true, said = true[:, at : at + 1], said[:, at : at + 1]
        return self.rows_of(true, said)

    def signature(self, state: State) -> str:
        over = f"classes:{self.classes}|avg:{self.average}" if self.label is None else f"label:{self.label}"
        options = f"{over}|uncertain:{self.uncertain}|zero:0|failed:fn"
        return f"chexbert-{self.part}|{options}|{self.made_with()}|v:1"


class ChexbertAccuracy(_Labels, Mean):
    """Share of reports of which all classes agree (f1chexbert's accuracy; its pe_accuracy is the score by report)."""

    def __init__(
        self,
        classes: int = 5,
        uncertain: str = "positive",
        weights: str = "",
        dtype: str = "float32",
        device: str = "auto",
    ) -> None:
        super().__init__(classes, uncertain, weights, dtype, device)
        self.card = Card(
            f"CheXbert accuracy, {classes} observations",
            f"share of reports whose {classes} labels all equal the reference's; uncertain counts as {uncertain}",
            "0 to 1, higher is better",
            _SOURCE,
            valid_for=_CHEST,
        )

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        true, said, there = self.labels(predictions, targets)
        return ((true == said).all(axis=1) & there).astype(np.float64)

    def signature(self, state: State) -> str:
        return f"chexbert-accuracy|classes:{self.classes}|uncertain:{self.uncertain}|{self.made_with()}|v:1"


class ChexbertVector(_Chexbert, Mean):
    """Cosine of the report embeddings: "CheXbert vector" of MedDr, "CheXbert" of MedVersa, semb of CXR-Report-Metric."""

    card = Card(
        "CheXbert vector similarity",
        "cosine of CheXbert's last hidden states of [CLS] for answer and reference, the mean over reports",
        "-1 to 1, higher is better",
        "rajpurkarlab/CXR-Report-Metric @9c9ecad semb_score; PyPI multimedeval 1.0.0; CheXbert: arXiv 2004.09167",
        valid_for=_CHEST,
        failed="a failed answer counts -1",
    )

    def __init__(self, weights: str = "", dtype: str = "float32", device: str = "auto") -> None:
        super().__init__(weights, dtype, device)

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        pairs = self.pairs(predictions, targets)
        at = [(i, a.embedding, r.embedding) for i, (a, alternatives) in enumerate(pairs) if a for r in alternatives]
        out = np.full(len(pairs), -1.0)
        if at:
            which, said, true = zip(*at, strict=True)
            np.maximum.at(out, np.array(which), cosines(np.stack(said), np.stack(true)))
        return out

    def signature(self, state: State) -> str:
        return f"chexbert-vector|cosine|token:cls|alternatives:best|failed:-1|{self.made_with()}|v:1"


METRICS = {
    "chexbert-f1": ChexbertF1,
    "chexbert-precision": partial(ChexbertF1, part="precision"),
    "chexbert-recall": partial(ChexbertF1, part="recall"),
    "chexbert-accuracy": ChexbertAccuracy,
    "chexbert-vector": ChexbertVector,
}
