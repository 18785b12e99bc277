"""LLaVA-Med's glue: the prompt of ``mistral_instruct``, and a made-up ``llava`` package that records what it is given."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from radbench.model_adapters.llava_med import LLaVAMed

from radbench.records import Generation, Message, Request, Shows
from radbench.registry import find_model

GREEDY: dict[str, Any] = {
    "max_new_tokens": 512, "temperature": 0.0, "top_p": 1.0, "stop": [], "seed": 0, "sampling": {"do_sample": False}
}  # fmt: skip
BUILDER = """
import types
import torch

loads = []

class Tokenizer:
    def batch_decode(self, ids, skip_special_tokens):
        assert skip_special_tokens
        return [" " + " ".join(str(int(i)) for i in ids[0]) + " "]

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2, dtype=torch.float16))
        self.config = types.SimpleNamespace(mm_use_im_start_end=False, image_aspect_ratio="pad")
        self.asked = []

    def generate(self, inputs, images=None, **given):
        assert not self.training
        self.asked.append((inputs, images, given))
        return torch.tensor([[7, 8, 9]])

def load_pretrained_model(model_path, model_base, model_name, load_8bit=False, load_4bit=False, device_map="auto",
                          device="cuda"):
    loads.append((model_path, model_base, model_name, load_8bit, load_4bit, device))
    return Tokenizer(), Model(), "processor", 2048
"""
TOOLS = """
import random
import torch

def tokenizer_image_token(prompt, tokenizer, image_token_index=-200, return_tensors=None):
    assert return_tensors == "pt"
    ids = [1]
    for position, chunk in enumerate(prompt.split("<image>")):
        ids += ([image_token_index] if position else []) + [len(word) for word in chunk.split()]
    return torch.tensor(ids)

def process_images(images, image_processor, model_cfg):
    assert (image_processor, model_cfg.image_aspect_ratio) == ("processor", "pad")
    shift = random.randint(0, 1)
    return torch.stack([torch.full((3, 4, 4), float(image.width + shift)) for image in images])
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    pytest.importorskip("torch")
    folder = tmp_path / "LLaVA-Med"
    (folder / "llava" / "model").mkdir(parents=True)
    for name, text in (("__init__", ""), ("mm_utils", TOOLS), ("model/__init__", ""), ("model/builder", BUILDER)):
        (folder / "llava" / f"{name}.py").write_text(text)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(folder))  # as the worker does
    yield folder
    for name in [n for n in sys.modules if n.split(".")[0] == "llava"]:
        del sys.modules[name]


def picture(width: int = 6) -> Image.Image:
    return Image.fromarray(np.zeros((4, width, 3), np.uint8))


def test_the_prompt_is_that_of_mistral_instruct() -> None:
    assert LLaVAMed.prompt([("user", [picture(), "What is shown?"])]) == "[INST] <image>\nWhat is shown? [/INST]"
    assert LLaVAMed.prompt([("user", ["Left: ", picture(), " right?"])]) == "[INST] <image>\nLeft:  right? [/INST]"
    assert LLaVAMed.prompt([("user", ["Why <image>?"])]) == "[INST] Why ? [/INST]"


def test_examples_and_system_stand_as_in_their_conversation() -> None:
    turns = [("system", ["S."]), ("user", [picture(), "Q1?"]), ("assistant", ["yes"]), ("user", [picture(), "Q2?"])]
    first = "[INST] <<SYS>>\nS.\n<</SYS>>\n\n<image>\nQ1? [/INST]"
    assert LLaVAMed.prompt(turns) == f"{first} yes </s>[INST] <image>\nQ2? [/INST]"
    marked = LLaVAMed.prompt([("user", [picture(), "Q?"])], marked=True)
    assert marked == "[INST] <im_start><image><im_end>\nQ? [/INST]"


def test_the_model_gets_what_the_evaluation_gives_it(checkout: Path) -> None:
    import torch

    model = LLaVAMed("weights", checkout=str(checkout), device="cpu")
    builder: Any = sys.modules["llava.model.builder"]
    # The loader chooses its class by the name, whatever the folder is called.
    assert builder.loads == [("weights", None, "llava-med-v1.5-mistral-7b", False, False, "cpu")]
    answer = model.answer([("user", [picture(), "Is it so?"])], [], "text", GREEDY)
    assert answer == {"text": "7 8 9", "usage": {"input_tokens": 7, "output_tokens": 3}}
    ids, images, given = model._model.asked[0]
    assert ids.tolist() == [[1, 6, -200, 2, 2, 3, 7]]
    assert images.shape == (1, 3, 4, 4)
    assert images.dtype == torch.float16
    assert given == {"do_sample": False, "num_beams": 1, "max_new_tokens": 512, "use_cache": True}


def test_the_random_pixel_of_the_padding_follows_the_seed(checkout: Path) -> None:
    model = LLaVAMed("weights", checkout=str(checkout), device="cpu")
    random.seed(99)
    state = random.getstate()
    turns = [("user", [picture(), "Q?"])]
    for seed in (*range(8), *range(8)):
        model.answer(turns, [], "text", {**GREEDY, "seed": seed})
    shown = [float(images[0, 0, 0, 0]) for _, images, _ in model._model.asked]
    assert shown[:8] == shown[8:]
    assert set(shown) == {6.0, 7.0}
    assert random.getstate() == state


def test_several_pictures_none_and_temperature(checkout: Path) -> None:
    import torch

    model = LLaVAMed("weights", checkout=str(checkout), device="cpu", dtype="float32", load_in="8bit", max_new_tokens=5)
    drawn = {"do_sample": True, "temperature": 0.2, "top_p": 0.9}
    model.answer([("user", [picture(), picture(8), "Q?"])], [], "text", {**GREEDY, "sampling": drawn})
    model.answer([("user", ["Q?"])], [], "text", GREEDY)
    (ids, images, given), (_, none, _) = model._model.asked
    assert ids.tolist()[0].count(-200) == 2
    assert (images.shape[0], images.dtype, none) == (2, torch.float32, None)
    assert (given["do_sample"], given["temperature"], given["top_p"], given["max_new_tokens"]) == (True, 0.2, 0.9, 5)
    builder: Any = sys.modules["llava.model.builder"]
    assert builder.loads[-1][3:] == (True, False, "cpu")


def test_options_and_pickled_weights_are_refused(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no folder llava"):
        LLaVAMed("weights", checkout=str(tmp_path))
    with pytest.raises(ValueError, match="expected 8bit or 4bit"):
        LLaVAMed("weights", checkout=str(checkout), load_in="2bit")
    (tmp_path / "weights" / "model.safetensors").rename(tmp_path / "weights" / "pytorch_model.bin")
    with pytest.raises(ValueError, match="pickled weights are not loaded"):
        LLaVAMed("weights", checkout=str(checkout))


def test_the_spec_shows_the_prompt_without_loading(checkout: Path) -> None:
    model = find_model("llava-med:weights,device=cpu")
    request = Request("t", "s", (Message("user", ("What is shown?",)),), generation=Generation())
    assert isinstance(model, Shows)
    assert model.shown(request) == "[INST] What is shown? [/INST]"
    assert model.capabilities == {"text", "multi_image"}
