"""radbench metrics for Hugging Face ``evaluate``: ``evaluate.load(radbench.metrics.evaluate_script(), "rouge-l:part=recall")``.

The configuration name is the metric's spec. Text metrics take a string a prediction and a string, or a list of equally right
ones, a reference; label metrics a label or a list of labels on either side. Masks and boxes do not fit the features of
``evaluate``: for them there is ``radbench.metrics.dice(...)`` and the like.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate


class RadbenchMetric(evaluate.Metric):  # type: ignore[misc]
    """One radbench metric; ``compute`` returns its value under the name of its spec and its signature."""

    def _info(self) -> Any:
        from radbench.records import Boxes, Mask, Text
        from radbench.registry import find_metric

        metric = find_metric(self.config_name)
        if set(metric.accepts) <= {Boxes, Mask}:
            name = self.config_name.partition(":")[0].replace("-", "_")
            raise ValueError(
                f"'{self.config_name}' scores boxes or masks, which are no text: radbench.metrics.{name}(...)"
            )
        one, several = datasets.Value("string"), datasets.Sequence(datasets.Value("string"))
        shapes = [(one, one), (one, several)] if Text in metric.accepts else [(one, one), (several, several)]
        return evaluate.MetricInfo(
            description=f"{metric.card.title}: {metric.card.formula}",
            citation=metric.card.source,
            inputs_description=f"{metric.card.range}; {metric.card.failed}",
            features=[datasets.Features({"predictions": p, "references": r}) for p, r in shapes],
            reference_urls=[],
        )

    def _compute(self, predictions: Any = None, references: Any = None, **options: Any) -> dict[str, Any]:
        from radbench.metrics.functional import score

        found = score([self.config_name], list(predictions), list(references), resamples=1, **options)[self.config_name]
        if found.unavailable is not None:
            raise ValueError(f"'{self.config_name}' is unavailable: {found.unavailable}")
        return {self.config_name: found.value, "signature": found.signature, "n": found.n}
