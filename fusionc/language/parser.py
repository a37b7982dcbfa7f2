"""Text to syntax tree: `read` a file, `parse` its text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from lark.exceptions import UnexpectedToken

from fusionc.files import read_bytes
from fusionc.language import syntax
from fusionc.language.collector import without_collector
from fusionc.language.diagnostics import Diagnostic, diagnose
from fusionc.language.errors import CompileError
from fusionc.language.grammar import grammar
from fusionc.language.lexer import Aside, statements, tokens
from fusionc.language.mistakes import Fault, describe
from fusionc.language.recover import Recovery
from fusionc.language.source import Source, Span
from fusionc.language.tokens import Token

MAX_BYTES = 64 * 2**20
MAX_LINE = 100_000
MAX_DIAGNOSTICS = 100


@dataclass(frozen=True)
class ParseResult:
    """The tree, as far as the text could be read, and what is wrong with the rest."""

    file: syntax.File
    diagnostics: tuple[Diagnostic, ...]


def read(path: str | Path, shown: str | None = None) -> Source:
    """The text of a file, called `shown` in diagnostics; a `CompileError` says why it cannot be read."""
    name = str(path) if shown is None else shown
    if not str(path):  # (`Path("")` is the folder one stands in)
        raise _unreadable("``", OSError("a file has a name"))
    try:
        data = read_bytes(Path(path), MAX_BYTES)
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from error
    return decode(name, data)


def read_stream(name: str, stream: TextIO | None) -> Source:
    """The text that is left in a stream, None where it is closed; a `CompileError` says why it cannot be read."""
    if stream is None:
        raise _unreadable(name, OSError("it is closed"))
    try:
        data = stream.buffer.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from error
    if data is None:
        raise _unreadable(name, OSError("it has nothing to read yet, and does not wait"))
    return decode(name, data)


def _unreadable(name: str, error: Exception) -> CompileError:
    reason = getattr(error, "strerror", None) or str(error)
    return CompileError([diagnose("F0005", f"{name} cannot be read: {reason}", Source(name, "").span(0, 0))])


def decode(name: str, data: bytes) -> Source:
    """The text that a file's bytes stand for; a `CompileError` says why they stand for none."""
    start = Source(name, "").span(0, 0)
    if len(data) > MAX_BYTES:
        raise CompileError([diagnose("F0010", f"{name} is larger than {MAX_BYTES // 2**20} MiB", start)])
    try:
        return Source(name, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        message = f"{name} is not UTF-8 text: byte {error.start} does not fit"
        raise CompileError([diagnose("F0004", message, start)]) from error


def parse(source: Source) -> ParseResult:
    """The tree of a text.

    A text with mistakes yields one diagnostic for each, and a tree of the items and statements without.
    """
    whole = source.span(0, len(source.text))
    if long_line := _long_line(source):
        return ParseResult(syntax.File(whole, ()), (long_line,))
    with without_collector():
        aside = Aside()
        diagnostics: list[Diagnostic] = []
        more, broken, is_partial = 0, tuple[str, ...](), False
        try:
            items = _parse_whole(source, aside)
        except UnexpectedToken as error:
            aside = Aside()
            recovery = Recovery(source, aside, MAX_DIAGNOSTICS)
            items = recovery.run()
            # Where the parts are sound but not their sum, what the first reading met must not be lost.
            diagnostics = recovery.diagnostics or [describe(Fault(error.token, lambda: {"_END"}, "file"))]
            more, broken, is_partial = recovery.more, tuple(recovery.broken), recovery.is_partial
    diagnostics = [found for found in diagnostics if found.span.start not in aside.findings]
    diagnostics = sorted([*diagnostics, *aside.findings.values()], key=lambda found: found.span.start)
    comments = tuple(comment for _, comment in sorted(aside.comments.items()))
    file = syntax.File(whole, items, comments, broken, is_partial)
    return ParseResult(file, limited(diagnostics, more, whole))


def _parse_whole(source: Source, aside: Aside) -> tuple[syntax.Item, ...]:
    feed = grammar().parse_interactive(start="file").feed_token
    for token in statements(tokens(source, aside)):
        feed(token)
    items: tuple[syntax.Item, ...] = feed(Token("$END", "", source, len(source.text), len(source.text)))
    return items


def _long_line(source: Source) -> Diagnostic | None:
    """A line whose code is longer than anyone writes: it would only cost time and memory."""
    text, start = source.text, 0
    while len(text) - start > MAX_LINE:
        newline = text.rfind("\n", start, start + MAX_LINE)
        if newline < 0:
            comment = text.find("#", start, start + MAX_LINE)
            if comment < 0:
                place = source.span(start, start + 1)
                message = f"a line of more than {MAX_LINE} characters"
                return diagnose("F0012", message, place, label="begins here")
            newline = text.find("\n", comment)
            if newline < 0:
                return None
        start = newline + 1
    return None


def limited(diagnostics: list[Diagnostic], more: int, whole: Span) -> tuple[Diagnostic, ...]:
    """The first hundred of many diagnostics, and one that says how many more there are."""
    more += max(0, len(diagnostics) - MAX_DIAGNOSTICS)
    kept = diagnostics[:MAX_DIAGNOSTICS]
    if more:
        place = whole.source.span(whole.end, whole.end)
        kept.append(diagnose("F0013", f"{more} more mistakes are not listed", place))
    return tuple(kept)
