"""RadFM's glue: the prompt as printed, pictures as tensors, and a made-up checkout of the same layout that records its input."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from miniatures import vlm
from PIL import Image
from radbench.model_adapters.radfm import RadFM, places, target_depth

import radbench
from radbench.errors import ModelError
from radbench.registry import find_model

GREEDY: dict[str, Any] = {
    "max_new_tokens": 512, "temperature": 0.0, "top_p": 1.0, "stop": [], "seed": 0, "sampling": {"do_sample": False}
}  # fmt: skip
QUESTION = "Can you identify any visible signs of Cardiomegaly in the image?"
LLAMA = {
    "vocab_size": 35300,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
BERT = {"model_type": "bert", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "vocab_size": 30}  # fmt: skip

MODEL = """
from torch import nn
from transformers.models.llama import LlamaForCausalLM
from .my_embedding_layer import MyEmbedding

class MultiLLaMAForCausalLM(nn.Module):
    def __init__(self, lang_model_path):
        super().__init__()
        self.lang_model = LlamaForCausalLM.from_pretrained(lang_model_path)
        self.embedding_layer = MyEmbedding()
        self.embedding_layer.weight = self.lang_model.get_input_embeddings().weight
"""
EMBEDDING = """
import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer

class MyEmbedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.bert_tokenizer = AutoTokenizer.from_pretrained("xmcmic/Med-KEBERT")
        self.bert_model = AutoModel.from_pretrained("xmcmic/Med-KEBERT")
        self.seen = []

    def forward(self, text_input, vision_x, key_words_query=None):
        self.seen.append((self.flag, text_input, vision_x))
        return nn.functional.embedding(text_input, self.weight) + vision_x.mean(), None
"""


class Tokenizer:
    """Words of the text as ids below 32,000, added tokens behind them."""

    def __init__(self) -> None:
        self.added: list[str] = []

    @classmethod
    def from_pretrained(cls, folder: str) -> Tokenizer:
        assert Path(folder).name == "Language_files"
        return cls()

    def add_special_tokens(self, tokens: dict[str, list[str]]) -> None:
        self.added = tokens["additional_special_tokens"]

    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]:
        return [32000 + self.added.index(token) for token in tokens]

    def __call__(self, text: str, return_tensors: str) -> dict[str, Any]:
        import torch

        pieces = text.replace("<", " <").replace(">", "> ").split()
        ids = [32000 + self.added.index(p) if p in self.added else 3 + len(p) for p in pieces]
        return {"input_ids": torch.tensor([[1, *ids]])}

    def batch_decode(self, ids: Any, skip_special_tokens: bool) -> list[str]:
        return [" ".join(f"t{int(i)}" for i in row) for row in ids]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder laid out as Quick_demo, with tiny weights in one file and nothing where its code would load from."""
    pytest.importorskip("torch")
    vlm.torchvision_shim()  # transformers 5 imports it where it is
    transformers = pytest.importorskip("transformers")
    import torch

    folder = tmp_path / "Quick_demo"
    code = folder / "Model" / "RadFM"
    code.mkdir(parents=True)
    for name, text in (("__init__", ""), ("multimodality_model", MODEL), ("my_embedding_layer", EMBEDDING)):
        (code / f"{name}.py").write_text(text)
    for name, config in (("Language_files", {"model_type": "llama", **LLAMA}), ("MedKEBERT", BERT)):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA)).state_dict()
    bert = transformers.AutoModel.from_config(transformers.BertConfig(**BERT)).state_dict()
    weights = {f"lang_model.{k}": v for k, v in llama.items()}
    weights.update({f"embedding_layer.bert_model.{k}": v for k, v in bert.items()})
    weights["embedding_layer.weight"] = llama["model.embed_tokens.weight"]
    # What transformers 4.28 stored and newer versions compute.
    weights["lang_model.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(4)
    torch.save(weights, folder / "pytorch_model.bin")
    monkeypatch.setattr(transformers, "LlamaTokenizer", Tokenizer)
    monkeypatch.syspath_prepend(str(folder))  # as the worker does
    yield folder
    for name in [n for n in sys.modules if n.split(".")[0] == "Model"]:
        del sys.modules[name]


def picture(width: int = 40, height: int = 30) -> Image.Image:
    return Image.fromarray(np.arange(width * height * 3, dtype=np.uint16).reshape(height, width, 3).astype(np.uint8))


def volume(shape: tuple[int, int, int] = (20, 16, 10)) -> Any:
    """Dark but for a bright corner of the patient's right, anterior, inferior."""
    array = np.zeros(shape, np.float32)
    array[-shape[0] // 4 :, -shape[1] // 4 :, : shape[2] // 4 + 1] = 300
    return SimpleNamespace(array=array, spacing=(1.0, 1.0, 2.0))


def test_a_picture_takes_32_places_where_it_stands() -> None:
    tokens = "".join(f"<image{i}>" for i in range(32))
    assert RadFM.prompt([("user", [picture(), QUESTION])]) == f"<image>{tokens}</image>{QUESTION}"
    second = "".join(f"<image{i}>" for i in range(32, 64))
    turns = [("user", ["Was: ", picture(), " now: ", picture(), "?"])]
    assert RadFM.prompt(turns) == f"Was: <image>{tokens}</image> now: <image>{second}</image>?"
    assert places(3).startswith("<image><image96>")
    assert places(99).endswith("<image3199></image>")


def test_an_answer_follows_its_question_as_in_training() -> None:
    turns = [("system", ["S."]), ("user", ["Q1?"]), ("assistant", ["yes"]), ("user", ["Q2?"])]
    assert RadFM.prompt(turns) == "S.\nQ1? yes\nQ2?"


@pytest.mark.parametrize("pictures", [1, 6, 7])
def test_depth_is_the_nearest_multiple_of_four(pictures: int) -> None:
    def loop(deepest: int) -> int:
        target = 4
        for depth in range(4, 33 if pictures > 6 else 65, 4):
            if abs(depth - deepest) < abs(target - deepest):
                target = depth
        return target

    assert [target_depth(d, pictures) for d in range(1, 200)] == [loop(d) for d in range(1, 200)]


def test_options_and_paths_are_checked(tmp_path: Path, checkout: Path) -> None:
    with pytest.raises(ValueError, match="give the folder Quick_demo"):
        RadFM(str(tmp_path))
    with pytest.raises(ValueError, match="no weights at"):
        RadFM(str(checkout), weights=str(tmp_path / "none.bin"))
    with pytest.raises(ValueError, match="expected resize or demo"):
        RadFM(str(checkout), crop="random")
    with pytest.raises(ValueError, match="belong together"):
        RadFM(str(checkout), low=-160)


def test_weights_of_another_model_are_refused(checkout: Path) -> None:
    import torch

    file = checkout / "pytorch_model.bin"
    weights = torch.load(file, weights_only=True)
    del weights["embedding_layer.weight"]
    torch.save(weights, file)
    with pytest.raises(ValueError, match=r"1 weights differ, such as embedding_layer\.weight"):
        RadFM(str(checkout), device="cpu")


def test_pictures_are_resized_and_repeated_in_depth(checkout: Path) -> None:
    seen = RadFM(str(checkout), device="cpu").vision([picture(), picture(9, 7)]).numpy()
    assert seen.shape == (1, 2, 3, 512, 512, 4)
    expected = np.asarray(picture().resize((512, 512), Image.Resampling.BICUBIC), np.float32) / 255
    for plane in range(4):
        assert np.array_equal(seen[0, 0, :, :, :, plane], expected.transpose(2, 0, 1))


def test_a_volume_is_upright_and_spans_0_to_1(checkout: Path) -> None:
    model = RadFM(str(checkout), device="cpu")
    seen = model.vision([volume()]).numpy()
    assert seen.shape == (1, 1, 3, 256, 256, 8)  # depth 10 lies between 8 and 12: the lower
    bright = seen[0, 0, 0]
    assert bright.max() == 1
    assert bright.min() == 0
    assert bright[0, 0, 0] == 1  # anterior up, the patient's right on the left, inferior first
    assert [bright[-1, 0, 0], bright[0, -1, 0], bright[0, 0, -1]] == [0, 0, 0]
    flat = SimpleNamespace(array=np.full((4, 4, 4), 7.0, np.float32), spacing=(1, 1, 1))
    assert not model.vision([flat]).any()


def test_grey_levels_of_ct_span_the_range_that_is_asked(checkout: Path) -> None:
    model = RadFM(str(checkout), device="cpu", low=-160, high=240)
    array = np.full((4, 4, 4), 40.0, np.float32)
    array[0], array[-1] = -1000, 3000
    levels = model.vision([SimpleNamespace(array=array, spacing=(1, 1, 1))])
    assert set(np.round(np.unique(levels), 6)) >= {0.0, 0.5, 1.0}


def test_pictures_and_volumes_share_a_grid_and_none_is_black(checkout: Path) -> None:
    model = RadFM(str(checkout), device="cpu")
    assert tuple(model.vision([picture(), volume((20, 16, 41))]).shape) == (1, 2, 3, 256, 256, 40)
    assert tuple(model.vision([]).shape) == (1, 1, 3, 512, 512, 4)
    assert not model.vision([]).any()


def test_the_demo_crop_follows_the_seed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Crop:
        def __init__(self, size: list[int], scale: tuple[float, float], interpolation: object) -> None:
            assert (size, scale, interpolation) == ([512, 512], (0.8, 1.0), "bicubic")

        def __call__(self, image: Image.Image) -> Image.Image:
            return Image.new("RGB", (512, 512), (int(torch.randint(255, ())), 0, 0))

    modes = SimpleNamespace(BICUBIC="bicubic")
    transforms = SimpleNamespace(RandomResizedCrop=Crop, InterpolationMode=modes)
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(transforms=transforms))
    monkeypatch.setitem(sys.modules, "torchvision.transforms", transforms)
    model = RadFM(str(checkout), device="cpu", crop="demo")
    before = torch.random.get_rng_state()
    first, again, other = (model.vision([picture()], seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_model_gets_what_the_demo_gives_it(checkout: Path) -> None:
    import torch

    model = RadFM(str(checkout), device="cpu")
    given: dict[str, Any] = {}
    generate = model._model.lang_model.generate

    def watched(**options: Any) -> Any:
        given.update(options)
        return generate(**options)

    model._model.lang_model.generate = watched
    answer = model.answer([("user", [picture(), QUESTION])], [], "text", GREEDY)
    flag, ids, vision = model._model.embedding_layer.seen[0]
    assert flag == "Text"
    assert ids[0, :35].tolist() == [1, 32000, *range(32002, 32034), 32001]
    assert torch.equal(vision, model.vision([picture()]))
    embedded = given.pop("inputs_embeds")
    assert embedded.shape == (1, ids.shape[1], 16)
    assert given.pop("attention_mask").all()
    assert given == {"max_new_tokens": 200, "do_sample": False, "pad_token_id": 0}
    assert answer["usage"] == {"input_tokens": ids.shape[1], "output_tokens": len(answer["text"].split())}
    assert not model._model.training


def test_an_end_and_a_temperature_can_be_asked_for(checkout: Path) -> None:
    model = RadFM(str(checkout), device="cpu", eos=2, max_new_tokens=3)
    given: dict[str, Any] = {}
    model._model.lang_model.generate = lambda **options: (
        given.update(options) or options["inputs_embeds"][:, :3, 0].long()
    )
    model.answer(
        [("user", ["Q?"])], [], "text", {**GREEDY, "sampling": {"do_sample": True, "temperature": 0.7, "top_p": 0.9}}
    )
    for name, value in {
        "max_new_tokens": 3,
        "eos_token_id": 2,
        "do_sample": True,
        "temperature": 0.7,
        "top_p": 0.9,
    }.items():
        assert given[name] == value


def test_a_prompt_is_never_cut(checkout: Path) -> None:
    model = RadFM(str(checkout), device="cpu")
    with pytest.raises(ValueError, match="a prompt of 2101 tokens, RadFM takes 2048"):
        model.answer([("user", ["word " * 2100])], [], "text", GREEDY)
    with pytest.raises(ValueError, match="101 pictures"):
        model.answer([("user", [picture(2, 2)] * 101)], [], "text", GREEDY)


def test_a_run_through_the_spec(checkout: Path, text_task: Callable[..., Path], tmp_path: Path) -> None:
    spec = f"radfm:{checkout},device=cpu,max_new_tokens=2"
    results = radbench.evaluate(spec, str(text_task(3)), out=tmp_path / "run", resamples=100).results
    assert results is not None
    assert (results["tasks"]["test/toy"]["n"], results["tasks"]["test/toy"]["failures"]) == (3, {})
    found = find_model(spec).fingerprint()
    assert found["name"] == "radfm"
    assert str(tmp_path) not in json.dumps(dict(found))
    (checkout / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match="no weights at"):  # of a folder that is there
        radbench.evaluate(spec, str(text_task(3)), out=tmp_path / "run2", resamples=100)
