"""The phantom cohort's pictures: the same bytes twice, readable by our decoders, and true to their specifications."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from radbench.tasks.phantom.cohort import box_of, render, write_case, write_cohort
from radbench.tasks.phantom.ct import region_grid
from radbench.tasks.phantom.files import grey8, write_slice
from radbench.tasks.phantom.lexicon import WORDS
from radbench.tasks.phantom.places import slice_axis
from radbench.tasks.phantom.questions import questions
from radbench.tasks.phantom.sampling import sample_cohort
from radbench.tasks.phantom.sheet import contact_sheet
from radbench.tasks.phantom.spec import ABNORMALITIES, ANATOMY, DEVICES, Case, Picture

from radbench.errors import DataError, ImageError
from radbench.images import load, load_mask
from radbench.records import Image, Mask

SIZE = 64
KINDS = sorted(ABNORMALITIES)
Cohort = tuple[Path, list[Case]]


def read(folder: Path) -> list[Case]:
    return [Case.from_json(json.loads(line)) for line in (folder / "cases.jsonl").read_text().splitlines()]


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    write_cohort(folder, cases=60, size=SIZE)
    return folder, read(folder)


@pytest.fixture(scope="module")
def hazardous(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("phantom") / "hazards"
    write_cohort(folder, cases=40, size=SIZE, hazards=True)
    return folder, read(folder)


@pytest.fixture(scope="module")
def default() -> list[Case]:
    return sample_cohort()


def pictures(cases: list[Case]) -> Iterator[tuple[Case, Picture]]:
    for case in cases:
        for p in case.pictures:
            yield case, p


def reference(folder: Path, p: Picture, path: str | None = None) -> Image:
    kind = p.kind if path is None else "2d" if p.kind == "2d" else "volume"
    return Image(str(folder / (path or p.path)), kind=kind)


def shows_sides(case: Case, p: Picture) -> bool:
    """Views in which the patient's left and right are apart: not lateral, sagittal or mammographic, no long-axis scan."""
    return not (
        p.view in ("lateral", "sagittal")
        or case.region == "breast"
        or (case.modality == "Ultrasound" and case.region == "abdomen")
    )


# -- specifications ----------------------------------------------------------------------------------------------------


def test_every_finding_occurs(default: list[Case]) -> None:
    seen = Counter((c.modality, c.region, f.name) for c in default for f in c.findings)
    for kind in KINDS:
        for name in (*ABNORMALITIES[kind], *DEVICES.get(kind, ())):
            assert seen[(*kind, name)] >= 1, (kind, name)


def test_every_modality_has_six_abnormalities(default: list[Case]) -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for c in default:
        found[c.modality] |= {f.name for f in c.findings} & set(ABNORMALITIES[c.modality, c.region])
    assert {m: len(v) >= 6 for m, v in found.items()} == dict.fromkeys(found, True)


@pytest.mark.parametrize("seed", range(4))
def test_distribution(seed: int) -> None:
    cases = sample_cohort(seed)
    n = len(cases)
    assert n == 240
    splits = Counter(c.split for c in cases)
    assert splits["test"] / n == pytest.approx(0.5, abs=0.06)
    assert splits["train"] / n == pytest.approx(0.3, abs=0.06)
    chest = [c for c in cases if (c.modality, c.region) == ("X-ray", "chest")]
    assert len(chest) / n == pytest.approx(0.4, abs=0.03)
    assert sum(c.prior is not None for c in chest) / len(chest) == pytest.approx(0.46, abs=0.05)
    assert sum(c.kind != "2d" for c in cases) / n == pytest.approx(0.175, abs=0.03)
    assert 0.08 <= sum(not c.findings for c in cases) / n <= 0.22
    sides = Counter(f.side for c in cases for f in c.findings)
    assert 0.6 < sides["left"] / sides["right"] < 1.7  # liver lesions are all on the right


@pytest.mark.parametrize("seed", range(3))
def test_splits_share_no_patient(seed: int) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    for c in sample_cohort(seed):
        splits[c.patient].add(c.split)
    assert all(len(v) == 1 for v in splits.values())


def test_sampling_is_seeded() -> None:
    assert sample_cohort(3, 50) == sample_cohort(3, 50)
    assert sample_cohort(3, 50) != sample_cohort(4, 50)


def test_ids_are_unique_and_priors_come_first(default: list[Case]) -> None:
    at = {c.id: i for i, c in enumerate(default)}
    assert len(at) == len(default)
    for i, c in enumerate(default):
        if c.prior is not None:
            prior = default[at[c.prior]]
            assert at[c.prior] < i
            assert (prior.patient, prior.split, prior.modality) == (c.patient, c.split, c.modality)
            assert c.days_before > 0
            assert not any(f.change for f in prior.findings)


def test_change_agrees_with_sizes(default: list[Case]) -> None:
    by_id = {c.id: c for c in default}
    grades = ("", "mild", "moderate", "severe")
    counted: Counter[str] = Counter()
    for c in default:
        before = {f.name: f for f in by_id[c.prior].findings} if c.prior else {}
        for f in c.findings:
            if not c.prior:
                assert f.change == ""
                continue
            counted[f.change] += 1
            was = before.get(f.name)
            if was is None:
                assert f.change == "new"
                continue
            now, then = (f.size_mm, grades.index(f.severity)), (was.size_mm, grades.index(was.severity))
            assert f.change == ("larger" if now > then else "smaller" if now < then else "unchanged")
    assert min(counted[k] for k in ("new", "larger", "smaller", "unchanged")) >= 3


def test_names_in_a_case_are_unique_and_histories_tell_nothing(default: list[Case]) -> None:
    for c in default:
        names = [f.name for f in c.findings]
        assert len(set(names)) == len(names)
        assert not any(name in c.history.lower() for name in names)


@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_difficulty_makes_lesions_smaller(difficulty: float) -> None:
    sizes = [
        f.size_mm for c in sample_cohort(0, 240, difficulty=difficulty) for f in c.findings if f.name == "lung nodule"
    ]
    assert (np.mean(sizes) > 20) == (difficulty == 0)


def test_arguments_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 13"):
        sample_cohort(cases=5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        sample_cohort(difficulty=1.2)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="not empty"):
        write_cohort(tmp_path / "full", cases=20)
    assert [p.name for p in tmp_path.iterdir()] == ["full"]


# -- files -------------------------------------------------------------------------------------------------------------


def test_two_writes_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_cohort(tmp_path / name, seed=7, cases=16, size=40, hazards=True)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    write_cohort(tmp_path / "c", seed=8, cases=16, size=40, hazards=True)
    assert digest(tmp_path / "c") != digest(tmp_path / "a")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]  # nothing temporary stays


def test_every_file_decodes_with_its_size(cohort: Cohort) -> None:
    folder, cases = cohort
    suffixes = set()
    for _, p in pictures(cases):
        loaded = load(reference(folder, p))
        assert loaded.size == p.size, p.path
        if p.kind != "2d":
            assert loaded.spacing == pytest.approx(p.spacing, rel=1e-4)
        assert loaded.array.std() > 0
        suffixes.add("series" if p.kind == "series" else "".join(Path(p.path).suffixes))
    assert suffixes == {".png", ".dcm", ".nii.gz", "series"}


def test_files_named_are_the_files_there(cohort: Cohort) -> None:
    folder, cases = cohort
    named = {p.path for _, p in pictures(cases)} | {
        str(v) for _, p in pictures(cases) for v in (p.labels, p.finding_labels)
    }
    there = {str(p.relative_to(folder)) for sub in ("pictures", "labels") for p in (folder / sub).iterdir()}
    assert named - {"None"} == there


def test_dicom_headers(cohort: Cohort) -> None:
    import pydicom

    folder, cases = cohort
    seen: Counter[str] = Counter()
    for case, p in pictures(cases):
        path = folder / p.path
        for file in sorted(path.iterdir()) if p.kind == "series" else [path] * p.path.endswith(".dcm"):
            d = pydicom.dcmread(file)
            seen[f"{d.Modality} {d.PhotometricInterpretation}"] += 1
            assert (d.PatientID, str(d.PatientName), d.PatientIdentityRemoved) == (case.patient, "", "YES")
            assert int(d.StudyDate[:4]) < 2015
            if d.Modality == "MG":
                assert f"{d.ImageLaterality} {d.ViewPosition}" == p.view
            elif d.Modality in ("DX", "CR"):
                assert d.ViewPosition == {"PA": "PA", "lateral": "LL", "frontal": "AP"}[p.view]
            elif d.Modality == "CT":
                assert (d.RescaleSlope, d.RescaleIntercept) == (1, -1024)
    assert {k.split()[0] for k in seen} >= {"MG", "DX", "CR", "CT"}
    assert seen["DX MONOCHROME1"] and seen["DX MONOCHROME2"]


def test_an_mr_slice(tmp_path: Path) -> None:
    import pydicom

    case = next(c for c in sample_cohort(size=SIZE) if c.modality == "MRI" and c.kind == "2d")
    (r,) = render(case, SIZE)
    write_slice(tmp_path / "slice.dcm", case, r)
    d = pydicom.dcmread(tmp_path / "slice.dcm")
    assert (d.Modality, list(d.PixelSpacing)) == ("MR", pytest.approx(list(r.spacing), rel=1e-4))
    assert np.abs(load(Image(str(tmp_path / "slice.dcm"))).array.astype(int) - grey8(r)).max() <= 2


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_slice_knows_where_its_pixels_are(tmp_path: Path, plane: str) -> None:
    """ImagePositionPatient and ImageOrientationPatient give every pixel's patient position."""
    import pydicom

    case = next(c for c in sample_cohort(size=SIZE) if c.modality == "MRI" and c.region == "head" and c.kind == "2d")
    case = replace(case, plane=plane, level=4.0, findings=())
    grid, _ = region_grid(case, SIZE)
    write_slice(tmp_path / "slice.dcm", case, render(case, SIZE)[0])
    d = pydicom.dcmread(tmp_path / "slice.dcm")
    across, down = (np.array(d.ImageOrientationPatient[i : i + 3], float) for i in (0, 3))
    for row, column in ((0, 0), (0, 63), (40, 7)):
        place = (
            np.array(d.ImagePositionPatient, float)
            + across * column * d.PixelSpacing[1]
            + down * row * d.PixelSpacing[0]
        )
        there = [float(np.broadcast_to(a, grid.shape)[row, column]) for a in (grid.x, grid.y, grid.z)]
        assert place == pytest.approx(there, abs=0.02)
    assert across[{"axial": 0, "coronal": 0, "sagittal": 1}[plane]] > 0.99
    assert down[{"axial": 1, "coronal": 2, "sagittal": 2}[plane]] * (1 if plane == "axial" else -1) > 0.99


def test_a_series_is_a_stack_in_hounsfield_units(cohort: Cohort) -> None:
    import pydicom

    folder, cases = cohort
    case, p = next((c, p) for c, p in pictures(cases) if p.kind == "series")
    slices = [pydicom.dcmread(f) for f in sorted((folder / p.path).iterdir())]
    assert len(slices) == p.size[2]
    assert len({d.SOPInstanceUID for d in slices}) == len(slices)
    assert len({d.SeriesInstanceUID for d in slices}) == 1
    heights = np.diff([float(d.ImagePositionPatient[2]) for d in slices])
    assert heights == pytest.approx(np.full(len(heights), p.spacing[2]), rel=1e-3)
    volume = load(reference(folder, p)).array
    assert volume[0, 0, 0] == pytest.approx(-1000, abs=60)  # air
    assert volume.max() > 400  # skull
    assert np.abs(volume - ras(render(replace(case, pictures=()), SIZE)[0].pixels)).max() <= 0.51


def ras(patient: np.ndarray) -> np.ndarray:
    return patient[::-1, ::-1, :]


def test_nifti_affine_and_spacing(cohort: Cohort) -> None:
    import nibabel

    folder, cases = cohort
    volumes = [(c, p) for c, p in pictures(cases) if p.path.endswith(".nii.gz")]
    assert len(volumes) >= 4
    for case, p in volumes:
        image = nibabel.load(folder / p.path)
        assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
        assert image.header.get_zooms() == pytest.approx(p.spacing, rel=1e-4)
        assert len({round(s, 3) for s in p.spacing}) > 1, "anisotropic"
        loaded = load(reference(folder, p))
        expected = ras(render(case, SIZE)[0].pixels)
        scale = 1 if case.modality == "CT" else 1000
        assert np.abs(loaded.array / scale - expected).max() < 0.51 / scale + 1e-6
        middle = (np.array(image.shape) - 1) / 2
        assert np.abs((image.affine @ [*middle, 1])[:2]).max() < 6  # the patient's middle is near the origin


def test_displayed_greys_are_what_was_rendered(cohort: Cohort) -> None:
    folder, cases = cohort
    formats = set()
    for case, p in pictures(cases):
        if p.kind == "2d" and case.modality != "MRI":
            r = next(r for r in render(case, SIZE) if r.view == p.view)
            shown = load(reference(folder, p)).array.astype(int)
            assert np.abs(shown - grey8(r)).max() <= 2, p.path
            formats.add((case.modality, Path(p.path).suffix))
    assert {("X-ray", ".dcm"), ("X-ray", ".png"), ("CT", ".dcm")} <= formats


# -- truth -------------------------------------------------------------------------------------------------------------


def test_every_finding_is_seen_and_boxed(cohort: Cohort) -> None:
    _, cases = cohort
    for case in cases:
        assert {f.name for f in case.findings} == {n for p in case.pictures for n in p.visible}
        for p in case.pictures:
            for name in p.visible:
                assert p.boxes[name]
            if case.kind != "2d" or case.modality in ("CT", "MRI", "Ultrasound"):
                assert set(p.visible) == {f.name for f in case.findings}, "a slice is cut through its lesions"


@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_no_finding_of_a_cohort_is_invisible(difficulty: float) -> None:
    for case in sample_cohort(5, 90, SIZE, difficulty):
        drawn = {n for r in render(case, SIZE) for n, masks in r.findings.items() if any(m.sum() >= 3 for m in masks)}
        assert drawn == {f.name for f in case.findings}, case.id


def test_boxes_lie_inside(cohort: Cohort) -> None:
    _, cases = cohort
    for _, p in pictures(cases):
        height, width = (p.size[1], p.size[0]) if p.kind != "2d" else p.size
        for name, boxes in p.boxes.items():
            for x0, y0, x1, y1 in boxes:
                assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height, (p.path, name)


def test_sides_agree_with_boxes(cohort: Cohort) -> None:
    """Radiological display: the patient's left is on the viewer's right."""
    _, cases = cohort
    checked = 0
    for case, p in pictures(cases):
        width = p.size[0] if p.kind != "2d" else p.size[1]
        for f in case.findings:
            if f.name not in p.visible or f.side not in ("left", "right") or not shows_sides(case, p):
                continue
            if f.organ in ("superior vena cava",):  # a line comes from its side and ends in the middle
                continue
            for x0, _, x1, _ in p.boxes[f.name]:
                assert ((x0 + x1) / 2 > width / 2) == (f.side == "left"), (p.path, f.name, f.side)
                checked += 1
    assert checked > 25


def test_breasts_are_apart(cohort: Cohort) -> None:
    _, cases = cohort
    for case in (c for c in cases if c.region == "breast"):
        assert [p.view for p in case.pictures] == ["R CC", "L CC", "R MLO", "L MLO"]
        sides = {f.name: f.side[0].upper() for f in case.findings}
        for p in case.pictures:
            assert set(p.visible) == {n for n, side in sides.items() if side == p.view[0]}
            _, _, x1, _ = p.boxes["breast"][0]
            assert (x1 == p.size[1]) == (p.view[0] == "R"), "the chest walls face each other"


def test_lungs_and_heart_lie_where_they_should(cohort: Cohort) -> None:
    _, cases = cohort
    for case, p in pictures(cases):
        if (case.modality, case.region, p.view) == ("X-ray", "chest", "PA"):
            left, right = p.boxes["left lung"][0], p.boxes["right lung"][0]
            assert left[0] > right[0] and left[2] > right[2]
            assert set(ANATOMY["X-ray", "chest"]) <= set(p.boxes)
            assert {"left lung", "right lung", "heart"} == set(p.masks)


def test_masks_agree_with_boxes(cohort: Cohort) -> None:
    folder, cases = cohort
    checked: Counter[str] = Counter()
    for _, p in pictures(cases):
        for path, values in ((p.labels, p.masks), (p.finding_labels, p.finding_masks)):
            for name, value in values.items():
                mask = load_mask(Mask(image=reference(folder, p, path), values=(value,)))
                assert mask.shape == p.size
                found = box_of(ras(mask) if mask.ndim == 3 else mask)
                boxes = np.array(p.boxes.get(name, ()))
                if not len(boxes):
                    continue
                whole = (boxes[:, 0].min(), boxes[:, 1].min(), boxes[:, 2].max(), boxes[:, 3].max())
                assert found is not None and whole[0] <= found[0] and whole[3] >= found[3]
                if path == p.labels:
                    assert found == whole, (p.path, name)
                checked[name] += found == whole
    assert {"left lung", "heart", "liver", "kidney", "spleen", "pancreas", "thyroid", "brain", "ventricles"} <= set(
        checked
    )


def test_masks_are_anatomy(cohort: Cohort) -> None:
    """CT values under the masks are those of the organ."""
    folder, cases = cohort
    expected = {
        "left lung": (-960, -500),
        "liver": (30, 140),
        "thyroid": (60, 260),
        "brain": (10, 60),
        "spleen": (10, 190),
    }
    seen = set()
    for case, p in pictures(cases):
        if case.modality == "CT" and p.kind != "2d":
            hu = load(reference(folder, p)).array
            for name, (low, high) in expected.items():
                if name in p.masks:
                    mask = load_mask(Mask(image=reference(folder, p, p.labels), values=(p.masks[name],)))
                    assert low < np.median(hu[mask]) < high, (p.path, name)
                    seen.add(name)
    assert {"liver", "thyroid", "brain"} <= seen


ROUND = {
    "lung nodule", "liver lesion", "liver cyst", "pancreatic cyst", "thyroid nodule", "thyroid cyst", "brain tumor",
    "breast mass", "intracerebral hemorrhage",
    "liver metastasis", "hypermetabolic lymph node", "adrenal metastasis", "extravasation",
    "focal asymmetry", "aneurysm", "gallstone", "infarct", "meningioma",
}  # fmt: skip


def test_sizes_agree_with_masks() -> None:
    checked = 0
    for case in sample_cohort(2, 120):
        for r in render(case, 128):
            for f in case.findings:
                if f.name not in ROUND or f.name not in r.findings:
                    continue
                pixel = max(r.spacing)
                axis = slice_axis(case)
                seen = max(v for i, v in enumerate(f.radii) if i != axis) * 2
                spans = [np.ptp(np.argwhere(m), axis=0) + 1 for m in r.findings[f.name]]
                largest = max(float((s * np.array(r.spacing)).max()) for s in spans)
                assert abs(largest - seen) <= 2 * pixel + 0.12 * seen * (axis is not None), (
                    case.id,
                    f.name,
                    largest,
                    seen,
                )
                assert f.size_mm == pytest.approx(2 * max(f.radii), abs=0.2)
                checked += 1
    assert checked > 30


def test_count_is_the_number_of_boxes() -> None:
    for case in sample_cohort(2, 120, SIZE):
        for f in case.findings:
            if f.count > 1 and case.kind == "2d":
                r = render(case, SIZE)[0]
                assert len(r.findings[f.name]) == f.count, (case.id, f.name)


def test_what_is_asked_to_be_counted_stands_apart(tmp_path: Path) -> None:
    """The drawn lesions themselves: as many pieces as the answer, none touching another."""
    from scipy.ndimage import label

    asked = 0
    for case in sample_cohort(2, 120, SIZE):
        (tmp_path / case.id / "pictures").mkdir(parents=True)
        (tmp_path / case.id / "labels").mkdir()
        case = write_case(tmp_path / case.id, case, SIZE)
        for p in case.pictures if case.kind == "2d" else ():
            for question in questions(case, p):
                if question.kind != "count":
                    continue
                (f,) = (f for f in case.findings if WORDS[f.name].plural(0) in question.text)
                r = next(r for r in render(case, SIZE) if r.view == p.view)
                pieces = sum(label(np.pad(m, 1))[1] for m in r.findings[f.name])
                together = label(np.logical_or.reduce(r.findings[f.name]))[1]
                assert pieces == together == f.count == int(question.answer), (case.id, f.name, p.view)
                asked += f.count > 1
    assert asked > 3


def test_planted_findings_change_their_pixels() -> None:
    """Against the same case without them, at difficulty 0."""
    seen = set()
    for case in sample_cohort(1, 160, SIZE, 0.0):
        if len(case.findings) != 1 or case.kind != "2d" or (case.modality, case.findings[0].name) in seen:
            continue
        name, side = case.findings[0].name, case.findings[0].side
        without = replace(case, findings=())
        if case.modality == "angiography" and side != ("right", "left")[case.seed // 8 % 2]:
            continue  # without a finding the other side is injected
        if case.modality == "Ultrasound" and render(without, SIZE)[0].view != render(case, SIZE)[0].view:
            continue
        for r, plain in zip(render(case, SIZE), render(without, SIZE), strict=True):
            for mask in r.findings.get(name, ()):
                here = np.abs(grey8(r).astype(float) - grey8(replace_window(plain, r)))[mask].mean()
                assert here > 2.5, (case.id, case.modality, name, r.view, here)
                seen.add((case.modality, name))
    assert len(seen) > 30


def replace_window(plain: object, r: object) -> object:
    plain.window = r.window  # type: ignore[attr-defined]
    return plain


# -- hazards and the sheet ---------------------------------------------------------------------------------------------


def test_hazards_are_there_and_listed(hazardous: Cohort) -> None:
    import pydicom

    folder, cases = hazardous
    by_id = {c.id: c for c in cases}
    notes = {n["hazard"]: n for n in json.loads((folder / "hazards.json").read_text())}
    assert set(notes) == {
        "exact duplicate", "near duplicate", "patient in train and test", "unreadable file", "16-bit picture", "RGBA picture",
        "odd size", "MONOCHROME1", "burned-in text", "patient name in header",
    }  # fmt: skip
    first, second = (by_id[i] for i in notes["exact duplicate"]["cases"])
    a, b = (load(reference(folder, c.pictures[0])) for c in (first, second))
    assert a.sha256 == b.sha256 and first.patient != second.patient
    first, second = (by_id[i] for i in notes["near duplicate"]["cases"])
    a, b = (load(reference(folder, c.pictures[0])) for c in (first, second))
    assert a.sha256 != b.sha256 and float(a.vector(16) @ b.vector(16)) > 0.99
    first, second = (by_id[i] for i in notes["patient in train and test"]["cases"])
    assert first.patient == second.patient and first.id != second.id
    with pytest.raises(ImageError):
        load(reference(folder, by_id[notes["unreadable file"]["cases"][0]].pictures[0]))
    for hazard in ("16-bit picture", "RGBA picture", "odd size", "burned-in text", "MONOCHROME1"):
        p = by_id[notes[hazard]["cases"][0]].pictures[0]
        assert load(reference(folder, p)).size == p.size
    assert p.size[0] == p.size[1] and pydicom.dcmread(folder / p.path).PhotometricInterpretation == "MONOCHROME1"
    named = notes["patient name in header"]["pictures"][0]
    assert str(pydicom.dcmread(folder / named).PatientName) == "Phantom^Paula"


def test_contact_sheet(cohort: Cohort, tmp_path: Path) -> None:
    from PIL import Image as PIL

    contact_sheet(cohort[0], tmp_path / "sheet.png")
    with PIL.open(tmp_path / "sheet.png") as sheet:
        colours = np.asarray(sheet)
    assert colours.shape[1] == 8 * 176
    assert (colours == (255, 80, 80)).all(axis=2).sum() > 1000  # boxes
