"""Made-up copies of the sets that annotate chest radiographs, and of the picture folders they refer to."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from radbench.tasks.readers.chest_names import CHEXPERT_14, REGIONS

from miniatures.pictures import grey, jpg, png
from radbench.images.rle import encode


def table(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], *, bom: bool = False, crlf: bool = False
) -> None:
    """A CSV file, gzipped where its name says so."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\r\n" if crlf else "\n")
    writer.writerows([header, *rows])
    data = text.getvalue().encode("utf-8-sig" if bom else "utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def document(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


# --- MIMIC-CXR-JPG: five patients, seven studies, a lateral in two of them ---


class Shot(NamedTuple):
    subject: str
    study: str
    split: str
    date: str
    dicom: str
    view: str
    size: tuple[int, int]  # height, width


def _dicom(number: int) -> str:
    return f"{number:08x}-0a0b0c0d-1a1b1c1d-2a2b2c2d-3a3b3c3d"


_STUDIES = (
    ("10000001", "50000001", "test", "21300105", ("PA", "LATERAL")),
    ("10000001", "50000002", "test", "21300204", ("AP",)),
    ("10000002", "50000003", "test", "21310301", ("AP",)),
    ("10000003", "50000004", "validate", "21320401", ("PA",)),
    ("10000004", "50000005", "train", "21330501", ("AP",)),
    ("10000004", "50000006", "train", "21330511", ("PA", "LATERAL")),
    ("11000005", "50000007", "train", "21340601", ("PA",)),
)


def _shots() -> Iterator[Shot]:
    number = 0
    for subject, study, split, date, views in _STUDIES:
        for view in views:
            number += 1
            yield Shot(subject, study, split, date, _dicom(number), view, (60, 50 if number % 2 else 44))


SHOTS = tuple(_shots())
FRONTAL = tuple(s for s in SHOTS if s.view != "LATERAL")


def listed(shot: Shot) -> str:
    return f"p{shot.subject[:2]}/p{shot.subject}/s{shot.study}/{shot.dicom}.jpg"


def mimic_cxr_jpg(root: Path) -> None:
    _mimic(root, root / "files", "2.0.0", ".csv.gz")


def mimic_cxr_jpg_from_p10(root: Path) -> None:
    """Without the folder ``files``, release 2.1.0, tables unpacked, without metadata."""
    _mimic(root, root, "2.1.0", ".csv")
    (root / "mimic-cxr-2.1.0-metadata.csv").unlink()


def _mimic(root: Path, files: Path, version: str, suffix: str) -> None:
    for seed, shot in enumerate(SHOTS):
        jpg(files / listed(shot), seed, shot.size)
    table(
        root / f"mimic-cxr-{version}-split{suffix}",
        ("dicom_id", "study_id", "subject_id", "split"),
        [(s.dicom, s.study, s.subject, s.split) for s in SHOTS],
    )
    table(
        root / f"mimic-cxr-{version}-metadata{suffix}",
        ("dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows", "Columns",
         "StudyDate", "StudyTime"),
        [(s.dicom, s.subject, s.study, "CHEST (PA AND LAT)", s.view, *s.size, s.date, "91500.5") for s in SHOTS],
    )  # fmt: skip


# --- MIMIC-CXR-VQA ---

_VQA = (
    ("Is there any pleural effusion in the left lung?", "attribute", "verify", ["no"]),
    ("Is the cardiac silhouette enlarged?", "abnormality", "verify", ["yes"]),
    (
        "List all anatomical locations related to atelectasis.",
        "anatomy",
        "query",
        ["left lung", "right lower lung zone"],
    ),
    ("What abnormalities are seen in the right lung?", "attribute", "query", []),
    ("Is this a PA or an AP view?", "plane", "choose", ["pa"]),
    ("What is the gender of the patient?", "gender", "query", "f"),
)


def mimic_cxr_vqa(root: Path) -> None:
    for split, name in (("train", "train"), ("validate", "valid"), ("test", "test")):
        shots = [s for s in FRONTAL if s.split == split]
        items = [
            {
                "split": name, "idx": i, "image_id": shots[i % len(shots)].dicom, "question": question,
                "content_type": content, "semantic_type": semantic, "template": "t", "template_program": "program_2",
                "template_arguments": {"object": {"0": "left lung"}, **{k: {} for k in ("attribute", "category", "viewpos")}},
                "answer": answer, "subject_id": shots[i % len(shots)].subject, "study_id": shots[i % len(shots)].study,
                "image_path": listed(shots[i % len(shots)]),
            }
            for i, (question, content, semantic, answer) in enumerate(_VQA)
        ]  # fmt: skip
        document(root / "dataset" / f"{name}.json", items)
    names = ["yes", "no", "ap", "pa", "f", "m", "left lung", "right lower lung zone", "pleural effusion"]
    document(root / "dataset" / "ans2idx.json", {name: i for i, name in enumerate(names)})


# --- Medical-Diff-VQA ---

_PAIRS = (("50000002", "50000001"), ("50000006", "50000005"))
_ASKED = (
    ("abnormality", "what abnormalities are seen in this image?", "pleural effusion, edema"),
    ("presence", "is there evidence of atelectasis in this image?", "no"),
    ("presence", "is there pneumothorax?", "yes"),
    ("view", "is this PA view?", "no"),
    ("location", "where is the edema?", "bilateral lungs"),
    ("level", "what level is the edema?", "mild"),
    ("type", "what type is the opacity?", "linear"),
    ("difference", "what has changed compared to the reference image?",
     "the main image has an additional finding of edema than the reference image. "),
)  # fmt: skip


def medical_diff_vqa(root: Path) -> None:
    by_study = {s.study: s for s in reversed(FRONTAL)}
    rows = [
        (study, by_study[study].subject, ref, kind, question, answer, by_study[study].split)
        for study, ref in _PAIRS for kind, question, answer in _ASKED
    ]  # fmt: skip
    table(
        root / "mimic_pair_questions.csv",
        ("study_id", "subject_id", "ref_id", "question_type", "question", "answer", "split"), rows,
    )  # fmt: skip
    table(
        root / "mimic_all.csv",
        ("subject_id", "study_id", *CHEXPERT_14, "dicom_id", "view", "split", "study_date", "study_order"),
        [
            (s.subject, s.study, *[""] * 13, "1.0", s.dicom,
             {"PA": "postero-anterior", "AP": "antero-posterior"}[s.view], s.split, s.date, 1)
            for s in FRONTAL
        ],
    )  # fmt: skip
    document(root / "all_diseases.json", [{"study_id": s.study, "entity": {}} for s in FRONTAL])


def iux_questions(root: Path) -> None:
    """A user's own table from the generator, with gaps that pandas turned into floats and a byte order mark."""
    rows = [
        (f"{uid}.0", f"{uid}.0", "", kind, question, answer, "test")
        for uid in (1, 2, 3) for kind, question, answer in _ASKED[:3]
    ]  # fmt: skip
    header = ("study_id", "subject_id", "ref_id", "question_type", "question", "answer", "split")
    table(root / "iux_questions.csv", header, rows, bom=True, crlf=True)


def iu_xray_kaggle(root: Path) -> None:
    rows = []
    for uid, views in ((1, ("Lateral", "Frontal")), (2, ("Frontal", "Lateral")), (3, ("Lateral",))):
        for i, view in enumerate(views):
            name = f"{uid}_IM-000{uid}-{i + 1}001.dcm.png"
            png(root / "images" / "images_normalized" / name, 10 * uid + i)
            rows.append((uid, name, view))
    table(root / "indiana_projections.csv", ("uid", "filename", "projection"), rows)


# --- Chest ImaGenome ---


def _object(dicom: str, name: str, corners: tuple[int, int, int, int], size: tuple[int, int]) -> dict[str, Any]:
    """A box of the original, and where it lies in the 224 frame with the padding on both sides."""
    height, width = size
    scale = max(size) / 224
    pad_x, pad_y = (224 - width / scale) / 2, (224 - height / scale) / 2
    x1, y1, x2, y2 = corners
    framed = [
        round(x1 / scale + pad_x),
        round(y1 / scale + pad_y),
        round(x2 / scale + pad_x),
        round(y2 / scale + pad_y),
    ]
    keys = ("x1", "y1", "x2", "y2", "width", "height")
    values = (*framed, framed[2] - framed[0], framed[3] - framed[1])
    original = (x1, y1, x2, y2, x2 - x1, y2 - y1)
    return {
        "object_id": f"{dicom}_{name}", "bbox_name": name, "synsets": ["C0000000"], "name": name.capitalize(),
        **dict(zip(keys, values, strict=True)),
        **{f"original_{k}": v for k, v in zip(keys, original, strict=True)},
    }  # fmt: skip


def _region(dicom: str, name: str, sentences: Sequence[tuple[str, list[str]]]) -> dict[str, Any]:
    empty: list[list[str]] = [[] for _ in sentences]
    cues = ("comparison_cues", "temporal_cues", "severity_cues", "texture_cues")
    return {
        name: True, "bbox_name": name, "synsets": ["C0000000"], "name": name.capitalize(),
        "attributes": [statements for _, statements in sentences], "attributes_ids": empty,
        "phrases": [text for text, _ in sentences],
        "phrase_IDs": [f"50000000|{len(sentences) - i}" for i in range(len(sentences))],  # the last comes first
        "sections": ["finalreport"] * len(sentences), "object_id": f"{dicom}_{name}", **dict.fromkeys(cues, empty),
    }  # fmt: skip


def _graph(shot: Shot, number: int) -> dict[str, Any]:
    d, size = shot.dicom, shot.size
    height, width = size
    regions = [name for name in REGIONS if number % 2 or name != "carina"]
    boxes = [_object(d, name, (2 + i % 9, 3 + i % 7, 20 + i % 9, 30 + i % 7), size) for i, name in enumerate(regions)]
    boxes[0] = _object(d, "right lung", (5, 4, 25, 54), size)
    boxes[1] = _object(d, "right upper lung zone", (-4, 6, 20, height + 9), size)  # beyond the picture
    boxes[2] = _object(d, "right mid lung zone", (width + 1, 6, width + 4, 9), size)  # outside of it
    boxes[3] = _object(d, "right lower lung zone", (7, 7, 7, 20), size)  # no area
    no, yes = "anatomicalfinding|no|pneumothorax", "anatomicalfinding|yes|lung opacity"
    attributes = [
        _region(d, "right lung", [
            ("It is new.", ["comparison|yes|worsened"]), ("There is an opacity.", [yes, "nlp|yes|abnormal"]),
        ]),
        _region(d, "right upper lung zone", [("No pneumothorax.", [no, "nlp|no|abnormal"])]),
        _region(d, "right mid lung zone", [("Opacity in the mid zone.", [yes])]),
        _region(d, "cardiac silhouette", [("", ["anatomicalfinding|no|enlarged cardiac silhouette"])]),
    ]  # fmt: skip
    if number % 2:
        attributes.append(_region(d, "left lung", [("Left effusion.", ["anatomicalfinding|yes|pleural effusion", no])]))
    return {
        "image_id": d, "viewpoint": shot.view, "patient_id": int(shot.subject), "study_id": int(shot.study),
        "gender": "FM"[number % 2], "age_decile": "60-70", "reason_for_exam": "cough", "StudyOrder": 1,
        "StudyDateTime": "2130-01-05 09:15:00 UTC", "objects": boxes, "attributes": attributes, "relationships": [],
    }  # fmt: skip


def chest_imagenome(root: Path) -> None:
    silver = root / "silver_dataset"
    for number, shot in enumerate(FRONTAL):
        document(silver / "scene_graph" / f"{shot.dicom}_SceneGraph.json", _graph(shot, number))
    _imagenome_lists(silver / "splits")
    (root / "gold_dataset").mkdir()


def chest_imagenome_nested(root: Path) -> None:
    """As some unzip it: ``scene_graph/scene_graph``."""
    chest_imagenome(root)
    outer = root / "silver_dataset" / "scene_graph"
    outer.rename(root / "moved")
    outer.mkdir()
    (root / "moved").rename(outer / "scene_graph")


def _imagenome_lists(folder: Path) -> None:
    """The set's own split differs from MIMIC's: the second study of the first patient is validation here."""
    own = {"50000001": "test", "50000002": "valid", "50000003": "test", "50000004": "valid"}
    for name in ("train", "valid", "test"):
        shots = [s for s in FRONTAL if own.get(s.study, "train") == name]
        _imagenome_list(folder / f"{name}.csv", shots)
    _imagenome_list(folder / "images_to_avoid.csv", FRONTAL[2:3])


def _imagenome_list(path: Path, shots: Sequence[Shot]) -> None:
    rows = [
        (i, s.subject, s.study, s.dicom, f"files/{listed(s)[:-4]}.dcm", s.view) for i, s in enumerate(shots)
    ]  # fmt: skip
    table(path, ("", "subject_id", "study_id", "dicom_id", "path", "ViewPosition"), rows)


# --- CheXpert with CheXlocalize's test set ---

_VALUES = ("1.0", "0.0", "-1.0", "")


def _labels(number: int) -> list[str]:
    """14 values in which every finding is positive somewhere."""
    return [_VALUES[(number + i) % 4] for i in range(14)]


def chexpert(root: Path) -> None:
    _chexpert(root, "CheXpert-v1.0")


def chexpert_small(root: Path) -> None:
    _chexpert(root, "CheXpert-v1.0-small")


CHEXPERT_SIZE = (39, 32)


def _chexpert(root: Path, name: str) -> None:
    header = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_14)
    for split, first, count in (("train", 1, 4), ("valid", 90001, 3)):
        rows = []
        for n in range(count):
            study = f"{split}/patient{first + n:05d}/study1"
            sides = ("Frontal", "Lateral") if n % 2 else ("Frontal",)
            for i, side in enumerate(sides):
                path = f"{study}/view{i + 1}_{side.lower()}.jpg"
                jpg(root / name / path, 100 * n + i, CHEXPERT_SIZE)
                position = "AP" if side == "Frontal" else ""
                rows.append(
                    (
                        f"{name}/{path}",
                        ("Female", "Male")[n % 2],
                        40 + n,
                        side,
                        position,
                        *_labels(n),
                    )
                )
        table(root / name / f"{split}.csv", header, rows)
    _chexpert_test(root)


def _chexpert_test(root: Path) -> None:
    rows, studies = [], []
    for n in range(4):
        study = f"test/patient{64741 + n}/study1"
        values = [str(int(float(v or 0) == 1)) for v in _labels(n)]
        studies.append((f"CheXpert-v1.0/{study}", *values))
        for i, side in enumerate(("frontal", "lateral") if n == 1 else ("frontal",)):
            path = f"{study}/view{i + 1}_{side}.jpg"
            jpg(root / "CheXpert" / path, 700 + 10 * n + i, CHEXPERT_SIZE)
            rows.append((path, *values))
    table(root / "CheXpert" / "test_labels.csv", ("Path", *CHEXPERT_14), rows)
    table(root / "groundtruth.csv", ("Study", *CHEXPERT_14), studies)


# --- CheXmask, for the pictures of MIMIC-CXR-JPG and CheXpert above ---


def organ_mask(organ: str, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    mask = np.zeros(size, bool)
    across = {"Left Lung": (0.55, 0.9), "Right Lung": (0.1, 0.45), "Heart": (0.4, 0.7)}[organ]
    mask[height // 5 : height // 2, int(across[0] * width) : int(across[1] * width)] = True
    return mask


def chexmask(root: Path) -> None:
    mimic = [(s.dicom, 0.55 if i == 1 else 0.84, s.size, i == 2) for i, s in enumerate(FRONTAL)]
    _chexmask_table(root / "OriginalResolution" / "MIMIC-CXR-JPG.csv", "dicom_id", mimic, "[439 276\n 410 281]")
    paths = [f"valid/patient9000{n}/study1/view1_frontal.jpg" for n in (1, 2, 3)]
    paths += [f"train/patient0000{n}/study1/view1_frontal.jpg" for n in (1, 2)]
    frontal = [(path, 0.9, CHEXPERT_SIZE, False) for path in paths]
    _chexmask_table(root / "OriginalResolution" / "CheXpert.csv", "Path", frontal, "439,276,410,281")


def _chexmask_table(path: Path, key: str, rows: Sequence[tuple[str, float, tuple[int, int], bool]], marks: str) -> None:
    header = (
        key, "Dice RCA (Mean)", "Dice RCA (Max)", "Landmarks", "Left Lung", "Right Lung", "Heart", "Height", "Width"
    )  # fmt: skip
    table(path, header, [
        (name, quality, quality + 0.03, marks, *(encode(organ_mask(o, size)) for o in header[4:7]),
         *(size[::-1] if swapped else size))
        for name, quality, size, swapped in rows
    ])  # fmt: skip


# --- NIH ChestX-ray14 ---

_NIH = (  # picture, labels, age, gender, view
    ("00000001_000.png", "Cardiomegaly|Effusion", "058Y", "M", "PA"),
    ("00000001_001.png", "No Finding", "059Y", "M", "AP"),
    ("00000002_000.png", "Atelectasis", "013M", "F", "PA"),
    ("00000003_000.png", "Pneumothorax|Pleural_Thickening|Hernia", "61", "F", "AP"),
    ("00000004_000.png", "Infiltration|Mass|Nodule|Pneumonia", "70", "M", "PA"),
    ("00000005_000.png", "Consolidation|Edema|Emphysema|Fibrosis", "33", "F", "PA"),
)

_NIH_BOXES = (
    (0, "Cardiomegaly"), (0, "Effusion"), (2, "Atelectasis"), (3, "Pneumothorax"), (4, "Infiltrate"), (5, "Effusion")
)  # fmt: skip


def nih_chestxray(root: Path) -> None:
    """Folders by parts, the headers with their commas."""
    _nih(root, lambda i: f"images_00{1 + i // 3}/images")


def nih_chestxray_flat(root: Path) -> None:
    """All pictures in ``images``, the later table's name, box list gzipped; colour with transparency in one picture."""
    _nih(root, lambda i: "images")
    (root / "Data_Entry_2017.csv").rename(root / "Data_Entry_2017_v2020.csv")
    boxes = root / "BBox_List_2017.csv"
    (root / "BBox_List_2017.csv.gz").write_bytes(gzip.compress(boxes.read_bytes()))
    boxes.unlink()


def _nih(root: Path, folder: Any) -> None:
    for i, (name, *_) in enumerate(_NIH):
        _large(root / folder(i) / name, i, "RGBA" if i == 3 else "L")
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    )
    rows = [
        f"{name},{labels},{i},{int(name[:8])},{age},{gender},{view},2682,2749,0.143,0.143,"
        for i, (name, labels, age, gender, view) in enumerate(_NIH)
    ]
    (root / "Data_Entry_2017.csv").write_text("\n".join([header, *rows, ""]))
    boxed = [f"{_NIH[i][0]},{label},{64 * i + 225.08:.2f},547.02,86.78,79.19,,," for i, label in _NIH_BOXES]
    (root / "BBox_List_2017.csv").write_text("\r\n".join(["Image Index,Finding Label,Bbox [x,y,w,h],,,", *boxed, ""]))
    (root / "train_val_list.txt").write_text("\n".join(_NIH[i][0] for i in (1, 5)))
    (root / "test_list.txt").write_text("\n".join(_NIH[i][0] for i in (0, 2, 3, 4)) + "\n")


def _large(path: Path, seed: int, mode: str) -> None:
    """1024 x 1024, the frame of the boxes, in coarse blocks that compress well."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.kron(grey(seed, (32, 32)), np.ones((32, 32), np.uint8))).convert(mode).save(path)


# --- MS-CXR ---

_ALIGNED = (  # shot, category, sentence, box
    (0, "Pneumothorax", "left apical pneumothorax", (10, 5, 12, 20)),
    (0, "Pneumothorax", "left apical pneumothorax", (30, 5, 40, 20)),  # goes beyond the right edge
    (1, "Pneumonia", "right lower lobe pneumonia ", (5, 30, 15, 20)),
    (2, "Cardiomegaly", "the heart, \"enlarged\"", (12, 28, 20, 18)),
    (3, "Edema", "mild interstitial edema", (3, 3, 40, 50)),
    (4, "Atelectasis", "bibasilar atelectasis", (3, 40, 40, 15)),
    (5, "Pleural Effusion", "small effusion", (30, 45, 12, 12)),
    (5, "Consolidation", "retrocardiac consolidation", (20, 30, 12, 12)),
    (5, "Lung Opacity", "hazy opacity", (2, 10, 18, 30)),
)  # fmt: skip


def ms_cxr(root: Path) -> None:
    """0.1: the CSV file and its twin, without splits."""
    _ms_csv(root / "MS_CXR_Local_Alignment_v1.0.0.csv", split=False)
    ms_cxr_json(root)


def ms_cxr_split(root: Path) -> None:
    """1.1.0 with the column ``split``."""
    _ms_csv(root / "MS_CXR_Local_Alignment_v1.1.0.csv", split=True)


def _ms_csv(path: Path, split: bool) -> None:
    header = ["dicom_id", "category_name", "label_text", "path", "x", "y", "w", "h", "image_width", "image_height"]
    words = {"train": "train", "validate": "val", "test": "test"}
    rows = [
        (
            s.dicom,
            category,
            text,
            f"files/{listed(s)}",
            *box,
            s.size[1],
            s.size[0],
            *([words[s.split]] if split else []),
        )
        for s, category, text, box in ((FRONTAL[i], *rest) for i, *rest in _ALIGNED)
    ]
    table(path, [*header, *(["split"] if split else [])], rows)


def ms_cxr_json(root: Path) -> None:
    names = sorted({category for _, category, _, _ in _ALIGNED})
    used = sorted({i for i, *_ in _ALIGNED})
    document(root / "MS_CXR_Local_Alignment_v1.0.0.json", {
        "info": {}, "licenses": [],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
        "images": [
            {"id": i, "file_name": f"{FRONTAL[i].dicom}.jpg", "path": f"files/{listed(FRONTAL[i])}",
             "width": FRONTAL[i].size[1], "height": FRONTAL[i].size[0], "num_annotations": 1}
            for i in used
        ],
        "annotations": [
            {"id": n, "image_id": i, "category_id": names.index(category) + 1, "label_text": text, "bbox": list(box)}
            for n, (i, category, text, box) in enumerate(_ALIGNED)
        ],
    })  # fmt: skip


MINIATURES = {
    "mimic-cxr-jpg:annotated": mimic_cxr_jpg,
    "mimic-cxr-jpg:annotated-from-p10": mimic_cxr_jpg_from_p10,
    "mimic-cxr-vqa": mimic_cxr_vqa,
    "medical-diff-vqa": medical_diff_vqa,
    "iux-vqa": iux_questions,
    "iu-xray:kaggle-asked": iu_xray_kaggle,
    "chest-imagenome": chest_imagenome,
    "chest-imagenome:nested": chest_imagenome_nested,
    "chexmask": chexmask,
    "chexpert": chexpert,
    "chexpert:small": chexpert_small,
    "nih-chestxray": nih_chestxray,
    "nih-chestxray:flat": nih_chestxray_flat,
    "ms-cxr": ms_cxr,
    "ms-cxr:1.1.0": ms_cxr_split,
    "ms-cxr:json": ms_cxr_json,
}
