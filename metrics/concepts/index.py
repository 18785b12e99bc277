"""A dictionary of terms in memory-mapped arrays: a token trie whose nodes are sorted 64-bit hashes.

A term is the sequence of its normal tokens (:mod:`radbench.metrics.concepts.normal`). Every prefix of every term is a
node, found by the hash of its token sequence in ``nodes``; ``buckets`` says where the hashes with the same leading bits
start, so that a look-up reads a few numbers whatever the size. Hashes are compared in full and the strings are not: of
ten million nodes, a sequence that is none is taken for one with probability 5e-13.

Arrays are mapped, and strings read when they are needed. Loading only checks that no number points outside its array,
which takes well under a second for five million terms. Files are little-endian.
"""

from __future__ import annotations

import json
import os
import struct
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from radbench.metrics.concepts.normal import RULES, extend, token_hash, tokens

from radbench.errors import DataError

FORMAT = 1
ARRAYS = {
    "nodes": np.uint64,  # (n,) sorted hashes of all prefixes of all terms
    "starts": np.uint32,  # (n + 1,) entries of node i are starts[i] to starts[i + 1]
    "longer": np.uint8,  # (n,) 1 where a longer term goes through the node
    "buckets": np.uint32,  # (2**bits + 1,) first node of each leading bit pattern
    "entries": np.uint32,  # (e,) the term, best first within a node
    "concepts": np.uint32,  # (t,) the concept of a term
    "offsets": np.uint64,  # (t + 1,) where its string starts in text
    "text": np.uint8,  # all strings, UTF-8
    "ids": np.bytes_,  # (c,) identifiers of the concepts
    "kinds": np.uint16,  # (c,) row of the table of semantic types in meta.json
}
Arrays = Mapping[str, NDArray[Any]]
_REMEDY = "build it again: radbench fetch umls --mrconso FILE --mrsty FILE"
_READ = 1 << 18  # numbers read at a time by the checks, so that they leave nothing in memory


class Concept(NamedTuple):
    """A term of the dictionary: its string, the concept's identifier (a CUI where it has one) and semantic types."""

    term: str
    cui: str
    types: tuple[str, ...]


@dataclass(frozen=True)
class Meta:
    """What is said of a dictionary: it decides what is found, so name, version, digest and size enter signatures."""

    name: str
    version: str
    terms: int  # strings with their concept
    keys: int  # different strings after normalisation
    concepts: int
    left_out: int  # strings without a token, or with more than max_tokens
    max_tokens: int
    types: tuple[tuple[str, ...], ...]
    digest: str
    source: str = ""
    format: int = FORMAT
    rules: int = RULES


class _Strings:
    """The strings of the terms, in memory or read from their files at need.

    Reading instead of mapping keeps them out of resident memory: around each page that a mapping touches the kernel keeps
    sixteen, and random reads soon make the whole file resident. Each string is read once.
    """

    def __init__(self, offsets: NDArray[Any], text: NDArray[Any]) -> None:
        self._memory = offsets, text
        self._files: tuple[tuple[int, int], tuple[int, int]] | None = None
        if isinstance(offsets, np.memmap) and isinstance(text, np.memmap):
            self._files = self._opened(offsets), self._opened(text)

    def _opened(self, array: np.memmap[Any, Any]) -> tuple[int, int]:
        descriptor = os.open(str(array.filename), os.O_RDONLY)
        weakref.finalize(self, os.close, descriptor)
        return descriptor, array.offset

    def __getitem__(self, term: int) -> str:
        if self._files is None:
            offsets, text = self._memory
            return text[offsets[term] : offsets[term + 1]].tobytes().decode("utf-8")
        (offsets_file, offsets_at), (text_file, text_at) = self._files
        start, end = struct.unpack("<QQ", os.pread(offsets_file, 16, offsets_at + 8 * term))
        return os.pread(text_file, end - start, text_at + start).decode("utf-8")


class Index:
    """A dictionary, from :func:`radbench.metrics.concepts.build.build` or from a folder by :meth:`load`."""

    def __init__(self, arrays: Arrays, meta: Meta) -> None:
        self.meta = meta
        self.arrays = arrays
        self._strings = _Strings(arrays["offsets"], arrays["text"])
        # memoryview: an item costs a third of what a numpy scalar costs
        self._nodes, self._starts, self._longer, self._buckets, self._entries, self._concepts = (
            memoryview(np.asarray(arrays[name]).data) for name in list(ARRAYS)[:6]
        )
        self._ids, self._kinds = np.asarray(arrays["ids"]), np.asarray(arrays["kinds"])
        self._shift = 64 - (len(arrays["buckets"]) - 1).bit_length() + 1

    @classmethod
    def load(cls, folder: str | Path) -> Index:
        """A stored dictionary, memory-mapped. Raises :class:`DataError` where the folder holds none that fits."""
        folder = Path(folder)
        meta = _load_meta(folder / "meta.json")
        arrays = {name: _load_array(folder / f"{name}.npy", kind) for name, kind in ARRAYS.items()}
        _check(arrays, meta, folder)
        return cls(arrays, meta)

    def save(self, folder: Path) -> None:
        """Write the dictionary to an existing, empty folder; ``meta.json`` last."""
        for name, kind in ARRAYS.items():
            array = self.arrays[name]
            np.save(folder / f"{name}.npy", array if name == "ids" else array.astype(kind, copy=False))
        (folder / "meta.json").write_text(json.dumps(asdict(self.meta), indent=1), encoding="utf-8")

    @property
    def label(self) -> str:
        """Name, version, digest and size, for signatures: ``hpo+radiology@2025-01-16:1c0e42ab9d10:61234``."""
        return f"{self.meta.name}@{self.meta.version}:{self.meta.digest}:{self.meta.terms}"

    def node(self, sequence: int) -> int:
        """The number of the node with this hash, or -1."""
        bucket = sequence >> self._shift
        nodes = self._nodes
        for i in range(self._buckets[bucket], self._buckets[bucket + 1]):
            if nodes[i] == sequence:
                return i
        return -1

    def goes_on(self, node: int) -> bool:
        """Whether a longer term goes through a node."""
        return self._longer[node] == 1

    def concepts_at(self, node: int) -> list[Concept]:
        """The concepts of the term that ends at a node: preferred names first, then by identifier."""
        return [self._concept(self._entries[i]) for i in range(self._starts[node], self._starts[node + 1])]

    def lookup(self, term: str) -> list[Concept]:
        """The concepts of which the whole string is a term, in any of its spellings; best first."""
        found = 0
        for token in tokens(term):
            found = extend(found, token_hash(token))
        node = self.node(found)
        return self.concepts_at(node) if node >= 0 else []

    def _concept(self, term: int) -> Concept:
        concept = self._concepts[term]
        cui = self._ids[concept].decode("utf-8")
        return Concept(self._strings[term], cui, self.meta.types[int(self._kinds[concept])])


def _load_meta(path: Path) -> Meta:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"no dictionary in '{path.parent}': {path.name} is missing", remedy=_REMEDY) from error
    except (OSError, ValueError) as error:  # no folder at all, broken JSON
        raise DataError(f"'{path}' cannot be read: {error}", remedy=_REMEDY) from error
    if not isinstance(stored, dict) or (stored.get("format"), stored.get("rules")) != (FORMAT, RULES):
        raise DataError(f"'{path}' is of another format, expected format {FORMAT}, rules {RULES}", remedy=_REMEDY)
    kinds = {"int": int, "str": str}
    wrong = sorted(stored.keys() ^ {f.name for f in fields(Meta)})
    wrong += [f.name for f in fields(Meta) if f.type in kinds and type(stored.get(f.name)) is not kinds[str(f.type)]]
    types = stored.get("types")
    if not isinstance(types, list) or not all(
        isinstance(row, list) and all(isinstance(t, str) for t in row) for row in types
    ):
        wrong.append("types")
    if wrong:
        raise DataError(f"'{path}' is damaged: {wrong[0]} is missing, unknown or of another kind", remedy=_REMEDY)
    return Meta(**{**stored, "types": tuple(map(tuple, stored["types"]))})


def _load_array(path: Path, kind: Any) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"no dictionary in '{path.parent}': {path.name} is missing", remedy=_REMEDY) from error
    except (OSError, ValueError, EOFError) as error:  # empty, cut short, or no array at all
        raise DataError(f"'{path}' cannot be read: {error}", remedy=_REMEDY) from error
    expected = np.dtype(kind)
    if array.ndim != 1 or (array.dtype.kind != "S" if expected.kind == "S" else array.dtype != expected):
        raise DataError(
            f"'{path}' holds {array.ndim}-dimensional {array.dtype}, expected a list of {expected}", remedy=_REMEDY
        )
    return array


def _check(arrays: Arrays, meta: Meta, folder: Path) -> None:
    """Whether the arrays fit together, so that a search never looks outside one. Raises :class:`DataError`."""

    def fail(name: str, what: str) -> None:
        raise DataError(f"'{folder / name}.npy' does not fit the rest of the dictionary: {what}", remedy=_REMEDY)

    size = {name: len(array) for name, array in arrays.items()}
    nodes, terms, buckets = size["nodes"], meta.terms, size["buckets"] - 1
    lengths = {"starts": nodes + 1, "longer": nodes, "concepts": terms, "offsets": terms + 1}
    lengths |= {"ids": meta.concepts, "kinds": meta.concepts, "buckets": 1 << max(1, buckets.bit_length() - 1) | 1}
    for name, expected in lengths.items():
        if size[name] != expected:
            fail(name, f"{size[name]} numbers, expected {expected}")
    targets = {"starts": "entries", "offsets": "text", "buckets": "nodes"}
    for name, target in targets.items():
        if arrays[name][-1] != size[target] or _maximum(arrays[name]) > size[target]:
            fail(name, f"it points outside {target}")
    below = {"entries": terms, "concepts": meta.concepts, "kinds": len(meta.types)}
    for name, limit in below.items():
        if _maximum(arrays[name]) >= limit:
            fail(name, f"{_maximum(arrays[name])} is above {limit - 1}")


def _maximum(array: NDArray[Any]) -> int:
    """The largest number, read from the file where there is one: a mapping would keep all of it in memory."""
    if not isinstance(array, np.memmap):
        return int(array.max(initial=0))
    largest = 0
    with open(str(array.filename), "rb") as file:
        file.seek(array.offset)
        while len(part := np.fromfile(file, array.dtype, _READ)):
            largest = max(largest, int(part.max()))
    return largest
