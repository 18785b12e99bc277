"""METEOR 1.5 (Denkowski and Lavie 2014): the statistics come from its own Java program, the score is computed here.

The program is the jar inside the PyPI package pycocoevalcap. Its statistics of a segment add up over a corpus, so the corpus
score that pycocoevalcap reports, and its interval, follow from the rows. Parameters: English, task "rank".
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from radbench.metrics.base import Additive, Card, State, one_of, ratio, references, said

from radbench.errors import RadbenchError
from radbench.records import Prediction, Target, Text
from radbench.statistics import Floats

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
STAGES = {"exact": 1.0, "stem": 0.6, "synonym": 0.8, "paraphrase": 0.6}
_SIDES = ("hyp_content", "ref_content", "hyp_function", "ref_function")
COLUMNS = (
    "hyp_len", "ref_len", "hyp_function_words", "ref_function_words",
    *(f"{stage}_{side}" for stage in STAGES for side in _SIDES),
    "chunks", "hyp_matches", "ref_matches",
)  # fmt: skip


def jar() -> Path | None:
    """The METEOR 1.5 jar of an installed pycocoevalcap, or None."""
    spec = find_spec("pycocoevalcap")
    places = [] if spec is None else spec.submodule_search_locations or []
    return next((p for place in places if (p := Path(place) / "meteor" / "meteor-1.5.jar").is_file()), None)


@cache
def _program() -> subprocess.Popen[str]:
    found = jar()
    assert found is not None, "unavailable() says so first"
    command = ["java", "-Xmx2G", "-jar", found.name, "-", "-", "-stdio", "-l", "en", "-norm"]
    process = subprocess.Popen(
        command,
        cwd=found.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def statistics(hypothesis: str, alternatives: Sequence[str]) -> list[float]:
    """The program's 23 numbers for a segment. Raises :class:`RadbenchError` where it ends or answers otherwise."""
    process = _program()
    assert process.stdin is not None and process.stdout is not None
    fields = [" ".join(text.replace("|||", "").split()) for text in (*alternatives, hypothesis)]
    try:
        process.stdin.write(" ||| ".join(["SCORE", *fields]).encode("utf-8", "replace").decode() + "\n")
        process.stdin.flush()
        numbers = [float(n) for n in process.stdout.readline().split()]
    except (OSError, ValueError) as error:
        raise RadbenchError(f"METEOR's Java program failed: {error}") from None
    if len(numbers) != len(COLUMNS):
        _program.cache_clear()
        raise RadbenchError(f"METEOR's Java program gave {len(numbers)} numbers, expected {len(COLUMNS)}")
    values = dict(zip(COLUMNS, numbers, strict=True))
    if (
        values["chunks"] == 1
        and values["hyp_matches"] == values["hyp_len"]
        and values["ref_matches"] == values["ref_len"]
    ):
        numbers[COLUMNS.index("chunks")] = (
            0.0  # a text matched as a whole is not fragmented, in the program's totals either
        )
    return numbers


def score_of(sums: Floats) -> Floats:
    """(...) scores of (..., 23) summed statistics."""
    part = {name: sums[..., i] for i, name in enumerate(COLUMNS)}

    def rate(side: str) -> Floats:
        matched = sum(
            w * (DELTA * part[f"{stage}_{side}_content"] + (1 - DELTA) * part[f"{stage}_{side}_function"])
            for stage, w in STAGES.items()
        )
        function = part[f"{side}_function_words"]
        possible = DELTA * (part[f"{side}_len"] - function) + (1 - DELTA) * function
        return ratio(np.asarray(matched), possible, undefined=0.0)

    precision, recall = rate("hyp"), rate("ref")
    with np.errstate(divide="ignore"):
        mean = 1 / ((1 - ALPHA) / precision + ALPHA / recall)
    fragmentation = ratio(part["chunks"], (part["hyp_matches"] + part["ref_matches"]) / 2, undefined=0.0)
    return np.where((precision > 0) & (recall > 0), mean * (1 - GAMMA * fragmentation**BETA), 0.0)


class MeteorJava(Additive):
    """METEOR 1.5; ``avg=corpus`` is the program's own total (pycocoevalcap), ``sample`` the mean over samples."""

    accepts = (Text,)

    def __init__(self, avg: Literal["corpus", "sample"] = "corpus") -> None:
        one_of("avg", avg, ("corpus", "sample"))
        self.avg = avg
        self.card = Card(
            "METEOR 1.5 (Java)",
            "weighted F of exact, stem, synonym and paraphrase matches x (1 - 0.6 (chunks / matches)^0.2)",
            "0 to 1, higher is better",
            "Denkowski and Lavie 2014; meteor-1.5.jar of pycocoevalcap 1.2, -l en -norm",
            valid_for="any modality; English; another scale than NLTK's METEOR",
            failed="a failed answer counts as an empty text",
        )

    def columns(self, state: State) -> tuple[str, ...]:
        return COLUMNS if self.avg == "corpus" else ("sum", "n")

    def rows(self, predictions: Sequence[Prediction], targets: Sequence[Target], state: State) -> Floats:
        pairs = zip(predictions, targets, strict=True)
        rows = np.array([statistics(said(p), references(t)) for p, t in pairs], dtype=np.float64).reshape(
            -1, len(COLUMNS)
        )
        return rows if self.avg == "corpus" else np.stack([score_of(rows), np.ones(len(rows))], axis=1)

    def reduce(self, sums: Floats, state: State) -> Floats:
        return score_of(sums) if self.avg == "corpus" else ratio(sums[..., 0], sums[..., 1])

    def signature(self, state: State) -> str:
        return f"meteor-1.5|lang:en|norm:yes|task:rank|avg:{self.avg}|v:1"

    def unavailable(self) -> str | None:
        if jar() is None:
            return "METEOR 1.5 comes with pycocoevalcap, which is not installed: pip install 'radbench[java]'"
        return (
            None
            if shutil.which("java")
            else "METEOR 1.5 needs Java, which is not installed: apt-get install default-jre-headless"
        )


METRICS = {"meteor-java": MeteorJava}
