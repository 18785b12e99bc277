"""The first tasks on their real data, and the readers' errors on made-up files of the official layouts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from radbench.tasks.readers.medmnist import MedMNIST
from radbench.tasks.readers.vqamed2019 import OfficialText

import radbench
from radbench.analysis.compare import compare
from radbench.dataset import DataLocations
from radbench.errors import DataError
from radbench.records import Boxes, Labels, Mask, Text
from radbench.registry import all_tasks, find_tasks

FOUR = [
    "open/pneumoniamnist",
    "open/vqamed2019-images",
    "open/brain-mr",
    "open/covid-lung-segmentation",
    "open/covid-lung-detection",
]


@pytest.fixture(scope="module")
def runs(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """knn, majority and oracle on the real sets, once for this module."""
    root = tmp_path_factory.mktemp("runs")
    for model in ("knn", "majority", "oracle"):
        evaluation = radbench.evaluate(model, FOUR, data=shared, out=root / model)
        assert evaluation.results is not None
        assert evaluation.results["complete"]
    return root


def results(runs: Path, model: str) -> dict[str, dict[str, dict[str, float]]]:
    tasks = json.loads((runs / model / "results.json").read_text())["tasks"]
    return {name: task["metrics"] for name, task in tasks.items()}


@pytest.mark.parametrize("task", ["open/pneumoniamnist", "open/brain-mr"])
def test_knn_beats_majority_with_a_paired_interval_above_zero(task: str, runs: Path) -> None:
    found = compare([runs / "knn", runs / "majority"], [task])["tasks"][task]["metrics"]
    for metric in ("accuracy", "f1-macro"):
        assert found[metric]["pairs"][0]["low"] > 0, metric


def test_the_oracle_reaches_the_top_everywhere(runs: Path) -> None:
    for task, metrics in results(runs, "oracle").items():
        for metric, entry in metrics.items():
            assert entry["value"] == pytest.approx(1.0, abs=1e-8), (task, metric)


def test_sizes_and_splits_are_those_of_the_specification(shared: Path, runs: Path) -> None:
    tasks = json.loads((runs / "oracle" / "results.json").read_text())["tasks"]
    assert tasks["open/pneumoniamnist"]["classes"] == {"normal": 234, "pneumonia": 390}
    assert tasks["open/vqamed2019-images"]["n"] == 30
    assert tasks["open/vqamed2019-images"]["clusters"] == 12
    assert not tasks["open/brain-mr"]["clustered"]
    assert tasks["open/covid-lung-segmentation"]["clustered"]
    counts = {}
    reader = find_tasks(["open/vqamed2019"])[0].dataset.open(DataLocations(shared))
    for sample in reader.samples("test"):
        counts[sample.strata["category"]] = counts.get(sample.strata["category"], 0) + 1
    assert counts == {"modality": 125, "plane": 125, "organ": 125, "abnormality": 125}


def test_no_patient_lies_in_pool_and_test(shared: Path) -> None:
    reader = find_tasks(["open/covid-lung-segmentation"])[0].dataset.open(DataLocations(shared))
    pool, test = ({s.cluster for s in reader.samples(split)} for split in ("pool", "test"))
    assert pool
    assert test
    assert not pool & test


def test_near_duplicates_are_removed_and_halves_are_disjoint_and_stable(shared: Path) -> None:
    dataset = find_tasks(["open/brain-mr"])[0].dataset
    reader = dataset.open(DataLocations(shared))
    pool, test = (list(reader.samples(s)) for s in ("pool", "test"))
    removed = reader.removed  # type: ignore[attr-defined]
    assert len(pool) + len(test) + len(removed) == 300
    vectors = np.stack([s.images[0].load().vector(32) for s in pool + test])
    alike = vectors @ vectors.T - np.eye(len(vectors))
    assert alike.max() <= 0.99
    again = dataset.open(DataLocations(shared))
    assert [s.id for s in again.samples("test")] == [s.id for s in test]


def test_targets_have_their_kinds(shared: Path) -> None:
    kinds = {
        "open/pneumoniamnist": Labels,
        "open/vqamed2019": Text,
        "open/covid-lung-segmentation": Mask,
        "open/covid-lung-detection": Boxes,
    }
    for name, kind in kinds.items():
        task = all_tasks()[name]
        sample = next(iter(task.dataset.open(DataLocations(shared)).samples(task.split)))
        assert isinstance(sample.targets[task.target], kind)


def test_detection_boxes_lie_inside_their_pictures(shared: Path) -> None:
    task = all_tasks()["open/covid-lung-detection"]
    for sample in task.dataset.open(DataLocations(shared)).samples("test"):
        height, width = sample.images[0].load().size
        boxes = sample.targets["boxes"]
        assert isinstance(boxes, Boxes)
        assert [b.label for b in boxes.boxes] == ["right lung", "left lung"]
        for b in boxes.boxes:
            assert 0 <= b.x0 < b.x1 <= width
            assert 0 <= b.y0 < b.y1 <= height


# --- readers on made-up files ---


def test_official_vqamed_layout(tmp_path: Path) -> None:
    train = tmp_path / "ImageClef-2019-VQA-Med-Training"
    test = tmp_path / "VQAMed2019Test"
    train.mkdir()
    test.mkdir()
    (train / "All_QA_Pairs_train.txt").write_text(
        "synpic1|in what plane is this mri?|axial\r\nsynpic1|is this ct?|no\n\n"
    )
    (test / "VQAMed2019_Test_Questions_w_Ref_Answers.txt").write_text("synpic2|organ|what organ?|lung#chest\n")
    reader = OfficialText(tmp_path)
    first, second = reader.samples("train")
    assert (first.id, second.id, first.cluster) == ("synpic1-1", "synpic1-2", "synpic1")
    assert first.targets["answer"] == Text(("axial",))
    assert first.images[0].path.endswith("ImageClef-2019-VQA-Med-Training/Train_images/synpic1.jpg")
    (only,) = reader.samples("test")
    assert only.targets["answer"] == Text(("lung", "chest"))
    assert only.strata == {"category": "organ"}
    with pytest.raises(DataError, match=r"All_QA_Pairs_val\.txt: not found"):
        list(reader.samples("val"))
    (train / "All_QA_Pairs_train.txt").write_text("synpic1|only two\n")
    with pytest.raises(DataError, match="line 1: 2 fields"):
        list(reader.samples("train"))


def test_medmnist_faults(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected the MedMNIST file pneumoniamnist\.npz"):
        MedMNIST(tmp_path, "pneumoniamnist")
    path = tmp_path / "pneumoniamnist.npz"
    np.savez(path, test_images=np.zeros((3, 28, 28), np.uint8), test_labels=np.array([[0], [1], [7]]))
    with pytest.raises(DataError, match=r"test_labels\[2\] is 7, expected 0 to 1"):
        list(MedMNIST(tmp_path, "pneumoniamnist").samples("test"))
    with pytest.raises(DataError, match="no array 'val_images'"):
        list(MedMNIST(tmp_path, "pneumoniamnist").samples("val"))
    path.write_bytes(b"PK not really")
    with pytest.raises(DataError, match="cannot be read"):
        list(MedMNIST(tmp_path / "pneumoniamnist.npz", "pneumoniamnist").samples("test"))


def test_missing_pictures_are_counted_and_the_run_goes_on(shared: Path, tmp_path: Path) -> None:
    """The official VQA-Med test text without its pictures: every sample is a counted input failure."""
    evaluation = radbench.evaluate("knn", "open/vqamed2019-images", data=shared, out=tmp_path / "ok", limit=3)
    assert evaluation.results is not None
    copy = tmp_path / "vqamed"
    (copy / "images").mkdir(parents=True)
    (copy / "with_images.jsonl").write_bytes((shared / "vqamed" / "with_images.jsonl").read_bytes())
    pictures = sorted((shared / "vqamed" / "images").iterdir())
    for picture in pictures[1:]:
        (copy / "images" / picture.name).write_bytes(picture.read_bytes())
    (copy / "images" / pictures[1].name).write_bytes(pictures[1].read_bytes()[:2000])
    evaluation = radbench.evaluate("knn", "open/vqamed2019-images", data=tmp_path, out=tmp_path / "run")
    assert evaluation.results is not None
    task = evaluation.results["tasks"]["open/vqamed2019-images"]
    lost = [json.loads(line) for line in (copy / "with_images.jsonl").read_text().splitlines()]
    expected = sum(row["image"].endswith((pictures[0].name, pictures[1].name)) for row in lost)
    assert task["failures"] == {"input": expected}
    assert task["n"] == 30
    answers = (tmp_path / "run" / "answers" / "1-of-1.jsonl").read_text()
    assert "no such file" in answers
    assert "cannot be decoded" in answers
    (copy / "images" / pictures[0].name).write_bytes(pictures[0].read_bytes())  # mended: asked on the next run
    (copy / "images" / pictures[1].name).write_bytes(pictures[1].read_bytes())
