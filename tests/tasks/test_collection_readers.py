"""MedPix, Rad3D, ROCO, HAM10000, AbdomenCT-1K, MedMNIST, WCE and plain samples, read from made-up copies of their layouts."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniatures.collections import LESIONS, MEDMNIST_LABELS, MINIATURES, table
from miniatures.pictures import png
from radbench.tasks.readers import ham10000, medmnist, rad3d
from radbench.tasks.readers.abdomenct1k import ORGANS, AbdomenCT1K
from radbench.tasks.readers.generic_samples import Samples
from radbench.tasks.readers.ham10000 import Classification, Segmentation
from radbench.tasks.readers.image_folder import ImageFolder
from radbench.tasks.readers.medmnist import MedMNIST
from radbench.tasks.readers.medpix2 import Captions, Cases
from radbench.tasks.readers.medpix_own import Captions as OwnCaptions
from radbench.tasks.readers.medpix_own import Questions as OwnQuestions
from radbench.tasks.readers.medpix_own import words_bin
from radbench.tasks.readers.medpix_radfm import Multi, Questions, Single
from radbench.tasks.readers.rad3d import Caption, Modality, Rationale, Vqa
from radbench.tasks.readers.roco import Roco
from radbench.tasks.readers.wce import Wce

from radbench.dataset import Dataset, Reader, lazy
from radbench.errors import ConfigError, DataError
from radbench.prompting import Renderer
from radbench.records import Boxes, Image, Labels, Mask, Sample, Text
from radbench.task import Task

Open = Callable[[Path], Reader]
# miniature, reader, samples of every split
LAYOUTS: list[tuple[str, Open, dict[str, int]]] = [
    ("medpix-radfm", Single, {"train": 3, "test": 3}),
    ("medpix-radfm", lambda r: Single(r, kinds=("modality", "plane", "caption")), {"train": 11, "test": 11}),
    ("medpix-radfm", lambda r: Single(r, kinds=("modality", "plane"), closed=True), {"train": 8, "test": 2}),
    ("medpix-radfm", Multi, {"train": 4, "test": 4}),
    ("medpix-radfm", lambda r: Multi(r, kinds=("diagnosis", "discussion")), {"train": 8, "test": 8}),
    ("medpix-radfm", Questions, {"train": 4, "test": 4}),
    ("medpix2", Captions, {"train": 10, "val": 6, "test": 5, "all": 21}),
    ("medpix2", Cases, {"train": 3, "val": 2, "test": 2, "all": 7}),
    ("medpix2:older", Captions, {"train": 10, "val": 6, "test": 5, "all": 21}),
    ("medpix2:older", Cases, {"train": 3, "val": 2, "test": 2, "all": 7}),
    ("medpix-own", OwnQuestions, {"train": 3, "val": 3, "test": 6}),
    ("medpix-own", OwnCaptions, {"train": 3, "val": 3, "test": 6}),
    ("rad3d", Modality, {"train": 10, "test": 10}),
    ("rad3d", lambda r: Modality(r, answers="released"), {"train": 12, "test": 12}),
    ("rad3d", Vqa, {"train": 6, "test": 6}),
    ("rad3d", Caption, {"train": 5, "test": 5}),
    ("rad3d", Rationale, {"train": 6, "test": 6}),
    ("rad3d", lambda r: Rationale(r, form="yes-no"), {"train": 6, "test": 6}),
    ("rad3d", lambda r: Rationale(r, form="both"), {"train": 6, "test": 6}),
    ("roco", Roco, {"train": 4, "val": 4, "test": 4}),
    ("roco", lambda r: Roco(r, subset="non-radiology"), {"train": 2, "val": 2, "test": 2}),
    ("roco:without-licences", Roco, {"train": 4, "val": 4, "test": 4}),
    ("roco:hub", Roco, {"train": 4, "val": 2, "test": 3}),
    ("ham10000", Classification, {"train": 14, "test": 7}),
    ("ham10000", Segmentation, {"train": 11, "test": 2}),
    ("ham10000", lambda r: Segmentation(r, by="image"), {"train": 12, "test": 1}),
    ("ham10000:isic", Classification, {"train": 14, "test": 7}),
    ("ham10000:isic", Segmentation, {"train": 12, "test": 2}),
    ("abdomenct1k", AbdomenCT1K, {"train": 36, "test": 4}),
    ("abdomenct1k:nnunet", lambda r: AbdomenCT1K(r, organs=("liver", "pancreas")), {"train": 18, "test": 2}),
    ("wce", Wce, {"train": 12, "val": 8, "test": 8}),
    ("wce:nested", Wce, {"train": 12, "val": 8, "test": 8}),
    ("generic-samples", Samples, {"train": 1, "val": 1, "test": 3}),
    *(
        (flag, lambda r, flag=flag: MedMNIST(r, flag), {"train": 2 * n, "val": n, "test": n})  # type: ignore[misc]
        for flag, n in MEDMNIST_LABELS.items()
    ),
    ("chestmnist:64", lambda r: MedMNIST(r, "chestmnist", 64), {"train": 28, "val": 14, "test": 14}),
    ("organamnist:224", lambda r: MedMNIST(r, "organamnist", 224), {"train": 22, "val": 11, "test": 11}),
]


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        root = tmp_path / name.replace(":", "_")
        MINIATURES[name](root)
        return root

    return make


def by_id(reader: Reader, split: str) -> dict[str, Sample]:
    return {s.id: s for s in reader.samples(split)}


def answer(sample: Sample, target: str = "answer") -> str:
    found = sample.targets[target]
    assert isinstance(found, Text | Labels)
    return found.first if isinstance(found, Text) else ", ".join(found.names)


@pytest.mark.parametrize(("name", "reader", "sizes"), LAYOUTS, ids=[f"{i}-{n}" for i, (n, _, _) in enumerate(LAYOUTS)])
def test_every_layout_reads_end_to_end(
    name: str, reader: Open, sizes: dict[str, int], made: Callable[[str], Path]
) -> None:
    root = made(name)
    opened = reader(root)
    ids: Counter[str] = Counter()
    for split, size in sizes.items():
        samples = list(opened.samples(split))
        assert len(samples) == size, split
        assert samples == list(reader(root).samples(split)) or any("mask" in s.targets for s in samples)
        if split != "all":
            ids.update(s.id for s in samples)
        for sample in samples:
            assert all(picture.load().array.size for picture in sample.images)
            for target in sample.targets.values():
                if isinstance(target, Mask):
                    assert target.load().shape == sample.images[0].load().size
    assert max(ids.values()) == 1
    with pytest.raises(DataError, match="split"):
        list(opened.samples("validation"))
    assert opened.fingerprint() == reader(root).fingerprint() != ""


def test_clusters_never_lie_in_two_splits_that_a_reader_draws_itself(made: Callable[[str], Path]) -> None:
    for name, reader in (("ham10000", Segmentation), ("abdomenct1k", AbdomenCT1K)):
        root = made(name)
        drawn = [reader(root, seed=seed) for seed in range(4)]
        tests = set()
        for opened in drawn:
            train, test = ({s.cluster for s in opened.samples(split)} for split in ("train", "test"))
            assert train
            assert not train & test
            tests.add(frozenset(test))
        assert len(tests) > 1, "the seed decides"
        assert len({opened.fingerprint() for opened in drawn}) == 4


# --- MedPix ---


def test_radfm_tables_follow_radfms_rules(made: Callable[[str], Path]) -> None:
    root = made("medpix-radfm")
    multi = by_id(Multi(root, history="always"), "test")
    first, second = list(multi.values())[:2]
    assert answer(first) == "A findings of case 100,  by .\nSecond line."
    assert len(first.images) == 10
    assert Path(second.images[1].path) == root / "images" / "MPX9101_synpic101b.jpg"
    assert (first.slots["context"], second.slots["context"]) == ("", "101 year old phantom. ")
    assert second.cluster == "MPX9101"
    assert second.strata == {"type": "findings", "history": "given"}
    assert answer(next(iter(Multi(root, kinds=("diagnosis",)).samples("train")))) == (
        "A diagnosis of case 0, 3.5 cm by 12 mm.\nSecond line."
    )
    assert all(s.slots["context"] == "" for s in Multi(root, history="never").samples("test"))
    half = {s.slots["context"] != "" for n in range(8) for s in Multi(root, history="half", seed=n).samples("test")}
    assert half == {True, False}
    explained, bare = list(Questions(root).samples("test"))[1::-1]
    assert (answer(explained), answer(bare)) == ("Liver. It is the largest.", "Liver")
    assert answer(explained, "short") == "Liver"
    (closed,) = Single(root, kinds=("plane",), closed=True).samples("test")
    assert (answer(closed), closed.slots, closed.cluster) == ("Axial", {"type": "plane"}, "MPX9100")


def test_rows_without_a_reference_are_counted_in_the_log(
    made: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "radbench")
    list(Single(made("medpix-radfm")).samples("test"))
    list(Cases(made("medpix2")).samples("train"))
    list(Caption(made("rad3d")).samples("test"))
    list(Modality(made("rad3d")).samples("test"))
    list(Segmentation(made("ham10000")).samples("test"))
    list(AbdomenCT1K(made("abdomenct1k")).samples("test"))
    counted = ["1 rows", "1 cases", "1 cases", "2 answers", "1 pictures", "1 volumes"]
    assert [
        " ".join(r.getMessage().split(": ")[-1].split()[:2]) for r in caplog.records if r.name == "radbench"
    ] == counted


def test_medpix2_captions_and_cases(made: Callable[[str], Path]) -> None:
    root = made("medpix2")
    sample = by_id(Captions(root), "train")["MPX9001_synpic13"]
    assert answer(sample) == "Invented caption of MPX9001_synpic13."
    assert sample.cluster == "MPX9001"
    assert sample.strata == {"modality": "MR", "plane": "Axial", "location": "Abdomen", "sex": "female"}
    assert sample.images == (Image(str(root / "MedPix-2-0" / "images" / "MPX9001_synpic13.png")),)
    unknown = by_id(Captions(root), "train")["MPX9002_synpic21"]
    assert unknown.strata == {"modality": "CT", "location": "Abdomen"}
    case = by_id(Cases(root), "val")["MPX9004"]
    assert answer(case) == "A shadow of kind 4."
    assert answer(case, "diagnosis") == "Made-up disease 4"
    assert case.slots == {"context": "4 year old phantom. "}
    assert [Path(i.path).stem for i in case.images] == ["MPX9004_synpic41", "MPX9004_synpic42", "MPX9004_synpic43"]
    assert len(next(iter(Cases(root, most_images=2).samples("val"))).images) == 2
    assert by_id(Cases(root), "val")["MPX9005"].slots == {"context": ""}  # N/A


def test_medpix2_train_halves_are_used_only_where_the_whole_is_missing(made: Callable[[str], Path]) -> None:
    whole, halves = made("medpix2"), made("medpix2:older")
    assert list(by_id(Captions(whole), "train")) == list(by_id(Captions(halves), "train"))
    (halves / "splitted_dataset" / "descriptions_train_2.jsonl").unlink()
    with pytest.raises(DataError, match=r"splitted_dataset/descriptions_train\.jsonl: not found"):
        list(Captions(halves).samples("train"))


def test_medpixqa_options_letters_and_subgroups(made: Callable[[str], Path]) -> None:
    samples = by_id(OwnQuestions(made("medpix-own")), "test")
    sample = samples["q7"]
    assert sample.choices == ("Cyst", "Abscess", "Lipoma", "Artefact")
    assert sample.slots["options"] == "A. Cyst\nB. Abscess\nC. Lipoma\nD. Artefact"
    assert (answer(sample), answer(sample, "letter"), sample.cluster) == ("Abscess", "B", "own7.jpg")
    assert sample.strata == {"organ": "lung", "question_words": "11-20"}
    no_picture = samples["q3"]
    assert (no_picture.images, no_picture.cluster, no_picture.choices) == ((), "q3", ("Cyst", "Abscess", "Artefact"))
    assert no_picture.slots["options"] == "A. Cyst\nB. Abscess\nC. Artefact", "letters close up"
    caption = by_id(OwnCaptions(made("medpix-own")), "test")["images/own7.jpg"]
    assert caption.strata == {"organ": "lung", "modality": "MRI", "plane": "axial", "caption_words": "over 40"}
    assert caption.slots == {"modality": "MRI", "plane": "axial"}
    assert caption.images[0].view == "axial"


@given(st.integers(0, 100))
def test_word_bins_are_ordered_and_complete(words: int) -> None:
    bins = ["1-10", "11-20", "21-40", "over 40"]
    now, then = (bins.index(words_bin(" ".join(["a"] * n))) for n in (words, words + 1))
    assert then - now in (0, 1)


# --- Rad3D ---


def test_released_modalities_are_mapped_to_the_papers_six_names(made: Callable[[str], Path]) -> None:
    samples = list(Modality(made("rad3d")).samples("test"))
    assert [(s.strata["modality"], answer(s)) for s in samples] == [
        ("CT", "CT"), ("MRI", "MRI"), ("X-ray", "X-ray"), ("Ultrasound", "Ultrasound"), ("DSA (angiography)", "angiography"),
        ("Nuclear medicine", "PET"), ("Mammography", "X-ray"), ("Fluoroscopy", "X-ray"), ("Barium", "X-ray"), ("CT", "CT"),
    ]  # fmt: skip
    assert {s.choices for s in samples} == {("CT", "MRI", "Ultrasound", "PET", "X-ray", "angiography")}
    assert (samples[0].cluster, samples[0].images[0].kind, samples[0].images[0].axes) == ("100", "volume", "SLP")
    strict = Modality(made("rad3d"), names={"CT": "CT", "mri": "MRI"})
    assert Counter(answer(s) for s in strict.samples("test")) == {"CT": 2, "MRI": 1}
    with pytest.raises(ConfigError, match="'Xray' is none of"):
        Modality(made("rad3d"), names={"CT": "Xray"})


def test_released_modalities_as_released(made: Callable[[str], Path]) -> None:
    root = made("rad3d")
    reader = Modality(root, answers="released")
    samples = list(reader.samples("test"))
    assert answer(samples[5]) == "Nuclear medicine"
    assert "Annotated image" in samples[0].choices
    (root / "modality_set.json").write_text('{"modality": ["CT,Annotated image", "CT"]}')
    chosen = [answer(s) for s in Modality(root, answers="released").samples("test")]
    assert chosen == ["CT", "CT,Annotated image"]
    (root / "modality_set.json").write_text('["CT"]')
    with pytest.raises(DataError, match=r'modality_set\.json: expected \{"modality"'):
        list(Modality(root, answers="released").samples("test"))
    (root / "modality_set.json").unlink()
    assert next(iter(Modality(root, answers="released").samples("test"))).choices == rad3d.RELEASED_MODALITIES


def test_scans_of_a_case_are_pictures_of_one_array(made: Callable[[str], Path]) -> None:
    root = made("rad3d")
    samples = list(Caption(root).samples("test"))
    assert [len(s.images) for s in samples] == [8, 2, 2, 2, 2]
    volume = samples[0].images[1]
    flat = next(s for s in samples if s.cluster == "103/103.npy").images[1]
    assert (volume.kind, volume.frame, volume.axes) == ("volume", 1, "PLS")
    assert (flat.kind, flat.frame, flat.axes) == ("2d", 1, None)
    stored = np.load(root / "processed" / "100" / "100.npy")
    shown = np.asarray(volume.load().slices(1)[0])[..., 0]
    assert np.corrcoef(shown.ravel(), stored[1, 0, :, :, 3].ravel())[0, 1] > 0.999  # every slice as it was stored
    assert flat.load().size == (32, 32)
    asked = {s.cluster: s.images for s in Vqa(root).samples("test")}  # by the header of the array
    assert all(asked[s.cluster] == s.images for s in samples)
    (root / "processed" / "100" / "100.npy").unlink()
    (missing,) = next(iter(Vqa(root).samples("test"))).images
    assert missing.path == str(root / "100.npy")
    assert len(next(iter(Caption(root).samples("test"))).images) == 8  # image_size tells


def test_caption_and_rationale_references(made: Callable[[str], Path]) -> None:
    root = made("rad3d")
    samples = {s.cluster: s for s in Caption(root).samples("test")}
    first, second = samples["100/100.npy"], samples["103/103.npy"]
    assert answer(first) == "Finding: A shadow 100.Impression: Sarcoidosis."
    assert first.slots == {"context": "Age: 40 years Gender: Male Cough. "}
    assert second.slots == {"context": "Age: 40 years Gender: Male "}
    assert (first.cluster, first.strata, second.strata) == ("100/100.npy", {"modality": "several"}, {"modality": "CT"})
    opened = next(iter(Rationale(root).samples("test")))
    assert answer(opened) == "SarcoidosisThe Radiographic features can be summarized as follows.Nodes. Feature 100."
    assert "{" not in opened.slots["question"] + opened.slots["disease"]


def test_negatives_are_other_articles_and_seeded(made: Callable[[str], Path]) -> None:
    root = made("rad3d")
    articles = {"Sarcoidosis", "Gallstones", "Meningioma", "Osteoma", "Pneumonia"}
    cases = {c["npy_path"]: c for c in json.loads((root / "radiology_article_npy_test.json").read_text())}
    said: Counter[str] = Counter()
    for seed in range(10):
        for sample in Rationale(root, form="yes-no", seed=seed).samples("test"):
            case = cases[str(sample.cluster)]
            disease = sample.slots["disease"]
            assert answer(sample) == answer(sample, "label")
            assert disease in sample.slots["question"]
            if answer(sample) == "yes":
                assert disease == case["title"]
            else:
                assert disease in articles - set(case["articles"])
            said[answer(sample)] += 1
    assert 15 < said["yes"] < 45
    forms = Counter(s.strata["form"] for n in range(10) for s in Rationale(root, form="both", seed=n).samples("test"))
    assert 15 < forms["open"] < 45
    assert sum(forms.values()) == 60
    (root / "articles_resave.json").write_text('{"Sarcoidosis": {}}')
    with pytest.raises(DataError, match="no article besides those of item"):
        for seed in range(20):
            list(Rationale(root, form="yes-no", seed=seed).samples("test"))


def test_path_map_finds_scans_that_lie_elsewhere(made: Callable[[str], Path], tmp_path: Path) -> None:
    root = made("rad3d")
    (root / "processed" / "nii").rename(root / "mine")
    mapped = Modality(root, path_map="/mnt/authors/Radio_VQA/processed_file/nii=mine")
    sample = next(iter(mapped.samples("test")))
    assert sample.images[0].path == str(root / "mine" / "100" / "1" / "Image_0.nii.gz")
    assert sample.images[0].load().is_volume


# --- ROCO ---


def test_roco_papers_licences_and_captions(made: Callable[[str], Path]) -> None:
    root = made("roco")
    samples = by_id(Roco(root), "train")
    sample = samples["ROCO_00002"]
    assert answer(sample) == "Figure 2: a shadow (arrow) – made up." + " Longer." * 18
    assert sample.cluster == "PMC9001"
    assert sample.strata == {"caption_words": "21-40", "licence": "NO-CC CODE"}
    assert sample.images == (Image(str(root / "data/train/radiology/images/ROCO_00002.jpg")),)
    assert [s.access for s in samples.values()] == ["open-noncommercial", "open-noncommercial", "open", "open"]
    linked = by_id(Roco(made("roco:without-licences")), "train")["ROCO_00002"]
    assert (linked.cluster, linked.strata, linked.access) == ("PMC9001", {"caption_words": "21-40"}, None)
    for name in ("dlinks.txt", "licences.txt"):
        (root / "data" / "train" / "radiology" / name).unlink()
    assert by_id(Roco(root), "train")["ROCO_00002"].cluster == "ROCO_00002"
    assert list(Roco(root / "data").samples("test")) == list(Roco(root).samples("test"))


def test_roco_hub_copy(made: Callable[[str], Path]) -> None:
    root = made("roco:hub")
    sample = by_id(Roco(root), "val")["ROCO_validation1"]
    assert (answer(sample), sample.cluster) == ("Hub caption 1 of validation.", "ROCO_validation1")
    assert sample.images[0].load().size == (48, 64)
    with pytest.raises(ConfigError, match="'radiology' alone"):
        Roco(root, subset="non-radiology")


def test_the_real_roco_captions_read_back_from_the_official_layout(shared: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (shared / "roco_captions_ccby" / "validation.jsonl").read_text().splitlines()]
    folder = tmp_path / "data" / "validation" / "radiology"
    folder.mkdir(parents=True)
    written = "".join(f"{r['id']}\t {r['caption']}\n" for r in rows)
    (folder / "captions.txt").write_text(written, encoding="utf-8")
    table(folder / "licences.txt", ("ROCO_ID", "PMC_ID", "CC"), [(r["id"], r["source"], r["license"]) for r in rows])
    samples = list(Roco(tmp_path).samples("val"))
    assert [(s.id, answer(s), s.cluster, s.strata["licence"]) for s in samples] == [
        (r["id"], r["caption"], r["source"].split("_")[0], r["license"]) for r in rows
    ]
    assert len({s.cluster for s in samples}) < len(samples)


_ONE_LINE = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])


@given(st.lists(st.text(_ONE_LINE, min_size=1).filter(str.strip), min_size=1, max_size=5))
def test_any_caption_of_one_line_survives(captions: list[str]) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        inside = Path(folder) / "test" / "radiology"
        inside.mkdir(parents=True)
        lines = "".join(f"ROCO_{i:05d}\t {c}\n" for i, c in enumerate(captions))
        (inside / "captions.txt").write_text(lines, encoding="utf-8", newline="\n")
        assert [answer(s) for s in Roco(Path(folder)).samples("test")] == [c.strip() for c in captions]


def test_roco_leaves_out_blank_captions_and_finds_suffixes_in_capitals(
    made: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    root = made("roco")
    folder = root / "data" / "test" / "radiology"
    before = list(Roco(root).samples("test"))
    name, *others = (Path(s.images[0].path) for s in before)
    name.rename(name.with_suffix(".JPG"))
    with (folder / "captions.txt").open("a", encoding="utf-8") as file:
        file.write("ROCO_99999\t \n")
    reader = Roco(root)
    with caplog.at_level(logging.INFO, "radbench"):
        samples = list(reader.samples("test"))
    assert [s.id for s in samples] == [s.id for s in before]
    assert [Path(s.images[0].path) for s in samples] == [name.with_suffix(".JPG"), *others]
    assert reader.removed == {"ROCO_99999"}
    assert caplog.messages == [f"{root / 'data'}: 1 figures of split test without a caption are left out"]


# --- HAM10000 ---


@pytest.mark.parametrize("name", ["ham10000", "ham10000:isic"])
def test_ham10000_labels_and_patients(name: str, made: Callable[[str], Path]) -> None:
    root = made(name)
    train, test = by_id(Classification(root), "train"), by_id(Classification(root), "test")
    assert (
        {answer(s) for s in train.values()} == {answer(s) for s in test.values()} == set(ham10000.SKIN_LESIONS.values())
    )
    sample = train["ISIC_9000001"]
    assert (answer(sample), sample.cluster) == ("basal cell carcinoma", "HAM_9000000")
    context = "Age:31.0.Gender:female.Location:back.\n"
    assert sample.slots == {"age": "31.0", "sex": "female", "localization": "back", "context": context}
    assert sample.strata == {"sex": "female", "localization": "back"}
    assert train["ISIC_9000000"].slots["context"] == "Gender:male.Location:scalp.\n"
    for i, found in enumerate(test.values()):
        assert answer(found) == ham10000.SKIN_LESIONS[LESIONS[(100 + i) % 7]]
    known = name == "ham10000"
    assert test["ISIC_9000101"].cluster == ("HAM_9000050" if known else None)
    assert test["ISIC_9000101"].slots["sex"] == ("unknown" if known else "")


def test_pictures_of_a_lesion_stay_together_unless_pictures_are_drawn(made: Callable[[str], Path]) -> None:
    root = made("ham10000")
    crossed = 0
    for seed in range(10):
        train, test = (
            {s.cluster for s in Segmentation(root, seed=seed, by="image").samples(x)} for x in ("train", "test")
        )
        crossed += bool(train & test)
    assert crossed
    sample = next(iter(Segmentation(root).samples("train")))
    target = sample.targets["mask"]
    assert isinstance(target, Mask)
    mask, picture = target.load(), sample.images[0].load()
    assert mask.shape == picture.size == (45, 60)
    assert 0 < mask.mean() < 0.5
    assert sample.slots == {"target": "skin lesion"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("ISIC_1,1,1,0,0,0,0,0", "expected one 1 among zeros"),
        ("ISIC_1,0,0,0,0,0,0,0", "expected one 1 among zeros"),
        ("ISIC_1,2,0,0,0,0,0,0", "expected one 1 among zeros"),
        ("ISIC_1,1,0", "3 columns, the header has 8"),
    ],
)
def test_a_one_hot_row_has_one_diagnosis(row: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "ISIC2018_Task3_Test_GroundTruth.csv"
    path.write_text(f"image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nISIC_0,0,1,0,0,0,0,0\n{row}\n")
    with pytest.raises(DataError, match=rf"GroundTruth\.csv, line 3: .*{message}"):
        list(Classification(tmp_path).samples("test"))


# --- AbdomenCT-1K ---


def test_abdomen_pairs_organs_and_grid(made: Callable[[str], Path]) -> None:
    root = made("abdomenct1k")
    samples = {s.id: s for split in ("train", "test") for s in AbdomenCT1K(root).samples(split)}
    assert len({s.cluster for s in samples.values()}) == 10
    assert "Case_00011-liver" not in samples  # a volume without a mask
    for organ, value in ORGANS.items():
        sample = samples[f"Case_00002-{organ}"]
        target = sample.targets["mask"]
        assert isinstance(target, Mask)
        assert np.flatnonzero(target.load().any(axis=(1, 2))).tolist() == [4 * value, 4 * value + 1]
        assert target.voxel_size() == pytest.approx((0.8, 0.8, 2.5))
        assert (sample.slots, sample.strata) == ({"target": organ}, {"organ": organ})
    picture = sample.images[0]
    assert (picture.window, picture.kind) == ("50/500", "volume")
    grey, values = picture.load().grey(), picture.load().array
    assert grey[values <= -200].max() == 0
    assert grey[values >= 300].size == 0 or grey[values >= 300].min() == 255
    copied = root / "elsewhere" / "Case_00001_0000.nii.gz"
    copied.parent.mkdir()
    shutil.copy(root / "AbdomenCT-1K-ImagePart1" / "AbdomenCT-1K-ImagePart1" / copied.name, copied)
    with pytest.raises(DataError, match="the same case number"):
        list(AbdomenCT1K(root).samples("test"))


def test_real_volume_and_mask_meet_whatever_their_orientation(shared: Path, tmp_path: Path) -> None:
    """A real CT beside its label map, the map stored with two axes flipped and swapped: RAS brings both together."""
    import nibabel

    source = shared / "totalseg_ct_mr"
    for case, kind in (("00001", "_sm"), ("00002", "")):
        part = tmp_path / f"AbdomenCT-1K-ImagePart{case[-1]}"
        part.mkdir()
        (part / f"Case_{case}_0000.nii.gz").symlink_to(source / f"example_ct{kind}.nii.gz")
    segmentation = nibabel.load(source / "example_seg.nii.gz")
    values = np.asarray(segmentation.dataobj)
    ours = np.zeros(values.shape, np.uint8)
    theirs = {"liver": (5,), "kidney": (2, 3), "spleen": (1,), "pancreas": (7,)}  # of its class map
    for organ, label in ORGANS.items():
        ours[np.isin(values, theirs[organ])] = label
    turned = nibabel.Nifti1Image(ours, segmentation.affine).as_reoriented(
        nibabel.orientations.ornt_transform(
            nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt("PLI")
        )
    )
    (tmp_path / "Mask").mkdir()
    nibabel.save(turned, tmp_path / "Mask" / "Case_00001.nii.gz")
    samples = [s for split in ("train", "test") for s in AbdomenCT1K(tmp_path).samples(split)]
    assert {s.cluster for s in samples} == {"Case_00001"}
    assert turned.shape != segmentation.shape
    present = 0
    for sample in samples:
        target = sample.targets["mask"]
        assert isinstance(target, Mask)
        mask, picture = target.load(), sample.images[0].load()
        label = ORGANS[sample.slots["target"]]
        assert mask.shape == picture.size
        assert mask.tolist() == (ours == label).tolist()  # the stored map is already RAS
        if mask.any():
            present += 1
            assert -100 < np.median(picture.array[mask]) < 250, sample.id  # soft tissue, not lung, air or bone
    assert present


# --- MedMNIST, WCE ---


def test_chestmnist_names_every_label_that_holds(made: Callable[[str], Path]) -> None:
    samples = list(MedMNIST(made("chestmnist"), "chestmnist").samples("test"))
    assert samples[0].targets["answer"] == Labels(())
    assert samples[1].targets["answer"] == Labels(("cardiomegaly", "mass"))
    assert samples[13].targets["answer"] == Labels(("effusion", "hernia"))
    assert {len(v) for v in medmnist.MEDMNIST.values()} == {2, 4, 8, 11, 14}
    assert next(iter(MedMNIST(made("bloodmnist"), "bloodmnist").samples("test"))).images[0].load().array.shape == (
        28,
        28,
        3,
    )


def test_medmnist_refuses_what_the_files_do_not_hold(tmp_path: Path) -> None:
    path = tmp_path / "chestmnist.npz"
    images = np.zeros((2, 28, 28), np.uint8)
    np.savez(path, test_images=images, test_labels=np.array([[1], [0]]))
    with pytest.raises(
        DataError, match=r"labels of shape \(2, 1\) in split 'test', expected labels of shape \(2, 14\)"
    ):
        list(MedMNIST(tmp_path, "chestmnist").samples("test"))
    np.savez(path, test_images=images, test_labels=np.full((2, 14), 2))
    with pytest.raises(DataError, match=r"test_labels\[0\] is \[2, .*expected a 0 or 1"):
        list(MedMNIST(tmp_path, "chestmnist").samples("test"))
    with pytest.raises(DataError, match="did you mean 'chestmnist'"):
        MedMNIST(tmp_path, "chestminst")
    with pytest.raises(DataError, match="no size 32 but 28, 64, 128, 224"):
        MedMNIST(tmp_path, "chestmnist", 32)


def test_wce_names_with_blanks_and_unknown_folders(made: Callable[[str], Path]) -> None:
    root = made("wce")
    samples = by_id(Wce(root), "test")
    assert list(samples)[:2] == ["test/0_normal/test_normal_ (1).jpg", "test/0_normal/test_normal_ (2).jpg"]
    assert Counter(answer(s) for s in samples.values()) == {
        "normal": 2, "ulcerative colitis": 2, "polyps": 2, "esophagitis": 2,
    }  # fmt: skip
    (root / "test" / "4_tumour").mkdir()
    with pytest.raises(DataError, match="unknown class folder '4_tumour', expected 0_normal"):
        list(Wce(root).samples("test"))
    shutil.rmtree(root / "val" / "2_polyps")
    with pytest.raises(DataError, match="the class folder val/2_polyps"):
        list(Wce(root).samples("val"))


def test_an_image_folder_ignores_hidden_files(tmp_path: Path) -> None:
    for i in range(4):
        png(tmp_path / "yes" / f"{i}.png", i)
    before = ImageFolder(tmp_path, {"yes": "tumour"})
    sizes = {split: len(list(before.samples(split))) for split in ("pool", "test")}
    (tmp_path / "yes" / "._0.png").write_bytes(b"\0\5\x16\7")
    after = ImageFolder(tmp_path, {"yes": "tumour"})
    assert {split: len(list(after.samples(split))) for split in ("pool", "test")} == sizes == {"pool": 2, "test": 2}
    assert after.fingerprint() == before.fingerprint()


def test_wce_ignores_hidden_files_and_folders(made: Callable[[str], Path]) -> None:
    root = made("wce")
    before = list(Wce(root).samples("test")), Wce(root).fingerprint()
    (root / "test" / ".ipynb_checkpoints").mkdir()
    (root / "test" / "0_normal" / "._test_normal_ (1).jpg").write_bytes(b"\0\5\x16\7")
    shutil.copytree(root / "test", root / "test" / "__MACOSX" / "test")
    assert (list(Wce(root).samples("test")), Wce(root).fingerprint()) == before


@pytest.mark.parametrize(
    ("name", "reader", "split"),
    [
        ("medpix-radfm", Single, "test"), ("medpix-radfm", Multi, "test"), ("medpix-radfm", Questions, "test"),
        ("medpix2", Captions, "test"), ("medpix2:older", Cases, "all"), ("medpix-own", OwnQuestions, "test"),
        ("medpix-own", OwnCaptions, "test"), ("rad3d", Modality, "test"), ("rad3d", Vqa, "test"), ("rad3d", Caption, "test"),
        ("rad3d", Rationale, "test"), ("roco", Roco, "test"), ("roco:hub", Roco, "test"), ("ham10000", Classification, "test"),
        ("ham10000", Segmentation, "test"),
    ],
)  # fmt: skip
def test_a_folder_around_a_set_is_seen_through(
    name: str, reader: Open, split: str, made: Callable[[str], Path], tmp_path: Path
) -> None:
    inside = made(name).rename(tmp_path / "moved")
    (tmp_path / "around" / "archive").mkdir(parents=True)
    inside = inside.rename(tmp_path / "around" / "archive" / "set")
    (tmp_path / "around" / ".DS_Store").touch()
    around = reader(tmp_path / "around")
    assert list(map(repr, around.samples(split))) == list(map(repr, reader(inside).samples(split)))
    assert around.fingerprint() == reader(inside).fingerprint()


# --- plain samples ---


def test_every_key_of_the_plain_form_is_read(made: Callable[[str], Path]) -> None:
    root = made("generic-samples")
    samples = {s.id: s for split in ("train", "val", "test") for s in Samples(root).samples(split)}
    asked = samples["a"]
    assert asked.targets == {"answer": Text(("right",)), "choice": Labels(("right",))}
    assert asked.slots == {"question": "Which side?", "context": "A phantom."}
    assert (asked.choices, asked.cluster, asked.strata) == (("left", "right"), "p1", {"sex": "F", "scanner": "3"})
    assert samples["b"].targets == {"answer": Text(("A disc.", "One disc."))}
    assert samples["b"].slots["question"] == "Describe."
    boxes = samples["c"].targets["boxes"]
    assert isinstance(boxes, Boxes)
    assert [(b.label, b.x0, b.y0, b.x1, b.y1) for b in boxes.boxes] == [("disc", 10, 5, 40.5, 30)]
    assert samples["c"].slots["box"] == "10, 5, 40.5, 30"
    assert samples["d"].targets == {"labels": Labels(())}
    assert samples["e"].images[0].kind == "volume"


# --- prompts ---


def test_slots_fill_prompts(made: Callable[[str], Path]) -> None:
    """Slots as the suites use them: context before the prompt without a gap, options one a line."""
    dataset = Dataset("made", lazy("x:X"), "open", "none", "none")

    def rendered(sample: Sample, prompt: str) -> str:
        task = Task("t", 1, "t", dataset, "test", (prompt,), ("bleu-1",))
        return Renderer(task, 0, b"").render(sample).text

    caption = next(iter(Caption(made("rad3d")).samples("test")))
    assert rendered(caption, "{context}Describe.") == "Age: 40 years Gender: Male Cough. Describe."
    question = by_id(OwnQuestions(made("medpix-own")), "test")["q2"]
    assert (
        rendered(question, "{question}\n{options}\n{choices}")
        == "Which?\nA. Cyst\nB. Abscess\nC. Lipoma\nCyst, Abscess, Lipoma"
    )


# --- broken inputs ---


def rewrite(path: Path, change: Callable[[list[list[str]]], Any], delimiter: str = ",") -> None:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter=delimiter))
    change(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def set_cell(row: int, position: int, value: str) -> Callable[[list[list[str]]], Any]:
    def change(rows: list[list[str]]) -> None:
        rows[row][position] = value

    return change


SECRET = "Jane Roe secret"
BROKEN: list[tuple[str, Open, str, str, Callable[[list[list[str]]], Any], str]] = [
    ("medpix-radfm", Single, "MedPix_single_test.csv", "test", set_cell(0, 1, "kind"), "line 2: no column 'type'"),
    ("medpix-radfm", Multi, "MedPix_muli_test.csv", "test", set_cell(0, 3, "past"), "line 3: no column 'history'"),
    (
        "medpix-radfm",
        Questions,
        "MedPix_questions_test.csv",
        "test",
        set_cell(0, 3, "why"),
        "line 2: no column 'explanation'",
    ),
    ("medpix-own", OwnQuestions, "medpixqa.csv", "test", set_cell(4, 8, SECRET), "line 5: answer is <str of length 15"),
    ("medpix-own", OwnQuestions, "medpixqa.csv", "test", set_cell(3, 8, "E"), "line 4: answer is <str"),
    ("medpix-own", OwnQuestions, "medpixqa.csv", "test", set_cell(4, 4, "CYST"), "line 5: two options are alike"),
    ("medpix-own", OwnQuestions, "medpixqa.csv", "test", set_cell(2, 11, SECRET), "line 3: split is <str"),
    ("medpix-own", OwnCaptions, "medpixcap.csv", "test", set_cell(3, 1, " "), "line 4: image or caption is empty"),
    ("rad3d", Modality, "radio_modality_test.csv", "test", set_cell(0, 1, "modality"), "line 2: no column 'answer'"),
    ("rad3d", Vqa, "radiology_vqa_test.csv", "test", set_cell(0, 0, "npy"), "line 2: no column 'image_path'"),
    ("ham10000:isic", Classification, "HAM10000_metadata.csv", "train", set_cell(3, 2, "scc"), "line 4: dx is 'scc'"),
    ("ham10000:isic", Segmentation, "HAM10000_metadata.csv", "test", set_cell(0, 0, "lesion"), "no column 'lesion_id'"),
    ("roco", Roco, "data/test/radiology/licences.txt", "test", set_cell(0, 1, "PMC"), "line 2: no column 'PMC_ID'"),
]


@pytest.mark.parametrize("broken", BROKEN, ids=[f"{b[0]}-{i}" for i, b in enumerate(BROKEN)])
def test_a_broken_table_is_one_clear_error(broken: tuple[Any, ...], made: Callable[[str], Path]) -> None:
    name, reader, file, split, change, message = broken
    root = made(name)
    rewrite(root / file, change)
    with pytest.raises(DataError) as caught:
        list(reader(root).samples(split))
    assert Path(file).name in str(caught.value)
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)


_TEST = "MedPix-2-0/splitted_dataset/{}_test.jsonl"
_CASES = "radiology_article_npy_test.json"
_GROUPS = '{"sex": "F", "scanner": 3, "site": null}'
BROKEN_LISTS: list[tuple[str, Open, str, str, str, str]] = [
    ("medpix2", Captions, _TEST.format("descriptions"), '"Caption"', '"Text"', "line 1: no column 'Caption'"),
    ("medpix2", Cases, _TEST.format("data"), '"MRI"', '"MR"', "line 1: no column 'MRI'"),
    ("medpix2", Captions, _TEST.format("descriptions"), "}\n", "\n", "line 1: not JSON"),
    ("rad3d", Caption, _CASES, '"impression"', '"conclusion"', "line 1: no column 'impression'"),
    ("rad3d", Caption, _CASES, "   10,\n", f'   "{SECRET}",\n', "item 1: image_size is <list of length 5"),
    ("rad3d", Rationale, _CASES, '[\n   "Sarcoidosis"\n  ]', f'"{SECRET}"', "item 1: articles is <str"),
    ("rad3d", Rationale, _CASES, '"npy_path"', '"npy"', "line 1: no column 'npy_path'"),
    ("roco", Roco, "data/test/radiology/captions.txt", "\t", " ", "line 1: no tab"),
    (
        "generic-samples",
        Samples,
        "samples.jsonl",
        "[10, 5, 40.5, 30]",
        f'["{SECRET}"]',
        "line 3: box is <list of length 1",
    ),
    (
        "generic-samples",
        Samples,
        "samples.jsonl",
        '"answer": "right"',
        '"x": "right"',
        "line 1: no answer, labels, box",
    ),
    ("generic-samples", Samples, "samples.jsonl", _GROUPS, f'"{SECRET}"', "line 1: subgroups is <str"),
    ("generic-samples", Samples, "samples.jsonl", '"right", "c', f'{{"x": "{SECRET}"}}, "c', "line 1: answer is <dict"),
]


@pytest.mark.parametrize("broken", BROKEN_LISTS, ids=[f"{b[0]}-{i}" for i, b in enumerate(BROKEN_LISTS)])
def test_a_broken_list_is_one_clear_error(broken: tuple[Any, ...], made: Callable[[str], Path]) -> None:
    name, reader, file, old, new, message = broken
    root = made(name)
    text = (root / file).read_text(encoding="utf-8")
    assert old in text
    (root / file).write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        list(reader(root).samples("test"))
    assert Path(file).name in str(caught.value)
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        (lambda r: list(Single(r).samples("test")), r"MedPix_single_test\.csv"),
        (lambda r: list(Multi(r).samples("test")), r"MedPix_multi_test\.csv or MedPix_muli_test\.csv"),
        (lambda r: list(Captions(r).samples("val")), r"descriptions_dev\.jsonl"),
        (lambda r: OwnQuestions(r), r"medpixqa\.csv"),
        (lambda r: list(Modality(r).samples("test")), r"radio_modality_test\.csv"),
        (lambda r: list(Rationale(r).samples("test")), r"radiology_article_npy_test\.json"),
        (lambda r: list(Roco(r).samples("test")), r"captions\.txt"),
        (lambda r: list(Classification(r).samples("test")), r"ISIC2018_Task3_Test_GroundTruth"),
        (lambda r: list(Segmentation(r).samples("test")), r"HAM10000_metadata"),
        (lambda r: list(AbdomenCT1K(r).samples("test")), r"0 volumes Case_#####_0000\.nii\.gz, 0 masks"),
        (lambda r: list(Wce(r).samples("test")), r"the folder test of WCE"),
        (lambda r: Samples(r), r"samples\.jsonl"),
    ],
)
def test_an_empty_folder_is_told_what_belongs_there(
    reader: Callable[[Path], Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        reader(tmp_path)


@pytest.mark.parametrize("end", ["   \n", ",,,,,,\n", " , ,\n", "\n\n"])
def test_a_blank_last_line_and_blanks_around_column_names(end: str, made: Callable[[str], Path]) -> None:
    root = made("medpix-own")
    path = root / "medpixqa.csv"
    before = list(OwnQuestions(root).samples("test"))
    text = path.read_text(encoding="utf-8")
    header, _, rest = text.partition("\n")
    path.write_text("\n" + header.replace(",", " , ") + "\n" + rest + end, encoding="utf-8")
    assert list(OwnQuestions(root).samples("test")) == before
    path.write_text(text + "," * header.count(",") + "\n", encoding="utf-8")
    assert list(OwnQuestions(root).samples("test")) == before
    path.write_text(text + "x,\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line \d+: 2 columns, the header has 12"):
        list(OwnQuestions(root).samples("test"))


def test_byte_order_marks_and_line_ends_read(made: Callable[[str], Path]) -> None:
    """A byte order mark and CRLF line ends, as spreadsheets leave them."""
    root = made("medpix-own")
    path = root / "medpixqa.csv"
    before = list(OwnQuestions(root).samples("test"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert list(OwnQuestions(root).samples("test")) == before
    captions = made("roco") / "data" / "test" / "radiology" / "captions.txt"
    told = [answer(s) for s in Roco(captions.parents[3]).samples("test")]
    captions.write_bytes(b"\xef\xbb\xbf" + captions.read_bytes().replace(b"\n", b"\r\n"))
    assert [answer(s) for s in Roco(captions.parents[3]).samples("test")] == told
    captions.write_bytes("ROCO_1\t caf\u00e9\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"captions\.txt: not UTF-8"):
        list(Roco(captions.parents[3]).samples("test"))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda r: Single(r, kinds=("captoin",)),
        lambda r: Multi(r, history="sometimes"),
        lambda r: Modality(r, answers="mine"),
        lambda r: Rationale(r, form="closed"),
        lambda r: Roco(r, subset="all"),
        lambda r: Segmentation(r, by="patient"),
        lambda r: Segmentation(r, test_share=1.0),
        lambda r: AbdomenCT1K(r, organs=("stomach",)),
        lambda r: AbdomenCT1K(r, test_share=0),
    ],
)
def test_wrong_options_are_refused_when_a_reader_is_made(wrong: Callable[[Path], Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        wrong(tmp_path)
