"""What one vertex costs: its nonzero coefficients, looked at in the three ways in which a program can run them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from fusionc.algebra.basis import Basis
from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.algebra.surd_codes import UNIT_CODES, Codes
from fusionc.algebra.surds import Surd

Entries = tuple[tuple[int, int, int, Surd], ...]
"""(i, j, k, coefficient) of a vertex tensor, ascending."""


@dataclass(frozen=True)
class Vertex:
    """`gauge * entries` is the isometric tensor: the magnitude that most coefficients have is taken out, so that those
    are 1 or -1 and cost nothing."""

    gauge: Surd
    entries: Entries


@lru_cache(maxsize=65536)
def vertex(group: Group, basis: Basis | None, a: Irrep, b: Irrep, c: Irrep, copy: int = 0) -> Vertex:
    """The vertex tensor of shape (dim a, dim b, dim c), its gauge apart."""
    tensor, codes = group.vertex(a, b, c, copy, basis), Codes()
    coded = [(i, j, k, codes.of(value)) for (i, j, k), value in tensor.entries]
    counts = Counter(code & ~1 for *_, code in coded)
    most = max(counts, key=lambda code: (counts[code], float(codes[code])))
    gauge = codes[most]
    scaled = {code: _shared(codes[code] / gauge) for code in counts}
    scaled |= {code ^ 1: _shared(-value) for code, value in scaled.items()}
    return Vertex(gauge, tuple((i, j, k, scaled[code]) for i, j, k, code in coded))


_SHARED: dict[Surd, Surd] = {}


def _shared(value: Surd) -> Surd:
    """The same object for equal coefficients of all vertices, which are compared by the million."""
    return _SHARED.setdefault(value, value)


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
    codes = Codes()
    entries = [(i, j, k, codes.of(value)) for i, j, k, value in vertex(group, basis, a, b, c, copy).entries]
    right_terms, right = _matrix(((i, k), j, code) for i, j, k, code in entries)
    left_terms, left = _matrix(((j, k), i, code) for i, j, k, code in entries)
    nonunit = sum(code >= UNIT_CODES for *_, code in entries)
    return Profile(frozenset((i, j) for i, j, _, _ in entries), nonunit, right_terms, right, left_terms, left)


def _matrix(entries: Iterable[tuple[tuple[int, int], int, int]]) -> tuple[int, int]:
    """How many entries a matrix has whose entries are linear in an operand, and how many coefficients those that
    differ, not only in sign, have."""
    rows: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for place, index, code in entries:
        rows.setdefault(place, []).append((index, code))
    distinct = {tuple((index, code ^ (row[0][1] & 1)) for index, code in row) for row in rows.values()}
    return len(rows), sum(code >= UNIT_CODES for row in distinct for _, code in row)
