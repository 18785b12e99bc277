"""Whether a mention is affirmed, denied or hedged: cues before and after it in its clause.

Order of the rules, the first that holds decides:

1. a hypothetical or historical cue before it and no negation ("evaluate for", "history of", "if"): no mention at all;
2. what follows says it cannot be judged ("may not be demonstrated"): no mention; or hedges it ("cannot be excluded"): uncertain;
3. a negation before it ("no", "without", "free of") or after it ("is not seen", "has resolved"): negative;
4. a hedge before it ("possible", "may represent"), or an alternative beside it ("A versus B", "A or B"): uncertain;
5. else positive.

A doubted finding ("doubt pneumonia", "pneumonia is doubtful") and a less likely one are uncertain, an unlikely one is negative.

Statements of change are no negations: "no change in", "not significantly increased". "No new" denies: an older finding is
affirmed elsewhere in the report, and positive outweighs negative.
"""

from __future__ import annotations

import re

from radbench.metrics.findings.observations import NEGATIVE, POSITIVE, UNCERTAIN, Code
from radbench.metrics.findings.rules.patterns import either

# Words that may stand between "no" or "not" and what is negated.
_DEGREE = "(?:" + either(
    """a, an, any, definite(?:ly)?, significant(?:ly)?, substantial(?:ly)?, appreciabl[ey], interval, major, marked(?:ly)?,
    gross(?:ly)?, obvious(?:ly)?, convincing(?:ly)?, real, relevant, short[- ]term, further, discernible, radiographic(?:ally)?,
    dramatic(?:ally)?, clear(?:ly)?, xxxx, overall, other, great(?:ly)?, much, been, since, readily, currently, confidently,
    entirely, completely, definitively, be, yet, well, fully, adequately, optimally, reliably, totally, absolutely"""
) + " )*"  # fmt: skip
_CHANGE = either(
    "chang(?:es?|ing)(?! of), alterations?, differences?, increase (?:in|of), decrease, improvement, worsening, progression",
    "regression, changed, different, altered, increased, decreased, improved, worse, worsened, progressed, resolved, cleared",
)
_DETECTED = """seen, identified, visuali[sz]ed, evident, present, demonstrated, detected, noted, appreciated, observed, apparent,
    found, visible, recogni[sz]ed, suspected, suggested"""
_SEEN = either(_DETECTED, "imaged, included, assessed, evaluated, shown, calcified, displaced")
_EXCLUDED = (
    "(?:be )?(?:(?:entirely|completely|definite(?:ly)?|definitively|confidently|reliably|totally|absolutely|fully) )?"
    "(?:exclude[ds]?|excluding|rule out|ruled out)"
)
STATES_NO_CHANGE = rf"(?:no|not|without|nor) {_DEGREE}{_CHANGE}"
# Looks like a negation and is none.
_PASS = either(
    rf"{STATES_NO_CHANGE}\b, not {_DEGREE}{_SEEN}\b, not only",
    "no (?:comparison|prior|previous|doubt|question)",
    r"(?:near|nearly|partial|partially|incomplete|almost)(?: \w+)? (?:resolution|clearing|resolved|cleared|removal)(?: of)?",
    "(?:before|until|to (?:document|ensure|confirm|show|allow)) (?:complete )?(?:resolution|clearing)(?: of)?",
)
_MAYBE = either(
    rf"(?:can ?not|can't|not|difficult to|hard to|without|unable to) {_EXCLUDED}",
    "possibl[ey], possibility of, probabl[ey], likely, presum(?:ed|ably), questionable, question(?: of)?",
    "equivocal, suspect(?:ed)?, suspicious for, suspicion (?:of|for), suggest(?:s|ed|ing|ive)?(?: of)?",
    "concern(?:ing)? for, concern, worrisome for",
    "may, might, could, can (?:represent|reflect|indicate), perhaps, potential(?:ly)?, favou?r(?:s|ed|ing)?",
    "doubt, doubtful, differential, consider, if any, indeterminate, borderline, maybe, versus, vs",
)
_SKIP = either(
    "rule out, ruling out, r/o, to exclude, exclude, evaluat(?:e|ion|ing) (?:for|of), assess(?:ment|ing)? (?:for|of)",
    "monitor(?:ing)? for, look(?:ing)? for, search for, history of, h/o, hx of, hx, if, screening (?:for|of), treated for",
    r"(?:may|could|can|might) (?:obscure|mask|hide), obscur\w+ (?:a|any), sensitivity (?:for|to), risk (?:of|for)",
    r"mimic(?:s|king)?, correlat\w+ (?:for|with)",
)
_DENY = either(
    "no, not, without, w/o, nor, neither, never, none, free (?:of|from), clear of, negative for, absence of, lack of, absent",
    "(?:interval |complete |completely )?resolution of, (?:interval )?clearing of, resolved, denies, removal of, unlikely",
    "rather than, as opposed to, instead of, no longer",
)
# The order decides between cues that begin at the same word: hedges that contain a negation come before negations.
_BEFORE = re.compile(
    rf"\b(?:(?P<pass>{_PASS})|(?P<maybe>{_MAYBE})|(?P<skip>{_SKIP})|(?P<deny>{_DENY}))\b|(?P<query>\?)"
)

_EARLIER = (
    r"(?! (?:(?:on|in|at) (?:the |any |a )?(?:\w+ )?(?:prior|previous|comparison|earlier|recent|old|outside)|"
    "previously|before|earlier))"
)
_AFTER_MAYBE = re.compile(
    rf"\b(?:can ?not|can't|could not|not) {_EXCLUDED}\b"
    r"|\b(?:is|are|remains?|was|were|be|seems?|felt|thought) "
    r"(?:also |still |felt |thought |considered |to be |most |more |less )*"
    r"(?:possible|suspected|questioned|questionable|likely|probable|favou?red|equivocal|uncertain|doubtful|doubted|indeterminate|"
    r"difficult to exclude|(?:a |an |in the |the )?(?:possible |differential |diagnostic )?(?:consideration|"
    r"considered(?! (?:to be )?unlikely)|differential|concern|possibility))\b"
    r"|\b(?:may|might|could)(?: also)? be (?:present|considered|seen)\b|\bwould be a consideration\b"
    r"|\bless likely(?= than|\s*(?:[.,;)]|$))"
    rf"|\bnot ruled out\b|\bif any\b|\bnot (?:as )?(?:well|clearly|definitely|definitively)[- ]{_SEEN}{_EARLIER}|^\s*\?"
)
_AFTER_SKIP = re.compile(
    rf"\b(?:may|might|could|can|would) not be {_DEGREE}{_SEEN}\b|\b(?:should|must|needs? to|to) be (?:excluded|ruled out)\b"
    r"|\bcannot be (?:assessed|evaluated)\b"
)
_AFTER_DENY = re.compile(
    rf"\b(?:not|no longer) {_DEGREE}{either(_DETECTED)}{_EARLIER}\b"
    r"|\babsent\b|\b(?:is|are|was|were) negative\b|\b(?:is|are|has been|have been|was|were) (?:ruled out|excluded)\b"
    r"|\b(?:has|have|had|is|are|now|since)(?: (?:been|now|since|also|completely|fully|totally|entirely|all|essentially))* "
    r"(?:resolved|cleared|disappeared|removed|discontinued|withdrawn)\b"
    r"|\b(?:is|are|appears?|remains?) (?:within (?:the )?(?:limits of normal|normal limits?)|normal|unremarkable)\b"
    r"|\bunlikely\b|\bnot likely\b|\bin neither\b|^\s*[:=-]\s*(?:none|no|absent|negative|nil)\b|^\s*\(?resolved\b"
)
# A finite verb or a relative between a mention and a cue after it: the cue speaks of something else.
_OTHER_STATEMENT = re.compile(
    r"\b(?:is|are|was|were|has|have|had|which|that|there|remains?|appears?|shows?|demonstrates?|may|might|could|with|causing|since)\b"
)
# The cue's own verb is part of the pattern where it starts with one; before "not seen" it stands in the gap.
_OWN_VERB = re.compile(
    r"\s*\(?(?:is|are|was|were|has|have|had|does|do)(?: been| be)?(?: (?:felt|thought|considered|deemed|judged)(?: to be)?)?\s*$"
)
_OR_BEFORE = re.compile(r"(?:\bor|\bversus|\bvs\.?|/or)\s+(?:[\w-]+\s+){0,3}$")
_OR_AFTER = re.compile(r"\s*,?\s*(?:(?:and/)?or\b|versus\b|vs\b)")
# A hedging adjective or adverb reaches to a comma or "and", unless the list goes on to an "or"; a verb ("may represent")
# reaches as far as its clause.
_SHORT_HEDGE = re.compile(
    r"possibl|probabl|doubtful|questionable|suspected|presumed|likely|\?|if any|borderline|equivocal|potential"
)
_SHORT_END = re.compile(r"(?:,|\band\b)(?!.*\bor\b)")


def polarity(clause: str, start: int, end: int) -> Code | None:
    """How the mention at ``clause[start:end]`` is meant, or None where it is no statement about the image."""
    skipped = denied = hedged = False
    for cue in _BEFORE.finditer(clause, 0, start):
        kind = cue.lastgroup
        if kind == "skip":
            skipped = True
        elif kind == "deny":
            denied = True
        elif kind in ("maybe", "query"):
            short = _SHORT_HEDGE.match(cue.group()) is not None
            hedged = hedged or not (short and _SHORT_END.search(clause, cue.end(), start))
    if skipped and not denied:
        return None
    tail = clause[end:]
    if _follows(_AFTER_SKIP, tail):
        return None
    if not denied and _follows(_AFTER_MAYBE, tail):
        return UNCERTAIN
    if denied or _follows(_AFTER_DENY, tail):
        return NEGATIVE
    if hedged or _OR_AFTER.match(tail) or _OR_BEFORE.search(clause, 0, start):
        return UNCERTAIN
    return POSITIVE


def _follows(cue: re.Pattern[str], tail: str) -> bool:
    """Whether the cue comes after the mention and speaks of it: no other statement lies between."""
    found = cue.search(tail)
    if found is None:
        return False
    gap = _OWN_VERB.sub("", tail[: found.start()])
    return _OTHER_STATEMENT.search(gap) is None
