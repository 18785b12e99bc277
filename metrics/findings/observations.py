"""The 14 CheXpert observations (Irvin et al. 2019, arXiv 1901.07031), in CheXbert's order and with its codes.

``FIVE`` is the subset that CheXpert's competition and most papers score: Cardiomegaly, Edema, Consolidation, Atelectasis and
Pleural Effusion (f1chexbert 0.0.2 selects the same indices).
"""

from __future__ import annotations

from typing import Literal

OBSERVATIONS = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
    "No Finding",
)
FIVE = (1, 4, 5, 7, 9)
SUPPORT_DEVICES = OBSERVATIONS.index("Support Devices")
NO_FINDING = OBSERVATIONS.index("No Finding")

Code = Literal[0, 1, 2, 3]
BLANK: Literal[0] = 0
POSITIVE: Literal[1] = 1
NEGATIVE: Literal[2] = 2
UNCERTAIN: Literal[3] = 3
CLASSES = ("blank", "positive", "negative", "uncertain")  # by code
