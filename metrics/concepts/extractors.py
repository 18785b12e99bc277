"""What finds concepts in a text: our dictionary search, QuickUMLS, or a scispaCy model, behind one protocol."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from importlib.util import find_spec
from typing import Any, Literal, Protocol

from radbench.metrics.base import one_of
from radbench.metrics.concepts import default, negation, quick
from radbench.metrics.concepts.build import MAX_TOKENS
from radbench.metrics.concepts.negation import Negation
from radbench.metrics.concepts.search import QUICKUMLS_TYPES, Match, Search

from radbench.errors import ConfigError

ExtractorName = Literal["concepts", "quickumls", "scispacy"]
EXTRACTORS: tuple[ExtractorName, ...] = ("concepts", "quickumls", "scispacy")
CACHED_TEXTS = 1 << 12
SCISPACY_MODELS = ("en_core_sci_sm", "en_core_sci_md", "en_core_sci_lg")


class Extractor(Protocol):
    """Finds the concepts of a text. The same text always gives the same matches, in the order of the text."""

    def extract(self, text: str) -> list[Match]: ...

    def signature(self) -> str:
        """All that decides what is found, as ``key:value`` between bars."""
        ...

    def unavailable(self) -> str | None: ...


def _whole(name: str, value: object, most: int | None = None) -> int:
    """Check an option that counts. Raises ValueError naming what is allowed."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1 and (most is None or value <= most):
        return value
    allowed = "of at least 1" if most is None else f"from 1 to {most}"
    raise ValueError(f"{name} is {value!r}, expected a whole number {allowed}")


class DictionaryExtractor:
    """``concepts``: longest-match search over a dictionary (:mod:`radbench.metrics.concepts.search`).

    ``dictionary`` is ``hpo+radiology``, ``hpo``, ``radiology``, ``umls`` (what ``radbench fetch umls`` built from a licensed
    release) or the folder of another built one. ``types`` is ``quickumls`` (the 27 semantic types that QuickUMLS accepts)
    or ``all``. ``window`` is 1 to 8 tokens, ``min_length`` at least 1 character.
    """

    def __init__(
        self,
        dictionary: str = "hpo+radiology",
        window: int = 5,
        min_length: int = 3,
        types: Literal["quickumls", "all"] = "quickumls",
    ) -> None:
        one_of("types", types, ("quickumls", "all"))
        self.window, self.min_length = _whole("window", window, MAX_TOKENS), _whole("min_length", min_length)
        self.dictionary, self.types = dictionary, types

    @cached_property
    def search(self) -> Search:
        """Raises :class:`ConfigError` where the dictionary's terms are shorter than ``window``."""
        accepted = QUICKUMLS_TYPES if self.types == "quickumls" else None
        index = default.find_dictionary(self.dictionary)
        longest = index.meta.max_tokens
        if self.window > longest:
            raise ConfigError(
                f"window is {self.window}, the dictionary '{self.dictionary}' holds terms of at most {longest} tokens",
                remedy=f"set window={longest} or less",
            )
        return Search(index, self.window, self.min_length, accepted)

    def extract(self, text: str) -> list[Match]:
        return self.search(text)

    def signature(self) -> str:
        name = self.dictionary if self.unavailable() else self.search.index.label
        return f"extractor:concepts|dict:{name}|window:{self.window}|min:{self.min_length}|types:{self.types}"

    def unavailable(self) -> str | None:
        return default.unavailable(self.dictionary)


class QuickUMLSExtractor:
    """``quickumls``: the QuickUMLS package over a folder that ``python -m quickumls.install`` made from a UMLS release.

    The best candidate of each non-overlapping match counts. ``pipeline`` is what splits the text into tokens: an
    installed spaCy model, a folder of one, or ``blank:en`` for spaCy's English tokeniser alone, without the parts of speech
    by which QuickUMLS skips prepositions.
    """

    def __init__(
        self,
        folder: str = "",
        threshold: float = 0.7,
        window: int = 5,
        min_length: int = 3,
        overlapping: Literal["score", "length"] = "score",
        similarity: Literal["jaccard", "dice", "cosine", "overlap"] = "jaccard",
        pipeline: str = "en_core_web_sm",
    ) -> None:
        one_of("overlapping", overlapping, ("score", "length"))
        one_of("similarity", similarity, ("jaccard", "dice", "cosine", "overlap"))
        if not 0 < float(threshold) <= 1:
            raise ValueError(f"threshold is {threshold}, expected above 0 and at most 1")
        self.folder, self.threshold, self.pipeline = folder, float(threshold), pipeline
        self.window, self.min_length = _whole("window", window), _whole("min_length", min_length)
        self.overlapping, self.similarity = overlapping, similarity

    @cached_property
    def matcher(self) -> quick.Matcher:
        return quick.matcher(
            self.folder, self.pipeline, threshold=self.threshold, window=self.window, min_match_length=self.min_length,
            overlapping_criteria=self.overlapping, similarity_name=self.similarity,
        )  # fmt: skip

    def extract(self, text: str) -> list[Match]:
        return quick.extract(self.matcher, text)

    def signature(self) -> str:
        name = quick.label(self.folder) if self.folder and not self.unavailable() else "none"
        return (
            f"extractor:quickumls-{default.package('quickumls')}|dict:{name}|threshold:{self.threshold:g}"
            f"|window:{self.window}|min:{self.min_length}|overlapping:{self.overlapping}|similarity:{self.similarity}"
            f"|pipeline:{quick.pipeline_label(self.pipeline)}"
        )

    def unavailable(self) -> str | None:
        return quick.unavailable(self.folder, self.pipeline)


class ScispacyExtractor:
    """``scispacy``: the entities (``doc.ents``) of a scispaCy model, as the RadFM repository extracts them.

    They are spans without identifiers: ``cui`` is the lower-cased span, so that units of CUIs and of surfaces agree.
    Source: github.com/chaoyi-wu/RadFM, whose training loss weights these words; its evaluation code is not published.
    """

    def __init__(self, model: str = "en_core_sci_lg", load: Callable[[str], Any] | None = None) -> None:
        one_of("model", model, SCISPACY_MODELS)
        self.model, self._load = model, load

    @cached_property
    def pipeline(self) -> Any:
        if self._load is not None:
            return self._load(self.model)
        import spacy

        return spacy.load(self.model)

    def extract(self, text: str) -> list[Match]:
        return [
            Match(e.start_char, e.end_char, e.text, e.text, e.text.lower())
            for e in self.pipeline(text).ents
        ]  # fmt: skip

    def signature(self) -> str:
        return f"extractor:scispacy|model:{self.model}-{default.package(self.model)}"

    def unavailable(self) -> str | None:
        if self._load is not None:
            return None
        if find_spec("spacy") is None or find_spec("scispacy") is None:
            return "scispaCy is not installed: pip install scispacy"
        if find_spec(self.model) is None:
            return (
                f"the scispaCy model {self.model} is not installed: pip install the release of {self.model} that "
                "github.com/allenai/scispacy names for your scispacy version"
            )
        return None


class Denying:
    """An extractor whose matches go through :mod:`radbench.metrics.concepts.negation`, and which remembers texts."""

    def __init__(self, inner: Extractor, policy: Negation) -> None:
        one_of("negation", policy, ("ignore", "drop", "mark"))
        self.inner, self.policy = inner, policy
        self._found: dict[str, list[Match]] = {}

    def extract(self, text: str) -> list[Match]:
        found = self._found.get(text)
        if found is None:
            if len(self._found) >= CACHED_TEXTS:
                self._found.clear()
            self._found[text] = found = negation.apply(text, self.inner.extract(text), self.policy)
        return found

    def signature(self) -> str:
        rules = "" if self.policy == "ignore" else f".{negation.VERSION}"
        return f"{self.inner.signature()}|negation:{self.policy}{rules}"

    def unavailable(self) -> str | None:
        return self.inner.unavailable()


_FACTORIES: dict[str, Callable[..., Extractor]] = {
    "concepts": DictionaryExtractor,
    "quickumls": QuickUMLSExtractor,
    "scispacy": ScispacyExtractor,
}


@lru_cache(maxsize=8)
def find_extractor(name: str, policy: Negation, options: tuple[tuple[str, Any], ...]) -> Extractor:
    """The extractor of a name with its options; the same request returns the same one, so metrics share its caches.

    Raises :class:`ConfigError` for an option that the extractor does not have.
    """
    one_of("extractor", name, EXTRACTORS)
    try:
        inner = _FACTORIES[name](**dict(options))
    except TypeError as error:
        known = _FACTORIES[name].__init__.__annotations__
        allowed = ", ".join(option for option in known if option not in ("return", "load"))
        given = ", ".join(f"{key}={value}" for key, value in options)
        raise ConfigError(f"extractor {name} does not take {given}", remedy=f"its options: {allowed}") from error
    return Denying(inner, policy)
