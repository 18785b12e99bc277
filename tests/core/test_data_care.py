"""Care for data: what is found, what leaks, what changed, what would leave the machine, what is fetched.

Every dataset here is made up; ``SECRET`` stands in every id and value of the restricted ones and must never be printed.
"""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniatures.pictures import dicom, grey, nifti, png, volume
from PIL import Image as PIL
from PIL import ImageDraw, ImageFont, PngImagePlugin

from radbench.care import hub, manifest
from radbench.care.checkup import CheckOptions, sample_images
from radbench.care.inventory import datasets, forms, splits, variants
from radbench.care.leakage import Leakage, leakage, task_leakage
from radbench.care.privacy import TEXT, UNREADABLE, Concern, outgoing_check
from radbench.care.similar import chosen, look, near
from radbench.cli import data as command
from radbench.dataset import DataLocations, Dataset, Lazy
from radbench.errors import ConfigError, DataError
from radbench.records import Image, Labels, Mask, Sample, Text
from radbench.task import LEAVE_ONE_CLUSTER_OUT, Option, Task

SECRET = "Zq7Secret"
LONG = "The heart is of normal size and the mediastinum is not widened. There is no effusion. " * 2


class Rows:
    """A reader of ``rows.csv``: split, id, patient, picture, question, answer."""

    def __init__(self, root: Path, images: Path | None = None, only: str = "") -> None:
        self._root, self._images, self._only = root, images or root, only

    def samples(self, split: str) -> Iterator[Sample]:
        with (self._root / "rows.csv").open(newline="") as f:
            rows = list(csv.DictReader(f))
        if split not in {r["split"] for r in rows}:
            raise DataError(f"{self._root / 'rows.csv'} has no split '{split}'")
        for r in rows:
            if r["split"] == split and r["answer"].startswith(self._only):
                picture = (Image(str(self._images / r["picture"])),) if r["picture"] else ()
                slots = {"question": r["question"]} if r["question"] else {}
                yield Sample(r["id"], r["patient"] or None, {"answer": Text((r["answer"],))}, picture, slots)

    def fingerprint(self) -> str:
        return "rows"


def write_rows(root: Path, rows: list[tuple[str, str, str, str, str, str]]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "rows.csv").open("w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["split", "id", "patient", "picture", "question", "answer"])
        out.writerows(rows)
    return root


def made(name: str = "toy", **fields: Any) -> Dataset:
    given = {"access": "open", "licence": "CC0", "source": "nowhere", "folder": name, **fields}
    return Dataset(name, Lazy(f"{__name__}:Rows"), **given)


def task(dataset: Dataset, name: str = "test/toy", **fields: Any) -> Task:
    given = {"split": "test", "support": "train", "prompts": ("{question}",), "metrics": ("exact-match",), **fields}
    return Task(name, 1, "toy", dataset, **given)


@pytest.fixture(autouse=True)
def reader_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """This module is imported by path, so that readers are resolved here."""
    monkeypatch.setattr(Lazy, "resolve", lambda self: Rows)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes tasks the installed ones."""

    def install(*tasks: Task) -> None:
        monkeypatch.setattr(command, "all_tasks", lambda: {t.name: t for t in tasks})

    return install


def leaky(root: Path) -> Path:
    """6 training and 6 test samples: one patient, one picture, one near-copy, one question and one report twice."""
    for seed in range(6):
        png(root / f"train{seed}.png", seed)
        png(root / f"test{seed}.png", 100 + seed)
    (root / "test1.png").write_bytes((root / "train1.png").read_bytes())
    changed = grey(2).copy()
    changed[0, 0] ^= 255
    PIL.fromarray(changed).save(root / "test2.png")
    (root / "test3.png").write_bytes((root / "train3.png").read_bytes())
    return write_rows(
        root,
        [
            ("train", f"a0{SECRET}", f"p0{SECRET}", "train0.png", "Q a?", "yes"),
            ("train", f"a1{SECRET}", f"p1{SECRET}", "train1.png", "Q b?", "no"),
            ("train", f"a2{SECRET}", f"p2{SECRET}", "train2.png", "Q c?", "no"),
            ("train", f"a3{SECRET}", f"p3{SECRET}", "train3.png", "Is it?", "Yes"),
            ("train", f"a4{SECRET}", f"p4{SECRET}", "train4.png", "", LONG),
            ("train", f"a5{SECRET}", f"p5{SECRET}", "train5.png", "", "short"),
            ("test", f"t0{SECRET}", f"p0{SECRET}", "test0.png", "Q a?", "yes"),
            ("test", f"t1{SECRET}", f"q1{SECRET}", "test1.png", "Q z?", "no"),
            ("test", f"t2{SECRET}", f"q2{SECRET}", "test2.png", "Q y?", "no"),
            ("test", f"t3{SECRET}", f"q3{SECRET}", "test3.png", "is  it?", "yes"),
            ("test", f"t4{SECRET}", f"q4{SECRET}", "test4.png", "", LONG.upper()),
            ("test", f"t5{SECRET}", f"q5{SECRET}", "test5.png", "", "short"),
        ],
    )


def affected(found: Leakage) -> dict[str, tuple[int, int]]:
    return {leak.kind: (leak.affected, leak.compared) for leak in found.leaks}


# --- leakage ---


def test_every_planted_leak_is_counted_once(tmp_path: Path) -> None:
    toy = task(made())
    found = task_leakage(toy, Rows(leaky(tmp_path)))
    assert found is not None
    assert affected(found) == {
        "same patient or paper": (1, 6),
        "same picture": (2, 6),
        "nearly same picture": (1, 6),
        "same question": (1, 4),
        "same report": (1, 1),
    }
    examples = {leak.kind: leak.examples for leak in found.leaks}
    assert examples["same patient or paper"] == (f"t0{SECRET} <- a0{SECRET}",)
    assert examples["nearly same picture"] == (f"t2{SECRET} <- a2{SECRET}",)
    assert examples["same question"] == (f"t3{SECRET} <- a3{SECRET}",)
    assert examples["same report"] == (f"t4{SECRET} <- a4{SECRET}",)
    assert (found.pool, found.test, found.unreadable) == (6, 6, 0)


def test_restricted_data_give_no_examples(tmp_path: Path) -> None:
    found = task_leakage(task(made(access="credentialed")), Rows(leaky(tmp_path)))
    assert found is not None
    assert len(found.found) == 5
    assert SECRET not in repr(found)


def test_a_sample_of_restricted_access_in_an_open_set_gives_no_example() -> None:
    test = [Sample("t", "p", {"answer": Text(("x",))}, access="credentialed")]
    pool = [Sample("a", "p", {"answer": Text(("x",))})]
    found = leakage(lambda: test, lambda: pool, "open")
    assert affected(found)["same patient or paper"] == (1, 1)
    assert found.leaks[0].examples == ()


def test_without_leaks_nothing_is_found(tmp_path: Path) -> None:
    rows = [(s, f"{s}{i}", f"{s}{i}", png(tmp_path / f"{s}{i}.png", 50 * (s == "test") + i).name, f"{i}?", "no")
            for s in ("train", "test") for i in range(8)]  # fmt: skip
    found = task_leakage(task(made()), Rows(write_rows(tmp_path, rows)))
    assert found is not None
    assert found.found == ()


def test_leave_one_cluster_out_compares_clusters_and_not_their_members(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        png(tmp_path / f"{name}.png", 7)
    png(tmp_path / "d.png", 8)
    rows = [("test", "1", "p", "a.png", "Q?", "no"), ("test", "2", "p", "b.png", "Q?", "no"),
            ("test", "3", "r", "d.png", "Q?", "no")]  # fmt: skip
    toy = task(made(), support=LEAVE_ONE_CLUSTER_OUT)
    alone = task_leakage(toy, Rows(write_rows(tmp_path, rows)))
    assert alone is not None
    assert alone.found == ()
    other = task_leakage(toy, Rows(write_rows(tmp_path, [*rows, ("test", "4", "s", "c.png", "Q?", "no")])))
    assert other is not None
    assert affected(other) == {
        "same picture": (3, 4), "nearly same picture": (0, 4), "same question": (3, 4), "same report": (0, 0),
    }  # fmt: skip


def test_samples_without_cluster_are_not_compared_by_it(tmp_path: Path) -> None:
    rows = [("train", "1", "", "", "Q?", "no"), ("test", "2", "", "", "Q?", "no")]
    found = task_leakage(task(made()), Rows(write_rows(tmp_path, rows)))
    assert found is not None
    assert affected(found)["same patient or paper"] == (0, 0)
    assert affected(found)["same question"] == (0, 0)  # a question without a picture is no leak


def test_the_same_file_is_found_although_it_is_not_looked_at(tmp_path: Path) -> None:
    rows = []
    for i in range(20):
        png(tmp_path / f"{i}.png", i)
        rows += [(s, f"{s}{i}", "", f"{i}.png", "", "no") for s in ("train", "test")]
    found = task_leakage(task(made()), Rows(write_rows(tmp_path, rows)), limit=5)
    assert found is not None
    assert affected(found)["same picture"] == (20, 20)
    assert affected(found)["nearly same picture"] == (0, 5)
    assert (found.test_pictures, found.pool_pictures) == ((5, 20), (5, 20))


def test_an_unreadable_picture_is_counted_and_never_equal_to_another(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"not a picture")
    rows = [("train", "1", "", "a.png", "", "no"), ("test", "2", "", "b.png", "", "no")]
    found = task_leakage(task(made()), Rows(write_rows(tmp_path, rows)))
    assert found is not None
    assert (found.unreadable, found.found) == (2, ())


def test_a_task_without_support_has_no_pool(tmp_path: Path) -> None:
    assert task_leakage(task(made(), support=None), Rows(tmp_path)) is None


def test_volumes_are_compared_by_their_middle_slice(tmp_path: Path) -> None:
    array = volume(1)
    other = array.copy()
    other[:, :, 0] = 0  # another volume, the same middle
    images = [
        Image(str(nifti(tmp_path / f"{i}.nii.gz", a)), kind="volume") for i, a in enumerate((array, other, volume(9)))
    ]
    looks = look(images)
    assert len(set(looks.digests.tolist())) == 3
    assert (0, 1) in set(near(looks, looks))


def test_blocks_find_what_a_whole_product_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("radbench.care.similar._BLOCK", 3)
    images = [Image(str(png(tmp_path / f"{i}.png", i % 5 + 1))) for i in range(11)]
    for i, image in enumerate(images):
        pixels = np.array(PIL.open(image.path))
        pixels[0, 0] = i
        PIL.fromarray(pixels).save(image.path)
    looks = look(images)
    partners = dict(near(looks, looks))
    assert partners == {i: next(j for j in range(11) if j != i and j % 5 == i % 5) for i in range(11)}


def test_the_same_pictures_are_chosen_from_two_collections() -> None:
    images = [Image(f"{i}.png") for i in range(100)]
    first = {images[i].path for i in chosen(images, 10)}
    assert first == {images[::-1][i].path for i in chosen(images[::-1], 10)}
    assert first != {images[i].path for i in chosen(images, 10, seed=1)}
    assert chosen(images, 0) == list(range(100))
    assert len(chosen([Image(f"{i}.nii", kind="volume") for i in range(100)], 60)) == 3
    assert len(chosen([Image("a.nii", kind="volume")], 5)) == 1  # one at least


# --- inventory ---


def test_splits_are_counted_with_missing_files_and_answers(tmp_path: Path) -> None:
    leaky(tmp_path)
    (tmp_path / "test4.png").unlink()
    toy = made(sizes={"train": 6, "test": 10, "val": 3})
    (form,) = forms([task(toy)], "toy")
    train, test, val = splits(form, Rows(tmp_path), tmp_path)
    assert (train.name, train.samples, train.clusters, train.files, train.missing) == ("train", 6, 6, 6, 0)
    assert (test.missing, test.missing_names, dict(test.answers)) == (1, ("test4.png",), {"yes": 2, "no": 2})
    assert test.warning == "split test: expected about 10 samples, found 6"
    assert train.warning == ""
    assert (test.needed, train.needed, val.needed) == (True, False, False)
    assert "no split 'val'" in val.fault


def test_missing_names_of_restricted_data_are_not_kept(tmp_path: Path) -> None:
    leaky(tmp_path)
    (tmp_path / "test4.png").unlink()
    (form,) = forms([task(made(access="credentialed"))], "toy")
    test = next(s for s in splits(form, Rows(tmp_path), tmp_path) if s.name == "test")
    assert (test.missing, test.missing_names) == (1, ())


def test_masks_and_series_count_as_files(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    dicom(tmp_path / "full" / "1.dcm", 1)

    class Series:
        def samples(self, split: str) -> Iterator[Sample]:
            for name in ("empty", "full"):
                mask = Mask(image=Image(str(tmp_path / "mask.nii.gz"), kind="volume"))
                yield Sample(name, None, {"mask": mask}, (Image(str(tmp_path / name), kind="series"),))

        def fingerprint(self) -> str:
            return ""

    (form,) = forms([task(made(), target="mask", support=None)], "toy")
    (test,) = splits(form, Series(), tmp_path)
    assert (test.files, test.missing, set(test.missing_names)) == (3, 2, {"empty", "mask.nii.gz"})


def test_two_ways_of_reading_one_dataset_are_two_forms() -> None:
    toy = made()
    found = forms([task(toy, "a"), task(toy.reading(only="yes"), "b"), task(toy, "c", split="val")], "toy")
    assert [[t.name for t in f.tasks] for f in found] == [["a", "c"], ["b"]]
    assert found[0].splits == {"train": False, "test": True, "val": True}
    assert [(p, t.name) for p, t in found[0].pools] == [("train", "a"), ("train", "c")]


def test_companions_are_datasets_too() -> None:
    jpg = made("jpg", access="credentialed")
    assert list(datasets([task(made("vqa", companions={"images": jpg}))])) == ["jpg", "vqa"]


def test_a_size_is_compared_only_where_the_dataset_is_read_its_own_way(
    installed: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leaky(tmp_path / "toy")
    toy = made(sizes={"test": 10, "val": 3})
    installed(task(toy, "own"), task(toy.reading(only="y"), "part"), task(toy.by("other:Reader"), "questions"))
    command.check(["toy"], [], [str(tmp_path)], OPTIONS, as_json=False)
    assert capsys.readouterr().out.count("expected about 10 samples") == 3  # nobody knows which is its own
    monkeypatch.setattr("radbench.tasks.sources.TOY", toy, raising=False)
    command.check(["toy"], [], [str(tmp_path)], OPTIONS, as_json=False)
    out = capsys.readouterr().out
    assert "warning  own: split test: expected about 10 samples, found 6" in out
    assert out.count("expected about") == 1
    assert [f.splits for f in forms([task(toy), task(toy.reading(only="y"))], "toy")] == [
        {"test": True, "val": False, "train": False}, {"train": False, "test": True},
    ]  # fmt: skip


def test_a_dataset_behind_an_option_is_listed_checked_and_fetched(
    installed: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leaky(tmp_path / "other")
    copy = Option("copy", "toy", "two copies", to="task", changes={"other": {"dataset": made("other", hub=("org/o",))}})
    installed(task(made(), options=(copy,)), task(made("third"), "test/third"))
    command.list_datasets(as_json=True)
    rows = {r["dataset"]: r["tasks"] for r in json.loads(capsys.readouterr().out)}
    assert rows == {"toy": ["test/toy"], "third": ["test/third"], "other": ["test/toy:copy=other"]}
    assert command.check([], [], [str(tmp_path)], OPTIONS, as_json=False) == 0
    assert f"other    open    {tmp_path / 'other'}" in capsys.readouterr().out
    assert command.check(["other"], [], [str(tmp_path)], OPTIONS, as_json=True) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["forms"][0]["tasks"] == ["test/toy:copy=other"]
    fetched = []
    monkeypatch.setattr(hub, "fetch", lambda dataset, *_: fetched.append(dataset.name))
    command.fetch(["other"], str(tmp_path), None)
    assert fetched == ["other"]
    assert [t.spec for t in variants([task(made(), options=(copy,))])] == ["test/toy", "test/toy:copy=other"]


# --- manifest ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    for name in ("a.txt", "deep/b.txt", "deep/c.txt", "naïve ü.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_a_manifest_holds_sha256_of_every_file_and_lies_outside(folder: Path) -> None:
    path = manifest.default_path("toy")
    assert not path.is_relative_to(folder)
    manifest.write(folder, path, "toy", "open")
    known = manifest.load(path)
    assert sorted(known.files) == ["a.txt", "deep/b.txt", "deep/c.txt", "naïve ü.txt"]
    assert known.files["a.txt"].sha256 == sha256(b"a.txt").hexdigest()
    assert "local record" in json.loads(path.read_text())["note"]
    for hashing in (False, True):
        difference = manifest.compare(folder, path, known, hashing)
        assert difference.same
        assert not difference.touched


def test_changed_missing_and_new_files_are_told(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    known = manifest.write(folder, path, "toy", "open")
    before = (folder / "a.txt").stat()
    (folder / "a.txt").write_text("A.txt")  # the same size
    os.utime(folder / "a.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder / "deep" / "b.txt").unlink()
    (folder / "deep" / "d.txt").write_text("new")
    os.utime(folder / "deep" / "c.txt", ns=(1, 1))
    fast = manifest.compare(folder, path, known, hashing=False)
    assert (fast.changed, fast.missing, fast.new) == ((), ("deep/b.txt",), ("deep/d.txt",))
    assert fast.touched == ("deep/c.txt",)
    full = manifest.compare(folder, path, known, hashing=True)
    assert (full.changed, full.touched) == (("a.txt",), ())
    (folder / "a.txt").write_text("longer than before")
    assert manifest.compare(folder, path, known, hashing=False).changed == ("a.txt",)


def test_a_loop_of_links_ends_and_linked_files_count(folder: Path, tmp_path: Path) -> None:
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "self").symlink_to("self")
    (folder / "broken").symlink_to("nothing")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "e.txt").write_text("e")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(folder / "deep")
    os.mkfifo(folder / "pipe")
    known = manifest.write(folder, tmp_path / "m.json", "toy", "open")
    assert sorted(known.files) == ["a.txt", "deep/b.txt", "deep/c.txt", "linked/e.txt", "naïve ü.txt"]


def test_a_manifest_inside_the_folder_does_not_list_itself(folder: Path) -> None:
    path = folder / manifest.FILE
    manifest.write(folder, path, "toy", "open")
    known = manifest.write(folder, path, "toy", "open")
    assert manifest.FILE not in known.files
    assert manifest.compare(folder, path, known, hashing=True).same


def test_a_dataset_of_one_file_and_many_files(folder: Path, tmp_path: Path) -> None:
    known = manifest.write(folder / "a.txt", tmp_path / "m.json", "toy", "open")
    assert list(known.files) == ["a.txt"]
    many = tmp_path / "many"
    many.mkdir()
    for i in range(600):
        (many / str(i)).write_text(str(i))
    known = manifest.write(many, tmp_path / "n.json", "toy", "open")
    assert all(known.files[str(i)].sha256 == sha256(str(i).encode()).hexdigest() for i in range(600))


def test_a_manifest_is_of_a_folder(
    installed: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("a", "b"):
        leaky(tmp_path / place / "toy")
    (tmp_path / "b" / "toy" / "train0.png").unlink()
    installed(task(made()))
    write, verify = replace(OPTIONS, write=True), replace(OPTIONS, verify=True)
    assert command.check(["toy"], [], [str(tmp_path / "a")], write, as_json=False) == 0
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert command.check(["toy"], [], [str(tmp_path / "link")], verify, as_json=False) == 0
    capsys.readouterr()
    command.check(["toy"], [], [str(tmp_path / "b")], OPTIONS, as_json=False)
    out = capsys.readouterr().out
    assert f"manifest  is of {tmp_path / 'a' / 'toy'}, so that nothing is compared" in out
    assert "manifest: 1 files missing" not in out
    assert command.check(["toy"], [], [str(tmp_path / "b")], verify, as_json=True) == 1
    (report,) = json.loads(capsys.readouterr().out)
    assert f"--verify: the manifest is of {tmp_path / 'a' / 'toy'}" in report["errors"]
    assert report["manifest"]["of another folder"] == str(tmp_path / "a" / "toy")
    named = replace(verify, manifest=manifest.default_path("toy"))
    assert command.check(["toy"], [], [str(tmp_path / "b")], named, as_json=False) == 1
    assert "manifest: 1 files missing: train0.png" in capsys.readouterr().out


def test_a_manifest_of_an_earlier_version_is_compared(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    manifest.write(folder, path, "toy", "open")
    content = json.loads(path.read_text())
    assert content.pop("root") == str(folder)
    path.write_text(json.dumps(content))
    assert manifest.load(path).root == ""
    assert manifest.compare(folder, path, manifest.load(path), hashing=True).same


@pytest.mark.parametrize("asked", ["write", "verify"])
def test_a_manifest_that_cannot_be_is_a_failure(
    asked: str, installed: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = replace(OPTIONS, **{asked: True})
    installed(task(made()))
    assert command.check(["toy"], [], [str(tmp_path)], options, as_json=False) == 1
    assert "the dataset is absent" in capsys.readouterr().out
    leaky(tmp_path / "toy")
    installed(task(made(folder=None)))
    reader = Rows(tmp_path / "toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dataset, "open", lambda *_: reader)
        assert command.check(["toy"], [], [], options, as_json=False) == 1
        assert "the dataset has no folder of its own" in capsys.readouterr().out
        assert command.check(["toy"], [], [], OPTIONS, as_json=False) == 0


def test_a_manifest_that_cannot_be_written_is_told_before_anything_is_hashed(
    installed: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaky(tmp_path / "toy")
    installed(task(made()))
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(manifest, "_hashed", None)
    assert command.check(["toy"], [], [str(tmp_path)], OPTIONS, as_json=False) == 0  # reading says there is none
    with pytest.raises(DataError, match=f"cannot be written to {tmp_path / 'file'}") as error:
        command.check(["toy"], [], [str(tmp_path)], replace(OPTIONS, write=True), as_json=False)
    assert "XDG_CACHE_HOME" in error.value.remedy


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "files": {"a": [1]}}', "\x00"])
def test_a_damaged_manifest_is_one_error(content: str, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(DataError, match=r"m\.json"):
        manifest.load(tmp_path / "m.json")


# --- privacy ---


def kinds(concerns: list[Concern]) -> set[tuple[str, str]]:
    return {(c.kind, c.name) for c in concerns}


def test_identifying_headers_are_named_never_quoted(tmp_path: Path) -> None:
    import pydicom

    inner = pydicom.Dataset()
    inner.PatientID = f"{SECRET}-2"
    path = dicom(
        tmp_path / "a.dcm", 1, patient=SECRET, burned_in="YES", InstitutionName=f"St. {SECRET}", AccessionNumber=SECRET,
        PatientBirthDate="19610417", ReferringPhysicianName=f"{SECRET}^A", OtherPatientIDsSequence=[inner],
        ContentCreatorName=f"{SECRET}^B",
    )  # fmt: skip
    stored = pydicom.dcmread(path)
    stored.private_block(0x0041, "MADE UP", create=True).add_new(1, "LO", SECRET)
    stored.save_as(path)
    found = outgoing_check([Image(str(path))])
    assert kinds(found) == {
        ("identifying header", name)
        for name in ("PatientID", "InstitutionName", "AccessionNumber", "PatientBirthDate", "ReferringPhysicianName",
                     "ContentCreatorName")
    } | {("private tags", "private elements"), ("declared in the header", "BurnedInAnnotation = YES")}  # fmt: skip
    assert {c.name: c.length for c in found}["PatientID"] == len(SECRET) + 2  # the longer one, in a sequence
    assert SECRET not in " ".join(str(c) for c in found)


@pytest.mark.parametrize("name", ["", "Anonymous", "ANON^0", "XXXX", "Patient 12", "case-3", "0000", "De-identified"])
def test_stand_ins_for_a_name_are_no_concern(name: str, tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", 1, patient=name, PatientName=name)
    assert outgoing_check([Image(str(path))]) == []


@pytest.mark.parametrize("name", ["x" * 64 + "!", "anon Maier", "DOE^JANE", "12345678", "patient Maier"])
def test_what_is_no_stand_in(name: str, tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", 1, PatientName=name[:64])
    assert bool(outgoing_check([Image(str(path))])) == (name[:64] != "x" * 64)


def test_an_id_is_no_concern_where_identity_was_removed(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", 1, patient="10000032", PatientIdentityRemoved="YES")
    assert outgoing_check([Image(str(path))]) == []
    path = dicom(tmp_path / "b.dcm", 1, patient="10000032")
    assert kinds(outgoing_check([Image(str(path))])) == {("identifying header", "PatientID")}


def test_libraries_do_not_quote_values_in_warnings(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    import pydicom

    path = dicom(tmp_path / "a.dcm", 1)
    with pydicom.config.disable_value_validation():
        stored = pydicom.dcmread(path)
        stored.add_new("StudyInstanceUID", "UI", SECRET)
        stored.add_new("AccessionNumber", "SH", SECRET * 4)
        stored.save_as(path)
    recwarn.clear()
    assert kinds(outgoing_check([Image(str(path))])) == {("identifying header", "AccessionNumber")}
    assert [str(w.message) for w in recwarn] == []


def test_exif_and_text_chunks(tmp_path: Path) -> None:
    exif = PIL.Exif()
    exif[0x013B] = f"{SECRET} artist"
    exif.get_ifd(0x8825)[1] = "N"
    PIL.fromarray(grey(1)).save(tmp_path / "a.jpg", exif=exif, comment=SECRET.encode())
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Software", "harmless")
    chunks.add_text("Author", SECRET)
    chunks.add_text(f"key of {SECRET}", "Jane Doe")
    PIL.fromarray(grey(1)).save(tmp_path / "b.png", pnginfo=chunks)
    PIL.fromarray(grey(1)).save(tmp_path / "c.tif", compression="tiff_lzw")
    assert outgoing_check([Image(str(tmp_path / "c.tif"))]) == []
    jpg, png_ = outgoing_check([Image(str(tmp_path / "a.jpg"))]), outgoing_check([Image(str(tmp_path / "b.png"))])
    assert kinds(jpg) == {("metadata", "EXIF Artist"), ("metadata", "EXIF GPS position"), ("metadata", "comment")}
    assert kinds(png_) == {("metadata", "Author"), ("metadata", "a text chunk")}
    assert SECRET not in " ".join(str(c) for c in jpg + png_)


def test_nifti_and_nrrd_headers(tmp_path: Path) -> None:
    import nibabel
    import nrrd

    def saved(name: str, descrip: str, db_name: str = "") -> Image:
        image = nibabel.Nifti1Image(volume(1), np.eye(4))
        image.header["descrip"], image.header["db_name"] = descrip.encode(), db_name.encode()
        nibabel.save(image, tmp_path / name)
        return Image(str(tmp_path / name), kind="volume")

    assert outgoing_check([saved("a.nii.gz", "FSL5.0"), saved("b.nii", "TE=30;Time=153229.000;phase=1")]) == []
    found = outgoing_check([saved("c.nii.gz", f"scan of {SECRET}", SECRET)])
    assert kinds(found) == {("metadata", "NIfTI descrip"), ("metadata", "NIfTI db_name")}
    nrrd.write(str(tmp_path / "d.nrrd"), volume(1), {"PatientName": SECRET, "content": SECRET})
    found += outgoing_check([Image(str(tmp_path / "d.nrrd"), kind="volume")])
    assert len(found) == 4
    assert SECRET not in " ".join(str(c) for c in found)


def drawn(path: Path, text: str) -> Path:
    picture = PIL.fromarray(grey(1, (300, 400)) // 2)
    ImageDraw.Draw(picture).text((8, 8), text, fill=255, font=ImageFont.load_default(16))
    picture.save(path)
    return path


def test_text_in_the_pixels_of_pictures_and_volumes(tmp_path: Path) -> None:
    (concern,) = outgoing_check([Image(str(drawn(tmp_path / "a.png", "Mustermann 17.04.1961")))])
    assert concern.kind == TEXT
    assert concern.length >= 15
    plane = np.array(PIL.open(tmp_path / "a.png")).T[::-1, ::-1].astype(np.int16)
    stack = np.stack([np.zeros_like(plane), plane, np.zeros_like(plane)], axis=-1)
    found = outgoing_check([Image(str(nifti(tmp_path / "v.nii.gz", stack)), kind="volume")])
    assert [c.kind for c in found] == [TEXT]


def test_a_damaged_file_is_one_concern(tmp_path: Path) -> None:
    for name in ("a.dcm", "b.png", "c.nii.gz", "d.nrrd", "missing.png"):
        if name != "missing.png":
            (tmp_path / name).write_bytes(b"\x00" * 200)
        (concern,) = outgoing_check([Image(str(tmp_path / name))])
        assert (concern.kind, concern.name) == (UNREADABLE, "cannot be decoded")


def test_headers_are_read_once_a_file_and_once_a_row(tmp_path: Path) -> None:
    path = str(dicom(tmp_path / "a.dcm", 1, patient="10000032"))
    assert len(outgoing_check([Image(path), Image(path, window="lung")])) == 1
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    cells = []
    for author in ("", SECRET):
        chunks, stream = PngImagePlugin.PngInfo(), io.BytesIO()
        chunks.add_text("Author" if author else "Software", author or "harmless")
        PIL.fromarray(grey(1)).save(stream, "PNG", pnginfo=chunks)
        cells.append({"bytes": stream.getvalue(), "path": None})
    parquet.write_table(pyarrow.table({"image": cells}), tmp_path / "a.parquet")
    images = [Image(str(tmp_path / "a.parquet"), member="image", frame=i) for i in (0, 1)]
    assert [c.image.frame for c in outgoing_check(images)] == [1]


def test_the_sample_of_pictures_is_seeded_and_bounded() -> None:
    images = [Image(f"{i}.png") for i in range(50)]
    assert sample_images(images, 5, 0) == sample_images(images[::-1], 5, 0)
    assert sample_images(images, 5, 0) != sample_images(images, 5, 1)
    assert sample_images(images, 0, 0) == []
    assert len(sample_images([Image(f"{i}", kind="series") for i in range(50)], 45, 0)) == 2


# --- the hub ---


def zipped(path: Path, members: dict[str, bytes], link: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in members.items():
            z.writestr(name, content)
        if link:
            entry = zipfile.ZipInfo(link)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            z.writestr(entry, "/etc/passwd")
    return path


@pytest.fixture
def snapshots(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Stands in for the hub: a snapshot is a table and an archive of pictures."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    calls: list[tuple[str, dict[str, Any]]] = []

    def download(repository: str, **options: Any) -> str:
        calls.append((repository, options))
        root = Path(options["local_dir"])
        zipped(root / "imgs.zip", {"imgs/a/1.jpg": b"one", "imgs/b/2.jpg": b"two", "__MACOSX/imgs/._1.jpg": b"x"})
        (root / "test.json").write_text("[]")
        return str(root)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return calls


def test_an_open_dataset_is_fetched_and_unpacked(
    installed: Callable[..., None], snapshots: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(task(made(hub=("org/toy", "other/toy"))))
    assert command.fetch(["toy"], str(tmp_path / "root"), None) == 0
    assert snapshots == [("org/toy", {"repo_type": "dataset", "local_dir": tmp_path / "root" / "toy"})]
    assert (tmp_path / "root/toy/imgs/a/1.jpg").read_bytes() == b"one"
    assert not (tmp_path / "root/toy/__MACOSX").exists()
    printed = capsys.readouterr().out
    assert f"--data {tmp_path / 'root'}" in printed
    assert "CC0" in printed
    command.fetch(["toy"], str(tmp_path / "root"), "other/toy")
    assert snapshots[-1][0] == "other/toy"


@pytest.mark.parametrize("access", ["registered", "credentialed", "on-request", "private"])
def test_restricted_data_are_refused_with_the_page_to_ask(
    access: str, installed: Callable[..., None], snapshots: list[Any], tmp_path: Path
) -> None:
    installed(task(made(access=access, hub=("org/toy",), homepage="https://example.org/ask", source="the hospital")))
    with pytest.raises(ConfigError) as error:
        command.fetch(["toy"], str(tmp_path), "org/toy")
    assert access in str(error.value)
    assert "https://example.org/ask" in str(error.value)
    assert "--data toy=FOLDER" in str(error.value)
    assert snapshots == []


def test_open_questions_are_fetched_and_their_restricted_pictures_are_not(
    installed: Callable[..., None], snapshots: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jpg = made("jpg", access="credentialed", hub=("org/jpg",), homepage="https://example.org/ask")
    installed(task(made(hub=("org/toy",), companions={"images": jpg})))
    command.fetch(["toy"], str(tmp_path), None)
    assert [repository for repository, _ in snapshots] == ["org/toy"]
    assert "it also needs jpg (credentialed): ask for access" in capsys.readouterr().out


def test_borrowed_restricted_pictures_make_an_open_set_silent(
    installed: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaky(tmp_path / "jpg")
    write_rows(tmp_path / "toy", [(s, f"{s}{SECRET}", "p", f"{SECRET}.png", "Q?", "no") for s in ("train", "test")])
    installed(task(made(companions={"images": made("jpg", access="credentialed")})))
    assert command.check(["toy"], [], [str(tmp_path)], OPTIONS, as_json=False) == 1
    out = capsys.readouterr().out
    assert "same patient or paper in train" in out
    assert "1 of 1 picture files missing" in out
    assert SECRET not in out


def test_what_cannot_be_fetched_says_what_to_do(installed: Callable[..., None]) -> None:
    installed(task(made()))
    with pytest.raises(ConfigError, match="no hub copy of 'toy' is known"):
        command.fetch(["toy"], "", None)
    with pytest.raises(ConfigError, match="did you mean 'toy'"):
        command.fetch(["tyo"], "", None)
    installed(task(made("a", hub=("o/a",))), task(made("b", hub=("o/b",)), "test/b"))
    with pytest.raises(ConfigError, match="one by one"):
        command.fetch(["a", "b"], "", "o/c")


def test_what_ships_in_packages_or_is_made_is_not_fetched(
    installed: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    installed(task(made(folder=None, source="radbench itself, which makes it on first use")))
    assert command.fetch(["toy"], "", None) == 0
    assert (
        capsys.readouterr().out == "toy: nothing to fetch; it comes from radbench itself, which makes it on first use\n"
    )


@pytest.mark.parametrize("name", ["offline", "gone", "invalid"])
def test_without_network_there_is_one_clear_error(
    name: str, installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    errors = {"offline": LocalEntryNotFoundError("no network\nand more"), "gone": ConnectionError("refused"),
              "invalid": HFValidationError("bad id")}  # fmt: skip

    def fails(*_: Any, **__: Any) -> str:
        raise errors[name]

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fails)
    installed(task(made(hub=("org/toy",))))
    with pytest.raises(ConfigError) as error:
        command.fetch(["toy"], str(tmp_path), None)
    assert "org/toy" in error.value.message
    assert "\n" not in error.value.message
    assert error.value.remedy


@pytest.mark.parametrize("member", ["../out.txt", "/abs.txt", "a/../../out.txt", "a\\..\\..\\out.txt", "C:/out.txt"])
def test_an_archive_with_a_path_outside_is_refused_before_anything_is_written(member: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    archive = zipped(tmp_path / "a.zip", {"good.txt": b"x", member: b"x"})
    with pytest.raises(ConfigError, match="outside its folder"):
        hub.unpack(archive, target)
    assert list(target.iterdir()) == []
    assert not (tmp_path / "out.txt").exists()


def test_links_encryption_bombs_and_damage_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(ConfigError, match="is a link"):
        hub.unpack(zipped(tmp_path / "link.zip", {"good.txt": b"x"}, link="passwd"), target)
    with pytest.raises(ConfigError, match="a bomb"):
        hub.unpack(zipped(tmp_path / "bomb.zip", {"zeros": bytes(70 << 20)}), target)
    whole = zipped(tmp_path / "cut.zip", {"a.txt": os.urandom(1000)}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:300])
    with pytest.raises(ConfigError, match="cannot be unpacked"):
        hub.unpack(tmp_path / "cut.zip", target)
    spoilt = bytearray(whole)
    spoilt[100] ^= 255
    (tmp_path / "cut.zip").write_bytes(spoilt)
    with pytest.raises(ConfigError, match="cannot be unpacked"):
        hub.unpack(tmp_path / "cut.zip", target)
    monkeypatch.setattr("shutil.disk_usage", lambda _: os.statvfs_result and type("U", (), {"free": 10}))
    with pytest.raises(ConfigError, match="are free"):
        hub.unpack(zipped(tmp_path / "large.zip", {"a": os.urandom(100)}), target)
    assert list(target.iterdir()) == []


def test_a_link_that_is_there_leads_no_member_out(tmp_path: Path) -> None:
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    (target / "imgs").symlink_to(outside)
    with pytest.raises(ConfigError, match="a link out of"):
        hub.unpack(zipped(tmp_path / "a.zip", {"imgs/1.jpg": b"x"}), target)
    assert list(outside.iterdir()) == []


def test_unpacking_again_writes_only_what_is_missing(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"x/1": b"1", "x/2": b"22"})
    assert hub.unpack(archive, tmp_path) == 2
    (tmp_path / "x/2").write_bytes(b"2")  # cut short
    assert hub.unpack(archive, tmp_path) == 1
    assert (tmp_path / "x/2").read_bytes() == b"22"
    assert sorted(p.name for p in (tmp_path / "x").iterdir()) == ["1", "2"]


# --- the command ---

OPTIONS = CheckOptions()


def test_list_says_where_to_get_each_dataset(
    installed: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    jpg = made("jpg", access="credentialed", licence="on signature", source="PhysioNet")
    installed(task(made(hub=("org/toy",))), task(made("vqa", companions={"images": jpg}), "test/vqa"))
    assert command.list_datasets(as_json=False) == 0
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line}
    assert lines["toy"] == ["toy", "open", "1", "yes", "CC0", "nowhere"]
    assert lines["jpg"] == ["jpg", "credentialed", "0", "-", "on", "signature", "PhysioNet"]
    command.list_datasets(as_json=True)
    rows = {r["dataset"]: r for r in json.loads(capsys.readouterr().out)}
    assert rows["vqa"]["needs"] == ["jpg"]
    assert rows["toy"]["hub"] == ["org/toy"]


def test_an_absent_dataset_is_a_fact_with_its_tree_and_the_next_step(
    installed: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(task(made(tree="rows.csv\nimages/*.png", homepage="https://example.org", hub=("org/toy",))))
    assert command.check(["toy"], [], [str(tmp_path)], OPTIONS, as_json=False) == 0
    out = capsys.readouterr().out
    for part in ("found     no:", "images/*.png", "https://example.org", "radbench data fetch toy", "--data toy=PATH"):
        assert part in out
    assert command.check([], [], [str(tmp_path)], OPTIONS, as_json=False) == 0
    assert "toy      open    no" in capsys.readouterr().out


def test_a_screen_about_an_open_dataset(
    installed: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaky(tmp_path / "toy")
    installed(task(made(sizes={"train": 6, "test": 10})))
    assert command.check(["toy"], [], [str(tmp_path)], OPTIONS, as_json=False) == 0
    out = capsys.readouterr().out
    for part in (
        f"found     {tmp_path / 'toy'}", "test         6        10         6      6        0  yes 2, no 2",
        "none; radbench data check toy --write-manifest", "6 pictures of the evaluated splits looked at",
        "warning  test/toy: split test: expected about 10 samples, found 6",
        f"warning  2 of 6 samples of test: same picture in train, e.g. t1{SECRET} <- a1{SECRET}",
    ):  # fmt: skip
        assert part in out
    assert "error" not in out


def test_restricted_data_are_never_printed(
    installed: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = leaky(tmp_path / "toy")
    names = {p.name: f"{p.stem}-{SECRET}.png" for p in root.glob("*.png")}
    text = (root / "rows.csv").read_text()
    for old, new in names.items():
        (root / old).rename(root / new)
        text = text.replace(old, new)
    (root / "rows.csv").write_text(text)
    (root / names["test4.png"]).unlink()
    (root / names["test5.png"]).write_bytes(b"damaged")
    dicom(root / names["test0.png"], 1, patient=SECRET, PatientName=SECRET)
    drawn(root / names["test1.png"], SECRET * 2)
    installed(task(made(access="credentialed", sizes={"test": 7})))
    options = [replace(OPTIONS, write=True), OPTIONS, replace(OPTIONS, verify=True)]
    codes = []
    for step, chosen_options in enumerate(options):
        if step:
            (root / names["test2.png"]).write_bytes(b"changed")
            (root / f"new {SECRET}").write_text("")
        for as_json in (False, True):
            codes.append(command.check(["toy"], [], [str(tmp_path)], chosen_options, as_json))
            said = capsys.readouterr()
            assert SECRET not in said.out + said.err
            assert "missing" in said.out
            assert "PatientName" in said.out
            assert "same patient or paper" in said.out
    assert codes == [1] * 6
    assert "manifest: 1 files changed" in said.out
    assert "manifest: 1 files new" in said.out
    assert "pictures looked at cannot be read" in said.out
    assert SECRET in manifest.default_path("toy").read_text()  # which is why it stays local


def test_faults_of_open_data_are_errors_with_names(
    installed: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = leaky(tmp_path / "toy")
    (root / "test4.png").unlink()
    (root / "test5.png").write_bytes(b"damaged")
    installed(task(made()))
    assert command.check(["toy"], [], [str(tmp_path)], OPTIONS, as_json=False) == 1
    out = capsys.readouterr().out
    assert "error    split test: 1 of 6 picture files missing: test4.png" in out
    assert "error    1 of 5 pictures looked at cannot be read: test5.png" in out
    (root / "rows.csv").unlink()
    (root / "rows.csv").write_text("split,id,patient,picture,question,answer\ntrain,1,,,,no\n")
    assert command.check(["toy"], [], [str(tmp_path)], OPTIONS, as_json=False) == 1
    assert "error    split test:" in capsys.readouterr().out


def test_an_absent_pool_is_a_warning(
    installed: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(tmp_path / "toy", [("test", "1", "", "", "Q?", "no")])
    installed(task(made()))
    assert command.check(["toy"], [], [str(tmp_path)], OPTIONS, as_json=False) == 0
    assert "warning  split train:" in capsys.readouterr().out


def test_a_companion_that_is_missing_is_said(
    installed: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaky(tmp_path / "toy")
    installed(task(made(companions={"images": made("jpg")})))
    assert command.check(["toy"], [], [str(tmp_path)], OPTIONS, as_json=False) == 1
    out = capsys.readouterr().out
    assert "needs     jpg: not found" in out
    assert "dataset 'jpg' is not at" in out
    (tmp_path / "jpg").symlink_to(tmp_path / "toy")
    assert command.check(["toy"], [], [str(tmp_path)], OPTIONS, as_json=False) == 0


def test_the_manifest_is_written_compared_and_verified(
    installed: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = leaky(tmp_path / "toy")
    installed(task(made()), task(made("other"), "test/other"))
    own = replace(OPTIONS, manifest=tmp_path / "mine.json")
    with pytest.raises(DataError, match="no manifest to verify"):
        command.check(["toy"], [], [str(tmp_path)], replace(own, verify=True), as_json=False)
    assert command.check(["toy"], [], [str(tmp_path)], replace(own, write=True), as_json=False) == 0
    assert f"13 files written to {tmp_path / 'mine.json'}" in capsys.readouterr().out
    assert command.check(["toy"], [], [str(tmp_path)], own, as_json=False) == 0
    assert "13 files by size and time; --verify hashes every file" in capsys.readouterr().out
    (root / "train0.png").unlink()
    assert command.check(["toy"], [], [str(tmp_path)], replace(own, verify=True), as_json=False) == 1
    assert "error    manifest: 1 files missing: train0.png" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="one file, for one dataset"):
        command.check(["toy", "other"], [], [str(tmp_path)], own, as_json=False)
    (tmp_path / "other").symlink_to(root)
    with pytest.raises(DataError, match="is the manifest of 'toy', not of 'other'"):
        command.check(["other"], [], [str(tmp_path)], own, as_json=False)


def test_tasks_choose_datasets_and_an_unknown_name_gets_a_hint(
    installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = task(made())
    installed(toy, task(made("other"), "test/other"))
    monkeypatch.setattr(command, "find_tasks", lambda names: [toy] if names == ["test/toy"] else [])
    assert command.check([], ["test/toy"], [str(tmp_path)], OPTIONS, as_json=True) == 0
    assert [r["dataset"] for r in json.loads(capsys.readouterr().out)] == ["toy"]
    with pytest.raises(ConfigError, match="did you mean 'toy'"):
        command.check(["toi"], [], [str(tmp_path)], OPTIONS, as_json=False)


def test_names_from_files_cannot_steer_the_terminal(
    installed: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(s, f"{s}\x1b[2J", "p", "", "Q?", "no") for s in ("train", "test")]
    write_rows(tmp_path / "toy", rows)
    installed(task(made()))
    command.check(["toy"], [], [str(tmp_path)], OPTIONS, as_json=False)
    out = capsys.readouterr().out
    assert "same patient or paper in train, e.g. test" in out
    assert "\x1b" not in out


def test_real_open_data_are_checked(
    shared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from radbench.registry import all_tasks

    monkeypatch.undo()
    some = {n: t for n, t in all_tasks().items() if n in ("open/covid-lung-segmentation", "open/vqamed2019-images")}
    monkeypatch.setattr(command, "all_tasks", lambda: some)
    assert command.check(["covid-cxr", "vqamed2019-images"], [], [str(shared)], OPTIONS, as_json=True) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["forms"][0]["pools"][0]["leaks"][0] == {
        "kind": "same patient or paper", "affected": 0, "compared": 32, "examples": [],
    }  # fmt: skip
    assert {c["kind"]: c["pictures"] for c in second["concerns"]} == {TEXT: 12}  # MedPix writes its name into each


def test_labels_of_the_closed_set_are_counted(tmp_path: Path) -> None:
    class Classes:
        def samples(self, split: str) -> Iterator[Sample]:
            yield from (Sample(str(i), None, {"answer": Labels((label,))}) for i, label in enumerate("aab?"))

        def fingerprint(self) -> str:
            return ""

    (form,) = forms([task(made(), support=None, choices=("a", "b"))], "toy")
    (test,) = splits(form, Classes(), None)
    assert dict(test.answers) == {"a": 2, "b": 1}


def test_data_locations_of_the_hub_cache_are_places(tmp_path: Path) -> None:
    from radbench.care.inventory import place

    with pytest.raises(DataError):
        place(made(), DataLocations(tmp_path))
    assert place(made(folder=None), DataLocations(tmp_path)) is None
