"""What is evaluated: closed networks of SU(2) 3j symbols, as frozen values.

Spins are stored doubled. A vertex has three numbered slots, and its tensor is the 3j symbol of the lines in slots
0, 1, 2 (Condon-Shortley phases; Frobenius norm 1). An edge runs from a tail to a head and carries the metric

    tail --->--- head        E_j[m_tail, m_head] = (-1)^{j - m_tail}  if m_head = -m_tail, else 0

These are the diagrams of Yutsis, Levinson and Vanagas (1962) and of Varshalovich, Moskalev and Khersonskii (1988),
chapter 11, an arrow on every line.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fusionc.algebra.surds import ONE, Surd

Spot = tuple[int, int]
"""A vertex and one of its slots 0, 1, 2."""


@dataclass(frozen=True)
class Edge:
    """A line of spin twice_j/2 from one spot to another."""

    twice_j: int
    tail: Spot
    head: Spot

    def __post_init__(self) -> None:
        _check_spin(self.twice_j)
        if self.tail == self.head:
            raise ValueError(f"an edge joins two different slots, not {self.tail} to itself")


@dataclass(frozen=True)
class Circle:
    """A line without vertices. Its value is 2j+1; twisted (its two arrows follow one another), (-1)^{2j} (2j+1)."""

    twice_j: int
    twisted: bool = False

    def __post_init__(self) -> None:
        _check_spin(self.twice_j)

    @property
    def value(self) -> int:
        return -self.twice_j - 1 if self.twisted and self.twice_j % 2 else self.twice_j + 1


@dataclass(frozen=True)
class SpinNetwork:
    """A closed network: `prefactor` times the contraction of all 3j symbols and metrics times the circles' values.

    The vertices are numbered from 0, and every slot of every vertex holds exactly one end of one edge. Several edges
    between two vertices, edges from a vertex to itself and disconnected parts are all allowed.
    """

    edges: tuple[Edge, ...] = ()
    circles: tuple[Circle, ...] = ()
    prefactor: Surd = ONE

    def __post_init__(self) -> None:
        spots = [spot for edge in self.edges for spot in (edge.tail, edge.head)]
        wanted = [(vertex, slot) for vertex in range(len(spots) // 3) for slot in range(3)]
        if sorted(spots) != wanted:
            raise ValueError("the ends of the edges do not fill the slots 0, 1, 2 of vertices 0, 1, … exactly once")

    @cached_property
    def vertices(self) -> int:
        """The number of vertices."""
        return 2 * len(self.edges) // 3

    @cached_property
    def triads(self) -> tuple[tuple[int, int, int], ...]:
        """For each vertex the positions, in `edges`, of the lines in its slots."""
        at = {spot: number for number, edge in enumerate(self.edges) for spot in (edge.tail, edge.head)}
        return tuple((at[vertex, 0], at[vertex, 1], at[vertex, 2]) for vertex in range(self.vertices))


def _check_spin(twice_j: int) -> None:
    if twice_j < 0:
        raise ValueError(f"a spin is never negative, but the doubled label is {twice_j}")
