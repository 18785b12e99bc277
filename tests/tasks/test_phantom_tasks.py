"""End to end on a phantom cohort: for every task and metric the oracle reaches the top and shuffled answers score chance.

The cohort is written once a module, at 64 pixels. A shuffled answer is the true answer of another sample, read by the
task's parser as a model's would be.
"""

from __future__ import annotations

import json
import shutil
import threading
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from radbench.metrics.base import Metric
from radbench.metrics.functional import compute
from radbench.model_adapters.baselines import target_answer
from radbench.tasks.phantom import cohort as writer
from radbench.tasks.phantom.reader import Phantom
from radbench.tasks.phantom.samples import KINDS
from radbench.tasks.phantom.sampling import sample_cohort
from radbench.tasks.phantom.spec import GENERATOR_VERSION
from radbench.tasks.phantom.tasks import TASKS

import radbench
from radbench.dataset import DataLocations
from radbench.errors import ConfigError, DataError
from radbench.records import Boxes, Labels, Mask, Prediction, Sample, Target, Text
from radbench.registry import all_tasks, find_metric
from radbench.statistics import Floats
from radbench.task import Task

CASES, SIZE, SEED = 160, 64, 11  # the fewest dozens with every task in train and test
PAIRED_SAMPLES = 24  # of a task, whose answers are paired with each other in every way
PERMUTATIONS = 999
LEVEL = 0.01
NAMES = [task.name for task in TASKS]
BY_RULE = "phantom/multilabel-bleu"  # its parser does not read every reference as what it says


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    writer.write_cohort(folder, seed=SEED, cases=CASES, size=SIZE)
    return folder


@pytest.fixture(scope="module")
def samples(cohort: Path) -> dict[str, list[Sample]]:
    """The test samples of every task."""
    places = DataLocations.parse([f"phantom={cohort}"])
    return {task.name: list(task.dataset.open(places).samples("test")) for task in TASKS}


@pytest.fixture(scope="module")
def oracle(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run("oracle", cohort, tmp_path_factory.mktemp("runs") / "oracle")


def run(model: str, cohort: Path, out: Path, **options: Any) -> dict[str, Any]:
    evaluation = radbench.evaluate(model, NAMES, out=out, data=f"phantom={cohort}", resamples=5, **options)
    assert evaluation.results is not None
    assert set(NAMES) == set(evaluation.results["tasks"])
    return evaluation.results["tasks"]


def value_of(target: Target) -> Any:
    """A reference as the prediction of someone who knows it."""
    if isinstance(target, Text):
        return target.first
    if isinstance(target, Labels):
        return target.names
    return target.boxes if isinstance(target, Boxes) else target.load()


# --- the oracle ---


@pytest.mark.parametrize("task", TASKS, ids=NAMES)
def test_the_oracle_scores_what_the_functional_api_gives_the_references(
    task: Task, oracle: dict[str, Any], samples: dict[str, list[Sample]]
) -> None:
    result, targets = oracle[task.name], [s.targets[task.target] for s in samples[task.name]]
    assert result["n"] == len(targets)
    assert not result["failures"]
    assert not result["unavailable"]
    assert not result["broken"]
    said = [value_of(t) for t in targets]
    if task.name == BY_RULE:
        parse = task.parse()
        said = [parse(target_answer(t), s, task).value for t, s in zip(targets, samples[task.name], strict=True)]
    for metric in task.metrics:
        expected = compute(metric, said, targets, choices=task.choices)
        assert result["metrics"][metric]["value"] == pytest.approx(expected, rel=1e-9), metric
        if task.name == BY_RULE:
            assert 0.2 < expected < 1, metric
        elif not metric.startswith("umls-precision"):  # 0 where the reference names no concept
            assert expected == pytest.approx(1.0), f"{metric}: a reference is not the best answer to itself"


def test_what_the_bleu_rule_reads_of_a_reference(samples: dict[str, list[Sample]]) -> None:
    """None and one finding as they are; of several at most one, where it is more than half of the words."""
    task = next(t for t in TASKS if t.name == BY_RULE)
    parse, right = task.parse(), Counter[tuple[bool, bool]]()
    for sample in samples[task.name]:
        truth = sample.targets["answer"]
        assert isinstance(truth, Labels)
        names = parse(target_answer(truth), sample, task).value
        assert set(names) <= set(truth.names)
        assert len(names) == len(truth.names) if len(truth.names) < 2 else len(names) < 2
        right[len(truth.names) < 2, names == truth.names] += 1
    assert right[True, True] > 5
    assert right[False, False] > 2


def test_boxes_written_as_text_score_as_boxes(cohort: Path, oracle: dict[str, Any], tmp_path: Path) -> None:
    names = [n for n in NAMES if "detection" in n]
    told = radbench.evaluate("oracle:form=text", names, out=tmp_path, data=f"phantom={cohort}", resamples=5).results
    assert told is not None
    assert len(names) == 2
    for name in names:
        result = told["tasks"][name]
        assert not result["failures"]
        for metric, score in result["metrics"].items():
            assert score["value"] == pytest.approx(oracle[name]["metrics"][metric]["value"], rel=1e-9), metric


def test_every_parser_of_the_suites_reads_a_phantom() -> None:
    def parsers(names: Iterable[str]) -> set[tuple[str, object]]:
        """Names, and in which unit boxes are read."""
        found = (all_tasks()[name].parser for name in names)
        return {(p.target, p.options.get("unit")) for p in found}

    suites = ("radbench/", "radvlbench/", "medinterp/", "meddr/")
    assert parsers(n for n in all_tasks() if n.startswith(suites)) <= parsers(NAMES)


# --- shuffled answers ---


@dataclass(frozen=True)
class Pairing:
    """Rows of one metric for every answer with every sample: ``rows[i, j]`` scores answer i for sample j."""

    task: str
    name: str
    metric: Metric
    state: Any
    rows: Floats  # (n, n, k)

    def values(self, orders: np.ndarray) -> Floats:
        """The metric's value where sample j gets answer ``order[j]``, for (K, n) orders."""
        at = np.arange(self.rows.shape[1])
        if self.metric.additive:
            return self.metric.reduce(self.rows[orders, at].sum(axis=1), self.state)
        ones = np.ones((1, len(at)))
        return np.array([self.metric.value(self.rows[order, at], ones, self.state)[0] for order in orders])

    def orders(self, count: int, purpose: str) -> np.ndarray:
        """``count`` permutations, a stream of their own for each task, metric and purpose."""
        rng = np.random.default_rng(zlib.crc32(f"{self.task}|{self.name}|{purpose}".encode()))
        return np.array([rng.permutation(self.rows.shape[1]) for _ in range(count)])


@pytest.fixture(scope="module")
def pairings(samples: dict[str, list[Sample]]) -> list[Pairing]:
    found = []
    for task in TASKS:
        some = samples[task.name][:PAIRED_SAMPLES]
        targets = [s.targets[task.target] for s in some]
        if isinstance(targets[0], Mask):  # read once, not once a pair
            targets = [Mask(array=t.load()) for t in targets if isinstance(t, Mask)]
            some = [Sample(s.id, s.cluster, {task.target: t}) for s, t in zip(some, targets, strict=True)]
        answers, parse, n = [target_answer(t) for t in targets], task.parse(), len(some)
        said = [parse(answer, sample, task) for answer in answers for sample in some]
        for name in task.metrics:
            metric = find_metric(name)
            state = metric.fit(targets, task.choices)
            found.append(
                Pairing(task.name, name, metric, state, _rows(metric, said, targets * n, state).reshape(n, n, -1))
            )
    return found


def _rows(metric: Metric, said: Sequence[Prediction], targets: Sequence[Target], state: Any) -> Floats:
    size = len(said)
    return np.concatenate([metric.rows(said[i : i + 256], targets[i : i + 256], state) for i in range(0, size, 256)])


def test_shuffled_answers_score_what_chance_gives(pairings: list[Pairing]) -> None:
    """Two-sided 99 % intervals of 999 random permutations, for each pair of task and metric.

    Under the null every order is as likely, so that one more order falls outside with a chance of at most 1 %. Each pair
    draws its permutations from a stream of its own: misses are independent, and their number exceeds the 99.9 % quantile of
    the binomial distribution in one run of a thousand. Seeds follow from the names; none was chosen by its result.
    """
    missed, looked = [], 0
    for pairing in pairings:
        chance = pairing.values(pairing.orders(PERMUTATIONS, "chance"))
        shuffled = pairing.values(pairing.orders(1, "shuffled"))[0]
        if np.isnan(shuffled):
            assert np.isnan(chance).mean() > 0.5
            continue
        looked += 1
        low, high = np.sort(chance[~np.isnan(chance)])[[4, -5]]  # 5 of 1000 beyond on either side
        if not low <= shuffled <= high:
            missed.append(f"{pairing.task} {pairing.name}: {shuffled:.4f} outside {low:.4f} to {high:.4f}")
    assert looked > 90
    assert len(missed) <= _binomial_quantile(0.999, looked, LEVEL), missed


def _binomial_quantile(level: float, n: int, p: float) -> int:
    from scipy.stats import binom

    return int(binom.ppf(level, n, p))


def test_chance_is_far_from_the_oracle(pairings: list[Pairing]) -> None:
    """Every task tells knowing from guessing: no permutation in a thousand comes near the reference itself."""
    blind = []
    for pairing in pairings:
        n = pairing.rows.shape[1]
        if n < 8:
            continue
        chance = pairing.values(pairing.orders(PERMUTATIONS, "chance"))
        truth = pairing.values(np.arange(n)[None])[0]
        if not np.nanquantile(chance, 0.995) < truth:
            blind.append(
                f"{pairing.task} {pairing.name}: chance reaches {np.nanquantile(chance, 0.995):.3f} of {truth:.3f}"
            )
    assert not blind


def test_a_replayed_permutation_scores_as_its_rows_say(
    pairings: list[Pairing], samples: dict[str, list[Sample]], cohort: Path, tmp_path: Path
) -> None:
    """The whole pipeline, from a predictions file of swapped answers to results.json, agrees with the rows above."""
    orders = {}
    with (tmp_path / "shuffled.jsonl").open("w") as file:
        for task in TASKS:
            some = samples[task.name][:PAIRED_SAMPLES]
            orders[task.name] = np.random.default_rng(zlib.crc32(task.name.encode())).permutation(len(some))
            for sample, other in zip(some, orders[task.name], strict=True):
                line = _prediction(some[other].targets[task.target], tmp_path / "masks")
                file.write(json.dumps({"task": task.name, "sample": sample.id, **line}) + "\n")
    results = run(f"replay:{tmp_path / 'shuffled.jsonl'}", cohort, tmp_path / "run", limit=PAIRED_SAMPLES)
    for pairing in pairings:
        expected = pairing.values(orders[pairing.task][None])[0]
        value = results[pairing.task]["metrics"][pairing.name]["value"]
        assert (np.nan if value is None else value) == pytest.approx(expected, rel=1e-9, nan_ok=True), pairing.name


def _prediction(target: Target, folder: Path) -> dict[str, Any]:
    answer = target_answer(target)
    if answer.mask is not None:
        folder.mkdir(exist_ok=True)
        path = folder / f"{len(list(folder.iterdir()))}.npz"
        np.savez_compressed(path, mask=answer.mask)
        return {"mask": str(path)}
    if answer.boxes is not None:
        return {"boxes": [{"label": b.label, "box": [b.x0, b.y0, b.x1, b.y1]} for b in answer.boxes]}
    return {"text": answer.text}


# --- samples ---


def test_samples_are_sound(samples: dict[str, list[Sample]], cohort: Path) -> None:
    for task in TASKS:
        some = samples[task.name]
        assert some, task.name
        assert len({s.id for s in some}) == len(some)
        assert all(s.id.split("-")[-1].isdigit() and task.dataset.reader.options["kind"] in s.id for s in some)
        pictures = {i.path for s in some for i in s.images}
        assert all(Path(p).exists() for p in pictures)
        assert len({len(i.load().size) for i in (s.images[0] for s in some)}) == 1, "pictures and volumes do not mix"


def test_no_patient_is_in_two_splits(cohort: Path) -> None:
    for kind in KINDS:
        reader = Phantom(cohort, kind=kind)
        split_of: dict[str | None, str] = {}
        for split in ("train", "val", "test"):
            for sample in reader.samples(split):
                assert split_of.setdefault(sample.cluster, split) == split


def test_yes_and_no_are_exactly_as_many(cohort: Path, samples: dict[str, list[Sample]], tmp_path: Path) -> None:
    tally = Counter[tuple[str, ...]]()
    for sample in samples["phantom/diagnosis"]:
        answer = sample.targets["answer"]
        assert isinstance(answer, Labels)
        tally[sample.strata["modality"], sample.strata["region"], str(sample.slots["disease"]), *answer.names] += 1
    assert all(tally[(*key[:3], "yes")] == tally[(*key[:3], "no")] for key in tally)
    evaluation = radbench.evaluate("constant:yes", "phantom/diagnosis", out=tmp_path, data=f"phantom={cohort}")
    assert evaluation.results is not None
    assert evaluation.results["tasks"]["phantom/diagnosis"]["metrics"]["accuracy"]["value"] == 0.5


def test_retrieval_answers_every_task(cohort: Path, samples: dict[str, list[Sample]], tmp_path: Path) -> None:
    """``knn`` learns from the train split of each task: one kind of picture a task, and answers its parser reads."""
    results = run("knn:k=5", cohort, tmp_path / "knn")
    failed = {name: set(r["failures"]) for name, r in results.items() if r["failures"]}
    # Options differ from sample to sample, so the neighbour's answer may be none of them.
    assert set(failed) <= {"phantom/set-answers", "phantom/vqa-choice"}
    assert all(kinds == {"unparsable"} for kinds in failed.values())
    regions = Counter(s.strata["region"] for s in samples["phantom/rag-classification"])
    most_frequent = max(regions.values()) / regions.total()
    assert results["phantom/rag-classification"]["metrics"]["accuracy"]["value"] > most_frequent + 0.1


def test_a_letter_or_the_option_answers_a_multiple_choice_question(samples: dict[str, list[Sample]]) -> None:
    task = next(t for t in TASKS if t.name == "phantom/vqa-choice")
    parse = task.parse()
    for sample in samples[task.name]:
        truth = sample.targets["letter"]
        assert isinstance(truth, Labels)
        (letter,) = truth.names
        option = sample.choices["ABCD".index(letter)]
        assert f"{letter}. {option}" in str(sample.slots["options"]).split("\n")
        for said in (letter, f"{letter}.", f"The answer is {letter}", option, f"It is {option}."):
            assert parse(radbench.Answer(said), sample, task).value == truth.names, said


# --- the reader ---


def test_a_folder_without_cases_is_no_cohort(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no cases\.jsonl"):
        Phantom(tmp_path, kind="vqa")


def test_what_is_unknown_is_named(cohort: Path) -> None:
    with pytest.raises(ConfigError, match="modality"):
        Phantom(cohort, kind="modalty")
    with pytest.raises(DataError, match="train, val, test"):
        list(Phantom(cohort, kind="vqa").samples("validation"))


@pytest.mark.parametrize("broken", ["{", "[1]", '{"split": "test"}'])
def test_a_broken_table_names_its_line(cohort: Path, tmp_path: Path, broken: str) -> None:
    first = next(line for line in _lines(cohort) if json.loads(line)["split"] == "test")
    (tmp_path / "cases.jsonl").write_text(f"{first}\n{broken}\n")
    with pytest.raises(DataError, match=r"cases\.jsonl, line 2"):
        list(Phantom(tmp_path, kind="modality").samples("test"))


def test_a_prior_that_is_gone_is_named(cohort: Path, tmp_path: Path) -> None:
    later = [line for line in _lines(cohort) if json.loads(line)["prior"] and json.loads(line)["split"] == "test"]
    (tmp_path / "cases.jsonl").write_text("\n".join(later) + "\n")
    with pytest.raises(DataError, match="which is not there"):
        list(Phantom(tmp_path, kind="comparison").samples("test"))


def _lines(cohort: Path) -> Iterator[str]:
    yield from (cohort / "cases.jsonl").read_text().splitlines()


def test_the_fingerprint_follows_kind_options_and_cases(cohort: Path, tmp_path: Path) -> None:
    first = Phantom(cohort, kind="vqa").fingerprint()
    assert first == Phantom(cohort, kind="vqa").fingerprint()
    assert first != Phantom(cohort, kind="caption").fingerprint()
    (tmp_path / "cases.jsonl").write_text("\n".join(list(_lines(cohort))[:-1]) + "\n")
    assert first != Phantom(tmp_path, kind="vqa").fingerprint()


@pytest.fixture
def cache(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """An empty cache below ``tmp_path / "radbench" / "phantom"``; the arguments of every cohort "made" in it, a copy."""
    calls = []

    def write(folder: Path, **options: Any) -> None:
        calls.append(options)
        shutil.copytree(cohort, folder)

    monkeypatch.setattr(writer, "write_cohort", write)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return calls


def test_the_cache_is_written_once_by_whoever_comes_first(
    cache: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counts: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: counts.append(len(list(Phantom(kind="modality", cases=CASES, seed=3).samples("test"))))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache == [{"seed": 3, "cases": CASES, "size": 128, "difficulty": 0.3}]
    assert len(counts) == 4
    assert len(set(counts)) == 1
    (said,) = [r for r in caplog.records if r.levelname == "WARNING"]  # shown without any set-up of logging
    assert str(tmp_path / "radbench" / "phantom") in said.getMessage()
    Phantom(kind="modality", cases=CASES, seed=4).fingerprint()
    assert [c["seed"] for c in cache] == [3, 4]
    assert sorted(p.name for p in (tmp_path / "radbench" / "phantom").iterdir()) == [
        f"v{GENERATOR_VERSION}-seed{seed}-cases{CASES}-size128-difficulty0.3" for seed in (3, 4)
    ]


def test_leftovers_of_a_process_that_was_killed_go(cache: list[dict[str, Any]], tmp_path: Path) -> None:
    name = f"v{GENERATOR_VERSION}-seed0-cases{CASES}-size128-difficulty0.3"
    place = tmp_path / "radbench" / "phantom"
    for stale in (f"{name}.part", f".{name}.part-abc", name):
        (place / stale / "pictures").mkdir(parents=True)
    (place / f"{name}.lock").touch()
    assert list(Phantom(kind="modality", cases=CASES).samples("test"))
    assert [p.name for p in place.iterdir()] == [name]


def test_telling_writes_nothing(cache: list[dict[str, Any]], cohort: Path, tmp_path: Path) -> None:
    phantom = Phantom(kind="vqa", cases=CASES)
    assert str(phantom.on_first_use).startswith("made on first use (about 10 s, 14 MB)")
    assert list(tmp_path.iterdir()) == []
    phantom.fingerprint()
    assert phantom.on_first_use is None
    assert Phantom(cohort, kind="vqa").on_first_use is None


@pytest.mark.parametrize("damage", ["picture", "labels", "line", "cut", "half a line"])
def test_a_damaged_cohort_of_the_cache_says_what_to_delete(
    damage: str, cache: list[dict[str, Any]], tmp_path: Path
) -> None:
    folder = Phantom(kind="modality", cases=CASES).root
    lines = list(_lines(folder))
    picture = json.loads(lines[-1])["pictures"][0]
    if damage in ("picture", "labels"):
        gone = folder / str(picture["path" if damage == "picture" else "labels"])
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    broken = {"line": [*lines[:-1], "{}"], "cut": lines[:-1], "half a line": [*lines[:-1], lines[-1][:50]]}
    (folder / "cases.jsonl").write_text("\n".join(broken.get(damage, lines)) + "\n")
    with pytest.raises(DataError) as error:
        list(Phantom(kind="modality", cases=CASES).samples("test"))
    assert error.value.remedy == f"delete {folder}; it is made again"
    shutil.rmtree(folder)
    assert list(Phantom(kind="modality", cases=CASES).samples("test"))


WRONG = [
    ("cases", 0, "13 to 100,000"), ("cases", "abc", "13 to 100,000"), ("cases", -5, "13 to 100,000"),
    ("cases", 1, "13 to 100,000"), ("cases", 2.5, "13 to 100,000"), ("cases", True, "13 to 100,000"),
    ("cases", 1e9, "13 to 100,000"), ("cases", 100_001, "13 to 100,000"), ("size", 7, "32 to 512, a multiple of 8"),
    ("size", 64.5, "32 to 512"), ("size", 100_000, "32 to 512"), ("size", 520, "32 to 512"), ("size", 36, "multiple of 8"),
    ("difficulty", 2, "from 0 to 1"), ("difficulty", -0.1, "from 0 to 1"), ("difficulty", "x", "from 0 to 1"),
    ("difficulty", float("nan"), "from 0 to 1"), ("difficulty", True, "from 0 to 1"), ("seed", -1, "whole number from 0"),
    ("seed", "x", "whole number from 0"), ("seed", 2**32, "whole number from 0"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "expected"), WRONG)
def test_an_option_no_cohort_can_have_is_refused_before_anything_is_written(
    name: str, value: Any, expected: str, cache: list[dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        Phantom(kind="vqa", **{name: value})
    assert f"{name} is {value!r}, expected a" in error.value.message
    assert expected in error.value.message
    assert list(tmp_path.iterdir()) == []


def test_the_fewest_cases_and_the_ends_of_the_ranges_are_taken() -> None:
    for options in (
        {"cases": 13},
        {"cases": 100_000},
        {"size": 32},
        {"size": 512},
        {"difficulty": 0},
        {"difficulty": 1.0},
    ):
        Phantom(kind="vqa", **options)  # type: ignore[arg-type]
    assert len(sample_cohort(cases=13)) == 13
    with pytest.raises(ValueError, match="at least 13"):
        sample_cohort(cases=12)


def test_a_cache_that_cannot_be_written_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    place = tmp_path / "file" / "radbench" / "phantom"
    for use in (lambda p: p.fingerprint(), lambda p: list(p.samples("test")), lambda p: p.on_first_use):
        with pytest.raises(DataError, match=f"cannot be written to {place}") as error:
            use(Phantom(kind="vqa"))
        assert "XDG_CACHE_HOME" in error.value.remedy
        assert "--data phantom=FOLDER" in error.value.remedy
