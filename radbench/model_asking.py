"""How ``radbench models check`` asks: the cases one at a time, as a run would, and what else the model claims."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from radbench.errors import ConfigError, ImageError, RadbenchError
from radbench.model_cases import Case
from radbench.model_results import CaseResult
from radbench.records import Answer, Embeds, Failure, Image, Model, Ranks, Request
from radbench.runner import normalised

_REMEDIES = {
    "transport": "is the server up, and its address and key right?",
    "input": "the adapter could not use the picture; look at its options for pictures",
    "model": "the adapter or the model raised; mend it",
    "refused": "the model or its server declined to answer",
    "empty": "the model wrote nothing; is its prompt format right, and max_new_tokens large enough?",
    "cut_off": "raise max_new_tokens",
    "unparsable": "the adapter could not read what the model gave",
}


def ask_all(
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
    counts = kind is None and (request.form != "mask" or answer.mask is not None)
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
        counts=counts,
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
        return Answer(failure=Failure("model", told_by(error))), "", True
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


def told_by(error: BaseException) -> str:
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


def extras(model: Model, cases: Sequence[Case], tell: Callable[[str], None]) -> list[CaseResult]:
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
        return CaseResult(name, failure="model", message=told_by(error), remedy=_REMEDIES["model"])
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
