"""Networks put together end by end: 3j vertices and metrics, or Clebsch-Gordan vertices with plain joins.

A Clebsch-Gordan vertex is a 3j vertex with a metric on its output (Varshalovich 1988, 8.1.2):

    CG(a,b;c) = (-1)^{b+c-a} sqrt(d_c) Σ_k 3j(a b c; al be k) E_c[k, ga]

and its adjoint is the same tensor with a and b as outputs; since E E E · 3j = 3j, the metrics can be put on these. So
every output carries a metric and no input does, and a line from an output to an input is one arrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from fusionc.algebra.surds import ONE, Surd
from fusionc.rewrite.graph import two_colouring
from fusionc.rewrite.network import Circle, Edge, SpinNetwork, Spot


@dataclass(frozen=True)
class End:
    """An open end of a line, of spin twice_j/2; it is used once. `number` is its name within its builder."""

    number: int
    twice_j: int


@dataclass(frozen=True)
class _Link:
    """Two ends joined: by the metric E[one, two], or by the identity."""

    one: int
    two: int
    metric: bool


@dataclass(frozen=True)
class _Wire:
    """A walk from spot to spot: ``sign * E^arrows`` as a matrix, sign = (-1)^{2j} where `turned`."""

    tail: Spot
    head: Spot
    twice_j: int
    arrows: int
    turned: bool


class NetworkBuilder:
    """Collects vertices and joins; `build` makes the `SpinNetwork`, whose value is the contraction as it was written.

    builder = NetworkBuilder()
    inward, x = builder.line(1)                   # spin 1/2, to be closed on itself
    a, b = builder.split(x, 2, 3)
    builder.trace(builder.couple(a, b, 1), inward)
    evaluate(builder.build())                     # 2, the trace of the identity on spin 1/2
    """

    def __init__(self) -> None:
        self._spins: list[int] = []
        self._spots: dict[int, Spot] = {}
        self._links: list[_Link] = []
        self._degree: list[int] = []
        self._vertices = 0
        self._prefactor = ONE

    # -- 3j symbols and metrics ------------------------------------------------------------------------------

    def add_vertex(self, a: int, b: int, c: int) -> tuple[End, End, End]:
        """A 3j symbol of doubled spins a, b, c; its three ends in this order."""
        first, second, third = self._end(a), self._end(b), self._end(c)
        for slot, end in enumerate((first, second, third)):
            self._spots[end.number] = (self._vertices, slot)
            self._degree[end.number] += 1
        self._vertices += 1
        return first, second, third

    def connect(self, tail: End, head: End) -> None:
        """Sum over two ends with the metric E_j[m_tail, m_head] between them: an arrow from tail to head."""
        self._link(tail, head, metric=True)

    def join(self, one: End, two: End) -> None:
        """Sum over two ends set equal, with no metric."""
        self._link(one, two, metric=False)

    def scale(self, factor: Surd) -> None:
        """Multiply the network by an exact number."""
        self._prefactor = self._prefactor * factor

    # -- Clebsch-Gordan diagrams: outputs are joined to inputs -----------------------------------------------

    def couple(self, a: End, b: End, twice_c: int) -> End:
        """CG(a, b; c), the isometric tensor <a al, b be | c ga>: from two outputs a and b to a new output c."""
        first, second, third = self.add_vertex(a.twice_j, b.twice_j, twice_c)
        self.join(a, first)
        self.join(b, second)
        self._coupling(a.twice_j, b.twice_j, twice_c)
        return self._output(third)

    def split(self, c: End, twice_a: int, twice_b: int) -> tuple[End, End]:
        """The adjoint of CG(a, b; c), the same numbers: from an output c to two new outputs a and b."""
        first, second, third = self.add_vertex(twice_a, twice_b, c.twice_j)
        self.join(c, third)
        self._coupling(twice_a, twice_b, c.twice_j)
        self._turn(c.twice_j)  # E E = (-1)^{2c}: the vertex's metric on c and the coupling's own
        return self._output(first), self._output(second)

    def pair(self, twice_j: int) -> tuple[End, End]:
        """The adjoint of CG(j, j; 0): E_j / sqrt(d_j), of norm 1, as two new outputs."""
        one, two = self._end(twice_j), self._end(twice_j)
        self.connect(one, two)
        self.scale(Surd.root(Fraction(1, twice_j + 1)))
        return one, two

    def close_pair(self, one: End, two: End) -> None:
        """CG(j, j; 0) = E_j / sqrt(d_j) applied to two outputs."""
        self.connect(one, two)
        self.scale(Surd.root(Fraction(1, one.twice_j + 1)))

    def line(self, twice_j: int) -> tuple[End, End]:
        """A bare line: its input and its output. A diagram from one irrep to itself begins with one."""
        one, two = self._end(twice_j), self._end(twice_j)
        self.join(one, two)
        return one, two

    def trace(self, output: End, entry: End) -> None:
        """Close an output on an input: the sum over both set equal."""
        self.join(output, entry)

    # -- the network -----------------------------------------------------------------------------------------

    def build(self) -> SpinNetwork:
        """The network; ValueError for an open end, or for a contraction that is not invariant under rotations.

        Plain joins of 3j vertices are invariant only if some vertices can be turned (E E E · 3j = 3j) such that every
        line has an odd number of metrics.
        """
        for number, degree in enumerate(self._degree):
            if degree != 2:
                raise ValueError(f"end {number}, of spin {Fraction(self._spins[number], 2)}, is open")
        wires, circles = self._walks()
        turned = two_colouring(self._vertices, [(w.tail[0], w.head[0], w.arrows % 2 == 0) for w in wires])
        if turned is None:
            raise ValueError("the plain joins make a contraction that is not invariant under rotations")
        prefactor, edges = self._prefactor, []
        for wire in wires:
            first, last = turned[wire.tail[0]], turned[wire.head[0]]
            # E^first · E^arrows · (E^T)^last = ± E
            negative = wire.turned ^ last ^ bool((wire.arrows + first + last) // 2 % 2)
            prefactor = -prefactor if negative and wire.twice_j % 2 else prefactor
            edges.append(Edge(wire.twice_j, wire.tail, wire.head))
        return SpinNetwork(tuple(edges), tuple(circles), prefactor)

    def _walks(self) -> tuple[list[_Wire], list[Circle]]:
        at: list[list[_Link]] = [[] for _ in self._spins]
        for link in self._links:
            at[link.one].append(link)
            at[link.two].append(link)
        used: set[int] = set()
        wires = []
        for start in self._spots:
            if start not in used:
                end, arrows, turned = self._walk(start, at, used)
                wires.append(_Wire(self._spots[start], self._spots[end], self._spins[start], arrows, turned))
        circles = []
        for start, spin in enumerate(self._spins):
            if start not in used:
                _, arrows, turned = self._walk(start, at, used)
                if arrows % 2:
                    raise ValueError("a circle with an odd number of metrics is not invariant under rotations")
                circles.append(Circle(spin, turned ^ bool(arrows // 2 % 2)))
        return wires, circles

    def _walk(self, start: int, at: list[list[_Link]], used: set[int]) -> tuple[int, int, bool]:
        """Follow links until a spot or the start: where it ends, how many metrics, whether an odd number backwards."""
        place, arrows, turned = start, 0, False
        last: _Link | None = None
        while True:
            used.add(place)
            link = next((link for link in at[place] if link is not last), None)
            if link is None or (last is not None and place in self._spots):
                return place, arrows, turned
            arrows += link.metric
            turned ^= link.metric and link.two == place
            place, last = link.one if link.two == place else link.two, link
            if place == start:
                return place, arrows, turned

    def _end(self, twice_j: int) -> End:
        if twice_j < 0:
            raise ValueError(f"a spin is never negative, but the doubled label is {twice_j}")
        self._spins.append(twice_j)
        self._degree.append(0)
        return End(len(self._spins) - 1, twice_j)

    def _output(self, end: End) -> End:
        output = self._end(end.twice_j)
        self.connect(end, output)
        return output

    def _link(self, one: End, two: End, metric: bool) -> None:
        if one.twice_j != two.twice_j or one == two:
            raise ValueError(f"only two ends of equal spin can be joined, not {one} and {two}")
        for end in (one, two):
            if self._degree[end.number] == 2:
                raise ValueError(f"end {end.number} is joined already")
            self._degree[end.number] += 1
        self._links.append(_Link(one.number, two.number, metric))

    def _coupling(self, a: int, b: int, c: int) -> None:
        """(-1)^{b+c-a} sqrt(d_c). Spins that cannot meet make the vertex zero, whatever stands here."""
        self.scale(Surd.root(c + 1, -1 if (b + c - a) // 2 % 2 else 1))

    def _turn(self, twice_j: int) -> None:
        if twice_j % 2:
            self.scale(-ONE)
