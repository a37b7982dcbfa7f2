"""Marks on paper, and their SVG text: the last step of a drawing, which knows neither diagrams nor layouts.

Colours follow the reader's light or dark mode; every rule is confined to the picture, so that it can stand in a
page. Fonts are the reader's, so widths of texts are estimates, and rather too wide than too narrow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

SANS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
SIZES = {"name": 15, "note": 11, "weight": 12, "caption": 13}
BOLD = frozenset({"name", "caption"})
NARROW, WIDE = frozenset("ijlftr.,:;|!'()[] "), frozenset("mwMW@%…×⊕—")


@dataclass(frozen=True)
class Box:
    """A rectangle, for asking what overlaps what."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.bottom <= other.top or other.bottom <= self.top)


def text_width(text: str, style: str) -> float:
    """An upper estimate of a text's width in any of the fonts asked for."""
    return SIZES[style] * sum(map(_advance, text)) * (1.1 if style in BOLD else 1.0)


def _advance(character: str) -> float:
    if character in NARROW:
        return 0.4
    if character in WIDE:
        return 1.0
    return 1.05 if ord(character) > 0x2FF else 0.7 if character.isupper() else 0.64


@dataclass(frozen=True)
class Text:
    """A line of text; `y` is its middle, `anchor` which part of it stands at `x`: start or middle."""

    x: float
    y: float
    content: str
    style: str
    anchor: str = "middle"
    tone: str = ""

    @property
    def box(self) -> Box:
        width, height = text_width(self.content, self.style), SIZES[self.style] * 1.15
        left = self.x if self.anchor == "start" else self.x - width / 2
        return Box(left, self.y - height / 2, left + width, self.y + height / 2)

    def svg(self) -> str:
        baseline = self.y + 0.35 * SIZES[self.style]
        place = f'x="{number(self.x)}" y="{number(baseline)}"'
        anchor = "" if self.anchor == "start" else f' text-anchor="{self.anchor}"'
        return f'<text class="{_classes(self.style, self.tone)}" {place}{anchor}>{clean(self.content)}</text>'


@dataclass(frozen=True)
class Rectangle:
    box: Box
    tone: str
    radius: float = 4.0

    def svg(self) -> str:
        box = self.box
        place = f'x="{number(box.left)}" y="{number(box.top)}"'
        size = f'width="{number(box.right - box.left)}" height="{number(box.bottom - box.top)}"'
        return f'<rect class="{self.tone}" {place} {size} rx="{number(self.radius)}"/>'


@dataclass(frozen=True)
class Circle:
    x: float
    y: float
    radius: float
    tone: str

    def svg(self) -> str:
        place = f'cx="{number(self.x)}" cy="{number(self.y)}" r="{number(self.radius)}"'
        return f'<circle class="{self.tone}" {place}/>'


Step = tuple[str, tuple[float, ...]]


@dataclass(frozen=True)
class Curve:
    """A path: `steps` are SVG's commands with their coordinates."""

    steps: tuple[Step, ...]
    tone: str

    def svg(self) -> str:
        words = (f"{command}{' '.join(map(number, where))}" for command, where in self.steps)
        return f'<path class="{self.tone}" d="{" ".join(words)}"/>'


Mark = Text | Rectangle | Circle | Curve


@dataclass(frozen=True)
class Group:
    """Marks that belong together, with a text that shows when one points at them."""

    tooltip: str
    marks: tuple[Mark, ...]

    def svg(self) -> str:
        return "\n".join(("<g>", f"<title>{clean(self.tooltip)}</title>", *(mark.svg() for mark in self.marks), "</g>"))


def document(width: float, height: float, title: str, content: Iterable[Mark | Group]) -> str:
    """The SVG file."""
    wide, high = number(width), number(height)
    size = f'width="{wide}" height="{high}" viewBox="0 0 {wide} {high}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="fusion-diagram" {size} role="img"'
    paper = Rectangle(Box(0.0, 0.0, width, height), "paper", radius=8.0)
    lines = [
        f'{head} aria-label="{clean(title)}">',
        f"<title>{clean(title)}</title>",
        f"<style>\n{_style()}\n</style>",
        paper.svg(),
        *(item.svg() for item in content),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """A coordinate to a tenth, as short as it goes."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def clean(text: str) -> str:
    """Text that is safe in an element or an attribute: escaped, without the characters that XML forbids."""
    allowed = re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
    return escape(allowed, quote=True)


def _classes(*names: str) -> str:
    return " ".join(filter(None, names))


# --- colours ---

LIGHT = {
    "paper": "#ffffff", "ink": "#18222d", "muted": "#5d6a78", "strand": "#34506f",
    "warm": "#fdf2dc", "warm-line": "#c68a1e", "warm-ink": "#6a4803",
    "cool": "#e4f4ef", "cool-line": "#2f8d79", "cool-ink": "#12564a",
}  # fmt: skip
DARK = {
    "paper": "#14191f", "ink": "#edf1f5", "muted": "#9dabb9", "strand": "#a4bedb",
    "warm": "#362b14", "warm-line": "#d5a243", "warm-ink": "#f3d798",
    "cool": "#12312b", "cool-line": "#51b7a1", "cool-ink": "#b6e7db",
}  # fmt: skip

COLOURED: Sequence[tuple[str, str]] = (
    (".paper", "fill: {paper}"),
    ("text", "fill: {ink}"),
    ("text.note", "fill: {muted}"),
    (".strand", "stroke: {strand}"),
    (".core", "stroke: {paper}"),
    (".dot", "fill: {strand}; stroke: {strand}"),
    (".sum", "fill: {paper}; stroke: {strand}"),
    (".plus, .tether", "stroke: {strand}"),
    (".learned", "fill: {warm}; stroke: {warm-line}"),
    ("text.learned", "fill: {warm-ink}; stroke: none"),
    (".given", "fill: {cool}; stroke: {cool-line}"),
    ("text.given", "fill: {cool-ink}; stroke: none"),
    (".factor", "fill: {paper}; stroke: {muted}"),
    ("text.factor", "fill: {ink}; stroke: none"),
)


def _style() -> str:
    fixed = [
        f"text {{ font-family: {SANS} }}",
        *(f"text.{style} {{ font-size: {size}px }}" for style, size in SIZES.items()),
        *(f"text.{style} {{ font-weight: 600 }}" for style in sorted(BOLD)),
        "text.name { font-style: italic }",
        ".strand, .core, .plus, .tether { fill: none }",
        ".strand { stroke-width: 1.8 }",
        ".double { stroke-width: 5 }",
        ".core { stroke-width: 2 }",
        ".plus { stroke-width: 1.6 }",
        "rect.given { stroke-dasharray: 3 2 }",
    ]
    rules = [*map(_scoped, fixed), *_coloured(LIGHT)]
    dark = "\n".join(_coloured(DARK))
    return "\n".join([*rules, "@media (prefers-color-scheme: dark) {", dark, "}"])


def _coloured(palette: dict[str, str]) -> list[str]:
    rules = []
    for selector, body in COLOURED:
        for name, colour in palette.items():
            body = body.replace(f"{{{name}}}", colour)
        rules.append(_scoped(f"{selector} {{ {body} }}"))
    return rules


def _scoped(rule: str) -> str:
    """A rule for this picture's elements only."""
    selectors, body = rule.split(" {", 1)
    inside = ", ".join(f".fusion-diagram {selector.strip()}" for selector in selectors.split(","))
    return f"{inside} {{{body}"
