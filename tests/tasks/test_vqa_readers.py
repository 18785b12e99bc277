"""Readers of the question-answer sets: miniatures of every layout, real text where it is shared, broken files."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniatures import vqa as mini
from radbench.tasks.readers.path_vqa import PathVqa
from radbench.tasks.readers.picture_index import PictureIndex
from radbench.tasks.readers.pmc_case_report import PmcCaseReport, figure_names, shortened
from radbench.tasks.readers.pmc_vqa import PmcVqa, choice_text
from radbench.tasks.readers.radfm_lists import VqaList
from radbench.tasks.readers.slake import Slake
from radbench.tasks.readers.vqa_rad import VqaRad, question_type
from radbench.tasks.readers.vqamed2019 import VqaMed2019

from radbench.errors import ConfigError, DataError
from radbench.records import Box, Boxes, Labels, Sample, Text

Open = Callable[[Path], Any]


def radfm(table: str, pictures: str) -> Open:
    return lambda root: VqaList(root / "pictures" / pictures, lists=root / "lists", table=table)


# miniature, reader, samples by split, clusters of the test split, ids that are left out
LAYOUTS: list[tuple[str, Open, dict[str, int], set[str], set[str]]] = [
    ("vqa-rad", VqaRad, {"train": 9, "test": 9}, {f"https://example.org/case/{i}" for i in range(3)}, set()),
    ("vqa-rad:derived", VqaRad, {"train": 9, "test": 9}, {f"synpic0000{i}.jpg" for i in (1, 3, 5)}, set()),
    ("vqa-rad:octomed", VqaRad, {"train": 9, "test": 9}, {f"synpic0000{i}.jpg" for i in (1, 3, 5)}, set()),
    ("slake", Slake, {"train": 11, "val": 4, "test": 12}, {"904", "905", "906"}, {"99024"}),
    ("slake:hub-json", Slake, {"train": 11, "val": 4, "test": 12}, {"904", "905", "906"}, {"99024"}),
    ("path-vqa:json", PathVqa, {"train": 5, "val": 5, "test": 5}, {"test_0000", "test_0001"}, set()),
    ("pmc-vqa", PmcVqa, {"train": 4, "test": 8}, {f"PMC000000{i}" for i in (2, 3, 4, 5)}, set()),
    ("pmc-vqa:early", PmcVqa, {"train": 4, "test": 4}, {"PMC0000002", "PMC0000003"}, set()),
    ("pmc-case-report", PmcCaseReport, {"train": 5, "test": 5}, {f"PMC000000{i}" for i in (2, 3, 4)}, {"train-6", "test-6"}),
    ("pmc-case-report:csv", PmcCaseReport, {"train": 5, "test": 5}, {f"PMC000000{i}" for i in (2, 3, 4)}, {"train-6", "test-6"}),
    ("vqamed2019", VqaMed2019, {"train": 12, "val": 12, "test": 8}, {f"synpic{i:05d}" for i in range(6, 14)}, set()),
    ("vqamed2019:mevf", VqaMed2019, {"train": 12, "val": 12}, set(), set()),
    ("radfm-questions", radfm("pmcvqa", "pmc"), {"train": 4, "test": 4}, {"PMC0000002", "PMC0000003"}, set()),
    ("radfm-questions", radfm("vqarad", ""), {"train": 9, "test": 9}, {f"synpic0000{i}.jpg" for i in (1, 3, 5)}, set()),
    ("radfm-questions", radfm("slakevqa", "slake"), {"train": 12, "test": 12},
     {f"xmlab90{i}/source.jpg" for i in (4, 5, 6)}, set()),
    ("radfm-questions", radfm("case_report", ""), {"train": 5, "test": 5},
     {f"PMC000000{i}" for i in (2, 3, 4)}, {"train-6", "test-6"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "reader", "sizes", "clusters", "removed"), LAYOUTS)
def test_every_layout_reads_to_the_end(
    name: str, reader: Open, sizes: dict[str, int], clusters: set[str], removed: set[str], tmp_path: Path
) -> None:
    mini.MINIATURES[name](tmp_path)
    opened = reader(tmp_path)
    samples = {split: list(opened.samples(split)) for split in sizes}
    assert {split: len(found) for split, found in samples.items()} == sizes
    assert {s.cluster for s in samples.get("test", [])} == clusters
    assert getattr(opened, "removed", set()) == removed
    for found in samples.values():
        assert len({s.id for s in found}) == len(found)
        for sample in found:
            assert sample.slots["question"]
            assert isinstance(sample.targets["answer"], Text)
            assert all(image.load().size == (48, 64) for image in sample.images)
    again = reader(tmp_path)
    assert {split: [s.id for s in again.samples(split)] for split in sizes} == {
        split: [s.id for s in found] for split, found in samples.items()
    }
    assert opened.fingerprint() == again.fingerprint()


@pytest.mark.parametrize(
    ("name", "reader", "sizes", "pictures"),
    [
        ("vqa-rad:hub", VqaRad, {"train": 9, "test": 9}, 3),
        ("slake:hub-parquet", Slake, {"train": 11, "val": 4, "test": 12}, 3),
        ("path-vqa", PathVqa, {"train": 5, "val": 5, "test": 5}, 2),
    ],
)
def test_hub_copies_that_name_no_picture_tell_them_by_their_bytes(
    name: str, reader: Open, sizes: dict[str, int], pictures: int, tmp_path: Path
) -> None:
    mini.MINIATURES[name](tmp_path)
    samples = {split: list(reader(tmp_path).samples(split)) for split in sizes}
    assert {split: len(found) for split, found in samples.items()} == sizes
    assert len({s.id for found in samples.values() for s in found}) == sum(sizes.values())
    by_cluster: dict[str, set[bytes]] = {}
    for sample in samples["test"]:
        by_cluster.setdefault(str(sample.cluster), set()).add(sample.images[0].load().array.tobytes())
    assert len(by_cluster) == pictures
    assert all(len(found) == 1 for found in by_cluster.values())
    assert len(set.union(*by_cluster.values())) == pictures


def first(reader: Any, split: str = "test", number: int = 0) -> Sample:
    sample: Sample = list(reader.samples(split))[number]
    return sample


# --- one sample of every layout, word for word ---


def test_vqa_rad_official(tmp_path: Path) -> None:
    mini.vqa_rad(tmp_path)
    samples = list(VqaRad(tmp_path).samples("test"))
    assert (samples[0].id, samples[0].targets["answer"], samples[0].slots) == (
        "9004", Text(("The heart",)), {"question": "What organ is enlarged?"},
    )  # fmt: skip
    assert samples[0].images[0].path.endswith("osfstorage-archive/VQA_RAD Image Folder/synpic00001.jpg")
    assert samples[1].strata == {
        "answer_type": "closed", "question_type": "PRES, SIZE", "organ": "CHEST", "phrase_type": "para",
    }  # fmt: skip
    assert samples[2].targets["answer"] == Text(("5.6",))
    assert samples[2].strata["question_type"] == "OTHER"
    train = list(VqaRad(tmp_path).samples("train"))
    assert train[2].targets["answer"] == Text(("3",))
    assert [s.strata["question_type"] for s in train[:3]] == ["PRES", "PRES", "COUNT, ATTRIB"]


def test_vqa_rad_paraphrases_are_questions_of_their_own_in_train_alone(tmp_path: Path) -> None:
    mini.vqa_rad(tmp_path)
    reader = VqaRad(tmp_path, paraphrases=True)
    train = list(reader.samples("train"))
    assert len(train) == 15
    assert (train[1].id, train[1].slots["question"]) == ("9001-rephrased", "Is an effusion seen?")
    assert train[1].targets == train[0].targets
    assert len(list(reader.samples("test"))) == 9
    assert reader.fingerprint() != VqaRad(tmp_path).fingerprint()


def test_vqa_rad_hub_takes_yes_and_no_for_closed(tmp_path: Path) -> None:
    mini.vqa_rad_hub(tmp_path)
    samples = list(VqaRad(tmp_path).samples("test"))
    assert [s.strata for s in samples[:3]] == [{"answer_type": t} for t in ("open", "closed", "open")]


def test_slake_languages_and_content(tmp_path: Path) -> None:
    mini.slake(tmp_path)
    sample = first(Slake(tmp_path))
    assert (sample.id, sample.cluster, sample.targets) == ("99040", "904", {"answer": Text(("Yes",))})
    assert sample.slots == {"question": "Does the picture contain liver?", "modality": "X-Ray"}
    assert sample.strata == {
        "modality": "X-Ray", "location": "Lung", "content_type": "Organ", "answer_type": "closed", "base_type": "vqa",
    }  # fmt: skip
    chinese = list(Slake(tmp_path, language="zh").samples("test"))
    assert [s.slots["question"] for s in chinese] == ["图中有肝脏吗？"] * 3
    assert len(list(Slake(tmp_path, language="all").samples("test"))) == 15
    with pytest.raises(ConfigError, match="no language 'de' but en, zh, all"):
        Slake(tmp_path, language="de")


def test_slake_boxes_are_one_sample_an_image(tmp_path: Path) -> None:
    mini.slake(tmp_path)
    reader = Slake(tmp_path, boxes=True)
    four, six = reader.samples("test")
    assert (four.id, four.targets["boxes"]) == (
        "904", Boxes((Box("Liver", 4, 6, 24, 16), Box("Spleen", 30.5, 8, 42.5, 22))),
    )  # fmt: skip
    assert (six.id, reader.removed) == ("906", {"905"})
    assert "answer" not in four.targets
    before = reader.fingerprint()
    broken = tmp_path / "Slake1.0/imgs/xmlab904/detection.json"
    broken.write_text('[{"Liver": [4, 6, 20]}]')
    assert reader.fingerprint() != before
    with pytest.raises(DataError, match=r"xmlab904/detection\.json, item 1: .* expected one name with \[x, y, w, h\]"):
        list(reader.samples("test"))
    assert len(list(Slake(tmp_path).samples("test"))) == 12  # questions do not depend on the boxes


def test_path_vqa_content(tmp_path: Path) -> None:
    mini.path_vqa_json(tmp_path)
    samples = list(PathVqa(tmp_path).samples("test"))
    assert samples[0].images[0].path.endswith("pvqa/images/test/test_0000.jpg")
    assert (samples[0].id, samples[0].targets["answer"]) == ("200", Text(("yes",)))
    assert [tuple(s.strata.values()) for s in samples] == [
        ("closed", "is"), ("open", "what"), ("closed", "are"), ("open", "where"), ("open", "other"),
    ]  # fmt: skip
    mini.path_vqa(tmp_path / "hub")
    hub = list(PathVqa(tmp_path / "hub").samples("test"))
    assert [s.slots for s in hub] == [s.slots for s in samples]
    assert [s.targets for s in hub] == [s.targets for s in samples]
    assert [s.strata for s in hub] == [s.strata for s in samples]


@pytest.mark.parametrize("name", ["pvqa/qas/test/test_qa.pkl", "pvqa/qas/test_vqa.pkl"])
def test_path_vqa_never_opens_a_pickle(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    path.chmod(0)
    with pytest.raises(DataError, match=r"pkl: the questions are a Python pickle.*\n.*flaviagiammarino/path-vqa"):
        PathVqa(tmp_path)
    (tmp_path / "pvqa/qas/val_vqa.jsonl").write_text('{"image": "a.jpg", "question": "is it?", "answer": "no"}\n')
    with pytest.raises(DataError, match="Python pickle"):
        list(PathVqa(tmp_path).samples("test"))
    assert first(PathVqa(tmp_path), "val").images[0].path.endswith("/a.jpg")


def test_pmc_vqa_versions(tmp_path: Path) -> None:
    mini.pmc_vqa(tmp_path)
    sample = first(PmcVqa(tmp_path), number=2)
    texts = ("MRI", "CT", "Ultrasound, with contrast", "Chest X-ray")
    assert sample == Sample(
        id="test-3",
        cluster="PMC0000003",
        targets={"answer": Text((texts[2],)), "choice": Labels((texts[2],)), "letter": Labels(("C",))},
        images=sample.images,
        slots={
            "question": "What imaging technique is shown?",
            "options": "A: MRI\nB: CT\nC: Ultrasound, with contrast\nD: Chest X-ray",
        },
        choices=texts,
        strata={"answer": "C"},
    )
    assert sample.images[0].path.endswith("/images/PMC0000003_Fig6.jpg")
    second = first(PmcVqa(tmp_path, version="2"), number=2)
    assert (second.id, second.targets, second.slots) == ("test_2-3", sample.targets, sample.slots)
    assert second.images[0].path.endswith("/images_2/PMC0000003_Fig6.jpg")
    clean = list(PmcVqa(tmp_path, clean=True).samples("test"))
    assert [s.id for s in clean] == ["test_clean-1", "test_clean-2", "test_clean-3"]
    prints = {PmcVqa(tmp_path, version=v, clean=c).fingerprint() for v, c in (("1", False), ("1", True), ("2", False))}
    assert len(prints) == 3
    with pytest.raises(ConfigError, match="no version '2' with a clean test set"):
        PmcVqa(tmp_path, version="2", clean=True)


def test_pmc_vqa_looks_into_all_folders_there_are(tmp_path: Path) -> None:
    mini.pmc_vqa(tmp_path)
    moved = tmp_path / "figures/figures/PMC0000002_Fig4.jpg"
    moved.parent.mkdir(parents=True)
    (tmp_path / "images/PMC0000002_Fig4.jpg").rename(moved)
    paths = [s.images[0].path for s in PmcVqa(tmp_path).samples("test")]
    assert paths[0] == str(moved)
    assert paths[1] == str(tmp_path / "images/PMC0000002_Fig5.jpg")


def test_pmc_case_report_content(tmp_path: Path) -> None:
    mini.pmc_case_report(tmp_path)
    samples = list(PmcCaseReport(tmp_path).samples("test"))
    assert samples[1].id == "test-2"
    assert samples[1].slots == {
        "question": "Was the DNA: sample clean?",
        "context": "A 40-year-old man came. It grew. It was removed. He went home. He is well.",
    }
    assert samples[1].targets["answer"] == Text(("Yes",))
    assert samples[0].slots == {"question": "What did the CT show?", "context": "A short story. It ends."}
    assert [s.strata["pictures"] for s in samples] == ["none", "one", "several", "none", "one"]
    names = [Path(i.path).name for i in samples[2].images]
    assert names == ["PMC0000003_FIG1.jpg", "PMC0000003_FIG2.jpg"]
    elsewhere = first(PmcCaseReport(tmp_path, images=tmp_path / "other"), number=1)
    assert elsewhere.images[0].path == str(tmp_path / "other/PMC0000003_FIG1.jpg")


def test_vqamed_forms(tmp_path: Path) -> None:
    mini.vqamed2019(tmp_path / "text")
    mini.vqamed2019_mevf(tmp_path / "lists")
    text, lists = VqaMed2019(tmp_path / "text"), VqaMed2019(tmp_path / "lists")
    for split in ("train", "val"):
        ours, theirs = list(text.samples(split)), list(lists.samples(split))
        assert [(s.id, s.cluster, s.slots, s.targets) for s in ours] == [
            (s.id, s.cluster, s.slots, s.targets) for s in theirs
        ]
        assert [s.strata["category"] for s in ours] == [s.strata["category"] for s in theirs]
    assert [s.strata["answer_type"] for s in lists.samples("val")][:4] == ["open", "open", "open", "closed"]
    assert first(text, number=2).targets["answer"] == Text(("skull and contents", "spine and contents"))
    assert first(text).images[0].path.endswith("VQAMed2019Test/VQAMed2019_Test_Images/synpic00006.jpg")
    with pytest.raises(DataError, match=r"VQAMed2019_Test_Questions_w_Ref_Answers\.txt: not found"):
        list(lists.samples("test"))
    with pytest.raises(DataError, match="no split 'all' but train, val, test"):
        list(text.samples("all"))


def test_lists_named_alike_are_not_taken_for_each_other(tmp_path: Path) -> None:
    mini.vqa_rad_derived(tmp_path / "rad")
    mini.vqamed2019_mevf(tmp_path / "med")
    with pytest.raises(DataError, match=r"item 1: no 'image_organ'.*\n.*VQA-Med 2019 is also"):
        list(VqaRad(tmp_path / "med").samples("test"))
    with pytest.raises(DataError, match=r"item 1: question_type is 'prse'.*\n.*VQA-RAD is also"):
        rows = json.loads((tmp_path / "rad/data_RAD/trainset.json").read_text())[1:]
        (tmp_path / "rad/data_RAD/trainset.json").write_text(json.dumps(rows))
        list(VqaMed2019(tmp_path / "rad").samples("train"))


def test_radfm_lists_find_the_users_pictures(tmp_path: Path) -> None:
    mini.radfm_questions(tmp_path)
    lists = tmp_path / "lists"
    pmc = first(VqaList(tmp_path / "pictures", lists=lists, table="pmcvqa_test.csv"))
    assert pmc == first(VqaList(tmp_path / "pictures", lists=lists, table="pmcvqa"))
    assert pmc.images[0].path == str(tmp_path / "pictures/pmc/PMC0000002_Fig4.png")
    assert (pmc.id, pmc.cluster, pmc.targets["answer"]) == ("test-1", "PMC0000002", Text(("MRI",)))
    slake = first(VqaList(tmp_path / "pictures", lists=lists, table="slakevqa"), number=4)
    assert slake.images[0].path == str(tmp_path / "pictures/slake/xmlab905/source.jpg")
    (tmp_path / "pictures/slake/xmlab905/source.jpg").unlink()
    lost = first(VqaList(tmp_path / "pictures", lists=lists, table="slakevqa"), number=4)
    assert lost.images[0].path == str(tmp_path / "pictures/xmlab905/source.jpg")  # not another image's source.jpg
    with pytest.raises(ConfigError, match=r"no question table 'pmcqa': did you mean 'pmcvqa'"):
        VqaList(tmp_path, lists=lists, table="pmcqa")
    (lists / "filtered_case_report_test.csv").unlink()
    with pytest.raises(
        DataError, match=r"filtered_case_report_test\.csv: not found; expected a list of RadFM_data_csv"
    ):
        list(VqaList(tmp_path, lists=lists, table="filtered_case_report").samples("test"))


@pytest.mark.parametrize(("table", "count"), [("pmcvqa", 4), ("vqarad", 9), ("slakevqa", 12), ("case_report", 5)])
def test_a_list_none_of_whose_pictures_is_there_is_one_error(table: str, count: int, tmp_path: Path) -> None:
    mini.radfm_questions(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=rf"_test\.csv: none of its {count} pictures lies (below|in) .*empty") as caught:
        list(VqaList(tmp_path / "empty", lists=tmp_path / "lists", table=table).samples("test"))
    assert "--data NAME=FOLDER" in caught.value.remedy


# --- pictures by the ends of their authors' paths ---


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)  # no two alike
    return root


def test_a_name_that_stands_once_is_found_anywhere(tmp_path: Path) -> None:
    index = PictureIndex(tree(tmp_path, "a/b/00000001_000.png", "c/notes.txt"))
    assert index.find("/authors/x/00000001_000.png") == tmp_path / "a/b/00000001_000.png"
    assert index.find("C:\\x\\00000001_000.png") == tmp_path / "a/b/00000001_000.png"
    assert index.find("/authors/x/00000001_001.png") is None
    assert index.find("/authors/notes.txt") is None
    assert index.find("") is None
    assert index.path("/authors/x/00000001_001.png") == tmp_path / "00000001_001.png"


def test_names_that_repeat_are_told_apart_by_folders(tmp_path: Path) -> None:
    index = PictureIndex(
        tree(tmp_path, *(f"v/p{p}/s{s}/view1.jpg" for p in (1, 2) for s in (1, 2)), "v/p3/s1/view2.jpg")
    )
    assert index.find("/authors/chexpert/train/p2/s1/view1.jpg") == tmp_path / "v/p2/s1/view1.jpg"
    assert index.find("/authors/p9/s1/view1.jpg") is None
    assert index.find("s1/view1.jpg") is None
    assert index.find("/authors/p9/s1/view2.jpg") is None, "the only view2 is another patient's"
    assert index.find("/authors/p3/s1/view2.jpg") == tmp_path / "v/p3/s1/view2.jpg"


def test_a_stray_copy_does_not_hide_the_others(tmp_path: Path) -> None:
    index = PictureIndex(tree(tmp_path, *(f"images/{i:08d}_000.png" for i in range(9)), "samples/00000003_000.png"))
    assert index.find("/authors/nih/00000004_000.png") == tmp_path / "images/00000004_000.png"
    assert index.find("/authors/images/00000003_000.png") == tmp_path / "images/00000003_000.png"
    assert index.find("/authors/nih/00000003_000.png") is None


def test_identical_copies_of_pictures_count_as_one(tmp_path: Path) -> None:
    root = tree(tmp_path, *(f"images/{i:08d}_000.png" for i in range(9)), "more/other.png")
    shutil.copytree(root / "images", root / "backup" / "images")
    shutil.move(root / "backup" / "images" / "00000007_000.png", root / "backup" / "00000009_000.png")
    index = PictureIndex(root)
    assert index.find("/authors/nih/00000004_000.png") == root / "backup/images/00000004_000.png"
    assert index.find("/authors/nih/00000007_000.png") == root / "images/00000007_000.png"  # not copied
    assert index.find("/authors/nih/00000009_000.png") == root / "backup/00000009_000.png"
    (root / "images/00000004_000.png").write_text("images/00000004_00x.png")  # of one size, another picture
    index = PictureIndex(root)
    assert index.find("/authors/nih/00000004_000.png") is None
    with pytest.raises(DataError, match=r"none of its 2 pictures .* \(1 have a name that several different files"):
        index.require_some(["/authors/nih/00000004_000.png", "/authors/nih/x.png"], tmp_path / "list.csv")


def test_another_format_counts_where_there_is_no_better(tmp_path: Path) -> None:
    index = PictureIndex(tree(tmp_path, "a.dicom", "b.png", "b.jpg", "1.2.840.1.dcm", "v.nii.gz"))
    assert index.find("/x/a.png") == tmp_path / "a.dicom"
    assert index.find("/x/b.jpg") == tmp_path / "b.jpg"
    assert index.find("/x/b.tif") == tmp_path / "b.png"
    assert index.find("/x/1.2.840.1") == tmp_path / "1.2.840.1.dcm"
    assert index.find("/x/v.npy") == tmp_path / "v.nii.gz"
    assert PictureIndex(tmp_path, suffixes=(".png",)).find("/x/a.png") is None


def test_path_map_comes_first(tmp_path: Path) -> None:
    tree(tmp_path, "new/x/1.png", "new/y/1.png", "else/1.png")
    index = PictureIndex(tmp_path, path_map=f"/authors/old=new/x; /authors/more={tmp_path}/else")
    assert index.find("/authors/old/1.png") == tmp_path / "new/x/1.png"
    assert index.find("/authors/more/1.png") == tmp_path / "else/1.png"
    assert index.find("/authors/older/1.png") is None
    with pytest.raises(ConfigError, match="path_map '/authors': expected old=new"):
        PictureIndex(tmp_path, path_map="/authors")


def test_links_are_followed_once(tmp_path: Path) -> None:
    tree(tmp_path / "far", "a.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link").symlink_to(tmp_path / "far")
    (tmp_path / "far/loop").symlink_to(tmp_path / "far")
    assert PictureIndex(tmp_path / "root").find("/x/a.png") == tmp_path / "root/link/a.png"


_STEP = st.sampled_from(["a", "b", "1"])


@given(st.sets(st.lists(_STEP, min_size=1, max_size=4).map(tuple), min_size=1, max_size=8), st.lists(_STEP, max_size=3))
def test_a_whole_path_under_any_root_is_found(
    tmp_path_factory: pytest.TempPathFactory, paths: set[tuple[str, ...]], above: list[str]
) -> None:
    """What is found shares more of its end with the path than any other file; among paths of one length it is the file."""
    root = tree(tmp_path_factory.mktemp("index"), *("/".join(p) + ".png" for p in paths))
    index = PictureIndex(root)
    for path in paths:
        asked = "/".join(["/authors", *above, *path]) + ".png"
        found = index.find(asked)
        shared = {p: shared_steps(p, (*above, *path)) for p in paths}
        best = [p for p in paths if shared[p] == max(shared.values())]
        assert found in {None, *(root.joinpath(*p[:-1], f"{p[-1]}.png") for p in best if len(best) == 1)}
        if len(set(map(len, paths))) == 1:
            assert found == root.joinpath(*path[:-1], f"{path[-1]}.png")


def shared_steps(path: tuple[str, ...], wanted: tuple[str, ...]) -> int:
    pairs = zip(reversed(path), reversed(("authors", *wanted)), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


# --- parsing ---


@given(st.sampled_from("ABCD"), st.text(alphabet=st.characters(exclude_characters=":", exclude_categories=["C", "Z"])))
def test_a_choice_loses_its_letter_and_nothing_else(letter: str, said: str) -> None:
    assert choice_text(f" {letter}:{said} ", letter) == said
    assert choice_text(f"{letter}: {said}", letter) == said
    assert choice_text(said, letter) == said


@given(st.lists(st.text(max_size=8), max_size=4))
def test_figure_names_come_back_from_their_python_form(names: list[str]) -> None:
    expected = [n.strip() for n in names]
    assert figure_names({"img_ref": repr(names)}, "t, line 2") == expected
    assert figure_names({"img_ref": names}, "t, line 2") == expected


@given(st.text(max_size=20))
def test_a_broken_figure_list_is_a_data_error_or_a_list(said: str) -> None:
    try:
        assert isinstance(figure_names({"img_ref": said}, "t, line 2"), list)
    except DataError as error:
        assert error.message.startswith("t, line 2: img_ref is ")


@given(
    st.lists(st.sampled_from(["It grew.", "He is 3.5 m tall.", "Why?", "The CT was clear."]), min_size=1, max_size=9)
)
def test_contexts_keep_the_first_and_the_last_four_sentences(sentences: list[str]) -> None:
    expected = sentences if len(sentences) <= 5 else [sentences[0], *sentences[-4:]]
    assert shortened(" ".join(sentences)) == " ".join(expected)


@given(st.lists(st.sampled_from(["PRES", "abn ", "ATRIB", "Other", "XYZQ"]), max_size=3))
def test_question_types_do_not_depend_on_order_or_case(types: list[str]) -> None:
    assert question_type(", ".join(types)) == question_type(",".join(t.lower() for t in reversed(types)))
    assert question_type(question_type(",".join(types))) == question_type(",".join(types))


# --- broken copies ---


def spoiled(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text(encoding="utf-8-sig")), encoding="utf-8")


BROKEN: list[tuple[str, Open, str, Callable[[str], str], str]] = [
    ("vqa-rad", VqaRad, "osfstorage-archive/VQA_RAD Dataset Public.json", lambda t: t.replace('"test_para"', '"later"'),
     r"Public\.json, item 5: phrase_type is 'later', expected freeform, para, test_freeform, test_para"),
    ("vqa-rad", VqaRad, "osfstorage-archive/VQA_RAD Dataset Public.json", lambda t: t.replace('"image_name"', '"image"'),
     r"Public\.json, item 4: no 'image_name'; it has qid, phrase_type"),
    ("vqa-rad", VqaRad, "osfstorage-archive/VQA_RAD Dataset Public.json", lambda t: t.replace("5.6", '{"cm": 5.6}'),
     r"Public\.json, item 6: answer is \{'cm': 5\.6\}, expected a text or a number"),
    ("slake", Slake, "Slake1.0/test.json", lambda t: t[:-2], r"test\.json, "),
    ("slake", Slake, "Slake1.0/test.json", lambda t: t.replace('"q_lang"', '"lang"'), r"item 1: no 'q_lang'; it has img_id"),
    ("slake", Slake, "Slake1.0/test.json", lambda t: "{}", r"expected a list of objects, found '\{'"),
    ("path-vqa:json", PathVqa, "pvqa/qas/test_vqa.json", lambda t: t.replace('{"yes": 1}', '"yes"'),
     r"test_vqa\.json, item 1: label is 'yes', expected an object"),
    ("pmc-vqa", PmcVqa, "test.csv", lambda t: t.replace("Choice C", "Option C"),
     r"test\.csv, line 2: no 'Choice C'; it has Figure_path, Question, Answer, Choice A, Choice B, Option C"),
    ("pmc-vqa", PmcVqa, "test.csv", lambda t: t.replace(",B\n", ",E\n"),
     r"line 3: the right option is 'E', expected A, B, C or D"),
    ("pmc-case-report:csv", PmcCaseReport, "filtered_case_report_test.csv", lambda t: t.replace("['FIG1']", "FIG1"),
     r"filtered_case_report_test\.csv, line \d: img_ref is 'FIG1', expected a list such as \['fig1', 'fig2'\]"),
    ("radfm-questions", radfm("vqarad", ""), "lists/vqarad_test.csv", lambda t: t.replace("Figure_path", "path"),
     r"vqarad_test\.csv, line 2: no 'Figure_path'; it has img_root_dir, path"),
    ("vqamed2019:mevf", VqaMed2019, "data_RAD/trainset.json", lambda t: t.replace('"PLANE"', '"SIZE"'),
     r"trainset\.json, item 2: question_type is 'size', expected abnormality, modality, organ, plane or abn"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "reader", "file", "change", "message"), BROKEN)
def test_a_broken_file_is_one_clear_error(
    name: str, reader: Open, file: str, change: Callable[[str], str], message: str, tmp_path: Path
) -> None:
    mini.MINIATURES[name](tmp_path)
    spoiled(tmp_path / file, change)
    split = "train" if "train" in file else "test"
    with pytest.raises(DataError, match=message):
        list(reader(tmp_path).samples(split))


@pytest.mark.parametrize("reader", [VqaRad, Slake, PathVqa, PmcVqa, PmcCaseReport, VqaMed2019])
def test_an_empty_folder_and_an_unknown_split(reader: Open, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not found; expected"):
        list(reader(tmp_path).samples("test"))
    name = {VqaRad: "vqa-rad:hub", Slake: "slake", PathVqa: "path-vqa", PmcVqa: "pmc-vqa",
            PmcCaseReport: "pmc-case-report", VqaMed2019: "vqamed2019"}[reader]  # fmt: skip
    mini.MINIATURES[name](tmp_path)
    with pytest.raises(DataError, match=r"no split 'extra' but train, .*test"):
        list(reader(tmp_path).samples("extra"))


def test_a_missing_split_is_an_error_only_when_asked_for(tmp_path: Path) -> None:
    mini.slake(tmp_path)
    (tmp_path / "Slake1.0/validate.json").unlink()
    assert len(list(Slake(tmp_path).samples("test"))) == 12
    with pytest.raises(DataError, match="no split 'val' but train, test"):
        list(Slake(tmp_path).samples("val"))


def test_a_hub_copy_without_pictures_says_so(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    (tmp_path / "data").mkdir()
    table = pyarrow.Table.from_pylist([{"question": "is it?", "answer": "no"}])
    pyarrow.parquet.write_table(table, tmp_path / "data/test-00000-of-00001.parquet")
    with pytest.raises(DataError, match=r"split 'test': no column 'image'; it has question, answer"):
        list(VqaRad(tmp_path).samples("test"))


def test_hidden_and_damaged_files_of_a_hub_copy(tmp_path: Path) -> None:
    mini.vqa_rad_hub(tmp_path)
    before = list(VqaRad(tmp_path).samples("test")), VqaRad(tmp_path).fingerprint()
    (test,) = tmp_path.glob("data/test-*.parquet")
    for name in ("data/._test-0.parquet", "__MACOSX/data/test-0.parquet", ".cache/huggingface/test-0.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert (list(VqaRad(tmp_path).samples("test")), VqaRad(tmp_path).fingerprint()) == before
    whole = test.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :]):
        test.write_bytes(damaged)
        with pytest.raises(DataError, match=r"test-.*\.parquet: cannot be read .*\n.*download the file again"):
            list(VqaRad(tmp_path).samples("test"))


def test_vqamed_rows_are_trimmed_and_blank_answers_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mini.vqamed2019(tmp_path)
    path = tmp_path / "VQA-Med-2019/VQAMed2019Test/VQAMed2019_Test_Questions_w_Ref_Answers.txt"
    rows = path.read_text().splitlines()
    rows[0] = " synpic00006 | Modality | what kind of image is this? | ct with iv contrast "
    spoilt_rows = [*rows[:3], "synpic00009|abnormality|is it?| # ", *rows[4:], "synpic00014|plane|which?|"]
    before = list(VqaMed2019(tmp_path).samples("test"))
    path.write_text("\n".join(spoilt_rows))
    reader = VqaMed2019(tmp_path)
    with caplog.at_level(logging.INFO, "radbench"):
        assert list(reader.samples("test")) == before[:3] + before[4:]
    assert reader.removed == {"synpic00009-1", "synpic00014-1"}
    assert [r.getMessage() for r in caplog.records] == ["2 questions without a text or an answer are left out"]
    path.write_bytes("synpic00006|plane|where?|c\u00f4t\u00e9\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"w_Ref_Answers\.txt: not UTF-8 \(byte 26\)"):
        list(reader.samples("test"))


def test_vqa_rad_pictures_whose_suffix_is_in_capitals(tmp_path: Path) -> None:
    mini.vqa_rad(tmp_path)
    folder = tmp_path / "osfstorage-archive/VQA_RAD Image Folder"
    for path in sorted(folder.iterdir())[:4]:
        path.rename(path.with_suffix(".JPG"))
    found = {Path(s.images[0].path) for split in ("train", "test") for s in VqaRad(tmp_path).samples(split)}
    assert found == set(folder.iterdir())


# --- the real text ---


def test_slake_test_is_the_specified_one(shared: Path) -> None:
    samples = list(Slake(shared / "slake_text").samples("test"))
    counts = {axis: Counter(s.strata[axis] for s in samples) for axis in samples[0].strata}
    assert counts["answer_type"] == {"open": 645, "closed": 416}
    assert counts["modality"] == {"CT": 472, "X-Ray": 361, "MRI": 228}
    assert counts["content_type"] == {
        "Organ": 253, "Position": 186, "Abnormality": 150, "KG": 148, "Modality": 108, "Size": 65, "Plane": 58,
        "Quantity": 52, "Color": 34, "Shape": 7,
    }  # fmt: skip
    assert counts["location"] == {
        "Lung": 419, "Abdomen": 313, "Brain_Tissue": 166, "Pelvic Cavity": 47, "Brain": 42, "Neck": 35, "Brain_Face": 29,
        "Chest_mediastinal": 10,
    }  # fmt: skip
    answers = Counter(s.targets["answer"].first.lower() for s in samples if s.strata["answer_type"] == "closed")  # type: ignore[union-attr]
    assert (answers["no"], answers["yes"]) == (180, 175)
    assert len({s.id for s in samples}) == 1061
    assert len(list(Slake(shared / "slake_text", language="all").samples("test"))) == 2094


def test_vqamed_sizes_are_those_of_the_release(shared: Path) -> None:
    reader = VqaMed2019(shared / "vqamed")
    for split, questions, images in (("train", 12_792, 3_200), ("val", 2_000, 500), ("test", 500, 500)):
        samples = list(reader.samples(split))
        assert (len(samples), len({s.id for s in samples}), len({s.cluster for s in samples})) == (
            questions, questions, images,
        )  # fmt: skip
    assert Counter(s.strata["category"] for s in samples) == dict.fromkeys(
        ("modality", "plane", "organ", "abnormality"), 125
    )
    assert sum(len(s.targets["answer"].alternatives) > 1 for s in samples) == 12  # type: ignore[union-attr]


def test_miniatures_hold_tables_that_csv_reads_alike(tmp_path: Path) -> None:
    """The made-up tables are well-formed: as many cells in every row as in the header."""
    mini.radfm_questions(tmp_path)
    for path in (tmp_path / "lists").iterdir():
        with path.open(newline="", encoding="utf-8") as f:
            widths = {len(row) for row in csv.reader(f)}
        assert len(widths) == 1, path.name
