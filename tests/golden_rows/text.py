"""Text metrics against sacreBLEU, evaluate, NLTK, torchmetrics, rouge_score, pycocoevalcap and CXR-Report-Metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from radbench.metrics.base import Metric
from radbench.metrics.text.tokens import Tokeniser, tokens

from golden_rows import Row, equal, load, pairs
from radbench.records import Prediction, Text
from radbench.registry import find_metric
from radbench.statistics import Measure, point

FILE = "text_golden"
KINDS = ("report", "vqa_closed", "vqa_open", "all", "nonempty")


def metric_of(spec: str) -> Metric:
    metric = find_metric(spec)
    if (reason := metric.unavailable()) is not None:
        pytest.skip(reason)
    return metric


def value(metric: Metric, texts: Sequence[tuple[str, str]]) -> float:
    """The score of (answer, reference) texts."""
    predictions, targets = [Prediction(h) for h, _ in texts], [Text((r,)) for _, r in texts]
    state = metric.fit(targets, ())
    return point(Measure(metric, state, metric.rows(predictions, targets, state)))


def golden(name: str) -> Mapping[str, Any]:
    return load(FILE)["metrics"][name]


def subset(name: str) -> list[tuple[str, str]]:
    return [pairs()[i] for i in load(FILE)["subsets"][name]]


def compared(spec: str, name: str, at: Callable[[Any], Any] = lambda v: v, suffix: str = "") -> Iterator[float]:
    """Differences of every pair and every subset the original scored; what made it raise has no value to compare."""
    metric = metric_of(spec)
    for pair, expected in (golden(name)["per_pair"] or {}).items():
        if not isinstance(expected, dict) or "error" not in expected:
            yield abs(value(metric, [pairs()[pair]]) - at(expected))
    aggregate = golden(name)["aggregate"] or {}
    for kind in KINDS:
        if kind + suffix in aggregate:
            yield abs(value(metric, subset(kind)) - at(aggregate[kind + suffix]))


def row(name: str, spec: str, tolerance: float = 1e-9, **how: Any) -> Row:
    return Row(FILE, (f"metrics/{name}",), spec, name, tolerance, lambda: compared(spec, name, **how))


def torchmetrics(n: int) -> Row:
    name, spec = f"torchmetrics_bleu{n}", f"bleu:n={n},tok=split,avg=sample"

    def differences() -> Iterator[float]:
        yield from compared(spec, name, suffix="_mean")
        corpus = metric_of(f"bleu:n={n},tok=split")
        for kind in KINDS:
            yield abs(value(corpus, subset(kind)) - golden(name)["aggregate"][f"{kind}_corpus"])

    return Row(FILE, (f"metrics/{name}",), f"{spec} and corpus", "torchmetrics 1.9 BLEUScore", 1e-6, differences)


def token_row(name: str, tokeniser: Tokeniser) -> Row:
    def differences() -> Iterator[float]:
        if tokeniser == "punkt":
            metric_of("bleu:tok=punkt")
        for pair, (reference, hypothesis) in golden(name)["per_pair"].items():
            said, true = pairs()[pair]
            yield equal([tokens(true, tokeniser), tokens(said, tokeniser)], [reference, hypothesis])

    return Row(FILE, (f"metrics/{name}",), f"tokens {tokeniser}", name, 0.0, differences)


def rouge_rows() -> Iterator[Row]:
    names = {"rouge1": "rouge-1", "rouge2": "rouge-2", "rougeL": "rouge-l", "rougeLsum": "rouge-lsum"}
    for name, tokeniser in (("rouge_score", "rouge"), ("rouge_score_stem", "rouge-stem")):
        for kind, ours in names.items():
            for at, part in enumerate(("precision", "recall", "f")):
                yield row(name, f"{ours}:tok={tokeniser},part={part}", at=lambda v, k=kind, i=at: v[k][i])
    for kind in ("rouge1", "rougeL"):
        for part, theirs in (("precision", "precision"), ("recall", "recall"), ("f", "fmeasure")):
            spec = f"{names[kind]}:part={part}"

            def differences(spec: str = spec, field: str = f"{kind}_{theirs}") -> Iterator[float]:
                metric = metric_of(spec)
                for pair, expected in golden("torchmetrics_rouge")["per_pair"].items():
                    yield abs(value(metric, [pairs()[pair]]) - expected[field])
                for group, means in golden("torchmetrics_rouge")["aggregate"].items():
                    if field in means:
                        yield abs(value(metric, subset(group)) - means[field])

            yield Row(FILE, ("metrics/torchmetrics_rouge",), spec, "torchmetrics 1.9 ROUGEScore", 1e-6, differences)


def evaluate_rouge(kind: str, spec: str, drawn_before: int) -> Row:
    """evaluate's default: the median of 1,000 bootstrap means, the types drawn one after the other from one generator."""

    def differences() -> Iterator[float]:
        metric = metric_of(spec)
        expected = golden("evaluate_rouge_aggregator")["aggregate"]
        for name in KINDS:
            texts = subset(name)
            scores = metric.rows([Prediction(h) for h, _ in texts], [Text((r,)) for _, r in texts], ())[:, 0]
            generator = np.random.RandomState(0)
            generator.choice(len(scores), 1000 * len(scores) * drawn_before)
            means = [np.mean(generator.choice(scores, len(scores))) for _ in range(1000)]
            yield abs(float(np.percentile(means, 50)) - expected[name][kind])

    return Row(
        FILE, ("metrics/evaluate_rouge_aggregator",), spec, "evaluate rouge, np.random.seed(0)", 1e-9, differences
    )


def pycoco_ptb() -> Row:
    """The golden file holds the texts as Stanford's PTB tokeniser left them; our metrics score those."""
    specs = {
        **{f"b{n}": f"bleu:n={n},tok=split,smooth=pycoco" for n in (1, 2, 3, 4)},
        "rougeL": "rouge-l:tok=space,beta=1.2",
        "cider": "cider",
    }

    def differences() -> Iterator[float]:
        cases = golden("pycoco_ptb_all")["per_pair"]
        texts = [(c["hyp"], c["ref"]) for c in cases.values()]
        predictions, targets = [Prediction(h) for h, _ in texts], [Text((r,)) for _, r in texts]
        aggregate = golden("pycoco_ptb_all")["aggregate"]
        means = {**{f"b{i + 1}": v for i, v in enumerate(aggregate["bleu"])}, **aggregate}
        for field, spec in specs.items():
            metric = metric_of(spec)
            state = metric.fit(targets, ())
            rows = metric.rows(predictions, targets, state)
            scores = metric.sample_scores(rows, state)
            yield from (abs(s - c[field]) for s, c in zip(scores, cases.values(), strict=True))
            yield abs(point(Measure(metric, state, rows)) - means[field])

    key = ("metrics/pycoco_ptb_all",)
    return Row(
        FILE, key, "bleu, rouge-l, cider on PTB tokens", "pycocoevalcap 1.2 with PTBTokenizer", 1e-9, differences
    )


def meteor_java() -> Row:
    def differences() -> Iterator[float]:
        metric, expected = metric_of("meteor-java"), golden("pycoco_meteor_java")
        cases = golden("pycoco_ptb_all")["per_pair"]
        predictions = [Prediction(c["hyp"]) for c in cases.values()]
        rows = metric.rows(predictions, [Text((c["ref"],)) for c in cases.values()], ())
        for score, pair in zip(metric.sample_scores(rows, ()), cases, strict=True):
            yield abs(score - expected["per_pair"][pair])
        yield abs(point(Measure(metric, (), rows)) - expected["aggregate"])

    return Row(
        FILE, ("metrics/pycoco_meteor_java",), "meteor-java", "pycocoevalcap 1.2 Meteor (java)", 1e-9, differences
    )


def multimedeval_reports() -> Iterator[Row]:
    file, originals = "multimedeval_1.0.0_golden", "PyPI multimedeval 1.0.0 ReportComparison"
    specs = {
        **{f"bleu{n}": f"bleu:n={n},tok=split,avg=sample" for n in (1, 2, 4)},
        "rouge1": "rouge-1", "rougeL": "rouge-l", "meteor": "meteor",
    }  # fmt: skip
    for field, spec in specs.items():
        keys = (f"out/reports/{field}", *(f"out/reports_mean/{s}/{field}" for s in ("report", "report_and_edge")))

        def differences(field: str = field, spec: str = spec) -> Iterator[float]:
            metric, out = metric_of(spec), load(file)["out"]
            for pair, scores in out["reports"].items():
                if field in scores:
                    yield abs(value(metric, [pairs()[pair]]) - scores[field])
            for name, kinds in (("report", ("r",)), ("report_and_edge", ("r", "e"))):
                texts = [pairs()[i] for i in out["reports"] if i[0] in kinds]
                yield abs(value(metric, texts) - out["reports_mean"][name][field])

        yield Row(file, keys, spec, originals, 1e-9 if field == "meteor" else 1e-6, differences)


ROWS: list[Row] = [
    row("sacrebleu_corpus_default", "bleu:smooth=exp"),
    row("sacrebleu_corpus_lower", "bleu:smooth=exp,case=lower"),
    row("sacrebleu_bleu1", "bleu-1"),
    row("sacrebleu_sentence", "bleu:smooth=exp,order=effective,avg=sample"),
    *(row(f"evaluate_bleu{n}", f"bleu-{n}") for n in (1, 2, 4)),
    row("evaluate_bleu4_smooth", "bleu:smooth=add1"),
    *(
        row(f"nltk_bleu{n}_{name}", f"bleu:n={n},tok={tok},case={case},smooth=nltk")
        for name, tok, case in (
            ("split", "split", "mixed"),
            ("punkt", "punkt", "mixed"),
            ("lowersplit", "split", "lower"),
        )
        for n in (1, 2, 4)
    ),
    *(
        row(f"nltk_bleu4_lowersplit_smooth{k}", f"bleu:tok=split,case=lower,smooth=nltk{k},avg=sample")
        for k in (1, 3, 4, 7)
    ),
    *(torchmetrics(n) for n in (1, 2, 4)),
    *(row("pycoco_bleu", f"bleu:n={n},tok=split,smooth=pycoco", at=lambda v, i=n - 1: v[i]) for n in (1, 2, 3, 4)),
    *(row(f"radeval_bleu{n}", f"bleu:n={n},tok=split,smooth=pycoco") for n in (2, 4)),
    row("cxr_report_metric_bleu2", "bleu-2-cxr"),
    *rouge_rows(),
    row("pycoco_rougeL", "rouge-l:tok=space,beta=1.2"),
    pycoco_ptb(),
    meteor_java(),
    evaluate_rouge("rouge1", "rouge-1", 0),
    evaluate_rouge("rougeL", "rouge-l", 1),
    row("nltk_meteor", "meteor"),
    row("nltk_meteor_split", "meteor:tok=split"),
    token_row("tok_13a", "13a"),
    token_row("tok_rouge", "rouge"),
    token_row("tok_punkt", "punkt"),
    token_row("tok_cxr", "cxr"),
    *multimedeval_reports(),
]
