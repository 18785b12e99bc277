"""Metrics: one module per family, each with rows of statistics, a reducer, a signature and a card.

Every installed metric is also a plain function, ``-`` written ``_``::

    radbench.metrics.bleu(["no effusion"], ["no pleural effusion"], n=2)
    radbench.metrics.score(["rouge-l", "meteor"], predictions, references)   # several, with intervals
    evaluate.load(radbench.metrics.evaluate_script(), "bleu:n=2")            # as a Hugging Face evaluate metric
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from radbench.metrics.functional import Score as Score
    from radbench.metrics.functional import compute as compute
    from radbench.metrics.functional import score as score

_FUNCTIONAL = ("Score", "compute", "score")


def evaluate_script() -> str:
    """Path of the script that Hugging Face ``evaluate.load`` takes; the configuration name is the metric's spec."""
    from pathlib import Path

    return str(Path(__file__).parent / "hf_evaluate" / "hf_evaluate.py")


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONAL:
        from radbench.metrics import functional

        return getattr(functional, name)
    if (
        not name.startswith("_") and find_spec(f"{__name__}.{name}") is None
    ):  # `from radbench.metrics import base` asks first
        from radbench.registry import all_metrics

        spelled = {known.replace("-", "_"): known for known in all_metrics()}
        if name in spelled:
            from radbench.metrics.functional import function_of

            return function_of(spelled[name])
    raise AttributeError(f"module 'radbench.metrics' has no attribute {name!r}")


def __dir__() -> list[str]:
    from radbench.registry import all_metrics

    return sorted([*_FUNCTIONAL, "evaluate_script", *(name.replace("-", "_") for name in all_metrics())])
