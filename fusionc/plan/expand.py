"""Trees to states: the paths of a product as exact combinations of the states of one coupling order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fusionc.algebra.groups import Group
from fusionc.algebra.surds import ONE, Surd
from fusionc.diagram.paths import PathTable
from fusionc.plan.products import Product, ProductPath
from fusionc.plan.states import StateTable, Use
from fusionc.plan.ties import Names, Ties, ties_of
from fusionc.rewrite.recouple import CouplingTree, Leaf, Shape, recouple

Combination = tuple[tuple[Use, Surd], ...]


@dataclass(frozen=True)
class Expansion:
    """For every path of a product, in path order, the states that it is a sum of; empty where it vanishes."""

    product: Product
    paths: tuple[Combination, ...]
    ties: Ties


@dataclass(frozen=True)
class EdgePlan:
    """All products that end in an edge, expanded into states."""

    edge: str
    expansions: tuple[Expansion, ...]


@dataclass
class Expander:
    """Makes expansions; `states` is shared by all of a diagram's products."""

    table: PathTable
    states: StateTable

    @property
    def group(self) -> Group:
        return self.table.graph.group

    def expand(self, product: Product, shapes: Sequence[Shape | None]) -> Expansion:
        """The product with each path's trees in the shape given for it (None: as they were written)."""
        ties, closed = ties_of(product.line), closing(product)
        found = tuple(
            self.path(product, path, shape, ties, closed) for path, shape in zip(product.paths, shapes, strict=True)
        )
        return Expansion(product, found, ties)

    def path(
        self,
        product: Product,
        path: ProductPath,
        shape: Shape | None,
        ties: Ties,
        closed: Mapping[str, frozenset[int]],
    ) -> Combination:
        sums: dict[Use, Surd] = {}
        for tree, coefficient in path.trees:
            parts = ((tree, ONE),) if shape is None else recouple(self.group, tree, shape)
            for part, factor in parts:
                use, sign = self.use(product, path, part, ties, closed)
                value = coefficient * factor * sign
                if value:
                    sums[use] = sums[use] + value if use in sums else value
        return tuple((use, value) for use, value in sums.items() if value)

    def use(
        self,
        product: Product,
        path: ProductPath,
        tree: CouplingTree,
        ties: Ties,
        closed: Mapping[str, frozenset[int]],
    ) -> tuple[Use, Surd]:
        """A tree as a state, with the factor that canonical orders bring (no recursion: trees may be deep)."""
        done: dict[int, tuple[Use, Surd, frozenset[int]]] = {}
        todo = [tree]
        while todo:
            node = todo[-1]
            if isinstance(node, Leaf):
                inside = frozenset({node.number})
                ended = _ended(closed, inside)
                use, sign = self._atom(product, path, node.number, ties), ONE
            elif id(node.left) in done and id(node.right) in done:
                one, two = done[id(node.left)], done[id(node.right)]
                inside = one[2] | two[2]
                ended = _ended(closed, inside)
                use, sign = self.states.pair(one[0], two[0], node.irrep, node.copy, ties, ended)
                sign = sign * one[1] * two[1]
            else:
                todo += [child for child in (node.right, node.left) if id(child) not in done]
                continue
            for index in use.sites:
                if index in ended:
                    use = self.states.summed(use, index, ties)
            done[id(node)] = (use, sign, inside)
            todo.pop()
        return done[id(tree)][:2]

    def _atom(self, product: Product, path: ProductPath, leaf: int, ties: Ties) -> Use:
        edge, block = product.leaves[leaf], path.blocks[leaf]
        if edge.weight is not None:
            channels, sizes = without_units(edge.channels, self.table.weights[edge.edge].shapes[block])
            state = self.states.scalar(edge.weight, block, edge.sites, sizes, ties)
            return Use(state, channels, edge.sites)
        found = self.table.blocks[edge.edge][block]
        domain = self.table.graph.domain(edge.edge) or ""
        channels, sizes = without_units(edge.channels, found.sizes if edge.channels else ())
        return Use(self.states.atom(edge.edge, block, found.irrep, sizes, domain), channels, edge.sites)


def _ended(closed: Mapping[str, frozenset[int]], inside: frozenset[int]) -> set[str]:
    """The indices all of whose leaves have met."""
    return {index for index, leaves in closed.items() if leaves <= inside}


def without_units(channels: Names, sizes: Sequence[int]) -> tuple[Names, tuple[int, ...]]:
    """Channel indices and their sizes without those of size one: they change no value and would cost an axis."""
    kept = [(channel, size) for channel, size in zip(channels, sizes, strict=True) if size != 1]
    return tuple(channel for channel, _ in kept), tuple(size for _, size in kept)


def closing(product: Product) -> dict[str, frozenset[int]]:
    """For each site or channel index that is summed and that no weight has which is met behind the coupling: the leaves
    that have it. Where all of them have met, the sum is done."""
    weighed = {index for factor in product.factors for index in (*factor.all_sites, *factor.channels)}
    channels = dict.fromkeys(index for leaf in product.leaves for index in leaf.channels)
    summed = (*product.line.summed_sites, *(index for index in channels if index not in product.channels))
    return {
        index: frozenset(n for n, leaf in enumerate(product.leaves) if index in (*leaf.sites, *leaf.channels))
        for index in summed
        if index not in weighed
    }
