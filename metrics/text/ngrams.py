"""n-gram counts of a batch of text pairs, all orders from one sort.

Every position of every text becomes one int64: pair number, up to four tokens (numbered within the block), side. Sorted
once, the n-grams of each order are runs of equal prefixes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from radbench.statistics import Floats

PACKED = 4  # orders held by one integer
_PAD = "\0" * (PACKED - 1)
_BITS = 63


@dataclass(frozen=True, slots=True)
class Order:
    """The distinct n-grams of one order: the pair they occur in, how often on either side, and their tokens."""

    pair: np.ndarray  # (g,) int64, ascending
    hypothesis: np.ndarray  # (g,) int64 counts
    reference: np.ndarray  # (g,) int64 counts
    tokens: np.ndarray  # (g, n) uint32 characters of the vocabulary


@dataclass(frozen=True, slots=True)
class Block:
    """The n-grams of consecutive pairs, sorted; ``first`` is the number of the first pair."""

    first: int
    keys: np.ndarray  # (positions,) int64, sorted
    bits: int  # of a token
    orders: int  # tokens a key holds
    characters: np.ndarray  # (v + 1,) uint32: block token -> character of the vocabulary

    def runs(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Prefix, pair, and counts on either side of each distinct n-gram of order ``n``."""
        prefix = self.keys >> (1 + self.bits * (self.orders - n))
        whole = (prefix & ((1 << self.bits) - 1)) != 0  # a text's last positions have no n tokens left
        prefix, side = prefix[whole], self.keys[whole] & 1
        if not len(prefix):
            none = np.zeros(0, np.int64)
            return none, none, none, none
        starts = np.flatnonzero(np.concatenate(([True], prefix[1:] != prefix[:-1])))
        reference = np.add.reduceat(side, starts)
        size = np.diff(np.append(starts, len(prefix)))
        prefix = prefix[starts]
        return prefix, prefix >> (self.bits * n), size - reference, reference

    def matches(self, n: int) -> Floats:
        """Clipped matches of order ``n`` by pair of the block, up to the last pair that has an n-gram."""
        _, pair, hypothesis, reference = self.runs(n)
        return np.bincount(pair, np.minimum(hypothesis, reference)).astype(np.float64)

    def order(self, n: int) -> Order:
        prefix, pair, hypothesis, reference = self.runs(n)
        shifts = self.bits * np.arange(n - 1, -1, -1)
        local = (prefix[:, None] >> shifts) & ((1 << self.bits) - 1)
        return Order(pair, hypothesis, reference, self.characters[local])


@dataclass(frozen=True, slots=True)
class Loose:
    """One pair whose words are too many for packed keys: the same answers, from plain counting."""

    first: int
    hypothesis: str
    reference: str

    def matches(self, n: int) -> Floats:
        return np.array([clipped_count(self.hypothesis, [self.reference], n)], dtype=np.float64)

    def order(self, n: int) -> Order:
        said, true = counted(self.hypothesis, n), counted(self.reference, n)
        grams = list(said | true)
        tokens = np.array([[ord(c) for c in gram] for gram in grams], np.uint32).reshape(-1, n)
        sides = [np.array([side[g] for g in grams], np.int64) for side in (said, true)]
        return Order(np.zeros(len(grams), np.int64), sides[0], sides[1], tokens)


def blocks(hypotheses: Sequence[str], references: Sequence[str], orders: int, first: int = 0) -> list[Block | Loose]:
    """Encoded pairs as sorted blocks; a block whose vocabulary does not fit into 63 bits is halved, down to one pair."""
    texts = [text for pair in zip(hypotheses, references, strict=True) for text in pair]
    joined = np.frombuffer((_PAD.join(texts) + _PAD).encode("utf-32-le"), np.uint32)
    used = np.zeros(int(joined.max(initial=0)) + 1, bool)
    used[joined] = True
    used[0] = True
    characters = np.flatnonzero(used)
    bits = max(1, (len(characters) - 1).bit_length())
    if orders * bits + max(1, (len(hypotheses) - 1).bit_length()) + 1 > _BITS:
        if len(hypotheses) < 2:
            return [Loose(first, hypotheses[0], references[0])]
        half = len(hypotheses) // 2
        return [
            *blocks(hypotheses[:half], references[:half], orders, first),
            *blocks(hypotheses[half:], references[half:], orders, first + half),
        ]
    local = (np.cumsum(used) - 1)[joined]
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    text = np.repeat(np.arange(len(texts)), lengths + len(_PAD))
    starts = np.flatnonzero(local)
    key = text[starts] >> 1
    for offset in range(orders):
        key = key << bits | local[starts + offset]
    keys = np.sort(key << 1 | (text[starts] & 1))
    return [Block(first, keys, bits, orders, characters.astype(np.uint32))]


def clipped_matches(hypotheses: Sequence[str], references: Sequence[str], orders: int) -> Floats:
    """(n, orders) clipped n-gram matches of encoded pairs: each hypothesis n-gram counts as often as the reference has it."""
    out = np.zeros((len(hypotheses), orders))
    if not len(hypotheses):
        return out
    found = (
        blocks(hypotheses, references, orders)
        if orders <= PACKED
        else list(map(Loose, count(), hypotheses, references))
    )
    for block in found:
        for n in range(1, orders + 1):
            matches = block.matches(n)
            out[block.first : block.first + len(matches), n - 1] = matches
    return out


def clipped_count(hypothesis: Sequence[str], references: Sequence[Sequence[str]], n: int) -> int:
    """Clipped matches of order ``n`` against several references: at most as often as in the one that has most."""
    if len(hypothesis) < n:
        return 0
    best: Counter[tuple[str, ...]] = Counter()
    for reference in references:
        best |= counted(reference, n)
    return (counted(hypothesis, n) & best).total()


def counted(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """How often each n-gram occurs."""
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))
