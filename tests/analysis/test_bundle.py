"""What a bundle tells: everything of open data, of restricted data nothing that a row, a name or an id can be read from."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pictures

import radbench
from radbench.analysis.pairing import ScoredRun, pair
from radbench.bundle.disclosure import FLOOR, Told, from_totals, nameless, told_of
from radbench.bundle.export import Exported, export_run
from radbench.bundle.key import keyed_ids, load_or_make_key
from radbench.bundle.verify import verify
from radbench.cli import bundle as commands
from radbench.errors import ConfigError, DataError, RadbenchError
from radbench.folder import RunFolder
from radbench.public import public_name, public_signature, public_spec
from radbench.records import Answer, Request
from radbench.registry import find_metric
from radbench.statfiles import TaskStatistics, load_statistics
from radbench.statistics import Clusters, Measure, cluster_sums, clusters_of, estimate, resample_counts

KEY = bytes(range(32))
LABELS = ("zqlabel-alpha", "zqlabel-beta")
RESAMPLES = 200
SAMPLES, PATIENTS = 300, 150  # neither is the number of resamples


class Guessing:
    """Right now and then, from the number that every question has."""

    capabilities = frozenset({"text"})

    def fingerprint(self) -> Mapping[str, str]:
        return {"adapter": "test", "name": "guessing:/zqhome/zqmodels/guess.bin", "server": "zqdir/zqsub/weights.pt"}

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for request in requests:
            said = " ".join(str(part) for message in request.messages for part in message.content)
            number = int(said.rpartition("zqnumber-")[2].split()[0].strip("?.,"))
            text = LABELS[number % 2 if number % 5 else 0]
            yield request, Answer(text=text if "zqlabel" in said else f"zqfinding-{number % 7} zqplace-{number % 5}")


def write_task(root: Path, name: str, kind: str, access: str, n: int = SAMPLES, **fields: Any) -> str:
    """A task file over a table whose every word is made up, with a picture a row where the task is a classification."""
    root.mkdir(parents=True)
    rows = []
    for i in range(n):
        row = {
            "zqcolumn-id": f"zqid-{access}-{i:05d}",
            "question": f"zqquestion zqnumber-{i} zqmarker-{i * 7919}?",
            "answer": f"zqfinding-{i % 7} zqplace-{i % 4} zqtruth-{i % 3}",
            "zqpatient": f"zqpatient-{access}-{i // 2:04d}",
            "zqsite": f"zqhospital-{'north' if i % 3 else 'south'}",
        }
        if kind == "classification":
            row |= {"image": f"zqpictures/zqscan-{i:05d}.png", "answer": LABELS[i % 2]}
        rows.append(row)
    if kind == "classification":
        (root / "zqpictures").mkdir()
        for i, row in enumerate(rows):
            Pictures.fromarray(np.full((4, 4), i % 256, np.uint8)).save(root / row["image"])
    (root / "zqtable.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"id": "zqcolumn-id", "cluster": "zqpatient"}
    task = {
        "name": name, "kind": kind, "strata": ["zqsite"], "title": f"zqtitle-{access}",
        "data": {"table": "zqtable.jsonl", "access": access, "columns": columns}, **fields,
    }  # fmt: skip
    path = root / "zqtask.yaml"
    path.write_text(json.dumps(task))
    return str(path)


@dataclass(frozen=True)
class Case:
    """A run over two restricted tasks and an open one, its bundle, and where the inputs lie."""

    run: Path
    bundle: Path
    inputs: Path
    exported: Exported


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    root = tmp_path_factory.mktemp("zqwork")
    inputs = root / "zqdata"
    text = ["exact-match", "token-f1", "bleu-1", "rouge-l", "cider", "same-report-pairs"]
    labels = ["accuracy", "f1-macro", f"f1:label={LABELS[0]}", "mcc", "auroc"]
    tasks = [
        write_task(inputs / "a", "hospital/reports", "vqa", "private", metrics=text, prompt="zqprompt-own {question}"),
        write_task(inputs / "b", "hospital/labels", "classification", "credentialed", metrics=labels,
                   choices=list(LABELS), prompt="{question} {choices}"),
        write_task(inputs / "c", "public/questions", "vqa", "open", n=90, metrics=["token-f1", "bleu-1"]),
    ]  # fmt: skip
    radbench.evaluate(Guessing(), tasks, out=root / "run", resamples=RESAMPLES)
    exported = export_run(root / "run", root / "bundle", KEY)
    return Case(root / "run", root / "bundle", inputs, exported)


def arrays_of(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    for path in sorted(folder.rglob("*.npz")):
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                yield f"{path.relative_to(folder)}:{name}", archive[name]


def everything(folder: Path) -> bytes:
    """All bytes of a folder: names, files, what is packed in them, and texts of arrays once more as UTF-8."""
    parts = [path.relative_to(folder).as_posix().encode() for path in folder.rglob("*")]
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        parts.append(path.read_bytes())
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                parts += [archive.read(name) for name in archive.namelist()]
    for _, array in arrays_of(folder):
        if array.dtype.kind == "U":
            parts += [str(text).encode() for text in array.ravel()]
    return b"\0".join(parts)


class Haystack:
    """Bytes that are searched for very many needles of at least eight bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._windows = {data[i : i + 8] for i in range(len(data) - 7)}

    def __contains__(self, needle: bytes) -> bool:
        assert len(needle) >= 8
        return needle[:8] in self._windows and needle in self._data


def input_texts(inputs: Path) -> set[str]:
    """Every cell, word, path, column and file name of the tasks' data."""
    found = {str(path) for path in inputs.rglob("*")} | {path.name for path in inputs.rglob("zq*")}
    for table in inputs.rglob("*.jsonl"):
        for line in table.read_text().splitlines():
            row = json.loads(line)
            found |= {text for text in (*row, *row.values()) if text.startswith("zq")}
            found |= {word.strip("?") for value in row.values() for word in value.split()}
    return {text for text in found if len(text) >= 8}


def hashed(text: str) -> Iterator[bytes]:
    """A text's plain hashes, raw and hex, whole and cut."""
    raw = text.encode()
    digests = [hashlib.new(name, raw) for name in ("md5", "sha1", "sha256", "sha512")]
    digests += [hashlib.blake2b(raw), hashlib.blake2s(raw), hashlib.blake2b(raw, digest_size=8)]
    for digest in digests:
        yield digest.digest()[:8]
        yield digest.hexdigest()[:16].encode()


def file_hashes(content: bytes) -> Iterator[bytes]:
    for name in ("md5", "sha1", "sha256"):
        yield hashlib.new(name, content).digest()[:8]
        yield hashlib.new(name, content).hexdigest()[:16].encode()


def test_the_search_finds_what_a_run_folder_holds(case: Case) -> None:
    """Else the next test would prove nothing."""
    hay = Haystack(everything(case.run))
    found = [text for text in input_texts(case.inputs) if text.encode() in hay]
    assert any(t.startswith("zqid-private") for t in found)
    assert any(t.startswith("zqhospital") for t in found)
    assert any(t.startswith(str(case.inputs)) for t in found)
    planted = case.bundle.parent / "planted"
    planted.mkdir()
    (planted / "x").write_bytes(b"..." + hashlib.sha256(b"zqid-private-00001").digest())
    assert any(needle in Haystack(everything(planted)) for needle in hashed("zqid-private-00001"))


def test_no_text_path_id_or_hash_of_restricted_inputs_is_in_a_bundle(case: Case) -> None:
    data = everything(case.bundle)
    hay = Haystack(data)
    texts = input_texts(case.inputs) - {"zqhospital-north", "zqhospital-south"}  # strata, of the open task too
    assert len(texts) > 2500
    needles = [(text, needle) for text in texts for needle in (text.encode(), *hashed(text))]
    files = [path for path in case.inputs.rglob("*") if path.is_file()]
    needles += [(path.name, digest) for path in files for digest in file_hashes(path.read_bytes())]
    identity = json.loads((case.run / "manifest.json").read_text())["identity"]["tasks"]
    for task in ("hospital/labels", "hospital/reports"):
        needles += [(f"{what} of {task}", identity[task][what].encode()) for what in ("data", "prompts")]
    assert [what for what, needle in needles if needle in hay] == []
    for secret in (
        KEY,
        KEY.hex().encode(),
        b"zqhome",
        b"zqmodels",
        b"zqdir",
        b"zqtitle-private",
        str(case.run).encode(),
    ):
        assert secret not in data
    for name in ("results.json", "manifest.json"):
        tasks = json.loads((case.bundle / name).read_text())["tasks"]
        assert "zq" not in json.dumps([tasks["hospital/labels"], tasks["hospital/reports"]])


def test_no_row_of_restricted_data_is_in_a_bundle(case: Case) -> None:
    results = json.loads((case.run / "results.json").read_text())["tasks"]
    seen = set()
    for name, array in arrays_of(case.bundle):
        if "stats/hospital/" in name:
            seen.add(name.rpartition(":")[2])
            assert not {SAMPLES, PATIENTS} & set(array.shape), name
            assert array.size < RESAMPLES * 10
    assert seen == {"totals", "point", "state", "clusters"}
    assert {results[t]["n"] for t in ("hospital/reports", "hospital/labels")} == {SAMPLES}
    assert not list((case.bundle / "stats" / "hospital").rglob("samples*"))


def test_a_bundle_verifies_and_says_what_it_leaves_out(case: Case) -> None:
    found = verify(case.bundle)
    assert found.faults == ()
    assert found.digest == case.exported.digest
    assert found.from_totals > 20
    assert found.values > found.from_totals
    assert case.exported.restricted == ("hospital/labels", "hospital/reports")
    assert case.exported.left_out == {"hospital/labels: f1 of one class": "its options name a class"}
    told = json.loads((case.bundle / "results.json").read_text())["tasks"]["hospital/labels"]
    assert (told["class_count"], told["small_classes"], told["n"], told["clusters"]) == (2, 0, SAMPLES, PATIENTS)
    assert told["metrics"]["f1-macro"]["from"] == "totals"
    assert told["metrics"]["auroc"]["from"] == "stated"
    reports = json.loads((case.bundle / "results.json").read_text())["tasks"]["hospital/reports"]["metrics"]
    stated = {name for name, entry in {**told["metrics"], **reports}.items() if entry["from"] == "stated"}
    assert stated == {"auroc", "cider", "same-report-pairs"}
    assert found.stated == 3


def test_the_intervals_of_restricted_data_agree_with_the_run_but_for_chance(case: Case) -> None:
    ours = json.loads((case.bundle / "results.json").read_text())["tasks"]
    theirs = json.loads((case.run / "results.json").read_text())["tasks"]
    compared = 0
    for task in ("hospital/reports", "hospital/labels"):
        for metric, entry in ours[task]["metrics"].items():
            run = theirs[task]["metrics"][metric]
            if run["low"] is None or entry["se"] == 0:
                continue
            compared += 1
            assert abs(entry["value"] - run["value"]) <= entry["se"] / 50
            # A 2.5 % quantile of B normal draws has the standard error 2.67 se / sqrt(B); two of them differ, at 5 of it.
            margin = 5 * 2.67 * 2**0.5 * entry["se"] / RESAMPLES**0.5
            assert abs(entry["low"] - run["low"]) < margin
            assert abs(entry["high"] - run["high"]) < margin
    assert compared >= 7


# --- why a secret seed ---


def rows_of(n: int = 120, patients: int = 40, seed: int = 5) -> tuple[Measure, Clusters]:
    scores = np.random.default_rng(seed).random(n)
    clusters = clusters_of([f"p{i % patients}" for i in range(n)])
    return Measure(find_metric("rouge-l"), (), np.stack([scores, np.ones(n)], axis=1)), clusters


def told_by(measure: Measure, clusters: Clusters, resamples: int = 400, spec: str = "rouge-l") -> Told:
    told = told_of(spec, measure, clusters, resamples, 0, 0.95)
    assert isinstance(told, Told)
    return told


def test_totals_under_a_public_seed_are_rows_and_under_a_secret_one_are_not() -> None:
    measure, clusters = rows_of()
    rows = cluster_sums(measure.rows, clusters)
    counts = np.concatenate([block.copy() for _, block in resample_counts(clusters, 400, seed=0)])
    solved = np.linalg.lstsq(counts, counts @ rows, rcond=None)[0]
    assert np.allclose(solved, rows, atol=1e-9)  # every patient's sum, exactly
    totals = told_by(measure, clusters).arrays["totals"]
    guess = np.linalg.lstsq(counts, totals, rcond=None)[0]
    assert np.abs(guess - rows)[:, 0].max() > 0.2
    assert abs(np.corrcoef(guess[:, 0], rows[:, 0])[0, 1]) < 0.6
    again = told_by(measure, clusters).arrays["totals"]
    assert not np.array_equal(totals, again)  # no seed that a second export would repeat


@pytest.mark.parametrize("seed", range(5))
def test_coarse_intervals_agree_with_the_engine(seed: int) -> None:
    measure, clusters = rows_of(300, 100, seed)
    own = estimate({0: measure}, clusters, 1000)[0]
    told = told_by(measure, clusters, 1000).entry
    margin = 5 * 2.67 * 2**0.5 * told["se"] / 1000**0.5
    assert abs(told["value"] - own.value) < told["se"] / 50
    assert abs(told["low"] - own.low) < margin
    assert abs(told["high"] - own.high) < margin
    assert told["mean"] == pytest.approx(own.value, abs=5 * told["se"] / 1000**0.5)


def test_small_cells_are_only_stated() -> None:
    metric = find_metric("f1-macro")
    many = np.zeros((400, 9))
    many[np.arange(400), 3 * (np.arange(400) % 3)] = 1
    many[:60, 1] = many[60:120, 5] = 1
    clusters = clusters_of([str(i) for i in range(400)])
    state = ("zqcommon", "zqusual", "zqrare")
    assert told_by(Measure(metric, state, many), clusters, spec="f1-macro").entry["from"] == "totals"
    few = many.copy()
    few[FLOOR - 1 :, 6] = 0
    told = told_by(Measure(metric, state, few), clusters, spec="f1-macro")
    assert told.entry["from"] == "stated"
    assert told.arrays == {}
    assert "zq" not in str(told)


def test_few_patients_and_many_columns_are_only_stated() -> None:
    """Ten columns of n-gram counts of 30 patients hold more than thirty unknown counts can hide."""
    rng = np.random.default_rng(0)
    bleu = find_metric("bleu-4")
    width = len(bleu.columns(()))  # type: ignore[attr-defined]
    rows = rng.integers(5, 90, (2000, width)).astype(float)
    few = Measure(bleu, (), rows[:30])
    assert told_by(few, clusters_of([str(i) for i in range(30)]), spec="bleu-4").entry["from"] == "stated"
    everyone = Measure(bleu, (), rows)
    assert told_by(everyone, clusters_of([str(i) for i in range(2000)]), spec="bleu-4").entry["from"] == "totals"


def alone(scores: list[float]) -> tuple[Measure, Clusters]:
    """A mean over patients with a score each."""
    rows = np.stack([np.array(scores, float), np.ones(len(scores))], axis=1)
    return Measure(find_metric("dice"), (), rows), clusters_of([str(i) for i in range(len(scores))])


SECRETS = [0.8137, 0.4621, 0.2933, 0.5512, 0.3371, 0.9043, 0.1289, 0.7717, 0.6161, 0.2399]


@pytest.mark.parametrize("usual", [0.0, 1.0])
@pytest.mark.parametrize("many", [1, 2, 3, 10])
def test_scores_of_a_few_patients_who_are_not_as_the_others_do_not_show(usual: float, many: int) -> None:
    """The smallest totals of 57 zeros and three scores are those scores; so no resample is told, and no digit of them."""
    told = told_by(*alone([usual] * (60 - many) + SECRETS[:many]), 1000, spec="dice")
    assert told.arrays == {}
    assert set(told.entry) == {"value", "low", "high", "defined", "se", "n", "clusters", "better", "signature", "from"}
    for key in ("value", "low", "high", "se"):
        share = told.entry[key] * 60
        assert share == pytest.approx(round(share), abs=1e-6)  # whole patients, whatever the scores are
    others = [min(1.0, score + 0.01) for score in SECRETS[:many]]
    assert told.entry["value"] == pytest.approx(
        np.mean([usual] * (60 - many) + others), abs=0.5 / 60 + many * 0.01 / 60
    )


def test_counts_stay_exact_where_few_are_wrong() -> None:
    measure, clusters = alone([1.0] * 55 + [0.0] * 5)
    told = told_by(Measure(find_metric("accuracy"), (), measure.rows), clusters, spec="accuracy").entry
    assert (told["from"], told["value"]) == ("stated", pytest.approx(55 / 60))
    measure, clusters = alone([1.0] * 40 + [0.0] * 20)
    told = told_by(Measure(find_metric("accuracy"), (), measure.rows), clusters, spec="accuracy").entry
    assert (told["from"], told["value"]) == ("totals", pytest.approx(40 / 60))


def test_without_a_known_scale_few_patients_are_left_out() -> None:
    class Unbounded(type(find_metric("dice"))):  # type: ignore[misc]
        def scale(self) -> None:
            return None

    measure, clusters = alone([0.0] * 57 + SECRETS[:3])
    told = told_of("dice", Measure(Unbounded(), (), measure.rows), clusters, 100, 0, 0.95)
    assert told == "fewer than 11 patients differ from the others, and its scale is not known"


@given(st.integers(0, 2**32), st.sampled_from([0.0, 1.0]), st.integers(0, 60), st.integers(1, 60))
def test_totals_are_told_only_where_enough_patients_differ(seed: int, usual: float, many: int, kinds: int) -> None:
    """The law: in every column none, or FLOOR who are alike, or twice FLOOR differ from the commonest row."""
    rng = np.random.default_rng(seed)
    scores = [usual] * (60 - many) + list(rng.choice(rng.random(kinds), many))
    told = told_of("dice", *alone(scores), 20, 0, 0.95)
    assert isinstance(told, Told)
    values, shared = np.unique(scores, return_counts=True)
    differ = 60 - shared.max()
    if told.arrays:
        assert shared.min() >= FLOOR or differ >= 2 * FLOOR
        assert differ == 0 or differ >= FLOOR
    elif len(values) > 1 and len(values) == differ + 1:
        assert differ < 2 * FLOOR  # distinct scores of so many hide each other


def test_few_resamples_are_told_however_many_the_run_has() -> None:
    told = told_by(*rows_of(), 3000)
    assert told.arrays["totals"].shape == (1000, 2)


def test_one_told_total_fits_very_many_draws_of_patients() -> None:
    """Of as few patients as have their totals told; an exact total would fit the one draw that made it."""
    scores = np.random.default_rng(3).random(2 * FLOOR + 1)
    measure, clusters = alone(list(scores))
    told = told_by(measure, clusters, 100, "dice").arrays["totals"][:, 0]
    assert told_by(*alone(list(scores[:-1])), 100, "dice").arrays == {}
    possible = (
        np.random.default_rng(0).multinomial(len(scores), np.full(len(scores), 1 / len(scores)), 400_000) @ scores
    )
    step = np.diff(np.unique(told)).min()
    fits = [int((np.abs(possible - total) <= step / 2).sum()) for total in told]
    assert np.median(fits) > 300  # of less than a millionth of all draws
    drawn = possible[::20000]
    assert all((np.abs(possible - total) < 1e-12).sum() == 1 for total in drawn)


def test_fewer_patients_than_the_floor_are_left_out() -> None:
    measure, clusters = rows_of(60, FLOOR - 1)
    assert "fewer than 11" in str(told_of("rouge-l", measure, clusters, 100, 0, 0.95))
    measure, clusters = rows_of(60, 30)
    measure.rows[10:] = 0  # a metric that counts ten samples
    assert "fewer than 11" in str(told_of("rouge-l", measure, clusters, 100, 0, 0.95))


def test_the_value_follows_from_the_totals_and_placeholders() -> None:
    state = ("zq-a", ("zq-b", 3, "zq-a"))
    assert nameless(state) == ("#1", ("#2", 3, "#1"))
    measure, clusters = rows_of()
    told = told_by(measure, clusters)
    found = from_totals(measure.metric, told.arrays, 0.95)
    assert found["value"] == pytest.approx(told.entry["value"])
    assert found["low"] == pytest.approx(told.entry["low"])


# --- names ---

segments = st.lists(
    st.text("abcXYZ01 ._-", min_size=2, max_size=9).filter(lambda s: s.strip(" .")), min_size=2, max_size=6
)


@given(segments, st.sampled_from(["/", "~/", "./", "../", "C:\\", "replay:/", "hf:path=/", "file:///", "http://"]))
def test_only_the_last_part_of_a_path_is_told(parts: list[str], start: str) -> None:
    separator = "\\" if start.endswith("\\") else "/"
    told = public_name(start + separator.join(["zqsecret", *parts]))
    assert "zqsecret" not in told
    assert "/" not in told
    assert "\\" not in told


HIDDEN = {
    "openai:url=https://u:zqpw@zqhost/v1": "openai:url=(url)",
    "openai:url=https://u:zq,p=w@zqhost/v1,model=org/m": "openai:url=(url),model=org/m",
    "openai:url=http://zqhost:8000": "openai:url=(url)",
    "openai:url=zqhost:8000": "openai:url=(url)",
    "openai:u:zqpw@zqhost": "openai:(url)",
    "openai:api_key=zqkey,model=gpt": "openai:api_key=(secret),model=gpt",
    "vllm:zqpatients/jane.gguf": "vllm:jane.gguf",
    "hf:zqpatients/jane.gguf": "hf:jane.gguf",
    "hf:/home/dr zq doe/m": "hf:m",
    "hf:C:\\Users\\zq me\\ckpt": "hf:ckpt",
    "hf:~zqjane": "hf:~",
    "x;/home/zq/m": "m",
    "(/home/zq/m)": "m)",
    "zqa b/c d/e": "e",
    "zqowner/name": "name",
}


@pytest.mark.parametrize("name", HIDDEN)
def test_addresses_passwords_and_folders_with_blanks_are_not_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert public_name(name) == HIDDEN[name]
    assert "zq" not in public_name(name)
    monkeypatch.chdir(tmp_path)
    for folder in ("org", "a"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m").touch()
    assert public_name("hf:org/m") == "hf:org/m"  # whatever lies in the present folder
    assert public_name("x:a/m") == "x:m"


@given(st.text("aA0.:/\\@~,=_- |(hf)", max_size=30), st.sampled_from(["", "hf:", "hf:/", "x:model=", "https://"]))
def test_a_name_made_public_twice_is_the_same(text: str, start: str) -> None:
    once = public_name(start + text)
    assert public_name(once) == once
    assert public_signature(public_signature(text)) == public_signature(text)


def test_signatures_keep_their_numbers() -> None:
    signature = "bertscore;model:owner/name;rescale:0.84732/0.84759504|v:1"
    assert public_signature(signature) == signature
    assert public_signature("x|weights:/zq/w.pt|v:1") == "x|weights:w.pt|v:1"


def test_names_that_are_no_paths_stay() -> None:
    for text in ("knn:k=5", "hf:owner/name", "python:module:function", "bleu|n:4|tok:13a", "a model of 7 B", ""):
        assert public_name(text) == text
    assert public_name("some/where/weights.pt") == "weights.pt"
    assert public_spec("chexbert-f1:weights=/data/x.pth,classes=5") == "chexbert-f1:classes=5"
    assert public_spec("bertscore:model=owner/name") == "bertscore:model=owner/name"
    assert public_spec("f1:label=1", {"1"}) is None
    assert public_spec("f1:macro,present,0,zqx", {"zqx"}) is None
    assert public_spec("f1:over=fixed,zero_division=1", {"1", "0"}) == "f1:over=fixed,zero_division=1"


# --- open data ---


def open_rows(bundle: Path) -> TaskStatistics:
    return load_statistics(RunFolder(bundle), "public/questions", ["token-f1", "bleu-1"])


def test_open_data_keep_rows_and_axes_under_keyed_ids(case: Case) -> None:
    plain, public = ScoredRun(case.run).statistics("public/questions"), open_rows(case.bundle)
    assert np.array_equal(public.ids, keyed_ids(KEY, plain.ids.tolist()))
    assert np.array_equal(clusters_of(public.clusters).codes, clusters_of(plain.clusters).codes)
    assert public.axes.keys() == {"zqsite"} < plain.axes.keys()  # lengths of single questions stay at home
    assert public.axes["zqsite"].tolist() == plain.axes["zqsite"].tolist()
    for name, measure in plain.measures.items():
        assert np.array_equal(public.measures[name].rows, measure.rows)
        ours, theirs = (
            json.loads((folder / "results.json").read_text())["tasks"]["public/questions"]["metrics"][name]
            for folder in (case.bundle, case.run)
        )
        assert ours == theirs


def test_bundles_of_one_key_can_be_paired_and_of_two_keys_cannot(case: Case, tmp_path: Path) -> None:
    export_run(case.run, tmp_path / "again", KEY)
    export_run(case.run, tmp_path / "other", KEY[::-1])
    first, again, other = map(open_rows, (case.bundle, tmp_path / "again", tmp_path / "other"))
    assert pair([first, again], ["token-f1"]).n == 90
    assert pair([first, other], ["token-f1"]).n == 0


def test_an_open_bundle_is_the_same_to_the_byte_and_replaced_whole(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", "public/questions", "vqa", "open", n=40, metrics=["token-f1"])
    radbench.evaluate(Guessing(), task, out=tmp_path / "run", resamples=50, limit=30)
    first = export_run(tmp_path / "run", tmp_path / "bundle", KEY)
    assert first.partial
    second = export_run(tmp_path / "run", tmp_path / "bundle", KEY)  # over the first
    assert first.digest == second.digest
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "run", "t"]
    (tmp_path / "bundle" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="no bundle, or holds other files"):
        export_run(tmp_path / "run", tmp_path / "bundle", KEY)
    with pytest.raises(ConfigError, match="no bundle"):
        export_run(tmp_path / "run", tmp_path / "run", KEY)
    assert (tmp_path / "bundle" / "notes.txt").read_text() == "mine"


def test_a_run_whose_results_do_not_follow_is_not_exported(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", "public/questions", "vqa", "open", n=40, metrics=["token-f1"])
    radbench.evaluate(Guessing(), task, out=tmp_path / "run", resamples=50)
    file = tmp_path / "run" / "results.json"
    results = json.loads(file.read_text())
    results["tasks"]["public/questions"]["metrics"]["token-f1"]["value"] += 0.001
    file.write_text(json.dumps(results))
    with pytest.raises(DataError, match="do not follow") as refused:
        export_run(tmp_path / "run", tmp_path / "bundle", KEY)
    assert "radbench score" in refused.value.remedy
    samples = tmp_path / "run" / "stats" / "public" / "questions" / "samples.npz"
    with np.load(samples) as archive:
        np.savez(samples, ids=archive["ids"], clusters=archive["clusters"])  # as an earlier radbench left it
    with pytest.raises(DataError, match="earlier radbench"):
        export_run(tmp_path / "run", tmp_path / "bundle", KEY)
    assert not (tmp_path / "bundle").exists()
    assert not list(tmp_path.glob(".bundle*"))


def test_groups_are_computed_anew_from_open_members(tmp_path: Path) -> None:
    tasks = ["phantom/rationale:size=64", "phantom/rationale-yes-no:size=64"]
    radbench.evaluate("majority", tasks, out=tmp_path / "run", resamples=30)
    exported = export_run(tmp_path / "run", tmp_path / "bundle", KEY)
    assert exported.left_out == {}
    file = tmp_path / "bundle" / "results.json"
    results = json.loads(file.read_text())
    assert results["groups"] == json.loads((tmp_path / "run" / "results.json").read_text())["groups"] != {}
    results["groups"]["phantom/rationale-pooled"]["metrics"]["bleu-1"]["low"] += 0.01
    file.write_text(json.dumps(results))
    lines = [fault.line() for fault in verify(tmp_path / "bundle").faults]
    assert any("phantom/rationale-pooled: bleu-1: low is another" in line for line in lines)


def test_groups_with_restricted_members_are_left_out(case: Case, tmp_path: Path) -> None:
    shutil.copytree(case.run, tmp_path / "run")
    file = tmp_path / "run" / "results.json"
    results = json.loads(file.read_text())
    group = {
        "clustered": True,
        "how": "macro",
        "members": ["public/questions", "hospital/reports"],
        "n": 390,
        "metrics": {},
    }
    file.write_text(json.dumps({**results, "groups": {"mixed": group}}))
    exported = export_run(tmp_path / "run", tmp_path / "bundle", KEY)
    assert exported.left_out["mixed"] == "a group with restricted members: hospital/reports"
    assert json.loads((tmp_path / "bundle" / "results.json").read_text())["groups"] == {}


def test_few_patients_are_left_out_as_a_whole(tmp_path: Path) -> None:
    task = write_task(tmp_path / "t", "hospital/few", "vqa", "private", n=20, metrics=["token-f1"])
    radbench.evaluate(Guessing(), task, out=tmp_path / "run", resamples=50)
    exported = export_run(tmp_path / "run", tmp_path / "bundle", KEY)
    assert exported.left_out == {"hospital/few": "private data of fewer than 11 patients"}
    assert exported.tasks == ()
    assert not (tmp_path / "bundle" / "stats").exists()
    assert verify(tmp_path / "bundle").faults == ()


def test_restricted_data_of_a_part_of_the_samples_are_left_out(tmp_path: Path) -> None:
    """The difference of two bundles over 60 and 61 samples would be one patient."""
    closed = write_task(tmp_path / "t", "hospital/part", "vqa", "private", n=80, metrics=["token-f1"])
    public = write_task(tmp_path / "p", "public/questions", "vqa", "open", n=80, metrics=["token-f1"])
    radbench.evaluate(Guessing(), [closed, public], out=tmp_path / "run", resamples=50, limit=60)
    exported = export_run(tmp_path / "run", tmp_path / "bundle", KEY)
    why = "private data of a part of the samples: beside more of them, their difference tells"
    assert exported.left_out == {"hospital/part": why}
    assert exported.tasks == ("public/questions",)


def test_a_bundle_is_no_run_to_export(case: Case, tmp_path: Path) -> None:
    with pytest.raises(RadbenchError, match="is a bundle"):
        export_run(case.bundle, tmp_path / "bundle", KEY)


# --- the key and the command ---


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "export.key"
    key, made = load_or_make_key(file)
    assert (len(key), made) == (32, True)
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_or_make_key(file) == (key, False)
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="others than its owner"):
        load_or_make_key(file)
    (tmp_path / "short").write_bytes(b"short")
    with pytest.raises(ConfigError, match="32 bytes"):
        load_or_make_key(tmp_path / "short")


def test_the_commands(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert commands.export(str(case.run), str(tmp_path / "b"), None, as_json=True) == 0
    said = capsys.readouterr()
    exported = json.loads(said.out)
    assert exported["restricted"] == ["hospital/labels", "hospital/reports"]
    assert (tmp_path / "home" / ".config" / "radbench" / "export.key").stat().st_size == 32
    assert "made the key" in said.err
    assert commands.export(str(case.run), str(tmp_path / "b"), None, as_json=False) == 0
    said = capsys.readouterr()
    assert "left out: hospital/labels: f1 of one class" in said.err
    assert "3 tasks, 2 of restricted data\n" in said.out
    digest = said.out.rpartition("digest: ")[2].strip()
    assert commands.verify(str(tmp_path / "b"), digest, as_json=False) == 0
    assert "verified: 0 faults; 3 tasks" in capsys.readouterr().out
    assert (
        commands.verify(str(tmp_path / "b"), exported["digest"], as_json=True) == 1
    )  # another draw of secret resamples
    assert json.loads(capsys.readouterr().out)["faults"][0]["file"] == "bundle.json"
    with pytest.raises(ConfigError, match="inside the bundle"):
        commands.export(str(case.run), str(tmp_path / "b"), str(tmp_path / "b" / "key"), as_json=False)


def test_arrays_hold_no_objects(case: Case) -> None:
    for path in case.bundle.rglob("*.npz"):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                assert np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False).dtype.kind in "fiSU"
