"""Metrics without a task: plain functions, Hugging Face evaluate, two files on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import radbench.metrics

from radbench.cli.base import split_names
from radbench.errors import ConfigError, DataError
from radbench.records import Box
from radbench.registry import all_metrics, find_metric

SAID = ["no effusion", "the lungs are clear", "cardiomegaly"]
TRUE = ["no pleural effusion", "lungs are clear", "the heart is enlarged"]


def cli(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "radbench", *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


def test_every_metric_is_a_function() -> None:
    for name in all_metrics():
        function = getattr(radbench.metrics, name.replace("-", "_"))
        assert callable(function)
        assert find_metric(name).card.title in (function.__doc__ or "")


def test_functions_take_options_and_lists() -> None:
    assert radbench.metrics.bleu(SAID, TRUE, n=1, tok="split", smooth="none") == radbench.metrics.compute(
        "bleu:n=1,tok=split", SAID, TRUE
    )
    assert radbench.metrics.rouge_l(["no effusion"], [["effusion", "no effusion"]]) == 1.0
    assert radbench.metrics.accuracy(["yes", "no"], ["yes", "yes"]) == 0.5
    assert radbench.metrics.dice([np.eye(4, dtype=bool)], [np.eye(4)]) == 1.0
    assert radbench.metrics.box_iou([[("lung", 0, 0, 2, 2)]], [[Box("lung", 0, 0, 2, 1)]]) == 0.5
    assert radbench.metrics.exact_match([None], ["yes"]) == 0.0


def test_labels_nobody_listed_are_scikit_learns() -> None:
    from sklearn.metrics import f1_score

    said, true = ["a", "b", "c", "a"], ["a", "a", "b", "a"]
    assert radbench.metrics.f1_macro(said, true) == pytest.approx(
        f1_score(true, said, average="macro", zero_division=0)
    )


def test_several_scores_come_with_intervals_and_share_resamples() -> None:
    specs = ["rouge-l", "rouge-l:part=recall"]
    for score in radbench.metrics.score(specs, SAID * 20, TRUE * 20).values():
        assert score.low < score.value < score.high
        assert score.n == 60
    alike = radbench.metrics.score(specs, SAID * 20, TRUE * 20, clusters=[str(i // 3) for i in range(60)])
    assert alike["rouge-l"].high - alike["rouge-l"].low < 1e-12  # every cluster holds the same three pairs


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        (["a"], ["a", "b"], "1 predictions but 2 references"),
        ("a", ["a"], "a single text"),
        ([3], ["a"], "pair 0: a prediction is int, expected a text"),
        (["a"], [{"x": 1}], "pair 0: a reference is dict of length 1"),
    ],
)
def test_wrong_values_are_named(predictions: Any, references: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        radbench.metrics.bleu(predictions, references)


def test_wrong_options_and_names_are_named() -> None:
    with pytest.raises(ConfigError, match="its options are: n=4"):
        radbench.metrics.bleu(SAID, TRUE, order_of="x")
    with pytest.raises(ConfigError, match="expected one of 13a"):
        radbench.metrics.bleu(SAID, TRUE, tok="sentencepiece")
    with pytest.raises(AttributeError, match="no attribute 'blue'"):
        radbench.metrics.blue  # noqa: B018


def test_evaluate_loads_any_text_or_label_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = pytest.importorskip("evaluate")
    monkeypatch.setattr("evaluate.config.HF_MODULES_CACHE", tmp_path / "modules")
    load = lambda spec: evaluate.load(radbench.metrics.evaluate_script(), spec, cache_dir=str(tmp_path / "cache"))  # noqa: E731
    found = load("rouge-l:part=recall").compute(predictions=SAID, references=TRUE)
    assert found["rouge-l:part=recall"] == radbench.metrics.rouge_l(SAID, TRUE, part="recall")
    assert found["signature"].startswith("rougeL|recall")
    assert load("exact-match").compute(predictions=["yes"], references=[["no", "Yes"]])["exact-match"] == 1.0
    assert load("accuracy").compute(predictions=["a", "b"], references=["a", "a"])["accuracy"] == 0.5
    with pytest.raises(ValueError, match=r"radbench\.metrics\.dice"):
        load("dice")


def test_two_files_are_scored_without_a_task(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(
        "".join(json.dumps({"id": i, "prediction": t}) + "\n" for i, t in enumerate(SAID[:2]))
    )
    rows = "".join(f'{i},"{t}",p{i // 2}\n' for i, t in enumerate(TRUE))
    (tmp_path / "r.csv").write_text("id,reference,patient\n" + rows)
    done = cli(
        "score",
        "--predictions",
        "p.jsonl",
        "--references",
        "r.csv",
        "--metrics",
        "rouge-l,bleu:n=1,tok=split",
        "--json",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert out["missing"] == 1
    assert out["metrics"]["rouge-l"]["value"] == radbench.metrics.rouge_l([*SAID[:2], None], TRUE)
    assert out["metrics"]["bleu:n=1,tok=split"]["signature"].startswith("bleu|n:1|tok:split")
    table = cli(
        "score", "--predictions", "p.jsonl", "--references", "r.csv", "--metrics", "rouge-l", cwd=tmp_path
    ).stdout
    assert "1 without a prediction, which score worst" in table


def test_text_files_pair_by_line(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("\n".join(SAID) + "\n")
    (tmp_path / "r.txt").write_text("\n".join(TRUE) + "\n")
    done = cli("score", "--predictions", "p.txt", "--references", "r.txt", "--metrics", "rouge-l", cwd=tmp_path)
    assert f"{radbench.metrics.rouge_l(SAID, TRUE):.4f}" in done.stdout
    assert "name patients in a field 'patient'" in done.stdout


@pytest.mark.parametrize(
    ("references", "content", "message"),
    [
        ("r.txt", "one line\n", "p.txt has 3 entries, r.txt 1"),
        ("r.jsonl", '{"id": 1}\n', "r.jsonl, line 1: none of reference, references"),
        ("r.jsonl", "{\n", "r.jsonl, line 1: not JSON"),
        ("r.xlsx", "", "r.xlsx: cannot tell its format"),
        ("r.json", '[{"id": "a", "text": "x"}, {"id": "a", "text": "y"}]', "1 ids occur more than once"),
        ("r.json", "3", "r.json: holds int, expected a list"),
        ("r.json", "[3]", "r.json, entry 1: int, expected a text"),
        ("absent.txt", None, "absent.txt: no such references file"),
    ],
)
def test_bad_files_get_one_clear_error(references: str, content: str | None, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("\n".join(SAID) + "\n")
    if content is not None:
        (tmp_path / references).write_text(content)
    done = cli("score", "--predictions", "p.txt", "--references", references, "--metrics", "rouge-l", cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_ids_that_do_not_meet_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"a": "x"}))
    (tmp_path / "r.json").write_text(json.dumps({"b": "x"}))
    done = cli("score", "--predictions", "p.json", "--references", "r.json", "--metrics", "rouge-l", cwd=tmp_path)
    assert "no id of p.json is one of r.json" in done.stderr


def test_specs_with_options_survive_commas() -> None:
    assert split_names(["bleu:n=1,tok=split,rouge-l", "meteor"]) == ["bleu:n=1,tok=split", "rouge-l", "meteor"]


def test_options_of_two_ways_to_score_do_not_mix() -> None:
    assert (
        "--references goes with --predictions"
        in cli("score", "--references", "r.txt", "--tasks", "demo/modality").stderr
    )
    assert (
        "--metrics and --choices go with --references" in cli("score", "--predictions", "p", "--metrics", "bleu").stderr
    )
    assert "needs --metrics" in cli("score", "--references", "r.txt", "--predictions", "p.txt").stderr


def test_describe_names_what_a_metric_is(tmp_path: Path) -> None:
    out = cli("describe", "metric", "bleu-2-cxr").stdout
    for line in ("title: BLEU-2", "range: 0 to 1, higher is better", "radbench.metrics.bleu_2_cxr", "tok:cxr"):
        assert line in out
    assert "no metric is called 'knn'" in cli("describe", "metric", "knn").stderr
    assert "cannot describe a 'board'" in cli("describe", "board", "x").stderr


@pytest.mark.parametrize(
    ("name", "said", "true", "message"),
    [
        ("dice", "lungs", np.ones((2, 2)), "expected a 2D or 3D array of 0 and 1"),
        ("dice", np.full((2, 2), 0.1), np.ones((2, 2)), "expected a 2D or 3D array of 0 and 1"),
        ("dice", np.ones((2, 2)), np.ones((2, 3)), r"a mask of shape \(2, 2\), its reference \(2, 3\)"),
        ("box_iou", [("a", 0, 0, float("nan"), 1)], [("a", 0, 0, 1, 1)], "not finite"),
        ("box_iou", [("a", 0)], [("a", 0, 0, 1, 1)], "expected a list of"),
        ("auroc", {"a": float("inf")}, "a", "finite scores"),
        ("accuracy", 1.5, "a", "expected a label"),
    ],
)
def test_values_a_metric_cannot_score_are_refused(name: str, said: Any, true: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        getattr(radbench.metrics, name)([said], [true])


def test_ranking_takes_scores_by_label() -> None:
    said = [{"a": 0.9, "b": 0.1}, {"a": 0.2, "b": 0.8}, {"a": 0.4, "b": 0.6}]
    assert radbench.metrics.auroc(said, ["a", "b", "b"]) == 1.0
    assert radbench.metrics.accuracy(said, ["a", "b", "b"]) == 1.0
    assert np.isnan(radbench.metrics.auroc([[], []], [[], []]))
    assert radbench.metrics.accuracy(np.array([1, 0]), np.array([1, 1])) == 0.5


def test_scores_boxes_and_long_cells_of_files(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(
        '{"id": 1, "scores": {"a": 0.9, "b": 0.1}}\n{"id": 2, "scores": {"a": 0.3, "b": 0.7}}\n'
    )
    (tmp_path / "r.csv").write_text("id,labels\n1,a\n2,b\n")
    done = cli(
        "score",
        "--predictions",
        "p.jsonl",
        "--references",
        "r.csv",
        "--metrics",
        "auroc,accuracy",
        "--json",
        cwd=tmp_path,
    )
    assert {m["value"] for m in json.loads(done.stdout)["metrics"].values()} == {1.0}, done.stderr
    (tmp_path / "b.jsonl").write_text('{"boxes": [{"label": "a", "box": null}]}\n')
    (tmp_path / "t.jsonl").write_text('{"boxes": [{"label": "a", "box": [0, 0, 1, 1]}]}\n')
    done = cli("score", "--predictions", "b.jsonl", "--references", "t.jsonl", "--metrics", "box-iou", cwd=tmp_path)
    assert "b.jsonl, line 1: list of length 1, expected a list of (label" in done.stderr
    (tmp_path / "long.csv").write_text("reference\n" + "lungs clear " * 20_000 + "\n")
    done = cli("score", "--predictions", "long.csv", "--references", "long.csv", "--metrics", "bleu-1", cwd=tmp_path)
    assert "none of prediction" in done.stderr
    (tmp_path / "bom.txt").write_text("\ufeffyes\nno\n", encoding="utf-8")
    (tmp_path / "plain.txt").write_text("yes\nno\n")
    done = cli(
        "score",
        "--predictions",
        "bom.txt",
        "--references",
        "plain.txt",
        "--metrics",
        "exact-match",
        "--json",
        cwd=tmp_path,
    )
    assert json.loads(done.stdout)["metrics"]["exact-match"]["value"] == 1.0
    (tmp_path / "deep.json").write_text("[" * 100_000)
    done = cli("score", "--predictions", "deep.json", "--references", "plain.txt", "--metrics", "bleu-1", cwd=tmp_path)
    assert "deep.json: cannot be read" in done.stderr


@pytest.mark.parametrize(
    "spec", ["bleu:n=2.5", "rouge-1:tok=x", "map:max_dets=2.7", "f1:threshold=nan", "meteor:alpha=2"]
)
def test_options_out_of_range_are_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        find_metric(spec)


def test_texts_of_forty_thousand_different_words_have_a_cider() -> None:
    long = " ".join(map(str, range(40_000)))
    assert radbench.metrics.cider([long, "a b"], [long, "a b c"]) > 4
    assert radbench.metrics.cider(["a b c", "x"], [long, "a b c"]) == 0.0
