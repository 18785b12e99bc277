"""CheXbert beside f1chexbert, on random weights of the official shape and of a small one."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radbench.metrics.clinical.chexbert import (
    ChexbertAccuracy,
    ChexbertF1,
    ChexbertVector,
    chexbert_report,
)
from radbench.metrics.clinical.chexbert_labels import (
    binary_labels,
    counts,
    exact_match,
    from_counts,
    label_scores,
    mentions,
    report,
)
from radbench.metrics.clinical.chexbert_model import Labeler, _labeler, labeler
from radbench.metrics.findings.observations import FIVE, OBSERVATIONS

from radbench.errors import ConfigError
from radbench.records import Failure, Prediction, Text
from radbench.statistics import Measure, point

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")
torch.set_num_threads(1)

WORDS = """no acute cardiopulmonary process the heart is mildly enlarged lungs are clear without focal consolidation small left
right pleural effusion bibasilar atelectasis pneumothorax possible may represent pneumonia edema unchanged there moderate
nodule fracture of rib tube tip in good position mediastinum widened opacity suspicious for cannot be excluded""".split()
ODD = [
    "", "   ", "\n\t", "café naïve Ünïcode", "3.5 x 2 cm", "[SEP] heart [MASK]", "<s>x</s>", "心臓 enlarged", "a" * 130,
    "\x00\x1b bell", "non\u00a0breaking\u2003space", "tab\tand\r\nline", "## heart ##art", "İstanbul", "e\u0301 combining",
    "\ufffd", "half ½ ①", "a\x1cb", "heart\u200benlarged", "🙂 normal", "No. acute; (process)!",
]  # fmt: skip


def reports(count: int, seed: int, longest: int = 14) -> list[str]:
    """Made-up findings, the odd ones first."""
    rng = random.Random(seed)
    made = list(ODD)
    while len(made) < count:
        sentences = (rng.choices(WORDS, k=rng.randint(2, longest)) for _ in range(rng.randint(1, 2)))
        made.append(" ".join(" ".join(s).capitalize() + "." for s in sentences))
    return made[:count]


def make_checkpoint(folder: Path, layers: int, width: int, heads: int, vocabulary: int, positions: int = 512) -> Path:
    """``chexbert/chexbert.pth`` and ``bert-base-uncased/`` with random weights, in the layout of the official ones."""
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    words += dict.fromkeys([*characters, *(f"##{c}" for c in characters), *WORDS, "##art", "##s", "##ed", "cafe", "心"])
    words += [f"[unused{i}]" for i in range(vocabulary - len(words))]
    bert = folder / "bert-base-uncased"
    bert.mkdir(parents=True)
    (bert / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    config = transformers.BertConfig(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=4 * width, max_position_embeddings=positions,
    )  # fmt: skip
    config.save_pretrained(bert)
    torch.manual_seed(0)
    state = {f"module.bert.{k}": v for k, v in transformers.BertModel(config).state_dict().items()}
    for i in range(14):
        classes = 4 if i < 13 else 2
        state[f"module.linear_heads.{i}.weight"] = torch.randn(classes, width)
        state[f"module.linear_heads.{i}.bias"] = torch.zeros(classes)
    (folder / "chexbert").mkdir()
    path = folder / "chexbert" / "chexbert.pth"
    torch.save({"epoch": 1, "model_state_dict": state}, path)
    # Random encoders put all texts close together: heads without the common direction tell them apart.
    mean = np.mean(Labeler(str(folder), device="cpu").embeddings(reports(30, 1)[-6:]), axis=0)
    unit = torch.from_numpy(mean / np.linalg.norm(mean))
    for i in range(14):
        weight = state[f"module.linear_heads.{i}.weight"]
        state[f"module.linear_heads.{i}.weight"] = weight - (weight @ unit)[:, None] * unit
    torch.save({"epoch": 1, "model_state_dict": state}, path)
    return folder


@cache
def original(folder: Path) -> Any:
    """f1chexbert on the weights of a folder: it finds the vocabulary below the current one."""
    transformers = pytest.importorskip("transformers")
    if int(transformers.__version__.split(".")[0]) > 4:
        pytest.skip("f1chexbert 0.0.2 cannot tokenise with transformers 5")
    package = pytest.importorskip("f1chexbert.f1chexbert")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(package, "CACHE_DIR", str(folder / "chexbert"))
        return package.F1CheXbert(device="cpu")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache folder, so that no weights of the user's are found."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("tiny"), layers=2, width=32, heads=4, vocabulary=400)


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("official"), layers=12, width=768, heads=12, vocabulary=30522)


def predictions(texts: Sequence[str | None]) -> list[Prediction]:
    return [Prediction(t, None if t is not None else Failure("empty")) for t in texts]


def targets(texts: Sequence[str]) -> list[Text]:
    return [Text((t,)) for t in texts]


def value(metric: Any, answers: Sequence[str | None], references: Sequence[str]) -> float:
    return point(Measure(metric, (), metric.rows(predictions(answers), targets(references), ())))


def compare(folder: Path, unique: Sequence[str], count: int) -> None:
    """Labels of each text, then every number of f1chexbert over ``count`` random pairs of them."""
    peer, ours = original(folder), labeler(str(folder), device="cpu")
    theirs = {t: peer.get_label(t.strip()) for t in unique}
    assert binary_labels(ours.classes(unique)).tolist() == list(theirs.values())
    positives = np.array(list(theirs.values())).mean()
    assert 0.1 < positives < 0.9  # weights that say the same of every report would prove nothing
    rng = random.Random(5)
    references, hypotheses = rng.choices(unique, k=count), rng.choices(unique, k=count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peer, "get_label", lambda text: next(v for t, v in theirs.items() if t.strip() == text))
        accuracy, by_report, fourteen, five = peer.forward(hypotheses, references)
    for classes, expected in ((14, fourteen), (5, five)):
        for average in ("micro", "macro", "weighted", "samples"):
            for part, name in (("f1", "f1-score"), ("precision", "precision"), ("recall", "recall")):
                metric = ChexbertF1(classes, average, part=part, weights=str(folder), device="cpu")
                assert value(metric, hypotheses, references) == pytest.approx(
                    expected[f"{average} avg"][name], abs=1e-9
                )
    metric = ChexbertAccuracy(weights=str(folder), device="cpu")
    rows = metric.rows(predictions(hypotheses), targets(references), ())
    assert point(Measure(metric, (), rows)) == pytest.approx(accuracy, abs=1e-9)
    assert np.array_equal(metric.sample_scores(rows, ()), by_report)


def test_official_shape_equals_f1chexbert_on_500_pairs(official: Path) -> None:
    compare(official, reports(60, seed=2), 500)


def test_small_shape_equals_f1chexbert_on_500_pairs(tiny: Path) -> None:
    compare(tiny, list(dict.fromkeys(reports(400, seed=3))), 500)


def test_embeddings_equal_the_original_model(official: Path) -> None:
    peer, ours = original(official), labeler(str(official), device="cpu")
    texts = reports(30, seed=4)[-8:]
    with torch.no_grad():
        for text, embedding in zip(texts, ours.embeddings(texts), strict=True):
            hidden = peer.model.bert(torch.tensor([ours.tokens(text)]))[0][0, 0]
            assert np.abs(hidden.numpy() - embedding).max() < 5e-6
    pairs = list(zip(texts, reversed(texts), strict=True))
    vectors = torch.from_numpy(ours.embeddings(texts))
    expected = torch.cosine_similarity(vectors, vectors.flip(0)).numpy()
    metric = ChexbertVector(weights=str(official), device="cpu")
    rows = metric.rows(predictions([a for a, _ in pairs]), targets([b for _, b in pairs]), ())
    assert np.abs(rows[:, 0] - expected).max() < 1e-6


def test_tokens_equal_the_original_tokeniser_with_odd_characters(tiny: Path) -> None:
    package = pytest.importorskip("f1chexbert.f1chexbert")
    pandas = pytest.importorskip("pandas")
    transformers = pytest.importorskip("transformers")
    if int(transformers.__version__.split(".")[0]) > 4:
        pytest.skip("f1chexbert cannot tokenise with transformers 5")
    tokenizer = transformers.BertTokenizer.from_pretrained(str(tiny / "bert-base-uncased"))
    rng, ours = random.Random(6), labeler(str(tiny), device="cpu")
    texts = [*ODD, *(" ".join(rng.choices([*ODD, *WORDS], k=rng.randint(1, 12))) for _ in range(500)), "heart " * 700]
    theirs = package.tokenize(pandas.Series(texts, dtype=object), tokenizer)
    assert [list(ours.tokens(t)) for t in texts] == theirs
    assert len(theirs[-1]) == 512


def test_a_report_beyond_512_tokens_is_cut_as_the_original_does(tiny: Path) -> None:
    peer, ours = original(tiny), labeler(str(tiny), device="cpu")
    long = " ".join(random.Random(7).choices(WORDS, k=900))
    assert binary_labels(ours.classes([long])).tolist() == [peer.get_label(long)]
    assert np.array_equal(ours.classes([long]), ours.classes([long + " pneumothorax"]))


def test_mentions_are_those_of_the_original(tiny: Path) -> None:
    peer, texts = original(tiny), reports(80, seed=8)
    said = labeler(str(tiny), device="cpu").classes(texts)
    assert {0, 1, 2, 3} == set(said[:, :13].ravel().tolist())
    assert [mentions(row) for row in said] == [peer.get_label(t, mode="classification") for t in texts]


def test_uncertain_counts_as_told() -> None:
    said = np.array([[0, 1, 2, 3]])
    assert binary_labels(said, "positive").tolist() == [[0, 1, 0, 1]]
    assert binary_labels(said, "negative").tolist() == [[0, 1, 0, 0]]


@given(st.integers(0, 2**31), st.integers(1, 40), st.floats(0, 1))
@settings(max_examples=25)
def test_label_scores_equal_scikit_learn(seed: int, n: int, share: float) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    true, said = (rng.random((2, n, 14)) < share).astype(int)
    for classes, keep in ((14, list(range(14))), (5, list(FIVE))):
        for average in ("micro", "macro", "weighted", "samples"):
            expected = metrics.precision_recall_fscore_support(
                true[:, keep], said[:, keep], average=average, zero_division=0
            )
            for part, number in zip(("precision", "recall", "f1"), expected[:3], strict=True):
                assert label_scores(true, said, average, part, classes) == pytest.approx(number, abs=1e-12)  # type: ignore[arg-type]


@given(st.integers(0, 2**31), st.integers(2, 30), st.data())
def test_counts_are_additive_whatever_the_order_and_the_cut(seed: int, n: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    true, said = (rng.random((2, n, 14)) < 0.4).astype(int)
    cut, order = data.draw(st.integers(1, n - 1)), rng.permutation(n)
    whole = counts(true, said).sum(axis=0)
    assert np.array_equal(
        whole, counts(true[:cut], said[:cut]).sum(axis=0) + counts(true[cut:], said[cut:]).sum(axis=0)
    )
    assert np.array_equal(whole, counts(true[order], said[order]).sum(axis=0))
    assert from_counts(whole, "weighted") == pytest.approx(label_scores(true, said, "weighted"), abs=1e-9)


METRICS = [
    *(ChexbertF1(average=a) for a in ("micro", "macro", "weighted", "samples")),
    ChexbertF1(5, "macro", "negative", "recall"),
    ChexbertAccuracy(),
    ChexbertVector(),
]


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.card.title)
def test_order_and_batches_change_nothing_and_failures_never_raise(metric: Any, tiny: Path) -> None:
    metric.weights, metric.device = str(tiny), "cpu"
    references = reports(70, seed=9)
    answers: list[str | None] = [*reports(60, seed=10, longest=30), "", None, None, *references[63:]]
    rows = metric.rows(predictions(answers), targets(references), ())
    assert np.isfinite(rows).all() and len(metric.columns(())) == rows.shape[1]
    order = np.random.default_rng(0).permutation(70)
    shuffled = metric.rows(predictions([answers[i] for i in order]), targets([references[i] for i in order]), ())
    assert np.abs(shuffled - rows[order]).max() < 1e-6
    _labeler.cache_clear()  # so that the halves are computed in packs of their own
    halves = [metric.rows(predictions(answers[s]), targets(references[s]), ()) for s in (slice(0, 33), slice(33, 70))]
    assert np.abs(np.concatenate(halves) - rows).max() < 1e-6
    assert point(Measure(metric, (), shuffled)) == pytest.approx(point(Measure(metric, (), rows)), abs=1e-6)


def test_a_failed_answer_is_never_better_than_an_answer(tiny: Path) -> None:
    where = {"weights": str(tiny), "device": "cpu"}
    references, answers = reports(60, seed=11), reports(120, seed=12)[60:]
    none = [None] * len(references)
    for metric in (ChexbertAccuracy(**where), ChexbertVector(**where), ChexbertF1(average="samples", **where)):
        real = metric.rows(predictions(answers), targets(references), ())[:, 0]
        failed = metric.rows(predictions(none), targets(references), ())[:, 0]
        assert (failed <= real).all() and failed.max() <= 0
    counted = ChexbertF1(**where).rows(predictions(none), targets(references), ())
    assert counted[:, 0::3].sum() == 0 and counted[:, 1::3].sum() == 0
    assert counted[:, 2::3].sum() == binary_labels(labeler(str(tiny), device="cpu").classes(references)).sum()


def test_equal_reports_score_as_a_perfect_original(tiny: Path) -> None:
    texts = reports(50, seed=13)
    truth = binary_labels(labeler(str(tiny), device="cpu").classes(texts))
    expected = report(truth, truth)["macro avg"]["f1-score"]
    assert value(ChexbertF1(average="macro", weights=str(tiny), device="cpu"), texts, texts) == pytest.approx(
        expected, abs=1e-9
    )
    assert value(ChexbertVector(weights=str(tiny), device="cpu"), texts, texts) == pytest.approx(1.0, abs=1e-9)
    assert exact_match(truth, truth).all()
    assert chexbert_report(texts, texts, weights=str(tiny))["macro avg"]["f1-score"] == pytest.approx(
        expected, abs=1e-9
    )


def test_one_observation_scores_as_its_line_of_the_report(tiny: Path) -> None:
    answers, truths = reports(60, seed=14), reports(120, seed=15)[60:]
    classes = labeler(str(tiny), device="cpu").classes([*answers, *truths])
    lines = report(binary_labels(classes[60:]), binary_labels(classes[:60]))
    for name in OBSERVATIONS:
        metric = ChexbertF1(label=name, weights=str(tiny), device="cpu")
        assert value(metric, answers, truths) == pytest.approx(lines[name]["f1-score"], abs=1e-9), name
        assert f"label:{name}" in metric.signature(()) and name in metric.card.title
    assert len({lines[name]["f1-score"] for name in OBSERVATIONS}) > 3


def test_of_several_references_the_closest_counts(tiny: Path) -> None:
    texts = reports(40, seed=14)[-4:]
    for metric in (
        ChexbertVector(weights=str(tiny), device="cpu"),
        ChexbertAccuracy(14, weights=str(tiny), device="cpu"),
    ):
        rows = metric.rows(predictions([texts[0]]), [Text((texts[1], texts[0], texts[2]))], ())
        assert rows[0, 0] == pytest.approx(1.0, abs=1e-9)


def test_equal_texts_are_computed_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Labeler(str(tiny), device="cpu")
    computed: list[int] = []
    read = ours._read
    monkeypatch.setattr(ours, "_kept", type(ours._kept)(lambda _: 100, 1000))  # ten texts at most
    monkeypatch.setattr(ours, "_read", lambda texts: computed.append(len(texts)) or read(texts))
    ours.read(["heart", "lungs", "heart"])
    ours.read(["lungs", "clear"])
    assert computed == [2, 1]
    ours.read([f"nodule {i}" for i in range(50)])
    assert len(ours._kept) == 10


def test_bfloat16_is_close_and_named(tiny: Path) -> None:
    texts = reports(60, seed=15)
    exact, short = (Labeler(str(tiny), dtype=d, device="cpu") for d in ("float32", "bfloat16"))
    assert (exact.classes(texts) == short.classes(texts)).mean() > 0.95
    assert ChexbertF1(weights=str(tiny)).signature(()) != ChexbertF1(weights=str(tiny), dtype="bfloat16").signature(())


def test_the_signature_names_options_and_weights(tiny: Path) -> None:
    one, other = ChexbertF1(weights=str(tiny)), ChexbertF1(5, "macro", "negative", "recall", weights=str(tiny))
    assert other.signature(()).startswith(
        "chexbert-recall|classes:5|avg:macro|uncertain:negative|zero:0|failed:fn|weights:"
    )
    assert one.signature(()).split("weights:")[1] == other.signature(()).split("weights:")[1]
    before, vocabulary = one.signature(()), tiny / "bert-base-uncased" / "vocab.txt"
    text = vocabulary.read_text(encoding="utf-8")
    try:
        vocabulary.write_text(text.replace("[unused0]", "[another]"), encoding="utf-8")
        assert one.signature(()) != before
    finally:
        vocabulary.write_text(text, encoding="utf-8")


def test_without_weights_it_says_what_brings_them(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radbench.metrics.clinical.weights._hub_cache", lambda name, needs: [])
    for metric in (ChexbertF1(), ChexbertAccuracy(), ChexbertVector()):
        reason = metric.unavailable()
        assert reason is not None and "radbench fetch weights chexbert" in reason and str(home) in reason
        assert "weights:absent" in metric.signature(())
    with pytest.raises(ConfigError, match="chexbert not found"):
        ChexbertVector(weights=str(tmp_path)).rows(predictions(["a"]), targets(["b"]), ())
    (tmp_path / "chexbert.pth").touch()
    assert "bert-base-uncased not found" in str(ChexbertF1(weights=str(tmp_path)).unavailable())


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"not torch", "no checkpoint"), ({"other": 1}, "model_state_dict"), ({"model_state_dict": {}}, "no tensor")],
)
def test_damaged_weights_are_one_clear_error(content: Any, message: str, tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "chexbert.pth"
    (tmp_path / "vocab.txt").write_bytes((tiny / "bert-base-uncased" / "vocab.txt").read_bytes())
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ConfigError, match=message):
        Labeler(str(tmp_path))


def copied(tiny: Path, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path / "copy"
    shutil.copytree(tiny, folder)
    return folder, torch.load(folder / "chexbert/chexbert.pth", weights_only=True)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [("linear_heads.3.weight", (4, 7), "linear_heads.3.weight"), ("linear_heads.13.bias", (4,), "linear_heads.13.bias"),
     ("bert.embeddings.word_embeddings.weight", (10, 32), "400 pieces, but the model has embeddings of 10"),
     ("bert.embeddings.position_embeddings.weight", (100, 32), "positions for 100 tokens"),
     ("bert.encoder.layer.1.attention.self.key.weight", (32, 16), "attention.self.key.weight"),
     ("bert.encoder.layer.0.output.dense.bias", (7,), "output.dense.bias")],
)  # fmt: skip
def test_tensors_of_another_shape_are_one_clear_error(
    name: str, tensor: tuple[int, ...], message: str, tiny: Path, tmp_path: Path
) -> None:
    folder, state = copied(tiny, tmp_path)
    assert f"module.{name}" in state["model_state_dict"]
    state["model_state_dict"][f"module.{name}"] = torch.zeros(*tensor)
    torch.save(state, folder / "chexbert/chexbert.pth")
    with pytest.raises(ConfigError, match=message) as error:
        Labeler(str(folder))
    assert "fetch" in error.value.remedy and str(folder) in error.value.message


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_vocabulary_cut_short_is_refused(share: float, tiny: Path, tmp_path: Path) -> None:
    file = copied(tiny, tmp_path)[0] / "bert-base-uncased/vocab.txt"
    content = file.read_text(encoding="utf-8")
    file.write_text(content[: int(len(content) * share)], encoding="utf-8")
    with pytest.raises(ConfigError, match=r"vocab\.txt has \d+ pieces, but the model has embeddings of 400"):
        Labeler(str(tmp_path / "copy"))


def test_attention_heads_must_divide_the_width(tiny: Path, tmp_path: Path) -> None:
    file = copied(tiny, tmp_path)[0] / "bert-base-uncased/config.json"
    file.write_text(file.read_text().replace('"num_attention_heads": 4', '"num_attention_heads": 5'))
    with pytest.raises(ConfigError, match="5 attention heads do not divide the 32 columns"):
        Labeler(str(tmp_path / "copy"))


def test_what_torch_says_of_a_file_is_not_repeated(tiny: Path, tmp_path: Path) -> None:
    folder, _ = copied(tiny, tmp_path)
    (folder / "chexbert/chexbert.pth").write_bytes(b"<html>404</html>")
    with pytest.raises(ConfigError) as error:
        Labeler(str(folder))
    assert error.value.message.endswith("no checkpoint that can be loaded safely: UnpicklingError")


def test_a_pickle_of_code_is_refused(tiny: Path, tmp_path: Path) -> None:
    import pickle

    class Attack:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return print, ("executed",)

    (tmp_path / "vocab.txt").write_bytes((tiny / "bert-base-uncased" / "vocab.txt").read_bytes())
    (tmp_path / "chexbert.pth").write_bytes(pickle.dumps({"model_state_dict": Attack()}))
    with pytest.raises(ConfigError, match="loaded safely"):
        Labeler(str(tmp_path))


@pytest.mark.parametrize(
    "options", [{"classes": 13}, {"average": "mean"}, {"uncertain": "ignored"}, {"part": "f2"}, {"dtype": "int8"}]
)
def test_a_wrong_option_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        ChexbertF1(**options)


def test_label_matrices_are_checked() -> None:
    with pytest.raises(ValueError, match="expected the same"):
        counts(np.zeros((2, 14)), np.zeros((3, 14)))
    with pytest.raises(ValueError, match="expected \\(n, 14\\)"):
        label_scores(np.zeros((2, 5)), np.zeros((2, 5)))
