"""Batches: every item once, like beside like, drawn lazily, halved where memory runs out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radbench.model_adapters.batching import WINDOW, Batches, cost_of, out_of_memory

from radbench.errors import ConfigError
from radbench.records import Image, Message, Request

Item = tuple[int, int, int, str]  # volumes, pictures, letters, group


def batches(size: int) -> Batches[Item]:
    return Batches(size, lambda i: i[:3], lambda i: i[3])


items = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(0, 50), st.sampled_from("ab")), max_size=60
)


@given(items, st.integers(1, 7))
def test_every_item_comes_once_in_batches_of_its_own_group(given: list[Item], size: int) -> None:
    found = list(batches(size).of(given))
    assert sorted(i for batch in found for i in batch) == sorted(given)
    assert all(1 <= len(batch) <= size and len({i[3] for i in batch}) == 1 for batch in found)


def test_the_costly_ones_of_a_window_come_first() -> None:
    given = [(0, pictures, letters, "a") for pictures, letters in [(1, 5), (2, 1), (1, 9), (0, 99)]]
    assert list(batches(2).of(given)) == [
        [(0, 2, 1, "a"), (0, 1, 9, "a")],
        [(0, 1, 5, "a"), (0, 0, 99, "a")],
    ]


@pytest.mark.parametrize(("volumes", "expected"), [(0, 3 * WINDOW), (1, 3)])
def test_no_more_than_a_window_is_drawn_ahead_and_of_volumes_one_batch(volumes: int, expected: int) -> None:
    drawn = 0

    def stream() -> Iterator[Item]:
        nonlocal drawn
        while True:
            drawn += 1
            yield (volumes, 1, 1, "a")

    assert len(next(batches(3).of(stream()))) == 3
    assert drawn == expected


def test_cost_counts_volumes_pictures_and_letters() -> None:
    images = (Image("a.png"), Image("b.nii", kind="volume"))
    assert cost_of(Request("t", "s", (Message("user", (*images, "four")),))) == (1, 2, 4)


class Memory:
    """Room for ``room`` items at once."""

    def __init__(self, room: int) -> None:
        self.room, self.sizes = room, list[int]()

    def __call__(self, batch: list[Item]) -> list[str]:
        self.sizes.append(len(batch))
        if len(batch) > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return [str(i[2]) for i in batch]


def test_a_batch_is_halved_until_it_fits_and_keeps_its_order() -> None:
    sut, memory = batches(8), Memory(3)
    batch = [(0, 1, n, "a") for n in range(8)]
    assert list(sut.ask(batch, memory, lambda i: "gone")) == [str(n) for n in range(8)]
    assert memory.sizes == [8, 4, 2, 2, 2, 2]


def test_a_size_that_ran_out_of_memory_is_not_tried_again_for_items_as_costly() -> None:
    sut, memory = batches(4), Memory(2)
    costly, cheap = [(0, 5, n, "a") for n in range(4)], [(0, 1, n, "a") for n in range(4)]
    list(sut.ask(next(sut.of(costly)), memory, lambda i: "gone"))
    assert [len(b) for b in sut.of(costly)] == [2, 2]
    assert [len(b) for b in sut.of(cheap)] == [4]


def test_an_item_that_does_not_fit_alone_is_given_up_and_the_others_are_not() -> None:
    def ask(batch: list[Item]) -> list[str]:
        if any(i[2] == 2 for i in batch):
            raise RuntimeError("out of memory")
        return [str(i[2]) for i in batch]

    batch = [(0, 1, n, "a") for n in range(4)]
    assert list(batches(4).ask(batch, ask, lambda i: f"gave up {i[2]}")) == ["0", "1", "gave up 2", "3"]


def test_other_errors_are_raised_as_they_are() -> None:
    def ask(batch: list[Item]) -> list[str]:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        list(batches(2).ask([(0, 1, 1, "a")], ask, lambda i: "gone"))


def test_running_out_of_memory_is_known_under_its_names() -> None:
    assert out_of_memory(type("OutOfMemoryError", (Exception,), {})("x"))
    assert out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    assert not out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))
    assert not out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize("size", [0, -1, True, 2.0, "8"])
def test_a_batch_size_that_is_no_count_is_refused(size: object) -> None:
    with pytest.raises(ConfigError, match="batch is"):
        Batches(size, lambda i: (0,))  # type: ignore[arg-type]
