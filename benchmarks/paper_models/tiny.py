"""What the comparisons with the authors' own code share: a tiny LLaMA, pictures, and saying what is equal."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

SENTENCES = (
    "You are a helpful medical assistant. You are being provided with images, a question about the image and an answer.",
    "What is the structure in the middle of the brain? Is there evidence of a right apical pneumothorax on this x-ray?",
    "Question: Which image modality is this? Choices: A:CT B:MRI C:Ultrasound D:X-ray The Answer is: yes, no, bilateral.",
    "Does the heart appear enlarged? The largest mass is located in the cerebellum, pons, mr flair, air, infarcts.",
)


def torchvision_names() -> None:
    """Let torchvision's CUDA build import beside a CPU torch: two names of operators, without kernels."""
    import torch

    if torch.version.cuda is None:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float threshold) -> Tensor")
        _KEPT.append(library)


_KEPT: list[Any] = []  # definitions last as long as their library


def glue(name: str) -> ModuleType:
    """A file of ``model_adapters`` by its path, as a worker loads it: without radbench."""
    path = Path(__file__).parents[2] / "model_adapters" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"glue_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def llama_folder(folder: Path, layers: int) -> Path:
    """A LLaMA of random weights with a sentencepiece tokenizer as the first LLaMA has it: <unk> 0, <s> 1, </s> 2."""
    import sentencepiece
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_prefix=str(folder / "tokenizer"), vocab_size=400, model_type="bpe",
        byte_fallback=True, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, minloglevel=2,
        normalization_rule_name="identity", remove_extra_whitespaces=False,
    )  # fmt: skip
    (folder / "tokenizer.vocab").unlink()
    named = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=400, hidden_size=64, intermediate_size=96, num_hidden_layers=layers, num_attention_heads=4,
        bos_token_id=1, eos_token_id=2, initializer_range=0.3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def picture(seed: int, width: int, height: int) -> Image.Image:
    """A smooth grey picture with noise, as RGB."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 6), dtype=np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    noisy = np.asarray(coarse, int) + random.integers(-9, 10, (height, width))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).convert("RGB")


class Comparison:
    """Prints a line for each thing compared; ``done`` ends the script with 1 where anything differed."""

    def __init__(self) -> None:
        self.different = 0

    def say(self, what: str, theirs: Any, ours: Any) -> None:
        import torch

        if isinstance(theirs, torch.Tensor):
            kind = f"{str(theirs.dtype).removeprefix('torch.')} {tuple(theirs.shape)}"
            equal = theirs.dtype == ours.dtype and torch.equal(theirs, ours)
        else:
            kind, equal = repr(theirs), theirs == ours
            if not equal:
                kind += f" | ours {ours!r}"
        self.different += not equal
        print(f"  {'equal' if equal else 'DIFFERENT':10}{what:28}{kind if len(kind) < 100 else kind[:97] + '...'}")

    def done(self) -> None:
        print(f"{self.different} differences" if self.different else "everything equal")
        sys.exit(self.different > 0)
