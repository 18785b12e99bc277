"""Questions whose answers are sets of names, and yes/no questions with as many yes as no."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from radbench.tasks.phantom.grammar import absent, draw, seen_in, vocabulary
from radbench.tasks.phantom.questions import abnormalities
from radbench.tasks.phantom.spec import Case, Finding, Picture

# --- lists ---


@dataclass(frozen=True, slots=True)
class Listing:
    """A question whose answer is a set of names, all of ``options``."""

    kind: str
    text: str
    names: tuple[str, ...]
    options: tuple[str, ...]


def listings(case: Case, picture: Picture) -> Iterator[Listing]:
    """What is seen, what of it lies on a side, which devices there are."""
    seen = seen_in(case, (picture,))
    diseases, everything = abnormalities(case), vocabulary(case)
    devices = tuple(name for name in everything if name not in diseases)
    yield Listing("abnormality", "List all abnormalities in this image.", _names(seen, diseases), diseases)
    if devices:
        yield Listing("device", "List all devices in this image.", _names(seen, devices), devices)
    if any(f.side for f in seen):
        side = draw(case, "listed side", ("left", "right"))
        there = [f for f in seen if f.side in (side, "bilateral")]
        yield Listing("side", f"List all findings on the {side} side.", _names(there, everything), everything)


def _names(findings: Iterable[Finding], options: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({f.name for f in findings} & set(options)))


# --- balanced diagnosis ---


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture that may be asked about: the diseases it shows, and those its case does not have."""

    case: str
    group: tuple[str, str]  # modality and region
    shown: tuple[str, ...]
    absent: tuple[str, ...]


def candidate(case: Case, picture: Picture) -> Candidate:
    diseases = abnormalities(case)
    seen = {f.name for f in seen_in(case, (picture,))}
    gone = absent(case)
    return Candidate(
        case.id,
        (case.modality, case.region),
        tuple(d for d in diseases if d in seen),
        tuple(d for d in diseases if d in gone),
    )


def balanced(candidates: Sequence[Candidate], seed: int = 0) -> dict[str, list[tuple[str, bool]]]:
    """(disease, answer) pairs to ask of each case: as many yes as no for every disease of every modality and region.

    So neither the picture's kind nor the name of the disease tells the answer. Where a disease has fewer negatives than
    positives, positives are left out, and the other way round.
    """
    yes: dict[tuple[tuple[str, str], str], list[str]] = defaultdict(list)
    no: dict[tuple[tuple[str, str], str], list[str]] = defaultdict(list)
    for c in candidates:
        for disease in c.shown:
            yes[c.group, disease].append(c.case)
        for disease in c.absent:
            no[c.group, disease].append(c.case)
    asked: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for key, positives in yes.items():
        negatives = no[key]
        rng = Random(f"{seed}|{key}")
        size = min(len(positives), len(negatives))
        for cases, answer in ((positives, True), (negatives, False)):
            for case in rng.sample(cases, size):
                asked[case].append((key[1], answer))
    return dict(asked)
