"""Task files and tables: every mistake names the file, the field and the remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import radbench
from radbench.dataset import DataLocations
from radbench.errors import ConfigError, DataError
from radbench.prompting import Template
from radbench.records import Boxes, Labels, Text
from radbench.taskfile import load_run_file, load_task_file


def write(tmp_path: Path, rows: list[dict[str, Any]] | str, **fields: Any) -> Path:
    """A JSON-lines task in ``tmp_path``; a text becomes the table as it is."""
    data = fields.pop("data", {})
    table = data.setdefault("table", "t.jsonl")
    text = rows if isinstance(rows, str) else "".join(json.dumps(r) + "\n" for r in rows)
    (tmp_path / table).write_text(text)
    task = {"name": "t", "kind": "vqa", "data": {"access": "open", **data}, **fields}
    path = tmp_path / "t.yaml"
    path.write_text(json.dumps(task))
    return path


def samples(path: Path, split: str = "test") -> list[radbench.Sample]:
    task = load_task_file(path)
    return list(task.dataset.open(DataLocations()).samples(split))


ROW = {"id": "a", "question": "q?", "answer": "yes"}


def test_a_table_becomes_samples(tmp_path: Path) -> None:
    first = {**ROW, "image": "x.png;y.nii.gz", "patient": 7, "sex": "F", "n": 3}
    second = {**ROW, "id": "b", "answer": ["yes", "yeah"], "image": "z.png", "patient": 8, "sex": "", "n": 4}
    found = samples(write(tmp_path, [first, second], data={"columns": {"cluster": "patient"}}, strata=["sex"]))
    assert [i.kind for i in found[0].images] == ["2d", "volume"]
    assert (found[0].cluster, found[0].strata, found[1].strata) == ("7", {"sex": "F"}, {})
    assert found[1].targets["answer"] == Text(("yes", "yeah"))
    assert Template("{question} {n}").fill(found[1], ())[-1] == "q? 4"


def test_csv_with_bom_crlf_and_quoted_newlines(tmp_path: Path) -> None:
    text = '\ufeffid,question,answer\r\n1,"Is there\nan effusion?",no\r\n'
    found = samples(write(tmp_path, text, data={"table": "t.csv"}))
    assert found[0].id == "1"
    assert found[0].slots["question"] == "Is there\nan effusion?"


def test_splits_select_rows(tmp_path: Path) -> None:
    path = write(tmp_path, [{**ROW, "split": "test"}, {**ROW, "id": "b", "split": "train"}])
    assert [s.id for s in samples(path)] == ["a"]
    assert [s.id for s in samples(path, "train")] == ["b"]


def test_labels_and_boxes(tmp_path: Path) -> None:
    multi = write(
        tmp_path, [{"id": "a", "answer": "edema; effusion"}], kind="multilabel", choices=["edema", "effusion"]
    )
    assert samples(multi)[0].targets["answer"] == Labels(("edema", "effusion"))
    boxes = write(tmp_path, [{"id": "a", "boxes": [{"label": "nodule", "box": [1, 2, 3, 4]}]}], kind="detection")
    target = samples(boxes)[0].targets["answer"]
    assert isinstance(target, Boxes)
    assert target.boxes[0].x1 == 3.0


BAD_TABLES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "wrong column names": ([{"id": "a", "frage": "q", "answer": "x"}], {}, "needs the columns question; it has id, frage"),
    "mapped column missing": ([ROW], {"data": {"columns": {"cluster": "patient"}}}, r"cluster -> 'patient'"),
    "missing stratum": ([ROW], {"strata": ["sex"]}, r"strata sex"),
    "not JSON": ('{"id": 1,}\n', {}, r"t\.jsonl, line 1: not JSON"),
    "trailing text": (json.dumps(ROW) + " x\n", {}, r"t\.jsonl, line 1: not JSON"),
    "a list": ("[1]\n", {}, r"line 1: expected a JSON object, found list"),
    "ragged CSV": ("id,question,answer\n1,2\n", {"data": {"table": "t.csv"}}, r"line 2: 2 columns, the header has 3"),
    "empty CSV": ("", {"data": {"table": "t.csv"}}, "empty, expected a header"),
    "empty answer": ([{**ROW, "answer": ""}], {}, "line 1: the answer is empty"),
    "unknown label": ([{"id": "a", "answer": "edma"}], {"kind": "classification", "choices": ["edema"]}, "label 'edma' is not"),
    "bad box": ([{"id": "a", "boxes": [{"label": "x", "box": [1, 2, 3]}]}], {"kind": "detection"}, "expected .*x0, y0, x1, y1"),
    "second row lacks a column": ([ROW, {"id": "b", "question": "q"}], {}, "line 2: no column 'answer'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_bad_table_is_one_clear_error(case: str, tmp_path: Path) -> None:
    rows, fields, message = BAD_TABLES[case]
    path = write(tmp_path, rows, **json.loads(json.dumps(fields)))
    with pytest.raises(DataError, match=message) as caught:
        samples(path)
    assert str(tmp_path) in str(caught.value)


def test_a_table_that_is_not_utf8_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, [ROW])
    (tmp_path / "t.jsonl").write_bytes(b'{"id": "\xff"}\n')
    with pytest.raises(DataError, match="not UTF-8"):
        samples(path)


def test_restricted_labels_are_not_shown(tmp_path: Path) -> None:
    rows = [{"id": "a", "answer": "secret"}]
    path = write(tmp_path, rows, kind="classification", choices=["x"], data={"access": "credentialed"})
    with pytest.raises(DataError, match="length 6") as caught:
        samples(path)
    assert "secret" not in str(caught.value)


BAD_FILES = {
    "unknown field": ({"kindd": "vqa"}, r"kindd: .*did you mean 'kind'"),
    "unknown kind": ({"kind": "vqaa"}, "kind: Input should be"),
    "bad name": ({"name": "a b"}, "name: "),
    "version zero": ({"version": 0}, "version: "),
    "no choices": ({"kind": "classification"}, "choices: a classification task needs its labels"),
    "unknown access": ({"data": {"access": "public"}}, r"data\.access"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_task_file_names_its_field(case: str, tmp_path: Path) -> None:
    fields, message = BAD_FILES[case]
    with pytest.raises(ConfigError, match=message):
        load_task_file(write(tmp_path, [ROW], **json.loads(json.dumps(fields))))


def test_prompts_name_slots_that_exist(tmp_path: Path) -> None:
    path = write(tmp_path, [ROW], prompt="{quesstion}")
    with pytest.raises(ConfigError, match="slot 'quesstion' that sample 'a' lacks"):
        radbench.evaluate("constant:yes", str(path), out=tmp_path / "run")
    path = write(tmp_path, [ROW], prompt="{question")
    with pytest.raises(ConfigError, match="literal brace"):
        radbench.evaluate("constant:yes", str(path), out=tmp_path / "run2")


def test_a_misspelt_metric_is_known_before_anything_is_asked(tmp_path: Path) -> None:
    path = write(tmp_path, [ROW], metrics=["blue-4"])
    with pytest.raises(ConfigError, match="unknown metric 'blue-4': did you mean 'bleu-4'"):
        radbench.evaluate("constant:yes", str(path), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_yaml_and_run_files(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_task_file(tmp_path / "bad.yaml")
    (tmp_path / "text.yaml").write_text("just text")
    with pytest.raises(ConfigError, match="expected fields with values"):
        load_task_file(tmp_path / "text.yaml")
    (tmp_path / "run.yaml").write_text("{model: knn, tasks: [t.yaml, demo/modality], limit: 0}")
    with pytest.raises(ConfigError, match="limit"):
        load_run_file(tmp_path / "run.yaml")
    (tmp_path / "run.yaml").write_text("{model: knn, tasks: [t.yaml, demo/modality]}")
    assert load_run_file(tmp_path / "run.yaml").tasks == [str(tmp_path / "t.yaml"), "demo/modality"]


def test_prompts_are_drawn_by_seed_and_sample_and_place_pictures(tmp_path: Path) -> None:
    from radbench.prompting import Renderer

    rows = [{**ROW, "id": str(i), "image": "a.png;b.png"} for i in range(200)]
    task = load_task_file(write(tmp_path, rows, prompt=["A {question}", "B {image-2} then {images} {question}", "C"]))
    found = list(task.dataset.open(DataLocations()).samples("test"))
    first, again, other = (Renderer(task, seed, b"") for seed in (0, 0, 1))
    texts = [first.render(s).text[0] for s in found]
    assert texts == [again.render(s).text[0] for s in found]
    assert texts != [other.render(s).text[0] for s in found]
    assert {t: texts.count(t) > 40 for t in "ABC"} == {"A": True, "B": True, "C": True}
    b = first.render(found[texts.index("B")])
    kinds = ["text" if isinstance(p, str) else Path(p.path).name for p in b.messages[-1].content]
    assert kinds == ["text", "b.png", "text", "a.png", "b.png", "text"]
    a = first.render(found[texts.index("A")])
    assert [Path(i.path).name for i in a.images] == ["a.png", "b.png"]
    assert not isinstance(a.messages[-1].content[0], str)
