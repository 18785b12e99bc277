"""Every dataset distribution the suites read: where to get it, its licence, what its folder holds, its reader.

Sizes are those of the papers and cards; a copy that differs is a warning of ``radbench data check``, never an error.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from radbench.dataset import Dataset, lazy

_READERS = "radbench.tasks.readers"
_PHYSIONET = "a PhysioNet account, its training course and the data use agreement of the set"

# --- question answering ---

VQA_RAD = Dataset(
    "vqa-rad",
    lazy(f"{_READERS}.vqa_rad:VqaRad"),
    access="open",
    licence="CC0",
    source="OSF record 89kps",
    homepage="https://osf.io/89kps",
    folder="vqa-rad",
    hub=("flaviagiammarino/vqa-rad", "OctoMed/VQA-RAD"),
    tree="VQA_RAD Dataset Public.json\nVQA_RAD Image Folder/synpicNNNNN.jpg",
    sizes={"train": 1797, "test": 451},
    note="3,064 training questions where paraphrases count as questions of their own; the deduplicated hub copy has 1,793.",
)
SLAKE = Dataset(
    "slake",
    lazy(f"{_READERS}.slake:Slake"),
    access="open",
    licence="CC BY 4.0",
    source="med-vqa.com/slake",
    homepage="https://www.med-vqa.com/slake",
    folder="slake",
    hub=("BoKelvin/SLAKE", "mdwiratathya/SLAKE-vqa-english"),
    tree="Slake1.0/{train,validate,test}.json\nSlake1.0/imgs/xmlabN/source.jpg (mask.png, detection.json)",
    sizes={"train": 4919, "val": 1053, "test": 1061},
    note="Sizes of the English questions.",
)
PATH_VQA = Dataset(
    "path-vqa",
    lazy(f"{_READERS}.path_vqa:PathVqa"),
    access="open",
    licence="MIT (hub copy)",
    source="the hub copy flaviagiammarino/path-vqa",
    homepage="https://huggingface.co/datasets/flaviagiammarino/path-vqa",
    folder="path-vqa",
    hub=("flaviagiammarino/path-vqa",),
    tree="data/{train,validation,test}-*.parquet (image, question, answer)",
    sizes={"train": 19755, "test": 6761},
    note="The hub copy is deduplicated (6,719 test questions). The original's pickle files are not read: they run code.",
)
PMC_VQA = Dataset(
    "pmc-vqa",
    lazy(f"{_READERS}.pmc_vqa:PmcVqa"),
    access="open",
    licence="as each article (oa_comm_use_file_list.csv)",
    source="the hub dataset xmcmic/PMC-VQA",
    homepage="https://huggingface.co/datasets/xmcmic/PMC-VQA",
    folder="pmc-vqa",
    hub=("xmcmic/PMC-VQA", "RadGenome/PMC-VQA"),
    tree="train.csv test.csv test_clean.csv (version 1), train_2.csv test_2.csv (version 2)\n"
    "images/ or figures/ (images.zip unpacked)",
    sizes={"train": 176946, "test": 50000},
    note="152,603 training rows in an earlier revision.",
)
PMC_CASE_REPORT = Dataset(
    "pmc-case-report",
    lazy(f"{_READERS}.pmc_case_report:PmcCaseReport"),
    access="open",
    licence="as each article",
    source="the hub dataset chaoyi-wu/PMC-CaseReport, figures from the authors' PMC-Figures archive",
    homepage="https://huggingface.co/datasets/chaoyi-wu/PMC-CaseReport",
    folder="pmc-case-report",
    hub=("chaoyi-wu/PMC-CaseReport", "chaoyi-wu/PMC-CaseReport_original"),
    tree="data/{train,test}-*.parquet or case_report_{train,test}.csv\nfigures/<PMC_id>_<figure>.jpg (PMC-Figures)",
    sizes={"train": 317000, "test": 121000},
    note="Sizes are rounded on the card. The text has no pictures in it.",
)
VQAMED = Dataset(
    "vqamed2019",
    lazy(f"{_READERS}.vqamed2019:VqaMed2019"),
    access="open",
    licence="CC BY 4.0",
    source="Zenodo record 10499039",
    homepage="https://zenodo.org/records/10499039",
    folder="vqamed",
    tree="ImageClef-2019-VQA-Med-Training/All_QA_Pairs_train.txt, Train_images/\n"
    "ImageClef-2019-VQA-Med-Validation/All_QA_Pairs_val.txt, Val_images/\n"
    "VQAMed2019Test/VQAMed2019_Test_Questions_w_Ref_Answers.txt, VQAMed2019_Test_Images/",
    sizes={"train": 12792, "val": 2000, "test": 500},
)

# --- MIMIC-CXR and what derives from it ---

MIMIC_CXR = Dataset(
    "mimic-cxr",
    lazy(f"{_READERS}.mimic_cxr:Studies"),
    access="credentialed",
    licence="PhysioNet Credentialed Health Data License",
    source=_PHYSIONET,
    homepage="https://physionet.org/content/mimic-cxr-jpg/",
    folder="mimic-cxr",
    tree="files/p10/p10000000/s50000000/<dicom_id>.jpg (or .dcm)\n"
    "mimic-cxr-2.*-split.csv(.gz), mimic-cxr-2.*-metadata.csv(.gz)\n"
    "reports of mimic-cxr: files/p10/p10000000/s50000000.txt or mimic-cxr-reports/files/..., or mimic_cxr_sectioned.csv",
    note="MedInterp's test reports: 2,144 findings, 2,212 impressions, 1,437 with both; R2Gen's test set: 3,858 pictures.",
)
MIMIC_R2GEN = Dataset(
    "mimic-cxr-r2gen",
    lazy(f"{_READERS}.r2gen:R2Gen"),
    access="credentialed",
    licence="PhysioNet Credentialed Health Data License",
    source="the R2Gen authors' annotation.json (asks for PhysioNet credentials), pictures of MIMIC-CXR-JPG",
    homepage="https://github.com/zhjohnchan/R2Gen",
    folder="mimic-cxr-r2gen",
    tree="annotation.json\nimages/p10/p10000000/s50000000/<dicom_id>.jpg",
    sizes={"test": 3858},
)
MIMIC_CXR_VQA = Dataset(
    "mimic-cxr-vqa",
    lazy(f"{_READERS}.mimic_cxr_vqa:MimicCxrVqa"),
    access="credentialed",
    licence="PhysioNet Credentialed Health Data License",
    source=_PHYSIONET,
    homepage="https://physionet.org/content/mimic-ext-mimic-cxr-vqa/",
    folder="mimic-cxr-vqa",
    tree="dataset/{train,valid,test}.json\ndataset/ans2idx.json",
    sizes={"train": 290031, "val": 73567, "test": 13793},
    companions={"images": MIMIC_CXR},
)
DIFF_VQA = Dataset(
    "medical-diff-vqa",
    lazy(f"{_READERS}.medical_diff_vqa:DiffVqa"),
    access="credentialed",
    licence="PhysioNet Credentialed Health Data License",
    source=_PHYSIONET,
    homepage="https://physionet.org/content/medical-diff-vqa/",
    folder="medical-diff-vqa",
    tree="mimic_pair_questions.csv\nmimic_all.csv",
    companions={"images": MIMIC_CXR},
    note="MedInterp's rows (383,683 and 147,269) were generated with less_yes_no and cannot be drawn again exactly.",
)
CHEST_IMAGENOME = Dataset(
    "chest-imagenome",
    lazy(f"{_READERS}.chest_imagenome:SceneGraphs"),
    access="credentialed",
    licence="PhysioNet Credentialed Health Data License",
    source=_PHYSIONET,
    homepage="https://physionet.org/content/chest-imagenome/",
    folder="chest-imagenome",
    tree="silver_dataset/scene_graph/<dicom_id>_SceneGraph.json\n"
    "silver_dataset/splits/{train,valid,test}.csv, images_to_avoid.csv",
    companions={"images": MIMIC_CXR},
)
MS_CXR = Dataset(
    "ms-cxr",
    lazy(f"{_READERS}.ms_cxr:MsCxr"),
    access="credentialed",
    licence="PhysioNet Credentialed Health Data License",
    source=_PHYSIONET,
    homepage="https://physionet.org/content/ms-cxr/",
    folder="ms-cxr",
    tree="MS_CXR_Local_Alignment_v1.*.json or .csv",
    sizes={"all": 1448},
    companions={"images": MIMIC_CXR},
)

# --- other chest radiographs ---

CHEXPERT = Dataset(
    "chexpert",
    lazy(f"{_READERS}.chexpert:CheXpert"),
    access="registered",
    licence="Stanford University Dataset Research Use Agreement",
    source="Stanford AIMI, registration and agreement; test pictures come with CheXlocalize",
    homepage="https://stanfordmlgroup.github.io/competitions/chexpert/",
    folder="chexpert",
    tree="CheXpert-v1.0(-small)/{train,valid}.csv, {train,valid}/patientNNNNN/studyN/viewN_frontal.jpg\n"
    "CheXpert/test_labels.csv, CheXpert/test/..., groundtruth.csv",
    sizes={"test": 500},
    note="500 test studies, 668 pictures.",
)
CHEXMASK_MIMIC = Dataset(
    "chexmask",
    lazy(f"{_READERS}.chexmask:CheXmask", source="MIMIC-CXR-JPG"),
    access="credentialed",
    licence="masks CC BY 4.0; pictures under their own agreement",
    source="PhysioNet chexmask-cxr-segmentation-data (masks, open)",
    homepage="https://physionet.org/content/chexmask-cxr-segmentation-data/",
    folder="chexmask",
    tree="OriginalResolution/{MIMIC-CXR-JPG,CheXpert,ChestX-Ray8,Padchest,VinDr-CXR}.csv",
    companions={"images": MIMIC_CXR},
)
CHEXMASK_CHEXPERT = Dataset(
    "chexmask",
    lazy(f"{_READERS}.chexmask:CheXmask", source="CheXpert"),
    access="registered",
    licence=CHEXMASK_MIMIC.licence,
    source=CHEXMASK_MIMIC.source,
    homepage=CHEXMASK_MIMIC.homepage,
    folder="chexmask",
    tree=CHEXMASK_MIMIC.tree,
    sizes={"val": 600},
    companions={"images": CHEXPERT},
)
NIH_BOXES = Dataset(
    "nih-chestxray14",
    lazy(f"{_READERS}.nih_chestxray:NihBoxes"),
    access="open",
    licence="no restriction on use; attribution to the NIH Clinical Center",
    source="the NIH Clinical Center (Box folder; copies on Kaggle and Google Cloud)",
    homepage="https://nihcc.app.box.com/v/ChestXray-NIHCC",
    folder="nih-chestxray14",
    tree="images_001/images/*.png ... images_012/\nData_Entry_2017.csv, BBox_List_2017.csv\ntrain_val_list.txt, test_list.txt",
    note="577 boxes of atelectasis, cardiomegaly, effusion and pneumothorax.",
)
VINDR_CXR = Dataset(
    "vindr-cxr",
    lazy(f"{_READERS}.vindr_cxr:VinDrCxr"),
    access="credentialed",
    licence="PhysioNet Credentialed Health Data License",
    source=_PHYSIONET,
    homepage="https://physionet.org/content/vindr-cxr/",
    folder="vindr-cxr",
    tree="{train,test}/<image_id>.dicom\nannotations/image_labels_{train,test}.csv, annotations_{train,test}.csv",
    sizes={"train": 15000, "test": 3000},
)
VINDR_MAMMO = Dataset(
    "vindr-mammo",
    lazy(f"{_READERS}.vindr_mammo:VinDrMammo"),
    access="credentialed",
    licence="PhysioNet Restricted Health Data License",
    source=_PHYSIONET,
    homepage="https://physionet.org/content/vindr-mammo/",
    folder="vindr-mammo",
    tree="images/<study_id>/<image_id>.dicom\nbreast-level_annotations.csv, finding_annotations.csv, metadata.csv",
    sizes={"train": 16000, "test": 4000},
)
VINDR_SPINEXR = Dataset(
    "vindr-spinexr",
    lazy(f"{_READERS}.vindr_spinexr:VinDrSpineXR"),
    access="credentialed",
    licence="PhysioNet Restricted Health Data License 1.5.0",
    source=_PHYSIONET,
    homepage="https://physionet.org/content/vindr-spinexr/",
    folder="vindr-spinexr",
    tree="{train,test}_images/<image_id>.dicom\nannotations/{train,test}.csv",
    sizes={"train": 8390, "test": 2078},
)
VINDR_PCXR = Dataset(
    "vindr-pcxr",
    lazy(f"{_READERS}.vindr_pcxr:VinDrPCXR"),
    access="credentialed",
    licence="PhysioNet Restricted Health Data License 1.5.0",
    source=_PHYSIONET,
    homepage="https://physionet.org/content/vindr-pcxr/",
    folder="vindr-pcxr",
    tree="{train,test}/<image_id>.dicom\nimage_labels_{train,test}.csv, annotations_{train,test}.csv",
    sizes={"train": 7728, "test": 1397},
)
CXR_MIX = Dataset(
    "cxr-mix",
    lazy(f"{_READERS}.cxr_mix:CxrMix"),
    access="registered",
    licence="as each of its nine members",
    source="its members: VinDr-CXR, NIH ChestX-ray14, CheXpert, COVIDx CXR-2, NLM-TB, Object-CXR, Open-i, RSNA, SIIM-ACR",
    homepage="https://huggingface.co/datasets/chaoyi-wu/RadFM_data_csv",
    folder="cxr-mix",
    tree="vindr-cxr/ nih/ chexpert/ covidx-cxr2/ nlm-tb/ object-cxr/ openi/ rsna/ siim-acr/ (those one has, each as distributed)",
)
IU_R2GEN = Dataset(
    "iu-xray",
    lazy(f"{_READERS}.r2gen:R2Gen", access="open-noncommercial"),
    access="open-noncommercial",
    licence="CC BY-NC-ND 4.0",
    source="the R2Gen authors' archive iu_xray.zip",
    homepage="https://github.com/zhjohnchan/R2Gen",
    folder="iu-xray",
    tree="annotation.json\nimages/CXRn_IM-n/{0,1}.png",
    sizes={"train": 2069, "val": 296, "test": 590},
    note="Its reports are the findings only.",
)
IU_REXRANK = Dataset(
    "iu-xray-rexrank",
    lazy(f"{_READERS}.rexrank:ReXrank"),
    access="open-noncommercial",
    licence="CC BY-NC-ND 4.0",
    source="github.com/rajpurkarlab/ReXrank (data/iu_xray), pictures of Open-i",
    homepage="https://github.com/rajpurkarlab/ReXrank",
    folder="iu-xray-rexrank",
    tree="ReXRank_IUXray_test.json, ReXRank_IUXray_valid.json\nimages/",
    sizes={"val": 296, "test": 590},
    note="R2Gen's split with findings and impression.",
)
IU_KAGGLE = Dataset(
    "iu-xray-kaggle",
    lazy(f"{_READERS}.iu_xray:Kaggle"),
    access="open-noncommercial",
    licence="CC BY-NC-ND 4.0",
    source="Kaggle raddar/chest-xrays-indiana-university",
    homepage="https://www.kaggle.com/datasets/raddar/chest-xrays-indiana-university",
    folder="iu-xray-kaggle",
    tree="indiana_reports.csv, indiana_projections.csv\nimages/images_normalized/<filename>",
    sizes={"all": 3323},
    note="3,323 studies with findings and impression.",
)
OPENI = Dataset(
    "openi",
    lazy(f"{_READERS}.iu_xray:OpenI"),
    access="open-noncommercial",
    licence="CC BY-NC-ND 4.0",
    source="Open-i: NLMCXR_reports.tgz, NLMCXR_png.tgz",
    homepage="https://openi.nlm.nih.gov/faq",
    folder="openi",
    tree="NLMCXR_reports.tgz or ecgen-radiology/*.xml\nNLMCXR_png/*.png",
    sizes={"all": 3323},
)
IUX_VQA = Dataset(
    "iux-vqa",
    lazy(f"{_READERS}.medical_diff_vqa:IuxVqa"),
    access="on-request",
    licence="not released",
    source="made with the Medical-Diff-VQA generator on IU-Xray; the paper's questions are not released",
    homepage="https://github.com/Holipori/MIMIC-Diff-VQA",
    folder="iux-vqa",
    tree="a CSV with the columns of mimic_pair_questions.csv, study_id the uid",
    sizes={"all": 2883},
    companions={"images": IU_KAGGLE},
)

# --- mixed collections ---

RAD3D = Dataset(
    "rad3d",
    lazy(f"{_READERS}.rad3d:Modality"),
    access="on-request",
    licence="Radiopaedia's approval",
    source="the RadFM authors after Radiopaedia's approval",
    homepage="https://github.com/chaoyi-wu/RadFM",
    folder="rad3d",
    tree="radio_modality_test.csv, radiology_vqa_test.csv, radiology_article_npy_test.json, radiology_test.json\n"
    "the NIfTI and npy files they name",
    note="13,874 or 14,419 modality questions by source.",
)
RADFM_LISTS = Dataset(
    "radfm-lists",
    lazy(f"{_READERS}.radfm_diagnosis:BalancedList"),
    access="open",
    licence="Apache-2.0 (the lists)",
    source="the hub dataset chaoyi-wu/RadFM_data_csv",
    homepage="https://huggingface.co/datasets/chaoyi-wu/RadFM_data_csv",
    folder="radfm-lists",
    hub=("chaoyi-wu/RadFM_data_csv",),
    tree="chestxray_balance_test.csv, mammo_balance_test.csv, pmcvqa_test.csv, mimic_caption_test.csv ...",
    note="Paths in it are the authors' own: pictures are matched by the end of the path.",
)
RADCHEST_CT = Dataset(
    "radchest-ct",
    lazy(f"{_READERS}.radchest_ct:RadChestCT"),
    access="on-request",
    licence="CC BY-NC-ND 4.0 as stated elsewhere; request on Zenodo",
    source="Zenodo record 6406114, on request",
    homepage="https://zenodo.org/records/6406114",
    folder="radchest-ct",
    tree="{trn,val,tst}NNNNN.npz (key ct)\nimg{train,valid,test}_Abnormality_and_Location_Labels.csv\n"
    "CT_Scan_Metadata_Complete_35747.csv",
)
MEDPIX_RADFM = Dataset(
    "medpix-radfm",
    lazy(f"{_READERS}.medpix_radfm:Single"),
    access="on-request",
    licence="as MedPix",
    source="the RadFM lists; pictures from MedPix",
    homepage="https://medpix.nlm.nih.gov",
    folder="medpix-radfm",
    tree="MedPix_single_{train,test}.csv, MedPix_multi_{train,test}.csv, MedPix_questions_{train,test}.csv\nimages/",
)
MEDPIX_OWN = Dataset(
    "medpix",
    lazy(f"{_READERS}.medpix_own:Questions"),
    access="on-request",
    licence="as MedPix",
    source="not released by RadFound: make the tables from MedPix in the layout radbench documents",
    homepage="https://medpix.nlm.nih.gov",
    folder="medpix",
    tree="medpixqa.csv: question_id, image, question, option_a ... option_e, answer, explanation, organ, split\n"
    "medpixcap.csv: image, caption, organ, modality, plane, split\nimages/",
)
ROCO = Dataset(
    "roco",
    lazy(f"{_READERS}.roco:Roco"),
    access="open",
    licence="as each article (licences.txt)",
    source="github.com/razorx89/roco-dataset; pictures are fetched from PubMed Central by its script",
    homepage="https://github.com/razorx89/roco-dataset",
    folder="roco",
    hub=("eltorio/ROCO-radiology", "mdwiratathya/ROCO-radiology"),
    tree="data/{train,validation,test}/radiology/captions.txt, licences.txt ...\ndata/{...}/radiology/images/ROCO_NNNNN.jpg",
    sizes={"train": 65450, "val": 8181, "test": 8180},
)

# --- skin, abdomen, small pictures, endoscopy ---

HAM10000 = Dataset(
    "ham10000",
    lazy(f"{_READERS}.ham10000:Classification"),
    access="open-noncommercial",
    licence="CC BY-NC 4.0",
    source="Harvard Dataverse doi:10.7910/DVN/DBW86T; test set of ISIC 2018 task 3",
    homepage="https://doi.org/10.7910/DVN/DBW86T",
    folder="ham10000",
    tree="HAM10000_metadata(.csv), HAM10000_images_part_{1,2}/*.jpg, HAM10000_segmentations_lesion_tschandl/*.png\n"
    "ISIC2018_Task3_Test_GroundTruth.csv, ISIC2018_Task3_Test_Images/*.jpg",
    sizes={"train": 10015, "test": 1511},
)
ABDOMENCT_1K = Dataset(
    "abdomenct-1k",
    lazy(f"{_READERS}.abdomenct1k:AbdomenCT1K"),
    access="open",
    licence="as its source datasets",
    source="Zenodo records 5903099, 5903846 and 5903769",
    homepage="https://github.com/JunMa11/AbdomenCT-1K",
    folder="abdomenct-1k",
    tree="AbdomenCT-1K-ImagePart{1,2,3}/Case_NNNNN_0000.nii.gz\nMask/Case_NNNNN.nii.gz",
    note="1,000 scans with public masks; the paper used 991.",
)
WCE = Dataset(
    "wce",
    lazy(f"{_READERS}.wce:Wce"),
    access="open",
    licence="as stated on Kaggle",
    source="Kaggle francismon/curated-colon-dataset-for-deep-learning",
    homepage="https://www.kaggle.com/datasets/francismon/curated-colon-dataset-for-deep-learning",
    folder="wce",
    tree="{train,val,test}/{0_normal,1_ulcerative_colitis,2_polyps,3_esophagitis}/*.jpg",
    sizes={"train": 3200, "val": 2000, "test": 800},
)
_MEDMNIST_SIZES = {
    "pneumoniamnist": (4708, 524, 624), "breastmnist": (546, 78, 156), "chestmnist": (78468, 11219, 22433),
    "octmnist": (97477, 10832, 1000), "organamnist": (34561, 6491, 17778), "bloodmnist": (11959, 1712, 3421),
}  # fmt: skip
MEDMNIST = {
    flag: Dataset(
        flag,
        lazy(f"{_READERS}.medmnist:MedMNIST", flag=flag),
        access="open",
        licence="CC BY 4.0",
        source=f"Zenodo record 10519652 ({flag}.npz)",
        homepage="https://zenodo.org/records/10519652",
        folder=flag,
        tree=f"{flag}.npz (28 pixels), {flag}_64.npz, {flag}_128.npz, {flag}_224.npz",
        sizes=dict(zip(("train", "val", "test"), sizes, strict=True)),
        note="The files name no patients.",
    )
    for flag, sizes in _MEDMNIST_SIZES.items()
}

# --- private ---


def _private(name: str, what: str, modality: str) -> Dataset:
    return Dataset(
        name.lower(),
        lazy(f"{_READERS}.private_reports:Reports", modality=modality),
        access="private",
        licence="private hospital data",
        source=f"your own {what} in the layout radbench documents; RadFound's {name} is not released",
        folder=name.lower(),
        tree="reports.csv: study_id, images (joined by ;), findings, impression, split",
    )


R2CHEST = _private("R2Chest", "chest radiographs", "Chest X-ray")
R2MAMMO = _private("R2Mammo", "mammograms", "Mammography")
R2THYROID = _private("R2Thyroid", "thyroid CT volumes", "CT")


def with_lists(dataset: Dataset, reader: str, **options: Any) -> Dataset:
    """A dataset's pictures with the questions or reports of a list that the RadFM authors released."""
    return replace(dataset, reader=lazy(f"{_READERS}.{reader}", **options), companions={"lists": RADFM_LISTS})


def balanced(dataset: Dataset, **options: Any) -> Dataset:
    """Yes/no questions on each disease of a dataset, as many of one answer as of the other."""
    source = dataset.reader.target
    return dataset.by(f"{_READERS}.yes_no:BalancedQuestions", source=source, **options)
