"""Broken datasets on the command line: one clear message and exit code 1, or counted samples and a run that goes on.

Every kind starts from a made-up official layout that runs. Restricted sets carry a planted secret, which may stand in no
output and in no file that people pass on. What readers raise on their own is in ``test_damaged_datasets``.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from miniatures import data_for
from miniatures.damage import Damage, edited, one
from miniatures.pictures import dicom, jpg, nifti, png
from typer.testing import CliRunner

from radbench.cli import app, work
from radbench.dataset import DataLocations
from radbench.errors import OPEN_ACCESS, Exit
from radbench.progress import progress_for
from radbench.registry import all_tasks

SECRET = "SECRET-8714"


class Done(NamedTuple):
    """What a run on the command line left behind."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def results(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "results.json").read_text())
        return found

    @property
    def entry(self) -> dict[str, Any]:
        (entry,) = self.results["tasks"].values()
        return dict(entry)

    @property
    def messages(self) -> list[str]:
        """The blocks of ``radbench: ...`` on standard error, each with the lines that follow it."""
        return re.findall(r"^radbench: .*(?:\n {2}.*)*", self.err, re.MULTILINE)

    @property
    def other_lines(self) -> list[str]:
        """What else stands on standard error, without lines of progress."""
        rest = self.err
        for message in self.messages:
            rest = rest.replace(message, "", 1)
        return [line for line in rest.splitlines() if line and not re.match(r"\S+: [\d,]+/[\d,]+ answers", line)]

    def everything(self) -> str:
        """What people see or pass on."""
        files = (self.folder / name for name in ("run.log", "results.json"))
        return "\n".join([self.out, self.err, *(f.read_text() for f in files if f.exists())])


class Bench:
    """Runs tasks on copies of made-up layouts, which are written once."""

    def __init__(self, whole: Path, here: Path) -> None:
        self._whole, self.root, self._out, self._runs = whole, here / "data", here / "out", 0

    def copy(self, task: str) -> Path:
        """A fresh copy of the data of a task, its datasets in folders of one root."""
        place = self._whole / re.sub(r"\W", "-", task)
        if not place.exists():
            data_for(place, all_tasks()[task])
        shutil.copytree(place, self.root)
        return self.root

    def run(self, task: str, model: str = "constant:yes") -> Done:
        self._runs += 1
        out = self._out / str(self._runs)
        data = [part for value in data_for(self.root, all_tasks()[task]) for part in ("--data", value)]
        arguments = ["run", "--model", model, "--tasks", task, *data, "--out", str(out), "--resamples", "5"]
        done = CliRunner().invoke(app, arguments)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception  # on the command line this is a traceback
        return Done(done.exit_code, done.stdout, done.stderr, out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


FIRST_LINES: dict[str, str] = {}  # kind -> what is told of it first


@pytest.fixture(scope="module", autouse=True)
def _table(request: pytest.FixtureRequest) -> Iterator[None]:
    """With ``-v`` the first line of every message, to read them side by side."""
    yield
    plugins = request.config.pluginmanager
    reporter, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")
    if request.config.get_verbosity() > 0 and reporter is not None and capture is not None:
        with capture.global_and_fixture_disabled():
            reporter.section(f"broken datasets: {len(FIRST_LINES)} kinds")
            for kind, line in FIRST_LINES.items():
                reporter.write_line(f"{kind}: {line}")


@pytest.fixture(scope="module", autouse=True)
def _models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "broken_dataset_models.py").write_text(MODELS)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


@pytest.fixture
def bench(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    # Standard error is another stream in every test; radbench keeps the one it was imported with.
    monkeypatch.setattr(work, "progress_for", lambda quiet: progress_for(sys.stderr, quiet))
    return Bench(whole, tmp_path)


MODELS = '''
import numpy as np

def fitting(request):
    """Its masks fit the pictures."""
    return np.ones(request.images[0].load().size, bool)

def fitting_nothing(request):
    return np.ones((3, 3), bool)

def refusing_to_look(request):
    assert not request.images, "a picture came to the model"
    return "yes"
'''


# --- damages ---


def written(pattern: str, change: Callable[[bytes], bytes]) -> Damage:
    return lambda root: (path := one(root, pattern)).write_bytes(change(path.read_bytes())) and None


def removed(pattern: str) -> Damage:
    def damage(root: Path) -> None:
        found = sorted(root.rglob(pattern))
        assert found, f"there is no {pattern}"
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def cells(pattern: str, column: str, value: str, rows: slice = slice(None)) -> Damage:
    """A column of a CSV table set to one value, in all rows or some."""

    def damage(root: Path) -> None:
        path = one(root, pattern)
        with path.open(encoding="utf-8-sig", newline="") as f:
            header, *body = list(csv.reader(f))
        for row in body[rows]:
            row[header.index(column)] = value
        with path.open("w", encoding="utf-8", newline="") as f:
            csv.writer(f).writerows([header, *body])

    return damage


def without_column(pattern: str, column: str) -> Damage:
    def damage(root: Path) -> None:
        path = one(root, pattern)
        with path.open(encoding="utf-8-sig", newline="") as f:
            rows = list(csv.reader(f))
        at = rows[0].index(column)
        with path.open("w", encoding="utf-8", newline="") as f:
            csv.writer(f).writerows([row[:at] + row[at + 1 :] for row in rows])

    return damage


def items(pattern: str, change: Callable[[Any], Any]) -> Damage:
    """A JSON document changed as a whole."""

    def damage(root: Path) -> None:
        path = one(root, pattern)
        path.write_text(json.dumps(change(json.loads(path.read_text(encoding="utf-8-sig")))), encoding="utf-8")

    return damage


def setting(first: str | int, **values: Any) -> Callable[[Any], Any]:
    """Keys of the first object of a list, or of a list below a key."""

    def change(document: Any) -> Any:
        rows = document if isinstance(first, int) else document[first]
        rows[0].update(values)
        return document

    return change


def arrays(**changed: np.ndarray) -> Damage:
    def damage(root: Path) -> None:
        path = one(root, "*.npz")
        with np.load(path) as archive:
            np.savez(path, **{**{name: archive[name] for name in archive.files}, **changed})

    return damage


def flipped(pattern: str, position: int) -> Damage:
    """A byte of a file turned over."""
    return written(pattern, lambda b: b[:position] + bytes([b[position] ^ 0x55]) + b[position + 1 :])


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def each(pattern: str, change: Callable[[Path], object]) -> Damage:
    def damage(root: Path) -> None:
        found = sorted(root.rglob(pattern))
        assert found, f"there is no {pattern}"
        for path in found:
            change(path)

    return damage


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def linked_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def only_pickles(root: Path) -> None:
    shutil.rmtree(root / "path-vqa")
    table = root / "path-vqa" / "pvqa" / "qas" / "test" / "test_qa.pkl"
    table.parent.mkdir(parents=True)
    table.write_bytes(b"\x80\x04K\x01.")


# --- datasets that cannot be read ---

PMC, SLAKE, NIH = "radbench/vqa/pmc-vqa", "radbench/vqa/slake", "medinterp/detection/nih-chestxray"
HAM, PNEUMONIA = "meddr/diagnosis/ham10000", "meddr/diagnosis/pneumoniamnist"
REPORTS, R2GEN = "medinterp/report/mimic-cxr-findings", "meddr/report/mimic-cxr"
MAMMO, PCXR = "radbench/diagnosis/vindr-mammo", "meddr/diagnosis/vindr-pcxr"
GRAPHS, DIFF, CXR_VQA = (
    "medinterp/classification/chest-imagenome",
    "medinterp/vqa/medical-diff-vqa",
    "radvlbench/vqa/mimic-cxr-vqa",
)
CHEXMASK = "medinterp/segmentation/chexmask-chexpert"
CODE = f"__import__('os').system('{SECRET}')"

# kind -> task, damage, what the one message says
STOPS: dict[str, tuple[str, Damage, str]] = {
    "missing split file": (SLAKE, removed("test.json"), r"/slake: no split 'test' but train, val"),
    "missing table": (PCXR, removed("image_labels_test.csv"), r"image_labels_test\.csv: not found; expected .*labels"),
    "missing column": (
        PMC,
        without_column("test.csv", "Question"),
        r"test\.csv, line 2: no 'Question'; it has Figure_path",
    ),
    "a column less in the header": (
        PMC,
        edited("test.csv", "Question,", ""),
        r"test\.csv, line 2: 8 columns, the header has 7",
    ),
    "renamed column": (
        HAM,
        edited("ISIC2018*.csv", "dx,", "dxx,"),
        r"GroundTruth\.csv, line 2: no column 'dx' .*did you mean 'dxx'",
    ),
    "wrong label": (
        NIH,
        edited("BBox*.csv", "Cardiomegaly", "Cardiomegalia"),
        r"BBox_List_2017\.csv, line \d+: label 'Cardiomegalia', expected Atelectasis, Cardiomegaly",
    ),
    "label index out of range": (
        PNEUMONIA,
        arrays(test_labels=np.array([[0], [9]])),
        r"pneumoniamnist\.npz: (test_labels\[1\] is 9, expected 0 to 1|\d+ images and labels of shape)",
    ),
    "pickled labels": (
        PNEUMONIA,
        arrays(test_labels=np.array([[{}]], dtype=object)),
        r"pneumoniamnist\.npz: array 'test_labels' cannot be read .*\n  -> .*without Python objects",
    ),
    "box outside its picture": (
        NIH,
        cells("BBox*.csv", "Bbox [x", "5000", slice(1)),
        r"BBox_List_2017\.csv, line 2: box .*'5000'.* has no area in 1024 x 1024",
    ),
    "inverted box": (
        NIH,
        cells("BBox*.csv", "w", "-80", slice(1)),
        r"BBox_List_2017\.csv, line 2: box .*'-80'.* has no area",
    ),
    "negative box": (
        NIH,
        cells("BBox*.csv", "Bbox [x", "-5000", slice(1)),
        r"BBox_List_2017\.csv, line 2: box .*'-5000'.* has no area in 1024 x 1024",
    ),
    "box of words": (
        NIH,
        cells("BBox*.csv", "w", "wide", slice(1)),
        r"BBox_List_2017\.csv, line 2: box .*'wide'.*, expected four numbers",
    ),
    "mask table of another size": (
        CHEXMASK,
        cells("CheXpert.csv", "Height", "40", slice(1)),
        r"CheXpert\.csv, line 2: a mask of 40 x 32, its picture has 39 x 32\n  -> .*not resized",
    ),
    "UTF-16": (PMC, written("test.csv", lambda b: b.decode().encode("utf-16")), r"test\.csv: not UTF-8 .*\n  -> save"),
    "UTF-16 lines": (
        "radvlbench/vqa/vqamed2019",
        written("*Test_Questions_w_Ref*", lambda b: b.decode().encode("utf-16")),
        r"w_Ref_Answers\.txt: not UTF-8 .*\n  -> save it as UTF-8",
    ),
    "Latin-1": (
        PMC,
        written("test.csv", lambda b: b + "Ménière".encode("latin-1")),
        r"test\.csv: not UTF-8 \(byte \d+\)",
    ),
    "Latin-1 in JSON": (
        SLAKE,
        written("test.json", lambda b: b.replace(b'"answer": "', b'"answer": "\xe9')),
        r"test\.json: not UTF-8",
    ),
    "truncated JSON": (SLAKE, written("test.json", half), r"test\.json, (item \d+|character \d+): (not JSON|expected)"),
    "JSON of another top level": (
        SLAKE,
        items("test.json", lambda rows: {"rows": rows}),
        r"test\.json, character 1: expected a list of objects, found '\{'",
    ),
    "empty file": (PMC, written("test.csv", lambda b: b""), r"test\.csv: empty, expected a header line"),
    "header only": (
        PMC,
        written("test.csv", lambda b: b.splitlines(keepends=True)[0]),
        r"dataset 'pmc-vqa' at .* has no sample in split 'test'\n  -> radbench describe",
    ),
    "too few columns": (
        PMC,
        written("test.csv", lambda b: b + b"a,b\n"),
        r"test\.csv, line \d+: 2 columns, the header has 8",
    ),
    "unclosed quote": (
        PMC,
        written("test.csv", lambda b: b + b'"a,b\n'),
        r"test\.csv, line \d+: unexpected end of data",
    ),
    "code in a list": (
        MAMMO,
        cells("finding_annotations.csv", "finding_categories", CODE),
        r"finding_annotations\.csv, line 2: finding_categories is <str.*expected a Python list of finding names\n  -> known",
    ),
    "only pickles": ("meddr/vqa/path-vqa", only_pickles, r"test_qa\.pkl: .*pickle.*\n  -> use the parquet copy"),
    "truncated gzip": (REPORTS, written("*split.csv.gz", half), r"split\.csv\.gz: damaged gzip .*\n  -> download"),
    "damaged gzip": (REPORTS, flipped("*split.csv.gz", 20), r"split\.csv\.gz: damaged gzip .*\n  -> download"),
    "no gzip": (REPORTS, written("*split.csv.gz", lambda b: b"hello"), r"split\.csv\.gz: damaged gzip \(Not a gzipped"),
    "truncated parquet": (
        "meddr/vqa/path-vqa",
        written("test*.parquet", half),
        r"test-[^/]*\.parquet.*cannot be read .*\n  -> download the file again",
    ),
    "wrong yes or no": (
        "radbench/diagnosis/cxr-mix",
        cells("radfm-lists/chestxray_balance_test.csv", "label", SECRET, slice(1)),
        r"chestxray_balance_test\.csv, line 2: label is <str.*expected 0 or 1",
    ),
    "no pair of volume and mask": (
        "medinterp/segmentation/abdomenct-1k",
        removed("Mask"),
        r"abdomenct-1k: \d+ volumes .*, 0 masks .*, no pair\n  -> unpack",
    ),
    "unknown split word": (
        "radvlbench/vqa/medpixqa",
        cells("medpixqa.csv", "split", SECRET),
        r"medpixqa\.csv, line 2: split is <str.*expected train, val, test",
    ),
    "a report missing": (
        REPORTS,
        removed("mimic-cxr-reports/files/p19"),
        r"files: the report of the study in line \d+ of the split table is missing\n  -> unpack",
    ),
    "a report that is a folder": (
        REPORTS,
        each("s50*.txt", as_folder),
        r"files: the report of the study in line \d+ of the split table cannot be read \(Is a directory\)",
    ),
    "a scene graph that is a folder": (
        GRAPHS,
        each("*_SceneGraph.json", as_folder),
        r"split\.csv\.gz, line \d+, its scene graph: cannot be read \(Is a directory\)",
    ),
    "truncated scene graph": (
        GRAPHS,
        each("*_SceneGraph.json", lambda p: p.write_text(f'{{"{SECRET}')),
        r"split\.csv\.gz, line \d+, its scene graph: not JSON",
    ),
    "no header": (
        PCXR,
        written("image_labels_test.csv", lambda b: b.partition(b"\n")[2].replace(b"p1", SECRET.encode() + b"p1")),
        r"image_labels_test\.csv: .*not shown: credentialed data",
    ),
    "annotation of another shape": (
        R2GEN,
        items("annotation.json", lambda d: {SECRET: d}),
        r"annotation\.json, character \d+: expected a list under key 1, found '\{'",
    ),
    "annotation without the split": (
        R2GEN,
        items("annotation.json", lambda d: {SECRET: d["test"]}),
        r"annotation\.json: no key 'test'; what is there instead is not shown: credentialed data",
    ),
    "report that is no text": (
        R2GEN,
        items("annotation.json", setting("test", report=[SECRET])),
        r"annotation\.json, item 1: report is <list.*expected a text and a list of paths",
    ),
    "item without its keys": (
        R2GEN,
        items("annotation.json", lambda d: {**d, "test": [{SECRET: 1, "id": SECRET}]}),
        r"annotation\.json, line 1: no column 'report' among its 2; what is there instead is not shown",
    ),
    "question of an unknown study": (
        DIFF,
        cells("mimic_pair_questions.csv", "study_id", SECRET),
        r"mimic_pair_questions\.csv, line \d+: study_id <str.* is not in .*mimic_all\.csv",
    ),
    "wrong split of a question": (
        DIFF,
        cells("mimic_pair_questions.csv", "split", SECRET),
        r"mimic_pair_questions\.csv, line 2: split <str.*expected train, val or test",
    ),
    "answer that is no list": (
        CXR_VQA,
        items("mimic-cxr-vqa/dataset/test.json", setting(0, answer={SECRET: 1})),
        r"test\.json, item 1: answer <dict.*expected a list of names or a text",
    ),
    "a study twice": (
        "radvlbench/real-world/r2chest",
        cells("reports.csv", "study_id", SECRET),
        r"reports\.csv, line 3: study_id is <str.*expected an id that stands in no earlier line",
    ),
    "an id twice": (
        HAM,
        cells("ISIC2018*.csv", "image_id", "ISIC_9000100"),
        r"sample 2 has the id 'ISIC_9000100' of sample 1\n  -> give every row an id of its own",
    ),
    "a restricted id twice": (
        R2GEN,
        items("annotation.json", lambda d: {**d, "test": [{**row, "id": SECRET} for row in d["test"]]}),
        r"sample \d+ has the id <str.* of sample \d+\n  -> give every row an id of its own",
    ),
}


@pytest.mark.parametrize("kind", STOPS)
def test_a_dataset_that_cannot_be_read_is_one_message_and_exit_1(kind: str, bench: Bench) -> None:
    task, damage, message = STOPS[kind]
    root = bench.copy(task)
    damage(root)
    done = bench.run(task)
    assert done.code == Exit.FAILED
    assert len(done.messages) == 1, done.err
    assert re.search(message, done.messages[0]), done.messages[0]
    assert not done.other_lines
    FIRST_LINES[kind] = done.messages[0].splitlines()[0].replace(str(root), "DATA")
    assert not (done.folder / "results.json").exists()
    if all_tasks()[task].access not in OPEN_ACCESS:
        assert not leaks(done.everything(), root)


def leaks(text: str, root: Path) -> list[str]:
    """What of restricted data stands in a text: the planted secret, ids of patients, studies and pictures."""
    folders = {p.name for pattern in ("p1???????", "s5???????", "s5???????.txt") for p in root.rglob(pattern)}
    pictures = {p.stem for suffix in (".dicom", ".jpg") for p in root.rglob(f"*-*-*{suffix}")}
    return [name for name in (SECRET, *folders, *pictures) if name in text]


def test_layouts_run_before_they_are_broken(bench: Bench) -> None:
    for task in sorted({task for task, *_ in (*STOPS.values(), *GOES_ON.values())}):
        bench.copy(task)
        done = bench.run(task, "oracle")
        assert done.code == Exit.OK, (task, done.err)
        assert not done.messages
        assert done.entry["n"] > 0
        shutil.rmtree(bench.root)


# --- single samples that cannot be used ---


def without_pixels(path: Path) -> None:
    import pydicom

    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.PatientID = SECRET
    dataset.save_as(path)


def without_directions(path: Path) -> None:
    """A volume whose axes have no direction."""
    import nibabel

    broken = nibabel.Nifti1Image(np.asarray(nibabel.load(path).dataobj), None)
    broken.header["sform_code"], broken.header["qform_code"] = 1, 0
    for row in ("srow_x", "srow_y", "srow_z"):
        broken.header[row] = 0
    broken.to_filename(path)


def first_picture(name: str) -> Damage:
    """The first test question of VQA-RAD asks about another file."""

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        next(r for r in rows if r["phrase_type"].startswith("test_"))["image_name"] = name
        return rows

    return items("VQA_RAD*.json", change)


def first_of(pattern: str, change: Callable[[Path], object]) -> Damage:
    return lambda root: change(one(root, pattern)) and None


VQA_RAD, ABDOMEN, SKIN = (
    "radbench/vqa/vqa-rad",
    "medinterp/segmentation/abdomenct-1k",
    "medinterp/segmentation/ham10000",
)

# kind -> task, model, damage, what the one message of a failure says, whether all samples are hit
GOES_ON: dict[str, tuple[str, str, Damage, str, bool]] = {
    "picture missing": (VQA_RAD, "constant:yes", first_picture("none.jpg"), r"none\.jpg: no such file", False),
    "folder of pictures missing": (VQA_RAD, "constant:yes", removed("VQA_RAD Image Folder"), r"no such file", True),
    "truncated PNG": (NIH, "constant:yes", each("*.png", lambda p: p.write_bytes(half(p.read_bytes()))), r"\.png: cannot", True),
    "picture that links to itself": (VQA_RAD, "constant:yes", each("synpic*.jpg", linked_to_itself), r"synpic", True),
    "picture that is text": (
        VQA_RAD, "constant:yes", each("synpic*.jpg", lambda p: p.write_text("<html>")), r"cannot be decoded", True,
    ),
    "picture in another folder": (
        VQA_RAD, "constant:yes", first_picture("../../../outside.jpg"), r"leaves its dataset's folder", False,
    ),
    "picture at an absolute path": (VQA_RAD, "constant:yes", first_picture("/etc/passwd"), r"no such file", False),
    "DICOM without pixels": (
        PCXR, "constant:yes", first_of("vindr-pcxr/test/*.dicom", without_pixels), r"not shown: credentialed data", False,
    ),
    "restricted picture missing": (
        R2GEN, "constant:yes", items("annotation.json", setting("test", image_path=[f"p1/{SECRET}.jpg"], report=SECRET)),
        r"not shown: credentialed data", False,
    ),
    "restricted picture in another folder": (
        R2GEN, "constant:yes", items("annotation.json", setting("test", image_path=[f"../../{SECRET}.jpg"], id=SECRET)),
        r"not shown: credentialed data", False,
    ),
    "volume without directions": (ABDOMEN, "constant:yes", each("*_0000.nii.gz", without_directions), r"affine|decoded", True),
    "npz without key ct": (
        "radbench/diagnosis/radchest-ct", "constant:yes", each("tst*.npz", lambda p: np.savez(p, **{SECRET: np.zeros(3)})),
        r"not shown: on-request data", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", GOES_ON)
def test_a_sample_that_cannot_be_read_is_counted_and_told_once(kind: str, bench: Bench) -> None:
    task, model, damage, message, every = GOES_ON[kind]
    root = bench.copy(task)
    whole = bench.run(task, model).entry
    damage(root)
    done = bench.run(task, model)
    assert not done.other_lines
    assert len(done.messages) == 1, done.err
    FIRST_LINES[kind] = done.messages[0].splitlines()[0].replace(str(root), "DATA")
    assert re.search(rf"{task}: first 'input' failure: .*({message})", done.messages[0]), done.messages[0]
    failed, n = done.entry["failures"]["input"], done.entry["n"]
    assert n == whole["n"], "a failed sample stays in the mean, as the worst"
    assert failed == n if every else 0 < failed < n
    assert done.results["complete"]
    assert done.code == (Exit.INCOMPLETE if every else Exit.OK)
    if all_tasks()[task].access not in OPEN_ACCESS:
        assert not leaks(done.everything(), root)


RUNS = {
    "runs of odd length": lambda runs: f"{runs} 7",
    "runs of words": lambda runs: runs.replace(" ", " eleven ", 1),
    "runs beyond the picture": lambda runs: f"{runs.rpartition(' ')[0]} 99999",
}


@pytest.mark.parametrize("kind", RUNS)
def test_a_reference_mask_that_cannot_be_read_is_left_out_and_counted(kind: str, bench: Bench) -> None:
    root = bench.copy(CHEXMASK)
    n = bench.run(CHEXMASK, "oracle").entry["n"]
    path = root / "chexmask" / "OriginalResolution" / "CheXpert.csv"
    with path.open(encoding="utf-8-sig", newline="") as f:
        header, first, *rest = list(csv.reader(f))
    first[header.index("Heart")] = RUNS[kind](first[header.index("Heart")])
    with path.open("w", encoding="utf-8", newline="") as f:
        csv.writer(f).writerows([header, first, *rest])
    done = bench.run(CHEXMASK, "oracle")
    assert (done.entry["n"], done.entry["unscorable"]) == (n - 1, 1)
    assert len(done.messages) == 1
    assert done.code == Exit.INCOMPLETE
    assert not leaks(done.everything(), root)


def test_a_mask_file_that_cannot_be_read_is_named(bench: Bench) -> None:
    root = bench.copy(SKIN)
    each("*_segmentation.png", lambda p: p.write_bytes(half(p.read_bytes())))(root)
    done = bench.run(SKIN, "oracle")
    assert done.entry["n"] == 0
    assert done.entry["unscorable"] > 0
    assert len(done.messages) == 1
    assert re.search(r"ISIC_\d+_segmentation\.png: the mask cannot be read", done.messages[0])
    assert done.code == Exit.INCOMPLETE


@pytest.mark.parametrize("model", ["fitting", "fitting_nothing"])
@pytest.mark.parametrize(
    ("task", "damage"),
    [
        (SKIN, each("*_segmentation.png", lambda p: png(p, 3, (20, 21)))),
        (ABDOMEN, each("Mask/*.nii.gz", lambda p: nifti(p, np.ones((5, 6, 7), np.uint8)))),
    ],
    ids=["picture", "volume"],
)
def test_a_reference_mask_of_another_size_than_its_picture_is_the_datasets_fault(
    model: str, task: str, damage: Damage, bench: Bench
) -> None:
    root = bench.copy(task)
    damage(root)
    done = bench.run(task, f"broken_dataset_models:{model}")
    assert done.entry["failures"] == {"input": done.entry["n"]}
    assert done.messages == []  # found out when the answers are scored: it stands in the table
    assert f"{done.entry['n']} input" in done.out
    assert done.code == Exit.INCOMPLETE  # not one reference fits its picture


def test_a_mask_that_does_not_fit_a_sound_dataset_is_the_models_fault(bench: Bench) -> None:
    bench.copy(SKIN)
    done = bench.run(SKIN, "broken_dataset_models:fitting_nothing")
    assert done.entry["failures"] == {"unparsable": done.entry["n"]}
    assert done.code == Exit.OK


# --- what must simply read ---


@pytest.mark.parametrize("task", [PMC, HAM, "radvlbench/vqa/medpixqa", DIFF, "medinterp/report/iux-ray"])
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(task: str, bench: Bench) -> None:
    root = bench.copy(task)
    clean = bench.run(task, "oracle")
    for path in (p for p in sorted(root.rglob("*")) if p.suffix == ".csv" or p.name == "HAM10000_metadata"):
        text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
        path.write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    done = bench.run(task, "oracle")
    assert done.code == clean.code == Exit.OK
    assert samples(done) == samples(clean) != {}
    assert done.entry["metrics"] == clean.entry["metrics"]


def samples(done: Done) -> dict[str, Any]:
    """Answers of the truth by sample: what the reader gave."""
    lines = [
        json.loads(x) for p in sorted((done.folder / "answers").glob("*.jsonl")) for x in p.read_text().splitlines()
    ]
    return {line["key"]: line for line in lines}


@pytest.mark.parametrize("task", [SLAKE, HAM, "radbench/diagnosis/cxr-mix"])
def test_a_folder_that_links_to_its_parent_ends(task: str, bench: Bench) -> None:
    root = bench.copy(task)
    before = bench.run(task)
    for dataset in [p for p in root.iterdir() if p.is_dir()]:
        (dataset / "again").symlink_to(dataset, target_is_directory=True)
    done = bench.run(task)
    assert done.code == before.code == Exit.OK
    assert done.entry["n"] == before.entry["n"]
    assert done.entry["failures"] == before.entry["failures"]


# --- names that lead elsewhere ---


def named_elsewhere(root: Path, name: str) -> None:
    """Every picture that a table of these layouts names is another file's name."""
    stem = name.removesuffix(".jpg")
    for path, column, value in (
        ("medpixqa.csv", "image", name),
        ("MedPix_single_test.csv", "name", name),
        ("image_labels_test.csv", "image_id", stem),
        ("indiana_projections.csv", "filename", name),
    ):
        if any(root.rglob(path)):
            cells(path, column, value)(root)
    for path in root.rglob("*Test_Questions_w_Ref*"):
        path.write_text("".join(f"{stem}|{line.partition('|')[2]}\n" for line in path.read_text().splitlines()))


@pytest.mark.parametrize(
    "task",
    [
        "radvlbench/vqa/medpixqa",
        "radbench/report/mpx-single",
        PCXR,
        "medinterp/report/iux-ray",
        "radvlbench/vqa/vqamed2019",
    ],
)
@pytest.mark.parametrize("absolute", [False, True], ids=["upwards", "absolute"])
def test_no_file_outside_the_dataset_is_sent_to_a_model(
    task: str, absolute: bool, bench: Bench, tmp_path: Path
) -> None:
    root = bench.copy(task)
    jpg(tmp_path / "outside.jpg", 1)
    dicom(tmp_path / "outside.dicom", 1)
    named_elsewhere(root, str(tmp_path / "outside.jpg") if absolute else "../../../outside.jpg")
    done = bench.run(task, "broken_dataset_models:refusing_to_look")
    assert done.entry["failures"] == {"input": done.entry["n"]}
    assert len(done.messages) == 1
    assert done.code == Exit.INCOMPLETE


# --- restricted data ---


def in_reports(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(".", f" {SECRET}."), encoding="utf-8")


def in_annotation(document: dict[str, Any]) -> dict[str, Any]:
    return {split: [{**row, "report": f"{SECRET} {row['report']}"} for row in rows] for split, rows in document.items()}


# restricted task -> a secret as every report or question of it
PLANTED: dict[str, Damage] = {
    REPORTS: each("s50*.txt", in_reports),
    R2GEN: items("annotation.json", in_annotation),
    DIFF: cells("mimic_pair_questions.csv", "question", SECRET),
    "radvlbench/real-world/r2chest": cells("reports.csv", "findings", SECRET),
    "radvlbench/vqa/medpixqa": cells("medpixqa.csv", "question", SECRET),
    "radbench/vqa/rad3d": cells("radiology_vqa_test.csv", "question", SECRET),
    "medinterp/region/ms-cxr": cells("MS_CXR_Local_Alignment_*.csv", "label_text", SECRET),
}


@pytest.mark.parametrize("task", PLANTED)
def test_texts_of_restricted_sets_stay_in_the_answers(task: str, bench: Bench) -> None:
    """Data that read, a secret in every text, and the pictures of the first sample gone."""
    root = bench.copy(task)
    PLANTED[task](root)
    dataset = all_tasks()[task].dataset
    sample = next(dataset.open(DataLocations.parse(data_for(root, all_tasks()[task]))).samples("test"))
    assert SECRET in f"{sample.slots} {sample.targets}"
    used = sorted({image.path for image in sample.images})
    for path in map(Path, used):
        path.unlink()
    done = bench.run(task)
    assert done.entry["failures"].get("input", 0) > 0
    assert len(done.messages) == 1
    assert not leaks(done.everything(), root)
