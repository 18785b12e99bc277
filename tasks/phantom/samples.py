"""The task kinds of the phantom cohort: one function each, all fed by the same record of a case.

A kind that finds nothing to ask of a case yields nothing. Kinds of pictures and of volumes are kept apart, because no
model embeds both in one space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from radbench.tasks.phantom import answer_kinds as answers
from radbench.tasks.phantom import place_kinds as places
from radbench.tasks.phantom import text_kinds as texts
from radbench.tasks.phantom.study import Study

from radbench.records import Sample

Kind = Callable[[Study], Iterator[Sample]]


def _visit(images: bool, reports: bool) -> Kind:
    return lambda study: texts.multi_visit(study, images, reports)


@dataclass(frozen=True, slots=True)
class KindOf:
    """How a kind is made, and whether its cases need their prior or the balanced questions of their split."""

    make: Kind
    prior: bool = False
    balanced: bool = False


KINDS: Mapping[str, KindOf] = {
    "modality": KindOf(answers.modality),
    "region": KindOf(answers.region),
    "diagnosis": KindOf(answers.diagnosis, balanced=True),
    "multilabel": KindOf(answers.multilabel),
    "multiclass": KindOf(answers.multiclass),
    "set-answers": KindOf(answers.set_answers),
    "vqa": KindOf(answers.vqa),
    "vqa-open": KindOf(answers.vqa_open),
    "vqa-context": KindOf(answers.vqa_context),
    "vqa-choice": KindOf(answers.vqa_choice),
    "vqa-multi-image": KindOf(answers.vqa_multi_image, prior=True),
    "caption": KindOf(texts.caption),
    "report-findings": KindOf(texts.report_findings),
    "report-impression": KindOf(texts.report_impression),
    "report": KindOf(texts.report),
    "report-multiview": KindOf(texts.report_multiview),
    "report-3d": KindOf(texts.report_3d),
    "multi-visit-none": KindOf(_visit(images=False, reports=False), prior=True),
    "multi-visit-reports": KindOf(_visit(images=False, reports=True), prior=True),
    "multi-visit-images": KindOf(_visit(images=True, reports=False), prior=True),
    "multi-visit-both": KindOf(_visit(images=True, reports=True), prior=True),
    "comparison": KindOf(texts.comparison, prior=True),
    "rationale": KindOf(texts.rationale),
    "rationale-yes-no": KindOf(texts.rationale_yes_no, balanced=True),
    "region-caption": KindOf(places.region_caption),
    "detection-anatomy": KindOf(places.detection_anatomy),
    "detection-pathology": KindOf(places.detection_pathology),
    "segmentation-2d": KindOf(places.segmentation_2d),
    "segmentation-3d": KindOf(places.segmentation_3d),
}
