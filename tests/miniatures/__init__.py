"""Made-up copies of every official layout: small, invented, as the distributions are laid out on disk.

``python -m miniatures FOLDER`` (from ``tests``) writes those the suites run on, one folder a dataset.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from radbench.dataset import Dataset
from radbench.task import Task

SUITE_ROWS = pytest.StashKey[dict[str, list[str]]]()  # the table of rows, printed at the end of the test run
MODULES = ("vqa", "reports", "chest", "diagnosis", "collections")

# The folder a dataset is looked for in -> the layout written there; others have the folder's own name.
_LAYOUTS = {
    "vqamed": "vqamed2019",
    "mimic-cxr-r2gen": "mimic-cxr:r2gen",
    "iu-xray": "iu-xray:r2gen",
    "iu-xray-rexrank": "iu-xray:rexrank",
    "iu-xray-kaggle": "iu-xray:kaggle",
    "openi": "iu-xray:openi",
    "nih-chestxray14": "nih-chestxray",
    "abdomenct-1k": "abdomenct1k",
    "medpix": "medpix-own",
}
# Pictures that a set distributed without any refers to: by its own made-up ids.
_COMPANIONS = {"mimic-cxr": "mimic-cxr-jpg:annotated", "iu-xray-kaggle": "iu-xray:kaggle-asked"}
# A dataset read through a list of the RadFM authors -> the layout that has pictures for it, and where in it.
_LISTED = {
    "cxr-mix": ("radfm-diagnosis", ""),
    "vindr-mammo": ("radfm-diagnosis", "vindr-mammo"),
    "vindr-pcxr": ("radfm-diagnosis", "vindr-pcxr"),
    "vindr-spinexr": ("radfm-diagnosis", "vindr-spinexr"),
    "pmc-case-report": ("radfm-questions", "pictures"),
    "pmc-vqa": ("radfm-questions", "pictures"),
    "vqa-rad": ("radfm-questions", "pictures"),
    "slake": ("radfm-questions", "pictures"),
    "mimic-cxr": ("mimic-cxr:radfm", ""),
}


@cache
def layouts() -> dict[str, Callable[[Path], None]]:
    """Every made-up layout by name, ``dataset`` or ``dataset:variant``."""
    return {
        name: write for module in MODULES for name, write in import_module(f"miniatures.{module}").MINIATURES.items()
    }


def write_lists(root: Path) -> None:
    """The lists that the RadFM authors released, from the layouts that hold them."""
    scratch = root.with_name("lists-scratch")
    for name, place in (
        ("radfm-questions", "lists"), ("radfm-diagnosis", "RadFM_data_csv"), ("mimic-cxr:radfm", "lists"),
    ):  # fmt: skip
        layouts()[name](scratch / name)
        shutil.copytree(scratch / name / place, root, dirs_exist_ok=True)
    shutil.rmtree(scratch)


def place(root: Path, dataset: Dataset, companion: bool = False) -> Path:
    """The made-up copy of a dataset below ``root``, written at the first call."""
    folder = str(dataset.folder)
    layout = _COMPANIONS.get(folder, "") if companion else ""
    path = root / (layout.replace(":", "-") or folder)
    if not path.exists():
        if folder == "radfm-lists":
            write_lists(path)
        else:
            layouts()[layout or _LAYOUTS.get(folder, folder)](path)
    return path


def listed(root: Path, dataset: Dataset) -> Path:
    """A made-up copy of the pictures that a released list names, written at the first call."""
    layout, below = _LISTED[dataset.name]
    path = root / layout.replace(":", "-")
    if not path.exists():
        layouts()[layout](path)
    return path / below


def data_for(root: Path, task: Task) -> list[str]:
    """``--data`` values under which a suite task finds its dataset and those it goes with."""
    dataset = task.dataset
    own = listed(root, dataset) if "lists" in dataset.companions else place(root, dataset)
    companions = [f"{other.name}={place(root, other, companion=True)}" for other in dataset.companions.values()]
    return [f"{dataset.name}={own}", *companions]
