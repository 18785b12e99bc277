"""MedDr (arXiv 2404.15127): text about pictures, through the user's checkout of its public code.

``meddr:CHECKOUT,weights=Sunanhe/MedDr_0401``: a checkout of github.com/sunanhe/MedDr (its folder ``src/model/internvl_chat``) and
the weights, a folder or a hub id in the local cache, as safetensors (40 billion parameters, 80 GB in bfloat16). Questions are
asked as its ``demo.py`` and ``inference_gsco.py`` do through ``InternVLChatModel.chat``, below which this goes: chat sends its
input to a GPU whatever the model is on, and takes one picture. The conversation is InternVL's "Hermes-2".
This file imports nothing of radbench, so that it also runs in an old environment.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONTEXT = "<IMG_CONTEXT>"
SYSTEM = "Answer the questions."
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class MedDr:
    """MedDr as its demo calls it, one question at a time.

    ``device``: as torch names it (default: the GPU where there is one). ``device_map``: given to ``from_pretrained`` in its
    place, such as auto for several GPUs. ``dtype``: bfloat16 as the demo. ``max_new_tokens``: by default
    512 as the demo, at most the task's.

    A picture is resized to a square of 448 pixels, bicubic, and normalised by ImageNet's mean and deviation: 256 tokens.
    Several pictures stand one after the other; the model was trained with one. A request's own system turn takes the place of
    the conversation's. Raises ValueError on options, paths and requests that cannot work.
    """

    name: ClassVar[str] = "meddr"
    hosted: ClassVar[bool] = True
    capabilities: ClassVar[tuple[str, ...]] = ("text", "multi_image")
    paths: ClassVar[tuple[str, ...]] = ("checkout", "weights")

    def __init__(
        self,
        checkout: str,
        weights: str = "Sunanhe/MedDr_0401",
        device: str | None = None,
        device_map: str | None = None,
        dtype: str = "bfloat16",
        max_new_tokens: int | None = None,
    ) -> None:
        if not os.path.isdir(os.path.join(checkout, "src", "model", "internvl_chat")):
            raise ValueError(f"meddr: {checkout} has no src/model/internvl_chat: give a checkout of MedDr's repository")
        import torch
        from transformers import LlamaTokenizer

        code: Any = importlib.import_module("src.model.internvl_chat")
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype, self._most = getattr(torch, dtype), max_new_tokens
        self._tokenizer: Any = LlamaTokenizer.from_pretrained(weights)
        placed = {} if device_map is None else {"device_map": device_map}
        model = code.InternVLChatModel.from_pretrained(
            weights, use_safetensors=True, low_cpu_mem_usage=True, torch_dtype=self._dtype, **placed
        )
        self._model = (model if placed else model.to(self._device)).eval()
        config = model.config
        if config.template != "Hermes-2":
            raise ValueError(f"meddr: the weights' conversation is {config.template!r}, expected Hermes-2: not MedDr's")
        self._side = config.force_image_size or config.vision_config.image_size
        self._square = bool(config.pad2square)
        self._tokens = model.num_image_token
        self._model.img_context_token_id = self._tokenizer.convert_tokens_to_ids(CONTEXT)

    @staticmethod
    def prompt(turns: Sequence[Any], choices: Sequence[str] = (), form: str = "text", tokens: int = 256) -> str:
        """The conversation as the tokenizer gets it; a turn's pictures come first, ``tokens`` places each."""
        picture = f"<img>{CONTEXT * tokens}</img>\n"
        system, text = SYSTEM, ""
        for role, parts in turns:
            said = "".join(part for part in parts if isinstance(part, str))
            if role == "system":
                system = said
                continue
            shown = picture * sum(not isinstance(part, str) for part in parts)
            text += f"<|im_start|>{role}\n{shown}{said}<|im_end|>"
        return f"<|im_start|>system\n{system}<|im_end|>{text}<|im_start|>assistant\n"

    def answer(self, turns: Sequence[Any], choices: Sequence[str], form: str, generation: Mapping[str, Any]) -> Any:
        import torch

        pictures = [part for _, parts in turns for part in parts if not isinstance(part, str)]
        asked = self._tokenizer(self.prompt(turns, tokens=self._tokens), return_tensors="pt")
        most = self._most or min(512, generation["max_new_tokens"])
        pixels = torch.cat([self.pixels(picture) for picture in pictures]) if pictures else None
        with torch.no_grad():
            new = self._model.generate(
                pixel_values=None if pixels is None else pixels.to(self._device, self._dtype),
                input_ids=asked["input_ids"].to(self._device),
                attention_mask=asked["attention_mask"].to(self._device),
                num_beams=1,
                max_new_tokens=most,
                **generation["sampling"],
            )
        text = self._tokenizer.batch_decode(new, skip_special_tokens=True)[0]
        tokens = {"input_tokens": float(asked["input_ids"].shape[1]), "output_tokens": float(new.shape[1])}
        return {"text": text, "usage": tokens}

    def pixels(self, picture: Any) -> Any:
        """(1, 3, side, side) float32, as their ``build_transform(is_train=False)`` makes it."""
        import torch
        from PIL import Image

        picture = picture.convert("RGB")
        if self._square and picture.width != picture.height:
            side = max(picture.size)
            sheet = Image.new("RGB", (side, side), tuple(int(255 * level) for level in _MEAN))
            sheet.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
            picture = sheet
        picture = picture.resize((self._side, self._side), Image.Resampling.BICUBIC)
        levels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(255)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (_MEAN, _STD))
        return ((levels - mean) / std).unsqueeze(0)
