"""RadGraph rewards against radgraph 0.1.18, MultiMedEval and CXR-Report-Metric; published values where weights are there."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from radbench.metrics.clinical import radgraph_rewards as rewards
from radbench.metrics.clinical.radgraph import RadGraphF1, radgraph_f1

from golden_rows import Row, load

CASES = load("misc_golden")["radgraph"]["cases"]
FUNCTIONS: dict[str, tuple[Callable[..., float], str]] = {
    "simple": (rewards.simple_f1, "radgraph 0.1.18"),
    "partial": (rewards.partial_f1, "radgraph 0.1.18"),
    "complete": (rewards.complete_f1, "radgraph 0.1.18"),
    "multimedeval_partial_no_empty_guard": (rewards.partial_f1, "MultiMedEval 1.0.0"),
    "cxr_entity_f1": (rewards.entity_f1, "CXR-Report-Metric @9c9ecad"),
    "cxr_relation_f1": (rewards.relation_f1, "CXR-Report-Metric @9c9ecad"),
    "cxr_radgraph_combined": (rewards.combined_f1, "CXR-Report-Metric @9c9ecad"),
}


def _cases(name: str) -> Callable[[], Iterable[float]]:
    reward = FUNCTIONS[name][0]
    return lambda: (abs(reward(c["hyp"]["entities"], c["ref"]["entities"]) - c[name]) for c in CASES)


def _example() -> dict[str, list[str]]:
    """The texts that the radgraph package scores when it is run as a script: they are its own and stay there."""
    module = pytest.importorskip("radgraph.radgraph")
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in ("refs", "hyps")
        and all(isinstance(e, ast.Constant) for e in getattr(node.value, "elts", [None]))
    }


def _published(mean: bool) -> Iterator[float]:
    if reason := RadGraphF1().unavailable():
        pytest.skip(reason)
    texts: Any = _example()
    expected = load("published_real_weight_values")["f1radgraph_all"]
    for i, reward in enumerate(("simple", "partial", "complete")):
        scores = radgraph_f1(texts["hyps"], texts["refs"], reward)
        if mean:
            yield abs(sum(scores) / len(scores) - expected["mean"][i])
        else:
            yield from (abs(a - b) for a, b in zip(scores, expected["per_pair"][i], strict=True))


ROWS = [
    *(
        Row("misc_golden", (f"radgraph/cases/{key}",), f"radgraph_rewards.{function.__name__}", original, 1e-9, _cases(key))
        for key, (function, original) in FUNCTIONS.items()
    ),
    Row(
        "published_real_weight_values", ("f1radgraph_all/mean",), "mean of radgraph:reward=simple, partial, complete",
        "radgraph 0.1.18, model radgraph", 1e-9, lambda: _published(mean=True),
    ),
    Row(
        "published_real_weight_values", ("f1radgraph_all/per_pair",), "radgraph:reward=simple, partial, complete",
        "radgraph 0.1.18, model radgraph", 1e-9, lambda: _published(mean=False),
    ),
]  # fmt: skip
