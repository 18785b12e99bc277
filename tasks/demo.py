"""The embedded demo: real pictures that ship inside packages, so that the harness runs anywhere.

Modality recognition as RadBench asks it (RadFM, arXiv 2308.02463, sections 2 and 4). A handful of pictures: it shows
that the pipeline works, it ranks no model.
"""

from __future__ import annotations

from radbench.tasks.prompts import paper_prompts
from radbench.tasks.readers.label_names import MODALITIES

from radbench.dataset import Dataset, lazy
from radbench.task import LEAVE_ONE_CLUSTER_OUT, Task

_PICTURES = Dataset(
    "pydicom-pictures",
    lazy("radbench.tasks.readers.package_pictures:PydicomPictures"),
    access="open",
    licence="as pydicom and pydicom-data (MIT)",
    source="the packages pydicom and pydicom-data",
)
_MNI152 = Dataset(
    "mni152",
    lazy("radbench.tasks.readers.package_pictures:Mni152"),
    access="open",
    licence="ICBM template, redistributable with attribution (Fonov et al. 2011)",
    source="the package nilearn",
)

TASKS = (
    Task(
        name="demo/modality",
        version=1,
        title="Modality of 17 DICOM pictures",
        dataset=_PICTURES,
        split="all",
        prompts=paper_prompts("RadBench/prompts/modality_recognition"),
        choices=MODALITIES,
        parser=lazy("radbench.tasks.parsers:closed_choice"),
        metrics=("accuracy", "f1-macro"),
        support=LEAVE_ONE_CLUSTER_OUT,
        note="Ultrasound pictures carry burned-in text, as in practice; the header never reaches the model.",
    ),
    Task(
        name="demo/mni152",
        version=1,
        title="Modality of one brain volume",
        dataset=_MNI152,
        split="all",
        prompts=paper_prompts("RadBench/prompts/modality_recognition"),
        choices=MODALITIES,
        parser=lazy("radbench.tasks.parsers:closed_choice"),
        metrics=("accuracy",),
        note="A format check of reading NIfTI in 3D, not a score: one volume.",
    ),
)
