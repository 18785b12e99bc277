"""What ``radbench models check`` found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SAMPLES = 1000  # what the estimate is of


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of one case.

    ``skipped`` says why it was not asked; ``note`` is no failure; ``counts``: whether a run would take what came for an
    answer (None where it was not asked for one). ``sent``: whether ``prompt`` is what the model sends
    (else what it is given). ``seconds`` is of the whole answer, without decoding pictures;
    ``tokens_per_second`` is of the tokens written.
    """

    name: str
    skipped: str | None = None
    prompt: str = ""
    sent: bool = False
    answer: str | None = None
    reasoning: str | None = None
    failure: str | None = None
    message: str = ""
    remedy: str = ""
    note: str = ""
    counts: bool | None = None
    seconds: float = 0.0
    usage: Mapping[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return self.failure is not None

    @property
    def tokens_per_second(self) -> float | None:
        written = self.usage.get("output_tokens")
        return written / self.seconds if written and self.seconds else None


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """Everything the check found. Times in seconds, memory in bytes.

    ``load_seconds`` is of making the model and what its first answer took longer than the same one asked again;
    ``repeats`` whether that gave the same text (None where it was not asked again). ``estimate`` is for 1,000 samples
    like the three cases, one at a time.
    """

    spec: str
    fingerprint: Mapping[str, str]
    capabilities: tuple[str, ...]
    endpoint: str | None
    cases: tuple[CaseResult, ...]
    load_seconds: float | None
    repeats: bool | None
    memory: Mapping[str, int]
    estimate: Mapping[str, float]

    @property
    def ok(self) -> bool:
        """Whether nothing failed and a run would count at least one answer."""
        return any(c.counts for c in self.cases) and not any(c.failed for c in self.cases)

    @property
    def lost(self) -> tuple[str, ...]:
        """The cases that were answered in a way that a run counts as a failure."""
        return tuple(c.name for c in self.cases if c.counts is False and not c.failed)

    def as_dict(self) -> dict[str, Any]:
        cases = [asdict(c) | {"tokens_per_second": c.tokens_per_second} for c in self.cases]
        return asdict(self) | {"cases": cases, "ok": self.ok, "lost": list(self.lost)}


def estimate(results: Sequence[CaseResult], load: float | None) -> dict[str, float]:
    """Seconds, tokens and cost of 1,000 samples, from the means of the answered cases. Empty where none was answered."""
    answered = [r for r in results if r.skipped is None and not r.failed]
    if not answered:
        return {}
    seconds = sum(r.seconds for r in answered) / len(answered)
    found = {"seconds": (load or 0.0) + SAMPLES * seconds}
    for name in ("input_tokens", "output_tokens", "reasoning_tokens", "cost"):
        values = [r.usage[name] for r in answered if name in r.usage]
        if values:
            found[name] = SAMPLES * sum(values) / len(values)
    return found
