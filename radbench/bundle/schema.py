"""The shape of a bundle's manifest and results, checked before anything is made of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from radbench.bundle.files import Fault
from radbench.folder import MANIFEST, RESULTS
from radbench.records import Access

Count = Annotated[int, Field(ge=0)]
Spec = Annotated[str, Field(max_length=300)]
Number = float | None
_Metrics = dict[Spec, dict[str, Any]]
Record = TypeVar("Record", bound=BaseModel)
_MOST_RESAMPLES = 100_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Subgroup(_Strict):
    n: Count
    metrics: _Metrics


class TaskResults(_Strict):
    """A task's entry. ``restricted``: of data that are not open, with totals in place of rows."""

    version: int
    title: str
    access: Access
    regime: str
    n: Count
    unanswered: Count
    unscorable: Count
    clusters: Count
    clustered: bool
    failures: dict[str, Count]
    classes: dict[str, Count]
    collapse: str | None
    restricted: bool
    metrics: _Metrics
    unavailable: dict[Spec, str]
    broken: dict[Spec, str]
    subgroups: dict[str, dict[str, Subgroup]]
    class_count: Count = 0
    small_classes: Count = 0


class GroupResults(_Strict):
    clustered: bool
    how: Literal["pool", "macro"]
    members: list[str]
    n: Count
    metrics: _Metrics


class Results(_Strict):
    """``results.json`` of a bundle."""

    radbench: str
    model: dict[str, str]
    seed: Count
    resamples: Annotated[int, Field(ge=1, le=_MOST_RESAMPLES)]
    level: Annotated[float, Field(gt=0, lt=1)]
    complete: bool
    partial: bool
    skipped: dict[str, str]
    unreadable: dict[str, str]
    tasks: dict[str, TaskResults]
    groups: dict[str, GroupResults]
    left_out: dict[str, str]


class TaskManifest(_Strict):
    """What the manifest says of a task; of restricted data digests are keyed and most is absent."""

    version: int
    regime: str
    access: Access
    form: str
    generation: str
    parser: str
    options: dict[str, Any]
    data: str
    prompts: str
    by_sample: bool
    text_form: bool = False
    dataset: str | None = None
    split: str | None = None
    support: str | None = None
    support_digest: str | None = None
    target: str | None = None
    choices: list[str] | None = None


class Git(_Strict):
    commit: str
    dirty: bool


class Manifest(_Strict):
    """``manifest.json`` of a bundle."""

    radbench: str
    created: str
    python: str
    packages: dict[str, str]
    git: Git | None
    model: dict[str, str]
    seed: Count
    limit: int | None
    draws: Annotated[int, Field(ge=1)]
    resamples: Count
    level: float
    tasks: dict[str, TaskManifest]


def parsed(results: Any, manifest: Any) -> tuple[Results | None, Manifest | None, list[Fault]]:
    """Both files as records, None where a file is not of their shape, and what is wrong with it."""
    faults: list[Fault] = []
    return _parse(Results, results, RESULTS, faults), _parse(Manifest, manifest, MANIFEST, faults), faults


def _parse(shape: type[Record], content: Any, file: str, faults: list[Fault]) -> Record | None:
    try:
        return shape.model_validate(content)
    except ValidationError as error:
        for wrong in error.errors(include_input=False, include_url=False)[:20]:
            faults.append(Fault(file, f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}"))
        return None
