"""Med-Flamingo: what the authors' ``scripts/demo.py`` feeds its model, and what our glue feeds it.

    python benchmarks/paper_models/med_flamingo.py --checkout med-flamingo

``--checkout`` is a clone of snap-stanford/med-flamingo. Its demo runs as it is, in a copy of its ``scripts`` and ``src`` with
seven pictures of ours under the names it opens. Tiny, because nothing can be downloaded: LLaMA-7B is a LLaMA of 4 layers,
width 64, in the folder the demo names; ViT-L-14 is open_clip's own class with 2 layers of width 64, not pretrained; the
checkpoint that the demo asks the hub for is a file of random weights. Needs open-flamingo, open_clip_torch, timm, ftfy,
torchvision, sentencepiece, accelerate and transformers 4.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import tiny

GREEDY: dict[str, Any] = {
    "max_new_tokens": 512, "temperature": 0.0, "top_p": 1.0, "stop": [], "seed": 0, "sampling": {"do_sample": False}
}  # fmt: skip


def small_clip(open_clip: Any) -> None:
    """open_clip's ViT-L-14 with fewer and narrower layers, never downloaded."""
    config = open_clip.factory._MODEL_CONFIGS["ViT-L-14"]
    config["vision_cfg"].update(layers=2, width=64)
    config["text_cfg"].update(layers=1, width=64, heads=1)
    create = open_clip.create_model_and_transforms

    def without_download(name: str, pretrained: str, **options: Any) -> Any:
        import torch

        torch.manual_seed(3)  # the encoder is not in the checkpoint: both sides draw the same
        return create(name, pretrained=None, **options)

    open_clip.create_model_and_transforms = without_download


def workplace(checkout: Path, folder: Path) -> list[Any]:
    """The demo's folders with our LLaMA, checkpoint and pictures; returns the pictures in its order."""
    import torch
    from open_flamingo import create_model_and_transforms

    for name in ("scripts", "src"):
        shutil.copytree(checkout / name, folder / name)
    llama = tiny.llama_folder(folder / "models" / "llama-7b-hf", layers=4)
    paths = runpy.run_path(str(checkout / "scripts" / "demo_utils.py"))["image_paths"]
    pictures = [tiny.picture(i, 260 + 20 * i, 300 - 10 * i) for i in range(len(paths))]
    (folder / "img").mkdir()
    for path, picture in zip(paths, pictures, strict=True):
        file = folder / "img" / Path(path).name
        picture.save(file, format="PNG")  # without loss; what it is called does not matter to Pillow
    torch.manual_seed(4)
    model, _, _ = create_model_and_transforms("ViT-L-14", "openai", str(llama), str(llama), cross_attn_every_n_layers=4)
    state = model.state_dict()
    for name, value in state.items():  # shut at first, and small: pictures would change no token
        if name.endswith("_gate"):
            value.fill_(2.0)
        elif name.endswith("attn.to_out.weight"):
            value.mul_(20.0)
    trained = ("perceiver", "lang_encoder.model.embed_tokens", "lang_encoder.gated_cross_attn_layers")
    torch.save({n: v for n, v in state.items() if n.startswith(trained)}, folder / "model.pt")
    return pictures


def calls_of(run: Any) -> list[dict[str, Any]]:
    """What ``Flamingo.generate`` was given while something ran, and what it gave back."""
    from open_flamingo.src.flamingo import Flamingo

    calls: list[dict[str, Any]] = []
    generate = Flamingo.generate

    def recorded(model: Any, **given: Any) -> Any:
        calls.append({**given, "output": generate(model, **given)})
        return calls[-1]["output"]

    with patch.object(Flamingo, "generate", recorded):
        run()
    return calls


def turns_of(demo: Path, pictures: list[Any]) -> list[Any]:
    """The demo's examples and question, read from its prompt, as a conversation."""
    prompt = re.search(r'prompt = "(.*)"', demo.read_text())[1]  # type: ignore[index]
    pairs = re.findall(r"<image>Question: (.*?) Answer:(?: (.*?)\.<\|endofchunk\|>)?", prompt)
    turns: list[Any] = []
    for picture, (question, answer) in zip(pictures, pairs, strict=True):
        turns.append(("user", [picture, question]))
        if answer:
            turns.append(("assistant", [answer]))
    return turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, required=True, help="a clone of snap-stanford/med-flamingo")
    checkout = parser.parse_args().checkout.resolve()
    tiny.torchvision_names()
    import huggingface_hub
    import open_clip

    small_clip(open_clip)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = workplace(checkout, folder)
        weights = str(folder / "model.pt")
        os.chdir(folder / "scripts")
        sys.path.insert(0, str(folder / "scripts"))
        with patch.object(huggingface_hub, "hf_hub_download", lambda *_: weights):
            (theirs,) = calls_of(lambda: runpy.run_path("demo.py", run_name="__main__"))

        turns, answers = turns_of(folder / "scripts" / "demo.py", pictures), list[Any]()
        model = tiny.glue("flamingo").MedFlamingo(str(folder / "models" / "llama-7b-hf"), weights=weights)
        (ours,) = calls_of(lambda: answers.append(model.answer(turns, (), "text", GREEDY)))

    print(f"Med-Flamingo, {checkout.name}/scripts/demo.py, {len(pictures)} pictures")
    compared = tiny.Comparison()
    for key, what in {"lang_x": "token ids", "attention_mask": "attention mask", "vision_x": "pictures"}.items():
        compared.say(what, theirs[key].cpu(), ours[key].cpu())
    compared.say("max_new_tokens", theirs["max_new_tokens"], ours["max_new_tokens"])
    compared.say("output, token for token", theirs["output"].cpu(), ours["output"].cpu())
    new = theirs["output"][0, theirs["lang_x"].shape[1] :]
    text = model.tokenizer.decode(new).replace("<unk> ", "").split("<|endofchunk|>")[0].strip()
    compared.say("answer", text, answers[0]["text"])
    compared.done()


if __name__ == "__main__":
    main()
