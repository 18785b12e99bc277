"""Seeded sampling of a cohort's specifications: who has what, where, how large, and what was there before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from radbench.tasks.phantom.findings import sample_finding, step
from radbench.tasks.phantom.places import smallest
from radbench.tasks.phantom.plans import HISTORIES, PLANS
from radbench.tasks.phantom.spec import ABNORMALITIES, DEVICES, Case, Finding, Modality, Region

# Cases of each kind in a cohort of 240; other sizes in proportion, at least one of each.
SHARES: dict[tuple[Modality, Region], int] = {
    ("X-ray", "chest"): 96, ("X-ray", "spine"): 9, ("X-ray", "breast"): 9,
    ("CT", "chest"): 12, ("CT", "abdomen"): 14, ("CT", "head"): 14, ("CT", "neck"): 9,
    ("MRI", "head"): 15, ("MRI", "abdomen"): 11,
    ("Ultrasound", "abdomen"): 14, ("Ultrasound", "neck"): 8,
    ("PET", "chest"): 15, ("angiography", "vessels"): 14,
}  # fmt: skip
PAIRED = {
    ("X-ray", "chest"): 0.92,
    ("CT", "head"): 0.3,
    ("CT", "chest"): 0.34,
    ("MRI", "head"): 0.3,
}  # of cases, in pairs
NORMAL = 0.15
VOLUMES = {  # every n-th study is a volume
    ("CT", "chest"): 3, ("CT", "abdomen"): 2, ("CT", "head"): 2, ("CT", "neck"): 1, ("MRI", "head"): 2, ("PET", "chest"): 4,
}  # fmt: skip
SPLITS = ("test", "train", "test", "val", "test", "train", "test", "train", "val", "test")


def sample_cohort(seed: int = 0, cases: int = 240, size: int = 128, difficulty: float = 0.3) -> list[Case]:
    """The specifications of a cohort, without pictures. A prior stands directly before its follow-up.

    ``size`` (pixels) bounds lesions from below: none is smaller than its pictures resolve.
    """
    if cases < len(SHARES):
        raise ValueError(f"{cases} cases asked for; a cohort has at least {len(SHARES)}, one of each kind")
    if not 0 <= difficulty <= 1:
        raise ValueError(f"difficulty {difficulty} is not between 0 and 1")
    rng = np.random.default_rng([seed, 0x5EED])
    studies = []
    for kind, count in _counts(cases).items():
        pairs = round(count * PAIRED.get(kind, 0) / 2)
        units = [True] * pairs + [False] * (count - 2 * pairs)
        order = rng.permutation(len(units))
        splits = _splits(rng, len(units))
        primaries = _primaries(rng, kind, len(units))
        for i, at in enumerate(order):
            studies.append((kind, units[at], i, splits[i], primaries[i]))
    out: list[Case] = []
    for n, at in enumerate(rng.permutation(len(studies))):
        kind, paired, index, split, primary = studies[at]
        every = VOLUMES.get(kind, 0)
        volume = bool(every) and index % every == 0
        base = int(rng.integers(2**31)) * 8
        patient = f"P{seed % 1000:03d}{n + 1:04d}"
        out += _study(base, patient, kind, paired, split, primary, volume, difficulty, size, len(out))
    return out


def _counts(cases: int) -> dict[tuple[Modality, Region], int]:
    """Largest remainders, at least one of each kind."""
    total = sum(SHARES.values())
    exact = {k: v * cases / total for k, v in SHARES.items()}
    counts = {k: max(1, int(v)) for k, v in exact.items()}
    by_rest = sorted(exact, key=lambda k: exact[k] - int(exact[k]), reverse=True)
    at = 0
    while sum(counts.values()) < cases:
        counts[by_rest[at % len(by_rest)]] += 1
        at += 1
    while sum(counts.values()) > cases:
        counts[max(counts, key=lambda k: counts[k])] -= 1
    return counts


def _splits(rng: np.random.Generator, units: int) -> list[str]:
    out: list[str] = []
    offset = int(rng.integers(len(SPLITS)))
    while len(out) < units:
        block = [SPLITS[(offset + i) % len(SPLITS)] for i in range(len(SPLITS))]
        out += block if units < len(SPLITS) else [block[i] for i in rng.permutation(len(block))]
    return out[:units]


def _primaries(rng: np.random.Generator, kind: tuple[Modality, Region], units: int) -> list[tuple[str, int]]:
    """The finding each study is about, "" for a normal one, and its turn: every finding in turn, so that all occur."""
    names = (*ABNORMALITIES[kind], *DEVICES.get(kind, ()))
    normal = round(units * NORMAL)
    first = rng.integers(0, 12, len(names))
    rounds = [
        (names[i], int(first[i]) + k) for k in range(units // len(names) + 1) for i in rng.permutation(len(names))
    ]
    out = [("", 0)] * normal + rounds[: units - normal]
    return [out[i] for i in rng.permutation(units)]


def _study(
    base: int,
    patient: str,
    kind: tuple[Modality, Region],
    paired: bool,
    split: str,
    about: tuple[str, int],
    volume: bool,
    difficulty: float,
    size: int,
    number: int,
) -> list[Case]:
    """One study, or a prior and its follow-up, of a patient of their own."""
    rng = np.random.default_rng([base, 1])
    modality, region = kind
    primary, turn = about
    case = Case(
        id=f"phantom-{number + 1:04d}",
        patient=patient,
        split=split,  # type: ignore[arg-type]
        modality=modality,
        region=region,
        sequence=_sequence(rng, kind, primary),
        plane=_plane(rng, kind, primary, volume),
        age=int(rng.integers(38, 89)),
        sex="female" if region == "breast" or rng.random() < 0.5 else "male",
        history=str(rng.choice(HISTORIES[region])),
        findings=(),
        pictures=(),
        difficulty=difficulty,
        seed=base,
        kind="series" if volume and kind == ("CT", "head") else "volume" if volume else "2d",
    )
    case = with_findings(case, rng, primary, turn, size)
    if not paired:
        return [case]
    earlier, now, days = _past(rng, case, size), case, int(rng.integers(2, 400))
    changed = tuple(
        f if f.change else replace(f, change="unchanged") for f in (_marked(f, earlier.findings) for f in now.findings)
    )
    current = replace(
        now, id=f"phantom-{number + 2:04d}", seed=base + 1, findings=changed, prior=earlier.id, days_before=days
    )
    return [earlier, replace(current, age=case.age + (1 if days > 182 else 0))]


def with_findings(case: Case, rng: np.random.Generator, primary: str, turn: int, size: int) -> Case:
    """The case with its primary finding, the level of its slice, and further findings that fit."""
    kind = (case.modality, case.region)
    found: list[Finding] = []
    if not primary:
        return replace(case, level=default_level(rng, case))
    first, case = sample_finding(rng, case, primary, (), turn=turn, pixels=size)
    assert first is not None  # a primary finding always has room
    found.append(first)
    names = [str(n) for n in rng.permutation(ABNORMALITIES[kind]) if n != primary]
    wanted = int(rng.choice([0, 1, 2], p=[0.3, 0.4, 0.3] if kind == ("X-ray", "chest") else [0.55, 0.4, 0.05]))
    if kind in DEVICES and rng.random() < 0.2:
        names.insert(0, str(rng.choice(DEVICES[kind])))
        wanted += 1
    for name in names:
        if wanted and name not in {f.name for f in found}:
            more, _ = sample_finding(rng, case, name, tuple(found), fixed_level=True, pixels=size)
            if more is not None:
                found.append(more)
                wanted -= 1
    return replace(case, findings=tuple(found))


def default_level(rng: np.random.Generator, case: Case) -> float:
    """A level at which the usual organs are in the slice."""
    if case.plane == "sagittal":
        return float(rng.uniform(-6, 6))
    if case.plane == "coronal":
        return float(rng.uniform(-8, 8) if case.region == "head" else rng.uniform(15, 35))
    low, high = {"head": (2, 12), "chest": (-30, 40), "abdomen": (10, 35), "neck": (-6, 6)}.get(case.region, (0, 0))
    return float(rng.uniform(low, high))


def _sequence(rng: np.random.Generator, kind: tuple[Modality, Region], primary: str) -> str:
    if kind == ("MRI", "head"):
        shown = {
            "infarct": ("DWI", "DWI", "FLAIR", "T2"),
            "white matter lesions": ("FLAIR", "T2"),
            "meningioma": ("T1 with contrast", "T1 with contrast", "T2"),
            "brain tumor": ("T1 with contrast", "FLAIR", "T2"),
        }
        return str(rng.choice(shown.get(primary, ("T1", "T2", "FLAIR"))))
    if kind == ("MRI", "abdomen"):
        return str(rng.choice(("T2", "T2", "T1")))
    if kind[0] == "CT":
        if kind[1] == "head":
            return "with contrast" if primary == "brain tumor" and rng.random() < 0.6 else "without contrast"
        if primary in ("renal stone", "thyroid calcification"):
            return "without contrast"
        return "with contrast" if rng.random() < 0.8 else "without contrast"
    return ""


def _plane(rng: np.random.Generator, kind: tuple[Modality, Region], primary: str, volume: bool) -> str:
    if kind[0] in ("X-ray", "PET", "angiography"):
        return "frontal" if kind[1] != "breast" else "craniocaudal and mediolateral oblique"
    if kind[0] == "Ultrasound":
        return "longitudinal" if kind[1] == "abdomen" else "transverse"
    if volume or (kind[0] == "CT" and kind[1] != "abdomen"):
        return "axial"
    if kind == ("MRI", "head") and primary in ("", "hydrocephalus", "brain tumor") and rng.random() < 0.4:
        return "sagittal"
    return "coronal" if rng.random() < (0.3 if kind[0] == "MRI" else 0.15) and primary != "midline shift" else "axial"


def _past(rng: np.random.Generator, case: Case, size: int) -> Case:
    """The same patient some time ago: each finding absent, smaller, larger or as it is now, and one since resolved."""
    before: list[Finding] = []
    for f in case.findings:
        plan = PLANS[(case.modality, case.region)][f.name]
        options: Sequence[str] = ("new", "unchanged") if plan.fixed else ("new", "larger", "smaller", "unchanged")
        for option in rng.permutation(options):
            was = step(f, str(option), smallest(case, size))
            if option == "new":
                break
            if was is not None:
                before.append(was)
                break
    if rng.random() < 0.35 or (not before and not case.findings):
        names = [n for n in ABNORMALITIES[(case.modality, case.region)] if n not in {f.name for f in case.findings}]
        more, _ = sample_finding(
            rng, case, str(rng.choice(names)), (*case.findings, *before), fixed_level=True, pixels=size
        )
        if more is not None:
            before.append(more)
    return replace(case, findings=tuple(before))


def _marked(f: Finding, before: tuple[Finding, ...]) -> Finding:
    """The finding with its change since the prior."""
    grades = ("", "mild", "moderate", "severe")
    for was in before:
        if was.name == f.name:
            now, then = (f.size_mm, grades.index(f.severity)), (was.size_mm, grades.index(was.severity))
            return replace(f, change="larger" if now > then else "smaller" if now < then else "unchanged")
    return replace(f, change="new")
