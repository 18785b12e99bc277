"""OpenFlamingo and Med-Flamingo: their prompts letter by letter, and the real package with tiny random weights.

The package builds a tiny LLaMA from a folder; only open_clip is a stub, a convolution for a vision encoder.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from miniatures.llama import tiny_llama
from miniatures.vlm import torchvision_shim
from PIL import Image
from radbench.model_adapters import flamingo
from radbench.model_adapters.host import Hosted
from radbench.model_adapters.hosting import worker

import radbench
from radbench.errors import ConfigError
from radbench.records import Message, Request, Shows
from radbench.registry import find_model

GREEDY: dict[str, Any] = {
    "max_new_tokens": 512, "temperature": 0.0, "top_p": 1.0, "stop": [], "seed": 0, "sampling": {"do_sample": False}
}  # fmt: skip
needs_package = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("open_flamingo", "einops", "einops_exts")),
    reason="open-flamingo is not installed: pip install --no-deps open-flamingo einops einops-exts",
)


def picture(value: int, width: int = 40) -> Image.Image:
    pixels = np.random.default_rng(value).integers(0, 256, (30, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


A, B, C = picture(1), picture(2, 50), picture(3, 30)
ZERO = [("user", (A, "What is shown?"))]
TWO = [
    ("user", (A, "Is it CT?")),
    ("assistant", ("yes",)),
    ("user", (B, "Which side?")),
    ("assistant", ("left.",)),
    ("user", (C, "What is shown?")),
]


# --- prompts ---


def test_open_flamingo_asks_and_captions_as_its_evaluation_does() -> None:
    assert flamingo.vqa_prompt(ZERO) == "<image>Question:What is shown? Short answer:"
    assert flamingo.vqa_prompt(TWO) == (
        "<image>Question:Is it CT? Short answer:yes<|endofchunk|>\n"
        "<image>Question:Which side? Short answer:left.<|endofchunk|>\n"
        "<image>Question:What is shown? Short answer:"
    )
    assert flamingo.caption_prompt(ZERO) == "<image>Output:"
    assert flamingo.caption_prompt(TWO) == (
        "<image>Output:yes<|endofchunk|>\n<image>Output:left.<|endofchunk|>\n<image>Output:"
    )
    assert flamingo.caption_prompt(TWO[:2] + TWO[4:], "") == "<image>Output:yes<|endofchunk|><image>Output:"


def test_med_flamingo_prompt_of_six_shots_is_the_demos() -> None:
    shots = [
        ("What is/are the structure near/in the middle of the brain?", "pons"),
        ("Is there evidence of a right apical pneumothorax on this chest x-ray?", "yes"),
        ("Is/Are there air in the patient's peritoneal cavity?", "no"),
        ("Does the heart appear enlarged?", "yes"),
        ("What side are the infarcts located?", "bilateral"),
        ("Which image modality is this?", "mr flair"),
    ]
    turns: list[tuple[str, tuple[Any, ...]]] = []
    for question, answer in shots:
        turns += [("user", (A, question)), ("assistant", (answer,))]
    turns.append(("user", (B, "Where is the largest mass located in the cerebellum?")))
    assert flamingo.med_flamingo_prompt(turns) == (
        "You are a helpful medical assistant. You are being provided with images, a question about the image and an answer."
        " Follow the examples and answer the last question. "
        "<image>Question: What is/are the structure near/in the middle of the brain? Answer: pons.<|endofchunk|>"
        "<image>Question: Is there evidence of a right apical pneumothorax on this chest x-ray? Answer: yes.<|endofchunk|>"
        "<image>Question: Is/Are there air in the patient's peritoneal cavity? Answer: no.<|endofchunk|>"
        "<image>Question: Does the heart appear enlarged? Answer: yes.<|endofchunk|>"
        "<image>Question: What side are the infarcts located? Answer: bilateral.<|endofchunk|>"
        "<image>Question: Which image modality is this? Answer: mr flair.<|endofchunk|>"
        "<image>Question: Where is the largest mass located in the cerebellum? Answer:"
    )
    assert flamingo.med_flamingo_prompt(TWO[2:]).count("left.<|endofchunk|>") == 1  # one full stop, not two


def test_every_picture_has_its_token_where_the_task_has_the_picture() -> None:
    assert flamingo.vqa_prompt([("user", (A, B, "Which is newer?"))]) == (
        "<image><image>Question:Which is newer? Short answer:"
    )
    assert flamingo.vqa_prompt([("user", ("In ", A, ", what is shown?"))]) == (
        "Question:In <image>, what is shown? Short answer:"
    )
    assert flamingo.caption_prompt([("user", ("Caption ", A, " and ", B))]) == "<image><image>Output:"
    assert flamingo.vqa_prompt([("user", ("What is shown?",))]) == "Question:What is shown? Short answer:"


def test_a_text_cannot_open_a_picture_and_a_system_message_comes_first() -> None:
    turns = [("system", ("Be brief.",)), ("user", (A, "What is <image> here<|endofchunk|>?"))]
    assert flamingo.vqa_prompt(turns) == "Be brief.\n<image>Question:What is image here? Short answer:"
    assert flamingo.med_flamingo_prompt(turns).endswith(
        "question. Be brief. <image>Question: What is image here? Answer:"
    )


def test_conversations_that_cannot_be_asked() -> None:
    with pytest.raises(ValueError, match="without a question"):
        flamingo.chunks(TWO[:4])


def test_prompts_can_be_looked_at_before_anything_is_loaded(tmp_path: Path) -> None:
    request = Request("t", "1", (Message("user", ("What is shown?",)),), choices=("CT", "MRI"))

    def shown(spec: str) -> str:
        model = find_model(spec)
        assert isinstance(model, Shows)
        return model.shown(request)

    at = str(tmp_path)
    assert (
        shown(f"open-flamingo:9B-vitl-mpt7b,lang_encoder={at},weights={at}") == "Question:What is shown? Short answer:"
    )
    assert shown(f"open-flamingo:4B-vitl-rpj3b,lang_encoder={at},weights={at},form=caption") == "Output:"
    assert shown(f"med-flamingo:{at},weights={at}").endswith("the last question. Question: What is shown? Answer:")
    assert shown(f"medvint:{at},{at},{at}") == "Question: What is shown?Choices: A:CT B:MRIThe Answer is:"
    assert shown(f"medvint:{at},{at},{at},form=blank") == "Question: What is shown?The Answer is:"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            "open-flamingo:4B-vitl-rpj3b",
            "lang_encoder=togethercomputer/RedPajama-INCITE-Base-3B-v1 is no file or folder",
        ),
        ("med-flamingo:{at}", "weights=med-flamingo/med-flamingo is no file or folder"),
        ("open-flamingo:8B", "none of 3B-vitl-mpt1b"),
        ("med-flamingo:/no/such", "llama=/no/such is not there"),
        ("radfm:/no/such", "checkout=/no/such is not there"),
        ("llava-med:/no/such", "weights=/no/such is not there"),
        ("llava-med:microsoft/llava-med-v1.5-mistral-7b", "nor a repository in the Hugging Face cache"),
        ("meddr:{at}", "weights=Sunanhe/MedDr_0401 is no file or folder"),
        ("medversa:hyzhou/MedVersa", "checkout=hyzhou/MedVersa is no file or folder"),
    ],
)
def test_what_is_not_on_this_machine_is_refused_before_a_run(
    spec: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is the first argument, and never asked of the network (which conftest closes)."""
    pytest.importorskip("huggingface_hub")
    with pytest.raises(ConfigError, match=said) as caught:
        find_model(spec.format(at=tmp_path))
    if "no file or folder" in said:
        assert re.fullmatch(r"radbench fetch model [\w./-]+", caught.value.remedy)


def test_a_repository_is_known_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    commit, cache = "0123456789" * 4, tmp_path / "hub"
    repository = cache / "models--med-flamingo--med-flamingo"
    for folder in ("refs", f"snapshots/{commit}"):
        (repository / folder).mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots" / commit / "model.pt").write_bytes(b"weights")
    download = functools.partial(huggingface_hub.snapshot_download, cache_dir=str(cache))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    model = find_model(f"med-flamingo:{tmp_path}")
    assert isinstance(model, Hosted)
    assert model.fingerprint()["weights"] == f"med-flamingo/med-flamingo@{commit}"
    given = model._call.arguments["weights"]  # the class gets the folder: it never asks for it by its name
    assert flamingo.find_weights(given, "model.pt") == str(repository / "snapshots" / commit / "model.pt")


def test_code_of_a_language_models_repository_runs_only_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"auto_map": {"AutoModelForCausalLM": "modeling_mpt.MPTForCausalLM"}}')
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"brings code of its own.*trust_remote_code=True"):
        flamingo.MedFlamingo(str(tmp_path), weights=str(tmp_path))


def test_the_file_needs_nothing_of_radbench() -> None:
    code = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('hosted_flamingo', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "print(module.vqa_prompt([('user', ('Why?',))]), 'radbench' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, flamingo.__file__], capture_output=True, text=True, check=True
    )
    assert done.stdout == "Question:Why? Short answer: False False\n"


# --- the package ---


def stub_open_clip() -> ModuleType:
    """What the package asks of open_clip: 28-pixel pictures, four patch tokens of width 16."""
    import torch

    class Visual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.patches = torch.nn.Conv2d(3, 16, 14, 14)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            tokens = self.patches(x).flatten(2).transpose(1, 2)
            return tokens.mean(1), tokens

    class Clip(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.visual = Visual()

    def preprocess(image: Image.Image) -> torch.Tensor:
        pixels = np.asarray(image.resize((28, 28), Image.Resampling.BICUBIC), np.float32) / 255 - 0.5
        return torch.from_numpy(pixels).permute(2, 0, 1)

    module = ModuleType("open_clip")
    module.create_model_and_transforms = lambda *_, **__: (Clip(), None, preprocess)  # type: ignore[attr-defined]
    module.get_model_config = lambda _: {"vision_cfg": {"width": 16}}  # type: ignore[attr-defined]
    module.preprocess = preprocess  # type: ignore[attr-defined]
    return module


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder of a tiny LLaMA and a checkpoint as released: trained parameters alone, gates open."""
    torchvision_shim()
    import torch

    folder = tmp_path_factory.mktemp("flamingo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "open_clip", stub_open_clip())
        from open_flamingo import create_model_and_transforms

        llama = tiny_llama(folder / "llama")
        torch.manual_seed(2)
        model, _, _ = create_model_and_transforms("ViT-L-14", "openai", str(llama), str(llama), 2)
        trained = {
            name: torch.full_like(value, 0.7) if "_gate" in name else value.clone()
            for name, value in model.state_dict().items()
            if name.startswith("perceiver") or ".gated_cross_attn_layer." in name or "embed_tokens" in name
        }
        torch.save({"model_state_dict": {f"module.{name}": v for name, v in trained.items()}}, folder / "checkpoint.pt")
        yield {"lang_encoder": str(llama), "weights": str(folder / "checkpoint.pt"), "cross_attn_every_n_layers": 2}


def loaded(parts: dict[str, Any], **options: Any) -> Any:
    return flamingo.OpenFlamingo(**parts, device="cpu", **options)


def seen(model: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the next generation is given."""
    kept: dict[str, Any] = {}
    generate = model.model.generate

    def record(**given: Any) -> Any:
        kept.update(given)
        kept["output"] = generate(**given)
        return kept["output"]

    monkeypatch.setattr(model.model, "generate", record)
    return kept


@needs_package
def test_pictures_of_examples_arrive_in_order_and_only_the_answer_comes_back(
    parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    model = loaded(parts)
    given = seen(model, monkeypatch)
    answer = model.answer(TWO, (), "text", GREEDY)

    preprocess = stub_open_clip().preprocess
    assert given["vision_x"].shape == (1, 3, 1, 3, 28, 28)
    for position, shown in enumerate((A, B, C)):
        assert torch.equal(given["vision_x"][0, position, 0], preprocess(shown))
    text = model.tokenizer.decode(given["lang_x"][0])
    assert text == "<s>" + flamingo.vqa_prompt(TWO)
    assert (given["lang_x"] == model.model.media_token_id).sum() == 3
    assert (given["max_new_tokens"], given["num_beams"], given["length_penalty"]) == (5, 3, 0.0)

    prompt = given["lang_x"].shape[1]
    new = given["output"][0, prompt:].tolist()
    new = new[: new.index(model.model.eoc_token_id)] if model.model.eoc_token_id in new else new
    assert torch.equal(given["output"][0, :prompt], given["lang_x"][0])
    assert answer["text"] == model.tokenizer.decode(new, skip_special_tokens=True).strip()
    assert answer["usage"] == {"input_tokens": float(prompt), "output_tokens": float(len(new))}
    assert model.answer(TWO, (), "text", GREEDY) == answer


@needs_package
def test_the_model_sees_its_pictures_and_a_request_without_one_is_asked_blind(parts: dict[str, Any]) -> None:
    model = loaded(parts, choices="rank")

    def scores(*shown: Any) -> dict[str, float]:
        return dict(model.answer([("user", (*shown, "What is shown?"))], ("CT", "MRI"), "text", GREEDY)["scores"])

    assert scores(A) != scores(B)
    assert len({str(scores(*shown)) for shown in ((A, B), (B, A), (C, B), (B,))}) == 4
    inputs = model.inputs(flamingo.vqa_prompt([("user", ("What is shown?",))]), [])
    assert inputs["vision_x"].shape == (1, 1, 1, 3, 28, 28)
    other = {**inputs, "vision_x": inputs["vision_x"] + 5}
    assert model.rank(inputs, ("CT", "MRI")) == model.rank(other, ("CT", "MRI")) == scores()
    assert model.generate(inputs, 12, GREEDY) == model.generate(other, 12, GREEDY)


@needs_package
def test_the_tasks_generation_settings_are_kept(parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(parts, form="caption")
    given = seen(model, monkeypatch)
    model.answer(ZERO, (), "text", GREEDY)
    assert given["max_new_tokens"] == 20
    model.answer(ZERO, (), "text", {**GREEDY, "max_new_tokens": 3})
    assert given["max_new_tokens"] == 3
    given.clear()
    sampled = {**GREEDY, "temperature": 1.5, "top_p": 0.9, "seed": 4}

    def drawn(generation: dict[str, Any]) -> Any:
        return worker.ask(model, ZERO, [], "text", generation)["answer"]

    first = drawn(sampled)
    assert (given["do_sample"], given["temperature"], given["top_p"]) == (True, 1.5, 0.9)
    assert "num_beams" not in given
    assert drawn(sampled) == first
    assert drawn({**sampled, "seed": 5}) != first
    assert loaded(parts, form="caption", max_new_tokens=40).max_new_tokens == 40
    assert flamingo.cut("left lung. Question", ["Question", "lung"]) == "left "


@needs_package
def test_choices_are_ranked_by_their_mean_log_likelihood(parts: dict[str, Any]) -> None:
    import torch

    model = loaded(parts, choices="rank")
    answer = model.answer(ZERO, ("CT", "MRI", "ultrasound"), "text", GREEDY)
    encode, vision = model.tokenizer, model.preprocess(A)[None, None, None]
    expected = {}
    for choice in ("CT", "MRI", "ultrasound"):
        ids = encode("<image>Question:What is shown? Short answer:")["input_ids"]
        tail = encode(choice, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model.model(vision, torch.tensor([ids + tail]), torch.ones(1, len(ids + tail)).long()).logits
        said = torch.log_softmax(logits[0], -1)
        expected[choice] = np.mean([float(said[len(ids) + i - 1, token]) for i, token in enumerate(tail)])
    assert answer["scores"] == pytest.approx(expected, abs=1e-5)
    assert answer["text"] == max(expected, key=expected.__getitem__)
    assert "scores" not in model.answer(ZERO, (), "text", GREEDY)  # nothing to rank: generated


@needs_package
def test_med_flamingo_answers_the_demos_way(
    parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch

    state = torch.load(parts["weights"], weights_only=True)["model_state_dict"]
    one = {n: v for n, v in state.items() if "layers.1.gated" not in n}  # every fourth layer, not every second
    torch.save(one, tmp_path / "model.pt")
    model = flamingo.MedFlamingo(parts["lang_encoder"], weights=str(tmp_path / "model.pt"), device="cpu")
    given = seen(model, monkeypatch)
    answer = model.answer(TWO, (), "text", GREEDY)
    assert model.tokenizer.decode(given["lang_x"][0]) == "<s>" + flamingo.med_flamingo_prompt(TWO)
    assert (given["max_new_tokens"], given["num_beams"], given["vision_x"].shape[1]) == (10, 1, 3)
    whole = model.tokenizer.decode(given["output"][0]).replace("<unk> ", "").strip()  # as the demo prints it
    assert (
        whole.removesuffix("<|endofchunk|>").strip()
        == f"<s>{flamingo.med_flamingo_prompt(TWO)}{answer['text']}".strip()
    )


@needs_package
def test_a_whole_run_with_examples(parts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    rows = []
    for number in range(5):
        picture(number).save(tmp_path / f"{number}.png")
        split = "test" if number == 4 else "train"
        row = {"id": str(number), "image": f"{number}.png", "question": f"Which {number}?", "answer": f"a{number}"}
        rows.append(json.dumps({**row, "split": split}))
    (tmp_path / "t.jsonl").write_text("\n".join(rows))
    (tmp_path / "t.yaml").write_text(
        "name: my/t\nversion: 1\nkind: vqa\ntitle: t\nprompt: '{question}'\nsplit: test\nsupport: train\n"
        "data: {table: t.jsonl, images: ., access: open, licence: none,"
        " columns: {id: id, image: image, question: question, answer: answer, split: split}}\n"
    )
    calls: list[dict[str, Any]] = []
    generate = flamingo._Flamingo.generate

    def record(model: Any, inputs: dict[str, Any], *rest: Any, **settings: Any) -> list[int]:
        calls.append({**inputs, "text": model.tokenizer.decode(inputs["lang_x"][0])})
        return generate(model, inputs, *rest, **settings)

    monkeypatch.setattr(flamingo._Flamingo, "generate", record)
    given = ",".join(f"{name}={value}" for name, value in parts.items())
    spec = f"shots(open-flamingo:{given},device=cpu,k=3)"
    done = radbench.evaluate(spec, str(tmp_path / "t.yaml"), out=tmp_path / "run", resamples=50)
    assert done.results is not None
    assert done.results["tasks"]["my/t"]["failures"] == {}
    (call,) = calls
    shown = [int(number) for number in re.findall(r"<image>Question:Which (\d)\?", call["text"])]
    assert len(shown) == 4
    assert shown[-1] == 4
    assert re.findall(r"Short answer:a(\d)<\|endofchunk\|>", call["text"]) == [str(number) for number in shown[:-1]]
    for position, number in enumerate(shown):
        assert torch.equal(call["vision_x"][0, position, 0], stub_open_clip().preprocess(picture(number)))


@needs_package
def test_weights_that_do_not_fit_and_prompts_that_are_too_long(parts: dict[str, Any], tmp_path: Path) -> None:
    import torch

    state = torch.load(parts["weights"], weights_only=True)["model_state_dict"]
    torch.save({n: v for n, v in state.items() if "perceiver.latents" not in n}, tmp_path / "part.pt")
    with pytest.raises(ValueError, match=r"lacks 1 of \d+ trained parameters, such as perceiver.latents"):
        loaded({**parts, "weights": str(tmp_path / "part.pt")})
    with pytest.raises(ValueError, match="the language model takes 1024: ask with fewer examples"):
        loaded(parts).answer([("user", (A, "long " * 250))], (), "text", GREEDY)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lang_encoder": "x"}, "cross_attn_every_n_layers= and weights="),
        ({"form": "report"}, "vqa or caption"),
        (
            {"lang_encoder": "x", "cross_attn_every_n_layers": 2, "weights": "gone/model.pt"},
            "expected a checkpoint file",
        ),
    ],
)
def test_wrong_options_are_told_before_anything_is_loaded(options: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        flamingo.OpenFlamingo(**options)
    with pytest.raises(FileNotFoundError, match="folder with LLaMA-7B"):
        flamingo.MedFlamingo("no/such/folder")
