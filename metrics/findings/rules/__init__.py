"""A rule labeler for the 14 CheXpert observations, written for radbench; it needs no weights.

``label(text)`` gives the 14 codes of CheXbert, ``mentions(text)`` what they were read from. The vocabulary and the rules are
our own, written from radiological usage: its labels are not those of CheXpert's or CheXbert's labeler.
"""

from radbench.metrics.findings.rules.labeler import Mention, affirmed_sides, label, label_all, mentions

LABELER = "radbench-rules-2"  # the version that signatures name: another one where a rule changes a label

__all__ = ["LABELER", "Mention", "affirmed_sides", "label", "label_all", "mentions"]
