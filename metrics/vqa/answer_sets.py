"""Answers that are sets of names, such as those of MIMIC-CXR-VQA: reading them, set accuracy, set F1.

Its answers are sorted lists of lower-case names, empty where nothing fits; the dataset states no score. Set equality and
set F1 are ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

import numpy as np
from radbench.metrics.base import Additive, Card, Mean, State, one_of, ratio

from radbench.records import Labels, Prediction, Target
from radbench.statistics import Floats

# --- names said in a text ---

_OUTER = " \t\r\n.!:\"'“”‘’`*[]{}"
_BULLET = re.compile(r"\s*(?:[-*•]|\d+[.)])\s+")
_AND = re.compile(r"\s*(?:\band\b|&)\s*")
_NOTHING = frozenset({"none", "nothing", "no finding", "no findings", "normal"})
_EMPTY_LISTS = frozenset({"[]", "{}", "()"})


def normalised(name: str) -> str:
    """A name in lower case, runs of white space as one blank, without quotation marks and periods around it."""
    return " ".join(name.lower().split()).strip(_OUTER)


def said_names(text: str, options: Sequence[str] = (), separator: str = ",") -> tuple[str, ...] | None:
    """The names a text lists between separators, semicolons or lines; None where it states that there is none.

    With ``options`` the parts that equal one, without regard to case, are returned as the options spell them and in
    their order, other parts are ignored; an option may hold the separator, and "a and b" names both. Without options
    every part is returned, normalised, each once.
    """
    parts = _parts(text, separator)
    keys = {" , ".join(_parts(option, separator)): option for option in options}
    if not options:
        names = tuple(dict.fromkeys(part.removeprefix("and ") for part in parts if part not in _NOTHING))
    else:
        found = set(_listed(parts, frozenset(keys)))
        names = tuple(option for key, option in keys.items() if key in found)
    denied = text.strip() in _EMPTY_LISTS or (bool(parts) and all(part in _NOTHING for part in parts))
    return None if denied and not names else names


def _parts(text: str, separator: str) -> list[str]:
    pieces = re.split(rf"[;\n]|{re.escape(separator)}", text)
    return [part for piece in pieces if (part := normalised(_BULLET.sub("", piece, count=1)))]


def _listed(parts: list[str], keys: frozenset[str]) -> Iterator[str]:
    """The keys among the parts; the longest run of parts that is a key counts first."""
    longest = max((key.count(" , ") for key in keys), default=0) + 1
    at = 0
    while at < len(parts):
        runs = (size for size in range(min(longest, len(parts) - at), 0, -1))
        size = next((size for size in runs if " , ".join(parts[at : at + size]) in keys), 0)
        if size:
            yield " , ".join(parts[at : at + size])
        else:
            yield from (name for name in _AND.split(parts[at]) if name in keys)
        at += size or 1


# --- set answers ---


def set_counts(prediction: Sequence[str], truth: Sequence[str]) -> tuple[int, int, int]:
    """True positives, false positives and false negatives of two sets of names, compared normalised."""
    said, true = ({normalised(name) for name in names} for names in (prediction, truth))
    return len(said & true), len(said - true), len(true - said)


def set_f1(prediction: Sequence[str], truth: Sequence[str], empty: float = 1.0) -> float:
    """F1 of two sets of names, 0 to 1; ``empty`` where both are empty."""
    both, extra, missed = set_counts(prediction, truth)
    return 2 * both / (2 * both + extra + missed) if both + extra + missed else empty


def _names(target: Target) -> tuple[str, ...]:
    if not isinstance(target, Labels):
        raise TypeError(f"expected a Labels target, got {type(target).__name__}")
    return target.names


class SetAccuracy(Mean):
    """Share of samples whose set of names is predicted exactly; two empty sets are equal."""

    accepts = (Labels,)
    card = Card(
        "Set accuracy",
        "share of samples with equal sets of names (lower-cased, outer punctuation and extra blanks removed)",
        "0 to 1, higher is better",
        "ours, for the list answers of MIMIC-CXR-VQA (EHRXQA), which states no score",
        failed="a failed answer is wrong, also where the true set is empty",
    )

    def score(self, prediction: Prediction, target: Target) -> float:
        names = _names(target)
        return 0.0 if prediction.value is None else float(set_counts(prediction.value, names)[1:] == (0, 0))

    def signature(self, state: State) -> str:
        return "set-accuracy|names:normalised|failed:wrong|v:1"


class SetF1(Additive):
    """F1 between sets of names.

    ``average``: ``samples``, the mean of each sample's F1 (scikit-learn ``average="samples"``), or ``micro``, of the summed
    counts. ``empty`` says what a sample with two empty sets scores in the mean: ``match`` 1, ``zero`` 0, ``skip`` nothing;
    micro never counts such a sample.
    """

    accepts = (Labels,)

    def __init__(
        self, average: Literal["samples", "micro"] = "samples", empty: Literal["match", "zero", "skip"] = "match"
    ) -> None:
        one_of("average", average, ("samples", "micro"))
        one_of("empty", empty, ("match", "zero", "skip"))
        self.average, self.empty = average, empty
        self._both_empty = {"match": 1.0, "zero": 0.0, "skip": float("nan")}[empty]
        self.card = Card(
            "Set F1" if average == "samples" else "Set F1, micro",
            "2 |P ∩ T| / (|P| + |T|) of the sets of names: "
            + ("mean over samples" if average == "samples" else "numerators and denominators summed over samples"),
            "0 to 1, higher is better",
            "ours, for the list answers of MIMIC-CXR-VQA (EHRXQA); values as scikit-learn f1_score on indicator rows",
            failed="a failed answer misses all true names" + ("; 0" if average == "samples" else ""),
        )

    def columns(self, state: State) -> tuple[str, ...]:
        return ("sum", "n") if self.average == "samples" else ("tp", "fp", "fn")

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        pairs = zip(predictions, targets, strict=True)
        if self.average == "micro":
            return np.array([set_counts(p.value or (), _names(t)) for p, t in pairs], np.float64).reshape(-1, 3)
        scores = np.array(
            [set_f1(p.value, _names(t), self._both_empty) if p.value is not None else 0.0 for p, t in pairs], np.float64
        )
        counted = ~np.isnan(scores)
        return np.stack([np.where(counted, scores, 0.0), counted.astype(np.float64)], axis=1)

    def reduce(self, sums: Floats, state: State) -> Floats:
        if self.average == "samples":
            return ratio(sums[..., 0], sums[..., 1])
        return ratio(2 * sums[..., 0], 2 * sums[..., 0] + sums[..., 1] + sums[..., 2])

    def sample_scores(self, rows: Floats, state: State) -> Floats | None:
        return self.reduce(rows, state) if self.average == "samples" else None

    def counted(self, rows: Floats) -> int:
        return int(rows[:, 1].sum()) if self.average == "samples" else len(rows)

    def signature(self, state: State) -> str:
        empty = f"|empty:{self.empty}" if self.average == "samples" else ""
        return f"set-f1|avg:{self.average}{empty}|names:normalised|failed:fn|v:1"


METRICS = {"set-accuracy": SetAccuracy, "set-f1": SetF1, "set-f1-micro": partial(SetF1, "micro")}
