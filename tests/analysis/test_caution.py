"""Warnings of intervals that are less sure than they look."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from radbench.metrics.labels.classification import Accuracy

import radbench
from radbench.caution import caution_lines, cautions
from radbench.records import Prediction, Text
from radbench.registry import find_metric
from radbench.report import load_results, notes
from radbench.scoring import as_entry
from radbench.statistics import Measure, clusters_of, macro, wilson


def metric(signature: str = "accuracy|v:1", **fields: Any) -> dict[str, Any]:
    return {"value": 0.5, "low": 0.4, "high": 0.6, "defined": 1000, "n": 200, "signature": signature, **fields}


def entry(metrics: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "access": "open", "clusters": 200, "clustered": True, "classes": {}, "metrics": metrics or {"accuracy": metric()},
        **fields,
    }  # fmt: skip


def told(of: dict[str, Any]) -> list[str]:
    return [str(c) for c in cautions(of, 1000)]


def results(tasks: dict[str, Any], groups: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"resamples": 1000, "tasks": tasks, "groups": groups or {}}


def test_nothing_is_said_of_a_large_ordinary_task() -> None:
    assert told(entry(clusters=100, classes={"yes": 20, "no": 180}, metrics={"f1": metric("f1|avg:macro")})) == []


@pytest.mark.parametrize(("clustered", "unit"), [(True, "99 patients"), (False, "99 samples")])
def test_few_clusters_are_counted(clustered: bool, unit: str) -> None:
    (line,) = told(entry(clusters=99, clustered=clustered))
    assert line.startswith(f"{unit}: fewer than 100 patients")
    assert "intervals are too narrow and p values too small" in line
    assert "docs/statistics.md" in line
    assert told(entry(clusters=0, metrics={"accuracy": metric(value=None, defined=0, method="none")})) == []


def test_rare_classes_are_named_where_a_metric_averages_over_classes() -> None:
    classes = {"CT": 150, "MRI": 19, "PET": 3, "X-ray": 20}
    for signature in (
        "f1|avg:macro|over:present|classes:4|zero:0|failed:fn|v:1",
        "balanced-accuracy|classes:4|failed:none|v:1",
        "accuracy-macro|classes:4|failed:none|v:1",
        "auroc|avg:macro|classes:4|ties:half|no-score:worst|v:1",
    ):
        (line,) = told(entry({"m": metric(signature)}, classes=classes))
        assert line.startswith("PET 3, MRI 19: classes of fewer than 20 samples")
    for signature in ("accuracy|match:exact-set|failed:wrong|v:1", "f1|avg:micro|classes:4|zero:0|failed:fn|v:1"):
        assert told(entry({"m": metric(signature)}, classes=classes)) == []
    (line,) = told(entry({"m": metric("f1|label:MRI|classes:4|zero:0|failed:fn|v:1")}, classes=classes))
    assert line.startswith("MRI 19: ")


def test_signatures_of_class_averages_are_recognised() -> None:
    """The metrics' own signatures, so that a change of their wording is seen here."""
    for spec in (
        "f1-macro",
        "f1:over=fixed",
        "auroc",
        "auprc",
        "balanced-accuracy",
        "accuracy-macro",
        "box-iou:average=class",
    ):
        found = find_metric(spec).signature(("a", "b"))
        assert told(entry({spec: metric(found)}, classes={"a": 5})), spec
    for spec in ("accuracy", "f1-micro", "f1-samples", "kappa"):
        found = find_metric(spec).signature(("a", "b"))
        assert told(entry({spec: metric(found)}, classes={"a": 5})) == [], spec


def test_names_of_restricted_classes_are_not_told() -> None:
    secret = {"rare disease": 4, "rarer disease": 2, "common": 500}
    of = entry({"f1": metric("f1|avg:macro")}, classes=secret, access="credentialed")
    (line,) = told(of)
    assert line.startswith("2 classes, the smallest of 2 samples: ")
    assert "disease" not in line + "".join(caution_lines(results({"t": of})))


def test_how_an_interval_was_made_is_told() -> None:
    of = entry(
        {
            "auroc": metric(defined=940),
            "auprc": metric(defined=950),
            "bleu-4": metric(value=0.0, low=0.0, high=0.1, method="wilson"),
            "dice": metric(low=0.5, high=0.5, method="constant"),
            "distinct-reports": metric(low=None, high=None, defined=0, method="none"),
        }
    )
    found = {c.kind: c.detail for c in cautions(of, 1000)}
    assert found == {"defined": "auroc 6 %", "none": "distinct-reports", "wilson": "bleu-4", "constant": "dice"}


def test_a_rate_near_an_end_is_warned_of() -> None:
    """0/1 scores of the named metrics make rates; all others are left alone."""
    low = {"value": 0.05, "low": 0.02, "high": 0.08, "n": 300}
    of = entry(
        {"accuracy": metric(value=0.95, n=200), "set-accuracy:x=1": metric(value=0.9, n=200), "dice": metric(**low)}
    )
    assert [(c.kind, c.detail) for c in cautions(of, 1000)] == [("rates", "accuracy 10")]
    rows = find_metric("exact-match").rows([Prediction("a"), Prediction("b")], [Text(("a",)), Text(("a",))], ())
    assert find_metric("exact-match").sample_scores(rows, ()).tolist() == [1.0, 0.0]  # type: ignore[union-attr]


def test_tasks_that_share_a_warning_share_a_line() -> None:
    tasks = {f"suite/task-{i}": entry(clusters=10 + i) for i in range(33)}
    tasks["suite/task-0"]["metrics"]["accuracy"]["method"] = "wilson"
    groups = {"suite/all": {"metrics": {"accuracy": {**metric(), "method": "wilson"}}}}
    few, ends = caution_lines(results(tasks, groups))
    assert few.startswith("Caution, fewer than 100 patients")
    assert "suite/task-0 (10 patients); suite/task-1 (11 patients); " in few
    assert few.endswith("; 27 more.")
    assert len(few) < 400
    assert ends.endswith(": suite/task-0 (accuracy); suite/all (group) (accuracy).")
    assert caution_lines(results({})) == []


def test_a_group_with_one_member_at_an_end_is_not_said_to_be_there() -> None:
    of = Measure(Accuracy(), (), np.stack([np.arange(50) % 2, np.ones(50)], axis=1).astype(float))
    end = Measure(Accuracy(), (), np.ones((50, 2)))
    clusters = clusters_of([str(i) for i in range(50)])
    group = {"metrics": {"accuracy": as_entry(macro([(of, clusters), (end, clusters)], 100))}}
    (line,) = caution_lines(results({}, {"suite/all": group}))
    assert line == (
        "Caution, with tasks all at one end of the scale, whose Wilson's intervals are added to the spread of the others:"
        " suite/all (group) (accuracy)."
    )
    assert cautions({"clusters": 0, "access": "open", **group}, 100)[0].kind == "combined"


def test_a_run_whose_answers_are_all_wrong_has_wilsons_interval_and_says_so(
    text_task: Callable[..., Path], tmp_path: Path
) -> None:
    task = str(text_task(40, strata=["sex"]))
    radbench.evaluate("constant:perhaps", task, out=tmp_path / "run", resamples=100)
    found = load_results(tmp_path / "run")
    own = found["tasks"]["test/toy"]
    exact = own["metrics"]["exact-match"]
    assert (exact["value"], exact["low"], exact["method"]) == (0.0, 0.0, "wilson")
    assert exact["high"] == pytest.approx(wilson(0, own["clusters"])[1], abs=1e-12)
    for group in own["subgroups"]["sex"].values():
        assert group["metrics"]["exact-match"]["high"] == pytest.approx(exact["high"])  # a sample of each patient
    said = "\n".join(notes(found))
    assert "fewer than 100 patients" in said
    assert "test/toy (20 patients)" in said
    assert "Wilson's interval: test/toy (exact-match)" in said


def test_the_usual_interval_is_written_as_ever(text_task: Callable[..., Path], tmp_path: Path) -> None:
    task = str(text_task(40))
    for folder in ("one", "two"):
        radbench.evaluate("constant:yes", task, out=tmp_path / folder, resamples=100)
    one, two = ((tmp_path / folder / "results.json").read_bytes() for folder in ("one", "two"))
    assert one == two
    assert "method" not in json.loads(one)["tasks"]["test/toy"]["metrics"]["exact-match"]
