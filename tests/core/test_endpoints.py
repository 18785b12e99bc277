"""Where data may go, and that nothing a model says of restricted data is printed or logged."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import radbench
from radbench.endpoints import is_loopback
from radbench.errors import ConfigError, ModelError
from radbench.records import Answer, Request


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000/v1",
        "http://LOCALHOST/v1",
        "https://127.0.0.1/",
        "http://127.9.8.7:1/v1/",
        "http://[::1]:8/v1",
    ],
)
def test_this_machine_by_its_very_name(url: str) -> None:
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/v1", "http://0.0.0.0:8000/v1", "http://127.1/v1", "http://2130706433/", "127.0.0.1:8000/v1",
        "http://localhost.evil.com/", "http://127.0.0.1.evil.com/", "http://127.0.0.1@evil.com/", "http://evil.com@127.0.0.1/",
        "http://evil.com\\@127.0.0.1/v1", "http://[::1].evil.com/", "http://[::1]evil.com/", "http://evil.com;@127.0.0.1",
        "http://[::ffff:127.0.0.1]/", "http://[127.0.0.1]/v1", "http://127.0.0.256/", "http://127.0.0.1%2eevil.com/",
        "ftp://127.0.0.1/", "http://١27.0.0.1/", "http://127.0.0.1:8000\n/v1", "",
    ],
)  # fmt: skip
def test_what_two_parsers_could_read_in_two_ways_is_elsewhere(url: str) -> None:
    assert not is_loopback(url)


class Far:
    """A plug-in whose requests would leave the machine; it records what it was asked."""

    capabilities = frozenset({"text"})
    endpoint = "https://models.example/v1"

    def __init__(self) -> None:
        self.asked = 0

    def fingerprint(self) -> dict[str, str]:
        return {"name": "far"}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            self.asked += 1
            yield request, Answer("yes")


def test_restricted_data_are_refused_and_consent_is_for_one_url_and_recorded(
    tmp_path: Path, text_task: Callable[..., Path]
) -> None:
    data = {"table": "samples.jsonl", "access": "credentialed", "columns": {"cluster": "patient"}}
    task, model = str(text_task(6, data=data)), Far()
    for consent in (None, "https://models.example/v2", "https://models.example"):
        with pytest.raises(ConfigError, match=r"credentialed data, and https://models\.example/v1 is not this machine"):
            radbench.evaluate(model, task, out=tmp_path / "run", allow_restricted_endpoint=consent)
    assert model.asked == 0 and not (tmp_path / "run").exists()
    radbench.evaluate(model, task, out=tmp_path / "run", allow_restricted_endpoint="https://models.example/v1/")
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert model.asked == 6 and manifest["config"]["allow_restricted_endpoint"] == "https://models.example/v1/"


def test_consent_is_not_inherited_by_another_run(tmp_path: Path, text_task: Callable[..., Path]) -> None:
    from radbench.cli.work import RunOptions

    radbench.evaluate(
        "constant:yes", str(text_task(3)), out=tmp_path / "a", allow_restricted_endpoint="https://x.example"
    )
    options = RunOptions(*[None] * 9, str(tmp_path / "a"))  # type: ignore[arg-type]
    assert options.resolve()[0].allow_restricted_endpoint is None


class Talks:
    """Raises with the question, in the way asked."""

    capabilities = frozenset({"text"})
    how: ClassVar[str] = ""

    def fingerprint(self) -> dict[str, str]:
        return {"name": "talks"}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            if self.how == "raises":
                raise KeyError(request.text)
            raise ModelError("it stopped", said=request.text)
        yield from ()


@pytest.mark.parametrize("how", ["raises", "says"])
@pytest.mark.parametrize("access", ["open", "credentialed"])
def test_what_a_model_says_of_restricted_data_is_neither_printed_nor_logged(
    how: str, access: str, tmp_path: Path, text_task: Callable[..., Path], caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Talks, "how", how)
    data = {"table": "samples.jsonl", "access": access, "columns": {"cluster": "patient"}}
    with caplog.at_level(logging.INFO, "radbench"), pytest.raises(ModelError) as caught:
        radbench.evaluate(Talks(), str(text_task(3, data=data)), out=tmp_path / "run")
    log = (tmp_path / "run/run.log").read_text() + caplog.text
    assert ("Question" in str(caught.value)) == (access == "open")
    assert ("Question" in log) == (access == "open" and how == "raises")
    assert caught.value.__cause__ is None and (how == "says" or "in answer" in log)


def test_what_an_answer_cost_never_loses_the_answer(tmp_path: Path, text_task: Callable[..., Path]) -> None:
    def model(request: Request) -> Answer:
        return Answer("yes", seconds=float("inf"), usage={"a": float("nan"), "b": 2})

    results = radbench.evaluate(model, str(text_task(3)), out=tmp_path / "run").results
    assert results is not None and results["tasks"]["test/toy"]["failures"] == {}
    line = json.loads((tmp_path / "run/answers/1-of-1.jsonl").read_text().splitlines()[0])
    assert line["usage"] == {"b": 2.0} and "seconds" not in line


def test_the_seed_of_the_run_draws_other_answers_where_a_task_samples() -> None:
    from dataclasses import replace

    from radbench.prompting import Renderer
    from radbench.records import Generation, Sample, Text
    from radbench.registry import find_tasks

    task, sample = (
        replace(find_tasks(["demo/modality"])[0], prompts=("Which?",)),
        Sample("a", None, {"answer": Text(("CT",))}),
    )
    warm = replace(task, generation=Generation(temperature=0.7, seed=10))
    requests = [Renderer(t, seed, b"model").render(sample) for t in (warm, task) for seed in (0, 1)]
    assert [r.generation.seed for r in requests] == [10, 11, 0, 0]
    assert requests[0].key != requests[1].key and requests[2].key == requests[3].key
