"""A radiology lexicon of our own: modalities, anatomy, findings, diseases, devices and procedures.

``radiology.tsv`` has a row per concept: identifier, kind, name, other names separated by bars. It was written from general
knowledge of radiology; nothing in it comes from another vocabulary. Identifiers are stable: a row may be
added, changed or removed, and an identifier is never used again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from radbench.errors import DataError

VERSION = 2
PATH = Path(__file__).parent / "radiology.tsv"

# The kinds of the lexicon and the UMLS semantic type that says the same, so that both are filtered alike.
KINDS = {
    "anatomy": "T023",  # body part, organ, or organ component
    "region": "T029",  # body location or region
    "finding": "T033",
    "disease": "T047",
    "process": "T046",  # pathologic function
    "symptom": "T184",
    "injury": "T037",
    "neoplasm": "T191",
    "modality": "T060",  # diagnostic procedure
    "procedure": "T061",  # therapeutic or preventive procedure
    "device": "T074",
    "agent": "T130",  # diagnostic aid, such as a contrast agent
}
ABNORMAL = frozenset(KINDS[kind] for kind in ("finding", "disease", "process", "symptom", "injury", "neoplasm"))
_ID = re.compile(r"RADB:\d{4}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A concept of the lexicon. ``strings`` starts with its name; ``type`` is a UMLS semantic type."""

    id: str
    type: str
    strings: tuple[str, ...]


def load(path: Path = PATH) -> list[Entry]:
    """The entries of a lexicon file. Raises :class:`DataError` naming the row."""
    entries: list[Entry] = []
    seen: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        fields = line.split("\t")
        where = f"'{path.name}', row {number}"
        if len(fields) != 4 or not _ID.fullmatch(fields[0]) or not fields[2]:
            raise DataError(f"{where}: {line!r}, expected RADB:0000, kind, name, other names between tabs")
        if fields[1] not in KINDS:
            raise DataError(f"{where}: kind {fields[1]!r}, expected one of {', '.join(KINDS)}")
        if fields[0] in seen:
            raise DataError(f"{where}: identifier {fields[0]} is used twice")
        seen.add(fields[0])
        others = tuple(filter(None, fields[3].split("|")))
        entries.append(Entry(fields[0], KINDS[fields[1]], (fields[2], *others)))
    return entries
