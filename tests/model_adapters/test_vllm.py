"""The vLLM adapter against a stand-in with the documented signatures of ``vllm.LLM.chat`` and ``vllm.SamplingParams``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as PIL
from radbench.model_adapters.messages import Pictures
from radbench.model_adapters.server.messages import Messages
from radbench.model_adapters.vllm import VLLM

import radbench
from radbench.errors import ConfigError
from radbench.records import Answer, Generation, Image, Message, Request
from radbench.registry import find_model


@dataclass
class SamplingParams:
    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = 16
    logprobs: int | None = None


@dataclass
class Engine:
    """Answers ``yes`` unless told otherwise; refuses a batch that holds the words "too long", as vLLM does."""

    answers: dict[str, Any] = field(default_factory=dict)
    built: list[dict[str, Any]] = field(default_factory=list)
    chats: list[list[Any]] = field(default_factory=list)
    params: list[SamplingParams] = field(default_factory=list)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    state = Engine()

    class LLM:
        def __init__(self, model: str, *, dtype: str = "auto", **kwargs: Any) -> None:
            state.built.append({"model": model, "dtype": dtype, **kwargs})

        def chat(
            self, messages: list[Any], sampling_params: Any = None, use_tqdm: bool = True, lora_request: Any = None,
            chat_template: str | None = None, chat_template_content_format: str = "auto",
            add_generation_prompt: bool = True, continue_final_message: bool = False, tools: Any = None,
            chat_template_kwargs: dict[str, Any] | None = None, mm_processor_kwargs: dict[str, Any] | None = None,
        ) -> list[Any]:  # fmt: skip
            assert not use_tqdm
            prompts = [m[-1]["content"] for m in messages]
            if any("too long" in p for p in prompts if isinstance(p, str)):
                raise ValueError("The decoder prompt (length 9000) is longer than 4096: 'Jane Doe'")
            state.chats.append(messages)
            state.params += sampling_params
            said = [state.answers.get(str(p), {}) for p in prompts]
            return [SimpleNamespace(prompt_token_ids=[1, 2, 3], outputs=[output(**s)]) for s in said]

    module = ModuleType("vllm")
    module.__spec__ = ModuleSpec("vllm", None)
    module.LLM, module.SamplingParams = LLM, SamplingParams  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    return state


def output(text: str = "yes", finish: str = "stop", first: dict[str, float] | None = None) -> Any:
    top = {
        i: SimpleNamespace(logprob=float(np.log(p)), decoded_token=t) for i, (t, p) in enumerate((first or {}).items())
    }
    return SimpleNamespace(text=text, finish_reason=finish, token_ids=[5, 6], logprobs=[top] if first else None)


def asked(*prompts: str, **fields: Any) -> list[Request]:
    return [
        Request("t", p, (Message("user", (p,)),), key=i.to_bytes(16, "big"), **fields) for i, p in enumerate(prompts)
    ]


def test_the_engine_is_loaded_at_the_first_question_with_its_options(engine: Engine) -> None:
    model = find_model("vllm:org/name,dtype=bfloat16,max_model_len=4096,engine={'limit_mm_per_prompt':{'image':8}}")
    model.fingerprint()
    assert engine.built == []
    assert [a.text for _, a in model.answer(asked("a", "b"))] == ["yes", "yes"]
    assert engine.built == [
        {"model": "org/name", "dtype": "bfloat16", "tensor_parallel_size": 1, "max_model_len": 4096,
         "gpu_memory_utilization": 0.9, "trust_remote_code": False, "limit_mm_per_prompt": {"image": 8}}
    ]  # fmt: skip


def test_generation_and_messages_are_those_of_the_server_adapter(engine: Engine, tmp_path: Path) -> None:
    PIL.new("L", (5, 4), 9).save(tmp_path / "a.png")
    request = replace(asked("x")[0], messages=(Message("user", (Image(str(tmp_path / "a.png")), "Normal?")),), draw=2)
    request = replace(request, generation=Generation(9, 0.5, 0.9, ("\n",), 7))
    list(VLLM("m", logprobs=3).answer([request]))
    assert engine.chats == [[Messages(Pictures()).of(request)]]
    assert engine.params == [SamplingParams(1, 0.5, 0.9, 9, ["\n"], 9, 3)]


def test_batches_are_drawn_lazily(engine: Engine) -> None:
    drawn: list[int] = []
    requests = (drawn.append(1) or r for r in asked(*map(str, range(10))))  # type: ignore[func-returns-value]
    stream = VLLM("m", batch=4).answer(requests)
    next(stream)
    assert len(drawn) == 4
    list(stream)
    assert [len(c) for c in engine.chats] == [4, 4, 2]


def test_a_refused_prompt_costs_its_own_sample_only(engine: Engine) -> None:
    prompts = ("a", "Jane Doe: too long", "b")
    found = {r.sample: a for r, a in VLLM("m").answer(asked(*prompts))}
    assert [found[p].text for p in prompts] == ["yes", None, "yes"]
    failure = found[prompts[1]].failure
    assert failure is not None
    assert failure.kind == "input"
    assert "length 9000" in failure.message
    assert "Jane" not in failure.message


@pytest.mark.parametrize(
    ("said", "options", "expected"),
    [
        ({"text": "The heart", "finish": "length"}, {}, ("The heart", "cut_off", None)),
        ({"text": "The heart", "finish": "length"}, {"cut_off": "keep"}, ("The heart", None, None)),
        ({"text": " "}, {}, (" ", "empty", None)),
        ({"text": "<think>white</think>no"}, {}, ("no", None, "white")),
    ],
)
def test_answers_are_read(
    engine: Engine, said: Any, options: Any, expected: tuple[str, str | None, str | None]
) -> None:
    engine.answers["x"] = said
    ((_, answer),) = VLLM("m", **options).answer(asked("x"))
    assert (answer.text, answer.failure and answer.failure.kind, answer.reasoning) == expected
    assert answer.usage == {"input_tokens": 3.0, "output_tokens": 2.0}


def test_first_tokens_give_scores(engine: Engine) -> None:
    engine.answers["x"] = {"text": "No", "first": {"No": 0.6, " yes": 0.2}}
    ((_, answer),) = VLLM("m", logprobs=2).answer(asked("x", choices=("yes", "no")))
    assert answer.scores == pytest.approx({"yes": 0.25, "no": 0.75})


def test_a_run_and_its_resume(engine: Engine, text_task: Any, tmp_path: Path) -> None:
    task = str(text_task(20))
    first = radbench.evaluate("vllm:m,batch=8", task, out=tmp_path / "run", resamples=50)
    assert first.results is not None and first.results["complete"]
    again = radbench.evaluate("vllm:m,batch=3,tensor_parallel_size=2", task, out=tmp_path / "run", resamples=50)
    assert (again.outcome.asked, len(engine.built)) == (0, 1)


def test_the_fingerprint_holds_what_changes_answers(engine: Engine, tmp_path: Path) -> None:
    base = VLLM("m").fingerprint()
    assert VLLM("m", batch=3, tensor_parallel_size=4, gpu_memory_utilization=0.5).fingerprint() == base
    for other in ({"dtype": "float16"}, {"revision": "x"}, {"quantization": "awq"}, {"logprobs": 2}, {"slices": 2},
                  {"max_new_tokens": 3}, {"cut_off": "keep"}, {"engine": {"a": 1}}, {"template": {"b": 1}}):  # fmt: skip
        assert VLLM("m", **other).fingerprint() != base  # type: ignore[arg-type]
    (tmp_path / "config.json").write_text("{}")
    local = VLLM(str(tmp_path)).fingerprint()
    assert str(tmp_path) not in json.dumps(dict(local))


def test_wrong_options_and_a_missing_package_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="batch is 0"):
        VLLM("m", batch=0)
    with pytest.raises(ConfigError, match="cut_off is 'no'"):
        VLLM("m", cut_off="no")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ConfigError, match=r"the package vllm is missing\n  -> pip install vllm"):
        find_model("vllm:m")


def test_a_picture_that_cannot_be_read_fails_alone(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    bad = replace(asked("x")[0], key=b"z" * 16, messages=(Message("user", (Image(str(tmp_path / "a.png")),)),))
    found: list[Answer] = [a for _, a in VLLM("m").answer([bad, *asked("y")])]
    assert [a.failure and a.failure.kind for a in found] == ["input", None]
