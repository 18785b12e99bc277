"""Controls: what looks falls to chance, what does not look keeps every answer."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PIL
from radbench.model_adapters.controls import Blank, QuestionOnly, ShuffledImages

import radbench
from radbench.errors import ConfigError, ImageError
from radbench.records import Answer, Box, Image, Message, Request, Sample, Text
from radbench.registry import find_model, find_tasks

OWN = Path(__file__).parents[2] / "examples" / "own_data"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "radbench" / "blank"


class Looks:
    """Calls a chest X-ray by whether its middle is brighter than its border; keeps its requests."""

    capabilities = frozenset({"text", "multi_image", "volumes"})

    def __init__(self) -> None:
        self.asked: dict[str, Request] = {}

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "test", "name": "looks"}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            self.asked[request.sample] = request
            pixels = [i.load().array.mean() for i in request.images]
            yield request, Answer(text="pneumonia" if pixels and pixels[0] > 130 else "normal")


def accuracy(model: Any, shared: Path, out: Path) -> float:
    evaluation = radbench.evaluate(model, "open/pneumoniamnist", data=shared, out=out, resamples=10, limit=250)
    assert evaluation.results is not None
    task = evaluation.results["tasks"]["open/pneumoniamnist"]
    assert task["failures"] == {}
    return float(task["metrics"]["f1-macro"]["value"])


def test_a_model_that_looks_falls_to_chance(shared: Path, tmp_path: Path) -> None:
    seen = accuracy("knn:k=5", shared, tmp_path / "seen")
    blank = accuracy("blank(knn:k=5)", shared, tmp_path / "blank")
    shuffled = accuracy("shuffled_images(knn:k=5)", shared, tmp_path / "shuffled")
    assert seen > 0.75
    assert blank < 0.4  # one answer for all: half of one class's F1
    assert abs(shuffled - 0.5) < 0.06
    answers = [
        json.loads(x)["text"] for x in (tmp_path / "blank" / "answers" / "1-of-1.jsonl").read_text().splitlines()
    ]
    assert len(set(answers)) == 1


@pytest.mark.parametrize("control", ["blank", "question_only", "shuffled_images"])
@pytest.mark.parametrize("model", ["majority", "random:seed=2", "oracle"])
def test_a_model_that_ignores_pictures_keeps_every_answer(
    control: str, model: str, shared: Path, tmp_path: Path
) -> None:
    texts = []
    for name, spec in {"plain": model, "control": f"{control}({model})"}.items():
        radbench.evaluate(spec, "open/pneumoniamnist", data=shared, out=tmp_path / name, resamples=10, limit=80)
        lines = map(json.loads, (tmp_path / name / "answers" / "1-of-1.jsonl").read_text().splitlines())
        texts.append({line["sample"]: line["text"] for line in lines})
    assert len(texts[0]) == 80
    assert texts[0] == texts[1]


# --- blank ---


def test_blank_pictures_have_the_size_and_lie_in_the_users_cache(cache: Path, tmp_path: Path) -> None:
    grey, colour = np.full((30, 20), 90, np.uint8), np.full((12, 9, 3), 77, np.uint8)
    PIL.fromarray(grey).save(tmp_path / "g.png")
    PIL.fromarray(colour).save(tmp_path / "c.png")
    images = (Image(str(tmp_path / "g.png"), view="PA", role="prior"), Image(str(tmp_path / "c.png")))
    request = Request("t", "s", (Message("user", ("See ", images[0], " and ", images[1])),), key=b"k" * 16)
    changed = Blank(Looks()).change(request)
    assert (changed.task, changed.sample, changed.key, changed.text) == ("t", "s", request.key, request.text)
    first, second = changed.images
    assert (first.view, first.role) == ("PA", "prior")
    assert first.load().array.shape == (30, 20)
    assert second.load().array.shape == (12, 9, 3)
    assert not first.load().array.any()
    assert not second.load().array.any()
    assert (Blank(Looks(), grey=128).change(request).images[0].load().array == 128).all()
    assert {p.name for p in cache.iterdir()} == {"30x20-0.png", "12x9x3-0.png", "30x20-128.png", "12x9x3-128.png"}
    assert {stat.S_IMODE(p.stat().st_mode) for p in cache.iterdir()} == {0o600}


def test_a_blank_volume_keeps_shape_affine_and_kind(tmp_path: Path) -> None:
    import nibabel

    turn = np.array([[-0.7, 0.1, 0, 40], [0.1, 0.8, 0.2, -30], [0, -0.2, 3.0, 7], [0, 0, 0, 1]])
    volume = np.random.default_rng(0).normal(size=(9, 8, 5)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, turn), tmp_path / "v.nii.gz")
    image = Image(str(tmp_path / "v.nii.gz"), kind="volume", window="brain")
    request = Request("t", "s", (Message("user", (image, "what?")),))
    (blank,) = Blank(Looks()).change(request).images
    assert (blank.kind, blank.window) == ("volume", "brain")
    was, now = image.load(), blank.load()
    assert now.is_volume
    assert now.array.shape == was.array.shape
    assert not now.array.any()
    np.testing.assert_allclose(np.asarray(now.affine), np.asarray(was.affine), rtol=1e-6, atol=1e-6)
    assert now.spacing == pytest.approx(was.spacing, rel=1e-6)


def test_answers_record_the_original_pictures(shared: Path, tmp_path: Path) -> None:
    hashes = []
    for name, model in {"plain": Looks(), "blank": Blank(Looks())}.items():
        radbench.evaluate(model, "open/brain-mr", data=shared, out=tmp_path / name, resamples=10, limit=5)
        lines = map(json.loads, (tmp_path / name / "answers" / "1-of-1.jsonl").read_text().splitlines())
        hashes.append({line["sample"]: line["images"] for line in lines})
    assert hashes[0] == hashes[1]
    assert len({str(h) for h in hashes[0].values()}) == 5


def test_a_cache_that_cannot_be_written_fails_samples_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    evaluation = radbench.evaluate(Blank(Looks()), str(OWN / "classification.yaml"), out=tmp_path / "run", resamples=10)
    assert evaluation.results is not None
    (task,) = evaluation.results["tasks"].values()
    assert task["failures"] == {"input": task["n"]}


# --- question only ---


def test_the_question_alone_keeps_every_word(tmp_path: Path) -> None:
    image = Image(str(tmp_path / "none.png"))
    request = Request("t", "s", (Message("user", ("First: ", image, " then ", image, "?")), Message("user", (image,))))
    changed = QuestionOnly(Looks()).change(request)
    assert [m.content for m in changed.messages] == [("First: ", " then ", "?"), ("",)]
    for form in ("boxes", "mask"):
        with pytest.raises(ImageError, match="cannot be given without the picture"):
            QuestionOnly(find_model("majority")).change(replace(request, form=form))  # type: ignore[arg-type]
    assert QuestionOnly(Looks()).change(replace(request, form="boxes")).images == ()


@pytest.mark.parametrize("kind", ["vqa", "report", "classification", "detection", "segmentation"])
@pytest.mark.parametrize("spec", ["blank(knn)", "question_only(knn)", "shuffled_images(majority)", "blank(oracle)"])
def test_every_form_runs_to_its_end(kind: str, spec: str, tmp_path: Path) -> None:
    evaluation = radbench.evaluate(spec, str(OWN / f"{kind}.yaml"), out=tmp_path / "run", resamples=10)
    assert evaluation.results is not None
    (task,) = evaluation.results["tasks"].values()
    assert evaluation.results["complete"]
    assert task["failures"] == ({"input": task["n"]} if spec == "question_only(knn)" else {})


# --- shuffled ---


def test_every_sample_has_anothers_picture_in_every_shard_and_session(shared: Path, tmp_path: Path) -> None:
    def shown(out: str, seed: int = 0, **more: Any) -> dict[str, int]:
        model = Looks()
        radbench.evaluate(
            ShuffledImages(model, seed=seed),
            "open/pneumoniamnist",
            data=shared,
            out=tmp_path / out,
            resamples=10,
            **more,
        )
        return {s: int(r.images[0].frame or 0) for s, r in model.asked.items()}

    whole = shown("whole")
    assert len(whole) == len(set(whole.values())) == 624  # every picture once
    assert all(sample != f"test-{frame}" for sample, frame in whole.items())
    parts = [shown("parts", shard=f"{i}/2") for i in (1, 2)]
    assert parts[0] | parts[1] == whole
    limited = shown("limited", limit=10)
    assert limited.items() <= whole.items()
    assert shown("other", seed=1) != whole


def sample(name: str, cluster: str | None, *files: str, kinds: str = "") -> Sample:
    images = tuple(Image(f, kind="volume" if "v" in kinds else "2d") for f in files)
    return Sample(name, cluster, {"answer": Text((f"secret of {name}",))}, images)


def swapped(samples: list[Sample], seed: int = 0) -> dict[str, tuple[str, ...] | None]:
    control = ShuffledImages(Looks(), seed=seed)
    task = replace(find_tasks([str(OWN / "vqa.yaml")])[0], name="t")
    control.tell(task, iter(samples))
    assert "secret" not in str(vars(control._tasks["t"]))
    found: dict[str, tuple[str, ...] | None] = {}
    for s in samples:
        try:
            found[s.id] = tuple(i.path for i in control._tasks["t"].swap(s.id).values())
        except ImageError:
            found[s.id] = None
    return found


def test_pictures_come_from_another_cluster_with_as_many_of_the_kind() -> None:
    samples = [sample(f"a{i}", f"p{i // 3}", f"a{i}.png") for i in range(9)]
    samples += [sample("b0", "q0", "b0.png", "b0x.png"), sample("b1", "q1", "b1.png", "b1x.png")]
    samples += [sample("v0", "r0", "v0.nii", kinds="v"), sample("none", "z")]
    for seed in range(5):
        found = swapped(samples, seed)
        for i in range(9):
            (path,) = found[f"a{i}"] or ("",)
            assert path.startswith("a")
            assert int(path[1]) // 3 != i // 3
        assert (found["b0"], found["b1"]) == (("b1.png", "b1x.png"), ("b0.png", "b0x.png"))
        assert found["v0"] is None
        assert found["none"] == ()


def test_questions_on_one_picture_never_swap_among_themselves() -> None:
    samples = [sample(f"q{i}", None, f"{i // 3}.png") for i in range(6)]
    found = swapped(samples)
    assert all(found[f"q{i}"] == (f"{1 - i // 3}.png",) for i in range(6))


def test_boxes_and_masks_come_back_in_the_own_pictures_frame(tmp_path: Path) -> None:
    for name, size in {"a": (20, 10), "b": (40, 40)}.items():
        PIL.fromarray(np.zeros(size, np.uint8)).save(tmp_path / f"{name}.png")
    ours, theirs = (
        Request("t", "s", (Message("user", (Image(str(tmp_path / f"{n}.png")),)),), key=b"k" * 16) for n in "ab"
    )
    mask = np.zeros((40, 40), bool)
    mask[:20] = True
    control = ShuffledImages(Looks())
    given = control.restore(ours, theirs, Answer(mask=mask, boxes=(Box("x", 4, 8, 40, 40),)))
    assert given.mask is not None
    assert given.mask.shape == (20, 10)
    assert given.mask[:10].all()
    assert not given.mask[10:].any()
    assert given.boxes == (Box("x", 1, 4, 10, 20),)
    assert control.restore(ours, theirs, Answer(text="x")) == Answer(text="x")
    truth = Answer(boxes=(Box("x", 4, 8, 40, 40),))  # of one that answers without a look
    assert ShuffledImages(find_model("oracle")).restore(ours, theirs, truth) == truth


def pictures(root: Path, sizes: dict[str, tuple[int, int]], target: str) -> str:
    """A task of boxes or masks over the upper left quarter of pictures of these sizes."""
    rows = []
    for name, (height, width) in sizes.items():
        mask = np.zeros((height, width), np.uint8)
        mask[: height // 2, : width // 2] = 255
        PIL.fromarray(mask // 2).save(root / f"{name}.png")
        PIL.fromarray(mask).save(root / f"{name}-mask.png")
        boxes = [{"label": "x", "box": [0, 0, width / 2, height / 2]}]
        rows.append({"id": name, "image": f"{name}.png", "boxes": boxes, "mask": f"{name}-mask.png", "patient": name})
    keep = {"detection": "boxes", "segmentation": "mask"}[target]
    rows = [{k: v for k, v in row.items() if k in ("id", "image", "patient", keep)} for row in rows]
    (root / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    task = {
        "name": "t", "kind": target, "support": "leave-one-cluster-out",
        "data": {"table": "t.jsonl", "access": "open", "columns": {"cluster": "patient"}},
    }  # fmt: skip
    (root / "t.yaml").write_text(json.dumps(task))
    return str(root / "t.yaml")


def test_boxes_written_in_pixels_of_another_picture_fail_unless_it_has_the_same_size(tmp_path: Path) -> None:
    found = {}
    for unit in ("pixels", "fraction"):
        task = replace(
            find_tasks([pictures(tmp_path, {"a": (20, 30), "b": (40, 40), "c": (40, 40)}, "detection")])[0], name=unit
        )
        task = replace(task, parser=replace(task.parser, options={**task.parser.options, "unit": unit}))
        samples = list(task.dataset.open(radbench.dataset.DataLocations()).samples("test"))
        control = ShuffledImages(Looks())
        control.tell(task, samples)
        failed = 0
        for s in samples:
            try:
                control.change(Request(unit, s.id, (Message("user", (*s.images, "where?")),), form="boxes"))
            except ImageError as error:
                assert "another size cannot be scaled back" in error.message
                failed += 1
        found[unit] = failed
    assert found == {"pixels": 2, "fraction": 0}


@pytest.mark.parametrize("model", ["majority", "oracle"])
def test_an_unreadable_picture_fails_who_is_shown_it_not_the_run(model: str, tmp_path: Path) -> None:
    task = pictures(tmp_path, {n: (20 + 2 * i, 30) for i, n in enumerate("abcd")}, "segmentation")
    (tmp_path / "b.png").write_bytes(b"no picture")
    evaluation = radbench.evaluate(f"shuffled_images({model})", task, out=tmp_path / "run", resamples=10)
    assert evaluation.results is not None
    found = evaluation.results["tasks"]["t"]
    # The oracle looks at none, so that the unreadable picture's own sample is answered, by the next one's.
    assert found["failures"] == {"input": 1 if model == "oracle" else 2}
    assert found["metrics"]["dice"]["value"] == pytest.approx(0.75 if model == "oracle" else 0.5)


@pytest.mark.parametrize("control", ["blank", "question_only", "shuffled_images"])
@pytest.mark.parametrize("around", ["shots({},k=1)", "rag({},embed=pixels)"])
def test_controls_stand_inside_shots_and_retrieval(control: str, around: str, tmp_path: Path) -> None:
    """Around them, examples would be chosen by the changed pictures, and could show the asked one."""
    spec, task = around.format(f"{control}(majority)"), str(OWN / "classification.yaml")
    evaluation = radbench.evaluate(spec, task, out=tmp_path / "in", resamples=10)
    assert evaluation.results is not None
    assert evaluation.results["tasks"]["example/classification"]["failures"] == {}
    name = around.partition("(")[0]
    for spec in (around.format("knn"), f"blank({around.format('knn')})"):
        with pytest.raises(ConfigError, match=rf"stands around {name}.*\n.*{name}\(\w+\(MODEL\)\)"):
            find_model(f"{control}({spec})")
