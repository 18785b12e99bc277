"""Open-i chest radiographs (Indiana University; Demner-Fushman et al., JAMIA 2016) labelled by their MeSH major headings.

``ecgen-radiology/<n>.xml`` (perhaps below ``NLMCXR_reports/``) with ``uId/@id``, ``MeSH/major`` such as
``Pulmonary Atelectasis/base/left`` and ``parentImage/@id``; ``NLMCXR_png/<image>.png`` (or below the root).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from radbench.tasks.readers.files import hash_listing, visible
from radbench.tasks.readers.split_rules import by_hash

from radbench.errors import DataError
from radbench.records import Image, Labels, Sample

DISEASES = {  # heading -> label; headings that name no disease (a place, a device, "Opacity") are left out
    "Airspace Disease": "airspace disease", "Atherosclerosis": "atherosclerosis", "Calcified Granuloma": "granuloma",
    "Cardiomegaly": "cardiomegaly", "Consolidation": "consolidation", "Emphysema": "emphysema",
    "Fractures, Bone": "bone fracture", "Granuloma": "granuloma", "Heart Failure": "heart failure",
    "Hernia, Hiatal": "hiatal hernia", "Hydropneumothorax": "pneumothorax", "Infiltrate": "infiltration",
    "Kyphosis": "kyphosis", "Lung Diseases, Interstitial": "interstitial lung disease", "Mass": "mass", "Nodule": "nodule",
    "Pleural Effusion": "pleural effusion", "Pneumonia": "pneumonia", "Pneumothorax": "pneumothorax",
    "Pulmonary Atelectasis": "atelectasis", "Pulmonary Congestion": "pulmonary congestion",
    "Pulmonary Disease, Chronic Obstructive": "chronic obstructive pulmonary disease", "Pulmonary Edema": "pulmonary edema",
    "Pulmonary Emphysema": "emphysema", "Pulmonary Fibrosis": "pulmonary fibrosis", "Scoliosis": "scoliosis",
    "Spondylosis": "spondylosis",
}  # fmt: skip
LABELS = tuple(sorted(set(DISEASES.values())))
_UNKNOWN = frozenset({"No Indexing", "Technical Quality of Image Unsatisfactory"})


class OpenIHeadings:
    """One sample an image, with the diseases its study's major headings name; the choice of headings is ours.

    Studies that were not indexed or are of poor quality are left out. Splits: train, test by a hash of the study (ours,
    ``test_share`` of them test). Cluster: the study.
    """

    def __init__(self, root: Path, *, images: Path | None = None, test_share: float = 0.2, seed: int = 0) -> None:
        self._root, self._share, self._seed = root, test_share, seed
        self._images = images or (root / "NLMCXR_png" if (root / "NLMCXR_png").is_dir() else root)

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in ("train", "test"):
            raise DataError(f"Open-i by headings has no split '{split}' but train and test")
        for path in self._reports:
            study, headings, images = _report(path)
            if headings & _UNKNOWN or not headings or by_hash(study, self._seed, self._share) != split:
                continue
            present = {DISEASES[h] for h in headings if h in DISEASES}
            for name in images:
                yield Sample(
                    id=name,
                    cluster=study,
                    targets={"answer": Labels(tuple(n for n in LABELS if n in present))},
                    images=(Image(str(self._images / f"{name}.png"), study=study),),
                    choices=LABELS,
                    strata={"findings": "none" if "normal" in headings else "present"},
                )

    def fingerprint(self) -> str:
        return f"{hash_listing(self._root, self._reports)}-{self._share}-{self._seed}"

    @cached_property
    def _reports(self) -> list[Path]:
        folders = (self._root / "ecgen-radiology", self._root / "NLMCXR_reports" / "ecgen-radiology")
        found = [path for folder in folders for path in folder.glob("*.xml") if visible(path)]
        if not found:
            raise DataError(
                f"{self._root}: no report in ecgen-radiology/*.xml", remedy="unpack NLMCXR_reports.tgz there"
            )
        return sorted(found, key=lambda p: (len(p.stem), p.stem))


def _report(path: Path) -> tuple[str, frozenset[str], tuple[str, ...]]:
    """Study, major headings without their qualifiers, image names. Raises :class:`DataError`."""
    try:
        root = ET.parse(path).getroot()
    except ET.ParseError as error:
        raise DataError(f"{path}: not XML ({error})", remedy="unpack the archive again") from None
    uid = root.find(".//uId")
    headings = {(major.text or "").partition("/")[0].strip() for major in root.iterfind(".//MeSH/major")}
    images = dict.fromkeys(image.get("id", "") for image in root.iterfind(".//parentImage"))
    if uid is None or not uid.get("id") or "" in images:
        raise DataError(f"{path}: no uId/@id or no parentImage/@id, expected an Open-i report")
    return uid.get("id", ""), frozenset(headings - {""}), tuple(images)
