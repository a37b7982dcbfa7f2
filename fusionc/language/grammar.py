"""The grammar file, read once: lark's LALR tables and the terminals that the lexer is made of."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import lark
from lark import Lark, Transformer
from lark.lexer import PatternStr

from fusionc.language.build import Build
from fusionc.resources import resource

STARTS = ("file", "declaration", "opening", "statement")


@dataclass(frozen=True)
class Words:
    """The terminals, ready for the lexer.

    `pattern` matches one token, `keywords` maps a word to its terminal, `literals` a terminal to its text.
    """

    pattern: re.Pattern[str]
    keywords: dict[str, str]
    literals: dict[str, str]


@cache
def grammar() -> Lark:
    """The parser, from the tables that are kept, or made of the grammar where they belong to another: that takes a
    tenth of a second."""
    text, kept = grammar_text(), _kept()
    if (kept.get("grammar"), kept.get("lark")) != (digest(text), lark.__version__):
        return made(text, Build())
    parser = kept["data"]["parser"]["parser"]
    parser["states"] = {number: _by_number(actions) for number, actions in _by_number(kept["states"]).items()}
    parser["tokens"] = _by_number(parser["tokens"])
    return Lark._load_from_dict(kept["data"], _by_number(kept["memo"]), transformer=Build())


def _kept() -> dict[str, Any]:
    """The tables that `grammar/tables.py` wrote; none where they are missing or broken."""
    try:
        kept: dict[str, Any] = json.loads((resource("grammar") / "tables.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return kept


def _by_number(table: dict[str, Any]) -> dict[int, Any]:
    """A table with numbers for keys, which JSON does not have."""
    return {int(key): value for key, value in table.items()}


def grammar_text() -> str:
    return (resource("grammar") / "fusion.lark").read_text(encoding="utf-8")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def made(text: str, transformer: Transformer | None = None) -> Lark:
    """The parser of a grammar's text."""
    return Lark(text, parser="lalr", lexer="basic", start=list(STARTS), transformer=transformer)


@cache
def words() -> Words:
    """One regular expression for all terminals, each a named group, in the order in which they are tried.

    Three groups are not in the grammar, and so no rule accepts them: a word that begins with a digit and is
    no number (BADNUMBER), a word with letters beyond ASCII (BADWORD), a run of other characters (BADCHARS).
    """
    terminals = grammar().terminals
    literals = [t for t in terminals if isinstance(t.pattern, PatternStr)]
    patterns = sorted((t for t in terminals if t not in literals), key=lambda t: (-t.priority, t.name))
    keywords = {t.pattern.value: t.name for t in literals if t.pattern.value.isidentifier()}
    marks = [t for t in literals if t.pattern.value not in keywords]
    marks.sort(key=lambda t: -len(t.pattern.value))
    groups = [f"(?P<{t.name}>{t.pattern.to_regexp()})" + _boundary(t.name) for t in patterns]
    groups += [f"(?P<{t.name}>{re.escape(t.pattern.value)})" for t in marks]
    groups += [r"(?P<BADNUMBER>[0-9]\w*+)", r"(?P<BADWORD>\w++)"]
    groups += [r"(?P<BADCHARS>[^\w\s#\"(){}\[\];,:+*=-]++|.)"]
    pattern = re.compile(r"[ \t]*+(?:" + "|".join(groups) + r"|\Z)", re.DOTALL)
    return Words(pattern, keywords, {t.name: t.pattern.value for t in literals})


def _boundary(name: str) -> str:
    """A word or a number ends where no letter, digit or `_` follows."""
    return "" if name in ("STRING", "_END", "COMMENT", "IMPORT", "TIMES") else r"(?!\w)"
