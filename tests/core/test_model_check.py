"""``radbench models check``: what it asks, what it prints, and when it says no."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radbench import model_check
from radbench.cli import models as command
from radbench.errors import ConfigError, ModelError
from radbench.model_cases import Case, built_in_cases
from radbench.model_check import ModelCheck, check_model, given_prompt
from radbench.records import Answer, Box, Failure, Image, Request
from radbench.registry import find_model

EVERYTHING = frozenset({"text", "multi_image", "volumes"})


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    return built_in_cases(tmp_path_factory.mktemp("cases"), 128)


@pytest.fixture
def checked(cases: list[Case], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., ModelCheck]:
    """Checks a model on cases that were drawn once."""
    monkeypatch.setattr(model_check, "built_in_cases", lambda folder, most: cases)
    return lambda model: check_model(model, tmp_path)


class Model:
    """Answers by a function; counts what it was asked."""

    def __init__(self, reply: Callable[[Request], object], capabilities: Iterable[str] = EVERYTHING) -> None:
        self.reply, self.capabilities = reply, frozenset(capabilities)
        self.asked: list[Request] = []

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "test", "name": "scripted"}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            self.asked.append(request)
            yield request, self.reply(request)  # type: ignore[misc]


def said(_: Request) -> Answer:
    return Answer(text="clear", usage={"input_tokens": 300.0, "output_tokens": 20.0, "cost": 0.002})


# --- the cases ---


def test_cases_are_real_files_of_one_picture_two_and_a_volume(cases: list[Case]) -> None:
    one, two, volume, *forms = cases
    assert [i.load().size for i in one.request.images] == [(224, 224)]
    prior, current = two.request.images
    assert (prior.role, current.role) == ("prior", "current")
    assert prior.days_before and current == one.request.images[0]
    assert not np.array_equal(prior.load().array, current.load().array)
    ct = volume.request.images[0].load()
    assert ct.is_volume
    assert ct.size == (112, 112, 84)
    assert ct.array.min() < -900 < 0 < ct.array.max()  # air and tissue in Hounsfield units
    assert {Path(i.path).suffix for c in cases for i in c.request.images} == {".png", ".gz"}
    assert [c.request.form for c in forms] == ["boxes", "mask", "mask"]
    assert len({c.request.key for c in cases}) == len(cases)


def test_cases_are_the_same_each_time(cases: list[Case], tmp_path: Path) -> None:
    for ours, again in zip(cases, built_in_cases(tmp_path, 128), strict=True):
        for a, b in zip(ours.request.images, again.request.images, strict=True):
            assert Path(a.path).read_bytes() == Path(b.path).read_bytes()


def test_prompt_with_placeholders(cases: list[Case]) -> None:
    assert given_prompt(cases[1].request) == (
        "user: Prior: <image 224x224>Current: <image 224x224>How has the chest changed since the prior study? "
        "Answer with one of: improved, unchanged, worse."
    )
    assert given_prompt(cases[2].request).startswith("user: <volume 112x112x84>Which part")


# --- models that answer ---


def test_a_model_that_answers_everything(checked: Callable[..., ModelCheck]) -> None:
    model = Model(said)
    found = checked(model)
    assert found.ok
    assert [c.name for c in found.cases if c.skipped is None] == ["one image", "two images", "a volume"]
    assert [r.sample for r in model.asked] == ["one image", "one image", "two images", "a volume"]
    assert found.repeats is True
    assert found.estimate["output_tokens"] == 20_000
    assert found.estimate["cost"] == pytest.approx(2.0)
    assert all(c.tokens_per_second == 20 / c.seconds for c in found.cases if c.skipped is None)
    assert found.memory["peak"] >= found.memory["before"] > 0


def test_function_and_constant(checked: Callable[..., ModelCheck]) -> None:
    found = checked("constant:normal")
    assert found.ok
    assert {c.answer for c in found.cases if c.skipped is None} == {"normal"}
    boxed = checked(lambda request: "no change")  # a function claims every form and may write text in each
    assert boxed.ok
    notes = {c.name: c.note for c in boxed.cases}
    assert notes["boxes"] == "answered with text where boxes were asked for: the task's parser reads them from it"
    assert "counts it as a failure" in notes["mask of a picture"]
    assert not notes["one image"]
    lost = "answered, but a run would count 2 of 6 as failures: mask of a picture, mask of a volume"
    assert list(command.lines(boxed))[-1] == lost


def test_only_what_is_claimed_is_asked(checked: Callable[..., ModelCheck]) -> None:
    model = Model(said, {"text"})
    found = checked(model)
    assert found.ok
    assert {r.sample for r in model.asked} == {"one image"}
    skipped = {c.name: c.skipped for c in found.cases if c.skipped}
    assert skipped["two images"] == "the model does not claim multi_image"
    assert skipped["a volume"] == "the model does not claim volumes"
    nothing = checked(Model(said, ()))
    assert not nothing.ok
    assert "NOT READY: the model claims none of the cases" in "\n".join(command.lines(nothing))


def test_loading_is_told_from_answering(checked: Callable[..., ModelCheck], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(model_check.time, "perf_counter", lambda: clock[0])

    def slow(request: Request) -> Answer:
        clock[0] += 30.0 if not loaded else 0.0  # the first answer loads the weights
        loaded.append(True)
        clock[0] += 2.0
        return said(request)

    loaded: list[bool] = []
    found = checked(Model(slow))
    assert found.load_seconds == 30.0
    assert [c.seconds for c in found.cases if c.skipped is None] == [2.0, 2.0, 2.0]
    assert found.cases[0].tokens_per_second == 10.0
    assert found.estimate["seconds"] == 2030.0
    text = "\n".join(command.lines(found))
    assert "2.00 s, 300 tokens in, 20 tokens out, cost 0.002, 10.0 tokens/s" in text
    assert "1,000 samples like these, one at a time: about 34 min, 300,000 input tokens" in text


def test_boxes_and_masks(checked: Callable[..., ModelCheck]) -> None:
    def draw(request: Request) -> Answer:
        if request.form == "boxes":
            return Answer(boxes=(Box("heart", 10, 20, 30, 40.5, 0.9),))
        return Answer(mask=np.ones(request.images[0].load().size, bool))

    found = checked(Model(draw, {"boxes", "mask2d", "mask3d"}))
    assert found.ok
    answers = {c.name: c.answer for c in found.cases}
    assert answers["boxes"] == "boxes: heart [10, 20, 30, 40.5] score 0.9"
    assert answers["mask of a picture"] == f"mask of 224x224, {224 * 224:,} inside"
    assert answers["mask of a volume"] == f"mask of 112x112x84, {112 * 112 * 84:,} inside"
    wrong = checked(Model(lambda r: Answer(mask=np.ones((5, 5), bool)), {"mask2d"}))
    assert not wrong.ok
    assert "the mask has shape (5, 5), the picture (224, 224)" in wrong.cases[4].message


class Full(Model):
    """Ranks, embeds and shows its prompt."""

    row: Sequence[float] = (-1.5, -0.25, -3.0)

    def loglikelihood(self, requests: Sequence[Request], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        return [list(self.row) for _ in requests]

    def embed(self, images: Sequence[Image]) -> np.ndarray:
        return np.eye(2, 8, dtype=np.float32)[: len(images)]

    def shown(self, request: Request) -> str:
        return "<s>USER: " + "<image>" * 196 + f"\n{request.text} ASSISTANT:"


def test_ranks_embeddings_and_the_prompt_as_sent(checked: Callable[..., ModelCheck]) -> None:
    found = checked(Full(said, EVERYTHING | {"logprobs", "embed"}))
    assert found.ok
    answers = {c.name: c.answer for c in found.cases}
    assert answers["ranked choices"] == "improved -1.5000, unchanged -0.2500, worse -3.0000"
    assert answers["embeddings"] == "8 numbers a picture; cosine of the current and the prior 0.0000"
    assert found.cases[0].sent
    assert found.cases[0].prompt.count("<image>") == 196
    text = "\n".join(command.lines(found))
    assert "prompt as sent:\n     <s>USER: <image>×196\n     Describe the findings" in text


def test_claims_that_do_not_hold(checked: Callable[..., ModelCheck]) -> None:
    found = checked(Model(said, EVERYTHING | {"embed"}))
    assert not found.ok
    assert found.cases[-1].message == "the model claims 'embed' and has no embed()"
    short = Full(said, EVERYTHING | {"logprobs"})
    short.row = (-1.0,)
    assert "expected one row of 3 finite numbers" in checked(short).cases[-1].message


def test_shown_that_fails_is_a_note(checked: Callable[..., ModelCheck]) -> None:
    model = Full(said)
    model.shown = lambda request: str(1 / 0)  # type: ignore[method-assign]
    found = checked(model)
    assert found.ok
    assert "shown() failed: ZeroDivisionError" in found.cases[0].note
    assert found.cases[0].prompt.startswith("user: <image 224x224>")


def test_an_answer_that_was_cut_off_or_changes(checked: Callable[..., ModelCheck]) -> None:
    turns = iter(range(99))
    found = checked(Model(lambda r: Answer(text=f"{next(turns)}", failure=Failure("cut_off"))))
    assert not found.ok
    assert found.lost == ("one image", "two images", "a volume")
    assert not any(c.failed for c in found.cases)
    said = "\n".join(command.lines(found))
    assert "NOT READY: answered, but a run would count 3 of 3 as failures: one image, two images, a volume" in said
    assert found.cases[0].note == "cut off at 128 tokens, which a run counts as a failure"
    assert found.repeats is False
    assert "ANOTHER ANSWER" in "\n".join(command.lines(found))


# --- models that do not ---


def raising(error: Exception) -> Callable[[Request], Answer]:
    def reply(request: Request) -> Answer:
        raise error

    return reply


def test_a_model_that_cannot_be_loaded(checked: Callable[..., ModelCheck]) -> None:
    model = Full(raising(ModelError("no weights at 'x'", remedy="download them")), EVERYTHING | {"logprobs", "embed"})
    found = checked(model)
    assert len(found.cases) == 6  # choices and embeddings are not tried
    assert not found.ok
    assert len(model.asked) == 1  # not loaded again for every case
    assert (found.cases[0].message, found.cases[0].remedy) == ("no weights at 'x'", "download them")
    assert found.cases[1].skipped == "the model stopped before this case"
    assert (found.load_seconds, found.estimate) == (None, {})


def test_a_model_that_raises_on_volumes(checked: Callable[..., ModelCheck]) -> None:
    def reply(request: Request) -> Answer:
        if request.images[0].kind == "volume":
            raise IndexError("only pictures")
        return said(request)

    found = checked(Model(reply))
    assert not found.ok
    assert [c.failure for c in found.cases[:3]] == [None, None, "model"]
    assert found.cases[2].message.startswith("IndexError: only pictures (test_model_check.py, line ")
    assert "NOT READY: failed: a volume" in "\n".join(command.lines(found))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "the model yielded no answer to one request"),
        (["text"], "the model yielded str, expected a pair of the request and an Answer"),
        ([("a", "b")], "the model yielded tuple, expected a pair of the request and an Answer"),
        (["twice", "twice"], "the model yielded more than one answer to one request"),
    ],
)
def test_a_broken_contract(checked: Callable[..., ModelCheck], given: list[object], message: str) -> None:
    model = Model(said)
    model.answer = lambda requests: iter([*given][: len(given) * len(list(requests))])  # type: ignore[assignment,arg-type,method-assign]
    found = checked(model)
    assert not found.ok
    assert found.cases[0].message == message


def test_an_answer_to_another_request(checked: Callable[..., ModelCheck]) -> None:
    model = Model(said)
    model.answer = lambda requests: ((replace(r, key=b"?"), said(r)) for r in requests)  # type: ignore[method-assign]
    assert checked(model).cases[0].message == "the model answered a request that it was not given"


def test_empty_and_unusable_answers(checked: Callable[..., ModelCheck]) -> None:
    found = checked(Model(lambda r: Answer(text="")))
    assert {c.failure for c in found.cases[:3]} == {"empty"}
    odd = checked(Model(lambda r: Answer(text=5)))  # type: ignore[arg-type]
    assert "text is int" in odd.cases[0].message
    refused = checked(Model(lambda r: Answer(failure=Failure("transport", "connection refused"))))
    assert refused.cases[0].remedy == "is the server up, and its address and key right?"
    assert not refused.ok


def test_models_that_need_a_task_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="learns from the support split") as knn:
        check_model("knn:k=3", tmp_path)
    assert knn.value.remedy == "radbench run --model knn:k=3 --tasks demo/modality --limit 3"
    with pytest.raises(ConfigError, match="told the samples of a task"):
        check_model("oracle", tmp_path)

    class Shots(Model):
        def __init__(self) -> None:
            super().__init__(said)
            self.inner = find_model("constant:x")

        def fit(self, task: object, support: object) -> None: ...

    with pytest.raises(ConfigError, match="support split") as shots:
        check_model(Shots(), tmp_path)
    assert shots.value.remedy.startswith("check the model inside it by itself, then radbench run")
    assert not list(tmp_path.iterdir())


def test_a_fingerprint_that_is_none(tmp_path: Path) -> None:
    model = Model(said)
    model.fingerprint = lambda: "x"  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(ConfigError, match=r"fingerprint\(\) gave str, expected a mapping"):
        check_model(model, tmp_path)
    model.fingerprint = lambda: {}["name"]  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match=r"fingerprint\(\) failed: KeyError: 'name' \(test_model_check.py"):
        check_model(model, tmp_path)


def test_a_tiny_model_of_transformers(checked: Callable[..., ModelCheck], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from miniatures.vlm import tiny_vlm

    folder = tiny_vlm("llava", tmp_path / "llava", enders=40)
    found = checked(f"hf:{folder},max_new_tokens=8")
    assert found.ok
    assert [c.name for c in found.cases if c.skipped is None] == [
        "one image", "two images", "a volume", "ranked choices", "embeddings",
    ]  # fmt: skip
    assert found.repeats is True
    assert all(c.sent and "<image>×16" in c.prompt for c in found.cases[:3])
    assert all(1 <= c.usage["output_tokens"] <= 8 for c in found.cases[:3])
    assert found.cases[2].usage["input_tokens"] > found.cases[1].usage["input_tokens"]
    assert found.load_seconds is not None
    assert found.load_seconds > found.cases[0].seconds


_HOLDS = """
import json, sys
from pathlib import Path
from radbench.model_check import check_model
from radbench.registry import find_model

held = []

def hold(request):
    if not held:
        held.append(b"x" * (60 << 20))
    return "yes"

print(json.dumps(check_model(find_model(hold), Path(sys.argv[1])).memory))
"""


def test_memory_is_the_models_own(tmp_path: Path) -> None:
    """In a process of its own: one that freed much before gives the model what it has."""
    said = subprocess.run([sys.executable, "-c", _HOLDS, str(tmp_path)], capture_output=True, text=True, check=True)
    memory = json.loads(said.stdout)  # drawing the cases takes more than that, and gives it back
    assert memory["peak"] - memory["before"] > 50 << 20


def test_memory_of_workers() -> None:
    keep = "import sys, time; x = b'x' * (60 << 20); print(len(x), flush=True); time.sleep(60)"
    worker = subprocess.Popen([sys.executable, "-c", keep], stdout=subprocess.PIPE)
    try:
        assert worker.stdout is not None
        worker.stdout.readline()
        if not list(Path("/proc/self/task").glob("*/children")):
            pytest.skip("this system does not list a process's children")
        assert model_check._worker_memory()["workers"] > 60 << 20
    finally:
        worker.kill()
        worker.communicate()


# --- the command ---


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept"
    assert command.check("constant:\x1b[31mred\x07\nline", str(kept), 64, False) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "answer:\n     \\x1b[31mred\\x07\n     line\n" in out
    assert "not asked: boxes: the model does not claim boxes" in out
    assert out.rstrip().endswith("ready: 3 cases asked, all answered")
    assert str(tmp_path) not in out
    assert len(list((kept / "pictures").glob("*.png"))) >= 2
    assert len(list((kept / "pictures").glob("*.nii.gz"))) == 1
    with pytest.raises(ConfigError, match="is not empty"):
        command.check("constant:x", str(kept), 64, False)
    with pytest.raises(ConfigError, match="unknown model"):
        command.check("no-such-model", None, 64, False)


def test_command_in_json(
    cases: list[Case], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(model_check, "built_in_cases", lambda folder, most: cases)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half_ready.py").write_text(
        "def answer(request):\n    print('printed')\n"
        "    if request.images[0].kind == 'volume':\n        raise KeyError('axial')\n    return 'ok'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert command.check("half_ready:answer", None, 64, True) == 1
    printed = capsys.readouterr()
    assert "printed" in printed.err
    found = json.loads(printed.out)
    assert (found["ok"], found["spec"], found["lost"]) == (False, "half_ready:answer", ["mask of a picture"])
    by_name = {c["name"]: c for c in found["cases"]}
    assert by_name["two images"]["answer"] == "ok"
    assert (by_name["a volume"]["failure"], by_name["a volume"]["message"]) == ("model", "KeyError: 'axial'")
    assert found["fingerprint"]["adapter"] == "function"
