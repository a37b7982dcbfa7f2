"""A second reading of a text that has a syntax mistake: part by part, so that each mistake is found once.

The text is cut where a line begins with a declaration, whatever brackets are open before it. A diagram is
read as its opening and then statement by statement. After a mistake the reading goes on behind the statement
that holds it. What was read well makes up a partial tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lark.exceptions import UnexpectedToken

from fusionc.language import syntax
from fusionc.language.build import Opening
from fusionc.language.diagnostics import Diagnostic
from fusionc.language.grammar import grammar
from fusionc.language.lexer import Aside, statements, tokens
from fusionc.language.mistakes import Fault, declaration_meant, describe, is_declaration_like
from fusionc.language.source import Source
from fusionc.language.tokens import Token

DECLARATION = r'(?:diagram|group|irreps|sites|pairs)[ \t]+[A-Za-z_]|import[ \t]*"'
CUT = re.compile(rf"^[ \t]*+(?={DECLARATION})", re.MULTILINE)
CODE = re.compile(r'(?:[^#;\n"]++|"[^"\n]*+"?)*+')
OPEN_END = re.compile(r"[+,=:]\s*\Z")
GOES_ON = re.compile(r"[ \t]*+(?:[+*{]|in\b)")
EMPTY_LINES = re.compile(r"(?:[ \t\r]*+(?:#[^\n]*+)?\n)*+")
DECLARED = re.compile(r"[A-Za-z_]\w*(?:[ \t]+([A-Za-z_]\w*))?([ \t]*:?=)?")
BRACE = re.compile(r"(?:[^#{]++|#[^\n]*+)*+\{")


class MistakeError(Exception):
    """The parser has met a token that does not fit."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault


class Recovery:
    """One reading: `run` it once; then `diagnostics` lists what it found, and `more` counts the rest."""

    def __init__(self, source: Source, aside: Aside, limit: int) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.more = 0
        self._source = source
        self._text = source.text
        self._aside = aside
        self._limit = limit
        self._items: list[syntax.Item] = []
        self._behind_diagram = False
        self._behind_stray = False
        self._stray_brace = False
        self._refused: set[str] = set()  # keywords that were used as names
        self.broken: list[str] = []  # what declarations with a mistake declare
        self.is_partial = False  # one of them may declare anything
        self._run = (0, False)  # where the last run of empty lines ends, and whether a statement goes on behind it

    def run(self) -> tuple[syntax.Item, ...]:
        """The items that can be read."""
        cuts = [match.end() for match in CUT.finditer(self._text)]
        starts = [0, *cuts] if not cuts or cuts[0] else cuts
        for start, end in zip(starts, [*starts[1:], len(self._text)], strict=True):
            self._read_part(start, end)
        return tuple(self._items)

    # --- parts ----------------------------------------------------------------------------------------------

    def _read_part(self, start: int, end: int) -> None:
        position = start
        self._behind_diagram = self._behind_stray = self._stray_brace = False
        while first := self._next(position, end):
            if first.type == "DIAGRAM":
                position = self._read_diagram(first, end)
            else:
                position = self._read_declaration(first, end)

    def _read_declaration(self, first: Token, end: int) -> int:
        try:
            item, stop = self._attempt("declaration", first.start, end, {"_END"})
        except MistakeError as mistake:
            # Where a diagram closes too early, all the lines behind it are one mistake.
            if not self._behind_stray or is_declaration_like(first):
                self._report(mistake.fault)
                self._note_declared(first)
            self._behind_stray = self._behind_diagram
            return self._skip(mistake.fault.found.start, end)
        self._items.append(item)
        self._behind_diagram = self._behind_stray = False
        return stop.start

    def _note_declared(self, first: Token) -> None:
        """What is declared with a mistake is not missed where it is used."""
        kind, match = declaration_meant(first), DECLARED.match(self._text, first.start)
        if kind == "import":
            self.is_partial = True
        elif kind == "group":
            self.broken.append("group")  # no name: the word is a keyword
        elif match is not None and match[1 if kind else 2]:
            self.broken.append(match[1] if kind else first.text)
        elif kind:
            self.is_partial = True

    def _read_diagram(self, first: Token, end: int) -> int:
        opening: Opening | None = None
        try:
            opening, brace = self._attempt("opening", first.start, end, {"LBRACE"})
        except MistakeError as mistake:
            self._report(mistake.fault)
            match = BRACE.match(self._text, mistake.fault.found.start, end)
            if match is None:
                return end
            brace = Token("LBRACE", "{", self._source, match.end() - 1, match.end())
        body, position = self._read_body(brace, end)
        if opening is not None:
            self._items.append(opening.close(body, position))
        self._behind_diagram, self._behind_stray = True, False
        return self._read_line_end(position, end)

    def _read_line_end(self, position: int, end: int) -> int:
        """Behind a diagram's brace the line ends."""
        rest = next(tokens(self._source, self._aside, position, end), None)
        if rest is None or rest.type == "_END":
            return position
        self._report(Fault(rest, lambda: {"_END"}, "declaration"))
        return self._skip(rest.start, end)

    def _read_body(self, brace: Token, end: int) -> tuple[list[syntax.Statement], int]:
        """The statements behind an opening brace, and where the closing brace ends."""
        body: list[syntax.Statement] = []
        position = brace.end
        while first := self._next(position, end):
            if first.type == "RBRACE":
                return body, first.end
            try:
                statement, stop = self._attempt("statement", first.start, end, {"_END", "RBRACE"})
            except MistakeError as mistake:
                self._report(mistake.fault)
                position = self._behind(first, mistake.fault.found, end)
            else:
                body.append(statement)
                position = stop.start
        self._report(Fault(self._boundary(end), lambda: {"RBRACE"}, "statement", (brace,), at_cut=True))
        return body, end

    # --- single readings ------------------------------------------------------------------------------------

    def _attempt(self, rule: str, start: int, end: int, stops: set[str]) -> tuple[Any, Token]:
        """Reads what a rule of the grammar describes, up to a token in `stops`; a brace is read too."""
        parser = grammar().parse_interactive(start=rule)
        feed = parser.feed_token
        trail: list[Token] = []
        token: Token | None = None
        try:
            for token in statements(tokens(self._source, self._aside, start, end)):
                stop = token.type in stops
                if not stop or token.type == "LBRACE":
                    feed(token)
                if stop:
                    break
                trail.append(token)
            else:
                token = self._boundary(end)
            return feed(Token("$END", "", self._source, end, end)), token
        except UnexpectedToken:
            assert token is not None
            fault = Fault(token, parser.accepts, rule, tuple(trail), at_cut=token.start == end)
        raise MistakeError(fault)

    def _next(self, position: int, end: int) -> Token | None:
        """The first token from `position` on that is no newline and no `;`."""
        for token in tokens(self._source, self._aside, position, end):
            if token.type != "_END":
                return token
        return None

    def _boundary(self, end: int) -> Token:
        """What stands where a part ends: the declaration that begins there, or the end of the file."""
        if end < len(self._text):
            return next(tokens(self._source, self._aside, end))
        place = len(self._text.rstrip())
        return Token("$END", "", self._source, place, place)

    # --- going on -------------------------------------------------------------------------------------------

    def _report(self, fault: Fault) -> None:
        if fault.found.text in self._refused:
            return  # a keyword as a name: said where it was declared
        if len(self.diagnostics) < self._limit:
            diagnostic = describe(fault)
            self.diagnostics.append(diagnostic)
            if diagnostic.code == "F0006":
                self._refused.add(fault.found.text)
        else:
            self.more += 1

    def _behind(self, first: Token, found: Token, end: int) -> int:
        """Where a body's next statement begins.

        Where a bracket was left open on an earlier line, the line that does not fit may be sound by itself.
        """
        line = self._text.rfind("\n", 0, found.start) + 1
        if first.start < line and not self._text[line : found.start].strip():
            try:
                self._attempt("statement", found.start, end, {"_END", "RBRACE"})
            except MistakeError:
                pass
            else:
                return found.start
        return self._skip(found.start, end, in_body=True)

    def _skip(self, start: int, end: int, *, in_body: bool = False) -> int:
        """The end of the statement that goes on at `start`, with the lines of the braces that open in it.

        In a body, a brace that closes more than the statement opened ends the body: its place is returned.
        """
        depth = 0
        one_statement = end
        for code, stop, following in self._pieces(start, end):
            depth += self._text.count("{", code, stop) - self._text.count("}", code, stop)
            if in_body and depth < 0:
                return self._text.rindex("}", code, stop)
            if following is None:
                continue
            one_statement = min(one_statement, following)
            if self._stray_brace:
                return one_statement
            if depth <= 0:
                if in_body and following > one_statement and self._text.find("}", following, end) < 0:
                    break
                return following
        # The statement's brace has none that closes it: it stands there by mistake.
        self._stray_brace = True
        return one_statement

    def _pieces(self, start: int, end: int) -> Iterator[tuple[int, int, int | None]]:
        """The code of each line: from where to where, and where the next statement begins if one ends."""
        position = start
        while position < end:
            stop = CODE.match(self._text, position, end).end()  # type: ignore[union-attr]
            if self._text.startswith(";", stop):
                yield position, stop, stop + 1
                position = stop + 1
                continue
            newline = self._text.find("\n", stop, end)
            following = newline + 1 if newline >= 0 else end
            open_end = OPEN_END.search(self._text, max(position, stop - 99), stop)
            goes_on = open_end or self._goes_on(following - 1)
            yield position, stop, None if goes_on else following
            position = following

    def _goes_on(self, newline: int) -> bool:
        """Whether a statement goes on behind the empty lines at `newline`; they are read once, however many."""
        if newline >= self._run[0]:
            behind = EMPTY_LINES.match(self._text, newline).end()  # type: ignore[union-attr]
            self._run = behind, GOES_ON.match(self._text, behind) is not None
        return self._run[1]
