"""A dictionary from the MRCONSO.RRF and MRSTY.RRF files of a UMLS release, which its user has licensed.

Source of the columns: UMLS Reference Manual, chapter 3, "Metathesaurus - Rich Release Format (RRF)".
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

from radbench.metrics.concepts.build import build, write
from radbench.metrics.concepts.index import Index

from radbench.caches import cache_root
from radbench.errors import DataError

_CONSO_COLUMNS, _STY_COLUMNS = 18, 6
_CUI, _LANGUAGE, _PREFERRED, _SOURCE, _STRING, _SUPPRESSED = 0, 1, 6, 11, 14, 16
_CUI_FORM, _TUI_FORM = re.compile(r"C\d{7}"), re.compile(r"T\d{3}")


def default_folder() -> Path:
    """Where ``radbench fetch umls`` puts the dictionary of a licensed release."""
    return cache_root() / "umls"


def build_from_rrf(
    mrconso: str | Path,
    mrsty: str | Path,
    out: str | Path | None = None,
    languages: Collection[str] = ("ENG",),
    sources: Collection[str] | None = None,
    semantic_types: Collection[str] | None = None,
    suppressible: bool = True,
    name: str = "umls",
    version: str = "",
) -> Index:
    """Build the dictionary of a UMLS release and store it under ``out`` (default :func:`default_folder`).

    ``languages`` (column LAT), ``sources`` (SAB; None: all) and ``semantic_types`` (TUI; None: all) select rows;
    ``suppressible=False`` leaves out rows whose column SUPPRESS is not N. QuickUMLS selects by language alone. Files
    ending in ``.gz`` are read as they are. Raises :class:`DataError` naming file, row and expectation, and nothing of the
    row itself, as its text is licensed.
    """
    types = _types(Path(mrsty))
    accepted = None
    if semantic_types is not None:
        wanted = set(semantic_types)
        accepted = {cui for cui, tuis in types.items() if not wanted.isdisjoint(tuis)}
    terms = _strings(
        Path(mrconso), frozenset(languages), None if sources is None else frozenset(sources), suppressible, accepted
    )
    index = build(terms, types, name, version or "unversioned", source=f"{Path(mrconso).name}, {Path(mrsty).name}")
    write(index, default_folder() if out is None else out)
    return index


def _lines(path: Path, columns: int) -> Iterator[list[str]]:
    """The fields of each row of a file; every field ends with a bar, as the release format has it."""
    if not path.is_file():
        raise DataError(f"'{path}' does not exist", remedy="give the RRF file of your UMLS release")
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        try:
            for number, line in enumerate(file, 1):
                fields = line.split("|")
                if len(fields) != columns + 1:
                    raise DataError(
                        f"'{path}', row {number}: {len(fields) - 1} columns, expected {columns} ended by '|' each",
                        remedy=f"expected the {path.name.split('.')[0]} file of a UMLS release in Rich Release Format",
                    )
                yield fields
        except UnicodeDecodeError as error:
            raise DataError(f"'{path}' is not UTF-8: {error}", remedy="give the file as released") from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(
                f"'{path}' is cut short or damaged: {error}", remedy="copy or download the file again"
            ) from error


def _types(path: Path) -> dict[str, tuple[str, ...]]:
    """The semantic types of each concept."""
    types: dict[str, tuple[str, ...]] = {}
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}  # a few hundred combinations for millions of concepts
    for number, fields in enumerate(_lines(path, _STY_COLUMNS), 1):
        found = (*types.get(fields[0], ()), fields[1])
        known = shared.get(found)
        if known is None:
            if not _TUI_FORM.fullmatch(fields[1]):
                raise DataError(f"'{path}', row {number}: no semantic type in column 2, expected one like T047")
            known = shared[found] = found
        types[fields[0]] = known
    return types


def _strings(
    path: Path,
    languages: frozenset[str],
    sources: frozenset[str] | None,
    suppressible: bool,
    accepted: set[str] | None,
) -> Iterator[tuple[str, str, int]]:
    """(string, CUI, rank) of the selected rows."""
    before = ""
    for number, fields in enumerate(_lines(path, _CONSO_COLUMNS), 1):
        cui = fields[_CUI]
        if (
            fields[_LANGUAGE] not in languages
            or (sources is not None and fields[_SOURCE] not in sources)
            or not (suppressible or fields[_SUPPRESSED] == "N")
        ):
            continue
        if cui != before:
            if not _CUI_FORM.fullmatch(cui):
                raise DataError(f"'{path}', row {number}: no CUI in column 1, expected one like C0000001")
            before = cui
        if accepted is None or cui in accepted:
            yield fields[_STRING], cui, 0 if fields[_PREFERRED] == "Y" else 1
    if not before:
        chosen = f"language {', '.join(sorted(languages))}"
        chosen += f" and source {', '.join(sorted(sources))}" if sources is not None else ""
        raise DataError(
            f"'{path}' holds no row of {chosen}",
            remedy="check languages and sources against columns 2 and 12 of the file",
        )
