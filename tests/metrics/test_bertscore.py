"""BERTScore beside bert-score 0.3.13, on the stored tiny RoBERTa and on random BERT and DistilBERT models."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_rows import GOLDEN
from hypothesis import given, settings
from hypothesis import strategies as st
from radbench.metrics.clinical.bertscore import BASELINES, DEFAULT, BertScore, baseline, bertscore, rescaled
from radbench.metrics.clinical.bertscore_match import Idf, Matcher, _matcher, match, matcher
from radbench.metrics.clinical.encoders import Encoder, load_state, model_file, packs
from radbench.metrics.clinical.kept import Kept
from radbench.metrics.clinical.subwords import load_tokens

from radbench.errors import ConfigError
from radbench.records import Failure, Prediction, Text
from radbench.statistics import Measure, point

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")
pytest.importorskip("safetensors")
torch.set_num_threads(1)

TINY = str(GOLDEN / "tiny_roberta")
NUMBERS = BASELINES[DEFAULT, 5]
WORDS = """the heart is normal in size lungs are clear no effusion or pneumothorax seen mild right basilar opacity 3 mm
nodule unchanged since prior Impression: Findings Small pleural thickening.""".split()
ODD = [
    "", " ", "\n", "\t x", "normal  heart", "café Ünïcode", "心臓", "🙂", "<s> in text </s>", "a<mask> b",
    "heart <pad> lungs", "<pad><pad>", "No.\nNo!", "'s 're",
    "   leading and trailing   ", "\u00a0nbsp", "\x1c file", "x" * 300, "1,234.5 cm/s", "\u2028line", "e\u0301",
]  # fmt: skip


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [*ODD, *(" ".join(rng.choices(WORDS, k=rng.randint(1, 25))) for _ in range(count))][:count]


def original(folder: str, layer: int, **options: Any) -> Any:
    """bert-score's scorer of a local model. Skips where the package is absent or cannot work with this transformers."""
    transformers = pytest.importorskip("transformers")
    if int(transformers.__version__.split(".")[0]) > 4:
        pytest.skip("bert-score 0.3.13 tokenises RoBERTa otherwise with transformers 5")
    package = pytest.importorskip("bert_score")
    if options.pop("rescale", False):
        table = Path(package.__file__).parent / "rescale_baseline" / "en" / "distilroberta-base.tsv"
        options |= {"rescale_with_baseline": True, "baseline_path": str(table), "lang": "en"}
    return package.BERTScorer(model_type=folder, num_layers=layer, device="cpu", nthreads=0, **options)


def peer(scorer: Any, answers: Sequence[str], references: Sequence[Any], batch: int = 1) -> np.ndarray:
    """bert-score's P, R, F; pairs one by one, because what else is in a batch can change them there."""
    return torch.stack(scorer.score(list(answers), list(references), batch_size=batch), dim=1).double().numpy()


def made_pairs(count: int, seed: int) -> tuple[list[str], list[str]]:
    rng, pool = random.Random(seed), texts(120, seed)
    answers, references = rng.choices(pool, k=count), rng.choices(pool, k=count)
    return answers, [a if rng.random() < 0.1 else r for a, r in zip(answers, references, strict=True)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of a tiny BERT and a tiny DistilBERT with random weights, as transformers saves them."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(w.lower().strip(".:") for w in WORDS)]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,:;'!/"
    words = list(dict.fromkeys([*words, *letters, *(f"##{c}" for c in letters)]))
    made = {
        "bert": transformers.BertModel(
            transformers.BertConfig(
                vocab_size=len(words), hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
                max_position_embeddings=64,
            )
        ),
        "distilbert": transformers.DistilBertModel(
            transformers.DistilBertConfig(
                vocab_size=len(words), dim=32, n_layers=3, n_heads=4, hidden_dim=64, max_position_embeddings=64
            )
        ),
    }  # fmt: skip
    folders = {}
    for name, model in made.items():
        folder = tmp_path_factory.mktemp(name)
        model.save_pretrained(folder)
        (folder / "vocab.txt").write_text("\n".join(words) + "\n")
        kind = "BertTokenizer" if name == "bert" else "DistilBertTokenizer"
        options = {"tokenizer_class": kind, "do_lower_case": True, "model_max_length": 64}
        (folder / "tokenizer_config.json").write_text(json.dumps(options))
        folders[name] = str(folder)
    return folders


@pytest.mark.parametrize("idf", [None, "references", "predictions"])
@pytest.mark.parametrize("rescale", [False, True])
def test_500_random_pairs_equal_bert_score(idf: str | None, rescale: bool) -> None:
    answers, references = made_pairs(500, seed=1)
    source = {"references": references, "predictions": answers}.get(idf or "")
    options = {"idf": True, "idf_sents": source} if source else {}
    theirs = peer(original(TINY, 5, rescale=rescale, **options), answers, references)
    ours = bertscore(answers, references, TINY, 5, source, NUMBERS if rescale else False)
    # float32 noise of the original, which rescaling divides by 1 - b
    scale = 1 - np.array(NUMBERS) if rescale else 1.0
    assert (np.abs(ours - theirs) * scale).max() < 1e-6
    assert (theirs.std(axis=0) > 0.05).all()


def test_a_pair_does_not_depend_on_its_batch_as_it_can_in_the_original() -> None:
    answers, references = ["normal"], ["basilar prior heart normal since"]
    alone = peer(original(TINY, 5), references, answers)
    padded = peer(original(TINY, 5), [*references, *references], [*answers, " ".join(WORDS)], batch=2)
    assert padded[0, 0] - alone[0, 0] > 1e-3  # a token unlike all of the other text counts 0 there, once that is padded
    assert np.abs(bertscore([*references, *references], [*answers, " ".join(WORDS)], TINY, 5)[:1] - alone).max() < 1e-6


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_other_architectures_equal_bert_score(kind: str, models: dict[str, str]) -> None:
    answers, references = made_pairs(120, seed=2)
    long = " ".join(random.Random(3).choices(WORDS, k=200))  # beyond the model's 64 positions
    answers[3] = long
    theirs = peer(original(models[kind], 2), answers, references)
    assert np.abs(bertscore(answers, references, models[kind], 2) - theirs).max() < 1e-6


def test_a_text_beyond_the_model_is_cut_as_the_original_does() -> None:
    long = " ".join(random.Random(3).choices(WORDS, k=900))
    pairs = ([long, "normal"], ["normal", long])
    assert np.abs(bertscore(*pairs, TINY, 5) - peer(original(TINY, 5), *pairs)).max() < 1e-6
    assert len(matcher(TINY, 5).tokens([long])[0]) == 512


def test_the_best_of_several_references_counts_by_part() -> None:
    answers, references = made_pairs(30, seed=4)
    groups = [[a, b] for a, b in zip(references, reversed(references), strict=True)]
    theirs = peer(original(TINY, 5), answers, groups)
    assert np.abs(bertscore(answers, groups, TINY, 5) - theirs).max() < 1e-6


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
@pytest.mark.parametrize("layers", [0, 1, 3])
def test_hidden_states_equal_transformers(kind: str, layers: int, models: dict[str, str]) -> None:
    transformers = pytest.importorskip("transformers")
    from radbench.metrics.clinical.subwords import read_json

    folder = Path(models[kind])
    model = transformers.AutoModel.from_pretrained(folder).eval()
    rng = np.random.default_rng(0)
    batch = [rng.integers(5, 60, n).tolist() for n in (3, 9, 3, 40, 1)]
    encoder = Encoder(load_state(model_file(folder)), read_json(folder / "config.json"), layers)
    whole, first = encoder(batch), encoder(batch, first_only=True)
    with torch.no_grad():
        for ids, ours, start in zip(batch, whole, first, strict=True):
            hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[layers][0]
            assert (hidden - ours).abs().max() < 2e-6 and (hidden[0] - start).abs().max() < 2e-6


def test_checkpoints_with_older_names_and_prefixes_are_read(models: dict[str, str]) -> None:
    from radbench.metrics.clinical.subwords import read_json

    folder = Path(models["bert"])
    state, config = load_state(model_file(folder)), read_json(folder / "config.json")
    older = {
        f"module.bert.{k}".replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
        for k, v in state.items()
    }
    assert torch.equal(Encoder(state, config)([[2, 7, 9, 3]])[0], Encoder(older, config)([[2, 7, 9, 3]])[0])


def test_vocabularies_give_the_same_ids_in_either_form(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.AutoTokenizer.from_pretrained(TINY).save_pretrained(tmp_path)
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "config.json").write_bytes((Path(TINY) / "config.json").read_bytes())
    plain, fast = load_tokens(Path(TINY)), load_tokens(tmp_path)
    usual = [t.strip() for t in texts(80, 5) if "<" not in t]
    assert [plain.framed(t) for t in usual] == [fast.framed(t) for t in usual]


def test_lone_surrogates_do_not_raise() -> None:
    assert np.isfinite(bertscore(["lungs \ud800 clear"], ["lungs clear"], TINY, 5)).all()


# --- idf ---


def test_idf_weighs_what_few_texts_have() -> None:
    table = Idf.of([(0, 5, 5, 7, 2), (0, 5, 2), (0, 2)])
    assert table.weights((0, 5, 7, 9, 2)) == pytest.approx(np.log([1, 4 / 3, 2, 4, 1]), abs=1e-7)
    assert Idf.of([]).weights((0, 5)) == pytest.approx([0, 0])


def test_the_state_is_frozen_named_and_stored_short() -> None:
    metric = BertScore(TINY, 5, idf="references", rescale="no", device="cpu")
    targets = [Text((t,)) for t in texts(40, 6)]
    state = metric.fit(iter(targets), ())
    digest = metric.signature(state)
    assert f"idf:references:{state.digest()}" in digest and "not-frozen" in metric.signature(())
    assert metric.signature(metric.fit(reversed(targets), ())) == digest
    assert metric.signature(metric.fit(targets[1:], ())) != digest
    stored = tuple(json.loads(json.dumps(metric.stored(state))))
    assert metric.signature(stored) == digest
    with pytest.raises(TypeError, match="fit"):
        metric.rows([Prediction("a")], targets[:1], stored)


# --- the metric ---


def rows_of(metric: BertScore, answers: Sequence[str | None], references: Sequence[str]) -> np.ndarray:
    targets = [Text((r,)) for r in references]
    predictions = [Prediction(a, None if a is not None else Failure("empty")) for a in answers]
    return metric.rows(predictions, targets, metric.fit(targets, ()))


@pytest.mark.parametrize("part", ["precision", "recall", "f1"])
@pytest.mark.parametrize("idf", ["off", "references"])
def test_the_metric_is_the_mean_of_the_function(part: Any, idf: Any) -> None:
    answers, references = made_pairs(60, seed=7)
    metric = BertScore(TINY, 5, idf=idf, part=part, device="cpu")
    expected = bertscore(answers, references, TINY, 5, references if idf == "references" else None)
    rows = rows_of(metric, answers, references)
    column = ["precision", "recall", "f1"].index(part)
    assert point(Measure(metric, (), rows)) == pytest.approx(expected[:, column].mean(), abs=1e-6)


@given(st.permutations(range(40)), st.integers(1, 39))
@settings(max_examples=6)
def test_order_and_batches_change_nothing(order: list[int], cut: int) -> None:
    answers, references = made_pairs(40, seed=8)
    metric = BertScore(TINY, 5, device="cpu")
    rows = rows_of(metric, answers, references)
    _matcher.cache_clear()
    mixed = rows_of(metric, [answers[i] for i in order], [references[i] for i in order])
    assert np.abs(mixed - rows[order]).max() < 1e-6
    _matcher.cache_clear()
    halves = [rows_of(metric, answers[s], references[s]) for s in (slice(0, cut), slice(cut, 40))]
    assert np.abs(np.concatenate(halves) - rows).max() < 1e-6


def test_equal_texts_score_one_and_failures_the_least() -> None:
    pool = [t for t in texts(60, 9) if t.strip()]
    metric = BertScore(TINY, 5, device="cpu")
    assert np.abs(rows_of(metric, pool, pool)[:, 0] - 1).max() < 1e-6
    real = rows_of(metric, list(reversed(pool)), pool)[:, 0]
    assert (rows_of(metric, [None] * len(pool), pool)[:, 0] == 0).all() and (real > 0).all()
    assert np.array_equal(rows_of(metric, [""] * len(pool), pool), rows_of(metric, [None] * len(pool), pool))


def test_a_single_reference_weighs_nothing_and_scores_zero() -> None:
    metric = BertScore(TINY, 5, idf="references", device="cpu")
    rows = rows_of(
        metric, ["lungs clear"], ["lungs clear"]
    )  # every token is in every document: bert-score's F is 0 too
    assert rows.tolist() == [[0.0, 1.0]]
    theirs = peer(original(TINY, 5, idf=True, idf_sents=["lungs clear"]), ["lungs clear"], ["lungs clear"])
    assert theirs[0, 2] == 0


def test_spaces_are_collapsed_where_asked() -> None:
    kept, collapsed = (BertScore(TINY, 5, spaces=s, device="cpu") for s in ("keep", "collapse"))
    pair = ["the  heart   is normal"], ["the heart is normal"]
    assert rows_of(collapsed, *pair)[0, 0] == pytest.approx(1, abs=1e-6)
    assert rows_of(kept, *pair)[0, 0] < 0.999


def test_rescaling_takes_the_packages_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rescaled(np.array([NUMBERS, (1, 1, 1)]), NUMBERS) == pytest.approx(np.array([[0] * 3, [1] * 3]), abs=1e-6)
    metric = BertScore(rescale="yes")
    assert metric.baseline == NUMBERS == pytest.approx((0.84732, 0.84759504, 0.8473319))
    assert "-5.55" in metric.card.failed
    package = pytest.importorskip("bert_score")
    table = Path(package.__file__).parent / "rescale_baseline" / "en" / "distilroberta-base.tsv"
    line = table.read_text().splitlines()[6].split(",")
    assert line[0] == "5" and tuple(map(float, line[1:])) == NUMBERS
    assert baseline("roberta-large", 17) == pytest.approx((0.8315, 0.8315, 0.8312), abs=1e-2)
    assert baseline("no-such-model", 1) is None


def test_undefined_weights_give_what_the_original_gives() -> None:
    unit = np.eye(4, dtype=np.float32)
    nothing = np.zeros(4, np.float32)
    scores = match(unit, unit, nothing, nothing)
    assert np.isnan(scores[:2]).all()
    assert (match(unit[:2], unit, nothing[:2], nothing) == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"idf": "predictions"}, "idf is 'predictions'"),
        ({"part": "f2"}, "part"),
        ({"rescale": "maybe"}, "rescale"),
        ({"model": "my-model"}, "no layer is known"),
        ({"model": TINY, "layer": 5, "rescale": "yes"}, "no baseline"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, ConfigError), match=message):
        BertScore(**options)


def test_without_the_model_it_says_what_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("radbench.metrics.clinical.weights._hub_cache", lambda name, needs: [])
    metric = BertScore()
    assert "radbench fetch weights distilroberta-base" in str(metric.unavailable())
    assert "weights:absent" in metric.signature(())
    with pytest.raises(ConfigError, match="distilroberta-base not found"):
        rows_of(metric, ["a"], ["b"])
    assert BertScore(TINY, 5).unavailable() is None


def test_a_layer_beyond_the_model_is_named() -> None:
    with pytest.raises(ConfigError, match=r"layer is 9, but .* has 6"):
        Matcher(TINY, 9)


def copied(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(TINY, folder)
    folder.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


def lines_of(content: bytes, share: float) -> bytes:
    lines = content.split(b"\n")
    return b"\n".join(lines[: int(len(lines) * share)])


def one_piece_less(content: bytes) -> bytes:
    return json.dumps({k: v for k, v in json.loads(content).items() if v != 599}).encode()


@pytest.mark.parametrize(
    ("file", "change", "named"),
    [("model.safetensors", lambda b: b[: len(b) // 2], "model.safetensors"),
     ("model.safetensors", lambda b: b"<html>404</html>", "model.safetensors"), ("merges.txt", lambda b: b"", "merges.txt"),
     ("merges.txt", lambda b: b"<html>\n404\n</html>", "merges.txt"), ("merges.txt", lambda b: lines_of(b, 0.9), "merges.txt"),
     ("vocab.json", lambda b: b[: len(b) // 2], "vocab.json"), ("vocab.json", lambda b: b"[1, 2]", "vocab.json"),
     ("vocab.json", one_piece_less, "vocab.json"),
     ("config.json", lambda b: b"[1, 2]", "config.json"), ("tokenizer_config.json", lambda b: b"null", "tokenizer_config"),
     ("config.json", lambda b: b.replace(b'"num_attention_heads": 4', b'"num_attention_heads": 5'), "5 attention heads"),
     ("config.json", lambda b: b.replace(b'"num_attention_heads": 4', b'"num_attention_heads": "x"'), "num_attention_heads")],
)  # fmt: skip
def test_a_damaged_model_is_one_clear_error(file: str, change: Any, named: str, tmp_path: Path) -> None:
    folder = copied(tmp_path)
    before = (folder / file).read_bytes()
    (folder / file).write_bytes(change(before))
    assert (folder / file).read_bytes() != before
    with pytest.raises(ConfigError, match=named) as error:
        Matcher(str(folder), 5)
    assert "fetch" in error.value.remedy and "\n" not in error.value.message


def test_vocab_json_alone_is_no_vocabulary(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / "merges.txt").unlink()
    assert "merges.txt" in str(BertScore("distilroberta-base", 5, weights=str(folder)).unavailable())


def test_files_that_change_while_running_are_read_again(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copied(tmp_path)
    metric = BertScore(str(folder), 5, device="cpu")
    before, named = rows_of(metric, ["heart"], ["lungs clear"]), metric.signature(())
    state = load_file(folder / "model.safetensors")
    save_file({k: v.flip(0) if "word_embeddings" in k else v for k, v in state.items()}, folder / "model.safetensors")
    assert metric.signature(()) != named
    assert not np.array_equal(rows_of(metric, ["heart"], ["lungs clear"]), before)


def test_another_architecture_is_refused() -> None:
    with pytest.raises(ConfigError, match="type 'gpt2'"):
        Encoder({}, {"model_type": "gpt2"})
    with pytest.raises(ConfigError, match=r"no tensor 'embeddings\.word"):
        Encoder({}, {"model_type": "bert"})


# --- packing and keeping ---


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 100))
def test_packs_hold_every_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    made = list(packs(lengths, budget))
    assert sorted(i for pack in made for i in pack) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in pack) <= budget or len(pack) == 1 for pack in made)
    flat = [lengths[i] for pack in made for i in pack]
    assert flat == sorted(flat)


@given(st.lists(st.lists(st.text("abcdef", max_size=2), max_size=12), max_size=8))
def test_what_is_kept_is_right_and_bounded(requests: list[list[str]]) -> None:
    kept: Kept[str] = Kept(lambda _: 10, 50)
    for request in requests:
        computed: list[str] = []
        got = kept.get(request, lambda new, to=computed: to.extend(new) or [t.upper() for t in new])
        assert got == [t.upper() for t in request]
        assert len(computed) == len(set(computed)) and len(kept) <= 5
