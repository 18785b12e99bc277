"""Baselines and retrieval: never fit on what they are evaluated on, right in every answer form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.model_adapters.baselines import in_fractions, resample_nearest

import radbench
from radbench.errors import ConfigError, DataError
from radbench.records import Answer, Box, Boxes, Image, Mask, Sample
from radbench.registry import find_model
from radbench.specs import parse_spec

EXAMPLES = Path(__file__).parents[2] / "examples"
OWN = EXAMPLES / "own_data"


def value(evaluation: radbench.api.Evaluation, task: str, metric: str) -> float:
    assert evaluation.results is not None
    return float(evaluation.results["tasks"][task]["metrics"][metric]["value"])


@pytest.mark.parametrize("kind", ["vqa", "report", "classification", "detection", "segmentation"])
@pytest.mark.parametrize("model", ["knn:k=3", "majority", "oracle", "random", "constant:left"])
def test_every_example_task_runs_with_every_baseline(kind: str, model: str, tmp_path: Path) -> None:
    evaluation = radbench.evaluate(model, str(OWN / f"{kind}.yaml"), out=tmp_path / "run")
    assert evaluation.results is not None
    (task,) = evaluation.results["tasks"].values()
    assert evaluation.results["complete"]
    for entry in task["metrics"].values():
        assert entry["value"] is None or 0 <= entry["value"] <= 1
        if model == "oracle":
            assert entry["value"] == pytest.approx(1.0, abs=1e-8)


def test_knn_and_the_example_models_find_the_side(tmp_path: Path) -> None:
    task = str(OWN / "classification.yaml")
    assert value(radbench.evaluate("knn:k=1", task, out=tmp_path / "a"), "example/classification", "accuracy") == 1.0
    import sys

    sys.path.insert(0, str(EXAMPLES))
    try:
        for spec in ("my_model:brighter_half", "my_model:BrighterHalf"):
            evaluation = radbench.evaluate(spec, task, out=tmp_path / spec.replace(":", "-"))
            assert value(evaluation, "example/classification", "accuracy") == 1.0
    finally:
        sys.path.remove(str(EXAMPLES))


def leave_one_out(tmp_path: Path, answers: list[str], patients: list[str]) -> str:
    """A task whose pool is itself; pictures are equal, so only the rule can keep a model from looking it up."""
    from PIL import Image as PIL

    PIL.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "x.png")
    rows = [
        {"id": f"s{i}", "image": "x.png", "answer": a, "patient": p}
        for i, (a, p) in enumerate(zip(answers, patients, strict=True))
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    task = {
        "name": "t", "kind": "classification", "choices": ["a", "b"], "support": "leave-one-cluster-out",
        "data": {"table": "t.jsonl", "access": "open", "columns": {"cluster": "patient"}},
    }  # fmt: skip
    (tmp_path / "t.yaml").write_text(json.dumps(task))
    return str(tmp_path / "t.yaml")


@pytest.mark.parametrize("model", ["knn:k=5", "majority"])
def test_a_patients_own_samples_never_vote(model: str, tmp_path: Path) -> None:
    """Each patient's answers differ from everyone else's: whoever looks at the own patient scores, others get 0."""
    task = leave_one_out(tmp_path, ["a", "a", "b", "b"], ["p", "p", "q", "q"])
    assert value(radbench.evaluate(model, task, out=tmp_path / "run"), "t", "accuracy") == 0.0


def test_a_pool_of_one_patient_gives_no_answer(tmp_path: Path) -> None:
    task = leave_one_out(tmp_path, ["a", "b"], ["p", "p"])
    evaluation = radbench.evaluate("knn", task, out=tmp_path / "run")
    assert evaluation.results is not None
    assert evaluation.results["tasks"]["t"]["failures"] == {"empty": 2}


def test_a_task_without_support_split_says_so(text_task: object, tmp_path: Path) -> None:
    task = text_task(5)  # type: ignore[operator]
    with pytest.raises(ConfigError, match="no support split"):
        radbench.evaluate("majority", str(task), out=tmp_path / "run")


def test_majority_masks_are_pixel_wise(tmp_path: Path) -> None:
    from PIL import Image as PIL

    masks = [np.zeros((32, 32), np.uint8) for _ in range(3)]
    masks[0][:16], masks[1][:20], masks[2][:, :] = 255, 255, 0
    rows = []
    for i, mask in enumerate([*masks, masks[0]]):
        PIL.fromarray(mask).save(tmp_path / f"m{i}.png")
        rows.append({"id": f"s{i}", "image": f"m{i}.png", "mask": f"m{i}.png", "split": "test" if i == 3 else "train"})
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "t.yaml").write_text(
        "{name: t, kind: segmentation, support: train, data: {table: t.jsonl, access: open}}"
    )
    evaluation = radbench.evaluate("majority", str(tmp_path / "t.yaml"), out=tmp_path / "run")
    assert value(evaluation, "t", "dice") == 1.0  # two of three masks cover the upper half, one reaches further


def test_a_mask_of_another_size_is_a_counted_failure(tmp_path: Path) -> None:
    evaluation = radbench.evaluate(
        lambda request: np.ones((3, 3), bool), str(OWN / "segmentation.yaml"), out=tmp_path / "run"
    )
    assert evaluation.results is not None
    assert evaluation.results["tasks"]["example/segmentation"]["failures"] == {"unparsable": 8}


@pytest.mark.parametrize(
    "text", ["", "\x00", "\ud800", "left " * 20_000, "[{]", '[{"label": "disk", "box": [1, 2, 3]}]', "left\u202e"]
)
@pytest.mark.parametrize("kind", ["vqa", "report", "classification", "detection", "segmentation"])
def test_any_answer_is_scored_or_counted(kind: str, text: str, tmp_path: Path) -> None:
    evaluation = radbench.evaluate(lambda request: text, str(OWN / f"{kind}.yaml"), out=tmp_path / "run")
    assert evaluation.results is not None
    (task,) = evaluation.results["tasks"].values()
    assert evaluation.results["complete"]
    assert task["unanswered"] == 0
    for entry in task["metrics"].values():
        assert entry["value"] is None or 0 <= entry["value"] <= 1


@given(st.lists(st.integers(1, 40), min_size=1, max_size=3), st.lists(st.integers(1, 40), min_size=3, max_size=3))
def test_nearest_resampling_keeps_values_and_takes_the_shape(old: list[int], new: list[int]) -> None:
    array = np.arange(int(np.prod(old))).reshape(old)
    got = resample_nearest(array, new[: len(old)])
    assert got.shape == tuple(new[: len(old)])
    assert np.isin(got, array).all()
    assert (resample_nearest(array, old) == array).all()


def test_replay_reads_its_own_answers_and_refuses_nonsense(text_task: object, tmp_path: Path) -> None:
    task = str(text_task(12))  # type: ignore[operator]
    first = radbench.evaluate("constant:yes", task, out=tmp_path / "first")
    again = radbench.evaluate(f"replay:{tmp_path / 'first' / 'answers' / '1-of-1.jsonl'}", task, out=tmp_path / "again")
    assert value(again, "test/toy", "exact-match") == value(first, "test/toy", "exact-match")
    bad = tmp_path / "p.jsonl"
    for content, message in (
        ("{", "line 1: not JSON"),
        ('{"task": "a"}', "expected an object with the texts 'task' and 'sample'"),
        ('{"task": "a", "sample": "b"}', "none of 'text', 'scores', 'boxes', 'mask'"),
        ('{"task": "a", "sample": "b", "text": "x"}\n' * 2, "line 2: a second prediction for one sample of 'a'"),
    ):
        bad.write_text(content)
        with pytest.raises(DataError, match=message):
            find_model(f"replay:{bad}")
    with pytest.raises(ConfigError, match="no such predictions file"):
        find_model("replay:nowhere.jsonl")


def test_replayed_boxes_and_masks(tmp_path: Path) -> None:
    from radbench.dataset import DataLocations
    from radbench.registry import find_tasks

    task = find_tasks([str(OWN / "segmentation.yaml")])[0]
    lines = []
    for sample in task.dataset.open(DataLocations()).samples("test"):
        target = sample.targets["answer"]
        assert isinstance(target, Mask)
        np.savez(tmp_path / f"{sample.id}.npz", mask=target.load())
        lines.append({"task": task.name, "sample": sample.id, "mask": f"{sample.id}.npz"})
    lines[0]["mask"] = "missing.npz"
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    evaluation = radbench.evaluate(
        f"replay:{tmp_path / 'p.jsonl'}", str(OWN / "segmentation.yaml"), out=tmp_path / "run"
    )
    assert value(evaluation, "example/segmentation", "dice") == pytest.approx(7 / 8)


def test_specs() -> None:
    assert parse_spec("knn:k=5") == ("knn", [], {"k": 5})
    assert parse_spec("bleu:n=1,tok=13a,avg=sample") == ("bleu", [], {"n": 1, "tok": "13a", "avg": "sample"})
    assert parse_spec("constant:no, effusion") == ("constant", ["no", " effusion"], {})
    model = find_model("constant:no, effusion")
    request = radbench.Request("t", "s", ())
    assert list(model.answer([request])) == [(request, Answer(text="no, effusion"))]
    for spec in ("knn:k=0", "knn:k=2.7", "knn:k=True", "random:seed=1.5", "random:seed=-1"):
        with pytest.raises(ConfigError, match="expected a whole number of at least"):
            find_model(spec)


def pictures_with_boxes(root: Path, pool: int = 3) -> str:
    """Boxes over the same fractions of pictures of different sizes."""
    from PIL import Image as PIL

    rows, draw = [], np.random.default_rng(0)
    for split, count in (("train", pool), ("test", 3)):
        for i in range(count):
            w, h = 20 + 10 * i, 40 + (8 * i if split == "test" else 0)
            PIL.fromarray(draw.integers(0, 256, (h, w), dtype=np.uint8)).save(root / f"{split}{i}.png")
            boxes = [{"label": "x", "box": [w / 4, h / 4, w / 2, h / 2]}]
            rows.append({"id": f"{split}{i}", "image": f"{split}{i}.png", "split": split, "boxes": boxes})
    (root / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (root / "t.yaml").write_text("{name: t, kind: detection, support: train, data: {table: t.jsonl, access: open}}")
    return str(root / "t.yaml")


@pytest.mark.parametrize("model", ["knn:k=1", "majority"])
def test_boxes_are_scaled_to_the_asked_picture_examples_before_it_or_not(model: str, tmp_path: Path) -> None:
    task = pictures_with_boxes(tmp_path)
    for i, spec in enumerate((model, f"shots({model},k=2)", f"shots(shuffled_images({model}),k=2)")):
        evaluation = radbench.evaluate(spec, task, out=tmp_path / str(i), resamples=10)
        assert value(evaluation, "t", "box-iou") == pytest.approx(1.0)


@pytest.mark.parametrize("model", ["knn", "majority"])
def test_an_unreadable_picture_of_the_pool_is_left_out(
    model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = pictures_with_boxes(tmp_path)
    (tmp_path / "train0.png").write_bytes(b"no picture")
    evaluation = radbench.evaluate(model, task, out=tmp_path / "run", resamples=10)
    assert value(evaluation, "t", "box-iou") == pytest.approx(1.0)
    assert "left out" in caplog.text


def test_fractions_are_of_the_frame_boxes_were_drawn_on(tmp_path: Path) -> None:
    """A resized copy of a picture: its boxes are still in pixels of the original."""
    from PIL import Image as PIL

    PIL.new("L", (50, 20)).save(tmp_path / "x.png")
    sample = Sample("s", None, {}, (Image(str(tmp_path / "x.png")),))
    drawn = (Box("x", 10, 10, 50, 20),)
    assert in_fractions(Boxes(drawn), sample).boxes == (Box("x", 0.2, 0.5, 1, 1),)
    assert in_fractions(Boxes(drawn, frame=(100, 40)), sample).boxes == (Box("x", 0.1, 0.25, 0.5, 0.5),)
