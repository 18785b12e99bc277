"""RadGraph F1: overlap of the clinical entities and relations that a RadGraph model finds in two reports.

The models: Jain et al. 2021 (RadGraph, NeurIPS Datasets and Benchmarks), Delbrouck et al. 2024 (RadGraph-XL, Findings of
ACL), as radgraph 0.1.18 runs them. MultiMedEval 1.0.0, and so MedDr, reports the mean ``partial`` reward of ``radgraph``.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from threading import Lock
from typing import Any, Literal

import numpy as np
from radbench.metrics.base import Card, Mean, State, one_of, references, said
from radbench.metrics.clinical.radgraph_checkpoint import Checkpoint
from radbench.metrics.clinical.radgraph_rewards import REWARDS, Entities, Entity, Reward
from radbench.metrics.clinical.weights import absent_packages

from radbench.errors import ConfigError
from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats

Model = Literal["radgraph", "radgraph-xl", "modern-radgraph-xl"]

_MARKS = re.compile(r"[/,:.!?()]")
_WORD_OR_MARKS = re.compile(r"\w+|[^\w\s]+")
# On the text before it is cut, then on the tokens joined by spaces. Escapes are those of reports exported as JSON.
_BEFORE = (("\\n", "  "), ("\\f", "  "), ("\\u2122", "      "), ('\\"', "``"))
_AFTER = ((").", ") ."), ("%.", "% ."), (".'", ". '"), ("%,", "% ,"), ("%)", "% )"))


def tokens_radgraph(report: str) -> list[str]:
    """The tokens of the model ``radgraph``: split at white space and around ``/ , : . ! ? ( )``, hyphens kept."""
    return _MARKS.sub(r" \g<0> ", report).split()


def tokens_xl(report: str) -> list[str]:
    """The tokens of the XL models: runs of word characters and runs of others, a few endings of the latter cut off."""
    for old, new in _BEFORE:
        report = report.replace(old, new)
    text = " ".join(_WORD_OR_MARKS.findall(report))
    for old, new in _AFTER:
        text = text.replace(old, new)
    return text.split()


# --- annotation ---

_CACHE_SIZE = 8192  # graphs kept, about 10 kB each
_BLOCK = 64  # texts whose token vectors are in memory at once


class Annotator:
    """A RadGraph model over a checkpoint: annotates texts, each once, of like length together.

    Graphs of the reports seen last are kept. Raises ConfigError where the checkpoint does not fit.
    """

    def __init__(self, checkpoint: Checkpoint, model: Model, device: str) -> None:
        from radbench.metrics.clinical.dygie import Dygie

        self._model = Dygie(checkpoint, device)
        self._tokens = tokens_radgraph if model == "radgraph" else tokens_xl
        self._known: OrderedDict[str, Entities] = OrderedDict()
        self._lock = Lock()

    def __call__(self, reports: Iterable[str]) -> dict[str, Entities]:
        """The entities of each distinct report. A report without tokens has none."""
        with self._lock:
            wanted = dict.fromkeys(reports)
            new = [(text, self._tokens(text)) for text in wanted if text not in self._known]
            new.sort(key=lambda pair: len(pair[1]))
            made: dict[str, Entities] = {}
            for i in range(0, len(new), _BLOCK):
                block = new[i : i + _BLOCK]
                found = self._model.extract([tokens for _, tokens in block])
                made.update((text, _entities(tokens, *f)) for (text, tokens), f in zip(block, found, strict=True))
            out = {text: made[text] if text in made else self._known[text] for text in wanted}
            self._known.update(made)
            for text in wanted:
                self._known.move_to_end(text)
            while len(self._known) > _CACHE_SIZE:
                self._known.popitem(last=False)
            return out


def _entities(
    tokens: Sequence[str], spans: Sequence[tuple[int, int, str]], relations: Sequence[tuple[int, int, str]]
) -> Entities:
    out: dict[str, Entity] = {}
    for number, (start, end, label) in enumerate(spans, 1):
        text = " ".join(tokens[start : end + 1])
        out[str(number)] = {"tokens": text, "label": label, "start_ix": start, "end_ix": end, "relations": []}
    for source, target, name in relations:
        out[str(source + 1)]["relations"].append([name, str(target + 1)])
    return out


def annotator(checkpoint: Checkpoint, model: Model, device: str) -> Annotator:
    """The annotator of a checkpoint, loaded once a process and again where its files have changed; all rewards share it."""
    return _annotator(checkpoint, model, device, checkpoint.fingerprint())


@lru_cache(maxsize=3)
def _annotator(checkpoint: Checkpoint, model: Model, device: str, mark: str) -> Annotator:
    return Annotator(checkpoint, model, device)


# --- metric ---

_FORMULAS: Mapping[str, str] = {
    "simple": "F1 of the sets of (tokens, label) of both reports' entities",
    "partial": "F1 of the sets of (tokens, label, has a relation) of both reports' entities",
    "complete": "F1 of the sets of (tokens, label), or (tokens, label, relation, target tokens) where there is a relation",
    "combined": "(F1 of the entities (tokens, label) + F1 of the relations (entity, entity, name)) / 2",
}
_VALID: Mapping[str, str] = {
    "radgraph": "chest X-ray reports in English",
    "radgraph-xl": "chest CT, abdomen and pelvis CT, brain MR and chest X-ray reports in English",
}


class RadGraphF1(Mean):
    """RadGraph F1 averaged over reports, the best over alternatives.

    ``reward``: which tuples are compared. ``model``: which annotator. ``weights``: the folder of its checkpoint, or one that
    holds a folder of the model's name (default: where ``radbench fetch weights`` puts it, then the radgraph package's cache).
    ``device``: a torch device; ``auto`` is the GPU where there is one.
    """

    accepts = (Text,)

    def __init__(
        self, reward: Reward = "partial", model: Model = "radgraph", weights: str = "", device: str = "auto"
    ) -> None:
        one_of("reward", reward, tuple(REWARDS))
        one_of("model", model, ("radgraph", "radgraph-xl", "modern-radgraph-xl"))
        self.reward, self.model, self.weights, self.device = reward, model, weights, device
        self.card = Card(
            f"RadGraph F1 ({reward})",
            _FORMULAS[reward],
            "0 to 1, higher is better"
            + ("; identical reports without relations have 0.5" if reward == "combined" else ""),
            "CXR-Report-Metric @9c9ecad, radgraph_combined" if reward == "combined" else "radgraph 0.1.18, rewards",
            valid_for=_VALID[model.removeprefix("modern-")],
            failed="a failed or empty answer, an empty reference and reports without entities count 0",
        )

    def fit(self, targets: Iterable[Target], choices: Sequence[str]) -> State:
        return (self._weights(),)

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        pairs = [[(said(p), r) for r in references(t)] for p, t in zip(predictions, targets, strict=True)]
        known = self.annotate(text for pair in pairs for h, r in pair if h and r for text in (h, r))
        reward = REWARDS[self.reward]
        return np.array(
            [max((reward(known[h], known[r]) if h and r else 0.0 for h, r in pair), default=0.0) for pair in pairs]
        )

    def annotate(self, reports: Iterable[str]) -> dict[str, Entities]:
        """The entities of each distinct report. Raises ConfigError where the model is unavailable."""
        reports = list(reports)
        if not reports:
            return {}
        if absent := absent_packages("torch", "transformers"):
            raise ConfigError(f"RadGraph cannot annotate: {absent}")
        return annotator(Checkpoint.find(self.model, self.weights), self.model, self._device())(reports)

    def unavailable(self) -> str | None:
        if absent := absent_packages("torch", "transformers"):
            return absent
        try:
            Checkpoint.find(self.model, self.weights)
        except ConfigError as error:
            return f"{error.message}; {error.remedy}"
        return None

    def signature(self, state: State) -> str:
        tokens = "radgraph" if self.model == "radgraph" else "wordpunct-xl"
        weights = state[0] if state else self._weights()
        return f"radgraph|reward:{self.reward}|model:{self.model}|weights:{weights}|tok:{tokens}|empty:0|best|v:1"

    def _weights(self) -> str:
        try:
            return Checkpoint.find(self.model, self.weights).fingerprint()
        except ConfigError:
            return "absent"

    def _device(self) -> str:
        import torch

        return ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device


def radgraph_f1(
    predictions: Sequence[str], reports: Sequence[str], reward: Reward = "partial", **options: Any
) -> list[float]:
    """RadGraph F1 of each (prediction, reference) pair of texts; options as of :class:`RadGraphF1`."""
    metric = RadGraphF1(reward, **options)
    targets = [Text((r,)) for r in reports]
    return [float(x) for x in metric.scores([Prediction(p) for p in predictions], targets, ())]


METRICS = {
    "radgraph": RadGraphF1,
}
