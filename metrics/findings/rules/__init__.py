"""A rule labeler for the 14 CheXpert observations, written for radbench; it needs no weights.

``label(text)`` gives the 14 codes of CheXbert, ``mentions(text)`` what they were read from. The vocabulary and the rules are
our own, written from radiological usage: its labels are not those of CheXpert's or CheXbert's labeler.
"""

from radbench.metrics.findings.rules.labeler import Mention, affirmed_sides, label, label_all, mentions

__all__ = ["Mention", "affirmed_sides", "label", "label_all", "mentions"]
