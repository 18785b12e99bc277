"""What a model does with a few built-in cases: does it load, what does it send, how fast is it, what does it need.

Used before a long evaluation. The cases are asked one at a time, as a run would ask them.
"""

from __future__ import annotations

import re
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from radbench.errors import ConfigError, ImageError, RadbenchError
from radbench.model_cases import Case, built_in_cases
from radbench.records import (
    Answer,
    Embeds,
    Failure,
    Fitted,
    Image,
    Model,
    Ranks,
    Remote,
    Request,
    Shows,
    Told,
)
from radbench.registry import find_model
from radbench.runner import normalised

SAMPLES = 1000  # what the estimate is of
_REMEDIES = {
    "transport": "is the server up, and its address and key right?",
    "input": "the adapter could not use the picture; look at its options for pictures",
    "model": "the adapter or the model raised; mend it",
    "refused": "the model or its server declined to answer",
    "empty": "the model wrote nothing; is its prompt format right, and max_new_tokens large enough?",
    "cut_off": "raise max_new_tokens",
    "unparsable": "the adapter could not read what the model gave",
}


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of one case.

    ``skipped`` says why it was not asked; ``note`` is no failure. ``sent``: whether ``prompt`` is what the model sends
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
        """Whether something was asked and nothing failed."""
        return any(c.skipped is None for c in self.cases) and not any(c.failed for c in self.cases)

    def as_dict(self) -> dict[str, Any]:
        cases = [asdict(c) | {"tokens_per_second": c.tokens_per_second} for c in self.cases]
        return asdict(self) | {"cases": cases, "ok": self.ok}


def check_model(
    spec: str | Model, folder: Path, max_new_tokens: int = 128, tell: Callable[[str], None] = lambda _: None
) -> ModelCheck:
    """Load a model and ask it the built-in cases, whose files are written below ``folder``.

    ``tell`` is given a line before whatever takes long. Raises :class:`ConfigError` where the model cannot be made, or
    only answers within a task.
    """
    started = time.perf_counter()
    model = find_model(spec)
    name = spec if isinstance(spec, str) else type(spec).__name__
    _check_stands_alone(model, name)
    made = time.perf_counter() - started
    cases = built_in_cases(folder, max_new_tokens)
    _forget_peak()
    memory = {"before": _peak_memory()}
    started = time.perf_counter()
    fingerprint = _fingerprint(model, name)  # some load for it
    made += time.perf_counter() - started
    asked, load, repeats = _ask_all(model, cases, made, tell)
    asked = [_with_prompt(model, case, result) for case, result in zip(cases, asked, strict=True)]
    stopped = load is None and any(r.failed for r in asked)
    extras = [] if stopped else _extras(model, cases, tell)
    memory |= {"peak": _peak_memory()} | _worker_memory() | _gpu_memory()
    return ModelCheck(
        name,
        fingerprint,
        tuple(sorted(model.capabilities)),
        model.endpoint if isinstance(model, Remote) else None,
        (*asked, *extras),
        load,
        repeats,
        memory,
        _estimate([r for c, r in zip(cases, asked, strict=True) if c.core], load),
    )


def _check_stands_alone(model: Model, name: str) -> None:
    """Raise :class:`ConfigError` where a model needs a task before it can answer."""
    inner = getattr(model, "inner", None)
    run = f"radbench run --model {shlex.quote(name)} --tasks demo/modality --limit 3"
    if isinstance(model, Fitted):
        needs = "it learns from the support split of a task, and the built-in cases have none"
    elif isinstance(model, Told):
        needs = "it is told the samples of a task, and the built-in cases are no task"
    else:
        return
    if inner is not None and not isinstance(inner, Fitted | Told):
        run = f"check the model inside it by itself, then {run}"
    raise ConfigError(f"model '{name}' cannot be checked by itself: {needs}", remedy=run)


def _fingerprint(model: Model, name: str) -> Mapping[str, str]:
    try:
        found: object = model.fingerprint()
    except RadbenchError:
        raise
    except Exception as error:
        raise ConfigError(f"model '{name}': fingerprint() failed: {_said(error)}") from error
    if not isinstance(found, Mapping):
        raise ConfigError(f"model '{name}': fingerprint() gave {type(found).__name__}, expected a mapping of texts")
    return {str(k): str(v) for k, v in found.items()}


def _ask_all(
    model: Model, cases: Sequence[Case], made: float, tell: Callable[[str], None]
) -> tuple[list[CaseResult], float | None, bool | None]:
    """The results of the cases, the seconds of loading, and whether the first answer came again.

    The first case that is answered is asked twice: what it took longer the first time was loading. A model that raises
    before it has answered anything is not asked on: most likely it could not be loaded, and would be loaded each time.
    """
    results: list[CaseResult] = []
    load: float | None = None
    repeats: bool | None = None
    stopped = False
    for case in cases:
        lacking = sorted(case.needs - model.capabilities)
        if lacking or stopped:
            why = (
                f"the model does not claim {' and '.join(lacking)}" if lacking else "the model stopped before this case"
            )
            results.append(CaseResult(case.name, skipped=why))
            continue
        tell(f"asking about {case.name}" + (" (the model is loaded first)" if load is None else ""))
        result, raised = _asked(model, case)
        if load is None and not result.failed:
            again, _ = _asked(model, case)
            load = made + max(0.0, result.seconds - again.seconds)
            repeats = None if again.failed else again.answer == result.answer
            result = replace(result, seconds=min(result.seconds, again.seconds))
        stopped = raised and load is None
        results.append(result)
    return results, load, repeats


def _asked(model: Model, case: Case) -> tuple[CaseResult, bool]:
    """One case asked; whether the model raised instead of answering."""
    request = case.request
    if "blind" not in model.capabilities:
        for image in request.images:
            image.load()  # a run decodes ahead of the model too
    started = time.perf_counter()
    answer, remedy, raised = _answer(model, request)
    seconds = time.perf_counter() - started
    answer = normalised(answer)
    shown, note, failure = _described(answer, request)
    kind = failure.kind if failure else None
    if kind == "cut_off" and answer.text:
        kind, note = None, f"cut off at {request.generation.max_new_tokens} tokens, which a run counts as a failure"
    result = CaseResult(
        case.name,
        answer=shown,
        reasoning=answer.reasoning,
        failure=kind,
        message=failure.message if failure and kind else "",
        remedy=remedy or _REMEDIES.get(kind or "", ""),
        note=note,
        seconds=seconds,
        usage={str(k): float(v) for k, v in answer.usage.items()},
    )
    return result, raised


def _answer(model: Model, request: Request) -> tuple[Answer, str, bool]:
    """The model's answer to one request, a remedy where there is one of its own, and whether it raised."""
    try:
        given: list[Any] = list(islice(model.answer(iter([request])), 2))
    except ImageError as error:
        return Answer(failure=Failure("input", error.message)), error.remedy, True
    except RadbenchError as error:
        return Answer(failure=Failure("model", error.message)), error.remedy, True
    except (Exception, SystemExit) as error:  # noqa: BLE001 - other people's model code may raise anything
        return Answer(failure=Failure("model", _said(error))), "", True
    if len(given) != 1:
        said = "no answer" if not given else "more than one answer"
        return _broken(f"the model yielded {said} to one request"), "", False
    pair = given[0] if isinstance(given[0], tuple) and len(given[0]) == 2 else (None, None)
    if not isinstance(pair[0], Request) or not isinstance(pair[1], Answer):
        what = type(given[0]).__name__
        return _broken(f"the model yielded {what}, expected a pair of the request and an Answer"), "", False
    if pair[0].key != request.key:
        return _broken("the model answered a request that it was not given"), "", False
    return pair[1], "", False


def _broken(why: str) -> Answer:
    return Answer(failure=Failure("model", why))


def _said(error: BaseException) -> str:
    """An exception with the place where it was raised: the last lines of a traceback, in one."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno}, in {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}: {error}{at}"


def _described(answer: Answer, request: Request) -> tuple[str | None, str, Failure | None]:
    """An answer as text, a note, and its failure: one it came with, or that there is nothing in it."""
    parts = [answer.text] if answer.text else []
    if answer.boxes is not None:
        boxes = (f"{b.label} [{b.x0:g}, {b.y0:g}, {b.x1:g}, {b.y1:g}] score {b.score:g}" for b in answer.boxes)
        parts.append("boxes: " + ("; ".join(boxes) or "none"))
    failure = answer.failure
    if answer.mask is not None:
        size, shape = request.images[0].load().size, tuple(answer.mask.shape)
        parts.append(f"mask of {'x'.join(map(str, shape))}, {int(answer.mask.astype(bool).sum()):,} inside")
        if shape != size and failure is None:
            failure = Failure("unparsable", f"the mask has shape {shape}, the picture {size}")
    if answer.scores is not None:
        parts.append("scores: " + ", ".join(f"{option} {score:.4g}" for option, score in answer.scores.items()))
    if not parts and failure is None:
        failure = Failure("empty", "the answer holds nothing")
    note = ""
    if failure is None and request.form != "text" and getattr(answer, request.form) is None:
        reads = "the task's parser reads them from it" if request.form == "boxes" else "a run counts it as a failure"
        note = f"answered with text where {request.form} {'were' if request.form == 'boxes' else 'was a'} asked for"
        note = f"{note.replace('was a asked', 'was asked')}: {reads}"
    return "\n".join(parts) or None, note, failure


# --- what else a model claims ---


def _extras(model: Model, cases: Sequence[Case], tell: Callable[[str], None]) -> list[CaseResult]:
    """Ranked choices and embeddings, where the model claims them."""
    by_name = {c.name: c for c in cases}
    found = []
    if "logprobs" in model.capabilities and isinstance(model, Ranks):
        tell("ranking choices")
        one = by_name["two images" if "multi_image" in model.capabilities else "one image"].request
        options = by_name["two images"].request.choices
        found.append(_tried("ranked choices", lambda: _ranked(model, one, options)))
    if "embed" in model.capabilities:
        tell("embedding pictures")
        pictures = by_name["two images"].request.images
        found.append(_tried("embeddings", lambda: _embedded(model, pictures)))
    return found


def _tried(name: str, call: Callable[[], str]) -> CaseResult:
    started = time.perf_counter()
    try:
        said = call()
    except RadbenchError as error:
        return CaseResult(name, failure="model", message=error.message, remedy=error.remedy)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - other people's model code may raise anything
        return CaseResult(name, failure="model", message=_said(error), remedy=_REMEDIES["model"])
    return CaseResult(name, answer=said, seconds=time.perf_counter() - started)


def _ranked(model: Ranks, request: Request, options: Sequence[str]) -> str:
    import math

    rows = model.loglikelihood([request], [options])
    if len(rows) != 1 or len(rows[0]) != len(options) or not all(math.isfinite(v) for v in rows[0]):
        raise ConfigError(f"loglikelihood() gave {rows!r}, expected one row of {len(options)} finite numbers")
    return ", ".join(f"{option} {value:.4f}" for option, value in zip(options, rows[0], strict=True))


def _embedded(model: Model, pictures: Sequence[Image]) -> str:
    import numpy as np

    if not isinstance(model, Embeds):
        raise ConfigError("the model claims 'embed' and has no embed()")
    found = np.asarray(model.embed(pictures))
    if found.ndim != 2 or len(found) != len(pictures) or not np.isfinite(found).all():
        raise ConfigError(f"embed() gave shape {found.shape}, expected ({len(pictures)}, d) finite numbers")
    lengths = np.linalg.norm(found, axis=1)
    cosine = float(found[0] @ found[1] / max(float(lengths[0] * lengths[1]), 1e-12))
    return f"{found.shape[1]} numbers a picture; cosine of the current and the prior {cosine:.4f}"


# --- prompts, memory, estimate ---


def _with_prompt(model: Model, case: Case, result: CaseResult) -> CaseResult:
    """The result with the prompt as the model sends it, else as it is given to the model."""
    if result.skipped is not None:
        return result
    if isinstance(model, Shows):
        try:
            return replace(result, prompt=str(model.shown(case.request)), sent=True)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - other people's model code may raise anything
            note = f"shown() failed: {error.message if isinstance(error, RadbenchError) else _said(error)}"
            result = replace(result, note="; ".join(filter(None, (result.note, note))))
    return replace(result, prompt=given_prompt(case.request))


def given_prompt(request: Request) -> str:
    """A request as text, its pictures as ``<image 224x224>`` (width by height) and volumes as ``<volume 112x112x84>``."""
    lines = []
    for message in request.messages:
        parts = (p if isinstance(p, str) else _placeholder(p) for p in message.content)
        lines.append(f"{message.role}: {''.join(parts)}")
    return "\n".join(lines)


def _placeholder(image: Image) -> str:
    picture = image.load()
    if picture.is_volume:
        return f"<volume {'x'.join(map(str, picture.size))}>"
    height, width = picture.size
    return f"<image {width}x{height}>"


def _forget_peak() -> None:
    """Start the peak of :func:`_peak_memory` anew, where Linux lets us: drawing the cases took memory too."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_memory() -> int:
    """The largest resident size of this process so far, in bytes."""
    if (known := _peak_of("self")) is not None:
        return known
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _peak_of(process: str) -> int | None:
    """The largest resident size of a process so far, in bytes; None where it has ended, or this is not Linux."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None


def _worker_memory() -> dict[str, int]:
    """The same of the processes that the model has started and not ended, together, where Linux tells."""
    listed = Path("/proc/self/task").glob("*/children")
    found = sum(_peak_of(process) or 0 for children in listed for process in children.read_text().split())
    return {"workers": found} if found else {}


def _gpu_memory() -> dict[str, int]:
    """The most that each GPU's tensors took, where the model brought torch along and used one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return {}
    return {f"cuda:{i}": int(torch.cuda.max_memory_allocated(i)) for i in range(torch.cuda.device_count())}


def _estimate(results: Sequence[CaseResult], load: float | None) -> dict[str, float]:
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
