"""Building a dictionary: strings with their concepts to the arrays of :class:`radbench.metrics.concepts.index.Index`.

Five million strings take well under a minute on one core: a token is normalised and hashed once, and what is done per term
is done for all terms at once, token by token.
"""

from __future__ import annotations

import shutil
import tempfile
from array import array
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from radbench.metrics.concepts.index import Arrays, Index, Meta
from radbench.metrics.concepts.normal import MULTIPLIER, SHIFT, TOKEN, TokenHashes

from radbench.errors import DataError

MAX_TOKENS = 8
Hashes = NDArray[np.uint64]


class Term(NamedTuple):
    """A string of a concept. ``rank`` orders concepts that share a string: the lowest is the one that is found."""

    text: str
    concept: str
    rank: int = 1


def build(
    terms: Iterable[Term | tuple[str, str, int]],
    types: Mapping[str, Iterable[str]],
    name: str,
    version: str,
    max_tokens: int = MAX_TOKENS,
    source: str = "",
) -> Index:
    """A dictionary of ``(text, concept, rank)`` terms.

    ``types`` holds the semantic types of a concept; one that is not in it has none. A term "effusion, pleural" is also
    found as "pleural effusion". Strings without a token or with more than ``max_tokens`` are left out and counted.
    Raises :class:`DataError` where no term is left.
    """
    read = _Read()
    read.add(terms, max_tokens)
    if not read.lengths:
        raise DataError(f"dictionary '{name}': no term was given", remedy="check the filters of the source")
    arrays, keys = read.arrays()
    table: dict[tuple[str, ...], int] = {}
    kinds = [table.setdefault(tuple(sorted(types.get(c, ()))), len(table)) for c in read.concepts]
    arrays["kinds"] = np.array(kinds, dtype=np.uint16)
    digest = blake2b(digest_size=6)
    for part in ("nodes", "starts", "entries", "concepts", "offsets", "text", "ids", "kinds"):
        digest.update(np.ascontiguousarray(arrays[part]).view(np.uint8).data)
    digest.update(repr(list(table)).encode())
    return Index(
        arrays,
        Meta(
            name=name, version=version, terms=len(read.term_concept), keys=keys, concepts=len(read.concepts),
            left_out=read.left_out, max_tokens=max_tokens, types=tuple(table), digest=digest.hexdigest(), source=source,
        ),
    )  # fmt: skip


def write(index: Index, folder: str | Path, replace: bool = True) -> Path:
    """Store a dictionary under ``folder`` so that no reader ever sees half of one. Returns the folder.

    An older dictionary there is replaced, or kept where ``replace`` is False; any other content raises
    :class:`DataError`.
    """
    folder = Path(folder).expanduser()
    if folder.exists() and any(folder.iterdir()):
        if not (folder / "meta.json").exists():
            raise DataError(f"'{folder}' holds something that is no dictionary", remedy="name an empty or new folder")
        if not replace:
            return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        index.save(temporary)
        temporary.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


class _Read:
    """Terms as they come: hashes of all tokens in one array, strings in another."""

    def __init__(self) -> None:
        self.left_out = 0
        self.concepts: dict[str, int] = {}
        self.flat, self.lengths = array("Q"), array("B")
        self.entry_term, self.entry_rank = array("I"), array("B")
        self.term_concept, self.term_length = array("I"), array("I")
        self.text = bytearray()

    def add(self, terms: Iterable[tuple[str, str, int]], max_tokens: int) -> None:
        """Read all terms. One loop over local names: it runs five million times."""
        hash_of, find, concepts = TokenHashes().__getitem__, TOKEN.findall, self.concepts
        flat, length, ranks = self.flat.extend, self.lengths.append, self.entry_rank.append
        entry, concept_of, size = self.entry_term.append, self.term_concept.append, self.term_length.append
        number = 0
        for text, concept, rank in terms:
            key = list(map(hash_of, find(text)))
            if 0 in key:
                key = [h for h in key if h]
            if not 0 < len(key) <= max_tokens:
                self.left_out += 1
                continue
            flat(key)
            length(len(key))
            ranks(rank)
            entry(number)
            if "," in text:
                turned = [h for h in map(hash_of, find(" ".join(reversed(text.split(","))))) if h]
                if turned != key:
                    flat(turned)
                    length(len(turned))
                    ranks(rank)
                    entry(number)
            encoded = text.encode("utf-8", "replace")
            self.text += encoded
            size(len(encoded))
            concept_of(concepts.setdefault(concept, len(concepts)))
            number += 1

    def arrays(self) -> tuple[dict[str, NDArray[Any]], int]:
        """The arrays of the index, without ``kinds``, and the number of different keys."""
        keys, strict = _sequence_hashes(np.frombuffer(self.flat, np.uint64), np.frombuffer(self.lengths, np.uint8))
        ids = np.array([c.encode() for c in self.concepts])
        by_id = np.empty(len(ids), dtype=np.uint32)
        by_id[np.argsort(ids, kind="stable")] = np.arange(len(ids), dtype=np.uint32)
        terms = np.frombuffer(self.entry_term, np.uint32)
        concepts = np.frombuffer(self.term_concept, np.uint32)
        best = _best_first(keys, np.frombuffer(self.entry_rank, np.uint8), by_id[concepts[terms]])
        keys, terms = keys[best], terms[best]
        nodes = _unique(np.concatenate([keys, strict]))
        longer = np.zeros(len(nodes), dtype=np.uint8)
        longer[np.searchsorted(nodes, strict)] = 1
        counts = np.bincount(np.searchsorted(nodes, keys), minlength=len(nodes))
        lengths = np.frombuffer(self.term_length, np.uint32)
        return {
            "nodes": nodes,
            "starts": np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32),
            "longer": longer,
            "buckets": _buckets(nodes),
            "entries": terms,
            "concepts": concepts,
            "offsets": np.concatenate([[0], np.cumsum(lengths, dtype=np.uint64)]).astype(np.uint64),
            "text": np.frombuffer(self.text, np.uint8),
            "ids": ids,
        }, int(np.count_nonzero(counts))


def _sequence_hashes(flat: Hashes, lengths: NDArray[np.uint8]) -> tuple[Hashes, Hashes]:
    """The hash of each token sequence, and the sorted hashes of all their strict prefixes."""
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    found = np.zeros(len(lengths), dtype=np.uint64)
    prefixes = [np.empty(0, dtype=np.uint64)]
    rows = np.arange(len(lengths))
    for k in range(int(lengths.max())):
        rows = rows[lengths[rows] > k]
        mixed = (found[rows] + flat[starts[rows] + k]) * np.uint64(MULTIPLIER)  # wraps at 64 bits, as extend() does
        found[rows] = mixed ^ (mixed >> np.uint64(SHIFT))
        prefixes.append(_unique(found[rows[lengths[rows] > k + 1]]))
    return found, _unique(np.concatenate(prefixes))


def _unique(hashes: Hashes) -> Hashes:
    """Sorted distinct values. numpy.unique hashes first, which costs ten times as much on distinct 64-bit numbers."""
    hashes = np.sort(hashes)
    return hashes[_changes(hashes)]


def _changes(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a value differs from the one before."""
    new = np.ones(len(values), dtype=bool)
    new[1:] = values[1:] != values[:-1]
    return new


def _best_first(keys: Hashes, ranks: NDArray[np.uint8], concepts: NDArray[np.uint32]) -> NDArray[np.int64]:
    """An order of the entries by key, then rank, then concept, with each concept once a key."""
    order = np.argsort(keys)
    new = _changes(keys[order])
    several = ~new | np.append(~new[1:], False)  # most keys have one entry: only the others are looked at again
    rows = order[several]
    rows = rows[np.lexsort((ranks[rows], concepts[rows], keys[rows]))]
    rows = rows[_changes(keys[rows]) | _changes(concepts[rows])]
    rows = rows[np.lexsort((concepts[rows], ranks[rows], keys[rows]))]
    order = np.concatenate([order[~several], rows])
    return order[np.argsort(keys[order], kind="stable")]


def _buckets(nodes: Hashes) -> NDArray[np.uint32]:
    """Where the hashes of each leading bit pattern start; about one hash a pattern."""
    bits = max(1, (len(nodes) - 1).bit_length() - 1)
    leading = (nodes >> np.uint64(64 - bits)).astype(np.int64)
    return np.concatenate([[0], np.cumsum(np.bincount(leading, minlength=1 << bits))]).astype(np.uint32)


__all__ = ["MAX_TOKENS", "Arrays", "Term", "build", "write"]
