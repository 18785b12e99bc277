"""Tiny vision-language models: the public families' own classes and processors with random weights. Nothing is downloaded.

``tiny_vlm("llava", folder)`` writes what ``save_pretrained`` of a real model writes (safetensors, processor, chat
template, generation config with a list of end tokens), so that an adapter loads it as it would load the real one.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PATCH = 14
SIDE = 56  # pixels a picture is resized to: 16 patches, pooled to 4 tokens where a family pools
WIDTH = 64
_SENTENCES = (
    "Is there a pleural effusion in this radiograph? Answer yes or no.",
    "Describe the findings of the chest radiograph. The heart size is normal. No focal consolidation.",
    "What has changed between the prior and the current study? Stable cardiomediastinal silhouette.",
    "Which of these organs is shown? Liver, spleen, left kidney, right kidney, stomach, pancreas.",
    "Impression: no acute cardiopulmonary process. Small left apical pneumothorax, unchanged.",
)

# The tokens a family's tokenizer must know, by the attribute its processor asks for; and the other special ones.
_NAMED: Mapping[str, Mapping[str, str]] = {
    "llava": {"image_token": "<image>"},
    "qwen2_5_vl": {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
    "gemma3": {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"},
    "internvl": {
        "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    },
    "idefics3": {},
    "idefics2": {},
}  # fmt: skip
_SPECIAL: Mapping[str, Sequence[str]] = {
    "llava": ("<s>", "</s>", "<pad>"),
    "qwen2_5_vl": ("<|endoftext|>", "<|im_end|>", "<|im_start|>", "<|vision_start|>", "<|vision_end|>"),
    "gemma3": ("<bos>", "<end_of_turn>", "<pad>", "<start_of_turn>", "<eos>"),
    "internvl": ("<|endoftext|>", "<|im_end|>", "<|im_start|>"),
    "idefics3": (
        "<|begin_of_text|>", "<end_of_utterance>", "<pad>", "<fake_token_around_image>", "<image>", "<global-img>",
        *(f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)), "<|end_of_text|>",
    ),
    "idefics2": ("<s>", "<end_of_utterance>", "<pad>", "<fake_token_around_image>", "<image>", "</s>"),
}  # fmt: skip
# Beginning, end of a turn (which ends an answer), padding; and what else ends an answer.
_ROLES: Mapping[str, tuple[str | None, str, str, Sequence[str]]] = {
    "llava": ("<s>", "</s>", "<pad>", ()),
    "qwen2_5_vl": (None, "<|im_end|>", "<|endoftext|>", ("<|endoftext|>",)),
    "gemma3": ("<bos>", "<end_of_turn>", "<pad>", ("<eos>",)),
    "internvl": (None, "<|im_end|>", "<|endoftext|>", ("<|endoftext|>",)),
    "idefics3": ("<|begin_of_text|>", "<end_of_utterance>", "<pad>", ("<|end_of_text|>",)),
    "idefics2": ("<s>", "<end_of_utterance>", "<pad>", ("</s>",)),
}
# A content is a text or a list of parts; a picture stands where its part stands.
_PARTS = (
    "{%% if m['content'] is string %%}{{ m['content'] }}{%% else %%}{%% for p in m['content'] %%}"
    "{%% if p['type'] == 'image' %%}%s{%% else %%}{{ p['text'] }}{%% endif %%}{%% endfor %%}{%% endif %%}"
)
_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n" + "@<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_IDEFICS = (
    "{% for m in messages %}{{ m['role'] | capitalize }}: @<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
_TEMPLATES = {
    "llava": "{% for m in messages %}{{ m['role'] | upper }}: @ {% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}".replace("@", _PARTS % "<image>\n"),
    "qwen2_5_vl": _CHATML.replace("@", _PARTS % "<|vision_start|><|image_pad|><|vision_end|>"),
    "gemma3": "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else "
    "m['role'] }}\n@<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}".replace(
        "@", _PARTS % "<start_of_image>"
    ),
    "internvl": _CHATML.replace("@", _PARTS % "<IMG_CONTEXT>\n"),
    "idefics3": "<|begin_of_text|>" + _IDEFICS.replace("@", _PARTS % "<image>"),
    "idefics2": "<s>" + _IDEFICS.replace("@", _PARTS % "<image>"),
}


def torchvision_shim() -> None:
    """Let a torchvision built for a GPU import beside a torch for the processor: its operators' names without kernels.

    Call it before anything imports torchvision. For tests alone: ``nms`` and the like cannot be run afterwards.
    """
    global _LIBRARY
    import torch

    found = importlib.util.find_spec("torchvision")
    if _LIBRARY is not None or found is None or found.origin is None or torch.version.cuda is not None:
        return
    if "+cu" not in Path(found.origin).with_name("version.py").read_text():
        return  # one that is not built for a GPU brings its operators
    _LIBRARY = torch.library.Library("torchvision", "DEF")
    for operator in ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
                     "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"):  # fmt: skip
        _LIBRARY.define(operator)


_LIBRARY: Any = None  # a torch library's definitions last as long as it does


def needs_torchvision(family: str) -> bool:
    """Whether a family's processor holds one for videos, which cannot be made without torchvision."""
    return family in ("qwen2_5_vl", "internvl")


def available(family: str) -> bool | str:
    """True where the family can be built here, else why not."""
    for module in ("torch", "transformers", "torchvision") if needs_torchvision(family) else ("torch", "transformers"):
        if importlib.util.find_spec(module) is None:
            return f"{family} needs {module}, which is not installed"
    return True


def tiny_vlm(family: str, folder: Path, seed: int = 0, enders: int = 0) -> Path:
    """Write a tiny model of a family to a folder and return it.

    ``enders``: ordinary tokens that end an answer too. Random weights hardly ever draw the one true end, so that with 0
    every answer runs to its limit; with 40 of about 400 tokens answers have about ten tokens, of differing length.
    """
    torchvision_shim()
    import torch
    from transformers import AutoModelForImageTextToText, GenerationConfig

    tokenizer = _tokenizer(family)
    size = len(tokenizer)
    config, processor = _FAMILIES[family](tokenizer, size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # of biases and class embeddings, which keep what their classes draw
        model = AutoModelForImageTextToText.from_config(config)
    _draw_weights(model, seed)
    bos, end, pad, others = _ROLES[family]
    ends = [tokenizer.convert_tokens_to_ids(t) for t in (end, *others)]
    ends += torch.randperm(size - 300, generator=torch.Generator().manual_seed(seed))[:enders].add(300).tolist()
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.convert_tokens_to_ids(bos) if bos else None,
        eos_token_id=ends,
        pad_token_id=tokenizer.convert_tokens_to_ids(pad),
    )
    folder = Path(folder)
    model.save_pretrained(folder, safe_serialization=True)
    processor.save_pretrained(folder)
    return folder


def _draw_weights(model: Any, seed: int) -> None:
    """Weights large enough that what is written depends on what was read: matrices keep the size of what they map."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if parameter.ndim < 2:
                continue  # norms and biases stay as they are
            # a token's own embedding is kept small, or it would drown what attention brings from the rest
            scale = 0.03 if "embed_tokens" in name else 2 / math.sqrt(math.prod(parameter.shape[1:]))
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    model.eval()


def _tokenizer(family: str) -> Any:
    """A byte-level BPE tokenizer with the family's special tokens, trained on a few sentences."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokens = Tokenizer(models.BPE())
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    special = [*_SPECIAL[family], *(t for t in _NAMED[family].values() if t not in _SPECIAL[family])]
    trainer = trainers.BpeTrainer(
        vocab_size=300 + len(special) + 100,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokens.train_from_iterator(_SENTENCES, trainer)
    bos, end, pad, _ = _ROLES[family]
    # transformers 4 takes no tokenizer of another family's class in a Qwen processor
    own = family == "qwen2_5_vl" and transformers.__version__ < "5"
    kind = transformers.Qwen2TokenizerFast if own else transformers.PreTrainedTokenizerFast
    return kind(
        tokenizer_object=tokens,
        bos_token=bos,
        eos_token=end,
        pad_token=pad,
        unk_token=None,
        padding_side="left",
        model_max_length=4096,
        model_input_names=["input_ids", "attention_mask"],
        extra_special_tokens=dict(_NAMED[family]),
    )


def _text(size: int, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": size, "hidden_size": WIDTH, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
        "tie_word_embeddings": False, **more,
    }  # fmt: skip


def _vision(**more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": SIDE, "patch_size": PATCH, **more,
    }  # fmt: skip


def _llava(tokenizer: Any, size: int) -> tuple[Any, Any]:
    from transformers import CLIPImageProcessor, CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaProcessor

    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**_vision()),
        text_config=LlamaConfig(**_text(size)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(SIDE // PATCH) ** 2,
        tie_word_embeddings=False,
    )
    pictures = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    processor = LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=_TEMPLATES["llava"],
        num_additional_image_tokens=1,
    )
    return config, processor


def _qwen2_5_vl(tokenizer: Any, size: int) -> tuple[Any, Any]:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in {
            "image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end",
        }.items()
    }  # fmt: skip
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": PATCH,
        "window_size": 2 * 2 * PATCH, "fullatt_block_indexes": [1], "out_hidden_size": WIDTH,
    }  # fmt: skip
    text = _text(size, rope_scaling={"type": "mrope", "mrope_section": [2, 3, 3]}, bos_token_id=None)
    text["eos_token_id"] = tokenizer.eos_token_id
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **ids)
    pixels = {"min_pixels": SIDE * SIDE, "max_pixels": 4 * SIDE * SIDE, "patch_size": PATCH}
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(**pixels),
        tokenizer,
        Qwen2VLVideoProcessor(**pixels),
        chat_template=_TEMPLATES["qwen2_5_vl"],
    )
    return config, processor


def _gemma3(tokenizer: Any, size: int) -> tuple[Any, Any]:
    from transformers import (
        Gemma3Config,
        Gemma3ImageProcessor,
        Gemma3Processor,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    text = _text(size, head_dim=16, query_pre_attn_scalar=16, sliding_window=64)
    text |= {"layer_types": ["sliding_attention", "full_attention"]}
    text |= {f"{r}_token_id": getattr(tokenizer, f"{r}_token_id") for r in ("bos", "eos", "pad")}
    config = Gemma3Config(
        text_config=Gemma3TextConfig(**text),
        vision_config=SiglipVisionConfig(**_vision(vision_use_head=False)),
        mm_tokens_per_image=4,
        boi_token_index=tokenizer.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=tokenizer.convert_tokens_to_ids("<end_of_image>"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image_soft_token>"),
        tie_word_embeddings=False,
    )
    pictures = Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE}, image_seq_length=4)
    processor = Gemma3Processor(pictures, tokenizer, chat_template=_TEMPLATES["gemma3"], image_seq_length=4)
    return config, processor


def _internvl(tokenizer: Any, size: int) -> tuple[Any, Any]:
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLProcessor,
        InternVLVideoProcessor,
        Qwen2Config,
    )

    vision = _vision(image_size=[SIDE, SIDE], patch_size=[PATCH, PATCH], layer_scale_init_value=1.0)
    config = InternVLConfig(
        vision_config=vision,
        text_config=Qwen2Config(**_text(size)),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )
    square = {"height": SIDE, "width": SIDE}
    processor = InternVLProcessor(
        GotOcr2ImageProcessor(size=square, crop_to_patches=True, min_patches=1, max_patches=3),
        tokenizer,
        InternVLVideoProcessor(size=square),
        image_seq_length=4,
        chat_template=_TEMPLATES["internvl"],
    )
    return config, processor


def _idefics3(tokenizer: Any, size: int) -> tuple[Any, Any]:
    from transformers import Idefics3Config, Idefics3ImageProcessor, Idefics3Processor, LlamaConfig

    config = Idefics3Config(
        vision_config=_vision(),
        text_config=LlamaConfig(**_text(size, pad_token_id=tokenizer.pad_token_id)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        scale_factor=2,
        tie_word_embeddings=False,
    )
    pictures = Idefics3ImageProcessor(size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE})
    return config, Idefics3Processor(pictures, tokenizer, image_seq_len=4, chat_template=_TEMPLATES["idefics3"])


def _idefics2(tokenizer: Any, size: int) -> tuple[Any, Any]:
    from transformers import Idefics2Config, Idefics2ImageProcessor, Idefics2Processor, MistralConfig

    text = _text(size, pad_token_id=tokenizer.pad_token_id, sliding_window=None)
    config = Idefics2Config(
        vision_config=_vision(),
        perceiver_config={
            "resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 4, "resampler_head_dim": 16,
            "num_key_value_heads": 2, "hidden_size": WIDTH,
        },
        text_config=MistralConfig(**text),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        tie_word_embeddings=False,
    )  # fmt: skip
    pictures = Idefics2ImageProcessor(size={"shortest_edge": SIDE, "longest_edge": SIDE}, do_image_splitting=False)
    return config, Idefics2Processor(pictures, tokenizer, image_seq_len=4, chat_template=_TEMPLATES["idefics2"])


_FAMILIES: Mapping[str, Callable[[Any, int], tuple[Any, Any]]] = {
    "llava": _llava,
    "qwen2_5_vl": _qwen2_5_vl,
    "gemma3": _gemma3,
    "internvl": _internvl,
    "idefics3": _idefics3,
    "idefics2": _idefics2,
}
FAMILIES = tuple(_FAMILIES)
