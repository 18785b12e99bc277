"""WordNet 3.0 from its database files: synonym sets for METEOR, noun lemmas for MultiMedEval 0.1.0.

The files are ``{index,data}.{noun,verb,adj,adv}`` and ``*.exc`` as described in wndb(5WN), from Debian's packages
``wordnet-base`` and ``wordnet-sense-index`` or from NLTK's data. What is found for a word equals NLTK 3.10.4
(``WordNetCorpusReader.synsets`` and ``WordNetLemmatizer``), which reads all files into memory in seconds; here they are
mapped, and a word costs a few look-ups.
"""

from __future__ import annotations

import mmap
import os
import re
import sys
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path

from radbench.errors import ConfigError, DataError

_SUFFIX = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
# (ending, what replaces it), tried in this order: morphy(7WN), with NLTK's additional "ves" -> "f".
_ENDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "n": (
        ("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"),
        ("ies", "y"),
    ),
    "v": (
        ("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""),
    ),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "r": (),
}  # fmt: skip
VERSION = "3.0"
_FILES = tuple(f"{kind}.{suffix}" for kind in ("index", "data") for suffix in _SUFFIX.values()) + tuple(
    f"{suffix}.exc" for suffix in _SUFFIX.values()
)
_KEY = re.compile(r"[!-~]+")  # a word as the index files spell it: ASCII without white space
_STEP = 2048  # bytes between the index lines whose words are held in memory
_CACHED = 16384  # words whose synonyms are kept, about 30 MB at most
_LONG = 128  # characters: longer words are looked up anew rather than kept
REMEDY = "apt-get install wordnet-base wordnet-sense-index, or radbench fetch nltk"


def nltk_data() -> list[Path]:
    """Where NLTK looks for its data by default: ``NLTK_DATA``, the home, the environment's and the system's folders."""
    named = [Path(p) for p in os.environ.get("NLTK_DATA", "").split(os.pathsep) if p]
    roots = [Path.home(), *(Path(sys.prefix, part) for part in ("", "share", "lib"))]
    roots += [Path(p) for p in ("/usr/share", "/usr/local/share", "/usr/lib", "/usr/local/lib")]
    return [*named, *(root / "nltk_data" for root in roots)]


def folders() -> list[Path]:
    """Where the database may lie: Debian's folder, then NLTK's data."""
    return [Path("/usr/share/wordnet"), *(folder / "corpora" / "wordnet" for folder in nltk_data())]


def find() -> Path | None:
    """The first folder that holds the database files of WordNet 3.0, or None.

    Other releases give other synonyms and lemmas, so they are passed over; :class:`WordNet` opens any.
    """
    whole = (folder for folder in folders() if all((folder / name).is_file() for name in _FILES))
    return next((folder for folder in whole if _release(folder / "data.noun") == VERSION), None)


def unavailable() -> str | None:
    """None, or what is missing and how it comes here."""
    return None if find() else f"the WordNet 3.0 database files are not installed: {REMEDY}"


def _release(path: Path) -> str:
    """The release that a database file names in its licence; ``unknown`` where it names none."""
    with path.open("rb") as f:
        named = re.search(rb"WordNet (\d+(?:\.\d+)*) Copyright", f.read(4096))
    return named.group(1).decode() if named else "unknown"


@cache
def installed() -> WordNet:
    """The database of this machine, opened once. Raises :class:`radbench.errors.ConfigError` where there is none."""
    folder = find()
    if folder is None:
        raise ConfigError("the WordNet 3.0 database files are not installed", remedy=REMEDY)
    return WordNet(folder)


class WordNet:
    """One database folder. Opening maps the files and takes milliseconds. Raises DataError where a file is missing."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        missing = [name for name in _FILES if not (self.folder / name).is_file()]
        if missing:
            raise DataError(f"{self.folder} is no WordNet database: it lacks {', '.join(missing)}", remedy=REMEDY)
        self._index = {pos: _Index(self.folder / f"index.{suffix}") for pos, suffix in _SUFFIX.items()}
        self._data = {pos: _mapped(self.folder / f"data.{suffix}") for pos, suffix in _SUFFIX.items()}
        self._exceptions = {pos: _exceptions(self.folder / f"{suffix}.exc") for pos, suffix in _SUFFIX.items()}
        self._known_synonyms = lru_cache(maxsize=_CACHED)(self._synonyms)
        self._known_lemmas = lru_cache(maxsize=_CACHED)(self._shortest_lemma)

    @property
    def version(self) -> str:
        """The release the files name in their licence, such as ``3.0``; ``unknown`` where they name none."""
        return _release(self.folder / "data.noun")

    def synonyms(self, word: str) -> frozenset[str]:
        """Names of all lemmas of all synsets of ``word``, any part of speech; empty where WordNet has none.

        ``word`` is lower-cased and reduced by morphy. Names keep the database's letter case and join the words of a
        compound by ``_``; METEOR leaves those out.
        """
        return (self._known_synonyms if len(word) <= _LONG else self._synonyms)(word)

    def lemmas(self, word: str, pos: str) -> list[str]:
        """All base forms of ``word`` for one part of speech that WordNet lists: morphy. The word's case is kept.

        ``pos``: ``n`` noun, ``v`` verb, ``a`` or ``s`` adjective, ``r`` adverb.
        """
        if pos == "s":  # adjective satellites lie in the adjectives' files
            pos = "a"
        if pos not in _SUFFIX:
            raise ValueError(f"pos is {pos!r}, expected one of n, v, a, s, r")
        index = self._index[pos]
        return [form for form in dict.fromkeys(self._forms(word, pos)) if index.line(form) is not None]

    def lemmatize(self, word: str, pos: str = "n") -> str:
        """The shortest base form of ``word`` (the first of several), or the word itself where WordNet lists none."""
        return (self._known_lemmas if len(word) <= _LONG else self._shortest_lemma)(word, pos)

    def _shortest_lemma(self, word: str, pos: str) -> str:
        return min(self.lemmas(word, pos), key=len, default=word)

    def _forms(self, word: str, pos: str) -> Iterator[str]:
        yield word
        exceptions = self._exceptions[pos].get(word)
        if exceptions is not None:
            yield from exceptions
            return
        for ending, replacement in _ENDINGS[pos]:
            if word.endswith(ending):
                yield word[: -len(ending)] + replacement

    def _synonyms(self, word: str) -> frozenset[str]:
        lowered = word.lower()
        names: set[str] = set()
        for pos, index in self._index.items():
            for form in dict.fromkeys(self._forms(lowered, pos)):
                for offset in index.offsets(form):
                    names.update(self._names(pos, offset))
        return frozenset(names) if names else _NONE

    def _names(self, pos: str, offset: int) -> list[str]:
        """The lemma names of a synset: field 3 of its line counts them (hexadecimal), then (name, id) alternate."""
        data = self._data[pos]
        fields = data[offset : data.find(b" | ", offset)].decode("ascii").split()
        if not fields or fields[0] != f"{offset:08d}":
            raise DataError(f"{self.folder / f'data.{_SUFFIX[pos]}'}: no synset at byte {offset}", remedy=REMEDY)
        return [_unmarked(name) for name in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]


_NONE: frozenset[str] = frozenset()


def _unmarked(name: str) -> str:
    """A lemma name without its syntactic marker: ``galore(ip)`` to ``galore``."""
    return name[: name.rindex("(")] if name.endswith(")") and "(" in name else name


class _Index:
    """One sorted index file: the words of every 2 KiB are held, the line itself is searched in between."""

    def __init__(self, path: Path) -> None:
        self._text = _mapped(path)
        self._starts: list[int] = []
        self._words: list[bytes] = []
        end = self._text.rfind(b"\n") + 1
        position = 0
        while position < end:
            if self._text[position] != ord(" "):  # the licence's lines begin with a space
                self._starts.append(position)
                self._words.append(self._text[position : self._text.find(b" ", position)])
                position += _STEP
            position = self._text.find(b"\n", position) + 1 or end
        self._starts.append(end)

    def line(self, word: str) -> bytes | None:
        """The line of a word after the word itself, or None where the file lists none."""
        if not _KEY.fullmatch(word):
            return None
        key = word.encode("ascii")
        block = bisect_right(self._words, key) - 1
        if block < 0:
            return None
        # The byte before a block is the end of the line before it.
        at = self._text.find(b"\n" + key + b" ", self._starts[block] - 1, self._starts[block + 1])
        return None if at < 0 else self._text[at + len(key) + 2 : self._text.find(b"\n", at + 1)]

    def offsets(self, word: str) -> list[int]:
        """Byte offsets of the word's synsets: ``pos count pointers... senses tagged offset...``."""
        line = self.line(word)
        if line is None:
            return []
        fields = line.split()
        return [int(field) for field in fields[-int(fields[1]) :]]


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as f:
        return mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)


def _exceptions(path: Path) -> dict[str, list[str]]:
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {terms[0]: terms[1:] for terms in lines if terms}
