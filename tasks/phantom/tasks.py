"""One phantom task for every task kind of the four suites: same prompts, same parsers, metrics that need no weights.

Phantoms are drawn by formulas from made-up records. A score here says that the pipeline is right (data, prompts, parsing,
metrics, a model that can learn from pictures); it says nothing about clinical skill, and ranks no model for patients.
"""

from __future__ import annotations

from typing import Any

from radbench.tasks.phantom.spec import ABNORMALITIES
from radbench.tasks.phantom.study import CHEST
from radbench.tasks.prompts import BOX_FORM, paper_prompts

from radbench.dataset import Dataset, Lazy, lazy
from radbench.task import Group, Option, Task

MODALITIES = ("CT", "MRI", "Ultrasound", "PET", "X-ray", "angiography")
REGIONS = ("chest", "abdomen", "head", "spine", "breast", "neck", "vessels")
_CLOSED = lazy("radbench.tasks.parsers:closed_choice")
_MULTIMEDEVAL = lazy("radbench.tasks.parsers:choice", match="multimedeval-1.0.0-image")
_NAMED = lazy("radbench.tasks.parsers:named")
_BOXES = lazy("radbench.tasks.parsers:boxes", unit="fraction")
_MASK = lazy("radbench.tasks.parsers:mask")
_UMLS = (
    "umls-precision:dictionary=radiology",
    "umls-recall:dictionary=radiology",
)  # the dictionary that ships with radbench
_RADBENCH = ("bleu-1", "rouge-1", *_UMLS)
_RADVL = ("bleu-4", "rouge-l")
_MEDINTERP = ("bleu-4", "rouge-l", "chexpert-rules-f1")
_MEDDR_VQA = (
    "vqa-bleu-1", "vqa-closed-accuracy", "vqa-open-recall", "vqa-recall", "vqa-open-accuracy", "vqa-f1",
)  # fmt: skip
_MEDDR_REPORT = ("bleu-1", "bleu-4", "rouge-1", "rouge-l", "chexpert-rules-f1")
_DETECTION = ("box-iou", "box-f1", "map50")
_SEGMENTATION = ("dice", "mask-iou")
_WRITE = "Write the findings and impression of the current study."
_OPTIONS = (
    Option("cases", 240, "enough for 30 test samples of most tasks; made in about 15 s"),
    Option("size", 128, "pixels an edge of a picture"),
    Option("seed", 0, "another seed is another cohort"),
    Option("difficulty", 0.3, "0 easy to 1 hard: contrast, noise and size of the findings"),
)


def _task(
    name: str, title: str, prompts: tuple[str, ...], metrics: tuple[str, ...], kind: str = "", **fields: Any
) -> Task:
    dataset = Dataset(
        "phantom",
        lazy("radbench.tasks.phantom.reader:Phantom", kind=kind or name),
        access="open",
        licence="made up by radbench: no patient, no rights of others",
        source="radbench itself, which makes it on first use",
        tree="cases.jsonl, pictures/, labels/: a folder for each cohort below ~/.cache/radbench/phantom ($XDG_CACHE_HOME)",
    )
    return Task(
        f"phantom/{name}", 1, title, dataset, "test", prompts, metrics, support="train", options=_OPTIONS, **fields
    )


def _medinterp(path: str, before: str = "", **fixed: str) -> tuple[str, ...]:
    return tuple(before + prompt for prompt in paper_prompts(f"MedInterp/instructions/{path}", **fixed))


def _labels(prompts: tuple[str, ...], choices: tuple[str, ...], parser: Lazy = _CLOSED) -> dict[str, Any]:
    return {"prompts": prompts, "choices": choices, "parser": parser}


_RATIONALE = paper_prompts("RadBench/prompts/rationale_diagnosis")
_DIAGNOSIS = paper_prompts("MedDr-Eval/prompts/diagnosis")
_VQA = paper_prompts("MedDr-Eval/prompts/vqa")
_CLOSED_SETS = (
    _task(
        "modality", "Modality of a picture (RadBench)", metrics=("accuracy", "f1-macro"),
        **_labels(paper_prompts("RadBench/prompts/modality_recognition"), MODALITIES),
    ),
    _task(
        "diagnosis", "Is a disease shown? As many yes as no (RadBench)", metrics=("accuracy", "f1:label=yes"),
        **_labels(paper_prompts("RadBench/prompts/disease_diagnosis"), ("yes", "no")),
        note="Balanced for every disease of a modality and region, so that the text of the question tells nothing.",
    ),
    _task(
        "multilabel", "Findings of chest radiographs (MedInterp)", metrics=("f1-macro", "accuracy"),
        **_labels(_medinterp("classification_multilabel"), ABNORMALITIES[CHEST], _NAMED),
    ),
    _task(
        "multilabel-bleu", "Findings of chest radiographs, read by BLEU-1 (MedDr)", kind="multilabel",
        metrics=("accuracy", "f1:over=fixed,zero_division=nan"),
        **_labels(_DIAGNOSIS, ABNORMALITIES[CHEST], lazy("radbench.tasks.parsers:bleu_labels")),
        note="The rule reads an answer of two findings or more as none or one of them: no answer scores 1 in all.",
    ),
    _task(
        "multiclass", "Diagnosis, one of those of its modality and region (MedDr)", metrics=("accuracy", "f1-macro"),
        **_labels(_DIAGNOSIS, (), _MULTIMEDEVAL),
        note="Studies with one finding or none; each names its own options, normal first. Strata tell the sets apart.",
    ),
    _task(
        "set-answers", "Lists of findings (MIMIC-CXR-VQA of RadVLBench)", ("{question}",),
        ("set-accuracy", "set-f1", "set-f1-micro"), parser=lazy("radbench.tasks.parsers:answer_set"),
    ),
)  # fmt: skip
_QUESTIONS = (
    _task("vqa", "Open and closed questions (MedDr)", _VQA, _MEDDR_VQA),
    _task("vqa-open", "Open questions (RadBench)", ("{question}",), _RADBENCH),
    _task("vqa-context", "Open questions after the history (PMC-CaseReport of RadBench)", ("{context}\n{question}",), _RADBENCH),
    _task(
        "vqa-choice", "Multiple choice (MedpixQA of RadVLBench)", paper_prompts("RadVLBench/suggested/vqa_choice"),
        ("accuracy", "f1-macro"), target="letter", choices=("A", "B", "C", "D", "E"),
        parser=lazy("radbench.tasks.parsers:letter"),
        note="The answer is the option's letter; a letter is read first, then the option named in the text.",
    ),
    _task(
        "vqa-multi-image", "What has changed? Two studies (Medical-Diff-VQA of RadVLBench)",
        ("Prior study: {prior}\nCurrent study: {current}\n{question}",), ("exact-match", "token-f1", *_RADVL),
    ),
)  # fmt: skip
_TEXTS = (
    _task("caption", "Captions (RadVLBench)", paper_prompts("RadVLBench/suggested/captioning"), _RADVL),
    _task(
        "report-scan", "Findings of any picture (RadBench)", paper_prompts("RadBench/prompts/report_generation"),
        _RADBENCH, kind="caption",
    ),
    _task("report-findings", "Findings of chest radiographs (MedInterp)",
        _medinterp("report_findings", "{context}\n"), _MEDINTERP),
    _task("report-impression", "Impression of chest radiographs (MedInterp)",
        _medinterp("report_impression", "{context}\n"), _MEDINTERP),
    _task("report", "Findings and impression of chest radiographs (MedInterp)",
        _medinterp("report_complete", "{context}\n"), _MEDINTERP),
    _task(
        "report-multiview", "Report of several views: mammograms, spines (R2Mammo of RadVLBench)",
        ("{captioned-images}\n" + paper_prompts("RadVLBench/suggested/report_generation")[0],), _RADVL,
    ),
    _task(
        "report-3d", "Report of CT volumes (R2Thyroid of RadVLBench)",
        ("{captioned-images}\n" + paper_prompts("RadVLBench/suggested/report_generation")[0],), _RADVL,
        note="The thyroid and every other region of which the cohort has volumes.",
    ),
    _task("multi-visit-none", "Report of a follow-up: nothing of the previous visit (RadVLBench)",
        (f"Current study: {{current}}\n{_WRITE}",), _RADVL),
    _task("multi-visit-reports", "Report of a follow-up: the previous report (RadVLBench)",
        (f"Previous study:\n{{previous}}\nCurrent study: {{current}}\n{_WRITE}",), _RADVL),
    _task("multi-visit-images", "Report of a follow-up: the previous pictures (RadVLBench)",
        (f"Previous study: {{prior}}\nCurrent study: {{current}}\n{_WRITE}",), _RADVL),
    _task("multi-visit-both", "Report of a follow-up: previous pictures and report (RadVLBench)",
        (f"Previous study: {{prior}}\n{{previous}}\nCurrent study: {{current}}\n{_WRITE}",), _RADVL),
    _task("comparison", "Differences from the prior study (MedInterp)",
        _medinterp("temporal", images="{current}", target="{prior}"), _RADVL),
    _task("rationale", "Features, then the diagnosis (RadBench)", _RATIONALE[:3], _RADBENCH),
    _task("rationale-yes-no", "Features, then yes or no (RadBench)", _RATIONALE[3:], _RADBENCH),
    _task("region-caption", "What a box shows (MedInterp)", _medinterp("referring"), _RADVL),
)  # fmt: skip
_PLACES = (
    _task("detection-anatomy", "Anatomy on chest radiographs, boxes (MedInterp)", _medinterp("detection"), _DETECTION,
        target="boxes", form="boxes", parser=_BOXES, text_form=BOX_FORM),
    _task("detection-pathology", "Findings on chest radiographs, boxes (MedInterp)", _medinterp("detection"), _DETECTION,
        target="boxes", form="boxes", parser=_BOXES, text_form=BOX_FORM),
    _task("segmentation-2d", "Lungs and heart on chest radiographs, masks (MedInterp)", _medinterp("segmentation"),
        _SEGMENTATION, target="mask", form="mask", parser=_MASK),
    _task("segmentation-3d", "Abdominal organs on CT volumes, masks (MedInterp)", _medinterp("segmentation"),
        _SEGMENTATION, target="mask", form="mask", parser=_MASK),
)  # fmt: skip
_RETRIEVAL = (
    _task(
        "rag-classification", "Body region by retrieval (OrganAMNIST of MedDr)", metrics=("accuracy", "f1-macro"), kind="region",
        **_labels(_DIAGNOSIS, REGIONS, _MULTIMEDEVAL), regime="few-shot",
        retrieval="The diagnoses of the most similar cases are {retrieved}.",
    ),
    _task(
        "rag-vqa", "Questions by retrieval (MedDr)", _VQA, _MEDDR_VQA, kind="vqa", regime="few-shot",
        retrieval="The answer for the most similar case is: {retrieved}",
    ),
    _task(
        "rag-report", "Chest radiograph findings by retrieval (MedDr)", paper_prompts("MedDr-Eval/prompts/report_generation"),
        _MEDDR_REPORT, kind="report-findings", regime="few-shot",
        retrieval="The report of the most similar case is: {retrieved}",
    ),
)  # fmt: skip

TASKS = (*_CLOSED_SETS, *_QUESTIONS, *_TEXTS, *_PLACES, *_RETRIEVAL)

GROUPS = (
    Group("phantom/vqa-pooled", ("phantom/vqa-open", "phantom/vqa-context"), "pool", ("bleu-1", "rouge-1")),
    Group("phantom/rationale-pooled", ("phantom/rationale", "phantom/rationale-yes-no"), "pool", ("bleu-1", "rouge-1")),
    Group(
        "phantom/reports",
        ("phantom/report-findings", "phantom/report-impression", "phantom/report"),
        "macro",
        ("bleu-4", "rouge-l", "chexpert-rules-f1"),
    ),
    Group(
        "phantom/detection", ("phantom/detection-anatomy", "phantom/detection-pathology"), "macro", ("box-iou", "map50")
    ),
)
