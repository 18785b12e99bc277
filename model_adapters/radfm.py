"""RadFM (arXiv 2308.02463): text about pictures and volumes, through the user's checkout of its public code.

``radfm:QUICK_DEMO,weights=pytorch_model.bin``: the folder ``Quick_demo`` of github.com/chaoyi-wu/RadFM and the weights
``chaoyi-wu/RadFM`` of the Hugging Face hub, unpacked. Questions are asked as its ``test.py`` does: a picture stands in the
text as ``<image>``, 32 places and ``</image>``; 512 x 512 pixels, its one plane repeated to a depth of four. Where that
script has no answer, the loaders beside it (``src/Dataset``, ``src/test.py``) have: volumes, several pictures, none at all.
This file imports nothing of radbench, so that it also runs in an old environment (transformers 4.28 is what RadFM pins).
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLACES = 32  # tokens a picture takes in the text
MOST_PICTURES = 100  # pictures the demo's tokenizer has places for
_SIDE = 512
_LONGEST = 2048  # tokens
# Buffers that older versions of transformers stored and newer ones compute.
_COMPUTED = ("rotary_emb.inv_freq", "embeddings.position_ids")


def places(picture: int) -> str:
    """What stands in the text for a picture, counted from 0."""
    return "<image>" + "".join(f"<image{picture * PLACES + i}>" for i in range(PLACES)) + "</image>"


def target_depth(deepest: int, pictures: int) -> int:
    """The multiple of four nearest to the deepest volume, the lower of two: at most 64, of more than six pictures 32."""
    depths = range(4, (32 if pictures > 6 else 64) + 1, 4)
    return min(depths, key=lambda depth: abs(depth - deepest))


class RadFM:
    """RadFM as its demo calls it, one question at a time.

    ``device``: as torch names it (default: the GPU where there is one). ``dtype``: float32 as the demo (52 GB), bfloat16,
    float16. ``crop=demo`` crops pictures at random as the demo does, seeded by the request; the default resizes them, so
    that an answer can be had twice. ``volume_side``: pixels of a volume's side, 256 as in training or 512 as in
    ``src/test.py``. ``low`` and ``high``: the range of stored values that a volume's grey levels span, such as
    low=-160,high=240 for CT (default: the volume's own range, as in the loaders). ``eos``: the token that ends an answer.
    The checkout's configuration says 1, training wrote 2, so by default an answer may run on behind its end, as in the demo.
    ``max_new_tokens``: by default 200 as the demo, at most the task's.

    Axial slices are shown with anterior up and the patient's right on the left, from inferior to superior. A request that
    has volumes and pictures is brought to one grid, as in the loaders. Raises ValueError on options, paths and requests
    that cannot work.
    """

    name: ClassVar[str] = "radfm"
    hosted: ClassVar[bool] = True
    capabilities: ClassVar[tuple[str, ...]] = ("text", "multi_image", "volumes")
    paths: ClassVar[tuple[str, ...]] = ("checkout", "weights")

    def __init__(
        self,
        checkout: str,
        weights: str | None = None,
        device: str | None = None,
        dtype: str = "float32",
        crop: str = "resize",
        volume_side: int = 256,
        low: float | None = None,
        high: float | None = None,
        eos: int | None = None,
        max_new_tokens: int | None = None,
    ) -> None:
        if crop not in ("resize", "demo"):
            raise ValueError(f"radfm: crop is {crop!r}, expected resize or demo")
        if volume_side % 32:
            raise ValueError(f"radfm: volume_side is {volume_side}, expected a multiple of 32 (the patch)")
        if (low is None) != (high is None):
            raise ValueError("radfm: low and high belong together")
        if not os.path.isfile(os.path.join(checkout, "Model", "RadFM", "multimodality_model.py")):
            raise ValueError(f"radfm: {checkout} has no Model/RadFM: give the folder Quick_demo of RadFM's repository")
        weights = weights or os.path.join(checkout, "pytorch_model.bin")
        if not os.path.isfile(weights):
            raise ValueError(f"radfm: there are no weights at {weights}: weights=pytorch_model.bin")
        import torch

        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._crop, self._volume_side = crop, volume_side
        self._range = None if low is None or high is None else (low, high)
        self._most, self._end = max_new_tokens, {} if eos is None else {"eos_token_id": eos}
        self._tokenizer = _tokenizer(os.path.join(checkout, "Language_files"))
        self._dtype = getattr(torch, dtype)
        self._model = _model(checkout, weights, self._device, self._dtype)

    @staticmethod
    def prompt(turns: Sequence[Any], choices: Sequence[str] = (), form: str = "text") -> str:
        """The text as the tokenizer gets it: each picture's places where it stands, an answer behind its question."""
        text, count = "", 0
        for role, parts in turns:
            text += "" if not text else " " if role == "assistant" else "\n"
            for part in parts:
                text += part if isinstance(part, str) else places(count)
                count += not isinstance(part, str)
        return text

    def answer(self, turns: Sequence[Any], choices: Sequence[str], form: str, generation: Mapping[str, Any]) -> Any:
        import torch

        pictures = [part for _, parts in turns for part in parts if not isinstance(part, str)]
        if len(pictures) > MOST_PICTURES:
            raise ValueError(f"{len(pictures)} pictures, RadFM has places for {MOST_PICTURES}")
        ids = self._tokenizer(self.prompt(turns), return_tensors="pt")["input_ids"]
        if ids.shape[1] > _LONGEST:
            raise ValueError(f"a prompt of {ids.shape[1]} tokens, RadFM takes {_LONGEST}")
        decoding = {"max_new_tokens": self._most or min(200, generation["max_new_tokens"]), **generation["sampling"]}
        with torch.no_grad():
            vision = self.vision(pictures, generation["seed"]).to(self._device, self._dtype)
            self._model.embedding_layer.flag = "Text"
            embedded, _ = self._model.embedding_layer(ids.to(self._device), vision)
            mask = torch.ones(embedded.shape[:2], dtype=torch.long, device=embedded.device)  # what no mask means
            given = {"inputs_embeds": embedded, "attention_mask": mask, "pad_token_id": 0}
            new = self._model.lang_model.generate(**given, **self._end, **decoding)
        text = self._tokenizer.batch_decode(new, skip_special_tokens=True)[0]
        return {"text": text, "usage": {"input_tokens": float(ids.shape[1]), "output_tokens": float(new.shape[1])}}

    def vision(self, pictures: Sequence[Any], seed: int = 0) -> Any:
        """Pictures and volumes as the vision encoder gets them: (1, S, 3, H, W, D) in 0..1, black where there are none."""
        import torch

        if not pictures:
            return torch.zeros((1, 1, 3, _SIDE, _SIDE, 4))
        depths = [p.array.shape[2] for p in pictures if hasattr(p, "array")]
        depth = target_depth(max([4, *depths]), len(pictures))
        side = self._volume_side if depths else _SIDE
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            planes = [self._volume(p, depth) if hasattr(p, "array") else self._picture(p) for p in pictures]
        size = (side, side, depth)
        return torch.cat([torch.nn.functional.interpolate(p, size=size) for p in planes], dim=0).unsqueeze(0)

    def _picture(self, picture: Any) -> Any:
        """(1, 3, 512, 512, 1)."""
        import torch
        from PIL import Image

        picture = picture.convert("RGB")
        if self._crop == "demo":
            transforms: Any = importlib.import_module("torchvision.transforms")
            bicubic = transforms.InterpolationMode.BICUBIC
            picture = transforms.RandomResizedCrop([_SIDE, _SIDE], scale=(0.8, 1.0), interpolation=bicubic)(picture)
        else:
            picture = picture.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        levels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(255)
        return levels.unsqueeze(0).unsqueeze(-1)

    def _volume(self, volume: Any, depth: int) -> Any:
        """(1, 3, 512, 512, depth): grey levels scaled to 0..1, rows from anterior, columns from the patient's right."""
        import torch

        array = np.asarray(volume.array, dtype=np.float32)[::-1, ::-1].transpose(1, 0, 2)
        low, high = self._range or (float(array.min()), float(array.max()))
        array = (np.clip(array, low, high) - low) / ((high - low) or 1.0)
        rows, columns, _ = array.shape
        levels = torch.from_numpy(np.ascontiguousarray(array))[None, None]
        slices = torch.nn.functional.interpolate(levels, size=(rows, columns, depth))[0, 0].permute(2, 0, 1)[None]
        slices = torch.nn.functional.interpolate(slices, size=(_SIDE, _SIDE), mode="bilinear", align_corners=False)
        return slices[0].permute(1, 2, 0).expand(1, 3, _SIDE, _SIDE, depth)


def _tokenizer(folder: str) -> Any:
    """LLaMA's tokenizer with the picture tokens behind its 32,000, in the order the embedding table has them."""
    from transformers import LlamaTokenizer

    tokenizer = LlamaTokenizer.from_pretrained(folder)
    added = ["<image>", "</image>", *(f"<image{i}>" for i in range(MOST_PICTURES * PLACES))]
    tokenizer.add_special_tokens({"additional_special_tokens": added})
    tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id = 0, 1, 2
    if tokenizer.convert_tokens_to_ids(["<image>", "<image0>"]) != [32000, 32002]:
        raise ValueError(f"radfm: the tokenizer of {folder} puts <image> elsewhere than at 32000: not RadFM's")
    return tokenizer


class _Built:
    """In their modules, in the place of a class of transformers: builds what they want to load."""

    def __init__(self, make: Any) -> None:
        self.from_pretrained = make


def _model(checkout: str, weights: str, device: str, dtype: Any) -> Any:
    """Their model with the weights; nothing is fetched from the hub.

    Their code loads LLaMA and a BERT (which answers do not use) by ``from_pretrained``, though all weights are in the one
    file: both are built from the configurations in the checkout.
    """
    import torch
    from transformers import AutoConfig, AutoModel, LlamaConfig, LlamaForCausalLM

    code: Any = importlib.import_module("Model.RadFM.multimodality_model")
    embedding: Any = importlib.import_module("Model.RadFM.my_embedding_layer")
    bert = os.path.join(checkout, "MedKEBERT")
    code.LlamaForCausalLM = _Built(lambda folder: LlamaForCausalLM(LlamaConfig.from_pretrained(folder)))
    embedding.AutoTokenizer = _Built(lambda name: None)
    embedding.AutoModel = _Built(lambda name: AutoModel.from_config(AutoConfig.from_pretrained(bert)))
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = code.MultiLLaMAForCausalLM(lang_model_path=os.path.join(checkout, "Language_files"))
    finally:
        torch.set_default_dtype(before)
    state = torch.load(weights, map_location="cpu", weights_only=True)
    missing, unexpected = model.load_state_dict(state, strict=False)
    wrong = [key for key in [*missing, *unexpected] if not key.endswith(_COMPUTED)]
    if wrong:
        raise ValueError(f"radfm: {weights} does not fit the checkout: {len(wrong)} weights differ, such as {wrong[0]}")
    return model.to(device).eval()
