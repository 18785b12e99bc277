"""Made-up copies of MedPix, Rad3D, ROCO, HAM10000, AbdomenCT-1K, MedMNIST and WCE in their official layouts."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from miniatures.pictures import grey, jpg, nifti, png, volume

LESIONS = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
MODALITIES = (
    "CT", "MRI", "X-ray", "Ultrasound", "DSA (angiography)", "Nuclear medicine,PET", "Mammography", "Fluoroscopy", "Barium",
    "Annotated image", "Nuclear medicine", "CT,Annotated image",
)  # fmt: skip
MEDMNIST_LABELS = {
    "pneumoniamnist": 2, "breastmnist": 2, "octmnist": 4, "organamnist": 11, "bloodmnist": 8, "chestmnist": 14,
}  # fmt: skip
BULLET = "\u2022 "


def table(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], delimiter: str = ",", end: str = "\n"
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator=end)
        writer.writerow(header)
        writer.writerows(rows)


def lines(path: Path, objects: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(o) + "\n" for o in objects), encoding="utf-8")


def medpix_radfm(root: Path) -> None:
    """RadFM's tables; the multi test table is spelt as in its README, one case has twelve pictures."""
    for split, first in (("train", 0), ("test", 100)):
        single, multi, questions = [], [], []
        for i in range(first, first + 4):
            name = f"MPX9{i:03d}_synpic{i}.jpg"
            jpg(root / "images" / name, i, mode="RGB")
            single += [(name, "modality", ("CT - noncontrast", "MR - T2 weighted")[i % 2]), (name, "plane", "Axial")]
            single.append((name, "caption", f"Made-up mass number {i}, 12 mm wide." if i % 4 != 3 else ""))
            names = ",".join([name] * 12 if i == first else [name, f"MPX9{i:03d}_synpic{i}b.jpg"])
            png(root / "images" / f"MPX9{i:03d}_synpic{i}b.jpg", i + 500)
            for kind in ("txFollowup", "ddx", "dxHow", "diagnosis", "findings", "exam", "discussion"):
                text = f"{BULLET}A {kind} of case {i}, 3.5 cm by 12 mm.\n{BULLET}Second line."
                multi.append((names, kind, text, f"{i} year old phantom." if i % 2 else ""))
            questions.append((name, f"Which organ is meant, case {i}?", "Liver", "It is the largest." if i % 2 else ""))
        spelt = "multi" if split == "train" else "muli"
        table(root / f"MedPix_single_{split}.csv", ("name", "type", "context"), single)
        table(root / f"MedPix_{spelt}_{split}.csv", ("name", "type", "context", "history"), multi)
        table(root / f"MedPix_questions_{split}.csv", ("name", "question", "answer", "explanation"), questions)
    closed = [("MPX9100_synpic100.jpg", "plane", "Axial"), ("MPX9101_synpic101.jpg", "modality", "MR - T2 weighted")]
    table(root / "MedPix_single_test_close.csv", ("name", "type", "context"), closed)


def _medpix2_case(number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    case = f"MPX9{number:03d}"
    names = {"TAC": [f"{case}_synpic{number}1", f"{case}_synpic{number}2"], "MRI": [f"{case}_synpic{number}3"]}
    if number % 3 == 0:
        names["MRI"] = []
    about = {
        "Title": f"Made-up disease {number}", "History": "N/A" if number % 2 else f"{number} year old phantom.",
        "Findings": None if number == 2 else f"A shadow of kind {number}.", "Differential Diagnosis": "Artefact",
        "Case Diagnosis": f"Made-up disease {number}", "Exam": "N/A",
    }  # fmt: skip
    pictures = []
    for kind, listed in names.items():
        for name in listed:
            description = {
                "ACR Codes": "1.1", "Age": "50", "Caption": f"Invented caption of {name}.", "Figure Part": None,
                "Modality": "CT - noncontrast" if kind == "TAC" else "MR - T2 weighted",
                "Plane": "Axial" if number % 2 else None, "Sex": ("male", "female", "N/A")[number % 3],
            }  # fmt: skip
            pictures.append({
                "Type": "CT" if kind == "TAC" else "MR", "U_id": case, "image": name, "Description": description,
                "Location": "Abdomen", "Location Category": "Abdomen",
            })  # fmt: skip
    topic = {"Title": about["Title"], "Disease Discussion": "None.", "ACR Code": "1.1", "Category": "Unsure"}
    return {"U_id": case, **names, "Case": about, "Topic": topic}, pictures


def medpix2(root: Path, folder: str = "MedPix-2-0", halves_only: bool = False) -> None:
    base = root / folder
    cases = [_medpix2_case(n) for n in range(8)]
    for i, picture in enumerate(p for _, pictures in cases for p in pictures):
        png(base / "images" / f"{picture['image']}.png", i)
    (base / "Case_topic.json").write_text(json.dumps([c for c, _ in cases], indent=4))
    name = "Description.json" if halves_only else "Descriptions.json"
    (base / name).write_text(json.dumps([p for _, pictures in cases for p in pictures], indent=4))
    parts = {"train_1": cases[:2], "train_2": cases[2:4], "dev": cases[4:6], "test": cases[6:]}
    if not halves_only:
        parts["train"] = cases[:4]
    for part, held in parts.items():
        lines(base / "splitted_dataset" / f"data_{part}.jsonl", (c for c, _ in held))
        lines(base / "splitted_dataset" / f"descriptions_{part}.jsonl", (p for _, pictures in held for p in pictures))


def medpix_own(root: Path) -> None:
    organs = ("spine", "skull", "face", "heart", "gastrointestinal", "genitourinary", "vascular", "lung", "breast")
    questions, captions = [], []
    for i in range(12):
        split = ("train", "val", "test", "test")[i % 4]
        jpg(root / "images" / f"own{i}.jpg", i, mode="RGB")
        options = ("Cyst", "Abscess", "Lipoma" if i % 3 else "", "Artefact" if i % 2 else "", "")
        question = "Which?" if i < 6 else "Which of these made-up answers fits the picture that is shown to you here?"
        organ = organs[i % len(organs)]
        picture = "" if i == 3 else f"own{i}.jpg"
        questions.append((f"q{i}", picture, question, *options, ("A", "b", "B.")[i % 3], "Because.", organ, split))
        caption = " ".join(["Invented", "caption"] * (1 + 4 * i))
        captions.append((f"images/own{i}.jpg", caption, organ, ("CT", "MRI")[i % 2], "axial" if i % 2 else "", split))
    options_header = [f"option_{letter}" for letter in "abcde"]
    header = ("question_id", "image", "question", *options_header, "answer", "explanation", "organ", "split")
    table(root / "medpixqa.csv", header, questions)
    table(root / "medpixcap.csv", ("image", "caption", "organ", "modality", "plane", "split"), captions)


def rad3d(root: Path) -> None:
    """The authors' absolute paths; scans below ``processed``: arrays of cases and NIfTI files without geometry."""
    authors = "/mnt/authors/Radio_VQA/processed_file"
    articles = ["Sarcoidosis", "Gallstones", "Meningioma", "Osteoma", "Pneumonia"]
    (root / "articles_resave.json").parent.mkdir(parents=True, exist_ok=True)
    (root / "articles_resave.json").write_text(
        json.dumps({a: {"chatgpt_radiographic_features": f"Features of {a}."} for a in articles})
    )
    (root / "modality_set.json").write_text(json.dumps({"modality": sorted({m.partition(",")[0] for m in MODALITIES})}))
    for split, first in (("train", 0), ("test", 100)):
        modality, vqa, cases = [], [], []
        for i in range(first, first + len(MODALITIES)):
            path = f"nii/{i}/1/Image_0.nii.gz"
            nifti(root / "processed" / path, volume(i, (6, 24, 20)))  # slices, columns, rows
            modality.append((f"{authors}/{path}", MODALITIES[i - first]))
        for i in range(first, first + 6):
            shape = (10 if i == first else 2, 3, 32, 32, (8, 1)[i % 2])
            array = np.broadcast_to(grey(i, (32, 32))[:, :, None], shape)
            (root / "processed" / str(i)).mkdir(parents=True, exist_ok=True)
            np.save(root / "processed" / str(i) / f"{i}.npy", array)
            vqa.append((f"{i}/{i}.npy", f"Is lesion {i} seen?", ("yes", "no", "in the liver")[i % 3]))
            cases.append(_case(i, shape, articles[i % len(articles)]))
        table(root / f"radio_modality_{split}.csv", ("image_path", "answer"), modality)
        table(root / f"radiology_vqa_{split}.csv", ("image_path", "question", "answer"), vqa)
        (root / f"radiology_article_npy_{split}.json").write_text(json.dumps(cases, indent=1))


def _case(i: int, shape: tuple[int, ...], article: str) -> dict[str, Any]:
    empty = i % 6 == 5
    return {
        "title": f"Phantom {article.lower()}", "pat": "Age: 40 years Gender: Male", "pre": "" if i % 2 else "Cough.",
        "npy_path": f"{i}/{i}.npy", "image_size": list(shape), "finding": "" if empty else f"A shadow {i}.",
        "impression": None if empty else f"{article}.", "radiographic_features": ["Nodes.", f"Feature {i}."],
        "articles": [article], "image_modality": ["CT", "CT"] if i % 2 else ["CT", "MRI"],
        "image_path": [f"/mnt/authors/{i}/1/Image_0.nii.gz"], "plane_projection": ["Axial"], "image_caption": [""],
        "qa_list": [],
    }  # fmt: skip


def roco(root: Path, licences: bool = True) -> None:
    codes = ("CC BY", "CC BY-NC", "NO-CC CODE", "CC0")
    number = 0
    for split in ("train", "validation", "test"):
        for subset in ("radiology", "non-radiology"):
            folder = root / "data" / split / subset
            captions, keywords, links, rows = [], [], [], []
            for _ in range(4 if subset == "radiology" else 2):
                number += 1
                name, paper = f"ROCO_{number:05d}", f"PMC90{number // 2:02d}"
                caption = f"Figure {number}: a shadow (arrow) – made up." + " Longer." * (number % 3) * 9
                captions.append(f"{name}\t {caption}")
                keywords.append(f"{name}\t\tshadow\tarrow")
                links.append(f"{name}\twget -r ftp://example.org/{paper}.tar.gz -P /path/to/Dir\tfig_{number}.jpg")
                rows.append((name, f"{paper}_fig_{number}.jpg", codes[number % 4]))
                jpg(folder / "images" / f"{name}.jpg", number)
            for file, written in (
                ("captions", captions),
                ("keywords", keywords),
                ("cuis", keywords),
                ("dlinks", links),
            ):
                (folder / f"{file}.txt").write_text("\n".join(written) + "\n", encoding="utf-8")
            if licences:
                table(folder / "licences.txt", ("ROCO_ID", "PMC_ID", "CC"), rows)


def roco_hub(root: Path) -> None:
    """A hub copy: parquet files with embedded pictures, as ``datasets`` writes them."""
    import pyarrow
    import pyarrow.parquet as parquet

    (root / "data").mkdir(parents=True)
    for split, count in (("train", 4), ("validation", 2), ("test", 3)):
        pictures = [jpg(root / "made" / f"{split}{i}.jpg", i).read_bytes() for i in range(count)]
        columns = {
            "image": [{"bytes": data, "path": None} for data in pictures],
            "image_id": [f"ROCO_{split}{i}" for i in range(count)],
            "caption": [f" Hub caption {i} of {split}." for i in range(count)],
        }
        parquet.write_table(pyarrow.table(columns), root / "data" / f"{split}-00000-of-00001.parquet")


def _lesions(first: int, count: int) -> list[tuple[str, ...]]:
    """Rows of the metadata; every other picture shows the lesion of the one before."""
    return [
        (
            f"HAM_9{i // 2:06d}", f"ISIC_9{i:06d}", LESIONS[i % 7], ("histo", "follow_up", "consensus", "confocal")[i % 4],
            "" if i % 5 == 0 else f"{30 + i}.0", ("male", "female", "unknown")[i % 3], ("scalp", "back")[i % 2],
        )
        for i in range(first, first + count)
    ]  # fmt: skip


_METADATA = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")


def _masks(root: Path, rows: Iterable[tuple[str, ...]]) -> None:
    from PIL import Image

    for i, row in enumerate(rows):
        path = root / "HAM10000_segmentations_lesion_tschandl" / f"{row[1]}_segmentation.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(((grey(i, (45, 60)) > 100) * 255).astype(np.uint8)).save(path)


def ham10000(root: Path) -> None:
    """As on Dataverse: a tab-separated table without suffix, the test table with the same columns."""
    rows, tests = _lesions(0, 14), _lesions(100, 7)
    table(root / "HAM10000_metadata", (*_METADATA, "dataset"), [(*r, "made_up") for r in rows], "\t", "\r\n")
    table(root / "ISIC2018_Task3_Test_GroundTruth.csv", (*_METADATA, "dataset"), [(*r, "made_up") for r in tests])
    for i, row in enumerate(rows):
        jpg(root / f"HAM10000_images_part_{1 + i % 2}" / f"{row[1]}.jpg", i, (45, 60), "RGB")
    for i, row in enumerate(tests):
        jpg(root / "ISIC2018_Task3_Test_Images" / f"{row[1]}.jpg", i, (45, 60), "RGB")
    _masks(root, rows[:-1])  # one picture without a mask


def ham10000_isic(root: Path) -> None:
    """The Kaggle table with pictures twice in folders of two spellings, and the ISIC site's one-hot test table."""
    rows, tests = _lesions(0, 14), _lesions(100, 7)
    table(root / "HAM10000_metadata.csv", _METADATA, rows)
    for i, row in enumerate(rows):
        for folder in ("HAM10000_images_part_1", "ham10000_images_part_1"):
            jpg(root / folder / f"{row[1]}.jpg", i, (45, 60), "RGB")
    one_hot = [
        (r[1], *("1.0" if r[2] == k else "0.0" for k in ("mel", "nv", "bcc", "akiec", "bkl", "df", "vasc")))
        for r in tests
    ]
    name = "ISIC2018_Task3_Test_GroundTruth"
    table(root / name / f"{name}.csv", ("image", "MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"), one_hot)
    for i, row in enumerate(tests):
        jpg(root / "ISIC2018_Task3_Test_Input" / f"{row[1]}.jpg", i, (45, 60), "RGB")
    _masks(root, rows)


def _organs(seed: int) -> np.ndarray:
    """uint8 (24, 20, 12): the four organs as slabs, their size by the seed."""
    labels = np.zeros((24, 20, 12), np.uint8)
    for value in range(1, 5):
        labels[4 * value : 4 * value + 2 + seed % 2, 5:15, 3:9] = value
    return labels


def abdomenct1k(root: Path, nnunet: bool = False) -> None:
    for case in range(1, 12):
        if nnunet:
            images, masks = root / ("imagesTr" if case < 9 else "imagesTs"), root / "labels"
        else:
            part = f"AbdomenCT-1K-ImagePart{1 + case // 4}"
            images, masks = root / part / part if case < 4 else root / part, root / "Mask"
        nifti(images / f"Case_{case:05d}_0000.nii.gz", volume(case), (0.8, 0.8, 2.5))
        if case != 11:  # the released masks leave some cases out
            nifti(masks / f"Case_{case:05d}.nii.gz", _organs(case), (0.8, 0.8, 2.5))
    if nnunet:
        (root / "dataset.json").write_text(json.dumps({"labels": {"0": "background"}}))


def medmnist(root: Path, flag: str = "pneumoniamnist", size: int = 28) -> None:
    count = MEDMNIST_LABELS[flag]
    arrays = {}
    for split, n in (("train", 2 * count), ("val", count), ("test", count)):
        images = np.stack([grey(i, (size, size)) for i in range(n)])
        arrays[f"{split}_images"] = np.stack([images] * 3, axis=-1) if flag == "bloodmnist" else images
        numbers = np.arange(n)[:, None]
        many = (numbers % count == np.arange(count)) | ((numbers + 3) % count == np.arange(count))
        many[0] = False  # a picture without any of the findings
        arrays[f"{split}_labels"] = (many if flag == "chestmnist" else numbers % count).astype(np.uint8)
    root.mkdir(parents=True, exist_ok=True)
    np.savez(root / (f"{flag}.npz" if size == 28 else f"{flag}_{size}.npz"), **arrays)


def wce(root: Path, folder: str = "") -> None:
    classes = {
        "0_normal": "normal",
        "1_ulcerative_colitis": "ulcer",
        "2_polyps": "polyps",
        "3_esophagitis": "esophagitis",
    }
    for s, split in enumerate(("train", "val", "test")):
        for c, (name, word) in enumerate(classes.items()):
            for i in range(1, 4 if split == "train" else 3):
                jpg(root / folder / split / name / f"{split}_{word}_ ({i}).jpg", 100 * s + 10 * c + i, mode="RGB")


def generic_samples(root: Path) -> None:
    """Rows with every key of the plain form, each of another kind of task."""
    for i in range(3):
        png(root / "images" / f"g{i}.png", i)
    nifti(root / "images" / "ct.nii.gz", volume(1))
    nifti(root / "images" / "ct_mask.nii.gz", _organs(1))
    ask = {"images": ["images/g0.png", "images/g1.png"], "question": "Which side?", "options": ["left", "right"]}
    about = {"cluster": "p1", "subgroups": {"sex": "F", "scanner": 3, "site": None}}
    rows = [
        {"id": "a", **ask, "answer": "right", "context": "A phantom.", **about, "split": "test"},
        {
            "id": "b",
            "images": ["images/g1.png"],
            "prompt": "Describe.",
            "answer": ["A disc.", "One disc."],
            "split": "train",
        },
        {"id": "c", "images": ["images/g2.png"], "box": [10, 5, 40.5, 30], "labels": ["disc"]},
        {"id": "d", "images": ["images/g2.png"], "labels": [], "split": "val"},
        {"id": "e", "images": ["images/ct.nii.gz"], "mask": "images/ct_mask.nii.gz", "split": "test"},
    ]
    lines(root / "samples.jsonl", rows)


MINIATURES = {
    "medpix-radfm": medpix_radfm,
    "medpix2": medpix2,
    "medpix2:older": partial(medpix2, folder="", halves_only=True),
    "medpix-own": medpix_own,
    "rad3d": rad3d,
    "roco": roco,
    "roco:without-licences": partial(roco, licences=False),
    "roco:hub": roco_hub,
    "ham10000": ham10000,
    "ham10000:isic": ham10000_isic,
    "abdomenct1k": abdomenct1k,
    "abdomenct1k:nnunet": partial(abdomenct1k, nnunet=True),
    **{flag: partial(medmnist, flag=flag) for flag in MEDMNIST_LABELS},
    **{
        f"{flag}:{size}": partial(medmnist, flag=flag, size=size)
        for flag, size in (("chestmnist", 64), ("organamnist", 224))
    },
    "generic-samples": generic_samples,
    "wce": wce,
    "wce:nested": partial(wce, folder="Curated Colon Dataset"),
}
