"""MedVInT-TD: prompts letter by letter, preprocessing, and the glue around a stand-in for the authors' ``QA_model``.

``benchmarks/paper_models/medvint.py`` compares with their own code, which is not part of this repository.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniatures.llama import tiny_llama
from PIL import Image
from radbench.model_adapters import medvint
from radbench.model_adapters.hosting import worker

import radbench

GREEDY: dict[str, Any] = {
    "max_new_tokens": 512, "temperature": 0.0, "top_p": 1.0, "stop": [], "seed": 0, "sampling": {"do_sample": False}
}  # fmt: skip
MODALITIES = ("CT", "MRI", "Ultrasound", "X-ray")
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def asked(*parts: Any) -> list[tuple[str, tuple[Any, ...]]]:
    return [("user", parts)]


# --- prompts and pictures ---


def test_prompts_are_the_authors() -> None:
    turns = asked(PICTURE, "Which modality is this?")
    assert medvint.MedVInT.prompt(turns, MODALITIES) == (
        "Question: Which modality is this?Choices: A:CT B:MRI C:Ultrasound D:X-rayThe Answer is:"
    )
    assert medvint.MedVInT.prompt(turns, ()) == "Question: Which modality is this?The Answer is:"
    assert medvint.MedVInT.prompt(turns, MODALITIES, form="blank") == medvint.blank_prompt("Which modality is this?")
    with_system = [("system", ("Be brief.",)), *turns]
    assert medvint.MedVInT.prompt(with_system, ()) == "Question: Be brief. Which modality is this?The Answer is:"


def test_what_it_cannot_be_asked() -> None:
    example = [("user", (PICTURE, "CT?")), ("assistant", ("yes",)), ("user", (PICTURE, "MRI?"))]
    with pytest.raises(ValueError, match="no examples"):
        medvint.question(example)


def test_the_most_similar_option_is_the_shortest_that_has_the_letter() -> None:
    listed = medvint.listed(MODALITIES)
    assert listed == [" A:CT", " B:MRI", " C:Ultrasound", " D:X-ray"]
    assert medvint.most_similar(listed, "B") == 1
    assert medvint.most_similar(listed, "C") == 0  # ' A:CT' has a C and is shorter than ' C:Ultrasound'
    assert medvint.most_similar(listed, "Ultrasound") == 2
    assert medvint.most_similar(listed, "?") is None
    assert medvint.most_similar([" A:a", " B:a"], "a") == 0


def test_pictures_are_squeezed_to_512_and_normalised() -> None:
    pytest.importorskip("torch")
    grey = medvint.preprocess(Image.new("L", (20, 70), 128))
    assert tuple(grey.shape) == (3, 512, 512)
    expected = [(128 / 255 - mean) / std for mean, std in zip(medvint.MEAN, medvint.STD, strict=True)]
    assert grey[:, 100, 100].tolist() == pytest.approx(expected, abs=1e-6)
    small = np.asarray(PICTURE.resize((512, 512), Image.Resampling.BICUBIC), np.float64) / 255
    whole = (small - medvint.MEAN) / medvint.STD
    assert np.abs(medvint.preprocess(PICTURE).permute(1, 2, 0).numpy() - whole).max() < 1e-6


# --- the glue ---

QA_MODEL = """
from types import SimpleNamespace
import torch, transformers
from .parts import Encoder

class QA_model(torch.nn.Module):
    def __init__(self, a):
        super().__init__()
        print("Setup Model")
        self.img_tokens, self.arguments = a.img_token_num, a
        self.vision_model = self.vision_load_pretrain(Encoder(), a.visual_model_path)
        self.query_embed = torch.nn.Embedding(a.img_token_num, 8)
        self.decoder = torch.nn.Module()
        self.decoder.layers = torch.nn.ModuleList(torch.nn.Linear(8, 8) for _ in range(a.N))
        self.fc_l2 = torch.nn.Linear(8, a.hidden_dim)
        self.llamacasual = transformers.LlamaForCausalLM.from_pretrained(a.model_path)

    def vision_load_pretrain(self, network, path):
        raise AssertionError("the encoder is in the weights")

    def embedded(self, ids, images):
        self.seen = ids.clone(), images
        queries = self.query_embed.weight * self.vision_model(images)
        for layer in self.decoder.layers:
            queries = layer(queries)
        return torch.cat([self.fc_l2(queries)[None], self.llamacasual.get_input_embeddings()(ids)], 1)

    @torch.no_grad()
    def generate(self, ids, images):
        return self.llamacasual(inputs_embeds=self.embedded(ids, images)).logits

    @torch.no_grad()
    def generate_long_sentence(self, ids, images):
        return self.llamacasual.generate(inputs_embeds=self.embedded(ids, images), max_new_tokens=50)
"""
PARTS = """
import torch

class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(3.0))
    def forward(self, x):
        return self.scale * x.mean()
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A checkout laid out as PMC-VQA, weights of 3 image tokens and 2 decoder layers, a tiny LLaMA."""
    pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("medvint")
    models = folder / "PMC-VQA" / "src" / "MedVInT_TD" / "models"
    models.mkdir(parents=True)
    (models / "QA_model.py").write_text(QA_MODEL)
    (models / "parts.py").write_text(PARTS)
    llama = tiny_llama(folder / "llama", layers=2)
    torch.manual_seed(5)
    shapes = {"query_embed.weight": (3, 8), "fc_l2.weight": (32, 8), "fc_l2.bias": (32,), "vision_model.scale": ()}
    shapes |= {f"decoder.layers.{i}.{n}": s for i in (0, 1) for n, s in {"weight": (8, 8), "bias": (8,)}.items()}
    state = {name: torch.randn(shape) for name, shape in shapes.items()}
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    state |= {f"llamacasual.{n}": v.clone() for n, v in LlamaForCausalLM.from_pretrained(llama).state_dict().items()}
    state["llamacasual.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)  # as transformers once saved
    (folder / "weights").mkdir()
    torch.save(state, folder / "weights" / "pytorch_model.bin")
    with (
        pytest.MonkeyPatch.context() as patch
    ):  # LlamaTokenizer reads sentencepiece's files, which nothing here can write
        patch.setattr("transformers.LlamaTokenizer", PreTrainedTokenizerFast)
        yield {"checkout": str(folder / "PMC-VQA"), "weights": str(folder / "weights"), "llama": str(llama)}


def test_weights_alone_tell_the_shape_and_nothing_is_printed(
    parts: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    model = medvint.MedVInT(**parts, device="cpu")
    told = model.model.arguments
    assert (told.N, told.H, told.img_token_num, told.hidden_dim, told.is_lora) == (2, 8, 3, 32, False)
    assert (told.Vision_module, told.model_path) == ("PMC-CLIP", parts["llama"])
    assert capsys.readouterr().out == ""
    assert (model.tokenizer.pad_token_id, model.tokenizer.eos_token_id) == (0, 1)
    assert "models" not in sys.modules  # a name that another package could take
    inside = {**parts, "checkout": f"{parts['checkout']}/src/MedVInT_TD"}
    assert medvint.MedVInT(**inside, device="cpu").model.arguments.N == 2


def test_a_choice_is_the_last_letter_of_one_pass(parts: dict[str, str]) -> None:
    import torch

    model = medvint.MedVInT(**parts, device="cpu")
    answer = model.answer(asked(PICTURE, "Which modality?"), MODALITIES, "text", GREEDY)
    prompt = "Question: Which modality?Choices: A:CT B:MRI C:Ultrasound D:X-rayThe Answer is:"
    ids, images = model.model.seen
    assert model.tokenizer.decode(ids[0]) == f"<s>{prompt}"
    assert torch.equal(images, medvint.preprocess(PICTURE)[None])
    last = int(model.model.generate(ids, images)[0, -1].argmax())
    letter = model.tokenizer.decode([last], skip_special_tokens=True)
    place = medvint.most_similar(medvint.listed(MODALITIES), letter[-1:])
    assert answer["text"] == (letter if place is None else MODALITIES[place])
    assert answer["usage"] == {"input_tokens": ids.shape[1] + 3.0, "output_tokens": 1.0}


def test_a_free_answer_keeps_the_tasks_settings(parts: dict[str, str]) -> None:
    import torch

    model = medvint.MedVInT(**parts, device="cpu")
    turns = asked(PICTURE, "What is shown?")
    answer = model.answer(turns, (), "text", {**GREEDY, "max_new_tokens": 7})
    ids, images = model.model.seen
    assert ids[0, 0] == medvint.BOS
    embedded = model.model.embedded(ids, images)
    plain: list[int] = []
    for _ in range(7):  # greedy decoding, written out
        with torch.no_grad():
            plain.append(int(model.model.llamacasual(inputs_embeds=embedded).logits[0, -1].argmax()))
        if plain[-1] == 2:
            break
        token = model.model.llamacasual.get_input_embeddings()(torch.tensor([[plain[-1]]]))
        embedded = torch.cat([embedded, token], 1)
    said = model.tokenizer.decode(plain, skip_special_tokens=True).split("</s>")[0].strip()
    assert answer == {"text": said, "usage": {"input_tokens": ids.shape[1] + 3.0, "output_tokens": float(len(plain))}}
    assert "generate" not in vars(model.model.llamacasual)  # their method is itself again

    sampled = {**GREEDY, "max_new_tokens": 9, "temperature": 2.0, "seed": 1}

    def drawn(generation: dict[str, Any]) -> Any:
        return worker.ask(model, turns, [], "text", generation)["answer"]

    first = drawn(sampled)
    assert first == drawn(sampled)
    assert first != drawn({**sampled, "seed": 2})
    blank = model.answer(asked("What is shown?"), (), "text", GREEDY)
    assert not model.model.seen[1].any()
    assert blank["usage"]["output_tokens"] <= 50


def test_names_of_2023_become_those_of_todays_peft() -> None:
    old = {
        "llamacasual.base_model.model.model.layers.0.self_attn.q_proj.weight": 1,
        "llamacasual.base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": 2,
        "llamacasual.base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight": 3,
        "llamacasual.base_model.model.model.layers.0.self_attn.k_proj.weight": 4,
        "llamacasual.base_model.model.model.layers.0.self_attn.rotary_emb.inv_freq": 5,
        "vision_model.8.q_proj.weight": 6,
    }
    layer = "llamacasual.base_model.model.model.layers.0.self_attn"
    new = {
        f"{layer}.q_proj.base_layer.weight": 1,
        f"{layer}.q_proj.lora_A.default.weight": 2,
        f"{layer}.v_proj.lora_B.default.weight": 3,
        f"{layer}.k_proj.weight": 4,
        "vision_model.8.q_proj.weight": 6,
    }
    assert medvint.renamed(old, list(new)) == new  # type: ignore[arg-type, comparison-overlap]
    assert medvint.renamed(new, list(new)) == new  # type: ignore[arg-type, comparison-overlap]


def test_a_whole_run(parts: dict[str, str], tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "one.png")
    rows = ('{"id": "1", "image": "one.png", "question": "What?", "answer": "CT"}',)
    (tmp_path / "t.jsonl").write_text("\n".join(rows))
    (tmp_path / "t.yaml").write_text(
        "name: my/t\nversion: 1\nkind: vqa\ntitle: t\nprompt: '{question}'\n"
        "data: {table: t.jsonl, images: ., access: open, licence: none,"
        " columns: {id: id, image: image, question: question, answer: answer}}\n"
    )
    spec = f"medvint:{parts['checkout']},{parts['weights']},{parts['llama']},device=cpu"
    done = radbench.evaluate(spec, str(tmp_path / "t.yaml"), out=tmp_path / "run", resamples=50)
    assert done.results is not None
    scores = done.results["tasks"]["my/t"]
    assert (scores["n"], scores["failures"]) == (1, {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"checkout": "nowhere"}, "expected PMC-VQA, or its src/MedVInT_TD"),
        ({"weights": "nowhere.bin"}, "weights: there is no nowhere.bin"),
        ({"tokenizer": "nowhere"}, "tokenizer: there is no nowhere"),
        ({"form": "letters"}, "expected auto, choice or blank"),
    ],
)
def test_what_is_missing_is_named(parts: dict[str, str], change: dict[str, str], said: str) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=said):
        medvint.MedVInT(**{**parts, **change})
