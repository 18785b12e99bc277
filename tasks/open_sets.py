"""First tasks on real, openly licensed data that a user keeps on disk."""

from __future__ import annotations

from radbench.tasks.prompts import paper_prompts

from radbench.dataset import Dataset, lazy
from radbench.task import LEAVE_ONE_CLUSTER_OUT, Group, Task

_PNEUMONIA = Dataset(
    "pneumoniamnist",
    lazy("radbench.tasks.readers.medmnist:MedMNIST", flag="pneumoniamnist"),
    access="open",
    licence="CC BY 4.0",
    source="Zenodo record 10519652 (pneumoniamnist.npz)",
    folder="pneumoniamnist",
)
_VQAMED = Dataset(
    "vqamed2019",
    lazy("radbench.tasks.readers.vqamed2019:OfficialText"),
    access="open",
    licence="CC BY 4.0",
    source="Zenodo record 10499039",
    folder="vqamed",
)
_VQAMED_IMAGES = Dataset(
    "vqamed2019-images",
    lazy("radbench.tasks.readers.vqamed2019:JsonLines"),
    access="open",
    licence="CC BY 4.0",
    source="Zenodo record 10499039 (a with_images.jsonl beside images/)",
    folder="vqamed",
)
_COVID = Dataset(
    "covid-cxr",
    lazy("radbench.tasks.readers.covid_cxr:CovidCxr"),
    access="open-noncommercial",
    licence="images CC BY or CC BY-SA each, masks CC BY 4.0, metadata CC BY-NC-SA 4.0",
    source="github.com/ieee8023/covid-chestxray-dataset, masks of v7labs/covid-19-xray-dataset",
    folder="covid_cxr",
)
_TUMOUR_LABELS = {"glioma": "glioma", "meningioma": "meningioma", "notumor": "no tumor", "pituitary": "pituitary tumor"}
_BRAIN = Dataset(
    "brain-tumor-mri",
    lazy("radbench.tasks.readers.image_folder:ImageFolder", labels=_TUMOUR_LABELS),
    access="open-noncommercial",
    licence="stated CC0 by third parties, not certain: evaluate, publish no picture",
    source="Kaggle 'Brain Tumor MRI Dataset' (Masoud Nickparvar)",
    folder="brain_tumor_mri",
)
_DIAGNOSIS = "MedDr-Eval/prompts/diagnosis"
_CHOICE = lazy("radbench.tasks.parsers:closed_choice")
_VQA_METRICS = (
    "vqa-closed-accuracy", "vqa-open-recall", "vqa-open-accuracy", "vqa-recall", "vqa-f1", "vqa-bleu-1", "bleu-1", "rouge-1",
)  # fmt: skip

TASKS = (
    Task(
        name="open/pneumoniamnist",
        version=1,
        title="Pneumonia on chest X-ray",
        dataset=_PNEUMONIA,
        split="test",
        support="val",
        prompts=paper_prompts(_DIAGNOSIS, modality="Chest X-Ray"),
        choices=("normal", "pneumonia"),
        parser=_CHOICE,
        metrics=("accuracy", "f1-macro"),
        clustered=False,
        published=("MD-10", "MD-18"),
        note="28 x 28 pixels; the files name no patients. Retrieval pool: the official validation split. MedDr reads"
        " answers by BLEU-1 against the options, here by difflib.",
    ),
    Task(
        name="open/brain-mr",
        version=1,
        title="Brain tumour on MR",
        dataset=_BRAIN,
        split="test",
        support="pool",
        prompts=paper_prompts(_DIAGNOSIS, modality="brain MRI"),
        choices=tuple(_TUMOUR_LABELS.values()),
        parser=_CHOICE,
        metrics=("accuracy", "f1-macro"),
        clustered=False,
        note="Seeded halves after near-duplicate removal; patients unknown, so slices of one may lie in both halves.",
    ),
    Task(
        name="open/vqamed2019",
        version=1,
        title="VQA-Med 2019, official test",
        dataset=_VQAMED,
        split="test",
        support="val",
        prompts=paper_prompts("MedDr-Eval/prompts/vqa"),
        metrics=_VQA_METRICS,
        published=("RV-02",),
        note="Cluster: the image. RadFound, whose numbers are listed, fine-tunes and states no prompt or parsing.",
    ),
    Task(
        name="open/vqamed2019-images",
        version=1,
        title="VQA-Med 2019, 30 questions on 12 pictures",
        dataset=_VQAMED_IMAGES,
        split="all",
        support=LEAVE_ONE_CLUSTER_OUT,
        prompts=paper_prompts("MedDr-Eval/prompts/vqa"),
        metrics=_VQA_METRICS,
        note="The pictures shipped as examples, of all three official splits; cluster: the image.",
    ),
    Task(
        name="open/covid-lung-segmentation",
        version=1,
        title="Lungs on chest X-ray, mask",
        dataset=_COVID,
        split="test",
        support="pool",
        prompts=paper_prompts("MedInterp/instructions/segmentation"),
        form="mask",
        target="mask",
        parser=lazy("radbench.tasks.parsers:mask"),
        metrics=("dice",),
        note="Patients in halves; the V7 masks include the lung behind the heart.",
    ),
    Task(
        name="open/covid-lung-detection",
        version=1,
        title="Lungs on chest X-ray, boxes",
        dataset=_COVID,
        split="test",
        support="pool",
        prompts=paper_prompts("MedInterp/instructions/detection", target="the right lung and the left lung"),
        form="boxes",
        target="boxes",
        parser=lazy("radbench.tasks.parsers:boxes"),
        metrics=("box-iou",),
        note="Boxes of the two largest mask components; right lung is the one on the viewer's left.",
    ),
)

GROUPS = (
    Group("open/diagnosis", ("open/pneumoniamnist", "open/brain-mr"), how="macro", metrics=("accuracy", "f1-macro")),
)
