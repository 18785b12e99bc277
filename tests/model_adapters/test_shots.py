"""Few-shot examples: the exact turns, the same for every shard and resumed run, and never what is asked."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PIL
from radbench.model_adapters.rag import Rag
from radbench.model_adapters.shots import Shots

import radbench
from radbench.errors import ConfigError
from radbench.records import Answer, Image, Request
from radbench.registry import find_model


class Listener:
    """Answers "yes" (or what it is told to) and keeps the requests as it got them."""

    capabilities = frozenset({"text", "multi_image"})

    def __init__(self, reply: Callable[[Request], str] = lambda request: "yes", stop_after: int | None = None) -> None:
        self.reply, self.stop_after = reply, stop_after
        self.asked: dict[str, Request] = {}

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "test", "name": "listener"}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            if self.stop_after is not None and len(self.asked) >= self.stop_after:
                raise KeyboardInterrupt
            self.asked[request.sample] = request
            yield request, Answer(text=self.reply(request))


def turns(request: Request) -> list[tuple[str, tuple[str, ...]]]:
    """Roles and contents, pictures by their file name."""
    return [
        (m.role, tuple(p if isinstance(p, str) else Path(p.path).name for p in m.content)) for m in request.messages
    ]


def questions(root: Path, pool: int = 10, test: int = 6, **fields: Any) -> str:
    """Questions on pictures: ``pool`` for training, ``test`` to ask, one picture a sample."""
    root.mkdir(exist_ok=True)
    draw, rows = np.random.default_rng(0), []
    for split, count in (("train", pool), ("test", test)):
        for i in range(count):
            name = f"{split}{i}.png"
            PIL.fromarray(draw.integers(0, 256, (40, 40), dtype=np.uint8)).save(root / name)
            rows.append(
                {"id": f"{split}{i}", "image": name, "split": split, "question": f"{split} question {i}?",
                 "answer": ["no", "yes"][i % 3 == 0], "patient": f"{split}{i // 2}"}
            )  # fmt: skip
    (root / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    task = {
        "name": "t", "kind": "vqa", "support": "train", "metrics": ["exact-match"],
        "data": {"table": "t.jsonl", "access": "open", "columns": {"cluster": "patient"}}, **fields,
    }  # fmt: skip
    (root / "t.yaml").write_text(json.dumps(task))
    return str(root / "t.yaml")


def ask(task: str, out: Path, model: Any = None, **options: Any) -> Listener:
    """Run ``shots`` around a listener, which then has the requests."""
    model = model or Listener()
    shard = options.pop("shard", None)
    radbench.evaluate(Shots(model, **options), task, out=out, resamples=10, shard=shard)
    return model


def examples_of(request: Request) -> list[str]:
    """The files of the examples' pictures."""
    return [Path(p.path).stem for m in request.messages[:-1] for p in m.content if isinstance(p, Image)]


def test_examples_are_turns_before_the_question_and_after_the_system_message(tmp_path: Path) -> None:
    task = questions(tmp_path / "d", prompt="{image-1} {question} Answer yes or no.", system="You are a radiologist.")
    model = ask(task, tmp_path / "run", k=3)
    for sample, request in model.asked.items():
        (system, *shots, (role, content)) = turns(request)
        assert system == ("system", ("You are a radiologist.",))
        assert (role, content[0]) == ("user", f"{sample}.png")
        assert len(shots) == 6
        for user, assistant in zip(shots[::2], shots[1::2], strict=True):
            number = int(user[1][0].removeprefix("train").removesuffix(".png"))
            assert user == ("user", (f"train{number}.png", f" train question {number}? Answer yes or no."))
            assert assistant == ("assistant", ("yes" if number % 3 == 0 else "no",))
        assert len(set(examples_of(request))) == 3
    assert len({tuple(examples_of(r)) for r in model.asked.values()}) > 1


def test_the_draw_is_of_seed_task_and_sample_alone(tmp_path: Path) -> None:
    task = questions(tmp_path / "d")
    first = {s: turns(r) for s, r in ask(task, tmp_path / "a").asked.items()}
    assert {s: turns(r) for s, r in ask(task, tmp_path / "b", Listener(lambda r: "no")).asked.items()} == first
    assert {s: turns(r) for s, r in ask(task, tmp_path / "c", seed=1).asked.items()} != first
    # Golden: another Python, numpy or machine draws the same.
    again = ask(task, tmp_path / "a2").asked
    assert {s: "".join(e[-1] for e in examples_of(again[s])) for s in ("test0", "test1")} == GOLDEN
    sharded: dict[str, Any] = {}
    for i in (1, 2, 3):
        part = ask(task, tmp_path / "sharded", shard=f"{i}/3").asked
        assert not sharded.keys() & part.keys()
        sharded |= {s: turns(r) for s, r in part.items()}
    assert sharded == first
    with pytest.raises(radbench.errors.Interrupted):
        ask(task, tmp_path / "stopped", Listener(stop_after=2))
    rest = ask(task, tmp_path / "stopped").asked
    assert len(rest) == 4
    assert all(turns(r) == first[s] for s, r in rest.items())
    whole, resumed = ((tmp_path / name / "results.json").read_bytes() for name in ("a", "stopped"))
    assert whole == resumed


GOLDEN = {"test0": "7023", "test1": "3908"}


def test_one_draw_for_the_whole_task(tmp_path: Path) -> None:
    model = ask(questions(tmp_path / "d"), tmp_path / "run", draw="task", k=5)
    assert len({tuple(examples_of(r)) for r in model.asked.values()}) == 1
    two = tmp_path / "d" / "u.yaml"
    two.write_text((tmp_path / "d" / "t.yaml").read_text().replace('"name": "t"', '"name": "u"'))
    other = Listener()
    radbench.evaluate(Shots(other, draw="task", k=5), [str(two)], out=tmp_path / "other", resamples=10)
    # Equal requests of two tasks are asked once: whoever asks them shows the same examples.
    assert {s: turns(r) for s, r in other.asked.items()} == {s: turns(r) for s, r in model.asked.items()}
    assert "by_sample" not in Shots(Listener(), draw="task").capabilities
    assert "by_sample" in Shots(Listener()).capabilities


def test_equal_questions_have_examples_of_their_own(tmp_path: Path) -> None:
    """Two samples with the same content are two requests, for each has its own examples."""
    task = questions(tmp_path / "d", test=2)
    table = tmp_path / "d" / "t.jsonl"
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    rows[-1] |= {"image": rows[-2]["image"], "question": rows[-2]["question"]}
    table.write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert len(ask(task, tmp_path / "run").asked) == 2
    assert len(ask(task, tmp_path / "once", draw="task").asked) == 1


def test_no_examples_is_the_question_alone(tmp_path: Path) -> None:
    task = questions(tmp_path / "d")
    plain = Listener()
    radbench.evaluate(plain, task, out=tmp_path / "plain", resamples=10)
    none = ask(task, tmp_path / "none", k=0)
    assert {s: r.messages for s, r in none.asked.items()} == {s: r.messages for s, r in plain.asked.items()}
    assert Shots(none, k=0).fingerprint()["regime"] == "few-shot:0"


def plant(root: Path, source: str, place: str, change: int = 1) -> None:
    """``place`` becomes a copy of ``source`` with a few pixels changed."""
    pixels = np.array(PIL.open(root / source))
    pixels[:change] ^= 3
    PIL.fromarray(pixels).save(root / place)


def test_the_asked_picture_is_no_example_unless_kept(tmp_path: Path, caplog: Any) -> None:
    task = questions(tmp_path / "d", pool=5)
    plant(tmp_path / "d", "test0.png", "train2.png")
    (tmp_path / "d" / "train3.png").write_bytes((tmp_path / "d" / "test1.png").read_bytes())
    with caplog.at_level(logging.INFO, "radbench"):
        model = ask(task, tmp_path / "run", k=4)
    assert sorted(examples_of(model.asked["test0"])) == ["train0", "train1", "train3", "train4"]
    assert sorted(examples_of(model.asked["test1"])) == ["train0", "train1", "train2", "train4"]
    passed = "task t: 2 examples that show the asked picture or nearly so were passed over, for 2 samples"
    assert caplog.messages.count(passed) == 1
    assert any("nearly same picture in the support split and the test split: 1 of 6" in m for m in caplog.messages)
    assert any("same picture in the support split and the test split: 1 of 6" in m for m in caplog.messages)
    found = json.loads((tmp_path / "run" / "manifest.json").read_text())["leakage"]
    assert found["t"] == {"nearly same picture": 1, "same picture": 1}
    caplog.clear()
    with caplog.at_level(logging.INFO, "radbench"):
        model = ask(task, tmp_path / "kept", k=5, near_duplicates="keep")
    assert all(len(examples_of(r)) == 5 for r in model.asked.values())
    assert "task t: 2 examples that show the asked picture or nearly so were kept, for 2 samples" in caplog.messages


def test_too_few_and_unreadable_examples_are_counted(tmp_path: Path, caplog: Any) -> None:
    task = questions(tmp_path / "d", pool=4)
    (tmp_path / "d" / "train1.png").write_bytes(b"no picture")
    with caplog.at_level(logging.INFO, "radbench"):
        model = ask(task, tmp_path / "run", k=4)
    assert all(sorted(examples_of(r)) == ["train0", "train2", "train3"] for r in model.asked.values())
    assert "task t: unreadable examples were passed over 6 times" in caplog.messages
    assert "task t: 6 samples had fewer than 4 examples" in caplog.messages
    with pytest.raises(ConfigError, match="5 examples asked for, the support split has 4"):
        ask(task, tmp_path / "more", k=5)


def test_a_patients_own_samples_are_no_examples(shared: Path, tmp_path: Path) -> None:
    """Leave one cluster out: 30 questions on 12 pictures, the cluster is the picture."""
    model = Listener()
    radbench.evaluate(
        Shots(model, k=8, near_duplicates="keep"),
        "open/vqamed2019-images",
        data=shared,
        out=tmp_path / "run",
        resamples=10,
    )
    assert len(model.asked) == 30
    for request in model.asked.values():
        *examples, own = request.images
        assert len(examples) == 8
        assert own.path not in {e.path for e in examples}


def test_labels_in_turn(shared: Path, tmp_path: Path) -> None:
    model = Listener(lambda request: "glioma")
    radbench.evaluate(
        Shots(model, k=6, balance=True), "open/brain-mr", data=shared, out=tmp_path / "run", resamples=10, limit=20
    )
    orders = []
    for request in model.asked.values():
        labels = [m.content[0] for m in request.messages if m.role == "assistant"]
        assert sorted(Counter(labels).values()) == [1, 1, 2, 2]
        assert len(set(labels[:4])) == 4
        orders.append(tuple(labels[:4]))
    assert len(set(orders)) > 5
    with pytest.raises(ConfigError, match="its answers are no labels to balance"):
        ask(questions(tmp_path / "d"), tmp_path / "texts", balance=True)


@pytest.mark.parametrize("unit", ["pixels", "fraction"])
def test_boxes_are_shown_in_the_form_that_is_asked_for(unit: str, tmp_path: Path) -> None:
    from dataclasses import replace

    from radbench.dataset import Lazy
    from radbench.prompting import support_of
    from radbench.registry import find_tasks

    task = find_tasks([str(Path(__file__).parents[2] / "examples" / "own_data" / "detection.yaml")])[0]
    task = replace(
        task, text_form="Answer as JSON.", parser=Lazy(task.parser.target, {**task.parser.options, "unit": unit})
    )
    reader = task.dataset.open(radbench.dataset.DataLocations())
    support = support_of(task, reader, 0)
    shots = Shots(Listener(), k=1, near_duplicates="keep")
    shots.fit(task, support)
    request = radbench.prompting.Renderer(task, 0, b"", text_form=True).render(next(iter(reader.samples("test"))))
    user, assistant, last = shots.change(request).messages
    assert user.content[-1] == "\nAnswer as JSON." == last.content[-1]
    (picture,) = (p for p in user.content if isinstance(p, Image))
    sample = next(s for s in support.samples if s.images[0] == picture)
    truth = sample.targets[task.target].boxes[0]  # type: ignore[union-attr]
    height, width = picture.load().size[:2]
    x, y = (width, height) if unit == "fraction" else (1, 1)
    assert json.loads(str(assistant.content[0])) == [
        {"label": truth.label, "box": pytest.approx([truth.x0 / x, truth.y0 / y, truth.x1 / x, truth.y1 / y])}
    ]
    parsed = task.parse()(Answer(text=str(assistant.content[0])), sample, task)
    assert parsed.value[0].x1 == pytest.approx(truth.x1)


def test_what_is_asked_is_looked_up_without_the_examples(tmp_path: Path) -> None:
    """Three questions on one picture, each asked before in the pool: the answer is that question's."""
    task = questions(tmp_path / "d", test=0)
    table, pairs = tmp_path / "d" / "t.jsonl", [("Is the heart enlarged?", "yes"), ("Where is the tip?", "carina")]
    PIL.fromarray(np.random.default_rng(9).integers(0, 256, (40, 40), dtype=np.uint8)).save(tmp_path / "d" / "same.png")
    rows = [
        {"id": f"{split}-{i}", "image": "same.png", "split": split, "question": q, "answer": a, "patient": split}
        for split in ("train", "test") for i, (q, a) in enumerate(pairs)
    ]  # fmt: skip
    rows += [
        {"id": f"more-{i}", "image": f"train{i}.png", "split": "train", "question": f"Is the heart enlarged in {i}?",
         "answer": "no", "patient": "more"} for i in range(8)
    ]  # fmt: skip
    table.write_text("".join(json.dumps(r) + "\n" for r in rows))
    for spec in ("knn:k=1", "shots(knn:k=1,k=4)"):
        evaluation = radbench.evaluate(spec, task, out=tmp_path / spec, resamples=10)
        assert evaluation.results is not None
        assert evaluation.results["tasks"]["t"]["metrics"]["exact-match"]["value"] == 1.0
    model = ask(task, tmp_path / "rag", Rag(heard := Listener(), embed="pixels"), k=4)
    assert isinstance(model, Rag)
    told = {s: str(r.messages[-1].content[-1]).rpartition("\n")[2] for s, r in heard.asked.items()}
    assert told == {
        f"test-{i}": f"The most similar case was asked: {q} Its annotation is: {a}." for i, (q, a) in enumerate(pairs)
    }


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    own = Path(__file__).parents[2] / "examples" / "own_data"
    with pytest.raises(ConfigError, match="an example's mask has no text form"):
        ask(str(own / "segmentation.yaml"), tmp_path / "mask")
    single = Listener()
    single.capabilities = frozenset({"text"})
    with pytest.raises(ConfigError, match="the model takes one picture"):
        ask(questions(tmp_path / "d"), tmp_path / "single", single)


def test_a_fitted_model_inside_is_fitted(tmp_path: Path) -> None:
    task = questions(tmp_path / "d")
    evaluation = radbench.evaluate("shots(majority,k=1)", task, out=tmp_path / "run", resamples=10)
    plain = radbench.evaluate("majority", task, out=tmp_path / "plain", resamples=10)
    assert evaluation.results is not None
    assert plain.results is not None
    assert evaluation.results["tasks"]["t"]["metrics"] == plain.results["tasks"]["t"]["metrics"]
    assert find_model("shots(majority,k=1)").fingerprint()["regime"] == "few-shot:1"
