"""The keys of the golden files: everything an original computed, named by its path.

``*`` stands for every name at its level, ``<id>`` for every pair or case, which does not enter the key's name. Inputs,
versions and notes are no keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from golden_rows import load

PATTERNS: dict[str, tuple[str, ...]] = {
    "text_golden": ("metrics/*",),
    "multimedeval_1.0.0_golden": (
        "out/VQA_*/metrics/*", "out/VQA_*/rows/<id>/*", "out/reports/<id>/*", "out/reports_mean/*/*", "out/clean_str",
        "out/composite_v1/scores", "out/MedMCQA_get_predicted_answer/preds", "out/PubMedQA_get_predicted_answer",
    ),
    "multimedeval_0.1.0_golden": ("out/VQA_*/metrics/*", "out/VQA_*/rows/<id>/*"),
    "misc_golden": (
        "difflib/*/table/<id>/*", "radcliq/*", "medversa_table_consistency/<id>/*", "meddr_table_consistency/<id>/*",
        "radgraph/cases/<id>/*",
    ),
    "chexbert_golden": ("cases/*/*", "label_mapping/*"),
    "bertscore_tiny_golden": ("runs/*/*",),
    "quickumls_golden": ("out/*/<id>/*",),
    "published_real_weight_values": ("radcliq_v1_per_pair", "f1radgraph_all/*", "f1chexbert/*"),
    "vision_stats_golden": (
        "box_iou/*", "dice/cases/<id>/*", "dice/monai_DiceMetric_mean_over_64x64_cases", "multiclass/*", "multilabel/*",
        "binary/*", "bootstrap/*",
    ),
}  # fmt: skip

# What was given to the original, or says how it was asked.
INPUTS = {
    "multimedeval_1.0.0_golden": ("*/rows/correct", "*/rows/predicted"),
    "misc_golden": (
        "radcliq/peer", "radcliq/columns", "radcliq/X", "radcliq/params", "*/row", "*/reported", "radgraph/cases/name",
        "radgraph/cases/ref", "radgraph/cases/hyp",
    ),
    "chexbert_golden": ("cases/*/name", "cases/*/ref", "cases/*/hyp", "cases/*/index5"),
    "bertscore_tiny_golden": ("*/args",),
    "published_real_weight_values": ("*/note", "*/model_type"),
    "vision_stats_golden": (
        "box_iou/format", "box_iou/pred", "box_iou/gt", "box_iou/torchmetrics_error", "dice/cases/name", "dice/cases/shape",
        "dice/cases/pred_rle", "dice/cases/gt_rle", "*/y_true", "*/y_pred", "*/n_classes", "bootstrap/values",
    ),
}  # fmt: skip


def keys_of(file: str) -> list[str]:
    """Every key of a golden file, in its order, each once."""
    found = dict.fromkeys(key for pattern in PATTERNS[file] for key in _expand(load(file), pattern.split("/"), ()))
    skipped = INPUTS.get(file, ())
    return [key for key in found if not any(fnmatchcase(key, pattern) for pattern in skipped)]


def _expand(value: Any, pattern: list[str], path: tuple[str, ...]) -> Iterator[str]:
    if not pattern:
        yield "/".join(path)
        return
    head, *rest = pattern
    if head == "<id>":
        for child in value.values() if isinstance(value, dict) else value:
            yield from _expand(child, rest, path)
    elif isinstance(value, list):  # a list of named cases stands for a mapping
        for child in value:
            yield from _expand(child, rest, (*path, child["name"]))
    elif isinstance(value, dict):
        for name, child in value.items():
            if fnmatchcase(name, head):
                yield from _expand(child, rest, (*path, name))
