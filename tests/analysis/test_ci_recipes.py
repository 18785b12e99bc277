"""The CI recipes as a CI runs them: their own scripts, in bash, against a stand-in for radbench that notes its arguments."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
GITLAB = yaml.safe_load((ROOT / "examples" / "gitlab-ci.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
HOSTILE = '$(touch pwned)`touch pwned`\'; touch pwned; "$(touch pwned)" && touch pwned #'

STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
arguments = sys.argv[1:]
with open({log!r}, "a") as f:
    f.write(json.dumps([Path(sys.argv[0]).name, *arguments]) + "\\n")
given = dict(a.split("=", 1) for a in arguments if a.startswith("--") and "=" in a)
codes = json.loads({codes!r})
if arguments[:1] == ["check"] and codes["check"] in (0, 3, 4, 5):
    Path(given["--markdown"]).write_text("### Verdict: `code` $(touch pwned)\\n")
    Path(given["--junit"]).write_text("<testsuites/>")
sys.exit(codes.get(arguments[0], 0))
"""


@dataclass(frozen=True)
class Ended:
    """What a script left behind."""

    code: int
    calls: list[list[str]]
    summary: str
    outputs: dict[str, str]
    text: str


Runner = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Runs a script with GitHub's own flags, in an empty folder, and checks that no input was executed."""

    def runs(script: str, variables: Mapping[str, str], check: int = 0, made: int = 0) -> Ended:
        tools, place = tmp_path / "tools", tmp_path / "place"
        tools.mkdir(exist_ok=True)
        place.mkdir(exist_ok=True)
        log, summary, outputs = tmp_path / "calls", tmp_path / "summary.md", tmp_path / "outputs"
        for file in (log, summary, outputs):
            file.write_text("")
        codes = json.dumps({"check": check, "run": made})
        for name in ("radbench", "python"):
            (tools / name).write_text(STAND_IN.format(python=sys.executable, log=str(log), codes=codes))
            (tools / name).chmod(0o755)
        (tmp_path / "script.sh").write_text(script)
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(tmp_path / "script.sh")],
            cwd=place,
            env={
                "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
                "GITHUB_STEP_SUMMARY": str(summary),
                "GITHUB_OUTPUT": str(outputs),
                **variables,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert not list(tmp_path.rglob("pwned*")), "an input was run by the shell"
        given = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
        calls = [json.loads(line) for line in log.read_text().splitlines()]
        return Ended(done.returncode, calls, summary.read_text(), given, done.stdout + done.stderr)

    return runs


def environment(step: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, str]:
    """The step's variables, inputs put in where GitHub puts them."""
    given = {name: str(entry.get("default", "")) for name, entry in ACTION["inputs"].items()} | dict(inputs)

    def fill(match: re.Match[str]) -> str:
        return given[match.group(1)]

    return {name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", fill, value) for name, value in step["env"].items()}


def step(run: Runner, name: str, inputs: Mapping[str, str], **codes: int) -> Ended:
    return run(STEPS[name]["run"], environment(STEPS[name], inputs), **codes)


# --- action.yml ---


def test_the_action_is_a_composite_one_whose_scripts_hold_no_expression() -> None:
    assert ACTION["runs"]["using"] == "composite"
    for entry in ACTION["runs"]["steps"]:
        assert entry["shell"] == "bash"
        assert "${{" not in entry["run"]
        assert all(re.fullmatch(r"\$\{\{ inputs\.[\w-]+ \}\}", value) for value in entry["env"].values())
    used = set(re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text()))
    assert used == set(ACTION["inputs"])
    assert all(entry["description"] for entry in (*ACTION["inputs"].values(), *ACTION["outputs"].values()))
    assert [name for name, entry in ACTION["inputs"].items() if entry.get("required")] == ["baseline"]


@pytest.mark.parametrize(
    ("code", "verdict"),
    [(0, "pass"), (3, "regression"), (4, "inconclusive"), (5, "incomplete"), (1, "failed"), (2, "failed")],
)
def test_the_action_ends_with_the_gates_code_and_tells_it(run: Runner, code: int, verdict: str) -> None:
    ended = step(run, "Check", {"baseline": "b.npz"}, check=code)
    assert ended.code == code
    assert ended.outputs == {"verdict": verdict, "exit-code": str(code)}
    assert ended.summary == ("### Verdict: `code` $(touch pwned)\n" if code in (0, 3, 4, 5) else "")


def test_inconclusive_may_be_a_warning_and_nothing_else_may(run: Runner) -> None:
    inputs = {"baseline": "b.npz", "inconclusive": "warn"}
    warned = step(run, "Check", inputs, check=4)
    assert (warned.code, warned.outputs["verdict"], warned.outputs["exit-code"]) == (0, "inconclusive", "4")
    assert "::warning" in warned.text
    assert [step(run, "Check", inputs, check=code).code for code in (3, 5, 1)] == [3, 5, 1]
    refused = step(run, "Check", {"baseline": "b.npz", "inconclusive": "ignore"}, check=3)
    assert (refused.code, refused.calls) == (2, [])


def test_the_check_gets_every_input_as_one_argument(run: Runner) -> None:
    inputs = {
        "run": "my runs/a",
        "baseline": "base line.npz",
        "margin": "0.05; bleu-4=0.02",
        "metrics": "accuracy\nf1:over=fixed,zero_division=nan ;",
        "tasks": "phantom/*;*",
        "junit": "j.xml",
        "markdown": "m.md",
    }
    ended = step(run, "Check", inputs)
    assert ended.calls == [
        ["radbench", "check", "--baseline=base line.npz", "--junit=j.xml", "--markdown=m.md", "--margin=0.05",
         "--margin=bleu-4=0.02", "--metric=accuracy", "--metric=f1:over=fixed,zero_division=nan", "--tasks=phantom/*",
         "--tasks=*", "--", "my runs/a"],
    ]  # fmt: skip
    bare = step(run, "Check", {"baseline": "b"})
    assert bare.calls[0][2:] == ["--baseline=b", "--junit=radbench-check.xml", "--markdown=radbench-check.md", "--",
                                 "runs/check"]  # fmt: skip


@pytest.mark.parametrize("name", ["run", "baseline", "margin", "metrics", "tasks", "inconclusive"])
def test_no_input_of_the_check_reaches_the_shell(run: Runner, name: str) -> None:
    ended = step(run, "Check", {"baseline": "b.npz", name: HOSTILE})
    if name == "inconclusive":
        assert (ended.code, ended.calls) == (2, [])
    else:
        assert any("$(touch pwned)" in argument for argument in ended.calls[0])
    assert set(ended.outputs) <= {"verdict", "exit-code"}


def test_a_run_called_like_an_option_is_none(run: Runner) -> None:
    assert step(run, "Check", {"baseline": "--help", "run": "--help"}).calls[0][-2:] == ["--", "--help"]


def test_the_action_makes_the_run_first_where_it_is_told_to(run: Runner) -> None:
    arguments = "--model knn  --tasks phantom/*:cases=160,size=64\n--limit 20 * " + HOSTILE
    ended = step(run, "Run", {"run-arguments": arguments, "run": "out dir"})
    assert ended.calls == [["radbench", "run", *arguments.split(), "--out=out dir"]]
    assert STEPS["Run"]["if"] == "inputs.run-arguments != ''"
    codes = {code: step(run, "Run", {"run-arguments": "-m x"}, made=code).code for code in (0, 1, 2, 5)}
    assert codes == {0: 0, 1: 1, 2: 2, 5: 0}  # an incomplete run goes on to the check


def test_the_action_installs_one_requirement_and_no_options(run: Runner) -> None:
    ended = step(run, "Install", {"install": "radbench[demo] --index-url=x $(touch pwned)"})
    assert ended.calls == [
        ["python", "-m", "pip", "install", "--", "radbench[demo] --index-url=x $(touch pwned)"],
    ]


# --- GitLab ---


@pytest.mark.parametrize("code", [0, 3, 4, 5, 1])
def test_the_gitlab_job_ends_with_the_gates_code(run: Runner, code: int) -> None:
    job = GITLAB["radbench-check"]
    ended = run("\n".join(job["script"]), {**job["variables"], "MODEL": HOSTILE}, check=code, made=5)
    assert ended.code == code
    assert [call[:2] for call in ended.calls] == [["python", "-m"], ["radbench", "run"], ["radbench", "check"]]
    assert ended.calls[1][2] == f"--model={HOSTILE}"
    assert run("\n".join(job["script"]), job["variables"], made=1).code == 1


def test_the_gitlab_job_keeps_its_reports_and_forgives_too_few_samples_alone() -> None:
    job = GITLAB["radbench-check"]
    check = next(line for line in job["script"] if line.startswith("radbench check"))
    assert f"--junit={job['artifacts']['reports']['junit']}" in check
    assert all(f"--markdown={path}" in check for path in job["artifacts"]["paths"])
    assert job["artifacts"]["when"] == "always"
    assert job["allow_failure"] == {"exit_codes": 4}


# --- the planted regression ---


def test_the_planted_model_gives_every_question_the_answer_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples" / "ci")
    from planted import Shuffled
    from radbench.model_adapters.knn import Knn

    from radbench import Answer, Request

    monkeypatch.setattr(
        Knn, "answer", lambda self, requests: ((r, Answer(text=f"own of {r.sample}")) for r in requests)
    )
    requests = [Request("t", f"q{i}", ()) for i in range(25)]
    given = {request.sample: answer.text for request, answer in Shuffled().answer(requests)}
    assert sorted(given) == sorted(r.sample for r in requests)
    assert sorted(given.values()) == sorted(f"own of {sample}" for sample in given)
    assert not any(text == f"own of {sample}" for sample, text in given.items())
    again = {request.sample: answer.text for request, answer in Shuffled().answer(requests)}
    other = {request.sample: answer.text for request, answer in Shuffled(seed=1).answer(requests)}
    assert given == again != other
    assert (
        Shuffled().fingerprint() != Knn().fingerprint() and Shuffled().fingerprint() != Shuffled(seed=1).fingerprint()
    )
