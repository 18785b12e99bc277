"""The sets that annotate chest radiographs, read from made-up copies of their official layouts."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniatures.chest import CHEXPERT_SIZE, FRONTAL, MINIATURES, SHOTS, organ_mask
from radbench.tasks.readers.box_text import box_text, clipped
from radbench.tasks.readers.chest_imagenome import SceneGraphs
from radbench.tasks.readers.chest_names import CHEXPERT_14, FINDINGS, NIH_14, REGIONS, patient_context
from radbench.tasks.readers.chexmask import CheXmask
from radbench.tasks.readers.chexpert import CheXpert
from radbench.tasks.readers.medical_diff_vqa import DiffVqa, IuxVqa
from radbench.tasks.readers.mimic_cxr_vqa import MimicCxrVqa
from radbench.tasks.readers.mimic_paths import (
    listed_path,
    official_split,
    picture_path,
    picture_sizes,
    places,
    size_of,
    study_pictures,
)
from radbench.tasks.readers.ms_cxr import MsCxr
from radbench.tasks.readers.nih_chestxray import NihBoxes, NihLabels
from radbench.tasks.readers.scene_graph import SceneGraph
from radbench.tasks.readers.side_table import SideTable

from radbench.errors import ConfigError, DataError
from radbench.records import Box, Boxes, Labels, Mask, Sample, Text

Make = Callable[[str], Path]
Folders = dict[str, Path]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Every miniature once; tests that change files make their own."""
    root = tmp_path_factory.mktemp("chest")
    folders = {}
    for name, make in MINIATURES.items():
        folders[name] = root / name.replace(":", "-")
        folders[name].mkdir()
        make(folders[name])
    return folders


@pytest.fixture
def mini(tmp_path: Path) -> Make:
    def make(name: str) -> Path:
        folder = tmp_path / name.replace(":", "-")
        folder.mkdir()
        MINIATURES[name](folder)
        return folder

    return make


def clear_error(samples: Iterator[Sample], *parts: str) -> DataError:
    """The one error, which names what it should and none of the identifiers of the made-up patients."""
    with pytest.raises(DataError) as caught:
        list(samples)
    for part in parts:
        assert part in str(caught.value)
    for shot in SHOTS:
        for identifier in (shot.dicom, shot.study, shot.subject):
            assert identifier not in str(caught.value)
    return caught.value


def rewrite(path: Path, change: Callable[[list[list[str]]], object]) -> None:
    """Change the rows of a CSV file in place."""
    rows = list(csv.reader(StringIO(path.read_text(), newline="")))
    change(rows)
    with path.open("w", newline="") as f:
        csv.writer(f).writerows(rows)


def readers(made: Folders) -> dict[str, tuple[Any, dict[str, int]]]:
    """Every reader over every layout, with the number of samples of each of its splits."""
    mimic, from_p10 = made["mimic-cxr-jpg:annotated"], made["mimic-cxr-jpg:annotated-from-p10"]
    graphs, diff, masks = made["chest-imagenome"], made["medical-diff-vqa"], made["chexmask"]
    return {
        "mimic-cxr-vqa": (MimicCxrVqa(made["mimic-cxr-vqa"], images=mimic), {"train": 6, "val": 6, "test": 6}),
        "mimic-cxr-vqa, closed": (MimicCxrVqa(made["mimic-cxr-vqa"], images=from_p10, closed=True), {"test": 6}),
        "diff": (DiffVqa(diff, images=mimic), {"train": 8, "val": 0, "test": 8}),
        "diff, all pictures": (DiffVqa(diff, images=from_p10, study_images="all"), {"train": 8, "test": 8}),
        "diff, difference": (DiffVqa(diff, images=mimic, kind="difference"), {"train": 1, "test": 1}),
        "diff, other": (DiffVqa(diff, images=mimic, kind="other"), {"train": 7, "test": 7}),
        "iux": (IuxVqa(made["iux-vqa"], images=made["iu-xray:kaggle-asked"]), {"all": 9, "test": 9, "train": 0}),
        "labels": (SceneGraphs(graphs, images=mimic), {"train": 3, "val": 1, "test": 2}),
        "anatomy": (SceneGraphs(graphs, images=mimic, task="anatomy"), {"train": 12, "val": 4, "test": 8}),
        "pathology": (SceneGraphs(graphs, images=mimic, task="pathology"), {"train": 15, "val": 5, "test": 10}),
        "captions": (SceneGraphs(graphs, images=mimic, task="captions"), {"train": 7, "val": 3, "test": 5}),
        "labels, nested": (
            SceneGraphs(made["chest-imagenome:nested"], images=from_p10, split_from="imagenome"),
            {"train": 3, "val": 2, "test": 1},
        ),
        "masks": (CheXmask(masks, images=mimic), {"train": 9, "val": 3, "test": 6}),
        "masks, CheXpert": (
            CheXmask(masks, images=made["chexpert"], source="CheXpert"), {"train": 6, "val": 9, "test": 9}
        ),
        "chexpert": (CheXpert(made["chexpert"]), {"train": 4, "val": 3, "test": 4}),
        "chexpert, pictures": (CheXpert(made["chexpert:small"], level="image"), {"train": 6, "val": 4, "test": 5}),
        "nih boxes": (NihBoxes(made["nih-chestxray"]), {"test": 4}),
        "nih boxes, flat": (NihBoxes(made["nih-chestxray:flat"]), {"test": 4}),
        "nih labels": (NihLabels(made["nih-chestxray"]), {"train": 2, "test": 4}),
        "nih labels, flat": (NihLabels(made["nih-chestxray:flat"]), {"train": 2, "test": 4}),
        "ms-cxr": (MsCxr(made["ms-cxr"], images=mimic), {"all": 9, "test": 9, "val": 0}),
        "ms-cxr, 1.1.0": (MsCxr(made["ms-cxr:1.1.0"], images=from_p10), {"all": 9, "train": 4, "val": 1, "test": 4}),
        "ms-cxr, json": (MsCxr(made["ms-cxr:json"], images=mimic), {"all": 9, "test": 9}),
    }  # fmt: skip


NAMES = (
    "mimic-cxr-vqa", "mimic-cxr-vqa, closed", "diff", "diff, all pictures", "diff, difference", "diff, other", "iux", "labels",
    "anatomy", "pathology", "captions", "labels, nested", "masks", "masks, CheXpert", "chexpert", "chexpert, pictures",
    "nih boxes", "nih boxes, flat", "nih labels", "nih labels, flat", "ms-cxr", "ms-cxr, 1.1.0", "ms-cxr, json",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_layout_reads_end_to_end(name: str, made: Folders) -> None:
    reader, counts = readers(made)[name]
    for split, count in counts.items():
        samples = list(reader.samples(split))
        assert len(samples) == count, split
        assert len({s.id for s in samples}) == count
        assert [s.id for s in reader.samples(split)] == [s.id for s in samples]
        for sample in samples:
            assert sample.cluster
            assert sample.images
            check_targets(sample)
    assert reader.fingerprint() == readers(made)[name][0].fingerprint()
    clear_error(reader.samples("pool"), "no split 'pool'")


def check_targets(sample: Sample) -> None:
    sizes = [image.load().size for image in sample.images]
    for target in sample.targets.values():
        if isinstance(target, Mask):
            assert target.load().shape == sizes[0]
            assert target.load().any()
        elif isinstance(target, Boxes):
            for box in target.boxes:
                assert 0 <= box.x0 < box.x1 <= sizes[0][1]
                assert 0 <= box.y0 < box.y1 <= sizes[0][0]
                assert not sample.choices or box.label in sample.choices
        elif isinstance(target, Labels):
            assert not sample.choices or set(target.names) <= set(sample.choices)
        else:
            assert target.first.strip() == target.first != ""


def test_no_patient_lies_in_two_splits(made: Folders) -> None:
    for name in ("mimic-cxr-vqa", "diff", "labels", "masks", "chexpert", "ms-cxr, 1.1.0"):
        reader, counts = readers(made)[name]
        clusters = [{s.cluster for s in reader.samples(split)} for split in counts if split not in ("all", "pool")]
        assert sum(map(len, clusters)) == len(set().union(*clusters)), name


def test_options_change_the_fingerprint(made: Folders) -> None:
    mimic = made["mimic-cxr-jpg:annotated"]
    graphs, chexpert, nih = made["chest-imagenome"], made["chexpert"], made["nih-chestxray"]
    prints = [
        *(SceneGraphs(graphs, images=mimic, **o).fingerprint() for o in (
            {}, {"task": "anatomy"}, {"names": ("hernia",)}, {"avoid": False}, {"frame": "padded"}, {"per_query": 3},
            {"split_from": "imagenome"}, {"unmentioned": "negative"}, {"seed": 1},
        )),
        *(DiffVqa(made["medical-diff-vqa"], images=mimic, **o).fingerprint() for o in (
            {}, {"kind": "other"}, {"both": False}, {"study_images": "all"}, {"most": 1}, {"reference": "difference"}
        )),
        *(CheXpert(chexpert, **o).fingerprint() for o in ({}, {"level": "image"}, {"uncertain": "positive"}, {"mapping": {}})),
        *(CheXmask(made["chexmask"], images=mimic, **o).fingerprint() for o in ({}, {"organs": ("heart",)}, {"min_dice_rca": 0})),
        *(NihBoxes(nih, **o).fingerprint() for o in ({}, {"labels": ("Mass",)}, {"names": {"Effusion": "e"}}, {"size": 512})),
    ]  # fmt: skip
    assert len(prints) == len(set(prints))


# --- the pictures' folder ---


def test_pictures_lie_below_files_or_below_the_folder_itself(made: Folders) -> None:
    shot = SHOTS[0]
    for name in ("mimic-cxr-jpg:annotated", "mimic-cxr-jpg:annotated-from-p10"):
        folder = made[name]
        path = picture_path(folder, shot.subject, shot.study, shot.dicom)
        assert Path(path).is_file()
        for listed in (
            f"files/p10/p{shot.subject}/s{shot.study}/{shot.dicom}.dcm",
            path[len(str(folder)) :].lstrip("/"),
        ):
            assert Path(listed_path(folder, listed)) == Path(path)
        assert {d: official_split(folder)[d] for d in official_split(folder)} == {
            s.dicom: {"validate": "val"}.get(s.split, s.split) for s in SHOTS
        }
        assert study_pictures(folder).all("50000001") == [(SHOTS[0].dicom,), (SHOTS[1].dicom,)]


def test_tables_are_found_above_the_folder_of_the_pictures(made: Folders) -> None:
    inner = made["mimic-cxr-jpg:annotated"] / "files"
    assert Path(picture_path(inner, SHOTS[0].subject, SHOTS[0].study, SHOTS[0].dicom)).is_file()
    assert places(inner).get(SHOTS[2].dicom) == ("10000001", "50000002", "test")
    assert size_of(picture_sizes(inner), SHOTS[0].dicom) == SHOTS[0].size
    assert size_of(picture_sizes(inner), "unknown") is None
    assert picture_sizes(made["mimic-cxr-jpg:annotated-from-p10"]) is None


def test_a_mirror_of_physionet_with_other_pictures(tmp_path: Path) -> None:
    from miniatures.pictures import png

    release = tmp_path / "physionet.org" / "files" / "mimic-cxr-jpg" / "2.1.0"
    release.mkdir(parents=True)
    MINIATURES["mimic-cxr-jpg:annotated"](release)
    for path in release.glob("files/p1?/p*/s*/*.jpg"):
        png(path.with_suffix(".png"), 0)
        path.unlink()
    for root in (tmp_path, tmp_path / "physionet.org", release):
        shot = SHOTS[-1]
        assert Path(picture_path(root, shot.subject, shot.study, shot.dicom)).is_file()
        assert Path(listed_path(root, f"files/p11/p{shot.subject}/s{shot.study}/{shot.dicom}.jpg")).is_file()
        assert len(official_split(root)) == len(SHOTS)


def test_the_official_split_is_a_mapping(made: Folders) -> None:
    split = official_split(made["mimic-cxr-jpg:annotated"])
    assert len(split) == len(SHOTS)
    assert split.get("unknown") is None
    with pytest.raises(KeyError):
        split["x" * 200]


def test_a_split_table_that_is_missing_or_wrong(mini: Make) -> None:
    folder = mini("mimic-cxr-jpg:annotated-from-p10")
    table = folder / "mimic-cxr-2.1.0-split.csv"
    rewrite(table, lambda rows: rows[3].__setitem__(3, "10000001"))
    with pytest.raises(DataError, match=r"split\.csv, line 4: split <str of length 8") as caught:
        places(folder)
    assert "10000001" not in str(caught.value)
    table.unlink()
    with pytest.raises(DataError, match=r"no mimic-cxr-2\.\*-split\.csv"):
        places(folder)


words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)


@given(st.lists(st.tuples(words, words), max_size=40), words)
def test_a_side_table_is_a_dictionary_of_lists(rows: list[tuple[str, str]], other: str) -> None:
    table = SideTable(rows)
    assert len(table) == len(rows)
    assert sorted(table) == sorted(key for key, _ in rows)
    for sought in {other, *(key for key, _ in rows)}:
        expected = [(value,) for key, value in rows if key == sought]
        assert table.all(sought) == expected
        assert table.get(sought) == (expected[0] if expected else None)


# --- MIMIC-CXR-VQA ---


def test_answers_are_sets_of_names(made: Folders) -> None:
    reader = MimicCxrVqa(made["mimic-cxr-vqa"], images=made["mimic-cxr-jpg:annotated"], closed=True)
    first, _, several, none, _, text = reader.samples("val")
    assert first.id == "val-0"
    assert first.cluster == "10000003"
    assert first.slots["question"] == "Is there any pleural effusion in the left lung?"
    assert first.strata == {"content_type": "attribute", "semantic_type": "verify"}
    assert several.targets == {
        "answer": Labels(("left lung", "right lower lung zone")), "text": Text(("left lung, right lower lung zone",))
    }  # fmt: skip
    assert none.targets == {"answer": Labels(()), "text": Text(("none",))}
    assert text.targets["answer"] == Labels(("f",))
    assert first.choices == (
        "ap", "f", "left lung", "m", "no", "pa", "pleural effusion", "right lower lung zone", "yes"
    )  # fmt: skip


def test_the_public_questions_without_answers_say_what_to_do(mini: Make) -> None:
    folder = mini("mimic-cxr-vqa")
    path = folder / "dataset" / "test.json"
    items = json.loads(path.read_text())
    del items[2]["answer"]
    path.write_text(json.dumps(items))
    reader = MimicCxrVqa(folder, images=folder)
    clear_error(reader.samples("test"), "test.json, item 3: no answer", "builder")
    items[2]["answer"] = {"10000001": 1}
    path.write_text(json.dumps(items))
    clear_error(reader.samples("test"), "item 3: answer <dict", "credentialed")
    del items[1]["question"]
    path.write_text(json.dumps(items))
    clear_error(reader.samples("test"), "test.json", "no column 'question'")
    path.unlink()
    clear_error(reader.samples("test"), "test.json: not found")
    assert len(list(reader.samples("train"))) == 6


# --- Medical-Diff-VQA ---


def test_a_difference_has_the_current_then_the_earlier_study(made: Folders) -> None:
    mimic = made["mimic-cxr-jpg:annotated"]
    (sample,) = DiffVqa(made["medical-diff-vqa"], images=mimic, kind="difference", study_images="all").samples("train")
    assert sample.id == "50000006-16"
    assert sample.cluster == "10000004"
    assert sample.targets["answer"] == Text(
        ("the main image has an additional finding of edema than the reference image.",)
    )
    assert [(i.role, i.study, i.days_before, i.view) for i in sample.images] == [
        ("current", "50000006", None, "postero-anterior"), ("current", "50000006", None, None),
        ("prior", "50000005", 10, "antero-posterior"),
    ]  # fmt: skip
    assert sample.strata == {"question_type": "difference", "n_images": "3"}
    assert [i.path for i in sample.images] == [
        picture_path(mimic, s.subject, s.study, s.dicom) for s in (SHOTS[6], SHOTS[7], SHOTS[5])
    ]


def test_which_questions_come_with_the_reference(made: Folders) -> None:
    mimic, folder = made["mimic-cxr-jpg:annotated"], made["medical-diff-vqa"]

    def images(**options: Any) -> set[str]:
        return {s.strata["n_images"] for s in DiffVqa(folder, images=mimic, **options).samples("test")}

    assert images() == {"2"}
    assert images(kind="other") == {"1"}
    assert images(kind="other", both=True) == {"2"}
    assert images(both=False) == {"1"}
    assert images(reference="difference") == {"1", "2"}
    assert images(kind="difference", reference="difference") == {"2"}
    assert images(study_images="all") == {"3"}
    assert images(study_images="all", most=1) == {"2"}
    view = next(s for s in DiffVqa(folder, images=mimic).samples("test") if s.strata["question_type"] == "view")
    assert (view.slots["question"], view.slots["question_lower"]) == ("is this PA view?", "is this pa view?")
    with pytest.raises(ConfigError, match="kind is 'differences'"):
        DiffVqa(folder, images=mimic, kind="differences")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="reference is 'none'"):
        DiffVqa(folder, images=mimic, reference="none")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("table", "line", "column", "value", "parts"),
    [
        ("mimic_pair_questions.csv", 10, "split", "50000006", ("line 10: split <str of length 8",)),
        ("mimic_pair_questions.csv", 10, "ref_id", "10000001", ("line 10: ref_id <str", "is not in", "mimic_all.csv")),
        ("mimic_all.csv", 3, "study_date", "May 5, 2130", ("mimic_all.csv, line 3: study_date <str",)),
        ("mimic_all.csv", 1, "dicom_id", "dicom", ("mimic_all.csv, line 2: no column 'dicom_id'",)),
    ],
)
def test_faults_in_the_difference_tables(
    table: str, line: int, column: str, value: str, parts: tuple[str, ...], mini: Make
) -> None:
    folder = mini("medical-diff-vqa")
    rewrite(folder / table, lambda rows: rows[line - 1].__setitem__(rows[0].index(column), value))
    clear_error(DiffVqa(folder, images=folder).samples("train"), *parts)


@pytest.mark.parametrize(
    ("written", "days"), [("2133-05-01", 10), ("21330501.0", 10), ("", None), ("2133-05-01 09:15", 10)]
)
def test_dates_as_other_programs_write_them(written: str, days: int | None, mini: Make) -> None:
    folder = mini("medical-diff-vqa")
    rewrite(folder / "mimic_all.csv", lambda rows: rows[5].__setitem__(rows[0].index("study_date"), written))
    (sample,) = DiffVqa(folder, images=folder, kind="difference").samples("train")
    assert sample.images[1].days_before == days


def test_iu_xray_questions_take_the_first_frontal_picture(made: Folders) -> None:
    samples = list(IuxVqa(made["iux-vqa"], images=made["iu-xray:kaggle-asked"]).samples("all"))
    assert [(Path(s.images[0].path).name, s.images[0].view, s.cluster) for s in samples[::3]] == [
        ("1_IM-0001-2001.dcm.png", "Frontal", "1"), ("2_IM-0002-1001.dcm.png", "Frontal", "2"),
        ("3_IM-0003-1001.dcm.png", "Lateral", "3"),
    ]  # fmt: skip
    assert samples[0].slots["question"] == "what abnormalities are seen in this image?"


def test_iu_xray_questions_of_a_study_without_pictures(mini: Make) -> None:
    folder, pictures = mini("iux-vqa"), mini("iu-xray:kaggle-asked")
    rewrite(pictures / "indiana_projections.csv", lambda rows: rows.pop())
    fault = "iux_questions.csv, line 8: uid <str of length 1, not shown: on-request data> is not in"
    clear_error(IuxVqa(folder, images=pictures).samples("all"), fault)
    (folder / "second.csv").write_text("study_id\n")
    with pytest.raises(DataError, match="2 CSV files, expected one"):
        IuxVqa(folder, images=pictures)


def test_iu_xray_questions_in_a_file_of_their_own(made: Folders) -> None:
    path = made["iux-vqa"] / "iux_questions.csv"
    assert len(list(IuxVqa(path, images=made["iu-xray:kaggle-asked"]).samples("test"))) == 9


# --- Chest ImaGenome ---


def test_findings_are_positive_where_any_region_says_so(made: Folders) -> None:
    mimic = made["mimic-cxr-jpg:annotated"]
    reader = SceneGraphs(made["chest-imagenome"], images=mimic)
    first, second = reader.samples("test")
    assert (first.id, first.cluster) == (FRONTAL[0].dicom, "10000001")
    assert first.targets["answer"] == Labels(("lung opacity",))
    assert first.targets["mentioned"] == Labels(("enlarged cardiac silhouette", "lung opacity", "pneumothorax"))
    assert first.slots["context"] == "Age:60-70.\nGender:F.\n"
    assert first.strata == {"view": "PA", "gender": "F", "age": "60-70", "findings": "1"}
    assert second.targets["answer"] == Labels(("lung opacity", "pleural effusion"))
    every = next(SceneGraphs(made["chest-imagenome"], images=mimic, unmentioned="negative").samples("test"))
    assert every.targets == {"answer": first.targets["answer"], "mentioned": Labels(FINDINGS)}
    few = SceneGraphs(made["chest-imagenome"], images=mimic, names=("scoliosis", "pleural effusion"))
    assert [s.targets["answer"] for s in few.samples("test")] == [Labels(("pleural effusion",))]


@pytest.mark.parametrize("unmentioned", ["left-out", "negative"])
def test_what_the_report_mentions_is_in_no_request(unmentioned: Any, made: Folders) -> None:
    """Two pictures that mention different findings are asked the same."""
    reader = SceneGraphs(made["chest-imagenome"], images=made["mimic-cxr-jpg:annotated"], unmentioned=unmentioned)
    first, second = reader.samples("test")
    assert first.choices == second.choices == ()
    told = [{k: v for k, v in s.slots.items() if k in ("age", "gender", "context")} for s in (first, second)]
    assert [dict(s.slots) for s in (first, second)] == told
    assert (first.targets["mentioned"] == second.targets["mentioned"]) == (unmentioned == "negative")


def test_boxes_tell_the_size_of_the_picture_they_were_drawn_on(made: Folders) -> None:
    def frames(images: str, **options: Any) -> list[object]:
        reader = SceneGraphs(made["chest-imagenome"], images=made[images], task="anatomy", per_query=36, **options)
        return [s.targets["boxes"].frame for s in reader.samples("test")]  # type: ignore[union-attr]

    assert frames("mimic-cxr-jpg:annotated") == [(s.size[1], s.size[0]) for s in FRONTAL[:2]]
    assert frames("mimic-cxr-jpg:annotated-from-p10") == [None, None]  # without metadata
    assert frames("mimic-cxr-jpg:annotated-from-p10", frame="padded") == [(224, 224)] * 2


def test_the_gold_sets_pictures_are_avoided(made: Folders, mini: Make) -> None:
    mimic = made["mimic-cxr-jpg:annotated"]
    gold = FRONTAL[2].dicom
    kept = SceneGraphs(made["chest-imagenome"], images=mimic, avoid=False)
    assert gold in {s.id for s in kept.samples("test")}
    assert gold not in {s.id for s in SceneGraphs(made["chest-imagenome"], images=mimic).samples("test")}
    folder = mini("chest-imagenome")
    (folder / "silver_dataset" / "splits" / "images_to_avoid.csv").unlink()
    clear_error(SceneGraphs(folder, images=mimic).samples("test"), "images_to_avoid.csv: not found", "avoid=False")


def test_queries_name_nine_classes_and_hold_the_boxes_of_those_present(made: Folders) -> None:
    mimic = made["mimic-cxr-jpg:annotated"]
    reader = SceneGraphs(made["chest-imagenome"], images=mimic, task="anatomy")
    samples = list(reader.samples("val"))
    assert [len(s.choices) for s in samples] == [9, 9, 9, 9]
    assert tuple(name for s in samples for name in s.choices) == REGIONS
    assert samples[0].slots["target"].startswith("right lung, right upper lung zone, ")
    assert samples[0].targets["boxes"].boxes[:2] == (  # type: ignore[union-attr]
        Box("right lung", 5, 4, 25, 54), Box("right upper lung zone", 0, 6, 20, 60)
    )  # fmt: skip
    named = {b.label for s in samples for b in s.targets["boxes"].boxes}  # type: ignore[union-attr]
    assert named == set(REGIONS) - {"right mid lung zone", "right lower lung zone"}  # outside, without area
    assert reader.faults == {"clipped": 1, "dropped": 2}
    list(reader.samples("train"))
    assert reader.faults == {"clipped": 3, "dropped": 6}


def test_a_finding_has_the_boxes_of_the_regions_that_state_it(made: Folders) -> None:
    reader = SceneGraphs(
        made["chest-imagenome"], images=made["mimic-cxr-jpg:annotated"], task="pathology", per_query=41
    )
    (sample,) = reader.samples("val")
    assert sample.choices == FINDINGS
    boxes = sample.targets["boxes"].boxes  # type: ignore[union-attr]
    assert boxes[0] == Box("lung opacity", 5, 4, 25, 54)  # of the right lung; the mid zone's box lies outside
    assert [b.label for b in boxes] == ["lung opacity", "pleural effusion"]


def test_a_seed_draws_the_order_of_the_classes_for_every_picture(made: Folders) -> None:
    def orders(seed: int) -> list[tuple[str, ...]]:
        reader = SceneGraphs(
            made["chest-imagenome"], images=made["mimic-cxr-jpg:annotated"], task="anatomy", seed=seed, per_query=36
        )
        return [s.choices for s in reader.samples("train")]

    assert orders(1) == orders(1) != orders(2)
    assert len(set(orders(1))) == 3
    assert {tuple(sorted(order)) for order in orders(1)} == {tuple(sorted(REGIONS))}


def test_a_caption_is_a_regions_sentences_in_report_order(made: Folders) -> None:
    reader = SceneGraphs(made["chest-imagenome"], images=made["mimic-cxr-jpg:annotated"], task="captions")
    samples = {s.id: s for s in reader.samples("val")}
    dicom = FRONTAL[3].dicom
    assert set(samples) == {f"{dicom}|{name}" for name in ("right lung", "right upper lung zone", "left lung")}
    sample = samples[f"{dicom}|right lung"]
    assert sample.targets["answer"] == Text(("There is an opacity. It is new.",))
    assert sample.slots["target"] == "[0.10, 0.07, 0.50, 0.90]"
    assert sample.strata == {"view": "PA", "gender": "M", "age": "60-70", "region": "right lung", "findings": "1"}


def test_without_metadata_the_size_comes_from_how_boxes_were_scaled(made: Folders) -> None:
    """The frame's boxes are whole pixels: fractions of the picture agree to a few hundredths."""
    known, guessed = (
        {
            s.id: json.loads(s.slots["target"])
            for s in SceneGraphs(made["chest-imagenome"], images=made[images], task="captions").samples("test")
        }
        for images in ("mimic-cxr-jpg:annotated", "mimic-cxr-jpg:annotated-from-p10")
    )
    assert known.keys() == guessed.keys()
    for name, fractions in known.items():
        assert guessed[name] == pytest.approx(fractions, abs=0.03)


def test_the_padded_frame_has_224_pixels(made: Folders) -> None:
    reader = SceneGraphs(
        made["chest-imagenome"], images=made["mimic-cxr-jpg:annotated"], task="anatomy", frame="padded"
    )
    sample = next(reader.samples("val"))
    box = sample.targets["boxes"].boxes[0]  # type: ignore[union-attr]
    assert (box.x0, box.y0, box.x1, box.y1) == (37, 15, 112, 202)  # 224 / 60 a pixel, 50 of 60 columns in the middle


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda g: g.pop("objects"), "'objects' is no list of objects"),
        (lambda g: g["objects"][0].pop("original_x1"), "'original_x1' is no number"),
        (lambda g: g["objects"][0].update(original_x1="12345678"), "'original_x1' is no number"),
        (
            lambda g: g["attributes"][0]["attributes"][0].append("anatomicalfinding|maybe|x"),
            "not category|yes or no|name",
        ),
        (lambda g: g["attributes"][0].update(attributes="abc"), "no list of lists"),
        (lambda g: g["attributes"][0].update(phrases="abc"), "is no list"),
    ],
)
def test_faulty_scene_graphs(change: Callable[[dict[str, Any]], object], fault: str, mini: Make) -> None:
    folder, mimic = mini("chest-imagenome"), mini("mimic-cxr-jpg:annotated")
    path = folder / "silver_dataset" / "scene_graph" / f"{FRONTAL[0].dicom}_SceneGraph.json"
    graph = json.loads(path.read_text())
    change(graph)
    path.write_text(json.dumps(graph))
    reader = SceneGraphs(folder, images=mimic, task="captions")
    clear_error(reader.samples("test"), "mimic-cxr-2.0.0-split.csv.gz, line 2, its scene graph", fault)
    path.write_text("{")
    clear_error(reader.samples("test"), "line 2, its scene graph: not JSON")


def test_unpacked_scene_graphs_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "silver_dataset").mkdir()
    (tmp_path / "silver_dataset" / "scene_graph.zip").write_bytes(b"PK")
    with pytest.raises(
        DataError, match=r"scene_graph: not found; expected the unpacked scene graphs.*scene_graph\.zip"
    ):
        SceneGraphs(tmp_path, images=tmp_path)
    (tmp_path / "silver_dataset" / "scene_graph").mkdir()
    for options, fault in (({"task": "detection"}, "task is 'detection'"), ({"per_query": 0}, "per_query is 0")):
        with pytest.raises(ConfigError, match=fault):
            SceneGraphs(tmp_path, images=tmp_path, **options)


def test_no_scene_graph_at_all_is_an_error(mini: Make) -> None:
    folder, mimic = mini("chest-imagenome"), mini("mimic-cxr-jpg:annotated")
    for path in (folder / "silver_dataset" / "scene_graph").iterdir():
        path.unlink()
    clear_error(SceneGraphs(folder, images=mimic).samples("test"), "no scene graph of the 4 pictures in split 'test'")


numbers = st.floats(-50, 300)


@given(numbers, numbers, numbers, numbers, st.integers(1, 200), st.integers(1, 200))
def test_clipped_boxes_lie_inside_and_lose_nothing_else(
    x0: float, y0: float, x1: float, y1: float, width: int, height: int
) -> None:
    box = clipped(Box("a", x0, y0, x1, y1), width, height)
    inside_x, inside_y = (
        max(0.0, min(hi, side) - max(lo, 0.0)) for lo, hi, side in ((x0, x1, width), (y0, y1, height))
    )
    if box is None:
        assert not inside_x * inside_y > 1e-9
        return
    assert 0 <= box.x0 < box.x1 <= width
    assert 0 <= box.y0 < box.y1 <= height
    assert box.x1 - box.x0 == pytest.approx(inside_x)
    assert box.y1 - box.y0 == pytest.approx(inside_y)
    fractions = json.loads(box_text(box, width, height))
    assert all(0 <= f <= 1 for f in fractions)


@given(
    st.dictionaries(
        st.text(max_size=5), st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers()))
    )
)
def test_no_scene_graph_fails_otherwise_than_by_a_data_error(document: dict[str, Any]) -> None:
    from collections import Counter

    item = {"bbox_name": "spine", **document}
    try:
        graph = SceneGraph({"objects": [item], "attributes": [item], **document}, "here", Counter())
        graph.boxes("original", (10, 10))
        assert list(graph.findings()) == [] and list(graph.sentences()) == []
    except DataError as error:
        assert str(error).startswith("here")


# --- CheXmask ---


def test_masks_are_decoded_when_asked_and_lie_as_drawn(made: Folders) -> None:
    reader = CheXmask(made["chexmask"], images=made["mimic-cxr-jpg:annotated"])
    samples = list(reader.samples("test"))
    assert [s.id for s in samples[:3]] == [f"{FRONTAL[0].dicom}|{o}" for o in ("left lung", "right lung", "heart")]
    assert FRONTAL[1].dicom not in {s.id.partition("|")[0] for s in samples}  # below the least Dice RCA
    for sample in samples:
        shot = next(s for s in FRONTAL if s.dicom == sample.id.partition("|")[0])
        mask = sample.targets["mask"]
        assert isinstance(mask, Mask)
        assert mask.array is None
        assert (mask.load() == organ_mask(sample.slots["target"].title(), shot.size)).all()
        assert sample.strata == {"organ": sample.slots["target"]}
        assert sample.cluster == shot.subject
    every = CheXmask(made["chexmask"], images=made["mimic-cxr-jpg:annotated"], min_dice_rca=0, organs=("heart",))
    assert len(list(every.samples("test"))) == 3


@pytest.mark.parametrize("images", ["mimic-cxr-jpg:annotated", "mimic-cxr-jpg:annotated-from-p10"])
def test_a_size_the_wrong_way_round_is_turned(images: str, made: Folders) -> None:
    """By MIMIC's metadata, and by the picture's header where there are none. The third row is such a one."""
    reader = CheXmask(made["chexmask"], images=made[images])
    shapes = {s.id.partition("|")[0]: s.targets["mask"].shape for s in reader.samples("test")}  # type: ignore[union-attr]
    assert shapes == {FRONTAL[0].dicom: FRONTAL[0].size, FRONTAL[2].dicom: FRONTAL[2].size}


def test_a_size_is_read_from_the_header_of_a_dicom_picture(mini: Make) -> None:
    from miniatures.pictures import dicom

    mimic = mini("mimic-cxr-jpg:annotated-from-p10")
    sizes = {shot.dicom: shot.size for shot in SHOTS}
    for path in list(mimic.glob("p1?/p*/s*/*.jpg")):
        dicom(path.with_suffix(".dcm"), 0, sizes[path.stem])
        path.unlink()
    reader = CheXmask(mini("chexmask"), images=mimic)
    shapes = {s.id.partition("|")[0]: s.targets["mask"].shape for s in reader.samples("test")}  # type: ignore[union-attr]
    assert shapes == {FRONTAL[0].dicom: FRONTAL[0].size, FRONTAL[2].dicom: FRONTAL[2].size}


def test_masks_of_unknown_orientation_are_one_error(mini: Make) -> None:
    folder, mimic = mini("chexmask"), mini("mimic-cxr-jpg:annotated-from-p10")
    path = Path(picture_path(mimic, FRONTAL[0].subject, FRONTAL[0].study, FRONTAL[0].dicom))
    path.write_bytes(b"no picture")
    error = clear_error(
        CheXmask(folder, images=mimic).samples("test"), "line 3: nothing tells whether the mask is 60 x 50 or 50 x 60"
    )
    assert "the metadata table or the pictures" in error.remedy
    table = folder / "OriginalResolution" / "MIMIC-CXR-JPG.csv"
    rewrite(table, lambda rows: rows[1].__setitem__(rows[0].index("Height"), "50"))
    assert next(CheXmask(folder, images=mimic).samples("test")).targets["mask"].shape == (50, 50)  # type: ignore[union-attr]


def test_the_external_row_is_cheXperts_validation_set(made: Folders) -> None:
    reader = CheXmask(made["chexmask"], images=made["chexpert"], source="CheXpert", organs=("heart",))
    samples = list(reader.samples("test"))
    assert [s.id for s in samples] == [f"valid/patient9000{n}/study1/view1_frontal.jpg|heart" for n in (1, 2, 3)]
    assert [s.id for s in samples] == [s.id for s in reader.samples("val")]
    assert samples[0].cluster == "patient90001"
    assert samples[0].targets["mask"].load().shape == CHEXPERT_SIZE  # type: ignore[union-attr]


def test_pictures_of_another_size_are_one_error(made: Folders, mini: Make) -> None:
    from miniatures.pictures import jpg

    folder = mini("chexpert")
    jpg(folder / "CheXpert-v1.0" / "valid" / "patient90002" / "study1" / "view1_frontal.jpg", 1, (20, 16))
    reader = CheXmask(made["chexmask"], images=folder, source="CheXpert")
    error = clear_error(reader.samples("val"), "CheXpert.csv, line 3: a mask of 39 x 32, its picture has 20 x 16")
    assert "not resized" in error.remedy


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [  # the landmarks of a row run over two lines
        ("Dice RCA (Mean)", "good", "line 3: Dice RCA (Mean) <str"),
        ("Height", "sixty", "line 3: Height x Width is sixty x 50"),
        ("dicom_id", "00000042-x", "line 3: dicom_id <str of length 10"),
    ],
)
def test_faulty_rows_of_chexmask(column: str, value: str, fault: str, made: Folders, mini: Make) -> None:
    folder = mini("chexmask")
    table = folder / "OriginalResolution" / "MIMIC-CXR-JPG.csv"
    rewrite(table, lambda rows: rows[1].__setitem__(rows[0].index(column), value))
    clear_error(CheXmask(folder, images=made["mimic-cxr-jpg:annotated"]).samples("test"), fault)


def test_the_id_column_is_the_one_with_an_unknown_name(made: Folders, mini: Make) -> None:
    folder = mini("chexmask")
    table = folder / "OriginalResolution" / "MIMIC-CXR-JPG.csv"
    rewrite(table, lambda rows: [row.insert(0, str(i - 1) if i else "") for i, row in enumerate(rows)])
    rewrite(table, lambda rows: rows[0].__setitem__(1, "image"))
    mimic = made["mimic-cxr-jpg:annotated"]
    assert [s.id for s in CheXmask(folder, images=mimic).samples("test")] == [
        s.id for s in CheXmask(made["chexmask"], images=mimic).samples("test")
    ]
    rewrite(table, lambda rows: [row.pop(1) for row in rows])
    clear_error(CheXmask(folder, images=mimic).samples("test"), "line 3: no id column")
    with pytest.raises(ConfigError, match="no organ 'spleen'"):
        CheXmask(folder, images=mimic, organs=("spleen",))


def test_an_organ_that_is_absent_is_an_empty_mask(made: Folders, mini: Make) -> None:
    folder = mini("chexmask")
    table = folder / "OriginalResolution" / "MIMIC-CXR-JPG.csv"
    rewrite(table, lambda rows: rows[1].__setitem__(rows[0].index("Heart"), ""))
    reader = CheXmask(folder, images=made["mimic-cxr-jpg:annotated"], organs=("heart",))
    assert not next(reader.samples("test")).targets["mask"].load().any()  # type: ignore[union-attr]


# --- CheXpert ---


def test_chexpert_labels_of_a_study(made: Folders) -> None:
    first, second, *_ = CheXpert(made["chexpert"]).samples("val")
    assert (first.id, first.cluster) == ("valid/patient90001/study1", "patient90001")
    assert first.targets["answer"] == Labels(("No Finding", "Lung Lesion", "Atelectasis", "Fracture"))
    assert [name for name in CHEXPERT_14 if name not in first.choices] == [
        "Cardiomegaly",
        "Consolidation",
        "Pleural Effusion",
    ]
    assert first.slots == {"age": "40", "gender": "F", "context": "Age:40.\nGender:F.\n"}
    assert [i.view for i in second.images] == ["AP", "Lateral"]
    assert second.strata == {"n_images": "2", "gender": "M"}


def test_uncertain_findings_as_chosen(made: Folders) -> None:
    def first(value: Any) -> Sample:
        return next(CheXpert(made["chexpert"], uncertain=value).samples("train"))

    assert first("negative").choices == first("positive").choices == CHEXPERT_14
    assert first("negative").targets == first("ignore").targets
    assert set(first("positive").targets["answer"].names) == {  # type: ignore[union-attr]
        "No Finding", "Lung Lesion", "Atelectasis", "Fracture", "Cardiomegaly", "Consolidation", "Pleural Effusion"
    }  # fmt: skip


def test_findings_take_other_names(made: Folders) -> None:
    mapping = {"Lung Lesion": "lung lesion", "Edema": "oedema", "Lung Opacity": "lung lesion"}
    sample = next(CheXpert(made["chexpert"], mapping=mapping, uncertain="negative").samples("train"))
    assert sample.choices == ("lung lesion", "oedema")
    assert sample.targets["answer"] == Labels(("lung lesion",))
    with pytest.raises(ConfigError, match="mapping names 'Oedema'"):
        CheXpert(made["chexpert"], mapping={"Oedema": "x"})


def test_the_test_set_has_labels_by_study_and_by_picture(made: Folders, mini: Make) -> None:
    by_study = list(CheXpert(made["chexpert"]).samples("test"))
    by_picture = list(CheXpert(made["chexpert"], level="image").samples("test"))
    assert [len(s.images) for s in by_study] == [1, 2, 1, 1]
    assert {s.id.rpartition("/")[0]: s.targets for s in by_picture} == {s.id: s.targets for s in by_study}
    assert by_picture[0].slots == {"age": "", "gender": "", "context": ""}
    folder = mini("chexpert")
    (folder / "groundtruth.csv").unlink()
    assert list(map(facts, CheXpert(folder).samples("test"))) == list(map(facts, by_study))
    (folder / "CheXpert" / "test_labels.csv").unlink()
    clear_error(CheXpert(folder).samples("test"), "not found; expected groundtruth.csv or test_labels.csv")


def test_cheXlocalizes_own_validation_table(mini: Make) -> None:
    folder = mini("chexpert")
    whole = [facts(s) for s in CheXpert(folder, uncertain="negative").samples("val")]
    labels = folder / "CheXpert" / "val_labels.csv"
    (folder / "CheXpert-v1.0" / "valid.csv").rename(labels)
    (folder / "CheXpert-v1.0" / "valid").rename(folder / "CheXpert" / "val")
    labels.write_text(labels.read_text().replace("CheXpert-v1.0/valid/", "val/"))
    read = [facts(s) for s in CheXpert(folder, uncertain="negative").samples("val")]
    assert [(name.replace("val/", "valid/"), *rest) for name, *rest in read] == whole
    assert all(Path(i.path).is_file() for s in CheXpert(folder).samples("val") for i in s.images)


def facts(sample: Sample) -> tuple[str, object, list[str]]:
    return sample.id, sample.targets, [Path(i.path).name for i in sample.images]


def test_studies_without_pictures_are_left_to_fail_when_asked(mini: Make) -> None:
    import shutil

    folder = mini("chexpert")
    shutil.rmtree(folder / "CheXpert" / "test" / "patient64741")
    sample = next(CheXpert(folder).samples("test"))
    assert Path(sample.images[0].path).name == "view1_frontal.jpg"
    (folder / "CheXpert" / "test_labels.csv").unlink()
    clear_error(CheXpert(folder, level="image").samples("test"), "groundtruth.csv: labels by study")


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("Edema", "perhaps", "valid.csv, line 2: Edema is <str of length 7, not shown: registered data>"),
        ("Path", "valid/view1.jpg", "valid.csv, line 2: Path <str"),
        ("Path", "patient90001/study1/view1_frontal.jpg", "valid.csv, line 2: Path <str"),
    ],
)
def test_faulty_rows_of_chexpert(column: str, value: str, fault: str, mini: Make) -> None:
    folder = mini("chexpert")
    table = folder / "CheXpert-v1.0" / "valid.csv"
    rewrite(table, lambda rows: rows[1].__setitem__(rows[0].index(column), value))
    error = clear_error(CheXpert(folder).samples("val"), fault)
    assert value not in str(error)
    rewrite(table, lambda rows: rows[0].__setitem__(rows[0].index(column), "Other"))
    clear_error(CheXpert(folder).samples("val"), "valid.csv, line 2: no column")


# --- NIH ChestX-ray14 ---


def test_the_real_box_list_has_the_boxes_of_the_paper(shared: Path) -> None:
    samples = list(NihBoxes(shared / "nih_boxes").samples("test"))
    boxes = [b for s in samples for b in s.targets["boxes"].boxes]  # type: ignore[union-attr]
    counts = {name: sum(b.label == name for b in boxes) for name in samples[0].choices}
    assert counts == {"Atelectasis": 180, "Cardiomegaly": 146, "Effusion": 153, "Pneumothorax": 98}
    assert samples[0].id == "00013118_008"
    assert samples[0].targets["boxes"].boxes[0].x1 == pytest.approx(225.084745762712 + 86.7796610169491)  # type: ignore[union-attr]
    every = NihBoxes(shared / "nih_boxes", labels=("Infiltrate", "Mass", "Nodule", "Pneumonia", *samples[0].choices))
    assert sum(len(s.targets["boxes"].boxes) for s in every.samples("test")) == 984  # type: ignore[union-attr]
    assert len(list(every.samples("test"))) == 880


def test_nih_boxes_of_a_picture(made: Folders) -> None:
    reader = NihBoxes(
        made["nih-chestxray"], names={"Effusion": "pleural effusion"}, labels=("Effusion", "Cardiomegaly")
    )
    first, second = reader.samples("test")
    assert (first.id, first.cluster) == ("00000001_000", "00000001")
    assert first.choices == ("pleural effusion", "Cardiomegaly")
    assert first.slots == {"target": "pleural effusion, Cardiomegaly"}
    assert [b.label for b in first.targets["boxes"].boxes] == ["Cardiomegaly", "pleural effusion"]  # type: ignore[union-attr]
    assert first.targets["boxes"].boxes[0].y1 == pytest.approx(547.02 + 79.19)  # type: ignore[union-attr]
    assert second.id == "00000005_000"
    assert "images_002/images" in second.images[0].path
    half = next(NihBoxes(made["nih-chestxray"], size=512).samples("test")).targets["boxes"].boxes[0]  # type: ignore[union-attr]
    assert (half.x0, half.y1) == pytest.approx((225.08 / 2, (547.02 + 79.19) / 2))
    frames = [next(NihBoxes(made["nih-chestxray"], size=n).samples("test")).targets["boxes"].frame for n in (1024, 512)]  # type: ignore[union-attr]
    assert frames == [(1024, 1024), (512, 512)]
    with pytest.raises(ConfigError, match="no boxes of 'Infiltration'"):
        NihBoxes(made["nih-chestxray"], labels=("Infiltration",))


def test_nih_labels_of_a_picture(made: Folders) -> None:
    for name, folder in (("nih-chestxray", "images_001/images"), ("nih-chestxray:flat", "images")):
        reader = NihLabels(made[name])
        healthy, _ = reader.samples("train")
        assert healthy.targets["answer"] == Labels(())
        heart, child, *_ = reader.samples("test")
        assert heart.targets["answer"] == Labels(("Cardiomegaly", "Effusion"))
        assert heart.slots == {"age": "58", "gender": "M", "context": "Age:58.\nGender:M.\n"}
        assert child.slots["age"] == "13 months"
        assert heart.images[0].path == str(made[name] / folder / "00000001_000.png")
        found = {n for split in ("train", "test") for s in reader.samples(split) for n in s.targets["answer"].names}  # type: ignore[union-attr]
        assert found == set(NIH_14)


@pytest.mark.parametrize(
    ("table", "old", "new", "fault"),
    [
        (
            "BBox_List_2017.csv",
            "00000002_000.png,Atelectasis,353.08,",
            "00000002_000.png,Atelectasis,wide,",
            "line 4: box ['wide'",
        ),
        ("BBox_List_2017.csv", "Atelectasis,353.08,", "Infiltration,353.08,", "line 4: label 'Infiltration'"),
        ("BBox_List_2017.csv", "Atelectasis,353.08,", "Atelectasis,1353.08,", "line 4: box ['1353.08'"),
        ("BBox_List_2017.csv", "79.19,,,", "79.19,7,,", "line 2: 9 fields, expected 6"),
        ("Data_Entry_2017.csv", "Atelectasis,2,", "Atelektasis,2,", "line 4: label 'Atelektasis'"),
        ("Data_Entry_2017.csv", "013M", "old", "line 4: age 'old'"),
        (
            "Data_Entry_2017.csv",
            ",Atelectasis,2,2,013M,F,PA,2682,2749,0.143,0.143,",
            ",Atelectasis",
            "line 4: 2 fields",
        ),
    ],
)
def test_faulty_rows_of_nih(table: str, old: str, new: str, fault: str, mini: Make) -> None:
    folder = mini("nih-chestxray")
    text = (folder / table).read_text()
    assert old in text
    (folder / table).write_text(text.replace(old, new, 1))
    reader = NihBoxes(folder) if table.startswith("BBox") else NihLabels(folder)
    clear_error(reader.samples("test"), f"{table}, {fault}")


def test_nih_lists_are_needed_only_where_asked(mini: Make) -> None:
    folder = mini("nih-chestxray:flat")
    (folder / "train_val_list.txt").unlink()
    reader = NihLabels(folder)
    assert len(list(reader.samples("test"))) == 4
    clear_error(reader.samples("train"), "train_val_list.txt: not found")
    packed = folder / "BBox_List_2017.csv.gz"
    packed.write_bytes(gzip.decompress(packed.read_bytes()))
    clear_error(NihBoxes(folder).samples("test"), "damaged gzip")
    with pytest.raises(DataError, match=r"Data_Entry_2017\.csv: not found"):
        NihLabels(folder / "images")


# --- MS-CXR ---


def test_a_box_is_a_sample(made: Folders) -> None:
    mimic = made["mimic-cxr-jpg:annotated"]
    first, second, third, *_ = MsCxr(made["ms-cxr"], images=mimic).samples("test")
    assert [first.id, second.id] == [f"{FRONTAL[0].dicom}|1", f"{FRONTAL[0].dicom}|2"]
    assert first.cluster == "10000001"
    assert first.targets["answer"] == second.targets["answer"] == Text(("left apical pneumothorax",))
    assert first.targets["boxes"] == Boxes((Box("Pneumothorax", 10, 5, 22, 25),))
    assert first.slots == {"target": "[0.20, 0.08, 0.44, 0.42]"}
    assert second.slots == {"target": "[0.60, 0.08, 1.00, 0.42]"}
    assert third.targets["answer"] == Text(("right lower lobe pneumonia",))
    assert third.strata == {"category": "Pneumonia"}
    assert first.images[0].path == picture_path(mimic, "10000001", "50000001", FRONTAL[0].dicom)


def test_both_forms_hold_the_same(made: Folders) -> None:
    as_csv, as_json = (
        [
            (s.id, s.targets, s.slots, s.strata)
            for s in MsCxr(made["ms-cxr"], images=made["ms-cxr"], form=form).samples("all")
        ]
        for form in ("csv", "json")
    )
    assert as_csv == as_json


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("x", "left", "line 2: box or picture size is no number"),
        ("w", "0", "line 2: the box has no area"),
        ("path", "50000001.jpg", "line 2: path <str of length 12"),
        ("split", "10000001", "line 2: split <str of length 8"),
    ],
)
def test_faulty_rows_of_ms_cxr(column: str, value: str, fault: str, mini: Make) -> None:
    folder = mini("ms-cxr:1.1.0")
    table = folder / "MS_CXR_Local_Alignment_v1.1.0.csv"
    rewrite(table, lambda rows: rows[1].__setitem__(rows[0].index(column), value))
    clear_error(MsCxr(folder, images=folder).samples("test"), fault)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda d: d.pop("images"), "expected COCO's images"),
        (lambda d: d["annotations"][1].update(image_id=99), "annotation 2: expected image_id"),
        (lambda d: d["annotations"][1].update(bbox=[1, 2]), "annotation 2: expected image_id"),
    ],
)
def test_faulty_coco_files(change: Callable[[dict[str, Any]], object], fault: str, mini: Make) -> None:
    folder = mini("ms-cxr:json")
    path = folder / "MS_CXR_Local_Alignment_v1.0.0.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    clear_error(MsCxr(folder, images=folder).samples("all"), fault)
    path.unlink()
    with pytest.raises(DataError, match=r"no MS_CXR_Local_Alignment_v\*\.csv or \.json"):
        MsCxr(folder, images=folder)


# --- names ---


def test_the_lists_of_names_have_the_lengths_of_the_papers() -> None:
    assert [len(names) for names in (REGIONS, FINDINGS, CHEXPERT_14, NIH_14)] == [36, 41, 14, 14]
    for names in (REGIONS, FINDINGS, CHEXPERT_14, NIH_14):
        assert len(set(names)) == len(names)
    assert patient_context("", "F") == "Gender:F.\n"
    assert patient_context("", "") == ""


def test_masks_of_an_organ_do_not_share_every_pixel() -> None:
    """The miniature's organs differ, or the tests above could not tell them apart."""
    left, right, heart = (organ_mask(o, (60, 50)) for o in ("Left Lung", "Right Lung", "Heart"))
    assert not np.array_equal(left, right)
    assert not np.array_equal(right, heart)
