"""Which coupling trees of equal operands are linearly independent (DESIGN 1.3).

With an operand `a` that occurs twice, the trees (a a)b and its mirror images are one function. The paths are the first
independent ones in path order. No tolerance decides: trees are evaluated at random points modulo a prime in which every
square root exists. The rank modulo a prime never exceeds the true rank, and the multiplicity of the output irrep in the
product of symmetric powers is a bound from above; where both meet, the choice is proved. Where there are as many trees
as that bound, or two operands only, there is nothing to evaluate.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from fusionc.algebra.basis import Basis
from fusionc.algebra.characters import symmetric_power, tensor_product
from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.algebra.modular import Field, PrimeField, field_for, radicand_primes
from fusionc.diagram.ir import Line
from fusionc.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")

Vector: TypeAlias = "NDArray[np.int64]"
Step = tuple[Irrep, int]
Groups = tuple[tuple[int, ...], ...]
ATTEMPTS = 5


class CouplingTree(Protocol):
    """What is needed of a path: its operands' blocks, its steps, its place on the right edge."""

    @property
    def blocks(self) -> tuple[int, ...]: ...
    @property
    def steps(self) -> tuple[tuple[Irrep, int], ...]: ...
    @property
    def place(self) -> int: ...


T = TypeVar("T", bound=CouplingTree)


class RankNotReached(Exception):
    """The random points did not reach the rank that characters promise; does not happen in practice."""


def independent_trees(
    group: Group, basis: Basis | None, line: Line, trees: Sequence[T], irreps: list[list[Irrep]]
) -> list[T]:
    """Those trees of a line that are no linear combination of earlier ones; `trees` stand in path order.

    Trees with other blocks (as multisets, for equal operands) or another place on the right are independent of one
    another, so each such sector is settled by itself. `irreps[k]` are the irreps of operand k's blocks.
    """
    groups = line.identical_operands()
    sectors: dict[Hashable, list[int]] = {}
    for number, tree in enumerate(trees):
        chosen = tuple(tuple(sorted(tree.blocks[position] for position in positions)) for positions in groups)
        sectors.setdefault((tree.place, chosen), []).append(number)
    kept: list[int] = []
    for numbers in sectors.values():
        symbols = _symbols(groups, trees[numbers[0]].blocks)
        values = tuple(irreps[groups[which][0]][block] for which, block in symbols)
        patterns = tuple(_pattern(groups, symbols, trees[n].blocks) for n in numbers)
        steps = tuple(trees[n].steps for n in numbers)
        kept += [numbers[choice] for choice in first_independent(group, basis, values, patterns, steps)]
    return [trees[number] for number in sorted(kept)]


def _symbols(groups: Groups, blocks: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """The distinct vectors of a sector: a block of a group of equal operands each, in order."""
    return tuple(sorted({(which, blocks[place]) for which, places in enumerate(groups) for place in places}))


def _pattern(groups: Groups, symbols: tuple[tuple[int, int], ...], blocks: tuple[int, ...]) -> tuple[int, ...]:
    """Which symbol stands at each operand's position."""
    owner = {position: which for which, positions in enumerate(groups) for position in positions}
    return tuple(symbols.index((owner[position], block)) for position, block in enumerate(blocks))


@lru_cache(maxsize=4096)
def first_independent(
    group: Group,
    basis: Basis | None,
    symbols: tuple[Irrep, ...],
    patterns: tuple[tuple[int, ...], ...],
    steps: tuple[tuple[Step, ...], ...],
) -> tuple[int, ...]:
    """Positions of the first independent trees among left-coupled trees into one irrep.

    Tree k couples the vectors `symbols[patterns[k][0]]`, `symbols[patterns[k][1]]`, … with the irreps `steps[k]` after
    each coupling. All trees use each symbol equally often. Raises `RankNotReached`.
    """
    powers = [symmetric_power(group, [irrep], patterns[0].count(k)) for k, irrep in enumerate(symbols)]
    target = steps[0][-1][0]
    bound = tensor_product(group, powers).get(target, 0)
    if bound == len(steps):
        return tuple(range(bound))  # all trees together span what characters count
    if bound == 1 and len(patterns[0]) == 2:
        return (0,)  # a vertex of two different vectors, in either order
    for attempt in range(ATTEMPTS):
        points = _Points(group, basis, symbols, _field(group, basis, symbols, patterns, steps), bound + 4, attempt)
        chosen = _greedy(points, patterns, steps, bound)
        if len(chosen) == bound:
            return chosen
    raise RankNotReached(f"rank {len(chosen)} of {bound} after {ATTEMPTS} attempts")


def _greedy(
    points: _Points, patterns: Iterable[tuple[int, ...]], steps: Iterable[tuple[Step, ...]], bound: int
) -> tuple[int, ...]:
    echelon: list[tuple[int, Vector]] = []
    chosen: list[int] = []
    for number, (pattern, tree) in enumerate(zip(patterns, steps, strict=True)):
        if len(chosen) == bound:
            break
        if extends(echelon, flat(points.evaluate(pattern, tree), points.field), points.field):
            chosen.append(number)
    return tuple(chosen)


def flat(values: Vector, field: Field) -> Vector:
    """Values at all points as one vector of elements of the field."""
    return values.ravel() if isinstance(field, PrimeField) else values.reshape(-1, 2)


def extends(echelon: list[tuple[int, Vector]], vector: Vector, field: Field) -> bool:
    """Reduce a vector by the rows in echelon form; keep what is left of it, if anything is."""
    for pivot, row in echelon:
        if field.nonzero(vector[pivot]):
            vector = (vector - field.times(vector[pivot], row)) % field.p
    nonzero = np.flatnonzero(field.nonzero(vector))
    if not nonzero.size:
        return False
    pivot = int(nonzero[0])
    echelon.append((pivot, field.times(vector, field.inverse(vector[pivot]))))
    return True


def _field(
    group: Group,
    basis: Basis | None,
    symbols: tuple[Irrep, ...],
    patterns: tuple[tuple[int, ...], ...],
    steps: tuple[tuple[Step, ...], ...],
) -> Field:
    """A field with the square roots of every vertex tensor that the trees use."""
    primes: set[int] = set()
    for pattern, tree in zip(patterns, steps, strict=True):
        current = symbols[pattern[0]]
        for place, (irrep, copy) in enumerate(tree):
            primes |= vertex_primes(group, basis, current, symbols[pattern[place + 1]], irrep, copy)
            current = irrep
    return field_for(sorted(primes))


@lru_cache(maxsize=4096)
def vertex_primes(group: Group, basis: Basis | None, a: Irrep, b: Irrep, c: Irrep, copy: int) -> frozenset[int]:
    return frozenset(radicand_primes(group.vertex(a, b, c, copy, basis)))


@dataclass(frozen=True, eq=False)
class Vertex:
    """A vertex tensor in a field, entry by entry: `values[k]` at (a[k], b[k], c[k]), c ascending; `starts` are the
    places where another c begins."""

    field: Field
    shape: tuple[int, int, int]
    a: Vector
    b: Vector
    c: Vector
    starts: Vector
    values: Vector

    def couple(self, left: Vector, right: Vector) -> Vector:
        """Vectors at many points, shapes (points, dim a) and (points, dim b), coupled: shape (points, dim c)."""
        field = self.field
        terms = field.times(field.times(left[:, self.a], right[:, self.b]), self.values)
        found = np.zeros((len(left), self.shape[2], *left.shape[2:]), dtype=np.int64)
        if len(self.starts):
            found[:, self.c[self.starts]] = np.add.reduceat(terms, self.starts, axis=1) % field.p
        return found


@lru_cache(maxsize=4096)
def vertex_in(group: Group, basis: Basis | None, a: Irrep, b: Irrep, c: Irrep, copy: int, field: Field) -> Vertex:
    """A vertex tensor in a field that has its square roots."""
    tensor = group.vertex(a, b, c, copy, basis)
    entries = sorted(tensor.entries, key=lambda entry: entry[0][2])
    places = np.array([index for index, _ in entries], dtype=np.int64).reshape(-1, 3)
    starts = np.flatnonzero(np.diff(places[:, 2], prepend=-1))
    values = field.elements(value for _, value in entries)
    left, right, result = places.T
    return Vertex(field, (group.dim(a), group.dim(b), group.dim(c)), left, right, result, starts, values)


@dataclass
class _Points:
    """Random vectors for each symbol, several points of them, and the values of trees there (prefixes remembered)."""

    group: Group
    basis: Basis | None
    symbols: tuple[Irrep, ...]
    field: Field
    count: int
    seed: int
    _values: dict[tuple[tuple[int, ...], tuple[Step, ...]], Vector] = dataclass_field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        for number, irrep in enumerate(self.symbols):
            shape = (self.count, self.group.dim(irrep))
            self._values[(number,), ()] = self.field.random(rng, shape)

    def evaluate(self, pattern: tuple[int, ...], steps: tuple[Step, ...]) -> Vector:
        """The tree's value at every point, in the field: shape (points, dim)."""
        key = (pattern, steps)
        if key not in self._values:
            left = self.evaluate(pattern[:-1], steps[:-1])
            right = self.evaluate(pattern[-1:], ())
            before = steps[-2][0] if len(steps) > 1 else self.symbols[pattern[0]]
            irrep, copy = steps[-1]
            vertex = vertex_in(self.group, self.basis, before, self.symbols[pattern[-1]], irrep, copy, self.field)
            self._values[key] = vertex.couple(left, right)
        return self._values[key]
