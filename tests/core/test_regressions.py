"""What once went wrong, each as a test: silently wrong numbers, lost answers, runs that could not finish, leaks."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import radbench
from radbench.answers import encode_answer
from radbench.errors import ConfigError, DataError, Exit, ModelError, RadbenchError, ResumeError
from radbench.folder import RunFolder, Shard
from radbench.images import load_mask
from radbench.records import Answer, Box, Image, Mask, Request
from radbench.registry import find_metric, find_tasks


def classification(tmp_path: Path, rows: list[dict[str, Any]], name: str = "t", **fields: Any) -> str:
    """A two-class task over text questions; returns its file."""
    data = {"table": f"{name}.jsonl", "access": "open", **fields.pop("data", {})}
    task = {"name": name, "kind": "classification", "choices": ["a", "b"], "prompt": "{id}", "data": data, **fields}
    (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / f"{name}.yaml").write_text(json.dumps(task))
    return str(tmp_path / f"{name}.yaml")


def rows(n: int = 40, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"s{i}", "answer": "ab"[i % 2], **more} for i in range(n)]


def entry(evaluation: Any, metric: str = "accuracy") -> dict[str, Any]:
    (task,) = evaluation.results["tasks"].values()
    return dict(task["metrics"][metric])


def test_two_functions_of_one_name_do_not_share_answers(tmp_path: Path) -> None:
    task = classification(tmp_path, rows(10))

    def make(word: str) -> Any:
        return lambda request: word

    for models in (
        [make("a"), make("b")],
        [lambda r: "a", lambda r: "b"],
        [functools.partial(say, word=w) for w in "ab"],
    ):
        radbench.evaluate(models[0], task, out=tmp_path / "run")
        with pytest.raises(ResumeError, match=r"model\.state"):
            radbench.evaluate(models[1], task, out=tmp_path / "run")
        import shutil

        shutil.rmtree(tmp_path / "run")


def say(request: Request, word: str) -> str:
    return word


def test_learning_from_the_evaluated_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'split'"):
        radbench.evaluate("majority", classification(tmp_path, rows(), support="train"), out=tmp_path / "r")
    shared = [{**r, "split": s} for r in rows(4) for s in ("train", "test")]
    with pytest.raises(ConfigError, match="lies in the support split and in 'test'"):
        radbench.evaluate("majority", classification(tmp_path, shared, support="train"), out=tmp_path / "r")
    with pytest.raises(ConfigError, match="support split 'trian' has no sample"):
        good = [{**r, "split": "test"} for r in rows(4)]
        radbench.evaluate("majority", classification(tmp_path, good, support="trian"), out=tmp_path / "r")


def test_answers_learned_for_one_label_do_not_serve_another(tmp_path: Path) -> None:
    table = [{"id": f"s{i}", "l1": "a", "l2": "b", "split": "train" if i % 2 else "test"} for i in range(10)]
    tasks = [
        classification(tmp_path, table, n, support="train", data={"columns": {"answer": column}})
        for n, column in (("one", "l1"), ("two", "l2"))
    ]
    evaluation = radbench.evaluate("majority", tasks, out=tmp_path / "run")
    assert evaluation.results is not None
    assert [t["metrics"]["accuracy"]["value"] for t in evaluation.results["tasks"].values()] == [1.0, 1.0]


def test_a_changed_task_file_is_another_run(tmp_path: Path) -> None:
    table = [{"id": f"s{i}", "l1": "a", "l2": "b", "pat": f"p{i // 5}"} for i in range(20)]
    radbench.evaluate(
        "constant:a", classification(tmp_path, table, data={"columns": {"answer": "l1"}}), out=tmp_path / "r"
    )
    for columns in ({"answer": "l2"}, {"answer": "l1", "cluster": "pat"}):
        with pytest.raises(ResumeError, match="data: the folder has"):
            radbench.evaluate(
                "constant:a", classification(tmp_path, table, data={"columns": columns}), out=tmp_path / "r"
            )


def test_a_replaced_picture_is_asked_again_after_the_run_was_complete(tmp_path: Path) -> None:
    from PIL import Image as PIL

    for i in range(3):
        PIL.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / f"{i}.png")
    task = classification(tmp_path, [{"id": f"s{i}", "answer": "a", "image": f"{i}.png"} for i in range(3)])
    assert radbench.evaluate("constant:a", task, out=tmp_path / "r").outcome.asked == 3
    assert radbench.evaluate("constant:a", task, out=tmp_path / "r").outcome.asked == 0
    PIL.fromarray(np.full((9, 9), 7, np.uint8)).save(tmp_path / "1.png")
    assert radbench.evaluate("constant:a", task, out=tmp_path / "r").outcome.asked == 1


def test_draws_of_a_sample_are_one_cluster(tmp_path: Path) -> None:
    task = classification(tmp_path, rows())
    once = entry(radbench.evaluate("constant:a", task, out=tmp_path / "one"))
    often = entry(radbench.evaluate("constant:a", task, out=tmp_path / "many", draws=16))
    assert (often["low"], often["high"]) == (once["low"], once["high"])


def test_columns_swapped_by_name_null_patients_and_late_columns(tmp_path: Path) -> None:
    table = [{"uid": f"u{i}", "id": f"p{i // 4}", "answer": "a"} for i in range(8)]
    task = find_tasks([classification(tmp_path, table, data={"columns": {"id": "uid", "cluster": "id"}})])[0]
    samples = list(task.dataset.open(radbench.dataset.DataLocations()).samples("test"))
    assert [(s.id, s.cluster) for s in samples[3:5]] == [("u3", "p0"), ("u4", "p1")]
    nulls = [{"id": "x", "answer": "a", "cluster": None}, {"id": "y", "answer": "a", "cluster": "p", "image": "a.png;"}]
    task = find_tasks([classification(tmp_path, nulls, "nulls")])[0]
    first, second = task.dataset.open(radbench.dataset.DataLocations()).samples("test")
    assert (first.cluster, first.images) == (None, ())
    assert [Path(i.path).name for i in second.images] == ["a.png"]
    with pytest.raises(ConfigError, match="columns"):
        find_tasks([classification(tmp_path, nulls, "typo", data={"columns": {"clutser": "p"}})])


def test_masks_keep_their_stored_labels(tmp_path: Path) -> None:
    from PIL import Image as PIL

    ones = np.ones((6, 6), np.uint16)
    PIL.fromarray(ones).save(tmp_path / "sixteen.png")
    labels = np.array([[0, 1, 2]] * 3, np.uint8)
    palette = PIL.fromarray(labels, "P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "palette.png")
    np.savez(tmp_path / "flags.npz", mask=np.ones((4, 4), bool))
    np.savez(tmp_path / "labels.npz", only=labels)
    assert load_mask(Mask(image=Image(str(tmp_path / "sixteen.png")))).all()
    assert load_mask(Mask(image=Image(str(tmp_path / "flags.npz")))).all()
    for name in ("palette.png", "labels.npz"):
        for value in (1, 2):
            got = load_mask(Mask(image=Image(str(tmp_path / name)), values=(value,)))
            assert (got == (labels == value)).all(), (name, value)


def test_two_tasks_of_one_name_and_metrics_that_do_not_fit_are_refused_before_asking(tmp_path: Path) -> None:
    first = classification(tmp_path, rows(4))
    (tmp_path / "other.yaml").write_text(Path(first).read_text().replace("{id}", "Well, {id}?"))
    with pytest.raises(ConfigError, match="another task is called 't'"):
        find_tasks([first, str(tmp_path / "other.yaml")])
    with pytest.raises(ConfigError, match="metric 'dice' scores Mask targets; task 'm' has Labels"):
        radbench.evaluate("constant:a", classification(tmp_path, rows(4), "m", metrics=["dice"]), out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "spec", ["bleu:n=zero", "bleu:tok=xyz", "bleu:n=0", "f1:average=balanced", "f1:over=all", "dice:empty=foo"]
)
def test_options_of_metrics_are_checked(spec: str) -> None:
    with pytest.raises(ConfigError, match="its options are"):
        find_metric(spec)


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"limit": 0}, {"draws": 0}, {"resamples": 0}, {"level": 1.5}, {"limit": "x"}], ids=str
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        radbench.evaluate("constant:a", classification(tmp_path, rows(4)), out=tmp_path / "r", **wrong)
    assert not (tmp_path / "r").exists()


def test_scoring_again_needs_no_model_but_the_same_data(tmp_path: Path) -> None:
    from radbench.cli.work import score

    task = classification(tmp_path, rows(10))
    radbench.evaluate(lambda request: "a", task, out=tmp_path / "r")
    before = (tmp_path / "r" / "results.json").read_bytes()
    assert score(str(tmp_path / "r"), None, None, None, None, False) == 0
    assert (tmp_path / "r" / "results.json").read_bytes() == before
    table = tmp_path / "t.jsonl"
    table.write_text(table.read_text().replace('"a"', '"b"'))
    with pytest.raises(ResumeError, match="data: the folder has"):
        score(str(tmp_path / "r"), None, None, None, None, False)


def test_a_run_can_be_scored_with_other_metrics(tmp_path: Path) -> None:
    task = classification(tmp_path, rows(10))
    radbench.evaluate("constant:a", task, out=tmp_path / "r")
    Path(task).write_text(Path(task).read_text().replace('"kind"', '"metrics": ["f1-micro"], "kind"'))
    again = radbench.evaluate("constant:a", task, out=tmp_path / "r")
    assert again.outcome.asked == 0
    assert entry(again, "f1-micro")["value"] == pytest.approx(0.5)


def test_shards_with_a_failing_sample_are_scored_and_incomplete(tmp_path: Path) -> None:
    task = classification(tmp_path, rows(20))

    def flaky(request: Request) -> str:
        if request.sample == "s3":
            raise ValueError("no")
        return "a"

    results = [radbench.evaluate(flaky, task, out=tmp_path / "r", shard=f"{i}/2") for i in (1, 2)]
    assert results[1].results is not None
    assert results[1].exit_code() == Exit.INCOMPLETE


class Streams:
    """A model that yields what the test tells it to."""

    capabilities = frozenset({"text"})

    def __init__(self, behaviour: str) -> None:
        self.behaviour = behaviour

    def fingerprint(self) -> dict[str, str]:
        return {"name": self.behaviour}

    def answer(self, requests: Iterable[Request]) -> Iterator[Any]:
        for i, request in enumerate(requests):
            if i == 3:
                if self.behaviour == "raises":
                    raise RuntimeError("out of memory")
                if self.behaviour == "bare":
                    yield Answer(text="a")
                if self.behaviour == "twice":
                    yield request, Answer(text="a")
                if self.behaviour == "stops":
                    return
            yield request, Answer(text="a")


@pytest.mark.parametrize("behaviour", ["raises", "bare", "twice"])
def test_a_model_that_breaks_its_contract_ends_in_one_message_and_a_resumable_folder(
    behaviour: str, tmp_path: Path
) -> None:
    task = classification(tmp_path, rows(10))
    with pytest.raises(ModelError):
        radbench.evaluate(Streams(behaviour), task, out=tmp_path / "r")
    assert len((tmp_path / "r" / "answers" / "1-of-1.jsonl").read_text().splitlines()) >= 3


def test_a_model_that_stops_early_leaves_the_run_incomplete(tmp_path: Path) -> None:
    evaluation = radbench.evaluate(Streams("stops"), classification(tmp_path, rows(10)), out=tmp_path / "r")
    assert evaluation.exit_code() == Exit.INCOMPLETE
    assert "7 samples have no answer yet" in evaluation.table()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(boxes=(Box("disk", *(np.float32(v) for v in (1, 2, 3, 4)), score=np.float32(1)),)),  # type: ignore[arg-type]
        Answer(boxes=(Box("disk", 0, 0, float("nan"), 1),)),
        Answer(boxes=({"label": "disk"},)),  # type: ignore[arg-type]
        Answer(text=5),  # type: ignore[arg-type]
        Answer(mask=5),  # type: ignore[arg-type]
        Answer(text='[{"label": "disk", "box": [0, 0, 1' + "0" * 400 + ", 9]}]"),
        None, 5, ["x"], {"a": 1},
    ],
    ids=str,
)  # fmt: skip
def test_whatever_a_model_returns_is_scored_or_counted(answer: Any, tmp_path: Path) -> None:
    task = str(Path(__file__).parents[2] / "examples" / "own_data" / "detection.yaml")
    evaluation = radbench.evaluate(lambda request: answer, task, out=tmp_path / "r")
    assert evaluation.results is not None
    (found,) = evaluation.results["tasks"].values()
    assert found["n"] == 8


def test_an_unreadable_reference_mask_is_left_out_and_counted(tmp_path: Path) -> None:
    from PIL import Image as PIL

    table = []
    for i in range(4):
        PIL.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / f"{i}.png")
        table.append({"id": f"s{i}", "image": f"{i}.png", "mask": f"{i}.png"})
    PIL.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / "broken.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "broken.png").read_bytes()[:40])
    table[2]["mask"] = "broken.png"
    task = classification(tmp_path, table, kind="segmentation", choices=[], prompt="Segment.")
    evaluation = radbench.evaluate(lambda r: np.ones((8, 8), bool), task, out=tmp_path / "r")
    assert evaluation.results is not None
    (found,) = evaluation.results["tasks"].values()
    assert (found["n"], found["unscorable"]) == (3, 1)
    assert evaluation.exit_code() == Exit.INCOMPLETE
    table[2]["mask"] = "nowhere.png"
    with pytest.raises(DataError, match=r"line 3: mask is 'nowhere\.png'"):
        radbench.evaluate(
            "constant:a", classification(tmp_path, table, "m", kind="segmentation", choices=[]), out=tmp_path / "q"
        )


@pytest.mark.parametrize("model", ["majority", "knn", "oracle"])
def test_a_broken_pool_mask_is_left_out_and_the_run_goes_on(model: str, tmp_path: Path) -> None:
    from PIL import Image as PIL

    table = []
    for i in range(6):
        PIL.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / f"{i}.png")
        table.append({"id": f"s{i}", "image": f"{i}.png", "mask": f"{i}.png", "split": "test" if i > 3 else "train"})
    for i in (0, 5):
        (tmp_path / f"m{i}.png").write_bytes(b"not a picture")
        table[i]["mask"] = f"m{i}.png"
    task = classification(tmp_path, table, kind="segmentation", choices=[], prompt="Segment.", support="train")
    evaluation = radbench.evaluate(model, task, out=tmp_path / "r")
    assert entry(evaluation, "dice")["value"] == 1.0
    (found,) = evaluation.results["tasks"].values()  # type: ignore[index]
    assert (found["n"], found["unscorable"]) == (1, 1)


def test_odd_paths_in_a_table_are_counted_failures(tmp_path: Path) -> None:
    table = [
        {"id": f"s{i}", "answer": "a", "image": p}
        for i, p in enumerate(["a\x00b.png", "\ud800.png", "x" * 5000 + ".png", "empty.nrrd"])
    ]
    (tmp_path / "empty.nrrd").write_bytes(b"")
    evaluation = radbench.evaluate("constant:a", classification(tmp_path, table), out=tmp_path / "r")
    assert evaluation.results is not None
    (found,) = evaluation.results["tasks"].values()
    assert found["failures"] == {"input": 4}
    assert evaluation.exit_code() == Exit.INCOMPLETE  # nothing could be read at all


def test_a_disk_that_fills_during_the_last_flush_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path / "r")
    folder.answers.mkdir(parents=True)
    with pytest.raises(RadbenchError, match="cannot write"), folder.writer(Shard()) as writer:
        writer.append(encode_answer(Request("t", "s", (), key=bytes(16)), Answer(text="x")))
        monkeypatch.setattr(writer, "_file", FullDisk(writer._file))
        with contextlib.suppress(RadbenchError):  # as the timer's thread does
            writer.flush()


class FullDisk:
    """A file whose disk is full."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_a_folder_whose_manifest_could_not_be_written_can_be_used_again(tmp_path: Path) -> None:
    (tmp_path / "r" / "answers").mkdir(parents=True)  # what a full disk, or another shard a moment earlier, leaves
    assert radbench.evaluate("constant:a", classification(tmp_path, rows(4)), out=tmp_path / "r").outcome.asked == 4


def test_a_replayed_file_is_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from radbench.cli.work import EngineOptions, resume

    task = classification(tmp_path, rows(2))
    (tmp_path / "p.jsonl").write_text('{"task": "t", "sample": "s0", "text": "a"}\n')
    monkeypatch.chdir(tmp_path)
    radbench.evaluate("replay:p.jsonl", task, out=tmp_path / "r")
    (tmp_path / "r" / "results.json").unlink()
    monkeypatch.chdir("/")
    assert resume(str(tmp_path / "r"), EngineOptions(), None, True) == 0


def test_a_folder_of_other_things_is_not_filled(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.docx").write_text("x")
    task = classification(tmp_path, rows(4))
    with pytest.raises(ResumeError, match="holds other files and no run"):
        radbench.evaluate("constant:a", task, out=tmp_path / "mine")
    with pytest.raises(RadbenchError, match="cannot be made"):
        radbench.evaluate("constant:a", task, out=tmp_path / "t.jsonl" / "x")


@pytest.mark.parametrize("name", ["my/../../evil", "..", "/abs", "x" * 300, "a b", ".hidden"])
def test_a_task_name_stays_below_its_folder(name: str, tmp_path: Path) -> None:
    path = classification(tmp_path, rows(4))
    Path(path).write_text(Path(path).read_text().replace('"name": "t"', f'"name": "{name}"'))
    with pytest.raises(ConfigError, match="name: "):
        find_tasks([path])


def test_restricted_ids_and_paths_stay_out_of_messages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from radbench.cli.work import RunOptions, dry_run

    table = [
        {"id": f"MRN-{i}", "answer": "a", "image": f"Smith_{i}.png", "split": s}
        for i, s in enumerate(("train", "test"))
    ]
    private = {"access": "credentialed"}
    task = classification(tmp_path, table, support="train", data=private)
    with pytest.raises(ConfigError) as caught:
        radbench.evaluate("knn", task, out=tmp_path / "r")
    slot = classification(tmp_path, table, "slot", prompt="{foo}", data=private)
    with pytest.raises(ConfigError) as missing:
        radbench.evaluate("constant:a", slot, out=tmp_path / "r2")
    options = RunOptions(None, "constant:a", [task], None, str(tmp_path / "d"), None, None, None, None, None)
    dry_run(options, False)
    printed = capsys.readouterr()
    for text in (str(caught.value), str(missing.value), printed.out, printed.err):
        assert "MRN" not in text
        assert "Smith" not in text


def test_multilabel_normal_studies_and_labels_with_commas_can_be_answered(tmp_path: Path) -> None:
    table = [
        {"id": "n", "answer": []},
        {"id": "x", "answer": ["normal, benign", "edema"]},
        {"id": "y", "answer": "edema"},
    ]
    task = classification(tmp_path, table, kind="multilabel", choices=["edema", "normal, benign"])
    evaluation = radbench.evaluate("oracle", task, out=tmp_path / "r")
    for metric in ("accuracy", "f1:over=fixed", "f1-micro"):
        assert entry(evaluation, metric)["value"] == 1.0


def test_results_of_both_calls_are_the_same_and_valid_json(tmp_path: Path) -> None:
    table = [{"id": "a", "boxes": []}]  # no structure at all: the metric has no value
    task = classification(tmp_path, table, kind="detection", choices=["a"])
    first, second = (radbench.evaluate(lambda r: [], task, out=tmp_path / "r") for _ in range(2))
    assert first.results == second.results
    assert json.loads(json.dumps(first.results, allow_nan=False)) == first.results


def test_many_subgroups_are_resampled_in_turns_with_the_same_values(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from radbench import statistics

    task = classification(tmp_path, rows(60, site="x"), strata=["site"])
    whole = radbench.evaluate("constant:a", task, out=tmp_path / "a").results
    monkeypatch.setattr(statistics, "_SUMS_BYTES", 1000)
    assert radbench.evaluate("constant:a", task, out=tmp_path / "b").results == whole


def test_failure_kinds_of_other_tools_are_no_failures(tmp_path: Path) -> None:
    task = classification(tmp_path, rows(2))
    lines = [
        {"task": "t", "sample": "s0", "text": "a", "status": "completed"},
        {"task": "t", "sample": "s1", "text": "b", "status": "größe"},
    ]
    (tmp_path / "p,x=1.jsonl").write_text("".join(json.dumps(x, ensure_ascii=False) + "\n" for x in lines))
    evaluation = radbench.evaluate(f"replay:{tmp_path / 'p,x=1.jsonl'}", task, out=tmp_path / "r")
    assert entry(evaluation)["value"] == 1.0
