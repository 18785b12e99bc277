"""CheXbert label scores, BERTScore and RadCliQ beside their originals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from radbench.metrics.clinical.bertscore import BASELINES, DEFAULT, bertscore
from radbench.metrics.clinical.chexbert_labels import binary_labels, exact_match, mentions, report
from radbench.metrics.clinical.radcliq import INPUTS, coefficients, multimedeval_0_1_0, radcliq, radeval_aggregate
from radbench.metrics.findings.observations import BLANK, CLASSES, NEGATIVE, OBSERVATIONS, POSITIVE, UNCERTAIN

from golden_rows import GOLDEN, Row, equal, load, pairs
from radbench.statistics import Floats

# --- CheXbert ---


def _case(name: str) -> dict[str, Any]:
    return next(c for c in load("chexbert_golden")["cases"] if c["name"] == name)


def _report(name: str, classes: int) -> Iterator[float]:
    case = _case(name)
    ours, theirs = report(np.array(case["ref"]), np.array(case["hyp"]), classes), case[f"cr{classes}"]
    yield equal(list(ours), list(theirs))
    for line, scores in theirs.items():
        yield equal(list(ours[line]), list(scores))
        yield from (abs(ours[line][k] - v) for k, v in scores.items())


def _accuracy(name: str) -> Iterator[float]:
    case = _case(name)
    yield abs(exact_match(np.array(case["ref"]), np.array(case["hyp"])).mean() - case["accuracy_5"])


def _pe_accuracy(name: str) -> Iterable[float]:
    case = _case(name)
    return np.abs(exact_match(np.array(case["ref"]), np.array(case["hyp"])) - case["pe_accuracy_5"])


def _heads() -> Iterator[float]:
    theirs = load("chexbert_golden")["label_mapping"]["heads 0..12 (4-way)"]
    yield equal({str(i): CLASSES[i] for i in range(4)}, theirs)


def _no_finding() -> Iterator[float]:
    theirs = load("chexbert_golden")["label_mapping"]["head 13 No Finding (2-way)"]
    yield equal({str(i): CLASSES[i] for i in range(2)}, theirs)
    yield equal(OBSERVATIONS, tuple(load("chexbert_golden")["target_names"]))


def _rrg() -> Iterator[float]:
    yield equal("{1,3}" in load("chexbert_golden")["label_mapping"]["rrg"], True)
    yield equal(binary_labels(np.array([[0, 1, 2, 3]])).tolist(), [[0, 1, 0, 1]])


def _classification() -> Iterator[float]:
    told = load("chexbert_golden")["label_mapping"]["classification"].split(" (")[0]  # 1->1, 2->0, 3->-1, 0->''
    theirs = dict(part.split("->") for part in told.split(", "))
    ours = mentions((POSITIVE, NEGATIVE, UNCERTAIN, BLANK))
    yield equal([str(v) for v in ours], [theirs[k].strip("'") for k in "1230"])


def _chexbert_rows() -> Iterator[Row]:
    original = "f1chexbert 0.0.2 forward, scikit-learn 1.7.2"
    for case in load("chexbert_golden")["cases"]:
        name = case["name"]
        for classes in (14, 5):
            yield Row(
                "chexbert_golden", (f"cases/{name}/cr{classes}",), f"chexbert report, {classes} classes, {name}", original, 1e-9,
                lambda n=name, c=classes: _report(n, c),
            )  # fmt: skip
        for key, ours, differences in (
            ("accuracy_5", "chexbert-accuracy", _accuracy),
            ("pe_accuracy_5", "chexbert-accuracy by report", _pe_accuracy),
        ):
            yield Row(
                "chexbert_golden", (f"cases/{name}/{key}",), f"{ours}, {name}", original, 1e-9,
                lambda n=name, d=differences: d(n),
            )  # fmt: skip
    for key, differences in (
        ("heads 0..12 (4-way)", _heads),
        ("head 13 No Finding (2-way)", _no_finding),
        ("rrg", _rrg),
        ("classification", _classification),
    ):
        yield Row(
            "chexbert_golden", (f"label_mapping/{key}",), "chexbert classes", "f1chexbert 0.0.2", 0.0, differences
        )


# --- BERTScore ---


def _tiny(run: str) -> Floats:
    """Our P, R, F of the 57 pairs in the options of a run."""
    for module in ("torch", "tokenizers", "safetensors"):
        pytest.importorskip(module)
    hypotheses, references = zip(*pairs().values(), strict=True)
    texts = {"idf_refs": references, "plain": None, "rescaled_distilroberta_baseline": None}.get(run, hypotheses)
    rescale = BASELINES[DEFAULT, 5] if "rescaled" in run else False
    return bertscore(hypotheses, references, str(GOLDEN / "tiny_roberta"), 5, texts, rescale)


def _bertscore(run: str, part: str) -> Iterator[float]:
    # Rescaling divides float32 noise by 1 - b = 0.15: bert-score itself, run again on another machine, differs from its
    # stored values by 1.2e-6 then. So the comparison is at the scale of the raw scores.
    theirs = load("bertscore_tiny_golden")["runs"][run][part]
    scale = 1 - BASELINES[DEFAULT, 5]["PRF".index(part)] if "rescaled" in run else 1.0
    ours = dict(zip(pairs(), _tiny(run)[:, "PRF".index(part)], strict=True))
    yield from (abs(ours[i] - v) * scale for i, v in theirs.items())


def _bertscore_mean(run: str) -> Iterator[float]:
    yield abs(_tiny(run)[:, 2].mean() - load("bertscore_tiny_golden")["runs"][run]["F_mean"])


def _bertscore_rows() -> Iterator[Row]:
    for run in load("bertscore_tiny_golden")["runs"]:
        original = "bert-score 0.3.13, transformers 4.57.6"
        note = ", compared before rescaling" if "rescaled" in run else ""
        for part in "PRF":
            yield Row(
                "bertscore_tiny_golden", (f"runs/{run}/{part}",), f"bertscore {part}, {run}{note}", original, 1e-6,
                lambda r=run, p=part: _bertscore(r, p),
            )  # fmt: skip
        yield Row(
            "bertscore_tiny_golden", (f"runs/{run}/F_mean",), f"bertscore mean F, {run}", original, 1e-6,
            lambda r=run: _bertscore_mean(r),
        )  # fmt: skip


# --- RadCliQ ---


def _inputs() -> Floats:
    return np.array(load("misc_golden")["radcliq"]["X"]).T


def _radcliq(version: Any) -> Iterable[float]:
    return np.abs(radcliq(*_inputs(), version=version) - load("misc_golden")["radcliq"][version])


def _radcliq_mean(version: Any) -> Iterator[float]:
    yield abs(radcliq(*_inputs(), version=version).mean() - load("misc_golden")["radcliq"][f"{version}_mean"])


def _radeval() -> Iterator[float]:
    yield abs(
        radeval_aggregate(radcliq(*_inputs())) - load("misc_golden")["radcliq"]["radeval_v1_aggregate_1_over_mean"]
    )


def _swapped() -> Iterable[float]:
    return np.abs(
        multimedeval_0_1_0(*_inputs()) - load("misc_golden")["radcliq"]["multimedeval_0_1_0_v0_columns_swapped"]
    )


def _multimedeval_1_0_0() -> Iterable[float]:
    theirs = load("multimedeval_1.0.0_golden")["out"]["composite_v1"]
    return np.abs(radcliq(*np.array(theirs["inputs_radgraph_bert_semb_bleu"]).T) - theirs["scores"])


def implied(score: float, version: Any, missing: str, **inputs: float) -> float:
    """The input that is missing for a RadCliQ to be ``score``: the model is linear in each."""
    at_zero = float(radcliq(**{**inputs, missing: 0.0}, version=version))
    return (score - at_zero) / float(coefficients(version).slopes[INPUTS.index(missing)])


# printed row of the paper -> BertScore, CheXbert, RadGraph, as MedVersa's Table 1 prints them (x 100)
MEDVERSA = {
    "ClsGen findings": ("Findings", "Radiology report generation", "ClsGen"),
    "MedVersa findings": ("Findings", "Radiology report generation", "MedVersa"),
    "ClsGen impression": ("Impression", "Radiology report generation", "ClsGen"),
    "MedVersa impression": ("Impression", "Radiology report generation", "MedVersa"),
    "ClsGen target": ("Target", "Radiology report generation", "ClsGen"),
    "MedVersa target": ("Target", "Radiology report generation", "MedVersa"),
    "EKAID": ("All", "Longitudinal study comparisons", "EKAID"),
    "MedVersa compare": ("All", "Longitudinal study comparisons", "MedVersa"),
    "PTLM vqa": ("All", "Open-ended VQA", "PTLM"),
    "MedVersa vqa": ("All", "Open-ended VQA", "MedVersa"),
    "MiniGPT-v2 roi": ("All", "Region-of-interest captioning", "MiniGPT-v2"),
    "MedVersa roi": ("All", "Region-of-interest captioning", "MedVersa"),
}


def printed(suite: str, paper_source: str) -> list[dict[str, str]]:
    """The rows of one table of a paper, from the results that ship with the package."""
    import csv
    from importlib.resources import files

    text = files("radbench.tasks.data").joinpath("published_results.csv").read_text(encoding="utf-8")
    return [r for r in csv.DictReader(text.splitlines()) if (r["suite"], r["source"]) == (suite, paper_source)]


def medversa_row(name: str) -> dict[str, float]:
    """Printed inputs of a row as fractions, and its printed RadCliQ."""
    section, task, model = MEDVERSA[name]
    found = {
        r["metric"]: float(r["value"])
        for r in printed("MedInterp", "Table 1")
        if (r["setting"], r["task"], r["model"]) == (f"section={section}", task, model)
    }
    scores = {
        k: found[m] / 100 for k, m in (("radgraph", "RadGraph"), ("bertscore", "BertScore"), ("semb", "CheXbert"))
    }
    return scores | {"reported": found["RadCliQ"]}


def _medversa(key: str) -> Iterator[float]:
    for row in load("misc_golden")["medversa_table_consistency"]:
        inputs = medversa_row(row["row"])
        reported = inputs.pop("reported")
        yield abs(reported - row["reported"])
        ours = {
            "v0_with_bleu0": lambda x: float(radcliq(**x, version="v0-nobleu")),
            "v1": lambda x: float(radcliq(**x)),
            "implied_bleu2": lambda x, r=reported: implied(r, "v0", "bleu", **x),
        }[key](inputs)
        yield abs(ours - row[key])


def _meddr(key: str, version: Any, bleu: float) -> Iterator[float]:
    printed_rows = printed("MedDr-Eval", "Table 2")
    for row in load("misc_golden")["meddr_table_consistency"]:
        dataset, _, model = row["row"].partition(" ")
        found = {
            r["metric"]: float(r["value"])
            for r in printed_rows
            if r["model"] == model and r["dataset"].startswith(dataset)
        }
        yield abs(found["RadCliQ"] - row["reported"])
        ours = implied(
            found["RadCliQ"],
            version,
            "bertscore",
            radgraph=found["F1-RadGraph"],
            semb=found["CheXbert vector"],
            bleu=bleu,
        )
        yield abs(ours - row[key])


def _radcliq_rows() -> Iterator[Row]:
    peer = "rajpurkarlab/CXR-Report-Metric @9c9ecad"
    for version in ("v0", "v1"):
        yield Row(
            "misc_golden", (f"radcliq/{version}",), f"radcliq-{version}", peer, 1e-9, lambda v=version: _radcliq(v)
        )
        yield Row(
            "misc_golden", (f"radcliq/{version}_mean",), f"radcliq-{version} mean", peer, 1e-9,
            lambda v=version: _radcliq_mean(v),
        )  # fmt: skip
    aggregate = "radcliq/radeval_v1_aggregate_1_over_mean"
    yield Row("misc_golden", (aggregate,), "radeval_aggregate", "RadEval @e0a3909", 1e-9, _radeval)
    swapped = "radcliq/multimedeval_0_1_0_v0_columns_swapped"
    yield Row("misc_golden", (swapped,), "radcliq multimedeval_0_1_0", "PyPI multimedeval 0.1.0", 1e-9, _swapped)
    yield Row(
        "multimedeval_1.0.0_golden", ("out/composite_v1/scores",), "radcliq-v1", "PyPI multimedeval 1.0.0", 1e-9,
        _multimedeval_1_0_0,
    )  # fmt: skip
    for key in ("v0_with_bleu0", "v1", "implied_bleu2"):
        yield Row(
            "misc_golden", (f"medversa_table_consistency/{key}",), f"radcliq {key}", "MedVersa Table 1, recomputed", 1e-9,
            lambda k=key: _medversa(k),
        )  # fmt: skip
    for key, version, bleu in (
        ("implied_bertscore_v1", "v1", 0.0),
        ("implied_bertscore_v0_bleu2_0_1", "v0", 0.1),
        ("implied_bertscore_v0_bleu0", "v0", 0.0),
    ):
        yield Row(
            "misc_golden", (f"meddr_table_consistency/{key}",), f"radcliq {key}", "MedDr Table 2, recomputed", 1e-9,
            lambda k=key, v=version, b=bleu: _meddr(k, v, b),
        )  # fmt: skip


ROWS: list[Row] = [*_chexbert_rows(), *_bertscore_rows(), *_radcliq_rows()]
