"""RadCliQ: its coefficients, MedVersa's printed rows, and the composite over its inputs."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from golden_rows import GOLDEN, load, pairs
from golden_rows.clinical import MEDVERSA, implied, medversa_row
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.base import Card, Mean
from radbench.metrics.clinical.radcliq import INPUTS, METRICS, VERSIONS, RadCliQ, Version, coefficients, radcliq

from radbench.records import Failure, Prediction, Text
from radbench.statistics import Measure, point

unit = st.floats(-1, 1)


@pytest.mark.parametrize("row", [name for name in MEDVERSA if name.startswith("MedVersa")])
def test_medversas_printed_rows_follow_from_its_printed_inputs(row: str) -> None:
    printed = medversa_row(row)
    reported = printed.pop("reported")
    assert abs(float(radcliq(**printed, version="v0-nobleu")) - reported) < 0.006
    assert abs(float(radcliq(**printed)) - reported) > 0.5  # v1 it is not


def test_there_are_six_such_rows() -> None:
    assert sum(name.startswith("MedVersa") for name in MEDVERSA) == 6


@pytest.mark.parametrize(
    ("version", "zero", "one"), [("v0", 5.5162, -0.2421), ("v0-nobleu", 5.5162, -0.9561), ("v1", 2.4501, -1.4407)]
)
def test_the_ends_of_the_range(version: Version, zero: float, one: float) -> None:
    assert float(radcliq(0, 0, 0, 0, version)) == pytest.approx(zero, abs=1e-4)
    assert float(radcliq(1, 1, 1, 1, version)) == pytest.approx(one, abs=1e-4)
    assert coefficients(version).at_zero == pytest.approx(zero, abs=1e-4)
    card = RadCliQ(version).card
    assert f"{zero:.3f} with all inputs 0 to {one:.3f} with all inputs 1, lower is better" in card.range


@given(unit, unit, unit, unit, st.sampled_from(VERSIONS))
def test_it_is_linear_with_the_slopes_of_the_card(a: float, b: float, c: float, d: float, version: Version) -> None:
    used = coefficients(version)
    bleu = 0.0 if version == "v0-nobleu" else d
    assert float(radcliq(a, b, c, d, version)) == pytest.approx(used.at_zero + used.slopes @ [a, b, c, bleu], abs=1e-9)


@given(unit, unit, unit, unit, st.sampled_from(INPUTS), st.sampled_from(("v0", "v1")))
def test_any_input_follows_from_the_score(
    a: float, b: float, c: float, d: float, missing: str, version: Version
) -> None:
    given_ = dict(zip(INPUTS, (a, b, c, d), strict=True))
    left = {k: v for k, v in given_.items() if k != missing}
    if version == "v1" and missing == "bleu":
        return  # its weight is 4e-12: nothing can be told from the score
    score = float(radcliq(**given_, version=version))
    assert implied(score, version, missing, **left) == pytest.approx(given_[missing], abs=1e-9)


def test_what_its_bleu_weight_says() -> None:
    assert radcliq(0.3, 0.3, 0.3, 1.0, "v0") - radcliq(0.3, 0.3, 0.3, 0.0, "v0") == pytest.approx(0.7139, abs=1e-4)
    assert abs(radcliq(0.3, 0.3, 0.3, 1.0) - radcliq(0.3, 0.3, 0.3, 0.0)) < 1e-10
    assert radcliq(0.3, 0.3, 0.3, 1.0, "v0-nobleu") == radcliq(0.3, 0.3, 0.3, 0.0, "v0-nobleu")


def test_the_mean_of_scores_is_the_score_of_mean_inputs() -> None:
    inputs = np.array(load("misc_golden")["radcliq"]["X"]).T
    assert radcliq(*inputs).mean() == pytest.approx(float(radcliq(*inputs.mean(axis=1))), abs=1e-12)


# --- the composite ---


class Told(Mean):
    """An input whose score of a pair is written in the answer: ``radgraph bertscore semb bleu``."""

    accepts: ClassVar[tuple[type, ...]] = (Text,)

    def __init__(self, column: int, failed: float) -> None:
        self.column, self.failed = column, failed
        self.card = Card(f"input {column}", "as told", "any", "test")

    def scores(self, predictions: Sequence[Prediction], targets: Sequence[Any], state: Any) -> Any:
        return np.array([float(p.value.split()[self.column]) if p.value else self.failed for p in predictions])

    def unavailable(self) -> str | None:
        return "semb not found; radbench fetch weights chexbert" if self.column == 2 and self.failed == 2 else None

    def signature(self, state: Any) -> str:
        return f"told|column:{self.column}|v:1"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every RadCliQ gets inputs that say what the answer tells them; a failed answer is an empty text to them."""
    failures = (0.0, -5.5503, -1.0, 0.0)
    inputs = tuple(Told(i, failed) for i, failed in enumerate(failures))
    monkeypatch.setattr(RadCliQ, "inputs", lambda self: inputs[: len(self.requires)])


def answers(count: int) -> tuple[list[Prediction], np.ndarray]:
    rng = random.Random(0)
    made = np.array([[rng.random(), rng.uniform(-0.6, 1), rng.random(), rng.random()] for _ in range(count)])
    return [Prediction(" ".join(map(str, row))) for row in made], made


@pytest.mark.parametrize("version", VERSIONS)
def test_the_metric_is_the_mean_of_the_function(version: Version, told: None) -> None:
    predictions, inputs = answers(40)
    targets = [Text(("reference",))] * 40
    metric = METRICS[f"radcliq-{version}"]()
    state = metric.fit(targets, ())
    rows = metric.rows(predictions, targets, state)
    expected = radcliq(*inputs.T, version=version)
    assert point(Measure(metric, state, rows)) == pytest.approx(expected.mean(), abs=1e-12)
    assert metric.sample_scores(rows, state) == pytest.approx(expected, abs=1e-12)
    order = np.random.default_rng(0).permutation(40)
    shuffled = metric.rows([predictions[i] for i in order], targets, state)
    halves = [metric.rows(predictions[s], targets[s], state) for s in (slice(0, 13), slice(13, 40))]
    assert np.array_equal(shuffled, rows[order]) and np.array_equal(np.concatenate(halves), rows)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_failed_answer_is_worse_than_any_answer(version: Version, told: None) -> None:
    predictions, _ = answers(30)
    targets = [Text(("reference",))] * 31
    metric = RadCliQ(version)
    assert metric.better == "lower"
    scores = metric.rows([*predictions, Prediction(None, Failure("empty"))], targets, metric.fit(targets, ()))[:, 0]
    assert scores[-1] > scores[:-1].max() + 3
    assert f"{scores[-1]:.2f}" in metric.card.failed


def test_it_says_which_inputs_it_needs() -> None:
    assert RadCliQ().requires == (
        "radgraph:reward=combined", "bertscore:rescale=yes,part=f1,idf=off,spaces=collapse", "chexbert-vector", "bleu-2-cxr",
    )  # fmt: skip
    assert RadCliQ("v0").requires == RadCliQ("v1").requires
    assert RadCliQ("v0-nobleu").requires == RadCliQ("v1").requires[:3]
    other = RadCliQ(inputs="multimedeval-1.0.0", idf="references").requires
    assert other[0] == "radgraph:reward=partial" and "idf=references" in other[1] and "spaces" not in other[1]
    assert other[3] == "bleu:n=2,tok=split,avg=sample"
    placed = RadCliQ(weights="/data/weights", device="cpu").requires
    assert (
        all("weights=/data/weights" in spec and "device=cpu" in spec for spec in placed[:3])
        and placed[3] == "bleu-2-cxr"
    )


def test_the_specs_of_the_inputs_are_ones_that_the_registry_reads() -> None:
    from radbench.metrics.clinical.bertscore import BertScore
    from radbench.metrics.clinical.chexbert import ChexbertVector

    from radbench.registry import construct
    from radbench.specs import parse_spec

    for options in ({}, {"weights": "/data/weights", "device": "cpu", "idf": "references"}):
        _, bertscore, vector, _ = RadCliQ(**options).requires
        assert construct(BertScore, "bertscore", *parse_spec(bertscore)[1:]).baseline is not None
        assert construct(ChexbertVector, "chexbert-vector", *parse_spec(vector)[1:]).weights == options.get(
            "weights", ""
        )


def test_it_is_computed_through_the_registry_from_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torch", "tokenizers", "safetensors"):
        pytest.importorskip(module)
    from radbench.metrics.clinical.bertscore import BASELINES, DEFAULT, BertScore, bertscore
    from radbench.metrics.text.bleu import METRICS as BLEU

    from radbench import registry

    shutil.copytree(GOLDEN / "tiny_roberta", tmp_path / "distilroberta-base")
    known = {
        "radgraph": lambda reward, weights, device: Overlap(), "chexbert-vector": lambda weights, device: Overlap(),
        "bertscore": BertScore, "bleu-2-cxr": BLEU["bleu-2-cxr"],
    }  # fmt: skip
    monkeypatch.setattr(registry, "all_metrics", lambda: known)
    monkeypatch.setattr(registry, "find_metric", cache(registry.find_metric.__wrapped__))
    made = [h for h, _ in pairs().values()], [r for _, r in pairs().values()]
    for idf, texts in (("off", None), ("references", [" ".join(filter(None, r.split(" "))) for r in made[1]])):
        metric = RadCliQ(idf=idf, weights=str(tmp_path), device="cpu")  # type: ignore[arg-type]
        targets = [Text((r,)) for r in made[1]]
        state = metric.fit(targets, ())
        rows = metric.rows([Prediction(h) for h in made[0]], targets, state)
        collapsed = [[" ".join(filter(None, t.split(" "))) for t in side] for side in made]
        expected = bertscore(*collapsed, str(tmp_path / "distilroberta-base"), 5, texts, BASELINES[DEFAULT, 5])
        overlap = np.array([overlapping(h, r) for h, r in zip(*made, strict=True)])
        assert rows[:, 0] == pytest.approx(radcliq(overlap, expected[:, 2], overlap, 0.0), abs=1e-9)
        stored = tuple(json.loads(json.dumps(metric.stored(state))))
        assert metric.signature(stored) == metric.signature(state)
        assert metric.unavailable() is None


def overlapping(hypothesis: str, reference: str) -> float:
    said, true = set(hypothesis.split()), set(reference.split())
    return len(said & true) / max(1, len(said | true))


class Overlap(Mean):
    """In place of an input whose weights are not here: the share of common words."""

    accepts: ClassVar[tuple[type, ...]] = (Text,)
    card = Card("overlap", "common words", "0 to 1, higher is better", "test")

    def score(self, prediction: Prediction, target: Any) -> float:
        return overlapping(prediction.value or "", target.first)

    def signature(self, state: Any) -> str:
        return "overlap|v:1"


def test_the_signature_names_version_protocol_and_inputs(told: None) -> None:
    signatures = {RadCliQ(v).signature(()) for v in VERSIONS} | {RadCliQ(inputs="multimedeval-1.0.0").signature(())}
    assert len(signatures) == 4
    assert RadCliQ().signature(()).startswith("radcliq|coefficients:v1|inputs:official|avg:sample|told;column:0;v:1|")


def test_it_is_unavailable_with_the_reason_of_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RadCliQ, "inputs", lambda self: (Told(0, 0), Told(2, 2)))
    assert RadCliQ().unavailable() == "semb not found; radbench fetch weights chexbert"


def test_what_it_lacks_is_said_shortly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torch", "tokenizers", "safetensors", "transformers"):
        pytest.importorskip(module)
    from radbench.metrics.clinical import weights

    monkeypatch.setattr(weights, "_hub_cache", lambda name, needs: [])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    reasons = [reason for m in RadCliQ().inputs() if (reason := m.unavailable())]
    place = f"{tmp_path}/radbench/weights or the usual caches"
    assert reasons == [
        f"{name} not found in {place}; radbench fetch weights {name}"
        for name in ("radgraph", "distilroberta-base", "chexbert")
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"version": "v2"}, "version is 'v2'"),
        ({"inputs": "radeval"}, "inputs is 'radeval'"),
        ({"version": "v0", "inputs": "multimedeval-1.0.0"}, "goes with version v1 only"),
        ({"idf": "predictions"}, "idf is 'predictions'"),
        ({"weights": "a,b"}, "comma"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RadCliQ(**options)
