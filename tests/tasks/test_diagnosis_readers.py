"""The diagnosis sets on made-up copies of their official layouts, and RadBench's balanced yes/no questions made from them."""

from __future__ import annotations

import datetime
import random
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniatures.diagnosis import ABNORMALITIES, MINIATURES, table
from radbench.tasks.readers import cxr_members, split_rules
from radbench.tasks.readers.cxr_mix import MEMBERS, CxrMix
from radbench.tasks.readers.openi_headings import OpenIHeadings
from radbench.tasks.readers.radchest_ct import RadChestCT
from radbench.tasks.readers.radfm_diagnosis import BalancedList
from radbench.tasks.readers.vindr_cxr import LABELS as CXR_LABELS
from radbench.tasks.readers.vindr_cxr import VinDrCxr
from radbench.tasks.readers.vindr_mammo import VinDrMammo, _categories
from radbench.tasks.readers.vindr_pcxr import LABELS as PCXR_LABELS
from radbench.tasks.readers.vindr_pcxr import VinDrPCXR
from radbench.tasks.readers.vindr_spinexr import FREQUENT, VinDrSpineXR
from radbench.tasks.readers.yes_no import NO_DISEASE, OTHERS, BalancedQuestions, readable

from radbench.dataset import Reader
from radbench.errors import ConfigError, DataError
from radbench.images.windows import PRESETS
from radbench.records import Box, Boxes, Image, Labels, Sample

_HERE = "radbench.tasks.readers"
_LABELS = "Abnormality_and_Location_Labels.csv"
# miniature, reader, samples by split
READERS: list[tuple[str, Callable[[Path], Reader], dict[str, int]]] = [
    ("vindr-mammo", VinDrMammo, {"train": 8, "test": 8}),
    ("vindr-spinexr", VinDrSpineXR, {"train": 8, "test": 6}),
    ("vindr-spinexr:annotation", VinDrSpineXR, {"train": 8, "test": 6}),
    ("vindr-pcxr", VinDrPCXR, {"train": 15, "test": 8}),
    ("vindr-cxr", VinDrCxr, {"train": 6, "test": 6}),
    ("radchest-ct", RadChestCT, {"train": 5, "val": 3, "test": 6}),
    ("radchest-ct:no-metadata", RadChestCT, {"train": 5, "val": 3, "test": 6}),
    ("covidx-cxr2", cxr_members.CovidxCxr2, {"train": 8, "val": 4, "test": 6}),
    ("object-cxr", cxr_members.ObjectCxr, {"train": 8, "val": 6}),
]
# sets that are split here by a hash: samples altogether
HASHED: list[tuple[str, Callable[..., Reader], int]] = [
    ("nlm-tb", cxr_members.NlmTb, 40),
    ("rsna", cxr_members.RsnaPneumonia, 20),
    ("siim-acr", cxr_members.SiimAcr, 20),
    ("openi:headings", OpenIHeadings, 40),
]


def built(tmp_path: Path, name: str) -> Path:
    MINIATURES[name](tmp_path)
    return tmp_path


def read(reader: Reader, split: str = "test") -> dict[str, Sample]:
    samples = list(reader.samples(split))
    by_id = {s.id: s for s in samples}
    assert len(by_id) == len(samples), "ids are unique"
    return by_id


def names(sample: Sample, target: str = "answer") -> tuple[str, ...]:
    found = sample.targets[target]
    assert isinstance(found, Labels)
    return found.names


def boxes(sample: Sample) -> tuple[Box, ...]:
    found = sample.targets["boxes"]
    assert isinstance(found, Boxes)
    return found.boxes


# --- every reader ---


@pytest.mark.parametrize(("name", "reader", "counts"), READERS, ids=[r[0] for r in READERS])
def test_a_miniature_reads_end_to_end(
    name: str, reader: Callable[[Path], Reader], counts: dict[str, int], tmp_path: Path
) -> None:
    opened = reader(built(tmp_path, name))
    seen: set[str] = set()
    for split, count in counts.items():
        samples = read(opened, split)
        assert len(samples) == count
        assert not seen & set(samples)
        seen |= set(samples)
        for sample in samples.values():
            assert sample.cluster
            assert set(names(sample)) <= set(sample.choices)
            assert sample.images[0].load().array.size
    with pytest.raises(DataError, match=r"has no split 'dev' but train"):
        list(opened.samples("dev"))
    assert opened.fingerprint() == reader(tmp_path).fingerprint()


@pytest.mark.parametrize(("name", "reader", "count"), HASHED, ids=[r[0] for r in HASHED])
def test_a_set_without_a_test_split_is_split_by_hash(
    name: str, reader: Callable[..., Reader], count: int, tmp_path: Path
) -> None:
    opened = reader(built(tmp_path, name), test_share=0.4)
    train, test = read(opened, "train"), read(opened, "test")
    assert train
    assert test
    assert len(train) + len(test) == count
    assert not {s.cluster for s in train.values()} & {s.cluster for s in test.values()}
    assert {bool(names(s)) for s in test.values()} == {True, False}
    assert all(s.images[0].load().array.ndim == 2 for s in test.values())
    assert len(read(reader(tmp_path, test_share=0.0), "train")) == count
    with pytest.raises(DataError, match="has no split 'val'"):
        list(opened.samples("val"))
    assert opened.fingerprint() != reader(tmp_path, test_share=0.5).fingerprint()


# --- VinDr ---


def test_vindr_mammo_a_finding_of_two_categories_gives_two_boxes(tmp_path: Path) -> None:
    test = read(VinDrMammo(built(tmp_path, "vindr-mammo")))
    first = test["image08"]
    assert (first.cluster, names(first)) == ("study2", ("Mass", "Skin Retraction"))
    assert boxes(first) == (Box("Mass", 8.5, 2, 28.25, 30), Box("Skin Retraction", 8.5, 2, 28.25, 30))
    assert first.strata == {"view": "CC", "laterality": "L", "birads": "BI-RADS 4", "density": "DENSITY A"}
    assert first.images[0] == Image(str(tmp_path / "images" / "study2" / "image08.dicom"), view="CC", study="study2")
    assert names(test["image09"]) == ("Asymmetry", "Suspicious Lymph Node")
    assert len(boxes(test["image09"])) == 2
    assert (names(test["image10"]), boxes(test["image10"])) == (("No Finding",), ())


def test_vindr_mammo_labels_of_the_breast(tmp_path: Path) -> None:
    built(tmp_path, "vindr-mammo")
    test = read(VinDrMammo(tmp_path, labels="birads"))
    assert {names(s)[0] for s in test.values()} == {f"BI-RADS {i}" for i in range(1, 6)}
    assert test["image08"].choices == tuple(f"BI-RADS {i}" for i in range(1, 6))
    assert names(read(VinDrMammo(tmp_path, labels="density"))["image11"]) == ("DENSITY D",)
    with pytest.raises(ConfigError, match=r"labels 'birad'.*did you mean 'birads'"):
        VinDrMammo(tmp_path, labels="birad")


def test_vindr_spinexr_the_label_set_comes_from_the_files(tmp_path: Path) -> None:
    reader = VinDrSpineXR(built(tmp_path, "vindr-spinexr"))
    test = read(reader)
    choices = test["i8"].choices
    assert choices[0] == "No finding"
    assert len(choices) == 14
    assert "Spondylolysthesis" in choices  # misspelt in the data
    assert test["i8"].cluster == test["i9"].cluster == "s4"
    assert names(test["i8"]) == ("Enthesophytes", "Subchondral sclerosis")
    assert boxes(test["i8"]) == (
        Box("Subchondral sclerosis", 8.6, 10, 17.5, 20.25),
        Box("Enthesophytes", 15.6, 10, 24.5, 20.25),
    )
    assert (names(test["i11"]), boxes(test["i11"]), test["i11"].strata) == (("No finding",), (), {"findings": "none"})
    assert test["i8"].images[0].path == str(tmp_path / "test_images" / "i8.dicom")


def test_vindr_spinexr_frequent_labels_fold_the_rare_ones(tmp_path: Path) -> None:
    test = read(VinDrSpineXR(built(tmp_path, "vindr-spinexr"), labels="frequent"))
    assert test["i8"].choices == FREQUENT
    assert names(test["i8"]) == ("Other lesions",)
    assert {b.label for s in test.values() for b in boxes(s)} <= set(FREQUENT)
    with pytest.raises(ConfigError, match="expected 'file' or 'frequent'"):
        VinDrSpineXR(tmp_path, labels="13")


def test_vindr_pcxr_columns_by_name_floats_and_no_rad_id_in_test(tmp_path: Path) -> None:
    reader = VinDrPCXR(built(tmp_path, "vindr-pcxr"))
    train, test = read(reader, "train"), read(reader)
    assert [names(train[f"p{n}"])[0] for n in (0, 2, 14)] == ["No finding", "Brocho-pneumonia", "Lung tumor"]
    assert {name for s in train.values() for name in names(s)} == set(PCXR_LABELS)
    assert names(test["p16"]) == ("Bronchitis", "Pneumonia")
    assert boxes(test["p16"]) == (Box("Consolidation", 3, 4, 10.5, 11.5),)
    assert (boxes(test["p15"]), test["p15"].strata, test["p15"].cluster) == ((), {"findings": "none"}, "p15")
    (tmp_path / "annotations_test.csv").unlink()
    assert set(read(reader)["p16"].targets) == {"answer"}


def test_vindr_cxr_train_labels_are_the_majority_of_three_readers(tmp_path: Path) -> None:
    reader = VinDrCxr(built(tmp_path, "vindr-cxr"))
    train, test = read(reader, "train"), read(reader)
    assert names(train["c0"]) == ("Aortic enlargement", "Edema")
    assert boxes(train["c0"]) == (Box("Aortic enlargement", 1, 2, 11, 12), Box("Aortic enlargement", 1, 2, 12, 13))
    assert names(train["c5"]) == ()  # three readers, three opinions
    assert names(test["c8"]) == ("Other diseases",)  # the column is called "Other disease"
    assert (names(test["c7"]), len(boxes(test["c7"]))) == (("Cardiomegaly", "Pleural effusion"), 2)
    assert test["c7"].choices == CXR_LABELS


@given(st.lists(st.lists(st.sampled_from(CXR_LABELS), unique=True), min_size=1, max_size=5))
def test_a_label_counts_exactly_where_more_than_half_of_the_readers_give_it(
    tmp_path_factory: pytest.TempPathFactory, readings: list[list[str]]
) -> None:
    root = tmp_path_factory.mktemp("votes")
    rows = [f"x,R{i},{','.join('01'[name in said] for name in CXR_LABELS)}" for i, said in enumerate(readings)]
    table(root / "image_labels_train.csv", f"image_id,rad_id,{','.join(CXR_LABELS)}", rows)
    (only,) = VinDrCxr(root).samples("train")
    counts = Counter(name for said in readings for name in said)
    assert set(names(only)) == {name for name, n in counts.items() if n > len(readings) / 2}


@pytest.mark.parametrize("nested", ["1.0.0", "physionet.org/files/vindr-pcxr/1.0.0"])
def test_vindr_folders_may_nest_as_downloaded(nested: str, tmp_path: Path) -> None:
    built(tmp_path / nested, "vindr-pcxr")
    sample = read(VinDrPCXR(tmp_path))["p16"]
    assert sample.images[0].path == str(tmp_path / nested / "test" / "p16.dicom")


def test_vindr_pictures_may_lie_elsewhere_and_in_another_format(tmp_path: Path) -> None:
    built(tmp_path / "tables", "vindr-pcxr")
    reader = VinDrPCXR(tmp_path / "tables", images=tmp_path / "converted", suffix=".png")
    assert read(reader)["p16"].images[0].path == str(tmp_path / "converted" / "test" / "p16.png")


@pytest.mark.parametrize(
    ("name", "reader"),
    [("vindr-cxr", VinDrCxr), ("vindr-pcxr", VinDrPCXR), ("vindr-mammo", VinDrMammo), ("vindr-spinexr", VinDrSpineXR)],
)
def test_vindr_pictures_may_be_called_dcm(name: str, reader: Callable[[Path], Reader], tmp_path: Path) -> None:
    built(tmp_path, name)
    for path in tmp_path.rglob("*.dicom"):
        path.rename(path.with_suffix(".dcm"))
    assert all(Path(s.images[0].path).is_file() for s in reader(tmp_path).samples("test"))


def spoilt(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8-sig")
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "reader", "file", "old", "new", "message"),
    [
        ("vindr-mammo", VinDrMammo, "breast-level_annotations.csv", "BI-RADS 4,DENSITY A", "SECRET,DENSITY A", "line 10: breast"),
        ("vindr-mammo", VinDrMammo, "breast-level_annotations.csv", "test", "SECRET", r"line 10: split is"),
        ("vindr-mammo", VinDrMammo, "breast-level_annotations.csv", "image08", "SECRET", r"line 10: its image has no row in"),
        ("vindr-mammo", VinDrMammo, "finding_annotations.csv", "['Mass']", "['SECRET']", r"line 2: finding_categories is"),
        ("vindr-mammo", VinDrMammo, "finding_annotations.csv", "['Mass']", "[SECRET", r"line 2: finding_categories is"),
        ("vindr-mammo", VinDrMammo, "finding_annotations.csv", "20.25", "SECRET", r"line 2: xmin, ymin, xmax, ymax are not"),
        ("vindr-mammo", VinDrMammo, "finding_annotations.csv", "finding_categories", "category", r"no column 'finding_cat"),
        ("vindr-spinexr", VinDrSpineXR, "annotations/test.csv", "8.6,10.0,17.5", "8.6,,17.5", r"line 2: .* are not four"),
        ("vindr-spinexr", VinDrSpineXR, "annotations/test.csv", "8.6,", "88.6,", r"line 2: .* a minimum exceeds"),
        ("vindr-spinexr", VinDrSpineXR, "annotations/test.csv", "lesion_type", "label", r"no column 'lesion_type'"),
        ("vindr-pcxr", VinDrPCXR, "image_labels_test.csv", "p15,1", "p15,SECRET", r"line 2: column 'No finding' holds"),
        ("vindr-pcxr", VinDrPCXR, "image_labels_test.csv", "CPAM", "CCAM", r"image_labels_test\.csv: no column 'CPAM'"),
        ("vindr-cxr", VinDrCxr, "annotations/image_labels_test.csv", "c6,0", "c6,-1", r"line 2: column 'Aortic enlargement'"),
        ("radchest-ct", RadChestCT, f"imgtest_{_LABELS}", "tst00000,0", "tst00000,SECRET", "line 2: a column of 'air"),
        ("radchest-ct", RadChestCT, f"imgtest_{_LABELS}", "tst00001", "SECRET", r"line 3: NoteAcc_DEID is"),
    ],
)  # fmt: skip
def test_broken_tables_of_restricted_sets_give_one_error_without_their_values(
    name: str, reader: Callable[[Path], Reader], file: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    built(tmp_path, name)
    spoilt(tmp_path / file, old, new)
    with pytest.raises(DataError, match=message) as caught:
        list(reader(tmp_path).samples("test"))
    assert str(tmp_path) in str(caught.value)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "reader", "file"),
    [
        ("vindr-mammo", VinDrMammo, "finding_annotations.csv"),
        ("vindr-spinexr", VinDrSpineXR, "annotations/test.csv"),
        ("vindr-pcxr", VinDrPCXR, "image_labels_test.csv"),
        ("vindr-cxr", VinDrCxr, "annotations/image_labels_test.csv"),
        ("radchest-ct", RadChestCT, "imgtest_Abnormality_and_Location_Labels.csv"),
        ("covidx-cxr2", cxr_members.CovidxCxr2, "test.txt"),
    ],
)
def test_a_missing_table_matters_only_to_its_split(
    name: str, reader: Callable[[Path], Reader], file: str, tmp_path: Path
) -> None:
    built(tmp_path, name)
    (tmp_path / file).unlink()
    with pytest.raises(DataError, match=f"{Path(file).name}: not found"):
        list(reader(tmp_path).samples("test"))
    if name != "vindr-mammo":  # one table of findings for both
        assert read(reader(tmp_path), "train")


@given(st.text(max_size=40))
def test_any_text_for_finding_categories_is_names_or_one_error(text: str) -> None:
    try:
        assert _categories(text, Path("t.csv"), 2)
    except DataError as error:
        assert "t.csv, line 2" in str(error)


# --- RAD-ChestCT ---


def test_radchest_an_abnormality_is_present_where_any_location_is_marked(tmp_path: Path) -> None:
    test = read(RadChestCT(built(tmp_path, "radchest-ct"), window="mediastinum"))
    first = test["tst00001"]
    assert len(first.choices) == len(ABNORMALITIES) == 84
    assert "pleural effusion" in first.choices
    header, *rows = (tmp_path / "imgtest_Abnormality_and_Location_Labels.csv").read_text().splitlines()
    cells = dict(zip(header.split(","), rows[1].split(","), strict=True))
    marked = {c.partition("*")[0] for c, v in cells.items() if v == "1"}
    assert len(marked) == len(names(first)) == 9
    assert {ABNORMALITIES[first.choices.index(n)] for n in names(first)} == marked
    assert (names(test["tst00000"]), test["tst00000"].strata) == ((), {"findings": "none"})
    assert first.cluster == test["tst00000"].cluster == "mrntst0"
    assert test["tst00002"].cluster == "mrntst1"
    assert first.images[0] == Image(
        str(tmp_path / "tst00001.npz"), member="ct", kind="volume", axes="IPL", window="mediastinum"
    )


def test_radchest_volumes_turn_to_right_anterior_superior(tmp_path: Path) -> None:
    (sample, *_) = RadChestCT(built(tmp_path, "radchest-ct")).samples("test")
    with np.load(tmp_path / "tst00000.npz") as stored:
        turned = stored["ct"][::-1, ::-1, ::-1].transpose(2, 1, 0)
    picture = sample.images[0].load()
    assert picture.array.shape == (24, 20, 12)
    assert np.array_equal(picture.array, turned)
    assert "lung" in PRESETS


def test_radchest_without_metadata_a_scan_is_its_own_cluster_and_scans_may_lie_in_a_folder(tmp_path: Path) -> None:
    built(tmp_path, "radchest-ct:no-metadata")
    (tmp_path / "images").mkdir()
    for path in tmp_path.glob("*.npz"):
        path.rename(tmp_path / "images" / path.name)
    sample = read(RadChestCT(tmp_path))["tst00001"]
    assert sample.cluster == "tst00001"
    assert sample.images[0].load().array.ndim == 3
    with pytest.raises(ConfigError, match="unknown window 'lungs'"):
        RadChestCT(tmp_path, window="lungs")


# --- members of CXR-Mix ---


def test_members_read_their_own_peculiarities(tmp_path: Path) -> None:
    MINIATURES["cxr-mix"](tmp_path)
    covid = read(cxr_members.CovidxCxr2(tmp_path / "covidx-cxr2"))
    assert (names(covid["test1.png"]), covid["test1.png"].cluster) == (("COVID-19",), "test-0")
    assert covid["test 3.png"].images[0].path == str(tmp_path / "covidx-cxr2" / "test" / "test 3.png")
    assert (names(covid["test2.png"]), covid["test2.png"].strata) == ((), {"source": "cohen"})
    dev = read(cxr_members.ObjectCxr(tmp_path / "object-cxr"), "val")
    assert [names(s) for s in dev.values()][:2] == [(), ("foreign object",)]
    everything = {"test_share": 1.0}
    tuberculosis = read(cxr_members.NlmTb(tmp_path / "nlm-tb", test_share=1.0))
    assert names(tuberculosis["CHNCXR_0001_1"]) == ("tuberculosis",)
    assert names(tuberculosis["MCUCXR_0000_0"]) == ()
    assert Counter(s.strata["hospital"] for s in tuberculosis.values()) == {
        "MontgomerySet": 20,
        "ChinaSet_AllFiles": 20,
    }
    pneumonia = read(cxr_members.RsnaPneumonia(tmp_path / "rsna", **everything))
    assert names(pneumonia["patient3"]) == ("pneumonia",)
    assert boxes(pneumonia["patient3"]) == (Box("pneumonia", 10, 20, 15, 26.5), Box("pneumonia", 11, 20, 16, 26.5))
    assert (names(pneumonia["patient1"]), pneumonia["patient1"].strata) == ((), {"class": "Normal"})
    air = read(cxr_members.SiimAcr(tmp_path / "siim-acr", **everything))
    assert [names(air[f"1.2.276.{n}"]) for n in range(4)] == [(), ("pneumothorax",), (), ("pneumothorax",)]
    assert air["1.2.276.1"].images[0].path.endswith("1.9.1/1.8.1/1.2.276.1.dcm")
    hearts = read(OpenIHeadings(tmp_path / "openi", test_share=1.0))
    assert names(hearts["CXR1_IM-0001-1001"]) == ("cardiomegaly",)
    assert "CXR5_IM-0001-1001" not in hearts  # not indexed


@pytest.mark.parametrize(
    ("name", "reader", "file", "old", "new", "message"),
    [
        ("covidx-cxr2", cxr_members.CovidxCxr2, "test.txt", "positive", "maybe", r"test\.txt, line 2: expected 'patient_id"),
        ("covidx-cxr2", cxr_members.CovidxCxr2, "test.txt", " cohen", "", r"test\.txt, line 1: expected 'patient_id"),
        ("object-cxr", cxr_members.ObjectCxr, "dev.csv", "annotation", "shapes", r"dev\.csv, line 2: no column 'annotation'"),
        ("rsna", cxr_members.RsnaPneumonia, "stage_2_train_labels.csv", ",,,,0", ",,,,2", r"line 3: Target is '2'"),
        ("rsna", cxr_members.RsnaPneumonia, "stage_2_train_labels.csv", "11.0,20.0,5.0,6.5,1", ",,,,0", r"line 6: Target is '0'"),
        ("rsna", cxr_members.RsnaPneumonia, "stage_2_train_labels.csv", "10.0", "ten", r"line 2: x, y, width, height are not"),
        ("siim-acr", cxr_members.SiimAcr, "train-rle.csv", "900 4", "a mask", r"line 4: EncodedPixels is 'a mask'"),
        ("openi:headings", OpenIHeadings, "ecgen-radiology/3.xml", "</eCitation>", "", r"3\.xml: not XML"),
        ("openi:headings", OpenIHeadings, "ecgen-radiology/3.xml", "uId", "uid", r"3\.xml: no uId/@id"),
    ],
)  # fmt: skip
def test_broken_members_give_one_error(
    name: str, reader: Callable[[Path], Reader], file: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    built(tmp_path, name)
    spoilt(tmp_path / file, old, new)
    opened = reader(tmp_path)
    with pytest.raises(DataError, match=message):
        list(opened.samples("val" if name == "object-cxr" else "test"))


def test_a_tuberculosis_picture_must_tell_its_label(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="CXR_png: not found"):
        list(cxr_members.NlmTb(tmp_path).samples("test"))
    built(tmp_path, "nlm-tb")
    (tmp_path / "MontgomerySet" / "CXR_png" / "MCUCXR_0000_0.png").rename(
        tmp_path / "MontgomerySet" / "CXR_png" / "a.png"
    )
    with pytest.raises(DataError, match=r"a\.png: expected a name that ends in 0 or 1"):
        list(cxr_members.NlmTb(tmp_path).samples("test"))


def test_members_without_what_systems_leave_behind(tmp_path: Path) -> None:
    """AppleDouble files, suffixes in capitals, bytes that are no UTF-8."""
    built(tmp_path, "cxr-mix")
    tb, openi = tmp_path / "nlm-tb" / "MontgomerySet" / "CXR_png", tmp_path / "openi" / "ecgen-radiology"
    readers = [cxr_members.NlmTb(tmp_path / "nlm-tb", test_share=1.0), OpenIHeadings(tmp_path / "openi")]
    before = [(list(read(r)), r.fingerprint()) for r in readers]
    (tb / "._MCUCXR_0000_0.png").write_bytes(b"\0\5\x16\7")
    (openi / "._3.xml").write_bytes(b"\0\5\x16\7")
    readers = [cxr_members.NlmTb(tmp_path / "nlm-tb", test_share=1.0), OpenIHeadings(tmp_path / "openi")]
    assert [(list(read(r)), r.fingerprint()) for r in readers] == before
    (tb / "MCUCXR_0001_1.png").rename(tb / "MCUCXR_0001_1.PNG")
    assert set(read(cxr_members.NlmTb(tmp_path / "nlm-tb", test_share=1.0))) == set(before[0][0])
    (tmp_path / "covidx-cxr2" / "test.txt").write_bytes(b"p1 a\xff.png positive cohen\n")
    with pytest.raises(DataError, match=r"test\.txt: not UTF-8 \(byte 4\)"):
        list(cxr_members.CovidxCxr2(tmp_path / "covidx-cxr2").samples("test"))


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("covidx-cxr2", cxr_members.CovidxCxr2), ("nlm-tb", cxr_members.NlmTb), ("rsna", cxr_members.RsnaPneumonia),
        ("siim-acr", cxr_members.SiimAcr), ("object-cxr", cxr_members.ObjectCxr), ("radchest-ct", RadChestCT),
    ],
)  # fmt: skip
def test_a_folder_around_a_set_is_seen_through(name: str, reader: Callable[[Path], Reader], tmp_path: Path) -> None:
    built(tmp_path / "archive" / "set", name)
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "__MACOSX").mkdir()
    around, inside = reader(tmp_path), reader(tmp_path / "archive" / "set")
    assert list(around.samples("train")) == list(inside.samples("train"))
    assert around.fingerprint() == inside.fingerprint()


def test_openi_headings_on_the_real_reports(shared: Path, tmp_path: Path) -> None:
    with tarfile.open(shared / "openi_reports" / "NLMCXR_reports.tgz") as archive:
        archive.extractall(tmp_path, filter="data")
    reader = OpenIHeadings(tmp_path, test_share=1.0)
    by_study = {s.cluster: names(s) for s in reader.samples("test")}
    counts = Counter(name for labels in by_study.values() for name in labels)
    assert 300 < counts["cardiomegaly"] <= 375
    assert counts["pneumothorax"] >= 20
    assert sum(not labels for labels in by_study.values()) > 1300


# --- balanced questions ---


class Pool:
    """Samples of labels that a test makes up."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.all = tuple(samples)

    def samples(self, split: str) -> Iterator[Sample]:
        yield from self.all

    def fingerprint(self) -> str:
        return "pool"


LETTERS = ("A", "B", "C", "Other lesion", "No finding")


def labelled(name: str, present: Sequence[str], possible: Sequence[str] = LETTERS) -> Sample:
    return Sample(name, None, {"answer": Labels(tuple(present))}, (Image(f"{name}.png"),), choices=tuple(possible))


pools = st.lists(st.lists(st.sampled_from(LETTERS), unique=True), max_size=30).map(
    lambda rows: [labelled(f"i{n}", row) for n, row in enumerate(rows)]
)


def asked(samples: Sequence[Sample], seed: int = 0, per_image: int | None = None) -> list[Sample]:
    return list(BalancedQuestions(Path(), source=Pool(samples), seed=seed, per_image=per_image).samples("test"))


@given(pools, st.integers(0, 3), st.sampled_from([None, 1, 2]))
def test_every_disease_is_balanced_and_every_answer_true(
    samples: list[Sample], seed: int, per_image: int | None
) -> None:
    questions = asked(samples, seed, per_image)
    assert len({q.id for q in questions}) == len(questions)
    counts = Counter((q.slots["disease"], names(q)[0]) for q in questions)
    truth = {s.id: {readable(n) for n in names(s)} for s in samples}
    for disease in ("a", "b", "c"):
        assert counts[disease, "yes"] == counts[disease, "no"]
        positives = sum(disease in t for t in truth.values())
        if per_image is None:
            assert counts[disease, "yes"] == min(positives, len(samples) - positives)
    assert set(counts) <= {(d, a) for d in ("a", "b", "c") for a in ("yes", "no")}
    for q in questions:
        image, _, disease = q.id.partition("|")
        assert (names(q)[0] == "yes") == (disease in truth[image])
        assert (q.cluster, q.choices, q.strata["disease"]) == (image, ("yes", "no"), disease)
    if per_image is not None:
        assert max(Counter(q.images[0].path for q in questions).values(), default=0) <= per_image


@given(pools, st.randoms(use_true_random=False), st.sampled_from([None, 1]))
def test_the_draw_does_not_depend_on_the_order_of_the_file(
    samples: list[Sample], shuffler: random.Random, per_image: int | None
) -> None:
    shuffled = samples[:]
    shuffler.shuffle(shuffled)
    assert {q.id for q in asked(samples, 0, per_image)} == {q.id for q in asked(shuffled, 0, per_image)}


def test_the_seed_changes_the_draw_and_its_fingerprint() -> None:
    samples = [labelled(f"i{n}", ["A"] if n < 5 else []) for n in range(60)]
    drawn = [{q.id for q in asked(samples, seed) if names(q) == ("no",)} for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 5
    prints = [
        BalancedQuestions(Path(), source=Pool(samples), **options).fingerprint()  # type: ignore[arg-type]
        for options in ({}, {"seed": 1}, {"per_image": 2}, {"leave_out": ()})
    ]
    assert len(set(prints)) == 4


def test_what_is_uncertain_of_an_image_is_not_asked_of_it() -> None:
    uncertain = [labelled(f"u{n}", [], possible=("B",)) for n in range(10)]
    questions = asked([labelled("yes", ["A"]), labelled("no", []), *uncertain])
    assert {q.id for q in questions} == {"yes|a", "no|a"}


def test_questions_need_labels_choices_and_sensible_options() -> None:
    with pytest.raises(DataError, match="name the possible labels"):
        asked([labelled("x", ["A"])._replace(choices=())])
    with pytest.raises(DataError, match="need a reader of labels"):
        asked([labelled("x", ["A"])._replace(targets={})])
    with pytest.raises(ConfigError, match="per_image is 0"):
        asked([], per_image=0)
    with pytest.raises(ConfigError, match="'official' or 'released'"):
        BalancedQuestions(Path(), source=Pool([]), questions="own")


def test_names_in_questions_are_readable() -> None:
    assert readable("Pleural_Thickening") == "pleural thickening"
    assert readable("Brocho-pneumonia") == "bronchopneumonia"
    assert readable("CPAM") == "congenital pulmonary airway malformation"
    every = {*CXR_LABELS, *PCXR_LABELS, *ABNORMALITIES, "Spondylolysthesis", "COVID-19"}
    for name in every:
        once = readable(name)
        assert readable(once) == once
        assert "_" not in once
        assert once == once.lower() or once == "COVID-19"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("vindr-mammo", "vindr_mammo:VinDrMammo"),
        ("vindr-spinexr", "vindr_spinexr:VinDrSpineXR"),
        ("vindr-pcxr", "vindr_pcxr:VinDrPCXR"),
        ("vindr-cxr", "vindr_cxr:VinDrCxr"),
        ("radchest-ct", "radchest_ct:RadChestCT"),
    ],
)
def test_balanced_questions_from_every_reader(name: str, source: str, tmp_path: Path) -> None:
    reader = BalancedQuestions(built(tmp_path, name), source=f"{_HERE}.{source}")
    questions = read(reader)
    answers = Counter(names(q)[0] for q in questions.values())
    assert answers["yes"] == answers["no"] > 0
    diseases = {str(q.slots["disease"]) for q in questions.values()}
    assert not diseases & {*NO_DISEASE, *OTHERS}
    for q in list(questions.values())[:6]:
        assert q.images[0].load().array.size
    assert reader.fingerprint()


def test_a_question_on_a_mammogram_in_full(tmp_path: Path) -> None:
    reader = BalancedQuestions(built(tmp_path, "vindr-mammo"), source=f"{_HERE}.vindr_mammo:VinDrMammo")
    question = read(reader)["image08|mass"]
    assert question == Sample(
        id="image08|mass",
        cluster="study2",
        targets={"answer": Labels(("yes",))},
        images=(Image(str(tmp_path / "images" / "study2" / "image08.dicom"), view="CC", study="study2"),),
        slots={"disease": "mass"},
        choices=("yes", "no"),
        strata={"view": "CC", "laterality": "L", "birads": "BI-RADS 4", "density": "DENSITY A", "disease": "mass"},
    )


# --- RadFM's lists ---


@pytest.mark.parametrize("listed", ["pcxr_balance", "mammo_balance", "spinexr_balance", "chestxray_balance"])
def test_released_lists_find_the_pictures_of_the_sources(listed: str, tmp_path: Path) -> None:
    reader = BalancedList(built(tmp_path, "radfm-diagnosis"), table=listed)
    questions = read(reader)
    assert len(questions) == (17 if listed == "chestxray_balance" else 8)
    found = [q for q in questions.values() if Path(q.images[0].path).exists()]
    assert len(found) == (16 if listed == "chestxray_balance" else 8)
    assert found[0].images[0].load().array.size
    answers = Counter(names(q)[0] for q in found)
    assert answers["yes"] == answers["no"]
    assert read(BalancedList(tmp_path, table=f"{listed}_test.csv")) == questions
    with pytest.raises(DataError, match=f"'{listed}' has no split 'val'"):
        list(reader.samples("val"))


def test_a_row_of_the_released_chest_list(tmp_path: Path) -> None:
    built(tmp_path, "radfm-diagnosis")
    rows = list(BalancedList(tmp_path, table="chestxray_balance").samples("test"))
    third = rows[2]
    assert third == Sample(
        id="test-3|00000001_000.png|pleural effusion",
        cluster="00000001",
        targets={"answer": Labels(("yes",))},
        images=(Image(str(tmp_path / "nih" / "images_001" / "images" / "00000001_000.png")),),
        slots={"disease": "pleural effusion"},
        choices=("yes", "no"),
        strata={"disease": "pleural effusion"},
    )
    assert (rows[8].cluster, rows[8].images[0].path) == (
        "patient00000", str(tmp_path / "chexpert" / "train" / "patient00000" / "study1" / "view1_frontal.jpg"),
    )  # fmt: skip
    lost = rows[-1]  # kept, to count as a failed input
    assert lost.images[0].path == str(tmp_path / "00000099_000.png")
    train = list(BalancedList(tmp_path, table="chestxray_balance").samples("train"))
    assert len(train) == 8  # the newer list
    assert not {s.id for s in train} & {s.id for s in rows}
    assert all(Path(s.images[0].path).exists() for s in train)


def test_lists_may_lie_elsewhere_and_the_dispatch_reads_them(tmp_path: Path) -> None:
    built(tmp_path / "a", "radfm-diagnosis")
    shutil.move(tmp_path / "a" / "RadFM_data_csv", tmp_path / "lists")
    direct = BalancedList(tmp_path / "a", lists=tmp_path / "lists", table="pcxr_balance")
    dispatched = BalancedQuestions(
        tmp_path / "a", source=f"{_HERE}.vindr_pcxr:VinDrPCXR", questions="released", lists=tmp_path / "lists",
        table="pcxr_balance",
    )  # fmt: skip
    assert list(dispatched.samples("test")) == list(direct.samples("test"))
    assert dispatched.fingerprint() == direct.fingerprint()
    around = BalancedList(tmp_path / "a", lists=tmp_path / "b", table="pcxr_balance")
    shutil.copytree(tmp_path / "lists", tmp_path / "b" / "RadFM_data_csv-main")
    assert list(around.samples("test")) == list(direct.samples("test"))
    with pytest.raises(DataError, match=r"pcxr_balance_test\.csv: not found"):
        list(BalancedList(tmp_path / "a", table="pcxr_balance").samples("test"))


def test_faults_of_released_lists(tmp_path: Path) -> None:
    built(tmp_path, "radfm-diagnosis")
    listed = tmp_path / "RadFM_data_csv" / "pcxr_balance_test.csv"
    text = listed.read_text()
    listed.write_text(text.replace("mass,1", "mass,SECRET", 1))
    with pytest.raises(DataError, match=r"pcxr_balance_test\.csv, line 5: label is <str") as caught:
        list(BalancedList(tmp_path, table="pcxr_balance").samples("test"))
    assert "SECRET" not in str(caught.value)
    listed.write_text(text.replace("mass,1", ",1", 1))
    with pytest.raises(DataError, match=r"line 5: image_path or disease is empty"):
        list(BalancedList(tmp_path, table="pcxr_balance").samples("test"))
    listed.write_text(text.replace("/pcxr", "/elsewhere"))
    with pytest.raises(DataError, match=r"none of its 8 pictures lies below .*\n.*--data NAME=FOLDER"):
        list(BalancedList(tmp_path, table="pcxr_balance").samples("test"))


# --- CXR-Mix ---


def test_cxr_mix_is_balanced_within_every_member_and_disease(tmp_path: Path) -> None:
    reader = CxrMix(built(tmp_path, "cxr-mix"))
    for split in ("train", "test"):
        questions = read(reader, split)
        counts: dict[tuple[str, str], Counter[str]] = {}
        for q in questions.values():
            assert set(q.strata) == {"disease", "member"}
            assert q.id.startswith(f"{q.strata['member']}/")
            assert str(q.cluster).startswith(f"{q.strata['member']}/")
            assert q.access == ("credentialed" if q.strata["member"] == "vindr-cxr" else "open")
            counts.setdefault((q.strata["member"], q.strata["disease"]), Counter())[names(q)[0]] += 1
        assert all(c["yes"] == c["no"] for c in counts.values())
        assert {"covidx-cxr2", "object-cxr", "vindr-cxr"} <= {member for member, _ in counts}
    with pytest.raises(DataError, match="no split 'val' but train and test"):
        list(reader.samples("val"))


def test_cxr_mix_leaves_out_what_is_not_there(tmp_path: Path) -> None:
    MINIATURES["covidx-cxr2"](tmp_path / "covidx-cxr2")
    assert {q.strata["member"] for q in CxrMix(tmp_path).samples("test")} == {"covidx-cxr2"}
    with pytest.raises(DataError, match=r"no member of CXR-Mix lies here; expected a folder rsna, siim-acr"):
        list(CxrMix(tmp_path, members=("rsna", "siim-acr")).samples("test"))
    with pytest.raises(ConfigError, match=r"no member 'rnsa'.*'rsna'"):
        CxrMix(tmp_path, members=("rnsa",))
    assert CxrMix(tmp_path).fingerprint() != CxrMix(tmp_path, seed=1).fingerprint()


def test_cxr_mix_finds_members_in_any_case_and_tells_which_it_reads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    MINIATURES["covidx-cxr2"](tmp_path / "COVIDx-CXR2")
    MINIATURES["object-cxr"](tmp_path / "object-cxr")
    both = CxrMix(tmp_path).fingerprint()
    shutil.rmtree(tmp_path / "object-cxr")
    (tmp_path / "object-cxr").mkdir()
    (tmp_path / "object-cxr" / ".DS_Store").touch()
    caplog.clear()
    with caplog.at_level("INFO", "radbench"):
        reader = CxrMix(tmp_path, members=("covidx-cxr2", "object-cxr", "nih"))
        assert {q.strata["member"] for q in reader.samples("test")} == {"covidx-cxr2"}
    assert [r.getMessage() for r in caplog.records] == [
        f"{tmp_path}: members of CXR-Mix read: covidx-cxr2; not there: nih, object-cxr"
    ]
    alone = reader.fingerprint()
    assert alone != both
    (tmp_path / "COVIDx-CXR2").rename(tmp_path / "covidx-cxr2")
    assert CxrMix(tmp_path).fingerprint() == alone


def test_cxr_mix_reads_the_released_list(tmp_path: Path) -> None:
    built(tmp_path, "cxr-mix:released")
    reader = CxrMix(tmp_path, lists="RadFM_data_csv")
    assert list(reader.samples("test")) == list(BalancedList(tmp_path, table="chestxray_balance").samples("test"))
    assert reader.fingerprint() == BalancedList(tmp_path, table="chestxray_balance").fingerprint()


@pytest.mark.parametrize(("member", "miniature"), [("nih", "nih-chestxray"), ("chexpert", "chexpert:small")])
def test_cxr_mix_asks_of_the_larger_members(member: str, miniature: str, tmp_path: Path) -> None:
    from miniatures.chest import MINIATURES as CHEST

    CHEST[miniature](tmp_path / member)
    (questions, again) = (list(CxrMix(tmp_path).samples("test")) for _ in range(2))
    assert questions == again
    answers = Counter(names(q)[0] for q in questions)
    assert answers["yes"] == answers["no"] > 0
    assert {q.strata["member"] for q in questions} == {member}
    assert {q.access for q in questions} == {MEMBERS[member].access}
    assert all(len(q.images) == 1 for q in questions)
    assert questions[0].images[0].load().array.ndim == 2


# --- split rules ---

papers = st.dictionaries(
    st.text(max_size=4), st.sets(st.sampled_from([f"PMC{i}" for i in range(12)]), min_size=1, max_size=3), max_size=40
)


@given(papers, st.integers(0, 5), st.floats(0, 1))
def test_a_paper_with_a_test_sample_is_in_no_training_set(
    sources: dict[str, set[str]], seed: int, share: float
) -> None:
    splits = split_rules.paper_level(sources, seed, share)
    assert set(splits) == set(sources)
    tested = {p for s, split in splits.items() if split == "test" for p in sources[s]}
    trained = {p for s, split in splits.items() if split == "train" for p in sources[s]}
    assert not tested & trained
    single = {s: split for s, split in splits.items() if len(sources[s]) == 1}
    elsewhere = {p for s in sources if len(sources[s]) > 1 for p in sources[s]}
    assert all(split != "left out" or sources[s] & elsewhere for s, split in single.items())
    assert set(splits.values()) <= {"train", "test", "left out"}


@given(papers, st.integers(0, 5))
def test_papers_split_alike_in_every_dataset(sources: dict[str, set[str]], seed: int) -> None:
    lone = {f"{s}-{p}": {p} for s, found in sources.items() for p in found}
    whole = split_rules.paper_level(lone, seed, 0.5)
    for sample, found in lone.items():
        assert split_rules.paper_level({sample: found}, seed, 0.5)[sample] == whole[sample]


@given(papers, st.data())
def test_given_test_samples_close_their_papers(sources: dict[str, set[str]], data: st.DataObject) -> None:
    chosen = data.draw(st.sets(st.sampled_from(sorted(sources)))) if sources else set()
    splits = split_rules.exclude_papers(sources, chosen)
    assert {s for s, split in splits.items() if split == "test"} == chosen
    closed = {p for s in chosen for p in sources[s]}
    for sample in set(sources) - chosen:
        assert (splits[sample] == "train") == (not closed & sources[sample])


def test_the_share_of_a_hash_split_is_about_what_was_asked() -> None:
    counts = Counter(split_rules.by_hash(f"case{i}", 0, 0.2) for i in range(4000))
    assert 700 < counts["test"] < 900
    assert {split_rules.by_hash(f"case{i}", 0, 0.0) for i in range(50)} == {"train"}
    assert {split_rules.by_hash(f"case{i}", 0, 1.0) for i in range(50)} == {"test"}
    with pytest.raises(ConfigError, match="test share 20"):
        split_rules.by_hash("x", 0, 20)


@given(st.dates(), st.dates())
def test_cases_before_the_date_train(date: datetime.date, before: datetime.date) -> None:
    expected = "train" if date < before else "test"
    assert split_rules.by_date(date, before.isoformat()) == expected
    assert split_rules.by_date(date.isoformat(), before.isoformat()) == expected
    assert split_rules.by_date(f"{date.isoformat()}T10:30:00", before.isoformat()) == expected


def test_months_and_years_are_dates_where_they_are_exact_enough() -> None:
    assert split_rules.by_date("2022") == split_rules.by_date("2022-12") == "train"
    assert split_rules.by_date("2022-12-31") == split_rules.by_date(datetime.datetime(2022, 12, 31, 23)) == "train"
    assert split_rules.by_date("2023") == split_rules.by_date("2023-01-01") == "test"
    with pytest.raises(DataError, match="'2023' is not exact enough to lie before or after 2023-06-15"):
        split_rules.by_date("2023", "2023-06-15")
    for text in ("", "soon", "31-12-2022", "2022-13", "2022-00-00", "22"):
        with pytest.raises(DataError, match="is no date"):
            split_rules.by_date(text)
