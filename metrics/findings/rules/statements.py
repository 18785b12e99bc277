"""Sizes and normal states that are said of an organ: "the heart is not enlarged", "mediastinal contours are normal".

Cardiomegaly is read from the heart's size, Enlarged Cardiomediastinum from the (cardio)mediastinal silhouette. A denied
opacity, effusion or fracture is also read from "lungs are clear", "pleural spaces are clear" and "bones are intact".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from radbench.metrics.findings.observations import NEGATIVE, OBSERVATIONS, POSITIVE, UNCERTAIN, Code
from radbench.metrics.findings.rules.negation import STATES_NO_CHANGE

_HEART, _MEDIASTINUM = OBSERVATIONS.index("Cardiomegaly"), OBSERVATIONS.index("Enlarged Cardiomediastinum")
_OPACITY, _EFFUSION = OBSERVATIONS.index("Lung Opacity"), OBSERVATIONS.index("Pleural Effusion")
_FRACTURE = OBSERVATIONS.index("Fracture")

_NOUN = r"(?:silhouettes?|size|contours?|shadow|outline|diameter|enlargement|structures)"
_SUBJECT = re.compile(
    rf"\b(?:(?P<mediastinum>cardio-? ?mediastin(?:um|al)(?: {_NOUN})?|mediastin(?:um|al)(?: and hilar)?(?: {_NOUN})?"
    r"(?! (?:clips?|lymph|surgical|calcif|fat|mass|shift|widening|prominence|fullness|adenopathy|drain|hematoma|node|wires)))"
    rf"|(?P<heart>hearts?(?: {_NOUN})?|cardiac {_NOUN}|cardiac(?=(?:, | and |/)(?:the )?(?:mediastin|hilar))))\b"
    r"(?! (?:failure|valve|border|disease|rate|transplant|catheter|surgery|monitor|attack))"
)
_STATE = re.compile(
    r"\b(?:(?P<normal>upper (?:limits?|range)(?: of)? normal|upper normal|upper limits|(?:top|high)[- ]normal|normal|"
    r"unremarkable|within (?:the )?(?:limits of normal|normal limits?|limits)|wnl)|(?P<borderline>borderline)"
    r"|(?P<large>enlarged?|enlargement|widen(?:ed|ing)|(?:prominent|prominence|dilated|increased|large|big|globular|full|fullness)"
    r"(?! (?:\w+ )?(?:pulmonary|vascul|hil|aort|lung|interstitial|marking|thoracic|central|perihilar|opacit|bronch|epicardial|"
    r"pericardial|fat|effusion|density)))"
    r"|(?P<same>stable|unchanged|similar|obscured|accentuated|magnified))\b"
)
_BORDERLINE = re.compile(r"\bborderline\b[\w -]{0,20}$")
_NOT = re.compile(
    r"\b(?:no|not|without|nor|neither|never|negative for|free of)\b(?: [\w-]+){0,4}(?:(?: [\w-]+){0,3} or)? *$"
)
_MAYBE = re.compile(
    r"\b(?:possibl[ey]|probabl[ey]|likely|questionabl[ey]|suspected|may|might|could|suggest\w*|question)\b(?: [\w-]+){0,4} *$"
)
_CUT = re.compile(r";|\b(?:but|however|although|except|with|otherwise|without)\b")
_DIRECTLY_BEFORE = re.compile(
    r"[ -]*(?:(?:sized?|in size(?: of)?|size(?: of)?|of|the|a|appearing|appearance|and configuration|overall|xxxx|mild|moderate)"
    r"\s+)*"
)
# An enlarged something else: its size is not the heart's.
_ELSEWHERE = re.compile(
    r"\b(?:aort\w+|lungs?|hil\w+|pulmonary|vascul\w+|arter\w+|vessels?|markings?|atri\w+|ventric\w+|tip)\b"
)
_OTHER_CLAUSE = re.compile(r",(?! (?:which|however))")

_CLEAR_LUNGS = re.compile(
    r"\b(?:(?:lungs|lung fields?|lung zones|lungs and pleural spaces|lung parenchyma|lung xxxx)\b(?! (?:volumes?|bases?|nodule))"
    r"(?P<gap>(?:(?! not | without )[^.;]){0,50}?)"
    r"\b(?:clear(?!ing|ed)|unremarkable)|(?<!not )(?:clear|normal) (?:\w+ )?(?:lungs|lung fields))\b"
)
_NOT_ALL = re.compile(r"n't\b|\b(?:not|neither|right|left|opacit\w+|effusions?|consolidation|atelectasis)\b")
_CLEAR_PLEURA = re.compile(
    r"\bpleural (?:spaces?|surfaces?|recess(?:es)?)\b(?: are| is| appears?| remains?|,| and \w+(?: \w+)?)* "
    r"(?:clear|normal|unremarkable|within normal limits)\b"
    r"|\b(?:costophrenic|cp) (?:\w+|angles?|sulci|sulcus|recess(?:es)?)(?: are| is| appears?| remains?)*(?: \w+)? "
    r"(?:clear|sharp|preserved|unremarkable|normal|well[- ]defined)\b"
)
_INTACT_BONES = re.compile(
    r"\b(?:bon(?:es|y)|osseous|skelet(?:al|on)|ribs?|thoracic spine|clavicles?)\b(?: \w+){0,7}? intact\b|\bintact (?:\w+ )?"
    r"(?:osseous|bony|bones|skeletal|ribs)\b"
)
# That the chest, or a part of it, is as it should be. "No change" says nothing of the kind.
_NORMAL = re.compile(
    r"\b(?:normal|unremarkable|clear|within (?:the )?(?:limits of normal|normal limits?)|wnl|intact|negative|"
    rf"(?:(?!{STATES_NO_CHANGE}\b)(?:no|without)|negative for)\b[^.;]{{0,60}}?"
    r"\b(?:abnormalit(?:y|ies)|disease|process(?:es)?|findings?|patholog(?:y|ies)|(?:acute|active)\b[^.;]{0,40}?\bchanges))\b"
)
_DENIED = re.compile(
    r"(?:\b(?:not|nor|never|no longer|cannot)|n't|\bneither (?:of )?(?:the )?\w+ (?:is|are))"
    r"(?: (?:\w+ly|quite|yet|all|the|be|been|of|in|called|considered))* *$"
)
_MARKERS = ("heart", "cardi", "mediastin", "clear", "lungs", "intact", "costophrenic", "pleural s", "pleural r", "cor ")


def statements(sentence: str) -> Iterator[tuple[int, int, int, Code]]:
    """(observation, start, end, polarity) of what a lower-cased sentence says of heart, mediastinum, lungs, pleura, bones."""
    if not any(marker in sentence for marker in _MARKERS):
        return
    for subject in _SUBJECT.finditer(sentence):
        found = _size(sentence, subject)
        if found is not None:
            yield (_HEART if subject.lastgroup == "heart" else _MEDIASTINUM), subject.start(), subject.end(), found
    for lungs in _CLEAR_LUNGS.finditer(sentence):
        if not _NOT_ALL.search(lungs.group("gap") or ""):
            yield _OPACITY, lungs.start(), lungs.end(), NEGATIVE
    for observation, pattern in ((_EFFUSION, _CLEAR_PLEURA), (_FRACTURE, _INTACT_BONES)):
        for normal in pattern.finditer(sentence):
            if not re.search(r"\bnot\b|\bwires?\b", normal.group()):
                yield observation, normal.start(), normal.end(), NEGATIVE


def says_normal(sentence: str) -> bool:
    """Whether a lower-cased sentence calls something normal: "clear", "no acute disease", but not "not clear" or "no change"."""
    return any(
        not _DENIED.search(sentence, max(0, found.start() - 60), found.start()) for found in _NORMAL.finditer(sentence)
    )


def _size(sentence: str, subject: re.Match[str]) -> Code | None:
    """What is said of the size of a subject: by the word right before it, else the next one, else the last one before."""
    start = max((m.end() for m in _CUT.finditer(sentence, 0, subject.start())), default=0)
    cut = _CUT.search(sentence, subject.end())
    stop = cut.start() if cut else len(sentence)
    if subject.group().endswith("enlargement"):
        return _judge("large", sentence[start : subject.start()])
    before = list(_STATE.finditer(sentence, start, subject.start()))
    last = before[-1] if before else None
    direct = last is not None and _DIRECTLY_BEFORE.fullmatch(sentence, last.end(), subject.start()) is not None
    if last is not None and direct and last.lastgroup != "same":
        return _judge(last.lastgroup, sentence[start : last.start()])
    same = direct
    for state in _STATE.finditer(sentence, subject.end(), stop):
        gap = sentence[subject.end() : state.start()]
        if state.lastgroup == "same":
            same = True
            continue
        if state.lastgroup == "large" and (_ELSEWHERE.search(gap) or _OTHER_CLAUSE.search(gap)):
            return None
        return _judge(state.lastgroup, gap if gap.strip() else sentence[start : subject.start()])
    if last is None or same or last.lastgroup == "same":
        return None
    return _judge(last.lastgroup, sentence[start : last.start()])


def _judge(state: str | None, before: str) -> Code | None:
    """The polarity of enlargement, from a state word and what stands before it."""
    if state == "normal":
        return NEGATIVE if not _NOT.search(before) else None
    if state == "borderline" or _BORDERLINE.search(before):
        return UNCERTAIN
    if _NOT.search(before):
        return NEGATIVE
    return UNCERTAIN if _MAYBE.search(before) else POSITIVE
