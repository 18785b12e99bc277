"""The other end of a hosted model: one model in an environment of its own, answering JSON lines.

Run by path, ``python worker.py FILE.py:Class [SETUP]``, with any Python from 3.8 on: radbench need not be installed there,
numpy and Pillow only where volumes, masks or pictures come. Also ``radbench worker``. The protocol, version 1:

- first line out: ``{"protocol": 1, "capabilities": [...], "endpoint", "python", "packages": {...}}``, or ``{"error": {...}}``
- a line in: ``{"id", "turns": [{"role", "parts": [{"text"} | {"image": PNG} | {"volume": NPY, "spacing"}]}], "choices",
  "form", "generation"}``
- a line out for each: ``{"id", "answer": {"text" | "boxes" | "scores" | "usage" | "finish"}, "mask": NPY, "seconds"}`` or
  ``{"id", "error": {"type", "message", "frames"}}``

``SETUP`` is JSON: ``arguments`` and ``options`` of the class, ``checkout`` (a folder for ``sys.path``) and ``folder`` (where
masks go; removed at the end). At the end of its input the worker ends, in the middle of an answer if it must.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__" and sys.path and os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
    del sys.path[0]  # files beside this one are called openai.py and vllm.py as the packages are

import contextlib
import importlib.util
import json
import shutil
import tempfile
import threading
import time
import traceback
from queue import Queue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    import numpy as np

PROTOCOL = 1
GRACE = 2.0  # seconds that a model gets to finish once nobody listens any more
MESSAGE = 300  # characters kept of what model code raises
PACKAGES = ("numpy", "pillow", "torch", "torchvision", "transformers", "tokenizers", "peft", "accelerate")
_KEYS = ("text", "boxes", "mask", "scores", "usage", "finish")
_GENERATION = {"max_new_tokens": 512, "temperature": 0.0, "top_p": 1.0, "stop": [], "seed": 0}
_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_SWITCHES = (("huggingface_hub.constants", "HF_HUB_OFFLINE"), ("transformers.utils.hub", "_is_offline_mode"))


class Volume:
    """A volume as model code gets it: ``array`` (X, Y, Z) float32, RAS+, stored units; ``spacing`` in mm."""

    def __init__(self, array: np.ndarray, spacing: tuple[float, ...]) -> None:
        self.array = array
        self.spacing = spacing


def load_class(target: str) -> type:
    """The class that ``FILE.py:Class`` names; without a name, the only one of the file that has ``answer``."""
    path, _, name = (target, "", "") if target.endswith(".py") else target.rpartition(":")
    module_name = "hosted_" + os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses of the file look it up
    spec.loader.exec_module(module)
    if name:
        return getattr(module, name)
    own = [v for v in vars(module).values() if isinstance(v, type) and v.__module__ == module_name]
    found = [v for v in own if hasattr(v, "answer")]
    if len(found) != 1:
        raise ImportError(f"{path} has {len(found)} classes with a method 'answer'; name one: FILE.py:Class")
    return found[0]


@contextlib.contextmanager
def loading(checkout: str | None) -> Iterator[None]:
    """While a model is loaded in a process of others: as in a worker, where it stays so."""
    before = {name: os.environ.get(name) for name in _VARIABLES}
    at_home(checkout)
    try:
        yield
    finally:
        if checkout in sys.path:
            sys.path.remove(checkout)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        _offline((before["HF_HUB_OFFLINE"] or "").upper() in ("1", "ON", "YES", "TRUE"))


def at_home(checkout: str | None) -> None:
    """Put ``checkout`` first on ``sys.path``, and let the Hugging Face hub be nothing but its cache."""
    os.environ.update(dict.fromkeys(_VARIABLES, "1"))
    _offline(True)
    if checkout:
        sys.path.insert(0, checkout)


def _offline(on: bool) -> None:
    """The same for what has read the variables already."""
    for module, name in _SWITCHES:
        if hasattr(sys.modules.get(module), name):
            setattr(sys.modules[module], name, on)
    renew = getattr(sys.modules.get("huggingface_hub.utils"), "reset_sessions", None)
    if renew:
        renew()


def ask(model: Any, turns: list[Any], choices: list[str], form: str, generation: dict[str, Any]) -> dict[str, Any]:
    """A reply of the protocol without its id; ``mask`` is still an array. What model code raises is told, never raised.

    The model's ``generation`` also has ``sampling``: what ``generate`` of transformers takes for the temperature and top_p.
    """
    generation = {**_GENERATION, **generation, "sampling": {"do_sample": False}}
    if generation["temperature"] > 0:
        drawn = {"temperature": generation["temperature"], "top_p": generation["top_p"], "top_k": 0}
        generation["sampling"] = {"do_sample": True, **drawn}
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(generation["seed"])
    started = time.perf_counter()
    try:
        answer, mask = plain(model.answer(turns, choices, form, generation))
        seconds = time.perf_counter() - started
        return {"answer": answer, "seconds": seconds, **({} if mask is None else {"mask": mask})}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - other people's code may raise anything; it is counted
        failed = told(error)
    if "out of memory" in failed["message"].lower() and "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()  # what the failed call held must not fail the next one
    return {"error": failed}


def plain(value: Any) -> tuple[dict[str, Any], np.ndarray | None]:
    """What a model returned as JSON values, and its mask. Raises TypeError or ValueError."""
    if isinstance(value, str):
        return {"text": value}, None
    if not isinstance(value, dict):
        raise TypeError(f"answer() returned {type(value).__name__}, expected str, or a dict of {', '.join(_KEYS)}")
    unknown = sorted(str(key) for key in value if key not in _KEYS)
    if unknown:
        raise ValueError(f"answer() returned {', '.join(unknown)}, expected {', '.join(_KEYS)}")
    answer: dict[str, Any] = {}
    if value.get("text") is not None:
        if not isinstance(value["text"], str):
            raise TypeError(f"text is {type(value['text']).__name__}, expected str")
        answer["text"] = value["text"]
    if value.get("finish") is not None:
        answer["finish"] = str(value["finish"])
    if value.get("boxes") is not None:
        answer["boxes"] = [_box(box) for box in value["boxes"]]
    for key in ("scores", "usage"):
        if value.get(key) is not None:
            answer[key] = {str(name): float(number) for name, number in value[key].items()}
    return answer, None if value.get("mask") is None else _mask(value["mask"])


def _box(box: Any) -> list[Any]:
    label, numbers = box[0], [float(number) for number in box[1:]]
    if len(numbers) not in (4, 5):
        raise ValueError(f"a box has {len(numbers)} numbers, expected [label, x0, y0, x1, y1] or a score behind them")
    return [str(label)] + numbers  # noqa: RUF005 - as Python 3.8 has it


def _mask(mask: Any) -> np.ndarray:
    import numpy as np

    array = np.asarray(mask.detach().cpu() if hasattr(mask, "detach") else mask)
    if array.dtype.kind not in "bui":
        raise TypeError(f"mask is {array.dtype}, expected bool: choose the threshold in the model")
    return array.astype(bool)


def told(error: BaseException) -> dict[str, Any]:
    """An error for the protocol: its type, the beginning of its message, and the innermost lines of code it came from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    places = [f"{os.path.basename(f.filename)}:{f.lineno} in {f.name}" for f in frames[-8:]]
    return {"type": type(error).__name__, "message": str(error)[:MESSAGE], "frames": places}


def read_turns(turns: list[Any]) -> list[Any]:
    """The turns of a request as model code gets them: (role, parts), files read."""
    return [(turn["role"], [_part(part) for part in turn["parts"]]) for turn in turns]


def _part(part: dict[str, Any]) -> Any:
    if "text" in part:
        return part["text"]
    if "image" in part:
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = None  # the file was written for us by the other end
        with Image.open(part["image"]) as image:
            return image.convert("RGB")
    import numpy as np

    return Volume(np.load(part["volume"], allow_pickle=False), tuple(part["spacing"]))


def _respond(model: Any, line: str, folder: str) -> dict[str, Any]:
    request = json.loads(line)
    reply: dict[str, Any] = {"id": request["id"]}
    try:
        turns = read_turns(request["turns"])
    except (ImportError, OSError, ValueError) as error:
        reply["error"] = told(error)
        if isinstance(error, ImportError):
            reply["error"]["message"] += "; pictures need pillow in this environment, volumes numpy"
        return reply
    reply.update(
        ask(model, turns, request.get("choices") or [], request.get("form") or "text", request.get("generation") or {})
    )
    if "mask" in reply:
        import numpy as np

        path = os.path.join(folder, f"{request['id']}-mask.npy")
        np.save(path, reply["mask"], allow_pickle=False)
        reply["mask"] = path
    return reply


def _hello(model: Any) -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    capabilities = sorted(getattr(type(model), "capabilities", ("text",)))
    python = sys.version.split()[0]
    endpoint = getattr(model, "endpoint", None)
    return {
        "protocol": PROTOCOL, "capabilities": capabilities, "endpoint": endpoint, "python": python, "packages": packages,
    }  # fmt: skip


def _private_streams() -> tuple[TextIO, TextIO]:
    """Streams of the protocol alone: what model code prints goes to standard error, and what it reads is empty."""
    sys.stdout.flush()
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _lines(stream: TextIO, folder: str) -> Iterator[str]:
    """Lines as they come. Where the input ends in the middle of an answer, the process ends shortly after it."""
    waiting: Queue[str | None] = Queue()

    def read() -> None:
        for line in stream:
            if line.strip():
                waiting.put(line)
        waiting.put(None)
        time.sleep(GRACE)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=read, daemon=True).start()  # now: the input may end while the model is loading
    return iter(waiting.get, None)


def serve(target: str, setup: dict[str, Any]) -> int:
    """Load the model that ``target`` names and answer until the input ends. The exit code: 1 where it cannot be loaded."""
    requests, answers = _private_streams()
    folder = setup.get("folder") or tempfile.mkdtemp(prefix="radbench-worker-")

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    lines = _lines(requests, folder)
    try:
        model = _loaded(target, setup)
        if isinstance(model, dict):
            say(model)
            return 1
        say(_hello(model))
        for line in lines:
            say(_respond(model, line, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _loaded(target: str, setup: dict[str, Any]) -> Any:
    """The model, or what to say where it cannot be loaded."""
    try:
        at_home(setup.get("checkout"))
        return load_class(target)(*setup.get("arguments", ()), **setup.get("options", {}))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a constructor may raise anything; the other end is told
        return {"error": told(error)}


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit("usage: python worker.py FILE.py:Class [SETUP-JSON]")
    sys.exit(serve(sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) == 3 else {}))
