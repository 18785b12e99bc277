"""MedDr's glue: the Hermes-2 prompt, pixels, and a made-up checkout of the same layout that records what it is given."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from radbench.model_adapters.meddr import MedDr
from radbench.tasks import meddr as tasks

from radbench.records import Message, Request, Shows
from radbench.registry import find_model

GREEDY: dict[str, Any] = {
    "max_new_tokens": 512, "temperature": 0.0, "top_p": 1.0, "stop": [], "seed": 0, "sampling": {"do_sample": False}
}  # fmt: skip
PLACES = "<img>" + "<IMG_CONTEXT>" * 256 + "</img>\n"
CODE = """
import types
import torch

loads = []

class InternVLChatModel(torch.nn.Module):
    template = "Hermes-2"
    square = False

    @classmethod
    def from_pretrained(cls, path, **given):
        loads.append((path, given))
        return cls()

    def __init__(self):
        super().__init__()
        vision = types.SimpleNamespace(image_size=224)
        self.config = types.SimpleNamespace(template=self.template, force_image_size=448, vision_config=vision,
                                            pad2square=self.square)
        self.num_image_token = 256
        self.asked = []

    def generate(self, **given):
        assert not self.training and self.img_context_token_id == 64000
        self.asked.append(given)
        return torch.tensor([[5, 6]])
"""


class Tokenizer:
    @classmethod
    def from_pretrained(cls, path: str) -> Tokenizer:
        return cls()

    def convert_tokens_to_ids(self, token: str) -> int:
        assert token == "<IMG_CONTEXT>"
        return 64000

    def __call__(self, text: str, return_tensors: str) -> dict[str, Any]:
        import torch

        self.text = text
        ids = torch.tensor([[1, *[64000] * text.count("<IMG_CONTEXT>"), 3]])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def batch_decode(self, ids: Any, skip_special_tokens: bool) -> list[str]:
        assert skip_special_tokens
        return [" ".join(f"t{int(i)}" for i in row) for row in ids]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "MedDr"
    (folder / "src" / "model" / "internvl_chat").mkdir(parents=True)
    (folder / "src" / "model" / "internvl_chat" / "__init__.py").write_text(CODE)
    monkeypatch.setattr(transformers, "LlamaTokenizer", Tokenizer)
    monkeypatch.syspath_prepend(str(folder))  # as the worker does
    (tmp_path / "weights").mkdir()
    yield folder
    for name in [n for n in sys.modules if n.split(".")[0] == "src"]:
        del sys.modules[name]


def picture(width: int = 60, height: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def code() -> Any:
    return sys.modules["src.model.internvl_chat"]


def test_the_prompt_is_that_of_hermes_2() -> None:
    question = "You are a helpful medical assistant. Your task is report generation."
    assert MedDr.prompt([("user", [picture(), question])]) == (
        "<|im_start|>system\nAnswer the questions.<|im_end|>"
        f"<|im_start|>user\n{PLACES}{question}<|im_end|><|im_start|>assistant\n"
    )


def test_system_examples_and_several_pictures() -> None:
    turns = [("system", ["S."]), ("user", [picture(), picture(), "Q1"]), ("assistant", ["A1"]), ("user", ["Q2"])]
    assert MedDr.prompt(turns) == (
        f"<|im_start|>system\nS.<|im_end|><|im_start|>user\n{PLACES}{PLACES}Q1<|im_end|>"
        "<|im_start|>assistant\nA1<|im_end|><|im_start|>user\nQ2<|im_end|><|im_start|>assistant\n"
    )


def test_retrieved_diagnoses_are_told_as_the_tasks_tell_them() -> None:
    """The sentence of GSCo's inference_gsco.py, which joins the diagnoses by commas without spaces."""
    sentence = "The diagnoses of the most similar cases are {retrieved}."
    assert {t.retrieval for t in tasks.TASKS if "mnist" in t.name and t.retrieval} == {sentence}


@pytest.mark.parametrize("square", [False, True])
def test_pixels_are_bicubic_and_normalised(checkout: Path, square: bool) -> None:
    model = MedDr(str(checkout), device="cpu")
    model._square = square
    shown = picture()
    if square:
        sheet = Image.new("RGB", (60, 60), (123, 116, 103))
        sheet.paste(shown, (0, 10))
        shown = sheet
    levels = np.asarray(shown.resize((448, 448), Image.Resampling.BICUBIC), np.float64) / 255
    expected = (levels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert np.allclose(model.pixels(picture()).numpy()[0], expected.transpose(2, 0, 1), atol=1e-5)


def test_the_model_gets_what_chat_gives_it(checkout: Path) -> None:
    import torch

    model = MedDr(str(checkout), "weights", device="cpu")
    assert code().loads == [
        ("weights", {"use_safetensors": True, "low_cpu_mem_usage": True, "torch_dtype": torch.bfloat16})
    ]
    answer = model.answer([("user", [picture(), "Q?"])], [], "text", GREEDY)
    assert answer == {"text": "t5 t6", "usage": {"input_tokens": 258, "output_tokens": 2}}
    given = model._model.asked[0]
    assert model._tokenizer.text == MedDr.prompt([("user", [picture(), "Q?"])])
    assert given["input_ids"].shape == given["attention_mask"].shape == (1, 258)
    assert (given["pixel_values"].shape, given["pixel_values"].dtype) == ((1, 3, 448, 448), torch.bfloat16)
    decoding = {k: given[k] for k in given.keys() - {"input_ids", "attention_mask", "pixel_values"}}
    assert decoding == {"num_beams": 1, "max_new_tokens": 512, "do_sample": False}


def test_several_pictures_none_and_options(checkout: Path) -> None:
    model = MedDr(str(checkout), "weights", device="cpu", device_map="auto", dtype="float32", max_new_tokens=9)
    assert code().loads[0][1]["device_map"] == "auto"
    drawn = {"do_sample": True, "temperature": 0.5, "top_p": 0.8}
    model.answer([("user", [picture(), picture(), "Q?"])], [], "text", GREEDY)
    model.answer([("user", ["Q?"])], [], "text", {**GREEDY, "sampling": drawn})
    two, none = model._model.asked
    assert two["pixel_values"].shape[0] == 2
    assert two["input_ids"].shape[1] == 2 + 2 * 256
    assert none["pixel_values"] is None
    assert (none["do_sample"], none["temperature"], none["top_p"], none["max_new_tokens"]) == (True, 0.5, 0.8, 9)


def test_what_is_not_meddr_is_refused(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no src/model/internvl_chat"):
        MedDr(str(tmp_path))
    file = checkout / "src" / "model" / "internvl_chat" / "__init__.py"
    file.write_text(CODE.replace("Hermes-2", "internlm2-chat"))
    with pytest.raises(ValueError, match="'internlm2-chat', expected Hermes-2"):
        MedDr(str(checkout), device="cpu")


def test_the_spec_shows_the_prompt_without_loading(checkout: Path) -> None:
    model = find_model(f"meddr:{checkout},weights={checkout.parent}/weights")
    assert isinstance(model, Shows)
    assert model.shown(Request("t", "s", (Message("user", ("Q?",)),))).endswith(
        "user\nQ?<|im_end|><|im_start|>assistant\n"
    )
    assert model.capabilities == {"text", "multi_image"}
