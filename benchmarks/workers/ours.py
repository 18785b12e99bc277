"""One radbench run over N text samples with a constant model; prints its CPU seconds and peak memory as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

FOLDER, N = Path(sys.argv[1]), int(sys.argv[2])


def write_task() -> Path:
    """The same questions as the peers get: one line each, exact match against the constant answer in half of them."""
    with (FOLDER / f"samples-{N}.jsonl").open("w") as f:
        for i in range(N):
            answer = "yes" if i % 2 else "no"
            f.write(
                json.dumps({"id": f"q{i}", "question": f"Question {i}: is there an effusion?", "answer": answer}) + "\n"
            )
    task = FOLDER / f"toy-{N}.yaml"
    task.write_text(
        f"name: bench/toy\nkind: vqa\ndata: {{table: samples-{N}.jsonl, access: open}}\nmetrics: [exact-match]\n"
    )
    return task


def main() -> None:
    task = FOLDER / f"toy-{N}.yaml"
    if not task.exists():
        write_task()
    if sys.argv[3:] == ["prepare"]:
        return
    imported = time.process_time()
    import radbench

    start = time.process_time()
    from radbench import runner

    answer_all, passes = runner.answer_all, [0.0]

    def timed(*arguments: Any) -> Any:
        before = time.process_time()
        outcome = answer_all(*arguments)
        passes[0] = time.process_time() - before
        return outcome

    import radbench.api

    radbench.api.answer_all = timed
    evaluation = radbench.evaluate("constant:yes", str(task), out=FOLDER / f"run-{N}")
    end = time.process_time()
    assert evaluation.results is not None
    print(
        json.dumps(
            {
                "call_seconds": end - start,
                "import_seconds": start - imported,
                "process_seconds": end,
                "answer_pass_seconds": passes[0],
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "value": evaluation.results["tasks"]["bench/toy"]["metrics"]["exact-match"]["value"],
                "asked": evaluation.outcome.asked,
            }
        )
    )


main()
