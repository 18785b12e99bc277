"""The built-in cases of ``radbench models check``: made-up studies as real files, drawn when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from radbench.records import AnswerForm, Generation, Image, Message, Request

SIZE = 224  # pixels a side of a picture; the volume has 112 x 112 x 84 voxels
CHANGES = ("improved", "unchanged", "worse")


@dataclass(frozen=True, slots=True)
class Case:
    """One request. ``needs`` are the capabilities that a model claims which takes it; ``core``: one of the three."""

    name: str
    needs: frozenset[str]
    request: Request
    core: bool = True


def built_in_cases(folder: Path, max_new_tokens: int) -> list[Case]:
    """The three cases (one picture, two, a volume), and one for each other form of answer.

    The files are PNG and NIfTI, written below ``folder``: a chest radiograph, its prior, a chest CT. They are made up
    and open, so they may go to any server.
    """
    prior, current, volume = _studies(folder)
    generation = Generation(max_new_tokens=max_new_tokens)

    def case(
        name: str,
        needs: str,
        content: tuple[str | Image, ...],
        form: AnswerForm = "text",
        choices: tuple[str, ...] = (),
        core: bool = True,
    ) -> Case:
        key = sha256(f"radbench models check|{name}".encode()).digest()[:16]
        message = (Message("user", content),)
        request = Request("check/built-in", name, message, form, choices, generation, key=key)
        return Case(name, frozenset(needs.split()), request, core)

    boxes = "Where is the heart? Answer with its box as [x0, y0, x1, y1] in pixels."
    return [
        case("one image", "text", (current, "Describe the findings of this chest radiograph.")),
        case(
            "two images",
            "text multi_image",
            (
                "Prior: ", prior, "Current: ", current,
                f"How has the chest changed since the prior study? Answer with one of: {', '.join(CHANGES)}.",
            ),
            choices=CHANGES,
        ),
        case("a volume", "text volumes", (volume, "Which part of the body does this CT show? Describe the findings.")),
        case("boxes", "boxes", (current, boxes), "boxes", core=False),
        case("mask of a picture", "mask2d", (current, "Segment the heart."), "mask", core=False),
        case("mask of a volume", "mask3d", (volume, "Segment the lungs."), "mask", core=False),
    ]  # fmt: skip


def _studies(folder: Path) -> tuple[Image, Image, Image]:
    """A radiograph, the one after it, and a CT volume of the phantom cohort, written below ``folder``."""
    from radbench.tasks.phantom.cohort import write_case
    from radbench.tasks.phantom.sampling import sample_cohort
    from radbench.tasks.phantom.study import Study

    cohort = sample_cohort(cases=60, size=SIZE)
    current = next(c for c in cohort if c.prior and (c.modality, c.region) == ("X-ray", "chest"))
    prior = next(c for c in cohort if c.id == current.prior)
    ct = next(c for c in cohort if (c.modality, c.region, c.kind) == ("CT", "chest", "volume"))
    for below in ("pictures", "labels"):
        (folder / below).mkdir(parents=True, exist_ok=True)
    prior, current, ct = (write_case(folder, c, SIZE) for c in (prior, current, ct))
    study = Study(folder, current, prior)
    return (
        study.image(prior.pictures[0], prior),
        study.image(current.pictures[0]),
        Study(folder, ct).image(ct.pictures[0]),
    )
