"""Baseline files: small, the same bytes for the same run, nothing of restricted data, no harm from damaged ones."""

from __future__ import annotations

import io
import json
import os
import random
import stat
import zipfile
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import radbench
from radbench.cli import gate as command
from radbench.errors import ConfigError, DataError
from radbench.gate import baseline_file
from radbench.gate.baseline import open_baseline, write_baseline
from radbench.gate.check import check
from radbench.gate.margins import Margins
from radbench.public import public_name
from radbench.records import Answer
from radbench.registry import find_metric
from radbench.statistics import Measure, point

TaskWriter = Callable[..., Path]
METRICS = ["exact-match", "token-f1", "bleu-1"]


class Coin:
    """Answers yes or no by chance, another one for each draw."""

    capabilities = frozenset({"text"})

    def fingerprint(self) -> dict[str, str]:
        return {"adapter": "test", "name": "coin"}

    def answer(self, requests: Any) -> Any:
        for request in requests:
            number = blake2b(f"{request.sample}.{request.draw}".encode(), digest_size=1).digest()[0]
            yield request, Answer(text=("yes", "no", "yes or no")[number % 3])


class Moody(Coin):
    """A coin that says nothing sensible in every other draw: noise that all answers of a draw have in common."""

    def answer(self, requests: Any) -> Any:
        for request, answer in super().answer(requests):
            yield request, Answer(text="hm") if request.draw % 2 else answer


@pytest.fixture
def runs(text_task: TaskWriter, tmp_path: Path) -> tuple[Path, Path]:
    """Two runs of a task on open data with three metrics, 60 samples of 30 patients."""
    task = str(text_task(60, metrics=METRICS))
    for name, model in (("base", Coin()), ("run", "constant:yes")):
        radbench.evaluate(model, task, out=tmp_path / name, resamples=100)
    return tmp_path / "run", tmp_path / "base"


def restricted(text_task: TaskWriter, tmp_path: Path) -> Path:
    """A run of two tasks, one on credentialed data."""
    data = {"table": "samples.jsonl", "access": "credentialed", "columns": {"cluster": "patient"}}
    secret = text_task(24, "secret", name="test/secret", metrics=METRICS, data=data)
    tasks = [str(text_task(20, metrics=METRICS)), str(secret)]
    radbench.evaluate("constant:yes", tasks, out=tmp_path / "mixed", resamples=50)
    return tmp_path / "mixed"


def contents(path: Path) -> bytes:
    """Everything in a baseline file, unpacked."""
    with zipfile.ZipFile(path) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())


# --- a file is as good as the folder ---


def test_file_and_folder_give_identical_results(runs: tuple[Path, Path], tmp_path: Path) -> None:
    run, base = runs
    written = write_baseline(base, tmp_path / "base.npz")
    assert written.metrics == {"test/toy": ("bleu-1", "exact-match", "token-f1")}
    for one, other in ((run, base), (base, base)):
        by_folder = check(one, other, Margins(0.1))
        by_file = check(one, tmp_path / "base.npz", Margins(0.1))
        assert by_file.checks == by_folder.checks  # floats bit for bit
        assert (by_file.exit, by_file.notes) == (by_folder.exit, by_folder.notes)
    assert by_file.baseline == "base.npz"


def test_a_limited_run_against_a_file(text_task: TaskWriter, runs: tuple[Path, Path], tmp_path: Path) -> None:
    write_baseline(runs[1], tmp_path / "base.npz")
    radbench.evaluate(
        "constant:yes", str(text_task(60, metrics=METRICS)), out=tmp_path / "few", resamples=100, limit=20
    )
    by_file = check(tmp_path / "few", tmp_path / "base.npz", Margins(0.01))
    assert by_file.checks == check(tmp_path / "few", runs[1], Margins(0.01)).checks
    assert "test/toy: partial, 20 of 60 samples of the baseline." in by_file.notes


def test_several_draws_survive_the_file(text_task: TaskWriter, tmp_path: Path) -> None:
    task = str(text_task(30))
    radbench.evaluate(Coin(), task, out=tmp_path / "base", resamples=50, draws=3)
    radbench.evaluate("constant:yes", task, out=tmp_path / "run", resamples=50)
    write_baseline(tmp_path / "base", tmp_path / "base.npz")
    found = check(tmp_path / "run", tmp_path / "base.npz", Margins(0.9)).checks
    assert found == check(tmp_path / "run", tmp_path / "base", Margins(0.9)).checks
    assert found[0].n == 30


def test_the_same_run_gives_the_same_bytes_wherever_it_lies(runs: tuple[Path, Path], tmp_path: Path) -> None:
    write_baseline(runs[1], tmp_path / "one.npz")
    os.rename(runs[1], tmp_path / "moved")
    write_baseline(tmp_path / "moved", tmp_path / "deep" / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "deep" / "two.npz").read_bytes()


def test_metrics_and_tasks_restrict(runs: tuple[Path, Path], tmp_path: Path) -> None:
    written = write_baseline(runs[1], tmp_path / "b.npz", metrics=["bleu-1"], tasks=["test"])
    assert written.metrics == {"test/toy": ("bleu-1",)}
    result = check(runs[0], tmp_path / "b.npz", Margins(0.01))
    assert [c.metric for c in result.checks] == ["bleu-1"]
    assert "New, not in the baseline: exact-match, token-f1 of test/toy." in result.notes
    with pytest.raises(ConfigError, match="unknown metric 'bleu1': did you mean 'bleu-1'"):
        write_baseline(runs[1], tmp_path / "b.npz", metrics=["bleu1"])


def test_noise_of_reruns_is_kept_and_widens(runs: tuple[Path, Path], tmp_path: Path, text_task: TaskWriter) -> None:
    run, base = runs
    radbench.evaluate(Moody(), str(text_task(60, metrics=METRICS)), out=tmp_path / "again", resamples=50, draws=4)
    write_baseline(base, tmp_path / "plain.npz")
    write_baseline(base, tmp_path / "noisy.npz", noise=tmp_path / "again")
    plain, noisy = (check(run, tmp_path / name, Margins(0.3)) for name in ("plain.npz", "noisy.npz"))
    for before, after in zip(plain.checks, noisy.checks, strict=True):
        assert before.noise is None
        assert after.noise is not None
        assert after.noise > 0
        assert after.low < before.low <= before.high < after.high
        assert "noise between reruns" in after.reason
    with pytest.raises(DataError, match="asked every request once"):
        write_baseline(base, tmp_path / "x.npz", noise=run)


def test_it_is_small(tmp_path: Path) -> None:
    """10,000 samples with two metrics of yes and no and two of fractions: below 400 kB, mostly digits of the fractions."""
    random = np.random.default_rng(0)
    n = 10_000
    ids = baseline_file.digests(np.array([f"sample-{i}".encode() for i in range(n)]))
    names = ["exact-match", "vqa-open-accuracy", "rouge-l", "meteor"]
    measures = {}
    for name in names:
        scores = (
            random.integers(0, 2, n) if name in names[:2] else random.integers(0, 40, n) / random.integers(40, 80, n)
        )
        metric = baseline_file.find_metric(name)
        measures[name] = baseline_file.Measure(metric, (), np.stack([scores * 1.0, np.ones(n)], axis=1))
    metrics = {name: baseline_file.BaselineMetric("signature", point(m)) for name, m in measures.items()}
    task = baseline_file.BaselineTask(1, "open", "0" * 16, n, n, metrics)
    held = baseline_file.TaskStatistics(ids, ids, {}, measures)
    source = baseline_file.Baseline("b", "m", 0, 1000, 0.95, False, False, {"t": task}, lambda task, metrics: held)
    packed = baseline_file.packed(source)
    assert len(packed) < 400_000
    (tmp_path / "b.npz").write_bytes(packed)
    back = open_baseline(tmp_path / "b.npz").statistics("t", names)
    assert all(np.array_equal(back.measures[m].rows, measures[m].rows) for m in names)
    assert np.array_equal(back.ids, ids)


# --- what is inside ---


def test_nothing_but_numbers_and_names_is_inside(runs: tuple[Path, Path], tmp_path: Path) -> None:
    write_baseline(runs[1], tmp_path / "base.npz")
    inside = contents(tmp_path / "base.npz")
    for text in (b"Question", b"q17", b"p3", str(tmp_path).encode(), b"samples.jsonl", b"sex"):
        assert text not in inside
    with zipfile.ZipFile(tmp_path / "base.npz") as archive:
        header = json.loads(np.load(io.BytesIO(archive.read("header.npy"))).tobytes())
    assert header["radbench_baseline"] == 1
    assert (header["model"], header["seed"], header["resamples"], header["level"]) == ("coin", 0, 100, 0.95)
    task = header["tasks"]["test/toy"]
    assert (task["version"], task["access"], task["n"], task["clusters"]) == (1, "open", 60, 30)
    assert set(task["metrics"]["bleu-1"]) == {"better", "noise", "signature", "state", "value"}
    assert np.load(tmp_path / "base.npz", allow_pickle=False)["0.rows.0"].dtype == np.float64


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("knn:k=5", "knn:k=5"), ("hf:org/model-7b", "hf:org/model-7b"), ("hf:/home/me/ckpt,dtype=bf16", "hf:ckpt,dtype=bf16"),
        ("hf:~/ckpt/", "hf:ckpt"), ("x:path=../me/file.json", "x:path=file.json"), ("a/b/c/model", "model"),
        ("hf:C:\\Users\\me\\ckpt", "hf:ckpt"), ("python:Model", "python:Model"), ("", ""),
    ],
)  # fmt: skip
def test_a_models_name_loses_folders(name: str, public: str) -> None:
    assert public_name(name) == public


# --- restricted data ---


def test_restricted_tasks_are_left_out_and_named(
    text_task: TaskWriter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = restricted(text_task, tmp_path)
    assert command.baseline(str(run), str(tmp_path / "b.npz")) == 0
    said = capsys.readouterr()
    assert "test/secret is left out: its data are credentialed" in said.err
    inside = contents(tmp_path / "b.npz")
    assert b"secret" not in inside
    for i in range(20, 24):  # ids that only the restricted task has
        assert blake2b(f"q{i}".encode(), digest_size=8).digest() not in inside
    assert list(open_baseline(tmp_path / "b.npz").tasks) == ["test/toy"]


def test_only_restricted_tasks_are_refused(text_task: TaskWriter, tmp_path: Path) -> None:
    run = restricted(text_task, tmp_path)
    with pytest.raises(DataError, match="its data are credentialed") as error:
        write_baseline(run, tmp_path / "b.npz", tasks=["test/secret"])
    assert f"--baseline {run}" in error.value.remedy
    assert "--local-only" in error.value.remedy
    assert not (tmp_path / "b.npz").exists()
    assert check(run, run, Margins(0.5), tasks=["test/secret"]).exit == 0  # the folder itself is the way


def test_local_only_is_written_for_its_owner_alone_and_says_so(
    text_task: TaskWriter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, file = restricted(text_task, tmp_path), tmp_path / "b.npz"
    assert command.baseline(str(run), str(file), local_only=True, as_json=True) == 0
    said = capsys.readouterr()
    assert "never commit, copy or send it" in said.err
    assert json.loads(said.out)["local_only"] is True
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert open_baseline(file).local_only
    result = check(run, file, Margins(0.5))
    assert {c.task for c in result.checks} == {"test/toy", "test/secret"}
    assert any("restricted data" in note for note in result.notes)
    write_baseline(run, file, tasks=["test/toy"], local_only=True)
    assert not open_baseline(file).local_only  # nothing restricted in it


def test_a_gate_on_restricted_data_tells_no_id_and_no_text(
    text_task: TaskWriter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = restricted(text_task, tmp_path)
    command.check(str(run), str(run), markdown=str(tmp_path / "o.md"), junit=str(tmp_path / "o.xml"), as_json=True)
    said = capsys.readouterr().out + (tmp_path / "o.md").read_text() + (tmp_path / "o.xml").read_text()
    for i in range(24):
        assert f"q{i}" not in said
        assert f"Question {i}" not in said
    assert str(tmp_path) not in said


# --- damaged and foreign files ---


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any] | None = None, **arrays: np.ndarray) -> None:
    """A baseline file with another header or other arrays."""
    with np.load(path) as archive:
        found = {name: archive[name] for name in archive.files}
    header = json.loads(found["header"].tobytes())
    if change is not None:
        change(header)
    found["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez_compressed(path, **{**found, **arrays})  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"{}", b"\x80\x04\x95"], ids=repr)
def test_other_files_are_no_baseline(content: bytes, runs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.npz is no baseline file"):
        check(runs[0], tmp_path / "x.npz")
    with pytest.raises(ConfigError, match="exists and is no baseline file"):
        write_baseline(runs[1], tmp_path / "x.npz")
    assert (tmp_path / "x.npz").read_bytes() == content


def test_statistics_of_a_run_are_no_baseline(runs: tuple[Path, Path]) -> None:
    file = runs[1] / "stats" / "test" / "toy" / "bleu-1.npz"
    with pytest.raises(DataError, match="no baseline file"):
        open_baseline(file)
    with pytest.raises(ConfigError, match="only baselines are replaced"):
        write_baseline(runs[1], file)
    with pytest.raises(ConfigError, match="is a folder"):
        write_baseline(runs[1], runs[0])


def test_a_later_format_is_named(runs: tuple[Path, Path], tmp_path: Path) -> None:
    write_baseline(runs[1], file := tmp_path / "b.npz")
    rewritten(file, lambda header: header.update(radbench_baseline=2))
    with pytest.raises(DataError, match=r"format 2, this radbench .* reads 1"):
        check(runs[0], file)


@pytest.mark.parametrize(
    ("change", "arrays"),
    [
        (lambda h: h.pop("tasks"), {}),
        (lambda h: h.update(tasks=[1]), {}),
        (lambda h: h.update(seed="x"), {}),
        (lambda h: h["tasks"]["test/toy"].update(n=61), {}),
        (lambda h: h["tasks"]["test/toy"].pop("version"), {}),
        (lambda h: h["tasks"]["test/toy"]["metrics"]["bleu-1"].update(noise=-1.0), {}),
        (lambda h: h["tasks"]["test/toy"]["metrics"]["bleu-1"].update(noise=float("nan")), {}),
        (lambda h: h["tasks"]["test/toy"]["metrics"]["bleu-1"].update(state=3), {}),
        (None, {"0.rows.0": np.zeros((59, 2))}),
        (None, {"0.rows.0": np.zeros(60)}),
        (None, {"0.rows.0": np.zeros((60, 2), np.int64)}),
        (None, {"0.ids": np.zeros(60, np.uint64)}),
        (None, {"0.rows.0": np.ones((60, 1))}),
        (None, {"0.rows.1": np.ones((60, 3))}),
        (None, {"0.rows.1": np.full((60, 2), np.nan)}),
        (None, {"0.rows.1": np.array([[np.inf, 1.0]] * 60)}),
        (None, {"0.rows.1": np.ones((60, 2))}),
        (lambda h: h["tasks"]["test/toy"]["metrics"]["bleu-1"].update(value=0.5), {}),
        (lambda h: h["tasks"]["test/toy"]["metrics"]["bleu-1"].update(value=None), {}),
    ],
)
def test_a_header_that_does_not_fit_is_a_damaged_file(
    change: Any, arrays: dict[str, Any], runs: tuple[Path, Path], tmp_path: Path
) -> None:
    write_baseline(runs[1], file := tmp_path / "b.npz")
    rewritten(file, change, **arrays)
    with pytest.raises(DataError, match=r"b\.npz: damaged baseline file") as error:
        check(runs[0], file)
    assert "radbench baseline RUN -o FILE" in error.value.remedy


def test_a_value_that_is_another_than_its_rows_is_named(runs: tuple[Path, Path], tmp_path: Path) -> None:
    write_baseline(runs[1], file := tmp_path / "b.npz")
    rewritten(file, lambda h: h["tasks"]["test/toy"]["metrics"]["exact-match"].update(value=0.625))
    with pytest.raises(DataError, match=r"exact-match is 0\.625 in the header, 0\.\d+ by its rows"):
        check(runs[0], file)
    results = json.loads((runs[1] / "results.json").read_text())
    results["tasks"]["test/toy"]["metrics"]["exact-match"]["value"] = 0.625
    (runs[1] / "results.json").write_text(json.dumps(results))
    with pytest.raises(DataError, match="do not follow from the statistics") as refused:
        write_baseline(runs[1], tmp_path / "other.npz")
    assert "radbench score" in refused.value.remedy
    assert not (tmp_path / "other.npz").exists()


def test_rows_of_scores_that_a_model_did_not_give_are_no_damage(text_task: TaskWriter, tmp_path: Path) -> None:
    """Curves hold nan where a class has no score, ranked boxes -1 in their free slots and minus infinity without one."""
    metric = find_metric("auroc")
    rows = np.array([[0.9, np.nan, 1, 0], [0.2, np.nan, 0, 1], [np.nan, np.nan, 1, 0], [0.4, np.nan, 0, 1]])
    measure = Measure(metric, ("a", "b"), rows)
    baseline_file.check_value("auroc", measure, point(measure))
    with pytest.raises(ValueError, match="by its rows"):
        baseline_file.check_value("auroc", measure, point(measure) + 1e-6)
    baseline_file.check_value("auroc", Measure(metric, ("a", "b"), rows * np.nan), float("nan"))
    boxes = Measure(find_metric("map50"), ("a",), np.array([[1, -np.inf, 1.0, 0, -1.0], [1, 0, -1.0, 0, -1.0]]))
    baseline_file.check_value("map50", boxes, point(boxes))
    assert 0 < point(boxes) < 1


def test_rows_of_restricted_data_without_the_word_that_they_stay_are_refused(
    text_task: TaskWriter, tmp_path: Path
) -> None:
    run, file = restricted(text_task, tmp_path), tmp_path / "b.npz"
    write_baseline(run, file, local_only=True)
    rewritten(file, lambda header: header.update(local_only=False))
    with pytest.raises(DataError, match=r"rows of credentialed data \(test/secret\)") as refused:
        open_baseline(file)
    assert "--local-only" in refused.value.remedy


def test_objects_are_never_loaded(runs: tuple[Path, Path], tmp_path: Path) -> None:
    write_baseline(runs[1], file := tmp_path / "b.npz")
    rewritten(file, None, **{"0.ids": np.array([open] * 60, object)})
    with pytest.raises(DataError, match="objects are never loaded"):
        check(runs[0], file)


def test_sizes_are_looked_at_before_anything_is_made(
    runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_baseline(runs[1], file := tmp_path / "b.npz")
    lying = io.BytesIO()
    np.lib.format.write_array_header_1_0(lying, {"descr": "<f8", "fortran_order": False, "shape": (1 << 50, 2)})
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, lying.getvalue() if name == "0.rows.0.npy" else data)
    with pytest.raises(DataError, match="an array of another size than it claims"):
        check(runs[0], file)
    write_baseline(runs[1], whole := tmp_path / "whole.npz")
    monkeypatch.setattr("radbench.npz.MOST_BYTES", 1000)
    with pytest.raises(DataError, match="no baseline file"):
        check(runs[0], whole)


def test_any_cut_is_one_clear_error(runs: tuple[Path, Path], tmp_path: Path) -> None:
    write_baseline(runs[1], file := tmp_path / "b.npz")
    whole = file.read_bytes()
    for end in {*range(0, len(whole), 211), len(whole) - 1}:
        file.write_bytes(whole[:end])
        with pytest.raises(DataError):
            check(runs[0], file)


def test_any_changed_byte_is_found_or_harmless(runs: tuple[Path, Path], tmp_path: Path) -> None:
    write_baseline(runs[1], file := tmp_path / "b.npz")
    whole = file.read_bytes()
    statistics = open_baseline(file).statistics("test/toy", METRICS)
    chance = random.Random(0)
    found = 0
    for _ in range(400):
        at = chance.randrange(len(whole))
        file.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << chance.randrange(8))]) + whole[at + 1 :])
        try:
            again = open_baseline(file).statistics("test/toy", METRICS)
        except DataError:
            found += 1
            continue
        assert np.array_equal(again.ids, statistics.ids)
        assert all(np.array_equal(again.measures[m].rows, statistics.measures[m].rows) for m in METRICS)
    assert found > 200


def test_a_full_disk_leaves_the_old_baseline(
    runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_baseline(runs[1], file := tmp_path / "b.npz")
    before = file.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(radbench.RadbenchError, match="No space left on device"):
        write_baseline(runs[0], file)
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".b.npz")] == []


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(min_size=1, max_size=12).map(lambda b: b.rstrip(b"\0") or b"x"), unique=True, max_size=40))
def test_digests_keep_samples_apart(ids: list[bytes]) -> None:
    found = baseline_file.digests(np.array(ids, "S12"))
    assert found.dtype == "S8"
    assert len(set(found.tolist())) == len(ids)


def test_an_incomplete_run_makes_no_baseline(runs: tuple[Path, Path], tmp_path: Path) -> None:
    results = json.loads((runs[1] / "results.json").read_text())
    (runs[1] / "results.json").write_text(json.dumps({**results, "complete": False}))
    with pytest.raises(DataError, match="incomplete"):
        write_baseline(runs[1], tmp_path / "b.npz")
