"""The command line as people use it: in its own process, with its exit codes and messages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from radbench.dataset import DataLocations, Dataset, Lazy
from radbench.errors import DataError, Exit
from radbench.records import Image, Sample, Text
from radbench.task import Task

TaskWriter = Callable[..., Path]

HEAVY = {"torch", "transformers", "sklearn", "nltk", "scipy.stats", "pandas", "streamlit", "datasets", "nilearn"}


def radbench(
    *arguments: str, cwd: Path, path: Path | None = None, home: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path)} if path else dict(os.environ)
    if home:
        environment["HOME"] = str(home)
        environment.pop("XDG_CACHE_HOME", None)
    return subprocess.run(
        [sys.executable, "-m", "radbench", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["run", "--help"], ["list"], ["list", "metrics"], ["list", "models"],
     ["describe", "demo/modality"], ["describe", "bleu-1"], ["describe", "knn"], ["describe", "matching"], ["fetch", "weights"],
     ["describe", "metric", "radcliq-v1"], ["describe", "metric", "meteor"], ["describe", "metric", "umls-f1"]],
    ids=" ".join,
)  # fmt: skip
def test_commands_that_tell_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    script = f"""
import sys
sys.argv = ["radbench", *{arguments!r}]
from radbench.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = sorted({HEAVY!r} & set(sys.modules))
assert not heavy, heavy
if {arguments!r} in (["--help"], ["--version"]):
    assert "typer" not in sys.modules and "numpy" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_prepared_help_is_current() -> None:
    from radbench.cli.write_help import HELP, current_help

    assert HELP.read_text() == current_help(), "run: python -m radbench.cli.write_help"


def test_a_run_from_start_to_report(text_task: TaskWriter, tmp_path: Path) -> None:
    task = str(text_task(40))
    dry = radbench("run", "-m", "constant:yes", "-t", task, "--dry-run", cwd=tmp_path)
    assert "40 samples, 40 distinct requests" in dry.stdout
    assert "Question 2?" in dry.stdout
    assert not (tmp_path / "runs").exists()
    done = radbench("run", "-m", "constant:yes", "-t", task, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "exact-match ↑" in done.stdout
    assert "40 asked" in done.stdout
    assert "test/toy: 40/40 answers" in done.stderr  # plain progress lines where there is no terminal
    (run,) = (tmp_path / "runs").iterdir()
    again = radbench("resume", str(run), "--json", cwd=Path("/"))  # from anywhere
    assert json.loads(again.stdout)["results"]["complete"]
    assert again.stderr == ""
    scored = radbench("score", str(run), "--json", cwd=tmp_path)
    assert json.loads(scored.stdout)["tasks"]["test/toy"]["n"] == 40
    other = radbench("run", "--like", str(run), "-m", "constant:no", "-o", "other", cwd=tmp_path)
    assert other.returncode == 0, other.stderr
    assert "sex" in radbench("report", str(run), "--subgroups", cwd=tmp_path).stdout


def test_limits_and_failures_reach_the_exit_code(text_task: TaskWriter, tmp_path: Path) -> None:
    task = str(text_task(10))
    assert radbench("run", "-m", "constant:", "-t", task, "-o", "a", "--limit", "5", cwd=tmp_path).returncode == Exit.OK
    strict = radbench(
        "run", "-m", "constant:", "-t", task, "-o", "a", "--limit", "5", "--allow-failures", "0.1", cwd=tmp_path
    )
    assert strict.returncode == Exit.INCOMPLETE
    assert "PARTIAL" in strict.stdout


def test_predictions_of_anything_are_scored(text_task: TaskWriter, tmp_path: Path) -> None:
    task = str(text_task(6))
    lines = [{"task": "test/toy", "sample": f"q{i}", "text": "yes"} for i in range(5)] + [
        {"task": "test/toy", "sample": "zz", "text": "no"}
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = radbench("score", "--predictions", "p.jsonl", "-t", task, "-o", "scored", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)["results"]["tasks"]["test/toy"]
    assert found["failures"] == {"empty": 1}
    assert found["metrics"]["exact-match"]["value"] == pytest.approx(3 / 6)
    assert "1 predictions match no sample" in done.stderr


MISTAKES = {
    "unknown task": (["run", "-m", "knn", "-t", "demo/modalty"], "did you mean 'demo/modality'"),
    "unknown model": (["run", "-m", "kn", "-t", "demo/modality"], "unknown model 'kn'"),
    "unknown option of a model": (["run", "-m", "knn:j=3", "-t", "demo/modality"], "its options are: k"),
    "unknown metric": (["describe", "blue-1"], "did you mean 'bleu-1'"),
    "no task": (["run", "-m", "knn"], "no task given"),
    "no model": (["run", "-t", "demo/modality"], "no model given"),
    "no dataset": (
        ["run", "-m", "knn", "-t", "open/pneumoniamnist"],
        "data/pneumoniamnist\n  -> from: Zenodo record 10519652",
    ),
    "no run": (["report", "nowhere"], "no run folder"),
    "no such list": (["list", "metric"], "did you mean 'metrics'"),
    "wrong shard": (["run", "-m", "knn", "-t", "demo/modality", "--shard", "3/2"], "not i/n"),
    "no run file": (["run", "nothing.yaml"], "no such file"),
    "score nothing": (["score"], "give either a run folder or --predictions"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_message_and_exit_1(mistake: str, tmp_path: Path) -> None:
    arguments, message = MISTAKES[mistake]
    done = radbench(*arguments, cwd=tmp_path)
    assert done.returncode == Exit.FAILED
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "->" in done.stderr or mistake == "no run file"


def test_a_wrong_option_is_clicks_own_usage_error(tmp_path: Path) -> None:
    assert radbench("run", "--nope", cwd=tmp_path).returncode == Exit.USAGE


def test_doctor_names_the_command_that_helps(tmp_path: Path) -> None:
    done = radbench("doctor", cwd=tmp_path, home=tmp_path)
    assert done.returncode == 0
    lines = {line.split()[0]: line.split(maxsplit=2)[1:] for line in done.stdout.splitlines() if len(line.split()) > 2}
    assert lines["mni152"] == ["1", "ready"]
    assert lines["slake"][1] == "not at data/slake  ->  radbench data fetch slake"
    assert lines["wce"][1].startswith("not at data/wce  ->  radbench data check wce; from: Kaggle")
    assert lines["phantom"] == ["33", "made on first use (about 15 s, 21 MB)"]
    assert done.stdout.count("\nham10000 ") == 1  # once, however many tasks read it
    assert int(lines["ham10000"][0]) > 1
    extras = done.stdout.partition("datasets (")[0]
    assert "\n  data " in extras
    assert "get it from" not in done.stdout


def test_commands_that_tell_write_nothing(tmp_path: Path) -> None:
    told = radbench("describe", "phantom/detection-anatomy", cwd=tmp_path, home=tmp_path).stdout
    assert "data: made on first use (about 15 s, 21 MB)" in told
    assert "cases.jsonl, pictures/, labels/: a folder for each cohort below ~/.cache/radbench/phantom" in told
    assert 'Answer with a JSON list of {"label": name, "box": [x_min, y_min, x_max, y_max]}' in told  # as it is sent
    radbench("doctor", cwd=tmp_path, home=tmp_path)
    assert list(tmp_path.rglob("*phantom*")) == []


def test_an_unusable_home_stops_nobody_who_only_asks(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = radbench("doctor", cwd=tmp_path, home=tmp_path / "file")
    assert done.returncode == 0, done.stderr
    assert f"the phantom cohort cannot be written to {tmp_path / 'file'}" in done.stdout
    run = radbench("run", "-m", "constant:yes", "-t", "phantom/vqa", cwd=tmp_path, home=tmp_path / "file")
    assert run.returncode == Exit.FAILED
    assert f"the phantom cohort cannot be written to {tmp_path / 'file'}" in run.stderr
    assert "XDG_CACHE_HOME" in run.stderr


def test_lists_fit_a_screen_and_json_has_all(tmp_path: Path) -> None:
    for arguments in (["list", "tasks"], ["list", "metrics"], ["list", "suites"], ["data", "list"]):
        assert max(map(len, radbench(*arguments, cwd=tmp_path).stdout.splitlines())) <= 140, arguments
    tasks = json.loads(radbench("list", "tasks", "--json", cwd=tmp_path).stdout)
    assert next(t for t in tasks if t["task"] == "phantom/modality")["metrics"] == "accuracy, f1-macro"
    suites = json.loads(radbench("list", "suites", "--json", cwd=tmp_path).stdout)
    assert next(s for s in suites if s["suite"] == "open")["groups"] == "open/diagnosis"
    counted = radbench("list", "suites", cwd=tmp_path).stdout.splitlines()
    assert next(line for line in counted if line.startswith("radbench ")).split()[2] == "5"


class Listed:
    """A reader of as many samples as given a split, their pictures below a folder."""

    def __init__(self, folder: Path, splits: dict[str, int]) -> None:
        self._folder, self._splits = folder, splits

    def samples(self, split: str) -> Iterator[Sample]:
        if split not in self._splits:
            raise DataError(f"no split '{split}'")
        for i in range(self._splits[split]):
            yield Sample(f"{i}", None, {"answer": Text(("yes",))}, (Image(str(self._folder / f"{split}{i}.png")),))

    def fingerprint(self) -> str:
        return ""


READY = {
    "all there": ({"test": 40, "train": 3}, 40, 3, "ready"),
    "the first alone is there": ({"test": 40, "train": 3}, 1, 3, "7 of 8 picture files looked at in split 'test' are missing"),
    "a late one is missing": ({"test": 21, "train": 3}, 20, 3, "1 of 7 picture files looked at in split 'test' are missing"),
    "no such pool": ({"test": 3}, 3, 0, "ready; knn and majority lack split 'train'"),
    "an empty pool": ({"test": 3, "train": 0}, 3, 0, "ready; knn and majority: no sample in split 'train'"),
    "a pool without pictures": (
        {"test": 3, "train": 2}, 3, 0, "ready; knn and majority: 2 of 2 picture files looked at in split 'train' are missing",
    ),
    "nothing": ({"test": 0}, 0, 0, "no sample in split 'test'"),
}  # fmt: skip


@pytest.mark.parametrize("case", READY)
def test_ready_means_that_pictures_beyond_the_first_are_there(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from radbench.cli import catalogue

    splits, tests, trains, expected = READY[case]
    for name in (*(f"test{i}" for i in range(tests)), *(f"train{i}" for i in range(trains))):
        (tmp_path / f"{name}.png").touch()
    monkeypatch.setattr(Dataset, "open", lambda *_: Listed(tmp_path, splits))
    dataset = Dataset("toy", Lazy("nowhere:Reader"), "open", "CC0", "nowhere")
    task = Task("test/toy", 1, "toy", dataset, "test", ("?",), ("exact-match",), support="train")
    found = catalogue._readiness(task, DataLocations())
    assert found.removesuffix("  ->  radbench data check toy") == expected


def test_a_missing_companion_and_an_unreadable_file_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from radbench.cli import catalogue

    def unreadable(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/data/p10/secret.csv")

    pictures = Dataset("jpg", Lazy("nowhere:Reader"), "credentialed", "-", "an account", "jpg")
    dataset = Dataset("toy", Lazy("nowhere:Reader"), "credentialed", "-", "-", companions={"images": pictures})
    task = Task("test/toy", 1, "toy", dataset, "test", ("?",), ("exact-match",))
    state = catalogue._readiness(task, DataLocations(tmp_path))
    assert state == f"needs jpg: not at {tmp_path / 'jpg'}  ->  radbench data check jpg; from: an account"
    (tmp_path / "jpg").mkdir()
    monkeypatch.setattr(Dataset, "open", unreadable)
    state = catalogue._readiness(task, DataLocations(tmp_path))
    assert state == "a file: Permission denied  ->  radbench data check toy"  # names of restricted files can identify


def test_init_writes_a_task_that_runs(tmp_path: Path) -> None:
    assert radbench("init", "mine", cwd=tmp_path).returncode == 0
    file = tmp_path / "mine.yaml"
    file.write_text(file.read_text().replace("    image: image ", "    # image: image "))  # questions without pictures
    row = {"id": "a", "question": "Is there an effusion?", "answer": "yes", "split": "test"}
    (tmp_path / "samples.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "images").mkdir()
    done = radbench("run", "-m", "constant:yes", "-t", "mine.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "my/mine" in done.stdout
    assert radbench("init", "mine", cwd=tmp_path).returncode == Exit.FAILED


def test_restricted_data_do_not_show_in_a_dry_run(text_task: TaskWriter, tmp_path: Path) -> None:
    task = text_task(10)
    task.write_text(task.read_text().replace('"access": "open"', '"access": "credentialed"'))
    for extra in ([], ["--json"]):
        done = radbench("run", "-m", "constant:yes", "-t", str(task), "--dry-run", *extra, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Question" not in done.stdout
        assert "q0" not in done.stdout
        assert "not shown: credentialed data" in done.stdout


def test_control_characters_of_data_do_not_reach_the_terminal(tmp_path: Path) -> None:
    row = {"id": "a", "question": "x", "answer": "yes", "site": "\x1b[31mred"}
    (tmp_path / "t.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "t.yaml").write_text(
        "{name: t, kind: vqa, metrics: [exact-match], strata: [site], data: {table: t.jsonl, access: open}}"
    )
    radbench("run", "-m", "constant:yes", "-t", "t.yaml", "-o", "run", cwd=tmp_path)
    shown = radbench("report", "run", "--subgroups", cwd=tmp_path).stdout
    assert "\x1b" not in shown
    assert "\\x1b[31mred" in shown


def test_a_third_party_package_plugs_in_by_entry_points(tmp_path: Path) -> None:
    """The example package, laid out as pip installs it."""
    import shutil
    import tomllib

    plugin = Path(__file__).parents[2] / "examples" / "plugin"
    shutil.copytree(plugin / "radbench_example", tmp_path / "site" / "radbench_example")
    groups = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]["entry-points"]
    info = tmp_path / "site" / "radbench_example-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: radbench-example\nVersion: 1.0\n")
    text = "".join(
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()) for group, entries in groups.items()
    )
    (info / "entry_points.txt").write_text(text)
    done = radbench("run", "-m", "echo", "-t", "example/repeat", cwd=tmp_path, path=tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert "same-first-word ↑" in done.stdout
    assert "1.0000" in done.stdout
    assert "example/repeat" in radbench("list", cwd=tmp_path, path=tmp_path / "site").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "-m", "constant:CT", "-t", "demo/modality", "-o", "afile"], "the run folder cannot be made"),
        (["report", "afile"], "no run folder"),
        (["resume", "afile"], "no run folder"),
        (["run", "afolder"], "is a folder, expected a YAML file"),
        (["run", "-m", "constant:CT", "-t", "afolder/x.yaml"], "no such file"),
        (["run", "-m", "broken:f", "-t", "demo/modality"], "importing 'broken' failed: RuntimeError: at import"),
        (["run", "-m", "broken.py:f", "-t", "demo/modality"], "give the module without .py: broken:f"),
        (["run", "-m", "leaves:f", "-t", "demo/modality"], "importing 'leaves' failed: SystemExit"),
        (["run", "-m", "knn:k=zero", "-t", "demo/modality"], "k is 'zero', expected a whole number"),
        (["score", "--predictions", "latin.jsonl", "-t", "demo/modality"], "not JSON in UTF-8"),
        (["score", "--predictions", "other.jsonl", "-t", "demo/modality"], "no prediction of other.jsonl matches"),
        (["score", "--predictions", "nothing.jsonl", "-t", "demo/modality"], "no such predictions file"),
        (["init", "/"], "no file name"),
        (["init", "afile/x"], "afile"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_more_mistakes_of_paths_models_and_predictions(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "afile").write_text("x")
    (tmp_path / "afolder").mkdir()
    (tmp_path / "broken.py").write_text("raise RuntimeError('at import')")
    (tmp_path / "leaves.py").write_text("import sys; sys.exit(0)")
    (tmp_path / "latin.jsonl").write_bytes(b'{"task": "demo/modality", "sample": "\xe9", "text": "CT"}')
    (tmp_path / "other.jsonl").write_text('{"task": "x", "sample": "y", "text": "CT"}')
    done = radbench(*arguments, cwd=tmp_path)
    assert done.returncode == Exit.FAILED
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_plug_in_does_not_stop_the_others(tmp_path: Path) -> None:
    info = tmp_path / "site" / "bad-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[radbench.tasks]\nbad = bad_module:TASKS\n[radbench.metrics]\nbad = bad_module:M\n"
    )
    done = radbench("run", "-m", "constant:CT", "-t", "demo/modality", "-o", "r", cwd=tmp_path, path=tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert "the plug-in 'bad'" in done.stderr


# --- models that print, ask with examples or are described ---


@pytest.fixture
def printing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model that prints wherever it can; it claims several pictures, so that it takes examples."""
    (tmp_path / "prints.py").write_text(
        "from radbench.records import Answer\n"
        "class Prints:\n"
        "    capabilities = frozenset({'text', 'multi_image'})\n"
        "    def __init__(self): print('MADE')\n"
        "    def fingerprint(self): return {'adapter': 'test', 'name': 'prints'}\n"
        "    def answer(self, requests):\n"
        "        print('ASKED')\n"
        "        for request in requests: yield request, Answer(text='yes')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "prints", raising=False)
    return "prints:Prints"


@pytest.fixture
def with_support(tmp_path: Path) -> Callable[..., str]:
    """A task of three questions about a picture each, and a support split of four."""
    from PIL import Image as PIL

    def write(access: str = "open") -> str:
        rows = []
        for i, split in enumerate(["train"] * 4 + ["test"] * 3):
            PIL.frombytes("L", (8, 8), bytes((37 * i + 11 * j * j) % 256 for j in range(64))).save(
                tmp_path / f"{i}.png"
            )
            rows.append(
                {"id": f"s{i}", "question": f"What of {i}?", "answer": "yn"[i % 2], "image": f"{i}.png", "split": split}
            )
        (tmp_path / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        task = {"name": "test/t", "kind": "vqa", "metrics": ["exact-match"], "support": "train",
                "data": {"table": "t.jsonl", "access": access}}  # fmt: skip
        (tmp_path / "t.yaml").write_text(json.dumps(task))
        return str(tmp_path / "t.yaml")

    return write


def options_for(model: str, task: str, out: str, shots: int | None = None) -> Any:
    from radbench.cli.work import RunOptions

    return RunOptions(None, model, [task], None, out, None, None, None, 50, None, shots)


def test_json_is_all_that_standard_output_gets(
    printing: str, text_task: TaskWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    from radbench.cli import work

    options, here = options_for(printing, str(text_task(4)), "run"), work.EngineOptions()
    commands: list[Callable[[], int]] = [
        lambda: work.dry_run(options, True),
        lambda: work.run(options, here, None, 1.0, True),
        lambda: work.resume("run", here, None, True),
        lambda: work.score("run", None, None, None, None, True),
    ]
    for command in commands:
        assert command() == 0
        printed = capsys.readouterr()
        assert json.loads(printed.out)
    work.run(options_for(printing, str(text_task(4)), "other"), here, None, 1.0, False)
    assert "MADE\nASKED\n" in capsys.readouterr().out


def test_a_dry_run_shows_the_requests_as_the_model_gets_them(
    printing: str, with_support: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    from radbench.cli import work

    def shown(model: str, shots: int | None = None, access: str = "open") -> dict[str, Any]:
        work.dry_run(options_for(model, with_support(access), "run", shots), True)
        return json.loads(capsys.readouterr().out)["tasks"][0]  # type: ignore[no-any-return]

    bare, few = shown(printing), shown(printing, 2)
    assert (bare["images"], few["images"]) == (3, 9)
    assert [len(e["content"]) for e in bare["examples"]] == [2, 2, 2]
    for example in few["examples"]:
        assert sum("<image" in part for part in example["content"]) == 3
        assert sum(part.startswith("assistant: ") for part in example["content"]) == 2
        assert example["content"][-1].startswith("user: What of ")
    blind = shown(f"question_only({printing})")
    assert (blind["images"], blind["examples"][0]["content"]) == (0, ["user: What of 4?"])
    assert "What of" not in json.dumps(shown(printing, 2, "credentialed"))


def test_tables_name_a_regime_that_is_not_the_tasks_own(
    printing: str, with_support: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    from radbench.analysis.pairing import open_runs
    from radbench.cli import work
    from radbench.paper.table import paper_table

    task = with_support()
    work.run(options_for(printing, task, "few", 2), work.EngineOptions(), None, 1.0, False)
    work.run(options_for(printing, task, "bare"), work.EngineOptions(), None, 1.0, False)
    tables = capsys.readouterr().out
    assert "model: shots(prints,k=2) (few-shot:2)\n" in tables
    assert "model: prints\n" in tables
    labels = [c.label for c in paper_table(open_runs([Path("few"), Path("bare")])).columns]
    assert labels == ["shots(prints,k=2) (few-shot:2)", "prints"]


def test_every_model_can_be_described(capsys: pytest.CaptureFixture[str]) -> None:
    from radbench.cli import catalogue
    from radbench.registry import model_names

    for name in model_names():
        assert catalogue.describe(["model", name], None, False) == 0
        assert f"{name}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nltk", "--code"], "--revision, --code and --include go with model"),
     (["model", "--include", "checkpoint.pt"], "name one model")],
    ids=" ".join,
)  # fmt: skip
def test_options_of_fetching_a_model(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from radbench.cli import app

    done = CliRunner().invoke(app, ["fetch", *arguments])
    assert done.exit_code == Exit.FAILED
    assert message in done.stderr


def test_pickled_weights_are_fetched_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("huggingface_hub")
    from typer.testing import CliRunner

    from radbench.cli import app

    (tmp_path / "checkpoint.pt").touch()
    asked: list[list[str]] = []

    def fetched(name: str, *, allow_patterns: list[str], **_: Any) -> str:
        asked.append(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    command = ["fetch", "model", "someone/flamingo", "--code"]
    done = CliRunner().invoke(app, [*command, "--include", "checkpoint.pt", "--include", "*.bin"])
    assert "has no file *.bin" in done.stderr
    done = CliRunner().invoke(app, [*command, "--include", "checkpoint.pt"])
    assert done.exit_code == 0
    assert asked[-1][-2:] == ["*.py", "checkpoint.pt"]
    assert "weights_only" in done.stderr
    assert done.stdout == f"someone/flamingo: {tmp_path}\n"
    done = CliRunner().invoke(app, command)
    assert "--include checkpoint.pt" in done.stderr
