"""The suites on the real files there are: counts through ``radbench.evaluate``, volumes and series decoded on the way."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

import radbench

CLOSED, OPEN = 416, 645  # SLAKE's English test questions by the file's own answer_type


def scored(model: str, task: str, data: str, out: Path) -> dict[str, Any]:
    results = radbench.evaluate(model, task, data=[data], out=out, resamples=20).results
    assert results is not None
    entry: dict[str, Any] = results["tasks"][task.partition(":")[0]]
    return entry


@pytest.mark.parametrize(
    ("task", "name", "folder", "n"),
    [
        ("radvlbench/vqa/vqamed2019", "vqamed2019", "vqamed", 500),
        ("radbench/vqa/slake", "slake", "slake_text", CLOSED + OPEN),
        ("radvlbench/vqa/slake:language=all", "slake", "slake_text", 2094),
        ("meddr/vqa/slake", "slake", "slake_text", CLOSED + OPEN),
        ("medinterp/report/iux-ray:copy=openi", "openi", "openi_reports", 3331),
        ("medinterp/detection/nih-chestxray", "nih-chestxray14", "nih_boxes", 550),
        ("meddr/diagnosis/pneumoniamnist", "pneumoniamnist", "pneumoniamnist", 624),
    ],
)
def test_the_truth_scores_on_the_real_files(
    task: str, name: str, folder: str, n: int, shared: Path, tmp_path: Path
) -> None:
    entry = scored("oracle", task, f"{name}={shared / folder}", tmp_path / "run")
    assert (entry["n"], entry["failures"], entry["broken"]) == (n, {}, {})
    values = {m: e["value"] for m, e in entry["metrics"].items()}
    if "vqa-closed-accuracy" in values:
        closed = entry["metrics"]["vqa-closed-accuracy"]
        assert (closed["value"], closed["n"]) == (1.0, 355), "yes or no by the answer, not by the file's answer_type"
    if "box-iou" in values:
        assert values["box-iou"] == 1.0
    if "accuracy-macro" in values:
        assert values == {"accuracy-macro": 1.0, "f1-macro": 1.0}


def test_slakes_strata_are_subgroups_of_the_run(shared: Path, tmp_path: Path) -> None:
    groups = scored("oracle", "radbench/vqa/slake", f"slake={shared / 'slake_text'}", tmp_path / "run")["subgroups"]
    assert {axis: {v: g["n"] for v, g in groups[axis].items()} for axis in ("modality", "answer_type")} == {
        "modality": {"CT": 472, "X-Ray": 361, "MRI": 228},
        "answer_type": {"open": OPEN, "closed": CLOSED},
    }


def test_real_volumes_and_a_dicom_series_go_through_a_hospital_table(shared: Path, tmp_path: Path) -> None:
    """CT and MR volumes and a series of 20 slices, named in the layout of R2Thyroid, decoded by the run."""
    source = shared / "totalseg_ct_mr"
    names = ("example_ct.nii.gz", "example_ct_sm.nii.gz", "example_mr_sm.nii.gz", "example_ct_dicom")
    root = tmp_path / "r2thyroid"
    root.mkdir()
    with (root / "reports.csv").open("w", newline="") as f:
        rows = csv.writer(f)
        rows.writerow(["study_id", "images", "findings", "impression", "split"])
        for name in names:
            (root / name).symlink_to(source / name)
            rows.writerow([name, name, "No nodule is seen.", "Normal.", "test"])
    entry = scored(
        "constant:No nodule is seen.", "radvlbench/real-world/r2thyroid", f"r2thyroid={root}", tmp_path / "run"
    )
    assert (entry["n"], entry["failures"]) == (4, {}), "every volume was decoded before the model was asked"


def test_real_captions_in_the_layout_of_roco(shared: Path, tmp_path: Path) -> None:
    import json

    folder = tmp_path / "roco" / "data" / "test" / "radiology"
    folder.mkdir(parents=True)
    lines = (shared / "roco_captions_ccby" / "validation.jsonl").read_text(encoding="utf-8").splitlines()
    captions = [next(v for k, v in json.loads(line).items() if k == "caption") for line in lines]
    written = [c for c in dict.fromkeys(" ".join(c.split()) for c in captions) if c]
    text = "".join(f"ROCO_{i:05d}\t {caption}\n" for i, caption in enumerate(written))
    (folder / "captions.txt").write_text(text, encoding="utf-8")
    entry = scored("oracle", "radvlbench/caption/roco", f"roco={tmp_path / 'roco'}", tmp_path / "run")
    assert entry["n"] == len(written) > 100
    assert entry["metrics"]["rouge-l:tok=cxr,beta=1.2"]["value"] == pytest.approx(1, abs=1e-9)
