"""``radbench models check``: what a user runs before a long evaluation."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from radbench.cli.base import prints_elsewhere
from radbench.errors import ConfigError, Exit
from radbench.model_check import check_model
from radbench.model_results import SAMPLES, CaseResult, ModelCheck
from radbench.report import clean

_REPEATED = re.compile(r"(<[^<>\s]{1,40}>)(?:\1){3,}")
_MARGIN = "     "


def check(spec: str, keep: str | None, max_new_tokens: int, as_json: bool) -> int:
    """Load a model, ask it the built-in cases and print what came of it.

    1 where it cannot be loaded, a case fails, or a run would count every answer as a failure.

    ``keep`` is a new or empty folder for the cases' files, which are else gone afterwards.
    """
    with ExitStack() as stack:
        stack.enter_context(prints_elsewhere(as_json))
        if keep is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="radbench-check-")))
        else:
            folder = Path(keep).expanduser()
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise ConfigError(f"--keep {keep}: is not empty", remedy="give a new folder")
        found = check_model(spec, folder, max_new_tokens, _teller(as_json))
    if as_json:
        print(json.dumps(found.as_dict()))
    else:
        print("\n".join(lines(found)))
    return int(Exit.OK if found.ok else Exit.FAILED)


def _teller(quiet: bool) -> Callable[[str], None]:
    """On a terminal, what is being done goes to standard error; elsewhere nothing."""
    if quiet or not sys.stderr.isatty():
        return lambda _: None
    return lambda what: print(f"radbench: {what} ...", file=sys.stderr)


def lines(found: ModelCheck) -> Iterator[str]:
    """The report as people read it; what the model wrote cannot steer the terminal."""
    yield clean(f"model: {found.fingerprint.get('name', found.spec)}")
    yield clean(f"claims: {', '.join(found.capabilities) or 'nothing'}")
    if found.endpoint is not None:
        yield clean(f"endpoint: {found.endpoint} (only the made-up cases were sent there)")
    yield "fingerprint:"
    yield from (clean(f"  {key}: {value}") for key, value in found.fingerprint.items())
    for number, case in enumerate((c for c in found.cases if c.skipped is None), 1):
        yield ""
        yield from _case_lines(number, case)
    yield ""
    yield from (f"not asked: {c.name}: {c.skipped}" for c in found.cases if c.skipped is not None)
    yield from _summary(found)


def _case_lines(number: int, case: CaseResult) -> Iterator[str]:
    yield f"{number}. {case.name}: {'FAILED' if case.failed else 'answered'}"
    if case.prompt:
        yield "   prompt as sent:" if case.sent else "   prompt as given to the model (it does not show what it sends):"
        yield from _block(_REPEATED.sub(_counted, case.prompt))
    if case.reasoning:
        yield "   reasoning:"
        yield from _block(case.reasoning)
    if case.answer is not None:
        yield "   answer:"
        yield from _block(case.answer)
    if case.failed:
        yield clean(f"   failure: {case.failure}: {case.message}")
        if case.remedy:
            yield clean(f"   -> {case.remedy}")
    if case.note:
        yield clean(f"   note: {case.note}")
    yield f"   {_speed(case)}"


def _counted(match: re.Match[str]) -> str:
    """A token that stands many times in a row, once, with its count."""
    return f"{match.group(1)}×{len(match.group()) // len(match.group(1))}"


def _block(text: str) -> Iterator[str]:
    yield from (_MARGIN + clean(line) for line in text.split("\n"))


def _speed(case: CaseResult) -> str:
    parts = [f"{case.seconds:.2f} s"]
    names = {"input_tokens": "tokens in", "output_tokens": "tokens out", "reasoning_tokens": "of them reasoning"}
    parts += [f"{case.usage[key]:,.0f} {name}" for key, name in names.items() if key in case.usage]
    if "cost" in case.usage:
        parts.append(f"cost {case.usage['cost']:.4g}")
    if case.tokens_per_second is not None:
        parts.append(f"{case.tokens_per_second:.1f} tokens/s")
    return ", ".join(parts)


def _summary(found: ModelCheck) -> Iterator[str]:
    if found.repeats is not None:
        yield f"the first case asked again: {'the same answer' if found.repeats else 'ANOTHER ANSWER'}"
    if found.load_seconds is not None:
        yield f"loading: {found.load_seconds:.1f} s (what the first answer took longer than the same one asked again)"
    memory = found.memory
    yield f"memory: at most {_size(memory['peak'])}, {_size(memory['before'])} of it before the model was asked"
    more = (name for name in memory if name not in ("before", "peak"))
    yield from (f"memory of {name}: at most {_size(memory[name])}" for name in more)
    if estimate := found.estimate:
        said = [f"{SAMPLES:,} samples like these, one at a time: about {_duration(estimate['seconds'])}"]
        said += [f"{estimate[k]:,.0f} {k.replace('_', ' ')}" for k in estimate if k.endswith("_tokens")]
        said += [f"cost {estimate['cost']:.2f}"] if "cost" in estimate else []
        yield ", ".join(said)
        yield "  (batches and parallel requests are faster; longer answers slower)"
    asked = [c for c in found.cases if c.skipped is None]
    failed = [c.name for c in asked if c.failed]
    if failed or not asked:
        yield f"NOT READY: {'failed: ' + ', '.join(failed) if failed else 'the model claims none of the cases'}"
    elif found.lost:
        counted = sum(c.counts is not None for c in asked)
        verdict = f"answered, but a run would count {len(found.lost)} of {counted} as failures: {', '.join(found.lost)}"
        yield verdict if found.ok else f"NOT READY: {verdict}"
    else:
        yield f"ready: {len(asked)} cases asked, all answered"


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
