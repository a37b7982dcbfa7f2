"""Which coupling trees of equal operands are linearly independent (DESIGN 1.3).

With an operand `a` that occurs twice, the trees (a a)b and its mirror images are one function. The paths are the first
independent ones in path order. No tolerance decides: trees are evaluated at random points modulo a prime in which every
square root exists. The rank modulo a prime never exceeds the true rank, and the multiplicity of the output irrep in the
product of symmetric powers is a bound from above; where both meet, the choice is proved.
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
from fusionc.algebra.modular import PrimeField, field_for, radicand_primes
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
        if extends(echelon, points.evaluate(pattern, tree).ravel(), points.field.p):
            chosen.append(number)
    return tuple(chosen)


def extends(echelon: list[tuple[int, Vector]], vector: Vector, p: int) -> bool:
    """Reduce a vector modulo p by the rows in echelon form; keep what is left of it, if anything is."""
    for pivot, row in echelon:
        if vector[pivot]:
            vector = (vector - vector[pivot] * row) % p
    nonzero = np.flatnonzero(vector)
    if not nonzero.size:
        return False
    pivot = int(nonzero[0])
    echelon.append((pivot, vector * pow(int(vector[pivot]), -1, p) % p))
    return True


def _field(
    group: Group,
    basis: Basis | None,
    symbols: tuple[Irrep, ...],
    patterns: tuple[tuple[int, ...], ...],
    steps: tuple[tuple[Step, ...], ...],
) -> PrimeField:
    """A prime field with the square roots of every vertex tensor that the trees use."""
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


@lru_cache(maxsize=4096)
def vertex_matrix(
    group: Group, basis: Basis | None, a: Irrep, b: Irrep, c: Irrep, copy: int, field: PrimeField
) -> Vector:
    """A vertex tensor modulo p, of shape (dim a * dim b, dim c)."""
    tensor = group.vertex(a, b, c, copy, basis)
    dense = np.zeros(tensor.shape, dtype=np.int64)
    for index, value in tensor.entries:
        dense[index] = field.of(value)
    return dense.reshape(-1, tensor.shape[2])


@dataclass
class _Points:
    """Random vectors for each symbol, several points of them, and the values of trees there (prefixes remembered)."""

    group: Group
    basis: Basis | None
    symbols: tuple[Irrep, ...]
    field: PrimeField
    count: int
    seed: int
    _values: dict[tuple[tuple[int, ...], tuple[Step, ...]], Vector] = dataclass_field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        for number, irrep in enumerate(self.symbols):
            shape = (self.count, self.group.dim(irrep))
            self._values[(number,), ()] = rng.integers(0, self.field.p, shape, dtype=np.int64)

    def evaluate(self, pattern: tuple[int, ...], steps: tuple[Step, ...]) -> Vector:
        """The tree's value at every point, modulo p: shape (points, dim)."""
        key = (pattern, steps)
        if key not in self._values:
            left = self.evaluate(pattern[:-1], steps[:-1])
            right = self.evaluate(pattern[-1:], ())
            before = steps[-2][0] if len(steps) > 1 else self.symbols[pattern[0]]
            irrep, copy = steps[-1]
            matrix = vertex_matrix(self.group, self.basis, before, self.symbols[pattern[-1]], irrep, copy, self.field)
            outer = (left[:, :, None] * right[:, None, :] % self.field.p).reshape(self.count, -1)
            self._values[key] = matmul(outer, matrix, self.field.p)
        return self._values[key]


def matmul(one: Vector, two: Vector, p: int) -> Vector:
    """one @ two modulo p < 2^31 without overflow of 64 bits: the second factor is cut into two halves of bits."""
    high, low = two >> 15, two & 0x7FFF
    product: Vector = (((one @ high) % p << 15) + one @ low) % p
    return product
