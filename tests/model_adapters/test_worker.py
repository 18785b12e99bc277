"""The worker's script by itself: any Python from 3.8 on, by hand, and the end of its input."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from radbench.model_adapters.hosting import worker

FILE = Path(worker.__file__).resolve()
MODEL = """
class Model:
    capabilities = ("text", "mask2d")
    def __init__(self, word="yes", sleep=0.0):
        self.word, self.sleep = word, sleep
    def answer(self, turns, choices, form, generation):
        import time
        time.sleep(self.sleep)
        if form == "mask":
            import numpy
            return {"mask": numpy.eye(3, dtype=bool)}
        return f"{self.word} {turns} {choices} {form} {generation['max_new_tokens']}"
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text(MODEL)
    return tmp_path / "model.py"


def serve(command: list[str], *requests: dict[str, Any]) -> list[dict[str, Any]]:
    given = "".join(json.dumps(r) + "\n" for r in requests)
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


ASKED = {"id": "a", "turns": [{"role": "user", "parts": [{"text": "hello"}]}]}
SAID = "yes [('user', ['hello'])] [] text 512"


def test_by_hand_with_nothing_but_the_standard_library(model: Path) -> None:
    hello, answer = serve([sys.executable, "-S", "-I", str(FILE), str(model)], ASKED)
    assert (hello["protocol"], hello["capabilities"], hello["packages"]) == (1, ["mask2d", "text"], {})
    assert hello["python"] == sys.version.split()[0]
    assert (answer["id"], answer["answer"]) == ("a", {"text": SAID})


@pytest.mark.parametrize("name", ["3.8", "3.9", "3.10", "3.12", "3.13"])
def test_on_other_pythons_where_they_are_installed(name: str, model: Path) -> None:
    found = sorted(Path.home().glob(f".pyenv/versions/{name}.*/bin/python"))
    if not found:
        pytest.skip(f"no Python {name} here")
    _, answer = serve([str(found[0]), str(FILE), f"{model}:Model", json.dumps({"options": {"word": "no"}})], ASKED)
    assert answer["answer"] == {"text": SAID.replace("yes", "no")}


@pytest.mark.parametrize("file", ["hosting/worker", "flamingo", "medvint", "radfm", "llava_med", "meddr", "medversa"])
def test_what_runs_in_other_environments_is_python_3_8_without_radbench(file: str) -> None:
    tree = ast.parse((FILE.parents[1] / f"{file}.py").read_text(), feature_version=(3, 8))
    imported = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or "."] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }
    assert not {name for name in imported if name.partition(".")[0] in ("radbench", "")}


def test_a_mask_comes_as_a_file_that_is_gone_in_the_end(model: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, str(FILE), str(model)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    process.stdin.write(json.dumps({**ASKED, "form": "mask"}) + "\n")
    process.stdin.flush()
    reply = json.loads(process.stdout.readline())
    assert np.array_equal(np.load(reply["mask"], allow_pickle=False), np.eye(3, dtype=bool))
    process.stdin.close()
    assert process.wait(20) == 0
    process.stdout.close()
    assert not Path(reply["mask"]).parent.exists()


def test_an_end_of_input_in_the_middle_of_an_answer_ends_the_worker(model: Path) -> None:
    """So none outlives a killed radbench."""
    setup = json.dumps({"options": {"sleep": 60}})
    started = time.monotonic()
    serve([sys.executable, str(FILE), str(model), setup], ASKED)
    assert time.monotonic() - started < 30


def test_what_cannot_be_loaded_is_told_on_the_first_line(model: Path, tmp_path: Path) -> None:
    (told,) = serve([sys.executable, str(FILE), f"{model}:Other"], ASKED)
    assert told["error"]["type"] == "AttributeError"
    (told,) = serve([sys.executable, str(FILE), str(tmp_path / "nowhere.py")], ASKED)
    assert told["error"]["type"] == "FileNotFoundError"
    model.write_text(MODEL + MODEL.replace("class Model", "class Second"))
    (told,) = serve([sys.executable, str(FILE), str(model)], ASKED)
    assert "2 classes with a method 'answer'" in told["error"]["message"]


def test_the_command_serves_a_file_of_this_environment(model: Path) -> None:
    code = f"from radbench.cli.worker import run; raise SystemExit(run({str(model)!r}, ['word=no'], None))"
    _, answer = serve([sys.executable, "-c", code], ASKED)
    assert answer["answer"] == {"text": SAID.replace("yes", "no")}


def test_the_command_names_what_is_wrong(model: Path) -> None:
    from radbench.cli.worker import run
    from radbench.errors import ConfigError

    with pytest.raises(ConfigError, match="unexpected keyword argument 'wrod'"):
        run(str(model), ["wrod=no"], None)
    for name in ("knn", "hf"):
        with pytest.raises(ConfigError, match=f"'{name}' is no hosted model: known names: llava-med, med-flamingo"):
            run(name, [], None)
