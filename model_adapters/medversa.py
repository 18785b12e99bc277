"""MedVersa (arXiv 2405.07988): text, boxes and masks on pictures and CT volumes, through the user's checkout of its code.

``medversa:CHECKOUT,weights=FOLDER``: the repository ``hyzhou/MedVersa`` of the Hugging Face hub holds both code and weights,
so one folder, or ``hyzhou/MedVersa`` itself, does for both. Its constructor also loads Llama-2-7B-chat, a Swin and a ResNet by
name: they must be in the hub's cache (``radbench fetch model ID``). Steps and parts are those of ``generate`` in its
``utils.py``; this goes below it, for what it hands back is not what the model said:

- Its box head's output is drawn and dropped (and cannot be converted from bfloat16 outside of ``demo.py``).
- Its 2D mask is drawn point by point: an outline. An empty one, and 3D masks of volumes that are not square, end in an error
  or in swapped axes. An error becomes the text of an answer. Masks here are the head's output at probability 0.5, all parts
  of it, by nearest neighbour on the picture's own grid.
- An answer on skin with the letters "mel" in it becomes "The main diagnosis is melanoma.", "melanocytic nevi" too. It stops
  at "###", but compares ids rounded to bfloat16: also at "erm", and at pairs such as "ness" and ".". It draws answers at
  random (temperature 0.1). All three only with ``released=True``, and never its sleep of 1 to 2 s a call.
- It reads the hidden state at the index of ``<DET>``, ``<2DSEG>``, ``<3DSEG>`` in the returned ids. That is the state *at* the
  token, as in training, only where ``generate`` puts a token before them (transformers 4.28, which it pins), else the state
  before it. Here it is the state at the token in either.

This file imports nothing of radbench, so that it also runs in that old environment.
"""

from __future__ import annotations

import importlib.util
import os
import re
import tempfile
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLACES = 9  # tokens of a picture
_STOPS = ((835,), (2277, 29937))  # "###" as LLaMA's tokenizer writes it after a space, and after a letter
_CONTEXT = re.compile(r"(?:(?:Age|Gender|Location|Indication|Comparison):[^\n]*\n)+")
_TOLD = ("report generation", "classification")  # tasks whose prompt has a context, empty or not
_AXIS = {"L": 0, "R": 0, "A": 1, "P": 1, "I": 2, "S": 2}
_NAMED = re.compile(r"([^<>.;]*)<(DET|N/A)>")


class MedVersa:
    """MedVersa by the steps of its inference code, one question at a time.

    ``device``: as torch names it (default: the GPU where there is one). ``modality``: cxr, derm or ct (default: ct where the
    request has a volume, else cxr; derm matters for ``released`` alone). ``task``: as their function takes it, "report
    generation", classification, detection or segmentation. The first two put a context into the prompt, empty or not; by
    default it stands there where the request begins with one (lines "Age:", "Gender:", "Location:", "Indication:",
    "Comparison:"). ``released``: decoding and wording of their scripts, as above, drawn by the request's seed; else the
    request's temperature (0 is greedy) and "###" itself. ``max_new_tokens``: by default 450 as theirs,
    at most the task's. ``axes``: where the axes of a volume point as their loader, which looks at no header, gets it: RAS, for
    which their display of slices is upright, or such as LPS.

    The answer has ``text``; ``boxes`` where boxes are asked for or named, in pixels of the first picture; ``mask`` where one
    was drawn, on the grid of the first picture or the volume. Raises ValueError on options, paths and requests that cannot work.
    """

    name: ClassVar[str] = "medversa"
    hosted: ClassVar[bool] = True
    capabilities: ClassVar[tuple[str, ...]] = ("text", "multi_image", "volumes", "boxes", "mask2d", "mask3d")
    paths: ClassVar[tuple[str, ...]] = ("checkout", "weights")

    def __init__(
        self,
        checkout: str,
        weights: str | None = None,
        device: str | None = None,
        modality: str | None = None,
        task: str | None = None,
        released: bool = False,
        axes: str = "RAS",
        max_new_tokens: int | None = None,
    ) -> None:
        if modality not in (None, "cxr", "derm", "ct"):
            raise ValueError(f"medversa: modality is {modality!r}, expected cxr, derm or ct")
        if sorted(_AXIS.get(letter, 3) for letter in axes) != [0, 1, 2]:
            raise ValueError(f"medversa: axes is {axes!r}, expected one letter each of L or R, A or P, I or S")
        if not os.path.isfile(os.path.join(checkout, "utils.py")):
            raise ValueError(f"medversa: {checkout} has no utils.py: give a checkout of MedVersa's repository")
        if not any(name.endswith(".safetensors") for name in os.listdir(weights or checkout)):
            raise ValueError(
                f"medversa: {weights or checkout} has no safetensors; pickled weights are not loaded: save them with"
                " model.save_pretrained"
            )
        import torch

        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._modality, self._task, self._released = modality, task, released
        self._axes, self._most = axes, max_new_tokens
        self._orders: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._tools = _tools(checkout)
        model = self._tools.registry.get_model_class("medomni").from_pretrained(weights or checkout)
        self._model: Any = model.to(self._device).eval()

    @staticmethod
    def prompt(turns: Sequence[Any], choices: Sequence[str] = (), form: str = "text", task: str | None = None) -> str:
        """The whole prompt: places of all pictures, then the text, where a picture is named as ``<img0>``.

        A picture before all text of its turn is not named, as in their examples "Segment the lesion.".
        """
        prefix, text = _prefix_and_text(turns, task)
        return prefix + text

    def answer(self, turns: Sequence[Any], choices: Sequence[str], form: str, generation: Mapping[str, Any]) -> Any:
        import torch

        pictures = [part for _, parts in turns for part in parts if not isinstance(part, str)]
        volumes = sum(hasattr(picture, "array") for picture in pictures)
        if not pictures or (volumes and len(pictures) > 1):
            raise ValueError(
                f"{volumes} volumes among {len(pictures)} pictures: MedVersa takes pictures, or one volume"
            )
        if form != "text" and any(role == "assistant" for role, _ in turns):
            raise ValueError("MedVersa's boxes and masks are of the first picture: no examples may stand before it")
        modality = self._modality or ("ct" if volumes else "cxr")
        if (modality == "ct") != bool(volumes):
            raise ValueError(f"modality {modality} and {volumes} volumes: MedVersa reads volumes as ct, pictures never")
        image = torch.cat([self._read(picture) for picture in pictures]).to(self._device)
        with torch.no_grad(), torch.autocast(self._device.split(":")[0]):
            ids, states, features, asked = self._generate(turns, image, modality, len(pictures), generation)
            at = _states_at(ids, states)
            text = self._text(ids, modality)
            answer: dict[str, Any] = {
                "text": text,
                "usage": {"input_tokens": float(asked), "output_tokens": float(len(states))},
            }
            if form == "boxes" or "<DET>" in text:
                answer["boxes"] = self._boxes(at, states, text, choices, pictures[0])
            drawn = self._mask(at, states, image, features, pictures[0])
        return answer if drawn is None else {**answer, "mask": drawn}

    def _generate(
        self, turns: Sequence[Any], image: Any, modality: str, count: int, generation: Mapping[str, Any]
    ) -> tuple[Any, Any, Any, int]:
        """New ids as ``generate`` returns them, hidden states by step, encoder features, and the prompt's length."""
        import torch
        from transformers import StoppingCriteriaList

        model = self._model
        prefix, text = _prefix_and_text(turns, self._task)
        embedded, attention, features = model.encode_img(image.unsqueeze(0), [modality])
        embedded, attention = model.prompt_wrap(embedded, attention, [prefix], [count])
        tokens = model.llama_tokenizer(text, return_tensors="pt", add_special_tokens=False).to(image.device)
        embedded, attention = model.prompt_concat(embedded, attention, tokens)
        decoding = generation["sampling"]
        if self._released:
            torch.manual_seed(generation["seed"])
            decoding = {"do_sample": True, "temperature": 0.1, "top_p": 0.9}
        exact = torch.bfloat16 if self._released else torch.long
        stops = [torch.tensor(stop).to(image.device, exact) for stop in _STOPS]
        made = model.llama_model.generate(
            inputs_embeds=embedded,
            max_new_tokens=self._most or min(450, generation["max_new_tokens"]),
            stopping_criteria=StoppingCriteriaList([self._tools.StoppingCriteriaSub(stops=stops)]),
            num_beams=1,
            min_length=1,
            repetition_penalty=1,
            length_penalty=1,
            output_hidden_states=True,
            return_dict_in_generate=True,
            **decoding,
        )
        return made.sequences[0], made.hidden_states, features, embedded.shape[1]

    def _text(self, ids: Any, modality: str) -> str:
        for leading in (0, 1):  # <unk>, <s>
            ids = ids[1:] if len(ids) and ids[0] == leading else ids
        text = self._model.llama_tokenizer.decode(ids).split("###")[0].split("Assistant:")[-1].strip()
        return "The main diagnosis is melanoma." if self._released and modality == "derm" and "mel" in text else text

    def _boxes(self, at: Any, states: Any, text: str, choices: Sequence[str], picture: Any) -> list[list[Any]]:
        """[label, x0, y0, x1, y1] in pixels for each <DET>, named by the words before it."""
        import torch

        indices = torch.where(at == self._model.det_token_idx)[0].tolist()
        names = [m.group(1).strip(" ,:\n") for m in _NAMED.finditer(text) if m.group(2) == "DET"]
        if not indices:
            return []
        corners = self._model.text_det(torch.cat([states[i][-1][:, -1] for i in indices])).float().cpu().numpy()
        alone = choices[0] if len(choices) == 1 else ""
        scale = np.array([picture.width, picture.height] * 2)
        return [
            [name or alone, *(float(c) for c in box * scale)]
            for name, box in zip([*names, *[""] * len(indices)], corners)  # noqa: B905 - Python 3.8
        ]

    def _mask(self, at: Any, states: Any, image: Any, features: Any, picture: Any) -> np.ndarray | None:
        """The mask of the first <2DSEG> or <3DSEG> on the picture's grid, or None where there is none."""
        import torch

        volume = hasattr(picture, "array")
        token = self._model.seg_token_idx_3d if volume else self._model.seg_token_idx_2d
        found = torch.where(at == token)[0]
        if not len(found):
            return None
        only = torch.full_like(at, -1)  # their heads take the state of one token
        only[found[0]] = token
        if not volume:
            mask = self._tools.task_seg_2d(self._model, only, states, image)
            return _resized(np.asarray(mask), (picture.height, picture.width))
        mask = np.asarray(self._tools.task_seg_3d(self._model, only, states, features))  # (depth, width, height)
        stored = _reoriented(picture.array, "RAS", self._axes)
        mask = np.moveaxis(mask, 0, 2).transpose(np.argsort(self._order(stored.shape)))
        return _reoriented(_resized(mask, stored.shape, corners=True), self._axes, "RAS")

    def _order(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Which axis of the file each of (width, height, depth) is taken from.

        In order, but a copy of the code guesses by the sizes; asked with a small volume of the same proportions.
        """
        ranks = tuple(sorted(set(shape)).index(size) + 2 for size in shape)
        if ranks not in self._orders:
            order = [0, 0, 0]
            for axis, size in enumerate(ranks):
                ramp = np.arange(float(size)).reshape([size if a == axis else 1 for a in range(3)])
                found = self._tools.resize_volume_abd(np.broadcast_to(ramp, ranks).copy())
                order[next(a for a in range(3) if np.ptp(found, axis=a).any())] = axis
            self._orders[ranks] = tuple(order)
        return self._orders[ranks]

    def _read(self, picture: Any) -> Any:
        """What their loader makes of the picture, from a file as it wants it: (1, 3, 224, 224) or (1, 64, 192, 192)."""
        with tempfile.TemporaryDirectory(prefix="radbench-medversa-") as folder:
            if not hasattr(picture, "array"):
                path = os.path.join(folder, "picture.png")
                picture.convert("RGB").save(path, compress_level=1)
                return self._tools.read_image(path)
            import nibabel

            path = os.path.join(folder, "volume.nii.gz")
            nibabel.save(nibabel.Nifti1Image(_reoriented(picture.array, "RAS", self._axes), np.eye(4)), path)
            return self._tools.read_image(path)


def _prefix_and_text(turns: Sequence[Any], task: str | None) -> tuple[str, str]:
    """What the model wraps and joins apart: the places of all pictures, and the text behind them."""
    count, text = 0, ""
    for role, parts in turns:
        said = ""
        for part in parts:
            if isinstance(part, str):
                said += part
                continue
            said += f"<img{count}>" if said else ""
            count += 1
        context = _CONTEXT.match(said)
        if context or (task in _TOLD and role == "user"):
            told = context.group() if context else ""
            said = f"<context>{told.rstrip()}</context>{said[len(told) :]}"
        text += f"{said}###Human:" if role == "assistant" else f"{said}###Assistant:" if role == "user" else f"{said} "
    pictures = "".join(f"<img{i}>{'<ImageHere>' * PLACES}</img{i}>" for i in range(count))
    return f"###Human:{pictures}", text


def _states_at(ids: Any, states: Sequence[Any]) -> Any:
    """The ids so that each step's hidden state is the one at its id; -1 where the step read the prompt."""
    import torch

    new = ids[1:] if len(ids) > len(states) else ids
    return torch.cat([torch.full_like(new[:1], -1), new])[: len(states)]


def _resized(mask: np.ndarray, shape: Sequence[int], corners: bool = False) -> np.ndarray:
    """A mask on another grid by the nearest pixel: the outer borders of the grids together, or their corner pixels' centres.

    Corners as ``scipy.ndimage.zoom`` has them, by which volumes are resized; that function itself, by which they are
    resized back, leaves the last slice empty at some sizes (50 slices of 64).
    """
    picks = []
    for old, new in zip(mask.shape, shape):  # noqa: B905 - Python 3.8
        at = np.arange(new)
        exact = at * (old - 1) / max(new - 1, 1) + 0.5 if corners else (at + 0.5) * old / new
        picks.append(exact.astype(int))
    return mask[np.ix_(*picks)].astype(bool)


def _reoriented(volume: np.ndarray, source: str, target: str) -> np.ndarray:
    """A volume whose axes point to ``source``, such as RAS, with axes that point to ``target``."""
    order = [next(a for a, letter in enumerate(source) if _AXIS[letter] == _AXIS[wanted]) for wanted in target]
    steps = [1 if source[axis] == wanted else -1 for axis, wanted in zip(order, target)]  # noqa: B905 - Python 3.8
    return volume.transpose(order)[tuple(slice(None, None, step) for step in steps)]


def _tools(checkout: str) -> Any:
    """Their ``utils.py``, by path: a copy of the repository has a package of that name beside it."""
    spec = importlib.util.spec_from_file_location("medversa_utils", os.path.join(checkout, "utils.py"))
    if spec is None or spec.loader is None:
        raise ValueError(f"medversa: {checkout}/utils.py is no Python file")
    tools = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tools)
    return tools
