"""Suites on the command line: patterns, groups, options, data that are absent or moved, errors that tell nothing restricted."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from miniatures import layouts, place

from radbench.registry import all_tasks, find_tasks, is_pattern


def radbench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "radbench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for name in ("slake", "vqa-rad"):
        place(root, all_tasks()[f"radbench/vqa/{name}"].dataset)
    return root


def test_a_pattern_runs_what_is_there_and_names_the_rest(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["run", "-m", "constant:yes", "-d", str(data), "-o", str(out)]
    told = radbench(*arguments, "-t", "radbench/vqa/*")
    assert told.returncode == 0
    assert told.stderr.count("3 of 5 tasks are not run") == 1
    assert "Not run for want of data: radbench/vqa/pmc-vqa" in told.stdout
    assert "radbench/medical-vqa: not computed, it lacks radbench/vqa/pmc-vqa" in told.stdout
    assert (
        "dataset 'pmc-vqa' is not at"
        in json.loads((out / "manifest.json").read_text())["skipped"]["radbench/vqa/pmc-vqa"]
    )
    again = radbench("resume", str(out))
    assert again.returncode == 0 and "(0 asked now" in again.stdout, "the tasks of the run, not the pattern's"
    place(data, all_tasks()["radbench/vqa/pmc-vqa"].dataset)
    refused = radbench(*arguments, "-t", "radbench/vqa/*")
    assert refused.returncode == 1
    assert "task radbench/vqa/pmc-vqa is new here: its data were absent" in refused.stderr
    named = radbench(*arguments[:-1], str(tmp_path / "other"), "-t", "radbench/vqa/pmc-case-report")
    assert named.returncode == 1
    assert "dataset 'pmc-case-report' is not at" in named.stderr, "a task asked for by name must be there"


def test_suites_and_groups_stand_for_their_tasks() -> None:
    assert [t.name for t in find_tasks(["radbench"])] == [t.name for t in find_tasks(["radbench/*"])]
    assert [t.name for t in find_tasks(["radbench/medical-vqa"])] == [t.name for t in find_tasks(["radbench/vqa/*"])]
    assert is_pattern("radbench") and is_pattern("radbench/vqa/*:language=all") and not is_pattern("radbench/vqa/slake")
    both = find_tasks(["radbench/vqa/*:language=all"])
    assert {t.name for t in both if t.chosen} == {"radbench/vqa/slake"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("radbench/vqa/slake:language", "'language' is no option"),
        ("radbench/vqa/slake:", "'' is no option"),
        ("radbench/vqa/slake:language=en,language=zh", "given twice"),
        ("radbench/vqa/slake:language=fr", "expected one of en, zh, all"),
        ("radbench/vqa/slake:tongue=en", "no option 'tongue'"),
        ("radbench/vqa/slake:language=zh,questions=released", "missing|takes no|unexpected"),
        ("radbench/vqa/*:tongue=en", "no task of"),
        ("radbnch/*", "radbench/\\*"),
    ],
)
def test_a_wrong_option_is_one_error(spec: str, message: str, data: Path, tmp_path: Path) -> None:
    place(data, all_tasks()["radbench/vqa/pmc-vqa"].dataset)
    (data / "radfm-lists").mkdir()
    done = radbench("run", "-m", "constant:yes", "-t", spec, "-d", str(data), "-o", str(tmp_path / "run"))
    assert done.returncode == 1
    assert done.stderr.count("radbench: ") == 1 and "Traceback" not in done.stderr
    assert re.search(message, done.stderr), done.stderr


def test_options_are_part_of_what_a_run_is(data: Path, tmp_path: Path) -> None:
    arguments = ["run", "-m", "oracle", "-d", str(data), "-o", str(tmp_path / "run")]
    assert radbench(*arguments, "-t", "radbench/vqa/slake:language=zh").returncode == 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["identity"]["tasks"]["radbench/vqa/slake"]["options"] == {"language": "zh"}
    assert radbench("resume", str(tmp_path / "run")).returncode == 0
    other = radbench(*arguments, "-t", "radbench/vqa/slake")
    assert other.returncode == 1 and "options" in other.stderr


def test_data_that_moved_are_found_again(data: Path, tmp_path: Path) -> None:
    arguments = ["-m", "oracle", "-t", "radbench/vqa/slake", "-o", str(tmp_path / "run")]
    assert radbench("run", *arguments, "-d", str(data)).returncode == 0
    shutil.move(data, tmp_path / "elsewhere")
    for command in ("score", "resume"):
        gone = radbench(command, str(tmp_path / "run"))
        assert gone.returncode == 1 and f"was made with {data}: put the data back there, or link them" in gone.stderr
    data.symlink_to(tmp_path / "elsewhere")
    for command in ("score", "resume"):
        assert radbench(command, str(tmp_path / "run")).returncode == 0
    misspelt = radbench("run", *arguments, "-d", "slak=x")
    assert "no dataset is called 'slak': did you mean 'slake'" in misspelt.stderr
    assert "--data names two roots" in radbench("run", *arguments, "-d", "a", "-d", "b").stderr


@pytest.mark.parametrize(
    ("layout", "table", "task", "name"),
    [
        ("r2chest", "reports.csv", "radvlbench/real-world/r2chest", "r2chest"),
        ("vindr-pcxr", "image_labels_test.csv", "meddr/diagnosis/vindr-pcxr", "vindr-pcxr"),
        ("mimic-cxr:sectioned", "mimic-cxr-2.*-split.csv", "medinterp/report/mimic-cxr-findings", "mimic-cxr"),
    ],
)
def test_a_restricted_table_without_header_tells_none_of_its_cells(
    layout: str, table: str, task: str, name: str, tmp_path: Path
) -> None:
    layouts()[layout](tmp_path / "set")
    file = next((tmp_path / "set").rglob(table))
    _, first, *rest = file.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    file.write_text(first + "".join(rest), encoding="utf-8")
    cells = [c for c in first.strip().split(",") if len(c) > 2 and c not in ("test", "train")]
    out, data = tmp_path / "run", f"{name}={tmp_path / 'set'}"
    done = radbench("run", "-m", "oracle", "-t", task, "-d", data, "-o", str(out))
    assert done.returncode == 1
    assert re.search("no column|a column stands twice", done.stderr) and "not shown" in done.stderr, done.stderr
    assert cells and not [c for c in cells if c in done.stderr.replace(str(tmp_path), "")]
    pattern = radbench("run", "-m", "oracle", "-t", f"{task[:-3]}*,demo/mni152", "-d", data, "-o", str(out))
    written = "".join(p.read_text() for p in out.rglob("*.json")) + pattern.stdout + pattern.stderr
    assert "skipped" in written and not [c for c in cells if c in written.replace(str(tmp_path), "")]
