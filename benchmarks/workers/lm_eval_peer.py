"""The toy task of ours.py in lm-eval (its own environment): constant model, exact match, samples logged to disk."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

FOLDER, N = Path(sys.argv[1]), int(sys.argv[2])


def main() -> None:
    from lm_eval import evaluator
    from lm_eval.api.model import LM
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.loggers import EvaluationTracker

    class Constant(LM):
        def generate_until(self, requests, disable_tqdm=False):  # type: ignore[no-untyped-def]
            return ["yes" for _ in requests]

        def loglikelihood(self, requests, disable_tqdm=False):  # type: ignore[no-untyped-def]
            raise AssertionError("the toy task generates")

        loglikelihood_rolling = loglikelihood

    task = ConfigurableTask(
        config={
            "task": "toy",
            "dataset_path": "json",
            "dataset_kwargs": {
                "data_files": {"test": str(FOLDER / f"samples-{N}.jsonl")},
                "cache_dir": str(FOLDER / "datasets-cache"),
            },
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "{{question}}",
            "doc_to_target": "{{answer}}",
            "generation_kwargs": {"until": ["\n"]},
            "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        }
    )
    start = time.process_time()
    results = evaluator.simple_evaluate(model=Constant(), tasks=[task], log_samples=True)
    evaluated = time.process_time()
    tracker = EvaluationTracker(output_path=str(FOLDER / "lm-eval-out"))
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    tracker.save_results_samples(task_name="toy", samples=samples["toy"])
    end = time.process_time()
    print(
        json.dumps(
            {
                "call_seconds": end - start,
                "unsaved_seconds": evaluated - start,
                "process_seconds": end,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "value": results["results"]["toy"]["exact_match,none"],
            }
        )
    )


main()
