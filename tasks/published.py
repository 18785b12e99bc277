"""Scores printed in the papers, with their doubts: ``data/published_results.csv``, read from the papers' tables and prose.

A printed score is set beside one of ours only where the paper says enough to know that both are the same metric
(:func:`match`). Most papers name neither tokeniser nor averaging; what they leave open stands in :data:`MATCHES`.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Printed:
    """One printed score. ``value`` is None where the paper prints N/A; ``scale`` says how it is printed.

    ``row`` is the row of the suite's table (RB-01 ...), empty where the paper pools datasets of a task. ``direction`` is
    ``higher`` or ``lower``. ``doubt`` is what looks wrong in the paper. ``decimals``: digits printed after the point.
    """

    id: str
    row: str
    suite: str
    paper: str
    task: str
    dataset: str
    setting: str
    model: str
    metric: str
    canonical: str  # the metric's name without the paper's spelling
    value: float | None
    scale: str
    interval: tuple[float, float] | None
    source: str
    direction: str
    doubt: str
    decimals: int = 0

    def __str__(self) -> str:
        value = "N/A" if self.value is None else f"{self.value:g}"
        interval = f" [{self.interval[0]:g}, {self.interval[1]:g}]" if self.interval else ""
        setting = f", {self.setting}" if self.setting else ""
        doubt = f" (doubt: {self.doubt})" if self.doubt else ""
        return (
            f"{self.model}{setting}: {self.metric} {value}{interval} ({self.scale}), {self.paper} {self.source}{doubt}"
        )


@cache
def printed_scores() -> tuple[Printed, ...]:
    """Every printed score. Counts, gains, bounds and repetitions of the text are not scores and left out."""
    text = files("radbench.tasks.data").joinpath("published_results.csv").read_text(encoding="utf-8")
    return tuple(_printed(row) for row in csv.DictReader(text.splitlines()) if row["kind"] == "absolute")


def printed_for(keys: Iterable[str]) -> Iterator[Printed]:
    """The scores of rows (``MI-01``) and of pooled tasks (``RadBench/Medical VQA``)."""
    wanted = set(keys)
    for score in printed_scores():
        if score.row in wanted or f"{score.suite}/{score.task}" in wanted:
            yield score


@cache
def suite_rows() -> tuple[dict[str, str], ...]:
    """The papers' tables as one: a row each suite, task, dataset and setting (``data/suite_rows.csv``)."""
    text = files("radbench.tasks.data").joinpath("suite_rows.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def _printed(row: dict[str, str]) -> Printed:
    low, high = row["ci_low"], row["ci_high"]
    return Printed(
        id=row["id"],
        row=row["row_id"],
        suite=row["suite"],
        paper=row["paper"],
        task=row["task"],
        dataset=row["dataset"],
        setting=row["setting"],
        model=row["model"],
        metric=row["metric"],
        canonical=row["metric_canonical"],
        value=float(row["value"]) if row["value"] else None,
        scale=row["scale"],
        interval=(float(low), float(high)) if low and high else None,
        source=row["source"],
        direction=row["direction"],
        doubt=row["note"],
        decimals=len(row["value"].partition(".")[2]),
    )


# --- printed scores beside ours ---

PAPERS = {
    "RadFM": "Wu et al., Towards Generalist Foundation Model for Radiology by Leveraging Web-scale 2D&3D Medical Data, "
    "arXiv 2308.02463",
    "MedVersa": "Zhou et al., A Generalist Learner for Multifaceted Medical Image Interpretation, 2024",
    "MedDr": "He et al., MedDr: Diagnosis-Guided Bootstrapping for Large-Scale Medical Vision-Language Learning, "
    "arXiv 2404.15127",
    "RadFound": "Liu et al., Expert-level vision-language foundation model for real-world radiology and comprehensive "
    "evaluation",
}

# How a paper's numbers become ours: metrics of radbench are fractions, RadCliQ has no unit.
SCALES = {"fraction": 0, "raw": 0, "percent": 2, "x100": 2}


@dataclass(frozen=True, slots=True)
class Converted:
    """A printed score on our scale, None throughout where the paper prints N/A, with the ``decimals`` the paper gives it."""

    value: float | None
    interval: tuple[float, float] | None
    decimals: int
    divided_by: int


def on_our_scale(score: Printed) -> Converted | None:
    """The score as radbench would print it, or None where its unit is none of ours (points, ratings)."""
    shift = SCALES.get(score.scale)
    if shift is None:
        return None
    interval = (_shifted(score.interval[0], shift), _shifted(score.interval[1], shift)) if score.interval else None
    value = None if score.value is None else _shifted(score.value, shift)
    return Converted(value, interval, score.decimals + shift, 10**shift)


def _shifted(value: float, places: int) -> float:
    """``value / 10**places`` as one writes it: 49.41 becomes 0.4941, not 0.49410000000000004."""
    return float(f"{value}e-{places}")


@dataclass(frozen=True, slots=True)
class Match:
    """What a printed metric is here. ``metric``: our spec, None without any; ``reason``: "" where both are known to be the
    same, else what keeps it from being known."""

    metric: str | None
    reason: str

    @property
    def same(self) -> bool:
        return self.metric is not None and not self.reason


_VERSION = "the paper names MultiMedEval, not its version"
_TOOLKIT = "the paper names MultiMedEval, not its version, and versions 0.1.0 and 1.0.0 compute it differently"
_BLEU = "the paper names neither tokeniser, smoothing nor library"

# (suite, canonical name) -> our metrics that may stand in a row, and what keeps each from being the paper's.
MATCHES: dict[tuple[str, str], tuple[Match, ...]] = {
    # Accuracy over a closed set is one thing however an answer is read; how it is read is the task's.
    ("RadBench", "ACC"): (Match("accuracy", ""),),
    ("RadBench", "F1"): (Match("f1:label=yes", "the paper does not say of which class or average its F1 is"),),
    ("RadBench", "BLEU-1"): (Match("bleu-1:avg=sample", _BLEU),),
    ("RadBench", "ROUGE-1"): (
        Match("rouge-1", "the paper does not say whether ROUGE is precision, recall or F, nor names a library"),
    ),
    ("RadBench", "UMLS_Precision"): (
        Match("umls-precision:empty=reference", "the paper names no tool that finds medical words"),
    ),
    ("RadBench", "UMLS_Recall"): (Match("umls-recall", "the paper names no tool that finds medical words"),),
    ("MedInterp", "BLEU-4"): (Match("bleu-4", _BLEU),),
    ("MedInterp", "BertScore"): (
        Match("bertscore:rescale=yes,spaces=collapse", "the paper names neither its language model nor the rescaling"),
    ),
    ("MedInterp", "CheXbert"): (
        Match("chexbert-vector", "the paper does not say whether labels or embeddings are compared"),
    ),
    ("MedInterp", "RadGraph"): (
        Match("radgraph:reward=combined", "the paper does not say which of RadGraph's scores it is"),
    ),
    ("MedInterp", "RadCliQ"): (
        Match("radcliq-v0-nobleu", "the paper names no version; v0 without BLEU is inferred from its numbers"),
    ),
    ("MedInterp", "mean F1"): (
        Match(
            "f1:over=fixed,zero_division=nan", "the paper does not say what a class without cases counts in the mean"
        ),
    ),
    ("MedInterp", "mean IoU"): (
        Match("box-iou", "the paper does not say whether the mean is over boxes or over classes, nor how boxes are paired"),
    ),
    # As many masks of each structure: the mean over masks is the mean over structures.
    ("MedInterp", "mean Dice"): (Match("dice", ""),),
    ("MedDr-Eval", "Accuracy"): (
        Match("accuracy-macro", "the paper does not say whether accuracy is macro, as in MultiMedEval, or micro"),
        Match("accuracy", "the paper does not say whether accuracy is macro, micro or, of several labels, exact"),
        Match("label-accuracy", "the paper does not say whether accuracy is of exact sets or label by label"),
    ),
    # scikit-learn and torchmetrics agree: the mean over classes that occur in the references or the answers.
    ("MedDr-Eval", "Macro-F1"): (Match("f1-macro", ""), Match("f1:over=fixed,zero_division=nan", "")),
    ("MedDr-Eval", "Closed Q Acc"): (Match("vqa-closed-accuracy", _TOOLKIT),),
    ("MedDr-Eval", "Open Q Recall"): (Match("vqa-open-recall", _TOOLKIT),),
    ("MedDr-Eval", "Open Q Acc"): (Match("vqa-open-accuracy", _TOOLKIT),),
    ("MedDr-Eval", "Recall"): (Match("vqa-recall", _TOOLKIT),),
    ("MedDr-Eval", "F1"): (Match("vqa-f1", _TOOLKIT),),
    ("MedDr-Eval", "BLEU-1"): (Match("vqa-bleu-1", _TOOLKIT), Match("bleu-1:avg=sample,tok=split", _TOOLKIT)),
    ("MedDr-Eval", "BLEU-4"): (Match("bleu-4:avg=sample,tok=split", _TOOLKIT),),
    ("MedDr-Eval", "ROUGE-1"): (Match("rouge-1", _VERSION),),
    ("MedDr-Eval", "ROUGE-L"): (Match("rouge-l", _VERSION),),
    ("MedDr-Eval", "METEOR"): (Match("meteor", _VERSION),),
    ("MedDr-Eval", "RadCliQ"): (Match("radcliq-v1:inputs=multimedeval-1.0.0", _TOOLKIT),),
    ("MedDr-Eval", "CheXbert vector"): (Match("chexbert-vector", _VERSION),),
    ("MedDr-Eval", "F1-RadGraph"): (Match("radgraph", _VERSION),),
    ("RadVLBench", "accuracy"): (
        Match("accuracy", ""),  # exam questions with options
        Match("exact-match", "the paper does not say when an answer in words is right"),
        Match("set-accuracy", "the paper does not say when a list of answers is right"),
    ),
    ("RadVLBench", "BLEU-4"): (Match("bleu-4:tok=cxr,smooth=pycoco", _BLEU), Match("bleu-4", _BLEU)),
    ("RadVLBench", "ROUGE-L"): (
        Match("rouge-l:tok=cxr,beta=1.2", "the paper names neither library nor the weight of recall"),
        Match("rouge-l", "the paper names neither library nor the weight of recall"),
    ),
    ("RadVLBench", "METEOR"): (
        Match("meteor-java", "the paper does not say which METEOR it runs"),
        Match("meteor", "the paper does not say which METEOR it runs"),
    ),
}  # fmt: skip


def match(score: Printed, metrics: Collection[str]) -> Match:
    """Which of a row's ``metrics`` (specs) a printed score belongs to, and whether it is known to be the same."""
    for candidate in MATCHES.get((score.suite, score.canonical), ()):
        if candidate.metric in metrics:
            return candidate
    return Match(None, "radbench has no metric in this row that it could be")
