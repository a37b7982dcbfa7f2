"""Text to tokens, and which newlines end a statement."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fusionc.language import syntax
from fusionc.language.diagnostics import Diagnostic, Edit, Repair, diagnose
from fusionc.language.display import character_name, is_hidden
from fusionc.language.grammar import words
from fusionc.language.numbers import MAX_DECIMAL, MAX_DIGITS, MAX_EXPONENT, divides_by_zero, is_too_long
from fusionc.language.source import Source, Span
from fusionc.language.tokens import Token

MAX_NAME = 255
MAX_RENAMED = 1000  # places at which a repair changes a name
MAX_RENAMINGS = 20  # repairs that do
BYTE_ORDER_MARK = "\ufeff"
JOINERS = "\u200c\u200d"  # scripts and pictures need them; they change no order


@dataclass
class Aside:
    """What the lexer finds and the parser does not see: comments, and words that are wrong by themselves.

    Both are keyed by where they stand, since a part of the text may be read more than once.
    """

    comments: dict[int, syntax.Comment] = field(default_factory=dict)
    findings: dict[int, Diagnostic] = field(default_factory=dict)

    def comment(self, source: Source, start: int, text: str) -> None:
        line = source.text.rfind("\n", 0, start) + 1
        own_line = not source.text[line:start].strip(" \t" + BYTE_ORDER_MARK)
        text = text.rstrip()
        self.comments[start] = syntax.Comment(source.span(start, start + len(text)), text, own_line)


def tokens(source: Source, aside: Aside, start: int = 0, end: int | None = None) -> Iterator[Token]:
    """The tokens of a text, or of the part from `start` to `end`; every newline is an `_END` here."""
    table = words()
    keyword = table.keywords.get
    if start == 0 and source.text.startswith(BYTE_ORDER_MARK):
        start = 1
    for match in table.pattern.finditer(source.text, start, len(source.text) if end is None else end):
        kind = match.lastgroup
        if kind is None:
            continue
        text = match[kind]
        stop = match.end()
        if kind == "NAME":
            kind = keyword(text, kind)
            if text[0] == "_" or len(text) > MAX_NAME:
                _check_name(source.span(stop - len(text), stop), aside)
        elif kind == "COMMENT":
            aside.comment(source, stop - len(text), text)
            _check_hidden(source.span(stop - len(text), stop), aside, JOINERS)
            continue
        elif kind == "STRING":
            _check_hidden(source.span(stop - len(text), stop), aside, "")
        elif kind in NUMBERS and (len(text) > MAX_DIGITS or "/" in text or kind == "DECIMAL"):
            _check_number(source.span(stop - len(text), stop), aside)
        yield Token(kind, text, source, stop - len(text), stop)


NUMBERS = frozenset({"INT", "COUNT", "HALF", "DECIMAL", "BLOCK", "IRREP", "TIMES"})


def _check_name(span: Span, aside: Aside) -> None:
    name = span.text
    if len(name) > MAX_NAME:
        message = f"a name of {len(name)} characters; {MAX_NAME} are the limit"
        aside.findings[span.start] = diagnose("F0009", message, span, label="too long")
    elif name.startswith("__"):
        message = f"`{name}` is reserved: names that begin with two underscores belong to Python"
        other = span.source.unused(name.strip("_") or "x")
        repairs = [renamed(span, other)] if len(aside.findings) < MAX_RENAMINGS else []
        aside.findings[span.start] = diagnose("F0007", message, span, help=f"write `{other}`", repairs=repairs)


def renamed(word: Span, name: str) -> Repair:
    """Another name wherever a word stands, outside of comments and paths."""
    source = word.source
    places = re.finditer(rf"#[^\n]*|\"[^\"\n]*\"|(?<!\w){re.escape(word.text)}(?!\w)", source.text)
    spans = [source.span(*match.span()) for match in places if match[0][0] not in '#"']
    return Repair(tuple(Edit(span, name) for span in spans[:MAX_RENAMED]))


def _check_hidden(span: Span, aside: Aside, allowed: str) -> None:
    """Characters that make a text look like another one, in comments and paths too."""
    text = span.text
    if text.isascii() and text.isprintable():
        return
    hidden = [place for place, char in enumerate(text, span.start) if is_hidden(char) and char not in allowed]
    if hidden:
        place = span.source.span(hidden[0], hidden[0] + 1)
        edits = tuple(Edit(span.source.span(at, at + 1), "") for at in hidden[:1000])
        aside.findings[hidden[0]] = diagnose(
            "F0002",
            f"unexpected character {character_name(place.text)}",
            place,
            label="it does not show",
            help="leave it out: what is shown would not be what is read",
            repairs=[Repair(edits, "" if text.startswith("#") else "the path is another one")],
        )


def _check_number(span: Span, aside: Aside) -> None:
    if is_too_long(span.text):
        limits = f"{MAX_DIGITS} digits, decimals {MAX_DECIMAL}, and exponents go up to {MAX_EXPONENT}"
        message = f"a number that is too long: integers have at most {limits}"
        aside.findings[span.start] = diagnose("F0009", message, span, label="too long")
    elif divides_by_zero(span.text):
        message = f"`{span.text}` divides by zero"
        aside.findings[span.start] = diagnose("F0011", message, span, label="zero below the bar")


# A newline ends no statement after the first set of tokens, nor before the second.
OPEN_ENDS = frozenset({"PLUS", "COMMA", "EQUAL", "COLON"})
OPEN_STARTS = frozenset({"PLUS", "STAR", "IN", "LBRACE"})


def statements(raw: Iterable[Token]) -> Iterator[Token]:
    """The tokens that the parser reads: an `_END` stands only where a statement ends.

    Newlines inside `( )` and `[ ]`, empty lines, and newlines where a line goes on are dropped.
    """
    depth = 0
    end: Token | None = None  # held back until the next token is known
    goes_on = True  # no statement has begun, or the last token wants another
    begun = False
    for token in raw:
        kind = token.type
        if kind == "_END":
            hard = token.text == ";"
            if begun and (hard or not (depth or goes_on)) and (end is None or hard):
                end = token
            continue
        if end is not None:
            if kind not in OPEN_STARTS or end.text == ";":
                yield end
            end = None
        begun = kind != "LBRACE"
        goes_on = kind in OPEN_ENDS
        if kind == "LPAR" or kind == "LSQB":
            depth += 1
        elif kind == "RPAR" or kind == "RSQB":
            depth = depth - 1 if depth else 0
        elif kind == "LBRACE" or kind == "RBRACE":
            depth = 0
        yield token
    if end is not None:
        yield end
