"""How texts become tokens, and tokens characters: one tokenisation shared by every metric of a pass.

An :class:`Encoder` writes a text as a string with one character a token, the same character for the same token whatever
the tokeniser. Such strings are compact, compare at C speed and go into numpy as they are. Every tokeniser here decides
within a chunk (for most of them a run without white space), so each distinct chunk is tokenised once.

Tokenisers: ``13a`` mteval-v13a as sacreBLEU 2.6.0 and Hugging Face evaluate apply it; ``split`` white space; ``space`` single
blanks, empty tokens kept (pycocoevalcap ROUGE-L); ``rouge`` and ``rouge-stem`` rouge_score 0.1.2; ``cxr`` CXR-Report-Metric
prep_reports @9c9ecad; ``punkt`` nltk.word_tokenize (NLTK 3.9 to 3.10).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from threading import local
from typing import Any, Literal, TypeVar, get_args

from radbench.errors import DataError

T = TypeVar("T")

Tokeniser = Literal["13a", "split", "space", "rouge", "rouge-stem", "cxr", "punkt"]
Case = Literal["mixed", "lower"]
TOKENISERS: tuple[str, ...] = get_args(Tokeniser)

_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
# mteval-v13a: symbols stand alone; a period or comma unless digits are on both sides; a dash after a digit.
_SYMBOL = re.compile("([" + re.escape(' !"#$%&()*+/:;<=>?@[\\]^_`{|}~') + "])")
_POINT_AFTER_NONDIGIT = re.compile(r"([^0-9])([\.,])")
_POINT_BEFORE_NONDIGIT = re.compile(r"([\.,])([^0-9])")
_DASH_AFTER_DIGIT = re.compile(r"([0-9])(-)")
_ROUGE_SPLIT = re.compile(r"[^a-z0-9]+")


def unavailable(tokeniser: Tokeniser) -> str | None:
    """None, or what a tokeniser lacks and the command that brings it."""
    if tokeniser == "rouge-stem" and find_spec("nltk") is None:
        return "NLTK is not installed: pip install 'radbench[text]'"
    if tokeniser == "punkt":
        from radbench.metrics.text import punkt

        return punkt.unavailable()
    return None


def tokens(text: str, tokeniser: Tokeniser, case: Case = "mixed") -> list[str]:
    """The tokens of a text. Raises LookupError where ``punkt`` lacks NLTK's model."""
    encoder = LEXICON.encoder(tokeniser, case)
    return encoder.decode(encoder.encode(text))


# --- tokenisers: the chunks of a text, and the tokens of a chunk ---


@dataclass(frozen=True, slots=True)
class _Rule:
    chunks: Callable[[str], Iterable[str]]
    tokens: Callable[[str], Sequence[str]]


def _chunks_13a(text: str) -> list[str]:
    text = text.rstrip()  # as sacreBLEU does first: a dash at the very end is none of a broken word
    if "<" in text:
        text = text.replace("<skipped>", "")
    if "-\n" in text:
        text = text.replace("-\n", "")
    if "&" in text:
        for entity, character in _ENTITIES:
            text = text.replace(entity, character)
    return text.split()


def _tokens_13a(chunk: str) -> Sequence[str]:
    if chunk.isalnum():
        return (chunk,)
    if chunk[-1] in ".," and chunk[:-1].isalnum():
        return (chunk[:-1], chunk[-1])
    # The rules look at neighbouring characters but never across white space, which counts as a non-digit.
    text = _SYMBOL.sub(r" \1 ", f" {chunk} ")
    text = _POINT_AFTER_NONDIGIT.sub(r"\1 \2 ", text)
    text = _POINT_BEFORE_NONDIGIT.sub(r" \1 \2", text)
    return _DASH_AFTER_DIGIT.sub(r"\1 \2 ", text).split()


def _whole(chunk: str) -> tuple[str]:
    return (chunk,)


def _tokens_rouge(chunk: str) -> Sequence[str]:
    if chunk.isascii():  # the usual chunks: a word, or a word and one mark
        if chunk.isalnum():
            return (chunk.lower(),)
        if (word := chunk[:-1]).isalnum():
            return (word.lower(),)
    return [t for t in _ROUGE_SPLIT.split(chunk.lower()) if t]


def _tokens_rouge_stem(chunk: str) -> list[str]:
    stem = porter_stem()
    return [stem(t) if len(t) > 3 else t for t in _tokens_rouge(chunk)]


def _chunks_cxr(text: str) -> list[str]:
    return [chunk for chunk in text.lower().split(" ") if chunk]


def _tokens_cxr(chunk: str) -> list[str]:
    return [t for t in chunk.replace(".", " .").split(" ") if t]


def _punkt_rule() -> _Rule:
    from radbench.metrics.text.punkt import chunks, tokens_of_chunk

    return _Rule(chunks, tokens_of_chunk)


_RULES: dict[Tokeniser, Callable[[], _Rule]] = {
    "13a": lambda: _Rule(_chunks_13a, _tokens_13a),
    "split": lambda: _Rule(str.split, _whole),
    "space": lambda: _Rule(lambda text: text.split(" "), _whole),
    "rouge": lambda: _Rule(str.split, _tokens_rouge),
    "rouge-stem": lambda: _Rule(str.split, _tokens_rouge_stem),
    "cxr": lambda: _Rule(_chunks_cxr, _tokens_cxr),
    "punkt": _punkt_rule,
}


@cache
def porter_stem() -> Callable[[str], str]:
    """NLTK's Porter stemmer in its default mode, which rouge_score and METEOR use."""
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer().stem


# --- one character a token ---

_SURROGATES = range(0xD800, 0xE000)  # no UTF-32 for them
_LAST_CODE = 0x10FFFF
_FORGET = 400_000  # tokens or chunks: beyond it the next batch starts anew
_LONG = 64  # characters: longer chunks are rarely met twice
_TEXTS, _SHORT = 4096, 4096  # texts kept encoded (many reports are the same normal one), and how long they may be


class Vocabulary(dict[str, str]):
    """token -> its character; character 0 is kept for padding. ``words[ord(character)]`` is the token."""

    def __init__(self) -> None:
        self.words = [""]

    def __missing__(self, token: str) -> str:
        code = len(self.words)
        if code > _LAST_CODE:
            raise DataError(
                f"a batch of texts has more than {_LAST_CODE:,} different words", remedy="cut the answers off"
            )
        if code == _SURROGATES.start:
            self.words.extend([""] * len(_SURROGATES))
            code = _SURROGATES.stop
        self.words.append(token)
        character = self[token] = chr(code)
        return character


class _Chunks(dict[str, str]):
    """chunk -> its tokens' characters, filled as chunks are met."""

    def __init__(self, rule: _Rule, vocabulary: Vocabulary) -> None:
        self._tokens = rule.tokens
        self._vocabulary = vocabulary

    def __missing__(self, chunk: str) -> str:
        tokens = self._tokens(chunk)
        vocabulary = self._vocabulary
        encoded = vocabulary[tokens[0]] if len(tokens) == 1 else "".join([vocabulary[token] for token in tokens])
        if len(chunk) <= _LONG:
            self[chunk] = encoded
        return encoded


class Encoder:
    """Texts as strings of one character a token, for one tokeniser and case."""

    def __init__(self, tokeniser: Tokeniser, case: Case, vocabulary: Vocabulary) -> None:
        rule = _RULES[tokeniser]()
        self._split = rule.chunks
        self._lower = case == "lower"
        self._vocabulary = vocabulary
        self.chunks = _Chunks(rule, vocabulary)
        self._texts: dict[str, str] = {}

    def encode(self, text: str) -> str:
        encoded = self._texts.get(text)
        if encoded is None:
            chunks = self._split(text.lower() if self._lower else text)
            encoded = "".join(map(self.chunks.__getitem__, chunks))
            if len(self._texts) >= _TEXTS:
                self._texts.clear()
            if len(text) <= _SHORT:
                self._texts[text] = encoded
        return encoded

    def decode(self, encoded: str) -> list[str]:
        return [self._vocabulary.words[ord(character)] for character in encoded]


class Lexicon(local):
    """A thread's vocabulary, its encoders, and what metrics know of each token (``notes``)."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget every word, text and note."""
        self.vocabulary = Vocabulary()
        self.encoders: dict[tuple[Tokeniser, Case], Encoder] = {}
        self.notes: dict[Hashable, Any] = {}

    def begin_batch(self) -> None:
        """Start anew where too much has gathered; texts encoded before lose their meaning."""
        if len(self.vocabulary) > _FORGET or any(len(e.chunks) > _FORGET for e in self.encoders.values()):
            self.clear()

    def encoder(self, tokeniser: Tokeniser, case: Case = "mixed") -> Encoder:
        """The encoder of a tokeniser and case; ``lower`` lower-cases before tokenising."""
        key = (tokeniser, case)
        if key not in self.encoders:
            self.encoders[key] = Encoder(tokeniser, case, self.vocabulary)
        return self.encoders[key]

    def note(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make()`` gave when first asked for since the lexicon began."""
        if key not in self.notes:
            self.notes[key] = make()
        found: T = self.notes[key]
        return found


LEXICON = Lexicon()
