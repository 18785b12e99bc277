"""The OpenAI client against a server that fails by script: nothing lost, nothing counted twice, every failure counted."""

from __future__ import annotations

import gzip
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from miniatures.fault_server import FaultServer, Reaction, completion, error, half_a_body, hang, ok
from radbench.model_adapters.openai import OpenAI

import radbench
from radbench.errors import Exit, Interrupted, ModelError
from radbench.records import Answer, Message, Request

pytest.importorskip("httpx", reason="needs httpx: pip install 'radbench[api]'")

TaskWriter = Callable[..., Path]
FAST = {"timeout": 5, "backoff": 0.01, "retries": 2}


def asked(*prompts: str) -> list[Request]:
    return [Request("t", p, (Message("user", (p,)),), key=i.to_bytes(16, "big")) for i, p in enumerate(prompts)]


def model(server: FaultServer, **options: Any) -> OpenAI:
    return OpenAI(server.url, model="m", **{**FAST, **options})


def answers(server: FaultServer, *prompts: str, **options: Any) -> dict[str, Answer]:
    return {r.sample: a for r, a in model(server, **options).answer(asked("hello", *prompts))}


def by_prompt(reactions: dict[str, list[Reaction]]) -> Callable[[str, int], Reaction]:
    """Each prompt's reactions in turn, the last one for ever; any other prompt is answered."""
    return lambda prompt, attempt: (
        reactions[prompt][min(attempt, len(reactions[prompt]) - 1)] if prompt in reactions else ok()
    )


STREAM = {"content-type": "text/event-stream"}


def stream(*pieces: str, finish: str | None = "stop") -> Reaction:
    """Server-sent events, which some servers answer with although nobody asked for a stream."""
    chunks = [{"delta": {"role": "assistant"}}, *({"delta": {"content": p}} for p in pieces)]
    chunks += [{"delta": {}, "finish_reason": finish}] if finish else []
    lines = "".join(f"data: {json.dumps({'choices': [c]}, ensure_ascii=False)}\n\n" for c in chunks)
    return Reaction((lines + ("data: [DONE]\n\n" if finish else "")).encode(), headers=STREAM)


# Each fault: what it is counted as, and after how many attempts.
FAULTS: dict[str, tuple[Reaction, str, int]] = {
    "busy": (error(429, "slow down"), "transport", 3),
    "broken": (error(500, "internal"), "transport", 3),
    "gateway": (error(502), "transport", 3),
    "unavailable": (error(503), "transport", 3),
    "too early": (error(425), "transport", 3),
    "no quota": (error(429, "pay first", code="insufficient_quota"), "transport", 1),
    "hangs": (hang(1.2), "transport", 3),
    "half": (half_a_body(), "transport", 3),
    "malformed": (Reaction(b'{"choices": [{"mess'), "transport", 3),
    "not utf-8": (Reaction(b"\xff\xfe"), "transport", 3),
    "other json": (Reaction(b"[1, 2]"), "transport", 3),
    "broken stream": (stream("y", "es", finish=None), "transport", 3),
    "error in stream": (Reaction(b'data: {"error": {}}\n\n', headers=STREAM), "transport", 3),
    "odd stream": (Reaction(b'data: {"choices": [1]}\n\n', headers=STREAM), "transport", 3),
    "endless": (Reaction(b" " * (65 << 20)), "transport", 1),
    "bomb": (Reaction(gzip.compress(b" " * (65 << 20), 1), headers={"content-encoding": "gzip"}), "transport", 1),
    "bomb in a bomb": (Reaction(b"x", headers={"content-encoding": "gzip, gzip"}), "transport", 1),
    "no gzip": (Reaction(b"x", headers={"content-encoding": "gzip"}), "transport", 1),
    "error as 200": (Reaction(b'{"error": {"message": "upstream"}}'), "transport", 3),
    "bad request": (error(400, "too long", code="context_length_exceeded"), "input", 1),
    "too large": (error(413), "input", 1),
    "forbidden": (error(403), "transport", 1),
    "gone": (error(404), "transport", 1),
    "redirect": (error(307, location="http://192.0.2.1/v1"), "transport", 1),
    "filtered prompt": (error(400, "policy", code="content_filter"), "refused", 1),
    "no choice": (Reaction(b'{"choices": []}'), "empty", 1),
    "filtered": (ok("The", finish="content_filter"), "refused", 1),
    "declined": (ok(None, refusal="I cannot help with that."), "refused", 1),
    "declined part": (ok([{"type": "refusal", "refusal": "No."}]), "refused", 1),
    "cut off": (ok("The heart is", finish="length"), "cut_off", 1),
    "null": (ok(None), "empty", 1),
    "blank": (ok(" \n"), "empty", 1),
    "tool": (ok(None, tool_calls=[{"id": "1"}], finish="tool_calls"), "empty", 1),
    "thought only": (ok("<think>hm", finish="stop"), "empty", 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def every_fault() -> tuple[FaultServer, dict[str, Answer]]:
    with FaultServer(by_prompt({name: [reaction] for name, (reaction, _, _) in FAULTS.items()})) as server:
        slow = {"endless", "bomb"}  # 64 MiB take longer than the others may on a busy machine
        quick = answers(server, *(name for name in FAULTS if name not in slow), timeout=0.8, concurrency=8)
        return server, {**quick, **answers(server, *slow, timeout=60, concurrency=2)}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_counted_as_what_it_is(name: str, every_fault: tuple[FaultServer, dict[str, Answer]]) -> None:
    server, found = every_fault
    _, kind, attempts = FAULTS[name]
    failure = found[name].failure
    assert failure is not None
    assert (failure.kind, server.attempts[name]) == (kind, attempts)
    assert failure.message


def test_what_was_said_is_kept(every_fault: tuple[FaultServer, dict[str, Answer]]) -> None:
    found = every_fault[1]
    assert found["cut off"].text == "The heart is"
    assert found["declined"].text == "I cannot help with that."
    assert found["thought only"].reasoning == "hm"
    assert found["hello"].failure is None
    assert found["hello"].usage == {"input_tokens": 10.0, "output_tokens": 2.0}
    assert "more than 64 MiB" in found["endless"].failure.message  # type: ignore[union-attr]
    assert "more than 64 MiB" in found["bomb"].failure.message  # type: ignore[union-attr]
    assert "redirect" in found["redirect"].failure.message  # type: ignore[union-attr]
    assert "192.0.2.1" not in found["redirect"].failure.message  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("reaction", "text", "reasoning"),
    [
        (ok([{"type": "text", "text": "Yes"}, {"type": "output_text", "text": "."}]), "Yes.", None),
        (ok("yes", reasoning_content="It is white."), "yes", "It is white."),
        (ok("yes", reasoning="It is white."), "yes", "It is white."),
        (ok("<think>It is white.</think>\nyes"), "yes", "It is white."),
        (ok("It is white.</think>yes"), "yes", "It is white."),
        (stream("<think>white</think>", "y", "es"), "yes", "white"),
        (stream("line\u2028two"), "line\u2028two", None),
        (Reaction(gzip.compress(completion()), headers={"content-encoding": "gzip"}), "yes", None),
        (ok("no", refusal=None, reasoning_content=None, tool_calls=[]), "no", None),
    ],
)
def test_texts_and_reasoning(reaction: Reaction, text: str, reasoning: str | None) -> None:
    with FaultServer(lambda *_: reaction) as server:
        answer = answers(server)["hello"]
    assert (answer.text, answer.reasoning, answer.failure) == (text, reasoning, None)


def test_cut_off_answers_are_scored_where_one_says_so() -> None:
    with FaultServer(lambda *_: ok("The heart", finish="length")) as server:
        answer = answers(server, cut_off="keep")["hello"]
        assert (answer.text, answer.failure) == ("The heart", None)


# --- retries, concurrency, budget ---


def test_retry_after_is_honoured_as_seconds_and_as_a_date() -> None:
    date = formatdate(time.time() + 2, usegmt=True)  # whole seconds: between one and two from now
    script = by_prompt({
        "seconds": [error(429, retry_after="0.4"), ok()],
        "date": [error(503, retry_after=date), ok()],
        "nonsense": [error(429, retry_after="soon"), ok()],
    })  # fmt: skip
    with FaultServer(script) as server:
        found = answers(server, "seconds", "date", "nonsense")
    assert [a.text for a in found.values()] == ["yes"] * 4
    waited = {p: t[1] - t[0] for p, t in server.times.items() if len(t) > 1}
    assert 0.39 <= waited["seconds"] < 0.9
    assert 0.9 <= waited["date"] < 2.6
    assert waited["nonsense"] < 0.3


def test_concurrency_falls_and_recovers() -> None:
    crowd = 8  # the server takes no more at once

    def script(prompt: str, attempt: int) -> Reaction:
        return error(429, delay=0.005) if server.at_once > crowd else ok(delay=0.005)

    prompts = [f"p{i}" for i in range(400)]
    with FaultServer(script) as server:
        adapter = model(server, concurrency=32, retries=20)
        found = [a for _, a in adapter.answer(asked(*prompts))]
        assert [a.failure for a in found] == [None] * 400
        assert server.most_at_once > crowd
        assert 1 <= adapter.gate.lowest <= crowd
        crowd = 1000
        for _ in adapter.answer(asked(*(f"again {i}" for i in range(800)))):
            pass
        assert adapter.gate.limit == 32
        assert server.most_at_once <= 32


def test_the_other_token_field_is_used_once_the_server_asks_for_it() -> None:
    def script(prompt: str, attempt: int) -> Reaction:
        if "max_tokens" in server.bodies[-1]:
            return error(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return ok()

    with FaultServer(script) as server:
        found = answers(server, *(f"p{i}" for i in range(20)))
        assert [a.text for a in found.values()] == ["yes"] * 21
        assert sum(server.attempts.values()) == 22  # the first one twice


def test_the_first_request_goes_alone_and_the_rest_together() -> None:
    with FaultServer(lambda *_: ok(delay=0.03)) as server:
        adapter = model(server, concurrency=10)
        for _ in adapter.answer(asked(*(f"p{i}" for i in range(60)))):
            pass
        assert server.most_at_once == 10
        first, second = sorted(t for times in server.times.values() for t in times)[:2]
        assert second - first >= 0.03


def test_of_restricted_data_no_word_of_the_server_is_in_the_error() -> None:
    with (
        FaultServer(lambda *_: error(404, "Zebulon Quux is no model")) as server,
        pytest.raises(ModelError, match="Zebulon") as caught,
    ):
        list(model(server).answer(asked("a")))
    said = str(caught.value.discreet("credentialed"))
    assert "nothing has been answered, HTTP 404" in said
    assert "Zebulon" not in said


@pytest.mark.parametrize("status", [301, 401, 403, 404])
def test_a_wrong_key_address_or_model_stops_the_run_at_once(status: int) -> None:
    with FaultServer(lambda *_: error(status, "no such model", code="model_not_found")) as server:
        with pytest.raises(
            ModelError, match=f"openai:m: nothing has been answered, HTTP {status}.*: model_not_found: no such model"
        ) as caught:
            list(model(server).answer(asked(*(f"p{i}" for i in range(100)))))
        assert sum(server.attempts.values()) == 1
    assert "/v1" in caught.value.remedy


def test_requests_that_are_never_accepted_stop_the_run_too() -> None:
    with FaultServer(lambda *_: error(400, "this server reads no pictures")) as server:
        with pytest.raises(ModelError, match="reads no pictures"):
            list(model(server).answer(asked(*(f"p{i}" for i in range(100)))))
        assert sum(server.attempts.values()) == 3


def test_a_bad_first_request_does_not_stop_the_others() -> None:
    with FaultServer(by_prompt({"p0": [error(400, "too long")]})) as server:
        found = {r.sample: a for r, a in model(server).answer(asked("p0", "p1", "p2"))}
        assert {s: a.failure and a.failure.kind for s, a in found.items()} == {"p0": "input", "p1": None, "p2": None}


def test_prompts_that_a_filter_refuses_are_counted_from_the_first_on() -> None:
    with FaultServer(lambda *_: error(400, "policy", code="content_filter")) as server:
        found = answers(server, "a", "b", "c", "d")
    assert {a.failure and a.failure.kind for a in found.values()} == {"refused"}


def test_an_unreachable_server_stops_the_run() -> None:
    with FaultServer(lambda *_: ok()) as server:
        url = server.url
    started = time.monotonic()
    with pytest.raises(ModelError, match="cannot connect") as caught:
        list(OpenAI(url, model="m").answer(asked("a", "b")))  # with the retries that it has by default
    assert time.monotonic() - started < 3.5
    assert caught.value.remedy == f"is the server at {url.split('/')[2]} running?"


def test_a_server_that_dies_mid_run_stops_it_soon() -> None:
    def script(prompt: str, attempt: int) -> Reaction:
        return ok() if sum(server.attempts.values()) <= 30 else error(500, "worker died")

    kinds: Counter[str] = Counter()
    with FaultServer(script) as server, pytest.raises(ModelError, match=r"20 requests in a row.*worker died"):
        for _, answer in model(server, concurrency=4, retries=0).answer(asked(*(f"p{i}" for i in range(500)))):
            kinds[answer.failure.kind if answer.failure else "ok"] += 1
    assert kinds["ok"] == 30
    assert kinds["transport"] == 19


@pytest.mark.parametrize(
    ("cap", "spent"),
    [
        ({"max_tokens_total": 120}, "max_tokens_total=120"),
        ({"max_cost": 0.1, "price_in": 1000, "price_out": 0}, "max_cost=0.1"),
    ],
)
def test_the_budget_ends_the_session_and_a_resume_goes_on(
    cap: dict[str, Any], spent: str, text_task: TaskWriter, tmp_path: Path
) -> None:
    task, options = str(text_task(30)), ",".join(f"{k}={v}" for k, v in {**cap, **FAST, "concurrency": 3}.items())
    with FaultServer(lambda *_: ok()) as server:
        spec = f"openai:{server.url},model=m,{options}"
        with pytest.raises(Interrupted, match="the budget is spent") as caught:
            radbench.evaluate(spec, task, out=tmp_path / "run", resamples=100)
        assert caught.value.exit_code == Exit.INCOMPLETE
        assert spent in caught.value.message
        lines = (tmp_path / "run" / "answers" / "1-of-1.jsonl").read_text().splitlines()
        assert len(lines) == sum(server.attempts.values())  # what was paid for is kept
        assert 10 <= len(lines) <= 10 + 3
        more = spec.replace("max_cost=0.1", "max_cost=100").replace("max_tokens_total=120", "max_tokens_total=1e6")
        evaluation = radbench.evaluate(more, task, out=tmp_path / "run", resamples=100)
        assert evaluation.results is not None and evaluation.results["complete"]
        assert set(server.attempts.values()) == {1}


def test_a_budget_needs_a_server_that_reports_usage() -> None:
    with FaultServer(lambda *_: Reaction(b'{"choices": [{"message": {"content": "yes"}}]}')) as server:
        with pytest.raises(ModelError, match="reports no token usage"):
            list(model(server, max_tokens_total=100).answer(asked("a")))
        assert answers(server)["hello"].usage == {}


def test_every_reply_counts_towards_the_budget_and_the_kept_one_in_its_answer() -> None:
    first = {"content": [{"top_logprobs": [{"token": "left", "logprob": -0.1}]}]}  # begins both options

    def script(prompt: str, attempt: int) -> Reaction:
        reply = json.loads(completion("left lung", tokens=(10, 1 if attempt == 0 else 5)))
        reply["choices"][0]["logprobs"] = first if attempt == 0 else None
        return Reaction(json.dumps(reply).encode())

    request = asked("which?")[0]
    with FaultServer(script) as server:
        adapter = model(server, price_in=1, price_out=10, choices="rank")
        ((_, answer),) = adapter.answer([replace(request, choices=("left lung", "left kidney"))])
        assert [b["max_tokens"] for b in server.bodies] == [1, 512]
    assert (answer.text, answer.scores) == ("left lung", None)
    assert answer.usage == {"input_tokens": 10.0, "output_tokens": 5.0, "cost": pytest.approx(60e-6)}
    assert (adapter.budget.tokens_in, adapter.budget.tokens_out) == (20, 6)


# --- 5,000 requests ---


def mixed(seed: int, healthy: bool) -> Callable[[str, int], Reaction]:
    """A seeded script: most prompts are answered, some after faults, a few never (unless ``healthy``)."""

    def script(prompt: str, attempt: int) -> Reaction:
        draw = random.Random(f"{seed} {prompt}")
        fate = draw.random()
        faults = [error(429, retry_after="0.01"), error(500, "x"), half_a_body(), Reaction(b"{"), hang(1.3)]
        fault = draw.choices(faults, [15, 40, 20, 23, 2])[0]
        if fate < 0.02 and not healthy:
            return fault
        if fate < 0.10 and attempt < draw.choice([1, 2]):
            return fault
        final = {
            0.11: ok("x", finish="content_filter"),
            0.12: ok("y", finish="length"),
            0.13: ok(None),
            0.14: error(400),
        }
        return next((r for limit, r in final.items() if 0.10 <= fate < limit), ok(f"answer to {prompt}"))

    return script


def expected(prompt: str, seed: int) -> str:
    """What a prompt ends as, read from the script by playing it."""
    for attempt in range(3):
        reaction = mixed(seed, healthy=False)(prompt, attempt)
        if reaction.status == 400:
            return "input"
        if reaction.status != 200 or reaction.half or reaction.delay or reaction.body == b"{":
            continue
        choice = json.loads(reaction.body)["choices"][0]
        reasons = {"content_filter": "refused", "length": "cut_off"}
        return reasons.get(choice["finish_reason"], "ok" if choice["message"]["content"] else "empty")
    return "transport"


def test_five_thousand_requests_lose_nothing_and_count_everything(text_task: TaskWriter, tmp_path: Path) -> None:
    n, seed = 5000, 6
    task = text_task(n)
    healthy = False
    with FaultServer(lambda prompt, attempt: mixed(seed, healthy)(prompt, attempt)) as server:
        spec = f"openai:{server.url},model=m,concurrency=64,timeout=1,retries=2,backoff=0.005"
        evaluation = radbench.evaluate(spec, str(task), out=tmp_path / "run", resamples=50)
        prompts = list(server.attempts)
        fate = Counter(expected(p, seed) for p in prompts)
        lines = [json.loads(x) for x in (tmp_path / "run" / "answers" / "1-of-1.jsonl").read_text().splitlines()]
        assert len(prompts) == n == len(lines) == len({x["key"] for x in lines})
        assert Counter(x["status"] for x in lines) == fate
        assert set(fate) == {"ok", "transport", "input", "refused", "cut_off", "empty"}
        assert evaluation.outcome.failures == {k: v for k, v in fate.items() if k != "ok"}
        for x in lines:  # every answer lies under the sample whose prompt it answers
            assert x["status"] != "ok" or f"Question {x['sample'][1:]}?" in x["text"]
        assert evaluation.exit_code() == Exit.INCOMPLETE
        assert not evaluation.results["complete"]  # type: ignore[index]

        healthy = True
        before, lost = Counter(server.attempts), {x["sample"] for x in lines if x["status"] == "transport"}
        again = radbench.evaluate(spec, str(task), out=tmp_path / "run", resamples=50)
        asked_again = {p for p in server.attempts if server.attempts[p] > before[p]}
        assert asked_again == {f"Question {sample[1:]}?" for sample in lost}
        assert len(asked_again) == len(lost) == fate["transport"] == again.outcome.asked
        assert again.outcome.reused == n - len(lost)
        assert again.results is not None and again.results["complete"]
        task_result = again.results["tasks"]["test/toy"]
        assert task_result["n"] == n
        assert "transport" not in task_result["failures"]


# --- endings ---


def test_closing_the_iterator_cancels_what_is_under_way() -> None:
    with FaultServer(lambda p, _: ok() if p == "p0" else hang(30)) as server:
        stream = model(server, concurrency=8, timeout=60).answer(asked(*(f"p{i}" for i in range(100))))
        assert next(stream)[0].sample == "p0"
        time.sleep(0.2)
        started = time.monotonic()
        stream.close()  # type: ignore[attr-defined]
        assert time.monotonic() - started < 2
        assert not [t for t in threading.enumerate() if t.name == "radbench-openai"]
        assert sum(server.attempts.values()) <= 9


def test_requests_are_drawn_lazily_and_from_the_calling_thread() -> None:
    drawn: list[int] = []

    def requests() -> Iterator[Request]:
        for i, request in enumerate(asked(*(f"p{i}" for i in range(500)))):
            drawn.append(threading.get_ident())
            if i > 100:
                assert len(drawn) - taken <= 8 + 32 + 1
            yield request

    taken = 0
    with FaultServer(lambda *_: ok()) as server:
        for _ in model(server, concurrency=8).answer(requests()):
            taken += 1
    assert taken == 500
    assert set(drawn) == {threading.get_ident()}


def test_an_error_of_the_request_stream_reaches_the_caller() -> None:
    def requests() -> Iterator[Request]:
        yield from asked("a", "b")
        raise ValueError("the reader stopped")

    with FaultServer(lambda *_: ok(delay=0.05)) as server, pytest.raises(ValueError, match="the reader stopped"):
        list(model(server).answer(requests()))


def test_ctrl_c_keeps_what_was_answered(text_task: TaskWriter, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with FaultServer(lambda *_: ok(delay=0.02)) as server:
        command = [
            sys.executable, "-m", "radbench", "run", "--model", f"openai:{server.url},model=m,concurrency=4",
            "--tasks", str(text_task(5000)), "--out", str(run),
        ]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 30
        while sum(server.attempts.values()) < 60 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=20)[1]
    assert process.returncode == Exit.INCOMPLETE, err
    assert "radbench resume" in err
    lines = (run / "answers" / "1-of-1.jsonl").read_text().splitlines()
    assert 30 <= len(lines) < 5000
    assert {json.loads(x)["status"] for x in lines} == {"ok"}
    assert "Traceback" not in err
