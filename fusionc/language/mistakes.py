"""From a token that does not fit to a diagnostic: what was expected, what was found, and how to repair it."""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from dataclasses import dataclass
from difflib import get_close_matches

from fusionc.language.diagnostics import Advice, Diagnostic, Edit, Label, Repair, behind, diagnose, instead, write
from fusionc.language.display import character_name, is_hidden
from fusionc.language.grammar import words
from fusionc.language.habits import ascii_name, habit_at
from fusionc.language.lexer import renamed
from fusionc.language.source import Span
from fusionc.language.tokens import Token


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
SPACE = {"BLOCK", "TIMES", "IRREP", "HALF", "INT", "COUNT", "SPHERICAL", "NAME"}
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
    advice = _advice(fault, accepted)
    return diagnose(
        "F0003" if found.type == "$END" else "F0001",
        f"expected {one_of(phrases)}, found {name_of(found)}",
        _place(found),
        help=advice.text if advice is not None else None,
        related=_left_open(fault, accepted),
        repairs=advice.repairs if advice is not None else (),
    )


def _habit(fault: Fault, accepted: Set[str]) -> Advice | None:
    """What is written so elsewhere; `1x0.` and `5`, or `l` and `<=`, are two words here, and one to the reader."""
    found = fault.found
    if found.type in ENDS:
        return None
    space = "SPHERICAL" in accepted or (found.type in ("BADNUMBER", "DECIMAL") and bool(fault.trail))
    listed = found.type == "COMMA" and any(token.type in ("IRREPS", "IN") for token in fault.trail)
    more = ("PLUS" in accepted or listed) and "COMMA" not in accepted
    places = {
        "space": space or more,
        "more": more,
        "line": fault.rule == "statement",
        "left": fault.rule == "statement",
    }
    kinds = [kind for kind, there in places.items() if there]
    return habit_at(found.source, found.start, kinds)


def is_declaration_like(token: Token) -> bool:
    """Whether a declaration begins with this word, perhaps misspelled."""
    return bool(declaration_meant(token))


def declaration_meant(token: Token) -> str | None:
    """The declaration that begins with this word, perhaps misspelled."""
    return token.text if token.text in DECLARATIONS else _close_declaration(token)


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


HIDDEN_HELP = "leave it out: what is shown would not be what is read"


def _too_deep(fault: Fault, accepted: Set[str]) -> Diagnostic | None:
    if not NESTED.match(fault.found.source.text, fault.found.start):
        return None
    return diagnose("F0008", "brackets are nested too deeply", fault.found.span, label="brackets in brackets")


def _bad_character(fault: Fault, accepted: Set[str]) -> Diagnostic | None:
    if fault.found.type != "BADCHARS":
        return None
    char, source, start = fault.text(1), fault.found.source, fault.found.start
    length = 2 if fault.text(2) in ("//", "/*", "<-") else 1
    place = source.span(start, start + length)
    advice: Advice | None
    if fault.text(2) == "//" or char == "%":
        advice = Advice("comments begin with `#`", (instead(place, "#"),))
    elif is_hidden(char) and char != "\0":
        advice = Advice(HIDDEN_HELP, (instead(place, ""),) if not _joins_words(place) else ())
    elif advice := _habit(fault, accepted):
        pass
    elif char == "@" and "ARROW" not in accepted:
        advice = write(place, "*")
    else:
        text = next((help for sign, help in CHARACTERS if fault.text(2).startswith(sign)), None)
        advice = Advice(text) if text is not None else None
    return diagnose(
        "F0002",
        f"unexpected character {_character(char)}",
        place,
        help=advice.text if advice is not None else None,
        repairs=advice.repairs if advice is not None else (),
    )


def _joins_words(place: Span) -> bool:
    """Whether two words would become one without what stands between them."""
    before, after = place.source.text[place.start - 1 : place.start], place.source.text[place.end : place.end + 1]
    return before.isalnum() and after.isalnum()


def _character(char: str) -> str:
    if char.isascii() and char.isprintable():
        return f"`{char}`"
    return f"`{char}` ({character_name(char)})" if char.isprintable() else character_name(char)


def _bad_word(fault: Fault, accepted: Set[str]) -> Diagnostic | None:
    if fault.found.type != "BADWORD":
        return None
    char = next(char for char in fault.found.text if not char.isascii())
    message = f"unexpected character {_character(char)} in {name_of(fault.found)}"
    if advice := _habit(fault, accepted):
        return diagnose("F0002", message, fault.found.span, help=advice.text, repairs=advice.repairs)
    help, repairs = "names consist of the letters a to z and A to Z, digits and `_`", list[Repair]()
    if char == "½":
        help, repairs = "write `1/2`", [instead(fault.found.span, "1/2")]
    elif name := ascii_name(fault.found.text):
        name = fault.found.source.unused(name)
        help, repairs = f"{help}: write `{name}`", [renamed(fault.found.span, name)]
    return diagnose("F0002", message, fault.found.span, help=help, repairs=repairs)


def _bad_number(fault: Fault, accepted: Set[str]) -> Diagnostic | None:
    if fault.found.type != "BADNUMBER":
        return None
    advice = _habit(fault, accepted)
    if advice is None and "IRREP" in accepted:
        twice = re.match(r"[0-9]+x[0-9]+x", fault.found.text)
        text = "a block has one multiplicity: `64x1o`" if twice else IRREPS
        advice = Advice(text)
    elif advice is None:
        advice = Advice("names do not begin with a digit")
    what = "an irrep" if "IRREP" in accepted else "a name or a number"
    others = [span for span in advice.spans if span.start > fault.found.start]
    return diagnose(
        "F0001",
        f"{name_of(fault.found)} is not {what}",
        fault.found.span,
        help=advice.text,
        related=[Label(span, "nor is this") for span in others if span.line == fault.found.span.line][:6],
        repairs=advice.repairs,
    )


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
    leave_out = instead(fault.found.span, "", "the brace is left out")
    return diagnose(
        "F0001",
        "a `}` without a `{`",
        fault.found.span,
        label="closes nothing",
        help="leave it out",
        repairs=[leave_out],
    )


IRREPS = "irreps are `1o` or `1e` in O(3), `1` in SO(3), `1/2` in SU(2); with a multiplicity, `64x1o`"
NESTED = re.compile(r"(?:[\[({]\s*+){16}")
RESTRICTION = re.compile(r"[ \t]*+[A-Za-z0-9]")
CHARACTERS = (
    ("/*", "comments begin with `#`"),
    ("/", "a fraction is written without blanks: `1/2`"),
    ("<-", "arrows point to the right: `a b -> c`"),
    ('"', "the closing quote is missing"),
    ("'", 'paths stand in double quotes: `"other.fus"`'),
    ("\r", "a line ends with a line feed, or with a carriage return and a line feed"),
    ("\0", "this does not look like text"),
    ("^", "an edge is written as often as it takes part: `x x -> y`"),
    ("|", "a line is `edges -> edge`, with factors behind it: `* W[path, u]`"),
    ("<", "irreps are restricted by a list, `in 0e + 1o`, or by a bound, `in lmax 2`"),
    (".", "numbers are written `0.5`, and names have no dots"),
    ("\\", "names are written without a backslash"),
    ("$", "names consist of the letters a to z and A to Z, digits and `_`"),
    *((char, "edges that meet stand side by side: `a b -> c`") for char in "⊗×⨂·⋅∘@"),
    *((char, 'write `"`') for char in "“”„«»"),
)


# --- repairs ------------------------------------------------------------------------------------------------


def _advice(fault: Fault, accepted: Set[str]) -> Advice | None:
    """The repair of a common mistake."""
    for repair in (_for_function, _for_declaration, _habit, _for_arrow, _for_bracket, _for_missing):
        if advice := repair(fault, accepted):
            return advice
    return None


def _for_function(fault: Fault, accepted: Set[str]) -> Advice | None:
    """`silu(s[u])`, `sperical(2)`, `x(u)`: a name and a parenthesis."""
    previous, found = fault.previous, fault.found
    if found.type != "LPAR" or previous is None or previous.type not in ("NAME", "OUT"):
        return None
    near = get_close_matches(previous.text.lower(), ["spherical"], n=1)
    if "LSQB" not in accepted or (near and re.match(r"\([ \t]*[0-9]+[ \t]*\)", found.source.text[found.start :][:40])):
        return Advice("did you mean `spherical`?", (instead(previous.span, "spherical"),)) if near else None
    match = ARGUMENTS.match(found.source.text, found.start)
    inside = match[1] if match else ""
    known = re.search(rf"\b(?:{'|'.join(map(re.escape, WORD.findall(inside)[:9])) or '(?!)'})[ \t]*:", _header(found))
    if previous.text.lower().rpartition("_")[2] in FUNCTIONS or not match or known:
        return Advice(
            "there are no functions in a diagram, which is linear in each edge: what is not stands in PyTorch, between "
            "two modules"
        )
    line = found.source.text.find("\n", match.end())
    others = AFTER_A_WORD.finditer(found.source.text, match.end(), line if line >= 0 else match.end() + 2000)
    places = [match, *others]
    edits = [Edit(found.source.span(*place.span()), f"[{place[1].strip()}]") for place in places]
    return Advice(f"indices stand in square brackets: `{previous.text}[{inside.strip()}]`", (Repair(tuple(edits)),))


def _header(token: Token) -> str:
    """The text from the last `diagram` before a word."""
    text = token.source.text
    return text[max(text.rfind("diagram", 0, token.start), token.start - 20_000, 0) : token.start]


ARGUMENTS = re.compile(r"\([ \t]*((?:[A-Za-z_]\w*[ \t]*,[ \t]*)*[A-Za-z_]\w*)[ \t]*\)")
AFTER_A_WORD = re.compile(r"(?<=\w)" + ARGUMENTS.pattern)
WORD = re.compile(r"[A-Za-z_]\w*")
FUNCTIONS = frozenset(
    "silu relu elu gelu selu celu swish mish sigmoid tanh softmax softplus exp log sqrt sin cos abs norm normalize "
    "gate activation act nonlinearity dropout linear mlp layernorm batchnorm sum mean max min relu6 leakyrelu".split()
)


def _for_declaration(fault: Fault, accepted: Set[str]) -> Advice | None:
    found = fault.found
    if fault.rule != "declaration":
        return None
    if accepted & ENDS and found.text in DECLARATIONS:
        repair = instead(found.source.span(found.start, found.start), "\n")
        return Advice(f"begin `{found.text}` on a line of its own", (repair,))
    if fault.trail:
        return _for_group(fault, accepted) if fault.trail[0].type == "GROUP" else None
    if found.text == "import":
        return _for_import(found)
    if close := _close_declaration(found):
        return Advice(f"did you mean `{close}`?", (instead(found.span, close),))
    if match := ASSIGNED.match(found.source.text, found.start):
        return Advice(
            f"a space is declared: `irreps {match[1]} = …`",
            (instead(match_span(found, match), f"irreps {match[1]} ="),),
        )
    if found.type in ("NAME", "OUT", "ARROW", "EDGE"):
        return Advice("vertices and `edge` stand in the body of a diagram: `diagram NAME(…) -> … { … }`")
    return None


ASSIGNED = re.compile(r"([A-Za-z_]\w*)[ \t]*:?=(?=[ \t]*(?:[0-9]+x|[0-9]+[eo]\b|spherical))")
GROUP = re.compile(r"(S?[OU])[ \t]*\(?[ \t]*([23])[ \t]*\)?", re.IGNORECASE)


def match_span(token: Token, match: re.Match[str]) -> Span:
    return token.source.span(*match.span())


def _for_group(fault: Fault, accepted: Set[str]) -> Advice:
    """`group SO3`."""
    names = "the groups are O(3), SO(3) and SU(2)"
    start = fault.trail[1].start if len(fault.trail) > 1 else fault.found.start
    match = GROUP.match(fault.found.source.text, start)
    name = f"{match[1].upper()}({match[2]})" if match else ""
    if match is None or name not in ("O(3)", "SO(3)", "SU(2)"):
        return Advice(names)
    return Advice(f"{names}: write `{name}`", (instead(match_span(fault.found, match), name),))


def _for_import(found: Token) -> Advice:
    """`import other.fus`, or with single quotes."""
    help = 'write the path in double quotes: `import "other.fus"`'
    match = IMPORTED.match(found.source.text, found.start)
    if match is None:
        return Advice(help)
    return Advice(help, (instead(match_span(found, match), f'import "{match[1] or match[2]}"'),))


IMPORTED = re.compile(r"import[ \t]+(?:'([^'\"\n]+)'|([^\s'\"#;]+\.fus)\b)")


def _for_arrow(fault: Fault, accepted: Set[str]) -> Advice | None:
    if "ARROW" in accepted and fault.found.type in ("EQUAL", "MINUS"):
        return Advice("write `->`", (instead(fault.found.span, "->"),))
    if "ARROW" in accepted and fault.found.type == "COLON" and fault.rule == "opening":
        return Advice("write `->`", (instead(fault.found.span, " ->"),))
    if fault.found.type == "ARROW" and any(token.type == "ARROW" for token in fault.trail):
        return Advice("a statement has one `->`; write the next vertex on a line of its own")
    if "ARROW" in accepted and fault.found.type == "COMMA" and fault.rule == "statement":
        return Advice("edges that meet stand side by side: `a b -> c`")
    if [token.type for token in fault.trail] == ["ARROW"]:
        return Advice("a vertex has at least one edge: `-> p q` creates a pair, `p q ->` closes one")
    return None


def _for_bracket(fault: Fault, accepted: Set[str]) -> Advice | None:
    if accepted >= {"LPAR"} and len(fault.trail) == 2 and fault.trail[0].type == "DIAGRAM":
        return Advice("legs stand in parentheses: `(x: H)`, or `()` where there are none")
    if fault.rule == "opening" and accepted == {"RSQB"} and fault.found.type == "COMMA":
        return Advice("a leg lives on one index set, which is either `sites` or `pairs`")
    if fault.found.type == "STRING" and fault.rule == "statement":
        return Advice("a line couples edges by their names: `x[u] y[v] -> out[w] * W[path, u, v, w]`")
    return None


def _for_missing(fault: Fault, accepted: Set[str]) -> Advice | None:
    found, previous = fault.found, fault.previous
    if accepted == {"COLON"} and previous is not None:
        space = found.text if found.type in SPACE else "64x1o"
        repair = _missing(found, previous, ":")
        return Advice(f"write `{previous.text}: {space}`", (repair,) if repair else ())
    if accepted == {"EQUAL"} and previous is not None:
        repair = _missing(found, previous, " =")
        return Advice(f"write `irreps {previous.text} = …`", (repair,) if repair else ())
    if found.type == "EQUAL" and previous is not None and previous.text in ("l", "L", "j", "J"):
        return Advice(IRREPS)
    if found.type == "IN" and fault.rule == "opening":
        return Advice("only an inferred output is restricted: `-> * in lmax 3`")
    if "LBRACE" in accepted and (fault.at_cut or found.type in ENDS):
        return Advice("a diagram has a body: `{ … }`")
    if previous is not None and previous.type == "STAR" and found.type == "_END":
        return Advice("to go on, begin the next line with `*`")
    return None


def _missing(found: Token, previous: Token, sign: str) -> Repair | None:
    """A sign between two words, or in the place of another."""
    if found.type in SPACE | {"WEIGHTS", "INDEX"}:
        return behind(previous.span, sign)
    if found.type in ("EQUAL", "COLON"):
        end = found.end + found.source.text.startswith(":=", found.start)
        return instead(found.source.span(previous.end, end), sign)
    return None
