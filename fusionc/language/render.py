"""Diagnostics as text: what a person reads on a terminal. `reports` has the forms for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fusionc.language.diagnostics import Diagnostic
from fusionc.language.display import shown, visible
from fusionc.language.reports import render_github, render_json, render_sarif
from fusionc.language.source import Source, Span

__all__ = ["render_github", "render_json", "render_sarif", "render_text", "summary"]

MAX_COLUMNS = 140
COLORS = {"error": "1;31", "warning": "1;33", "gutter": "1;34", "related": "1;34", "help": "1;36"}
COLORS["message"] = "1"


def render_text(diagnostics: Iterable[Diagnostic], color: bool = False) -> str:
    """Each diagnostic with the line that it is about and carets under the exact text.

        error[F2001]: 1o x 1o does not contain 3o
          --> three_body.fus:9:18
           |
         9 |     x[u] a -> e[u] in 3o
           |                       ^^ not reachable
           = a note
           = help: a repair

    Related places are underlined with `-`. Lines that are too long show the part around the carets.
    """
    return "\n\n".join("\n".join(_Block(diagnostic, color).lines()) for diagnostic in diagnostics)


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """`2 errors, 1 warning`; `no errors` where there is nothing to count."""
    severities = [diagnostic.severity for diagnostic in diagnostics]
    counts = ((severities.count(kind), kind) for kind in ("error", "warning"))
    return ", ".join(f"{n} {kind}{'' if n == 1 else 's'}" for n, kind in counts if n) or "no errors"


def _plain(text: str, style: str) -> str:
    return text


def _colored(text: str, style: str) -> str:
    return f"\x1b[{COLORS[style]}m{text}\x1b[0m"


@dataclass(frozen=True)
class _Mark:
    """A place to underline."""

    span: Span
    text: str
    sign: str
    style: str


class _Block:
    """The lines that one diagnostic becomes."""

    def __init__(self, diagnostic: Diagnostic, color: bool) -> None:
        self._diagnostic = diagnostic
        self._paint = _colored if color else _plain
        self._marks = [_Mark(diagnostic.span, diagnostic.label, "^", diagnostic.severity)]
        self._marks += [_Mark(label.span, label.text, "-", "related") for label in diagnostic.related]
        self._digits = max(len(str(mark.span.line)) for mark in self._marks)

    def lines(self) -> Iterator[str]:
        diagnostic = self._diagnostic
        head = self._paint(f"{diagnostic.severity}[{diagnostic.code}]", diagnostic.severity)
        yield head + self._paint(f": {visible(diagnostic.message)}", "message")
        arrow = "-->"
        for source, marks in self._by_source():
            yield from self._snippet(source, marks, arrow)
            arrow = ":::"
        for note in diagnostic.notes:
            yield from self._remark("", note)
        if diagnostic.help is not None:
            yield from self._remark("help: ", diagnostic.help)

    def _by_source(self) -> list[tuple[Source, list[_Mark]]]:
        groups: list[tuple[Source, list[_Mark]]] = []
        for mark in self._marks:
            for source, marks in groups:
                if source is mark.span.source:
                    marks.append(mark)
                    break
            else:
                groups.append((mark.span.source, [mark]))
        return groups

    def _gutter(self, text: str = "") -> str:
        return self._paint(f" {text:>{self._digits}} |", "gutter")

    def _snippet(self, source: Source, marks: Sequence[_Mark], arrow: str) -> Iterator[str]:
        start = marks[0].span
        place = f"{visible(source.name)}:{start.line}:{start.column}" if source.text else visible(source.name)
        yield self._paint(f"{' ' * (self._digits + 1)}{arrow}", "gutter") + f" {place}"
        if not source.text:
            return
        yield self._gutter()
        previous: int | None = None
        for line in sorted({mark.span.line for mark in marks}):
            if previous is not None and line > previous + 1:
                yield self._gap(source, line, previous)
            yield from self._line(source, line, [mark for mark in marks if mark.span.line == line])
            previous = line

    def _gap(self, source: Source, line: int, previous: int) -> str:
        """Between two lines: the line in between if there is one, dots if there are more."""
        if line > previous + 2:
            return self._paint("...", "gutter")
        code = _Line(source, previous + 1, 0, 0).code
        return f"{self._gutter(str(previous + 1))} {code}".rstrip()

    def _line(self, source: Source, line: int, marks: Sequence[_Mark]) -> Iterator[str]:
        first = marks[0].span
        shown_line = _Line(source, line, first.column - 1, first.end - first.start)
        yield f"{self._gutter(str(line))} {shown_line.code}".rstrip()
        for mark in marks:
            indent, length = shown_line.underline(mark.span)
            label = f" {visible(mark.text)}" if mark.text else ""
            yield f"{self._gutter()} {' ' * indent}" + self._paint(mark.sign * length + label, mark.style)

    def _remark(self, head: str, text: str) -> Iterator[str]:
        margin = " " * (self._digits + 2)
        lead = f"{margin}{self._paint('=', 'gutter')} {self._paint(head, 'help') if head else ''}"
        for part in text.split("\n"):
            yield (lead + visible(part)).rstrip()
            lead = margin + " " * (2 + len(head))


class _Line:
    """A source line as it is shown: in full, or the part around a place where it is too long."""

    def __init__(self, source: Source, number: int, place: int, length: int) -> None:
        text = source.line(number)
        self._start = source.line_start(number)
        self._from, self._to = 0, len(text)
        if len(text) > MAX_COLUMNS:
            margin = max(20, (MAX_COLUMNS - length) // 2)
            self._from = max(0, min(place - margin, len(text) - MAX_COLUMNS))
            self._to = min(len(text), self._from + MAX_COLUMNS)
        pieces = ["…"] if self._from else []
        column = len(pieces)
        self._columns: list[int] = []
        for char in text[self._from : self._to]:
            picture, width = shown(char, column)
            self._columns.append(column)
            pieces.append(picture)
            column += width
        self._columns.append(column)
        if self._to < len(text):
            pieces.append("…")
        self.code = "".join(pieces)

    def underline(self, span: Span) -> tuple[int, int]:
        """How far to indent an underline, and how long it is; at least one column."""
        start = self._column(span.start)
        return start, max(1, self._column(span.end) - start)

    def _column(self, offset: int) -> int:
        place = min(max(offset - self._start, self._from), self._to)
        return self._columns[place - self._from]
