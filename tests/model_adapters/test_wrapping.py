"""Wrappers: the spec that names them, what they take from the model inside, and whose answers are whose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from radbench.model_adapters.controls import Blank, QuestionOnly, ShuffledImages
from radbench.model_adapters.knn import Knn
from radbench.model_adapters.rag import Rag
from radbench.model_adapters.shots import Shots
from radbench.model_adapters.wrapping import Wrapper

from radbench.errors import ConfigError, ImageError
from radbench.records import Answer, Embeds, Fitted, Image, Message, Ranks, Remote, Request, Shows, Told
from radbench.registry import find_model
from radbench.specs import parse_spec


class Plain:
    """Answers the text it was asked, two requests late and in reverse."""

    capabilities = frozenset({"text"})

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "test", "name": "plain"}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        given = list(requests)
        yield from ((r, Answer(text=r.text)) for r in reversed(given))


class Rich(Plain):
    """Everything a model may have."""

    endpoint = "http://127.0.0.1:1/v1"

    def fit(self, task: Any, support: Any) -> None:
        self.fitted = (task, support)

    def tell(self, task: Any, samples: Iterable[Any]) -> None:
        self.told = (task, list(samples))

    def embed(self, images: Sequence[Image]) -> np.ndarray:
        return np.ones((len(images), 2), np.float32)

    def shown(self, request: Request) -> str:
        return f"<s>{request.text}"

    def loglikelihood(self, requests: Sequence[Request], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        return [[float(len(r.text + c)) for c in cs] for r, cs in zip(requests, continuations, strict=True)]


class Louder(Wrapper):
    name = "louder"

    def __init__(self, model: Any, by: int = 1, regime: str = "") -> None:
        super().__init__(model, {"by": by}, regime)

    def change(self, request: Request) -> Request:
        if request.sample == "bad":
            raise ImageError("no such picture")
        return replace(request, messages=(Message("user", (request.text.upper(),)),))


def request(sample: str, text: str = "a?") -> Request:
    return Request("t", sample, (Message("user", (text,)),), key=sample.encode().ljust(16))


def test_answers_are_filed_under_the_original_requests() -> None:
    asked = [request("one", "a"), request("bad"), request("two", "b"), request("three", "c")]
    got = list(Louder(Plain()).answer(iter(asked)))
    assert {r.sample: a.text for r, a in got} == {"one": "A", "two": "B", "three": "C", "bad": None}
    assert all(r in asked for r, _ in got)
    assert [a.failure.kind for r, a in got if r.sample == "bad" and a.failure] == ["input"]


def test_a_wrapper_has_what_the_model_inside_has_and_no_more() -> None:
    protocols = (Fitted, Told, Remote, Embeds, Ranks, Shows)
    assert all(isinstance(Louder(Rich()), p) for p in protocols)
    assert not any(isinstance(Louder(Plain()), p) for p in protocols)
    inner = Rich()
    wrapped: Any = Louder(Louder(inner))
    wrapped.fit("task", "support")
    wrapped.tell("task", [1])
    assert (inner.fitted, inner.told) == (("task", "support"), ("task", [1]))
    assert wrapped.endpoint == Rich.endpoint
    assert wrapped.shown(request("x")) == "<s>A?"
    assert wrapped.loglikelihood([request("x")], [["!", ""]]) == [[3.0, 2.0]]
    assert wrapped.embed([Image("p")]).shape == (1, 2)
    assert wrapped.capabilities == {"text"}


def test_an_answer_to_nothing_asked_is_the_runners_to_refuse(text_task: Any, tmp_path: Any) -> None:
    import radbench
    from radbench.errors import ModelError

    class Twice(Plain):
        def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
            for r in requests:
                yield r, Answer(text="yes")
                yield r, Answer(text="yes")

    with pytest.raises(ModelError, match="answered a request twice"):
        radbench.evaluate(Louder(Twice()), str(text_task(4)), out=tmp_path / "run")


def test_names_fingerprints_and_regimes_nest() -> None:
    assert Louder(Plain(), 3).fingerprint() == {
        "adapter": "test", "name": "louder(plain,by=3)", "louder": "by=3",
    }  # fmt: skip
    outer = Louder(Louder(Plain(), 1, "few-shot:4"), 2, "retrieval:5")
    assert outer.fingerprint() == {
        "adapter": "test", "name": "louder(louder(plain),by=2)", "louder": "by=2",
        "regime": "few-shot:4+retrieval:5",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "kind", "name"),
    [
        ("blank(knn:k=3)", Blank, "blank(knn:k=3)"),
        ("blank(constant:no, effusion)", Blank, "blank(constant:no, effusion)"),
        ("question_only(majority)", QuestionOnly, "question_only(majority)"),
        ("shuffled_images(random:seed=3)", ShuffledImages, "shuffled_images(random)"),
        ("shuffled_images(random:seed=3,seed=4)", ShuffledImages, "shuffled_images(random,seed=4)"),
        ("shots(blank(knn:k=3),k=2)", Shots, None),
        ("shots(constant:a,b,k=2,draw=task)", Shots, None),
        ("rag(shots(majority,k=0), k=3, embed=pixels)", Rag, None),
    ],
)
def test_specs_name_the_model_first(spec: str, kind: type, name: str | None) -> None:
    model = find_model(spec)
    assert type(model) is kind
    if name:
        assert model.fingerprint()["name"] == name


def test_options_belong_to_the_wrapper_from_the_end_and_to_the_model_before() -> None:
    model: Any = find_model("rag(knn:k=3,k=7,embed=pixels)")
    assert model.fingerprint()["name"] == "rag(knn:k=3,k=7,embed=pixels)"
    assert find_model("rag(majority,embed=pixels)").fingerprint()["regime"] == "retrieval:5"
    shots: Any = find_model("shots(shots(random:seed=1,k=1),k=2,seed=5)")
    assert shots.fingerprint()["seed"] == "1"
    assert shots.fingerprint()["shots"] == "k=2,seed=5,draw=sample,near_duplicates=leave-out,balance=False"
    assert shots.fingerprint()["regime"] == "few-shot:1+few-shot:2"
    assert shots.inner.fingerprint()["name"] == "shots(random,k=1)"


def test_a_spec_inside_an_option_stands_in_parentheses() -> None:
    assert parse_spec("knn:k=5,embed=(hf:x,dtype=float32)") == (
        "knn", [], {"k": 5, "embed": "(hf:x,dtype=float32)"},
    )  # fmt: skip
    assert parse_spec("a:(1,2),b=)c,d=1") == ("a", [(1, 2)], {"b": ")c", "d": 1})
    with pytest.raises(ConfigError, match=r"'constant:a,b' gives no embeddings"):
        find_model("knn:k=2,embed=(constant:a,b)")
    with pytest.raises(ConfigError, match="'majority' gives no embeddings"):
        find_model("rag(random,embed=majority,k=2)")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("knn(majority)", "'knn' wraps no model: did you mean|'knn' wraps no model: known names"),
        ("blank:majority", "wraps another model"),
        ("blank()", "unknown model ''"),
        ("blank(majority,gray=3)", "gray"),
        ("shots(majority,k=-1)", "k is -1, expected a whole number of at least 0"),
        ("shots(majority,k=2.5)", "k is 2.5"),
        ("shots(majority,draw=batch)", "draw is 'batch', expected sample or task"),
        ("shots(majority,near_duplicates=drop)", "expected leave-out or keep"),
        ("shots(majority,balance=yes)", "balance is 'yes', expected True or False"),
        ("rag(majority,embed=pixels,k=0)", "k is 0, expected a whole number of at least 1"),
        ("rag(majority)", "'Majority' gives no embeddings of pictures\n  -> embed=pixels"),
        ("blank(majority,grey=256)", "grey is 256, expected 0"),
        ("shuffled_images(majority,seed=x)", "seed is 'x'"),
        ("rag(majority,embed=own,near_duplicates=3,k=2)", "near_duplicates is 3, expected keep or leave-out"),
    ],
)
def test_wrong_specs_are_told_in_one_line(spec: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        find_model(spec)
    assert any(m in str(error.value) for m in message.split("|")), str(error.value)


def test_embeddings_of_a_server_or_of_nobody_are_refused() -> None:
    with pytest.raises(ConfigError, match="is a server: embeddings are made on this machine"):
        Knn(embed=Rich())
    with pytest.raises(ConfigError, match="no model around which this stands"):
        Knn(embed="own")


def test_relative_paths_in_a_spec_are_made_absolute_where_a_model_reads_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from radbench.registry import anchored_model

    monkeypatch.chdir(tmp_path)
    for name in ("model", "normal", "lora", "2", "rank"):
        (tmp_path / name).mkdir()
    for name in ("p.jsonl", "my.py"):
        (tmp_path / name).write_text("")
    for given, expected in {
        "replay:p.jsonl": f"replay:{tmp_path}/p.jsonl",
        "hf:model,adapter=lora,dtype=float32": f"hf:{tmp_path}/model,adapter={tmp_path}/lora,dtype=float32",
        "hf:org/other": "hf:org/other",
        "constant:normal": "constant:normal",
        "blank(rag(hf:model,k=3))": f"blank(rag(hf:{tmp_path}/model,k=3))",
        "worker:my.py:Mine,checkout=lora": f"worker:{tmp_path}/my.py:Mine,checkout={tmp_path}/lora",
        "radfm:checkout=model,weights=absent.bin": f"radfm:checkout={tmp_path}/model,weights=absent.bin",
        "radfm:model,dtype=float32": f"radfm:{tmp_path}/model,dtype=float32",
        "knn:k=5": "knn:k=5",
        "knn:k=2,embed=(hf:model,batch=2)": f"knn:k=2,embed=(hf:{tmp_path}/model,batch=2)",
        "rag(hf:other,embed=hf:model,k=2)": f"rag(hf:other,embed=hf:{tmp_path}/model,k=2)",
        "hf:model,batch=2,choices=rank": f"hf:{tmp_path}/model,batch=2,choices=rank",
        "shots(constant:yes,k=2)": "shots(constant:yes,k=2)",
    }.items():
        assert anchored_model(given) == expected


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("shots(constant:yes,kk=3)", None),  # a constant's text
        ("shots(knn:k=5,kk=3)", "the options of shots are: k, seed, draw"),
        ("shots(knn", "close the parenthesis"),
        ("blank(constant:sad :(,grey=3)", "do not pair"),
    ],
)
def test_what_is_wrong_with_a_wrapper_is_said_of_the_wrapper(spec: str, says: str | None) -> None:
    if says is None:
        assert find_model(spec).fingerprint()["name"].startswith("shots(constant:yes,kk=3")
        return
    with pytest.raises(ConfigError) as caught:
        find_model(spec)
    assert says in str(caught.value)
