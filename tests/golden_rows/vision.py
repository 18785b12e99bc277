"""Boxes, masks, classification and the bootstrap against MONAI, torchmetrics, surface-distance, scikit-learn and scipy.

``box_iou/torchmetrics`` holds no value: the original could not be imported where the file was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
from radbench.metrics.base import Mean, Metric
from radbench.metrics.labels.agreement import Agreement
from radbench.metrics.labels.classification import F1, Accuracy, SampleF1
from radbench.metrics.vision.boxes import MeanIoU, box_iou
from radbench.metrics.vision.masks import Dice, dice, mask_iou, overlap

from golden_rows import Row, equal, load
from radbench.records import Box, Boxes, Labels, Mask, Prediction
from radbench.statistics import Clusters, Measure, draw, interval, point

FILE = "vision_stats_golden"
FLOAT32, EXACT = 1e-6, 1e-9
Differences = Callable[[], Iterable[float]]


def gap(ours: float, theirs: Any) -> float:
    """|ours - theirs|; an undefined original (None or nan) wants nan."""
    if theirs is None or theirs == "nan":
        return equal(bool(np.isnan(ours)), True)
    return abs(ours - theirs)


def unpacked(runs: list[int], shape: list[int]) -> np.ndarray:
    """A mask from its run lengths, row-major, the first run being zeros."""
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(shape)


def masks(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    return unpacked(case["pred_rle"], case["shape"]), unpacked(case["gt_rle"], case["shape"])


def value(metric: Metric, predictions: list[Prediction], targets: list[Any], choices: tuple[str, ...] = ()) -> float:
    state = metric.fit(targets, choices)
    return point(Measure(metric, state, metric.rows(predictions, targets, state)))


# --- boxes ---


def _box_pairs() -> list[tuple[Box, Box]]:
    data = load(FILE)["box_iou"]
    return [(Box("a", *p), Box("a", *t)) for p, t in zip(data["pred"], data["gt"], strict=True)]


def _boxes(key: str, convention: Any) -> Iterator[float]:
    for (p, t), theirs in zip(_box_pairs(), load(FILE)["box_iou"][key], strict=True):
        if theirs is not None:  # MONAI refuses inverted boxes
            yield gap(box_iou(p, t, convention), theirs)


def _mean_box() -> Iterator[float]:
    pairs = _box_pairs()
    ours = value(MeanIoU(), [Prediction((p,)) for p, _ in pairs], [Boxes((t,)) for _, t in pairs])
    yield gap(ours, load(FILE)["box_iou"]["mean_textbook"])


# --- masks ---


def _mask_cases(key: str, function: Callable[[np.ndarray, np.ndarray], float]) -> Iterator[float]:
    for case in load(FILE)["dice"]["cases"]:
        if not str(case[key]).startswith("error"):  # surface-distance stops on two empty masks
            yield gap(function(*masks(case)), case[key])


def _counts(i: int, key: str) -> Iterator[float]:
    return (gap(overlap(*masks(case))[i], case[key]) for case in load(FILE)["dice"]["cases"])


def _mean_dice() -> Iterator[float]:
    data = load(FILE)["dice"]
    chosen = [masks(c) for c in data["cases"] if c["name"] in data["mean_cases"]]
    ours = value(Dice("drop"), [Prediction(p) for p, _ in chosen], [Mask(t) for _, t in chosen])
    yield gap(ours, data["monai_DiceMetric_mean_over_64x64_cases"])


# --- classification ---


def _single(part: str, metric: Metric, key: str) -> Iterator[float]:
    data = load(FILE)[part]
    classes = tuple(str(i) for i in range(data.get("n_classes", 2)))
    said, truth = ([(str(y),) for y in data[name]] for name in ("y_pred", "y_true"))
    yield gap(value(metric, [Prediction(s) for s in said], [Labels(t) for t in truth], classes), data[key])


def _multilabel(metric: Metric, key: str, index: int | None = None) -> Iterator[float]:
    data = load(FILE)["multilabel"]
    said, truth = ([tuple(str(i) for i, v in enumerate(r) if v) for r in data[n]] for n in ("y_pred", "y_true"))
    ours = value(metric, [Prediction(s) for s in said], [Labels(t) for t in truth], tuple("0123456"))
    yield gap(ours, data[key] if index is None else data[key][index])


def _per_class() -> Iterator[float]:
    for i in range(7):
        yield from _multilabel(F1(label=i), "sk_per_class", i)


# --- bootstrap ---


class _Numbers(Mean):
    """The mean of the predictions themselves."""

    def score(self, prediction: Prediction, target: Any) -> float:
        return float(prediction.value)

    def signature(self, state: Any) -> str:
        return "mean"


def _numbers() -> Measure:
    values = load(FILE)["bootstrap"]["values"]
    rows = _Numbers().rows([Prediction(v) for v in values], [Labels(())] * len(values), ())
    return Measure(_Numbers(), (), rows)


def _engine(measure: Measure) -> np.ndarray:
    n = len(measure.rows)
    return draw([measure], Clusters(np.arange(n), n, ((0, n),)), 1000, seed=42)[0]


def _intervals(draws: np.ndarray, stored: dict[str, Any]) -> Iterator[float]:
    """Every convention the file holds of one set of 1,000 draws."""
    yield from (gap(*pair) for pair in zip(draws[:5], stored["first5"], strict=True))
    low, high, defined = interval(draws)
    yield equal(defined, 1000)
    found = {"lo_hi_linear": (low, high)}
    for method in ("lower", "higher"):
        found[f"lo_hi_{method}"] = tuple(np.percentile(draws, [2.5, 97.5], method=method))
    for first, last in ((24, 974), (25, 975)):
        found[f"lo_hi_sorted_index_{first}_{last}"] = (np.sort(draws)[first], np.sort(draws)[last])
    for name in found.keys() & stored.keys():
        yield from (gap(*pair) for pair in zip(found[name], stored[name], strict=True))


def _mean() -> Iterator[float]:
    yield gap(point(_numbers()), load(FILE)["bootstrap"]["mean"])


def _default_rng() -> Iterator[float]:
    stored = load(FILE)["bootstrap"]["default_rng42_integers_matrix"]
    first = np.random.default_rng(42).integers(250, size=250)[:10]
    yield equal(first.tolist(), stored["idx_first_row_first10"])
    yield from _intervals(_engine(_numbers()), stored)


def _random_state(name: str) -> Iterator[float]:
    """The older streams: the engine's own is another, so their counts go into the metric's value under weights."""
    measure, stream = _numbers(), np.random.RandomState(42)
    n = len(measure.rows)
    take = {"randint": partial(stream.randint, 0, n, n), "choice": partial(stream.choice, n, n)}[name]
    counts = np.stack([np.bincount(take(), minlength=n) for _ in range(1000)]).astype(np.float64)
    draws = measure.metric.value(measure.rows, counts, ())
    yield from _intervals(draws, load(FILE)["bootstrap"][f"RandomState42_{name}_loop"])


def _scipy() -> Iterator[float]:
    stored = load(FILE)["bootstrap"]["scipy_bootstrap_percentile_rng42"]
    low, high, _ = interval(_engine(_numbers()))
    yield from (gap(low, stored["lo"]), gap(high, stored["hi"]))


def _macro_f1_draws() -> Iterator[float]:
    data, metric = load(FILE)["multiclass"], F1(over="fixed")
    targets = [Labels((str(t),)) for t in data["y_true"]]
    state = metric.fit(targets, tuple("012345"))
    rows = metric.rows([Prediction((str(p),)) for p in data["y_pred"]], targets, state)
    yield from _intervals(_engine(Measure(metric, state, rows)), load(FILE)["bootstrap"]["macro_f1_multiclass_above"])


def _row(key: str, ours: str, original: str, tolerance: float, differences: Differences) -> Row:
    return Row(FILE, (key,), ours, original, tolerance, differences)


def _tolerance(key: str) -> float:
    return FLOAT32 if key.startswith(("monai", "tm_", "torchmetrics")) else EXACT


def _library(key: str) -> str:
    names = {"tm": "torchmetrics 1.9.0", "torchmetrics": "torchmetrics 1.9.0", "monai": "MONAI 1.6.1",
             "surface": "surface-distance 0.1", "sk": "scikit-learn 1.9.1", "sklearn": "scikit-learn 1.9.1"}  # fmt: skip
    return names.get(key.split("_")[0], "definition")


MASK_CASES: tuple[tuple[str, str, Callable[..., float], str], ...] = (
    ("dice_textbook", "dice", dice, "drop-both"),
    ("iou_textbook", "mask-iou", mask_iou, "drop-both"),
    ("monai_compute_dice_ignore_empty_true", "dice", dice, "drop"),
    ("monai_compute_dice_ignore_empty_false", "dice", dice, "one"),
    ("monai_compute_iou_ignore_empty_true", "mask-iou", mask_iou, "drop"),
    ("monai_compute_iou_ignore_empty_false", "mask-iou", mask_iou, "one"),
    ("surface_distance_dice", "dice", dice, "one"),
    ("torchmetrics_DiceScore_1class", "dice", dice, "drop-both"),
    ("torchmetrics_GeneralizedDiceScore_1class_MultiMedEval_args", "dice", dice, "zero"),
    ("torchmetrics_MeanIoU_1class", "mask-iou", mask_iou, "drop-both"),
    ("sklearn_f1_flat", "dice", dice, "drop-both"),
)
SINGLE: tuple[tuple[str, str, Metric], ...] = (
    ("multiclass", "sk_macro_f1", F1()),
    ("multiclass", "sk_macro_f1_labels0_5", F1(over="fixed")),
    ("multiclass", "sk_macro_f1_labels_in_truth", F1(over="truth")),
    ("multiclass", "sk_micro_f1", F1("micro")),
    ("multiclass", "sk_weighted_f1", F1("weighted")),
    ("multiclass", "sk_accuracy", Accuracy()),
    ("multiclass", "sk_balanced_accuracy", Agreement("balanced-accuracy")),
    ("multiclass", "tm_macro_f1", F1()),
    ("multiclass", "tm_macro_acc", Agreement("accuracy-macro")),
    ("multiclass", "tm_micro_acc", Accuracy()),
    ("multiclass", "tm_weighted_f1", F1("weighted")),
    ("multiclass", "sk_mcc", Agreement("mcc")),
    ("multiclass", "sk_kappa", Agreement("kappa")),
    ("binary", "sk_f1_pos", F1(label=1)),
    ("binary", "sk_f1_macro", F1()),
    ("binary", "sk_f1_weighted", F1("weighted")),
    ("binary", "acc", Accuracy()),
    ("binary", "tm_f1", F1(label=1)),
)
MULTILABEL: tuple[tuple[str, Metric], ...] = (
    ("sk_macro_f1", F1(over="fixed")),
    ("sk_macro_f1_zero_division_1", F1(over="fixed", zero_division=1)),
    ("sk_macro_f1_zero_division_nan", F1(over="fixed", zero_division="nan")),
    ("sk_macro_f1_zero_division_nan", F1(over="present")),
    ("sk_micro_f1", F1("micro")),
    ("sk_samples_f1_zd0", SampleF1()),
    ("tm_macro_f1", F1(over="fixed")),
    ("sk_exact_match", Accuracy()),
)


def _short(metric: Metric) -> str:
    """A signature without what every one of them says."""
    return "|".join(p for p in metric.signature(()).split("|") if not p.startswith(("classes:", "failed:", "v:")))


ROWS: list[Row] = [
    _row("box_iou/monai", "box-iou", "MONAI 1.6.1", FLOAT32, partial(_boxes, "monai", "continuous")),
    _row("box_iou/textbook", "box-iou", "definition", EXACT, partial(_boxes, "textbook", "continuous")),
    _row("box_iou/inclusive_pixel_plus1", "box-iou|box:inclusive", "definition", EXACT,
         partial(_boxes, "inclusive_pixel_plus1", "inclusive")),
    _row("box_iou/mean_textbook", "box-iou|avg:structure", "definition", EXACT, _mean_box),
    *(_row(f"dice/cases/{key}", "mask-overlap", "definition", EXACT, partial(_counts, i, key))
      for i, key in enumerate(("inter", "psum", "gsum"))),
    *(_row(f"dice/cases/{key}", f"{name}|empty:{empty}", _library(key), _tolerance(key),
           partial(_mask_cases, key, partial(function, empty=empty)))
      for key, name, function, empty in MASK_CASES),
    _row("dice/monai_DiceMetric_mean_over_64x64_cases", "dice|empty:drop", "MONAI 1.6.1", FLOAT32, _mean_dice),
    *(_row(f"{part}/{key}", _short(metric), _library(key), _tolerance(key), partial(_single, part, metric, key))
      for part, key, metric in SINGLE),
    *(_row(f"multilabel/{key}", _short(metric), _library(key), _tolerance(key), partial(_multilabel, metric, key))
      for key, metric in MULTILABEL),
    _row("multilabel/sk_per_class", "f1|label", "scikit-learn 1.9.1", EXACT, _per_class),
    _row("bootstrap/mean", "mean", "numpy 2.4.6", EXACT, _mean),
    _row("bootstrap/default_rng42_integers_matrix", "engine:mean", "numpy 2.4.6", EXACT, _default_rng),
    _row("bootstrap/RandomState42_randint_loop", "weights:mean", "numpy 2.4.6", EXACT, partial(_random_state, "randint")),
    _row("bootstrap/RandomState42_choice_loop", "weights:mean", "numpy 2.4.6", EXACT, partial(_random_state, "choice")),
    _row("bootstrap/scipy_bootstrap_percentile_rng42", "engine:mean", "scipy 1.17.1", EXACT, _scipy),
    _row("bootstrap/macro_f1_multiclass_above", "engine:f1|over:fixed", "scikit-learn 1.9.1", EXACT, _macro_f1_draws),
]  # fmt: skip
