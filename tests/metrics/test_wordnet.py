"""The WordNet reader: a database written here, and NLTK's own reader on the installed one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import radbench.metrics.text.wordnet as wordnet
from hypothesis import given
from hypothesis import strategies as st

from radbench.errors import ConfigError, DataError

PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
LICENCE = "  1 WordNet 3.0 Copyright 2006 by nobody; these lines begin with blanks.  \n"
# pos -> synsets of lemma names; a word may have several
SYNSETS = {
    "n": [["lung", "pulmo"], ["disk", "saucer"], ["disk", "Disc_brake"], ["axis"], ["ax", "Axe"]],
    "v": [["see", "visualise"], ["lung"]],
    "a": [["big", "large(p)"], ["bigger"]],
    "r": [["well"]],
}
EXCEPTIONS = {"n": "axes ax axis\nlungs lung\n", "v": "saw see\n", "a": "", "r": "better well\n"}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A folder with the synsets above, as wndb(5WN) writes them."""
    for pos, suffix in PARTS.items():
        data, offsets = LICENCE, dict[str, list[int]]()
        for names in SYNSETS[pos]:
            offset = len(data)
            for name in names:
                offsets.setdefault(name.partition("(")[0].lower(), []).append(offset)
            words = " ".join(f"{name} 0" for name in names)
            kind = "s" if "large(p)" in names else pos
            data += f"{offset:08d} 00 {kind} {len(names):02x} {words} 001 @ 00000000 n 0000 | what | it means  \n"
        lines = "".join(
            f"{word} {pos} {len(at)} 1 @ {len(at)} 0 {' '.join(f'{o:08d}' for o in at)}  \n"
            for word, at in sorted(offsets.items())
        )
        (tmp_path / f"data.{suffix}").write_text(data)
        (tmp_path / f"index.{suffix}").write_text(LICENCE + lines)
        (tmp_path / f"{suffix}.exc").write_text(EXCEPTIONS[pos])
    return tmp_path


def test_synonyms_join_all_synsets_of_all_parts_of_speech(tiny: Path) -> None:
    db = wordnet.WordNet(tiny)
    assert db.synonyms("disk") == {"disk", "saucer", "Disc_brake"}
    assert db.synonyms("LUNGS") == {"lung", "pulmo"}  # lower-cased; the exception list names the noun, the verb is bare
    assert db.synonyms("lung") == {"lung", "pulmo"}
    assert db.synonyms("saw") == {"see", "visualise"}
    assert db.synonyms("large") == {"big", "large"}  # without its marker (p)
    assert db.synonyms("glioblastoma") == frozenset()


def test_exceptions_stand_before_endings_and_the_word_itself_before_both(tiny: Path) -> None:
    db = wordnet.WordNet(tiny)
    assert db.lemmas("axes", "n") == ["ax", "axis"]
    assert db.lemmatize("axes") == "ax"
    assert db.lemmas("larger", "s") == db.lemmas("larger", "a") == ["large"]
    assert db.lemmas("disks", "n") == ["disk"]
    assert db.lemmatize("Disks") == "Disks"  # lemmatize keeps the case, as NLTK's


@pytest.mark.parametrize(
    "word", ["", " ", "\n", "  1", "lung n", "\nlung", "lüng", "\ud800", "disc_brake ", "z" * 5000]
)
def test_what_is_no_word_has_no_synonyms(tiny: Path, word: str) -> None:
    db = wordnet.WordNet(tiny)
    assert db.synonyms(word) == frozenset()
    assert db.lemmatize(word) == word


@pytest.mark.parametrize("text", ["Lung", "pulmo", "DISK"])
def test_a_word_is_remembered(tiny: Path, text: str) -> None:
    db = wordnet.WordNet(tiny)
    assert db.synonyms(text) is db.synonyms(text)


def test_another_part_of_speech_is_an_error(tiny: Path) -> None:
    with pytest.raises(ValueError, match="pos is 'x', expected one of n, v, a, s, r"):
        wordnet.WordNet(tiny).lemmatize("lung", "x")


def test_a_folder_that_lacks_files_names_them(tiny: Path) -> None:
    (tiny / "adv.exc").unlink()
    with pytest.raises(DataError, match=r"lacks adv\.exc[\s\S]*wordnet-base"):
        wordnet.WordNet(tiny)


def test_a_damaged_index_is_named(tiny: Path) -> None:
    index = tiny / "index.noun"
    text = index.read_text()
    entry = next(line for line in text.splitlines() if line.startswith("lung "))
    index.write_text(text.replace(entry, entry.replace(entry.split()[-1], "00000007")))
    with pytest.raises(DataError, match=r"data\.noun: no synset at byte 7"):
        wordnet.WordNet(tiny).synonyms("lung")


def test_only_release_3_0_is_found(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordnet, "folders", lambda: [tiny / "nowhere", tiny])
    assert wordnet.find() == tiny
    assert wordnet.WordNet(tiny).version == "3.0"
    noun = tiny / "data.noun"
    noun.write_text(noun.read_text().replace("WordNet 3.0", "WordNet 3.1"))
    assert wordnet.find() is None
    assert wordnet.WordNet(tiny).version == "3.1"


def test_without_files_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordnet, "folders", list)
    monkeypatch.setattr(wordnet, "installed", wordnet.installed.__wrapped__)  # not the one opened before
    assert "apt-get install wordnet-base" in (wordnet.unavailable() or "")
    with pytest.raises(ConfigError, match="wordnet-base"):
        wordnet.installed()


# --- the installed database against NLTK ---


@pytest.fixture(scope="module")
def words(installed_wordnet: wordnet.WordNet) -> list[str]:
    """4,000 listed words, 1,000 exceptions, 2,000 with endings, words of reports and what is none."""
    rng = random.Random(3)

    def first_fields(name: str) -> list[str]:
        return [
            line.split()[0] for line in (installed_wordnet.folder / name).read_text().splitlines() if line[0] != " "
        ]

    listed = rng.sample([w for s in PARTS.values() for w in first_fields(f"index.{s}")], 4000)
    irregular = rng.sample([w for s in PARTS.values() for w in first_fields(f"{s}.exc")], 1000)
    endings = ["s", "es", "ses", "ies", "ves", "men", "ed", "ing", "er", "est", "S", "é", "\n", " "]
    made = [rng.choice(listed + irregular) + rng.choice(endings) for _ in range(2000)]
    report = (
        "Lungs opacities effusions was has does clear larger seen metastases diaphragms vertebrae US x-ray no not yes"
    )
    return [
        *listed,
        *irregular,
        *made,
        *report.split(),
        *(w.upper() for w in listed[:100]),
        "",
        "'s",
        "galore",
        "ſ",
        "K",
    ]


def test_synonyms_equal_nltk(installed_wordnet: wordnet.WordNet, nltk_wordnet: Any, words: list[str]) -> None:
    for word in words:
        theirs = {lemma.name() for synset in nltk_wordnet.synsets(word) for lemma in synset.lemmas()}
        assert installed_wordnet.synonyms(word) == theirs, word


@pytest.mark.parametrize("pos", ["n", "v", "a", "s", "r"])
def test_lemmas_equal_nltk(installed_wordnet: wordnet.WordNet, nltk_wordnet: Any, words: list[str], pos: str) -> None:
    for word in words:
        theirs = nltk_wordnet._morphy(word, pos)
        assert installed_wordnet.lemmas(word, pos) == theirs, word
        assert installed_wordnet.lemmatize(word, pos) == (min(theirs, key=len) if theirs else word)


def test_opening_takes_no_time_and_little_memory(installed_wordnet: wordnet.WordNet) -> None:
    import tracemalloc

    tracemalloc.start()
    start = time.perf_counter()
    db = wordnet.WordNet(installed_wordnet.folder)
    seconds = time.perf_counter() - start
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert db.synonyms("lung")
    assert seconds < 1.0  # 0.02 s on an idle machine
    assert held < 5e6


@given(st.text(max_size=20))
def test_no_text_raises(text: str) -> None:
    find: Callable[[], Any] = wordnet.find
    if find() is None:
        pytest.skip("WordNet is not installed")
    db = wordnet.installed()
    assert isinstance(db.synonyms(text), frozenset)
    assert isinstance(db.lemmatize(text), str)
