"""MedVersa's glue: its prompt, boxes and masks back on the picture's grid, with a made-up ``utils.py`` of its signatures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from radbench.model_adapters.medversa import MedVersa

from radbench.records import Answer, Message, Request, Shows
from radbench.records import Image as Reference
from radbench.registry import find_model

GREEDY: dict[str, Any] = {
    "max_new_tokens": 512, "temperature": 0.0, "top_p": 1.0, "stop": [], "seed": 0, "sampling": {"do_sample": False}
}  # fmt: skip
NINE = "<ImageHere>" * 9

# Stands for utils.py and the model: words are tokens, and a step's hidden state is the number of the step. The box head tells
# the state it got, the mask heads tell where what they were shown is bright.
UTILS = """
import types
import numpy as np
import torch
from scipy import ndimage

WORDS = ["<unk>", "<s>", "left lung,", "<DET>.", "heart,", "<N/A>.", "spine", "<2DSEG>.", "<3DSEG>.", "###", "melanocytic nevi"]
said = ["spine"]   # what the model will say
dummy = True       # whether generate puts a token before what it says, as transformers 4.28 does

class Tokenizer:
    def __call__(self, text, return_tensors, add_special_tokens):
        assert (return_tensors, add_special_tokens) == ("pt", False)
        model.text = text
        return types.SimpleNamespace(to=lambda device: "tokens")

    def decode(self, ids):
        return " ".join(WORDS[int(i)] for i in ids)

class Model:
    det_token_idx, seg_token_idx_2d, seg_token_idx_3d = 3, 7, 8

    @classmethod
    def from_pretrained(cls, path):
        model.path = path
        return model

    def __init__(self):
        self.llama_tokenizer = Tokenizer()
        self.llama_model = types.SimpleNamespace(generate=self.generate)

    def to(self, device):
        return self

    def eval(self):
        return self

    def encode_img(self, image, modals):
        assert image.ndim == 5
        self.image, self.modals = image, modals
        return "images", "attention", ["feature", image[0, 0]]

    def prompt_wrap(self, embeds, attention, prompts, counts):
        self.prefix, self.count = prompts[0], counts[0]
        return "wrapped", "attention"

    def prompt_concat(self, embeds, attention, tokens):
        return torch.zeros(1, 6, 4), "attention"

    def generate(self, inputs_embeds, stopping_criteria, **given):
        self.given = given
        self.stops = stopping_criteria[0].stops
        new = [WORDS.index(word) for word in said] + [9]
        states = [torch.zeros(1, 6, 4)] + [torch.full((1, 1, 4), float(k)) for k in range(1, len(new))]
        sequence = torch.tensor(([1] if dummy else []) + new)
        return types.SimpleNamespace(sequences=sequence[None], hidden_states=[("lower", state) for state in states])

    def text_det(self, states):
        return states.to(torch.bfloat16) / 8

model = Model()
registry = types.SimpleNamespace(get_model_class=lambda name: {"medomni": Model}[name])

class StoppingCriteriaSub:
    def __init__(self, stops=[]):
        self.stops = stops

def _one(preds, token):
    assert int((preds == token).sum()) == 1

def task_seg_2d(model, preds, hidden_states, image):
    _one(preds, model.seg_token_idx_2d)
    return (image[0, 0] > 0.5).numpy()

def task_seg_3d(model, preds, hidden_states, img_embeds_list):
    _one(preds, model.seg_token_idx_3d)
    return (img_embeds_list[-1] > 50).numpy()

def resize_volume_abd(img):
    img = np.clip(img, -200, 300)
    #GUESS
    return ndimage.zoom(img, [192 / img.shape[0], 192 / img.shape[1], 64 / img.shape[2]], order=0)

def read_image(path):
    if path.endswith(".png"):
        from PIL import Image
        image = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.NEAREST)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255
    assert path.endswith(".nii.gz")
    import nibabel
    model.file = nibabel.load(path).get_fdata()
    return torch.from_numpy(resize_volume_abd(model.file.copy())).permute(2, 0, 1)[None]
"""
# A copy of the code that takes the smallest axis for the depth.
GUESS = "img = img.transpose(2, 1, 0) if np.argmin(img.shape) == 0 else img"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for package in ("torch", "transformers", "scipy"):
        pytest.importorskip(package)
    folder = tmp_path / "MedVersa"
    (folder / "utils").mkdir(parents=True)  # a copy has a package beside the file, which would be found first
    (folder / "utils" / "__init__.py").write_text("raise AssertionError('not this one')")
    (folder / "medomni.py").write_text("")
    (folder / "utils.py").write_text(f"import medomni\n{UTILS}")
    (folder / "model.safetensors").write_bytes(b"")
    monkeypatch.syspath_prepend(str(folder))  # as the worker does
    yield folder
    sys.modules.pop("medomni", None)


def loaded(checkout: Path, *said: str, dummy: bool = True, **options: Any) -> tuple[MedVersa, Any]:
    model = MedVersa(str(checkout), device="cpu", **options)
    model._tools.said[:] = said or ["spine"]
    model._tools.dummy = dummy
    return model, model._model


def picture(width: int = 40, height: int = 20, bright: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Image.Image:
    image = Image.new("RGB", (width, height))
    image.paste((255, 255, 255), bright)
    return image


def phantom(shape: tuple[int, int, int]) -> Any:
    """Bright in the right, anterior, superior corner: any flip or swap of axes shows."""
    array = np.zeros(shape, np.float32)
    array[-shape[0] // 3 :, -shape[1] // 4 :, -shape[2] // 5 :] = 100
    return SimpleNamespace(array=array, spacing=(1.0, 1.0, 1.0))


def test_the_prompt_has_nine_places_a_picture() -> None:
    shown = MedVersa.prompt([("user", ["How would you characterize the findings from ", picture(), "?"])])
    assert shown == f"###Human:<img0>{NINE}</img0>How would you characterize the findings from <img0>?###Assistant:"
    both = MedVersa.prompt([("user", ["Compare ", picture(), picture(), "."])])
    assert both == f"###Human:<img0>{NINE}</img0><img1>{NINE}</img1>Compare <img0><img1>.###Assistant:"
    assert MedVersa.prompt([("user", [picture(), "Segment the lesion."])]) == (
        f"###Human:<img0>{NINE}</img0>Segment the lesion.###Assistant:"
    )


def test_context_is_marked_where_the_request_has_one_or_the_task_wants_it() -> None:
    context = "Age:70-80.\nGender:F.\nIndication: Respiratory distress.\nComparison: None."
    report = [("user", [f"{context}\nPlease report ", picture(), "."])]
    marked = f"###Human:<img0>{NINE}</img0><context>{context}</context>Please report <img0>.###Assistant:"
    assert MedVersa.prompt(report) == marked
    question = [("user", [picture(), "What is the primary diagnosis?"])]
    assert "<context>" not in MedVersa.prompt(question)
    told = MedVersa.prompt(question, task="classification")
    assert told.endswith("</img0><context></context>What is the primary diagnosis?###Assistant:")
    assert "<context>" not in MedVersa.prompt(question, task="segmentation")


def test_examples_are_turns_of_the_same_conversation() -> None:
    turns = [("user", [picture(), "Q1"]), ("assistant", ["A1"]), ("user", [picture(), "Q2"])]
    assert MedVersa.prompt(turns).endswith("</img1>Q1###Assistant:A1###Human:Q2###Assistant:")


def test_the_model_gets_what_generate_gives_it(checkout: Path) -> None:
    model, inner = loaded(checkout)
    answer = model.answer([("user", ["What is in ", picture(), "?"])], [], "text", GREEDY)
    assert answer == {"text": "spine", "usage": {"input_tokens": 6, "output_tokens": 2}}
    assert inner.path == str(checkout)
    assert (inner.image.shape, inner.modals) == ((1, 1, 3, 224, 224), ["cxr"])
    assert (inner.prefix, inner.count) == (f"###Human:<img0>{NINE}</img0>", 1)
    assert inner.text == "What is in <img0>?###Assistant:"
    assert [stop.tolist() for stop in inner.stops] == [[835], [2277, 29937]]
    assert inner.given == {
        "max_new_tokens": 450, "num_beams": 1, "min_length": 1, "repetition_penalty": 1, "length_penalty": 1,
        "output_hidden_states": True, "return_dict_in_generate": True, "do_sample": False,
    }  # fmt: skip


def test_decoding_can_be_that_of_the_released_scripts(checkout: Path) -> None:
    import torch

    model, inner = loaded(checkout, released=True)
    model.answer([("user", [picture(), "Q?"])], [], "text", GREEDY)
    assert (inner.given["do_sample"], inner.given["temperature"], inner.given["top_p"]) == (True, 0.1, 0.9)
    assert torch.equal(inner.stops[0] == torch.tensor([835, 837, 840]), torch.tensor([True, True, False]))
    model, inner = loaded(checkout)
    model.answer([("user", [picture(), "Q?"])], [], "text", GREEDY)
    assert torch.equal(inner.stops[0] == torch.tensor([835, 837, 840]), torch.tensor([True, False, False]))


@pytest.mark.parametrize("dummy", [True, False])
def test_boxes_come_from_the_state_at_their_token(checkout: Path, dummy: bool) -> None:
    model, _ = loaded(checkout, "left lung,", "<DET>.", "heart,", "<N/A>.", "spine", "<DET>.", dummy=dummy)
    turns = [("user", ["Detect left lung,heart,spine in ", picture(40, 20), "."])]
    answer = model.answer(turns, ["left lung", "heart", "spine"], "boxes", GREEDY)
    assert answer["text"] == "left lung, <DET>. heart, <N/A>. spine <DET>."
    # Said second and sixth: step 0 reads the prompt, so their own states are those of steps 2 and 6.
    assert answer["boxes"] == [["left lung", 10, 5, 10, 5], ["spine", 30, 15, 30, 15]]


def test_nothing_found_is_no_box_and_a_choice_names_one(checkout: Path) -> None:
    model, _ = loaded(checkout, "heart,", "<N/A>.")
    turns = [("user", ["Detect heart in ", picture(), "."])]
    assert model.answer(turns, ["heart"], "boxes", GREEDY)["boxes"] == []
    assert "boxes" not in model.answer(turns, ["heart"], "text", GREEDY)
    model._tools.said[:] = ["<DET>."]
    assert model.answer(turns, ["heart"], "boxes", GREEDY)["boxes"][0][0] == "heart"


def test_a_mask_lies_where_the_picture_is_bright(checkout: Path) -> None:
    model, _ = loaded(checkout, "spine", "<2DSEG>.", "<2DSEG>.")
    shown = picture(90, 30, (60, 3, 87, 12))
    mask = model.answer([("user", [shown, "Segment the lesion."])], [], "mask", GREEDY)["mask"]
    assert (mask.dtype, mask.shape) == (bool, (30, 90))
    assert np.array_equal(mask, np.asarray(shown)[..., 0] > 0)
    model._tools.said[:] = ["spine"]
    assert "mask" not in model.answer([("user", [shown, "Segment the lesion."])], [], "mask", GREEDY)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAL"])
@pytest.mark.parametrize("guess", [False, True])
@pytest.mark.parametrize("shape", [(48, 40, 20), (20, 30, 40), (30, 30, 50)])
def test_a_volume_mask_comes_back_on_its_own_grid(
    checkout: Path, axes: str, guess: bool, shape: tuple[int, int, int]
) -> None:
    if guess:
        file = checkout / "utils.py"
        file.write_text(file.read_text().replace("#GUESS", GUESS))
    model, inner = loaded(checkout, "spine", "<3DSEG>.", axes=axes)
    volume = phantom(shape)
    mask = model.answer([("user", [volume, "Segment the spine."])], [], "mask", GREEDY)["mask"]
    assert inner.modals == ["ct"]
    assert inner.image.shape == (1, 1, 64, 192, 192)
    assert (mask.dtype, mask.shape) == (bool, shape)
    assert np.array_equal(mask, volume.array > 50)


def test_the_file_points_where_it_is_asked_to(checkout: Path) -> None:
    volume = phantom((12, 10, 8))
    model, inner = loaded(checkout, axes="LPS")
    model.answer([("user", [volume, "Q"])], [], "text", GREEDY)
    assert np.array_equal(inner.file, volume.array[::-1, ::-1])
    model, inner = loaded(checkout)
    model.answer([("user", [volume, "Q"])], [], "text", GREEDY)
    assert np.array_equal(inner.file, volume.array)


def test_a_naevus_stays_a_naevus(checkout: Path) -> None:
    turns = [("user", [picture(), "What is primary diagnosis?"])]
    model, inner = loaded(checkout, "melanocytic nevi", modality="derm")
    assert model.answer(turns, [], "text", GREEDY)["text"] == "melanocytic nevi"
    assert inner.modals == ["derm"]
    model, _ = loaded(checkout, "melanocytic nevi", modality="derm", released=True)
    assert model.answer(turns, [], "text", GREEDY)["text"] == "The main diagnosis is melanoma."


def test_what_cannot_work_is_refused(checkout: Path, tmp_path: Path) -> None:
    for options, expected in (
        ({"modality": "mri"}, "expected cxr, derm or ct"),
        ({"axes": "RAR"}, "expected one letter each"),
    ):
        with pytest.raises(ValueError, match=expected):
            MedVersa(str(checkout), **options)
    with pytest.raises(ValueError, match=r"has no utils\.py"):
        MedVersa(str(tmp_path))
    with pytest.raises(ValueError, match="pickled weights are not loaded"):
        MedVersa(str(checkout), weights=str(tmp_path))
    model, _ = loaded(checkout)
    for parts in (["Q"], [phantom((4, 4, 4)), picture(), "Q"], [phantom((4, 4, 4)), phantom((4, 4, 4)), "Q"]):
        with pytest.raises(ValueError, match="takes pictures, or one volume"):
            model.answer([("user", parts)], [], "text", GREEDY)
    example = [("user", [picture(), "Q"]), ("assistant", ["A"]), ("user", [picture(), "Q"])]
    with pytest.raises(ValueError, match="of the first picture: no examples"):
        model.answer(example, [], "mask", GREEDY)
    model, _ = loaded(checkout, modality="derm")
    with pytest.raises(ValueError, match="reads volumes as ct"):
        model.answer([("user", [phantom((4, 4, 4)), "Q"])], [], "text", GREEDY)


def test_a_nifti_file_is_segmented_through_the_spec(checkout: Path, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    file = checkout / "utils.py"
    file.write_text(file.read_text().replace('said = ["spine"]', 'said = ["<3DSEG>."]'))
    stored = np.zeros((30, 24, 16), np.float32)  # its axes point to left, posterior and superior
    stored[:10, :6, -4:] = 100
    path = tmp_path / "case.nii.gz"
    nibabel.save(nibabel.Nifti1Image(stored, np.diag([-1.0, -1.0, 2.0, 1.0])), path)
    model = find_model(f"medversa:{checkout},device=cpu")
    assert isinstance(model, Shows)
    image = Reference(str(path), kind="volume")
    request = Request("t", "s", (Message("user", ("Segment the spine in ", image, ".")),), form="mask")
    assert model.shown(request).endswith("</img0>Segment the spine in <img0>.###Assistant:")
    answer: Answer = next(iter(model.answer([request])))[1]
    assert answer.failure is None
    assert answer.mask is not None
    assert np.array_equal(answer.mask, image.load().array > 50)
    assert {"boxes", "mask2d", "mask3d", "volumes", "multi_image", "text"} == model.capabilities
