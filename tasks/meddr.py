"""MedDr's evaluation (arXiv 2404.15127): questions, reports, diagnosis, and diagnosis with retrieved examples.

Scores as MultiMedEval computes them. A retrieval-augmented row is its base row with a support split and the words in which
retrieved examples are told. Its setting "voting" is the model ``knn:k=5`` (labels) or ``knn:k=1`` (answers, reports),
"without RAG" any model as it is; "with RAG" is ``rag(MODEL)``, with the model's own vision encoder, or
``rag(MODEL,embed=pixels)`` where it has none.
"""

from __future__ import annotations

from typing import Any

from radbench.tasks import sources
from radbench.tasks.prompts import paper_prompts
from radbench.tasks.readers.label_names import COLON, MEDMNIST, SKIN_LESIONS

from radbench.dataset import lazy
from radbench.task import Option, Task

_PROMPTS = "MedDr-Eval/prompts"
_VQA_METRICS = (
    "vqa-bleu-1", "vqa-closed-accuracy", "vqa-open-recall", "vqa-recall", "vqa-open-accuracy", "vqa-f1",
)  # fmt: skip
_REPORT_METRICS = (
    "radgraph", "bleu-1:avg=sample,tok=split", "bleu-4:avg=sample,tok=split", "rouge-1", "rouge-l",
    "radcliq-v1:inputs=multimedeval-1.0.0", "chexbert-vector", "meteor",
)  # fmt: skip
_COMMON: dict[str, Any] = {"version": 1, "split": "test", "support": "train"}
_VQA: dict[str, Any] = {**_COMMON, "prompts": paper_prompts(f"{_PROMPTS}/vqa"), "metrics": _VQA_METRICS}
_REPORT: dict[str, Any] = {
    **_COMMON, "prompts": paper_prompts(f"{_PROMPTS}/report_generation"), "metrics": _REPORT_METRICS,
}  # fmt: skip
_ACCURACY = Option(
    "accuracy",
    "macro",
    "macro as MultiMedEval has it; the paper does not say",
    to="task",
    values=("macro", "micro"),
    changes={"micro": {"metrics": ("accuracy", "f1-macro")}},
)
_SET_ACCURACY = Option(
    "accuracy",
    "exact",
    "what accuracy is on several labels is not said: exact sets, or each label by itself",
    to="task",
    values=("exact", "labels"),
    changes={"labels": {"metrics": ("label-accuracy", "f1:over=fixed,zero_division=nan")}},
)
_SET_MATCH = Option(
    "match",
    "multimedeval",
    "MultiMedEval's rule reads no answer that lists two labels; 'named' reads the labels that stand in the text",
    to="task",
    values=("multimedeval", "named"),
    changes={"named": {"parser": lazy("radbench.tasks.parsers:named")}},
)
_SIZE = Option(
    "size", 28, "the paper does not state the image size; its model takes 448 pixels", values=(28, 64, 128, 224)
)
_CLEAN = Option("clean", False, "whether R2Gen's cleaning of reports is applied is not said", values=(False, True))

_RETRIEVED_LABELS = "The diagnoses of the most similar cases are {retrieved}."
_RETRIEVED_ANSWER = "The most similar case was asked: {question} Its annotation is: {retrieved}."
_RETRIEVED_REPORT = "The report of the most similar case is: {retrieved}"


def _diagnosis(modality: str, match: str = "multimedeval-1.0.0-image") -> dict[str, Any]:
    return {
        **_COMMON,
        "prompts": paper_prompts(f"{_PROMPTS}/diagnosis", modality=modality),
        "parser": lazy("radbench.tasks.parsers:choice", match=match),
        "metrics": ("accuracy-macro", "f1-macro"),
    }


def _several(modality: str, **rule: Any) -> dict[str, Any]:
    """Diagnosis with several labels a picture: every option whose BLEU-1 with the answer is above one half."""
    return {
        **_COMMON,
        "prompts": paper_prompts(f"{_PROMPTS}/diagnosis", modality=modality),
        "parser": lazy("radbench.tasks.parsers:bleu_labels", **rule),
        "metrics": ("accuracy", "f1:over=fixed,zero_division=nan"),
    }


_NUMBERED = "multimedeval-1.0.0-medmnist"

TASKS = (
    # --- visual question answering ---
    Task(name="meddr/vqa/vqa-rad", title="VQA-RAD", dataset=sources.VQA_RAD, published=("MD-01",), **_VQA),
    Task(name="meddr/vqa/slake", title="SLAKE, English", dataset=sources.SLAKE, published=("MD-02",), **_VQA),
    Task(name="meddr/vqa/path-vqa", title="PathVQA", dataset=sources.PATH_VQA, published=("MD-03",), **_VQA),
    Task(
        name="meddr/vqa/pmc-vqa",
        title="PMC-VQA, RadFM's split",
        dataset=sources.with_lists(sources.PMC_VQA, "radfm_lists:VqaList", table="pmcvqa_test.csv"),
        published=("MD-04",),
        options=(
            Option(
                "questions",
                "released",
                "about 90,000 questions of RadFM's split; the official test file has 50,000",
                to="task",
                values=("released", "official"),
                changes={"official": {"dataset": sources.PMC_VQA}},
            ),
        ),
        **_VQA,
    ),
    # --- report generation ---
    Task(
        name="meddr/report/mimic-cxr",
        title="MIMIC-CXR, R2Gen's test set, a picture a sample",
        dataset=sources.MIMIC_R2GEN.reading(per="image"),
        published=("MD-05",),
        options=(_CLEAN,),
        **_REPORT,
    ),
    Task(
        name="meddr/report/iu-xray",
        title="IU-Xray, R2Gen's split, a picture a sample",
        dataset=sources.IU_R2GEN.reading(per="image"),
        published=("MD-06",),
        options=(_CLEAN,),
        **_REPORT,
    ),
    # --- diagnosis ---
    Task(
        name="meddr/diagnosis/vindr-pcxr",
        title="Children's chest X-ray, 15 categories",
        dataset=sources.VINDR_PCXR,
        published=("MD-07",),
        options=(_SET_ACCURACY, _SET_MATCH),
        **_several("Chest X-Ray"),
    ),
    Task(
        name="meddr/diagnosis/vindr-spinexr",
        title="Spine X-ray lesions",
        dataset=sources.VINDR_SPINEXR,
        published=("MD-08",),
        options=(_SET_ACCURACY, _SET_MATCH),
        note="The paper counts 13 types, its released prompt lists 8 options: the labels are those of the file.",
        **_several("Spine X-Ray"),
    ),
    Task(
        name="meddr/diagnosis/ham10000",
        title="Skin lesions",
        dataset=sources.HAM10000,
        choices=tuple(SKIN_LESIONS.values()),
        published=("MD-09",),
        options=(_ACCURACY,),
        **_diagnosis("Dermatology"),
    ),
    Task(
        name="meddr/diagnosis/pneumoniamnist",
        title="PneumoniaMNIST",
        dataset=sources.MEDMNIST["pneumoniamnist"],
        choices=MEDMNIST["pneumoniamnist"],
        published=("MD-10",),
        options=(_ACCURACY, _SIZE),
        **_diagnosis("Chest X-Ray", _NUMBERED),
    ),
    Task(
        name="meddr/diagnosis/breastmnist",
        title="BreastMNIST",
        dataset=sources.MEDMNIST["breastmnist"],
        choices=MEDMNIST["breastmnist"],
        published=("MD-11",),
        options=(_ACCURACY, _SIZE),
        note="Two classes; the paper's text names three.",
        **_diagnosis("Breast Ultrasound", _NUMBERED),
    ),
    Task(
        name="meddr/diagnosis/chestmnist",
        title="ChestMNIST, 14 labels",
        dataset=sources.MEDMNIST["chestmnist"],
        choices=MEDMNIST["chestmnist"],
        published=("MD-12",),
        options=(_SET_ACCURACY, _SET_MATCH, _SIZE),
        **_several("Chest X-Ray", numbered=True),
    ),
    Task(
        name="meddr/diagnosis/octmnist",
        title="OCTMNIST",
        dataset=sources.MEDMNIST["octmnist"],
        choices=MEDMNIST["octmnist"],
        published=("MD-13",),
        options=(_ACCURACY, _SIZE),
        **_diagnosis("Retinal OCT", _NUMBERED),
    ),
    Task(
        name="meddr/diagnosis/organamnist",
        title="OrganAMNIST",
        dataset=sources.MEDMNIST["organamnist"],
        choices=MEDMNIST["organamnist"],
        published=("MD-14",),
        options=(_ACCURACY, _SIZE),
        **_diagnosis("Abdominal CT", _NUMBERED),
    ),
    Task(
        name="meddr/diagnosis/wce",
        title="Endoscopy of the colon",
        dataset=sources.WCE,
        choices=tuple(COLON.values()),
        published=("MD-15",),
        options=(_ACCURACY,),
        **_diagnosis("Endoscopy"),
    ),
    # --- with retrieved examples ---
    Task(
        name="meddr/rag/ham10000",
        title="Skin lesions, labels of the five nearest",
        dataset=sources.HAM10000,
        choices=tuple(SKIN_LESIONS.values()),
        published=("MD-16",),
        options=(_ACCURACY,),
        retrieval=_RETRIEVED_LABELS,
        **_diagnosis("Dermatology"),
    ),
    Task(
        name="meddr/rag/octmnist",
        title="OCTMNIST, labels of the five nearest",
        dataset=sources.MEDMNIST["octmnist"],
        choices=MEDMNIST["octmnist"],
        published=("MD-17",),
        options=(_ACCURACY, _SIZE),
        retrieval=_RETRIEVED_LABELS,
        **_diagnosis("Retinal OCT", _NUMBERED),
    ),
    Task(
        name="meddr/rag/pneumoniamnist",
        title="PneumoniaMNIST, labels of the five nearest",
        dataset=sources.MEDMNIST["pneumoniamnist"],
        choices=MEDMNIST["pneumoniamnist"],
        published=("MD-18",),
        options=(_ACCURACY, _SIZE),
        retrieval=_RETRIEVED_LABELS,
        **_diagnosis("Chest X-Ray", _NUMBERED),
    ),
    Task(
        name="meddr/rag/breastmnist",
        title="BreastMNIST, labels of the five nearest",
        dataset=sources.MEDMNIST["breastmnist"],
        choices=MEDMNIST["breastmnist"],
        published=("MD-19",),
        options=(_ACCURACY, _SIZE),
        retrieval=_RETRIEVED_LABELS,
        **_diagnosis("Breast Ultrasound", _NUMBERED),
    ),
    Task(
        name="meddr/rag/bloodmnist",
        title="BloodMNIST, labels of the five nearest",
        dataset=sources.MEDMNIST["bloodmnist"],
        choices=MEDMNIST["bloodmnist"],
        published=("MD-20",),
        options=(_ACCURACY, _SIZE),
        retrieval=_RETRIEVED_LABELS,
        note="The paper names no modality word for this set: ours.",
        **_diagnosis("Blood Cell Microscopy", _NUMBERED),
    ),
    Task(
        name="meddr/rag/organamnist",
        title="OrganAMNIST, labels of the five nearest",
        dataset=sources.MEDMNIST["organamnist"],
        choices=MEDMNIST["organamnist"],
        published=("MD-21",),
        options=(_ACCURACY, _SIZE),
        retrieval=_RETRIEVED_LABELS,
        **_diagnosis("Abdominal CT", _NUMBERED),
    ),
    Task(
        name="meddr/rag/slake",
        title="SLAKE, annotation of the nearest",
        dataset=sources.SLAKE,
        published=("MD-22",),
        retrieval=_RETRIEVED_ANSWER,
        **_VQA,
    ),
    Task(
        name="meddr/rag/iu-xray",
        title="IU-Xray, report of the nearest",
        dataset=sources.IU_R2GEN.reading(per="image"),
        published=("MD-23",),
        options=(_CLEAN,),
        retrieval=_RETRIEVED_REPORT,
        **_REPORT,
    ),
)
