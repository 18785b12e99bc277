"""How MultiMedEval 0.1.0 reads an answer: cleanStr and lemmatised tokens (PyPI multimedeval 0.1.0, utils, taskFamilies).

It differs from 1.0.0 in every step, and its oddities are in its numbers:

- all ASCII punctuation becomes a blank, so "No." is cleaned to "no " with the blank kept: such a *reference* is not
  closed, and the empty token after the blank counts as one;
- an empty answer is one empty token, not none;
- tokens are cut at blanks only and replaced by their shortest noun lemma: "does" becomes "doe", "has" becomes "ha";
- to a reference whose only token is "no" the token "not" is added before recall and F1, so that "no" scores .5 and .667.
"""

from __future__ import annotations

import re
from string import punctuation

from radbench.metrics.text.wordnet import installed

_BLANKS = str.maketrans(punctuation, " " * len(punctuation))
_RUN = re.compile(" +")


def clean_str(text: str) -> str:
    """Normalise an answer as MultiMedEval 0.1.0 does."""
    return _RUN.sub(" ", text.lower().replace("\n", " ").strip().translate(_BLANKS))


def token_set(cleaned: str) -> set[str]:
    """The lemmas of a cleaned text. Raises :class:`radbench.errors.ConfigError` where WordNet is not installed."""
    lemmatize = installed().lemmatize
    return {lemmatize(token) for token in cleaned.split(" ")}
