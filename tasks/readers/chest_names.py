"""Names of regions and findings that the chest radiograph sets share.

Regions: the 36 of Chest ImaGenome. Findings: the 41 names of MedVersa's released code
(3clyp50/MedVersa_Internal, medomni/datasets/datasets/med_dataset.py); the paper scores 33 of such names without saying
in its text which.
"""

from __future__ import annotations

_SIDED = (
    "lung", "upper lung zone", "mid lung zone", "lower lung zone", "hilar structures", "apical zone",
    "costophrenic angle", "cardiophrenic angle", "hemidiaphragm",
)  # fmt: skip

REGIONS = (
    *(f"right {name}" for name in _SIDED), *(f"left {name}" for name in _SIDED),
    "trachea", "spine", "right clavicle", "left clavicle", "aortic arch", "mediastinum", "upper mediastinum", "svc",
    "cardiac silhouette", "left cardiac silhouette", "right cardiac silhouette", "cavoatrial junction", "right atrium",
    "descending aorta", "carina", "left upper abdomen", "right upper abdomen", "abdomen",
)  # fmt: skip

FINDINGS = (
    "airspace opacity", "atelectasis", "bone lesion", "bronchiectasis", "calcified nodule", "clavicle fracture",
    "consolidation", "costophrenic angle blunting", "cyst/bullae", "diaphragmatic eventration (benign)",
    "elevated hemidiaphragm", "enlarged cardiac silhouette", "enlarged hilum", "hernia", "hydropneumothorax",
    "hyperaeration", "increased reticular markings/ild pattern", "infiltration", "linear/patchy atelectasis",
    "lobar/segmental collapse", "lung lesion", "lung opacity", "mass/nodule (not otherwise specified)",
    "mediastinal displacement", "mediastinal widening", "multiple masses/nodules", "pleural effusion",
    "pleural/parenchymal scarring", "pneumomediastinum", "pneumothorax", "pulmonary edema/hazy opacity", "scoliosis",
    "shoulder osteoarthritis", "spinal degenerative changes", "spinal fracture", "sub-diaphragmatic air",
    "superior mediastinal mass/enlargement", "tortuous aorta", "vascular calcification", "vascular congestion",
    "vascular redistribution",
)  # fmt: skip

CHEXPERT_14 = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip

NIH_14 = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip

NIH_BOXED_4 = ("Atelectasis", "Cardiomegaly", "Effusion", "Pneumothorax")
"""Those of the eight boxed findings that MedInterp evaluates."""


def patient_context(age: str, gender: str) -> str:
    """What MedVersa is told of a patient in front of the instruction, ``Age:60-70.\\nGender:F.\\n``; unknown parts left out."""
    return "".join(f"{name}:{value}.\n" for name, value in (("Age", age), ("Gender", gender)) if value)
