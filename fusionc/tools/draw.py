"""The picture of a diagram, as a physicist draws it:

    x   a       b        legs at the top, once for each time that a line uses them
     \\ /       /
      ●       /          a line of the text: its vertex, with the weights beside it
      │ e    /           an internal edge, with the irreps that live there
       \\    /
        ● ─ W
        │
       out               outputs at the bottom

Lines that end in the same edge meet in ⊕; a line with one operand is a box on its strand; a double strand keeps
its paths apart. This module says what is drawn; `layout` says where, `svg` says how it is spelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import hypot, prod
from typing import Protocol

from fusionc.algebra.irreps import Irrep
from fusionc.diagram.fusion import target_sizes
from fusionc.diagram.ir import FusionGraph, Line, Operand, Output, Space, Weight
from fusionc.driver import CheckedDiagram
from fusionc.tools.layout import Arc, Band, Layout, Node, arrange
from fusionc.tools.svg import Box, Circle, Curve, Group, Mark, Rectangle, Step, Text, document, text_width

MAX_LINES, MAX_STRANDS = 60, 160  # what is drawn of a diagram; the rest is counted
MAX_OPERANDS, MAX_EQUAL, MAX_OUTPUTS, MAX_LOOSE = 16, 6, 24, 12
NAME_LENGTH, SPACE_LENGTH, TOOLTIP_LENGTH = 22, 26, 300

MARGIN, CAPTION, LEGEND_ROW = 24.0, 34.0, 20.0
PORT, BOW = 20.0, 26.0  # between equal operands: at their leg, and on the way from an edge
DOT, SUM, STEM = 4.5, 8.0, 16.0
CHIP, CHIP_GAP = 20.0, 4.0
LABEL, LABEL_GAP = 36.0, 9.0  # the height of two rows of text, and their distance from the strand
BEND = 0.35  # how much of the way from band to band strands take to turn


def draw(diagram: CheckedDiagram) -> str:
    """The diagram as a stand-alone SVG."""
    shown = picture(diagram)
    return document(shown.width, shown.height, shown.title, (*shown.strands, *shown.groups))


@dataclass(frozen=True)
class Picture:
    """Everything on the paper: strands at the back, glyphs before them."""

    title: str
    width: float
    height: float
    strands: tuple[Curve, ...]
    groups: tuple[Group, ...]

    @property
    def texts(self) -> tuple[Text, ...]:
        return tuple(mark for group in self.groups for mark in group.marks if isinstance(mark, Text))


def picture(diagram: CheckedDiagram) -> Picture:
    """Sketch, lay out, and put the parts in their places."""
    sketch = _sketch(diagram)
    layout = arrange([glyph.node for glyph in sketch.glyphs], [strand.arc for strand in sketch.strands])
    caption, legend = _caption(diagram), _Legend(diagram.graph, sketch)
    width = max(layout.width, caption[1].box.right - MARGIN, legend.least_width, 160.0)
    left, top = MARGIN + (width - layout.width) / 2, MARGIN + CAPTION
    placed = _Placed(sketch, layout, left, top)
    key = legend.groups(MARGIN, top + layout.height + MARGIN, width)
    bottom = max((mark.box.bottom for group in key for mark in group.marks if isinstance(mark, Text)), default=0.0)
    return Picture(
        title=_title(diagram.graph),
        width=width + 2 * MARGIN,
        height=max(top + layout.height, bottom) + MARGIN,
        strands=tuple(placed.curves()),
        groups=(Group(_title(diagram.graph), caption), *placed.groups(), *key),
    )


def _title(graph: FusionGraph) -> str:
    legs = [leg.name for leg in graph.legs]
    outputs = [output.name for output in graph.outputs]
    return f"Fusion diagram {graph.name}: {_join(legs, 200, ', ')} → {_join(outputs, 200, ', ')}"


def _caption(diagram: CheckedDiagram) -> tuple[Text, Text]:
    count = diagram.count_paths()
    paths = f"{count:,} path{'' if count == 1 else 's'}" if count < 10**9 else "very many paths"
    name = Text(MARGIN, MARGIN + 4, _short(diagram.name), "caption", "start")
    facts = f"{diagram.graph.group.name}  ·  {paths}"
    return name, Text(name.box.right + 10, MARGIN + 4.5, facts, "note", "start")


# --- glyphs: what stands at a node ---


class Glyph(Protocol):
    """A part of the picture that takes room: its outline for the layout, and its marks once it is placed."""

    @property
    def tooltip(self) -> str: ...

    @property
    def node(self) -> Node: ...

    @property
    def is_point(self) -> bool:
        """Whether strands converge there, each from its own direction."""
        ...

    def marks(self, x: float, band: Band) -> Iterator[Mark]: ...


@dataclass(frozen=True)
class Caption:
    """A name with a space beneath it, centred: a leg at the top, or an output at the bottom, with ⊕ if it `sums`."""

    name: str
    space: str
    tooltip: str
    strands: int = 1
    sums: bool = False
    is_leg: bool = True
    double: bool = False

    @property
    def node(self) -> Node:
        width = max(text_width(self.name, "name"), text_width(self.space, "note"), (self.strands - 1) * PORT)
        stem = STEM if self.sums else 0.0
        return Node(width / 2, width / 2, stem + LABEL, at_bottom=not self.is_leg)

    @property
    def is_point(self) -> bool:
        return self.sums

    def marks(self, x: float, band: Band) -> Iterator[Mark]:
        top = band.bottom - LABEL - (2 if self.is_leg else 0)
        if not self.is_leg:
            yield from _stem(x, band.top, top, self.double)
        if self.sums:
            yield from _sum(x, band.top)
        yield Text(x, top + (12 if self.space else 22), self.name, "name")
        if self.space:
            yield Text(x, top + 28, self.space, "note")


@dataclass(frozen=True)
class EdgeLabel:
    """The name and the irreps of an internal edge, beside its strand; `sums`: lines meet there; `forks`: it is used
    more than once."""

    name: str
    irreps: str
    tooltip: str
    sums: bool
    forks: bool
    double: bool

    @property
    def node(self) -> Node:
        width = max(text_width(self.name, "name"), text_width(self.irreps, "note"))
        return Node(SUM, self._gap + width, LABEL)

    @property
    def _gap(self) -> float:
        return LABEL_GAP + (SUM if self.sums else 0.0)

    @property
    def is_point(self) -> bool:
        return self.sums

    def marks(self, x: float, band: Band) -> Iterator[Mark]:
        yield from _stem(x, band.top, band.bottom, self.double)
        if self.sums:
            yield from _sum(x, band.top)
        if self.forks:
            yield Circle(x, band.bottom, 3.0, "sum")
        yield Text(x + self._gap, band.top + 9, self.name, "name", "start")
        yield Text(x + self._gap, band.top + 26, self.irreps, "note", "start")


@dataclass(frozen=True)
class Chip:
    """A weight or a factor in its box; `tab` names the index that selects its row."""

    text: str
    tone: str
    tab: str = ""

    @property
    def tab_width(self) -> float:
        return text_width(self.tab, "weight") + 10 if self.tab else 0.0

    @property
    def width(self) -> float:
        return self.tab_width + text_width(self.text, "weight") + 12

    def marks(self, left: float, middle: float) -> Iterator[Mark]:
        top, bottom, split = middle - CHIP / 2, middle + CHIP / 2, left + self.tab_width
        yield Rectangle(Box(left, top, left + self.width, bottom), self.tone)
        if self.tab:
            yield Rectangle(Box(left, top, split, bottom), "given")
            yield Text((left + split) / 2, middle, self.tab, "weight", tone="given")
        yield Text((split + left + self.width) / 2, middle, self.text, "weight", tone=self.tone)


@dataclass(frozen=True)
class Vertex:
    """A vertex with its weights beside it; a linear map is its weights alone, on the strand."""

    chips: tuple[Chip, ...]
    is_linear: bool
    double: bool
    tooltip: str

    @property
    def node(self) -> Node:
        width = max((chip.width for chip in self.chips), default=0.0)
        height = max(len(self.chips) * (CHIP + CHIP_GAP) - CHIP_GAP, 2 * DOT)
        if self.is_linear:
            return Node(max(width / 2, 2 * DOT), max(width / 2, 2 * DOT), height)
        return Node(2 * DOT, self._reach + width if self.chips else 2 * DOT, height)

    @property
    def _reach(self) -> float:
        return DOT + 12.0

    @property
    def is_point(self) -> bool:
        return not self.is_linear

    def marks(self, x: float, band: Band) -> Iterator[Mark]:
        yield from _stem(x, band.top, band.bottom, self.double)
        if self.is_linear and not self.chips:
            yield Rectangle(Box(x - DOT, band.top, x + DOT, band.top + 2 * DOT), "dot", radius=1.0)
        if not self.is_linear:
            if self.chips:
                yield Curve((("M", (x, band.top)), ("L", (x + self._reach, band.top + CHIP / 2))), "tether")
            yield Circle(x, band.top, DOT, "dot")
        for row, chip in enumerate(self.chips):
            middle = band.top + row * (CHIP + CHIP_GAP) + CHIP / 2 + (0.0 if self.is_linear else 1.0)
            yield from chip.marks(x - chip.width / 2 if self.is_linear else x + self._reach, middle)


@dataclass(frozen=True)
class More:
    """What is not drawn, counted."""

    text: str
    at_bottom: bool = False
    is_passed: bool = False
    is_point: bool = False

    @property
    def tooltip(self) -> str:
        return self.text

    @property
    def node(self) -> Node:
        half = text_width(self.text, "weight") / 2 + 10
        return Node(half, half, CHIP + 4, self.at_bottom)

    def marks(self, x: float, band: Band) -> Iterator[Mark]:
        half = self.node.left
        middle = band.top + CHIP / 2 + 2 if self.at_bottom else band.bottom - CHIP / 2 - 2
        if self.is_passed:
            yield from _stem(x, band.top, band.bottom, double=False)
        yield Rectangle(Box(x - half, middle - CHIP / 2, x + half, middle + CHIP / 2), "factor", radius=CHIP / 2)
        yield Text(x, middle, self.text, "weight", tone="factor")


def _stem(x: float, top: float, bottom: float, double: bool) -> Iterator[Mark]:
    """The strand within a band."""
    if bottom > top:
        yield from _strand((("M", (x, top)), ("V", (bottom,))), double)


def _strand(steps: tuple[Step, ...], double: bool) -> Iterator[Curve]:
    """A line; a double one is a broad one with a core in the colour of the paper."""
    yield Curve(steps, "strand double" if double else "strand")
    if double:
        yield Curve(steps, "core")


def _sum(x: float, y: float) -> Iterator[Mark]:
    yield Circle(x, y, SUM, "sum")
    arm = SUM - 3
    yield Curve((("M", (x - arm, y)), ("H", (x + arm,)), ("M", (x, y - arm)), ("V", (y + arm,))), "plus")


# --- the sketch: which glyphs, and which strands between them ---


@dataclass(frozen=True)
class Strand:
    """An arc with its looks: `double` keeps its paths apart, and `bow` bends strands apart that run side by side."""

    arc: Arc
    double: bool
    bow: float = 0.0


@dataclass(frozen=True)
class Sketch:
    glyphs: tuple[Glyph, ...]
    strands: tuple[Strand, ...]


def _sketch(diagram: CheckedDiagram) -> Sketch:
    sketcher = _Sketcher(diagram, _shown_lines(diagram.graph))
    return sketcher.sketch()


def _shown_lines(graph: FusionGraph) -> tuple[Line, ...]:
    """The lines that are drawn: all of an ordinary diagram, and the first ones of a huge one."""
    shown: list[Line] = []
    strands = 0
    for line in graph.ordered():
        strands += min(len(line.operands), MAX_OPERANDS)
        if shown and (len(shown) == MAX_LINES or strands > MAX_STRANDS):
            break
        shown.append(line)
    return tuple(shown)


@dataclass
class _Sketcher:
    diagram: CheckedDiagram
    lines: tuple[Line, ...]
    glyphs: list[Glyph] = field(default_factory=list)
    strands: list[Strand] = field(default_factory=list)
    edges: dict[str, int] = field(default_factory=dict)
    rest: int | None = None

    def sketch(self) -> Sketch:
        graph = self.graph
        drawn = dict.fromkeys(line.target for line in self.lines)
        for edge in drawn:
            if edge not in graph.output_table:
                self.edges[edge] = self.add(self.edge_label(edge))
        self.add_rest()
        self.add_outputs()
        for line in self.lines:
            self.add_line(line)
        self.add_loose_legs()
        return Sketch(tuple(self.glyphs), tuple(_bent_apart(self.strands)))

    @property
    def graph(self) -> FusionGraph:
        return self.diagram.graph

    def add(self, glyph: Glyph) -> int:
        self.glyphs.append(glyph)
        return len(self.glyphs) - 1

    def join(self, tail: int, head: int, *, double: bool = False, port: float = 0.0, rigid: bool = False) -> None:
        self.strands.append(Strand(Arc(tail, head, port, rigid), double))

    # -- edges

    def edge_label(self, edge: str) -> EdgeLabel:
        graph, writers = self.graph, self.graph.writers[edge]
        uses = [line.operands[place].indices for line, place in graph.readers.get(edge, ())]
        indices = (*writers[0].sites, *writers[0].channels)
        written = _bracketed(edge, indices)
        read = dict.fromkeys(_bracketed(edge, use) for use in uses if use != indices)
        name = f"{written} → {_join(list(read), NAME_LENGTH, ', ')}" if read else written
        tooltip = f"{edge}: {_join(self.irreps(edge), TOOLTIP_LENGTH)}"
        return EdgeLabel(
            name,
            _join(self.irreps(edge), SPACE_LENGTH),
            tooltip,
            len(writers) > 1,
            len(uses) > 1,
            self.is_double(writers[0]),
        )

    def irreps(self, edge: str) -> list[str]:
        group = self.graph.group
        return [group.format(i) for i in sorted(self.diagram.fusion.alive.get(edge, ()), key=group.edge_key)]

    def add_rest(self) -> None:
        """One glyph for all lines that are not drawn, between the last edges that are and the outputs."""
        hidden = len(self.graph.lines) - len(self.lines)
        if not hidden:
            return
        self.rest = self.add(More(f"… {hidden:,} more lines", is_passed=True))
        shown = {line.number for line in self.lines}
        open_edges = (
            edge
            for edge in self.edges
            if any(line.number not in shown for line, _ in self.graph.readers.get(edge, ()))
            or any(line.number not in shown for line in self.graph.writers[edge])
        )
        for edge, _ in zip(open_edges, range(MAX_LOOSE), strict=False):
            self.join(self.edges[edge], self.rest)

    def add_outputs(self) -> None:
        outputs, shown = self.graph.outputs, {line.number for line in self.lines}
        visible = outputs if len(outputs) <= MAX_OUTPUTS else outputs[: MAX_OUTPUTS - 1]
        for output in visible:
            writers = self.graph.writers.get(output.name, ())
            self.edges[output.name] = self.add(self.output_caption(output, writers))
            if self.rest is not None and any(line.number not in shown for line in writers):
                self.join(self.rest, self.edges[output.name])
        if len(visible) < len(outputs):
            more = self.add(More(f"… {len(outputs) - len(visible):,} more outputs", at_bottom=True))
            self.edges |= {output.name: more for output in outputs[len(visible) :]}

    def output_caption(self, output: Output, writers: Sequence[Line]) -> Caption:
        sites, channels = (writers[0].sites, writers[0].channels) if writers else ((), ())
        kept = ("path",) if any(line.keeps for line in writers) else ()
        terms = self.output_terms(output)
        tooltip = f"{output.name}: {_space_text(terms, TOOLTIP_LENGTH)}"
        return Caption(
            _bracketed(output.name, (*sites, *kept, *channels)), _space_text(terms, SPACE_LENGTH), tooltip,
            sums=len(writers) > 1, is_leg=False, double=any(map(self.is_double, writers)),
        )  # fmt: skip

    def output_terms(self, output: Output) -> list[tuple[int, str]]:
        """The terms of an output's space, inferred from the counted paths where it is not declared."""
        if output.space is not None:
            return self.space_terms(output.space)
        group, fusion = self.graph.group, self.diagram.fusion
        alive, muls = fusion.alive.get(output.name, frozenset()), dict[Irrep, int]()
        restricted = output.restriction.multiplicities if output.restriction else {}
        for line in self.graph.writers.get(output.name, ()):
            coupling = fusion.couplings[line.number]
            for (irrep, binding), count in coupling.counts.items():
                sizes = target_sizes(line, coupling.indices, binding, restricted.get(irrep))
                if irrep in alive and sizes is not None:
                    muls[irrep] = muls.get(irrep, 0) + prod(sizes) * count if line.keeps else prod(sizes)
        return [(muls[irrep], group.format(irrep)) for irrep in sorted(muls, key=group.sorted_key)]

    def space_terms(self, space: Space) -> list[tuple[int, str]]:
        return [(block.mul, self.graph.group.format(block.irrep)) for block in space.blocks]

    # -- lines and legs

    def add_line(self, line: Line) -> None:
        double, is_linear = self.is_double(line), len(line.operands) == 1
        vertex = self.add(Vertex(tuple(self.chips(line)), is_linear, double, self.line_tooltip(line)))
        groups = line.identical_operands()
        shown = groups if len(groups) <= MAX_OPERANDS else groups[: MAX_OPERANDS - 1]
        for positions in shown:
            self.add_operands(line.operands[positions[0]], len(positions), vertex, is_linear)
        if len(shown) < len(groups):
            self.join(self.add(More(f"… {len(groups) - len(shown):,} more")), vertex)
        alone = len(self.graph.writers[line.target]) == 1
        self.join(vertex, self.edges[line.target], double=double, rigid=alone)

    def add_operands(self, operand: Operand, power: int, vertex: int, is_linear: bool) -> None:
        """Equal operands: one label with as many strands (or, where they are many, with their number)."""
        strands = power if power <= MAX_EQUAL else 3
        if operand.edge in self.edges:
            double = self.is_double(self.graph.writers[operand.edge][0])
            rigid = len(self.graph.readers[operand.edge]) == 1 and is_linear
            for _ in range(strands):
                self.join(self.edges[operand.edge], vertex, double=double, rigid=rigid)
            return
        leg = self.add(self.leg_caption(operand.edge, operand.indices, strands, power))
        for place in _centred(strands):
            self.join(leg, vertex, port=place * PORT, rigid=is_linear)

    def leg_caption(self, name: str, indices: tuple[str, ...], strands: int, power: int) -> Caption:
        leg = self.graph.tensor_legs.get(name)
        terms = self.space_terms(leg.space) if leg is not None else []
        text = _bracketed(name, indices) + (f"  ×{power}" if power > strands else "")
        return Caption(text, _space_text(terms, SPACE_LENGTH), f"{name}: {_space_text(terms, TOOLTIP_LENGTH)}", strands)

    def add_loose_legs(self) -> None:
        """Legs that no line uses: they stand there without a strand."""
        loose = [name for name in self.graph.tensor_legs if name not in self.graph.readers]
        for name in loose[:MAX_LOOSE]:
            self.add(self.leg_caption(name, (), 0, 0))
        if len(loose) > MAX_LOOSE:
            self.add(More(f"… {len(loose) - MAX_LOOSE:,} more legs"))

    def is_double(self, line: Line) -> bool:
        """Whether the right edge keeps several paths into one irrep apart."""
        target, fusion = line.target, self.diagram.fusion
        keeps = line.keeps or self.graph.keeps_paths(target)
        return keeps and fusion.count(line) > len(fusion.alive.get(target, ()))

    def chips(self, line: Line) -> Iterator[Chip]:
        for weight in line.weights:
            given = weight.name in self.graph.weights_legs
            yield Chip(_weight_text(weight), "given" if given else "learned", ", ".join(_row_texts(weight)))
        if line.factor != 1:
            yield Chip(f"× {_factor_text(line.factor)}", "factor")

    def line_tooltip(self, line: Line) -> str:
        count = self.diagram.fusion.count(line)
        left = _join([_bracketed(operand.edge, operand.indices) for operand in line.operands], TOOLTIP_LENGTH, " ")
        paths = "1 path" if count == 1 else f"{count:,} paths" if count < 10**9 else "very many paths"
        return f"{left} -> {_bracketed(line.target, line.indices)}: {paths}"


def _centred(count: int) -> list[float]:
    return [place - (count - 1) / 2 for place in range(count)]


def _bent_apart(strands: Sequence[Strand]) -> Iterator[Strand]:
    """Strands between the same two glyphs, bowed so that each is seen."""
    alike: dict[tuple[int, int, float], list[int]] = {}
    for number, strand in enumerate(strands):
        alike.setdefault((strand.arc.tail, strand.arc.head, strand.arc.port), []).append(number)
    bows = {
        number: place * BOW
        for numbers in alike.values()
        for number, place in zip(numbers, _centred(len(numbers)), strict=True)
    }
    for number, strand in enumerate(strands):
        yield replace(strand, bow=bows[number])


# --- texts ---


def _short(name: str, length: int = NAME_LENGTH) -> str:
    return name if len(name) <= length else f"{name[: length - 5]}…{name[-4:]}"


def _bracketed(name: str, indices: Iterable[str]) -> str:
    inside = ", ".join(map(_short, indices))
    return f"{_short(name)}[{inside}]" if inside else _short(name)


def _join(words: Sequence[str], length: int, separator: str = " + ") -> str:
    """The words, or where they are too long the first ones and the last: `0e + 1o + … + 9o`."""
    whole = separator.join(words[: length + 1])
    if len(words) <= 3 or (len(whole) <= length and len(words) <= length):
        return separator.join(words)
    room, shown = length - len(words[-1]) - len(separator) - 1, list[str]()
    for word in words[:-2]:
        room -= len(word) + len(separator)
        if room < 0 and shown:
            break
        shown.append(word)
    return separator.join((*shown, "…", words[-1]))


def _space_text(terms: Sequence[tuple[int, str]], length: int) -> str:
    """`64×(0e + 1o + 2e)` where all multiplicities are equal, `64×0e + 32×1o` where they are not."""
    muls = {mul for mul, _ in terms}
    if len(terms) > 1 and len(muls) == 1 and muls != {1}:
        return f"{muls.pop()}×({_join([irrep for _, irrep in terms], length - 6)})"
    return _join([irrep if mul == 1 else f"{mul}×{irrep}" for mul, irrep in terms], length)


def _weight_text(weight: Weight) -> str:
    path = ("path",) if weight.has_path else ()
    return _bracketed(weight.name, (*weight.sites, *path, *weight.channels))


def _row_texts(weight: Weight) -> Iterator[str]:
    """The rows that a weight is read at, each with its sites: `z[i]`."""
    for row, sites in zip(weight.rows, weight.row_sites, strict=True):
        yield _bracketed(row, sites)


def _factor_text(factor: Fraction) -> str:
    """As a fraction where it is short, else to four digits."""
    if max(abs(factor.numerator), factor.denominator) < 1000:
        return str(factor)
    return f"{Decimal(factor.numerator) / Decimal(factor.denominator):.4g}"


# --- the picture ---


@dataclass(frozen=True)
class _Placed:
    """A sketch with its layout, moved to its place on the paper."""

    sketch: Sketch
    layout: Layout
    left: float
    top: float

    def groups(self) -> Iterator[Group]:
        for glyph, rank, anchor in zip(self.sketch.glyphs, self.layout.ranks, self.layout.anchors, strict=True):
            yield Group(glyph.tooltip, tuple(glyph.marks(anchor + self.left, self.band(rank))))

    def band(self, rank: int) -> Band:
        band = self.layout.bands[rank]
        return Band(band.top + self.top, band.bottom + self.top)

    def curves(self) -> Iterator[Curve]:
        for strand, route in zip(self.sketch.strands, self.layout.routes, strict=True):
            yield from _strand(tuple(self.steps(strand, [x + self.left for x in route])), strand.double)

    def steps(self, strand: Strand, route: Sequence[float]) -> Iterator[Step]:
        """Curves between the bands, straight down within those that are passed."""
        head = self.sketch.glyphs[strand.arc.head]
        rank = self.layout.ranks[strand.arc.tail]
        bow = strand.bow if len(route) == 2 else 0.0
        yield "M", (route[0], self.band(rank).bottom)
        for step, (x, after) in enumerate(pairwise(route)):
            upper, lower = self.band(rank + step).bottom, self.band(rank + step + 1).top
            if step:
                yield "L", (x, upper)
            to_point = step == len(route) - 2 and head.is_point
            yield _slant(x, upper, after, lower, bow, to_point, from_leg=not step and not rank)


def _slant(x: float, upper: float, after: float, lower: float, bow: float, to_point: bool, from_leg: bool) -> Step:
    """From one band to the next: upright at both ends, but straight from a leg, and straight to a point where
    strands meet: there each comes from its own side."""
    across, height = after - x, lower - upper
    start = 0.0 if from_leg else BEND * height
    first, second = (x, upper + start), (after, lower - BEND * height)
    if to_point:
        second = (x + across * 0.6, upper + start + (height - start) * 0.6)
    if from_leg:
        first = (x + across * 0.3, upper + height * 0.3)
    if bow:
        aside = bow / hypot(across, height)
        first, second = ((x + across * t + height * aside, upper + height * t - across * aside) for t in (0.3, 0.7))
    return "C", (*first, *second, after, lower)


@dataclass(frozen=True)
class _Legend:
    """What the marks mean, for those that occur."""

    graph: FusionGraph
    sketch: Sketch

    @property
    def entries(self) -> list[tuple[Chip | None, str]]:
        """Each with its sample (None: a double strand)."""
        graph = self.graph
        weights = dict.fromkeys(weight.name for line in graph.lines for weight in line.weights)
        learned = [name for name in weights if name not in graph.weights_legs]
        found: list[tuple[Chip | None, str]] = []
        if learned:
            found.append((Chip(_names(learned), "learned"), "learned"))
        if graph.weights_legs:
            found.append((Chip(_names(list(graph.weights_legs)), "given"), "given at every call"))
        for leg in list(graph.index_legs.values())[:MAX_LOOSE]:
            found.append((Chip(_short(leg.name), "given"), f"selects one of {leg.size:,} rows"))
        if any(strand.double for strand in self.sketch.strands):
            found.append((None, "paths kept apart"))
        return found

    @property
    def least_width(self) -> float:
        return max((_entry_width(*entry) for entry in self.entries), default=0.0)

    def groups(self, left: float, top: float, width: float) -> tuple[Group, ...]:
        """The entries in rows."""
        found, x, y = list[Group](), left, top + LEGEND_ROW / 2
        for sample, text in self.entries:
            room = _entry_width(sample, text)
            if x > left and x + room > left + width:
                x, y = left, y + LEGEND_ROW + CHIP_GAP
            found.append(Group(text, tuple(_entry(sample, text, x, y))))
            x += room + 20
        return tuple(found)


def _names(names: Sequence[str]) -> str:
    return _join([_short(name) for name in names], 2 * NAME_LENGTH, ", ")


def _entry_width(sample: Chip | None, text: str) -> float:
    return (sample.width if sample else CHIP) + 7 + text_width(text, "note")


def _entry(sample: Chip | None, text: str, x: float, y: float) -> Iterator[Mark]:
    if sample:
        yield from sample.marks(x, y)
    else:
        yield from _strand((("M", (x, y)), ("H", (x + CHIP,))), double=True)
    yield Text(x + (sample.width if sample else CHIP) + 7, y, text, "note", "start")
