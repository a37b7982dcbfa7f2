"""Sound diagrams with one mistake each, drawn at random, and what is asked of every repair that is proposed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fusionc.driver import Checked, check_source, check_text, name_mistakes
from fusionc.language.diagnostics import Diagnostic, Repair
from fusionc.language.errors import CompileError
from fusionc.language.repair import edited
from fusionc.language.source import Source

SOUND = (
    "irreps H = 8x0e + 8x1o\n"
    "diagram f(x: H, y: spherical(2)) -> H {\n"
    "    x[u] y -> e[u] in 0e + 1o + 2e\n"
    "    e[u] y -> out[u] * W[path, u]\n"
    "}\n",
    "irreps H = 8x0e + 8x1o\n"
    "diagram f(x: H, y: H, z: index(9)) -> 8x0e + 8x1o {\n"
    "    x[u] y[u] -> out[u] * W[z, path, u]\n"
    "    x[u] -> out[v] * V[path, u, v]\n"
    "}\n",
    "sites atoms\npairs edges(atoms, atoms)\n"
    "diagram f(x: 4x0e + 4x1o[atoms], y: 0e + 1o[edges], r: weights[edges]) -> 4x0e + 4x1o[atoms] {\n"
    "    x[j,u] y[i,j] -> out[i,u] * r[i, j, path, u]\n"
    "}\n",
    "group SO(3)\n"
    "diagram f(x: 4x0 + 4x1, y: 1) -> (s: 4x0, v: 4x1) {\n"
    "    x[u] y -> h[w] in 4x0 + 4x1 * W[path, u, w]\n"
    "    h[u] -> s[u]\n"
    "    h[u] -> v[u] * 0.5\n"
    "}\n",
    "diagram f(a: 4x0e + 4x1o) -> * in lmax 2 {\n    a[u] a[u] -> out[path, u]\n}\n",
)


@dataclass(frozen=True)
class Slip:
    """A mistake: where it may be made, and what is written then. `reversible`: the text says what was meant."""

    pattern: str
    written: Callable[[re.Match[str], random.Random], str]
    reversible: bool = False


def _as(text: str) -> Callable[[re.Match[str], random.Random], str]:
    return lambda match, draw: text


def _one_of(*texts: str) -> Callable[[re.Match[str], random.Random], str]:
    return lambda match, draw: draw.choice(texts)


SLIPS = (
    # other ways of writing the same
    Slip("->", lambda match, draw: draw.choice(["→", "=>", "-->", "->>", "⟶", "~>"]), True),
    Slip(
        r"(?<=[\]\w]) (?=[a-z]\w*(?:\[[^\]]*\])? ->)",
        lambda match, draw: draw.choice([" * ", " ⊗ ", " @ ", ", "]),
        True,
    ),
    Slip(r"\b[0-9]+x?[0-9]*[eo]\b(?! \+)", lambda match, draw: match[0].upper(), True),
    Slip(r"(?<== )[^\n]+", lambda match, draw: f'"{match[0]}"', True),
    Slip(r"lmax 2", lambda match, draw: draw.choice(["l <= 2", "l<3", "lmax = 2", "lmax=2"]), True),
    Slip(r"(?<=[a-z])\[([a-z,]+)\](?= )", lambda match, draw: draw.choice([f"({match[1]})", f"_{{{match[1]}}}"]), True),
    Slip(r" \+ ", lambda match, draw: " ⊕ ", True),
    Slip(r"(?<=irreps H) =", lambda match, draw: draw.choice([":", " :=", ""]), True),
    Slip(r"group SO\(3\)", lambda match, draw: draw.choice(["group SO3", "group so(3)", "group SO 3"]), True),
    Slip(r"\n(?=diagram)", lambda match, draw: draw.choice(["\n// a remark\n", "\n% a remark\n"]), True),
    Slip(r"(?<=\w) (?=[a-z]\w*(?:\[|:| ->))", _as("\u00a0"), True),
    Slip(r"0\.5", _as("−0.5"), False),
    Slip(
        r"\b(?:diagram|irreps|sites|pairs|group)\b",
        lambda match, draw: draw.choice([match[0].capitalize(), match[0][:-1]]),
        True,
    ),
    # something is wrong with it
    Slip(r" \* [Wr]\[[^\]]*\]", _as("")),
    Slip(r"path, ", _as("")),
    Slip(r"(?<=\[)([a-z,]*)u\]", lambda match, draw: f"{match[1]}{draw.choice('uvwpq')}]"),
    Slip(r"\[u\]", _as("")),
    Slip(r"0e \+ 1o \+ 2e", lambda match, draw: draw.choice(["0e + 1o + 6e", "7o", "6e + 1o + 8o", "lmax 0", "4x9e"])),
    Slip(r"[0-9](?=x[01])", lambda match, draw: draw.choice("1379")),
    Slip(r"(?<=x)1o?|\b2e", lambda match, draw: draw.choice(["3o", "1e", "9e", "1/2", "01o"])),
    Slip(r"\bH\b(?=[,)])|\b[a-z](?=\[)", lambda match, draw: draw.choice(["HH", "xx", "yy", "e1", "outt"])),
    Slip(r"\b(?:x|y|e|h)\b(?=\[?.* ->)", lambda match, draw: draw.choice(["q", "ee", "__x", "lambda"])),
    Slip(r"\[atoms\]|\[edges\]", lambda match, draw: draw.choice(["", "[atom]", "[edges]", "[atoms]"])),
    Slip(r"i,j|j,u|i,u|i, j", lambda match, draw: draw.choice(["u,i", "i", "j", "u", "j,i", "i,j,k"])),
    Slip(r"lmax 2|in 4x0 \+ 4x1 ", lambda match, draw: draw.choice(["lmax 1/2", "in lmax 1 ", "in 9e", "lmax 3/2"])),
    Slip(
        r"\n\}", lambda match, draw: draw.choice(["\n    x -> q\n}", "\n    x[u] -> q[u] * Z[path,u,k]\n}", "\n}\n}"])
    ),
    Slip(r"spherical", lambda match, draw: draw.choice(["sperical", "spherical_harmonics", "Spherical"]), True),
)


def draw(seed: int) -> tuple[str, str, bool]:
    """A sound text, the same with a slip, and whether the slip still says what was meant."""
    random_ = random.Random(seed)
    while True:
        text = random_.choice(SOUND)
        slip = random_.choice(SLIPS)
        places = list(re.finditer(slip.pattern, text))
        if not places:
            continue
        match = random_.choice(places)
        written = text[: match.start()] + slip.written(match, random_) + text[match.end() :]
        if written != text:
            return text, written, slip.reversible


class Broken(AssertionError):
    """A repair that does not do what it promises."""


def read(source: Source, folder: Path | None = None) -> tuple[Checked, tuple[Diagnostic, ...]]:
    """A checked text, with everything that is said of it up to the generated file."""
    checked = check_source(source, folder)
    if checked.has_errors or not checked.diagrams:
        return checked, checked.diagnostics
    return checked, (*checked.diagnostics, *name_mistakes(checked.diagrams))


def meaning(checked: Checked) -> object:
    """What the diagrams of a text compute: None where there are mistakes."""
    try:
        found = [(diagram.name, diagram.graph.outputs, diagram.meaning) for diagram in checked.diagrams]
    except CompileError:  # too large to list
        return None
    return None if checked.has_errors else found


def _is_better(mended: Diagnostic, found: tuple[Diagnostic, ...], left: tuple[Diagnostic, ...]) -> bool:
    """Fewer errors. Of a warning, no more, and the warning is gone; of a slip in a line, the next of it may show."""
    before, after = (sum(one.is_error for one in some) for some in (found, left))
    if mended.is_error and not mended.code.startswith("F00"):
        return after < before
    return after <= before and all((one.code, one.message) != (mended.code, mended.message) for one in left)


def check_repairs(source: Source, folder: Path | None = None, meant: object = None) -> int:
    """Make each repair of a text by itself and look at what is left; returns how many there were.

    Fewer mistakes are left, and where nothing is said of an effect the text means what it meant: itself, or `meant`.
    """
    checked, found = read(source, folder)
    count, before = 0, meaning(checked) if meant is None else meant
    for diagnostic in found:
        for repair in diagnostic.repairs:
            if any(edit.span.source is not source for edit in repair.edits):
                continue
            after = Source(source.name, edited(source, repair.edits))
            again, _ = check_text(after, folder)
            left = again.diagnostics if not diagnostic.code.startswith("F4") else read(after, folder)[1]
            count += 1
            if not _is_better(diagnostic, found, left):
                raise Broken(_told(source, diagnostic, repair, after, f"{[one.code for one in left]} are left"))
            if not repair.changes_meaning and before is not None and meaning(again) not in (None, before):
                raise Broken(_told(source, diagnostic, repair, after, "another meaning"))
    return count


def _told(source: Source, diagnostic: Diagnostic, repair: Repair, after: Source, what: str) -> str:
    head = f"{diagnostic.code}: {diagnostic.message} ({diagnostic.help}; {repair.effect}): {what}"
    return f"{head}\n{source.text}\n-->\n{after.text}"
