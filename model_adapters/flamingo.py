"""OpenFlamingo (Awadalla et al. 2023, arXiv 2308.01390) and Med-Flamingo (Moor et al. 2023, arXiv 2307.15189).

Thin glue over the package ``open-flamingo`` 2.0.1 and weights on this machine. Its pins are those of 2023, so that it is
installed beside what is there: ``pip install --no-deps open-flamingo einops einops-exts open_clip_torch`` (open_clip 3 looks
for CLIP in the Hugging Face cache). Both models read pictures and text in turn; examples are pairs of a user's and an
assistant's turn before the last user turn (``--shots 6`` gives Med-Flamingo its published six). Prompts and defaults are
those of ``open_flamingo/eval`` and of ``scripts/demo.py`` of snap-stanford/med-flamingo.

What to know of the models: text attends to the last picture before it alone, so of two pictures of one study the first
counts only through its own token. A prompt is never shortened; one longer than the language model takes fails. The
originals' zero-shot rows give two examples without their pictures; here a request without examples is asked without any.

This file imports nothing of radbench: a worker runs it by its path in another environment, from Python 3.8 on.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

if TYPE_CHECKING:
    import torch

    Turns = Sequence[Any]  # (role, parts): a part is text or a Pillow picture

IMAGE, END = "<image>", "<|endofchunk|>"
INSTRUCTION = (
    "You are a helpful medical assistant. You are being provided with images, a question about the image and an answer. "
    "Follow the examples and answer the last question. "
)
CHECKPOINTS = {  # language model, decoder layers from one cross attention to the next
    "3B-vitl-mpt1b": ("anas-awadalla/mpt-1b-redpajama-200b", 1),
    "3B-vitl-mpt1b-langinstruct": ("anas-awadalla/mpt-1b-redpajama-200b-dolly", 1),
    "4B-vitl-rpj3b": ("togethercomputer/RedPajama-INCITE-Base-3B-v1", 2),
    "4B-vitl-rpj3b-langinstruct": ("togethercomputer/RedPajama-INCITE-Instruct-3B-v1", 2),
    "9B-vitl-mpt7b": ("anas-awadalla/mpt-7b", 4),
}


class Chunk(NamedTuple):
    """One example, or the question (``answer`` is None): pictures before the text, the text, all pictures in order."""

    leading: int
    text: str
    pictures: tuple[Any, ...]
    answer: str | None = None


def chunks(turns: Turns) -> tuple[str, list[Chunk]]:
    """The system text and the chunks of a conversation; the last one is the question. Raises ValueError."""
    system, found = "", []  # type: str, list[Chunk]
    for role, parts in turns:
        if role == "system":
            system += "".join(p for p in parts if isinstance(p, str))
        elif role == "user":
            found.append(_chunk(parts))
        elif found and found[-1].answer is None:
            found[-1] = found[-1]._replace(answer="".join(p for p in parts if isinstance(p, str)).strip())
    if not found or found[-1].answer is not None:
        raise ValueError("the conversation ends without a question")
    return system.strip(), found


def _chunk(parts: Sequence[Any]) -> Chunk:
    pictures = tuple(p for p in parts if not isinstance(p, str))
    leading = next((i for i, p in enumerate(parts) if isinstance(p, str)), len(parts))
    # A text of the data must not open a picture or end a chunk.
    texts = [p.replace(IMAGE, "image").replace(END, "") if isinstance(p, str) else IMAGE for p in parts[leading:]]
    return Chunk(leading, "".join(texts).strip(), pictures)


def pictures_of(turns: Turns) -> list[Any]:
    """Every picture, in the order of the ``<image>`` tokens."""
    return [picture for chunk in chunks(turns)[1] for picture in chunk.pictures]


def vqa_prompt(turns: Turns) -> str:
    """``<image>Question:{q} Short answer:{a}<|endofchunk|>`` a chunk, line breaks between (``evaluate_vqa``)."""
    return _joined(turns, lambda c: f"{IMAGE * c.leading}Question:{c.text} Short answer:", "\n")


def caption_prompt(turns: Turns, between: str = "\n") -> str:
    """``<image>Output:{caption}<|endofchunk|>`` a chunk (``evaluate_captioning``). The task's text has no place in it."""
    return _joined(turns, lambda c: f"{IMAGE * len(c.pictures)}Output:", between)


def _joined(turns: Turns, ask: Any, between: str) -> str:
    system, found = chunks(turns)
    texts = [ask(c) + ("" if c.answer is None else f"{c.answer}{END}") for c in found]
    return between.join([system, *texts] if system else texts)


def med_flamingo_prompt(turns: Turns) -> str:
    """The instruction, then ``<image>Question: {q} Answer: {a}.<|endofchunk|>`` a chunk (``scripts/demo.py``)."""
    system, found = chunks(turns)
    texts = [
        f"{IMAGE * c.leading}Question: {c.text} Answer:"
        + ("" if c.answer is None else f" {c.answer.rstrip('.')}.{END}")
        for c in found
    ]
    return INSTRUCTION + (f"{system} " if system else "") + "".join(texts)


class _Flamingo:
    """A loaded model: asked with a prompt and its pictures, one request at a time."""

    def __init__(
        self,
        language: str,
        tokenizer: str,
        vision: str,
        pretrained: str,
        every: int,
        weights: str,
        device: str | None,
        dtype: str,
        trust_remote_code: bool,
    ) -> None:
        for folder in () if trust_remote_code else (language, tokenizer):
            if brings_code(folder):
                raise ValueError(
                    f"{folder} brings code of its own, which the package would run: read it, then trust_remote_code=True"
                )
        import torch
        from open_flamingo import create_model_and_transforms
        from open_flamingo.src.flamingo_lm import FlamingoLMMixin

        # transformers 5 leaves out a mask of ones, which the package's method asks for.
        FlamingoLMMixin.forward.__defaults__ = (None,)
        with contextlib.redirect_stdout(sys.stderr):  # it prints; a worker's standard output carries answers
            model, self.preprocess, self.tokenizer = create_model_and_transforms(
                clip_vision_encoder_path=vision,
                clip_vision_encoder_pretrained=pretrained,
                lang_encoder_path=language,
                tokenizer_path=tokenizer,
                cross_attn_every_n_layers=every,
                use_local_files=True,
            )
        load_weights(model, weights)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = getattr(torch, dtype)
        self.model = model.to(self.device, self.dtype).eval()
        self.tokenizer.padding_side = "left"

    def inputs(self, prompt: str, pictures: Sequence[Any]) -> dict[str, Any]:
        """``vision_x`` (1, pictures, 1, channels, height, width), ``lang_x`` and ``attention_mask`` (1, tokens)."""
        import torch
        from PIL import Image

        # The model wants a picture even where the prompt has none; without <image> no token looks at it.
        shown = [self.preprocess(p) for p in pictures] or [0 * self.preprocess(Image.new("RGB", (224, 224)))]
        text = self.tokenizer([prompt], return_tensors="pt")
        return {
            "vision_x": torch.stack(shown)[None, :, None].to(self.device, self.dtype),
            "lang_x": text["input_ids"].to(self.device),
            "attention_mask": text["attention_mask"].to(self.device),
        }

    def generate(
        self, inputs: dict[str, Any], new_tokens: int, generation: dict[str, Any], **settings: Any
    ) -> list[int]:
        """The ids after the prompt, up to ``<|endofchunk|>``. Greedy or beams at temperature 0, else sampled."""
        import torch

        self._check_length(inputs["lang_x"].shape[1] + new_tokens)
        sampling = generation["sampling"]
        with torch.inference_mode():
            output = self.model.generate(
                **inputs,
                max_new_tokens=new_tokens,
                pad_token_id=self.model.eoc_token_id,  # what transformers takes anyway, saying so at every answer
                **(sampling if sampling["do_sample"] else {**settings, **sampling}),
            )
        ids = output[0, inputs["lang_x"].shape[1] :].tolist()
        return ids[: ids.index(self.model.eoc_token_id)] if self.model.eoc_token_id in ids else ids

    def _check_length(self, tokens: int) -> None:
        config = self.model.lang_encoder.config
        most = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None)
        if most and tokens > most:
            raise ValueError(
                f"{tokens} tokens with the answer, the language model takes {most}: ask with fewer examples"
            )

    def rank(self, inputs: dict[str, Any], choices: Sequence[str]) -> dict[str, float]:
        """Mean log-probability a token of each choice after the prompt (``get_rank_classifications``, normalised)."""
        import torch

        scores = {}
        for choice in choices:
            ids = self.tokenizer(choice, add_special_tokens=False, return_tensors="pt")["input_ids"].to(self.device)
            text = torch.cat([inputs["lang_x"], ids], dim=1)
            self._check_length(text.shape[1])
            with torch.inference_mode():
                logits = self.model(inputs["vision_x"], text, torch.ones_like(text)).logits[0]
            said = logits[-ids.shape[1] - 1 : -1].float().log_softmax(-1)
            scores[choice] = float(said.gather(1, ids[0][:, None]).mean())
        return scores


def load_weights(model: torch.nn.Module, path: str) -> None:
    """Load a released checkpoint, which holds the trained parameters alone. Raises ValueError where some are missing."""
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("model_state_dict", state)
    state = {name[len("module.") :] if name.startswith("module.") else name: value for name, value in state.items()}
    model.load_state_dict(state, strict=False)
    named = model.state_dict(keep_vars=True)  # a layer stands under two names, of which a checkpoint has one
    given = {id(p) for name, p in named.items() if name in state}
    trained = {name: p for name, p in named.items() if "perceiver" in name or "gated_cross_attn" in name}
    missing = [name for name, p in trained.items() if id(p) not in given]
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} of {len(trained)} trained parameters, such as {missing[0]}")


def find_weights(weights: str, file: str) -> str:
    """The checkpoint, where ``weights`` is its file or the folder that has it. Raises FileNotFoundError."""
    path = os.path.join(weights, file) if os.path.isdir(weights) else weights
    if not os.path.isfile(path):
        raise FileNotFoundError(f"weights={weights}: expected a checkpoint file, or a folder with {file}")
    return path


def brings_code(folder: str) -> bool:
    """Whether a language model or tokenizer is of a class that stands in its own repository, as MPT's do."""
    for name in ("config.json", "tokenizer_config.json"):
        with contextlib.suppress(OSError), open(os.path.join(folder, name), encoding="utf-8") as file:
            if "auto_map" in json.load(file):
                return True
    return False


def cut(text: str, stop: Sequence[str]) -> str:
    """Text before the first of the stop strings."""
    for end in stop:
        text = text.split(end, 1)[0]
    return text


class OpenFlamingo(_Flamingo):
    """``open-flamingo:9B-vitl-mpt7b``, or a model of one's own by its parts.

    ``checkpoint``: a name of :data:`CHECKPOINTS`; else ``lang_encoder`` (hub id or folder), ``cross_attn_every_n_layers``
    and ``weights`` (file, folder or hub id) are all needed, ``tokenizer`` where it differs from the language model.
    ``trust_remote_code`` lets a language model run code of its repository, as all of MPT must. RedPajama and MPT are
    published as pickled files: torch 2.6 or later reads them with ``weights_only``.
    ``vision`` and ``pretrained`` are a model and weights of open_clip. ``form``: ``vqa`` asks the task's question,
    ``caption`` none. ``choices``: ``generate`` text, or ``rank`` the options of a closed set by their log-likelihood.
    ``max_new_tokens``: by default 5 (vqa) or 20 (caption), at most the task's.
    ``num_beams`` and ``length_penalty`` are those of the originals' evaluation; sampling uses no beams.
    """

    name: ClassVar[str] = "open-flamingo"
    hosted: ClassVar[bool] = True
    capabilities: ClassVar[tuple[str, ...]] = ("text", "multi_image")
    paths: ClassVar[tuple[str, ...]] = ("lang_encoder", "tokenizer", "weights")

    def __init__(
        self,
        checkpoint: str | None = None,
        *,
        lang_encoder: str | None = None,
        tokenizer: str | None = None,
        vision: str = "ViT-L-14",
        pretrained: str = "openai",
        cross_attn_every_n_layers: int | None = None,
        weights: str | None = None,
        form: Literal["vqa", "caption"] = "vqa",
        choices: Literal["generate", "rank"] = "generate",
        num_beams: int = 3,
        length_penalty: float = 0.0,
        max_new_tokens: int | None = None,
        device: str | None = None,
        dtype: str = "float32",
        trust_remote_code: bool = False,
    ) -> None:
        if form not in ("vqa", "caption") or choices not in ("generate", "rank"):
            raise ValueError(f"form={form} (vqa or caption), choices={choices} (generate or rank)")
        if not (lang_encoder and cross_attn_every_n_layers and weights):
            raise ValueError("give a checkpoint's name, or lang_encoder=, cross_attn_every_n_layers= and weights=")
        self.form, self.choices, self.max_new_tokens = form, choices, max_new_tokens
        self.beams = {"num_beams": num_beams}  # type: dict[str, Any]
        if num_beams > 1:
            self.beams["length_penalty"] = length_penalty
        super().__init__(
            lang_encoder,
            tokenizer or lang_encoder,
            vision,
            pretrained,
            cross_attn_every_n_layers,
            find_weights(weights, "checkpoint.pt"),
            device,
            dtype,
            trust_remote_code,
        )

    @staticmethod
    def resolved(options: dict[str, Any]) -> dict[str, Any]:
        """The options that a released checkpoint's name stands for. Raises ValueError."""
        name = options["checkpoint"]
        if name is None:
            return {}
        if name not in CHECKPOINTS:
            raise ValueError(f"checkpoint {name!r} is none of {', '.join(CHECKPOINTS)}")
        language, every = CHECKPOINTS[name]
        usual = {"lang_encoder": language, "weights": f"openflamingo/OpenFlamingo-{name}"}
        return {k: options[k] or v for k, v in {**usual, "cross_attn_every_n_layers": every}.items()}

    @staticmethod
    def prompt(
        turns: Turns, options: Sequence[str] = (), _: str = "text", form: str = "vqa", choices: str = "generate"
    ) -> str:
        """The prompt as sent. Where options are ranked nothing stands between examples (``evaluate_classification``)."""
        if form == "vqa":
            return vqa_prompt(turns)
        return caption_prompt(turns, "" if choices == "rank" and options else "\n")

    def answer(self, turns: Turns, choices: Sequence[str], form: str, generation: dict[str, Any]) -> dict[str, Any]:
        prompt = self.prompt(turns, choices, form, self.form, self.choices)
        inputs = self.inputs(prompt, pictures_of(turns))
        usage = {"input_tokens": float(inputs["lang_x"].shape[1])}
        if self.choices == "rank" and choices:
            scores = self.rank(inputs, choices)
            return {"text": max(scores, key=lambda c: scores[c]), "scores": scores, "usage": usage}
        usual = 5 if self.form == "vqa" else 20
        new = self.max_new_tokens or min(usual, generation["max_new_tokens"])
        ids = self.generate(inputs, new, generation, **self.beams)
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return {"text": cut(text, generation["stop"]).strip(), "usage": {**usage, "output_tokens": float(len(ids))}}


class MedFlamingo(_Flamingo):
    """``med-flamingo:/path/to/llama-7b``, a folder of LLaMA-7B (the first) in the transformers format.

    Its ``tokenizer_config.json`` must name the class ``LlamaTokenizer``. ``weights``: file, folder or hub id of
    ``model.pt``. ``max_new_tokens``: by default the demo's 10, at most the task's.
    """

    name: ClassVar[str] = "med-flamingo"
    hosted: ClassVar[bool] = True
    capabilities: ClassVar[tuple[str, ...]] = ("text", "multi_image")
    paths: ClassVar[tuple[str, ...]] = ("llama", "weights")

    def __init__(
        self,
        llama: str,
        *,
        weights: str = "med-flamingo/med-flamingo",
        vision: str = "ViT-L-14",
        pretrained: str = "openai",
        num_beams: int = 1,
        max_new_tokens: int | None = None,
        device: str | None = None,
        dtype: str = "float32",
    ) -> None:
        if not os.path.isdir(llama):
            raise FileNotFoundError(f"llama={llama}: expected a folder with LLaMA-7B and its tokenizer")
        self.num_beams, self.max_new_tokens = num_beams, max_new_tokens
        super().__init__(llama, llama, vision, pretrained, 4, find_weights(weights, "model.pt"), device, dtype, False)

    @staticmethod
    def prompt(turns: Turns, options: Sequence[str] = (), _: str = "text") -> str:
        """The prompt as sent."""
        return med_flamingo_prompt(turns)

    def answer(self, turns: Turns, choices: Sequence[str], form: str, generation: dict[str, Any]) -> dict[str, Any]:
        inputs = self.inputs(med_flamingo_prompt(turns), pictures_of(turns))
        new = self.max_new_tokens or min(10, generation["max_new_tokens"])
        ids = self.generate(inputs, new, generation, num_beams=self.num_beams)
        # 'clean_generation' of the demo: decoding shows unknown tokens, which are no answer.
        text = self.tokenizer.decode(ids).replace("<unk> ", "").strip()
        usage = {"input_tokens": float(inputs["lang_x"].shape[1]), "output_tokens": float(len(ids))}
        return {"text": cut(text, generation["stop"]).strip(), "usage": usage}
