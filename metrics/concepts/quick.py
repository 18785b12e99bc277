"""Using the QuickUMLS package: its folder, its tokeniser and its matches.

Source: quickumls 1.4.2, ``QuickUMLS.match``; Soldaini and Goharian, "QuickUMLS: a fast, unsupervised approach for medical
concept extraction", MedIR 2016.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from radbench.metrics.concepts.search import Match

_FILES = ("umls-simstring.db", "cui-semtypes.db")
_FLAGS = ("language.flag", "lowercase.flag", "normalize-unicode.flag", "database_backend.flag")


class Matcher(Protocol):
    nlp: Any  # the spaCy pipeline

    def match(self, text: str) -> list[list[dict[str, Any]]]: ...


def unavailable(folder: str, pipeline: str) -> str | None:
    """None, or what is missing and the command that brings it. Nothing is downloaded."""
    if find_spec("quickumls") is None or find_spec("spacy") is None:
        return "the package quickumls is not installed: pip install 'radbench[clinical]'"
    if not folder:
        return "extractor=quickumls needs folder=DIR: python -m quickumls.install UMLS_DIR DIR -L -U, on a licensed release"
    if not all((Path(folder).expanduser() / name).is_dir() for name in _FILES):
        return f"'{folder}' is no QuickUMLS folder: python -m quickumls.install UMLS_DIR {folder} -L -U, on a licensed release"
    if not pipeline.startswith("blank:") and not Path(pipeline).is_dir() and not _installed(pipeline):
        return f"the spaCy model {pipeline} is not installed: python -m spacy download {pipeline}, or use pipeline=blank:en"
    if not _has_stopwords():
        return "NLTK's stop words, which QuickUMLS reads, are not there: python -m nltk.downloader stopwords"
    return None


def _installed(name: str) -> bool:
    return name.isidentifier() and find_spec(name) is not None


def _has_stopwords() -> bool:
    import nltk

    try:
        nltk.data.find("corpora/stopwords")
    except LookupError:
        return False
    return True


def matcher(folder: str, pipeline: str, **options: Any) -> Matcher:
    """A QuickUMLS matcher over ``folder`` whose tokens come from ``pipeline`` (a spaCy model, or ``blank:<language>``)."""
    import spacy
    from quickumls import QuickUMLS

    # As a component QuickUMLS loads no model of its own; the one we pin is what match() then calls.
    found: Matcher = QuickUMLS(str(Path(folder).expanduser()), spacy_component=True, **options)
    kind, _, language = pipeline.partition(":")
    found.nlp = spacy.blank(language) if kind == "blank" else spacy.load(pipeline)
    return found


def extract(found: Matcher, text: str) -> list[Match]:
    """The best candidate of each match, in the order of the text."""
    best = (candidates[0] for candidates in found.match(text))
    return sorted(
        Match(
            m["start"], m["end"], m["ngram"], m["term"], m["cui"], tuple(sorted(m["semtypes"])), float(m["similarity"])
        )
        for m in best
    )


def label(folder: str) -> str:
    """A digest of a folder's term file and flags: 12 hex digits that name the dictionary in signatures."""
    root = Path(folder).expanduser()
    digest = blake2b(digest_size=6)
    for path in (*sorted(p for p in (root / _FILES[0]).iterdir() if p.is_file()), *(root / f for f in _FLAGS)):
        stat = path.stat() if path.exists() else None
        digest.update(f"{path.name}:{None if stat is None else stat.st_size};".encode())
        if stat is not None:
            with path.open("rb") as file:
                digest.update(file.read(1 << 22))
    return digest.hexdigest()


def pipeline_label(pipeline: str) -> str:
    """Name and version of a spaCy pipeline, without the folder it lies in."""
    from radbench.metrics.concepts.default import package

    if pipeline.startswith("blank:"):
        return f"{pipeline.replace(':', '-')}-{package('spacy')}"
    path = Path(pipeline)
    if path.is_dir():
        import json

        meta = path / "meta.json"
        stored = json.loads(meta.read_text(encoding="utf-8")) if meta.is_file() else {}
        return f"{stored.get('lang', '')}_{stored.get('name', path.name)}-{stored.get('version', 'unknown')}"
    return f"{pipeline}-{package(pipeline)}"


def write_folder(terms: Iterable[tuple[str, str, int]], types: Mapping[str, Iterable[str]], folder: Path) -> None:
    """Write ``(text, concept, rank)`` terms as a QuickUMLS folder, lower-cased and in ASCII (its flags -L -U).

    For comparing extractors on one dictionary without the installer, which asks on standard input and may download.
    """
    from quickumls.install import parse_and_encode_ngrams
    from unidecode import unidecode

    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "language.flag": "ENG",
        "database_backend.flag": "unqlite",
        "lowercase.flag": "",
        "normalize-unicode.flag": "",
    }
    for name, content in contents.items():
        (folder / name).write_text(content)
    seen: set[tuple[str, str]] = set()
    rows = []
    for text, concept, rank in terms:
        plain = unidecode(text.strip().lower())
        if (concept, plain) not in seen:
            seen.add((concept, plain))
            rows.append((plain, concept, list(types.get(concept, ())) or ["T033"], int(rank == 0)))
    parse_and_encode_ngrams(rows, str(folder / _FILES[0]), str(folder / _FILES[1]), database_backend="unqlite")
