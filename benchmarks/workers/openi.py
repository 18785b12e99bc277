"""The findings of the Open-i reports, read from the archive at run time."""

from __future__ import annotations

import random
import tarfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def findings(shared: Path) -> tuple[list[str], str]:
    """The FINDINGS sections and where they are from; made-up words of the mean length where the archive is absent."""
    archive = shared / "data" / "openi_reports" / "NLMCXR_reports.tgz"
    if not archive.exists():
        pick = random.Random(0)
        words = [f"word{i}" for i in range(2000)]
        return [" ".join(pick.choices(words, k=32)) for _ in range(3425)], "made-up reports"
    found = []
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.endswith(".xml") and (file := tar.extractfile(member)) is not None:
                nodes = ElementTree.parse(file).iter("AbstractText")
                found += [n.text for n in nodes if n.get("Label") == "FINDINGS" and n.text]
    return found, "Open-i findings"


def pairs(texts: list[str], count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Hypotheses and references: every other hypothesis another report, the rest their reference with words changed."""
    pick = random.Random(seed)
    words = [word for text in texts for word in text.split()]
    references = [texts[i % len(texts)] for i in range(count)]
    hypotheses = []
    for i, reference in enumerate(references):
        changed = reference.split()
        for _ in range(max(1, len(changed) // 8)):
            changed[pick.randrange(len(changed))] = pick.choice(words)
        hypotheses.append(pick.choice(texts) if i % 2 else " ".join(changed))
    return hypotheses, references


def joined(texts: list[str], seed: int = 1) -> list[str]:
    """Every report with another one behind it: twice the length."""
    pick = random.Random(seed)
    return [f"{text} {pick.choice(texts)}" for text in texts]
