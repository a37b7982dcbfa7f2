"""What people bring along from e3nn, einsum, LaTeX and Python, and how it is written here.

A habit is a pattern of text. Where the parser stops inside one, its other places on the line are the same mistake.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from fusionc.language.diagnostics import Advice, Edit, Repair
from fusionc.language.source import Source

BEFORE, AFTER = 200, 2000  # characters of the line that are looked at
ROMAN = str.maketrans("−–—⁄", "---/")


@dataclass(frozen=True)
class Habit:
    """`pattern` is what is written, `written` what belongs there (None: not this time), `words` what is said of it,
    with the new text for `{}`. Where the pattern has a group `key`, the parser stopped there.

    `where` it may stand: where a "space" is wanted or one may have "more" terms, in a "line", on the "left" of its
    arrow; anywhere if it is empty.
    """

    pattern: str
    written: Callable[[re.Match[str]], str | None]
    words: str = "write `{}`"
    where: str = ""
    everywhere: bool = True
    """Its other places on the line are the same mistake."""
    effect: str = ""
    """What the new text decides, where what was written may have meant another thing."""

    @cached_property
    def regex(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.MULTILINE)


def habit_at(source: Source, start: int, places: Container[str]) -> Advice | None:
    """What to write instead of the habit that the parser stopped in, at `start`; None where it is none.

    `places` are the kinds of places that the parser may be in (see `Habit`).
    """
    for habit in HABITS:
        part = _part(source.text, start, habit.where)
        if (habit.where and habit.where not in places) or part is None:
            continue
        matches = list(habit.regex.finditer(source.text, *part))
        if not any(_is_key(match, start) and habit.written(match) is not None for match in matches):
            continue
        chosen = [match for match in matches if habit.everywhere or _is_key(match, start)]
        texts = [(match, habit.written(match)) for match in chosen]
        edits = [Edit(source.span(*match.span()), text) for match, text in texts if text is not None]
        return Advice(_worded(habit.words, [edit.text for edit in edits]), (Repair(tuple(edits), habit.effect),))
    return None


def _is_key(match: re.Match[str], start: int) -> bool:
    """Whether the parser stopped in the telling part of a match."""
    first, last = match.span("key") if "key" in match.re.groupindex else match.span()
    return first <= start < last


def _worded(words: str, texts: Iterable[str]) -> str:
    distinct = [text.strip() for text in dict.fromkeys(texts) if text.strip()]
    return words.replace("`{}`", " and ".join(f"`{text}`" for text in distinct[:6]))


def _part(text: str, start: int, where: str) -> tuple[int, int] | None:
    """The code around a place: its line, or what stands of it before the arrow, as far as one looks."""
    first = max(text.rfind("\n", 0, start) + 1, start - BEFORE)
    newline = text.find("\n", start, start + AFTER)
    last = newline if newline >= 0 else min(len(text), start + AFTER)
    comment = text.find("#", start, last)
    last = comment if comment >= 0 else last
    if where != "left":
        return first, last
    arrow = ARROW.search(text, start, last)
    return (first, arrow.start()) if arrow is not None else None


# --- the habits, the most special first ------------------------------------------------------------------------


def _half(match: re.Match[str]) -> str | None:
    """`0.5` as the spin 1/2."""
    spin = Fraction(match["spin"])
    return f"{match['mul'] or ''}{spin}" if spin.denominator <= 2 else None


def _small(match: re.Match[str]) -> str | None:
    """`64X1O` in small letters."""
    text = match[0]
    return text.lower() if text != text.lower() else None


def _bound(match: re.Match[str]) -> str | None:
    """`l <= 2` and `l < 3` as `lmax 2`."""
    spin = Fraction(match["spin"])
    if match["sign"] == "<":
        spin -= 1
    return f"lmax {spin}" if spin >= 0 else None


def _sum(match: re.Match[str]) -> str | None:
    """`{0e, 1o}` as `0e + 1o`."""
    terms = [term.strip().strip("\"'") for term in re.split(r"[,+]", match["terms"])]
    if not all(re.fullmatch(TERM, term) for term in terms):
        return None
    mul = re.match("[0-9]+", match["mul"] or "")
    return f"{mul[0]}x({' + '.join(terms)})" if mul else " + ".join(terms)


def _power(match: re.Match[str]) -> str | None:
    """`x[u]^2` as `x[u] x[u]`."""
    times = int(unicodedata.normalize("NFKC", match["times"]))
    return " ".join([match["edge"]] * times) if 1 < times < 9 else None


def _result(match: re.Match[str]) -> str | None:
    """`h[u] = x[u] y` as `x[u] y -> h[u]`."""
    edges = re.sub(r"\s*[*@⊗×,]\s*", " ", match["edges"].strip())
    return f"{match['lead']}{edges} -> {match['edge']}"


def _scaled(match: re.Match[str]) -> str:
    """`0.5 * x y -> out` with its factor at the end."""
    return f"{match['line'].rstrip()} * {match['factor']}"


def _spherical(match: re.Match[str]) -> str | None:
    return f"spherical({match['lmax']})"


ARROW = re.compile(r"[-=~]>|[→⟶⇒⟹]")
EDGE = r"[A-Za-z_]\w*(?:\[[\w, \t]*\])?"
TERM = r"(?:[0-9]+x)?[0-9]+(?:/2)?[eo]?|[A-Za-z_]\w*|spherical\([0-9]+\)"
WEIGHT = r"[A-Za-z_]\w*\[[^\]\n]*\bpath\b[^\]\n]*\]"
SPIN = r"[0-9]+(?:/2)?"
NUMBER = r"[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?:/[0-9]+)?"


AS_OFTEN = "write an edge as often as it takes part: `{}`"
SIDE_BY_SIDE = "edges that meet stand side by side: `a b -> c`"


def _to(text: str) -> Callable[[re.Match[str]], str]:
    return lambda match: text


HABITS = (
    # e3nn and Python
    Habit(r"(?:\bo3\.)?\bIrreps\(\s*[\"'](?P<terms>[^\"'\n]*)[\"']\s*\)", lambda match: match["terms"].strip()),
    Habit(r"(?:\bo3\.)?\bIrreps\.spherical_harmonics\(\s*(?P<lmax>[0-9]+)\s*\)", _spherical),
    Habit(r"[\"'“”](?P<terms>(?:[0-9]+x)?[0-9][^\"'“”\n]*)[\"'“”]", lambda match: match["terms"], where="space"),
    Habit(rf"(?P<edge>{EDGE})(?P<key>\^|\*\*)\{{?(?P<times>[0-9])\}}?", _power, AS_OFTEN),
    Habit(r"(?P<edge>[A-Za-z_][A-Za-z0-9_]*)(?P<times>[²³⁴])", _power, AS_OFTEN),
    Habit(rf"(?P<edge>{EDGE})(?P<key>(?P<times>[²³⁴]))", _power, AS_OFTEN),
    # irreps
    Habit(r"(?<!\w)(?P<mul>[0-9]+[xX])?(?P<spin>[0-9]*\.[0-9]+|[0-9]+\.)(?![\w.])", _half, where="space"),
    Habit(r"\b(?:[0-9]+[xX])?[0-9]+(?:/[0-9]+)?[eoEO]\b|\b[0-9]+X(?=[0-9(])", _small),
    Habit(rf"\b(?:lmax|L_?max|[lLjJ])\b[ \t]*(?P<sign><=|=<|≤|<)[ \t]*(?P<spin>{SPIN})\b", _bound),
    Habit(rf"\b(?:lmax|L_?max)[ \t]*(?P<sign>==?)[ \t]*(?P<spin>{SPIN})\b", _bound),
    Habit(rf"\b[jJ][ \t]*==?[ \t]*(?P<spin>{SPIN})\b", lambda match: match["spin"], where="space"),
    Habit(
        r"(?P<mul>\b[0-9]+[ \t]*\*[ \t]*)(?P<key>\()(?P<terms>[^()\[\]{}\n]+)\)",
        _sum,
        where="space",
        everywhere=False,
        effect="each block has so many channels; a named space with `*` lists all its blocks so many times",
    ),
    Habit(
        r"(?:(?P<mul>\b[0-9]+[ \t]*[*xX×]?[ \t]*)|(?<!\w))(?P<key>[(\[{])(?P<terms>[^()\[\]{}\n]+)[)\]}]",
        _sum,
        where="space",
        everywhere=False,
    ),
    Habit(
        r"\b([0-9]+)[ \t]*(?:[*·×]|(?<=[ \t])[xX](?=[ \t]))[ \t]*([0-9]+(?:/[0-9]+)?[eo]?)\b",
        lambda match: f"{match[1]}x{match[2]}",
    ),
    Habit(r"\b([0-9]+)[ \t]+[xX][ \t]*([A-Za-z_]\w*|\([^()\n]*\))", lambda match: f"{match[1]}x{match[2]}"),
    Habit(r"\b([0-9]+)[xX][ \t]+([A-Za-z_]\w*)", lambda match: f"{match[1]}x{match[2]}", where="space"),
    Habit(r"[ \t]*,[ \t]*(?![^\[\n]*\])", _to(" + "), where="more"),
    Habit(r"[ \t]*[⊕⨁][ \t]*", _to(" + ")),
    # lines
    Habit(r"(?<![=~<:-])(?::?[=~−–—-]{1,3}>+|\|-+>)|[→⟶⇒⟹↦➝➔⟼]", lambda match: "->" if match[0] != "->" else None),
    Habit(
        rf"(?P<lead>(?:^|[;{{])[ \t]*)(?P<edge>{EDGE})[ \t]*(?P<key><-|:?=)(?!>)[ \t]*"
        rf"(?P<edges>{EDGE}(?:(?:[ \t]*[*@⊗×,][ \t]*|[ \t]+){EDGE})++)(?=[ \t\r]*(?:[\n#;}}]|\Z))",
        _result,
        "what a line makes stands on its right: `{}`",
        where="line",
    ),
    Habit(
        r"\b([A-Za-z]\w*?)_?(?P<key>\{)([A-Za-z]\w*(?:[ \t]*,[ \t]*\w+)*)\}",
        lambda match: f"{match[1]}[{match[3]}]",
        "indices stand in square brackets: `{}`",
        where="line",
    ),
    Habit(
        rf"(?<![\w\].*-])(?P<key>(?P<factor>-?(?:{NUMBER})|{WEIGHT}(?=[ \t]*\*))[ \t]*\*?)[ \t]*"
        rf"(?P<line>{EDGE}[^\n#;}}]*?->[^\n#;}}]*)",
        _scaled,
        "factors stand at the end of a line: `{}`",
        where="line",
    ),
    Habit(r"[ \t]*[*@⊗×⨂·⋅∘][ \t]*", _to(" "), SIDE_BY_SIDE, where="left"),
    Habit(r"(?<=[\w\]])[ \t]*,[ \t]*(?![^\[\n]*\])", _to(" "), SIDE_BY_SIDE, where="left"),
    Habit(r"(?<=\*[ \t][0-9]),(?=[0-9])|(?<=\*[0-9]),(?=[0-9])", _to("."), "a decimal has a point: `{}`", where="line"),
    # signs that look like others
    Habit(r"[−–—]", _to("-")),
    Habit(
        r"[^\S \t\r\n]", lambda match: " " if unicodedata.category(match[0]) == "Zs" else None, "write a plain space"
    ),
)


# --- words with letters beyond ASCII ---------------------------------------------------------------------------


def ascii_name(word: str) -> str:
    """A name in the letters that names are made of: `α` is `alpha`, `x₁` is `x1`; empty where there is none."""
    pieces = []
    for char in unicodedata.normalize("NFKC", word):
        name = unicodedata.name(char, "")
        plain = unicodedata.normalize("NFKD", char)[0]
        if plain.isascii():
            pieces.append(plain)
        elif name.startswith("GREEK") and "LETTER" in name:
            letter = name.rpartition("LETTER ")[2].split()[0]
            pieces.append(letter.lower() if "SMALL" in name else letter.capitalize())
        else:
            return ""
    found = "".join(pieces).translate(ROMAN)
    return found if re.fullmatch(r"[A-Za-z_]\w*", found, re.ASCII) else ""
