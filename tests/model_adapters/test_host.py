"""Hosted models: the same answers in this process and in a worker of another environment, and every way they fail."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from radbench.model_adapters.host import Hosted, Worker
from radbench.model_adapters.hosting import worker
from radbench.model_adapters.hosting.wire import pack
from radbench.tasks.phantom.cohort import write_cohort

import radbench
from radbench.errors import ConfigError, Interrupted, ModelError
from radbench.records import Answer, Failure, Generation, Image, Message, Remote, Request, Shows
from radbench.registry import construct, find_model

EXAMPLES = Path(__file__).parents[2] / "examples"
OWN = EXAMPLES / "own_data"

LOOKS = '''
from __future__ import annotations
import hashlib, sys

class Looks:
    """Answers with what it was given, so that any difference shows."""
    hosted = True
    name = "looks"
    capabilities = ("text", "boxes", "mask2d", "mask3d", "multi_image", "volumes")

    def __init__(self, weights="none", threshold=100):
        print("loading")
        self.threshold = threshold

    @staticmethod
    def prompt(turns, choices=(), form="text", threshold=0):
        said = ["<picture>" if not isinstance(p, str) else p for _, parts in turns for p in parts]
        return f"{threshold}|{form}|" + "|".join(said)

    def answer(self, turns, choices, form, generation):
        import numpy as np
        print("answering", flush=True)
        pictures = [p for _, parts in turns for p in parts if not isinstance(p, str)]
        arrays = [p.array if hasattr(p, "spacing") else np.asarray(p) for p in pictures]
        if form == "mask":
            first = arrays[0]
            return {"mask": (first if hasattr(pictures[0], "spacing") else first[..., 0]) > self.threshold}
        if form == "boxes":
            ys, xs = np.nonzero(arrays[0][..., 0] > self.threshold)
            return {"boxes": [["disk", xs.min(), ys.min(), xs.max() + 1, ys.max() + 1, np.float32(0.5)]]}
        seen = hashlib.sha256()
        for picture, array in zip(pictures, arrays):
            seen.update(f"{array.dtype}{array.shape}{getattr(picture, 'spacing', picture.__class__.__name__)}".encode())
            seen.update(array.tobytes())
        texts = [p for _, parts in turns for p in parts if isinstance(p, str)]
        options = [repr(x) for x in (texts, [r for r, _ in turns], choices, form, sorted(generation.items()))]
        seen.update("|".join(options).encode())
        scores = {c: i / 3 for i, c in enumerate(choices)} or None
        return {"text": f"<think>hm</think>{seen.hexdigest()}", "scores": scores, "usage": {"output_tokens": 7}}
'''

HELLO = '{"protocol": 1, "capabilities": ["text"], "python": "?", "packages": {}}'

FAULTY = """
import os, sys, time

class Faulty:
    capabilities = ("text",)

    def __init__(self, start="well", count="/nowhere"):
        if start == "exit": os._exit(3)
        if start == "noise": sys.stderr.write("no such device\\n"); raise RuntimeError("cannot load")
        if start == "missing": import no_such_package
        if start == "hang": time.sleep(60)
        if count != "/nowhere": open(count, "a").write("x")

    def answer(self, turns, choices, form, generation):
        said = turns[-1][1][-1]
        if said == "segfault": os.kill(os.getpid(), 11)
        if said == "exit": sys.stderr.write(f"device lost while reading {said}\\n"); os._exit(7)
        if said == "hang": time.sleep(60)
        if said == "raise": raise ValueError(f"secret of the patient: {turns[-1][1][0]}")
        if said == "oom": raise RuntimeError("CUDA out of memory. Tried to allocate 9 GiB")
        if said == "cuda": raise RuntimeError("CUDA error: device-side assert triggered")
        if said == "quit": sys.exit("bye")
        if said == "list": return ["text"]
        if said == "key": return {"txt": "yes"}
        if said == "float mask": import numpy; return {"mask": numpy.ones((2, 2))}
        if said == "stdin": return repr(sys.stdin.read())
        if said == "pid": return str(os.getpid())
        if said == "fd": os.write(1, b"{}\\n"); os.system("echo from a child"); return "printed"
        if said == "surrogate": return "a\\ud800b\\u2028c\\nd"
        return said
"""


@pytest.fixture
def looks(tmp_path: Path) -> Path:
    (tmp_path / "looks.py").write_text(LOOKS)
    return tmp_path / "looks.py"


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    (tmp_path / "faulty.py").write_text(FAULTY)
    return tmp_path / "faulty.py"


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def foreign(tmp_path: Path) -> str:
    """An interpreter of another environment: numpy and Pillow alone, no radbench."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for module in (np, PIL):
        folder = Path(str(module.__file__)).parent
        for part in (folder, folder.parent / f"{folder.name}.libs", folder.parent / "pillow.libs"):
            if part.exists() and not (packages / part.name).exists():
                (packages / part.name).symlink_to(part)
    python = script(tmp_path / "python", f'PYTHONPATH={packages} exec {sys.executable} -S -s "$@"')
    check = [python, "-c", "import numpy, PIL.Image, radbench"]
    done = subprocess.run(check, capture_output=True, text=True, cwd=tmp_path)
    assert "No module named 'radbench'" in done.stderr
    return python


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """An interpreter with the standard library alone."""
    return script(tmp_path / "bare", f'exec {sys.executable} -S -I "$@"')


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Temporary files go to a folder that must be empty in the end."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert eventually(lambda: not any(folder.iterdir())), list(folder.iterdir())


def eventually(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not (now := true()) and time.monotonic() < end:
        time.sleep(0.05)
    return now


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def asked(*texts: str | tuple[str, ...], **fields: Any) -> list[Request]:
    """One request a text; of several texts the last says what to do."""
    parts = [(t,) if isinstance(t, str) else t for t in texts]
    return [
        Request("t", f"s{i}", (Message("user", p),), key=i.to_bytes(16, "big"), **fields) for i, p in enumerate(parts)
    ]


def answers(model: Hosted, requests: list[Request]) -> list[Answer]:
    found = {request.key: answer for request, answer in model.answer(iter(requests))}
    return [found[r.key] for r in requests]


def here(file: Path, *arguments: Any, **options: Any) -> Hosted:
    return Hosted(worker.load_class(str(file)), *arguments, **options)


# --- the same in both places ---


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    write_cohort(folder, cases=80, size=48)
    return folder


def test_results_are_identical_in_process_and_in_a_foreign_interpreter(
    looks: Path, foreign: str, cohort: Path, tmp_path: Path
) -> None:
    """Text, several pictures, volumes, boxes, 2D and 3D masks; the printed lines of the model disturb nothing."""
    tasks = [
        "phantom/vqa-multi-image", "phantom/report-3d", "phantom/segmentation-3d", "phantom/multiclass",
        str(OWN / "detection.yaml"), str(OWN / "segmentation.yaml"),
    ]  # fmt: skip
    found = []
    for name, model in {
        "here": here(looks, threshold=120),
        "there": here(looks, threshold=120, python=foreign),
        "two": Worker(f"{looks}:Looks", python=foreign, threshold=120, workers=2),
    }.items():
        evaluation = radbench.evaluate(
            model, tasks, out=tmp_path / name, data=f"phantom={cohort}", resamples=5, limit=6
        )
        assert evaluation.results is not None
        assert evaluation.results["complete"]
        assert not evaluation.outcome.failures
        found.append(({k: v for k, v in evaluation.results.items() if k != "model"}, written(tmp_path / name)))
    assert found[0][1] == found[1][1] == found[2][1]
    assert found[0][0] == found[1][0] == found[2][0]
    masks = found[0][0]["tasks"]["example/segmentation"]["metrics"]
    assert masks["dice"]["value"] > 0.9  # the disks are brighter than the threshold: pixels came through


def written(run: Path) -> dict[str, dict[str, Any]]:
    """The answers of a run by key, without their times and where their masks lie."""
    lines = [json.loads(line) for f in (run / "answers").glob("*.jsonl") for line in f.read_text().splitlines()]
    return {line["key"]: {k: v for k, v in line.items() if k not in ("seconds", "mask")} for line in lines}


def test_the_fingerprint_holds_options_and_contents_and_no_place(looks: Path, tmp_path: Path) -> None:
    weights = tmp_path / "model.bin"
    weights.write_bytes(b"one")
    first, second = here(looks, weights=str(weights)), Worker(str(looks), weights=str(weights), workers=2, timeout=5)
    assert first.fingerprint() == second.fingerprint()
    assert str(tmp_path) not in json.dumps(dict(first.fingerprint()))
    assert first.fingerprint()["threshold"] == "100"  # a default is an option too
    assert first.fingerprint()["weights"].startswith("model.bin#")
    weights.write_bytes(b"two")
    assert here(looks, weights=str(weights)).fingerprint() != first.fingerprint()
    looks.write_text(LOOKS + "# edited\n")
    assert Worker(str(looks), weights=str(weights)).fingerprint()["source"] != first.fingerprint()["source"]


def test_a_model_with_a_prompt_shows_it_with_its_own_options(looks: Path) -> None:
    model = here(looks, threshold=7)
    assert isinstance(model, Shows)
    request = Request("t", "s", (Message("user", (Image(str(OWN / "images/disk00.png")), "Where?")),))
    assert model.shown(request) == "7|text|<picture>|Where?"
    assert not isinstance(Worker(str(looks)), Shows)  # its file is not imported here


def test_each_draw_has_a_seed_of_its_own(looks: Path) -> None:
    model = here(looks)
    one, two, again = (
        Request("t", "s", (Message("user", ("q",)),), generation=Generation(seed=4), draw=d, key=bytes([i]))
        for i, d in enumerate((0, 1, 0))
    )
    texts = [a.text for a in answers(model, [one, two, again])]
    assert texts[0] == texts[2] != texts[1]


def test_pictures_follow_the_policy(looks: Path, tmp_path: Path) -> None:
    one = LOOKS.replace('"multi_image", "volumes"', "").replace('"mask3d", ', '"mask3d"')
    looks.write_text(one)
    pictures = tuple(Image(str(OWN / f"images/disk0{i}.png")) for i in range(2))
    request = Request("t", "s", (Message("user", (*pictures, "q")),), key=b"k")
    failure = answers(here(looks), [request])[0].failure
    assert failure == Failure("input", "2 pictures for a model of one")
    assert answers(here(looks, multi_image="first"), [request])[0].failure is None


def test_pictures_come_through_exactly_and_grey_ones_small(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    colour, grey = PIL.Image.fromarray(values), PIL.Image.fromarray(values[..., 0]).convert("RGB")
    packed, files = pack([("user", (colour, "and", grey))], tmp_path, "1")
    ((role, (first, text, second)),) = worker.read_turns(packed)
    assert (role, text, first.mode, second.mode) == ("user", "and", "RGB", "RGB")
    assert (first.tobytes(), second.tobytes()) == (colour.tobytes(), grey.tobytes())
    assert files[1].stat().st_size < files[0].stat().st_size / 2


# --- failures ---


def test_what_model_code_raises_or_returns_wrongly_is_a_counted_failure(faulty: Path, foreign: str) -> None:
    wrong = ["raise", "oom", "quit", "list", "key", "float mask"]
    requests = asked(*[("the history of the patient", w) for w in wrong], "yes")
    inside, outside = answers(here(faulty), requests), answers(here(faulty, python=foreign), requests)
    assert [a.failure for a in inside] == [a.failure for a in outside]
    failures = [a.failure for a in inside]
    assert failures[-1] is None
    assert [f.kind for f in failures[:-1] if f] == ["model"] * len(wrong)
    said = [f.message for f in failures[:-1] if f]
    assert said[0] == "ValueError (faulty.py:19 in answer): secret of the patient: the history of the patient"
    assert "CUDA out of memory" in said[1]
    assert said[2].startswith("SystemExit (faulty.py:22 in answer): bye")
    assert "expected str, or a dict of text, boxes, mask, scores, usage" in said[3]
    assert "answer() returned txt" in said[4]
    assert "expected bool" in said[5]


def test_prints_stdin_and_surrogates_do_not_break_the_protocol(faulty: Path) -> None:
    found = answers(Worker(str(faulty)), asked("fd", "stdin", "surrogate", "yes"))
    assert [a.text for a in found] == ["printed", "''", "a\ud800b\u2028c\nd", "yes"]


def test_a_crash_fails_one_request_and_the_worker_starts_again(faulty: Path, tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("")
    model = Worker(str(faulty), count=str(count))
    found = answers(model, asked("yes", "segfault", "segfault", "yes", ("some history", "exit"), "yes"))
    assert [a.text for a in found] == ["yes", None, None, "yes", None, "yes"]
    assert found[1].failure == Failure("model", "the worker ended by signal SIGSEGV")
    assert found[4].failure == Failure("model", "the worker ended with exit code 7")
    assert count.read_text() == "xxxx"


def test_three_losses_in_a_row_stop_the_run_with_the_last_words(
    faulty: Path, text_task: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(
        ModelError, match=r"3 requests in a row lost their worker: it ended with exit code 7: \n  \| device"
    ):
        answers(Worker(str(faulty)), asked("exit", "exit", "exit", "yes"))
    task = str(text_task(12, prompt="{question}"))
    faulty.write_text(FAULTY.replace('said == "exit"', '"Question" in said'))
    with pytest.raises(ModelError):
        radbench.evaluate(Worker(str(faulty)), task, out=tmp_path / "run")
    assert len(written(tmp_path / "run")) == 2  # failures of two samples, asked again on resume
    faulty.write_text(FAULTY)


@pytest.mark.parametrize("way", ["dies", "does not load", "does not load here"])
def test_of_restricted_data_nothing_that_model_code_said_leaves_the_answers(
    way: str, faulty: Path, text_task: Callable[..., Path], tmp_path: Path
) -> None:
    """However it repeats the request: in parts, as tokens, in another case."""
    words = 'sys.stderr.write(" ".join(turns[-1][1][-1].upper().split()[:2])); os._exit(7)'
    faulty.write_text(
        FAULTY.replace('if said == "segfault"', f'if "patient" in said: {words}\n        if said == "segfault"')
    )
    model = Worker(str(faulty)) if way == "dies" else (here if "here" in way else Worker)(str(faulty), start="noise")  # type: ignore[operator]
    data = {"table": "samples.jsonl", "access": "credentialed", "licence": "own", "columns": {"cluster": "patient"}}
    task = str(text_task(12, prompt="the patient {question}", data=data))
    with pytest.raises(ModelError) as caught:
        radbench.evaluate(model, task, out=tmp_path / "run")
    log = (tmp_path / "run" / "run.log").read_text()
    for words in ("PATIENT", "cannot load", "no such device"):
        assert words not in f"{caught.value}{log}"
    assert "what it said is not shown: credentialed data" in str(caught.value)
    if way == "dies":
        told = "".join(f.read_text() for f in (tmp_path / "run" / "answers").glob("*.jsonl"))
        assert "the worker ended with exit code 7" in told
    else:
        assert "RuntimeError (faulty.py:9 in __init__)" in str(caught.value)


def test_a_hang_is_ended_and_counted(faulty: Path) -> None:
    model = Worker(str(faulty), timeout=1.0)
    found = answers(model, asked("pid", "hang", "pid"))
    assert found[1].failure == Failure("model", "the worker gave no answer within 1 s")
    assert found[0].text != found[2].text
    assert not running(int(str(found[0].text)))


def test_a_program_that_a_worker_left_behind_holds_nothing_up(faulty: Path) -> None:
    """It is in a session of its own and has the worker's output open."""
    child = "subprocess.Popen(['sleep', '30'], start_new_session=True)"
    faulty.write_text(FAULTY.replace('if said == "pid"', f'if said == "child": import subprocess; return str({child}.pid)\n'
                                     '        if said == "pid"'))  # fmt: skip
    model = Worker(str(faulty))
    started = time.monotonic()
    pid, lost, again = answers(model, asked("child", "exit", "yes"))
    model._crew = None
    try:
        assert lost.failure == Failure("model", "the worker ended with exit code 7")
        assert again.text == "yes"
        assert time.monotonic() - started < 15
        assert running(int(str(pid.text)))
    finally:
        os.kill(int(str(pid.text)), signal.SIGKILL)


def test_an_answer_that_met_the_token_limit_is_cut_off(faulty: Path) -> None:
    faulty.write_text(FAULTY.replace("return said\n", 'return {"text": said, "finish": "length"}\n'))
    for model in (here(faulty), Worker(str(faulty))):
        (answer,) = answers(model, asked("The heart is"))
        assert (answer.text, answer.failure) == ("The heart is", Failure("cut_off", "no end within the token limit"))


def test_a_worker_that_ended_between_two_requests_is_a_loss(looks: Path) -> None:
    model = Worker(str(looks))
    picture = asked((Image(str(OWN / "images/disk00.png")), "q"))  # type: ignore[arg-type]
    first = answers(model, picture)
    assert model._crew is not None
    (worker_process,) = model._crew.processes
    assert worker_process._process is not None
    assert worker_process._process.stdin is not None
    worker_process._process.stdin.close()  # as it ends where radbench does: with its folder
    worker_process._process.wait(20)
    lost, again = answers(model, picture)[0], answers(model, picture)[0]
    assert lost.failure == Failure("model", "the worker ended with exit code 0")
    assert again.text == first[0].text


def test_after_a_cuda_error_the_process_is_not_asked_again(faulty: Path) -> None:
    found = answers(Worker(str(faulty)), asked("pid", "cuda", "pid"))
    assert found[1].failure is not None
    assert found[0].text != found[2].text
    given = here(faulty).answer(iter(asked("cuda", "yes")))
    assert next(given)[1].failure == found[1].failure
    with pytest.raises(ModelError, match="nothing works in this process"):
        next(given)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": "exit"}, "the worker ended with exit code 3 before its model was loaded"),
        (
            {"start": "noise"},
            r"cannot be loaded in .*, RuntimeError \(faulty.py:9 in __init__\): cannot load\n  \| no such",
        ),
        ({"start": "missing"}, r"ModuleNotFoundError .*: No module named 'no_such_package'"),
        ({"start": "hang", "start_timeout": 1.0}, "gave no answer within 1 s before its model was loaded"),
    ],
)
def test_a_model_that_does_not_load_stops_the_run(faulty: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        answers(Worker(str(faulty), **options), asked("yes"))


def test_in_process_too_and_a_missing_package_names_the_way_out(faulty: Path) -> None:
    with pytest.raises(ModelError, match="no_such_package") as caught:
        answers(here(faulty, start="missing"), asked("yes"))
    assert "python=INTERPRETER" in caught.value.remedy


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("echo hello", "sent a line that is no JSON object"),
        ("echo '{\"protocol\": 2}'; sleep 9", "does not speak protocol 1: 2"),
        ("echo broken >&2; exit 127", r"ended with exit code 127 before its model was loaded: \n  \| broken"),
        (
            'echo \'{"protocol": 1, "capabilities": ["text"], "python": "?", "packages": {}}\'; exec sleep 9',
            "capabilities",
        ),
    ],
)
def test_an_interpreter_that_is_none(looks: Path, tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        answers(Worker(str(looks), python=script(tmp_path / "other", body)), asked("yes"))


@pytest.mark.parametrize(
    "line", ["nonsense", "[]", '{"id": 99, "answer": {}}', '{"id": 1}', '{"id": 1, "answer": {}, "mask": "x"}']
)
def test_answers_that_are_none_are_losses(faulty: Path, tmp_path: Path, line: str) -> None:
    python = script(tmp_path / "other", f"echo '{HELLO}'; read request; echo '{line}'; exec sleep 9")
    model = Worker(str(faulty), python=python)
    failure = answers(model, asked("yes"))[0].failure
    assert failure is not None
    assert failure.message.startswith("the worker sent a line that is no")


def test_without_numpy_and_pillow_texts_are_answered_and_pictures_say_what_is_missing(faulty: Path, bare: str) -> None:
    picture = Request("t", "p", (Message("user", (Image(str(OWN / "images/disk00.png")), "q")),), key=b"p")
    found = answers(here(faulty, python=bare), [*asked("yes"), picture])
    assert found[0].text == "yes"
    assert found[1].failure is not None
    assert "pictures need pillow in this environment" in found[1].failure.message


# --- options ---


def test_a_wrong_option_names_the_right_ones(looks: Path, tmp_path: Path) -> None:
    import functools

    with pytest.raises(ConfigError) as caught:
        construct(functools.partial(Hosted, worker.load_class(str(looks))), "model 'looks'", [], {"treshold": 3})
    assert "treshold" in caught.value.message
    assert "weights=none, threshold=100; of every hosted model: python=None, workers=1" in caught.value.remedy
    with pytest.raises(ConfigError, match="treshold") as caught:
        find_model(f"worker:{looks}:Looks,treshold=3")
    assert "weights='none', threshold=100" in caught.value.remedy
    for wrong, said in {
        "python=/no/such/python": "no such interpreter", "timeout=0": "expected seconds", "workers=0": "at least 1",
        "weights=/no/such/file": "is not there", "checkout=/no/such": "is no folder", "multi_image=some": "all, first",
    }.items():  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            find_model(f"worker:{looks}:Looks,{wrong}")
    for target, said in {"nowhere.py:Looks": "no file", f"{looks}:Loks": "did you mean 'Looks'"}.items():
        with pytest.raises(ConfigError, match=said):
            find_model(f"worker:{target}")


def test_a_spec_reaches_the_class_and_an_environments_folder_is_enough(looks: Path, tmp_path: Path) -> None:
    (tmp_path / "env" / "bin").mkdir(parents=True)
    script(tmp_path / "env" / "bin" / "python", f'exec {sys.executable} "$@"')
    model = find_model(f"worker:{looks},python={tmp_path}/env,threshold=3")
    assert isinstance(model, Worker)
    assert answers(model, asked("q"))[0].text == answers(here(looks, threshold=3), asked("q"))[0].text


def test_a_checkout_is_importable_and_our_adapters_do_not_shadow_packages(tmp_path: Path) -> None:
    """The worker's script lies beside files called openai.py and vllm.py, which must not be found."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "inference_code.py").write_text("ANSWER = 'from the checkout'\n")
    (tmp_path / "uses.py").write_text(
        "import sys, inference_code\n"
        "class Uses:\n"
        "    capabilities = ('text',)\n"
        "    def __init__(self, checkout): self.checkout = checkout\n"
        "    def answer(self, turns, choices, form, generation):\n"
        "        import importlib.util\n"
        "        beside = [n for n in ('wrapping', 'baselines', 'identity') if importlib.util.find_spec(n)]\n"
        "        return f'{inference_code.ANSWER} {self.checkout == sys.path[0]} {beside}'\n"
    )
    model = Worker(str(tmp_path / "uses.py"), checkout=str(checkout))
    assert answers(model, asked("q"))[0].text == "from the checkout True []"
    assert model.fingerprint()["checkout"].startswith("checkout#")


SERVER = """
import huggingface_hub.constants, sys

class Base:
    endpoint = "https://api.example.org/v1"

class Asks(Base):
    capabilities = ("text",)
    def __init__(self, checkout="none"):
        self.loaded = [huggingface_hub.constants.HF_HUB_OFFLINE, sys.path[0] == checkout]
    def answer(self, turns, choices, form, generation):
        return f"{self.loaded} {huggingface_hub.constants.HF_HUB_OFFLINE}"
"""


def test_a_class_that_asks_a_server_gets_no_restricted_data(text_task: Callable[..., Path], tmp_path: Path) -> None:
    file = tmp_path / "asks.py"
    file.write_text(SERVER)
    data = {"table": "samples.jsonl", "access": "credentialed", "licence": "own", "columns": {"cluster": "patient"}}
    for model in (Worker(f"{file}:Asks"), here(f"{file}:Asks")):  # type: ignore[arg-type]
        assert isinstance(model, Remote)
        with pytest.raises(ConfigError, match=r"https://api.example.org/v1 is not this machine: nothing was sent"):
            radbench.evaluate(model, str(text_task(4, data=data)), out=tmp_path / "run")
    assert not isinstance(here(file_with(tmp_path, endpoint="")), Remote)
    late = file_with(tmp_path, "        self.endpoint = 'http://10.0.0.1'", count=str(tmp_path / "asked"))
    for model in (Worker(str(late)), again := here(late), again):
        with pytest.raises(ModelError, match="an endpoint that its class does not declare: http:"):
            answers(model, asked("q", "q", "q"))
    assert not (tmp_path / "asked").exists()


def file_with(
    folder: Path, body: str = "        pass", capabilities: str = "text", endpoint: str = "", count: str = os.devnull
) -> Path:
    (folder / "plain.py").write_text(
        f"class Plain:\n    capabilities = ('{capabilities}',)\n    endpoint = {endpoint!r}\n"
        f"    def __init__(self):\n{body}\n    def answer(self, turns, choices, form, generation):\n"
        f"        open({count!r}, 'a').write('x')\n        return 'yes'\n"
    )
    return folder / "plain.py"


def test_a_capability_that_does_not_exist_names_the_one_that_is_meant(tmp_path: Path) -> None:
    file = file_with(tmp_path, capabilities="multi-image")
    for make in (here, lambda f: Worker(str(f))):
        with pytest.raises(ConfigError, match="no capability 'multi-image': did you mean 'multi_image'"):
            make(file)


def test_while_a_model_loads_the_hub_is_its_cache_and_the_checkout_comes_first(tmp_path: Path) -> None:
    constants: Any = pytest.importorskip("huggingface_hub.constants")
    file, before, path = tmp_path / "asks.py", constants.HF_HUB_OFFLINE, list(sys.path)
    file.write_text(SERVER.replace("    endpoint", "    place"))
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    model = here(f"{file}:Asks", checkout=str(checkout))  # type: ignore[arg-type]
    assert answers(model, asked("q"))[0].text == f"[True, True] {before}"
    assert sys.path == path


# --- nothing is left behind ---


def test_one_process_serves_all_tasks_and_ends_with_the_model(faulty: Path) -> None:
    model = Worker(str(faulty))
    pids = {answers(model, asked("pid"))[0].text for _ in range(3)}
    assert len(pids) == 1
    pid = int(str(pids.pop()))
    assert running(pid)
    (folder,) = Path(tempfile.gettempdir()).iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not any(folder.iterdir())
    del model
    assert eventually(lambda: not running(pid))
    assert not folder.exists()


def test_files_of_a_request_are_gone_once_it_is_answered(looks: Path, foreign: str) -> None:
    model = here(looks, python=foreign)
    picture = (Image(str(OWN / "images/disk00.png")), "q")
    for request in asked(picture, picture, form="mask"):  # type: ignore[arg-type]
        answers(model, [request])
        (folder,) = Path(tempfile.gettempdir()).iterdir()
        assert not any(folder.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_ends_worker_and_files(
    number: int, faulty: Path, text_task: Callable[..., Path], tmp_path: Path
) -> None:
    """While the worker hangs: no process and no file stays, even where radbench itself is killed."""
    (tmp_path / "code.py").write_text(
        "import tempfile, radbench\n"
        f"tempfile.tempdir = {tempfile.gettempdir()!r}\n"
        f"radbench.evaluate('worker:{faulty}', {str(text_task(4, prompt='hang'))!r}, out={str(tmp_path / 'run')!r})\n"
    )
    process = subprocess.Popen([sys.executable, str(tmp_path / "code.py")], stderr=subprocess.DEVNULL)
    assert eventually(lambda: bool(children(process.pid)), 20)
    (child,) = children(process.pid)
    time.sleep(0.5)
    process.send_signal(number)
    assert process.wait(20) != 0
    assert eventually(lambda: not running(child))


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


def test_an_interrupt_inside_this_process(faulty: Path, text_task: Callable[..., Path], tmp_path: Path) -> None:
    model = Worker(str(faulty), workers=2)
    started = time.monotonic()
    import threading

    threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(Interrupted):
        radbench.evaluate(model, str(text_task(8, prompt="hang")), out=tmp_path / "run")
    assert time.monotonic() - started < 8
    assert model._crew is not None
    assert not any(process.alive for process in model._crew.processes)


# --- the example ---


def test_the_example_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = f"worker:{EXAMPLES / 'legacy_model.py'},python={sys.executable}"
    evaluation = radbench.evaluate(spec, str(OWN / "vqa.yaml"), out=tmp_path / "run")
    assert evaluation.results is not None
    assert evaluation.results["complete"]
    assert not evaluation.outcome.failures
    monkeypatch.syspath_prepend(str(EXAMPLES))
    inside = radbench.evaluate("legacy_model:CheXagent", str(OWN / "vqa.yaml"), out=tmp_path / "inside")
    assert inside.results is not None
    assert inside.results["tasks"] == evaluation.results["tasks"]
    text = (EXAMPLES.parent / "docs" / "models.md").read_text()
    assert (EXAMPLES / "legacy_model.py").read_text().strip() in text
