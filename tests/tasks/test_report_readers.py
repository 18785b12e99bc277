"""Report datasets: made-up copies in every official layout, broken ones, and all of Open-i."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniatures.reports import MINIATURES
from radbench.tasks.readers.iu_xray import Kaggle, OpenI
from radbench.tasks.readers.mimic_cxr import CaptionList, Studies
from radbench.tasks.readers.mimic_multi_visit import SETTINGS, MultiVisit
from radbench.tasks.readers.mimic_tables import InStep, padded_time
from radbench.tasks.readers.private_reports import Reports
from radbench.tasks.readers.r2gen import MedDrMeta, R2Gen, cleaned, cluster_of
from radbench.tasks.readers.report_samples import context, report_targets, view_stratum
from radbench.tasks.readers.rexrank import MedEvalKit, ReXrank

from radbench.dataset import Reader
from radbench.errors import ConfigError, DataError
from radbench.records import Sample, Text

Build = Callable[[str], Path]
RESTRICTED = (
    "10000011",
    "50000101",
    "50000102",
    "superior vena cava",
    "No acute process",
    "chest-",
    "mammo-",
    "Density",
)


@pytest.fixture
def built(tmp_path: Path) -> Build:
    def build(name: str) -> Path:
        root = tmp_path / name.replace(":", "_")
        if not root.exists():
            MINIATURES[name](root)
        return root

    return build


def texts(sample: Sample) -> dict[str, str]:
    return {name: target.first for name, target in sample.targets.items() if isinstance(target, Text)}


def names(sample: Sample) -> list[str]:
    return [Path(i.path).name for i in sample.images]


def told(error: pytest.ExceptionInfo[DataError]) -> str:
    """The message, which shows nothing of restricted data."""
    message = str(error.value)
    assert not any(word in message for word in RESTRICTED), message
    return message


def ids(samples: Iterable[Sample]) -> list[str]:
    return [s.id for s in samples]


READERS: dict[str, tuple[str, Callable[[Path], Reader], dict[str, int]]] = {
    "findings": ("mimic-cxr", lambda r: Studies(r, section="findings"), {"train": 3, "val": 1, "test": 3}),
    "impression": ("mimic-cxr", lambda r: Studies(r, section="impression"), {"train": 2, "val": 1, "test": 5}),
    "target": ("mimic-cxr", Studies, {"train": 2, "val": 1, "test": 3}),
    "cxr-repair": ("mimic-cxr", lambda r: Studies(r, method="cxr-repair"), {"train": 2, "val": 0, "test": 3}),
    "images": ("mimic-cxr", lambda r: Studies(r, per="image"), {"train": 8, "val": 1, "test": 5}),
    "frontal": (
        "mimic-cxr",
        lambda r: Studies(r, section="findings", views="frontal"),
        {"train": 2, "val": 1, "test": 3},
    ),
    "sectioned": ("mimic-cxr:sectioned", lambda r: Studies(r, section="impression"), {"train": 2, "val": 1, "test": 5}),
    "visits": ("mimic-cxr", lambda r: MultiVisit(r, section="impression"), {"train": 1, "val": 0, "test": 3}),
    "visits-table": ("mimic-cxr:sectioned", lambda r: MultiVisit(r, setting="both"), {"train": 1, "val": 0, "test": 2}),
    "radfm": ("mimic-cxr:radfm", lambda r: CaptionList(r, lists=r / "lists"), {"train": 2, "test": 4}),
    "mimic-r2gen": ("mimic-cxr:r2gen", R2Gen, {"train": 3, "val": 1, "test": 6}),
    "mimic-rexrank": ("mimic-cxr:rexrank", lambda r: ReXrank(r, dataset="MIMICCXR", images=r), {"test": 3}),
    "openi": ("iu-xray:openi", OpenI, {"all": 4, "test": 4}),
    "openi-split": (
        "iu-xray:openi",
        lambda r: OpenI(r, split_ids=r / "split_ids.json"),
        {"train": 1, "val": 1, "test": 2},
    ),
    "openi-archive": ("iu-xray:openi-archive", lambda r: OpenI(r, section="findings"), {"all": 5}),
    "kaggle": ("iu-xray:kaggle", lambda r: Kaggle(r, section="impression"), {"all": 5}),
    "iu-r2gen": ("iu-xray:r2gen", R2Gen, {"train": 2, "val": 2, "test": 3}),
    "iu-r2gen-images": ("iu-xray:r2gen", lambda r: R2Gen(r, per="image"), {"train": 4, "val": 4, "test": 6}),
    "meddr": ("iu-xray:meddr", MedDrMeta, {"train": 0, "test": 6}),
    "iu-rexrank": ("iu-xray:rexrank", ReXrank, {"val": 2, "test": 2}),
    "medevalkit": ("iu-xray:medevalkit", MedEvalKit, {"test": 7}),
    "r2chest": ("r2chest", Reports, {"train": 3, "val": 2, "test": 3}),
    "r2mammo": ("r2mammo", Reports, {"train": 3, "val": 1, "test": 4}),
    "r2thyroid": ("r2thyroid", Reports, {"train": 3, "val": 1, "test": 4}),
}


@pytest.mark.parametrize("case", READERS)
def test_every_layout_reads_end_to_end(case: str, built: Build) -> None:
    name, make, counts = READERS[case]
    root = built(name)
    reader = make(root)
    for split, count in counts.items():
        samples = list(reader.samples(split))
        assert len(samples) == count, split
        assert len(set(ids(samples))) == count
        assert ids(make(root).samples(split)) == ids(samples)
        for sample in samples:
            assert sample.cluster
            assert texts(sample)["answer"] == " ".join(texts(sample)["answer"].split()) != ""
            assert {"context", "indication", "comparison", "history", "modality", "views"} <= sample.slots.keys()
            assert sample.strata["report_length"] == "1-25 words"
            for image in sample.images:
                assert image.load().size[0] > 0
    with pytest.raises(DataError, match=r"no split 'dev'|no list of study ids for split 'dev'"):
        list(reader.samples("dev"))
    assert reader.fingerprint() == make(root).fingerprint()


def test_every_miniature_is_read() -> None:
    assert {name for name, _, _ in READERS.values()} == set(MINIATURES)


# --- MIMIC-CXR ---


def test_a_mimic_study_in_full(built: Build) -> None:
    first = next(iter(Studies(built("mimic-cxr")).samples("test")))
    assert (first.id, first.cluster) == ("s50000101", "10000011")
    assert texts(first) == {
        "answer": "The lungs are clear. No effusion is seen. No acute process.",
        "findings": "The lungs are clear. No effusion is seen.",
        "impression": "No acute process.",
        "report": "The lungs are clear. No effusion is seen. No acute process.",
    }
    assert [i.view for i in first.images] == ["PA", "LATERAL"]  # the table has the lateral one first
    assert "/files/p10/p10000011/s50000101/" in first.images[0].path
    assert {i.study for i in first.images} == {"s50000101"}
    assert first.slots["context"] == (
        "Age:60-70.\nGender:M.\nIndication: ___ year old man with cough.\nComparison: None.\n"
    )
    assert (first.slots["age"], first.slots["gender"]) == (63, "M")
    assert first.strata == {"view": "frontal+lateral", "n_images": "2", "report_length": "1-25 words"}


def test_patients_that_are_not_in_the_table_have_no_age(built: Build) -> None:
    (only,) = Studies(built("mimic-cxr")).samples("val")
    assert not {"age", "gender"} & only.slots.keys()
    assert only.slots["context"] == ""
    assert texts(only)["answer"] == "Tubes as before. No change."  # a header that names the film, and a conclusion


def test_no_more_pictures_than_asked_for_and_frontal_ones_first(built: Build) -> None:
    root = built("mimic-cxr")
    study = {s.id: s for s in Studies(root).samples("train")}["s50000202"]
    assert [i.view for i in study.images] == ["PA", "PA", "PA", "LATERAL", "LATERAL"]
    one = {s.id: s for s in Studies(root, max_images=1).samples("train")}["s50000202"]
    assert one.images == study.images[:1]
    frontal = {s.id: s for s in Studies(root, section="findings", views="frontal").samples("train")}
    assert [i.view for i in frontal["s50000202"].images] == ["PA", "PA", "PA"]
    assert "s50000401" not in frontal  # a lateral picture is all it has


def test_one_sample_an_image(built: Build) -> None:
    samples = [s for s in Studies(built("mimic-cxr"), per="image").samples("train") if s.images[0].study == "s50000202"]
    assert len(samples) == 6
    assert all(s.id == Path(s.images[0].path).stem for s in samples)
    assert {s.strata["view"] for s in samples} == {"frontal", "lateral"}


def test_the_table_of_sections_gives_the_same_texts_in_the_same_order(built: Build) -> None:
    """The copy with the table is nested, has DICOM pictures, and its split table is out of order."""
    for section in ("findings", "impression", "target"):
        files, table = (
            {s.id: texts(s) for s in Studies(built(n), section=section).samples("test")}
            for n in ("mimic-cxr", "mimic-cxr:sectioned")
        )
        assert files == table
        assert list(files) == list(table)
    sample = next(iter(Studies(built("mimic-cxr:sectioned")).samples("test")))
    assert sample.images[0].path.endswith(".dcm")
    assert sample.slots["context"] == "Comparison: None.\n"


def test_reports_may_lie_elsewhere(built: Build, tmp_path: Path) -> None:
    root = built("mimic-cxr")
    expected = ids(Studies(root).samples("test"))
    (root / "mimic-cxr-reports").rename(tmp_path / "mimic-cxr-reports")
    assert ids(Studies(root).samples("test")) == expected  # beside the tree
    (tmp_path / "mimic-cxr-reports").rename(tmp_path / "texts")
    with pytest.raises(DataError, match=r"no reports; expected mimic-cxr-reports/files"):
        Studies(root)
    assert ids(Studies(root, reports=tmp_path / "texts").samples("test")) == expected
    assert ids(Studies(root, reports=tmp_path / "texts" / "files").samples("test")) == expected
    table = built("mimic-cxr:sectioned").rglob("mimic_cxr_sectioned.csv")
    assert ids(Studies(root, reports=next(table)).samples("test")) == expected
    assert ids(Studies(root / "files", reports=tmp_path / "texts").samples("test")) == expected


def test_the_fingerprint_follows_reports_tables_and_options(built: Build) -> None:
    root = built("mimic-cxr")
    options: tuple[dict[str, Any], ...] = ({}, {"section": "findings"}, {"method": "lenient"})
    prints = {Studies(root, **named).fingerprint() for named in options}
    with (root / "mimic-cxr-reports/files/p10/p10000011/s50000101.txt").open("a") as f:
        f.write(" Addendum.\n")
    prints.add(Studies(root).fingerprint())
    (root / "patients.csv.gz").unlink()
    prints.add(Studies(root).fingerprint())
    assert len(prints) == 5


def test_wrong_options_are_refused(built: Build) -> None:
    root = built("mimic-cxr")
    for options in ({"section": "finding"}, {"method": "mitt"}, {"per": "images"}, {"views": "lateral"}):
        with pytest.raises(ConfigError):
            Studies(root, **options)  # type: ignore[arg-type]
    for options in ({"setting": "prev"}, {"visits": 0}):  # type: ignore[dict-item]
        with pytest.raises(ConfigError):
            MultiVisit(root, **options)  # type: ignore[arg-type]


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    """Change a table, gzipped or not, and leave the change unpacked beside others."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    changed = change(text)
    assert changed != text
    path.write_bytes(gzip.compress(changed.encode()) if path.suffix == ".gz" else changed.encode())


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        (
            "split",
            "test",
            "evaluate",
            r"split\.csv\.gz, line 2: split is <str of length 8, not shown: credentialed data>",
        ),
        ("split", "10000011", "patient", r"split\.csv\.gz, line 2: an id is <str of length 7"),
        (
            "split",
            "dicom_id",
            "image",
            r"split\.csv\.gz, line 2: no column 'dicom_id' among its 4; it has image, study_id",
        ),
        ("metadata", "ViewPosition", "View", r"metadata\.csv\.gz, line 2: no column 'ViewPosition'"),
    ],
)
def test_broken_mimic_tables(built: Build, table: str, old: str, new: str, message: str) -> None:
    root = built("mimic-cxr")
    rewrite(root / f"mimic-cxr-2.0.0-{table}.csv.gz", lambda text: text.replace(old, new))
    with pytest.raises(DataError, match=message) as error:
        list(Studies(root).samples("test"))
    told(error)


def test_broken_patients_and_missing_reports(built: Build) -> None:
    root = built("mimic-cxr")
    rewrite(root / "patients.csv.gz", lambda text: text.replace("61", "sixty"))
    with pytest.raises(
        DataError, match=r"patients\.csv\.gz, line 2: anchor_age or anchor_year is not a number"
    ) as error:
        list(Studies(root).samples("test"))
    told(error)
    (root / "mimic-cxr-reports/files/p10/p10000011/s50000102.txt").unlink()
    (root / "patients.csv.gz").unlink()
    with pytest.raises(DataError, match=r"the report of the study in line 4 of the split table is missing") as error:
        list(Studies(root).samples("test"))
    told(error)
    assert len(list(Studies(root).samples("train"))) == 2
    base = next(built("mimic-cxr:sectioned").rglob("mimic_cxr_sectioned.csv"))
    rewrite(base, lambda text: text.replace("s50000102,", "s59999999,"))
    with pytest.raises(DataError, match=r"no row for the study in line \d+ of the split table") as error:
        list(Studies(built("mimic-cxr:sectioned")).samples("test"))
    told(error)


def test_a_folder_that_is_not_mimic(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected the MIMIC-CXR-JPG table mimic-cxr-2\.\*-split\.csv"):
        Studies(tmp_path)


def test_radfms_list(built: Build) -> None:
    root = built("mimic-cxr:radfm")
    reader = CaptionList(root, lists=root / "lists")
    first = next(iter(reader.samples("test")))
    assert (first.id, first.cluster) == ("test-2", "10000011")
    assert texts(first) == {"answer": "No acute process.", "report": "No acute process."}
    assert Path(first.images[0].path).is_file()
    assert not first.images[0].path.startswith("/mnt")
    (root / "lists" / "mimic_caption_train.csv").unlink()
    with pytest.raises(DataError, match=r"mimic_caption_train\.csv: not found"):
        list(reader.samples("train"))
    rewrite(root / "lists" / "mimic_caption_test.csv", lambda text: text.replace("label", "caption"))
    with pytest.raises(DataError, match=r"mimic_caption_test\.csv, line 2: no column 'label'") as error:
        list(reader.samples("test"))
    told(error)


# --- several visits ---


def test_the_four_settings_ask_the_same(built: Build) -> None:
    root = built("mimic-cxr")
    readers = {s: list(MultiVisit(root, setting=s, section="impression").samples("test")) for s in SETTINGS}  # type: ignore[arg-type]
    asked = [[(s.id, s.cluster, texts(s), s.strata) for s in samples] for samples in readers.values()]
    assert asked == asked[:1] * 4
    for setting, samples in readers.items():
        for sample in samples:
            prior = [i for i in sample.images if i.role == "prior"]
            assert bool(prior) == (setting in ("prev_images", "both"))
            assert bool(sample.slots["previous"]) == (setting in ("prev_reports", "both"))
            assert [i.role for i in sample.images] == sorted(i.role for i in sample.images)  # current, then prior
            assert all(i.days_before is None for i in sample.images if i.role == "current")


def test_visits_are_in_order_of_date_and_time(built: Build) -> None:
    """9:30 in the morning (93045.5 in the table) is before 10:15 (101500)."""
    samples = {s.id: s for s in MultiVisit(built("mimic-cxr"), setting="both", section="impression").samples("test")}
    assert list(samples) == ["s50000102", "s50000103", "s50000502"]
    second, third = samples["s50000102"], samples["s50000103"]
    assert second.slots["previous"] == "The lungs are clear. No effusion is seen. No acute process."
    assert [(i.study, i.role, i.days_before) for i in second.images] == [
        ("s50000102", "current", None), ("s50000101", "prior", 0), ("s50000101", "prior", 0),
    ]  # fmt: skip
    assert [i.view for i in second.images] == ["AP", "PA", "LATERAL"]
    assert [i.days_before for i in third.images if i.role == "prior"] == [10]
    assert (second.strata["n_previous"], third.strata["n_previous"]) == ("1", "2")


def test_more_visits_are_told_oldest_first(built: Build) -> None:
    reader = MultiVisit(built("mimic-cxr"), setting="both", section="impression", visits=5)
    third = {s.id: s for s in reader.samples("test")}["s50000103"]
    assert third.slots["previous"].splitlines() == [
        "The lungs are clear. No effusion is seen. No acute process.",
        "A right line ends in the superior vena cava. 1. Line in place. 2. No pneumothorax.",
    ]
    assert [i.study for i in third.images if i.role == "prior"] == ["s50000102", "s50000101", "s50000101"]


def test_the_order_needs_dates(built: Build) -> None:
    root = built("mimic-cxr")
    rewrite(root / "mimic-cxr-2.0.0-metadata.csv.gz", lambda text: text.replace("21500301", ""))
    with pytest.raises(DataError, match=r"no StudyDate YYYYMMDD for the study in line 2 of the split table") as error:
        list(MultiVisit(root).samples("test"))
    told(error)
    (root / "mimic-cxr-2.0.0-metadata.csv.gz").unlink()
    with pytest.raises(DataError, match=r"expected the table with StudyDate and StudyTime"):
        MultiVisit(root)
    assert next(iter(Studies(root).samples("test"))).strata["view"] == "unknown"  # single studies do without


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_study_times_sort_as_times(hour: int, minute: int, second: int, fraction: int) -> None:
    table = f"{hour * 10000 + minute * 100 + second}.{fraction:03d}"
    assert padded_time(table) == f"{hour:02d}{minute:02d}{second:02d}.{fraction:03d}"
    assert padded_time("") == ""


@given(st.lists(st.integers(0, 30), unique=True), st.randoms(use_true_random=False))
def test_a_second_table_in_any_order(keys: list[int], draw: Any) -> None:
    asked = [*keys, -1]
    draw.shuffle(asked)
    table = InStep(iter([(str(k), k * k) for k in keys]))
    assert [table.take(str(k)) for k in asked] == [None if k == -1 else k * k for k in asked]


# --- R2Gen, MedDr, ReXrank, MedEvalKit ---


def test_r2gen_items(built: Build) -> None:
    iu = next(iter(R2Gen(built("iu-xray:r2gen")).samples("test")))
    assert (iu.id, iu.cluster, names(iu)) == ("CXR1_IM-0001", "CXR1", ["0.png", "1.png"])
    assert texts(iu)["answer"] == "Heart size is normal. Lungs are clear."
    mimic = next(iter(R2Gen(built("mimic-cxr:r2gen")).samples("test")))
    assert mimic.cluster == "10000011"
    assert mimic.id == Path(mimic.images[0].path).stem
    assert texts(mimic)["answer"] == "The lungs are clear. No effusion is seen. 1. Stable. ____"
    clean = next(iter(R2Gen(built("mimic-cxr:r2gen"), clean=True).samples("test")))
    assert texts(clean)["answer"] == "the lungs are clear . no effusion is seen . stable . ."


def test_meddr_asks_about_single_pictures(built: Build) -> None:
    """Its released file and R2Gen's annotation, one sample an image, are the same samples."""
    ours, theirs = R2Gen(built("iu-xray:r2gen"), per="image"), MedDrMeta(built("iu-xray:meddr"))
    key = [(s.id, s.cluster, texts(s), s.strata) for s in ours.samples("test")]
    assert key == [(s.id, s.cluster, texts(s), s.strata) for s in theirs.samples("test")]
    assert key[1][:2] == ("CXR1_IM-0001-1", "CXR1")


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ("The lungs are clear.", "the lungs are clear ."),
        ("1. Normal heart. 2. Clear lungs. 3. No effusion.", "normal heart . clear lungs . no effusion ."),
        ("A\nB__ __C..  D", "a b c . d ."),
        ("Size 2.5 cm, well-aerated; right/left (both).", "size 25 cm well-aerated rightleft both ."),
        ("Seen at T11. No change", "seen at t11 . no change ."),
    ],
)
def test_r2gens_cleaning(report: str, expected: str) -> None:
    assert cleaned(report) == expected


@given(st.text(st.characters(codec="ascii"), max_size=80))
def test_cleaned_reports_are_lower_case_words(report: str) -> None:
    words = cleaned(report).split()
    assert words[-1] == "."
    assert not set("?!,;_%\"'/\\") & set("".join(words))
    assert "".join(words) == "".join(words).lower()


def test_clusters_of_study_names() -> None:
    assert cluster_of("CXR2384_IM-0942") == cluster_of("CXR2384_IM-0942-0001") == "CXR2384"
    assert cluster_of("study_7") == "study_7"


def test_rexrank_studies(built: Build) -> None:
    samples = {s.id: s for s in ReXrank(built("iu-xray:rexrank")).samples("test")}
    turned = samples["CXR11_IM-0011"]
    assert names(turned) == ["1.png", "0.png"]  # the key image, a frontal one, is the second of the list
    assert [i.view for i in turned.images] == ["Frontal", "Lateral"]
    assert texts(turned)["headed"] == "Findings: Left lower lobe opacity <3 cm. Impression: Pneumonia."
    assert texts(turned)["answer"] == "Left lower lobe opacity <3 cm. Pneumonia."
    assert turned.slots["context"] == "Indication: Dyspnea Comparison: None\n"
    root = built("mimic-cxr:rexrank")
    mimic = next(iter(ReXrank(root, dataset="MIMICCXR", images=root, section="impression").samples("test")))
    assert (mimic.id, mimic.cluster, texts(mimic)["answer"]) == ("50000101", "10000011", "No acute process.")
    assert mimic.images[0].view == "Frontal"
    assert mimic.images[0].path.startswith(f"{root}/files/p10/")


def test_medevalkits_reference_names_the_sections(built: Build) -> None:
    samples = {s.id: s for s in MedEvalKit(built("iu-xray:medevalkit")).samples("test")}
    assert texts(samples["CXR10_IM-0010"]) == {
        "answer": "Impression: No active disease.",
        "headed": "Impression: No active disease.",
        "impression": "No active disease.",
    }
    assert len(list(MedEvalKit(built("iu-xray:medevalkit"), section="findings").samples("test"))) == 6


REXRANK = "data/mimic-cxr/ReXRank_MIMICCXR_test.json"
BROKEN = [
    ("mimic-cxr:r2gen", '"report": "', '"report": 5, "was": "', r"item 1: report is <int, not shown"),
    ("mimic-cxr:r2gen", "image_path", "path", r"annotation\.json, line 1: no column 'image_path'"),
    ("mimic-cxr:r2gen", '"test": [', '"tests": [', r"annotation\.json: no key 'test'; it has train, val, tests"),
    ("mimic-cxr:r2gen", '"test": [{', '"test": [[', r"annotation\.json, test 1: not JSON"),
    (
        "mimic-cxr:rexrank",
        '"image_path": [',
        '"image_path": ["a",',
        r"item 1: image_path is <list of length 3, not shown",
    ),
    ("mimic-cxr:rexrank", "section_findings", "findings", r"MIMICCXR_test\.json, line 1: no column 'section_findings'"),
    ("mimic-cxr:rexrank", '"context": "', '"context": 1, "was": "', r"item 1: context is <int, not shown"),
    ("iu-xray:meddr", '"answer": "', '"answer": 1, "was": "', r"line 1: image 'images.*' or answer 1 is no text"),
    ("iu-xray:medevalkit", '"image": [', '"image": 3, "was": [', r"test\.json, item 1: image is 3, expected a list"),
]
BROKEN_READERS: dict[str, tuple[str, Callable[[Path], Reader]]] = {
    "mimic-cxr:r2gen": ("annotation.json", R2Gen),
    "mimic-cxr:rexrank": (REXRANK, lambda root: ReXrank(root, dataset="MIMICCXR")),
    "iu-xray:meddr": ("iu_mrg_meta.jsonl", MedDrMeta),
    "iu-xray:medevalkit": ("test.json", MedEvalKit),
}


@pytest.mark.parametrize(("name", "old", "new", "message"), BROKEN)
def test_broken_json(built: Build, name: str, old: str, new: str, message: str) -> None:
    root = built(name)
    file, make = BROKEN_READERS[name]
    rewrite(root / file, lambda text: text.replace(old, new))
    with pytest.raises(DataError, match=message) as error:
        list(make(root).samples("test"))
    told(error)


def test_two_annotations_in_a_folder_are_ambiguous(built: Build) -> None:
    root = built("iu-xray:r2gen")
    (root / "mimic_cxr").mkdir()
    (root / "mimic_cxr" / "annotation.json").write_text("{}")
    with pytest.raises(
        DataError, match=r"several annotation\.json: iu_xray/annotation\.json, mimic_cxr/annotation\.json"
    ):
        R2Gen(root)


# --- IU-Xray ---


def test_openi_reports(built: Build) -> None:
    root = built("iu-xray:openi")
    samples = {s.id: s for s in OpenI(root).samples("all")}
    assert list(samples) == ["CXR1", "CXR2", "CXR11", "CXR101"]
    first = samples["CXR1"]
    assert first.cluster == "CXR1"
    assert texts(first)["answer"] == "Heart size is normal. Lungs are clear. Normal chest x-XXXX."
    assert names(first) == ["CXR1_1_IM-0001-3001.png", "CXR1_1_IM-0001-4001.png"]
    assert first.slots["context"] == "Indication: Cough for XXXX days\nComparison: None.\n"
    assert texts(samples["CXR2"])["findings"] == "Mild cardiomegaly & tortuous aorta."
    assert len(samples["CXR11"].images) == 2  # of three
    assert "CXR12" in ids(OpenI(root, min_images=0).samples("all"))  # names no picture
    assert ids(OpenI(root, section="findings", both=True).samples("all")) == list(samples)


def test_the_archive_and_the_folder_are_the_same_reports(built: Build) -> None:
    folder, archive = (
        {s.id: texts(s) for s in OpenI(built(n)).samples("all")} for n in ("iu-xray:openi", "iu-xray:openi-archive")
    )
    assert folder == archive


def test_kaggle_takes_the_first_frontal_and_the_first_lateral_picture(built: Build) -> None:
    samples = {s.id: s for s in Kaggle(built("iu-xray:kaggle"), both=True).samples("all")}
    assert list(samples) == ["CXR1", "CXR2", "CXR11", "CXR101"]
    assert names(samples["CXR11"]) == ["11_IM-0067-1002.dcm.png", "11_IM-0067-1001.dcm.png"]
    assert [i.view for i in samples["CXR11"].images] == ["Frontal", "Lateral"]
    xml = {s.id: texts(s) for s in OpenI(built("iu-xray:openi")).samples("all")}
    assert {s.id: texts(s) for s in samples.values()} == xml


def test_openi_reads_no_appledouble_files(built: Build) -> None:
    root = built("iu-xray:openi")
    before = list(OpenI(root).samples("all")), OpenI(root).fingerprint()
    (root / "ecgen-radiology" / "._2.xml").write_bytes(b"\0\5\x16\7")
    assert (list(OpenI(root).samples("all")), OpenI(root).fingerprint()) == before
    path = built("iu-xray:openi-archive") / "NLMCXR_reports.tgz"
    packed = list(OpenI(path).samples("all"))
    with tarfile.open(path, "w:gz") as archive:
        archive.add(root / "ecgen-radiology", "ecgen-radiology")
    assert {s.id for s in OpenI(path).samples("all")} == {s.id for s in packed}


def test_broken_iu_copies(built: Build, tmp_path: Path) -> None:
    root = built("iu-xray:kaggle")
    rewrite(root / "indiana_projections.csv", lambda text: text.replace("Lateral", "Side", 1))
    with pytest.raises(DataError, match=r"indiana_projections\.csv, line 3: projection is 'Side', expected Frontal or"):
        list(Kaggle(root).samples("all"))
    root = built("iu-xray:openi")
    (root / "ecgen-radiology" / "2.xml").write_text("<eCitation><uId/>")
    with pytest.raises(DataError, match=r"ecgen-radiology, 2\.xml: not XML"):
        list(OpenI(root).samples("all"))
    (root / "ecgen-radiology" / "2.xml").write_text("<eCitation><uId/></eCitation>")
    with pytest.raises(DataError, match=r"2\.xml: no uId with an id"):
        list(OpenI(root).samples("all"))
    archive = built("iu-xray:openi-archive") / "NLMCXR_reports.tgz"
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(DataError, match=r"NLMCXR_reports\.tgz: cannot be read"):
        list(OpenI(archive.parent).samples("all"))
    with pytest.raises(DataError, match=r"expected ecgen-radiology/\*\.xml or the archive"):
        OpenI(tmp_path)
    (tmp_path / "ids.json").write_text('["CXR1"]')
    with pytest.raises(DataError, match=r"ids\.json: no list of study ids for split 'test'; it has list"):
        list(OpenI(built("iu-xray:openi-archive"), split_ids=tmp_path / "ids.json").samples("test"))


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"section": "findings", "min_images": 0}, 3425),
        ({"section": "impression", "min_images": 0}, 3921),
        ({"section": "report", "min_images": 0}, 3419),
        ({"section": "report"}, 3331),  # with a picture; MedInterp counts 3,323
    ],
)
def test_all_of_openi(shared: Path, options: dict[str, Any], count: int) -> None:
    samples = list(OpenI(shared / "openi_reports", **options).samples("all"))
    assert len(samples) == len(set(ids(samples))) == count


def test_r2gens_split_of_openi(shared: Path) -> None:
    folder = shared / "openi_reports"
    reader = OpenI(folder, section="findings", split_ids=folder / "r2gen_split_ids.json")
    found = {split: set(ids(reader.samples(split))) for split in ("train", "val", "test")}
    assert {split: len(reports) for split, reports in found.items()} == {"train": 2069, "val": 296, "test": 590}
    assert not found["test"] & (found["train"] | found["val"])


# --- private sets ---


def test_private_studies(built: Build) -> None:
    chest = {s.id: s for s in Reports(built("r2chest"), modality="Chest X-Ray").samples("test")}
    assert chest["chest-7"].cluster == "person-3"
    assert chest["chest-7"].slots["modality"] == "Chest X-Ray"
    assert texts(chest["chest-5"]) == dict.fromkeys(("answer", "findings", "report"), "Finding number 5.")
    assert "chest-5" not in ids(Reports(built("r2chest"), section="impression").samples("test"))
    mammo = next(iter(Reports(built("r2mammo")).samples("val")))
    assert [i.view for i in mammo.images] == ["L CC", "L MLO", "R CC", "R MLO"]
    assert mammo.cluster == "mammo-3"
    kinds = {s.id: s.images[0].kind for s in Reports(built("r2thyroid")).samples("test")}
    assert kinds == {"thyroid-4": "series", "thyroid-5": "volume", "thyroid-6": "series", "thyroid-7": "volume"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",test,", ",exam,", r"reports\.csv, line 6: split is <str of length 4, not shown: private data>, expected train"),
        ("mammo-1,", "mammo-0,", r"reports\.csv, line 3: study_id is <str of length 7.* an id that stands in no earlier line"),
        ("L CC;L MLO;R CC;R MLO", "L CC;R CC", r"reports\.csv, line 2: views is <str of length 9.*expected 4 views"),
        ("findings", "report", r"reports\.csv, line 2: no column 'findings' among its 6; it has study_id, images, report"),
        ("0/L_CC.dcm;0/L_MLO.dcm;0/R_CC.dcm;0/R_MLO.dcm", " ; ", r"line 2: images is <str of length 3.*paths joined by ';'"),
    ],
)  # fmt: skip
def test_broken_private_tables(built: Build, old: str, new: str, message: str) -> None:
    root = built("r2mammo")
    rewrite(root / "reports.csv", lambda text: text.replace(old, new))
    with pytest.raises(DataError, match=message) as error:
        [list(Reports(root).samples(split)) for split in ("train", "test")]
    told(error)


# --- what all share ---


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(("findings", "impression", "report")))
def test_targets_are_what_is_there(findings: str, impression: str, section: str) -> None:
    targets = report_targets(findings, impression, section)
    has = {"findings": bool(findings.split()), "impression": bool(impression.split())}
    has["report"] = all(has.values())
    if not has[section]:
        assert targets is None
        return
    assert targets is not None
    assert targets["answer"] == targets[section]
    assert targets.keys() - {"answer"} == {name for name, there in has.items() if there}


def test_the_context_says_only_what_is_known() -> None:
    assert context() == ""
    assert context(" Cough\n for days. ", "") == "Indication: Cough for days.\n"
    assert context("a", "b", 60, "F") == "Age:60-70.\nGender:F.\nIndication: a\nComparison: b\n"
    assert context(age=0) == "Age:0-10.\n"


def test_views() -> None:
    assert view_stratum(("AP AXIAL", "LL")) == "frontal+lateral"
    assert view_stratum(("PA", "AP")) == "frontal"
    assert view_stratum((None, "", "SWIMMERS")) == "unknown"


def test_meddrs_file_may_hold_other_splits(built: Build) -> None:
    root = built("iu-xray:meddr")
    lines = [json.loads(line) for line in (root / "iu_mrg_meta.jsonl").read_text().splitlines()]
    lines[0]["split"] = "train"
    (root / "iu_mrg_meta.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert (len(list(MedDrMeta(root).samples("train"))), len(list(MedDrMeta(root).samples("test")))) == (1, 5)
