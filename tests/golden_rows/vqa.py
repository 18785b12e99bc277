"""MultiMedEval's VQA scores, its option matching, and PMC-VQA's difflib matching."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from radbench.metrics.text.wordnet import unavailable
from radbench.metrics.vqa.choices import multimedeval_option, multimedeval_vote
from radbench.metrics.vqa.matching import closest_option, most_similar_option, original_option, ratios
from radbench.metrics.vqa.multimedeval import _READINGS, MultiMedEvalVQA, Part, Version, clean_str, pair_statistics

from golden_rows import Row, equal, load
from radbench.records import Prediction, Text
from radbench.statistics import Measure, point

# their name -> ours, tolerance: torchmetrics computes BLEU in float32
METRICS: dict[str, tuple[Part, float]] = {
    "bleu": ("bleu-1", 1e-6),
    "F1": ("f1", 1e-9),
    "recall": ("recall", 1e-9),
    "closedQuestionsAccuracy": ("closed-accuracy", 1e-9),
    "openQuestionsRecall": ("open-recall", 1e-9),
    "openQuestionsAccuracy": ("open-accuracy", 1e-9),
}
STATISTICS = {"F1": ("f1", 1e-9), "BLEU": ("bleu1", 1e-6), "recall": ("recall", 1e-9)}
SUBSETS: dict[Version, tuple[str, ...]] = {
    "1.0.0": ("VQA_vqa", "VQA_vqa_and_edge", "VQA_all"),
    "0.1.0": ("VQA_vqa", "VQA_vqa_and_edge"),
}


def _answers(version: Version, subset: str) -> list[tuple[str, str, dict[str, Any]]]:
    """(prediction, reference, the original's row) of a subset; version 0.1.0 was run on the same pairs."""
    if version == "0.1.0" and (reason := unavailable()):
        pytest.skip(reason)
    rows = load(f"multimedeval_{version}_golden")["out"][subset]["rows"]
    asked = load("multimedeval_1.0.0_golden")["out"][subset]["rows"]
    return [(asked[i]["predicted"], asked[i]["correct"], row) for i, row in rows.items()]


def _aggregates(version: Version, name: str) -> Callable[[], Iterator[float]]:
    def differences() -> Iterator[float]:
        metric = MultiMedEvalVQA(METRICS[name][0], version)
        for subset in SUBSETS[version]:
            answers = _answers(version, subset)
            rows = metric.rows([Prediction(p) for p, _, _ in answers], [Text((r,)) for _, r, _ in answers], ())
            original = load(f"multimedeval_{version}_golden")["out"][subset]["metrics"][name]
            yield abs(point(Measure(metric, (), rows)) - original)

    return differences


def _each_row(version: Version, name: str) -> Callable[[], Iterator[float]]:
    def differences() -> Iterator[float]:
        for subset in SUBSETS[version]:
            for predicted, correct, row in _answers(version, subset):
                if name in STATISTICS:
                    yield abs(pair_statistics(predicted, correct, version)[STATISTICS[name][0]] - row[name])
                else:
                    yield equal(_texts(version, predicted, correct)[name], row[name])

    return differences


def _texts(version: Version, predicted: str, correct: str) -> dict[str, object]:
    """Cleaned texts and sorted tokens; the original logs the true tokens after it has added "not" to a closed "no"."""
    clean, tokens, _ = _READINGS[version]
    said, true = clean(predicted), clean(correct)
    true_tokens = tokens(true)
    return {
        "clean_predicted": said,
        "clean_correct": true,
        "predicted_tokens": sorted(tokens(said)),
        "correct_tokens": sorted(true_tokens | {"not"} if true_tokens == {"no"} else true_tokens),
    }


def _clean_table() -> Iterator[float]:
    for text, cleaned in load("multimedeval_1.0.0_golden")["out"]["clean_str"].items():
        yield equal(clean_str(text), cleaned)


def _medmcqa() -> Iterator[float]:
    original = load("multimedeval_1.0.0_golden")["out"]["MedMCQA_get_predicted_answer"]
    for text, answer in original["preds"].items():
        index = multimedeval_option(text, original["options"])
        yield equal("Invalid answer" if index is None else str(index + 1), answer)


def _pubmedqa() -> Iterator[float]:
    words = ("yes", "no", "maybe")
    for text, answer in load("multimedeval_1.0.0_golden")["out"]["PubMedQA_get_predicted_answer"].items():
        index = multimedeval_vote(text, words)
        yield equal("Invalid answer" if index is None else words[index], answer)


Ours = Callable[[str, list[str]], object]


def _first_best(similar: list[float]) -> int:
    """The table's argmax is plain: 0 where all ratios are 0, where the matching itself says None."""
    return similar.index(max(similar))


# name in the golden file -> our value, as the original writes it
DIFFLIB: dict[str, tuple[str, Ours]] = {
    "peer_index": ("difflib-mixed", original_option),
    "ratios_opt_first": ("ratios", ratios),
    "ratios_pred_first": ("ratios order=text-first", lambda text, options: ratios(text, options, order="text-first")),
    "ratios_lower_opt_first": ("ratios case=lower", lambda text, options: ratios(text, options, case="lower")),
    "get_close_matches_cut0": ("difflib-close-matches", closest_option),
    "argmax_ratios_opt_first": ("first best of ratios", lambda text, options: _first_best(ratios(text, options))),
    "argmax_ratios_pred_first": (
        "first best of ratios order=text-first",
        lambda text, options: _first_best(ratios(text, options, order="text-first")),
    ),
    "argmax_ratios_lower_opt_first": (
        "difflib, or the first",
        lambda text, options: most_similar_option(text, options) or 0,
    ),
}


def _difflib(questions: str, name: str) -> Callable[[], Iterable[float]]:
    ours = DIFFLIB[name][1]

    def differences() -> Iterator[float]:
        original = load("misc_golden")["difflib"][questions]
        options = original["options"]
        for text, row in original["table"].items():
            value, theirs = ours(text, options), row[name]
            if isinstance(value, list):
                yield from (abs(a - b) for a, b in zip(value, theirs, strict=True))
            elif name == "get_close_matches_cut0":
                yield equal([] if value is None else [options[value]], theirs)
            else:
                yield equal(value, theirs)

    return differences


ROWS: list[Row] = [
    Row(
        f"multimedeval_{version}_golden",
        tuple(f"out/{subset}/metrics/{name}" for subset in subsets),
        f"vqa-{part}:version={version}",
        f"multimedeval {version} VQA",
        tolerance,
        _aggregates(version, name),
    )
    for version, subsets in SUBSETS.items()
    for name, (part, tolerance) in METRICS.items()
]
ROWS += [
    Row(
        f"multimedeval_{version}_golden",
        tuple(f"out/{subset}/rows/{name}" for subset in subsets),
        f"{name} of each answer, version={version}",
        f"multimedeval {version} VQA",
        STATISTICS.get(name, ("", 0.0))[1],
        _each_row(version, name),
    )
    for version, subsets in SUBSETS.items()
    for name in (*STATISTICS, "correct_tokens", "predicted_tokens", "clean_correct", "clean_predicted")
]
ROWS += [
    Row("multimedeval_1.0.0_golden", (f"out/{key}",), ours, original, 0.0, differences)
    for key, ours, original, differences in (
        ("clean_str", "vqa.clean_str", "multimedeval 1.0.0 clean_str", _clean_table),
        ("MedMCQA_get_predicted_answer/preds", "match=multimedeval-1.0.0", "multimedeval 1.0.0 MedMCQA", _medmcqa),
        ("PubMedQA_get_predicted_answer", "choices.multimedeval_vote", "multimedeval 1.0.0 PubMedQA", _pubmedqa),
    )
]
ROWS += [
    Row(
        "misc_golden",
        (f"difflib/{questions}/table/{name}",),
        ours,
        "difflib, PMC-VQA test_SLAKE.py",
        1e-9,
        _difflib(questions, name),
    )
    for questions in ("modality", "yes_no")
    for name, (ours, _) in DIFFLIB.items()
]
