"""``radbench data``: where datasets come from, what is found of them, and fetching the open ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from radbench.care.checkup import CheckOptions, examine
from radbench.care.inventory import datasets, forms, place, variants
from radbench.care.screen import NO_FOLDER, as_dict, text
from radbench.cli.catalogue import cut
from radbench.dataset import DataLocations, Dataset
from radbench.errors import ConfigError, DataError, nearest
from radbench.registry import all_tasks, find_tasks
from radbench.report import aligned
from radbench.task import Task


def list_datasets(as_json: bool) -> int:
    """Every dataset that a task reads: access, licence, where it comes from, how many tasks read it."""
    tasks = variants(all_tasks().values())
    rows = [_listed(d, tasks) for d in datasets(tasks).values()]
    if as_json:
        print(json.dumps(rows))
        return 0
    cells = []
    for r in rows:
        licence, source = cut(r["licence"], 34), cut(r["source"], 48)
        cells.append([r["dataset"], r["access"], str(len(r["tasks"])), "yes" if r["fetch"] else "-", licence, source])
    print(aligned(["dataset", "access", "tasks", "fetch", "licence", "where to get it"], cells, right={2}))
    print(
        "\nradbench data check NAME: its page and layout, and what was found; radbench data fetch NAME: open hub copies."
    )
    return 0


def _listed(dataset: Dataset, tasks: Iterable[Task]) -> dict[str, Any]:
    from radbench.care.hub import fetchable

    return {
        "dataset": dataset.name,
        "access": dataset.access,
        "licence": dataset.licence,
        "source": dataset.source,
        "homepage": dataset.homepage,
        "folder": dataset.folder,
        "hub": list(dataset.hub),
        "fetch": fetchable(dataset),
        "needs": [d.name for d in dataset.companions.values()],
        "sizes": dict(dataset.sizes),
        "tree": dataset.tree.splitlines(),
        "tasks": [t.spec for t in tasks if t.dataset.name == dataset.name],
    }


def check(names: Sequence[str], tasks: Sequence[str], data: Sequence[str], options: CheckOptions, as_json: bool) -> int:
    """Facts of the named datasets (or those of the tasks); without either, which datasets are there.

    1 where one that is there has faults, or no manifest could be written or verified; else 0: an absent dataset, a size
    or a leak to look at is no fault.
    """
    chosen = find_tasks([n.strip() for t in tasks for n in t.split(",") if n.strip()]) if tasks else []
    installed = variants(all_tasks().values())
    known = datasets([*installed, *chosen])
    locations = DataLocations.parse(data)
    if not names and not chosen:
        return _overview(known, locations, as_json)
    wanted = list(dict.fromkeys([*names, *datasets(chosen)]))
    for name in wanted:
        if name not in known:
            raise ConfigError(f"no dataset is called '{name}': {nearest(name, known)}", remedy="radbench data list")
    if options.manifest and len(wanted) > 1:
        raise ConfigError("--manifest names one file, for one dataset", remedy="check them one by one")
    reports = []
    for position, name in enumerate(wanted):
        ways = forms(chosen or installed, name)
        report = examine(known[name], ways, locations, options, _teller(name, as_json))
        reports.append(report)
        if not as_json:
            print(("\n" if position else "") + text(report))
    if as_json:
        print(json.dumps([as_dict(r) for r in reports]))
    return int(any(r.errors for r in reports))


def _teller(name: str, quiet: bool) -> Any:
    """On a terminal, what is being done goes to standard error; elsewhere nothing."""
    if quiet or not sys.stderr.isatty():
        return lambda _: None
    return lambda what: print(f"radbench: {name}: {what} ...", file=sys.stderr)


def _overview(known: Mapping[str, Dataset], locations: DataLocations, as_json: bool) -> int:
    rows = []
    for dataset in known.values():
        try:
            found = str(place(dataset, locations) or NO_FOLDER)
        except DataError:
            found = ""
        rows.append({"dataset": dataset.name, "access": dataset.access, "found": found})
    if as_json:
        print(json.dumps(rows))
        return 0
    print(f"data root: {locations.root}\n")
    print(aligned(["dataset", "access", "found"], [[v or "no" for v in r.values()] for r in rows], right=set()))
    print("\nradbench data check NAME [--data DIR]: everything about one.")
    return 0


# --- fetch ---


def fetch(names: Sequence[str], out: str, hub: str | None) -> int:
    """Bring open datasets from the hub, each to its folder below ``out``."""
    from radbench.care import hub as care

    known = datasets(variants(all_tasks().values()))
    for name in names:
        if name not in known:
            raise ConfigError(f"no dataset is called '{name}': {nearest(name, known)}", remedy="radbench data list")
        care.check_open(known[name])
    if hub and len(names) > 1:
        raise ConfigError("--hub names the copy of one dataset", remedy="fetch them one by one")
    root = Path(out).expanduser() if out else Path("data")
    for name in names:
        if known[name].folder is None:
            print(f"{name}: nothing to fetch; it comes from {known[name].source}")
            continue
        folder = care.fetch(known[name], root, hub)
        print(f"{name}: {folder}\n  licence: {known[name].licence}\n  use it with: --data {root}")
        for needed in known[name].companions.values():
            how = f"radbench data fetch {needed.name}" if care.fetchable(needed) else care.by_hand(needed)
            print(f"  it also needs {needed.name} ({needed.access}): {how}")
    return 0
