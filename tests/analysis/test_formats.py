"""The paper's table in every format: what is written, and that text of data and models is never markup or a formula."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import radbench
from radbench.cli.report import run
from radbench.errors import ConfigError, DataError
from radbench.paper.escapes import csv_text, html_text, latex_text, markdown_text
from radbench.paper.formats import CSV_FIELDS, FORMATS, write
from radbench.paper.rows import Published, Result, Row
from radbench.paper.table import Column, PaperTable, Section
from radbench.report import clean, load_results, table

MARKUP = [
    "<script>alert(1)</script>", "a|b", r"\input{/etc/passwd}", r"\write18{rm}", "line\nbreak", "\x1b[31mred", "`code`",
    "[x](http://evil.example)", "![](//evil.example/p.png)", "http://evil.example", "www.evil.example", "@someone", "#1",
    "$x^2$", "100 % & more_", "~{}", "--", "''", '"', "=1+1", "+1", "-1", "@SUM(A1)", "＝1+1", "\t=1", "[0.1]", "* star",
    "é ü ß ø Å", "中文", "\u202eabc", "a\\|b", "&lt;", "1. x", "- x", "> x", "?`", "\x00", "\\\\", "%", "\\", "''' ,,",
]  # fmt: skip
SPECIAL = st.sampled_from(
    [*MARKUP, *"\\{}$&#^_%~<>|`*[]()!@+-='\",.\n\r\t 1aé中†↑", "<b>", "-->", "]]>", "</td>", "\\\\["]
)
HOSTILE = st.one_of(
    st.sampled_from(MARKUP), st.lists(SPECIAL, min_size=1, max_size=8).map("".join), st.text(max_size=12)
)
RESULT = Result(0.35321, 0.11811, 0.5284, 40, 30, 2, True, "percentile")
PRINTED = Published("MedDr", "Table 1", "RadFM", "F1", 0.5, 0.4, 0.6, 3, "fraction", "f", "", "", "higher")
OTHER = replace(PRINTED, metric="BLEU", nearest="b", reason="the paper names no tokeniser", doubt="a slip", value=0.4941,
                decimals=4, unit="percent")  # fmt: skip


def paper(
    model: str = "m", title: str = "Title", task: str = "suite/task", metric: str = "f", note: str = "note"
) -> PaperTable:
    """A table of two runs with our row, a row as printed and one without value."""
    own = Row(task, title, "", 1, metric, "s|v:1", "higher", False, (RESULT, None), (PRINTED,))
    below = replace(
        own, metric="BLEU", as_printed=True, results=(None, None), published=(OTHER, replace(OTHER, model=model))
    )
    rows = (own, below, replace(own, metric="q", results=(replace(RESULT, clustered=False), RESULT), published=()))
    columns = tuple(Column(m, "run", m, False, 0.95, 1000, 0, "0") for m in (model, "other"))
    return PaperTable(columns, (Section(task.partition("/")[0], rows, (note, "* unclustered: narrow.")),), ("apart",))


# --- what is written ---


def test_values_have_the_digits_asked_for_and_printed_ones_those_of_the_paper() -> None:
    text = write(paper(), "md", 2)
    assert "0.35 [0.12, 0.53]" in text
    assert "0.500 [0.400, 0.600] †" in text
    assert "0.4941 [0.4000, 0.6000] †" in text
    assert "0.353 [0.118, 0.528]" in write(paper(), "latex")
    assert "-0.0" not in write(replace(paper(), sections=(Section("s", (_valued(-1e-9),), ()),)), "md")


def _valued(value: float | None) -> Row:
    return replace(paper().sections[0].rows[0], results=(replace(RESULT, value=value), None), published=())


@pytest.mark.parametrize("form", ["md", "html", "latex"])
def test_every_number_for_people_has_its_marks_and_footnotes(form: str) -> None:
    text = write(paper(), form)
    for said in ("published: printed in the paper, not run here", "arXiv 2404.15127", "Table 1", "a slip", "as printed",
                 "BLEU: not known to be the same metric as b, so in a row of its own: the paper names no tokeniser.",
                 "MedDr prints BLEU in percent; divided by 100 here.", "unclustered: narrow.", "apart"):  # fmt: skip
        assert said in html.unescape(text)
    assert "N/A" in write(replace(paper(), sections=(_not_available(),)), form)


def _not_available() -> Section:
    row = paper().sections[0].rows[0]
    none = replace(PRINTED, value=None, low=None, high=None)
    return Section("s", (replace(row, published=(none,)),), ())


def test_one_source_is_cited_once_and_several_on_each_score() -> None:
    assert "MedDr, Table 1 (He et al." in write(paper(), "md")
    row = paper().sections[0].rows[0]
    two = replace(row, published=(PRINTED, replace(PRINTED, model="MedDr", source="prose")))
    text = write(replace(paper(), sections=(Section("s", (two,), ()),)), "md")
    assert "- ¹ MedDr, Table 1." in text
    assert "- ² MedDr, prose." in text


def test_n_and_failed_are_told_once_where_the_runs_agree() -> None:
    row = replace(_valued(0.5), results=(RESULT, replace(RESULT, failed=5)))
    text = write(replace(paper(), sections=(Section("s", (row,), ()),)), "md")
    assert "| 40  | 2 / 5" in text


def test_latex_of_many_rows_goes_on_in_further_tables_of_whole_tasks() -> None:
    rows = tuple(replace(_valued(0.5), task=f"s/t{i // 3}", metric=f"m{i % 3}") for i in range(90))
    text = write(replace(paper(), sections=(Section("s", rows, ()),)), "latex")
    tables = text.split(r"\begin{table}")[1:]
    assert [t.count("0.500 [") for t in tables] == [39, 39, 12]
    assert [re.findall(r"\\label{(.*)}", t) for t in tables] == [[f"tab:radbench-s-{i}"] for i in (1, 2, 3)]
    assert re.findall(r"\\usepackage{(\w+)}", text) == ["booktabs"]


def test_csv_has_a_line_each_number_in_full_precision() -> None:
    lines = list(csv.DictReader(io.StringIO(write(paper(), "csv"))))
    assert [(r["metric"], r["run"], r["published_model"]) for r in lines] == [
        ("f", "run", ""), ("f", "", "RadFM"), ("b", "", "RadFM"), ("b", "", "m"), ("q", "run", ""), ("q", "run", ""),
    ]  # fmt: skip
    assert (lines[0]["value"], lines[0]["low"], lines[0]["n"], lines[0]["partial"]) == (
        "0.35321",
        "0.11811",
        "40",
        "false",
    )
    assert (lines[1]["published_same"], lines[2]["published_same"]) == ("true", "false")
    assert lines[2]["published_value"] == "0.4941"
    required = (
        "task,title,suite,metric,signature,run,model,value,low,high,level,n,clusters,failed,partial,published_value"
    )
    assert ",".join(CSV_FIELDS).startswith(f"{required},published_low,published_high,published_model,published_source")


def test_json_holds_the_whole_table() -> None:
    document = json.loads(write(replace(paper(), sections=(Section("s", (_valued(float("nan")),), ()),)), "json"))
    assert document["tables"][0]["rows"][0]["results"][0]["value"] is None
    document = json.loads(write(paper(), "json"))
    assert document["format"] == 1
    assert document["runs"][0]["model"] == "m"
    row = document["tables"][0]["rows"][1]
    assert (row["as_printed"], row["results"], row["published"][0]["same"]) == (True, [None, None], False)


# --- nothing of a text is markup ---


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")


PLAIN_TAGS = Counter(Page(write(paper(), "html")).tags)


@given(HOSTILE, HOSTILE, HOSTILE)
@settings(max_examples=30, deadline=None)
def test_html_has_the_same_tags_whatever_the_names_are(model: str, title: str, note: str) -> None:
    page = Page(write(paper(model=model, title=title or "t", note=note), "html"))
    assert Counter(page.tags) == PLAIN_TAGS
    assert clean(title) in page.text or not clean(title)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "a", "img", "link", "iframe"})


@given(HOSTILE)
def test_html_text_reads_as_the_text(text: str) -> None:
    page = Page(f'<p title="{html_text(text)}">{html_text(text)}</p>')
    assert page.tags == [("p", (("title", clean(text)),))]
    assert "".join(page.text) == clean(text)


def rendered(markdown: str) -> Page:
    return Page(MarkdownIt("commonmark").enable("table").render(markdown))


@given(HOSTILE, HOSTILE, HOSTILE)
@settings(max_examples=30, deadline=None)
def test_markdown_keeps_its_columns_and_has_no_markup_of_a_name(model: str, title: str, note: str) -> None:
    page = rendered(write(paper(model=model, title=title, note=note), "md"))
    tags = Counter(tag for tag, _ in page.tags)
    assert (tags["th"], tags["td"]) == (7 + _extra_column(model), 3 * (7 + _extra_column(model)))
    assert tags.keys() == {"p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert (tags["ul"], tags["table"], tags["strong"]) == (2, 1, 2)


def _extra_column(model: str) -> int:
    return int(model != "RadFM")


@given(HOSTILE)
@settings(max_examples=150, deadline=None)
def test_markdown_text_reads_as_the_text(text: str) -> None:
    for markdown in (f"x {markdown_text(text)} x", f"- {markdown_text(text)}"):
        page = rendered(markdown)
        assert {tag for tag, _ in page.tags} <= {"p", "ul", "li"}
    page = rendered(f"| h |\n|---|\n| {markdown_text(text)} |")
    assert Counter(tag for tag, _ in page.tags) == {"table": 1, "thead": 1, "tbody": 1, "tr": 2, "th": 1, "td": 1}
    assert "".join(page.text).replace("\u200b", "").split() == ["h", *clean(text).replace("\u200b", "").split()]


@pytest.mark.parametrize(
    "text", ["http://evil.example", "www.evil.example", "WWW.evil.example", "@someone", "see #1", "a@b.example"]
)
def test_markdown_calls_nobody_and_links_nowhere(text: str) -> None:
    """What GitHub makes links of beyond CommonMark: bare addresses, mentions, issues."""
    assert not re.search(r"://|www\.|@\w|(?<!&)#\d", markdown_text(text), re.IGNORECASE)


LATEX_TOKEN = re.compile(r"\\[a-zA-Z]+\*?|\\.|[{}$&#^_%~]|[^\\{}$&#^_%~]+", re.DOTALL)
KNOWN = {
    r"\begin", r"\end", r"\centering", r"\footnotesize", r"\caption", r"\label", r"\toprule", r"\midrule", r"\bottomrule",
    r"\addlinespace", r"\multicolumn", r"\textit", r"\texttt", r"\par", r"\smallskip", r"\parbox", r"\linewidth",
    r"\scriptsize", r"\raggedright", r"\dagger", r"\uparrow", r"\downarrow", r"\rightarrow", r"\leftarrow", r"\pm", r"\times",
    r"\leftrightarrow", r"\Rightarrow", r"\leq", r"\geq", r"\mu", r"\textbackslash", r"\textasciitilde",
    r"\textasciicircum", r"\textendash", r"\textemdash", r"\ldots", r"\ss", r"\o", r"\O", r"\ae", r"\AE", r"\oe", r"\OE",
    r"\l", r"\L", r"\r", r"\u", r"\v", r"\c", r"\H", r"\\", r"\{", r"\}", r"\_", r"\%", r"\&", r"\#", r"\$",
    r"\`", r"\'", r"\^", r"\~", r"\=", r"\.", r"\"",
}  # fmt: skip


def latex_tokens(text: str) -> list[str]:
    """Tokens of a source, comments left out; fails on a command that is not ours and on unbalanced braces or formulas."""
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    tokens = LATEX_TOKEN.findall("\n".join(lines))
    assert "".join(tokens) == "\n".join(lines)
    depth, formula = 0, False
    for token in tokens:
        assert not token.startswith("\\") or token in KNOWN, token
        assert token not in ("%", "#", "~"), token
        assert token not in ("^", "_") or formula
        depth += (token == "{") - (token == "}")
        assert depth >= 0
        formula ^= token == "$"
    assert (depth, formula) == (0, False)
    return tokens


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
@settings(max_examples=40, deadline=None)
def test_latex_has_its_commands_alone_and_as_many_cells_a_row(model: str, title: str, metric: str, note: str) -> None:
    text = write(paper(model=model, title=title, metric=metric, note=note), "latex")
    assert text.isascii()
    latex_tokens(text)
    body = text.partition("\\toprule\n")[2].partition("\\bottomrule")[0].splitlines()
    rows = [line for line in body if line not in (r"\midrule", r"\addlinespace")]
    assert len(rows) == 5
    assert all(row.endswith(r" \\") for row in rows)
    cells = {LATEX_TOKEN.findall(row).count("&") for row in rows if not row.startswith(r"\multicolumn")}
    assert cells == {5 + _extra_column(model)}
    assert not any(row.startswith(("[", "*")) for row in rows)


@given(HOSTILE)
@settings(max_examples=150, deadline=None)
def test_latex_text_is_ascii_and_says_every_letter(text: str) -> None:
    out = latex_text(text)
    latex_tokens(f"x{out}")
    assert out.isascii()
    assert not re.search("--|''|,,|\n", out.replace("{''}", "Q"))
    letters = re.sub(r"\\[a-zA-Z]+|\\.", "", out)
    for word in re.findall(r"[A-Za-z0-9]{3,}", clean(text)):
        assert word in letters


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("f1_macro 50 %", r"f1\_macro 50 \%"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("é Å ç", r"\'{e} \r{A} \c{c}"),
        ("[0.1]", "{[}0.1]"),
        ("* x", "{*} x"),
        ("--x", "-{}-x"),
        ("中", "[U+4E2D]"),
        ("bleu ↑", r"bleu $\uparrow$"),
    ],
)
def test_latex_of_some_texts(text: str, latex: str) -> None:
    assert latex_text(text) in (latex, f"{{{latex[0]}}}{latex[1:]}")


@given(HOSTILE, HOSTILE)
@settings(max_examples=40, deadline=None)
def test_csv_round_trips_and_no_cell_is_a_formula(model: str, title: str) -> None:
    lines = list(csv.DictReader(io.StringIO(write(paper(model=model, title=title), "csv"))))
    assert len(lines) == 6
    assert {line["title"] for line in lines} == {csv_text(title)}
    assert lines[0]["model"] == csv_text(model)
    assert csv_text(title).removeprefix("'") in (clean(title), clean(title).removeprefix("'"))
    for line in lines:
        for name, cell in line.items():
            if name not in ("value", "low", "high"):
                assert not cell.strip().startswith(("=", "+", "-", "@"))


@given(HOSTILE, HOSTILE)
@settings(max_examples=30, deadline=None)
def test_json_round_trips(model: str, title: str) -> None:
    document = json.loads(write(paper(model=model, title=title), "json"))
    assert document["runs"][0]["model"] == model
    assert document["tables"][0]["rows"][0]["title"] == title


# --- the command ---


@pytest.fixture
def made(text_task: Callable[..., Path], tmp_path: Path) -> str:
    radbench.evaluate("constant:yes", str(text_task(40)), out=tmp_path / "run", resamples=100)
    return str(tmp_path / "run")


def test_without_a_format_the_report_is_as_ever(made: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([made]) == 0
    assert capsys.readouterr().out == table(load_results(Path(made)))
    assert run([made], as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == load_results(Path(made))
    run([made, made])
    assert capsys.readouterr().out.count("model: constant:yes") == 2


@pytest.mark.parametrize("form", FORMATS)
def test_a_table_goes_to_a_file_whole_or_to_standard_output(
    made: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "table.txt"
    out.write_text("before")
    digits = None if form in ("csv", "json") else 2  # these hold all digits
    assert run([made], form, str(out), ["exact-match"], ["test/toy"], digits) == 0
    assert capsys.readouterr().out == ""
    assert run([made], form, "-", ["exact-match"], ["test/toy"], digits) == 0
    assert out.read_text(encoding="utf-8") == capsys.readouterr().out
    assert "exact-match" in out.read_text(encoding="utf-8")
    assert not list(tmp_path.glob(".table*"))


def test_a_file_that_cannot_be_written_stays_as_it_was(
    made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "table.md"
    out.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(Exception, match="cannot write") as raised:
        run([made], "md", str(out))
    assert raised.type.__name__ == "RadbenchError"
    assert out.read_text() == "before"
    assert not list(tmp_path.glob(".table*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "docx"}, "unknown format 'docx'"),
        ({"form": "md", "digits": 40}, "--digits is 40, expected 0 to 12"),
        ({"digits": 2}, "--digits goes with --format"),
        ({"form": "csv", "digits": 2}, "--digits does not go with csv"),
        ({"form": "md", "as_json": True}, "--json prints the results.json of one run"),
        ({"form": "md", "metrics": ["exact-mach"]}, "did you mean 'exact-match'"),
        ({"tasks": ["test/toi"]}, "did you mean 'test/toy'"),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_said(made: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        run([made], **options)  # type: ignore[arg-type]


def test_a_run_that_is_not_scored_is_said(made: str) -> None:
    (Path(made) / "results.json").unlink()
    with pytest.raises(DataError, match=r"has no results\.json yet"):
        run([made], "md")
