"""Retrieval: the order of neighbours, the index on disk, and voting on real pictures with several embeddings."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PIL
from radbench.model_adapters.knn import Knn
from radbench.model_adapters.pool import index as retrieval
from radbench.model_adapters.pool.embedding import Encoder, Pixels, embedded
from radbench.model_adapters.pool.index import Index, index_of

import radbench
from radbench.dataset import DataLocations, Dataset, lazy
from radbench.errors import ConfigError, ImageError, ModelError
from radbench.prompting import Renderer, support_of
from radbench.records import Answer, Image, Labels, Message, Request, Sample
from radbench.registry import find_tasks
from radbench.task import Support, Task


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "radbench" / "index"


class Projection:
    """A vision encoder of random weights: 28 x 28 pixels of the picture through one matrix and a rectifier."""

    capabilities = frozenset({"text", "embed"})
    name = "projection"

    def __init__(self, seed: int = 0) -> None:
        self.weights = np.random.default_rng(seed).normal(size=(28 * 28, 64)).astype(np.float32)
        self.seed, self.seen = seed, 0

    def fingerprint(self) -> Mapping[str, str]:
        return {"name": self.name, "seed": str(self.seed)}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        yield from ((r, Answer(text="")) for r in requests)

    def embed(self, images: Sequence[Image]) -> np.ndarray:
        self.seen += len(images)
        small = [np.asarray(i.load().pil().convert("L").resize((28, 28)), np.float32) / 255 for i in images]
        return np.stack([np.maximum(s.ravel() @ self.weights, 0) for s in small])


def pool_of(files: Sequence[Path | tuple[Path, ...]], labels: Sequence[str] = ()) -> tuple[Task, Support]:
    """A made-up support split of one picture or several a sample."""
    images = [tuple(Image(str(p)) for p in (f if isinstance(f, tuple) else (f,))) for f in files]
    names = labels or ["a"] * len(images)
    samples = tuple(
        Sample(f"s{i}", f"c{i}", {"answer": Labels((n,))}, im)
        for i, (im, n) in enumerate(zip(images, names, strict=True))
    )
    requests = tuple(Request("t", s.id, (Message("user", (*s.images, "what?")),)) for s in samples)
    dataset = Dataset("d", lazy("x:y"), access="credentialed", licence="", source="")
    task = Task("t", 1, "", dataset, "test", ("what?",), ("accuracy",), support="train", choices=("a", "b"))
    return task, Support(samples, requests, "digest")


def pngs(folder: Path, count: int, seed: int = 0) -> list[Path]:
    pixels = np.random.default_rng(seed)
    found = []
    for i in range(count):
        found.append(folder / f"{seed}-{i}.png")
        PIL.fromarray(pixels.integers(0, 256, (16, 16), dtype=np.uint8)).save(found[-1])
    return found


# --- order ---


def plain_order(vectors: np.ndarray, query: np.ndarray) -> list[int]:
    """All rows by cosine in float64, of equal ones the earlier first."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return sorted(range(len(vectors)), key=lambda i: (-round(float(unit[i] @ query / np.linalg.norm(query)), 6), i))


@pytest.mark.parametrize("ties", [False, True])
def test_numpy_and_faiss_give_the_plain_order_ties_too(ties: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    draw = np.random.default_rng(3)
    vectors = draw.normal(size=(700, 24)).astype(np.float32)
    if ties:
        vectors[100:500] = vectors[draw.integers(0, 5, 400)] * 2.0 ** draw.integers(-3, 4, (400, 1)).astype(np.float32)
    kept = np.arange(700) * 2
    numpy_index = Index(vectors, kept)
    monkeypatch.setattr(retrieval, "LARGE", 100)
    faiss_index = Index(vectors, kept)
    assert numpy_index._faiss is None
    assert faiss_index._faiss is not None
    for query in (*vectors[:3], *draw.normal(size=(4, 24)).astype(np.float32)):
        want = [2 * i for i in plain_order(vectors.astype(float), query.astype(float))]
        found = list(numpy_index.ranked(query))
        assert [p for p, _ in found] == want
        assert list(faiss_index.ranked(query)) == found
        assert all(a >= b for (_, a), (_, b) in pairwise(found))


def test_without_faiss_numpy_searches_a_large_pool(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(retrieval, "LARGE", 2)
    vectors = np.eye(3, dtype=np.float32)
    with caplog.at_level(logging.INFO, "radbench"):
        assert next(Index(vectors, np.arange(3)).ranked(vectors[2])) == (2, 1.0)
    assert "radbench[retrieval]" in caplog.text


def test_a_uniform_picture_is_near_to_none() -> None:
    index = Index(np.array([[0, 0], [3, 4]], np.float32), np.arange(2))
    assert list(index.ranked(np.array([6, 8], np.float32))) == [(1, 1.0), (0, 0.0)]


# --- embedding ---


def test_several_pictures_embed_as_their_mean_in_one_call(tmp_path: Path) -> None:
    one, two, three = (Image(str(p)) for p in pngs(tmp_path, 3))
    model = Projection()
    rows = model.embed([one, two, three])
    found = Encoder(model).vectors([(one,), (two, three), ()], flat=True)
    np.testing.assert_array_equal(found[0], rows[0])
    np.testing.assert_allclose(found[1], rows[1:].mean(axis=0), rtol=1e-6)
    assert isinstance(found[2], ImageError)


def test_one_unreadable_picture_costs_its_own_request_only(tmp_path: Path) -> None:
    good, other = pngs(tmp_path, 2)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    asked = [(Image(str(p)),) for p in (good, tmp_path / "bad.png", other)]
    for made_by in (Pixels(), Encoder(Projection())):
        found = made_by.vectors(asked, flat=True)
        assert [isinstance(f, ImageError) for f in found] == [False, True, False]


@pytest.mark.parametrize(
    ("given", "message"), [(np.ones(4), r"shape \(4,\) for 1"), (np.full((1, 2), np.nan), "not finite")]
)
def test_wrong_embeddings_are_the_models_fault(given: np.ndarray, message: str, tmp_path: Path) -> None:
    model = Projection()
    model.embed = lambda images: given  # type: ignore[method-assign]
    with pytest.raises(ModelError, match=message):
        Encoder(model).vectors([(Image(str(pngs(tmp_path, 1)[0])),)], flat=True)


def test_asked_requests_are_embedded_in_batches_in_order_and_lazily(tmp_path: Path) -> None:
    images = [Image(str(p)) for p in pngs(tmp_path, 40)]
    drawn: list[int] = []

    def requests() -> Iterator[Request]:
        for i, image in enumerate(images):
            drawn.append(i)
            yield Request("t", str(i), (Message("user", (image,)),))

    found = embedded(Encoder(Projection()), requests(), {"t": True})
    next(found)
    assert len(drawn) == 16
    assert [r.sample for r, _ in found] == [str(i) for i in range(1, 40)]


# --- the index on disk ---


def test_the_index_is_made_once_kept_for_the_user_alone_and_damage_is_mended(
    tmp_path: Path, cache: Path, caplog: Any
) -> None:
    files = pngs(tmp_path, 5)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    task, support = pool_of([*files, tmp_path / "bad.png"])
    model = Projection()
    with caplog.at_level(logging.WARNING, "radbench"):
        first = index_of(Encoder(model), task, support)
    assert "a support picture is left out: <str" in caplog.text  # restricted: no path in the log
    assert str(tmp_path) not in caplog.text
    (file,) = cache.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    query, seen = model.embed([Image(str(files[3]))])[0], model.seen + 1 - 1
    again = index_of(Encoder(Projection()), task, support)
    assert list(again.ranked(query)) == list(first.ranked(query))
    assert next(again.ranked(query)) == (3, 1.0)
    index_of(Encoder(model), task, support)
    assert model.seen == seen  # nothing was embedded again
    whole = file.read_bytes()
    for damaged in (b"", whole[:200], whole[:300] + b"\xff\xff" + whole[302:], b"PK" + whole):
        file.write_bytes(damaged)
        caplog.clear()
        assert list(index_of(Encoder(model), task, support).ranked(query)) == list(first.ranked(query))
        assert file.read_bytes() == whole or damaged == b"PK" + whole
    np.savez(file, vectors=np.array([object()]), kept=np.arange(1))
    assert list(index_of(Encoder(model), task, support).ranked(query)) == list(first.ranked(query))


def test_another_encoder_picture_or_file_time_is_another_index(tmp_path: Path, cache: Path) -> None:
    files = pngs(tmp_path, 3)
    task, support = pool_of(files)
    index_of(Encoder(Projection()), task, support)
    index_of(Encoder(Projection(seed=1)), task, support)
    index_of(Pixels(), task, support)
    assert len(list(cache.iterdir())) == 3
    os.utime(files[1], (1, 1))
    index_of(Pixels(), task, support)
    assert len(list(cache.iterdir())) == 4


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    task, support = pool_of(pngs(tmp_path, 3))
    with caplog.at_level(logging.WARNING, "radbench"):
        assert len(list(index_of(Pixels(), task, support).ranked(np.ones(1024, np.float32)))) == 3
    assert "the index is not kept" in caplog.text


def test_a_pool_without_a_readable_picture_says_so(tmp_path: Path) -> None:
    task, support = pool_of([tmp_path / "missing.png"])
    with pytest.raises(ConfigError, match="no usable picture in the support split 'train'"):
        index_of(Pixels(), task, support)


# --- voting ---


def neighbours(pool: np.ndarray, asked: np.ndarray, k: int) -> np.ndarray:
    """(n, k) nearest rows by cosine, in plain numpy."""
    pool, asked = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (pool, asked))
    return np.argsort(-np.round(asked @ pool.T, 6), axis=1, kind="stable")[:, :k]


def test_voting_on_pneumoniamnist_by_pixels_and_by_an_encoder(shared: Path, tmp_path: Path) -> None:
    archive = np.load(shared / "pneumoniamnist" / "pneumoniamnist.npz")
    truth, labels = archive["test_labels"][:, 0], archive["val_labels"][:, 0]
    model = Projection()
    project = lambda images: np.maximum(  # noqa: E731
        (images.reshape(len(images), -1).astype(np.float32) / 255) @ model.weights, 0
    ).astype(float)
    votes = labels[neighbours(project(archive["val_images"]), project(archive["test_images"]), 5)]
    expected = float(np.mean((votes.mean(axis=1) > 0.5) == truth))
    found = {}
    for name, knn in {"encoder": Knn(k=5, embed=model), "pixels": Knn(k=5)}.items():
        evaluation = radbench.evaluate(knn, "open/pneumoniamnist", data=shared, out=tmp_path / name, resamples=10)
        assert evaluation.results is not None
        found[name] = evaluation.results["tasks"]["open/pneumoniamnist"]["metrics"]["accuracy"]["value"]
    assert found["encoder"] == pytest.approx(expected)
    assert min(found.values()) > 390 / 624  # more than the larger class
    assert found["encoder"] != found["pixels"]


def test_voting_on_brain_mr_by_pixels_and_by_an_encoder(shared: Path, tmp_path: Path) -> None:
    for name, knn in {"encoder": Knn(k=5, embed=Projection()), "pixels": Knn(k=5)}.items():
        evaluation = radbench.evaluate(knn, "open/brain-mr", data=shared, out=tmp_path / name, resamples=10)
        assert evaluation.results is not None
        task = evaluation.results["tasks"]["open/brain-mr"]
        assert task["metrics"]["accuracy"]["value"] > 1.3 * max(task["classes"].values()) / task["n"]
        assert task["failures"] == {}


def test_voting_by_the_encoder_of_a_real_model(shared: Path, tmp_path: Path) -> None:
    """LLaVA's vision tower and projector, tiny and random, through a spec with commas, against its own embeddings."""
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    from miniatures.vlm import tiny_vlm

    folder = tiny_vlm("llava", tmp_path / "llava")
    spec = f"knn:k=3,embed=(hf:{folder},dtype=float32,device=cpu)"
    model = radbench.registry.find_model(spec)
    assert isinstance(model, Knn)
    assert str(tmp_path) not in str(model.fingerprint())
    task = find_tasks(["open/brain-mr"])[0]
    reader = task.dataset.open(DataLocations(shared))
    whole = support_of(task, reader, 0)
    support = replace(whole, samples=whole.samples[::4], requests=whole.requests[::4])
    model.fit(task, support)
    encoder: Any = radbench.registry.find_model(f"hf:{folder},dtype=float32,device=cpu")
    asked = [Renderer(task, 0, b"").render(s) for s in reader.samples("test")][:8]
    rows = neighbours(
        encoder.embed([s.images[0] for s in support.samples]), encoder.embed([r.images[0] for r in asked]), 3
    )
    for (_, answer), near in zip(model.answer(iter(asked)), rows, strict=True):
        names = [support.samples[i].targets["answer"].names[0] for i in near]  # type: ignore[union-attr]
        assert answer.text == max(names, key=names.count)


def test_fingerprint_and_answers_of_pixel_voting_are_what_they_were() -> None:
    assert Knn(k=3).fingerprint() == {
        "adapter": "knn", "name": "knn:k=3", "embedding": "pixels-32", "revision": "1",
    }  # fmt: skip
    said = Knn(k=3, embed=Projection()).fingerprint()
    assert said["name"] == "knn:k=3,embed=projection"
    assert said["embedding"] != Knn(k=3, embed=Projection(seed=1)).fingerprint()["embedding"]
