"""Everything ``radbench data check`` tells of one dataset, gathered; :mod:`radbench.cli.data` prints it."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

from radbench.care.inventory import NAMED, Form, Split, is_there, place, splits, strictest
from radbench.care.leakage import Leakage, task_leakage
from radbench.care.manifest import Difference, compare, default_path, load, write
from radbench.care.privacy import UNREADABLE, Concern, outgoing_check
from radbench.care.similar import DEPTH, reference
from radbench.dataset import DataLocations, Dataset, Reader
from radbench.errors import OPEN_ACCESS, DataError
from radbench.records import Image
from radbench.task import LEAVE_ONE_CLUSTER_OUT

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """``pictures``: how many are looked at for headers and burned-in text; ``leak_pictures``: how many a side are
    compared (0: all); ``manifest``: its file, None for the default; ``write`` it, or ``verify`` every file against it."""

    pictures: int = 200
    leak_pictures: int = 5000
    seed: int = 0
    manifest: Path | None = None
    write: bool = False
    verify: bool = False


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool and the split it serves, with what leaks between them."""

    pool: str
    test: str
    leakage: Leakage


@dataclass(frozen=True, slots=True)
class FormFacts:
    """One way of reading the dataset: the tasks that do, the splits, the pools."""

    tasks: tuple[str, ...]
    splits: tuple[Split, ...]
    pools: tuple[Pool, ...]


@dataclass(frozen=True, slots=True)
class ManifestFacts:
    path: Path
    created: str = ""  # empty: there is none
    written: int = 0  # files hashed now
    difference: Difference | None = None
    of: str = ""  # another folder, whose manifest it is: nothing is compared


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. ``root`` is None where the dataset ships in packages; ``absent`` says why it cannot be read."""

    dataset: Dataset
    root: Path | None = None
    absent: str = ""
    remedy: str = ""
    companions: dict[str, str] = field(default_factory=dict)  # name -> where, or "not found"
    forms: tuple[FormFacts, ...] = ()
    manifest: ManifestFacts | None = None
    looked_at: int = 0
    concerns: tuple[Concern, ...] = ()
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def examine(
    dataset: Dataset, ways: Sequence[Form], locations: DataLocations, options: CheckOptions, tell: Tell
) -> Report:
    """Gather the facts. An absent dataset is a fact; faults of one that is there are ``errors``."""
    companions = {d.name: _where(d, locations) for d in dataset.companions.values()}
    try:
        root = place(dataset, locations)
    except DataError as error:
        return Report(
            dataset,
            None,
            error.message,
            error.remedy,
            companions,
            errors=_no_manifest(options, "the dataset is absent"),
        )
    errors = [] if root else list(_no_manifest(options, "the dataset has no folder of its own"))
    forms: list[FormFacts] = []
    readers: list[tuple[Form, Reader]] = []
    for form in ways:
        try:
            reader = form.dataset.open(locations)
        except DataError as error:
            errors.append(_one_line(error))
            continue
        readers.append((form, reader))
        forms.append(_form(form, reader, root, options, tell))
    facts = _manifest(dataset, root, options, tell)
    tell("looking at pictures")
    images = sample_images(_evaluated(readers), options.pictures, options.seed)
    concerns = outgoing_check(images)
    return _judged(
        Report(
            dataset,
            root,
            companions=companions,
            forms=tuple(forms),
            manifest=facts,
            looked_at=len(images),
            concerns=tuple(concerns),
            errors=tuple(errors),
        ),
        options,
    )


def _form(form: Form, reader: Reader, root: Path | None, options: CheckOptions, tell: Tell) -> FormFacts:
    tell(f"reading {', '.join(form.splits)}")
    counted = splits(form, reader, root)
    readable = {s.name for s in counted if not s.fault} | {LEAVE_ONE_CLUSTER_OUT}
    pools = []
    for name, task in form.pools:
        if {task.split, name} <= readable:
            tell(f"comparing {task.split} with {name}")
            found = task_leakage(task, reader, options.leak_pictures, options.seed)
            if found is not None:
                pools.append(Pool("other clusters" if name == LEAVE_ONE_CLUSTER_OUT else name, task.split, found))
    return FormFacts(tuple(t.spec for t in form.tasks), tuple(counted), tuple(pools))


def _where(dataset: Dataset, locations: DataLocations) -> str:
    try:
        return str(place(dataset, locations) or "in packages")
    except DataError:
        return "not found"


def _one_line(error: DataError) -> str:
    return str(error).replace("\n", " ")


# --- manifest ---


def _no_manifest(options: CheckOptions, why: str) -> tuple[str, ...]:
    """A manifest that was asked for and cannot be."""
    asked = "--write-manifest" if options.write else "--verify" if options.verify else ""
    return (f"{asked}: {why}",) if asked else ()


def _manifest(dataset: Dataset, root: Path | None, options: CheckOptions, tell: Tell) -> ManifestFacts | None:
    if root is None:
        return None
    path = options.manifest or default_path(dataset.name)
    if options.write:
        tell("hashing every file")
        made = write(root, path, dataset.name, dataset.access)
        return ManifestFacts(path, made.created, len(made.files))
    if not os.path.exists(path):  # False, not an error, where the cache may not be entered
        if options.verify:
            raise DataError(f"{path}: no manifest to verify against", remedy="write one first: --write-manifest")
        return ManifestFacts(path)
    known = load(path)
    if known.dataset != dataset.name:
        raise DataError(f"{path} is the manifest of '{known.dataset}', not of '{dataset.name}'")
    if options.manifest is None and known.root not in ("", str(root.resolve())):
        return ManifestFacts(path, known.created, of=known.root)
    if options.verify:
        tell("hashing every file")
    return ManifestFacts(path, known.created, 0, compare(root, path, known, options.verify))


# --- pictures ---


def sample_images(images: Iterable[Image], limit: int, seed: int) -> list[Image]:
    """A seeded choice of distinct pictures; a volume counts as several, as it takes longer."""

    def draw(image: Image) -> bytes:
        return blake2b(f"{seed}|{reference(image)}".encode("utf-8", "surrogatepass"), digest_size=8).digest()

    left, picked = limit, list[Image]()
    for image in heapq.nsmallest(limit, images, key=draw):
        left -= 1 if image.kind == "2d" else DEPTH
        if left < 0 and picked:
            break
        picked.append(image)
    return picked


def _evaluated(readers: Iterable[tuple[Form, Reader]]) -> Iterator[Image]:
    """Every distinct picture of the evaluated splits whose file is there."""
    seen: set[int] = set()
    for form, reader in readers:
        for name, needed in form.splits.items():
            if not needed:
                continue
            try:
                for sample in reader.samples(name):
                    for image in sample.images:
                        key = hash(reference(image))
                        if key not in seen and is_there(image):
                            seen.add(key)
                            yield image
            except DataError:
                continue  # told with the split


# --- judging ---


def _judged(report: Report, options: CheckOptions) -> Report:
    """Errors: what an evaluation would trip over. Warnings: what a person should look at."""
    errors, warnings = list(report.errors), list[str]()
    for form in report.forms:
        for split in form.splits:
            grave = errors if split.needed else warnings
            if split.fault:
                grave.append(f"split {split.name}: {split.fault}")
            if split.missing:
                names = f": {', '.join(split.missing_names)}" if split.missing_names else ""
                more = ", ..." if names and split.missing > len(split.missing_names) else ""
                grave.append(
                    f"split {split.name}: {split.missing:,} of {split.files:,} picture files missing{names}{more}"
                )
            if split.warning:
                warnings.append(f"{form.tasks[0]}: {split.warning}")
        for pool in form.pools:
            warnings += (f"{form.tasks[0]}: {w}" if len(report.forms) > 1 else w for w in _leak_warnings(pool))
    if unreadable := [c for c in report.concerns if c.kind == UNREADABLE]:
        names = _names([Path(c.image.path).name for c in unreadable], report.dataset)
        errors.append(f"{len(unreadable)} of {report.looked_at} pictures looked at cannot be read{names}")
    if options.verify and report.manifest and report.manifest.of:
        errors.append(f"--verify: the manifest is of {report.manifest.of}")
    if report.manifest and report.manifest.difference:
        grave, light = _changes(report.manifest.difference, report.dataset)
        errors += grave
        warnings += light
    return replace(report, errors=tuple(dict.fromkeys(errors)), warnings=tuple(dict.fromkeys(warnings)))


def _leak_warnings(pool: Pool) -> Iterator[str]:
    for leak in pool.leakage.found:
        examples = f", e.g. {leak.examples[0]}" if leak.examples else ""
        yield f"{leak.affected:,} of {leak.compared:,} samples of {pool.test}: {leak.kind} in {pool.pool}{examples}"


def _changes(difference: Difference, dataset: Dataset) -> tuple[list[str], list[str]]:
    def told(count: Sequence[str], what: str) -> list[str]:
        return [f"manifest: {len(count):,} files {what}{_names(count, dataset)}"] if count else []

    grave = told(difference.changed, "changed") + told(difference.missing, "missing")
    light = told(difference.new, "new")
    if difference.touched:
        light.append(f"manifest: {len(difference.touched):,} files have another time and the same size; use --verify")
    return grave, light


def _names(names: Sequence[str], dataset: Dataset) -> str:
    """A few names, of open data only."""
    if strictest(dataset) not in OPEN_ACCESS:
        return ""
    return f": {', '.join(names[:NAMED])}" + (", ..." if len(names) > NAMED else "")
