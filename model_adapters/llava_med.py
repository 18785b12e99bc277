"""LLaVA-Med v1.5 (arXiv 2306.00890): text about pictures, through the ``llava`` package of its own repository.

``llava-med:WEIGHTS,checkout=DIR``: the weights ``microsoft/llava-med-v1.5-mistral-7b``, a folder or a hub id in the local
cache, as is the vision encoder that their configuration names, and a checkout of github.com/microsoft/LLaVA-Med (leave
``checkout`` out where ``llava`` is installed). Questions are asked as its
``llava/eval/model_vqa.py`` does, with the conversation ``mistral_instruct``. transformers itself does not know the model type
``llava_mistral``: weights converted to its LLaVA class, such as ``chaoyinshe/llava-med-v1.5-mistral-7b-hf``, go through ``hf:``.
This file imports nothing of radbench, so that it also runs in an old environment (the package pins transformers 4.36).
"""

from __future__ import annotations

import importlib
import os
import random
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

IMAGE = "<image>"
# Their loader chooses the class by the name of the weights' folder.
_NAME = "llava-med-v1.5-mistral-7b"


class LLaVAMed:
    """LLaVA-Med as its evaluation calls it, one question at a time.

    ``device``: as torch names it (default: the GPU where there is one). ``dtype``: float16 as the loader has it, bfloat16,
    float32. ``max_new_tokens``: by default 1024 as the evaluation, at most the task's. Temperature and top_p are the
    request's: 0 is greedy, as for the paper's questions (the script's own default is 0.2). ``load_in=8bit`` or ``4bit`` is
    passed to the loader.

    Pictures are padded to a square with the encoder's mean colour where the weights' configuration says so; the original moves
    the picture by a random pixel there, here by the request's seed. Several pictures each get their ``<image>``; the model was
    trained with one. Raises ValueError on options and requests that cannot work.
    """

    name: ClassVar[str] = "llava-med"
    hosted: ClassVar[bool] = True
    capabilities: ClassVar[tuple[str, ...]] = ("text", "multi_image")
    paths: ClassVar[tuple[str, ...]] = ("weights", "checkout")

    def __init__(
        self,
        weights: str,
        checkout: str | None = None,
        device: str | None = None,
        dtype: str = "float16",
        load_in: str | None = None,
        max_new_tokens: int | None = None,
    ) -> None:
        if load_in not in (None, "8bit", "4bit"):
            raise ValueError(f"llava-med: load_in is {load_in!r}, expected 8bit or 4bit")
        if checkout is not None and not os.path.isdir(os.path.join(checkout, "llava")):
            raise ValueError(f"llava-med: {checkout} has no folder llava: give a checkout of LLaVA-Med's repository")
        if not any(name.endswith(".safetensors") for name in os.listdir(weights)):
            raise ValueError(
                f"llava-med: {weights} has no safetensors; pickled weights are not loaded: fetch those of the repository"
            )
        import torch

        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype, self._most = getattr(torch, dtype), max_new_tokens
        builder: Any = importlib.import_module("llava.model.builder")
        self._tools: Any = importlib.import_module("llava.mm_utils")
        loaded = builder.load_pretrained_model(
            weights, None, _NAME, load_8bit=load_in == "8bit", load_4bit=load_in == "4bit", device=self._device
        )
        self._tokenizer, model, self._processor, _ = loaded
        self._model = (model if load_in else model.to(self._dtype)).eval()
        self._marked = bool(getattr(model.config, "mm_use_im_start_end", False))

    @staticmethod
    def prompt(turns: Sequence[Any], choices: Sequence[str] = (), form: str = "text", marked: bool = False) -> str:
        """``[INST] <image>\\nquestion [/INST]``; a turn's pictures come first, wherever they stand in it.

        ``marked``: pictures between ``<im_start>`` and ``<im_end>``, where the weights' configuration says so. A system turn
        stands before the first question as in LLaMA 2's format, which the original uses with an empty one.
        """
        picture = f"<im_start>{IMAGE}<im_end>\n" if marked else f"{IMAGE}\n"
        system, text = "", ""
        for role, parts in turns:
            said = "".join(part for part in parts if isinstance(part, str)).replace(IMAGE, "").strip()
            if role == "system":
                system = f"<<SYS>>\n{said}\n<</SYS>>\n\n"
            elif role == "assistant":
                text += f" {said} </s>"
            else:
                shown = picture * sum(not isinstance(part, str) for part in parts)
                text += f"[INST] {system}{shown}{said} [/INST]"
                system = ""
        return text

    def answer(self, turns: Sequence[Any], choices: Sequence[str], form: str, generation: Mapping[str, Any]) -> Any:
        import torch

        pictures = [part for _, parts in turns for part in parts if not isinstance(part, str)]
        text = self.prompt(turns, marked=self._marked)
        ids = self._tools.tokenizer_image_token(text, self._tokenizer, return_tensors="pt").unsqueeze(0)
        with torch.inference_mode():
            new = self._model.generate(
                ids.to(self._device),
                images=self._pixels(pictures, generation["seed"]),
                num_beams=1,
                max_new_tokens=self._most or min(1024, generation["max_new_tokens"]),
                use_cache=True,
                **generation["sampling"],
            )
        answer = self._tokenizer.batch_decode(new, skip_special_tokens=True)[0].strip()
        return {"text": answer, "usage": {"input_tokens": float(ids.shape[1]), "output_tokens": float(new.shape[1])}}

    def _pixels(self, pictures: Sequence[Any], seed: int) -> Any:
        """(n, 3, side, side) as their ``process_images`` makes them, or None without pictures."""
        if not pictures:
            return None
        state = random.getstate()
        random.seed(seed)
        try:
            pixels = self._tools.process_images(list(pictures), self._processor, self._model.config)
        finally:
            random.setstate(state)
        return pixels.to(self._device, self._dtype)
