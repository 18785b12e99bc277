"""The embedded demo: distinct real pictures out of packages, header kept from the model."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from radbench.tasks.readers.package_pictures import MODALITIES, PICTURES

import radbench
from radbench import Image
from radbench.dataset import DataLocations
from radbench.errors import ImageError
from radbench.registry import find_tasks


@pytest.fixture(scope="module")
def samples() -> list[radbench.Sample]:
    task = find_tasks(["demo/modality"])[0]
    return list(task.dataset.open(DataLocations()).samples("all"))


def test_seventeen_pictures_at_least_64_pixels_wide(samples: list[radbench.Sample]) -> None:
    assert len(samples) == len(PICTURES) == 17
    for sample in samples:
        assert min(sample.images[0].load().size) >= 64
    labels = [s.targets["answer"].names[0] for s in samples]  # type: ignore[union-attr]
    assert {label: labels.count(label) for label in set(labels)} == {"CT": 5, "MRI": 4, "Ultrasound": 6, "X-ray": 2}


def test_no_two_pictures_are_the_same(samples: list[radbench.Sample]) -> None:
    vectors = np.stack([s.images[0].load().vector(32) for s in samples])
    assert (vectors @ vectors.T - np.eye(len(vectors))).max() < 0.9


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's own test files are odd on purpose
def test_every_other_real_picture_of_the_packages_is_a_copy_or_left_out_with_a_reason(
    samples: list[radbench.Sample],
) -> None:
    """Whatever else pydicom ships is small, no picture of these modalities, undecodable, CQ500 or a re-encoding."""
    import data_store
    import pydicom
    import pydicom.data

    ours = np.stack([s.images[0].load().vector(32) for s in samples])
    patients = {str(pydicom.dcmread(s.images[0].path, stop_before_pixels=True).get("PatientID")) for s in samples} - {
        ""
    }
    folders = [Path(pydicom.data.__file__).parent / "test_files", Path(data_store.__file__).parent / "data"]
    unexplained = []
    for path in sorted(p for folder in folders for p in folder.glob("*.dcm")):
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        if (
            path.name in PICTURES
            or header.get("Modality") not in MODALITIES
            or min(header.get("Rows", 0), header.get("Columns", 0)) < 64
        ):
            continue
        if path.name.startswith("693_") or header.get("PatientID") in patients:
            continue  # CQ500; another encoding, frame or crop of a listed picture
        try:
            vector = Image(str(path)).load().vector(32)
        except ImageError:
            continue
        if float((ours @ vector).max()) < 0.99:
            unexplained.append(path.name)
    assert unexplained == []


def test_the_header_never_reaches_the_model() -> None:
    seen: list[str] = []

    def spy(request: radbench.Request) -> str:
        picture = request.images[0].load()
        assert {f.name for f in fields(picture)} == {"array", "sha256", "spacing", "affine", "steps", "window"}
        seen.append(request.text + str(picture.steps))
        return "CT"

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        radbench.evaluate(spy, "demo/modality", out=folder)
    assert len(seen) == 17
    assert not any(word in text for text in seen for word in ("Ultrasound", "MRI", "Philips", "Modality"))


def test_the_brain_volume_is_read_in_ras(tmp_path: Path) -> None:
    task = find_tasks(["demo/mni152"])[0]
    (sample,) = task.dataset.open(DataLocations()).samples("all")
    volume = sample.images[0].load()
    assert volume.size == (197, 233, 189)
    assert volume.spacing == pytest.approx((1, 1, 1))
    # The template is nearly symmetric left to right and not at all front to back.
    grey = volume.grey().astype(float)
    mirrored, turned = (np.corrcoef(grey.ravel(), g.ravel())[0, 1] for g in (grey[::-1], grey[:, ::-1]))
    assert mirrored > 0.95
    assert turned < mirrored - 0.1
    evaluation = radbench.evaluate("constant:MRI", "demo/mni152", out=tmp_path / "run")
    assert evaluation.results is not None
    assert evaluation.results["tasks"]["demo/mni152"]["metrics"]["accuracy"]["value"] == 1.0
