"""Retrieval-augmented diagnosis: the model gets exactly what lies nearest, worked out here in plain numpy."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PIL
from radbench.model_adapters.rag import Rag

import radbench
from radbench.errors import ConfigError
from radbench.prompting import support_of
from radbench.records import Answer, Image, Request
from radbench.registry import find_tasks

RAG = "meddr/rag/pneumoniamnist"
TOLD = "\nThe diagnoses of the most similar cases are "


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Scripted:
    """Says the first label it is told, keeps its prompts; its vision encoder sees the left half of a picture only."""

    capabilities = frozenset({"text", "multi_image", "embed"})

    def __init__(self) -> None:
        self.prompts: dict[str, str] = {}
        self.images: dict[str, tuple[Image, ...]] = {}

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "test", "name": "scripted"}

    def embed(self, images: Sequence[Image]) -> np.ndarray:
        return np.stack([half(i.load().array) for i in images]).astype(np.float32)

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            self.prompts[request.sample] = request.text
            self.images[request.sample] = request.images
            yield request, Answer(text=request.text.partition(TOLD)[2].partition(",")[0] or "no idea")


def half(pixels: np.ndarray) -> np.ndarray:
    """784 numbers of any grey or colour picture: the left half of 28 x 28 pixels, the right half zero."""
    small = np.array(pixels if pixels.shape == (28, 28) else PIL.fromarray(pixels).convert("L").resize((28, 28)), float)
    small[:, 14:] = 0
    return small.ravel()


def own_pixels(pixels: np.ndarray) -> np.ndarray:
    """What pixel retrieval compares: 32 x 32 grey levels without their mean."""
    small = np.asarray(PIL.fromarray(pixels).convert("L").resize((32, 32), PIL.Resampling.BOX), float).ravel()
    return small - small.mean()


def nearest(pool: Sequence[np.ndarray], asked: Sequence[np.ndarray], k: int) -> np.ndarray:
    """(n, k) pool positions by cosine, nearest first, of equal ones the earlier."""
    left, right = (np.stack(x) / np.linalg.norm(np.stack(x), axis=1, keepdims=True) for x in (asked, pool))
    return np.argsort(-np.round(left @ right.T, 6), axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize(("embed", "task", "pool"), [("own", RAG, "train"), ("pixels", "open/pneumoniamnist", "val")])
def test_pneumoniamnist_the_model_gets_exactly_the_labels_of_the_five_nearest(
    embed: str, task: str, pool: str, shared: Path, tmp_path: Path
) -> None:
    model = Scripted()
    evaluation = radbench.evaluate(
        Rag(model, embed=embed), task, data=shared, out=tmp_path / "run", limit=40, resamples=10
    )
    archive = np.load(shared / "pneumoniamnist" / "pneumoniamnist.npz")
    see = half if embed == "own" else own_pixels
    rows = nearest([see(p) for p in archive[f"{pool}_images"]], [see(p) for p in archive["test_images"][:40]], 5)
    names = np.array(["normal", "pneumonia"])
    labels = names[archive[f"{pool}_labels"][:, 0]]
    assert len(model.prompts) == 40
    for i in range(40):
        prompt = model.prompts[f"test-{i}"]
        assert task != RAG or prompt.startswith("You are a helpful medical assistant.\nYour task is disease diagnosis.")
        assert prompt.endswith(TOLD + ", ".join(labels[rows[i]]) + ".")
        assert prompt.count(TOLD) == 1
        assert len(model.images[f"test-{i}"]) == 1
    truth = names[archive["test_labels"][:40, 0]]
    assert evaluation.results is not None
    said = [p.partition(TOLD)[2].split(",")[0] for p in (model.prompts[f"test-{i}"] for i in range(40))]
    answers = [json.loads(x) for x in (tmp_path / "run" / "answers" / "1-of-1.jsonl").read_text().splitlines()]
    assert [a["text"] for a in answers] == said == list(labels[rows[:, 0]])
    assert np.mean(labels[rows[:, 0]] == truth) > 0.5


def test_brain_mr_whose_task_has_no_words_of_its_own(shared: Path, tmp_path: Path) -> None:
    model = Scripted()
    radbench.evaluate(Rag(model, k=3, embed="pixels"), "open/brain-mr", data=shared, out=tmp_path / "run", resamples=10)
    reader = find_tasks(["open/brain-mr"])[0].dataset.open(radbench.dataset.DataLocations(shared))
    pool, test = (list(reader.samples(split)) for split in ("pool", "test"))
    grey = lambda s: own_pixels(np.asarray(PIL.open(s.images[0].path).convert("RGB")))  # noqa: E731
    rows = nearest([grey(s) for s in pool], [grey(s) for s in test], 3)
    agree = 0
    for sample, near in zip(test, rows, strict=True):
        want = ", ".join(pool[i].targets["answer"].names[0] for i in near)  # type: ignore[union-attr]
        agree += model.prompts[sample.id].endswith(f"{TOLD}{want}.")
    assert agree >= len(test) - 1  # Pillow's grey of colour differs from the luma of colour pictures by a rounding
    assert len(test) > 100


def test_answers_and_reports_get_the_nearest_annotation_alone(shared: Path, tmp_path: Path) -> None:
    """Leave one picture out of 12: never the own picture's answers, and the question most alike of the nearest one's."""
    from difflib import SequenceMatcher

    model = Scripted()
    task = find_tasks(["open/vqamed2019-images"])[0]
    radbench.evaluate(Rag(model, embed="pixels"), task.name, data=shared, out=tmp_path / "run", resamples=10)
    samples = list(task.dataset.open(radbench.dataset.DataLocations(shared)).samples(task.split))
    seen = [own_pixels(np.asarray(PIL.open(s.images[0].path).convert("RGB"))) for s in samples]
    similarity = np.array([[float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for b in seen] for a in seen])
    for i, sample in enumerate(samples):
        others = [j for j, s in enumerate(samples) if s.cluster != sample.cluster]
        top = max(similarity[i, j] for j in others)
        same = [j for j in others if similarity[i, j] > top - 1e-4]
        question = str(sample.slots["question"])
        best = max(same, key=lambda j: SequenceMatcher(None, str(samples[j].slots["question"]), question).ratio())
        found = samples[best]
        told = f"\nThe most similar case was asked: {found.slots['question']} Its annotation is: {found.targets['answer'].first}."  # type: ignore[union-attr]
        assert model.prompts[sample.id].endswith(told), (sample.id, model.prompts[sample.id], told)


def planted(shared: Path, root: Path, split: str) -> Path:
    """PneumoniaMNIST with test picture 7, a little brighter in one corner, as picture 3 of a pool."""
    archive = dict(np.load(shared / "pneumoniamnist" / "pneumoniamnist.npz"))
    copy = archive["test_images"][7].copy()
    copy[:2, :2] = np.minimum(copy[:2, :2].astype(int) + 20, 255)
    archive[f"{split}_images"][3] = copy
    archive[f"{split}_labels"][3] = 1 - archive["test_labels"][7]  # wrong, so that copying it shows
    (root / "pneumoniamnist").mkdir(parents=True)
    np.savez(root / "pneumoniamnist" / "pneumoniamnist.npz", **archive)
    return root


def test_a_planted_near_duplicate_is_reported_and_left_out_where_asked(
    shared: Path, tmp_path: Path, caplog: Any
) -> None:
    kind = "nearly same picture"
    data = planted(shared, tmp_path / "data", "val")
    kept, left = Scripted(), Scripted()
    with caplog.at_level(logging.INFO, "radbench"):
        for name, model in {
            "kept": Rag(kept, k=1, embed="pixels"),
            "left": Rag(left, k=1, embed="pixels", near_duplicates="leave-out"),
        }.items():
            radbench.evaluate(model, "open/pneumoniamnist", data=data, out=tmp_path / name, limit=20, resamples=10)
    found = json.loads((tmp_path / "kept" / "manifest.json").read_text())["leakage"]
    assert found == {"open/pneumoniamnist": {kind: 1}}
    assert [m for m in caplog.messages if kind in m] == 2 * [
        f"task open/pneumoniamnist: {kind} in the support split and the test split: 1 of 624 samples compared,"
        " such as test-7 <- val-3"
    ]
    one = [m for m in caplog.messages if "were kept" in m][-1]
    two = [m for m in caplog.messages if "were passed over" in m][-1]
    archive = np.load(data / "pneumoniamnist" / "pneumoniamnist.npz")
    names = ["normal", "pneumonia"]
    wrong, right = (names[int(archive[f"{s}_labels"][i, 0])] for s, i in (("val", 3), ("test", 7)))
    assert kept.prompts["test-7"].endswith(f"{TOLD}{wrong}.")
    pool = [own_pixels(p) for p in archive["val_images"]]
    order = nearest(pool, [own_pixels(archive["test_images"][7])], 600)[0]
    assert order[0] == 3
    unit = [p / np.linalg.norm(p) for p in (*pool, own_pixels(archive["test_images"][7]))]
    first = next(i for i in order if unit[i] @ unit[-1] < 0.99)
    assert left.prompts["test-7"].endswith(f"{TOLD}{names[int(archive['val_labels'][first, 0])]}.")
    assert "retrieved pictures are the asked one or nearly so and were kept, for" in one
    assert "and were passed over, for" in two
    assert right != wrong


def test_radbench_data_check_reports_the_planted_near_duplicate(shared: Path, tmp_path: Path) -> None:
    data = planted(shared, tmp_path / "data", "val")
    done = subprocess.run(
        [sys.executable, "-m", "radbench", "data", "check", "--tasks", "open/pneumoniamnist", "--data", str(data), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    (checked,) = json.loads(done.stdout)
    (leaks,) = [p["leaks"] for f in checked["forms"] for p in f["pools"]]
    assert [x for x in leaks if x["affected"]] == [
        {"kind": "nearly same picture", "affected": 1, "compared": 624, "examples": ["test-7 <- val-3"]}
    ]


def test_shards_and_resumed_runs_are_told_the_same(shared: Path, tmp_path: Path) -> None:
    def prompts(out: str, **more: Any) -> dict[str, str]:
        model = Scripted()
        radbench.evaluate(
            Rag(model), "open/pneumoniamnist", data=shared, out=tmp_path / out, limit=20, resamples=10, **more
        )
        return model.prompts

    whole = prompts("whole")
    parts = [prompts("parts", shard=f"{i}/3") for i in (1, 2, 3)]
    assert {s: p for part in parts for s, p in part.items()} == whole
    assert sum(map(len, parts)) == 20
    shutil.rmtree(tmp_path / "cache")  # made again, it says the same
    assert prompts("again") == whole
    assert prompts("again") == {}


def test_examples_inside_or_outside_do_not_change_what_is_retrieved(shared: Path, tmp_path: Path) -> None:
    from radbench.model_adapters.shots import Shots

    seen = []
    for name, wrap in {
        "rag": lambda m: Rag(m, k=2), "in": lambda m: Shots(Rag(m, k=2), k=1), "out": lambda m: Rag(Shots(m, k=1), k=2),
    }.items():  # fmt: skip
        model = Scripted()
        radbench.evaluate(wrap(model), "open/pneumoniamnist", data=shared, out=tmp_path / name, limit=10, resamples=10)
        seen.append([p.rpartition(TOLD)[2] for p in model.prompts.values()])
        assert {len(i) for i in model.images.values()} == {1 if name == "rag" else 2}
    assert seen[0] == seen[1] == seen[2]


def test_what_has_no_words_or_pictures_is_refused(text_task: Any, tmp_path: Path) -> None:
    own = Path(__file__).parents[2] / "examples" / "own_data"
    for kind in ("segmentation", "detection"):
        with pytest.raises(ConfigError, match="retrieved masks and boxes have no words"):
            radbench.evaluate("rag(majority,embed=pixels)", str(own / f"{kind}.yaml"), out=tmp_path / kind)
    with pytest.raises(ConfigError, match="no support split"):
        radbench.evaluate("rag(majority,embed=pixels)", str(text_task(3)), out=tmp_path / "none")
    said = Rag(Scripted(), k=3).fingerprint()
    assert (said["regime"], said["embedding"]) == ("retrieval:3", "own")
    assert said["name"] == "rag(scripted,k=3)"
    assert Rag(Scripted(), embed=Scripted()).fingerprint()["embedding"].startswith("scripted ")


def test_other_words_are_another_request() -> None:
    """The words with which a neighbour is told are in no request of the task: the support split's digest has them."""
    task = find_tasks([str(Path(__file__).parents[2] / "examples" / "own_data" / "report.yaml")])[0]
    reader = task.dataset.open(radbench.dataset.DataLocations())
    one, two = (support_of(replace(task, retrieval=words), reader, 0).digest for words in ("", "See {retrieved}."))
    assert one != two


def test_a_report_task_tells_the_nearest_report(tmp_path: Path) -> None:
    model = Scripted()
    own = Path(__file__).parents[2] / "examples" / "own_data"
    radbench.evaluate(Rag(model), str(own / "report.yaml"), out=tmp_path / "run", resamples=10)
    assert model.prompts
    assert all("\nThe annotation of the most similar case is: " in p for p in model.prompts.values())
