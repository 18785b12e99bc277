"""The toy task of ours.py in inspect-ai (its own environment): constant model, exact match, log_realtime=False."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

FOLDER, N = Path(sys.argv[1]), int(sys.argv[2])


def main() -> None:
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import GenerateConfig, ModelAPI, ModelOutput, get_model, modelapi
    from inspect_ai.scorer import exact
    from inspect_ai.solver import generate

    @modelapi(name="constant")
    class Constant(ModelAPI):
        async def generate(self, input, tools, tool_choice, config):  # type: ignore[no-untyped-def]
            return ModelOutput.from_content(self.model_name, "yes")

    with (FOLDER / f"samples-{N}.jsonl").open() as f:
        rows = [json.loads(line) for line in f]
    dataset = MemoryDataset([Sample(input=r["question"], target=r["answer"], id=r["id"]) for r in rows])
    start = time.process_time()
    (log,) = eval(
        Task(dataset=dataset, solver=generate(), scorer=exact()),
        model=get_model("constant/yes", config=GenerateConfig(max_connections=200)),
        log_dir=str(FOLDER / "inspect-out"),
        display="none",
        log_realtime=False,
    )
    end = time.process_time()
    assert log.status == "success" and log.results is not None, log.error
    print(
        json.dumps(
            {
                "call_seconds": end - start,
                "process_seconds": end,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "value": next(iter(log.results.scores[0].metrics.values())).value,
            }
        )
    )


main()
