"""When two spellings are one term: tokens without case, accents, plurals and British spelling.

The same rules apply to a dictionary's terms and to the texts searched, so a rule that conflates too much costs a
distinction and never a match.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import blake2b

RULES = 1  # the version of these rules: an index built under other rules is refused

TOKEN = re.compile(r"[^\W_]+(?:['’]s\b)?")
SKIPPED = "the"  # inside a term it changes nothing: "enlargement of the heart"

_MASK = (1 << 64) - 1
MULTIPLIER = 0x9E3779B97F4A7C15
SHIFT = 32

_IRREGULAR = {
    plural: singular
    for singular, plurals in {
        "bronchus": "bronchi", "thrombus": "thrombi", "embolus": "emboli", "calculus": "calculi", "focus": "foci",
        "sulcus": "sulci", "gyrus": "gyri", "nucleus": "nuclei", "alveolus": "alveoli", "meniscus": "menisci",
        "humerus": "humeri", "uterus": "uteri", "fundus": "fundi", "hilum": "hila hili hilus", "atrium": "atria",
        "septum": "septa", "diverticulum": "diverticula", "ostium": "ostia", "labrum": "labra", "ileum": "ilea",
        "cranium": "crania", "acetabulum": "acetabula", "vertebra": "vertebrae", "bulla": "bullae", "bursa": "bursae",
        "scapula": "scapulae", "clavicle": "claviculae", "fossa": "fossae", "maxilla": "maxillae", "trachea": "tracheae",
        "pleura": "pleurae", "aorta": "aortae", "fistula": "fistulae", "ampulla": "ampullae", "patella": "patellae",
        "tibia": "tibiae", "fibula": "fibulae", "ulna": "ulnae", "orbita": "orbitae", "concha": "conchae",
        "hernia": "herniae", "lamina": "laminae", "vena": "venae", "phalanx": "phalanges", "apex": "apices",
        "cortex": "cortices", "appendix": "appendices", "index": "indices", "calyx": "calices calyces calyx",
        "larynx": "larynges", "pharynx": "pharynges", "meninx": "meninges", "foramen": "foramina", "lumen": "lumina",
        "viscus": "viscera", "corpus": "corpora", "ganglion": "ganglia", "osteophyte": "osteophytes",
        "cyst": "cysts", "foot": "feet", "tooth": "teeth", "lens": "lenses", "pelvis": "pelves", "testis": "testes",
        "lymphoma": "lymphomata", "carcinoma": "carcinomata", "hematoma": "hematomata", "sarcoma": "sarcomata",
        "ecchondroma": "ecchondromata", "chiasm": "chiasmata", "fibroma": "fibromata", "epiphysis": "epiphyses",
        "diaphysis": "diaphyses", "metaphysis": "metaphyses", "apophysis": "apophyses", "symphysis": "symphyses",
        "metastasis": "metastases", "ectasis": "ectases", "atelectasis": "atelectases", "prosthesis": "prostheses",
        "synthesis": "syntheses", "arthrodesis": "arthrodeses", "anastomosis": "anastomoses", "pubis": "pubes",
        "naris": "nares", "iris": "irides", "os": "ossa", "analysis": "analyses", "crisis": "crises", "axis": "axes",
        "basis": "bases", "base": "base",
    }.items()
    for plural in plurals.split()
}  # fmt: skip
_KEPT = re.compile(r"(?:ss|us|is|as|ics|series|lens|dens|ceps|facies|caries|scabies|rabies)$|^aids$")
_AMERICAN = tuple(
    (re.compile(british), american)
    for british, american in (
        (r"oedema", "edema"), (r"oesoph", "esoph"), (r"haem(?=[aeiopt])", "hem"), (r"aemi(?=[ac])", "emi"),
        (r"tumour", "tumor"), (r"caec", "cec"), (r"foet", "fet"), (r"paed", "ped"), (r"anaes", "anes"),
        (r"gynaec", "gynec"), (r"diarrhoea", "diarrhea"), (r"coeli", "celi"), (r"leukaem", "leukem"),
        (r"grey", "gray"), (r"colour", "color"), (r"calibre", "caliber"), (r"centre", "center"), (r"fibre", "fiber"),
        (r"litre", "liter"), (r"metre", "meter"), (r"ischaem", "ischem"), (r"aneurism", "aneurysm"),
        (r"sulph", "sulf"), (r"isation$", "ization"), (r"ised$", "ized"), (r"lysed$", "lyzed"),
    )
)  # fmt: skip
_BRITISH = re.compile("|".join(british.pattern for british, _ in _AMERICAN))


def normal(token: str) -> str:
    """The form under which a token is compared: lower-case ASCII where it can be, singular, American spelling.

    >>> normal("Effusions"), normal("Crohn's"), normal("oedema"), normal("opacities")
    ('effusion', 'crohn', 'edema', 'opacity')
    """
    token = token.lower()
    if not token.isascii():
        token = "".join(c for c in unicodedata.normalize("NFKD", token) if not unicodedata.combining(c))
        token = token.replace("’", "'")
    token = token.removesuffix("'s")
    if _BRITISH.search(token):
        for british, american in _AMERICAN:
            token = british.sub(american, token)
    return _singular(token)


def _singular(token: str) -> str:
    if token in _IRREGULAR:
        return _IRREGULAR[token]
    if len(token) < 4 or not token.endswith("s") or _KEPT.search(token):
        return token
    if token.endswith("ies"):
        return token[:-3] + "y"
    if token.endswith("oses") and len(token) > 6:
        return token[:-2] + "is"
    if token.endswith(("sses", "xes", "ches", "shes", "nuses", "ruses", "tuses", "muses", "buses")):
        return token[:-2]
    return token[:-1]


def tokens(term: str) -> list[str]:
    """The normal tokens of a dictionary term; punctuation separates, ``the`` is left out."""
    return [n for n in map(normal, TOKEN.findall(term)) if n != SKIPPED]


def token_hash(token: str) -> int:
    """A 64-bit hash of a normal token, the same in every process and on every machine."""
    return int.from_bytes(blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class TokenHashes(dict[str, int]):
    """token as written -> hash of its normal form, computed once; 0 for the word that is skipped."""

    def __missing__(self, token: str) -> int:
        plain = normal(token)
        self[token] = found = 0 if plain == SKIPPED else token_hash(plain)
        return found


def extend(sequence: int, token: int) -> int:
    """The hash of a token sequence and one more token; the empty sequence hashes to 0."""
    mixed = (sequence + token) * MULTIPLIER & _MASK
    return mixed ^ (mixed >> SHIFT)
