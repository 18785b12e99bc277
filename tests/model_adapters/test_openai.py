"""The OpenAI adapter: what is sent, what identifies it, and that restricted data stay on this machine."""

from __future__ import annotations

import base64
import io
import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniatures.fault_server import FaultServer, Reaction, completion, error, ok
from PIL import Image as PIL
from radbench.model_adapters.messages import Pictures
from radbench.model_adapters.openai import OpenAI
from radbench.model_adapters.server import messages as openai_messages
from radbench.model_adapters.server.address import key_variable
from radbench.model_adapters.server.faults import masked
from radbench.model_adapters.server.messages import Messages, encode, png
from radbench.model_adapters.server.replies import names_one, option_scores
from radbench.tasks.readers.table import Table

import radbench
import radbench.__main__
from radbench.errors import ConfigError, Exit, ImageError
from radbench.records import Answer, Generation, Image, Message, Request, Sample, Shows
from radbench.registry import find_model

pytest.importorskip("httpx", reason="needs httpx: pip install 'radbench[api]'")

TaskWriter = Callable[..., Path]
ELSEWHERE = "http://192.0.2.1:9/v1"  # a documentation address: nothing answers there
SECRET = "sk-very-secret-0123456789"


def picture(path: Path, array: np.ndarray) -> Image:
    PIL.fromarray(array).save(path)
    return Image(str(path))


def request_of(*content: str | Image, **fields: Any) -> Request:
    return Request("t", "s", (Message("user", content),), key=bytes(16), **fields)


def decoded(url: str) -> np.ndarray:
    head, _, data = url.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(PIL.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def one_answer(server: FaultServer, request: Request, **options: Any) -> Answer:
    ((_, answer),) = OpenAI(server.url, model="m", **options).answer([request])
    return answer


# --- messages ---


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 33), (5, 7, 3), (40, 64, 3)])
def test_pictures_are_sent_without_loss(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    sent = PIL.open(io.BytesIO(png(PIL.fromarray(array).convert("RGB"))))
    assert sent.mode == ("RGB" if array.ndim == 3 else "L")
    assert (np.asarray(sent) == array).all()


def test_messages_are_those_of_the_protocol(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    grey, colour = rng.integers(0, 256, (4, 6)).astype(np.uint8), rng.integers(0, 256, (3, 2, 3)).astype(np.uint8)
    first, second = picture(tmp_path / "a.png", grey), picture(tmp_path / "b.png", colour)
    shot = (Message("user", (first, "Is it normal?")), Message("assistant", ("no",)))
    request = Request(
        "t", "s", (Message("system", ("Be brief.",)), *shot, Message("user", ("A: ", first, "B: ", second)))
    )
    system, user, assistant, last = Messages(Pictures(), "high").of(request)
    assert system == {"role": "system", "content": "Be brief."}
    assert assistant == {"role": "assistant", "content": "no"}
    assert [p["type"] for p in user["content"]] == ["image_url", "text"]
    assert [p["type"] for p in last["content"]] == ["text", "image_url", "text", "image_url"]
    assert last["content"][0] == {"type": "text", "text": "A: "}
    assert last["content"][1]["image_url"]["detail"] == "high"
    assert (decoded(last["content"][1]["image_url"]["url"]) == grey[..., None]).all()
    assert (decoded(last["content"][3]["image_url"]["url"]) == colour).all()


def test_messages_as_json_are_the_messages(tmp_path: Path) -> None:
    image = picture(tmp_path / "a.png", np.zeros((3, 4), np.uint8))
    messages = Messages(Pictures())
    for words in ("Größe \u2028 \ud800?", 'a "b" \\', openai_messages._MARK):
        request = request_of("A", image, words, image)
        assert json.loads(messages.as_json(request)) == messages.of(request)


def test_picture_policies_hold(tmp_path: Path) -> None:
    images = [picture(tmp_path / f"{i}.png", np.full((40, 20), 50 * i, np.uint8)) for i in range(3)]
    request = request_of(*images, "Compare.")

    def sizes(**options: Any) -> list[tuple[int, ...]]:
        (message,) = Messages(Pictures(**options)).of(request)
        return [decoded(p["image_url"]["url"]).shape[:2] for p in message["content"] if p["type"] == "image_url"]

    assert sizes() == [(40, 20)] * 3
    assert sizes(longest=10) == [(10, 5)] * 3
    assert sizes(multi_image="first") == [(40, 20)]
    assert sizes(multi_image="tile") == [(80, 40)]
    with pytest.raises(ImageError, match="3 pictures"):
        sizes(multi_image="error")


def test_an_encoding_is_kept_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    monkeypatch.setattr(openai_messages, "encode", lambda p: (encoded.append(1), encode(p))[1])
    image = picture(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    messages = Messages(Pictures())
    assert messages.of(request_of(image, "x")) == messages.of(request_of(image, "x"))
    assert len(encoded) == 1
    picture(tmp_path / "a.png", np.full((9, 8), 7, np.uint8))
    messages.of(request_of(image, "x"))
    assert len(encoded) == 2
    monkeypatch.setattr(openai_messages, "_KEPT", 10)  # the bound: nothing fits
    messages.of(request_of(picture(tmp_path / "b.png", np.zeros((8, 8), np.uint8)), "x"))
    assert not messages._kept


def test_a_picture_too_large_for_servers_fails_its_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(tmp_path / "a.png", np.zeros((64, 64), np.uint8))
    monkeypatch.setattr(openai_messages, "LARGEST", 50)
    with FaultServer(lambda *_: ok()) as server:
        answer = one_answer(server, request_of(image, "x"))
        assert answer.failure is not None
        assert answer.failure.kind == "input"
        assert "64x64" in answer.failure.message
        assert not server.bodies


def test_the_prompt_is_shown_as_sent_without_the_pictures_bytes(tmp_path: Path) -> None:
    image = picture(tmp_path / "a.png", np.zeros((30, 40), np.uint8))
    model = OpenAI(ELSEWHERE, model="m")
    assert isinstance(model, Shows)
    (message,) = json.loads(model.shown(request_of(image, "Is it normal?")))
    size = len(png(PIL.new("RGB", (40, 30))))
    assert message == {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": f"<image 40x30, {size} bytes>"}},
            {"type": "text", "text": "Is it normal?"},
        ],
    }


@pytest.mark.parametrize(
    ("options", "generation", "expected"),
    [
        ({}, Generation(), {"max_tokens": 512, "temperature": 0.0, "seed": 3}),
        (
            {"temperature": "omit", "seed": "omit", "token_field": "max_completion_tokens", "reasoning_effort": "low"},
            Generation(),
            {"max_completion_tokens": 512, "reasoning_effort": "low"},
        ),
        (
            {"max_new_tokens": 7, "logprobs": 5, "extra": {"top_k": 1}},
            Generation(64, 0.5, 0.9, ("\n",), 11),
            {"max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "stop": ["\n"], "seed": 14, "logprobs": True,
             "top_logprobs": 5, "top_k": 1},
        ),
    ],
)  # fmt: skip
def test_options_are_sent(options: dict[str, Any], generation: Generation, expected: dict[str, Any]) -> None:
    with FaultServer(lambda *_: ok()) as server:
        one_answer(server, request_of("x", generation=generation, draw=3), **options)
        assert server.bodies == [{"model": "m", "messages": [{"role": "user", "content": "x"}], **expected}]
        assert server.headers[0]["path"] == "/v1/chat/completions"
        assert "authorization" not in server.headers[0]


def test_a_spec_names_the_server(tmp_path: Path) -> None:
    (tmp_path / "more.json").write_text('{"a": 1, "b": {"c": false}}')
    model = find_model(
        f"openai:https://api.example.org:8443/v1/,model=org/name-2.5,extra={tmp_path}/more.json,concurrency=3"
    )
    assert isinstance(model, OpenAI)
    assert model.endpoint == "https://api.example.org:8443/v1"
    said = model.fingerprint()
    assert said["name"] == "openai:org/name-2.5"
    assert said["server"] == "api.example.org:8443/v1"
    assert json.loads(said["extra"]) == {"a": 1, "b": {"c": False}}
    nested = find_model('openai:http://localhost/v1,model=m,extra={"chat_template_kwargs":{"enable_thinking":false}}')
    assert json.loads(nested.fingerprint()["extra"]) == {"chat_template_kwargs": {"enable_thinking": False}}


def test_the_fingerprint_holds_what_changes_answers_and_nothing_else() -> None:
    base = OpenAI("http://127.0.0.1:1/v1", model="m").fingerprint()
    for same in ({"concurrency": 2}, {"timeout": 9}, {"retries": 1}, {"price_in": 1.0}, {"key": "OTHER"},
                 {"max_tokens_total": 5}, {"token_field": "max_completion_tokens"}):  # fmt: skip
        assert OpenAI("http://127.0.0.1:1/v1", model="m", **same).fingerprint() == base  # type: ignore[arg-type]
    for other in ({"model": "n"}, {"max_new_tokens": 9}, {"temperature": "omit"}, {"seed": "omit"}, {"logprobs": 2},
                  {"choices": "rank"}, {"cut_off": "keep"}, {"reasoning_effort": "low"}, {"extra": {"top_k": 1}},
                  {"detail": "low"}, {"slices": 3}, {"longest": 9}, {"window": "lung"}, {"multi_image": "tile"}):  # fmt: skip
        assert OpenAI("http://127.0.0.1:1/v1", **{"model": "m", **other}).fingerprint() != base  # type: ignore[arg-type]
    assert OpenAI("http://127.0.0.1:2/v1", model="m").fingerprint() != base
    assert all(isinstance(v, str) for v in base.values())


def test_a_local_folder_served_under_its_path_is_identified_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    before = OpenAI("http://127.0.0.1:1/v1", model=str(tmp_path / "tiny")).fingerprint()
    assert before["name"] == "openai:tiny"
    assert str(tmp_path) not in json.dumps(dict(before))
    (tmp_path / "tiny" / "config.json").write_text("[]")
    assert OpenAI("http://127.0.0.1:1/v1", model=str(tmp_path / "tiny")).fingerprint() != before


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("127.0.0.1:8000/v1", {}, "begins with no http://HOST"),
        ("ftp://127.0.0.1/v1", {}, "begins with no http"),
        ("http://:80", {}, "begins with no http"),
        ("http://127.0.0.1:99999/v1", {}, "cannot be read"),
        ("http://127.0.0.1/v1/chat/completions", {}, "give http://127.0.0.1/v1"),
        (f"http://me:{SECRET}@127.0.0.1/v1", {}, "holds a user"),
        (f"http://127.0.0.1/v1?key={SECRET}", {}, "a query"),
        ("http://127.0.0.1/v1", {"concurrency": 0}, "concurrency is 0, expected a whole number of at least 1"),
        ("http://127.0.0.1/v1", {"timeout": 0}, "timeout is 0, expected a number above 0"),
        ("http://127.0.0.1/v1", {"timeout": float("nan")}, "timeout is nan"),
        ("http://127.0.0.1/v1", {"concurrency": True}, "concurrency is True"),
        ("http://127.0.0.1/v1", {"proxy": "http://10.0.0.1:3128"}, "is this machine, which is not reached by a proxy"),
        ("http://192.0.2.1/v1", {"proxy": f"http://me:{SECRET}@10.0.0.1:3128"}, "proxy holds a user"),
        ("http://192.0.2.1/v1", {"proxy": "socks5://10.0.0.1"}, "proxy begins with no http"),
        ("http://127.0.0.1/v1", {"retries": -1}, "retries is -1"),
        ("http://127.0.0.1/v1", {"temperature": 0.5}, "temperature is 0.5, expected send or omit"),
        ("http://127.0.0.1/v1", {"token_field": "tokens"}, "max_completion_tokens"),
        ("http://127.0.0.1/v1", {"max_cost": 5}, "max_cost needs price_in and price_out"),
        ("http://127.0.0.1/v1", {"extra": "missing.json"}, "missing.json"),
        ("http://127.0.0.1/v1", {"extra": "{'a': 1"}, "extra is"),
        ("http://127.0.0.1/v1", {"multi_image": "some"}, "multi_image"),
    ],
)
def test_wrong_options_are_named(url: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        OpenAI(url, model="m", **options)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_what_has_a_budget_says_so_and_a_wrapper_of_it_too() -> None:
    for options in ("max_tokens_total=9", "max_cost=1,price_in=1,price_out=1"):
        spec = f"openai:{ELSEWHERE},model=m,{options}"
        assert find_model(spec).budgeted  # type: ignore[attr-defined]
        assert find_model(f"blank({spec})").budgeted  # type: ignore[attr-defined]
    assert not find_model(f"blank(openai:{ELSEWHERE},model=m,price_in=1)").budgeted  # type: ignore[attr-defined]
    assert not find_model("blank(random)").budgeted  # type: ignore[attr-defined]


def test_a_missing_package_is_told_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ConfigError, match=r"httpx is missing\n  -> pip install 'radbench\[api\]'"):
        find_model(f"openai:{ELSEWHERE},model=m")


@pytest.mark.parametrize("name", ["openai", "vllm"])
def test_it_can_be_described(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["radbench", "describe", "model", name])
    with suppress(SystemExit):
        radbench.__main__.main()
    assert "multi_image, text, volumes" in capsys.readouterr().out


# --- ranking ---


@pytest.mark.parametrize(
    ("tokens", "options", "expected"),
    [
        ([(" yes", 0.5), ("Yes", 0.2), ("no", 0.1)], ("yes", "no"), {"yes": 7 / 8, "no": 1 / 8}),
        ([("Y", 0.6), ("n", 0.2), ("the", 0.1)], ("Yes", "No"), {"Yes": 0.75, "No": 0.25}),
        ([("pne", 0.6), ("normal", 0.2)], ("pneumonia", "pneumothorax", "normal"), None),
        ([("pneumon", 0.6), ("normal", 0.2), ("p", 0.1)], ("pneumonia", "pneumothorax", "normal"),
         {"pneumonia": 0.75, "pneumothorax": 0.0, "normal": 0.25}),
        ([("The", 0.9)], ("yes", "no"), None),
        ([("", 0.5), (" ", 0.4)], ("yes", "no"), None),
        ([], ("yes", "no"), None),
    ],
)  # fmt: skip
def test_first_tokens_rank_options_where_they_differ(
    tokens: list[tuple[str, float]], options: tuple[str, ...], expected: dict[str, float] | None
) -> None:
    found = option_scores([(t, float(np.log(p))) for t, p in tokens], options)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Yes, there is.", True), (" 'no'", True), ("yes or no", False), ("There is: yes", False), ("yesterday", False)],
)
def test_scores_go_with_an_answer_that_is_one_option(text: str, expected: bool) -> None:
    assert names_one(text, ("yes", "no")) is expected


def _with_logprobs(content: str, tokens: dict[str, float]) -> Reaction:
    reply = json.loads(completion(content))
    top = [{"token": t, "logprob": float(np.log(p))} for t, p in tokens.items()]
    reply["choices"][0]["logprobs"] = {"content": [{"token": content, "logprob": -0.1, "top_logprobs": top}]}
    return Reaction(json.dumps(reply).encode())


def test_ranked_and_scored_answers() -> None:
    request = replace(request_of("Effusion?"), choices=("yes", "no"))
    with FaultServer(lambda *_: _with_logprobs("No.", {"No": 0.6, "yes": 0.2})) as server:
        ranked = one_answer(server, request, choices="rank")
        assert (ranked.text, ranked.scores) == ("no", pytest.approx({"yes": 0.25, "no": 0.75}))
        assert (server.bodies[0]["max_tokens"], server.bodies[0]["top_logprobs"]) == (1, 20)
        scored = one_answer(server, request, logprobs=4)
        assert (scored.text, scored.scores) == ("No.", pytest.approx({"yes": 0.25, "no": 0.75}))
        assert one_answer(server, request).scores is None
    with FaultServer(lambda *_: ok("no")) as server:
        assert one_answer(server, request, logprobs=4).scores is None
        with pytest.raises(radbench.RadbenchError, match="gives no logprobs"):
            one_answer(server, request, choices="rank")
    assert "logprobs" in OpenAI(ELSEWHERE, model="m", logprobs=2).capabilities
    assert "logprobs" not in OpenAI(ELSEWHERE, model="m").capabilities


# --- restricted data and secrets ---


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every attempt to reach something: a name looked up, a connection made, a datagram sent."""
    seen: list[Any] = []

    def watched(owner: Any, name: str) -> None:
        monkeypatch.setattr(owner, name, lambda *a, **_: (seen.append((name, a[-1])), 1 / 0))

    for name in ("connect", "connect_ex", "sendto"):
        watched(socket.socket, name)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        watched(socket, name)
    return seen


def private_task(text_task: TaskWriter, access: str = "credentialed", **fields: Any) -> str:
    columns = {"table": "samples.jsonl", "columns": {"cluster": "patient"}, "access": access}
    return str(text_task(12, data=columns, **fields))


SPECS = [
    f"openai:{ELSEWHERE},model=m",
    "openai:http://127.0.0.1.example.org/v1,model=m",
    "openai:http://localhost.example.org/v1,model=m",
    f"blank(openai:{ELSEWHERE},model=m)",
    f"question_only(openai:{ELSEWHERE},model=m)",
    f"shuffled_images(blank(openai:{ELSEWHERE},model=m))",
]


@pytest.mark.parametrize("access", ["credentialed", "private", "on-request", "registered"])
@pytest.mark.parametrize("spec", SPECS)
def test_restricted_data_are_refused_before_a_byte_is_sent(
    spec: str, access: str, text_task: TaskWriter, tmp_path: Path, sockets: list[Any]
) -> None:
    with pytest.raises(ConfigError, match="is not this machine: nothing was sent") as caught:
        radbench.evaluate(spec, private_task(text_task, access), out=tmp_path / "run")
    assert caught.value.exit_code == Exit.FAILED
    assert sockets == []
    assert access in str(caught.value)
    assert "Question" not in str(caught.value)
    assert "q0" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def support_task(tmp_path: Path) -> str:
    """Twelve open questions, the last four in the support split."""
    rows = [
        {
            "id": f"q{i}",
            "question": f"Question {i}?",
            "answer": "yes" if i % 2 else "no",
            "split": "test" if i < 8 else "train",
        }
        for i in range(12)
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    task = {"name": "t", "kind": "vqa", "metrics": ["exact-match"], "split": "test", "support": "train",
            "data": {"table": "t.jsonl", "access": "open"}}  # fmt: skip
    (tmp_path / "t.yaml").write_text(json.dumps(task))
    return str(tmp_path / "t.yaml")


@pytest.mark.parametrize("secret", ["q3", "q9"], ids=["a test sample", "a support sample"])
@pytest.mark.parametrize(
    "spec",
    [
        f"openai:{ELSEWHERE},model=m",
        f"blank(openai:{ELSEWHERE},model=m)",
        f"shots(openai:{ELSEWHERE},model=m,k=2)",
        f"rag(openai:{ELSEWHERE},model=m,embed=pixels,k=2)",
    ],
)
def test_one_restricted_sample_of_a_mixed_set_is_enough_to_refuse(
    spec: str, secret: str, tmp_path: Path, sockets: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Table.samples

    def mixed(self: Table, split: str) -> Iterator[Sample]:
        for sample in real(self, split):
            yield sample._replace(access="credentialed") if sample.id == secret else sample

    monkeypatch.setattr(Table, "samples", mixed)
    with pytest.raises(ConfigError, match="holds credentialed data") as caught:
        radbench.evaluate(spec, support_task(tmp_path), out=tmp_path / "run")
    assert sockets == []
    assert not any(word in str(caught.value) for word in ("Question", secret))


def test_a_wholly_open_set_is_not_refused(tmp_path: Path, sockets: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with pytest.raises(radbench.RadbenchError):  # the watched sockets fail, which shows that they watch
        radbench.evaluate(f"openai:{ELSEWHERE},model=m,retries=0", support_task(tmp_path), out=tmp_path / "run")
    assert sockets


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """A server that stands where ELSEWHERE points: connections to 192.0.2.1 arrive at it."""
    real = socket.socket.connect
    with FaultServer(lambda *_: ok()) as server:
        monkeypatch.setattr(
            socket.socket, "connect",
            lambda self, address: real(self, ("127.0.0.1", server.port) if address[0] == "192.0.2.1" else address),
        )  # fmt: skip
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)
        yield server


def test_a_person_may_allow_one_server_and_it_is_recorded(
    text_task: TaskWriter, tmp_path: Path, elsewhere: FaultServer
) -> None:
    task, run = private_task(text_task), tmp_path / "run"
    for other in ("http://192.0.2.1:9", "http://192.0.2.1:9/v2", "https://192.0.2.1:9/v1", "http://192.0.2.2:9/v1"):
        with pytest.raises(ConfigError, match="nothing was sent"):
            radbench.evaluate(f"openai:{ELSEWHERE},model=m", task, out=run, allow_restricted_endpoint=other)
    assert not elsewhere.bodies
    evaluation = radbench.evaluate(
        f"openai:{ELSEWHERE},model=m", task, out=run, allow_restricted_endpoint=ELSEWHERE, resamples=50
    )
    assert evaluation.results is not None and evaluation.results["complete"]
    assert len(elsewhere.bodies) == 12
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["config"]["allow_restricted_endpoint"] == ELSEWHERE


def test_the_command_line_refuses_with_exit_code_1(
    text_task: TaskWriter,
    tmp_path: Path,
    sockets: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["run", "--model", SPECS[0], "--tasks", private_task(text_task), "--out", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["radbench", *command])
    with pytest.raises(SystemExit) as ended:
        radbench.__main__.main()
    assert ended.value.code == Exit.FAILED
    assert sockets == []
    said = "".join(capsys.readouterr())
    assert f"--allow-restricted-endpoint {ELSEWHERE}" in said
    assert "Question" not in said


def test_restricted_data_go_to_a_server_of_this_machine(text_task: TaskWriter, tmp_path: Path) -> None:
    with FaultServer(lambda *_: ok()) as server:
        evaluation = radbench.evaluate(
            f"openai:{server.url},model=m", private_task(text_task), out=tmp_path / "run", resamples=50
        )
        assert evaluation.results is not None and evaluation.results["complete"]


def test_building_a_model_and_its_fingerprint_send_nothing_and_look_up_no_name(sockets: list[Any]) -> None:
    model = OpenAI("https://api.example.org/v1", model="m")
    model.fingerprint()
    model.shown(request_of("x"))
    model.answer([request_of("x")])  # a generator: nothing happens before it is drawn from
    assert sockets == []


def test_a_server_elsewhere_is_reached_through_a_proxy_that_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with FaultServer(lambda *_: ok("by proxy")) as proxy:
        url = proxy.url.removesuffix("/v1")
        ((_, answer),) = OpenAI(ELSEWHERE, model="m", key="none", proxy=url).answer([request_of("x")])
        assert answer.text == "by proxy"
        assert proxy.headers[0]["host"] == "192.0.2.1:9"
    assert f"requests go through the proxy {url}" in caplog.text


def test_no_server_is_reached_through_a_proxy_of_the_environment(
    elsewhere: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultServer(lambda *_: error(500)) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        monkeypatch.setenv("NO_PROXY", "")
        for url in (ELSEWHERE, elsewhere.url):
            ((_, answer),) = OpenAI(url, model="m").answer([request_of("x")])
            assert answer.text == "yes"
        assert not proxy.bodies


def test_a_missing_key_is_named_where_one_is_needed(monkeypatch: pytest.MonkeyPatch, sockets: list[Any]) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="environment variable OPENAI_API_KEY holds no key"):
        list(OpenAI(ELSEWHERE, model="m").answer([request_of("x")]))
    monkeypatch.setenv("MY_KEY", f"{SECRET}\x07ä")
    with pytest.raises(ConfigError, match="more than printable ASCII") as caught:
        list(OpenAI(ELSEWHERE, model="m", key="MY_KEY").answer([request_of("x")]))
    assert SECRET not in str(caught.value)
    assert sockets == []


@pytest.mark.parametrize(
    "key",
    [SECRET, "gsk_abcDEF0123456789", "a" * 65, "4f1c9e", "sk-ant api"],
    ids=["sk", "word", "long", "hex", "space"],
)
def test_a_key_in_the_place_of_its_variable_is_refused_and_never_written(
    key: str, text_task: TaskWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, task = f"openai:{ELSEWHERE},model=m,key={key}", str(text_task(2))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(sys, "argv", ["radbench", "run", "--model", f"blank({spec})", "--tasks", task])
    with pytest.raises(SystemExit) as ended:
        radbench.__main__.main()
    said = "".join(capsys.readouterr())
    assert ended.value.code == Exit.FAILED
    assert "key names no environment variable" in said
    assert key not in said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_variable_of_any_name_that_is_set_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("my_key", SECRET)
    for name, taken in {"my_key": "my_key", "NOT_SET_YET": "NOT_SET_YET", "none": "", None: "", "": ""}.items():
        assert key_variable(name) == taken
        OpenAI(ELSEWHERE, model="m", key=name)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [200, 401, 500])
def test_the_key_is_sent_and_never_written(
    status: int,
    text_task: TaskWriter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)
    caplog.set_level("DEBUG")
    reaction = ok() if status == 200 else error(status, "worker", code="bad")
    said = ""
    with FaultServer(lambda *_: reaction) as server:
        spec = f"openai:{server.url},model=m,key=MY_KEY,retries=1,backoff=0.01"
        try:
            evaluation = radbench.evaluate(spec, str(text_task(8)), out=tmp_path / "run", resamples=50)
            said = repr(evaluation)
        except radbench.RadbenchError as stopped:
            said = repr((stopped, str(stopped), stopped.__cause__, stopped.__context__))
        assert {h["authorization"] for h in server.headers} == {f"Bearer {SECRET}"}
    written = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    assert len(written) > 3
    assert not any(SECRET.encode() in b for b in written)
    assert SECRET not in said + caplog.text + repr(find_model(spec).fingerprint())


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("maximum context length is 4096 tokens", "maximum context length is 4096 tokens"),
        ("cannot read 'Jane Doe, 12/3/1950' here", "cannot read '…' here"),
        ("input_value='jane doe'", "input_value='…'"),
        ("data:image/png;base64," + "iVBORw0KGgo" * 9, "data:image/png;base64,…"),
        ("x\ny\tz", "x y z"),
        ("word " * 100, "word " * 40 + "..."),
    ],
)
def test_a_servers_message_is_shown_without_what_stands_in_the_prompt(said: str, shown: str) -> None:
    assert masked(said, "Patient Jane Doe, born 12/3/1950.") == shown


@pytest.mark.parametrize("form", ["openai", "fastapi", "ollama", "html"])
def test_no_error_repeats_the_prompt(form: str, text_task: TaskWriter, tmp_path: Path) -> None:
    def script(prompt: str, attempt: int) -> Reaction:
        if prompt.startswith("Question 0"):
            return ok()
        echo: Any = {"error": {"message": f"cannot tokenise {prompt!r}", "type": prompt}}
        if form == "fastapi":
            echo = {"detail": [{"loc": ["body", "messages"], "msg": f"bad {prompt}", "input": prompt}]}
        if form == "ollama":
            echo = {"error": f"cannot tokenise {prompt!r}"}
        return Reaction(prompt.encode() if form == "html" else json.dumps(echo).encode(), 400)

    rows = [{"id": f"q{i}", "question": f"Question {i} of Zebulon Quux?", "answer": "yes"} for i in range(6)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    table = {"table": "t.jsonl", "access": "credentialed"}
    (tmp_path / "t.yaml").write_text(
        json.dumps({"name": "t", "kind": "vqa", "metrics": ["exact-match"], "data": table})
    )
    with FaultServer(script) as server:
        evaluation = radbench.evaluate(
            f"openai:{server.url},model=m", str(tmp_path / "t.yaml"), out=tmp_path / "run", resamples=50
        )
    assert evaluation.outcome.failures == {"input": 5}
    for path in [p for p in (tmp_path / "run").rglob("*") if p.is_file()]:
        content = path.read_bytes()
        assert b"Zebulon" not in content
        assert b"Quux" not in content
    lines = [json.loads(x) for x in (tmp_path / "run" / "answers" / "1-of-1.jsonl").read_text().splitlines()]
    assert all(x["message"].startswith("HTTP 400") for x in lines if x["status"] == "input")
