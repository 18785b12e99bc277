"""Made-up copies of the question-answer sets, in the layouts they are released in. Nothing in them is real."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from miniatures.pictures import grey, jpg, png

Row = dict[str, Any]


def _json(path: Path, rows: object, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding=encoding)


def _csv(path: Path, rows: Sequence[Mapping[str, Any]], newline: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, list(rows[0]), lineterminator=newline)
        writer.writeheader()
        writer.writerows(rows)


def _parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path, row_group_size=4)


def _embedded(seed: int, suffix: str = "JPEG") -> Row:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(grey(seed)).save(buffer, suffix)
    return {"bytes": buffer.getvalue(), "path": None}


# --- VQA-RAD ---


def _rad_rows() -> list[Row]:
    """Four cases of six pictures; case 2 has two pictures."""
    questions = [
        ("freeform", "Is there a pleural effusion?", "Is an effusion seen?", "PRES", "No", "CLOSED "),
        ("para", "Is fluid seen around the lung?", "NULL", "PRSE", "yes", "CLOSED"),
        ("freeform", "How many ribs are fractured?", "What is the number of broken ribs?", "COUNT, ATRIB", 3, "OPEN"),
        ("test_freeform", "What organ is enlarged?", "NULL", " ORGAN", "The heart", "OPEN "),
        ("test_para", "Is the heart enlarged?", "NULL", "SIZE, PRES", "Yes", "CLOSED"),
        ("test_freeform", "How wide is the mass in cm?", "NULL", "Other", 5.6, "OPEN"),
    ]
    rows = []
    for i in range(18):
        phrase, question, rephrased, kind, answer, answer_type = questions[i % 6]
        picture, case = i // 3, min(i // 3, 5) // 2
        rows.append(
            {
                "qid": 9001 + i if i % 2 else str(9001 + i), "phrase_type": phrase, "qid_linked_id": f"made-up-{i}",
                "image_case_url": f"https://example.org/case/{case}", "image_name": f"synpic{picture:05d}.jpg",
                "image_organ": ("CHEST", "HEAD", "ABD")[case], "evaluation": "evaluated", "question": question,
                "question_rephrase": rephrased, "question_relation": "NULL", "question_frame": "NULL",
                "question_type": kind, "answer": answer, "answer_type": answer_type,
            }
        )  # fmt: skip
    return rows


def _rad_derived(split: str) -> list[Row]:
    keys = ("qid", "image_name", "image_organ", "answer", "answer_type", "question_type", "question", "phrase_type")
    rows = [r for r in _rad_rows() if r["phrase_type"].startswith("test_") == (split == "test")]
    return [
        {k: r[k] for k in keys} | {"phrase_type": r["phrase_type"].removeprefix("test_"), "qid": int(r["qid"])}
        for r in rows
    ]


def vqa_rad(root: Path) -> None:
    """As the OSF archive unpacks, one folder down."""
    base = root / "osfstorage-archive"
    _json(base / "VQA_RAD Dataset Public.json", _rad_rows(), "utf-8-sig")
    for i in range(6):
        jpg(base / "VQA_RAD Image Folder" / f"synpic{i:05d}.jpg", i)


def vqa_rad_derived(root: Path) -> None:
    for split in ("train", "test"):
        _json(root / f"data_RAD/{split}set.json", _rad_derived(split))
    for i in range(6):
        jpg(root / f"data_RAD/images/synpic{i:05d}.jpg", i)


def vqa_rad_hub(root: Path) -> None:
    """Columns image, question, answer alone."""
    for split in ("train", "test"):
        rows = [
            {"image": _embedded(int(r["image_name"][6:11])), "question": r["question"], "answer": str(r["answer"])}
            for r in _rad_derived(split)
        ]
        _parquet(root / f"data/{split}-00000-of-00001-0a1b2c.parquet", rows)


def vqa_rad_octomed(root: Path) -> None:
    for split in ("train", "test"):
        rows = [
            {
                **r,
                "answer": str(r["answer"]),
                "image": _embedded(int(r["image_name"][6:11])),
                "image_hash": f"hash of {r['image_name']}",
            }
            for r in _rad_derived(split)
        ]
        _parquet(root / f"data/{split}-00000-of-00001.parquet", rows)


# --- SLAKE ---

_SLAKE_QUESTIONS = [
    ("en", "Does the picture contain liver?", "Yes", "CLOSED", "vqa", "Organ"),
    ("zh", "图中有肝脏吗？", "有", "CLOSED", "vqa", "Organ"),
    ("en", "Which side is brighter?", "Left", "CLOSED", "vqa", "Position"),
    ("en", "What modality is shown?", "CT", "OPEN", "vqa", "Modality"),
    ("en", "How is the disease prevented?", "Rest, Exercise", "OPEN", "kvqa", "KG"),
]


def _slake_rows(split: str, images: Iterable[int]) -> list[Row]:
    rows = []
    for image in images:
        for i, (language, question, answer, answer_type, base, content) in enumerate(_SLAKE_QUESTIONS):
            rows.append(
                {
                    "img_id": 900 + image, "img_name": f"xmlab{900 + image}/source.jpg", "question": question,
                    "answer": answer, "q_lang": language, "location": ("Abdomen", "Lung", "Brain_Tissue")[image % 3],
                    "modality": ("CT", "X-Ray", "MRI")[image % 3], "answer_type": answer_type, "base_type": base,
                    "content_type": content, "triple": ["vhead", "_", "_"], "qid": 99000 + 10 * image + i,
                }
            )  # fmt: skip
    if split == "train":
        rows[-1]["answer"] = ""  # the release holds one blank answer, too
    return rows


def _slake_pictures(folder: Path) -> None:
    for image in range(7):
        jpg(folder / f"xmlab{900 + image}/source.jpg", image)
        png(folder / f"xmlab{900 + image}/mask.png", image, mode="RGB")
        if image != 5:
            boxes = [{"Liver": [4, 6, 20, 10]}, {"Spleen": [30.5, 8, 12, 14]}] if image % 2 == 0 else []
            _json(folder / f"xmlab{900 + image}/detection.json", boxes)


_SLAKE_IMAGES = {"train": (0, 1, 2), "validate": (3,), "test": (4, 5, 6)}


def slake(root: Path) -> None:
    for split, images in _SLAKE_IMAGES.items():
        _json(root / f"Slake1.0/{split}.json", _slake_rows(split, images))
    _slake_pictures(root / "Slake1.0/imgs")


def slake_hub_json(root: Path) -> None:
    """imgs.zip unpacked into a folder imgs that the archive holds again."""
    for split, images in _SLAKE_IMAGES.items():
        _json(root / f"{split.replace('validate', 'validation')}.json", _slake_rows(split, images))
    _slake_pictures(root / "imgs/imgs")


def slake_hub_parquet(root: Path) -> None:
    for split, images in _SLAKE_IMAGES.items():
        rows = [
            {"image": _embedded(r["img_id"]), "question": r["question"], "answer": r["answer"]}
            for r in _slake_rows(split, images)
            if r["q_lang"] == "en"
        ]
        _parquet(root / f"data/{split.replace('validate', 'validation')}-00000-of-00001.parquet", rows)


# --- PathVQA ---

_PATH_QUESTIONS = [
    ("is the nucleus enlarged?", "yes"), ("what is stained?", "collagen"), ("are mitoses present?", "no"),
    ("Where is the lesion located?", "in the cortex"), ("the margin shows what?", "tumour cells"),
]  # fmt: skip


def path_vqa(root: Path) -> None:
    for start, split in enumerate(("train", "validation", "test")):
        rows = [
            {"image": _embedded(10 * start + i // 3), "question": q, "answer": a}
            for i, (q, a) in enumerate(_PATH_QUESTIONS)
        ]
        _parquet(root / f"data/{split}-00000-of-00001.parquet", rows)


def path_vqa_json(root: Path) -> None:
    """The original tree, its second form of questions saved as JSON."""
    for start, split in enumerate(("train", "val", "test")):
        rows = [
            {
                "answer_type": "yes/no" if a in ("yes", "no") else "other", "img_id": f"{split}_{i // 3:04d}",
                "label": {a: 1}, "question_id": 100 * start + i, "question_type": q.split()[0], "sent": q,
            }
            for i, (q, a) in enumerate(_PATH_QUESTIONS)
        ]  # fmt: skip
        _json(root / f"pvqa/qas/{split}_vqa.json", rows)
        for i in range(2):
            jpg(root / f"pvqa/images/{split}/{split}_{i:04d}.jpg", 10 * start + i, mode="RGB")


# --- PMC-VQA ---


def _pmc_rows(start: int, count: int) -> list[Row]:
    rows = []
    for i in range(start, start + count):
        letter = "ABCD"[i % 4]
        texts = {"A": "MRI", "B": "CT", "C": "Ultrasound, with contrast", "D": "Chest X-ray"}
        rows.append(
            {"Figure_path": f"PMC000000{i // 2}_Fig{i}.jpg", "Question": "What imaging technique is shown?",
             "Answer": texts[letter], **{f"Choice {c}": f" {c}:{t} " for c, t in texts.items()}, "Answer_label": letter}
        )  # fmt: skip
    return rows


def pmc_vqa(root: Path) -> None:
    """Both versions side by side, as in the repository; pictures in images/ and images_2/."""
    _csv(root / "train.csv", _pmc_rows(0, 4))
    _csv(root / "test.csv", _pmc_rows(4, 8), "\r\n")
    _csv(root / "test_clean.csv", _pmc_rows(4, 3))
    for split, start in (("train", 0), ("test", 4)):
        rows = [
            {"index": i, "Caption": "A made-up caption.", **{k: v for k, v in r.items() if k != "Answer_label"},
             "Answer": r["Answer_label"], "split": split}
            for i, r in enumerate(_pmc_rows(start, 4))
        ]  # fmt: skip
        _csv(root / f"{split}_2.csv", rows)
    for i in range(12):
        jpg(root / f"images/PMC000000{i // 2}_Fig{i}.jpg", i)
    for i in range(8):
        jpg(root / f"images_2/PMC000000{i // 2}_Fig{i}.jpg", 50 + i)


def pmc_vqa_early(root: Path) -> None:
    """The early revision with its misspelt column, another column order, pictures in figures/."""
    for split, start in (("train", 0), ("test", 4)):
        rows = [{"Anwser": r.pop("Answer"), **r} for r in _pmc_rows(start, 4)]
        _csv(root / f"{split}.csv", rows)
    for i in range(8):
        jpg(root / f"figures/PMC000000{i // 2}_Fig{i}.jpg", i)


# --- PMC-CaseReport ---

_LONG = (
    "A 40-year-old man came.He had pain. The node was 3.5 cm wide. It grew. It was removed. He went home. He is well."
)


def _case_rows(start: int) -> list[Row]:
    rows = []
    for i in range(start, start + 5):
        figures = (["FIG1"], ["FIG1", "FIG2"], [])[i % 3]
        rows.append(
            {
                "PMC_id": f"PMC000000{i // 2}", "img_ref": str(figures), "context": (_LONG, "A short story. It ends.")[i % 2],
                "question": "Q: What did the CT show?" if i % 2 else "Q:Was the DNA: sample clean?",
                "answer": "A: A mass in the right lobe." if i % 2 else "A: Yes", "inline": "(FIG1)",
            }
        )  # fmt: skip
    return [*rows, {**rows[-1], "answer": "A: "}]


def _case_figures(folder: Path) -> None:
    for i in range(5):
        for name in ("FIG1", "FIG2"):
            jpg(folder / f"PMC000000{i}_{name}.jpg", i)


def pmc_case_report(root: Path) -> None:
    for split, start in (("train", 0), ("test", 5)):
        rows = [{k if k == "PMC_id" else k.upper(): v for k, v in r.items()} for r in _case_rows(start)]
        _parquet(root / f"data/{split}-00000-of-00002-aa.parquet", rows[:3])
        _parquet(root / f"data/{split}-00001-of-00002-bb.parquet", rows[3:])
    _case_figures(root / "figures")


def pmc_case_report_csv(root: Path) -> None:
    for split, start in (("train", 0), ("test", 5)):
        _csv(root / f"filtered_case_report_{split}.csv", _case_rows(start))
    _case_figures(root)


# --- VQA-Med 2019 ---

_MED_QUESTIONS = [
    ("modality", "what kind of image is this?", "ct with iv contrast"),
    ("plane", "in what plane is this mri?", "axial"),
    ("organ", "what organ system is shown?", "skull and contents#spine and contents"),
    ("abnormality", "is the image normal?", "no"),
]


def vqamed2019(root: Path) -> None:
    """Folders inside folders of the same names, as archives unpack; Windows line ends, a byte order mark."""
    parts = (("Training", "train", "Train_images", 0), ("Validation", "val", "Val_images", 3))
    for name, split, images, start in parts:
        folder = root / f"VQA-Med-2019/ImageClef-2019-VQA-Med-{name}/ImageClef-2019-VQA-Med-{name}"
        rows = [(f"synpic{i:05d}", *q) for i in range(start, start + 3) for q in _MED_QUESTIONS]
        folder.mkdir(parents=True)
        lines = "".join(f"{i}|{q}|{a}\r\n" for i, _, q, a in rows)
        (folder / f"All_QA_Pairs_{split}.txt").write_bytes(lines.encode("utf-8-sig"))
        for number, (category, _, _) in enumerate(_MED_QUESTIONS, 1):
            path = folder / f"QAPairsByCategory/C{number}_{category.title()}_{split}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(f"{i}|{q}|{a}\n" for i, c, q, a in rows if c == category))
        for i in range(start, start + 3):
            jpg(folder / images / f"synpic{i:05d}.jpg", i)
    test = root / "VQA-Med-2019/VQAMed2019Test"
    test.mkdir()
    rows = [(f"synpic{6 + i:05d}", *_MED_QUESTIONS[i % 4]) for i in range(8)]
    text = "".join(f"{'|'.join(row)}\n" for row in rows)
    (test / "VQAMed2019_Test_Questions_w_Ref_Answers.txt").write_text(text)
    (test / "VQAMed2019_Test_Questions.txt").write_text("".join(f"{i}|{q}\n" for i, _, q, _ in rows))
    for i in range(6, 14):
        jpg(test / f"VQAMed2019_Test_Images/synpic{i:05d}.jpg", i)


def vqamed2019_mevf(root: Path) -> None:
    """trainset.json and testset.json, the latter the validation set."""
    short = {"modality": "MODALITY", "plane": "PLANE", "organ": "ORGAN", "abnormality": "ABN"}
    for split, start in (("train", 0), ("test", 3)):
        rows = [
            {"qid": 10 * i + n, "image_name": f"synpic{i:05d}.jpg", "answer": a,
             "answer_type": "CLOSED" if a == "no" else "OPEN", "question_type": short[c], "question": q,
             "phrase_type": "freeform"}
            for i in range(start, start + 3) for n, (c, q, a) in enumerate(_MED_QUESTIONS)
        ]  # fmt: skip
        _json(root / f"data_RAD/{split}set.json", rows)
    for i in range(6):
        jpg(root / f"data_RAD/images/synpic{i:05d}.jpg", i)


# --- RadFM's lists ---


def radfm_questions(root: Path) -> None:
    """``lists/`` with the authors' paths; ``pictures/`` with each set's pictures in folders of the user's own."""
    for split, start in (("train", 0), ("test", 4)):
        pmc = [
            {"img_root_dir": "/authors/all_images/figures/", "Figure_path": r["Figure_path"], "Question": r["Question"],
             "Answer": r["Answer"]}
            for r in _pmc_rows(start, 4)
        ]  # fmt: skip
        rad = [
            {"img_root_dir": "/authors/VQA_RAD", "Figure_path": r["image_name"], "Question": r["question"],
             "Answer": r["answer"]}
            for r in _rad_derived(split)
        ]  # fmt: skip
        images = _SLAKE_IMAGES[split]
        slake_rows = [
            {"img_root_dir": "/authors/Slake1.0/imgs", "Figure_path": r["img_name"], "Question": r["question"],
             "Answer": r["answer"] or "none"}
            for r in _slake_rows(split, images) if r["q_lang"] == "en"
        ]  # fmt: skip
        _csv(root / f"lists/pmcvqa_{split}.csv", pmc)
        _csv(root / f"lists/vqarad_{split}.csv", rad)
        _csv(root / f"lists/slakevqa_{split}.csv", slake_rows)
        _csv(root / f"lists/casa_report_{split}.csv", _case_rows(start))
        _csv(root / f"lists/filtered_case_report_{split}.csv", _case_rows(start)[:3])
    for i in range(8):
        png(root / f"pictures/pmc/PMC000000{i // 2}_Fig{i}.png", i)  # saved again as PNG
    for i in range(6):
        jpg(root / f"pictures/rad/synpic{i:05d}.jpg", i)
    _slake_pictures(root / "pictures/slake")
    _case_figures(root / "pictures")


MINIATURES: dict[str, Callable[[Path], None]] = {
    "vqa-rad": vqa_rad,
    "vqa-rad:derived": vqa_rad_derived,
    "vqa-rad:hub": vqa_rad_hub,
    "vqa-rad:octomed": vqa_rad_octomed,
    "slake": slake,
    "slake:hub-json": slake_hub_json,
    "slake:hub-parquet": slake_hub_parquet,
    "path-vqa": path_vqa,
    "path-vqa:json": path_vqa_json,
    "pmc-vqa": pmc_vqa,
    "pmc-vqa:early": pmc_vqa_early,
    "pmc-case-report": pmc_case_report,
    "pmc-case-report:csv": pmc_case_report_csv,
    "vqamed2019": vqamed2019,
    "vqamed2019:mevf": vqamed2019_mevf,
    "radfm-questions": radfm_questions,
}
