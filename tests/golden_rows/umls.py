"""QuickUMLS's matches at three thresholds, and precision and recall of them by identifiers and by words."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from radbench.metrics.concepts.extractors import QuickUMLSExtractor
from radbench.metrics.concepts.quick import write_folder
from radbench.metrics.concepts.rrf import build_from_rrf
from radbench.metrics.concepts.search import Match, Search
from radbench.metrics.concepts.umls import Unit, overlap, precision, recall, units

from golden_rows import GOLDEN, Row, equal, load, pairs

ORIGINAL = "quickumls 1.4.2"
THRESHOLDS = ("0.7", "0.9", "1.0")
MINI = GOLDEN / "umls_mini"


@cache
def scratch() -> Path:
    """A folder that goes when the tests end."""
    path = Path(tempfile.mkdtemp(prefix="radbench-umls-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@cache
def mini_search() -> Search:
    """Our search over the golden files' mini dictionary."""
    return Search(build_from_rrf(MINI / "MRCONSO.RRF", MINI / "MRSTY.RRF", scratch() / "ours"))


def need_quickumls() -> None:
    """Skip where QuickUMLS cannot run. Where NLTK's stop words are absent, spaCy's English ones stand in for them."""
    for module in ("quickumls", "spacy", "unidecode", "nltk"):
        pytest.importorskip(module)
    import nltk

    try:
        nltk.data.find("corpora/stopwords")
    except LookupError:
        from spacy.lang.en.stop_words import STOP_WORDS

        folder = scratch() / "nltk" / "corpora" / "stopwords"
        folder.mkdir(parents=True)
        (folder / "english").write_text("\n".join(sorted(STOP_WORDS)))
        nltk.data.path.append(str(scratch() / "nltk"))


@cache
def mini_folder() -> Path:
    """The same dictionary as a QuickUMLS folder."""
    search = mini_search()
    types = dict(line.split("|")[:2] for line in (MINI / "MRSTY.RRF").read_text().splitlines())
    rows = (line.split("|") for line in (MINI / "MRCONSO.RRF").read_text().splitlines())
    folder = scratch() / "theirs"
    write_folder([(r[14], r[0], 0) for r in rows], {cui: (tui,) for cui, tui in types.items()}, folder)
    assert search.index.meta.terms == 38
    return folder


@cache
def quickumls(threshold: str) -> QuickUMLSExtractor:
    """QuickUMLS with spaCy's bare English tokeniser, with which it finds what it found with en_core_web_sm."""
    need_quickumls()
    extractor = QuickUMLSExtractor(str(mini_folder()), float(threshold), pipeline="blank:en")
    assert extractor.unavailable() is None
    return extractor


def stored(threshold: str, pair: str, side: str) -> list[Match]:
    """The original's matches."""
    found = load("quickumls_golden")["out"][f"threshold_{threshold}"][pair][side]
    return [
        Match(m["start"], m["end"], m["ngram"], m["term"], m["cui"], tuple(m["semtypes"]), m["similarity"])
        for m in found
    ]


def _matches(threshold: str, side: str) -> Iterator[float]:
    extractor = quickumls(threshold)
    for pair, (hypothesis, reference) in pairs().items():
        ours = extractor.extract(hypothesis if side == "hyp" else reference)
        theirs = sorted(stored(threshold, pair, side))
        yield equal([m._replace(similarity=0.0) for m in ours], [m._replace(similarity=0.0) for m in theirs])
        yield from (abs(a.similarity - b.similarity) for a, b in zip(ours, theirs, strict=False))


def _arithmetic(threshold: str, key: str) -> Iterator[float]:
    unit: Unit = key.replace("_", "-")  # type: ignore[assignment]
    for pair, golden in load("quickumls_golden")["out"][f"threshold_{threshold}"].items():
        want: dict[str, Any] = golden[key]
        predicted, reference = (units(stored(threshold, pair, side), unit) for side in ("hyp", "ref"))
        sizes = overlap(predicted, reference)
        yield equal(sizes, (want["tp"], want["n_hyp"], want["n_ref"]))
        for ours, theirs in ((precision(*sizes, "skip"), want["P"]), (recall(*sizes, "skip"), want["R"])):
            yield equal(ours != ours, True) if theirs is None else abs(ours - theirs)


def _row(threshold: str, key: str) -> Row:
    name = f"out/threshold_{threshold}/{key}"
    if key in ("ref", "hyp"):
        return Row(
            "quickumls_golden", (name,), f"extractor:quickumls threshold:{threshold} pipeline:blank:en", ORIGINAL, 1e-9,
            lambda: _matches(threshold, key),
        )  # fmt: skip
    return Row(
        "quickumls_golden", (name,), f"umls-precision, umls-recall unit:{key.replace('_', '-')}",
        "own arithmetic on quickumls 1.4.2", 1e-9, lambda: _arithmetic(threshold, key),
    )  # fmt: skip


ROWS: list[Row] = [_row(t, key) for t in THRESHOLDS for key in ("ref", "hyp", "cui_set", "cui_multiset", "surface_set")]
