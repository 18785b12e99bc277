"""MedVInT-TD (Zhang et al. 2023, arXiv 2305.10415): glue over a checkout of xiaoman-zhang/PMC-VQA and its weights.

What is done is what ``src/MedVInT_TD/test.py`` (choices) and ``test_VQA_RAD.py`` (no choices) do: the picture at 512 x 512,
32 image tokens in front of the text, one picture, one question at a time, no examples.

MedVInT-TE is not offered. Its public code puts as many mask tokens as the right answer has into the question
(``Binary_VQA_Dataset.encode_mlm``), so that a free question cannot be asked without its answer, and crops, flips and
distorts test pictures at random.

This file imports nothing of radbench: a worker runs it by its path in another environment, from Python 3.8 on.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import torch

    Turns = Sequence[Any]  # (role, parts): a part is text or a Pillow picture

SIDE = 512
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BOS = 1
"""``test_VQA_RAD.py`` puts it first whatever the tokenizer put there; ``test.py`` leaves the tokenizer's."""


def listed(choices: Sequence[str]) -> list[str]:
    """Options as PMC-VQA has them: `` A:...``, `` B:...``."""
    return [f" {chr(ord('A') + place)}:{choice}" for place, choice in enumerate(choices)]


def question(turns: Turns) -> tuple[str, list[Any]]:
    """The text and pictures of a conversation of one question. Raises ValueError on examples."""
    if sum(role == "user" for role, _ in turns) != 1 or any(role == "assistant" for role, _ in turns):
        raise ValueError("MedVInT takes one question, no examples")
    texts = ["".join(p for p in parts if isinstance(p, str)).strip() for _, parts in turns]
    pictures = [p for _, parts in turns for p in parts if not isinstance(p, str)]
    return " ".join(filter(None, texts)), pictures


def choice_prompt(text: str, choices: Sequence[str]) -> str:
    """``Question: {q}Choices: A:... B:... C:... D:...The Answer is:``"""
    return f"Question: {text}Choices:{''.join(listed(choices))}The Answer is:"


def blank_prompt(text: str) -> str:
    """``Question: {q}The Answer is:``"""
    return f"Question: {text}The Answer is:"


def most_similar(options: Sequence[str], said: str) -> int | None:
    """Position of the first option with the highest difflib ratio above 0 to what was said; None where none has one."""
    ratios = [difflib.SequenceMatcher(None, option, said).ratio() for option in options]
    best = max(ratios, default=0.0)
    return ratios.index(best) if best > 0 else None


def preprocess(picture: Any) -> torch.Tensor:
    """A Pillow picture as (3, 512, 512) float32: bicubic, without keeping its shape, ImageNet's mean and deviation."""
    import numpy as np
    import torch
    from PIL import Image

    pixels = np.array(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    channels = torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float().div(255)
    return (channels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def renamed(state: Mapping[str, torch.Tensor], expected: Sequence[str]) -> dict[str, torch.Tensor]:
    """Names of today's peft and transformers for weights saved by those of 2023, where the model expects them."""
    names, found = set(expected), {}
    for name, value in state.items():
        new = re.sub(r"\.([qv]_proj)\.weight$", r".\1.base_layer.weight", name)
        new = re.sub(r"\.(lora_[AB])\.weight$", r".\1.default.weight", new)
        if name not in names and new not in names and name.endswith("rotary_emb.inv_freq"):
            continue  # once saved, now computed
        found[name if name in names else new] = value
    return found


def shape_of(state: Mapping[str, torch.Tensor]) -> SimpleNamespace:
    """The arguments of ``QA_model`` that weights tell by themselves; the others are those of ``test.py``."""
    layers = {int(m.group(1)) for m in (re.match(r"decoder\.layers\.(\d+)\.", name) for name in state) if m}
    ranks = [value.shape[0] for name, value in state.items() if ".lora_A." in name]
    return SimpleNamespace(
        N=len(layers),
        H=8,
        img_token_num=state["query_embed.weight"].shape[0],
        hidden_dim=state["fc_l2.weight"].shape[0],
        voc_size=32000,
        Vision_module="PMC-CLIP",
        visual_model_path="",
        checkpointing=False,
        is_lora=bool(ranks),
        peft_mode="lora",
        lora_rank=ranks[0] if ranks else 8,
    )


def their_module(checkout: str) -> ModuleType:
    """``models/QA_model.py`` of a checkout, under a name that no other package called ``models`` can take."""
    folder = next((f for f in (checkout, os.path.join(checkout, "src", "MedVInT_TD")) if _has_model(f)), None)
    if folder is None:
        raise FileNotFoundError(
            f"checkout={checkout}: expected PMC-VQA, or its src/MedVInT_TD, with models/QA_model.py"
        )
    name = "medvint_" + hashlib.sha256(os.path.abspath(folder).encode()).hexdigest()[:8]
    package = ModuleType(name)
    package.__path__ = [os.path.join(folder, "models")]
    sys.modules[name] = package
    return importlib.import_module(f"{name}.QA_model")


def _has_model(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, "models", "QA_model.py"))


class MedVInT:
    """``medvint:checkout=PMC-VQA,weights=pytorch_model.bin,llama=FOLDER``.

    ``weights``: the file of xmcmic/MedVInT-TD, or its folder. ``llama``: the LLaMA-7B or PMC-LLaMA it was trained from, as a
    folder of transformers; ``tokenizer`` where that lies elsewhere. ``form``: ``choice`` lists a task's options, ``blank``
    does not (the authors released weights for each), ``auto`` lists them where there are any. ``max_new_tokens``:
    of a blank answer, by default 50, at most the task's.

    With choices the answer is the last letter of the most likely text, matched to the options by difflib as in the
    authors' evaluation: of the options that contain the letter the shortest wins, not always the one it names.
    Without a picture the model gets one of ImageNet's mean colour.
    """

    name: ClassVar[str] = "medvint"
    hosted: ClassVar[bool] = True
    capabilities: ClassVar[tuple[str, ...]] = ("text",)
    paths: ClassVar[tuple[str, ...]] = ("checkout", "weights", "llama", "tokenizer")

    def __init__(
        self,
        checkout: str,
        weights: str,
        llama: str,
        *,
        tokenizer: str | None = None,
        form: Literal["auto", "choice", "blank"] = "auto",
        max_new_tokens: int | None = None,
        device: str | None = None,
        dtype: str = "float32",
    ) -> None:
        if form not in ("auto", "choice", "blank"):
            raise ValueError(f"form={form}: expected auto, choice or blank")
        file = os.path.join(weights, "pytorch_model.bin") if os.path.isdir(weights) else weights
        for option, path in {"weights": file, "llama": llama, "tokenizer": tokenizer or llama}.items():
            if not os.path.exists(path):
                raise FileNotFoundError(f"{option}: there is no {path}")
        import torch
        import transformers

        self.form, self.max_new_tokens = form, max_new_tokens
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = getattr(torch, dtype)
        with contextlib.redirect_stdout(sys.stderr):  # it prints; a worker's standard output carries answers
            self.model = _model(their_module(checkout), file, llama).to(self.device, self.dtype).eval()
        self.tokenizer = transformers.LlamaTokenizer.from_pretrained(tokenizer or llama)
        self.tokenizer.pad_token_id, self.tokenizer.eos_token_id = 0, 1  # so the authors' data sets have it

    @staticmethod
    def prompt(turns: Turns, options: Sequence[str] = (), _: str = "text", form: str = "auto") -> str:
        """The prompt as sent."""
        text, _pictures = question(turns)
        listing = form == "choice" or (form == "auto" and options)
        return choice_prompt(text, options) if listing else blank_prompt(text)

    def answer(self, turns: Turns, choices: Sequence[str], form: str, generation: dict[str, Any]) -> dict[str, Any]:
        import torch

        text = self.prompt(turns, choices, form, self.form)
        pictures = question(turns)[1]
        pixels = preprocess(pictures[0]) if pictures else torch.zeros(3, SIDE, SIDE)
        images = pixels[None].to(self.device, self.dtype)
        ids = self.tokenizer([text], return_tensors="pt")["input_ids"].to(self.device)
        usage = {"input_tokens": float(ids.shape[1] + self.model.img_tokens)}
        if self.form == "choice" or (self.form == "auto" and choices):
            said = self.letter(ids, images)
            place = most_similar(listed(choices), said)
            return {"text": said if place is None else choices[place], "usage": {**usage, "output_tokens": 1.0}}
        new = self.sentence(ids, images, generation)
        # With end-of-text renamed to 1 the tokenizer no longer leaves out the model's own, </s>.
        said = self.tokenizer.batch_decode([new], skip_special_tokens=True)[0].split("</s>", 1)[0]
        for stop in generation["stop"]:
            said = said.split(stop, 1)[0]
        return {"text": said.strip(), "usage": {**usage, "output_tokens": float(len(new))}}

    def letter(self, ids: torch.Tensor, images: torch.Tensor) -> str:
        """The last letter of the most likely token at every place of one pass (``test.py``)."""
        logits = self.model.generate(ids, images)
        text = self.tokenizer.batch_decode(logits.argmax(-1), skip_special_tokens=True)[0]
        return str(text[-1:])

    def sentence(self, ids: torch.Tensor, images: torch.Tensor, generation: dict[str, Any]) -> list[int]:
        """The ids of a free answer (``test_VQA_RAD.py``); greedy, or sampled where the task asks."""
        import torch

        new = self.max_new_tokens or min(50, generation["max_new_tokens"])
        asked = {"max_new_tokens": new, "pad_token_id": 0, **generation["sampling"]}
        ids[0, 0] = BOS
        language = self.model.llamacasual
        generate = language.generate  # the authors' method fixes 50 tokens: what is asked goes in here

        def as_asked(inputs_embeds: torch.Tensor, **given: Any) -> Any:
            # The mask is what transformers takes anyway, saying so at every answer.
            mask = torch.ones(inputs_embeds.shape[:2], dtype=torch.long, device=inputs_embeds.device)
            return generate(inputs_embeds=inputs_embeds, attention_mask=mask, **{**given, **asked})

        language.generate = as_asked
        try:
            return list(self.model.generate_long_sentence(ids, images)[0].tolist())
        finally:
            del language.generate


def _model(module: ModuleType, file: str, llama: str) -> torch.nn.Module:
    """Their ``QA_model`` with the weights of a file, the picture encoder's among them."""
    import torch

    state = torch.load(file, map_location="cpu", weights_only=True)
    arguments = shape_of(state)
    arguments.model_path = llama
    module.QA_model.vision_load_pretrain = lambda _self, network, _path: network  # no second file for the encoder
    model: torch.nn.Module = module.QA_model(arguments)
    model.load_state_dict(renamed(state, list(model.state_dict())))
    return model
