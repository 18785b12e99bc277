"""CIDEr (Vedantam et al. 2015) as pycocoevalcap 1.2 computes it (the CIDEr-D form: clipped, with a length penalty).

n-grams of order 1 to 4 are weighted by tf-idf, the document frequencies coming from the references of the whole task,
frozen when it is fitted. Over fewer references than the task has, CIDEr is another number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any

import numpy as np
from radbench.metrics.base import Card, Mean, State, one_of, references
from radbench.metrics.text.ngrams import Order, blocks
from radbench.metrics.text.pairs import Encoded, encoded
from radbench.metrics.text.tokens import LEXICON, TOKENISERS, Case, Tokeniser, Vocabulary, unavailable

from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats

ORDERS = 4
_BATCH = 512
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying loses nothing


@dataclass(frozen=True, slots=True)
class Frequencies:
    """How many samples' references hold an n-gram: sorted 64-bit hashes and log frequencies, those of one sample left out."""

    samples: int
    hashes: np.ndarray  # (g,) uint64, ascending
    logs: np.ndarray  # (g,) float64
    digest: str

    def log_frequency(self, hashes: np.ndarray) -> Floats:
        if not len(self.hashes):
            return np.zeros(len(hashes))
        at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[at] == hashes, self.logs[at], 0.0)


class _TokenHashes:
    """Character of the vocabulary -> a 64-bit hash of its token, the same in every process."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._hashes = np.zeros(1, np.uint64)

    def of(self, characters: np.ndarray) -> np.ndarray:
        known, words = len(self._hashes), self._vocabulary.words
        if len(words) > known:
            new = [blake2b(w.encode("utf-8", "surrogatepass"), digest_size=8).digest() for w in words[known:]]
            self._hashes = np.concatenate([self._hashes, np.frombuffer(b"".join(new), "<u8")])
        return self._hashes[characters]


def _hashes(order: Order) -> np.ndarray:
    tokens = LEXICON.note(_TokenHashes, lambda: _TokenHashes(LEXICON.vocabulary)).of(order.tokens)
    out = tokens[:, 0].copy()
    for column in range(1, tokens.shape[1]):
        out = (out ^ (out >> np.uint64(29))) * _FACTOR + tokens[:, column]
    return out + np.uint64(tokens.shape[1])


def document_frequencies(texts: Iterable[Sequence[str]], tok: Tokeniser, case: Case) -> Frequencies:
    """The document frequencies of n-grams over samples, each given with all its references."""
    pending: list[np.ndarray] = []
    hashes, counts, samples = np.zeros(0, np.uint64), np.zeros(0, np.int64), 0
    for batch in _batched(texts, _BATCH):
        LEXICON.begin_batch()
        encode = LEXICON.encoder(tok, case).encode
        flat = [(i, encode(text)) for i, alternatives in enumerate(batch) for text in alternatives]
        owner = np.array([i for i, _ in flat])
        samples += len(batch)
        written = [text for _, text in flat]
        for block in blocks([""] * len(written), written, ORDERS):
            for n in range(1, ORDERS + 1):
                order = block.order(n)
                if len(flat) == len(batch):
                    pending.append(_hashes(order))
                else:  # an n-gram in two references of a sample is one document
                    both = np.stack([owner[block.first + order.pair].astype(np.uint64), _hashes(order)])
                    pending.append(np.unique(both, axis=1)[1])
        if sum(map(len, pending)) > 2_000_000:
            hashes, counts = _merged(hashes, counts, pending)
            pending = []
    hashes, counts = _merged(hashes, counts, pending)
    several = counts > 1  # log(1) is 0, as for an n-gram never seen
    hashes, counts = hashes[several], counts[several]
    digest = blake2b(hashes.astype("<u8").tobytes() + counts.astype("<i8").tobytes(), digest_size=4).hexdigest()
    return Frequencies(samples, hashes, np.log(counts.astype(np.float64)), digest)


def _batched(texts: Iterable[Sequence[str]], size: int) -> Iterator[list[Sequence[str]]]:
    iterator = iter(texts)
    while batch := list(islice(iterator, size)):
        yield batch


def _merged(hashes: np.ndarray, counts: np.ndarray, pending: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    if not pending:
        return hashes, counts
    found, occurrences = np.unique(np.concatenate(pending), return_counts=True)
    union, inverse = np.unique(np.concatenate([hashes, found]), return_inverse=True)
    return union, np.bincount(inverse, np.concatenate([counts, occurrences])).astype(np.int64)


def cider_scores(pairs: Encoded, frequencies: Frequencies, sigma: float = 6.0) -> Floats:
    """(pairs,) CIDEr of each (answer, reference), 0 to 10."""
    idf_of_one = np.log(float(max(frequencies.samples, 1)))
    hyp = np.array([len(h) for h in pairs.hypotheses], dtype=np.float64)
    ref = np.array([len(r) for r in pairs.references], dtype=np.float64)
    # pycocoevalcap measures length in bigrams
    penalty = np.exp(-((np.maximum(hyp - 1, 0) - np.maximum(ref - 1, 0)) ** 2) / (2 * sigma**2))
    similarity = np.zeros(len(hyp))
    for block in blocks(pairs.hypotheses, pairs.references, ORDERS) if len(hyp) else ():
        for n in range(1, ORDERS + 1):
            order = block.order(n)
            if not len(order.pair):
                continue
            idf = idf_of_one - frequencies.log_frequency(_hashes(order))
            said, true = order.hypothesis * idf, order.reference * idf
            at = order.pair + block.first
            dot, said2, true2 = (
                np.bincount(at, values, minlength=len(hyp))
                for values in (np.minimum(said, true) * true, said**2, true**2)
            )
            norm = np.sqrt(said2) * np.sqrt(true2)
            similarity += np.where(norm > 0, dot / np.where(norm > 0, norm, 1.0), dot)
    return 10 * similarity / ORDERS * penalty


class Cider(Mean):
    """CIDEr; the mean over a sample's references, then over samples."""

    accepts = (Text,)

    def __init__(self, tok: Tokeniser = "split", case: Case = "mixed", sigma: float = 6.0) -> None:
        one_of("tok", tok, TOKENISERS)
        one_of("case", case, ("mixed", "lower"))
        if not sigma > 0:
            raise ValueError(f"sigma is {sigma}, expected a positive number")
        self.tok, self.case, self.sigma = tok, case, float(sigma)
        self.card = Card(
            "CIDEr",
            "10 x mean over n = 1..4 of the cosine of clipped tf-idf n-gram vectors, x exp(-(length difference)^2 / 2 sigma^2);"
            " idf over the references of the task",
            "0 to 10, higher is better",
            "Vedantam et al. 2015; pycocoevalcap 1.2 Cider (its PTB tokeniser not included: give it tokenised text, tok split)",
            valid_for="any modality; comparable only over the same references",
            failed="a failed answer counts as an empty text",
        )

    def fit(self, targets: Iterable[Target], choices: Sequence[str]) -> State:
        return document_frequencies((references(t) for t in targets), self.tok, self.case)

    def stored(self, state: State) -> Any:
        return [state.samples, state.digest] if isinstance(state, Frequencies) else state

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        pairs = encoded(predictions, targets, self.tok, self.case)
        if not len(pairs.start):
            return np.zeros(0)
        found = cider_scores(pairs, state, self.sigma)
        if pairs.single:
            return found
        return np.add.reduceat(found, pairs.start) / np.diff(np.append(pairs.start, len(found)))

    def signature(self, state: State) -> str:
        samples, digest = self.stored(state) if state else (0, "not-fitted")
        options = f"tok:{self.tok}|case:{self.case}|n:{ORDERS}|sigma:{self.sigma:g}"
        return f"cider|{options}|idf:references-{samples}-{digest}|avg:sample|v:1"

    def unavailable(self) -> str | None:
        return unavailable(self.tok)


METRICS = {"cider": Cider}
