"""How each finding of the vocabulary is sampled: organ, sides, sizes, grades and descriptive attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from radbench.tasks.phantom.spec import Modality, Region

BOTH = ("right", "left")


@dataclass(frozen=True, slots=True)
class Plan:
    """``size`` is the range of the largest diameter in mm; a finding without one is graded by severity instead.

    ``shape`` are the radii relative to half the size. ``where`` names an organ of the anatomy other than ``organ``.
    """

    organ: str
    sides: tuple[str, ...] = BOTH
    size: tuple[float, float] | None = None
    shape: tuple[float, float, float] = (1.0, 1.0, 1.0)
    counts: tuple[int, ...] = (1,)
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    where: str = ""
    fixed: bool = False  # no grade and no growth: new or unchanged


_LESION = {"margin": ("smooth", "lobulated")}
PLANS: Mapping[tuple[Modality, Region], Mapping[str, Plan]] = {
    ("X-ray", "chest"): {
        "pleural effusion": Plan("pleural space", ("right", "left", "bilateral"), where="lung"),
        "pneumothorax": Plan("pleural space", where="lung"),
        "cardiomegaly": Plan("heart", ("midline",)),
        "lung nodule": Plan("lung", size=(14, 32), counts=(1, 1, 2, 3),
            attributes={"margin": ("smooth", "spiculated"), "density": ("solid", "calcified")}),
        "consolidation": Plan("lung", size=(50, 84), shape=(0.8, 1, 1),
            attributes={"margin": ("ill-defined",), "density": ("air bronchograms", "homogeneous")}),
        "pulmonary edema": Plan("lung", ("bilateral",)),
        "atelectasis": Plan("lung", size=(52, 78), shape=(1, 0.9, 0.22), attributes={"margin": ("band-like",)}),
        "rib fracture": Plan("rib", fixed=True, attributes={"displacement": ("displaced",)}),
        "central venous catheter": Plan("superior vena cava", fixed=True,
            attributes={"tip": ("superior vena cava", "right atrium", "right ventricle")}),
        "pacemaker": Plan("chest wall", fixed=True, attributes={"leads": ("single lead", "dual lead")}),
        "endotracheal tube": Plan("trachea", ("midline",), fixed=True,
            attributes={"tip": ("above the carina", "at the carina", "in the right main bronchus")}),
    },
    ("X-ray", "spine"): {
        "scoliosis": Plan("spine"),
        "vertebral compression fracture": Plan("spine", ("midline",)),
        "surgical implant": Plan("spine", ("midline",), fixed=True, attributes={"kind": ("pedicle screws and rods",)}),
        "disc space narrowing": Plan("spine", ("midline",)),
    },
    ("X-ray", "breast"): {
        "breast mass": Plan("breast", size=(14, 30),
            attributes={"margin": ("circumscribed", "spiculated"), "density": ("high", "equal")}),
        "breast calcifications": Plan("breast", size=(12, 24), attributes={"distribution": ("clustered",)}),
        "focal asymmetry": Plan("breast", size=(26, 40), attributes={"margin": ("indistinct",)}),
        "architectural distortion": Plan("breast", size=(28, 40), attributes={"margin": ("spiculated",)}),
    },
    ("CT", "chest"): {
        "pleural effusion": Plan("pleural space", ("right", "left", "bilateral"), where="lung"),
        "pneumothorax": Plan("pleural space", where="lung"),
        "lung nodule": Plan("lung", size=(12, 30), counts=(1, 1, 2),
            attributes={"margin": ("smooth", "spiculated"), "density": ("solid", "ground-glass")}),
        "consolidation": Plan("lung", size=(42, 70),
            attributes={"margin": ("ill-defined",), "density": ("air bronchograms", "homogeneous")}),
        "pericardial effusion": Plan("heart", ("midline",)),
        "emphysema": Plan("lung", ("bilateral",)),
    },
    ("CT", "abdomen"): {
        "liver lesion": Plan("liver", ("right",), size=(18, 44), counts=(1, 1, 2, 3),
            attributes={**_LESION, "density": ("hypodense",)}),
        "renal stone": Plan("kidney", size=(8, 15), attributes={"density": ("calcified",)}),
        "hydronephrosis": Plan("kidney"),
        "splenomegaly": Plan("spleen", ("left",)),
        "pancreatic cyst": Plan("pancreas", ("midline",), size=(16, 28), attributes={"density": ("fluid",)}),
        "ascites": Plan("peritoneal cavity", ("bilateral",)),
    },
    ("CT", "head"): {
        "intracerebral hemorrhage": Plan("brain", size=(22, 46), shape=(0.8, 1, 0.9),
            attributes={"density": ("hyperdense",)}),
        "infarct": Plan("brain", size=(54, 72),
            attributes={"territory": ("middle cerebral artery",), "density": ("hypodense",)}),
        "brain tumor": Plan("brain", size=(26, 42),
            attributes={"margin": ("irregular",), "edema": ("surrounding edema",)}),
        "midline shift": Plan("brain"),
        "hydrocephalus": Plan("ventricles", ("bilateral",)),
        "subdural hematoma": Plan("subdural space",
            attributes={"density": ("hyperdense",), "shape": ("crescent-shaped",)}),
    },
    ("CT", "neck"): {
        "thyroid nodule": Plan("thyroid", size=(10, 16), attributes={"density": ("hypodense",), "margin": ("smooth",)}),
        "goiter": Plan("thyroid", ("bilateral",)),
        "thyroid calcification": Plan("thyroid", size=(6, 10), attributes={"density": ("calcified",)}),
        "cervical lymphadenopathy": Plan("neck", size=(14, 22), where="node", counts=(1, 2)),
    },
    ("MRI", "head"): {
        "brain tumor": Plan("brain", size=(26, 42),
            attributes={"margin": ("irregular",), "enhancement": ("ring",), "edema": ("surrounding edema",)}),
        "infarct": Plan("brain", size=(54, 72), attributes={"territory": ("middle cerebral artery",)}),
        "intracerebral hemorrhage": Plan("brain", size=(22, 44), shape=(0.8, 1, 0.9)),
        "hydrocephalus": Plan("ventricles", ("bilateral",)),
        "white matter lesions": Plan("brain", ("bilateral",), size=(6, 11), counts=(5, 7, 9), where="white matter"),
        "meningioma": Plan("meninges", size=(26, 40), where="convexity",
            attributes={"margin": ("smooth",), "location": ("extra-axial",)}),
    },
    ("MRI", "abdomen"): {
        "liver lesion": Plan("liver", ("right",), size=(20, 44), counts=(1, 1, 2),
            attributes={"margin": ("irregular", "lobulated")}),
        "liver cyst": Plan("liver", ("right",), size=(16, 36), counts=(1, 1, 2),
            attributes={"margin": ("smooth",), "content": ("fluid",)}),
        "hydronephrosis": Plan("kidney"),
        "splenomegaly": Plan("spleen", ("left",)),
        "pancreatic cyst": Plan("pancreas", ("midline",), size=(16, 28), attributes={"content": ("fluid",)}),
        "ascites": Plan("peritoneal cavity", ("bilateral",)),
    },
    ("Ultrasound", "abdomen"): {
        "gallstone": Plan("gallbladder", ("",), size=(8, 16), counts=(1, 1, 2, 3),
            attributes={"shadow": ("posterior acoustic shadowing",)}),
        "liver cyst": Plan("liver", ("",), size=(16, 34), attributes={"content": ("anechoic",), "margin": ("smooth",)}),
        "hydronephrosis": Plan("kidney"),
        "renal stone": Plan("kidney", size=(9, 16), attributes={"shadow": ("posterior acoustic shadowing",)}),
        "ascites": Plan("peritoneal cavity", ("",)),
        "fatty liver": Plan("liver", ("",)),
    },
    ("Ultrasound", "neck"): {
        "thyroid nodule": Plan("thyroid", size=(8, 15),
            attributes={"echogenicity": ("hypoechoic", "hyperechoic"), "margin": ("smooth", "irregular")}),
        "thyroid cyst": Plan("thyroid", size=(7, 14), attributes={"content": ("anechoic",), "margin": ("smooth",)}),
        "goiter": Plan("thyroid", ("bilateral",)),
    },
    ("PET", "chest"): {
        "hypermetabolic lymph node": Plan("mediastinum", size=(16, 28), where="hilum",
            attributes={"station": ("hilar",)}),
        "hypermetabolic lung lesion": Plan("lung", size=(18, 38)),
        "bone metastasis": Plan("spine", ("midline",), size=(18, 30), counts=(1, 2, 3), where="spine"),
        "liver metastasis": Plan("liver", ("right",), size=(22, 38), counts=(1, 2, 3)),
        "adrenal metastasis": Plan("adrenal gland", size=(20, 32), where="adrenal"),
        "brown fat uptake": Plan("supraclavicular fat", ("bilateral",), where="supraclavicular"),
    },
    ("angiography", "vessels"): {
        "stenosis": Plan("artery", attributes={"vessel": ("internal carotid artery", "middle cerebral artery")}),
        "aneurysm": Plan("artery", size=(9, 18),
            attributes={"vessel": ("internal carotid artery", "middle cerebral artery"), "shape": ("saccular",)}),
        "occlusion": Plan("artery", fixed=True, attributes={"vessel": ("middle cerebral artery",)}),
        "arteriovenous malformation": Plan("artery", size=(26, 40),
            attributes={"vessel": ("middle cerebral artery",), "drainage": ("early draining vein",)}),
        "vasospasm": Plan("artery", attributes={"vessel": ("middle cerebral artery",)}),
        "extravasation": Plan("artery", size=(14, 26), attributes={"vessel": ("middle cerebral artery",)}),
    },
}  # fmt: skip

HISTORIES: Mapping[Region, tuple[str, ...]] = {
    "chest": ("Cough for two weeks.", "Shortness of breath since yesterday.", "Fever and malaise.",
    "Follow-up after hospital admission.", "Fall from standing height.", "Preoperative assessment."),
    "abdomen": ("Abdominal pain since this morning.", "Abnormal blood tests.", "Weight loss over three months.",
    "Flank discomfort.", "Follow-up examination."),
    "head": ("New headache.", "Sudden confusion.", "Dizziness and falls.", "Gait disturbance.",
    "Follow-up examination."),
    "spine": ("Chronic back pain.", "Back pain after lifting.", "Follow-up examination."),
    "breast": ("Screening examination.", "Recall from screening.", "Family history of cancer."),
    "neck": ("Swelling of the neck noticed by the patient.", "Difficulty swallowing.", "Abnormal hormone tests."),
    "vessels": ("Sudden severe headache.", "Transient weakness of one arm.", "Follow-up examination."),
}  # fmt: skip
