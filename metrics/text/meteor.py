"""METEOR as NLTK computes it (Lavie and Agarwal 2007).

NLTK 3.9 to 3.10 ``meteor_score``: tokens are lower-cased and aligned exactly, then by Porter stem, then by WordNet synonym
of the stem; each word of the answer, from its last, takes the last free reference word that matches. The scores of
MultiMedEval and of Hugging Face evaluate are this with nltk.word_tokenize (``tok:punkt``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from radbench.metrics.base import Card, Mean, State, one_of
from radbench.metrics.text.pairs import encoded
from radbench.metrics.text.tokens import LEXICON, TOKENISERS, Tokeniser, Vocabulary, porter_stem, unavailable
from radbench.metrics.text.wordnet import installed
from radbench.metrics.text.wordnet import unavailable as wordnet_unavailable

from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats


class _Table:
    """Code of a token -> code of what ``change`` makes of it, asked once a token."""

    def __init__(self, vocabulary: Vocabulary, change: Callable[[str], str]) -> None:
        self._vocabulary, self._change = vocabulary, change
        self._codes = np.zeros(0, np.int64)

    def of(self, codes: np.ndarray) -> np.ndarray:
        """(m,) codes to (m,) codes; the character 0 stays 0."""
        size = len(self._vocabulary.words)
        if len(self._codes) < size:
            self._codes = np.concatenate([self._codes, np.zeros(size, np.int64)])
        found = self._codes[codes]
        unknown = codes[(found == 0) & (codes != 0)]
        if len(unknown):
            for code in np.unique(unknown).tolist():
                changed = ord(self._vocabulary[self._change(self._vocabulary.words[code])])
                self._codes[code] = changed
            found = self._codes[codes]
        return found


class _Synonyms(dict[int, frozenset[int]]):
    """The code of a word -> the codes of its WordNet synonyms of one word, itself among them."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._names = installed().synonyms

    def __missing__(self, code: int) -> frozenset[int]:
        names = self._names(self._vocabulary.words[code])
        synonyms = frozenset(ord(self._vocabulary[n]) for n in names if "_" not in n) | {code}
        self[code] = synonyms
        return synonyms


class _Words:
    """The words of encoded texts in one row: code, number of the text, position within it."""

    def __init__(self, texts: Sequence[str], lower: _Table) -> None:
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        self.code = lower.of(np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32).astype(np.int64))
        self.text = np.repeat(np.arange(len(texts)), lengths)
        self.position = np.arange(len(self.code)) - np.repeat(np.cumsum(lengths) - lengths, lengths)


class Aligner:
    """Aligns batches of encoded texts; knows each word's lower case, stem and synonyms once."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._lower = _Table(vocabulary, str.lower)
        self._stem = _Table(vocabulary, porter_stem())
        self._synonyms = _Synonyms(vocabulary)

    def align(self, hypotheses: Sequence[str], references: Sequence[str]) -> tuple[Floats, Floats]:
        """(n,) matched words and (n,) chunks they form, of n pairs of encoded texts."""
        hyp, ref = _Words(hypotheses, self._lower), _Words(references, self._lower)
        taken = np.full(
            len(hyp.code), -1
        )  # for each word of the answers, the reference word it got, by place in the row
        left, free = np.arange(len(hyp.code)), np.arange(len(ref.code))
        left, free = _take(taken, left, hyp.code, hyp.text, free, ref.code, ref.text)
        stems, reference_stems = self._stem.of(hyp.code[left]), self._stem.of(ref.code[free])
        still, open_ = _take(taken, left, stems, hyp.text[left], free, reference_stems, ref.text[free])
        # NLTK looks synonyms of stems up, among stems
        self._take_synonyms(
            taken,
            _by_text(still, stems[np.searchsorted(left, still)], hyp.text[still]),
            _by_text(open_, reference_stems[np.searchsorted(free, open_)], ref.text[open_]),
        )
        got = np.flatnonzero(taken >= 0)
        at, text = ref.position[taken[got]], hyp.text[got]
        starts = np.ones(len(got), bool)
        starts[1:] = (np.diff(got) != 1) | (np.diff(at) != 1) | (np.diff(text) != 0)
        n = len(hypotheses)
        return np.bincount(text, minlength=n).astype(np.float64), np.bincount(text, starts, minlength=n).astype(
            np.float64
        )

    def _take_synonyms(
        self, taken: np.ndarray, left: dict[int, list[tuple[int, int]]], free: dict[int, list[tuple[int, int]]]
    ) -> None:
        for text, words in left.items():
            remaining = free.get(text)
            if not remaining:
                continue
            codes = {code for _, code in remaining}
            for place, code in reversed(words):
                synonyms = self._synonyms[code]
                if codes.isdisjoint(synonyms):
                    continue
                at = next(k for k in range(len(remaining) - 1, -1, -1) if remaining[k][1] in synonyms)
                taken[place] = remaining.pop(at)[0]
                codes = {code for _, code in remaining}


def _take(
    taken: np.ndarray,
    hyp_places: np.ndarray,
    hyp_codes: np.ndarray,
    hyp_texts: np.ndarray,
    ref_places: np.ndarray,
    ref_codes: np.ndarray,
    ref_texts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Pair equal words and return the places left on either side.

    Going from an answer's last word and giving each the last free equal word pairs the k-th last occurrence of a word on
    one side with the k-th last on the other.
    """
    hyp, ref = _occurrences(hyp_codes, hyp_texts), _occurrences(ref_codes, ref_texts)
    _, mine, theirs = np.intersect1d(hyp, ref, assume_unique=True, return_indices=True)
    taken[hyp_places[mine]] = ref_places[theirs]
    left, free = np.ones(len(hyp), bool), np.ones(len(ref), bool)
    left[mine], free[theirs] = False, False
    return hyp_places[left], ref_places[free]


def _occurrences(codes: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """(m,) one number for (text, word, how many equal words of the text follow); unique."""
    word = texts * np.int64(0x110000) + codes
    order = np.argsort(word[::-1], kind="stable")
    ordered = word[::-1][order]
    first = np.concatenate(([True], ordered[1:] != ordered[:-1])) if len(ordered) else np.zeros(0, bool)
    starts = np.flatnonzero(first)
    rank = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.append(starts, len(ordered))))
    out = np.empty(len(codes), np.int64)
    out[len(codes) - 1 - order] = ordered << 20 | rank
    return out


def _by_text(places: np.ndarray, codes: np.ndarray, texts: np.ndarray) -> dict[int, list[tuple[int, int]]]:
    """text -> its (place, code), in order."""
    if not len(places):
        return {}
    bounds = np.flatnonzero(np.diff(texts, prepend=-1))
    ends = [*bounds[1:].tolist(), len(places)]
    rows = list(zip(places.tolist(), codes.tolist(), strict=True))
    return {text: rows[a:b] for text, a, b in zip(texts[bounds].tolist(), bounds.tolist(), ends, strict=True)}


def meteor_score(
    matched: Floats, chunks: Floats, hyp: Floats, ref: Floats, alpha: float = 0.9, beta: float = 3.0, gamma: float = 0.5
) -> Floats:
    """Scores 0 to 1 from (n,) matched words, chunks and lengths: harmonic mean x (1 - gamma (chunks / matched)^beta)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = matched / hyp, matched / ref
        mean = precision * recall / (alpha * precision + (1 - alpha) * recall)
        score = (1 - gamma * (chunks / matched) ** beta) * mean
    return np.where(matched > 0, score, 0.0)


class Meteor(Mean):
    """METEOR, NLTK's semantics; the best over alternatives, averaged over samples."""

    accepts = (Text,)

    def __init__(self, tok: Tokeniser = "punkt", alpha: float = 0.9, beta: float = 3.0, gamma: float = 0.5) -> None:
        one_of("tok", tok, TOKENISERS)
        if not 0 <= alpha <= 1 or not 0 <= gamma <= 1 or not 0 <= beta < float("inf"):
            raise ValueError(
                f"alpha {alpha}, beta {beta}, gamma {gamma}: expected alpha and gamma in 0 to 1, beta 0 or more"
            )
        self.tok, self.alpha, self.beta, self.gamma = tok, float(alpha), float(beta), float(gamma)
        self.card = Card(
            "METEOR (NLTK)",
            "F_alpha of matched words (exact, Porter stem, WordNet synonym) x (1 - gamma (chunks / matches)^beta);"
            " F_alpha = P R / (alpha P + (1 - alpha) R)",
            "0 to 1, higher is better; an identical text scores just below 1, a single identical word 0.5",
            "Lavie and Agarwal 2007; NLTK 3.10.4 meteor_score, WordNet 3.0",
            valid_for="any modality; English",
            failed="a failed answer counts as an empty text",
        )

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        pairs = encoded(predictions, targets, self.tok)
        aligner = LEXICON.note(Aligner, lambda: Aligner(LEXICON.vocabulary))
        matched, chunks = aligner.align(pairs.hypotheses, pairs.references)
        hyp, ref = (np.array([len(t) for t in side], dtype=float) for side in (pairs.hypotheses, pairs.references))
        return pairs.best(meteor_score(matched, chunks, hyp, ref, self.alpha, self.beta, self.gamma))

    def signature(self, state: State) -> str:
        weights = f"alpha:{self.alpha:g}|beta:{self.beta:g}|gamma:{self.gamma:g}"
        return f"meteor|tok:{self.tok}|case:lower|{weights}|stem:porter|syn:wordnet-3.0|avg:sample|v:1"

    def unavailable(self) -> str | None:
        from importlib.util import find_spec

        if find_spec("nltk") is None:
            return "NLTK is not installed: pip install 'radbench[text]'"
        if (reason := wordnet_unavailable()) is not None:
            return reason
        return unavailable(self.tok)


METRICS = {"meteor": Meteor}
