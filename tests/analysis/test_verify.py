"""The verifier: untouched bundles pass, whatever is changed is found, and a hostile one harms nobody."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pictures

import radbench
from radbench.bundle.checking import same
from radbench.bundle.export import export_run
from radbench.bundle.files import Unreadable, read_json, seal
from radbench.bundle.verify import Verified, verify
from radbench.bundle.verify_totals import _improbable
from radbench.cli import bundle as commands
from radbench.errors import ConfigError
from radbench.npz import NpzError, read_npz
from radbench.records import Answer, Request
from radbench.registry import find_metric

RESTRICTED, OPEN = "ward/closed", "ward/open"
TOTALS = f"stats/{RESTRICTED}/accuracy.npz"
ROWS = f"stats/{OPEN}/accuracy.npz"
IDS = f"stats/{OPEN}/samples.npz"


class Halfway:
    """Says the first label to two questions of three."""

    capabilities = frozenset({"text"})

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "test", "name": "halfway"}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for number, request in enumerate(requests):
            yield request, Answer(text="one" if number % 3 else "two")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a run over open and restricted labels."""
    root = tmp_path_factory.mktemp("bundles")
    tasks = []
    for name, access in ((OPEN, "open"), (RESTRICTED, "registered")):
        folder = root / access
        folder.mkdir()
        rows = [{"id": f"{access}{i}", "question": f"{access} {i}?", "answer": ("one", "two")[i % 2], "ward": f"w{i % 3}",
                 "patient": f"p{i // 2}", "image": "blank.png"} for i in range(160)]  # fmt: skip
        (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        task = {"name": name, "kind": "classification", "choices": ["one", "two"], "strata": ["ward"],
                "metrics": ["accuracy", "f1-macro"], "prompt": "{question} {choices}",
                "data": {"table": "table.jsonl", "access": access, "columns": {"cluster": "patient"}}}  # fmt: skip
        (folder / "t.yaml").write_text(json.dumps(task))
        Pictures.fromarray(np.zeros((2, 2), np.uint8)).save(folder / "blank.png")
        tasks.append(str(folder / "t.yaml"))
    radbench.evaluate(Halfway(), tasks, out=root / "run", resamples=120)
    with pytest.MonkeyPatch.context() as patch:  # the same secret resamples in every run of the tests
        patch.setattr("radbench.bundle.disclosure.secrets.randbits", lambda bits: 20)
        export_run(root / "run", root / "bundle", b"k" * 32)
    return root / "bundle"


@pytest.fixture
def bundle(pristine: Path, tmp_path: Path) -> Path:
    shutil.copytree(pristine, tmp_path / "bundle")
    return tmp_path / "bundle"


def reseal(bundle: Path) -> None:
    """What somebody who changes a file would do next: list the new hashes."""
    index = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").unlink()
    seal(bundle, index["radbench"])


def edit_json(bundle: Path, name: str, change: Callable[[Any], None]) -> None:
    content = json.loads((bundle / name).read_text())
    change(content)
    (bundle / name).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def edit_arrays(bundle: Path, name: str, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    with np.load(bundle / name, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    change(arrays)
    np.savez_compressed(bundle / name, **arrays)  # type: ignore[arg-type]


def task_of(results: Any, name: str = OPEN) -> Any:
    return results["tasks"][name]


def set_in(path: str, value: Any) -> Callable[[Any], None]:
    """Sets ``a/b/c``; task names, which hold slashes, are written with a bar."""
    *parents, last = (part.replace("|", "/") for part in path.split("/"))

    def change(content: Any) -> None:
        for parent in parents:
            content = content[parent]
        assert content[last] != value
        content[last] = value

    return change


def flip_a_row(arrays: dict[str, np.ndarray]) -> None:
    arrays["rows"][7, 0] = 1 - arrays["rows"][7, 0]


def shift_totals(arrays: dict[str, np.ndarray]) -> None:
    arrays["totals"][3, 0] += 1


def better_point(arrays: dict[str, np.ndarray]) -> None:
    arrays["point"][0] += 2


def swap_clusters(arrays: dict[str, np.ndarray]) -> None:
    arrays["clusters"] = np.roll(arrays["clusters"], 1)


def shift_all_totals(arrays: dict[str, np.ndarray]) -> None:
    arrays["totals"][:, 0] += 40


def nudge_point(arrays: dict[str, np.ndarray]) -> None:
    arrays["point"][0] += np.ceil(0.6 * arrays["totals"][:, 0].std())


STATISTICS = {
    "a row": (ROWS, flip_a_row, "value is another"),
    "the clusters of samples": (IDS, swap_clusters, "low is another"),
    "one total": (TOTALS, shift_totals, "mean is another"),
    "the total of all samples": (TOTALS, better_point, "value is another"),
    "all totals": (TOTALS, shift_all_totals, "lies far from those of the resamples"),
    "the total by some of its error": (TOTALS, nudge_point, "lies far from those of the resamples"),
    "a subgroup": (IDS, lambda a: a["codes.ward"].__setitem__(0, 1), "n is another"),
    "the state": (ROWS.replace("accuracy", "f1-macro"), lambda a: a.update(state=np.array('["one"]')), "signature"),
}


@pytest.mark.parametrize("what", STATISTICS)
def test_a_changed_statistic_is_found_by_its_hash_and_by_computing(what: str, bundle: Path) -> None:
    name, change, message = STATISTICS[what]
    before = verify(bundle)
    assert before.faults == ()
    edit_arrays(bundle, name, change)
    naive = verify(bundle).faults
    assert any(f.file == name and "changed after the export" in f.message for f in naive)
    reseal(bundle)
    faults = verify(bundle).faults
    assert not any("changed after" in f.message for f in faults)
    assert any(message in f.line() for f in faults), [f.line() for f in faults]
    assert verify(bundle, before.digest).faults[0].file == "bundle.json"


TASK, CLOSED = "tasks/ward|open", "tasks/ward|closed"
RESULTS = {
    "a value": (f"{TASK}/metrics/accuracy/value", 0.9),
    "an end of an interval": (f"{TASK}/metrics/f1-macro/low", 0.4),
    "a value of a subgroup": (f"{TASK}/subgroups/ward/w1/metrics/accuracy/value", 0.9),
    "the size of a subgroup": (f"{TASK}/subgroups/ward/w1/n", 52),
    "the number of samples": (f"{TASK}/n", 161),
    "the number of patients": (f"{TASK}/clusters", 81),
    "a direction": (f"{TASK}/metrics/accuracy/better", "lower"),
    "a signature": (f"{TASK}/metrics/accuracy/signature", "accuracy|v:2"),
    "a value from totals": (f"{CLOSED}/metrics/accuracy/value", 0.9),
    "an interval from totals": (f"{CLOSED}/metrics/f1-macro/high", 0.9),
    "a spread": (f"{CLOSED}/metrics/f1-macro/se", 0.001),
    "the patients that count": (f"{CLOSED}/metrics/accuracy/clusters", 79),
    "the seed": ("seed", 1),
    "the resamples": ("resamples", 119),
    "the level": ("level", 0.9),
    "a version": (f"{TASK}/version", 2),
    "the access": (f"{CLOSED}/access", "open"),
    "the failures": (f"{TASK}/failures", {"empty": 900}),
    "whole where partial": ("partial", True),
}


@pytest.mark.parametrize("what", RESULTS)
def test_a_changed_result_is_found_by_its_hash_and_by_computing(what: str, bundle: Path) -> None:
    path, value = RESULTS[what]
    edit_json(bundle, "results.json", set_in(path, value))
    assert [f.file for f in verify(bundle).faults if "changed after" in f.message] == ["results.json"]
    reseal(bundle)
    faults = verify(bundle).faults
    assert faults
    last = path.rpartition("/")[2]
    if value not in ("open",):
        assert any(last in f.message or "failures" in f.message for f in faults), [f.line() for f in faults]


MANIFEST = {
    "the seed": ("seed", 3, True),
    "the model": ("model", {"name": "another"}, True),
    "a version of a task": (f"{TASK}/version", 7, True),
    "a regime": (f"{TASK}/regime", "fine-tuned", True),
    "an access": (f"{CLOSED}/access", "private", True),
    "the resamples": ("resamples", 5, True),
    "the limit": ("limit", 3, True),
    "the commit": ("git", None, False),
    "the date": ("created", "2020-01-01", False),
    "a split": (f"{TASK}/split", "train", False),
}


@pytest.mark.parametrize("what", MANIFEST)
def test_a_changed_manifest_is_found_by_its_hash_by_the_results_or_by_the_digest(what: str, bundle: Path) -> None:
    path, value, crosswise = MANIFEST[what]
    digest = verify(bundle).digest
    content = json.loads((bundle / "manifest.json").read_text())
    if what == "the commit":
        content["git"] = {"commit": "0" * 40, "dirty": False}
    else:
        set_in(path, value)(content)
    (bundle / "manifest.json").write_text(json.dumps(content))
    assert any(f.file == "manifest.json" and "changed after" in f.message for f in verify(bundle).faults)
    reseal(bundle)
    assert bool(verify(bundle).faults) == crosswise
    named = verify(bundle, digest).faults
    assert any("another bundle than the digest names" in f.message for f in named)


def test_other_ids_are_found_by_the_digest(bundle: Path) -> None:
    digest = verify(bundle).digest
    edit_arrays(bundle, IDS, lambda a: a.update(ids=a["ids"][::-1]))
    reseal(bundle)
    assert verify(bundle).faults == ()  # nothing follows from ids alone
    assert verify(bundle, digest).faults != ()
    assert verify(bundle, verify(bundle).digest.upper().replace("SHA256", "sha256")).faults == ()


# --- bundles that are no bundles ---


def outside(bundle: Path) -> None:
    (bundle.parent / "secret.txt").write_text("secret")
    edit_json(bundle, "bundle.json", lambda c: c["files"].update({"../secret.txt": sha256(b"secret").hexdigest()}))


def absolute(bundle: Path) -> None:
    edit_json(bundle, "bundle.json", lambda c: c["files"].update({"/etc/hostname": "0"}))


def linked(bundle: Path) -> None:
    (bundle / "stats" / "passwd").symlink_to("/etc/passwd")


def linked_folder(bundle: Path) -> None:
    (bundle / "more").symlink_to("/etc", target_is_directory=True)


def pipe(bundle: Path) -> None:
    os.mkfifo(bundle / "pipe")


def extra(bundle: Path) -> None:
    (bundle / "readme.html").write_text("<script>")


def unused(bundle: Path) -> None:
    shutil.copy(bundle / ROWS, bundle / "stats" / RESTRICTED / "rows.npz")
    reseal(bundle)


def rows_of_restricted_data(bundle: Path) -> None:
    shutil.copy(bundle / ROWS, bundle / TOTALS)
    reseal(bundle)


def restricted_made_open(bundle: Path) -> None:
    edit_json(bundle, "results.json", set_in(f"{CLOSED}/restricted", False))
    reseal(bundle)


def open_ids(bundle: Path) -> None:
    edit_arrays(bundle, IDS, lambda a: a.update(ids=np.array([f"patient {i}" for i in range(160)], "S32")))
    reseal(bundle)


def missing(bundle: Path) -> None:
    (bundle / ROWS).unlink()


def dropped(bundle: Path) -> None:
    (bundle / ROWS).unlink()
    reseal(bundle)


def no_results(bundle: Path) -> None:
    (bundle / "results.json").unlink()
    reseal(bundle)


def pickled(bundle: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(bundle.parent / "pwned"),))

    with zipfile.ZipFile(bundle / ROWS, "w") as archive:
        data = io.BytesIO()
        np.lib.format.write_array_header_1_0(data, {"descr": "|O", "fortran_order": False, "shape": (160, 2)})
        archive.writestr("rows.npy", data.getvalue() + pickle.dumps(Evil()))
    reseal(bundle)


def enormous(bundle: Path) -> None:
    with zipfile.ZipFile(bundle / ROWS, "w") as archive:
        data = io.BytesIO()
        np.lib.format.write_array_header_1_0(data, {"descr": "<f8", "fortran_order": False, "shape": (10**15, 2)})
        archive.writestr("rows.npy", data.getvalue())
    reseal(bundle)


def no_zip(bundle: Path) -> None:
    (bundle / ROWS).write_bytes(b"PK\x03\x04 no archive")
    reseal(bundle)


def deep(bundle: Path) -> None:
    (bundle / "results.json").write_text("[" * 200_000)
    reseal(bundle)


def not_a_number(bundle: Path) -> None:
    text = (bundle / "results.json").read_text()
    (bundle / "results.json").write_text(text.replace('"level": 0.95', '"level": NaN'))
    reseal(bundle)


def twice(bundle: Path) -> None:
    text = (bundle / "results.json").read_text()
    (bundle / "results.json").write_text(text.replace('"seed": 0', '"seed": 0, "seed": 0'))
    reseal(bundle)


def endless(bundle: Path) -> None:
    for name in ("results.json", "manifest.json"):
        edit_json(bundle, name, set_in("resamples", 10**12))
    reseal(bundle)


def unknown_metric(bundle: Path) -> None:
    def rename(content: Any) -> None:
        for entry in (task_of(content), *task_of(content)["subgroups"]["ward"].values()):
            entry["metrics"]["no-such-metric"] = entry["metrics"].pop("accuracy")

    edit_json(bundle, "results.json", rename)
    (bundle / ROWS).rename(bundle / ROWS.replace("accuracy", "no-such-metric"))
    reseal(bundle)


def made_up_subgroup(bundle: Path) -> None:
    def add(content: Any) -> None:
        wards = task_of(content)["subgroups"]["ward"]
        wards["x"] = wards["w1"]

    edit_json(bundle, "results.json", add)
    reseal(bundle)


def hidden_subgroup(bundle: Path) -> None:
    edit_json(bundle, "results.json", lambda c: task_of(c)["subgroups"]["ward"].pop("w1"))
    reseal(bundle)


def hidden_axis(bundle: Path) -> None:
    edit_json(bundle, "results.json", lambda c: task_of(c)["subgroups"].pop("ward"))
    reseal(bundle)


def hidden_metric(bundle: Path) -> None:
    def drop(content: Any) -> None:
        for entry in (task_of(content), *task_of(content)["subgroups"]["ward"].values()):
            del entry["metrics"]["accuracy"]

    edit_json(bundle, "results.json", drop)
    reseal(bundle)


def other_sample_count(bundle: Path) -> None:
    edit_json(bundle, "results.json", lambda c: task_of(c, RESTRICTED)["metrics"]["accuracy"].update(n=150))
    reseal(bundle)


def stated_as_totals_are(bundle: Path) -> None:
    def change(content: Any) -> None:
        task_of(content, RESTRICTED)["metrics"]["accuracy"].update({"from": "stated"})

    edit_json(bundle, "results.json", change)
    reseal(bundle)


def made_up_number(bundle: Path) -> None:
    edit_json(bundle, "results.json", lambda c: task_of(c)["metrics"]["accuracy"].update(p=0.001))
    reseal(bundle)


def told_class(bundle: Path) -> None:
    edit_json(bundle, "results.json", lambda c: task_of(c, RESTRICTED).update(classes={"one": 80}))
    reseal(bundle)


def wrong_shape(bundle: Path) -> None:
    edit_arrays(bundle, ROWS, lambda a: a.update(rows=a["rows"][:, :1]))
    reseal(bundle)


def short_rows(bundle: Path) -> None:
    edit_arrays(bundle, ROWS, lambda a: a.update(rows=a["rows"][:-1]))
    reseal(bundle)


def later_format(bundle: Path) -> None:
    edit_json(bundle, "bundle.json", set_in("version", 2))


HOSTILE: dict[Callable[[Path], None], str] = {
    outside: "which is no file of a bundle",
    absolute: "which is no file of a bundle",
    linked: "is a link or a device",
    linked_folder: "is a link or a device",
    pipe: "is a link or a device",
    extra: "readme.html: is not listed",
    unused: "belongs to no result",
    rows_of_restricted_data: "holds something else than totals",
    restricted_made_open: "rows of registered data",
    open_ids: "something else than keyed ids",
    missing: "is not there",
    dropped: "is missing",
    no_results: "is missing",
    pickled: "expected numbers or texts",
    enormous: "another size than it claims",
    no_zip: "is no file of arrays",
    deep: "nested too deeply",
    not_a_number: "NaN is no JSON number",
    twice: "a key stands twice",
    endless: "less than or equal to 100000",
    unknown_metric: "unknown metric 'no-such-metric'",
    made_up_subgroup: "no sample has it",
    hidden_subgroup: "it is missing",
    hidden_axis: "the subgroups of 'ward' are missing",
    hidden_metric: "belongs to no result",
    other_sample_count: "n is another",
    stated_as_totals_are: "is not stated as a bundle states a result",
    made_up_number: "nothing that follows",
    told_class: "more of restricted data",
    wrong_shape: "cannot be computed",
    short_rows: "rows of 160 samples",
    later_format: "of a format this radbench cannot read",
}


@pytest.mark.parametrize("change", HOSTILE, ids=lambda f: f.__name__)
def test_what_no_export_makes_is_refused_in_one_clear_line(change: Callable[[Path], None], bundle: Path) -> None:
    change(bundle)
    found = verify(bundle)
    lines = [fault.line() for fault in found.faults]
    assert any(HOSTILE[change] in line for line in lines), lines
    assert not (bundle.parent / "pwned").exists()
    assert all("\n" not in line for line in lines)


@pytest.mark.parametrize("spec", ["accuracy", "f1-macro", "bleu-4", "dice"])
def test_totals_of_few_samples_pass_and_a_third_of_an_error_does_not(spec: str) -> None:
    """Totals estimate the total without bias, also where the value that is made of them is bent."""
    rng = np.random.default_rng(0)
    for seed in range(20):
        n = 40
        metric = find_metric(spec)
        state = ("a", "b") if spec == "f1-macro" else ()
        width = len(metric.columns(state))  # type: ignore[attr-defined]
        rows = np.eye(width)[rng.integers(width, size=n)] if seed % 2 else rng.random((n, width)) ** 6
        counts = rng.multinomial(n, np.full(n, 1 / n), 1000)
        totals, point = counts @ rows, rows.sum(axis=0)
        assert _improbable(totals, point) is None
        assert _improbable(totals, point + 0.35 * totals.std(axis=0)) is not None
        moved = point.copy()
        moved[-1] -= 0.35 * totals[:, -1].std()
        assert _improbable(totals, moved) is not None


def test_what_would_take_for_ever_is_not_computed(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verify(bundle).faults == ()
    monkeypatch.setattr("radbench.bundle.checking.MOST_WORK", 100_000)
    found = verify(bundle)
    assert [fault.message for fault in found.faults] == ["not computed: more than 1e+05 resampled scores"]
    assert found.values < 20


def test_a_bundle_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"0" * 20_000_000)
    monkeypatch.setattr("radbench.npz.MOST_BYTES", 1_000_000)
    with pytest.raises(NpzError, match="more than"):
        read_npz(tmp_path / "bomb.npz")
    monkeypatch.setattr("radbench.bundle.files._JSON_BYTES", 10)
    (tmp_path / "a.json").write_text('{"a": "0123456789"}')
    with pytest.raises(Unreadable, match="larger than"):
        read_json(tmp_path / "a.json")


def test_an_empty_folder_and_none(tmp_path: Path) -> None:
    found = verify(tmp_path)
    assert found == Verified("", found.faults, 0, 0, 0, 0, False)
    assert found.faults[0].line() == "bundle.json: is missing"
    with pytest.raises(ConfigError, match="no folder"):
        commands.verify(str(tmp_path / "nothing"), None, as_json=False)


def test_the_command_names_file_task_metric_and_both_values(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_json(bundle, "results.json", set_in(f"{TASK}/metrics/accuracy/value", 0.875))
    reseal(bundle)
    assert commands.verify(str(bundle), None, as_json=False) == 1
    said = capsys.readouterr().out
    assert "results.json: ward/open: accuracy: value is another: stored 0.875, computed 0.5" in said
    assert "FAILED: 1 faults" in said
    assert commands.verify(str(bundle), None, as_json=True) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"]
    assert found["faults"][0]["stored"] == 0.875


def test_equality_is_to_nine_digits() -> None:
    assert same(0.123456789012, 0.1234567890121)
    assert not same(0.1234567, 0.1234568)
    assert same(None, None)
    assert not same(None, 0.0)
    assert not same(True, 1)
    assert same(1, 1.0)
