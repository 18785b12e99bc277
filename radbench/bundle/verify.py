"""``radbench verify``: everything a bundle states, computed anew from what it holds.

Open data: values, intervals, subgroups and groups from the rows, with the engine and the seed of the run. Restricted data:
values and intervals from totals in resamples; results that are only stated are counted. Numbers agree to nine digits, so
that another processor may add in another order. What no statistic implies (the date, the packages, the model's name) is
held by the digest of the bundle alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radbench.bundle.checking import Check
from radbench.bundle.files import (
    BUNDLE,
    Fault,
    Unreadable,
    check_files,
    file_digest,
    read_json,
)
from radbench.bundle.schema import parsed
from radbench.bundle.verify_rows import check_group, check_open
from radbench.bundle.verify_totals import check_restricted
from radbench.folder import MANIFEST, RESULTS


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found. ``values`` were computed anew, ``from_totals`` of them from totals of restricted data.

    ``stated`` metrics of restricted data are told by their result alone and cannot be computed anew.
    """

    digest: str
    faults: tuple[Fault, ...]
    tasks: int
    values: int
    from_totals: int
    stated: int
    partial: bool


def verify(path: Path, digest: str | None = None) -> Verified:
    """Every fault of a bundle, none where it holds what it states. ``digest`` is the one that a paper or board names."""
    faults, readable = check_files(path)
    try:
        found = f"sha256:{file_digest(path / BUNDLE)}"
    except OSError:
        return Verified("", tuple(faults), 0, 0, 0, 0, False)
    if digest is not None and not _same_digest(digest, found):
        faults.append(Fault(BUNDLE, "this is another bundle than the digest names", "", "", digest, found))
    contents: dict[str, Any] = {}
    for name in (RESULTS, MANIFEST):
        try:
            contents[name] = read_json(path / name) if name in readable else None
        except Unreadable as error:
            faults.append(Fault(name, str(error)))
    if len(contents) < 2 or None in contents.values():
        return Verified(found, tuple(faults), 0, 0, 0, 0, False)
    results, manifest, wrong = parsed(contents[RESULTS], contents[MANIFEST])
    faults += wrong
    if results is None or manifest is None:
        return Verified(found, tuple(faults), 0, 0, 0, 0, False)
    check = Check(path, readable, results, faults)
    faults += _agree(contents[RESULTS], contents[MANIFEST])
    for task, entry in results.tasks.items():
        (check_restricted if entry.restricted else check_open)(check, task, entry)
    for name, group in results.groups.items():
        check_group(check, name, group, manifest.tasks)
    faults += [Fault(name, "belongs to no result") for name in sorted(readable - check.used)]
    return Verified(
        found, tuple(faults), len(results.tasks), check.values, check.from_totals, check.stated, results.partial
    )


def _same_digest(given: str, found: str) -> bool:
    return given.strip().lower().removeprefix("sha256:") == found.removeprefix("sha256:")


def _agree(results: Mapping[str, Any], manifest: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults where manifest and results tell different stories of one run."""
    for name in ("radbench", "model", "seed", "resamples", "level"):
        if manifest[name] != results[name]:
            yield Fault(MANIFEST, f"{name} is another than in {RESULTS}", "", "", manifest[name], results[name])
    tasks, described = results["tasks"], manifest["tasks"]
    for task in sorted(tasks.keys() ^ described.keys()):
        yield Fault(MANIFEST, f"is not in {MANIFEST if task in tasks else RESULTS}", task)
    for task in sorted(tasks.keys() & described.keys()):
        for name in ("version", "regime", "access"):
            if described[task][name] != tasks[task][name]:
                stated = described[task][name]
                yield Fault(MANIFEST, f"{name} is another than in {RESULTS}", task, "", stated, tasks[task][name])
        most = math.inf if manifest["limit"] is None else manifest["limit"] * manifest["draws"]
        if sum(tasks[task]["failures"].values()) > tasks[task]["n"]:
            yield Fault(RESULTS, "more failures than samples", task)
        if tasks[task]["n"] > most:
            yield Fault(MANIFEST, f"n is {tasks[task]['n']}, of at most limit x draws = {most}", task)
    if results["partial"] != (not results["complete"] or manifest["limit"] is not None):
        yield Fault(RESULTS, "partial contradicts 'complete' here and 'limit' in the manifest")
