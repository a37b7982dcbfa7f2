"""Diagrams that are numbers, as closed networks of 3j symbols.

    a b                       a b                    Complex basis (recoupling of Clebsch-Gordan tensors):
    \\ /                       | |   with metric E    CG(a,b;c) = (-1)^{b+c-a} sqrt(d_c) 3j(a b c) E_c
     |  c   =  factor  *      3j                     adjoint:    the same factor, E_a and E_b on the outgoing lines
     |                         | E                   pair:       E_j / sqrt(d_j), and so is its closing

In the real basis every E is the identity and the factor is sqrt(d_c); integer spins do not see the difference of the
arrows, so the same network serves (Varshalovich, Moskalev and Khersonskii 1988, chapters 8 and 11).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from fusionc.algebra.surds import ZERO, Surd
from fusionc.diagram.loops import Closing, Coupling, Labels, Pair, Same, Splitting
from fusionc.diagram.wires import WireDiagram, all_labelings
from fusionc.rewrite.evaluate import evaluate
from fusionc.rewrite.network import Circle, Edge, SpinNetwork, Spot


def value(diagram: WireDiagram) -> Surd:
    """The exact value: the sum over all labelings, zero where there is none.

    Raises `CompileError` with F1035 or F3005 where the labelings are unbounded or too many.
    """
    total = ZERO
    for labels in all_labelings(diagram):
        total = total + evaluate(network(diagram, labels))
    return total


def network(diagram: WireDiagram, labels: Labels) -> SpinNetwork:
    """The network of a diagram whose wires have these irreps; its prefactor holds everything that is no 3j symbol."""
    builder = _Builder(diagram, labels)
    return builder.network()


Power = int
"""k stands for the matrix E^k; E is orthogonal, E^2 = (-1)^{2j}, and E^4 = 1."""


@dataclass(frozen=True)
class _End:
    """An end of a wire at a vertex: the slot, and the power of E between the slot and the wire."""

    spot: Spot
    power: Power


@dataclass
class _Builder:
    """Follows every wire from a slot through pairs and closings to another slot, and multiplies the metrics up."""

    diagram: WireDiagram
    labels: Labels
    prefactor: Surd = field(default_factory=lambda: Surd.of(1))
    ends: dict[str, list[_End]] = field(default_factory=dict)
    links: dict[str, list[tuple[str, Power, int]]] = field(default_factory=dict)

    def network(self) -> SpinNetwork:
        self.prefactor = Surd.of(self.diagram.factor)
        vertices = 0
        for number, part in enumerate(self.diagram.wiring.parts):
            if isinstance(part, Coupling | Splitting):
                self._add_vertex(part, vertices)
                vertices += 1
            else:
                self._add_link(part, number)
        edges, circles = self._trace()
        if self.diagram.traced is not None:
            dim = self.diagram.group.dim(self.labels[self.diagram.traced])
            self.prefactor = self.prefactor * Fraction(1, dim)
        return SpinNetwork(tuple(edges), tuple(circles), self.prefactor)

    def _twice_j(self, wire: str) -> int:
        return self.diagram.group.dim(self.labels[wire]) - 1

    def _add_vertex(self, part: Coupling | Splitting, vertex: int) -> None:
        """Slots 0, 1, 2 hold a, b, c. Where a wire is made its slot carries E; where it is used it carries nothing."""
        is_coupling = isinstance(part, Coupling)
        c = part.result if isinstance(part, Coupling) else part.source
        powers = (0, 0, 1) if is_coupling else (-1, -1, 0)
        for slot, (wire, power) in enumerate(zip((part.first, part.second, c), powers, strict=True)):
            self.ends.setdefault(wire, []).append(_End((vertex, slot), power))
        twice = [self._twice_j(wire) for wire in (part.first, part.second, c)]
        is_odd = self.diagram.basis == "complex" and (twice[1] + twice[2] - twice[0]) // 2 % 2
        self.prefactor = self.prefactor * Surd.root(twice[2] + 1, -1 if is_odd else 1)

    def _add_link(self, part: Pair | Closing | Same, number: int) -> None:
        power = 0 if isinstance(part, Same) else 1
        self.links.setdefault(part.first, []).append((part.second, power, number))
        self.links.setdefault(part.second, []).append((part.first, -power, number))
        if power:
            self.prefactor = self.prefactor * Surd.root(Fraction(1, self._twice_j(part.first) + 1))

    def _trace(self) -> tuple[list[Edge], list[Circle]]:
        edges: list[Edge] = []
        done: set[str] = set()
        wires = [wire for wire in self.labels if wire in self.ends or wire in self.links]
        for wire in sorted(wires, key=lambda wire: wire not in self.ends):  # open chains first, circles last
            if wire in done or wire not in self.ends:
                continue
            edges.append(self._chain(wire, done))
        circles = [self._circle(wire, done) for wire in wires if wire not in done]
        return edges, [circle for circle in circles if circle is not None]

    def _chain(self, wire: str, done: set[str]) -> Edge:
        """From a slot to the slot at the other end."""
        start, twice_j = self.ends[wire][0], self._twice_j(wire)
        done.add(wire)
        power = start.power
        if len(self.ends[wire]) == 2:
            return self._edge(twice_j, start, self.ends[wire][1], power)
        used: set[int] = set()
        while True:
            wire, step, number = next(link for link in self.links[wire] if link[2] not in used)
            used.add(number)
            done.add(wire)
            power += step
            if wire in self.ends:
                return self._edge(twice_j, start, self.ends[wire][0], power)

    def _edge(self, twice_j: int, start: _End, end: _End, power: Power) -> Edge:
        """E^1 is an edge from start to end, E^-1 = (-1)^{2j} E its reverse."""
        power = (power - end.power) % 4
        assert power % 2 == 1, "every line between two 3j symbols carries an odd number of metrics"
        tail, head = (start.spot, end.spot) if power == 1 else (end.spot, start.spot)
        return Edge(twice_j, tail, head)

    def _circle(self, wire: str, done: set[str]) -> Circle | None:
        """A closed chain of links: the trace of E^0 or of E^2."""
        if wire in done:
            return None
        twice_j, power, used, start = self._twice_j(wire), 0, set[int](), wire
        while True:
            done.add(wire)
            wire, step, number = next(link for link in self.links[wire] if link[2] not in used)
            used.add(number)
            power += step
            if wire == start:
                return Circle(twice_j, twisted=power % 4 == 2)
