"""The tables of the parser that are kept beside the grammar."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

import fusionc
from fusionc.language import grammar as module
from fusionc.language.grammar import grammar

ROOT = Path(__file__).parents[2]
TEXT = "diagram d(x: 4x0e + 4x1o, y: 0e + 1o) -> 4x1o { x[u] y -> out[u] * W[path, u] }"


@pytest.fixture
def fresh():
    grammar.cache_clear()
    yield
    grammar.cache_clear()


def test_the_tables_are_those_of_the_grammar():
    """`make tables` writes them."""
    written = runpy.run_path(str(ROOT / "grammar" / "tables.py"))["tables"]()
    assert written == (ROOT / "grammar" / "tables.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("kept", [{}, {"grammar": "another", "lark": "0"}])
def test_without_them_the_parser_is_made_of_the_grammar(fresh, monkeypatch, kept):
    monkeypatch.setattr(module, "_kept", lambda: kept)
    assert fusionc.parse(TEXT)["d"].count_paths() == 2


def test_with_them_it_is_not(fresh, monkeypatch):
    monkeypatch.setattr(module, "made", None)
    assert fusionc.parse(TEXT)["d"].count_paths() == 2
