"""From a token that does not fit to a diagnostic: what was expected, what was found, and how to repair it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Set
from dataclasses import dataclass
from difflib import get_close_matches

from fusionc.language.diagnostics import Diagnostic, Label, diagnose
from fusionc.language.grammar import words
from fusionc.language.lexer import Token
from fusionc.language.source import Span


@dataclass(frozen=True)
class Fault:
    """Where the parser stopped: the token that does not fit, which types would, and what it had read so far.

    `at_cut`: the part of the text that was read ends there, at the end of the file or at a declaration.
    """

    found: Token
    accepts: Callable[[], Set[str]]
    rule: str
    trail: tuple[Token, ...] = ()
    at_cut: bool = False

    @property
    def previous(self) -> Token | None:
        return self.trail[-1] if self.trail else None

    def text(self, length: int) -> str:
        """The text that begins at the token."""
        return self.found.source.text[self.found.start : self.found.start + length]


# --- what was expected --------------------------------------------------------------------------------------

DECLARATIONS = ("group", "irreps", "sites", "pairs", "diagram", "import", "normalize", "paths", "basis")
SPACE = {"BLOCK", "IRREP", "HALF", "INT", "COUNT", "SPHERICAL", "NAME"}
NUMBER = {"INT", "COUNT", "HALF", "DECIMAL", "MINUS"}
ENDS = {"_END", "$END"}

# A group of types that go by one name: those that must all be acceptable, those that the name then covers.
GROUPS: tuple[tuple[set[str], set[str], str], ...] = (
    ({"DIAGRAM", "IRREPS"}, {word.upper() for word in DECLARATIONS}, "a declaration"),
    ({"EDGE", "ARROW"}, {"EDGE", "ARROW", "NAME", "OUT", "NORMALIZE", "PATHS", "BASIS"}, "a statement"),
    ({"IRREP", "SPHERICAL"}, SPACE, "a space"),
    ({"NAME", "DECIMAL"}, {"NAME", *NUMBER}, "a weight or a number"),
    ({"NAME", "SPHERICAL"}, {"NAME", "SPHERICAL"}, "the name of a space"),
    ({"NAME", "OUT"}, {"NAME", "OUT"}, "an edge"),
    ({"NAME", "PATH"}, {"NAME", "PATH"}, "an index"),
    ({"NAME"}, {"NAME"}, "a name"),
    ({"INT"}, NUMBER, "a number"),
    ({"DECIMAL"}, NUMBER, "a number"),
    ({"STRING"}, {"STRING"}, "a path in double quotes"),
)


def expected(accepted: Set[str], rule: str) -> list[str]:
    """The acceptable types in words, most telling first."""
    left = set(accepted)
    phrases: list[str] = []
    for key, covered, phrase in GROUPS:
        if key <= left:
            phrases.append("a value" if phrase == "an index" and rule == "declaration" else phrase)
            left -= covered
    ends = left & ENDS
    marks = sorted(f"`{literal(kind)}`" for kind in left - ENDS)
    if marks + phrases != ["`[`"] and "`[`" in marks:
        marks.remove("`[`")
    return marks + phrases + (["the end of the line"] if ends else [])


def literal(kind: str) -> str:
    return words().literals.get(kind, kind.lower())


def one_of(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} or {phrases[-1]}"


def name_of(token: Token) -> str:
    """What was found, in words."""
    if token.type == "$END":
        return "the end of the file"
    if token.type == "_END":
        return "`;`" if token.text == ";" else "the end of the line"
    if token.type in words().keywords.values():
        return f"the keyword `{token.text}`"
    return f"`{token.text}`" if len(token.text) <= 40 else f"`{token.text[:40]}…`"


# --- the diagnostic -----------------------------------------------------------------------------------------


def describe(fault: Fault) -> Diagnostic:
    """The diagnostic for a token that does not fit."""
    accepted = fault.accepts()
    for special in (_too_deep, _bad_character, _bad_word, _bad_number, _keyword_as_name, _surplus_brace):
        if diagnostic := special(fault, accepted):
            return diagnostic
    found = fault.found
    phrases = expected(accepted, fault.rule)
    return diagnose(
        "F0003" if found.type == "$END" else "F0001",
        f"expected {one_of(phrases)}, found {name_of(found)}",
        _place(found),
        help=_help(fault, accepted),
        related=_left_open(fault, accepted),
    )


def is_declaration_like(token: Token) -> bool:
    """Whether a declaration begins with this word, perhaps misspelled."""
    return token.text in DECLARATIONS or bool(_close_declaration(token))


def _close_declaration(token: Token) -> str | None:
    close = get_close_matches(token.text.lower(), DECLARATIONS, n=1) if len(token.text) < 20 else []
    return close[0] if close else None


def _place(token: Token) -> Span:
    """The token, or the few characters that a reader takes for one (`=>`)."""
    if token.type in ("EQUAL", "MINUS") and (arrow := ARROWS.match(token.source.text, token.start)):
        return token.source.span(token.start, arrow.end())
    if token.type == "_END":
        return token.source.span(token.start, token.start + (1 if token.text == ";" else 0))
    return token.span


def _left_open(fault: Fault, accepted: Set[str]) -> list[Label]:
    """The bracket that waits to be closed, where that is what went wrong."""
    found = fault.found
    stack: list[Token] = []
    for token in fault.trail:
        if token.type in CLOSING:
            stack.append(token)
        elif stack and token.type == CLOSING[stack[-1].type]:
            stack.pop()
    if not stack or not (fault.at_cut or CLOSING[stack[-1].type] in accepted):
        return []
    same_line = "\n" not in found.source.text[stack[-1].start : found.start]
    if same_line and found.type not in (*ENDS, "LBRACE", "RBRACE", "ARROW"):
        return []
    return [Label(stack[-1].span, "opened here")]


CLOSING = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
ARROWS = re.compile(r"[=-]+>")


# --- mistakes of their own kind -----------------------------------------------------------------------------


def _too_deep(fault: Fault, accepted: Set[str]) -> Diagnostic | None:
    if not NESTED.match(fault.found.source.text, fault.found.start):
        return None
    return diagnose("F0008", "brackets are nested too deeply", fault.found.span, label="brackets in brackets")


def _bad_character(fault: Fault, accepted: Set[str]) -> Diagnostic | None:
    if fault.found.type != "BADCHARS":
        return None
    char = fault.text(1)
    help: str | None
    after_number = fault.previous is not None and fault.previous.type == "INT"
    if char == "×" and after_number:
        help = "write `x`, as in `64x1o`"
    elif char.isspace() and char != "\r":
        help = "write a plain space"
    else:
        help = next((help for start, help in CHARACTERS if fault.text(2).startswith(start)), None)
    length = 2 if fault.text(2) in ("//", "/*", "<-") else 1
    place = fault.found.source.span(fault.found.start, fault.found.start + length)
    return diagnose("F0002", f"unexpected character {_character(char)}", place, help=help)


def _character(char: str) -> str:
    if char.isascii() and char.isprintable():
        return f"`{char}`"
    name = unicodedata.name(char, "")
    code = f"U+{ord(char):04X}" + (f" {name}" if name else "")
    return f"`{char}` ({code})" if char.isprintable() else code


def _bad_word(fault: Fault, accepted: Set[str]) -> Diagnostic | None:
    if fault.found.type != "BADWORD":
        return None
    char = next(char for char in fault.found.text if not char.isascii())
    message = f"unexpected character {_character(char)} in {name_of(fault.found)}"
    help = "write `1/2`" if char == "½" else "names consist of the letters a to z and A to Z, digits and `_`"
    return diagnose("F0002", message, fault.found.span, help=help)


def _bad_number(fault: Fault, accepted: Set[str]) -> Diagnostic | None:
    if fault.found.type != "BADNUMBER":
        return None
    text = fault.found.text
    lower = text.lower()
    if re.fullmatch(r"([0-9]+x)?[0-9]+[eo]?", lower) and lower != text:
        help = f"write `{lower}`"
    elif "IRREP" in accepted:
        help = "irreps are `1o` or `1e` in O(3), `1` in SO(3), `1/2` in SU(2); with a multiplicity, `64x1o`"
    else:
        help = "names do not begin with a digit"
    what = "an irrep" if "IRREP" in accepted else "a name or a number"
    return diagnose("F0001", f"{name_of(fault.found)} is not {what}", fault.found.span, help=help)


def _keyword_as_name(fault: Fault, accepted: Set[str]) -> Diagnostic | None:
    found = fault.found
    if fault.at_cut or "NAME" not in accepted or found.type not in words().keywords.values():
        return None
    if found.type == "IN" and RESTRICTION.match(found.source.text, found.end):
        return None  # a name was forgotten before the restriction
    message = f"`{found.text}` is a keyword and cannot be a name"
    return diagnose("F0006", message, found.span, help=f"choose another name, such as `{found.text}_1`")


def _surplus_brace(fault: Fault, accepted: Set[str]) -> Diagnostic | None:
    if fault.found.type != "RBRACE" or fault.rule != "declaration":
        return None
    return diagnose("F0001", "a `}` without a `{`", fault.found.span, label="closes nothing")


NESTED = re.compile(r"(?:[\[({]\s*+){16}")
RESTRICTION = re.compile(r"[ \t]*+[A-Za-z0-9]")
CHARACTERS = (
    ("//", "comments begin with `#`"),
    ("/*", "comments begin with `#`"),
    ("/", "a fraction is written without blanks: `1/2`"),
    ("<-", "arrows point to the right: `a b -> c`"),
    ('"', "the closing quote is missing"),
    ("'", 'paths stand in double quotes: `"other.fus"`'),
    ("\r", "a line ends with a line feed, or with a carriage return and a line feed"),
    ("\0", "this does not look like text"),
    *((char, "write `->`") for char in "→⟶⇒⟹↦➝➔"),
    *((char, "edges that meet stand side by side: `a b -> c`") for char in "⊗×⨂·⋅∘"),
    *((char, "write `+`") for char in "⊕⨁"),
    *((char, "write `-`") for char in "−–—"),
    *((char, 'write `"`') for char in "“”„«»"),
)


# --- repairs ------------------------------------------------------------------------------------------------


def _help(fault: Fault, accepted: Set[str]) -> str | None:
    """The repair of a common mistake."""
    for repair in (_for_declaration, _for_multiplicity, _for_arrow, _for_bracket, _for_missing):
        if help := repair(fault, accepted):
            return help
    return None


def _for_declaration(fault: Fault, accepted: Set[str]) -> str | None:
    found = fault.found
    if fault.rule != "declaration":
        return None
    if accepted & ENDS and found.text in DECLARATIONS:
        return f"begin `{found.text}` on a line of its own"
    if fault.trail:
        return "the groups are O(3), SO(3) and SU(2)" if fault.trail[0].type == "GROUP" else None
    if found.text == "import":
        return 'write the path in double quotes: `import "other.fus"`'
    if close := _close_declaration(found):
        return f"did you mean `{close}`?"
    if found.type in ("NAME", "OUT", "ARROW", "EDGE"):
        return "vertices and `edge` stand in the body of a diagram: `diagram NAME(…) -> … { … }`"
    return None


def _for_multiplicity(fault: Fault, accepted: Set[str]) -> str | None:
    """`64*1o`, `64 x 1o`: the text around the token tells."""
    text, start = fault.found.source.text, fault.found.start
    line = text.rfind("\n", 0, start) + 1
    before = max(line, start - 40)
    if (match := SPREAD.search(text, before, start + 40)) and match.start() <= start < match.end():
        return f"write `{match[1]}x{match[2]}`"
    return None


def _for_arrow(fault: Fault, accepted: Set[str]) -> str | None:
    if "ARROW" in accepted and fault.found.type in ("EQUAL", "MINUS"):
        return "write `->`"
    if fault.found.type == "ARROW" and any(token.type == "ARROW" for token in fault.trail):
        return "a statement has one `->`; write the next vertex on a line of its own"
    if "ARROW" in accepted and fault.found.type == "COMMA" and fault.rule == "statement":
        return "edges that meet stand side by side: `a b -> c`"
    if [token.type for token in fault.trail] == ["ARROW"]:
        return "a vertex has at least one edge: `-> p q` creates a pair, `p q ->` closes one"
    return None


def _for_bracket(fault: Fault, accepted: Set[str]) -> str | None:
    if fault.found.type == "LPAR" and "LSQB" in accepted:
        return "indices stand in square brackets: `x[u]`"
    if accepted >= {"LPAR"} and len(fault.trail) == 2 and fault.trail[0].type == "DIAGRAM":
        return "legs stand in parentheses: `(x: H)`, or `()` where there are none"
    if fault.rule == "opening" and accepted == {"RSQB"} and fault.found.type == "COMMA":
        return "a leg lives on one index set, which is either `sites` or `pairs`"
    return None


def _for_missing(fault: Fault, accepted: Set[str]) -> str | None:
    if accepted == {"COLON"} and fault.previous is not None:
        space = fault.found.text if fault.found.type in SPACE else "64x1o"
        return f"write `{fault.previous.text}: {space}`"
    if fault.found.type == "IN" and fault.rule == "opening":
        return "only an inferred output is restricted: `-> * in lmax 3`"
    if "LBRACE" in accepted and (fault.at_cut or fault.found.type in ENDS):
        return "a diagram has a body: `{ … }`"
    if fault.previous is not None and fault.previous.type == "STAR" and fault.found.type == "_END":
        return "to go on, begin the next line with `*`"
    return None


SPREAD = re.compile(r"\b([0-9]+)[ \t]*(?:\*|(?<=[ \t])x(?=[ \t]))[ \t]*([0-9]+(?:/[0-9]+)?[eo]?)\b")
