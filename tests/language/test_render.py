from __future__ import annotations

import json
import re

import pytest
from texts import in_body, mistakes_in

from fusionc.language.codes import CODES
from fusionc.language.diagnostics import Diagnostic, Edit, Label, Repair, diagnose
from fusionc.language.render import render_github, render_json, render_sarif, render_text, summary
from fusionc.language.source import Source

SOURCE = Source("three_body.fus", "\n" * 8 + "    x[u] a -> e[u] in 3o\n    e b -> out\n")
SPAN = SOURCE.span(SOURCE.text.index("3o"), SOURCE.text.index("3o") + 2)


def _found(**more: object) -> Diagnostic:
    return diagnose("F1001", "1o x 1o does not contain 3o", SPAN, label="not reachable", **more)  # type: ignore[arg-type]


def test_the_layout() -> None:
    diagnostic = _found(notes=["1o x 1o = 0e + 1e + 2e", "two\nlines"], help="write `in 2e`\nor not")
    assert (
        render_text([diagnostic])
        == """\
error[F1001]: 1o x 1o does not contain 3o
  --> three_body.fus:9:23
   |
 9 |     x[u] a -> e[u] in 3o
   |                       ^^ not reachable
   = 1o x 1o = 0e + 1e + 2e
   = two
     lines
   = help: write `in 2e`
           or not"""
    )


def test_related_places() -> None:
    here = SOURCE.text.index("x[u]")
    below = SOURCE.text.index("e b")
    other = Source("other.fus", "irreps H = 1o\n")
    related = [
        Label(SOURCE.span(here, here + 4), "from here"),
        Label(SOURCE.span(below, below + 1), "to here"),
        Label(SOURCE.span(0, 0), "far away"),
        Label(other.span(7, 8), "declared there"),
    ]
    assert (
        render_text([_found(related=related)])
        == """\
error[F1001]: 1o x 1o does not contain 3o
   --> three_body.fus:9:23
    |
  1 |
    | - far away
...
  9 |     x[u] a -> e[u] in 3o
    |                       ^^ not reachable
    |     ---- from here
 10 |     e b -> out
    |     - to here
   ::: other.fus:1:8
    |
  1 | irreps H = 1o
    |        - declared there"""
    )


def test_warnings_and_several_diagnostics() -> None:
    warning = diagnose("F1012", "nothing uses `x`", SPAN)
    text = render_text([warning, _found()])
    assert text.startswith("warning[F1012]: nothing uses `x`\n")
    assert "\n\nerror[F1001]" in text
    assert summary([warning, _found(), _found()]) == "2 errors, 1 warning"
    assert summary([warning, warning]) == "2 warnings"
    assert summary([]) == "no errors"


def test_colors_wrap_the_same_text() -> None:
    colored = render_text([_found(help="x")], color=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render_text([_found(help="x")])
    assert colored != render_text([_found(help="x")])


def test_tabs_wide_and_hidden_characters() -> None:
    source = Source("odd\x1b.fus", "\tx 宽 é\u0301 \x1b\u202e @\n")
    place = source.text.index("@")
    text = render_text([diagnose("F0002", "bad\x07\u2028", source.span(place, place + 1), label="\x1b[31m")])
    head, arrow, _, code, carets = text.split("\n")
    assert "\x1b" not in text
    assert head == "error[F0002]: bad␇<U+2028>"
    assert arrow == "  --> odd␛.fus:1:12"
    assert code == " 1 |     x 宽 é\u0301 ␛<U+202E> @"
    assert carets.index("^") == code.index("@")  # 宽 takes one column more, the accent one less


def test_long_lines_show_the_place() -> None:
    source = Source("long.fus", "a " * 2000 + "= b" + " c" * 2000)
    place = source.text.index("=")
    code, carets = render_text([diagnose("F0001", "m", source.span(place, place + 1))]).split("\n")[3:]
    assert len(code) < 160
    assert code[carets.index("^")] == "="
    assert "…" in code


def test_the_end_of_a_file_and_a_file_without_text() -> None:
    source = Source("end.fus", "irreps H =")
    assert render_text([diagnose("F0003", "m", source.span(10, 10))]).endswith("   |           ^")
    nothing = Source("missing.fus", "")
    assert render_text([diagnose("F0005", "no", nothing.span(0, 0))]) == "error[F0005]: no\n  --> missing.fus"


def test_json() -> None:
    repair = Repair((Edit(SPAN, "2e"),), "2e, where 3o was written")
    found = _found(notes=["n"], help="h", related=[Label(SPAN, "there")], repairs=[repair])
    (read,) = json.loads(render_json([found]))
    place = {
        "start": {"line": 9, "column": 23, "offset": SPAN.start},
        "end": {"line": 9, "column": 25, "offset": SPAN.end},
    }
    assert read == {
        "code": "F1001",
        "severity": "error",
        "message": "1o x 1o does not contain 3o",
        "label": "not reachable",
        "file": "three_body.fus",
        "range": place,
        "notes": ["n"],
        "help": "h",
        "related": [{"message": "there", "file": "three_body.fus", "range": place}],
        "repairs": [
            {
                "changes_meaning": True,
                "effect": "2e, where 3o was written",
                "edits": [{"text": "2e", "file": "three_body.fus", "range": place}],
            }
        ],
    }
    assert json.loads(render_json([])) == []


def test_sarif() -> None:
    log = json.loads(render_sarif([_found(related=[Label(SPAN, "there")])]))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(CODES)
    (result,) = run["results"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "F1001"
    assert result["level"] == "error"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "three_body.fus"}
    assert place["region"] == {
        "startLine": 9,
        "startColumn": 23,
        "endLine": 9,
        "endColumn": 25,
        "charOffset": SPAN.start,
        "charLength": 2,
    }
    assert result["relatedLocations"][0]["message"] == {"text": "there"}


@pytest.mark.parametrize(
    ("name", "uri"),
    [("a b.fus", "a%20b.fus"), ("/x/ü.fus", "file:///x/%C3%BC.fus"), ("<string>", "%3Cstring%3E")],
)
def test_sarif_names_are_uris(name: str, uri: str) -> None:
    log = json.loads(render_sarif([diagnose("F0001", "m", Source(name, "x").span(0, 1))]))
    location = log["runs"][0]["results"][0]["locations"][0]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_github() -> None:
    source = Source("a,b:c.fus", "x\ny")
    one = diagnose("F0001", "50% of\nit", source.span(0, 1), help="h")
    two = diagnose("F1012", "m", source.span(0, 3))
    assert render_github([one, two]) == (
        "::error file=a%2Cb%3Ac.fus,line=1,endLine=1,col=1,endColumn=1,"
        "title=fusionc F0001%3A unexpected token::50%25 of%0Ait%0Ahelp: h\n"
        "::warning file=a%2Cb%3Ac.fus,line=1,endLine=2,title=fusionc F1012%3A a leg that nothing uses::m"
    )


def test_a_parser_diagnostic_end_to_end() -> None:
    assert (
        render_text(mistakes_in(in_body("x a => e")))
        == """\
error[F0001]: expected `->` or an edge, found `=`
  --> test.fus:3:9
   |
 3 |     x a => e
   |         ^^
   = help: write `->`"""
    )
