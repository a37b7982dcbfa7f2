"""Words of a text, as the lexer finds them and the parser takes them."""

from __future__ import annotations

from fusionc.language.source import Source, Span


class Token:
    """A word of the text: the terminal it belongs to (`type`) and where it stands."""

    __slots__ = ("end", "source", "start", "text", "type")

    def __init__(self, type: str, text: str, source: Source, start: int, end: int) -> None:
        self.type = type
        self.text = text
        self.source = source
        self.start = start
        self.end = end

    @property
    def span(self) -> Span:
        return Span(self.source, self.start, self.end)

    def __repr__(self) -> str:
        return f"Token({self.type}, {self.text!r})"
