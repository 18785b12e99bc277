"""Made-up report datasets in the layouts of their distributions. All text is invented; no id points to anybody."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from miniatures.pictures import dicom, jpg, nifti, png, volume

_BANNER = f"{' ' * 33}FINAL REPORT\n"
# (patient, study, split, date, time as the table has it, views of the pictures, sections)
_VISITS: tuple[tuple[int, int, str, str, str, Sequence[str], Mapping[str, str]], ...] = (
    (10000011, 50000101, "test", "21500301", "93045.5", ("LATERAL", "PA"), {
        "INDICATION": "___ year old man with cough.", "COMPARISON": "None.",
        "FINDINGS": "The lungs are clear.  No effusion is\n seen.", "IMPRESSION": "No acute process."}),
    (10000011, 50000102, "test", "21500301", "101500", ("AP",), {
        "INDICATION": "Line placement.", "COMPARISON": "Earlier the same day.",
        "FINDINGS": "A right line ends in the superior vena cava.", "IMPRESSION": "1. Line in place.\n 2. No pneumothorax."}),
    (10000011, 50000103, "test", "21500311", "804.25", ("AP", "", "LL"), {
        "HISTORY": "Fever.", "COMPARISON": "___.", "FINDINGS AND IMPRESSION": "Line unchanged.  New opacity at the left base."}),
    (10000022, 50000201, "train", "21490101", "120000", ("PA", "LATERAL"), {
        "INDICATION": "Pre-operative.", "FINDINGS": "Normal heart size.", "IMPRESSION": "Normal chest."}),
    (10000022, 50000202, "train", "21500101", "130000.125", ("PA", "LATERAL", "PA", "LATERAL", "PA", "LATERAL"), {
        "REASON FOR EXAM": "Chest pain.", "FINDINGS": "Small left effusion.", "IMPRESSION": "Left effusion."}),
    (11000033, 50000301, "validate", "21600606", "70000", ("AP",), {
        "CHEST, PORTABLE AP": "Tubes as before.", "CONCLUSION": "No change."}),
    (11000044, 50000401, "train", "21610101", "235959.999", ("LATERAL",), {"INDICATION": "Trauma.", "FINDINGS": "Rib fracture."}),
    (19000055, 50000501, "test", "21520202", "110000", ("PA",), {"INDICATION": "Cough.", "IMPRESSION": "Clear lungs."}),
    (19000055, 50000502, "test", "21520909", "110000", ("PA", "LATERAL"), {
        "INDICATION": "Cough.", "COMPARISON": "___.", "FINDINGS": "Small nodule in the right\n upper lobe.",
        "IMPRESSION": "Nodule; CT is advised."}),
    (19000055, 50000503, "test", "21530909", "110000", ("AP",), {"WET READ": "Not reported.\n \n To be read later."}),
)  # fmt: skip


def _report(sections: Mapping[str, str]) -> str:
    return f"{_BANNER} EXAMINATION:  CHEST\n \n" + "".join(f" {name}:  {text}\n \n" for name, text in sections.items())


def _dicom_id(study: int, number: int) -> str:
    return "-".join(f"{(study * 7919 + number * 104729 + k * 1299709) % 16**8:08x}" for k in range(5))


def _table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], newline: str = "\n") -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=newline)
    writer.writerow(header)
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def _mimic_tables(
    base: Path, release: str, suffix: str, picture: Callable[..., Path], ending: str, shuffled: bool = False
) -> None:
    split, metadata = [], []
    for patient, study, part, date, time, views, _ in _VISITS:
        for number, view in enumerate(views):
            name = _dicom_id(study, number)
            split.append((name, study, patient, part))
            metadata.append((name, patient, study, "CHEST", view, 48, 64, date, time, "XR", "view", "Erect"))
            folder = base / "files" / f"p{str(patient)[:2]}" / f"p{patient}" / f"s{study}"
            picture(folder / f"{name}{ending}", study + number)
    if shuffled:
        split = split[1::2] + split[::2]
    _table(base / f"mimic-cxr-{release}-split.csv{suffix}", ("dicom_id", "study_id", "subject_id", "split"), split)
    header = (
        "dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows", "Columns",
        "StudyDate", "StudyTime", "ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning",
        "PatientOrientationCodeSequence_CodeMeaning",
    )  # fmt: skip
    _table(base / f"mimic-cxr-{release}-metadata.csv{suffix}", header, metadata)


def mimic_cxr(root: Path) -> None:
    """MIMIC-CXR-JPG 2.0.0 with gzipped tables, the reports unpacked in the same folder, MIMIC-IV's patients."""
    _mimic_tables(root, "2.0.0", ".gz", jpg, ".jpg")
    for patient, study, *_, sections in _VISITS:
        folder = root / "mimic-cxr-reports" / "files" / f"p{str(patient)[:2]}" / f"p{patient}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"s{study}.txt").write_bytes(_report(sections).encode())
    people = [(10000011, "M", 61, 2148, "2011 - 2013", ""), (10000022, "F", 40, 2149, "2011 - 2013", "")]
    header = ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod")
    _table(root / "patients.csv.gz", header, people)


def mimic_cxr_sectioned(root: Path) -> None:
    """As a download of 2.1.0 leaves it, DICOM pictures, rows out of order, the table of sections beside."""
    base = root / "physionet.org" / "files" / "mimic-cxr-jpg" / "2.1.0"
    _mimic_tables(base, "2.1.0", "", dicom, ".dcm", shuffled=True)
    rows = []
    for _, study, *_, text in _VISITS:
        impression = text.get("IMPRESSION") or text.get("CONCLUSION") or text.get("FINDINGS AND IMPRESSION", "")
        findings = text.get("FINDINGS") or text.get("CHEST, PORTABLE AP", "")
        rows.append(
            (
                f"s{study}",
                impression,
                findings,
                "" if findings or impression else "To be read later.",
                text.get("COMPARISON", ""),
            )
        )
    _table(
        base / "mimic_cxr_sectioned.csv",
        ("study", "impression", "findings", "last_paragraph", "comparison"),
        rows,
        "\r\n",
    )


def mimic_radfm(root: Path) -> None:
    """RadFM's list with its authors' absolute paths, in ``lists``, over a tree of pictures."""
    _mimic_tables(root, "2.0.0", "", jpg, ".jpg")
    for split in ("train", "test"):
        rows = []
        for patient, study, part, _, _, _, sections in _VISITS:
            text = sections.get("IMPRESSION", "")
            path = f"/mnt/authors/MIMIC/files/p{str(patient)[:2]}/p{patient}/s{study}/{_dicom_id(study, 0)}.jpg"
            if part == split:
                rows.append((path, text))
        _table(root / "lists" / f"mimic_caption_{split}.csv", ("image_path", "label"), rows)


def mimic_r2gen(root: Path) -> None:
    annotation: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    for patient, study, part, *_, sections in _VISITS:
        split = {"validate": "val"}.get(part, part)
        name = _dicom_id(study, 0)
        path = f"p{str(patient)[:2]}/p{patient}/s{study}/{name}.jpg"
        jpg(root / "images" / path, study)
        report = sections.get("FINDINGS", sections.get("FINDINGS AND IMPRESSION", "Lines as before."))
        annotation[split].append(
            {
                "id": name, "study_id": study, "subject_id": patient, "report": f" {report}\n 1. Stable.  ____",
                "image_path": [path], "split": split,
            }
        )  # fmt: skip
    (root / "annotation.json").write_text(json.dumps(annotation))


def mimic_rexrank(root: Path) -> None:
    """ReXrank's file of MIMIC-CXR; its paths begin at ``files`` of a MIMIC-CXR-JPG tree."""
    _mimic_tables(root, "2.0.0", "", jpg, ".jpg")
    studies = {}
    for patient, study, part, _, _, views, sections in _VISITS:
        if part != "test":
            continue
        paths = [f"/p{str(patient)[:2]}/p{patient}/s{study}/{_dicom_id(study, n)}.jpg" for n in range(len(views))]
        kinds = ["Lateral" if v in ("LATERAL", "LL") else "Frontal" for v in views]
        findings, impression = sections.get("FINDINGS", ""), sections.get("IMPRESSION", "")
        studies[str(study)] = {
            "image_path": paths, "key_image_path": paths[kinds.index("Frontal")], "frontal_lateral": kinds, "subject_id": patient,
            "section_findings": findings, "section_impression": impression,
            "report": f"Findings: {findings} Impression: {impression}",
            "context": f"Age:60-70.Gender:M.Indication: {sections.get('INDICATION', 'None')} Comparison: ___",
            "split": "test",
        }  # fmt: skip
    path = root / "data" / "mimic-cxr" / "ReXRank_MIMICCXR_test.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(studies, indent=4))


# (number, pictures, indication, comparison, findings, impression, split of R2Gen)
_OPENI: tuple[tuple[int, Sequence[str], str, str, str, str, str], ...] = (
    (1, ("CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001"), "Cough for XXXX days", "None.",
     "Heart size is normal. Lungs are clear.", "Normal chest x-XXXX.", "test"),
    (2, ("CXR2_IM-0652-1001", "CXR2_IM-0652-2001"), "", "XXXX, XXXX.",
     "Mild cardiomegaly & tortuous aorta.", "1. Cardiomegaly. 2. No edema.", "train"),
    (10, ("CXR10_IM-0002-1001",), "Chest pain", "", "", "No active disease.", "train"),
    (11, ("CXR11_IM-0067-1001", "CXR11_IM-0067-1002", "CXR11_IM-0067-2001"), "Dyspnea", "None",
     "Left lower lobe opacity <3 cm.", "Pneumonia.", "test"),
    (12, (), "Fever", "None", "Clear lungs.", "No pneumonia.", "val"),
    (100, ("CXR100_IM-0002-1001", "CXR100_IM-0002-2001"), "", "", "Granuloma in the right upper lobe.", "", "test"),
    (101, ("CXR101_IM-0004-1001", "CXR101_IM-0004-1002"), "Pre-op — knee", "None.",
     "Degenerative spine.", "No acute disease.", "val"),
    (102, ("CXR102_IM-0006-1001", "CXR102_IM-0006-2001"), "Syncope", "None.", "", "", "train"),
)  # fmt: skip


def _openi_xml(number: int, pictures: Sequence[str], texts: Mapping[str, str]) -> bytes:
    escaped = {k: t.replace("&", "&amp;").replace("<", "&lt;") for k, t in texts.items()}
    parts = "\n".join(
        f'      <AbstractText Label="{name}">{text}</AbstractText>' if text else f'      <AbstractText Label="{name}"/>'
        for name, text in escaped.items()
    )
    named = "\n".join(
        f'  <parentImage id="{p}">\n    <caption>Xray Chest PA and Lateral</caption>\n  </parentImage>'
        for p in pictures
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<eCitation>\n  <uId id="CXR{number}"/>\n  <MedlineCitation>\n    <Article>\n'
        f"     <Abstract>\n{parts}\n     </Abstract>\n    </Article>\n"
        f"  </MedlineCitation>\n  <MeSH><major>normal</major></MeSH>\n"
        f"{named}\n</eCitation>\n"
    ).encode()


def _openi_documents() -> list[tuple[str, bytes]]:
    documents = []
    for number, pictures, indication, comparison, findings, impression, _ in _OPENI:
        texts = {"COMPARISON": comparison, "INDICATION": indication, "FINDINGS": findings, "IMPRESSION": impression}
        documents.append((f"ecgen-radiology/{number}.xml", _openi_xml(number, pictures, texts)))
    return documents


def openi(root: Path) -> None:
    for name, data in _openi_documents():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for number, pictures, *_ in _OPENI:
        for k, picture in enumerate(pictures):
            png(root / "NLMCXR_png" / f"{picture}.png", number * 10 + k)
    split_ids = {s: [f"CXR{n}_IM-0000" for n, *_, its in _OPENI if its == s] for s in ("train", "val", "test")}
    (root / "split_ids.json").write_text(json.dumps(split_ids))


def openi_archive(root: Path) -> None:
    """``NLMCXR_reports.tgz`` as downloaded, not in order of number."""
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / "NLMCXR_reports.tgz", "w:gz") as archive:
        folder = tarfile.TarInfo("ecgen-radiology")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in sorted(_openi_documents()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    for number, pictures, *_ in _OPENI:
        for k, picture in enumerate(pictures):
            png(root / "NLMCXR_png" / f"{picture}.png", number * 10 + k)


def iu_kaggle(root: Path) -> None:
    reports, projections = [], []
    for number, pictures, indication, comparison, findings, impression, _ in _OPENI:
        reports.append(
            (
                number,
                "normal;Lung/right",
                "normal",
                "Xray Chest PA and Lateral",
                indication,
                comparison,
                findings,
                impression,
            )
        )
        views = ("Lateral", "Frontal", "Frontal") if number == 11 else ("Frontal", "Lateral")
        for view, picture in zip(views, pictures, strict=False):
            name = f"{picture.removeprefix('CXR')}.dcm.png"
            png(root / "images" / "images_normalized" / name, number)
            projections.append((number, name, view))
    header = ("uid", "MeSH", "Problems", "image", "indication", "comparison", "findings", "impression")
    path = _table(root / "indiana_reports.csv", header, reports, "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    _table(root / "indiana_projections.csv", ("uid", "filename", "projection"), projections)


def _iu_study(number: int) -> str:
    return f"CXR{number}_IM-{number:04d}" + ("-1001" if number == 101 else "")


def iu_r2gen(root: Path) -> None:
    """Below ``iu_xray``, two pictures a study, the findings as report."""
    annotation: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    for number, *_, findings, impression, split in _OPENI:
        study = _iu_study(number)
        paths = [f"{study}/{k}.png" for k in range(2)]
        for k, path in enumerate(paths):
            png(root / "iu_xray" / "images" / path, number * 10 + k)
        item = {"id": study, "report": findings or impression, "image_path": paths, "split": split}
        annotation[split].append(item)
    (root / "iu_xray" / "annotation.json").write_text(json.dumps(annotation))


def iu_meddr(root: Path) -> None:
    lines = []
    for number, *_, findings, _, split in _OPENI:
        for k in range(2):
            if split == "test":
                path = f"images/{_iu_study(number)}/{k}.png"
                png(root / path, number * 10 + k)
                lines.append(
                    {
                        "id": len(lines),
                        "split": "test",
                        "image": path,
                        "text": findings,
                        "question_id": len(lines),
                        "answer": findings,
                    }
                )
    (root / "iu_mrg_meta.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def iu_rexrank(root: Path) -> None:
    for word, split in (("test", "test"), ("valid", "val")):
        studies = {}
        for number, _, indication, comparison, findings, impression, its in _OPENI:
            if its != split:
                continue
            study = _iu_study(number)
            paths = [f"{study}/{k}.png" for k in range(2)]
            for k, path in enumerate(paths):
                png(root / "iu_xray" / "images" / path, number * 10 + k)
            kinds = ["Lateral", "Frontal"] if number == 11 else ["Frontal", "Lateral"]
            studies[study] = {
                "key_image_path": paths[kinds.index("Frontal")], "image_path": paths,
                "report": f"Findings: {findings} Impression: {impression}", "section_findings": findings,
                "section_impression": impression, "split": split, "frontal_lateral": kinds,
                "context": f"Indication: {indication} Comparison: {comparison}",
            }  # fmt: skip
        (root / "iu_xray" / f"ReXRank_IUXray_{word}.json").write_text(json.dumps(studies, indent=4))


def iu_medevalkit(root: Path) -> None:
    items = []
    for number, *_, findings, impression, _ in _OPENI:
        paths = [f"{_iu_study(number)}/{k}.png" for k in range(2)]
        for k, path in enumerate(paths):
            png(root / "images" / path, number * 10 + k)
        items.append({"id": _iu_study(number), "image": paths, "findings": findings, "impression": impression})
    (root / "test.json").write_text(json.dumps(items))


_PRIVATE = ("study_id", "images", "findings", "impression", "split")


def r2chest(root: Path) -> None:
    rows = []
    for k, split in enumerate(("train", "train", "train", "val", "val", "test", "test", "test")):
        names = [f"pictures/c{k}_{view}.png" for view in ("pa", "lat")[: 1 + k % 2]]
        for name in names:
            png(root / name, k)
        rows.append(
            (
                f"chest-{k}",
                ";".join(names),
                f"Finding number {k}.",
                "" if k == 5 else f"Impression {k}.",
                split,
                f"person-{k // 2}",
            )
        )
    _table(root / "reports.csv", (*_PRIVATE, "patient_id"), rows)


def r2mammo(root: Path) -> None:
    rows = []
    for k, split in enumerate(("train", "train", "train", "val", "test", "test", "test", "test")):
        names = [f"{k}/{side}_{view}.dcm" for side in "LR" for view in ("CC", "MLO")]
        for n, name in enumerate(names):
            dicom(root / name, 4 * k + n, modality="MG")
        rows.append(
            (
                f"mammo-{k}",
                ";".join(names),
                f"Density {k}, “scattered”.",
                f"BI-RADS {k % 3}.",
                split,
                "L CC;L MLO;R CC;R MLO",
            )
        )
    _table(root / "reports.csv", (*_PRIVATE, "views"), rows, "\r\n")


def r2thyroid(root: Path) -> None:
    """Volumes, half of them folders of DICOM slices."""
    rows = []
    for k, split in enumerate(("train", "train", "train", "val", "test", "test", "test", "test")):
        name = f"scans/{k}.nii.gz" if k % 2 else f"scans/{k}"
        if k % 2:
            nifti(root / name, volume(k))
        else:
            for z in range(3):
                dicom(
                    root / name / f"{z}.dcm", 3 * k + z, modality="CT", SeriesInstanceUID=f"1.2.3.{k}", InstanceNumber=z + 1,
                    ImagePositionPatient=[0, 0, 2 * z], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[1, 1],
                    SliceThickness=2, RescaleSlope=1, RescaleIntercept=-1024,
                )  # fmt: skip
        rows.append((f"thyroid-{k}", name, f"Nodule of {k} mm in the left lobe.", f"TI-RADS {k % 5}.", split))
    _table(root / "reports.csv", _PRIVATE, rows)


MINIATURES: dict[str, Callable[[Path], None]] = {
    "mimic-cxr": mimic_cxr,
    "mimic-cxr:sectioned": mimic_cxr_sectioned,
    "mimic-cxr:radfm": mimic_radfm,
    "mimic-cxr:r2gen": mimic_r2gen,
    "mimic-cxr:rexrank": mimic_rexrank,
    "iu-xray:openi": openi,
    "iu-xray:openi-archive": openi_archive,
    "iu-xray:kaggle": iu_kaggle,
    "iu-xray:r2gen": iu_r2gen,
    "iu-xray:meddr": iu_meddr,
    "iu-xray:rexrank": iu_rexrank,
    "iu-xray:medevalkit": iu_medevalkit,
    "r2chest": r2chest,
    "r2mammo": r2mammo,
    "r2thyroid": r2thyroid,
}
