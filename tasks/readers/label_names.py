"""Class names of the picture collections, in label order, apart from their readers so that listing tasks loads no numpy."""

from __future__ import annotations

MODALITIES = ("CT", "MRI", "Ultrasound", "PET", "X-ray", "angiography")  # RadBench's six
RELEASED_MODALITIES = (  # of its released lists, optionally followed by a comma and an auxiliary name
    "CT", "MRI", "X-ray", "Annotated image", "Ultrasound", "Fluoroscopy", "DSA (angiography)", "Nuclear medicine", "Mammography",
    "Barium",
)  # fmt: skip

MEDMNIST = {
    "pneumoniamnist": ("normal", "pneumonia"),
    "breastmnist": ("malignant", "normal, benign"),
    "octmnist": ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
    "chestmnist": (
        "atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia", "pneumothorax",
        "consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia",
    ),
    "organamnist": (
        "bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right", "liver", "lung-left", "lung-right",
        "pancreas", "spleen",
    ),
    "bloodmnist": (
        "basophil", "eosinophil", "erythroblast", "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)",
        "lymphocyte", "monocyte", "neutrophil", "platelet",
    ),
}  # fmt: skip

SKIN_LESIONS = {  # HAM10000's codes
    "akiec": "Actinic keratoses and intraepithelial carcinoma / Bowen's disease",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis-like lesions",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevi",
    "vasc": "vascular lesions",
}

COLON = {  # folder names of the WCE collection
    "0_normal": "normal",
    "1_ulcerative_colitis": "ulcerative colitis",
    "2_polyps": "polyps",
    "3_esophagitis": "esophagitis",
}
