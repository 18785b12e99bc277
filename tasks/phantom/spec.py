"""What a phantom case is: the single record that pixels and every annotation are derived from.

Patient coordinates in mm: x from the patient's right to the left, y from anterior to posterior, z from feet to head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Modality = Literal["X-ray", "CT", "MRI", "Ultrasound", "PET", "angiography"]
Region = Literal["chest", "abdomen", "head", "spine", "breast", "neck", "vessels"]
Side = Literal["left", "right", "midline", "bilateral", ""]
Zone = Literal["upper", "middle", "lower", ""]
Severity = Literal["mild", "moderate", "severe", ""]

GENERATOR_VERSION = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """An abnormality or device planted in a case. ``organ`` is the label of the anatomy that holds it.

    ``centre`` and ``radii`` are mm in patient coordinates (radii 0 where the finding changes a whole organ, such as
    cardiomegaly); ``size_mm`` is the largest diameter, 0 where none is meaningful. ``change`` compares with the prior
    study: new, larger, smaller, unchanged, or empty where there is none.
    """

    name: str
    organ: str
    side: Side = ""
    zone: Zone = ""
    size_mm: float = 0.0
    severity: Severity = ""
    count: int = 1
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radii: tuple[float, float, float] = (0.0, 0.0, 0.0)
    attributes: Mapping[str, str] = field(default_factory=dict)  # margin, density, phase ...
    change: Literal["new", "larger", "smaller", "unchanged", ""] = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """One file of a case as written, with what can be seen in it.

    ``boxes`` are pixels of the picture as displayed, (x0, y0, x1, y1) by label: anatomy names and finding names (a
    finding that the picture does not show has none; several separate ones give several). ``masks`` maps a label to the
    value it has in the label map ``labels`` (PNG beside a 2D picture, NIfTI beside a volume). ``size`` is (H, W) or (X, Y, Z).
    """

    path: str  # below the cohort's folder
    kind: Literal["2d", "volume", "series"]
    view: str  # PA, lateral, R CC, axial ...
    size: tuple[int, ...]
    spacing: tuple[float, ...]  # mm, in the order of size
    boxes: Mapping[str, tuple[tuple[float, float, float, float], ...]] = field(default_factory=dict)
    labels: str | None = None
    masks: Mapping[str, int] = field(default_factory=dict)
    visible: tuple[str, ...] = ()  # names of the findings this picture shows
    finding_labels: str | None = None  # as ``labels``, of the findings (they lie inside organs)
    finding_masks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One study of a made-up patient. ``prior`` is the id of the earlier study of the same patient, if there is one."""

    id: str
    patient: str
    split: Literal["train", "val", "test"]
    modality: Modality
    region: Region
    sequence: str  # "T1", "T2", "FLAIR", "DWI", "with contrast", "without contrast" ...; "" where none
    plane: str  # axial, coronal, sagittal, frontal ...
    age: int
    sex: Literal["male", "female"]
    history: str  # one sentence of background, never names the findings
    findings: tuple[Finding, ...]
    pictures: tuple[Picture, ...]
    difficulty: float  # 0 easy to 1 hard
    prior: str | None = None
    days_before: int = 0  # days from the prior to this study
    seed: int = 0
    kind: Literal["2d", "volume", "series"] = "2d"  # of its pictures
    level: float = 0.0  # a single slice: patient mm along the normal of its plane

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Case:
        findings = tuple(
            Finding(**{**f, "centre": tuple(f["centre"]), "radii": tuple(f["radii"])}) for f in value["findings"]
        )
        pictures = tuple(
            Picture(**{
                **p,
                "size": tuple(p["size"]),
                "spacing": tuple(p["spacing"]),
                "visible": tuple(p["visible"]),
                "boxes": {label: tuple(tuple(b) for b in boxes) for label, boxes in p["boxes"].items()},
            })
            for p in value["pictures"]
        )  # fmt: skip
        return cls(**{**value, "findings": findings, "pictures": pictures})


# What can be found where: the closed vocabulary that questions, negatives and labels draw from. At least six a modality,
# so that yes/no questions have negatives of the same modality and region.
ABNORMALITIES: Mapping[tuple[Modality, Region], tuple[str, ...]] = {
    ("X-ray", "chest"): (
        "pleural effusion", "pneumothorax", "cardiomegaly", "lung nodule", "consolidation", "pulmonary edema", "atelectasis",
        "rib fracture",
    ),
    ("X-ray", "spine"): ("scoliosis", "vertebral compression fracture", "surgical implant", "disc space narrowing"),
    ("X-ray", "breast"): ("breast mass", "breast calcifications", "focal asymmetry", "architectural distortion"),
    ("CT", "chest"): ("pleural effusion", "pneumothorax", "lung nodule", "consolidation", "pericardial effusion", "emphysema"),
    ("CT", "abdomen"): ("liver lesion", "renal stone", "hydronephrosis", "splenomegaly", "pancreatic cyst", "ascites"),
    ("CT", "head"): ("intracerebral hemorrhage", "infarct", "brain tumor", "midline shift", "hydrocephalus", "subdural hematoma"),
    ("CT", "neck"): ("thyroid nodule", "goiter", "thyroid calcification", "cervical lymphadenopathy"),
    ("MRI", "head"): (
        "brain tumor", "infarct", "intracerebral hemorrhage", "hydrocephalus", "white matter lesions", "meningioma",
    ),
    ("MRI", "abdomen"): ("liver lesion", "liver cyst", "hydronephrosis", "splenomegaly", "pancreatic cyst", "ascites"),
    ("Ultrasound", "abdomen"): ("gallstone", "liver cyst", "hydronephrosis", "renal stone", "ascites", "fatty liver"),
    ("Ultrasound", "neck"): ("thyroid nodule", "thyroid cyst", "goiter"),
    ("PET", "chest"): (
        "hypermetabolic lymph node", "hypermetabolic lung lesion", "bone metastasis", "liver metastasis", "adrenal metastasis",
        "brown fat uptake",
    ),
    ("angiography", "vessels"): ("stenosis", "aneurysm", "occlusion", "arteriovenous malformation", "vasospasm", "extravasation"),
}  # fmt: skip
DEVICES: Mapping[tuple[Modality, Region], tuple[str, ...]] = {
    ("X-ray", "chest"): ("central venous catheter", "pacemaker", "endotracheal tube"),
}
ANATOMY: Mapping[tuple[Modality, Region], tuple[str, ...]] = {
    ("X-ray", "chest"): (
        "left lung", "right lung", "heart", "trachea", "left clavicle", "right clavicle", "aortic arch", "spine",
        "left hemidiaphragm", "right hemidiaphragm",
    ),
    ("CT", "abdomen"): ("liver", "kidney", "spleen", "pancreas"),
    ("CT", "neck"): ("thyroid",),
    ("CT", "chest"): ("left lung", "right lung", "heart"),
    ("MRI", "head"): ("brain", "ventricles"),
}  # fmt: skip
