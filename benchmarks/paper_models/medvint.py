"""MedVInT-TD: what the authors' ``test.py`` and ``test_VQA_RAD.py`` feed their model, and what our glue feeds it.

    python benchmarks/paper_models/medvint.py --checkout PMC-VQA

``--checkout`` is a clone of xiaoman-zhang/PMC-VQA. Both scripts run as they are, on lists and pictures of ours, through their
own arguments: ``--N 1`` (one decoder layer of 12) and ``--hidden_dim 64`` beside a LLaMA of 2 layers of width 64; picture
encoder, 32 queries and LoRA have their full size, weights are random. Stood in for: ``cuda`` means the processor where there is
none; ``cv2``, which only the training's distortions call, may be missing; ``test_VQA_RAD.py`` imports a folder ``model``
that the repository calls ``models``. Their weights get the names of today's peft, as the comment in their scripts
says; our glue gets the same weights under the names of 2023 and has to rename them.

Needs torchvision, sentencepiece, peft, pandas and transformers 4.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import tiny
from PIL import Image

GREEDY: dict[str, Any] = {
    "max_new_tokens": 512, "temperature": 0.0, "top_p": 1.0, "stop": [], "seed": 0, "sampling": {"do_sample": False}
}  # fmt: skip
QUESTIONS = (
    ("What is the structure in the middle of the brain?", ("pons", "cerebellum", "thalamus", "medulla")),
    ("Which image modality is this?", ("CT", "MRI", "Ultrasound", "X-ray")),
    ("Does the heart appear enlarged?", ("yes, clearly", "no", "on the left", "not shown")),
)


def on_processor() -> None:
    """``.to('cuda')`` of the scripts, where there is no GPU."""
    import torch
    import transformers

    if torch.cuda.is_available():
        return
    for owner in (torch.Tensor, torch.nn.Module, transformers.BatchEncoding):

        def to(self: Any, *where: Any, _to: Any = owner.to, **options: Any) -> Any:
            return _to(self, *("cpu" if place == "cuda" else place for place in where), **options)

        owner.to = to


def workplace(folder: Path) -> list[Image.Image]:
    """Pictures, lists in the authors' columns and a LLaMA; returns the pictures."""
    pictures = [tiny.picture(i, 300 + 40 * i, 420 - 30 * i) for i in range(len(QUESTIONS))]
    rows, blanks = [], []
    for place, (picture, (question, choices)) in enumerate(zip(pictures, QUESTIONS, strict=True)):
        name = f"{place}.png"
        picture.save(folder / name)
        lettered = [f" {letter}:{choice}" for letter, choice in zip("ABCD", choices, strict=True)]
        rows.append([name, "a caption", question, *lettered, lettered[place]])
        blanks.append([name, question, choices[place]])
    columns = ["Figure_path", "Caption", "Question", "Choice A", "Choice B", "Choice C", "Choice D", "Anwser"]
    _write(folder / "test.csv", columns, rows)
    for name in ("test_close.csv", "test_open.csv"):
        _write(folder / name, ["img_name", "question", "answer"], blanks)
    tiny.llama_folder(folder / "llama", layers=2)
    return pictures


def _write(file: Path, columns: list[str], rows: list[list[str]]) -> None:
    with file.open("w", newline="") as f:
        csv.writer(f).writerows([columns, *rows])


def weights(folder: Path) -> None:
    """Random weights twice: for their script under today's names, for our glue under those of 2023."""
    import re

    import torch

    code = importlib.import_module("models.QA_model")
    blocks = importlib.import_module("models.blocks")
    config = blocks.PMC_CLIP_cfg
    torch.manual_seed(1)
    vision = blocks.ModifiedResNet(list(config.layers), 768, config.width * 32 // config.head_width, config.image_size)
    torch.save({"state_dict": {f"module.visual.{n}": v for n, v in vision.state_dict().items()}}, folder / "clip.pt")
    arguments = SimpleNamespace(
        N=1, H=8, img_token_num=32, voc_size=32000, hidden_dim=64, Vision_module="PMC-CLIP", checkpointing=False,
        visual_model_path=folder / "clip.pt", is_lora=True, peft_mode="lora", lora_rank=8, model_path=folder / "llama",
    )  # fmt: skip
    state = code.QA_model(arguments).state_dict()
    for name in state:
        if "lora_B" in name or name.endswith("bn3.weight"):  # begin at zero: what they multiply would not be seen
            torch.nn.init.normal_(state[name], std=0.2)
    old = {re.sub(r"\.base_layer|(?<=lora_[AB])\.default", "", n): v for n, v in state.items()}
    for name, saved in {"results/choice/new": state, "old": old}.items():
        (folder / name).mkdir(parents=True)
        torch.save(saved, folder / name / "pytorch_model.bin")


def recorded(model: Any, calls: list[dict[str, Any]]) -> None:
    """Keep what their two ways to answer are given and give back, of a class or an instance."""
    for name in ("generate", "generate_long_sentence"):
        method = getattr(model, name)

        def call(*given: Any, _method: Any = method, **named: Any) -> Any:
            *_, ids, images = given
            calls.append({"ids": ids.clone(), "images": images.clone(), "output": _method(*given, **named)})
            return calls[-1]["output"]

        setattr(model, name, call)


def theirs(script: str, folder: Path, listing: str) -> tuple[list[dict[str, Any]], list[list[Any]]]:
    """One of their scripts: what its model was asked, and its (options, letter) of every choice."""
    module = importlib.import_module(script)
    calls: list[dict[str, Any]] = []
    chosen: list[list[Any]] = []
    choose = module.find_most_similar_index

    def similar(options: list[str], said: str) -> Any:
        chosen.append([options, said, choose(options, said)])
        return chosen[-1][-1]

    module.find_most_similar_index = similar  # type: ignore[attr-defined]
    model = importlib.import_module("models.QA_model").QA_model
    kept = {name: getattr(model, name) for name in ("generate", "generate_long_sentence")}
    recorded(model, calls)
    sys.argv = [
        script, "--model_path", str(folder / "llama"), "--tokenizer_path", str(folder / "llama"),
        "--img_dir", f"{folder}/", "--Test_csv_path", str(folder / listing), "--ckp", "results/choice/new",
        "--visual_model_path", str(folder / "clip.pt"), "--N", "1", "--hidden_dim", "64",
    ]  # fmt: skip
    if hasattr(module, "VQA_RAD_Dataset"):  # the script does not hand its --img_dir on
        module.VQA_RAD_Dataset.__init__.__defaults__ = (f"{folder}/", *module.VQA_RAD_Dataset.__init__.__defaults__[1:])
    module.main()
    for name, method in kept.items():
        setattr(model, name, method)
    return calls, chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, required=True, help="a clone of xiaoman-zhang/PMC-VQA")
    code = parser.parse_args().checkout.resolve() / "src" / "MedVInT_TD"
    tiny.torchvision_names()
    on_processor()
    if importlib.util.find_spec("cv2") is None:
        sys.modules["cv2"] = ModuleType("cv2")
    sys.path.insert(0, str(code))
    with tempfile.TemporaryDirectory() as name, patch.object(sys, "argv", []):
        folder = Path(name)
        os.chdir(folder)
        pictures = workplace(folder)
        weights(folder)
        sys.modules["model"] = importlib.import_module("models")
        sys.modules["model.QA_model"] = importlib.import_module("models.QA_model")
        choices, chosen = theirs("test", folder, "test.csv")
        blanks, _ = theirs("test_VQA_RAD", folder, "test_close.csv")
        model = tiny.glue("medvint").MedVInT(str(code), str(folder / "old"), str(folder / "llama"))
        calls: list[dict[str, Any]] = []
        recorded(model.model, calls)
        asked = [(picture, *question) for picture, question in zip(pictures, QUESTIONS, strict=True)]
        lettered = [model.answer([("user", [p, q])], list(c), "text", GREEDY) for p, q, c in asked]
        ours, calls[:] = list(calls), []
        free = [model.answer([("user", [p, q])], [], "text", GREEDY) for p, q, _ in asked]

    compared = tiny.Comparison()
    print(f"MedVInT-TD, test.py, {len(asked)} questions with choices")
    for place, ((_, _, options), answer) in enumerate(zip(asked, lettered, strict=True)):
        compare(compared, choices[place], ours[place], "logits")
        _, said, picked = chosen[2 * place]  # of the answer; the next one is of the reference
        # Where no option has the letter the script counts the answer as wrong; our glue hands the letter on.
        compared.say(f"choice (said {said!r})", said if picked is None else options[picked], answer["text"])
    print(f"MedVInT-TD, test_VQA_RAD.py, {len(asked)} questions without choices")
    for place, answer in enumerate(free):
        compare(compared, blanks[place], calls[place], "new tokens")
        said = model.tokenizer.batch_decode(blanks[place]["output"], skip_special_tokens=True)[0]
        compared.say("answer", said.split("</s>")[0].strip(), answer["text"])
    compared.done()


def compare(compared: tiny.Comparison, theirs: dict[str, Any], ours: dict[str, Any], what: str) -> None:
    for key, name in {"ids": "token ids", "images": "picture", "output": what}.items():
        compared.say(name, theirs[key].cpu(), ours[key].cpu())


if __name__ == "__main__":
    main()
