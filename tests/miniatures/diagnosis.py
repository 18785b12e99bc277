"""Made-up copies of the diagnosis sets: VinDr, RAD-ChestCT, the members of CXR-Mix, RadFM's lists. Nothing in them is real."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from radbench.tasks.readers.vindr_cxr import LABELS as CXR_LABELS
from radbench.tasks.readers.vindr_mammo import FINDINGS
from radbench.tasks.readers.vindr_pcxr import LABELS as PCXR_LABELS

from miniatures.pictures import dicom, jpg, png, volume

SPINE_TYPES = (
    "Ankylosis", "Disc space narrowing", "Enthesophytes", "Foraminal stenosis", "Fracture", "Osteophytes", "Sclerotic lesion",
    "Spondylolysthesis", "Subchondral sclerosis", "Surgical implant", "Vertebral collapse", "Foreign body", "Other lesions",
)  # fmt: skip
ABNORMALITIES = (
    "air_trapping airspace_disease aneurysm arthritis aspiration atelectasis atherosclerosis bandlike_or_linear breast_implant"
    " breast_surgery bronchial_wall_thickening bronchiectasis bronchiolectasis bronchiolitis bronchitis cabg calcification"
    " cancer cardiomegaly catheter_or_port cavitation chest_tube clip congestion consolidation coronary_artery_disease cyst"
    " debris deformity density dilation_or_ectasia distention emphysema fibrosis fracture gi_tube granuloma groundglass"
    " hardware heart_failure heart_valve_replacement hemothorax hernia honeycombing infection infiltrate inflammation"
    " interstitial_lung_disease lesion lucency lung_resection lymphadenopathy mass mucous_plugging nodule nodulegr1cm opacity"
    " other_path pacemaker_or_defib pericardial_effusion pericardial_thickening plaque pleural_effusion pleural_thickening"
    " pneumonia pneumonitis pneumothorax postsurgical pulmonary_edema reticulation scarring scattered_calc scattered_nod"
    " secretion septal_thickening soft_tissue staple stent sternotomy suture tracheal_tube transplant tree_in_bud tuberculosis"
).split()
LOCATIONS = ("left_upper_lobe", "right_lung", "heart", "other_location")


def table(path: Path, header: str, rows: Sequence[str], end: str = "\n", bom: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = end.join((header, *rows)) + end
    path.write_bytes(text.encode("utf-8-sig" if bom else "utf-8"))
    return path


def vindr_mammo(root: Path) -> None:
    """Two exams of four views each in training and test; every finding category; one finding of two categories."""
    breast = "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,split"
    images, findings = [], []
    for n in range(16):
        study, image, side, view = f"study{n // 4}", f"image{n:02d}", "LR"[n % 4 // 2], ("CC", "MLO")[n % 2]
        shared = f"{study},series{n},{image},{side},{view},48,64,BI-RADS {n % 5 + 1},DENSITY {'ABCD'[n % 4]}"
        split = "training" if n < 8 else "test"
        images.append(f"{shared},{split}")
        names = [FINDINGS[n % 11]] if n != 8 else ["Mass", "Skin Retraction"]
        if names == ["No Finding"]:
            findings.append(f"{shared},\"['No Finding']\",,,,,,{split}")
        else:
            findings.append(f'{shared},"{names}",BI-RADS 4,{n}.5,2.0,{n + 20}.25,30.0,{split}')
        if n == 9:  # a second finding in the same picture
            findings.append(f"{shared},\"['Asymmetry']\",BI-RADS 3,1.0,1.0,9.0,9.0,{split}")
        dicom(root / "images" / study / f"{image}.dicom", n, photometric=f"MONOCHROME{n % 2 + 1}", modality="MG")
    table(root / "breast-level_annotations.csv", breast, images)
    header = breast.replace(",split", ",finding_categories,finding_birads,xmin,ymin,xmax,ymax,split")
    table(root / "finding_annotations.csv", header, findings)
    table(root / "metadata.csv", "SOP Instance UID,Modality", ["image00,MG"])


def vindr_spinexr(root: Path, tables: str = "annotations") -> None:
    """All 13 lesion types over train and test; two images a study; images with several boxes, images without lesion."""
    header = "study_id,series_id,image_id,rad_id,lesion_type,xmin,ymin,xmax,ymax"
    for split, numbers in (("train", range(8)), ("test", range(8, 14))):
        rows = []
        for n in numbers:
            start = f"s{n // 2},e{n},i{n},rad{n % 3}"
            if n % 4 == 3:
                rows.append(f"{start},No finding,,,,")
            else:
                rows.extend(f"{start},{SPINE_TYPES[(n + k) % 13]},{n + k}.6,10.0,{n + k + 9}.5,20.25" for k in (0, 7))
            dicom(root / f"{split}_images" / f"i{n}.dicom", n)
        table(root / tables / f"{split}.csv", header, rows, end="\r\n")
        (root / tables / f"{split}.json").write_text("{}")


def vindr_spinexr_annotation(root: Path) -> None:
    """As the authors' repository shows the folder."""
    vindr_spinexr(root, "annotation")


def _label_row(labels: Sequence[str], present: Sequence[str], as_float: bool = False) -> str:
    zero, one = ("0.0", "1.0") if as_float else ("0", "1")
    return ",".join(one if name in present else zero for name in labels)


def vindr_pcxr(root: Path) -> None:
    """Every diagnosis in train; rad_ID and floats in the train table only; boxes of local findings."""
    names = ",".join(PCXR_LABELS)
    train = [f"p{n},R{n % 3},{_label_row(PCXR_LABELS, _pcxr(n), as_float=True)}" for n in range(15)]
    test = [f"p{n},{_label_row(PCXR_LABELS, _pcxr(n))}" for n in range(15, 23)]
    table(root / "image_labels_train.csv", f"image_id,rad_ID,{names}", train)
    table(root / "image_labels_test.csv", f"image_id,{names}", test)
    box = "class_name,x_min,y_min,x_max,y_max"
    table(
        root / "annotations_train.csv",
        f"image_id,rad_ID,{box}",
        ["p1,R1,Peribronchovascular interstitial opacity,1,2,30,40"],
    )
    table(
        root / "annotations_test.csv",
        f"image_id,rad_ID,{box}",
        ["p16,R1,Consolidation,3,4,10.5,11.5", "p15,R1,No finding,,,,"],
    )
    for n in range(23):
        dicom(root / ("train" if n < 15 else "test") / f"p{n}.dicom", n)


def _pcxr(n: int) -> list[str]:
    return [PCXR_LABELS[n % 15]] + (["Pneumonia"] if n in (1, 16) else [])


def vindr_cxr(root: Path) -> None:
    """Train images by three readers who disagree, the last one wholly; test images by consensus, "Other disease" singular."""
    train_names, test_names = ",".join(CXR_LABELS), ",".join(CXR_LABELS).replace("Other diseases", "Other disease")
    rows = []
    for n in range(6):
        first, second = CXR_LABELS[n], CXR_LABELS[n + 6]
        readings = ([first], [first, second], [second]) if n < 5 else ([first], [second], ["No finding"])
        rows.extend(f"c{n},R{r + 1},{_label_row(CXR_LABELS, said)}" for r, said in enumerate(readings))
    table(root / "annotations" / "image_labels_train.csv", f"image_id,rad_id,{train_names}", rows)
    test = [
        ["No finding"],
        ["Pleural effusion", "Cardiomegaly"],
        ["Other diseases"],
        ["ILD", "Nodule/Mass"],
        ["COPD"],
        ["No finding"],
    ]
    test_rows = [f"c{n},{_label_row(CXR_LABELS, said)}" for n, said in enumerate(test, 6)]
    table(root / "annotations" / "image_labels_test.csv", f"image_id,{test_names}", test_rows, bom=True)
    box = "class_name,x_min,y_min,x_max,y_max"
    boxes = [
        "c0,R1,Aortic enlargement,1,2,11,12",
        "c0,R2,Aortic enlargement,1,2,12,13",
        "c0,R2,Lung cyst,5,5,6,6",
        "c5,R3,No finding,,,,",
    ]
    table(root / "annotations" / "annotations_train.csv", f"image_id,rad_id,{box}", boxes)
    tests = ["c6,No finding,,,,", "c7,Pleural effusion,10.5,11.5,40,41", "c7,Cardiomegaly,1,2,30,40"]
    table(root / "annotations" / "annotations_test.csv", f"image_id,{box}", tests)
    for n in range(12):
        dicom(root / ("train" if n < 6 else "test") / f"c{n}.dicom", n, photometric=f"MONOCHROME{n % 2 + 1}")


def radchest_ct(root: Path, metadata: bool = True) -> None:
    """All 84 abnormalities at four locations; scans of 12 slices; two scans of one patient; one scan without a mark."""
    pairs = [f"{a}*{loc}" for a in ABNORMALITIES for loc in LOCATIONS]
    numbers = {"imgtrain": ("trn", 5), "imgvalid": ("val", 3), "imgtest": ("tst", 6)}
    patients = []
    for name, (prefix, count) in numbers.items():
        rows = []
        for n in range(count):
            scan = f"{prefix}{n:05d}"
            marks = {pairs[(n * 61 + k * 97) % len(pairs)] for k in range(9)} if n else set()
            rows.append(f"{scan}," + ",".join("1" if p in marks else "0" for p in pairs))
            patients.append(f"{scan},mrn{prefix}{n // 2},{40 + n}")
            (root).mkdir(parents=True, exist_ok=True)
            stored = volume(n, (12, 20, 24))
            np.savez_compressed(root / f"{scan}.npz", ct=stored)
        table(root / f"{name}_Abnormality_and_Location_Labels.csv", f"NoteAcc_DEID,{','.join(pairs)}", rows)
    if metadata:
        table(root / "CT_Scan_Metadata_Complete_35747.csv", "NoteAcc_DEID,MRN_DEID,Age", patients)


def radchest_ct_alone(root: Path) -> None:
    """Without the metadata table."""
    radchest_ct(root, metadata=False)


def covidx(root: Path) -> None:
    for split, count in (("train", 8), ("val", 4), ("test", 6)):
        lines = []
        for n in range(count):
            name = f"{split} {n}.png" if n == 3 else f"{split}{n}.png"  # a blank in a file name
            lines.append(f"{split}-{n // 2} {name} {('negative', 'positive')[n % 2]} {('cohen', 'rsna')[n % 2]}")
            png(root / split / name, n)
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")


def nlm_tb(root: Path) -> None:
    for n in range(20):
        png(root / "MontgomerySet" / "CXR_png" / f"MCUCXR_{n:04d}_{n % 2}.png", n)
        png(root / "ChinaSet_AllFiles" / "CXR_png" / f"CHNCXR_{n:04d}_{n % 2}.png", 50 + n)
    (root / "ChinaSet_AllFiles" / "CXR_png" / "Thumbs.db").write_bytes(b"")


def object_cxr(root: Path) -> None:
    for name, count in (("train", 8), ("dev", 6)):
        shapes = ("", "0 10 20 30 40;2 1 2 3 4 5 6", "", "1 5 5 9 9")
        table(root / f"{name}.csv", "image_name,annotation", [f"0{n}{name}.jpg,{shapes[n % 4]}" for n in range(count)])
        for n in range(count):
            jpg(root / name / f"0{n}{name}.jpg", n)


def rsna(root: Path) -> None:
    """20 images, every third with pneumonia, of these every other with two boxes."""
    rows, classes = [], []
    for n in range(20):
        if n % 3:
            rows.append(f"patient{n},,,,,0")
        else:
            rows.extend(f"patient{n},{10 + k}.0,20.0,5.0,6.5,1" for k in range(1 + n % 2))
        classes.append(f"patient{n},{('Lung Opacity', 'Normal', 'No Lung Opacity / Not Normal')[n % 3]}")
        dicom(root / "stage_2_train_images" / f"patient{n}.dcm", n)
    table(root / "stage_2_train_labels.csv", "patientId,x,y,width,height,Target", rows)
    table(root / "stage_2_detailed_class_info.csv", "patientId,class", classes)


def siim(root: Path) -> None:
    """The second header begins with a blank; -1 with and without one; pictures nested by study and series."""
    rows = []
    for n in range(20):
        masks = (" -1", " 100 5 20 3", "-1", " 7 2")[n % 4]
        rows.append(f"1.2.276.{n},{masks}")
        if n % 4 == 1:
            rows.append(f"1.2.276.{n}, 900 4")
        dicom(root / "dicom-images-train" / f"1.9.{n}" / f"1.8.{n}" / f"1.2.276.{n}.dcm", n)
    table(root / "train-rle.csv", "ImageId, EncodedPixels", rows)


def openi_headings(root: Path) -> None:
    """16 studies of two images; one not indexed; headings with qualifiers."""
    headings = (
        "normal",
        "Cardiomegaly/mild",
        "Pulmonary Atelectasis/base/left",
        "Opacity/lung",
        "Pleural Effusion/right",
        "No Indexing",
    )
    for n in range(1, 25):
        names = [f"CXR{n}_IM-000{k}-1001" for k in (1, 2)]
        majors = {headings[n % 6], headings[(n + n // 6) % 5 or 1]} if n % 6 else {"normal"}
        xml = (
            f'<eCitation><uId id="CXR{n}"/><MeSH>{"".join(f"<major>{h}</major>" for h in sorted(majors))}'
            f"<automatic>heart</automatic></MeSH>{''.join(f'<parentImage id={chr(34)}{i}{chr(34)}/>' for i in names)}</eCitation>"
        )
        path = root / "ecgen-radiology" / f"{n}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(xml)
        for k, name in enumerate(names):
            png(root / "NLMCXR_png" / f"{name}.png", n * 2 + k)


CXR_MEMBERS: Mapping[str, Callable[[Path], None]] = {
    "vindr-cxr": vindr_cxr, "covidx-cxr2": covidx, "nlm-tb": nlm_tb, "object-cxr": object_cxr, "openi": openi_headings,
    "rsna": rsna, "siim-acr": siim,
}  # fmt: skip


def cxr_mix(root: Path) -> None:
    """The members this module builds, each in its folder."""
    for name, build in CXR_MEMBERS.items():
        build(root / name)


def radfm_lists(root: Path) -> None:
    """Released lists beside made-up copies of what they name: the authors' paths, PNG where the source has DICOM."""
    lists = root / "RadFM_data_csv"
    header = "image_path,disease,label"
    diseases = ("Pleural_Effusion", "cardiomegaly")
    for n in range(16):
        png(root / "nih" / "images_001" / "images" / f"0000000{n // 2}_00{n % 2}.png", n)
    for n in range(8):
        png(root / "chexpert" / "train" / f"patient0000{n}" / "study1" / "view1_frontal.jpg", n)
    nih, nih_train = (
        [f"/mnt/authors/nih/images/0000000{n // 2}_00{n % 2}.png,{diseases[n % 2]},{n // 2 % 2}" for n in numbers]
        for numbers in (range(8), range(8, 16))
    )
    stanford = [
        f"/mnt/authors/CheXpert-v1.0/train/patient0000{n}/study1/view1_frontal.jpg,{diseases[n % 2]},{n // 2 % 2}.0"
        for n in range(8)
    ]
    table(
        lists / "chestxray_balance_test.csv",
        header,
        [*nih, *stanford, "/mnt/authors/nih/images/00000099_000.png,mass,0"],
    )
    table(lists / "chestxray_balance_train.csv", header, ["/mnt/authors/old.png,mass,1"])
    table(lists / "chestxray_balance_train_new.csv", header, nih_train)
    for name, source in (("pcxr", "vindr-pcxr"), ("mammo", "vindr-mammo"), ("spinexr", "vindr-spinexr")):
        for split, numbers in (("test", range(8)), ("train", range(8, 12))):
            for n in numbers:
                dicom(root / source / split / f"{name}{n}.dicom", n)
            rows = [
                f"/mnt/authors/{name}/{split}/{name}{n}.png,{('Brocho-pneumonia', 'mass')[n % 2]},{n // 2 % 2}"
                for n in numbers
            ]
            table(lists / f"{name}_balance_{split}.csv", header, rows)


MINIATURES: Mapping[str, Callable[[Path], None]] = {
    "vindr-mammo": vindr_mammo, "vindr-spinexr": vindr_spinexr, "vindr-spinexr:annotation": vindr_spinexr_annotation,
    "vindr-pcxr": vindr_pcxr, "vindr-cxr": vindr_cxr, "radchest-ct": radchest_ct, "radchest-ct:no-metadata": radchest_ct_alone,
    "covidx-cxr2": covidx, "nlm-tb": nlm_tb, "object-cxr": object_cxr, "rsna": rsna, "siim-acr": siim,
    "openi:headings": openi_headings, "cxr-mix": cxr_mix, "cxr-mix:released": radfm_lists, "radfm-diagnosis": radfm_lists,
}  # fmt: skip
