"""BERTScore: greedy matching of contextual token embeddings by cosine.

Zhang et al. 2020 (ICLR, arXiv 1904.09675), as the package bert-score 0.3.13 computes it: texts stripped, RoBERTa texts
begun with a space, cut to the model's length; every token of one side takes its most similar token of the other, the two
special tokens among the candidates but without weight; precision weighs the answer's tokens, recall the reference's. A
text without tokens scores 0 before rescaling. One difference: bert-score pads the pairs of a batch, so a token all of
whose cosines are negative counts 0 there if its pair was padded; here pairs do not see each other.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from radbench.metrics.base import Card, Mean, State, one_of, references, said
from radbench.metrics.clinical.bertscore_match import Idf, Matcher, matcher, model_folder, weights_mark
from radbench.metrics.clinical.weights import MODEL, absent_packages, missing

from radbench.errors import ConfigError
from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats

DEFAULT = "distilroberta-base"
# The layers that bert-score 0.3.13 takes of some models; another model needs the option.
LAYERS = {
    DEFAULT: 5, "distilbert-base-uncased": 5, "roberta-base": 10, "roberta-large": 17, "bert-base-uncased": 9,
}  # fmt: skip
# bert-score's rescale_baseline/en/distilroberta-base.tsv, row 5: precision, recall, F.
BASELINES = {(DEFAULT, 5): (0.84732, 0.84759504, 0.8473319)}
PARTS = ("precision", "recall", "f1")
Part = Literal["f1", "precision", "recall"]


def baseline(model: str, layer: int) -> tuple[float, float, float] | None:
    """Precision, recall and F that random English pairs get, from bert-score's table of the model; None if there is none."""
    if (model, layer) in BASELINES:
        return BASELINES[model, layer]
    spec = find_spec("bert_score")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        table = Path(folder) / "rescale_baseline" / "en" / f"{model}.tsv"
        if table.is_file():
            with open(table, newline="", encoding="utf-8") as lines:
                rows = {int(r["LAYER"]): r for r in csv.DictReader(lines)}
            if layer in rows:
                return float(rows[layer]["P"]), float(rows[layer]["R"]), float(rows[layer]["F"])
    return None


def rescaled(scores: Floats, numbers: Sequence[float]) -> Floats:
    """(n, 3) precision, recall, F to (x - b) / (1 - b): 0 for a random pair, 1 for equal texts, below 0 for worse."""
    b = np.asarray(numbers, np.float32).astype(np.float64)  # bert-score holds them in float32
    return (scores - b) / (1 - b)


def bertscore(
    predictions: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    model: str = DEFAULT,
    layer: int | None = None,
    idf_texts: Iterable[str] | None = None,
    rescale: bool | Sequence[float] = False,
    weights: str = "",
    device: str = "auto",
) -> Floats:
    """(n, 3) precision, recall, F of each pair; higher is better, at most 1 (below 0 is possible when rescaled).

    ``idf_texts``: the texts whose document frequencies weigh the tokens: the references (bert-score's usual way), or the
    predictions (MultiMedEval 1.0.0); None for equal weights. ``rescale``: with the model's baseline, or three numbers.
    Raises :class:`ConfigError` where the model is absent or has no baseline. Source: bert-score 0.3.13.
    """
    layer = layer_of(model, layer)
    scorer = matcher(model, layer, weights, device)
    table = None if idf_texts is None else scorer.idf(idf_texts)
    scores = scorer.score(predictions, [(r,) if isinstance(r, str) else r for r in references], table)
    if rescale is False:
        return scores
    return rescaled(scores, required_baseline(model, layer) if rescale is True else rescale)


def layer_of(model: str, layer: int | None) -> int:
    """The given layer, or bert-score's for the model. Raises :class:`ConfigError` where that is not known."""
    if layer is None and model not in LAYERS:
        raise ConfigError(f"no layer is known for '{model}'", remedy=f"give layer=NUMBER (known: {', '.join(LAYERS)})")
    return LAYERS[model] if layer is None else int(layer)


def required_baseline(model: str, layer: int) -> tuple[float, float, float]:
    """:func:`baseline`. Raises :class:`ConfigError` where there is none."""
    if (numbers := baseline(model, layer)) is None:
        raise ConfigError(
            f"no baseline is known for layer {layer} of '{model}'", remedy="pip install bert-score, or take rescale=no"
        )
    return numbers


class BertScore(Mean):
    """BERTScore precision, recall or F, averaged over samples.

    ``idf``: ``off``, or ``references``: frequencies over all references of the task, frozen with the task version, so that a
    sample's score does not depend on which others were answered. MultiMedEval takes them from the answers of the run
    instead: no frozen state can hold those, :func:`bertscore` with ``idf_texts`` computes them. ``spaces="collapse"`` makes
    runs of spaces one, as CXR-Report-Metric does beforehand.
    """

    accepts = (Text,)

    def __init__(
        self,
        model: str = DEFAULT,
        layer: int | None = None,
        idf: Literal["off", "references"] = "off",
        rescale: Literal["no", "yes"] = "no",
        part: Part = "f1",
        spaces: Literal["keep", "collapse"] = "keep",
        weights: str = "",
        device: str = "auto",
    ) -> None:
        one_of("idf", idf, ("off", "references"))
        one_of("rescale", rescale, ("no", "yes"))
        one_of("part", part, PARTS)
        one_of("spaces", spaces, ("keep", "collapse"))
        one_of("device", device, ("auto", "cpu", "cuda"))
        self.model, self.layer = str(model), layer_of(str(model), layer)
        self.idf, self.part, self.spaces, self.weights, self.device = idf, part, spaces, str(weights), device
        self.baseline = required_baseline(self.model, self.layer) if rescale == "yes" else None
        self._column = PARTS.index(part)
        lowest = rescaled(np.zeros((1, 3)), self.baseline or (0, 0, 0))[0, self._column]
        self.card = Card(
            f"BERTScore {part if part != 'f1' else 'F1'}" + (", rescaled" if self.baseline else ""),
            "mean cosine of each token with its most similar token of the other text "
            f"({self.model}, layer {self.layer}); precision over the answer's tokens, recall over the reference's, "
            "F1 their harmonic mean" + ("; tokens weighted by idf over the references" if idf != "off" else "")
            + ("; then (x - b) / (1 - b) with the b of random pairs" if self.baseline else ""),
            ("1 for equal texts, about 0 for unrelated ones, below 0 possible" if self.baseline else "0 to 1 in practice")
            + ", higher is better",
            "bert-score 0.3.13; Zhang et al. 2020, arXiv 1904.09675",
            valid_for="English text, any modality",
            failed=f"a failed answer counts as an empty text, {lowest:.4g}",
        )  # fmt: skip

    def _matcher(self) -> Matcher:
        return matcher(self.model, self.layer, self.weights, self.device)

    def _clean(self, text: str) -> str:
        return " ".join(filter(None, text.split(" "))) if self.spaces == "collapse" else text

    def fit(self, targets: Iterable[Target], choices: Sequence[str]) -> State:
        """The document frequencies, or nothing where idf is off."""
        if self.idf == "off":
            return ()
        return self._matcher().idf(self._clean(r) for t in targets for r in references(t))

    def stored(self, state: State) -> Any:
        """The rows hold the scores already, so the digest of the frequencies is enough."""
        return ("idf", state.documents, state.digest()) if isinstance(state, Idf) else ()

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        if self.idf == "references" and not isinstance(state, Idf):
            raise TypeError("bertscore with idf=references scores with the state that fit() returned")
        answers = [self._clean(said(p)) for p in predictions]
        texts = [[self._clean(r) for r in references(t)] for t in targets]
        scores = self._matcher().score(answers, texts, state if isinstance(state, Idf) else None)
        scores = np.nan_to_num(scores, nan=0.0)  # every token is in every reference: nothing weighs
        return (rescaled(scores, self.baseline) if self.baseline else scores)[:, self._column]

    def unavailable(self) -> str | None:
        if absent := absent_packages("torch", "tokenizers", "safetensors"):
            return absent
        return None if model_folder(self.model, self.weights) else missing(self.model, MODEL, self.weights)

    def signature(self, state: State) -> str:
        idf = "off" if self.idf == "off" else f"references:{_idf_digest(state)}"
        scale = "/".join(map(str, self.baseline)) if self.baseline else "no"
        name = self.model if not Path(self.model).expanduser().is_dir() else "folder"
        options = f"model:{name}|layer:{self.layer}|part:{self.part}|idf:{idf}|rescale:{scale}|spaces:{self.spaces}"
        return (
            f"bertscore|{options}|alternatives:best|failed:empty|weights:{weights_mark(self.model, self.weights)}|v:1"
        )


def _idf_digest(state: State) -> str:
    if isinstance(state, Idf):
        return state.digest()
    stored = isinstance(state, tuple | list) and len(state) == 3 and state[0] == "idf"
    return str(state[2]) if stored else "not-frozen"


METRICS = {"bertscore": BertScore}
