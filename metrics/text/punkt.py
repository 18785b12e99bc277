"""The tokens of nltk.word_tokenize (Punkt sentences, then NLTKWordTokenizer), with each decision taken once.

NLTK decides; we remember. Whether a context ends a sentence depends on the context alone, and the word rules look
across white space only at quotation marks and at closing brackets after the last period, so other sentences are
tokenised chunk by chunk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any

from radbench.metrics.text.wordnet import nltk_data

UNAVAILABLE = "NLTK's punkt_tab model is not installed: radbench fetch nltk"
_QUOTES = re.compile("['\"`«»“”‘’„]")
_ONLY_CLOSERS = re.compile(r"[\])}>]+")
# Marks of a chunk's place; NUL cannot stand in a chunk of such a sentence.
_LAST, _WHOLE = "\0last", "\0whole"


@cache
def _sentences() -> Callable[[str], list[tuple[int, int]]]:
    try:
        from nltk.tokenize.punkt import PunktTokenizer
    except ImportError:
        raise LookupError("NLTK is too old for its punkt_tab model: pip install 'nltk>=3.9'") from None
    try:
        tokenizer: Any = PunktTokenizer("english")
    except LookupError:
        raise LookupError(UNAVAILABLE) from None
    tokenizer.text_contains_sentbreak = lru_cache(maxsize=100_000)(tokenizer.text_contains_sentbreak)
    return lambda text: list(tokenizer.span_tokenize(text))


@cache
def _words() -> Callable[[str], list[str]]:
    from nltk.tokenize import NLTKWordTokenizer

    tokenize: Callable[[str], list[str]] = NLTKWordTokenizer().tokenize
    return tokenize


def chunks(text: str) -> Iterator[str]:
    """Pieces that tokenise on their own: chunks, the last one of a sentence marked, or a whole sentence with quotes."""
    for start, end in _sentences()(text):
        sentence = text[start:end]
        parts = sentence.split()
        if not parts:
            continue
        if "\0" in sentence or _QUOTES.search(sentence) or _ONLY_CLOSERS.fullmatch(parts[-1]):
            yield sentence + _WHOLE
        else:
            yield from parts[:-1]
            yield parts[-1] + _LAST


def tokens_of_chunk(chunk: str) -> list[str]:
    if chunk.endswith(_WHOLE):
        return _words()(chunk.removesuffix(_WHOLE))
    if chunk.endswith(_LAST):
        return _words()(f"x {chunk.removesuffix(_LAST)}")[1:]
    return _words()(f"x {chunk} x")[1:-1]


def unavailable() -> str | None:
    """None, or what is missing and the command that brings it."""
    from importlib.util import find_spec

    if find_spec("nltk") is None:
        return "NLTK is not installed: pip install 'radbench[text]'"
    if any((folder / "tokenizers" / "punkt_tab" / "english").is_dir() for folder in nltk_data()):
        return None  # told without importing NLTK, which takes a second
    try:
        _sentences()
    except LookupError as error:
        return str(error)
    return None
