"""The run folder: lines that survive anything, one writer a file, resumable after every mishap."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radbench.answers import AnswerIndex, DoneKeys, decode_answer, encode_answer, read_mask, scan, write_mask
from radbench.errors import ConfigError, RadbenchError, ResumeError
from radbench.folder import RunFolder, Shard, write_whole
from radbench.records import Answer, Box, Failure, Request


def request(key: int, sample: str = "s") -> Request:
    return Request("task", sample, (), key=key.to_bytes(16, "big"))


def folder_with(tmp_path: Path, lines: list[str], name: str = "1-of-1") -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.answers.mkdir(parents=True, exist_ok=True)
    (folder.answers / f"{name}.jsonl").write_text("".join(lines))
    return folder


anything = st.text(st.characters(codec=None, exclude_categories=()), max_size=200)


@given(text=anything, sample=anything)
def test_any_text_survives_the_file(text: str, sample: str) -> None:
    line = encode_answer(request(7, sample), Answer(text=text))
    assert line.count("\n") == 1
    assert decode_answer(line.encode("ascii"), Path()).text == text
    assert json.loads(line)["sample"] == sample


@pytest.mark.parametrize(
    "text",
    ["", "\x00", "a\x00b", "\ud800", "x" * 1_000_000, '"},\n{"key"', " "],
    ids=["empty", "nul", "nul2", "surrogate", "1MB", "json", "lines"],
)
def test_hostile_answers_survive(text: str) -> None:
    assert decode_answer(encode_answer(request(1), Answer(text=text)).encode("ascii"), Path()).text == text


def test_boxes_failures_usage_and_masks_survive(tmp_path: Path) -> None:
    boxes = (Box("left lung", 1, 2.5, 3, 4, 0.5),)
    line = encode_answer(request(1), Answer(boxes=boxes, seconds=1.23456, usage={"output_tokens": 3}))
    back = decode_answer(line.encode(), tmp_path)
    assert (back.boxes, back.seconds, back.usage) == (boxes, 1.2346, {"output_tokens": 3})
    failed = decode_answer(encode_answer(request(1), Answer(failure=Failure("refused", "no"))).encode(), tmp_path)
    assert failed.failure == Failure("refused", "no")
    mask = np.random.default_rng(0).random((3, 5, 7)) < 0.5
    write_mask(tmp_path / "answers" / "masks" / "m.npz", mask)
    assert (read_mask(tmp_path / "answers" / "masks" / "m.npz") == mask).all()
    again = decode_answer(encode_answer(request(1), Answer(), mask="masks/m.npz").encode(), tmp_path)
    assert again.mask is not None
    assert (again.mask == mask).all()


@given(st.lists(st.integers(0, 2**128 - 1), max_size=40), st.lists(st.integers(0, 2**128 - 1), max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_done_keys_are_exactly_those_on_disk(tmp_path: Path, written: list[int], asked: list[int]) -> None:
    folder = folder_with(tmp_path, [encode_answer(request(k), Answer(text="a")) for k in written])
    keys = [k.to_bytes(16, "big") for k in asked + written]
    missing = DoneKeys(folder.answer_files()).missing(keys)
    seen = set(written)
    for key, got in zip(asked + written, missing, strict=True):
        assert got == (key not in seen)
        seen.add(key)  # asked once, then counted as asked


def test_keys_that_share_their_first_half_stay_apart(tmp_path: Path) -> None:
    one, two = (5 << 64) + 1, (5 << 64) + 2
    folder = folder_with(tmp_path, [encode_answer(request(k), Answer(text=str(k))) for k in (two, one, two)])
    with AnswerIndex(folder) as index:
        got = index.answers([one.to_bytes(16, "big"), (6 << 64).to_bytes(16, "big")])
    assert got[0] is not None
    assert got[0].text == str(one)
    assert got[1] is None


def test_transport_failures_are_asked_again_and_the_later_answer_counts(tmp_path: Path) -> None:
    lost = encode_answer(request(1), Answer(failure=Failure("transport", "timeout")))
    folder = folder_with(tmp_path, [lost])
    key = (1).to_bytes(16, "big")
    assert DoneKeys(folder.answer_files()).missing([key]) == [True]
    with AnswerIndex(folder) as index:
        first = index.answers([key])[0]
    assert first is not None
    assert first.failure == Failure("transport", "timeout")
    folder_with(tmp_path, [encode_answer(request(1), Answer(text="yes")), lost])
    assert DoneKeys(folder.answer_files()).missing([key]) == [False]
    with AnswerIndex(folder) as index:
        final = index.answers([key])[0]
    assert final is not None
    assert final.text == "yes"


def test_a_line_cut_short_is_removed_when_writing_and_ignored_when_reading(tmp_path: Path) -> None:
    whole = encode_answer(request(1), Answer(text="yes"))
    folder = folder_with(tmp_path, [whole, whole[:40]])
    assert len(list(scan(folder.answer_files()))) == 1
    with folder.writer(Shard()) as writer:
        writer.append(encode_answer(request(2), Answer(text="no")))
    assert [key[-1] for key, *_ in scan(folder.answer_files())] == [1, 2]


def test_a_file_that_is_only_a_cut_line_is_emptied(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, ['{"key":"' + "0" * 100_000])
    with folder.writer(Shard()):
        pass
    assert (folder.answers / "1-of-1.jsonl").stat().st_size == 0


def test_a_foreign_line_is_named(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path, [encode_answer(request(1), Answer(text="a")), '{"task": "x", "sample": "y", "text": "z"}\n']
    )
    with pytest.raises(ResumeError, match=r"(?s)1-of-1\.jsonl, line 2.*--predictions"):
        DoneKeys(folder.answer_files())


def test_a_damaged_line_is_named_with_its_remedy(tmp_path: Path) -> None:
    line = encode_answer(request(1), Answer(text="a long answer"))
    folder = folder_with(tmp_path, [line.replace("long answer", "\\u12")])
    with AnswerIndex(folder) as index, pytest.raises(ResumeError, match="damaged"):
        index.answers([(1).to_bytes(16, "big")])


def test_two_processes_cannot_write_one_file(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, [])
    with folder.writer(Shard()):
        with pytest.raises(ResumeError, match="another process is writing"), folder.writer(Shard()):
            pass
        with folder.writer(Shard(1, 2)):  # another shard may
            pass


def test_what_is_appended_is_on_disk_within_moments(tmp_path: Path) -> None:
    import time

    folder = folder_with(tmp_path, [])
    with folder.writer(Shard()) as writer:
        writer.append(encode_answer(request(1), Answer(text="a")))
        deadline = time.monotonic() + 10
        while not (folder.answers / "1-of-1.jsonl").stat().st_size and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (folder.answers / "1-of-1.jsonl").stat().st_size > 0


def test_the_manifest_is_written_once_and_a_difference_is_shown(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.claim(lambda: {"created": "now"}, {"seed": 0, "tasks": {"a": {"version": 1}}})
    folder.claim(lambda: {"created": "later"}, {"seed": 0, "tasks": {"a": {"version": 1}}})
    assert folder.manifest["created"] == "now"
    with pytest.raises(ResumeError, match=r"tasks\.a\.version: the folder has 1, now 2"):
        folder.claim(dict, {"seed": 0, "tasks": {"a": {"version": 2}}})
    assert [p.name for p in folder.path.iterdir() if p.is_file()] == ["manifest.json"]


def test_a_folder_without_a_manifest_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="no run folder"):
        RunFolder(tmp_path).manifest  # noqa: B018
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ResumeError, match="damaged"):
        RunFolder(tmp_path).manifest  # noqa: B018


def test_a_full_disk_leaves_whole_lines_and_says_what_to_do(tmp_path: Path) -> None:
    """The kernel's own refusal (a file size limit) in a child process."""
    import subprocess
    import sys

    script = f"""
import resource, signal
from pathlib import Path
from radbench.errors import RadbenchError
from radbench.answers import encode_answer
from radbench.folder import RunFolder, Shard, write_whole
from radbench.records import Answer, Request
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = RunFolder(Path({str(tmp_path / "run")!r}))
folder.answers.mkdir(parents=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    with folder.writer(Shard()) as writer:
        for i in range(10_000):
            writer.append(encode_answer(Request("t", str(i), (), key=i.to_bytes(16, "big")), Answer(text="x" * 50)))
except RadbenchError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "cannot write" in done.stdout
    assert "Every answer written so far is safe" in done.stdout
    assert f"radbench resume {tmp_path / 'run'}" in done.stdout
    file = tmp_path / "run" / "answers" / "1-of-1.jsonl"
    assert file.read_bytes()[-1:] in (b"\n", b"")
    assert os.path.getsize(file) <= 10_000


@given(st.integers(1, 9), st.binary(min_size=16, max_size=16))
def test_every_key_belongs_to_exactly_one_shard(count: int, key: bytes) -> None:
    assert sum(Shard(i, count).owns(key) for i in range(count)) == 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/2/3", ""])
def test_a_wrong_shard_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="i/n"):
        Shard.parse(text)


def test_a_written_file_follows_links_and_spares_what_is_no_file(tmp_path: Path) -> None:
    real, link = tmp_path / "real.md", tmp_path / "link.md"
    real.write_text("before")
    link.symlink_to(real)
    write_whole(link, "after")
    assert link.is_symlink()
    assert real.read_text() == "after"
    os.mkfifo(pipe := tmp_path / "pipe")
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    heard: list[str] = []
    reader.start()
    write_whole(pipe, "through")
    reader.join(timeout=10)
    assert heard == ["through"]
    assert pipe.is_fifo()
    with pytest.raises(RadbenchError, match="cannot write"):
        write_whole(tmp_path, "a folder")


@pytest.mark.parametrize("content", ["{}", "[]", "{", '"text"'])
def test_a_manifest_that_is_none_is_said(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ResumeError, match="damaged"):
        RunFolder(tmp_path).manifest  # noqa: B018


def test_a_bundle_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text("{}")
    with pytest.raises(ResumeError, match="is a bundle of radbench export"):
        RunFolder(tmp_path).manifest  # noqa: B018
