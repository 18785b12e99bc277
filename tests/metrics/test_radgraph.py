"""RadGraph F1 against the radgraph package: rewards, tokens, and annotations of checkpoints with random weights."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radbench.metrics.clinical import radgraph as ours
from radbench.metrics.clinical import radgraph_rewards as rewards
from radbench.metrics.clinical.dygie import batches, fold
from radbench.metrics.clinical.dygie_heads import span_grid
from radbench.metrics.clinical.radgraph_checkpoint import Checkpoint, Settings, encoder_folder

from radbench.errors import ConfigError
from radbench.records import Failure, Prediction, Text

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
VERSION = int(transformers.__version__.split(".")[0])
pytestmark = [  # files that the package leaves open
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PHRASES = (
    "The heart is normal in size", "no focal consolidation", "small left pleural effusion", "without pneumothorax",
    "Right-sided PICC tip at the cavoatrial junction", "mild bibasilar atelectasis, unchanged", "3.5 x 2 cm mass (RUL)",
    "and/or edema", "Lungs are clear bilaterally", "ET tube 4 cm above the carina", "degenerative changes of the spine",
    "calcified granuloma: stable", "cannot exclude infiltrate!", "No acute osseous abnormality", "O2 sat 95%", "Señor 肺 µg",
)  # fmt: skip
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?()/%-'`\"\\"
ENTITIES = {
    "radgraph": ("ANAT-DP", "OBS-DP", "OBS-DA", "OBS-U"),
    "xl": tuple(f"{kind}::{how}" for kind in ("Anatomy", "Observation") for how in ("definitely present", "uncertain")),
}
RELATIONS = ("modify", "located_at", "suggestive_of")


def reports(n: int, seed: int = 0, phrases: int = 4) -> list[str]:
    """Texts put together from phrases, with the odd line break, double space or escape."""
    rng = random.Random(seed)
    joints = (". ", ", ", ".\n", " ", "; ", "  ", " and ", "\\n", ' \\"')
    return ["".join(p + rng.choice(joints) for p in rng.choices(PHRASES, k=rng.randint(1, phrases))) for _ in range(n)]


# --- checkpoints of the official layout with random weights ---


def encoder(kind: str, folder: Path, size: Mapping[str, int]) -> Any:
    """Config and tokeniser files of a small encoder, and the encoder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import AutoConfig, AutoModel, BertConfig

    folder.mkdir(parents=True)
    words = sorted({w.lower() for p in PHRASES[::2] for w in p.split()})
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = list(dict.fromkeys([*specials, *LETTERS, *(f"##{c}" for c in LETTERS), *words]))
    vocabulary += [f"[unused{i}]" for i in range(size.get("vocab_size", 0) - len(vocabulary))]
    if kind == "bert":
        (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
        config = BertConfig(**{"vocab_size": len(vocabulary), **size})
    else:
        pieces = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocabulary)}, unk_token="[UNK]"))
        pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        pieces.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        special = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), specials, strict=True))
        transformers.PreTrainedTokenizerFast(tokenizer_object=pieces, **special).save_pretrained(folder)
        config = transformers.ModernBertConfig(
            **{"vocab_size": len(vocabulary), **size}, reference_compile=False, pad_token_id=0, bos_token_id=2,
            eos_token_id=3, cls_token_id=2, sep_token_id=3,
        )  # fmt: skip
    config.save_pretrained(folder)
    return AutoModel.from_config(AutoConfig.from_pretrained(folder)).eval()


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def checkpoint(
    root: Path,
    model: str = "radgraph",
    kind: str = "bert",
    max_length: int | None = 512,
    size: Mapping[str, int] = SMALL,
) -> Path:
    """A checkpoint as StanfordAIMI/RRG_scorers packs it, all heads included: the package loads it strictly.

    The weights are numpy's, the same everywhere. Biases are set so that a few of a hundred spans are entities.
    """
    bert = encoder(kind, root / "encoder", size)
    rng = np.random.RandomState(7)
    spread = 0.4 * size["hidden_size"] ** -0.5  # .014 in the official shape
    state: dict[str, Any] = {}
    for name, tensor in sorted(bert.state_dict().items()):
        kept = "norm" in name.lower() or not tensor.is_floating_point()
        drawn = tensor if kept else torch.from_numpy(rng.standard_normal(tensor.shape).astype(np.float32)) * spread
        state[name] = drawn
    bert.load_state_dict(state)
    weights = {f"_embedder.token_embedder_bert._matched_embedder.transformer_model.{k}": v for k, v in state.items()}

    def linear(name: str, inputs: int, outputs: int) -> None:
        drawn = rng.standard_normal((outputs, inputs)).astype(np.float32) * (2 / (inputs + outputs)) ** 0.5
        weights[f"{name}.weight"], weights[f"{name}.bias"] = torch.from_numpy(drawn), torch.zeros(outputs)

    def network(name: str, inputs: int, output: str = "", outputs: int = 1) -> None:
        linear(f"{name}._linear_layers.0", inputs, 150)
        linear(f"{name}._linear_layers.1", 150, 150)
        if output:
            linear(output, 150, outputs)

    span = 2 * size["hidden_size"] + 20
    labels = ENTITIES["radgraph" if model == "radgraph" else "xl"]
    ner, related = f"_ner._ner_scorers.{model}__ner_labels", f"{model}__relation_labels"
    pruner, pair = f"_relation._mention_pruners.{related}._scorer", f"_relation._relation_feedforwards.{related}"
    scorer = f"_relation._relation_scorers.{related}"
    for name in (
        "_endpoint_span_extractor._span_width_embedding",
        "_coref._distance_embedding",
        "_events._distance_embedding",
    ):
        weights[f"{name}.weight"] = torch.from_numpy(
            rng.standard_normal((8 if "width" in name else 10, 20)).astype(np.float32)
        )
    network(f"{ner}.0._module", span, f"{ner}.1._module", len(labels))
    network(f"{pruner}.0._module", span, f"{pruner}.1._module")
    network(pair, 3 * span, scorer, len(RELATIONS))
    network("_coref._antecedent_feedforward._module", 3 * span + 20, "_coref._antecedent_scorer._module")
    network("_coref._mention_pruner._scorer.0._module", span, "_coref._mention_pruner._scorer.1._module")
    linear("_coref._f_network._linear_layers.0", 2 * span, span)
    for layer in ("_linear_layers.0", "_linear_layers.1"):  # entities tend to survive the pruning, as trained ones do
        weights[f"{pruner}.0._module.{layer}.weight"] = weights[f"{ner}.0._module.{layer}.weight"]
    weights[f"{pruner}.1._module.weight"] = weights[f"{ner}.1._module.weight"].sum(0, keepdim=True) / 4
    calibrate(weights, bert, f"{ner}.0._module", f"{ner}.1._module", pair, scorer)

    folder = root / model
    (folder / "vocabulary").mkdir(parents=True)
    torch.save(weights, folder / "weights.th")
    (folder / "config.json").write_text(json.dumps(config(str(root / "encoder"), max_length)))
    (folder / "vocabulary/non_padded_namespaces.txt").write_text("*tags\n*labels\n")
    (folder / f"vocabulary/{model}__ner_labels.txt").write_text("\n".join(["", *labels]) + "\n")
    (folder / f"vocabulary/{model}__relation_labels.txt").write_text("\n".join(RELATIONS) + "\n")
    return root


def config(name: str, max_length: int | None) -> dict[str, Any]:
    """``config.json`` with the defaults of DyGIE++'s training template."""
    pieces = {"type": "pretrained_transformer_mismatched", "model_name": name, "max_length": max_length}
    return {
        "dataset_reader": {"type": "dygie", "token_indexers": {"bert": pieces}, "max_span_width": 8},
        "model": {
            "type": "dygie", "embedder": {"token_embedders": {"bert": pieces}}, "initializer": {}, "module_initializer": {},
            "loss_weights": {"ner": 0.2, "relation": 1.0, "coref": 0.0, "events": 0.0},
            "feature_size": 20, "max_span_width": 8, "target_task": "relation",
            "feedforward_params": {"num_layers": 2, "hidden_dims": 150, "dropout": 0.4},
            "modules": {
                "coref": {"spans_per_word": 0.3, "max_antecedents": 100, "coref_prop": 0},
                "ner": {},
                "relation": {"spans_per_word": 0.5},
                "events": {
                    "trigger_spans_per_word": 0.3, "argument_spans_per_word": 0.8,
                    "loss_weights": {"trigger": 0.2, "arguments": 1.0},
                },
            },
        },
    }  # fmt: skip


def calibrate(weights: dict[str, Any], bert: Any, ner: str, entity: str, pair: str, scorer: str) -> None:
    """Biases that let the top 4 % of spans be an entity of each label, and the top 4 % of entity pairs each relation."""

    def score(x: Any, network: str, output: str) -> Any:
        for name in (f"{network}._linear_layers.0", f"{network}._linear_layers.1"):
            x = (x @ weights[f"{name}.weight"].T).relu()
        return x @ weights[f"{output}.weight"].T

    with torch.inference_mode():
        ids = torch.from_numpy(np.random.RandomState(0).randint(5, bert.config.vocab_size, (4, 60)))
        words = bert(input_ids=ids)[0].reshape(-1, bert.config.hidden_size)
        width = weights["_endpoint_span_extractor._span_width_embedding.weight"]
        spans = torch.cat([torch.cat([words, words.roll(-w, 0), width[w].expand(len(words), -1)], 1) for w in range(8)])
        entities = score(spans, ner, entity)
        weights[f"{entity}.bias"] = -entities.quantile(0.96, dim=0)
        top = spans[entities.sum(1).topk(60).indices]
        pairs = torch.cat(
            [top.repeat(60, 1), top.repeat_interleave(60, 0), top.repeat(60, 1) * top.repeat_interleave(60, 0)], 1
        )
        mention = entities.sum(1).topk(60).values / 4
        related = score(pairs, pair, scorer) + (mention.repeat(60) + mention.repeat_interleave(60))[:, None]
        weights[f"{scorer}.bias"] = -related.quantile(0.96, dim=0)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("radgraph"))


@pytest.fixture(scope="module")
def package() -> Any:
    """The radgraph package, where it works: its tokenisers need transformers 4."""
    if VERSION >= 5:
        pytest.skip("radgraph 0.1.18 needs transformers 4")
    return pytest.importorskip("radgraph")


def theirs(package: Any, root: Path, model: str, texts: Sequence[str]) -> dict[str, Any]:
    """What the package annotates, by text."""
    annotate = package.RadGraph(model_type=model, model_cache_dir=str(root), cuda=-1)
    found = annotate(list(texts))
    return {text: found[str(i)]["entities"] for i, text in enumerate(texts)}


def metric(root: Path, model: Any = "radgraph", **options: Any) -> ours.RadGraphF1:
    return ours.RadGraphF1(model=model, weights=str(root), device="cpu", **options)


# --- agreement with the package ---


@pytest.mark.parametrize(
    ("model", "kind", "max_length"),
    [("radgraph", "bert", 512), ("radgraph", "bert", 24), ("radgraph-xl", "bert", 512), ("radgraph-xl", "bert", None),
     ("modern-radgraph-xl", "modern", 512), ("modern-radgraph-xl", "modern", 24)],
)  # fmt: skip
def test_annotations_equal_the_package(
    package: Any, tmp_path: Path, model: str, kind: str, max_length: int | None
) -> None:
    size = {**SMALL, "global_attn_every_n_layers": 1} if kind == "modern" else SMALL
    root = checkpoint(tmp_path / "ckpt", model, kind, max_length, size)
    texts = list(dict.fromkeys(["None", "/. /? a /.", *reports(24, seed=3)]))
    expected, found = theirs(package, root, model, texts), metric(root, model).annotate(texts)
    assert found == expected
    entities = [e for graph in expected.values() for e in graph.values()]
    assert len(entities) > 2 * len(texts)
    assert len({e["label"] for e in entities}) > 1
    assert sum(len(e["relations"]) for e in entities) > len(texts) / 2


class Lookup(torch.nn.Module):
    """Annotates from a table: the package would run its model again for every pair."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        super().__init__()
        self.known = known

    def forward(self, texts: Sequence[str]) -> dict[str, Any]:
        return {str(i): {"entities": self.known[t]} for i, t in enumerate(texts)}


BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "vocab_size": 30522,
}


@pytest.mark.parametrize(("size", "count", "phrases"), [(SMALL, 28, 4), (BASE, 9, 2)], ids=["small", "official"])
def test_scores_of_500_pairs_equal_the_package(
    package: Any, tmp_path: Path, size: Mapping[str, int], count: int, phrases: int
) -> None:
    """``official``: the shape of the published checkpoint, BERT-base (PubMedBERT) under DyGIE++'s default heads."""
    root = checkpoint(tmp_path / "ckpt", size=size)
    some = reports(count, seed=1, phrases=phrases)
    texts = list(dict.fromkeys([*some, *(f"{text} No acute osseous abnormality." for text in some)]))
    f1 = package.F1RadGraph(reward_level="all", model_type="radgraph", model_cache_dir=str(root), cuda=-1)
    annotated = f1.radgraph(texts)
    known = {text: annotated[str(i)]["entities"] for i, text in enumerate(texts)}
    f1.radgraph = Lookup(known)
    rng = random.Random(5)
    hyps, refs = rng.choices([*texts, ""], k=500), rng.choices([*texts, ""], k=500)
    _, expected, _, _ = f1(hyps=hyps, refs=refs)
    assert metric(root).annotate(texts) == known
    for reward, values in zip(("simple", "partial", "complete"), expected, strict=True):
        found = ours.radgraph_f1(hyps, refs, reward, weights=str(root), device="cpu")
        assert max(abs(a - b) for a, b in zip(found, values, strict=True)) < 1e-12
        assert sum(0 < f < 1 for f in found) > 20
    ours._annotator.cache_clear()


def random_graph(rng: random.Random) -> dict[str, Any]:
    n = rng.choice((0, 1, 1, 2, 3, 5, 8))
    words = ("effusion", "Effusion", "left", "lobe", "No", "clear")
    return {
        str(i): {
            "tokens": rng.choice(words), "label": rng.choice(ENTITIES["radgraph"][:3]), "start_ix": i, "end_ix": i,
            "relations": [[rng.choice(RELATIONS), str(rng.randint(1, n))] for _ in range(rng.choice((0, 0, 0, 1, 2)))],
        }
        for i in range(1, n + 1)
    }  # fmt: skip


def test_rewards_equal_the_package() -> None:
    originals = pytest.importorskip("radgraph.rewards")
    rng = random.Random(11)
    for _ in range(500):
        a = random_graph(rng)
        b = a if rng.random() < 0.1 else random_graph(rng)
        expected = originals.compute_reward({"entities": a}, {"entities": b}, "all")
        found = [f(a, b) for f in (rewards.simple_f1, rewards.partial_f1, rewards.complete_f1)]
        assert found == pytest.approx(expected, abs=1e-12)


@settings(max_examples=200)
@given(st.text(st.sampled_from("ab1 .,:!?()/-%'\"\\nfu2\n\t_é肺`"), max_size=40))
def test_tokens_equal_the_package(text: str) -> None:
    utils = pytest.importorskip("radgraph.utils")
    for model, tokens in (("radgraph", ours.tokens_radgraph), ("radgraph-xl", ours.tokens_xl)):
        assert tokens(text) == utils.preprocess_reports([text], model)[0]["sentences"][0]


# --- our own parts ---


EXAMPLE = "Small left pleural effusion, no focal consolidation. The heart is normal in size."
EXAMPLE_ENTITIES: list[Any] = [
    ("Small left pleural effusion , no focal", "OBS-DA", []),
    ("pleural", "OBS-DP", []),
    ("effusion ,", "OBS-U", []),
    ("effusion , no focal consolidation . The", "OBS-DA", []),
    (", no", "OBS-U", []),
    ("no focal consolidation . The heart", "OBS-DP", []),
    ("no focal consolidation . The heart is normal", "ANAT-DP", [["suggestive_of", "15"]]),
    ("focal consolidation . The heart is normal", "ANAT-DP", []),
    ("consolidation .", "OBS-DA", []),
    ("The heart", "OBS-DA", [["located_at", "10"], ["suggestive_of", "15"]]),
    ("heart", "OBS-DP", []),
    ("heart is", "OBS-U", []),
    ("heart is normal in size", "OBS-DP", []),
    ("heart is normal in size .", "OBS-DP", []),
    ("is normal in size", "ANAT-DP", [["suggestive_of", "10"], ["suggestive_of", "15"]]),
    ("is normal in size .", "OBS-DP", []),
    ("in", "OBS-DP", []),
]


def test_annotations_are_the_same_on_every_version(small: Path) -> None:
    """The values are the package's own, under transformers 4.57.6."""
    (found,) = metric(small).annotate([EXAMPLE]).values()
    assert [(e["tokens"], e["label"], e["relations"]) for e in found.values()] == EXAMPLE_ENTITIES


def test_combined_halves_a_report_without_relations() -> None:
    plain = {"1": {"tokens": "clear", "label": "OBS-DP", "start_ix": 0, "end_ix": 0, "relations": []}}
    assert rewards.combined_f1(plain, plain) == 0.5
    assert rewards.combined_f1({}, {}) == 0.0
    related = {
        **plain,
        "2": {"tokens": "Lungs", "label": "ANAT-DP", "start_ix": 1, "end_ix": 1, "relations": [["modify", "1"]]},
    }
    assert rewards.combined_f1(related, related) == 1.0
    assert rewards.relation_f1(related, {**related, "2": {**related["2"], "tokens": "lungs"}}) == 0.0


@given(st.lists(st.lists(st.integers(10, 99), max_size=5), max_size=30), st.integers(4, 12))
def test_folded_rows_hold_every_piece_once(words: list[list[int]], limit: int) -> None:
    rows, places = fold(words, 1, 2, limit, wrapped=True)
    assert [[rows[r][c] for r, c in word] for word in places] == words
    assert all(len(row) <= limit and row[0] == 1 and row[-1] == 2 for row in rows)


def test_unwrapped_windows_shift_words_by_a_piece() -> None:
    rows, places = fold([[10], [11, 12], [13]], 1, 2, 512, wrapped=False)
    assert rows == [[10, 11, 12, 13]]
    assert places == [[(0, 1)], [(0, 2), (0, 3)], []]


@given(st.integers(0, 20), st.integers(1, 9))
def test_spans_are_all_up_to_the_width(n: int, width: int) -> None:
    starts, ends = span_grid(n, width)
    assert list(zip(starts, ends, strict=True)) == [(i, j) for i in range(n) for j in range(i, min(n, i + width))]


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 200))
def test_batches_hold_each_row_once_and_fit(lengths: list[int], size: int) -> None:
    made = list(batches([[0] * n for n in lengths], size))
    assert sorted(i for batch in made for i in batch) == list(range(len(lengths)))
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= size for b in made)


def pairs(n: int) -> tuple[list[Prediction], list[Text]]:
    texts = reports(12, seed=9)
    rng = random.Random(n)
    return [Prediction(rng.choice(texts)) for _ in range(n)], [Text((rng.choice(texts),)) for _ in range(n)]


def test_order_and_batches_do_not_matter(small: Path) -> None:
    m = metric(small)
    predictions, targets = pairs(30)
    whole = m.rows(predictions, targets, ())
    ours._annotator.cache_clear()
    order = random.Random(0).sample(range(30), 30)
    shuffled = m.rows([predictions[i] for i in order], [targets[i] for i in order], ())
    assert np.array_equal(shuffled, whole[order])
    ours._annotator.cache_clear()
    halves = [m.rows(predictions[h], targets[h], ()) for h in (slice(0, 7), slice(7, 30))]
    assert np.array_equal(np.concatenate(halves), whole)


def test_failed_and_empty_answers_score_0_without_the_model(tmp_path: Path) -> None:
    answers = [Prediction(None, Failure("refused")), Prediction(""), Prediction("clear")]
    scores = metric(tmp_path / "absent").scores(answers, [Text(("clear",)), Text(("clear",)), Text(("",))], ())
    assert scores.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("text", [" ", "\n\t", "\u200b", "\x00 \ufffd", ".", "肺" * 40, "word " * 900])
def test_odd_answers_never_raise(small: Path, text: str) -> None:
    score = metric(small).scores([Prediction(text)], [Text((reports(1)[0],))], ())
    assert 0.0 <= score[0] <= 1.0


def test_the_best_of_several_references_counts(small: Path) -> None:
    m, (a, b) = metric(small), reports(2, seed=4)
    both, first, second = (m.scores([Prediction(a)], [Text(t)], ())[0] for t in ((b, a), (a,), (b,)))
    assert both == max(first, second) == 1.0 > second


def test_a_text_is_annotated_once(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours._annotator.cache_clear()
    seen: list[int] = []
    annotate = ours.annotator(Checkpoint.find("radgraph", str(small)), "radgraph", "cpu")
    extract = annotate._model.extract
    monkeypatch.setattr(annotate._model, "extract", lambda texts: seen.append(len(texts)) or extract(texts))
    monkeypatch.setattr(ours, "_CACHE_SIZE", 5)
    texts = reports(5, seed=6)
    for reward in ("partial", "combined"):
        ours.radgraph_f1(texts * 3, texts[::-1] * 3, reward, weights=str(small), device="cpu")
    assert sum(seen) == len(set(texts))
    metric(small).annotate(["another one"])
    assert len(annotate._known) == 5


# --- what is said ---


def test_signature_names_everything(small: Path) -> None:
    m = metric(small, reward="combined")
    fingerprint = m.fit([], ())[0]
    assert (
        m.signature(m.fit([], ()))
        == m.signature(())
        == (f"radgraph|reward:combined|model:radgraph|weights:{fingerprint}|tok:radgraph|empty:0|best|v:1")
    )
    assert "weights:absent" in ours.RadGraphF1(weights="/nowhere").signature(())


def test_unavailable_says_what_to_fetch(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "radbench fetch weights radgraph-xl" in (ours.RadGraphF1(model="radgraph-xl").unavailable() or "")
    with pytest.raises(ConfigError, match="radbench fetch weights radgraph"):
        ours.radgraph_f1(["clear"], ["clear"])
    place = tmp_path / "radgraph/0.1.18/radgraph"
    place.parent.mkdir(parents=True)
    place.symlink_to(small / "radgraph")
    assert ours.RadGraphF1().unavailable() is None
    (tmp_path / "incomplete").mkdir()
    (tmp_path / "incomplete/weights.th").touch()
    reason = metric(tmp_path / "incomplete").unavailable()
    assert reason == (
        f"{tmp_path}/incomplete has no config.json, vocabulary; radbench fetch weights radgraph --out {tmp_path}/incomplete"
    )


def edited(small: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of the checkpoint with another config."""
    folder = tmp_path / "radgraph"
    folder.mkdir()
    for name in ("weights.th", "vocabulary"):
        (folder / name).symlink_to(small / "radgraph" / name)
    changed = json.loads((small / "radgraph/config.json").read_text())
    change(changed)
    (folder / "config.json").write_text(json.dumps(changed))
    return folder


@pytest.mark.parametrize(
    ("section", "name", "other"), [("reader", "max_span_width", 2), ("relation", "spans_per_word", 0.05)]
)
def test_a_changed_configuration_is_another_signature_and_other_annotations(
    small: Path, tmp_path: Path, section: str, name: str, other: float
) -> None:
    def changed(c: dict[str, Any]) -> None:
        (c["dataset_reader"] if section == "reader" else c["model"]["modules"]["relation"])[name] = other

    before, after = metric(small), metric(edited(small, tmp_path, changed))
    assert before.annotate(reports(6, seed=1)) != after.annotate(reports(6, seed=1))
    assert before.signature(()) != after.signature(())


def copied(small: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the checkpoint with its encoder beside, and the folder of the latter."""
    folder = edited(small, tmp_path, lambda c: None)
    shutil.copytree(small / "encoder", folder / "encoder")
    return folder, folder / "encoder"


def test_files_that_change_while_running_are_read_again(small: Path, tmp_path: Path) -> None:
    folder, encoder_files = copied(small, tmp_path)
    m, text = metric(folder), reports(1, seed=2)[0]
    before, named = m.annotate([text]), m.signature(())
    lines = (encoder_files / "vocab.txt").read_text().split("\n")
    (encoder_files / "vocab.txt").write_text("\n".join([*lines[:5], *lines[5:-1][::-1], ""]))
    assert m.signature(()) != named
    assert m.annotate([text]) != before


def test_an_encoder_without_vocabulary_is_none(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "encoder").mkdir()
    shutil.copy(small / "encoder/config.json", tmp_path / "encoder")
    assert encoder_folder(tmp_path, "no/such-encoder") is None
    (tmp_path / "encoder/vocab.txt").touch()
    assert encoder_folder(tmp_path, "no/such-encoder") == tmp_path / "encoder"


@pytest.mark.parametrize(
    ("file", "content"),
    [("vocab.txt", lambda b: b[: len(b) // 2]), ("vocab.txt", lambda b: b""), ("vocab.txt", lambda b: b"<html>404</html>"),
     ("vocab.txt", lambda b: bytes(range(256))), ("config.json", lambda b: b[: len(b) // 2]),
     ("config.json", lambda b: b"[1, 2]"), ("config.json", lambda b: b'{"model_type": "bert", "num_attention_heads": 5}')],
)  # fmt: skip
def test_a_damaged_encoder_is_one_clear_error(
    small: Path, tmp_path: Path, file: str, content: Callable[[bytes], bytes]
) -> None:
    folder, encoder_files = copied(small, tmp_path)
    (encoder_files / file).write_bytes(content((encoder_files / file).read_bytes()))
    with pytest.raises(ConfigError, match=f"{encoder_files}") as error:
        metric(folder).annotate(["clear"])
    assert "fetch" in error.value.remedy


def test_heads_of_another_shape_are_one_clear_error(small: Path, tmp_path: Path) -> None:
    folder = edited(small, tmp_path, lambda c: None)
    weights = torch.load(small / "radgraph/weights.th", weights_only=True)
    (folder / "weights.th").unlink()
    torch.save([1, 2], folder / "weights.th")
    with pytest.raises(ConfigError, match=r"weights\.th holds a list"):
        metric(folder).annotate(["clear"])
    for part in ("_ner", "pruner", "_relation_feedforwards", "span_width"):
        changed = {k: torch.zeros(3, 3) if part in k and k.endswith("0.weight") else v for k, v in weights.items()}
        if part == "span_width":
            changed = {k: v[:, :7] if part in k else v for k, v in weights.items()}
        torch.save(changed, folder / "weights.th")
        with pytest.raises(ConfigError, match=r"heads in weights\.th do not fit an encoder of 32"):
            metric(folder).annotate(["clear"])


def test_checkpoints_that_do_not_fit_are_refused(small: Path, tmp_path: Path) -> None:
    def propagates(c: dict[str, Any]) -> None:
        c["model"]["modules"]["coref"]["coref_prop"] = 2

    folder = edited(small, tmp_path, propagates)
    assert "coref_prop" in (metric(folder).unavailable() or "")
    (folder / "config.json").write_text("{}")
    assert "KeyError: 'dataset_reader'" in (metric(folder).unavailable() or "")


@pytest.mark.parametrize("other", [{"hidden_size": 16}, {"num_hidden_layers": 1}, {"num_hidden_layers": 3}])
def test_another_encoder_is_refused(small: Path, tmp_path: Path, other: dict[str, int]) -> None:
    encoder("bert", tmp_path / "other", {**SMALL, **other})

    def renamed(c: dict[str, Any]) -> None:
        c["model"]["embedder"]["token_embedders"]["bert"]["model_name"] = str(tmp_path / "other")

    with pytest.raises(ConfigError, match="its encoder is not the one of"):
        metric(edited(small, tmp_path, renamed)).annotate(["clear"])


@pytest.mark.parametrize("size", [0, 100, 40_000])
def test_damaged_weights_are_refused(small: Path, tmp_path: Path, size: int) -> None:
    folder = edited(small, tmp_path, lambda c: None)
    (folder / "weights.th").unlink()
    (folder / "weights.th").write_bytes((small / "radgraph/weights.th").read_bytes()[:size])
    with pytest.raises(ConfigError, match=r"weights\.th"):
        metric(folder).annotate(["clear"])


def test_label_sets_are_those_of_the_model(small: Path, tmp_path: Path) -> None:
    assert Settings.read(small / "radgraph", "radgraph").entities == ENTITIES["radgraph"]
    with pytest.raises(ConfigError, match="its label sets are radgraph, not radgraph-xl"):
        Settings.read(small / "radgraph", "radgraph-xl")
    folder = edited(small, tmp_path, lambda c: None)
    (folder / "vocabulary").unlink()
    (folder / "vocabulary").mkdir()
    for kind in ("ner", "relation"):
        content = (small / f"radgraph/vocabulary/radgraph__{kind}_labels.txt").read_text()
        (folder / f"vocabulary/None__{kind}_labels.txt").write_text(content)
    assert Settings.read(folder, "radgraph").dataset == "None"


@pytest.mark.parametrize("options", [{"reward": "all"}, {"model": "echograph"}])
def test_wrong_options_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        ours.RadGraphF1(**options)
