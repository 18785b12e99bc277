"""MedInterp (MedVersa): reports, comparisons, questions, regions, classification, detection, segmentation.

Instructions are those of the paper's Table 5, one drawn a sample; the context (age, gender, indication, comparison) goes
before, as in the released code. A model without a detection head is asked for boxes as text (``prompts.BOX_FORM``); masks
come through adapters. box-iou, the paper's mean over true boxes, does not see false ones: box-f1 stands beside it. RadCliQ is
v0 with BLEU held at 0, with which the printed numbers agree.
"""

from __future__ import annotations

from typing import Any

from radbench.tasks import sources
from radbench.tasks.prompts import BOX_FORM, paper_prompts
from radbench.tasks.readers.chest_names import CHEXPERT_14, FINDINGS, NIH_BOXED_4, REGIONS
from radbench.tasks.readers.label_names import SKIN_LESIONS

from radbench.dataset import lazy
from radbench.task import Option, Task

_LIST = "MedInterp/instructions"
_RADCLIQ = "radcliq-v0-nobleu"
_TEXT_METRICS = (
    "bleu-4",
    "bertscore:rescale=yes,spaces=collapse",
    "chexbert-vector",
    "radgraph:reward=combined",
    _RADCLIQ,
)
_METHOD = Option(
    "method",
    "mit",
    "sections are found 'as in CXR-RePaiR', whose code cuts impressions only; the counts 2,144 / 2,212 / 1,437 tell",
    values=("mit", "cxr-repair"),
)
_COMMON: dict[str, Any] = {"version": 1, "split": "test", "support": "train"}
_NAMED = lazy("radbench.tasks.parsers:named")
_CLASSIFICATION: dict[str, Any] = {
    **_COMMON,
    "prompts": paper_prompts(f"{_LIST}/classification_multilabel", prefix="{context}"),
    "parser": _NAMED,
    "metrics": ("f1:over=fixed,zero_division=nan",),
}
_DETECTION: dict[str, Any] = {
    "version": 1,
    "prompts": paper_prompts(f"{_LIST}/detection"),
    "form": "boxes",
    "target": "boxes",
    "text_form": BOX_FORM,
    "parser": lazy("radbench.tasks.parsers:boxes", unit="fraction"),
    "metrics": ("box-iou", "box-f1"),
}
_SEGMENTATION: dict[str, Any] = {
    "version": 1,
    "prompts": paper_prompts(f"{_LIST}/segmentation"),
    "form": "mask",
    "target": "mask",
    "parser": lazy("radbench.tasks.parsers:mask"),
    "metrics": ("dice",),
}
_NAMES = Option(
    "names",
    None,
    "the paper evaluates 33 pathologies it names only in a figure, 41 stand in the released code: a file, one name a line",
    to="names",
)
_UNMENTIONED = Option(
    "unmentioned",
    "left-out",
    "whether what a report does not mention counts as absent is not said",
    values=("left-out", "negative"),
)
_AVOID = Option("avoid", True, "whether the pictures of the gold set were left out is not said", values=(True, False))
_PER_QUERY = Option("per_query", 9, "at most nine class names a query is stated for training only")


def _report(instructions: str) -> dict[str, Any]:
    return {
        **_COMMON,
        "prompts": paper_prompts(f"{_LIST}/{instructions}", prefix="{context}"),
        "metrics": _TEXT_METRICS,
        "options": (_METHOD,),
    }


TASKS = (
    # --- radiology report generation ---
    Task(
        name="medinterp/report/mimic-cxr-findings",
        title="MIMIC-CXR, findings",
        dataset=sources.MIMIC_CXR.reading(section="findings"),
        published=("MI-01",),
        **_report("report_findings"),
    ),
    Task(
        name="medinterp/report/mimic-cxr-impression",
        title="MIMIC-CXR, impression",
        dataset=sources.MIMIC_CXR.reading(section="impression"),
        published=("MI-02",),
        **_report("report_impression"),
    ),
    Task(
        name="medinterp/report/mimic-cxr-target",
        title="MIMIC-CXR, findings and impression",
        dataset=sources.MIMIC_CXR.reading(section="report"),
        published=("MI-03",),
        **_report("report_complete"),
    ),
    Task(
        name="medinterp/report/iux-ray",
        version=1,
        title="IUX-ray, external",
        dataset=sources.IU_KAGGLE.reading(section="report", both=True),
        split="all",
        prompts=paper_prompts(f"{_LIST}/report_complete", prefix="{context}"),
        metrics=(_RADCLIQ,),
        published=("MI-04",),
        options=(
            Option(
                "copy",
                "kaggle",
                "the Kaggle copy tells frontal from lateral; Open-i's own files do not",
                to="task",
                values=("kaggle", "openi"),
                changes={"openi": {"dataset": sources.OPENI.reading(section="report", both=True)}},
            ),
        ),
        note="Studies with both sections; that the reference is both of them is assumed.",
    ),
    # --- longitudinal comparison and questions ---
    Task(
        name="medinterp/comparison/medical-diff-vqa",
        title="What has changed since the prior study",
        dataset=sources.DIFF_VQA.reading(kind="difference", study_images="all"),
        prompts=paper_prompts(f"{_LIST}/temporal", images="{current}", target="{prior}"),
        metrics=_TEXT_METRICS,
        published=("MI-05",),
        **_COMMON,
    ),
    Task(
        name="medinterp/vqa/medical-diff-vqa",
        title="Questions on one chest X-ray",
        dataset=sources.DIFF_VQA.reading(kind="other"),
        prompts=("In {images}, {question_lower}",),
        metrics=_TEXT_METRICS,
        published=("MI-06",),
        **_COMMON,
    ),
    Task(
        name="medinterp/vqa/iux-ray",
        version=1,
        title="Questions on IUX-ray, external",
        dataset=sources.IUX_VQA,
        split="all",
        prompts=("In {images}, {question_lower}",),
        metrics=(_RADCLIQ,),
        published=("MI-07",),
    ),
    # --- region captions ---
    Task(
        name="medinterp/region/chest-imagenome",
        title="Sentences on an anatomical region",
        dataset=sources.CHEST_IMAGENOME.reading(task="captions"),
        prompts=paper_prompts(f"{_LIST}/referring"),
        metrics=_TEXT_METRICS,
        published=("MI-08",),
        **_COMMON,
    ),
    Task(
        name="medinterp/region/ms-cxr",
        version=1,
        title="Phrases on a box, external",
        dataset=sources.MS_CXR,
        split="all",
        prompts=paper_prompts(f"{_LIST}/referring"),
        metrics=(_RADCLIQ,),
        published=("MI-09",),
    ),
    # --- classification ---
    Task(
        name="medinterp/classification/chest-imagenome",
        title="Chest pathologies",
        dataset=sources.CHEST_IMAGENOME.reading(task="classification"),
        choices=FINDINGS,
        published=("MI-10",),
        options=(_NAMES, _UNMENTIONED, _AVOID),
        **{**_CLASSIFICATION, "parser": lazy("radbench.tasks.parsers:named", among="mentioned")},
    ),
    Task(
        name="medinterp/classification/chexpert",
        title="CheXpert, radiologists' labels, external",
        dataset=sources.CHEXPERT,
        choices=CHEXPERT_14,
        published=("MI-11",),
        options=(
            Option("level", "study", "500 studies with 668 pictures; labels are by study", values=("study", "image")),
        ),
        note="How MedVersa's names answer CheXpert's is not documented: options here are CheXpert's own names.",
        **_CLASSIFICATION,
    ),
    Task(
        name="medinterp/classification/ham10000",
        title="Skin lesions, ISIC 2018 test",
        dataset=sources.HAM10000,
        choices=tuple(SKIN_LESIONS.values()),
        published=("MI-12",),
        note="The instructions say 'lung disease' for skin too, as printed.",
        **_CLASSIFICATION,
    ),
    # --- detection ---
    Task(
        name="medinterp/detection/anatomy",
        title="36 anatomical structures",
        dataset=sources.CHEST_IMAGENOME.reading(task="anatomy"),
        split="test",
        support="train",
        choices=REGIONS,
        published=("MI-13",),
        options=(_PER_QUERY, _AVOID),
        **_DETECTION,
    ),
    Task(
        name="medinterp/detection/pathology",
        title="Chest pathologies, boxes of the regions that show them",
        dataset=sources.CHEST_IMAGENOME.reading(task="pathology"),
        split="test",
        support="train",
        choices=FINDINGS,
        published=("MI-14",),
        options=(_NAMES, _PER_QUERY, _AVOID),
        note="Every region that shows a finding has its box, so that boxes of a finding may lie within each other; the released"
        " data format has one box a class.",
        **_DETECTION,
    ),
    Task(
        name="medinterp/detection/nih-chestxray",
        title="Four pathologies of ChestX-ray14, external",
        dataset=sources.NIH_BOXES,
        split="test",
        choices=NIH_BOXED_4,
        published=("MI-15",),
        **_DETECTION,
    ),
    # --- segmentation ---
    Task(
        name="medinterp/segmentation/chexmask-mimic",
        title="Lungs and heart, MIMIC-CXR",
        dataset=sources.CHEXMASK_MIMIC,
        split="test",
        support="train",
        published=("MI-16",),
        options=(Option("min_dice_rca", 0.7, "whether masks of low estimated quality were left out is not said"),),
        **_SEGMENTATION,
    ),
    Task(
        name="medinterp/segmentation/chexmask-chexpert",
        title="Lungs and heart, CheXpert, external",
        dataset=sources.CHEXMASK_CHEXPERT,
        split="val",
        published=("MI-17",),
        options=(Option("min_dice_rca", 0.7, "whether masks of low estimated quality were left out is not said"),),
        **_SEGMENTATION,
    ),
    Task(
        name="medinterp/segmentation/ham10000",
        title="Skin lesions",
        dataset=sources.HAM10000.by("radbench.tasks.readers.ham10000:Segmentation"),
        split="test",
        support="train",
        published=("MI-18",),
        options=(Option("seed", 0, "random 9:1, seed not given"),),
        **_SEGMENTATION,
    ),
    Task(
        name="medinterp/segmentation/abdomenct-1k",
        title="Liver, kidney, spleen, pancreas on CT",
        dataset=sources.ABDOMENCT_1K,
        split="test",
        support="train",
        published=("MI-19",),
        options=(Option("seed", 0, "random 9:1, seed not given"),),
        note="Dice on the label file's own grid; the paper resizes to 192 x 192 x 64.",
        **_SEGMENTATION,
    ),
)
