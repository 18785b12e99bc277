"""A case in its folder, and the samples it makes: images, slots and strata that every kind has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radbench.tasks.phantom.grammar import seen_in
from radbench.tasks.phantom.spec import Case, Modality, Picture, Region

from radbench.records import Image, Sample, Target, Text

CHEST: tuple[Modality, Region] = ("X-ray", "chest")
_WINDOWS = {"chest": "mediastinum", "abdomen": "abdomen", "head": "brain", "neck": "soft-tissue"}


@dataclass(frozen=True, slots=True)
class Study:
    """A case in its folder, with its prior where it has one and the yes/no questions chosen for it."""

    root: Path
    case: Case
    prior: Case | None = None
    asked: Sequence[tuple[str, bool]] = ()
    kind: str = ""

    @property
    def key(self) -> tuple[Modality, Region]:
        return self.case.modality, self.case.region

    def image(self, picture: Picture, case: Case | None = None) -> Image:
        """A picture of the case, or of its prior."""
        of = case or self.case
        return Image(
            str(self.root / picture.path),
            kind=picture.kind,
            view=picture.view or None,
            window=_WINDOWS.get(of.region) if of.modality == "CT" and picture.kind != "2d" else None,
            study=of.id,
            role="current" if of is self.case else "prior",
            days_before=None if of is self.case else self.case.days_before,
        )

    def sample(
        self,
        number: int,
        pictures: Sequence[Picture],
        truth: Target,
        /,
        *,
        name: str = "answer",
        priors: Sequence[Picture] = (),
        choices: Sequence[str] = (),
        strata: Mapping[str, str] | None = None,
        **slots: Any,
    ) -> Sample:
        """A sample of the case: priors before pictures, ``truth`` as the target ``name``, the rest as prompt slots."""
        case = self.case
        images = [self.image(p, self.prior) for p in priors] + [self.image(p) for p in pictures]
        axes = {"modality": case.modality, "region": case.region, "images": str(len(images))}
        if len(pictures) == 1 and pictures[0].view:
            axes["view"] = pictures[0].view
        seen = seen_in(case, pictures)
        axes["finding"] = seen[0].name if len(seen) == 1 else "several" if seen else "none"
        given = {"modality": case.modality, "region": case.region, "sequence": case.sequence, "history": case.history}
        return Sample(
            id=f"{case.id}-{self.kind}-{number}",
            cluster=case.patient,
            targets={name: truth},
            images=tuple(images),
            slots={**given, **slots},
            choices=tuple(choices),
            strata={**axes, **(strata or {})},
            access="open",
        )


def flat(case: Case) -> tuple[Picture, ...]:
    """The case's 2D pictures."""
    return tuple(p for p in case.pictures if p.kind == "2d")


def volumes(case: Case) -> tuple[Picture, ...]:
    """The case's volumes and DICOM series."""
    return tuple(p for p in case.pictures if p.kind != "2d")


def main_picture(case: Case) -> Picture | None:
    """The 2D picture that shows most findings, the first of several; None where the case has no 2D picture."""
    return max(flat(case), key=lambda p: len(p.visible), default=None)


def text(value: str) -> Text:
    """A reference with one wording."""
    return Text((value,))


def length(question: str) -> str:
    """The stratum of a question's length in words."""
    return "short" if len(question.split()) < 8 else "long"
