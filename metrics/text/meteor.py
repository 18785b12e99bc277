"""METEOR as NLTK computes it (Lavie and Agarwal 2007).

NLTK 3.8 to 3.10 ``meteor_score``: tokens are lower-cased and aligned exactly, then by Porter stem, then by WordNet synonym
of the stem; each word of the answer, from its last, takes the last free reference word that matches. The scores of
MultiMedEval and of Hugging Face evaluate are this with nltk.word_tokenize (``tok:punkt``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from radbench.metrics.base import Card, Mean, State, one_of
from radbench.metrics.text.pairs import encoded
from radbench.metrics.text.tokens import LEXICON, TOKENISERS, Tokeniser, Vocabulary, porter_stem
from radbench.metrics.text.wordnet import installed
from radbench.metrics.text.wordnet import unavailable as wordnet_unavailable

from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats


class _Table(dict[int, int]):
    """``str.translate`` table: the character of a token -> the character of what ``change`` makes of it."""

    def __init__(self, vocabulary: Vocabulary, change: Callable[[str], str]) -> None:
        self._vocabulary, self._change = vocabulary, change

    def __missing__(self, code: int) -> int:
        changed = ord(self._vocabulary[self._change(self._vocabulary.words[code])])
        self[code] = changed
        return changed


class _Synonyms(dict[str, frozenset[str]]):
    """The character of a word -> the characters of its WordNet synonyms of one word, itself among them."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._names = installed().synonyms

    def __missing__(self, character: str) -> frozenset[str]:
        names = self._names(self._vocabulary.words[ord(character)])
        synonyms = frozenset(self._vocabulary[n] for n in names if "_" not in n) | {character}
        self[character] = synonyms
        return synonyms


class Aligner:
    """Aligns encoded texts word by word; knows each word's lower case, stem and synonyms once."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.lower = _Table(vocabulary, str.lower)
        self._stem = _Table(vocabulary, porter_stem())
        self._synonyms = _Synonyms(vocabulary)

    def align(self, hypothesis: str, reference: str) -> tuple[int, int]:
        """Matched words and the chunks they form, of two lower-cased encoded texts."""
        taken = [-1] * len(hypothesis)  # the reference position each word of the answer got
        left_hyp, left_ref = _take(taken, hypothesis, range(len(hypothesis)), reference, range(len(reference)))
        if left_hyp and left_ref:
            stems, reference_stems = hypothesis.translate(self._stem), reference.translate(self._stem)
            left_hyp, left_ref = _take(taken, stems, left_hyp, reference_stems, left_ref)
            if left_hyp and left_ref:  # NLTK looks synonyms of stems up, among stems
                self._take_synonyms(taken, stems, left_hyp, reference_stems, left_ref)
        matched = chunks = 0
        following = -2
        for position in taken:
            if position < 0:
                following = -2
                continue
            matched += 1
            if position != following:
                chunks += 1
            following = position + 1
        return matched, chunks

    def _take_synonyms(
        self, taken: list[int], hypothesis: str, left_hyp: Sequence[int], reference: str, left_ref: Sequence[int]
    ) -> None:
        free = {reference[j] for j in left_ref}
        remaining = list(left_ref)
        for i in reversed(left_hyp):
            synonyms = self._synonyms[hypothesis[i]]
            if free.isdisjoint(synonyms):
                continue
            for at in range(len(remaining) - 1, -1, -1):
                if reference[remaining[at]] in synonyms:
                    taken[i] = remaining.pop(at)
                    free = {reference[j] for j in remaining}
                    break


def _take(
    taken: list[int], hypothesis: str, hyp_positions: Sequence[int], reference: str, ref_positions: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Give each answer word, from the last, the last free equal reference word; return the positions left on either side."""
    free: dict[str, list[int]] = {}
    for j in ref_positions:
        word = reference[j]
        if word in free:
            free[word].append(j)
        else:
            free[word] = [j]
    left = []
    for i in reversed(hyp_positions):
        positions = free.get(hypothesis[i])
        if positions:
            taken[i] = positions.pop()
        else:
            left.append(i)
    left.reverse()
    return left, sorted(j for positions in free.values() for j in positions)


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
        lower = aligner.lower
        hypotheses = [h.translate(lower) for h in pairs.hypotheses]
        written = [r.translate(lower) for r in pairs.references]
        found = np.array(
            [
                (*aligner.align(h, r), len(h), len(r)) for h, r in zip(hypotheses, written, strict=True)
            ],
            dtype=np.float64,
        ).reshape(-1, 4)  # fmt: skip
        return pairs.best(meteor_score(*found.T, self.alpha, self.beta, self.gamma))

    def signature(self, state: State) -> str:
        weights = f"alpha:{self.alpha:g}|beta:{self.beta:g}|gamma:{self.gamma:g}"
        return f"meteor|tok:{self.tok}|case:lower|{weights}|stem:porter|syn:wordnet-3.0|avg:sample|v:1"

    def unavailable(self) -> str | None:
        from importlib.util import find_spec

        if find_spec("nltk") is None:
            return "NLTK is not installed: pip install 'radbench[text]'"
        if (reason := wordnet_unavailable()) is not None:
            return reason
        if self.tok == "punkt":
            from radbench.metrics.text.punkt import unavailable

            return unavailable()
        return None


METRICS = {"meteor": Meteor}
