"""RadCliQ: a weighted sum of four report metrics, fitted to the errors that radiologists counted. Lower is better.

Yu et al. 2023 (Patterns 4, 100802), rajpurkarlab/CXR-Report-Metric @9c9ecad: each input is standardised (x - mean) / scale
and a linear model predicts the number of errors (v0) or an error score (v1). The coefficients are written here as numbers;
the original's are pickles of scikit-learn 1.1.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from radbench.metrics.base import Card, Composite, State, one_of
from radbench.metrics.clinical.bertscore import BASELINES, DEFAULT

from radbench.statistics import Floats

Version = Literal["v0", "v0-nobleu", "v1"]
VERSIONS: tuple[Version, ...] = ("v0", "v0-nobleu", "v1")
INPUTS = ("radgraph", "bertscore", "semb", "bleu")  # the order of the numbers below


@dataclass(frozen=True, slots=True)
class Coefficients:
    """score = intercept + sum of weight * (input - mean) / scale, inputs in the order of ``INPUTS``."""

    mean: tuple[float, float, float, float]
    scale: tuple[float, float, float, float]
    weight: tuple[float, float, float, float]
    intercept: float

    @property
    def slopes(self) -> Floats:
        """(4,) change of the score with each input."""
        return np.array(self.weight) / np.array(self.scale)

    @property
    def at_zero(self) -> float:
        """The score with all inputs 0."""
        return self.intercept - float(self.slopes @ np.array(self.mean))


V0 = Coefficients(  # CXRMetric/normalizer.pkl (n = 200) and composite_metric_model.pkl
    (0.5398376019082272, 0.6312549595000001, 0.7716797866672277, 0.4607372064809605),
    (0.3018344440559102, 0.22466950746141123, 0.24750333805236252, 0.30336670936092264),
    (-0.4796252644863446, -0.6762170542369337, -0.46366575161751994, 0.2165861905287535),
    1.641666666666666,
)
V1 = Coefficients(  # CXRMetric/radcliq-v1.pkl (n = 160); multimedeval 1.0.0 ships the same numbers
    (0.5379231241355762, 0.6175725628125001, 0.7647942121140658, 0.44738335396242174),
    (0.3028258411486429, 0.22430938459304575, 0.2539439110169773, 0.2989271671041838),
    (-0.37708368261038905, -0.37030009974480316, -0.25261621789593225, 4.315048405024756e-12),
    2.466552561323256e-10,
)


def coefficients(version: Version) -> Coefficients:
    """The numbers of a version; ``v0-nobleu`` has v0's and is fed BLEU 0. Raises ValueError for another name."""
    one_of("version", version, VERSIONS)
    return V1 if version == "v1" else V0


def radcliq(
    radgraph: ArrayLike, bertscore: ArrayLike, semb: ArrayLike, bleu: ArrayLike = 0.0, version: Version = "v1"
) -> Floats:
    """RadCliQ of reports from their inputs, broadcast together; lower is better, the aggregate is the mean.

    ``radgraph``: mean of entity and relation F1. ``bertscore``: rescaled F1 of distilroberta-base. ``semb``: cosine of CheXbert
    embeddings. ``bleu``: BLEU-2; ``v0-nobleu`` ignores it. v0 goes from 5.516 (all 0) to -0.242 (all 1), v1 from 2.450 to
    -1.441; a BERTScore below 0 goes beyond. Source: CXR-Report-Metric @9c9ecad.
    """
    used = coefficients(version)
    inputs = [radgraph, bertscore, semb, np.zeros(()) if version == "v0-nobleu" else bleu]
    columns = np.stack(np.broadcast_arrays(*(np.asarray(x, np.float64) for x in inputs)), axis=-1)
    return used.intercept + ((columns - np.array(used.mean)) / np.array(used.scale)) @ np.array(used.weight)


def multimedeval_0_1_0(radgraph: ArrayLike, bertscore: ArrayLike, semb: ArrayLike, bleu1: ArrayLike) -> Floats:
    """What multimedeval 0.1.0 printed as RadCliQ: v0 with radgraph and BLEU-1 in each other's column. For old numbers only."""
    return radcliq(radgraph=bleu1, bertscore=bertscore, semb=semb, bleu=radgraph, version="v0")


def radeval_aggregate(scores: ArrayLike) -> float:
    """RadEval's aggregate of v1 scores, 1 / mean: higher is better there, so it cannot be compared with a mean."""
    return float(1 / np.mean(np.asarray(scores, np.float64)))


_EMPTY_BERTSCORE = -BASELINES[DEFAULT, 5][2] / (1 - BASELINES[DEFAULT, 5][2])  # rescaled F1 of an empty text
_BLEU_ROLE = {
    "v0": "BLEU-2 has a positive weight: more BLEU means a worse score, +0.71 from 0 to 1",
    "v0-nobleu": "BLEU is held at 0, as MedVersa's printed numbers imply; v0's other weights are as they were",
    "v1": "BLEU-2 has the weight 4e-12: it does not matter",
}


def _card(version: Version, protocol: str) -> Card:
    used = coefficients(version)
    best = float(radcliq(1, 1, 1, 1, version))
    empty = float(radcliq(0, _EMPTY_BERTSCORE, -1, 0, version))
    shown = zip(("RadGraph", "BERTScore", "CheXbert", "BLEU-2"), used.slopes, strict=True)
    terms = [f"{slope:+.3f} {name}" for name, slope in shown if name != "BLEU-2" or version == "v0"]
    return Card(
        f"RadCliQ-{version}: report quality as radiologists judge it, lower is better",
        f"{used.at_zero:.3f} {' '.join(terms)}; a linear model fitted to the errors that radiologists counted in chest X-ray "
        "reports. RadGraph: F1 of the findings and their relations; BERTScore: rescaled F1, meaning matched word by word; "
        f"CheXbert: cosine of the report embeddings. {_BLEU_ROLE[version]}",
        f"{used.at_zero:.3f} with all inputs 0 to {best:.3f} with all inputs 1, lower is better; equal reports lie near the "
        "lower end, a BERTScore below 0 lies beyond the upper one",
        "Yu et al. 2023, Patterns 4, 100802; rajpurkarlab/CXR-Report-Metric @9c9ecad"
        + ("; PyPI multimedeval 1.0.0" if protocol != "official" else ""),
        valid_for="chest X-ray reports in English",
        failed=f"a failed answer counts as an empty text with cosine -1: {empty:.2f}, above any real answer",
    )


class RadCliQ(Composite):
    """RadCliQ of a version, the mean over reports; its four inputs are metrics of their own (``requires``).

    ``inputs="multimedeval-1.0.0"``: v1 with RadGraph's partial F1 and torchmetrics' BLEU-2, as MultiMedEval (MedDr) computes it,
    except that its BERTScore idf comes from the answers of the run; give ``idf="references"`` to have a frozen one instead.
    ``weights``: a folder with the folders ``radgraph``, ``chexbert``, ``bert-base-uncased`` and ``distilroberta-base``.
    """

    better: ClassVar[Literal["higher", "lower"]] = "lower"

    def __init__(
        self,
        version: Version = "v1",
        inputs: Literal["official", "multimedeval-1.0.0"] = "official",
        idf: Literal["off", "references"] = "off",
        weights: str = "",
        device: str = "auto",
    ) -> None:
        one_of("version", version, VERSIONS)
        one_of("inputs", inputs, ("official", "multimedeval-1.0.0"))
        one_of("idf", idf, ("off", "references"))
        if inputs != "official" and version != "v1":
            raise ValueError(f"inputs is '{inputs}', which goes with version v1 only, not '{version}'")
        if "," in str(weights):
            raise ValueError(f"weights is {str(weights)!r}: a folder name with a comma cannot be handed to the inputs")
        self.version: Version = version
        self.protocol = inputs
        self.requires = _requires(version, inputs, idf, str(weights), device)
        self.card = _card(version, inputs)

    def combine(self, inputs: Sequence[Floats]) -> Floats:
        radgraph, bertscore, semb, *bleu = inputs
        return radcliq(radgraph, bertscore, semb, bleu[0] if bleu else 0.0, self.version)

    def signature(self, state: State) -> str:
        metrics = self.inputs()
        frozen = len(state) == len(metrics) and not any(isinstance(s, str) for s in state)  # else fit() did not make it
        states = state if frozen else ((),) * len(metrics)
        parts = (m.signature(s).replace("|", ";") for m, s in zip(metrics, states, strict=True))
        return f"radcliq|coefficients:{self.version}|inputs:{self.protocol}|avg:sample|" + "|".join(parts) + "|v:1"


def _requires(version: str, inputs: str, idf: str, weights: str, device: str) -> tuple[str, ...]:
    """The specs of the inputs. Spaces are collapsed before BERTScore by CXR-Report-Metric, not by MultiMedEval."""
    official = inputs == "official"
    where = (f",weights={weights}" if weights else "") + (f",device={device}" if device != "auto" else "")
    spaces = ",spaces=collapse" if official else ""
    radgraph = f"radgraph:reward={'combined' if official else 'partial'}{where}"
    bertscore = f"bertscore:rescale=yes,part=f1,idf={idf}{spaces}{where}"
    vector = f"chexbert-vector{':' + where[1:] if where else ''}"
    if version == "v0-nobleu":
        return (radgraph, bertscore, vector)
    return (radgraph, bertscore, vector, "bleu-2-cxr" if official else "bleu:n=2,tok=split,avg=sample")


METRICS = {f"radcliq-{version}": partial(RadCliQ, version=version) for version in VERSIONS}
