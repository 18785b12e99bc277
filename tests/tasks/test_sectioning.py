"""Reports cut into sections: difficult ones, all of Open-i's, and no character lost of anything."""

from __future__ import annotations

import json
import tarfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from radbench.tasks.readers.sectioning import METHODS, NAMES, Sections, mit_name, one_line, section_name, sections

from radbench.errors import ConfigError

DIFFICULT: list[dict[str, Any]] = json.loads((Path(__file__).parent / "difficult_reports.json").read_text("utf-8"))
_HEADERS = (
    " FINDINGS: ", " IMPRESSION:\n", "IMPRESSION\n", " findings: ", "Impression: ", " FINDINGS AND IMPRESSION: ",
    " IMPRESSION no ", "\tCOMPARISON:\t", " CHEST, TWO VIEWS: ", " FINAL REPORT\n", " ADDENDUM: ", ". IMPRESSION: ",
    " WET READ: ", " INDICATON: ", " FINDINGS (CHEST): ", " NOTE: ",
)  # fmt: skip
_BETWEEN = ("\n", "\r\n", "\n \n", " ", "\t", "___", "1. ", ": ")
_PIECES = st.one_of(st.sampled_from(_HEADERS), st.sampled_from(_BETWEEN), st.text(max_size=12))
REPORTS = st.lists(_PIECES, max_size=14).map("".join)
_USUAL = ("FINDINGS", "INDICATION", "COMPARISON", "IMPRESSION")
_SENTENCES = st.from_regex(r"[a-z]{2,9}( [a-z]{2,9})?\.", fullmatch=True)
LONG = {
    "blanks": " " * 50_000 + "x", "capitals": " " + "A " * 50_000, "headers": " FINDINGS " * 10_000,
    "underscores": " IMPRESSION" + "_" * 50_000 + "x", "lines": " \n" * 50_000, "brackets": " FINDINGS (" + "a(" * 20_000,
}  # fmt: skip


def found(report: Sections) -> dict[str, str]:
    return {name: one_line(report.get(name)) for name in NAMES if report.get(name)}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", DIFFICULT, ids=lambda c: c["name"])
def test_difficult_reports(case: dict[str, Any], method: str) -> None:
    assert found(sections("\n".join(case["text"]), method)) == case[method]


def test_there_are_thirty_difficult_reports() -> None:
    assert len({case["name"] for case in DIFFICULT}) == len(DIFFICULT) >= 30


@pytest.mark.parametrize("method", METHODS)
@given(REPORTS)
@example("")
@example(" FINDINGS:")
@example("\n IMPRESSION:\n IMPRESSION:")
def test_no_character_is_lost(method: str, text: str) -> None:
    report = sections(text, method)
    assert report.report == text
    headers = "".join(p.header for p in report.parts)
    named = "".join(report.get(name) for name in NAMES)
    had = Counter(c for c in text if not c.isspace())
    kept = Counter(c for c in headers + named + report.rest if not c.isspace())
    assert had <= kept


@pytest.mark.parametrize("method", METHODS)
@given(REPORTS)
def test_nothing_is_said_twice(method: str, text: str) -> None:
    report = sections(text, method)
    named = "".join(report.get(name) for name in NAMES) + report.rest
    assert Counter(c for c in named if not c.isspace()) <= Counter(c for c in text if not c.isspace())
    for name in NAMES:
        assert report.get(name) in text
        assert getattr(report, name) == report.get(name)


@pytest.mark.parametrize("method", METHODS)
@given(st.lists(st.tuples(st.sampled_from(_USUAL), _SENTENCES), unique_by=lambda part: part[0], min_size=1))
def test_sections_written_in_the_usual_form_come_back(method: str, parts: list[tuple[str, str]]) -> None:
    parts = sorted(parts, key=lambda part: part[0] == "IMPRESSION")
    text = " FINAL REPORT\n" + "".join(f" {name}:  {body}\n \n" for name, body in parts)
    expected = {name.lower(): body for name, body in parts}
    report = found(sections(text, method))
    assert {name: report.get(name, "") for name in expected} == expected


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("FINDINGS", "findings"), ("CONCLUSION", "impression"), ("FINDINGS AND IMPRESSION", "impression"),
        ("REASON FOR EXAMINATION", "indication"), ("CLINICAL INDICATION", "indication"), ("CLINICAL HISTORY", "history"),
        ("COMPARISON STUDY", "comparison"), ("TECHNIQUE", "technique"), ("TYPE OF EXAMINATION", "examination"),
        ("ADDENDUM", "addendum"), ("PORTABLE AP CHEST", "findings"), ("FRONTAL AND LATERAL VIEWS OF THE CHEST", "findings"),
        ("CHEST (PA AND LAT)", "findings"), ("IMPRESSON", "impression"), ("COMPARSION", "comparison"), ("TEHCNIQUE", "technique"),
        ("CT OF THE HEAD", "ct of the head"), ("NOTIFICATION", "notification"), ("WET READ", "wet read"), ("AND", "and"),
    ],
)  # fmt: skip
def test_header_names(header: str, name: str) -> None:
    assert section_name(header) == name


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("CHEST, LORDOTIC VIEW", "findings"), ("CHEST WITH NIPPLE MARKERS", "findings"),
        ("AP PORTABLE CHEST (NIGHT)", "findings"),
        ("PA AND LATERAL CHEST FILM DATED", "findings"), ("LEFT RIBS, BONE WINDOW", "findings"), ("TWO VIEWS", "findings"),
        ("CHEST FINDINGS AND IMPRESSION", "impression"), ("FINDINGS IN COMPARISON", "findings"),
        ("CHEST COMPARISON", "comparison"),
        ("PAST MEDICAL HISTORY", "history"), ("EXAM", "examination"), ("REASON FOR EXAM", "indication"), ("FINIDNGS", "findings"),
        ("PFI", "history"), ("INDICATIONS", "indications"), ("INDICATON", "indicaton"), ("TWO VIEW", "two view"),
        ("CHEST TECHNIQUE", "findings"), ("CONCLUSIONS", "conclusions"), ("WET READ", "wet read"),
    ],
)  # fmt: skip
def test_header_names_of_the_mit_parser(header: str, name: str) -> None:
    """Whole headers first, then a main word anywhere, then a word about the film; nothing by resemblance."""
    assert mit_name(header) == name


def test_below_a_header_that_stands_alone_the_mit_parser_skips_a_line() -> None:
    text = " CHEST, LORDOTIC VIEW:\n INDICATION: Cough.\n COMPARISON:  None.\n NIPPLE MARKERS, CHEST: \n FINDINGS:  Clear.\n"
    for ends in (text, text.replace("\n", "\r\n")):
        assert found(sections(ends, "mit")) == {"findings": "Clear.", "comparison": "None."}
    alone = " CHEST, LORDOTIC VIEW:\n INDICATION: Cough.\n"
    assert found(sections(alone, "mit")) == {"findings": "INDICATION: Cough."}
    empty = " COMPARISON:  None.\n \n Lungs are clear.\n IMPRESSION: \n"
    assert found(sections(empty, "mit")) == {"comparison": "None.", "last_paragraph": "Lungs are clear."}


def test_the_rest_holds_what_is_in_no_section() -> None:
    text = " FINAL REPORT\n FINDINGS:  First.\n WET READ:  Early.\n FINDINGS:  Last.\n IMPRESSION:  Done.\n"
    report = sections(text, "mit")
    assert report.findings == "Last."
    assert report.rest.splitlines() == ["FINAL REPORT", " FINDINGS:  First.", " WET READ:  Early."]


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no sectioning method 'mitt': did you mean 'mit'"):
        sections("text", "mitt")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_long_odd_texts_take_no_time(text: str, method: str) -> None:
    start = time.perf_counter()
    assert sections(text, method).report == text
    assert time.perf_counter() - start < 5


# --- all of Open-i ---


def openi_reports(shared: Path) -> list[dict[str, str]]:
    with tarfile.open(shared / "openi_reports" / "NLMCXR_reports.tgz") as archive:
        files = [archive.extractfile(m) for m in archive if m.name.endswith(".xml")]
        documents = [ET.parse(f) for f in files if f is not None]
    return [{str(a.get("Label")).lower(): one_line(a.text or "") for a in d.iter("AbstractText")} for d in documents]


@pytest.mark.parametrize("method", METHODS)
def test_all_openi_reports(shared: Path, method: str) -> None:
    """Written in the form of MIMIC-CXR and cut again: as many sections as the labelled XML has, and the same texts."""
    reports = openi_reports(shared)
    counts: Counter[str] = Counter()
    other = 0
    for parts in reports:
        order = ("indication", "comparison", "findings", "impression")
        text = " FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n \n" + "".join(
            f" {name.upper()}:  {parts[name]}\n \n" for name in order
        )
        report = sections(text, method)
        assert report.report == text
        counts.update(name for name in order if report.get(name))
        counts["both"] += bool(report.findings and report.impression)
        other += any(report.get(name) != parts[name] for name in order)
    assert len(reports) == 3955
    assert counts == {"findings": 3425, "impression": 3921, "both": 3419, "indication": 3865, "comparison": 3333}
    # Two reports name a header within their text, which only the lenient reading takes for one.
    assert other == (2 if method == "lenient" else 0)
