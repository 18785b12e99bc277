"""``hf:`` on tiny models of the real classes: answers do not depend on their batch, on resuming, or on hub settings."""

from __future__ import annotations

import gc
import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniatures import vlm
from PIL import Image as PIL
from radbench.model_adapters.hf import HuggingFace
from radbench.model_adapters.huggingface.answering import Parts
from radbench.model_adapters.messages import Turn

import radbench
from radbench.cli.fetch_model import fetch_model
from radbench.errors import ConfigError, Interrupted, ModelError
from radbench.records import Answer, Generation, Image, Message, Request
from radbench.registry import find_model

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
vlm.torchvision_shim()
gc.freeze()  # else every release of memory looks through all that was imported

LIMIT = 10
Build = Callable[..., HuggingFace]


def test_every_family_can_be_built_where_torchvision_is() -> None:
    """The other tests skip what is not available: here it is said what that may be."""
    missing = [f for f in vlm.FAMILIES if vlm.available(f) is not True]
    assert all(vlm.needs_torchvision(f) for f in missing)


@pytest.fixture(params=vlm.FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    if (why := vlm.available(request.param)) is not True:
        pytest.skip(str(why))
    return str(request.param)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's tiny model. One token in ten ends an answer: their lengths differ."""
    root = tmp_path_factory.mktemp("tiny")
    return lru_cache(lambda family: vlm.tiny_vlm(family, root / family, enders=40))


@pytest.fixture(scope="session")
def build(folder: Callable[[str], Path]) -> Build:
    """Adapters by family and options; weights are loaded once for all that share them."""
    loaded: dict[tuple[Any, ...], Parts] = {}

    @lru_cache
    def make(family: str = "llava", **options: Any) -> HuggingFace:
        made = HuggingFace(str(folder(family)), **{"dtype": "float64", "cut_off": "keep", **options})
        loads = ("dtype", "adapter", "template", "enable_thinking", "repetition_penalty", "attn")
        parts = loaded.setdefault((family, *map(options.get, loads)), made._parts)
        made._parts = made._answering.parts = parts
        return made

    return make


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Image]:
    """Five pictures of differing shapes."""
    root = tmp_path_factory.mktemp("pictures")
    draw = np.random.default_rng(0)
    for i, size in enumerate([(60, 80), (100, 50), (56, 56), (120, 64), (64, 64)]):
        PIL.fromarray(draw.integers(0, 256, size, dtype=np.uint8)).save(root / f"{i}.png")
    return [Image(str(root / f"{i}.png")) for i in range(5)]


def ask(*parts: str | Image, name: str = "", shots: Iterable[Message] = (), **more: Any) -> Request:
    generation = Generation(**{"max_new_tokens": LIMIT, **more.pop("generation", {})})
    messages = (*shots, Message("user", parts))
    key = (name or repr(parts)).encode().ljust(16, b"\0")[-16:]
    return Request("t", name or "s", messages, generation=generation, key=key, **more)


@pytest.fixture
def mixed(pictures: list[Image]) -> list[Request]:
    """One, two, no, one and three pictures; long and short prompts; one with examples."""
    a, b, c, d, e = pictures
    shots = (Message("user", (e, "Is there an effusion?")), Message("assistant", ("no",)))
    return [
        ask(a, "Is there a pleural effusion in this radiograph?", name="one"),
        ask("The prior ", b, " and the current study ", c, ". What has changed between them?", name="two"),
        ask("Name an organ of the abdomen.", name="none"),
        ask(d, "Side?", name="short"),
        ask(a, b, c, "Describe the findings of these three.", name="three"),
        ask(d, "Is there an effusion?", name="shots", shots=shots),
    ]


def answers(model: HuggingFace, requests: Iterable[Request]) -> dict[str, Answer]:
    return {request.sample: answer for request, answer in model.answer(requests)}


def opened(image: Image) -> PIL.Image:
    return PIL.open(image.path).convert("RGB")


@lru_cache
def bare(folder: Path) -> tuple[Any, Any]:
    """A model and its processor as transformers alone loads them."""
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float64).eval()
    return model, transformers.AutoProcessor.from_pretrained(folder)


def conversation(request: Request) -> list[dict[str, Any]]:
    def part(p: str | Image) -> dict[str, Any]:
        return {"type": "text", "text": p} if isinstance(p, str) else {"type": "image", "image": opened(p)}

    return [{"role": m.role, "content": [part(p) for p in m.content]} for m in request.messages]


def prompt_of(folder: Path, request: Request) -> dict[str, Any]:
    """Tensors of one request, by transformers alone."""
    found = bare(folder)[1].apply_chat_template(
        [conversation(request)], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    return {k: v.double() if v.is_floating_point() else v for k, v in found.items()}


def alone(folder: Path, request: Request, limit: int = LIMIT) -> list[int]:
    """New tokens of one request asked alone, by transformers alone."""
    inputs = prompt_of(folder, request)
    with torch.inference_mode():
        rows = bare(folder)[0].generate(**inputs, max_new_tokens=limit, do_sample=False)
    return list(rows[0, inputs["input_ids"].shape[1] :].tolist())


# Batches


def test_a_batch_of_mixed_picture_counts_gives_the_tokens_of_each_asked_alone(
    family: str, build: Build, folder: Callable[[str], Path], mixed: list[Request]
) -> None:
    model, (network, processor) = build(family), bare(folder(family))
    found = answers(model, mixed)
    lengths = set()
    for request in mixed:
        tokens = alone(folder(family), request)
        answer = found[request.sample]
        ended = tokens[-1] in network.generation_config.eos_token_id
        assert answer.text == processor.tokenizer.decode(tokens[:-1] if ended else tokens, skip_special_tokens=True)
        assert answer.usage["output_tokens"] == len(tokens)
        assert answer.usage["input_tokens"] == prompt_of(folder(family), request)["input_ids"].shape[1]
        assert answer.failure is None
        assert answer.seconds is not None
        assert answer.seconds > 0
        lengths.add(len(tokens))
    assert len({a.text for a in found.values()}) > 3  # the model does not say the same to everything
    assert len(lengths) > 1  # and some answers of the batch end before others


def test_a_batch_of_one_and_single_precision_agree_with_it(family: str, build: Build, mixed: list[Request]) -> None:
    texts = {name: a.text for name, a in answers(build(family), mixed).items()}
    for options in ({"batch": 1}, {"dtype": "float32"}, {"batch": 3}):
        other = answers(build(family, **options), reversed(mixed))
        assert {name: a.text for name, a in other.items()} == texts


def test_text_alone_never_shares_a_batch_with_pictures_and_options_none_with_writing(
    build: Build, mixed: list[Request]
) -> None:
    asked = [*mixed, *(replace(r, choices=("yes", "no")) for r in mixed)]
    batches = list(build(choices="rank")._answering.batches.of(asked))
    assert sorted(len(b) for b in batches) == [1, 1, 5, 5]
    assert all(len({(bool(r.images), r.choices) for r in batch}) == 1 for batch in batches)


def test_padding_on_the_right_would_answer_otherwise_and_is_refused(
    build: Build, folder: Callable[[str], Path], mixed: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, processor = bare(folder("llava"))
    some = [mixed[0], mixed[1], mixed[3]]
    monkeypatch.setattr(processor.tokenizer, "padding_side", "right")
    how: dict[str, Any] = {"padding": True, "return_tensors": "pt"}
    texts = [processor.apply_chat_template(conversation(r), add_generation_prompt=True) for r in some]
    shown = [[opened(p) for p in r.images] for r in some]
    inputs = {
        k: v.double() if v.is_floating_point() else v for k, v in processor(images=shown, text=texts, **how).items()
    }
    rows = model.generate(**inputs, max_new_tokens=LIMIT, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    padded = [row[: len(alone(folder("llava"), r))].tolist() for r, row in zip(some, rows, strict=True)]
    assert padded != [alone(folder("llava"), r) for r in some]

    sut = HuggingFace(str(folder("llava")), dtype="float64")
    monkeypatch.setattr(sut._parts.prompts.tokenizer, "padding_side", "right")
    with pytest.raises(ModelError, match="pads prompts on the right"):
        answers(sut, some)


def test_memory_running_out_halves_the_batch_and_changes_no_answer(
    build: Build, mixed: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("llava", batch=4)
    expected = {name: a.text for name, a in answers(model, mixed).items()}
    real, sizes = model._parts.network.model.generate, list[int]()

    def small(**inputs: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return real(**inputs)

    sut = HuggingFace(model._parts.source.folder.as_posix(), dtype="float64", cut_off="keep", batch=4)
    sut._answering.parts = model._parts
    monkeypatch.setattr(model._parts.network.model, "generate", small)
    assert {name: a.text for name, a in answers(sut, mixed).items()} == expected
    assert sizes == [4, 2, 2, 1, 1]


def test_a_sample_too_large_for_memory_fails_alone(
    build: Build, mixed: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("llava")
    real = model._parts.network.model.generate

    def none_of_three(**inputs: Any) -> Any:
        if len(inputs.get("pixel_values", ())) >= 3 and len(inputs["input_ids"]) >= 1:
            raise RuntimeError("CUDA out of memory.")
        return real(**inputs)

    sut = HuggingFace(model._parts.source.folder.as_posix(), dtype="float64", cut_off="keep")
    sut._answering.parts = model._parts
    monkeypatch.setattr(model._parts.network.model, "generate", none_of_three)
    failed = {name: a.failure.kind for name, a in answers(sut, mixed).items() if a.failure}
    assert failed == {"three": "model"}


# Failures of a sample


def test_a_prompt_longer_than_the_model_fails_and_is_not_truncated(build: Build, pictures: list[Image]) -> None:
    long, short = ask(pictures[0], "word " * 5000, name="long"), ask(pictures[1], "Side?", name="short")
    found = answers(build(), [long, short])
    assert found["short"].failure is None
    failure = found["long"].failure
    assert failure is not None
    assert failure.kind == "input"
    assert "4096 positions: nothing is truncated" in failure.message


def test_an_answer_stops_where_the_positions_end(build: Build, pictures: list[Image]) -> None:
    request = ask(pictures[0], "Side?")
    room = int(answers(build(), [request])["s"].usage["input_tokens"]) + 3
    found = answers(build(max_length=room, cut_off="fail"), [request, ask(pictures[0], "Sides?" * 9, name="long")])
    assert found["s"].usage["output_tokens"] <= 3
    assert found["long"].failure is not None
    assert found["long"].failure.kind == "input"


def test_a_text_with_a_picture_token_fails_by_itself(build: Build, mixed: list[Request], pictures: list[Image]) -> None:
    planted = ask(pictures[0], "<image>\nIs there an effusion?", name="planted")
    found = answers(build(), [*mixed, planted])
    assert {name: a.failure.message for name, a in found.items() if a.failure} == {
        "planted": "the text holds '<image>', which stands for a picture in this model"
    }


def test_what_the_processor_or_the_model_refuses_fails_by_itself(
    build: Build, mixed: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build()
    expected = {name: a.text for name, a in answers(model, mixed).items()}
    prompts, network = model._parts.prompts, model._parts.network
    inputs, generate = prompts.inputs, network.generate

    def picky(conversations: Any) -> Any:
        if any("organ" in str(c) for c in conversations):
            raise TypeError("unusable")
        return inputs(conversations)

    def brittle(batch: Any, *rest: Any) -> Any:
        if len(batch.get("pixel_values", ())) >= 3:
            raise ValueError("features and tokens do not match")
        return generate(batch, *rest)

    monkeypatch.setattr(prompts, "inputs", picky)
    monkeypatch.setattr(network, "generate", brittle)
    found = answers(model, mixed)
    failed = {name: (a.failure.kind, a.failure.message) for name, a in found.items() if a.failure}
    assert failed == {
        "none": ("input", "TypeError: unusable"),
        "three": ("model", "ValueError: features and tokens do not match"),
    }
    assert all(found[name].text == text for name, text in expected.items() if name not in failed)


def test_a_model_that_never_works_ends_the_run(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(batch=2)

    def broken(*_: Any) -> Any:
        raise ValueError("nothing works")

    monkeypatch.setattr(model._parts.network, "generate", broken)
    with pytest.raises(ValueError, match="nothing works"):
        answers(model, [ask(f"Question {i}?", name=str(i)) for i in range(40)])
    model._answering._failed = 0


def test_a_picture_that_cannot_be_decoded_fails_by_itself(build: Build, mixed: list[Request]) -> None:
    found = answers(build(), [*mixed, ask(Image("nowhere.png"), "Side?", name="absent")])
    assert [name for name, a in found.items() if a.failure and a.failure.kind == "input"] == ["absent"]


def test_an_answer_that_met_its_limit_is_cut_off_and_keeps_its_text(build: Build, mixed: list[Request]) -> None:
    kept, failed = answers(build(max_new_tokens=4), mixed), answers(build(max_new_tokens=4, cut_off="fail"), mixed)
    cut = {name for name, a in kept.items() if a.usage["output_tokens"] == 4 and a.text is not None}
    kinds = {name: a.failure.kind for name, a in failed.items() if a.failure}
    assert kinds
    assert set(kinds) <= cut
    assert set(kinds.values()) == {"cut_off"}
    assert {name: a.text for name, a in failed.items()} == {name: a.text for name, a in kept.items()}


# What decides an answer


def test_hub_settings_of_sampling_and_penalties_do_not_leak_in(
    build: Build, folder: Callable[[str], Path], mixed: list[Request], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder("llava"), copy)
    path = copy / "generation_config.json"
    own = json.loads(path.read_text())
    leaks = {"do_sample": True, "temperature": 0.1, "top_p": 0.001, "top_k": 1, "repetition_penalty": 5.0}
    path.write_text(json.dumps({**own, **leaks, "no_repeat_ngram_size": 1}))
    sut = HuggingFace(str(copy), dtype="float64", cut_off="keep")
    assert {n: a.text for n, a in answers(sut, mixed).items()} == {
        n: a.text for n, a in answers(build(), mixed).items()
    }
    said = json.loads(sut.fingerprint()["generation"])
    assert said["eos_token_id"] == own["eos_token_id"]
    assert len(said["eos_token_id"]) == 41
    assert (said["repetition_penalty"], said["do_sample"]) == (1.0, False)
    penalised = HuggingFace(str(copy), dtype="float64", cut_off="keep", repetition_penalty=5.0)
    assert {n: a.text for n, a in answers(penalised, mixed).items()} != {
        n: a.text for n, a in answers(sut, mixed).items()
    }


def test_the_fingerprint_reads_no_weights_and_tells_apart_what_answers_differently(
    build: Build, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere" / "llava"
    shutil.copytree(folder("llava"), copy)
    here, there = build().fingerprint(), HuggingFace(str(copy), dtype="float64", cut_off="keep").fingerprint()
    assert here == there  # where it lies does not count
    assert str(copy.parent) not in json.dumps(there)
    for options in (
        {"dtype": "float32"}, {"slices": 3}, {"system": "You are a radiologist."}, {"choices": "rank"}, {"cut_off": "fail"},
        {"max_new_tokens": 5}, {"enable_thinking": False}, {"template": "plain"}, {"attn": "eager"}, {"max_length": 99},
        {"repetition_penalty": 1.1},
    ):  # fmt: skip
        assert HuggingFace(str(copy), **{"dtype": "float64", "cut_off": "keep", **options}).fingerprint() != here
    for options in ({"batch": 1}, {"device": "cpu"}):
        assert HuggingFace(str(copy), dtype="float64", cut_off="keep", **options).fingerprint() == here
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert HuggingFace(str(copy), dtype="float64", cut_off="keep").fingerprint()["revision"] != here["revision"]


def test_sampled_answers_depend_on_the_sample_its_draw_and_the_seed_alone(build: Build, mixed: list[Request]) -> None:
    def texts(model: HuggingFace, draw: int = 0, **generation: Any) -> dict[str, str | None]:
        hot = {"max_new_tokens": LIMIT, "temperature": 1.5, "top_p": 0.9, **generation}
        asked = [_drawn(r, draw, hot) for r in mixed]
        return {name: a.text for name, a in answers(model, asked).items()}

    first = texts(build())
    assert texts(build(batch=1)) == first
    assert texts(build()) == first
    assert texts(build(), draw=1) != first
    assert texts(build(), seed=7) != first
    assert texts(build(), temperature=1e-6) == {n: a.text for n, a in answers(build(), mixed).items()}  # nearly greedy


def _drawn(request: Request, draw: int, generation: dict[str, Any]) -> Request:
    return replace(request, draw=draw, generation=Generation(**generation))


def test_sampling_draws_from_the_tempered_distribution() -> None:
    from radbench.model_adapters.huggingface.network import _Draws

    logits = torch.tensor([[2.0, 1.0, 0.0, -5.0]]).repeat(4000, 1)
    drawn = _Draws(2.0, 0.95, list(range(4000)))(torch.zeros(4000, 1, dtype=torch.long), logits).argmax(-1)
    shares = np.bincount(drawn.numpy(), minlength=4) / 4000
    kept = np.exp([1.0, 0.5, 0.0])  # 0.95 of the mass leaves the last one out
    assert shares[3] == 0
    assert np.abs(shares[:3] - kept / kept.sum()).max() < 4 * math.sqrt(0.25 / 4000)


def test_a_stop_string_ends_the_answer_before_it(build: Build, mixed: list[Request]) -> None:
    model = build("llava", batch=6, cut_off="fail", max_new_tokens=8)
    whole = {n: a.text or "" for n, a in answers(build("llava", max_new_tokens=8), mixed).items()}
    name = max(whole, key=lambda n: len(whole[n]))
    stop = whole[name][2:4]
    assert stop
    stopped = answers(model, [_drawn(r, 0, {"stop": (stop,)}) for r in mixed])
    for n, text in whole.items():
        assert stopped[n].text == text.split(stop)[0]
    assert stopped[name].failure is None


def test_a_reasoning_models_thoughts_are_kept_apart(
    build: Build, mixed: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    from radbench.model_adapters.huggingface.network import Written

    model = build()
    said = model._parts.prompts.tokenizer("<think>The heart is small.</think> no", add_special_tokens=False)[
        "input_ids"
    ]
    monkeypatch.setattr(
        model._parts.network, "generate", lambda inputs, *_: [Written(said, True)] * len(inputs["input_ids"])
    )
    found = answers(model, mixed[:1])["one"]
    assert (found.text, found.reasoning) == ("no", "The heart is small.")


def test_few_shot_turns_and_the_system_prompt_go_through_the_template(build: Build, mixed: list[Request]) -> None:
    assert build().shown(mixed[-1]) == (
        "USER: <image>×16\nIs there an effusion? ASSISTANT: no USER: <image>×16\nIs there an effusion? ASSISTANT:"
    )
    with_system = build(system="You are an expert radiologist.").shown(mixed[0])
    assert with_system.startswith("SYSTEM: You are an expert radiologist. USER: <image>×16\nIs there a pleural")
    task_has_one = ask("Side?", shots=[Message("system", ("Be brief.",))])
    assert build().shown(task_has_one) == "SYSTEM: Be brief. USER: Side? ASSISTANT:"
    assert build(system="Be exact.").shown(task_has_one) == "SYSTEM: Be exact. USER: Side? ASSISTANT:"


@pytest.mark.parametrize("refuses", ["{{ raise_exception('no system role') }}", ""])
def test_a_template_without_a_system_turn_gets_it_in_the_users(
    refuses: str, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    template = tmp_path / "t.jinja"
    template.write_text(
        "{% for m in messages %}{% if m['role'] == 'system' %}" + refuses + "{% else %}[{{ m['role'] }}]"
        "{% for p in m['content'] %}{{ p['text'] }}{% endfor %}{% endif %}{% endfor %}"
    )
    sut = HuggingFace(str(folder("llava")), template=str(template), system="Be brief.")
    assert sut.shown(ask("Side?")) == "[user]Be brief.\n\nSide?"


def test_a_base_model_without_template_is_refused_and_the_plain_one_can_be_asked_for(
    folder: Callable[[str], Path], tmp_path: Path, pictures: list[Image]
) -> None:
    copy = tmp_path / "base"
    shutil.copytree(folder("llava"), copy)
    for name in ("chat_template.jinja", "chat_template.json"):
        (copy / name).unlink(missing_ok=True)
    with pytest.raises(ConfigError, match=r"no chat template\n  -> template=plain"):
        HuggingFace(str(copy))
    sut = HuggingFace(str(copy), template="plain", dtype="float64", cut_off="keep")
    request = ask(pictures[0], "answer en is there an effusion?")
    assert sut.shown(request) == "<image>×16answer en is there an effusion?"
    assert answers(sut, [request])["s"].usage["input_tokens"] > 16


# Pictures


def test_pictures_follow_the_policy(build: Build, mixed: list[Request]) -> None:
    assert build(multi_image="first").shown(mixed[1]).count("<image>") == 1
    failed = answers(build(multi_image="error"), mixed)
    assert {n for n, a in failed.items() if a.failure} == {"two", "three"}
    assert {a.failure.kind for a in failed.values() if a.failure} == {"input"}


def test_a_volume_is_shown_as_its_slices(build: Build, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    array = np.random.default_rng(1).normal(size=(20, 24, 12)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "v.nii.gz")
    volume = Image(str(tmp_path / "v.nii.gz"), kind="volume")
    model = build("gemma3", slices=3)
    assert model.shown(ask(volume, "Organ?")).count("<start_of_image>") == 3
    slices = volume.load().slices(3)
    for i, picture in enumerate(slices):
        picture.save(tmp_path / f"{i}.png")
    several = model.embed([Image(str(tmp_path / f"{i}.png")) for i in range(3)])
    assert np.allclose(model.embed([volume])[0], several.mean(0), atol=1e-6)


def test_embeddings_are_the_mean_visual_token_and_do_not_depend_on_their_company(
    family: str, build: Build, pictures: list[Image]
) -> None:
    model = build(family)
    found = model.embed(pictures)
    assert found.shape == (5, vlm.WIDTH)
    assert found.dtype == np.float32
    assert np.array_equal(found[3:4], model.embed(pictures[3:4]))
    assert np.linalg.norm(found[0] - found[1]) > 1e-3


def test_llavas_embedding_is_its_projected_patches_averaged(
    build: Build, folder: Callable[[str], Path], pictures: list[Image]
) -> None:
    network, processor = bare(folder("llava"))
    pixels = processor.image_processor(opened(pictures[0]), return_tensors="pt")["pixel_values"].double()
    layer = network.config.vision_feature_layer
    with torch.inference_mode():
        patches = network.model.vision_tower(pixels, output_hidden_states=True).hidden_states[layer][:, 1:]
        expected = network.model.multi_modal_projector(patches)[0].mean(0)
    assert np.allclose(build().embed(pictures[:1])[0], expected.float().numpy(), atol=1e-6)


# Log-likelihoods


def test_loglikelihoods_are_those_of_one_token_after_another(
    family: str, build: Build, folder: Callable[[str], Path], mixed: list[Request]
) -> None:
    said = [
        ["yes", "no", "yes indeed", " no", ""],
        ["stable", "a new effusion"],
        ["liver"],
        ["left", "right"],
        ["x"],
        ["yes"],
    ]
    found = build(family).loglikelihood(mixed, said)
    network, processor = bare(folder(family))
    for request, options, values in zip(mixed, said, found, strict=True):
        prompt = prompt_of(folder(family), request)
        assert len(values) == len(options)
        for option, value in zip(options, values, strict=True):
            ids = processor.tokenizer(option, add_special_tokens=False)["input_ids"]
            total, inputs = 0.0, dict(prompt)
            for token in ids:
                with torch.inference_mode():  # what generate itself would choose from
                    step = network.generate(
                        **inputs, max_new_tokens=1, do_sample=False, output_logits=True, return_dict_in_generate=True
                    )
                total += float(step.logits[0].double().log_softmax(-1)[0, token])
                for name, tensor in inputs.items():
                    if tensor.shape == inputs["input_ids"].shape and name != "input_ids":
                        fill = 1 if name == "attention_mask" else 0
                        inputs[name] = torch.cat([tensor, torch.full((1, 1), fill, dtype=tensor.dtype)], 1)
                inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([[token]])], 1)
            assert value == pytest.approx(total, abs=1e-5)


def test_loglikelihoods_do_not_depend_on_the_batch(family: str, build: Build, mixed: list[Request]) -> None:
    said = [["yes", "no effusion is seen"], ["no"], ["liver", "spleen"], ["left"], ["a", "b", "c d e"], ["no"]]
    together = build(family).loglikelihood(mixed, said)
    for request, options, values in zip(mixed, said, together, strict=True):
        one = build(family, batch=1).loglikelihood([request], [options])[0]
        assert values == pytest.approx(one, abs=1e-9)


def test_ranking_goes_on_with_fewer_options_at_once_where_memory_runs_out(
    build: Build, mixed: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed, said = mixed[:2], [["yes", "a small effusion", "a large effusion"]] * 2
    model = build(batch=4)
    expected = model.loglikelihood(mixed, said)
    network, real = model._parts.network, model._parts.network.loglikelihood

    def small(inputs: Any, tails: Any) -> Any:
        if len(tails) > room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(inputs, tails)

    monkeypatch.setattr(network, "loglikelihood", small)
    room = 1
    found = model.loglikelihood(mixed, said)
    assert [pytest.approx(values, abs=1e-9) for values in expected] == found
    room = 0
    with pytest.raises(ModelError, match="memory ran out on this sample alone"):
        model.loglikelihood(mixed[:1], said[:1])


def test_ranking_answers_with_the_likeliest_option_and_scores_them_all(build: Build, mixed: list[Request]) -> None:
    choices = ("yes", "no", "cannot be said")
    asked = [replace(r, choices=choices) for r in mixed]
    ranked, free = answers(build(choices="rank"), asked), answers(build(choices="rank"), mixed)
    values = build().loglikelihood(asked, [[" " + c for c in choices]] * len(asked))  # a space follows "ASSISTANT:"
    for request, logs in zip(asked, values, strict=True):
        answer = ranked[request.sample]
        assert answer.text == choices[int(np.argmax(logs))]
        weights = np.exp(np.array(logs) - max(logs))
        assert answer.scores == pytest.approx(dict(zip(choices, weights / weights.sum(), strict=True)))
    assert all(a.scores is None and a.usage["output_tokens"] >= 1 for a in free.values())  # no choices: it writes


def test_options_that_begin_one_another_are_ranked_with_their_end(
    build: Build, folder: Callable[[str], Path], mixed: list[Request]
) -> None:
    choices, network = ("no", "no finding", "yes"), bare(folder("llava"))[0]
    tokenizer, expected = bare(folder("llava"))[1].tokenizer, []
    prompt = prompt_of(folder("llava"), mixed[0])
    for choice in choices:
        tail = torch.tensor([tokenizer(f" {choice}", add_special_tokens=False)["input_ids"]])
        ids = torch.cat([prompt["input_ids"], tail], 1)
        with torch.inference_mode():
            logits = network(input_ids=ids, pixel_values=prompt["pixel_values"]).logits[0].log_softmax(-1)
        start = prompt["input_ids"].shape[1] - 1
        said = sum(float(logits[start + k, token]) for k, token in enumerate(tail[0]))
        ends = float(logits[-1, network.generation_config.eos_token_id].logsumexp(0))
        expected.append(said + ends)
    others = [replace(r, choices=("left", "right")) for r in mixed[1:]]  # of the same batch, and without such options
    found = answers(build(choices="rank"), [replace(mixed[0], choices=choices), *others])
    weights = np.exp(np.array(expected) - max(expected))
    assert found["one"].scores == pytest.approx(dict(zip(choices, weights / weights.sum(), strict=True)), abs=1e-6)
    alone_ = answers(build(choices="rank", batch=1), others)
    assert {n: found[n].scores for n in alone_} == {n: pytest.approx(dict(a.scores or {})) for n, a in alone_.items()}


def test_what_is_ranked_is_a_text_of_distinct_options_that_fit(build: Build, pictures: list[Image]) -> None:
    request = ask(pictures[0], "Side?", choices=("left", "left", "right"))
    ranked = answers(build(choices="rank"), [request])["s"]
    assert set(ranked.scores or {}) == {"left", "right"}
    assert sum((ranked.scores or {}).values()) == pytest.approx(1)
    boxes = answers(build(choices="rank"), [replace(request, form="boxes")])["s"]
    assert boxes.scores is None
    room = int(ranked.usage["input_tokens"]) + 9
    long = replace(request, choices=("left", "right " * 50), sample="long", key=b"l" * 16)
    found = answers(build(choices="rank", max_length=room), [request, long])
    assert found["s"].failure is None
    assert found["long"].failure is not None
    assert found["long"].failure.kind == "input"
    assert "its longest option" in found["long"].failure.message


def test_nothing_stands_between_a_line_end_and_an_option(build: Build) -> None:
    llava, gemma = build("llava")._parts.prompts, build("gemma3")._parts.prompts
    turns = [Turn("user", ("Side?",))]
    assert llava.lead(llava.text(llava.conversation(turns))) == " "
    assert gemma.lead(gemma.text(gemma.conversation(turns))) == ""


# LoRA, loading


@pytest.fixture(scope="module")
def lora(folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    peft = pytest.importorskip("peft")
    network = transformers.AutoModelForImageTextToText.from_pretrained(folder("llava"))
    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    path = tmp_path_factory.mktemp("lora")
    peft.get_peft_model(network, config).save_pretrained(path)
    return path


def test_a_lora_folder_changes_answers_and_the_fingerprint(build: Build, lora: Path, mixed: list[Request]) -> None:
    tuned = build(adapter=str(lora))
    found, base = answers(tuned, mixed), answers(build(), mixed)
    assert {n: a.text for n, a in found.items()} != {n: a.text for n, a in base.items()}
    single = answers(build(adapter=str(lora), batch=1), mixed)
    assert {n: a.text for n, a in found.items()} == {n: a.text for n, a in single.items()}
    assert tuned.fingerprint()["adapter_weights"] != ""
    assert "adapter_weights" not in build().fingerprint()
    assert tuned.loglikelihood(mixed[:1], [["yes"]]) != build().loglikelihood(mixed[:1], [["yes"]])
    assert tuned.embed(list(mixed[0].images)).shape == (1, vlm.WIDTH)


def test_a_lora_folder_of_another_model_is_refused(folder: Callable[[str], Path], lora: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "other"
    shutil.copytree(lora, copy)
    weights = load_file(copy / "adapter_model.safetensors")
    save_file({k.replace("layers.0", "layers.7"): w for k, w in weights.items()}, copy / "adapter_model.safetensors")
    with pytest.raises(ConfigError, match=r"weights of the adapter 'other' do not fit the model, such as .*layers"):
        answers(HuggingFace(str(folder("llava")), adapter=str(copy)), [ask("Side?")])


def test_a_device_that_is_not_there_is_one_clear_error(folder: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=r"device=cuda:99 cannot be used here: .+\n  -> device=cpu"):
        answers(HuggingFace(str(folder("llava")), device="cuda:99"), [ask("Side?")])


def test_a_lora_folder_without_its_files_is_refused(folder: Callable[[str], Path], tmp_path: Path) -> None:
    pytest.importorskip("peft")
    with pytest.raises(ConfigError, match=r"has no adapter_config\.json"):
        HuggingFace(str(folder("llava")), adapter=str(tmp_path))


def test_a_model_that_is_not_on_this_machine_says_what_fetches_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"not on this machine\n  -> radbench fetch model google/medgemma-4b-it$"):
        find_model("hf:google/medgemma-4b-it,dtype=bfloat16")
    with pytest.raises(ConfigError, match=r"radbench fetch model google/medgemma-4b-it --revision v2"):
        find_model("hf:google/medgemma-4b-it,revision=v2")
    with pytest.raises(ConfigError, match=r"no model folder '\./medgemma'"):
        find_model("hf:./medgemma")


def test_a_hub_id_is_found_in_the_local_cache_with_its_commit(
    folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--tiny"
    shutil.copytree(folder("llava"), repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    fingerprint = find_model("hf:someone/tiny,dtype=float32").fingerprint()
    assert (fingerprint["name"], fingerprint["revision"]) == ("hf:someone/tiny", commit)
    with pytest.raises(ConfigError, match="at revision 'other' is not on this machine"):
        find_model("hf:someone/tiny,revision=other")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "config.json").unlink(), r"has no config\.json"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "pickled ones are not loaded"),
        (
            lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-2.safetensors"}}'),
            r"lacks 1 of 1 weight files, such as model-2\.safetensors",
        ),
        (lambda f: (f / "config.json").write_text('{"model_type": "llava_mistral"}'), "of the type 'llava_mistral'"),
        (lambda f: (f / "config.json").write_text('{"model_type": "bert"}'), "no image-text-to-text model"),
        (lambda f: (f / "config.json").write_text("{"), r"config\.json of the model cannot be read"),
    ],
)
def test_damaged_models_are_refused_before_anything_is_asked(
    damage: Callable[[Path], Any], message: str, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder("llava"), copy)
    damage(copy)
    with pytest.raises(ConfigError, match=message):
        HuggingFace(str(copy)).fingerprint()


def test_weights_that_would_be_random_are_refused(folder: Callable[[str], Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "copy"
    shutil.copytree(folder("llava"), copy)
    weights = load_file(copy / "model.safetensors")
    del weights[next(n for n in sorted(weights) if "projector" in n)]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=r"lack 1 weights of the model, such as .*projector.*: they would be random"):
        answers(HuggingFace(str(copy)), [ask("Side?")])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("dtype=float8", "dtype is 'float8', expected auto, float32"),
        ("quantization=2bit", "quantization is '2bit', expected None, 4bit or 8bit"),
        ("batch=0", "batch is 0"),
        ("batch=many", "batch is 'many'"),
        ("choices=argmax", "choices is 'argmax', expected generate or rank"),
        ("cut_off=ignore", "cut_off is 'ignore', expected fail or keep"),
        ("multi_image=collage", "multi_image is 'collage'"),
        ("max_new_tokens=0", "max_new_tokens is 0"),
        *(
            (f"{name}=True", f"{name} is True, expected a")
            for name in ("batch", "max_new_tokens", "max_length", "slices", "longest", "repetition_penalty")
        ),
        ("trust_remote_code=1", "trust_remote_code is 1, expected True or False"),
        ("max_length=-1", "max_length is -1"),
        ("repetition_penalty=0", "repetition_penalty is 0"),
        ("revision=main", "is a folder: it has no revision"),
        ("template=nowhere.jinja", r"template=nowhere\.jinja: no such file"),
        ("device=cpu,device_map=auto", "exclude each other"),
        ("trust_remote_code=maybe", "trust_remote_code is 'maybe'"),
        ("temprature=1", "its options are: model, revision=None, dtype=auto"),
        ("window=bones", "bones"),
    ],
)
def test_wrong_options_are_refused_with_what_is_right(option: str, message: str, folder: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=message):
        find_model(f"hf:{folder('llava')},{option}")


def test_quantisation_asks_for_its_package(folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from radbench.model_adapters.huggingface import loading as hf_loading

    real = hf_loading.find_spec
    monkeypatch.setattr(hf_loading, "find_spec", lambda n: None if n == "bitsandbytes" else real(n))
    with pytest.raises(ConfigError, match=r"bitsandbytes is not installed\n  -> pip install bitsandbytes"):
        HuggingFace(str(folder("llava")), quantization="4bit")


# Whole runs


@pytest.fixture
def picture_task(pictures: list[Image], tmp_path: Path) -> str:
    """A task of 14 questions about one or two pictures."""
    rows = [
        {
            "id": f"q{i}",
            "question": f"Is there an effusion ({i})?"
            if i % 3
            else f"In study number {i}, is there a pleural effusion?",
            "answer": "yes" if i % 2 else "no",
            "image": pictures[i % 5].path if i % 4 else f"{pictures[i % 5].path};{pictures[(i + 1) % 5].path}",
        }
        for i in range(14)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    task = {
        "name": "test/pictures", "kind": "vqa", "metrics": ["exact-match", "token-f1"],
        "data": {"table": "rows.jsonl", "access": "open"},
    }  # fmt: skip
    (tmp_path / "task.yaml").write_text(json.dumps(task))
    return str(tmp_path / "task.yaml")


class Stopping(HuggingFace):
    """Is interrupted after five answers."""

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for count, pair in enumerate(super().answer(requests)):
            if count == 5:
                raise KeyboardInterrupt
            yield pair


def texts_of(run: Path) -> dict[str, tuple[str, str]]:
    lines = [json.loads(line) for f in (run / "answers").glob("*.jsonl") for line in f.read_text().splitlines()]
    return {r["sample"]: (r["key"], r["text"]) for r in lines}


def test_a_run_resumed_equals_one_that_was_not_stopped(
    family: str, folder: Callable[[str], Path], picture_task: str, tmp_path: Path
) -> None:
    spec = f"hf:{folder(family)},dtype=float64,batch=4,cut_off=keep,max_new_tokens=6"
    whole = radbench.evaluate(spec, picture_task, out=tmp_path / "whole", resamples=100)
    assert whole.results is not None
    assert whole.results["tasks"]["test/pictures"]["n"] == 14
    stopping = Stopping(str(folder(family)), dtype="float64", batch=4, cut_off="keep", max_new_tokens=6)
    with pytest.raises(Interrupted):
        radbench.evaluate(stopping, picture_task, out=tmp_path / "broken", resamples=100)
    assert len(texts_of(tmp_path / "broken")) == 5
    resumed = radbench.evaluate(spec, picture_task, out=tmp_path / "broken", resamples=100)
    assert (resumed.outcome.asked, resumed.outcome.reused) == (9, 5)
    assert texts_of(tmp_path / "broken") == texts_of(tmp_path / "whole")
    assert (tmp_path / "broken" / "results.json").read_bytes() == (tmp_path / "whole" / "results.json").read_bytes()


# Fetching


def test_fetching_leaves_pickles_and_code_alone(
    folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fnmatch import fnmatch

    asked: dict[str, Any] = {}

    def fake(name: str, **options: Any) -> str:
        asked.update(name=name, **options)
        return str(folder("llava"))

    monkeypatch.setattr("huggingface_hub.snapshot_download", fake)
    assert fetch_model("someone/tiny", "v1") == 0
    assert (asked["name"], asked["revision"]) == ("someone/tiny", "v1")
    assert capsys.readouterr().out == f"someone/tiny: {folder('llava')}\n"
    wanted = ["model-00001-of-2.safetensors", "config.json", "merges.txt", "chat_template.jinja", "tokenizer.model"]
    unwanted = ["pytorch_model.bin", "checkpoint.pt", "model.pkl", "flax_model.msgpack", "modeling_x.py", "README.md"]

    def fetched(file: str) -> bool:
        return any(fnmatch(file, p) for p in asked["allow_patterns"])

    assert all(map(fetched, wanted))
    assert not any(map(fetched, unwanted))
    fetch_model("someone/tiny", code=True)
    assert fetched("modeling_x.py")
    assert not fetched("pytorch_model.bin")


def test_fetching_a_model_of_pickles_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(ConfigError, match="no safetensors weights; pickled ones are not fetched"):
        fetch_model("someone/pickled")


def test_fetching_without_a_network_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> str:
        raise OSError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(ConfigError, match="'someone/tiny' could not be downloaded: Name or service not known"):
        fetch_model("someone/tiny")
