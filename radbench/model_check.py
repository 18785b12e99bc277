"""What a model does with a few built-in cases: does it load, what does it send, how fast is it, what does it need.

Used before a long evaluation.
"""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from radbench.errors import ConfigError, RadbenchError
from radbench.model_asking import ask_all, extras, told_by
from radbench.model_cases import Case, built_in_cases
from radbench.model_results import CaseResult, ModelCheck, estimate
from radbench.records import Fitted, Image, Model, Remote, Request, Shows, Told
from radbench.registry import find_model


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
    asked, load, repeats = ask_all(model, cases, made, tell)
    asked = [_with_prompt(model, case, result) for case, result in zip(cases, asked, strict=True)]
    stopped = load is None and any(r.failed for r in asked)
    more = [] if stopped else extras(model, cases, tell)
    memory |= {"peak": _peak_memory()} | _worker_memory() | _gpu_memory()
    return ModelCheck(
        name,
        fingerprint,
        tuple(sorted(model.capabilities)),
        model.endpoint if isinstance(model, Remote) else None,
        (*asked, *more),
        load,
        repeats,
        memory,
        estimate([r for c, r in zip(cases, asked, strict=True) if c.core], load),
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
        raise ConfigError(f"model '{name}': fingerprint() failed: {told_by(error)}") from error
    if not isinstance(found, Mapping):
        raise ConfigError(f"model '{name}': fingerprint() gave {type(found).__name__}, expected a mapping of texts")
    return {str(k): str(v) for k, v in found.items()}


# --- prompts ---


def _with_prompt(model: Model, case: Case, result: CaseResult) -> CaseResult:
    """The result with the prompt as the model sends it, else as it is given to the model."""
    if result.skipped is not None:
        return result
    if isinstance(model, Shows):
        try:
            return replace(result, prompt=str(model.shown(case.request)), sent=True)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - other people's model code may raise anything
            note = f"shown() failed: {error.message if isinstance(error, RadbenchError) else told_by(error)}"
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


# --- memory ---


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
