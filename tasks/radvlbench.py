"""RadVLBench (RadFound): question answering, captions and reports, several visits, real-world hospital sets.

The paper prints no prompt and no rule of matching; its models are fine-tuned on each training set. Prompts here are ours,
with modality and view before each picture as the paper describes; accuracy is exact match and F1 that of shared tokens.
"""

from __future__ import annotations

from typing import Any

from radbench.metrics.findings.observations import OBSERVATIONS
from radbench.tasks import sources
from radbench.tasks.prompts import paper_prompts

from radbench.dataset import lazy
from radbench.task import Option, Task

_PICTURES = "{captioned-images}"
_SUGGESTED = "RadVLBench/suggested"
_TEXT_METRICS = ("bleu-4:tok=cxr,smooth=pycoco", "rouge-l:tok=cxr,beta=1.2", "meteor-java")
_PLAIN_METRICS = ("bleu-4", "rouge-l", "meteor")
_VQA_METRICS = ("exact-match", "token-f1")
_CHOICE_METRICS = ("accuracy", "f1-macro")
_COMMON: dict[str, Any] = {"version": 1, "support": "train", "regime": "fine-tuned"}
_MIMIC_F1 = ("chexbert-f1:average=macro", *(f"chexbert-f1:label={name}" for name in OBSERVATIONS))


def _hidden(prompt: str) -> str:
    for told, plain in (
        (_PICTURES, "{images}"),
        ("{captioned-current}", "{current}"),
        ("{captioned-prior}", "{prior}"),
    ):
        prompt = prompt.replace(told, plain)
    return prompt


def _views(prompt: str) -> Option:
    return Option(
        "views",
        "told",
        "the paper says that modality and view stand before the pictures, not in which words",
        to="task",
        values=("told", "hidden"),
        changes={"hidden": {"prompts": (_hidden(prompt),)}},
    )


def _scorers(*further: str) -> Option:
    return Option(
        "scorers",
        "r2gen",
        "the paper names BLEU-4, ROUGE-L and METEOR but no library: r2gen is what such report papers run, plain is current usage",
        to="task",
        values=("r2gen", "plain"),
        changes={"plain": {"metrics": (*_PLAIN_METRICS, *further)}},
    )


_ASK = _PICTURES + paper_prompts(f"{_SUGGESTED}/vqa")[0]
_ASK_LETTER = _PICTURES + paper_prompts(f"{_SUGGESTED}/vqa_choice")[0]
_ASK_DIFFERENCE = _PICTURES + paper_prompts(f"{_SUGGESTED}/vqa_difference")[0]
_CAPTION = _PICTURES + paper_prompts(f"{_SUGGESTED}/captioning")[0]
_REPORT = _PICTURES + paper_prompts(f"{_SUGGESTED}/report_generation")[0]
_CURRENT = "Current study: {captioned-current}\nWrite the findings and impression of the current study."
_PREV_REPORTS = "Previous study:\n{previous}\n" + _CURRENT
_PREV_IMAGES = "Previous study: {captioned-prior}\n" + _CURRENT
_PREV_BOTH = "Previous study: {captioned-prior}\n{previous}\n" + _CURRENT
_METHOD = Option("method", "mit", "how reports are cut into sections is not said", values=("mit", "cxr-repair"))
_VISITS: dict[str, Any] = {
    **_COMMON,
    "split": "test",
    "metrics": _TEXT_METRICS[:2],
    "note": "No public file: built from study dates, a rule of ours (the latest earlier study is the previous one).",
}
_VISIT_OPTIONS = (_METHOD, Option("visits", 1, "how many earlier studies are given is not said"))


def _visits(setting: str) -> Any:
    return sources.MIMIC_CXR.by("radbench.tasks.readers.mimic_multi_visit:MultiVisit", setting=setting)


TASKS = (
    # --- visual question answering ---
    Task(
        name="radvlbench/vqa/vqa-rad",
        title="RAD-VQA (VQA-RAD)",
        dataset=sources.VQA_RAD,
        split="test",
        prompts=(_ASK,),
        metrics=_VQA_METRICS,
        published=("RV-01",),
        options=(_views(_ASK),),
        **_COMMON,
    ),
    Task(
        name="radvlbench/vqa/vqamed2019",
        title="Med-VQA (VQA-Med 2019)",
        dataset=sources.VQAMED,
        split="test",
        prompts=(_ASK,),
        metrics=(*_VQA_METRICS, "vqamed-accuracy", "vqamed-bleu"),
        published=("RV-02",),
        options=(_views(_ASK),),
        note="vqamed-accuracy and vqamed-bleu are the challenge's own scores, given beside.",
        **_COMMON,
    ),
    Task(
        name="radvlbench/vqa/slake",
        title="SLAKE, English",
        dataset=sources.SLAKE,
        split="test",
        prompts=(_ASK,),
        metrics=_VQA_METRICS,
        published=("RV-03",),
        options=(
            _views(_ASK),
            Option("language", "en", "the paper does not say which", values=("en", "zh", "all")),
        ),
        note="The modality told before a picture answers SLAKE's questions on it: see the stratum content_type, or views=hidden.",
        **_COMMON,
    ),
    Task(
        name="radvlbench/vqa/mimic-cxr-vqa",
        title="MIMIC-CXR-VQA (EHRXQA)",
        dataset=sources.MIMIC_CXR_VQA,
        split="test",
        prompts=(_ASK,),
        parser=lazy("radbench.tasks.parsers:answer_set"),
        metrics=("set-accuracy", "set-f1"),
        published=("RV-04",),
        options=(_views(_ASK),),
        note="Answers are sets of names: accuracy is equality of sets, F1 that of their members.",
        **_COMMON,
    ),
    Task(
        name="radvlbench/vqa/medpixqa",
        title="MedpixQA, exam questions with options",
        dataset=sources.MEDPIX_OWN.by("radbench.tasks.readers.medpix_own:Questions"),
        split="test",
        prompts=(_ASK_LETTER,),
        target="letter",
        choices=("A", "B", "C", "D", "E"),
        parser=lazy("radbench.tasks.parsers:letter"),
        metrics=_CHOICE_METRICS,
        published=("RV-05",),
        options=(
            _views(_ASK_LETTER),
            Option(
                "match",
                "letters-then-guarded",
                "how an option is read from an answer is not said",
                to="parser",
                values=("letters", "letters-then-guarded", "guarded", "difflib"),
            ),
        ),
        **_COMMON,
    ),
    Task(
        name="radvlbench/vqa/medical-diff-vqa",
        title="Medical-Diff-VQA, current and reference picture",
        dataset=sources.DIFF_VQA.reading(kind="all"),
        split="test",
        prompts=(_ASK_DIFFERENCE,),
        metrics=(*_VQA_METRICS, *_TEXT_METRICS),
        published=("RV-06",),
        options=(
            _views(_ASK_DIFFERENCE),
            _scorers(*_VQA_METRICS),
            Option(
                "reference",
                "all",
                "whether questions on the current picture alone are shown the reference too is not said",
                values=("all", "difference"),
            ),
        ),
        **_COMMON,
    ),
    # --- captions and reports ---
    Task(
        name="radvlbench/caption/roco",
        title="ROCO radiology captions",
        dataset=sources.ROCO,
        split="test",
        prompts=(_CAPTION,),
        metrics=_TEXT_METRICS,
        published=("RV-07",),
        options=(_views(_CAPTION), _scorers()),
        **_COMMON,
    ),
    Task(
        name="radvlbench/caption/medpixcap",
        title="MedpixCap",
        dataset=sources.MEDPIX_OWN.by("radbench.tasks.readers.medpix_own:Captions"),
        split="test",
        prompts=(_CAPTION,),
        metrics=_TEXT_METRICS,
        published=("RV-08",),
        options=(_views(_CAPTION), _scorers()),
        **_COMMON,
    ),
    Task(
        name="radvlbench/report/iu-xray",
        version=1,
        regime="fine-tuned",
        title="IU-Xray, findings and impression",
        dataset=sources.IU_REXRANK,
        split="test",
        support="val",
        prompts=(_REPORT,),
        metrics=_TEXT_METRICS,
        published=("RV-09",),
        options=(
            _views(_REPORT),
            _scorers(),
            Option(
                "references",
                "rexrank",
                "R2Gen's split is assumed; its own file holds findings only, ReXrank's of the same split both sections",
                to="task",
                values=("rexrank", "r2gen"),
                changes={"r2gen": {"dataset": sources.IU_R2GEN, "support": "train"}},
            ),
        ),
    ),
    Task(
        name="radvlbench/report/mimic-cxr",
        title="MIMIC-CXR, findings and impression",
        dataset=sources.MIMIC_CXR.reading(section="report"),
        split="test",
        prompts=(_REPORT,),
        metrics=(*_TEXT_METRICS, *_MIMIC_F1),
        published=("RV-10",),
        options=(_views(_REPORT), _scorers(*_MIMIC_F1), _METHOD),
        note="CheXbert F1 of each disease, as the paper names it, and their mean.",
        **_COMMON,
    ),
    # --- several visits ---
    Task(
        name="radvlbench/multi-visit/none",
        title="Current study only",
        dataset=_visits("none"),
        prompts=(_CURRENT,),
        published=("RV-11",),
        options=(_views(_CURRENT), *_VISIT_OPTIONS),
        **_VISITS,
    ),
    Task(
        name="radvlbench/multi-visit/prev-reports",
        title="With the previous reports",
        dataset=_visits("prev_reports"),
        prompts=(_PREV_REPORTS,),
        published=("RV-12",),
        options=(_views(_PREV_REPORTS), *_VISIT_OPTIONS),
        **_VISITS,
    ),
    Task(
        name="radvlbench/multi-visit/prev-images",
        title="With the previous pictures",
        dataset=_visits("prev_images"),
        prompts=(_PREV_IMAGES,),
        published=("RV-13",),
        options=(_views(_PREV_IMAGES), *_VISIT_OPTIONS),
        **_VISITS,
    ),
    Task(
        name="radvlbench/multi-visit/both",
        title="With the previous reports and pictures",
        dataset=_visits("both"),
        prompts=(_PREV_BOTH,),
        published=("RV-14",),
        options=(_views(_PREV_BOTH), *_VISIT_OPTIONS),
        **_VISITS,
    ),
    # --- real-world sets: private, in our layout ---
    Task(
        name="radvlbench/real-world/r2chest",
        title="Chest radiographs of a hospital",
        dataset=sources.R2CHEST,
        split="test",
        prompts=(_REPORT,),
        metrics=_TEXT_METRICS[:2],
        published=("RV-15",),
        options=(_views(_REPORT),),
        **_COMMON,
    ),
    Task(
        name="radvlbench/real-world/r2mammo",
        title="Mammograms of a hospital, several views",
        dataset=sources.R2MAMMO,
        split="test",
        prompts=(_REPORT,),
        metrics=_TEXT_METRICS[:2],
        published=("RV-16",),
        options=(_views(_REPORT),),
        **_COMMON,
    ),
    Task(
        name="radvlbench/real-world/r2thyroid",
        title="Thyroid CT of a hospital, volumes",
        dataset=sources.R2THYROID,
        split="test",
        prompts=(_REPORT,),
        metrics=_TEXT_METRICS[:2],
        published=("RV-17",),
        options=(_views(_REPORT),),
        **_COMMON,
    ),
)
