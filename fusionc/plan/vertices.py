"""What one vertex costs: its nonzero coefficients, looked at in the three ways in which a program can run them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from fusionc.algebra.basis import Basis
from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.algebra.surds import ONE, Surd

Entries = tuple[tuple[int, int, int, Surd], ...]
"""(i, j, k, coefficient) of a vertex tensor, ascending."""


@dataclass(frozen=True)
class Vertex:
    """`gauge * entries` is the isometric tensor: the magnitude that most coefficients have is taken out, so that those
    are 1 or -1 and cost nothing."""

    gauge: Surd
    entries: Entries

    @property
    def nonunit(self) -> int:
        return sum(1 for *_, value in self.entries if not is_unit(value))


UNITS = (ONE.terms, (-ONE).terms)


def is_unit(value: Surd) -> bool:
    """Whether multiplying with a coefficient costs nothing."""
    return value.terms in UNITS


@lru_cache(maxsize=65536)
def vertex(group: Group, basis: Basis | None, a: Irrep, b: Irrep, c: Irrep, copy: int = 0) -> Vertex:
    """The vertex tensor of shape (dim a, dim b, dim c), its gauge apart."""
    tensor = group.vertex(a, b, c, copy, basis)
    counts = Counter(abs(value) for _, value in tensor.entries)
    gauge = max(counts, key=lambda value: (counts[value], float(value)))
    inverse = ONE / gauge
    return Vertex(gauge, tuple((i, j, k, value * inverse) for (i, j, k), value in tensor.entries))


@dataclass(frozen=True)
class Profile:
    """Multiplications of a vertex for one pair of operands: `pairs` are the products i*j, `nonunit` the coefficients
    behind them; as matrices made of the right (left) operand: `right_terms` products, `right_nonunit` coefficients."""

    pairs: frozenset[tuple[int, int]]
    nonunit: int
    right_terms: int
    right_nonunit: int
    left_terms: int
    left_nonunit: int


@lru_cache(maxsize=65536)
def profile(group: Group, basis: Basis | None, a: Irrep, b: Irrep, c: Irrep, copy: int = 0) -> Profile:
    entries = vertex(group, basis, a, b, c, copy).entries
    right_terms, right = _matrix([((i, k), j, value) for i, j, k, value in entries])
    left_terms, left = _matrix([((j, k), i, value) for i, j, k, value in entries])
    nonunit = sum(1 for *_, value in entries if not is_unit(value))
    return Profile(frozenset((i, j) for i, j, _, _ in entries), nonunit, right_terms, right, left_terms, left)


def _matrix(entries: list[tuple[tuple[int, int], int, Surd]]) -> tuple[int, int]:
    """How many entries a matrix has whose entries are linear in an operand, and how many coefficients those that
    differ have."""
    rows: dict[tuple[int, int], list[tuple[int, Surd]]] = {}
    for place, index, value in entries:
        rows.setdefault(place, []).append((index, value))
    distinct = {signless(tuple(row)) for row in rows.values()}
    return len(rows), sum(1 for row in distinct for _, value in row if not is_unit(value))


def signless(row: tuple[tuple[int, Surd], ...]) -> tuple[tuple[int, Surd], ...]:
    """A linear form up to its sign: the first coefficient positive."""
    return row if row[0][1].sign() > 0 else tuple((index, -value) for index, value in row)
