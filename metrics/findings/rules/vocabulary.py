"""What the labeler looks for: the words of each observation, and of abnormalities that are none of the 14.

Every term is a regular expression over lower-cased text. ``starts`` are beginnings of words, five letters at most, of which
every match has at least one: a sentence without them is not searched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from radbench.metrics.findings.observations import OBSERVATIONS

OTHER = len(OBSERVATIONS)  # an abnormality outside the 14, which only rules out "No Finding"


@dataclass(frozen=True, slots=True)
class Terms:
    """How an observation is named: ``observation`` indexes OBSERVATIONS (or is OTHER)."""

    observation: int
    starts: frozenset[str]
    pattern: re.Pattern[str]


_WORDS = re.compile(r"(?<![a-z])[a-z]{2,5}")


def word_starts(text: str) -> set[str]:
    """The first five letters of every word."""
    return set(_WORDS.findall(text))


def _terms(name: str, starts: str, *patterns: str) -> Terms:
    observation = OBSERVATIONS.index(name) if name else OTHER
    return Terms(observation, frozenset(starts.split()), re.compile(rf"\b(?:{'|'.join(patterns)})\b"))


_INTERSTITIAL = r"(?:markings?|prominen\w+|thickening|changes?|disease|patterns?|abnormalit\w+|process\w*)"
_LINE = (
    r"(?:central|picc|[rl]ij|cvc|cvl|venous|subclavian|jugular|ij|arterial|dialysis|femoral|infusion|support|iv|mediport|"
    r"port-?a-?cath|swan[- ]ganz)"
)
_TUBE = (
    r"(?:endotracheal|tracheostomy|nasogastric|orogastric|enteric|feeding|ng|og|ett?|dobb?hoff|chest|thoracostomy|"
    r"esophagogastric|gastrostomy|drainage|pleural|pigtail|gastric|intubation|support|nasoenteric|jejunostomy|peg)"
)

TERMS = (
    # Heart and mediastinum are mostly described by size: see statements.py. These are the nouns that say it all.
    _terms("Cardiomegaly", "cardi", r"cardiomegal(?:y|ia)", r"cardiomegalic"),
    _terms(
        "Enlarged Cardiomediastinum",
        "media",
        r"mediastinal (?:widening|enlargement|prominence|fullness|mass(?:es)?|hematoma|haematoma)",
    ),
    _terms(
        "Lung Opacity",
        "opaci infil air airsp inter marki hazy hazin retic groun densi paren strea stran",
        r"(?<!bony )(?<!bone )(?<!osseous )(?<!metallic )(?<!calcific )(?<!calcified )(?<!breast )(?<!catheter )"
        r"(?:opacit(?:y|ies)|opacifications?|opacified)",
        r"infiltrat(?:es?|ions?|ive)",
        r"air[- ]?space (?:disease|process(?:es)?|abnormalit(?:y|ies)|changes?|filling)",
        rf"interstitial (?:lung )?{_INTERSTITIAL}",
        r"(?:increased|prominent|coarse(?:ned)?|accentuated|thickened) (?:lung|pulmonary|perihilar) markings?",
        r"haz(?:y|iness)(?! opaci)",
        r"reticul(?:ation|onodular|o-nodular|ar)(?! opaci)",
        r"ground[- ]glass(?! opaci)",
        r"(?<!bony )(?<!bone )(?<!osseous )(?<!metallic )(?<!calcific )(?<!calcified )(?<!breast )(?<!tissue )"
        r"(?<!mineral )(?<!metal )(?<!axillary )densit(?:y|ies)(?! foreign)",
        r"parenchymal (?:disease|process|abnormalit(?:y|ies))",
        r"streakiness",
        r"stranding",
        r"air bronchograms?",
    ),
    _terms(
        "Lung Lesion",
        "mass masse massl nodul lesio tumor tumou neopl malig carci adeno cance metas",
        r"(?<!mediastinal )(?<!breast )(?<!thyroid )(?<!wall )(?<!body )mass(?:es|[- ]?like)?(?! effect)",
        r"(?<!thyroid )nodul(?:es?|ar|arity|arities)",
        r"(?:lung|pulmonary|cavitary|parenchymal|hilar|perihilar|intrapulmonary|coin|spiculated) lesions?",
        r"tumou?rs?",
        r"neoplasms?",
        r"neoplastic",
        r"malignan(?:cy|cies|t)",
        r"(?:adeno)?carcinomas?",
        r"cancers?",
        r"metasta(?:sis|ses|tic)(?! disease to the bone)",
    ),
    _terms(
        "Edema",
        "edema oedem conge chf failu overl cepha kerle engor decom redis",
        r"(?<!subcutaneous )(?<!tissue )(?<!wall )(?<!ankle )(?<!leg )(?<!peripheral )o?edema(?:tous)?",
        r"congesti(?:on|ve changes?|ve (?:heart|cardiac) failure|ve failure)",
        r"congested",
        r"chf",
        r"(?<!congestive )(?:heart|cardiac|ventricular) (?:failure|decompensation)",
        r"(?<!heart )(?<!cardiac )(?<!ventricular )(?<!congestive )(?<!renal )(?<!kidney )"
        r"(?<!respiratory )(?<!liver )(?<!hepatic )(?<!organ )(?<!treatment )(?<!hardware )(?<!device )(?<!graft )"
        r"failure(?! of| to)",
        r"(?:fluid|volume|vascular) overload",
        r"cephali[sz]ation",
        r"kerley",
        r"(?:vascular|venous) engorgement",
        r"engorged",
        r"(?:vascular|venous) redistribution",
    ),
    _terms("Consolidation", "conso", r"consolidat(?:ions?|ive|ed|ing)"),
    _terms(
        "Pneumonia",
        "pneum bronc pleur infec pna",
        r"(?:broncho|pleuro)?pneumoni(?:as?|tis|c)",
        r"pna",
        r"(?<!granulomatous )(?<!tuberculosis )(?<!post)(?<!post-)infect(?:ions?|ious)",
    ),
    _terms(
        "Atelectasis",
        "atele colla",
        r"atelect(?:asis|ases|atic|asia)",
        r"(?:lung|lobar|lobe|segmental|subsegmental|pulmonary) collapse",
        r"collapse of (?:the )?(?:\w+ ){0,3}(?:lung|lobe|lobes|lungs)",
        r"collapsed (?:\w+ ){0,3}(?:lung|lobe)",
        r"(?:lung|lobe)s? (?:is|are|has|have|appears?|remains?)(?: (?!not\b)\w+){0,2} collapsed",
    ),
    _terms(
        "Pneumothorax",
        "pneum hydro hemop haemo ptx pleur",
        r"(?:hydro|hemo|haemo)?-?pneumothora(?:x|ces|cies|xes)",
        r"(?:hydro|hemo|haemo)pneumothora(?:x|ces)",
        r"ptx",
        r"pleural air(?: collections?)?",
    ),
    _terms(
        "Pleural Effusion",
        "effus pleur hydro hemot hemop haemo fissu",
        r"(?<!pericardial )(?<!joint )effusions?",
        r"pleural (?:\w+ )?fluid(?: collections?)?",
        r"h(?:ydro|emo|aemo)(?:pneumo)?thora(?:x|ces)",
        r"fluid (?:in|within|along|tracking (?:along|in)) (?:the )?(?:\w+ ){0,2}(?:pleura|pleural space|fissures?)",
    ),
    _terms(
        "Pleural Other",
        "pleur fibro empye apica fissu",
        r"pleura(?:l)?(?:[ /-](?:based|parenchymal|and|apical))*"
        r"[ -](?:thickening|scar(?:ring|s)?|plaques?|calcifications?|fibrosis|reaction|nodularity|mass(?:es)?|"
        r"abnormality)",
        r"pleuro-?parenchymal",
        r"pleural[- /]parenchymal(?! scar)",
        r"(?:thickening|scarring|calcification) of the (?:\w+ )?pleura",
        r"thickened pleura",
        r"fissural thickening",
        r"thickening (?:of|in|along) the (?:\w+ )?fissures?",
        r"fibrothorax",
        r"empyemas?",
        r"apical cap(?:ping)?",
    ),
    _terms("Fracture", "fract", r"fractur(?:es?|ed)"),
    _terms(
        "Support Devices",
        "line lines cathe picc piccs port ports porta pacem pacer icd aicd defib lead leads valve prost wire wires hardw "
        "devic stent drain clip clips screw plate rod rods "
        "arthr cannu elect stimu sutur gener ballo filte ancho tubin tube tubes coil coils "
        "stapl appar impla impel ecmo trach shunt marke swan medip pigta sheat ett ngt ogt dobbh dobho rij lij cvc cvl",
        rf"{_LINE}(?: venous| access)? (?:lines?|catheters?|ports?|sheaths?)",
        r"(?:support|supporting) (?:\w+ )?(?:lines?|tubes?|devices?|apparatus|hardware)",
        r"lines and tubes",
        r"tubes? and lines?",
        r"lines? or tubes?",
        r"tubes? or lines?",
        rf"{_TUBE}[- ]tub(?:es?|ing)",
        r"(?:catheter )?tubing",
        r"(?:ett|ngt|ogt|dobb?hoff)(?![- ]tub)",
        r"(?:[rl]ij|cvc|cvl)(?! (?:lines?|catheters?|ports?|sheaths?))",
        r"catheters?",
        r"piccs?",
        r"(?:chest|infusion|mediport|power)[- ]ports?",
        r"port-?a-?cath\w*",
        r"mediports?",
        r"pacemakers?",
        r"pacers?",
        r"aicd",
        r"icd",
        r"(?:defibrillator|pacemaker|pacing|pacer|monitor|monitoring|telemetry|ecg|ekg)(?: \w+)? leads?",
        r"(?<!fibrillator )(?:ventricular|atrial|cardiac|dual|biventricular) (?:lead|leads)",
        r"defibrillators?",
        r"(?:prosthetic|mechanical|artificial|bioprosthetic|replacement) (?:\w+ )?valves?",
        r"(?:aortic|mitral|tricuspid|cardiac|heart) valve (?:replacement|prosthes[ie]s|repair)",
        r"valve replacement",
        r"prosthes[ie]s",
        r"(?:sternotomy|sternal|cerclage|surgical|k|kirschner)[- ]wires?",
        r"hardware",
        r"(?<!cardiac )devices?",
        r"cardiac device",
        r"stents?",
        r"drains?",
        r"pigtail",
        r"(?:surgical |cabg |vascular |mediastinal |cholecystectomy |metallic )?clips?",
        r"screws?",
        r"(?:metallic|fixation|side|fusion|spinal) plates?",
        r"(?:spinal |fixation |harrington |fusion )rods?",
        r"arthroplast(?:y|ies)",
        r"cannulas?",
        r"electrodes?",
        r"stimulators?",
        r"surgical sutures?",
        r"sutures?(?= material| lines?)",
        r"(?:battery|pulse|cardiac|pacemaker) generators?",
        r"balloon pump",
        r"ivc filter",
        r"(?:bone|suture) anchors?",
        r"staples?",
        r"(?:breast|cochlear|cardiac) implants?",
        r"implanted (?:\w+ )?(?:device|port|pacemaker)",
        r"impella",
        r"ecmo",
        r"swan[- ]ganz(?! catheter)",
        r"leads(?! to)",
        r"tracheostomy(?! tube| site| scar)",
        r"(?:vp|tips|ventriculoperitoneal|portosystemic) shunts?",
        r"(?:bypass|graft) markers?",
        r"sternotomy sutures",
        r"coils?",
    ),
)

# Abnormal statements outside the 14: they only make the report anything but "No Finding".
OTHER_TERMS = _terms(
    "",
    "granu calci degen osteo dish dextr levo levoc levor levos curva scoli synde endpl fusio spond kypho arthr tortu unfol ectat "
    "ectas ather scler emphy copd obstr hyper overi overe overa hypoi hypov hypoa hypoe volum inspi scar scars scarr fibro bronc "
    "herni event eleva flatt defor demin under lucen thick blunt adeno lymph promi crowd shift devia dislo sublu surgi posts "
    "opera posto statu stern cabg aneur cyst cysts bulla bullo bleb blebs wedge wedgi compr pectu pneum free forei cavit narro "
    "enlar lobec maste chole thyro splen nephr lamin segme resec trapp cuffi tuber sarco spurr peric",
    r"granulom(?:a|as|ata|atous)",
    r"calcifi(?:ed|cations?|c)",
    r"degenerat(?:ive|ion|ed)",
    r"osteodystrophy",
    r"dish",
    r"(?:dextro|levo)?-?curvature",
    r"(?:levo|dextro)(?:convex\w*|rotoscoliosis|scoliosis)",
    r"syndesmophytes?",
    r"endplate (?:\w+ )?(?:changes|irregularit\w+)",
    r"(?:spinal |cervical |lumbar |thoracic |vertebral )?fusion",
    r"spondyl(?:osis|itic|otic)",
    r"osteophyt(?:es?|osis|ic)",
    r"(?:kypho)?scolio(?:sis|tic)",
    r"kypho(?:sis|tic)",
    r"arthri(?:tis|tic)",
    r"arthro(?:sis|pathy|tic)",
    r"tortuo(?:us|sity)",
    r"ecta(?:tic|sia)",
    r"unfold(?:ed|ing)",
    r"athero(?:sclero(?:sis|tic)|matous)",
    r"sclero(?:sis|tic)",
    r"emphysem(?:a|atous)",
    r"copd",
    r"obstructive (?:lung|pulmonary|airway)",
    r"hyper(?:inflat|expan|aerat|lucen|disten|ostos)\w*",
    r"over(?:inflat|expan|aerat)\w*",
    r"hypo(?:inflat|ventilat|aerat|expan)\w*",
    r"(?:low|small|decreased|reduced|diminished|shallow|poor) (?:lung volumes?|inspirat\w+|inspiratory effort)",
    r"volume loss",
    r"loss of volume",
    r"scar(?:s|ring|red)?",
    r"fibro(?:sis|tic)",
    r"bronchiecta(?:sis|tic)",
    r"bronch(?:itis|ial (?:wall )?thickening)",
    r"hernias?",
    r"eventrat(?:ion|ed)",
    r"elevat(?:ed|ion)",
    r"flatten(?:ed|ing)",
    r"deform(?:ity|ities|ed)",
    r"osteop(?:enia|enic|orosis|orotic)",
    r"(?:de|under)minerali[sz](?:ed|ation)",
    r"lucen(?:cy|cies|t)",
    r"thicken(?:ed|ing)",
    r"blunt(?:ed|ing)",
    r"(?:lymph)?adenopathy",
    r"prominen(?:t|ce)",
    r"crowding",
    r"(?:mediastinal|tracheal|midline) shift",
    r"deviat(?:ed|ion)",
    r"disloc(?:ated|ations?)",
    r"sublux(?:ation|ed)",
    r"(?:post[- ]?)?(?:surgical|operative) (?:\w+ )?chang\w*",
    r"post[- ]?(?:surgical|operative)",
    r"status post",
    r"sternotomy",
    r"cabg",
    r"aneurysm(?:s|al)?",
    r"cysts?",
    r"bullae?",
    r"bullous",
    r"blebs?",
    r"wedg(?:ed|ing)",
    r"compression (?:deformit\w+|abnormalit\w+)",
    r"pectus",
    r"pneumoperitoneum",
    r"free (?:\w+ )?air",
    r"pneumomediastinum",
    r"foreign bod(?:y|ies)",
    r"cavit(?:y|ies|ary|ation)",
    r"narrow(?:ed|ing)",
    r"enlarg(?:ed|ement)",
    r"(?:lob|pneumon|mast|cholecyst|thyroid|splen|nephr|lamin|segment)ectomy",
    r"resection",
    r"air trapping",
    r"peribronchial cuffing",
    r"tubercul(?:osis|ous)",
    r"sarcoid(?:osis)?",
    r"spurring",
    r"pericardial effusion",
)
