"""RadBench (RadFM, arXiv 2308.02463): Tables 3 and 4, one task a dataset row; Table 4's numbers are the groups.

The paper averages scores over the test samples and takes BLEU and ROUGE on single words; it names no library, no
tokeniser and no tool behind UMLS precision and recall. Its hand-filtered test lists are released in part: a number to be
set beside Table 4 takes ``questions=released`` wherever a task has it, the official files hold many more samples.
"""

from __future__ import annotations

from typing import Any

from radbench.tasks import sources
from radbench.tasks.prompts import paper_prompts
from radbench.tasks.readers.label_names import MODALITIES, RELEASED_MODALITIES

from radbench.dataset import lazy
from radbench.task import Group, Option, Task

_PROMPTS = "RadBench/prompts"
# Precision over the pairs that recall is over: what a pair scores that has no medical word is not said.
_TEXT_METRICS = ("bleu-1:avg=sample", "rouge-1", "umls-precision:empty=reference", "umls-recall")
_CASE = Option(
    "case",
    "lower",
    "the paper names difflib.SequenceMatcher, not the case; in mixed case 'Yes, there is evidence of pneumonia.' reads as no",
    to="parser",
    values=("lower", "mixed"),
)
_CHOICE: dict[str, Any] = {"parser": lazy("radbench.tasks.parsers:closed_choice"), "split": "test", "support": "train"}
_DIAGNOSIS: dict[str, Any] = {
    **_CHOICE,
    "version": 1,
    "prompts": paper_prompts(f"{_PROMPTS}/disease_diagnosis"),
    "choices": ("yes", "no"),
    "metrics": ("accuracy", "f1:label=yes"),
}
_VQA: dict[str, Any] = {"version": 1, "split": "test", "metrics": _TEXT_METRICS}
_QUESTION = ("{question}",)
_REPORT: dict[str, Any] = {
    "version": 1,
    "split": "test",
    "prompts": paper_prompts(f"{_PROMPTS}/report_generation"),
    "metrics": _TEXT_METRICS,
}


def _questions(released: Any, default: str = "official") -> Option:
    """Which yes/no questions, or which test list: our drawing from the official files, or the list the authors released."""
    return Option(
        "questions",
        default,
        "the released list is the paper's but names the authors' own paths; the official files need no further download",
        to="task",
        values=("official", "released"),
        changes={"released" if default == "official" else "official": {"dataset": released}},
    )


TASKS = (
    # --- modality recognition ---
    Task(
        name="radbench/modality/rad3d",
        version=1,
        title="Modality of Radiopaedia pictures and volumes",
        dataset=sources.RAD3D,
        prompts=paper_prompts(f"{_PROMPTS}/modality_recognition"),
        choices=MODALITIES,
        metrics=("accuracy", "f1-macro"),
        published=("RB-01",),
        options=(
            Option(
                "answers",
                "paper",
                "the paper scores six names, the released list has ten with auxiliary ones; its mapping is unknown",
                to="task",
                values=("paper", "released"),
                changes={
                    "released": {
                        "dataset": sources.RAD3D.reading(answers="released"),
                        "choices": RELEASED_MODALITIES,
                    }
                },
            ),
            _CASE,
        ),
        note="The released loader also asks yes/no questions, whose 'no' branch names the true modality: not copied.",
        **_CHOICE,
    ),
    # --- disease diagnosis ---
    Task(
        name="radbench/diagnosis/vindr-mammo",
        title="Is a finding shown on the mammogram",
        dataset=sources.balanced(sources.VINDR_MAMMO),
        published=("RB-02",),
        options=(
            _questions(
                sources.with_lists(sources.VINDR_MAMMO, "radfm_diagnosis:BalancedList", table="mammo_balance_test.csv")
            ),
            _CASE,
        ),
        **_DIAGNOSIS,
    ),
    Task(
        name="radbench/diagnosis/vindr-spinexr",
        title="Is a lesion shown on the spine X-ray",
        dataset=sources.balanced(sources.VINDR_SPINEXR),
        published=("RB-03",),
        options=(
            _questions(
                sources.with_lists(
                    sources.VINDR_SPINEXR, "radfm_diagnosis:BalancedList", table="spinexr_balance_test.csv"
                )
            ),
            _CASE,
        ),
        **_DIAGNOSIS,
    ),
    Task(
        name="radbench/diagnosis/vindr-pcxr",
        title="Is a disease shown on the child's chest X-ray",
        dataset=sources.balanced(sources.VINDR_PCXR),
        published=("RB-04",),
        options=(
            _questions(
                sources.with_lists(sources.VINDR_PCXR, "radfm_diagnosis:BalancedList", table="pcxr_balance_test.csv")
            ),
            _CASE,
        ),
        **_DIAGNOSIS,
    ),
    Task(
        name="radbench/diagnosis/cxr-mix",
        title="Is a disease shown on the chest X-ray, nine datasets",
        dataset=sources.with_lists(sources.CXR_MIX, "cxr_mix:CxrMix"),
        published=("RB-05",),
        options=(_questions(sources.CXR_MIX, default="released"), _CASE),
        note="Which members and how many pictures each the released list has is not known; ours draws from those present.",
        **_DIAGNOSIS,
    ),
    Task(
        name="radbench/diagnosis/radchest-ct",
        title="Is an abnormality shown on the chest CT",
        dataset=sources.balanced(sources.RADCHEST_CT),
        published=("RB-06",),
        options=(_CASE,),
        note="How the authors made their questions of the 84 labels is not released.",
        **_DIAGNOSIS,
    ),
    # --- visual question answering ---
    Task(
        name="radbench/vqa/pmc-vqa",
        title="PMC-VQA, open answers",
        dataset=sources.PMC_VQA,
        support="train",
        prompts=_QUESTION,
        published=("RB-07",),
        options=(
            _questions(sources.with_lists(sources.PMC_VQA, "radfm_lists:VqaList", table="pmcvqa_test.csv")),
            Option("version", 1, "the paper's split is by paper and its filtered list is of version 1", values=(1, 2)),
            Option("clean", False, "whether the manually checked test set was taken is not said", values=(False, True)),
        ),
        **_VQA,
    ),
    Task(
        name="radbench/vqa/vqa-rad",
        title="VQA-RAD",
        dataset=sources.VQA_RAD,
        support="train",
        prompts=_QUESTION,
        published=("RB-08",),
        options=(_questions(sources.with_lists(sources.VQA_RAD, "radfm_lists:VqaList", table="vqarad_test.csv")),),
        **_VQA,
    ),
    Task(
        name="radbench/vqa/slake",
        title="SLAKE, English",
        dataset=sources.SLAKE,
        support="train",
        prompts=_QUESTION,
        published=("RB-09",),
        options=(
            _questions(sources.with_lists(sources.SLAKE, "radfm_lists:VqaList", table="slakevqa_test.csv")),
            Option("language", "en", "the paper counts both languages and asks in English", values=("en", "zh", "all")),
        ),
        **_VQA,
    ),
    Task(
        name="radbench/vqa/pmc-case-report",
        title="Questions on PubMed case reports",
        dataset=sources.PMC_CASE_REPORT,
        support="train",
        prompts=("{context}\n{question}",),
        published=("RB-10",),
        options=(
            _questions(
                sources.with_lists(
                    sources.PMC_CASE_REPORT, "radfm_lists:VqaList", table="filtered_case_report_test.csv"
                )
            ),
        ),
        **_VQA,
    ),
    Task(
        name="radbench/vqa/rad3d",
        title="Questions on Radiopaedia cases",
        dataset=sources.RAD3D.by("radbench.tasks.readers.rad3d:Vqa"),
        support="train",
        prompts=_QUESTION,
        published=("RB-11",),
        **_VQA,
    ),
    # --- report generation ---
    Task(
        name="radbench/report/mimic-cxr",
        title="MIMIC-CXR, one picture",
        dataset=sources.MIMIC_CXR.reading(per="image", section="report"),
        support="train",
        published=("RB-12",),
        options=(
            _questions(sources.with_lists(sources.MIMIC_CXR, "mimic_cxr:CaptionList", table="mimic_caption_test.csv")),
            Option("method", "mit", "how reports are cut into sections is not said", values=("mit", "cxr-repair")),
        ),
        note="The paper draws its test set at random; the released list has it, the official test split does not.",
        **_REPORT,
    ),
    Task(
        name="radbench/report/rad3d",
        title="Findings and impression of Radiopaedia cases",
        dataset=sources.RAD3D.by("radbench.tasks.readers.rad3d:Caption"),
        support="train",
        published=("RB-13",),
        version=1,
        split="test",
        prompts=paper_prompts(f"{_PROMPTS}/report_generation", prefix="{context}"),
        metrics=_TEXT_METRICS,
    ),
    Task(
        name="radbench/report/mpx-single",
        title="MedPix captions, one picture",
        dataset=sources.MEDPIX_RADFM.by("radbench.tasks.readers.medpix_radfm:Single"),
        support="train",
        published=("RB-14",),
        **_REPORT,
    ),
    Task(
        name="radbench/report/mpx-multi",
        title="MedPix findings, several pictures",
        dataset=sources.MEDPIX_RADFM.by("radbench.tasks.readers.medpix_radfm:Multi"),
        support="train",
        published=("RB-15",),
        version=1,
        split="test",
        prompts=paper_prompts(f"{_PROMPTS}/report_generation", prefix="{context}"),
        metrics=_TEXT_METRICS,
    ),
    # --- rationale diagnosis: one row of the table, asked in two forms ---
    Task(
        name="radbench/rationale/rad3d-open",
        version=1,
        title="Features, then the diagnosis",
        dataset=sources.RAD3D.by("radbench.tasks.readers.rad3d:Rationale", form="open"),
        split="test",
        support="train",
        prompts=paper_prompts(f"{_PROMPTS}/rationale_diagnosis", prefix="{context}")[:3],
        metrics=_TEXT_METRICS,
        published=("RB-16",),
    ),
    Task(
        name="radbench/rationale/rad3d-yes-no",
        version=1,
        title="Features of a named disease, then yes or no",
        dataset=sources.RAD3D.by("radbench.tasks.readers.rad3d:Rationale", form="yes-no"),
        split="test",
        support="train",
        prompts=paper_prompts(f"{_PROMPTS}/rationale_diagnosis")[3:],
        metrics=_TEXT_METRICS,
        published=("RB-16",),
    ),
)


def _members(kind: str) -> tuple[str, ...]:
    return tuple(t.name for t in TASKS if t.name.startswith(f"radbench/{kind}/"))


GROUPS = (
    Group(
        "radbench/modality-recognition",
        _members("modality"),
        "pool",
        ("accuracy", "f1-macro"),
        ("RadBench/Modality Recognition",),
    ),
    Group(
        "radbench/disease-diagnosis",
        _members("diagnosis"),
        "pool",
        ("accuracy", "f1:label=yes"),
        ("RadBench/Disease Diagnosis",),
    ),
    Group("radbench/medical-vqa", _members("vqa"), "pool", _TEXT_METRICS, ("RadBench/Medical VQA",)),
    Group("radbench/report-generation", _members("report"), "pool", _TEXT_METRICS, ("RadBench/Report Generation",)),
    Group(
        "radbench/rationale-diagnosis", _members("rationale"), "pool", _TEXT_METRICS, ("RadBench/Rationale Diagnosis",)
    ),
)
