"""Result files of lmms-eval, VLMEvalKit and ReXrank: the layouts their code writes, matched to samples, scored."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import radbench
from radbench.errors import ConfigError, DataError

Rows = list[tuple[str, str]]  # (id, answer) in the order of the task
N = 12


@pytest.fixture
def rows() -> Rows:
    return [(f"q{i}", "yes" if i % 2 else "no") for i in range(N)]


def _truth(i: int) -> str:
    return "yes" if i % 3 else "no"


def _lmms_eval(path: Path, rows: Rows, target: Callable[[int], str] = _truth) -> Path:
    """As its evaluation tracker writes: resps where a filter changed them, doc and arguments dropped."""
    lines = [
        {"doc_id": i, "target": target(i), "filtered_resps": answer.upper(), "resps": [answer], "doc_hash": "x"}
        for i, (_, answer) in enumerate(rows)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return path


def _vlmevalkit(path: Path, rows: Rows) -> Path:
    records = [
        {"index": i, "question": "?", "answer": _truth(n), "prediction": a, "thinking": "because"}
        for n, (i, a) in enumerate(rows)
    ]
    if path.suffix == ".json":
        path.write_text(json.dumps(records, indent=4))
    elif path.suffix == ".tsv":
        with path.open("w", newline="") as f:
            writer = csv.DictWriter(f, list(records[0]), delimiter="\t", quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(records)
    else:
        import openpyxl

        book = openpyxl.Workbook()
        for line in (list(records[0]), *(list(r.values()) for r in records)):
            book.active.append(line)
        book.save(path)
    return path


def _rexrank(path: Path, rows: Rows) -> Path:
    path.write_text(json.dumps({i: {"image_path": [], "section_findings": "", "model_prediction": a} for i, a in rows}))
    return path


WRITERS: dict[str, Callable[[Path, Rows], Path]] = {
    "x_samples_toy.jsonl": _lmms_eval,
    "model_toy.tsv": _vlmevalkit,
    "model_toy.xlsx": _vlmevalkit,
    "model_toy.json": _vlmevalkit,
    "rexrank.json": _rexrank,
}


def _evaluate(path: Path, task: Path, out: Path) -> radbench.api.Evaluation:  # type: ignore[name-defined]
    return radbench.evaluate(f"replay:{path}", str(task), out=out, resamples=20)


@pytest.mark.parametrize("name", WRITERS)
def test_an_import_scores_as_the_same_answers_in_our_own_form(
    name: str, rows: Rows, tmp_path: Path, text_task: Callable[..., Path]
) -> None:
    task = text_task(N)
    ours = tmp_path / "ours.jsonl"
    ours.write_text("".join(json.dumps({"task": "test/toy", "sample": i, "text": a}) + "\n" for i, a in rows))
    expected = _evaluate(ours, task, tmp_path / "expected").results
    found = _evaluate(WRITERS[name](tmp_path / name, rows), task, tmp_path / "found").results
    assert expected is not None and found is not None
    assert found["tasks"] == expected["tasks"]
    assert 0 < found["tasks"]["test/toy"]["metrics"]["exact-match"]["value"] < 1


def test_the_harness_and_the_content_are_the_fingerprint(rows: Rows, tmp_path: Path) -> None:
    from radbench.model_adapters.replay import Replay

    first = Replay(str(_rexrank(tmp_path / "a.json", rows))).fingerprint()
    second = Replay(str(_rexrank(tmp_path / "a.json", rows[:-1]))).fingerprint()
    assert first["harness"] == "ReXrank" and first["sha256"] != second["sha256"]


def test_names_of_other_distributions_find_their_study() -> None:
    from radbench.model_adapters.imports import Foreign, Row

    from radbench.records import Answer, Sample, Text

    samples = [Sample("s50051329", None, {"r": Text(("x",))}), Sample("CXR3030", None, {"r": Text(("y",))})]
    rows = (Row("50051329", Answer("a")), Row("CXR3030_IM-1405", Answer("b")))
    matched = Foreign("ReXrank", rows, "id").matched(samples, "r")
    assert {name: answer.text for name, answer in matched.items()} == {"s50051329": "a", "CXR3030": "b"}


def test_a_missing_answer_is_counted_and_a_failed_request_is_no_answer(
    rows: Rows, tmp_path: Path, text_task: Callable[..., Path]
) -> None:
    rows[3] = (rows[3][0], "[LMMS_EVAL_REQUEST_FAILED after 5 retries] timeout")
    rows[4] = (rows[4][0], "Failed to obtain answer via API.")
    evaluation = _evaluate(_lmms_eval(tmp_path / "s.jsonl", rows[:-2]), text_task(N), tmp_path / "run")
    assert evaluation.results is not None and not evaluation.results["complete"]
    assert evaluation.results["tasks"]["test/toy"]["failures"] == {"empty": 2, "transport": 2}


def test_reasoning_is_kept_beside_the_answer(rows: Rows, tmp_path: Path, text_task: Callable[..., Path]) -> None:
    rows[0] = ("q0", "<think>no opacity</think>no")
    _evaluate(_lmms_eval(tmp_path / "s.jsonl", rows), text_task(N), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/answers/1-of-1.jsonl").read_text().splitlines()]
    assert {"no opacity"} == {line.get("reasoning") for line in lines} - {None}
    assert next(line for line in lines if line["sample"] == "q0")["text"] == "no"


@pytest.mark.parametrize("shift", [1, 5, -1])
def test_rows_in_another_order_are_refused_by_their_references(
    shift: int, rows: Rows, tmp_path: Path, text_task: Callable[..., Path]
) -> None:
    """Half of yes and no agree by chance: nearly all must."""
    path = _lmms_eval(tmp_path / "s.jsonl", rows, lambda i: _truth((i + shift) % N))
    with pytest.raises(DataError, match="of 12 references"):
        _evaluate(path, text_task(N), tmp_path / "run")


def test_a_table_that_counts_from_1_is_no_table_of_places(
    rows: Rows, tmp_path: Path, text_task: Callable[..., Path]
) -> None:
    counted = [(str(n), a) for n, (_, a) in enumerate(rows)]
    placed = _evaluate(_vlmevalkit(tmp_path / "from0.tsv", counted), text_task(N), tmp_path / "from0").results
    assert placed is not None and placed["tasks"]["test/toy"]["failures"] == {}
    from_1 = [(str(int(i) + 1), a) for i, a in counted]
    with pytest.raises(DataError, match="of 11 references"):
        _evaluate(_vlmevalkit(tmp_path / "from1.tsv", from_1), text_task(N), tmp_path / "from1")
    without = tmp_path / "without.tsv"
    without.write_text("index\tprediction\n" + "".join(f"{i}\t{a}\n" for i, a in from_1))
    with pytest.raises(DataError, match="begin at 1"):
        _evaluate(without, text_task(N), tmp_path / "without")


def test_references_may_be_several_or_the_letter_of_a_choice() -> None:
    from radbench.model_adapters.imports import _listed, _vlmevalkit

    assert _listed("['yes', 'Yes.']") == ("yes", "Yes.") and _listed("[no list") == ("[no list",) and _listed("") == ()
    row = {"index": 3.0, "A": "liver", "B": "spleen", "answer": "B", "prediction": "B"}
    assert [(r.name, r.references) for r in _vlmevalkit([row], Path("x"))] == [("3", ("B", "spleen"))]


def test_of_our_own_answers_the_final_one_counts(tmp_path: Path, text_task: Callable[..., Path]) -> None:
    lines = [
        {"task": "test/toy", "sample": "q1", "status": "ok", "text": "yes"},
        {"task": "test/toy", "sample": "q1", "status": "transport", "message": "later"},
        {"task": "test/toy", "sample": "q2", "status": "transport", "message": "before"},
        {"task": "test/toy", "sample": "q2", "status": "ok", "text": "yes"},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    results = _evaluate(tmp_path / "a.jsonl", text_task(3), tmp_path / "run").results
    assert results is not None and results["tasks"]["test/toy"]["failures"] == {"empty": 1}


@pytest.mark.parametrize(
    ("name", "content", "error", "says"),
    [
        ("p.pkl", "x", ConfigError, "PRED_FORMAT"),
        ("p.tsv", "index\tanswer\n1\tyes\n", DataError, "expected 'index' and 'prediction'"),
        ("p.json", '[{"index": 1}]', DataError, "row 1"),
        ("p.jsonl", '{"doc_id": 0, "filtered_resps": [[-1.0, true], [-2.0, false]]}\n', DataError, "expected one text"),
        ("p.jsonl", '{"doc_id": 0, "filtered_resps": "a"}\n{"doc_id"\n', DataError, "line 2"),
        ("p.xlsx", "no workbook", DataError, "no .xlsx workbook"),
        ("p.json", '{"stranger": {"model_prediction": "x"}}', DataError, "none of the 1 names"),
    ],
)
def test_what_cannot_be_imported_says_why(
    name: str, content: str, error: type[Exception], says: str, tmp_path: Path, text_task: Callable[..., Path]
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(error, match=says):
        _evaluate(tmp_path / name, text_task(N), tmp_path / "run")


def test_one_file_holds_one_task(rows: Rows, tmp_path: Path, text_task: Callable[..., Path]) -> None:
    tasks: list[Any] = [str(text_task(N)), str(text_task(N, "other", name="test/other"))]
    path = _rexrank(tmp_path / "r.json", rows)
    with pytest.raises(ConfigError, match="one task"):
        radbench.evaluate(f"replay:{path}", tasks, out=tmp_path / "run")
