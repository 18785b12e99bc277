"""The gate's reports: JUnit that parses whatever names hold, Markdown whose table no name can break."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

import radbench
from radbench.cli import work
from radbench.errors import Exit
from radbench.gate import check as gate
from radbench.gate.check import Check, GateResult
from radbench.gate.margins import Margins
from radbench.gate.reports import ROWS, code, junit, markdown
from radbench.paper.escapes import markdown_text

NAN = float("nan")
ODD = st.text(st.characters(), max_size=12) | st.text(
    "|`\\<>[]()*_@#&\r\n\t\x00\x1b\x85\u2028\ufffe\ud800 a", max_size=12
)


def check(task: str = "phantom/modality", metric: str = "accuracy", verdict: Any = "pass", **fields: Any) -> Check:
    given = {
        "better": "higher", "baseline": 0.9467, "value": 0.3432, "change": -0.6035, "low": -0.687, "high": -0.51234,
        "gain_low": -0.687, "gain_high": -0.51234, "margin": 0.05, "n": 169, "clusters": 130, "widened": False,
        "noise": None, "more_clusters": None, "reason": f"{metric} is {verdict}, and this says why.",
    }  # fmt: skip
    return Check(task, metric, verdict=verdict, **{**given, **fields})


def result(*checks: Check, exit: Exit = Exit.REGRESSION, **fields: Any) -> GateResult:
    given = {"run": "nightly", "baseline": "demo.npz", "headline": "Regression: 1 of 4 metrics got worse.", "notes": ()}
    return GateResult(level=0.95, exit=exit, checks=checks, **{**given, **fields})


MIXED = result(
    check(),
    check(metric="f1-macro", verdict="regression"),
    check("demo/modality", verdict="inconclusive", value=NAN, change=NAN, low=NAN, high=NAN),
    check("demo/modality", "rouge-l", "not gated", margin=None),
)


def columns(line: str) -> int:
    """Cells of a table row as GitHub counts them: pipes that no backslash escapes, less the outer two."""
    return len(re.sub(r"\\.", "", line).strip().strip("|").split("|"))


def table_of(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.startswith("|")]


# --- JUnit ---


def test_junit_has_a_suite_a_task_and_a_case_a_metric_with_counts_that_add_up() -> None:
    root = ElementTree.fromstring(junit(MIXED).encode())
    assert root.tag == "testsuites"
    assert {k: root.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4", "failures": "1", "errors": "1", "skipped": "1",
    }  # fmt: skip
    suites = {s.get("name"): s for s in root.iter("testsuite")}
    assert {n: (s.get("tests"), s.get("failures"), s.get("errors"), s.get("skipped")) for n, s in suites.items()} == {
        "phantom/modality": ("2", "1", "0", "0"), "demo/modality": ("2", "0", "1", "1"),
    }  # fmt: skip
    cases = {c.get("name"): c for c in root.iter("testcase")}
    assert [child.tag for child in cases["phantom/modality accuracy"]] == ["system-out"]
    failure = cases["phantom/modality f1-macro"].find("failure")
    assert failure is not None
    assert failure.get("message") == "f1-macro is regression, and this says why."
    assert "change: -0.6035" in (failure.text or "")
    error = cases["demo/modality accuracy"].find("error")
    assert error is not None and error.get("type") == "inconclusive" and "change: -\n" in (error.text or "")
    skipped = cases["demo/modality rouge-l"].find("skipped")
    assert skipped is not None and "says why" in (skipped.get("message") or "")


def test_names_of_cases_are_unique_since_gitlab_reads_the_first_alone() -> None:
    names = [c.get("name") for c in ElementTree.fromstring(junit(MIXED).encode()).iter("testcase")]
    assert len(set(names)) == len(names) == 4


def test_an_incomplete_run_is_an_error_of_its_own() -> None:
    root = ElementTree.fromstring(junit(result(check(), exit=Exit.INCOMPLETE, headline="12 answers are missing.")))
    assert (root.get("tests"), root.get("errors")) == ("2", "1")
    error = root.find("testsuite[@name='radbench check']/testcase/error")
    assert error is not None and error.get("message") == "12 answers are missing."
    empty = ElementTree.fromstring(junit(result(exit=Exit.OK)))
    assert (empty.get("tests"), len(empty)) == ("0", 0)


@given(ODD, ODD, ODD, st.sampled_from(["pass", "regression", "inconclusive", "not gated"]))
def test_junit_is_xml_whatever_names_hold(task: str, metric: str, reason: str, verdict: str) -> None:
    odd = result(check(task, metric, verdict, reason=reason), exit=Exit.INCOMPLETE, headline=reason)
    root = ElementTree.fromstring(junit(odd).encode("utf-8"))
    assert root.get("tests") == "2"
    assert len(list(root.iter("testcase"))) == 2


def test_plain_names_stand_in_junit_as_they_are_and_control_characters_as_escapes() -> None:
    root = ElementTree.fromstring(junit(result(check('a<"&é>', "m\x00\n\ud800"))))
    case = next(root.iter("testcase"))
    assert case.get("classname") == 'a<"&é>'
    assert case.get("name") == 'a<"&é> m\\x00\\n\\ud800'


# --- Markdown ---


def test_markdown_says_the_verdict_first_then_numbers_why_and_what_to_do() -> None:
    text = markdown(MIXED)
    assert text.startswith(
        "### Regression: 1 of 4 metrics got worse.\n\nRun `nightly` against baseline `demo.npz`.\n\n|"
    )
    rows = table_of(text)
    assert [columns(row) for row in rows] == [10] * 6
    assert "noise" not in rows[0]
    order = ["**regression**", "inconclusive", "pass", "not gated"]
    assert [word in row for word, row in zip(order, rows[2:], strict=True)] == [True] * 4
    assert "-0.6035 |" in rows[2] and "-0.6870 to -0.5123 |" in rows[2] and "| 0.05 |" in re.sub(" +", " ", rows[2])
    why = text[text.index("**Why**") : text.index("**What to do**")]
    assert (
        "- `phantom/modality` `f1-macro` fell from 0.9467 to 0.3432, a regression: f1-macro is regression, and this says why."
        in why
    )
    assert "- `demo/modality` `accuracy`, inconclusive:" in why
    assert "rouge-l" not in why
    assert "`radbench compare RUN BASELINE-RUN`" in text and "`radbench baseline RUN -o FILE`" in text
    assert "95 %, from resampling clusters" in text


@pytest.mark.parametrize(
    ("exit", "step"),
    [
        (Exit.OK, None),
        (Exit.REGRESSION, "radbench compare"),
        (Exit.INCONCLUSIVE, "radbench power"),
        (Exit.INCOMPLETE, "radbench resume"),
    ],
)
def test_each_verdict_says_what_to_do(exit: Exit, step: str | None) -> None:
    text = markdown(result(check(), exit=exit))
    assert ("What to do" in text) == (step is not None)
    assert step is None or step in text


def test_why_says_which_way_it_moved() -> None:
    rise = check(metric="r", verdict="regression", better="lower", baseline=0.1, value=0.5, change=0.4)
    same = check(metric="s", verdict="inconclusive", value=0.9467, change=0.0)
    text = markdown(result(rise, same))
    assert "`r` rose from 0.1000 to 0.5000, a regression: " in text
    assert "`s` stayed at 0.9467, inconclusive: " in text


def test_noise_widening_and_notes_show_where_there_are_any() -> None:
    noted = result(check(noise=0.0123, widened=True), check(metric="x"), notes=("The run is partial: 20 samples.",))
    text = markdown(noted)
    assert "noise" in table_of(text)[0] and "0.0123" in text
    assert "-0.6870 to -0.5123*" in text and "\\*: no cluster changed, or all alike" in text
    assert "none lost of n may still be a loss of 3 in n" in text and "\\*:" not in markdown(MIXED)
    assert "**Notes**\n\n- The run is partial: 20 samples.\n" in text


def test_a_change_that_rounds_to_zero_is_no_loss() -> None:
    assert "-0.0000" not in markdown(result(check(change=-1e-9, low=-1e-9, high=-0.0)))


def test_many_checks_are_listed_to_a_limit_with_the_worst_in_it() -> None:
    checks = [check(metric=f"m{i}") for i in range(400)] + [check(metric="last", verdict="regression")]
    text = markdown(result(*checks))
    assert len(table_of(text)) == ROWS + 2
    assert "last" in table_of(text)[2]
    assert "Not listed: 301 pass." in text
    assert len(text) < 65_536


@given(ODD, ODD, ODD)
def test_no_name_breaks_the_table_or_leaves_its_line(task: str, metric: str, name: str) -> None:
    odd = result(check(task, metric, "regression", reason=name), headline=name, run=name, baseline=name, notes=(name,))
    plain = result(check("a", "b", "regression", reason="c"), headline="c", run="c", baseline="c", notes=("c",))
    text = markdown(odd)
    assert [columns(line) for line in table_of(text)] == [10] * 3
    assert len(text.splitlines()) == len(markdown(plain).splitlines())
    assert text.encode("utf-8") == markdown(odd).encode("utf-8")


@given(ODD)
def test_a_code_span_holds_its_whole_text(text: str) -> None:
    span = code(text)
    fence = re.match("`+", span)
    assert fence is not None and span.endswith(fence.group())
    inner = span[len(fence.group()) : -len(fence.group())]
    assert fence.group() not in re.findall("`+", inner)
    assert inner.strip()[:1] != "`" or inner.startswith(" ")
    assert "|" not in re.sub(r"\\.", "", inner) and inner.isprintable()


def test_plain_sentences_stay_as_they_are() -> None:
    plain = "accuracy fell by 0.12 (95 % interval -0.15 to -0.09), more than the margin of 0.05: 169 samples."
    assert markdown_text(plain) == plain


def test_reports_depend_on_the_result_alone() -> None:
    again = result(*(replace(c) for c in MIXED.checks))
    assert junit(again) == junit(MIXED) and markdown(again) == markdown(MIXED)


# --- of real runs ---


def test_reports_of_restricted_data_hold_names_of_tasks_and_metrics_and_numbers_alone(
    text_task: Callable[..., Path], tmp_path: Path
) -> None:
    columns = {"cluster": "patient"}
    task = text_task(120, data={"table": "samples.jsonl", "access": "credentialed", "columns": columns})
    radbench.evaluate("constant:yes", str(task), out=tmp_path / "good", resamples=200)
    radbench.evaluate("constant:maybe so", str(task), out=tmp_path / "worse", resamples=200)
    found = gate.check(tmp_path / "worse", tmp_path / "good", Margins(0.05))
    assert found.exit is Exit.REGRESSION
    for text in (markdown(found), junit(found)):
        assert "test/toy" in text and "exact-match" in text
        assert "fell from 0.6667 to 0.0000" in text or "run: 0.0000" in text
        for row in map(json.loads, (task.parent / "samples.jsonl").read_text().splitlines()):
            for value in (row["id"], row["question"], row["patient"]):
                assert not re.search(rf"\b{re.escape(value)}\b", text)
        assert str(tmp_path) not in text and "maybe so" not in text


def test_an_interrupted_run_is_an_error_in_junit_and_told_in_markdown(
    text_task: Callable[..., Path], tmp_path: Path
) -> None:
    task = str(text_task(40))
    radbench.evaluate("constant:yes", task, out=tmp_path / "good", resamples=50)
    radbench.evaluate("constant:yes", task, out=tmp_path / "cut", resamples=50)
    answers = tmp_path / "cut" / "answers" / "1-of-1.jsonl"
    answers.write_text("\n".join(answers.read_text().splitlines()[:30]) + "\n")
    assert work.score(str(tmp_path / "cut"), None, None, None, None, True) == Exit.INCOMPLETE
    found = gate.check(tmp_path / "cut", tmp_path / "good", Margins(0.05))
    assert found.exit is Exit.INCOMPLETE
    assert "Incomplete" in markdown(found).splitlines()[0] and "radbench resume" in markdown(found)
    assert ElementTree.fromstring(junit(found)).find("testsuite[@name='radbench check']/testcase/error") is not None
