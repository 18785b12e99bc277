"""The words of the phantom cohort: synonyms and grammar of every finding, and how it looks on each modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Number = Literal["count", "mass", "plural"]


@dataclass(frozen=True, slots=True)
class Word:
    """A finding's names, the canonical one first. ``mass`` words take no article, ``plural`` ones a plural verb."""

    names: tuple[str, ...]
    number: Number = "count"
    plurals: tuple[str, ...] = ()  # of each name, where adding an s is wrong

    def plural(self, index: int) -> str:
        name = self.names[index]
        return self.plurals[index] if self.plurals else name if self.number != "count" else f"{name}s"


# No name of one finding may contain a name of another: reports are read back by them.
WORDS: Mapping[str, Word] = {
    "pleural effusion": Word(("pleural effusion", "pleural fluid collection")),
    "pneumothorax": Word(("pneumothorax",), plurals=("pneumothoraces",)),
    "cardiomegaly": Word(("cardiomegaly",), "mass"),
    "lung nodule": Word(("lung nodule", "pulmonary nodule")),
    "consolidation": Word(("consolidation", "airspace consolidation"), "mass"),
    "pulmonary edema": Word(("pulmonary edema", "interstitial edema"), "mass"),
    "atelectasis": Word(("atelectasis", "atelectatic change"), "mass"),
    "rib fracture": Word(("rib fracture", "fractured rib")),
    "scoliosis": Word(("scoliosis", "scoliotic curvature"), "mass"),
    "vertebral compression fracture": Word(("vertebral compression fracture", "compression fracture of a vertebra"),
        plurals=("vertebral compression fractures", "compression fractures of vertebrae")),
    "surgical implant": Word(("surgical implant", "spinal fixation device")),
    "disc space narrowing": Word(("disc space narrowing", "loss of disc height"), "mass"),
    "breast mass": Word(("breast mass", "mass in the breast"), plurals=("breast masses", "masses in the breast")),
    "breast calcifications": Word(("breast calcifications", "breast microcalcifications"), "plural"),
    "focal asymmetry": Word(("focal asymmetry",), plurals=("focal asymmetries",)),
    "architectural distortion": Word(("architectural distortion", "parenchymal distortion"), "mass"),
    "pericardial effusion": Word(("pericardial effusion", "pericardial fluid collection")),
    "emphysema": Word(("emphysema", "emphysematous change"), "mass"),
    "liver lesion": Word(("liver lesion", "hepatic lesion")),
    "renal stone": Word(("renal stone", "kidney stone", "renal calculus"),
        plurals=("renal stones", "kidney stones", "renal calculi")),
    "hydronephrosis": Word(("hydronephrosis", "dilatation of the renal collecting system"), "mass"),
    "splenomegaly": Word(("splenomegaly", "splenic enlargement"), "mass"),
    "pancreatic cyst": Word(("pancreatic cyst", "cystic lesion of the pancreas"),
        plurals=("pancreatic cysts", "cystic lesions of the pancreas")),
    "ascites": Word(("ascites", "free abdominal fluid"), "mass"),
    "intracerebral hemorrhage": Word(("intracerebral hemorrhage", "intraparenchymal hematoma")),
    "infarct": Word(("infarct", "ischemic lesion")),
    "brain tumor": Word(("brain tumor", "intra-axial mass"), plurals=("brain tumors", "intra-axial masses")),
    "midline shift": Word(("midline shift", "shift of the midline structures"), "mass"),
    "hydrocephalus": Word(("hydrocephalus", "ventricular dilatation"), "mass"),
    "subdural hematoma": Word(("subdural hematoma", "subdural collection")),
    "thyroid nodule": Word(("thyroid nodule", "nodule of the thyroid"),
        plurals=("thyroid nodules", "nodules of the thyroid")),
    "goiter": Word(("goiter", "enlarged thyroid gland")),
    "thyroid calcification": Word(("thyroid calcification", "calcification of the thyroid"),
        plurals=("thyroid calcifications", "calcifications of the thyroid")),
    "cervical lymphadenopathy": Word(("cervical lymphadenopathy", "enlargement of cervical lymph nodes"), "mass"),
    "white matter lesions": Word(("white matter lesions", "white matter hyperintensities"), "plural"),
    "meningioma": Word(("meningioma", "dural-based tumor")),
    "liver cyst": Word(("liver cyst", "hepatic cyst")),
    "gallstone": Word(("gallstone", "gallbladder stone")),
    "fatty liver": Word(("fatty liver", "hepatic steatosis"), "mass"),
    "thyroid cyst": Word(("thyroid cyst", "cyst of the thyroid"), plurals=("thyroid cysts", "cysts of the thyroid")),
    "hypermetabolic lymph node": Word(("hypermetabolic lymph node", "FDG-avid lymph node")),
    "hypermetabolic lung lesion": Word(("hypermetabolic lung lesion", "FDG-avid lung lesion")),
    "bone metastasis": Word(("bone metastasis", "osseous metastasis"),
        plurals=("bone metastases", "osseous metastases")),
    "liver metastasis": Word(("liver metastasis", "hepatic metastasis"),
        plurals=("liver metastases", "hepatic metastases")),
    "adrenal metastasis": Word(("adrenal metastasis", "metastasis of the adrenal gland"),
        plurals=("adrenal metastases", "metastases of the adrenal gland")),
    "brown fat uptake": Word(("brown fat uptake", "brown adipose tissue activity"), "mass"),
    "stenosis": Word(("stenosis", "luminal narrowing"), plurals=("stenoses", "luminal narrowings")),
    "aneurysm": Word(("aneurysm", "aneurysmal outpouching")),
    "occlusion": Word(("occlusion", "vessel cut-off")),
    "arteriovenous malformation": Word(("arteriovenous malformation", "vascular malformation")),
    "vasospasm": Word(("vasospasm", "arterial spasm"), "mass"),
    "extravasation": Word(("extravasation", "contrast leak"), "mass"),
    "central venous catheter": Word(("central venous catheter", "central venous line")),
    "pacemaker": Word(("pacemaker", "pacer")),
    "endotracheal tube": Word(("endotracheal tube", "ET tube")),
}  # fmt: skip

# Findings whose side goes without saying; the midline is never said.
SIDE_IMPLIED = frozenset(
    {
        "liver lesion",
        "liver cyst",
        "liver metastasis",
        "fatty liver",
        "splenomegaly",
        "ascites",
        "goiter",
        "hydrocephalus",
    }
)
SIDE_BEHIND: Mapping[str, str] = {"midline shift": "to the {}", "scoliosis": "convex to the {}"}

# How an attribute is said, by its key or by key and value; others read "with VALUE KEY".
ATTRIBUTES: Mapping[str, str] = {
    "margin": "with {} margins",
    "density": "of {} appearance",
    "density equal": "of equal density",
    "density high": "of high density",
    "density fluid": "of fluid density",
    "density hypodense": "of low density",
    "density hyperdense": "of high density",
    "density air bronchograms": "with air bronchograms",
    "displacement": "by {}",
    "displacement displaced": "with displacement",
    "rib": "of rib {}",
    "level": "at {}",
    "tip": "with its tip {}",
    "tip superior vena cava": "with its tip in the superior vena cava",
    "tip right atrium": "with its tip in the right atrium",
    "tip right ventricle": "with its tip in the right ventricle",
    "leads": "with a {}",
    "kind": "with {}",
    "distribution": "in {} distribution",
    "edema": "with {}",
    "territory": "in the {} territory",
    "shape": "of {} shape",
    "enhancement": "with {} enhancement",
    "location": "in {} location",
    "content": "with {} content",
    "shadow": "with {}",
    "echogenicity": "of {} echogenicity",
    "station": "at the {} station",
    "vessel": "of the {}",
    "artery": "of the {}",
    "drainage": "with an {}",
}

# What is seen, by modality where the looks differ; the key "" serves every modality.
FEATURES: Mapping[str, Mapping[str, str]] = {
    "pleural effusion": {
        "X-ray": "a homogeneous opacity with a concave upper border blunts the costophrenic angle",
        "CT": "a crescent of fluid attenuation lies in the dependent pleural space",
    },
    "pneumothorax": {
        "X-ray": "a lucent rim without lung markings lies outside a thin visceral pleural line",
        "CT": "gas attenuation separates the lung from the chest wall",
    },
    "cardiomegaly": {"": "the transverse diameter of the heart exceeds half of that of the thorax"},
    "lung nodule": {"": "a rounded focal density is surrounded by aerated lung"},
    "consolidation": {"": "an ill-defined confluent density replaces the air of the lung"},
    "pulmonary edema": {"": "hazy bilateral densities spread from the hila outward"},
    "atelectasis": {"": "a band of increased density goes with loss of lung volume"},
    "rib fracture": {"": "the cortical line of a rib is interrupted"},
    "scoliosis": {"": "the spinal column curves to one side in the frontal plane"},
    "vertebral compression fracture": {"": "a vertebral body has lost height in comparison with its neighbours"},
    "surgical implant": {"": "a very dense structure with straight borders projects over the vertebrae"},
    "disc space narrowing": {"": "the gap between two vertebral bodies is smaller than at the other levels"},
    "breast mass": {"": "a space-occupying density with convex borders is seen within the breast tissue"},
    "breast calcifications": {"": "a group of tiny bright dots lies close together within the breast tissue"},
    "focal asymmetry": {"": "an area of fibroglandular density has no counterpart on the other side"},
    "architectural distortion": {"": "thin lines radiate from a point without a central density"},
    "pericardial effusion": {"": "a band of fluid attenuation surrounds the heart"},
    "emphysema": {"": "areas of abnormally low attenuation without walls are scattered in the lungs"},
    "liver lesion": {
        "CT": "a rounded area in the liver differs in attenuation from the parenchyma",
        "MRI": "a rounded area in the liver differs in signal from the parenchyma",
    },
    "renal stone": {
        "CT": "a small focus of very high attenuation lies in the kidney",
        "Ultrasound": "a bright echo with posterior acoustic shadow lies in the kidney",
    },
    "hydronephrosis": {
        "CT": "the renal pelvis is widened by water attenuation",
        "MRI": "the renal pelvis is widened by fluid signal",
        "Ultrasound": "the renal pelvis is widened and free of echoes",
    },
    "splenomegaly": {"": "the spleen is larger than expected for the body size"},
    "pancreatic cyst": {"": "a well-defined focus of fluid lies in the pancreas"},
    "ascites": {
        "Ultrasound": "an echo-free layer surrounds the abdominal organs",
        "": "a layer of fluid surrounds the abdominal organs",
    },
    "intracerebral hemorrhage": {
        "CT": "a hyperdense area lies within the brain parenchyma",
        "MRI": "an area of blood signal lies within the brain parenchyma",
    },
    "infarct": {
        "CT": "a hypodense area follows a vascular territory",
        "MRI": "an area of altered signal follows a vascular territory",
    },
    "brain tumor": {"": "a space-occupying lesion within the parenchyma displaces its surroundings"},
    "midline shift": {"": "the septum is displaced from the line between the frontal and occipital crests"},
    "hydrocephalus": {"": "the cerebral ventricles are larger than the sulci would suggest"},
    "subdural hematoma": {"": "a crescent-shaped collection follows the inner table of the skull"},
    "thyroid nodule": {
        "Ultrasound": "a solid focus of differing echogenicity lies in the thyroid",
        "": "a rounded focus in the thyroid differs in attenuation from the gland",
    },
    "goiter": {"": "both thyroid lobes exceed the usual dimensions"},
    "thyroid calcification": {"": "a focus of very high attenuation lies in the thyroid"},
    "cervical lymphadenopathy": {"": "rounded soft-tissue structures line the cervical vessels"},
    "white matter lesions": {"": "several small bright foci lie in the deep white matter"},
    "meningioma": {"": "a homogeneous lesion abuts the dura with a broad base"},
    "liver cyst": {
        "Ultrasound": "an echo-free round focus with posterior enhancement lies in the liver",
        "": "a round focus with water signal lies in the liver",
    },
    "gallstone": {"": "a bright echo with posterior acoustic shadow lies in the gallbladder"},
    "fatty liver": {"": "the liver parenchyma is brighter than the renal cortex"},
    "thyroid cyst": {"": "an echo-free focus with a thin wall lies in the thyroid"},
    "hypermetabolic lymph node": {"": "a small focus of intense tracer uptake lies along a nodal station"},
    "hypermetabolic lung lesion": {"": "a focus of intense tracer uptake projects over the lung"},
    "bone metastasis": {"": "a focus of intense tracer uptake projects over the skeleton"},
    "liver metastasis": {"": "a focus within the liver takes up more tracer than the parenchyma"},
    "adrenal metastasis": {"": "a focus of intense tracer uptake lies above the kidney"},
    "brown fat uptake": {"": "symmetrical tracer uptake follows the supraclavicular fat"},
    "stenosis": {"": "the contrast column tapers over a short segment"},
    "aneurysm": {"": "a contrast-filled sac protrudes from the vessel wall"},
    "occlusion": {"": "the contrast column ends abruptly and the vessel beyond it does not fill"},
    "arteriovenous malformation": {"": "a tangle of vessels fills with contrast"},
    "vasospasm": {"": "long vessel segments are smoothly and diffusely narrow"},
    "extravasation": {"": "contrast accumulates outside the vessel lumen"},
}

# Each part in two wordings or more; a slot stands in braces.
NORMAL_ORGAN = (
    "The {organ} {is} unremarkable.",
    "The {organ} {is} normal.",
    "Normal appearance of the {organ}.",
    "No abnormality of the {organ} is seen.",
)
NORMAL_STUDY = (
    "No abnormality is seen.",
    "Normal study.",
    "Unremarkable examination.",
    "The examination is within normal limits.",
)
EXAMINATION: Mapping[tuple[str, str], str] = {
    ("X-ray", "chest"): "chest radiograph",
    ("X-ray", "spine"): "radiograph of the spine",
    ("X-ray", "breast"): "mammogram",
    ("CT", "chest"): "CT of the chest",
    ("CT", "abdomen"): "CT of the abdomen",
    ("CT", "head"): "CT of the head",
    ("CT", "neck"): "CT of the neck",
    ("MRI", "head"): "MRI of the head",
    ("MRI", "abdomen"): "MRI of the abdomen",
    ("Ultrasound", "abdomen"): "ultrasound of the abdomen",
    ("Ultrasound", "neck"): "ultrasound of the neck",
    ("PET", "chest"): "PET of the trunk",
    ("angiography", "vessels"): "angiogram",
}
