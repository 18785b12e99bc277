"""Run-length masks: both dialects against plain loops, and everything that must be refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from radbench.errors import ImageError
from radbench.images.rle import decode, decode_relative, encode
from radbench.records import Mask

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def relative(mask: np.ndarray) -> str:
    """SIIM's form of a mask, pixel by pixel: offsets from the end of the run before, column by column."""
    pairs, last, start = [], 0, None
    flat = [*mask.T.reshape(-1).tolist(), False]
    for i, inside in enumerate(flat):
        if inside and start is None:
            start = i
        elif not inside and start is not None:
            pairs += [start - last, i - start]
            last, start = i, None
    return " ".join(map(str, pairs)) or "-1"


def test_starts_count_from_one_and_run_along_rows() -> None:
    mask = decode("2 3 6 1", 2, 4)
    assert mask.dtype == bool
    assert mask.tolist() == [[False, True, True, True], [False, True, False, False]]
    assert decode("", 2, 3).tolist() == [[False] * 3] * 2
    assert decode("1 6", 2, 3).all()


def test_relative_offsets_run_along_columns() -> None:
    """Offsets from the end of the run before: the first column's last pixel, then two further on."""
    assert decode_relative("1 1 2 1", 2, 3).tolist() == [[False, False, True], [True, False, False]]
    assert not decode_relative(" -1", 4, 4).any()
    assert decode_relative("0 2 0 2", 2, 2).all()


@given(masks)
def test_encoding_is_undone(mask: np.ndarray) -> None:
    assert (decode(encode(mask), *mask.shape) == mask).all()


@given(masks)
def test_relative_runs_are_read_as_they_were_written(mask: np.ndarray) -> None:
    assert (decode_relative(relative(mask), *mask.shape) == mask).all()


@given(st.lists(st.integers(0, 40), max_size=8), st.integers(1, 6), st.integers(1, 6))
def test_what_is_accepted_is_what_it_says(numbers: list[int], height: int, width: int) -> None:
    """Any list of numbers is either refused or has as many pixels as its lengths add up to."""
    text = " ".join(map(str, numbers))
    for read in (decode, decode_relative):
        try:
            mask = read(text, height, width)
        except ImageError:
            continue
        assert mask.shape == (height, width)
        assert mask.sum() == sum(numbers[1::2])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1 2 3", "3 numbers"),
        ("1 x", "whole numbers"),
        ("1.0 2", "whole numbers"),
        ("-3 2", "whole numbers"),
        ("1 ٢", "whole numbers"),
        ("nan", "whole numbers"),
        ("0 2", "before the first pixel"),
        ("5 2 1 2", "last run's end"),
        ("1 3 3 1", "last run's end"),
        ("3 0", "length 0"),
        ("11 3", "ends at pixel 13, the picture of 3 x 4 has 12"),
        ("1 999999999999", "ends at pixel"),
        ("1 9999999999999999999999", "whole numbers"),
    ],
)
def test_faults_are_refused(text: str, fault: str) -> None:
    with pytest.raises(ImageError, match=fault):
        decode(text, 3, 4)


def test_long_offsets_do_not_wrap_round() -> None:
    text = " ".join(["999999999999 999999999999"] * 2000)
    with pytest.raises(ImageError, match="ends at pixel"):
        decode_relative(text, 8, 8)


@pytest.mark.parametrize("shape", [(0, 4), (4, -1), (100_000, 100_000)])
def test_shapes_that_no_picture_has(shape: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="pixels, expected 1 to"):
        decode("", *shape)


def test_a_mask_record_decodes_its_runs() -> None:
    assert Mask(rle="2 1", shape=(1, 3)).load().tolist() == [[False, True, False]]
