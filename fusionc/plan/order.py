"""The coupling order of a product: which of its leaves meet first.

All labels are searched at once: a subset of leaves stands for every state that its leaves can be coupled to and from
which an output is still within reach, and joining two subsets costs what the vertices between all their states cost.
Up to ten leaves the search is exact (dynamic programming over subsets); beyond, opt_einsum's greedy search asks the
same cost model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, prod

import numpy as np
import opt_einsum
from numpy.typing import NDArray

from fusionc.algebra.basis import Basis
from fusionc.algebra.groups import Group
from fusionc.algebra.irreps import Irrep
from fusionc.plan.products import Product
from fusionc.plan.ties import Names, Ties
from fusionc.plan.vertices import profile
from fusionc.rewrite.recouple import Shape

EXACT_LEAVES = 10
GREEDY_LEAVES = 48
COUNTED_LEAVES = 5
"""Up to so many leaves vertices are priced by their coefficients; beyond, where spins grow, by their dimensions."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class LeafType:
    """What the search knows of a leaf: how many blocks of each irrep it has, its indices, and what it is (leaves of
    equal `kind` are the same operand)."""

    kind: int
    blocks: tuple[tuple[Irrep, int], ...]
    channels: Names
    sites: Names


@dataclass(frozen=True)
class Problem:
    """A product as the search sees it. `sizes`: mean channel sizes; `elements`: how many elements each domain has."""

    group: Group
    basis: Basis
    leaves: tuple[LeafType, ...]
    outputs: tuple[tuple[Irrep, int], ...]
    weight_channels: Names | None
    sizes: dict[str, float]
    elements: dict[str, float]
    ties: Ties
    closing: dict[str, int]
    """For each index that is summed once all its leaves have met: the bits of those leaves."""


def best_shape(problem: Problem) -> Shape:
    """The cheapest coupling order that was found."""
    search = _Search(problem)
    n = len(problem.leaves)
    return search.exact() if n <= EXACT_LEAVES else search.greedy()


def problem_of(
    product: Product,
    group: Group,
    basis: Basis,
    irreps: Sequence[Mapping[int, Irrep]],
    ties: Ties,
    elements: dict[str, float],
    closed: dict[str, frozenset[int]],
) -> Problem:
    """`irreps[k]` are those of leaf k's blocks, by block."""
    kinds: dict[object, int] = {}
    leaves = []
    for number, leaf in enumerate(product.leaves):
        counts: dict[Irrep, int] = {}
        for block in sorted({path.blocks[number] for path in product.paths}):
            irrep = irreps[number][block]
            counts[irrep] = counts.get(irrep, 0) + 1
        kind = kinds.setdefault((leaf.edge, leaf.channels, leaf.sites), len(kinds))
        leaves.append(LeafType(kind, tuple(counts.items()), leaf.channels, leaf.sites))
    outputs: dict[tuple[Irrep, int], None] = {}
    for path in product.paths:
        outputs[path.trees[0][0].irrep, path.place] = None
    places: dict[Irrep, int] = {}
    for irrep, _ in outputs:
        places[irrep] = places.get(irrep, 0) + 1
    sizes = {
        index: sum(path.sizes[at] for path in product.paths) / len(product.paths)
        for at, index in enumerate(product.indices)
    }
    weights = [factor for factor in product.factors if factor.has_path]
    channels = tuple(dict.fromkeys(c for factor in weights for c in factor.channels)) if weights else None
    return Problem(
        group,
        basis,
        tuple(leaves),
        tuple(places.items()),
        channels,
        sizes,
        elements,
        ties,
        {index: sum(1 << number for number in numbers) for index, numbers in closed.items()},
    )


@dataclass
class _Search:
    problem: Problem
    _counts: dict[int, Vector] = field(default_factory=dict)
    _joins: dict[tuple[bool, bytes], tuple[Vector, ...]] = field(default_factory=dict)
    _supports: dict[int, NDArray[np.bool_]] = field(default_factory=dict)

    # --- the search ------------------------------------------------------------------------------------------------

    def exact(self) -> Shape:
        """Dynamic programming over subsets of leaves."""
        n = len(self.problem.leaves)
        full = (1 << n) - 1
        prices: dict[int, float] = {1 << k: 0.0 for k in range(n)}
        splits: dict[int, int] = {}
        for subset in sorted(range(1, full + 1), key=int.bit_count):
            if subset.bit_count() < 2:
                continue
            best, choice = inf, 0
            for part in _parts(subset):
                rest = subset ^ part
                before = prices[part] + (0.0 if self.kinds(part) == self.kinds(rest) else prices[rest])
                if before >= best:
                    continue
                price = before + self.join(part, rest)
                if price < best:
                    best, choice = price, part
            prices[subset], splits[subset] = best, choice
        if prices[full] == inf:
            raise ValueError("no order lets every two parts meet on one relation")
        return _shape(splits, full)

    def greedy(self) -> Shape:
        """opt_einsum's greedy search with our price of a join: every leaf has an index of its own, by which the
        callable knows which leaves stand behind an operand, and one that all share, so that any two may meet."""
        n = len(self.problem.leaves)
        inputs = [frozenset({"all", f"{number}"}) for number in range(n)]

        def cost(
            size12: int, size1: int, size2: int, k12: frozenset[str], k1: frozenset[str], k2: frozenset[str]
        ) -> float:
            one, two = (sum(1 << int(name) for name in k if name != "all") for k in (k1, k2))
            return self.join(one, two) if not one & two else inf

        output = frozenset.union(*inputs)
        path = opt_einsum.paths.greedy(inputs, output, dict.fromkeys(output, 2), cost_fn=cost)
        pool: list[Shape] = list(range(n))
        for one, two in path:
            high, low = pool.pop(max(one, two)), pool.pop(min(one, two))
            pool.append((low, high))
        return pool[0]

    def kinds(self, subset: int) -> tuple[int, ...]:
        return tuple(sorted(self.problem.leaves[k].kind for k in _bits(subset)))

    # --- states ------------------------------------------------------------------------------------------------------

    @cached_property
    def irreps(self) -> tuple[Irrep, ...]:
        """Every irrep that a subset may couple to and from which an output is within reach."""
        group, problem = self.problem.group, self.problem
        found: dict[Irrep, None] = {}
        reach: set[Irrep] = {group.trivial}
        for leaf in problem.leaves:
            reach = (
                {c for a in reach for b, _ in leaf.blocks for c, _ in group.product(a, b)}
                | reach
                | {b for b, _ in leaf.blocks}
            )
        found |= dict.fromkeys(sorted(reach, key=group.edge_key))
        found |= dict.fromkeys(irrep for irrep, _ in problem.outputs)
        return tuple(found)

    @cached_property
    def number(self) -> dict[Irrep, int]:
        return {irrep: number for number, irrep in enumerate(self.irreps)}

    @cached_property
    def fusion(self) -> Vector:
        """Multiplicity of c in a x b, as an array [a, b, c]."""
        n, group = len(self.irreps), self.problem.group
        table = np.zeros((n, n, n))
        for a, one in enumerate(self.irreps):
            for b, two in enumerate(self.irreps):
                for irrep, multiplicity in group.product(one, two):
                    if irrep in self.number:
                        table[a, b, self.number[irrep]] = multiplicity
        return table

    @cached_property
    def outputs(self) -> Vector:
        vector = np.zeros(len(self.irreps))
        for irrep, places in self.problem.outputs:
            vector[self.number[irrep]] = places
        return vector

    @property
    def full(self) -> int:
        return (1 << len(self.problem.leaves)) - 1

    def support(self, subset: int) -> NDArray[np.bool_]:
        """The irreps that some leaves can be coupled to."""
        if subset not in self._supports:
            vector: NDArray[np.bool_] = np.zeros(len(self.irreps), dtype=bool)
            low = subset & -subset
            if subset == low:
                for irrep, _ in self.problem.leaves[low.bit_length() - 1].blocks:
                    vector[self.number[irrep]] = True
            else:
                one, two = self.support(low), self.support(subset ^ low)
                vector[:] = np.tensordot(two.astype(float), self.fusion[one].sum(0), 1) > 0
            self._supports[subset] = vector
        return self._supports[subset]

    @cached_property
    def _completes(self) -> NDArray[np.bool_]:
        """[a, b]: whether a and b couple to an output."""
        found: NDArray[np.bool_] = (self.fusion @ (self.outputs > 0)) > 0
        return found

    def useful(self, subset: int) -> NDArray[np.bool_]:
        """The irreps of a subset from which the other leaves lead to an output."""
        if subset == self.full:
            return np.array(self.outputs > 0, dtype=bool)
        rest = self.support(self.full ^ subset)
        found: NDArray[np.bool_] = np.any(self._completes[:, rest], axis=1)
        return found

    def counts(self, subset: int) -> Vector:
        """How many states of each irrep a subset has."""
        if subset not in self._counts:
            low = subset & -subset
            if subset == low:
                vector = np.zeros(len(self.irreps))
                for irrep, count in self.problem.leaves[low.bit_length() - 1].blocks:
                    vector[self.number[irrep]] += count
            else:
                vector = self.counts(low) @ np.tensordot(self.counts(subset ^ low), self.fusion, (0, 1))
            self._counts[subset] = vector * self.useful(subset)
        return self._counts[subset]

    # --- the price of a join -----------------------------------------------------------------------------------------

    def channels(self, subset: int) -> Names:
        """Channel indices that a subset has left after its sums."""
        leaves = self.problem.leaves
        return self._left(subset, (c for k in _bits(subset) for c in leaves[k].channels))

    def width(self, names: Sequence[str]) -> float:
        return prod(self.problem.sizes[name] for name in dict.fromkeys(names))

    def sites(self, subset: int) -> Names:
        """Site indices that a subset has left after its sums."""
        leaves = self.problem.leaves
        return self._left(subset, (s for k in _bits(subset) for s in leaves[k].sites))

    def _left(self, subset: int, indices: Iterable[str]) -> Names:
        closing = self.problem.closing
        names = dict.fromkeys(indices)
        return tuple(name for name in names if name not in closing or closing[name] & subset != closing[name])

    def join(self, one: int, two: int) -> float:
        """Multiplications of all vertices between the states of two subsets, in the cheapest of their ways."""
        found = self.problem.ties.domain((*self.sites(one), *self.sites(two)))
        if found is None:
            return inf
        elements = self.problem.elements.get(found[0], 1.0)
        a, b = self.counts(one), self.counts(two)
        if self.kinds(one) == self.kinds(two):
            b = b * 0.5 + 0.5 / max(1.0, float((b > 0).sum()))
        left, right = self.channels(one), self.channels(two)
        both, wl, wr = self.width((*left, *right)), self.width(left), self.width(right)
        if one | two == self.full and self.problem.weight_channels is not None:
            return elements * self._root(a, b, left, right)
        pairs, nonunit, rt, rn, lt, ln, _ = self.joins(one | two)
        ways = (
            both * float(a @ (pairs + nonunit) @ b),
            both * float(a @ rt @ b) + wr * float((a > 0) @ rn @ b),
            both * float(a @ lt @ b) + wl * float(a @ ln @ (b > 0)),
        )
        return elements * min(ways)

    def _root(self, a: Vector, b: Vector, left: Names, right: Names) -> float:
        """The last join, with the weights of the paths: weighed behind it, inside one part, or as a matrix."""
        weights = self.problem.weight_channels or ()
        both, wl, wr = self.width((*left, *right)), self.width(left), self.width(right)
        everything = self.width((*left, *right, *weights))
        pairs, nonunit, rt, rn, lt, ln, dims = self.joins(self.full)
        has_a, has_b = (a > 0).astype(float), (b > 0).astype(float)
        meet = (rt > 0).astype(float)
        sizes = self.dims
        fused = min(
            both * float(a @ (pairs + nonunit) @ b),
            both * float(a @ rt @ b) + wr * float(has_a @ rn @ b),
            both * float(a @ lt @ b) + wl * float(a @ ln @ has_b),
        )
        behind = fused + everything * float(a @ dims @ b)
        weighed_right = self.width((*right, *weights)) * float(a @ meet @ (b * sizes)) + both * float(a @ rt @ has_b)
        weighed_left = self.width((*left, *weights)) * float((a * sizes) @ meet @ b) + both * float(has_a @ lt @ b)
        spread = float(self.outputs @ (sizes * self.outputs))
        matrix_right = (
            wr * float(has_a @ rn @ b)
            + self.width((*right, *weights)) * float(a @ rt @ b)
            + everything * float(a @ sizes) * spread
        )
        matrix_left = (
            wl * float(a @ ln @ has_b)
            + self.width((*left, *weights)) * float(a @ lt @ b)
            + everything * float(b @ sizes) * spread
        )
        return min(behind, weighed_right, weighed_left, matrix_right, matrix_left)

    @cached_property
    def dims(self) -> Vector:
        return np.array([self.problem.group.dim(irrep) for irrep in self.irreps], dtype=float)

    def joins(self, subset: int) -> tuple[Vector, ...]:
        """For every a and b, summed over the irreps that are useful in a subset: products of pairs, coefficients
        behind them, terms and coefficients of either matrix, dimensions of the results."""
        useful = self.useful(subset)
        key = (subset == self.full, useful.tobytes())
        if key not in self._joins:
            places = self.outputs if subset == self.full else useful.astype(float)
            sums = [table @ useful.astype(float) for table in self.tables]
            outer = np.multiply.outer(self.dims, self.dims)
            sums[0] = np.minimum(sums[0], outer)
            sums.append(self.fusion @ (places * self.dims))
            self._joins[key] = tuple(sums)
        return self._joins[key]

    @cached_property
    def tables(self) -> tuple[Vector, ...]:
        """What `vertices.profile` says of every vertex, as arrays [a, b, c]."""
        n = len(self.irreps)
        tables = tuple(np.zeros((n, n, n)) for _ in range(6))
        allowed = np.argwhere(self.fusion > 0)
        few = len(self.problem.leaves) <= COUNTED_LEAVES
        for a, b, c in allowed:
            figures = self._figures(a, b, c) if few else self._estimate(a, b, c)
            for table, figure in zip(tables, figures, strict=True):
                table[a, b, c] = figure
        return tables

    def _figures(self, a: int, b: int, c: int) -> tuple[float, ...]:
        one, two, three = self.irreps[a], self.irreps[b], self.irreps[c]
        if max(self.dims[a], self.dims[b], self.dims[c]) > 13:
            return self._estimate(a, b, c)
        found = profile(self.problem.group, self.problem.basis, one, two, three)
        return (
            len(found.pairs),
            found.nonunit,
            found.right_terms,
            found.right_nonunit,
            found.left_terms,
            found.left_nonunit,
        )

    def _estimate(self, a: int, b: int, c: int) -> tuple[float, ...]:
        """Coefficients are nonzero where projections add up: about one in the largest dimension."""
        one, two, three = self.dims[a], self.dims[b], self.dims[c]
        nonzero = 1.4 * one * two * three / max(one, two, three)
        return (
            min(one * two, nonzero),
            nonzero / 2,
            min(one * three, nonzero),
            nonzero / 2,
            min(two * three, nonzero),
            nonzero / 2,
        )


def _bits(subset: int) -> Iterator[int]:
    while subset:
        low = subset & -subset
        yield low.bit_length() - 1
        subset ^= low


def _parts(subset: int) -> Iterator[int]:
    """The proper parts of a subset that contain its lowest leaf."""
    low = subset & -subset
    rest = subset ^ low
    part = rest
    while part:
        part = (part - 1) & rest
        yield part | low


def _shape(splits: dict[int, int], subset: int) -> Shape:
    if subset not in splits:
        return subset.bit_length() - 1
    part = splits[subset]
    return _shape(splits, part), _shape(splits, subset ^ part)
