"""The working copy of a diagram inside one rewrite: lines and vertices change, phases are collected.

A rewrite first brings its vertices and arrows into the position of its law (`order`, `aim`: these are laws
themselves), then erases and draws, then calls `done`.

    odd order of a vertex's slots    (-1)^{a+b+c}        (Varshalovich 1988, 8.2.4)
    arrow turned round               (-1)^{2j}           E_j^T = (-1)^{2j} E_j
    three arrows in a row            E E E = (-1)^{2j} E
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fusionc.rewrite.diagram import Diagram, Line
from fusionc.rewrite.factors import Factors, Six, Triad, powers
from fusionc.rewrite.network import Spot

_EVEN = ((0, 1, 2), (1, 2, 0), (2, 0, 1))


@dataclass(frozen=True)
class Step:
    """The outcome of a rewrite: the diagram it was applied to equals `factors` (summed) times `diagram`."""

    factors: Factors
    diagram: Diagram


class Sketch:
    """A diagram being rewritten. Not a value: it lives inside one rewrite."""

    def __init__(self, diagram: Diagram) -> None:
        self._lines = {line.name: line for line in diagram.lines}
        self._next_name, self._next_label = diagram.next_name, diagram.next_label
        self._phase: list[tuple[int, int]] = []
        self._dims: list[tuple[int, int]] = []
        self._sixes: list[Six] = []
        self._sums: list[int] = []
        self._equal: list[tuple[int, int]] = []
        self._zero: list[int] = []
        self._triads: list[Triad] = []

    # -- questions -------------------------------------------------------------------------------------------

    def line(self, name: int) -> Line:
        return self._lines[name]

    def label(self, name: int) -> int:
        return self._lines[name].label

    def ends(self, name: int) -> tuple[int, int]:
        """The vertices of a line: tail, head."""
        return self._lines[name].tail[0], self._lines[name].head[0]

    def at(self, vertex: int) -> tuple[int, int, int]:
        """The names of the lines in a vertex's slots."""
        found = {spot[1]: name for name, line in self._lines.items() for spot in _spots(line) if spot[0] == vertex}
        return found[0], found[1], found[2]

    def slot(self, vertex: int, name: int) -> int:
        """The slot (the first, for a line that ends here twice) in which a vertex holds a line."""
        return self.at(vertex).index(name)

    def cyclic(self, vertex: int, name: int) -> tuple[int, int, int]:
        """The lines of a vertex in their cyclic order, starting with the one named."""
        names, start = self.at(vertex), self.slot(vertex, name)
        return names[start], names[(start + 1) % 3], names[(start + 2) % 3]

    def common(self, one: int, two: int) -> int:
        """The one vertex at which two lines meet."""
        shared = [vertex for vertex in self.ends(one) if vertex in self.ends(two)]
        if len(shared) != 1:
            raise ValueError(f"lines {one} and {two} do not meet at exactly one vertex")
        return shared[0]

    def ring(self, *names: int) -> list[int]:
        """The corners of a ring of lines, each next to the one before: corner k lies between lines k-1 and k."""
        corners = [self.common(names[k - 1], names[k]) for k in range(len(names))]
        if len(set(corners)) != len(names):
            raise ValueError(f"lines {', '.join(map(str, names))} are no ring")
        return corners

    # -- normal positions ------------------------------------------------------------------------------------

    def order(self, vertex: int, names: tuple[int, int, int]) -> None:
        """Put the lines into slots 0, 1, 2 as given; an odd rearrangement costs (-1)^{a+b+c}."""
        slots = [self.at(vertex).index(name) for name in names]
        self.reslot(vertex, (slots[0], slots[1], slots[2]))

    def reslot(self, vertex: int, slots: tuple[int, int, int]) -> None:
        """Move the line in slots[k] to slot k for each k; an odd rearrangement costs (-1)^{a+b+c}."""
        if slots not in _EVEN:
            self.phase(*((self.label(name), 1) for name in self.at(vertex)))
        moved = {(vertex, old): (vertex, new) for new, old in enumerate(slots)}
        for name, line in self._lines.items():
            self._lines[name] = replace(
                line, tail=moved.get(line.tail, line.tail), head=moved.get(line.head, line.head)
            )

    def aim(self, name: int, tail: Spot | None = None, head: Spot | None = None) -> None:
        """Let a line start at `tail` or end at `head`; turning its arrow costs (-1)^{2j}."""
        line = self._lines[name]
        if (tail is not None and line.tail != tail) or (head is not None and line.head != head):
            self._lines[name] = replace(line, tail=line.head, head=line.tail)
            self.phase((line.label, 2))

    def leave(self, name: int, vertex: int) -> None:
        """Let a line between two vertices start at `vertex`."""
        self.aim(name, tail=(vertex, self.slot(vertex, name)))

    # -- drawing ---------------------------------------------------------------------------------------------

    def erase(self, *names: int) -> None:
        for name in names:
            del self._lines[name]

    def draw(self, name: int, label: int, tail: Spot, head: Spot) -> None:
        self._lines[name] = Line(name, label, tail, head)

    def fresh_name(self) -> int:
        self._next_name += 1
        return self._next_name - 1

    def fresh_vertex(self) -> int:
        return 1 + max((spot[0] for line in self._lines.values() for spot in _spots(line)), default=-1)

    def move(self, spots: dict[Spot, Spot]) -> None:
        """Move ends of lines to other spots, all at once; no phase."""
        for name, line in self._lines.items():
            self._lines[name] = replace(
                line, tail=spots.get(line.tail, line.tail), head=spots.get(line.head, line.head)
            )

    def splice(self, first: Spot, second: Spot) -> None:
        """Join the lines that end in two spots through a metric E[first, second]; the labels must agree.

            X ---- first  E  second ---- Y     =     (-1)^{2c}  X --->--- Y

        Of the two names the smaller one stays. A line that would join itself closes to a circle, 2c+1.
        """
        one, two = self.holder(first), self.holder(second)
        if one == two:
            self.aim(one, tail=first)
            self.dims((self.label(one), 2))
            self.erase(one)
            return
        self.aim(one, head=first)
        self.aim(two, tail=second)
        left, right, keep = self.line(one), self.line(two), min(one, two)
        self.equal(left.label, right.label)
        self.phase((left.label, 2))
        label = self.label(keep)
        self.erase(one, two)
        self.draw(keep, label, left.tail, right.head)

    def holder(self, spot: Spot) -> int:
        return next(name for name, line in self._lines.items() if spot in (line.tail, line.head))

    # -- factors ---------------------------------------------------------------------------------------------

    def phase(self, *pairs: tuple[int, int]) -> None:
        """(-1)^{n j} for each pair (label, n)."""
        self._phase.extend(pairs)

    def dims(self, *pairs: tuple[int, int]) -> None:
        """(2j+1)^{p/2} for each pair (label, p)."""
        self._dims.extend(pairs)

    def six(self, *labels: int) -> None:
        a, b, c, d, e, f = labels
        self._sixes.append((a, b, c, d, e, f))

    def sum(self) -> int:
        """A new label, summed over, weighted by its dimension."""
        self._next_label += 1
        self._sums.append(self._next_label - 1)
        self.dims((self._next_label - 1, 2))
        return self._next_label - 1

    def equal(self, one: int, two: int) -> None:
        if one != two:
            self._equal.append((min(one, two), max(one, two)))

    def zero(self, label: int) -> None:
        self._zero.append(label)

    def triad(self, a: int, b: int, c: int) -> None:
        self._triads.append((a, b, c))

    def done(self) -> Step:
        """The step from the diagram this sketch began with to what it is now."""
        factors = Factors(
            powers(self._phase, 4),
            powers(self._dims),
            tuple(self._sixes),
            tuple(self._sums),
            tuple(self._equal),
            tuple(self._zero),
            tuple(self._triads),
        )
        return Step(factors, Diagram(_sorted(self._lines.values()), self._next_name, self._next_label))


def _spots(line: Line) -> tuple[Spot, Spot]:
    return line.tail, line.head


def _sorted(lines: Iterable[Line]) -> tuple[Line, ...]:
    return tuple(sorted(lines, key=lambda line: line.name))
