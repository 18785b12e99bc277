"""RadFM's public code with tiny random weights: does our glue feed it what its own demo does?

    python benchmarks/paper_models/radfm.py --checkout RadFM/Quick_demo [--meddr MedDr] [--llava-med LLaVA-Med]

Needs torch, torchvision, transformers 4, einops, einops-exts. The code of the checkout runs as it is; only sizes are set from
outside: the LLaMA and BERT configurations in a copy of the folder, and the widths and depths that its classes take as
arguments. The demo's random crop is a resize in two cases and seeded in the third. MedDr's and LLaVA-Med's checkouts, where
given, are compared in prompts, token ids and pictures, MedDr also in what a tiny model generates: there ``timm``'s DropPath is
stood in for, chat's ``cuda`` does nothing, and an argument that a current transformers refuses is taken away.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import random
import shutil
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tiny

GREEDY: dict[str, Any] = {
    "max_new_tokens": 512, "temperature": 0.0, "top_p": 1.0, "stop": [], "seed": 0, "sampling": {"do_sample": False}
}  # fmt: skip
TINY_LLAMA = {
    "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_hidden_layers": 2,
    "num_key_value_heads": 4, "max_position_embeddings": 4096, "initializer_range": 0.3,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--checkout", type=Path, required=True, help="RadFM's folder Quick_demo")
    parser.add_argument("--meddr", type=Path, help="a checkout of MedDr")
    parser.add_argument("--llava-med", type=Path, help="a checkout of LLaVA-Med")
    options = parser.parse_args()
    options.meddr = options.meddr and options.meddr.resolve()
    options.llava_med = options.llava_med and options.llava_med.resolve()
    checkout = options.checkout.resolve()  # the work goes on in another folder
    language, same = checkout / "Language_files", True
    tiny.torchvision_names()
    with tempfile.TemporaryDirectory() as scratch:
        same &= radfm(checkout, Path(scratch))
        if options.meddr:
            same &= meddr(options.meddr, language, Path(scratch))
        if options.llava_med:
            same &= llava_med(options.llava_med, language)
    sys.exit(not same)


def say(what: str, equal: bool, more: str = "") -> bool:
    print(f"  {what:44} {'equal' if equal else 'DIFFERENT'}{more and '   ' + more}")
    return equal


def radfm(checkout: Path, scratch: Path) -> bool:
    import torch

    transforms: Any = importlib.import_module("torchvision.transforms")
    RadFM = tiny.glue("radfm").RadFM
    folder = _tiny_copy(checkout, scratch / "Quick_demo")
    os.chdir(scratch)
    sys.path.insert(0, str(folder))
    demo = importlib.import_module("test")  # the demo is called test.py
    code = importlib.import_module("Model.RadFM.multimodality_model")
    embedding = importlib.import_module("Model.RadFM.my_embedding_layer")
    sizes = {"embedding_dim": TINY_LLAMA["hidden_size"], "vis_dim": 48}
    code.MyEmbedding = functools.partial(embedding.MyEmbedding, **sizes)  # type: ignore[attr-defined]
    embedding.ViT = _with(embedding.ViT, depth=2, heads=2, mlp_dim=64)  # type: ignore[attr-defined]
    embedding.PerceiverResampler = _with(embedding.PerceiverResampler, depth=1)  # type: ignore[attr-defined]
    torch.manual_seed(0)
    theirs = code.MultiLLaMAForCausalLM(lang_model_path=str(folder / "Language_files")).eval()
    weights = folder / "pytorch_model.bin"
    torch.save(theirs.state_dict(), weights)
    tokenizer, padding = demo.get_tokenizer(str(folder / "Language_files"), max_img_size=8)  # of 100 it takes minutes
    sys.path.remove(str(folder))

    ours = {crop: RadFM(str(folder), str(weights), device="cpu", crop=crop) for crop in ("resize", "demo")}
    print(f"RadFM, {sum(p.numel() for p in theirs.parameters()):,} random weights")
    pictures = [tiny.picture(1, 90, 130), tiny.picture(2, 700, 500)]
    question = "Can you identify any visible signs of Cardiomegaly in the image?"
    cases: dict[str, tuple[Any, int, int]] = {
        "picture before the question": (pictures[0], 0, 0),
        "picture inside the question": (pictures[1], 40, 0),
        "crop=demo, seed 7": (pictures[1], 0, 7),
    }
    random_crop, same, answers = transforms.RandomResizedCrop, True, set()
    for name, (picture, position, seed) in cases.items():
        path = scratch / "picture.png"
        picture.save(path)
        model = ours["demo" if seed else "resize"]
        if not seed:
            transforms.RandomResizedCrop = lambda size, scale, interpolation: transforms.Resize(size, interpolation)
        torch.manual_seed(seed)
        text, vision = demo.combine_and_preprocess(question, [{"img_path": str(path), "position": position}], padding)
        transforms.RandomResizedCrop = random_crop
        turns = [("user", [p for p in (question[:position], picture, question[position:]) if p])]
        ids = tokenizer(text, max_length=2048, truncation=True, return_tensors="pt")["input_ids"]
        own_ids = model._tokenizer(model.prompt(turns), return_tensors="pt")["input_ids"]
        same &= say(f"{name}: text", text == model.prompt(turns))
        same &= say(f"{name}: input ids", torch.equal(ids, own_ids), f"{ids.shape[1]} tokens")
        same &= say(f"{name}: vision_x", torch.equal(vision, model.vision([picture], seed)), f"{tuple(vision.shape)}")
        with torch.no_grad():
            new = theirs.generate(ids, vision)
        said = tokenizer.batch_decode(new, skip_special_tokens=True)[0]
        own = _watched(model._model.lang_model)
        answer = model.answer(turns, [], "text", {**GREEDY, "seed": seed})
        same &= say(f"{name}: new tokens", torch.equal(own[0], new), f"{new.shape[1]}, text {said[:24]!r}")
        same &= say(f"{name}: answer", answer["text"] == said)
        answers.add(answer["text"])
    print(f"  ({len(answers)} different answers to {len(cases)} cases)")
    stack = _stack_images(checkout.parent)
    if stack:
        rng = np.random.default_rng(3)
        deep = types.SimpleNamespace(array=rng.random((512, 512, 22), dtype=np.float32), spacing=(1, 1, 1))
        grey = torch.from_numpy(deep.array[::-1, ::-1].transpose(1, 0, 2).copy())
        grey = ((grey - grey.min()) / (grey.max() - grey.min())).expand(3, -1, -1, -1)
        flat = ours["resize"]._picture(pictures[1])[0]
        full = RadFM(str(folder), str(weights), device="cpu", volume_side=512)
        for name, parts, tensors in (("a volume", [deep], [grey]), ("two pictures", pictures, None),
                                     ("picture and volume", [pictures[1], deep], [flat, grey]), ("nothing", [], [])):  # fmt: skip
            tensors = [ours["resize"]._picture(p)[0] for p in pictures] if tensors is None else tensors
            expected = stack(tensors).unsqueeze(0)
            equal = torch.allclose(expected, full.vision(parts), atol=1e-6)
            same &= say(f"{name}, as src/Dataset stacks", equal, f"{tuple(expected.shape)}")
    return same


def meddr(checkout: Path, language: Path, scratch: Path) -> bool:
    import torch

    layers = types.ModuleType("timm.models.layers")
    layers.DropPath = lambda rate: torch.nn.Identity()  # type: ignore[attr-defined] # nothing drops in evaluation
    for name, module in (("timm", types.ModuleType("timm")), ("timm.models", types.ModuleType("timm.models"))):
        sys.modules.setdefault(name, module)
    sys.modules.setdefault("timm.models.layers", layers)
    sys.path.insert(0, str(checkout))
    code = importlib.import_module("src.model.internvl_chat")
    build_transform = importlib.import_module("src.dataset.transforms").build_transform
    from transformers import LlamaForCausalLM, LlamaTokenizer

    # Their generate passes return_dict on, which LLaMA in a current transformers is given already.
    generates = LlamaForCausalLM.generate
    LlamaForCausalLM.generate = lambda self, return_dict=None, **given: generates(self, **given)

    tokenizer = LlamaTokenizer(str(language / "tokenizer.model"))
    added = ["<img>", "</img>", "<IMG_CONTEXT>", "<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": added})
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_hidden_layers": 4, "patch_size": 14,
              "image_size": 448, "use_flash_attn": False, "qk_normalization": False}  # fmt: skip
    config = code.InternVLChatConfig(
        vision_config=vision, llm_config={**TINY_LLAMA, "vocab_size": len(tokenizer)}, template="Hermes-2",
        force_image_size=448, select_layer=-1,
    )  # fmt: skip
    torch.manual_seed(0)
    folder = scratch / "meddr"
    code.InternVLChatModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)

    ours = tiny.glue("meddr").MedDr(str(checkout), str(folder), device="cpu", dtype="float32", max_new_tokens=40)
    theirs = code.InternVLChatModel.from_pretrained(folder, torch_dtype=torch.float32).eval()
    print(f"MedDr, {sum(p.numel() for p in theirs.parameters()):,} random weights")
    asked: dict[str, Any] = {}
    generate = theirs.generate
    theirs.generate = lambda **inputs: asked.update(inputs) or generate(**inputs)
    torch.Tensor.cuda, cuda = (lambda tensor, *_: tensor), torch.Tensor.cuda  # chat calls it
    picture, same = tiny.picture(5, 300, 200), True
    question = "You are a helpful medical assistant. Your task is disease diagnosis. You are given a Fundus image."
    pixels = build_transform(is_train=False, input_size=448, pad2square=False)(picture).unsqueeze(0)
    said = theirs.chat(tokenizer, pixels, question, {"num_beams": 1, "max_new_tokens": 40, "do_sample": False},
                       print_out=False)  # fmt: skip
    torch.Tensor.cuda = cuda
    turns = [("user", [picture, question])]
    ids = ours._tokenizer(ours.prompt(turns), return_tensors="pt")["input_ids"]
    same &= say("input ids", torch.equal(ids, asked["input_ids"]), f"{ids.shape[1]} tokens")
    same &= say("pixel_values", torch.equal(ours.pixels(picture), pixels), f"{tuple(pixels.shape)}")
    squared = build_transform(is_train=False, input_size=448, pad2square=True)(picture).unsqueeze(0)
    ours._square = True
    same &= say("pixel_values, padded to a square", torch.equal(ours.pixels(picture), squared))
    ours._square = False
    same &= say("answer", ours.answer(turns, [], "text", GREEDY)["text"] == said, repr(said[:40]))
    sys.path.remove(str(checkout))
    return same


def llava_med(checkout: Path, language: Path) -> bool:
    """Prompt, token ids and pictures; their model class is one of transformers 4.36 and is not built."""
    import torch

    package = types.ModuleType("llava")  # its __init__ is empty; this keeps its model package from being imported
    package.__path__ = [str(checkout / "llava")]
    sys.modules["llava"] = package
    conversation = importlib.import_module("llava.conversation")
    tools = importlib.import_module("llava.mm_utils")
    from transformers import CLIPImageProcessor, LlamaTokenizer

    tokenizer = LlamaTokenizer(str(language / "tokenizer.model"))
    processor = CLIPImageProcessor(size={"shortest_edge": 336}, crop_size=336)
    print("LLaVA-Med, its conversation, tokenisation and pictures")
    seen: dict[str, Any] = {}

    class Model:
        config = types.SimpleNamespace(image_aspect_ratio="pad")

        def generate(self, ids: Any, **given: Any) -> Any:
            seen.update(given, ids=ids)
            return torch.tensor([[1, 2]])

    LLaVAMed = tiny.glue("llava_med").LLaVAMed
    glue = LLaVAMed.__new__(LLaVAMed)
    glue._tools, glue._tokenizer, glue._processor, glue._model = tools, tokenizer, processor, Model()
    glue._device, glue._dtype, glue._most, glue._marked = "cpu", torch.float16, 1024, False
    history, picture, same = (
        ["What is shown?", "A chest X-ray.", "Is there an effusion?"],
        tiny.picture(6, 81, 60),
        True,
    )
    for count in (1, 3):
        conv = conversation.conv_templates["mistral_instruct"].copy()
        for position, said in enumerate(history[:count]):
            conv.append_message(conv.roles[position % 2], ("<image>\n" if position == 0 else "") + said)
        conv.append_message(conv.roles[1], None)
        prompt = conv.get_prompt()
        turns = [
            (("user", "assistant")[i % 2], [*([picture] if i == 0 else []), s]) for i, s in enumerate(history[:count])
        ]
        glue.answer(turns, [], "text", GREEDY)
        ids = tools.tokenizer_image_token(prompt, tokenizer, return_tensors="pt").unsqueeze(0)
        same &= say(f"{count} turns: prompt", prompt == glue.prompt(turns), repr(prompt[:44]))
        same &= say(f"{count} turns: input ids", torch.equal(ids, seen["ids"]), f"{ids.shape[1]} tokens")
    random.seed(0)
    expected = tools.process_images([picture], processor, Model.config)[0].unsqueeze(0).half()
    return same & say("pictures", torch.equal(seen["images"], expected), f"{tuple(expected.shape)}")


def _tiny_copy(checkout: Path, folder: Path) -> Path:
    """The checkout with tiny models in the places that its code loads from by ``from_pretrained``."""
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

    shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns("*.jpg", "*.pyc"))
    language = folder / "Language_files" / "config.json"
    config = {**json.loads(language.read_text()), **TINY_LLAMA}
    language.write_text(json.dumps(config))
    LlamaForCausalLM(LlamaConfig(**{**config, "pad_token_id": 0})).save_pretrained(language.parent)
    language.write_text(json.dumps(config))  # as it was but for sizes
    (language.parent / "generation_config.json").unlink(missing_ok=True)
    bert = folder / "MedKEBERT"
    small = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    (bert / "config.json").write_text(json.dumps({**json.loads((bert / "config.json").read_text()), **small}))
    named = folder.parent / "xmcmic" / "Med-KEBERT"  # the hub's name, found as a folder
    shutil.copytree(bert, named)
    BertModel(BertConfig.from_pretrained(bert)).save_pretrained(named)
    return folder


def _watched(model: Any) -> list[Any]:
    """What the model generates from now on."""
    generate, seen = model.generate, list[Any]()

    def watched(**given: Any) -> Any:
        seen.append(generate(**given))
        return seen[-1]

    model.generate = watched
    return seen


def _with(cls: type, **fixed: Any) -> Callable[..., Any]:
    return lambda **given: cls(**{**given, **fixed})


def _stack_images(repository: Path) -> Callable[[list[Any]], Any] | None:
    """Their ``stack_images``, run from the source text: its module imports data sets that are not there."""
    import ast

    import torch

    file = repository / "src" / "Dataset" / "multi_dataset_test.py"
    if not file.is_file():
        return None
    tree = ast.parse(file.read_text(encoding="utf-8"))
    tree.body = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "stack_images"]
    found: dict[str, Any] = {"torch": torch}
    exec(compile(tree, str(file), "exec"), found)
    return found["stack_images"]


if __name__ == "__main__":
    main()
