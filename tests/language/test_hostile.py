"""Texts that nobody writes: each gives diagnostics, quickly, and none a traceback."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from texts import PROGRAMS

from fusionc.language.parser import MAX_DIAGNOSTICS, parse
from fusionc.language.render import render_github, render_json, render_sarif, render_text
from fusionc.language.source import Source

OPEN = "diagram f(x: H) -> H {\n"
BINARY = bytes(random.Random(0).randrange(256) for _ in range(200_000)).decode("latin-1")

HOSTILE = {
    "binary": BINARY,
    "one line": "x " * 5_000_000,
    "one line in a body": OPEN + "x " * 5_000_000 + "\n}",
    "digits": "irreps H = " + "9" * 10_000_000,
    "fewer digits": "irreps H = " + "9" * 90_000,
    "a long name": "irreps " + "a" * 90_000 + " = 1o\n",
    "at signs": "@" * 10**6,
    "at signs in lines": "@\n" * 20_000,
    "nul": "\0" * 10_000,
    "carriage returns": "\r" * 10_000,
    "quotes": '"' * 90_000,
    "closing braces": "}\n" * 10_000,
    "mistakes in a body": OPEN + "a = b\n" * 10_000 + "}\n",
    "mistakes in declarations": "sites\n" * 10_000,
    "diagrams with mistakes": (OPEN + "a = b\n}\n") * 5_000,
    "unclosed diagrams": OPEN * 5_000,
    "unclosed legs": "diagram f(x: H\n" * 5_000,
    "unclosed brackets": (OPEN + "x[u\n") * 2_000,
    "braces": OPEN + "{\n" * 20_000,
    "a large exponent": OPEN + "a -> b * 1e999999999\n}",
    "lone surrogates": "irreps \ud800 = 1o",
    **{f"nested {bracket}": bracket * 10_000 for bracket in "([{"},
    **{f"nested {bracket} in a body": OPEN + bracket * 10_000 + "\n}" for bracket in "([{"},
    **{f"nested {bracket} in lines": OPEN + (bracket + "\n") * 10_000 + "}" for bracket in "([{"},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_give_diagnostics_quickly(name: str) -> None:
    start = time.process_time()
    diagnostics = parse(Source("hostile.fus", HOSTILE[name])).diagnostics
    shown = render_text(diagnostics)
    assert time.process_time() - start < 3  # well below one second on a quiet machine
    assert 1 <= len(diagnostics) <= MAX_DIAGNOSTICS + 1
    assert max(map(len, shown.splitlines())) < 400
    assert not any(char < " " for char in shown.replace("\n", ""))


@pytest.mark.parametrize(
    "text",
    [
        "#" * 10**7,
        "# " + "x" * 10**7,
        "\n" * 10**5,
        " " * 50_000,
        OPEN + "a -> e in 3" + " #\n" * 20_000 + " * W\n}",
    ],
    ids=["hashes", "a comment", "newlines", "blanks", "a number far from its name"],
)
def test_large_texts_without_mistakes(text: str) -> None:
    start = time.process_time()
    assert parse(Source("large.fus", text)).diagnostics == ()
    assert time.process_time() - start < 3


def test_the_last_diagnostic_counts_those_not_listed() -> None:
    diagnostics = parse(Source("many.fus", "sites\n" * 1234)).diagnostics
    assert diagnostics[-1].code == "F0013"
    assert diagnostics[-1].message == f"{1234 - MAX_DIAGNOSTICS} more mistakes are not listed"


PIECES = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "->",
    " in ",
    "#",
    '"',
    "\n",
    ";",
    ",",
    "*",
    "64x1o",
    "1/2",
    "out",
    "@",
    "é",
    "",
]


@st.composite
def spoiled(draw: st.DrawFn) -> str:
    """A program with a few characters replaced."""
    text = draw(st.sampled_from(PROGRAMS))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 3))
        text = text[:start] + draw(st.sampled_from(PIECES)) + text[end:]
    return text


@given(spoiled() | st.text(max_size=60))
def test_any_text_can_be_read_and_reported(text: str) -> None:
    diagnostics = parse(Source("any.fus", text)).diagnostics
    for diagnostic in diagnostics:
        for span in (diagnostic.span, *(label.span for label in diagnostic.related)):
            assert 0 <= span.start <= span.end <= len(text)
    for render in (render_text, render_json, render_sarif, render_github):
        render(diagnostics)
