"""How well ``chexpert-rules`` finds what the indexers of Open-i found.

    python benchmarks/chexpert_rules.py [--shared ../shared] [--half test|tune]

Open-i (Demner-Fushman et al. 2016, doi 10.1093/jamia/ocv080): 3,955 chest X-ray reports whose findings two people coded by
hand with MeSH and RadLex headings ("Pleural Effusion/left/small") or as "normal". The studies are split in two by seed; the
rules were tuned while looking at the first half only, and the figures are of the second. Findings and impression are labelled
together; a label counts as positive when it is positive or uncertain. Studies without a text, or marked "No Indexing",
are left out.

What the figures can mean. The headings were coded from the same reports, so recall is a fair measure for headings that name
the observation itself: Cardiomegaly, Edema, Consolidation, Pneumonia, Atelectasis, Pneumothorax, Pleural Effusion, Fracture.
What they cannot mean:

- Coders did not code everything: an opacity explained as atelectasis is often coded as one of the two, a hedged pneumonia
  mostly not at all. Precision is then a lower bound, most of all for Pneumonia, Consolidation and Lung Opacity.
- Lung Opacity, Lung Lesion, Enlarged Cardiomediastinum, Pleural Other and Support Devices have no heading of their own; the
  mapping below is ours and decides part of their figures.
- "normal" is given to reports without any heading at all, so a granuloma or a scoliosis makes a study abnormal.
- Words that de-identification replaced by XXXX are lost to the labeler, not to the coders, who saw the original.
- Negative labels are not measured at all: MeSH says nothing of what was denied.
"""

from __future__ import annotations

import argparse
import re
import sys
import tarfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from radbench.metrics.findings.observations import NO_FINDING, OBSERVATIONS
from radbench.metrics.findings.rules import affirmed_sides, label, label_all, labeler

# Observation -> what its headings look like.
HEADINGS = {
    "Enlarged Cardiomediastinum": r"Mediastinum(/.*)?/(enlarged|prominent)",
    "Cardiomegaly": r"Cardiomegaly|Cardiac Shadow(/.*)?/(enlarged|borderline)",
    "Lung Opacity": r"(Opacity|Density)(?!/(bone|ribs|breast|sternum|thorax|spine|heart|mediastinum|abdomen|pleura|clavicle"
    r"|.*vertebrae|shoulder|humerus|aorta|diaphragm|soft))|Airspace Disease|Infiltrate"
    r"|Markings/.*interstitial|Lung/.*interstitial",
    "Lung Lesion": r"Nodule(?!/(thyroid|breast|pleura))|Mass(?!/(breast|mediast|thyroid))|(Opacity|Density)/lung.*/round"
    r"|.*Neoplasm",
    "Edema": r"Pulmonary Edema|Pulmonary Congestion|Heart Failure",
    "Consolidation": r"Consolidation",
    "Pneumonia": r"Pneumonia",
    "Atelectasis": r"Pulmonary Atelectasis",
    "Pneumothorax": r"Pneumothorax|Hydropneumothorax|Hemopneumothorax",
    "Pleural Effusion": r"Pleural Effusion|Hydropneumothorax|Hemopneumothorax",
    "Pleural Other": r"(Thickening|Cicatrix|Calcinosis|Fibrosis)/pleura",
    "Fracture": r"Fractures, Bone",
    "Support Devices": r"Catheters, Indwelling|Implanted Medical Device|Tube, Inserted|Surgical Instruments|Medical Device|Stents"
    r"|Sutures|Breast Implants",
    "No Finding": r"normal$",
}

SIDES = {"left": 1, "right": 2, "bilateral": 3}


@dataclass(frozen=True)
class Study:
    id: str
    text: str
    headings: tuple[str, ...]


def studies(archive: Path) -> Iterator[Study]:
    """The studies of NLMCXR_reports.tgz: findings and impression, and the hand-coded ("major") headings."""
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.name.endswith(".xml") else None
            if file is None:
                continue
            root = ET.parse(file).getroot()
            parts = {part.get("Label"): part.text or "" for part in root.iter("AbstractText")}
            headings = tuple(heading.text or "" for heading in root.iter("major"))
            uid = root.find("uId")
            yield Study(
                uid.get("id", "") if uid is not None else "",
                "\n\n".join(p for p in (parts.get("FINDINGS", ""), parts.get("IMPRESSION", "")) if p),
                headings,
            )


def halves(found: list[Study]) -> tuple[list[Study], list[Study]]:
    """(tuned on, held out): seeded halves of the studies sorted by id."""
    found = sorted(found, key=lambda s: s.id)
    order = np.random.default_rng(0).permutation(len(found))
    middle = len(found) // 2
    return [found[i] for i in sorted(order[:middle])], [found[i] for i in sorted(order[middle:])]


def coded(study: Study, observation: str) -> bool:
    pattern = re.compile(HEADINGS[observation])
    return any(pattern.match(heading) for heading in study.headings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--half", choices=("test", "tune"), default="test")
    options = parser.parse_args()
    archive = options.shared / "data" / "openi_reports" / "NLMCXR_reports.tgz"
    if not archive.exists():
        sys.exit(f"{archive} is not there; give the folder that holds data/ with --shared")
    tuned, held_out = halves(list(studies(archive)))
    chosen = held_out if options.half == "test" else tuned
    kept = [s for s in chosen if s.text.strip() and "No Indexing" not in s.headings]
    print(f"Open-i, {options.half} half: {len(kept):,} of {len(chosen):,} studies have a text and headings")
    codes = label_all([s.text for s in kept])
    said = (codes == 1) | (codes == 3)
    print(f"{'observation':28}{'coded':>7}{'labelled':>10}{'uncertain':>11}{'precision':>11}{'recall':>8}{'F1':>7}")
    for i, observation in enumerate(OBSERVATIONS):
        truth = np.array([coded(s, observation) for s in kept])
        hit = int((truth & said[:, i]).sum())
        labelled, true = int(said[:, i].sum()), int(truth.sum())
        precision, recall = hit / max(labelled, 1), hit / max(true, 1)
        f1 = 2 * hit / max(labelled + true, 1)
        hedged = int((codes[:, i] == 3).sum())
        print(f"{observation:28}{true:7}{labelled:10}{hedged:11}{precision:11.3f}{recall:8.3f}{f1:7.3f}")
    normal = np.array([coded(s, "No Finding") for s in kept])
    print(f"No Finding against normal: accuracy {(normal == said[:, NO_FINDING]).mean():.3f}")
    laterality(kept)
    speed([s.text for s in tuned + held_out])


def laterality(kept: list[Study]) -> None:
    """Sides of affirmed findings against the sides of their headings, where the headings name one side only."""
    right = wrong = silent = both = 0
    for study in kept:
        for i, side in enumerate(affirmed_sides(study.text)):
            pattern = re.compile(HEADINGS[OBSERVATIONS[i]])
            named = {s for h in study.headings if pattern.match(h) for s in SIDES if s in h.split("/")}
            if len(named) != 1 or label(study.text)[i] != 1 or "bilateral" in named:
                continue
            true = SIDES[named.pop()]
            right, wrong = right + (side == true), wrong + (side == 3 - true)
            silent, both = silent + (side == 0), both + (side == 3)
    total = right + wrong + silent + both
    print(
        f"side of {total} affirmed findings coded on one side: right {right / total:.3f}, opposite {wrong / total:.3f},"
    )
    print(f"  both {both / total:.3f}, none named {silent / total:.3f}")


def speed(texts: list[str]) -> None:
    """Reports a second of CPU: nothing known before each report, and one pass that parses a repeated sentence once."""
    for name, forget in (("no sentence known", True), ("sentences of earlier reports known", False)):
        labeler.clear_cache()
        start = time.process_time()
        for text in texts:
            if forget:
                labeler.clear_cache()
            label(text)
        print(f"{len(texts) / (time.process_time() - start):,.0f} reports/s ({name})")


if __name__ == "__main__":
    main()
