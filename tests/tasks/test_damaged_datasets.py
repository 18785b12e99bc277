"""Damaged copies of official layouts, run: one clear error each, or counted samples and a run that goes on.

Every damage starts from a made-up layout that reads. Errors name the file and the place; of restricted data they show nothing.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniatures import layouts
from miniatures.damage import Damage, edited, one

import radbench
from radbench.errors import OPEN_ACCESS, DataError
from radbench.registry import all_tasks

SECRET = "SECRET-8714"


def line_edited(pattern: str, number: int, change: Callable[[str], str]) -> Damage:
    """One line of a table changed, counted from 1; the line ending is kept."""

    def damage(root: Path) -> None:
        path = one(root, pattern)
        lines = path.read_bytes().decode("utf-8").splitlines(keepends=True)
        body = lines[number - 1].rstrip("\r\n")
        lines[number - 1] = change(body) + lines[number - 1][len(body) :]
        path.write_bytes("".join(lines).encode("utf-8"))

    return damage


def cell(position: int, value: str) -> Callable[[str], str]:
    def change(line: str) -> str:
        cells = line.split(",")
        cells[position] = value
        return ",".join(cells)

    return change


def replaced(pattern: str, content: bytes) -> Damage:
    return lambda root: (one(root, pattern).write_bytes(content), None)[1]


def cut(pattern: str) -> Damage:
    """Every such file is cut in half."""

    def damage(root: Path) -> None:
        for path in sorted(root.rglob(pattern)):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def removed(pattern: str) -> Damage:
    def damage(root: Path) -> None:
        for path in sorted(root.rglob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def arrays(**changed: np.ndarray) -> Damage:
    def damage(root: Path) -> None:
        path = one(root, "*.npz")
        with np.load(path) as archive:
            np.savez(path, **{**{k: archive[k] for k in archive.files}, **changed})

    return damage


def only_pickles(root: Path) -> None:
    shutil.rmtree(root)
    folder = root / "pvqa" / "qas" / "test"
    folder.mkdir(parents=True)
    (folder / "test_qa.pkl").write_bytes(b"\x80\x04K\x01.")


# kind, layout, task, dataset, damage, what the one error says
STOPS: list[tuple[str, str, str, str, Damage, str]] = [
    (
        "missing split file",
        "slake",
        "radbench/vqa/slake",
        "slake",
        removed("test.json"),
        r"no split 'test' but train, val",
    ),
    ("missing table", "vqa-rad", "radbench/vqa/vqa-rad", "vqa-rad", removed("VQA_RAD*.json"), r"not found; expected"),
    (
        "renamed column",
        "pmc-vqa",
        "radbench/vqa/pmc-vqa",
        "pmc-vqa",
        edited("test.csv", "Question", "Asked"),
        r"test\.csv, line 2: no 'Question'; it has",
    ),
    (
        "a column twice",
        "pmc-vqa",
        "radbench/vqa/pmc-vqa",
        "pmc-vqa",
        edited("test.csv", "Question", "Answer"),
        r"test\.csv: a column stands twice in the header; it is 'Answer'",
    ),
    (
        "wrong letter",
        "pmc-vqa",
        "radbench/vqa/pmc-vqa",
        "pmc-vqa",
        line_edited("test.csv", 2, lambda s: s[:-1] + "Q"),
        r"test\.csv, line 2: the right option is 'Q', expected A, B, C or D",
    ),
    (
        "too few columns",
        "pmc-vqa",
        "radbench/vqa/pmc-vqa",
        "pmc-vqa",
        line_edited("test.csv", 2, lambda s: "a,b"),
        r"test\.csv, line 2: 2 columns, the header has 8",
    ),
    (
        "unclosed quote",
        "pmc-vqa",
        "radbench/vqa/pmc-vqa",
        "pmc-vqa",
        line_edited("test.csv", 2, lambda s: '"' + s),
        r"test\.csv, line \d+: ",
    ),
    (
        "header only",
        "pmc-vqa",
        "radbench/vqa/pmc-vqa",
        "pmc-vqa",
        replaced("test.csv", b"Figure_path,Question\n"),
        r"has no sample in split 'test'",
    ),
    (
        "empty file",
        "pmc-vqa",
        "radbench/vqa/pmc-vqa",
        "pmc-vqa",
        replaced("test.csv", b""),
        r"test\.csv: empty, expected a header line",
    ),
    (
        "UTF-16",
        "pmc-vqa",
        "radbench/vqa/pmc-vqa",
        "pmc-vqa",
        replaced("test.csv", "Figure_path,Question\na,b\n".encode("utf-16")),
        r"test\.csv: not UTF-8",
    ),
    (
        "Latin-1",
        "pmc-vqa",
        "radbench/vqa/pmc-vqa",
        "pmc-vqa",
        replaced("test.csv", b"Figure_path,Question\nM\xe9ni\xe8re,b\n"),
        r"test\.csv: not UTF-8",
    ),
    ("truncated JSON", "slake", "radbench/vqa/slake", "slake", cut("test.json"), r"test\.json, .*(not JSON|expected)"),
    (
        "JSON of another shape",
        "slake",
        "radbench/vqa/slake",
        "slake",
        replaced("test.json", b'{"rows": []}'),
        r"test\.json, character 1: expected a list of objects, found '\{'",
    ),
    (
        "a list of texts",
        "slake",
        "radbench/vqa/slake",
        "slake",
        replaced("test.json", b'["a"]'),
        r"test\.json, item 1: expected a JSON object, found str",
    ),
    (
        "code in a list",
        "pmc-case-report:csv",
        "radbench/vqa/pmc-case-report",
        "pmc-case-report",
        edited("*test*.csv", "['", "__import__('os')+['"),
        r"\.csv, line \d+: ",
    ),
    (
        "only pickles",
        "path-vqa",
        "meddr/vqa/path-vqa",
        "path-vqa",
        only_pickles,
        r"(?s)pickle.*flaviagiammarino/path-vqa",
    ),
    (
        "truncated parquet",
        "path-vqa",
        "meddr/vqa/path-vqa",
        "path-vqa",
        cut("test*.parquet"),
        r"\.parquet.*cannot be read|not be read",
    ),
    (
        "label out of range",
        "pneumoniamnist",
        "meddr/diagnosis/pneumoniamnist",
        "pneumoniamnist",
        arrays(test_labels=np.array([[7], [0]])),
        r"\.npz: test_labels\[0\] is 7, expected 0 to 1",
    ),
    (
        "labels of other length",
        "pneumoniamnist",
        "meddr/diagnosis/pneumoniamnist",
        "pneumoniamnist",
        arrays(test_labels=np.zeros((9, 1), int)),
        r"\.npz: .*images and labels of shape",
    ),
    (
        "objects in npz",
        "pneumoniamnist",
        "meddr/diagnosis/pneumoniamnist",
        "pneumoniamnist",
        arrays(test_labels=np.array([{}], dtype=object)),
        r"(?s)\.npz: .*without Python objects",
    ),
    (
        "unknown diagnosis",
        "ham10000:isic",
        "meddr/diagnosis/ham10000",
        "ham10000",
        edited("*GroundTruth.csv", "MEL", "MELA"),
        r"GroundTruth\.csv",
    ),
    (
        "box the wrong way round",
        "nih-chestxray",
        "medinterp/detection/nih-chestxray",
        "nih-chestxray14",
        line_edited("BBox*.csv", 2, cell(4, "-80")),
        r"BBox_List_2017\.csv, line 2: ",
    ),
    (
        "box that is no number",
        "nih-chestxray",
        "medinterp/detection/nih-chestxray",
        "nih-chestxray14",
        line_edited("BBox*.csv", 2, cell(2, "left")),
        r"BBox_List_2017\.csv, line 2: .*'left'",
    ),
    (
        "unknown split word",
        "medpix-own",
        "radvlbench/vqa/medpixqa",
        "medpix",
        edited("medpixqa.csv", ",test", f",{SECRET}"),
        r"medpixqa\.csv, line \d+: split is <str",
    ),
    (
        "wrong yes or no",
        "radfm-diagnosis",
        "radbench/diagnosis/cxr-mix",
        "cxr-mix",
        edited("chestxray_balance_test.csv", ",1\n", f",{SECRET}\n"),
        r"chestxray_balance_test\.csv, line \d+: ",
    ),
    (
        "damaged gzip",
        "mimic-cxr",
        "medinterp/report/mimic-cxr-findings",
        "mimic-cxr",
        cut("*split.csv.gz"),
        r"split\.csv\.gz: (damaged gzip|cannot)",
    ),
    (
        "two options alike",
        "medpix-own",
        "radvlbench/vqa/medpixqa",
        "medpix",
        edited("medpixqa.csv", "Abscess", "Cyst", 99),
        r"medpixqa\.csv, line \d+: two options are alike",
    ),
    (
        "a report without text",
        "r2chest",
        "radvlbench/real-world/r2chest",
        "r2chest",
        edited("reports.csv", "study_id", "study"),
        r"reports\.csv, line 2: no column 'study_id'",
    ),
]


def copy_of(layout: str, tmp_path: Path, name: str) -> tuple[Path, list[str]]:
    root = tmp_path / "set"
    layouts()[layout](root)
    data = [f"{name}={root}"]
    if layout == "radfm-diagnosis":
        data.append(f"radfm-lists={root / 'RadFM_data_csv'}")
    return root, data


def evaluated(model: str, task: str, data: list[str], out: Path) -> dict[str, Any]:
    run = radbench.evaluate(model, task, data=data, out=out, resamples=5)
    assert run.results is not None
    return {**run.results["tasks"][task], "exit": int(run.exit_code())}


@pytest.mark.parametrize(
    ("kind", "layout", "task", "name", "damage", "message"), STOPS, ids=[s[0].replace(" ", "-") for s in STOPS]
)
def test_a_damaged_dataset_is_one_clear_error(
    kind: str, layout: str, task: str, name: str, damage: Damage, message: str, tmp_path: Path
) -> None:
    root, data = copy_of(layout, tmp_path, name)
    assert evaluated("oracle", task, data, tmp_path / "whole")["n"] > 0, "the layout reads before it is damaged"
    damage(root)
    with pytest.raises(DataError) as error:
        radbench.evaluate("oracle", task, data=data, out=tmp_path / "run")
    told = str(error.value)
    assert re.search(message, told), told
    assert str(root) in told or "split" in told, "the file is named"
    assert SECRET not in told
    if all_tasks()[task].access not in OPEN_ACCESS:
        assert "Finding" not in told and "it has" not in told


def link_to_itself(root: Path) -> None:
    for picture in sorted(root.rglob("synpic*.jpg")):
        picture.unlink()
        picture.symlink_to(picture.name)


def other_size(root: Path) -> None:
    from miniatures.pictures import png

    for path in root.rglob("*_segmentation.png"):
        png(path, 0, size=(10, 12))


def slant(root: Path) -> None:
    """A volume whose axes have no direction."""
    import nibabel

    for path in root.rglob("Case_*_0000.nii.gz"):
        image = nibabel.load(path)
        broken = nibabel.Nifti1Image(np.asarray(image.dataobj), None)
        broken.header["sform_code"], broken.header["qform_code"] = 1, 0
        for row in ("srow_x", "srow_y", "srow_z"):
            broken.header[row] = 0
        broken.to_filename(path)


def without_pixels(root: Path) -> None:
    import pydicom

    path = one(root / "test", "*.dicom")
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)


# kind, layout, task, dataset, damage, how many samples fail at least, what the first message says
GOES_ON: list[tuple[str, str, str, str, Damage, str]] = [
    ("picture missing", "vqa-rad", "radbench/vqa/vqa-rad", "vqa-rad", removed("synpic*.jpg"), r"no such file"),
    ("picture truncated", "vqa-rad", "radbench/vqa/vqa-rad", "vqa-rad", cut("synpic*.jpg"), r"cannot be decoded"),
    ("symlink loop", "vqa-rad", "radbench/vqa/vqa-rad", "vqa-rad", link_to_itself, r"."),
    (
        "DICOM without pixels",
        "vindr-pcxr",
        "meddr/diagnosis/vindr-pcxr",
        "vindr-pcxr",
        without_pixels,
        r"without pixels",
    ),
    (
        "folder of pictures missing",
        "vqa-rad",
        "radbench/vqa/vqa-rad",
        "vqa-rad",
        removed("VQA_RAD Image Folder"),
        r"no such file",
    ),
    (
        "volume without directions",
        "abdomenct1k",
        "medinterp/segmentation/abdomenct-1k",
        "abdomenct-1k",
        slant,
        r"degenerate|cannot be decoded",
    ),
    (
        "npz without its key",
        "radchest-ct",
        "radbench/diagnosis/radchest-ct",
        "radchest-ct",
        lambda root: [np.savez(p, volume=np.zeros((2, 3, 4))) for p in root.rglob("tst*.npz")] and None,
        r"no array 'ct'",
    ),
]


@pytest.mark.parametrize(
    ("kind", "layout", "task", "name", "damage", "message"), GOES_ON, ids=[g[0].replace(" ", "-") for g in GOES_ON]
)
def test_a_damaged_sample_is_counted_and_the_run_goes_on(
    kind: str, layout: str, task: str, name: str, damage: Damage, message: str, tmp_path: Path
) -> None:
    root, data = copy_of(layout, tmp_path, name)
    model = "majority" if "segmentation" in task else "constant:yes"
    before = evaluated("oracle", task, data, tmp_path / "whole")
    damage(root)
    if model == "majority":
        model = "constant:yes"  # decodes every picture; its text is no mask, which is counted beside
    run = radbench.evaluate(model, task, data=data, out=tmp_path / "run", resamples=5)
    assert run.results is not None
    after = run.results["tasks"][task]
    assert after["n"] == before["n"], "every sample is there and scores worst"
    assert after["failures"].get("input", 0) >= 1
    messages = [m for (_, failure), m in run.outcome.reasons.items() if failure == "input"]
    assert len(messages) == 1 and re.search(message, messages[0]), messages
    if after["failures"]["input"] == after["n"]:
        assert int(run.exit_code()) == 5, "not one picture could be read"


def test_a_mask_of_another_size_than_its_picture_is_the_datasets_fault(tmp_path: Path) -> None:
    root, data = copy_of("ham10000", tmp_path, "ham10000")
    task = "medinterp/segmentation/ham10000"
    other_size(root)

    def segment(request: radbench.Request) -> np.ndarray:
        return np.ones(request.images[0].load().size, bool)

    run = radbench.evaluate(segment, task, data=data, out=tmp_path / "run", resamples=5)
    assert run.results is not None
    failures = run.results["tasks"][task]["failures"]
    assert failures == {"input": run.results["tasks"][task]["n"]}, "not the model's answer is wrong, the reference is"


@pytest.mark.parametrize("layout", ["pmc-vqa", "medpix-own"])
def test_byte_order_marks_and_line_endings_read_as_ever(layout: str, tmp_path: Path) -> None:
    """Windows tools add both: the same samples come out."""
    task = all_tasks()["radbench/vqa/pmc-vqa" if layout == "pmc-vqa" else "radvlbench/vqa/medpixqa"]
    root, _ = copy_of(layout, tmp_path, task.dataset.name)
    reader = task.dataset.reader.resolve()
    clean = list(reader(root, **task.dataset.reader.options).samples("test"))
    for path in root.rglob("*.csv"):
        text = path.read_bytes().replace(b"\r\n", b"\n").lstrip(b"\xef\xbb\xbf")
        path.write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    assert list(reader(root, **task.dataset.reader.options).samples("test")) == clean != []


def test_ids_that_come_twice_stop_the_run(tmp_path: Path) -> None:
    root, data = copy_of("medpix-own", tmp_path, "medpix")
    table = one(root, "medpixqa.csv")
    lines = table.read_text(encoding="utf-8").splitlines()
    tests = [line for line in lines if line.endswith(",test")]
    table.write_text("\n".join([*lines, tests[0]]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"has the id <str of length \d+, not shown: on-request data> of sample \d+"):
        radbench.evaluate("oracle", "radvlbench/vqa/medpixqa", data=data, out=tmp_path / "run")


def test_a_folder_that_links_to_itself_ends(tmp_path: Path) -> None:
    root, data = copy_of("abdomenct1k", tmp_path, "abdomenct-1k")
    (root / "again").symlink_to(root, target_is_directory=True)
    with pytest.raises(DataError, match="keep one copy of the data set below the folder"):
        radbench.evaluate("oracle", "medinterp/segmentation/abdomenct-1k", data=data, out=tmp_path / "run")
    root, data = copy_of("slake", tmp_path / "other", "slake")
    (root / "again").symlink_to(root, target_is_directory=True)
    assert evaluated("oracle", "radbench/vqa/slake", data, tmp_path / "slake")["n"] > 0


def test_a_picture_name_that_leaves_the_dataset_is_no_picture_of_it(tmp_path: Path) -> None:
    """A table that names ``../../x`` must not make a run send a file from elsewhere to a model."""
    root, data = copy_of("vqa-rad", tmp_path, "vqa-rad")
    table = one(root, "VQA_RAD*.json")
    rows = json.loads(table.read_text(encoding="utf-8-sig"))
    for row in rows:
        row["image_name"] = "../../outside.jpg"
    table.write_text(json.dumps(rows), encoding="utf-8")
    from miniatures.pictures import jpg

    jpg(tmp_path / "outside.jpg", 1)
    seen: list[str] = []

    def model(request: radbench.Request) -> str:
        seen.extend(i.path for i in request.images)
        return "yes"

    run = radbench.evaluate(model, "radbench/vqa/vqa-rad", data=data, out=tmp_path / "run", resamples=5)
    assert run.results is not None and not seen
    assert run.results["tasks"]["radbench/vqa/vqa-rad"]["failures"] == {
        "input": run.results["tasks"]["radbench/vqa/vqa-rad"]["n"]
    }
