"""Requests as turns: picture policies, volumes as slices, reasoning split off; and what identifies weights on disk."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PIL
from radbench.model_adapters.identity import of_path
from radbench.model_adapters.messages import Pictures, split_reasoning

from radbench.errors import ConfigError, ImageError
from radbench.records import Image, Message, Request


@pytest.fixture
def pictures(tmp_path: Path) -> list[Image]:
    """Red 8 x 6, green 4 x 10, blue 2 x 2 (width x height)."""
    found = []
    for name, colour, size in (("r", (255, 0, 0), (8, 6)), ("g", (0, 255, 0), (4, 10)), ("b", (0, 0, 255), (2, 2))):
        PIL.new("RGB", size, colour).save(tmp_path / f"{name}.png")
        found.append(Image(str(tmp_path / f"{name}.png")))
    return found


def _request(*content: str | Image) -> Request:
    return Request("t", "s", (Message("system", ("be brief",)), Message("user", content)))


def _kinds(parts: tuple[object, ...]) -> list[object]:
    return [p if isinstance(p, str) else p.size for p in parts]  # type: ignore[attr-defined]


def test_all_pictures_stay_where_they_stood(pictures: list[Image]) -> None:
    system, user = Pictures().turns(_request("now ", pictures[0], " then ", pictures[1], "?"))
    assert system == ("system", ("be brief",))
    assert _kinds(user.parts) == ["now ", (8, 6), " then ", (4, 10), "?"]


def test_a_model_of_one_picture(pictures: list[Image]) -> None:
    request = _request("a", *pictures, "b")
    assert _kinds(Pictures("first").turns(request)[1].parts) == ["a", (8, 6), "b"]
    (sheet,) = (p for p in Pictures("tile").turns(request)[1].parts if not isinstance(p, str))
    assert sheet.size == (16, 20)  # two columns of 8, two rows of 10
    assert [sheet.getpixel(at) for at in ((0, 0), (8, 0), (0, 10), (15, 19))] == [
        (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
    ]  # fmt: skip
    with pytest.raises(ImageError, match="3 pictures for a model of one"):
        Pictures("error").turns(request)
    assert _kinds(Pictures("error").turns(_request("a", pictures[1]))[1].parts) == ["a", (4, 10)]


def test_large_pictures_are_reduced_in_proportion(pictures: list[Image]) -> None:
    user = Pictures(longest=5).turns(_request(*pictures))[1]
    assert _kinds(user.parts) == [(5, 4), (2, 5), (2, 2)]


def test_a_volume_is_shown_as_slices_in_its_window(tmp_path: Path) -> None:
    volume = np.zeros((6, 5, 9), np.float32)
    volume += np.linspace(-1000, 1000, 9, dtype=np.float32)  # brighter from inferior to superior
    nibabel.Nifti1Image(volume, np.eye(4)).to_filename(tmp_path / "v.nii.gz")
    image = Image(str(tmp_path / "v.nii.gz"), kind="volume")
    grey = [np.asarray(p)[0, 0, 0] for p in Pictures(slices=3).of(image)]
    windowed = [np.asarray(p)[0, 0, 0] for p in Pictures(slices=3, window="abdomen").of(image)]
    assert grey == sorted(grey) and grey[0] > 0 and grey[-1] < 255
    assert windowed[0] == 0 and windowed[-1] == 255 and 0 < windowed[1] < 255
    assert [p.size for p in Pictures(slices=3).of(image)] == [(6, 5)] * 3
    own = Pictures(slices=3, window="abdomen").of(image._replace(window="-1000/10"))  # the task's window stays
    assert all(np.asarray(p)[0, 0, 0] == 255 for p in own)


@pytest.mark.parametrize(
    "options", [{"multi_image": "some"}, {"slices": 0}, {"longest": -1}, {"slices": "8"}, {"window": "liverr"}]
)
def test_a_policy_out_of_range_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Pictures(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        ("no effusion", "no effusion", None),
        ("<think>clear lungs</think>\nno", "no", "clear lungs"),
        ("clear lungs</think> no", "no", "clear lungs"),  # the template opened it
        ("<think>it goes on", "", "it goes on"),  # cut off
        ("<Thinking>a</Thinking>x<think>b</think>", "x", "a\nb"),
        ("size < 3 cm and > 1 cm", "size < 3 cm and > 1 cm", None),
    ],
)
def test_reasoning_is_split_off(text: str, answer: str, reasoning: str | None) -> None:
    assert split_reasoning(text) == (answer, reasoning)


@given(st.lists(st.sampled_from(["<think>", "</think>", "<THOUGHT>", "</thought>", "a", " b ", "\n"]), max_size=8))
def test_no_tag_is_left_in_an_answer(parts: list[str]) -> None:
    answer, reasoning = split_reasoning("".join(parts))
    assert "<" not in answer
    assert (reasoning is None) == (not any(p.startswith("<") for p in parts))


def test_a_folder_is_known_by_its_content_not_its_place(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "sub" / "weights").write_bytes(b"w" * 1000)
    assert of_path(tmp_path / "a") == of_path(tmp_path / "b")
    (tmp_path / "b" / ".git").mkdir()
    (tmp_path / "b" / ".git" / "HEAD").write_text("x")
    assert of_path(tmp_path / "a") == of_path(tmp_path / "b")
    (tmp_path / "b" / "sub" / "weights").write_bytes(b"w" * 999 + b"x")
    assert of_path(tmp_path / "a") != of_path(tmp_path / "b")


def test_a_large_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from radbench.model_adapters import identity

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(identity, "_LARGE", 100)
    file, real, calls = tmp_path / "w", identity.file_digest, []
    monkeypatch.setattr(identity, "file_digest", lambda f, kind: calls.append(1) or real(f, kind))
    file.write_bytes(b"x" * 1000)
    first = of_path(file)
    assert of_path(file) == first and len(calls) == 1
    file.write_bytes(b"x" * 400 + b"y" + b"x" * 599)
    os.utime(file, ns=(1, 1))
    assert of_path(file) != first and len(calls) == 2
    monkeypatch.setattr(identity, "_LARGE", 10**9)
    file.write_bytes(b"x" * 1000)
    assert of_path(file) == first  # kept or not, the same
