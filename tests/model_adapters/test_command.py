"""A program as a model: in.json, out.json, and what it does wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import radbench
from radbench.errors import ConfigError, ModelError
from radbench.records import Answer, Failure, Image, Message, Request
from radbench.registry import find_model

OWN = Path(__file__).parents[2] / "examples" / "own_data"

PROGRAM = """
import json, os, sys
given = json.load(open(sys.argv[-2]))
assert given["version"] == 1
with open({calls!r}, "a") as f:
    f.write(f"{{len(given['requests'])}}\\n")
def answer(request):
    parts = [p for turn in request["turns"] for p in turn["parts"]]
    text = " ".join(p["text"] for p in parts if "text" in p)
    {body}
answers = [answer(r) for r in given["requests"]]
{end}
"""
WHOLE = 'json.dump({"answers": answers}, open(sys.argv[-1], "w"))'
LINES = 'open(sys.argv[-1], "w").write("".join(json.dumps(a) + chr(10) for a in answers))'


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., str]:
    """Writes a program and gives its spec; what it was called with stands in ``calls``."""

    def write(
        body: str = 'return {"id": request["id"], "text": text.upper()}', end: str = WHOLE, options: str = ""
    ) -> str:
        path = tmp_path / "my_infer.py"
        path.write_text(PROGRAM.format(body=body.replace("\n", "\n    "), end=end, calls=str(tmp_path / "calls")))
        return f"command:{sys.executable} {path}{options}"

    return write


def asked(count: int, text: str = "question {}") -> list[Request]:
    return [Request("t", f"s{i}", (Message("user", (text.format(i),)),), key=bytes([i])) for i in range(count)]


def answers(spec: str, requests: list[Request]) -> list[Answer]:
    found = {r.key: a for r, a in find_model(spec).answer(iter(requests))}
    return [found[r.key] for r in requests]


@pytest.mark.parametrize("end", [WHOLE, LINES])
def test_batches_of_requests_go_through_files(program: Callable[..., str], end: str, tmp_path: Path) -> None:
    found = answers(program(end=end, options=",batch=3"), asked(7))
    assert [a.text for a in found] == [f"QUESTION {i}" for i in range(7)]
    assert (tmp_path / "calls").read_text().split() == ["3", "3", "1"]


def test_a_run_on_pictures_boxes_and_masks(program: Callable[..., str], tmp_path: Path) -> None:
    body = """
import numpy as np
from PIL import Image
grey = np.asarray(Image.open(next(p["image"] for p in parts if "image" in p)))[..., 0] > 100
if request["form"] == "mask":
    path = os.path.join(os.path.dirname(sys.argv[-1]), f"mask{request['id']}.npy")
    np.save(path, grey)
    return {"id": request["id"], "mask": path}
ys, xs = np.nonzero(grey)
box = ["disk", *(int(v) for v in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))]
return {"id": request["id"], "boxes": [box], "usage": {"output_tokens": 3}}
"""
    spec = program(body=body)
    tasks = [str(OWN / "detection.yaml"), str(OWN / "segmentation.yaml")]
    evaluation = radbench.evaluate(spec, tasks, out=tmp_path / "run", resamples=5)
    assert evaluation.results is not None
    told = evaluation.results["tasks"]
    assert told["example/segmentation"]["metrics"]["dice"]["value"] > 0.9
    assert told["example/detection"]["metrics"]["box-iou"]["value"] > 0.7
    assert evaluation.results["complete"]


def test_missing_answers_are_empty_failures_and_unusable_ones_are_told(
    program: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = """
if request["id"] == "1": return {"id": "1", "text": 5}
if request["id"] == "2": return {"id": "2", "mask": "nowhere.npy"}
if request["id"] == "4":
    import numpy
    numpy.save("objects.npy", numpy.array([{}], object), allow_pickle=True)
if request["id"] == "5": open("objects.npy.txt", "w").write("no array")
if request["id"] == "4": return {"id": "4", "mask": os.path.abspath("objects.npy")}
if request["id"] == "5": return {"id": "5", "mask": os.path.abspath("objects.npy.txt")}
if request["id"] == "6": return {"id": "6", "scores": {"yes": 10 ** 400}}
return {"id": request["id"], "text": "yes"}
"""
    end = 'answers = [a for a in answers if a["id"] != "0"]\n' + WHOLE
    monkeypatch.chdir(tmp_path)
    found = answers(program(body=body, end=end), asked(7))
    assert found[0].failure == Failure("empty", "out.json has no answer to the request")
    assert found[1].failure == Failure("model", "TypeError: text is int, expected str")
    assert found[2].failure is not None
    assert found[2].failure.message.startswith("ValueError: mask: the file it names is not there")
    assert found[3].text == "yes"
    for answer in found[4:6]:  # never the advice to allow pickles
        assert answer.failure == Failure(
            "model", "ValueError: mask: expected the path of a .npy file with a bool array"
        )
    assert found[6].failure is not None
    assert found[6].failure.message.startswith("OverflowError")


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ('json.dump({"answers": answers + [{"id": "99", "text": "x"}]}, open(sys.argv[-1], "w"))', "1 answers to ids"),
        ('json.dump({"answers": answers + answers}, open(sys.argv[-1], "w"))', "answers a request twice"),
        ('open(sys.argv[-1], "w").write("no json")', "neither JSON nor JSON lines"),
        ('open(sys.argv[-1], "w").write("[1]")', "expected {'answers'"),
        ("", "wrote no out.json"),
        ('open(sys.argv[-1], "wb").write(b\'{"answers": [{"id": "0", "text": "caf\\xe9"}]}\')', "no UTF-8, at byte 37"),
        ('open(sys.argv[-1], "w").write("[" * 200000)', "neither JSON nor JSON lines"),
    ],
)
def test_a_broken_contract_stops_the_run(program: Callable[..., str], end: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        answers(program(end=end), asked(2))


def test_a_failed_program_fails_its_batch_with_its_last_words(program: Callable[..., str]) -> None:
    end = WHOLE + '\nif answers[0]["text"].endswith("0"): sys.exit(f"disk full at {given}")'
    found = answers(program(end=end, options=",batch=2"), asked(4, "the history of a patient {}"))
    for answer in found[:2]:
        assert answer.failure is not None
        assert answer.failure.kind == "model"
        assert answer.failure.message.startswith("the program ended with exit code 1\n  | disk full at")
    assert [a.text for a in found[2:]] == ["THE HISTORY OF A PATIENT 2", "THE HISTORY OF A PATIENT 3"]


def test_a_program_that_hangs_is_ended(program: Callable[..., str]) -> None:
    found = answers(program(end="import time; time.sleep(60)", options=",timeout=0.5"), asked(2))
    assert [a.failure for a in found] == [
        Failure("model", "the program had not ended after 0.5 s: timeout=, or a smaller batch=")
    ] * 2  # fmt: skip


def test_a_picture_that_cannot_be_read_fails_alone(program: Callable[..., str], tmp_path: Path) -> None:
    broken = Request("t", "x", (Message("user", (Image(str(tmp_path / "nowhere.png")), "q")),), key=b"x")
    found = answers(program(options=",batch=1"), [broken, *asked(1)])
    assert found[0].failure is not None
    assert found[0].failure.kind == "input"
    assert found[1].text == "QUESTION 0"


def test_the_fingerprint_holds_the_contents_of_named_files(
    program: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def printed(spec: str) -> dict[str, Any]:
        return dict(find_model(spec).fingerprint())

    first = printed(program())
    assert first["name"] == "command:python my_infer.py"
    assert str(tmp_path) not in json.dumps(first)
    assert printed(program(body='return {"id": request["id"], "text": "other"}'))["command"] != first["command"]
    assert printed(program(options=",batch=5")) == printed(program())
    assert printed(program(options=" --weights=/none/w.pt"))["command"].endswith("--weights=w.pt")
    monkeypatch.chdir(tmp_path)
    assert printed("command:python .")["command"] == printed("command:python .")["command"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("command:", "no program is named"),
        ("command:no_such_program x", "no program 'no_such_program'"),
        ("command:python 'x", "No closing quotation"),
        ("command:python x.py,batch=0", "batch=0"),
        ("command:python x.py,timeout=soon", "timeout=soon"),
        ("command:python x.py,capabilities=text+smell", "capabilities=smell"),
    ],
)
def test_wrong_commands(spec: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        find_model(spec)


def test_there_is_no_shell(program: Callable[..., str], tmp_path: Path) -> None:
    spec = program(options=f" ; touch {tmp_path}/made $HOME")
    assert answers(spec, asked(1))[0].text == "QUESTION 0"
    assert not (tmp_path / "made").exists()
