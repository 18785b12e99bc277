"""Printed scores beside ours: the scale, and which metric of ours each is known (or not known) to be."""

from __future__ import annotations

import csv
from dataclasses import replace
from decimal import Decimal
from importlib.resources import files

import pytest
from radbench.tasks.published import MATCHES, PAPERS, Match, Printed, match, on_our_scale, printed_for, printed_scores

from radbench.registry import all_groups, all_tasks, find_metric

ROWS = {
    row["id"]: row
    for row in csv.DictReader(
        files("radbench.tasks.data").joinpath("published_results.csv").read_text(encoding="utf-8").splitlines()
    )
}
DIVISORS = {"percent": 100, "x100": 100, "fraction": 1, "raw": 1}


@pytest.mark.parametrize("score", printed_scores(), ids=lambda score: score.id)
def test_the_scale_is_ours_to_the_last_digit_printed(score: Printed) -> None:
    converted, row = on_our_scale(score), ROWS[score.id]
    assert converted is not None
    assert converted.divided_by == DIVISORS[score.scale]
    if row["value"] == "":
        assert converted.value is None
        return
    assert Decimal(str(converted.value)) == Decimal(row["value"]) / DIVISORS[score.scale]
    places = {100: 2, 1: 0}[converted.divided_by]
    assert f"{converted.value:.{converted.decimals}f}" == str(Decimal(row["value"]).scaleb(-places))
    if score.scale != "raw":
        assert 0 <= converted.value <= 1
    if converted.interval:
        bounds = [Decimal(row["ci_low"]), Decimal(row["ci_high"])]
        assert [Decimal(str(b)) for b in converted.interval] == [b / DIVISORS[score.scale] for b in bounds]


def test_a_unit_that_is_none_of_ours_is_not_converted() -> None:
    assert on_our_scale(replace(printed_scores()[0], scale="percentage_points")) is None


def test_every_paper_has_a_citation() -> None:
    assert {score.paper for score in printed_scores()} == PAPERS.keys()


@pytest.mark.parametrize("key", MATCHES, ids="/".join)
def test_matches_name_metrics_that_exist_and_improve_in_the_same_direction(key: tuple[str, str]) -> None:
    directions = {s.direction for s in printed_scores() if (s.suite, s.canonical) == key}
    assert {find_metric(m.metric).better for m in MATCHES[key] if m.metric} == directions


def test_every_match_is_of_a_metric_that_some_row_can_have() -> None:
    rows = [*all_tasks().values(), *all_groups()]
    possible = {(score.suite, score.canonical, metric) for row in rows for score in printed_for(row.published)
                for metric in (*row.metrics, *_optional(row))}  # fmt: skip
    for (suite, canonical), matches in MATCHES.items():
        for found in matches:
            assert (suite, canonical, found.metric) in possible


def _optional(row: object) -> list[str]:
    options = getattr(row, "options", ())
    return [m for option in options for change in option.changes.values() for m in change.get("metrics", ())]


def test_every_printed_score_of_a_suite_has_a_counterpart() -> None:
    rows = [*all_tasks().values(), *all_groups()]
    without = {
        (row.name, s.canonical)
        for row in rows
        for s in printed_for(row.published)
        if match(s, row.metrics).metric is None
    }
    assert without == {
        ("open/vqamed2019", "accuracy")
    }  # MultiMedEval's metrics stand there, none is RadFound's accuracy


@pytest.mark.parametrize(
    ("row", "canonical", "metrics", "expected", "same"),
    [
        ("RadBench/Modality Recognition", "ACC", ("accuracy", "f1-macro"), "accuracy", True),
        ("RadBench/Disease Diagnosis", "F1", ("accuracy", "f1:label=yes"), "f1:label=yes", False),
        ("RadBench/Medical VQA", "BLEU-1", ("bleu-1:avg=sample", "rouge-1"), "bleu-1:avg=sample", False),
        ("MI-01", "RadCliQ", ("bleu-4", "radcliq-v0-nobleu"), "radcliq-v0-nobleu", False),
        ("MI-17", "mean Dice", ("dice",), "dice", True),
        ("MD-13", "Accuracy", ("accuracy-macro", "f1-macro"), "accuracy-macro", False),
        ("MD-13", "Accuracy", ("accuracy", "f1-macro"), "accuracy", False),
        ("MD-13", "Macro-F1", ("accuracy", "f1-macro"), "f1-macro", True),
        ("MD-12", "Macro-F1", ("f1:over=fixed,zero_division=nan",), "f1:over=fixed,zero_division=nan", True),
        ("MD-01", "BLEU-1", ("vqa-bleu-1",), "vqa-bleu-1", False),
        ("MD-01", "BLEU-1", ("bleu-1",), None, False),
        ("RV-05", "accuracy", ("accuracy", "f1-macro"), "accuracy", True),
        ("RV-01", "accuracy", ("exact-match", "token-f1"), "exact-match", False),
        ("RV-06", "ROUGE-L", ("bleu-4", "rouge-l", "meteor"), "rouge-l", False),
    ],
)
def test_a_printed_score_is_ours_only_where_the_paper_says_enough(
    row: str, canonical: str, metrics: tuple[str, ...], expected: str | None, same: bool
) -> None:
    for score in printed_for([row]):
        if score.canonical == canonical:
            found = match(score, metrics)
            assert (found.metric, found.same) == (expected, same)
            assert bool(found.reason) != same


def test_a_metric_that_is_not_known_matches_nothing() -> None:
    unknown = replace(printed_scores()[0], canonical="BLEURT")
    found = match(unknown, ("accuracy", "bleu-1"))
    assert found == Match(None, found.reason)
    assert found.reason
    assert not found.same
